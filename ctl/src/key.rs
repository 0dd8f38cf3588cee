//! Signing keys: how they are read, whom they are refused to, how they are written.
//!
//! A private key in a file is Ed25519, as PKCS#8 in PEM (what OpenSSL writes) or as a seed of 32 bytes or 64 hexadecimal
//! digits, or ECDSA on P-256 as PKCS#8 in PEM. It is refused while anybody but its owner may read it, and an example key
//! always, unless `--example-keys` was given. Wherever a key file is named, a PKCS#11 URI may stand: then the key lives in
//! a card, a token or an HSM ([`token`]). The secret leaves this file only as a signature, and is wiped when dropped. Read
//! next: [`crate::keys`].

use std::cell::RefCell;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_proto::canonical::fields::{decode_hex, encode_hex};
use cordon_proto::update::deny::is_example_key;
use cordon_proto::update::{PublicKey, Scheme};
use ed25519_dalek::{Signer as _, SigningKey};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use zeroize::Zeroizing;

use crate::arguments::read_file;
use crate::failure::Failure;

pub mod token;

/// What a key's name begins with where it is no file.
pub const TOKEN_SCHEME: &str = "pkcs11:";
/// SubjectPublicKeyInfo of an uncompressed P-256 point up to the point (RFC 5480 section 2).
const P256_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// Bytes of a key file.
const KEY_FILE_BYTES: u64 = 16 * 1024;
/// PKCS#8 version 1 of an Ed25519 key up to its seed (RFC 8410 section 7).
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// SubjectPublicKeyInfo of an Ed25519 key up to the key (RFC 8410 section 4).
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A private key that signs.
pub struct SecretKey {
    pen: Pen,
    public: PublicKey,
}

/// Where the secret is.
enum Pen {
    /// In memory, from a file.
    Ed25519(SigningKey),
    /// In memory, from a file.
    P256 { pair: Box<EcdsaKeyPair>, pkcs8: Zeroizing<Vec<u8>> },
    /// In a token.
    Token(token::TokenKey),
}

/// A private half as a file holds it.
enum Private {
    Seed(Zeroizing<[u8; 32]>),
    P256(Zeroizing<Vec<u8>>),
}

/// A key file of either half.
pub enum KeyFile {
    /// With its private half.
    Secret(Box<SecretKey>),
    /// The public half alone.
    Public(PublicKey),
}

impl SecretKey {
    /// The key of a seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let signing = SigningKey::from_bytes(seed);
        let public = PublicKey::ed25519(signing.verifying_key().to_bytes());
        Self { pen: Pen::Ed25519(signing), public }
    }

    /// A new key on P-256.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn new_p256() -> Result<Self, Failure> {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
        let made = made.map_err(|_| Failure::refused("no key", "the system gives no randomness"))?;
        let key = Self::p256(Zeroizing::new(made.as_ref().to_vec()));
        key.ok_or_else(|| Failure::refused("no key", "the key that was made cannot be read"))
    }

    fn p256(pkcs8: Zeroizing<Vec<u8>>) -> Option<Self> {
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8, &SystemRandom::new()).ok()?;
        let public = p256_public(pair.public_key().as_ref());
        Some(Self { pen: Pen::P256 { pair: Box::new(pair), pkcs8 }, public })
    }

    /// Reads a private key file, or opens the key that a PKCS#11 URI names.
    ///
    /// # Errors
    /// It cannot be read, is no such key, may be read by others, or is an example key; the token is not there or refuses.
    pub fn read(path: &Path, example_keys: bool) -> Result<Self, Failure> {
        if let Some(uri) = path.to_str().filter(|text| text.starts_with(TOKEN_SCHEME)) {
            let key = token::TokenKey::open(uri)?;
            let public = p256_public(key.point());
            return Ok(Self { pen: Pen::Token(key), public });
        }
        let bytes = Zeroizing::new(read_file(path, KEY_FILE_BYTES)?);
        let form = || {
            let wanted = "an Ed25519 private key: PKCS#8 in PEM, or a seed of 32 bytes or 64 hexadecimal digits; nor \
                          a P-256 one, PKCS#8 in PEM";
            Failure::refused("key", format!("{} is not {wanted}", path.display()))
        };
        let key = match private(&bytes).ok_or_else(form)? {
            Private::Seed(seed) => Self::from_seed(&seed),
            Private::P256(pkcs8) => Self::p256(pkcs8).ok_or_else(form)?,
        };
        if is_example_key(&key.public) {
            allowed(&key.public, &path.display().to_string(), example_keys)?;
        } else {
            only_owner(path)?;
        }
        Ok(key)
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a message.
    ///
    /// # Errors
    /// The token, or the system's randomness, does not do its part.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        match &self.pen {
            Pen::Ed25519(signing) => Ok(signing.sign(message).to_bytes().to_vec()),
            Pen::P256 { pair, .. } => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| Failure::refused("not signed", "the system gives no randomness")),
            Pen::Token(key) => key.sign(message),
        }
    }

    /// Writes the key as PKCS#8 in PEM to a new file that only its owner may read.
    ///
    /// # Errors
    /// The file exists or cannot be written, or the key lives in a token, which it never leaves.
    pub fn write_new(&self, path: &Path, mode: u32) -> Result<(), Failure> {
        let der = match &self.pen {
            Pen::Ed25519(signing) => Zeroizing::new([PKCS8_HEAD.as_slice(), signing.as_bytes()].concat()),
            Pen::P256 { pkcs8, .. } => pkcs8.clone(),
            Pen::Token(_) => return Err(Failure::refused("key", "a key in a token never leaves it")),
        };
        let text = Zeroizing::new(pem("PRIVATE KEY", &der));
        let wrong = |error: std::io::Error| Failure::file("write", path, &error);
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(wrong)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(wrong)
    }
}

/// Signatures for code that takes them for granted: the first one that was not made is told afterwards.
#[derive(Default)]
pub struct Pens(RefCell<Option<Failure>>);

impl Pens {
    /// A signature, or nothing at all, remembered.
    pub fn sign(&self, key: &SecretKey, message: &[u8]) -> Vec<u8> {
        key.sign(message).unwrap_or_else(|failure| {
            self.0.borrow_mut().get_or_insert(failure);
            Vec::new()
        })
    }

    /// Demands that all were made.
    ///
    /// # Errors
    /// The first that was not.
    pub fn all_made(&self) -> Result<(), Failure> {
        self.0.take().map_or(Ok(()), Err)
    }
}

impl KeyFile {
    /// Reads a key of either half: a private key file, a public one, or the digits of a public key. A file that holds
    /// bare hexadecimal digits could be either half and is refused.
    ///
    /// # Errors
    /// As for [`SecretKey::read`] and [`public`], or the file could be either half.
    pub fn read(path: &Path, example_keys: bool) -> Result<Self, Failure> {
        let name = path.display().to_string();
        if name.starts_with(TOKEN_SCHEME) {
            return SecretKey::read(path, example_keys).map(Box::new).map(Self::Secret);
        }
        if parse_public(name.as_bytes()).is_some() {
            return public(&name, example_keys).map(Self::Public);
        }
        let bytes = Zeroizing::new(read_file(path, KEY_FILE_BYTES)?);
        match (private(&bytes), parse_public(&bytes)) {
            (Some(_), Some(_)) => {
                let detail = format!(
                    "{name} holds bare digits, which could be a private or a public key: use PEM here"
                );
                Err(Failure::refused("ambiguous key", detail))
            }
            (Some(_), None) => SecretKey::read(path, example_keys).map(Box::new).map(Self::Secret),
            (None, _) => public(&name, example_keys).map(Self::Public),
        }
    }

    /// The private half, if the file has it.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretKey> {
        match self {
            Self::Secret(key) => Some(key),
            Self::Public(_) => None,
        }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        match self {
            Self::Secret(key) => key.public(),
            Self::Public(key) => key,
        }
    }
}

/// A public key as people name it: 64 hexadecimal digits, or a file with them or with a PEM `PUBLIC KEY`.
///
/// # Errors
/// It is neither, or it is an example key.
pub fn public(text: &str, example_keys: bool) -> Result<PublicKey, Failure> {
    let key = match parse_public(text.as_bytes()) {
        Some(key) => key,
        None => {
            let bytes = read_file(Path::new(text), KEY_FILE_BYTES)?;
            let wanted = "is no public key: 64 hexadecimal digits, or a PEM block PUBLIC KEY";
            parse_public(&bytes).ok_or_else(|| Failure::refused("key", format!("{text} {wanted}")))?
        }
    };
    allowed(&key, text, example_keys)?;
    Ok(key)
}

/// Refuses an example key where none belongs.
///
/// # Errors
/// It is one and `--example-keys` was not given.
pub fn allowed(key: &PublicKey, name: &str, example_keys: bool) -> Result<(), Failure> {
    if example_keys || !is_example_key(key) {
        return Ok(());
    }
    let why = "is an example key, whose private half is published with the source: anybody can sign with it";
    let act = "make your own with `cordonctl keys generate`; for a demo on loopback pass --example-keys";
    Err(Failure::refused("example key", format!("{name} {why}. {act}")))
}

/// Who a key is, in one line.
#[must_use]
pub fn describe(key: &PublicKey) -> String {
    let scheme = match key.scheme {
        Scheme::Ed25519 => "ed25519",
        Scheme::EcdsaP256 => "ecdsa-p256",
        Scheme::RsaPss => "rsa-pss",
        Scheme::Unknown => "unknown",
    };
    format!("{scheme} {}", key.id())
}

/// The public half as people hand it on: hexadecimal digits for Ed25519, PEM for others.
#[must_use]
pub fn public_text(key: &PublicKey) -> String {
    match key.scheme {
        Scheme::Ed25519 => encode_hex(&key.bytes),
        Scheme::EcdsaP256 | Scheme::RsaPss | Scheme::Unknown => public_pem(key),
    }
}

/// The public half as a PEM `PUBLIC KEY`.
#[must_use]
pub fn public_pem(key: &PublicKey) -> String {
    match key.scheme {
        Scheme::Ed25519 => pem("PUBLIC KEY", &[SPKI_HEAD.as_slice(), &key.bytes].concat()),
        Scheme::EcdsaP256 | Scheme::RsaPss | Scheme::Unknown => pem("PUBLIC KEY", &key.bytes),
    }
}

/// A PEM block (RFC 7468).
#[must_use]
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = Zeroizing::new(STANDARD.encode(der));
    let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned());
    let body: Vec<String> = lines.collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", body.join("\n"))
}

/// Reads a public key.
#[must_use]
pub fn parse_public(bytes: &[u8]) -> Option<PublicKey> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    if let Some(der) = unpem("PUBLIC KEY", text) {
        if let Some(key) = der.strip_prefix(&SPKI_HEAD) {
            return Some(PublicKey::ed25519(key.try_into().ok()?));
        }
        let known =
            [Scheme::EcdsaP256, Scheme::RsaPss].map(|scheme| PublicKey { scheme, bytes: der.to_vec() });
        return known.into_iter().find(|key| key.material().is_some());
    }
    let bytes: [u8; 32] = decode_hex(text)?.try_into().ok()?;
    Some(PublicKey::ed25519(bytes))
}

fn private(bytes: &[u8]) -> Option<Private> {
    if let Ok(raw) = <[u8; 32]>::try_from(bytes) {
        return Some(Private::Seed(Zeroizing::new(raw)));
    }
    let text = std::str::from_utf8(bytes).ok()?.trim();
    if let Some(der) = unpem("PRIVATE KEY", text) {
        let seed = der.strip_prefix(&PKCS8_HEAD).and_then(|seed| seed.try_into().ok());
        return Some(
            seed.map_or_else(|| Private::P256(der.clone()), |seed| Private::Seed(Zeroizing::new(seed))),
        );
    }
    let digits = Zeroizing::new(decode_hex(text)?);
    digits.as_slice().try_into().ok().map(|seed| Private::Seed(Zeroizing::new(seed)))
}

fn p256_public(point: &[u8]) -> PublicKey {
    PublicKey { scheme: Scheme::EcdsaP256, bytes: [P256_HEAD.as_slice(), point].concat() }
}

fn unpem(label: &str, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let body = text.strip_prefix(&format!("-----BEGIN {label}-----"))?;
    let body = body.strip_suffix(&format!("-----END {label}-----"))?;
    let digits: Zeroizing<String> = Zeroizing::new(body.split_whitespace().collect());
    STANDARD.decode(digits.as_bytes()).ok().map(Zeroizing::new)
}

/// Refuses a file that others may read, or that is somebody else's.
///
/// # Errors
/// It is open, or owned by another user.
pub fn only_owner(path: &Path) -> Result<(), Failure> {
    let metadata = std::fs::metadata(path).map_err(|error| Failure::file("read", path, &error))?;
    let (mode, name) = (metadata.mode() & 0o7777, path.display());
    if mode & 0o077 != 0 {
        let act = format!("run `chmod 600 {name}`, and make a new one if others may have read it");
        return Err(Failure::refused(
            "open file",
            format!("{name} can be read by others (mode {mode:04o}): {act}"),
        ));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(Failure::refused(
            "foreign file",
            format!("{name} belongs to another user: copy it as your own"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
