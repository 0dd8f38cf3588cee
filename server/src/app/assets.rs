//! Lists of assets come in: planned over the fleet, committed piece by piece, and noted.
//!
//! What a row does is decided in the ground; here it is committed in batches that expect what the plan was made over. A
//! batch that somebody was faster with is planned anew, and a list that was cut off by a kill is completed by the same list.
//! Read next: `cordon_server_core::assets`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cordon_proto::ids::{DeviceId, Name, Sha256, Text};
use cordon_proto::limits;
use cordon_server_core::assets::{Arrival, Arriving, ListRecord, Lists, Plan, plan};
use cordon_server_core::audit::{Actor, Entry, Summary};
use cordon_server_core::change::{Commit, Draft};
use cordon_server_core::device::{Device, is_unknown};
use cordon_server_core::feeds::asset::Assets;
use tokio::time::sleep;

use super::{App, CommitError, name};
use crate::store::{Expected, Key, Revision, Row, StoreError};

#[cfg(test)]
mod tests;

/// Devices of one commit: each may write itself, the index of its serial, and remove a former one.
const BATCH: usize = 160;
/// How often what is left is planned anew when somebody was faster, and the pause between: until then it was heard here.
const TRIES: u32 = 8;
const AGAIN: Duration = Duration::from_millis(limits::FOLLOW_MS);

/// A list that a person brings.
#[derive(Clone, Debug)]
pub struct Brought {
    /// The owner's name for it.
    pub list: Name,
    /// The site of rows that name none.
    pub site: Option<Text>,
    /// What it says.
    pub assets: Arc<Assets>,
    /// SHA-256 of the file.
    pub sha256: Sha256,
}

/// A plan, and which transactions wrote the devices that it was made over.
struct Planned {
    plan: Plan,
    read: HashMap<DeviceId, Revision>,
}

/// Why a list does not come in.
#[derive(Debug, thiserror::Error)]
pub enum AssetsError {
    /// There are so many lists already.
    #[error("{} lists of assets are known already: import it under one of their names", limits::ASSET_LISTS)]
    TooManyLists,
    /// The planning ended.
    #[error("the plan of the import could not be made")]
    Planning(#[source] tokio::task::JoinError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl App {
    /// The lists that came in, with when and by whom.
    pub async fn asset_lists(&self) -> Result<Lists, StoreError> {
        Ok(self.stored_lists().await?.0)
    }

    async fn stored_lists(&self) -> Result<(Lists, Option<Row>), StoreError> {
        let row = self.store.get(lists_key()).await?;
        let lists = match &row {
            Some(row) => {
                Lists::from_body(&row.body).ok_or_else(|| StoreError::Corrupt(lists_key().to_string()))?
            }
            None => Lists::default(),
        };
        Ok((lists, row))
    }

    /// What an import would do now.
    pub async fn plan_assets(&self, brought: &Brought) -> Result<Plan, AssetsError> {
        Ok(self.planned(brought).await?.plan)
    }

    async fn planned(&self, brought: &Brought) -> Result<Planned, AssetsError> {
        let (members, now) = (self.fleet.all(), self.clock.now());
        let Brought { list, site, assets, sha256: _ } = brought.clone();
        let planned = tokio::task::spawn_blocking(move || {
            let arrival = Arrival { list: &list, site: site.as_ref(), now };
            let plan = plan(&assets, members.iter().map(|member| &*member.device), &arrival);
            Planned { plan, read: members.iter().map(|member| (member.id(), member.revision)).collect() }
        });
        planned.await.map_err(AssetsError::Planning)
    }

    /// Imports a list. When this returns all of it is stored; what was interrupted is completed by the same list.
    pub async fn import_assets(&self, brought: &Brought, by: &Actor) -> Result<Plan, AssetsError> {
        let (lists, _) = self.stored_lists().await?;
        if !lists.lists.contains_key(&brought.list) && lists.lists.len() >= limits::ASSET_LISTS {
            return Err(AssetsError::TooManyLists);
        }
        let mut rest = self.planned(brought).await?;
        let whole = rest.plan.clone();
        for turn in 1..=TRIES {
            match self.commit_plan(brought, &rest, by).await {
                Ok(()) => break,
                Err(AssetsError::Commit(error)) if error.is_conflict() && turn < TRIES => {}
                Err(error) => return Err(error),
            }
            sleep(AGAIN).await;
            // What was committed and never answered is known to nobody here until it is read.
            if turn > TRIES / 2 {
                self.after(self.rebuild().await?.0);
            }
            rest = self.planned(brought).await?;
        }
        self.note_list(brought, &whole, by).await?;
        Ok(whole)
    }

    async fn commit_plan(&self, brought: &Brought, planned: &Planned, by: &Actor) -> Result<(), AssetsError> {
        let plan = &planned.plan;
        let all: Vec<&Arriving> = plan.new.iter().chain(&plan.changed).chain(&plan.unlisted).collect();
        for some in all.chunks(BATCH) {
            let draft = Commit::draft(self.clock.now(), by.clone());
            let draft = self.arrive(draft, some, &planned.read).await?;
            let rows = some.iter().filter_map(|one| one.row);
            let words = match (rows.clone().min(), rows.max()) {
                (Some(first), Some(last)) => {
                    format!("{} devices of the rows {first} to {last}", some.len())
                }
                (None, _) | (_, None) => format!("{} devices that it names no more", some.len()),
            };
            let entry = Entry { after: Some(Summary::of(&words)), ..of_list("assets.import", brought) };
            self.commit(draft.audit(entry)).await?;
        }
        Ok(())
    }

    /// A commit that also writes these devices, with the index of serials after them.
    async fn arrive(
        &self,
        draft: Draft,
        some: &[&Arriving],
        read: &HashMap<DeviceId, Revision>,
    ) -> Result<Draft, StoreError> {
        let (mut draft, mut indexed) = (draft, BTreeSet::new());
        for one in some {
            let former = one.former.clone().map(|(model, serial)| Key::DeviceBySerial { model, serial });
            let (now, former) =
                (self.indexed_row(index_of(&one.device)).await?, self.indexed_row(former).await?);
            let (id, key) = (one.device.id, Key::Device(one.device.id));
            let expected = read.get(&id).map_or(Expected::Absent, |revision| Expected::At(*revision));
            draft = draft.expect(key.clone(), expected).put(key, one.device.to_body());
            if let Some((key, row)) = former
                && row.as_ref().is_some_and(|row| row.body == id.as_bytes())
            {
                draft = draft.expect(key.clone(), Expected::of(row.as_ref())).delete(key);
            }
            // A serial that leads to another device is that one's: whoever proved something keeps it.
            if let Some((key, None)) = now
                && indexed.insert(key.clone())
            {
                draft = draft.expect(key.clone(), Expected::Absent).put(key, id.as_bytes().to_vec());
            }
            if !one.words.is_empty() {
                let object = Text::lossy(&format!("device:{id}"));
                let entry = Entry::new(name("assets.change"), object);
                draft = draft.audit(Entry { after: Some(Summary::of(&one.words)), ..entry });
            }
        }
        Ok(draft)
    }

    async fn indexed_row(&self, key: Option<Key>) -> Result<Option<(Key, Option<Row>)>, StoreError> {
        let Some(key) = key else { return Ok(None) };
        let row = self.store.get(key.clone()).await?;
        Ok(Some((key, row)))
    }

    /// Writes down that a list came in, also where it said nothing new: a list has an age.
    async fn note_list(&self, brought: &Brought, plan: &Plan, by: &Actor) -> Result<(), AssetsError> {
        for _ in 0..TRIES {
            let (mut lists, row) = self.stored_lists().await?;
            let now = self.clock.now();
            let record = ListRecord {
                imported: now,
                by: by.to_string(),
                sha256: brought.sha256,
                devices: plan.devices(),
                refused: plan.refused.len(),
            };
            lists.lists.insert(brought.list.clone(), record);
            let words = format!(
                "{} new, {} changed, {} unchanged, {} not in it any more, {} rows refused, file {}",
                plan.new.len(),
                plan.changed.len(),
                plan.unchanged,
                plan.unlisted.len(),
                plan.refused.len(),
                brought.sha256,
            );
            let entry = Entry { after: Some(Summary::of(&words)), ..of_list("assets.imported", brought) };
            let draft = Commit::draft(now, by.clone())
                .expect(lists_key(), Expected::of(row.as_ref()))
                .put(lists_key(), lists.to_body())
                .audit(entry);
            match self.commit(draft).await {
                Err(error) if error.is_conflict() => {}
                outcome => return Ok(outcome.map(drop)?),
            }
        }
        Err(StoreError::Conflict(lists_key()).into())
    }
}

/// Under which key a device's serial is looked for; none where nobody knows it.
fn index_of(device: &Device) -> Option<Key> {
    let (model, serial) = (&device.hardware.model, &device.hardware.serial);
    let indexed = device.is_listed_only() && !is_unknown(serial);
    indexed.then(|| Key::DeviceBySerial { model: model.clone(), serial: serial.clone() })
}

fn lists_key() -> Key {
    Key::Meta(name("asset-lists"))
}

fn of_list(action: &str, brought: &Brought) -> Entry {
    Entry::new(name(action), Text::lossy(&format!("list:{}", brought.list)))
}
