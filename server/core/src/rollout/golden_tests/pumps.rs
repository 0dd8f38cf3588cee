//! What pumps do in a script: check-ins with all that they may say, and receipts.
//!
//! Read next: [`super::script`].

use alloc::format;
use alloc::string::{String, ToString};

use cordon_proto::checkin::{Action, Blocked, ContentFault, UpdateState};
use cordon_proto::ids::Sha256;
use cordon_proto::receipt::Outcome;

use super::super::fixture::{report as plain_report, *};
use super::super::*;
use super::script::{NEWER, Script};
use crate::device::{Report, State as Trust};

impl Script {
    /// What a pump does, and what the engine says to it, if anything.
    pub(super) fn pump(&mut self, pump: u8, act: &[&str], now: Timestamp) -> Option<String> {
        let order = {
            let of = self.ward.rollout().wave_of(id(pump)).map(|(_, wave)| wave.order.to_string());
            of.unwrap_or_else(|| "w1".to_string())
        };
        match act {
            ["becomes", state] => self.device(pump).state = trust(state),
            ["stands", site, ward] => {
                let placement = &mut self.device(pump).placement;
                (placement.site, placement.ward) = (text(site), text(ward));
            }
            ["is-a", model] => self.device(pump).hardware.model = text(model),
            ["sleeps"] => self.device(pump).listens = None,
            ["listens"] => self.device(pump).listens = Some(now.plus_seconds(660)),
            ["accepted", word] => self.accepted(pump, *word == "good", now),
            ["calls", codes @ ..] => return Some(self.calls(pump, codes, now)),
            ["has", version] => self.has(pump, (version, None), now),
            ["faults", code, version] => self.has(pump, (version, Some(code)), now),
            [outcome @ ("confirmed" | "rolled-back" | "refused" | "went-back"), how @ ..] => {
                return self.receipt((pump, &order), (outcome, how), now);
            }
            [state, codes @ ..] => self.says(pump, (&order, state), codes, now),
            [] => panic!("pump {pump} says nothing"),
        }
        None
    }

    fn device(&mut self, pump: u8) -> &mut crate::device::Device {
        self.ward.pumps.get_mut(&pump).expect("a pump")
    }

    /// A check-in: where its update stands, under which order, and what is in its way.
    fn says(&mut self, pump: u8, (order, state): (&str, &str), codes: &[&str], now: Timestamp) {
        let (codes, action) = match (state, codes) {
            ("asks", _) => (&["no-permit"][..], Action::Install),
            ("asks-back", []) => (&["no-permit"][..], Action::Back),
            ("asks-back", codes) => (codes, Action::Back),
            ("trial", []) => (&["trial-health"][..], Action::Install),
            ("runs-it", []) => (&["not-newer"][..], Action::Install),
            (_, codes) => (codes, Action::Install),
        };
        if state == "runs-it" {
            self.runs.insert(pump, ORDERED);
        }
        let (state, of) = match state {
            "asks" | "free" | "waits" | "asks-back" => (UpdateState::Waiting, Some(order)),
            "armed" => (UpdateState::Armed, Some(order)),
            "trial" => (UpdateState::Trial, Some(order)),
            "fetches" => (UpdateState::Fetching, Some(order)),
            "says-confirmed" => (UpdateState::Confirmed, Some(order)),
            "says-rolled-back" => (UpdateState::RolledBack, Some(order)),
            "refuses" | "runs-it" => (UpdateState::Refused, Some(order)),
            "idle" => (UpdateState::Idle, None),
            "fetches-other" => (UpdateState::Fetching, Some("other")),
            other => panic!("no word of a pump: {other}"),
        };
        let said = self.report(pump, plain_report(state, of, codes));
        self.ward.say(pump, now, said, action);
    }

    /// The report, with what the pump runs.
    fn report(&self, pump: u8, said: Report) -> Report {
        let mut said = said;
        if let Some(runs) = self.runs.get(&pump) {
            said.software.sha256 = *runs;
        }
        said
    }

    /// A check-in at the server that holds the lease: its go is decided before the answer.
    fn calls(&mut self, pump: u8, codes: &[&str], now: Timestamp) -> String {
        let told = self.ward.tell(pump, now);
        let (Some(offer), Some(of)) = (told.order, told.of) else {
            let said = self.report(pump, plain_report(UpdateState::Idle, None, &[]));
            self.ward.say(pump, now, said, Action::Install);
            return "  nothing".to_string();
        };
        let codes = if codes.is_empty() { &["no-permit"][..] } else { codes };
        let said = plain_report(UpdateState::Waiting, Some(offer.order.as_str()), codes);
        let said = self.report(pump, said);
        self.ward.say(pump, now, said, offer.action);
        let stepped = core::mem::replace(&mut self.ward.of, of);
        let _given = self.ward.is_given_at_check_in(pump, now);
        self.ward.of = stepped;
        self.told(pump, now)
    }

    /// A check-in that names the content in force, or one that was refused or given back; what it is offered in the
    /// answer is written down first.
    fn has(&mut self, pump: u8, (version, code): (&str, Option<&&str>), now: Timestamp) {
        let version = version.parse().expect("a version");
        let blocked = |code: &&str| Blocked { code: text(code), sentence: text(&format!("Says {code}.")) };
        let fault = |why| ContentFault { content: name("icu"), version, why };
        let content_fault = code.map(blocked).map(fault);
        let content_version = if content_fault.is_some() { 0 } else { version };
        let said = Report { content_version, content_fault, ..plain_report(UpdateState::Idle, None, &[]) };
        let said = self.report(pump, said);
        self.ward.say(pump, now, said, Action::Install);
        self.ward.answer_content(pump, now);
    }

    fn accepted(&mut self, pump: u8, good: bool, now: Timestamp) {
        let word = Accepted {
            at: now,
            by: "m".to_string(),
            good,
            work_order: None,
            note: "the alarm is mute".into(),
        };
        let of = self.ward.of.clone();
        let known = self.ward.book.progress.entry(of).or_default().entry(id(pump)).or_default();
        known.accepted = Some(word);
    }

    fn receipt(
        &mut self,
        (pump, order): (u8, &str),
        (outcome, how): (&str, &[&str]),
        now: Timestamp,
    ) -> Option<String> {
        let outcome = match outcome {
            "confirmed" => Outcome::Confirmed,
            "rolled-back" => Outcome::RolledBack,
            "refused" => Outcome::Refused,
            "went-back" => Outcome::WentBack,
            other => panic!("no word of a pump: {other}"),
        };
        let mut said = receipt(&self.ward.pumps[&pump].clone(), order, outcome);
        said.time = now;
        if order == "n1" && outcome == Outcome::Confirmed {
            said.sha256 = NEWER;
        }
        for word in how {
            match *word {
                "other-image" => said.sha256 = Sha256([9; 32]),
                "older" => said.time = NOW.plus_seconds(-1),
                "other-order" => said.order = name("other"),
                "back" => said.action = Action::Back,
                at if at.starts_with("at=") => {
                    said.time = NOW.plus_seconds(at.trim_start_matches("at=").parse().expect("seconds"));
                }
                code => {
                    let sentence = text(&format!("Says {code}."));
                    said.reason = Some(Blocked { code: text(code), sentence });
                }
            }
        }
        match self.ward.count(&said, now) {
            Err(why) => Some(format!("  counts for nothing: {why:?}")),
            Ok(()) => {
                self.runs.insert(pump, said.sha256);
                None
            }
        }
    }
}

fn trust(state: &str) -> Trust {
    match state {
        "active" => Trust::Active,
        "quarantined" => Trust::Quarantined,
        "expected" => Trust::Expected,
        "pending" => Trust::Pending,
        "retired" => Trust::Retired,
        "lost" => Trust::Lost,
        other => panic!("no state of a device: {other}"),
    }
}
