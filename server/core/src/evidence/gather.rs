//! Which signed documents belong into a pack: the least from which a reader can judge the chosen orders.
//!
//! Documents were verified when they came in; here they are only read. All roots and targets documents go along, because
//! keys change hands; of the rest only what lists a chosen order or its images. Read next: [`super::trust`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::ids::{Name, TargetPath};
use cordon_proto::limits;
use cordon_proto::update::document::Document;
use cordon_proto::update::metadata::Targets;
use cordon_proto::update::order::Order;
use cordon_proto::update::release::Image;

use crate::withdrawn::orders_in;

/// What a pack is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// One order.
    Order(Name),
    /// All orders that install a release.
    Release(TargetPath),
    /// All orders of a rollout: its name and theirs.
    Rollout(Name, BTreeSet<Name>),
}

impl Asked {
    /// In one word, as the header and the audit log have it.
    #[must_use]
    pub fn word(&self) -> String {
        match self {
            Self::Order(name) => alloc::format!("order:{name}"),
            Self::Release(path) => alloc::format!("release:{path}"),
            Self::Rollout(name, _) => alloc::format!("rollout:{name}"),
        }
    }

    fn wants(&self, order: &Order) -> bool {
        match self {
            Self::Order(name) => order.id == *name,
            Self::Release(path) => order.image.release == *path,
            Self::Rollout(_, names) => names.contains(&order.id),
        }
    }
}

/// The chosen orders and the owner's documents that belong to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The orders, each different one of a name.
    pub orders: Vec<Order>,
    /// The files.
    pub files: BTreeSet<String>,
}

/// Chooses among the owner's files. An order stays in the pack when it was withdrawn: old documents are kept.
#[must_use]
pub fn choose(files: &BTreeMap<String, Vec<u8>>, asked: &Asked) -> Chosen {
    let mut newest: Vec<(Order, u64, String)> = Vec::new();
    for (file, bytes) in files.iter().filter(|(file, _)| file.ends_with(".orders.json")) {
        let Some(targets) = listed(bytes) else { continue };
        for order in orders_in(bytes).into_iter().filter(|order| asked.wants(order)) {
            match newest.iter_mut().find(|(known, ..)| *known == order) {
                Some(known) if known.1 < targets.version => *known = (order, targets.version, file.clone()),
                Some(_) => {}
                None => newest.push((order, targets.version, file.clone())),
            }
        }
    }
    let mut chosen = Chosen::default();
    for (order, _, file) in newest {
        chosen.orders.push(order);
        chosen.files.insert(file);
    }
    if !chosen.orders.is_empty() {
        chosen.files.extend(tops(files));
    }
    chosen
}

/// Chooses among a maker's files: for each image the newest document that lists it.
#[must_use]
pub fn choose_maker(files: &BTreeMap<String, Vec<u8>>, images: &[&Image]) -> BTreeSet<String> {
    let mut chosen: BTreeSet<String> = tops(files).collect();
    for image in images {
        let lists = |targets: &Targets| {
            let found = targets.targets.get(image.release.as_str());
            found.is_some_and(|found| found.sha256() == Ok(image.sha256))
        };
        let named = files.iter().filter_map(|(file, bytes)| Some((listed(bytes)?, file)));
        let newest = named.filter(|(targets, _)| lists(targets)).max_by_key(|(targets, _)| targets.version);
        chosen.extend(newest.map(|(_, file)| file.clone()));
    }
    chosen
}

fn tops(files: &BTreeMap<String, Vec<u8>>) -> impl Iterator<Item = String> {
    let top = |file: &&String| file.ends_with(".root.json") || file.ends_with(".targets.json");
    files.keys().filter(top).cloned()
}

fn listed(bytes: &[u8]) -> Option<Targets> {
    let document = Document::parse(bytes, limits::TUF_TARGETS_BYTES).ok()?;
    Targets::read(document.signed()).ok()
}
