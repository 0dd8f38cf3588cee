//! `repo diff`: what changed from one folder to another, or between two copies of one.
//!
//! Both are verified by their own roots; if they begin with different first roots, that is the first line. Read next:
//! [`crate::diff`], which compares.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use cordon_proto::update::Role;
use cordon_proto::update::delegation::Delegations;
use cordon_proto::update::metadata::Targets;
use serde_json::json;

use super::standing::Standing;
use crate::diff;
use crate::failure::Failure;
use crate::report::Report;
use crate::session::Session;

/// Show what changed.
#[derive(Clone, Debug, Args)]
pub struct Diff {
    /// The earlier folder.
    #[arg(value_name = "BEFORE")]
    pub before: PathBuf,
    /// The later folder.
    #[arg(value_name = "AFTER")]
    pub after: PathBuf,
}

impl Diff {
    /// Does it.
    ///
    /// # Errors
    /// A folder is not believed.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let (rules, example) = (session.rules(), session.options.example_keys);
        let read = |path: &PathBuf| Standing::read(path, &rules, example);
        let lines = between(&read(&self.before)?, &read(&self.after)?);
        let text = if lines.is_empty() { "nothing changed".to_owned() } else { lines.join("\n") };
        Ok(Report::new(text, json!({"changes": lines})))
    }
}

/// What changed between two folders, in lines.
fn between(before: &Standing, after: &Standing) -> Vec<String> {
    let mut lines = Vec::new();
    if before.chain.first != after.chain.first {
        lines.push(format!(
            "~ ANOTHER OWNER OR MAKER: the first root is {}, before {}",
            after.chain.first, before.chain.first
        ));
    }
    lines.extend(diff::roots(&before.chain.root, &after.chain.root));
    let roles = before.documents.iter().chain(&after.documents).map(|listed| listed.role.clone());
    let mut seen = BTreeSet::new();
    for role in roles.filter(|role| seen.insert(role.to_string())) {
        lines.extend(changes(&role, before.targets(&role), after.targets(&role)));
    }
    lines
}

fn changes(role: &Role, before: Option<&Targets>, after: Option<&Targets>) -> Vec<String> {
    let none = |other: &Targets| Targets {
        version: 0,
        expires: other.expires,
        targets: [].into(),
        delegations: Delegations::default(),
    };
    match (before, after) {
        (Some(before), Some(after)) => diff::targets(&role.to_string(), before, after),
        (None, Some(after)) => diff::targets(&role.to_string(), &none(after), after),
        (Some(before), None) => vec![format!("- {role}: version {} is gone", before.version)],
        (None, None) => Vec::new(),
    }
}
