//! `backup` and `restore` for the person at the keyboard: whom to ask, and what to say.
//!
//! A running server is asked; the store is opened here only when none runs, and the store's own lock has the last
//! word on that. What to do next is always said, because whoever restores has a bad day already.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use anyhow::bail;

use super::say;
use crate::care::backup::{self, Made, Order, Progress, Source};
use crate::care::restore::Restored;
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{self, ControlError, Question, Reply};
use crate::knowledge;
use crate::serve;
use crate::store::blobs::Blobs;

/// Images that are named one by one.
const NAMED: usize = 20;

/// Writes a backup: by the running server, or here if none runs.
pub(super) async fn by_hand(config: &Config, order: Order) -> anyhow::Result<()> {
    let to = order.to.clone();
    let socket = config.path(&config.control);
    let made = match control::ask(&socket, &Question::Backup(order.clone()), progress).await {
        Ok(Reply::BackedUp(made)) => made,
        Ok(Reply::Refused(reason)) => bail!(reason),
        Ok(Reply::Link(_) | Reply::Written(_) | Reply::Authority(_)) => bail!(ControlError::Answer),
        Err(ControlError::Absent { source, .. }) if nobody(&source) => alone(config, &order).await?,
        Err(error) => return Err(error.into()),
    };
    say(&format!(
        "{}: {} documents, {} telemetry records, {} feeds, {} images listed, {} bytes, sealed for {}",
        to.display(),
        made.documents,
        made.events,
        made.feeds,
        made.blobs,
        made.bytes,
        config
            .backup
            .recipient
            .map_or_else(|| "the key in the server's settings".to_owned(), |key| key.to_string()),
    ));
    for sha256 in &made.damaged {
        tell(&format!("The image {sha256} is damaged on the server's disk: send it again."));
    }
    for sha256 in &made.damaged_feeds {
        tell(&format!("The feed's file {sha256} is damaged on the server's disk: import that feed again."));
    }
    if order.with_ca_key {
        tell(
            "The issuing key is in it: whoever can open this file can make devices. Keep it as you keep that key.",
        );
    }
    Ok(())
}

/// Whether no server runs, as against one that may not be asked.
pub(super) fn nobody(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused)
}

async fn alone(config: &Config, order: &Order) -> anyhow::Result<Made> {
    let store = serve::open_store(config).await?;
    let blobs = Blobs::open(config.path(&config.blobs)).await?;
    let feeds = Blobs::open(config.path(&config.blobs).join(knowledge::FOLDER)).await?;
    let source = Source { config, store: &*store, blobs: &blobs, feeds: &feeds };
    Ok(backup::run(source, order, Clock::system().now(), Arc::new(Progress::default())).await?)
}

fn progress(bytes: u64) {
    let mut stderr = std::io::stderr().lock();
    if bytes > 0 && stderr.is_terminal() {
        let _ = write!(stderr, "\r{} MiB written\r", bytes / (1024 * 1024));
    }
}

/// Says what was restored and how to go on.
pub(super) fn restored(restored: &Restored) {
    let Restored { about, store, .. } = restored;
    say(&format!(
        "restored the backup of {}: {} documents, {} telemetry records, {} feeds",
        about.made, store.documents, store.events, restored.feeds
    ));
    if restored.settings_changed {
        tell(
            "The settings were written anew, with paths and store of the new folder: read them before you start.",
        );
    }
    if let Some(key) = &restored.issuing_key {
        tell(&format!(
            "The issuing key is not in this backup: copy it to {} (mode 0600). Without it the server does not start.",
            key.display()
        ));
    }
    if !restored.missing.is_empty() {
        let folder = restored.blobs.display();
        tell(&format!(
            "{} images are not in this backup: copy the old folder over {folder}, or send the releases again. Missing:",
            restored.missing.len()
        ));
        restored.missing.iter().take(NAMED).for_each(|sha256| tell(&format!("  {sha256}")));
        if restored.missing.len() > NAMED {
            tell(&format!("  and {} more", restored.missing.len() - NAMED));
        }
    }
    for (feed, kind) in &restored.missing_feeds {
        tell(&format!(
            "The file of the feed {feed} is not in this backup: what it spoke of is unknown until you bring it again by \
             `cordonctl feeds import {feed} FILE --kind {}`.",
            kind.word()
        ));
    }
    if let Some(error) = &restored.unsigned {
        tell(&format!(
            "Snapshot and timestamp could not be signed anew ({error}): publish the director again."
        ));
    }
    tell(&format!(
        "What was decided after {} is not in it: quarantine, revoke and hold again what has to be, publish your \
         director's newest documents, and let devices that enrolled later enrol again.\nThe old server must not start \
         again beside this one. Go on with `cordon-server serve --config {}`.",
        about.made,
        restored.config.display()
    ));
}

fn tell(words: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{words}");
}
