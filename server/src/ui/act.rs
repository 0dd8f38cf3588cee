//! What changes something: a question with its number, what will and what will not happen, a typed reason, one button.
//!
//! Each act is a page of its own that works without script; the script shows the very same form in a dialog. It is
//! posted to its own address with `csrf`, `reason`, and where it asks for them `number` (the count, above 20 devices),
//! `choice` and the repeated `device`. On a refusal the page comes back with the text kept and the fault beside its
//! field. The wording of every act is here, so that it is the same everywhere. Read next: [`super::paths`].

use askama::Template;

use super::marks::fingerprint;
use super::said::Said;
use super::state::DeviceState;
use super::words::{number, plural};
use super::{Frame, Markup, paths};

mod exceptions;
mod findings;
mod identity;
mod rollouts;
mod visits;

pub use findings::{ALLOW_DAYS, FindingVerb, GroupAsked, MUTE_DAYS};
pub use rollouts::UnderWay;

/// Characters a reason must at least have (`cordon_server_core::triage::REASON_CHARS_MIN`).
pub const REASON_CHARS_MIN: usize = cordon_server_core::triage::REASON_CHARS_MIN;
/// Above this many devices the number is typed as well.
pub const TYPED_ABOVE: u64 = 20;
/// Devices that are listed by name.
const NAMED: usize = 5;

/// One act that waits for its reason.
#[derive(Clone, Debug)]
pub struct Act {
    /// The question with its number: "Quarantine 2 devices?".
    pub title: String,
    /// What will happen, how fast, what will not, whether it can be undone.
    pub text: String,
    /// Where it is posted.
    pub action: String,
    /// The devices it reaches.
    pub things: Vec<Thing>,
    /// How many devices it reaches, if it reaches devices; more than those named link to [`Act::all`].
    pub count: u64,
    /// The list of all of them.
    pub all: Option<String>,
    /// How many of those that were chosen are left out, because they no longer wait.
    pub left: u64,
    /// Something to choose.
    pub choice: Option<Choice>,
    /// Something to fill in.
    pub inputs: Vec<Input>,
    /// The button: verb, number and object again.
    pub confirm: String,
    /// Whether the button is the red one.
    pub danger: bool,
    /// Where Cancel leads.
    pub cancel: String,
    /// The reason as typed before a refusal.
    pub reason: String,
    /// The last reasons of this person, at most five.
    pub reasons: Vec<Said>,
    /// What the reason is called: "Reason", "What was seen".
    pub reason_label: &'static str,
    /// The faults of a refusal, by field: `reason`, `number`, `choice` or the name of an input.
    pub faults: Vec<(&'static str, String)>,
}

/// A device named in the question, its state shown so that "in use" is seen.
#[derive(Clone, Debug)]
pub struct Thing {
    /// Its identity, posted back as `device`.
    pub id: String,
    /// Its name.
    pub name: Said,
    /// Where it stands.
    pub place: Said,
    /// The state that matters most.
    pub state: DeviceState,
    /// The fingerprint of the key that is answered; posted with the device, so that no other key is.
    pub key: Option<String>,
}

impl Thing {
    /// What the form posts as `device`.
    #[must_use]
    pub fn posted(&self) -> String {
        match &self.key {
            Some(key) => format!("{}:{key}", self.id),
            None => self.id.clone(),
        }
    }
}

/// A field to fill in.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name in the form.
    pub name: &'static str,
    /// Its label.
    pub label: &'static str,
    /// What is said about it.
    pub note: &'static str,
    /// What stands in it.
    pub value: String,
}

/// A field to choose from.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Its label.
    pub label: String,
    /// Values and what they are called.
    pub options: Vec<(String, Said)>,
    /// The value that is set.
    pub chosen: String,
}

impl Act {
    fn new(title: String, text: &str, action: String, cancel: String) -> Self {
        let confirm = title.trim_end_matches('?').to_owned();
        Self {
            title,
            text: text.into(),
            action,
            things: Vec::new(),
            count: 0,
            all: None,
            left: 0,
            choice: None,
            inputs: Vec::new(),
            confirm,
            danger: false,
            cancel,
            reason: String::new(),
            reasons: Vec::new(),
            reason_label: "Reason",
            faults: Vec::new(),
        }
    }

    /// Quarantine of one or several devices.
    #[must_use]
    pub fn quarantine(things: Vec<Thing>) -> Self {
        let count = u64::try_from(things.len()).unwrap_or(u64::MAX);
        let (action, cancel) = match things.as_slice() {
            [one] => (paths::device_act(&one.id, "quarantine"), paths::device(&one.id)),
            _ => (paths::QUARANTINE.to_owned(), paths::DEVICES.to_owned()),
        };
        let (them, they) = if count == 1 { ("it", "it") } else { ("them", "they") };
        let text = format!(
            "Within a second Cordon stops trusting {them}: {they} may only check status and take updates. \
             Therapy and network stay untouched. You can lift it at any time."
        );
        let title = format!("Quarantine {}?", plural(count, "device", "devices"));
        Self { things, count, danger: true, ..Self::new(title, &text, action, cancel) }
    }

    /// Lifting the quarantine of one device.
    #[must_use]
    pub fn release(thing: Thing) -> Self {
        let text = "Cordon trusts it again at once: it reports, and takes what is ordered. \
                    What it reported meanwhile was kept. You can quarantine it again at any time.";
        let (action, cancel) = (paths::device_act(&thing.id, "release"), paths::device(&thing.id));
        let act = Self::new("Lift the quarantine of 1 device?".into(), text, action, cancel);
        Self { things: vec![thing], count: 1, ..act }
    }

    /// A person's stop of a rollout; `installing` devices finish or are stopped before their reboot.
    #[must_use]
    pub fn stop(rollout: &str, installing: u64) -> Self {
        let title = match installing {
            0 => "Stop this rollout?".to_owned(),
            count => format!("Stop {} before reboot?", number(count)),
        };
        let text = "From now on no device gets the go: what has not rebooted yet stays on its present release. \
                    What is confirmed stays confirmed. Therapy is untouched. You can resume at any time.";
        let act = Self::new(title, text, paths::rollout_act(rollout, "stop"), paths::rollout(rollout));
        Self { danger: true, ..act }
    }

    /// Resuming a rollout that halted or was stopped.
    #[must_use]
    pub fn resume(rollout: &str) -> Self {
        let text = "Devices get the go again, in the same waves and windows and under the same limit. \
                    Devices that failed are not tried again.";
        let (action, cancel) = (paths::rollout_act(rollout, "resume"), paths::rollout(rollout));
        Self::new("Resume this rollout?".into(), text, action, cancel)
    }

    /// Taking the signed way back with the devices that confirmed.
    #[must_use]
    pub fn back(rollout: &str, release: &Said, count: u64) -> Self {
        let title = format!("Go back to {release} on {}?", plural(count, "device", "devices"));
        let text = "Each goes back in its own window and only when not in use, by the way back that was signed \
                    with the order. A device that went back does not take this order again.";
        let (action, cancel) = (paths::rollout_act(rollout, "back"), paths::rollout(rollout));
        Self { count, danger: true, ..Self::new(title, text, action, cancel) }
    }

    /// A hold for a ward, a site or a model, chosen from a list.
    #[must_use]
    pub fn hold(options: Vec<(String, Said)>, chosen: &str, hours: &str) -> Self {
        let text = "No device there gets the go for any rollout, from now until its end or until somebody lifts the hold. \
                    It needs no key. Devices that rebooted already are not touched.";
        let act = Self::new(
            "Hold a ward, site or model?".into(),
            text,
            paths::NEW_HOLD.into(),
            paths::ROLLOUTS.into(),
        );
        let choice = Choice { label: "What to hold".into(), options, chosen: chosen.into() };
        let input = Input {
            name: "hours",
            label: "For how many hours",
            note: "empty: until somebody lifts it",
            value: hours.into(),
        };
        Self { choice: Some(choice), inputs: vec![input], confirm: "Hold it".into(), ..act }
    }

    /// Lifting a hold.
    #[must_use]
    pub fn lift_hold(id: &str, covers: &Said) -> Self {
        let title = format!("Lift the hold on {covers}?");
        let text = "Devices there get the go again, in their waves and windows.";
        let act = Self::new(title, text, paths::lift_hold(id), paths::ROLLOUTS.into());
        Self { confirm: "Lift the hold".into(), ..act }
    }

    /// A person's word on a device after its install: good or not, by which work order, what was seen.
    #[must_use]
    pub fn accept(rollout: &str, thing: Thing, number: &str) -> Self {
        let text = "Your name stands beside it. A device that is not good counts as a failure of the rollout, which may \
                    stop itself; the device is not touched by either answer.";
        let (action, cancel) = (paths::accept(rollout, &thing.id), paths::rollout(rollout));
        let options = [
            ("", "Choose…"),
            ("good", "Good: it is returned to use"),
            ("bad", "Not good: it stays out of use"),
        ];
        let options = options.map(|(value, words)| (value.to_owned(), words.into())).into();
        let input = Input {
            name: "work_order",
            label: "Work-order number",
            note: "of your own books, if there is one",
            value: number.to_owned(),
        };
        Self {
            things: vec![thing],
            choice: Some(Choice { label: "How it was found".into(), options, chosen: String::new() }),
            inputs: vec![input],
            reason_label: "What was seen",
            confirm: "Write it down".into(),
            ..Self::new("Return 1 device to use?".into(), text, action, cancel)
        }
    }

    /// The same act with what was chosen and filled in.
    #[must_use]
    pub fn filled(mut self, chosen: &str, value: &str) -> Self {
        if let Some(choice) = &mut self.choice {
            choice.chosen = chosen.to_owned();
        }
        for input in &mut self.inputs {
            input.value = value.to_owned();
        }
        self
    }

    /// The same act after a refusal: the text kept, the faults beside their fields.
    #[must_use]
    pub fn refused(mut self, reason: &str, faults: Vec<(&'static str, String)>) -> Self {
        self.reason = reason.into();
        self.faults = faults;
        self
    }

    /// Checks what was posted; the faults, none if it may be done.
    #[must_use]
    pub fn faults_of(&self, reason: &str, typed: Option<&str>) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if reason.trim().chars().count() < REASON_CHARS_MIN {
            faults.push((
                "reason",
                format!("Write at least {REASON_CHARS_MIN} characters: the next shift reads it."),
            ));
        }
        let wanted = self.count.to_string();
        if self.wants_number() && typed.map(str::trim) != Some(wanted.as_str()) {
            faults.push(("number", format!("Type {wanted}, the number of devices.")));
        }
        faults
    }

    /// Whether the number is typed as well.
    #[must_use]
    pub fn wants_number(&self) -> bool {
        self.count > TYPED_ABOVE
    }
}

#[derive(Template)]
#[template(path = "act.html")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Act,
}

/// The act's page as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Act) -> String {
    super::page(&Page { frame, page })
}

impl Page<'_> {
    /// Keys are all named: each one is compared.
    fn shown(&self) -> usize {
        if self.page.things.iter().any(|thing| thing.key.is_some()) { self.page.things.len() } else { NAMED }
    }

    fn named(&self) -> Vec<&Thing> {
        self.page.things.iter().take(self.shown()).collect()
    }

    fn print(&self, thing: &Thing) -> Option<Markup> {
        thing.key.as_deref().map(fingerprint)
    }

    fn more(&self) -> Option<String> {
        let more = self.page.count.saturating_sub(u64::try_from(self.shown()).unwrap_or(0));
        let named = !self.page.things.is_empty();
        (more > 0 && named).then(|| format!("and {} more", number(more)))
    }

    fn state(&self, thing: &Thing) -> Markup {
        thing.state.mark(&self.frame.clock)
    }

    fn fault(&self, field: &str) -> Option<&str> {
        self.page.faults.iter().find(|(name, _)| *name == field).map(|(_, words)| words.as_str())
    }

    fn is_chosen(&self, choice: &Choice, value: &str) -> bool {
        choice.chosen == value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thing(n: u64) -> Thing {
        Thing {
            id: format!("d{n}"),
            name: "VP3".into(),
            place: "4B".into(),
            state: DeviceState::Standby,
            key: None,
        }
    }

    #[test]
    fn the_question_and_its_button_say_the_number() {
        // Goal: nobody confirms more than they think. Method: one, two and many devices.
        let one = Act::quarantine(vec![thing(1)]);
        assert_eq!(
            (one.title.as_str(), one.confirm.as_str()),
            ("Quarantine 1 device?", "Quarantine 1 device")
        );
        assert_eq!(one.action, "/devices/d1/quarantine");
        let many = Act::quarantine((0..46).map(thing).collect());
        assert_eq!(
            (many.confirm.as_str(), many.action.as_str()),
            ("Quarantine 46 devices", "/devices/quarantine")
        );
        assert!(many.wants_number() && many.text.contains("Therapy and network stay untouched"));
    }

    #[test]
    fn a_short_reason_or_a_wrong_number_is_refused_beside_its_field() {
        // Goal: nothing happens without a reason. Method: each fault, and the good case.
        let many = Act::quarantine((0..21).map(thing).collect());
        let fields = |reason, typed| -> Vec<&str> {
            many.faults_of(reason, typed).into_iter().map(|(field, _)| field).collect()
        };
        assert_eq!(fields("short", None), ["reason", "number"]);
        assert_eq!(fields("unknown peer since 14:02", Some("20")), ["number"]);
        assert!(fields("unknown peer since 14:02", Some(" 21 ")).is_empty());
        assert_eq!(fields("          ", Some("21")), ["reason"], "blanks are no reason");
    }
}
