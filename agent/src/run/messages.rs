//! What the agent's three roles say to each other: `link` (network), `sensor` (sight and spool), `updater` (slots).
//!
//! They share nothing else, so that they can become three confined processes. Views are the newest state of a role,
//! seen by whoever asks; calls go through bounded channels and carry their own way back. Read next: [`super`].

use cordon_proto::checkin::{
    CheckinAnswer, InterlockState, PermitRequest, SensorReport, Software, UpdateReport,
};
use cordon_proto::ids::Sha256;
use cordon_proto::receipt::Receipt;
use cordon_proto::telemetry::{Body, Position, Record};
use cordon_proto::time::Millis;
use tokio::sync::oneshot;

use crate::link::mirrors::{Pieces, Wanted};
use crate::link::{LinkError, Repository};
pub(crate) use crate::slot::writing::Piece;

/// Calls waiting for a role.
pub(crate) const QUEUE: usize = 16;
/// Pieces of an image between link and updater.
pub(crate) const PIECES: usize = 4;

/// What the sensor shows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SensorView {
    /// How much it sees.
    pub(crate) report: SensorReport,
    /// Root of the inventory as it now is.
    pub(crate) inventory_root: Sha256,
    /// The files that the image declares.
    pub(crate) declared: Vec<String>,
    /// Signs at the machine that could not be looked at, and why.
    pub(crate) unseen: Vec<String>,
    /// Records waiting.
    pub(crate) spool_records: u64,
    /// Records lost, ever.
    pub(crate) spool_lost: u64,
    /// What is wrong with the spool's disk, in words.
    pub(crate) spool_fault: Option<String>,
    /// Rises when something waits that should not wait for the next report.
    pub(crate) urgent: u64,
}

/// What the updater shows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpdateView {
    /// What runs.
    pub(crate) software: Software,
    /// Where the update stands.
    pub(crate) update: UpdateReport,
    /// Clinical use.
    pub(crate) interlock: InterlockState,
    /// The order that waits for the server's go.
    pub(crate) want_permit: Option<PermitRequest>,
    /// Version of the trusted director root, 0 while none is trusted.
    pub(crate) director_root_version: u64,
    /// Why the last image came whole although its release has a chunk delta.
    pub(crate) whole: Option<String>,
    /// Rises when the server should hear of it at once.
    pub(crate) urgent: u64,
}

/// The latest answer of the server, and when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The answer.
    pub(crate) answer: CheckinAnswer,
    /// Its arrival on the monotonic clock.
    pub(crate) arrived: Millis,
}

/// How the server wants the inventory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lacking {
    /// Root of the one that it holds instead.
    pub(crate) held: Option<Sha256>,
    /// Whether it reads a packed one.
    pub(crate) packed: bool,
}

/// Calls to the sensor.
#[derive(Debug)]
pub(crate) enum ToSensor {
    /// Keep a record of another role.
    Keep(Box<Body>),
    /// The oldest records, at most so many bytes.
    Take(usize, oneshot::Sender<Vec<Record>>),
    /// The server holds everything up to here.
    Stored(Position),
    /// The server lacks the inventory.
    WantInventory(Lacking),
}

/// Calls to the link.
#[derive(Debug)]
pub(crate) enum ToLink {
    /// A metadata file of at most so many bytes.
    Metadata {
        /// Of which repository.
        repository: Repository,
        /// Its name.
        file: String,
        /// Bytes accepted.
        limit: usize,
        /// The way back; `None` for no such file.
        back: oneshot::Sender<Result<Option<Vec<u8>>, LinkError>>,
    },
    /// A content document.
    Content {
        /// Which.
        sha256: Sha256,
        /// The way back; `None` where the server has none.
        back: oneshot::Sender<Result<Option<Vec<u8>>, LinkError>>,
    },
    /// An image, piece by piece.
    Image {
        /// Which, and from where on.
        wanted: Wanted,
        /// The way back; closed at the end or after an error.
        pieces: Pieces,
    },
    /// A receipt to be handed in.
    Receipt {
        /// The receipt.
        receipt: Receipt,
        /// The way back.
        back: oneshot::Sender<Result<(), LinkError>>,
    },
}
