//! The score of one device: its rows and the bar above them, adding up to the printed number.
//!
//! More than eight parts: the smallest join into one row, which opens. Lengths use hundredths, letters stand where
//! there is room, whole points come from the score itself, so nothing is rounded here. Read next:
//! `cordon_server_core::risk::score`, [`super::device`].

use cordon_server_core::risk::{Contribution, Kind, Model, Score, Value};

use super::marks::{Markup, band_class};
use super::said::Said;
use super::words::{hundredths, hundredths_percent, plural};

/// Most rows.
const ROWS_MAX: usize = 8;
/// Gap between segments, in hundredths of a percent.
const GAP: u128 = 30;
/// Least length of a segment: 1 px of a phone's bar.
const LENGTH_MIN: u128 = 28;
/// Length from which a letter fits at full width, and on a phone.
const LETTER_WIDE: u128 = 230;
const LETTER_NARROW: u128 = 420;

/// One row under the bar.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its letter, here and in the bar.
    pub letter: char,
    /// Its kind, which is its colour.
    pub kind: Kind,
    /// The reason.
    pub reason: Said,
    /// The evidence.
    pub evidence: Said,
    /// Where the reason leads, if it is a thing with a page.
    pub href: Option<String>,
    /// Hundredths of a point.
    pub hundredths: u16,
    /// Whole points; the rows sum to the printed score.
    pub points: u16,
    /// The score if this alone were fixed; none for clinical impact.
    pub alone: Option<Value>,
    /// The parts that were joined into this row.
    pub members: Vec<Contribution>,
}

/// The rows of a score. `href` gives the page of a part, if it has one.
#[must_use]
pub fn rows(score: &Score, model: &Model, href: impl Fn(&Contribution) -> Option<String>) -> Vec<Row> {
    let (impact, parts): (Vec<&Contribution>, Vec<&Contribution>) =
        score.contributions.iter().partition(|part| part.kind == Kind::Impact);
    let room = ROWS_MAX - impact.len();
    let own = if parts.len() > room {
        // What is printed as a point or more stands by itself while there is room.
        parts.iter().filter(|part| part.points > 0).count().min(room - 1)
    } else {
        parts.len()
    };
    let (own, joined) = parts.split_at(own);
    let mut rows: Vec<Row> = own.iter().map(|part| single(part, score, model, &href)).collect();
    rows.extend(join(joined, score, model));
    rows.extend(impact.iter().map(|part| single(part, score, model, &href)));
    for (row, letter) in rows.iter_mut().zip('A'..='Z') {
        row.letter = letter;
    }
    rows
}

fn single(
    part: &Contribution,
    score: &Score,
    model: &Model,
    href: &impl Fn(&Contribution) -> Option<String>,
) -> Row {
    Row {
        letter: ' ',
        kind: part.kind,
        reason: part.reason.as_str().into(),
        evidence: part.evidence.as_str().into(),
        href: href(part),
        hundredths: part.hundredths,
        points: part.points,
        alone: part.alone_hundredths.map(|_| score.without(&[&part.id], model)),
        members: Vec::new(),
    }
}

/// The smallest parts as one row.
fn join(parts: &[&Contribution], score: &Score, model: &Model) -> Option<Row> {
    let largest = parts.first()?;
    let ids: Vec<&str> = parts.iter().map(|part| part.id.as_str()).collect();
    let count = u64::try_from(parts.len()).unwrap_or(u64::MAX);
    let one_kind = parts.iter().all(|part| part.kind == Kind::Vulnerability);
    let reason = if one_kind {
        plural(count, "other known vulnerability", "other known vulnerabilities")
    } else {
        plural(count, "smaller reason", "smaller reasons")
    };
    Some(Row {
        letter: ' ',
        kind: largest.kind,
        reason: reason.into(),
        evidence: format!("The largest adds {} points", hundredths(largest.hundredths)).into(),
        href: None,
        hundredths: parts.iter().map(|part| part.hundredths).sum(),
        points: parts.iter().map(|part| part.points).sum(),
        alone: Some(score.without(&ids, model)),
        members: parts.iter().map(|part| (*part).clone()).collect(),
    })
}

impl Row {
    /// The class of its colour.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self.kind {
            Kind::Vulnerability => "k-vuln",
            Kind::Behaviour => "k-behave",
            Kind::Freshness => "k-fresh",
            Kind::Posture => "k-posture",
            Kind::Impact => "k-impact",
        }
    }

    /// Whole points, or that it is less than one.
    #[must_use]
    pub fn points_words(&self) -> String {
        if self.points == 0 { "< 1".into() } else { self.points.to_string() }
    }

    /// Hundredths as a number.
    #[must_use]
    pub fn hundredths_words(&self) -> String {
        hundredths(self.hundredths)
    }

    /// "79 → 24", "stays 79", or with which rows clinical impact falls.
    #[must_use]
    pub fn alone_words(&self, score: &Score) -> String {
        match self.alone {
            Some(value) if value.points() == score.points() => format!("stays {}", score.points()),
            Some(value) => format!("{} → {}", score.points(), value.points()),
            None if self.letter == 'B' => "falls with A".into(),
            None => {
                let before = char::from_u32(u32::from(self.letter) - 1).unwrap_or('A');
                format!("falls with A to {before}")
            }
        }
    }

    /// Whether fixing this alone would lead into a lower band.
    #[must_use]
    pub fn lowers_band(&self, score: &Score) -> bool {
        self.alone.is_some_and(|value| value.band < score.band)
    }
}

/// The bar: the scale from 0 to 100 with the rows as segments, bands above, ticks below, an end mark.
#[must_use]
pub fn bar(rows: &[Row], value: Value) -> Markup {
    let mut drawn = String::from(BANDS);
    drawn.push_str("<rect class=\"bar-empty\" x=\"0\" y=\"20\" width=\"100%\" height=\"28\"/>");
    let mut at = 0_u128;
    for row in rows {
        drawn.push_str(&segment(row, at));
        at += u128::from(row.hundredths);
    }
    drawn.push_str(&end_mark(value));
    let parts: Vec<String> =
        rows.iter().map(|row| format!("{} {}", row.letter, row.points_words())).collect();
    let label = format!("Risk {} of 100: {}", value.points(), parts.join(", "));
    Markup::new(format!(
        "<svg class=\"score-bar\" width=\"100%\" height=\"68\" role=\"img\" aria-label=\"{}\">{drawn}</svg>",
        label.replace('<', "less than")
    ))
}

/// Names of the bands and the notches at their limits.
const BANDS: &str = "<g class=\"axis\" text-anchor=\"middle\"><text x=\"10%\" y=\"11\">Low</text>\
<text x=\"30%\" y=\"11\">Medium</text><text x=\"55%\" y=\"11\">High</text><text x=\"85%\" y=\"11\">Critical</text></g>\
<g class=\"notch\"><line x1=\"20%\" x2=\"20%\" y1=\"15\" y2=\"19\"/><line x1=\"40%\" x2=\"40%\" y1=\"15\" y2=\"19\"/>\
<line x1=\"70%\" x2=\"70%\" y1=\"15\" y2=\"19\"/><line x1=\"20%\" x2=\"20%\" y1=\"49\" y2=\"53\"/>\
<line x1=\"40%\" x2=\"40%\" y1=\"49\" y2=\"53\"/><line x1=\"70%\" x2=\"70%\" y1=\"49\" y2=\"53\"/></g>";

fn segment(row: &Row, at: u128) -> String {
    let length = u128::from(row.hundredths);
    if length == 0 {
        return String::new();
    }
    let width = length.saturating_sub(GAP).max(LENGTH_MIN);
    let (x, width_text) = (hundredths_percent(at), hundredths_percent(width));
    let fill = if row.kind == Kind::Impact { " fill=\"url(#p-impact)\"" } else { "" };
    let mut drawn = format!(
        "<rect class=\"{}\" x=\"{x}\" y=\"20\" width=\"{width_text}\" height=\"28\"{fill}/>",
        row.class()
    );
    if length >= LETTER_WIDE {
        let middle = hundredths_percent(at + width / 2);
        let narrow = if length < LETTER_NARROW { " wide-only" } else { "" };
        let on = if row.kind == Kind::Impact { "on-hatch" } else { "on-fill" };
        drawn.push_str(&format!(
            "<text class=\"letter {on}{narrow}\" x=\"{middle}\" y=\"38\" text-anchor=\"middle\">{}</text>",
            row.letter
        ));
    }
    drawn
}

/// The end mark, the ticks and the score below; a tick that the score would cover is left out.
fn end_mark(value: Value) -> String {
    let at = hundredths_percent(u128::from(value.hundredths));
    let class = band_class(value.band);
    let mut drawn = format!(
        "<line class=\"end {class}\" x1=\"{at}\" x2=\"{at}\" y1=\"14\" y2=\"51\"/><g class=\"axis\">"
    );
    for (tick, anchor) in [(0_u16, "start"), (20, "middle"), (40, "middle"), (70, "middle"), (100, "end")] {
        if value.hundredths.abs_diff(tick * 100) >= 500 {
            drawn.push_str(&format!("<text x=\"{tick}%\" y=\"65\" text-anchor=\"{anchor}\">{tick}</text>"));
        }
    }
    let anchor = match value.hundredths {
        0..200 => "start",
        200..9800 => "middle",
        _ => "end",
    };
    drawn.push_str(&format!(
        "</g><text class=\"axis-value\" x=\"{at}\" y=\"65\" text-anchor=\"{anchor}\">{}</text>",
        value.points()
    ));
    drawn
}
