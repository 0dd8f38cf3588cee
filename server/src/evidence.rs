//! Making an evidence pack: documents, receipts and entries are loaded, the audit log seals the root, the file goes out.
//!
//! What belongs in and how it is checked stands in `cordon_server_core::evidence`. Nothing new is signed for a pack: the
//! export is an entry of the audit log, and the head over it vouches for the whole. Read next: `http/operator/evidence`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cordon_proto::audit::SignedHead;
use cordon_proto::canonical::fields::encode_hex;
use cordon_proto::ids::{Name, Text};
use cordon_proto::limits;
use cordon_proto::merkle::Hash;
use cordon_proto::time::Timestamp;
use cordon_proto::update::order::Order;
use cordon_proto::update::release::Image;
use cordon_server_core::audit::{Entry, Recorded};
use cordon_server_core::change::Commit;
use cordon_server_core::evidence::{
    ACTION, Asked, Builder, Chosen, Line, Seal, Sealed, choose, choose_maker, tail,
};

use crate::app::{App, CommitError};
use crate::audit_log::SealError;
use crate::people::Doer;
use crate::repositories::{DIRECTOR, Repositories};
use crate::rollouts::Rollouts;
use crate::store::{Cursor, Index, Key, Kind, StoreError};

/// How long the audit log may take to seal the export.
const SEAL_TRIES: u32 = 200;
/// Between two looks whether it has.
const SEAL_PAUSE: Duration = Duration::from_millis(50);

/// What a pack is made from.
pub struct Evidence<'a> {
    /// The application.
    pub app: &'a App,
    /// The rollouts.
    pub rollouts: &'a Rollouts,
    /// The repositories.
    pub repositories: &'a Repositories,
}

/// Why there is no pack.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Nothing of that name was ever ordered.
    #[error("no order was ever published for {0}: ask by the name of an order, a release or a rollout")]
    Unknown(String),
    /// More than one pack holds.
    #[error("more than {} receipts: ask for one order at a time", limits::EVIDENCE_RECEIPTS)]
    TooMany,
    /// A head of another log.
    #[error(
        "the kept head is of another audit log (key {found}) than that of this server ({expected}): is it of this server?"
    )]
    OtherLog {
        /// The key of this server's log.
        expected: String,
        /// The key of the kept head.
        found: String,
    },
    /// A head over more entries than there are.
    #[error(
        "the kept head covers {kept} entries of the audit log, and this server has sealed {sealed}: its log was cut off, or \
         restored from a backup; keep the head"
    )]
    Shorter {
        /// The entries of the kept head.
        kept: u64,
        /// The entries that are sealed.
        sealed: u64,
    },
    /// A head from which the log does not go on.
    #[error(
        "this server's audit log does not begin with the {0} entries of the kept head: it was rewritten, or restored from a \
         backup; keep the head, and check an export with `cordonctl audit verify`"
    )]
    Rewritten(u64),
    /// The audit log did not seal it in time.
    #[error("the audit log has not sealed the export yet: see whether it stands still, and ask again")]
    NotSealed,
    /// The audit log cannot seal.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The entry.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Evidence<'_> {
    /// The whole pack, with the proof that the audit log goes on from each kept head, the smallest first.
    pub async fn pack(
        &self,
        asked: &Asked,
        kept: Vec<SignedHead>,
        by: Doer<'_>,
    ) -> Result<Vec<u8>, PackError> {
        // Before anything is written down: what is no head of this log is told at once.
        if let Some(newest) = self.app.audit.head().await? {
            self.earlier(&kept, &newest).await?;
        }
        let director: Name = DIRECTOR.parse().expect("a valid name");
        let files = self.repositories.files(&director).await?;
        let chosen = choose(&files, asked);
        if chosen.orders.is_empty() {
            return Err(PackError::Unknown(asked.word()));
        }
        let ids: BTreeSet<Name> = chosen.orders.iter().map(|order| order.id.clone()).collect();
        let mut builder = Builder::default();
        builder.push(&Line::Header {
            owner: self.app.config.host.clone(),
            asked: asked.word(),
            made: by.now,
            orders: ids.iter().cloned().collect(),
        });
        push_files(&mut builder, &director, &files, &chosen.files);
        self.makers(&mut builder, &chosen.orders).await?;
        let rollouts = self.rollouts(&mut builder, &ids);
        self.receipts(&mut builder, &ids).await?;
        let sequences = self.journal(&mut builder, &chosen, &rollouts).await?;
        let (mut bytes, seal) = builder.close();
        let (sequence, entry) = self.noted(asked, seal, by).await?;
        let head = self.sealed(sequence).await?;
        let mut proofs = Vec::new();
        for sequence in sequences.into_iter().chain([sequence]) {
            let proof = self.app.audit.inclusion(sequence, head.size()).await?;
            proofs.push((sequence, proof.ok_or(PackError::NotSealed)?.path));
        }
        let (_, path) = proofs.pop().ok_or(PackError::NotSealed)?;
        let earlier = self.earlier(&kept, &head).await?;
        let earlier = kept.into_iter().zip(earlier).collect();
        bytes.extend(tail(&Sealed { entry, path, proofs, earlier, head }));
        Ok(bytes)
    }

    /// The proofs that the log of a head goes on from each kept one.
    async fn earlier(&self, kept: &[SignedHead], head: &SignedHead) -> Result<Vec<Vec<Hash>>, PackError> {
        let mut paths = Vec::new();
        for one in kept {
            let (log, found) = (head.head().log, one.head().log);
            if log != found {
                let (expected, found) = (encode_hex(&log), encode_hex(&found));
                return Err(PackError::OtherLog { expected, found });
            }
            if one.size() > head.size() {
                return Err(PackError::Shorter { kept: one.size(), sealed: head.size() });
            }
            let proof = self.app.audit.consistency(one.size(), head.size()).await?;
            let proof = proof.filter(|proof| proof.proves(&one.head().root, &head.head().root));
            paths.push(proof.ok_or(PackError::Rewritten(one.size()))?.path);
        }
        Ok(paths)
    }

    /// The makers' words for the images, and when each release came.
    async fn makers(&self, builder: &mut Builder, orders: &[Order]) -> Result<(), StoreError> {
        let mut images: BTreeMap<&Name, Vec<&Image>> = BTreeMap::new();
        for order in orders {
            let of = images.entry(&order.repository).or_default();
            of.push(&order.image);
            of.extend(order.back.iter().map(|back| &back.image));
        }
        let known = self.repositories.releases().await?;
        for (repository, images) in images {
            let files = self.repositories.files(repository).await?;
            push_files(builder, repository, &files, &choose_maker(&files, &images));
            let ordered: BTreeSet<_> = orders.iter().map(|order| &order.image.release).collect();
            for release in known.iter().filter(|one| one.repository == *repository) {
                if ordered.contains(&release.release) {
                    builder.push(&Line::Release {
                        repository: repository.clone(),
                        release: release.release.to_string(),
                        available: release.imported,
                    });
                }
            }
        }
        Ok(())
    }

    /// The rollouts of these orders and what is remembered of their devices.
    fn rollouts(&self, builder: &mut Builder, orders: &BTreeSet<Name>) -> BTreeSet<Name> {
        self.rollouts.look(|book| {
            let mut named = BTreeSet::new();
            for (id, rollout) in &book.rollouts {
                if !rollout.waves.iter().any(|wave| orders.contains(&wave.order)) {
                    continue;
                }
                named.insert(id.clone());
                builder.push(&Line::Rollout { id: id.clone(), document: json(rollout) });
                for (device, progress) in book.progress.get(id).into_iter().flatten() {
                    let document = json(progress);
                    builder.push(&Line::Progress { rollout: id.clone(), device: *device, document });
                }
            }
            named
        })
    }

    async fn receipts(&self, builder: &mut Builder, orders: &BTreeSet<Name>) -> Result<(), PackError> {
        let (mut issuers, mut lines) = (BTreeSet::new(), Vec::new());
        for order in orders {
            let (mut after, mut more) = (None, true);
            while more {
                let page = self.app.proofs(order, after, limits::PAGE_ROWS).await?;
                for proven in page.rows {
                    issuers.extend(proven.issuer.map(|issuer| issuer.to_vec()));
                    lines.push(Line::Receipt {
                        order: order.clone(),
                        device: proven.device,
                        received: proven.received,
                        receipt: proven.receipt,
                        leaf: proven.leaf.map(|leaf| leaf.to_vec()).unwrap_or_default(),
                    });
                }
                if lines.len() > limits::EVIDENCE_RECEIPTS {
                    return Err(PackError::TooMany);
                }
                (more, after) = (page.next.is_some(), page.next);
            }
        }
        issuers.into_iter().for_each(|certificate| builder.push(&Line::Issuer { certificate }));
        lines.iter().for_each(|line| builder.push(line));
        Ok(())
    }

    /// The entries about these orders, their documents and their rollouts, oldest first. Receipts stand for themselves.
    async fn journal(
        &self,
        builder: &mut Builder,
        chosen: &Chosen,
        rollouts: &BTreeSet<Name>,
    ) -> Result<Vec<u64>, StoreError> {
        let begun = chosen.orders.iter().map(|order| order.issued).min().unwrap_or(Timestamp(0));
        let documents = chosen.files.iter().map(|file| format!("{DIRECTOR}:{file}"));
        let objects: BTreeSet<String> =
            documents.chain(rollouts.iter().map(|id| format!("rollout:{id}"))).collect();
        let mut found = BTreeMap::new();
        let mut from = Some(Cursor::Last);
        while let Some(cursor) = from {
            let page = self.app.store.scan(Index::All(Kind::Audit), cursor, limits::PAGE_ROWS).await?;
            from = page.next;
            for (key, row) in page.rows {
                let corrupt = || StoreError::Corrupt(key.to_string());
                let recorded = Recorded::from_bytes(&row.body).map_err(|_| corrupt())?;
                if recorded.at < begun {
                    from = None;
                }
                if objects.contains(recorded.entry.object.as_str()) {
                    let entry = String::from_utf8(row.body).map_err(|_| corrupt())?;
                    found.insert(recorded.sequence, entry);
                }
            }
        }
        let sequences = found.keys().copied().collect();
        found.into_values().for_each(|entry| builder.push(&Line::Audit { entry }));
        Ok(sequences)
    }

    /// Writes the export down: where it stands in the journal, and as what.
    async fn noted(&self, asked: &Asked, seal: Seal, by: Doer<'_>) -> Result<(u64, String), PackError> {
        let action = ACTION.parse().expect("a valid name");
        let entry = Entry { after: Some(seal.summary()), ..Entry::new(action, Text::lossy(&asked.word())) };
        self.app.commit(Commit::draft(by.now, by.actor.clone()).audit(entry.clone())).await?;
        self.written(&entry).await
    }

    /// Waits until the log has sealed this entry.
    async fn sealed(&self, sequence: u64) -> Result<SignedHead, PackError> {
        for _ in 0..SEAL_TRIES {
            self.app.audit.seal(self.app.clock.now_ms()).await?;
            let head = self.app.audit.head().await?;
            if let Some(head) = head.filter(|head| head.size() >= sequence) {
                return Ok(head);
            }
            tokio::time::sleep(SEAL_PAUSE).await;
        }
        Err(PackError::NotSealed)
    }

    /// Where the entry of the export stands in the journal; the root in it makes it the only one.
    async fn written(&self, wanted: &Entry) -> Result<(u64, String), PackError> {
        let mut from = Some(Cursor::Last);
        while let Some(cursor) = from {
            let page = self.app.store.scan(Index::All(Kind::Audit), cursor, limits::PAGE_ROWS).await?;
            for (key, row) in page.rows {
                let corrupt = || StoreError::Corrupt(key.to_string());
                let recorded = Recorded::from_bytes(&row.body).map_err(|_| corrupt())?;
                if recorded.entry == *wanted {
                    let entry = String::from_utf8(row.body).map_err(|_| corrupt())?;
                    return Ok((recorded.sequence, entry));
                }
            }
            from = page.next;
        }
        Err(StoreError::Corrupt(Key::Audit(0).to_string()).into())
    }
}

fn push_files(
    builder: &mut Builder,
    repository: &Name,
    files: &BTreeMap<String, Vec<u8>>,
    chosen: &BTreeSet<String>,
) {
    for (file, bytes) in files.iter().filter(|(file, _)| chosen.contains(*file)) {
        builder.push(&Line::File {
            repository: repository.clone(),
            file: file.clone(),
            bytes: bytes.clone(),
        });
    }
}

fn json(document: &impl serde::Serialize) -> String {
    serde_json::to_string(document).expect("strings, integers and lists are always JSON")
}
