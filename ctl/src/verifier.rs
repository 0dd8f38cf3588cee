//! All signature schemes of the metadata on a workstation: Ed25519 strictly, ECDSA and RSA by ring.
//!
//! Must never be more lenient than the device's own verifier. Read next: `cordon_proto::update::key`.

use cordon_proto::update::{Ed25519Strict, PublicKey, Scheme, Verifier};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};

/// Verifies what people's keys and other tools' keys sign.
#[derive(Clone, Copy, Debug)]
pub struct RingVerifier;

impl Verifier for RingVerifier {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &'static dyn VerificationAlgorithm = match key.scheme {
            Scheme::Ed25519 => return Ed25519Strict.verify(key, message, signature),
            Scheme::EcdsaP256 => &ECDSA_P256_SHA256_ASN1,
            Scheme::RsaPss => &RSA_PSS_2048_8192_SHA256,
            Scheme::Unknown => return false,
        };
        let Some(material) = key.material() else { return false };
        UnparsedPublicKey::new(algorithm, material).verify(message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::parse_public;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

    #[test]
    fn a_p256_signature_verifies_and_a_flipped_one_does_not() {
        // Goal: keys on tokens and cards count. Method: a fresh P-256 key of ring, its SubjectPublicKeyInfo by hand.
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random).unwrap();
        let head = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
        let mut der = cordon_proto::canonical::fields::decode_hex(head).unwrap();
        der.extend_from_slice(pair.public_key().as_ref());
        let pem = crate::key::pem("PUBLIC KEY", &der);
        let key = parse_public(pem.as_bytes()).unwrap();
        assert_eq!(key.scheme, Scheme::EcdsaP256);
        let mut signature = pair.sign(&random, b"message").unwrap().as_ref().to_vec();
        assert!(RingVerifier.verify(&key, b"message", &signature));
        assert!(!RingVerifier.verify(&key, b"massage", &signature));
        let last = signature.last_mut().unwrap();
        *last ^= 1;
        assert!(!RingVerifier.verify(&key, b"message", &signature));
        assert!(!RingVerifier.verify(&PublicKey { scheme: Scheme::RsaPss, ..key }, b"message", &signature));
    }
}
