//! Evidence: asking for a pack, how fast releases reached their devices, and how a pack is checked without the server.
//!
//! A pack is asked for by a form that works without script; the answer is a file. What cannot be told without advisories
//! is said to be unknown. Read next: `cordon_server_core::evidence`, `server/ui/evidence.html`.

use askama::Template;

use super::Frame;
use super::said::Said;
use super::words::{number, percent, plural};

/// By what a pack can be asked: the form's value, its words.
pub const BY: [(&str, &str); 4] = [
    ("order", "Order"),
    ("release", "Release: all orders that install it"),
    ("rollout", "Rollout: all orders it carries out"),
    ("advisory", "Advisory: all orders that close it"),
];

/// The page.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Whether this person may ask for a pack.
    pub may_ask: bool,
    /// By what, as chosen.
    pub by: String,
    /// The name, as typed.
    pub name: Said,
    /// Names that exist, to be offered while typing.
    pub known: Vec<Said>,
    /// Why there was no pack.
    pub fault: Said,
    /// How fast each release reached its devices.
    pub rows: Vec<MeasureRow>,
}

/// The measures of one release.
#[derive(Clone, Debug)]
pub struct MeasureRow {
    /// The release.
    pub release: Said,
    /// Devices that rollouts were to reach, and those that proved it by a receipt.
    pub devices: (u64, u64),
    /// Devices that proved it, in thousandths.
    pub patched_permille: u32,
    /// Seconds from taking the release in to the receipt: half of the devices, and the last.
    pub deployed_s: Option<(i64, i64)>,
}

#[derive(Template)]
#[template(path = "evidence.html")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Evidence,
}

/// The page as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Evidence) -> String {
    super::page(&Page { frame, page })
}

impl Page<'_> {
    fn by(&self) -> [(&'static str, &'static str); 4] {
        BY
    }

    fn is_chosen(&self, value: &str) -> bool {
        self.page.by == value
    }

    fn patched(&self, row: &MeasureRow) -> String {
        let (all, proved) = row.devices;
        format!("{}, {} of {}", percent(row.patched_permille), number(proved), number(all))
    }

    fn deployed(&self, row: &MeasureRow) -> String {
        match row.deployed_s {
            Some((half, last)) => format!("half within {}, all of these within {}", span(half), span(last)),
            None => "no receipt yet".to_owned(),
        }
    }
}

/// "9 days", "5 hours", "12 minutes".
fn span(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    match seconds {
        0..3_600 => plural(seconds.div_ceil(60), "minute", "minutes"),
        3_600..172_800 => plural(seconds / 3_600, "hour", "hours"),
        _ => plural(seconds / 86_400, "day", "days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_the_unit_that_people_think_in() {
        // Goal: no seconds on the page, and never a negative time. Method: each unit and its ends.
        for (seconds, words) in [
            (-5, "0 minutes"),
            (61, "2 minutes"),
            (3_600, "1 hour"),
            (172_799, "47 hours"),
            (172_800, "2 days"),
        ] {
            assert_eq!(span(seconds), words);
        }
    }
}
