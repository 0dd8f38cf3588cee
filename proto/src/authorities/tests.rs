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

#[test]
fn a_device_that_comes_after_the_change_begins_with_the_newest_bundle() {
    // Goal: the next change reaches devices that never saw the last one. Method: the pin of the new root alone, with
    // the bundles of a change it never saw; then what it asks for.
    let late = Believed { version: 0, pins: vec![pin(2)] };
    let both = late.step(&bundle(1, &[1, 2], &[1]), &[], &Toy).map(|_| ());
    assert_eq!(both, Err(AuthoritiesError::Unsigned), "the old root means nothing to it");
    let (begun, _) = late.step(&bundle(2, &[2], &[1, 2]), &[], &Toy).expect("signed by its own root");
    assert_eq!(begun, Believed { version: 2, pins: vec![pin(2)] });
    let none = late.step(&bundle(0, &[2], &[2]), &[], &Toy).map(|_| ());
    assert_eq!(none, Err(AuthoritiesError::Version { found: 0, wanted: 1 }));
    assert_eq!(
        (late.wants(0), late.wants(4), begun.wants(4), begun.wants(2)),
        (None, Some(4), Some(3), None)
    );
    assert_eq!(begun.wants(1), None, "a server that was restored has nothing new");
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
