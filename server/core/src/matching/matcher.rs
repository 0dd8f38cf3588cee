//! Asking an index about components.
//!
//! Of several records about one weakness the worst word counts: affected, then unknown, then fixed. The version shown as
//! the repair is one that every record agrees with. A component in an ecosystem that no advisory speaks of is counted as
//! unjudged: silence is no answer. Read next: [`super::range`].

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::advisory::{Order, Stated};
use super::component::{Component, ComponentSet};
use super::index::{Entry, Index};
use super::range::{Held, Stands, holds};
use super::verdict::{Answer, Bound, Compared, Evidence, Role, Verdict, Why};
use super::version::{Scheme, compare};

/// Steps from repair to repair until every record agrees.
const REPAIRS: usize = 256;

/// What an index knows of a set of components.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches<'a> {
    /// The answers, by component and then by weakness.
    pub verdicts: Vec<Verdict<'a>>,
    /// Components about whose ecosystem no advisory is here, by ecosystem.
    pub unjudged: BTreeMap<String, usize>,
}

/// A component as it is compared.
#[derive(Clone, Copy)]
struct Subject<'a> {
    component: &'a Component,
    scheme: Scheme,
    installed: &'a str,
    /// What makes every answer about it unknown.
    blind: Option<Why>,
}

/// A record's word on a subject.
#[derive(Clone, Copy)]
struct Word<'a> {
    entry: &'a Entry,
    held: Held<'a>,
}

impl Index {
    /// What is known of each component of a set.
    #[must_use]
    pub fn matches<'a>(&'a self, set: &'a ComponentSet) -> Matches<'a> {
        let mut matches = Matches::default();
        for component in set.items() {
            self.ask(component, &mut matches);
        }
        matches
    }

    /// What is known of one component.
    #[must_use]
    pub fn matches_one<'a>(&'a self, component: &'a Component) -> Matches<'a> {
        let mut matches = Matches::default();
        self.ask(component, &mut matches);
        matches
    }

    fn ask<'a>(&'a self, component: &'a Component, matches: &mut Matches<'a>) {
        let scheme = component.ecosystem.scheme();
        let module = component.module.is_some().then_some(Why::ModuleStream);
        let own = Subject { component, scheme, installed: &component.version, blind: module };
        let mut unjudged = |name: String| *matches.unjudged.entry(name).or_default() += 1;
        let (subject, entries) = match component.backport() {
            None => (own, self.about(&component.ecosystem, &component.name)),
            Some((from, original)) => match self.about(&from, &component.name) {
                Some(entries) => (Subject { installed: original, ..own }, Some(entries)),
                None => {
                    unjudged(from.to_string());
                    let blind = Subject { blind: Some(Why::NoFeed), ..own };
                    (blind, Some(self.about(&component.ecosystem, &component.name).unwrap_or_default()))
                }
            },
        };
        match entries {
            // A binary's name was taken for its source's, and nothing is known under it: that is no answer.
            Some([]) if component.doubts.source => unjudged(component.ecosystem.to_string()),
            Some(entries) => self.answer(subject, entries, &mut matches.verdicts),
            None => unjudged(component.ecosystem.to_string()),
        }
    }

    fn answer<'a>(&'a self, subject: Subject<'a>, entries: &'a [Entry], verdicts: &mut Vec<Verdict<'a>>) {
        let mut words: Vec<(u32, Word<'a>)> = Vec::with_capacity(entries.len());
        for entry in entries {
            let held = match subject.blind {
                Some(why) => said(Stands::Unknown(why), subject.scheme, subject.installed),
                None => self.held(entry, subject.scheme, subject.installed),
            };
            words.extend(self.groups_of(entry).iter().map(|group| (*group, Word { entry, held })));
        }
        // Stable: records of a group stay in the order of their names.
        words.sort_by_key(|(group, _)| *group);
        for group in words.chunk_by(|(a, _), (b, _)| a == b) {
            verdicts.extend(self.verdict(subject, group));
        }
    }

    /// One answer from all the words on one weakness.
    fn verdict<'a>(&'a self, subject: Subject<'a>, words: &[(u32, Word<'a>)]) -> Option<Verdict<'a>> {
        let scheme = subject.scheme;
        let mut words_only = words.iter().map(|(_, word)| *word);
        let first = words_only.next()?;
        let deciding =
            words_only.fold(first, |worst, word| if is_worse(word.held, worst.held) { word } else { worst });
        let answer = match deciding.held.stands {
            Stands::In { .. } => Answer::Affected { fixed: self.repair(scheme, words) },
            Stands::Unknown(why) => Answer::Unknown(why),
            Stands::Past => Answer::Fixed,
            Stands::Never => Answer::NotAffected,
        };
        let (group, _) = words.first()?;
        let evidence = Evidence { advisory: self.id(deciding.entry), compared: deciding.held.compared };
        let (severity, component) = (self.severity(*group), subject.component);
        Some(Verdict { group: self.group(*group), component, answer, evidence, severity })
    }

    /// The lowest version at which no record says "affected", found by going from repair to repair.
    fn repair<'a>(&'a self, scheme: Scheme, words: &[(u32, Word<'a>)]) -> Option<&'a str> {
        let mut held: Vec<Stands<'a>> = words.iter().map(|(_, word)| word.held.stands).collect();
        let mut at = None;
        for _ in 0..REPAIRS {
            let mut next = None;
            for held in &held {
                match held {
                    Stands::In { fixed: None } => return None,
                    Stands::In { fixed: Some(fixed) } => next = Some(highest(scheme, next, fixed)),
                    Stands::Past | Stands::Never | Stands::Unknown(_) => {}
                }
            }
            let Some(next) = next else { return at };
            at = Some(next);
            held = words.iter().map(|(_, word)| self.held(word.entry, scheme, next).stands).collect();
        }
        None
    }

    /// What one record says of a version.
    fn held<'a>(&'a self, entry: &'a Entry, scheme: Scheme, installed: &'a str) -> Held<'a> {
        match entry.state {
            Stated::Never => return said(Stands::Never, scheme, installed),
            Stated::Undetermined => return said(Stands::Unknown(Why::Undetermined), scheme, installed),
            Stated::ByVersion => {}
        }
        let mut held = None;
        let mut commits = false;
        for range in self.ranges(entry) {
            let scheme = match range.order {
                Order::Ecosystem => scheme,
                Order::Semver => Scheme::Semver,
                Order::Git => {
                    commits = true;
                    continue;
                }
            };
            let found = holds(scheme, self.events(range), installed);
            held = Some(held.map_or(found, |held| worse(found, held)));
        }
        if let Some(held @ Held { stands: Stands::In { .. }, .. }) = held {
            return held;
        }
        let mut versions = self.versions(entry);
        let listed = versions.len() > 0;
        let is_it = |version: &&str| {
            *version == installed || compare(scheme, version, installed).is_some_and(Ordering::is_eq)
        };
        match (versions.find(is_it), held) {
            (Some(version), _) => {
                let bound = Some(Bound { role: Role::Listed, version });
                let compared = Compared { scheme, installed, bound };
                Held { stands: Stands::In { fixed: None }, compared }
            }
            (None, Some(held)) => held,
            (None, None) if listed => said(Stands::Never, scheme, installed),
            (None, None) if commits => said(Stands::Unknown(Why::OnlyGit), scheme, installed),
            (None, None) => said(Stands::Unknown(Why::Undetermined), scheme, installed),
        }
    }
}

/// What holds without a comparison.
fn said<'a>(stands: Stands<'a>, scheme: Scheme, installed: &'a str) -> Held<'a> {
    Held { stands, compared: Compared { scheme, installed, bound: None } }
}

fn rank(held: Held<'_>) -> u8 {
    match held.stands {
        Stands::In { .. } => 3,
        Stands::Unknown(_) => 2,
        Stands::Past => 1,
        Stands::Never => 0,
    }
}

/// Whether of two that are past a range the first says more: a repair more than another end, and a higher one more.
fn says_more(held: Held<'_>, than: Held<'_>) -> bool {
    let (Some(a), Some(b)) = (held.compared.bound, than.compared.bound) else { return false };
    let repairs = |bound: Bound<'_>| bound.role == Role::Fixed;
    let order = || compare(held.compared.scheme, a.version, b.version).unwrap_or(Ordering::Equal);
    repairs(a).cmp(&repairs(b)).then_with(order).is_gt()
}

/// Whether a record's word is worse than another's.
fn is_worse(held: Held<'_>, than: Held<'_>) -> bool {
    let more = || held.stands == Stands::Past && than.stands == Stands::Past && says_more(held, than);
    rank(held) > rank(than) || more()
}

/// The worse of two ranges of one record; of two repairs the higher one, and of one and none none.
fn worse<'a>(a: Held<'a>, b: Held<'a>) -> Held<'a> {
    match (a.stands, b.stands) {
        (Stands::In { fixed: Some(first) }, Stands::In { fixed: Some(second) }) => {
            let order = compare(a.compared.scheme, first, second);
            if order.is_some_and(Ordering::is_ge) { a } else { b }
        }
        (Stands::In { fixed: None }, Stands::In { .. }) => a,
        (Stands::In { .. }, Stands::In { fixed: None }) => b,
        _ if is_worse(a, b) => a,
        _ => b,
    }
}

fn highest<'a>(scheme: Scheme, known: Option<&'a str>, other: &'a str) -> &'a str {
    let above = |known: &&str| compare(scheme, known, other).is_some_and(Ordering::is_ge);
    known.filter(above).unwrap_or(other)
}
