//! `repo init --director`: the owner's repository (decision 0002): root and targets offline, orders and content
//! delegated, snapshot and timestamp by the server.
//!
//! It writes `1.root.json` and `1.targets.json`; the first order makes `1.orders.json`. Read next: [`super::RoleKeys`].

use std::path::Path;

use cordon_proto::canonical::Value;
use cordon_proto::ids::Sha256;
use cordon_proto::update::author;
use cordon_proto::update::delegation::{DelegatedRole, Delegations, Paths};
use cordon_proto::update::metadata::{Root, Targets};
use cordon_proto::update::{Authority, PublicKey, Role};
use serde_json::json;

use super::{Init, RoleKeys, authority, sign_as};
use crate::arguments::{self, read_file};
use crate::chain::ORDERS;
use crate::failure::Failure;
use crate::folder::Folder;
use crate::key::{allowed, describe, public};
use crate::report::Report;
use crate::session::Session;

/// Bytes of the file with the server's keys.
const ONLINE_KEYS_BYTES: u64 = 16 * 1024;
/// The role that holds content.
pub const CONTENT: &str = "content";

/// Makes the owner's repository.
///
/// # Errors
/// A key is refused, the person does not agree, or a file cannot be written.
pub fn init(init: &Init, session: &mut Session<'_>) -> Result<Report, Failure> {
    let example = session.options.example_keys;
    let read = |role: &str, files: &[_], threshold| RoleKeys::read(role, files, threshold, example);
    let root_keys = read("root", &init.root_key, init.root_threshold)?;
    let targets_keys = read("targets", &init.targets_key, init.targets_threshold)?;
    let orders = read(ORDERS, &init.orders_key, init.orders_threshold)?;
    let content_threshold = init.content_threshold.unwrap_or(init.orders_threshold);
    let content = read(CONTENT, &init.content_key, content_threshold)?;
    if !init.begin {
        root_keys.can_sign()?;
        targets_keys.can_sign()?;
    }
    let [snapshot, timestamp] = online(init, example)?;
    let expires = arguments::time(&init.expires, session.now)?;
    let root = Root {
        version: 1,
        expires,
        consistent_snapshot: true,
        root: root_keys.authority.clone(),
        timestamp: authority("timestamp", [timestamp.clone()].into_iter(), 1)?,
        snapshot: authority("snapshot", [snapshot.clone()].into_iter(), 1)?,
        targets: targets_keys.authority.clone(),
    };
    let targets = Targets {
        version: 1,
        expires,
        targets: [].into(),
        delegations: Delegations {
            roles: [
                delegate(ORDERS, "order/*", &orders.authority),
                delegate(CONTENT, "content/*", &content.authority),
            ]
            .into(),
        },
    };
    let folder = Folder::create(&init.out)?;
    let shown: String = [&root_keys, &targets_keys, &orders, &content].map(RoleKeys::show).concat();
    let online = format!(
        "  snapshot: {} (the server)\n  timestamp: {} (the server)\n",
        describe(&snapshot),
        describe(&timestamp)
    );
    let lonely =
        if orders.authority.threshold() == 1 { "  ONE PERSON ALONE CAN ORDER INSTALLATIONS.\n" } else { "" };
    session
        .about_to_sign(&format!("director root 1 and targets 1, until {expires}\n{shown}{online}{lonely}"))?;
    let bytes = sign_as(&author::root(&root), &Role::Root, &root.root, &root_keys.secrets())?;
    let signed = sign_as(&author::targets(&targets), &Role::Targets, &root.targets, &targets_keys.secrets())?;
    let whole = root_keys.can_sign().is_ok();
    let files = [folder.write_root(1, &bytes, whole)?, folder.write_role(&Role::Targets, 1, &signed)?];
    Ok(done(&folder, &files, whole.then(|| Sha256::of(&bytes))))
}

/// The server's two keys: from its file, or one by one.
fn online(init: &Init, example_keys: bool) -> Result<[PublicKey; 2], Failure> {
    let Some(path) = &init.online_keys else {
        let named = |key: &Option<String>| public(key.as_deref().unwrap_or_default(), example_keys);
        return Ok([named(&init.snapshot_key)?, named(&init.timestamp_key)?]);
    };
    servers_keys(path, example_keys)
}

/// The two keys in the file that `cordon-server init` wrote: of the snapshot and of the timestamp.
pub(super) fn servers_keys(path: &Path, example_keys: bool) -> Result<[PublicKey; 2], Failure> {
    let unusable =
        |error: &dyn std::fmt::Display| Failure::refused("key", format!("{}: {error}", path.display()));
    let bytes = read_file(path, ONLINE_KEYS_BYTES)?;
    let document = Value::parse(&bytes, bytes.len()).map_err(|error| unusable(&error))?;
    let key = |role: &str| -> Result<PublicKey, Failure> {
        let fields = document.map().and_then(|document| document.map(role));
        let key = fields.and_then(|fields| PublicKey::read(&fields)).map_err(|error| unusable(&error))?;
        allowed(&key, &path.display().to_string(), example_keys)?;
        Ok(key)
    };
    Ok([key("snapshot")?, key("timestamp")?])
}

/// What both kinds of `init` report.
///
/// A root that waits for signatures has no hash yet that would last.
pub(super) fn done(folder: &Folder, files: &[String], root: Option<Sha256>) -> Report {
    let path = folder.path().display().to_string();
    let next = match root {
        Some(root) => format!("root SHA-256 {root}: keep it where the server cannot change it"),
        None => {
            "the root waits for signatures: hand the folder on, `cordonctl repo sign --file 1.root.json`, \
                 then `--file 1.targets.json`"
                .to_owned()
        }
    };
    let text = format!("wrote {} to {path}\n{next}\n", files.join(", "));
    Report::new(text, json!({"folder": path, "files": files, "root_sha256": root}))
}

pub(super) fn delegate(role: &str, pattern: &str, authority: &Authority) -> DelegatedRole {
    DelegatedRole {
        name: role.to_owned(),
        authority: authority.clone(),
        paths: Paths::Patterns([pattern.to_owned()].into()),
        terminating: true,
    }
}
