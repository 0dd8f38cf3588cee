//! `content propose` and `content show`: a document before anybody signs it.
//!
//! A proposal is read as a device would read it, so that a field too many, a field too few or a number out of bounds is
//! seen at the desk. It is written in the one canonical form, and never over another file. Read next: [`super::sign`].

use std::path::PathBuf;

use clap::Args;
use cordon_proto::ids::{Name, Sha256, Text};
use cordon_proto::update::content::{Content, Detectors, Settings};
use serde_json::json;

use super::{describe, document_of, fit_to_sign, highest, in_force, read};
use crate::chain::Director;
use crate::failure::Failure;
use crate::folder::{Folder, write_whole};
use crate::report::Report;
use crate::session::Session;

/// Write a content document to be signed.
#[derive(Clone, Debug, Args)]
pub struct Propose {
    /// A draft: a document with all its fields, in any order and spacing.
    #[arg(long, value_name = "FILE", required_unless_present = "id")]
    pub file: Option<PathBuf>,
    /// Instead of a draft: a bare document of this name, which leaves all to the device, to be edited.
    #[arg(long, value_name = "NAME", conflicts_with = "file", requires = "model")]
    pub id: Option<Name>,
    /// The model that a bare document is for.
    #[arg(long, value_name = "MODEL", conflicts_with = "file")]
    pub model: Option<Text>,
    /// The owner's folder: the version must follow what is signed there, and what changes is shown.
    #[arg(long, value_name = "DIR")]
    pub director: Option<PathBuf>,
    /// The new file.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Show what a content document sets.
#[derive(Clone, Debug, Args)]
pub struct Show {
    /// The document.
    pub file: PathBuf,
}

impl Propose {
    /// Does it.
    ///
    /// # Errors
    /// A bound is broken, the version is not newer, or the file is there already.
    pub fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let (newest, earlier) = self.earlier(session)?;
        let mut content = match (&self.file, &self.id, &self.model) {
            (Some(file), _, _) => read(file)?.0,
            (None, Some(id), Some(model)) => bare(id, model),
            (None, _, _) => return Err(Failure::Usage("give --file, or --id with --model".to_owned())),
        };
        let before = earlier.iter().find(|earlier| earlier.id == content.id);
        if self.file.is_none() {
            content = Content { version: newest + 1, ..before.cloned().unwrap_or(content) };
        }
        fit_to_sign(&content)?;
        if content.version <= newest {
            let detail = format!(
                "version {} is not above {newest}, which is signed already: devices would refuse it",
                content.version
            );
            return Err(Failure::refused("version", detail));
        }
        if self.out.exists() {
            let detail = format!("{} exists already: choose another name", self.out.display());
            return Err(Failure::refused("file", detail));
        }
        let bytes = content.value().canonical();
        write_whole(&self.out, &bytes)?;
        let sha256 = Sha256::of(&bytes).to_string();
        let change = before.map(|before| format!("in place of:\n{}", describe(before))).unwrap_or_default();
        let next =
            format!("SHA-256 {sha256}; sign it with `cordonctl content sign --file {}`", self.out.display());
        let json =
            json!({"file": self.out.display().to_string(), "sha256": sha256, "version": content.version});
        Ok(Report::new(format!("{}{change}{next}", describe(&content)), json))
    }

    /// The documents that are signed in the folder.
    fn earlier(&self, session: &Session<'_>) -> Result<(u64, Vec<Content>), Failure> {
        let Some(path) = &self.director else { return Ok((0, Vec::new())) };
        let rules = session.rules();
        let director = Director::open(Folder::open(path)?, &rules, session.options.example_keys)?;
        let (_, assignments) = in_force(&director, &rules)?.unwrap_or_default();
        let live = assignments.into_iter().map(|assignment| Ok(document_of(&director, assignment)?.content));
        Ok((highest(&director, &rules)?, live.collect::<Result<_, Failure>>()?))
    }
}

impl Show {
    /// Does it.
    ///
    /// # Errors
    /// The document is none.
    pub fn run(&self) -> Result<Report, Failure> {
        let (content, bytes) = read(&self.file)?;
        let sha256 = Sha256::of(&bytes).to_string();
        let document: serde_json::Value = serde_json::from_slice(&content.value().json()).unwrap_or_default();
        let text = format!("{}  SHA-256    {sha256}", describe(&content));
        Ok(Report::new(text, json!({"sha256": sha256, "content": document})))
    }
}

/// A document that leaves everything to the device.
fn bare(id: &Name, model: &Text) -> Content {
    Content {
        id: id.clone(),
        version: 1,
        model: model.clone(),
        settings: Settings::default(),
        detectors: Detectors::default(),
        windows: None,
    }
}
