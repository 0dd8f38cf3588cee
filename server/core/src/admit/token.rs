//! One-time tokens: what a person asks one for, whom it lets in, how often it has paid.
//!
//! A token is at least 128 random bits, kept as its hash. Its secret is never here. Whether it lets a request in is
//! decided by [`super::decide`]; this file only says what it was made for.

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::ids::{DeviceId, Hardware, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::newcomer::Newcomer;
use super::{Refused, Request};
use crate::device::{Device, Placement, State};

/// The version of the document under `Key::Token`.
pub const VERSION: u32 = 1;

/// An enrolment token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Version of this document.
    pub v: u32,
    /// What it was made for.
    pub order: TokenOrder,
    /// When it was made.
    pub created: Timestamp,
    /// By whom: the actor as the journal writes it.
    pub by: String,
    /// From then on it pays for nothing.
    pub expires: Timestamp,
    /// When a person took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// Certificates it has paid for.
    pub used: u32,
}

/// What a person asks a token for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenOrder {
    /// The devices' maker, where the token should insist on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<Text>,
    /// The kind of device.
    pub model: Text,
    /// One device, or some.
    pub binding: Binding,
    /// Where the devices will stand and what they are for.
    pub placement: Placement,
    /// How long it lives.
    #[serde(default = "default_hours")]
    pub hours: u32,
}

/// Whom a token lets in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Binding {
    /// One device.
    Serial {
        /// Its maker's number.
        serial: Text,
        /// Whether it may come with a new key although it already has an identity (after a factory reset). Only a
        /// person who knows the device should say so.
        #[serde(default)]
        replaces: bool,
    },
    /// That many devices of the model. One that has an identity already is let in by its very key only.
    Count {
        /// How many.
        count: u32,
    },
    /// A known device with a new main board, whose serial is another one: its record goes on.
    Board {
        /// The new board's serial.
        serial: Text,
        /// The device that the board was built into.
        instead_of: DeviceId,
    },
}

fn default_hours() -> u32 {
    limits::TOKEN_HOURS
}

/// Why a token is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderRefused {
    /// No devices, or too many.
    #[error("a token is for 1 to {} devices of a model: make several for more", limits::TOKEN_COUNT)]
    Count,
    /// No life, or too long a one.
    #[error("a token lives 1 to {} hours", limits::TOKEN_HOURS_MAX)]
    Hours,
}

impl Binding {
    /// How many certificates it pays for.
    #[must_use]
    pub fn devices(&self) -> u32 {
        match self {
            Self::Serial { .. } | Self::Board { .. } => 1,
            Self::Count { count } => *count,
        }
    }

    /// The one serial that it is for.
    #[must_use]
    pub fn serial(&self) -> Option<&Text> {
        match self {
            Self::Serial { serial, .. } | Self::Board { serial, .. } => Some(serial),
            Self::Count { .. } => None,
        }
    }

    /// The device whose record a new board takes over.
    #[must_use]
    pub fn instead_of(&self) -> Option<DeviceId> {
        match self {
            Self::Board { instead_of, .. } => Some(*instead_of),
            Self::Serial { .. } | Self::Count { .. } => None,
        }
    }

    /// Whether a person said that a living identity gets another key.
    pub(super) fn replaces(&self) -> bool {
        match self {
            Self::Serial { serial: _, replaces } => *replaces,
            Self::Board { .. } => true,
            Self::Count { .. } => false,
        }
    }
}

impl Token {
    /// A token made to order; who holds its secret is not known here.
    pub fn new(order: TokenOrder, by: String, now: Timestamp) -> Result<Self, OrderRefused> {
        if !(1..=limits::TOKEN_COUNT).contains(&order.binding.devices()) {
            return Err(OrderRefused::Count);
        }
        if !(1..=limits::TOKEN_HOURS_MAX).contains(&order.hours) {
            return Err(OrderRefused::Hours);
        }
        let expires = now.plus_seconds(i64::from(order.hours) * 3600);
        Ok(Self { v: VERSION, order, created: now, by, expires, revoked: None, used: 0 })
    }

    /// The device that a token for one serial announces, so that people see whom they wait for. A new board of a known
    /// device announces nobody: its device is there.
    #[must_use]
    pub fn expected(&self, fresh: DeviceId) -> Option<Device> {
        let Binding::Serial { serial, replaces: _ } = &self.order.binding else { return None };
        let hardware = self.hardware(None, serial);
        let newcomer = Newcomer { hardware, stated: false, placement: self.order.placement.clone() };
        let device = newcomer.device(fresh, State::Expected, self.created);
        Some(Device { reason: Text::lossy("a token was made for it"), ..device })
    }

    /// The bytes under `Key::Token`.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings, integers and lists are always JSON")
    }

    /// Reads stored bytes; `None` for a version that this program does not know.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|token: &Self| token.v == VERSION)
    }

    /// What the device is made of, by its own word or else by the token's.
    pub(super) fn hardware(&self, stated: Option<&Hardware>, serial: &Text) -> Hardware {
        stated.cloned().unwrap_or_else(|| Hardware {
            manufacturer: self.order.manufacturer.clone().unwrap_or_else(|| Text::lossy("")),
            model: self.order.model.clone(),
            revision: Text::lossy(""),
            serial: serial.clone(),
        })
    }

    /// Whether what the request states agrees with what the token was made for.
    pub(super) fn fits(&self, request: &Request) -> Result<(), Refused> {
        request.agrees()?;
        if let Some(hardware) = &request.hardware {
            if hardware.model != self.order.model {
                return Err(Refused::ModelMismatch);
            }
            if self.order.manufacturer.as_ref().is_some_and(|maker| *maker != hardware.manufacturer) {
                return Err(Refused::ManufacturerMismatch);
            }
        }
        match self.order.binding.serial() {
            Some(serial) if *serial != request.serial => Err(Refused::SerialMismatch),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether it can pay for one more certificate.
    pub(super) fn pays(&self, now: Timestamp) -> Result<(), Refused> {
        if now >= self.expires {
            return Err(Refused::TokenExpired);
        }
        if self.used >= self.order.binding.devices() {
            return Err(Refused::TokenUsed);
        }
        Ok(())
    }
}
