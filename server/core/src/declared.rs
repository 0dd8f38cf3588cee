//! Files that an installed release declares, and what it means that a device finds them otherwise.
//!
//! The device hashes what its own image lists and tells what differs; here that becomes findings of the detector `host`: a changed
//! file, a missing one, files that nobody can check, and a list that changed or went while the machine ran. An update brings its
//! list with its files and a restart, so after it everything is judged by the new list. Unknown never closes what was known, and no
//! more than [`ONE_BY_ONE`] files make findings of their own. Read next: `sbom::files` for the rows, `agent/src/host/declared.rs`.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::ids::Text;
use cordon_proto::inventory::{Inventory, Section};
use cordon_proto::telemetry::{Finding, Severity};
use cordon_proto::time::Timestamp;

use crate::health::DETECTOR;
use crate::sbom::files::{File, Files, declared};
use crate::triage;

#[cfg(test)]
mod tests;

/// What every key of these findings begins with.
const KEY: &str = "declared ";
/// Of what cannot be checked, of the list itself, and of the files beyond those that are told one by one.
const UNREAD: &str = "declared, not readable";
const LIST: &str = "declared, the list";
const REST: &str = "declared, the rest";
/// Files that have a finding of their own.
const ONE_BY_ONE: usize = 16;
/// Where the list is, as the device tells that it cannot read it.
const SOURCE: &str = "usr/share/cordon/files.sha256";
/// Folders whose files are programs.
const PROGRAMS: [&str; 5] = ["bin", "sbin", "lib", "lib64", "libexec"];

/// The reason with which such a finding closes.
pub const PASSED: &str = "the device finds its files as its release declares them";

/// One reading of a device.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// What was held of it before.
    pub before: Option<&'a Inventory>,
    /// What it says now.
    pub now: &'a Inventory,
    /// The release that it says it runs.
    pub release: Option<&'a str>,
    /// When this came.
    pub at: Timestamp,
}

/// A finding in the making.
struct Words {
    title: String,
    changed: String,
    matters: &'static str,
    todo: &'static str,
    owner: &'static str,
    severity: Severity,
    attack: &'static [&'static str],
    evidence: Vec<(&'static str, String)>,
}

impl Reading<'_> {
    /// What is not as the release declares it.
    #[must_use]
    pub fn judge(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        if self.list_moved() {
            found.push(self.finding(LIST, self.list_words()));
        }
        let files = declared(self.now);
        let (wrong, unread) = files.as_ref().map(split).unwrap_or_default();
        for file in wrong.iter().take(ONE_BY_ONE) {
            found.push(self.finding(&format!("{KEY}{}", file.path), file_words(file)));
        }
        let rest = wrong.len().saturating_sub(ONE_BY_ONE);
        if rest > 0 {
            found.push(self.finding(REST, rest_words(wrong.len())));
        }
        if let Some(words) = self.unread_words(files.as_ref(), &unread) {
            found.push(self.finding(UNREAD, words));
        }
        found
    }

    /// The findings of this check that are over. A file that is unknown now, or whose list cannot be read, keeps its finding; that
    /// the list moved is closed by a person alone.
    pub fn passed<'b>(
        &self,
        open: impl IntoIterator<Item = &'b triage::Record>,
        found: &[Finding],
    ) -> impl Iterator<Item = &'b triage::Record> {
        let files = declared(self.now);
        let is_read = files.is_some() || !self.list_is_unread();
        let is_over = move |record: &&triage::Record| {
            let key = record.finding.key.as_str();
            if record.finding.detector.as_str() != DETECTOR || !record.weighs() {
                return false;
            }
            let named = |file: &File| key.strip_prefix(KEY) == Some(&file.path);
            let still = || {
                let differs = files.iter().flat_map(|files| &files.differing).any(&named);
                differs || found.iter().any(|found| found.key.as_str() == key)
            };
            match key {
                LIST => false,
                REST | UNREAD => is_read && !still(),
                _ => key.starts_with(KEY) && is_read && !still(),
            }
        };
        open.into_iter().filter(is_over)
    }

    /// Whether the list was changed or taken away within one run of the machine: an update changes it over a restart.
    fn list_moved(&self) -> bool {
        let Some(before) = self.before else { return false };
        let boot = |inventory: &Inventory| {
            let boot = inventory.field(Section::System, "boot-id");
            boot.filter(|boot| *boot != "unknown").map(ToString::to_string)
        };
        let list = |inventory: &Inventory| declared(inventory).map(|files| files.list);
        let same_run = boot(before).is_some() && boot(before) == boot(self.now);
        let moved = list(before).is_some() && list(before) != list(self.now);
        same_run && moved && !self.list_is_unread()
    }

    fn list_is_unread(&self) -> bool {
        self.now.field(Section::Unread, SOURCE).is_some()
    }

    fn list_words(&self) -> Words {
        let list = |inventory: Option<&Inventory>| {
            inventory.and_then(declared).map_or_else(|| "none".to_string(), |files| files.list)
        };
        let gone = declared(self.now).is_none();
        Words {
            title: if gone {
                "The list of declared files is gone"
            } else {
                "The list of declared files changed"
            }
            .to_string(),
            changed: format!(
                "/{SOURCE} {} while the machine ran; an update brings a new list over a restart.",
                if gone { "was removed" } else { "was replaced" }
            ),
            matters: "Who can change the list can change the files that it declares, and nothing will show it.",
            todo: HEAL,
            owner: SECURITY,
            severity: Severity::High,
            attack: &["T1562.001"],
            evidence: Vec::from([("list-before", list(self.before)), ("list", list(Some(self.now)))]),
        }
    }

    fn unread_words(&self, files: Option<&Files>, unread: &[&File]) -> Option<Words> {
        let source = self.now.section(Section::Unread).find(|row| row.key.as_str() == SOURCE);
        let sound = files.map(|files| files.sound.as_str());
        let (first, reason) = match (source, unread.first()) {
            (Some(row), _) => (SOURCE, row.fields.first().map_or("", String::as_str)),
            (None, Some(file)) => (file.path.as_str(), file.found.as_str()),
            // A line that is none hides a file of which nobody knows.
            (None, None) if sound == Some("unknown") => (SOURCE, "a line of it names no file"),
            (None, None) => return None,
        };
        Some(Words {
            title: "Declared files cannot be checked".to_string(),
            changed: format!("/{first}: {reason}."),
            matters: "What is not checked may have changed, and nobody would know.",
            todo: "IT: give the agent the right to read it. Where the list itself is at fault or too long, ask the maker.",
            owner: "IT",
            severity: Severity::Low,
            attack: &[],
            evidence: Vec::from([
                ("first", first.to_string()),
                ("reason", reason.to_string()),
                ("files", unread.len().to_string()),
            ]),
        })
    }

    fn finding(&self, key: &str, words: Words) -> Finding {
        let release = self.release.unwrap_or("no signed release");
        let evidence = words.evidence.into_iter();
        let evidence = evidence.chain([("owner", words.owner.to_string()), ("release", release.to_string())]);
        let text = |(name, value): (&str, String)| (name.to_string(), Text::lossy(&value).to_string());
        let evidence: BTreeMap<String, String> = evidence.map(text).collect();
        let title: String = words.title.chars().take(48).collect();
        Finding {
            detector: DETECTOR.parse().expect("a valid name"),
            key: Text::lossy(key),
            first: self.at,
            last: self.at,
            count: 1,
            peer: None,
            severity: words.severity,
            attack: words.attack.iter().copied().map(Text::lossy).collect(),
            evidence,
            title: Text::lossy(&title),
            what_changed: Text::lossy(&words.changed),
            why_it_matters: Text::lossy(words.matters),
            how_sure: Text::lossy("High: the device compared each file with the list of its own release."),
            what_to_do: Text::lossy(words.todo),
        }
    }
}

const SECURITY: &str = "security";
const HEAL: &str = "Security: ask whether a service visit did this. If nobody says so, keep a copy of the storage, take the device out of use when it is free, and have its release installed anew.";

/// Those that are not as declared, and those of which nobody knows.
fn split(files: &Files) -> (Vec<&File>, Vec<&File>) {
    files.differing.iter().partition(|file| file.sound == "no")
}

fn file_words(file: &File) -> Words {
    let path = file.path.as_str();
    let name = path.rsplit('/').next().unwrap_or(path);
    let evidence = Vec::from([("file", path.to_string()), ("found", file.found.clone())]);
    if file.found == "missing" {
        return Words {
            title: format!("Missing: {name}"),
            changed: format!("/{path} is declared by the installed release, and is not there."),
            matters: "A part of the device's software is gone; what it did may fail when it is needed.",
            todo: HEAL,
            owner: SECURITY,
            severity: Severity::Medium,
            attack: &[],
            evidence,
        };
    }
    let is_program = path.split('/').rev().skip(1).any(|folder| PROGRAMS.contains(&folder));
    Words {
        title: format!("Not as released: {name}"),
        changed: format!("/{path} is not the file that the installed release declares."),
        matters: "Somebody or something changed the device's software after it was signed.",
        todo: HEAL,
        owner: SECURITY,
        severity: Severity::High,
        attack: if is_program { &["T1554"] } else { &["T1565.001"] },
        evidence,
    }
}

fn rest_words(all: usize) -> Words {
    Words {
        title: format!("{all} files are not as released"),
        changed: format!(
            "{all} declared files are changed or missing; the first {ONE_BY_ONE} have findings of their own."
        ),
        matters: "So many at once are a wrong list, a failing disk, or software of somebody else.",
        todo: HEAL,
        owner: SECURITY,
        severity: Severity::High,
        attack: &["T1565.001"],
        evidence: Vec::from([("files", all.to_string())]),
    }
}
