//! The wording of acts on identities: the end of a device's use, a doubt, keys that wait, tokens.
//!
//! Each text says what will happen on the device itself, and that therapy and network are left alone. Read next:
//! [`super::Act`].

use super::{Act, Input, Thing};
use crate::ui::paths;
use crate::ui::words::plural;

/// What a device that is retired or lost does.
const WIPES: &str = "At its next contact the device wipes its identity, profile, content and spool, and leaves a last \
                     signed receipt. Therapy, network and the running release stay untouched.";

impl Act {
    /// The end of a device's use.
    #[must_use]
    pub fn retire(thing: Thing) -> Self {
        let text = format!(
            "At once Cordon trusts nothing of it any more. {WIPES} This cannot be taken back: to use the device again, \
             enrol it with a new token."
        );
        Self { danger: true, ..of_device(thing, "Retire 1 device?", "retire", &text) }
    }

    /// Nobody knows where the device is.
    #[must_use]
    pub fn report_lost(thing: Thing) -> Self {
        let text = format!(
            "At once Cordon trusts nothing of it any more. {WIPES} If it turns up before that, say so here; it stays in \
             quarantine until you lift that."
        );
        Self { danger: true, ..of_device(thing, "Report 1 device lost?", "report-lost", &text) }
    }

    /// A lost device turned up.
    #[must_use]
    pub fn find(thing: Thing) -> Self {
        let text = "It goes into quarantine: it may only check status and take updates until you lift that. If it had \
                    contact while it was lost, it has wiped itself and must be enrolled anew. Therapy and network stay \
                    untouched.";
        let act = of_device(thing, "Say that 1 device was found?", "find", text);
        Self { confirm: "It was found".into(), ..act }
    }

    /// A device's identity is one machine after all.
    #[must_use]
    pub fn clear_doubt(thing: Thing) -> Self {
        let text = "You have looked, and there is one machine behind this identity. Its certificate may be renewed \
                    again. If the same is seen once more, the doubt comes back.";
        of_device(thing, "Clear the doubt about 1 device?", "clear-doubt", text)
    }

    /// A person's yes to keys that wait; `replacing` of them would replace the key of a living identity.
    #[must_use]
    pub fn approve(things: Vec<Thing>, replacing: u64, inputs: Vec<Input>) -> Self {
        let mut text = String::from(
            "Compare each fingerprint with the one that the device itself shows: whoever knows a serial can ask. A key \
             that you approve is given its certificate when its device asks again, and is trusted from then on.",
        );
        if replacing > 0 {
            text.push_str(&format!(
                " {} a living identity: its present key works until the new one has spoken, then no more.",
                plural(replacing, "of them replaces the key of", "of them replace the keys of")
            ));
        }
        Self { inputs, ..of_keys(things, "Approve", "approve", &text) }
    }

    /// A person's no to keys that wait.
    #[must_use]
    pub fn deny(things: Vec<Thing>) -> Self {
        let text = "Each of these keys is turned away and does not get in line again. An identity that is in force lives \
                    on untouched. The device can ask again with another key.";
        Self { danger: true, ..of_keys(things, "Turn away", "deny", text) }
    }

    /// The same without keys that were chosen and wait no more: they are counted, so that nobody takes them for answered.
    #[must_use]
    pub fn leaving_out(mut self, left: u64) -> Self {
        if left > 0 {
            let words = plural(left, "key that you chose waits", "keys that you chose wait");
            self.text.push_str(&format!(" {words} no more, and will not be answered."));
        }
        Self { left, ..self }
    }

    /// A person's no to a token.
    #[must_use]
    pub fn revoke_token(id: &str, words: &str) -> Self {
        let text = format!(
            "It is {words}. It lets nobody in any more. Devices that came in with it stay: retire or quarantine those \
             by themselves."
        );
        let act =
            Self::new("Take 1 token back?".into(), &text, paths::revoke_token(id), paths::TOKENS.into());
        Self { danger: true, ..act }
    }
}

fn of_device(thing: Thing, title: &str, act: &str, text: &str) -> Act {
    let (action, cancel) = (paths::device_act(&thing.id, act), paths::identity(&thing.id));
    Act { things: vec![thing], count: 1, ..Act::new(title.into(), text, action, cancel) }
}

fn of_keys(things: Vec<Thing>, verb: &str, slug: &str, text: &str) -> Act {
    let count = u64::try_from(things.len()).unwrap_or(u64::MAX);
    let title = format!("{verb} {}?", plural(count, "key", "keys"));
    Act { things, count, ..Act::new(title, text, paths::answer(slug), paths::APPROVALS.into()) }
}
