//! `repo verify`: a whole folder as devices will judge it: every signature from the first root on, every end.
//!
//! It refuses what devices would refuse today and names it; what ends soon or waits for people is told. Read next:
//! [`super::standing`].

use std::path::PathBuf;

use clap::Args;
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::update::{Role, Rules};
use serde_json::{Value, json};

use super::standing::{Listed, Standing, root_words};
use crate::chain::{Maker, ORDERS, orders_of, release_of};
use crate::content;
use crate::failure::Failure;
use crate::folder::Folder;
use crate::release::measure;
use crate::report::Report;
use crate::session::Session;

/// Verify a whole folder.
#[derive(Clone, Debug, Args)]
pub struct Verify {
    /// The repository's folder.
    #[arg(value_name = "DIR")]
    pub repository: PathBuf,
}

impl Verify {
    /// Does it.
    ///
    /// # Errors
    /// A signature does not hold, a document is signed by too few, or something is over.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let (rules, example) = (session.rules(), session.options.example_keys);
        let standing = Standing::read(&self.repository, &rules, example)?;
        let mut text = root_words(&standing.chain);
        text += &format!("\n{}", people("root", &standing.chain.root.root, None));
        let mut faults = Vec::new();
        for listed in &standing.documents {
            text += &document(listed, &mut faults);
        }
        // In an owner's folder they are the server's, brought for a bundle once; devices ask the server itself.
        let brought = standing.is_directors();
        let unlisted = standing.unlisted.iter().filter(|_| !brought);
        faults.extend(
            unlisted.map(|role| {
                format!("the snapshot does not list {role} as it stands here: make the next one")
            }),
        );
        let ends = standing.ends();
        for (at, what) in &ends {
            let is_servers = brought && (what.starts_with("snapshot ") || what.starts_with("timestamp "));
            let words = if is_servers { ", by the server: `repo fetch` brings the next" } else { "" };
            text += &format!("  {what} ends at {at}{}{words}\n", left(*at, session.now));
            faults.extend((*at <= session.now && !is_servers).then(|| format!("{what} ended at {at}")));
        }
        text += &standing.waiting_root.map_or(String::new(), |version| {
            format!("root {version} waits for signatures: `cordonctl repo sign --file {version}.root.json`\n")
        });
        if faults.is_empty() {
            text += &self.contents(&standing, (&rules, example))?;
        }
        if let Some(first) = faults.first() {
            let more = faults.len() - 1;
            let detail = if more == 0 {
                first.clone()
            } else {
                format!("{first}, and {more} more: {}", faults.join("; "))
            };
            return Err(Failure::refused("not in order", detail));
        }
        Ok(Report::new(text, facts(&standing, &ends)))
    }

    /// What the documents list, read as devices read it; a maker's files by their hashes.
    fn contents(&self, standing: &Standing, (rules, example): (&Rules<'_>, bool)) -> Result<String, Failure> {
        if standing.is_directors() {
            let orders = standing.targets(&Role::Delegated(ORDERS.to_owned()));
            let count = orders.map(orders_of).transpose()?.map_or(0, |orders| orders.len());
            let contents = standing.targets(&content::role());
            let contents =
                contents.map(content::assignments_of).transpose()?.map_or(0, |contents| contents.len());
            return Ok(format!("{count} orders can be read\n{contents} contents can be read\n"));
        }
        if standing.timestamp.is_none() {
            return Ok("not published: there is no timestamp in this folder\n".to_owned());
        }
        let maker = Maker::open(Folder::open(&self.repository)?, rules, example)?;
        let (mut count, mut missing) = (0_u32, Vec::new());
        for listed in standing.documents.iter().skip(1) {
            for (path, file) in listed.signed.iter().flat_map(|signed| &signed.targets.targets) {
                let name = path.parse().map_err(|error| Failure::refused("unusable name", error))?;
                let release = release_of(&name, file)?;
                count += 1;
                let image = maker.folder.image(&release.image.sha256);
                if !image.exists() {
                    missing.push(path.clone());
                } else if measure(&image)?.1 != release.image.sha256 {
                    return Err(Failure::refused(
                        "wrong image",
                        format!("{} is not {path}", image.display()),
                    ));
                }
            }
        }
        let images = if missing.is_empty() {
            String::new()
        } else {
            format!(", no image here of {}", missing.join(", "))
        };
        Ok(format!("{count} releases can be read{images}\n"))
    }
}

fn people(role: &str, authority: &cordon_proto::update::Authority, signatures: Option<u64>) -> String {
    let have = signatures.map_or(String::new(), |count| format!(", {count} have signed"));
    format!("  {role}: {} of {}{have}\n", authority.threshold(), authority.keys().len())
}

fn document(listed: &Listed, faults: &mut Vec<String>) -> String {
    let Listed { role, authority, signed } = listed;
    match signed {
        Some(signed) if !signed.complete => {
            let have = signed.signatures;
            faults.push(format!(
                "{role} {} is signed by {have} of {}",
                signed.version,
                authority.threshold()
            ));
        }
        None if *role == Role::Targets => faults.push("there is no targets document".to_owned()),
        Some(_) | None => {}
    }
    people(&role.to_string(), authority, signed.as_ref().map(|signed| signed.signatures))
}

/// The warning that an end deserves.
fn left(at: Timestamp, now: Timestamp) -> String {
    let days = at.seconds_since(now).div_euclid(86_400);
    let near = limits::EXPIRY_WARNING_DAYS.into_iter().rfind(|limit| days < i64::from(*limit));
    near.map_or(String::new(), |limit| format!(", within {limit} days"))
}

fn facts(standing: &Standing, ends: &[(Timestamp, String)]) -> Value {
    let ends: Vec<_> = ends.iter().map(|(at, what)| json!({"what": what, "at": at.to_string()})).collect();
    json!({
        "root": standing.chain.root.version,
        "root_sha256": standing.chain.newest,
        "first_root_sha256": standing.chain.first,
        "waiting_root": standing.waiting_root,
        "ends": ends,
    })
}
