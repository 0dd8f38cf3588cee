//! Certs-only PKCS#7 (RFC 8551 section 3.2.2), the form in which EST hands out certificates.
//!
//! The only file that knows the crate `cms` and its older `der`. It writes and never reads: nothing from outside
//! comes here.

use cms::cert::x509::Certificate;
use cms::content_info::ContentInfo;
use der::{Decode, Encode};
use rustls::pki_types::CertificateDer;

/// A certificate of ours that the library cannot take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate cannot be put into PKCS#7: {0}")]
pub struct BundleError(der::Error);

/// DER of a `SignedData` without signers that holds `certificates`.
pub fn write(certificates: &[CertificateDer<'_>]) -> Result<Vec<u8>, BundleError> {
    let read: Result<Vec<Certificate>, der::Error> =
        certificates.iter().map(|certificate| Certificate::from_der(certificate)).collect();
    ContentInfo::try_from(read.map_err(BundleError)?).and_then(|info| info.to_der()).map_err(BundleError)
}
