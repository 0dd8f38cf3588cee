//! What an owner's list of assets says of a device, beside what the device itself says.
//!
//! A list is a person's word: it proves nothing, opens no door, and changes no identity. Names of machines are not
//! kept, because people's names stand in them. Read next: [`crate::assets`] for how a list comes in.

use core::net::IpAddr;

use cordon_proto::ids::{Hardware, Name, Text};
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Device, State, is_unknown};

/// What a list of assets says of one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetRecord {
    /// The list, by the owner's name for it.
    pub list: Name,
    /// The owner's number for the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Text>,
    /// The version of its software, as somebody once wrote it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Text>,
    /// Where the list says that it stands, in its own words; the placement is the ward that people made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<Text>,
    /// Its address in the network, in the one form of `IpAddr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<Text>,
    /// Its hardware address, as `00:1b:44:11:3a:b7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Text>,
    /// When the list last said something new of it.
    pub imported: Timestamp,
    /// Since when the list names it no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlisted: Option<Timestamp>,
}

impl Device {
    /// What people call it: its serial, else its number in a list of assets.
    #[must_use]
    pub fn called(&self) -> &Text {
        let serial = &self.hardware.serial;
        let tag = self.asset.as_ref().and_then(|asset| asset.tag.as_ref());
        if is_unknown(serial) { tag.unwrap_or(serial) } else { serial }
    }

    /// Whether it is known from a list alone: it holds no identity and can ask for nothing.
    #[must_use]
    pub fn is_listed_only(&self) -> bool {
        self.state == State::Listed
    }

    /// Whether it is known from a list alone, as the very thing that states this hardware.
    #[must_use]
    pub fn is_listed_as(&self, hardware: &Hardware) -> bool {
        self.is_listed_only() && is_same_thing(&self.hardware, hardware)
    }
}

/// Whether two statements are about one thing: same maker, model and serial, whatever the case in which a person typed
/// them. A maker that one of them does not say differs from none; a model or serial that nobody says is no likeness.
#[must_use]
pub fn is_same_thing(one: &Hardware, other: &Hardware) -> bool {
    let makers = (&one.manufacturer, &other.manufacturer);
    let unsaid = is_unknown(makers.0) || is_unknown(makers.1);
    (unsaid || is_like(makers.0, makers.1))
        && is_like(&one.model, &other.model)
        && is_like(&one.serial, &other.serial)
}

/// Whether two names are the same but for case, and are names at all.
pub(crate) fn is_like(one: &Text, other: &Text) -> bool {
    !is_unknown(one) && one.as_str().trim().eq_ignore_ascii_case(other.as_str().trim())
}

/// An address in its one form; `None` for what is none.
#[must_use]
pub fn ip(cell: &str) -> Option<Text> {
    let address: IpAddr = cell.trim().parse().ok()?;
    alloc::format!("{address}").parse().ok()
}

/// A hardware address in its one form; `None` for what is none. Colons, dashes, dots or nothing between the digits.
#[must_use]
pub fn mac(cell: &str) -> Option<Text> {
    let is_plain = |sign: char| sign.is_ascii_hexdigit() || matches!(sign, ':' | '-' | '.');
    let cell = cell.trim();
    let digits: alloc::vec::Vec<char> = cell.chars().filter(char::is_ascii_hexdigit).collect();
    if digits.len() != 12 || !cell.chars().all(is_plain) {
        return None;
    }
    let mut text = alloc::string::String::with_capacity(17);
    for (place, digit) in digits.into_iter().enumerate() {
        if place > 0 && place % 2 == 0 {
            text.push(':');
        }
        text.push(digit.to_ascii_lowercase());
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_form_and_what_is_none_is_not_kept() {
        // Goal: no free text passes as an address. Method: spellings of one, and what people write instead.
        let text = |text: &str| Some(Text::lossy(text));
        for cell in ["00-1B-44-11-3A-B7", "001b44113ab7", "001b.4411.3ab7", " 00:1b:44:11:3a:b7 "] {
            assert_eq!(mac(cell), text("00:1b:44:11:3a:b7"), "{cell}");
        }
        for cell in ["", "dhcp", "00:1b:44:11:3a", "00:1b:44:11:3a:b7 Meier", "001b44113ab7ff"] {
            assert_eq!(mac(cell), None, "{cell}");
        }
        assert_eq!((ip("10.1.2.3"), ip("2001:DB8:0::1")), (text("10.1.2.3"), text("2001:db8::1")));
        assert_eq!((ip("dhcp"), ip("10.1.2"), ip("pc-meier")), (None, None, None));
    }
}
