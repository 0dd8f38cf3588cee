//! Receipts: device-signed proof of what was installed, rolled back or refused.
//!
//! The signature (P-256, ASN.1 DER, by the device's enrolment key) covers the received bytes of the body behind a
//! domain label, so a receipt is verified by anyone who holds the device's certificate, without our server. A claim
//! without a receipt never counts as installed.

use alloc::vec::Vec;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::checkin::{Action, InterlockState};
use crate::ids::{DeviceId, HardwareId, Name, Sha256, TargetPath, Text};
use crate::time::Timestamp;
use crate::wire::{self, WireError};

const LABEL: &[u8] = b"cordon receipt v1\0";

/// How an order ended on one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The image booted, passed its health gate, and its measured hash is the ordered one.
    #[n(0)]
    Confirmed,
    /// The trial failed; the previous image runs.
    #[n(1)]
    RolledBack,
    /// The device refused the order for good.
    #[n(2)]
    Refused,
    /// The signed way back was taken.
    #[n(3)]
    WentBack,
}

/// What the device states.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
pub struct ReceiptBody {
    /// The device.
    #[n(0)]
    pub device: DeviceId,
    /// Its hardware identity.
    #[n(1)]
    pub hardware: HardwareId,
    /// The order.
    #[n(2)]
    pub order: Name,
    /// The act.
    #[n(3)]
    pub action: Action,
    /// How it ended.
    #[n(4)]
    pub outcome: Outcome,
    /// The release that runs now.
    #[n(5)]
    pub release: Option<TargetPath>,
    /// Its counter.
    #[n(6)]
    pub counter: u64,
    /// SHA-256 of the running slot, measured after the boot.
    #[n(7)]
    pub sha256: Sha256,
    /// SHA-256 of what ran before.
    #[n(8)]
    pub previous_sha256: Sha256,
    /// The running slot.
    #[n(9)]
    pub slot: Text,
    /// Boots that the trial took.
    #[n(10)]
    pub boots: u32,
    /// The floor after it.
    #[n(11)]
    pub floor: u64,
    /// Clinical use at the time of the reboot.
    #[n(12)]
    pub interlock: InterlockState,
    /// The device's clock.
    #[n(13)]
    pub time: Timestamp,
    /// The refusal's or failure's code and sentence, if any.
    #[n(14)]
    pub reason: Option<crate::checkin::Blocked>,
}

/// A body and the device's signature over it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Receipt {
    /// The signed bytes, as received.
    #[n(0)]
    pub body: ByteVec,
    /// ECDSA P-256 over SHA-256, ASN.1 DER.
    #[n(1)]
    pub signature: ByteVec,
}

impl Receipt {
    /// Signs a body with the device's key.
    pub fn sign<E>(body: &ReceiptBody, sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>) -> Result<Self, E> {
        let bytes = wire::write(body);
        let signature = sign(&signed_bytes(&bytes))?;
        Ok(Self { body: bytes.into(), signature: signature.into() })
    }

    /// The body, if `verify(message, signature)` says that the device signed it.
    pub fn open(&self, verify: impl FnOnce(&[u8], &[u8]) -> bool) -> Result<ReceiptBody, ReceiptError> {
        if !verify(&signed_bytes(&self.body), &self.signature) {
            return Err(ReceiptError::Signature);
        }
        wire::read(&self.body, crate::limits::BODY_BYTES).map_err(ReceiptError::Body)
    }
}

/// Why a receipt is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not signed by this device's key.
    #[error("the receipt is not signed by the key of this device's certificate")]
    Signature,
    /// Signed, but not a receipt of a version known here.
    #[error("the signed body is not a receipt: {0}")]
    Body(WireError),
}

fn signed_bytes(body: &[u8]) -> Vec<u8> {
    [LABEL, body].concat()
}
