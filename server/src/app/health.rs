//! What a device says of itself, judged when it comes: findings of its figures and of its declared files, closed when it is over.
//!
//! What is a trouble is decided in the ground; here what it needs is loaded and what follows is committed. Read next:
//! `cordon_server_core::health`, `cordon_server_core::declared`.

use cordon_proto::ids::{DeviceId, Sha256};
use cordon_proto::inventory::Inventory;
use cordon_proto::telemetry::Finding;
use cordon_server_core::change::Commit;
use cordon_server_core::declared::{self, Reading};
use cordon_server_core::health;
use cordon_server_core::triage;

use super::report::{CheckinError, finding_digest, opened};
use super::{App, server};
use crate::store::{Expected, Key};

/// Findings closed in one commit.
const CLOSED_A_COMMIT: usize = 100;

impl App {
    /// Judges the points that are kept of a device. `stored` is what every commit that follows from its batch expects.
    pub(super) async fn judge_health(
        &self,
        device: DeviceId,
        stored: &(Key, Expected),
    ) -> Result<(), CheckinError> {
        let points = self.health(device).await?;
        let Some(member) = self.fleet.get(device) else { return Ok(()) };
        let known = || member.findings.values().map(AsRef::as_ref);
        let found = health::judge(points.all(), known());
        let over = health::passed(known(), &found).map(|record| finding_digest(&record.finding)).collect();
        self.settle(device, (found, over), health::PASSED, stored).await
    }

    /// Judges what a device says of the files that its release declares, by the inventory held before and the one that comes.
    pub(super) async fn judge_files(
        &self,
        device: DeviceId,
        (before, now): (&Inventory, &Inventory),
        stored: &(Key, Expected),
    ) -> Result<(), CheckinError> {
        let Some(member) = self.fleet.get(device) else { return Ok(()) };
        let release = member.report.as_ref().and_then(|report| report.software.release.as_ref());
        let release = release.map(|release| release.as_str());
        let reading = Reading { before: Some(before), now, release, at: self.clock.now() };
        let found = reading.judge();
        let known = member.findings.values().map(AsRef::as_ref);
        let over = reading.passed(known, &found).map(|record| finding_digest(&record.finding)).collect();
        self.settle(device, (found, over), declared::PASSED, stored).await
    }

    /// Takes in what was found, and closes what is over.
    async fn settle(
        &self,
        device: DeviceId,
        (found, over): (Vec<Finding>, Vec<Sha256>),
        why: &str,
        stored: &(Key, Expected),
    ) -> Result<(), CheckinError> {
        let found: Vec<(Sha256, Finding)> =
            found.into_iter().map(|finding| (finding_digest(&finding), finding)).collect();
        if !found.is_empty() {
            self.take_in(device, &found, stored).await?;
        }
        for some in over.chunks(CLOSED_A_COMMIT) {
            self.close_passed(device, (some, why), stored).await?;
        }
        Ok(())
    }

    async fn close_passed(
        &self,
        device: DeviceId,
        (some, why): (&[Sha256], &str),
        stored: &(Key, Expected),
    ) -> Result<(), CheckinError> {
        let now = self.clock.now();
        let mut draft = Commit::draft(now, server("findings")).expect(stored.0.clone(), stored.1);
        for finding in some {
            let key = Key::Finding { device, finding: *finding };
            let row = self.store.get(key.clone()).await?;
            let Some(record) = row.as_ref().and_then(|row| serde_json::from_slice(&row.body).ok()) else {
                continue;
            };
            let record = triage::pass(record, "server", why, now);
            let body = serde_json::to_vec(&record).expect("a finding is always JSON");
            draft = draft.expect(key.clone(), Expected::of(row.as_ref())).put(key, body).audit(opened(
                "finding.pass",
                device,
                &record,
            ));
        }
        match self.commit(draft).await {
            // A person was faster, or another batch: the next figures say it again.
            Err(error) if error.is_conflict() => Ok(()),
            outcome => Ok(outcome.map(drop)?),
        }
    }
}
