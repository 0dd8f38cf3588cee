//! The stacked bar of one wave and the gauge of its failures beside it.
//!
//! From the left what is going well, failures from the right end towards the limit line, so that crossing it is seen
//! at once. The gauge counts failures of finished devices only, with the 95 % Wilson interval of the engine itself.
//! Read next: `cordon_server_core::rollout::tally`, [`super::rollouts`].

use cordon_server_core::rollout::{Tally, wilson};

use super::marks::Markup;
use super::words::{hundredths_percent, length, percent, permille};

/// The gauge reaches to this many times the limit.
const GAUGE_LIMITS: u32 = 6;

/// The bar: confirmed, installing, waiting, unreached, and failed from the right.
#[must_use]
pub fn bar(tally: &Tally, limit_permille: u32) -> Markup {
    let total = u64::from(tally.total());
    let mut at = 0_u64;
    let mut drawn = String::from("<rect class=\"bar-empty\" x=\"0\" y=\"19\" width=\"100%\" height=\"22\"/>");
    let segments = [
        (tally.confirmed + tally.already, "w-confirmed", ""),
        (tally.returned, "w-returned", " fill=\"url(#p-returned)\""),
        (tally.installing, "w-installing", " fill=\"url(#p-line)\""),
        (tally.waiting, "w-waiting", " fill=\"url(#p-dots)\""),
    ];
    for (count, class, fill) in segments {
        let count = u64::from(count);
        if count > 0 {
            drawn.push_str(&format!(
                "<rect class=\"{class}\" x=\"{}\" y=\"19\" width=\"{}\" height=\"22\"{fill}/>",
                length(at, total),
                length(count, total)
            ));
        }
        at += count;
    }
    let failed = u64::from(tally.failed());
    if failed > 0 {
        drawn.push_str(&format!(
            "<rect class=\"w-failed\" x=\"{}\" y=\"19\" width=\"{}\" height=\"22\" fill=\"url(#p-failed)\"/>",
            length(total - failed, total),
            length(failed, total)
        ));
    }
    let limit = hundredths_percent(10_000 - u128::from(limit_permille.min(1000)) * 10);
    // Near the right end the words stand before the line: behind it they would be cut off.
    let anchor = if limit_permille < 100 { "end" } else { "middle" };
    drawn.push_str(&format!(
        "<line class=\"limit\" x1=\"{limit}\" x2=\"{limit}\" y1=\"14\" y2=\"46\"/>\
         <text class=\"axis-value\" x=\"{limit}\" y=\"10\" text-anchor=\"{anchor}\">limit {}</text>",
        percent(limit_permille)
    ));
    Markup::new(format!(
        "<svg class=\"wave-bar\" width=\"100%\" height=\"46\" role=\"img\" aria-label=\"{}\">{drawn}</svg>",
        label(tally)
    ))
}

/// A smaller bar without limit and text, for lists.
#[must_use]
pub fn small_bar(tally: &Tally) -> Markup {
    let total = u64::from(tally.total());
    let mut at = 0_u64;
    let mut drawn = String::from("<rect class=\"bar-empty\" x=\"0\" y=\"0\" width=\"100%\" height=\"10\"/>");
    for (count, class, fill) in [
        (tally.confirmed + tally.already, "w-confirmed", ""),
        (tally.returned, "w-returned", " fill=\"url(#p-returned)\""),
        (tally.installing, "w-installing", " fill=\"url(#p-line)\""),
        (tally.waiting, "w-waiting", " fill=\"url(#p-dots)\""),
    ] {
        let count = u64::from(count);
        let (x, width) = (length(at, total), length(count, total));
        drawn.push_str(&format!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"0\" width=\"{width}\" height=\"10\"{fill}/>"
        ));
        at += count;
    }
    let failed = u64::from(tally.failed());
    drawn.push_str(&format!(
        "<rect class=\"w-failed\" x=\"{}\" y=\"0\" width=\"{}\" height=\"10\" fill=\"url(#p-failed)\"/>",
        length(total - failed, total),
        length(failed, total)
    ));
    Markup::new(format!(
        "<svg class=\"wave-small\" width=\"100%\" height=\"10\" role=\"img\" aria-label=\"{}\">{drawn}</svg>",
        label(tally)
    ))
}

/// The bar's name: the counts in its order; those that are rare only where there are any.
fn label(tally: &Tally) -> String {
    let rare = [(tally.already, "had it already"), (tally.returned, "went back")];
    let rare: String = rare
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!(", {count} {words}"))
        .collect();
    format!(
        "Of {}: {} confirmed{rare}, {} installing, {} waiting, {} unreached, {} failed",
        tally.total(),
        tally.confirmed,
        tally.installing,
        tally.waiting,
        tally.unreached,
        tally.failed()
    )
}

/// The gauge; none while nothing failed.
#[must_use]
pub fn gauge(tally: &Tally, limit_permille: u32) -> Option<Markup> {
    if tally.failed() == 0 || limit_permille == 0 {
        return None;
    }
    let most = limit_permille.saturating_mul(GAUGE_LIMITS).min(1000);
    let scale = |permille: u32| length(u64::from(permille.min(most)), u64::from(most));
    let share = permille(f64::from(tally.failed()) / f64::from(tally.finished()));
    let (low, high) = wilson(tally.failed(), tally.finished());
    let (low, high) = (scale(permille(low)), scale(permille(high)));
    let limit = scale(limit_permille);
    let drawn = format!(
        "<g class=\"axis\"><text x=\"0\" y=\"10\">0</text><text x=\"100%\" y=\"10\" text-anchor=\"end\">{most_words}</text></g>\
         <rect class=\"bar-empty\" x=\"0\" y=\"19\" width=\"100%\" height=\"22\"/>\
         <rect class=\"w-failed\" x=\"0\" y=\"19\" width=\"{share}\" height=\"22\" fill=\"url(#p-failed)\"/>\
         <g class=\"whisker\"><line x1=\"{low}\" x2=\"{high}\" y1=\"30\" y2=\"30\"/>\
         <line x1=\"{low}\" x2=\"{low}\" y1=\"25\" y2=\"35\"/><line x1=\"{high}\" x2=\"{high}\" y1=\"25\" y2=\"35\"/></g>\
         <line class=\"limit\" x1=\"{limit}\" x2=\"{limit}\" y1=\"14\" y2=\"46\"/>\
         <text class=\"axis-value\" x=\"{limit}\" y=\"10\" text-anchor=\"middle\">{limit_words}</text>",
        most_words = percent(most),
        share = scale(share),
        limit_words = percent(limit_permille),
    );
    Some(Markup::new(format!(
        "<svg class=\"gauge\" width=\"100%\" height=\"46\" role=\"img\" aria-label=\"{}\">{drawn}</svg>",
        gauge_words(tally)
    )))
}

/// Below the gauge: "4.7 % of 127, at least 2.2 %".
#[must_use]
pub fn gauge_words(tally: &Tally) -> String {
    let (low, _) = wilson(tally.failed(), tally.finished());
    format!("{} of {}, at least {}", share_words(tally), tally.finished(), percent(permille(low)))
}

/// Failures of finished devices: "4.7 %".
#[must_use]
pub fn share_words(tally: &Tally) -> String {
    percent(permille(f64::from(tally.failed()) / f64::from(tally.finished().max(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wave of the reference picture.
    fn wave() -> Tally {
        Tally {
            unreached: 6,
            waiting: 38,
            installing: 9,
            confirmed: 121,
            rolled_back: 4,
            refused: 1,
            silent: 1,
            ..Tally::default()
        }
    }

    #[test]
    fn the_gauge_says_what_the_engine_decided_on() {
        // Goal: the picture's words from the engine's own interval. Method: its counts.
        assert_eq!(gauge_words(&wave()), "4.7\u{202f}% of 127, at least 2.2\u{202f}%");
        let gauge = gauge(&wave(), 20).unwrap().to_string();
        assert!(gauge.contains("width=\"39.16%\""), "47 of 120 thousandths: {gauge}");
        assert!(gauge.contains(">12\u{202f}%</text>"), "{gauge}");
    }

    #[test]
    fn failures_grow_from_the_right_end_towards_the_limit() {
        // Goal: crossing the limit is seen. Method: the failed segment ends at 100 %, the limit stands at 98 %.
        let bar = bar(&wave(), 20).to_string();
        assert!(bar.contains("class=\"w-failed\" x=\"96.66%\" y=\"19\" width=\"3.33%\""), "{bar}");
        assert!(bar.contains("x1=\"98.00%\""), "{bar}");
        assert!(bar.contains("121 confirmed, 9 installing, 38 waiting, 6 unreached, 6 failed"), "{bar}");
    }

    #[test]
    fn what_went_back_is_not_drawn_as_confirmed() {
        // Goal: green is the ordered release by receipt, and the name of the bar adds up. Method: a wave that went back.
        let back = Tally { confirmed: 1, returned: 2, already: 1, ..Tally::default() };
        for bar in [bar(&back, 20), small_bar(&back)].map(|bar| bar.to_string()) {
            assert!(
                bar.contains("class=\"w-confirmed\" x=\"0.00%\"") && bar.contains("width=\"50.00%\""),
                "{bar}"
            );
            assert!(bar.contains("class=\"w-returned\" x=\"50.00%\""), "{bar}");
            assert!(bar.contains("Of 4: 1 confirmed, 1 had it already, 2 went back, 0 installing"), "{bar}");
        }
    }

    #[test]
    fn a_wave_of_nobody_draws_nothing_and_divides_by_nothing() {
        // Goal: no panic and no NaN. Method: the empty tally, and one where all failed.
        let none = Tally::default();
        assert!(gauge(&none, 20).is_none());
        assert!(!bar(&none, 20).to_string().contains("NaN"));
        let all = Tally { refused: 3, ..none };
        assert_eq!(share_words(&all), "100\u{202f}%");
        assert!(gauge(&all, 20).unwrap().to_string().contains("width=\"100.00%\""));
    }
}
