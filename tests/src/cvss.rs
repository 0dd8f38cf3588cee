//! Random CVSS vectors, and the Python library `cvss` as their judge where it is installed.
//!
//! Read next: `tests/tests/matching/cvss.rs`.

use cordon_server_core::cvss::{Vector, Version};
use fastrand::Rng;

use crate::judge::Judge;

/// Reads vectors, writes their scores.
pub const JUDGE: Judge = Judge::of(
    "import sys
from cvss import CVSS3, CVSS4
for line in sys.stdin:
    line = line.strip()
    print(*((CVSS4 if line.startswith('CVSS:4') else CVSS3)(line).scores()))
",
);

/// Metrics of 3.x with their values; those from the ninth on may be missing.
const THREE: [&str; 22] = [
    "AV:NALP",
    "AC:LH",
    "PR:NLH",
    "UI:NR",
    "S:UC",
    "C:HLN",
    "I:HLN",
    "A:HLN",
    "E:XHFPU",
    "RL:XUWTO",
    "RC:XCRU",
    "CR:XHML",
    "IR:XHML",
    "AR:XHML",
    "MAV:XNALP",
    "MAC:XLH",
    "MPR:XNLH",
    "MUI:XNR",
    "MS:XUC",
    "MC:XHLN",
    "MI:XHLN",
    "MA:XHLN",
];

/// Metrics of 4.0; those from the twelfth on may be missing.
const FOUR: [&str; 26] = [
    "AV:NALP",
    "AC:LH",
    "AT:NP",
    "PR:NLH",
    "UI:NPA",
    "VC:HLN",
    "VI:HLN",
    "VA:HLN",
    "SC:HLN",
    "SI:HLN",
    "SA:HLN",
    "E:XAPU",
    "CR:XHML",
    "IR:XHML",
    "AR:XHML",
    "MAV:XNALP",
    "MAC:XLH",
    "MAT:XNP",
    "MPR:XNLH",
    "MUI:XNPA",
    "MVC:XHLN",
    "MVI:XHLN",
    "MVA:XHLN",
    "MSC:XHLN",
    "MSI:XSHLN",
    "MSA:XSHLN",
];

/// A vector's scores as the judge and the sets write them: three of 3.x, one of 4.0.
#[must_use]
pub fn written(vector: &Vector) -> Vec<String> {
    let scores = vector.scores();
    let text = |tenths: u8| format!("{}.{}", tenths / 10, tenths % 10);
    match vector.version() {
        Version::V30 | Version::V31 => [scores.base, scores.threat, scores.whole].map(text).into(),
        Version::V40 => vec![text(scores.whole)],
    }
}

/// `count` random vectors of all versions.
#[must_use]
pub fn random(seed: u64, count: usize) -> Vec<String> {
    let mut chance = Rng::with_seed(seed);
    let mut one = |prefix: &str, metrics: &[&str], mandatory: usize| {
        let mut vector = prefix.to_owned();
        for (place, metric) in metrics.iter().enumerate() {
            let (name, values) = metric.split_once(':').unwrap_or_default();
            if place < mandatory || chance.bool() {
                let value = char::from(chance.choice(values.bytes()).unwrap_or(b'X'));
                vector.push_str(&format!("/{name}:{value}"));
            }
        }
        vector
    };
    let kinds: [(&str, &[&str], usize); 3] =
        [("CVSS:3.0", &THREE, 8), ("CVSS:3.1", &THREE, 8), ("CVSS:4.0", &FOUR, 11)];
    kinds
        .iter()
        .cycle()
        .take(count)
        .map(|(prefix, metrics, mandatory)| one(prefix, metrics, *mandatory))
        .collect()
}
