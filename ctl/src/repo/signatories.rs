//! Who must sign a document: one authority, or for a rotation of the root the old and the new one.
//!
//! A device follows a new root only if the people of the old root and those of the new one have signed it, each by
//! their own threshold (TUF 1.0.34 section 5.3.4). They are counted apart here too; whoever stands in both counts for
//! both. Read next: [`super::add`], [`super::rotate`].

use std::collections::BTreeSet;

use cordon_proto::canonical::Value;
use cordon_proto::update::author::{self, SignError, Signer, add_signature};
use cordon_proto::update::document::Document;
use cordon_proto::update::metadata::Root;
use cordon_proto::update::{Authority, KeyId, PublicKey, Role, Rules};
use serde_json::json;

use super::foreign;
use crate::failure::Failure;
use crate::key::{Pens, SecretKey};
use crate::report::Report;

/// Who must sign one document.
#[derive(Clone, Debug)]
pub struct Signatories {
    role: Role,
    parties: Vec<(String, Authority)>,
}

/// How far one party is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The party in words.
    pub party: String,
    /// Its keys that have signed.
    pub signatures: u64,
    /// How many must.
    pub threshold: u64,
}

impl Count {
    fn missing(&self) -> u64 {
        self.threshold.saturating_sub(self.signatures)
    }
}

impl Signatories {
    /// One authority.
    #[must_use]
    pub fn one(role: Role, authority: Authority) -> Self {
        let party = format!("the people of {role}");
        Self { role, parties: vec![(party, authority)] }
    }

    /// The people of both roots.
    #[must_use]
    pub fn rotation(before: &Root, after: &Root) -> Self {
        let party = |root: &Root| (format!("the people of root {}", root.version), root.root.clone());
        Self { role: Role::Root, parties: vec![party(before), party(after)] }
    }

    /// Adds the signature of a key, under each id by which one of the parties knows it.
    ///
    /// # Errors
    /// The key is nobody's, or has signed already.
    pub fn add(&self, bytes: &[u8], limit: usize, key: &SecretKey) -> Result<Vec<u8>, Failure> {
        let ids = self.ids(key.public());
        if ids.is_empty() {
            return Err(foreign(&self.role, key.public()));
        }
        let pens = Pens::default();
        let sign = |message: &[u8]| pens.sign(key, message);
        let (mut signed, mut twice) = (bytes.to_vec(), None);
        for id in &ids {
            match add_signature(&signed, limit, &Signer { key: id.clone(), sign: &sign }) {
                Ok(more) => signed = more,
                Err(again @ SignError::AlreadySigned(_)) => twice = Some(again),
                Err(error) => return Err(Failure::refused("not signed", error)),
            }
        }
        pens.all_made()?;
        match twice {
            Some(again) if signed == bytes => Err(Failure::refused("not signed", again)),
            Some(_) | None => Ok(signed),
        }
    }

    /// A new document with the signatures of these keys.
    ///
    /// # Errors
    /// A key is nobody's, or is given twice.
    pub fn first(&self, signed: &Value, limit: usize, keys: &[SecretKey]) -> Result<Vec<u8>, Failure> {
        let mut bytes = author::sign(signed, &[]);
        for key in keys {
            bytes = self.add(&bytes, limit, key)?;
        }
        if bytes.len() > limit {
            let detail = format!("{} would have {} bytes; devices read {limit}", self.role, bytes.len());
            return Err(Failure::refused("document too large", detail));
        }
        Ok(bytes)
    }

    /// How far each party is.
    ///
    /// # Errors
    /// The bytes are no document.
    pub fn counts(&self, bytes: &[u8], limit: usize, rules: &Rules<'_>) -> Result<Vec<Count>, Failure> {
        let document =
            Document::parse(bytes, limit).map_err(|fault| Failure::from(fault.of(self.role.clone())))?;
        let count = |(party, authority): &(String, Authority)| Count {
            party: party.clone(),
            signatures: document.count(authority, rules.verifier),
            threshold: authority.threshold(),
        };
        Ok(self.parties.iter().map(count).collect())
    }

    fn ids(&self, key: &PublicKey) -> BTreeSet<KeyId> {
        self.parties.iter().filter_map(|(_, authority)| authority.id_of(key).cloned()).collect()
    }
}

/// Whether every party has signed.
#[must_use]
pub fn complete(counts: &[Count]) -> bool {
    counts.iter().all(|count| count.missing() == 0)
}

/// How far a document is, for people and programs.
#[must_use]
pub fn report(file: &str, counts: &[Count]) -> Report {
    let words = |count: &Count| {
        let whose = if counts.len() == 1 { String::new() } else { format!(" from {}", count.party) };
        format!("{} of {} signatures{whose}", count.signatures, count.threshold)
    };
    let next = match counts.iter().map(Count::missing).max() {
        Some(0) | None => "complete".to_owned(),
        Some(missing) => format!("{missing} more needed, from another person's key"),
    };
    let have: Vec<_> = counts.iter().map(words).collect();
    let one = |field: fn(&Count) -> u64| counts.iter().map(field).min();
    let parties: Vec<_> = counts
        .iter()
        .map(|count| json!({"party": count.party, "signatures": count.signatures, "threshold": count.threshold}))
        .collect();
    let json = json!({
        "file": file,
        "signatures": one(|count| count.signatures),
        "threshold": one(|count| count.threshold),
        "complete": complete(counts),
        "parties": parties,
    });
    Report::new(format!("{file}: {}, {next}", have.join(", ")), json)
}
