//! The certificate authority: issuing keys that sign device leaves and the server's own certificate.
//!
//! Of a request only the key and its proof are taken ([`request`]); every name, use and date in a leaf is written
//! here. A leaf is never a CA, never lives past its issuer, and its serial number is random. The root's key is not
//! needed to run and is never loaded. One issuing authority is a [`Ca`]; which there are, and which of them signs what,
//! is [`authority`]'s. Read next: [`authority`]; [`steps`] for how they change and [`leftovers`] for
//! what a kill leaves; [`crl`] for what third parties ask.

use std::fmt;

use cordon_proto::ids::{DeviceId, Sha256, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use rcgen::{
    CertificateParams, CrlDistributionPoint, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;
use x509_parser::prelude::ParsedExtension;

use crate::chance;
use crate::files::FileError;

pub mod authority;
pub mod certs_only;
pub mod crl;
pub mod key;
pub mod leftovers;
pub mod make;
pub mod request;
pub mod state;
pub mod steps;
#[cfg(test)]
mod tests;
#[cfg(feature = "pkcs11")]
mod token;

pub use authority::Authority;
use key::IssuingKey;

/// File of the first root certificate, in the authority's folder.
pub const ROOT_CERTIFICATE: &str = "root.pem";
/// File of the first root's key: made there, to be carried away.
pub const ROOT_KEY: &str = "root.key.pem";
/// File of the first issuing certificate.
pub const ISSUING_CERTIFICATE: &str = "issuing.pem";
/// File of the first issuing key.
pub const ISSUING_KEY: &str = "issuing.key.pem";

/// Days the server's own certificate lives; it is made anew at every start and before it runs out.
pub const SERVER_LEAF_DAYS: u32 = 30;
/// What stands in `enrolment.crl_url` for the identifier of the issuing key.
pub const ISSUER_MARK: &str = "{issuer}";

const DAY_S: i64 = 86_400;

/// What goes wrong with certificates.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file of the authority.
    #[error("the certificate authority is incomplete: `cordon-server init` makes it, a backup restores it")]
    File(#[from] FileError),
    /// A file that is no PEM of what it should be.
    #[error("{file} is not a PEM file of a P-256 {what}: restore it from a backup")]
    Pem {
        /// The file.
        file: String,
        /// `key` or `certificate`.
        what: &'static str,
    },
    /// The key is not the certificate's.
    #[error("the issuing key is not the key of {file}: restore both from one backup")]
    Mismatch {
        /// The certificate's file.
        file: String,
    },
    /// The issuing key.
    #[error(transparent)]
    Key(#[from] key::KeyError),
    /// The list of what is in force.
    #[error("{} is not readable as a list of authorities: restore the folder from a backup", state::STATE)]
    State,
    /// The verifier of client certificates.
    #[error("an authority's certificate cannot be used as an anchor")]
    Anchor(#[from] rustls::server::VerifierBuilderError),
    /// The issuing certificate is past its end, or nearly.
    #[error("the issuing certificate ended at {not_after}: make a new one with the root's key")]
    Ended {
        /// Its end.
        not_after: Timestamp,
    },
    /// The library could not make a certificate.
    #[error("a certificate could not be made")]
    Making(#[from] rcgen::Error),
    /// The library could not write PKCS#7.
    #[error("a PKCS#7 bundle could not be written")]
    Bundle(#[from] certs_only::BundleError),
}

/// A device's certificate and what the table keeps of it.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub der: CertificateDer<'static>,
    /// SHA-256 of its DER.
    pub fingerprint: Sha256,
    /// The last second of its validity.
    pub not_after: Timestamp,
}

/// Whom a device's certificate names.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Our name for it.
    pub device: DeviceId,
    /// Its maker's number.
    pub serial: &'a Text,
}

/// An issuing authority: its key, its certificate, and the root above it.
pub struct Ca {
    issuer: Issuer<'static, IssuingKey>,
    issuing: CertificateDer<'static>,
    facts: Facts,
    root: CertificateDer<'static>,
    root_facts: Facts,
    crl_url: Option<String>,
}

impl Ca {
    /// Puts one together. `file` names the certificate where something is wrong.
    pub fn new(
        key: IssuingKey,
        issuing: CertificateDer<'static>,
        root: CertificateDer<'static>,
        file: &str,
    ) -> Result<Self, CaError> {
        let (facts, root_facts) = (Facts::of(&issuing, file)?, Facts::of(&root, ROOT_CERTIFICATE)?);
        if facts.spki != Sha256::of(&key.subject_public_key_info()) {
            return Err(CaError::Mismatch { file: file.to_owned() });
        }
        let issuer = Issuer::from_ca_cert_der(&issuing, key)?;
        Ok(Self { issuer, issuing, facts, root, root_facts, crl_url: None })
    }

    /// The same with a place of its list of void certificates in each leaf.
    #[must_use]
    pub fn with_crl_url(self, url: Option<&str>) -> Self {
        let crl_url = url.map(|url| url.replace(ISSUER_MARK, &self.key_identifier()));
        Self { crl_url, ..self }
    }

    /// The root certificate.
    #[must_use]
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// The certificate that signs leaves.
    #[must_use]
    pub fn issuing(&self) -> &CertificateDer<'static> {
        &self.issuing
    }

    /// SHA-256 of the root's SubjectPublicKeyInfo: the pin in enrolment strings.
    #[must_use]
    pub fn pin(&self) -> Sha256 {
        self.root_facts.spki
    }

    /// SHA-256 of the issuing key's SubjectPublicKeyInfo.
    #[must_use]
    pub fn key(&self) -> Sha256 {
        self.facts.spki
    }

    /// The subject key identifier of the issuing certificate, hexadecimal.
    #[must_use]
    pub fn key_identifier(&self) -> String {
        hex(&self.facts.identifier)
    }

    /// When the issuing certificate and the root end.
    #[must_use]
    pub fn ends(&self) -> (Timestamp, Timestamp) {
        (self.facts.not_after, self.root_facts.not_after)
    }

    /// Makes a device's certificate for `days`. `key` was proved; everything else is ours.
    pub fn issue(
        &self,
        key: &impl PublicKeyData,
        subject: Subject<'_>,
        days: u32,
        now: Timestamp,
    ) -> Result<Issued, CaError> {
        let Subject { device, serial } = subject;
        let not_after = self.end(days, now)?;
        let mut params = leaf(now, not_after)?;
        params.distinguished_name.push(DnType::CommonName, device.to_string());
        params.distinguished_name.push(serial_number_attribute(), serial.as_str());
        let name = format!("urn:uuid:{device}");
        params.subject_alt_names = vec![SanType::URI(name.as_str().try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let place = self.crl_url.iter().map(|url| CrlDistributionPoint { uris: vec![url.clone()] });
        params.crl_distribution_points = place.collect();
        let der = params.signed_by(key, &self.issuer)?.der().clone();
        Ok(Issued { fingerprint: Sha256::of(&der), der, not_after })
    }

    /// Makes a key and a certificate for the server's own listeners.
    pub fn server_leaf(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), CaError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = leaf(now, self.end(SERVER_LEAF_DAYS, now)?)?;
        params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
        params.distinguished_name.push(DnType::CommonName, "Cordon server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer)?.der().clone();
        Ok((certificate, PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
    }

    /// The end of a leaf's life: never past the issuer's.
    fn end(&self, days: u32, now: Timestamp) -> Result<Timestamp, CaError> {
        if now >= self.facts.not_after {
            return Err(CaError::Ended { not_after: self.facts.not_after });
        }
        Ok(now.plus_seconds(i64::from(days) * DAY_S).min(self.facts.not_after))
    }
}

/// What is true of every leaf.
fn leaf(now: Timestamp, not_after: Timestamp) -> Result<CertificateParams, CaError> {
    let mut params = validity(now.plus_seconds(-limits::BACKDATE_S), not_after)?;
    // `ExplicitNoCa` also brings the subject key identifier (RFC 5280 section 4.2.1.2).
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

/// Parameters with dates, a random serial number of 20 bytes, an authority key identifier and nothing else; the
/// library's own defaults are 1975 to 4096 and no identifier.
fn validity(not_before: Timestamp, not_after: Timestamp) -> Result<CertificateParams, CaError> {
    let instant = |at: Timestamp| {
        OffsetDateTime::from_unix_timestamp(at.0).map_err(|_| CaError::Making(rcgen::Error::Time))
    };
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (instant(not_before)?, instant(not_after)?);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from_slice(&serial_number()));
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Twenty random bytes, positive and never shorter (RFC 5280 section 4.1.2.2).
fn serial_number() -> [u8; 20] {
    let mut bytes: [u8; 20] = chance::random();
    let [first, ..] = &mut bytes;
    *first = (*first & 0x3f) | 0x40;
    bytes
}

/// X.520 `serialNumber`, 2.5.4.5.
fn serial_number_attribute() -> DnType {
    DnType::CustomDnType(vec![2, 5, 4, 5])
}

/// What is read of an authority's certificate.
#[derive(Clone, Debug)]
struct Facts {
    spki: Sha256,
    identifier: Vec<u8>,
    not_after: Timestamp,
}

impl Facts {
    fn of(certificate: &CertificateDer<'_>, file: &str) -> Result<Self, CaError> {
        let unread = || CaError::Pem { file: file.to_owned(), what: "certificate" };
        let (_, read) = x509_parser::parse_x509_certificate(certificate).map_err(|_| unread())?;
        let identifier = read.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
            _ => None,
        });
        let not_after = Timestamp(read.validity().not_after.timestamp());
        let spki = Sha256::of(read.public_key().raw);
        Ok(Self { spki, identifier: identifier.ok_or_else(unread)?, not_after })
    }
}

/// Bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ca {}", self.key_identifier())
    }
}

/// What the device plane needs to know of a certificate that the handshake has verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerLeaf {
    /// SHA-256 of its DER: the key of the device table.
    pub fingerprint: Sha256,
    /// Its public key as an uncompressed P-256 point, to verify receipts with.
    pub point: Vec<u8>,
}

impl PeerLeaf {
    /// Reads a verified certificate; `None` if its key is not the kind that we issue for.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, read) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let point = read.public_key().subject_public_key.data.to_vec();
        (point.len() == 65).then(|| Self { fingerprint: Sha256::of(certificate), point })
    }

    /// Whether this certificate's key made `signature` (ECDSA P-256 over SHA-256, ASN.1) over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let key =
            ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_ASN1, &self.point);
        key.verify(message, signature).is_ok()
    }
}
