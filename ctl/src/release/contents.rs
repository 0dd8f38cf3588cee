//! What a maker's publication consists of: its metadata in the order in which it is sent, and the files of its releases.
//!
//! Found by following the chain, never by listing a folder: nothing that is not signed for is packed or sent. Read next:
//! [`super::pack`], [`super::import`], [`crate::repo::publish`].

use std::collections::BTreeMap;

use cordon_proto::ids::TargetPath;
use cordon_proto::update::metadata::TargetFile;
use cordon_proto::update::release::{FileRef, Release, notes};
use cordon_proto::update::{Role, Rules, name};

use super::measure;
use crate::chain::{Maker, release_of};
use crate::failure::Failure;
use crate::folder::Folder;

/// A verified publication.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Names of its metadata files; roots first, the timestamp last.
    pub metadata: Vec<String>,
    /// The releases that it lists.
    pub releases: Vec<Release>,
    /// Their notes, which are for people.
    notes: BTreeMap<TargetPath, FileRef>,
}

impl Publication {
    /// Gathers it.
    ///
    /// # Errors
    /// A role is not believed, or a release cannot be read.
    pub fn of(maker: &Maker, rules: &Rules<'_>) -> Result<Self, Failure> {
        let (folder, trusted) = (&maker.folder, &maker.trusted);
        let roots = folder.versions(&Role::Root)?.into_iter().map(|version| (Role::Root, version));
        let mut files: Vec<_> = roots.collect();
        files.push((Role::Targets, trusted.targets().version));
        let mut releases = Vec::new();
        let mut said = BTreeMap::new();
        read_into(&trusted.targets().targets, &mut releases, &mut said)?;
        for delegation in &trusted.targets().delegations.roles {
            let role = Role::Delegated(delegation.name.clone());
            let Ok(version) = trusted.listed(&delegation.name).map(|meta| meta.version) else { continue };
            let targets = trusted.delegated(&delegation.name, &folder.role(&role, version)?, rules)?;
            read_into(&targets.targets, &mut releases, &mut said)?;
            files.push((role, version));
        }
        files.push((Role::Snapshot, trusted.snapshot().version));
        let mut metadata: Vec<_> =
            files.into_iter().map(|(role, version)| name::path(&role, version, true)).collect();
        metadata.push(name::file(&Role::Timestamp));
        Ok(Self { metadata, releases, notes: said })
    }

    /// The image of a release and the files it names.
    #[must_use]
    pub fn files_of(&self, release: &Release) -> Vec<FileRef> {
        let image = FileRef { length: release.image.length, sha256: release.image.sha256 };
        let notes = self.notes_of(release);
        let named = [release.sbom, release.vex, release.mud, notes].into_iter().flatten();
        [image].into_iter().chain(named).chain(release.deltas.iter().copied()).collect()
    }

    /// The notes on a release.
    #[must_use]
    pub fn notes_of(&self, release: &Release) -> Option<FileRef> {
        self.notes.get(&release.image.release).copied()
    }

    /// The files of all releases.
    pub fn files(&self) -> impl Iterator<Item = FileRef> {
        self.releases.iter().flat_map(|release| self.files_of(release))
    }

    /// The releases of these names; all if none is named.
    ///
    /// # Errors
    /// A name is none of a release, or not listed.
    pub fn chosen(&self, names: &[String]) -> Result<Vec<&Release>, Failure> {
        if names.is_empty() {
            return Ok(self.releases.iter().collect());
        }
        let find = |text: &String| {
            let wrong = |error| Failure::Usage(format!("`{text}` is no release's name: {error}"));
            let path: TargetPath = text.parse().map_err(wrong)?;
            let missing =
                || Failure::refused("unknown release", format!("the maker lists no release {path}"));
            self.releases.iter().find(|release| release.image.release == path).ok_or_else(missing)
        };
        names.iter().map(find).collect()
    }
}

fn read_into(
    targets: &BTreeMap<String, TargetFile>,
    releases: &mut Vec<Release>,
    said: &mut BTreeMap<TargetPath, FileRef>,
) -> Result<(), Failure> {
    for (text, file) in targets {
        let wrong = |error| Failure::refused("unusable name", format!("{text}: {error}"));
        let path: TargetPath = text.parse().map_err(wrong)?;
        releases.push(release_of(&path, file)?);
        let notes = file.custom.as_ref().map(notes).transpose();
        let notes = notes.map_err(|error| Failure::refused("unusable notes", format!("{path}: {error}")))?;
        said.extend(notes.flatten().map(|notes| (path, notes)));
    }
    Ok(())
}

/// Demands that a file that a release names is in the folder, with its signed length and hash.
///
/// # Errors
/// It is missing, or another one.
pub fn in_folder(folder: &Folder, release: &TargetPath, file: FileRef) -> Result<(), Failure> {
    let path = folder.image(&file.sha256);
    if !path.exists() {
        let detail =
            format!("{release} names a file that is not here: {} ({} bytes)", path.display(), file.length);
        return Err(Failure::refused("missing file", detail));
    }
    if measure(&path)? == (file.length, file.sha256) {
        return Ok(());
    }
    let detail =
        format!("{} is not the file that {release} names: get it from the maker again", path.display());
    Err(Failure::refused("wrong file", detail))
}
