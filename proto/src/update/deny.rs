//! The keys of `keys-example/`: known to the whole world, therefore refused everywhere but in a loopback demo.
//!
//! Their private halves lie in the source tree, so whatever they sign proves nothing. Every program that loads a key
//! or trusts a root asks here first. The list must be changed only together with the folder; a test of `cordonctl`
//! compares them. Read next: `keys-example/README.md`.

use super::key::{Authority, PublicKey};
use super::metadata::{Root, Targets};
use crate::ids::Sha256;
use alloc::string::ToString;

/// Name and SHA-256 of the bytes of each example key's public half.
pub const EXAMPLE_KEYS: [(&str, &str); 22] = [
    ("director-root-1", "732e13d9eae66621c0cf656d85defe7603b69487990b188e913788165e8ce025"),
    ("director-root-2", "cba54159e4b49e8f7ca045afdcb70011d9bb91a3fa318421d2a5771756f72fd2"),
    ("director-root-3", "8386b99b1497af21203c2b227bcc4baaa715143289a31abbb79c4181fb71e759"),
    ("director-targets-1", "d52b9b2d7c072e4e438afdf6fa83447927f3c0304fb082940f35c85633fef3ed"),
    ("director-targets-2", "b6fff51f7ecd9f097beca39983e37fdb90959a7dd2da112639c88f8278fe7483"),
    ("director-targets-3", "826208b6c57b1c242f4ed22e1b71ff39cd98c9212ed5e71b33cf898aad8b7088"),
    ("director-orders-1", "77a6c92edae00f0b660dbf130a72030511e7af7429bd813b465390abfc5da58a"),
    ("director-orders-2", "c96d4baf93226b8f6441bb6f197cd27fb4ba8407240b2078dc0bc5a748e8d9a9"),
    ("director-content-1", "1ca89e122e39719a74133403f7f723167ad4f31a1ab5b487307f8b879f90405c"),
    ("director-content-2", "91c68b407b98b9b78c9ca942d1b1cdb9e8f7ac00229cf9ee160347fac227c076"),
    ("director-snapshot", "6d0db49b96536444706ab50507b85cf6468558d5139924652e346aba27e605a7"),
    ("director-timestamp", "af91066b3b4c0a404f2bc9cb0350f286f870f8f7a7d3ad645c403dc70fb53e56"),
    ("image-root-1", "4e78d1c8577acb483d70d670a64b28bc9bba8087e036c47c6eecb5cdc8fb89c5"),
    ("image-root-2", "0d9542ecbd90618a9c76ffd60ee156fe82e7e47bf44ae2da5d0911ad1612f350"),
    ("image-root-3", "6922b6de9d757d73132ebbec45633deb6de3da0948f530f0ca68dfff9e01064e"),
    ("image-targets-1", "f8e54583a40f635978bfc2036fcb0fb380de70150fc8987b00c0d54eeccace2f"),
    ("image-targets-2", "a036fc45c35f6f71b682874a2b13eae2e34fa777729090b9cf29a33c3d504fbd"),
    ("image-targets-3", "881a442cd9d2eba5d967bfbf48c4798e4aa700cbb376013aa56c6f2f2fe18d71"),
    ("image-model-1", "513663c97f4a4cf429c6bbb1bdb71caed39a6d5d10f8a4109afa8f9d3fe015cc"),
    ("image-model-2", "579c7616ca4d26bd20b175c53642fb48cce6f746d995f3b1801e184070cdc186"),
    ("image-snapshot", "fbdb98a31bba5de2301dcb04f1b0f9ae7426acb91fd433e38b61b110868f5353"),
    ("image-timestamp", "e4832e2674cb345584bf59b96e3cb7ecef0648ebdfc6088191814a898c07bc41"),
];

/// Whether the private half of this key is published with the source.
#[must_use]
pub fn is_example_key(key: &PublicKey) -> bool {
    is_example_bytes(&key.bytes)
}

/// The same for the bytes of a public key, wherever they stand.
#[must_use]
pub fn is_example_bytes(public: &[u8]) -> bool {
    let digest = Sha256::of(public).to_string();
    EXAMPLE_KEYS.iter().any(|(_, listed)| *listed == digest)
}

/// Whether a root gives any role to an example key.
#[must_use]
pub fn is_example_root(root: &Root) -> bool {
    let given = |authority: &Authority| authority.keys().values().any(is_example_key);
    [&root.root, &root.timestamp, &root.snapshot, &root.targets].into_iter().any(given)
}

/// Whether a targets role delegates anything to an example key.
#[must_use]
pub fn delegates_to_example(targets: &Targets) -> bool {
    targets.delegations.roles.iter().any(|role| role.authority.keys().values().any(is_example_key))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Repository, authority, public};
    use super::*;
    use alloc::format;
    use ed25519_dalek::SigningKey;

    fn example(name: &str) -> PublicKey {
        let seed = Sha256::of(format!("cordon example key: {name}").as_bytes());
        PublicKey::ed25519(SigningKey::from_bytes(&seed.0).verifying_key().to_bytes())
    }

    #[test]
    fn every_example_key_is_on_the_list_and_no_other_key_is() {
        // Goal: the list is the folder's keys. Method: the keys are made anew from the rule in keys-example/README.md.
        for (name, _) in EXAMPLE_KEYS {
            assert!(is_example_key(&example(name)), "{name}");
        }
        assert!(!is_example_key(&public(1)));
        assert!(!is_example_key(&example("director-root-4")));
    }

    #[test]
    fn a_root_with_one_example_key_is_an_example_root() {
        // Goal: one known key in any role is enough to refuse. Method: an own root, then one role given away.
        let mut root = Repository::new().root;
        assert!(!is_example_root(&root));
        let keys = [public(1), public(2), example("image-timestamp")];
        root.timestamp = Authority::new(keys, 1).expect("reachable");
        assert!(is_example_root(&root));
        root.timestamp = authority(&[31], 1);
        root.root = Authority::new([example("director-root-2")], 1).expect("reachable");
        assert!(is_example_root(&root));
        let mut targets = Repository::new();
        targets.delegate("orders", 41, &["order/*"]);
        assert!(!delegates_to_example(&targets.targets));
        let [orders] = targets.targets.delegations.roles.as_mut_slice() else { panic!("one role") };
        orders.authority = Authority::new([public(41), example("director-orders-1")], 2).expect("reachable");
        assert!(delegates_to_example(&targets.targets));
    }
}
