//! `bench version-order`: what a comparison of two Debian versions costs, beside the crates that Rust has for it.
//!
//! Every side compares the same pairs from their texts, as a matcher does; debversion also with both sides parsed before.
//! rpm-version orders by rpm's rules, which are not Debian's: it stands here for its speed. The pairs are the vectors of
//! osv-scalibr where `CORDON_DATA` holds them, else made-up Debians'. Rounds of the sides alternate, and the best of each
//! counts: the machine has other work. Read next: `cordon_server_core::matching::version`.

use std::cmp::Ordering;
use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context, ensure};
use cordon_server_core::matching::version::{Scheme, compare};
use debversion::Version;
use fastrand::Rng;
use tokio::time::Instant;

use crate::version_order::{alphabet, folder, pairs, vectors};

/// Rounds of each side.
const ROUNDS: usize = 9;
/// A round goes on until it took so long.
const ROUND: Duration = Duration::from_millis(200);
/// What a comparison may cost, nanoseconds.
const BAR_NS: f64 = 150.0;

/// A pair and the order that the vectors give it.
type Pair = (String, String, Option<Ordering>);

/// A side: its name, and what goes over all pairs and counts the right answers.
type Side<'a> = (&'static str, Box<dyn Fn() -> usize + 'a>);

/// Runs all sides.
pub fn run() -> anyhow::Result<()> {
    let (title, judged) = judged()?;
    println!(
        "{} pairs: {title}{}",
        judged.len(),
        if cfg!(debug_assertions) { " (a debug build)" } else { "" }
    );
    let parsed: Vec<(Version, Version, Option<Ordering>)> = judged.iter().filter_map(parsed).collect();
    let right = |order: Option<Ordering>, wanted: Option<Ordering>| {
        usize::from(wanted.is_none_or(|_| order == wanted))
    };
    let sides: [Side<'_>; 4] = [
        ("cordon, from texts", over(&judged, |(a, b, wanted)| right(compare(Scheme::Deb, a, b), *wanted))),
        (
            "rpm-version 0.5, from texts",
            over(&judged, |(a, b, wanted)| right(Some(rpm_version::rpm_evr_compare(a, b)), *wanted)),
        ),
        (
            "debversion 0.5, from texts",
            over(&judged, |pair| parsed_pair(pair).map_or(0, |(a, b)| right(Some(a.cmp(&b)), pair.2))),
        ),
        ("debversion 0.5, parsed before", over(&parsed, |(a, b, wanted)| right(Some(a.cmp(b)), *wanted))),
    ];
    let mut best = [f64::INFINITY; 4];
    let mut rights = [0; 4];
    for _ in 0..ROUNDS {
        for (((_, side), best), right) in sides.iter().zip(&mut best).zip(&mut rights) {
            let (begun, mut passes) = (Instant::now(), 0_u32);
            while passes == 0 || begun.elapsed() < ROUND {
                *right = black_box(side());
                passes += 1;
            }
            let ns = begun.elapsed().as_secs_f64() * 1e9 / f64::from(passes) / judged.len() as f64;
            *best = best.min(ns);
        }
    }
    println!("{:<32} {:>8} {:>9}", "", "ns/pair", "right");
    for (((name, _), ns), right) in sides.iter().zip(best).zip(rights) {
        println!("{name:<32} {ns:>8.1} {:>8.2}%", 100.0 * right as f64 / judged.len() as f64);
    }
    let [ours, ..] = best;
    println!("{ours:.1} ns a comparison, at most {BAR_NS}");
    ensure!(rights.first() == Some(&judged.len()), "a pair was ordered otherwise than its vector says");
    ensure!(ours <= BAR_NS, "the bar was missed");
    Ok(())
}

fn over<'a, T>(items: &'a [T], one: impl Fn(&T) -> usize + 'a) -> Box<dyn Fn() -> usize + 'a> {
    Box::new(move || items.iter().map(|item| one(black_box(item))).sum())
}

fn parsed_pair((a, b, _): &Pair) -> Option<(Version, Version)> {
    Some((a.parse().ok()?, b.parse().ok()?))
}

fn parsed(pair: &Pair) -> Option<(Version, Version, Option<Ordering>)> {
    parsed_pair(pair).map(|(a, b)| (a, b, pair.2))
}

/// The vectors, or pairs by chance, of which nobody says the order.
fn judged() -> anyhow::Result<(String, Vec<Pair>)> {
    if let Some(folder) = folder() {
        let vectors = vectors(&folder, "debian")?;
        ensure!(!vectors.is_empty(), "no vectors in {}", folder.display());
        return Ok(("the vectors of osv-scalibr".to_owned(), vectors));
    }
    let (fronts, pieces) = alphabet(Scheme::Deb);
    let made = pairs(&mut Rng::with_seed(150), fronts, pieces, 4_000);
    let valid = made.into_iter().map(|(a, b)| (a, b, None)).filter(|pair| parsed_pair(pair).is_some());
    let valid: Vec<Pair> = valid.collect();
    valid.first().context("a pair that debversion reads")?;
    Ok(("by chance, unjudged (no vectors in CORDON_DATA)".to_owned(), valid))
}
