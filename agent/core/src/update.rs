//! The update machine: from a cleared order to a confirmed image, or back, whatever fails in between.
//!
//! `step(record, event, now)` is a function of values. The caller stores [`Step::persist`] first and acts on
//! [`Step::effects`] after it, in order; killed anywhere in between, it starts again with [`Event::Started`]. The order
//! is that of the evidence: write the inactive slot, sync, read back and hash, set the try-once flag, look again, store
//! that, look once more, reboot, health gate, commit, and only then raise the floor. It must never arm what was not read back and hashed,
//! never write the slot that runs, never reboot while the device is in use, and never lower the floor.
//!
//! Read next: [`record`] for what is stored, [`machine`] for the transitions, [`gate`] for what must hold at a reboot,
//! [`loader`] for the boot loader's half.

use alloc::boxed::Box;
use alloc::vec::Vec;

use cordon_proto::checkin::{Action, Blocked, InterlockState};
use cordon_proto::ids::{Name, Sha256, TargetPath};
use cordon_proto::receipt::Outcome;

pub mod delta;
pub mod fault;
#[cfg(test)]
mod fixture;
pub mod gate;
pub mod handed;
pub mod loader;
pub mod machine;
pub mod patience;
pub mod record;
pub mod report;

pub use fault::{FetchFault, TrialFault};
pub use gate::Look;
pub use machine::step;
pub use record::{Installed, Job, Owner, Record, Slot, State};

/// What happened outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The program has started; what the boot control says.
    Started(loader::View),
    /// The surroundings were looked at: periodically, and whenever one of them changed.
    Look(Box<Look>),
    /// The slot holds and has synced this many bytes; fewer than before where it was opened and did not hold them.
    Synced {
        /// Bytes from the start.
        offset: u64,
    },
    /// All bytes are written and synced.
    Complete,
    /// Fetching or writing stopped.
    Stopped(FetchFault),
    /// Fetching stopped, because the server asks to wait.
    Delayed {
        /// Seconds asked for.
        seconds: u64,
    },
    /// The asked slot was read back; the hash of its first bytes.
    Hashed(Sha256),
    /// The asked slot could not be read back.
    HashFailed,
    /// The asked slot was not read back, though the image is held: whoever puts it there does not take it now.
    NotTaken {
        /// By its own word, which is heard only so often.
        refused: bool,
    },
    /// The try-once flag is set and synced; the surroundings as they are now.
    Armed(Box<Look>),
    /// The try-once flag is taken back and synced.
    Disarmed,
    /// The device's own health check is passed.
    Healthy,
    /// The device's own health check says no; it is made again while there is time.
    Unwell,
    /// The device's own software has failed for good, by its own word or because it does not start.
    Sick,
    /// A check-in over mutual TLS has succeeded since this start.
    CheckedIn,
    /// The boot control has made the running slot the active one.
    Committed,
    /// The boot control has made the old slot the active one; the surroundings as they are now.
    Reverted(Box<Look>),
    /// The receipt with this number is stored where a power cut cannot take it.
    ReceiptKept {
        /// The receipt's number.
        serial: u64,
    },
}

/// What the caller must do, in order, after storing the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Open the slot, which is not the running one, for an image of this length, from this offset on. Whatever was
    /// being fetched or written before ends here, and its late answers are dropped.
    WriteSlot {
        /// The slot.
        slot: Slot,
        /// Bytes of the image.
        length: u64,
        /// Bytes already in it.
        offset: u64,
    },
    /// Fetch the image from where the slot goes on and write it; answer `Synced`, then `Complete` or `Stopped`.
    Fetch {
        /// The image.
        sha256: Sha256,
        /// Its length.
        length: u64,
    },
    /// Read the slot's first bytes back from the medium and hash them; answer `Hashed`, `HashFailed` or `NotTaken`. One that
    /// is asked for meanwhile takes its place.
    HashSlot {
        /// The slot.
        slot: Slot,
        /// Bytes.
        length: u64,
    },
    /// Set the try-once flag; answer `Armed`.
    Arm {
        /// The slot to be tried.
        slot: Slot,
        /// Boots it gets.
        attempts: u8,
    },
    /// Take the try-once flag back; answer `Disarmed`.
    Disarm,
    /// Reboot, if [`gate::may_reboot`] still says so of a look taken at this very moment; otherwise answer that `Look`.
    Reboot,
    /// Run the device's own health check; answer `Healthy`, `Unwell` or `Sick`.
    CheckHealth,
    /// Make the running slot the active one; answer `Committed`.
    Confirm {
        /// The running slot.
        slot: Slot,
    },
    /// Make the old slot the active one again; answer `Reverted`.
    RollBack {
        /// The old slot.
        to: Slot,
    },
    /// Sign and keep this receipt; the same number is the same receipt. Answer `ReceiptKept`.
    EmitReceipt(Box<Report>),
    /// Drop what was kept for the act: its proof, its permit, an open download.
    Forget,
}

/// All that a receipt says beyond the device's own name and clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Number of the receipt on this device: the same number is the same receipt.
    pub serial: u64,
    /// The order.
    pub order: Name,
    /// The act.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// The release that runs.
    pub release: Option<TargetPath>,
    /// Its counter.
    pub counter: u64,
    /// Its hash.
    pub sha256: Sha256,
    /// The hash of what ran before; of the failed image after a roll-back.
    pub previous_sha256: Sha256,
    /// The running slot.
    pub slot: Slot,
    /// Boots that the trial took.
    pub boots: u32,
    /// The floor after it.
    pub floor: u64,
    /// Clinical use at the reboot.
    pub interlock: InterlockState,
    /// Why it failed, if it did.
    pub reason: Option<Blocked>,
}

/// The outcome of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The record from now on.
    pub record: Record,
    /// The bytes to store before acting; `None` where nothing changed that must survive.
    pub persist: Option<Vec<u8>>,
    /// What to do then, in order.
    pub effects: Vec<Effect>,
}
