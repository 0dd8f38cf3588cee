//! The device leaves its owner: it signs a farewell, hands it in if it can, and wipes what it knows.
//!
//! The farewell is on disk before anything is wiped, and the identity goes last, so a leave that died anywhere is known
//! at the next start and goes on. Floor, roots and metadata versions stay, and so do receipts and the farewell itself:
//! they are no secret, and must never fall. It is never begun by anything but the owner's own word over a pinned
//! connection, or by a person at the device. Read next: `cordon_proto::farewell`, [`crate::identity::farewell`].

use std::time::Duration;

use cordon_agent_core::spool::{Bounds, Spool};
use cordon_proto::farewell::{Cause, FarewellBody};
use cordon_proto::ids::{HardwareId, Sha256};
use tokio::time::sleep;

use super::RunError;
use super::content;
use super::sensing;
use super::setup::Base;
use crate::files::Folder;
use crate::identity::farewell::Kept;
use crate::identity::{Home, Identity};
use crate::link::Link;
use crate::stick;
use crate::store::{Found, SecurityStore};

/// Between two tries to hand the farewell in.
const PAUSE: Duration = Duration::from_secs(3);
/// Tries of a device that was retired.
const TRIES: u32 = 3;

/// A device that leaves.
pub(crate) struct Leaver<'a> {
    base: &'a Base,
    hardware: HardwareId,
    identity: &'a Identity,
}

impl<'a> Leaver<'a> {
    pub(crate) fn new(base: &'a Base, hardware: HardwareId, identity: &'a Identity) -> Self {
        Self { base, hardware, identity }
    }

    /// Signs, hands in where there is a link, and wipes. Whatever cannot be done of the first two, the last is done.
    pub(crate) async fn leave(&self, cause: Cause, link: Option<&Link>) -> Result<Option<Kept>, RunError> {
        let mut kept = match self.farewell(cause) {
            Ok(kept) => Some(kept),
            Err(error) => {
                tracing::error!(%error, "the farewell cannot be signed or kept; the device is wiped without it");
                None
            }
        };
        if let (Some(kept), Some(link)) = (&mut kept, link) {
            self.hand_in(kept, link).await;
        }
        wipe(&self.base.state, &self.base.home)?;
        if let Some(kept) = &mut kept {
            kept.wiped = true;
        }
        Ok(kept)
    }

    /// The farewell that stands already if a leave died, or a new one.
    fn farewell(&self, cause: Cause) -> Result<Kept, RunError> {
        if let Ok(Some(kept)) = Kept::read(&self.base.state)
            && kept.is_of(self.identity)
        {
            return Ok(kept);
        }
        let (counter, sha256) = software(&self.base.state);
        let body = FarewellBody {
            device: self.identity.device,
            hardware: self.hardware,
            cause,
            time: self.base.clock.raw().seconds(),
            counter,
            sha256,
            records_unsent: records(&self.base.state),
        };
        let held = self.base.home.held().ok().flatten();
        let ours = self.identity.fingerprint();
        let other = held.as_ref().and_then(|held| held.both().find(|other| other.fingerprint() != ours));
        Ok(Kept::sign(&self.base.state, (self.identity, other), &body)?)
    }

    async fn hand_in(&self, kept: &mut Kept, link: &Link) {
        let Some(farewell) = kept.receipt().filter(|_| !kept.handed_in) else { return };
        // A device that somebody else may hold does not wait.
        let tries = if kept.cause == Cause::Lost { 1 } else { TRIES };
        for left in (0..tries).rev() {
            match link.farewell(&farewell).await {
                Ok(()) => {
                    if let Err(error) = kept.handed_in(&self.base.state) {
                        tracing::warn!(%error, "it cannot be noted that the server has the farewell");
                    }
                    return;
                }
                Err(error) => tracing::warn!(%error, left, "the farewell could not be handed in"),
            }
            if left > 0 {
                sleep(PAUSE).await;
            }
        }
    }
}

/// Removes profile, content, spool, a bundle of the owner, status and identity, the identity last. A farewell that stands is from
/// then on the past.
pub(crate) fn wipe(state: &Folder, home: &Home) -> Result<(), RunError> {
    sensing::forget(state)?;
    stick::forget(state)?;
    content::forget(state)?;
    state.remove("status.json")?;
    home.forget()?;
    match Kept::read(state) {
        Ok(Some(mut kept)) if !kept.wiped => Ok(kept.wiped(state)?),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Ends a leave that died after the last certificate was gone: what came after a whole wipe is never touched.
pub(crate) fn finish(state: &Folder, home: &Home) -> Result<(), RunError> {
    match Kept::read(state) {
        Ok(Some(kept)) if !kept.wiped && home.held()?.is_none() => wipe(state, home),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Counter and hash of what runs; nothing where the security state is lost.
fn software(state: &Folder) -> (u64, Sha256) {
    match SecurityStore::new(state.clone()).load() {
        Ok(Found::Newest { value, .. }) => (value.installed.counter, value.installed.sha256),
        Ok(Found::Nothing) | Err(_) => (0, Sha256([0; 32])),
    }
}

/// Records that wait in the spool.
fn records(state: &Folder) -> u64 {
    let Ok(storage) = sensing::storage(state) else { return 0 };
    Spool::open(storage, Bounds::default(), 1).map_or(0, |spool| spool.health().waiting)
}
