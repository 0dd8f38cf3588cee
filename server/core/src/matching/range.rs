//! Whether a version stands in a range of an advisory, by the evaluation of the OSV schema (1.7).
//!
//! The last event at or below the version decides: `introduced` opens, `fixed` closes at its version, `last_affected`
//! behind it. Where two stand at one version the worse is believed. A bound or a version that is none by its scheme makes
//! the whole range unknown: half of a range is no answer. With each answer goes the one comparison that anybody can repeat
//! to see it. Read next: [`super::version`].

use core::cmp::Ordering;

use super::advisory::Edge;
use super::verdict::{Bound, Compared, Why};
use super::version::{Scheme, compare, is_valid};

/// A limit that is none.
const EVERY: &str = "*";

/// How a version stands to a range, and by what comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held<'a> {
    /// How.
    pub stands: Stands<'a>,
    /// What was compared to say so.
    pub compared: Compared<'a>,
}

/// How a version stands to a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands<'a> {
    /// In it; with the lowest repair above it, if one is named.
    In {
        /// The version that repairs it.
        fixed: Option<&'a str>,
    },
    /// Not in it: something at or below the version closed it.
    Past,
    /// Not in it: nothing at or below the version ever opened it.
    Never,
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
pub fn holds<'a>(
    scheme: Scheme,
    events: impl Iterator<Item = (Edge, &'a str)>,
    installed: &'a str,
) -> Held<'a> {
    let unknown =
        |why, bound| Held { stands: Stands::Unknown(why), compared: Compared { scheme, installed, bound } };
    if scheme == Scheme::None {
        return unknown(Why::NoScheme, None);
    }
    if !is_valid(scheme, installed) {
        return unknown(Why::BadInstalled, None);
    }
    let mut walk = Walk::new(scheme, installed);
    for (edge, version) in events {
        if !walk.take((edge, version)) {
            return unknown(Why::BadBound, Some(Bound { role: edge.into(), version }));
        }
    }
    walk.end()
}

/// What was seen of the events so far.
struct Walk<'a> {
    scheme: Scheme,
    installed: &'a str,
    /// The highest event that the version reached.
    last: Option<Reached<'a>>,
    /// The lowest repair above the version.
    fixed: Option<&'a str>,
    /// The lowest last affected version at or above the version.
    last_affected: Option<&'a str>,
    /// The lowest version above the version at which the weakness comes in.
    introduced: Option<&'a str>,
    /// Whether anything says where the weakness came in. Without that it was always there.
    opens: bool,
    /// The limits, if there are any: whether the version is below one, and the one that says so, else the one seen last.
    limit: Option<(bool, &'a str)>,
}

impl<'a> Walk<'a> {
    fn new(scheme: Scheme, installed: &'a str) -> Self {
        let (last, fixed, last_affected, introduced) = (None, None, None, None);
        Self { scheme, installed, last, fixed, last_affected, introduced, opens: false, limit: None }
    }

    /// Takes an event; `false` if its bound is no version.
    fn take(&mut self, (edge, bound): (Edge, &'a str)) -> bool {
        self.opens |= edge == Edge::Introduced;
        if is_start(edge, bound) {
            self.reach(Reached { edge, bound });
            return true;
        }
        if edge == Edge::Limit && bound == EVERY {
            self.limit = Some((true, bound));
            return true;
        }
        if !is_valid(self.scheme, bound) {
            return false;
        }
        let installed = as_compared(self.scheme, self.installed, bound);
        let Some(order) = compare(self.scheme, installed, bound) else { return false };
        match edge {
            Edge::Limit => {
                if !self.limit.is_some_and(|(below, _)| below) {
                    self.limit = Some((order.is_lt(), bound));
                }
            }
            Edge::LastAffected if order.is_gt() => self.reach(Reached { edge, bound }),
            Edge::LastAffected => self.last_affected = Some(self.lowest(self.last_affected, bound)),
            Edge::Introduced | Edge::Fixed if order.is_ge() => self.reach(Reached { edge, bound }),
            Edge::Fixed => self.fixed = Some(self.lowest(self.fixed, bound)),
            Edge::Introduced => self.introduced = Some(self.lowest(self.introduced, bound)),
        }
        true
    }

    fn reach(&mut self, reached: Reached<'a>) {
        let later = self.last.is_none_or(|last| is_later(self.scheme, reached, last));
        if later {
            self.last = Some(reached);
        }
    }

    fn lowest(&self, known: Option<&'a str>, bound: &'a str) -> &'a str {
        let below = |known: &&str| compare(self.scheme, known, bound).is_some_and(Ordering::is_le);
        known.filter(below).unwrap_or(bound)
    }

    fn end(self) -> Held<'a> {
        if let Some((false, bound)) = self.limit {
            return self.held(Stands::Past, Some((Edge::Limit, bound)));
        }
        match self.last {
            None if self.opens => {
                self.held(Stands::Never, self.introduced.map(|bound| (Edge::Introduced, bound)))
            }
            Some(Reached { edge: edge @ (Edge::Fixed | Edge::LastAffected | Edge::Limit), bound }) => {
                self.held(Stands::Past, Some((edge, bound)))
            }
            None | Some(Reached { edge: Edge::Introduced, .. }) => {
                self.held(Stands::In { fixed: self.fixed }, self.above_or_below())
            }
        }
    }

    /// Of a version in the range: the end that stands above it, else where it came in.
    fn above_or_below(&self) -> Option<(Edge, &'a str)> {
        let fixed = self.fixed.map(|bound| (Edge::Fixed, bound));
        let last_affected = || self.last_affected.map(|bound| (Edge::LastAffected, bound));
        let limit = || self.limit.filter(|(_, bound)| *bound != EVERY).map(|(_, bound)| (Edge::Limit, bound));
        let came_in = || {
            let reached = self.last.filter(|last| !is_start(last.edge, last.bound))?;
            Some((reached.edge, reached.bound))
        };
        fixed.or_else(last_affected).or_else(limit).or_else(came_in)
    }

    fn held(&self, stands: Stands<'a>, bound: Option<(Edge, &'a str)>) -> Held<'a> {
        let installed = bound.map_or(self.installed, |(_, b)| as_compared(self.scheme, self.installed, b));
        let bound = bound.map(|(edge, version)| Bound { role: edge.into(), version });
        Held { stands, compared: Compared { scheme: self.scheme, installed, bound } }
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

/// The installed version as it is compared with a bound: an RPM bound without a release speaks of every release of its
/// version.
fn as_compared<'a>(scheme: Scheme, installed: &'a str, bound: &str) -> &'a str {
    let whole = scheme != Scheme::Rpm || bound.contains('-');
    if whole { installed } else { installed.rsplit_once('-').map_or(installed, |(front, _)| front) }
}
