//! The wording of accepting a risk: asking for it, a second person's yes, taking it back.
//!
//! Each text says that no score changes and that the end is loud. Read next: [`super::Act`].

use super::{Act, Input};
use crate::ui::{Said, paths};

/// The fields of the form that asks for an exception: name, label, note.
const FIELDS: [(&str, &str, &str); 5] = [
    ("about", "What is accepted", "a weakness, such as CVE-2026-1107, or a rule, such as posture:os-support"),
    ("filter", "For which devices", "NAME=VALUE; several parted by semicolons: model=VP-3; ward=ICU 2"),
    ("owner", "Who carries the risk", "a person or a department"),
    ("control", "What is done instead", "at least 10 characters"),
    ("days", "For how many days", "1 to 366"),
];

impl Act {
    /// Asking to accept a risk, with what was typed before.
    #[must_use]
    pub fn request_exception(typed: impl Fn(&str) -> String) -> Self {
        let text = "It changes no score: it stands beside it, once a second person has said yes. It ends on its day by \
                    itself, and that is announced 30 and 7 days ahead and stays announced until somebody has seen it.";
        let inputs = FIELDS.map(|(name, label, note)| Input { name, label, note, value: typed(name) });
        let act =
            Self::new("Accept a risk?".into(), text, paths::NEW_EXCEPTION.into(), paths::EXCEPTIONS.into());
        Self {
            inputs: inputs.into(),
            reason_label: "Why it is not removed",
            confirm: "Ask a second person".into(),
            ..act
        }
    }

    /// A second person's yes.
    #[must_use]
    pub fn approve_exception(id: &str, about: &str) -> Self {
        let text = "From now on it stands beside the scores of the devices that it covers, with both names. No score \
                    changes. Whoever asked for it cannot approve it.";
        let (action, cancel) = (paths::exception_act(id, "approve"), paths::exception(id));
        Self::new(format!("Accept {} until its day?", Said::from(about)), text, action, cancel)
    }

    /// Taking one back.
    #[must_use]
    pub fn withdraw_exception(id: &str, about: &str) -> Self {
        let text = "It counts no more from this moment on and stays in the record. Where it is over already, this says \
                    that somebody has seen it.";
        let (action, cancel) = (paths::exception_act(id, "withdraw"), paths::exception(id));
        Self::new(format!("Take back the exception for {}?", Said::from(about)), text, action, cancel)
    }
}
