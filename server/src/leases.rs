//! Jobs that one server does at a time: a lease each, asked for again well before it ends.
//!
//! A lease says who should work; what keeps a paused server from working on is the lease's guard in each commit of
//! the job, because no clock can be trusted across a pause. Where nobody else writes the store the same code runs: the
//! one server is always the same holder, so that a restart waits for nobody. Read next: `jobs`, `rollouts::steps`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cordon_proto::ids::{Name, Text};
use cordon_proto::limits;
use cordon_server_core::audit::Actor;
use cordon_server_core::change::Commit;

use crate::chance;
use crate::clock::Clock;
use crate::store::{Lease, LeaseAnswer, LeaseRequest, Store, StoreError};

/// The holder where there is only one, and how long it keeps a job: nobody can take it away.
const ALONE: &str = "this server";
const ALONE_MS: u32 = 3_600_000;

/// The leases of one server.
pub struct Leases {
    store: Arc<dyn Store>,
    clock: Clock,
    holder: Text,
    ttl_ms: u32,
    held: Mutex<BTreeMap<&'static str, Option<Lease>>>,
}

impl Leases {
    /// For a server of this name; the holder's name differs with every start.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Clock, server: &str) -> Self {
        let (holder, ttl_ms) = if store.is_shared() {
            let start = u32::from_be_bytes(chance::random());
            (Text::lossy(&format!("{server}-{start:08x}")), limits::LEASE_MS)
        } else {
            (Text::lossy(ALONE), ALONE_MS)
        };
        Self { store, clock, holder, ttl_ms, held: Mutex::default() }
    }

    /// This server's name among the holders.
    #[must_use]
    pub fn holder(&self) -> &Text {
        &self.holder
    }

    /// The lease of a job, if this server has it or can have it now.
    pub async fn hold(&self, job: &'static str) -> Result<Option<Lease>, StoreError> {
        let now = self.clock.now_ms();
        let known = self.lock().get(job).cloned().flatten();
        // Asked for again when half of it is over: an answer may be slow.
        if let Some(lease) = known.filter(|lease| lease.until.since(now) > i64::from(self.ttl_ms / 2)) {
            return Ok(Some(lease));
        }
        let name: Name = job.parse().expect("jobs are named by lower-case words");
        let request = LeaseRequest { name, holder: self.holder.clone(), ttl_ms: self.ttl_ms, now };
        let lease = match self.store.lease(request).await? {
            LeaseAnswer::Granted(lease) => Some(lease),
            LeaseAnswer::Held { .. } => None,
        };
        let before = self.lock().insert(job, lease.clone()).flatten();
        match (&before, &lease) {
            (None, Some(lease)) => {
                tracing::info!(job, holder = %self.holder, token = lease.token.0, "this server does the job now")
            }
            (Some(_), None) => tracing::warn!(job, "another server does the job now"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        Ok(lease)
    }

    /// A commit of the job was refused because somebody else has it.
    pub fn lost(&self, job: &'static str) {
        self.lock().insert(job, None);
        tracing::warn!(job, "another server took the job over; nothing of it was done twice");
    }

    /// Gives all leases back, so that others need not wait for their end.
    pub async fn release_all(&self) {
        let held: Vec<Lease> = self.lock().values_mut().filter_map(Option::take).collect();
        for lease in held {
            let (key, expected) = lease.guard();
            let actor = Actor::Server("leases".parse().expect("a valid name"));
            let draft = Commit::draft(self.clock.now(), actor).expect(key.clone(), expected).delete(key);
            let commit = draft.finish().expect("one change is within bounds");
            match self.store.commit(commit).await {
                Ok(_) | Err(StoreError::Conflict(_)) => {}
                Err(error) => {
                    let error = crate::log::chain(&error);
                    tracing::warn!(error, "a lease could not be given back; it ends by itself");
                }
            }
        }
    }

    /// Jobs that were asked for, and whether this server has them now.
    #[must_use]
    pub fn held(&self) -> Vec<(&'static str, bool)> {
        let now = self.clock.now_ms();
        let has = |lease: &Option<Lease>| lease.as_ref().is_some_and(|lease| lease.until > now);
        self.lock().iter().map(|(job, lease)| (*job, has(lease))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Option<Lease>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases").field("holder", &self.holder).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Memory;
    use crate::testing::shared::Seat;
    use cordon_proto::time::Millis;

    fn server(store: &Arc<Memory>, clock: &Clock) -> Leases {
        Leases::new(Arc::new(Seat::new(store.clone())), clock.clone(), "hospital")
    }

    #[tokio::test]
    async fn a_killed_servers_job_is_taken_over_when_its_lease_ends_and_a_drained_ones_at_once() {
        // Goal: work goes on, by one at a time. Method: two holders on one store; renew, fall silent, give back.
        let (store, clock) = (Arc::new(Memory::new()), Clock::held(Millis(0)));
        let (one, two) = (server(&store, &clock), server(&store, &clock));
        let first = one.hold("rollouts").await.expect("asked").expect("free");
        assert!(two.hold("rollouts").await.expect("asked").is_none());
        clock.hold_at(Millis(3000));
        let again = one.hold("rollouts").await.expect("asked").expect("still its own");
        assert_eq!((again.token, again.until), (first.token, Millis(8000)), "renewed before its end");
        clock.hold_at(Millis(7999));
        assert!(two.hold("rollouts").await.expect("asked").is_none());
        clock.hold_at(Millis(8000));
        let second = two.hold("rollouts").await.expect("asked").expect("the first one is dead");
        assert!(second.token > first.token);
        assert_eq!((one.held(), two.held()), (vec![("rollouts", false)], vec![("rollouts", true)]));
        two.release_all().await;
        let third = one.hold("rollouts").await.expect("asked").expect("given back");
        assert!(third.token > second.token);
    }

    #[tokio::test]
    async fn where_nobody_else_writes_a_restart_waits_for_nobody() {
        // Goal: an embedded store behaves as ever. Method: a second start before the first one's lease ended.
        let (store, clock) = (Arc::new(Memory::new()), Clock::held(Millis(0)));
        let alone = || Leases::new(store.clone(), clock.clone(), "hospital");
        assert!(alone().hold("rollouts").await.expect("asked").is_some());
        assert!(alone().hold("rollouts").await.expect("asked").is_some());
        assert_eq!(alone().holder().as_str(), ALONE);
    }
}
