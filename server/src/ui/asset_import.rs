//! Bringing a list of assets: the form, and what the list would do before it does it.
//!
//! The preview says in numbers and rows what would be added, what changed, what the list names no more and what is doubtful and
//! stays out; only the second button changes anything. Read next: `cordon_server_core::assets`, which plans,
//! `server/ui/asset_import.html`.

use askama::Template;
use cordon_proto::time::Timestamp;

use super::Frame;
use super::said::Said;
use super::words::{bytes, number, plural};

/// Rows of one kind that the page shows; the API names more.
pub const SHOWN: usize = 100;

/// The page.
#[derive(Clone, Debug, Default)]
pub struct AssetImport {
    /// The name that was typed for the list.
    pub list: Said,
    /// The site that was typed for rows that name none.
    pub site: Said,
    /// Why the list was not read, or why it is shown again.
    pub fault: Said,
    /// What it would do; none: nothing was brought yet.
    pub preview: Option<Preview>,
    /// The lists that came in before.
    pub lists: Vec<ListRow>,
    /// The most that a file may hold, in bytes.
    pub most: u64,
}

/// What a list would do.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    /// By which the second press names what was shown.
    pub token: String,
    /// Rows about devices.
    pub rows: u64,
    /// Devices that nobody knew, and the first of them.
    pub added: u64,
    /// Model, name and place of these.
    pub added_rows: Vec<AddedRow>,
    /// Known devices of which it says something new.
    pub changed: u64,
    /// Known devices of which it says nothing new.
    pub unchanged: u64,
    /// Devices that it named before and names no more.
    pub gone: u64,
    /// What changes, and what it names no more.
    pub changes: Vec<ChangeRow>,
    /// Rows that stay out.
    pub doubtful: u64,
    /// These, with what to do.
    pub doubtful_rows: Vec<(u64, Said)>,
    /// Columns that nobody asked for.
    pub passed_over: Vec<Said>,
}

/// A device that would be added.
#[derive(Clone, Debug)]
pub struct AddedRow {
    /// The row of the list.
    pub row: u64,
    /// What people call it.
    pub name: Said,
    /// Its maker and model.
    pub what: Said,
    /// Where it stands.
    pub place: Said,
}

/// A device that would be changed.
#[derive(Clone, Debug)]
pub struct ChangeRow {
    /// The row of the list; none: the list names it no more.
    pub row: Option<u64>,
    /// What people call it.
    pub name: Said,
    /// Its own page.
    pub href: String,
    /// What changes.
    pub what: Said,
}

/// A list that came in before.
#[derive(Clone, Debug)]
pub struct ListRow {
    /// Its name.
    pub name: Said,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Said,
    /// Devices that it names.
    pub devices: u64,
    /// Rows that stayed out.
    pub doubtful: u64,
}

#[derive(Template)]
#[template(path = "asset_import.html")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a AssetImport,
}

/// The page as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &AssetImport) -> String {
    super::page(&Page { frame, page })
}

impl Preview {
    /// Whether it would change anything.
    fn acts(&self) -> bool {
        self.added + self.changed + self.gone > 0
    }

    /// "12 devices would be added, 3 changed; 2 rows are doubtful and stay out".
    fn answer(&self) -> String {
        let acts = match (self.added, self.changed) {
            (0, 0) => "No device would be added or changed".to_owned(),
            (added, 0) => format!("{} would be added, none changed", plural(added, "device", "devices")),
            (0, changed) => format!("No device would be added, {} changed", number(changed)),
            (added, changed) => {
                format!("{} would be added, {} changed", plural(added, "device", "devices"), number(changed))
            }
        };
        match self.doubtful {
            0 => acts,
            rows => {
                format!(
                    "{acts}; {}",
                    plural(rows, "row is doubtful and stays out", "rows are doubtful and stay out")
                )
            }
        }
    }
}

impl Page<'_> {
    fn most(&self) -> String {
        bytes(self.page.most)
    }

    /// The same of what changes and what the list names no more.
    fn part_of_changes(&self, preview: &Preview) -> String {
        self.part(preview.changes.len(), &(preview.changed + preview.gone))
    }

    fn number(&self, count: &u64) -> String {
        number(*count)
    }

    /// "the first 100 of 1,240"; empty where all are shown.
    fn part(&self, shown: usize, all: &u64) -> String {
        let shown = u64::try_from(shown).unwrap_or(u64::MAX);
        if shown < *all { format!("the first {} of {}", number(shown), number(*all)) } else { String::new() }
    }
}
