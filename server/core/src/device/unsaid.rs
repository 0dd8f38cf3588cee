//! What nobody has said of a device: one word for it, and the place of a device that has none yet.
//!
//! Models and places come from tokens, lists, people and the devices themselves, and any of them may say nothing. Who
//! may fill such a gap is not decided here. Read next: [`crate::approval`], [`crate::admit`].

use alloc::vec::Vec;

use cordon_proto::ids::Text;

use super::{DeviceKind, Placement};
use crate::risk::facts::{Impact, Reach};

/// The word for what nobody has said; `Text::lossy` of nothing is the same.
const UNKNOWN: &str = "unknown";

/// Whether nobody has said it.
#[must_use]
pub fn is_unknown(text: &Text) -> bool {
    matches!(text.as_str(), "" | UNKNOWN)
}

impl Placement {
    /// A place that a person has still to name.
    #[must_use]
    pub fn nowhere() -> Self {
        Self {
            site: Text::lossy(UNKNOWN),
            ward: Text::lossy(UNKNOWN),
            kind: DeviceKind::Other,
            impact: Impact::default(),
            reach: Reach::default(),
            tags: Vec::new(),
        }
    }

    /// Whether nobody has said anything of it.
    #[must_use]
    pub fn is_nowhere(&self) -> bool {
        let Self { site, ward, kind: DeviceKind::Other, impact, reach, tags } = self else { return false };
        let unsaid = is_unknown(site) && is_unknown(ward);
        unsaid && *impact == Impact::default() && *reach == Reach::default() && tags.is_empty()
    }

    /// Whether its site or its ward is still to be named.
    #[must_use]
    pub fn has_gap(&self) -> bool {
        is_unknown(&self.site) || is_unknown(&self.ward)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_said_is_nowhere_however_it_is_written_and_one_word_is_somewhere() {
        // Goal: one meaning of "not placed yet". Method: the place itself, the text of nothing, and one field said each.
        let nowhere = Placement::nowhere();
        assert!(nowhere.is_nowhere() && nowhere.has_gap());
        assert_eq!(nowhere.site, Text::lossy(""));
        let said = || Text::lossy("St. Anna");
        let ward = Placement { ward: said(), ..nowhere.clone() };
        assert!(!ward.is_nowhere() && ward.has_gap());
        let both = Placement { site: said(), ward: said(), ..nowhere.clone() };
        assert!(!both.is_nowhere() && !both.has_gap());
        assert!(!Placement { kind: DeviceKind::Kiosk, ..nowhere.clone() }.is_nowhere());
        assert!(!Placement { tags: alloc::vec![said()], ..nowhere }.is_nowhere());
    }
}
