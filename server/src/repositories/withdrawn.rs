//! Orders that were taken back: by which document, signed by whose keys, brought by whom and when.
//!
//! Documents are kept as they came, and each came in one commit with its entry of the journal; the entry is found by the
//! revision of that commit, because the journal has no index by object. Read next: `cordon_server_core::withdrawn`.

use cordon_proto::time::Timestamp;
use cordon_proto::update::order::Order;
use cordon_proto::update::{Role, name};
use cordon_server_core::audit::Recorded;
use cordon_server_core::change::{Key, Revision};
use cordon_server_core::withdrawn::{orders_in, withdrawn};

use super::{DIRECTOR, PublishError, Repositories, director_file, rules};
use crate::store::{Cursor, Index, Kind, StoreError};

/// The role that holds the orders.
const ORDERS: &str = "orders";
/// Documents that are looked back on: a page is an answer too.
const DOCUMENTS: u64 = 64;
/// Entries of one commit, and of such as another server made at the same moment.
const NEIGHBOURS: u64 = 16;

/// An order that is in force no more.
#[derive(Clone, Debug)]
pub struct TakenBack {
    /// The order, as it was signed.
    pub order: Order,
    /// The version of the document that lists it no more, and of the last one that does.
    pub versions: (u64, u64),
    /// Whether another order was signed under its name.
    pub anew: bool,
    /// The keys that signed the document without it and still count, and how many have to.
    pub signed: (Vec<String>, u64),
    /// Who brought that document here, and when; unknown if the journal does not tell.
    pub brought: Option<(String, Timestamp)>,
}

impl Repositories {
    /// The orders that the last documents took back before their time was over, the last one first.
    pub async fn taken_back(&self, now: Timestamp) -> Result<Vec<TakenBack>, PublishError> {
        let (director, _) = self.director().await?;
        let newest = director.delegated(ORDERS, &rules(now))?.map_or(0, |document| document.version);
        let mut documents = Vec::new();
        let mut rows = Vec::new();
        for version in newest.saturating_sub(DOCUMENTS)..=newest {
            let Ok(file) = name::path(&Role::Delegated(ORDERS.to_owned()), version, true).parse() else {
                continue;
            };
            let Some(row) = self.store.get(director_file(&file)).await? else { continue };
            documents.push((version, orders_in(&row.body)));
            rows.push((version, row));
        }
        let mut found = Vec::new();
        for gone in withdrawn(&documents) {
            let Some((_, row)) = rows.iter().find(|(version, _)| *version == gone.by) else { continue };
            let brought = self.brought(gone.by, row.revision).await?;
            // Whoever signs the next document leaves out what is over: that takes nothing back.
            if brought.as_ref().is_some_and(|(_, at)| *at >= gone.order.expires) {
                continue;
            }
            let mut then = director.clone();
            then.delegated.insert(ORDERS.to_owned(), row.body.clone());
            let signed = then.signers(ORDERS, &rules(now))?;
            let versions = (gone.by, gone.last);
            found.push(TakenBack { order: gone.order, versions, anew: gone.anew, signed, brought });
        }
        Ok(found)
    }

    /// Who brought a document of orders, and when: by the entry of the commit that stored it.
    async fn brought(
        &self,
        version: u64,
        stored: Revision,
    ) -> Result<Option<(String, Timestamp)>, StoreError> {
        let page = self.store.scan(Index::All(Kind::Audit), Cursor::Last, 1).await?;
        let Some((Key::Audit(newest), _)) = page.rows.into_iter().next() else { return Ok(None) };
        // The first entry whose commit is not an earlier one.
        let (mut low, mut high) = (1, newest);
        while low < high {
            let middle = low + (high - low) / 2;
            let row = self.store.get(Key::Audit(middle)).await?;
            if row.is_none_or(|row| row.revision < stored) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let object = format!("{DIRECTOR}:{version}.{ORDERS}.json");
        for sequence in low.saturating_sub(NEIGHBOURS).max(1)..=low.saturating_add(NEIGHBOURS) {
            let Some(row) = self.store.get(Key::Audit(sequence)).await? else { continue };
            let Ok(recorded) = Recorded::from_bytes(&row.body) else { continue };
            if recorded.entry.object.as_str() == object {
                return Ok(Some((recorded.actor.to_string(), recorded.at)));
            }
        }
        Ok(None)
    }
}
