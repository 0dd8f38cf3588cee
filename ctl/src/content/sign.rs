//! `content sign`: the next document of the content role, with contents added and withdrawn, and the second signature.
//!
//! All live contents stand in one document. The signer brings the content's document and the full list of its devices;
//! the second signer brings the own copies of both, and a content of which either is missing is not signed. The document
//! goes into the owner's folder under its hash, from where `repo publish` sends it. Read next: [`super::verify`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use cordon_proto::ids::{Name, Sha256, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::update::content::{Assignment, Content};
use cordon_proto::update::delegation::Delegations;
use cordon_proto::update::metadata::{TargetFile, Targets};
use cordon_proto::update::scope::Scope;
use cordon_proto::update::{Fault, Rules, author};

use super::{
    Whole, assignments_of, authority, describe_whole, facts, fit_to_sign, highest, in_force, read, role, same,
};
use crate::arguments;
use crate::chain::{self, Director, newest};
use crate::clock;
use crate::failure::Failure;
use crate::folder::{Folder, write_whole};
use crate::key::SecretKey;
use crate::order::list::ScopeList;
use crate::repo::add::{add, counted};
use crate::repo::sign_as;
use crate::repo::words::ends;
use crate::report::Report;
use crate::session::Session;

/// Sign contents.
#[derive(Clone, Debug, Args)]
pub struct Sign {
    /// The owner's folder.
    #[arg(long, value_name = "DIR")]
    pub director: PathBuf,
    /// A private key of the people who sign content. Repeat only if one person may hold both.
    #[arg(long, value_name = "FILE", required = true)]
    pub key: Vec<PathBuf>,
    /// A content document, as `content propose` wrote it. The second signer repeats it for each new one.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["withdraw", "add"])]
    pub file: Vec<PathBuf>,
    /// Put the second signature under the document that waits for it; give the same files and lists.
    #[arg(long, conflicts_with = "withdraw")]
    pub add: bool,
    /// The devices it is for: lines of MANUFACTURER, MODEL, SERIAL. The second signer may repeat it.
    #[arg(long, value_name = "FILE", conflicts_with = "match_hardware")]
    pub scope_list: Vec<PathBuf>,
    /// Instead of a list: every device of the content's model with this hardware revision, new ones too.
    #[arg(long, value_name = "REVISION", requires = "from")]
    pub match_hardware: Option<Text>,
    /// The installed counters for which, such as 30:41.
    #[arg(long, value_name = "MIN:MAX", value_parser = arguments::counters)]
    pub from: Option<(u64, u64)>,
    /// Until when devices take it. Who has it keeps it.
    #[arg(long, value_name = "TIME", default_value = "90d")]
    pub expires: String,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<Text>,
    /// Take a content out of the document: no device takes it any more. Repeat.
    #[arg(long, value_name = "NAME")]
    pub withdraw: Vec<Name>,
    /// When the document expires; no content reaches beyond it.
    #[arg(long, value_name = "TIME", default_value = "365d")]
    pub document_expires: String,
}

impl Sign {
    /// The first signature: makes the next document.
    ///
    /// # Errors
    /// A content is not to be signed, a key may not sign, or the person does not agree.
    pub fn first(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let (rules, example) = (session.rules(), session.options.example_keys);
        let director = Director::open(Folder::open(&self.director)?, &rules, example)?;
        clock::not_behind(session.now, &director.made(&rules)?)?;
        let (version, earlier) = in_force(&director, &rules)?.unwrap_or_default();
        let mut live = self.kept(earlier, session.now)?;
        let (lists, mut shown) = (self.lists()?, format!("content version {}\n", version + 1));
        let (mut made, mut files) = (Vec::new(), Vec::new());
        let ever = highest(&director, &rules)?;
        for (content, bytes) in self.contents()? {
            let highest = live.iter().map(|other| other.version).fold(ever, u64::max);
            if content.version <= highest {
                let detail =
                    format!("version {} is not above {highest}, which is signed already", content.version);
                return Err(Failure::refused("version", detail));
            }
            fit_to_sign(&content)?;
            let assignment = self.assignment(&content, &bytes, &lists, session.now)?;
            let whole = Whole { assignment, content };
            shown += &describe_whole(&whole, &lists);
            live.retain(|other| other.id != whole.assignment.id);
            live.push(whole.assignment.clone());
            files.push((whole.assignment.sha256, bytes));
            made.push(whole);
        }
        shown += &self.withdraw.iter().map(|id| format!("withdraws {id}\n")).collect::<String>();
        let is_new = |id: &Name| made.iter().any(|whole| whole.assignment.id == *id);
        for Assignment { id, version, expires, .. } in live.iter().filter(|live| !is_new(&live.id)) {
            shown += &format!("{id} version {version} is unchanged, taken until {expires}\n");
        }
        let document = self.document(&live, version + 1, session.now)?;
        shown += &ends(document.expires);
        let keys = self.keys(example)?;
        session.about_to_sign(&shown)?;
        let authority = authority(&director)?;
        let signed = author::targets(&document);
        let bytes = sign_as(&signed, &role(), authority, &keys.iter().collect::<Vec<_>>())?;
        keep(&director, &files)?;
        let file = director.folder.write_role(&role(), document.version, &bytes)?;
        let count = u64::try_from(keys.len()).unwrap_or(u64::MAX);
        Ok(counted(&file, count, authority.threshold()).with("contents", made.iter().map(facts).collect()))
    }

    /// The second signature: sees what is new, checks it as the first one did, and adds to it.
    ///
    /// # Errors
    /// Nothing waits for one, a content is not to be signed, or the person does not agree.
    pub fn second(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let (rules, example) = (session.rules(), session.options.example_keys);
        let director = Director::open(Folder::open(&self.director)?, &rules, example)?;
        clock::not_behind(session.now, &director.made(&rules)?)?;
        let authority = authority(&director)?;
        let newest = newest(&director.folder, &role(), authority, &rules)?;
        let none = || Failure::refused("nothing to sign", "no document of contents waits for a signature");
        let pending = newest.filter(|newest| !newest.complete).ok_or_else(none)?;
        let at = pending.targets.expires;
        if rules.now >= at {
            return Err(Fault::Expired { at }.of(role()).into());
        }
        let (lists, given) = (self.lists()?, self.contents()?);
        let mut shown = format!("content version {}\n", pending.version);
        let (mut seen, mut files) = (Vec::new(), Vec::new());
        let earlier = earlier(&director, pending.version, &rules)?;
        let waiting = assignments_of(&pending.targets)?;
        for gone in earlier.iter().filter(|gone| !waiting.iter().any(|other| other.id == gone.id)) {
            shown += &format!("{} is no longer listed\n", gone.id);
        }
        for assignment in waiting {
            if earlier.contains(&assignment) {
                let Assignment { id, version, expires, .. } = &assignment;
                shown += &format!("{id} version {version} is unchanged, taken until {expires}\n");
                continue;
            }
            let own = given.iter().find(|(content, _)| content.id == assignment.id);
            let (content, bytes) = own.ok_or_else(|| unread(&assignment))?;
            same(&assignment, content, bytes)?;
            own_list(&assignment, content, &lists)?;
            files.push((assignment.sha256, bytes.clone()));
            let whole = Whole { assignment, content: content.clone() };
            shown += &describe_whole(&whole, &lists);
            seen.push(whole);
        }
        let keys = self.keys(example)?;
        session.about_to_sign(&(shown + &ends(at)))?;
        let (mut bytes, mut count) = (pending.bytes, pending.signatures);
        for key in &keys {
            (bytes, count) = add(&bytes, rules.sizes.targets, (&role(), authority), key, &rules)?;
        }
        keep(&director, &files)?;
        let file = director.folder.write_role(&role(), pending.version, &bytes)?;
        Ok(counted(&file, count, authority.threshold()).with("contents", seen.iter().map(facts).collect()))
    }

    fn contents(&self) -> Result<Vec<(Content, Vec<u8>)>, Failure> {
        self.file.iter().map(|path| read(path)).collect()
    }

    fn lists(&self) -> Result<Vec<ScopeList>, Failure> {
        self.scope_list.iter().map(|path| ScopeList::read(path)).collect()
    }

    fn keys(&self, example_keys: bool) -> Result<Vec<SecretKey>, Failure> {
        self.key.iter().map(|file| SecretKey::read(file, example_keys)).collect()
    }

    /// The contents that stay: neither withdrawn nor over.
    fn kept(&self, mut live: Vec<Assignment>, now: Timestamp) -> Result<Vec<Assignment>, Failure> {
        for id in &self.withdraw {
            if !live.iter().any(|assignment| assignment.id == *id) {
                let detail = format!("there is no live content {id} to withdraw");
                return Err(Failure::refused("unknown content", detail));
            }
        }
        live.retain(|assignment| !self.withdraw.contains(&assignment.id) && now < assignment.expires);
        Ok(live)
    }

    fn assignment(
        &self,
        content: &Content,
        bytes: &[u8],
        lists: &[ScopeList],
        now: Timestamp,
    ) -> Result<Assignment, Failure> {
        let reason = self.reason.clone();
        let assignment = Assignment {
            id: content.id.clone(),
            length: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            sha256: Sha256::of(bytes),
            scope: self.scope(content, lists)?,
            version: content.version,
            issued: now,
            expires: arguments::time(&self.expires, now)?,
            reason: reason.ok_or_else(|| Failure::Usage("why? give --reason".to_owned()))?,
        };
        own_list(&assignment, content, lists)?;
        Ok(assignment)
    }

    fn scope(&self, content: &Content, lists: &[ScopeList]) -> Result<Scope, Failure> {
        match (&self.match_hardware, self.from, lists) {
            (Some(hardware), Some((from_least, from_most)), _) => Ok(Scope::Match {
                model: content.model.clone(),
                hardware: hardware.clone(),
                from_least,
                from_most,
            }),
            (_, _, [list]) => Ok(Scope::Set { root: list.root(), count: list.count() }),
            (_, _, _) => Err(Failure::Usage(
                "for whom? give one --scope-list, or --match-hardware with --from".to_owned(),
            )),
        }
    }

    /// The document of these contents, read back as a device would read it.
    fn document(&self, live: &[Assignment], version: u64, now: Timestamp) -> Result<Targets, Failure> {
        let expires = arguments::time(&self.document_expires, now)?;
        if expires.seconds_since(now) > limits::CONTENT_DAYS * 86_400 {
            let detail = format!("the document of contents lives at most {} days", limits::CONTENT_DAYS);
            return Err(Failure::Usage(detail));
        }
        let mut targets = BTreeMap::new();
        for content in live {
            let file = TargetFile::new(content.length, content.sha256, Some(content.custom()));
            targets.insert(Assignment::path_of(&content.id).as_str().to_owned(), file);
        }
        let document = Targets { version, expires, targets, delegations: Delegations::default() };
        assignments_of(&document)?;
        let bytes = author::targets(&document).json().len();
        if bytes > limits::DEVICE_TARGETS_BYTES * 3 / 4 {
            let detail = format!("the document has {bytes} bytes; withdraw contents that are superseded");
            return Err(Failure::refused("document too large", detail));
        }
        Ok(document)
    }
}

/// What the newest document below a version lists that was signed enough.
fn earlier(director: &Director, below: u64, rules: &Rules<'_>) -> Result<Vec<Assignment>, Failure> {
    let authority = authority(director)?;
    let versions = director.folder.versions(&role())?;
    for version in versions.into_iter().rev().filter(|version| *version < below) {
        let signed = chain::read(&director.folder, &role(), version, (authority, rules))?;
        if signed.complete {
            return assignments_of(&signed.targets);
        }
    }
    Ok(Vec::new())
}

fn unread(assignment: &Assignment) -> Failure {
    let detail = format!(
        "content {} version {} is new: give its document with --file, and sign only what you have read",
        assignment.id, assignment.version
    );
    Failure::refused("content not signed", detail)
}

/// Refuses a scope by list whose list was not given, or that names devices of another model.
fn own_list(assignment: &Assignment, content: &Content, lists: &[ScopeList]) -> Result<(), Failure> {
    let refuse = |why: &dyn std::fmt::Display| {
        Failure::refused("content not signed", format!("content {}: {why}", assignment.id))
    };
    match &assignment.scope {
        Scope::Match { model, .. } if *model != content.model => {
            Err(refuse(&"its scope names another model: no device would take it"))
        }
        Scope::Match { .. } => Ok(()),
        Scope::Set { root, count } => {
            let list = lists.iter().find(|list| list.root() == *root && list.count() == *count);
            let missing =
                "no list given with --scope-list makes its root: sign only what you have read in full";
            list.ok_or_else(|| refuse(&missing))?.only_model(&content.model).map_err(|error| refuse(&error))
        }
    }
}

/// Keeps the documents in the folder, under their hashes.
fn keep(director: &Director, files: &[(Sha256, Vec<u8>)]) -> Result<(), Failure> {
    for (sha256, bytes) in files {
        let path = director.folder.image(sha256);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| Failure::file("make", folder, &error))?;
        }
        write_whole(&path, bytes)?;
    }
    Ok(())
}
