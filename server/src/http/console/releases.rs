//! The list of releases, and one of them: what its maker signed, its files, where it runs, what it would change.
//!
//! Counts are over the roster's rows, as on every page. What a release closes is unknown until advisories are matched,
//! and is said to be. Read next: `ui::releases`, `server/core`'s `import`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Html;
use cordon_proto::ids::{Name, TargetPath};
use cordon_server_core::import::{FormKind, KnownRelease, Part};
use cordon_server_core::risk::what_if::FleetEffect;

use super::super::operator::risk::what_if::{self, WhatIfQuery};
use super::super::operator::sboms;
use super::fault::Fault;
use super::roster::{Entry, Roster};
use super::visitor::Known;
use super::{Desk, Page, count};
use crate::http::problem::Problem;
use crate::ui::device::Fact;
use crate::ui::devices::DeviceQuery;
use crate::ui::frame::Section;
use crate::ui::releases::{
    FileRow, How, Release, ReleaseRow, Releases, Standing, WhatIf, WhatIfRow, render, render_list,
};
use crate::ui::words::{hundredths, number, plural};
use crate::ui::{Clock, Said, paths};

/// Rows of what a release would change that are shown.
const WHAT_IF_ROWS: usize = 40;
/// Parts of risk that a release can change beside vulnerabilities, in words.
const PARTS: [(&str, &str); 5] = [
    ("freshness:behind", "Behind the newest release"),
    ("freshness:update-failed", "The last update failed"),
    ("freshness:rolled-back", "Went back to an older release"),
    ("freshness:silent", "Silent"),
    ("freshness:advisories", "Old advisories"),
];

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
    let what_if = what_if(&desk, known).await?;
    let page = Release {
        row: row_of(known, &releases, &roster),
        facts: facts(known, &Clock::utc(desk.now())),
        files: files(&desk, known).await?,
        effect: effect(known, &roster, what_if.as_ref()),
        what_if,
        sbom: sbom(&desk, known).await,
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

/// What it would change about risk, by the API's own reckoning; none where its details were not kept or its maker lists it no
/// more, for then nobody could order it.
async fn what_if(desk: &Desk, known: &KnownRelease) -> Result<Option<WhatIf>, Fault> {
    if known.stated().is_none() || !known.listed {
        return Ok(None);
    }
    let of = Path((known.repository.to_string(), known.release.to_string()));
    let none = WhatIfQuery { limit: Some(0), ..WhatIfQuery::default() };
    let axum::Json(answer) = what_if::show(State(desk.operator.clone()), of, Query(none)).await?;
    let fleet = &answer.fleet;
    if fleet.devices == 0 {
        return Ok(None);
    }
    let lists = [(How::Added, &fleet.added), (How::Removed, &fleet.removed), (How::Changed, &fleet.other)];
    let mut rows: Vec<WhatIfRow> = Vec::new();
    for (how, parts) in lists {
        let mut of: Vec<_> = parts.iter().map(|(id, devices)| part_row(how, id, *devices, fleet)).collect();
        of.sort_by(|a, b| b.devices.cmp(&a.devices).then_with(|| a.what.cmp(&b.what)));
        rows.extend(of);
    }
    let vulnerabilities = [&fleet.closed, &fleet.brought].map(|ids| count(ids.len()));
    let more = count(rows.len().saturating_sub(WHAT_IF_ROWS));
    rows.truncate(WHAT_IF_ROWS);
    let bands = |[low, medium, high, critical]: [u32; 4]| [critical, high, medium, low].map(u64::from);
    let unknown = match (answer.matched, fleet.unknown_devices) {
        (0, _) | (_, 0) => answer.by_words.clone(),
        (_, devices) => {
            let devices = plural(devices.into(), "device", "devices");
            format!("{}. Of {devices} something would still be unknown.", answer.by_words)
        }
    };
    Ok(Some(WhatIf {
        words: answer.words.as_str().into(),
        devices: fleet.devices.into(),
        before: bands(fleet.bands_before),
        after: bands(fleet.bands_after),
        rows,
        more,
        vulnerabilities,
        by_bill: answer.by == "sbom",
        unknown: Said::sentence(unknown),
    }))
}

/// What its bill of materials holds, and of how much of it advisories can speak.
async fn sbom(desk: &Desk, known: &KnownRelease) -> Vec<(String, Said)> {
    let file = known.files().into_iter().find(|(part, _)| *part == Part::Sbom);
    let Some((_, file)) = file.filter(|(_, file)| file.length <= cordon_proto::limits::SBOM_BYTES) else {
        return Vec::new();
    };
    let sbom = match sboms::shipped(&desk.operator, file).await {
        Ok(sbom) => sbom,
        Err(problem) => return vec![("Not read".to_owned(), Said::sentence(problem.detail().to_owned()))],
    };
    let matchable = sbom.matchable();
    let all = sbom.sorted().len();
    let asked = count(matchable.components.len());
    let mut rows = vec![
        ("Form".to_owned(), format!("{} {}", sbom.format.word(), sbom.version).into()),
        (
            "Components".to_owned(),
            format!("{}, of {} advisories can be asked", number(count(all)), number(asked)).into(),
        ),
    ];
    if matchable.without_release > 0 {
        let words = format!(
            "{} name no release of their distribution and stay unknown",
            number(count(matchable.without_release))
        );
        rows.push(("Unknown".to_owned(), words.into()));
    }
    for (why, left) in &matchable.left_out {
        rows.push((
            "Not asked".to_owned(),
            format!("{}: {}", number(count(*left)), why.replace('-', " ")).into(),
        ));
    }
    rows
}

/// A part of risk by its identity in the score: a vulnerability is named with its package.
fn part_row(how: How, id: &str, devices: u32, fleet: &FleetEffect) -> WhatIfRow {
    let is_of = |known: &&String| id.strip_prefix(known.as_str()).is_some_and(|rest| rest.starts_with(':'));
    let weakness = fleet.closed.iter().chain(&fleet.brought).filter(is_of).max_by_key(|known| known.len());
    let halves = weakness.map_or_else(|| id.split_once(':'), |known| id.split_at_checked(known.len()));
    let known = PARTS.iter().find(|(known, _)| *known == id).map(|(_, words)| Said::from(*words));
    let (what, href) = match (known, halves) {
        (Some(words), _) => (words, None),
        (None, Some(("posture" | "freshness", _)) | None) => (Said::from(id), None),
        (None, Some((weakness, package))) => {
            let package = package.trim_start_matches(':');
            (format!("{weakness} in {package}").into(), Some(paths::vulnerability(weakness)))
        }
    };
    WhatIfRow { how, what, href, devices: devices.into() }
}

/// What installing it would change, and what cannot be told.
fn effect(known: &KnownRelease, roster: &Roster, what_if: Option<&WhatIf>) -> Vec<(String, Said)> {
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
    let vulnerabilities = match what_if {
        None => "Nothing to compare: no device could take it.".to_owned(),
        Some(what_if) => {
            let [gone, new] = what_if.vulnerabilities.map(number);
            if what_if.by_bill {
                format!("{gone} that devices have now would be gone, {new} would be new.")
            } else {
                format!(
                    "{gone} that devices have now would be gone. Unknown: no bill of materials of it was matched, so nobody \
                     can say what would be new."
                )
            }
        }
    };
    vec![
        ("Devices".to_owned(), devices.into()),
        ("Risk".to_owned(), risk.into()),
        ("Vulnerabilities".to_owned(), vulnerabilities.into()),
    ]
}
