//! A receipt as pages and scores need it.
//!
//! The device's own bytes stay in the store. Read next: `proofs`, which hands them out.

use cordon_proto::ids::Sha256;
use cordon_proto::receipt::ReceiptBody;
use cordon_proto::time::Timestamp;
use cordon_server_core::device::Proof;

/// A receipt that was verified when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptView {
    /// SHA-256 of the receipt, its name in the store.
    pub digest: Sha256,
    /// When it came.
    pub received: Timestamp,
    /// What the device stated.
    pub body: ReceiptBody,
}

impl ReceiptView {
    pub(super) fn read(body: &[u8], digest: Sha256) -> Option<Self> {
        let proof = Proof::from_body(body)?;
        Some(Self { digest, received: proof.received, body: proof.opened()? })
    }
}
