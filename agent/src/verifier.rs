//! The check of firmware signatures on the device: Ed25519 on the ground, P-256 and RSA-PSS by ring.
//!
//! The ground takes it as an argument, so that no cryptography library is below it. Whatever is malformed or unknown
//! is no signature. Read next: `cordon_proto::update::key`.

use cordon_proto::update::{Ed25519Strict, PublicKey, Scheme, Verifier};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};

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
    // Only the one form that a workstation reads too: a key in two spellings would count as two keys.
    key.material()
        .is_some_and(|key| UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

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

    /// An RSA key of 2048 bits and its signatures over `signed`, made with `openssl dgst -sha256 -sign`: with
    /// `rsa_padding_mode:pss` and `rsa_pss_saltlen:32`, and with the old padding.
    const RSA: &str = include_str!("../../proto/golden/update/rsa-pss.pub.pem");
    const PSS: &str = include_str!("../../proto/golden/update/rsa-pss.sig.b64");
    const PKCS1: &str = include_str!("../../proto/golden/update/rsa-pkcs1.sig.b64");

    fn bytes(text: &str) -> Vec<u8> {
        STANDARD.decode(text.split_whitespace().collect::<String>()).expect("is base64")
    }

    #[test]
    fn an_rsa_pss_signature_of_openssl_counts_and_the_old_padding_does_not() {
        // Goal: RSA keys of other tools, in one scheme alone. Method: a key and signatures of OpenSSL.
        let pem: String = RSA.lines().filter(|line| !line.starts_with('-')).collect();
        let key = PublicKey { scheme: Scheme::RsaPss, bytes: bytes(&pem) };
        assert!(DeviceVerifier.verify(&key, b"signed", &bytes(PSS)));
        assert!(!DeviceVerifier.verify(&key, b"signeD", &bytes(PSS)));
        assert!(!DeviceVerifier.verify(&key, b"signed", &bytes(PKCS1)));
        assert!(!DeviceVerifier.verify(&key, b"signed", &[]));
        let other = PublicKey { scheme: Scheme::EcdsaP256, ..key };
        assert!(!DeviceVerifier.verify(&other, b"signed", &bytes(PSS)));
    }

    #[test]
    fn one_key_has_one_spelling() {
        // Goal: a threshold of two keys is not met by one key in two spellings. Method: the same point behind another
        // algorithm, behind a longer length, and followed by a byte.
        let (signer, _) = FileKey::generate().expect("makes a key");
        let signature = signer.sign(b"signed").expect("signs");
        let good = signer.spki();
        let verified = |bytes: Vec<u8>| {
            DeviceVerifier.verify(&PublicKey { scheme: Scheme::EcdsaP256, bytes }, b"signed", &signature)
        };
        assert!(verified(good.to_vec()));
        let mut other_curve = good.to_vec();
        other_curve[22] ^= 1;
        let longer = [&[0x30, 0x81, 0x59], &good[2..]].concat();
        for spelling in [other_curve, longer, [good, &[0]].concat()] {
            assert!(!verified(spelling));
        }
    }
}
