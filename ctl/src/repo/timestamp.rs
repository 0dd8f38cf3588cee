//! `repo timestamp`: a maker's next timestamp over the same snapshot, so that a repository without news stays fresh.
//!
//! Its version goes on from the one in the folder, never from the snapshot's: devices refuse a timestamp that falls.
//! Read next: [`super::image`] for a new snapshot.

use std::path::PathBuf;

use clap::Args;
use cordon_proto::time;
use cordon_proto::update::document::Document;
use cordon_proto::update::metadata::{MetaFile, Root, Snapshot, Timestamp as TimestampRole};
use cordon_proto::update::{Fault, Role, Rules, author, name};
use serde_json::json;

use super::{image, sign_as};
use crate::arguments;
use crate::chain::{no_example, roots};
use crate::clock;
use crate::failure::Failure;
use crate::folder::Folder;
use crate::key::SecretKey;
use crate::report::Report;
use crate::session::Session;

/// How long a maker's snapshot and timestamp live unless somebody says otherwise.
pub(super) const LIFE: &str = "400d";

/// Make a maker's timestamp live longer.
#[derive(Clone, Debug, Args)]
pub struct Timestamp {
    /// The maker's folder.
    #[arg(long, value_name = "DIR")]
    pub repository: PathBuf,
    /// The timestamp key.
    #[arg(long, value_name = "FILE")]
    pub timestamp_key: String,
    /// When it expires; 400 days from now if not given.
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
}

impl Timestamp {
    /// Does it.
    ///
    /// # Errors
    /// The folder is not believed, its snapshot is over, or the key is refused.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let (rules, example) = (session.rules(), session.options.example_keys);
        let folder = Folder::open(&self.repository)?;
        let root = roots(&folder, &rules)?.root;
        no_example(&root, example)?;
        let present = read(&folder, &root, &rules)?.ok_or_else(|| Fault::NotFound.of(Role::Timestamp))?;
        let expires = arguments::time(self.expires.as_deref().unwrap_or(LIFE), session.now)?;
        if self.expires.is_none() {
            clock::not_shorter(expires, (present.version, present.expires))?;
        }
        let snapshot = snapshot(&folder, (&root, &rules), &present.snapshot)?;
        let key = image::secret(&self.timestamp_key, example)?;
        let file = write(&folder, (&root, &rules), (present.snapshot, expires), &key)?;
        let mut text = format!("wrote {file}, until {expires}");
        if snapshot.expires < expires {
            text += &format!(
                "\nthe snapshot ends earlier, at {}: make a new one with `cordonctl repo snapshot`",
                snapshot.expires
            );
        }
        Ok(Report::new(text, json!({"file": file, "expires": expires.to_string()})))
    }
}

/// Writes the next timestamp.
pub(super) fn write(
    folder: &Folder,
    (root, rules): (&Root, &Rules<'_>),
    (snapshot, expires): (MetaFile, time::Timestamp),
    key: &SecretKey,
) -> Result<String, Failure> {
    let known = read(folder, root, rules)?.map_or(0, |known| known.version);
    // New timestamp keys begin wherever they like; going on above the snapshot keeps the old habit of equal numbers.
    let version = (known + 1).max(snapshot.version);
    let next = TimestampRole { version, expires, snapshot };
    let bytes = sign_as(&author::timestamp(&next), &Role::Timestamp, &root.timestamp, &[key])?;
    let file = name::file(&Role::Timestamp);
    folder.write(&file, &bytes)?;
    Ok(file)
}

/// The timestamp in the folder, whatever its age. One that the root's keys did not sign bounds nothing.
pub(super) fn read(
    folder: &Folder,
    root: &Root,
    rules: &Rules<'_>,
) -> Result<Option<TimestampRole>, Failure> {
    let Some(bytes) = folder.read(&name::file(&Role::Timestamp))? else { return Ok(None) };
    let wrong = |fault: Fault| Failure::from(fault.of(Role::Timestamp));
    let document = Document::parse(&bytes, rules.sizes.timestamp).map_err(wrong)?;
    if document.demand(&root.timestamp, rules.verifier).is_err() {
        return Ok(None);
    }
    TimestampRole::read(document.signed()).map(Some).map_err(wrong)
}

/// The snapshot that a timestamp names: it is there, signed, and not over.
fn snapshot(
    folder: &Folder,
    (root, rules): (&Root, &Rules<'_>),
    named: &MetaFile,
) -> Result<Snapshot, Failure> {
    let wrong = |fault: Fault| Failure::from(fault.of(Role::Snapshot));
    let bytes = folder.role(&Role::Snapshot, named.version)?;
    named.check(&bytes).map_err(wrong)?;
    let document = Document::parse(&bytes, rules.sizes.snapshot).map_err(wrong)?;
    document.demand(&root.snapshot, rules.verifier).map_err(wrong)?;
    let snapshot = Snapshot::read(document.signed()).map_err(wrong)?;
    let at = snapshot.expires;
    if rules.now >= at { Err(wrong(Fault::Expired { at })) } else { Ok(snapshot) }
}
