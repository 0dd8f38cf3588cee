//! The acceptance check of a rollout: who waits for a person after the install, and who was returned to use.
//!
//! Which devices are looked at is drawn by the engine, never here. Read next: `cordon_server_core::rollout::unaccepted`,
//! `server/ui/rollout.html`.

use cordon_proto::time::Timestamp;

use super::marks::{Markup, Shape, shape};
use super::said::Said;
use super::words::{number, plural};

/// The check of one rollout.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// Which devices a person looks at, in words.
    pub rule: String,
    /// The number of the work order in the hospital's own books, if there is one.
    pub work_order: Said,
    /// The first of the devices that wait for a person.
    pub waits: Vec<Waits>,
    /// How many more wait.
    pub more: u64,
    /// The first of those that somebody has looked at, the newest first.
    pub seen: Vec<Seen>,
}

/// A device that waits for a person.
#[derive(Clone, Debug)]
pub struct Waits {
    /// Its name.
    pub name: Said,
    /// Where it stands.
    pub place: Said,
    /// In which wave, from 1.
    pub wave: usize,
    /// The form, for who may send it.
    pub href: Option<String>,
}

/// A device that somebody has looked at.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its name.
    pub name: Said,
    /// Its page.
    pub href: String,
    /// Whether it was returned to use.
    pub good: bool,
    /// Who looked.
    pub by: Said,
    /// When.
    pub at: Timestamp,
    /// The number of the work order, if one was given.
    pub work_order: Said,
    /// What was seen.
    pub note: Said,
}

impl Acceptance {
    /// "3 devices wait to be returned to use".
    pub(super) fn head(&self) -> String {
        let waits = self.more.saturating_add(u64::try_from(self.waits.len()).unwrap_or(u64::MAX));
        match waits {
            0 => "No device waits to be returned to use".to_owned(),
            some => format!("{} to be returned to use", plural(some, "device waits", "devices wait")),
        }
    }

    /// "and 12 more".
    pub(super) fn more_words(&self) -> Option<String> {
        (self.more > 0).then(|| format!("and {} more", number(self.more)))
    }
}

impl Seen {
    pub(super) fn mark(&self) -> Markup {
        let (drawn, class, word) = match self.good {
            true => (Shape::Tick, "is-good", "Returned to use"),
            false => (Shape::Cross, "is-critical", "Not good"),
        };
        Markup::new(format!("<span class=\"state {class}\">{}<span>{word}</span></span>", shape(drawn)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_counts_everybody_who_waits() {
        // Goal: those that are not named are counted too. Method: none, one, and more than are named.
        let wait = Waits { name: "VP3".into(), place: "4B".into(), wave: 1, href: None };
        let with = |waits: Vec<Waits>, more| Acceptance {
            rule: String::new(),
            work_order: Said::default(),
            waits,
            more,
            seen: Vec::new(),
        };
        assert_eq!(with(Vec::new(), 0).head(), "No device waits to be returned to use");
        assert_eq!(with(vec![wait.clone()], 0).head(), "1 device waits to be returned to use");
        assert_eq!(with(vec![wait], 1200).head(), "1,201 devices wait to be returned to use");
    }
}
