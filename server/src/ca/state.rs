//! Which authorities are in force: one small file in the authority's folder, replaced in one step.
//!
//! Certificates, keys and bundles are files with names of their own that are written before and never changed, so after
//! a kill at any point the folder holds the state before or the one after. A folder without this file is one of `init`:
//! one root, one issuing authority, no bundle. Nothing here opens a key. Read next: [`State`], then [`super::steps`].

use std::path::Path;

use cordon_proto::time::Timestamp;
use cordon_server_core::authority::Phase;
use serde::{Deserialize, Serialize};

use super::key::{KeyPlace, KeySetting, SEALED};
use super::{CaError, ISSUING_CERTIFICATE, ISSUING_KEY, ROOT_CERTIFICATE};
use crate::files::{self, FileError};

/// The file.
pub const STATE: &str = "authority.json";

/// The version of the file.
const VERSION: u32 = 1;

/// What is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Version of this file.
    v: u32,
    /// The root that devices have believed all along, and what issues under it.
    pub present: Tier,
    /// A new root on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Tier>,
    /// Whether leaves come from the new one.
    #[serde(default)]
    pub switched: bool,
    /// Issuing authorities whose leaves still live.
    #[serde(default)]
    pub former: Vec<Former>,
    /// Version of the newest signed bundle of roots, 0 for none.
    pub version: u64,
}

/// A root and an issuing authority under it, by their files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// The root certificate.
    pub root: String,
    /// The issuing certificate.
    pub issuing: String,
    /// The issuing key.
    pub key: KeyPlace,
}

/// An issuing authority that issues no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// What it was.
    pub tier: Tier,
    /// When its last leaf has ended.
    pub until: Timestamp,
}

impl State {
    /// Reads it; a folder without one is as `init` laid it.
    pub fn read(folder: &Path, setting: &KeySetting) -> Result<Self, CaError> {
        match files::read(&folder.join(STATE)) {
            Ok(bytes) => {
                let read: Option<Self> = serde_json::from_slice(&bytes).ok();
                read.filter(|state| state.v == VERSION).ok_or(CaError::State)
            }
            Err(FileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self::laid(folder, setting))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn laid(folder: &Path, setting: &KeySetting) -> Self {
        let sealed = format!("issuing{SEALED}");
        let plain = folder.join(ISSUING_KEY).exists();
        let key = match setting {
            KeySetting::Token(uri) => KeyPlace::Token(uri.clone()),
            // A plain key beside the setting waits for `ca seal`.
            KeySetting::Sealed(_) if !plain => KeyPlace::File(sealed),
            KeySetting::Plain | KeySetting::Sealed(_) => KeyPlace::File(ISSUING_KEY.to_owned()),
        };
        let (root, issuing) = (ROOT_CERTIFICATE.to_owned(), ISSUING_CERTIFICATE.to_owned());
        let present = Tier { root, issuing, key };
        Self { v: VERSION, present, next: None, switched: false, former: Vec::new(), version: 0 }
    }

    /// Replaces the file: the moment at which a change happens.
    pub fn write(&self, folder: &Path) -> Result<(), FileError> {
        let text = serde_json::to_vec_pretty(self).expect("names and numbers are always JSON");
        files::replace(&folder.join(STATE), &text)
    }

    /// Where the change of roots stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match (&self.next, self.switched) {
            (None, _) => Phase::Settled,
            (Some(_), false) => Phase::Staged,
            (Some(_), true) => Phase::Switched,
        }
    }

    /// The roots in force.
    pub fn tiers(&self) -> impl Iterator<Item = &Tier> {
        std::iter::once(&self.present).chain(&self.next)
    }

    /// The file of a signed bundle.
    #[must_use]
    pub fn bundle(version: u64) -> String {
        format!("authorities-{version}.cbor")
    }
}
