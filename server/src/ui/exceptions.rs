//! Accepted risks: the list, the next to end first, and one with both people's words and the devices that it covers.
//!
//! No page shows a score that an exception changed, because none does. Read next: `cordon_server_core::exception`,
//! `server/ui/exceptions.html`, `exception.html`.

use askama::Template;
use cordon_proto::time::Timestamp;

use super::said::Said;
use super::words::plural;
use super::{Frame, paths};

/// The list.
#[derive(Clone, Debug, Default)]
pub struct Exceptions {
    /// The rows, the next to end first.
    pub rows: Vec<Row>,
}

/// One accepted risk.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub id: String,
    /// What is accepted.
    pub about: Said,
    /// How it stands, in a word.
    pub state: &'static str,
    /// For which devices.
    pub devices: Said,
    /// Who carries the risk.
    pub owner: Said,
    /// What is done instead.
    pub control: Said,
    /// The end.
    pub until: Timestamp,
}

/// One of them with everything.
#[derive(Clone, Debug)]
pub struct Whole {
    /// As in the list.
    pub row: Row,
    /// Why it is not removed.
    pub reason: Said,
    /// What people said: act, who, when, why.
    pub words: Vec<(&'static str, Said, Timestamp, Said)>,
    /// Devices that it covers, and those of them in whose score it stands now.
    pub count: (u64, u64),
    /// The first of these devices.
    pub devices: Vec<Covered>,
    /// What may be done now: label and act.
    pub acts: Vec<(&'static str, &'static str)>,
}

/// A device that it covers.
#[derive(Clone, Debug)]
pub struct Covered {
    /// Its identity in addresses.
    pub id: String,
    /// Its name.
    pub name: Said,
    /// Where it stands.
    pub place: Said,
    /// Whether what is accepted stands in its score now.
    pub has: bool,
}

#[derive(Template)]
#[template(path = "exceptions.html")]
struct List<'a> {
    frame: &'a Frame,
    page: &'a Exceptions,
}

#[derive(Template)]
#[template(path = "exception.html")]
struct One<'a> {
    frame: &'a Frame,
    page: &'a Whole,
}

/// The list as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Exceptions) -> String {
    super::page(&List { frame, page })
}

/// One of them as HTML.
#[must_use]
pub fn render_one(frame: &Frame, page: &Whole) -> String {
    super::page(&One { frame, page })
}

impl List<'_> {
    fn of(&self) -> String {
        plural(u64::try_from(self.page.rows.len()).unwrap_or(u64::MAX), "exception", "exceptions")
    }

    fn href(&self, row: &Row) -> String {
        paths::exception(&row.id)
    }
}

impl One<'_> {
    fn device(&self, covered: &Covered) -> String {
        paths::device(&covered.id)
    }

    fn act(&self, act: &str) -> String {
        paths::exception_act(&self.page.row.id, act)
    }

    fn counted(&self) -> String {
        let (all, with) = self.page.count;
        let devices = plural(all, "device is", "devices are");
        format!("{devices} covered; {with} of them have it in their score now. No score changes by it.")
    }

    fn more(&self) -> Option<String> {
        let shown = u64::try_from(self.page.devices.len()).unwrap_or(u64::MAX);
        let left = self.page.count.0.saturating_sub(shown);
        (left > 0).then(|| format!("and {}", plural(left, "more device", "more devices")))
    }
}
