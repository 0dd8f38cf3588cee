//! What the devices of the wards have verified of the owner's word: the shipped workflow over what the server serves.
//!
//! Every device would come to the same, so it is done once for all of them, whenever a check-in names another version.
//! What a refresh kept is asked first the next time: an older word is refused as on a device. After a refresh that
//! failed nothing is believed. Read next: `cordon_proto::update::refresh`.

use std::collections::BTreeMap;

use cordon_proto::canonical::Value;
use cordon_proto::ids::{Name, TargetPath};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::update::metadata::TargetFile;
use cordon_proto::update::order::Order;
use cordon_proto::update::release::{Listed, Release};
use cordon_proto::update::unreadable::Unreadable;
use cordon_proto::update::{
    Ask, Ed25519Strict, Effect, Freshness, Refresh, Role, Rules, Sizes, Source, TrustError, name as file_name,
};
use cordon_server::store::{Cursor, Index, Key};

use super::owner::{factory, ordered};
use super::{name, seat::Seat};

/// The owner's word, verified.
pub struct Chain {
    files: Files,
    version: u64,
    orders: BTreeMap<Name, Result<Order, Unreadable>>,
    releases: BTreeMap<TargetPath, Result<Release, Unreadable>>,
    /// Why nothing is believed now.
    pub refused: Option<TrustError>,
}

/// What is served, and what devices kept.
struct Files {
    first: Vec<u8>,
    served: BTreeMap<String, Vec<u8>>,
    kept: BTreeMap<String, Vec<u8>>,
}

impl Source for Files {
    type Error = TrustError;

    fn answer(&mut self, ask: &Ask) -> Result<Option<Vec<u8>>, TrustError> {
        Ok(match ask {
            Ask::Fetch(request) => self.served.get(&request.path).cloned(),
            Ask::Stored(file) => self.kept.get(file).cloned(),
        })
    }

    fn apply(&mut self, effects: &[Effect], answered: &[u8]) -> Result<(), TrustError> {
        for effect in effects {
            match effect {
                Effect::Keep(file) => drop(self.kept.insert(file.clone(), answered.to_vec())),
                Effect::Forget(file) => drop(self.kept.remove(file)),
            }
        }
        Ok(())
    }
}

impl Chain {
    /// Nothing but the pinned root.
    #[must_use]
    pub fn pinned(first: Vec<u8>) -> Self {
        let releases = [factory(), ordered()].map(|release| (release.image.release.clone(), Ok(release)));
        let files = Files { first, served: BTreeMap::new(), kept: BTreeMap::new() };
        let (orders, releases) = (BTreeMap::new(), releases.into());
        Self { files, version: 0, orders, releases, refused: None }
    }

    /// An order as the owner lists it.
    #[must_use]
    pub fn order(&self, id: &Name) -> Option<&Result<Order, Unreadable>> {
        self.orders.get(id)
    }

    /// A release as its maker lists it.
    #[must_use]
    pub fn release(&self, path: &TargetPath) -> Option<&Result<Release, Unreadable>> {
        self.releases.get(path)
    }

    /// Verifies what the server serves, if it says that there is something else.
    pub async fn follow(&mut self, seat: &Seat, version: u64, now: Timestamp) -> anyhow::Result<()> {
        if version == self.version {
            return Ok(());
        }
        self.version = version;
        self.files.served = served(seat).await?;
        match self.refreshed(now) {
            Ok(orders) => (self.orders, self.refused) = (orders, None),
            Err(error) => (self.orders, self.refused) = (BTreeMap::new(), Some(error)),
        }
        Ok(())
    }

    fn refreshed(&mut self, now: Timestamp) -> Result<BTreeMap<Name, Result<Order, Unreadable>>, TrustError> {
        let sizes = Sizes::DEVICE;
        let rules = Rules { verifier: &Ed25519Strict, now, sizes, freshness: Freshness::Own };
        let root = self.files.kept.get("root.json").unwrap_or(&self.files.first).clone();
        let trusted = Refresh::run(&root, &rules, &mut self.files)?;
        let Ok(meta) = trusted.listed("orders") else { return Ok(BTreeMap::new()) };
        let path = file_name::path(&Role::Delegated("orders".to_owned()), meta.version, true);
        let bytes = self.files.served.get(&path).cloned().unwrap_or_default();
        let document = trusted.delegated("orders", &bytes, &rules)?;
        let read = |(path, file): (&String, &TargetFile)| {
            let path: TargetPath = path.parse().ok()?;
            let null = Value::Null;
            let custom = file.custom.as_ref().unwrap_or(&null);
            let listed = Listed { path: &path, length: file.length, sha256: file.sha256().ok()?, custom };
            Some((Order::id_of(&path)?, Order::read(listed, document.expires)))
        };
        Ok(document.targets.iter().filter_map(read).collect())
    }
}

/// The director's files as a device would fetch them.
async fn served(seat: &Seat) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let (mut files, mut from) = (BTreeMap::new(), Some(Cursor::First));
    while let Some(cursor) = from {
        let index = Index::FilesOf(name("director"));
        let page = seat.operator.app.store.scan(index, cursor, limits::PAGE_ROWS).await?;
        for (key, row) in page.rows {
            if let Key::RepositoryFile { file, .. } = key {
                files.insert(file.as_str().to_owned(), row.body);
            }
        }
        from = page.next;
    }
    Ok(files)
}
