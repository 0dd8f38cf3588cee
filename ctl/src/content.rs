//! `cordonctl content`: the owner's security people propose, sign and check settings and thresholds, all offline.
//!
//! A content is a small closed document that is signed as the bytes it has. Whoever signs sees what it sets, what that
//! changes, and the full list of its devices; nothing of it comes from a server. Read next: [`propose`], [`sign`] for
//! both signers, [`verify`].

use clap::Subcommand;
use cordon_proto::canonical::Value as Signed;
use cordon_proto::ids::{Sha256, TargetPath};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::update::content::{Assignment, Content, read_document};
use cordon_proto::update::metadata::Targets;
use cordon_proto::update::{Authority, Fault, Role, Rules};
use serde_json::{Value, json};

use crate::arguments::read_file;
use crate::chain::{self, Director, complete, entry, newest};
use crate::failure::Failure;
use crate::order::list::ScopeList;
use crate::order::scope;
use crate::repo::director::CONTENT;
use crate::report::{Report, plain};
use crate::session::Session;

pub mod propose;
pub mod sign;
pub mod verify;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a content document to be signed: a bare one, or what a draft says once every bound was checked.
    Propose(propose::Propose),
    /// Sign contents: add and withdraw them, or with --add put the second signature under them.
    Sign(Box<sign::Sign>),
    /// Verify the signed contents of a folder offline, each with its document.
    Verify(verify::Verify),
    /// Show what a content document sets.
    Show(propose::Show),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused or wrongly used.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        match self {
            Self::Propose(propose) => propose.run(session),
            Self::Sign(sign) if sign.add => sign.second(session),
            Self::Sign(sign) => sign.first(session),
            Self::Verify(verify) => verify.run(session),
            Self::Show(show) => show.run(),
        }
    }
}

/// A content that was signed about, with its document.
pub struct Whole {
    /// What was signed.
    pub assignment: Assignment,
    /// What its document says.
    pub content: Content,
}

/// The role of the contents.
#[must_use]
pub fn role() -> Role {
    Role::Delegated(CONTENT.to_owned())
}

/// Who signs contents.
///
/// # Errors
/// The targets role delegates to no `content`.
pub fn authority(director: &Director) -> Result<&Authority, Failure> {
    let missing = || Failure::from(Fault::NotDelegated.of(role()));
    Ok(&director.targets.delegations.role(CONTENT).ok_or_else(missing)?.authority)
}

/// The contents that are in force in a folder, or nothing while none was ever signed.
///
/// # Errors
/// The newest document is signed by too few, has expired, or cannot be read.
pub fn in_force(director: &Director, rules: &Rules<'_>) -> Result<Option<(u64, Vec<Assignment>)>, Failure> {
    let newest = newest(&director.folder, &role(), authority(director)?, rules)?;
    match &newest {
        None => return Ok(None),
        Some(pending) if !pending.complete => {
            let version = pending.version;
            let detail =
                format!("{version}.content.json waits for another signature: `cordonctl content sign --add`");
            return Err(Failure::refused("not signed enough", detail));
        }
        Some(_) => {}
    }
    let signed = complete(newest, &role(), rules)?;
    Ok(Some((signed.version, assignments_of(&signed.targets)?)))
}

/// The contents that devices may have by the newest document that enough people signed, whether or not it is over: who
/// has a content keeps it. None where no content was ever signed.
///
/// # Errors
/// A document cannot be read.
pub fn standing(director: &Director, rules: &Rules<'_>) -> Result<Vec<Assignment>, Failure> {
    let Some(delegation) = director.targets.delegations.role(CONTENT) else { return Ok(Vec::new()) };
    for version in director.folder.versions(&role())?.into_iter().rev() {
        let signed = chain::read(&director.folder, &role(), version, (&delegation.authority, rules))?;
        if signed.complete {
            return assignments_of(&signed.targets);
        }
    }
    Ok(Vec::new())
}

/// When the contents of a folder were signed: those of the newest document and of the one in force, as far as the
/// role's keys signed them.
///
/// # Errors
/// A document cannot be read.
pub fn issued(director: &Director, rules: &Rules<'_>) -> Result<Vec<(Timestamp, String)>, Failure> {
    let mut made = Vec::new();
    let Some(delegation) = director.targets.delegations.role(CONTENT) else { return Ok(made) };
    for version in director.folder.versions(&role())?.into_iter().rev() {
        let document = chain::read(&director.folder, &role(), version, (&delegation.authority, rules))?;
        if document.signatures > 0 {
            let listed = assignments_of(&document.targets)?.into_iter();
            made.extend(listed.map(|content| (content.issued, format!("content {}", content.id))));
        }
        if document.complete {
            break;
        }
    }
    Ok(made)
}

/// The highest version of any content that a document of this folder ever listed, withdrawn and ended ones too: devices
/// keep one number for all contents, and it never falls.
///
/// # Errors
/// A document cannot be read.
pub fn highest(director: &Director, rules: &Rules<'_>) -> Result<u64, Failure> {
    let mut highest = 0;
    for version in director.folder.versions(&role())? {
        let document = chain::read(&director.folder, &role(), version, (authority(director)?, rules))?;
        let listed = assignments_of(&document.targets)?;
        highest = listed.iter().map(|assignment| assignment.version).fold(highest, u64::max);
    }
    Ok(highest)
}

/// The assignments that a document lists.
///
/// # Errors
/// One of them cannot be read.
pub fn assignments_of(document: &Targets) -> Result<Vec<Assignment>, Failure> {
    let wrong =
        |text: &str| Failure::refused("unusable name", format!("`{text}` is not the name of a target"));
    let mut paths: Vec<(TargetPath, _)> = Vec::new();
    for (path, file) in &document.targets {
        paths.push((path.parse().map_err(|_| wrong(path))?, file));
    }
    let null = Signed::Null;
    let listed = paths.iter().map(|(path, file)| entry(path, file, &null)).collect::<Result<Vec<_>, _>>()?;
    read_document(listed, document.expires).map_err(|error| Failure::refused("unusable content", error))
}

/// Reads a document from a file, within its bounds.
///
/// # Errors
/// It cannot be read, or a field of it is unknown, missing or out of bounds.
pub fn read(path: &std::path::Path) -> Result<(Content, Vec<u8>), Failure> {
    let limit = u64::try_from(limits::CONTENT_BYTES).unwrap_or(u64::MAX);
    let bytes = read_file(path, limit)?;
    let content = Content::read(&bytes)
        .map_err(|error| Failure::refused("unusable content", format!("{}: {error}", path.display())))?;
    Ok((content, bytes))
}

/// Refuses what is read in a content that was signed before, and not signed any more.
///
/// # Errors
/// The beacon detector would be set so that a beacon an hour is never reported.
pub fn fit_to_sign(content: &Content) -> Result<(), Failure> {
    let most = limits::CONTENT_BEACON_STARTS_MOST;
    let Some(starts) = content.detectors.beacon_starts.filter(|starts| *starts > most) else {
        return Ok(());
    };
    let detail = format!(
        "beacon.starts is {starts}: with more than {most} a beacon an hour is never reported, and devices cut it to \
         {most}. Set {most} or less"
    );
    Err(Failure::refused("unusable content", detail))
}

/// The document of an assignment, from the folder, with the length and the hash that were signed.
///
/// # Errors
/// It is missing or another one.
pub fn document_of(director: &Director, assignment: Assignment) -> Result<Whole, Failure> {
    let path = director.folder.image(&assignment.sha256);
    if !path.exists() {
        let detail = format!(
            "content {} version {} is listed, and its document is not in this folder: bring {}",
            assignment.id,
            assignment.version,
            path.display()
        );
        return Err(Failure::refused("missing file", detail));
    }
    let (content, bytes) = read(&path)?;
    same(&assignment, &content, &bytes)?;
    Ok(Whole { assignment, content })
}

/// Refuses a document that is not the one that an assignment names.
///
/// # Errors
/// It is another one.
pub fn same(assignment: &Assignment, content: &Content, bytes: &[u8]) -> Result<(), Failure> {
    let hash = Sha256::of(bytes);
    let named = content.id == assignment.id && content.version == assignment.version;
    if hash == assignment.sha256 && named {
        return Ok(());
    }
    let detail = format!(
        "content {} version {} names the document {}, this is {} version {} with {hash}",
        assignment.id, assignment.version, assignment.sha256, content.id, content.version
    );
    Err(Failure::refused("other content", detail))
}

/// What a document sets, in lines.
#[must_use]
pub fn describe(content: &Content) -> String {
    let number = |number: Option<u32>, unit: &str| match number {
        Some(number) => format!("{number}{unit}"),
        None => "as the device has it".to_owned(),
    };
    let windows = match &content.windows {
        None => "as the orders say".to_owned(),
        Some(windows) if windows.is_empty() => "NONE: no device reboots for an update".to_owned(),
        Some(windows) => {
            let text = Signed::list(windows.iter().map(|window| window.value())).json();
            format!("only within {}", String::from_utf8_lossy(&text))
        }
    };
    let detectors = content.detectors;
    let most = limits::CONTENT_BEACON_STARTS_MOST;
    let starts = |set: Option<u32>| match set.filter(|set| *set > most) {
        Some(set) => format!("{set}, devices speak from {most} on"),
        None => number(set, ""),
    };
    format!(
        "content {} version {}, for the model {}\n  check-ins  at least apart by: {}\n  beacon     starts: {}, score: {}\n  \
         allow-list networks on one service: {}\n  windows    {windows}\n",
        content.id,
        content.version,
        plain(content.model.as_str()),
        number(content.settings.checkin_s, " s"),
        starts(detectors.beacon_starts),
        number(detectors.beacon_score, " of 1000"),
        number(detectors.wide_networks, ""),
    )
}

/// What was signed about a content, in lines, with the full list of its scope.
#[must_use]
pub fn describe_whole(whole: &Whole, lists: &[ScopeList]) -> String {
    let Whole { assignment, content } = whole;
    format!(
        "{}  taken      from {} to {}\n  reason     {}\n{}",
        describe(content),
        assignment.issued,
        assignment.expires,
        plain(assignment.reason.as_str()),
        scope(&assignment.scope, lists)
    )
}

/// A content for programs.
#[must_use]
pub fn facts(whole: &Whole) -> Value {
    let parsed = |value: &Signed| serde_json::from_slice::<Value>(&value.json()).unwrap_or(Value::Null);
    json!({
        "id": whole.assignment.id.as_str(),
        "sha256": whole.assignment.sha256.to_string(),
        "custom": parsed(&whole.assignment.custom()),
        "content": parsed(&whole.content.value()),
    })
}
