//! Bundles of authorities over a toy cryptography: who may follow whom, and what never moves a device.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

/// A certificate is `[0x30, key]`; a signature over a message is `[key, hash of the message]`.
struct Toy;

fn certificate(key: u8) -> Vec<u8> {
    vec![0x30, key]
}

fn pin(key: u8) -> Sha256 {
    Sha256([key; 32])
}

fn signature(key: u8, message: &[u8]) -> Vec<u8> {
    [&[key][..], &Sha256::of(message).0].concat()
}

impl Certificates for Toy {
    fn key(&self, certificate: &[u8]) -> Option<Sha256> {
        match certificate {
            [0x30, key] => Some(pin(*key)),
            _ => None,
        }
    }

    fn verifies(&self, certificate: &[u8], message: &[u8], made: &[u8]) -> bool {
        matches!(certificate, [0x30, key] if made == signature(*key, message))
    }
}

fn bundle(version: u64, roots: &[u8], signers: &[u8]) -> Vec<u8> {
    let roots = roots.iter().map(|key| certificate(*key).into()).collect();
    let body = wire::write(&Authorities { version, issued: Timestamp(1_795_252_000), roots });
    let message = SignedAuthorities::message(&body);
    let signatures = signers
        .iter()
        .map(|key| RootSignature { key: pin(*key), signature: signature(*key, &message).into() })
        .collect();
    wire::write(&SignedAuthorities { body: body.into(), signatures })
}

fn start() -> Believed {
    Believed { version: 0, pins: vec![pin(1)] }
}

#[test]
fn a_root_is_replaced_in_two_steps_and_a_device_that_slept_catches_up() {
    // Goal: nobody is stranded. Method: both roots, then the new one alone, one after the other.
    let both = bundle(1, &[1, 2], &[1]);
    let alone = bundle(2, &[2], &[1]);
    let (middle, roots) = start().step(&both, &[], &Toy).expect("signed by the old root");
    assert_eq!((middle.version, middle.pins.clone()), (1, vec![pin(1), pin(2)]));
    assert_eq!(roots, [certificate(1), certificate(2)]);
    let (end, _) = middle.step(&alone, &[&certificate(1)], &Toy).expect("the old root is known from before");
    assert_eq!(end, Believed { version: 2, pins: vec![pin(2)] });
    let third = bundle(3, &[2, 3], &[1, 2]);
    let skipped = middle.step(&third, &[&certificate(1)], &Toy).map(|(next, _)| next);
    assert_eq!(skipped, Err(AuthoritiesError::Version { found: 3, wanted: 2 }));
}

/// Follows everything there is, and tells which versions were fetched.
fn follows(search: &mut Search, believed: &mut Believed, bundles: &[Vec<u8>], steps: usize) -> Vec<u64> {
    let newest = u64::try_from(bundles.len()).expect("few");
    let mut fetched = Vec::new();
    while let Some(number) = search.next(believed, newest).filter(|_| fetched.len() < steps) {
        fetched.push(number);
        let bytes = &bundles[usize::try_from(number).expect("small") - 1];
        match search.follow(believed, (number, bytes), &[], &Toy) {
            Ok(Followed::Believed(next, _)) => *believed = next,
            Ok(Followed::Before) => {}
            Err(_) => break,
        }
    }
    fetched
}

#[test]
fn a_device_that_comes_after_the_change_begins_with_the_first_bundle_that_its_pin_has_signed() {
    // Goal: the next change reaches devices that never saw the last one, and none of them begins its search again each
    // time. Method: the pin of a later root, bundles of changes it never saw, two bundles at a time.
    let mut bundles: Vec<Vec<u8>> = (1..=5).map(|version| bundle(version, &[1], &[1])).collect();
    let (mut late, mut search) = (Believed { version: 0, pins: vec![pin(2)] }, Search::default());
    assert_eq!(search.next(&late, 0), None);
    assert_eq!(follows(&mut search, &mut late, &bundles, 2), [1, 2]);
    assert_eq!(follows(&mut search, &mut late, &bundles, 9), [3, 4, 5]);
    assert_eq!((late.version, search.next(&late, 5)), (0, None), "nothing is fetched twice");
    bundles.extend([bundle(6, &[1, 2], &[1]), bundle(7, &[2], &[1, 2]), bundle(8, &[2, 3], &[2])]);
    assert_eq!(follows(&mut search, &mut late, &bundles, 9), [6, 7, 8]);
    assert_eq!(late, Believed { version: 8, pins: vec![pin(2), pin(3)] });
    assert_eq!(
        (search.next(&late, 8), search.next(&late, 1)),
        (None, None),
        "a restored server has nothing new"
    );
    let mut fresh = Believed { version: 0, pins: vec![pin(2)] };
    let borrowed = Search::default().follow(&fresh, (3, &bundles[6]), &[], &Toy);
    assert_eq!(
        borrowed,
        Err(AuthoritiesError::Version { found: 7, wanted: 3 }),
        "a bundle under another's number"
    );
    assert_eq!(follows(&mut Search::default(), &mut fresh, &[bundle(9, &[2], &[2])], 9), [1]);
    assert_eq!(fresh.version, 0);
}

#[test]
fn a_stranger_moves_nothing_and_nothing_runs_backwards() {
    // Goal: a captured server cannot bring in a root. Method: foreign signers, borrowed names, old versions.
    let stranger = bundle(1, &[9], &[9]);
    assert_eq!(start().step(&stranger, &[], &Toy).map(|_| ()), Err(AuthoritiesError::Unsigned));
    let unsigned = bundle(1, &[1, 9], &[]);
    assert_eq!(
        start().step(&unsigned, &[&certificate(1)], &Toy).map(|_| ()),
        Err(AuthoritiesError::Unsigned)
    );
    let body =
        wire::write(&Authorities { version: 1, issued: Timestamp(1), roots: vec![certificate(9).into()] });
    let borrowed = RootSignature { key: pin(1), signature: signature(9, &body).into() };
    let bytes = wire::write(&SignedAuthorities { body: body.into(), signatures: vec![borrowed] });
    let known: &[&[u8]] = &[&certificate(1)];
    assert_eq!(start().step(&bytes, known, &Toy).map(|_| ()), Err(AuthoritiesError::Unsigned));
    let late = Believed { version: 5, pins: vec![pin(1)] };
    let old = late.step(&bundle(1, &[1, 2], &[1]), &[], &Toy).map(|_| ());
    assert_eq!(old, Err(AuthoritiesError::Version { found: 1, wanted: 6 }));
}

#[test]
fn no_roots_too_many_or_no_certificates_are_malformed() {
    // Goal: a device never ends with nobody to believe. Method: the bounds.
    let none = bundle(1, &[], &[1]);
    let many = bundle(1, &[2; limits::AUTHORITIES + 1], &[1]);
    for bytes in [none, many, b"nonsense".to_vec()] {
        assert_eq!(start().step(&bytes, &[], &Toy).map(|_| ()), Err(AuthoritiesError::Malformed));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_a_panic_and_move_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(start().step(&bytes, &[&certificate(1)], &Toy).is_err());
    }

    #[test]
    fn a_flipped_byte_is_never_believed(position in 0_usize..120, flip in 1_u8..) {
        let mut bytes = bundle(1, &[1, 2], &[1]);
        let length = bytes.len();
        if let Some(byte) = bytes.get_mut(position % length) { *byte ^= flip; }
        if let Ok((next, _)) = start().step(&bytes, &[&certificate(1)], &Toy) {
            prop_assert_eq!(next.pins, vec![pin(1), pin(2)], "only a second signature's name may have changed");
        }
    }
}
