//! `repo fetch`: brings the server's snapshot and timestamp of the owner's repository into the owner's folder.
//!
//! They say which versions belong together, and a bundle needs them. Nothing else is taken: what people sign comes from
//! people. They are verified against the folder before they are kept. Read next: [`crate::bundle`].

use std::path::PathBuf;

use clap::Args;
use cordon_proto::update::document::Document;
use cordon_proto::update::metadata::Timestamp;
use cordon_proto::update::{Fault, Role, TrustError, name};
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
    /// The files are not believed, are missing, or the server was not reached.
    pub fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let rules = session.rules();
        let director = Director::open(Folder::open(&self.director)?, &rules, session.options.example_keys)?;
        let api = Api::new(session.options)?;
        let get = |role: &Role, file: &str| {
            let missing = || Failure::from(Fault::NotFound.of(role.clone()));
            api.file(&["repositories", "director", file])?.ok_or_else(missing)
        };
        let wrong = |role: Role| move |fault: Fault| -> TrustError { fault.of(role.clone()) };
        let newest = name::file(&Role::Timestamp);
        let timestamp = get(&Role::Timestamp, &newest)?;
        let document = Document::parse(&timestamp, rules.sizes.timestamp).map_err(wrong(Role::Timestamp))?;
        document.demand(&director.chain.root.timestamp, rules.verifier).map_err(wrong(Role::Timestamp))?;
        let named = Timestamp::read(document.signed()).map_err(wrong(Role::Timestamp))?.snapshot;
        let file = name::path(&Role::Snapshot, named.version, true);
        let snapshot = get(&Role::Snapshot, &file)?;
        named.check(&snapshot).map_err(wrong(Role::Snapshot))?;
        director.folder.write(&file, &snapshot)?;
        director.folder.write(&newest, &timestamp)?;
        Ok(Report::new(format!("{file} and {newest} are in place"), json!({"snapshot": named.version})))
    }
}
