//! `owner verify`: is a change of owner what a threshold of the present owner's, or of a maker's, root signed?
//!
//! Offline, on any machine, from the file and the root by which it must be signed. What only a device knows (which root
//! it trusts, whether it took a later one) is not judged here. Read next: `cordon_proto::update::handover`.

use std::path::PathBuf;

use clap::Args;
use cordon_proto::limits;
use cordon_proto::update::Role;
use cordon_proto::update::handover::Carried;
use cordon_proto::update::metadata::Root;
use serde_json::json;

use super::{describe, facts, root_file};
use crate::arguments::read_file;
use crate::chain::{no_example, roots};
use crate::failure::Failure;
use crate::folder::Folder;
use crate::order::list::ScopeList;
use crate::report::Report;
use crate::session::Session;

/// Verify a change of owner.
#[derive(Clone, Debug, Args)]
pub struct Verify {
    /// The change of owner.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The folder of the owner or the maker whose root keys signed it.
    #[arg(long, value_name = "DIR", conflicts_with = "root", required_unless_present = "root")]
    pub repository: Option<PathBuf>,
    /// Instead of a folder: that root alone.
    #[arg(long, value_name = "FILE")]
    pub root: Option<PathBuf>,
    /// The new owner's director root: is it the one that is named?
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// The list of the devices, to show their names.
    #[arg(long, value_name = "FILE")]
    pub scope_list: Option<PathBuf>,
}

impl Verify {
    /// Does it.
    ///
    /// # Errors
    /// It is not signed enough, is over, or its parts do not belong together.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let (rules, example) = (session.rules(), session.options.example_keys);
        let limit = u64::try_from(limits::HAND_OVER_BYTES).unwrap_or(u64::MAX);
        let wrong = |why: &dyn std::fmt::Display| {
            Failure::refused("hand-over not believed", format!("{}: {why}", self.file.display()))
        };
        let carried = Carried::parse(&read_file(&self.file, limit)?).map_err(|fault| wrong(&fault))?;
        let root = self.signer(session)?;
        carried
            .document()
            .demand(&root.root, rules.verifier)
            .map_err(|fault| wrong(&fault.of(Role::Root)))?;
        let stated = carried.states().map_err(|error| wrong(&error))?;
        if !carried.lists(&stated.scope) {
            return Err(wrong(&"its list does not make the root that was signed"));
        }
        if let Some(to) = &self.to
            && root_file(to, &rules, example)?.1 != stated.to
        {
            return Err(wrong(&format!("it is to another root than {}", to.display())));
        }
        if session.now < stated.issued || session.now >= stated.expires {
            return Err(wrong(&format!("it holds from {} to {}", stated.issued, stated.expires)));
        }
        let list = self.scope_list.as_deref().map(ScopeList::read).transpose()?;
        let count = carried.document().count(&root.root, rules.verifier);
        let text = format!(
            "signed by {count} keys of root {}, {} needed\n{}",
            root.version,
            root.root.threshold(),
            describe(&stated, list.as_ref())
        );
        Ok(Report::new(text, json!({"signatures": count, "hand_over": facts(&stated)})))
    }

    fn signer(&self, session: &Session<'_>) -> Result<Root, Failure> {
        let (rules, example) = (session.rules(), session.options.example_keys);
        match (&self.repository, &self.root) {
            (Some(folder), _) => {
                let root = roots(&Folder::open(folder)?, &rules)?.root;
                no_example(&root, example)?;
                Ok(root)
            }
            (None, Some(file)) => Ok(root_file(file, &rules, example)?.0),
            (None, None) => Err(Failure::Usage("signed by whom? give --repository or --root".to_owned())),
        }
    }
}
