//! The checker: a process that opens what is left of a store and holds it against the plan.
//!
//! What must hold: a step that was answered is there by value and once; each other step is there whole or not at all;
//! a writer's steps are there without a gap, since it took each only after the one before was answered; the audit
//! journal counts from 1 without gaps; telemetry is the same by time and by device; and the store takes new writes. A
//! store that does not open has lost everything. It is a process of its own, so that an engine that panics or hangs
//! costs one verdict and not the soak.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use cordon_proto::ids::DeviceId;
use cordon_proto::telemetry::Record;
use cordon_proto::time::Timestamp;
use cordon_server::store::open::{self, Terms};
use cordon_server::store::{Commit, Cursor, EventQuery, Index, Key, Kind, Store};
use cordon_server_core::audit::{Actor, Recorded};
use serde::{Deserialize, Serialize};

use super::plan::{Scribe, name};
use super::{Run, Verdict};

/// What a checker process does. On stdin it is told what was answered.
#[derive(Clone, Debug, Args)]
pub struct Task {
    /// The store, as a server's configuration names it.
    #[arg(long, value_name = "STORE")]
    pub store: String,
    /// Opens on the terms of the control.
    #[arg(long)]
    pub unsynced: bool,
}

/// What was answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answered {
    /// What was written.
    pub seed: u64,
    /// All runs on this store.
    pub runs: Vec<Run>,
}

/// Checks, and prints the verdict as JSON.
///
/// # Errors
/// If it was told nothing. What is wrong with the store is the verdict's.
pub fn run(task: &Task) -> anyhow::Result<()> {
    let mut told = String::new();
    std::io::stdin().read_to_string(&mut told)?;
    let answered: Answered = serde_json::from_str(&told)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let verdict = runtime.block_on(async {
        let terms = Terms { reserve_bytes: Some(0), unsynced: task.unsynced };
        match open::open(&task.store, Path::new(""), terms).await {
            Ok(store) => check(store, &answered).await,
            Err(error) => {
                let mut verdict = promised(&answered);
                verdict.lost = verdict.commits.saturating_add(verdict.records);
                verdict.note(format!("it does not open: {:#}", anyhow::Error::from(error)));
                verdict
            }
        }
    });
    println!("{}", serde_json::to_string(&verdict)?);
    Ok(())
}

/// How much was answered.
#[must_use]
pub fn promised(answered: &Answered) -> Verdict {
    let mut verdict = Verdict::default();
    for (scribe, steps) in scribes(answered) {
        for number in 0..steps {
            if Scribe::is_commit(number) {
                verdict.commits += 1;
            } else {
                verdict.records += count(scribe.records(number).len());
            }
        }
    }
    verdict
}

fn scribes(answered: &Answered) -> Vec<(Scribe, u64)> {
    let runs = answered.runs.iter().flat_map(|run| {
        let writers = (0_u32..).zip(&run.answered);
        writers.map(|(writer, steps)| (Scribe { seed: answered.seed, run: run.number, writer }, *steps))
    });
    runs.collect()
}

/// Everything a store holds that matters here.
struct Holdings {
    documents: BTreeMap<Key, Vec<u8>>,
    /// How often each object stands in the journal.
    journal: BTreeMap<String, u64>,
    events: BTreeMap<DeviceId, Vec<Record>>,
}

async fn check(store: Arc<dyn Store>, answered: &Answered) -> Verdict {
    let mut verdict = promised(answered);
    let holdings = match holdings(&*store, &mut verdict).await {
        Ok(holdings) => holdings,
        Err(error) => {
            verdict.lost = verdict.commits.saturating_add(verdict.records);
            verdict.note(format!("it cannot be read: {error:#}"));
            return verdict;
        }
    };
    let mut known = BTreeSet::new();
    for (scribe, steps) in scribes(answered) {
        known.insert(scribe.device());
        judge(scribe, steps, &holdings, &mut verdict);
        let by_device = EventQuery { device: Some(scribe.device()), ..EventQuery::all() };
        match events(&*store, by_device).await {
            Ok(mut by_device) => {
                let found = by_device.remove(&scribe.device()).unwrap_or_default();
                if found != holdings.events.get(&scribe.device()).cloned().unwrap_or_default() {
                    verdict.note(format!("{scribe:?}: telemetry by device is not telemetry by time"));
                }
            }
            Err(error) => verdict.note(format!("telemetry of {scribe:?}: {error:#}")),
        }
    }
    for stranger in holdings.events.keys().filter(|device| !known.contains(device)) {
        verdict.note(format!("telemetry of nobody: {stranger}"));
    }
    if let Err(error) = writes_on(&*store).await {
        verdict.note(format!("it takes no new writes: {error:#}"));
    }
    verdict
}

async fn holdings(store: &dyn Store, verdict: &mut Verdict) -> anyhow::Result<Holdings> {
    let documents = scan(store, Kind::Site).await?.into_iter().collect();
    let mut journal: BTreeMap<String, u64> = BTreeMap::new();
    for (wanted, (key, body)) in (1_u64..).zip(scan(store, Kind::Audit).await?) {
        let recorded = Recorded::from_bytes(&body)?;
        if key != Key::Audit(wanted) || recorded.sequence != wanted {
            verdict.note(format!("the journal has {} where {wanted} belongs", recorded.sequence));
        }
        *journal.entry(recorded.entry.object.to_string()).or_default() += 1;
    }
    Ok(Holdings { documents, journal, events: events(store, EventQuery::all()).await? })
}

async fn scan(store: &dyn Store, kind: Kind) -> anyhow::Result<Vec<(Key, Vec<u8>)>> {
    let (mut rows, mut next) = (Vec::new(), Some(Cursor::First));
    while let Some(from) = next {
        let page = store.scan(Index::All(kind), from, usize::MAX).await?;
        rows.extend(page.rows.into_iter().map(|(key, row)| (key, row.body)));
        next = page.next;
    }
    Ok(rows)
}

async fn events(store: &dyn Store, mut query: EventQuery) -> anyhow::Result<BTreeMap<DeviceId, Vec<Record>>> {
    let mut events: BTreeMap<DeviceId, Vec<Record>> = BTreeMap::new();
    loop {
        let page = store.events(query.clone()).await?;
        for (id, record) in page.events {
            events.entry(id.device).or_default().push(record);
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(events),
        }
    }
}

/// Holds one writer's steps against the plan.
fn judge(scribe: Scribe, answered: u64, holdings: &Holdings, verdict: &mut Verdict) {
    let head = holdings.documents.get(&scribe.head());
    let head = head.and_then(|body| std::str::from_utf8(body).ok()?.parse::<u64>().ok());
    let empty = Vec::new();
    let events = holdings.events.get(&scribe.device()).unwrap_or(&empty);
    let last_batch = events.iter().map(|record| record.position.boot).max();
    // Steps that left a trace, the head's and the telemetry's included.
    let begun = head.into_iter().chain(last_batch).max().map_or(0, |last| last.saturating_add(1));
    let mut unread = events.as_slice();
    for number in 0..begun.max(answered).saturating_add(1) {
        let due = number < answered.max(begun);
        if Scribe::is_commit(number) {
            judge_commit(scribe, (number, due, begun), holdings, verdict);
        } else {
            unread = judge_batch(scribe, (number, due), unread, verdict);
        }
    }
    if let Some(record) = unread.first() {
        verdict.doubled += count(unread.len());
        verdict.note(format!(
            "{}: unplanned or repeated records from {:?}",
            scribe.object(0),
            record.position
        ));
    }
    let last_commit = (0..begun).rev().find(|number| Scribe::is_commit(*number));
    if head != last_commit {
        verdict.torn += 1;
        verdict.note(format!("{}: the head says {head:?} after {last_commit:?}", scribe.object(begun)));
    }
}

/// A commit is there whole, or not at all and not due.
fn judge_commit(
    scribe: Scribe,
    (number, due, begun): (u64, bool, u64),
    holdings: &Holdings,
    verdict: &mut Verdict,
) {
    let page = scribe.page(number);
    let entries = holdings.journal.get(&page.object).copied().unwrap_or(0);
    let trimmed = usize::from(Scribe::is_trimmed(number, begun));
    let (mut there, mut wrong) =
        (0, page.documents.iter().take(trimmed).any(|(key, _)| holdings.documents.contains_key(key)));
    let kept = page.documents.iter().skip(trimmed);
    for (key, body) in kept.clone() {
        let found = holdings.documents.get(key);
        there += usize::from(found.is_some());
        wrong |= found.is_some_and(|found| found != body);
    }
    let is_whole = there == kept.len() && entries > 0 && !wrong;
    let is_absent = there == 0 && entries == 0 && !wrong;
    if entries > 1 {
        verdict.doubled += 1;
        verdict.note(format!("{}: {entries} times in the journal", page.object));
    }
    if due && is_absent {
        verdict.lost += 1;
        verdict.note(format!("{}: the commit is not there", page.object));
    } else if !is_absent && (!is_whole || number >= begun) {
        verdict.torn += 1;
        verdict.lost += u64::from(due);
        let of = kept.len();
        verdict
            .note(format!("{}: {there} of {of} documents, {entries} entries, wrong: {wrong}", page.object));
    }
}

/// A batch is next in what is not read yet, whole, or not there and not due. Returns what follows it.
fn judge_batch<'e>(
    scribe: Scribe,
    (number, due): (u64, bool),
    unread: &'e [Record],
    verdict: &mut Verdict,
) -> &'e [Record] {
    let wanted = scribe.records(number);
    let here = unread.iter().take_while(|record| record.position.boot == number).count();
    let (found, rest) = unread.split_at(here);
    if found == wanted {
        return rest;
    }
    let missing = wanted.iter().filter(|record| !found.contains(record)).count();
    let places: BTreeSet<_> = found.iter().map(|record| record.position).collect();
    if found.is_empty() {
        if due {
            verdict.lost += count(missing);
            verdict.note(format!("{}: {missing} records are not there", scribe.object(number)));
        }
        return rest;
    }
    verdict.lost += if due { count(missing) } else { 0 };
    verdict.doubled += count(found.len().saturating_sub(places.len()));
    verdict.torn += 1;
    verdict.note(format!("{}: {} of {} records", scribe.object(number), found.len(), wanted.len()));
    rest
}

/// A store that survived is a store that goes on.
async fn writes_on(store: &dyn Store) -> anyhow::Result<()> {
    let key = Key::Site(name("checked"));
    let actor = Actor::Server(name("faults"));
    let commit = Commit::draft(Timestamp(2), actor).put(key.clone(), b"yes".to_vec()).finish()?;
    let committed = store.commit(commit).await?;
    let row = store.get(key).await?;
    anyhow::ensure!(row.is_some_and(|row| row.revision == committed.revision), "a new document is not there");
    Ok(())
}

fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}
