//! How the fleet stands to every weakness at once: one row for each, counted over the very devices that lists show.
//!
//! Made off the async threads and kept until something it stands on changes; of a large fleet it may be a minute old. What a
//! device is exposed to, and what is to be done about each, is decided in `server/core`; here it is counted. Read next:
//! `ui::vulnerabilities` for the rows, [`super::vulnerabilities`] for the pages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cordon_proto::checkin::InterlockState;
use cordon_proto::time::Timestamp;
use cordon_server_core::risk::facts::{Exposure, Treatment};
use cordon_server_core::risk::next_step::Act;
use cordon_server_core::risk::remedy::{ExposureStep, of_exposures};
use cordon_server_core::select::Filter;
use tokio::time::Instant;

use super::Desk;
use super::roster::{Entry, Roster};
use crate::appraisal::{Published, facts};
use crate::exceptions::{self, Accepted, seen_as};
use crate::http::problem::Problem;
use crate::knowledge::{Matched, Numbered, Readiness};
use crate::ui::Said;
use crate::ui::devices::Step;
use crate::ui::vulnerabilities::{Counts, Exploited, Fix, Ground, VulnerabilityQuery, VulnerabilityRow};

/// Up to so many devices a survey is as young as the roster.
const SMALL: usize = 5000;
/// Of a larger fleet it is made anew at most so often.
const CALM: Duration = Duration::from_secs(60);

/// How the fleet stands to every weakness.
#[derive(Default)]
pub(super) struct Survey {
    /// The rows, in no order that lists use.
    pub(super) rows: Vec<VulnerabilityRow>,
    /// Devices of which nothing can be said.
    pub(super) unseen: u64,
    /// Components that cannot be matched.
    pub(super) unmatchable: u64,
}

/// The survey of now.
#[derive(Default)]
pub(super) struct Surveys(Mutex<Option<Made>>);

struct Made {
    roster: Arc<Roster>,
    matched: Matched,
    accepted: Accepted,
    at: Instant,
    survey: Arc<Survey>,
}

impl Surveys {
    /// The survey over a roster; of a large fleet, of less than a minute ago.
    pub(super) async fn current(&self, desk: &Desk, roster: &Arc<Roster>) -> Result<Arc<Survey>, Problem> {
        let published = desk.operator.published();
        let all = exceptions::all(&desk.operator.app).await?;
        let accepted = Accepted::in_force(all, desk.now());
        if let Some(kept) = self.kept(roster, &published.matched, &accepted) {
            return Ok(kept);
        }
        let (over, matched, now) = (roster.clone(), published.matched.clone(), desk.now());
        let made = tokio::task::spawn_blocking(move || {
            let survey = Survey::of(&over, &published, &accepted, now);
            (survey, accepted)
        });
        let (survey, accepted) = made.await.map_err(|error| Problem::internal(&error))?;
        let survey = Arc::new(survey);
        let made =
            Made { roster: roster.clone(), matched, accepted, at: Instant::now(), survey: survey.clone() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
        Ok(survey)
    }

    /// How many weaknesses there are, as far as that is known without counting anew.
    pub(super) fn known(&self) -> Option<u64> {
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.as_ref().map(|made| super::count(made.survey.rows.len()))
    }

    fn kept(&self, roster: &Arc<Roster>, matched: &Matched, accepted: &Accepted) -> Option<Arc<Survey>> {
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let made = made.as_ref().filter(|made| made.matched == *matched && made.accepted == *accepted)?;
        let is_calm = roster.entries.len() > SMALL && made.at.elapsed() < CALM;
        (is_calm || Arc::ptr_eq(&made.roster, roster)).then(|| made.survey.clone())
    }
}

impl Survey {
    pub(super) fn of(roster: &Roster, published: &Published, accepted: &Accepted, now: Timestamp) -> Self {
        let (mut survey, mut tallies) = (Self::default(), BTreeMap::new());
        let accepted = accepted.weaknesses();
        for group in groups(roster, published) {
            survey.add(&mut tallies, &group, (published, &accepted), now);
        }
        let world = published.matched.made.as_deref().map(|made| &made.world);
        let is_known = world.is_some_and(|world| !world.exploited.is_empty());
        survey.rows = tallies.into_iter().map(|(id, tally)| tally.into_row(id, is_known)).collect();
        survey
    }

    /// Takes in devices of which the same holds: it is asked of the first.
    fn add<'a>(
        &mut self,
        tallies: &mut BTreeMap<String, Tally<'a>>,
        group: &Group<'a>,
        (published, accepted): (&Published, &BTreeMap<String, Vec<&Filter>>),
        now: Timestamp,
    ) {
        let (Some(first), matched) = (group.entries.first(), &published.matched) else { return };
        let facts = facts(&first.member, published);
        let devices = super::count(group.entries.len());
        self.unmatchable += u64::from(facts.components_unmatchable) * devices;
        self.unseen += if matched.can_ask(&first.member) { 0 } else { devices };
        let steps = of_exposures(&facts, &published.model, now);
        let mut seen = BTreeSet::new();
        for exposure in facts.exposures.iter().filter(|exposure| is_open(exposure)) {
            let tally = tally_of(tallies, &exposure.id);
            tally.name(exposure);
            if seen.insert(exposure.id.as_str()) {
                tally.affected += devices;
                tally.place(group);
                let filters = accepted.get(&exposure.id.to_ascii_uppercase());
                tally.accepted += filters.map_or(0, |filters| group.covered(filters));
            }
            let own = |step: &&ExposureStep| step.id == exposure.id && step.package == exposure.package;
            if let Some(step) = steps.iter().find(own) {
                tally.step(step);
            }
        }
        let mut unsure = BTreeSet::new();
        for (id, package) in matched.unknown(&first.member) {
            if seen.contains(id.as_str()) {
                continue;
            }
            let tally = tally_of(tallies, &id);
            tally.packages.insert(package);
            if unsure.insert(id.clone()) {
                tally.describe(matched, &id);
                tally.unknown += devices;
                tally.place(group);
            }
        }
    }

    /// Counts of the strip.
    pub(super) fn counts(&self, now: Timestamp) -> Counts {
        let fit = |pairs: &[(&str, &str)]| {
            let query = VulnerabilityQuery::from_pairs(pairs.iter().copied());
            super::count(self.rows.iter().filter(|row| query.fits(row, now)).count())
        };
        Counts {
            severities: ["critical", "high", "medium", "low"].map(|band| fit(&[("severity", band)])),
            exploited: fit(&[("exploited", "exploited")]),
            unknown: fit(&[("answer", "unknown")]),
            waiting: fit(&[("fix", "none")]),
            due: fit(&[("due", "week")]),
        }
    }
}

/// Whether an exposure counts: a maker's word that it does not hit is no exposure of the device.
fn is_open(exposure: &Exposure) -> bool {
    match exposure.treatment {
        Treatment::None | Treatment::Workaround => true,
        Treatment::NotAffected | Treatment::Fixed => false,
    }
}

/// Devices that are exposed to the same, run the same and are reached in the same way: what is to be done is the same for all.
#[derive(Default)]
struct Group<'a> {
    entries: Vec<&'a Entry>,
    wards: BTreeSet<(&'a str, &'a str)>,
    models: BTreeSet<&'a str>,
    in_use: u64,
}

fn groups<'a>(roster: &'a Roster, published: &Published) -> Vec<Group<'a>> {
    let mut sets = Numbered::new(&published.matched);
    // In an order of their own: of two steps that are due together the same one is shown each time.
    let mut groups: BTreeMap<(usize, usize), Group<'a>> = BTreeMap::new();
    for entry in roster.entries.iter().filter(|entry| entry.counted) {
        let key = (sets.of(&entry.member), entry.member.device.placement.reach.number());
        groups.entry(key).or_default().add(entry);
    }
    groups.into_values().collect()
}

impl<'a> Group<'a> {
    fn add(&mut self, entry: &'a Entry) {
        let row = &entry.row;
        self.wards.insert((row.site.raw(), row.ward.raw()));
        self.models.insert(row.model.raw());
        self.in_use += u64::from(is_in_use(entry));
        self.entries.push(entry);
    }

    /// How many of them one of these filters means.
    fn covered(&self, filters: &[&Filter]) -> u64 {
        let is_meant = |entry: &&&Entry| {
            let seen = seen_as(&entry.member, entry.row.risk.band);
            filters.iter().any(|filter| filter.fits(&seen))
        };
        super::count(self.entries.iter().filter(is_meant).count())
    }
}

fn tally_of<'t, 'a>(tallies: &'t mut BTreeMap<String, Tally<'a>>, id: &str) -> &'t mut Tally<'a> {
    if !tallies.contains_key(id) {
        tallies.insert(id.to_owned(), Tally::default());
    }
    tallies.get_mut(id).expect("it was put there if it was missing")
}

/// One weakness while it is counted.
#[derive(Default)]
struct Tally<'a> {
    affected: u64,
    unknown: u64,
    in_use: u64,
    accepted: u64,
    wards: BTreeSet<(&'a str, &'a str)>,
    models: BTreeSet<&'a str>,
    packages: BTreeSet<String>,
    aliases: BTreeSet<String>,
    cvss_tenths: Option<u8>,
    epss_millionths: Option<u32>,
    known_exploited: bool,
    ransomware: bool,
    has_version: bool,
    step: Option<Step>,
    installs: bool,
}

impl<'a> Tally<'a> {
    fn name(&mut self, exposure: &Exposure) {
        if !self.packages.contains(exposure.source_name()) {
            self.packages.insert(exposure.source_name().to_owned());
        }
        self.cvss_tenths = self.cvss_tenths.max(exposure.cvss.map(|cvss| cvss.tenths));
        self.epss_millionths = self.epss_millionths.max(exposure.epss_millionths);
        self.known_exploited |= exposure.known_exploited;
        self.ransomware |= exposure.ransomware;
        self.has_version |= exposure.fixed_version.is_some();
    }

    /// What the world says of a weakness that was found on no device for sure.
    fn describe(&mut self, matched: &Matched, id: &str) {
        let Some(world) = matched.made.as_deref().map(|made| &made.world) else { return };
        let exploited = world.exploited.get(id);
        self.cvss_tenths = self.cvss_tenths.max(world.severity(id).map(|severity| severity.cvss.tenths));
        self.epss_millionths =
            self.epss_millionths.max(world.chances.get(id).map(|chance| chance.millionths));
        self.known_exploited |= exploited.is_some();
        self.ransomware |= exploited.is_some_and(|exploited| exploited.ransomware);
    }

    fn place(&mut self, group: &Group<'a>) {
        self.wards.extend(&group.wards);
        self.models.extend(&group.models);
        self.in_use += group.in_use;
    }

    /// Keeps the step that is due first; one that somebody here can take goes before one that waits for a maker.
    fn step(&mut self, step: &ExposureStep) {
        self.installs |= matches!(step.act, Act::Install(_));
        let found = step_of(step);
        let order = |step: &Step| {
            let waits = step.waiting_since.is_some();
            (waits, step.due.is_none(), step.due.or(step.waiting_since))
        };
        if self.step.as_ref().is_none_or(|held| order(&found) < order(held)) {
            self.step = Some(found);
        }
    }

    fn into_row(self, id: String, is_catalogue_here: bool) -> VulnerabilityRow {
        let said = |texts: BTreeSet<String>| texts.into_iter().map(Said::from).collect();
        VulnerabilityRow {
            name: id.as_str().into(),
            id,
            aliases: said(self.aliases),
            packages: said(self.packages),
            models: self.models.into_iter().map(Said::from).collect(),
            cvss_tenths: self.cvss_tenths,
            exploited: exploited(self.known_exploited, self.ransomware, is_catalogue_here),
            epss_millionths: self.epss_millionths,
            affected: self.affected,
            unknown: self.unknown,
            in_use: self.in_use,
            wards: super::count(self.wards.len()),
            fix: match (self.installs, self.has_version) {
                (true, _) => Fix::Release,
                (false, true) => Fix::Version,
                (false, false) => Fix::None,
            },
            step: self.step,
            accepted: self.accepted,
        }
    }
}

/// Whether a weakness is exploited, as far as a catalogue of that is here.
pub(super) fn exploited(listed: bool, ransomware: bool, is_catalogue_here: bool) -> Exploited {
    match (listed, ransomware) {
        (_, true) => Exploited::Ransomware,
        (true, false) => Exploited::Listed,
        (false, false) if is_catalogue_here => Exploited::NotListed,
        (false, false) => Exploited::Unknown,
    }
}

/// A step about one exposure for a column.
pub(super) fn step_of(step: &ExposureStep) -> Step {
    let short = if let Act::Install(release) = &step.act {
        format!("Install {}", release.rsplit('/').next().unwrap_or(release))
    } else {
        step.words.clone()
    };
    Step { short: short.into(), owner: step.owner, due: step.due, waiting_since: step.waiting_since }
}

/// Whether a device says that it is in clinical use.
pub(super) fn is_in_use(entry: &Entry) -> bool {
    entry.member.report.as_ref().is_some_and(|report| report.interlock == InterlockState::InUse)
}

/// What answers stand on, for every page that gives one.
pub(super) fn ground(desk: &Desk, matched: &Matched, unseen: (u64, u64)) -> Ground {
    let (feeds, now) = (desk.operator.app.knowledge.feeds(), desk.now());
    let of_advisories: Vec<Timestamp> =
        feeds.iter().filter(|feed| feed.kind.is_of_advisories()).map(|feed| feed.as_of).collect();
    let stale = feeds.iter().filter(|feed| feed.kind.ages() && feed.age(now).is_finding());
    Ground {
        preparing: matched.readiness == Readiness::Preparing,
        feeds: super::count(of_advisories.len()),
        stale: super::count(stale.count()),
        oldest: of_advisories.iter().min().copied(),
        newest: of_advisories.iter().max().copied(),
        unseen: unseen.0,
        unmatchable: unseen.1,
    }
}
