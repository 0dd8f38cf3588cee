//! All signature schemes that an owner or a maker may sign with: Ed25519 strictly, P-256 and RSA-PSS by ring.
//!
//! The server must take exactly what devices take: where it took less, an order from a person's card would be refused
//! here and nowhere else. Whatever is malformed or unknown is no signature. Read next: `cordon_proto::update::key`.

use cordon_proto::update::{Ed25519Strict, PublicKey, Scheme, Verifier};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};

/// Verifies what people's keys sign, wherever these keys live.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerVerifier;

impl Verifier for ServerVerifier {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        match key.scheme {
            Scheme::Ed25519 => Ed25519Strict.verify(key, message, signature),
            Scheme::EcdsaP256 => by_ring(&ECDSA_P256_SHA256_ASN1, key, message, signature),
            Scheme::RsaPss => by_ring(&RSA_PSS_2048_8192_SHA256, key, message, signature),
            Scheme::Unknown => false,
        }
    }
}

fn by_ring(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &PublicKey,
    message: &[u8],
    signature: &[u8],
) -> bool {
    // The one spelling that devices read: a key in two spellings would count as two people.
    key.material()
        .is_some_and(|key| UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use cordon_proto::canonical::Value;
    use cordon_proto::ids::Text;
    use cordon_proto::time::Timestamp;
    use cordon_proto::update::author::{self, Signer, sign};
    use cordon_proto::update::delegation::{DelegatedRole, Delegations, Paths};
    use cordon_proto::update::metadata::{Root, Targets};
    use cordon_proto::update::{Authority, Fault, TrustError};
    use cordon_server_core::audit::Actor;
    use cordon_server_core::publish::Refused;
    use rcgen::{KeyPair, PublicKeyData, SigningKey};

    use super::*;
    use crate::online::{OnlineKeys, OnlineRole};
    use crate::people::Doer;
    use crate::repositories::{PublishError, Repositories};
    use crate::store::memory::Memory;

    const NOW: Timestamp = Timestamp(1_795_251_906);
    /// An RSA key of OpenSSL and its signatures over `signed`, with the new padding and with the old one.
    const RSA: &str = include_str!("../../proto/golden/update/rsa-pss.pub.pem");
    const PSS: &str = include_str!("../../proto/golden/update/rsa-pss.sig.b64");
    const PKCS1: &str = include_str!("../../proto/golden/update/rsa-pkcs1.sig.b64");

    fn bytes(text: &str) -> Vec<u8> {
        let lines = text.lines().filter(|line| !line.starts_with('-'));
        STANDARD.decode(lines.collect::<String>()).expect("is base64")
    }

    /// A P-256 key, as a card holds one.
    struct Card(KeyPair);

    impl Card {
        fn new() -> Self {
            Self(KeyPair::generate().expect("a key"))
        }

        fn public(&self) -> PublicKey {
            PublicKey { scheme: Scheme::EcdsaP256, bytes: self.0.subject_public_key_info() }
        }

        fn authority(&self) -> Authority {
            Authority::new([self.public()], 1).expect("a reachable threshold")
        }

        fn signed(&self, value: &Value) -> Vec<u8> {
            let make = |message: &[u8]| self.0.sign(message).expect("signs");
            sign(value, &[Signer { key: self.public().id(), sign: &make }])
        }
    }

    fn targets(version: u64, roles: Vec<DelegatedRole>) -> Value {
        let expires = NOW.plus_seconds(86_400);
        author::targets(&Targets {
            version,
            expires,
            targets: BTreeMap::new(),
            delegations: Delegations { roles },
        })
    }

    #[test]
    fn the_server_counts_the_schemes_that_devices_count() {
        // Goal: no scheme is refused here alone, none taken here alone. Method: a fresh P-256 key and an RSA key of
        // OpenSSL, right and flipped, the old padding, each under another scheme's name.
        let card = Card::new();
        let (key, signature) = (card.public(), card.0.sign(b"signed").expect("signs"));
        assert!(ServerVerifier.verify(&key, b"signed", &signature));
        assert!(!ServerVerifier.verify(&key, b"signeD", &signature));
        for scheme in [Scheme::RsaPss, Scheme::Ed25519, Scheme::Unknown] {
            assert!(!ServerVerifier.verify(&PublicKey { scheme, ..key.clone() }, b"signed", &signature));
        }
        let rsa = PublicKey { scheme: Scheme::RsaPss, bytes: bytes(RSA) };
        assert!(ServerVerifier.verify(&rsa, b"signed", &bytes(PSS)));
        assert!(!ServerVerifier.verify(&rsa, b"signed", &bytes(PKCS1)));
        assert!(!ServerVerifier.verify(&rsa, b"signeD", &bytes(PSS)));
    }

    #[tokio::test]
    async fn documents_signed_by_a_card_are_published_and_a_strangers_are_not() {
        // Goal: an owner may sign on PIV and PKCS#11 keys. Method: root, targets and orders by P-256 keys; then orders by
        // a card that nobody named.
        let online = Arc::new(OnlineKeys::make());
        let repositories = Repositories::new(Arc::new(Memory::new()), Arc::clone(&online));
        let (root, people, stranger) = (Card::new(), Card::new(), Card::new());
        let one = |role| Authority::new([online.public(role)], 1).expect("a reachable threshold");
        let value = author::root(&Root {
            version: 1,
            expires: NOW.plus_seconds(86_400),
            consistent_snapshot: true,
            root: root.authority(),
            timestamp: one(OnlineRole::Timestamp),
            snapshot: one(OnlineRole::Snapshot),
            targets: root.authority(),
        });
        let orders = DelegatedRole {
            name: "orders".to_owned(),
            authority: people.authority(),
            paths: Paths::Patterns(vec!["order/*".to_owned()]),
            terminating: true,
        };
        let actor = Actor::Person(Text::lossy("ines"));
        let publish = async |file: &str, bytes: Vec<u8>| {
            repositories.publish_director(file, &bytes, Doer { actor: &actor, now: NOW }).await
        };
        publish("1.root.json", root.signed(&value)).await.expect("the root is taken in");
        publish("1.targets.json", root.signed(&targets(1, vec![orders]))).await.expect("taken in");
        let forged = publish("1.orders.json", stranger.signed(&targets(1, Vec::new()))).await;
        assert!(matches!(
            forged,
            Err(PublishError::Refused(Refused::Trust(TrustError { fault: Fault::Threshold { .. }, .. })))
        ));
        publish("1.orders.json", people.signed(&targets(1, Vec::new()))).await.expect("orders are taken in");
    }
}
