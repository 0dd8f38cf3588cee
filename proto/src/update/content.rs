//! Content: settings and thresholds as the owner's `content` role signs them. Data, never code.
//!
//! A content is a closed document: each version of it names its fields once, in [`FIELDS`] and its sisters, and a
//! document with a field more or a field fewer is refused as a whole. What is `null` is left as the device has it. Every
//! number is bounded in `limits`, so that no content can silence a detector or a device. It can name no root, floor,
//! interlock or server, and its windows are only ever cut with those of an order. Read next: [`assign`] for whom a
//! content is for and whether a device takes it.

use alloc::vec::Vec;

use super::unreadable::{Unreadable, bounded, parsed, version_one};
use super::window::Window;
use crate::canonical::{FieldError, FieldProblem, Fields, Value};
use crate::ids::{Name, Text};
use crate::limits;

pub mod assign;

pub use assign::{
    Admitted, Assignment, ContentCase, ContentRefusal, DocumentError, Taken, admit, decide_content,
    read_document,
};

/// The fields of a document of version 1: all of them, and no other.
const FIELDS: [&str; 7] = ["v", "id", "version", "model", "settings", "detectors", "windows"];
/// The fields of `settings`.
const SETTINGS: [&str; 1] = ["checkin_s"];
/// The detectors that take thresholds.
const DETECTORS: [&str; 2] = ["beacon", "allow-list"];
/// The thresholds of `beacon`.
const BEACON: [&str; 2] = ["starts", "score"];
/// The thresholds of `allow-list`.
const ALLOW_LIST: [&str; 1] = ["networks"];

/// One content document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its name in the owner's document.
    pub id: Name,
    /// Its version: of two that reach a device, the higher one counts.
    pub version: u64,
    /// The model it is for.
    pub model: Text,
    /// How the device behaves.
    pub settings: Settings,
    /// When its detectors speak.
    pub detectors: Detectors,
    /// When it may reboot at all; `None` leaves that to the orders, an empty list means never.
    pub windows: Option<Vec<Window>>,
}

/// How a device behaves. `None` leaves it as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Seconds between two check-ins at least; the server may ask for more.
    pub checkin_s: Option<u32>,
}

/// When the detectors speak. `None` leaves a threshold as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detectors {
    /// `beacon.starts`: connections below which there is no rhythm.
    pub beacon_starts: Option<u32>,
    /// `beacon.score`: thousandths from which a rhythm is reported.
    pub beacon_score: Option<u32>,
    /// `allow-list.networks`: networks on one service from which on a further one is no news by itself.
    pub wide_networks: Option<u32>,
}

/// Why a content cannot be read here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// It is longer than a content ever is.
    #[error("the content has more than {} bytes", limits::CONTENT_BYTES)]
    TooLong,
    /// It is no strict JSON.
    #[error("the content is no JSON that is read here: {0}")]
    Json(crate::canonical::ParseError),
    /// A field is unknown, missing or out of its bounds.
    #[error("{0}")]
    Field(#[from] Unreadable),
}

impl From<FieldError> for ContentError {
    fn from(error: FieldError) -> Self {
        Self::Field(error.into())
    }
}

impl Content {
    /// Reads a document.
    ///
    /// # Errors
    /// The first field that is unknown, missing or out of its bounds.
    pub fn read(bytes: &[u8]) -> Result<Self, ContentError> {
        if bytes.len() > limits::CONTENT_BYTES {
            return Err(ContentError::TooLong);
        }
        let document = Value::parse(bytes, limits::CONTENT_BYTES).map_err(ContentError::Json)?;
        let fields = document.map()?;
        // The version first: a later one may have other fields, and is refused for that and not for them.
        version_one(&fields)?;
        exactly(&fields, &FIELDS)?;
        let settings = fields.map("settings")?;
        exactly(&settings, &SETTINGS)?;
        Ok(Self {
            id: parsed(&fields, "id", "a content's name")?,
            version: bounded(&fields, "version", 1, u64::MAX)?,
            model: parsed(&fields, "model", "a model's name of 1 to 256 characters")?,
            settings: Settings { checkin_s: number(&settings, "checkin_s", limits::CONTENT_CHECKIN_S)? },
            detectors: Detectors::read(&fields.map("detectors")?)?,
            windows: windows(&fields)?,
        })
    }

    /// The document, to be signed.
    #[must_use]
    pub fn value(&self) -> Value {
        let Detectors { beacon_starts, beacon_score, wide_networks } = self.detectors;
        let beacon = [("starts", Value::from(beacon_starts)), ("score", beacon_score.into())];
        let detectors = [
            ("beacon", Value::object(beacon)),
            ("allow-list", Value::object([("networks", Value::from(wide_networks))])),
        ];
        let windows = self.windows.as_ref().map(|windows| Value::list(windows.iter().map(Window::value)));
        Value::object([
            ("v", Value::from(1_u64)),
            ("id", self.id.as_str().into()),
            ("version", self.version.into()),
            ("model", self.model.as_str().into()),
            ("settings", Value::object([("checkin_s", Value::from(self.settings.checkin_s))])),
            ("detectors", Value::object(detectors)),
            ("windows", windows.into()),
        ])
    }
}

impl Detectors {
    fn read(fields: &Fields<'_>) -> Result<Self, Unreadable> {
        exactly(fields, &DETECTORS)?;
        let beacon = fields.map("beacon")?;
        exactly(&beacon, &BEACON)?;
        let allow_list = fields.map("allow-list")?;
        exactly(&allow_list, &ALLOW_LIST)?;
        Ok(Self {
            beacon_starts: number(&beacon, "starts", limits::CONTENT_BEACON_STARTS)?,
            beacon_score: number(&beacon, "score", limits::CONTENT_BEACON_SCORE)?,
            wide_networks: number(&allow_list, "networks", limits::CONTENT_WIDE_NETWORKS)?,
        })
    }
}

/// Demands these fields, all of them and no other: what a document defines and what it gives must be the same.
fn exactly(fields: &Fields<'_>, names: &[&str]) -> Result<(), Unreadable> {
    fields.only(names)?;
    for name in names {
        fields.value(name)?;
    }
    Ok(())
}

/// A number within its bounds, or `null`.
fn number(fields: &Fields<'_>, name: &str, [least, most]: [u32; 2]) -> Result<Option<u32>, Unreadable> {
    if *fields.value(name)? == Value::Null {
        return Ok(None);
    }
    let number = bounded(fields, name, least.into(), most.into())?;
    let number = u32::try_from(number).map_err(|_| fields.error(name, FieldProblem::Range))?;
    Ok(Some(number))
}

fn windows(fields: &Fields<'_>) -> Result<Option<Vec<Window>>, Unreadable> {
    if *fields.value("windows")? == Value::Null {
        return Ok(None);
    }
    Window::read_all(fields).map(Some)
}

#[cfg(test)]
mod tests;
