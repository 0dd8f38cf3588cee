//! The list of releases, and one of them: what its maker signed, its files, where it runs, what it would change.
//!
//! Counts are over the roster's rows, as on every page. What a release closes is unknown until advisories are matched,
//! and is said to be. Read next: `ui::releases`, `server/core`'s `import`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Html;
use cordon_proto::ids::{Name, TargetPath};
use cordon_server_core::import::{FormKind, KnownRelease, Part};

use super::fault::Fault;
use super::roster::{Entry, Roster};
use super::visitor::Known;
use super::{Desk, Page, count};
use crate::http::problem::Problem;
use crate::ui::device::Fact;
use crate::ui::devices::DeviceQuery;
use crate::ui::frame::Section;
use crate::ui::releases::{FileRow, Release, ReleaseRow, Releases, Standing, render, render_list};
use crate::ui::words::{hundredths, number, plural};
use crate::ui::{Clock, Said};

/// The list.
pub(super) async fn list(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let (roster, releases) = (desk.roster(), desk.operator.repositories.releases().await?);
    let mut known: Vec<&KnownRelease> = releases.iter().collect();
    known.sort_by_key(|one| (one.model.clone(), !one.listed, std::cmp::Reverse(one.counter)));
    let models: BTreeSet<_> = known.iter().map(|one| &one.model).collect();
    let gains = gains(&roster);
    let best = gains.iter().filter(|(_, gain)| **gain >= 100).max_by_key(|(_, gain)| **gain);
    let page = Releases {
        rows: known.iter().map(|one| row_of(one, &releases, &roster)).collect(),
        models: count(models.len()),
        best: best.map(|(name, gain)| (Said::from(name.as_str()), *gain)),
    };
    Ok(Html(render_list(&desk.frame(&visitor, Section::Rollouts, &roster), &page)))
}

/// One release.
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path((repository, release)): Path<(String, String)>,
) -> Page {
    let missing = || Fault::Missing("release");
    let repository: Name = repository.parse().map_err(|_| missing())?;
    let release: TargetPath = release.parse().map_err(|_| missing())?;
    let (roster, releases) = (desk.roster(), desk.operator.repositories.releases().await?);
    let known = releases.iter().find(|one| one.repository == repository && one.release == release);
    let known = known.ok_or_else(missing)?;
    let page = Release {
        row: row_of(known, &releases, &roster),
        facts: facts(known, &Clock::utc(desk.now())),
        files: files(&desk, known).await?,
        effect: effect(known, &roster),
        orders: desk.operator.rollouts.look(|book| {
            let installs = book
                .orders
                .values()
                .filter(|order| order.repository == known.repository && order.image.release == known.release);
            installs.map(|order| order.id.as_str().into()).collect()
        }),
    };
    Ok(Html(render(&desk.frame(&visitor, Section::Rollouts, &roster), &page)))
}

fn row_of(known: &KnownRelease, all: &[KnownRelease], roster: &Roster) -> ReleaseRow {
    let is_newer =
        |other: &KnownRelease| other.listed && other.model == known.model && other.counter > known.counter;
    let standing = match (known.listed, all.iter().any(is_newer)) {
        (false, _) => Standing::Delisted,
        (true, true) => Standing::Older,
        (true, false) => Standing::Newest,
    };
    let named = known.files();
    let documents = [Part::Sbom, Part::Vex, Part::Mud];
    let documents = documents.into_iter().filter(|part| named.iter().any(|(named, _)| named == part));
    let query = DeviceQuery { model: Some(known.model.to_string()), ..DeviceQuery::default() };
    ReleaseRow {
        id: (known.repository.to_string(), known.release.to_string()),
        name: known.release.as_str().into(),
        model: (known.model.as_str().into(), query.address()),
        standing,
        counter: known.counter,
        signers: count(known.signers.len()),
        documents: documents.map(Part::word).collect(),
        imported: known.imported,
        runs_on: count(of_model(known, roster).filter(|entry| runs(entry, known)).count()),
    }
}

/// Counted devices of its model.
fn of_model<'a>(known: &'a KnownRelease, roster: &'a Roster) -> impl Iterator<Item = &'a Arc<Entry>> {
    let counted = roster.entries.iter().filter(|entry| entry.counted);
    counted.filter(|entry| entry.member.device.hardware.model == known.model)
}

fn runs(entry: &Entry, known: &KnownRelease) -> bool {
    entry.member.report.as_ref().is_some_and(|report| report.software.sha256 == known.sha256)
}

/// By how many hundredths of a point each release lowers the sum of all scores, where it is somebody's next step.
fn gains(roster: &Roster) -> BTreeMap<&String, u64> {
    let mut gains = BTreeMap::new();
    for (release, gain) in roster.entries.iter().filter_map(|entry| entry.gain.as_ref()) {
        *gains.entry(release).or_default() += u64::from(*gain);
    }
    gains
}

fn facts(known: &KnownRelease, clock: &Clock) -> Vec<Fact> {
    let signed = match known.signers.len() {
        0 => Fact::new("Maker's signature", "checked when it was taken in"),
        some => Fact::new("Maker's signature", plural(count(some), "key", "keys")),
    };
    let signed = match known.expires {
        Some(at) => signed.note(format!("of {}, until {}", known.repository, clock.day_words(at))),
        None => signed.note(format!("of {}", known.repository)),
    };
    let taken = Fact::new("Taken in", clock.day_words(known.imported));
    let Some(stated) = known.stated() else {
        let counter = Fact::new("Counter", known.counter.to_string());
        let old = "taken in before its details were kept; publish the repository again";
        return vec![signed, taken, counter.note(old)];
    };
    let hardware: Vec<_> = stated.hardware.iter().map(ToString::to_string).collect();
    let mut facts = vec![
        signed,
        taken,
        Fact::new("Hardware", hardware.join(", ")),
        Fact::new("Counter", stated.counter.to_string())
            .note(format!("from {} on; nothing below {} afterwards", stated.min_from, stated.floor)),
        Fact::new("Reboots with the word of", stated.interlock.word())
            .note(format!("needs {}", stated.needs)),
        Fact::new("Confirmed by", stated.confirm.word()),
        Fact::new("Recall", stated.recall.word()),
    ];
    facts.extend(stated.support.iter().map(|(name, at)| Fact::new(name.as_str(), clock.day_words(*at))));
    facts
}

async fn files(desk: &Desk, known: &KnownRelease) -> Result<Vec<FileRow>, Fault> {
    let mut rows = Vec::new();
    for (part, file) in known.files() {
        let blob =
            desk.operator.app.blobs.get(file.sha256).await.map_err(|error| Problem::internal(&error))?;
        let (form, counts) = form_words(known, part);
        rows.push(FileRow {
            part: part.word(),
            form,
            counts,
            length: file.length,
            sha256: file.sha256.to_string(),
            here: blob.is_some_and(|blob| blob.info().length == file.length),
        });
    }
    Ok(rows)
}

/// "CycloneDX 1.6", "213 components".
fn form_words(known: &KnownRelease, part: Part) -> (Said, String) {
    let Some(form) = known.forms.get(&part) else { return (Said::default(), String::new()) };
    let counted = |one: &str, many: &str| plural(form.count, one, many);
    let counts = match (part, form.kind) {
        (_, FormKind::NotReadable) => return (form.kind.word().into(), String::new()),
        (Part::Vex, FormKind::OpenVex) => counted("statement", "statements"),
        (Part::Vex, _) => counted("vulnerability", "vulnerabilities"),
        (_, FormKind::Mud) => counted("access list", "access lists"),
        (_, FormKind::Spdx) => counted("package", "packages"),
        (_, FormKind::CycloneDx | FormKind::Csaf | FormKind::OpenVex) => counted("component", "components"),
    };
    (format!("{} {}", form.kind.word(), form.version).into(), counts)
}

/// What installing it would change, and what cannot be told.
fn effect(known: &KnownRelease, roster: &Roster) -> Vec<(String, Said)> {
    let (mut runs_it, mut older, mut newer, mut silent) = (0, 0, 0, 0);
    for entry in of_model(known, roster) {
        match entry.member.report.as_ref().map(|report| report.software.counter) {
            None => silent += 1,
            Some(_) if runs(entry, known) => runs_it += 1,
            Some(counter) if counter < known.counter => older += 1,
            Some(_) => newer += 1,
        }
    }
    let devices = format!(
        "{} run it, {} run an older one, {} a newer one, {} said nothing yet",
        number(runs_it),
        number(older),
        number(newer),
        number(silent)
    );
    let gain = gains(roster).get(&known.release.to_string()).copied().unwrap_or_default();
    let risk = match u16::try_from(gain) {
        Ok(0) => "It lowers no score today: being behind weighs from the first month on.".to_owned(),
        Ok(gain) => format!("The sum of all scores falls by {} points.", hundredths(gain)),
        Err(_) => format!("The sum of all scores falls by {} points.", number(gain / 100)),
    };
    let unknown = "Unknown: no advisories have been matched against its SBOM yet.";
    vec![
        ("Devices".to_owned(), devices.into()),
        ("Risk".to_owned(), risk.into()),
        ("Vulnerabilities".to_owned(), unknown.into()),
    ]
}
