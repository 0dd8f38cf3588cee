//! Tests of a list that comes in: what it makes, what it leaves, what it refuses, and that it can be repeated.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::device::Act;
use crate::order_plan::fixture::pump;

const NOW: Timestamp = Timestamp(1_800_000_000);
const HEAD: &str = "tag;manufacturer;model;version;serial;site;department;type;ip;mac";

fn list(rows: &[&str]) -> Assets {
    let mut assets = Assets::default();
    for row in core::iter::once(&HEAD).chain(rows) {
        assets.row(&row.split(';').collect::<Vec<_>>()).expect("a row");
    }
    assets.finish().unwrap_or_default()
}

/// Devices of a server, and what it does with a plan.
#[derive(Default)]
struct Server(BTreeMap<DeviceId, Device>);

impl Server {
    fn plan(&self, name: &str, rows: &[&str], later_s: i64) -> Plan {
        let name: Name = name.parse().expect("a name");
        let site = Text::lossy("St. Anna");
        let arrival = Arrival { list: &name, site: Some(&site), now: NOW.plus_seconds(later_s) };
        plan(&list(rows), self.0.values(), &arrival)
    }

    fn take<'a>(&mut self, arriving: impl IntoIterator<Item = &'a Arriving>) {
        for one in arriving {
            self.0.insert(one.device.id, one.device.clone());
        }
    }

    fn import(&mut self, rows: &[&str], later_s: i64) -> Plan {
        let plan = self.plan("cmms", rows, later_s);
        self.take(plan.new.iter().chain(&plan.changed).chain(&plan.unlisted));
        plan
    }

    fn only(&self) -> &Device {
        self.0.values().next().expect("a device")
    }
}

fn counts(plan: &Plan) -> [usize; 5] {
    [plan.new.len(), plan.changed.len(), plan.unchanged, plan.unlisted.len(), plan.refused.len()]
}

fn codes(plan: &Plan) -> Vec<(usize, &'static str)> {
    plan.refused.iter().map(|refused| (refused.row, refused.why.code())).collect()
}

const MONITOR: &str = "T1;Philips;MX40;B.06;S1;;ICU 2;Patient Monitor;10.0.0.7;00-1B-44-11-3A-B7";

#[test]
fn a_row_becomes_a_device_that_holds_no_identity() {
    // Goal: what a list says, and nothing more. Method: one full row.
    let mut server = Server::default();
    assert_eq!(counts(&server.import(&[MONITOR], 0)), [1, 0, 0, 0, 0]);
    let device = server.only();
    assert_eq!((device.source, device.state, device.stated), (Source::Imported, State::Listed, false));
    assert!(device.identity.is_none() && device.is_listed_only());
    let place = &device.placement;
    assert_eq!((place.site.as_str(), place.ward.as_str()), ("St. Anna", "ICU 2"));
    assert_eq!(
        (place.kind, &place.impact),
        (DeviceKind::PatientMonitor, &DeviceKind::PatientMonitor.usual_impact())
    );
    let asset = device.asset.as_ref().expect("its record");
    let words = [&asset.tag, &asset.version, &asset.ip, &asset.mac]
        .map(|word| word.as_ref().map_or("", Text::as_str));
    assert_eq!(words, ["T1", "B.06", "10.0.0.7", "00:1b:44:11:3a:b7"]);
    assert_eq!(device.called().as_str(), "S1");
    assert_eq!(Device::from_body(&device.to_body()).as_ref(), Some(device));
}

#[test]
fn the_same_list_again_changes_nothing_and_another_version_changes_one() {
    // Goal: an import can be repeated every night. Method: twice, then with a new version, then without the row, then again with it.
    let other = "T2;Philips;MX40;B.06;S2;;ICU 2;;;";
    let mut server = Server::default();
    server.import(&[MONITOR, other], 0);
    assert_eq!(counts(&server.import(&[MONITOR, other], 60)), [0, 0, 2, 0, 0]);
    let plan = server.import(&[&MONITOR.replace("B.06", "B.07"), other], 120);
    assert_eq!(counts(&plan), [0, 1, 1, 0, 0]);
    assert_eq!(plan.changed[0].words, "version: B.06 → B.07");
    assert_eq!(
        plan.changed[0].device.asset.as_ref().map(|asset| asset.imported),
        Some(NOW.plus_seconds(120))
    );
    let gone = server.import(&[other], 180);
    assert_eq!(
        (counts(&gone), gone.unlisted[0].words.as_str()),
        ([0, 0, 1, 1, 0], "not in the list any more")
    );
    let still = server.import(&[other], 240);
    assert_eq!((counts(&still), still.still_unlisted.len()), ([0, 0, 1, 0, 0], 1));
    assert_eq!(server.0.len(), 2, "nothing is deleted");
    let back = server.import(&[&MONITOR.replace("B.06", "B.07"), other], 300);
    assert_eq!((counts(&back), back.changed[0].words.as_str()), ([0, 1, 1, 0, 0], "in the list again"));
}

#[test]
fn rows_about_one_device_are_refused_with_each_other() {
    // Goal: nobody guesses which row is right. Method: the same tag, the same serial in other letters, the same row twice.
    let plan = Server::default().plan(
        "cmms",
        &[
            "T1;A;M;1;S1",
            "T1;A;M;1;S9",
            "T2;B;N;1;x7",
            "T3;b;n;2;X7",
            "T4;C;O;1;S4",
            "T4;C;O;1;S4",
            "T5;C;O;1;S5",
            "T6;;P;1;S6",
            "T7;D;P;1;S6",
            "T8;E;P;1;S7",
            "T9;F;P;1;S7",
        ],
        0,
    );
    let said: Vec<_> = plan.refused.iter().map(|refused| (refused.row, refused.why.to_string())).collect();
    let twice = |row: usize, other: usize| {
        (row, format!("this device stands in row {other} too: leave one of the two"))
    };
    let pairs = [twice(2, 3), twice(3, 2), twice(4, 5), twice(5, 4), twice(6, 7), twice(7, 6)];
    assert_eq!(said, pairs.into_iter().chain([twice(9, 10), twice(10, 9)]).collect::<Vec<_>>());
    assert_eq!(plan.new.len(), 3, "two makers may give one serial");
}

#[test]
fn a_device_with_an_agent_gets_its_record_and_keeps_its_identity() {
    // Goal: a list changes no identity. Method: a row in other letters about an enrolled pump; one with its tag and another
    // serial; its own again.
    let known = pump("A-1");
    let mut server = Server::default();
    server.take(&[Arriving { row: None, device: known.clone(), former: None, words: String::new() }]);
    let row = "T9;halden;vp-3;4.1;a-1;Elsewhere;Cellar;kiosk;;";
    assert_eq!(counts(&server.import(&[row], 0)), [0, 1, 0, 0, 0]);
    let with = server.only();
    assert_eq!(&Device { asset: None, ..with.clone() }, &known, "only the record came");
    assert_eq!(with.asset.as_ref().and_then(|asset| asset.tag.as_ref()).map(Text::as_str), Some("T9"));
    assert_eq!(codes(&server.plan("cmms", &[&row.replace("a-1", "a-2")], 60)), [(2, "another-device")]);
    assert_eq!(counts(&server.plan("cmms", &[row], 60)), [0, 0, 1, 0, 0]);
}

#[test]
fn what_an_import_cannot_settle_it_refuses_with_what_to_do() {
    // Goal: each refusal names its cure. Method: each kind once.
    let mut server = Server::default();
    assert_eq!(
        codes(&server.plan("cmms", &[";A;M;1;", "T1;A;;1;S1"], 0)),
        [(2, "no-tag-or-serial"), (3, "no-model")]
    );
    server.import(&[MONITOR, "T2;A;M;1;"], 0);
    assert_eq!(codes(&server.plan("rented", &[MONITOR], 60)), [(2, "in-another-list")]);
    let enrolled = Device {
        hardware: Hardware { revision: Text::lossy("C"), ..server.hardware("T2", "S2") },
        ..pump("S2")
    };
    server.take(&[Arriving { row: None, device: enrolled, former: None, words: String::new() }]);
    let row = "T2;A;M;1;S2";
    assert_eq!(codes(&server.plan("cmms", &[MONITOR, row], 60)), [(3, "two-devices")]);
    let listed = server.0.values().find(|device| device.called().as_str() == "T2").expect("listed").clone();
    let retired = listed.after(Act::Retire, Text::lossy("it is the enrolled one"), NOW).expect("possible");
    server.take(&[Arriving { row: None, device: retired, former: None, words: String::new() }]);
    assert_eq!(
        counts(&server.import(&[MONITOR, row], 120)),
        [0, 1, 1, 0, 0],
        "the enrolled one has the record now"
    );
    assert_eq!(codes(&server.plan("cmms", &["T2;A;M;1;"], 180)), []);
    let one = server.0.values().find(|device| device.called().as_str() == "S1").expect("listed").clone();
    let retired = one.after(Act::Retire, Text::lossy("sold to another"), NOW).expect("possible");
    server.take(&[Arriving { row: None, device: retired, former: None, words: String::new() }]);
    assert_eq!(codes(&server.plan("cmms", &[MONITOR, row], 240)), [(2, "retired")]);
}

impl Server {
    fn hardware(&self, tag: &str, serial: &str) -> Hardware {
        let device = self.0.values().find(|device| device.called().as_str() == tag).expect("listed");
        Hardware { serial: Text::lossy(serial), ..device.hardware.clone() }
    }
}

#[test]
fn a_row_by_its_tag_and_a_row_by_its_serial_are_one_device() {
    // Goal: no device is changed twice by one list. Method: a device with both, then a row for each.
    let mut server = Server::default();
    server.import(&[MONITOR], 0);
    let plan = server.plan("cmms", &["T1;Philips;MX40;B.07;", ";Philips;MX40;B.08;S1"], 60);
    assert_eq!((counts(&plan), codes(&plan)), ([0, 1, 0, 0, 1], vec![(3, "twice")]));
}

#[test]
fn a_place_that_a_person_named_stays() {
    // Goal: the list is not stronger than a person's later word. Method: follow the list, move by hand, follow again.
    let mut server = Server::default();
    server.import(&[MONITOR], 0);
    server.import(&[&MONITOR.replace("ICU 2", "ICU 3")], 60);
    assert_eq!(server.only().placement.ward.as_str(), "ICU 3");
    let device = server.only().clone();
    let placement = Placement { ward: Text::lossy("Loan pool"), ..device.placement.clone() };
    server.take(&[Arriving {
        row: None,
        device: Device { placement, ..device },
        former: None,
        words: String::new(),
    }]);
    server.import(&[&MONITOR.replace("ICU 2", "ICU 4")], 120);
    assert_eq!(server.only().placement.ward.as_str(), "Loan pool");
    assert_eq!(
        server.only().asset.as_ref().and_then(|asset| asset.department.as_ref()).map(Text::as_str),
        Some("ICU 4")
    );
}

#[test]
fn a_corrected_serial_names_the_one_under_which_it_was_found() {
    // Goal: the index of serials follows. Method: a row with the same tag and another serial.
    let mut server = Server::default();
    server.import(&[MONITOR], 0);
    let plan = server.import(&[&MONITOR.replace(";S1;", ";S7;")], 60);
    let former = plan.changed[0].former.as_ref().map(|(model, serial)| (model.as_str(), serial.as_str()));
    assert_eq!((former, plan.changed[0].words.as_str()), (Some(("MX40", "S1")), "serial: S1 → S7"));
}

proptest! {
    #[test]
    fn an_import_that_was_cut_off_is_completed_by_the_same_list(
        rows in prop::collection::vec((0_u8..30, 0_u8..6, 0_u8..30), 0..24), upto in 0_usize..24
    ) {
        // Goal: a kill in between loses and doubles nothing. Method: a random list, a part of its plan committed, then all of
        // it again: the same fleet as without the kill, and a third time changes nothing.
        let rows: Vec<String> = rows
            .into_iter()
            .map(|(tag, model, serial)| format!("T{tag};A;M{model};1;{}", if serial < 8 { String::new() } else { format!("S{serial}") }))
            .collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let (mut whole, mut cut) = (Server::default(), Server::default());
        let first = whole.import(&rows, 0);
        let taken = first.new.len() + first.refused.len();
        prop_assert_eq!(taken, rows.len());
        cut.take(first.new.iter().take(upto));
        cut.import(&rows, 60);
        prop_assert!(cut.0.keys().eq(whole.0.keys()));
        let again = cut.import(&rows, 120);
        prop_assert_eq!((again.new.len(), again.changed.len(), again.unlisted.len()), (0, 0, 0));
        prop_assert!(again.still_unlisted.is_empty());
    }
}
