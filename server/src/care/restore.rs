//! The way back: a new folder and an empty store from one backup.
//!
//! The whole file is read and its every tag checked before the first byte of it is used, so a damaged backup leaves
//! nothing behind. Nothing is written over anything: the folder must be new or empty, the store empty. What cannot be
//! in a backup is named: images to copy, the issuing key. The director's snapshot and timestamp are signed anew with
//! versions that no device can have seen, or devices would take the restored server for one that goes back. Read
//! next: `backup`, which says what is in one.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cordon_proto::ids::{Name, Sha256};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::feeds::intake::{Feed, Kind as FeedKind};
use zeroize::Zeroizing;

use super::backup::{ABOUT, About, BLOB_LIST, BLOBS, CA, FEEDS, KEYS, SETTINGS, STORE, is_plain};
use super::bundle::Contents;
use crate::age::keys::KeyError;
use crate::age::{AgeError, Identity, Opener};
use crate::app::server;
use crate::ca::key::KeyPlace;
use crate::ca::state::State;
use crate::ca::{CaError, ROOT_CERTIFICATE};
use crate::config::{Config, ConfigError};
use crate::files::{self, FileError};
use crate::init;
use crate::knowledge;
use crate::online::{OnlineError, OnlineKeys};
use crate::people::Doer;
use crate::repositories::Repositories;
use crate::serve;
use crate::store::blobs::{BlobError, Blobs};
use crate::store::open::StoreOpenError;
use crate::store::{Backup, Cursor, Index, Kind, Store, StoreError};

/// The form of backups known here.
const FORM: u32 = 1;
/// Bytes of a small entry: settings, a key, a certificate.
const SMALL_BYTES: u64 = 1024 * 1024;
/// Bytes of the list of images.
const LIST_BYTES: u64 = 64 * 1024 * 1024;
/// Where the store's part lies while it is read.
const STAGE: &str = "restoring.archive";

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Order {
    /// The backup.
    pub from: PathBuf,
    /// The file of the private key, mode 0600.
    pub identity: PathBuf,
    /// The new folder.
    pub folder: PathBuf,
    /// Another store than the settings in the backup name.
    pub store: Option<String>,
}

/// What was restored, for the person who asked.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The settings of the new folder.
    pub config: PathBuf,
    /// What the backup says of itself.
    pub about: About,
    /// What came into the store.
    pub store: Backup,
    /// Where images belong.
    pub blobs: PathBuf,
    /// Images that have to be copied there.
    pub missing: Vec<Sha256>,
    /// Feeds that are in force again.
    pub feeds: usize,
    /// Feeds whose file has to be brought again, and what they hold.
    pub missing_feeds: Vec<(Name, FeedKind)>,
    /// Where the issuing key belongs, if it is missing.
    pub issuing_key: Option<PathBuf>,
    /// Why snapshot and timestamp could not be signed anew, if so.
    pub unsigned: Option<String>,
    /// Whether the settings had to be changed for this place.
    pub settings_changed: bool,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The folder is somebody's.
    #[error("{} is not empty: nothing is written over anything, so name a new folder", .0.display())]
    Occupied(PathBuf),
    /// The private key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The seal.
    #[error("the backup cannot be read; nothing was written")]
    Age(#[from] AgeError),
    /// The bytes of the backup.
    #[error("the backup cannot be read to its end; nothing of it is believed")]
    Read(#[source] io::Error),
    /// Whole, but not what it should be.
    #[error("the backup is not of a form known here: {0}")]
    Form(String),
    /// Its settings name a place that is not in the new folder.
    #[error(
        "the settings in the backup keep documents outside their folder, or not on this machine's disk: say with \
         `--store` where they should go, such as `--store redb:store.redb`"
    )]
    StoreElsewhere,
    /// Its settings.
    #[error("the settings in the backup are not understood")]
    Settings(#[from] ConfigError),
    /// A file of the new folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// The new folder's disk.
    #[error("cannot write {}: see that there is room", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The new store.
    #[error(transparent)]
    Open(#[from] StoreOpenError),
    /// Filling it.
    #[error("the store could not be filled")]
    Store(#[from] StoreError),
    /// The authorities.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The images.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// The online keys in the backup.
    #[error(transparent)]
    Online(#[from] OnlineError),
    /// The task was lost.
    #[error("the restore broke off")]
    Task(#[from] tokio::task::JoinError),
}

/// Restores a backup. On any error the new folder is as it was.
pub async fn run(order: &Order, now: Timestamp) -> Result<Restored, RestoreError> {
    let secret = files::read_secret(&order.identity)?;
    let text = Zeroizing::new(String::from_utf8_lossy(&secret).into_owned());
    let identities = Arc::new(Identity::read_all(&text)?);
    let fresh = Fresh::claim(&order.folder)?;
    let from = order.from.clone();
    let keys = identities.clone();
    let known = tokio::task::spawn_blocking(move || look_through(&from, &keys)).await??;
    let (settings, config) = settle(&known.settings, order)?;
    files::create_folder(&order.folder)?;
    let blobs = Blobs::open(config.path(&config.blobs)).await?;
    let feeds = Blobs::open(config.path(&config.blobs).join(knowledge::FOLDER)).await?;
    let (to, files) = (config.clone(), [blobs.clone(), feeds.clone()]);
    let unpack = Unpack { from: order.from.clone(), config: to, files };
    let listed = tokio::task::spawn_blocking(move || unpack.run(&identities)).await??;
    let online = OnlineKeys::load(&config.path(&config.keys))?;
    let store = serve::open_store(&config).await?;
    let stage = config.path(STAGE.as_ref());
    let stored = store.restore(stage.clone()).await?;
    fs::remove_file(&stage).map_err(|source| RestoreError::Write { path: stage, source })?;
    files::create_public(&order.folder.join(init::ONLINE_KEYS), online.document().as_bytes())?;
    let (in_force, missing_feeds) = settle_feeds(&*store, &feeds).await?;
    let actor = server("restore");
    let told = format!("from a backup of {}: what came later is not in it", known.about.made);
    let by = Doer { actor: &actor, now };
    let renewed = Repositories::new(store, Arc::new(online)).renew_after_restore(by, &told).await;
    let ca = config.path(&config.ca);
    let authorities = State::read(&ca, &config.ca_key)?;
    let roots =
        authorities.tiers().map(|tier| files::read(&ca.join(&tier.root))).collect::<Result<Vec<_>, _>>()?;
    files::create_public(&order.folder.join(init::CA), &roots.concat())?;
    let here = blobs.list().await?;
    let missing = listed.into_keys().filter(|sha256| here.binary_search(sha256).is_err()).collect();
    let keys = authorities.tiers().filter_map(|tier| match &tier.key {
        KeyPlace::File(name) => Some(ca.join(name)),
        KeyPlace::Token(_) => None,
    });
    let key = keys.into_iter().find(|key| !key.exists());
    let path = order.folder.join(init::CONFIG);
    // Last, because its presence says that the folder is whole.
    files::create_public(&path, settings.as_bytes())?;
    fresh.keep();
    Ok(Restored {
        config: path,
        store: stored,
        blobs: config.path(&config.blobs),
        missing,
        feeds: in_force,
        missing_feeds,
        issuing_key: key,
        unsigned: renewed.err().map(|error| crate::log::chain(&error)),
        settings_changed: settings != known.settings,
        about: known.about,
    })
}

/// How many feeds have their file, and which have not. A file that the store does not name was replaced while the backup
/// was written, and goes.
async fn settle_feeds(
    store: &dyn Store,
    files: &Blobs,
) -> Result<(usize, Vec<(Name, FeedKind)>), RestoreError> {
    let (mut named, mut from) = (Vec::new(), Some(Cursor::First));
    while let Some(cursor) = from {
        let page = store.scan(Index::All(Kind::Feed), cursor, limits::PAGE_ROWS).await?;
        named.extend(page.rows.iter().filter_map(|(_, row)| Feed::from_body(&row.body)));
        from = page.next;
    }
    let here = files.list().await?;
    for sha256 in here.iter().filter(|here| named.iter().all(|feed| feed.sha256 != **here)) {
        files.remove(*sha256).await?;
    }
    let is_missing = |feed: &Feed| here.binary_search(&feed.sha256).is_err();
    let missing: Vec<_> =
        named.iter().filter(|feed| is_missing(feed)).map(|feed| (feed.name.clone(), feed.kind)).collect();
    Ok((named.len().saturating_sub(missing.len()), missing))
}

/// The new folder, emptied again unless it is kept.
struct Fresh {
    folder: PathBuf,
    was_there: bool,
    keep: bool,
}

impl Fresh {
    fn claim(folder: &Path) -> Result<Self, RestoreError> {
        let was_there = folder.exists();
        let empty = !was_there || fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
        if !empty {
            return Err(RestoreError::Occupied(folder.to_owned()));
        }
        Ok(Self { folder: folder.to_owned(), was_there, keep: false })
    }

    fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        let _ = fs::remove_dir_all(&self.folder);
        if self.was_there {
            let _ = files::create_folder(&self.folder);
        }
    }
}

/// What the first reading found.
struct Known {
    about: About,
    settings: String,
}

/// Reads the whole backup, which checks its every tag, and keeps only what it says of itself.
fn look_through(from: &Path, identities: &[Identity]) -> Result<Known, RestoreError> {
    let mut contents = open(from, identities)?;
    let (mut about, mut settings, mut names) = (None, None, Vec::new());
    while let Some(name) = contents.next().map_err(RestoreError::Read)? {
        place(&name)?;
        match name.as_str() {
            ABOUT => about = Some(read_about(&small(&mut contents, SMALL_BYTES)?)?),
            SETTINGS => {
                let text = String::from_utf8(small(&mut contents, SMALL_BYTES)?.to_vec());
                settings = Some(text.map_err(|_| RestoreError::Form("its settings are not text".into()))?);
            }
            _ => {}
        }
        if !name.starts_with(BLOBS) {
            names.push(name);
        }
    }
    let missing = |name: &str| RestoreError::Form(format!("it has no `{name}`"));
    names.sort();
    if let Some([twice, _]) = names.array_windows::<2>().find(|[a, b]| a == b) {
        return Err(RestoreError::Form(format!("it has `{twice}` twice")));
    }
    for wanted in [STORE.to_owned(), BLOB_LIST.to_owned(), format!("{CA}{ROOT_CERTIFICATE}")] {
        names.binary_search(&wanted).map_err(|_| missing(&wanted))?;
    }
    let about = about.ok_or_else(|| missing(ABOUT))?;
    Ok(Known { about, settings: settings.ok_or_else(|| missing(SETTINGS))? })
}

fn read_about(bytes: &[u8]) -> Result<About, RestoreError> {
    let about: About = serde_json::from_slice(bytes)
        .map_err(|_| RestoreError::Form("it does not say what it is".to_owned()))?;
    if about.v != FORM {
        let words =
            format!("it was written by version {} of this program: restore with that one", about.program);
        return Err(RestoreError::Form(words));
    }
    Ok(about)
}

type Open = Contents<Opener<File>>;

fn open(from: &Path, identities: &[Identity]) -> Result<Open, RestoreError> {
    let unread = |source| FileError::Io { doing: "read", path: from.to_owned(), source };
    let file = File::open(from).map_err(unread)?;
    Contents::open(Opener::new(file, identities)?).map_err(RestoreError::Read)
}

/// A small entry, whole.
fn small(contents: &mut Open, most: u64) -> Result<Zeroizing<Vec<u8>>, RestoreError> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = contents.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(RestoreError::Read)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > most {
        return Err(RestoreError::Form("an entry is larger than it can be".to_owned()));
    }
    Ok(bytes)
}

/// Where an entry goes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    About,
    Settings,
    Key(String),
    Authority(String),
    Store,
    BlobList,
    Blob(Sha256),
    Feed(Sha256),
}

fn place(name: &str) -> Result<Place, RestoreError> {
    let unknown = || RestoreError::Form(format!("`{}` is not known here", name.escape_debug()));
    let plain = |name: &str| if is_plain(name) { Ok(name.to_owned()) } else { Err(unknown()) };
    match name {
        ABOUT => Ok(Place::About),
        SETTINGS => Ok(Place::Settings),
        STORE => Ok(Place::Store),
        BLOB_LIST => Ok(Place::BlobList),
        _ => {
            let (folder, file) = name.split_at(name.find('/').map_or(0, |at| at.saturating_add(1)));
            let digest = || file.parse().map_err(|_| unknown());
            match folder {
                KEYS => plain(file).map(Place::Key),
                CA => plain(file).map(Place::Authority),
                BLOBS => digest().map(Place::Blob),
                FEEDS => digest().map(Place::Feed),
                _ => Err(unknown()),
            }
        }
    }
}

/// The settings as they have to be in the new folder: every path inside it, the store where it was asked for.
fn settle(text: &str, order: &Order) -> Result<(String, Config), RestoreError> {
    let mut table: toml::Table =
        text.parse().map_err(|_| RestoreError::Form("its settings are not TOML".to_owned()))?;
    let before = table.clone();
    for key in ["ca", "keys", "blobs", "control"] {
        if table.get(key).and_then(toml::Value::as_str).is_some_and(|path| leaves(Path::new(path))) {
            table.remove(key);
        }
    }
    if let Some(store) = &order.store {
        table.insert("store".to_owned(), store.as_str().into());
    }
    let text = if table == before {
        text.to_owned()
    } else {
        format!("# Restored from a backup, with the places changed to this folder's.\n{table}")
    };
    let config = Config::parse(&text, &[], order.folder.clone())?;
    let kept = config.store.split_once(':').map(|(engine, place)| (engine, Path::new(place)));
    let stays = matches!(kept, Some(("redb" | "sled", place)) if !leaves(place));
    if config.store == "memory" || (order.store.is_none() && !stays) {
        return Err(RestoreError::StoreElsewhere);
    }
    Ok((text, config))
}

/// Whether a path of the settings leads out of their folder.
fn leaves(path: &Path) -> bool {
    !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// The second reading, which writes.
struct Unpack {
    from: PathBuf,
    config: Config,
    /// Images, then feeds.
    files: [Blobs; 2],
}

impl Unpack {
    /// Writes every entry to its place and says which images there were. Blocks.
    fn run(self, identities: &[Identity]) -> Result<BTreeMap<Sha256, u64>, RestoreError> {
        let (keys, ca) = (self.config.path(&self.config.keys), self.config.path(&self.config.ca));
        files::create_folder(&keys)?;
        files::create_folder(&ca)?;
        let mut listed = BTreeMap::new();
        let mut contents = open(&self.from, identities)?;
        let [images, feeds] = &self.files;
        while let Some(name) = contents.next().map_err(RestoreError::Read)? {
            match place(&name)? {
                Place::About | Place::Settings => {}
                Place::Key(name) => file(&keys.join(name), &small(&mut contents, SMALL_BYTES)?)?,
                Place::Authority(name) => file(&ca.join(name), &small(&mut contents, SMALL_BYTES)?)?,
                Place::Store => self.stage(&mut contents)?,
                Place::BlobList => listed = list(&small(&mut contents, LIST_BYTES)?)?,
                Place::Blob(sha256) => blob((images, limits::IMAGE_BYTES), sha256, &mut contents)?,
                Place::Feed(sha256) => blob((feeds, limits::FEED_BYTES), sha256, &mut contents)?,
            }
        }
        Ok(listed)
    }

    fn stage(&self, contents: &mut Open) -> Result<(), RestoreError> {
        let path = self.config.path(STAGE.as_ref());
        let unwritten = |source| RestoreError::Write { path: path.clone(), source };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = io::BufWriter::new(file.map_err(unwritten)?);
        let copied = io::copy(contents, &mut file).and_then(|_| file.flush());
        copied.map_err(unwritten)
    }
}

/// A file that was damaged when it was backed up counts as missing. Blocks.
fn blob((to, most): (&Blobs, u64), sha256: Sha256, contents: &mut Open) -> Result<(), RestoreError> {
    const PIECE_BYTES: u64 = 1024 * 1024;
    let runtime = tokio::runtime::Handle::current();
    let mut incoming = runtime.block_on(to.put(most))?;
    loop {
        let mut piece = Vec::new();
        contents.take(PIECE_BYTES).read_to_end(&mut piece).map_err(RestoreError::Read)?;
        if piece.is_empty() {
            break;
        }
        incoming = runtime.block_on(incoming.write(piece.into()))?;
    }
    match runtime.block_on(incoming.finish(Some(sha256))) {
        Ok(_) | Err(BlobError::WrongHash { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn file(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let name = path.to_string_lossy();
    if name.ends_with("key.pem") || name.ends_with("key.age") {
        files::create_secret(path, bytes)
    } else {
        files::create_public(path, bytes)
    }
}

fn list(bytes: &[u8]) -> Result<BTreeMap<Sha256, u64>, RestoreError> {
    let wrong = || RestoreError::Form("its list of images is not understood".to_owned());
    let text = std::str::from_utf8(bytes).map_err(|_| wrong())?;
    let line = |line: &str| {
        let (sha256, length) = line.split_once(' ')?;
        Some((sha256.parse().ok()?, length.parse().ok()?))
    };
    text.lines().map(|found| line(found).ok_or_else(wrong)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(store: Option<&str>) -> Order {
        Order {
            from: "b.age".into(),
            identity: "key".into(),
            folder: "/new".into(),
            store: store.map(str::to_owned),
        }
    }

    #[test]
    fn settings_never_lead_out_of_the_new_folder() {
        // Goal: a restore beside the old server touches nothing of it. Method: paths inside, outside, above; stores.
        let kept = "# ours\nhost = 'x'\nkeys = 'k'\nstore = 'redb:s/store.redb'\n";
        let (text, config) = settle(kept, &order(None)).expect("fits");
        assert_eq!((text.as_str(), config.path(&config.keys)), (kept, PathBuf::from("/new/k")));
        let (text, config) =
            settle("host = 'x'\nca = '/etc/ca'\nblobs = '../b'", &order(None)).expect("fits");
        assert!(text.starts_with("# Restored") && !text.contains("/etc"));
        assert_eq!(config.path(&config.ca), Path::new("/new/ca"));
        assert_eq!(config.path(&config.blobs), Path::new("/new/blobs"));
        for elsewhere in ["memory", "redb:/var/lib/store.redb", "redb:../store.redb", "postgres:host=/run"] {
            let text = format!("host = 'x'\nstore = '{elsewhere}'");
            assert!(matches!(settle(&text, &order(None)), Err(RestoreError::StoreElsewhere)), "{elsewhere}");
            let (_, config) = settle(&text, &order(Some("redb:other.redb"))).expect("fits");
            assert_eq!(config.store, "redb:other.redb");
        }
        assert!(matches!(settle("host = 'x'", &order(Some("memory"))), Err(RestoreError::StoreElsewhere)));
    }

    #[test]
    fn an_entry_has_one_place_or_none() {
        // Goal: no name of a backup is a path of ours. Method: each kind; names that would climb, hide or surprise.
        let digest = Sha256([7; 32]);
        for (name, wanted) in [
            ("store".to_owned(), Place::Store),
            ("keys/audit.key.pem".to_owned(), Place::Key("audit.key.pem".to_owned())),
            ("ca/root.pem".to_owned(), Place::Authority("root.pem".to_owned())),
            (format!("blobs/{digest}"), Place::Blob(digest)),
            (format!("feeds/{digest}"), Place::Feed(digest)),
        ] {
            assert_eq!(place(&name).expect("known"), wanted);
        }
        for name in [
            "",
            "keys/",
            "keys/../x",
            "keys/.x",
            "keys/a/b",
            "ca/..",
            "blobs/x",
            "feeds/x",
            "/x",
            "other",
            "store/x",
        ] {
            assert!(place(name).is_err(), "{name}");
        }
    }
}
