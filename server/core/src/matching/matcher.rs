//! Asking an index about components.
//!
//! Of several records about one weakness the worst word counts: affected, then unknown, then fixed. The version shown as
//! the repair is one that every record agrees with. A component in an ecosystem that no advisory speaks of is counted as
//! unjudged: silence is no answer. Read next: [`super::range`].

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::advisory::{Order, Stated};
use super::component::{Component, ComponentSet};
use super::index::{Entry, Index};
use super::range::{Held, holds};
use super::verdict::{Answer, Evidence, Verdict, Why};
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
            Some(entries) => self.answer(subject, entries, &mut matches.verdicts),
            None => unjudged(component.ecosystem.to_string()),
        }
    }

    fn answer<'a>(&'a self, subject: Subject<'a>, entries: &'a [Entry], verdicts: &mut Vec<Verdict<'a>>) {
        let mut words: Vec<(u32, Word<'a>)> = Vec::with_capacity(entries.len());
        for entry in entries {
            let held = match subject.blind {
                Some(why) => Held::Unknown(why),
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
            words_only.fold(first, |worst, word| if is_worse(scheme, word, worst) { word } else { worst });
        let (answer, bound) = match deciding.held {
            Held::In { fixed } => (Answer::Affected { fixed: self.repair(scheme, words) }, fixed),
            Held::Unknown(why) => (Answer::Unknown(why), None),
            Held::Out { closed: Some(bound) } => (Answer::Fixed, Some(bound)),
            Held::Out { closed: None } => (Answer::NotAffected, None),
        };
        let (group, _) = words.first()?;
        let advisory = self.id(deciding.entry);
        let evidence = Evidence { advisory, scheme, installed: subject.installed, bound };
        Some(Verdict { group: self.group(*group), component: subject.component, answer, evidence })
    }

    /// The lowest version at which no record says "affected", found by going from repair to repair.
    fn repair<'a>(&'a self, scheme: Scheme, words: &[(u32, Word<'a>)]) -> Option<&'a str> {
        let mut held: Vec<Held<'a>> = words.iter().map(|(_, word)| word.held).collect();
        let mut at = None;
        for _ in 0..REPAIRS {
            let mut next = None;
            for held in &held {
                match held {
                    Held::In { fixed: None } => return None,
                    Held::In { fixed: Some(fixed) } => next = Some(highest(scheme, next, fixed)),
                    Held::Out { .. } | Held::Unknown(_) => {}
                }
            }
            let Some(next) = next else { return at };
            at = Some(next);
            held = words.iter().map(|(_, word)| self.held(word.entry, scheme, next)).collect();
        }
        None
    }

    /// What one record says of a version.
    fn held<'a>(&'a self, entry: &'a Entry, scheme: Scheme, installed: &str) -> Held<'a> {
        match entry.state {
            Stated::Never => return Held::Out { closed: None },
            Stated::Undetermined => return Held::Unknown(Why::Undetermined),
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
            held = Some(held.map_or(found, |held| worse(scheme, found, held)));
        }
        let mut versions = self.versions(entry);
        let listed = versions.len() > 0;
        let is_it = |version: &str| {
            version == installed
                || compare(scheme, version, installed).is_some_and(core::cmp::Ordering::is_eq)
        };
        match held {
            Some(held @ Held::In { .. }) => held,
            _ if versions.any(is_it) => Held::In { fixed: None },
            Some(held) => held,
            None if listed => Held::Out { closed: None },
            None if commits => Held::Unknown(Why::OnlyGit),
            None => Held::Unknown(Why::Undetermined),
        }
    }
}

fn rank(held: Held<'_>) -> u8 {
    match held {
        Held::In { .. } => 3,
        Held::Unknown(_) => 2,
        Held::Out { closed: Some(_) } => 1,
        Held::Out { closed: None } => 0,
    }
}

/// Whether a word is worse than another; of two repairs the higher one says more.
fn is_worse(scheme: Scheme, word: Word<'_>, than: Word<'_>) -> bool {
    let higher = || match (word.held, than.held) {
        (Held::Out { closed: Some(a) }, Held::Out { closed: Some(b) }) => {
            compare(scheme, a, b).is_some_and(core::cmp::Ordering::is_gt)
        }
        _ => false,
    };
    rank(word.held) > rank(than.held) || higher()
}

fn worse<'a>(scheme: Scheme, a: Held<'a>, b: Held<'a>) -> Held<'a> {
    match (a, b) {
        (Held::In { fixed: Some(a) }, Held::In { fixed: Some(b) }) => {
            Held::In { fixed: Some(highest(scheme, Some(a), b)) }
        }
        (Held::In { .. }, Held::In { .. }) => Held::In { fixed: None },
        (Held::Out { closed: Some(a) }, Held::Out { closed: Some(b) }) => {
            Held::Out { closed: Some(highest(scheme, Some(a), b)) }
        }
        (a, b) if rank(a) > rank(b) => a,
        (_, b) => b,
    }
}

fn highest<'a>(scheme: Scheme, known: Option<&'a str>, other: &'a str) -> &'a str {
    let above = |known: &&str| compare(scheme, known, other).is_some_and(core::cmp::Ordering::is_ge);
    known.filter(above).unwrap_or(other)
}
