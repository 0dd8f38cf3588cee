//! Where an issuing key lies, and how it is opened: sealed in a file (`age:`), in a token (`pkcs11:`), or in plain PEM.
//!
//! A sealed key is an age file for an identity that lies elsewhere, such as a systemd credential, so that a copy of the
//! server's folder makes no devices. A key in a token never leaves it. Nothing here writes over a key. Read next:
//! `token` for PKCS#11, [`super::state`] for which key belongs to which certificate.

use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rcgen::{KeyPair, PublicKeyData, SignatureAlgorithm, SigningKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::age::{AgeError, Identity, Opener, Sealer, keys};
use crate::files::{self, FileError};

/// The end of the name of a key file that is sealed.
pub const SEALED: &str = ".key.age";
/// The end of the name of a key file in plain.
pub const PLAIN: &str = ".key.pem";

/// Whether a file of the authority's folder is an issuing key, by its name.
#[must_use]
pub fn is_issuing_key(name: &str) -> bool {
    name.starts_with("issuing") && (name.ends_with(PLAIN) || name.ends_with(SEALED))
}

/// The setting `ca_key`: how issuing keys are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum KeySetting {
    /// In a file of mode 0600.
    #[default]
    Plain,
    /// In a file that is sealed for the identity in this one.
    Sealed(PathBuf),
    /// In a token: the first key's URI (RFC 7512).
    Token(String),
}

/// Where one issuing key lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyPlace {
    /// A file in the authority's folder, sealed or plain by its name.
    File(String),
    /// A key in a token, by its URI.
    Token(String),
}

/// Why an issuing key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file.
    #[error("the issuing key cannot be read")]
    File(#[from] FileError),
    /// No PEM of a P-256 key.
    #[error("{0} is not a PEM file of a P-256 key: restore it from a backup")]
    Pem(String),
    /// A sealed key without a word where the identity is.
    #[error("{0} is sealed: say `ca_key = \"age:FILE\"`, FILE being the identity that it is sealed for")]
    NoIdentity(String),
    /// The identity file.
    #[error("the identity for the issuing key cannot be read")]
    Identity(#[from] keys::KeyError),
    /// The sealed file.
    #[error("{file} cannot be opened with the identity of `ca_key`")]
    Sealed {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: AgeError,
    },
    /// Reading or writing the sealed bytes.
    #[error("the sealed issuing key cannot be read or written")]
    Io(#[from] std::io::Error),
    /// A key in a token, and a program without the means.
    #[error("this program was built without the feature `pkcs11`, so it cannot use a key in a token")]
    NoTokens,
    /// The token.
    #[error("the token does not give the issuing key: {0}")]
    Token(String),
    /// Keys in a token are made with its own tools.
    #[error("make a P-256 key in the token and name it with `--issuing-key pkcs11:…`")]
    MakeInToken,
}

/// An issuing key that is open.
pub enum IssuingKey {
    /// From a file.
    File(KeyPair),
    /// In a token.
    #[cfg(feature = "pkcs11")]
    Token(super::token::TokenKey),
}

impl TryFrom<String> for KeySetting {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.split_once(':') {
            Some(("age", file)) if !file.is_empty() => Ok(Self::Sealed(file.into())),
            Some(("pkcs11", _)) => Ok(Self::Token(text)),
            _ => Err(
                "`ca_key` is `age:FILE`, FILE being the identity that the issuing key is sealed for, or `pkcs11:…`",
            ),
        }
    }
}

impl KeySetting {
    /// The setting with its path as it is meant in `folder`.
    #[must_use]
    pub fn within(&self, folder: &Path) -> Self {
        match self {
            Self::Sealed(file) => Self::Sealed(folder.join(file)),
            Self::Plain | Self::Token(_) => self.clone(),
        }
    }

    /// The identity that keys are sealed for. `made` says whether a missing file is made.
    pub fn identity(&self, made: bool) -> Result<Option<Identity>, KeyError> {
        let Self::Sealed(file) = self else { return Ok(None) };
        if made && !file.exists() {
            let identity = Identity::make();
            files::create_secret(file, format!("{}\n", identity.text().as_str()).as_bytes())?;
        }
        let text = files::read_credential(file)?;
        let text = String::from_utf8_lossy(&text);
        Ok(Identity::read_all(&text)?.into_iter().next())
    }

    /// The name under which a new key is kept.
    #[must_use]
    pub fn name(&self, stem: &str) -> String {
        match self {
            Self::Sealed(_) => format!("{stem}{SEALED}"),
            Self::Plain | Self::Token(_) => format!("{stem}{PLAIN}"),
        }
    }

    /// Writes a new key in the form that the setting wants; never over another.
    pub fn write(&self, path: &Path, pem: &str) -> Result<(), KeyError> {
        let Some(identity) = self.identity(false)? else {
            return Ok(files::create_secret(path, pem.as_bytes())?);
        };
        let mut sealer = Sealer::new(Vec::new(), &identity.recipient())?;
        sealer.write_all(pem.as_bytes())?;
        Ok(files::create_secret(path, &sealer.finish()?)?)
    }
}

impl KeyPlace {
    /// The word for people: `token`, `sealed` or `plain`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::File(name) if name.ends_with(SEALED) => "sealed",
            Self::File(_) => "plain",
        }
    }

    /// Opens the key.
    pub fn open(&self, folder: &Path, setting: &KeySetting) -> Result<IssuingKey, KeyError> {
        match self {
            Self::Token(uri) => token(uri),
            Self::File(name) => file(folder, name, setting),
        }
    }
}

fn file(folder: &Path, name: &str, setting: &KeySetting) -> Result<IssuingKey, KeyError> {
    let bytes = files::read_secret(&folder.join(name))?;
    let pem = match name.ends_with(SEALED) {
        false => bytes,
        true => {
            let identity = setting.identity(false)?.ok_or_else(|| KeyError::NoIdentity(name.to_owned()))?;
            let sealed = |source| KeyError::Sealed { file: name.to_owned(), source };
            let mut opener =
                Opener::new(bytes.as_slice(), std::slice::from_ref(&identity)).map_err(sealed)?;
            let mut pem = Zeroizing::new(Vec::new());
            opener.read_to_end(&mut pem)?;
            pem
        }
    };
    let key = std::str::from_utf8(&pem).ok().and_then(|pem| KeyPair::from_pem(pem).ok());
    let key = key.filter(|key| key.is_compatible(&rcgen::PKCS_ECDSA_P256_SHA256));
    Ok(IssuingKey::File(key.ok_or_else(|| KeyError::Pem(name.to_owned()))?))
}

#[cfg(feature = "pkcs11")]
fn token(uri: &str) -> Result<IssuingKey, KeyError> {
    super::token::TokenKey::open(uri).map(IssuingKey::Token)
}

#[cfg(not(feature = "pkcs11"))]
fn token(_: &str) -> Result<IssuingKey, KeyError> {
    Err(KeyError::NoTokens)
}

impl PublicKeyData for IssuingKey {
    fn der_bytes(&self) -> &[u8] {
        match self {
            Self::File(key) => key.der_bytes(),
            #[cfg(feature = "pkcs11")]
            Self::Token(key) => key.point(),
        }
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for IssuingKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        match self {
            Self::File(key) => key.sign(message),
            #[cfg(feature = "pkcs11")]
            Self::Token(key) => key.sign(message).map_err(|error| {
                tracing::error!(error = crate::log::chain(&error), "the issuing key's token does not sign");
                rcgen::Error::RemoteKeyError
            }),
        }
    }
}

impl fmt::Debug for IssuingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File(_) => "IssuingKey in a file",
            #[cfg(feature = "pkcs11")]
            Self::Token(_) => "IssuingKey in a token",
        })
    }
}
