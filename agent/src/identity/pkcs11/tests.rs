//! Tests of what is read from a token and made of it, without one. Tokens themselves are in the end-to-end tests.

use proptest::prelude::*;

use super::*;

#[test]
fn a_signature_of_two_numbers_becomes_what_a_verifier_takes() {
    // Goal: ASN.1 of raw numbers, whatever their first bits. Method: ring signs both ways many times; each raw
    // signature, rewritten here, must be taken by the verifier of the ASN.1 form.
    use ring::rand::SystemRandom;
    use ring::signature as ec;
    let random = SystemRandom::new();
    let pkcs8 =
        ec::EcdsaKeyPair::generate_pkcs8(&ec::ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
    let fixed = &ec::ECDSA_P256_SHA256_FIXED_SIGNING;
    let key = ec::EcdsaKeyPair::from_pkcs8(fixed, pkcs8.as_ref(), &random).expect("reads");
    let point = ec::KeyPair::public_key(&key).as_ref();
    let verifier = ec::UnparsedPublicKey::new(&ec::ECDSA_P256_SHA256_ASN1, point);
    for round in 0..600_u32 {
        let message = round.to_be_bytes();
        let numbers = key.sign(&random, &message).expect("signs");
        let rewritten = signature(numbers.as_ref()).expect("has two numbers");
        assert!(verifier.verify(&message, &rewritten).is_ok(), "{rewritten:02x?}");
    }
    assert_eq!((signature(&[1; 63]), signature(&[1; 65]), signature(&[])), (None, None, None));
    assert_eq!(spki_of(point).map(|spki| spki.len()), Some(91));
    assert_eq!(spki_of(&point[1..]), None);
}

#[test]
fn a_point_is_found_in_both_forms_and_names_are_only_ours() {
    // Goal: tokens that wrap the point and tokens that do not. Method: both; then names that lead elsewhere.
    let point = [&[4_u8], [7; 64].as_slice()].concat();
    let wrapped = [&[4_u8, 65], point.as_slice()].concat();
    assert_eq!((uncompressed(&point), uncompressed(&wrapped)), (point.as_slice(), point.as_slice()));
    assert!(plain("cordon-0a1b2c3d-0011223344556677").is_ok());
    for strange in ["", "devkey", "cordon-a b", &format!("cordon-{}", "x".repeat(60))] {
        assert!(matches!(plain(strange), Err(KeyStoreError::Name)), "{strange}");
    }
}

proptest! {
    #[test]
    fn any_two_numbers_become_shortest_positive_integers(numbers in proptest::collection::vec(any::<u8>(), 64)) {
        let whole = signature(&numbers).expect("has two numbers");
        let (body, rest) = der::element(&whole, SEQUENCE).expect("a sequence");
        prop_assert!(rest.is_empty());
        let (r, after) = der::element(body, INTEGER).expect("a number");
        let (s, rest) = der::element(after, INTEGER).expect("a number");
        prop_assert!(rest.is_empty());
        for (der, raw) in [(r, &numbers[..32]), (s, &numbers[32..])] {
            prop_assert!(der[0] < 0x80 && (der.len() == 1 || der[0] != 0 || der[1] >= 0x80));
            let digits = raw.iter().skip_while(|byte| **byte == 0);
            prop_assert!(der.iter().skip_while(|byte| **byte == 0).eq(digits));
        }
    }

    #[test]
    fn any_point_is_read_or_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = spki_of(uncompressed(&bytes));
    }
}
