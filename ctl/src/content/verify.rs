//! `content verify`: are the contents in a folder what the owner's people signed, and are their documents there?
//!
//! Offline, on any machine, from the owner's folder alone. Read next: [`super`].

use std::path::PathBuf;

use clap::Args;
use cordon_proto::ids::Name;
use serde_json::json;

use super::{describe_whole, document_of, facts, in_force};
use crate::chain::Director;
use crate::failure::Failure;
use crate::folder::Folder;
use crate::order::list::ScopeList;
use crate::report::Report;
use crate::session::Session;

/// Verify contents.
#[derive(Clone, Debug, Args)]
pub struct Verify {
    /// The owner's folder.
    #[arg(long, value_name = "DIR")]
    pub director: PathBuf,
    /// One content; all of them otherwise.
    #[arg(long, value_name = "NAME")]
    pub content: Option<Name>,
    /// The lists of the scopes, to be shown in full. Repeat.
    #[arg(long, value_name = "FILE")]
    pub scope_list: Vec<PathBuf>,
}

impl Verify {
    /// Does it.
    ///
    /// # Errors
    /// The chain, a signature or a document is not believed.
    pub fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let rules = session.rules();
        let director = Director::open(Folder::open(&self.director)?, &rules, session.options.example_keys)?;
        let lists =
            self.scope_list.iter().map(|path| ScopeList::read(path)).collect::<Result<Vec<_>, _>>()?;
        let none = || Failure::refused("no content", "no content was signed in this folder");
        let (version, mut assignments) = in_force(&director, &rules)?.ok_or_else(none)?;
        if let Some(id) = &self.content {
            assignments.retain(|assignment| assignment.id == *id);
            if assignments.is_empty() {
                let detail = format!("the signed document lists no content {id}");
                return Err(Failure::refused("unknown content", detail));
            }
        }
        let (mut text, mut rows) = (format!("content version {version}\n"), Vec::new());
        for assignment in assignments {
            let whole = document_of(&director, assignment)?;
            text += &describe_whole(&whole, &lists);
            rows.push(json!({"content": facts(&whole), "over": session.now >= whole.assignment.expires}));
        }
        Ok(Report::new(text, json!({"version": version, "contents": rows})))
    }
}
