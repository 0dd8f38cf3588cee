//! The PIN that a token refused, remembered over restarts: an agent that starts again and again must not lock a token.
//!
//! A slow hash with a salt is kept, never the PIN; it tells nothing but whether a PIN is the one that was refused. It is
//! gone once a login has succeeded. Read next: [`super`] for the login.

use std::num::NonZeroU32;
use std::path::PathBuf;

use ring::pbkdf2::{self, PBKDF2_HMAC_SHA256};

use crate::files::{FileError, Folder};

/// The file's name in the identity's folder.
const FILE: &str = "pin-refused";
/// Bytes of the salt, in front of the hash.
const SALT_BYTES: usize = 16;
/// Bytes of the hash.
const HASH_BYTES: usize = 32;
/// Rounds of the hash: a person's four digits are not to be read out of it at once.
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).expect("is not zero");

/// The memory of one token's refusal.
pub(super) struct Refused {
    folder: Folder,
}

impl Refused {
    pub(super) fn new(folder: Folder) -> Self {
        Self { folder }
    }

    /// Where it stands; a person may remove it.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    /// Whether this very PIN was refused.
    pub(super) fn is(&self, pin: &[u8]) -> Result<bool, FileError> {
        let kept = self.folder.read(FILE, SALT_BYTES + HASH_BYTES)?.unwrap_or_default();
        let Some((salt, hash)) = kept.split_at_checked(SALT_BYTES) else { return Ok(false) };
        Ok(pbkdf2::verify(PBKDF2_HMAC_SHA256, ROUNDS, salt, pin, hash).is_ok())
    }

    /// This PIN was refused. Whether it is remembered.
    pub(super) fn note(&self, pin: &[u8]) -> bool {
        let (mut salt, mut hash) = ([0; SALT_BYTES], [0; HASH_BYTES]);
        // A kernel without chance costs the salt, not the memory.
        let _ = getrandom::fill(&mut salt);
        pbkdf2::derive(PBKDF2_HMAC_SHA256, ROUNDS, &salt, pin, &mut hash);
        let written = self.folder.write(FILE, &[salt.as_slice(), &hash].concat());
        if let Err(error) = &written {
            tracing::error!(%error, "it cannot be noted that the token refuses this PIN; do not start the agent again");
        }
        written.is_ok()
    }

    /// A login succeeded.
    pub(super) fn forget(&self) -> Result<(), FileError> {
        match self.folder.read(FILE, SALT_BYTES + HASH_BYTES)? {
            Some(_) => self.folder.remove(FILE),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_pin_is_known_after_a_restart_and_no_other_is() {
        // Goal: one wrong try, whatever starts the agent again. Method: note, a new value over the same folder, other
        // PINs, a damaged file, and the end by a login.
        let root = tempfile::tempdir().expect("a scratch folder");
        let folder = Folder::open(root.path().join("identity")).expect("opens");
        let fresh = || Refused::new(folder.clone());
        assert!(!fresh().is(b"1234").expect("reads"));
        assert!(fresh().note(b"1234"));
        assert!(fresh().is(b"1234").expect("reads"));
        assert!(!fresh().is(b"1235").expect("reads") && !fresh().is(b"").expect("reads"));
        let bytes = std::fs::read(fresh().path()).expect("is there");
        assert!(!bytes.windows(4).any(|part| part == b"1234"));
        assert!(fresh().note(b"1235"));
        assert!(!fresh().is(b"1234").expect("reads"), "the last one alone: each takes a person's hand");
        std::fs::write(fresh().path(), b"short").expect("writes");
        assert!(!fresh().is(b"1235").expect("reads"));
        assert!(fresh().note(b"1235"));
        fresh().forget().expect("forgets");
        fresh().forget().expect("is forgotten already");
        assert!(folder.names().expect("lists").is_empty());
    }
}
