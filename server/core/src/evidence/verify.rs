//! The check of a pack, line by line, on any machine: what is wrong with it, or what it proves.
//!
//! First the seal: the head is of the log that the reader knows, the entry with the root stands under it, the body leads to
//! that root, and the log goes on from the heads that the reader kept. Whatever fails there is named by its line, and a line of
//! the body by what the index says it was. Then the contents: the parties' documents from the given roots, every receipt by its
//! device's key. Memory: the parties' documents, the statements of the receipts, and about 200 bytes a line. Read next:
//! [`super::trust`], [`super::verified`] for which receipt counts for what.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::audit::SignedHead;
use cordon_proto::canonical::fields::encode_hex;
use cordon_proto::ids::{DeviceId, Name, Sha256, TargetPath};
use cordon_proto::limits;
use cordon_proto::merkle::{Hash, Inclusion, Tree, leaf_hash};
use cordon_proto::receipt::{Receipt, ReceiptBody};
use cordon_proto::time::Timestamp;
use cordon_proto::update::trust::Rules;
use cordon_proto::wire;

use super::kept::{Earlier, continued};
use super::pack::Names;
use super::trust::{Files, Proven, Repository};
use super::verified::{Counted, Verified};
use super::{ACTION, Approved, Line, Seal, Untrusted};
use crate::audit::Recorded;

/// The owner's repository.
const DIRECTOR: &str = "director";

/// What the reader knows from elsewhere. Nothing in a pack is believed without it.
#[derive(Clone, Debug)]
pub struct Anchors {
    /// SHA-256 of the owner's first root.
    pub director: Sha256,
    /// SHA-256 of each maker's first root.
    pub makers: BTreeMap<Name, Sha256>,
    /// The public key of the audit log.
    pub log: [u8; 32],
    /// Heads of the audit log that were kept from before: its log goes on from each of them.
    pub kept: Vec<SignedHead>,
}

/// The cryptography of devices' certificates, which the reader brings with the authorities that it believes.
pub trait Devices {
    /// What a device stated, if its certificate leads to a believed authority, by itself or over one of `issuers`, and
    /// its key signed the statement.
    fn open(&self, receipt: &Receipt, leaf: &[u8], issuers: &[Vec<u8>]) -> Option<ReceiptBody>;
}

/// What is wrong with a pack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A line stands where another has to.
    #[error("line {line} is not {wanted}: the pack was cut, added to or put out of order there")]
    Form {
        /// The line.
        line: u64,
        /// What has to stand there.
        wanted: &'static str,
    },
    /// The end is missing.
    #[error("the pack ends after line {line} without {wanted}: its end was cut off")]
    Cut {
        /// The last line.
        line: u64,
        /// What is missing.
        wanted: &'static str,
    },
    /// A line is another than was sealed.
    #[error("line {line} was changed after it was sealed: {label}")]
    Changed {
        /// The line.
        line: u64,
        /// What stood there.
        label: String,
    },
    /// A line is not there any more.
    #[error("{label} is missing: it stood in line {line}")]
    Dropped {
        /// Where it stood.
        line: u64,
        /// What it was.
        label: String,
    },
    /// A line stands further behind.
    #[error("{label} is out of order: it stood in line {line}")]
    Moved {
        /// Where it stood.
        line: u64,
        /// What it is.
        label: String,
    },
    /// A line that was not sealed.
    #[error("line {line} was not there when the pack was sealed: nothing vouches for it")]
    Added {
        /// The line.
        line: u64,
    },
    /// A line of the index is another than was sealed.
    #[error("line {line} of the index was changed after it was sealed")]
    Index {
        /// The line.
        line: u64,
    },
    /// Lines of the index are missing.
    #[error("a line of the index is missing before line {line}")]
    IndexMissing {
        /// The line behind the index.
        line: u64,
    },
    /// The audit log did not seal this.
    #[error("line {line}, the seal, is not believed: {why}")]
    Seal {
        /// The line.
        line: u64,
        /// Why.
        why: &'static str,
    },
    /// An entry of the audit log is not under the head.
    #[error("line {line} does not prove that entry {sequence} of the audit log is as it was sealed")]
    Audit {
        /// The line with the proof.
        line: u64,
        /// The entry.
        sequence: u64,
    },
    /// The head is not signed.
    #[error("the head of the audit log in line {line} is not believed: {why}")]
    Head {
        /// The line.
        line: u64,
        /// Why.
        why: String,
    },
    /// The head is of another log.
    #[error("the pack is sealed by another audit log (key {found}) than the one that was given ({expected})")]
    OtherLog {
        /// The key that was given.
        expected: String,
        /// The key of the head.
        found: String,
    },
    /// A head that the reader kept is of another log.
    #[error(
        "the kept head over {size} entries is of another audit log (key {found}) than the pack ({expected}): is it of \
         this server?"
    )]
    KeptOtherLog {
        /// The entries of the kept head.
        size: u64,
        /// The key of the pack's log.
        expected: String,
        /// The key of the kept head.
        found: String,
    },
    /// The head that the reader kept is later than the pack's.
    #[error(
        "the pack's head covers {found} entries of the audit log, the kept head {kept}: the pack was sealed before that head \
         was kept, or the log was cut off; ask for the pack anew with the kept head"
    )]
    KeptLater {
        /// The entries of the pack's head.
        found: u64,
        /// The entries of the kept head.
        kept: u64,
    },
    /// Two different heads of one log over as many entries.
    #[error(
        "the audit log was rewritten: its key signed the kept head over {size} entries and another one over as many (line \
         {line}); keep both files"
    )]
    Rewritten {
        /// The line with the other head.
        line: u64,
        /// The entries.
        size: u64,
    },
    /// The pack says nothing about the kept head.
    #[error(
        "before line {line} stands no proof that the audit log goes on from the kept head over {size} entries: ask for the \
         pack anew with that head; a server whose log was rewritten cannot prove it"
    )]
    NotContinued {
        /// The line with the head, before which it has to stand.
        line: u64,
        /// The entries of the kept head.
        size: u64,
    },
    /// A proof that proves nothing.
    #[error(
        "line {line} does not prove that the audit log goes on from the earlier head over {size} entries: the log was \
         rewritten, or the line was changed"
    )]
    Continued {
        /// The line.
        line: u64,
        /// The entries of the earlier head.
        size: u64,
    },
    /// A party's document.
    #[error(transparent)]
    Document(#[from] Untrusted),
    /// An order is not approved, or the maker does not know its image.
    #[error("order {order}: {why}")]
    Order {
        /// The order.
        order: Name,
        /// Why.
        why: String,
    },
    /// A receipt.
    #[error("the receipt of device {device} for order {order} (line {line}) is not believed: {why}")]
    Receipt {
        /// The line.
        line: u64,
        /// The order.
        order: Name,
        /// The device.
        device: DeviceId,
        /// Why.
        why: &'static str,
    },
}

/// A pack being read.
#[derive(Clone, Debug, Default)]
pub struct Examination {
    line: u64,
    part: Part,
    body: Names,
    index: Vec<(u64, Vec<u8>)>,
    seal: Option<(u64, String, Vec<Hash>)>,
    proofs: Vec<(u64, u64, Vec<Hash>)>,
    earlier: Vec<Earlier>,
    head: Option<(u64, Result<SignedHead, String>)>,
    unreadable: Option<u64>,
    broken: Option<Broken>,
    held: Held,
}

/// Which part the last line belonged to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    #[default]
    Body,
    Index,
    Sealed,
    Earlier,
    Head,
}

/// What the body holds.
#[derive(Clone, Debug, Default)]
struct Held {
    header: Option<(String, String, Timestamp, Vec<Name>)>,
    files: BTreeMap<Name, Files>,
    available: Vec<(TargetPath, Timestamp)>,
    rollouts: Vec<String>,
    issuers: Vec<Vec<u8>>,
    receipts: Vec<(u64, Stated)>,
    entries: Vec<String>,
}

/// A receipt by its line's word and by its device's.
#[derive(Clone, Debug)]
struct Stated {
    order: Name,
    device: DeviceId,
    body: Option<ReceiptBody>,
}

impl Examination {
    /// Takes the next line, without its end. A line longer than `limits::EVIDENCE_LINE_BYTES` may be cut there.
    pub fn line(&mut self, bytes: &[u8], devices: &impl Devices) {
        self.line = self.line.saturating_add(1);
        if bytes.starts_with(br#"{"sig":"#) {
            return self.head(bytes);
        }
        let read = Line::read(bytes).ok();
        match (self.part, read) {
            (Part::Body, Some(Line::Index { .. })) | (Part::Index, Some(Line::Index { .. })) => {
                self.part = Part::Index;
                self.index.push((self.line, bytes.to_vec()));
            }
            (Part::Body, Some(line)) if line.is_body() => {
                self.body.push(bytes, line.label());
                self.hold(line, devices);
            }
            (Part::Body, None) => {
                self.unreadable.get_or_insert(self.line);
                self.body.push(bytes, "a line that cannot be read".into());
            }
            (Part::Body | Part::Index, Some(Line::Seal { entry, path })) => {
                self.part = Part::Sealed;
                self.seal = Some((self.line, entry, path));
            }
            (Part::Sealed, Some(Line::Proof { sequence, path })) => {
                self.proofs.push((self.line, sequence, path));
            }
            (Part::Sealed | Part::Earlier, Some(Line::Earlier { head, path })) => {
                self.part = Part::Earlier;
                self.earlier.push(Earlier { line: self.line, head, path });
            }
            (Part::Body, _) => self.misplaced("a line of the body"),
            (Part::Index, _) => self.misplaced("a line of the index or the seal"),
            (Part::Sealed, _) => self.misplaced("a proof or a head of the audit log"),
            (Part::Earlier, _) => self.misplaced("a head of the audit log"),
            (Part::Head, _) => self.misplaced("the end: nothing follows the head"),
        }
    }

    fn misplaced(&mut self, wanted: &'static str) {
        self.broken.get_or_insert(Broken::Form { line: self.line, wanted });
    }

    fn head(&mut self, bytes: &[u8]) {
        if self.part == Part::Head {
            return self.misplaced("the end: nothing follows the head");
        }
        self.part = Part::Head;
        let head = SignedHead::parse(bytes).map_err(|error| error.to_string());
        let exact = head.and_then(|head| {
            if head.to_bytes() == bytes { Ok(head) } else { Err("it is not in its one form".to_string()) }
        });
        self.head = Some((self.line, exact));
    }

    fn hold(&mut self, line: Line, devices: &impl Devices) {
        let held = &mut self.held;
        match line {
            Line::Header { owner, asked, made, orders } => held.header = Some((owner, asked, made, orders)),
            Line::File { repository, file, bytes } => {
                held.files.entry(repository).or_default().insert(file, bytes);
            }
            Line::Release { release, available, .. } => {
                held.available.extend(release.parse().ok().map(|release| (release, available)));
            }
            Line::Rollout { document, .. } => held.rollouts.push(document),
            Line::Issuer { certificate } => held.issuers.push(certificate),
            Line::Receipt { order, device, receipt, leaf, .. } => {
                let read: Option<Receipt> = wire::read(&receipt, limits::BODY_BYTES).ok();
                let body = read.and_then(|receipt| devices.open(&receipt, &leaf, &held.issuers));
                held.receipts.push((self.line, Stated { order, device, body }));
            }
            Line::Audit { entry } => held.entries.push(entry),
            Line::Progress { .. }
            | Line::Index { .. }
            | Line::Seal { .. }
            | Line::Proof { .. }
            | Line::Earlier { .. } => {}
        }
    }

    /// What is wrong with the pack, or what it proves. The rules' time is not looked at.
    pub fn finish(mut self, anchors: &Anchors, rules: &Rules<'_>) -> Result<Verified, Broken> {
        let head = self.logged(anchors.log, &anchors.kept)?;
        let missing = Broken::Form { line: 1, wanted: "the header" };
        let (owner, asked, made, wanted) = self.held.header.take().ok_or(missing)?;
        let orders = self.orders(anchors, rules, &wanted)?;
        let stated = self.stated()?;
        let Counted { words, others, renamed } = Counted::of(&stated, &orders);
        Ok(Verified {
            owner,
            asked,
            made,
            orders,
            words,
            others,
            outside: 0,
            renamed,
            available: self.held.available,
            rollouts: self.held.rollouts,
            entries: self.held.entries.len(),
            lines: self.body.count(),
            head,
            kept: anchors.kept.clone(),
        })
    }

    /// What is wrong with the seal, or the head that covers the pack: that no line of it is another than was sealed, and that
    /// the log goes on from each head in `kept`. Of what the lines say nothing is judged.
    pub fn seal(mut self, log: [u8; 32], kept: &[SignedHead]) -> Result<SignedHead, Broken> {
        self.logged(log, kept)
    }

    fn logged(&mut self, log: [u8; 32], kept: &[SignedHead]) -> Result<SignedHead, Broken> {
        let (line, seal, head) = self.sealed(log)?;
        self.whole(&seal)?;
        self.broken.take().map_or(Ok(()), Err)?;
        self.audited(&head)?;
        continued(&self.earlier, kept, (line, &head))?;
        Ok(head)
    }

    /// The seal, by a head of the known log.
    fn sealed(&mut self, log: [u8; 32]) -> Result<(u64, (u64, Seal), SignedHead), Broken> {
        let cut = |line: u64, wanted: &'static str| Broken::Cut { line, wanted };
        let early = |broken: &mut Option<Broken>, otherwise| broken.take().unwrap_or(otherwise);
        let Some((line, head)) = self.head.take() else {
            return Err(early(&mut self.broken, cut(self.line, "the signed head of the audit log")));
        };
        let (at, head) = (line, head.map_err(|why| Broken::Head { line, why })?);
        if head.head().log != log {
            let (expected, found) = (encode_hex(&log), encode_hex(&head.head().log));
            return Err(Broken::OtherLog { expected, found });
        }
        let Some((line, entry, path)) = self.seal.take() else {
            return Err(early(&mut self.broken, cut(self.line, "the seal")));
        };
        let wrong = |why| Broken::Seal { line, why };
        let recorded = Recorded::from_bytes(entry.as_bytes()).map_err(|_| wrong("it holds no entry"))?;
        if !stands(&entry, recorded.sequence, path, &head) {
            return Err(wrong("its entry does not stand under the head"));
        }
        let seal = recorded.entry.after.as_ref().filter(|_| recorded.entry.action.as_str() == ACTION);
        let seal = seal.and_then(Seal::of).ok_or_else(|| wrong("its entry seals no pack"))?;
        Ok((at, (line, seal), head))
    }

    /// Whether the body is what was sealed; otherwise the index says what is not.
    fn whole(&self, (line, seal): &(u64, Seal)) -> Result<(), Broken> {
        let index = self.body.index();
        let found = self.index.iter().map(|(_, bytes)| bytes.as_slice());
        if root(index.iter().map(Vec::as_slice)) == seal.root && self.body.count() == seal.lines {
            let pairs = index.iter().zip(&self.index);
            if let Some((_, (line, _))) = pairs.clone().find(|(made, (_, found))| *made != found) {
                return Err(Broken::Index { line: *line });
            }
            return match (index.len(), self.index.get(index.len())) {
                (_, Some((line, _))) => Err(Broken::Added { line: *line }),
                (wanted, None) if self.index.len() < wanted => Err(Broken::IndexMissing { line: *line }),
                (_, None) => Ok(()),
            };
        }
        if root(found) == seal.root {
            return Err(self.differs(seal));
        }
        let first = self.index.first().map_or(*line, |(line, _)| *line);
        Err(match (&self.unreadable, &self.broken) {
            (Some(line), _) => Broken::Changed { line: *line, label: "a line that cannot be read".into() },
            (None, Some(broken)) => broken.clone(),
            (None, None) => Broken::IndexMissing { line: first },
        })
    }

    /// The first line of the body that is not as the sealed index says.
    fn differs(&self, seal: &Seal) -> Broken {
        let mut sealed: Vec<(Hash, String)> = Vec::new();
        for (_, bytes) in &self.index {
            if let Ok(Line::Index { hashes, labels, .. }) = Line::read(bytes) {
                sealed.extend(hashes.into_iter().zip(labels));
            }
        }
        let found = &self.body.hashes;
        let number = |place: usize| u64::try_from(place).unwrap_or(u64::MAX).saturating_add(1);
        let place = sealed.iter().zip(found).position(|((hash, _), found)| hash != found);
        let place = place.unwrap_or(sealed.len().min(found.len()));
        let line = number(place);
        let Some((hash, label)) = sealed.get(place).cloned() else { return Broken::Added { line } };
        let behind = found.get(place.saturating_add(1)..).unwrap_or_default();
        let here = found.get(place);
        let known = here.is_some_and(|here| sealed.iter().any(|(hash, _)| hash == here));
        let grown = self.body.count() > seal.lines;
        if here.is_some() && behind.first() == Some(&hash) && grown {
            Broken::Added { line }
        } else if behind.contains(&hash) {
            Broken::Moved { line, label }
        } else if here.is_none() || known {
            Broken::Dropped { line, label }
        } else {
            Broken::Changed { line, label }
        }
    }

    /// Whether each entry of the body stands under the head.
    fn audited(&mut self, head: &SignedHead) -> Result<(), Broken> {
        let mut proofs = core::mem::take(&mut self.proofs).into_iter();
        for entry in &self.held.entries {
            let sequence = Recorded::from_bytes(entry.as_bytes()).map_or(0, |recorded| recorded.sequence);
            let (line, proved, path) = proofs.next().ok_or(Broken::Audit { line: self.line, sequence })?;
            if proved != sequence || !stands(entry, sequence, path, head) {
                return Err(Broken::Audit { line, sequence });
            }
        }
        match proofs.next() {
            Some((line, ..)) => Err(Broken::Added { line }),
            None => Ok(()),
        }
    }

    /// The orders that the pack is about, approved by the owner's keys and known to their makers.
    fn orders(&self, anchors: &Anchors, rules: &Rules<'_>, wanted: &[Name]) -> Result<Vec<Approved>, Broken> {
        let none = Files::new();
        let director: Name = DIRECTOR.parse().expect("a valid name");
        let files = self.held.files.get(&director).unwrap_or(&none);
        let owner = Repository { name: &director, files, rules };
        let mut approved = owner.orders(&owner.proven(anchors.director)?)?;
        approved.retain(|one| wanted.contains(&one.order.id));
        let mut known: BTreeMap<&Name, Vec<Proven>> = BTreeMap::new();
        for (name, files) in self.held.files.iter().filter(|(name, _)| **name != director) {
            let missing = || Untrusted::NoAnchor { repository: name.to_string() };
            let anchor = anchors.makers.get(name).ok_or_else(missing)?;
            known.insert(name, Repository { name, files, rules }.proven(*anchor)?);
        }
        for name in wanted {
            if !approved.iter().any(|one| one.order.id == *name) {
                let why = "no document in the pack that the owner's people signed lists it".into();
                return Err(Broken::Order { order: name.clone(), why });
            }
        }
        for Approved { order, .. } in &approved {
            let back = order.back.iter().map(|back| &back.image);
            for image in core::iter::once(&order.image).chain(back) {
                let by_maker = known.get(&order.repository).map(Vec::as_slice).unwrap_or_default();
                if !by_maker.iter().any(|one| one.is(&image.release, image.sha256, image.length)) {
                    let why = alloc::format!("the maker signed no release {} with this image", image.release);
                    return Err(Broken::Order { order: order.id.clone(), why });
                }
            }
        }
        Ok(approved)
    }

    /// What devices stated, each by its own key and of the order that its line names.
    fn stated(&mut self) -> Result<Vec<ReceiptBody>, Broken> {
        let mut bodies = Vec::new();
        for (line, stated) in core::mem::take(&mut self.held.receipts) {
            let Stated { order, device, body } = stated;
            let wrong = |why| Broken::Receipt { line, order: order.clone(), device, why };
            let body = body.ok_or_else(|| wrong("no device of a believed authority signed it"))?;
            if body.order != order || body.device != device {
                return Err(wrong("it states another order or device than its line says"));
            }
            bodies.push(body);
        }
        Ok(bodies)
    }
}

fn stands(entry: &str, sequence: u64, path: Vec<Hash>, head: &SignedHead) -> bool {
    let Some(index) = sequence.checked_sub(1) else { return false };
    let proof = Inclusion { index, size: head.size(), path };
    proof.proves(&leaf_hash(entry.as_bytes()), &head.head().root)
}

fn root<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Hash {
    let mut tree = Tree::new();
    lines.for_each(|line| tree.push_data(line));
    tree.root()
}
