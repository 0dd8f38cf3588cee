//! The only place where TLS and HTTP clients are built: TLS 1.3, ring, and a pinned root.
//!
//! A server is believed if its chain verifies by WebPKI up to a root whose SubjectPublicKeyInfo has the pinned hash;
//! no other root exists, and no system store is read. Session resumption is off: a resumed session would skip both
//! the pin and a renewed certificate (measured: `evidence` in docs/decisions). Time is the trusted clock's. It must
//! never be given a way round the verifier. A certificate that is not valid yet says that the clock is slow, and is judged
//! by its own first second. A clock below its floor is wrong, and one beyond the end of the device's own certificate
//! probably: then one that has ended need only have been valid at some time from the floor on, the last time that the
//! server itself said. So a wrong clock does not cut the device off. Read next: [`crate::link`], [`crate::identity`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ::ring::rand::{SecureRandom as _, SystemRandom};
use cordon_proto::ids::Sha256;
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::ring::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};
use rustls::crypto::{
    CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, SupportedKxGroup, WebPkiSupportedAlgorithms,
    ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, KeyLog, NoKeyLog, OtherError, RootCertStore,
    SignatureScheme, SupportedCipherSuite, version::TLS13,
};
use webpki::ring as algorithms;

use crate::clock::TrustedClock;
use crate::der;
use crate::link::proxy::{Proxy, ProxyError};

/// Seconds for the TCP connection, on top of the handshake's.
const CONNECT_S: u64 = 10;
/// Seconds of silence after which a connection is probed, so that one whose end is gone is noticed within two minutes and one
/// that waits is not forgotten on its way. Every 15 s, as the library would, is 12 KB an hour.
const PROBE_S: u64 = 60;
/// An idle connection is dropped this much before the server would drop it.
const IDLE_MARGIN_S: u64 = 10;
/// Seconds an idle connection of a metered device is kept: through one report, not to the next.
const METERED_IDLE_S: u64 = 2;

/// Whom to believe.
#[derive(Clone, Debug)]
pub struct Trust {
    /// SHA-256 of the SubjectPublicKeyInfo of each root that is believed: one, and two while a root is replaced.
    pub pins: Vec<Sha256>,
    /// Roots kept from enrolment; empty before it, when the server sends its root along.
    pub roots: Vec<CertificateDer<'static>>,
    /// The time certificates are judged by.
    pub clock: TrustedClock,
    /// The last second of the device's own certificate. A clock beyond it is probably wrong.
    pub own_end: Option<Timestamp>,
}

/// How to get there.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// The server's name, as in its certificate.
    pub host: String,
    /// Its addresses where they are known; a name look-up otherwise.
    pub addresses: Vec<IpAddr>,
    /// An HTTP proxy that is asked to CONNECT.
    pub proxy: Option<Proxy>,
    /// Whether every byte is paid for: one connection, closed after each report.
    pub metered: bool,
}

/// Why no client could be built.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// rustls refuses the configuration.
    #[error("TLS cannot be configured: {0}")]
    Rustls(#[from] rustls::Error),
    /// The HTTP client refuses the configuration; nearly always the proxy's address.
    #[error("the HTTP client cannot be built, check `proxy`: {0}")]
    Client(#[from] reqwest::Error),
    /// What the proxy needs cannot be read.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

/// A client that believes only the pinned roots and, where given, shows the device's certificate.
pub fn client(
    route: &Route,
    trust: Trust,
    identity: Option<Arc<CertifiedKey>>,
) -> Result<reqwest::Client, TlsError> {
    client_heard(route, trust, identity, Arc::new(NoKeyLog))
}

/// As [`client`]; `secrets` hears what rustls tells of each connection's secrets. Nothing but the binding of a request to
/// its connection may use it.
#[expect(clippy::disallowed_methods, reason = "the one permitted builder of HTTP clients")]
pub fn client_heard(
    route: &Route,
    trust: Trust,
    identity: Option<Arc<CertifiedKey>>,
    secrets: Arc<dyn KeyLog>,
) -> Result<reqwest::Client, TlsError> {
    let (connections, idle_s) = match route.metered {
        // One for the wait and its reports, one for what is fetched beside it.
        false => (2, limits::IDLE_CONNECTION_S.saturating_sub(IDLE_MARGIN_S)),
        true => (1, METERED_IDLE_S),
    };
    let mut configuration = configuration(trust, identity)?;
    configuration.key_log = secrets;
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(configuration)
        .https_only(true)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(Duration::from_secs(CONNECT_S + limits::TLS_HANDSHAKE_S))
        .tcp_keepalive(Duration::from_secs(PROBE_S))
        .pool_max_idle_per_host(connections)
        .pool_idle_timeout(Duration::from_secs(idle_s))
        .user_agent(concat!("cordon-agent/", env!("CARGO_PKG_VERSION")));
    if let Some(proxy) = &route.proxy {
        builder = builder.proxy(proxy.for_client()?);
    }
    if !route.addresses.is_empty() {
        let addresses: Vec<_> = route.addresses.iter().map(|address| SocketAddr::new(*address, 0)).collect();
        builder = builder.resolve_to_addrs(&route.host, &addresses);
    }
    Ok(builder.build()?)
}

/// A client for plain HTTP, without any identity: for what is verified by itself, from a site's mirror or from the
/// conformance suite's servers. No TLS server is believed by it, and no redirect followed.
#[expect(clippy::disallowed_methods, reason = "the one permitted builder of HTTP clients")]
pub(crate) fn plain_client(clock: TrustedClock) -> Result<reqwest::Client, TlsError> {
    let nobody = Trust { pins: Vec::new(), roots: Vec::new(), clock, own_end: None };
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(configuration(nobody, None)?)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .pool_idle_timeout(Duration::from_secs(METERED_IDLE_S))
        .connect_timeout(Duration::from_secs(CONNECT_S))
        .resolve("localhost", SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    Ok(client.build()?)
}

fn configuration(trust: Trust, identity: Option<Arc<CertifiedKey>>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(provider());
    let verifier = Arc::new(PinVerifier { trust, provider: Arc::clone(&provider) });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut configuration = match identity {
        Some(key) => builder.with_client_cert_resolver(Arc::new(OneIdentity(key))),
        None => builder.with_no_client_auth(),
    };
    configuration.resumption = Resumption::disabled();
    Ok(configuration)
}

/// ChaCha20 is for processors without instructions for AES. PCs have had them since 2010, and ring has AES in constant time for
/// older ones; there its four programs for ChaCha20 would be 1.5 % of this one (decision 6).
#[cfg(target_arch = "x86_64")]
const SUITES: [SupportedCipherSuite; 2] = [TLS13_AES_256_GCM_SHA384, TLS13_AES_128_GCM_SHA256];
#[cfg(not(target_arch = "x86_64"))]
const SUITES: [SupportedCipherSuite; 3] =
    [TLS13_AES_256_GCM_SHA384, TLS13_AES_128_GCM_SHA256, ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256];

/// P-256 is the one that every TLS 1.3 has to have (RFC 8446, 9.1), and the device's own keys are on it. On PCs it is as fast as
/// X25519, whose table would be 1 % of this program.
#[cfg(target_arch = "x86_64")]
const GROUPS: [&dyn SupportedKxGroup; 1] = [ring::kx_group::SECP256R1];
#[cfg(not(target_arch = "x86_64"))]
const GROUPS: [&dyn SupportedKxGroup; 2] = [ring::kx_group::X25519, ring::kx_group::SECP256R1];

/// Ring for TLS 1.3, and nothing that only TLS 1.2 or a private key from outside would need. Each part is named, because
/// ring's ready-made provider links all suites that it has.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: SUITES.to_vec(),
        kx_groups: GROUPS.to_vec(),
        signature_verification_algorithms: SIGNATURES,
        secure_random: &Chance,
        key_provider: &NoKeys,
    }
}

/// The signatures that certificates and handshakes may carry: those of rustls for TLS 1.3, the strongest first.
const SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        algorithms::ECDSA_P256_SHA256,
        algorithms::ECDSA_P256_SHA384,
        algorithms::ECDSA_P384_SHA256,
        algorithms::ECDSA_P384_SHA384,
        algorithms::ED25519,
        algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        algorithms::RSA_PKCS1_2048_8192_SHA256,
        algorithms::RSA_PKCS1_2048_8192_SHA384,
        algorithms::RSA_PKCS1_2048_8192_SHA512,
    ],
    mapping: &[
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[algorithms::ECDSA_P384_SHA384]),
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[algorithms::ECDSA_P256_SHA256]),
        (SignatureScheme::ED25519, &[algorithms::ED25519]),
        (SignatureScheme::RSA_PSS_SHA512, &[algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA384, &[algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA256, &[algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
        // Only in chains; TLS 1.3 never agrees on them for a handshake.
        (SignatureScheme::RSA_PKCS1_SHA512, &[algorithms::RSA_PKCS1_2048_8192_SHA512]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[algorithms::RSA_PKCS1_2048_8192_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA256, &[algorithms::RSA_PKCS1_2048_8192_SHA256]),
    ],
};

/// The operating system's random numbers.
#[derive(Debug)]
struct Chance;

impl SecureRandom for Chance {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        SystemRandom::new().fill(bytes).map_err(|_| GetRandomFailed)
    }
}

/// TLS is given signers, never keys: those stay with [`crate::identity`].
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("TLS reads no private keys here".to_owned()))
    }
}

/// SHA-256 of a certificate's SubjectPublicKeyInfo; `None` for bytes that are no certificate.
#[must_use]
pub fn key_hash(certificate: &CertificateDer<'_>) -> Option<Sha256> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    Some(Sha256::of(parsed.subject_public_key_info().as_ref()))
}

/// A chain that ends elsewhere, or one that claims the pinned root's name without its signature.
fn about_the_anchor(cause: &CertificateError) -> bool {
    [CertificateError::UnknownIssuer, CertificateError::BadSignature].contains(cause)
}

/// The device's certificate, whatever the server hints at.
#[derive(Debug)]
struct OneIdentity(Arc<CertifiedKey>);

impl ResolvesClientCert for OneIdentity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A presented chain that does not end in the pinned root, by the name of whoever issued its top. TLS inspection shows
/// itself by it.
#[derive(Debug, thiserror::Error)]
#[error("the chain does not end in the pinned root")]
pub(crate) struct ForeignChain {
    /// The issuer of the chain's last certificate; empty where it has no readable name.
    pub(crate) issuer: String,
}

impl ForeignChain {
    fn of(end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> rustls::Error {
        let top = intermediates.last().unwrap_or(end_entity);
        let chain = Self { issuer: der::issuer(top).unwrap_or_default() };
        CertificateError::Other(OtherError(Arc::new(chain))).into()
    }
}

/// WebPKI with exactly those anchors whose key has the pinned hash.
#[derive(Debug)]
struct PinVerifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl PinVerifier {
    /// The pinned roots among those kept and those just presented. A presented one is as good as a kept one: the hash
    /// of its key is the proof.
    fn anchors(&self, presented: &[CertificateDer<'_>]) -> RootCertStore {
        let mut anchors = RootCertStore::empty();
        for root in self.trust.roots.iter().chain(presented) {
            if key_hash(root).is_some_and(|hash| self.trust.pins.contains(&hash)) {
                // A certificate that webpki cannot read as an anchor is no anchor.
                let _ = anchors.add(root.clone().into_owned());
            }
        }
        anchors
    }

    fn clock_is_doubtful(&self) -> bool {
        let clock = &self.trust.clock;
        let below = clock.raw().seconds() < clock.floor().at();
        below || self.trust.own_end.is_some_and(|end| clock.now() > end)
    }
}

/// On which side of its life a certificate was judged.
enum Untimely {
    Before,
    After,
}

fn untimely(error: &rustls::Error) -> Option<Untimely> {
    use CertificateError as Cause;
    match error {
        rustls::Error::InvalidCertificate(Cause::NotValidYet | Cause::NotValidYetContext { .. }) => {
            Some(Untimely::Before)
        }
        rustls::Error::InvalidCertificate(Cause::Expired | Cause::ExpiredContext { .. }) => {
            Some(Untimely::After)
        }
        _ => None,
    }
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let anchors = self.anchors(intermediates);
        if anchors.is_empty() {
            return Err(ForeignChain::of(end_entity, intermediates));
        }
        let provider = Arc::clone(&self.provider);
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(anchors), provider)
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let judged = |at: Timestamp| {
            let seconds = u64::try_from(at.0).unwrap_or(0);
            let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, at)
        };
        let clock = &self.trust.clock;
        let forgiven = |untimely| match untimely {
            // The authority that is believed made it already, so it is the clock that is slow.
            Untimely::Before => true,
            Untimely::After => self.clock_is_doubtful(),
        };
        let verdict = match judged(clock.now()) {
            Err(error) if untimely(&error).is_some_and(forgiven) => {
                judged(clock.floor().at().max(der::not_before(end_entity).unwrap_or(Timestamp(0))))
            }
            verdict => verdict,
        };
        match verdict {
            Err(rustls::Error::InvalidCertificate(cause)) if about_the_anchor(&cause) => {
                Err(ForeignChain::of(end_entity, intermediates))
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
