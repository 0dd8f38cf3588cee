//! The two repositories on the device: asks of `proto::update` answered from the disk, and over the link or from a
//! bundle; effects kept.
//!
//! What is kept are received bytes, each file written whole before the next question. The first root of an image
//! repository is the maker's file inside the system image; the director's is the one whose hash came with enrolment, or
//! a file that a person at the device gave. From there on roots change by rotation, or by a change of owner, which leaves
//! the former owner's folder aside; `forget-site` leaves all of this in place. Nothing is decided here. Read next: `cordon_proto::update::refresh`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cordon_proto::ids::{Name, Sha256};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::update::bundle::BundleFault;
use cordon_proto::update::deny::is_example_root;
use cordon_proto::update::metadata::Root;
use cordon_proto::update::{
    Ask, AtRoot, AtTargets, Effect, FirstRoot, Found, Freshness, Next, Refresh, Request, Role, Rules, Search,
    Sizes, TrustError, Trusted,
};
use tokio::sync::{mpsc, oneshot};

use super::messages::ToLink;
use crate::files::{self, FileError, Folder};
use crate::link::{LinkError, Repository};
use crate::stick::Stick;
use crate::verifier::DeviceVerifier;

/// Bytes of the largest file kept here.
const FILE_BYTES: usize = limits::DEVICE_TARGETS_BYTES;
/// The trusted root's name, as `proto::update` names it.
pub(crate) const ROOT: &str = "root.json";
/// The hashes of the roots that were trusted of an owner, one a line: what its join files may name.
const KNOWN: &str = "known";
/// What the folder of the first owner's director is named.
pub(crate) const DIRECTOR: &str = "director";

/// Why a repository could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum TufError {
    /// The metadata is not believed.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The metadata did not come.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The disk.
    #[error(transparent)]
    File(#[from] FileError),
    /// The bundle does not hold what its index says.
    #[error(transparent)]
    Bundle(#[from] BundleFault),
    /// There is no first root for this repository.
    #[error("{0}")]
    NoRoot(String),
    /// The root belongs to the example keys, whose secrets everyone has.
    #[error(
        "the trusted root holds example keys, which everyone has; they are accepted on loopback demos only"
    )]
    ExampleKeys,
    /// The link is gone: the agent stops.
    #[error("the agent is stopping")]
    Stopping,
}

/// The device's copies of the repositories.
pub(crate) struct Repositories {
    folder: Folder,
    /// What the present owner's folder is named.
    director: String,
    shipped: BTreeMap<Name, PathBuf>,
    director_pin: Sha256,
    loopback: bool,
    source: Source,
}

/// Where files come from that are not on the disk.
#[derive(Clone)]
enum Source {
    Link(mpsc::Sender<ToLink>),
    Bundle(Arc<Stick>),
}

/// A repository brought up to date, with what a search in it needs.
pub(crate) struct Fresh {
    repository: Repository,
    folder: Folder,
    pub(crate) trusted: Trusted<AtTargets>,
    now: Timestamp,
}

impl Fresh {
    /// Versions of the roles that people sign and that every refresh verifies.
    pub(crate) fn versions(&self) -> [(String, u64); 2] {
        [
            ("root".to_owned(), self.trusted.root().version),
            ("targets".to_owned(), self.trusted.targets().version),
        ]
    }

    /// The role that listed a file, where it is a delegated one, and its version.
    pub(crate) fn version_of(&self, found: &Found) -> Option<(String, u64)> {
        let Role::Delegated(name) = &found.role else { return None };
        Some((name.clone(), self.trusted.listed(name).ok()?.version))
    }
}

impl Repositories {
    /// Copies below `folder`, the owner's in the one of this name; `host` is the server's, for the example keys' sake.
    pub(crate) fn new(
        (folder, director): (Folder, String),
        shipped: BTreeMap<Name, PathBuf>,
        (director_pin, host): (Sha256, &str),
        link: mpsc::Sender<ToLink>,
    ) -> Self {
        Self {
            folder,
            director,
            shipped,
            director_pin,
            loopback: is_loopback(host),
            source: Source::Link(link),
        }
    }

    /// The same repositories out of a bundle, with what is kept in another folder where one is given.
    pub(crate) fn carried(&self, stick: &Arc<Stick>, folder: Option<Folder>) -> Self {
        Self {
            folder: folder.unwrap_or_else(|| self.folder.clone()),
            director: self.director.clone(),
            shipped: self.shipped.clone(),
            source: Source::Bundle(Arc::clone(stick)),
            ..*self
        }
    }

    /// The trusted director root's bytes, none while none is trusted.
    pub(crate) fn director_root(&self) -> Result<Option<Vec<u8>>, FileError> {
        self.kept(&self.folder, &Repository::Director)?.read(ROOT, FILE_BYTES)
    }

    /// Copies what is kept into another folder, to try something on it.
    pub(crate) fn copy_into(&self, folder: &Folder) -> Result<(), FileError> {
        let mut all = vec![Repository::Director];
        all.extend(self.shipped.keys().cloned().map(Repository::Image));
        for repository in all {
            let (from, to) = (self.kept(&self.folder, &repository)?, self.kept(folder, &repository)?);
            for name in from.names()? {
                to.write(&name, &from.read(&name, FILE_BYTES)?.unwrap_or_default())?;
            }
        }
        Ok(())
    }

    /// What is kept of a repository below a folder, the present owner's of the director.
    fn kept(&self, folder: &Folder, repository: &Repository) -> Result<Folder, FileError> {
        match repository {
            Repository::Director => folder.inside(&self.director),
            Repository::Image(name) => maker(folder, name),
        }
    }

    /// How documents of a repository are judged: of a bundle's director by the bundle's own end, which whoever asks
    /// must still prove.
    fn rules(&self, repository: &Repository, now: Timestamp) -> Rules<'static> {
        match (&self.source, repository) {
            (Source::Bundle(stick), Repository::Director) => {
                Rules { freshness: Freshness::Bundle { expires: stick.claim.expires }, ..rules(now) }
            }
            (Source::Bundle(_), Repository::Image(_)) | (Source::Link(_), _) => rules(now),
        }
    }

    /// Follows the repository to its newest metadata.
    pub(crate) async fn refresh(&self, repository: Repository, now: Timestamp) -> Result<Fresh, TufError> {
        // The rules are made anew for each step: they must not be held across an await.
        let folder = self.kept(&self.folder, &repository)?;
        let root = match folder.read(ROOT, FILE_BYTES)? {
            Some(root) => root,
            None => self.first_root(&repository, &folder, now).await?,
        };
        let mut refresh = Refresh::start(&root, &self.rules(&repository, now))?;
        drop(root);
        let trusted = loop {
            let ask = refresh.ask(&self.rules(&repository, now))?;
            let bytes = self.answer(&repository, &folder, ask).await?;
            let turn = refresh.answer(bytes.as_deref(), &self.rules(&repository, now))?;
            apply(&folder, &turn.effects, bytes.as_deref())?;
            match turn.next {
                Next::Ask(next) => refresh = next,
                Next::Done(trusted) => break trusted,
            }
        };
        self.refuse_example(trusted.root())?;
        Ok(Fresh { repository, folder, trusted, now })
    }

    /// Finds one file through the delegations of a repository that is up to date.
    pub(crate) async fn find(&self, fresh: &Fresh, path: &str) -> Result<Option<Found>, TufError> {
        let mut next = Search::start(&fresh.trusted, path, &self.rules(&fresh.repository, fresh.now))?;
        loop {
            let search = match next {
                Next::Ask(search) => search,
                Next::Done(found) => return Ok(found),
            };
            let ask = search.ask(&self.rules(&fresh.repository, fresh.now))?;
            let bytes = self.answer(&fresh.repository, &fresh.folder, ask).await?;
            let turn = search.answer(bytes.as_deref(), &self.rules(&fresh.repository, fresh.now))?;
            apply(&fresh.folder, &turn.effects, bytes.as_deref())?;
            next = turn.next;
        }
    }

    /// Version of the trusted director root, 0 while none is trusted.
    pub(crate) fn director_root_version(&self, now: Timestamp) -> u64 {
        director_root_version(&self.folder, &self.director, now)
    }

    /// What the present owner's repository is named.
    pub(crate) fn director(&self) -> &str {
        &self.director
    }

    async fn first_root(
        &self,
        repository: &Repository,
        folder: &Folder,
        now: Timestamp,
    ) -> Result<Vec<u8>, TufError> {
        match repository {
            Repository::Image(name) => self.shipped_root(name),
            Repository::Director => self.pinned_root(folder, now).await,
        }
    }

    fn shipped_root(&self, name: &Name) -> Result<Vec<u8>, TufError> {
        let path = self.shipped.get(name).ok_or_else(|| {
            TufError::NoRoot(format!(
                "this device trusts no maker's repository named {name}; its system image would have to name it under image_root"
            ))
        })?;
        Ok(files::read_file(path, limits::DEVICE_ROOT_BYTES)?)
    }

    /// `1.root.json`, `2.root.json`, … until the received bytes have the hash that came with enrolment.
    async fn pinned_root(&self, folder: &Folder, now: Timestamp) -> Result<Vec<u8>, TufError> {
        let mut search = FirstRoot::new(self.director_pin);
        loop {
            let request = search.ask(&rules(now));
            let bytes = self.fetch(&Repository::Director, request).await?;
            let turn = search.answer(bytes.as_deref(), &rules(now))?;
            apply(folder, &turn.effects, bytes.as_deref())?;
            match turn.next {
                Next::Ask(next) => search = next,
                Next::Done(()) => return Ok(bytes.unwrap_or_default()),
            }
        }
    }

    async fn answer(
        &self,
        repository: &Repository,
        folder: &Folder,
        ask: Ask,
    ) -> Result<Option<Vec<u8>>, TufError> {
        match ask {
            Ask::Stored(name) => Ok(folder.read(&name, FILE_BYTES)?),
            Ask::Fetch(request) => self.fetch(repository, request).await,
        }
    }

    async fn fetch(&self, repository: &Repository, request: Request) -> Result<Option<Vec<u8>>, TufError> {
        let link = match &self.source {
            Source::Link(link) => link,
            Source::Bundle(stick) => {
                return Ok(stick.file(&path_of(repository, &request.path), request.limit)?);
            }
        };
        let (back, answer) = oneshot::channel();
        let (repository, file) = (repository.clone(), request.path);
        let call = ToLink::Metadata { repository, file, limit: request.limit, back };
        link.send(call).await.map_err(|_| TufError::Stopping)?;
        Ok(answer.await.map_err(|_| TufError::Stopping)??)
    }

    /// A content document by its hash; `None` where the server has none.
    pub(crate) async fn content(&self, sha256: &Sha256) -> Result<Option<Vec<u8>>, TufError> {
        let Source::Link(link) = &self.source else { return Ok(None) };
        let (back, answer) = oneshot::channel();
        link.send(ToLink::Content { sha256: *sha256, back }).await.map_err(|_| TufError::Stopping)?;
        Ok(answer.await.map_err(|_| TufError::Stopping)??)
    }

    fn refuse_example(&self, root: &Root) -> Result<(), TufError> {
        if is_example_root(root) && !self.loopback {
            return Err(TufError::ExampleKeys);
        }
        Ok(())
    }
}

/// Trusts a director root that a person at the device gives, where none is trusted yet, or where it is the next one of
/// the owner who is. `folder` is the present owner's. Returns its version.
pub(crate) fn trust_director(folder: &Folder, root: &[u8], now: Timestamp) -> Result<u64, TufError> {
    let rules = rules(now);
    let version = Trusted::start(root, &rules)?.root().version;
    match folder.read(ROOT, FILE_BYTES)? {
        Some(held) if held == root => return Ok(version),
        Some(held) if Trusted::start(&held, &rules)?.rotate(root, &rules).is_err() => {
            return Err(TufError::NoRoot(format!(
                "a director root is trusted already (SHA-256 {}); only a signed change of owner replaces it: `cordon-agent trust-director FILE --hand-over FILE`",
                Sha256::of(&held)
            )));
        }
        Some(_) | None => {}
    }
    keep_root(folder, root)?;
    Ok(version)
}

/// Keeps a root, and its hash among those that the owner's join files may name.
pub(crate) fn keep_root(folder: &Folder, root: &[u8]) -> Result<(), FileError> {
    keep_name(folder, root)?;
    folder.write(ROOT, root)
}

/// Keeps a root's hash among those that the owner's join files may name.
pub(crate) fn keep_name(folder: &Folder, root: &[u8]) -> Result<(), FileError> {
    let mut known = folder.read(KNOWN, FILE_BYTES)?.unwrap_or_default();
    let line = format!("{}\n", Sha256::of(root));
    if known.len() + line.len() > FILE_BYTES {
        known.clear();
    }
    if has_line(&known, &line) {
        return Ok(());
    }
    known.extend_from_slice(line.as_bytes());
    folder.write(KNOWN, &known)
}

/// Whether a join file that names this root is of the owner whom the device obeys; while it obeys nobody, any is.
pub(crate) fn is_owners(folder: &Folder, root: &Sha256) -> Result<bool, FileError> {
    let Some(held) = folder.read(ROOT, FILE_BYTES)? else { return Ok(true) };
    let known = folder.read(KNOWN, FILE_BYTES)?.unwrap_or_default();
    Ok(Sha256::of(&held) == *root || has_line(&known, &format!("{root}\n")))
}

fn has_line(known: &[u8], line: &str) -> bool {
    known.split_inclusive(|byte| *byte == b'\n').any(|held| held == line.as_bytes())
}

/// Version of the director root trusted in the folder of this name below `folder`, 0 while none is.
pub(crate) fn director_root_version(folder: &Folder, director: &str, now: Timestamp) -> u64 {
    let stored = folder.inside(director).and_then(|folder| folder.read(ROOT, FILE_BYTES));
    let Ok(Some(root)) = stored else { return 0 };
    root_version(&root, now)
}

/// Version of a root that is trusted, 0 of bytes that are none.
pub(crate) fn root_version(root: &[u8], now: Timestamp) -> u64 {
    Trusted::start(root, &rules(now)).map_or(0, |trusted| trusted.root().version)
}

/// The root of a maker that the device trusts: the newest one it followed, or the one in the system image.
pub(crate) fn maker_root(
    folder: &Folder,
    maker_of: (&Name, &Path),
    now: Timestamp,
) -> Option<Trusted<AtRoot>> {
    let (name, shipped) = maker_of;
    let kept = maker(folder, name).and_then(|folder| folder.read(ROOT, FILE_BYTES)).ok()?;
    let root = kept.or_else(|| files::read_file(shipped, limits::DEVICE_ROOT_BYTES).ok())?;
    Trusted::start(&root, &rules(now)).ok()
}

fn maker(folder: &Folder, name: &Name) -> Result<Folder, FileError> {
    folder.inside("image")?.inside(name.as_str())
}

/// Where a repository's file lies in a bundle.
pub(crate) fn path_of(repository: &Repository, file: &str) -> String {
    match repository {
        Repository::Director => format!("director/{file}"),
        Repository::Image(name) => format!("image/{name}/{file}"),
    }
}

pub(crate) fn rules(now: Timestamp) -> Rules<'static> {
    Rules { verifier: &DeviceVerifier, now, sizes: Sizes::DEVICE, freshness: Freshness::Own }
}

fn apply(folder: &Folder, effects: &[Effect], answered: Option<&[u8]>) -> Result<(), FileError> {
    for effect in effects {
        match effect {
            Effect::Keep(name) if name == ROOT => keep_root(folder, answered.unwrap_or_default())?,
            Effect::Keep(name) => folder.write(name, answered.unwrap_or_default())?,
            Effect::Forget(name) => folder.remove(name)?,
        }
    }
    Ok(())
}

/// Whether a host is this machine by its name.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
