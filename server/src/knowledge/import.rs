//! Feeds on their way in: a file is kept under its hash, read, judged, and put in force by one commit.
//!
//! Until that commit the former file is in force, whatever happens: a kill, a full disk, a file that nobody understands. What
//! is refused is counted by its reason and its file goes again. Read next: `feeds::intake` in `server/core`, which judges.

use std::io::Read;

use cordon_proto::ids::{Name, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::{Entry, Summary};
use cordon_server_core::change::{Commit, Malformed};
use cordon_server_core::exposure::Builder;
use cordon_server_core::feeds::intake::signed::{Signed, verify};
use cordon_server_core::feeds::intake::{Feed, Incoming, Kind, NotTaken, Tally, judge};

use super::Knowledge;
use super::read::{Source, Unread, read};
use crate::app::{App, CommitError, name};
use crate::people::Doer;
use crate::store::blobs::{self, Blob, BlobError, Stored};
use crate::store::{Expected, Key, Revision, StoreError};
use crate::verifier::ServerVerifier;

/// What is said of a file that comes in.
#[derive(Clone, Debug)]
pub struct Brought {
    /// The feed.
    pub name: Name,
    /// What it holds.
    pub kind: Kind,
    /// Of when it is, as whoever brings it says.
    pub as_of: Option<Timestamp>,
    /// The signed statement about it, as it came.
    pub signature: Option<Vec<u8>>,
    /// Whether a person has seen what is odd about it and wants it all the same.
    pub confirmed: bool,
}

/// Why a feed is not changed. What was in force stays.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The file is refused.
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
    /// No such feed.
    #[error("there is no feed `{0}` here")]
    Unknown(Name),
    /// Somebody else was faster.
    #[error("the feed was changed meanwhile: look at it, and send the file again if it is still meant so")]
    Moved,
    /// The disk.
    #[error(transparent)]
    File(#[from] BlobError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A mistake of ours.
    #[error(transparent)]
    TooMuch(#[from] Malformed),
}

impl From<CommitError> for FeedError {
    fn from(error: CommitError) -> Self {
        match error {
            error if error.is_conflict() => Self::Moved,
            CommitError::Store(error) => error.into(),
            CommitError::Malformed(error) => error.into(),
        }
    }
}

impl Knowledge {
    /// Begins to take in a file of at most `limit` bytes.
    pub async fn receive(&self, limit: u64) -> Result<blobs::Incoming, BlobError> {
        self.files.put(limit).await
    }

    /// The file of a feed, to be read.
    pub async fn file(&self, feed: &Feed) -> Result<Option<Blob>, BlobError> {
        self.files.get(feed.sha256).await
    }

    /// Puts a file in force that is kept already.
    pub async fn import(
        &self,
        app: &App,
        brought: Brought,
        file: Stored,
        by: Doer<'_>,
    ) -> Result<Feed, FeedError> {
        let _alone = self.importing.lock().await;
        let name = brought.name.clone();
        let taken = self.put_in_force(app, brought, file, by).await;
        match &taken {
            Ok((_, Some(former))) => self.forget(former.sha256).await,
            Ok((_, None)) => {}
            Err(FeedError::NotTaken(why)) => {
                {
                    let mut refused = self.refused.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    // Names of feeds that never were are a person's mistakes; so many are enough to show.
                    if refused.len() < limits::FEEDS * 8 || refused.contains_key(&(name.clone(), why.word()))
                    {
                        app.metrics.feed_refused(&name, why.word());
                        *refused.entry((name, why.word())).or_default() += 1;
                    }
                }
                self.forget(file.sha256).await;
            }
            // A commit of which nobody knows whether it was made may name the file: it stays.
            Err(FeedError::Store(error)) if !matches!(error, StoreError::Full) => {}
            Err(
                FeedError::Store(_)
                | FeedError::Unknown(_)
                | FeedError::Moved
                | FeedError::File(_)
                | FeedError::TooMuch(_),
            ) => self.forget(file.sha256).await,
        }
        taken.map(|(feed, _)| feed)
    }

    async fn put_in_force(
        &self,
        app: &App,
        brought: Brought,
        file: Stored,
        by: Doer<'_>,
    ) -> Result<(Feed, Option<Feed>), FeedError> {
        let signed = signature(app, &brought, file)?;
        let tally = self.tally(brought.kind, file).await?;
        let (held, expected) = self.held(&brought.name);
        if held.is_none() && self.feeds().len() >= limits::FEEDS {
            return Err(NotTaken::TooMany.into());
        }
        let incoming = Incoming {
            name: brought.name.clone(),
            kind: brought.kind,
            sha256: file.sha256,
            length: file.length,
            tally,
            said: brought.as_of,
            signed,
            confirmed: brought.confirmed,
            by: by.actor.to_string(),
        };
        let feed = judge(held.as_ref(), incoming, by.now)?;
        let words = |feed: &Feed| {
            let refused: u64 = feed.refused.values().sum();
            format!(
                "{} of {}, {} records, {refused} refused, {}",
                feed.kind.word(),
                feed.as_of,
                feed.records,
                feed.sha256
            )
        };
        let mut entry = entry("feed.import", &brought.name);
        entry.before = held.as_ref().map(|held| Summary::of(&words(held)));
        entry.after = Some(Summary::of(&words(&feed)));
        let key = Key::Feed(brought.name);
        let draft = Commit::draft(by.now, by.actor.clone()).expect(key.clone(), expected);
        app.commit(draft.put(key, feed.to_body()).audit(entry)).await?;
        Ok((feed, held))
    }

    /// Takes a feed out of force.
    pub async fn remove(&self, app: &App, feed: &Name, reason: Text, by: Doer<'_>) -> Result<(), FeedError> {
        let _alone = self.importing.lock().await;
        let (held, expected) = self.held(feed);
        let held = held.ok_or_else(|| FeedError::Unknown(feed.clone()))?;
        let entry = Entry { reason: Some(reason), ..entry("feed.remove", feed) };
        let key = Key::Feed(feed.clone());
        let draft = Commit::draft(by.now, by.actor.clone()).expect(key.clone(), expected);
        app.commit(draft.delete(key).audit(entry)).await?;
        self.forget(held.sha256).await;
        Ok(())
    }

    /// What of a file could be read.
    async fn tally(&self, kind: Kind, file: Stored) -> Result<Tally, FeedError> {
        let blob = self.files.get(file.sha256).await?;
        let work = move || {
            let blob = blob.ok_or(Unread::Missing)?;
            let open = || -> Box<dyn Read> { Box::new(blob.reader()) };
            let mut tally = Tally::default();
            read(&Source { kind, feed: 0, open: &open }, &mut Builder::default(), &mut tally)?;
            Ok(tally)
        };
        let tally: Result<Tally, Unread> =
            tokio::task::spawn_blocking(work).await.map_err(|error| NotTaken::File(error.to_string()))?;
        Ok(tally.map_err(|error| NotTaken::File(error.to_string()))?)
    }

    /// The feed of a name, and what a commit about it takes for granted.
    fn held(&self, name: &Name) -> (Option<Feed>, Expected) {
        self.read(|state| match state.feeds.get(name) {
            Some(held) => {
                let at = |revision: Revision| Expected::At(revision);
                let expected = held.feed.as_ref().map_or(Expected::Absent, |_| at(held.revision));
                (held.feed.clone(), expected)
            }
            None => (None, Expected::Absent),
        })
    }

    /// Removes files that no feed names: of an import that a kill cut off between its file and its commit. Called before
    /// anybody is served, for a file that has just come in is named by nobody either. Not where other servers write too, for
    /// one may be in the middle of its import; nor while a feed cannot be read that may name one. That it fails is no fault
    /// that anybody has to mend.
    pub async fn sweep(&self, app: &App) {
        if app.following.is_shared() || self.read(|state| state.unreadable) {
            return;
        }
        if let Err(error) = self.remove_unnamed().await {
            let error = crate::log::chain(&error);
            tracing::warn!(error, "files of feeds that were never in force could not be removed");
        }
    }

    async fn remove_unnamed(&self) -> Result<(), BlobError> {
        let named: Vec<_> = self.feeds().into_iter().map(|feed| feed.sha256).collect();
        for sha256 in self.files.list().await? {
            if !named.contains(&sha256) {
                self.files.remove(sha256).await?;
            }
        }
        Ok(())
    }

    /// Removes a file that no feed names any more. That it stays is no fault that anybody has to mend.
    async fn forget(&self, sha256: cordon_proto::ids::Sha256) {
        if self.feeds().iter().any(|feed| feed.sha256 == sha256) {
            return;
        }
        if let Err(error) = self.files.remove(sha256).await {
            tracing::warn!(
                error = crate::log::chain(&error),
                "the file of a former feed could not be removed"
            );
        }
    }
}

/// Who signed a file, where the owner wants it signed.
fn signature(app: &App, brought: &Brought, file: Stored) -> Result<Option<Signed>, NotTaken> {
    let keys = app.config.feeds.keys_of(&brought.name);
    let about = (&brought.name, brought.kind, file.sha256);
    Ok(verify(brought.signature.as_deref(), &keys, about, &ServerVerifier)?)
}

fn entry(action: &str, feed: &Name) -> Entry {
    Entry::new(name(action), Text::lossy(&format!("feed:{feed}")))
}
