//! What a certificate for a device may be, read by another library than the one that writes it.
//!
//! Never a CA, no name but our own, no use but as a TLS client, nothing that the request wished for. Anything else is a
//! panic, which the driver takes for a failure.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// The extensions of a leaf by their dotted names: key identifiers, basic constraints, key usage, extended key usage,
/// alternative names, and where lists of void certificates lie.
const EXTENSIONS: [&str; 7] =
    ["2.5.29.35", "2.5.29.14", "2.5.29.19", "2.5.29.15", "2.5.29.37", "2.5.29.17", "2.5.29.31"];

/// Checks a certificate that was issued for `serial`; `point` is the key that asked, where it is known.
///
/// # Panics
/// If the certificate is anything but a leaf of ours.
pub fn check(der: &[u8], serial: Option<&str>, point: Option<&[u8]>) {
    let (rest, leaf) = parse_x509_certificate(der).expect("an issued certificate is readable");
    assert!(rest.is_empty(), "bytes behind the certificate");
    is_no_authority(&leaf);
    names_only_us(&leaf, serial);
    if let Some(point) = point {
        assert_eq!(&*leaf.public_key().subject_public_key.data, point, "another key than the one that asked");
    }
    for extension in leaf.extensions() {
        let name = extension.oid.to_id_string();
        assert!(EXTENSIONS.contains(&name.as_str()), "the extension {name} comes from somewhere else");
    }
}

fn is_no_authority(leaf: &X509Certificate<'_>) {
    let constraints = leaf.basic_constraints().expect("once").expect("stated");
    assert!(!constraints.value.ca && constraints.value.path_len_constraint.is_none(), "a CA was issued");
    let usage = leaf.key_usage().expect("once").expect("stated");
    assert_eq!(usage.value.flags, 1, "a leaf signs, and signs no certificates");
    let extended = leaf.extended_key_usage().expect("once").expect("stated").value;
    let more = extended.any
        || extended.server_auth
        || extended.code_signing
        || extended.email_protection
        || extended.time_stamping
        || extended.ocsp_signing
        || !extended.other.is_empty();
    assert!(extended.client_auth && !more, "a leaf is a TLS client's and nothing else");
}

fn names_only_us(leaf: &X509Certificate<'_>, serial: Option<&str>) {
    let names = &leaf.subject_alternative_name().expect("once").expect("stated").value.general_names;
    let [GeneralName::URI(uri)] = names.as_slice() else { panic!("foreign names: {names:?}") };
    let common: Vec<_> = leaf.subject().iter_common_name().filter_map(|name| name.as_str().ok()).collect();
    let [common] = common.as_slice() else { panic!("common names: {common:?}") };
    assert_eq!(uri.strip_prefix("urn:uuid:"), Some(*common), "two names for one device");
    assert_eq!(leaf.subject().iter_attributes().count(), 2, "the subject says more than we do");
    let serials =
        leaf.subject().iter_attributes().filter(|part| part.attr_type().to_id_string() == "2.5.4.5");
    let serials: Vec<_> = serials.filter_map(|part| part.as_str().ok()).collect();
    assert_eq!(serials.len(), 1, "one serial");
    if let Some(serial) = serial {
        assert_eq!(serials, [serial], "another serial than the one that asked");
    }
}

/// Every certificate in a certs-only PKCS#7.
#[must_use]
pub fn certificates_in(der: &[u8]) -> Vec<&[u8]> {
    let (mut found, mut rest) = (Vec::new(), der);
    while let Some((_, shorter)) = rest.split_first() {
        rest = match parse_x509_certificate(rest) {
            Ok((behind, _)) => {
                found.extend(rest.get(..rest.len() - behind.len()));
                behind
            }
            Err(_) => shorter,
        };
    }
    found
}
