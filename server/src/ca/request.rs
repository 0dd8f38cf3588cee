//! Certification requests (PKCS#10, RFC 2986): the key, the proof that the asking side holds it, and the serial.
//!
//! Everything else in a request is ignored, wished extensions included: the server writes what a leaf says. Only
//! P-256 with SHA-256 is taken, because every TPM, token and EST client has it. Read next: [`Request::parse`].

use cordon_proto::ids::{Sha256, Text};
use cordon_proto::update::deny;
use rcgen::PublicKeyData;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ECDSA_WITH_SHA256, OID_X509_COMMON_NAME,
    OID_X509_SERIALNUMBER, Oid,
};
use x509_parser::prelude::FromDer;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

mod strict;

/// A proved P-256 key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceKey {
    point: Vec<u8>,
}

impl DeviceKey {
    /// Whether this key made `signature` (ECDSA P-256 over SHA-256, ASN.1) over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let key =
            ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_ASN1, &self.point);
        key.verify(message, signature).is_ok()
    }
}

impl PublicKeyData for DeviceKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// What is taken of a certification request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The key, whose holder signed the request.
    pub key: DeviceKey,
    /// SHA-256 of its SubjectPublicKeyInfo, as we would write it.
    pub key_digest: Sha256,
    /// The serial: attribute `serialNumber`, or else the common name.
    pub serial: Text,
}

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not PKCS#10 in DER, or bytes behind it.
    #[error("the body is not one certification request (PKCS#10, DER in base64)")]
    Malformed,
    /// Another kind of key or signature.
    #[error(
        "the key must be on P-256 and the request signed with ECDSA and SHA-256: `openssl ecparam -name prime256v1 -genkey`"
    )]
    Unsupported,
    /// A key of `keys-example`.
    #[error("this key is published with the program's source, so everybody has it: make a key of your own")]
    Example,
    /// The asking side does not hold the key.
    #[error("the request is not signed by the key in it")]
    Proof,
    /// No serial, two of them, or one that is no text.
    #[error("the request's subject must hold the device's serial once, as serialNumber or as common name")]
    Serial,
}

impl RequestError {
    /// The word for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed | Self::Proof => "malformed_csr",
            Self::Unsupported => "unsupported_key",
            Self::Example => "example_key",
            Self::Serial => "serial_missing",
        }
    }
}

impl Request {
    /// Reads a request and checks its proof.
    pub fn parse(der: &[u8]) -> Result<Self, RequestError> {
        // The parser reads some BER too; a request has one form alone (X.690 section 10).
        let whole = strict::is_der(der);
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| RequestError::Malformed)?;
        if !rest.is_empty() || !whole {
            return Err(RequestError::Malformed);
        }
        let info = &request.certification_request_info;
        if deny::is_example_bytes(&info.subject_pki.subject_public_key.data) {
            return Err(RequestError::Example);
        }
        let point = p256_point(&info.subject_pki).ok_or(RequestError::Unsupported)?;
        if request.signature_algorithm.algorithm != OID_SIG_ECDSA_WITH_SHA256 {
            return Err(RequestError::Unsupported);
        }
        let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_ASN1, point);
        key.verify(info.raw, &request.signature_value.data).map_err(|_| RequestError::Proof)?;
        let serial = subject_serial(&info.subject).ok_or(RequestError::Serial)?;
        let key = DeviceKey { point: point.to_vec() };
        let key_digest = Sha256::of(&key.subject_public_key_info());
        Ok(Self { key, key_digest, serial })
    }
}

/// The uncompressed point of a P-256 key.
fn p256_point<'a>(spki: &'a SubjectPublicKeyInfo<'_>) -> Option<&'a [u8]> {
    let curve = spki.algorithm.parameters.as_ref()?.as_oid().ok()?;
    let right = spki.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && curve == OID_EC_P256;
    let point: &[u8] = &spki.subject_public_key.data;
    (right && point.len() == 65).then_some(point)
}

/// The serial in a subject: attribute `serialNumber`, or else the common name; `None` if there is none or not one.
#[must_use]
pub fn subject_serial(subject: &X509Name<'_>) -> Option<Text> {
    match attribute(subject, &OID_X509_SERIALNUMBER)? {
        Some(serial) => Some(serial),
        None => attribute(subject, &OID_X509_COMMON_NAME)?,
    }
}

/// The one value of an attribute; `None` outside if there are several or it is no text, inside if there is none.
fn attribute(subject: &X509Name<'_>, oid: &Oid<'static>) -> Option<Option<Text>> {
    let mut values = subject.iter_by_oid(oid);
    let Some(value) = values.next() else { return Some(None) };
    let text = value.as_str().ok()?.parse().ok()?;
    values.next().is_none().then_some(Some(text))
}
