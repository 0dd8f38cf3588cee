//! What goes wrong on the device itself, as opposed to what the device refuses.
//!
//! The same form as refusals: a stable code, and a sentence that says what to do. Read next:
//! `cordon_proto::update::refusal` for the refusals.

use alloc::string::ToString;

use cordon_proto::checkin::Blocked;
use cordon_proto::ids::Text;
use minicbor::{Decode, Encode};

/// Why fetching or writing an image stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, thiserror::Error)]
#[cbor(index_only)]
pub enum FetchFault {
    /// The server or the network; what is held stays held.
    #[n(0)]
    #[error(
        "The image does not come. The device goes on where it stopped; check the connection to the server."
    )]
    Unreachable,
    /// More or fewer bytes than signed, or other ones.
    #[n(1)]
    #[error(
        "The image arrived damaged and was thrown away. The device fetches it again; if it stays, check the server's copy."
    )]
    Damaged,
    /// The medium has no room.
    #[n(2)]
    #[error("There is no room for the image. Free some space; the device goes on by itself.")]
    DiskFull,
    /// The slot is smaller than the image.
    #[n(3)]
    #[error("The slot is smaller than the image. Ask the maker for an image that fits.")]
    SlotTooShort,
    /// The medium fails.
    #[n(4)]
    #[error(
        "The slot cannot be written or read back. The device tries again; if it stays, its storage is failing."
    )]
    SlotFails,
    /// The stick that carries the image is gone; what is held stays held.
    #[n(5)]
    #[error(
        "The image cannot be read from the bundle. Put the stick back in; the device goes on where it stopped."
    )]
    StickGone,
    /// The device's own installer, or its boot control, does not take an image that is held whole.
    #[n(6)]
    #[error(
        "The device's own installer does not take the image. The image is kept and handed over again a few times; the device's log has the installer's words."
    )]
    NotTaken,
    /// The slot to be written runs, or may run.
    #[n(7)]
    #[error(
        "What is to be written may still be running. Restart the device; if it stays, the configuration names one place twice."
    )]
    MayRun,
}

/// Why a trial was not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, thiserror::Error)]
#[cbor(index_only)]
pub enum TrialFault {
    /// The device's own health check failed.
    #[n(0)]
    #[error("The new image failed its health check; the old one runs again.")]
    Unhealthy,
    /// No word of health in time.
    #[n(1)]
    #[error("The new image gave no sign of health in time; the old one runs again.")]
    Silent,
    /// No check-in in time.
    #[n(2)]
    #[error("The new image did not reach the server in time; the old one runs again.")]
    NoCheckin,
    /// The boots of the trial are used up.
    #[n(3)]
    #[error("The new image did not finish booting; the boot loader started the old one again.")]
    BootsUnfinished,
    /// The agent kept dying in the trial.
    #[n(4)]
    #[error("The agent kept failing in the new image; the old one runs again.")]
    Crashes,
    /// The running slot does not hold the ordered image any more.
    #[n(5)]
    #[error(
        "The running slot's hash is not the ordered one; the old image runs again. Its storage may be failing."
    )]
    HashDiffers,
}

impl FetchFault {
    /// The stable word for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unreachable => "image-unreachable",
            Self::Damaged => "image-damaged",
            Self::DiskFull => "disk-full",
            Self::SlotTooShort => "slot-too-short",
            Self::SlotFails => "slot-fails",
            Self::StickGone => "stick-gone",
            Self::NotTaken => "image-not-taken",
            Self::MayRun => "slot-may-run",
        }
    }

    /// Code and sentence as they travel and as `status` prints them.
    #[must_use]
    pub fn blocked(self) -> Blocked {
        blocked(self.code(), &self.to_string())
    }
}

impl TrialFault {
    /// The stable word for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unhealthy => "trial-unhealthy",
            Self::Silent => "trial-silent",
            Self::NoCheckin => "trial-no-checkin",
            Self::BootsUnfinished => "trial-boots-unfinished",
            Self::Crashes => "trial-crashes",
            Self::HashDiffers => "trial-hash-differs",
        }
    }

    /// Code and sentence as they travel and as `status` prints them.
    #[must_use]
    pub fn blocked(self) -> Blocked {
        blocked(self.code(), &self.to_string())
    }
}

fn blocked(code: &str, sentence: &str) -> Blocked {
    Blocked { code: Text::lossy(code), sentence: Text::lossy(sentence) }
}
