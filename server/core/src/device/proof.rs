//! A receipt as it is kept: the device's own bytes, and under which certificate they were verified.
//!
//! The bytes are never written anew, so whoever has the certificate can verify them again without this server.

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::enrol::{base64url, from_base64url};
use cordon_proto::ids::Sha256;
use cordon_proto::limits;
use cordon_proto::receipt::{Receipt, ReceiptBody};
use cordon_proto::time::Timestamp;
use cordon_proto::wire;
use serde::{Deserialize, Serialize};

/// The document under `Key::Receipt`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Version of this document.
    pub v: u32,
    /// When it came.
    pub received: Timestamp,
    /// SHA-256 of the certificate whose key signed it.
    pub leaf: Sha256,
    /// The receipt as received, base64url without padding.
    pub receipt: String,
}

const VERSION: u32 = 1;

impl Proof {
    /// Keeps `receipt`, the bytes of a [`Receipt`] that was verified with the key of `leaf`.
    #[must_use]
    pub fn new(receipt: &[u8], leaf: Sha256, received: Timestamp) -> Self {
        Self { v: VERSION, received, leaf, receipt: base64url(receipt) }
    }

    /// The receipt's bytes as received.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        from_base64url(&self.receipt)
    }

    /// What the device stated. The signature was checked when it came and is not checked again.
    #[must_use]
    pub fn opened(&self) -> Option<ReceiptBody> {
        let receipt: Receipt = wire::read(&self.bytes()?, limits::BODY_BYTES).ok()?;
        receipt.open(|_, _| true).ok()
    }

    /// The stored bytes.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and integers are always JSON")
    }

    /// Reads stored bytes; `None` for a version that this program does not know.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|proof: &Self| proof.v == VERSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use cordon_proto::checkin::{Action, InterlockState};
    use cordon_proto::ids::{DeviceId, HardwareId};
    use cordon_proto::receipt::Outcome;
    use proptest::prelude::*;

    #[test]
    fn a_receipt_is_kept_byte_for_byte() {
        // Goal: it can be verified again elsewhere. Method: keep, store, read, compare; golden frame of the document.
        let body = ReceiptBody {
            device: DeviceId::from_random([7; 16]),
            hardware: HardwareId([1; 32]),
            order: "o-1".parse().expect("a name"),
            action: Action::Install,
            outcome: Outcome::Confirmed,
            release: None,
            counter: 4,
            sha256: Sha256([2; 32]),
            previous_sha256: Sha256([3; 32]),
            slot: "B".parse().expect("a text"),
            boots: 1,
            floor: 2,
            interlock: InterlockState::Standby,
            time: Timestamp(9),
            reason: None,
        };
        let receipt = Receipt::sign(&body, |_| Ok::<_, ()>(vec![1, 2, 3])).expect("signs");
        let bytes = wire::write(&receipt);
        let proof = Proof::new(&bytes, Sha256([4; 32]), Timestamp(10));
        let stored = proof.to_body();
        assert!(stored.starts_with(br#"{"v":1,"received":10,"leaf":"0404"#));
        let read = Proof::from_body(&stored).expect("reads");
        assert_eq!((read.bytes(), read.opened()), (Some(bytes), Some(body)));
        let damaged = Proof { receipt: "!".into(), ..proof };
        assert_eq!((damaged.bytes(), damaged.opened()), (None, None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_proof_or_refused_without_a_panic(bytes: Vec<u8>) {
            let _ = Proof::from_body(&bytes).and_then(|proof| proof.opened());
        }
    }
}
