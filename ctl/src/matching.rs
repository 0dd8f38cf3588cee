//! `cordonctl match`: which known weaknesses a device or an unpacked image has, from files, without a server.
//!
//! For whoever has no fleet yet, an auditor who repeats an answer, an air-gapped bench. What decides here stands in the server's
//! own ground, `cordon_server_core::matching`, so that the two cannot come to differ. Every
//! answer carries what it stands on; what cannot be judged is counted as unknown beside what is affected, and a feed of
//! which nothing could be read is refused, for silence would look like safety. Read next: [`subject`] for what is matched,
//! [`feeds`] for what is known.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use cordon_server_core::matching::component::ComponentSet;
use cordon_server_core::matching::ecosystem::{Ecosystem, NotOfDpkg};
use cordon_server_core::matching::index::Index;
use cordon_server_core::matching::verdict::{Answer, Verdict};
use serde_json::{Value, json};

use self::subject::Subject;
use self::world::World;
use crate::failure::Failure;
use crate::report::{Report, plain};
use crate::session::Session;

mod assets;
mod feeds;
pub(crate) mod subject;
mod world;

/// Columns of the table.
const COLUMNS: [&str; 7] = ["weakness", "cvss", "package", "installed", "answer", "repaired", "by"];

/// Tell which known weaknesses the packages of a device have: affected, unknown, fixed or not affected.
#[derive(Clone, Debug, Args)]
pub struct Match {
    /// dpkg's database of a device or an image: var/lib/dpkg/status.
    #[arg(long, value_name = "FILE")]
    pub dpkg_status: Option<PathBuf>,
    /// Which release its packages belong to, such as Debian:12, Debian:bookworm or Ubuntu:22.04.
    #[arg(long, value_name = "RELEASE", value_parser = release, requires = "dpkg_status")]
    pub release: Option<Ecosystem>,
    /// The os-release beside it, which says the release.
    #[arg(long, value_name = "FILE", conflicts_with = "release", requires = "dpkg_status")]
    pub os_release: Option<PathBuf>,
    /// Instead of those: what `cordon-agent inventory` printed.
    #[arg(long, value_name = "FILE", conflicts_with = "dpkg_status")]
    pub inventory: Option<PathBuf>,
    /// Instead of those: a bill of materials, CycloneDX or SPDX.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dpkg_status", "inventory", "purl"])]
    pub sbom: Option<PathBuf>,
    /// Instead of all: a package by its URL, such as pkg:deb/debian/curl@7.88.1-10?arch=source&distro=debian-12; may be
    /// given several times.
    #[arg(long, value_name = "PURL", conflicts_with_all = ["dpkg_status", "inventory"])]
    pub purl: Vec<String>,
    /// A folder of OSV records with its subfolders, or one record; may be given several times.
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
        let subject = Subject::of(self, session.shown)?;
        let (index, feeds) = feeds::read(&self.osv, &self.debian)?;
        let set = ComponentSet::new(subject.components);
        let report = self.report(&set, &index, &json!({"feeds": feeds, "left_out": subject.left_out}));
        self.world.beside(report, session)
    }

    fn report(&self, set: &ComponentSet, index: &Index, read: &Value) -> Report {
        let matches = index.matches(set);
        let verdicts: Vec<Value> = matches.verdicts.iter().map(document).collect();
        let mut counts: BTreeMap<&str, usize> =
            ["affected", "unknown", "fixed", "not-affected"].map(|word| (word, 0)).into();
        for verdict in &matches.verdicts {
            *counts.entry(verdict.answer.word()).or_default() += 1;
        }
        // Nobody spoke of these at all: silence is no answer, and a count without them would look like one.
        *counts.entry("unknown").or_default() += matches.unjudged.values().sum::<usize>();
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
                "{count} components of {} are unknown: no advisory here speaks of it; give a feed that does\n",
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
        let first = |name: &str| feed.get("first_refused")?.get(name)?.as_str();
        if let (Some(file), Some(why)) = (first("file"), first("why")) {
            let (file, why) = (plain(file), plain(why));
            lines.push_str(&format!("{}: the first of them is {file}: {why}\n", plain(name)));
        }
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
    let bound = evidence.compared.bound;
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
            "advisory": evidence.advisory, "scheme": evidence.compared.scheme.name(),
            "installed": evidence.compared.installed,
            "bound": bound.map(|bound| bound.version), "event": bound.map(|bound| bound.role.word()),
        },
        "doubts": component.doubts.words(),
        "cvss": verdict.severity.map(|vector| json!({"vector": vector.to_string(), "tenths": vector.scores().base})),
    })
}

/// An answer for people.
fn row(verdict: &Verdict<'_>) -> Value {
    let answer = match verdict.answer {
        Answer::Affected { .. } => "AFFECTED".to_owned(),
        Answer::Unknown(why) => format!("unknown: {}", why.sentence()),
        Answer::Fixed => "fixed".to_owned(),
        Answer::NotAffected => "not affected".to_owned(),
    };
    let none = matches!(verdict.answer, Answer::Affected { .. }).then_some("no repair is known");
    json!({
        "weakness": verdict.group,
        "cvss": verdict.severity.map(|vector| tenths(vector.scores().base)),
        "package": verdict.component.name,
        "installed": verdict.component.version,
        "answer": answer,
        "repaired": verdict.repair().or(none),
        "by": verdict.evidence.advisory,
    })
}

fn tenths(score: u8) -> String {
    format!("{}.{}", score / 10, score % 10)
}

fn release(text: &str) -> Result<Ecosystem, NotOfDpkg> {
    Ecosystem::of_dpkg(text)
}
