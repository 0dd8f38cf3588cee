//! What an order would do to one device before anybody signs it, for scripts: its fate, and that of a way back.
//!
//! The release is number 42, from 30 on, with the floor 41 after it; 30 may be installed from 10 on. It waits for the word of
//! an application. Read next: [`crate::order_plan`].

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::super::fixture::{NOW, text};
use crate::order_plan::fixture::{known, pump, release, runs};
use crate::order_plan::{BackPreview, Case, Fate, Meant, fate, way_back};
use crate::paths_up::steps_of;

/// `preview runs=41`, `preview runs=41 floor=50`, `preview runs=41 no-lease`, `preview`.
pub(super) fn fate_of(words: &[&str]) -> String {
    let (wanted, between) = (release(42, 30, 41), release(30, 10, 0));
    let all = [known(&between), known(&wanted)];
    let steps = steps_of(&text("VP-3"), &all);
    let case = Case { release: &wanted, steps: &steps, now: NOW };
    let mut device = pump("VP3-1");
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let number = || value.parse().expect("a number");
        match key {
            "runs" => device = runs(device, number()),
            "floor" => device.report.as_mut().expect("it said").software.floor = number(),
            "hardware" => device.hardware.revision = text(value),
            "no-lease" => device.spoke = None,
            other => panic!("nothing of a device: {other}"),
        }
    }
    let (report, seen, spoke) = (device.report.as_ref(), device.last_seen, device.spoke);
    let meant = Meant { device: &device, report, seen, spoke };
    let fate = fate(&case, &meant);
    match &fate {
        Fate::NeedsStep(way) => {
            let way: Vec<String> = way.iter().map(|step| format!("{step}")).collect();
            format!("  {}: {}", fate.word(), way.join(", "))
        }
        Fate::Fits
        | Fate::Already
        | Fate::Newer
        | Fate::OtherHardware
        | Fate::BelowFloor
        | Fate::NoWay
        | Fate::NoApplication
        | Fate::Unknown => format!("  {}", fate.word()),
    }
}

/// `way-back-preview counter=41`, with `other-model` or `not-listed`.
pub(super) fn way_back_of(words: &[&str]) -> String {
    let mut back = known(&release(41, 0, 0));
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "counter" => back.counter = value.parse().expect("a number"),
            "not-listed" => back.listed = false,
            "other-model" => back.model = text("VP-4"),
            other => panic!("nothing of a way back: {other}"),
        }
    }
    match way_back(&release(42, 30, 41), &back) {
        BackPreview::Open => "  open".into(),
        BackPreview::BelowFloor { floor, counter } => {
            format!("  below the floor: {counter} is below {floor}")
        }
        BackPreview::NotOlder => "  not older".into(),
        BackPreview::NotListed => "  not listed".into(),
        BackPreview::OtherModel => "  another model".into(),
    }
}
