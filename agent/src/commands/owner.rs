//! A change of owner at the device: judged, prepared, the present owner left, and then one stored record that changes whom
//! the device obeys.
//!
//! Until that record is stored the present owner is obeyed, after it the new one; whatever dies in between is done by
//! running the command again. The former owner's metadata stays aside, so that nothing falls when it comes back; its
//! identity, profile and spool go. Nothing is decided here. Read next: `cordon_proto::update::handover`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use cordon_agent_core::interlock::{Silence, allows};
use cordon_agent_core::update::Owner;
use cordon_proto::checkin::InterlockState;
use cordon_proto::ids::Sha256;
use cordon_proto::update::handover::{By, Case, Presence, Refused, judge, newer_of};
use cordon_proto::update::release::{InterlockClass, Needs};
use cordon_proto::update::{AtRoot, Trusted};
use cordon_proto::{limits, wire};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::local;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::files::{self, Folder};
use crate::identity::Identity;
use crate::interlock::{Shared, Socket};
use crate::run::leaving;
use crate::run::ports;
use crate::run::setup::{self, Base};
use crate::run::tuf::{self, DIRECTOR, ROOT};

/// How long the device's own software gets to say that it is not in use.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same where the maker lets it reboot without such a word.
const SHORT_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at what it says.
const LOOK: Duration = Duration::from_millis(200);

/// What a person brought: the new owner's root, and the change of owner.
struct Brought {
    root: Vec<u8>,
    file: Vec<u8>,
}

/// What is asked of the machine, and done at it.
trait AtDevice {
    /// Whether the person is the machine's administrator.
    fn is_root(&self) -> bool;
    /// Whether the device is not in use.
    fn is_free(&self, class: InterlockClass) -> anyhow::Result<bool>;
    /// Leaves the present owner: farewell, then wiped.
    fn leave(&self, base: &Base, identity: &Identity) -> anyhow::Result<()>;
}

/// Obeys another owner from now on.
pub(super) fn hand_over(config: &Config, root: &Path, file: &Path) -> anyhow::Result<()> {
    let brought = Brought {
        root: files::read_file(root, limits::DEVICE_ROOT_BYTES)?,
        file: files::read_file(file, limits::HAND_OVER_BYTES)?,
    };
    change(&local::alone(config)?, config, &brought, &Here(config))?;
    println!("this device obeys its new owner; enrol it with that owner's join file");
    Ok(())
}

fn change(base: &Base, config: &Config, brought: &Brought, here: &dyn AtDevice) -> anyhow::Result<()> {
    let (mut record, store, installer) = setup::security(&base.state, ports::installer(config));
    let Some(mut store) = store else {
        bail!("{}", installer.err().map(|blocked| blocked.sentence.to_string()).unwrap_or_default())
    };
    base.clock.floor().raise(record.latest());
    let now = base.clock.now();
    let tuf = base.state.inside("tuf")?;
    let present = tuf.inside(&record.owners(DIRECTOR))?.read(ROOT, limits::DEVICE_ROOT_BYTES)?;
    let present = present.context(
        "no director root is trusted here yet; `cordon-agent trust-director FILE` does it without a hand-over",
    )?;
    if present == brought.root {
        return Ok(());
    }
    let identity = base.home.held()?.map(|held| held.identity);
    let shipped = config.image_root.iter();
    let makers: Vec<Trusted<AtRoot>> =
        shipped.filter_map(|(name, file)| tuf::maker_root(&tuf, (name, file), now)).collect();
    let case = Case {
        device: &record.device(&config.hardware),
        present: &present,
        makers: &makers,
        brought: &brought.root,
        last: record.owner().map(|owner| owner.issued),
        loopback: identity.as_ref().is_some_and(|identity| tuf::is_loopback(&identity.site.host)),
    };
    // A refusal is a sentence from here on: its type would bring the printing of all that it can hold.
    let told = |refused: Refused| anyhow!("{refused}");
    let judged = judge(&brought.file, &case, &tuf::rules(now)).map_err(told)?;
    let presence = match judged.by() {
        By::Owner => Presence::default(),
        By::Maker => {
            let (forgotten, root) = (identity.is_none() && !base.home.waits()?, here.is_root());
            let free = forgotten && root && here.is_free(record.installed.interlock)?;
            Presence { forgotten, root, free }
        }
    };
    let issued = judged.complete(presence).map_err(told)?.issued;
    let (place, newer) = place(&tuf, &brought.root, base)?;
    if !record.change_owner(Owner { place, issued }) {
        bail!("an update is under way; let the agent end it and report first");
    }
    let folder = tuf.inside(&record.owners(DIRECTOR))?;
    if newer {
        tuf::keep_root(&folder, &brought.root)?;
    } else {
        tuf::keep_name(&folder, &brought.root)?;
    }
    match identity {
        Some(identity) => here.leave(base, &identity)?,
        None => leaving::wipe(&base.state, &base.home)?,
    }
    store.store(&wire::write(&record)).map_err(|error| anyhow!("{error}"))
}

/// Where the new owner's metadata is kept: where it was if it comes back, and whether the root that was brought is to be
/// kept there as the newer one.
fn place(tuf: &Folder, root: &[u8], base: &Base) -> anyhow::Result<(Option<Sha256>, bool)> {
    let hash = Sha256::of(root);
    let mut follows = None;
    for name in tuf.names()? {
        let place = match name.strip_prefix(DIRECTOR) {
            Some("") => None,
            Some(rest) => rest.strip_prefix('-').and_then(|hash| hash.parse().ok()),
            None => continue,
        };
        let folder = tuf.inside(&name)?;
        let Some(held) = folder.read(ROOT, limits::DEVICE_ROOT_BYTES)? else { continue };
        // Trusted before, however many keys were exchanged since: what is held of that owner stays.
        if tuf::is_owners(&folder, &hash)? {
            return Ok((place, false));
        }
        let newer = newer_of(&held, root, &tuf::rules(base.clock.now()));
        follows = follows.or(newer.map(|newer| (place, newer == root)));
    }
    Ok(follows.unwrap_or((Some(hash), true)))
}

/// This machine.
struct Here<'a>(&'a Config);

impl AtDevice for Here<'_> {
    fn is_root(&self) -> bool {
        rustix::process::geteuid().is_root()
    }

    fn is_free(&self, class: InterlockClass) -> anyhow::Result<bool> {
        eprintln!("cordon-agent: waiting for the device's own software to say that it is not in use");
        // Whoever stands here knows whether an idle device is idle; where a person is asked, the word comes over the socket.
        let free = |state, released| allows(class, Needs::None, (state, Silence { released, idle: true }));
        let patience = if free(InterlockState::Unknown, false) { SHORT_PATIENCE } else { PATIENCE };
        let (state, released) = local::wait_for(&local::runtime()?, said(self.0, patience))?;
        Ok(free(state, released))
    }

    fn leave(&self, base: &Base, identity: &Identity) -> anyhow::Result<()> {
        local::take_leave(base, self.0, identity)
    }
}

/// What the device's own software says at the interlock's socket, and whether a person released it there; no agent runs
/// that would serve it.
async fn said(config: &Config, patience: Duration) -> anyhow::Result<(InterlockState, bool)> {
    let shared = Shared::new(Arc::new(SystemClock::new()));
    let socket = Socket::bind(&setup::interlock_path(config))?;
    let (_stop, stopped) = watch::channel(false);
    let word = async {
        loop {
            match (shared.state(), shared.silence().released) {
                (InterlockState::Unknown, false) => sleep(LOOK).await,
                word => return word,
            }
        }
    };
    Ok(tokio::select! {
        () = socket.serve(shared.clone(), stopped) => (InterlockState::Unknown, false),
        word = timeout(patience, word) => word.unwrap_or((InterlockState::Unknown, false)),
    })
}

#[cfg(test)]
mod tests;
