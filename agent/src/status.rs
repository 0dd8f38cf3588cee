//! What the agent says of itself: one document, as JSON for programs and as text for whoever stands at the device.
//!
//! The running agent writes it beside its state; `cordon-agent status` reads it back, so it also answers when the agent
//! is stopped or killed. It is a picture, never a source: nothing is ever decided from this file. Read next:
//! [`crate::commands`].

use std::fmt;

use cordon_proto::checkin::{Blocked, InterlockState, UpdateState};
use cordon_proto::farewell::Cause;
use cordon_proto::ids::{DeviceId, HardwareId, Name, Sha256, TargetPath};
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::files::{FileError, Folder};
use crate::identity::Identity;
use crate::identity::farewell::{self, Kept};

/// The file's name in the state folder.
const FILE: &str = "status.json";
/// Bytes of the file.
const FILE_BYTES: usize = 64 * 1024;

/// Everything `status` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// When this was written, by the device's clock, RFC 3339.
    pub written: String,
    /// Whether the agent runs; filled in by whoever reads.
    #[serde(default)]
    pub running: bool,
    /// What is installed; `None` before the agent has looked.
    pub installed: Option<Installed>,
    /// The lowest counter still accepted ("oldest accepted version").
    pub floor: u64,
    /// Why an update does not go on, in the order in which it is checked.
    pub blocked_by: Vec<Blocked>,
    /// Where the update stands.
    pub update: Update,
    /// The site's mirrors, in their order.
    #[serde(default)]
    pub mirrors: Vec<Mirror>,
    /// Clinical use.
    pub interlock: InterlockState,
    /// 0: connections; 1: packet headers; `None`: blind.
    pub sensor_tier: Option<u8>,
    /// Why the tier is not higher, or since when the sensor is blind.
    pub sensor_note: Option<String>,
    /// The learned profile.
    pub profile: Profile,
    /// Who the device is; `None` before enrolment.
    pub identity: Option<IdentityStatus>,
    /// The hardware identity that orders are bound to.
    pub hardware: HardwareId,
    /// The contact with the server.
    pub contact: Contact,
    /// What waits to be sent.
    pub spool: Spool,
    /// Version of the trusted director root; 0: no update is taken.
    pub director_root_version: u64,
    /// The owner's settings and thresholds; `None` while there are none.
    #[serde(default)]
    pub content: Option<Content>,
    /// The files that the image declares: how many are as it says, then the first of those that are not, each with what was found.
    /// Empty where it declares none.
    #[serde(default)]
    pub declared: Vec<String>,
    /// The signs at the machine itself that cannot be looked at, each with the reason.
    #[serde(default)]
    pub unseen: Vec<String>,
    /// The fingerprint of the key that a person is to approve; filled in by whoever reads.
    #[serde(default)]
    pub waiting: Option<Sha256>,
    /// How the device left its owner last; filled in by whoever reads.
    #[serde(default)]
    pub farewell: Option<Kept>,
}

/// What is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// The release, where one names the image.
    pub release: Option<TargetPath>,
    /// Its counter.
    pub counter: u64,
    /// SHA-256 of the running slot, as measured.
    pub hash: Sha256,
    /// The running slot.
    pub slot: String,
}

/// Where the update stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// The state.
    pub state: UpdateState,
    /// The order it is about.
    pub order: Option<Name>,
    /// Bytes of the image already held.
    pub fetched_bytes: u64,
    /// Why the last image came whole although its release has a chunk delta.
    #[serde(default)]
    pub whole: Option<String>,
}

/// A site's mirror.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// Where it is.
    pub url: String,
    /// Why it was left last; `None` while nothing speaks against it.
    pub error: Option<String>,
}

/// The learned profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Peers and services in it.
    pub keys: u32,
    /// Whether it is still being learned.
    pub learning: bool,
}

/// Who the device is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityStatus {
    /// The server's name for it.
    pub id: DeviceId,
    /// Where its key lives.
    pub key_protection: String,
    /// The last second of its certificate, RFC 3339.
    pub not_after: String,
    /// The server it belongs to.
    pub server: String,
    /// When its renewal begins, RFC 3339.
    #[serde(default)]
    pub renews: String,
    /// Why the last renewal failed.
    #[serde(default)]
    pub renewal_error: Option<String>,
    /// Version of the bundle of authorities that is believed; 0 for the pin of the join file.
    #[serde(default)]
    pub authorities: u64,
}

/// The owner's settings and thresholds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// What is applied; `None` while the device goes by its own.
    pub id: Option<Name>,
    /// Its version.
    pub version: u64,
    /// Whether it is on trial.
    pub on_trial: bool,
    /// Whether it narrows the windows of orders.
    pub windows: bool,
    /// Why one was given back or refused.
    pub given_up: Option<Blocked>,
}

/// The contact with the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The last answered check-in, RFC 3339.
    pub last: Option<String>,
    /// Failures since then.
    pub failures: u32,
    /// The last failure: whose fault, and what to do.
    pub error: Option<String>,
}

/// What waits to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spool {
    /// Records waiting.
    pub records: u64,
    /// Records lost, ever; each loss is told to the server.
    pub lost: u64,
    /// What is wrong with its disk.
    pub fault: Option<String>,
}

impl Status {
    /// The status of an agent that has not run yet.
    #[must_use]
    pub fn unborn(hardware: HardwareId, now: Timestamp) -> Self {
        Self {
            written: now.to_string(),
            running: false,
            installed: None,
            floor: 0,
            blocked_by: Vec::new(),
            update: Update { state: UpdateState::Idle, order: None, fetched_bytes: 0, whole: None },
            mirrors: Vec::new(),
            interlock: InterlockState::Unknown,
            sensor_tier: None,
            sensor_note: Some("the agent has not run yet".to_owned()),
            profile: Profile::default(),
            identity: None,
            hardware,
            contact: Contact::default(),
            spool: Spool::default(),
            director_root_version: 0,
            content: None,
            declared: Vec::new(),
            unseen: Vec::new(),
            waiting: None,
            farewell: None,
        }
    }

    /// The status as last written; `None` where none is, or where it is of another version.
    pub fn read(folder: &Folder) -> Result<Option<Self>, FileError> {
        let bytes = folder.read(FILE, FILE_BYTES)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Writes the status; a power cut may take it, that harms nobody.
    pub fn write(&self, folder: &Folder) -> Result<(), FileError> {
        folder.write_lightly(FILE, self.to_json().as_bytes())
    }

    /// The document.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain fields always serialise")
    }

    /// Whether two documents say the same, apart from when.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        *self == Self { written: self.written.clone(), ..other.clone() }
    }
}

impl From<&Identity> for IdentityStatus {
    fn from(identity: &Identity) -> Self {
        Self {
            id: identity.device,
            key_protection: identity.key().protection().to_owned(),
            not_after: identity.not_after.to_string(),
            server: identity.site.authority(identity.site.device_port),
            renews: identity.renews().to_string(),
            renewal_error: None,
            authorities: identity.believed.version,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = if self.running { "runs" } else { "does not run; as of its last word" };
        writeln!(f, "agent      {running}, {}", self.written)?;
        self.write_identity(f)?;
        writeln!(f, "hardware   {}", self.hardware)?;
        self.write_software(f)?;
        self.write_update(f)?;
        self.write_content(f)?;
        self.write_declared(f)?;
        self.write_sensor(f)?;
        self.write_contact(f)
    }
}

impl Status {
    fn write_identity(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(identity) = &self.identity else { return self.write_nobody(f) };
        writeln!(
            f,
            "identity   {} at {}, certificate until {}, key in {}",
            identity.id, identity.server, identity.not_after, identity.key_protection
        )?;
        write!(f, "           renewed from {} on", identity.renews)?;
        match &identity.renewal_error {
            Some(error) => writeln!(f, "; the last try failed: {error}"),
            None => writeln!(f),
        }
    }

    /// Who the device is not any more, or not yet.
    fn write_nobody(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(fingerprint) = self.waiting {
            return writeln!(
                f,
                "identity   waits for a person to approve the key with fingerprint {fingerprint}"
            );
        }
        let Some(farewell) = &self.farewell else {
            return writeln!(
                f,
                "identity   none: run `cordon-agent enrol --with FILE` with the owner's join file"
            );
        };
        let cause = match farewell.cause {
            Cause::Retired => "retired by its owner",
            Cause::Lost => "reported lost by its owner, and wiped",
            Cause::AtDevice => "retired at the device",
        };
        writeln!(f, "identity   none: {} was {cause} on {}", farewell.device, farewell.time)?;
        let handed_in =
            if farewell.handed_in { "the server has it too" } else { "the server may not have it" };
        writeln!(f, "           its signed farewell stands in {}: {handed_in}", farewell::FILE)
    }

    fn write_software(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.installed {
            Some(installed) => {
                let release =
                    installed.release.as_ref().map_or("an image that no release names", TargetPath::as_str);
                writeln!(
                    f,
                    "installed  {release}, counter {}, slot {}, hash {}",
                    installed.counter, installed.slot, installed.hash
                )?;
            }
            None => writeln!(f, "installed  not looked at yet")?,
        }
        writeln!(f, "floor      counter {} is the oldest accepted version", self.floor)
    }

    fn write_update(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.update.state {
            UpdateState::Idle => "no order applies",
            UpdateState::Fetching => "fetching the image",
            UpdateState::Waiting => "written and verified, waiting to reboot",
            UpdateState::Armed => "armed: the next boot tries the new image",
            UpdateState::Trial => "on trial: the new image runs and is not yet confirmed",
            UpdateState::Confirmed => "confirmed",
            UpdateState::RolledBack => "rolled back: the trial failed and the old image runs",
            UpdateState::Refused => "refused",
        };
        match &self.update.order {
            Some(order) => writeln!(f, "update     order {order}: {state}")?,
            None => writeln!(f, "update     {state}")?,
        }
        if self.update.state == UpdateState::Fetching {
            writeln!(f, "           {} bytes held", self.update.fetched_bytes)?;
        }
        if let Some(why) = &self.update.whole {
            writeln!(f, "  whole    the image is fetched whole: {why}")?;
        }
        for Mirror { url, error } in &self.mirrors {
            let error = error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
            writeln!(f, "  mirror   {url}{error}")?;
        }
        for blocked in &self.blocked_by {
            writeln!(f, "  blocked  {} ({})", blocked.sentence, blocked.code)?;
        }
        if self.director_root_version == 0 {
            writeln!(
                f,
                "  blocked  no director root is trusted yet; it comes with enrolment, or by `trust-director`"
            )?;
        }
        let interlock = match self.interlock {
            InterlockState::InUse => "in use",
            InterlockState::Standby => "standby",
            InterlockState::Service => "in service",
            InterlockState::Unknown => "unknown: nobody says whether the device is in use",
        };
        writeln!(f, "interlock  {interlock}")
    }

    fn write_content(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(content) = &self.content else { return Ok(()) };
        let windows = if content.windows { ", narrows the windows of orders" } else { "" };
        match (&content.id, content.on_trial) {
            (Some(id), true) => {
                writeln!(
                    f,
                    "content    {id} version {}, on trial for ten minutes{windows}",
                    content.version
                )?;
            }
            (Some(id), false) => writeln!(f, "content    {id} version {}{windows}", content.version)?,
            (None, _) => writeln!(f, "content    none; the device goes by its own settings")?,
        }
        match &content.given_up {
            Some(why) => writeln!(f, "  given up {} ({})", why.sentence, why.code),
            None => Ok(()),
        }
    }

    fn write_declared(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, line) in self.declared.iter().enumerate() {
            let label = if place == 0 { "files      " } else { "  differs  " };
            writeln!(f, "{label}{line}")?;
        }
        Ok(())
    }

    fn write_sensor(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sensor_tier {
            Some(tier) => write!(f, "sensor     tier {tier}")?,
            None => write!(f, "sensor     blind")?,
        }
        if let Some(note) = &self.sensor_note {
            write!(f, ": {note}")?;
        }
        let learning = if self.profile.learning { ", still learning" } else { "" };
        writeln!(f, "; {} entries in the profile{learning}", self.profile.keys)?;
        for unseen in &self.unseen {
            writeln!(f, "  unseen   {unseen}")?;
        }
        Ok(())
    }

    fn write_contact(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.contact.last {
            Some(last) => writeln!(f, "contact    last answered {last}")?,
            None => writeln!(f, "contact    never answered yet")?,
        }
        if let Some(error) = &self.contact.error {
            writeln!(f, "           {} failures since: {error}", self.contact.failures)?;
        }
        writeln!(f, "spool      {} records wait, {} lost ever", self.spool.records, self.spool.lost)?;
        match &self.spool.fault {
            Some(fault) => writeln!(f, "           {fault}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
