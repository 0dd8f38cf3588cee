//! What the server remembers of a release that it took in, and of a maker that a person pinned.
//!
//! The maker's own words are kept as they were signed, and are read by the devices' own reader. It must never say more
//! of a release than its maker did, but for when it was taken in. Read next: [`super`] for when one is taken in.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::canonical::Value;
use cordon_proto::ids::{Name, Sha256, TargetPath, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::update::release::{FileRef, Listed, Release};
use serde::{Deserialize, Serialize};

use super::Form;

/// A release that an image repository lists, under `Key::Release`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownRelease {
    /// Version of this document.
    pub v: u32,
    /// The manufacturer's repository.
    pub repository: Name,
    /// The target.
    pub release: TargetPath,
    /// The model it is for.
    pub model: Text,
    /// Orders releases of a model.
    pub counter: u64,
    /// The lowest counter accepted once it is confirmed.
    pub floor: u64,
    /// SHA-256 of the image.
    pub sha256: Sha256,
    /// Bytes of the image.
    pub length: u64,
    /// When it was taken in first; no later publication moves it.
    pub imported: Timestamp,
    /// Whether the publication in force lists it. Devices refuse a release that their maker no longer lists.
    #[serde(default = "listed")]
    pub listed: bool,
    /// What the maker signed of it, in canonical JSON; empty in documents of before this was kept.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub statement: String,
    /// Ids of the keys that signed the list in which it stands, each signature checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<String>,
    /// When that list lapses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// In which form its SBOM, VEX and MUD files are, once somebody looked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub forms: BTreeMap<Part, Form>,
}

fn listed() -> bool {
    true
}

/// A maker that a person pinned, under `Key::Maker`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maker {
    /// Version of this document.
    pub v: u32,
    /// Its repository.
    pub repository: Name,
    /// The models it may list.
    pub models: BTreeSet<Text>,
    /// SHA-256 of its first root.
    pub root_sha256: Sha256,
    /// Who pinned it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// Which file of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The image itself.
    Image,
    /// The bill of materials.
    Sbom,
    /// The maker's exploitability statements.
    Vex,
    /// The manufacturer usage description.
    Mud,
    /// A file of a delta.
    Delta,
}

impl Part {
    /// What people call it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Sbom => "SBOM",
            Self::Vex => "VEX",
            Self::Mud => "MUD file",
            Self::Delta => "delta",
        }
    }
}

impl KnownRelease {
    /// What the maker says of it; nothing for documents of before that was kept.
    #[must_use]
    pub fn stated(&self) -> Option<Release> {
        let custom = Value::parse(self.statement.as_bytes(), limits::TUF_TARGETS_BYTES).ok()?;
        let (path, length, sha256) = (&self.release, self.length, self.sha256);
        Release::read(Listed { path, length, sha256, custom: &custom }).ok()
    }

    /// The files that somebody has yet to look at.
    #[must_use]
    pub fn unread(&self) -> Vec<(Part, FileRef)> {
        let mut files = self.files();
        files.retain(|(part, _)| {
            matches!(part, Part::Sbom | Part::Vex | Part::Mud) && !self.forms.contains_key(part)
        });
        files
    }

    /// The image and every file that the maker names beside it.
    #[must_use]
    pub fn files(&self) -> Vec<(Part, FileRef)> {
        let image = FileRef { length: self.length, sha256: self.sha256 };
        let mut files = Vec::from([(Part::Image, image)]);
        if let Some(release) = self.stated() {
            let named = [(Part::Sbom, release.sbom), (Part::Vex, release.vex), (Part::Mud, release.mud)];
            files.extend(named.into_iter().filter_map(|(part, file)| Some((part, file?))));
            files.extend(release.deltas.iter().map(|file| (Part::Delta, *file)));
        }
        files
    }
}
