//! What goes into a bundle: the files that a device would ask for, found by asking as a device does.
//!
//! Both chains are followed from their first root over the people's own folders, and every file that is read on the way
//! is taken along; so nothing is missing and nothing is there without need. The owner's snapshot and timestamp are the
//! server's; how old they may be is the bundle's own matter. Read next: [`super::make`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cordon_proto::checkin::Action;
use cordon_proto::ids::{Name, Sha256, TargetPath};
use cordon_proto::time::Timestamp;
use cordon_proto::update::bundle::{Bundle, BundleFault, Listed, image_path, list_of, offer_path};
use cordon_proto::update::order::Order;
use cordon_proto::update::release::Image;
use cordon_proto::update::scope::Scope;
use cordon_proto::update::{Ask, Effect, Freshness, Refresh, Role, Rules, Search, Source, name};

use crate::chain::{Director, Maker, orders_of};
use crate::failure::Failure;
use crate::folder::Folder;
use crate::order::list::ScopeList;
use crate::order::{check, describe};
use crate::session::Session;

/// Where files come from.
pub struct From<'a> {
    /// The owner's folder.
    pub director: &'a Path,
    /// The maker's folder.
    pub image: &'a Path,
    /// The lists of the orders' scopes.
    pub lists: &'a [ScopeList],
}

/// What a bundle is to hold.
pub struct Contents {
    /// The owner's chain.
    pub director: Director,
    /// All but the images, by their path.
    pub small: BTreeMap<TargetPath, Vec<u8>>,
    /// The images.
    pub images: BTreeMap<TargetPath, (PathBuf, Listed)>,
    /// Everything in words, for the eyes of whoever signs.
    pub shown: String,
}

/// A folder that remembers what was read from it.
struct Recorder {
    folder: Folder,
    read: BTreeMap<String, Vec<u8>>,
}

impl Source for Recorder {
    type Error = Failure;

    fn answer(&mut self, ask: &Ask) -> Result<Option<Vec<u8>>, Failure> {
        let Ask::Fetch(request) = ask else { return Ok(None) };
        let bytes = self.folder.read(&request.path)?;
        self.read.extend(bytes.iter().map(|bytes| (request.path.clone(), bytes.clone())));
        Ok(bytes)
    }

    fn apply(&mut self, _: &[Effect], _: &[u8]) -> Result<(), Failure> {
        Ok(())
    }
}

impl Recorder {
    /// Follows a repository to the file of a target, from its first root on.
    fn follow(
        folder: &Folder,
        targets: &[&str],
        rules: &Rules<'_>,
    ) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
        let first = folder.versions(&Role::Root)?.first().copied().unwrap_or(1);
        let root = folder.role(&Role::Root, first)?;
        let read = BTreeMap::from([(name::path(&Role::Root, first, true), root.clone())]);
        let mut recorder = Self { folder: folder.clone(), read };
        let trusted = Refresh::run(&root, rules, &mut recorder)?;
        for target in targets {
            if Search::run(&trusted, target, rules, &mut recorder)?.is_none() {
                let detail = format!(
                    "the newest snapshot in {} does not lead to {target}: publish it, then `cordonctl repo fetch`",
                    folder.path().display()
                );
                return Err(Failure::refused("not listed", detail));
            }
        }
        Ok(recorder.read)
    }
}

impl Contents {
    /// Gathers everything for these acts.
    ///
    /// # Errors
    /// A chain is not believed, an act could not be done from a bundle, or a file is missing.
    pub fn gather(
        from: &From<'_>,
        acts: &[(Action, Name)],
        expires: Timestamp,
        session: &Session<'_>,
    ) -> Result<Self, Failure> {
        let (rules, example) = (session.rules(), session.options.example_keys);
        let director = Director::open(Folder::open(from.director)?, &rules, example)?;
        let maker = Maker::open(Folder::open(from.image)?, &rules, example)?;
        let (_, in_force) = director.orders(&rules)?;
        let orders = in_force.map(|signed| orders_of(&signed.targets)).transpose()?.unwrap_or_default();
        let mut contents =
            Self { director, small: BTreeMap::new(), images: BTreeMap::new(), shown: String::new() };
        let (mut paths, mut releases, mut repository) = (Vec::new(), Vec::new(), None);
        for (action, id) in acts {
            let unknown = || Failure::refused("unknown order", format!("there is no live order {id}"));
            let order = orders.iter().find(|order| order.id == *id).ok_or_else(unknown)?;
            if *repository.get_or_insert(&order.repository) != &order.repository {
                return Err(Failure::refused(
                    "two makers",
                    "one bundle holds the orders of one maker's repository",
                ));
            }
            let image = contents.act((*action, order), from.lists, (&maker, &rules))?;
            paths.push(order.path());
            releases.push(image.release.clone());
        }
        let Some(repository) = repository else { return Err(Failure::Usage("give --order".to_owned())) };
        let aged = Rules { freshness: Freshness::Bundle { expires }, ..rules };
        let owners: Vec<_> = paths.iter().map(TargetPath::as_str).collect();
        let read = Recorder::follow(&contents.director.folder, &owners, &aged)?;
        contents.take("director", read)?;
        let makers: Vec<_> = releases.iter().map(TargetPath::as_str).collect();
        let read = Recorder::follow(&maker.folder, &makers, &rules)?;
        contents.take(&format!("image/{repository}"), read)?;
        Ok(contents)
    }

    /// Takes in one act: its image and the list of its devices.
    fn act(
        &mut self,
        (action, order): (Action, &Order),
        lists: &[ScopeList],
        (maker, rules): (&Maker, &Rules<'_>),
    ) -> Result<Image, Failure> {
        let checked = check(order.clone(), maker, lists, rules)?;
        let closed = || Failure::refused("no way back", format!("order {} has no way back", order.id));
        let image = match action {
            Action::Install => order.image.clone(),
            Action::Back => order.back.as_ref().ok_or_else(closed)?.image.clone(),
        };
        if order.permit_s.is_some() {
            return Err(BundleFault::NeedsPermit { order: order.id.clone() }.into());
        }
        let list = match &order.scope {
            Scope::Match { .. } => Vec::new(),
            Scope::Set { root, .. } => {
                let list = lists.iter().find(|list| list.root() == *root);
                list.map(|list| list_of(list.identities())).unwrap_or_default()
            }
        };
        let limit = cordon_proto::limits::DEVICE_TARGETS_BYTES;
        if list.len() > limit {
            let detail = format!(
                "order {} names {} devices; a bundle carries lists of at most {}: order in smaller waves",
                order.id,
                list.len() / 32,
                limit / 32
            );
            return Err(Failure::refused("list too long", detail));
        }
        self.small.insert(offer_path(action, &order.id), list);
        let listed = Listed { length: image.length, sha256: image.sha256 };
        self.images.insert(image_path(image.sha256), (maker.folder.image(&image.sha256), listed));
        self.shown += &describe(&checked, lists);
        Ok(image)
    }

    fn take(&mut self, folder: &str, read: BTreeMap<String, Vec<u8>>) -> Result<(), Failure> {
        for (file, bytes) in read {
            let path = format!("{folder}/{file}");
            let path = path.parse().map_err(|error| {
                Failure::refused("unusable name", format!("{path} cannot stand in a bundle: {error}"))
            })?;
            self.small.insert(path, bytes);
        }
        Ok(())
    }

    /// The files as an index lists them.
    #[must_use]
    pub fn files(&self) -> BTreeMap<TargetPath, Listed> {
        let small = self.small.iter().map(|(path, bytes)| {
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            (path.clone(), Listed { length, sha256: Sha256::of(bytes) })
        });
        small.chain(self.images.iter().map(|(path, (_, listed))| (path.clone(), *listed))).collect()
    }

    /// The index over them.
    #[must_use]
    pub fn index(&self, counter: u64, issued: Timestamp, expires: Timestamp) -> Bundle {
        Bundle { director: self.director.chain.newest, counter, issued, expires, files: self.files() }
    }
}
