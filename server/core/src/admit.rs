//! Who may come in: one-time tokens, what they are bound to, and the decision over one enrolment request.
//!
//! A token is at least 128 random bits, kept as its hash, expires, and pays for one device or a stated number of them.
//! [`decide`] is the whole policy. It never re-keys a device silently: the same serial with another key waits for a
//! person while the old certificate lives on, so a copied token cannot push a device out. A repetition by the same
//! key gets the same certificate, so a lost answer costs nothing. Nothing of the request but key, serial and stated
//! hardware has any weight here. Read next: [`crate::device`] for what comes out.

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::ids::{DeviceId, Hardware, Sha256, Text, TokenId};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::device::{self, Asking, Device, Identity, Placement, SUPERSEDED, Source, State};

#[cfg(test)]
mod tests;

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
    /// That many devices of the model, none of them known already.
    Count {
        /// How many.
        count: u32,
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

/// One request for enrolment, reduced to what may weigh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The hash of the secret that was sent.
    pub token: TokenId,
    /// SHA-256 of the SubjectPublicKeyInfo that was proved.
    pub key: Sha256,
    /// The serial in the certification request.
    pub serial: Text,
    /// What our own agent says the device is made of; other clients say nothing.
    pub hardware: Option<Hardware>,
    /// Where it came from, for people.
    pub from: Text,
}

/// What is stored about the parties of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known<'a> {
    /// The token of that hash.
    pub token: Option<&'a Token>,
    /// The device of the token's model with the request's serial.
    pub device: Option<&'a Device>,
}

/// What becomes of a request that is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It was answered before: hand out this certificate again.
    Same(Sha256),
    /// A certificate is to be made and written down with [`Admitted::with`].
    Issue(alloc::boxed::Box<Admitted>),
}

/// A device that may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    device: Device,
    token: Token,
    request: Request,
}

/// Why nobody comes in. Each is shown to the asking side but [`Refused::UnknownToken`], which says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such token.
    #[error("no such token")]
    UnknownToken,
    /// A person took it back.
    #[error("this token was taken back: ask the owner for a new one")]
    TokenRevoked,
    /// Its time is over.
    #[error("this token has expired: ask the owner for a new one")]
    TokenExpired,
    /// It has paid for all the devices it was made for.
    #[error(
        "this token was used: each device needs its own; if this device never got its certificate, ask for a new token"
    )]
    TokenUsed,
    /// The request is for another serial than the token, or names two serials.
    #[error(
        "the request's serial is not the one that the token is for, or request and stated hardware differ"
    )]
    SerialMismatch,
    /// The device says it is another model.
    #[error("the token is for another model than the device states")]
    ModelMismatch,
    /// The device says it is of another maker.
    #[error("the token is for another manufacturer than the device states")]
    ManufacturerMismatch,
    /// The serial has an identity with another key.
    #[error(
        "a device with this serial already has an identity with another key, which lives on: a person must \
         retire it, or make a token for this serial that says that it replaces"
    )]
    PendingApproval,
}

impl Refused {
    /// The word for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::UnknownToken => "unknown_token",
            Self::TokenRevoked => "token_revoked",
            Self::TokenExpired => "token_expired",
            Self::TokenUsed => "token_used",
            Self::SerialMismatch => "serial_mismatch",
            Self::ModelMismatch => "model_mismatch",
            Self::ManufacturerMismatch => "manufacturer_mismatch",
            Self::PendingApproval => "pending_approval",
        }
    }
}

/// Decides one request.
///
/// `fresh` becomes the name of a device that has none. The caller commits the outcome under the precondition that
/// token and device are still what was read, and decides again when they are not: so a token is used once, however
/// many ask at the same time.
pub fn decide(
    request: Request,
    known: Known<'_>,
    fresh: DeviceId,
    now: Timestamp,
) -> Result<Admission, Refused> {
    let token = known.token.ok_or(Refused::UnknownToken)?;
    if token.revoked.is_some() {
        return Err(Refused::TokenRevoked);
    }
    fits(token, &request)?;
    if let Some(leaf) = known.device.and_then(|device| answered(device, &request, now)) {
        return Ok(Admission::Same(leaf));
    }
    if now >= token.expires {
        return Err(Refused::TokenExpired);
    }
    if token.used >= token.order.binding.devices() {
        return Err(Refused::TokenUsed);
    }
    let device = match known.device {
        None => newcomer(token, &request, fresh),
        Some(device) => returning(device, token, &request)?,
    };
    let token = Token { used: token.used.saturating_add(1), ..token.clone() };
    let device = Device { state: State::Active, since: now, asking: None, ..device };
    Ok(Admission::Issue(alloc::boxed::Box::new(Admitted { device, token, request })))
}

/// The device with the foreign key noted on it; `None` if that key is noted already, so that a loop writes once.
#[must_use]
pub fn contested(device: &Device, request: &Request, now: Timestamp) -> Option<Device> {
    if device.asking.as_ref().is_some_and(|asking| asking.key == request.key) {
        return None;
    }
    let with = Text::lossy(&alloc::format!("token {}", request.token));
    let asking = Asking { key: request.key, at: now, from: request.from.clone(), with, approved: None };
    Some(Device { asking: Some(asking), ..device.clone() })
}

/// Whether what the request states agrees with itself and with what the token was made for.
fn fits(token: &Token, request: &Request) -> Result<(), Refused> {
    if let Some(hardware) = &request.hardware {
        if hardware.serial != request.serial {
            return Err(Refused::SerialMismatch);
        }
        if hardware.model != token.order.model {
            return Err(Refused::ModelMismatch);
        }
        if token.order.manufacturer.as_ref().is_some_and(|maker| *maker != hardware.manufacturer) {
            return Err(Refused::ManufacturerMismatch);
        }
    }
    match &token.order.binding {
        Binding::Serial { serial, replaces: _ } if *serial != request.serial => Err(Refused::SerialMismatch),
        Binding::Serial { .. } | Binding::Count { .. } => Ok(()),
    }
}

/// The certificate that this very request was answered with before.
fn answered(device: &Device, request: &Request, now: Timestamp) -> Option<Sha256> {
    let identity = device.identity.as_ref()?;
    let same = identity.key == request.key && identity.token == Some(request.token);
    (same && device.state == State::Active && now <= identity.not_after).then_some(identity.leaf)
}

fn newcomer(token: &Token, request: &Request, fresh: DeviceId) -> Device {
    Device {
        v: device::VERSION,
        id: fresh,
        hardware: token.hardware_of(request),
        stated: request.hardware.is_some(),
        source: Source::Agent,
        placement: token.order.placement.clone(),
        state: State::Pending,
        since: token.created,
        reason: Text::lossy("enrolled with a token"),
        identity: None,
        next: None,
        superseded: Vec::new(),
        replaced: Vec::new(),
        asking: None,
        doubt: None,
        farewell: None,
        report: None,
        reported: None,
        last_seen: None,
    }
}

/// A serial that is known already.
fn returning(known: &Device, token: &Token, request: &Request) -> Result<Device, Refused> {
    let same_key = known.identity.as_ref().is_some_and(|identity| identity.key == request.key);
    let same_maker = request
        .hardware
        .as_ref()
        .is_none_or(|h| !known.stated || h.manufacturer == known.hardware.manufacturer);
    let welcome = match known.state {
        State::Expected | State::Pending => true,
        State::Active => same_key || token.order.binding.replaces(),
        State::Quarantined => false,
        State::Retired | State::Lost => token.order.binding.is_serial() && token.created >= known.since,
    };
    if !(welcome && same_maker) {
        return Err(Refused::PendingApproval);
    }
    let first = matches!(known.state, State::Expected | State::Pending);
    let newcomer = newcomer(token, request, known.id);
    let hardware =
        if request.hardware.is_some() || first { newcomer.hardware } else { known.hardware.clone() };
    let placement = if first { newcomer.placement } else { known.placement.clone() };
    let stated = newcomer.stated || known.stated;
    Ok(Device {
        hardware,
        placement,
        stated,
        reason: newcomer.reason,
        source: Source::Agent,
        ..known.clone()
    })
}

impl Admitted {
    /// The device that the certificate is for.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Device and token as they are once the certificate is handed out. `leaf` is its SHA-256; `not_after` its end.
    #[must_use]
    pub fn with(self, leaf: Sha256, issued: Timestamp, not_after: Timestamp) -> (Device, Token) {
        let Self { mut device, token, request } = self;
        if let Some(old) = device.identity.take() {
            // No ordinary renewal ends here: a person let this key take the other's place.
            for list in [&mut device.superseded, &mut device.replaced] {
                list.push(old.leaf);
                let surplus = list.len().saturating_sub(SUPERSEDED);
                list.drain(..surplus);
            }
        }
        let (key, token_id) = (request.key, request.token);
        device.identity = Some(Identity { leaf, key, token: Some(token_id), issued, not_after });
        (device, token)
    }
}

impl Binding {
    /// How many certificates it pays for.
    #[must_use]
    pub fn devices(&self) -> u32 {
        match self {
            Self::Serial { .. } => 1,
            Self::Count { count } => *count,
        }
    }

    fn replaces(&self) -> bool {
        match self {
            Self::Serial { serial: _, replaces } => *replaces,
            Self::Count { .. } => false,
        }
    }

    fn is_serial(&self) -> bool {
        match self {
            Self::Serial { .. } => true,
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

    /// The device that a token for one serial announces, so that people see whom they wait for.
    #[must_use]
    pub fn expected(&self, fresh: DeviceId) -> Option<Device> {
        let Binding::Serial { serial, replaces: _ } = &self.order.binding else { return None };
        let request = Request {
            token: TokenId([0; 32]),
            key: Sha256([0; 32]),
            serial: serial.clone(),
            hardware: None,
            from: Text::lossy(""),
        };
        let reason = Text::lossy("a token was made for it");
        Some(Device { state: State::Expected, reason, ..newcomer(self, &request, fresh) })
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
    fn hardware_of(&self, request: &Request) -> Hardware {
        request.hardware.clone().unwrap_or_else(|| Hardware {
            manufacturer: self.order.manufacturer.clone().unwrap_or_else(|| Text::lossy("")),
            model: self.order.model.clone(),
            revision: Text::lossy(""),
            serial: request.serial.clone(),
        })
    }
}
