//! The farewell: the last thing a device signs before it wipes what it knows of its owner.
//!
//! A device that its owner retired or reported lost, or that a person retires at the device itself, signs this receipt
//! with its identity's key, hands it in if it can, keeps it, and then forgets identity, profile, content and spool. The
//! floor, roots and metadata versions stay: they are no secret and must never fall. The signature covers the
//! received bytes behind a label of its own, so no other receipt can be taken for it.

use alloc::vec::Vec;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::ids::{DeviceId, HardwareId, Sha256};
use crate::receipt::ReceiptError;
use crate::time::Timestamp;
use crate::wire;

const LABEL: &[u8] = b"cordon farewell v1\0";

/// Why a device takes leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The owner's server said that it is retired.
    #[n(0)]
    Retired,
    /// The owner's server said that it was reported lost.
    #[n(1)]
    Lost,
    /// A person retired it at the device.
    #[n(2)]
    AtDevice,
}

/// What the device states.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
pub struct FarewellBody {
    /// The device.
    #[n(0)]
    pub device: DeviceId,
    /// Its hardware identity.
    #[n(1)]
    pub hardware: HardwareId,
    /// Why.
    #[n(2)]
    pub cause: Cause,
    /// The device's clock.
    #[n(3)]
    pub time: Timestamp,
    /// The installed release's counter.
    #[n(4)]
    pub counter: u64,
    /// SHA-256 of the running slot.
    #[n(5)]
    pub sha256: Sha256,
    /// Records of the spool that were wiped without having been handed in.
    #[n(6)]
    pub records_unsent: u64,
}

/// A body and the device's signature over it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Farewell {
    /// The signed bytes, as received.
    #[n(0)]
    pub body: ByteVec,
    /// ECDSA P-256 over SHA-256, ASN.1 DER.
    #[n(1)]
    pub signature: ByteVec,
}

impl Farewell {
    /// Signs a body with the device's key.
    pub fn sign<E>(body: &FarewellBody, sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>) -> Result<Self, E> {
        let bytes = wire::write(body);
        let signature = sign(&signed_bytes(&bytes))?;
        Ok(Self { body: bytes.into(), signature: signature.into() })
    }

    /// The body, if `verify(message, signature)` says that the device signed it.
    pub fn open(&self, verify: impl FnOnce(&[u8], &[u8]) -> bool) -> Result<FarewellBody, ReceiptError> {
        if !verify(&signed_bytes(&self.body), &self.signature) {
            return Err(ReceiptError::Signature);
        }
        wire::read(&self.body, crate::limits::BODY_BYTES).map_err(ReceiptError::Body)
    }
}

fn signed_bytes(body: &[u8]) -> Vec<u8> {
    [LABEL, body].concat()
}
