//! All advisories at hand, so laid out that a component finds those about it at once.
//!
//! One long text and tables of places in it: 200,000 ranges are some tens of megabytes, and an answer is a binary search.
//! What is withdrawn, and what a distribution's record says without naming a release, is left out and counted: the latter
//! would hold for every release and for none. Built once and only read. Read next: `matcher.rs`, which asks.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

use cordon_proto::limits;

use super::advisory::{Advisory, Affected, Edge, Order, Stated};
use super::ecosystem::Ecosystem;
use super::group::{self, Names};
use crate::cvss::Vector;

/// What stands for a severity that no record says.
const UNSAID: u32 = u32::MAX;

/// More statements than an index holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {} statements about packages: leave ecosystems out that no device has", limits::FEED_ROWS)]
pub struct Full;

/// What went into an index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Advisories that speak of some package.
    pub advisories: usize,
    /// What they say, once for each package in each release.
    pub statements: usize,
    /// Advisories that their publishers took back.
    pub withdrawn: usize,
    /// Statements about a distribution that name no release.
    pub without_release: usize,
}

/// The advisories; see [`Index::matches`].
#[derive(Debug, Default)]
pub struct Index {
    text: String,
    ecosystems: BTreeMap<Ecosystem, u16>,
    /// By ecosystem, name, record.
    pub(super) entries: Vec<Entry>,
    records: Vec<Record>,
    record_groups: Vec<u32>,
    /// Sorted.
    pub(super) groups: Vec<String>,
    /// Which statements are counted under which group, sorted.
    pub(super) group_entries: Vec<(u32, u32)>,
    /// Of each group: which of the severities is its own, [`UNSAID`] where no record says.
    group_severities: Vec<u32>,
    /// Each once: thousands of weaknesses share a vector.
    severities: Vec<Vector>,
    ranges: Vec<Stretch>,
    events: Vec<Mark>,
    versions: Vec<Piece>,
    counts: Counts,
}

/// An index in the making.
#[derive(Debug, Default)]
pub struct Builder {
    index: Index,
    names: Vec<(Run, Run)>,
    pieces: Vec<Piece>,
    /// Of each record.
    severities: Vec<u32>,
    places: BTreeMap<Vector, u32>,
}

/// A part of the text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Piece {
    at: u32,
    length: u32,
}

/// Neighbours in a table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    first: u32,
    length: u32,
}

/// What one record says of one package.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    ecosystem: u16,
    pub(super) state: Stated,
    name: Piece,
    pub(super) record: u32,
    ranges: Run,
    versions: Run,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    id: Piece,
    groups: Run,
}

/// A range of versions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) order: Order,
    events: Run,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    edge: Edge,
    bound: Piece,
}

impl Run {
    /// What was pushed onto a table since it had `first` entries.
    fn since<T>(table: &[T], first: usize) -> Result<Self, Full> {
        let number = |number: usize| u32::try_from(number).map_err(|_| Full);
        Ok(Self { first: number(first)?, length: number(table.len() - first)? })
    }

    fn of<T>(self, table: &[T]) -> &[T] {
        let first = as_usize(self.first);
        table.get(first..first + as_usize(self.length)).unwrap_or_default()
    }
}

impl Builder {
    /// Takes an advisory.
    ///
    /// # Errors
    /// There are too many.
    pub fn add(&mut self, advisory: &Advisory) -> Result<(), Full> {
        if advisory.withdrawn {
            self.index.counts.withdrawn += 1;
            return Ok(());
        }
        let placed = advisory.affected.iter().filter(|affected| !affected.ecosystem.lacks_release());
        let before = self.index.entries.len();
        let record = u32::try_from(self.index.records.len()).map_err(|_| Full)?;
        for affected in placed {
            self.statement(affected, record)?;
        }
        let taken = self.index.entries.len() - before;
        self.index.counts.without_release += advisory.affected.len() - taken;
        self.index.counts.statements += taken;
        self.index.counts.advisories += usize::from(taken > 0);
        // Also a record without a package joins names.
        let id = self.piece(&advisory.id)?;
        self.index.records.push(Record { id, groups: Run::default() });
        let first = self.pieces.len();
        self.pieces.push(id);
        self.pieces_of(&advisory.aliases)?;
        let ids = Run::since(&self.pieces, first)?;
        let first = self.pieces.len();
        self.pieces_of(&advisory.upstream)?;
        self.names.push((ids, Run::since(&self.pieces, first)?));
        let severity = advisory.severity.map(|vector| self.severity(vector)).transpose()?;
        self.severities.push(severity.unwrap_or(UNSAID));
        Ok(())
    }

    /// How many records were taken: the number of the next one.
    #[must_use]
    pub fn records(&self) -> usize {
        self.index.records.len()
    }

    /// All taken: sorts them and gives each record its groups.
    ///
    /// # Errors
    /// There are too many.
    pub fn finish(self) -> Result<Index, Full> {
        let Self { mut index, names, pieces, severities, .. } = self;
        let text = core::mem::take(&mut index.text);
        let words = |run: Run| run.of(&pieces).iter().map(|piece| piece.of(&text)).collect();
        let names: Vec<_> = names
            .iter()
            .map(|(ids, upstream)| Names { ids: words(*ids), upstream: words(*upstream) })
            .collect();
        let groups = group::of_records(&names);
        let mut all: Vec<&str> = groups.iter().flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        for (record, groups) in index.records.iter_mut().zip(&groups) {
            let first = index.record_groups.len();
            for group in groups {
                let place = all.binary_search(group).map_err(|_| Full)?;
                index.record_groups.push(u32::try_from(place).map_err(|_| Full)?);
            }
            record.groups = Run::since(&index.record_groups, first)?;
        }
        index.groups = all.into_iter().map(String::from).collect();
        index.judge_groups(&severities);
        let id = |entry: &Entry| {
            index.records.get(as_usize(entry.record)).map_or("", |record| record.id.of(&text))
        };
        index.entries.sort_by(|a, b| {
            let places = (a.ecosystem, a.name.of(&text)).cmp(&(b.ecosystem, b.name.of(&text)));
            places.then_with(|| id(a).cmp(id(b))).then_with(|| a.record.cmp(&b.record))
        });
        index.text = text;
        index.group_entries()?;
        Ok(index)
    }

    fn statement(&mut self, affected: &Affected, record: u32) -> Result<(), Full> {
        if self.index.entries.len() >= limits::FEED_ROWS {
            return Err(Full);
        }
        let ecosystem = self.ecosystem(&affected.ecosystem)?;
        let name = self.piece(&affected.ecosystem.name_of(&affected.name))?;
        let first = self.index.versions.len();
        for version in &affected.versions {
            let piece = self.piece(version)?;
            self.index.versions.push(piece);
        }
        let versions = Run::since(&self.index.versions, first)?;
        let first_range = self.index.ranges.len();
        for range in &affected.ranges {
            let first = self.index.events.len();
            for (edge, bound) in range.events.iter().map(super::advisory::Event::parts) {
                let bound = self.piece(bound)?;
                self.index.events.push(Mark { edge, bound });
            }
            let events = Run::since(&self.index.events, first)?;
            self.index.ranges.push(Stretch { order: range.order, events });
        }
        let ranges = Run::since(&self.index.ranges, first_range)?;
        self.index.entries.push(Entry { ecosystem, state: affected.state, name, record, ranges, versions });
        Ok(())
    }

    fn ecosystem(&mut self, ecosystem: &Ecosystem) -> Result<u16, Full> {
        if let Some(known) = self.index.ecosystems.get(ecosystem) {
            return Ok(*known);
        }
        let next = u16::try_from(self.index.ecosystems.len()).map_err(|_| Full)?;
        self.index.ecosystems.insert(ecosystem.clone(), next);
        Ok(next)
    }

    fn severity(&mut self, vector: Vector) -> Result<u32, Full> {
        if let Some(known) = self.places.get(&vector) {
            return Ok(*known);
        }
        let next = u32::try_from(self.index.severities.len()).map_err(|_| Full)?;
        self.index.severities.push(vector);
        self.places.insert(vector, next);
        Ok(next)
    }

    fn pieces_of(&mut self, texts: &[String]) -> Result<(), Full> {
        for text in texts {
            let piece = self.piece(text)?;
            self.pieces.push(piece);
        }
        Ok(())
    }

    fn piece(&mut self, text: &str) -> Result<Piece, Full> {
        let at = u32::try_from(self.index.text.len()).map_err(|_| Full)?;
        self.index.text.push_str(text);
        Ok(Piece { at, length: u32::try_from(text.len()).map_err(|_| Full)? })
    }
}

impl Index {
    /// An index of these advisories.
    ///
    /// # Errors
    /// They are too many.
    pub fn build<'a>(advisories: impl IntoIterator<Item = &'a Advisory>) -> Result<Self, Full> {
        let mut builder = Builder::default();
        for advisory in advisories {
            builder.add(advisory)?;
        }
        builder.finish()
    }

    fn group_entries(&mut self) -> Result<(), Full> {
        let mut pairs = Vec::new();
        for (place, entry) in self.entries.iter().enumerate() {
            let place = u32::try_from(place).map_err(|_| Full)?;
            pairs.extend(self.groups_of(entry).iter().map(|group| (*group, place)));
        }
        pairs.sort_unstable();
        pairs.dedup();
        self.group_entries = pairs;
        Ok(())
    }

    /// The ecosystem and the package of a statement.
    pub(super) fn package(&self, entry: &Entry) -> Option<(&Ecosystem, &str)> {
        let mut all = self.ecosystems.iter();
        let ecosystem = all.find(|(_, place)| **place == entry.ecosystem).map(|(ecosystem, _)| ecosystem)?;
        Some((ecosystem, self.word(entry.name)))
    }

    /// What went into it.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What is said of a package; `None` where nothing at all is known of its ecosystem.
    pub(super) fn about(&self, ecosystem: &Ecosystem, name: &str) -> Option<&[Entry]> {
        let place = *self.ecosystems.get(ecosystem)?;
        let order =
            |entry: &Entry| -> Ordering { (entry.ecosystem, self.word(entry.name)).cmp(&(place, name)) };
        let first = self.entries.partition_point(|entry| order(entry).is_lt());
        let rest = self.entries.get(first..).unwrap_or_default();
        let length = rest.partition_point(|entry| order(entry).is_eq());
        rest.get(..length)
    }

    /// The name of the record behind a statement.
    pub(super) fn id(&self, entry: &Entry) -> &str {
        self.records.get(as_usize(entry.record)).map_or("", |record| self.word(record.id))
    }

    /// The groups under which it is counted.
    pub(super) fn groups_of(&self, entry: &Entry) -> &[u32] {
        let record = self.records.get(as_usize(entry.record));
        record.map_or(&[], |record| record.groups.of(&self.record_groups))
    }

    /// The name of a group.
    pub(super) fn group(&self, group: u32) -> &str {
        self.groups.get(as_usize(group)).map_or("", String::as_str)
    }

    /// How grave a group is, by whichever record says so, whatever packages that one speaks of.
    pub(super) fn severity(&self, group: u32) -> Option<Vector> {
        let place = *self.group_severities.get(as_usize(group))?;
        self.severities.get(as_usize(place)).copied()
    }

    /// Gives each group the severity of the record that speaks of it alone, and of several the one that goes before.
    fn judge_groups(&mut self, of_records: &[u32]) {
        let weights: Vec<_> = self.severities.iter().map(Vector::weight).collect();
        self.group_severities = alloc::vec![UNSAID; self.groups.len()];
        let mut best = alloc::vec![None; self.groups.len()];
        for (record, severity) in self.records.iter().zip(of_records) {
            let Some(weight) = weights.get(as_usize(*severity)) else { continue };
            let groups = record.groups.of(&self.record_groups);
            let weight = Some((groups.len() == 1, weight));
            for group in groups.iter().map(|group| as_usize(*group)) {
                let (Some(held), Some(place)) = (best.get_mut(group), self.group_severities.get_mut(group))
                else {
                    continue;
                };
                if weight > *held {
                    (*held, *place) = (weight, *severity);
                }
            }
        }
    }

    pub(super) fn ranges(&self, entry: &Entry) -> &[Stretch] {
        entry.ranges.of(&self.ranges)
    }

    pub(super) fn events(&self, range: &Stretch) -> impl Iterator<Item = (Edge, &str)> {
        range.events.of(&self.events).iter().map(|mark| (mark.edge, self.word(mark.bound)))
    }

    pub(super) fn versions(&self, entry: &Entry) -> impl ExactSizeIterator<Item = &str> {
        entry.versions.of(&self.versions).iter().map(|piece| self.word(*piece))
    }

    fn word(&self, piece: Piece) -> &str {
        piece.of(&self.text)
    }
}

impl Piece {
    fn of(self, text: &str) -> &str {
        let at = as_usize(self.at);
        text.get(at..at + as_usize(self.length)).unwrap_or_default()
    }
}

fn as_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
