//! Housekeeping: writing down what devices said, forgetting what is old, reading what the view does not hold.
//!
//! Heartbeats are gathered and only news is written. A device that somebody changed meanwhile is left for
//! the next round. Nothing here decides about a device.

use std::sync::Arc;
use std::time::Duration;

use cordon_proto::ids::DeviceId;
use cordon_proto::inventory::Inventory;
use cordon_proto::limits;
use cordon_proto::telemetry::{Body, FlowRow};
use cordon_proto::time::Millis;
use cordon_server_core::change::Commit;

use tokio::time::sleep;

use super::{App, CommitError, server};
use crate::fleet::Member;
use crate::store::{EventQuery, Expected, Expired, Key, StoreError};

/// Devices written in one commit.
const DEVICES_A_COMMIT: usize = 250;
/// Kind of the telemetry record that holds a flow row.
const FLOWS: u16 = 1;
const DAY_MS: i64 = 86_400_000;
/// How often a device is written down at once when somebody else was faster, and the pause between.
const TRIES: u32 = 10;
const AGAIN: Duration = Duration::from_millis(limits::FOLLOW_MS);
/// Seconds that a device which listens may need from the end of a wait to the next.
const BETWEEN_S: i64 = 60;

impl App {
    /// Writes down what devices have said since the last time, and says for how many.
    pub async fn write_down(&self) -> Result<usize, CommitError> {
        let members = self.fleet.all();
        let due: Vec<&Arc<Member>> = members.iter().filter(|member| member.unwritten().is_some()).collect();
        let mut written = 0;
        for some in due.chunks(DEVICES_A_COMMIT) {
            written += self.write_some(some.to_vec()).await?;
        }
        Ok(written)
    }

    /// Writes down at once what devices asked for that another server must answer. A device that somebody else has
    /// just written, or that the store did not take, is tried again the next time: whoever asks for a go may not be
    /// forgotten until the next round of all.
    pub async fn write_urgent(&self) -> Result<usize, CommitError> {
        let members = self.fleet.take_urgent();
        let due: Vec<&Arc<Member>> = members.iter().filter(|member| member.unwritten().is_some()).collect();
        let (mut written, mut failed) = (0, None);
        for some in due.chunks(DEVICES_A_COMMIT) {
            match self.write_some(some.to_vec()).await {
                Ok(some) => written += some,
                Err(error) => failed = Some(error),
            }
        }
        self.fleet.urgent_again(due.into_iter().map(|member| member.id()));
        failed.map_or(Ok(written), Err)
    }

    /// Writes down at once how a device is, news or not, for another server that has to decide about it now.
    pub async fn write_now(&self, device: DeviceId) -> Result<(), CommitError> {
        for _ in 0..TRIES {
            let Some(member) = self.fleet.get(device) else { return Ok(()) };
            if self.write_some(vec![&member]).await? > 0 {
                return Ok(());
            }
            // Somebody else has just written it, and what they wrote is here in a moment.
            sleep(AGAIN).await;
        }
        Ok(())
    }

    /// A device listens for a word of ours from now on for so long; the way to its next request is granted.
    pub fn listens(&self, device: DeviceId, for_s: u32) {
        let until = self.clock.now().plus_seconds(i64::from(for_s) + BETWEEN_S);
        self.fleet.listens(device, until);
    }

    /// One commit; a device that conflicts is left out and the rest tried again.
    async fn write_some(&self, mut members: Vec<&Arc<Member>>) -> Result<usize, CommitError> {
        while !members.is_empty() {
            let mut draft = Commit::draft(self.clock.now(), server("heartbeats"));
            for member in &members {
                let key = Key::Device(member.id());
                let expected = Expected::At(member.revision);
                draft = draft.expect(key.clone(), expected).put(key, member.current().to_body());
            }
            match self.commit(draft).await {
                Ok(_) => return Ok(members.len()),
                Err(CommitError::Store(StoreError::Conflict(Key::Device(device)))) => {
                    members.retain(|member| member.id() != device);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(0)
    }

    /// Forgets telemetry that is older than the owner wants it.
    pub async fn forget(&self) -> Result<Expired, StoreError> {
        let days = i64::from(self.config.retention_days);
        self.store.expire(self.clock.now_ms().plus(days.saturating_mul(-DAY_MS))).await
    }

    /// The whole inventory of a device, packages included.
    pub async fn inventory(&self, device: DeviceId) -> Result<Option<Inventory>, StoreError> {
        let key = Key::Inventory(device);
        let Some(row) = self.store.get(key.clone()).await? else { return Ok(None) };
        let read = cordon_proto::wire::read(&row.body, limits::RECORD_BYTES);
        read.map(Some).map_err(|_| StoreError::Corrupt(key.to_string()))
    }

    /// Flow rows of a device that arrived since `from`, the newest first, at most `limit`.
    pub async fn flows(
        &self,
        device: DeviceId,
        from: Millis,
        limit: usize,
    ) -> Result<Vec<FlowRow>, StoreError> {
        let mut flows = Vec::new();
        let mut after = None;
        loop {
            let query = EventQuery {
                device: Some(device),
                kind: Some(FLOWS),
                from,
                newest_first: true,
                after,
                limit: limits::PAGE_ROWS,
                ..EventQuery::all()
            };
            let page = self.store.events(query).await?;
            let rows = page.events.iter().filter_map(|(_, record)| match Body::of(record) {
                Ok(Some(Body::Flows(row))) => Some(row),
                _ => None,
            });
            flows.extend(rows.take(limit.saturating_sub(flows.len())));
            after = page.next;
            if after.is_none() || flows.len() >= limit {
                return Ok(flows);
            }
        }
    }
}
