//! Heads of the audit log that a reader kept: whether the log of a pack goes on from each of them.
//!
//! A key alone says who sealed a pack, not that the log still begins as it did when the head was kept. So a pack carries the
//! earlier heads that it was asked for with, each with a proof of consistency (RFC 9162 section 2.1.4) to its own head; they
//! are checked also where the reader kept none of them. Nothing here reads the body. Read next: [`super::Examination`].

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::audit::SignedHead;
use cordon_proto::canonical::fields::encode_hex;
use cordon_proto::merkle::{Consistency, Hash};

use super::Broken;

/// An earlier head as its line says.
#[derive(Clone, Debug)]
pub(super) struct Earlier {
    pub(super) line: u64,
    pub(super) head: String,
    pub(super) path: Vec<Hash>,
}

/// Whether the log of the pack's head goes on from all earlier heads of the pack, and each head that was kept is one of them.
pub(super) fn continued(
    earlier: &[Earlier],
    kept: &[SignedHead],
    (line, head): (u64, &SignedHead),
) -> Result<(), Broken> {
    let mut proven: Vec<(u64, SignedHead)> = Vec::new();
    for one in earlier {
        let found = one.proven(head)?;
        if proven.last().is_some_and(|(_, last)| last.size() >= found.size()) {
            let wanted = "an earlier head over more entries than the one before it";
            return Err(Broken::Form { line: one.line, wanted });
        }
        proven.push((one.line, found));
    }
    proven.push((line, head.clone()));
    kept.iter().try_for_each(|kept| holds(kept, &proven, (line, head)))
}

impl Earlier {
    /// The head, if the log signed it and the one of the pack goes on from it.
    fn proven(&self, head: &SignedHead) -> Result<SignedHead, Broken> {
        let line = self.line;
        let wrong = |why: &str| Broken::Head { line, why: why.to_string() };
        let bytes = self.head.as_bytes();
        let earlier = SignedHead::parse(bytes).map_err(|error| wrong(&error.to_string()))?;
        if earlier.to_bytes() != bytes {
            return Err(wrong("it is not in its one form"));
        }
        if earlier.head().log != head.head().log {
            return Err(wrong("it is of another log than the head of the pack"));
        }
        let (first, second) = (earlier.size(), head.size());
        let proof = Consistency { first, second, path: self.path.clone() };
        if !proof.proves(&earlier.head().root, &head.head().root) {
            return Err(Broken::Continued { line, size: first });
        }
        Ok(earlier)
    }
}

/// Whether one kept head is among those that are proven, the pack's own included.
fn holds(
    kept: &SignedHead,
    proven: &[(u64, SignedHead)],
    (line, head): (u64, &SignedHead),
) -> Result<(), Broken> {
    let size = kept.size();
    if kept.head().log != head.head().log {
        let (expected, found) = (encode_hex(&head.head().log), encode_hex(&kept.head().log));
        return Err(Broken::KeptOtherLog { size, expected, found });
    }
    if size > head.size() {
        return Err(Broken::KeptLater { found: head.size(), kept: size });
    }
    match proven.iter().find(|(_, one)| one.size() == size) {
        Some((_, one)) if one.head().root == kept.head().root => Ok(()),
        Some((line, _)) => Err(Broken::Rewritten { line: *line, size }),
        None => Err(Broken::NotContinued { line, size }),
    }
}
