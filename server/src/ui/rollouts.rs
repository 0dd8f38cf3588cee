//! Rollouts: the list, running and halted first, and one rollout with its waves, its halt and its failed devices.
//!
//! Counts and intervals are those of the engine (`cordon_server_core::rollout`); nothing is counted here. Stopping is
//! always one press away, starting never is. Read next: [`super::wave_bar`], `server/ui/rollout.html`.

use askama::Template;
use cordon_proto::time::Timestamp;
use cordon_server_core::rollout::{Failure, Tally};

use super::acceptance::Acceptance;
use super::device::Fact;
use super::marks::{Markup, Shape, octagon, shape};
use super::said::Said;
use super::words::{finished_words, list, number, paused_words, percent, plural};
use super::{Frame, paths, wave_bar};
pub use acts::Rights;
use acts::may_stop;

mod acts;

/// The list.
#[derive(Clone, Debug, Default)]
pub struct Rollouts {
    /// Rollouts, halted first, then running, then the newest.
    pub rows: Vec<RolloutRow>,
    /// Holds in force.
    pub holds: Vec<Hold>,
    /// Those that are over, for a week.
    pub lapsed: Vec<Hold>,
}

/// One rollout in the list.
#[derive(Clone, Debug)]
pub struct RolloutRow {
    /// Its name in addresses.
    pub id: String,
    /// What people call it.
    pub title: Said,
    /// Its install orders.
    pub order: Said,
    /// Who signed them.
    pub signers: Said,
    /// Where it stands.
    pub state: State,
    /// All its devices by stage.
    pub tally: Tally,
    /// How many waves it has.
    pub waves: usize,
}

/// Where a rollout stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Created, its first wave has not begun.
    Planned,
    /// It goes on.
    Running {
        /// The wave, from 1.
        wave: usize,
        /// Devices that hold a permit, and how many may.
        in_flight: (u32, u32),
    },
    /// It stopped itself.
    Halted {
        /// When.
        at: Timestamp,
        /// In which wave, from 1.
        wave: usize,
        /// The cause in a sentence.
        reason: Said,
    },
    /// A person stopped it.
    Stopped {
        /// When.
        at: Timestamp,
        /// Who.
        by: Said,
        /// Why.
        reason: Said,
    },
    /// A person keeps it from giving new gos; those that were given are kept.
    Paused {
        /// When.
        at: Timestamp,
        /// Who.
        by: Said,
        /// Why.
        reason: Said,
    },
    /// A person ended it for good.
    Aborted {
        /// When.
        at: Timestamp,
        /// Who.
        by: Said,
        /// Why.
        reason: Said,
    },
    /// Confirmed devices take the signed way back.
    Returning {
        /// Since when.
        at: Timestamp,
        /// Who began it.
        by: Said,
        /// Why.
        reason: Said,
        /// Devices that have not arrived there yet.
        left: u64,
    },
    /// Every confirmed device has gone back or failed to.
    Returned {
        /// When.
        at: Timestamp,
    },
    /// Every wave is settled and watched.
    Finished {
        /// When.
        at: Timestamp,
    },
}

/// A person's stop for a ward, site or model.
#[derive(Clone, Debug)]
pub struct Hold {
    /// Its name in addresses.
    pub id: String,
    /// What it covers: "ward 4B of St. Brigid".
    pub covers: Said,
    /// Who set it.
    pub by: Said,
    /// Why.
    pub reason: Said,
    /// Since when.
    pub at: Timestamp,
    /// Its end, if it has one.
    pub until: Option<Timestamp>,
    /// The value under which a question names what it covers.
    pub choice: String,
}

/// One rollout's own page.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// Its row in the list.
    pub row: RolloutRow,
    /// The model, and where its devices are listed.
    pub model: (Said, String),
    /// What its devices are called: "infusion pump", "infusion pumps".
    pub noun: (String, String),
    /// Five or six facts: order, signatures, reboots, way back, effect on risk.
    pub facts: Vec<Fact>,
    /// The waves, first to last.
    pub waves: Vec<Wave>,
    /// Failures of finished devices, in thousandths, above which it stops itself.
    pub limit_permille: u32,
    /// What it waits for while it runs: "waits for 3 silent devices until 14:10".
    pub waits_for: Option<Said>,
    /// The signed way back, by release name; none: there is no way back.
    pub back: Option<Said>,
    /// Whether it brings a content: devices end by their own word, and there are no receipts.
    pub content: bool,
    /// Whether a person has begun to send its devices back.
    pub going_back: bool,
    /// Why devices have not ended or have failed, the most frequent reason first.
    pub reasons: Vec<ReasonRow>,
    /// The devices of one reason, if somebody asked for them.
    pub named: Option<Named>,
    /// What the visitor may do with it.
    pub rights: Rights,
    /// Who waits to be returned to use, where people look at devices after the install.
    pub acceptance: Option<Acceptance>,
    /// Failed devices, newest first.
    pub failed: Vec<FailedDevice>,
    /// How many of them share the most frequent reason.
    pub shared_reason: u64,
    /// The rule, how it was counted, what is next.
    pub why: Vec<(String, Said)>,
}

/// One wave.
#[derive(Clone, Debug)]
pub struct Wave {
    /// What people call it.
    pub name: Said,
    /// Which devices: "180 pumps, 4B and ICU 2".
    pub reach: Said,
    /// Its devices by stage.
    pub tally: Tally,
    /// Whether it has begun.
    pub begun: bool,
    /// What most of those that wait are waiting for: "in use".
    pub waits: Said,
    /// When it ran and was watched, or why it has not begun: "Was due tonight 02:00".
    pub note: Said,
    /// Where its devices are listed.
    pub href: Option<String>,
}

/// One reason in the table.
#[derive(Clone, Debug)]
pub struct ReasonRow {
    /// How many devices.
    pub count: u64,
    /// What is in their way, in words: "A patient is attached".
    pub words: Said,
    /// The rule's code, as the device's own `status` prints it.
    pub code: Said,
    /// In which waves, from 1.
    pub waves: Vec<usize>,
    /// The page with these devices.
    pub href: String,
    /// Whether it is the one whose devices are listed.
    pub current: bool,
}

/// The devices of one reason.
#[derive(Clone, Debug)]
pub struct Named {
    /// The reason, in words.
    pub words: Said,
    /// Identity, name and place of the first of them.
    pub devices: Vec<(String, Said, Said)>,
    /// How many more there are.
    pub more: u64,
}

/// A device that failed.
#[derive(Clone, Debug)]
pub struct FailedDevice {
    /// Its identity in addresses.
    pub id: String,
    /// Its name.
    pub name: Said,
    /// Where it stands.
    pub place: Said,
    /// How it failed.
    pub how: Failure,
    /// What the device said.
    pub reason: Said,
    /// When.
    pub at: Timestamp,
}

#[derive(Template)]
#[template(path = "rollouts.html")]
struct ListPage<'a> {
    frame: &'a Frame,
    page: &'a Rollouts,
}

#[derive(Template)]
#[template(path = "rollout.html")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Rollout,
}

/// The list as HTML.
#[must_use]
pub fn render_list(frame: &Frame, page: &Rollouts) -> String {
    super::page(&ListPage { frame, page })
}

/// One rollout as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Rollout) -> String {
    super::page(&Page { frame, page })
}

/// "wait: in use".
fn waiting_words(wave: &Wave) -> String {
    let verb = if wave.tally.waiting == 1 { "waits" } else { "wait" };
    if wave.waits.is_empty() { verb.into() } else { format!("{verb}: {}", wave.waits) }
}

/// Shape and word of a rollout's state.
fn state_mark(state: &State, frame: &Frame) -> Markup {
    let (drawn, class, word) = match state {
        State::Planned => (Shape::ThinRing, "is-quiet", "Not started".to_owned()),
        State::Running { wave, .. } => (Shape::HalfRing, "is-accent", format!("Wave {wave} runs")),
        State::Halted { wave, .. } => (Shape::Octagon, "is-critical", format!("Halted in wave {wave}")),
        State::Stopped { .. } => (Shape::Octagon, "is-critical", "Stopped".to_owned()),
        State::Paused { .. } => (Shape::DashedRing, "is-medium", "Paused".to_owned()),
        State::Aborted { .. } => (Shape::Cross, "is-critical", "Ended for good".to_owned()),
        State::Returning { .. } => (Shape::HalfRing, "is-medium", "Going back".to_owned()),
        State::Returned { at } => {
            (Shape::Tick, "is-quiet", format!("Went back {}", frame.clock.past_words(*at)))
        }
        State::Finished { at } => {
            (Shape::Tick, "is-good", format!("Finished {}", frame.clock.past_words(*at)))
        }
    };
    Markup::new(format!("<span class=\"state {class}\">{}<span>{word}</span></span>", shape(drawn)))
}

impl ListPage<'_> {
    fn head(&self) -> String {
        let count =
            |wanted: fn(&State) -> bool| self.page.rows.iter().filter(|row| wanted(&row.state)).count();
        let halted = count(|state| matches!(state, State::Halted { .. }));
        let running = count(|state| matches!(state, State::Running { .. } | State::Returning { .. }));
        match (halted, running) {
            (0, 0) => "none running".into(),
            (0, running) => format!("{running} running"),
            (halted, 0) => format!("{halted} halted"),
            (halted, running) => format!("{halted} halted, {running} running"),
        }
    }

    fn state(&self, row: &RolloutRow) -> Markup {
        state_mark(&row.state, self.frame)
    }

    fn bar(&self, row: &RolloutRow) -> Markup {
        wave_bar::small_bar(&row.tally)
    }

    fn href(&self, row: &RolloutRow) -> String {
        paths::rollout(&row.id)
    }

    fn counts(&self, row: &RolloutRow) -> String {
        let mut words = format!(
            "{} of {} confirmed",
            number(u64::from(row.tally.confirmed)),
            number(u64::from(row.tally.total()))
        );
        if row.tally.failed() > 0 {
            words.push_str(&format!(", {} failed", row.tally.failed()));
        }
        words
    }

    /// Where it is stopped, while there is something to stop.
    fn stop(&self, row: &RolloutRow) -> Option<String> {
        may_stop(&row.state).then(|| paths::rollout_act(&row.id, "stop"))
    }

    fn waves(&self, row: &RolloutRow) -> String {
        plural(u64::try_from(row.waves).unwrap_or(0), "wave", "waves")
    }

    /// Its end: "today 14:02".
    fn ends(&self, hold: &Hold) -> String {
        let words = |until| self.frame.clock.moment_words(until);
        hold.until.map_or_else(|| "when somebody lifts it".to_owned(), words)
    }

    fn again(&self, hold: &Hold) -> String {
        paths::with_query(paths::NEW_HOLD, &[("choice", &hold.choice)])
    }

    fn lift(&self, hold: &Hold) -> String {
        paths::lift_hold(&hold.id)
    }
}

/// The banner above a rollout.
struct Banner {
    class: &'static str,
    mark: Markup,
    lead: String,
    text: String,
}

impl Page<'_> {
    fn things(&self, count: u64) -> String {
        plural(count, &self.page.noun.0, &self.page.noun.1)
    }

    fn banner(&self) -> Banner {
        let clock = &self.frame.clock;
        match &self.page.row.state {
            State::Planned => Banner {
                class: "plain",
                mark: shape(Shape::ThinRing),
                lead: "Not started".into(),
                text: "Its first wave begins when its order and its window allow.".into(),
            },
            State::Running { wave, in_flight: (now, most) } => {
                let waits = self.page.waits_for.as_ref().map(|what| format!("; {what}")).unwrap_or_default();
                Banner {
                    class: "plain",
                    mark: shape(Shape::HalfRing),
                    lead: format!("Wave {wave} runs"),
                    text: format!("{now} of at most {most} in flight{waits}."),
                }
            }
            State::Halted { at, wave, .. } => Banner {
                class: "halted",
                mark: octagon(),
                lead: format!("Stopped itself in wave {wave}, {}", clock.moment_words(*at)),
                text: self.halt_words(*wave),
            },
            State::Stopped { at, by, .. } => Banner {
                class: "halted",
                mark: octagon(),
                lead: format!("Stopped by {by}, {}", clock.moment_words(*at)),
                text: String::new(),
            },
            State::Paused { at, by, .. } => Banner {
                class: "plain",
                mark: shape(Shape::DashedRing),
                lead: format!("Paused by {by}, {}", clock.moment_words(*at)),
                text: paused_words(self.page.content).into(),
            },
            State::Aborted { at, by, .. } => Banner {
                class: "halted",
                mark: shape(Shape::Cross),
                lead: format!("Ended for good by {by}, {}", clock.moment_words(*at)),
                text: "Nothing is offered any more; its orders stay as they were signed.".into(),
            },
            State::Returning { at, by, left, .. } => Banner {
                class: "halted",
                mark: shape(Shape::HalfRing),
                lead: format!("Going back since {}, by {by}", clock.moment_words(*at)),
                text: format!("{} still to go back; nothing is installed.", self.things(*left)),
            },
            State::Returned { at } => Banner {
                class: "plain",
                mark: shape(Shape::Tick),
                lead: format!("Went back {}", clock.moment_words(*at)),
                text: format!(
                    "{} returned by receipt.",
                    self.things(u64::from(self.page.row.tally.returned))
                ),
            },
            State::Finished { at } => Banner {
                class: "plain good",
                mark: shape(Shape::Tick),
                lead: format!("Finished {}", clock.moment_words(*at)),
                text: finished_words(&self.things(self.page.row.tally.confirmed.into()), self.page.content),
            },
        }
    }

    /// "6 of 127 finished pumps failed, the limit is 2 %. 9 are still installing."
    fn halt_words(&self, wave: usize) -> String {
        let Some(wave) = self.page.waves.get(wave.saturating_sub(1)) else { return String::new() };
        let mut words = format!(
            "{} of {} failed, the limit is {}.",
            number(u64::from(wave.tally.failed())),
            plural(
                u64::from(wave.tally.finished()),
                &format!("finished {}", self.page.noun.0),
                &format!("finished {}", self.page.noun.1)
            ),
            percent(self.page.limit_permille)
        );
        match wave.tally.installing {
            0 => {}
            1 => words.push_str(" 1 is still installing."),
            many => words.push_str(&format!(" {many} are still installing.")),
        }
        words
    }

    /// The reason a person or the engine gave.
    fn reason(&self) -> Said {
        match &self.page.row.state {
            State::Halted { reason, .. }
            | State::Stopped { reason, .. }
            | State::Paused { reason, .. }
            | State::Aborted { reason, .. }
            | State::Returning { reason, .. } => reason.clone(),
            State::Planned | State::Running { .. } | State::Returned { .. } | State::Finished { .. } => {
                Said::default()
            }
        }
    }

    fn is_halted(&self) -> bool {
        matches!(self.page.row.state, State::Halted { .. })
    }

    /// Where the halt line stands: after this wave, from 1.
    fn halted_after(&self, place: &usize) -> Option<String> {
        let State::Halted { at, wave, .. } = &self.page.row.state else { return None };
        (wave == place).then(|| self.frame.clock.moment_words(*at))
    }

    /// Whether no wave stands below the line.
    fn is_last(&self, place: &usize) -> bool {
        *place == self.page.waves.len()
    }

    fn bar(&self, wave: &Wave) -> Markup {
        wave_bar::bar(&wave.tally, self.page.limit_permille)
    }

    fn gauge(&self, wave: &Wave) -> Option<Markup> {
        wave_bar::gauge(&wave.tally, self.page.limit_permille)
    }

    fn share(&self, wave: &Wave) -> String {
        wave_bar::share_words(&wave.tally)
    }

    fn at_least(&self, wave: &Wave) -> String {
        let words = wave_bar::gauge_words(&wave.tally);
        words.split_once(',').map(|(_, rest)| rest.trim().to_owned()).unwrap_or_default()
    }

    /// The counts under a bar, without zeros: class, number, word.
    fn counts(&self, wave: &Wave) -> Vec<(&'static str, u32, String)> {
        let tally = &wave.tally;
        let failed = [
            (tally.rolled_back, "rolled back"),
            (tally.refused, "refused"),
            (tally.silent, "silent"),
            (tally.not_accepted, "not accepted"),
            (tally.not_returned, "not returned"),
        ];
        let failed = failed.into_iter().filter(|(count, _)| *count > 0);
        let failed: Vec<String> = failed.map(|(count, word)| format!("{count} {word}")).collect();
        [
            ("", tally.confirmed, "confirmed".to_owned()),
            ("", tally.returned, "went back".to_owned()),
            ("", tally.already, "had it already".to_owned()),
            ("", tally.installing, "installing".to_owned()),
            ("", tally.waiting, waiting_words(wave)),
            ("", tally.unreached, "unreached".to_owned()),
            ("is-critical", tally.failed(), format!("failed: {}", failed.join(", "))),
        ]
        .into_iter()
        .filter(|(_, count, _)| *count > 0)
        .collect()
    }

    fn failed_words(&self) -> String {
        plural(u64::try_from(self.page.failed.len()).unwrap_or(0), "failed device", "failed devices")
    }

    fn shared_words(&self) -> Option<String> {
        (self.page.shared_reason > 1).then(|| format!("{} share one reason", self.page.shared_reason))
    }

    fn how(&self, device: &FailedDevice) -> Markup {
        let (drawn, class, word) = match device.how {
            Failure::RolledBack => (Shape::Cross, "is-critical", "Rolled back"),
            Failure::Refused => (Shape::Cross, "is-critical", "Refused"),
            Failure::Silent => (Shape::DashedRing, "is-medium", "Silent"),
            Failure::NotAccepted => (Shape::Cross, "is-critical", "Not accepted"),
            Failure::NotReturned => (Shape::Cross, "is-critical", "Not returned"),
        };
        Markup::new(format!("<span class=\"state {class}\">{}<span>{word}</span></span>", shape(drawn)))
    }

    fn device_href(&self, device: &FailedDevice) -> String {
        paths::device(&device.id)
    }

    fn named_href(&self, id: &str) -> String {
        paths::device(id)
    }

    /// "wave 1 and 2".
    fn reason_waves(&self, reason: &ReasonRow) -> String {
        let waves: Vec<String> = reason.waves.iter().map(ToString::to_string).collect();
        format!("wave {}", list(&waves))
    }

    fn more_words(&self, more: &u64) -> String {
        format!("and {}", plural(*more, "more", "more"))
    }

    fn octagon(&self) -> Markup {
        shape(Shape::Octagon)
    }
}
