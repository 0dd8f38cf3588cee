//! What a device states under its own signature, receipts and farewells alike: whose it must be to count.
//!
//! The key of the very certificate on the connection must have signed it, and it must speak of that device and its
//! hardware. What becomes of it is decided where it is taken in. Read next: `report` for receipts, `farewell`.

use cordon_proto::ids::{DeviceId, HardwareId};
use cordon_proto::receipt;
use cordon_server_core::device::TookLeave;

use super::CommitError;
use crate::fleet::Member;
use crate::store::StoreError;

/// Why a statement was not taken.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// Not signed by this device's key, or no statement.
    #[error(transparent)]
    Signature(#[from] receipt::ReceiptError),
    /// Signed, but it speaks of another device.
    #[error("it speaks of another device than the one that hands it in")]
    Another,
    /// Another last word is held.
    #[error(transparent)]
    TookLeave(#[from] TookLeave),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Whether a statement that names `device` and `hardware` is this member's.
pub(super) fn is_of(member: &Member, device: DeviceId, hardware: HardwareId) -> Result<(), StatementError> {
    let same_hardware = hardware == member.device.hardware.identity() || !member.device.stated;
    if device == member.id() && same_hardware { Ok(()) } else { Err(StatementError::Another) }
}
