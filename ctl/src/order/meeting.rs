//! Whether devices that take an order could ever reboot: its windows, cut with those of contents and of the wards.
//!
//! A device reboots where the windows of its order and those of its content are both open. Orders and contents are
//! signed by different people; two that never meet would leave every device of both waiting for good, and nobody would
//! be told. So they are compared before an order is signed, with the contents in force in the signer's own folder and
//! with what the wards were promised. A content counts unless model, hardware or lists show that no device has both.
//! Read next: [`super::check`].

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use cordon_proto::canonical::Value;
use cordon_proto::ids::Sha256;
use cordon_proto::update::Rules;
use cordon_proto::update::content::{Assignment, Content};
use cordon_proto::update::order::Order;
use cordon_proto::update::release::Release;
use cordon_proto::update::scope::Scope;
use cordon_proto::update::window::{DAY_MINUTES, Window, intersect};

use super::list::ScopeList;
use super::{Checked, check};
use crate::arguments;
use crate::chain::{Director, Maker};
use crate::content::{self, Whole};
use crate::failure::Failure;

/// What else says when devices may reboot.
#[derive(Clone, Debug, Default, Args)]
pub struct Promised {
    /// When the wards let devices reboot; an order that never meets it is not signed. Repeat; without it always.
    #[arg(long, value_name = "WINDOW", value_parser = arguments::window)]
    pub within: Vec<Window>,
    /// The list of devices of a content in force, to show that the order is for others. Repeat.
    #[arg(long, value_name = "FILE")]
    pub content_list: Vec<PathBuf>,
}

/// All that cuts an order's windows.
pub struct Meeting {
    within: Vec<Window>,
    contents: Vec<Whole>,
    lists: Vec<ScopeList>,
}

/// The devices that an order and a content share.
enum Shared {
    None,
    Some(usize),
    All,
    Unknown,
}

impl Meeting {
    /// Reads what is promised: the flags, and the contents in force in the owner's folder.
    ///
    /// # Errors
    /// A list or a content's document is missing or cannot be read.
    pub fn of(director: &Director, promised: &Promised, rules: &Rules<'_>) -> Result<Self, Failure> {
        let lists = promised.content_list.iter().map(|path| ScopeList::read(path));
        let lists = lists.collect::<Result<Vec<_>, _>>()?;
        let standing = content::standing(director, rules)?;
        let mut contents = Vec::new();
        for assignment in &standing {
            // Of two contents that reach a device the one with the higher version counts.
            let over = |other: &Assignment| {
                other.version > assignment.version && covers(&other.scope, &assignment.scope)
            };
            if !standing.iter().any(over) {
                contents.push(content::document_of(director, assignment.clone())?);
            }
        }
        Ok(Self { within: promised.within.clone(), contents, lists })
    }

    /// Checks an order as [`check`] does, and that its devices could ever reboot.
    ///
    /// # Errors
    /// The first reason not to sign it.
    pub fn check(
        &self,
        order: Order,
        maker: &Maker,
        lists: &[ScopeList],
        rules: &Rules<'_>,
    ) -> Result<Checked, Failure> {
        let mut checked = check(order, maker, lists, rules)?;
        checked.meets = self.judge(&checked, lists)?;
        Ok(checked)
    }

    /// What is left of the order's windows, in lines.
    fn judge(&self, checked: &Checked, lists: &[ScopeList]) -> Result<String, Failure> {
        let (order, mut lines) = (&checked.order, String::new());
        let mut open = order.windows.clone();
        if !self.within.is_empty() {
            open = intersect(&order.windows, &self.within);
            if open.is_empty() {
                let wards = format!("--within {}", text(&self.within));
                return Err(never(order, &wards, "give the order another --window"));
            }
            let _ = writeln!(lines, "  reboots    with --within: {}", left(&open));
        }
        for Whole { assignment, content } in &self.contents {
            let Some(windows) = content.windows.as_ref() else { continue };
            let whom = match self.shared((order, &checked.release), lists, (&assignment.scope, content)) {
                Shared::None => continue,
                Shared::Some(count) => format!("{count} of its devices have"),
                Shared::All => "its devices have".to_owned(),
                Shared::Unknown => "its devices may have".to_owned(),
            };
            let named = format!("content {} version {}", content.id, content.version);
            let both = intersect(&open, windows);
            if both.is_empty() {
                let theirs = format!("{named} ({})", text(windows));
                let act = format!(
                    "{whom} it; give the order another --window, withdraw the content, or show with --content-list that \
                     no device is in both lists"
                );
                return Err(never(order, &theirs, &act));
            }
            let _ = writeln!(lines, "  reboots    with {named}, which {whom}: {}", left(&both));
        }
        Ok(lines)
    }

    fn shared(
        &self,
        (order, release): (&Order, &Release),
        own: &[ScopeList],
        (scope, content): (&Scope, &Content),
    ) -> Shared {
        if content.model != release.model {
            return Shared::None;
        }
        match (&order.scope, scope) {
            (_, Scope::Match { hardware, .. }) if !release.hardware.contains(hardware) => Shared::None,
            (Scope::Match { hardware: one, .. }, Scope::Match { hardware: other, .. }) if one != other => {
                Shared::None
            }
            (Scope::Set { root: one, .. }, Scope::Set { root: other, .. }) if one == other => Shared::All,
            (Scope::Set { root: one, .. }, Scope::Set { root: other, .. }) => {
                let find = |root: &Sha256| own.iter().chain(&self.lists).find(|list| list.root() == *root);
                let Some((one, other)) = find(one).zip(find(other)) else { return Shared::Unknown };
                match one.identities().filter(|identity| other.contains(identity)).count() {
                    0 => Shared::None,
                    count => Shared::Some(count),
                }
            }
            (Scope::Set { .. } | Scope::Match { .. }, Scope::Set { .. } | Scope::Match { .. }) => {
                Shared::Unknown
            }
        }
    }
}

/// Whether every device of one scope is in the other.
fn covers(wide: &Scope, narrow: &Scope) -> bool {
    match (wide, narrow) {
        (
            Scope::Match { model, hardware, from_least, from_most },
            Scope::Match { model: other, hardware: revision, from_least: least, from_most: most },
        ) => model == other && hardware == revision && from_least <= least && from_most >= most,
        (_, _) => wide == narrow,
    }
}

fn never(order: &Order, theirs: &str, act: &str) -> Failure {
    let detail = format!(
        "order {} ({}) and {theirs} have not a minute of the week in common: no device of both could ever reboot; {act}",
        order.id,
        text(&order.windows)
    );
    Failure::refused("no window", detail)
}

/// Windows as they stand in a signed document.
#[must_use]
pub fn text(windows: &[Window]) -> String {
    String::from_utf8_lossy(&Value::list(windows.iter().map(Window::value)).json()).into_owned()
}

/// What is left, and how much of a week that is.
fn left(open: &[Window]) -> String {
    let days = |window: &Window| (0..7).filter(|day| window.opens_on(*day)).count();
    let minutes: usize = open.iter().map(|open| days(open) * usize::from(open.length_minutes())).sum();
    if minutes >= 7 * usize::from(DAY_MINUTES) {
        return "always".to_owned();
    }
    format!("{} ({} h {} min of a week)", text(open), minutes / 60, minutes % 60)
}
