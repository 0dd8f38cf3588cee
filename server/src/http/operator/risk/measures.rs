//! `/api/v1/risk/measures`: how fast weaknesses are closed, in the three measures that section 524B of the FD&C Act is read by.
//!
//! What is open is what devices have now; what is closed is what their own receipts prove. An order is no patch, and what
//! nobody knows is said and not counted. Read next: `cordon_server_core::evidence` for the measures, `exposure::closed` for
//! what counts as closed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use cordon_proto::ids::{Sha256, Text};
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use cordon_server_core::evidence::{Case, Cases, Dated, Quartiles, holes_closed_permille, measures};
use cordon_server_core::exposure::closed::{Proved, Repairs};
use cordon_server_core::import::KnownRelease;
use cordon_server_core::risk::facts::{Exposure, Treatment};
use cordon_server_core::risk::register::csv_line;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::{Operator, refused};
use crate::appraisal::is_counted;
use crate::fleet::Member;
use crate::http::problem::Problem;
use crate::knowledge::{Matched, Numbered};

/// The columns of the CSV form.
const COLUMNS: [&str; 8] = [
    "vulnerability",
    "known",
    "available",
    "devices",
    "patched",
    "first_patched",
    "last_patched",
    "open_days",
];

/// Of what the measures are asked.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MeasuresQuery {
    /// Only devices of this model.
    pub model: Option<String>,
    /// Only vulnerabilities that became known here from this day on, such as `2026-01-01`.
    pub from: Option<String>,
    /// Only those that became known before this day.
    pub until: Option<String>,
    /// `json` (the default) or `csv`, a line for each vulnerability.
    pub format: Option<String>,
}

/// How fast weaknesses are closed.
#[derive(Debug, Serialize, ToSchema)]
pub struct MeasuresAnswer {
    /// When it was made, RFC 3339.
    pub at: String,
    /// Vulnerabilities that were found on devices here and are counted.
    pub vulnerabilities: usize,
    /// Devices that have or had them, each once for each vulnerability.
    pub devices: u64,
    /// Of these, how many are patched, in thousandths.
    pub patched_permille: Option<u64>,
    /// Vulnerabilities that are closed on every device that had them, in thousandths.
    pub closed_permille: Option<u64>,
    /// Seconds from the day on which a vulnerability was known here to the first release that repairs it.
    pub identified_to_available: Option<SpreadView>,
    /// Seconds from that release to the proof of each device that runs it.
    pub available_to_deployed: Option<SpreadView>,
    /// Each vulnerability with its dates.
    pub cases: Vec<CaseView>,
    /// What each figure means, and what is in none of them, in sentences.
    pub explained: Vec<&'static str>,
}

/// How times are spread, in seconds, each a time that was really seen.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct SpreadView {
    /// A quarter took at most that.
    pub lower_s: i64,
    /// Half.
    pub median_s: i64,
    /// Three quarters.
    pub upper_s: i64,
    /// All.
    pub most_s: i64,
}

/// One vulnerability.
#[derive(Debug, Serialize, ToSchema)]
pub struct CaseView {
    /// Its name.
    pub vulnerability: String,
    /// When it was known here, RFC 3339.
    pub known: String,
    /// When the first release that repairs it was taken in; nothing: there is none.
    pub available: Option<String>,
    /// Devices that have or had it.
    pub devices: u64,
    /// Devices that proved that they run a release without it.
    pub patched: usize,
    /// When the first one did.
    pub first_patched: Option<String>,
    /// When the last one did.
    pub last_patched: Option<String>,
    /// Days for which it has been open; nothing: it is closed everywhere.
    pub open_days: Option<i64>,
}

/// The sentences under the figures.
pub const EXPLAINED: [&str; 5] = [
    "Patched: devices that proved by a receipt of their own that they run a release without the vulnerability, of all that have or had it. An order is no patch.",
    "Identified to available: from the first day on which the vulnerability was found on a device here to the day on which the first release that repairs it was taken in.",
    "Available to deployed: from that day to the receipt of each device.",
    "In none of it: what a maker's statement says does not hit the device, and what nobody can judge.",
    "A closed vulnerability is known only where it is known what was in the release before: by its bill of materials, or while some device still runs it.",
];

/// The measures.
#[utoipa::path(get, path = "/api/v1/risk/measures", params(MeasuresQuery),
    responses((status = 200, body = MeasuresAnswer), (status = 422)))]
pub async fn show(
    State(operator): State<Operator>,
    Query(query): Query<MeasuresQuery>,
) -> Result<Response, Problem> {
    let csv = match query.format.as_deref() {
        None | Some("json") => false,
        Some("csv") => true,
        Some(_) => return Err(refused("bad_query", "`format` is json or csv")),
    };
    let answer = of(&operator, &query).await?;
    if !csv {
        return Ok(Json(answer).into_response());
    }
    let mut text = csv_line(COLUMNS);
    answer.cases.iter().for_each(|case| text.push_str(&csv_line(case.cells().iter().map(String::as_str))));
    let name = format!("attachment; filename=\"measures-{}.csv\"", answer.at.get(..10).unwrap_or("today"));
    Ok(([(CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (CONTENT_DISPOSITION, name)], text)
        .into_response())
}

/// The same for pages.
pub(crate) async fn of(operator: &Operator, query: &MeasuresQuery) -> Result<MeasuresAnswer, Problem> {
    let (from, until) = (day(query.from.as_deref())?, day(query.until.as_deref())?);
    let releases = operator.repositories.releases().await?;
    let (members, published) = (operator.app.fleet.all(), operator.published());
    let (now, model) = (operator.app.clock.now(), query.model.clone());
    let work = move || {
        let is_asked = |member: &&Arc<Member>| {
            let of = member.device.hardware.model.as_str();
            is_counted(member) && model.as_deref().is_none_or(|model| model == of)
        };
        let mut cases = cases(members.iter().filter(is_asked), &published.matched, &releases);
        cases.retain(|case| {
            from.is_none_or(|from| case.known >= from) && until.is_none_or(|until| case.known < until)
        });
        MeasuresAnswer::of(&cases, now)
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| Problem::internal(&error))
}

fn day(text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let wrong = |_| refused("bad_query", "`from` and `until` are days, such as 2026-01-01");
    text.map(|text| Timestamp::parse(&format!("{text}T00:00:00Z")).map_err(wrong)).transpose()
}

/// The cases of these devices: what each has now, and what it proved to have closed.
fn cases<'a>(
    members: impl Iterator<Item = &'a Arc<Member>>,
    matched: &'a Matched,
    releases: &[KnownRelease],
) -> Vec<Case> {
    let mut shelves: BTreeMap<&Text, Shelf> = BTreeMap::new();
    for known in releases {
        let shelf = shelves.entry(&known.model).or_default();
        let first = shelf.taken_in.entry(known.counter).or_insert(known.imported);
        *first = known.imported.min(*first);
        shelf.images.insert(known.sha256, known.counter);
    }
    let (holes, empty) = (matched.holes(), Shelf::default());
    let mut repairs: BTreeMap<&Text, Repairs<'_>> = BTreeMap::new();
    let (mut sets, mut cases) = (Numbered::new(matched), Cases::default());
    for member in members {
        let model = &member.device.hardware.model;
        let shelf = shelves.get(model).unwrap_or(&empty);
        let number = sets.of(member);
        let exposures = sets.set(number).map(|set| set.exposures.as_slice());
        let mut open = BTreeSet::new();
        for exposure in exposures.unwrap_or_default().iter().filter(|exposure| hits(exposure)) {
            let Some(known) = exposure.known_since.filter(|_| open.insert(exposure.id.as_str())) else {
                continue;
            };
            let available = exposure.fixed_counter.and_then(|counter| shelf.taken_in.get(&counter).copied());
            cases.add(&Dated { hole: &exposure.id, known, available, deployed: None });
        }
        let proved = shelf.proved(member);
        if proved.is_empty() {
            continue;
        }
        let repairs = repairs.entry(model).or_insert_with(|| Repairs::of(matched.shipped(model), &holes));
        for one in repairs.closed(&proved) {
            // What it still has elsewhere is open, and a weakness counts once.
            if open.insert(one.hole.name) {
                let available = shelf.taken_in.get(&one.first).copied();
                let (hole, known) = (one.hole.name, one.hole.known);
                cases.add(&Dated { hole, known, available, deployed: Some(one.at) });
            }
        }
    }
    cases.finish()
}

fn hits(exposure: &Exposure) -> bool {
    match exposure.treatment {
        Treatment::None | Treatment::Workaround => true,
        Treatment::NotAffected | Treatment::Fixed => false,
    }
}

/// The releases of one model, as they were taken in.
#[derive(Default)]
struct Shelf {
    taken_in: BTreeMap<u64, Timestamp>,
    images: BTreeMap<Sha256, u64>,
}

impl Shelf {
    /// The installations that a device proved, the oldest first.
    fn proved(&self, member: &Member) -> Vec<Proved> {
        let mut before = None;
        let mut proved = Vec::new();
        for receipt in member.receipts.iter() {
            let body = &receipt.body;
            match body.outcome {
                Outcome::Confirmed | Outcome::WentBack => {
                    let ran = self.images.get(&body.previous_sha256).copied().or(before);
                    proved.push(Proved { before: ran, after: body.counter, at: receipt.received });
                    before = Some(body.counter);
                }
                Outcome::RolledBack | Outcome::Refused => before = Some(body.counter),
            }
        }
        proved
    }
}

impl MeasuresAnswer {
    fn of(cases: &[Case], now: Timestamp) -> Self {
        let found = measures(cases, now);
        Self {
            at: now.to_string(),
            vulnerabilities: cases.len(),
            devices: cases.iter().map(|case| case.devices).sum(),
            patched_permille: found.patched_permille,
            closed_permille: holes_closed_permille(cases),
            identified_to_available: found.identified_to_available.map(SpreadView::of),
            available_to_deployed: found.available_to_deployed.map(SpreadView::of),
            cases: cases.iter().map(|case| CaseView::of(case, now)).collect(),
            explained: EXPLAINED.to_vec(),
        }
    }
}

impl SpreadView {
    fn of(spread: Quartiles) -> Self {
        let Quartiles { lower_s, median_s, upper_s, most_s } = spread;
        Self { lower_s, median_s, upper_s, most_s }
    }
}

impl CaseView {
    fn of(case: &Case, now: Timestamp) -> Self {
        let is_open = u64::try_from(case.installed.len()).unwrap_or(u64::MAX) < case.devices;
        Self {
            vulnerability: case.name.clone(),
            known: case.known.to_string(),
            available: case.available.map(|at| at.to_string()),
            devices: case.devices,
            patched: case.installed.len(),
            first_patched: case.installed.iter().min().map(ToString::to_string),
            last_patched: case.installed.iter().max().map(ToString::to_string),
            open_days: is_open.then(|| now.seconds_since(case.known).div_euclid(86_400)),
        }
    }

    /// The cells of the CSV form, in the order of [`COLUMNS`].
    fn cells(&self) -> [String; 8] {
        [
            self.vulnerability.clone(),
            self.known.clone(),
            self.available.clone().unwrap_or_default(),
            self.devices.to_string(),
            self.patched.to_string(),
            self.first_patched.clone().unwrap_or_default(),
            self.last_patched.clone().unwrap_or_default(),
            self.open_days.map(|days| days.to_string()).unwrap_or_default(),
        ]
    }
}
