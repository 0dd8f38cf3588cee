//! What is to be told next: from the store, behind a position, one batch.
//!
//! Findings come from the commits that touched them, or from a walk over all; entries come from the journal. The batch
//! says where the position stands once it has arrived. Read next: `cordon_server_core::siem::position`.

use std::collections::HashMap;

use cordon_proto::ids::DeviceId;
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::Recorded;
use cordon_server_core::device::Device;
use cordon_server_core::siem::position::{Findings, Position, brought};
use cordon_server_core::siem::{Event, Stream, Told, syslog};
use cordon_server_core::triage::{Record, Step};

use super::Siem;
use crate::app::App;
use crate::store::{Changed, Cursor, Feed, Index, Key, Kind, Revision, StoreError};

/// One batch.
pub(super) struct Batch {
    /// The frames.
    pub(super) frames: Vec<u8>,
    /// How many events they are.
    pub(super) events: u64,
    /// Where the position stands afterwards.
    pub(super) then: Position,
    /// Whether nothing more was there.
    pub(super) is_whole: bool,
}

/// Where nothing was told before: open findings first, and the journal from its end.
pub(super) async fn beginning(app: &App, to: &str) -> Result<Position, StoreError> {
    let revision = app.store.health().await?.revision;
    let last = app.store.scan(Index::All(Kind::Audit), Cursor::Last, 1).await?;
    let audit = match last.rows.first() {
        Some((Key::Audit(sequence), _)) => *sequence,
        Some(_) | None => 0,
    };
    Ok(Position::begin(to, (revision, audit), app.clock.now()))
}

/// The next batch.
pub(super) async fn batch(app: &App, siem: &Siem, position: Position) -> Result<Batch, StoreError> {
    let mut batch = Batch { frames: Vec::new(), events: 0, then: position, is_whole: true };
    if siem.settings.what.contains(&Stream::Findings) {
        match batch.then.findings.clone() {
            Findings::Walk { .. } => batch.walk(app, siem).await?,
            Findings::Follow { after, .. } => batch.follow(app, siem, Revision(after)).await?,
        }
    }
    if siem.settings.what.contains(&Stream::Audit) && !batch.is_full() {
        batch.read_journal(app, siem).await?;
    }
    Ok(batch)
}

impl Batch {
    fn is_full(&self) -> bool {
        self.frames.len() >= limits::SIEM_BATCH_BYTES
    }

    fn add(&mut self, siem: &Siem, event: Event<'_>) {
        for message in event.messages(&siem.reporter, siem.settings.format) {
            self.frames.extend(syslog::frame(&message, siem.settings.facility, &siem.reporter));
        }
        self.events += 1;
    }

    fn add_step(&mut self, (app, siem): (&App, &Siem), record: &Record, step: &Step, first: bool) {
        let device = device(app, record.device);
        self.add(siem, Event::Finding(Told { record, step, device: device.as_ref(), first }));
    }

    async fn walk(&mut self, app: &App, siem: &Siem) -> Result<(), StoreError> {
        let from = self.then.walked().map_or(Cursor::First, Cursor::After);
        let page = app.store.scan(Index::All(Kind::Finding), from, limits::PAGE_ROWS).await?;
        let mut last = None;
        for (key, row) in page.rows {
            if self.is_full() {
                self.is_whole = false;
                self.then = self.then.clone().walk_to(last.as_ref());
                return Ok(());
            }
            // One that a newer server wrote is told by that server's kind.
            if let Ok(record) = serde_json::from_slice::<Record>(&row.body) {
                let (steps, first) = self.then.steps(&record);
                for step in steps {
                    self.add_step((app, siem), &record, step, first);
                }
            }
            last = Some(key);
        }
        let end = match page.next {
            Some(Cursor::After(key) | Cursor::Before(key)) => Some(key),
            Some(Cursor::First | Cursor::Last) => last,
            None => None,
        };
        // Commits since the walk began are there to be followed.
        self.is_whole = false;
        self.then = self.then.clone().walk_to(end.as_ref());
        Ok(())
    }

    async fn follow(&mut self, app: &App, siem: &Siem, after: Revision) -> Result<(), StoreError> {
        // Asked before: a whole answer holds everything up to here, also where a transaction changed nothing to follow.
        let (upto, now) = (app.store.health().await?.revision, app.clock.now());
        let feed = app.store.changes(after, limits::PAGE_ROWS).await?;
        self.is_whole = feed.is_whole(limits::PAGE_ROWS);
        let commits = match feed {
            Feed::Commits(commits) => commits,
            Feed::Gone { resume } => {
                tracing::warn!(
                    "changes were forgotten before the SIEM took them; findings are walked through"
                );
                self.then = self.then.clone().forgotten(resume, app.clock.now());
                return Ok(());
            }
        };
        let (mut records, mut last) = (HashMap::new(), after);
        for commit in commits {
            if self.is_full() {
                self.is_whole = false;
                return Ok(());
            }
            self.tell((app, siem), &commit, &mut records).await?;
            self.then = self.then.clone().followed(commit.revision, commit.at);
            last = commit.revision;
        }
        if self.is_whole && upto > last {
            self.then = self.then.clone().followed(upto, now);
        }
        Ok(())
    }

    /// What a commit did to findings. A document is as it is now; its steps say what the commit brought.
    async fn tell(
        &mut self,
        (app, siem): (&App, &Siem),
        commit: &Changed,
        records: &mut HashMap<Key, Known>,
    ) -> Result<(), StoreError> {
        let findings =
            commit.keys.iter().filter(|touched| touched.key.kind() == Kind::Finding && !touched.deleted);
        for touched in findings {
            if !records.contains_key(&touched.key) {
                let row = app.store.get(touched.key.clone()).await?;
                let record = row.and_then(|row| serde_json::from_slice(&row.body).ok());
                records.insert(touched.key.clone(), Known { record, told: None });
            }
            let Some(known) = records.get_mut(&touched.key) else { continue };
            // Two commits of one second brought the steps of that second together.
            if known.told.replace(commit.at) == Some(commit.at) {
                continue;
            }
            let Some(record) = &known.record else { continue };
            for step in brought(record, commit.at) {
                self.add_step((app, siem), record, step, false);
            }
        }
        Ok(())
    }

    async fn read_journal(&mut self, app: &App, siem: &Siem) -> Result<(), StoreError> {
        let from = Cursor::After(Key::Audit(self.then.audit));
        let page = app.store.scan(Index::All(Kind::Audit), from, limits::PAGE_ROWS).await?;
        self.is_whole &= page.next.is_none();
        for (key, row) in page.rows {
            if self.is_full() {
                self.is_whole = false;
                return Ok(());
            }
            let Key::Audit(sequence) = key else { continue };
            match Recorded::from_bytes(&row.body) {
                Ok(entry) => self.add(siem, Event::Audit(&entry)),
                Err(error) => tracing::error!(sequence, %error, "an entry of the journal cannot be told"),
            }
            self.then.audit = sequence;
        }
        Ok(())
    }
}

/// A finding that was loaded, and the time of the last commit whose steps were told.
struct Known {
    record: Option<Record>,
    told: Option<Timestamp>,
}

/// The device of a finding as it is known now, unless it is gone.
fn device(app: &App, id: DeviceId) -> Option<Device> {
    app.fleet.get(id).map(|member| member.device.as_ref().clone())
}
