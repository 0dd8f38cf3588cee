//! age files: bytes sealed for one public key, which only the holder of its private half can read.
//!
//! The public format `age-encryption.org/v1` (C2SP `age.md`), X25519 recipients only, so that people use the `age`
//! and `age-keygen` they have and a backup outlives this program. Its ciphers are those that TLS brings already; the
//! `age` crate would bring a second set. Both ways stream: memory does not grow with the file. Reading is strict: a
//! flipped, missing or surplus byte is an error, and nothing of a piece is given out before its tag is checked.
//! Nothing here opens a file. Read next: [`Sealer`], [`Opener`], then `header` for the first lines of a file.

mod header;
pub mod keys;
mod stream;

pub use self::keys::{Identity, Recipient};
pub use self::stream::{Opener, Sealer};

use ring::aead::{CHACHA20_POLY1305, LessSafeKey, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

/// Bytes of the key of one file.
const FILE_KEY_BYTES: usize = 16;

/// Why a file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgeError {
    /// Not an age file of version 1.
    #[error("this is no age file: is it the backup, and whole?")]
    NotAge,
    /// The first lines are not what the format says.
    #[error("the head of the age file is damaged: {0}")]
    Head(&'static str),
    /// Sealed for other keys.
    #[error("the file is sealed for another key: give the identity file that `age-keygen` made for it")]
    NotForUs,
    /// The first lines were changed after they were written.
    #[error("the head of the age file was changed after it was written")]
    Changed,
    /// Bytes were changed, or cut off.
    #[error("the age file is damaged or cut off: fetch another copy of it")]
    Damaged,
}

/// HKDF-SHA-256 (RFC 5869) to 32 bytes.
fn derived(secret: &[u8], salt: &[u8], purpose: &str) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    let extracted = Salt::new(HKDF_SHA256, salt).extract(secret);
    let info = [purpose.as_bytes()];
    let expanded = extracted.expand(&info, HKDF_SHA256).expect("32 bytes are within the bound of HKDF");
    expanded.fill(&mut *key).expect("the length that was asked for");
    key
}

/// ChaCha20-Poly1305 (RFC 8439) under `key`.
fn cipher(key: &[u8; 32]) -> LessSafeKey {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key).expect("the cipher's keys have 32 bytes");
    LessSafeKey::new(key)
}
