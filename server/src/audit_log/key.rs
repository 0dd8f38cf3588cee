//! The key of the audit log: it signs heads and nothing else.
//!
//! It is the server's own, made by `init` beside the director's online keys and never one of them: whoever holds it can
//! sign a history, but not one that differs from a head that was kept elsewhere. Several servers of one store share it.
//! Read next: [`super`].

use std::path::Path;

use cordon_proto::audit::{Head, HeadError, SignedHead};
use cordon_proto::canonical::Value;
use cordon_proto::update::deny::is_example_key;
use cordon_proto::update::key::PublicKey;
use ed25519_dalek::{Signer, SigningKey};
use zeroize::Zeroizing;

use crate::chance;
use crate::files::{self, FileError};
use crate::online::{from_pem, to_pem};

/// File of the key, in the folder of the online keys.
pub const AUDIT_KEY: &str = "audit.key.pem";

/// Why the key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuditKeyError {
    /// The file.
    #[error("the key of the audit log cannot be used")]
    File(#[from] FileError),
    /// Not a key.
    #[error("{AUDIT_KEY} is not an Ed25519 key in PKCS#8 PEM: restore it from a backup")]
    Form,
}

/// The key.
#[derive(Clone)]
pub struct AuditKey(SigningKey);

impl AuditKey {
    /// A new key.
    #[must_use]
    pub fn make() -> Self {
        Self(SigningKey::from_bytes(&Zeroizing::new(chance::random())))
    }

    /// Reads the key, or makes one where there is none: a folder of an earlier version. Says whether it was made.
    pub fn load_or_make(folder: &Path) -> Result<(Self, bool), AuditKeyError> {
        let path = folder.join(AUDIT_KEY);
        if path.exists() {
            let bytes = files::read_secret(&path)?;
            return Ok((Self(from_pem(&bytes).ok_or(AuditKeyError::Form)?), false));
        }
        let made = Self::make();
        made.write(folder)?;
        Ok((made, true))
    }

    /// Writes the key into `folder`; there may be none yet.
    pub fn write(&self, folder: &Path) -> Result<(), FileError> {
        files::create_folder(folder)?;
        files::create_secret(&folder.join(AUDIT_KEY), to_pem(&self.0).as_bytes())
    }

    /// The name of the log: the public half.
    #[must_use]
    pub fn log(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The public half as a file for `cordonctl audit verify --key`.
    #[must_use]
    pub fn document(&self) -> String {
        let value: Value = PublicKey::ed25519(self.log()).to_value();
        String::from_utf8_lossy(&value.canonical()).into_owned()
    }

    /// Whether the key is published with the source.
    #[must_use]
    pub fn is_example(&self) -> bool {
        is_example_key(&PublicKey::ed25519(self.log()))
    }

    /// Signs a head of this log.
    pub fn sign(&self, head: Head) -> Result<SignedHead, HeadError> {
        SignedHead::new(head, self.0.sign(&head.signed_bytes()).to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_proto::time::Timestamp;

    #[test]
    fn the_key_is_made_once_read_back_and_signs_its_own_log_only() {
        // Goal: a folder of an earlier version gets a key, and keeps it. Method: load twice; sign; damage; another log.
        let folder = tempfile::tempdir().expect("a folder");
        let (made, new) = AuditKey::load_or_make(folder.path()).expect("made");
        assert!(new && !made.is_example());
        let (key, new) = AuditKey::load_or_make(folder.path()).expect("read");
        assert!(!new);
        assert_eq!(key.document(), made.document());
        let head = Head { log: key.log(), size: 1, root: [1; 32], at: Timestamp(1) };
        assert!(key.sign(head).is_ok());
        assert_eq!(key.sign(Head { log: AuditKey::make().log(), ..head }), Err(HeadError::Signature));
        assert!(AuditKey(crate::example::key("director-snapshot")).is_example());
        std::fs::write(folder.path().join(AUDIT_KEY), "nonsense").expect("damaged");
        assert!(matches!(AuditKey::load_or_make(folder.path()), Err(AuditKeyError::Form)));
    }
}
