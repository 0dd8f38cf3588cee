//! `repo sign`: a further signature on a root, targets or delegated document that waits for one.
//!
//! Whoever signs sees the document whole: a model's releases in words, anything else as JSON with what it changes. For orders `cordonctl order sign --add` is the
//! better way, because it explains them and checks the scope. Read next: [`crate::chain`].

use std::path::PathBuf;

use clap::Args;
use cordon_proto::ids::Sha256;
use cordon_proto::update::author::{Signer, add_signature};
use cordon_proto::update::document::Document;
use cordon_proto::update::metadata::Root;
use cordon_proto::update::{Authority, Fault, Role, Rules};
use serde_json::json;

use super::director::CONTENT;
use super::foreign;
use super::signatories::{Signatories, complete, report};
use super::words;
use crate::chain::{ORDERS, complete as demanded, newest, no_example, root_before, roots};
use crate::diff;
use crate::failure::Failure;
use crate::folder::Folder;
use crate::key::{Pens, SecretKey};
use crate::report::{Report, plain};
use crate::session::Session;

/// Add a signature to a document that waits for one.
#[derive(Clone, Debug, Args)]
pub struct Add {
    /// The repository's folder.
    #[arg(long, value_name = "DIR")]
    pub repository: PathBuf,
    /// The document, such as 3.vp-3.json.
    #[arg(long, value_name = "NAME")]
    pub file: String,
    /// Your private key.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
}

impl Add {
    /// Does it.
    ///
    /// # Errors
    /// The key may not sign it, has signed it already, or the person does not agree.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let rules = session.rules();
        let folder = Folder::begun(&self.repository)?;
        let (role, version) = role_of(&self.file)?;
        if role == Role::Delegated(ORDERS.to_owned()) {
            let detail =
                "sign orders with `cordonctl order sign --add`, which explains them and checks their scope";
            return Err(Failure::refused("orders", detail));
        }
        if role == Role::Delegated(CONTENT.to_owned()) {
            let detail = "sign contents with `cordonctl content sign --add`, which shows what they set";
            return Err(Failure::refused("content", detail));
        }
        let key = SecretKey::read(&self.key, session.options.example_keys)?;
        let bytes = folder.to_sign(&role, version)?;
        let limit = rules.sizes.targets.max(rules.sizes.root);
        let document =
            Document::parse(&bytes, limit).map_err(|fault| Failure::from(fault.of(role.clone())))?;
        let stated = (&role, version, &document);
        let (who, changes) = who_signs(&folder, stated, (&rules, session.options.example_keys))?;
        let shown = match role {
            Role::Root => plain(&String::from_utf8_lossy(&document.signed().json())) + "\n",
            _ => words::targets(&folder, &role, &document, &rules),
        };
        session.about_to_sign(&format!("{}\n{shown}{changes}", self.file))?;
        let signed = who.add(&bytes, limit, &key)?;
        let counts = who.counts(&signed, limit, &rules)?;
        let mut report = report(&self.file, &counts);
        if role == Role::Root {
            folder.write_root(version, &signed, complete(&counts))?;
        } else {
            folder.write(&self.file, &signed)?;
        }
        if role == Role::Root && complete(&counts) {
            let sha256 = Sha256::of(&signed);
            report.text += &format!("\nroot SHA-256 {sha256}: keep it where the server cannot change it");
            report = report.with("root_sha256", json!(sha256));
        }
        Ok(report)
    }
}

/// Adds one signature and says how many there are.
///
/// # Errors
/// The key is none of the role's, or has signed already.
pub fn add(
    bytes: &[u8],
    limit: usize,
    (role, authority): (&Role, &Authority),
    key: &SecretKey,
    rules: &Rules<'_>,
) -> Result<(Vec<u8>, u64), Failure> {
    let id = authority.id_of(key.public()).ok_or_else(|| foreign(role, key.public()))?;
    let pens = Pens::default();
    let sign = |message: &[u8]| pens.sign(key, message);
    let signed = add_signature(bytes, limit, &Signer { key: id.clone(), sign: &sign })
        .map_err(|error| Failure::refused("not signed", error))?;
    pens.all_made()?;
    let document = Document::parse(&signed, limit).map_err(|fault| Failure::from(fault.of(role.clone())))?;
    Ok((signed, document.count(authority, rules.verifier)))
}

/// How far a document is.
#[must_use]
pub fn counted(file: &str, count: u64, threshold: u64) -> Report {
    let missing = threshold.saturating_sub(count);
    let next = if missing == 0 {
        "complete".to_owned()
    } else {
        format!("{missing} more needed, from another person's key")
    };
    let json = json!({"file": file, "signatures": count, "threshold": threshold, "complete": missing == 0});
    Report::new(format!("{file}: {count} of {threshold} signatures, {next}"), json)
}

fn role_of(file: &str) -> Result<(Role, u64), Failure> {
    let wrong =
        || Failure::Usage(format!("`{file}` is no document that people sign: name it as 3.vp-3.json"));
    let (version, role) =
        file.strip_suffix(".json").and_then(|stem| stem.split_once('.')).ok_or_else(wrong)?;
    let version = version.parse().map_err(|_| wrong())?;
    match role {
        "root" => Ok((Role::Root, version)),
        "targets" => Ok((Role::Targets, version)),
        "snapshot" | "timestamp" | "" => Err(wrong()),
        other => Ok((Role::Delegated(other.to_owned()), version)),
    }
}

/// Who must sign the document, and what it changes: a first root its own people, the next one those of both; other
/// documents whom their delegator names.
fn who_signs(
    folder: &Folder,
    (role, version, document): (&Role, u64, &Document),
    (rules, example_keys): (&Rules<'_>, bool),
) -> Result<(Signatories, String), Failure> {
    let wrong = |fault: Fault| Failure::from(fault.of(role.clone()));
    if *role == Role::Root {
        let next = Root::read(document.signed()).map_err(wrong)?;
        no_example(&next, example_keys)?;
        if next.version != version {
            return Err(wrong(Fault::Version { wanted: version, found: next.version }));
        }
        if version <= 1 {
            return Ok((Signatories::one(Role::Root, next.root), String::new()));
        }
        let before = root_before(folder, version, rules)?;
        let changes = diff::roots(&before, &next).iter().map(|line| format!("  {line}\n")).collect();
        return Ok((Signatories::rotation(&before, &next), changes));
    }
    let root = match folder.versions(&Role::Root)?.is_empty() {
        // A ceremony that has begun: what its first root will say once it is complete.
        true => {
            let bytes = folder.to_sign(&Role::Root, 1)?;
            let begun = Document::parse(&bytes, rules.sizes.root);
            begun.and_then(|document| Root::read(document.signed())).map_err(|fault| fault.of(Role::Root))?
        }
        false => roots(folder, rules)?.root,
    };
    no_example(&root, example_keys)?;
    if *role == Role::Targets {
        return Ok((Signatories::one(Role::Targets, root.targets), String::new()));
    }
    let targets =
        demanded(newest(folder, &Role::Targets, &root.targets, rules)?, &Role::Targets, rules)?.targets;
    let delegation = targets.delegations.role(&role.to_string()).ok_or_else(|| wrong(Fault::NotDelegated))?;
    Ok((Signatories::one(role.clone(), delegation.authority.clone()), String::new()))
}
