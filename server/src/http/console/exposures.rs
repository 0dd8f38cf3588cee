//! The vulnerabilities of one device, by package, each with what its answer stands on.
//!
//! What the score counts of them stands on the device's first page; here is why. Read next: `ui::exposures`,
//! `operator::exposures`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Html;
use cordon_server_core::exception::Standing;
use cordon_server_core::exposure::{Row, Word};
use cordon_server_core::risk::facts::Exposure as Weighs;
use cordon_server_core::risk::remedy::{ExposureStep, of_exposures};

use super::device::{head_of, member_of};
use super::survey::{exploited, ground, step_of};
use super::visitor::Known;
use super::vulnerability::{answered, says};
use super::{Desk, Page, count};
use crate::appraisal::facts;
use crate::fleet::Member;
use crate::knowledge::Matched;
use crate::ui::Said;
use crate::ui::exposures::{Exposure, Exposures, Group, render};
use crate::ui::frame::Section;
use crate::ui::software::Known as Mark;
use crate::ui::vulnerability::{Accepted, Answered, comparison};

/// Packages that are shown.
const GROUPS: usize = 200;

/// The page.
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path(id): Path<String>,
) -> Page {
    let member = member_of(&desk, &id)?;
    let (roster, now) = (desk.roster(), desk.now());
    let published = desk.operator.published();
    let matched = published.matched.clone();
    let (asked, of) = (matched.clone(), member.clone());
    let rows = tokio::task::spawn_blocking(move || asked.rows(&of, true)).await;
    let rows = rows.map_err(|error| super::super::problem::Problem::internal(&error))?;
    let facts = facts(&member, &published);
    let steps = of_exposures(&facts, &published.model, now);
    let all = crate::exceptions::all(&desk.operator.app).await?;
    let beside = crate::exceptions::beside(&all, &member, &published, now);
    let answer = Answered::from_value(visitor.asked("answer").unwrap_or_default());
    let of = |word: Word| count(rows.iter().filter(|row| row.stands() == word).count());
    let exceptions = beside.iter().map(|one| Accepted {
        href: crate::ui::paths::exception(one.id.as_str()),
        devices: Said::default(),
        until: one.until,
        by: one.owner.as_str().into(),
        reason: Said::sentence(format!("{}: {}", one.about.name(), one.reason)),
    });
    let case = Case { matched: &matched, weighs: &facts.exposures, steps: &steps };
    let in_force = beside.iter().filter(|one| one.standing(now) == Standing::Approved);
    let accepted: Vec<&str> = in_force.map(|one| one.about.name()).collect();
    let page = Exposures {
        answers: [of(Word::Affected), of(Word::Unknown), of(Word::Fixed), of(Word::NotAffected)],
        answer,
        groups: case.groups(&rows, answer, &accepted),
        unmatchable: unmatchable(facts.components_unmatchable),
        blind: blind(&matched, &member),
        exceptions: exceptions.collect(),
        ground: ground(&desk, &matched, (0, 0)),
        head: head_of(&desk, &member, now),
    };
    Ok(Html(render(&desk.frame(&visitor, Section::Devices, &roster), &page)))
}

fn unmatchable(components: u32) -> Vec<(Said, u64)> {
    let told = "of its components, of a kind or release for which no advisories are here";
    if components == 0 { Vec::new() } else { vec![(told.into(), components.into())] }
}

/// Why nothing can be said about a device.
fn blind(matched: &Matched, member: &Member) -> Said {
    if matched.can_ask(member) {
        return Said::default();
    }
    Said::sentence(
        "It told no list of software, and its maker or model is not known: no advisory can name it.",
    )
}

/// What is known of the device beside the rows.
struct Case<'a> {
    matched: &'a Matched,
    weighs: &'a [Weighs],
    steps: &'a [ExposureStep],
}

impl Case<'_> {
    /// The rows of an answer by package, the gravest first.
    fn groups(&self, rows: &[Row], answer: Answered, accepted: &[&str]) -> Vec<Group> {
        let fits = |row: &&Row| match answer {
            Answered::Open => row.stands().is_open(),
            wanted => wanted == answered(row.stands()),
        };
        let mut groups: BTreeMap<(&str, &str, &str), Vec<Exposure>> = BTreeMap::new();
        for row in rows.iter().filter(fits) {
            let key = (row.source.as_str(), row.version.as_str(), row.ecosystem.as_str());
            groups.entry(key).or_default().push(self.exposure(row, accepted));
        }
        let group = |((name, version, kind), mut rows): ((&str, &str, &str), Vec<Exposure>)| {
            rows.sort_by(|a, b| weight(b).cmp(&weight(a)).then_with(|| a.id.cmp(&b.id)));
            let kind = if kind == "device" { "found by maker and model" } else { kind };
            Group { name: name.into(), installed: version.into(), kind: kind.into(), rows }
        };
        let mut groups: Vec<Group> = groups.into_iter().map(group).collect();
        let worst = |group: &Group| group.rows.first().map(weight);
        groups.sort_by(|a, b| worst(b).cmp(&worst(a)).then_with(|| a.name.cmp(&b.name)));
        groups.truncate(GROUPS);
        groups
    }

    fn exposure(&self, row: &Row, accepted: &[&str]) -> Exposure {
        let own = |one: &&Weighs| one.id == row.id && one.source_name() == row.source;
        let weighs = self.weighs.iter().find(own);
        let step = weighs.and_then(|weighs| {
            self.steps.iter().find(|step| step.id == weighs.id && step.package == weighs.package)
        });
        let world = self.matched.made.as_deref().map(|made| &made.world);
        let listed = world.and_then(|world| world.exploited.get(&row.id));
        let is_here = world.is_some_and(|world| !world.exploited.is_empty());
        let severity = world.and_then(|world| world.severity(&row.id)).map(|severity| severity.cvss.tenths);
        Exposure {
            id: row.id.clone(),
            name: row.id.as_str().into(),
            cvss_tenths: weighs.and_then(|weighs| weighs.cvss).map(|cvss| cvss.tenths).or(severity),
            exploited: exploited(listed.is_some(), listed.is_some_and(|one| one.ransomware), is_here),
            epss_millionths: world
                .and_then(|world| world.chances.get(&row.id))
                .map(|chance| chance.millionths),
            answer: answered(row.stands()),
            says: Said::sentence(format!("{}, by {}", says(row), row.advisory)),
            command: row.bound.as_deref().and_then(|bound| comparison(row.by, &row.installed, bound)),
            step: step.map(step_of),
            since: weighs.and_then(|weighs| weighs.known_since),
            accepted: accepted.contains(&row.id.as_str()),
        }
    }
}

/// What stands first: what is exploited, then what is grave, then what is likely.
fn weight(row: &Exposure) -> (bool, Option<u8>, Option<u32>) {
    (row.exploited.is_listed(), row.cvss_tenths, row.epss_millionths)
}

/// What is known of the packages of a device, by source package.
pub(super) struct Marks {
    is_ready: bool,
    open: BTreeMap<String, (u64, u64, Option<u8>)>,
    unjudged: BTreeSet<String>,
}

impl Marks {
    pub(super) fn of(matched: &Matched, member: &Member) -> Self {
        let mut open: BTreeMap<String, (u64, u64, Option<u8>)> = BTreeMap::new();
        let world = matched.made.as_deref().map(|made| &made.world);
        for row in matched.rows(member, false) {
            let (affected, unknown, worst) = open.entry(row.source.clone()).or_default();
            match row.stands() {
                Word::Affected => *affected += 1,
                Word::Unknown => *unknown += 1,
                Word::Fixed | Word::NotAffected => continue,
            }
            let severity =
                world.and_then(|world| world.severity(&row.id)).map(|severity| severity.cvss.tenths);
            *worst = (*worst).max(severity);
        }
        Self { is_ready: world.is_some(), open, unjudged: matched.unjudged(member) }
    }

    pub(super) fn known(&self, source: &str) -> Mark {
        match self.open.get(source) {
            Some((affected, unknown, worst)) => {
                Mark::Matched { affected: *affected, unknown: *unknown, worst: *worst }
            }
            None if !self.is_ready => Mark::Unmatched,
            None if self.unjudged.contains(source) => Mark::Unmatchable,
            None => Mark::Matched { affected: 0, unknown: 0, worst: None },
        }
    }
}
