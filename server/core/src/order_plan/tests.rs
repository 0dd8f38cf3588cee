//! Tests of the preview: one made-up fleet, and each rule by itself.

use alloc::format;

use cordon_proto::ids::Text;

use super::fixture::{NOW, known, pump, release, runs};
use super::*;
use crate::paths_up::steps_of;

fn text(value: &str) -> Text {
    Text::lossy(value)
}

/// A dozen devices of every fate.
fn ward() -> Vec<Device> {
    let mut ward: Vec<Device> = (1..=5).map(|n| runs(pump(&format!("fits-{n}")), 41)).collect();
    ward.push(runs(pump("old"), 20));
    ward.push(runs(pump("ancient"), 5));
    ward.push(runs(pump("there"), 42));
    ward.push(runs(pump("newer"), 43));
    ward.push(Device { spoke: None, ..runs(pump("mute"), 41) });
    ward.push(pump("silent"));
    let mut board = runs(pump("board"), 41);
    board.hardware.revision = text("A");
    ward.push(board);
    let mut high = runs(pump("high"), 41);
    if let Some(report) = &mut high.report {
        report.software.floor = 50;
    }
    ward.push(high);
    let states = [InterlockState::InUse, InterlockState::InUse, InterlockState::Unknown];
    for (device, state) in ward.iter_mut().zip(states) {
        device.report.iter_mut().for_each(|report| report.interlock = state);
    }
    for (device, days) in ward.iter_mut().zip([0, 3, 9, 40]) {
        device.last_seen = Some(NOW.plus_seconds(-days * DAY_S));
    }
    ward
}

fn meant(device: &Device) -> Meant<'_> {
    Meant { device, report: device.report.as_ref(), seen: device.last_seen, spoke: device.spoke }
}

const GOLDEN: &str = "\
total 13
  already 1
  below-floor 1
  fits 5
  needs-step 1: vp-3/30, vp-3/42
  newer 1
  no-application 1
  no-way 1
  other-hardware 1
  unknown 1
in use 2, unknown 1
heard 2, 1, 1, 1
";

#[test]
fn every_device_falls_to_one_fate_and_the_sum_is_the_whole() {
    // Goal: nobody is surprised after signing. Method: the ward in, golden text out.
    let (wanted, between) = (release(42, 30, 41), release(30, 10, 0));
    let all = [known(&between), known(&wanted)];
    let case = Case { release: &wanted, steps: &steps_of(&text("VP-3"), &all), now: NOW };
    let ward = ward();
    let found = preview(&case, ward.iter().map(meant));
    assert_eq!(found.fates.values().sum::<u32>(), found.total);
    let mut text = format!("total {}\n", found.total);
    for (fate, count) in &found.fates {
        text += &format!("  {fate} {count}");
        if *fate == "needs-step" {
            let ways = found.steps.keys().flatten().map(|path| path.as_str()).collect::<Vec<_>>();
            text += &format!(": {}", ways.join(", "));
        }
        text += "\n";
    }
    let [day, week, month, longer] = found.unreached_days;
    text += &format!("in use {}, unknown {}\n", found.in_use_now, found.unknown_use);
    text += &format!("heard {day}, {week}, {month}, {longer}\n");
    assert_eq!(text, GOLDEN);
    let mute = ward.iter().find(|device| device.hardware.serial.as_str() == "mute").expect("in the ward");
    assert_eq!(found.no_application, [mute.id]);
}

#[test]
fn who_never_spoke_is_planned_where_no_application_is_asked_for() {
    // Goal: only releases that wait for an application leave devices out. Method: the same device, two releases.
    let device = Device { spoke: None, ..runs(pump("mute"), 41) };
    for (interlock, wanted) in
        [(InterlockClass::Application, Fate::NoApplication), (InterlockClass::Idle, Fate::Fits)]
    {
        let release = Release { interlock, ..release(42, 0, 0) };
        let all = [known(&release)];
        let case = Case { release: &release, steps: &steps_of(&text("VP-3"), &all), now: NOW };
        assert_eq!(fate(&case, &meant(&device)), wanted);
    }
}

#[test]
fn a_way_back_that_could_not_be_taken_is_seen_before_it_is_signed() {
    // Goal: the preview says what the device would. Method: each reason once.
    let (wanted, old) = (release(42, 0, 41), known(&release(41, 0, 0)));
    assert_eq!(way_back(&wanted, &old), BackPreview::Open);
    let below = known(&release(40, 0, 0));
    assert_eq!(way_back(&wanted, &below), BackPreview::BelowFloor { floor: 41, counter: 40 });
    assert_eq!(way_back(&wanted, &known(&wanted)), BackPreview::NotOlder);
    assert_eq!(way_back(&wanted, &KnownRelease { listed: false, ..old.clone() }), BackPreview::NotListed);
    assert_eq!(way_back(&wanted, &KnownRelease { model: text("K-1"), ..old }), BackPreview::OtherModel);
}
