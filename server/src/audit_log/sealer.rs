//! The sealer: closes what was written since the last head into the tree, and signs the next head.
//!
//! One server seals at a time, under a lease; its commit is refused once another holds the lease, or the tree grew
//! meanwhile. So there are never two heads over one number of entries. Sealing writes no entry of its own, or it would
//! never come to an end; where nothing was written, nothing is sealed. It stops, and says so, where the stored tree does not
//! lead to the last head: nothing is ever signed over that. Read next: `cordon_server_core::audit::seal`.

use std::collections::BTreeMap;
use std::sync::Arc;

use cordon_proto::audit::{HeadError, SignedHead};
use cordon_proto::limits;
use cordon_proto::merkle::leaf_hash;
use cordon_proto::time::{Millis, Timestamp};
use cordon_server_core::audit::seal::{self, Fault};
use cordon_server_core::audit::tile::{Edge, Tile, TileAt, WIDTH};
use cordon_server_core::change::Malformed;

use super::AuditLog;
use crate::app::{name, server};
use crate::store::{
    Commit, Cursor, Expected, Index, Key, Kind, Lease, LeaseAnswer, LeaseRequest, StoreError,
};

/// The lease of the one who seals.
const LEASE: &str = "audit-sealer";
/// After so long another server takes over.
const LEASE_MS: u32 = 5000;
/// Entries read at a time.
const PAGE: u64 = WIDTH;

/// Why nothing was sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The journal is not what was sealed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Our own draft; cannot happen, and is still no panic.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Our own signature; cannot happen, and is still no panic.
    #[error("the head could not be signed")]
    Head(#[from] HeadError),
}

/// A batch that is ready to be written.
pub(super) struct Batch {
    pub(super) commit: Commit,
    pub(super) head: SignedHead,
}

impl AuditLog {
    /// Seals what was written since the last head, and says how many entries that were.
    pub async fn seal(&self, now: Millis) -> Result<u64, SealError> {
        let outcome = self.seal_all(now).await;
        let mut state = self.state();
        match &outcome {
            Ok(_) => state.stopped = None,
            Err(SealError::Fault(fault)) => state.stopped = Some(fault.clone()),
            Err(SealError::Store(_) | SealError::Malformed(_) | SealError::Head(_)) => {}
        }
        outcome
    }

    async fn seal_all(&self, now: Millis) -> Result<u64, SealError> {
        let mut sealed = 0_u64;
        while let Some(batch) = self.prepare(now).await? {
            let before = self.state().sealed();
            let size = batch.head.size();
            if !self.write(batch).await? {
                break;
            }
            sealed = sealed.saturating_add(size.saturating_sub(before));
        }
        Ok(sealed)
    }

    /// The next batch, if there is one and it is ours to seal.
    pub(super) async fn prepare(&self, now: Millis) -> Result<Option<Batch>, SealError> {
        let last = self.last_head().await?;
        let (size, entries) = (last.as_ref().map_or(0, SignedHead::size), self.last_entry().await?);
        self.note(last.clone(), entries, now.seconds());
        if entries < size {
            return Err(Fault::Missing(entries.saturating_add(1)).into());
        }
        if entries == size {
            return Ok(None);
        }
        let Some(lease) = self.hold(now).await? else { return Ok(None) };
        match self.batch(last.as_ref(), entries, &lease, now.seconds()).await {
            // Head and tiles were read one after the other: if another server sealed between, that was no fault.
            Err(SealError::Fault(_)) if self.last_head().await? != last => Ok(None),
            batch => batch.map(Some),
        }
    }

    /// The batch on the last head, up to the last of `entries`.
    async fn batch(
        &self,
        last: Option<&SignedHead>,
        entries: u64,
        lease: &Lease,
        now: Timestamp,
    ) -> Result<Batch, SealError> {
        let size = last.map_or(0, SignedHead::size);
        let (tiles, expected) = self.edge(size).await?;
        let mut edge = seal::begin(last, &self.key.log(), &tiles)?;
        self.look_back(&edge).await?;
        let next = Key::AuditTile(edge.next_tile());
        self.read_on(&mut edge, entries).await?;
        let head = self.key.sign(seal::head(&edge, self.key.log(), now))?;
        let (holder, held) = lease.guard();
        let mut draft = Commit::draft(now, server(LEASE)).expect(holder, held).expect(next, expected);
        for (at, tile) in edge.grown() {
            draft = draft.put(Key::AuditTile(at), tile.to_body());
        }
        let commit = draft.put(Key::AuditHead(head.size()), head.to_bytes()).finish()?;
        Ok(Batch { commit, head })
    }

    /// Writes a batch; `false` if it is another server's turn now.
    pub(super) async fn write(&self, batch: Batch) -> Result<bool, SealError> {
        match self.store.commit(batch.commit).await {
            Ok(_) => {}
            Err(StoreError::Conflict(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let mut state = self.state();
        state.begun = true;
        if state.entries <= batch.head.size() {
            state.unsealed_since = None;
        }
        state.head = Some(Arc::new(batch.head));
        Ok(true)
    }

    /// Compares every sealed entry with the hash with which it was sealed, and the hashes with the newest head.
    pub async fn check(&self, now: Timestamp) -> Result<(), SealError> {
        let outcome = self.check_all().await;
        let mut state = self.state();
        match &outcome {
            Ok(true) => (state.verified, state.found) = (Some(now), None),
            Ok(false) => state.found = None,
            Err(SealError::Fault(fault)) => state.found = Some(fault.clone()),
            Err(SealError::Store(_) | SealError::Malformed(_) | SealError::Head(_)) => {}
        }
        outcome.map(|_| ())
    }

    /// Whether there was anything to check, and all of it was right.
    async fn check_all(&self) -> Result<bool, SealError> {
        let Some(head) = self.last_head().await? else { return Ok(false) };
        if head.head().log != self.key.log() {
            return Err(Fault::OtherKey.into());
        }
        let mut edge = Edge::default();
        while edge.size() < head.size() {
            let (after, until) = (edge.size(), head.size().min(edge.size().saturating_add(PAGE)));
            self.same(after, until).await?;
            for bytes in self.stretch(after, until).await?.entries.values() {
                edge.push(leaf_hash(bytes));
            }
            edge.forget();
            if edge.size() != until {
                return Err(Fault::Missing(edge.size().saturating_add(1)).into());
            }
        }
        if edge.root() == head.head().root { Ok(true) } else { Err(Fault::Tiles(head.size()).into()) }
    }

    /// Removes heads that need not be kept.
    pub async fn thin(&self, now: Timestamp) -> Result<usize, SealError> {
        let (mut heads, mut after) = (Vec::new(), 0);
        loop {
            let page = self.heads(after).await?;
            let Some(last) = page.last() else { break };
            after = last.size();
            heads.extend(page.iter().map(|head| (head.size(), head.head().at)));
        }
        let superfluous = seal::superfluous(&heads, now);
        for some in superfluous.chunks(limits::COMMIT_CHANGES) {
            let draft = Commit::draft(now, server(LEASE));
            let draft = some.iter().fold(draft, |draft, size| draft.delete(Key::AuditHead(*size)));
            self.store.commit(draft.finish()?).await?;
        }
        Ok(superfluous.len())
    }

    /// The newest head, which must be one.
    async fn last_head(&self) -> Result<Option<SignedHead>, SealError> {
        match self.head().await {
            Ok(head) => Ok(head),
            Err(StoreError::Corrupt(_)) => Err(Fault::Head(self.state().sealed()).into()),
            Err(error) => Err(error.into()),
        }
    }

    async fn last_entry(&self) -> Result<u64, StoreError> {
        let page = self.store.scan(Index::All(Kind::Audit), Cursor::Last, 1).await?;
        Ok(page.rows.first().map_or(0, |(key, _)| sequence_of(key)))
    }

    /// Takes or keeps the lease; nothing if another server has it.
    async fn hold(&self, now: Millis) -> Result<Option<Lease>, StoreError> {
        let request = LeaseRequest { name: name(LEASE), holder: self.holder.clone(), ttl_ms: LEASE_MS, now };
        match self.store.lease(request).await? {
            LeaseAnswer::Granted(lease) => Ok(Some(lease)),
            LeaseAnswer::Held { .. } => Ok(None),
        }
    }

    /// The unfinished tiles of a tree of `size` leaves, and what a commit takes for granted about the tile that the
    /// next leaf goes to: every batch writes that one, so of two batches on one tree only one is written.
    async fn edge(&self, size: u64) -> Result<(BTreeMap<TileAt, Tile>, Expected), StoreError> {
        let next = TileAt { level: 0, index: size / WIDTH };
        let (row, _) = self.tile(next).await?;
        let mut tiles = BTreeMap::new();
        for at in Edge::wants(size) {
            if let Some(tile) = self.tile(at).await?.1 {
                tiles.insert(at, tile);
            }
        }
        Ok((tiles, Expected::of(row.as_ref())))
    }

    /// Once after a start: whether the entries of the last tile are still those that were sealed.
    async fn look_back(&self, edge: &Edge) -> Result<(), SealError> {
        if self.state().begun || edge.size() == 0 {
            return Ok(());
        }
        let after = edge.size().saturating_sub(1) / WIDTH * WIDTH;
        self.same(after, edge.size()).await
    }

    /// Whether the entries behind `after` up to `until`, all of one tile, are those that were sealed.
    async fn same(&self, after: u64, until: u64) -> Result<(), SealError> {
        let at = TileAt { level: 0, index: after / WIDTH };
        let tile = self.tile(at).await?.1.ok_or(Fault::Tiles(until))?;
        let count = usize::try_from(until.saturating_sub(after)).unwrap_or(usize::MAX);
        let sealed = tile.hashes().get(..count).ok_or(Fault::Tiles(until))?;
        let stretch = self.stretch(after, until).await?;
        if let Some(sequence) = stretch.unreadable.first() {
            return Err(Fault::Unreadable(*sequence).into());
        }
        Ok(seal::same(after.saturating_add(1), sealed, &stretch.entries)?)
    }

    /// Adds entries to the edge, up to `entries` and to a batch's limit.
    async fn read_on(&self, edge: &mut Edge, entries: u64) -> Result<(), SealError> {
        let most = u64::try_from(limits::AUDIT_BATCH).unwrap_or(u64::MAX);
        let until = entries.min(edge.size().saturating_add(most));
        while edge.size() < until {
            let end = until.min(edge.size().saturating_add(PAGE));
            let stretch = self.stretch(edge.size(), end).await?;
            if let Some(sequence) = stretch.unreadable.first() {
                return Err(Fault::Unreadable(*sequence).into());
            }
            seal::extend(
                edge,
                stretch.entries.iter().map(|(sequence, bytes)| (*sequence, bytes.as_slice())),
            )?;
            if edge.size() < end {
                return Err(Fault::Missing(edge.size().saturating_add(1)).into());
            }
        }
        Ok(())
    }

    /// Remembers what was just read.
    fn note(&self, head: Option<SignedHead>, entries: u64, now: Timestamp) {
        let mut state = self.state();
        state.entries = entries;
        state.head = head.map(Arc::new);
        state.unsealed_since = match entries > state.sealed() {
            true => state.unsealed_since.or(Some(now)),
            false => None,
        };
    }
}

/// The sequence of a journal's key.
fn sequence_of(key: &Key) -> u64 {
    if let Key::Audit(sequence) = key { *sequence } else { 0 }
}
