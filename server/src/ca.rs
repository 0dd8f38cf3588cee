//! The certificate authority: the issuing key that signs device leaves and the server's own certificate.
//!
//! Of a request only the key and its proof are taken ([`request`]); every name, use and date in a leaf is written
//! here. A leaf is never a CA, never lives past its issuer, and its serial number is random. The root's key is not
//! needed to run and is never loaded. Read next: [`make`], which lays both tiers; [`certs_only`], the form of EST.

use std::path::Path;

use cordon_proto::ids::{DeviceId, Sha256, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;

use crate::chance;
use crate::files::{self, FileError};

pub mod certs_only;
pub mod make;
pub mod request;
#[cfg(test)]
mod tests;

/// File of the root certificate, in the authority's folder.
pub const ROOT_CERTIFICATE: &str = "root.pem";
/// File of the root's key: made there, to be carried away.
pub const ROOT_KEY: &str = "root.key.pem";
/// File of the issuing certificate.
pub const ISSUING_CERTIFICATE: &str = "issuing.pem";
/// File of the issuing key.
pub const ISSUING_KEY: &str = "issuing.key.pem";

/// Days the server's own certificate lives; it is made anew at every start and before it runs out.
pub const SERVER_LEAF_DAYS: u32 = 30;

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
        file: &'static str,
        /// `key` or `certificate`.
        what: &'static str,
    },
    /// The key is not the certificate's.
    #[error("{ISSUING_KEY} is not the key of {ISSUING_CERTIFICATE}: restore both from one backup")]
    Mismatch,
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

/// The issuing authority and the certificates above it.
#[derive(Debug)]
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    issuing: CertificateDer<'static>,
    issuing_not_after: Timestamp,
    root: CertificateDer<'static>,
    pin: Sha256,
    bundle: Vec<u8>,
    key: Sha256,
}

impl Ca {
    /// Reads root certificate, issuing certificate and issuing key. The key must be readable by its owner alone.
    pub fn load(folder: &Path) -> Result<Self, CaError> {
        let key = files::read_secret(&folder.join(ISSUING_KEY))?;
        let key = std::str::from_utf8(&key).ok().and_then(|pem| KeyPair::from_pem(pem).ok());
        let key = key.filter(|key| key.is_compatible(&rcgen::PKCS_ECDSA_P256_SHA256));
        let key = key.ok_or(CaError::Pem { file: ISSUING_KEY, what: "key" })?;
        let issuing = certificate(folder, ISSUING_CERTIFICATE)?;
        let root = certificate(folder, ROOT_CERTIFICATE)?;
        let issuing_facts = facts(&issuing, ISSUING_CERTIFICATE)?;
        let root_facts = facts(&root, ROOT_CERTIFICATE)?;
        let spki = key.subject_public_key_info();
        if issuing_facts.spki != Sha256::of(&spki) {
            return Err(CaError::Mismatch);
        }
        let bundle = certs_only::write(&[issuing.clone(), root.clone()])?;
        let issuer = Issuer::from_ca_cert_der(&issuing, key)?;
        let (pin, issuing_not_after) = (root_facts.spki, issuing_facts.not_after);
        Ok(Self { issuer, issuing, issuing_not_after, root, pin, bundle, key: issuing_facts.spki })
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
        self.pin
    }

    /// SHA-256 of the SubjectPublicKeyInfo of each key that is used here, for the list of keys that must not be.
    #[must_use]
    pub fn keys(&self) -> [Sha256; 2] {
        [self.pin, self.key]
    }

    /// The certs-only PKCS#7 that `cacerts` answers with, DER.
    #[must_use]
    pub fn bundle(&self) -> &[u8] {
        &self.bundle
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
        if now >= self.issuing_not_after {
            return Err(CaError::Ended { not_after: self.issuing_not_after });
        }
        Ok(now.plus_seconds(i64::from(days) * DAY_S).min(self.issuing_not_after))
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

fn certificate(folder: &Path, file: &'static str) -> Result<CertificateDer<'static>, CaError> {
    let bytes = files::read(&folder.join(file))?;
    CertificateDer::from_pem_slice(&bytes).map_err(|_| CaError::Pem { file, what: "certificate" })
}

struct Facts {
    spki: Sha256,
    not_after: Timestamp,
}

fn facts(certificate: &CertificateDer<'_>, file: &'static str) -> Result<Facts, CaError> {
    let (_, read) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|_| CaError::Pem { file, what: "certificate" })?;
    let not_after = Timestamp(read.validity().not_after.timestamp());
    Ok(Facts { spki: Sha256::of(read.public_key().raw), not_after })
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
