//! What the live stream tells an open page: values that change in place, and which addresses would now read otherwise.
//!
//! Two looks at the roster, the book and the journal are compared; a heartbeat without news is no change. Rows and
//! order never move by themselves: the page only offers to show what is new. Read next: `operator::events` for the
//! stream, `ui::live` for the script's side.

use std::collections::BTreeMap;
use std::sync::Arc;

use cordon_proto::ids::Name;
use cordon_server_core::rollout::{Rollout, State as Standing, Tally};

use super::super::operator::audit::page as journal;
use super::super::operator::rollouts::fleet_of;
use super::rollouts::whole;
use super::roster::{Entry, Found, Roster};
use super::{Desk, count};
use crate::fleet::Member;
use crate::store::StoreError;
use crate::ui::live::{changed_event, key, live_event};
use crate::ui::paths;

/// Pages of single things that one event names at most.
const NAMED: usize = 200;

/// The console's eye on the fleet, for the live stream.
#[derive(Clone)]
pub struct Live(pub(super) Arc<Desk>);

/// What one reader of the stream has been told.
#[derive(Default)]
pub struct Told(Option<Look>);

/// One event: its name and its data.
pub type Event = (&'static str, String);

struct Look {
    roster: Arc<Roster>,
    rollouts: BTreeMap<Name, Mark>,
    halted: u64,
    entries: u64,
}

/// What of a rollout a page would show otherwise.
#[derive(PartialEq, Eq)]
struct Mark {
    state: Standing,
    begun: usize,
    settled: usize,
    permitted: usize,
    tally: Tally,
}

impl Live {
    /// The events since the last time; the first one is the values.
    pub async fn events(&self, told: &mut Told) -> Result<Vec<Event>, StoreError> {
        let look = Look::now(&self.0).await?;
        let mut events = vec![("live", live_event(&look.values(&self.0)))];
        let changed = told.0.as_ref().map(|before| look.changed_since(before)).unwrap_or_default();
        if !changed.is_empty() {
            events.push(("changed", changed_event(&changed)));
        }
        told.0 = Some(look);
        Ok(events)
    }
}

impl Look {
    async fn now(desk: &Desk) -> Result<Self, StoreError> {
        let (newest, _) = journal(&desk.operator, None, 1).await?;
        let rollouts = marks(desk);
        let halted = rollouts.values().filter(|mark| matches!(mark.state, Standing::Halted { .. })).count();
        Ok(Self {
            roster: desk.roster(),
            rollouts,
            halted: count(halted),
            entries: newest.first().map_or(0, |entry| entry.sequence),
        })
    }

    fn values(&self, desk: &Desk) -> BTreeMap<&'static str, u64> {
        let [critical, high, medium, low] = self.roster.summary.bands;
        let now = desk.now();
        let open = self.roster.findings.iter().filter(|found| found.record.is_open(now)).count();
        let running = self.rollouts.values().filter(|mark| mark.state == Standing::Running).count();
        let mut values = BTreeMap::from([
            (key::DEVICES, self.roster.summary.total),
            (key::WAITING, self.roster.waiting(now)),
            (key::FINDINGS, count(open)),
            (key::CRITICAL, critical),
            (key::HIGH, high),
            (key::MEDIUM, medium),
            (key::LOW, low),
        ]);
        if self.halted == 0 {
            values.insert(key::ROLLOUTS, count(running));
        }
        values
    }

    /// Addresses whose pages would now read otherwise.
    fn changed_since(&self, before: &Self) -> Vec<String> {
        let mut changed = Vec::new();
        if !Arc::ptr_eq(&self.roster, &before.roster) {
            devices(&self.roster, &before.roster, &mut changed);
            findings(&self.roster, &before.roster, &mut changed);
            if !asks_alike(&self.roster, &before.roster) {
                changed.push(paths::APPROVALS.to_owned());
            }
        }
        let other = |(id, mark): &(&Name, &Mark)| before.rollouts.get(*id) != Some(*mark);
        let rollouts: Vec<String> =
            self.rollouts.iter().filter(other).map(|(id, _)| paths::rollout(id.as_str())).collect();
        if !rollouts.is_empty() {
            changed.push(paths::ROLLOUTS.to_owned());
            changed.extend(rollouts.into_iter().take(NAMED));
        }
        if self.entries != before.entries {
            changed.push(paths::AUDIT.to_owned());
        }
        changed
    }
}

/// What waits and what was never reached changes without any document: the devices say it.
fn marks(desk: &Desk) -> BTreeMap<Name, Mark> {
    let (book, now) = (desk.operator.rollouts.book(), desk.now());
    let mark = |rollout: &Rollout| {
        let progress = book.progress.get(&rollout.id).into_iter().flat_map(BTreeMap::values);
        Mark {
            state: rollout.state.clone(),
            begun: rollout.waves.iter().filter(|wave| wave.started.is_some()).count(),
            settled: rollout.waves.iter().filter(|wave| wave.settled.is_some()).count(),
            permitted: progress.filter(|progress| progress.permitted.is_some()).count(),
            tally: if rollout.is_open() {
                whole(rollout, &fleet_of(&desk.operator, &book, rollout), now)
            } else {
                Tally::default()
            },
        }
    };
    book.rollouts.values().map(|rollout| (rollout.id.clone(), mark(rollout))).collect()
}

fn devices(now: &Roster, before: &Roster, changed: &mut Vec<String>) {
    let earlier = |entry: &Arc<Entry>| before.get(entry.member.id()).cloned();
    let other: Vec<&Arc<Entry>> = now
        .entries
        .iter()
        .filter(|entry| earlier(entry).is_none_or(|earlier| !reads_alike(&earlier.member, &entry.member)))
        .collect();
    let moved =
        now.entries.iter().any(|entry| earlier(entry).is_none_or(|earlier| !lists_alike(&earlier, entry)));
    if moved || now.entries.len() != before.entries.len() {
        changed.push(paths::DEVICES.to_owned());
    }
    changed.extend(other.into_iter().take(NAMED).map(|entry| paths::device(&entry.row.id)));
}

/// Whether a device's own page would read the same but for ages.
fn reads_alike(a: &Member, b: &Member) -> bool {
    let alike = a.report.as_deref() == b.report.as_deref()
        && Arc::ptr_eq(&a.findings, &b.findings)
        && Arc::ptr_eq(&a.receipts, &b.receipts)
        && a.inventory == b.inventory;
    // A heartbeat that is written down is a new document that says the same.
    let (a, b) = (&a.device, &b.device);
    let asks = a.asking == b.asking && a.doubt == b.doubt && a.farewell == b.farewell;
    alike && asks && a.state == b.state && a.placement == b.placement
}

/// Whether the same keys wait.
fn asks_alike(a: &Roster, b: &Roster) -> bool {
    let asking = |roster: &Roster| -> Vec<_> {
        let asks = roster.entries.iter().filter_map(|entry| {
            entry.member.device.asking.as_ref().map(|asking| (entry.member.id(), asking.clone()))
        });
        asks.collect::<BTreeMap<_, _>>().into_iter().collect()
    };
    asking(a) == asking(b)
}

/// Whether a device's row would read the same.
fn lists_alike(a: &Entry, b: &Entry) -> bool {
    let step = |entry: &Entry| entry.row.step.as_ref().map(|step| step.short.clone());
    a.row.risk == b.row.risk
        && a.row.state.slug() == b.row.state.slug()
        && a.row.place == b.row.place
        && step(a) == step(b)
}

fn findings(now: &Roster, before: &Roster, changed: &mut Vec<String>) {
    let earlier: BTreeMap<&Name, &Found> =
        before.findings.iter().map(|found| (&found.record.id, found)).collect();
    let alike = |found: &Found| {
        earlier.get(&found.record.id).is_some_and(|earlier| Arc::ptr_eq(&earlier.record, &found.record))
    };
    let other: Vec<&Found> = now.findings.iter().filter(|found| !alike(found)).collect();
    if !other.is_empty() || now.findings.len() != before.findings.len() {
        changed.push(paths::FINDINGS.to_owned());
    }
    changed.extend(other.into_iter().take(NAMED).map(|found| paths::finding(found.record.id.as_str())));
}
