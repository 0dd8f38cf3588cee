//! `rollouts watch`: one rollout followed until it ends, as bars on a terminal and as lines everywhere else.
//!
//! What is shown is the server's own count, asked again and again; nothing is counted here. It ends well when the rollout
//! is finished or returned, as a refusal when it halted, was stopped or aborted, with what stopped it, and as unreachable when
//! the server stays away. Read next: [`crate::failure`] for the exit status.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use cordon_proto::ids::Name;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::api::Api;
use crate::failure::Failure;
use crate::report::{Report, plain};
use crate::session::Session;

/// Questions without an answer, or with one that the server cannot answer now, after which the server counts as gone.
const SILENT_TRIES: u32 = 5;
/// Reasons that are shown.
const REASONS: usize = 5;

/// Follow one rollout until it ends.
#[derive(Clone, Debug, Args)]
pub struct Watch {
    /// Its name.
    pub id: Name,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub every: u64,
    /// Lines also on a terminal.
    #[arg(long)]
    pub lines: bool,
}

/// What the server says of a rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Where it stands.
    pub state: String,
    /// What a person or the engine gave as the reason for that.
    pub why: Option<String>,
    /// The waves.
    pub waves: Vec<WaveSeen>,
    /// The most frequent reasons of devices, in words.
    pub reasons: Vec<String>,
}

/// One wave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaveSeen {
    /// What people call it.
    pub name: String,
    /// Its devices.
    pub devices: u64,
    /// Its devices by stage, in the order of the words.
    pub counts: BTreeMap<&'static str, u64>,
}

/// The stages, as fields of the answer and in words.
const STAGES: [(&str, &str); 11] = [
    ("confirmed", "confirmed"),
    ("already", "had it already"),
    ("returned", "returned"),
    ("installing", "installing"),
    ("waiting", "waiting"),
    ("unreached", "unreached"),
    ("rolled_back", "rolled back"),
    ("refused", "refused"),
    ("silent", "silent"),
    ("not_accepted", "not accepted"),
    ("not_returned", "not returned"),
];
/// Stages of devices of which nothing more is expected.
const ENDED: [&str; 8] =
    ["confirmed", "already", "returned", "rolled_back", "refused", "silent", "not_accepted", "not_returned"];

impl Watch {
    /// Does it.
    ///
    /// # Errors
    /// The rollout was stopped by somebody or by itself, there is none, or the server is gone.
    pub fn run(&self, api: &Api, session: &mut Session<'_>) -> Result<Report, Failure> {
        let mut screen = Screen::of(!self.lines && std::io::stderr().is_terminal());
        let (mut before, mut missed) = (None, 0);
        loop {
            match self.look(api) {
                Ok(seen) => {
                    missed = 0;
                    screen.show(before.as_ref(), &seen, session.shown);
                    if let Some(end) = seen.end(&self.id) {
                        screen.close();
                        return end;
                    }
                    before = Some(seen);
                }
                Err(error) if error.is_passing() && missed + 1 < SILENT_TRIES => missed += 1,
                // Not the status of a rollout that was stopped: nobody knows how it stands.
                Err(error) if error.is_passing() => return Err(Failure::Unreachable(error.to_string())),
                Err(error) => return Err(error),
            }
            std::thread::sleep(Duration::from_secs(self.every));
        }
    }

    fn look(&self, api: &Api) -> Result<Seen, Failure> {
        let view = api.get(&["rollouts", self.id.as_str()], &[])?;
        let reasons = api.get(&["rollouts", self.id.as_str(), "reasons"], &[])?;
        Ok(Seen::of(&view, &reasons))
    }
}

impl Seen {
    /// Reads two answers of the server.
    #[must_use]
    pub fn of(view: &Value, reasons: &Value) -> Self {
        let text = |pointer: &str| view.pointer(pointer).and_then(Value::as_str).map(plain);
        let named = view.pointer("/rollout/waves").and_then(Value::as_array);
        let names = named
            .into_iter()
            .flatten()
            .map(|wave| plain(wave.get("name").and_then(Value::as_str).unwrap_or("wave")));
        let counted = view.get("waves").and_then(Value::as_array).into_iter().flatten();
        let waves = names.zip(counted).map(|(name, wave)| WaveSeen::of(name, wave));
        let reasons = reasons.get("reasons").and_then(Value::as_array).into_iter().flatten();
        Self {
            state: text("/state").unwrap_or_else(|| "unknown".to_owned()),
            why: text("/rollout/state/reason"),
            waves: waves.collect(),
            reasons: reasons.take(REASONS).map(reason).collect(),
        }
    }

    /// How it ended, if it has.
    fn end(&self, id: &Name) -> Option<Result<Report, Failure>> {
        let waves: Vec<Value> = self.waves.iter().map(WaveSeen::facts).collect();
        match self.state.as_str() {
            "finished" | "returned" => {
                let json = json!({"id": id.as_str(), "state": self.state, "waves": waves});
                Some(Ok(Report::new(format!("{id}: {}", self.state), json)))
            }
            "halted" | "stopped" | "aborted" => {
                let why = self.why.as_deref().unwrap_or("no reason was given");
                Some(Err(Failure::Refused(json!({
                    "type": "urn:cordon:problem:rollout_stopped",
                    "title": format!("The rollout is {}", self.state),
                    "detail": format!("{id} is {}: {why}", self.state),
                    "reasons": self.reasons,
                    "waves": waves,
                }))))
            }
            _ => None,
        }
    }

    /// What has changed, one sentence a line.
    #[must_use]
    pub fn lines(&self, before: Option<&Self>) -> Vec<String> {
        let mut lines = Vec::new();
        if before.is_none_or(|before| (&before.state, &before.why) != (&self.state, &self.why)) {
            let why = self.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            lines.push(format!("{}{why}", self.state));
        }
        for (place, wave) in self.waves.iter().enumerate() {
            if before.and_then(|before| before.waves.get(place)) != Some(wave) {
                lines.push(format!("{}: {}", wave.name, wave.words()));
            }
        }
        if before.is_none_or(|before| before.reasons != self.reasons) {
            lines.extend(self.reasons.iter().map(|reason| format!("  {reason}")));
        }
        lines
    }
}

impl WaveSeen {
    fn of(name: String, wave: &Value) -> Self {
        let count = |field: &str| wave.get(field).and_then(Value::as_u64).unwrap_or(0);
        let counts: BTreeMap<&'static str, u64> =
            STAGES.iter().map(|(field, _)| (*field, count(field))).filter(|(_, count)| *count > 0).collect();
        Self { name, devices: counts.values().sum(), counts }
    }

    /// "12 of 20 confirmed, 3 installing, 5 unreached".
    fn words(&self) -> String {
        let count = |field: &str| self.counts.get(field).copied().unwrap_or(0);
        let mut words = format!("{} of {} confirmed", count("confirmed"), self.devices);
        for (field, word) in STAGES.iter().skip(1).filter(|(field, _)| count(field) > 0) {
            words += &format!(", {} {word}", count(field));
        }
        words
    }

    fn ended(&self) -> u64 {
        ENDED.iter().filter_map(|field| self.counts.get(field)).sum()
    }

    fn facts(&self) -> Value {
        json!({"name": self.name, "devices": self.devices, "counts": self.counts})
    }
}

/// "41 waiting for `in-use` in wave 1, 2: a patient is attached".
fn reason(reason: &Value) -> String {
    let text = |field: &str| reason.get(field).and_then(Value::as_str).map(plain);
    let count = reason.get("count").and_then(Value::as_u64).unwrap_or(0);
    let waves = reason.get("waves").and_then(Value::as_array).into_iter().flatten();
    let waves: Vec<String> = waves.map(ToString::to_string).collect();
    let sentence = text("sentence").map(|sentence| format!(": {sentence}")).unwrap_or_default();
    format!("{count} {} in wave {}{sentence}", text("code").unwrap_or_default(), waves.join(", "))
}

/// Where it is shown.
enum Screen {
    Lines,
    Bars { all: MultiProgress, waves: Vec<ProgressBar>, foot: Option<ProgressBar> },
}

impl Screen {
    fn of(terminal: bool) -> Self {
        if terminal {
            Self::Bars { all: MultiProgress::new(), waves: Vec::new(), foot: None }
        } else {
            Self::Lines
        }
    }

    /// A line that cannot be written is no reason to stop looking: the exit status is what scripts wait for.
    fn show(&mut self, before: Option<&Seen>, seen: &Seen, shown: &mut dyn Write) {
        match self {
            Self::Lines => {
                for line in seen.lines(before) {
                    let _ = writeln!(shown, "{line}");
                }
            }
            Self::Bars { all, waves, foot } => {
                for wave in seen.waves.iter().skip(waves.len()) {
                    waves.push(all.add(bar(wave.devices)));
                }
                for (bar, wave) in waves.iter().zip(&seen.waves) {
                    bar.set_prefix(wave.name.clone());
                    bar.set_position(wave.ended());
                    bar.set_message(wave.words());
                }
                let foot = foot.get_or_insert_with(|| all.add(text()));
                foot.set_message(
                    seen.lines(None)
                        .into_iter()
                        .filter(|line| is_foot(line, seen))
                        .collect::<Vec<_>>()
                        .join("\n"),
                );
            }
        }
    }

    fn close(&self) {
        if let Self::Bars { waves, foot, .. } = self {
            waves.iter().chain(foot).for_each(ProgressBar::abandon);
        }
    }
}

/// Whether a line stands under the bars: the state and the reasons do, what the bars say does not.
fn is_foot(line: &str, seen: &Seen) -> bool {
    line.starts_with("  ") || line.starts_with(&seen.state)
}

fn bar(devices: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:16!} {bar:30} {pos}/{len} {wide_msg}");
    ProgressBar::new(devices).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn text() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
