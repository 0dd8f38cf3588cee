//! Charts drawn on the server: trend, sparkline, heat strip, bars by band, rug of flows.
//!
//! Lengths are attributes, baselines are zero, text stays 11 px at every width because only paths are scaled. A chart
//! without data says so and why ([`NoChart`]); it never draws a line at zero instead. Read next: [`super::overview`].

use cordon_proto::time::Timestamp;
use cordon_server_core::risk::Band;

use super::marks::{Markup, band_class, escape};
use super::said::Said;
use super::words::{Clock, length, number};

/// Why there is nothing to draw, in a sentence: "No history yet: counting began at 14:20."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoChart(pub String);

/// Devices at high or critical risk over time.
#[derive(Clone, Debug, Default)]
pub struct Trend {
    /// Counts, oldest first.
    pub points: Vec<Point>,
    /// What happened meanwhile, oldest first.
    pub events: Vec<Event>,
}

/// Counts at one time.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// When.
    pub at: Timestamp,
    /// Devices at critical risk.
    pub critical: u32,
    /// Devices at high risk.
    pub high: u32,
}

/// Something that explains a step in the curve.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What, in a few words.
    pub label: Said,
    /// Its page.
    pub href: String,
}

/// Height of the plot and of its strip of events, in pixels.
const PLOT: u64 = 156;
const STRIP: u64 = 22;

impl Trend {
    /// Whether there is a line to draw.
    #[must_use]
    pub fn is_drawable(&self) -> bool {
        self.points.len() >= 2 && self.span().is_some()
    }

    fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let (first, last) = (self.points.first()?.at, self.points.last()?.at);
        (last > first).then_some((first, last))
    }

    fn top(&self) -> u64 {
        let most = self.points.iter().map(|p| u64::from(p.critical) + u64::from(p.high)).max().unwrap_or(0);
        tick_step(most) * 3
    }

    /// Labels of the vertical axis, as its own drawing.
    #[must_use]
    pub fn axis(&self) -> Markup {
        let top = self.top();
        let labels: String = (0..=3)
            .map(|n| {
                let y = STRIP + PLOT - PLOT * n / 3 + if n == 0 { 0 } else { 4 };
                format!("<text x=\"0\" y=\"{y}\">{}</text>", number(top / 3 * n))
            })
            .collect();
        Markup::new(format!(
            "<svg class=\"y-axis axis\" width=\"30\" height=\"200\" aria-hidden=\"true\">{labels}</svg>"
        ))
    }

    /// The plot.
    #[must_use]
    pub fn plot(&self, clock: &Clock) -> Markup {
        let Some((first, last)) = self.span() else { return Markup::default() };
        let mut drawn = String::from("<g class=\"grid\">");
        for n in 0..=3 {
            let y = STRIP + PLOT - PLOT * n / 3;
            drawn.push_str(&format!("<line x1=\"0\" x2=\"100%\" y1=\"{y}\" y2=\"{y}\"/>"));
        }
        drawn.push_str(&format!(
            "</g><svg x=\"0\" y=\"{STRIP}\" width=\"100%\" height=\"{PLOT}\" viewBox=\"0 0 1000 {PLOT}\" \
             preserveAspectRatio=\"none\">{}</svg>",
            self.areas(first, last)
        ));
        drawn.push_str(&self.event_marks(first, last));
        drawn.push_str(&time_labels(first, last, clock));
        Markup::new(format!(
            "<svg class=\"plot\" width=\"100%\" height=\"200\" role=\"img\" aria-label=\"{}\">{drawn}</svg>",
            escape(&self.finding(clock))
        ))
    }

    /// What the chart shows, in a sentence.
    #[must_use]
    pub fn finding(&self, clock: &Clock) -> String {
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else {
            return String::new();
        };
        format!(
            "Devices at high or critical risk since {}: from {} to {}, {} of them critical",
            clock.moment_words(first.at),
            number(u64::from(first.critical) + u64::from(first.high)),
            number(u64::from(last.critical) + u64::from(last.high)),
            number(u64::from(last.critical))
        )
    }

    /// At most 32 rows for "Show as table", newest first.
    #[must_use]
    pub fn rows(&self) -> Vec<Point> {
        let step = self.points.len().div_ceil(32).max(1);
        self.points.iter().rev().step_by(step).copied().collect()
    }

    /// Both areas: critical at the base, high upon it.
    fn areas(&self, first: Timestamp, last: Timestamp) -> String {
        let top = self.top();
        let x = |at: Timestamp| scale(at, first, last, 1000);
        let y = |count: u64| PLOT - (count * PLOT).checked_div(top).unwrap_or(0);
        let line = |height: &dyn Fn(&Point) -> u64| -> String {
            let corner = |p: &Point| format!("{} {}", x(p.at), y(height(p)));
            self.points.iter().map(corner).collect::<Vec<_>>().join("L")
        };
        let critical = line(&|p| u64::from(p.critical));
        let high = line(&|p| u64::from(p.critical) + u64::from(p.high));
        let back: Vec<String> =
            self.points.iter().rev().map(|p| format!("{} {}", x(p.at), y(u64::from(p.critical)))).collect();
        format!(
            "<path class=\"area high\" d=\"M{high}L{}Z\"/><path class=\"area critical\" d=\"M{critical}L1000 {PLOT}L0 {PLOT}Z\"/>\
             <path class=\"curve high\" d=\"M{high}\" vector-effect=\"non-scaling-stroke\"/>\
             <path class=\"curve critical\" d=\"M{critical}\" vector-effect=\"non-scaling-stroke\"/>",
            back.join("L")
        )
    }

    /// Dashed lines with their labels; a label that would cover its neighbour is left to the line's title.
    fn event_marks(&self, first: Timestamp, last: Timestamp) -> String {
        let mut drawn = String::new();
        let mut free_from = 0;
        for event in self.events.iter().filter(|event| event.at >= first && event.at <= last) {
            let at = scale(event.at, first, last, 10_000);
            let label = escape(&event.label.to_string());
            // 6 px a character on a plot of 640 px.
            let room = u64::try_from(event.label.to_string().chars().count()).unwrap_or(0) * 95 + 150;
            let (begins, anchor, gap) =
                if at + room > 10_000 { (at.saturating_sub(room), "end", -5) } else { (at, "start", 5) };
            let place = format!("{}.{:02}%", at / 100, at % 100);
            let mut text = String::new();
            if begins >= free_from {
                text = format!(
                    "<text x=\"{place}\" dx=\"{gap}\" y=\"10\" text-anchor=\"{anchor}\">{label}</text>"
                );
                free_from = if anchor == "end" { at } else { at + room };
            }
            drawn.push_str(&format!(
                "<a href=\"{}\"><title>{label}</title><line class=\"event\" x1=\"{place}\" x2=\"{place}\" y1=\"0\" y2=\"{}\"/>{text}</a>",
                escape(&event.href),
                STRIP + PLOT
            ));
        }
        format!("<g class=\"events axis\">{drawn}</g>")
    }
}

/// Four labels below the plot: the first and the last align inwards.
fn time_labels(first: Timestamp, last: Timestamp, clock: &Clock) -> String {
    let span = last.seconds_since(first);
    let words = |at: Timestamp| if span < 2 * 86_400 { clock.time_words(at) } else { clock.day_words(at) };
    let labels: String = [(0, "start"), (33, "middle"), (67, "middle"), (100, "end")]
        .into_iter()
        .map(|(place, anchor)| {
            let at = first.plus_seconds(span / 100 * place + span % 100 * place / 100);
            let text = match place {
                100 if clock.now.seconds_since(last) < 3600 && span < 2 * 86_400 => "now".into(),
                100 if clock.days_ahead(last) == 0 && span >= 2 * 86_400 => "today".into(),
                _ => words(at),
            };
            format!("<text x=\"{place}%\" y=\"196\" text-anchor=\"{anchor}\">{text}</text>")
        })
        .collect();
    format!("<g class=\"axis\">{labels}</g>")
}

/// `at` between `first` and `last` on a scale from 0 to `most`.
fn scale(at: Timestamp, first: Timestamp, last: Timestamp, most: u64) -> u64 {
    let part = u128::try_from(at.seconds_since(first).max(0)).unwrap_or(0);
    let whole = u128::try_from(last.seconds_since(first).max(1)).unwrap_or(1);
    u64::try_from(part * u128::from(most) / whole).unwrap_or(most).min(most)
}

/// A round step of which three reach `most`: 1, 2 or 5 times a power of ten.
fn tick_step(most: u64) -> u64 {
    let needed = most.div_ceil(3).max(1);
    let mut power = 1_u64;
    loop {
        for factor in [1, 2, 5] {
            if power * factor >= needed {
                return power * factor;
            }
        }
        power = power.saturating_mul(10);
    }
}

/// A sparkline of 56 × 18 on its own scale; the number stands beside it.
#[must_use]
pub fn spark(values: &[u32]) -> Markup {
    let (Some(low), Some(high)) = (values.iter().min(), values.iter().max()) else {
        return Markup::default();
    };
    let last = u64::try_from(values.len()).unwrap_or(1).saturating_sub(1);
    if last == 0 {
        return Markup::default();
    }
    let span = u64::from(high - low).max(1);
    let corner = |(place, value): (u64, &u32)| {
        let (x, y) = (10 + place * 540 / last, 160 - u64::from(value - low) * 140 / span);
        format!("{}.{} {}.{}", x / 10, x % 10, y / 10, y % 10)
    };
    let corners: Vec<String> = (0..).zip(values).map(corner).collect();
    Markup::new(format!(
        "<svg class=\"spark\" width=\"56\" height=\"18\" viewBox=\"0 0 56 18\" aria-hidden=\"true\"><path d=\"M{}\"/></svg>",
        corners.join("L")
    ))
}

/// A heat strip: one cell a day, four steps; the count stands beside the row.
#[must_use]
pub fn heat(days: &[u32], most: u32) -> Markup {
    let count = u64::try_from(days.len()).unwrap_or(0).max(1);
    let cell = |(place, value): (u64, &u32)| {
        let step = if *value == 0 {
            0
        } else {
            (u64::from(*value) * 4).div_ceil(u64::from(most.max(1))).clamp(1, 4)
        };
        format!(
            "<rect class=\"heat-{step}\" x=\"{}\" width=\"{}\" height=\"15\" rx=\"2\"/>",
            length(place, count),
            length(80, count * 100)
        )
    };
    let cells: String = (0..).zip(days).map(cell).collect();
    Markup::new(format!(
        "<svg class=\"heat\" width=\"100%\" height=\"15\" aria-hidden=\"true\">{cells}</svg>"
    ))
}

/// One bar as long as its share of the largest.
#[must_use]
pub fn band_bar(band: Band, count: u64, most: u64) -> Markup {
    let width = if count == 0 { "0".into() } else { length(count.max(most / 60), most) };
    Markup::new(format!(
        "<svg class=\"band-bar\" width=\"100%\" height=\"10\" aria-hidden=\"true\"><rect class=\"{}\" width=\"{width}\" height=\"10\"/></svg>",
        band_class(band)
    ))
}

/// Devices by risk in one bar, critical first, gaps between.
#[must_use]
pub fn stack(counts: [u64; 4]) -> Markup {
    let total: u64 = counts.iter().sum();
    let mut at = 0;
    let mut drawn = String::new();
    for (band, count) in [Band::Critical, Band::High, Band::Medium, Band::Low].into_iter().zip(counts) {
        if count > 0 {
            drawn.push_str(&format!(
                "<rect class=\"{}\" x=\"{}\" width=\"{}\" height=\"12\"/>",
                band_class(band),
                length(at, total),
                length(count, total)
            ));
        }
        at += count;
    }
    let [critical, high, medium, low] = counts.map(number);
    Markup::new(format!(
        "<svg class=\"stack\" width=\"100%\" height=\"12\" role=\"img\" \
         aria-label=\"{critical} critical, {high} high, {medium} medium, {low} low\">{drawn}</svg>"
    ))
}

/// Connections of one peer as ticks on a line; places are thousandths of the time shown.
#[must_use]
pub fn rug(places: &[u16], new: bool) -> Markup {
    let (width, height, y, class) = if new { (3, 12, 4, "tick new") } else { (2, 8, 6, "tick") };
    let tick = |place: &u16| {
        let place = u32::from((*place).min(1000)) * 99 / 100;
        format!(
            "<rect class=\"{class}\" x=\"{}.{}%\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>",
            place / 10,
            place % 10
        )
    };
    let ticks: String = places.iter().take(200).map(tick).collect();
    Markup::new(format!(
        "<svg class=\"rug\" width=\"100%\" height=\"20\" aria-hidden=\"true\"><line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"10\" y2=\"10\"/>{ticks}</svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: i64, critical: u32, high: u32) -> Point {
        Point { at: Timestamp(at), critical, high }
    }

    #[test]
    fn ticks_are_round_and_reach_the_top() {
        // Goal: three round grid lines. Method: tops around each step.
        let steps = [0, 1, 3, 4, 30, 31, 297, 301, 1501].map(tick_step);
        assert_eq!(steps, [1, 1, 1, 2, 10, 20, 100, 200, 1000]);
    }

    #[test]
    fn a_trend_draws_high_upon_critical_from_zero() {
        // Goal: stacked in fixed order from a zero base line. Method: two points, golden paths.
        let trend = Trend { points: vec![point(0, 1, 1), point(86_400 * 3, 2, 1)], events: Vec::new() };
        let plot = trend.plot(&Clock::utc(Timestamp(86_400 * 3))).to_string();
        assert!(plot.contains("class=\"area critical\" d=\"M0 104L1000 52L1000 156L0 156Z\""), "{plot}");
        assert!(plot.contains("class=\"curve high\" d=\"M0 52L1000 0\""), "{plot}");
        assert!(plot.contains("from 2 to 3, 2 of them critical"), "{plot}");
        assert!(plot.contains(">today</text>"), "{plot}");
    }

    #[test]
    fn one_point_or_none_is_no_line() {
        // Goal: no data is not zero. Method: nothing, one point, two at the same time.
        for points in [vec![], vec![point(5, 1, 1)], vec![point(5, 1, 1), point(5, 2, 2)]] {
            let trend = Trend { points, events: Vec::new() };
            assert!(!trend.is_drawable());
            let _ = trend.plot(&Clock::utc(Timestamp(5)));
        }
    }

    #[test]
    fn an_event_is_linked_and_its_label_is_text() {
        // Goal: nothing from a label acts. Method: a hostile label and address.
        let event = Event { at: Timestamp(50), label: "<b>\"x".into(), href: "/a\"b".into() };
        let trend = Trend { points: vec![point(0, 1, 1), point(100, 1, 1)], events: vec![event] };
        let plot = trend.plot(&Clock::utc(Timestamp(100))).to_string();
        assert!(plot.contains("<a href=\"/a&#34;b\"><title>&#60;b&#62;&#34;x</title>"), "{plot}");
        assert!(!plot.contains("<b>"));
    }

    #[test]
    fn cells_and_bars_show_counts_in_steps() {
        // Goal: zero is empty, the most is darkest, any count is seen. Method: golden pieces.
        let heat = heat(&[0, 1, 2, 8], 8).to_string();
        let steps: Vec<&str> = heat.split("heat-").skip(1).map(|rest| &rest[..1]).collect();
        assert_eq!(steps, ["0", "1", "1", "4"]);
        assert!(band_bar(Band::Critical, 1, 3433).to_string().contains("width=\"1.66%\""));
        assert!(stack([0, 0, 0, 0]).to_string().contains("0 critical"));
        assert!(spark(&[1]).to_string().is_empty() && spark(&[]).to_string().is_empty());
        assert!(spark(&[0, 5, 10]).to_string().contains("M1.0 16.0L28.0 9.0L55.0 2.0"));
        assert!(rug(&[0, 1000], true).to_string().contains("x=\"99.0%\""));
    }
}
