//! The few DER forms that the device reads, a public key and its own certificate, and the one it writes, a request.
//!
//! Signatures and chains are judged by ring and webpki; nothing here decides whether anything is to be believed. A
//! full X.509 reader would weigh as much as the rest of the enrolment. Whatever is not of the expected form is `None`.
//! Read next: [`crate::verifier`], [`crate::identity`].

use cordon_proto::time::Timestamp;

/// `INTEGER`.
pub const INTEGER: u8 = 0x02;
/// `OCTET STRING`.
pub const OCTET_STRING: u8 = 0x04;
/// `OBJECT IDENTIFIER`.
pub const OBJECT: u8 = 0x06;
/// `SEQUENCE`.
pub const SEQUENCE: u8 = 0x30;
/// `SET`.
pub const SET: u8 = 0x31;
/// The first context-specific element, constructed.
pub const CONTEXT_0: u8 = 0xa0;

const BIT_STRING: u8 = 0x03;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const TELETEX_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `1.2.840.10045.4.3.2`, ECDSA with SHA-256 (RFC 5758 section 3.2), as DER content.
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// `2.5.4.3`, the common name (RFC 5280 appendix A.1), as DER content.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// `2.5.4.10`, the organisation's name.
const ORGANISATION: &[u8] = &[0x55, 0x04, 0x0a];
/// Characters of a stranger's name that are shown.
const SHOWN_CHARS: usize = 64;

/// One element of the wanted tag: its content, and what follows it.
#[must_use]
pub fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = next(bytes)?;
    (found == tag).then_some((content, rest))
}

/// One element: its tag, its content, and what follows it. Long tags and open lengths are not DER as used here.
fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, bytes) = bytes.split_first()?;
    let (first, bytes) = bytes.split_first()?;
    let (length, bytes) = match *first {
        short @ 0..=0x7f => (usize::from(short), bytes),
        0x81..=0x83 => {
            let (head, bytes) = bytes.split_at_checked(usize::from(*first & 0x7f))?;
            (head.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), bytes)
        }
        _ => return None,
    };
    let (content, rest) = bytes.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// The key itself in a SubjectPublicKeyInfo (RFC 5280 section 4.1): what ring takes.
#[must_use]
pub fn public_key(info: &[u8]) -> Option<&[u8]> {
    let (info, after) = element(info, SEQUENCE)?;
    let (_algorithm, info) = element(info, SEQUENCE)?;
    let (bits, rest) = element(info, BIT_STRING)?;
    match bits.split_first() {
        Some((0, bits)) if rest.is_empty() && after.is_empty() => Some(bits),
        _ => None,
    }
}

/// One element with these parts as its content.
fn written(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let bytes = length.to_be_bytes();
    let head = match length {
        0..=0x7f => bytes.get(bytes.len() - 1..).map(<[u8]>::to_vec),
        0x80..=0xff => bytes.get(bytes.len() - 1..).map(|low| [&[0x81], low].concat()),
        // Nothing written here comes near 64 KiB.
        _ => bytes.get(bytes.len() - 2..).map(|low| [&[0x82], low].concat()),
    };
    let mut element = vec![tag];
    element.extend(head.unwrap_or_default());
    parts.iter().for_each(|part| element.extend_from_slice(part));
    element
}

/// A certification request for a P-256 key (RFC 2986 section 4): one common name, no attributes. `sign` makes an ECDSA
/// signature over SHA-256 in ASN.1 DER, or nothing.
pub fn certification_request(
    common_name: &str,
    spki: &[u8],
    sign: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let request = requested(common_name, spki);
    let signature = sign(&request)?;
    let algorithm = written(SEQUENCE, &[&written(OBJECT, &[ECDSA_WITH_SHA256])]);
    Some(written(SEQUENCE, &[&request, &algorithm, &written(BIT_STRING, &[&[0], &signature])]))
}

/// Whether a certification request is the one that [`certification_request`] makes of these, whoever signed it.
#[must_use]
pub fn is_request_of(der: &[u8], common_name: &str, spki: &[u8]) -> bool {
    element(der, SEQUENCE)
        .is_some_and(|(inside, rest)| rest.is_empty() && inside.starts_with(&requested(common_name, spki)))
}

/// What is signed in a request.
fn requested(common_name: &str, spki: &[u8]) -> Vec<u8> {
    let name = [written(OBJECT, &[COMMON_NAME]), written(UTF8_STRING, &[common_name.as_bytes()])].concat();
    let names = written(SEQUENCE, &[&written(SET, &[&written(SEQUENCE, &[&name])])]);
    let version = written(INTEGER, &[&[0]]);
    written(SEQUENCE, &[&version, &names, spki, &written(CONTEXT_0, &[])])
}

/// What is read from a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// The first common name of the subject.
    pub common_name: &'a str,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until.
    pub not_after: Timestamp,
    /// The SubjectPublicKeyInfo.
    pub spki: &'a [u8],
}

/// Reads a certificate (RFC 5280 section 4.1).
#[must_use]
pub fn certificate(der: &[u8]) -> Option<Certificate<'_>> {
    let ([not_before, not_after], fields) = validity(der)?;
    let (subject, fields) = element(fields, SEQUENCE)?;
    let (_key, after_key) = element(fields, SEQUENCE)?;
    Some(Certificate {
        common_name: attribute(subject, COMMON_NAME)?,
        not_before,
        not_after,
        spki: fields.get(..fields.len() - after_key.len())?,
    })
}

/// The first second of any certificate, whatever its subject is called.
#[must_use]
pub fn not_before(der: &[u8]) -> Option<Timestamp> {
    validity(der).map(|([not_before, _], _)| not_before)
}

/// First and last second of a certificate, and the fields that follow them.
fn validity(der: &[u8]) -> Option<([Timestamp; 2], &[u8])> {
    let (certificate, after) = element(der, SEQUENCE)?;
    let (to_be_signed, signature) = element(certificate, SEQUENCE)?;
    let (_algorithm, signature) = element(signature, SEQUENCE)?;
    let (_signature, rest) = element(signature, BIT_STRING)?;
    if !after.is_empty() || !rest.is_empty() {
        return None;
    }
    let (_version, fields) = element(to_be_signed, CONTEXT_0)?;
    let (_serial, fields) = element(fields, INTEGER)?;
    let (_algorithm, fields) = element(fields, SEQUENCE)?;
    let (_issuer, fields) = element(fields, SEQUENCE)?;
    let (validity, fields) = element(fields, SEQUENCE)?;
    let (not_before, validity) = time(validity)?;
    let (not_after, rest) = time(validity)?;
    rest.is_empty().then_some(([not_before, not_after], fields))
}

/// The name by which people know who issued a certificate: the issuer's common name, or its organisation where it has
/// none. It is a stranger's word, to be shown and never believed: shortened, and without characters that could disturb
/// a terminal or turn a line around.
#[must_use]
pub fn issuer(der: &[u8]) -> Option<String> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (fields, _) = element(certificate, SEQUENCE)?;
    // Version 1 leaves its number out.
    let fields = element(fields, CONTEXT_0).map_or(fields, |(_version, fields)| fields);
    let (_serial, fields) = element(fields, INTEGER)?;
    let (_algorithm, fields) = element(fields, SEQUENCE)?;
    let (issuer, _) = element(fields, SEQUENCE)?;
    let name = attribute(issuer, COMMON_NAME).or_else(|| attribute(issuer, ORGANISATION))?;
    Some(name.chars().filter(|c| !is_disturbing(*c)).take(SHOWN_CHARS).collect())
}

/// Control characters, invisible ones, and those that set the direction of writing.
fn is_disturbing(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The first attribute of that kind in a name (RFC 5280 section 4.1.2.4), where it is a text that can be read.
fn attribute<'a>(mut names: &'a [u8], wanted: &[u8]) -> Option<&'a str> {
    while !names.is_empty() {
        let (mut set, after) = element(names, SET)?;
        while !set.is_empty() {
            let (pair, following) = element(set, SEQUENCE)?;
            let (kind, value) = element(pair, OBJECT)?;
            if kind == wanted {
                let (tag, text, rest) = next(value)?;
                let texts = [UTF8_STRING, PRINTABLE_STRING, TELETEX_STRING, IA5_STRING];
                let readable = rest.is_empty() && texts.contains(&tag);
                return readable.then_some(text).and_then(|text| str::from_utf8(text).ok());
            }
            set = following;
        }
        names = after;
    }
    None
}

/// A time in either form (RFC 5280 section 4.1.2.5), and what follows it.
fn time(bytes: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (tag, text, rest) = next(bytes)?;
    let text = str::from_utf8(text).ok()?;
    let (century, digits) = match tag {
        UTC_TIME if text.len() == 13 => (if text < "50" { "20" } else { "19" }, text),
        GENERALIZED_TIME if text.len() == 15 => text.split_at_checked(2)?,
        _ => return None,
    };
    let two = |at: usize| digits.get(at..at + 2);
    let (year, month, day, hour, minute) = (two(0)?, two(2)?, two(4)?, two(6)?, two(8)?);
    // Seconds and the Z, which RFC 3339 writes alike.
    let seconds = digits.get(10..)?;
    let text = format!("{century}{year}-{month}-{day}T{hour}:{minute}:{seconds}");
    Some((Timestamp::parse(&text).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{
        CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, PublicKeyData, date_time_ymd,
    };
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::parse_x509_certificate;
    use x509_parser::prelude::FromDer;

    use super::*;
    use crate::identity::key::DeviceKey;

    fn made(names: &[(DnType, DnValue)], years: (i32, i32)) -> (Vec<u8>, KeyPair) {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in names {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        params.not_before = date_time_ymd(years.0, 2, 28);
        params.not_after = date_time_ymd(years.1, 12, 31);
        let key = KeyPair::generate().expect("makes a key");
        (params.self_signed(&key).expect("signs").der().to_vec(), key)
    }

    #[test]
    fn a_certificate_is_read_as_a_full_reader_reads_it() {
        // Goal: name, times in both forms and over the turns of the century, key. Method: x509-parser beside ours.
        let printable = DnValue::PrintableString("dev-1".try_into().expect("printable"));
        let names = [
            (DnType::OrganizationName, DnValue::from("Ward")),
            (DnType::CommonName, printable),
            (DnType::CountryName, DnValue::from("DE")),
        ];
        for years in [(1951, 1999), (2000, 2049), (2026, 2050), (2051, 9999)] {
            let (der, key) = made(&names, years);
            let ours = certificate(&der).expect("is read");
            let (_, theirs) = parse_x509_certificate(&der).expect("is read");
            assert_eq!(ours.common_name, "dev-1");
            assert_eq!(ours.not_before.0, theirs.validity().not_before.timestamp(), "{years:?}");
            assert_eq!(ours.not_after.0, theirs.validity().not_after.timestamp(), "{years:?}");
            assert_eq!(ours.spki, theirs.public_key().raw);
            assert_eq!(public_key(ours.spki), Some(key.der_bytes()));
        }
        let (utf8, _) = made(&[(DnType::CommonName, DnValue::from("D\u{fc}ne"))], (2026, 2027));
        assert_eq!(certificate(&utf8).map(|read| read.common_name), Some("D\u{fc}ne"));
        let (nameless, _) = made(&[(DnType::OrganizationName, DnValue::from("Ward"))], (2026, 2027));
        assert_eq!(certificate(&nameless), None);
    }

    #[test]
    fn whoever_issued_a_strange_chain_is_named_without_harm() {
        // Goal: the name people know TLS inspection by. Method: common name, organisation alone, hostile text, cuts.
        let named = |names: &[(DnType, &str)]| {
            let names: Vec<_> =
                names.iter().map(|(kind, text)| (kind.clone(), DnValue::from(*text))).collect();
            made(&names, (2026, 2027)).0
        };
        let inspector =
            named(&[(DnType::OrganizationName, "Zscaler Inc."), (DnType::CommonName, "Zscaler Root CA")]);
        assert_eq!(issuer(&inspector).as_deref(), Some("Zscaler Root CA"));
        assert_eq!(
            issuer(&named(&[(DnType::OrganizationName, "Klinik D\u{fc}ne")])).as_deref(),
            Some("Klinik D\u{fc}ne")
        );
        let hostile = named(&[(DnType::CommonName, "a\u{1b}[2J\r\nb\u{202e}c\u{200b}d")]);
        assert_eq!(issuer(&hostile).as_deref(), Some("a[2Jbcd"));
        let long = named(&[(DnType::CommonName, &"x".repeat(500))]);
        assert_eq!(issuer(&long).map(|name| name.len()), Some(SHOWN_CHARS));
        assert_eq!(issuer(&named(&[])), None);
        assert!((0..80).all(|cut| issuer(&inspector[..cut]).is_none()));
    }

    #[test]
    fn a_request_is_read_and_believed_by_a_full_reader_whatever_the_names_length() {
        // Goal: PKCS#10 as others read it. Method: x509-parser reads name and key, rcgen checks the signature; names
        // around the turns of the length's form.
        let (key, _) = crate::identity::key::FileKey::generate().expect("makes a key");
        for length in [1, 9, 20, 60, 110, 127, 128, 200, 255, 256] {
            let name = "n".repeat(length);
            let made = certification_request(&name, key.spki(), |message| key.sign(message).ok());
            let der = made.expect("is made");
            let (rest, read) = X509CertificationRequest::from_der(&der).expect("is PKCS#10");
            assert!(rest.is_empty());
            let info = &read.certification_request_info;
            assert_eq!(info.subject.to_string(), format!("CN={name}"));
            assert_eq!(info.subject_pki.raw, key.spki());
            assert!(is_request_of(&der, &name, key.spki()) && !is_request_of(&der, "other", key.spki()));
            assert!(!is_request_of(&der[..der.len() - 1], &name, key.spki()));
            rcgen::CertificateSigningRequestParams::from_der(&der.into()).expect("proves possession");
        }
        assert_eq!(certification_request("n", key.spki(), |_| None), None, "no signature, no request");
    }

    #[test]
    fn what_is_cut_or_followed_by_more_is_refused() {
        // Goal: one form, whole. Method: every prefix of a certificate and a key, and one byte more.
        let (der, _) = made(&[(DnType::CommonName, DnValue::from("dev"))], (2026, 2027));
        let spki = certificate(&der).expect("is read").spki;
        assert!((0..der.len()).all(|cut| certificate(&der[..cut]).is_none()));
        assert!((0..spki.len()).all(|cut| public_key(&spki[..cut]).is_none()));
        assert_eq!(certificate(&[der.as_slice(), &[0]].concat()), None);
        assert_eq!(public_key(&[spki, &[0]].concat()), None);
        let mut unused_bits = spki.to_vec();
        unused_bits[25] = 4;
        assert_eq!(public_key(&unused_bits), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            at in any::<proptest::sample::Index>(),
            to in any::<u8>(),
        ) {
            let _ = (certificate(&bytes), public_key(&bytes), time(&bytes), issuer(&bytes));
            let (mut der, _) = made(&[(DnType::CommonName, DnValue::from("dev"))], (2026, 2051));
            let at = at.index(der.len());
            der[at] = to;
            let _ = (certificate(&der), issuer(&der));
        }
    }
}
