//! The authorities that a device believes: a versioned bundle of root certificates, signed by one that it believed before.
//!
//! A device starts with one pin, from its enrolment string. A root is replaced by steps: a bundle with both roots, signed
//! by the old root's key, then a bundle with the new one alone. Bundles are followed one version after the other, as TUF
//! roots are, so that a device that slept through several catches up; each is judged by what was believed before it.
//! A device that has only its pin begins with the first one that its pin's key has signed: the bundles before were signed
//! by roots that this device was never told of.
//! The server only carries them: the roots' keys are offline. Nothing here parses a certificate: the caller says which
//! key it holds. Read next: [`Search::follow`], and `enrol` for the first pin.

use alloc::vec::Vec;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::ids::Sha256;
use crate::limits;
use crate::time::Timestamp;
use crate::wire;

const LABEL: &[u8] = b"cordon authorities v1\0";

/// Root certificates of one version.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Authorities {
    /// Counts up by one.
    #[n(0)]
    pub version: u64,
    /// When it was signed.
    #[n(1)]
    pub issued: Timestamp,
    /// The root certificates to believe from now on, DER.
    #[n(2)]
    pub roots: Vec<ByteVec>,
}

/// A bundle as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedAuthorities {
    /// The signed bytes, as received.
    #[n(0)]
    pub body: ByteVec,
    /// Signatures by roots, each named by its key.
    #[n(1)]
    pub signatures: Vec<RootSignature>,
}

/// One root's signature.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RootSignature {
    /// SHA-256 of the root key's SubjectPublicKeyInfo.
    #[n(0)]
    pub key: Sha256,
    /// ECDSA P-256 over SHA-256, ASN.1 DER.
    #[n(1)]
    pub signature: ByteVec,
}

/// What a device believes now: keys of roots by the hash of their SubjectPublicKeyInfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Believed {
    /// Version of the bundle they came from; 0 for the pin of the enrolment string.
    pub version: u64,
    /// The pins.
    pub pins: Vec<Sha256>,
}

/// What the caller's cryptography says of certificates.
pub trait Certificates {
    /// SHA-256 of the SubjectPublicKeyInfo of a certificate; `None` for bytes that are none.
    fn key(&self, certificate: &[u8]) -> Option<Sha256>;
    /// Whether the key of this certificate made `signature` over `message`.
    fn verifies(&self, certificate: &[u8], message: &[u8], signature: &[u8]) -> bool;
}

/// Why a bundle is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthoritiesError {
    /// Not a bundle, or beyond its bounds.
    #[error("the bundle of authorities is not one of this version")]
    Malformed,
    /// Another version than the next one.
    #[error("the bundle of authorities has version {found}, the next one is {wanted}")]
    Version {
        /// Its version.
        found: u64,
        /// The one that would follow.
        wanted: u64,
    },
    /// Nobody who is believed signed it.
    #[error("the bundle of authorities is not signed by a root that is believed")]
    Unsigned,
}

impl SignedAuthorities {
    /// The bytes that a root signs for a bundle.
    #[must_use]
    pub fn message(body: &[u8]) -> Vec<u8> {
        [LABEL, body].concat()
    }

    /// Reads a bundle; nothing of it is believed yet.
    pub fn read(bytes: &[u8]) -> Result<(Self, Authorities), AuthoritiesError> {
        let signed: Self =
            wire::read(bytes, limits::AUTHORITIES_BYTES).map_err(|_| AuthoritiesError::Malformed)?;
        let bundle: Authorities =
            wire::read(&signed.body, limits::AUTHORITIES_BYTES).map_err(|_| AuthoritiesError::Malformed)?;
        let bounded = (1..=limits::AUTHORITIES).contains(&bundle.roots.len())
            && signed.signatures.len() <= limits::AUTHORITIES;
        if bounded { Ok((signed, bundle)) } else { Err(AuthoritiesError::Malformed) }
    }
}

impl Believed {
    /// What is believed after this bundle, and the roots' certificates. `known` are certificates of the present pins,
    /// as far as the caller has them; those in the bundle itself count as well, because a pin is the proof.
    pub fn step(
        &self,
        bytes: &[u8],
        known: &[&[u8]],
        certificates: &impl Certificates,
    ) -> Result<(Self, Vec<Vec<u8>>), AuthoritiesError> {
        let (signed, bundle) = SignedAuthorities::read(bytes)?;
        let wanted = self.version.saturating_add(1);
        if bundle.version != wanted {
            return Err(AuthoritiesError::Version { found: bundle.version, wanted });
        }
        let roots: Vec<&[u8]> = bundle.roots.iter().map(|root| root.as_slice()).collect();
        let pins = roots.iter().map(|root| certificates.key(root)).collect::<Option<Vec<_>>>();
        let pins = pins.ok_or(AuthoritiesError::Malformed)?;
        let message = SignedAuthorities::message(&signed.body);
        let believed = signed.signatures.iter().any(|made| {
            let holders = known.iter().chain(&roots);
            self.pins.contains(&made.key)
                && holders
                    .filter(|root| certificates.key(root) == Some(made.key))
                    .any(|root| certificates.verifies(root, &message, &made.signature))
        });
        if !believed {
            return Err(AuthoritiesError::Unsigned);
        }
        let next = Self { version: bundle.version, pins };
        Ok((next, roots.into_iter().map(<[u8]>::to_vec).collect()))
    }
}

/// How a device goes from bundle to bundle: how far it has looked while it has only its pin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Search {
    looked: u64,
}

/// What a bundle led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// This is believed from now on; with the roots' certificates.
    Believed(Believed, Vec<Vec<u8>>),
    /// It was made before this device's pin was a root: the next one may be the first.
    Before,
}

impl Search {
    /// The version to fetch next, the newest one being `newest`; `None` if there is nothing to follow.
    #[must_use]
    pub fn next(&self, believed: &Believed, newest: u64) -> Option<u64> {
        let done = if believed.version == 0 { self.looked } else { believed.version };
        (done < newest).then(|| done.saturating_add(1))
    }

    /// Judges the bundle that was fetched as this version, by what is believed; see [`Believed::step`] for `known`.
    ///
    /// # Errors
    /// The bundle is not to be followed; nothing after it is either.
    pub fn follow(
        &mut self,
        believed: &Believed,
        (number, bytes): (u64, &[u8]),
        known: &[&[u8]],
        certificates: &impl Certificates,
    ) -> Result<Followed, AuthoritiesError> {
        if believed.version > 0 {
            let (next, roots) = believed.step(bytes, known, certificates)?;
            return Ok(Followed::Believed(next, roots));
        }
        let before = Believed { version: number.saturating_sub(1), pins: believed.pins.clone() };
        match before.step(bytes, known, certificates) {
            Ok((next, roots)) => Ok(Followed::Believed(next, roots)),
            Err(AuthoritiesError::Unsigned) => {
                self.looked = self.looked.max(number);
                Ok(Followed::Before)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
