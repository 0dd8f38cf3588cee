//! The score of CVSS 4.0 by its classes and the ways between them.
//!
//! After FIRST, section 8: the class of a vector has a score, and its distance from the class's worst vectors lowers it
//! in proportion to the way to the next class.
//!
//! Whole numbers only: tenths, steps, and one division at the end. Of the supplemental metrics none changes a score. Read
//! next: [`super::v3`].

use super::{Scores, Vector};

/// Places of the metrics in the table.
const AV: usize = 0;
const AC: usize = 1;
const AT: usize = 2;
const PR: usize = 3;
const UI: usize = 4;
const VC: usize = 5;
const VI: usize = 6;
const VA: usize = 7;
const SC: usize = 8;
const SI: usize = 9;
const SA: usize = 10;
const E: usize = 11;
const CR: usize = 12;
const IR: usize = 13;
const AR: usize = 14;
/// From a base metric to its modified one.
const MODIFIED: usize = 15;

/// A class that there is not.
const NONE: u8 = u8::MAX;
/// What every length of a way divides.
const STEPS: i64 = 840;

/// The score of each class in tenths, by its six levels, the last one fastest (table 24 and its look-up).
#[rustfmt::skip]
const CLASSES: [u8; 324] = [
    100, 99, 98, 95, 95, 92, 100, 96, 93, 87, 91, 81, 93, 90, 89, 80, 81, 68,
    98, 95, 95, 92, 90, 84, 93, 92, 89, 81, 81, 65, 88, 80, 78, 70, 69, 48,
    NONE, 92, NONE, 82, NONE, 72, NONE, 79, NONE, 69, NONE, 50, NONE, 69, NONE, 55, NONE, 27,
    99, 97, 95, 92, 92, 85, 95, 91, 90, 83, 84, 71, 92, 81, 82, 71, 72, 53,
    95, 93, 92, 85, 85, 73, 92, 82, 80, 72, 70, 59, 84, 70, 71, 52, 50, 30,
    NONE, 86, NONE, 75, NONE, 52, NONE, 71, NONE, 52, NONE, 29, NONE, 63, NONE, 29, NONE, 17,
    98, 95, 94, 87, 91, 81, 94, 89, 86, 74, 77, 64, 87, 75, 74, 63, 63, 49,
    94, 89, 88, 77, 76, 67, 86, 76, 74, 58, 59, 50, 72, 57, 57, 52, 52, 25,
    NONE, 83, NONE, 70, NONE, 54, NONE, 65, NONE, 58, NONE, 26, NONE, 53, NONE, 21, NONE, 13,
    95, 90, 88, 76, 76, 70, 90, 77, 75, 62, 61, 53, 77, 66, 68, 59, 52, 30,
    89, 78, 76, 67, 62, 58, 74, 59, 57, 57, 47, 23, 61, 52, 57, 29, 24, 16,
    NONE, 71, NONE, 59, NONE, 30, NONE, 58, NONE, 26, NONE, 15, NONE, 23, NONE, 13, NONE, 6,
    93, 87, 86, 72, 75, 58, 86, 74, 74, 61, 56, 34, 70, 54, 52, 40, 40, 22,
    85, 75, 74, 55, 62, 51, 72, 57, 55, 41, 46, 19, 53, 36, 34, 19, 19, 8,
    NONE, 64, NONE, 51, NONE, 20, NONE, 47, NONE, 21, NONE, 11, NONE, 24, NONE, 9, NONE, 4,
    88, 75, 73, 53, 60, 50, 73, 55, 59, 40, 41, 20, 54, 43, 45, 22, 20, 11,
    75, 55, 58, 45, 40, 21, 61, 51, 48, 18, 20, 9, 46, 18, 17, 7, 8, 2,
    NONE, 53, NONE, 24, NONE, 14, NONE, 24, NONE, 12, NONE, 5, NONE, 10, NONE, 3, NONE, 1,
];

/// A group of metrics: which, and the worst vectors of its level.
struct Group<const N: usize> {
    places: [usize; N],
    worst: &'static [&'static [u8; N]],
    /// Steps from the worst to the best vector of the level, and one.
    steps: i64,
}

/// A vector with its way of saying things resolved.
struct Said<'a> {
    vector: &'a Vector,
    /// Whether threat and environment count.
    threat: bool,
    environment: bool,
}

pub(super) fn scores(vector: &Vector) -> Scores {
    let score = |threat, environment| Said { vector, threat, environment }.tenths();
    Scores { base: score(false, false), threat: score(true, false), whole: score(true, true) }
}

impl Said<'_> {
    /// The letter that counts: the modified one before its base, the worst where nothing is said.
    fn letter(&self, place: usize) -> u8 {
        let said = |place: usize, counts: bool| {
            Some(self.vector.at(place)).filter(|letter| counts && *letter != b'X')
        };
        match place {
            E => said(E, self.threat).unwrap_or(b'A'),
            CR | IR | AR => said(place, self.environment).unwrap_or(b'H'),
            place => said(place + MODIFIED, self.environment).unwrap_or_else(|| self.vector.at(place)),
        }
    }

    fn is(&self, place: usize, letter: u8) -> bool {
        self.letter(place) == letter
    }

    /// The six levels of the class (tables 24 to 29).
    fn levels(&self) -> [usize; 6] {
        let easy = [AV, PR, UI].map(|place| self.is(place, b'N'));
        let one = match easy {
            [true, true, true] => 0,
            _ if !self.is(AV, b'P') && easy.contains(&true) => 1,
            _ => 2,
        };
        let two = usize::from(!(self.is(AC, b'L') && self.is(AT, b'N')));
        let three = match [VC, VI, VA].map(|place| self.is(place, b'H')) {
            [true, true, _] => 0,
            [false, false, false] => 2,
            _ => 1,
        };
        let four = if self.is(SI, b'S') || self.is(SA, b'S') {
            0
        } else if [SC, SI, SA].iter().any(|place| self.is(*place, b'H')) {
            1
        } else {
            2
        };
        let five = match self.letter(E) {
            b'A' => 0,
            b'P' => 1,
            _ => 2,
        };
        let needed = [(CR, VC), (IR, VI), (AR, VA)];
        let six =
            usize::from(!needed.iter().any(|(need, loss)| self.is(*need, b'H') && self.is(*loss, b'H')));
        [one, two, three, four, five, six]
    }

    fn tenths(&self) -> u8 {
        if [VC, VI, VA, SC, SI, SA].iter().all(|place| self.is(*place, b'N')) {
            return 0;
        }
        let levels = self.levels();
        let [one, two, three, four, five, six] = levels;
        let Some(score) = class(levels) else { return 0 };
        let both = match (three, six) {
            // Two ways lead down from the worst: the shorter one counts.
            (0, 0) => class([one, two, 0, four, five, 1]).max(class([one, two, 1, four, five, 0])),
            (1, 0) => class([one, two, 1, four, five, 1]),
            _ => class([one, two, three + 1, four, five, six]),
        };
        let ways = [
            (class([one + 1, two, three, four, five, six]), self.share(&ease(one))),
            (class([one, two + 1, three, four, five, six]), self.share(&precision(two))),
            (both, self.share(&loss(three, six))),
            (class([one, two, three, four + 1, five, six]), self.share(&beyond(four))),
            (class([one, two, three, four, five + 1, six]), 0),
        ];
        let (mut sum, mut count) = (0, 0);
        for (lower, share) in ways {
            if let Some(way) = lower.map(|lower| score - lower).filter(|way| *way >= 0) {
                sum += way * share;
                count += 1;
            }
        }
        let (numerator, denominator) = match count {
            0 => (score, 1),
            count => (score * STEPS * count - sum, STEPS * count),
        };
        // Half a tenth counts as a whole one.
        let tenths = (2 * numerator.max(0) + denominator) / (2 * denominator);
        u8::try_from(tenths.min(100)).unwrap_or(100)
    }

    /// How far a group lies from the worst of its level, in parts of [`STEPS`].
    fn share<const N: usize>(&self, group: &Group<N>) -> i64 {
        let far = |worst: &&[u8; N]| -> Option<i64> {
            let mut sum = 0;
            for (place, worst) in group.places.into_iter().zip(worst.iter()) {
                let steps = step(place, self.letter(place)) - step(place, *worst);
                sum += Some(steps).filter(|steps| *steps >= 0)?;
            }
            Some(sum)
        };
        group.worst.iter().find_map(far).unwrap_or(0) * STEPS / group.steps
    }
}

/// The score of a class in tenths, if there is one.
fn class([one, two, three, four, five, six]: [usize; 6]) -> Option<i64> {
    let there = one < 3 && two < 2 && three < 3 && four < 3 && five < 3 && six < 2;
    let place = ((((one * 2 + two) * 3 + three) * 3 + four) * 3 + five) * 2 + six;
    CLASSES.get(place).filter(|score| there && **score != NONE).map(|score| i64::from(*score))
}

/// How many steps a value lies below the worst of its metric.
fn step(place: usize, letter: u8) -> i64 {
    let values: &[u8] = match place {
        AV => b"NALP",
        AC => b"LH",
        AT => b"NP",
        PR => b"NLH",
        UI => b"NPA",
        SC | SI | SA => b"SHLN",
        CR | IR | AR => b"HML",
        _ => b"HLN",
    };
    values.iter().position(|value| *value == letter).and_then(|at| i64::try_from(at).ok()).unwrap_or(0)
}

fn ease(level: usize) -> Group<3> {
    let (worst, steps): (&'static [&'static [u8; 3]], i64) = match level {
        0 => (&[b"NNN"], 1),
        1 => (&[b"ANN", b"NLN", b"NNP"], 4),
        _ => (&[b"PNN", b"ALP"], 5),
    };
    Group { places: [AV, PR, UI], worst, steps }
}

fn precision(level: usize) -> Group<2> {
    let (worst, steps): (&'static [&'static [u8; 2]], i64) = match level {
        0 => (&[b"LN"], 1),
        _ => (&[b"HN", b"LP"], 2),
    };
    Group { places: [AC, AT], worst, steps }
}

fn loss(three: usize, six: usize) -> Group<6> {
    let (worst, steps): (&'static [&'static [u8; 6]], i64) = match (three, six) {
        (0, 0) => (&[b"HHHHHH"], 7),
        (0, _) => (&[b"HHLMMH", b"HHHMMM"], 6),
        (1, 0) => (&[b"LHHHHH", b"HLHHHH"], 8),
        (1, _) => (&[b"LHLHMH", b"LHHHMM", b"HLHMHM", b"HLLMHH", b"LLHHHM"], 8),
        _ => (&[b"LLLHHH"], 10),
    };
    Group { places: [VC, VI, VA, CR, IR, AR], worst, steps }
}

fn beyond(level: usize) -> Group<3> {
    let (worst, steps): (&'static [&'static [u8; 3]], i64) = match level {
        0 => (&[b"HSS"], 6),
        1 => (&[b"HHH"], 5),
        _ => (&[b"LLL"], 4),
    };
    Group { places: [SC, SI, SA], worst, steps }
}
