//! The forms of EST (RFC 7030): base64 bodies, the certificate request, certificates out of a certs-only PKCS#7, and
//! the two requests themselves over a client of [`crate::tls`].
//!
//! The token leaves this file only in the `Authorization` header of `simpleenroll`, over a client whose verifier has
//! already held the pin. It must never be logged. Read next: [`super`] for what is kept and in which order.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_proto::enrol::{BINDING_HEADER, HARDWARE_HEADER, hardware_header};
use cordon_proto::ids::{DeviceId, Hardware, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::key::DeviceKey;
use crate::der::{self, CONTEXT_0, INTEGER, OBJECT, SEQUENCE, SET, element};
use crate::link::{LinkError, http};

/// Bytes of an EST answer.
const ANSWER_BYTES: usize = limits::BODY_BYTES;
/// `1.2.840.113549.1.7.2`, signed-data (RFC 5652 section 5.1), as DER content.
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];

/// A PKCS#10 request for `hardware`, signed by `key`, as DER.
pub(super) fn certificate_request(key: &dyn DeviceKey, hardware: &Hardware) -> Option<Vec<u8>> {
    der::certification_request(hardware.serial.as_str(), key.spki(), |message| key.sign(message).ok())
}

/// Whether a stored request still says what is to be asked for.
pub(super) fn is_current(request: &[u8], key: &dyn DeviceKey, hardware: &Hardware) -> bool {
    der::is_request_of(request, hardware.serial.as_str(), key.spki())
}

/// The CA certificates of the server: whatever `cacerts` holds.
pub(super) async fn cacerts(
    client: &reqwest::Client,
    base: &str,
) -> Result<Vec<CertificateDer<'static>>, LinkError> {
    let answer = http::send(client.get(format!("{base}/cacerts")), http::QUICK).await?;
    certificates_of(&http::body(answer, ANSWER_BYTES).await?).ok_or_else(malformed)
}

/// A request for a certificate.
pub(super) struct Asking<'a> {
    /// What the device is.
    pub(super) hardware: &'a Hardware,
    /// The one-time secret; none where the present certificate speaks.
    pub(super) token: Option<&'a str>,
    /// The PKCS#10 request.
    pub(super) request: &'a [u8],
    /// The proof that it travels on this connection.
    pub(super) binding: String,
}

/// Asks for a certificate: by token (`simpleenroll`), or by the present one (`simplereenroll`). The caller has persisted
/// the key before.
pub(super) async fn ask(
    client: &reqwest::Client,
    base: &str,
    asking: Asking<'_>,
) -> Result<CertificateDer<'static>, LinkError> {
    let route = if asking.token.is_some() { "simpleenroll" } else { "simplereenroll" };
    let mut call = client
        .post(format!("{base}/{route}"))
        .header(CONTENT_TYPE, "application/pkcs10")
        .header(HARDWARE_HEADER, hardware_header(asking.hardware))
        .header(BINDING_HEADER, asking.binding)
        .body(STANDARD.encode(asking.request));
    if let Some(token) = asking.token {
        let credential = Zeroizing::new(format!("{}:{token}", header_safe(&asking.hardware.serial)));
        let authorization = Zeroizing::new(format!("Basic {}", STANDARD.encode(credential.as_bytes())));
        call = call.header(AUTHORIZATION, authorization.as_str());
    }
    let answer = http::send(call, http::QUICK).await?;
    let mut issued =
        certificates_of(&http::body(answer, ANSWER_BYTES).await?).ok_or_else(malformed)?.into_iter();
    match (issued.next(), issued.next()) {
        (Some(leaf), None) => Ok(leaf),
        _ => Err(malformed()),
    }
}

/// What the agent reads from its own certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) device: DeviceId,
    pub(super) spki: Vec<u8>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

/// Reads a leaf: the common name is the device's identifier.
pub(super) fn read_leaf(der: &[u8]) -> Option<Leaf> {
    let certificate = der::certificate(der)?;
    Some(Leaf {
        device: certificate.common_name.parse().ok()?,
        spki: certificate.spki.to_vec(),
        not_before: certificate.not_before,
        not_after: certificate.not_after,
    })
}

/// A user name of Basic authentication holds no colon and no control character; the server ignores it anyway.
fn header_safe(serial: &Text) -> String {
    serial.as_str().chars().filter(|c| c.is_ascii_graphic() && *c != ':').collect()
}

fn malformed() -> LinkError {
    LinkError::Malformed { what: "certs-only PKCS#7" }
}

/// The certificates in the base64 of a certs-only PKCS#7 (RFC 5652 sections 3 and 5.1, RFC 7030 section 4.1.3).
fn certificates_of(body: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let packed: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let der = STANDARD.decode(packed).ok()?;
    let (content_info, rest) = element(&der, SEQUENCE)?;
    let (kind, content_info) = element(content_info, OBJECT)?;
    if kind != SIGNED_DATA || !rest.is_empty() {
        return None;
    }
    let (explicit, _) = element(content_info, CONTEXT_0)?;
    let (signed_data, _) = element(explicit, SEQUENCE)?;
    let (_version, signed_data) = element(signed_data, INTEGER)?;
    let (_digests, signed_data) = element(signed_data, SET)?;
    let (_content, signed_data) = element(signed_data, SEQUENCE)?;
    let (mut set, _) = element(signed_data, CONTEXT_0)?;
    let mut certificates = Vec::new();
    while !set.is_empty() {
        let (_, after) = element(set, SEQUENCE)?;
        let whole = set.get(..set.len() - after.len())?;
        certificates.push(CertificateDer::from(whole.to_vec()));
        set = after;
    }
    Some(certificates)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::key::FileKey;
    use super::*;
    use proptest::prelude::*;

    /// Wraps `content` as one DER element.
    pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).expect("test data is small").to_be_bytes();
        [&[tag, 0x82], length.as_slice(), content].concat()
    }

    /// A certs-only PKCS#7 in base64, as a server sends it.
    pub(crate) fn pkcs7(certificates: &[Vec<u8>]) -> String {
        let inner = tlv(0x30, &tlv(0x06, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01]));
        let signed =
            [tlv(0x02, &[1]), tlv(0x31, &[]), inner, tlv(0xa0, &certificates.concat()), tlv(0x31, &[])];
        let info = [tlv(0x06, SIGNED_DATA), tlv(0xa0, &tlv(0x30, &signed.concat()))];
        STANDARD.encode(tlv(0x30, &info.concat())) + "\n"
    }

    fn hardware() -> Hardware {
        let text = |t: &str| t.parse().expect("a text");
        Hardware {
            manufacturer: text("Halden"),
            model: text("VP-3"),
            revision: text("C"),
            serial: text("VP3-1"),
        }
    }

    #[test]
    fn certificates_come_out_of_a_pkcs7_in_any_order_and_folding() {
        // Goal: RFC 7030 and 8951 forms. Method: two elements, folded base64.
        let one = tlv(0x30, b"one");
        let two = tlv(0x30, &[7; 300]);
        let mut text = pkcs7(&[one.clone(), two.clone()]);
        text.insert_str(40, "\r\n ");
        let found = certificates_of(text.as_bytes()).expect("is read");
        assert_eq!(found.iter().map(|c| c.to_vec()).collect::<Vec<_>>(), [one, two]);
        assert_eq!(certificates_of(b"not base64!"), None);
        assert_eq!(certificates_of(STANDARD.encode(tlv(0x30, b"\x06\x01\x2a")).as_bytes()), None);
    }

    #[test]
    fn the_request_names_the_serial_and_proves_possession() {
        // Goal: PKCS#10 as the server checks it. Method: x509-parser reads and verifies the subject and key.
        let (key, _) = FileKey::generate().expect("makes a key");
        let der = certificate_request(&key, &hardware()).expect("is made");
        let (_, request) =
            <x509_parser::certification_request::X509CertificationRequest as x509_parser::prelude::FromDer<
                _,
            >>::from_der(&der)
            .expect("is PKCS#10");
        let info = &request.certification_request_info;
        assert_eq!(info.subject.to_string(), "CN=VP3-1");
        assert_eq!(info.subject_pki.raw, key.spki());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = certificates_of(&bytes);
            let _ = certificates_of(STANDARD.encode(&bytes).as_bytes());
            let _ = read_leaf(&bytes);
        }
    }
}
