//! The check of firmware signatures on the device: Ed25519 on the ground, P-256 and RSA-PSS by ring.
//!
//! The ground takes it as an argument, so that no cryptography library is below it. Whatever is malformed or unknown
//! is no signature. Read next: `cordon_proto::update::key`.

use cordon_proto::update::{Ed25519Strict, PublicKey, Scheme, Verifier};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};

use crate::der;

/// All schemes that a manufacturer or an owner may sign with.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeviceVerifier;

impl Verifier for DeviceVerifier {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        match key.scheme {
            Scheme::Ed25519 => Ed25519Strict.verify(key, message, signature),
            Scheme::EcdsaP256 => by_ring(&ECDSA_P256_SHA256_ASN1, key, message, signature),
            Scheme::RsaPss => by_ring(&RSA_PSS_2048_8192_SHA256, key, message, signature),
            Scheme::Unknown => false,
        }
    }
}

fn by_ring(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &PublicKey,
    message: &[u8],
    signature: &[u8],
) -> bool {
    der::public_key(&key.bytes)
        .is_some_and(|bits| UnparsedPublicKey::new(algorithm, bits).verify(message, signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::key::{DeviceKey, FileKey};

    #[test]
    fn a_p256_signature_counts_and_a_broken_one_or_another_scheme_does_not() {
        // Goal: PIV and PKCS#11 keys may sign. Method: sign by ring, verify from the SPKI; flip, and name it otherwise.
        let (signer, _) = FileKey::generate().expect("makes a key");
        let signature = signer.sign(b"signed").expect("signs");
        let key = |scheme| PublicKey { scheme, bytes: signer.spki().to_vec() };
        assert!(DeviceVerifier.verify(&key(Scheme::EcdsaP256), b"signed", &signature));
        assert!(!DeviceVerifier.verify(&key(Scheme::EcdsaP256), b"signeD", &signature));
        assert!(!DeviceVerifier.verify(&key(Scheme::RsaPss), b"signed", &signature));
        assert!(!DeviceVerifier.verify(&key(Scheme::Ed25519), b"signed", &signature));
        let cut = PublicKey { scheme: Scheme::EcdsaP256, bytes: signer.spki()[1..].to_vec() };
        assert!(!DeviceVerifier.verify(&cut, b"signed", &signature));
    }
}
