//! What people are told of a suspected clone: the finding.
//!
//! It says what was seen, why it matters, how sure that is and what to do, the act first; and it says that nothing was
//! cut off. Nothing here decides.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use cordon_proto::ids::Text;
use cordon_proto::telemetry::{Finding, Severity};
use cordon_proto::time::Timestamp;

use super::Suspicion;
use crate::device::DoubtKind;

/// The detector's name.
pub const DETECTOR: &str = "clone";
/// ATT&CK: private keys taken from files; valid accounts used.
const ATTACK: [&str; 2] = ["T1552.004", "T1078"];
/// Why it matters, whatever was seen.
const WHY: &str = "Whoever holds a copy of a device's key can report in its name, and what is believed of this device may \
                   be the word of another.";
/// What to do about two machines.
const ACT: &str = "Nothing was cut off. Find both machines; enrol the rightful one anew, or quarantine. Harmless if a disk \
                   or a virtual machine was copied or restored: enrol the copy, then clear the doubt.";

/// The words of one kind of doubt.
struct Words {
    key: &'static str,
    title: &'static str,
    changed: &'static str,
    sure: &'static str,
    act: &'static str,
}

impl DoubtKind {
    fn words(self) -> Words {
        match self {
            Self::Overlap => Words {
                key: "overlap",
                title: "Uses one identity from two addresses",
                changed: "Two agents check in under one certificate, in turns, from different addresses.",
                sure: "High: both were alive at the same time; a device that moves leaves its former address.",
                act: ACT,
            },
            Self::Reuse => Words {
                key: "reuse",
                title: "Uses a certificate that has ended",
                changed: "A certificate that was replaced, or whose device took leave, is still in use.",
                sure: "High: the rightful holder has stopped using it; one late try was forgiven.",
                act: "Nothing was cut off, and the old certificate opens nothing. Find who holds the copy. Harmless if \
                      the device was restored from a backup: enrol it anew, then clear the doubt.",
            },
            Self::Backwards => Words {
                key: "backwards",
                title: "Counts backwards, or twice",
                changed: "The count of its starts or check-ins ran backwards, or two agents share one start.",
                sure: "High: counts only rise, through restarts and power cuts; one late word was forgiven.",
                act: ACT,
            },
            Self::SameMachine => Words {
                key: "same-machine",
                title: "Is one machine under two identities",
                changed: "Two active identities say that they run on one and the same machine.",
                sure: "Medium: the machine identifier is the same; images that were copied with it share it.",
                act: "Nothing was cut off. Retire the identity that is no longer used. Harmless if an image was copied \
                      with its machine identifier: give each copy its own, then clear the doubt.",
            },
        }
    }
}

impl Suspicion {
    /// The finding of this suspicion.
    #[must_use]
    pub fn finding(&self, now: Timestamp) -> Finding {
        let words = self.kind.words();
        let evidence: BTreeMap<_, _> =
            [("seen".to_owned(), self.evidence.as_str().chars().take(200).collect())].into();
        Finding {
            detector: DETECTOR.parse().expect("a lower-case word is a name"),
            key: Text::lossy(words.key),
            first: now,
            last: now,
            count: 1,
            peer: None,
            severity: Severity::High,
            attack: Vec::from(ATTACK.map(Text::lossy)),
            evidence,
            title: Text::lossy(words.title),
            what_changed: Text::lossy(words.changed),
            why_it_matters: Text::lossy(WHY),
            how_sure: Text::lossy(words.sure),
            what_to_do: Text::lossy(words.act),
        }
    }
}
