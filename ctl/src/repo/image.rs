//! `repo init --image` and `repo snapshot`: a maker's repository, with one role per model so that none grows large.
//!
//! Its timestamp may live long (400 days): freshness is the director's duty. Read next: [`crate::release`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use cordon_proto::ids::{Name, Sha256};
use cordon_proto::update::author;
use cordon_proto::update::delegation::Delegations;
use cordon_proto::update::metadata::{MetaFile, Root, Snapshot as SnapshotRole, Targets};
use cordon_proto::update::{Role, Rules, name};
use serde_json::json;

use super::director::{delegate, done};
use super::{Init, RoleKeys, sign_as, timestamp};
use crate::arguments::{self, slug};
use crate::chain::{complete, newest, no_example, roots};
use crate::clock;
use crate::failure::Failure;
use crate::folder::Folder;
use crate::key::{KeyFile, SecretKey};
use crate::report::Report;
use crate::session::Session;

/// Makes a maker's repository.
///
/// # Errors
/// A key is refused, the person does not agree, or a file cannot be written.
pub fn init(init: &Init, session: &mut Session<'_>) -> Result<Report, Failure> {
    let example = session.options.example_keys;
    let read = |role: &str, files: &[_], threshold| RoleKeys::read(role, files, threshold, example);
    let root_keys = read("root", &init.root_key, init.root_threshold)?;
    let targets_keys = read("targets", &init.targets_key, init.targets_threshold)?;
    let model_keys = read("releases of each model", &init.model_key, init.model_threshold)?;
    if !init.begin {
        root_keys.can_sign()?;
        targets_keys.can_sign()?;
    }
    let online = Online::read(named(&init.snapshot_key), named(&init.timestamp_key), example)?;
    let expires = arguments::time(&init.expires, session.now)?;
    let name = repository_name(init.name.as_deref().unwrap_or_default())?;
    let root = Root {
        version: 1,
        expires,
        consistent_snapshot: true,
        root: root_keys.authority.clone(),
        timestamp: super::authority("timestamp", [online.timestamp.public().clone()].into_iter(), 1)?,
        snapshot: super::authority("snapshot", [online.snapshot.public().clone()].into_iter(), 1)?,
        targets: targets_keys.authority.clone(),
    };
    let mut roles = Vec::new();
    for model in &init.model {
        let role = slug(model);
        roles.push(delegate(&role, &format!("{role}/*"), &model_keys.authority));
    }
    let targets =
        Targets { version: 1, expires, targets: BTreeMap::new(), delegations: Delegations { roles } };
    Targets::read(&author::targets(&targets))
        .map_err(|fault| Failure::Usage(format!("the models: {fault}")))?;
    let folder = Folder::create(&init.out)?;
    let shown: String = [&root_keys, &targets_keys, &model_keys].map(RoleKeys::show).concat();
    let models = init.model.join(", ");
    session.about_to_sign(&format!(
        "image root 1 and targets 1 of {name}, models {models}, until {expires}\n{shown}"
    ))?;
    let bytes = sign_as(&author::root(&root), &Role::Root, &root.root, &root_keys.secrets())?;
    let signed = sign_as(&author::targets(&targets), &Role::Targets, &root.targets, &targets_keys.secrets())?;
    let whole = root_keys.can_sign().is_ok();
    let mut files =
        vec![folder.write_root(1, &bytes, whole)?, folder.write_role(&Role::Targets, 1, &signed)?];
    let empty = Targets { delegations: Delegations::default(), ..targets.clone() };
    for delegation in &targets.delegations.roles {
        let role = Role::Delegated(delegation.name.clone());
        let secrets = model_keys.secrets();
        if model_keys.can_sign().is_ok() {
            let bytes = sign_as(&author::targets(&empty), &role, &delegation.authority, &secrets)?;
            files.push(folder.write_role(&role, 1, &bytes)?);
        }
    }
    if whole && targets_keys.can_sign().is_ok() {
        let life = arguments::time("400d", session.now)?;
        files.extend(online.write(&folder, &session.rules(), life)?);
    }
    Ok(done(&folder, &files, whole.then(|| Sha256::of(&bytes))))
}

fn named(key: &Option<String>) -> &str {
    key.as_deref().unwrap_or_default()
}

fn repository_name(text: &str) -> Result<Name, Failure> {
    let wrong =
        || Failure::Usage(format!("`{text}` is no repository's name: use a-z 0-9 . _ -, and not `director`"));
    text.parse().ok().filter(|name: &Name| name.as_str() != "director").ok_or_else(wrong)
}

/// The two keys of a maker's automatic roles.
pub struct Online {
    snapshot: SecretKey,
    timestamp: SecretKey,
}

impl Online {
    /// Reads both.
    ///
    /// # Errors
    /// A key is refused.
    pub fn read(snapshot: &str, timestamp: &str, example_keys: bool) -> Result<Self, Failure> {
        Ok(Self { snapshot: secret(snapshot, example_keys)?, timestamp: secret(timestamp, example_keys)? })
    }

    /// Writes the next snapshot and timestamp over the newest complete documents.
    ///
    /// # Errors
    /// A document is signed by too few, or a key is none of the role's.
    pub fn write(
        &self,
        folder: &Folder,
        rules: &Rules<'_>,
        expires: cordon_proto::time::Timestamp,
    ) -> Result<Vec<String>, Failure> {
        let root = roots(folder, rules)?.root;
        let signed = complete(newest(folder, &Role::Targets, &root.targets, rules)?, &Role::Targets, rules)?;
        let mut meta =
            BTreeMap::from([(name::file(&Role::Targets), MetaFile::of(signed.version, &signed.bytes))]);
        for delegation in &signed.targets.delegations.roles {
            let role = Role::Delegated(delegation.name.clone());
            if let Some(found) = newest(folder, &role, &delegation.authority, rules)? {
                let found = complete(Some(found), &role, rules)?;
                meta.insert(format!("{role}.json"), MetaFile::of(found.version, &found.bytes));
            }
        }
        let version = folder.versions(&Role::Snapshot)?.last().map_or(1, |last| last + 1);
        let snapshot = SnapshotRole { version, expires, meta };
        let bytes =
            sign_as(&author::snapshot(&snapshot), &Role::Snapshot, &root.snapshot, &[&self.snapshot])?;
        let file = folder.write_role(&Role::Snapshot, version, &bytes)?;
        let meta = MetaFile::of(version, &bytes);
        let newest = timestamp::write(folder, (&root, rules), (meta, expires), &self.timestamp)?;
        Ok(vec![file, newest])
    }
}

/// The private key of an automatic role.
pub(super) fn secret(file: &str, example_keys: bool) -> Result<SecretKey, Failure> {
    match KeyFile::read(&PathBuf::from(file), example_keys)? {
        KeyFile::Secret(key) => Ok(*key),
        KeyFile::Public(_) => Err(Failure::refused(
            "public key",
            format!("{file} is a public key; a maker signs snapshot and timestamp here"),
        )),
    }
}

/// Write a maker's next snapshot and timestamp.
#[derive(Clone, Debug, Args)]
pub struct Snapshot {
    /// The maker's folder.
    #[arg(long, value_name = "DIR")]
    pub repository: PathBuf,
    /// The snapshot key.
    #[arg(long, value_name = "FILE")]
    pub snapshot_key: String,
    /// The timestamp key.
    #[arg(long, value_name = "FILE")]
    pub timestamp_key: String,
    /// When both expire; 400 days from now if not given.
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
}

impl Snapshot {
    /// Does it.
    ///
    /// # Errors
    /// A document is signed by too few, or a key is refused.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let folder = Folder::open(&self.repository)?;
        let rules = session.rules();
        let root = roots(&folder, &rules)?.root;
        no_example(&root, session.options.example_keys)?;
        let expires = arguments::time(self.expires.as_deref().unwrap_or(timestamp::LIFE), session.now)?;
        if let (None, Some(present)) = (&self.expires, timestamp::read(&folder, &root, &rules)?) {
            clock::not_shorter(expires, (present.version, present.expires))?;
        }
        let online = Online::read(&self.snapshot_key, &self.timestamp_key, session.options.example_keys)?;
        let files = online.write(&folder, &rules, expires)?;
        Ok(Report::new(format!("wrote {}", files.join(", ")), json!({"files": files})))
    }
}
