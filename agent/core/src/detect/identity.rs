//! The detector `peer-identity`: an address that speaks with another hardware address than before.
//!
//! It needs no profile. A change while the former owner is heard too is somebody standing between (ARP or neighbour
//! spoofing); one after a silence is rather a replaced machine. Read next: [`crate::neighbour`] for what is a change.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::telemetry::{Finding, Severity};
use cordon_proto::time::Timestamp;

use super::ledger::{Detector, Ledger};
use super::words::{Judgement, counted, moment, period};
use crate::neighbour::Change;

/// Seconds of silence up to which two owners count as there at once.
const TOGETHER_S: i64 = 600;

/// Looks at a change.
pub fn observe(change: &Change, ledger: &mut Ledger, now: Timestamp) -> Option<Finding> {
    let address = change.address.to_string();
    let tally = ledger.count(Detector::PeerIdentity, &address, now)?;
    let silence_s = now.seconds_since(change.heard.seconds()).max(0);
    let together = silence_s <= TOGETHER_S;
    let silence = period(u32::try_from(silence_s).unwrap_or(u32::MAX));
    let times = counted(u64::from(tally.count), "change", "changes");
    Some(
        Judgement {
            detector: Detector::PeerIdentity,
            severity: if together { Severity::High } else { Severity::Medium },
            attack: &["T1557.002", "T0830"],
            evidence: Vec::from([
                ("address", address.clone()),
                ("mac-before", change.before.to_string()),
                ("mac-now", change.now.to_string()),
                ("silence-s", silence_s.to_string()),
                ("changes", tally.count.to_string()),
            ]),
            title: "Another machine answers for a known address".to_string(),
            what_changed: format!(
                "Since {} {address} speaks as {}, {times} so far. Since {} it was {}, last heard {silence} before.",
                moment(tally.first),
                change.now,
                moment(change.since.seconds()),
                change.before
            ),
            why_it_matters: "Whoever takes over an address can read and change what devices say to it.",
            how_sure: if together {
                "High: both hardware addresses claim it within ten minutes, which one machine does not do.".to_string()
            } else {
                String::from("Medium: the former one had been silent, so the machine may have been replaced.")
            },
            what_to_do: "Ask the network team which machine has this hardware address. A new router, a standby pair or an exchanged card looks the same."
                .to_string(),
            peer: Some(address),
        }
        .finding(&tally),
    )
}
