//! `cordonctl match`: which known weaknesses a device or an unpacked image has, from files, without a server.
//!
//! For whoever has no fleet yet, an auditor who repeats an answer, an air-gapped bench. The same code answers on a server.
//! Every answer carries what it stands on; what cannot be judged is listed as unknown beside what is affected, and a feed
//! of which nothing could be read is refused, for silence would look like safety. Read next: [`feeds`] for what is read,
//! `cordon_server_core::matching` for what is decided.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use cordon_proto::inventory::{Inventory, Row};
use cordon_proto::limits;
use cordon_server_core::matching::component::{Component, ComponentSet};
use cordon_server_core::matching::dpkg;
use cordon_server_core::matching::ecosystem::{Ecosystem, NoRelease};
use cordon_server_core::matching::index::Index;
use cordon_server_core::matching::inventory;
use cordon_server_core::matching::json;
use cordon_server_core::matching::verdict::{Answer, Verdict};
use serde_json::{Value, json};

use self::world::World;
use crate::arguments::read_file;
use crate::failure::Failure;
use crate::report::{Report, plain};
use crate::session::Session;

mod assets;
mod feeds;
mod world;

/// Bytes of an os-release file.
const OS_RELEASE_BYTES: u64 = 64 * 1024;
/// Columns of the table.
const COLUMNS: [&str; 6] = ["weakness", "package", "installed", "answer", "repaired", "by"];

/// Tell which known weaknesses the packages of a device have: affected, unknown, fixed or not affected.
#[derive(Clone, Debug, Args)]
pub struct Match {
    /// dpkg's database of a device or an image: var/lib/dpkg/status.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["inventory", "devices"])]
    pub dpkg_status: Option<PathBuf>,
    /// Which release its packages belong to, such as Debian:12.
    #[arg(long, value_name = "ECOSYSTEM", required_unless_present_any = ["inventory", "os_release", "devices"])]
    pub release: Option<Ecosystem>,
    /// The os-release beside it, which says the release.
    #[arg(long, value_name = "FILE", conflicts_with = "release")]
    pub os_release: Option<PathBuf>,
    /// Instead of those: what `cordon-agent inventory` printed.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dpkg_status", "release", "os_release"])]
    pub inventory: Option<PathBuf>,
    /// A folder of OSV records, or one of them; may be given several times.
    #[arg(long, value_name = "PATH")]
    pub osv: Vec<PathBuf>,
    /// Debian's security data: the tracker's JSON or a table of repairs; may be given several times.
    #[arg(long, value_name = "FILE")]
    pub debian: Vec<PathBuf>,
    /// What else is known.
    #[command(flatten)]
    pub world: World,
    /// Show also what is fixed and what never was affected.
    #[arg(long)]
    pub all: bool,
}

/// What is matched, and what of it was not understood.
struct Subject {
    components: Vec<Component>,
    left_out: BTreeMap<&'static str, usize>,
}

impl Match {
    /// Does it.
    ///
    /// # Errors
    /// A file cannot be read, or nothing of a feed was understood.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        if let Some(list) = &self.world.devices {
            return assets::run(&self.world, list, self.all, session);
        }
        if self.osv.is_empty() && self.debian.is_empty() {
            return Err(Failure::Usage(
                "name what is known of weaknesses: --osv PATH or --debian FILE".to_owned(),
            ));
        }
        let subject = self.subject(session.shown)?;
        let (index, feeds) = feeds::read(&self.osv, &self.debian)?;
        let set = ComponentSet::new(subject.components);
        let report = self.report(&set, &index, &json!({"feeds": feeds, "left_out": subject.left_out}));
        self.world.beside(report, session)
    }

    fn subject(&self, shown: &mut dyn Write) -> Result<Subject, Failure> {
        if let Some(path) = &self.inventory {
            return from_inventory(path, shown);
        }
        let path = self.dpkg_status.as_deref().unwrap_or(Path::new("/var/lib/dpkg/status"));
        let ecosystem = match (&self.release, &self.os_release) {
            (Some(release), _) => release.clone(),
            (None, Some(os_release)) => {
                let text = text(os_release, OS_RELEASE_BYTES)?;
                dpkg::release(&text).map_err(|why| no_release(os_release, why))?
            }
            (None, None) => return Err(Failure::Usage("name the release: --release Debian:12".to_owned())),
        };
        let packages = dpkg::read(&text(path, limits::PACKAGE_DATABASE_BYTES)?, &ecosystem);
        if packages.components.is_empty() {
            return Err(Failure::refused(
                "no packages",
                format!("{} lists no installed package", path.display()),
            ));
        }
        let left_out = counted([("broken-entries", packages.broken), ("too-many", packages.left_out)]);
        Ok(Subject { components: packages.components, left_out })
    }

    fn report(&self, set: &ComponentSet, index: &Index, read: &Value) -> Report {
        let matches = index.matches(set);
        let verdicts: Vec<Value> = matches.verdicts.iter().map(document).collect();
        let mut counts: BTreeMap<&str, usize> =
            ["affected", "unknown", "fixed", "not-affected"].map(|word| (word, 0)).into();
        for verdict in &matches.verdicts {
            *counts.entry(verdict.answer.word()).or_default() += 1;
        }
        let open = |answer: Answer<'_>| matches!(answer, Answer::Affected { .. } | Answer::Unknown(_));
        let shown = matches.verdicts.iter().filter(|verdict| self.all || open(verdict.answer));
        let rows: Vec<Value> = shown.map(row).collect();
        let known = index.counts();
        let json = json!({
            "v": 1,
            "feeds": read["feeds"],
            "index": {
                "advisories": known.advisories, "statements": known.statements,
                "withdrawn": known.withdrawn, "without_release": known.without_release,
            },
            "components": set.items().len(),
            "left_out": read["left_out"],
            "counts": counts,
            "verdicts": verdicts,
            "unknown": {"ecosystems": matches.unjudged},
        });
        let mut report = Report::table(&COLUMNS, &rows, json);
        report.text.push_str(&summary(set, &counts));
        for (ecosystem, count) in &matches.unjudged {
            let line = format!(
                "{count} components of {} are unknown: no advisory here speaks of it\n",
                plain(ecosystem)
            );
            report.text.push_str(&line);
        }
        report.text.push_str(&unread(read));
        report
    }
}

/// One line of counts.
fn summary(set: &ComponentSet, counts: &BTreeMap<&str, usize>) -> String {
    let count = |word: &str| counts.get(word).copied().unwrap_or_default();
    format!(
        "{} affected, {} unknown, {} fixed, {} not affected, of {} components\n",
        count("affected"),
        count("unknown"),
        count("fixed"),
        count("not-affected"),
        set.items().len(),
    )
}

/// What of the files was not understood, a line each.
fn unread(read: &Value) -> String {
    let fields = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let line = |name: &str, why: &str, count: &Value| format!("{}: {count} left out: {why}\n", plain(name));
    let mut lines: String =
        fields(&read["left_out"]).iter().map(|(why, count)| line("packages", why, count)).collect();
    for feed in read["feeds"].as_array().into_iter().flatten() {
        let name = feed["name"].as_str().unwrap_or_default();
        lines.extend(fields(&feed["refused"]).iter().map(|(why, count)| line(name, why, count)));
    }
    lines
}

/// An answer for programs; `docs/schemas/match.json`.
fn document(verdict: &Verdict<'_>) -> Value {
    let (fixed, why) = match verdict.answer {
        Answer::Affected { fixed } => (fixed, None),
        Answer::Unknown(why) => (None, Some(why.word())),
        Answer::Fixed | Answer::NotAffected => (None, None),
    };
    let (component, evidence) = (verdict.component, verdict.evidence);
    json!({
        "id": verdict.group,
        "component": {
            "ecosystem": component.ecosystem.to_string(), "name": component.name,
            "version": component.version, "binaries": component.binaries,
        },
        "answer": verdict.answer.word(),
        "fixed_version": fixed,
        "why": why,
        "evidence": {
            "advisory": evidence.advisory, "scheme": evidence.scheme.name(),
            "installed": evidence.installed, "bound": evidence.bound,
        },
        "doubts": component.doubts.words(),
    })
}

/// An answer for people.
fn row(verdict: &Verdict<'_>) -> Value {
    let (answer, repaired) = match verdict.answer {
        Answer::Affected { fixed } => ("AFFECTED".to_owned(), Some(fixed.unwrap_or("no repair is known"))),
        Answer::Unknown(why) => (format!("unknown: {}", why.sentence()), None),
        Answer::Fixed => ("fixed".to_owned(), verdict.evidence.bound),
        Answer::NotAffected => ("not affected".to_owned(), None),
    };
    json!({
        "weakness": verdict.group,
        "package": verdict.component.name,
        "installed": verdict.component.version,
        "answer": answer,
        "repaired": repaired,
        "by": verdict.evidence.advisory,
    })
}

/// The rows that `cordon-agent inventory` printed, one JSON object a line.
fn from_inventory(path: &Path, shown: &mut dyn Write) -> Result<Subject, Failure> {
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
    let kept = inventory.rows().len();
    let left_out = counted([
        ("rows-not-understood", found.not_understood),
        ("rows-twice-or-too-many", all - kept),
        ("unread-by-the-agent", found.unread.len()),
    ]);
    Ok(Subject { components: found.components, left_out })
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
