//! One script at work: its lines are read, things happen to the ward, and what the engine says is written down.
//!
//! Nothing is decided here, and no line is guessed at: one that is not understood ends the test. Read next: [`super::pumps`]
//! for what pumps do, [`super::said`] for what the engine says.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::ids::Sha256;
use cordon_proto::update::content::Assignment;
use cordon_proto::update::order::Order;
use cordon_proto::update::scope::Scope;
use cordon_proto::update::window::Window;

use super::super::fixture::{pump as new_pump, words as words_of, *};
use super::super::*;
use super::preview;

/// The image of a second, newer release.
pub(super) const NEWER: Sha256 = Sha256([2; 32]);

/// One script at work.
pub(super) struct Script {
    pub(super) ward: Ward,
    /// What pumps run by their own word, where it is not the image of before.
    pub(super) runs: BTreeMap<u8, Sha256>,
    /// What the maker lists, for [`ready`]; nothing if it does not list the release.
    pub(super) listed: Option<Listed>,
    pub(super) image_is_here: bool,
}

impl Script {
    /// A ward whose waves have these sizes.
    pub(super) fn new(sizes: &[u8]) -> Self {
        let mut ward = Ward::new(rollout(sizes[0], sizes.get(1).copied().unwrap_or(0)));
        if sizes.len() == 1 {
            ward.rollout().waves.truncate(1);
        }
        Self { ward, runs: BTreeMap::new(), listed: Some(listed()), image_is_here: true }
    }

    /// What the engine says to a line, if anything.
    pub(super) fn line(&mut self, line: &str) -> Option<String> {
        let mut said = line.split_whitespace();
        let first = said.next()?;
        let words: Vec<&str> = said.collect();
        match first {
            "#" => None,
            "preview" => Some(preview::fate_of(&words)),
            "way-back-preview" => Some(preview::way_back_of(&words)),
            "split" => Some(super::said::split(&words)),
            "again" => Some(super::said::again(&words)),
            "look" => {
                self.ward.of = name(words[0]);
                None
            }
            "content" | "list" | "unlist" => {
                self.contents(first, &words);
                None
            }
            "policy" | "order" | "rollout" | "wave" | "maker" => {
                words.iter().for_each(|word| self.set(first, words[0], word));
                None
            }
            at => {
                let seconds: i64 =
                    at.strip_prefix('T').and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("{line}"));
                self.at(NOW.plus_seconds(seconds), &words)
            }
        }
    }

    /// `policy in_flight=2`, `order w1 expires=600`, `rollout tries=1`, `wave joins`, `maker unknown`.
    fn set(&mut self, what: &str, of: &str, word: &str) {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match what {
            "policy" => self.set_policy(key, value),
            "order" if word != of => self.set_order(&name(of), key, value),
            "order" => {}
            _ => self.set_other(what, key, value),
        }
    }

    fn set_policy(&mut self, key: &str, value: &str) {
        let number = || value.parse::<u32>().unwrap_or_else(|_| panic!("{key}={value}"));
        if key == "places" {
            self.ward.places = number();
            return;
        }
        let rollout = self.ward.rollout();
        let policy = &mut rollout.policy;
        match key {
            "in_flight" => policy.in_flight = number(),
            "silent_after" => policy.silent_after_s = number(),
            "soak" => policy.soak_s = number(),
            "limit" => policy.failure_limit_permille = number(),
            "count" => policy.failure_count = Some(number()),
            "rate" => policy.failure_rate_permille = Some(number()),
            "rate_from" => policy.rate_from = number(),
            "least_failures" => policy.least_failures = number(),
            "waiting_after" => policy.advance.waiting_after_s = Some(number()),
            "unreached_after" => policy.advance.unreached_after_s = number(),
            "least_confirmed" => policy.advance.least_confirmed = number(),
            "least_share" => policy.advance.least_confirmed_permille = number(),
            "accept" => {
                rollout.acceptance = match value {
                    "none" => Acceptance::None,
                    "every" => Acceptance::Every,
                    _ => Acceptance::Sample { per_wave: number() },
                }
            }
            "tries" => rollout.pace.silent_tries = number(),
            "back_off" => rollout.pace.back_off_s = number(),
            "back_in_flight" => rollout.way_back.as_mut().expect("a return").in_flight = number(),
            other => panic!("no limit of a rollout: {other}"),
        }
    }

    fn set_order(&mut self, id: &Name, key: &str, value: &str) {
        if key == "withdrawn" {
            drop(self.ward.book.orders.remove(id));
            return;
        }
        let at = || NOW.plus_seconds(value.parse().expect("seconds"));
        let order = self.ward.book.orders.get_mut(id).expect("an order");
        match key {
            "expires" => order.expires = at(),
            "back" => order.back.as_mut().expect("a way back").until = at(),
            "no-way-back" => order.back = None,
            "offline" => order.permit_s = None,
            "permit" => order.permit_s = Some(value.parse().expect("seconds")),
            "window" => order.windows = [Window::ALWAYS].into(),
            "other-bytes" => order.image.sha256 = NEWER,
            "other-release" => order.image.release = "vp-3/9.9.9".parse().expect("a path"),
            other => panic!("nothing of an order: {other}"),
        }
    }

    fn set_other(&mut self, what: &str, key: &str, value: &str) {
        match (what, key) {
            ("wave", "joins") => self.ward.rollout().waves[0].joins = true,
            ("wave", "signed") => {
                let kind = self.ward.rollout().kind;
                let orders = self.ward.book.listed(kind).clone();
                let of = |wave: &mut Wave| wave.signed = orders.get(&wave.order).map(Signed::from);
                self.ward.rollout().waves.iter_mut().for_each(of);
            }
            ("rollout", "priority") => self.ward.rollout().priority = value.parse().expect("a number"),
            ("maker", "lists-it") => (self.listed, self.image_is_here) = (Some(listed()), true),
            ("maker", "unknown") => self.listed = None,
            ("maker", "took-back") => self.listed = Some(Listed { still: false, ..listed() }),
            ("maker", "other-bytes") => self.listed = Some(Listed { sha256: NEWER, ..listed() }),
            ("maker", "other-model") => self.listed = Some(Listed { model: text("VP-4"), ..listed() }),
            ("maker", "no-image") => self.image_is_here = false,
            other => panic!("{other:?}"),
        }
    }

    /// `content 7`: the rollout brings this content. `list 8`: the owner lists that version; `unlist`: none.
    fn contents(&mut self, what: &str, words: &[&str]) {
        let version = words.first().map(|version| version.parse().expect("a version"));
        if what != "unlist" {
            self.ward.book.contents = Contents::of([assignment(version.expect("a version"))]);
        } else {
            self.ward.book.contents = Contents::default();
        }
        if what == "content" {
            to_content(self.ward.rollout(), version.expect("a version"));
        }
    }

    fn at(&mut self, now: Timestamp, words: &[&str]) -> Option<String> {
        match words {
            ["plan"] => return Some(words_of(&self.ward.step(now))),
            ["tell", pump] => return Some(self.told(number(pump), now)),
            ["tally", wave] => return Some(self.tally(wave, now)),
            ["reasons"] => return Some(self.reasons(now)),
            ["stages"] => return Some(self.stages(now)),
            ["state"] => return Some(self.state()),
            ["holds", pump] => return Some(self.holds(number(pump), now)),
            ["to-look-at", wave] => return Some(self.unaccepted_of(wave, now)),
            ["would-stop"] => return Some(self.would_stop(now)),
            ["unfit"] => return Some(self.unfit()),
            ["ready"] => return Some(self.ready()),
            ["check", acts @ ..] => return Some(self.check(acts, now)),
            ["clash", pump] => return Some(self.clash(number(pump), now)),
            ["second", priority] => self.second((priority, false), now),
            ["second", priority, "newer"] => self.second((priority, true), now),
            ["second-content", version] => self.second_content(version, now),
            ["person", act] => self.person(act, now),
            ["hold", how @ ..] => self.hold(how, now),
            ["unhold"] => self.ward.book.holds.clear(),
            ["server", "starts"] => self.ward.book.there = Some(now),
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

    /// A second rollout of the same devices: of the same release under another order, or of a newer one.
    fn second(&mut self, (priority, newer): (&str, bool), now: Timestamp) {
        let mut second = self.ward.rollout().clone();
        second.id = name("r-2");
        second.waves[0].order = name("w2");
        second.priority = priority.parse().expect("a number");
        second.created = now;
        if newer {
            let mut order = Order { id: name("n1"), ..order("n1") };
            order.image.release = "vp-3/4.3.0".parse().expect("a path");
            order.image.sha256 = NEWER;
            (second.release, second.waves[0].order) = (order.image.release.clone(), order.id.clone());
            (second.waves[0].started, second.waves[0].settled) = (Some(now), None);
            second.waves.truncate(1);
            self.ward.book.orders.insert(order.id.clone(), order);
        }
        self.ward.book.rollouts.insert(name("r-2"), second);
    }

    /// A content for the devices of the first wave, beside their firmware.
    fn second_content(&mut self, version: &str, now: Timestamp) {
        let version = version.parse().expect("a version");
        let mut second = Rollout { id: name("r-2"), created: now, ..self.ward.rollout().clone() };
        second.waves.truncate(1);
        to_content(&mut second, version);
        self.ward.book.contents = Contents::of([assignment(version)]);
        self.ward.book.rollouts.insert(name("r-2"), second);
    }

    fn person(&mut self, act: &str, now: Timestamp) {
        match act {
            "finish" => self.ward.rollout().state = State::Finished { at: now },
            "return" => self.ward.rollout().state = State::Returning,
            act => self.ward.by(act, now),
        }
    }

    /// `hold`, `hold 100`, `hold site`, `hold model 100`.
    fn hold(&mut self, how: &[&str], now: Timestamp) {
        let until = how.iter().find_map(|word| word.parse().ok()).map(|seconds| now.plus_seconds(seconds));
        let covers = match how {
            ["site", ..] => Covers::Site("St. Brigid".to_string()),
            ["model", ..] => Covers::Model("VP-3".to_string()),
            _ => Covers::Ward("St. Brigid/4B".to_string()),
        };
        let id = name(if self.ward.book.holds.contains_key(&name("h")) { "h-2" } else { "h" });
        let (by, reason, at) = ("m".to_string(), "a move".to_string(), now);
        self.ward
            .book
            .holds
            .insert(id.clone(), Hold { v: 1, id, covers, by, reason, at, until, lapsed: None });
    }
}

/// The release as its maker lists it.
fn listed() -> Listed {
    Listed { model: text("VP-3"), sha256: ORDERED, length: 9, still: true }
}

/// The content `icu` as its owner lists it.
fn assignment(version: u64) -> Assignment {
    Assignment {
        id: name("icu"),
        length: 300,
        sha256: Sha256::of(&version.to_be_bytes()),
        scope: Scope::Match { model: text("VP-3"), hardware: text("C"), from_least: 0, from_most: 9 },
        version,
        issued: NOW,
        expires: NOW.plus_seconds(30 * 86_400),
        reason: text("quieter nights"),
    }
}

fn to_content(rollout: &mut Rollout, version: u64) {
    rollout.kind = RolloutKind::Content;
    rollout.content_version = Some(version);
    rollout.repository = name("director");
    rollout.release = Assignment::path_of(&name("icu"));
    let key = content_key(&name("icu")).expect("short");
    rollout.waves.iter_mut().for_each(|wave| wave.order = key.clone());
}

pub(super) fn number(pump: &str) -> u8 {
    pump.strip_prefix('D').and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{pump}"))
}

/// `D3`, or `D0-D7`.
fn all(pumps: &str) -> core::ops::RangeInclusive<u8> {
    let (first, last) = pumps.split_once('-').unwrap_or((pumps, pumps));
    number(first)..=number(last)
}
