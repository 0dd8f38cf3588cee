//! What goes into a bundle: the files that a device would ask for, found by asking as a device does.
//!
//! Both chains are followed from their first root over the people's own folders, and every file that is read on the way
//! is taken along; so nothing is missing and nothing is there without need. The owner's snapshot and timestamp are the
//! server's: how old they may be is the bundle's own matter, and the second signer takes them from the first one's
//! bundle, believed by the root's keys and because they lead to the orders of the own folder. Read next:
//! [`super::walk`], [`super::make`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cordon_proto::canonical::Value;
use cordon_proto::checkin::Action;
use cordon_proto::ids::{Name, Sha256, TargetPath};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::update::bundle::{Bundle, BundleFault, Listed, image_path, list_of, offer_path};
use cordon_proto::update::order::Order;
use cordon_proto::update::release::Image;
use cordon_proto::update::scope::Scope;
use cordon_proto::update::{Freshness, Request, Role, Rules, name};

use super::judge::end_of;
use super::walk::{Ends, MAKER_RENEWS, ORDER_RENEWS, OWNER_RENEWS, Walked};
use crate::arguments::read_file;
use crate::chain::{Director, Maker, entry, orders_of};
use crate::clock;
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
    /// A bundle whose snapshot and timestamp of the owner's server are taken in place of those in the owner's folder.
    pub bundle: Option<&'a Path>,
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
    /// When what it stands on ends.
    pub ends: Ends,
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
        clock::not_behind(session.now, &director.made(&rules)?)?;
        let maker = Maker::open(Folder::open(from.image)?, &rules, example)?;
        let (_, in_force) = director.orders(&rules)?;
        let orders = in_force.map(|signed| orders_of(&signed.targets)).transpose()?.unwrap_or_default();
        let mut contents = Self {
            director,
            small: BTreeMap::new(),
            images: BTreeMap::new(),
            shown: String::new(),
            ends: Ends::default(),
        };
        let (mut chosen, mut releases, mut repository) = (Vec::new(), Vec::new(), None);
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
            let (what, end) = end_of(*action, order);
            contents.ends.note(what, end, ORDER_RENEWS);
            chosen.push(order);
            releases.push(image.release.clone());
        }
        let Some(repository) = repository else { return Err(Failure::Usage("give --order".to_owned())) };
        contents.owners(&chosen, (from, expires), rules)?;
        contents.makers((repository, &maker.folder), &releases, rules)?;
        Ok(contents)
    }

    /// Takes in the owner's chain down to these orders.
    fn owners(
        &mut self,
        orders: &[&Order],
        (from, expires): (&From<'_>, Timestamp),
        rules: Rules<'_>,
    ) -> Result<(), Failure> {
        let folder = self.director.folder.clone();
        let fetch = |request: &Request| match from.bundle {
            Some(bundle) if is_servers(&request.path) => {
                read_some(&bundle.join("director").join(&request.path))
            }
            Some(_) | None => folder.read(&request.path),
        };
        let aged = Rules { freshness: Freshness::Bundle { expires }, ..rules };
        let mut walked = Walked::follow(&first_root(&folder)?, aged, &fetch)?;
        for order in orders {
            let found = walked.find(&order.path())?;
            let found = found.ok_or_else(|| not_led_to(order.path().as_str(), &folder))?;
            let read = Order::read(entry(&order.path(), &found.file, &Value::Null)?, found.document_expires);
            // What was shown is the newest word; a snapshot may still lead to an earlier one.
            if read.as_ref() != Ok(*order) {
                let detail = format!(
                    "the server's snapshot leads to another version of order {} than the newest in {}: publish it, then `cordonctl repo fetch`, and make the bundle anew",
                    order.id,
                    folder.path().display()
                );
                return Err(Failure::refused("other order", detail));
            }
        }
        self.ends.documents("the owner's", walked.ends(), OWNER_RENEWS);
        self.take("director", (first_root_path(&folder)?, first_root(&folder)?), walked.read())
    }

    /// Takes in the maker's chain down to these releases.
    fn makers(
        &mut self,
        (repository, folder): (&Name, &Folder),
        releases: &[TargetPath],
        rules: Rules<'_>,
    ) -> Result<(), Failure> {
        let fetch = |request: &Request| folder.read(&request.path);
        let mut walked = Walked::follow(&first_root(folder)?, rules, &fetch)?;
        for release in releases {
            walked.find(release)?.ok_or_else(|| not_led_to(release.as_str(), folder))?;
        }
        self.ends.documents(&format!("{repository}'s"), walked.ends(), MAKER_RENEWS);
        self.take(
            &format!("image/{repository}"),
            (first_root_path(folder)?, first_root(folder)?),
            walked.read(),
        )
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
        let limit = limits::DEVICE_TARGETS_BYTES;
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

    fn take(
        &mut self,
        folder: &str,
        root: (String, Vec<u8>),
        read: BTreeMap<String, Vec<u8>>,
    ) -> Result<(), Failure> {
        for (file, bytes) in read.into_iter().chain([root]) {
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

fn first_root_path(folder: &Folder) -> Result<String, Failure> {
    let first = folder.versions(&Role::Root)?.first().copied().unwrap_or(1);
    Ok(name::path(&Role::Root, first, true))
}

fn first_root(folder: &Folder) -> Result<Vec<u8>, Failure> {
    folder.role(&Role::Root, folder.versions(&Role::Root)?.first().copied().unwrap_or(1))
}

/// Whether the server signs this file and not a person.
fn is_servers(path: &str) -> bool {
    let snapshot = name::file(&Role::Snapshot);
    let versioned = path.split_once('.').filter(|(version, _)| version.parse::<u64>().is_ok());
    path == name::file(&Role::Timestamp)
        || path == snapshot
        || versioned.is_some_and(|(_, file)| file == snapshot)
}

fn read_some(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let limit = u64::try_from(limits::DEVICE_TARGETS_BYTES).unwrap_or(u64::MAX);
    if path.exists() { read_file(path, limit).map(Some) } else { Ok(None) }
}

fn not_led_to(target: &str, folder: &Folder) -> Failure {
    let folder = folder.path().display();
    let detail = format!(
        "the newest snapshot in {folder} does not lead to {target}: publish it, then `cordonctl repo fetch`"
    );
    Failure::refused("not listed", detail)
}
