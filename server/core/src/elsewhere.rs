//! Digests of what the ground computes with fractions, to compare machines.
//!
//! A score, a finding of health and the stop of a wave must not depend on the processor: fractions go through `libm`, and nothing is
//! left to a compiler that may fuse or widen. The cases are made from numbers by integers alone, so a number names the same case
//! everywhere. Read next: [`crate::risk::cases`] for the devices of the score, `examples/elsewhere.rs`, which prints the digests.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use cordon_proto::health::{ClockState, Disk, Drive, Health};
use cordon_proto::ids::Text;
use cordon_proto::wire;
use sha2::{Digest, Sha256};

use crate::cvss::{Vector, Version};
use crate::feeds::epss::Scores;
use crate::health::judge;
use crate::risk::cases::{Chance, NOW, written};
use crate::rollout::wilson;

/// Days of a device's health that are judged.
const DAYS: u32 = 60;

/// What makes a case by chance and gives its result.
type Case = fn(&mut Chance) -> Vec<u8>;

/// A digest of each kind of result, by name, over the cases with these numbers.
#[must_use]
pub fn digests(cases: Range<u64>) -> [(&'static str, String); 5] {
    let by = |result: Case| digest(cases.clone(), move |number| result(&mut Chance::new(number)));
    [
        ("scores", digest(cases.clone(), written)),
        ("vectors", by(vector)),
        ("chances", by(chance_of_attack)),
        ("health", by(health)),
        ("waves", by(wave)),
    ]
}

/// SHA-256 over what each case results in, in letters.
pub fn digest(cases: Range<u64>, result: impl Fn(u64) -> Vec<u8>) -> String {
    let mut all = Sha256::new();
    cases.for_each(|number| all.update(result(number)));
    all.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// A CVSS vector with its scores.
fn vector(chance: &mut Chance) -> Vec<u8> {
    let version = chance.of(&Version::ALL);
    let text = version.spell(|| usize::try_from(chance.below(64)).unwrap_or(0));
    let scores = Vector::parse(&text).map(|vector| vector.scores());
    format!("{text} {scores:?}\n").into_bytes()
}

/// A row of the table of chances, in either notation, as it is read.
fn chance_of_attack(chance: &mut Chance) -> Vec<u8> {
    let (digits, power) = (chance.below(10_000_000), chance.below(8));
    let text = chance.of(&[format!("0.{digits:07}"), format!("0.{digits:07}e-{power}")].each_ref()).clone();
    let mut scores = Scores::default();
    for row in [&["cve", "epss", "percentile"], &["CVE-2026-0001", &*text, "0"]] {
        if let Err(refused) = scores.row(row) {
            return format!("{text} {refused:?}\n").into_bytes();
        }
    }
    format!("{text} {:?}\n", scores.scores.values().next()).into_bytes()
}

/// What is found of a machine that fills, wears, heats and drifts as chance wants: daily, and hourly of the last two days.
fn health(chance: &mut Chance) -> Vec<u8> {
    let mut rates = [chance.below(300_000_000), chance.below(4000), chance.below(60), chance.below(900)];
    for rate in &mut rates {
        *rate = if chance.below(3) == 0 { 0 } else { *rate };
    }
    let hours = (0..DAYS).map(|day| day * 24).chain((DAYS - 2) * 24..DAYS * 24);
    let mut hours: Vec<u32> = hours.collect();
    hours.sort_unstable();
    hours.dedup();
    let points: Vec<Health> = hours.into_iter().map(|hour| point(hour, rates, chance)).collect();
    wire::write(&judge(&points, []))
}

/// One point: `rates` are bytes, files, hundredths of a percent and milliseconds a day.
fn point(hour: u32, [bytes, files, wear, drift]: [u32; 4], chance: &mut Chance) -> Health {
    let grown = |rate: u32| u64::from(rate) * u64::from(hour) / 24;
    let disk = Disk {
        mount: Text::lossy("/var"),
        bytes: 16 << 30,
        used: (1 << 30) + grown(bytes) + u64::from(chance.below(40_000_000)),
        files: 400_000,
        files_used: 12_000 + grown(files) + u64::from(chance.below(900)),
        read_only: false,
        errors: Some(0),
    };
    let worn_percent = u8::try_from(60 + grown(wear) / 100).ok();
    Health {
        time: NOW.plus_seconds(i64::from(hour) * 3600 + i64::from(chance.below(600))),
        uptime_s: Some(u64::from(hour) * 3600),
        disks: vec![disk],
        drives: vec![Drive {
            name: Text::lossy("sda"),
            worn_percent,
            failing: Some(false),
            written_bytes: None,
            lost: None,
            bad_blocks: None,
        }],
        hottest_mc: Some(i64::from(47_000 + chance.below(if hour > 1390 { 40_000 } else { 4000 }))),
        memory_bytes: Some(1 << 30),
        available_bytes: Some(600 << 20),
        corrected: Some(0),
        uncorrected: Some(0),
        clock: ClockState {
            synchronised: Some(false),
            ahead_ms: i64::try_from(grown(drift) + u64::from(chance.below(300))).ok(),
        },
        boots: 12,
        starts: 15,
        crashes: Some(0),
        memory_kills: Some(0),
        restarts: None,
    }
}

/// The bounds of a share, to the last bit.
fn wave(chance: &mut Chance) -> Vec<u8> {
    let finished = chance.below(20_000);
    let (low, high) = wilson(chance.below(finished.saturating_add(1)), finished);
    [low.to_bits().to_le_bytes(), high.to_bits().to_le_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_of_result_is_in_the_digests_and_not_always_the_same() {
        // Goal: a digest says something. Method: the results of two hundred cases, of which each kind must have many, and among
        // which refusals and empty answers are the smaller part; digests of other cases, or of one case less, are others.
        let kinds: [(Case, usize); 4] = [(vector, 190), (chance_of_attack, 190), (health, 100), (wave, 190)];
        for (place, (result, least)) in kinds.into_iter().enumerate() {
            let found: BTreeSet<Vec<u8>> = (0..200).map(|seed| result(&mut Chance::new(seed))).collect();
            assert!(found.len() >= least, "kind {place}: {} results", found.len());
        }
        let [all, less, others] = [0..50, 0..49, 1..51].map(digests);
        for (place, kind) in all.iter().enumerate() {
            assert!(*kind != less[place] && *kind != others[place], "{}: always the same", kind.0);
        }
        assert_eq!(all, digests(0..50));
    }

    #[test]
    fn the_results_are_those_that_were_pinned() {
        // Goal: the same bytes wherever the tests run, and after every change of a compiler. Method: 500 cases of each kind, made on
        // x86-64; those of the score are pinned beside its promises. A change of a rule or of a word on purpose changes its line.
        let kinds = digests(0..500).into_iter().skip(1);
        let told: Vec<String> = kinds.map(|(name, digest)| format!("{name} {digest}\n")).collect();
        assert_eq!(told.concat(), include_str!("elsewhere/golden.txt"));
    }
}
