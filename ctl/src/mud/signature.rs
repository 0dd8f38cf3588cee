//! The detached signature under a MUD file: CMS in DER (RFC 5652), as RFC 8520 section 13 wants it.
//!
//! Who signed must be certified, today, up to the authority that the person names, and be allowed to sign. The signed
//! attributes must name this very file. The only file of this program that knows the crate `cms` and its older `der`. It
//! must never take a certificate of the message for an anchor. Read next: [`super::Check`].

use std::path::Path;
use std::time::Duration;

use cms::cert::CertificateChoices;
use cms::content_info::ContentInfo;
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use der::asn1::{ObjectIdentifier, OctetString};
use der::{Decode, Encode};
use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring as algorithms};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::arguments::read_file;
use crate::failure::Failure;
use crate::report::plain;

/// Bytes of a file of authorities.
const CA_BYTES: u64 = 1 << 20;
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
/// What a certificate that is bound to some use must allow, one of these: signing of mail (`openssl cms` asks for that) or code.
const USES: [&[u8]; 2] = [&[43, 6, 1, 5, 5, 7, 3, 4], &[43, 6, 1, 5, 5, 7, 3, 3]];

/// Why a signature is not believed.
#[derive(Debug, thiserror::Error)]
enum Doubt {
    #[error("is no CMS signature in DER: make it with `openssl cms -sign -binary -outform DER`")]
    Form,
    #[error("holds no signature")]
    Nobody,
    #[error("holds the certificate of nobody who signed: sign without -nocerts")]
    NoCertificate,
    #[error("is made with {0}, which is not taken: use SHA-256 or better with RSA, ECDSA or Ed25519")]
    Algorithm(String),
    #[error("is of another file, or the file was changed after it was signed")]
    OtherFile,
    #[error("does not verify under the certificate of {0}")]
    Wrong(String),
    #[error("was made by {0}, whose certificate may not sign: its key usage lacks digitalSignature")]
    KeyUsage(String),
    #[error("was made by {0}, who is not certified by the authority of --ca today: {1}")]
    Path(String, String),
}

/// Verifies the signature under a file; gives the name of who signed.
///
/// # Errors
/// It cannot be read or is not to be believed, with why.
pub fn verify(file: &[u8], signature: &Path, ca: &Path, now: Timestamp) -> Result<String, Failure> {
    let bytes = read_file(signature, u64::try_from(limits::MUD_SIGNATURE_BYTES).unwrap_or(u64::MAX))?;
    let wrong = || {
        Failure::refused(
            "unusable authority",
            format!("{} holds no PEM certificate of an authority", ca.display()),
        )
    };
    let roots: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read_file(ca, CA_BYTES)?)
        .collect::<Result<_, _>>()
        .map_err(|_| wrong())?;
    let anchors: Vec<TrustAnchor<'_>> =
        roots.iter().map(anchor_from_trusted_cert).collect::<Result<_, _>>().map_err(|_| wrong())?;
    if anchors.is_empty() {
        return Err(wrong());
    }
    believed(file, &bytes, (&anchors, now))
        .map_err(|doubt| Failure::refused("not believed", format!("{} {doubt}", signature.display())))
}

fn believed(
    file: &[u8],
    bytes: &[u8],
    (anchors, now): (&[TrustAnchor<'_>], Timestamp),
) -> Result<String, Doubt> {
    let message = ContentInfo::from_der(bytes).map_err(|_| Doubt::Form)?;
    let signed: SignedData = match message.content_type {
        SIGNED_DATA => message.content.decode_as().map_err(|_| Doubt::Form)?,
        _ => return Err(Doubt::Form),
    };
    let certificates: Vec<CertificateDer<'static>> = signed
        .certificates
        .iter()
        .flat_map(|set| set.0.iter())
        .filter_map(|choice| match choice {
            CertificateChoices::Certificate(certificate) => certificate.to_der().ok(),
            CertificateChoices::Other(_) => None,
        })
        .map(CertificateDer::from)
        .collect();
    let mut doubt = Doubt::Nobody;
    // One of several who sign is enough; the last reason counts where none is.
    for signer in signed.signer_infos.0.iter() {
        match one(file, (&signed, signer), &certificates, (anchors, now)) {
            Ok(name) => return Ok(name),
            Err(why) => doubt = why,
        }
    }
    Err(doubt)
}

fn one(
    file: &[u8],
    (signed, signer): (&SignedData, &SignerInfo),
    certificates: &[CertificateDer<'static>],
    (anchors, now): (&[TrustAnchor<'_>], Timestamp),
) -> Result<String, Doubt> {
    let certificate = certificates
        .iter()
        .find(|certificate| is_of(certificate, &signer.sid))
        .ok_or(Doubt::NoCertificate)?;
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| Doubt::Form)?;
    let name = plain(&parsed.subject().to_string());
    let hash = hash(&signer.digest_alg.oid)?;
    let covered = covered(file, (signed, signer), hash)?;
    let end =
        EndEntityCert::try_from(certificate).map_err(|error| Doubt::Path(name.clone(), error.to_string()))?;
    let tried = schemes(&signer.signature_algorithm.oid, hash)?;
    let signature = signer.signature.as_bytes();
    if !tried.iter().any(|scheme| end.verify_signature(*scheme, &covered, signature).is_ok()) {
        return Err(Doubt::Wrong(name));
    }
    if let Ok(Some(usage)) = parsed.key_usage()
        && !usage.value.digital_signature()
    {
        return Err(Doubt::KeyUsage(name));
    }
    let seconds = u64::try_from(now.0).unwrap_or(0);
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let path = |usage: &'static [u8]| {
        let usage = KeyUsage::required_if_present(usage);
        end.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, anchors, certificates, now, usage, None, None)
    };
    match USES.map(path) {
        [Ok(_), _] | [_, Ok(_)] => Ok(name),
        [Err(error), Err(_)] => Err(Doubt::Path(name, error.to_string())),
    }
}

/// Whether a certificate is the one that a signer names.
fn is_of(certificate: &CertificateDer<'_>, sid: &SignerIdentifier) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
    match sid {
        SignerIdentifier::IssuerAndSerialNumber(named) => {
            let issuer = named.issuer.to_der().is_ok_and(|issuer| issuer == parsed.issuer().as_raw());
            issuer && trimmed(named.serial_number.as_bytes()) == trimmed(parsed.raw_serial())
        }
        SignerIdentifier::SubjectKeyIdentifier(named) => parsed.iter_extensions().any(|extension| {
            use x509_parser::extensions::ParsedExtension;
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(own) => own.0 == named.0.as_bytes(),
                _ => false,
            }
        }),
    }
}

fn trimmed(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    serial.get(zeros..).unwrap_or_default()
}

/// The bytes that the signature covers: the attributes, which must name this file, or the file itself.
fn covered(
    file: &[u8],
    (signed, signer): (&SignedData, &SignerInfo),
    hash: &'static Algorithm,
) -> Result<Vec<u8>, Doubt> {
    let inside = signed.encap_content_info.econtent.as_ref();
    if inside.is_some_and(|content| content.value() != file) {
        return Err(Doubt::OtherFile);
    }
    let Some(attributes) = &signer.signed_attrs else { return Ok(file.to_vec()) };
    let only = |wanted: ObjectIdentifier| {
        let mut values =
            attributes.iter().filter(|attribute| attribute.oid == wanted).flat_map(|one| one.values.iter());
        values.next().filter(|_| values.next().is_none()).ok_or(Doubt::Form)
    };
    let kind: ObjectIdentifier = only(CONTENT_TYPE)?.decode_as().map_err(|_| Doubt::Form)?;
    let named: OctetString = only(MESSAGE_DIGEST)?.decode_as().map_err(|_| Doubt::Form)?;
    if kind != signed.encap_content_info.econtent_type {
        return Err(Doubt::Form);
    }
    if named.as_bytes() != digest(hash, file).as_ref() {
        return Err(Doubt::OtherFile);
    }
    attributes.to_der().map_err(|_| Doubt::Form)
}

fn hash(oid: &ObjectIdentifier) -> Result<&'static Algorithm, Doubt> {
    match oid.to_string().as_str() {
        "2.16.840.1.101.3.4.2.1" => Ok(&SHA256),
        "2.16.840.1.101.3.4.2.2" => Ok(&SHA384),
        "2.16.840.1.101.3.4.2.3" => Ok(&SHA512),
        other => Err(Doubt::Algorithm(format!("the hash {other}"))),
    }
}

/// The schemes that a signature may be of: the key's kind decides which of them fits.
fn schemes(
    oid: &ObjectIdentifier,
    hash: &'static Algorithm,
) -> Result<Vec<&'static dyn SignatureVerificationAlgorithm>, Doubt> {
    let of_rsa = || -> &'static dyn SignatureVerificationAlgorithm {
        if *hash == SHA256 {
            algorithms::RSA_PKCS1_2048_8192_SHA256
        } else if *hash == SHA384 {
            algorithms::RSA_PKCS1_2048_8192_SHA384
        } else {
            algorithms::RSA_PKCS1_2048_8192_SHA512
        }
    };
    Ok(match oid.to_string().as_str() {
        "1.2.840.113549.1.1.1"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.113549.1.1.12"
        | "1.2.840.113549.1.1.13" => vec![of_rsa()],
        "1.2.840.10045.4.3.2" => vec![algorithms::ECDSA_P256_SHA256, algorithms::ECDSA_P384_SHA256],
        "1.2.840.10045.4.3.3" => vec![algorithms::ECDSA_P256_SHA384, algorithms::ECDSA_P384_SHA384],
        "1.3.101.112" => vec![algorithms::ED25519],
        other => return Err(Doubt::Algorithm(format!("the signature {other}"))),
    })
}
