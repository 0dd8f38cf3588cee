//! The two keys of the director repository that the server holds: snapshot and timestamp (decision 0002).
//!
//! They re-sign versions so that a device can tell fresh metadata from stale, and can choose nothing: what may be
//! installed is signed by people elsewhere. No other signing key is ever on the server. Kept as PKCS#8 version 1,
//! which OpenSSL reads too. Read next: `repositories`, which signs with them.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_proto::canonical::Value;
use cordon_proto::update::deny::is_example_key;
use cordon_proto::update::key::PublicKey;
use ed25519_dalek::{Signer, SigningKey};
use zeroize::Zeroizing;

use crate::chance;
use crate::example;
use crate::files::{self, FileError};

/// File of the snapshot key.
pub const SNAPSHOT_KEY: &str = "snapshot.key.pem";
/// File of the timestamp key.
pub const TIMESTAMP_KEY: &str = "timestamp.key.pem";

/// PKCS#8 version 1 of an Ed25519 key, up to its 32 bytes (RFC 8410 section 7).
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const PEM_HEAD: &str = "-----BEGIN PRIVATE KEY-----\n";
const PEM_FOOT: &str = "\n-----END PRIVATE KEY-----\n";

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OnlineError {
    /// A file.
    #[error(
        "the director's online keys are incomplete: `cordon-server init` makes them, a backup restores them"
    )]
    File(#[from] FileError),
    /// Not a key.
    #[error("{0} is not an Ed25519 key in PKCS#8 PEM: restore it from a backup")]
    Form(&'static str),
}

/// Both keys.
pub struct OnlineKeys {
    snapshot: SigningKey,
    timestamp: SigningKey,
}

/// One of the two roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnlineRole {
    /// Signs which versions belong together.
    Snapshot,
    /// Signs which snapshot is the newest.
    Timestamp,
}

impl OnlineKeys {
    /// New keys.
    #[must_use]
    pub fn make() -> Self {
        let key = || SigningKey::from_bytes(&Zeroizing::new(chance::random()));
        Self { snapshot: key(), timestamp: key() }
    }

    /// The throw-away keys of `keys-example`: known to everybody, for a loopback demo only.
    #[must_use]
    pub fn example() -> Self {
        Self { snapshot: example::key("director-snapshot"), timestamp: example::key("director-timestamp") }
    }

    /// Reads both keys; each must be readable by its owner alone.
    pub fn load(folder: &Path) -> Result<Self, OnlineError> {
        Ok(Self { snapshot: read(folder, SNAPSHOT_KEY)?, timestamp: read(folder, TIMESTAMP_KEY)? })
    }

    /// Writes both keys into `folder`; neither may be there already.
    pub fn write(&self, folder: &Path) -> Result<(), FileError> {
        files::create_folder(folder)?;
        for (file, key) in [(SNAPSHOT_KEY, &self.snapshot), (TIMESTAMP_KEY, &self.timestamp)] {
            files::create_secret(&folder.join(file), to_pem(key).as_bytes())?;
        }
        Ok(())
    }

    /// The public half of a key.
    #[must_use]
    pub fn public(&self, role: OnlineRole) -> PublicKey {
        PublicKey::ed25519(self.key(role).verifying_key().to_bytes())
    }

    /// Signs for a role.
    #[must_use]
    pub fn sign(&self, role: OnlineRole, message: &[u8]) -> Vec<u8> {
        self.key(role).sign(message).to_bytes().into()
    }

    /// What `cordonctl repo init --director` needs: `{"snapshot":KEY,"timestamp":KEY}`, keys as TUF writes them.
    #[must_use]
    pub fn document(&self) -> String {
        let key = |role| self.public(role).to_value();
        let document = Value::object([
            ("snapshot", key(OnlineRole::Snapshot)),
            ("timestamp", key(OnlineRole::Timestamp)),
        ]);
        String::from_utf8_lossy(&document.canonical()).into_owned()
    }

    /// Whether either key is published with the source.
    #[must_use]
    pub fn are_examples(&self) -> bool {
        [OnlineRole::Snapshot, OnlineRole::Timestamp]
            .into_iter()
            .any(|role| is_example_key(&self.public(role)))
    }

    fn key(&self, role: OnlineRole) -> &SigningKey {
        match role {
            OnlineRole::Snapshot => &self.snapshot,
            OnlineRole::Timestamp => &self.timestamp,
        }
    }
}

/// A key in the form that OpenSSL reads.
pub(crate) fn to_pem(key: &SigningKey) -> Zeroizing<String> {
    let mut der = Zeroizing::new(PKCS8_HEAD.to_vec());
    der.extend_from_slice(Zeroizing::new(key.to_bytes()).as_slice());
    Zeroizing::new(format!("{PEM_HEAD}{}{PEM_FOOT}", Zeroizing::new(STANDARD.encode(&*der)).as_str()))
}

fn read(folder: &Path, file: &'static str) -> Result<SigningKey, OnlineError> {
    let bytes = files::read_secret(&folder.join(file))?;
    from_pem(&bytes).ok_or(OnlineError::Form(file))
}

/// Reads [`to_pem`].
pub(crate) fn from_pem(bytes: &[u8]) -> Option<SigningKey> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let body = text.strip_prefix(PEM_HEAD.trim())?.strip_suffix(PEM_FOOT.trim())?;
    let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    let der = Zeroizing::new(STANDARD.decode(body.as_bytes()).ok()?);
    let seed: &[u8; 32] = der.strip_prefix(&PKCS8_HEAD)?.try_into().ok()?;
    Some(SigningKey::from_bytes(seed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_proto::update::key::{Ed25519Strict, Verifier};
    use proptest::prelude::*;

    #[test]
    fn keys_are_written_read_back_and_sign() {
        // Goal: the two roles survive a restart. Method: write, load, sign, verify with the other role's key too.
        let folder = tempfile::tempdir().expect("a folder");
        let made = OnlineKeys::make();
        made.write(folder.path()).expect("written");
        let keys = OnlineKeys::load(folder.path()).expect("loads");
        assert_eq!(keys.document(), made.document());
        let signature = keys.sign(OnlineRole::Snapshot, b"versions");
        assert!(Ed25519Strict.verify(&made.public(OnlineRole::Snapshot), b"versions", &signature));
        assert!(!Ed25519Strict.verify(&made.public(OnlineRole::Timestamp), b"versions", &signature));
        assert!(OnlineKeys::make().write(folder.path()).is_err(), "never over other keys");
        std::fs::write(folder.path().join(TIMESTAMP_KEY), "nonsense").expect("damaged");
        assert!(matches!(OnlineKeys::load(folder.path()), Err(OnlineError::Form(TIMESTAMP_KEY))));
    }

    #[test]
    fn the_public_document_is_what_tuf_writes() {
        // Goal: a form that signing tools take. Method: the golden text of a fixed key.
        let key = || SigningKey::from_bytes(&[7; 32]);
        let keys = OnlineKeys { snapshot: key(), timestamp: key() };
        let one = concat!(
            r#"{"keytype":"ed25519","keyval":{"public":"ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c"},"#,
            r#""scheme":"ed25519"}"#
        );
        assert_eq!(keys.document(), format!(r#"{{"snapshot":{one},"timestamp":{one}}}"#));
    }

    #[test]
    fn example_keys_are_known_and_own_keys_are_not() {
        // Goal: the deny list knows what this file makes by the rule. Method: both kinds, and one of each.
        assert!(OnlineKeys::example().are_examples());
        assert!(!OnlineKeys::make().are_examples());
        let mixed = OnlineKeys { snapshot: OnlineKeys::make().snapshot, ..OnlineKeys::example() };
        assert!(mixed.are_examples(), "one is enough");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_key_or_refused_without_a_panic(bytes: Vec<u8>) {
            let _ = from_pem(&bytes);
        }
    }
}
