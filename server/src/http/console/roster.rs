//! All devices as lists show them: one row each with its score, kept until something about it changes.
//!
//! Every count of the console is counted over these rows, and every list is cut from them, so that a count and its
//! list cannot differ. A device that is only expected, or retired, is in no count; it is listed when its state is
//! asked for. A row is made anew when the device's view changed, a release was imported, it falls silent, or its
//! score is minutes old; a large fleet is looked through at most once a second. Read next: `crate::appraisal`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cordon_proto::ids::{DeviceId, Name, Sha256};
use cordon_proto::time::Timestamp;
use cordon_server_core::admit::waiting;
use cordon_server_core::cohort::Cohorts;
use cordon_server_core::risk::next_step::Act;
use cordon_server_core::risk::{Band, NextStep, Value};
use cordon_server_core::triage;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Instant;

use super::super::operator::Operator;
use super::count;
use super::standing::{is_counted, is_placed, kind_words, place_words, silent_from, states_of};
use crate::appraisal::{Published, plan_each, rescore};
use crate::cohorts;
use crate::fleet::Member;
use crate::ui::devices::{DeviceQuery, DeviceRow, Step};
use crate::ui::{DeviceState, Said};

/// Up to so many devices the rows follow every change at once.
const SMALL: usize = 5000;
/// How often the rows of a larger fleet are looked through at most.
const CALM: Duration = Duration::from_secs(1);
/// Seconds after which a score is computed anew, spread so that not all are at once.
const SCORE_S: i64 = 300;

/// One device.
pub(super) struct Entry {
    /// The device's view from which the row was made.
    pub(super) member: Arc<Member>,
    /// Its row.
    pub(super) row: DeviceRow,
    /// Whether it is counted.
    pub(super) counted: bool,
    /// The release that is a next step, and by how many hundredths of a point it lowers the score.
    pub(super) gain: Option<(String, u16)>,
    until: Timestamp,
}

/// One finding and whose it is.
pub(super) struct Found {
    /// Its place in the store.
    pub(super) digest: Sha256,
    /// The record.
    pub(super) record: Arc<triage::Record>,
    /// The device.
    pub(super) entry: Arc<Entry>,
}

/// All devices and findings at one time.
#[derive(Default)]
pub(super) struct Roster {
    /// The devices in the order in which lists show them if nobody asks for another.
    pub(super) entries: Vec<Arc<Entry>>,
    /// Findings of counted devices, the gravest first, then the newest.
    pub(super) findings: Vec<Found>,
    /// Devices of each model held against each other.
    pub(super) cohorts: Cohorts,
    /// What is counted.
    pub(super) summary: Summary,
    by_id: HashMap<DeviceId, Arc<Entry>>,
}

/// What is counted over all devices.
#[derive(Default)]
pub(super) struct Summary {
    /// Devices.
    pub(super) total: u64,
    /// Devices by risk: critical, high, medium, low.
    pub(super) bands: [u64; 4],
    /// Devices by the state that matters most.
    pub(super) states: BTreeMap<&'static str, u64>,
    /// Devices by site and ward, and risk.
    pub(super) wards: BTreeMap<(String, String), [u64; 4]>,
    /// Sum of all scores in hundredths.
    pub(super) hundredths: u64,
    /// Values to filter by.
    pub(super) values: BTreeMap<&'static str, BTreeSet<String>>,
}

/// The roster of now.
#[derive(Default)]
pub(super) struct Rosters(Mutex<Option<Made>>);

struct Made {
    version: u64,
    published: Published,
    minute: i64,
    at: Instant,
    roster: Arc<Roster>,
}

impl Rosters {
    /// The roster of now; of a large fleet, of less than a second ago.
    pub(super) fn current(&self, operator: &Operator) -> Arc<Roster> {
        off_the_planes(|| self.current_here(operator))
    }

    fn current_here(&self, operator: &Operator) -> Arc<Roster> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fleet = &operator.app.fleet;
        let (version, now) = (*fleet.version().borrow(), operator.app.clock.now());
        let minute = now.0.div_euclid(60);
        if let Some(made) = made.as_ref() {
            let calm = made.roster.entries.len() > SMALL && made.at.elapsed() < CALM;
            if calm || (made.version == version && made.minute == minute) {
                return made.roster.clone();
            }
        }
        let published = operator.published();
        let old = made
            .take()
            .filter(|made| made.published == published)
            .map(|made| made.roster)
            .unwrap_or_default();
        let roster = Arc::new(Roster::of(fleet.all(), &old, &published, now));
        *made = Some(Made { version, published, minute, at: Instant::now(), roster: roster.clone() });
        roster
    }

    /// Makes the next reader look again: this person has just changed something.
    pub(super) fn forget(&self) {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.as_mut() {
            made.minute = i64::MIN;
            made.at = Instant::now().checked_sub(CALM).unwrap_or(made.at);
        }
    }
}

/// Work that takes seconds of a large fleet, so that what else this thread would do goes on elsewhere meanwhile. A runtime of
/// one thread, as tests have, has no elsewhere.
fn off_the_planes<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        Ok(_) | Err(_) => work(),
    }
}

impl Roster {
    fn of(members: Vec<Arc<Member>>, old: &Self, published: &Published, now: Timestamp) -> Self {
        let kept = |member: &Arc<Member>| {
            let entry = old.by_id.get(&member.id())?;
            (Arc::ptr_eq(&entry.member, member) && now < entry.until).then(|| entry.clone())
        };
        let cohorts = cohorts::of(&members, now);
        let (mut entries, mut changed) = (Vec::with_capacity(members.len()), Vec::new());
        for member in members {
            match kept(&member) {
                Some(entry) => entries.push(entry),
                None => changed.push(member),
            }
        }
        // No reason is shown in a list: scores and steps of all are made in two passes, over devices alike one after the other.
        changed.sort_by_cached_key(|member| member.gathered().alike);
        let mut scores = Vec::with_capacity(changed.len());
        rescore(&changed, published, now, |_, value, _| scores.push(value));
        let mut scores = scores.into_iter();
        plan_each(&changed, published, now, |member, steps| {
            let risk = scores.next().expect("each device has a score");
            entries.push(Arc::new(Entry::of(member, (risk, &steps), now)));
        });
        let order = DeviceQuery::default();
        entries.sort_by(|a, b| order.compare(&a.row, &b.row));
        let by_id = entries.iter().map(|entry| (entry.member.id(), entry.clone())).collect();
        let summary = Summary::of(&entries);
        let findings = findings_of(&entries);
        Self { entries, findings, cohorts, summary, by_id }
    }

    /// One device.
    pub(super) fn get(&self, device: DeviceId) -> Option<&Arc<Entry>> {
        self.by_id.get(&device)
    }

    /// How many keys wait for a person.
    pub(super) fn waiting(&self, now: Timestamp) -> u64 {
        count(self.entries.iter().filter(|entry| waiting(&entry.member.device, now).is_some()).count())
    }

    /// One finding by its name.
    pub(super) fn finding(&self, id: &Name) -> Option<&Found> {
        self.findings.iter().find(|found| found.record.id == *id)
    }

    /// The devices that a query lists, in the roster's order.
    pub(super) fn matching<'a>(&'a self, query: &'a DeviceQuery) -> impl Iterator<Item = &'a Arc<Entry>> {
        let beyond = [DeviceState::Expected, DeviceState::Retired].map(DeviceState::slug);
        let all = query.state.as_deref().is_some_and(|state| beyond.contains(&state));
        self.entries.iter().filter(move |entry| (all || entry.counted) && query.fits(&entry.row))
    }
}

impl Entry {
    fn of(member: &Arc<Member>, (risk, steps): (Value, &[NextStep]), now: Timestamp) -> Self {
        let (device, id) = (&member.device, member.id());
        let [.., spread] = *id.as_bytes();
        let stale = now.plus_seconds(SCORE_S + i64::from(spread));
        let silent = silent_from(member);
        let said = |text: &str| Said::from(text);
        let row = DeviceRow {
            id: id.to_string(),
            name: said(device.called().as_str()),
            kind: said(kind_words(device.placement.kind).0),
            model: said(device.hardware.model.as_str()),
            site: said(device.placement.site.as_str()),
            ward: said(device.placement.ward.as_str()),
            place: place_words(device).into(),
            tags: device.placement.tags.iter().map(|tag| said(tag.as_str())).collect(),
            risk,
            step: steps.first().map(|step| Step {
                short: said(short_of(step)),
                owner: step.owner,
                due: step.due,
                waiting_since: step.waiting_since,
            }),
            state: states_of(member, now).first().copied().unwrap_or(DeviceState::Online),
        };
        let until = if silent > now && silent < stale { silent } else { stale };
        let gain = steps.iter().find_map(gain_of);
        Self { counted: is_counted(member), gain, row, until, member: member.clone() }
    }
}

fn gain_of(step: &NextStep) -> Option<(String, u16)> {
    let Act::Install(release) = &step.act else { return None };
    Some((release.clone(), step.before_hundredths.saturating_sub(step.after_hundredths)))
}

/// A step for a column. A finding's name would not fit there and helps nobody.
fn short_of(step: &NextStep) -> &str {
    if matches!(step.act, Act::Decide(_)) { "Decide on a finding" } else { &step.short }
}

impl Summary {
    fn of(entries: &[Arc<Entry>]) -> Self {
        let mut summary = Self::default();
        for entry in entries {
            let row = &entry.row;
            *summary.states.entry(row.state.slug()).or_default() += 1;
            summary.note("state", row.state.slug());
            if !entry.counted {
                continue;
            }
            summary.total += 1;
            summary.hundredths += u64::from(row.risk.hundredths);
            add(&mut summary.bands, row.risk.band);
            if is_placed(&entry.member.device) {
                let ward = (row.site.raw().to_owned(), row.ward.raw().to_owned());
                add(summary.wards.entry(ward).or_default(), row.risk.band);
            }
            let fields =
                [("site", &row.site), ("ward", &row.ward), ("kind", &row.kind), ("model", &row.model)];
            for (field, said) in fields {
                summary.note(field, said.raw());
            }
            summary.note("owner", row.owner_word());
            for tag in &row.tags {
                summary.note("tag", tag.raw());
            }
        }
        summary
    }

    fn note(&mut self, field: &'static str, value: &str) {
        let values = self.values.entry(field).or_default();
        if !values.contains(value) {
            values.insert(value.to_owned());
        }
    }

    /// Devices whose most important state is this one.
    pub(super) fn of_state(&self, state: DeviceState) -> u64 {
        self.states.get(state.slug()).copied().unwrap_or(0)
    }

    /// The mean score in whole points.
    pub(super) fn index(&self) -> Option<u16> {
        let mean = self.hundredths.checked_div(self.total)? / 100;
        u16::try_from(mean).ok()
    }
}

fn add(counts: &mut [u64; 4], band: Band) {
    let [critical, high, medium, low] = counts;
    *match band {
        Band::Critical => critical,
        Band::High => high,
        Band::Medium => medium,
        Band::Low => low,
    } += 1;
}

fn findings_of(entries: &[Arc<Entry>]) -> Vec<Found> {
    let counted = entries.iter().filter(|entry| entry.counted);
    let mut findings: Vec<Found> = counted
        .flat_map(|entry| {
            let found = |(digest, record): (&Sha256, &Arc<triage::Record>)| Found {
                digest: *digest,
                record: record.clone(),
                entry: entry.clone(),
            };
            entry.member.findings.iter().map(found)
        })
        .collect();
    findings.sort_by(|a, b| {
        let order = |found: &Found| (found.record.finding.severity, found.record.finding.last);
        order(b).cmp(&order(a)).then_with(|| a.record.id.cmp(&b.record.id))
    });
    findings
}

/// A page of things in order, from 1, and how many there are.
pub(super) fn cut<T>(things: impl Iterator<Item = T>, page: usize, rows: usize) -> (Vec<T>, u64) {
    let from = page.max(1).saturating_sub(1).saturating_mul(rows);
    let (mut kept, mut total) = (Vec::new(), 0_usize);
    for thing in things {
        if total >= from && kept.len() < rows {
            kept.push(thing);
        }
        total += 1;
    }
    (kept, count(total))
}
