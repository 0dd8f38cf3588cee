//! `repo delegate`: the next targets document, with other people for a role, a new model's role, or a later end.
//!
//! A role that exists keeps its paths; a maker's new model gets `model/*`. What a role's former people signed does not
//! stay in force: the next version of the role's document is written with it, for the new people to sign. Orders are
//! the exception, because each is read again in full: `order sign --renew`. Read next: [`super::rotate`].

use std::path::PathBuf;

use clap::Args;
use cordon_proto::update::author;
use cordon_proto::update::delegation::Delegations;
use cordon_proto::update::metadata::{Root, Targets};
use cordon_proto::update::{Role, Rules};

use super::director::{CONTENT, delegate};
use super::signatories::{Signatories, report};
use super::{RoleKeys, sign_as};
use crate::arguments::{self, slug};
use crate::chain::{ORDERS, Signed, made_in, newest, no_example, roots};
use crate::clock;
use crate::diff;
use crate::failure::Failure;
use crate::folder::Folder;
use crate::key::SecretKey;
use crate::report::Report;
use crate::session::Session;

/// How long a targets document lives unless somebody says otherwise.
const LIFE: &str = "365d";

/// Say anew who signs for a role.
#[derive(Clone, Debug, Args)]
pub struct Delegate {
    /// The repository's folder.
    #[arg(long, value_name = "DIR")]
    pub repository: PathBuf,
    /// The role: orders, content, or a maker's model such as VP-3.
    #[arg(long, value_name = "ROLE", requires = "role_key", required_unless_present = "renew")]
    pub role: Option<String>,
    /// A key of the role, either half; all of them are named. Repeat.
    #[arg(long, value_name = "FILE", requires = "role")]
    pub role_key: Vec<PathBuf>,
    /// How many of them must sign.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub threshold: u64,
    /// Change nothing but the end and who has signed.
    #[arg(long, conflicts_with = "role")]
    pub renew: bool,
    /// A private key of the targets role. Repeat.
    #[arg(long, value_name = "FILE", required = true)]
    pub key: Vec<PathBuf>,
    /// When the targets document expires; a year from now if not given.
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
}

impl Delegate {
    /// Does it.
    ///
    /// # Errors
    /// The folder is not believed, a key is refused, or the person does not agree.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let (rules, example) = (session.rules(), session.options.example_keys);
        let folder = Folder::open(&self.repository)?;
        let root = roots(&folder, &rules)?.root;
        no_example(&root, example)?;
        let before = self.present(&folder, &root, &rules)?.targets;
        let role = match (&self.role, &self.role_key) {
            (Some(role), files) => Some((role, RoleKeys::read(role, files, self.threshold, example)?)),
            (None, _) => None,
        };
        let mut next = Targets {
            version: before.version + 1,
            expires: arguments::time(self.expires.as_deref().unwrap_or(LIFE), session.now)?,
            ..before.clone()
        };
        clock::not_behind(session.now, &made_in(&folder, &rules))?;
        if self.expires.is_none() {
            clock::not_shorter(next.expires, (before.version, before.expires))?;
        }
        let mut advice = String::new();
        let mut made = None;
        if let Some((name, keys)) = &role {
            let document = Role::Delegated(delegation(&mut next.delegations, name, keys)?);
            let empty = Targets {
                version: 0,
                expires: next.expires,
                targets: [].into(),
                delegations: Delegations::default(),
            };
            let listed = listed(&folder, &document, &before, &rules)?.unwrap_or(empty);
            advice = after(&document, listed.targets.len());
            let again = Targets { version: listed.version + 1, expires: next.expires, ..listed };
            made = (document != Role::Delegated(ORDERS.to_owned())).then_some((document, again, keys));
        }
        Targets::read(&author::targets(&next))
            .map_err(|fault| Failure::Usage(format!("the role: {fault}")))?;
        let keys =
            self.key.iter().map(|file| SecretKey::read(file, example)).collect::<Result<Vec<_>, _>>()?;
        let changes = diff::targets("targets", &before, &next);
        let changes: String = changes.iter().map(|line| format!("  {line}\n")).collect();
        session.about_to_sign(&format!("targets {}\n{changes}{advice}", next.version))?;
        let (who, limit) = (Signatories::one(Role::Targets, root.targets), rules.sizes.targets);
        let bytes = who.first(&author::targets(&next), limit, &keys)?;
        let counts = who.counts(&bytes, limit, &rules)?;
        let file = folder.write_role(&Role::Targets, next.version, &bytes)?;
        let mut report = report(&file, &counts);
        if let Some((document, again, keys)) = made {
            let bytes = sign_as(&author::targets(&again), &document, &keys.authority, &keys.secrets())?;
            let file = folder.write_role(&document, again.version, &bytes)?;
            let signed = keys.secrets().len();
            report.text += &format!("\n{file}: {signed} of {} signatures", keys.authority.threshold());
        }
        report.text += &format!("\n{advice}");
        Ok(report)
    }

    /// The newest targets document. After a rotation it may be signed by people of an earlier root only.
    fn present(&self, folder: &Folder, root: &Root, rules: &Rules<'_>) -> Result<Signed, Failure> {
        let missing = || Failure::refused("missing file", "there is no targets document in this folder");
        let found = newest(folder, &Role::Targets, &root.targets, rules)?.ok_or_else(missing)?;
        if found.complete {
            return Ok(found);
        }
        let mut versions = folder.versions(&Role::Root)?;
        versions.pop();
        for version in versions.into_iter().rev() {
            let earlier = crate::chain::root_before(folder, version + 1, rules)?;
            let signed = newest(folder, &Role::Targets, &earlier.targets, rules)?;
            if let Some(signed) = signed.filter(|signed| signed.complete) {
                return Ok(signed);
            }
        }
        let detail = format!(
            "{}.targets.json has too few signatures ({}): add another with `cordonctl repo sign`, or remove it",
            found.version, found.signatures
        );
        Err(Failure::refused("not signed enough", detail))
    }
}

/// Puts the role's people into the delegations. Gives the role's name.
fn delegation(delegations: &mut Delegations, name: &str, keys: &RoleKeys) -> Result<String, Failure> {
    let is_directors = delegations.role(ORDERS).is_some();
    let role = if is_directors || delegations.role(name).is_some() { name.to_owned() } else { slug(name) };
    if let Some(found) = delegations.roles.iter_mut().find(|known| known.name == role) {
        found.authority = keys.authority.clone();
        return Ok(role);
    }
    if is_directors {
        let detail = format!("the owner's roles are {ORDERS} and {CONTENT}, not {role}");
        return Err(Failure::refused("unknown role", detail));
    }
    delegations.roles.push(delegate(&role, &format!("{role}/*"), &keys.authority));
    Ok(role)
}

/// What the role's former people listed last, if there is a document of theirs.
fn listed(
    folder: &Folder,
    role: &Role,
    before: &Targets,
    rules: &Rules<'_>,
) -> Result<Option<Targets>, Failure> {
    let Some(delegation) = before.delegations.role(&role.to_string()) else { return Ok(None) };
    let Some(found) = newest(folder, role, &delegation.authority, rules)? else { return Ok(None) };
    if found.complete {
        return Ok(Some(found.targets));
    }
    let detail = format!(
        "version {} of {role} waits for another signature: add it with `cordonctl repo sign`, or remove the file",
        found.version
    );
    Err(Failure::refused("not signed enough", detail))
}

/// What has to happen next.
fn after(document: &Role, listed: usize) -> String {
    match document {
        Role::Delegated(name) if name == ORDERS => {
            "  orders are signed anew by the new people: `cordonctl order sign --renew`\n".to_owned()
        }
        role => {
            format!(
                "  the next {role} document lists the same {listed} targets; its people sign it: `cordonctl repo sign`\n"
            )
        }
    }
}
