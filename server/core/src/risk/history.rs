//! The history of scores: what was said of a device and of the fleet on a day, and what moved it since the last time.
//!
//! A score is derived whenever it is looked at and never stored; what stands here is the record that it *was said*, with the
//! words of then, so that nobody has to trust that facts of a month ago can be gathered again. A device is written down when
//! its score has moved by a point or its band has changed, at most once an hour; old points are joined day by day, and their
//! moves still sum to the difference. Bounded whatever a device does. Read next: [`fleet`] for the fleet's own line.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::hazard::DAY_S;
use super::score::{Band, Kind, Score, Value};

pub mod fleet;

/// The version of the stored documents.
const VERSION: u32 = 1;
/// Days that are kept.
pub const DAYS: i64 = 400;
/// Points of one device that are kept at most.
pub const POINTS: usize = 64;
/// Days after which the points of a day become one.
const FINE_DAYS: i64 = 14;
/// Hundredths by which a score must have moved to be written down.
pub const STEP_HUNDREDTHS: u16 = 100;
/// Seconds between two points of a device, unless its band changes.
const PAUSE_S: i64 = 3600;
/// Parts of the last score that are kept one by one; the others are one together.
const PIECES: usize = 32;
/// Moves of one point that are named; the others are one together.
const MOVES: usize = 4;
/// Characters of a reason that are kept.
const REASON_CHARS: usize = 120;
/// Identity of the parts that are not kept one by one.
const OTHERS: &str = "others";

/// What was said of one device, the oldest point first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Version of this document.
    pub v: u32,
    /// The points.
    pub points: Vec<Point>,
    /// The parts of the last one, to compare the next one with.
    pub pieces: Vec<Piece>,
}

/// What was said at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// When.
    pub at: Timestamp,
    /// The score in hundredths.
    pub hundredths: u16,
    /// Its band then.
    pub band: Band,
    /// SHA-256 of the table of figures by which it was made.
    pub model: String,
    /// What moved it since the point before, the greatest first; empty for the first point.
    pub moved: Vec<Move>,
}

/// A part that moved a score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Its identity in the score.
    pub id: String,
    /// Its kind; none for several together.
    pub kind: Option<Kind>,
    /// How.
    pub how: How,
    /// The reason in the words of then.
    pub reason: String,
    /// By how many hundredths of a point.
    pub hundredths: i32,
}

/// How a part moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// It was not there before.
    New,
    /// It is not there any more.
    Gone,
    /// Its share of the score is another one.
    Changed,
}

/// A part of the last score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Its identity.
    pub id: String,
    /// Its kind; none for several together.
    pub kind: Option<Kind>,
    /// The reason.
    pub reason: String,
    /// Its share in hundredths.
    pub hundredths: u16,
}

/// The last point of a device, as far as it decides whether the next one is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// When.
    pub at: Timestamp,
    /// What was said.
    pub value: Value,
}

impl Last {
    /// Whether another score is to be written down now.
    #[must_use]
    pub fn is_due(&self, value: Value, now: Timestamp) -> bool {
        let moved = value.hundredths.abs_diff(self.value.hundredths) >= STEP_HUNDREDTHS;
        value.band != self.value.band || (moved && now.seconds_since(self.at) >= PAUSE_S)
    }
}

impl Default for Said {
    fn default() -> Self {
        Self { v: VERSION, points: Vec::new(), pieces: Vec::new() }
    }
}

impl Said {
    /// The last point.
    #[must_use]
    pub fn last(&self) -> Option<Last> {
        let point = self.points.last()?;
        let value = Value { hundredths: point.hundredths, band: point.band };
        Some(Last { at: point.at, value })
    }

    /// Writes a score down.
    pub fn record(&mut self, score: &Score) {
        let pieces = pieces_of(score);
        let moved = if self.points.is_empty() { Vec::new() } else { moves(&self.pieces, &pieces) };
        self.points.push(Point {
            at: score.at,
            hundredths: score.value_hundredths,
            band: score.band,
            model: score.model_sha256.clone(),
            moved: named(moved),
        });
        self.pieces = pieces;
        self.thin(score.at);
    }

    /// Joins the points of each older day, then drops what is too old or too many.
    fn thin(&mut self, now: Timestamp) {
        let is_old = |at: Timestamp| now.seconds_since(at) > FINE_DAYS * DAY_S;
        let mut kept: Vec<Point> = Vec::new();
        for point in self.points.drain(..) {
            match kept.last_mut() {
                Some(before) if is_old(point.at) && day(before.at) == day(point.at) => before.join(point),
                Some(_) | None => kept.push(point),
            }
        }
        kept.retain(|point| now.seconds_since(point.at) <= DAYS * DAY_S);
        kept.drain(..kept.len().saturating_sub(POINTS));
        if let Some(first) = kept.first_mut() {
            // What it moved from is kept no more.
            first.moved.clear();
        }
        self.points = kept;
    }

    /// The stored document.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and integers are always JSON")
    }

    /// Reads the stored document; nothing for one of another version.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|read: &Self| read.v == VERSION)
    }
}

impl Point {
    /// Takes in a later point: it is then the later one, moved by what moved both.
    fn join(&mut self, later: Self) {
        let mut moved: BTreeMap<String, Move> = BTreeMap::new();
        for one in self.moved.drain(..).chain(later.moved) {
            match moved.get_mut(&one.id) {
                None => {
                    moved.insert(one.id.clone(), one);
                }
                Some(sum) => {
                    let how = match (sum.how, one.how) {
                        (How::New, How::New | How::Changed) => How::New,
                        (How::Changed | How::Gone, How::Gone) => How::Gone,
                        (How::New, How::Gone) | (How::Changed | How::Gone, How::New | How::Changed) => {
                            How::Changed
                        }
                    };
                    *sum = Move { hundredths: sum.hundredths + one.hundredths, how, ..one };
                }
            }
        }
        let moved = named(moved.into_values().filter(|one| one.hundredths != 0).collect());
        *self =
            Self { at: later.at, hundredths: later.hundredths, band: later.band, model: later.model, moved };
    }
}

/// The parts of a score, the smallest of many as one.
fn pieces_of(score: &Score) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for part in score.contributions.iter().take(PIECES) {
        match pieces.iter_mut().find(|piece| piece.id == part.id) {
            // Two source packages of one name and version, under one advisory.
            Some(piece) => piece.hundredths += part.hundredths,
            None => pieces.push(Piece {
                id: part.id.clone(),
                kind: Some(part.kind),
                reason: part.reason.chars().take(REASON_CHARS).collect(),
                hundredths: part.hundredths,
            }),
        }
    }
    let rest: u16 = score.contributions.iter().skip(PIECES).map(|part| part.hundredths).sum();
    if rest > 0 {
        let reason = String::from("Smaller parts together");
        pieces.push(Piece { id: OTHERS.into(), kind: None, reason, hundredths: rest });
    }
    pieces
}

/// What moved between two sets of parts; the moves sum to the difference of the scores.
fn moves(before: &[Piece], after: &[Piece]) -> Vec<Move> {
    let mut were: BTreeMap<&str, &Piece> = before.iter().map(|piece| (piece.id.as_str(), piece)).collect();
    let mut moves = Vec::new();
    for piece in after {
        let was = were.remove(piece.id.as_str());
        let hundredths = i32::from(piece.hundredths) - was.map_or(0, |was| i32::from(was.hundredths));
        let how = if was.is_some() { How::Changed } else { How::New };
        moves.push(moved(piece, how, hundredths));
    }
    moves.extend(were.into_values().map(|was| moved(was, How::Gone, -i32::from(was.hundredths))));
    moves.retain(|one| one.hundredths != 0);
    moves
}

fn moved(piece: &Piece, how: How, hundredths: i32) -> Move {
    Move { id: piece.id.clone(), kind: piece.kind, how, reason: piece.reason.clone(), hundredths }
}

/// The greatest moves by name, the others as one.
fn named(mut moves: Vec<Move>) -> Vec<Move> {
    let is_rest = |one: &Move| one.id == OTHERS;
    moves.sort_by(|a, b| {
        let size = |one: &Move| one.hundredths.unsigned_abs();
        is_rest(a).cmp(&is_rest(b)).then(size(b).cmp(&size(a))).then_with(|| a.id.cmp(&b.id))
    });
    if moves.len() <= MOVES {
        return moves;
    }
    let rest: i32 = moves.drain(MOVES..).map(|one| one.hundredths).sum();
    if rest != 0 {
        let reason = "Other parts together".to_string();
        moves.push(Move { id: OTHERS.into(), kind: None, how: How::Changed, reason, hundredths: rest });
    }
    moves
}

/// The day of a time, in UTC.
pub(super) fn day(at: Timestamp) -> i64 {
    at.0.div_euclid(DAY_S)
}

#[cfg(test)]
mod tests;
