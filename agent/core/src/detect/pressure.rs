//! The detector `table-pressure`: more connections at once than the flow table holds.
//!
//! The table gives up old flows to stay within its memory; that it had to is the finding, for a flood looks so.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use cordon_proto::limits;
use cordon_proto::telemetry::{Finding, Severity};
use cordon_proto::time::Timestamp;

use super::ledger::{Detector, Ledger};
use super::words::{Judgement, moment};

/// Takes the number of flows given up since it was last told.
pub fn observe(forced: u64, ledger: &mut Ledger, now: Timestamp) -> Option<Finding> {
    if forced == 0 {
        return None;
    }
    let tally = ledger.count(Detector::TablePressure, "table", now)?;
    let judgement = Judgement {
        detector: Detector::TablePressure,
        peer: None,
        severity: Severity::High,
        attack: &["T1498"],
        evidence: Vec::from([("given-up", forced.to_string()), ("table", limits::FLOWS.to_string())]),
        title: "Has more connections than can be watched".to_string(),
        what_changed: format!(
            "Since {} there are more than {} connections at once; {forced} were given up just now, half-open ones first.",
            moment(tally.first),
            limits::FLOWS
        ),
        why_it_matters: "A device rarely has more than some hundred connections: it is being flooded, or is flooding others.",
        how_sure: "High: the count is exact. What was given up is not in the reports.".to_string(),
        what_to_do: "Look at the device's network port and isolate it if it is the source. A load test or a network scan of your own looks the same."
            .to_string(),
    };
    Some(judgement.finding(&tally))
}
