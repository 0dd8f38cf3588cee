//! Writes `status.json` whenever a role shows something new, and at least after every report.
//!
//! A picture for people: nothing waits for it, nothing is decided from it, and a disk that refuses it costs only the
//! picture. Read next: [`crate::status`].

use std::time::Duration;

use cordon_proto::ids::{HardwareId, Text};
use tokio::sync::watch;
use tokio::time::sleep;

use super::contact::ContactView;
use super::content::Applied;
use super::messages::{SensorView, UpdateView};
use crate::clock::TrustedClock;
use crate::files::Folder;
use crate::link::mirrors::Standing;
use crate::status::{Contact, Content, IdentityStatus, Installed, Mirror, Profile, Spool, Status, Update};

/// Changes that come together are written together.
const TOGETHER: Duration = Duration::from_millis(200);

/// The roles' views.
pub(crate) struct Views {
    pub(crate) sensor: watch::Receiver<SensorView>,
    pub(crate) update: watch::Receiver<UpdateView>,
    pub(crate) contact: watch::Receiver<ContactView>,
    pub(crate) mirrors: watch::Receiver<Vec<Standing>>,
    pub(crate) content: watch::Receiver<Applied>,
}

/// The writer of the status.
pub(crate) struct Telling {
    state: Folder,
    identity: IdentityStatus,
    hardware: HardwareId,
    clock: TrustedClock,
    views: Views,
    written: Option<Status>,
}

impl Telling {
    pub(crate) fn new(
        state: Folder,
        identity: IdentityStatus,
        hardware: HardwareId,
        clock: TrustedClock,
        views: Views,
    ) -> Self {
        Self { state, identity, hardware, clock, views, written: None }
    }

    /// Writes until told to stop, and once more then.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            self.write();
            tokio::select! {
                Ok(()) = self.views.sensor.changed() => {}
                Ok(()) = self.views.update.changed() => {}
                Ok(()) = self.views.contact.changed() => {}
                Ok(()) = self.views.mirrors.changed() => {}
                Ok(()) = self.views.content.changed() => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
            tokio::select! {
                () = sleep(TOGETHER) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.write();
    }

    fn write(&mut self) {
        let status = self.status();
        if self.written.as_ref().is_some_and(|written| written.same_as(&status)) {
            return;
        }
        match status.write(&self.state) {
            Ok(()) => self.written = Some(status),
            Err(error) => tracing::debug!(%error, "the status could not be written"),
        }
    }

    fn status(&mut self) -> Status {
        let sensor = self.views.sensor.borrow_and_update().clone();
        let update = self.views.update.borrow_and_update().clone();
        let contact = self.views.contact.borrow_and_update().clone();
        let mirrors = self.views.mirrors.borrow_and_update().clone();
        let applied = self.views.content.borrow_and_update().clone();
        let told = |one: Standing| Mirror { url: one.url, error: one.fault.map(|fault| fault.to_string()) };
        Status {
            written: self.clock.raw().seconds().to_string(),
            running: true,
            installed: Some(Installed {
                release: update.software.release,
                counter: update.software.counter,
                hash: update.software.sha256,
                slot: update.software.slot.to_string(),
            }),
            floor: update.software.floor,
            blocked_by: update.update.blocked_by,
            update: Update {
                state: update.update.state,
                order: update.update.order,
                fetched_bytes: update.update.fetched_bytes,
                whole: update.whole,
            },
            mirrors: mirrors.into_iter().map(told).collect(),
            interlock: update.interlock,
            sensor_tier: sensor.report.tier,
            sensor_note: sensor.report.note.as_ref().map(Text::to_string),
            profile: Profile { keys: sensor.report.profile_keys, learning: sensor.report.learning },
            identity: contact.identity.or_else(|| Some(self.identity.clone())),
            hardware: self.hardware,
            contact: Contact {
                last: contact.last.map(|at| at.to_string()),
                failures: contact.failures,
                error: contact.error.map(|error| error.to_string()),
            },
            spool: Spool {
                records: sensor.spool_records,
                lost: sensor.spool_lost,
                fault: sensor.spool_fault,
            },
            director_root_version: update.director_root_version,
            content: content(applied),
            declared: sensor.declared,
            unseen: sensor.unseen,
            waiting: None,
            farewell: None,
        }
    }
}

fn content(applied: Applied) -> Option<Content> {
    if applied == Applied::default() {
        return None;
    }
    let Applied { current, on_trial, fault, windows, .. } = applied;
    let (id, version) = current.unzip();
    let given_up = fault.map(|fault| fault.why);
    Some(Content { id, version: version.unwrap_or(0), on_trial, windows: windows.is_some(), given_up })
}
