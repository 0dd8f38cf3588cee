//! Drafts of orders on their way from one signer to the next, kept for two weeks.
//!
//! The server carries them and understands their form, no more: it holds no key that could complete one, and whoever
//! signs next recomputes everything from their own folders. Two people who write at once do not lose each other's work:
//! a draft is written over the revision that was read, or not at all. Read next: `cordon_proto::update::draft`.

use std::collections::BTreeMap;
use std::sync::Arc;

use cordon_proto::canonical::Value;
use cordon_proto::ids::{Name, TargetPath, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::update::document::Document;
use cordon_proto::update::draft::{Draft, Intent};
use cordon_proto::update::metadata::Targets;
use cordon_proto::update::order::read_document;
use cordon_proto::update::release::Listed;
use cordon_server_core::audit::{Entry, Summary};
use cordon_server_core::change::{Commit, Expected, Index, Key, Kind, Malformed, Revision};
use serde::{Deserialize, Serialize};

use crate::people::Doer;
use crate::store::{Cursor, Store, StoreError};

/// Drafts in the store.
#[derive(Clone)]
pub struct Drafts {
    store: Arc<dyn Store>,
}

/// What somebody hands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// The draft, JSON.
    pub draft: String,
    /// The document with the signatures so far, JSON.
    pub document: String,
    /// The lists of the scopes by order, as people keep them.
    pub lists: BTreeMap<Name, String>,
}

/// What is kept under `Key::Draft`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Version of this document.
    pub v: u32,
    /// The draft, as handed in.
    pub draft: String,
    /// The document, as handed in.
    pub document: String,
    /// The lists, as handed in.
    pub lists: BTreeMap<Name, String>,
    /// When it is forgotten.
    pub until: Timestamp,
}

/// A draft as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What was written down last.
    pub kept: Kept,
    /// To be named by whoever writes it next.
    pub revision: Revision,
    /// What it says.
    pub draft: Draft,
    /// The keys that have signed, as the document claims.
    pub signers: Vec<String>,
}

/// Why a draft is not kept. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// It has another form.
    #[error("the draft cannot be kept: {0}")]
    Form(String),
    /// There are too many.
    #[error("{} drafts wait already: finish or drop one (`cordonctl order draft list`)", limits::DRAFTS)]
    TooMany,
    /// There is none of that name.
    #[error(
        "there is no draft of that name; it may have been finished, dropped, or forgotten after {} days",
        limits::DRAFT_DAYS
    )]
    Unknown,
    /// The store cannot.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Larger than a transaction takes.
    #[error(transparent)]
    TooLarge(#[from] Malformed),
}

impl Drafts {
    /// Over a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// All that wait, by name.
    pub async fn list(&self, now: Timestamp) -> Result<Vec<Told>, DraftError> {
        let mut all = self.all().await?;
        all.retain(|told| told.kept.until > now);
        Ok(all)
    }

    /// One of them.
    pub async fn get(&self, name: &Name, now: Timestamp) -> Result<Told, DraftError> {
        let key = Key::Draft(name.clone());
        let row = self.store.get(key.clone()).await?.ok_or(DraftError::Unknown)?;
        let told = told(row.revision, &row.body).ok_or_else(|| StoreError::Corrupt(key.to_string()))?;
        if told.kept.until > now { Ok(told) } else { Err(DraftError::Unknown) }
    }

    /// Keeps a draft: a new one, or the next state of the one that was read at `expected`.
    pub async fn put(
        &self,
        name: &Name,
        handed: Handed,
        expected: Option<Revision>,
        by: Doer<'_>,
    ) -> Result<Revision, DraftError> {
        let Doer { actor, now } = by;
        let (draft, signers) = form(&handed)?;
        if draft.name != *name {
            return Err(DraftError::Form(format!("it calls itself {}", draft.name)));
        }
        let (lapsed, live): (Vec<_>, Vec<_>) =
            self.all().await?.into_iter().partition(|told| told.kept.until <= now);
        if live.iter().filter(|told| told.draft.name != *name).count() >= limits::DRAFTS {
            return Err(DraftError::TooMany);
        }
        let over = lapsed.iter().find(|told| told.draft.name == *name).map(|told| told.revision);
        let expected = expected.or(over).map_or(Expected::Absent, Expected::At);
        let Handed { draft: text, document, lists } = handed;
        let until = now.plus_seconds(limits::DRAFT_DAYS * 86_400);
        let kept = Kept { v: 1, draft: text, document, lists, until };
        let body = serde_json::to_vec(&kept).expect("texts and integers are always JSON");
        let words = format!("over orders {}, signed by {} keys", draft.base, signers.len());
        let key = Key::Draft(name.clone());
        let mut commit = Commit::draft(now, actor.clone())
            .expect(key.clone(), expected)
            .put(key, body)
            .audit(entry("draft.put", name, Some(&words), None));
        for gone in lapsed.iter().filter(|told| told.draft.name != *name) {
            commit = commit.delete(Key::Draft(gone.draft.name.clone()));
        }
        Ok(self.store.commit(commit.finish()?).await?.revision)
    }

    /// Drops a draft, with the reason in the journal.
    pub async fn drop(&self, name: &Name, reason: Text, by: Doer<'_>) -> Result<(), DraftError> {
        let revision = self.get(name, by.now).await?.revision;
        let key = Key::Draft(name.clone());
        let commit = Commit::draft(by.now, by.actor.clone())
            .expect(key.clone(), Expected::At(revision))
            .delete(key)
            .audit(entry("draft.drop", name, None, Some(reason)));
        self.store.commit(commit.finish()?).await?;
        Ok(())
    }

    async fn all(&self) -> Result<Vec<Told>, StoreError> {
        let (mut all, mut from) = (Vec::new(), Some(Cursor::First));
        while let Some(cursor) = from {
            let page = self.store.scan(Index::All(Kind::Draft), cursor, limits::PAGE_ROWS).await?;
            for (key, row) in page.rows {
                all.push(told(row.revision, &row.body).ok_or_else(|| StoreError::Corrupt(key.to_string()))?);
            }
            from = page.next;
        }
        Ok(all)
    }
}

/// Reads what was kept; nothing if this program does not know it.
fn told(revision: Revision, body: &[u8]) -> Option<Told> {
    let kept: Kept = serde_json::from_slice(body).ok().filter(|kept: &Kept| kept.v == 1)?;
    let handed =
        Handed { draft: kept.draft.clone(), document: kept.document.clone(), lists: BTreeMap::new() };
    let (draft, signers) = form(&handed).ok()?;
    Some(Told { kept, revision, draft, signers })
}

/// Looks at the form: a draft, a document of orders that follows its base, lists of orders that it adds.
fn form(handed: &Handed) -> Result<(Draft, Vec<String>), DraftError> {
    let wrong = |what: &dyn std::fmt::Display| DraftError::Form(what.to_string());
    let value = Value::parse(handed.draft.as_bytes(), limits::DRAFT_BYTES).map_err(|error| wrong(&error))?;
    let draft = Draft::read(&value).map_err(|error| wrong(&error))?;
    let limit = limits::DEVICE_TARGETS_BYTES;
    let document = Document::parse(handed.document.as_bytes(), limit).map_err(|error| wrong(&error))?;
    let targets = Targets::read(document.signed()).map_err(|error| wrong(&error))?;
    if draft.base.checked_add(1) != Some(targets.version) || draft.expires != targets.expires {
        return Err(wrong(
            &"the document is not the next one over the draft's base, or ends at another time",
        ));
    }
    let null = Value::Null;
    let mut paths = Vec::new();
    for (text, file) in &targets.targets {
        let path: TargetPath = text.parse().map_err(|_| wrong(&"a target's name cannot be read"))?;
        let sha256 = file.sha256().map_err(|error| wrong(&error))?;
        paths.push((path, file.length, sha256, file.custom.as_ref().unwrap_or(&null)));
    }
    let listed = paths.iter().map(|(path, length, sha256, custom)| Listed {
        path,
        length: *length,
        sha256: *sha256,
        custom,
    });
    read_document(listed, targets.expires).map_err(|error| wrong(&error))?;
    let adds = |name: &Name| {
        draft.intents.iter().any(|intent| matches!(intent, Intent::Add(order) if order.id == *name))
    };
    match handed.lists.keys().find(|name| !adds(name)) {
        Some(name) => Err(wrong(&format!("there is a list for {name}, which it does not add"))),
        None => Ok((draft, document.signatures().iter().map(|signature| signature.key.0.clone()).collect())),
    }
}

fn entry(action: &str, name: &Name, after: Option<&str>, reason: Option<Text>) -> Entry {
    let object = Text::lossy(&format!("draft:{name}"));
    let entry = Entry::new(action.parse().expect("a valid name"), object);
    Entry { after: after.map(Summary::of), reason, ..entry }
}
