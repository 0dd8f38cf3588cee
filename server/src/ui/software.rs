//! What runs on a device: its packages as it reported them.
//!
//! Every row is the device's own word and is shown as data. Read next: [`super::device`] for the head.

use askama::Template;
use cordon_proto::time::Timestamp;

use super::device::Head;
use super::marks::Markup;
use super::said::Said;
use super::words::number;
use super::{Frame, badge, paths};

/// Rows of one page of the table.
pub const PAGE_ROWS: usize = 200;

/// The page.
#[derive(Clone, Debug)]
pub struct Software {
    /// The device's head.
    pub head: Head,
    /// When the inventory was read on the device.
    pub read_at: Timestamp,
    /// The system it runs: "Debian GNU/Linux 12".
    pub system: Said,
    /// The text searched for.
    pub text: String,
    /// Packages that match the text.
    pub matching: u64,
    /// The page, from 1.
    pub page: usize,
    /// The rows of this page.
    pub rows: Vec<Package>,
}

/// One package.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its name.
    pub name: Said,
    /// Its version.
    pub version: Said,
    /// The source package and version it was built from, by which advisories are matched.
    pub source: Said,
    /// Its architecture.
    pub architecture: Said,
    /// What is known of it.
    pub known: Known,
}

/// What advisories say of a package.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// Nothing was matched: no advisories are here, or the list is new.
    #[default]
    Unmatched,
    /// No advisories are published for packages of its kind, or none are here.
    Unmatchable,
    /// Weaknesses that it has, those of which nobody can say, and the gravest severity among them.
    Matched {
        /// It has them.
        affected: u64,
        /// Nobody can say.
        unknown: u64,
        /// CVSS times ten.
        worst: Option<u8>,
    },
}

/// Words in grey.
fn quiet(words: &str) -> Markup {
    Markup::new(format!("<span class=\"is-quiet\">{words}</span>"))
}

#[derive(Template)]
#[template(path = "software.html")]
struct Page<'a> {
    frame: &'a Frame,
    head: &'a Head,
    tab: &'static str,
    page: &'a Software,
}

/// The page as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Software) -> String {
    super::page(&Page { frame, head: &page.head, tab: "software", page })
}

impl Page<'_> {
    fn here(&self) -> String {
        paths::software(&self.head.id)
    }

    fn sbom(&self) -> String {
        paths::device_sbom(&self.head.id)
    }

    fn drift(&self) -> String {
        paths::drift(&self.head.id)
    }

    /// What is known of a package: its worst severity and how many, or why nothing is said.
    fn known(&self, row: &Package) -> Markup {
        let (affected, unknown, worst) = match row.known {
            Known::Unmatched => return quiet("not matched"),
            Known::Unmatchable => return quiet("no advisories for its kind"),
            Known::Matched { affected: 0, unknown: 0, .. } => return quiet("none known"),
            Known::Matched { affected, unknown, worst } => (affected, unknown, worst),
        };
        let counts = [(affected, "known"), (unknown, "unknown")].into_iter().filter(|(count, _)| *count > 0);
        let words: Vec<String> = counts.map(|(count, word)| format!("{} {word}", number(count))).collect();
        let mark = worst.map(badge::cvss).unwrap_or_default();
        let href = paths::exposures(&self.head.id);
        Markup::new(format!("<a class=\"quiet-link\" href=\"{href}\">{mark} {}</a>", words.join(", ")))
    }

    fn pages(&self) -> (String, Option<String>, Option<String>) {
        let page = self.page.page.max(1);
        let rows = u64::try_from(PAGE_ROWS).unwrap_or(200);
        let before = u64::try_from(page - 1).unwrap_or(0) * rows;
        let shown = u64::try_from(self.page.rows.len()).unwrap_or(0);
        let words =
            format!("{} to {} of {}", number(before + 1), number(before + shown), number(self.page.matching));
        let go = |page: usize| {
            paths::with_query(&self.here(), &[("q", self.page.text.as_str()), ("page", &page.to_string())])
        };
        let on = (before + shown < self.page.matching).then(|| go(page + 1));
        (words, (page > 1).then(|| go(page - 1)), on)
    }
}
