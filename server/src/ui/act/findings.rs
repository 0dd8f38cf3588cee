//! The wording of decisions on findings, of one device or of many, with what a decision would hide before it is made.
//!
//! Read next: [`super::Act`], `cordon_server_core::triage::Preview`.

use cordon_server_core::triage::Preview;

use super::{Act, Choice};
use crate::ui::words::plural;
use crate::ui::{Said, paths};

/// For how long a finding can be muted, in days.
pub const MUTE_DAYS: [u16; 4] = [1, 7, 30, 90];
/// For how long it can be allowed, in days: until the next signed profile, which is a matter of months.
pub const ALLOW_DAYS: [u16; 3] = [30, 90, 365];

/// A person's decision on a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingVerb {
    /// I have seen it.
    Acknowledge,
    /// Not now.
    Mute,
    /// The device is meant to do this.
    Allow,
    /// It is dealt with.
    Close,
    /// It is not dealt with after all.
    Reopen,
}

/// A group that is decided on.
#[derive(Clone, Debug)]
pub struct GroupAsked {
    /// Its name.
    pub id: String,
    /// What it is.
    pub title: Said,
    /// The model.
    pub model: Said,
    /// Devices that show it.
    pub devices: u64,
    /// Its critical findings.
    pub critical: u64,
}

impl FindingVerb {
    /// The verb of an address.
    #[must_use]
    pub fn from_slug(slug: &str) -> Option<Self> {
        match slug {
            "acknowledge" => Some(Self::Acknowledge),
            "mute" => Some(Self::Mute),
            "allow" => Some(Self::Allow),
            "close" => Some(Self::Close),
            "reopen" => Some(Self::Reopen),
            _ => None,
        }
    }

    fn slug(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::Mute => "mute",
            Self::Allow => "allow",
            Self::Close => "close",
            Self::Reopen => "reopen",
        }
    }

    /// For how long, in days, and which is set; nothing where there is no end.
    #[must_use]
    pub fn days(self) -> Option<(&'static [u16], u16)> {
        match self {
            Self::Mute => Some((&MUTE_DAYS, 7)),
            Self::Allow => Some((&ALLOW_DAYS, 90)),
            Self::Acknowledge | Self::Close | Self::Reopen => None,
        }
    }

    fn choice(self) -> Option<Choice> {
        let (days, chosen) = self.days()?;
        let option = |days: &u16| (days.to_string(), plural((*days).into(), "day", "days").into());
        let options = days.iter().map(option).collect();
        Some(Choice { label: "For how long".into(), options, chosen: chosen.to_string() })
    }

    /// Whether it hides, so that what it would hide is said before.
    #[must_use]
    pub fn hides(self) -> bool {
        matches!(self, Self::Mute | Self::Allow | Self::Close)
    }
}

impl Act {
    /// A decision on a finding.
    #[must_use]
    pub fn finding(verb: FindingVerb, id: &str, preview: &Preview) -> Self {
        let (title, text) = match verb {
            FindingVerb::Acknowledge => (
                "Acknowledge this finding?",
                "It leaves the open list as yours to deal with. It stays in the record and in the score.",
            ),
            FindingVerb::Mute => (
                "Mute this finding?",
                "It leaves the open list until then, and comes back at once if it grows worse. It stays in the record and in the score.",
            ),
            FindingVerb::Allow => (
                "Allow this on this device?",
                "The device is meant to do this: it leaves the open list and the score until then, and comes back at once if it grows worse. It stays in the record. The device itself goes on reporting it until its next signed profile.",
            ),
            FindingVerb::Close => (
                "Close this finding?",
                "It is dealt with and leaves the score. If it is seen again, it opens again.",
            ),
            FindingVerb::Reopen => ("Open this finding again?", "It goes back to the open list."),
        };
        let text = with_preview(verb, text, preview);
        let act = Self::new(title.into(), &text, paths::finding_act(id, verb.slug()), paths::finding(id));
        Self { choice: verb.choice(), ..act }
    }

    /// A decision on a finding of many devices.
    #[must_use]
    pub fn group(verb: FindingVerb, asked: &GroupAsked, preview: &Preview) -> Self {
        let devices = plural(asked.devices, "device", "devices");
        let (title, text) = match verb {
            FindingVerb::Acknowledge => (
                format!("Acknowledge it on {devices}?"),
                "All of them leave the open list as yours to deal with. They stay in the record and in the scores.".to_owned(),
            ),
            FindingVerb::Mute => (
                format!("Mute it on {devices}?"),
                "All of them leave the open list until then; one that grows worse comes back at once. A device that shows it for the first time opens a finding.".to_owned(),
            ),
            FindingVerb::Allow => (
                format!("Allow it for {}?", asked.model),
                format!("{} is meant to do this, on these {devices} and on every other that shows it until then, as long as it is no worse. It leaves lists and scores and stays in the record.", asked.model),
            ),
            FindingVerb::Close => (
                format!("Close it on {devices}?"),
                "It is dealt with and leaves the scores. Where it is seen again, it opens again.".to_owned(),
            ),
            FindingVerb::Reopen => (format!("Open it again on {devices}?"), "All of them go back to the open list.".to_owned()),
        };
        let mut text = with_preview(verb, &text, preview);
        if verb.hides() && asked.critical > 0 {
            let findings = plural(asked.critical, "critical finding", "critical findings");
            text.push_str(&format!(" {findings} of them stay as they are: those are decided one by one."));
        }
        let (action, cancel) =
            (paths::finding_group_act(&asked.id, verb.slug()), paths::finding_group(&asked.id));
        let act = Self::new(title, &text, action, cancel);
        Self { choice: verb.choice(), count: asked.devices, ..act }
    }
}

fn with_preview(verb: FindingVerb, text: &str, preview: &Preview) -> String {
    if verb.hides() { format!("{text} {}", preview_words(preview)) } else { text.to_owned() }
}

/// What a decision would hide, in words.
fn preview_words(preview: &Preview) -> String {
    let many = |count: usize, one, more| plural(u64::try_from(count).unwrap_or(u64::MAX), one, more);
    let on = |devices| many(devices, "device", "devices");
    let now = match preview.findings {
        0 => "It hides nothing that is open now".to_owned(),
        findings => {
            format!(
                "It hides {} on {} now",
                many(findings, "open finding", "open findings"),
                on(preview.devices)
            )
        }
    };
    let past = match preview.past_alerts {
        0 => "nothing".to_owned(),
        alerts => format!("{} on {}", many(alerts, "alert", "alerts"), on(preview.past_devices)),
    };
    let worse = match preview.past_raised {
        0 => String::new(),
        raised => format!(
            " {} in that time, and would have come through.",
            many(raised, "grew worse", "grew worse")
        ),
    };
    format!("{now}, and would have hidden {past} in the last 30 days.{worse}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_says_what_would_be_hidden_before_anybody_says_yes() {
        // Goal: nobody hides more than they were told. Method: a mute, an allowance for a model, and what hides nothing.
        let preview =
            Preview { findings: 1, devices: 1, critical: 0, past_alerts: 3, past_devices: 2, past_raised: 1 };
        let mute = Act::finding(FindingVerb::Mute, "f-1", &preview);
        assert!(mute.text.ends_with("It hides 1 open finding on 1 device now, and would have hidden 3 alerts on 2 devices in the last 30 days. 1 grew worse in that time, and would have come through."), "{}", mute.text);
        assert!(mute.choice.is_some_and(|choice| choice.chosen == "7"));
        let seen = Act::finding(FindingVerb::Acknowledge, "f-1", &preview);
        assert!(!seen.text.contains("30 days") && seen.choice.is_none());
        let asked = GroupAsked {
            id: "g-1".into(),
            title: "Calls out".into(),
            model: "VP-3".into(),
            devices: 200,
            critical: 1,
        };
        let allow = Act::group(FindingVerb::Allow, &asked, &Preview::default());
        assert_eq!(allow.title, "Allow it for VP-3?");
        assert!(allow.text.contains("It hides nothing that is open now, and would have hidden nothing"));
        assert!(
            allow
                .text
                .ends_with("1 critical finding of them stay as they are: those are decided one by one.")
        );
        assert!(allow.wants_number());
    }
}
