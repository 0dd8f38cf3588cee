//! Tests of the authority: what stands in a leaf, what a request can and cannot wish for, what damage does.

use cordon_proto::time::Timestamp;
use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{GeneralName, ParsedExtension, X509Certificate};

use std::path::Path;

use super::key::{KeyError, KeySetting};
use super::request::{Request, RequestError};
use super::*;

/// Near enough to the present for the certificates to be valid while tests run.
const NOW: Timestamp = Timestamp(1_800_000_000);

fn authority() -> (tempfile::TempDir, std::sync::Arc<Ca>) {
    let folder = tempfile::tempdir().expect("a folder");
    make::lay(folder.path(), &KeySetting::Plain, NOW).expect("laid");
    let ca = load(folder.path()).expect("loads").for_server();
    (folder, ca)
}

fn load(folder: &Path) -> Result<Authority, CaError> {
    Authority::load(folder.to_owned(), KeySetting::Plain, None)
}

fn params(cn: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, cn);
    params
}

fn csr(params: &CertificateParams) -> (KeyPair, Vec<u8>) {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let der = params.serialize_request(&key).expect("a request").der().to_vec();
    (key, der)
}

fn read(der: &CertificateDer<'static>) -> X509Certificate<'static> {
    let leaked: &'static [u8] = Box::leak(der.to_vec().into_boxed_slice());
    x509_parser::parse_x509_certificate(leaked).expect("a certificate").1
}

/// Names, uses and identifiers of a certificate, one line each, without what is random.
fn text_of(certificate: &X509Certificate<'_>) -> String {
    let mut lines = vec![
        format!("subject {}", certificate.subject()),
        format!("from {:+}", certificate.validity().not_before.timestamp() - NOW.0),
        format!("until {:+}", certificate.validity().not_after.timestamp() - NOW.0),
        format!("serial bytes {}", certificate.raw_serial().len()),
    ];
    for extension in certificate.extensions() {
        lines.push(match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(basic) => {
                format!("ca {} {:?}", basic.ca, basic.path_len_constraint)
            }
            ParsedExtension::KeyUsage(usage) => format!("usage {usage}"),
            ParsedExtension::ExtendedKeyUsage(usage) => {
                format!(
                    "extended usage client {} server {} other {}",
                    usage.client_auth,
                    usage.server_auth,
                    usage.other.len()
                )
            }
            ParsedExtension::SubjectAlternativeName(names) => {
                let names = names.general_names.iter().map(|name| match name {
                    GeneralName::URI(uri) => (*uri).to_owned(),
                    other => format!("{other}"),
                });
                format!("names {}", names.collect::<Vec<_>>().join(" "))
            }
            ParsedExtension::AuthorityKeyIdentifier(_) => "authority key identifier".to_owned(),
            ParsedExtension::SubjectKeyIdentifier(_) => "subject key identifier".to_owned(),
            other => format!("unexpected {other:?}"),
        });
    }
    lines.sort();
    lines.join("\n")
}

fn issued(ca: &Ca, der: &[u8]) -> Result<Issued, RequestError> {
    let request = Request::parse(der)?;
    let device = DeviceId::from_random([7; 16]);
    Ok(ca.issue(&request.key, Subject { device, serial: &request.serial }, 30, NOW).expect("issued"))
}

#[test]
fn a_leaf_says_what_the_server_wrote_and_nothing_more() {
    // Goal: what a certificate may say. Method: golden text of the three kinds of certificate.
    let (_folder, ca) = authority();
    let leaf = issued(&ca, &csr(&params("SN-0001")).1).expect("issued");
    assert_eq!(
        text_of(&read(&leaf.der)),
        "authority key identifier\nca false None\nextended usage client true server false other 0\nfrom -300\n\
         names urn:uuid:07070707-0707-4707-8707-070707070707\nserial bytes 20\n\
         subject CN=07070707-0707-4707-8707-070707070707, serialNumber=SN-0001\nsubject key identifier\nuntil +2592000\nusage Digital Signature"
    );
    assert_eq!(leaf.not_after, NOW.plus_seconds(30 * 86_400));
    let issuing = text_of(&read(ca.issuing()));
    assert!(issuing.contains("ca true Some(0)") && issuing.contains("until +63072000"), "{issuing}");
    assert!(issuing.contains("authority key identifier") && issuing.contains("subject key identifier"));
    let root = text_of(&read(ca.root()));
    assert!(root.contains("ca true Some(1)") && root.contains("until +315532800"), "{root}");
}

#[test]
fn a_leaf_verifies_for_client_use_and_only_for_that() {
    // Goal: the chain is sound to another judge than its maker. Method: webpki, with the issuing or the root as anchor.
    let (_folder, ca) = authority();
    let leaf = issued(&ca, &csr(&params("SN-0001")).1).expect("issued");
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_100));
    for (anchor, between) in [(ca.issuing(), vec![]), (ca.root(), vec![ca.issuing().clone()])] {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(anchor.clone()).expect("an anchor");
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(
            roots.clone().into(),
            provider.clone(),
        );
        let clients = clients.build().expect("a verifier");
        assert!(clients.verify_client_cert(&leaf.der, &between, now).is_ok());
        let servers = rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), provider);
        let servers = servers.build().expect("a verifier");
        let name = "localhost".try_into().expect("a name");
        let verdict = rustls::client::danger::ServerCertVerifier::verify_server_cert(
            &*servers,
            &leaf.der,
            &between,
            &name,
            &[],
            now,
        );
        assert!(verdict.is_err(), "a device leaf must not pass for a server");
        let (server, _) =
            ca.server_leaf(&["localhost".to_owned(), "127.0.0.1".to_owned()], NOW).expect("made");
        let verdict = rustls::client::danger::ServerCertVerifier::verify_server_cert(
            &*servers,
            &server,
            &between,
            &name,
            &[],
            now,
        );
        assert!(verdict.is_ok(), "{verdict:?}");
        assert!(clients.verify_client_cert(&server, &between, now).is_err());
    }
}

#[test]
fn no_wish_in_a_request_reaches_the_leaf() {
    // Goal: E6. Method: a request that wants to be a CA under another device's name, compared with a modest one.
    let (_folder, ca) = authority();
    let mut greedy = params("SN-0001");
    greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    greedy.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    greedy.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::Any];
    greedy.subject_alt_names = vec![SanType::URI("urn:uuid:other".try_into().expect("a name"))];
    greedy.distinguished_name.push(DnType::OrganizationName, "Somebody else");
    let modest = issued(&ca, &csr(&params("SN-0001")).1).expect("issued");
    let greedy = issued(&ca, &csr(&greedy).1).expect("issued");
    assert_eq!(text_of(&read(&greedy.der)), text_of(&read(&modest.der)));
}

#[test]
fn requests_that_prove_nothing_are_refused_by_name() {
    // Goal: E6. Method: every bit of the signature's last byte, another key, RSA-free kinds, no serial, two serials.
    let (_, good) = csr(&params("SN-0001"));
    assert!(Request::parse(&good).is_ok());
    for bit in 0..8 {
        let mut bad = good.clone();
        *bad.last_mut().expect("bytes") ^= 1 << bit;
        assert!(matches!(Request::parse(&bad), Err(RequestError::Proof | RequestError::Malformed)));
    }
    let mut trailing = good.clone();
    trailing.push(0);
    assert_eq!(Request::parse(&trailing), Err(RequestError::Malformed));
    for kind in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let key = KeyPair::generate_for(kind).expect("a key");
        let der = params("SN-0001").serialize_request(&key).expect("a request").der().to_vec();
        assert_eq!(Request::parse(&der), Err(RequestError::Unsupported));
    }
    let mut nameless = params("x");
    nameless.distinguished_name = rcgen::DistinguishedName::new();
    assert_eq!(Request::parse(&csr(&nameless).1), Err(RequestError::Serial));
    assert_eq!(Request::parse(&csr(&params("a\tb")).1), Err(RequestError::Serial));
    let mut both = params("a name for people");
    both.distinguished_name.push(serial_number_attribute(), "SN-0001");
    assert_eq!(Request::parse(&csr(&both).1).map(|r| r.serial.to_string()).as_deref(), Ok("SN-0001"));
}

#[test]
fn the_bundle_holds_exactly_the_two_authorities() {
    // Goal: `cacerts` and the reply to an enrolment. Method: both certificates' bytes stand in the PKCS#7, once.
    let (folder, ca) = authority();
    let standing = load(folder.path()).expect("loads").standing();
    let bundle = standing.cacerts();
    for certificate in [ca.issuing(), ca.root()] {
        let found = bundle.windows(certificate.len()).filter(|window| *window == &certificate[..]).count();
        assert_eq!(found, 1);
    }
    let framing = bundle.len() - ca.issuing().len() - ca.root().len();
    assert!(framing < 80, "nothing else is in there: {framing} bytes");
}

#[test]
fn an_authority_that_cannot_be_right_is_not_loaded() {
    // Goal: errors that say what to do. Method: a readable key, a foreign key, no key, an ended certificate.
    let (folder, ca) = authority();
    let later = NOW.plus_seconds(731 * 86_400);
    let serial = "A".parse().expect("a text");
    let key = Request::parse(&csr(&params("A")).1).expect("read").key;
    let subject = Subject { device: DeviceId::from_random([1; 16]), serial: &serial };
    assert!(matches!(ca.issue(&key, subject, 30, later), Err(CaError::Ended { .. })));
    let near = NOW.plus_seconds(729 * 86_400);
    let last = ca.issue(&key, subject, 30, near).expect("issued");
    assert_eq!(last.not_after, NOW.plus_seconds(730 * 86_400), "no leaf outlives its issuer");
    let path = folder.path().join(ISSUING_KEY);
    let other = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key").serialize_pem();
    std::fs::write(&path, other).expect("replaced");
    assert!(matches!(load(folder.path()), Err(CaError::Mismatch { .. })));
    std::fs::write(&path, "nonsense").expect("replaced");
    assert!(matches!(load(folder.path()), Err(CaError::Key(KeyError::Pem(_)))));
    std::fs::remove_file(&path).expect("removed");
    assert!(matches!(load(folder.path()), Err(CaError::Key(KeyError::File(_)))));
}

#[test]
fn a_peers_key_verifies_its_own_signatures_alone() {
    // Goal: receipts. Method: sign with the enrolled key and with another one.
    let (_folder, ca) = authority();
    let (key, der) = csr(&params("SN-0001"));
    let peer = PeerLeaf::of(&issued(&ca, &der).expect("issued").der).expect("a P-256 leaf");
    let (other, _) = csr(&params("SN-0001"));
    let sign = |key: &KeyPair| rcgen::SigningKey::sign(key, b"receipt").expect("signed");
    assert!(peer.verifies(b"receipt", &sign(&key)));
    assert!(!peer.verifies(b"receipt", &sign(&other)));
    assert!(!peer.verifies(b"receipT", &sign(&key)));
}

proptest! {
    #[test]
    fn any_bytes_are_a_request_or_refused_without_a_panic(bytes: Vec<u8>) {
        let _ = Request::parse(&bytes);
    }

    #[test]
    fn a_damaged_request_never_passes_with_another_key_or_serial(at in 0_usize..400, mask in 1_u8..) {
        // Goal: the proof covers what is taken. Method: flip bits anywhere in one good request.
        static GOOD: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let good = GOOD.get_or_init(|| csr(&params("SN-0001")).1);
        let mut bad = good.clone();
        let at = at % bad.len();
        bad[at] ^= mask;
        if let Ok(passed) = Request::parse(&bad) {
            prop_assert_eq!(passed, Request::parse(good).expect("good"));
        }
    }
}
