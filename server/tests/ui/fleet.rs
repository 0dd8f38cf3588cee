//! The sample's lists: devices, findings and rollouts of the reference pictures.

use cordon_server::ui::DeviceState;
use cordon_server::ui::acceptance::{Acceptance, Seen, Waits};
use cordon_server::ui::calendar::{self, Calendar, Planned, Ward};
use cordon_server::ui::device::Fact;
use cordon_server::ui::devices::{DeviceRow, Step};
use cordon_server::ui::findings::FindingRow;
use cordon_server::ui::frame::Section;
use cordon_server::ui::paths::{accept, encode};
use cordon_server::ui::rollouts::{
    self, FailedDevice, Hold, Named, ReasonRow, Rights, Rollout, RolloutRow, Rollouts, State, Wave,
};
use cordon_server_core::risk::facts::FindingSeverity;
use cordon_server_core::risk::{Band, Owner, Value};
use cordon_server_core::rollout::calendar::Day;
use cordon_server_core::rollout::{Failure, Tally};

use crate::sample::{NOW, Sample, ago};

/// Score, next step, owner, days until due, name, kind, place, state.
const DEVICES: &str = "\
79 | Install 4.2.2 | IT | 2 | VP3-004417 | Infusion pump | 4B Cardiology, bed 12 | in use
77 | Install 4.2.2 | IT | 2 | VP3-004402 | Infusion pump | 4B Cardiology, bed 9 | in use
77 | Install 4.2.2 | IT | 2 | VP3-003988 | Infusion pump | Intensive care 2, bed 3 | in use
76 | Install 4.2.2 | IT | 2 | VP3-004120 | Infusion pump | Intensive care 2, bed 7 | standby
75 | Move to its network | Network | 3 | AER-V5-0093 | Ventilator | Intensive care 2, bed 7 | in use
74 | Install 4.2.2 | IT | 2 | VP3-004131 | Infusion pump | Emergency, bay 4 | standby
73 | Decide on F-20877 | Security | 0 | IW2-0017 | Imaging workstation | Radiology, reading room | online
72 | Find it, then install 4.2.2 | Clinical | 2 | VP3-004233 | Infusion pump | Intensive care 2, store | silent 9
71 | Install 9.4.1 | IT | 14 | PM80-1204 | Patient monitor | Emergency, bay 1 | in use
71 | Decide on F-20890 | Security | 0 | PM80-1188 | Patient monitor | Theatre 3 | in use
70 | Install 4.2.2 | IT | -3 | VP3-003871 | Infusion pump | Oncology day unit | standby
68 | Wait for the maker | Maker | -70 | AER-V5-0101 | Ventilator | Intensive care 2, bed 2 | in use
62 | Find it | Clinical | 4 | AER-V5-0088 | Ventilator | Intensive care 2, store | silent 31
58 | Install 4.2.2 | IT | 2 | VP3-004391 | Infusion pump | 4B Cardiology, bed 2 | standby
50 | Decide on F-20894 | Security | 0 | K1-0231 | Check-in kiosk | Main entrance, desk 2 | online
49 | Install 7.0.4 | IT | 7 | K1-0218 | Check-in kiosk | Main entrance, desk 1 | quarantined
46 | Install 4.2.2 | IT | 2 | VP3-004008 | Infusion pump | Neonatal, bed 5 | in use
40 | Decide on F-20868 | Security | 0 | IW2-0009 | Imaging workstation | Radiology, reading room | online
33 | Repair its set-up | Clinical | 40 | PM80-0977 | Patient monitor | Theatre 5 | updating
27 | Decide on F-20853 | Security | 4 | K1-0204 | Check-in kiosk | Outpatients, desk 4 | online
19 | | IT | 0 | VP3-004377 | Infusion pump | 4B Cardiology, bed 1 | standby
9 | | IT | 0 | PM80-1001 | Patient monitor | Emergency, bay 6 | in use";

fn state(word: &str) -> DeviceState {
    match word.split_once(' ') {
        Some(("silent", days)) => {
            let days: i64 = days.parse().unwrap();
            DeviceState::Silent { last_seen: Some(ago(days * 86_400 + 60)) }
        }
        Some(_) => DeviceState::InUse { patient: true },
        None if word == "standby" => DeviceState::Standby,
        None if word == "quarantined" => DeviceState::Quarantined,
        None if word == "updating" => DeviceState::Updating,
        None => DeviceState::Online,
    }
}

fn owner(word: &str) -> Owner {
    match word {
        "IT" => Owner::It,
        "Network" => Owner::Network,
        "Security" => Owner::Security,
        "Clinical" => Owner::ClinicalEngineering,
        _ => Owner::Maker,
    }
}

fn band(points: u16) -> Band {
    match points {
        70.. => Band::Critical,
        40.. => Band::High,
        20.. => Band::Medium,
        _ => Band::Low,
    }
}

/// The rows of the reference picture.
pub(crate) fn device_rows(sample: Sample) -> Vec<DeviceRow> {
    let row = |(place, line): (usize, &str)| {
        let [points, step, whose, due, name, kind, stands, standing] =
            line.split('|').map(str::trim).collect::<Vec<_>>().try_into().unwrap();
        let points: u16 = points.parse().unwrap();
        let day = NOW.plus_seconds(due.parse::<i64>().unwrap() * 86_400);
        let owner = owner(whose);
        let maker = owner == Owner::Maker;
        DeviceRow {
            id: sample.text(&format!("d{place}")),
            name: sample.said(name),
            kind: sample.said(kind),
            model: sample.said("VP-3"),
            site: sample.said("St. Brigid"),
            ward: sample.said("4B"),
            place: sample.said(stands),
            tags: vec![sample.said("act-this-week")],
            risk: Value { hundredths: points * 100 + 58, band: band(points) },
            step: (!step.is_empty()).then(|| Step {
                short: sample.said(step),
                owner,
                due: (!maker).then_some(day),
                waiting_since: maker.then_some(day),
            }),
            state: state(standing),
        }
    };
    DEVICES.lines().enumerate().map(row).collect()
}

/// The findings of the reference picture.
pub(crate) fn finding_rows(sample: Sample) -> Vec<FindingRow> {
    use FindingSeverity::{Critical, High, Low, Medium};
    let rows = [
        (Critical, "Calls one outside address every 60 s", "K1-0231, Main entrance", 8 * 3600, 508),
        (Critical, "The gateway's hardware address changed", "PM80-2201, Northfield N2", 8 * 3600, 1),
        (Critical, "Password guessing against SSH, from inside", "IW2-0017, Radiology", 86_400, 318),
        (High, "Rolled back: self-test failed after 4.2.1", "VP3-004402, 4B", 24 * 60, 1),
        (High, "Sent 6.4 times its most for a Friday night", "PM80-1188, Theatre 3", 12 * 3600, 3),
        (High, "Two devices use one identity", "PM80-0977, Theatre 5", 86_400, 1),
        (High, "New program listens on 4444/tcp", "IW2-0009, Radiology", 2 * 86_400, 1),
        (High, "Address names look machine-made", "K1-0204, Outpatients", 4 * 86_400, 412),
        (Medium, "First contact with files-sync.example", "VP3-004417, 4B", 86_400, 4),
        (Medium, "Talks to a peer its maker did not list", "AER-V5-0101, ICU 2", 5 * 86_400, 22),
        (Medium, "Tried 212 addresses in 40 seconds", "PM80-1204, Emergency", 6 * 86_400, 1),
        (Medium, "Advisories are 8 days old", "Northfield", 8 * 86_400, 1),
        (Low, "Has not reported for 9 days", "VP3-004233, ICU 2 store", 9 * 86_400, 1),
    ];
    let row =
        |(place, (severity, title, device, age, count)): (usize, (FindingSeverity, &str, &str, i64, u64))| {
            FindingRow {
                id: sample.text(&format!("f-{}", 20_894 - place)),
                severity,
                title: sample.said(title),
                device: sample.said(device),
                last: ago(age),
                count,
                expected: false,
            }
        };
    rows.into_iter().enumerate().map(row).collect()
}

/// The rollouts' pages.
pub(crate) fn rollout_pages(sample: Sample) -> Vec<(&'static str, String)> {
    let frame = sample.frame(Section::Rollouts);
    let halted = rollout(
        sample,
        State::Halted {
            at: ago(24 * 60),
            wave: 2,
            reason: sample.said("4 report the same motor self-test."),
        },
    );
    let running = Rollout {
        failed: Vec::new(),
        shared_reason: 0,
        ..rollout(sample, State::Running { wave: 2, in_flight: (9, 20) })
    };
    let stopped = rollout(
        sample,
        State::Stopped {
            at: ago(600),
            by: sample.said("J. Weiss"),
            reason: sample.said("The ward asked for quiet tonight"),
        },
    );
    let others = other_states(sample);
    let rows = vec![
        halted.row.clone(),
        RolloutRow {
            id: sample.text("pm80-942"),
            title: sample.said("PM-80 9.4.2 to 402 patient monitors"),
            state: State::Running { wave: 1, in_flight: (3, 20) },
            ..halted.row.clone()
        },
        RolloutRow {
            title: sample.said("K1 7.0.4 to 31 check-in kiosks"),
            state: State::Planned,
            tally: Tally { unreached: 31, ..Tally::default() },
            waves: 1,
            ..halted.row.clone()
        },
        RolloutRow {
            title: sample.said("PM-80 9.4.1 to 402 patient monitors"),
            state: State::Finished { at: ago(27 * 86_400) },
            tally: Tally { confirmed: 402, ..Tally::default() },
            ..halted.row.clone()
        },
    ];
    let (holds, lapsed) = holds(sample);
    let rows = rows.into_iter().chain(others.iter().map(|(_, page)| page.row.clone())).collect();
    let pages = vec![
        ("rollouts", rollouts::render_list(&frame, &Rollouts { rows, holds, lapsed })),
        ("rollouts-empty", rollouts::render_list(&frame, &Rollouts::default())),
        ("rollout", rollouts::render(&frame, &halted)),
        ("rollout-running", rollouts::render(&frame, &running)),
        ("rollout-stopped", rollouts::render(&frame, &stopped)),
        ("rollout-reader", rollouts::render(&frame, &Rollout { rights: Rights::default(), ..running })),
        ("calendar", calendar::render(&frame, &nights(sample))),
        ("calendar-empty", calendar::render(&frame, &Calendar::default())),
    ];
    let others = others.iter().map(|(name, page)| (*name, rollouts::render(&frame, page)));
    pages.into_iter().chain(others).collect()
}

/// The states that a person brings about, and the end.
fn other_states(sample: Sample) -> [(&'static str, Rollout); 5] {
    let (at, by) = (ago(600), || sample.said("J. Weiss"));
    let reason = || sample.said("The ward asked for quiet tonight");
    [
        ("rollout-paused", State::Paused { at, by: by(), reason: reason() }),
        ("rollout-aborted", State::Aborted { at, by: by(), reason: reason() }),
        ("rollout-returning", State::Returning { at, by: by(), reason: reason(), left: 133 }),
        ("rollout-returned", State::Returned { at }),
        ("rollout-finished", State::Finished { at }),
    ]
    .map(|(name, state)| (name, moved(rollout(sample, state))))
}

/// On the way back nothing installs, and behind it the devices are on the release before.
fn moved(mut page: Rollout) -> Rollout {
    if matches!(page.row.state, State::Finished { .. }) {
        return finished(page);
    }
    let ended = matches!(page.row.state, State::Returned { .. });
    if !ended && !matches!(page.row.state, State::Returning { .. }) {
        return page;
    }
    let tallies = page.waves.iter_mut().map(|wave| &mut wave.tally).chain([&mut page.row.tally]);
    for tally in tallies {
        (tally.waiting, tally.installing) = (tally.waiting + tally.installing, 0);
        let back = if ended { tally.confirmed } else { tally.confirmed / 3 };
        (tally.confirmed, tally.returned) = (tally.confirmed - back, back);
    }
    page
}

/// Every device has confirmed.
fn finished(mut page: Rollout) -> Rollout {
    let tallies = page.waves.iter_mut().map(|wave| &mut wave.tally).chain([&mut page.row.tally]);
    tallies.for_each(|tally| *tally = Tally { confirmed: tally.total(), ..Tally::default() });
    page.waves.iter_mut().for_each(|wave| wave.begun = true);
    Rollout { failed: Vec::new(), reasons: Vec::new(), named: None, ..page }
}

/// A hold without an end, and one that has lapsed.
fn holds(sample: Sample) -> (Vec<Hold>, Vec<Hold>) {
    let hold = Hold {
        id: sample.text("h-1"),
        covers: sample.said("ward Neonatal of St. Brigid"),
        by: sample.said("A. Lindqvist"),
        reason: sample.said("Two transfers tonight, no reboots please"),
        at: ago(7200),
        until: None,
        choice: sample.text("ward:St. Brigid/Neonatal"),
    };
    let lapsed = Hold {
        id: sample.text("h-2"),
        covers: sample.said("ward 4B of St. Brigid"),
        until: Some(ago(1800)),
        ..hold.clone()
    };
    (vec![hold], vec![lapsed])
}

/// Three wards of seven days, one of them held for two nights, one of a rollout that stands still.
fn nights(sample: Sample) -> Calendar {
    let night = |devices, held, later| Day {
        open: vec![(0, 300), (1320, 1440)],
        devices,
        later,
        held,
        ..Day::default()
    };
    let rollout = |still| Planned {
        id: sample.text("vp3-421"),
        title: sample.said("VP-3 4.2.1 to 1,912 infusion pumps"),
        still,
    };
    let ward = |name: &str, tonight, still, days: Vec<Day>| Ward {
        name: sample.said(name),
        site: sample.said("St. Brigid"),
        rollouts: vec![rollout(still)],
        holdable: sample.text("ward:St. Brigid/4B"),
        tonight,
        days,
    };
    let held =
        [night(0, 96, 0), night(0, 96, 0), night(90, 6, 0)].into_iter().chain(vec![night(96, 0, 0); 4]);
    let still = Day { still: 31, ..night(0, 0, 0) };
    let open = vec![night(12, 0, 40); 5].into_iter().chain(vec![Day::default(); 2]);
    Calendar {
        days: (0..7).map(|day| ago(-86_400 * day)).collect(),
        wards: vec![
            ward("Neonatal", false, None, held.collect()),
            ward("4B Cardiology", true, None, open.collect()),
            ward("ICU 2", false, Some("paused"), vec![still; 7]),
        ],
        holds: 1,
    }
}

/// The second wave of the reference picture.
const SECOND: Tally = Tally {
    unreached: 6,
    waiting: 38,
    installing: 9,
    confirmed: 121,
    rolled_back: 4,
    refused: 1,
    silent: 1,
    already: 0,
    returned: 0,
    not_accepted: 0,
    not_returned: 0,
};

fn waves(sample: Sample) -> Vec<Wave> {
    let wave = |name, reach, tally, begun, note| Wave {
        name: sample.said(name),
        reach: sample.said(reach),
        tally,
        begun,
        waits: sample.said("in use"),
        note: sample.said(note),
        href: begun.then(|| "/devices?ward=4B".into()),
    };
    let unreached = |unreached| Tally { unreached, ..Tally::default() };
    vec![
        wave(
            "Wave 1, canary",
            "12 pumps, test ward",
            Tally { confirmed: 12, ..Tally::default() },
            true,
            "18 Nov 02:10 to 04:00, watched 24 h",
        ),
        wave("Wave 2", "180 pumps, 4B and ICU 2", SECOND, true, ""),
        wave("Wave 3", "500 pumps, 9 wards", unreached(500), false, "Was due tonight 02:00"),
        wave("Wave 4", "1,220 pumps, the rest", unreached(1220), false, ""),
    ]
}

fn failed(sample: Sample) -> Vec<FailedDevice> {
    let failed = |name, place, how, reason, minutes: i64| FailedDevice {
        id: sample.text(name),
        name: sample.said(name),
        place: sample.said(place),
        how,
        reason: sample.said(reason),
        at: ago(minutes * 60),
    };
    vec![
        failed(
            "VP3-004402",
            "4B, bed 9",
            Failure::RolledBack,
            "Motor self-test failed 41 s after reboot",
            24,
        ),
        failed(
            "VP3-004120",
            "ICU 2, bed 7",
            Failure::RolledBack,
            "Motor self-test failed 40 s after reboot",
            28,
        ),
        failed(
            "VP3-003988",
            "ICU 2, bed 3",
            Failure::RolledBack,
            "Motor self-test failed 43 s after reboot",
            35,
        ),
        failed(
            "VP3-004391",
            "4B, bed 2",
            Failure::RolledBack,
            "Motor self-test failed 41 s after reboot",
            39,
        ),
        failed(
            "VP3-004290",
            "ICU 2, store",
            Failure::Silent,
            "No report since the reboot, 1 h limit passed",
            51,
        ),
        failed("VP3-004055", "ICU 2, bed 5", Failure::Refused, "Board rev B is not in this release", 66),
    ]
}

/// One device waits for a person, two were looked at.
fn acceptance(sample: Sample) -> Acceptance {
    let seen = |name: &str, good, note: &str, number: &str| Seen {
        name: sample.said(name),
        href: format!("/devices/{}", encode(&sample.text(name))),
        good,
        by: sample.said("A. Lindqvist"),
        at: ago(3600),
        work_order: sample.said(number),
        note: sample.said(note),
    };
    Acceptance {
        rule: "2 devices of each wave, drawn by lot".into(),
        work_order: sample.said("WO-2026-1187"),
        waits: vec![Waits {
            name: sample.said("VP3-004120"),
            place: sample.said("ICU 2, bed 7"),
            wave: 2,
            href: Some(accept(&sample.text("vp3-421"), &sample.text("d1"))),
        }],
        more: 3,
        seen: vec![
            seen("VP3-004402", true, "Flow within 2 % on the bench, alarm heard", "WO-2026-1187"),
            seen("VP3-003988", false, "Display stays dark for 3 s after the alarm", ""),
        ],
    }
}

fn rollout(sample: Sample, state: State) -> Rollout {
    Rollout {
        row: RolloutRow {
            id: sample.text("vp3-421"),
            title: sample.said("VP-3 4.2.1 to 1,912 infusion pumps"),
            order: sample.said("0187, until 2 December"),
            signers: sample.said("J. Weiss and A. Lindqvist, 2 of 2"),
            state,
            tally: Tally { unreached: 1726, confirmed: 133, ..SECOND },
            waves: 4,
        },
        model: (sample.said("Halden VP-3"), "/devices?model=VP-3".into()),
        noun: ("pump".into(), "pumps".into()),
        facts: vec![
            Fact::new("Install order", sample.text("0187, until 2 December")),
            Fact::new("Our signature", sample.text("J. Weiss and A. Lindqvist, 2 of 2")),
            Fact::new("Reboots only", "in standby, 2 windows"),
            Fact::new("Way back", sample.text("4.1.0, already signed")),
            Fact::new("Fleet risk so far", "−4,118 points").to("/devices".into()),
        ],
        waves: waves(sample),
        limit_permille: 20,
        waits_for: Some(sample.said("waits for 3 silent devices until 14:40")),
        back: Some(sample.said("4.1.0")),
        content: false,
        going_back: false,
        reasons: vec![
            ReasonRow {
                count: 41,
                words: sample.said("A patient is attached"),
                code: sample.said("in-use"),
                waves: vec![1, 2],
                href: "/rollouts/vp3-421?reason=in-use#named".into(),
                current: true,
            },
            ReasonRow {
                count: 6,
                words: sample.said("Not reached yet, which is no failure"),
                code: sample.said("unreached"),
                waves: vec![2],
                href: "/rollouts/vp3-421?reason=unreached#named".into(),
                current: false,
            },
        ],
        rights: Rights::ALL,
        acceptance: Some(acceptance(sample)),
        named: Some(Named {
            words: sample.said("A patient is attached"),
            devices: vec![(sample.text("d-1"), sample.said("VP3-004055"), sample.said("ICU 2, bed 5"))],
            more: 40,
        }),
        failed: failed(sample),
        shared_reason: 4,
        why: vec![
            ("Rule".into(), sample.said("Halt when failures are above 2 % with 95 % certainty")),
            ("Counted".into(), sample.said("A receipt with the right slot hash is a success. Rolled back, refused and silent are failures; unreached is not")),
            ("Next".into(), sample.said("Send the 4 logs to Halden. Do not resume before it is understood")),
        ],
    }
}
