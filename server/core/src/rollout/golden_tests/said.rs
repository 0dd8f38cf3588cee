//! What the engine says in a script, in words that begin with two blanks: what a device is told, how a wave is counted,
//! who waits for what, and what the check, the opening and the splitting refuse.
//!
//! Read next: [`super::script`].

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::checkin::Action;
use cordon_proto::ids::DeviceId;

use super::super::fixture::*;
use super::super::*;
use super::script::{Script, number};

impl Script {
    pub(super) fn told(&self, pump: u8, now: Timestamp) -> String {
        let told = self.ward.tell(pump, now);
        let content = self.ward.book.tell_content(&self.ward.pumps[&pump], now);
        let content =
            content.map(|told| format!("  content {} version {}", told.offer.content, told.version));
        let order = told.order.map(|offer| {
            let go = told.permit.map_or_else(
                || "no go".to_string(),
                |permit| format!("go until T{:+}", permit.until.seconds_since(NOW)),
            );
            format!("  {} {:?}, {go}", offer.order, offer.action)
        });
        let lines: Vec<String> = order.into_iter().chain(content).collect();
        if lines.is_empty() { "  nothing".to_string() } else { lines.join("\n") }
    }

    pub(super) fn tally(&mut self, wave: &str, now: Timestamp) -> String {
        let fleet = self.ward.fleet(now);
        let rollout = self.ward.rollout().clone();
        let counted = tally(wave_of(&rollout, wave), &fleet, &rollout.policy, now);
        format!(
            "  of {}: {} unreached, {} waiting, {} installing, {} already, {} confirmed, {} returned, failed: {}",
            counted.total(),
            counted.unreached,
            counted.waiting,
            counted.installing,
            counted.already,
            counted.confirmed,
            counted.returned,
            if counted.failed() == 0 { "none".to_string() } else { counted.failures() }
        )
    }

    pub(super) fn reasons(&mut self, now: Timestamp) -> String {
        let fleet = self.ward.fleet(now);
        let rollout = self.ward.rollout().clone();
        let reasons = self.ward.book.reasons(&rollout, &fleet, now);
        let lines = reasons.iter().map(|reason| {
            let waves: Vec<String> = reason.waves.iter().map(|wave| (wave + 1).to_string()).collect();
            format!("  {}: {} in wave {}", reason.code, reason.count, waves.join(", "))
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The devices of begun waves by their stage.
    pub(super) fn stages(&mut self, now: Timestamp) -> String {
        let fleet = self.ward.fleet(now);
        let rollout = self.ward.rollout().clone();
        let begun = rollout.waves.iter().filter(|wave| wave.started.is_some());
        let mut stages: BTreeMap<Stage, Vec<u8>> = BTreeMap::new();
        for device in begun.flat_map(|wave| &wave.devices) {
            let stage = fleet[device].stage(&rollout.policy, now);
            stages.entry(stage).or_default().push(of(*device));
        }
        let lines = stages.iter().map(|(stage, pumps)| format!("  {stage:?}: {}", ranges(pumps)));
        lines.collect::<Vec<_>>().join("\n")
    }

    pub(super) fn state(&mut self) -> String {
        match &self.ward.rollout().state {
            State::Running => "  running".to_string(),
            State::Halted { wave, reason, .. } => format!("  halted in wave {}: {reason}", wave + 1),
            State::Paused { by, reason, .. } => format!("  paused by {by}: {reason}"),
            State::Stopped { by, reason, .. } => format!("  stopped by {by}: {reason}"),
            State::Aborted { by, reason, .. } => format!("  aborted by {by}: {reason}"),
            State::Returning => "  returning".to_string(),
            State::Returned { .. } => "  returned".to_string(),
            State::Finished { .. } => "  finished".to_string(),
        }
    }

    /// People's stops that hold a device now.
    pub(super) fn holds(&self, pump: u8, now: Timestamp) -> String {
        let pump = &self.ward.pumps[&pump];
        let holds = self.ward.book.holds_over(pump).filter(|hold| hold.holds(now)).map(|hold| {
            let covers = match &hold.covers {
                Covers::Ward(name) => format!("ward {name}"),
                Covers::Site(name) => format!("site {name}"),
                Covers::Model(name) => format!("model {name}"),
            };
            let end =
                hold.until.map_or_else(String::new, |until| format!(" until T+{}", until.seconds_since(NOW)));
            format!("  {covers} by {}{end}: {}", hold.by, hold.reason)
        });
        let lines: Vec<String> = holds.collect();
        if lines.is_empty() { "  nobody".to_string() } else { lines.join("\n") }
    }

    /// Who of a wave still has to be looked at by a person.
    pub(super) fn unaccepted_of(&mut self, wave: &str, now: Timestamp) -> String {
        let fleet = self.ward.fleet(now);
        let rollout = self.ward.rollout().clone();
        let mut pumps: Vec<u8> =
            unaccepted(&rollout, wave_of(&rollout, wave), &fleet).into_iter().map(of).collect();
        pumps.sort_unstable();
        if pumps.is_empty() { "  nobody".to_string() } else { format!("  {}", ranges(&pumps)) }
    }

    /// Whether a person may let it go on.
    pub(super) fn would_stop(&mut self, now: Timestamp) -> String {
        let why = self.ward.sighted(now, would_stop);
        why.map_or_else(|| "  it may go on".to_string(), |why| format!("  it would stop at once: {why}"))
    }

    pub(super) fn unfit(&mut self) -> String {
        self.ward
            .rollout()
            .policy
            .unfit()
            .map_or_else(|| "  fit".to_string(), |why| format!("  unfit: {why}"))
    }

    /// Whether a rollout of the first wave's order may begin over the devices of it.
    pub(super) fn ready(&mut self) -> String {
        let wave = self.ward.rollout().waves[0].clone();
        let order = &self.ward.book.orders[&wave.order];
        let models =
            wave.devices.iter().map(|device| (*device, &self.ward.pumps[&of(*device)].hardware.model));
        match ready(order, self.listed.as_ref(), self.image_is_here, models) {
            Ok(()) => "  it may begin".to_string(),
            Err(why) => {
                let words = wave.devices.iter().fold(why.to_string(), |words, device| {
                    words.replace(&device.to_string(), &format!("D{}", of(*device)))
                });
                format!("  {}: {words}", why.rule())
            }
        }
    }

    /// What the second opinion says of a plan that somebody else made: `check go D3, halt 1`.
    pub(super) fn check(&mut self, acts: &[&str], now: Timestamp) -> String {
        let acts = acts.join(" ");
        let acts: Vec<Act> = acts.split(", ").map(|act| self.act(act)).collect();
        let judged = self.ward.sighted(now, |rollout, sight| check(rollout, sight, &acts));
        judged.map_or_else(|why| format!("  refused: {why:?}"), |()| "  passes".to_string())
    }

    fn act(&mut self, act: &str) -> Act {
        let words: Vec<&str> = act.split_whitespace().collect();
        let wave = |number: &str| number.parse::<usize>().expect("a wave") - 1;
        let at = |pump: &str, script: &mut Self| {
            let device = id(number(pump));
            (script.ward.rollout().wave_of(device).map_or(0, |(index, _)| index), device)
        };
        let reason = "it was asked to".to_string();
        match words.as_slice() {
            ["go", pump] => {
                let (wave, device) = at(pump, self);
                Act::Permit { wave, device }
            }
            ["go", pump, "in", number] => Act::Permit { wave: wave(number), device: at(pump, self).1 },
            ["way-back", pump] => {
                let (wave, device) = at(pump, self);
                Act::Back { wave, device }
            }
            ["take-back", pump] => {
                let (wave, device) = at(pump, self);
                Act::TakeBack { wave, device, action: Action::Install }
            }
            ["silent", pump] => {
                let (wave, device) = at(pump, self);
                Act::Silent { wave, device, action: Action::Install }
            }
            ["join", pump] => Act::Join { wave: 0, device: id(number(pump)) },
            ["begin", number] => Act::Begin { wave: wave(number) },
            ["settle", number] => Act::Settle { wave: wave(number) },
            ["halt", number] => Act::Halt { wave: wave(number), reason },
            ["stop"] => Act::Stop { reason },
            ["finish"] => Act::Finish,
            ["finish-return"] => Act::FinishReturn,
            other => panic!("no act: {other:?}"),
        }
    }

    /// Whether another open rollout of the same release has this device already.
    pub(super) fn clash(&mut self, pump: u8, now: Timestamp) -> String {
        let rollout = self.ward.rollout().clone();
        let other = self.ward.book.elsewhere(&rollout, id(pump), now);
        other.map_or_else(|| "  nobody".to_string(), |other| format!("  {} has it", other.id))
    }
}

/// `split 12 2,25%,rest`: so many devices, every third of the ward ICU, in waves of these sizes.
pub(super) fn split(words: &[&str]) -> String {
    let [count, sizes] = words else { panic!("{words:?}") };
    let count: u8 = count.parse().expect("a number");
    let devices: Vec<(u8, &str)> = (0..count).map(|n| (n, if n % 3 == 0 { "ICU" } else { "4B" })).collect();
    let sizes: Result<Vec<Size>, SplitError> = sizes.split(',').map(str::parse).collect();
    match sizes.and_then(|sizes| super::super::split(&devices, &sizes)) {
        Ok(waves) => {
            let lines =
                waves.iter().zip(1..).map(|(wave, number)| format!("  wave {number}: {}", ranges(wave)));
            lines.collect::<Vec<_>>().join("\n")
        }
        Err(why) => format!("  {why}"),
    }
}

/// `again trial-crashes`, `again silent 2`: the class of a code, and when a device with that end is given the go again.
pub(super) fn again(words: &[&str]) -> String {
    let tries = words.get(1).map_or(0, |tries| tries.parse().expect("a number"));
    let class = class_of(words[0]);
    let words = match super::super::again(class, tries, NOW, &Pace::default(), NOW) {
        Again::Now => "at once".to_string(),
        Again::At(at) => format!("after {} s", at.seconds_since(NOW)),
        Again::Never => "never under this order".to_string(),
    };
    format!("  {class:?}: {words}")
}

fn wave_of<'a>(rollout: &'a Rollout, wave: &str) -> &'a Wave {
    &rollout.waves[wave.parse::<usize>().expect("a wave") - 1]
}

/// The pump of a device.
fn of(device: DeviceId) -> u8 {
    (0..=u8::MAX).find(|number| id(*number) == device).expect("a pump")
}

/// `D0-D2, D5`.
fn ranges(pumps: &[u8]) -> String {
    let mut found: Vec<(u8, u8)> = Vec::new();
    for pump in pumps {
        match found.last_mut() {
            Some((_, last)) if *last + 1 == *pump => *last = *pump,
            _ => found.push((*pump, *pump)),
        }
    }
    let words = found.iter().map(|(first, last)| match first == last {
        true => format!("D{first}"),
        false => format!("D{first}-D{last}"),
    });
    words.collect::<Vec<_>>().join(", ")
}
