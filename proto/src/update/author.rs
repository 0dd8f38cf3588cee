//! The writing side: documents from values, signatures onto documents.
//!
//! Used by workstations and by the server for its snapshot and timestamp; a device never needs it. There is no clock:
//! version and expiry are part of the values. It must never sign bytes that differ from what was shown as a value:
//! the message is always the canonical JSON of the very `signed` that the document will hold. Signatures of several
//! people are added one after the other on their own workstations ([`add_signature`]).
//!
//! Read next: [`super::metadata`] for the values, `cordonctl` for who uses it.

use super::document::Document;
use super::fault::Fault;
use super::key::{Authority, KeyId};
use super::metadata::{MetaFile, Root, Snapshot, Targets, Timestamp};
use crate::canonical::Value;
use crate::canonical::fields::encode_hex;
use crate::time;
use alloc::vec::Vec;

#[cfg(test)]
mod tests;

/// The TUF specification that our documents follow.
pub const SPEC_VERSION: &str = "1.0.34";

/// Somebody who signs: the id under which the document's delegator declares the key, and the act itself.
#[derive(Clone)]
pub struct Signer<'a> {
    /// The key's name.
    pub key: KeyId,
    /// Makes the signature over a message.
    pub sign: &'a dyn Fn(&[u8]) -> Vec<u8>,
}

/// Why a signature was not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The document cannot be read.
    #[error("the document cannot be signed: {0}")]
    Document(Fault),
    /// The key has signed it already.
    #[error("the key {0} has already signed this document; another person's key is needed")]
    AlreadySigned(KeyId),
}

/// The signed part of a root.
#[must_use]
pub fn root(root: &Root) -> Value {
    let roles = [
        ("root", &root.root),
        ("timestamp", &root.timestamp),
        ("snapshot", &root.snapshot),
        ("targets", &root.targets),
    ];
    let keys = roles.iter().flat_map(|(_, authority)| authority.keys());
    let keys = Value::object(keys.map(|(id, key)| (id.0.as_str(), key.to_value())));
    let roles = Value::object(roles.map(|(role, authority)| (role, authority_value(authority))));
    let parts = [("keys", keys), ("roles", roles), ("consistent_snapshot", root.consistent_snapshot.into())];
    document("root", (root.version, root.expires), parts)
}

/// The signed part of a timestamp.
#[must_use]
pub fn timestamp(timestamp: &Timestamp) -> Value {
    let meta = Value::object([("snapshot.json", timestamp.snapshot.to_value())]);
    document("timestamp", (timestamp.version, timestamp.expires), [("meta", meta)])
}

/// The signed part of a snapshot.
#[must_use]
pub fn snapshot(snapshot: &Snapshot) -> Value {
    let meta = snapshot.meta.iter().map(|(name, file): (_, &MetaFile)| (name.as_str(), file.to_value()));
    document("snapshot", (snapshot.version, snapshot.expires), [("meta", Value::object(meta))])
}

/// The signed part of a targets role, top-level or delegated.
#[must_use]
pub fn targets(targets: &Targets) -> Value {
    let files = targets.targets.iter().map(|(path, file)| (path.as_str(), file.to_value()));
    let delegations =
        (!targets.delegations.roles.is_empty()).then(|| ("delegations", targets.delegations.to_value()));
    let parts = [("targets", Value::object(files))].into_iter().chain(delegations);
    document("targets", (targets.version, targets.expires), parts)
}

/// The document of a signed part and its signatures, as JSON.
#[must_use]
pub fn sign(signed: &Value, signers: &[Signer<'_>]) -> Vec<u8> {
    let message = signed.canonical();
    let signatures = Value::list(signers.iter().map(|signer| signature(signer, &message)));
    Value::object([("signatures", signatures), ("signed", signed.clone())]).json()
}

/// The same document with one signature more; the earlier ones stay as they are.
///
/// # Errors
/// It is no document, or this key has signed it already.
pub fn add_signature(document: &[u8], limit: usize, signer: &Signer<'_>) -> Result<Vec<u8>, SignError> {
    let parsed = Document::parse(document, limit).map_err(SignError::Document)?;
    if parsed.signatures().iter().any(|signature| signature.key == signer.key) {
        return Err(SignError::AlreadySigned(signer.key.clone()));
    }
    let message = parsed.signed().canonical();
    let earlier = parsed.signatures().iter().map(|signature| (&signature.key, encode_hex(&signature.bytes)));
    let mut signatures: Vec<Value> = earlier.map(|(key, bytes)| signature_value(key, bytes.into())).collect();
    signatures.push(signature(signer, &message));
    Ok(Value::object([("signatures", Value::List(signatures)), ("signed", parsed.signed().clone())]).json())
}

fn signature(signer: &Signer<'_>, message: &[u8]) -> Value {
    signature_value(&signer.key, encode_hex(&(signer.sign)(message)).into())
}

fn signature_value(key: &KeyId, bytes: Value) -> Value {
    Value::object([("keyid", Value::from(key.0.as_str())), ("sig", bytes)])
}

fn authority_value(authority: &Authority) -> Value {
    let ids = Value::list(authority.keys().keys().map(|id| id.0.as_str()));
    Value::object([("keyids", ids), ("threshold", authority.threshold().into())])
}

fn document(
    kind: &str,
    (version, expires): (u64, time::Timestamp),
    parts: impl IntoIterator<Item = (&'static str, Value)>,
) -> Value {
    let head = [
        ("_type", Value::from(kind)),
        ("spec_version", SPEC_VERSION.into()),
        ("version", version.into()),
        ("expires", expires.into()),
    ];
    Value::object(head.into_iter().chain(parts))
}
