//! Golden scripts: a fleet and what happens to it in, the plan out, one text for every rule.
//!
//! A script is read by people first. Lines that begin with two blanks are what the engine said; all others are what it
//! was given. `T+300 D3 waits interlock` is a check-in, `T+300 D3 confirmed` a receipt, `T+300 plan` one step of the
//! engine. A changed rule changes a text, and the change is read before it is taken in.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::checkin::{Action, Blocked, UpdateState};
use cordon_proto::ids::Sha256;
use cordon_proto::receipt::Outcome;

use super::fixture::{pump as new_pump, words as words_of, *};
use super::*;

/// One script at work.
struct Script {
    ward: Ward,
}

impl Script {
    fn line(&mut self, line: &str) -> Option<String> {
        let mut said = line.split_whitespace();
        let first = said.next()?;
        let words: Vec<&str> = said.collect();
        match first {
            "#" => None,
            "policy" | "order" | "rollout" | "wave" => {
                self.set(first, &words);
                None
            }
            at => {
                let seconds: i64 =
                    at.strip_prefix("T+").and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("{line}"));
                self.at(NOW.plus_seconds(seconds), &words)
            }
        }
    }

    /// `policy in_flight=2`, `order w1 expires=600`, `rollout priority=700`, `wave 2 joins`.
    fn set(&mut self, what: &str, words: &[&str]) {
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let number = || value.parse::<u32>().unwrap_or_else(|_| panic!("{word}"));
            let at = |value: &str| NOW.plus_seconds(value.parse().expect("seconds"));
            let rollout = self.ward.rollout();
            match (what, key) {
                ("policy", "in_flight") => rollout.policy.in_flight = number(),
                ("policy", "silent_after") => rollout.policy.silent_after_s = number(),
                ("policy", "soak") => rollout.policy.soak_s = number(),
                ("policy", "limit") => rollout.policy.failure_limit_permille = number(),
                ("policy", "count") => rollout.policy.failure_count = Some(number()),
                ("policy", "rate") => rollout.policy.failure_rate_permille = Some(number()),
                ("policy", "rate_from") => rollout.policy.rate_from = number(),
                ("policy", "waiting_after") => rollout.policy.advance.waiting_after_s = Some(number()),
                ("policy", "accept") => rollout.acceptance = Acceptance::Sample { per_wave: number() },
                ("wave", "joins") => rollout.waves[0].joins = true,
                ("order", "w1" | "w2") => {}
                ("order", "expires") => {
                    let order = self.ward.book.orders.get_mut(&name(words[0])).expect("an order");
                    order.expires = at(value);
                }
                ("order", "back") => {
                    let order = self.ward.book.orders.get_mut(&name(words[0])).expect("an order");
                    order.back.as_mut().expect("a way back").until = at(value);
                }
                ("order", "withdrawn") => drop(self.ward.book.orders.remove(&name(words[0]))),
                other => panic!("{other:?}"),
            }
        }
    }

    fn at(&mut self, now: Timestamp, words: &[&str]) -> Option<String> {
        match words {
            ["plan"] => return Some(words_of(&self.ward.step(now))),
            ["tell", pump] => return Some(self.told(number(pump), now)),
            ["tally", wave] => return Some(self.tally(wave, now)),
            ["reasons"] => return Some(self.reasons(now)),
            ["second", priority] => {
                let mut second = self.ward.rollout().clone();
                second.id = name("r-2");
                second.waves[0].order = name("w2");
                second.priority = priority.parse().expect("a number");
                second.created = now;
                self.ward.book.rollouts.insert(name("r-2"), second);
            }
            ["person", act] => self.ward.by(act, now),
            ["hold"] | ["hold", _] => {
                let until = words.get(1).map(|s| now.plus_seconds(s.parse().expect("seconds")));
                let (id, covers) = (name("h"), Covers::Ward("St. Brigid/4B".to_string()));
                let (by, reason, at) = ("m".to_string(), "a move".to_string(), now);
                self.ward
                    .book
                    .holds
                    .insert(id.clone(), Hold { v: 1, id, covers, by, reason, at, until, lapsed: None });
            }
            ["enrol", pump] => {
                let number = number(pump);
                self.ward.pumps.insert(number, new_pump(number));
            }
            [pumps, act @ ..] => {
                let outs: Vec<String> = all(pumps).filter_map(|pump| self.pump(pump, act, now)).collect();
                return (!outs.is_empty()).then(|| outs.join("\n"));
            }
            [] => panic!("nothing is said"),
        }
        None
    }

    fn pump(&mut self, pump: u8, act: &[&str], now: Timestamp) -> Option<String> {
        let order = {
            let of = self.ward.rollout().wave_of(id(pump)).map(|(_, wave)| wave.order.to_string());
            of.unwrap_or_else(|| "w1".to_string())
        };
        let said = |state, codes: &[&str]| report(state, Some(order.as_str()), codes);
        match act {
            ["asks"] => self.ward.waits(pump, &order, &["no-permit"], now),
            ["free"] => self.ward.waits(pump, &order, &[], now),
            ["waits", codes @ ..] => self.ward.waits(pump, &order, codes, now),
            ["asks-back", codes @ ..] => {
                let codes = if codes.is_empty() { &["no-permit"][..] } else { codes };
                self.ward.say(pump, now, said(UpdateState::Waiting, codes), Action::Back);
            }
            ["trial"] => {
                self.ward.say(pump, now, said(UpdateState::Trial, &["trial-health"]), Action::Install)
            }
            ["fetches"] => self.ward.say(pump, now, said(UpdateState::Fetching, &[]), Action::Install),
            ["idle"] => self.ward.say(pump, now, report(UpdateState::Idle, None, &[]), Action::Install),
            ["runs-it"] => {
                let mut said = said(UpdateState::Refused, &["not-newer"]);
                said.software.sha256 = ORDERED;
                self.ward.say(pump, now, said, Action::Install);
            }
            ["refuses", code] => {
                self.ward.say(pump, now, said(UpdateState::Refused, &[code]), Action::Install)
            }
            ["accepted", good] => {
                let accepted = Accepted {
                    at: now,
                    by: "m".to_string(),
                    good: *good == "good",
                    work_order: None,
                    note: String::new(),
                };
                let of = self.ward.of.clone();
                let known = self.ward.book.progress.entry(of).or_default().entry(id(pump)).or_default();
                known.accepted = Some(accepted);
            }
            [outcome, how @ ..] => return self.receipt((pump, &order), outcome, how, now),
            [] => panic!("pump {pump} says nothing"),
        }
        None
    }

    fn receipt(
        &mut self,
        (pump, order): (u8, &str),
        outcome: &str,
        how: &[&str],
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
        for word in how {
            match *word {
                "other-image" => said.sha256 = Sha256([9; 32]),
                "older" => said.time = NOW.plus_seconds(-1),
                "back" => said.action = Action::Back,
                code => {
                    let sentence = text(&format!("Says {code}."));
                    said.reason = Some(Blocked { code: text(code), sentence });
                }
            }
        }
        let counted = self.ward.count(&said, now);
        counted.err().map(|why| format!("  counts for nothing: {why:?}"))
    }

    fn told(&self, pump: u8, now: Timestamp) -> String {
        let told = self.ward.tell(pump, now);
        let Some(offer) = told.order else { return "  nothing".to_string() };
        let go = told.permit.map_or_else(
            || "no go".to_string(),
            |permit| format!("go until T+{}", permit.until.seconds_since(NOW)),
        );
        format!("  {} {:?}, {go}", offer.order, offer.action)
    }

    fn tally(&mut self, wave: &str, now: Timestamp) -> String {
        let fleet = self.ward.fleet(now);
        let rollout = self.ward.rollout().clone();
        let wave = &rollout.waves[wave.parse::<usize>().expect("a wave") - 1];
        let counted = tally(wave, &fleet, &rollout.policy, now);
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

    fn reasons(&mut self, now: Timestamp) -> String {
        let fleet = self.ward.fleet(now);
        let rollout = self.ward.rollout().clone();
        let reasons = self.ward.book.reasons(&rollout, &fleet, now);
        let lines = reasons.iter().map(|reason| {
            let waves: Vec<String> = reason.waves.iter().map(|wave| (wave + 1).to_string()).collect();
            format!("  {}: {} in wave {}", reason.code, reason.count, waves.join(", "))
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn number(pump: &str) -> u8 {
    pump.strip_prefix('D').and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{pump}"))
}

/// `D3`, or `D0-D7`.
fn all(pumps: &str) -> core::ops::RangeInclusive<u8> {
    let (first, last) = pumps.split_once('-').unwrap_or((pumps, pumps));
    number(first)..=number(last)
}

/// What a script reads like with the engine's words of today. Its first line says the sizes of the waves.
fn played(text: &str) -> String {
    let mut given = text.lines().filter(|line| !line.starts_with("  "));
    let first = given.next().expect("a first line");
    let sizes: Vec<u8> = first.split_whitespace().skip(1).map(|size| size.parse().expect("a size")).collect();
    let mut script = Script { ward: Ward::new(rollout(sizes[0], sizes.get(1).copied().unwrap_or(0))) };
    if sizes.len() == 1 {
        script.ward.rollout().waves.truncate(1);
    }
    let mut out = Vec::from([first.to_string()]);
    for line in given {
        out.push(line.to_string());
        out.extend(script.line(line));
    }
    out.join("\n") + "\n"
}

macro_rules! scripts {
    ($($name:ident: $file:literal,)*) => {$(
        #[test]
        fn $name() {
            // Goal: the rule that the script is named after. Method: play it, compare with the text.
            let text = include_str!(concat!("golden/", $file, ".txt"));
            let played = played(text);
            assert!(played == text, "golden/{}.txt reads now:\n{played}", $file);
        }
    )*};
}

scripts! {
    a_device_in_use_takes_no_place: "01-in-use",
    silence_is_a_failure_and_is_tried_again: "02-silent",
    older_and_other_receipts_count_for_nothing: "03-receipts",
    forty_percent_unreached_do_not_stop_a_rollout: "04-unreached",
    failing_and_silent_stop_and_unreached_do_not: "05-mixed",
    final_refusals_end_a_device: "06-refused",
    a_bad_release_stops_in_the_first_wave: "07-bad-release",
    the_way_back_returns_all_who_confirmed: "08-way-back",
    people_stop_pause_and_abort: "09-people",
    a_hold_takes_the_go_and_lapses: "10-hold",
    orders_that_end_stop_the_rollout: "11-orders-end",
    the_more_urgent_rollout_is_offered: "12-priority",
    a_count_and_a_share_stop: "13-count-and-rate",
    a_sample_is_accepted_by_a_person: "14-acceptance",
    who_comes_to_fit_joins: "15-joins",
    latecomers_of_a_settled_wave_still_count: "16-latecomers",
    who_waits_too_long_is_not_waited_for: "17-waiting",
}
