//! A document of people's in words, for whoever signs it: what comes, changes and goes, and when it ends.
//!
//! Words stand in place of the signed JSON only where nothing is left out by them: every release is read back as a
//! device would read it and must make the very statement that is signed. Read next: [`super::add`].

use cordon_proto::canonical::Value;
use cordon_proto::time::Timestamp;
use cordon_proto::update::document::Document;
use cordon_proto::update::metadata::{TargetFile, Targets};
use cordon_proto::update::release::{notes, with_notes};
use cordon_proto::update::{Authority, Role, Rules, author};

use crate::chain::{complete, newest, read, release_of, roots};
use crate::diff;
use crate::folder::Folder;
use crate::release::words::{in_folder, whole};
use crate::report::plain;

/// When a document ends, for the foot of what is shown.
#[must_use]
pub fn ends(at: Timestamp) -> String {
    format!("the document ends at {at}, and with it all that it lists\n")
}

/// What a document of targets says: words alone where they say all of it, and otherwise words above its JSON.
#[must_use]
pub fn targets(folder: &Folder, role: &Role, document: &Document, rules: &Rules<'_>) -> String {
    let json = || format!("{}\n", plain(&String::from_utf8_lossy(&document.signed().json())));
    let Ok(after) = Targets::read(document.signed()) else { return json() };
    let foot = ends(after.expires);
    let before = earlier(folder, role, after.version, rules);
    // What a reader would pass over is signed too.
    let is_all = author::targets(&after).canonical() == document.signed().canonical();
    if let Some(words) = releases(folder, role, (before.as_ref(), &after)).filter(|_| is_all) {
        return words + &foot;
    }
    let lines = before.map(|before| diff::targets(&role.to_string(), &before, &after)).unwrap_or_default();
    lines.iter().map(|line| format!("  {line}\n")).collect::<String>() + &json() + &foot
}

/// The newest document below a version that its role signed.
fn earlier(folder: &Folder, role: &Role, below: u64, rules: &Rules<'_>) -> Option<Targets> {
    let authority = authority(folder, role, rules)?;
    let versions = folder.versions(role).ok()?.into_iter().rev().filter(|version| *version < below);
    let mut documents = versions.filter_map(|version| read(folder, role, version, (&authority, rules)).ok());
    documents.find(|signed| signed.complete).map(|signed| signed.targets)
}

fn authority(folder: &Folder, role: &Role, rules: &Rules<'_>) -> Option<Authority> {
    let root = roots(folder, rules).ok()?.root;
    if *role == Role::Targets {
        return Some(root.targets);
    }
    let signed = newest(folder, &Role::Targets, &root.targets, rules).ok()?;
    let targets = complete(signed, &Role::Targets, rules).ok()?.targets;
    targets.delegations.role(&role.to_string()).map(|delegation| delegation.authority.clone())
}

/// A model's releases in words; nothing where words would leave something out.
fn releases(folder: &Folder, role: &Role, (before, after): (Option<&Targets>, &Targets)) -> Option<String> {
    if !matches!(role, Role::Delegated(_)) || !after.delegations.roles.is_empty() {
        return None;
    }
    let known = |name: &String| before.and_then(|before| before.targets.get(name));
    let mut text = format!("{role} version {}\n", after.version);
    for (name, file) in &after.targets {
        text += &match known(name) {
            Some(same) if same == file => format!("release {}, as before\n", plain(name)),
            Some(_) => format!("release {}, CHANGED\n{}", plain(name), release(folder, name, file)?),
            None => format!("release {}\n{}", plain(name), release(folder, name, file)?),
        };
    }
    let gone = before.into_iter().flat_map(|before| before.targets.keys());
    for name in gone.filter(|name| !after.targets.contains_key(*name)) {
        text += &format!("release {} is no longer listed\n", plain(name));
    }
    Some(text)
}

/// One release, if words say all of its statement.
fn release(folder: &Folder, name: &str, file: &TargetFile) -> Option<String> {
    let release = release_of(&name.parse().ok()?, file).ok()?;
    let custom = file.custom.as_ref().unwrap_or(&Value::Null);
    let notes = notes(custom).ok()?;
    let said = with_notes(release.custom(), notes);
    let extra = TargetFile::new(file.length, release.image.sha256, Some(said.clone())) != *file;
    (said.canonical() == custom.canonical() && !extra && release.deltas.len() < 3)
        .then(|| whole(&release, notes, &in_folder(folder)))
}
