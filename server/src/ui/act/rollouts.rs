//! Pausing a rollout, finishing it and ending it for good: the questions, with how many devices are under way.
//!
//! Each says what happens to those, because none of it reaches a device that has rebooted already. Read next:
//! `cordon_server_core::rollout` for what each state withholds.

use super::Act;
use crate::ui::paths;
use crate::ui::words::{number, plural};

/// How far a rollout is, as far as a question about it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnderWay {
    /// Whether it brings content: settings and thresholds, for which no device reboots.
    pub content: bool,
    /// Devices that are at it now: they have the go, or were offered the content.
    pub going: u64,
    /// Devices that have not ended, those included.
    pub left: u64,
    /// Devices that have confirmed, while a way back is open to them.
    pub may_return: u64,
}

impl UnderWay {
    /// "3 devices are under way: each …", "No device is under way."
    fn words(self, each: &str) -> String {
        match self.going {
            0 => "No device is under way.".to_owned(),
            some => {
                format!("{}: {each}.", plural(some, "device is under way", "devices are under way"))
            }
        }
    }

    /// What becomes of them where nothing is offered any more.
    fn let_go(self) -> String {
        self.words(match self.content {
            true => "what has taken the content keeps it, the others stay as they are",
            false => "what has not rebooted yet stays on its present release",
        })
    }

    /// "412 devices have not ended and stay as they are."
    fn left_words(self) -> String {
        match self.left {
            0 => "No device is left.".to_owned(),
            1 => "1 device has not ended and stays as it is.".to_owned(),
            some => format!("{} devices have not ended and stay as they are.", number(some)),
        }
    }
}

impl Act {
    /// Giving no new go for a while.
    #[must_use]
    pub fn pause(rollout: &str, under_way: UnderWay) -> Self {
        let (begin, kept) = match under_way.content {
            true => {
                ("No device is offered this content from now on.", "what has taken it tries it to the end")
            }
            false => ("No further device gets the go.", "each keeps its go, and may still reboot for it"),
        };
        let text = format!(
            "{begin} {} No further wave begins. You can resume at any time, and stop those that are under way, too.",
            under_way.words(kept)
        );
        Self::of_rollout("Pause this rollout?", &text, (rollout, "pause"))
    }

    /// Calling it done although some devices are left.
    #[must_use]
    pub fn finish(rollout: &str, under_way: UnderWay) -> Self {
        // A finished content is still offered to who comes late: the others have proved it.
        let left = match (under_way.content, under_way.left) {
            (_, 0) | (false, _) => format!("{} {}", under_way.left_words(), under_way.let_go()),
            (true, left) => format!(
                "{}; in waves that have settled the content is still offered to them, and the others stay as they are.",
                plural(left, "device has not ended", "devices have not ended")
            ),
        };
        let text =
            format!("It counts as done, and cannot be resumed. {left} What is confirmed stays confirmed.");
        Self { count: under_way.left, ..Self::of_rollout("Finish this rollout?", &text, (rollout, "finish")) }
    }

    /// Ending it for good.
    #[must_use]
    pub fn abort(rollout: &str, under_way: UnderWay) -> Self {
        let back = match under_way.may_return {
            0 => "What is confirmed stays confirmed.".to_owned(),
            some => format!(
                "{}: the signed way back stays open for them.",
                plural(some, "device has confirmed", "devices have confirmed")
            ),
        };
        let text = format!(
            "Nothing is offered any more, and it never goes on: to go on later, pause or stop it instead. {} {} {back} \
             No signature is withdrawn.",
            under_way.let_go(),
            under_way.left_words()
        );
        let act = Self::of_rollout("End this rollout for good?", &text, (rollout, "abort"));
        Self { danger: true, count: under_way.left, ..act }
    }

    fn of_rollout(title: &str, text: &str, (rollout, act): (&str, &str)) -> Self {
        Self::new(title.to_owned(), text, paths::rollout_act(rollout, act), paths::rollout(rollout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: UnderWay = UnderWay { content: false, going: 3, left: 41, may_return: 2 };

    #[test]
    fn each_question_says_what_becomes_of_the_devices_under_way() {
        // Goal: nobody ends what they meant to pause. Method: each question with devices and without any.
        let pause = Act::pause("r", SOME).text;
        assert!(pause.contains("3 devices are under way: each keeps its go"), "{pause}");
        let abort = Act::abort("r", SOME);
        assert!(
            abort.text.contains("3 devices are under way: what has not rebooted yet stays"),
            "{}",
            abort.text
        );
        assert!(abort.text.contains("41 devices have not ended") && abort.danger && abort.wants_number());
        assert!(
            abort.text.contains("2 devices have confirmed: the signed way back stays open"),
            "{}",
            abort.text
        );
        let finish = Act::finish("r", SOME);
        assert!(finish.text.contains("41 devices have not ended") && finish.wants_number());
        for act in [Act::pause("r", UnderWay::default()), Act::abort("r", UnderWay::default())] {
            assert!(act.text.contains("No device is under way.") && !act.wants_number(), "{}", act.text);
        }
        let one = UnderWay { going: 1, left: 1, ..UnderWay::default() };
        assert!(Act::finish("r", one).text.contains("1 device has not ended and stays as it is."), "{one:?}");
    }

    #[test]
    fn content_is_never_said_to_reboot() {
        // Goal: no word about a reboot where there is none. Method: the three questions about a content.
        let content = UnderWay { content: true, ..SOME };
        for act in [Act::pause("c", content), Act::finish("c", content), Act::abort("c", content)] {
            assert!(!act.text.contains("reboot") && !act.text.contains("the go"), "{}", act.text);
        }
        let finish = Act::finish("c", content).text;
        assert!(
            finish.contains("in waves that have settled the content is still offered to them"),
            "{finish}"
        );
    }
}
