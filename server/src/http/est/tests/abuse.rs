//! Tests of what an enemy sends: requests that are no requests, wishes that nobody may have, tokens by the thousand.

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use x509_parser::prelude::{GeneralName, ParsedExtension};

use super::*;

/// `openssl req -new -subj /CN=A` with an RSA key of 1024 bits.
const RSA_1024: &str = concat!(
    "MIIBSzCBtQIBADAMMQowCAYDVQQDDAFBMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDxLXWT7dgVd8p4DO8GaXFzV66+BSCE2VhR",
    "laAjm+WaBZj5D66DPhIssiujkZHoF+otI+Gp9hMI3dUJVjmDZpTyFNMVjVL1w8w/vsB+dupUuCRSoir23sCV0kw6nYuVj5G39s2aESjM",
    "keN6dTnzR1BFQxcRKqG1Ktj1k0FZyDCCDwIDAQABoAAwDQYJKoZIhvcNAQELBQADgYEASBqxpq6a47YQSx4+2jW3tGX4XvwbMPRsSugV",
    "U5Wy8a0/PnyiArFTL6mk3Xb+RBsdSNBq0urUEUMfNHZNmkQ/yO3MpOmUqAarDjhhtX4clbvrfLsDApF7Z0w6+Wg4kWCxZjnWgk/NEJsv",
    "Xhvhnqoh3mP/dsGDXowxuC30YHo2Unw="
);
/// Published with the source.
const EXAMPLE_KEY: &str = include_str!("../../../../../keys-example/director-root-1.pem");

/// The request with the first length written in a longer way.
fn longer(csr: &str) -> String {
    let der = STANDARD.decode(csr).expect("base64");
    let (head, rest) = match der[1] {
        0x81 => (vec![0x30, 0x82, 0, der[2]], &der[3..]),
        0x82 => (vec![0x30, 0x83, 0, der[2], der[3]], &der[4..]),
        short => (vec![0x30, 0x81, short], &der[2..]),
    };
    STANDARD.encode([&head[..], rest].concat())
}

/// The request with a key that is no point of the curve.
fn off_the_curve(csr: &str, key: &KeyPair) -> String {
    let mut der = STANDARD.decode(csr).expect("base64");
    let point = rcgen::PublicKeyData::der_bytes(key);
    let at = der.windows(point.len()).position(|window| window == point).expect("in there");
    der[at + point.len() - 1] ^= 1;
    STANDARD.encode(der)
}

#[tokio::test]
async fn every_abuse_of_a_request_is_a_client_error_by_name() {
    // Goal: E6 and E14. Method: one abuse a request with a good token, which is unspent at the end.
    let bench = Bench::start(&[]).await;
    let token = bench.token("A").await;
    let key = device_key();
    let good = csr("A", &key);
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key");
    let example = KeyPair::from_pem(EXAMPLE_KEY).expect("a key");
    let twice = [STANDARD.decode(&good).expect("base64"), STANDARD.decode(&good).expect("base64")].concat();
    let cases = [
        (RSA_1024.to_owned(), 400, "unsupported_key"),
        (csr("A", &p384), 400, "unsupported_key"),
        (csr("A", &example), 400, "example_key"),
        (off_the_curve(&good, &key), 400, "malformed_csr"),
        (longer(&good), 400, "malformed_csr"),
        (STANDARD.encode(twice), 400, "malformed_csr"),
        (String::new(), 400, "malformed_csr"),
        ("A".repeat(1024 * 1024), 413, "too_large"),
    ];
    for (body, status, code) in cases {
        let reply = bench.simpleenroll(&body, Some(&token.secret), &[]).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{body:.60}");
    }
    assert_eq!(bench.simpleenroll(&good, Some(&token.secret), &[]).await.status, 200);
}

#[tokio::test]
async fn no_wish_of_a_request_is_granted_on_any_way_in() {
    // Goal: E6, never a CA and never a foreign name. Method: a greedy request by token and by renewal.
    let bench = Bench::start(&[]).await;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "A");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::Any];
    let name = "urn:uuid:00000000-0000-4000-8000-000000000000".try_into().expect("a name");
    params.subject_alt_names =
        vec![SanType::URI(name), SanType::DnsName("localhost".try_into().expect("a name"))];
    let greedy = |key: &KeyPair| STANDARD.encode(params.serialize_request(key).expect("a request").der());
    let token = bench.token("A").await;
    let key = device_key();
    let first = bench.simpleenroll(&greedy(&key), Some(&token.secret), &[]).await.leaf();
    let id = bench.app().fleet.by_leaf(&Sha256::of(&first)).expect("in the table").id();
    let device = crate::testing::Enrolled { id, hardware: hardware("A"), leaf: first.clone(), key };
    let next =
        ask(&bench, bench.client(Some(&device)), "simplereenroll", &greedy(&device_key())).await.leaf();
    for leaf in [first, next] {
        let (_, read) = x509_parser::parse_x509_certificate(&leaf).expect("a certificate");
        assert!(!read.is_ca());
        let names: Vec<String> = read
            .extensions()
            .iter()
            .filter_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
                _ => None,
            })
            .flatten()
            .map(|name| match name {
                GeneralName::URI(uri) => (*uri).to_owned(),
                other => format!("{other}"),
            })
            .collect();
        assert_eq!(names, [format!("urn:uuid:{id}")]);
    }
}

#[tokio::test]
async fn two_thousand_wrong_tokens_open_nothing_and_fill_nothing() {
    // Goal: brute force. Method: guesses over one connection; the journal gets a sum now and then. Ten thousand, at a server
    // process, are e5_ten_thousand_guessed_tokens_are_refused_slowed_down_and_told_in_one_line.
    let bench = Bench::start(&["enrolment.refusals=200"]).await;
    let body = csr("A", &device_key());
    let mut wire = bench.enrolment().await;
    let (mut refused, mut slowed) = (0, 0);
    for guess in 0..2000 {
        let basic = format!("Basic {}", STANDARD.encode(format!("x:a-guess-of-some-length-{guess}")));
        let headers = [("Authorization", basic.as_str())];
        // Who is slowed down is not read; without a body the connection lives.
        let body = if slowed == 0 { body.as_bytes() } else { b"" };
        match wire.ask("POST", &format!("{EST}simpleenroll"), &headers, body).await.status {
            401 => refused += 1,
            429 => {
                slowed += 1;
                if slowed == 1 {
                    wire = bench.enrolment().await;
                }
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!((refused, slowed), (200, 1800));
    bench.app().write_guesses().await.expect("written");
    // One sum for each half minute that the test takes.
    let journal = bench.journal().await;
    assert!(
        (1..=20).contains(&journal.len()) && journal.iter().all(|act| act == "enrol.guess"),
        "{journal:?}"
    );
}
