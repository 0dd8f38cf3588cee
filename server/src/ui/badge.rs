//! The risk badge, "79 → 19 Low", severities and owners: short marks that stand in every list.
//!
//! Whole points are rounded down everywhere; the band is the one decided on the exact score. Read next:
//! [`super::score_bar`] for the score of one device.

use cordon_server_core::risk::facts::FindingSeverity;
use cordon_server_core::risk::{Band, Owner, Value};

use super::devices::Step;
use super::marks::{Markup, band_class, band_word, glyph};
use super::vulnerabilities::cvss_band;
use super::words::Clock;

/// Glyph, number and word; named "Risk 79, critical".
#[must_use]
pub fn risk(value: Value) -> Markup {
    let (class, word, points) = (band_class(value.band), band_word(value.band), value.points());
    Markup::new(format!(
        "<span class=\"risk {class}\" role=\"img\" aria-label=\"Risk {points}, {}\">{}<b>{points}</b> <span>{word}</span></span>",
        word.to_lowercase(),
        glyph(value.band)
    ))
}

/// Glyph, score and word of a severity, from CVSS times ten; named "Severity 9.8, critical".
#[must_use]
pub fn cvss(tenths: u8) -> Markup {
    let band = cvss_band(tenths);
    let (class, word) = (band_class(band), band_word(band));
    let score = format!("{}.{}", tenths / 10, tenths % 10);
    Markup::new(format!(
        "<span class=\"risk {class}\" role=\"img\" aria-label=\"Severity {score}, {}\">{}<b>{score}</b> <span>{word}</span></span>",
        word.to_lowercase(),
        glyph(band)
    ))
}

/// By when a step is due in a column; where it waits for its maker, since when, in grey: nobody here can act.
#[must_use]
pub fn due(step: &Step, clock: &Clock) -> Markup {
    match (step.due, step.waiting_since) {
        (Some(at), _) => {
            let due = clock.due(at);
            let class = if due.pressing { " class=\"is-high\"" } else { "" };
            Markup::new(format!("<span{class}>{}</span>", due.words))
        }
        (None, Some(at)) => {
            Markup::new(format!("<span class=\"is-quiet\">since {}</span>", clock.month_words(at)))
        }
        (None, None) => Markup::new("<span class=\"is-quiet\">no date</span>".into()),
    }
}

/// Glyph and word, for a gravity without a number.
#[must_use]
pub fn severity(band: Band) -> Markup {
    let (class, word) = (band_class(band), band_word(band));
    Markup::new(format!("<span class=\"risk {class}\">{}<span>{word}</span></span>", glyph(band)))
}

/// Before and after of an act: "79 → 19 Low".
#[must_use]
pub fn effect(before: Value, after: Value) -> Markup {
    let plain = |value: Value| {
        let (class, points) = (band_class(value.band), value.points());
        format!("<span class=\"risk {class}\">{}<b>{points}</b></span>", glyph(value.band))
    };
    let (class, word) = (band_class(after.band), band_word(after.band));
    Markup::new(format!(
        "<span class=\"effect\" role=\"img\" aria-label=\"Risk from {} to {}, {}\">{}<span class=\"to\">→</span>{}\
         <span class=\"risk {class}\"><span>{word}</span></span></span>",
        before.points(),
        after.points(),
        word.to_lowercase(),
        plain(before),
        plain(after)
    ))
}

/// The band whose glyph and colour stand for a finding's severity.
#[must_use]
pub fn severity_band(severity: FindingSeverity) -> Band {
    match severity {
        FindingSeverity::Low => Band::Low,
        FindingSeverity::Medium => Band::Medium,
        FindingSeverity::High => Band::High,
        FindingSeverity::Critical => Band::Critical,
    }
}

/// Whose a step is.
#[must_use]
pub fn owner(owner: Owner) -> &'static str {
    match owner {
        Owner::It => "IT",
        Owner::Security => "Security",
        Owner::ClinicalEngineering => "Clinical engineering",
        Owner::Network => "Network",
        Owner::Maker => "Maker",
    }
}

/// Whose a step is, for a narrow column.
#[must_use]
pub fn owner_short(whose: Owner) -> &'static str {
    match whose {
        Owner::ClinicalEngineering => "Clin. eng.",
        Owner::It | Owner::Security | Owner::Network | Owner::Maker => owner(whose),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_never_contradicts_its_band() {
        // Goal: 19.58 is "19 Low". Method: golden markup without the glyph's drawing.
        let markup = risk(Value { hundredths: 1958, band: Band::Low }).to_string();
        assert!(
            markup.starts_with("<span class=\"risk low\" role=\"img\" aria-label=\"Risk 19, low\"><svg"),
            "{markup}"
        );
        assert!(markup.ends_with("</svg><b>19</b> <span>Low</span></span>"), "{markup}");
    }

    #[test]
    fn an_effect_reads_from_before_to_after() {
        // Goal: each act shows what it will change. Method: its accessible name.
        let markup = effect(
            Value { hundredths: 7973, band: Band::Critical },
            Value { hundredths: 1958, band: Band::Low },
        );
        assert!(markup.to_string().contains("aria-label=\"Risk from 79 to 19, low\""), "{markup}");
    }
}
