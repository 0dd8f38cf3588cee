//! A backup: one age file with everything that a server needs to be itself again, written while it works.
//!
//! In it: the settings, the keys of the `keys` folder, the authority's certificates, the store as of one moment, the
//! files of feeds, the list of images, and the images themselves where they are asked for. **The issuing key only where it
//! is asked for, the root's key never.** The file is written beside its name, synced, then renamed, mode 0600; an existing file is
//! never replaced, and nothing is ever on the disk unsealed. Read next: `restore`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, PipeReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cordon_proto::ids::{Sha256, Text};
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::{Entry, Summary};
use cordon_server_core::change::Commit;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::bundle::Bundle;
use crate::age::{Recipient, Sealer};
use crate::app::{name, server};
use crate::ca::ROOT_KEY;
use crate::ca::key::is_issuing_key;
use crate::config::Config;
use crate::files::{self, FileError};
use crate::store::blobs::{Blob, BlobError, Blobs};
use crate::store::{Store, StoreError};

/// Entry that says what the backup is, always the first.
pub(super) const ABOUT: &str = "about.json";
/// Entry of the settings.
pub(super) const SETTINGS: &str = "cordon.toml";
/// Entries of the director's online keys and other keys of the server's own.
pub(super) const KEYS: &str = "keys/";
/// Entries of the authority.
pub(super) const CA: &str = "ca/";
/// Entry of the store.
pub(super) const STORE: &str = "store";
/// Entry that lists the images, one a line: hash and length.
pub(super) const BLOB_LIST: &str = "blobs.txt";
/// Entries of images.
pub(super) const BLOBS: &str = "blobs/";
/// Entries of feeds' files: which of them is in force stands in the store.
pub(super) const FEEDS: &str = "feeds/";

const BUFFER_BYTES: usize = 256 * 1024;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The file, by its whole path.
    pub to: PathBuf,
    /// Whether the issuing key goes in.
    pub with_ca_key: bool,
    /// Whether the images go in.
    pub with_blobs: bool,
}

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Version of the form.
    pub v: u32,
    /// Version of the program that wrote it.
    pub program: String,
    /// When.
    pub made: Timestamp,
    /// Whether the issuing key is in it.
    pub ca_key: bool,
    /// Whether the images are in it.
    pub blobs: bool,
}

/// A backup that was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Documents, audit entries included.
    pub documents: u64,
    /// Telemetry records.
    pub events: u64,
    /// Images that it lists.
    pub blobs: u64,
    /// Images that are damaged on the server's disk.
    pub damaged: Vec<Sha256>,
    /// Files of feeds that it holds.
    pub feeds: u64,
    /// Files of feeds that are damaged on the server's disk.
    pub damaged_feeds: Vec<Sha256>,
    /// Bytes of the file.
    pub bytes: u64,
}

/// How far a backup is, and whether it should go on.
#[derive(Debug, Default)]
pub struct Progress {
    bytes: AtomicU64,
    given_up: AtomicBool,
}

impl Progress {
    /// Bytes written so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Ends the backup at its next write, leaving nothing behind.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}

/// Why there is no backup. Nothing was left behind.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nobody to seal it for.
    #[error(
        "there is no key to seal backups for: run `age-keygen -o backup-identity.txt` on another machine, keep that \
         file there, write `[backup]` and `recipient = \"age1…\"` with the public key it printed into the settings, \
         and start the server anew"
    )]
    NoRecipient,
    /// It is there already.
    #[error("{} is there already and is never replaced: choose a new name", .0.display())]
    Exists(PathBuf),
    /// A path that would mean another place to the server.
    #[error("{} is not a whole path: begin it with `/`", .0.display())]
    Relative(PathBuf),
    /// One at a time.
    #[error("a backup is being written already: wait for it")]
    Busy,
    /// The person or the server stopped it.
    #[error("the backup was given up half-way; nothing of it is left")]
    GivenUp,
    /// Keys or certificates.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store.
    #[error("the store could not be read for the backup")]
    Store(#[from] StoreError),
    /// The images.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// The file.
    #[error("cannot write {}: see that the folder is there, has room, and is the server's own user's", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What is backed up.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The settings, and where the keys are.
    pub config: &'a Config,
    /// Documents and telemetry.
    pub store: &'a dyn Store,
    /// Images.
    pub blobs: &'a Blobs,
    /// Files of feeds.
    pub feeds: &'a Blobs,
}

/// Writes a backup. It takes as long as it takes; nothing else waits for it.
pub async fn run(
    source: Source<'_>,
    order: &Order,
    now: Timestamp,
    progress: Arc<Progress>,
) -> Result<Made, BackupError> {
    let recipient = source.config.backup.recipient.ok_or(BackupError::NoRecipient)?;
    if !order.to.is_absolute() {
        return Err(BackupError::Relative(order.to.clone()));
    }
    if order.to.exists() {
        return Err(BackupError::Exists(order.to.clone()));
    }
    let head = head(source.config, order, now)?;
    // Opened before the store's moment, and looked for again after it: a feed that is replaced meanwhile loses its file.
    let mut feeds = BTreeMap::new();
    open_all(source.feeds, &mut feeds).await?;
    write_down(source.store, order, now).await?;
    let (reading, writing) = io::pipe().map_err(failed(&order.to))?;
    let to = order.to.clone();
    let sealing = tokio::task::spawn_blocking(move || {
        let mut file = Sealed::begin(&to, &recipient, progress)?;
        for (entry, bytes) in &head {
            file.add(entry, &mut bytes.as_slice())?;
        }
        file.store(reading)
    });
    let sink = BufWriter::with_capacity(BUFFER_BYTES, writing);
    let stored = source.store.backup_into(Box::new(sink)).await;
    // Whatever broke the seal broke the store's pipe too, and is the better reason.
    let mut file = sealing.await.map_err(lost(&order.to))??;
    let stored = stored?;
    open_all(source.feeds, &mut feeds).await?;
    let mut made = Made { documents: stored.documents, events: stored.events, ..Made::default() };
    for blob in feeds.into_values() {
        made.feeds = made.feeds.saturating_add(1);
        let (name, whole);
        (file, name, whole) = file.with_blob(FEEDS, blob, &order.to).await?;
        made.damaged_feeds.extend(Some(name).filter(|_| !whole));
    }
    let mut list = String::new();
    let mut images = Vec::new();
    for sha256 in source.blobs.list().await? {
        let Some(blob) = source.blobs.get(sha256).await? else { continue };
        list.push_str(&format!("{sha256} {}\n", blob.info().length));
        made.blobs = made.blobs.saturating_add(1);
        images.push(sha256);
    }
    file = blocking(&order.to, move || file.with(BLOB_LIST, &mut list.as_bytes())).await?;
    for sha256 in images.into_iter().filter(|_| order.with_blobs) {
        // One that was set aside meanwhile is in the list, so a restore misses it by name.
        let Some(blob) = source.blobs.get(sha256).await? else { continue };
        let whole;
        (file, _, whole) = file.with_blob(BLOBS, blob, &order.to).await?;
        made.damaged.extend(Some(sha256).filter(|_| !whole));
    }
    made.bytes = blocking(&order.to, move || file.finish()).await?;
    Ok(made)
}

/// Opens what is not open yet: an open file stays readable although its name goes.
async fn open_all(blobs: &Blobs, held: &mut BTreeMap<Sha256, Blob>) -> Result<(), BlobError> {
    for sha256 in blobs.list().await? {
        if !held.contains_key(&sha256)
            && let Some(blob) = blobs.get(sha256).await?
        {
            held.insert(sha256, blob);
        }
    }
    Ok(())
}

/// The journal's entry, before the first byte. On a full disk a backup is needed more than its entry; one with the
/// issuing key in it is never made unseen.
async fn write_down(store: &dyn Store, order: &Order, now: Timestamp) -> Result<(), BackupError> {
    let words = match (order.with_ca_key, order.with_blobs) {
        (true, true) => "with the issuing key and the images",
        (true, false) => "with the issuing key",
        (false, true) => "with the images",
        (false, false) => "without the issuing key and the images",
    };
    let file = order.to.file_name().unwrap_or_default().to_string_lossy();
    let entry = Entry {
        after: Some(Summary::of(words)),
        ..Entry::new(name("store.backup"), Text::lossy(&format!("file:{file}")))
    };
    let commit = Commit::draft(now, server("backup")).audit(entry).finish();
    let commit = commit.expect("one small entry is within all bounds");
    match store.commit(commit).await {
        Ok(_) => Ok(()),
        Err(StoreError::Full) if !order.with_ca_key => {
            tracing::warn!("the disk is full, so the journal does not know of this backup");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Name and bytes of a small entry.
type SmallFile = (String, Zeroizing<Vec<u8>>);

/// The entries before the store: what it is, settings, keys, certificates.
fn head(config: &Config, order: &Order, now: Timestamp) -> Result<Vec<SmallFile>, FileError> {
    let program = env!("CARGO_PKG_VERSION").to_owned();
    let about = About { v: 1, program, made: now, ca_key: order.with_ca_key, blobs: order.with_blobs };
    let about = serde_json::to_vec(&about).expect("words and numbers are always JSON");
    let mut entries = vec![
        (ABOUT.to_owned(), about.into()),
        (SETTINGS.to_owned(), config.text.clone().into_bytes().into()),
    ];
    for (folder, prefix) in [(config.path(&config.keys), KEYS), (config.path(&config.ca), CA)] {
        for name in files::names(&folder)? {
            let goes = match (prefix, name.as_str()) {
                (CA, ROOT_KEY) => false,
                // Sealed or not: whoever restores it elsewhere could make devices.
                (CA, name) if is_issuing_key(name) => order.with_ca_key && is_plain(name),
                // A key of the authority that is not known here stays where it is.
                (CA, name) => is_plain(name) && !name.ends_with("key.pem"),
                (_, name) => is_plain(name),
            };
            if goes {
                let path = folder.join(&name);
                let is_secret = name.ends_with("key.pem") || is_issuing_key(&name);
                let bytes = if is_secret { files::read_secret(&path)? } else { files::read(&path)?.into() };
                entries.push((format!("{prefix}{name}"), bytes));
            }
        }
    }
    Ok(entries)
}

/// Whether a file's name is one that a backup may carry: no folder, nothing hidden.
pub(super) fn is_plain(name: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=64).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(letters)
}

/// A backup being written; without its end, nothing is left of it.
struct Sealed {
    to: PathBuf,
    part: Part,
    bundle: Bundle<Sealer<Counted>>,
}

struct Part(PathBuf);

impl Drop for Part {
    /// A part that got its name is no longer there under this one.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The file, its bytes counted, its end at anybody's word.
struct Counted {
    file: BufWriter<File>,
    progress: Arc<Progress>,
}

impl Sealed {
    fn begin(to: &Path, recipient: &Recipient, progress: Arc<Progress>) -> Result<Self, BackupError> {
        let part = Part(to.with_added_extension("part"));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part.0);
        let file = BufWriter::with_capacity(BUFFER_BYTES, file.map_err(failed(to))?);
        let sealer = Sealer::new(Counted { file, progress }, recipient);
        let bundle = sealer.and_then(Bundle::begin).map_err(failed(to))?;
        Ok(Self { to: to.to_owned(), part, bundle })
    }

    fn add(&mut self, name: &str, from: &mut dyn Read) -> Result<(), BackupError> {
        self.bundle.add(name, from).map(drop).map_err(failed(&self.to))
    }

    fn with(mut self, name: &str, from: &mut dyn Read) -> Result<Self, BackupError> {
        self.add(name, from).map(|()| self)
    }

    /// Adds a blob; says its name, and whether its bytes are those of the name.
    async fn with_blob(
        self,
        folder: &'static str,
        blob: Blob,
        to: &Path,
    ) -> Result<(Self, Sha256, bool), BackupError> {
        let sha256 = blob.info().sha256;
        let mut hashed = Hashed { reader: blob.reader(), hasher: sha2::Digest::new() };
        blocking(to, move || {
            let file = self.with(&format!("{folder}{sha256}"), &mut hashed)?;
            Ok((file, sha256, Sha256(sha2::Digest::finalize(hashed.hasher).into()) == sha256))
        })
        .await
    }

    fn store(self, mut from: PipeReader) -> Result<Self, BackupError> {
        self.with(STORE, &mut from)
    }

    /// Makes the file durable and gives it its name; says how many bytes it has.
    fn finish(self) -> Result<u64, BackupError> {
        let Self { to, part, bundle } = self;
        let counted = bundle.finish().and_then(Sealer::finish).map_err(failed(&to))?;
        let bytes = counted.progress.bytes();
        let file = counted.file.into_inner().map_err(|error| failed(&to)(error.into_error()))?;
        if to.exists() {
            return Err(BackupError::Exists(to));
        }
        let named = file.sync_all().and_then(|()| fs::rename(&part.0, &to));
        named.and_then(|()| files::sync_folder(&to)).map_err(failed(&to))?;
        Ok(bytes)
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.progress.given_up.load(Ordering::Relaxed) {
            return Err(io::Error::other(GivenUp));
        }
        let written = self.file.write(bytes)?;
        let count = u64::try_from(written).unwrap_or(u64::MAX);
        self.progress.bytes.fetch_add(count, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The mark of a backup that was given up, on its way through the layers of writers.
#[derive(Debug, thiserror::Error)]
#[error("given up")]
struct GivenUp;

/// An image or a feed on its way into a backup, hashed as it goes.
struct Hashed<R> {
    reader: R,
    hasher: sha2::Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into)?;
        sha2::Digest::update(&mut self.hasher, into.get(..read).unwrap_or_default());
        Ok(read)
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| match source.get_ref().is_some_and(|inner| inner.is::<GivenUp>()) {
        true => BackupError::GivenUp,
        false => BackupError::Write { path, source },
    }
}

fn lost(path: &Path) -> impl FnOnce(tokio::task::JoinError) -> BackupError {
    let path = path.to_owned();
    move |error| BackupError::Write { path, source: io::Error::other(error) }
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work).await.map_err(lost(path))?
}

#[cfg(test)]
mod tests;
