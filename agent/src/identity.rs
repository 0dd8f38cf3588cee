//! Who the device is to its owner: key, certificate, site, and whom it believes.
//!
//! Two certificates may be held, the one in force and the next; whatever dies in between, one of them works. Nothing
//! here drops an identity by itself: a person does (`forget-site`, `retire`, enrolling anew where the server knows the
//! device no more), or the owner's word that the device is retired or lost. Read next: [`slots`] for what is on disk
//! and in which order, [`enrolment`] and [`renewal`] for how it comes, [`crate::tls`].

pub mod authorities;
mod binding;
pub mod enrolment;
pub(crate) mod est;
pub mod farewell;
pub mod key;
pub mod keystore;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
mod renewal;
pub mod slots;

use std::sync::{Arc, Mutex, PoisonError};

use cordon_agent_core::renew::Life;
use cordon_proto::authorities::Believed;
use cordon_proto::enrol::{EnrolmentString, enrolment_name};
use cordon_proto::ids::{DeviceId, Sha256};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use crate::clock::TrustedClock;
use crate::der;
use crate::files::FileError;
use crate::link::{LinkError, Retry};
use crate::tls::{TlsError, Trust};
use key::{ClientKey, DeviceKey, KeyError};
use keystore::KeyStoreError;

pub use enrolment::{Applicant, enrol, enrol_anew};
pub use renewal::renew;
pub use slots::{Held, Home};

/// Seconds between two questions whether a person has approved, where the server names none.
const APPROVAL_S: u64 = 60;

/// Where the device belongs: an enrolment string without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// The server's name.
    pub host: String,
    /// Port of its enrolment plane.
    pub enrolment_port: u16,
    /// Port of its device plane.
    pub device_port: u16,
    /// SHA-256 of the root CA's SubjectPublicKeyInfo.
    pub ca_pin: Sha256,
    /// SHA-256 of a director root that the owner's people hold.
    pub director_root: Sha256,
}

impl From<&EnrolmentString> for Site {
    fn from(string: &EnrolmentString) -> Self {
        Self {
            host: string.host.clone(),
            enrolment_port: string.enrolment_port,
            device_port: string.device_port,
            ca_pin: string.ca_pin,
            director_root: string.director_root,
        }
    }
}

impl Site {
    /// `HOST:PORT` as it stands in a URL.
    #[must_use]
    pub fn authority(&self, port: u16) -> String {
        authority(&self.host, port)
    }

    /// The name under which the enrolment plane is asked for.
    pub fn enrolment_host(&self) -> Result<String, IdentityError> {
        let name = enrolment_name(&self.host, (self.enrolment_port, self.device_port));
        name.ok_or_else(|| IdentityError::NoName(self.host.clone()))
    }
}

/// `HOST:PORT` as it stands in a URL.
fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// An enrolled device.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The server's name for the device.
    pub device: DeviceId,
    /// Where it belongs.
    pub site: Site,
    /// Its certificate's first second.
    pub not_before: Timestamp,
    /// Its certificate's last second.
    pub not_after: Timestamp,
    /// The roots it believes, by their keys.
    pub believed: Believed,
    key: Arc<dyn DeviceKey>,
    leaf: CertificateDer<'static>,
    roots: Vec<CertificateDer<'static>>,
}

/// Why there is no usable identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read or written, or its mode is too open.
    #[error(transparent)]
    File(#[from] FileError),
    /// The key cannot be made or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No key can be made, found or removed.
    #[error(transparent)]
    KeyStore(#[from] KeyStoreError),
    /// A file here is not what this version writes, or key and certificate do not belong together.
    #[error("the stored identity is damaged ({0}); forget the site and enrol again with a new token")]
    Damaged(&'static str),
    /// No request could be made.
    #[error("the certificate request could not be made; the serial number may hold unusual characters")]
    Request,
    /// The device belongs somewhere already.
    #[error(
        "this device is enrolled at {host} as {device}; run `cordon-agent forget-site` first if it is to belong elsewhere"
    )]
    Enrolled {
        /// The present server.
        host: String,
        /// The present identity.
        device: DeviceId,
    },
    /// One port for both planes, and no name to tell them apart by.
    #[error(
        "the enrolment string gives one port for enrolment and device plane, which are told apart by name, but {0} is an address; ask for a string with the server's name, and set `server` to its address where no name look-up works"
    )]
    NoName(String),
    /// An enrolment elsewhere waits for a person.
    #[error(
        "this device waits for approval at {host}; run `cordon-agent forget-site` first if it is to belong elsewhere"
    )]
    Joining {
        /// The server it waits at.
        host: String,
    },
    /// A person at the server has to approve the key.
    #[error("a person must approve this device at the server; the fingerprint of its key is {fingerprint}")]
    Waiting {
        /// SHA-256 of the key's SubjectPublicKeyInfo.
        fingerprint: Sha256,
        /// Seconds after which to ask again.
        retry_after_s: Option<u64>,
    },
    /// The server refuses this device for a reason that another try does not change.
    #[error("the server refuses this enrolment ({code}){}{detail}; ask the owner's IT", if detail.is_empty() { "" } else { ": " })]
    Denied {
        /// The machine-readable reason.
        code: String,
        /// The server's sentence.
        detail: String,
    },
    /// No client could be built.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The server could not be asked, or refused.
    #[error("enrolment at {host} failed: {source}")]
    Server {
        /// The server.
        host: String,
        /// Whose fault, and what to do.
        #[source]
        source: LinkError,
    },
    /// The token is unknown.
    #[error("the server does not accept the token; it may be mistyped, used or expired: ask for a new one")]
    Token,
    /// The issued certificate is not ours.
    #[error("the server issued a certificate that does not fit this device's key; report it, do not retry")]
    ForeignCertificate,
    /// None of the server's CA certificates has the pinned key.
    #[error(
        "none of the server's CA certificates has the pinned key; check the enrolment string, or someone stands between"
    )]
    NoPinnedRoot,
}

impl IdentityError {
    /// What is not as it was once written; `None` where the disk does not answer, or a secret lies open.
    fn damage(&self) -> Option<&'static str> {
        let of_file = |error: &FileError| matches!(error, FileError::TooLarge { .. });
        match self {
            Self::Damaged(what) => Some(what),
            Self::Key(KeyError::Damaged) | Self::KeyStore(KeyStoreError::Key(KeyError::Damaged)) => {
                Some("the private key")
            }
            Self::KeyStore(KeyStoreError::Name) => Some("the name of the private key"),
            Self::File(error) | Self::KeyStore(KeyStoreError::File(error)) if of_file(error) => {
                Some("a file of more bytes than it ever has")
            }
            _ => None,
        }
    }

    /// Whether the key that was asked for will never be certified: a person denied it, it is not the device's to renew
    /// with, or the answer is for another one.
    fn is_about_the_key(&self) -> bool {
        let of_key = |code: &str| ["same_key", "approval_denied"].contains(&code);
        match self {
            Self::ForeignCertificate => true,
            // A serial that was mended needs another request, and the token the same key.
            Self::Denied { code, .. } => of_key(code),
            Self::Server { source: LinkError::Rejected { status: 403, code, .. }, .. } => {
                of_key(code) || code == "serial_mismatch"
            }
            _ => false,
        }
    }

    /// Whether the very bytes of the request are refused.
    fn is_about_the_request(&self) -> bool {
        matches!(self, Self::Server { source: LinkError::Rejected { status: 400 | 413 | 422, .. }, .. })
    }

    /// When the same attempt may succeed, if ever.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            // Trying the same pin or request again is no help, and the token is not to be waved about.
            Self::Server {
                source: LinkError::WrongServer(_) | LinkError::Rejected { status: 400..=499, .. },
                ..
            } => Retry::Never,
            Self::Server { source, .. } => source.retry(),
            Self::Waiting { retry_after_s, .. } => {
                Retry::After(retry_after_s.unwrap_or(APPROVAL_S).clamp(1, limits::RETRY_AFTER_S))
            }
            // A token comes back by itself, or somebody brings it back.
            Self::Key(KeyError::Token) => Retry::Soon,
            Self::File(_)
            | Self::Key(KeyError::Library | KeyError::Damaged)
            | Self::KeyStore(_)
            | Self::Damaged(_)
            | Self::Request
            | Self::Enrolled { .. }
            | Self::NoName(_)
            | Self::Joining { .. }
            | Self::Denied { .. }
            | Self::Tls(_)
            | Self::Token
            | Self::ForeignCertificate
            | Self::NoPinnedRoot => Retry::Never,
        }
    }
}

impl Identity {
    /// The identity to be used of those in a home; `None` before enrolment.
    pub fn load(home: impl Into<Home>) -> Result<Option<Self>, IdentityError> {
        Ok(home.into().held()?.map(|held| held.identity))
    }

    fn assemble(
        key: Arc<dyn DeviceKey>,
        site: Site,
        leaf: CertificateDer<'static>,
        (believed, roots): (Believed, Vec<CertificateDer<'static>>),
    ) -> Option<Self> {
        let read = est::read_leaf(&leaf)?;
        (read.spki == key.spki()).then_some(Self {
            device: read.device,
            site,
            not_before: read.not_before,
            not_after: read.not_after,
            believed,
            key,
            leaf,
            roots,
        })
    }

    /// The key behind the identity, for receipts.
    #[must_use]
    pub fn key(&self) -> &dyn DeviceKey {
        self.key.as_ref()
    }

    /// SHA-256 of the certificate: the name under which the server knows it.
    #[must_use]
    pub fn fingerprint(&self) -> Sha256 {
        Sha256::of(&self.leaf)
    }

    /// Whether this identity's key made `signature` over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        der::public_key(self.key.spki()).is_some_and(|key| {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(message, signature).is_ok()
        })
    }

    /// What TLS shows to the server.
    #[must_use]
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        let signer = Arc::new(ClientKey(Arc::clone(&self.key)));
        Arc::new(CertifiedKey::new(vec![self.leaf.clone()], signer))
    }

    /// Whom this device believes.
    #[must_use]
    pub fn trust(&self, clock: TrustedClock) -> Trust {
        Trust {
            pins: self.believed.pins.clone(),
            roots: self.roots.clone(),
            clock,
            own_end: Some(self.not_after),
        }
    }

    /// Believes the roots that another identity of the same device believes.
    pub(crate) fn believe_as(&mut self, other: &Self) {
        (self.believed, self.roots) = (other.believed.clone(), other.roots.clone());
    }

    /// When renewal of this certificate begins. Its die is its own hash, so a restart does not throw it again.
    #[must_use]
    pub fn renews(&self) -> Timestamp {
        let [a, b, c, d, ..] = self.fingerprint().0;
        self.life().due(u32::from_be_bytes([a, b, c, d]))
    }

    /// First and last second of the certificate.
    #[must_use]
    pub fn life(&self) -> Life {
        Life { not_before: self.not_before, not_after: self.not_after }
    }

    /// Whether an enrolment string is of the very site that this device is of, whatever root it is pinned to by now.
    #[must_use]
    pub fn is_at(&self, string: &EnrolmentString) -> bool {
        let believed = |pin: &Sha256| *pin == self.site.ca_pin || self.believed.pins.contains(pin);
        let site = Site { ca_pin: self.site.ca_pin, ..Site::from(string) };
        site == self.site && believed(&string.ca_pin)
    }
}

/// The identity in force, shared by all who sign with it.
#[derive(Clone, Debug)]
pub struct InForce(Arc<Mutex<Arc<Identity>>>);

impl InForce {
    /// Shares an identity.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(identity))))
    }

    /// The identity as it is now.
    #[must_use]
    pub fn now(&self) -> Arc<Identity> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another one is in force from now on.
    pub fn replace(&self, identity: Identity) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
    }
}

#[cfg(test)]
pub(crate) mod tests;
