//! Makers whose birth certificates (IDevID, IEEE 802.1AR) count, and for what.
//!
//! A birth certificate proves which device speaks, never that its owner wants it: that is what [`Admit`] says.

use alloc::vec::Vec;

use cordon_proto::ids::{Hardware, Text};
use serde::{Deserialize, Serialize};

use super::{Refused, Request};

/// A maker's anchor, as the owner configured it; its certificates are the adapter's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// What people call it.
    pub name: Text,
    /// Whose devices it vouches for.
    pub manufacturer: Text,
    /// The models that it vouches for; all of the maker's if there are none.
    pub models: Vec<Text>,
    /// Whom it lets in.
    pub admit: Admit,
    /// Whether a request must be bound to its connection.
    pub require_binding: bool,
}

/// Whom a birth certificate lets in by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Admit {
    /// Whoever is on the owner's list.
    #[default]
    Expected,
    /// Everybody.
    All,
    /// Nobody: a person approves each.
    Approval,
}

impl Anchor {
    /// Whether it vouches for this model.
    #[must_use]
    pub fn covers(&self, model: &Text) -> bool {
        self.models.is_empty() || self.models.contains(model)
    }

    /// What the device is made of, by its own word or else by the anchor's and what is known of the serial.
    pub(super) fn hardware(&self, request: &Request, model: Option<&Text>) -> Hardware {
        let only = match self.models.as_slice() {
            [model] => Some(model),
            _ => None,
        };
        let model = model.or(only).cloned().unwrap_or_else(|| Text::lossy(""));
        request.hardware.clone().unwrap_or_else(|| Hardware {
            manufacturer: self.manufacturer.clone(),
            model,
            revision: Text::lossy(""),
            serial: request.serial.clone(),
        })
    }

    /// Whether the request is of the device that the certificate names, and of a kind that the anchor vouches for.
    pub(super) fn fits(&self, born: &Text, request: &Request) -> Result<(), Refused> {
        request.agrees()?;
        if *born != request.serial {
            return Err(Refused::SerialMismatch);
        }
        let Some(hardware) = &request.hardware else { return Ok(()) };
        if hardware.manufacturer != self.manufacturer {
            return Err(Refused::ManufacturerMismatch);
        }
        if !self.covers(&hardware.model) {
            return Err(Refused::ModelMismatch);
        }
        Ok(())
    }
}
