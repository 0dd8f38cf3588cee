//! A signed document: `{"signatures": [{keyid, sig}], "signed": {…}}`, as received.
//!
//! The signature covers the canonical JSON of `signed`, known and unknown fields alike. A document that was only
//! parsed proves nothing: [`Document::demand`] must have passed before a field of it is used. Read next:
//! [`super::metadata`] for what is inside.

use super::fault::Fault;
use super::key::{Authority, KeyId, Signature, Verifier};
use crate::canonical::fields::decode_hex;
use crate::canonical::{FieldError, Value};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// A parsed document whose signatures are still to be checked.
#[derive(Clone, Debug)]
pub struct Document {
    signed: Value,
    message: Vec<u8>,
    signatures: Vec<Signature>,
}

impl Document {
    /// Reads a document of at most `limit` bytes.
    ///
    /// # Errors
    /// The bytes are too long, no strict JSON, no signed document, or claim one key id twice.
    pub fn parse(bytes: &[u8], limit: usize) -> Result<Self, Fault> {
        if bytes.len() > limit {
            return Err(Fault::TooLong { limit });
        }
        Self::of(Value::parse(bytes, limit).map_err(Fault::Json)?)
    }

    /// The same of a value that was parsed already.
    pub(super) fn of(value: Value) -> Result<Self, Fault> {
        let signatures = signatures(&value).map_err(Fault::Envelope)?;
        let mut claimed = BTreeSet::new();
        if let Some(twice) = signatures.iter().find(|signature| !claimed.insert(&signature.key)) {
            return Err(Fault::DuplicateSignature(twice.key.clone()));
        }
        let Value::Map(mut entries) = value else { return Err(Fault::Type) };
        let signed = entries.remove("signed").unwrap_or(Value::Null);
        signed.map().map_err(Fault::Envelope)?;
        Ok(Self { message: signed.canonical(), signed, signatures })
    }

    /// The signed part. Until [`Document::demand`] has passed it is a claim.
    #[must_use]
    pub fn signed(&self) -> &Value {
        &self.signed
    }

    /// The signatures as claimed.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Demands that a threshold of this authority signed it.
    ///
    /// # Errors
    /// [`Fault::Unreachable`] or [`Fault::Threshold`].
    pub fn demand(&self, authority: &Authority, verifier: &dyn Verifier) -> Result<(), Fault> {
        authority.demand(&self.message, &self.signatures, verifier)
    }

    /// How many different keys of this authority signed it so far.
    #[must_use]
    pub fn count(&self, authority: &Authority, verifier: &dyn Verifier) -> u64 {
        authority.count(&self.message, &self.signatures, verifier)
    }
}

fn signatures(value: &Value) -> Result<Vec<Signature>, FieldError> {
    let document = value.map()?;
    document.map("signed")?;
    let entries = document.maps("signatures")?;
    entries
        .iter()
        .map(|entry| {
            let key = KeyId(entry.text("keyid")?.to_owned());
            // A signature that is not hexadecimal is an invalid one, not an invalid document.
            Ok(Signature { key, bytes: decode_hex(entry.text("sig")?).unwrap_or_default() })
        })
        .collect()
}
