//! Makers' repositories in the store: files come in one by one, and are seen when a whole publication was judged.
//!
//! Judged in `server/core`'s `import`; here files, pins and what is known are loaded, and one transaction takes the
//! publication in, under the condition that nothing it was judged by has changed. Nothing is fetched from anywhere.
//! Read next: [`super::makers`].

use std::collections::BTreeMap;

use cordon_proto::ids::{Name, Sha256, TargetPath};
use cordon_proto::limits;
use cordon_proto::update::{Role, name};
use cordon_server_core::audit::Summary;
use cordon_server_core::change::{Commit, Draft, Expected, Index, Key, Kind};
use cordon_server_core::import::{Form, Held, Imported, KnownRelease, Part, judge, may_put, stands_on};
use cordon_server_core::publish::{Earlier, Files, Refused, role_of};
use futures_util::TryStreamExt;

use super::{DIRECTOR, PublishError, Repositories, entry, rules};
use crate::people::Doer;
use crate::store::blobs::{Blob, Blobs};
use crate::store::{Cursor, Row, Store, StoreError};

/// A file of a maker's repository that comes in.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The repository.
    pub repository: &'a Name,
    /// Under which name.
    pub file: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// What is stored of a repository, and what a commit that was judged by it must expect.
#[derive(Default)]
struct Shelf {
    files: Files,
    expected: BTreeMap<String, Expected>,
}

/// Every release that was taken into a store, of all makers.
pub async fn releases_in(store: &dyn Store) -> Result<Vec<KnownRelease>, StoreError> {
    let mut releases = Vec::new();
    let mut from = Some(Cursor::First);
    while let Some(cursor) = from {
        let page = store.scan(Index::All(Kind::Release), cursor, limits::PAGE_ROWS).await?;
        for (key, row) in page.rows {
            let release =
                serde_json::from_slice(&row.body).map_err(|_| StoreError::Corrupt(key.to_string()))?;
            releases.push(release);
        }
        from = page.next;
    }
    Ok(releases)
}

impl Repositories {
    /// Takes in one file of a manufacturer's repository. Versioned files wait unseen until the `timestamp.json` that
    /// names them is taken in, and with it the whole repository has been judged.
    pub async fn publish_image(
        &self,
        incoming: Incoming<'_>,
        blobs: &Blobs,
        by: Doer<'_>,
    ) -> Result<Vec<KnownRelease>, PublishError> {
        if incoming.repository.as_str() == DIRECTOR {
            return Err(PublishError::Reserved);
        }
        if role_of(incoming.file)? == Role::Timestamp {
            return self.publish_whole(incoming, blobs, by).await;
        }
        let shelf = self.shelf(incoming.repository).await?;
        let pins = self.pins().await?;
        let own = pins.of(incoming.repository);
        may_put(&shelf.files, (incoming.file, incoming.bytes), own, &rules(by.now))?;
        let draft = Commit::draft(by.now, by.actor.clone());
        // What was judged by the publication in force must not come after the next one.
        let draft = shelf.guard(draft, incoming.repository, &name::file(&Role::Timestamp))?;
        let draft = shelf.guard(draft, incoming.repository, incoming.file)?;
        let draft = draft.put(key_of(incoming.repository, incoming.file)?, incoming.bytes.to_vec());
        self.store.commit(draft.finish()?).await?;
        Ok(Vec::new())
    }

    /// Takes in the timestamp and with it what it names.
    async fn publish_whole(
        &self,
        incoming: Incoming<'_>,
        blobs: &Blobs,
        by: Doer<'_>,
    ) -> Result<Vec<KnownRelease>, PublishError> {
        let Incoming { repository, file, bytes } = incoming;
        if file != name::file(&Role::Timestamp) {
            return Err(Refused::Name(file.chars().take(80).collect()).into());
        }
        let (mut shelf, pins, known) =
            (self.shelf(repository).await?, self.pins().await?, self.releases().await?);
        let earlier = Earlier::of(&shelf.files, &rules(by.now));
        let mut draft = Commit::draft(by.now, by.actor.clone());
        let (key, expected) = pins.guard(repository);
        draft = draft.expect(key, expected);
        shelf.files.insert(file.to_owned(), bytes.to_vec());
        for held in stands_on(&shelf.files, &rules(by.now)) {
            draft = shelf.guard(draft, repository, &held)?;
        }
        let held = Held { known: &known, pins: pins.all() };
        let mut imported = judge((repository, &shelf.files), earlier, held, &rules(by.now))?;
        imported.complete(&here(&imported, blobs).await?)?;
        for release in &mut imported.listed {
            look_at_files(release, blobs).await?;
        }
        draft = draft.put(key_of(repository, file)?, bytes.to_vec());
        for release in imported.listed.iter().chain(&imported.delisted) {
            if !known.contains(release) {
                let body = serde_json::to_vec(release).expect("strings and integers are always JSON");
                draft = draft.put(release_key(release), body);
            }
        }
        let told = Summary::of(&format!(
            "{} listed, {} new, {} no longer listed",
            imported.listed.len(),
            imported.new.len(),
            imported.delisted.len()
        ));
        let mut entry = entry("repository.publish", &format!("image:{repository}"));
        entry.after = Some(told);
        self.store.commit(draft.audit(entry).finish()?).await?;
        Ok(imported.listed)
    }

    /// All files of a repository, as received.
    pub async fn files(&self, repository: &Name) -> Result<Files, StoreError> {
        self.shelf(repository).await.map(|shelf| shelf.files)
    }

    /// Everything that is stored of a repository.
    async fn shelf(&self, repository: &Name) -> Result<Shelf, StoreError> {
        let mut shelf = Shelf::default();
        let mut from = Some(Cursor::First);
        while let Some(cursor) = from {
            let page = self.store.scan(Index::FilesOf(repository.clone()), cursor, 500).await?;
            for (key, row) in page.rows {
                if let Key::RepositoryFile { file, .. } = key {
                    shelf.take(file.as_str(), row);
                }
            }
            from = page.next;
        }
        Ok(shelf)
    }

    /// All releases that were ever taken in; some are no longer listed.
    pub async fn releases(&self) -> Result<Vec<KnownRelease>, StoreError> {
        releases_in(&*self.store).await
    }

    /// One release that was taken in.
    pub async fn release(
        &self,
        repository: &Name,
        release: &TargetPath,
    ) -> Result<Option<KnownRelease>, StoreError> {
        let key = Key::Release { repository: repository.clone(), release: release.clone() };
        let Some(row) = self.store.get(key.clone()).await? else { return Ok(None) };
        serde_json::from_slice(&row.body).map(Some).map_err(|_| StoreError::Corrupt(key.to_string()))
    }
}

impl Shelf {
    fn take(&mut self, file: &str, row: Row) {
        self.expected.insert(file.to_owned(), Expected::At(row.revision));
        self.files.insert(file.to_owned(), row.body);
    }

    /// Makes a commit depend on a file being as it was read.
    fn guard(&self, draft: Draft, repository: &Name, file: &str) -> Result<Draft, PublishError> {
        let expected = self.expected.get(file).copied().unwrap_or(Expected::Absent);
        Ok(draft.expect(key_of(repository, file)?, expected))
    }
}

fn key_of(repository: &Name, file: &str) -> Result<Key, PublishError> {
    let path: TargetPath = file.parse().map_err(|_| Refused::Name(file.chars().take(80).collect()))?;
    Ok(Key::RepositoryFile { repository: repository.clone(), file: path })
}

fn release_key(known: &KnownRelease) -> Key {
    Key::Release { repository: known.repository.clone(), release: known.release.clone() }
}

/// Which of the files that new releases name are here, and how long they are.
async fn here(imported: &Imported, blobs: &Blobs) -> Result<BTreeMap<Sha256, u64>, PublishError> {
    let mut here = BTreeMap::new();
    for (_, _, file) in imported.wanted() {
        if let Some(blob) = blobs.get(file.sha256).await? {
            here.insert(file.sha256, blob.info().length);
        }
    }
    Ok(here)
}

/// Says in which form a release's files are, where nobody has looked yet.
async fn look_at_files(release: &mut KnownRelease, blobs: &Blobs) -> Result<(), PublishError> {
    for (part, file) in release.unread() {
        let Some(blob) = blobs.get(file.sha256).await? else { continue };
        let form = if file.length > limits::SBOM_BYTES { None } else { form_of(part, &blob).await };
        release.forms.insert(part, form.unwrap_or_else(Form::not_readable));
    }
    Ok(())
}

/// Nothing where the file cannot be read off the disk; the next look may find it whole.
async fn form_of(part: Part, blob: &Blob) -> Option<Form> {
    let bytes: Vec<_> = blob.stream(0, limits::SBOM_BYTES).try_collect().await.ok()?;
    let look = move || Form::of(part, &bytes.concat());
    tokio::task::spawn_blocking(look).await.ok()
}
