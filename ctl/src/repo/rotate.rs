//! `repo rotate`: the next root, signed by the people of the present root and by those of the next one.
//!
//! What is not named stays as it is. A root that waits for signatures lies in the folder under a name of its own, so
//! that orders can be signed and published meanwhile by the root in force; `repo sign` completes it. New online keys make
//! devices forget timestamps and snapshots that somebody ran away with (TUF 1.0.34 section 5.3.11). Read next:
//! [`super::signatories`], [`crate::diff`].

use std::path::PathBuf;

use clap::Args;
use cordon_proto::ids::Sha256;
use cordon_proto::update::author;
use cordon_proto::update::metadata::Root;
use cordon_proto::update::{Authority, PublicKey};
use serde_json::json;

use super::director::servers_keys;
use super::signatories::{Signatories, complete, report};
use super::{RoleKeys, authority};
use crate::arguments;
use crate::chain::{made_in, no_example, roots};
use crate::clock;
use crate::diff;
use crate::failure::Failure;
use crate::folder::Folder;
use crate::key::{KeyFile, SecretKey};
use crate::report::Report;
use crate::session::Session;

/// How long a root lives unless somebody says otherwise.
const LIFE: &str = "365d";

/// Make the next root.
#[derive(Clone, Debug, Args)]
pub struct Rotate {
    /// The repository's folder.
    #[arg(long, value_name = "DIR")]
    pub repository: PathBuf,
    /// A key of the next root role, either half; all of them are named. Repeat.
    #[arg(long, value_name = "FILE")]
    pub root_key: Vec<PathBuf>,
    /// How many root keys must sign from then on.
    #[arg(long, value_name = "N")]
    pub root_threshold: Option<u64>,
    /// A key of the next targets role, either half; all of them are named. Repeat.
    #[arg(long, value_name = "FILE")]
    pub targets_key: Vec<PathBuf>,
    /// How many targets keys must sign from then on.
    #[arg(long, value_name = "N")]
    pub targets_threshold: Option<u64>,
    /// The next snapshot key, either half.
    #[arg(long, value_name = "KEY")]
    pub snapshot_key: Option<PathBuf>,
    /// The next timestamp key, either half.
    #[arg(long, value_name = "KEY")]
    pub timestamp_key: Option<PathBuf>,
    /// Director: both in the file that `cordon-server init` wrote.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["snapshot_key", "timestamp_key"])]
    pub online_keys: Option<PathBuf>,
    /// A private key that signs now, of the present root or of the next one. Repeat.
    #[arg(long, value_name = "FILE", required = true)]
    pub key: Vec<PathBuf>,
    /// When the next root expires; a year from now if not given.
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
}

impl Rotate {
    /// Does it.
    ///
    /// # Errors
    /// The folder is not believed, a key is refused, or the person does not agree.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let (rules, example) = (session.rules(), session.options.example_keys);
        let folder = Folder::open(&self.repository)?;
        let before = roots(&folder, &rules)?.root;
        if let Some(version) = folder.waiting_root()? {
            let detail = format!(
                "root {version} waits for signatures: add one with `cordonctl repo sign --file \
                 {version}.root.json`, or remove the file"
            );
            return Err(Failure::refused("not signed enough", detail));
        }
        clock::not_behind(session.now, &made_in(&folder, &rules))?;
        let next = self.next(&before, session)?;
        if self.expires.is_none() {
            clock::not_shorter(next.expires, (before.version, before.expires))?;
        }
        no_example(&next, example)?;
        let keys =
            self.key.iter().map(|file| SecretKey::read(file, example)).collect::<Result<Vec<_>, _>>()?;
        let changes: String = diff::roots(&before, &next).iter().map(|line| format!("  {line}\n")).collect();
        let head = format!("root {} of {}, until {}", next.version, self.repository.display(), next.expires);
        session.about_to_sign(&format!("{head}\n{changes}{}", advice(&before, &next)))?;
        let (who, limit) = (Signatories::rotation(&before, &next), rules.sizes.root);
        let bytes = who.first(&author::root(&next), limit, &keys)?;
        let counts = who.counts(&bytes, limit, &rules)?;
        folder.write_root(next.version, &bytes, complete(&counts))?;
        let mut report = report(&format!("{}.root.json", next.version), &counts);
        if complete(&counts) {
            let sha256 = Sha256::of(&bytes);
            report.text += &format!("\nroot SHA-256 {sha256}: keep it where the server cannot change it");
            report = report.with("root_sha256", json!(sha256));
        }
        report.text += &format!("\n{}", advice(&before, &next));
        Ok(report)
    }

    fn next(&self, before: &Root, session: &Session<'_>) -> Result<Root, Failure> {
        let example = session.options.example_keys;
        let people = |role: &str, files: &[PathBuf], threshold: Option<u64>, present: &Authority| {
            let threshold = threshold.unwrap_or(present.threshold());
            if files.is_empty() {
                return authority(role, present.keys().values().cloned(), threshold);
            }
            Ok(RoleKeys::read(role, files, threshold, example)?.authority)
        };
        let [snapshot, timestamp] = self.online(example)?;
        let automatic = |role: &str, key: Option<PublicKey>, present: &Authority| match key {
            Some(key) => authority(role, [key].into_iter(), 1),
            None => Ok(present.clone()),
        };
        Ok(Root {
            version: before.version + 1,
            expires: arguments::time(self.expires.as_deref().unwrap_or(LIFE), session.now)?,
            consistent_snapshot: before.consistent_snapshot,
            root: people("root", &self.root_key, self.root_threshold, &before.root)?,
            targets: people("targets", &self.targets_key, self.targets_threshold, &before.targets)?,
            snapshot: automatic("snapshot", snapshot, &before.snapshot)?,
            timestamp: automatic("timestamp", timestamp, &before.timestamp)?,
        })
    }

    /// The next keys of the automatic roles, as far as they change.
    fn online(&self, example_keys: bool) -> Result<[Option<PublicKey>; 2], Failure> {
        if let Some(path) = &self.online_keys {
            return Ok(servers_keys(path, example_keys)?.map(Some));
        }
        let read = |file: &Option<PathBuf>| {
            let key = file.as_deref().map(|file| KeyFile::read(file, example_keys)).transpose()?;
            Ok::<_, Failure>(key.map(|key| key.public().clone()))
        };
        Ok([read(&self.snapshot_key)?, read(&self.timestamp_key)?])
    }
}

/// What else the change asks for.
fn advice(before: &Root, next: &Root) -> String {
    let mut words = String::new();
    if before.targets.keys() != next.targets.keys() || before.targets.threshold() < next.targets.threshold() {
        words += "  the targets document must then be signed anew: `cordonctl repo delegate --renew`\n";
    }
    if before.snapshot.keys() != next.snapshot.keys() || before.timestamp.keys() != next.timestamp.keys() {
        words += "  snapshot and timestamp must then be made by the new keys: by the server that has them, or by a maker \
                  with `cordonctl repo snapshot`\n";
    }
    words
}
