//! Whether a version stands in a range of an advisory, by the evaluation of the OSV schema (1.7).
//!
//! The last event at or below the version decides: `introduced` opens, `fixed` closes at its version, `last_affected`
//! behind it. Where two stand at one version the worse is believed. A bound or a version that is none by its scheme makes
//! the whole range unknown: half of a range is no answer. Read next: [`super::version`].

use core::cmp::Ordering;

use super::advisory::Edge;
use super::verdict::Why;
use super::version::{Scheme, compare, is_valid};

/// How a version stands to a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held<'a> {
    /// In it; with the lowest repair above it, if one is named.
    In {
        /// The version that repairs it.
        fixed: Option<&'a str>,
    },
    /// Not in it; with what closed it below the version. `None`: nothing below the version ever opened it.
    Out {
        /// The bound that decided.
        closed: Option<&'a str>,
    },
    /// It cannot be said.
    Unknown(Why),
}

/// An event that stands at or below the installed version.
#[derive(Clone, Copy)]
struct Reached<'a> {
    edge: Edge,
    bound: &'a str,
}

/// How `installed` stands to the range of these events.
pub fn holds<'a>(scheme: Scheme, events: impl Iterator<Item = (Edge, &'a str)>, installed: &str) -> Held<'a> {
    if scheme == Scheme::None {
        return Held::Unknown(Why::NoScheme);
    }
    if !is_valid(scheme, installed) {
        return Held::Unknown(Why::BadInstalled);
    }
    let mut walk = Walk { scheme, last: None, fixed: None, opens: false, limit: None };
    for (edge, bound) in events {
        if !walk.take((edge, bound), installed) {
            return Held::Unknown(Why::BadBound);
        }
    }
    walk.end()
}

/// What was seen of the events so far.
struct Walk<'a> {
    scheme: Scheme,
    /// The highest event that the version reached.
    last: Option<Reached<'a>>,
    /// The lowest repair above the version.
    fixed: Option<&'a str>,
    /// Whether anything says where the weakness came in. Without that it was always there.
    opens: bool,
    /// The limits, if there are any: whether the version is below one, and the one seen last.
    limit: Option<(bool, &'a str)>,
}

impl<'a> Walk<'a> {
    /// Takes an event; `false` if its bound is no version.
    fn take(&mut self, (edge, bound): (Edge, &'a str), installed: &str) -> bool {
        self.opens |= edge == Edge::Introduced;
        if is_start(edge, bound) {
            self.reach(Reached { edge, bound });
            return true;
        }
        if edge == Edge::Limit && bound == "*" {
            self.limit = Some((true, bound));
            return true;
        }
        if !is_valid(self.scheme, bound) {
            return false;
        }
        let Some(order) = against(self.scheme, installed, bound) else { return false };
        match edge {
            Edge::Limit => {
                let below = self.limit.is_some_and(|(below, _)| below) || order.is_lt();
                self.limit = Some((below, bound));
            }
            Edge::LastAffected if order.is_gt() => self.reach(Reached { edge, bound }),
            Edge::LastAffected => {}
            Edge::Introduced | Edge::Fixed if order.is_ge() => self.reach(Reached { edge, bound }),
            Edge::Fixed => self.repair(bound),
            Edge::Introduced => {}
        }
        true
    }

    fn reach(&mut self, reached: Reached<'a>) {
        let later = self.last.is_none_or(|last| is_later(self.scheme, reached, last));
        if later {
            self.last = Some(reached);
        }
    }

    fn repair(&mut self, bound: &'a str) {
        let lower = |known: &str| compare(self.scheme, bound, known).is_some_and(Ordering::is_lt);
        if self.fixed.is_none_or(lower) {
            self.fixed = Some(bound);
        }
    }

    fn end(self) -> Held<'a> {
        if let Some((false, bound)) = self.limit {
            return Held::Out { closed: Some(bound) };
        }
        let open = Held::In { fixed: self.fixed };
        match self.last {
            None if self.opens => Held::Out { closed: None },
            None => open,
            Some(Reached { edge: Edge::Introduced, .. }) => open,
            Some(Reached { bound, .. }) => Held::Out { closed: Some(bound) },
        }
    }
}

fn is_start(edge: Edge, bound: &str) -> bool {
    edge == Edge::Introduced && bound == "0"
}

/// Whether `a` stands behind `b`, or beside it and is worse. The start of all versions stands before every other event.
fn is_later(scheme: Scheme, a: Reached<'_>, b: Reached<'_>) -> bool {
    let rank = |edge: Edge| match edge {
        Edge::Fixed | Edge::Limit => 0,
        Edge::Introduced => 1,
        Edge::LastAffected => 2,
    };
    match (is_start(a.edge, a.bound), is_start(b.edge, b.bound)) {
        (true, _) => false,
        (false, true) => true,
        (false, false) => {
            let order = compare(scheme, a.bound, b.bound);
            order.is_some_and(|order| order.then_with(|| rank(a.edge).cmp(&rank(b.edge))).is_ge())
        }
    }
}

/// How the installed version stands to a bound. An RPM bound without a release speaks of every release of its version.
fn against(scheme: Scheme, installed: &str, bound: &str) -> Option<Ordering> {
    let whole = scheme != Scheme::Rpm || bound.contains('-');
    let installed =
        if whole { installed } else { installed.rsplit_once('-').map_or(installed, |(front, _)| front) };
    compare(scheme, installed, bound)
}
