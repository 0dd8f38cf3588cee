//! The decision about one order on one device: the checks of decision 0002, in exactly its order, on what two verified chains
//! say.
//!
//! It must never be asked before both chains were verified (their errors come first, as [`Refusal::Chain`]), never
//! skip a check because an earlier one passed, and never look at anything the server only claims. What must hold at
//! the moment of the reboot (permit, window, power, interlock) is checked by the device's own update machine with the
//! rest of the refusals. A [`Cleared`] exists only as the outcome. Read next: [`super::refusal`].

use alloc::vec::Vec;

use minicbor::{Decode, Encode};

use super::order::Order;
use super::refusal::Refusal;
use super::release::{Confirm, Image, InterlockClass, Needs, Release};
use super::scope::ScopeMiss;
use super::unreadable::Unreadable;
use super::window::Window;
use crate::checkin::{Action, ScopeProof};
use crate::ids::{HardwareId, Name, Sha256, Text};
use crate::time::Timestamp;

/// What a device knows of itself.
#[derive(Clone, Copy, Debug)]
pub struct Device<'a> {
    /// Its hardware identity `H`.
    pub identity: HardwareId,
    /// Its model.
    pub model: &'a Text,
    /// Its hardware revision.
    pub revision: &'a Text,
    /// The installed release's counter.
    pub counter: u64,
    /// The installed image's SHA-256.
    pub sha256: Sha256,
    /// The lowest counter it accepts.
    pub floor: u64,
    /// The order whose image it last confirmed and still runs.
    pub confirmed: Option<&'a ConfirmedOrder>,
    /// Orders it takes no more.
    pub given_up: &'a [GivenUp],
}

/// An order whose image a device has confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ConfirmedOrder {
    /// The order.
    #[n(0)]
    pub order: Name,
    /// Its image.
    #[n(1)]
    pub sha256: Sha256,
}

/// An order a device takes no more.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GivenUp {
    /// The order.
    #[n(0)]
    pub order: Name,
    /// Why.
    #[n(1)]
    pub why: GaveUp,
}

/// Why a device takes an order no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum GaveUp {
    /// It took the order's way back.
    #[n(0)]
    WentBack,
    /// The order's image did not pass its trial.
    #[n(1)]
    TrialFailed,
    /// The image arrived damaged again and again.
    #[n(2)]
    ImageDamaged,
    /// The image does not fit the slot.
    #[n(3)]
    SlotTooShort,
    /// The device's own installer refused the image again and again.
    #[n(4)]
    NotTaken,
}

/// One question: may this device act on this order?
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The order's name.
    pub id: &'a Name,
    /// The order as the owner's chain lists it, if it does.
    pub order: Option<&'a Result<Order, Unreadable>>,
    /// The release as the maker's chain lists it, if it does: the order's own, or the one of its way back.
    pub release: Option<&'a Result<Release, Unreadable>>,
    /// The proof that came with the order.
    pub proof: Option<&'a ScopeProof>,
    /// The device.
    pub device: &'a Device<'a>,
}

/// An act that both signatures allow on this device: fetch and write may begin. Whether it may reboot is a further
/// question.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[non_exhaustive]
pub struct Cleared {
    /// The order.
    #[n(0)]
    pub order: Name,
    /// The act.
    #[n(1)]
    pub action: Action,
    /// The image to be installed.
    #[n(2)]
    pub image: Image,
    /// Its counter.
    #[n(3)]
    pub counter: u64,
    /// The floor once it is confirmed.
    #[n(4)]
    pub floor: u64,
    /// Who must say that the device is not in use.
    #[n(5)]
    pub interlock: InterlockClass,
    /// What makes the trial good.
    #[n(6)]
    pub confirm: Confirm,
    /// Whether somebody must be there.
    #[n(7)]
    pub needs: Needs,
    /// When the device may reboot.
    #[n(8)]
    pub windows: Vec<Window>,
    /// Seconds a permit stays fresh.
    #[n(9)]
    pub permit_s: Option<u32>,
    /// The first second in which this clearance holds no more.
    #[n(10)]
    pub until: Timestamp,
}

impl Cleared {
    /// Whether this is the same act on the same image of the same order.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.order == other.order && self.action == other.action && self.image == other.image
    }
}

/// Whether this device may install the order's image.
///
/// # Errors
/// The first refusal in the decided order.
pub fn decide(case: &Case<'_>, now: Timestamp) -> Result<Cleared, Refusal> {
    let order = listed(case)?;
    if now < order.not_before {
        return Err(Refusal::OrderNotYet { order: order.id.clone(), not_before: order.not_before });
    }
    if now >= order.expires {
        return Err(Refusal::OrderExpired { order: order.id.clone(), expires: order.expires });
    }
    check_clock(order, now)?;
    order.scope.covers(case.device, case.proof).map_err(|why| not_in_scope(order, why))?;
    let release = known_to_maker(case, &order.image)?;
    check_hardware(release, case.device)?;
    check_given_up(order, case.device)?;
    if release.counter <= case.device.counter {
        let (offered, installed) = (release.counter, case.device.counter);
        return Err(Refusal::NotNewer { offered, installed });
    }
    check_floor(release, case.device)?;
    if case.device.counter < release.min_from {
        let (needed, installed) = (release.min_from, case.device.counter);
        return Err(Refusal::MinFrom { needed, installed });
    }
    Ok(cleared(order, release, (Action::Install, order.expires)))
}

/// Whether this device may take the order's way back.
///
/// # Errors
/// The first refusal in the decided order.
pub fn decide_back(case: &Case<'_>, now: Timestamp) -> Result<Cleared, Refusal> {
    let order = listed(case)?;
    let back = order.back.as_ref().ok_or_else(|| Refusal::NoWayBack { order: order.id.clone() })?;
    if now < order.not_before {
        return Err(Refusal::OrderNotYet { order: order.id.clone(), not_before: order.not_before });
    }
    if now >= back.until {
        return Err(Refusal::WayBackClosed { order: order.id.clone(), until: back.until });
    }
    check_clock(order, now)?;
    order.scope.covers_kind(case.device, case.proof).map_err(|why| not_in_scope(order, why))?;
    let release = known_to_maker(case, &back.image)?;
    check_hardware(release, case.device)?;
    check_given_up(order, case.device)?;
    check_confirmed(order, case.device)?;
    if release.counter >= case.device.counter {
        let (back, installed) = (release.counter, case.device.counter);
        return Err(Refusal::BackNotOlder { back, installed });
    }
    check_floor(release, case.device)?;
    Ok(cleared(order, release, (Action::Back, back.until)))
}

fn listed<'a>(case: &Case<'a>) -> Result<&'a Order, Refusal> {
    match case.order {
        None => Err(Refusal::OrderNotListed { order: case.id.clone() }),
        Some(Err(why)) => Err(Refusal::OrderUnreadable { order: case.id.clone(), why: why.clone() }),
        // An order of another name than the one asked about is not the one asked about.
        Some(Ok(order)) if order.id != *case.id => Err(Refusal::OrderNotListed { order: case.id.clone() }),
        Some(Ok(order)) => Ok(order),
    }
}

fn check_clock(order: &Order, now: Timestamp) -> Result<(), Refusal> {
    if now < order.issued {
        return Err(Refusal::ClockBeforeOrder { order: order.id.clone(), issued: order.issued });
    }
    Ok(())
}

fn not_in_scope(order: &Order, why: ScopeMiss) -> Refusal {
    Refusal::NotInScope { order: order.id.clone(), why }
}

/// The release that the maker lists under the image's name, with the very length and hash that the owner signed.
fn known_to_maker<'a>(case: &Case<'a>, image: &Image) -> Result<&'a Release, Refusal> {
    let unknown = || Refusal::UnknownToMaker { release: image.release.clone() };
    let release = match case.release {
        None => return Err(unknown()),
        Some(Err(why)) => {
            return Err(Refusal::ReleaseUnreadable { release: image.release.clone(), why: why.clone() });
        }
        Some(Ok(release)) => release,
    };
    if release.image.release != image.release {
        return Err(unknown());
    }
    if release.image.length != image.length {
        let (ordered, listed) = (image.length, release.image.length);
        return Err(Refusal::LengthDiffers { release: image.release.clone(), ordered, listed });
    }
    if release.image.sha256 != image.sha256 {
        return Err(Refusal::HashDiffers { release: image.release.clone() });
    }
    Ok(release)
}

fn check_hardware(release: &Release, device: &Device<'_>) -> Result<(), Refusal> {
    if release.model != *device.model {
        return Err(Refusal::OtherModel { needed: release.model.clone(), device: device.model.clone() });
    }
    if !release.hardware.contains(device.revision) {
        return Err(Refusal::OtherHardware { device: device.revision.clone() });
    }
    Ok(())
}

fn check_given_up(order: &Order, device: &Device<'_>) -> Result<(), Refusal> {
    match device.given_up.iter().find(|given_up| given_up.order == order.id) {
        Some(given_up) => Err(Refusal::GivenUp { order: order.id.clone(), why: given_up.why }),
        None => Ok(()),
    }
}

/// The way back is open only to a device that confirmed this very order's image and still runs it.
fn check_confirmed(order: &Order, device: &Device<'_>) -> Result<(), Refusal> {
    let confirmed = device.confirmed.is_some_and(|confirmed| {
        confirmed.order == order.id
            && confirmed.sha256 == order.image.sha256
            && device.sha256 == order.image.sha256
    });
    if confirmed { Ok(()) } else { Err(Refusal::NotConfirmedHere { order: order.id.clone() }) }
}

fn check_floor(release: &Release, device: &Device<'_>) -> Result<(), Refusal> {
    if release.counter < device.floor {
        return Err(Refusal::BelowFloor { offered: release.counter, floor: device.floor });
    }
    Ok(())
}

fn cleared(order: &Order, release: &Release, (action, until): (Action, Timestamp)) -> Cleared {
    Cleared {
        order: order.id.clone(),
        action,
        image: release.image.clone(),
        counter: release.counter,
        floor: release.floor,
        interlock: release.interlock,
        confirm: release.confirm,
        needs: release.needs,
        windows: order.windows.clone(),
        permit_s: order.permit_s,
        until,
    }
}

#[cfg(test)]
pub(crate) mod tests;
