//! The first lines of an age file: for whom it is sealed, and a code over these lines (C2SP `age.md`, "Header").
//!
//! Lines are taken only in the one form that the format allows: no padding, no bits to spare, no empty argument.
//! Recipients of other kinds beside ours are passed over; a password must stand alone, and is no key of ours.

use std::io::{BufRead, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use curve25519_dalek::MontgomeryPoint;
use ring::aead::{Aad, Nonce};
use ring::hmac;
use zeroize::Zeroizing;

use super::keys::{Identity, Recipient, shared};
use super::{AgeError, FILE_KEY_BYTES, cipher, derived};
use crate::chance;

const VERSION: &str = "age-encryption.org/v1";
const X25519: &str = "X25519";
const X25519_PURPOSE: &str = "age-encryption.org/v1/X25519";
/// Bytes of all lines; a recipient takes about a hundred.
const HEAD_BYTES: u64 = 64 * 1024;
/// Characters of a full line of a stanza's body.
const LINE: usize = 64;
/// Bytes of a wrapped file key: the key and its tag.
const WRAPPED_BYTES: usize = FILE_KEY_BYTES + 16;

/// The key of one file.
pub(super) type FileKey = Zeroizing<[u8; FILE_KEY_BYTES]>;

/// A new file key and the lines that seal it for `recipient`.
pub(super) fn make(recipient: &Recipient) -> (FileKey, Vec<u8>) {
    let file_key = Zeroizing::new(chance::random());
    let ephemeral = Zeroizing::new(chance::random());
    let share = MontgomeryPoint::mul_base_clamped(*ephemeral).to_bytes();
    let secret =
        shared(&ephemeral, &recipient.0).expect("a public key that was read is no point of low order");
    let wrapping = derived(&*secret, &[share, recipient.0].concat(), X25519_PURPOSE);
    let mut wrapped = file_key.to_vec();
    let sealed = cipher(&wrapping).seal_in_place_append_tag(zero_nonce(), Aad::empty(), &mut wrapped);
    sealed.expect("sixteen bytes are within the cipher's bound");
    let encode = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
    let mut lines = format!("{VERSION}\n-> {X25519} {}\n{}\n---", encode(&share), encode(&wrapped));
    let code = hmac::sign(&code_key(&file_key), lines.as_bytes());
    lines.push_str(&format!(" {}\n", encode(code.as_ref())));
    (file_key, lines.into_bytes())
}

/// Reads the lines and finds the file key with one of `identities`.
pub(super) fn open(file: &mut impl BufRead, identities: &[Identity]) -> Result<FileKey, AgeError> {
    let head = Head::read(file)?;
    if head.stanzas.iter().any(|stanza| stanza.kind == "scrypt") && head.stanzas.len() > 1 {
        return Err(AgeError::Head("a password stands beside other recipients"));
    }
    for stanza in head.stanzas.iter().filter(|stanza| stanza.kind == X25519) {
        let (share, wrapped) = stanza.x25519()?;
        let key = identities.iter().find_map(|identity| unwrapped(identity, &share, &wrapped));
        if let Some(key) = key {
            let code = hmac::verify(&code_key(&key), &head.lines, &head.code);
            code.map_err(|_| AgeError::Changed)?;
            return Ok(key);
        }
    }
    Err(AgeError::NotForUs)
}

fn unwrapped(identity: &Identity, share: &[u8; 32], wrapped: &[u8; WRAPPED_BYTES]) -> Option<FileKey> {
    let secret = identity.shared(share)?;
    let wrapping = derived(&*secret, &[*share, identity.recipient().0].concat(), X25519_PURPOSE);
    let mut bytes = Zeroizing::new(*wrapped);
    let opened = cipher(&wrapping).open_in_place(zero_nonce(), Aad::empty(), &mut *bytes).ok()?;
    Some(Zeroizing::new(opened.try_into().ok()?))
}

fn code_key(file_key: &FileKey) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &*derived(&**file_key, &[], "header"))
}

/// A wrapping key is used once, so its nonce may be fixed.
fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

struct Head {
    stanzas: Vec<Stanza>,
    lines: Vec<u8>,
    code: [u8; 32],
}

struct Stanza {
    kind: String,
    arguments: Vec<String>,
    body: Vec<u8>,
}

impl Head {
    fn read(file: &mut impl BufRead) -> Result<Self, AgeError> {
        let mut lines = Lines { file: file.take(HEAD_BYTES), read: Vec::new() };
        if lines.next().ok().as_deref() != Some(VERSION) {
            return Err(AgeError::NotAge);
        }
        let mut stanzas = Vec::new();
        loop {
            let before = lines.read.len();
            let line = lines.next()?;
            if let Some(code) = line.strip_prefix("--- ") {
                let code =
                    decoded(code)?.try_into().map_err(|_| AgeError::Head("a code of another length"))?;
                let mut signed = lines.read;
                signed.truncate(before.saturating_add("---".len()));
                return Ok(Self { stanzas, lines: signed, code });
            }
            let arguments = line.strip_prefix("-> ").ok_or(AgeError::Head("neither recipient nor end"))?;
            stanzas.push(Stanza::read(arguments, &mut lines)?);
        }
    }
}

impl Stanza {
    fn read<R: BufRead>(line: &str, lines: &mut Lines<R>) -> Result<Self, AgeError> {
        let mut words = line.split(' ').map(str::to_owned);
        let kind = words.next().unwrap_or_default();
        let arguments: Vec<String> = words.collect();
        let is_word = |word: &String| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_word(&kind) || !arguments.iter().all(is_word) {
            return Err(AgeError::Head("a recipient's line is not made of words"));
        }
        let mut body = Vec::new();
        loop {
            let line = lines.next()?;
            if line.len() > LINE {
                return Err(AgeError::Head("a line is too long"));
            }
            body.extend(decoded(&line)?);
            if line.len() < LINE {
                return Ok(Self { kind, arguments, body });
            }
        }
    }

    fn x25519(&self) -> Result<([u8; 32], [u8; WRAPPED_BYTES]), AgeError> {
        let wrong = AgeError::Head("a recipient's line is not of its form");
        let [share] = self.arguments.as_slice() else { return Err(wrong) };
        let share = decoded(share)?.try_into().map_err(|_| wrong)?;
        let wrapped = self.body.as_slice().try_into().map_err(|_| wrong)?;
        Ok((share, wrapped))
    }
}

/// Lines of text, and all bytes read so far.
struct Lines<R> {
    file: std::io::Take<R>,
    read: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<String, AgeError> {
        let mut line = Vec::new();
        let read = self.file.read_until(b'\n', &mut line);
        read.map_err(|_| AgeError::Head("it cannot be read"))?;
        self.read.extend_from_slice(&line);
        let text = line.strip_suffix(b"\n").ok_or(AgeError::Head("it is cut off, or too long"))?;
        String::from_utf8(text.to_vec()).map_err(|_| AgeError::Head("it is not text"))
    }
}

/// Base64 in its one form: standard letters, no padding, no bits to spare.
fn decoded(text: &str) -> Result<Vec<u8>, AgeError> {
    STANDARD_NO_PAD.decode(text).map_err(|_| AgeError::Head("base64 in another form than the one allowed"))
}
