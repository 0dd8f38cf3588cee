//! The formulas of CVSS 3.0 and 3.1: base, temporal, environmental.
//!
//! After FIRST, section 7 of each specification. The two versions differ in how they round up and in the modified impact
//! of a changed scope. Fixed point with eighteen decimals in 128 bits: every product but the one power is exact. Read
//! next: [`super::v4`].

use super::{Scores, Vector, Version};

/// One, in fixed point.
const ONE: i128 = 1_000_000_000_000_000_000;

/// Places of the metrics in the table.
const AV: usize = 0;
const AC: usize = 1;
const PR: usize = 2;
const UI: usize = 3;
const S: usize = 4;
const C: usize = 5;
const E: usize = 8;
const RL: usize = 9;
const RC: usize = 10;
const CR: usize = 11;
/// From a base metric to its modified one.
const MODIFIED: usize = 14;

pub(super) fn scores(vector: &Vector) -> Scores {
    let base = of(vector, false);
    let times = threat(vector);
    Scores {
        base,
        threat: rounded_up(vector, i128::from(base) * times * (ONE / 10_000_000)),
        whole: rounded_up(vector, i128::from(of(vector, true)) * times * (ONE / 10_000_000)),
    }
}

/// The base score, or the one by the modified metrics before its threat.
fn of(vector: &Vector, modified: bool) -> u8 {
    let letter = |place: usize| match vector.at(place + MODIFIED) {
        b'X' => vector.at(place),
        _ if !modified => vector.at(place),
        letter => letter,
    };
    let changed = letter(S) == b'C';
    let impact = impact(vector, [0, 1, 2].map(|part| letter(C + part)), (changed, modified));
    if impact <= 0 {
        return 0;
    }
    // 8.22 and four weights in hundredths.
    let weights = attack(letter(AV)) * complexity(letter(AC)) * privileges(letter(PR), changed);
    let exploitability = 822 * weights * interaction(letter(UI)) * (ONE / 10_000_000_000);
    let sum = impact + exploitability;
    let sum = if changed { sum * 108 / 100 } else { sum };
    rounded_up(vector, sum.min(10 * ONE))
}

/// The impact sub-score.
fn impact(vector: &Vector, parts: [u8; 3], (changed, modified): (bool, bool)) -> i128 {
    // What is left of each, in ten thousandths: 1 - weight × requirement.
    let left = |(part, letter): (usize, u8)| {
        let requirement = if modified { requirement(vector.at(CR + part)) } else { 100 };
        10_000 - loss(letter) * requirement
    };
    let [c, i, a] = parts;
    let lost = ONE - left((0, c)) * left((1, i)) * left((2, a)) * (ONE / 1_000_000_000_000);
    let lost = if modified { lost.min(ONE * 915 / 1000) } else { lost };
    if !changed {
        return lost * 642 / 100;
    }
    let curve = if modified && vector.version() == Version::V31 {
        power(lost * 9731 / 10_000 - ONE * 2 / 100, 13)
    } else {
        power(lost - ONE * 2 / 100, 15)
    };
    (lost - ONE * 29 / 1000) * 752 / 100 - curve * 325 / 100
}

fn power(base: i128, times: u32) -> i128 {
    (0..times).fold(ONE, |product, _| product * base / ONE)
}

/// The three temporal weights, in hundredths each.
fn threat(vector: &Vector) -> i128 {
    let exploit = match vector.at(E) {
        b'F' => 97,
        b'P' => 94,
        b'U' => 91,
        _ => 100,
    };
    let remedy = match vector.at(RL) {
        b'W' => 97,
        b'T' => 96,
        b'O' => 95,
        _ => 100,
    };
    let confidence = match vector.at(RC) {
        b'R' => 96,
        b'U' => 92,
        _ => 100,
    };
    exploit * remedy * confidence
}

fn attack(letter: u8) -> i128 {
    match letter {
        b'N' => 85,
        b'A' => 62,
        b'L' => 55,
        _ => 20,
    }
}

fn complexity(letter: u8) -> i128 {
    if letter == b'L' { 77 } else { 44 }
}

fn privileges(letter: u8, changed: bool) -> i128 {
    match (letter, changed) {
        (b'N', _) => 85,
        (b'L', true) => 68,
        (b'L', false) => 62,
        (_, true) => 50,
        (_, false) => 27,
    }
}

fn interaction(letter: u8) -> i128 {
    if letter == b'N' { 85 } else { 62 }
}

fn loss(letter: u8) -> i128 {
    match letter {
        b'H' => 56,
        b'L' => 22,
        _ => 0,
    }
}

fn requirement(letter: u8) -> i128 {
    match letter {
        b'H' => 150,
        b'L' => 50,
        _ => 100,
    }
}

/// The next tenth that is not below; in 3.1 of the nearest hundred thousandth (its Appendix A).
fn rounded_up(vector: &Vector, value: i128) -> u8 {
    let value = match vector.version() {
        Version::V31 => (value + ONE / 200_000) / (ONE / 100_000) * (ONE / 100_000),
        Version::V30 | Version::V40 => value,
    };
    let tenth = ONE / 10;
    u8::try_from((value + tenth - 1) / tenth).unwrap_or(100)
}
