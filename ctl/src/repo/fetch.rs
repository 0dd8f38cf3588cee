//! `repo fetch`: brings the server's snapshot and timestamp of the owner's repository into the owner's folder.
//!
//! They say which versions belong together, and a bundle needs them. Nothing else is taken: what people sign comes from
//! people. They are judged as a device judges them, with what the folder holds as the history that no server may fall
//! behind; nothing is written before both were believed. Read next: [`crate::bundle`].

use std::path::PathBuf;

use clap::Args;
use cordon_proto::update::trust::AtTimestamp;
use cordon_proto::update::{Fault, Role, Rules, TrustError, Trusted, name};
use serde_json::json;

use crate::api::Api;
use crate::chain::Director;
use crate::failure::Failure;
use crate::folder::Folder;
use crate::report::Report;
use crate::session::Session;

/// Bring the server's snapshot and timestamp.
#[derive(Clone, Debug, Args)]
pub struct Fetch {
    /// The owner's folder.
    #[arg(long, value_name = "DIR")]
    pub director: PathBuf,
}

impl Fetch {
    /// Does it.
    ///
    /// # Errors
    /// The files are not believed, are older than the folder's, are missing, or the server was not reached.
    pub fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let rules = session.rules();
        let director = Director::open(Folder::open(&self.director)?, &rules, session.options.example_keys)?;
        let api = Api::new(session.options)?;
        let get = |role: Role, file: &str| {
            let missing = || Failure::from(Fault::NotFound.of(role));
            api.file(&["repositories", "director", file])?.ok_or_else(missing)
        };
        let newest = name::file(&Role::Timestamp);
        let timestamp = get(Role::Timestamp, &newest)?;
        let trusted = with_history(&director.folder, &timestamp, &rules)?;
        let (named, is_known) = (trusted.newest().snapshot.version, trusted.is_known());
        let file = name::path(&Role::Snapshot, named, true);
        let snapshot = get(Role::Snapshot, &file)?;
        trusted.snapshot(&snapshot, &rules).map_err(refused)?;
        director.folder.write(&file, &snapshot)?;
        if !is_known {
            director.folder.write(&newest, &timestamp)?;
        }
        Ok(Report::new(format!("{file} and {newest} are in place"), json!({"snapshot": named})))
    }
}

/// Believes a timestamp, with what earlier fetches brought as the lower bound of versions. What the root's keys did not
/// sign bounds nothing.
fn with_history(folder: &Folder, offered: &[u8], rules: &Rules<'_>) -> Result<Trusted<AtTimestamp>, Failure> {
    let newest = folder.versions(&Role::Root)?.last().copied().unwrap_or(1);
    let mut trusted = Trusted::start(&folder.role(&Role::Root, newest)?, rules)?;
    if let Some(known) = folder.read(&name::file(&Role::Timestamp))? {
        let _ = trusted.recall(&known, rules);
    }
    let mut trusted = trusted.timestamp(offered, rules).map_err(refused)?;
    for version in folder.versions(&Role::Snapshot)?.into_iter().rev() {
        if trusted.recall(&folder.role(&Role::Snapshot, version)?, rules).is_ok() {
            break;
        }
    }
    Ok(trusted)
}

/// A refusal of what the server sent, with what to do about it.
fn refused(error: TrustError) -> Failure {
    let act = match &error.fault {
        Fault::Rollback { .. } | Fault::RollbackOf { .. } | Fault::Removed { .. } => {
            "devices refuse it too: the server was restored from an old backup, or somebody shows an old copy; publish the newest documents to it again, and ask who runs it"
        }
        Fault::Expired { .. } => {
            "the server signs new ones while it runs: see that it does, and compare the clocks"
        }
        _ => "compare the server's keys with those in your root; nothing was written",
    };
    Failure::refused("not believed", format!("{error}; {act}"))
}
