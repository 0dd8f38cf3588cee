//! The security state of a device: floor, installed image, and how far an update has come. Stored whole, or not at all.
//!
//! CBOR with explicit indices, so that an older or newer agent reads it; golden bytes of each version must parse for
//! ever. Floor, metadata versions, bundle counter and the latest known time only rise. Fields marked as volatile are
//! not stored: they are known again after a start. Read next: [`super::machine`].

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use cordon_proto::checkin::InterlockState;
use cordon_proto::ids::{Hardware, Name, Sha256, TargetPath, Text};
use cordon_proto::limits;
use cordon_proto::time::{Millis, Timestamp};
use cordon_proto::update::bundle::Kept;
use cordon_proto::update::decide::{Cleared, ConfirmedOrder, Device, GaveUp, GivenUp};
use cordon_proto::update::release::InterlockClass;
use minicbor::{Decode, Encode};

use super::fault::{FetchFault, TrialFault};
use super::patience::{Again, Patience};

/// Files of one owner whose versions are noted: root, targets, orders, content, and the version of the content taken.
const OWNER_FILES: usize = 5;
const _: () = assert!(
    (limits::HELD_OWNERS + 1) * OWNER_FILES < limits::HELD_VERSIONS,
    "former owners leave room for the present one's and the makers' versions"
);

/// One of the two image slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Slot {
    /// The first.
    #[n(0)]
    A,
    /// The second.
    #[n(1)]
    B,
}

impl Slot {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Its letter.
    #[must_use]
    pub fn letter(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.letter())
    }
}

/// A confirmed image and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Installed {
    /// The release; `None` for an image that no release names.
    #[n(0)]
    pub release: Option<TargetPath>,
    /// Its counter.
    #[n(1)]
    pub counter: u64,
    /// Its hash.
    #[n(2)]
    pub sha256: Sha256,
    /// Its length in bytes.
    #[n(3)]
    pub length: u64,
    /// The slot that holds it.
    #[n(4)]
    pub slot: Slot,
    /// The class it asks for.
    #[n(5)]
    pub interlock: InterlockClass,
}

/// An act under way.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Job {
    /// What both signatures allow.
    #[n(0)]
    pub cleared: Cleared,
    /// The slot that it goes to.
    #[n(1)]
    pub slot: Slot,
    /// Boots that its trial took.
    #[n(2)]
    pub boots: u32,
    /// Clinical use when the reboot was asked for.
    #[n(3)]
    pub interlock: InterlockState,
}

/// Where the update stands.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum State {
    /// Nothing is under way.
    #[n(0)]
    Idle,
    /// The image is fetched into the slot.
    #[n(1)]
    Fetching(#[n(0)] Box<Fetching>),
    /// All bytes are in the slot and synced; they are read back and hashed.
    #[n(2)]
    Written(#[n(0)] Box<Written>),
    /// The slot holds the ordered image; something still speaks against a reboot.
    #[n(3)]
    Waiting(#[n(0)] Box<Job>),
    /// The try-once flag is being set, or is set.
    #[n(4)]
    Armed(#[n(0)] Box<Job>),
    /// The image runs and has not yet shown that it is good.
    #[n(5)]
    Trial(#[n(0)] Box<Trial>),
    /// The trial has failed; the old image is to run again.
    #[n(6)]
    Reverting(#[n(0)] Box<Reverting>),
    /// The image is confirmed; its receipt is being kept.
    #[n(7)]
    Confirmed(#[n(0)] Box<Confirmed>),
    /// The old image runs again; the receipt is being kept.
    #[n(8)]
    RolledBack(#[n(0)] Box<RolledBack>),
    /// The order is given up before any reboot; the receipt is being kept.
    #[n(9)]
    Failed(#[n(0)] Box<Failed>),
}

impl State {
    /// The hash that the slot which is being read back should have.
    #[must_use]
    pub fn in_proof(&self) -> Option<Sha256> {
        let job = match self {
            Self::Written(written) => &written.job,
            Self::Waiting(job) => job,
            Self::Trial(trial) => &trial.job,
            Self::Idle
            | Self::Fetching(_)
            | Self::Armed(_)
            | Self::Reverting(_)
            | Self::Confirmed(_)
            | Self::RolledBack(_)
            | Self::Failed(_) => return None,
        };
        Some(job.cleared.image.sha256)
    }
}

/// The data of [`State::Fetching`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Fetching {
    /// The act.
    #[n(0)]
    pub job: Job,
    /// Bytes in the slot that a power cut cannot take.
    #[n(1)]
    pub offset: u64,
    /// Volatile: whether somebody is fetching.
    #[cbor(skip)]
    pub running: bool,
    /// Volatile: why nobody is, and until when to pause.
    #[cbor(skip)]
    pub stopped: Option<(FetchFault, Millis)>,
}

/// The data of [`State::Written`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Written {
    /// The act.
    #[n(0)]
    pub job: Job,
    /// Whether the slot was found to hold the image from earlier on, so that nothing was fetched.
    #[n(1)]
    pub reused: bool,
    /// How often the device's own installer has refused it.
    #[n(2)]
    pub refused: Option<u8>,
    /// Volatile: until when it is left alone after that.
    #[cbor(skip)]
    pub until: Option<Millis>,
}

impl Written {
    /// The data of an image that nobody has refused.
    #[must_use]
    pub fn new(job: Job, reused: bool) -> Self {
        Self { job, reused, refused: None, until: None }
    }
}

/// The data of [`State::Trial`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Trial {
    /// The act.
    #[n(0)]
    pub job: Job,
    /// Starts of the agent in the trial.
    #[n(1)]
    pub starts: u8,
    /// The time that it has, and what of it is over.
    #[n(2)]
    #[cbor(skip_if = "Patience::is_fresh")]
    pub patience: Patience,
    /// Volatile: what this start has shown so far.
    #[cbor(skip)]
    pub shown: Shown,
}

/// What one start in a trial has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The running slot's hash is the ordered one.
    pub hashed: bool,
    /// The health check is passed.
    pub healthy: bool,
    /// A check-in has succeeded.
    pub checked_in: bool,
    /// The boot control is being told.
    pub confirming: bool,
    /// Reading the slot back, if it failed.
    pub hash: Again,
    /// The health check, if it said no.
    pub health: Again,
}

/// The data of [`State::Reverting`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Reverting {
    /// The act.
    #[n(0)]
    pub job: Job,
    /// Why.
    #[n(1)]
    pub why: TrialFault,
    /// Volatile: whether the boot control knows.
    #[cbor(skip)]
    pub flagged: bool,
}

/// The data of [`State::Confirmed`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Confirmed {
    /// The act.
    #[n(0)]
    pub job: Job,
    /// The receipt's number.
    #[n(1)]
    pub serial: u64,
    /// The hash of what ran before.
    #[n(2)]
    pub previous_sha256: Sha256,
}

/// The data of [`State::RolledBack`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RolledBack {
    /// The act.
    #[n(0)]
    pub job: Job,
    /// The receipt's number.
    #[n(1)]
    pub serial: u64,
    /// Why.
    #[n(2)]
    pub why: TrialFault,
}

/// The data of [`State::Failed`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Failed {
    /// The act.
    #[n(0)]
    pub job: Job,
    /// The receipt's number.
    #[n(1)]
    pub serial: u64,
    /// Why.
    #[n(2)]
    pub why: FetchFault,
}

/// How often one order's image has arrived damaged.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Damaged {
    /// The order.
    #[n(0)]
    pub order: Name,
    /// Times.
    #[n(1)]
    pub times: u8,
}

/// The owner whom the device obeys since a change of owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Owner {
    /// The director root by which what is kept of this owner is named; nothing for the device's first owner.
    #[n(0)]
    pub place: Option<Sha256>,
    /// When the last change was signed. It never falls: an older one is not taken any more.
    #[n(1)]
    pub issued: Timestamp,
}

/// An owner who is not obeyed now, and its last bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Aside {
    /// As [`Owner::place`].
    #[n(0)]
    place: Option<Sha256>,
    /// The bundle's counter, 0 for none.
    #[n(1)]
    counter: u64,
    /// What it stated.
    #[n(2)]
    digest: Option<Sha256>,
}

/// Everything about updates that must survive.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Record {
    /// The lowest counter that is still accepted. It never falls.
    #[n(0)]
    floor: u64,
    /// What runs, once it is confirmed.
    #[n(1)]
    pub installed: Installed,
    /// What the other slot still holds of earlier, if anything.
    #[n(2)]
    pub previous: Option<Installed>,
    /// The boot control's count at the last start.
    #[n(3)]
    pub boots: u64,
    /// Starts of the agent ever: the boot number of check-ins and telemetry.
    #[n(4)]
    pub starts: u64,
    /// Versions of metadata seen. None ever falls.
    #[n(5)]
    versions: BTreeMap<Text, u64>,
    /// Orders that are taken no more.
    #[n(6)]
    pub given_up: Vec<GivenUp>,
    /// The order whose image runs.
    #[n(7)]
    pub confirmed: Option<ConfirmedOrder>,
    /// The damaged arrivals of the order under way.
    #[n(8)]
    pub damaged: Option<Damaged>,
    /// The highest counter of a bundle of the present owner that was accepted. It never falls.
    #[n(9)]
    bundle: u64,
    /// The latest time known to be past. It never falls.
    #[n(10)]
    latest: Timestamp,
    /// The last receipt's number.
    #[n(11)]
    pub receipts: u64,
    /// Where the update stands.
    #[n(12)]
    pub state: State,
    /// Whom the device obeys; nothing while that is its first owner.
    #[n(13)]
    owner: Option<Owner>,
    /// What the present owner's last bundle stated, so that the very same one may go on where it was cut off.
    #[n(14)]
    bundle_digest: Option<Sha256>,
    /// The owners who are not obeyed now, the longest left first.
    #[n(15)]
    #[cbor(skip_if = "Vec::is_empty")]
    aside: Vec<Aside>,
    /// Volatile: the running slot is not the one that the boot control calls active, though no trial is under way.
    #[cbor(skip)]
    pub unsettled: bool,
    /// Volatile: the image that waits was read back, and nothing has stood in its way since.
    #[cbor(skip)]
    pub proved: bool,
    /// Volatile: it is being read back, and nothing has stood in its way since.
    #[cbor(skip)]
    pub reading: bool,
}

impl Record {
    /// The record of a device that runs its factory image and has never updated.
    #[must_use]
    pub fn factory(installed: Installed) -> Self {
        Self {
            floor: 0,
            installed,
            previous: None,
            boots: 0,
            starts: 0,
            versions: BTreeMap::new(),
            given_up: Vec::new(),
            confirmed: None,
            damaged: None,
            bundle: 0,
            latest: Timestamp(i64::MIN),
            receipts: 0,
            state: State::Idle,
            owner: None,
            bundle_digest: None,
            aside: Vec::new(),
            unsettled: false,
            proved: false,
            reading: false,
        }
    }

    /// The lowest counter that is still accepted.
    #[must_use]
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// Raises the floor; a lower one changes nothing. Called only once the image that asks for it is confirmed.
    pub(super) fn raise_floor(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
    }

    /// The highest version seen of a metadata file, 0 for one never seen.
    #[must_use]
    pub fn version(&self, file: &Text) -> u64 {
        self.versions.get(file).copied().unwrap_or(0)
    }

    /// Notes a version of a metadata file; a lower one changes nothing. Says whether there was room to note it.
    pub fn raise_version(&mut self, file: &Text, version: u64) -> bool {
        if !self.versions.contains_key(file) && self.versions.len() >= limits::HELD_VERSIONS {
            return false;
        }
        let held = self.versions.entry(file.clone()).or_insert(0);
        *held = version.max(*held);
        true
    }

    /// The last bundle of the present owner that was accepted: the highest counter.
    #[must_use]
    pub fn bundle(&self) -> Kept {
        Kept { counter: self.bundle, digest: self.bundle_digest }
    }

    /// Notes an accepted bundle; one with no higher counter changes nothing.
    pub fn raise_bundle(&mut self, taken: Kept) {
        if taken.counter > self.bundle {
            (self.bundle, self.bundle_digest) = (taken.counter, taken.digest);
        }
    }

    /// The latest time known to be past.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        self.latest
    }

    /// Notes a time known to be past; an earlier one changes nothing.
    pub fn raise_latest(&mut self, at: Timestamp) {
        self.latest = self.latest.max(at);
    }

    /// The owner whom a change of owner brought; nothing while it is the first one.
    #[must_use]
    pub fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    /// What things of a kind are named where they are the present owner's: each owner's are kept apart and stay, so
    /// that no version falls when it comes back.
    #[must_use]
    pub fn owners(&self, kind: &str) -> String {
        match self.place() {
            Some(place) => format!("{kind}-{place}"),
            None => kind.into(),
        }
    }

    fn place(&self) -> Option<Sha256> {
        self.owner.and_then(|owner| owner.place)
    }

    /// Sets the present owner's last bundle aside, and takes up the one that was set aside of another.
    fn exchange_bundles(&mut self, place: Option<Sha256>) {
        let (counter, digest) = (self.bundle, self.bundle_digest);
        self.aside.push(Aside { place: self.place(), counter, digest });
        let found = self.aside.iter().position(|aside| aside.place == place);
        let found = found.map(|at| self.aside.remove(at));
        (self.bundle, self.bundle_digest) = found.map_or((0, None), |aside| (aside.counter, aside.digest));
        if self.aside.len() > limits::HELD_OWNERS {
            // Left so many owners ago that its bundles, which live for days, have ended. Its metadata stays on the disk.
            let of = self.aside.remove(0).place.map(|place| format!("-{place}/"));
            self.versions.retain(|file, _| of.as_ref().is_none_or(|of| !file.as_str().contains(of)));
        }
    }

    /// Obeys another owner. An order that is not yet tried is dropped, and so is the way back that the last one opened;
    /// floor, versions, times and the orders given up stay, and each owner has bundle counters of its own. Says `false`, and changes nothing, while an image is tried
    /// or a receipt is not kept yet.
    #[must_use]
    pub fn change_owner(&mut self, owner: Owner) -> bool {
        match self.state {
            State::Idle | State::Fetching(_) | State::Written(_) | State::Waiting(_) => {}
            State::Armed(_)
            | State::Trial(_)
            | State::Reverting(_)
            | State::Confirmed(_)
            | State::RolledBack(_)
            | State::Failed(_) => return false,
        }
        self.state = State::Idle;
        (self.confirmed, self.damaged) = (None, None);
        self.exchange_bundles(owner.place);
        let issued = self.owner.map_or(owner.issued, |held| held.issued.max(owner.issued));
        self.owner = Some(Owner { issued, ..owner });
        true
    }

    /// Whether the image under way came damaged before. Nobody can say which of several mirrors did it, so from then on
    /// the server alone is asked for it: a mirror that lies costs one transfer.
    #[must_use]
    pub fn doubts_mirrors(&self) -> bool {
        let order = self.job().map(|job| &job.cleared.order);
        self.damaged.as_ref().is_some_and(|damaged| Some(&damaged.order) == order)
    }

    /// The act under way, if any.
    #[must_use]
    pub fn job(&self) -> Option<&Job> {
        match &self.state {
            State::Idle => None,
            State::Fetching(fetching) => Some(&fetching.job),
            State::Written(written) => Some(&written.job),
            State::Waiting(job) | State::Armed(job) => Some(job),
            State::Trial(trial) => Some(&trial.job),
            State::Reverting(reverting) => Some(&reverting.job),
            State::Confirmed(confirmed) => Some(&confirmed.job),
            State::RolledBack(rolled_back) => Some(&rolled_back.job),
            State::Failed(failed) => Some(&failed.job),
        }
    }

    /// What the decision about an order looks at.
    #[must_use]
    pub fn device<'a>(&'a self, hardware: &'a Hardware) -> Device<'a> {
        Device {
            identity: hardware.identity(),
            model: &hardware.model,
            revision: &hardware.revision,
            counter: self.installed.counter,
            sha256: self.installed.sha256,
            floor: self.floor,
            confirmed: self.confirmed.as_ref(),
            given_up: &self.given_up,
        }
    }

    /// Whether the device takes this order no more.
    #[must_use]
    pub fn has_given_up(&self, order: &Name) -> bool {
        self.given_up.iter().any(|given_up| given_up.order == *order)
    }

    pub(super) fn give_up(&mut self, order: &Name, why: GaveUp) {
        if self.has_given_up(order) {
            return;
        }
        // A document holds fewer live orders than this list; what falls out is long withdrawn.
        if self.given_up.len() >= limits::GIVEN_UP {
            self.given_up.remove(0);
        }
        self.given_up.push(GivenUp { order: order.clone(), why });
    }
}

#[cfg(test)]
mod tests;
