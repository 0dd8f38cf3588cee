//! A pump for tests of filters and previews, what it says, and a release for it.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;

use cordon_proto::checkin::{InterlockState, SensorReport, Software, UpdateReport, UpdateState};
use cordon_proto::ids::{DeviceId, Hardware, Sha256, Text};
use cordon_proto::time::Timestamp;
use cordon_proto::update::release::{Confirm, Image, InterlockClass, Needs, Recall, Release};

use crate::device::{Device, DeviceKind, Placement, Report, State};
use crate::import::KnownRelease;
use crate::risk::facts::Reach;

pub(crate) const NOW: Timestamp = Timestamp(1_795_251_906);

fn text(value: &str) -> Text {
    Text::lossy(value)
}

/// A pump VP-3, revision C, in ICU 2, that has said nothing yet.
pub(crate) fn pump(serial: &str) -> Device {
    let hardware = Hardware {
        manufacturer: text("Halden"),
        model: text("VP-3"),
        revision: text("C"),
        serial: text(serial),
    };
    let placement = Placement {
        site: text("St. Anna"),
        ward: text("ICU 2"),
        kind: DeviceKind::InfusionPump,
        impact: DeviceKind::InfusionPump.usual_impact(),
        reach: Reach::default(),
        tags: vec![text("week-47")],
    };
    let number = serial.bytes().fold(0, u8::wrapping_add);
    Device {
        stated: true,
        reason: text("enrolled"),
        last_seen: Some(NOW),
        spoke: Some(NOW),
        ..Device::bare(DeviceId::from_random([number; 16]), hardware, placement, State::Active, NOW)
    }
}

/// The pump, which says that it runs this counter and stands by.
pub(crate) fn runs(pump: Device, counter: u64) -> Device {
    let release = Some(format!("vp-3/{counter}").parse().expect("a path"));
    let sha256 = Sha256::of(format!("vp-3/{counter}").as_bytes());
    let report = Report {
        boot: 1,
        agent_version: text("0.1.0"),
        software: Software { release, counter, sha256, floor: 0, slot: text("A") },
        update: UpdateReport { state: UpdateState::Idle, order: None, blocked_by: vec![], fetched_bytes: 0 },
        interlock: InterlockState::Standby,
        sensor: SensorReport { tier: Some(0), note: None, profile_keys: 0, learning: true },
        inventory_root: Sha256([0; 32]),
        key_protection: text("file"),
        spool_lost: 0,
        content_version: 0,
        content_fault: None,
        director_root_version: 1,
        ca_version: 0,
        wants: None,
        voice: None,
    };
    Device { report: Some(report), ..pump }
}

/// A release of the pump with this counter, installable from that one on, with this floor after it.
pub(crate) fn release(counter: u64, min_from: u64, floor: u64) -> Release {
    let path = format!("vp-3/{counter}");
    Release {
        image: Image {
            release: path.parse().expect("a path"),
            length: 9,
            sha256: Sha256::of(path.as_bytes()),
        },
        model: text("VP-3"),
        hardware: vec![text("C")],
        counter,
        floor,
        min_from,
        interlock: InterlockClass::Application,
        confirm: Confirm::Checkin,
        recall: Recall::None,
        needs: Needs::None,
        support: BTreeMap::new(),
        sbom: None,
        vex: None,
        mud: None,
        deltas: vec![],
    }
}

/// The same as it was taken in.
pub(crate) fn known(release: &Release) -> KnownRelease {
    KnownRelease {
        v: 1,
        repository: "halden".parse().expect("a name"),
        release: release.image.release.clone(),
        model: release.model.clone(),
        counter: release.counter,
        floor: release.floor,
        sha256: release.image.sha256,
        length: 9,
        imported: NOW,
        listed: true,
        statement: String::from_utf8(release.custom().json()).expect("text"),
        signers: vec![],
        expires: None,
        forms: BTreeMap::new(),
    }
}
