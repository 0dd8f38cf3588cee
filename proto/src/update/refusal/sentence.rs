//! The sentence of each refusal: what is wrong, then what to do, in at most 256 characters for ordinary names.
//!
//! These texts are printed by `status`, sent with check-ins and shown on the console unchanged. They must never hold a
//! byte of an offered document beyond names, numbers and times. Read next: [`super`].

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use super::{Party, Power, Refusal};
use crate::checkin::InterlockState;
use crate::ids::Name;
use crate::limits;
use crate::time::Timestamp;
use crate::update::decide::GaveUp;
use crate::update::fault::{Blame, TrustError};
use crate::update::permit::PermitMiss;
use crate::update::release::InterlockClass;
use crate::update::scope::ScopeMiss;

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sentence(self))
    }
}

fn sentence(refusal: &Refusal) -> String {
    use Refusal as R;
    match refusal {
        R::Chain { party, error } => chain(*party, error),
        R::OrderNotListed { order } => not_listed(order),
        R::OrderUnreadable { order, why } => {
            format!("Order {order} cannot be read by this agent ({}). Sign it anew.", why.brief())
        }
        R::OrderNotYet { order, not_before } => {
            format!("Order {order} begins {not_before}. The device goes on by itself then.")
        }
        R::OrderExpired { order, expires } => format!("Order {order} ended {expires}. Sign a new order."),
        R::NoWayBack { order } => {
            format!("Order {order} was signed without a way back. Order a newer release instead.")
        }
        R::WayBackClosed { order, until } => {
            format!("The way back of order {order} closed {until}. Order a newer release instead.")
        }
        R::ClockBeforeOrder { order, issued } => {
            format!("The clock is before {issued}, when order {order} was signed. Set the clock.")
        }
        R::NotInScope { order, why } => {
            format!("This device is not in the scope of order {order}: {}", scope_miss(*why))
        }
        R::UnknownToMaker { release } => {
            format!("The maker does not list {release}. Import the maker's repository, or ask the maker.")
        }
        R::ReleaseUnreadable { release, why } => {
            format!("The maker's {release} cannot be read by this agent ({}). Ask the maker.", why.brief())
        }
        R::LengthDiffers { release, ordered, listed } => {
            differs(release.as_str(), &format!(" ({ordered} and {listed} bytes)"))
        }
        R::HashDiffers { release } => differs(release.as_str(), ""),
        R::OtherModel { needed, device } => {
            format!("The release is for model {needed}, this device is a {device}. Correct the order.")
        }
        R::OtherHardware { device } => {
            format!("The release does not fit hardware revision {device}. Order one that does.")
        }
        R::GivenUp { order, why } => format!("This device takes order {order} no more: {}", gave_up(*why)),
        R::NotNewer { offered, installed } => not_newer(*offered, *installed),
        R::NotConfirmedHere { order } => not_confirmed(order),
        R::BackNotOlder { back, installed } => back_not_older(*back, *installed),
        R::BelowFloor { offered, floor } => below_floor(*offered, *floor),
        R::MinFrom { needed, installed } => min_from(*needed, *installed),
        R::NoPermit { order, why } => permit(order, *why),
        R::OutsideWindow { next, zone_minutes } => window(*next, *zone_minutes),
        R::Power { power } => power_words(*power),
        R::Interlock { class, state, service } => interlock(*class, *state, *service).to_string(),
    }
}

fn not_listed(order: &Name) -> String {
    format!("Order {order} is not in the owner's signed list: withdrawn, or never signed. Sign a new order.")
}

fn differs(release: &str, lengths: &str) -> String {
    format!(
        "Owner and maker signed different images as {release}{lengths}: one is forged or outdated. Compare them before signing again."
    )
}

fn not_newer(offered: u64, installed: u64) -> String {
    format!(
        "The release (counter {offered}) is not newer than the installed one ({installed}). Nothing to do here."
    )
}

fn not_confirmed(order: &Name) -> String {
    format!(
        "The way back of order {order} is open only to devices that confirmed its image and run it; this one does not."
    )
}

fn back_not_older(back: u64, installed: u64) -> String {
    format!(
        "The way back (counter {back}) is not older than the installed release ({installed}). Order it as an install."
    )
}

fn below_floor(offered: u64, floor: u64) -> String {
    format!(
        "The release (counter {offered}) is below the oldest accepted version ({floor}). Ask the maker to list it under a new counter."
    )
}

fn min_from(needed: u64, installed: u64) -> String {
    format!(
        "The release needs counter {needed} or later first; {installed} is installed. Order the release in between."
    )
}

fn window(next: Option<Timestamp>, zone_minutes: i16) -> String {
    match next {
        Some(next) => format!("Outside the window: it opens {} (device time).", local(next, zone_minutes)),
        None => "No window ever opens: the order, or this device's content, has none. Sign one.".into(),
    }
}

fn chain(party: Party, error: &TrustError) -> String {
    let whose = match party {
        Party::Director => "the owner's",
        Party::Image => "the maker's",
    };
    let act = match error.blame() {
        Blame::Delivery => {
            "The server is asked again; if it stays, compare its repository with the signers' own."
        }
        Blame::Signer => "Whoever signs it must sign it anew.",
        Blame::Time => "Have it renewed, or correct the device's clock.",
    };
    let told: String = error.to_string().chars().take(120).collect();
    format!("Metadata of {whose} signature is not believed ({told}). {act}")
}

fn scope_miss(why: ScopeMiss) -> &'static str {
    match why {
        ScopeMiss::NoProof => "no proof of membership came with it. The server is asked again.",
        ScopeMiss::ProofFails => {
            "the proof of membership is of another device or list. Sign an order that lists it."
        }
        ScopeMiss::Model => "it is for another model.",
        ScopeMiss::Hardware => "it is for another hardware revision.",
        ScopeMiss::Counter => "the installed release is outside its range. Sign an order for this one.",
    }
}

fn gave_up(why: GaveUp) -> &'static str {
    match why {
        GaveUp::WentBack => "it took the way back. Sign a new order for a release that is in order.",
        GaveUp::TrialFailed => {
            "the image did not pass its trial. Look at the receipt's reason, then sign a new order."
        }
        GaveUp::ImageDamaged => {
            "the image arrived damaged again and again. Check the server's copy, then sign a new order."
        }
        GaveUp::SlotTooShort => "the image is larger than the slot. Ask the maker for one that fits.",
        GaveUp::NotTaken => "the device's own installer refused the image again and again. Its log says why.",
    }
}

fn permit(order: &Name, why: PermitMiss) -> String {
    match why {
        PermitMiss::NoAnswer => {
            format!("No go for order {order} yet: the server has not answered since the agent started.")
        }
        PermitMiss::Withheld => {
            format!("No go for order {order}: its rollout is halted, on hold, or not yet at this device.")
        }
        PermitMiss::Old { age_s, permit_s } => format!(
            "The server's go for order {order} is {age_s} s old and holds {permit_s} s. Waiting for the next check-in; check the connection."
        ),
        PermitMiss::Over { until } => {
            format!("The server's go for order {order} ended {until}. Waiting for the next check-in.")
        }
    }
}

fn power_words(power: Power) -> String {
    match power {
        Power::Battery { percent } => format!(
            "On battery at {percent} %, at least {} % are needed. Connect the device to mains.",
            limits::BATTERY_PERCENT
        ),
        Power::Unknown | Power::Mains => {
            "The device cannot tell what it runs on. Connect it to mains and check its power sensor.".into()
        }
    }
}

fn interlock(class: InterlockClass, state: InterlockState, service: bool) -> &'static str {
    match (state, class) {
        (InterlockState::InUse, _) if service => {
            "The device is in use. It reboots only in service; put it there when the patient is safe."
        }
        (InterlockState::InUse, _) => {
            "The device is in use. It reboots in standby; nothing to do until it is free."
        }
        (InterlockState::Standby | InterlockState::Service, _) => {
            "This release needs somebody there: put the device in service to let it reboot."
        }
        (InterlockState::Unknown, InterlockClass::Application) => {
            "The device's own software does not say that it is free, so it counts as in use. Start it, or put it in standby."
        }
        (InterlockState::Unknown, InterlockClass::Person) => {
            "Nobody has put the device in standby, so it counts as in use. Release it at the device when it is free."
        }
        (InterlockState::Unknown, InterlockClass::Idle) if !service => {
            "Nobody says whether the device is free, and it has not been quiet for long. It reboots after some minutes of silence, or when it is released at the device."
        }
        (InterlockState::Unknown, InterlockClass::Idle | InterlockClass::None) => {
            "This release needs somebody there: put the device in service to let it reboot."
        }
    }
}

/// `Sat 2026-11-21 22:00` in the device's own time zone.
fn local(at: Timestamp, zone_minutes: i16) -> String {
    let at = at.plus_seconds(i64::from(zone_minutes) * 60);
    let [year, month, day, hour, minute, _] = at.civil();
    let weekday = match at.week().0 {
        0 => "Mon",
        1 => "Tue",
        2 => "Wed",
        3 => "Thu",
        4 => "Fri",
        5 => "Sat",
        _ => "Sun",
    };
    format!("{weekday} {year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
}
