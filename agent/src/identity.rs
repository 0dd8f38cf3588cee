//! Who the device is to its owner: key, certificate, site; and how it gets them once (EST `simpleenroll`).
//!
//! Order of enrolment, safe at every crash: key and request are on disk, then the token is sent, then the certificate
//! is on disk in one write. A second try uses the same key and gets the same certificate. The token is sent only over
//! a connection whose chain ended in the pinned root, and is never stored. Nothing here drops an identity by itself:
//! only a person does (`forget-site`, `retire`). Read next: [`key`], [`crate::tls`].

pub(crate) mod est;
pub mod key;
pub mod keystore;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_proto::enrol::{EnrolmentString, enrolment_name};
use cordon_proto::ids::{DeviceId, Hardware, Sha256};
use cordon_proto::time::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use crate::clock::TrustedClock;
use crate::files::{FileError, Folder};
use crate::link::proxy::Proxy;
use crate::link::{LinkError, Retry};
use crate::tls::{self, Route, TlsError, Trust};
use key::{ClientKey, DeviceKey, FileKey, KeyError};

/// Bytes of any file here.
const FILE_BYTES: usize = 64 * 1024;
/// The enrolled identity.
const CURRENT: &str = "current.json";
/// An enrolment under way: the name of its key, and the request.
const PENDING: &str = "pending.json";
/// The key of an enrolment: the first 16 hexadecimal digits of its SPKI's hash, then this.
const KEY_SUFFIX: &str = ".p8";

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
            Self::File(_)
            | Self::Key(_)
            | Self::Damaged(_)
            | Self::Request
            | Self::Enrolled { .. }
            | Self::NoName(_)
            | Self::Tls(_)
            | Self::Token
            | Self::ForeignCertificate
            | Self::NoPinnedRoot => Retry::Never,
        }
    }
}

/// The identity as stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    v: u8,
    key: String,
    site: Site,
    leaf: String,
    roots: Vec<String>,
}

/// An enrolment under way as stored.
#[derive(Serialize, Deserialize)]
struct Pending {
    v: u8,
    key: String,
    request: String,
}

impl Identity {
    /// The identity in `folder`; `None` before enrolment.
    pub fn load(folder: &Folder) -> Result<Option<Self>, IdentityError> {
        let Some(bytes) = folder.read(CURRENT, FILE_BYTES)? else { return Ok(None) };
        let damaged = IdentityError::Damaged;
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|_| damaged("current.json"))?;
        if stored.v != 1 {
            return Err(damaged("current.json is of a newer version"));
        }
        let key = load_key(folder, &stored.key)?.ok_or(damaged("the private key is missing"))?;
        let leaf = decoded(&stored.leaf).ok_or(damaged("certificate"))?;
        let roots = stored.roots.iter().map(|text| decoded(text)).collect::<Option<Vec<_>>>();
        Self::assemble(key, stored.site, leaf, roots.ok_or(damaged("CA certificates"))?)
            .map(Some)
            .ok_or(damaged("key and certificate do not belong together"))
    }

    fn assemble(
        key: Arc<dyn DeviceKey>,
        site: Site,
        leaf: CertificateDer<'static>,
        roots: Vec<CertificateDer<'static>>,
    ) -> Option<Self> {
        let read = est::read_leaf(&leaf)?;
        (read.spki == key.spki()).then_some(Self {
            device: read.device,
            site,
            not_before: read.not_before,
            not_after: read.not_after,
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

    /// What TLS shows to the server.
    #[must_use]
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        let signer = Arc::new(ClientKey(Arc::clone(&self.key)));
        Arc::new(CertifiedKey::new(vec![self.leaf.clone()], signer))
    }

    /// Whom this device believes.
    #[must_use]
    pub fn trust(&self, clock: TrustedClock) -> Trust {
        Trust { pin: self.site.ca_pin, roots: self.roots.clone(), clock }
    }
}

/// Removes every trace of the identity: certificate first, then keys. Roots, floor and versions live elsewhere.
pub fn forget(folder: &Folder) -> Result<(), FileError> {
    folder.remove(CURRENT)?;
    folder.remove(PENDING)?;
    for name in folder.names()?.iter().filter(|name| name.ends_with(KEY_SUFFIX)) {
        folder.remove(name)?;
    }
    Ok(())
}

/// What enrolment needs besides the enrolment string.
#[derive(Clone, Debug)]
pub struct Applicant {
    /// What the device is.
    pub hardware: Hardware,
    /// Addresses of the server where they are configured.
    pub addresses: Vec<IpAddr>,
    /// The configured proxy.
    pub proxy: Option<Proxy>,
    /// The time certificates are judged by.
    pub clock: TrustedClock,
}

/// Enrols once, or goes on where an earlier try stopped. Enrolling again at the same site is no error.
pub async fn enrol(
    folder: &Folder,
    string: &EnrolmentString,
    applicant: &Applicant,
) -> Result<Identity, IdentityError> {
    let site = Site::from(string);
    if let Some(identity) = Identity::load(folder)? {
        if identity.site == site {
            return Ok(identity);
        }
        return Err(IdentityError::Enrolled { host: identity.site.host, device: identity.device });
    }
    let Attempt { key, name, request } = prepare(folder, &applicant.hardware)?;
    let (leaf, authorities) = ask(string, applicant, &request).await?;
    let roots: Vec<_> =
        authorities.into_iter().filter(|ca| tls::key_hash(ca) == Some(string.ca_pin)).collect();
    if roots.is_empty() {
        return Err(IdentityError::NoPinnedRoot);
    }
    let stored = Stored {
        v: 1,
        key: name,
        site: site.clone(),
        leaf: STANDARD.encode(&leaf),
        roots: roots.iter().map(|root| STANDARD.encode(root)).collect(),
    };
    let identity = Identity::assemble(key, site, leaf, roots).ok_or(IdentityError::ForeignCertificate)?;
    folder.write(CURRENT, &json(&stored))?;
    // The identity stands; what is left of the attempt is only litter.
    folder.remove(PENDING)?;
    for name in folder.names()?.iter().filter(|name| name.ends_with(KEY_SUFFIX) && **name != stored.key) {
        folder.remove(name)?;
    }
    Ok(identity)
}

/// Key and request of an enrolment under way, both on disk.
struct Attempt {
    key: Arc<dyn DeviceKey>,
    name: String,
    request: Vec<u8>,
}

/// The attempt under way, made and persisted where there is none.
fn prepare(folder: &Folder, hardware: &Hardware) -> Result<Attempt, IdentityError> {
    if let Some(bytes) = folder.read(PENDING, FILE_BYTES)? {
        let damaged = || IdentityError::Damaged("pending.json");
        let pending: Pending = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        let request = STANDARD.decode(&pending.request).map_err(|_| damaged())?;
        let key = load_key(folder, &pending.key)?.ok_or_else(damaged)?;
        return Ok(Attempt { key, name: pending.key, request });
    }
    let (key, secret) = FileKey::generate()?;
    let digest = Sha256::of(key.spki()).to_string();
    let name = format!("{}{KEY_SUFFIX}", digest.get(..16).unwrap_or(&digest));
    let request = est::certificate_request(&key, hardware).ok_or(IdentityError::Request)?;
    folder.write(&name, &secret)?;
    let pending = Pending { v: 1, key: name.clone(), request: STANDARD.encode(&request) };
    folder.write(PENDING, &json(&pending))?;
    Ok(Attempt { key: Arc::new(key), name, request })
}

/// The two requests of EST. The pin is held by the client's verifier on every connection, so the first of them, which
/// carries no secret, fails where the server is not the pinned one.
async fn ask(
    string: &EnrolmentString,
    applicant: &Applicant,
    request: &[u8],
) -> Result<(CertificateDer<'static>, Vec<CertificateDer<'static>>), IdentityError> {
    let site = Site::from(string);
    let route = Route {
        host: site.enrolment_host()?,
        addresses: applicant.addresses.clone(),
        proxy: applicant.proxy.clone(),
        metered: false,
    };
    let trust = Trust { pin: string.ca_pin, roots: Vec::new(), clock: applicant.clock.clone() };
    let client = tls::client(&route, trust, None)?;
    let authority = authority(&route.host, string.enrolment_port);
    let base = format!("https://{authority}/.well-known/est");
    let failed = |source| IdentityError::Server { host: authority.clone(), source };
    let authorities = est::cacerts(&client, &base).await.map_err(failed)?;
    let leaf = est::simpleenroll(&client, &base, (string, &applicant.hardware), request).await;
    match leaf {
        Ok(leaf) => Ok((leaf, authorities)),
        Err(LinkError::Rejected { status: 401, .. }) => Err(IdentityError::Token),
        Err(source) => Err(failed(source)),
    }
}

fn load_key(folder: &Folder, name: &str) -> Result<Option<Arc<dyn DeviceKey>>, IdentityError> {
    if name.contains('/') || !name.ends_with(KEY_SUFFIX) {
        return Err(IdentityError::Damaged("the name of the key file"));
    }
    let Some(secret) = folder.read_secret(name, FILE_BYTES)? else { return Ok(None) };
    let secret = zeroize::Zeroizing::new(secret);
    Ok(Some(Arc::new(FileKey::from_pkcs8(&secret)?)))
}

fn decoded(text: &str) -> Option<CertificateDer<'static>> {
    STANDARD.decode(text).ok().map(CertificateDer::from)
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("plain fields always serialise")
}

#[cfg(test)]
pub(crate) mod tests;
