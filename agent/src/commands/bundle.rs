//! `install-bundle`: what a person with a stick does at the device, whether the agent runs or not.
//!
//! Receipts that wait are copied out first. Then the folder is judged exactly as the agent will judge it, without keeping
//! anything, so that every refusal is told while the person is still there; only then is it handed over. The agent
//! judges it again and alone decides. Read next: [`crate::run::carried`], [`crate::stick`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use cordon_agent_core::update::{Record, State};
use cordon_proto::checkin::Blocked;
use cordon_proto::ids::Name;
use cordon_proto::update::bundle::BundleFault;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::local::{clock, runtime, wait_for};
use crate::clock::TrustedClock;
use crate::config::Config;
use crate::files::Folder;
use crate::identity::{Home, Identity};
use crate::run::carried::{self, Looker, Opened};
use crate::run::receipts::{self, Outbox};
use crate::run::tuf::{DIRECTOR, Repositories};
use crate::run::{RunError, setup};
use crate::status::Status;
use crate::stick::Stick;
use crate::store::{Found, SecurityStore};

/// Seconds to wait for the image unless told otherwise.
const WAIT_S: u64 = 3600;
/// Where a copy of what is kept is tried, inside the state folder; the agent has its own.
const TRIED: &str = "bundle-asked";

/// What is handed over, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handing {
    pub(super) folder: PathBuf,
    pub(super) receipts: Option<PathBuf>,
    pub(super) expect_server: bool,
    pub(super) wait_s: u64,
}

impl Handing {
    pub(super) fn of(folder: PathBuf) -> Self {
        Self { folder, receipts: None, expect_server: false, wait_s: WAIT_S }
    }
}

/// Copies the receipts out, judges the folder, hands it over, and waits for the image.
pub(super) fn install(config: &Config, handing: &Handing) -> anyhow::Result<()> {
    let state = Folder::open(&config.state)?;
    let Some(identity) = Identity::load(&Home::of(config, &state)?)? else {
        return Err(RunError::NotEnrolled.into());
    };
    let to = handing.receipts.clone().unwrap_or_else(|| handing.folder.join("receipts"));
    let outbox = SecurityStore::new(state.clone()).owners(receipts::FOLDER);
    let copied = Outbox::new(state.inside(&outbox)?).copy_into(&identity, &to)?;
    println!("{copied} receipts copied to {}", to.display());
    if config.slots.is_none() && config.install.is_none() {
        bail!("this device takes no updates: its configuration names no slots and boot control");
    }
    let stick = Arc::new(Stick::open(&handing.folder).map_err(told)?);
    wait_for(&runtime()?, hand(config, handing, (&state, &identity), &stick))
}

async fn hand(
    config: &Config,
    handing: &Handing,
    (state, identity): (&Folder, &Identity),
    stick: &Arc<Stick>,
) -> anyhow::Result<()> {
    let record = record(state)?;
    let clock = clock(config);
    clock.floor().raise(record.latest());
    let beside = setup::beside(state)?;
    let opened = judge(config, (state, identity), stick, (&record, &clock)).await?;
    let order = &opened.offer.order;
    if is_confirmed(&record, order) {
        println!("order {order} is carried out here: counter {} runs", record.installed.counter);
        return Ok(());
    }
    let verdict = opened.evidence.verdict(&record, &config.hardware, clock.now());
    verdict.outcome.map_err(|why| said(&why.blocked()))?;
    carried::may_begin(&opened, handing.expect_server).map_err(told)?;
    stick.measure().map_err(told)?;
    stick.copy_into(state)?;
    drop(beside);
    println!("order {order} is handed to the agent; leave the stick in until the image is taken");
    taken(state, order, handing.wait_s).await
}

/// The judgement of the agent, nothing of it kept.
async fn judge(
    config: &Config,
    (state, identity): (&Folder, &Identity),
    stick: &Arc<Stick>,
    (record, clock): (&Record, &TrustedClock),
) -> anyhow::Result<Opened> {
    let (nobody, _) = mpsc::channel(1);
    let site = (identity.site.director_root, identity.site.host.as_str());
    let tuf = (state.inside("tuf")?, record.owners(DIRECTOR));
    let repositories = Repositories::new(tuf, config.image_root.clone(), site, nobody);
    let (now, monotonic) = (clock.now(), clock.monotonic());
    let looker = Looker { record, hardware: &config.hardware, now, monotonic };
    let opened = carried::open(&repositories, stick, (state, TRIED), looker).await;
    opened.map_err(|untaken| said(&untaken.blocked))
}

/// Waits until the agent holds the image, as far as it tells.
async fn taken(state: &Folder, order: &Name, wait_s: u64) -> anyhow::Result<()> {
    if !setup::runs(state) {
        println!("the agent does not run; start it, and leave the stick in");
        return Ok(());
    }
    for _ in 0..wait_s {
        let record = record(state)?;
        let held = match record.state {
            State::Idle | State::Fetching(_) | State::Written(_) => false,
            State::Waiting(_)
            | State::Armed(_)
            | State::Trial(_)
            | State::Reverting(_)
            | State::Confirmed(_)
            | State::RolledBack(_)
            | State::Failed(_) => true,
        };
        let ended = record.has_given_up(order) || is_confirmed(&record, order);
        if held || ended {
            println!(
                "the image is taken, the stick may be pulled; the device restarts by itself in its window"
            );
            println!("bring the stick back afterwards for the receipt, with this same command");
            return Ok(());
        }
        if !setup::runs(state) {
            bail!("the agent has ended; start it, and leave the stick in");
        }
        sleep(Duration::from_secs(1)).await;
    }
    let told = Status::read(state)?.map(|status| status.blocked_by).unwrap_or_default();
    match told.first() {
        Some(blocked) => Err(said(blocked)),
        None => Err(anyhow!("the image is not taken yet; the agent goes on, leave the stick in")),
    }
}

fn is_confirmed(record: &Record, order: &Name) -> bool {
    record.confirmed.as_ref().is_some_and(|confirmed| confirmed.order == *order)
}

fn record(state: &Folder) -> anyhow::Result<Record> {
    match SecurityStore::new(state.clone()).load()? {
        Found::Newest { value, .. } => Ok(value),
        Found::Nothing => bail!("the agent has never run here; start it once, then hand the bundle over"),
    }
}

fn told(fault: BundleFault) -> anyhow::Error {
    said(&fault.blocked())
}

fn said(blocked: &Blocked) -> anyhow::Error {
    anyhow!("{} ({})", blocked.sentence, blocked.code)
}

#[cfg(test)]
mod tests;
