//! What is matched: packages by dpkg's database, an agent's inventory, a bill of materials, or package URLs.
//!
//! A release is taken where it is said and never guessed; what was not understood is counted and shown. Read next:
//! `cordon_server_core::matching::component`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use cordon_proto::inventory::{Inventory, Row};
use cordon_proto::limits;
use cordon_server_core::matching::component::Component;
use cordon_server_core::matching::ecosystem::{Ecosystem, NoRelease};
use cordon_server_core::matching::purl::Purl;
use cordon_server_core::matching::{dpkg, inventory, json};

use super::Match;
use crate::arguments::read_file;
use crate::failure::Failure;
use crate::sbom;

/// Bytes of an os-release file.
const OS_RELEASE_BYTES: u64 = 64 * 1024;

/// What is matched, and what of it was not understood.
pub(super) struct Subject {
    pub(super) components: Vec<Component>,
    pub(super) left_out: BTreeMap<&'static str, usize>,
}

impl Subject {
    /// What the command line names.
    ///
    /// # Errors
    /// It names nothing, or a file cannot be read or holds nothing.
    pub(super) fn of(command: &Match, shown: &mut dyn Write) -> Result<Self, Failure> {
        match (&command.dpkg_status, &command.inventory, &command.sbom) {
            (Some(path), _, _) => from_dpkg(path, release(command)?),
            (None, Some(path), _) => from_inventory(path, shown),
            (None, None, Some(path)) => from_sbom(path),
            (None, None, None) if command.purl.is_empty() => Err(Failure::Usage(
                "name what is installed: --dpkg-status FILE, --inventory FILE, --sbom FILE or --purl PURL"
                    .to_owned(),
            )),
            (None, None, None) => from_purls(&command.purl),
        }
    }
}

/// Which release the packages of dpkg's database are of.
fn release(command: &Match) -> Result<Ecosystem, Failure> {
    match (&command.release, &command.os_release) {
        (Some(release), _) => Ok(release.clone()),
        (None, Some(path)) => {
            dpkg::release(&text(path, OS_RELEASE_BYTES)?).map_err(|why| no_release(path, why))
        }
        (None, None) => Err(Failure::Usage(
            "name the release that the packages are of: --release Debian:12, or the file that says it: --os-release FILE"
                .to_owned(),
        )),
    }
}

fn from_dpkg(path: &Path, release: Ecosystem) -> Result<Subject, Failure> {
    let packages = dpkg::read(&text(path, limits::PACKAGE_DATABASE_BYTES)?, &release);
    if packages.components.is_empty() {
        let broken = match packages.broken {
            0 => String::new(),
            count => format!("; {count} entries are broken"),
        };
        let detail = format!("{} lists no installed package{broken}", path.display());
        return Err(Failure::refused("no packages", detail));
    }
    let left_out = counted([("broken-entries", packages.broken), ("too-many", packages.left_out)]);
    Ok(Subject { components: packages.components, left_out })
}

/// The components of a bill of materials; what nobody can be asked about is counted.
fn from_sbom(path: &Path) -> Result<Subject, Failure> {
    let matchable = sbom::read(path)?.matchable();
    if matchable.components.is_empty() {
        let why: Vec<_> = matchable.left_out.iter().map(|(word, count)| format!("{count} {word}")).collect();
        let detail = format!(
            "{} names no package by a package URL with a version ({}): have it written with package URLs",
            path.display(),
            why.join(", ")
        );
        return Err(Failure::refused("no packages", detail));
    }
    Ok(Subject { components: matchable.components, left_out: matchable.left_out })
}

/// The rows that `cordon-agent inventory` printed, one JSON object a line, and how many were lost: twice, or too many.
pub(crate) fn read_inventory(path: &Path) -> Result<(Inventory, usize), Failure> {
    let text = text(path, limits::PACKAGE_DATABASE_BYTES)?;
    let mut rows: Vec<Row> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let row = json::read(line.as_bytes(), line.len());
        let wrong =
            |why| Failure::refused("inventory", format!("{}: line {}: {why}", path.display(), at + 1));
        rows.push(row.map_err(wrong)?);
    }
    let all = rows.len();
    let inventory = Inventory::new(rows);
    let lost = all - inventory.rows().len();
    Ok((inventory, lost))
}

fn from_inventory(path: &Path, shown: &mut dyn Write) -> Result<Subject, Failure> {
    let (inventory, lost) = read_inventory(path)?;
    let found = inventory::components(&inventory);
    if let Err(why) = found.place {
        let note =
            format!("note: advisories cannot be placed on this host: {why}; its packages are unknown\n");
        // For people; the answer says the same.
        let _ = shown.write_all(note.as_bytes());
    }
    if found.components.is_empty() {
        return Err(Failure::refused("no packages", format!("{} lists no package", path.display())));
    }
    let left_out = counted([
        ("rows-not-understood", found.not_understood),
        ("rows-twice-or-too-many", lost),
        ("unread-by-the-agent", found.unread.len()),
    ]);
    Ok(Subject { components: found.components, left_out })
}

/// One component a package URL. One that nothing can be asked about is refused, for it would be in no answer.
fn from_purls(texts: &[String]) -> Result<Subject, Failure> {
    let component = |text: &String| {
        let wrong = |why: &str| Failure::Usage(format!("`{text}`: {why}"));
        let purl = Purl::canonical(text).map_err(|why| wrong(&why.to_string()))?;
        let component = purl.component();
        let component = component
            .ok_or_else(|| wrong("it names no version, so there is nothing to judge: write @VERSION"))?;
        if component.ecosystem.lacks_release() {
            return Err(wrong(
                "it does not say which release it is of, and repairs differ from release to release: write ?distro=, such as \
                 distro=debian-12",
            ));
        }
        Ok(component)
    };
    let components = texts.iter().map(component).collect::<Result<Vec<_>, Failure>>()?;
    Ok(Subject { components, left_out: BTreeMap::new() })
}

fn counted<const N: usize>(counts: [(&'static str, usize); N]) -> BTreeMap<&'static str, usize> {
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn no_release(path: &Path, why: NoRelease) -> Failure {
    let detail =
        format!("{}: {why}. If you know which release its packages are of, write --release", path.display());
    Failure::refused("no release", detail)
}

fn text(path: &Path, most: u64) -> Result<String, Failure> {
    // dpkg's descriptions may be of any encoding; names and versions are ASCII, and others are refused as broken.
    read_file(path, most).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
