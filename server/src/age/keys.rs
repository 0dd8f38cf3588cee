//! The two halves of an age key, as people write them: `age1…` and `AGE-SECRET-KEY-1…`.
//!
//! Private halves are wiped from memory when they are dropped, and never printed by `Debug`. One form of a key is
//! accepted, so that a misread letter is an error and not another key.

use std::fmt;
use std::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use curve25519_dalek::MontgomeryPoint;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::chance;

const RECIPIENT: &str = "age";
const IDENTITY: &str = "age-secret-key-";

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a public key.
    #[error("not a public key of age: it begins with `age1`, and `age-keygen -y KEYFILE` prints it")]
    Recipient,
    /// A line of an identity file is no private key.
    #[error("line {0} of the identity file is no `AGE-SECRET-KEY-1…`: give the file that `age-keygen` wrote")]
    Identity(usize),
    /// No key in it.
    #[error("the identity file holds no `AGE-SECRET-KEY-1…`: give the file that `age-keygen` wrote")]
    Empty,
}

/// A public key, for which files are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Recipient(pub(super) [u8; 32]);

impl FromStr for Recipient {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = decoded(text, RECIPIENT).ok_or(KeyError::Recipient)?;
        let recipient = Self(*bytes);
        // A point of low order would seal for everybody: any clamped scalar makes nothing of it.
        let seals = shared(&[1; 32], &bytes).is_some();
        if seals && recipient.to_string() == text { Ok(recipient) } else { Err(KeyError::Recipient) }
    }
}

impl TryFrom<String> for Recipient {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32::encode_lower::<Bech32>(prefix(RECIPIENT), &self.0).map_err(|_| fmt::Error)?)
    }
}

/// A private key, with which files are read.
pub struct Identity {
    secret: Zeroizing<[u8; 32]>,
}

impl Identity {
    /// A new one. People use `age-keygen`; this is for trials.
    #[must_use]
    pub fn make() -> Self {
        Self { secret: Zeroizing::new(chance::random()) }
    }

    /// The keys of an identity file: one a line, empty lines and comments aside.
    pub fn read_all(text: &str) -> Result<Vec<Self>, KeyError> {
        let lines = text.lines().enumerate().map(|(number, line)| (number.saturating_add(1), line.trim()));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let identities: Vec<Self> = lines
            .map(|(number, line)| Self::read(line).ok_or(KeyError::Identity(number)))
            .collect::<Result<_, _>>()?;
        if identities.is_empty() { Err(KeyError::Empty) } else { Ok(identities) }
    }

    /// The public half.
    #[must_use]
    pub fn recipient(&self) -> Recipient {
        Recipient(MontgomeryPoint::mul_base_clamped(*self.secret).to_bytes())
    }

    /// The key as an identity file has it.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let text = bech32::encode_upper::<Bech32>(prefix(IDENTITY), &*self.secret);
        Zeroizing::new(text.expect("32 bytes are within the bound of the code"))
    }

    fn read(line: &str) -> Option<Self> {
        let identity = Self { secret: decoded(line, IDENTITY)? };
        (identity.text().as_str() == line).then_some(identity)
    }

    /// X25519 (RFC 7748) with another's public value; `None` for one that gives no secret.
    pub(super) fn shared(&self, public: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        shared(&self.secret, public)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity of {}", self.recipient())
    }
}

/// X25519; `None` if all bits are zero, as RFC 7748 section 6.1 and the format demand.
pub(super) fn shared(secret: &[u8; 32], public: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    let shared = Zeroizing::new(MontgomeryPoint(*public).mul_clamped(*secret).to_bytes());
    shared.iter().any(|byte| *byte != 0).then_some(shared)
}

fn decoded(text: &str, wanted: &str) -> Option<Zeroizing<[u8; 32]>> {
    let checked = CheckedHrpstring::new::<Bech32>(text).ok()?;
    let mut bytes = Zeroizing::new([0; 32]);
    let mut read = checked.byte_iter();
    for byte in bytes.iter_mut() {
        *byte = read.next()?;
    }
    (checked.hrp() == prefix(wanted) && read.next().is_none()).then_some(bytes)
}

fn prefix(text: &str) -> Hrp {
    Hrp::parse(text).expect("letters and hyphens are a prefix")
}
