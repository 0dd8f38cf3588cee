//! The audit export and its check, which needs no server: the entries, the hashes with which they were sealed, the heads.
//!
//! One file of lines. An entry is a line exactly as it is stored; after every stretch of entries comes one line with
//! the hashes that the sealer kept for them; the signed heads stand at the end. [`Examination`] takes the lines one by
//! one and then answers, against a head that was kept elsewhere: nothing was changed, or what was ([`Tampering`]). It
//! believes no line: entries are held to the heads, hashes are evidence only where they lead to a signed root, heads
//! count only with the key of the kept one. Read next: [`cordon_proto::audit`].

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::audit::SignedHead;
use cordon_proto::canonical::Value;
use cordon_proto::canonical::fields::{decode_hex, encode_hex};
use cordon_proto::limits;
use cordon_proto::merkle::{Hash, Tree};

use super::Recorded;

#[cfg(test)]
mod tests;

const HASHES: &str = "audit-hashes";
const UNREADABLE: &str = "audit-unreadable";

/// The line with the sealed hashes of the entries from `first` on, with its end.
#[must_use]
pub fn hashes_line(first: u64, hashes: &[Hash]) -> Vec<u8> {
    line(Value::object([
        ("_type", Value::from(HASHES)),
        ("first", Value::from(first)),
        ("hashes", Value::from(encode_hex(hashes.as_flattened()))),
    ]))
}

/// The line that stands for an entry that its server could not read, with its end.
#[must_use]
pub fn unreadable_line(sequence: u64) -> Vec<u8> {
    line(Value::object([("_type", Value::from(UNREADABLE)), ("sequence", Value::from(sequence))]))
}

fn line(value: Value) -> Vec<u8> {
    let mut line = value.canonical();
    line.push(b'\n');
    line
}

/// What is wrong with an export, in words for people; each names the entry or the stretch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Tampering {
    /// The heads that were kept are of several logs, or of none that is expected.
    #[error(
        "the kept head is of another log (key {found}) than expected ({expected}): is it of this server?"
    )]
    OtherLog {
        /// The key that was expected, in hexadecimal digits.
        expected: String,
        /// The key of the head.
        found: String,
    },
    /// A head in the export has another key than the kept one.
    #[error(
        "line {line}: the head over {size} entries is signed with another key ({found}) than the kept head \
         ({expected}): somebody else signed this export"
    )]
    OtherKey {
        /// The line of the export.
        line: u64,
        /// The entries of the head.
        size: u64,
        /// The key of the kept head, in hexadecimal digits.
        expected: String,
        /// The key of this one.
        found: String,
    },
    /// A line is a head that is not signed by its key.
    #[error("line {line}: a head of the log was changed: {why}")]
    Head {
        /// The line of the export.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The entry cannot be read.
    #[error("entry {sequence} cannot be read (line {line}): what stands in its place is no audit entry")]
    Unreadable {
        /// The entry.
        sequence: u64,
        /// The line of the export.
        line: u64,
    },
    /// The entry is not there.
    #[error("entry {sequence} is missing: entry {found} stands in its place (line {line})")]
    Missing {
        /// The entry.
        sequence: u64,
        /// The entry that stands there.
        found: u64,
        /// The line of the export.
        line: u64,
    },
    /// The entry stands further behind.
    #[error("entry {sequence} is out of order: entry {found} stands in its place (line {line})")]
    OutOfOrder {
        /// The entry.
        sequence: u64,
        /// The entry that stands there.
        found: u64,
        /// The line of the export.
        line: u64,
    },
    /// An earlier entry stands there again.
    #[error("in the place of entry {sequence} stands entry {found} again (line {line})")]
    Repeated {
        /// The entry.
        sequence: u64,
        /// The entry that stands there.
        found: u64,
        /// The line of the export.
        line: u64,
    },
    /// The end is cut off.
    #[error("entry {sequence} and all after it are missing: a signed head covers {size} entries")]
    Truncated {
        /// The first entry that is missing.
        sequence: u64,
        /// The entries of the head.
        size: u64,
    },
    /// Entries that no head covers.
    #[error("entry {sequence} stands behind the last signed head: nothing vouches for it")]
    Unsealed {
        /// The first such entry.
        sequence: u64,
    },
    /// The entry was edited.
    #[error("entry {sequence} was changed after it was sealed")]
    Changed {
        /// The entry.
        sequence: u64,
    },
    /// An entry of this stretch was edited; the export has no sealed hashes that would say which.
    #[error("an entry between {first} and {last} was changed after it was sealed")]
    ChangedWithin {
        /// The first entry of the stretch.
        first: u64,
        /// The last.
        last: u64,
    },
    /// The export agrees with itself, and not with the head that was kept.
    #[error(
        "an entry between {first} and {last} is not the one that the kept head vouches for, although the export's own \
         heads agree with it: whoever holds the server's key rewrote the log"
    )]
    Rewritten {
        /// The first entry of the stretch.
        first: u64,
        /// The last.
        last: u64,
    },
}

impl Tampering {
    /// The entries that it is about, first and last, where it is about entries.
    #[must_use]
    pub fn entries(&self) -> Option<(u64, u64)> {
        match self {
            Self::OtherLog { .. } | Self::OtherKey { .. } | Self::Head { .. } => None,
            Self::Unreadable { sequence, .. }
            | Self::Missing { sequence, .. }
            | Self::OutOfOrder { sequence, .. }
            | Self::Repeated { sequence, .. }
            | Self::Unsealed { sequence }
            | Self::Changed { sequence } => Some((*sequence, *sequence)),
            Self::Truncated { sequence: first, size: last }
            | Self::ChangedWithin { first, last }
            | Self::Rewritten { first, last } => Some((*first, *last)),
        }
    }
}

/// An export in which everything is as it was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Its entries.
    pub entries: u64,
    /// The newest head over them.
    pub head: SignedHead,
    /// Heads that were checked, the kept ones included.
    pub heads: usize,
}

/// An export being read.
#[derive(Debug, Default)]
pub struct Examination {
    lines: u64,
    entries: Tree,
    sealed: Tree,
    heads: Vec<(u64, SignedHead)>,
    broken_head: Option<Tampering>,
    broken_order: Option<Tampering>,
}

impl Examination {
    /// Takes the next line, without its end. A line longer than `limits::AUDIT_LINE_BYTES` may be cut there.
    pub fn line(&mut self, bytes: &[u8]) {
        self.lines = self.lines.saturating_add(1);
        if bytes.starts_with(br#"{"sig":"#) {
            self.head(bytes);
        } else if bytes.starts_with(br#"{"_type":"#) {
            self.hashes(bytes);
        } else {
            self.entry(bytes);
        }
    }

    /// What is wrong with the export, or that nothing is. `kept` are heads that were kept elsewhere, at least one;
    /// `log` is the key of the log, where it is known from another place too.
    pub fn finish(mut self, kept: &[SignedHead], log: Option<[u8; 32]>) -> Result<Verified, Tampering> {
        let log = one_log(kept, log)?;
        for (line, head) in &self.heads {
            if head.head().log != log {
                let (expected, found) = (encode_hex(&log), encode_hex(&head.head().log));
                return Err(Tampering::OtherKey { line: *line, size: head.size(), expected, found });
            }
        }
        self.broken_order.take().map_or(Ok(()), Err)?;
        self.broken_head.take().map_or(Ok(()), Err)?;
        let own = self.heads.drain(..).map(|(_, head)| head).collect::<Vec<_>>();
        self.length(kept, &own)?;
        self.roots(kept, &own)?;
        let newest = kept.iter().chain(&own).max_by_key(|head| (head.size(), head.head().at));
        let head = newest.cloned().ok_or(Tampering::Unsealed { sequence: 1 })?;
        Ok(Verified { entries: self.entries.size(), head, heads: kept.len() + own.len() })
    }

    fn head(&mut self, bytes: &[u8]) {
        let line = self.lines;
        match SignedHead::parse(bytes) {
            Ok(head) => self.heads.push((line, head)),
            Err(why) => {
                let why = alloc::format!("{why}");
                self.broken_head.get_or_insert(Tampering::Head { line, why });
            }
        }
    }

    /// Sealed hashes that do not follow the ones before are no evidence; the heads are checked without them.
    fn hashes(&mut self, bytes: &[u8]) {
        let Some(read) = Hashes::parse(bytes) else { return self.entry(bytes) };
        match read {
            Hashes::Sealed { first, hashes } if first == self.sealed.size().saturating_add(1) => {
                hashes.into_iter().for_each(|hash| self.sealed.push_hash(hash));
            }
            Hashes::Sealed { .. } => {}
            Hashes::Unreadable => self.entry(bytes),
        }
    }

    fn entry(&mut self, bytes: &[u8]) {
        let (line, wanted) = (self.lines, self.entries.size().saturating_add(1));
        let found = Recorded::from_bytes(bytes).map(|recorded| recorded.sequence);
        match (&self.broken_order, found) {
            (None, Ok(sequence)) if sequence == wanted => self.entries.push_data(bytes),
            (None, found) => self.broken_order = Some(misplaced(line, wanted, found.ok())),
            // What was missed so far and comes now was not lost but moved.
            (Some(Tampering::Missing { sequence, found: there, line }), Ok(found)) if found == *sequence => {
                let (found, line) = (*there, *line);
                self.broken_order = Some(Tampering::OutOfOrder { sequence: wanted, found, line });
            }
            (Some(_), _) => {}
        }
    }

    /// Whether there are as many entries as the newest head says.
    fn length(&self, kept: &[SignedHead], own: &[SignedHead]) -> Result<(), Tampering> {
        let (entries, size) = (self.entries.size(), kept.iter().chain(own).map(SignedHead::size).max());
        let size = size.unwrap_or(0);
        let sequence = entries.min(size).saturating_add(1);
        match entries.cmp(&size) {
            core::cmp::Ordering::Less => Err(Tampering::Truncated { sequence, size }),
            core::cmp::Ordering::Equal => Ok(()),
            core::cmp::Ordering::Greater => Err(Tampering::Unsealed { sequence }),
        }
    }

    /// Whether the entries lead to the root of every head.
    fn roots(&self, kept: &[SignedHead], own: &[SignedHead]) -> Result<(), Tampering> {
        let kept = self.judged(kept);
        let own = self.judged(own);
        let all = || kept.wrong.iter().chain(&own.wrong);
        if all().next().is_none() {
            return Ok(());
        }
        // Sealed hashes that lead to a signed root are what was sealed: the first that differs names the entry.
        if let Some(head) = all().find(|head| self.sealed.root_at(head.size()) == Some(head.head().root)) {
            let differs = |index: &u64| self.sealed.leaf(*index) != self.entries.leaf(*index);
            if let Some(index) = (0..head.size()).find(differs) {
                return Err(Tampering::Changed { sequence: index.saturating_add(1) });
            }
        }
        let least = |judged: &Judged<'_>| judged.wrong.iter().map(|head| head.size()).min();
        let before = |rights: &[u64], last: u64| rights.iter().filter(|size| **size < last).max().copied();
        let rights = [kept.right.as_slice(), &own.right].concat();
        Err(match (least(&kept), least(&own)) {
            (kept_last, Some(own_last)) => {
                let last = kept_last.map_or(own_last, |kept_last| kept_last.min(own_last));
                let first = before(&rights, last).unwrap_or(0).saturating_add(1);
                Tampering::ChangedWithin { first, last }
            }
            // The export's own heads prove nothing here: they are the rewriter's.
            (last, None) => {
                let last = last.unwrap_or(0);
                let first = before(&kept.right, last).unwrap_or(0).saturating_add(1);
                Tampering::Rewritten { first, last }
            }
        })
    }

    fn judged<'h>(&self, heads: &'h [SignedHead]) -> Judged<'h> {
        let leads = |head: &&SignedHead| self.entries.root_at(head.size()) == Some(head.head().root);
        let (right, wrong): (Vec<_>, Vec<_>) = heads.iter().partition(leads);
        Judged { right: right.into_iter().map(SignedHead::size).collect(), wrong }
    }
}

/// Heads, by whether the entries lead to their root.
struct Judged<'h> {
    right: Vec<u64>,
    wrong: Vec<&'h SignedHead>,
}

fn misplaced(line: u64, sequence: u64, found: Option<u64>) -> Tampering {
    match found {
        None => Tampering::Unreadable { sequence, line },
        Some(found) if found < sequence => Tampering::Repeated { sequence, found, line },
        Some(found) => Tampering::Missing { sequence, found, line },
    }
}

/// The one key of all heads that were kept.
fn one_log(kept: &[SignedHead], log: Option<[u8; 32]>) -> Result<[u8; 32], Tampering> {
    let mut logs = kept.iter().map(|head| head.head().log);
    let log = log.or_else(|| logs.clone().next()).unwrap_or_default();
    match logs.find(|found| *found != log) {
        None => Ok(log),
        Some(found) => Err(Tampering::OtherLog { expected: encode_hex(&log), found: encode_hex(&found) }),
    }
}

/// A line that is no entry and no head.
enum Hashes {
    Sealed { first: u64, hashes: Vec<Hash> },
    Unreadable,
}

impl Hashes {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let value = Value::parse(bytes, limits::AUDIT_LINE_BYTES).ok()?;
        let fields = value.map().ok()?;
        match fields.text("_type").ok()? {
            HASHES => {
                let bytes = decode_hex(fields.text("hashes").ok()?)?;
                let (hashes, rest) = bytes.as_chunks::<32>();
                let first = fields.unsigned("first").ok()?;
                rest.is_empty().then(|| Self::Sealed { first, hashes: hashes.to_vec() })
            }
            UNREADABLE => Some(Self::Unreadable),
            _ => None,
        }
    }
}
