//! What of a check-in is kept: everything that can still be true tomorrow, nothing that ticks.
//!
//! A heartbeat that says nothing new is no write: two reports are compared, and only a difference reaches
//! the store. The device's clock, its uptime and the filling of its spool stay in memory.

use cordon_proto::checkin::{
    Action, CheckinRequest, ContentFault, InterlockState, SensorReport, Software, UpdateReport,
};
use cordon_proto::ids::{Hardware, Name, Sha256, Text};
use serde::{Deserialize, Serialize};

use super::Device;

/// What a device last said of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The boot in which it said so.
    pub boot: u64,
    /// Version of its agent.
    pub agent_version: Text,
    /// What runs, and what it would still accept.
    pub software: Software,
    /// Where its update stands.
    pub update: UpdateReport,
    /// Clinical use.
    pub interlock: InterlockState,
    /// How much of the network its sensor sees.
    pub sensor: SensorReport,
    /// Root of its inventory.
    pub inventory_root: Sha256,
    /// Where its private key lives.
    pub key_protection: Text,
    /// Records that its spool had to drop, ever.
    pub spool_lost: u64,
    /// Version of its content.
    pub content_version: u64,
    /// Version of the director root that it trusts, 0 for none.
    pub director_root_version: u64,
    /// Version of the bundle of authorities that it believes, 0 for its first pin.
    #[serde(default)]
    pub ca_version: u64,
    /// The content that it gave back or does not take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_fault: Option<ContentFault>,
    /// The go that it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wants: Option<Wanted>,
    /// Which running agent said so, if it says that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<Voice>,
}

/// Which running agent speaks, and on which machine; see [`crate::clone`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voice {
    /// SHA-256 of the certificate under which it was said.
    pub leaf: Sha256,
    /// The run.
    pub run: u64,
    /// SHA-256 over the machine's identifier, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Sha256>,
}

/// A go that a device asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The order.
    pub order: Name,
    /// The act.
    pub action: Action,
}

impl Report {
    /// What is kept of a check-in.
    #[must_use]
    pub fn of(request: &CheckinRequest) -> Self {
        Self {
            boot: request.boot,
            agent_version: request.agent_version.clone(),
            software: request.software.clone(),
            update: request.update.clone(),
            interlock: request.interlock,
            sensor: request.sensor.clone(),
            inventory_root: request.inventory_root,
            key_protection: request.key_protection.clone(),
            spool_lost: request.spool_lost,
            content_version: request.content_version,
            director_root_version: request.director_root_version,
            ca_version: request.ca_version,
            content_fault: request.content_fault.clone(),
            wants: request
                .want_permit
                .as_ref()
                .map(|wanted| Wanted { order: wanted.order.clone(), action: wanted.action }),
            voice: None,
        }
    }

    /// The same, with what it says of the agent that speaks under the certificate `leaf`.
    #[must_use]
    pub fn spoken(self, request: &CheckinRequest, leaf: Sha256) -> Self {
        let says = request.run != 0 || request.machine.is_some();
        let voice = says.then_some(Voice { leaf, run: request.run, machine: request.machine });
        Self { voice, ..self }
    }

    /// The machine that it was said on, if it says so.
    #[must_use]
    pub fn machine(&self) -> Option<Sha256> {
        self.voice.as_ref()?.machine
    }
}

/// A device that says it is another one. It keeps its identity; a person has to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the device says it is another model or serial than the one that enrolled: was a disk or an image copied?"
)]
pub struct OtherHardware;

impl OtherHardware {
    /// The word for programs.
    pub const CODE: &str = "hardware_mismatch";
}

impl Device {
    /// The device after it stated its hardware at a check-in.
    ///
    /// Model and serial are what the token was bound to and never move; the manufacturer is fixed by the first
    /// statement; a board may be exchanged.
    pub fn stating(&self, hardware: &Hardware) -> Result<Self, OtherHardware> {
        let same_thing = hardware.model == self.hardware.model && hardware.serial == self.hardware.serial;
        let same_maker = !self.stated || hardware.manufacturer == self.hardware.manufacturer;
        if !(same_thing && same_maker) {
            return Err(OtherHardware);
        }
        Ok(Self { hardware: hardware.clone(), stated: true, ..self.clone() })
    }
}
