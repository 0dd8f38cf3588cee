//! Why a bundle is not taken: one closed list, a stable code and a sentence that says what to do.
//!
//! The ground finds some of these, the reader of the folder the others; both say them in the same words. They must
//! never hold a byte of the folder beyond the names of files. Read next: [`super`].

use alloc::string::ToString;

use crate::checkin::Blocked;
use crate::ids::{Name, Text};
use crate::time::Timestamp;
use crate::update::fault::Fault;
use crate::update::unreadable::Unreadable;

/// Why a bundle, or one of its files, is not taken. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleFault {
    /// The index is no signed document, or too few of the people who sign orders signed it.
    #[error(
        "The bundle's index is not believed ({0}). Have it signed by all who must, and copy the folder again."
    )]
    Index(Fault),
    /// The index is signed and cannot be read here.
    #[error("The bundle's index cannot be read by this program ({0}). Make the bundle anew.")]
    Unreadable(Unreadable),
    /// It was made for another owner, or before the owner's newest root.
    #[error(
        "The bundle is of another owner's director, or older than the owner's newest root. Bring one made for this device."
    )]
    OtherDirector,
    /// The clock shows a time before the bundle was made.
    #[error("The clock is before {issued}, when the bundle was made. Set the clock.")]
    ClockBefore {
        /// When it was made.
        issued: Timestamp,
    },
    /// Its time is over.
    #[error("The bundle ended {expires}. Make a new one, or correct the device's clock.")]
    Expired {
        /// When it ended.
        expires: Timestamp,
    },
    /// A newer one was accepted before.
    #[error(
        "The bundle's counter {counter} is below {kept}, the last one taken here: it is an old stick. Bring the newest one."
    )]
    Replayed {
        /// Its counter.
        counter: u64,
        /// The counter of the last one.
        kept: u64,
    },
    /// Another one with this counter was accepted before.
    #[error("Another bundle with counter {counter} was taken here. Make a new one with a higher counter.")]
    SameCounter {
        /// The counter.
        counter: u64,
    },
    /// A listed file is not there.
    #[error(
        "The file {path} is missing: the copy is not whole, or the stick was pulled out. Copy the folder again."
    )]
    Missing {
        /// The file.
        path: Text,
    },
    /// A listed file has another length.
    #[error("The file {path} has not the {listed} bytes that were signed. Copy the folder again.")]
    Length {
        /// The file.
        path: Text,
        /// The signed length.
        listed: u64,
    },
    /// A listed file has other bytes.
    #[error("The file {path} is not the one that was signed: damaged or forged. Copy the folder again.")]
    Differs {
        /// The file.
        path: Text,
    },
    /// A listed name is a link, a folder or a device.
    #[error("{path} is not an ordinary file. A bundle holds ordinary files only; copy the folder again.")]
    NotAFile {
        /// The name.
        path: Text,
    },
    /// A file that the index does not list lies in one of its folders.
    #[error(
        "The file {path} lies in the bundle and is not in its signed index. Remove it, or copy the folder again."
    )]
    Foreign {
        /// The name.
        path: Text,
    },
    /// The folder cannot be read.
    #[error("The bundle cannot be read ({cause}). Check the stick, and put it in again.")]
    Disk {
        /// The operating system's word.
        cause: Text,
    },
    /// The order wants the server's go, which a bundle cannot carry.
    #[error(
        "Order {order} needs the server's fresh go, which no bundle carries. Have one signed with --offline."
    )]
    NeedsPermit {
        /// The order.
        order: Name,
    },
    /// The release wants to reach the server before it is confirmed.
    #[error(
        "The release of order {order} must reach the server within 15 minutes of its start, or the old image returns. Give --expect-server if it can."
    )]
    NeedsServer {
        /// The order.
        order: Name,
    },
}

impl BundleFault {
    /// Whether this bundle will not be taken here any more, whatever becomes of the network, the disk or the stick.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::OtherDirector
            | Self::Expired { .. }
            | Self::Replayed { .. }
            | Self::SameCounter { .. }
            | Self::Unreadable(_) => true,
            Self::Index(_)
            | Self::ClockBefore { .. }
            | Self::Missing { .. }
            | Self::Length { .. }
            | Self::Differs { .. }
            | Self::NotAFile { .. }
            | Self::Foreign { .. }
            | Self::NeedsPermit { .. }
            | Self::NeedsServer { .. }
            | Self::Disk { .. } => false,
        }
    }

    /// The stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Index(_) => "bundle-not-believed",
            Self::Unreadable(_) => "bundle-unreadable",
            Self::OtherDirector => "bundle-other-director",
            Self::ClockBefore { .. } => "bundle-clock",
            Self::Expired { .. } => "bundle-expired",
            Self::Replayed { .. } => "bundle-replayed",
            Self::SameCounter { .. } => "bundle-same-counter",
            Self::Missing { .. } => "bundle-file-missing",
            Self::Length { .. } => "bundle-file-length",
            Self::Differs { .. } => "bundle-file-differs",
            Self::NotAFile { .. } => "bundle-not-a-file",
            Self::Foreign { .. } => "bundle-foreign-file",
            Self::Disk { .. } => "bundle-disk",
            Self::NeedsPermit { .. } => "bundle-needs-permit",
            Self::NeedsServer { .. } => "bundle-needs-server",
        }
    }

    /// Code and sentence as they travel and as `status` prints them.
    #[must_use]
    pub fn blocked(&self) -> Blocked {
        Blocked { code: Text::lossy(self.code()), sentence: Text::lossy(&self.to_string()) }
    }
}
