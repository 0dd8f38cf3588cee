//! The server's own backups: one every so many hours into a folder, the oldest beyond a number removed.
//!
//! Only files that bear our own kind of name are counted or removed. Never with the issuing key. What fails is said
//! and tried again an hour later; an old backup goes only after a new one stands.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cordon_proto::time::Timestamp;

use super::backup::{self, BackupError, Made, Order, Progress, Source};
use crate::app::App;
use crate::files;

const HOUR_S: i64 = 3600;
const HEAD: &str = "cordon-";
const TAIL: &str = ".age";

/// Writes a backup if one is due.
pub async fn run_if_due(app: &Arc<App>) -> Result<Option<(PathBuf, Made)>, BackupError> {
    let settings = &app.config.backup;
    let Some(folder) = settings.folder.as_ref().map(|folder| app.config.path(folder)) else {
        return Ok(None);
    };
    let now = app.clock.now();
    files::create_folder(&folder)?;
    let before = ours(&folder)?;
    let due =
        |last: &(Timestamp, PathBuf)| now.seconds_since(last.0) >= i64::from(settings.every_hours) * HOUR_S;
    if !before.last().is_none_or(due) {
        return Ok(None);
    }
    let to = std::path::absolute(folder.join(format!("{HEAD}{}{TAIL}", now.0)));
    let to = to.map_err(|source| BackupError::Write { path: folder.clone(), source })?;
    let order = Order { to: to.clone(), with_ca_key: false, with_blobs: false };
    let made = now_of(app, &order, Arc::new(Progress::default())).await?;
    let all = ours(&folder)?;
    let surplus = all.len().saturating_sub(settings.keep);
    for (_, path) in all.into_iter().take(surplus) {
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::error!(%error, path = %path.display(), "an old backup could not be removed");
        }
    }
    Ok(Some((to, made)))
}

/// Writes a backup of a running server, unless one is being written; given up when the server drains.
pub async fn now_of(app: &Arc<App>, order: &Order, progress: Arc<Progress>) -> Result<Made, BackupError> {
    let Ok(_turn) = app.care.backing_up.clone().try_lock_owned() else { return Err(BackupError::Busy) };
    let feeds = app.knowledge.folder();
    let source = Source { config: &app.config, store: &*app.store, blobs: &app.blobs, feeds };
    let now = app.clock.now();
    let work = backup::run(source, order, now, progress.clone());
    tokio::pin!(work);
    let made = tokio::select! {
        made = &mut work => made,
        () = app.drained() => {
            progress.give_up();
            work.await
        }
    }?;
    app.metrics.backed_up(now);
    tracing::info!(
        to = %order.to.display(), bytes = made.bytes, documents = made.documents, events = made.events,
        "a backup was written"
    );
    Ok(made)
}

/// Our backups in a folder, the oldest first.
fn ours(folder: &Path) -> Result<Vec<(Timestamp, PathBuf)>, files::FileError> {
    let stamped = |name: &String| {
        let digits = name.strip_prefix(HEAD)?.strip_suffix(TAIL)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
        Some((Timestamp(digits.parse().ok()?), folder.join(name)))
    };
    let mut found: Vec<_> = files::names(folder)?.iter().filter_map(stamped).collect();
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_our_own_name_are_counted() {
        // Goal: nothing of anybody else's is ever removed. Method: ours beside near misses.
        let folder = tempfile::tempdir().expect("a folder");
        for name in [
            "cordon-20.age",
            "cordon-3.age",
            "cordon-x.age",
            "cordon-4.age.part",
            "other-5.age",
            "cordon-.age",
        ] {
            std::fs::write(folder.path().join(name), b"x").expect("written");
        }
        let found = ours(folder.path()).expect("listed");
        let times: Vec<i64> = found.iter().map(|(at, _)| at.0).collect();
        assert_eq!(times, [3, 20]);
    }
}
