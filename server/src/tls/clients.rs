//! Whose certificates the enrolment plane takes: our own, also ended ones, and birth certificates of configured makers.
//!
//! A certificate is optional there and proves only whose it is: whether an ended one may still renew, and whether a
//! birth certificate lets anybody in, is decided in `server/core`'s `admit`. The device plane does not use this: it
//! takes leaves of our own that are in force. Which of several makers it was is asked again where it matters
//! ([`Clients::origin`]), because a handshake can only say yes or no.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cordon_proto::ids::Text;
use cordon_proto::time::Timestamp;
use cordon_server_core::admit::Anchor;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use x509_parser::prelude::X509Certificate;

use super::TlsError;
use crate::ca::request::subject_serial;
use crate::config::Config;

/// The authorities of our own leaves, as they are now.
type Own = Box<dyn Fn() -> Vec<CertificateDer<'static>> + Send + Sync>;

/// Whom the enrolment plane believes.
pub struct Clients {
    own: Own,
    makers: Vec<Maker>,
    provider: Arc<CryptoProvider>,
}

/// One maker with its certificates.
struct Maker {
    anchor: Arc<Anchor>,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// Whose certificate it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A leaf of ours, perhaps an ended one.
    Own,
    /// A birth certificate.
    Birth {
        /// The maker's anchor.
        anchor: Arc<Anchor>,
        /// The serial in its subject: attribute `serialNumber`, or else the common name.
        serial: Text,
    },
}

impl Clients {
    /// Reads the makers' certificates that the settings name. `own` says under which authorities our leaves stand.
    pub fn load(
        config: &Config,
        own: impl Fn() -> Vec<CertificateDer<'static>> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(default_provider());
        let mut makers = Vec::new();
        for settings in &config.enrolment.anchor {
            let path = config.path(&settings.certificates);
            let unread = |source| TlsError::Authorities { path: path.clone(), source };
            let mut anchors = RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(&path).map_err(unread)? {
                anchors.add(certificate.map_err(unread)?)?;
            }
            if anchors.is_empty() {
                return Err(unread(pem::Error::NoItemsFound));
            }
            let verifier = verifier(anchors, &provider)?;
            makers.push(Maker { anchor: Arc::new(settings.anchor()), verifier });
        }
        Ok(Self { own: Box::new(own), makers, provider })
    }

    /// Whose certificate this is, the chain being as it was shown, leaf first.
    pub fn origin(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<Origin, Error> {
        let (leaf, above) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        let (_, read) = x509_parser::parse_x509_certificate(leaf)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let failed = match self.own_verifier()?.verify_client_cert(leaf, above, then(&read, now)) {
            Ok(_) => return Ok(Origin::Own),
            Err(error) => error,
        };
        let maker =
            self.makers.iter().find(|maker| maker.verifier.verify_client_cert(leaf, above, now).is_ok());
        let Some(maker) = maker else { return Err(failed) };
        let serial = subject_serial(read.subject());
        let serial = serial.ok_or(Error::InvalidCertificate(CertificateError::NotValidForName))?;
        Ok(Origin::Birth { anchor: maker.anchor.clone(), serial })
    }

    fn own_verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, Error> {
        let mut anchors = RootCertStore::empty();
        for anchor in (self.own)() {
            anchors.add(anchor)?;
        }
        verifier(anchors, &self.provider).map_err(|error| Error::General(error.to_string()))
    }
}

/// Now, or the last moment of the certificate if that is over.
fn then(certificate: &X509Certificate<'_>, now: UnixTime) -> UnixTime {
    let end = Timestamp(certificate.validity().not_after.timestamp());
    let end = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(end.0).unwrap_or(0)));
    now.min(end)
}

fn verifier(
    anchors: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    Ok(WebPkiClientVerifier::builder_with_provider(anchors.into(), provider.clone()).build()?)
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: a client chooses by itself which certificate it shows.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain: Vec<CertificateDer<'_>> = std::iter::once(leaf).chain(above).cloned().collect();
        self.origin(&chain, now).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clients of ours and of {} makers", self.makers.len())
    }
}

#[cfg(test)]
mod tests;
