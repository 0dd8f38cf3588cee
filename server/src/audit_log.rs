//! The audit log as the store keeps it: heads and tiles beside the journal; reading, proving, exporting.
//!
//! What is served here is evidence, also of a journal that was tampered with: an export leaves out what is gone, marks
//! what cannot be read, and never repairs. What may be signed is decided in `cordon_server_core::audit::seal`; this
//! room loads and stores. Read next: `sealer` for the one writer, [`key`] for what signs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cordon_proto::audit::SignedHead;
use cordon_proto::enrol::base64url;
use cordon_proto::ids::Text;
use cordon_proto::limits;
use cordon_proto::merkle::{Consistency, Inclusion, consistency_over, inclusion_over};
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::export::{hashes_line, unreadable_line};
use cordon_server_core::audit::seal::Fault;
use cordon_server_core::audit::tile::{Tile, TileAt, Tiles, WIDTH};

use crate::chance;
use crate::store::{Cursor, Index, Key, Kind, Row, Store, StoreError};

pub mod key;
mod sealer;
#[cfg(test)]
mod tests;

pub use key::{AUDIT_KEY, AuditKey, AuditKeyError};
pub use sealer::SealError;

/// The audit log of one store.
pub struct AuditLog {
    store: Arc<dyn Store>,
    key: AuditKey,
    /// This server, among those that could seal.
    holder: Text,
    state: Mutex<Standing>,
}

/// How the log stands, as this server last saw it.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The newest head.
    pub head: Option<Arc<SignedHead>>,
    /// Entries of the journal.
    pub entries: u64,
    /// Since when there are entries that no head covers.
    pub unsealed_since: Option<Timestamp>,
    /// When every sealed entry was last found to be as it was sealed.
    pub verified: Option<Timestamp>,
    /// Why nothing is sealed any more.
    pub stopped: Option<Fault>,
    /// What the check of the whole journal found.
    pub found: Option<Fault>,
    /// Whether the end of the journal was looked at since the start.
    begun: bool,
}

impl Standing {
    /// The entries that are sealed.
    #[must_use]
    pub fn sealed(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.size())
    }

    /// What is wrong with the journal, if anything is.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        self.found.as_ref().or(self.stopped.as_ref())
    }

    /// Seconds for which there have been entries that no head covers.
    #[must_use]
    pub fn unsealed_s(&self, now: Timestamp) -> i64 {
        self.unsealed_since.map_or(0, |since| now.seconds_since(since).max(0))
    }
}

/// Entries of a stretch of the journal.
struct Stretch {
    /// As they are stored.
    entries: BTreeMap<u64, Vec<u8>>,
    /// Those that the store cannot read.
    unreadable: Vec<u64>,
}

impl AuditLog {
    /// The log of a store, sealed with this key.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, key: AuditKey) -> Self {
        let holder = Text::lossy(&base64url(&chance::random::<12>()));
        Self { store, key, holder, state: Mutex::default() }
    }

    /// How the log stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.state().clone()
    }

    /// The newest head, from the store.
    pub async fn head(&self) -> Result<Option<SignedHead>, StoreError> {
        let page = self.store.scan(Index::All(Kind::AuditHead), Cursor::Last, 1).await?;
        let Some((key, row)) = page.rows.into_iter().next() else { return Ok(None) };
        head_of(&key, &row).map(Some)
    }

    /// Heads over more than `after` entries, the smallest first, one page.
    pub async fn heads(&self, after: u64) -> Result<Vec<SignedHead>, StoreError> {
        let from = Cursor::After(Key::AuditHead(after));
        let page = self.store.scan(Index::All(Kind::AuditHead), from, limits::PAGE_ROWS).await?;
        page.rows.iter().map(|(key, row)| head_of(key, row)).collect()
    }

    /// The proof that an entry stands under the root of `size` entries; nothing if there is no such entry or head.
    pub async fn inclusion(&self, sequence: u64, size: u64) -> Result<Option<Inclusion>, StoreError> {
        let Some(index) = sequence.checked_sub(1) else { return Ok(None) };
        self.proved(size, |tiles| inclusion_over(tiles, index, size)).await
    }

    /// The proof that the log of `to` entries began as the log of `from` entries.
    pub async fn consistency(&self, from: u64, to: u64) -> Result<Option<Consistency>, StoreError> {
        self.proved(to, |tiles| consistency_over(tiles, from, to)).await
    }

    /// One page of the export: entries behind `after`, at most up to `size`, and the hashes with which they were
    /// sealed; lines as `cordon_server_core::audit::export` reads them. Empty at the end.
    pub async fn export(&self, after: u64, size: u64) -> Result<Vec<u8>, StoreError> {
        let (mut after, mut lines) = (after, Vec::new());
        let until = size.min(after.saturating_add(limits::AUDIT_EXPORT_ROWS));
        while after < until {
            let end = until.min((after / WIDTH).saturating_add(1).saturating_mul(WIDTH));
            let stretch = self.stretch(after, end).await?;
            for sequence in after.saturating_add(1)..=end {
                if let Some(bytes) = stretch.entries.get(&sequence) {
                    lines.extend_from_slice(bytes);
                    lines.push(b'\n');
                } else if stretch.unreadable.contains(&sequence) {
                    lines.extend(unreadable_line(sequence));
                }
            }
            if let Some(tile) = self.tile(TileAt { level: 0, index: after / WIDTH }).await?.1 {
                let place = |sequence: u64| usize::try_from(sequence % WIDTH).unwrap_or(usize::MAX);
                let count = usize::try_from(end - after).unwrap_or(usize::MAX);
                let hashes: Vec<_> = tile.hashes().iter().skip(place(after)).take(count).copied().collect();
                lines.extend(hashes_line(after.saturating_add(1), &hashes));
            }
            after = end;
        }
        Ok(lines)
    }

    /// Tries a proof with the tiles read so far until it misses none.
    async fn proved<T>(
        &self,
        size: u64,
        prove: impl Fn(&Tiles) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        if self.head().await?.is_none_or(|head| head.size() < size) {
            return Ok(None);
        }
        let mut tiles = Tiles::default();
        loop {
            if let Some(proof) = prove(&tiles) {
                return Ok(Some(proof));
            }
            let Some(at) = tiles.missed() else { return Ok(None) };
            match self.tile(at).await?.1 {
                Some(tile) => tiles.hold(at, tile),
                None => return Ok(None),
            }
        }
    }

    /// A tile and the document that it was read from.
    async fn tile(&self, at: TileAt) -> Result<(Option<Row>, Option<Tile>), StoreError> {
        let row = self.store.get(Key::AuditTile(at)).await?;
        let tile = row.as_ref().and_then(|row| Tile::from_body(&row.body));
        Ok((row, tile))
    }

    /// The stored entries behind `after` up to `until`. Where the store finds one damaged, each is read by itself.
    async fn stretch(&self, after: u64, until: u64) -> Result<Stretch, StoreError> {
        match self.scanned(after, until).await {
            Ok(entries) => Ok(Stretch { entries, unreadable: Vec::new() }),
            Err(StoreError::Corrupt(_)) => self.one_by_one(after, until).await,
            Err(error) => Err(error),
        }
    }

    async fn scanned(&self, after: u64, until: u64) -> Result<BTreeMap<u64, Vec<u8>>, StoreError> {
        let mut entries = BTreeMap::new();
        let mut cursor = Some(Cursor::After(Key::Audit(after)));
        while let Some(from) = cursor {
            let limit = usize::try_from(until.saturating_sub(after)).unwrap_or(limits::PAGE_ROWS);
            let limit = limit.saturating_sub(entries.len()).clamp(1, limits::PAGE_ROWS);
            let page = self.store.scan(Index::All(Kind::Audit), from, limit).await?;
            cursor = page.next;
            for (key, row) in page.rows {
                if let Key::Audit(sequence) = key {
                    entries.insert(sequence, row.body);
                }
            }
            if entries.last_key_value().is_some_and(|(last, _)| *last >= until) {
                break;
            }
        }
        entries.retain(|sequence, _| *sequence <= until);
        Ok(entries)
    }

    async fn one_by_one(&self, after: u64, until: u64) -> Result<Stretch, StoreError> {
        let mut stretch = Stretch { entries: BTreeMap::new(), unreadable: Vec::new() };
        for sequence in after.saturating_add(1)..=until {
            match self.store.get(Key::Audit(sequence)).await {
                Ok(Some(row)) => drop(stretch.entries.insert(sequence, row.body)),
                Ok(None) => {}
                Err(StoreError::Corrupt(_)) => stretch.unreadable.push(sequence),
                Err(error) => return Err(error),
            }
        }
        Ok(stretch)
    }

    fn state(&self) -> MutexGuard<'_, Standing> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn head_of(key: &Key, row: &Row) -> Result<SignedHead, StoreError> {
    SignedHead::parse(&row.body).map_err(|_| StoreError::Corrupt(key.to_string()))
}
