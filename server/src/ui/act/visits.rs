//! The wording of service visits: announcing one, ending it before its time.
//!
//! Each text says that nothing is hidden and no score changes. Read next: [`super::Act`].

use super::{Act, Input};
use crate::ui::{Said, paths};

/// The fields of the form that announces a visit: name, label, note.
const FIELDS: [(&str, &str, &str); 5] = [
    ("filter", "For which devices", "NAME=VALUE; several parted by semicolons: ward=ICU 2; model=VP-3"),
    ("who", "Who comes", "a person and a firm"),
    ("ticket", "Ticket or work order", "if there is one"),
    ("from", "From", "UTC, such as 2027-03-01T08:00:00Z; empty: now"),
    ("until", "Until", "UTC, at most 14 days later"),
];

impl Act {
    /// Announcing a service visit, with what was typed before.
    #[must_use]
    pub fn announce_visit(typed: impl Fn(&str) -> String) -> Self {
        let text = "Findings of these devices that begin while it lasts are tied to it and stand lower in the list. They \
                    are kept, and stay in the score; a critical one is not lowered.";
        let inputs = FIELDS.map(|(name, label, note)| Input { name, label, note, value: typed(name) });
        let act = Self::new(
            "Announce a service visit?".into(),
            text,
            paths::NEW_VISIT.into(),
            paths::VISITS.into(),
        );
        Self { inputs: inputs.into(), reason_label: "What for", confirm: "Announce it".into(), ..act }
    }

    /// Ending one before its time.
    #[must_use]
    pub fn end_visit(id: &str, who: &Said) -> Self {
        let text = "What begins from now on is not tied to it. What began while it lasted stays tied.";
        let title = format!("End the visit of {who} now?");
        let act = Self::new(title, text, paths::end_visit(id), paths::VISITS.into());
        Self { confirm: "End it".into(), ..act }
    }
}
