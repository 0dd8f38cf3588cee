//! What must hold of a device after each strike, before anything runs on it, and once its update has ended.
//!
//! The slot that its loader would start holds a signed image, whole. Nothing that was answered before the strike is gone:
//! the security state is not of an earlier generation, floor, versions and counters have not fallen. The metadata that is
//! trusted can be read and is not older than it was. And the security state claims nothing of a slot
//! that is not in it. Read next: [`super::seen`].

use anyhow::{Context, ensure};
use cordon_agent::boot::{BootState, choose};
use cordon_agent_core::update::{Record, Slot, State};
use cordon_proto::ids::{Sha256, Text};
use cordon_proto::receipt::Outcome;

use super::device::{Control, Device};
use super::seen::{self, Copy, Document};
use super::stage::{Image, Stage};

/// Metadata that the security state remembers versions of.
const REMEMBERED: [&str; 5] =
    ["director/root", "director/targets", "director/orders", "image/halden/root", "image/halden/targets"];

/// What a strike must not take.
#[derive(Clone, Debug)]
pub struct Bound {
    record: Option<Copy>,
    boot: u64,
    documents: Vec<Document>,
}

impl Bound {
    /// Looks at a device. What was written last may still be on its way to the disk; what was written before it is not,
    /// because each write waits for the one before. `surely` if the one who wrote it has heard that it is stored; if not,
    /// the metadata of `earlier`, when the agent was started, must do.
    ///
    /// # Errors
    /// If the metadata cannot be read.
    pub fn of(device: &Device, surely: bool, earlier: &[Document]) -> anyhow::Result<Self> {
        let mut copies = seen::records(&device.path("state"));
        let newest = copies.pop();
        let boot = seen::generation([&device.path("boot"), &device.path("boot.2")]);
        Ok(match surely {
            true => Self { record: newest, boot, documents: trusted(device)? },
            false => Self { record: copies.pop(), boot: boot.saturating_sub(1), documents: earlier.to_vec() },
        })
    }
}

/// Judges a device that does not run.
///
/// # Errors
/// What is wrong with it.
pub fn judge(device: &Device, stage: &Stage, bound: &Bound) -> anyhow::Result<()> {
    let copies = seen::records(&device.path("state"));
    let newest = copies.last().context("no copy of the security state is whole")?;
    let boot = device.boot_state().context("the boot control cannot be read")?;
    fell(device, newest, bound)?;
    for was in &bound.documents {
        let documents = trusted(device)?;
        let now = documents.iter().find(|now| now.name == was.name).map_or(0, |now| now.version);
        ensure!(now >= was.version, "{} was kept of version {}, now {now}", was.name, was.version);
    }
    starts(device, stage, &newest.record, &boot)?;
    claims(device, stage, &newest.record, &boot)
}

fn fell(device: &Device, newest: &Copy, bound: &Bound) -> anyhow::Result<()> {
    let boot = seen::generation([&device.path("boot"), &device.path("boot.2")]);
    if device.control == Control::File {
        ensure!(boot >= bound.boot, "the boot document of generation {} is gone: {boot}", bound.boot);
    }
    let Some(before) = &bound.record else { return Ok(()) };
    let (had, has) = (before.generation, newest.generation);
    ensure!(has >= had, "the security state of generation {had} is gone: {has}");
    let (before, now) = (&before.record, &newest.record);
    ensure!(now.floor() >= before.floor(), "the floor fell from {} to {}", before.floor(), now.floor());
    ensure!(now.latest() >= before.latest(), "the latest known time fell");
    ensure!(now.bundle().counter >= before.bundle().counter, "the bundle's counter fell");
    ensure!(now.starts >= before.starts && now.receipts >= before.receipts, "a count fell");
    for name in REMEMBERED {
        let [before, now] = [before, now].map(|record| record.version(&Text::lossy(name)));
        ensure!(now >= before, "the version of {name} fell from {before} to {now}");
    }
    Ok(())
}

/// The metadata that a device trusts.
///
/// # Errors
/// If it cannot be read.
pub fn trusted(device: &Device) -> anyhow::Result<Vec<Document>> {
    seen::documents(&device.path("state/tuf")).context("the metadata that is trusted")
}

/// The slot that the loader starts, now and if the trial's boots were used up.
fn starts(device: &Device, stage: &Stage, record: &Record, boot: &BootState) -> anyhow::Result<()> {
    for slot in [choose(boot).0, boot.active] {
        held(device, stage, slot).with_context(|| format!("slot {slot} is started: {boot:?}"))?;
    }
    let active = held(device, stage, boot.active)?;
    ensure!(
        record.floor() <= active.counter,
        "the floor {} is above the active image {}",
        record.floor(),
        active.counter
    );
    Ok(())
}

fn claims(device: &Device, stage: &Stage, record: &Record, boot: &BootState) -> anyhow::Result<()> {
    let said = [Some(&record.installed), record.previous.as_ref()];
    for installed in said.into_iter().flatten() {
        holds(device, installed.slot, installed.sha256).context("the security state's own word")?;
    }
    match &record.state {
        State::Fetching(fetching) => {
            let job = &fetching.job;
            let image = stage.image(job.cleared.image.sha256)?;
            let slot = std::fs::read(device.slot(job.slot)).unwrap_or_default();
            let synced = usize::try_from(fetching.offset)?;
            let same = slot.get(..synced).is_some_and(|held| image.bytes.get(..synced) == Some(held));
            ensure!(same, "of {synced} synced bytes of slot {} some are gone", job.slot);
        }
        State::Written(written) => holds(device, written.job.slot, written.job.cleared.image.sha256)?,
        State::Waiting(job) | State::Armed(job) => holds(device, job.slot, job.cleared.image.sha256)?,
        State::Trial(trial) => holds(device, trial.job.slot, trial.job.cleared.image.sha256)?,
        State::Reverting(reverting) => {
            holds(device, reverting.job.slot, reverting.job.cleared.image.sha256)?;
        }
        State::Idle | State::Confirmed(_) | State::RolledBack(_) | State::Failed(_) => {}
    }
    let too_early = matches!(record.state, State::Fetching(_) | State::Written(_) | State::Waiting(_));
    ensure!(boot.trial.is_none() || !too_early, "a trial is armed in {:?}: {boot:?}", record.state);
    Ok(())
}

/// The signed image that a slot holds, whole.
fn held<'s>(device: &Device, stage: &'s Stage, slot: Slot) -> anyhow::Result<&'s Image> {
    let bytes = std::fs::read(device.slot(slot))?;
    stage.image(Sha256::of(&bytes)).with_context(|| format!("slot {slot} of {} bytes", bytes.len()))
}

fn holds(device: &Device, slot: Slot, sha256: Sha256) -> anyhow::Result<()> {
    let found = Sha256::of(&std::fs::read(device.slot(slot))?);
    ensure!(found == sha256, "slot {slot} holds {found}, and {sha256} is claimed");
    Ok(())
}

/// Whether the update after so many receipts has ended: nothing of it is under way, and its receipt is there.
#[must_use]
pub fn is_over(device: &Device, receipts: usize) -> bool {
    let state = device.path("state");
    let idle = seen::records(&state).last().is_some_and(|newest| newest.record.state == State::Idle);
    idle && seen::receipts(&state).is_ok_and(|kept| kept.len() > receipts)
}

/// Judges an update that has ended; says whether it was confirmed.
///
/// # Errors
/// What is wrong with it.
pub fn end(device: &Device, stage: &Stage, may_confirm: bool) -> anyhow::Result<bool> {
    let state = device.path("state");
    let receipts = seen::receipts(&state)?;
    ensure!(receipts.len() == stage.receipts + 1, "{} receipts of one update", receipts.len());
    let receipt = receipts.last().context("counted just now")?;
    let copies = seen::records(&state);
    let record = &copies.last().context("no copy of the security state is whole")?.record;
    let confirmed = receipt.outcome == Outcome::Confirmed;
    ensure!(confirmed || receipt.outcome == Outcome::RolledBack, "the outcome is {:?}", receipt.outcome);
    ensure!(may_confirm || !confirmed, "an image that is not well was confirmed");
    let image = if confirmed { &stage.new } else { &stage.middle };
    ensure!(record.installed.sha256 == image.sha256, "installed is not what the receipt says");
    ensure!(record.floor() == image.counter, "the floor is {}, not {}", record.floor(), image.counter);
    let boot = device.boot_state()?;
    let settled = boot.trial.is_none() && boot.active == record.installed.slot;
    ensure!(settled, "the boot control is not settled: {boot:?}");
    Ok(confirmed)
}
