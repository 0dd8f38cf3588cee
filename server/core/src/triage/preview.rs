//! What a mute or an allowance would hide: now, and over the last 30 days, before anybody says yes.
//!
//! Counted over the records that the decision would reach, and over nothing else. What would have come through all the
//! same, because it grew worse, is counted apart, so that nobody takes quiet for safe. Read next: [`super::decide`].

use alloc::collections::BTreeSet;

use cordon_proto::ids::DeviceId;
use cordon_proto::telemetry::Severity;
use cordon_proto::time::Timestamp;
use serde::Serialize;

use super::{Record, Turn};

/// Seconds that a preview looks back.
pub const PAST_S: i64 = 30 * 86_400;

/// What would be hidden.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// Findings that stand in the open list now and would leave it.
    pub findings: usize,
    /// On so many devices.
    pub devices: usize,
    /// Of these findings, critical ones.
    pub critical: usize,
    /// How often one of them came to the open list in the last 30 days.
    pub past_alerts: usize,
    /// On so many devices.
    pub past_devices: usize,
    /// How often one of them grew worse in that time: that would have come through.
    pub past_raised: usize,
}

impl Preview {
    /// Counts over the records that a decision would reach.
    #[must_use]
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Record>, now: Timestamp) -> Self {
        let mut preview = Self::default();
        let (mut devices, mut past): (BTreeSet<DeviceId>, BTreeSet<DeviceId>) = Default::default();
        let from = now.plus_seconds(-PAST_S);
        for record in records {
            if record.is_open(now) {
                preview.findings += 1;
                preview.critical += usize::from(record.finding.severity == Severity::Critical);
                devices.insert(record.device);
            }
            for step in record.history.iter().filter(|step| step.at > from && step.at <= now) {
                match step.turn() {
                    Some(Turn::Opened | Turn::Again) => {
                        preview.past_alerts += 1;
                        past.insert(record.device);
                    }
                    Some(Turn::Raised) => preview.past_raised += 1,
                    Some(Turn::Acknowledged | Turn::Muted | Turn::Allowed | Turn::Closed) | None => {}
                }
            }
        }
        Self { devices: devices.len(), past_devices: past.len(), ..preview }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{NOW, report};
    use super::super::tests::open;
    use super::*;
    use crate::triage::{Verb, decide, take_in};

    #[test]
    fn a_preview_counts_what_is_open_now_and_what_came_up_in_thirty_days() {
        // Goal: nobody hides more than they were told. Method: one that opened, closed, opened again and grew worse; one
        // on another device that opened 40 days ago and is closed.
        let device = |n| DeviceId::from_random([n; 16]);
        let close = |record| decide(record, Verb::Close, "ines", "a long reason", NOW).expect("closes");
        let day = |days: i64| NOW.plus_seconds(-days * 86_400);
        let first = take_in(None, device(1), report(1, Severity::High), day(20)).0;
        let again = take_in(Some(close(first)), device(1), report(2, Severity::High), day(3)).0;
        let worse = take_in(Some(again), device(1), report(3, Severity::Critical), day(2)).0;
        let old = close(take_in(None, device(2), report(1, Severity::Low), day(40)).0);
        let preview = Preview::of([&worse, &old], NOW);
        let wanted =
            Preview { findings: 1, devices: 1, critical: 1, past_alerts: 2, past_devices: 1, past_raised: 1 };
        assert_eq!(preview, wanted);
        assert_eq!(Preview::of([], NOW), Preview::default());
        assert_eq!(Preview::of([&open()], NOW).devices, 1);
    }
}
