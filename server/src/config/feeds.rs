//! The settings of feeds: whose signatures the owner wants on which.
//!
//! A feed without keys is taken as a plain file from whoever may change things here, and shown as plain. Read next:
//! `knowledge::import`.

use std::collections::BTreeMap;

use cordon_proto::canonical::Value;
use cordon_proto::ids::Name;
use cordon_proto::update::deny::is_example_key;
use cordon_proto::update::{PublicKey, Scheme};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// Whose signatures feeds need.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Feeds {
    /// For each feed by name the public keys of which one must have signed it: 64 hexadecimal digits for Ed25519, or PEM, as
    /// `cordonctl keys show` prints them.
    keys: BTreeMap<Name, Vec<Key>>,
}

#[derive(Clone, Debug)]
struct Key(PublicKey);

impl Feeds {
    /// The keys that the owner named for a feed; none: a plain file will do.
    #[must_use]
    pub fn keys_of(&self, feed: &Name) -> Vec<PublicKey> {
        self.keys.get(feed).into_iter().flatten().map(|key| key.0.clone()).collect()
    }

    /// A feed that would be believed by a key whose private half everybody has.
    #[must_use]
    pub fn signed_by_anybody(&self) -> Option<&Name> {
        let by_anybody = |keys: &Vec<Key>| keys.iter().any(|key| is_example_key(&key.0));
        self.keys.iter().find(|(_, keys)| by_anybody(keys)).map(|(feed, _)| feed)
    }

    /// The feeds that must be signed.
    pub fn signed(&self) -> impl Iterator<Item = &Name> {
        self.keys.keys()
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = read(text.trim());
        read.map(Self)
            .ok_or_else(|| Error::custom("no public key: 64 hexadecimal digits, or a PEM block PUBLIC KEY"))
    }
}

/// A key as people write it, by the reader of TUF's keys.
fn read(text: &str) -> Option<PublicKey> {
    let schemes: &[(&str, &str)] = if text.starts_with("-----BEGIN") {
        &[("ecdsa", "ecdsa-sha2-nistp256"), ("rsa", "rsassa-pss-sha256")]
    } else {
        &[("ed25519", "ed25519")]
    };
    let mut keys = schemes.iter().filter_map(|(kind, scheme)| {
        let value = Value::object([
            ("keytype", Value::from(*kind)),
            ("scheme", Value::from(*scheme)),
            ("keyval", Value::object([("public", Value::from(text))])),
        ]);
        PublicKey::read(&value.map().ok()?).ok()
    });
    keys.find(|key| key.scheme != Scheme::Unknown && key.material().is_some())
}
