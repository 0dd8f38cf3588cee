//! With whom devices talked: the index is kept as rows come, and asked when a person searches.
//!
//! The index is committed before the rows that it speaks of, so that a search never misses one. Its days are those of arrival,
//! and one day before the time that is asked for counts too: rows may arrive at midnight, and at servers whose clocks differ. Read next:
//! `cordon_server_core::contacts`.

use std::collections::BTreeMap;
use std::sync::Arc;

use cordon_proto::ids::DeviceId;
use cordon_proto::limits;
use cordon_proto::telemetry::FlowRow;
use cordon_proto::time::{Millis, Timestamp};
use cordon_server_core::change::Commit;
use cordon_server_core::contacts::sought::{Hit, Sought};
use cordon_server_core::contacts::{Contacts, Day, Standing};

use super::report::{CheckinError, TRIES};
use super::{App, CommitError, server};
use crate::fleet::Member;
use crate::store::{Cursor, Expected, Index, Key, Kind, StoreError};

const DAY_S: i64 = 86_400;

/// A page of a search.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// What is looked for.
    pub sought: &'a Sought,
    /// From when on.
    pub since: Timestamp,
    /// Before when.
    pub until: Timestamp,
    /// Only devices after this one.
    pub after: Option<DeviceId>,
    /// At most so many devices.
    pub limit: usize,
}

/// What a search found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Devices, by name.
    pub devices: Vec<FoundDevice>,
    /// How many devices can have talked to it at all, on all pages.
    pub likely: usize,
    /// How many summed peers that their reports had no room to name: nobody can say whether it was among them.
    pub unnamed: usize,
    /// Where the next page begins.
    pub next: Option<DeviceId>,
}

/// A device that talked to it.
#[derive(Clone, Debug)]
pub struct FoundDevice {
    /// Which.
    pub member: Arc<Member>,
    /// What it did.
    pub hit: Hit,
    /// Whether it has more rows than one search reads, so that the figures are of the newest of them.
    pub is_cut: bool,
}

impl App {
    /// Takes rows of a batch that is not stored yet into the index of their device.
    pub(super) async fn keep_contacts(
        &self,
        device: DeviceId,
        rows: &[FlowRow],
        stored: &(Key, Expected),
    ) -> Result<(), CheckinError> {
        if rows.is_empty() {
            return Ok(());
        }
        let key = Key::Contacts(device);
        for _ in 0..TRIES {
            let now = self.clock.now();
            let today = Day::of(now);
            let row = self.store.get(key.clone()).await?;
            let known = row.as_ref().and_then(|row| Contacts::from_body(&row.body));
            let mut contacts = known.unwrap_or_else(|| Contacts::from(today));
            if !contacts.told(rows, today, self.config.retention_days) {
                return Ok(());
            }
            let draft = Commit::draft(now, server("contacts"))
                .expect(stored.0.clone(), stored.1)
                .expect(key.clone(), Expected::of(row.as_ref()))
                .put(key.clone(), contacts.to_body());
            match self.commit(draft).await {
                Err(CommitError::Store(StoreError::Conflict(Key::Contacts(_)))) => {}
                outcome => return Ok(outcome.map(|_| ())?),
            }
        }
        Err(StoreError::Conflict(key).into())
    }

    /// Which devices talked to what is sought, a page of them by name.
    pub async fn search_contacts(&self, search: Search<'_>) -> Result<Found, StoreError> {
        let since = Day::of(search.since.plus_seconds(-DAY_S));
        let mut indexed = self.contacts(search.sought, since).await?;
        let mut found = Found {
            likely: indexed.values().filter(|(standing, _)| *standing == Standing::Likely).count(),
            unnamed: indexed.values().filter(|(_, has_unnamed)| *has_unnamed).count(),
            ..Found::default()
        };
        let (mut read, mut last) = (0, None);
        for member in self.fleet.all() {
            let device = member.id();
            // A device that told rows before there was an index has none; one that never spoke has told none.
            let before = if member.report.is_some() { Standing::Unknown } else { Standing::No };
            let standing = indexed.remove(&device).map_or(before, |(standing, _)| standing);
            if search.after.is_some_and(|after| device <= after) || standing == Standing::No {
                continue;
            }
            if read == limits::SEARCH_DEVICES || found.devices.len() == search.limit {
                found.next = last;
                break;
            }
            read += 1;
            last = Some(device);
            let rows = self.flows(device, Millis::from(search.since), limits::SEARCH_ROWS).await?;
            if let Some(hit) = search.sought.among(&rows, (search.since, search.until)) {
                found.devices.push(FoundDevice { member, hit, is_cut: rows.len() == limits::SEARCH_ROWS });
            }
        }
        Ok(found)
    }

    /// How each device stands to what is sought by its index, and whether it summed peers.
    async fn contacts(
        &self,
        sought: &Sought,
        since: Day,
    ) -> Result<BTreeMap<DeviceId, (Standing, bool)>, StoreError> {
        let (mut all, mut from) = (BTreeMap::new(), Some(Cursor::First));
        while let Some(cursor) = from {
            let page = self.store.scan(Index::All(Kind::Contacts), cursor, limits::PAGE_ROWS).await?;
            for (key, row) in page.rows {
                let Key::Contacts(device) = key else { continue };
                let contacts = Contacts::from_body(&row.body);
                let standing =
                    contacts.map(|contacts| (contacts.standing(sought, since), contacts.has_unnamed(since)));
                all.extend(standing.map(|standing| (device, standing)));
            }
            from = page.next;
        }
        Ok(all)
    }
}
