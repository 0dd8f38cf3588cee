//! What a person says of a device with a yes to its key, and what that yes would replace.
//!
//! One rule: an approval fills gaps and overwrites nothing. A model or a place that somebody said before (a token, a
//! list, a person, the device itself) stays, field by field, whatever is typed beside the yes: a yes to many keys names
//! one place, and must not move those that stand elsewhere. Ward, zone and place are words about a site: beside another
//! site they would make a place that nobody named, so they count only where the site is unknown or the very same. To
//! move a device is an act of its own. Read next: [`crate::admit`] for the yes itself, [`crate::device::Placement`].

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::ids::{Hardware, Text};
use cordon_proto::time::Timestamp;

use crate::device::{Device, DeviceKind, Placement, State, is_unknown};
use crate::risk::facts::{Impact, Place, Reach, Zone};

#[cfg(test)]
mod tests;

/// What a person says of a device; what they leave out is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// What it is.
    pub model: Option<Text>,
    /// The site.
    pub site: Option<Text>,
    /// The ward or room.
    pub ward: Option<Text>,
    /// What it is for.
    pub kind: Option<DeviceKind>,
    /// Who reaches it over the network.
    pub zone: Option<Zone>,
    /// Who can stand before it.
    pub place: Option<Place>,
    /// Free text.
    pub tags: Vec<Text>,
}

/// Nobody has said what a device is, so nobody can let it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody has said what this device is: state its model with the approval")]
pub struct ModelUnknown;

impl Stated {
    /// The place of a device of which nothing else is known.
    #[must_use]
    pub fn placement(&self) -> Placement {
        self.filled(&Placement::nowhere())
    }

    /// A place with its gaps filled by what was stated.
    #[must_use]
    pub fn filled(&self, known: &Placement) -> Placement {
        let text = |known: &Text, stated: &Option<Text>| {
            stated.clone().filter(|_| is_unknown(known)).unwrap_or_else(|| known.clone())
        };
        // A ward of one site says nothing of a device at another.
        let here = is_unknown(&known.site) || self.site.as_ref() == Some(&known.site);
        let (ward, zone, place) =
            if here { (self.ward.clone(), self.zone, self.place) } else { Default::default() };
        let kind = self.kind.filter(|_| known.kind == DeviceKind::Other).unwrap_or(known.kind);
        // What a failure means follows from what the device is for, unless somebody said it by itself.
        let usual = kind != known.kind && known.impact == Impact::default();
        Placement {
            site: text(&known.site, &self.site),
            ward: text(&known.ward, &ward),
            kind,
            impact: if usual { kind.usual_impact() } else { known.impact.clone() },
            reach: Reach { zone: known.reach.zone.or(zone), place: known.reach.place.or(place) },
            tags: if known.tags.is_empty() { self.tags.clone() } else { known.tags.clone() },
        }
    }

    /// The device with its gaps filled; refused while nobody knows what it is.
    pub fn completed(&self, device: Device) -> Result<Device, ModelUnknown> {
        let known = &device.hardware.model;
        // What a device says of itself is in its certificate request; a person does not overrule it here.
        let model = self.model.clone().filter(|_| !device.stated && is_unknown(known));
        let model = model.unwrap_or_else(|| known.clone());
        if is_unknown(&model) {
            return Err(ModelUnknown);
        }
        let placement = self.filled(&device.placement);
        Ok(Device { hardware: Hardware { model, ..device.hardware.clone() }, placement, ..device })
    }
}

/// What of a place an approval filled in, for the journal: `site St. Anna, ward ICU 2`; empty if nothing.
#[must_use]
pub fn filled_in(before: &Placement, after: &Placement) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut say = |changed: bool, word: &str, what: &dyn core::fmt::Display| {
        if changed {
            said.push(alloc::format!("{word} {what}"));
        }
    };
    say(before.site != after.site, "site", &after.site);
    say(before.ward != after.ward, "ward", &after.ward);
    say(before.kind != after.kind, "for use as", &word(&after.kind));
    say(before.reach.zone != after.reach.zone, "zone", &word(&after.reach.zone));
    say(before.reach.place != after.reach.place, "place", &word(&after.reach.place));
    let tags: Vec<&str> = after.tags.iter().map(Text::as_str).collect();
    say(before.tags != after.tags, "tags", &tags.join(", "));
    said.join(", ")
}

/// Whether a yes to the key that asks would take the place of another key that works: the device has a certificate that
/// has not ended, and is trusted or may be again.
#[must_use]
pub fn replaces_living(device: &Device, now: Timestamp) -> bool {
    let living = device.identity.as_ref().is_some_and(|identity| now <= identity.not_after);
    living && matches!(device.state, State::Active | State::Quarantined)
}

/// A word of one of our own lists, as it is stored.
fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().map(String::from).unwrap_or_default()
}
