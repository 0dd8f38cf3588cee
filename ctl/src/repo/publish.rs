//! `repo publish`: sends a repository to the server, files as they are.
//!
//! The server checks them as devices do, and refuses what devices would; here nothing is added or left out. A
//! director's roots go first, then targets, content and orders; a maker's images and versioned files, then the
//! timestamp that makes them visible. Sending again what is there already changes nothing. Read next: [`crate::api`].

use std::path::PathBuf;

use clap::Args;
use cordon_proto::ids::Name;
use cordon_proto::update::{Role, name};
use serde_json::json;

use super::director::CONTENT;
use crate::api::Api;
use crate::chain::{Director, Maker, ORDERS};
use crate::content;
use crate::failure::Failure;
use crate::folder::Folder;
use crate::release::contents::Publication;
use crate::report::Report;
use crate::session::Session;

/// Send a repository to the server.
#[derive(Clone, Debug, Args)]
pub struct Publish {
    /// The owner's folder.
    #[arg(long, value_name = "DIR", conflicts_with = "image", required_unless_present = "image")]
    pub director: Option<PathBuf>,
    /// A maker's folder.
    #[arg(long, value_name = "DIR", requires = "name")]
    pub image: Option<PathBuf>,
    /// The maker's repository's name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<Name>,
}

impl Publish {
    /// Does it.
    ///
    /// # Errors
    /// The folder is not believed, the server refuses a file, or was not reached.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let sent = match (&self.director, &self.image, &self.name) {
            (Some(director), _, _) => publish_director(director, session)?,
            (None, Some(image), Some(name)) => publish_image(image, name, session)?,
            (None, _, _) => return Err(Failure::Usage("give --director, or --image with --name".to_owned())),
        };
        let text = if sent.is_empty() {
            "the server has it all".to_owned()
        } else {
            format!("sent {}", sent.join(", "))
        };
        Ok(Report::new(text, json!({"sent": sent})))
    }
}

fn publish_director(path: &std::path::Path, session: &Session<'_>) -> Result<Vec<String>, Failure> {
    let rules = session.rules();
    let director = Director::open(Folder::open(path)?, &rules, session.options.example_keys)?;
    let (newest, in_force) = director.orders(&rules)?;
    if let Some(pending) = newest.filter(|newest| !newest.complete) {
        let detail = format!(
            "{}.orders.json waits for another signature: `cordonctl order sign --add`",
            pending.version
        );
        return Err(Failure::refused("not signed enough", detail));
    }
    let folder = &director.folder;
    let mut files: Vec<_> =
        folder.versions(&Role::Root)?.into_iter().map(|version| (Role::Root, version)).collect();
    files.push((Role::Targets, director.targets.version));
    let (content, contents) = content::in_force(&director, &rules)?.unzip();
    files.extend(content.map(|version| (Role::Delegated(CONTENT.to_owned()), version)));
    files.extend(in_force.map(|signed| (Role::Delegated(ORDERS.to_owned()), signed.version)));
    let api = Api::new(session.options)?;
    let mut sent = Vec::new();
    // The documents first: a server that lists a content has what it names.
    for assignment in contents.into_iter().flatten() {
        let sha256 = content::document_of(&director, assignment)?.assignment.sha256;
        api.put_file(&["targets", &sha256.to_string()], &folder.image(&sha256))?;
    }
    for (role, version) in files {
        let file = name::path(&role, version, true);
        sent.extend(send(&api, &["repositories", "director", &file], folder.role(&role, version)?)?);
    }
    Ok(sent)
}

/// Sends a file unless the server has it. A versioned file that the server has with other bytes is a contradiction
/// that people signed, or a folder that was mixed up.
fn send(api: &Api, path: &[&str], bytes: Vec<u8>) -> Result<Option<String>, Failure> {
    let file = path.last().copied().unwrap_or_default();
    match api.file(path)? {
        Some(known) if known == bytes => return Ok(None),
        Some(_) if file != name::file(&Role::Timestamp) => {
            let detail =
                format!("the server has another {file}: make the next version over what was published");
            return Err(Failure::refused("other version", detail));
        }
        Some(_) | None => {}
    }
    api.put(path, bytes)?;
    Ok(Some(file.to_owned()))
}

/// Sends a maker's folder: the files of its releases, its metadata, the timestamp last. Gives the names of what was sent.
///
/// # Errors
/// The folder is not believed, the server refuses a file, or was not reached.
pub fn publish_image(
    path: &std::path::Path,
    repository: &Name,
    session: &Session<'_>,
) -> Result<Vec<String>, Failure> {
    let rules = session.rules();
    let maker = Maker::open(Folder::open(path)?, &rules, session.options.example_keys)?;
    let publication = Publication::of(&maker, &rules)?;
    let (folder, api) = (&maker.folder, Api::new(session.options)?);
    let mut sent = Vec::new();
    let newest = name::file(&Role::Timestamp);
    // The timestamp is sent last: a server that has it has all the rest.
    if api.file(&of(repository, &newest))? == folder.read(&newest)? {
        return Ok(sent);
    }
    for named in publication.files() {
        let file = folder.image(&named.sha256);
        if file.exists() {
            api.put_file(&["targets", &named.sha256.to_string()], &file)?;
            sent.push(named.sha256.to_string());
        }
    }
    for file in publication.metadata {
        sent.extend(send(&api, &of(repository, &file), folder.read(&file)?.unwrap_or_default())?);
    }
    Ok(sent)
}

fn of<'a>(repository: &'a Name, file: &'a str) -> [&'a str; 4] {
    ["repositories", "image", repository.as_str(), file]
}
