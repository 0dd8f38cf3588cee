//! A finding of many devices: since when, on how many, what to do, and each device's own finding.
//!
//! What a device wrote is shown as data. Read next: `cordon_server_core::cohort`, `server/ui/finding_group.html`.

use askama::Template;
use cordon_proto::time::Timestamp;
use cordon_server_core::risk::facts::FindingSeverity;

use super::marks::Markup;
use super::said::Said;
use super::words::plural;
use super::{Frame, badge, paths};

/// The page.
#[derive(Clone, Debug)]
pub struct FindingGroup {
    /// Its name.
    pub id: String,
    /// What it is.
    pub title: Said,
    /// The gravest of its findings.
    pub severity: FindingSeverity,
    /// "New on a model" or "After an update".
    pub kind: &'static str,
    /// "41 of 120 VP-3".
    pub devices: Said,
    /// Since when, on how many, compared with what.
    pub what_changed: Said,
    /// The act first, then the harmless explanation.
    pub what_to_do: Said,
    /// The rollouts that brought it.
    pub rollouts: Vec<Said>,
    /// Its first findings.
    pub parts: Vec<Part>,
    /// Its findings in all.
    pub count: u64,
    /// Critical ones, which are decided one by one.
    pub critical: u64,
}

/// One device's finding.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its name.
    pub id: String,
    /// The device.
    pub device: Said,
    /// Where it stands.
    pub place: Said,
    /// What it is.
    pub title: Said,
    /// How grave.
    pub severity: FindingSeverity,
    /// When it was first seen.
    pub first: Timestamp,
    /// What people decided.
    pub state: &'static str,
}

#[derive(Template)]
#[template(path = "finding_group.html")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a FindingGroup,
}

/// The page as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &FindingGroup) -> String {
    super::page(&Page { frame, page })
}

impl Page<'_> {
    fn mark(&self, severity: &FindingSeverity) -> Markup {
        badge::severity(badge::severity_band(*severity))
    }

    fn act(&self, act: &str) -> String {
        paths::finding_group_act(&self.page.id, act)
    }

    fn href(&self, part: &Part) -> String {
        paths::finding(&part.id)
    }

    fn rollout(&self, id: &Said) -> String {
        paths::rollout(id.raw())
    }

    fn critical(&self) -> Option<String> {
        let count = self.page.critical;
        let words = plural(count, "critical finding", "critical findings");
        (count > 0).then(|| format!("{words}: each is decided by itself and stands in the list too."))
    }

    fn more(&self) -> Option<String> {
        let shown = u64::try_from(self.page.parts.len()).unwrap_or(u64::MAX);
        let more = self.page.count.saturating_sub(shown);
        (more > 0).then(|| format!("and {more} more"))
    }
}
