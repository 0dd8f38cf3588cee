//! The fleet's risk on one board: sums, an index, shares, by ward, model, site, or whose move it is.
//!
//! Risk points are the sum of all scores, so they add up over any split. The index is the mean of scores weighted by clinical
//! impact, `Σ I·score / Σ I`: a ventilator counts for more than a kiosk. A device counts in exactly one line of each split.
//! Read next: [`super::register`] for the same device by device.

use alloc::collections::BTreeMap;
use alloc::string::String;

use cordon_proto::time::Timestamp;
use serde::Serialize;

use super::next_step::{NextStep, Owner};
use super::score::{Band, Score};
use super::what_if::count;

/// By what the fleet is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Site and ward together: two sites may each have an ICU.
    Ward,
    /// Model.
    Model,
    /// Site.
    Site,
    /// Who owns the first step.
    Owner,
}

impl Split {
    /// The split of a word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Some(match word {
            "ward" => Self::Ward,
            "model" => Self::Model,
            "site" => Self::Site,
            "owner" => Self::Owner,
            _ => return None,
        })
    }
}

/// One line: some devices together. Hundredths are hundredths of a point.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Devices.
    pub devices: u32,
    /// Risk points: the sum of their scores, in hundredths.
    pub hundredths: u64,
    /// Their highest score.
    pub highest_hundredths: u16,
    /// Devices by band: low, medium, high, critical.
    pub bands: [u32; 4],
    /// Devices of which something that matters is unknown.
    pub unknown: u32,
    /// Steps that are somebody's here.
    pub steps: u32,
    /// Of these, those past their due date.
    pub overdue: u32,
    /// Devices that wait for their maker.
    pub waiting: u32,
    #[serde(skip)]
    weights: u64,
    #[serde(skip)]
    weighted: u128,
}

impl Line {
    /// Counts a device in.
    pub fn add(&mut self, score: &Score, steps: &[NextStep], now: Timestamp) {
        self.devices += 1;
        self.hundredths += u64::from(score.value_hundredths);
        self.highest_hundredths = self.highest_hundredths.max(score.value_hundredths);
        count(&mut self.bands, score.band);
        self.unknown += u32::from(!score.unknown.is_empty());
        self.weights += u64::from(score.impact_e8);
        self.weighted += u128::from(score.impact_e8) * u128::from(score.value_hundredths);
        for step in steps {
            if step.owner == Owner::Maker {
                self.waiting += 1;
            } else {
                self.steps += 1;
                self.overdue += u32::from(is_overdue(step, now));
            }
        }
    }

    /// The mean score weighted by impact, in hundredths; none without devices.
    #[must_use]
    pub fn index_hundredths(&self) -> Option<u16> {
        let mean = self.weighted.checked_div(u128::from(self.weights))?;
        u16::try_from(mean).ok()
    }

    /// Devices in the critical band, in thousandths; none without devices.
    #[must_use]
    pub fn critical_permille(&self) -> Option<u32> {
        let [.., critical] = self.bands;
        critical.saturating_mul(1000).checked_div(self.devices)
    }
}

/// Whether a step should have been done by now. What has no date is never late.
#[must_use]
pub fn is_overdue(step: &NextStep, now: Timestamp) -> bool {
    step.due.is_some_and(|due| due < now)
}

/// The board: all devices, and by each value of one split.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Board {
    /// All of them.
    pub all: Line,
    /// By the split's value.
    pub lines: BTreeMap<String, Line>,
}

impl Board {
    /// Counts a device in, under this value of the split.
    pub fn add(&mut self, key: String, score: &Score, steps: &[NextStep], now: Timestamp) {
        self.all.add(score, steps, now);
        self.lines.entry(key).or_default().add(score, steps, now);
    }
}

/// Whose first step it is, in a word; `nobody` where there is none.
#[must_use]
pub fn owner_word(steps: &[NextStep]) -> &'static str {
    steps.first().map_or("nobody", |step| step.owner.word())
}

impl Owner {
    /// The word, as it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::It => "it",
            Self::Security => "security",
            Self::ClinicalEngineering => "clinical-engineering",
            Self::Network => "network",
            Self::Maker => "maker",
        }
    }
}

impl Band {
    /// The word, as it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::examples::{NOW, days_ago, flat_pump};
    use crate::risk::facts::{Facts, Impact, PatientData, ReleaseAge, Severity, Zone};
    use crate::risk::model::RISK_V1;
    use crate::risk::order_tests::any_facts;
    use crate::risk::{plan, score};
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn board(facts: &[(&str, Facts)]) -> Board {
        let mut board = Board::default();
        for (key, facts) in facts {
            let (score, steps) = (score(facts, &RISK_V1, NOW), plan(facts, &RISK_V1, NOW));
            board.add((*key).to_string(), &score, &steps, NOW);
        }
        board
    }

    #[test]
    fn a_device_that_keeps_patients_alive_weighs_more_in_the_index() {
        // Goal: the index is the stated formula. Method: the pump of example 3 and a calm device of the least impact, by hand.
        let mut calm = Facts::unknown("kiosk");
        calm.impact = Impact { severity: Some(Severity::None), patient_data: Some(PatientData::None) };
        let board = board(&[("ICU", flat_pump()), ("Hall", calm)]);
        assert_eq!((board.all.devices, board.all.hundredths, board.all.bands), (2, 7725, [1, 0, 0, 1]));
        // 0.955 x 77.25 / (0.955 + 0.45)
        assert_eq!(board.all.index_hundredths(), Some(5250));
        assert_eq!(board.all.critical_permille(), Some(500));
        assert_eq!(board.lines["ICU"].index_hundredths(), Some(7725));
        assert_eq!((Line::default().index_hundredths(), Line::default().critical_permille()), (None, None));
    }

    #[test]
    fn what_waits_for_the_maker_is_never_overdue() {
        // Goal: no red date where nobody here can act. Method: a pump whose exploited weakness no release repairs, due long ago if
        // it were ours; then the same with a release.
        let mut pump = flat_pump();
        pump.reach.zone = Some(Zone::Segmented);
        for exposure in &mut pump.exposures {
            exposure.fixed_in = None;
            exposure.known_since = Some(days_ago(100));
        }
        pump.freshness.release = ReleaseAge::Current;
        let waiting = board(&[("ICU", pump.clone())]);
        assert_eq!((waiting.all.waiting, waiting.all.overdue), (1, 0), "{:?}", waiting.all);
        for exposure in &mut pump.exposures {
            exposure.fixed_in = Some("4.2.2".into());
        }
        pump.freshness.release = flat_pump().freshness.release;
        let late = board(&[("ICU", pump)]);
        assert!(late.all.overdue > 0 && late.all.waiting == 0, "{:?}", late.all);
    }

    proptest! {
        #[test]
        fn lines_sum_to_the_whole(all in proptest::collection::vec((0..4_usize, any_facts()), 0..12)) {
            let keys = ["a", "b", "c", "d"];
            let all: Vec<(&str, Facts)> = all.into_iter().map(|(at, facts)| (keys[at], facts)).collect();
            let board = board(&all);
            let sum = |of: fn(&Line) -> u64| board.lines.values().map(of).sum::<u64>();
            prop_assert_eq!(sum(|line| line.hundredths), board.all.hundredths);
            prop_assert_eq!(sum(|line| u64::from(line.devices)), u64::from(board.all.devices));
            prop_assert_eq!(sum(|line| u64::from(line.overdue)), u64::from(board.all.overdue));
            if let Some(index) = board.all.index_hundredths() {
                prop_assert!(index <= board.all.highest_hundredths);
            }
        }
    }
}
