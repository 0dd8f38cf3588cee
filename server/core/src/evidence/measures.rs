//! Three measures of how fast holes are closed, from what a pack proves: the share of devices that are patched, the time
//! from identification to an available update, and from there to its deployment on a device.
//!
//! They are those that the FDA's guidance of 27 June 2025 names for section 524B of the FD&C Act (section VI.B). A device
//! counts as patched by its own receipt and by nothing else: an order is no patch. When a hole became known is the reader's
//! statement; the pack does not know it. A device counts once in all of it. Read next: [`super::Verified`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::ids::HardwareId;
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use cordon_proto::update::scope::Scope;

use super::{Approved, Verified};

/// A hole, and when it became known, by the reader's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name, such as `CVE-2026-1234`.
    pub name: String,
    /// When.
    pub at: Timestamp,
}

/// One hole and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The hole.
    pub name: String,
    /// When it became known.
    pub known: Timestamp,
    /// When the release that closes it was here; unknown if the pack does not say.
    pub available: Option<Timestamp>,
    /// Devices that were to have it.
    pub devices: u64,
    /// When each device that has it proved so.
    pub installed: Vec<Timestamp>,
}

/// One hole on one device, dated by what the server wrote down of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dated<'a> {
    /// The hole.
    pub hole: &'a str,
    /// When it became known of the device.
    pub known: Timestamp,
    /// When a release that closes it was here.
    pub available: Option<Timestamp>,
    /// When the device proved that it runs such a release.
    pub deployed: Option<Timestamp>,
}

/// The cases of dated rows, one for each hole: known since its first day, its repair available since the first one's.
#[must_use]
pub fn cases_of<'a>(rows: impl IntoIterator<Item = Dated<'a>>) -> Vec<Case> {
    let mut cases = Cases::default();
    rows.into_iter().for_each(|row| cases.add(&row));
    cases.finish()
}

/// Cases while their rows come in.
#[derive(Clone, Debug, Default)]
pub struct Cases(BTreeMap<String, Case>);

impl Cases {
    /// Takes in a row.
    pub fn add(&mut self, row: &Dated<'_>) {
        if !self.0.contains_key(row.hole) {
            let (name, installed) = (String::from(row.hole), Vec::new());
            let case = Case { name, known: row.known, available: row.available, devices: 0, installed };
            self.0.insert(row.hole.into(), case);
        }
        let Some(case) = self.0.get_mut(row.hole) else { return };
        case.known = case.known.min(row.known);
        case.available = case.available.into_iter().chain(row.available).min();
        case.devices = case.devices.saturating_add(1);
        case.installed.extend(row.deployed);
    }

    /// The cases, by name.
    #[must_use]
    pub fn finish(self) -> Vec<Case> {
        self.0.into_values().collect()
    }
}

/// Holes that are closed on every device that had them, in thousandths; none without holes.
#[must_use]
pub fn holes_closed_permille(cases: &[Case]) -> Option<u64> {
    let count = |cases: usize| u64::try_from(cases).unwrap_or(u64::MAX);
    let is_closed = |case: &&Case| case.devices > 0 && count(case.installed.len()) >= case.devices;
    let closed = cases.iter().filter(is_closed).count();
    count(closed).saturating_mul(1000).checked_div(count(cases.len()))
}

/// How times are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quartiles {
    /// A quarter is at most that, in seconds.
    pub lower_s: i64,
    /// Half.
    pub median_s: i64,
    /// Three quarters.
    pub upper_s: i64,
    /// All.
    pub most_s: i64,
}

/// The measures of several holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measures {
    /// Devices that are patched, in thousandths of those that were to be; none without devices.
    pub patched_permille: Option<u64>,
    /// Seconds from identification to an available update, over the holes.
    pub identified_to_available: Option<Quartiles>,
    /// Seconds from an available update to its deployment, over devices and holes.
    pub available_to_deployed: Option<Quartiles>,
    /// Holes that are not closed everywhere.
    pub open: Vec<OpenCase>,
}

/// A hole that is not closed everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCase {
    /// The hole.
    pub name: String,
    /// Devices without a proof.
    pub devices: u64,
    /// Seconds since it became known.
    pub for_s: i64,
}

/// The cases of holes that this pack's release closes. Devices of an order by facts are those that stated something.
#[must_use]
pub fn cases(pack: &Verified, known: &[Known]) -> Vec<Case> {
    let (devices, installed) = (reach(pack), installed(pack));
    let available = pack.available.iter().map(|(_, at)| *at).min();
    let case = |hole: &Known| Case {
        name: hole.name.clone(),
        known: hole.at,
        available,
        devices,
        installed: installed.clone(),
    };
    known.iter().map(case).collect()
}

/// When each device got what it still has. A device counts once, whatever orders and issues it answered: since its first
/// confirmation after it last fell or went back. A refusal changes nothing on it.
fn installed(pack: &Verified) -> Vec<Timestamp> {
    let mut words: Vec<_> = pack.words.iter().map(|word| &word.body).collect();
    words.sort_by_key(|body| body.time);
    let mut since: BTreeMap<HardwareId, Timestamp> = BTreeMap::new();
    for body in words {
        match body.outcome {
            Outcome::Confirmed => {
                since.entry(body.hardware).or_insert(body.time);
            }
            Outcome::RolledBack | Outcome::WentBack => {
                since.remove(&body.hardware);
            }
            Outcome::Refused => {}
        }
    }
    since.into_values().collect()
}

/// Devices that were to have it: of each name what the last issue says, and each list once.
fn reach(pack: &Verified) -> u64 {
    let last = |one: &&Approved| {
        let age = |of: &Approved| (of.order.issued, of.document);
        !pack.orders.iter().any(|other| other.order.id == one.order.id && age(other) > age(one))
    };
    let (mut lists, mut spoke) = (BTreeMap::new(), BTreeSet::new());
    for approved in pack.orders.iter().filter(last) {
        match approved.order.scope {
            Scope::Set { root, count } => {
                lists.insert(root, count);
            }
            Scope::Match { .. } => spoke.extend(pack.of(approved).map(|body| body.hardware)),
        }
    }
    lists.values().sum::<u64>().saturating_add(u64::try_from(spoke.len()).unwrap_or(u64::MAX))
}

/// The measures of these cases at one moment.
#[must_use]
pub fn measures(cases: &[Case], now: Timestamp) -> Measures {
    let patched = |case: &Case| u64::try_from(case.installed.len()).unwrap_or(u64::MAX).min(case.devices);
    let devices: u64 = cases.iter().map(|case| case.devices).sum();
    let all: u64 = cases.iter().map(patched).sum();
    let waits = cases.iter().filter_map(|case| Some(case.available?.seconds_since(case.known)));
    let installs = cases.iter().flat_map(|case| {
        let since = |available| case.installed.iter().map(move |at: &Timestamp| at.seconds_since(available));
        case.available.map(since).into_iter().flatten()
    });
    let open = cases.iter().filter(|case| patched(case) < case.devices).map(|case| OpenCase {
        name: case.name.clone(),
        devices: case.devices - patched(case),
        for_s: now.seconds_since(case.known),
    });
    Measures {
        patched_permille: all.saturating_mul(1000).checked_div(devices),
        identified_to_available: Quartiles::of(waits.collect()),
        available_to_deployed: Quartiles::of(installs.collect()),
        open: open.collect(),
    }
}

impl Quartiles {
    /// By the nearest rank: each is a time that was really seen.
    fn of(mut times: Vec<i64>) -> Option<Self> {
        times.sort_unstable();
        let at = |quarter: usize| times.get((times.len() * quarter).div_ceil(4).saturating_sub(1)).copied();
        Some(Self { lower_s: at(1)?, median_s: at(2)?, upper_s: at(3)?, most_s: at(4)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn case(known: i64, available: Option<i64>, devices: u64, installed: &[i64]) -> Case {
        Case {
            name: "CVE-2026-1".into(),
            known: Timestamp(known),
            available: available.map(Timestamp),
            devices,
            installed: installed.iter().map(|at| Timestamp(*at)).collect(),
        }
    }

    #[test]
    fn the_three_measures_are_those_of_a_table_made_by_hand() {
        // Goal: no figure flatters. Method: two holes; five devices of which four are patched, ten of which one is.
        let cases = [case(0, Some(100), 5, &[110, 130, 190, 150]), case(40, Some(100), 10, &[500])];
        let found = measures(&cases, Timestamp(1000));
        assert_eq!(found.patched_permille, Some(333), "5 of 15");
        let quartiles =
            |lower_s, median_s, upper_s, most_s| Some(Quartiles { lower_s, median_s, upper_s, most_s });
        assert_eq!(found.identified_to_available, quartiles(60, 60, 100, 100));
        assert_eq!(found.available_to_deployed, quartiles(30, 50, 90, 400), "of 10, 30, 50, 90 and 400");
        let open = |devices, for_s| OpenCase { name: "CVE-2026-1".into(), devices, for_s };
        assert_eq!(found.open, vec![open(1, 1000), open(9, 960)]);
    }

    #[test]
    fn dated_rows_of_devices_are_joined_by_hole() {
        // Goal: the three measures from what a server wrote down day by day. Method: two holes, three devices, the first days of
        // each; a hole is closed only when every device proved it.
        let row = |hole, known, available: Option<i64>, deployed: Option<i64>| Dated {
            hole,
            known: Timestamp(known),
            available: available.map(Timestamp),
            deployed: deployed.map(Timestamp),
        };
        let rows = [
            row("CVE-2026-2", 100, None, None),
            row("CVE-2026-1", 50, Some(80), Some(90)),
            row("CVE-2026-1", 40, Some(70), Some(170)),
        ];
        let cases = cases_of(rows);
        assert_eq!(
            cases,
            [
                case(40, Some(70), 2, &[90, 170]),
                Case { name: "CVE-2026-2".into(), ..case(100, None, 1, &[]) }
            ]
        );
        assert_eq!((holes_closed_permille(&cases), holes_closed_permille(&[])), (Some(500), None));
        let found = measures(&cases, Timestamp(1000));
        assert_eq!(
            (found.patched_permille, found.identified_to_available.map(|one| one.median_s)),
            (Some(666), Some(30))
        );
        assert_eq!(found.available_to_deployed.map(|one| (one.lower_s, one.most_s)), Some((20, 100)));
        let late =
            cases_of([row("CVE-2026-1", 50, Some(80), Some(90)), row("CVE-2026-1", 50, Some(80), None)]);
        assert_eq!(holes_closed_permille(&late), Some(0), "one of two is not closed");
    }

    #[test]
    fn what_is_not_known_is_said_to_be_unknown() {
        // Goal: no measure of nothing. Method: no case, no device, a release without a date.
        let nothing = measures(&[], Timestamp(9));
        assert_eq!((nothing.patched_permille, nothing.available_to_deployed), (None, None));
        let undated = measures(&[case(0, None, 2, &[5])], Timestamp(9));
        assert_eq!((undated.patched_permille, undated.identified_to_available), (Some(500), None));
        assert_eq!(undated.available_to_deployed, None);
    }
}
