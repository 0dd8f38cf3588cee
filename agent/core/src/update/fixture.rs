//! Orders, releases and surroundings for the tests of this folder, made by the very decision that devices use.
//!
//! Tests only.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use cordon_proto::checkin::{Action, InterlockState, Permit};
use cordon_proto::ids::{Hardware, Name, Sha256, Text};
use cordon_proto::time::{Millis, Timestamp};
use cordon_proto::update::decide::{Case, decide, decide_back};
use cordon_proto::update::order::{Back, Order};
use cordon_proto::update::permit::{Clock, Word};
use cordon_proto::update::refusal::Power;
use cordon_proto::update::release::{Confirm, Image, InterlockClass, Needs, Recall, Release};
use cordon_proto::update::scope::Scope;
use cordon_proto::update::unreadable::Unreadable;
use cordon_proto::update::window::Window;

use super::gate::{Look, Verdict};
use super::record::{Installed, Record, Slot};

pub(crate) const START: Timestamp = Timestamp(1_795_251_906);
pub(crate) const OLD: Sha256 = Sha256([41; 32]);
pub(crate) const NEW: Sha256 = Sha256([42; 32]);
pub(crate) const LENGTH: u64 = 3000;

pub(crate) fn clock(seconds: i64) -> Clock {
    Clock { wall: START.plus_seconds(seconds), monotonic: Millis(seconds * 1000) }
}

fn text(value: &str) -> Text {
    value.parse().expect("a text")
}

pub(crate) fn hardware() -> Hardware {
    Hardware {
        manufacturer: text("Halden"),
        model: text("VP-3"),
        revision: text("C"),
        serial: text("VP3-004417"),
    }
}

pub(crate) fn image(counter: u64) -> Image {
    let release = ["vp-3/", &counter.to_string()].concat().parse().expect("a path");
    let fill = u8::try_from(counter).expect("a small counter");
    Image { release, length: LENGTH, sha256: Sha256([fill; 32]) }
}

/// A release that closes the way to everything before it.
pub(crate) fn release(counter: u64) -> Release {
    Release {
        image: image(counter),
        model: text("VP-3"),
        hardware: vec![text("C")],
        counter,
        floor: counter,
        min_from: 0,
        interlock: InterlockClass::Application,
        confirm: Confirm::Checkin,
        recall: Recall::None,
        needs: Needs::None,
        support: Default::default(),
        sbom: None,
        vex: None,
        mud: None,
        deltas: Vec::new(),
    }
}

/// Order `0187` from any earlier counter to `counter`, with the way back to 41.
pub(crate) fn order(counter: u64) -> Order {
    let (model, hardware) = (text("VP-3"), text("C"));
    Order {
        id: "0187".parse().expect("a name"),
        repository: "halden".parse().expect("a name"),
        image: image(counter),
        scope: Scope::Match { model, hardware, from_least: 0, from_most: counter - 1 },
        issued: START.plus_seconds(-3600),
        not_before: START.plus_seconds(-1800),
        expires: START.plus_seconds(86_400),
        windows: vec![Window::ALWAYS],
        back: Some(Back { image: image(41), until: START.plus_seconds(86_400) }),
        permit_s: Some(900),
        reason: text("a test"),
    }
}

/// Both signatures' statements and the device's own facts, made once.
pub(crate) struct Signed {
    id: Name,
    order: Result<Order, Unreadable>,
    offered: Result<Release, Unreadable>,
    earlier: Result<Release, Unreadable>,
    hardware: Hardware,
}

impl Signed {
    /// The order to this counter, and its releases; `floor` is the new release's.
    pub(crate) fn to(counter: u64, floor: u64) -> Self {
        Self {
            id: "0187".parse().expect("a name"),
            order: Ok(order(counter)),
            offered: Ok(Release { floor, ..release(counter) }),
            earlier: Ok(release(41)),
            hardware: hardware(),
        }
    }

    /// What the decision says to this device about the order's install or way back.
    pub(crate) fn verdict(&self, record: &Record, action: Action, now: Clock) -> Verdict {
        let device = record.device(&self.hardware);
        let release = match action {
            Action::Install => &self.offered,
            Action::Back => &self.earlier,
        };
        let (order, release) = (Some(&self.order), Some(release));
        let case = Case { id: &self.id, order, release, proof: None, device: &device };
        let outcome = match action {
            Action::Install => decide(&case, now.wall),
            Action::Back => decide_back(&case, now.wall),
        };
        Verdict { order: self.id.clone(), action, outcome }
    }

    /// Surroundings in which nothing is in the way.
    pub(crate) fn clear_look(&self, record: &Record, action: Action, now: Clock) -> Look {
        let until = now.wall.plus_seconds(3600);
        let permit = Permit { order: self.id.clone(), action, until };
        Look {
            verdict: Some(self.verdict(record, action, now)),
            word: Some(Word { arrived: now.monotonic, order: Some(self.id.clone()), permit: Some(permit) }),
            content_windows: None,
            zone_minutes: 60,
            power: Power::Mains,
            interlock: InterlockState::Standby,
            silence: crate::interlock::Silence::default(),
            local_class: None,
            trial_s: 300,
            network_down: false,
        }
    }
}

/// A device that runs counter 41 from slot A.
pub(crate) fn old_record() -> Record {
    let mut record = Record::factory(Installed {
        release: Some(image(41).release),
        counter: 41,
        sha256: OLD,
        length: LENGTH,
        slot: Slot::A,
        interlock: InterlockClass::Application,
    });
    record.raise_floor(40);
    record
}
