//! The risk of the fleet on one page: by where devices stand, what loses support, what we cannot see.
//!
//! Counts are over the roster's rows, as on every page; support and coverage are the API's own. Read next:
//! `ui::fleet_risk`, `operator::risk`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Html;
use cordon_proto::time::Timestamp;
use cordon_server_core::feeds::intake::Kind;
use cordon_server_core::risk::Band;
use cordon_server_core::risk::support::Stage;

use super::super::operator::coverage;
use super::super::operator::risk::measures::{self, EXPLAINED, MeasuresQuery, SpreadView};
use super::super::operator::risk::versions;
use super::fault::Fault;
use super::roster::{Entry, Roster};
use super::visitor::Known;
use super::{Desk, Page, count};
use crate::ui::devices::{DeviceQuery, Step};
use crate::ui::fleet_risk::{BoardRow, CUTS, FleetRisk, Measure, SupportRow, Unseen, render};
use crate::ui::frame::Section;
use crate::ui::{DeviceState, Said, badge, paths};

/// Seconds within which a step is due this week.
const WEEK_S: i64 = 7 * 86_400;

/// The page.
pub(super) async fn show(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let (roster, now) = (desk.roster(), desk.now());
    let asked = visitor.asked("by").unwrap_or_default();
    let cut = CUTS.iter().find(|(value, _)| *value == asked).unwrap_or(&CUTS[0]).0;
    let [critical, ..] = roster.summary.bands;
    let register = |form| paths::with_query("/api/v1/risk/register", &[("format", form)]);
    let page = FleetRisk {
        cut,
        hundredths: roster.summary.hundredths,
        devices: roster.summary.total,
        index: roster.summary.index(),
        critical,
        due: count(counted(&roster).filter(|entry| is_due(entry, now)).count()),
        rows: board(&roster, cut),
        support: support(&desk).await?,
        unseen: unseen(&desk).await?,
        measures: speed(&desk).await?,
        exports: vec![
            ("Register as CSV", register("csv")),
            ("JSON", register("json")),
            ("Measures as CSV", paths::with_query("/api/v1/risk/measures", &[("format", "csv")])),
        ],
    };
    Ok(Html(render(&desk.frame(&visitor, Section::Overview, &roster), &page)))
}

fn counted(roster: &Roster) -> impl Iterator<Item = &Arc<Entry>> {
    roster.entries.iter().filter(|entry| entry.counted)
}

fn is_due(entry: &Entry, now: Timestamp) -> bool {
    let due = entry.row.step.as_ref().and_then(|step| step.due);
    due.is_some_and(|due| due <= now.plus_seconds(WEEK_S))
}

/// One part of the fleet while it is counted.
#[derive(Default)]
struct Part {
    bands: [u64; 4],
    hundredths: u64,
    /// Next steps by their words, on how many devices, with the nearest date.
    steps: BTreeMap<String, (Step, u64)>,
}

impl Part {
    fn add(&mut self, entry: &Entry) {
        let row = &entry.row;
        let [critical, high, medium, low] = &mut self.bands;
        *match row.risk.band {
            Band::Critical => critical,
            Band::High => high,
            Band::Medium => medium,
            Band::Low => low,
        } += 1;
        self.hundredths += u64::from(row.risk.hundredths);
        let Some(step) = &row.step else { return };
        let key = step.short.raw().to_owned();
        let (held, devices) = self.steps.entry(key).or_insert_with(|| (step.clone(), 0));
        *devices += 1;
        let nearest = [held.due, step.due].into_iter().flatten().min();
        held.due = nearest;
    }

    /// The step that concerns the most devices; of two the one that is due first.
    fn step(&self) -> Option<(Step, u64)> {
        let due = |step: &Step| step.due.map_or((1, Timestamp::default()), |at| (0, at));
        let best = self
            .steps
            .values()
            .min_by(|(a, on_a), (b, on_b)| on_b.cmp(on_a).then_with(|| due(a).cmp(&due(b))));
        best.cloned()
    }
}

fn board(roster: &Roster, cut: &str) -> Vec<BoardRow> {
    let mut parts: BTreeMap<(String, String), Part> = BTreeMap::new();
    for entry in counted(roster) {
        let row = &entry.row;
        let (site, of) = match cut {
            "model" => ("", row.model.raw()),
            "site" => ("", row.site.raw()),
            "kind" => ("", row.kind.raw()),
            "owner" => ("", row.owner_word()),
            _ => (row.site.raw(), row.ward.raw()),
        };
        parts.entry((site.to_owned(), of.to_owned())).or_default().add(entry);
    }
    let mut rows: Vec<BoardRow> =
        parts.iter().map(|((site, of), part)| board_row(cut, (site, of), part)).collect();
    rows.sort_by(|a, b| b.hundredths.cmp(&a.hundredths).then_with(|| a.name.cmp(&b.name)));
    rows
}

fn board_row(cut: &str, (site, of): (&str, &str), part: &Part) -> BoardRow {
    let some = |text: &str| Some(text.to_owned());
    let all = DeviceQuery::default();
    let (name, query) = match cut {
        "model" => (of.to_owned(), DeviceQuery { model: some(of), ..all }),
        "site" => (of.to_owned(), DeviceQuery { site: some(of), ..all }),
        "kind" => (of.to_owned(), DeviceQuery { kind: some(of), ..all }),
        "owner" => (owner_words(part).to_owned(), DeviceQuery { owner: some(of), ..all }),
        _ => (place_words(site, of), DeviceQuery { site: some(site), ward: some(of), ..all }),
    };
    BoardRow {
        name: Said::from(name),
        critical_href: DeviceQuery { band: Some(Band::Critical), ..query.clone() }.address(),
        href: query.address(),
        bands: part.bands,
        hundredths: part.hundredths,
        step: part.step(),
    }
}

/// Whose move it is in a part that was cut by that.
fn owner_words(part: &Part) -> &'static str {
    part.steps.values().next().map_or("Nobody's: nothing is to be done", |(step, _)| badge::owner(step.owner))
}

/// A ward and its site in words.
pub(super) fn place_words(site: &str, ward: &str) -> String {
    match (site, ward) {
        ("unknown", "unknown") => "Not placed".to_owned(),
        ("unknown", place) | (place, "unknown") => place.to_owned(),
        (site, ward) => format!("{ward}, {site}"),
    }
}

/// What loses support within a year, or has lost it, as the API tells it.
async fn support(desk: &Desk) -> Result<Vec<SupportRow>, Fault> {
    let asked = Query(versions::ModelQuery::default());
    let axum::Json(answer) = versions::support(State(desk.operator.clone()), asked).await?;
    let of_model =
        |model: &str| DeviceQuery { model: Some(model.to_owned()), ..DeviceQuery::default() }.address();
    let now = desk.now();
    let mut rows: Vec<SupportRow> = Vec::new();
    for row in &answer.releases {
        let Some(at) = row.support.next_end(now) else { continue };
        let release = row.release.as_deref().unwrap_or("a release that is not known here");
        rows.push(SupportRow {
            what: format!("{} {release}", row.model).into(),
            stage: ended_words(row.support.stage, row.support.full_until == Some(at)).into(),
            at,
            devices: row.devices.into(),
            href: of_model(&row.model),
            next: if row.newer > 0 { "a newer release is here".into() } else { Said::default() },
        });
    }
    for system in &answer.systems {
        let Ok(at) = Timestamp::parse(&system.until) else { continue };
        rows.push(SupportRow {
            what: format!("The operating system of {}", system.model).into(),
            stage: "repairs by its maker".into(),
            at,
            devices: system.devices.into(),
            href: of_model(&system.model),
            next: Said::default(),
        });
    }
    rows.sort_by_key(|row| row.at);
    Ok(rows)
}

/// Which part of a maker's support ends or has ended.
fn ended_words(stage: Stage, is_full: bool) -> &'static str {
    match stage {
        Stage::Supported | Stage::LimitedSupport if is_full => "full support",
        Stage::Supported | Stage::LimitedSupport | Stage::EndOfSupport => "all support",
        Stage::Unknown => "support",
    }
}

/// How fast vulnerabilities are closed: the API's own figures, each with what it means.
async fn speed(desk: &Desk) -> Result<Vec<Measure>, Fault> {
    let found = measures::of(&desk.operator, &MeasuresQuery::default()).await?;
    if found.vulnerabilities == 0 {
        return Ok(Vec::new());
    }
    let share = |permille: Option<u64>| {
        permille.map_or("not known".to_owned(), |permille| format!("{}.{} %", permille / 10, permille % 10))
    };
    let days = |spread: Option<SpreadView>| {
        spread.map_or("not known".to_owned(), |spread| {
            let [half, all] = [spread.median_s, spread.most_s].map(|seconds| seconds.div_euclid(86_400));
            format!("half within {half} days, all within {all}")
        })
    };
    let [patched, identified, available, ..] = EXPLAINED;
    Ok([
        (share(found.patched_permille), patched),
        (days(found.identified_to_available), identified),
        (days(found.available_to_deployed), available),
    ]
    .into_iter()
    .map(|(figure, means)| Measure { figure, means: means.into() })
    .collect())
}

/// What we cannot see: the API's own sentences, those about silent devices with their list, and feeds that are too old.
async fn unseen(desk: &Desk) -> Result<Vec<Unseen>, Fault> {
    let coverage = coverage::of(&desk.operator).await?;
    let silent = DeviceQuery::of_state(DeviceState::Silent { last_seen: None }).address();
    let mut rows: Vec<Unseen> = Vec::new();
    for line in &coverage.blind_spots {
        // "3 devices: nothing of them was measured": the count leads, and the rest says what it means.
        let counted = line.split_once(' ').and_then(|(count, rest)| Some((count.parse::<u64>().ok()?, rest)));
        let Some((count, rest)) = counted else { continue };
        let (what, means) = rest.split_once(": ").unwrap_or((rest, ""));
        let is_silent = u64::from(coverage.silent) == count && means.contains("said nothing for a day");
        let href = is_silent.then(|| silent.clone());
        rows.push(Unseen { count, what: what.into(), means: Said::sentence(means.to_owned()), href });
    }
    let now = desk.now();
    let feeds = desk.operator.app.knowledge.feeds();
    let stale = count(feeds.iter().filter(|feed| feed.kind.ages() && feed.age(now).is_finding()).count());
    if stale > 0 {
        let old = coverage.feeds.iter().filter_map(|gap| Some((gap.feed.as_deref()?, gap.age_days?)));
        let old: Vec<String> = old.map(|(name, days)| format!("{name} {days} days")).collect();
        let means = "what was published since is not known, and weighs on every score";
        rows.push(Unseen {
            count: stale,
            what: format!("feeds too old: {}", old.join(", ")).into(),
            means: means.into(),
            href: Some(paths::FEEDS.into()),
        });
    }
    let never =
        Kind::ALL.into_iter().filter(|kind| kind.ages() && feeds.iter().all(|feed| feed.kind != *kind));
    let never = count(never.count());
    if never > 0 {
        let (what, means) = ("kinds of feeds that never came", "what they would tell is not known here");
        rows.push(Unseen {
            count: never,
            what: what.into(),
            means: means.into(),
            href: Some(paths::FEEDS.into()),
        });
    }
    Ok(rows)
}
