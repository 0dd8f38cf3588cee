//! What ends: four lists by how near it is, each line with who must act and what to do.
//!
//! Read only; what ends is mended with keys and commands that no console has. Read next:
//! `cordon_server_core::expiry`, `server/ui/expiries.html`.

use askama::Template;
use cordon_proto::time::Timestamp;

use super::Frame;
use super::said::Said;
use super::words::plural;

/// The page.
#[derive(Clone, Debug, Default)]
pub struct Expiries {
    /// The lists that have lines, the nearest first.
    pub groups: Vec<Group>,
    /// All ends that are known, the far ones too.
    pub known: u64,
}

/// What ends within so many days.
#[derive(Clone, Debug)]
pub struct Group {
    /// Within so many days; 0 for what is over.
    pub within: u32,
    /// The lines, the soonest first.
    pub rows: Vec<Row>,
}

/// One end.
#[derive(Clone, Debug)]
pub struct Row {
    /// When.
    pub at: Timestamp,
    /// Which one.
    pub name: Said,
    /// Who must act, in a word.
    pub whose: &'static str,
    /// What to do.
    pub todo: &'static str,
}

#[derive(Template)]
#[template(path = "expiries.html")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Expiries,
}

/// The page as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Expiries) -> String {
    super::page(&Page { frame, page })
}

impl Page<'_> {
    fn head(&self) -> String {
        let listed: usize = self.page.groups.iter().map(|group| group.rows.len()).sum();
        format!("{listed} of {}", plural(self.page.known, "end", "ends"))
    }

    fn title(&self, group: &Group) -> String {
        match group.within {
            0 => "Over".to_owned(),
            1 => "Within a day".to_owned(),
            days => format!("Within {days} days"),
        }
    }
}
