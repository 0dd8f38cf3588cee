//! What there is to know of a MUD file that can be read: warnings, each with what to do.
//!
//! Warnings refuse nothing: a device can be judged by the file all the same. Read next: [`super::compile`], whose notes
//! they are for the most part.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::telemetry::Direction;

use super::compile::{Remark, Site, compile};
use super::{BELOW, MudFile};

/// One warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it is about: an entry with its list, or a field.
    pub place: String,
    /// What it is, and what to do.
    pub sentence: String,
}

/// The warnings about a file at a site, in the order of the file.
#[must_use]
pub fn check(file: &MudFile, site: &Site) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |place: &str, sentence: &str| {
        warnings.push(Warning { place: place.to_string(), sentence: sentence.to_string() });
    };
    if !file.url.starts_with("https://") {
        warn("mud-url", "is no https URL, which RFC 8520 demands: managers will not fetch it");
    }
    if !(1..=168).contains(&file.cache_hours) {
        warn("cache-validity", "is not within 1 to 168 hours: write a number within");
    }
    if !file.supported {
        warn(
            "is-supported",
            "is false: the maker says it looks after this device no more, plan its replacement",
        );
    }
    if file.from_device.is_empty() {
        warn(
            "from-device-policy",
            "names no list: nothing that the device sends is described, all of it is a finding",
        );
    }
    if file.to_device.is_empty() {
        warn("to-device-policy", "names no list: nothing that is sent to the device is described");
    }
    if !file.words.iter().any(|(word, _)| *word == "mud-signature") {
        warn("mud-signature", "is missing: whoever fetches the file cannot find its signature");
    }
    for extension in file.extensions.iter().filter(|name| *name != "masa" && *name != BELOW) {
        warn("extensions", &format!("`{extension}` is not known here, what it adds is passed over"));
    }
    for name in &file.passed_over {
        warn(name, "is not known here and is passed over");
    }
    let used = |name: &String| file.from_device.contains(name) || file.to_device.contains(name);
    for list in file.lists.iter().filter(|list| !used(&list.name)) {
        warn(&list.name, "is named by no policy and says nothing: name it or take it out");
    }
    for says in [Direction::Outbound, Direction::Inbound] {
        let empty = file.lists_of(says).filter(|list| list.entries.is_empty());
        for list in empty {
            warn(&list.name, "has no entries: nothing passes by it");
        }
    }
    for note in compile(file, site).notes {
        warn(&note.entry, &sentence(&note.what));
    }
    warnings
}

/// A remark in words, with what to do.
#[must_use]
pub fn sentence(remark: &Remark) -> String {
    match remark {
        Remark::Frames => {
            "is about frames, not about connections: it is not judged here, a switch may".to_string()
        }
        Remark::Protocol(number) => {
            format!("is about protocol {number} of IP, which has no connections: it is not judged here")
        }
        Remark::Never(why) => format!("never fits: {why}"),
        Remark::Unseen(what) => {
            format!("asks for `{what}`, which a record of connections does not show: it is judged without")
        }
        Remark::Unbound(class) => {
            format!(
                "is for `{class}`: until it is bound, any local machine counts (bind it with --bind {class}=ADDRESS)"
            )
        }
        Remark::Anything => "has no conditions: everything passes, narrow it or take it out".to_string(),
    }
}
