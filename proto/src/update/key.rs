//! Public keys, key ids, and how many of them must have signed.
//!
//! The check of a signature is an argument ([`Verifier`]), so that the ground needs only Ed25519 and a program may add
//! ECDSA and RSA. Key ids are opaque: the id a document declares is the key's name in that document, unique there; it
//! is never recomputed (TUF 1.0.34 section 4.3 asks for it, every interoperable client treats ids as opaque). A key
//! that cannot be read is kept and never verifies; it must never make its document unreadable.
//!
//! Read next: [`Authority`], the rule of thresholds; [`super::document`], which applies it.

use super::fault::Fault;
use super::pem;
use crate::canonical::fields::{decode_hex, encode_hex};
use crate::canonical::{FieldError, FieldProblem, Fields, Value};
use crate::ids::Sha256;
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A check of one signature, passed in by whoever has the cryptography.
pub trait Verifier {
    /// Whether `signature` over `message` was made with `key`. Anything unknown or malformed is `false`.
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool;
}

/// Ed25519 without the lenient corners: small-order keys and non-canonical encodings are refused (RFC 8032 section
/// 5.1.7 and `verify_strict` of ed25519-dalek). Other schemes are `false`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ed25519Strict;

impl Verifier for Ed25519Strict {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        let (Scheme::Ed25519, Ok(bytes)) = (key.scheme, <&[u8; 32]>::try_from(key.bytes.as_slice())) else {
            return false;
        };
        let Ok(signature) = ed25519_dalek::Signature::from_slice(signature) else { return false };
        ed25519_dalek::VerifyingKey::from_bytes(bytes)
            .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

/// The name of a key inside a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub String);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// Ed25519; the key is its 32 bytes.
    Ed25519,
    /// ECDSA on P-256 with SHA-256, ASN.1 signatures; the key is its SubjectPublicKeyInfo in DER.
    EcdsaP256,
    /// RSASSA-PSS with SHA-256; the key is its SubjectPublicKeyInfo in DER.
    RsaPss,
    /// Another scheme, or a key that cannot be read: it never verifies. The key is its text.
    Unknown,
}

const ED25519: &str = "ed25519";
const ECDSA_P256: &str = "ecdsa-sha2-nistp256";
const RSA_PSS: &str = "rsassa-pss-sha256";

/// A SubjectPublicKeyInfo of an uncompressed P-256 point up to the point (RFC 5480 section 2).
const P256_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The algorithm of an RSA SubjectPublicKeyInfo with its tag and length (RFC 3279 section 2.3.1).
const RSA_ALGORITHM: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// A public key as a document states it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey {
    /// How it signs.
    pub scheme: Scheme,
    /// The key, see [`Scheme`].
    pub bytes: Vec<u8>,
}

impl PublicKey {
    /// An Ed25519 key.
    #[must_use]
    pub fn ed25519(bytes: [u8; 32]) -> Self {
        Self { scheme: Scheme::Ed25519, bytes: bytes.into() }
    }

    /// Reads a key object `{keytype, scheme, keyval: {public}}`; a key of an unknown kind, or whose kind and scheme do not
    /// belong together (TUF 4.2), is read as an unknown one.
    ///
    /// # Errors
    /// The object lacks `keytype`, `scheme` or `keyval.public`.
    pub fn read(fields: &Fields<'_>) -> Result<Self, FieldError> {
        let public = fields.map("keyval")?;
        let public = public.text("public")?;
        let known = match (fields.text("keytype")?, fields.text("scheme")?) {
            (ED25519, ED25519) => {
                decode_hex(public).filter(|bytes| bytes.len() == 32).map(|bytes| (Scheme::Ed25519, bytes))
            }
            // The second kind is that of older tools.
            ("ecdsa" | ECDSA_P256, ECDSA_P256) => pem::decode(public).map(|der| (Scheme::EcdsaP256, der)),
            ("rsa", RSA_PSS) => pem::decode(public).map(|der| (Scheme::RsaPss, der)),
            _ => None,
        };
        let (scheme, bytes) = known.unwrap_or_else(|| (Scheme::Unknown, public.as_bytes().to_owned()));
        Ok(Self { scheme, bytes })
    }

    /// The key as an object of a document.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let (kind, scheme, public) = match self.scheme {
            Scheme::Ed25519 => ("ed25519", ED25519, encode_hex(&self.bytes)),
            Scheme::EcdsaP256 => ("ecdsa", ECDSA_P256, pem::encode(&self.bytes)),
            Scheme::RsaPss => ("rsa", RSA_PSS, pem::encode(&self.bytes)),
            Scheme::Unknown => ("unknown", "unknown", String::from_utf8_lossy(&self.bytes).into_owned()),
        };
        Value::object([
            ("keytype", kind.into()),
            ("scheme", scheme.into()),
            ("keyval", Value::object([("public", Value::from(public))])),
        ])
    }

    /// The id under which we list this key: SHA-256 of its object's canonical JSON, in hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId(encode_hex(&Sha256::of(&self.to_value().canonical()).0))
    }

    /// What a cryptographic library takes: the 32 bytes of Ed25519, the uncompressed point of P-256, the
    /// `RSAPublicKey` of RSA; nothing if the key is of another form.
    #[must_use]
    pub fn material(&self) -> Option<&[u8]> {
        match self.scheme {
            Scheme::Ed25519 => Some(&self.bytes),
            Scheme::EcdsaP256 => self
                .bytes
                .strip_prefix(&P256_HEAD)
                .filter(|point| point.len() == 65 && point.starts_with(&[4])),
            Scheme::RsaPss => {
                let (body, after) = der_value(&self.bytes, 0x30)?;
                let (bits, rest) = der_value(body.strip_prefix(&RSA_ALGORITHM)?, 0x03)?;
                if after.is_empty() && rest.is_empty() { bits.strip_prefix(&[0]) } else { None }
            }
            Scheme::Unknown => None,
        }
    }
}

/// The content of a DER value with this tag, and what follows it.
fn der_value(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [found, length, rest @ ..] = bytes else { return None };
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    (*found == tag).then(|| rest.split_at_checked(length)).flatten()
}

/// One signature of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The key it claims.
    pub key: KeyId,
    /// Its bytes; empty if it was not written in hexadecimal digits.
    pub bytes: Vec<u8>,
}

/// The keys of a role and how many of them must sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    keys: BTreeMap<KeyId, PublicKey>,
    threshold: u64,
}

impl Authority {
    /// Takes the keys a role lists out of those its document declares. One that is not declared does not count.
    ///
    /// # Errors
    /// `keyids` or `threshold` is missing or of the wrong kind, an id is listed twice (TUF 4.3), or the threshold is 0.
    pub fn read(fields: &Fields<'_>, declared: &BTreeMap<KeyId, PublicKey>) -> Result<Self, FieldError> {
        let listed: Vec<_> = fields.texts("keyids")?.into_iter().map(|id| KeyId(id.to_owned())).collect();
        let mut seen = BTreeSet::new();
        if !listed.iter().all(|id| seen.insert(id)) {
            return Err(fields.error("keyids", FieldProblem::Form("ids that differ from each other")));
        }
        let mut keys = BTreeMap::new();
        for id in listed {
            if let Some(key) = declared.get(&id) {
                keys.insert(id, key.clone());
            }
        }
        let threshold = fields.unsigned("threshold")?;
        if threshold == 0 {
            return Err(fields.error("threshold", FieldProblem::Range));
        }
        Ok(Self { keys, threshold })
    }

    /// An authority of these keys, listed under the ids that [`PublicKey::id`] gives; nothing if the threshold is 0
    /// or cannot be reached.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = PublicKey>, threshold: u64) -> Option<Self> {
        let mut listed = BTreeMap::new();
        listed.extend(keys.into_iter().map(|key| (key.id(), key)));
        let keys = listed;
        (1..=as_u64(keys.len())).contains(&threshold).then_some(Self { keys, threshold })
    }

    /// The keys by the id under which the document declares them.
    #[must_use]
    pub fn keys(&self) -> &BTreeMap<KeyId, PublicKey> {
        &self.keys
    }

    /// How many different keys must sign.
    #[must_use]
    pub fn threshold(&self) -> u64 {
        self.threshold
    }

    /// The id under which the document declares a key.
    #[must_use]
    pub fn id_of(&self, key: &PublicKey) -> Option<&KeyId> {
        self.keys.iter().find(|(_, listed)| *listed == key).map(|(id, _)| id)
    }

    /// How many different keys of this role made a valid signature over the message. Signatures of unknown keys and
    /// invalid ones are ignored; one public key counts once, under however many ids it is listed.
    #[must_use]
    pub fn count(&self, message: &[u8], signatures: &[Signature], verifier: &dyn Verifier) -> u64 {
        let mut counted = BTreeSet::new();
        for signature in signatures {
            let Some(key) = self.keys.get(&signature.key) else { continue };
            if !counted.contains(key) && verifier.verify(key, message, &signature.bytes) {
                counted.insert(key);
            }
        }
        as_u64(counted.len())
    }

    /// Demands that a threshold of different keys signed the message.
    ///
    /// # Errors
    /// [`Fault::Unreachable`] or [`Fault::Threshold`].
    pub fn demand(
        &self,
        message: &[u8],
        signatures: &[Signature],
        verifier: &dyn Verifier,
    ) -> Result<(), Fault> {
        let mut different = BTreeSet::new();
        different.extend(self.keys.values());
        let keys = as_u64(different.len());
        if keys < self.threshold {
            return Err(Fault::Unreachable { keys, needed: self.threshold });
        }
        let valid = self.count(message, signatures, verifier);
        if valid < self.threshold {
            return Err(Fault::Threshold { valid, needed: self.threshold });
        }
        Ok(())
    }
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).expect("lengths have at most 64 bits")
}

#[cfg(test)]
mod tests;
