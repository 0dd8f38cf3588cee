//! The releases that were taken in, with their bills of materials held against what is known: what repairs a weakness is
//! known before any device runs it.
//!
//! A bill is read once for each world, one at a time, off the async threads; only what it has or may have is kept. One that is
//! not here or cannot be read tells nothing, which is never taken for safe. Read next: `exposure::shipped` in `server/core`.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use cordon_proto::ids::{Sha256, Text};
use cordon_proto::limits;
use cordon_proto::update::release::FileRef;
use cordon_server_core::exposure::{Bill, Open};
use cordon_server_core::import::{KnownRelease, Part};
use cordon_server_core::sbom;
use futures_util::TryStreamExt;

use super::Knowledge;
use super::matched::Made;
use crate::app::App;
use crate::log::chain;
use crate::repositories::releases_in;
use crate::store::StoreError;
use crate::store::blobs::Blobs;

/// Releases of one model whose bills are read: the newest.
const OF_MODEL: usize = 16;

/// A release that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OnShelf {
    pub(super) model: Text,
    pub(super) release: String,
    pub(super) counter: u64,
    /// What its bill says that it has or may have, where there is one that can be read.
    pub(super) open: Option<Arc<Open>>,
}

impl Knowledge {
    /// The releases that were taken in, the lower counters first.
    pub(super) async fn shelf(&self, app: &App, made: &Arc<Made>) -> Result<Vec<OnShelf>, StoreError> {
        let mut releases = releases_in(&*app.store).await?;
        releases.sort_by(|a, b| (&a.model, b.counter).cmp(&(&b.model, a.counter)));
        let mut of_model: BTreeMap<Text, usize> = BTreeMap::new();
        let mut shelf = Vec::new();
        for known in releases {
            let place = of_model.entry(known.model.clone()).or_default();
            *place += 1;
            let open = match bill_of(&known) {
                Some(file) if *place <= OF_MODEL => open(&app.blobs, file, made).await,
                Some(_) | None => None,
            };
            let (release, counter) = (known.release.to_string(), known.counter);
            shelf.push(OnShelf { model: known.model, release, counter, open });
        }
        shelf.reverse();
        Ok(shelf)
    }
}

/// The file of a release's bill of materials.
pub(super) fn bill_of(known: &KnownRelease) -> Option<FileRef> {
    let files = known.files().into_iter();
    let (_, file) = files.into_iter().find(|(part, _)| *part == Part::Sbom)?;
    (file.length <= limits::SBOM_BYTES).then_some(file)
}

/// What a bill has or may have, asked once in a world. A file that is not here may come yet.
async fn open(blobs: &Blobs, file: FileRef, made: &Arc<Made>) -> Option<Arc<Open>> {
    if let Some(known) = made.bills.read().unwrap_or_else(PoisonError::into_inner).get(&file.sha256) {
        return known.clone();
    }
    let bytes = match read(blobs, file).await {
        Ok(bytes) => bytes?,
        Err(error) => {
            tracing::warn!(sha256 = %file.sha256, error, "a release's bill of materials cannot be read");
            return None;
        }
    };
    let world = made.clone();
    let asked = tokio::task::spawn_blocking(move || match sbom::read(&bytes) {
        Ok(sbom) => Some(Arc::new(world.world.open_of_bill(&Bill::of(&sbom)))),
        Err(why) => {
            tracing::warn!(sha256 = %file.sha256, %why, "a release's bill of materials is not read");
            None
        }
    });
    let open = asked.await.ok()?;
    made.bills.write().unwrap_or_else(PoisonError::into_inner).insert(file.sha256, open.clone());
    open
}

async fn read(blobs: &Blobs, file: FileRef) -> Result<Option<Vec<u8>>, String> {
    let blob = blobs.get(file.sha256).await.map_err(|error| chain(&error).to_string())?;
    let Some(blob) = blob.filter(|blob| blob.info().length == file.length) else { return Ok(None) };
    let bytes: Result<Vec<_>, _> = blob.stream(0, file.length).try_collect().await;
    Ok(Some(bytes.map_err(|error| chain(&error).to_string())?.concat()))
}

/// What was asked of bills in one world, by their files.
pub(super) type Bills = BTreeMap<Sha256, Option<Arc<Open>>>;
