//! The device's private key: made here, kept in one 0600 file, used only through [`DeviceKey`].
//!
//! The key must never leave the device, never be logged, and never be read from a file that others may read. Adapters
//! lend it to rustls for client authentication; requests and receipts are signed by it directly. A secure element or
//! TPM will be another implementation of the same trait.

use std::fmt;
use std::sync::Arc;

use cordon_proto::ids::Sha256;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use zeroize::Zeroizing;

/// Bytes in front of an uncompressed P-256 point that make it a SubjectPublicKeyInfo (RFC 5480 section 2).
const SPKI_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A P-256 private key that signs and never shows itself.
pub trait DeviceKey: Send + Sync + fmt::Debug {
    /// The public key as DER SubjectPublicKeyInfo.
    fn spki(&self) -> &[u8];
    /// ECDSA over SHA-256 of `message`, ASN.1 DER.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError>;
    /// Where the key lives: `file`, `pkcs11`, `tpm`.
    fn protection(&self) -> &'static str;
}

/// Why a key cannot be made, read or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The kernel gives no random bytes, or the library refuses.
    #[error("the cryptographic library could not make or use the key")]
    Library,
    /// The stored bytes are not a P-256 PKCS#8 key.
    #[error(
        "the stored private key is damaged; restore it, or forget the site and enrol again with a new token"
    )]
    Damaged,
    /// The token that holds the key does not answer, or holds it no more.
    #[error(
        "the security token that holds the private key does not sign; put it back or restart its service, the agent opens it again by itself"
    )]
    Token,
}

/// The SubjectPublicKeyInfo of an uncompressed P-256 point; `None` for any other bytes.
#[cfg(feature = "pkcs11")]
pub(super) fn spki_of(point: &[u8]) -> Option<Vec<u8>> {
    (point.len() == 65 && point.first() == Some(&4)).then(|| [SPKI_HEAD.as_slice(), point].concat())
}

/// A key kept in a file.
pub struct FileKey {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
    random: SystemRandom,
}

impl FileKey {
    /// A new key, and the PKCS#8 bytes to store it by.
    pub fn generate() -> Result<(Self, Zeroizing<Vec<u8>>), KeyError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| KeyError::Library)?;
        let bytes = Zeroizing::new(document.as_ref().to_vec());
        Ok((Self::from_pkcs8(&bytes)?, bytes))
    }

    /// The key in PKCS#8 bytes.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, bytes, &random)
            .map_err(|_| KeyError::Damaged)?;
        let spki = [SPKI_HEAD.as_slice(), pair.public_key().as_ref()].concat();
        Ok(Self { pair, spki, random })
    }
}

impl DeviceKey for FileKey {
    fn spki(&self) -> &[u8] {
        &self.spki
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.pair.sign(&self.random, message).map_err(|_| KeyError::Library)?;
        Ok(signature.as_ref().to_vec())
    }

    fn protection(&self) -> &'static str {
        "file"
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileKey({}, secret hidden)", Sha256::of(&self.spki))
    }
}

/// The key as rustls wants it.
#[derive(Clone, Debug)]
pub(super) struct ClientKey(pub(super) Arc<dyn DeviceKey>);

impl SigningKey for ClientKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let ours = SignatureScheme::ECDSA_NISTP256_SHA256;
        offered.contains(&ours).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.0.spki()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for ClientKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.0.sign(message).map_err(|error| rustls::Error::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::PublicKeyData;
    use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

    #[test]
    fn a_stored_key_comes_back_as_the_same_key_and_its_signature_verifies() {
        // Goal: PKCS#8 round trip, SPKI form, ASN.1 signature. Method: ring's verifier and rcgen's form of the SPKI.
        let (key, stored) = FileKey::generate().expect("makes a key");
        let again = FileKey::from_pkcs8(&stored).expect("reads it back");
        assert_eq!(key.spki(), again.spki());
        let signature = again.sign(b"message").expect("signs");
        let point = &key.spki()[SPKI_HEAD.len()..];
        let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
        assert!(verifier.verify(b"message", &signature).is_ok());
        assert!(verifier.verify(b"another", &signature).is_err());
        let theirs = rcgen::KeyPair::try_from(stored.as_slice()).expect("rcgen reads it");
        assert_eq!(theirs.subject_public_key_info(), key.spki(), "our DER head is the standard's");
    }

    #[test]
    fn damage_is_named_and_nothing_secret_is_printed() {
        // Goal: no panic on damaged bytes, no secret in logs. Method: a cut key and the Debug text.
        let (key, stored) = FileKey::generate().expect("makes a key");
        let error = FileKey::from_pkcs8(&stored[..stored.len() - 1]).map(|_| ()).expect_err("is refused");
        assert_eq!(error, KeyError::Damaged);
        assert!(format!("{key:?}").ends_with("secret hidden)"));
    }
}
