//! TLS of the server, and towards its database and a SIEM: version 1.3 and nothing older (but see [`enrolment`]), ring, no tickets, our own certificate,
//! made anew in time.
//!
//! A resumed session would skip the look at the device's certificate (measured: a revoked leaf was accepted on a
//! ticket), so no plane gives tickets. The device plane demands a certificate of our own authority; whether it is in
//! force is asked on every request, not here. Read next: [`ServerCertificate`],
//! [`clients`] for the enrolment plane.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use cordon_proto::time::Timestamp;
use rustls::client::Resumption;
use rustls::crypto::ring::{default_provider, sign::any_supported_type};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme, SupportedCipherSuite, version};

use crate::ca::{Authority, Ca, CaError};

pub mod clients;

use self::clients::Clients;

/// Seconds before its end at which the server's certificate is made anew.
const RENEW_S: i64 = 10 * 86_400;

/// What goes wrong before the first handshake.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The library.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The verifier of client certificates.
    #[error("the certificate authority cannot be used as an anchor")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// A file of authorities to believe.
    #[error("{} holds no certificate that can be read: give it as PEM", .path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// A file with a key of ours.
    #[error("{} holds no private key that can be read: give it as PEM, without a passphrase", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
}

/// Whether a plane asks for a certificate of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// Not asked for.
    None,
    /// Must be shown: devices.
    Required,
}

/// The server's own certificate, which can be exchanged while connections come in.
#[derive(Debug)]
pub struct ServerCertificate {
    current: Arc<RwLock<Current>>,
    with_root: bool,
}

#[derive(Debug)]
struct Current {
    /// Leaf and issuing authority.
    short: Arc<CertifiedKey>,
    /// The same with the root, for devices that know the root's hash only.
    long: Arc<CertifiedKey>,
    made: Timestamp,
    /// The issuing certificate above it.
    issuing: CertificateDer<'static>,
}

impl ServerCertificate {
    /// Makes a certificate for `names`.
    pub fn make(ca: &Ca, names: &[String], now: Timestamp) -> Result<Self, TlsError> {
        let current = Arc::new(RwLock::new(Current::make(ca, names, now)?));
        Ok(Self { current, with_root: false })
    }

    /// The same certificate for another plane.
    #[must_use]
    pub fn same(&self) -> Self {
        Self { current: self.current.clone(), with_root: false }
    }

    /// The same certificate, sent with the root above it.
    #[must_use]
    pub fn with_root(&self) -> Self {
        Self { current: self.current.clone(), with_root: true }
    }

    /// Makes a new certificate if the present one ends soon or another authority is in force, and says whether it did.
    pub fn renew(&self, ca: &Ca, names: &[String], now: Timestamp) -> Result<bool, TlsError> {
        let life = i64::from(crate::ca::SERVER_LEAF_DAYS) * 86_400;
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        if now.seconds_since(current.made) < life - RENEW_S && current.issuing == *ca.issuing() {
            return Ok(false);
        }
        drop(current);
        let made = Current::make(ca, names, now)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = made;
        Ok(true)
    }
}

impl Current {
    fn make(ca: &Ca, names: &[String], now: Timestamp) -> Result<Self, TlsError> {
        let (leaf, key) = ca.server_leaf(names, now)?;
        let key = any_supported_type(&key)?;
        let short = vec![leaf, ca.issuing().clone()];
        let mut long = short.clone();
        long.push(ca.root().clone());
        let certified = |chain| Arc::new(CertifiedKey::new(chain, key.clone()));
        let issuing = ca.issuing().clone();
        Ok(Self { short: certified(short), long: certified(long), made: now, issuing })
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(if self.with_root { current.long.clone() } else { current.short.clone() })
    }
}

/// The configuration of one plane. Devices show a leaf of an authority that is in force, with or without what is above
/// it; which those are is asked at each handshake.
pub fn config(
    authority: &Arc<Authority>,
    certificate: ServerCertificate,
    clients: ClientCertificate,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&version::TLS13])?;
    let builder = match clients {
        ClientCertificate::None => builder.with_no_client_auth(),
        ClientCertificate::Required => builder.with_client_cert_verifier(authority.client_verifier(true)),
    };
    Ok(settled(builder.with_cert_resolver(Arc::new(certificate))))
}

/// The configuration of the enrolment plane, where a certificate may be shown. `tls12` lets in third-party clients that
/// know nothing newer, with forward secrecy and the one kind of certificate that we have.
pub fn enrolment(
    certificate: ServerCertificate,
    clients: Arc<Clients>,
    tls12: bool,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut provider = default_provider();
    provider.cipher_suites.retain(|suite| match suite {
        SupportedCipherSuite::Tls13(_) => true,
        SupportedCipherSuite::Tls12(suite) => suite.sign.contains(&SignatureScheme::ECDSA_NISTP256_SHA256),
    });
    let versions: &[_] = if tls12 { &[&version::TLS13, &version::TLS12] } else { &[&version::TLS13] };
    let builder = ServerConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(versions)?;
    let builder = builder.with_client_cert_verifier(clients);
    Ok(settled(builder.with_cert_resolver(Arc::new(certificate))))
}

/// What is true of every plane: no session is resumed.
fn settled(mut config: ServerConfig) -> Arc<ServerConfig> {
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Our side of a connection to a database: its certificate must be for its name and of an authority in this file.
pub fn client(authorities: &Path) -> Result<ClientConfig, TlsError> {
    let anchors = anchors(authorities)?;
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&version::TLS13])?;
    Ok(builder.with_root_certificates(anchors).with_no_client_auth())
}

/// Our side of a connection to a collector of events, with certificate and key of our own where it asks for them. Those
/// programs live long and are renewed late, so TLS 1.2 is spoken too. Each batch has a connection: nothing is resumed, so
/// that every one of them is checked.
pub fn collector(authorities: &Path, own: Option<(PathBuf, PathBuf)>) -> Result<ClientConfig, TlsError> {
    let anchors = anchors(authorities)?;
    let versions = [&version::TLS13, &version::TLS12];
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&versions)?;
    let builder = builder.with_root_certificates(anchors);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let unread = |source| TlsError::Authorities { path: certificate.clone(), source };
            let chain: Result<Vec<_>, _> =
                CertificateDer::pem_file_iter(&certificate).map_err(unread)?.collect();
            let unkeyed = |source| TlsError::Key { path: key.clone(), source };
            let secret = PrivateKeyDer::from_pem_file(&key).map_err(unkeyed)?;
            builder.with_client_auth_cert(chain.map_err(unread)?, secret)?
        }
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn anchors(authorities: &Path) -> Result<RootCertStore, TlsError> {
    let unread = |source| TlsError::Authorities { path: authorities.to_owned(), source };
    let mut anchors = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(authorities).map_err(unread)? {
        anchors.add(authority.map_err(unread)?)?;
    }
    if anchors.is_empty() {
        return Err(unread(pem::Error::NoItemsFound));
    }
    Ok(anchors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::key::KeySetting;

    #[test]
    fn the_servers_certificate_is_made_anew_before_its_end() {
        // Goal: a server that runs for months stays reachable. Method: renew at once, a day before, at the time.
        let folder = tempfile::tempdir().expect("a folder");
        let now = Timestamp(1_800_000_000);
        crate::ca::make::lay(folder.path(), &KeySetting::Plain, now).expect("laid");
        let ca =
            Authority::load(folder.path().to_owned(), KeySetting::Plain, None).expect("loads").for_server();
        let names = ["localhost".to_owned()];
        let certificate = ServerCertificate::make(&ca, &names, now).expect("made");
        let long = certificate.with_root();
        let leaf = |of: &ServerCertificate| {
            let current = of.current.read().expect("readable");
            let key = if of.with_root { &current.long } else { &current.short };
            (key.cert[0].clone(), key.cert.len())
        };
        let first = leaf(&certificate);
        assert_eq!((first.1, leaf(&long)), (2, (first.0.clone(), 3)));
        let due = now.plus_seconds(20 * 86_400);
        assert!(!certificate.renew(&ca, &names, due.plus_seconds(-1)).expect("asked"));
        assert!(certificate.renew(&ca, &names, due).expect("made"));
        assert_ne!(leaf(&certificate).0, first.0);
        assert_eq!(leaf(&certificate).0, leaf(&long).0, "both planes change together");
        let other = tempfile::tempdir().expect("a folder");
        crate::ca::make::lay(other.path(), &KeySetting::Plain, now).expect("laid");
        let ca =
            Authority::load(other.path().to_owned(), KeySetting::Plain, None).expect("loads").for_server();
        assert!(certificate.renew(&ca, &names, due).expect("made"), "another authority at once");
        assert!(!certificate.renew(&ca, &names, due).expect("asked"));
    }
}
