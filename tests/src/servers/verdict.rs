//! What must hold after the servers were killed: read from the store itself, not from any server.
//!
//! Every acknowledged record is stored, no record twice, no step of the rollout was made twice: each wave begins and
//! settles once in the audit journal, and the progress of a device was written at most twice, for its go and its end. Of the
//! devices whose receipt was taken, the rollout counts some: where it counts none, nothing of it was tried.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::ensure;
use cordon_proto::ids::DeviceId;
use cordon_proto::limits;
use cordon_proto::receipt::Outcome;
use cordon_server::store::{Cursor, EventQuery, Feed, Index, Key, Kind, Revision, Store};
use cordon_server_core::audit::Recorded;
use cordon_server_core::rollout::Progress;

use super::device::Account;
use crate::bench::ingest::p99_ms;
use crate::bench::store::side;

/// What was found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Devices that were told anything.
    pub devices: usize,
    /// Servers killed.
    pub kills: usize,
    /// Records acknowledged.
    pub acknowledged: u64,
    /// Records stored.
    pub stored: u64,
    /// Acknowledged records that are not stored.
    pub lost: u64,
    /// Records stored more than once.
    pub doubled: u64,
    /// Steps of the rollout in the journal.
    pub steps: usize,
    /// Steps that are there twice.
    pub steps_twice: usize,
    /// Devices that proved the installation.
    pub installed: u64,
    /// Devices that the rollout counts as confirmed.
    pub counted: u64,
    /// Requests answered.
    pub answered: u64,
    /// Requests that were not, by kind.
    pub errors: BTreeMap<&'static str, u64>,
    /// From the first try of a batch to its acknowledgement, milliseconds: half of them, 99 of a hundred, the longest.
    pub waits_ms: [f64; 3],
}

impl Verdict {
    /// What is added up over rounds. Milliseconds are whole.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "waits are small and not negative"
    )]
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        let [half, p99, longest] = self.waits_ms.map(|ms| ms.round() as u64);
        let mut counts = vec![
            ("servers killed", u64::try_from(self.kills).unwrap_or(0)),
            ("records acknowledged", self.acknowledged),
            ("lost", self.lost),
            ("doubled", self.doubled),
            ("rollout steps", u64::try_from(self.steps).unwrap_or(0)),
            ("rollout steps made twice", u64::try_from(self.steps_twice).unwrap_or(0)),
            ("devices that proved their installation", self.installed),
            ("devices that the rollout counts", self.counted),
            ("p50 ms of a batch until acknowledged", half),
            ("p99 ms of a batch until acknowledged", p99),
            ("longest ms of a batch until acknowledged", longest),
            ("requests answered", self.answered),
        ];
        counts.extend(self.errors.iter().map(|(kind, count)| (*kind, *count)));
        counts
    }

    /// Fails unless nothing was lost, doubled or done twice.
    pub fn judge(&self) -> anyhow::Result<()> {
        ensure!(self.acknowledged > 0 && self.kills > 0 && self.steps > 0, "nothing was tried");
        ensure!(self.lost == 0, "{} acknowledged records are lost", self.lost);
        ensure!(self.doubled == 0, "{} records are stored twice", self.doubled);
        ensure!(self.steps_twice == 0, "{} steps of the rollout were made twice", self.steps_twice);
        ensure!(self.installed > 0, "no device came so far as to prove its installation");
        ensure!(self.counted > 0, "of {} devices that proved their installation none counts", self.installed);
        Ok(())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, p99, longest] = self.waits_ms;
        writeln!(f, "devices {}, servers killed {}, the database restarted once", self.devices, self.kills)?;
        writeln!(
            f,
            "records acknowledged {}, stored {}, lost {}, doubled {}",
            self.acknowledged, self.stored, self.lost, self.doubled
        )?;
        writeln!(
            f,
            "rollout steps {}, made twice {}, devices that proved it {}, counted {}",
            self.steps, self.steps_twice, self.installed, self.counted
        )?;
        writeln!(f, "batch until acknowledged: p50 {half:.0} ms, p99 {p99:.0} ms, longest {longest:.0} ms")?;
        write!(f, "requests answered {}", self.answered)?;
        self.errors.iter().try_for_each(|(kind, count)| write!(f, ", {kind} {count}"))
    }
}

/// Reads the store and compares.
pub async fn of(store: &str, mut account: Account, kills: usize) -> anyhow::Result<Verdict> {
    let store = side::open(store).await?;
    let stored = records(&*store).await?;
    let (steps, steps_twice) = steps(&*store).await?;
    let times = |device: &DeviceId, sequence: u64| stored.get(&(*device, sequence)).copied().unwrap_or(0);
    let told = account.acknowledged.iter();
    let lost = told.flat_map(|(device, last)| (1..=*last).map(|sequence| times(device, sequence)));
    let longest = account.waits.iter().max().map_or(0.0, |wait| wait.as_secs_f64() * 1e3);
    let p99 = p99_ms(&mut account.waits);
    let half = account.waits.get(account.waits.len() / 2).map_or(0.0, |wait| wait.as_secs_f64() * 1e3);
    Ok(Verdict {
        devices: account.acknowledged.len(),
        kills,
        acknowledged: account.acknowledged.values().sum(),
        stored: stored.values().map(|times| u64::from(*times)).sum(),
        lost: u64::try_from(lost.filter(|times| *times == 0).count())?,
        doubled: u64::try_from(stored.values().filter(|times| **times > 1).count())?,
        steps,
        steps_twice: steps_twice + permits_twice(&*store).await?,
        installed: account.installed,
        counted: counted(&*store).await?,
        answered: account.answered,
        errors: account.errors,
        waits_ms: [half, p99, longest],
    })
}

/// How often each record is stored.
async fn records(store: &dyn Store) -> anyhow::Result<BTreeMap<(DeviceId, u64), u32>> {
    let mut found = BTreeMap::new();
    let mut query = EventQuery::all();
    loop {
        let page = store.events(query.clone()).await?;
        for (id, _) in page.events {
            *found.entry((id.device, id.position.sequence)).or_default() += 1;
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(found),
        }
    }
}

/// The steps of rollouts in the journal, and how many of them are there twice.
async fn steps(store: &dyn Store) -> anyhow::Result<(usize, usize)> {
    let mut seen: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    let mut from = Some(Cursor::First);
    while let Some(cursor) = from {
        let page = store.scan(Index::All(Kind::Audit), cursor, limits::PAGE_ROWS).await?;
        for (_, row) in page.rows {
            let entry = Recorded::from_bytes(&row.body)?.entry;
            if entry.action.as_str().starts_with("rollout.") {
                let after = entry.after.map(|after| after.as_str().to_owned()).unwrap_or_default();
                *seen.entry((entry.action.to_string(), entry.object.to_string(), after)).or_default() += 1;
            }
        }
        from = page.next;
    }
    Ok((seen.len(), seen.values().filter(|times| **times > 1).count()))
}

/// Devices whose progress was written more often than for their go and their end.
async fn permits_twice(store: &dyn Store) -> anyhow::Result<usize> {
    let mut writes: BTreeMap<Key, usize> = BTreeMap::new();
    let mut after = Revision::default();
    loop {
        let Feed::Commits(page) = store.changes(after, limits::PAGE_ROWS).await? else {
            anyhow::bail!("the first commits are forgotten already");
        };
        let Some(last) = page.last() else { break };
        after = last.revision;
        for touched in page.iter().flat_map(|commit| &commit.keys) {
            if let Key::Progress { .. } = touched.key {
                *writes.entry(touched.key.clone()).or_default() += 1;
            }
        }
    }
    Ok(writes.values().filter(|times| **times > 2).count())
}

/// Devices whose receipt the rollout counts.
async fn counted(store: &dyn Store) -> anyhow::Result<u64> {
    let (mut counted, mut from) = (0, Some(Cursor::First));
    while let Some(cursor) = from {
        let page = store.scan(Index::All(Kind::Progress), cursor, limits::PAGE_ROWS).await?;
        for (_, row) in page.rows {
            let progress: Progress = serde_json::from_slice(&row.body)?;
            counted += u64::from(progress.outcome == Some(Outcome::Confirmed));
        }
        from = page.next;
    }
    Ok(counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_of_which_none_counts_are_a_fault() {
        // Goal: a rollout that goes nowhere shows. Method: a round in which all else is well.
        let well =
            Verdict { acknowledged: 5, kills: 1, steps: 3, installed: 4, counted: 4, ..Verdict::default() };
        well.judge().expect("is well");
        let none = Verdict { counted: 0, ..well };
        assert!(none.judge().expect_err("is a fault").to_string().contains("none counts"));
        let nobody = Verdict { installed: 0, ..none };
        assert!(nobody.judge().expect_err("is a fault").to_string().contains("no device came so far"));
    }
}
