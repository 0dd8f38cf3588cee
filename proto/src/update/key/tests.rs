//! Keys in their forms, ids, and the strictness of Ed25519.

use super::super::testing::{public, secret, sign_with};
use super::*;
use alloc::format;
use alloc::vec;
use ed25519_dalek::Signer as _;

/// A P-256 key and an RSA key of 2048 bits, made with `openssl genpkey` for this test.
const P256: &str = include_str!("../../../golden/update/p256.pub.pem");
const RSA: &str = include_str!("../../../golden/update/rsa.pub.pem");

fn read(text: &str) -> PublicKey {
    let value = Value::parse(text.as_bytes(), 4096).unwrap();
    PublicKey::read(&value.map().unwrap()).unwrap()
}

fn pem_object(scheme: &str, pem: &str) -> String {
    let public = Value::object([("public", Value::from(pem))]);
    let kind = if scheme == RSA_PSS { "rsa" } else { "ecdsa" };
    let object = Value::object([("keytype", kind.into()), ("scheme", scheme.into()), ("keyval", public)]);
    String::from_utf8(object.json()).unwrap()
}

#[test]
fn a_key_and_its_id_are_golden() {
    // Goal: ids equal those of other tools. Method: the example key of the TUF specification with its published id.
    let text = r#"{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"72378e5bc588793e58f81c8533da64a2e8f1565c1fcc7f253496394ffc52542c"}}"#;
    let key = read(text);
    assert_eq!(key.scheme, Scheme::Ed25519);
    assert_eq!(key.id().0, "1bf1c6e3cdd3d3a8420b19199e27511999850f4b376c4547b2f32fba7e80fca3");
    assert_eq!(read(&String::from_utf8(key.to_value().json()).unwrap()), key);
}

#[test]
fn pem_keys_are_read_and_written_alike() {
    // Goal: ECDSA and RSA keys of other tools. Method: keys of OpenSSL, byte for byte, and their inner material.
    for (scheme, text, wanted) in [(ECDSA_P256, P256, Scheme::EcdsaP256), (RSA_PSS, RSA, Scheme::RsaPss)] {
        let key = read(&pem_object(scheme, text));
        assert_eq!(key.scheme, wanted);
        let value = key.to_value();
        let written = value.map().unwrap().map("keyval").unwrap();
        assert_eq!(written.text("public").unwrap(), text);
        let material = key.material().expect("a key of this form");
        assert!(key.bytes.ends_with(material));
        assert_eq!(material.first(), Some(if wanted == Scheme::EcdsaP256 { &4 } else { &0x30 }));
        assert_eq!(read(&pem_object(scheme, text.trim_end())), key);
        assert!(!Ed25519Strict.verify(&key, b"", &[0; 64]));
    }
}

#[test]
fn keys_that_cannot_be_read_never_verify_and_spoil_nothing() {
    // Goal: one bad key does not make its document unreadable. Method: wrong lengths, schemes, PEM of many kinds.
    let ed25519 = |public: &str| {
        format!(r#"{{"keytype":"ed25519","scheme":"ed25519","keyval":{{"public":"{public}"}}}}"#)
    };
    let mut bad = vec![ed25519(""), ed25519("00"), ed25519(&"zz".repeat(32)), pem_object("ml-dsa-65", P256)];
    for text in
        ["", "-----BEGIN PUBLIC KEY-----", &P256.replace("PUBLIC", "PRIVATE"), &P256.replacen('\n', "\n*", 1)]
    {
        bad.push(pem_object(ECDSA_P256, text));
    }
    for text in bad {
        let key = read(&text);
        assert_eq!((key.scheme, key.material()), (Scheme::Unknown, None), "{text}");
        assert!(!Ed25519Strict.verify(&key, b"", &[0; 64]));
    }
    for text in [
        r#"{}"#,
        r#"{"keytype":"ed25519","scheme":"ed25519"}"#,
        r#"{"keytype":"ed25519","scheme":1,"keyval":{"public":""}}"#,
        r#"{"scheme":"ed25519","keyval":{"public":""}}"#,
    ] {
        assert!(
            PublicKey::read(&Value::parse(text.as_bytes(), 99).unwrap().map().unwrap()).is_err(),
            "{text}"
        );
    }
}

#[test]
fn a_key_whose_kind_and_scheme_do_not_belong_together_never_verifies() {
    // Goal: no key is read as another kind than it was made for, as other clients have it. Method: every pair.
    let kinds = ["ed25519", "ecdsa", ECDSA_P256, "rsa", "ed5519", ""];
    let digits = encode_hex(&public(1).bytes);
    for kind in kinds {
        for (scheme, text) in [(ED25519, digits.as_str()), (ECDSA_P256, P256), (RSA_PSS, RSA)] {
            let belongs = matches!(
                (kind, scheme),
                ("ed25519", ED25519) | ("ecdsa" | ECDSA_P256, ECDSA_P256) | ("rsa", RSA_PSS)
            );
            let text = Value::from(text).json();
            let text = str::from_utf8(&text).unwrap();
            let object =
                format!(r#"{{"keytype":"{kind}","scheme":"{scheme}","keyval":{{"public":{text}}}}}"#);
            assert_eq!(read(&object).scheme != Scheme::Unknown, belongs, "{kind} with {scheme}");
        }
    }
}

#[test]
fn small_order_keys_and_malleated_signatures_are_refused() {
    // Goal: one key, one message, one meaning. Method: the identity point as key signs everything under lenient
    // rules; S + L passes where S is not reduced.
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut anything = [0; 64];
    anything[0] = 1;
    assert!(!Ed25519Strict.verify(&PublicKey::ed25519(identity), b"any message", &anything));
    let message = b"message";
    let good = secret(1).sign(message).to_bytes();
    assert!(Ed25519Strict.verify(&public(1), message, &good));
    assert!(!Ed25519Strict.verify(&public(2), message, &good));
    assert!(!Ed25519Strict.verify(&public(1), b"messagE", &good));
    // L = 2^252 + 27742317777372353535851937790883648493, little endian (RFC 8032 section 5.1).
    let order = decode_hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut malleated = good;
    let mut carry = 0_u16;
    for (byte, add) in malleated[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
    assert_ne!(malleated, good);
    assert!(!Ed25519Strict.verify(&public(1), message, &malleated));
    for length in [0, 1, 63] {
        assert!(!Ed25519Strict.verify(&public(1), message, &good[..length]));
    }
}

#[test]
fn one_public_key_counts_once_under_however_many_ids() {
    // Goal: a threshold counts keys, not names. Method: three ids for one key.
    let declared: BTreeMap<KeyId, PublicKey> =
        ["a", "b", "c"].map(|id| (KeyId(id.into()), public(1))).into_iter().collect();
    let twice = Value::parse(br#"{"keyids":["a","b","a"],"threshold":2}"#, 99).unwrap();
    assert!(Authority::read(&twice.map().unwrap(), &declared).is_err(), "an id listed twice");
    let role = Value::parse(br#"{"keyids":["a","b","c","unknown"],"threshold":2}"#, 99).unwrap();
    let authority = Authority::read(&role.map().unwrap(), &declared).unwrap();
    let bytes = sign_with(1)(b"m");
    let signatures: Vec<Signature> =
        ["a", "b", "c"].map(|id| Signature { key: KeyId(id.into()), bytes: bytes.clone() }).into();
    assert_eq!(authority.count(b"m", &signatures, &Ed25519Strict), 1);
    let refused = authority.demand(b"m", &signatures, &Ed25519Strict);
    assert_eq!(refused, Err(Fault::Unreachable { keys: 1, needed: 2 }));
    assert_eq!(Authority::new([public(1), public(1)], 2), None);
    assert_eq!(Authority::new([public(1)], 0), None);
}
