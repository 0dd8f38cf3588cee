//! Import: whether a manufacturer's publication is taken in, judged whole before any of it is served.
//!
//! The devices' own workflow believes it (with what was in force as history), its releases are for its maker's own
//! models, no name or number means two things, and every file that a new release names is here. Nothing here fetches.
//! A check here spares people a bad night; it protects nobody from a stolen server: devices check again. Read next:
//! [`judge`], [`may_put`] for a single file, [`may_pin`] for makers.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::canonical::Value;
use cordon_proto::ids::{Name, Sha256, TargetPath, Text};
use cordon_proto::limits;
use cordon_proto::update::document::Document;
use cordon_proto::update::fault::{Fault, Role, TrustError};
use cordon_proto::update::metadata::Snapshot;
use cordon_proto::update::name;
use cordon_proto::update::release::{FileRef, Listed, Release};
use cordon_proto::update::trust::{Rules, Trusted};

use crate::publish::{Earlier, Files, VerifiedRole, role_of, stated, verify_image};

mod form;
mod known;
#[cfg(test)]
mod tests;

pub use form::{Form, Kind as FormKind};
pub use known::{KnownRelease, Maker, Part};

/// What the server holds already.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// Every release that was ever taken in, of all repositories.
    pub known: &'a [KnownRelease],
    /// The makers that people pinned.
    pub pins: &'a [Maker],
}

/// A publication that may be taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// All releases that it lists.
    pub listed: Vec<KnownRelease>,
    /// Those of them that were not known, or not listed, before.
    pub new: BTreeSet<TargetPath>,
    /// Releases that were listed before and are no more.
    pub delisted: Vec<KnownRelease>,
}

/// Why a publication, or a file of one, is not taken in. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportRefused {
    /// A device would not believe it; an older publication is refused so, too.
    #[error("{0}")]
    Trust(#[from] TrustError),
    /// It begins with another root than the one that was pinned.
    #[error(
        "the repository begins with the root {found}, but its maker was pinned to {pinned}: ask the maker which one is right"
    )]
    OtherRoot {
        /// SHA-256 that was pinned.
        pinned: Sha256,
        /// SHA-256 of what was offered.
        found: Sha256,
    },
    /// A release for a model that is not this maker's.
    #[error("the release {release} is for the model {model}, which is not one of this maker's: {why}")]
    ForeignModel {
        /// The release.
        release: TargetPath,
        /// Its model.
        model: Text,
        /// Whose it is, or what to do.
        why: String,
    },
    /// Other bytes for a file of the publication in force.
    #[error("{file} is in force with other bytes: a published file never changes; make the next version")]
    OtherBytes {
        /// The file.
        file: String,
    },
    /// A release that is signed, but not usable.
    #[error("the release {release} is signed, but not usable: {why}")]
    Unreadable {
        /// The target, cut short.
        release: String,
        /// What is wrong with it.
        why: String,
    },
    /// Two releases of one model with the same counter.
    #[error(
        "the releases {first} and {second} have the same counter {counter}: the maker must number one anew"
    )]
    CounterTwice {
        /// One of them.
        first: TargetPath,
        /// The other.
        second: TargetPath,
        /// The counter.
        counter: u64,
    },
    /// A known name for another image.
    #[error("the release {release} was taken in with another image before: a name is used once")]
    OtherImage {
        /// The release.
        release: TargetPath,
    },
    /// A file that a new release names is not here.
    #[error("the release {release} lacks its {}: {} bytes, SHA-256 {}; send it before the timestamp", .part.word(), .file.length, .file.sha256)]
    MissingFile {
        /// The release.
        release: TargetPath,
        /// Which of its files.
        part: Part,
        /// Its length and hash.
        file: FileRef,
    },
}

/// Why a maker is not pinned. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinRefused {
    /// No model, or more than a repository has roles.
    #[error("give 1 to {} models", limits::DELEGATIONS)]
    Models,
    /// A model of another maker.
    #[error("the model {model} belongs to the repository `{repository}`: a model has one maker")]
    OfAnother {
        /// The model.
        model: Text,
        /// Whose it is.
        repository: Name,
    },
    /// What is here begins with another root.
    #[error("the repository that is here begins with the root {held}, not with {wanted}")]
    OtherRoot {
        /// SHA-256 of what is here.
        held: Sha256,
        /// What was to be pinned.
        wanted: Sha256,
    },
    /// A release that is here is for another model.
    #[error(
        "the repository lists {release} for the model {model}: pin that model too, or have it delisted first"
    )]
    Lists {
        /// The release.
        release: TargetPath,
        /// Its model.
        model: Text,
    },
}

/// Judges a publication, whose new timestamp stands among its files; `earlier` is what was in force before. Files that
/// its releases name are looked for afterwards, see [`Imported::complete`].
///
/// # Errors
/// The first rule that it breaks.
pub fn judge(
    (repository, files): (&Name, &Files),
    earlier: Earlier,
    held: Held<'_>,
    rules: &Rules<'_>,
) -> Result<Imported, ImportRefused> {
    let pin = held.pins.iter().find(|pin| pin.repository == *repository);
    right_root(files, pin)?;
    let roles = verify_image(files, earlier, rules)?;
    let mut imported = Imported::default();
    for role in &roles {
        for (text, file) in &role.targets.targets {
            let custom = file.custom.as_ref().unwrap_or(&Value::Null);
            let unreadable = |why: String| {
                let release = text.chars().take(80).collect();
                ImportRefused::Unreadable { release, why }
            };
            let path: TargetPath = text.parse().map_err(|_| unreadable("it is no release's name".into()))?;
            let sha256 = file.sha256().map_err(|fault| unreadable(fault.to_string()))?;
            let listed = Listed { path: &path, length: file.length, sha256, custom };
            let release = Release::read(listed).map_err(|why| unreadable(why.to_string()))?;
            let known = as_known(repository, role, &release, custom);
            own_model(&known, pin, held)?;
            imported.take(known, held.known, rules)?;
        }
    }
    one_meaning(&imported.listed)?;
    let names: BTreeSet<_> = imported.listed.iter().map(|release| &release.release).collect();
    let gone = held.known.iter().filter(|known| known.repository == *repository && known.listed);
    let gone = gone.filter(|known| !names.contains(&known.release));
    imported.delisted = gone.map(|known| KnownRelease { listed: false, ..known.clone() }).collect();
    Ok(imported)
}

fn as_known(repository: &Name, role: &VerifiedRole, release: &Release, custom: &Value) -> KnownRelease {
    KnownRelease {
        v: 1,
        repository: repository.clone(),
        release: release.image.release.clone(),
        model: release.model.clone(),
        counter: release.counter,
        floor: release.floor,
        sha256: release.image.sha256,
        length: release.image.length,
        imported: cordon_proto::time::Timestamp(0),
        listed: true,
        statement: String::from_utf8(custom.json()).unwrap_or_default(),
        signers: role.signers.clone(),
        expires: Some(role.targets.expires),
        forms: BTreeMap::new(),
    }
}

impl Imported {
    /// Takes one release, with the date of its first import if it is known.
    fn take(
        &mut self,
        mut release: KnownRelease,
        known: &[KnownRelease],
        rules: &Rules<'_>,
    ) -> Result<(), ImportRefused> {
        let same =
            |one: &&KnownRelease| one.repository == release.repository && one.release == release.release;
        let before = known.iter().find(same);
        if before.is_some_and(|before| before.sha256 != release.sha256) {
            return Err(ImportRefused::OtherImage { release: release.release });
        }
        release.imported = before.map_or(rules.now, |before| before.imported);
        release.forms = before.map(|before| before.forms.clone()).unwrap_or_default();
        if before.is_none_or(|before| !before.listed) {
            self.new.insert(release.release.clone());
        }
        self.listed.push(release);
        Ok(())
    }

    /// The files that must be here: all that new releases name.
    pub fn wanted(&self) -> impl Iterator<Item = (&TargetPath, Part, FileRef)> {
        let new = self.listed.iter().filter(|release| self.new.contains(&release.release));
        new.flat_map(|known| known.files().into_iter().map(|(part, file)| (&known.release, part, file)))
    }

    /// Demands every file that a new release names. `here` holds what is there: the hash and the length.
    ///
    /// # Errors
    /// The first file that is not there, or not of its signed length.
    pub fn complete(&self, here: &BTreeMap<Sha256, u64>) -> Result<(), ImportRefused> {
        for (release, part, file) in self.wanted() {
            if here.get(&file.sha256) != Some(&file.length) {
                return Err(ImportRefused::MissingFile { release: release.clone(), part, file });
            }
        }
        Ok(())
    }
}

fn right_root(files: &Files, pin: Option<&Maker>) -> Result<(), ImportRefused> {
    let (Some(pin), Some(root)) = (pin, files.get(&first_root())) else { return Ok(()) };
    let (pinned, found) = (pin.root_sha256, Sha256::of(root));
    if pinned == found { Ok(()) } else { Err(ImportRefused::OtherRoot { pinned, found }) }
}

fn first_root() -> String {
    name::path(&Role::Root, 1, true)
}

/// A repository lists its own maker's models, and a model has one repository.
fn own_model(release: &KnownRelease, pin: Option<&Maker>, held: Held<'_>) -> Result<(), ImportRefused> {
    let foreign = |why: String| {
        let (release, model) = (release.release.clone(), release.model.clone());
        Err(ImportRefused::ForeignModel { release, model, why })
    };
    if let Some(other) = owner_of(&release.model, &release.repository, held) {
        return foreign(alloc::format!("it belongs to the repository `{other}`"));
    }
    match pin {
        Some(pin) if !pin.models.contains(&release.model) => {
            foreign("pin the model to it with `cordonctl makers pin` if it is".into())
        }
        Some(_) | None => Ok(()),
    }
}

/// The other repository that has this model, by a pin or by what it lists.
fn owner_of<'a>(model: &Text, repository: &Name, held: Held<'a>) -> Option<&'a Name> {
    let pinned = held.pins.iter().find(|pin| pin.repository != *repository && pin.models.contains(model));
    let lists =
        |known: &&KnownRelease| known.repository != *repository && known.listed && known.model == *model;
    let listing = || held.known.iter().find(lists).map(|known| &known.repository);
    pinned.map(|pin| &pin.repository).or_else(listing)
}

/// No two releases of a model have one counter, and no name stands twice.
fn one_meaning(listed: &[KnownRelease]) -> Result<(), ImportRefused> {
    let mut counters: BTreeMap<(&Text, u64), &TargetPath> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for known in listed {
        if !names.insert(&known.release) {
            return Err(ImportRefused::OtherImage { release: known.release.clone() });
        }
        if let Some(first) = counters.insert((&known.model, known.counter), &known.release) {
            let (first, second) = (first.clone(), known.release.clone());
            return Err(ImportRefused::CounterTwice { first, second, counter: known.counter });
        }
    }
    Ok(())
}

/// Judges one versioned file before it is kept: nothing that is in force changes, and a root, which is seen at once,
/// follows from the one before it.
///
/// # Errors
/// Other bytes for a file in force, or a root that devices would refuse.
pub fn may_put(
    files: &Files,
    (file, bytes): (&str, &[u8]),
    pin: Option<&Maker>,
    rules: &Rules<'_>,
) -> Result<(), ImportRefused> {
    if file == first_root() {
        right_root(&Files::from([(file.to_string(), bytes.to_vec())]), pin)?;
    }
    let is_published = files.contains_key(&name::file(&Role::Timestamp));
    if !is_published || files.get(file).is_some_and(|held| held == bytes) {
        return Ok(());
    }
    if files.contains_key(file) && stands_on(files, rules).contains(file) {
        return Err(ImportRefused::OtherBytes { file: file.to_string() });
    }
    if role_of(file) == Ok(Role::Root) { next_root(files, bytes, rules) } else { Ok(()) }
}

/// The files that the timestamp among these stands on: itself, its snapshot, what this one lists, and all roots.
#[must_use]
pub fn stands_on(files: &Files, rules: &Rules<'_>) -> BTreeSet<String> {
    let is_root = |file: &&String| role_of(file) == Ok(Role::Root);
    let mut names: BTreeSet<String> = files.keys().filter(is_root).cloned().collect();
    let newest = name::file(&Role::Timestamp);
    let Some(stated) = files.get(&newest).and_then(|timestamp| stated(timestamp, rules)) else {
        return names;
    };
    let file = name::path(&Role::Snapshot, stated.snapshot.version, true);
    let bytes = files.get(&file).map(Vec::as_slice).unwrap_or_default();
    names.extend([newest, file]);
    let Ok(document) = Document::parse(bytes, rules.sizes.snapshot) else { return names };
    let Ok(snapshot) = Snapshot::read(document.signed()) else { return names };
    let served = snapshot.meta.iter().filter_map(|(file, meta)| {
        let role = role_of(file).ok()?;
        Some(name::path(&role, meta.version, true))
    });
    names.extend(served);
    names
}

fn next_root(files: &Files, bytes: &[u8], rules: &Rules<'_>) -> Result<(), ImportRefused> {
    let first = files.get(&first_root()).ok_or_else(|| Fault::NotFound.of(Role::Root))?;
    let mut trusted = Trusted::start(first, rules)?;
    while let Some(next) = files.get(&name::path(&Role::Root, trusted.root().version.saturating_add(1), true))
    {
        trusted.rotate(next, rules)?;
    }
    trusted.rotate(bytes, rules)?;
    Ok(())
}

/// Whether a person may pin a maker so; `held_root` is the digest of the first root that is here already.
///
/// # Errors
/// What stands against it.
pub fn may_pin(wanted: &Maker, held: Held<'_>, held_root: Option<Sha256>) -> Result<(), PinRefused> {
    if !(1..=limits::DELEGATIONS).contains(&wanted.models.len()) {
        return Err(PinRefused::Models);
    }
    for model in &wanted.models {
        if let Some(repository) = owner_of(model, &wanted.repository, held) {
            return Err(PinRefused::OfAnother { model: model.clone(), repository: repository.clone() });
        }
    }
    if let Some(held) = held_root.filter(|held| *held != wanted.root_sha256) {
        return Err(PinRefused::OtherRoot { held, wanted: wanted.root_sha256 });
    }
    let mut own = held.known.iter().filter(|known| known.repository == wanted.repository && known.listed);
    match own.find(|known| !wanted.models.contains(&known.model)) {
        Some(known) => Err(PinRefused::Lists { release: known.release.clone(), model: known.model.clone() }),
        None => Ok(()),
    }
}
