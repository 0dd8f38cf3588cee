//! One device: its head, its score, what to do, what changed, its connections; and what runs on it.
//!
//! The score is computed here and now over the device's own view, never taken from the list. What blocks a step is
//! told in the device's own words. Read next: `crate::appraisal`, `ui::device`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Html;
use cordon_proto::ids::{DeviceId, Text};
use cordon_proto::inventory::{Inventory, Row, Section as Part};
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use cordon_server_core::admit::waiting;
use cordon_server_core::device::{AssetRecord, Source, State as Trust};
use cordon_server_core::risk::facts::{Exposure, Treatment};
use cordon_server_core::risk::history::Said as RiskSaid;
use cordon_server_core::risk::next_step::Act;
use cordon_server_core::risk::{Model, NextStep, Score};
use cordon_server_core::rollout::Hold;

use super::audit::about;
use super::exposures::Marks;
use super::fault::Fault;
use super::identity::doubt_words;
use super::network::network;
use super::risk_history::{line, moves};
use super::roster::cut;
use super::standing::{covers, kind_words, place_words, release_words, states_of};
use super::visitor::Known;
use super::{Desk, Page, count};
use crate::appraisal::{Published, appraise, returned};
use crate::exceptions;
use crate::fleet::{Member, ReceiptView};
use crate::ui::device::{Change, Device, Fact, Head, StepView, render};
use crate::ui::devices::DeviceQuery;
use crate::ui::frame::Section;
use crate::ui::software::{PAGE_ROWS, Package, Software, render as render_software};
use crate::ui::words::actor_words;
use crate::ui::{Clock, Said, paths};

/// Events that the page is given; it shows five and leads to the rest.
const EVENTS: usize = 12;

/// The page of one device.
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path(id): Path<String>,
) -> Page {
    let member = member_of(&desk, &id)?;
    let (roster, now) = (desk.roster(), desk.now());
    let published = desk.operator.published();
    let appraised = appraise(&member, &published, now);
    let said = desk.operator.app.risk_history(member.id()).await?;
    let page = Device {
        head: head_of(&desk, &member, now),
        notes: all_notes(&desk, &member, &published, &appraised.steps).await?,
        steps: appraised.steps.into_iter().map(|step| step_view(&desk, &member, step)).collect(),
        events: events(&desk, &member, &appraised.score, &said).await?,
        line: line(&said),
        history_href: Some(paths::identity(&id)),
        network: network(&desk, &member, None).await?,
        facts: appraised.facts,
        score: appraised.score,
        model: Model::clone(&published.model),
    };
    Ok(Html(render(&desk.frame(&visitor, Section::Devices, &roster), &page)))
}

/// What runs on one device.
pub(super) async fn software(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path(id): Path<String>,
) -> Page {
    let member = member_of(&desk, &id)?;
    let (roster, now) = (desk.roster(), desk.now());
    let inventory = desk.operator.app.inventory(member.id()).await?;
    let inventory = inventory.ok_or(Fault::Missing("list of software"))?;
    let text = visitor.asked("q").unwrap_or_default().to_owned();
    let number = visitor.asked("page").and_then(|page| page.parse().ok()).unwrap_or(1_usize).max(1);
    let word = text.to_lowercase();
    let fits = |row: &&Row| word.is_empty() || row.key.as_str().to_lowercase().contains(&word);
    let (rows, matching) = cut(inventory.section(Part::Package).filter(fits), number, PAGE_ROWS);
    let marks = Marks::of(&desk.operator.published().matched, &member);
    let page = Software {
        head: head_of(&desk, &member, now),
        read_at: member.seen.unwrap_or(member.device.since),
        system: system_words(&inventory),
        text,
        matching,
        page: number,
        rows: rows.into_iter().map(|row| package(row, &marks)).collect(),
    };
    Ok(Html(render_software(&desk.frame(&visitor, Section::Devices, &roster), &page)))
}

/// The device of an address.
pub(super) fn member_of(desk: &Desk, id: &str) -> Result<Arc<Member>, Fault> {
    let id: DeviceId = id.parse().map_err(|_| Fault::Missing("device"))?;
    desk.operator.app.fleet.get(id).ok_or(Fault::Missing("device"))
}

fn system_words(inventory: &Inventory) -> Said {
    let name = inventory.field(Part::System, "pretty-name").or(inventory.field(Part::System, "id"));
    name.unwrap_or("System not known").into()
}

/// A package: key `ecosystem/name/architecture`, fields version, source name, source version.
fn package(row: &Row, marks: &Marks) -> Package {
    let key = row.key.as_str();
    let (rest, architecture) = key.rsplit_once('/').unwrap_or((key, ""));
    let name = rest.split_once('/').map_or(rest, |(_, name)| name);
    let field = |place: usize| row.fields.get(place).map_or("", String::as_str);
    Package {
        name: name.into(),
        version: field(0).into(),
        source: format!("{} {}", field(1), field(2)).trim().into(),
        architecture: architecture.into(),
        known: marks.known(if field(1).is_empty() { name } else { field(1) }),
    }
}

pub(super) fn head_of(desk: &Desk, member: &Member, now: Timestamp) -> Head {
    let device = &member.device;
    let (one, many) = kind_words(device.placement.kind);
    let list = |query: DeviceQuery| query.address();
    let site = device.placement.site.as_str().to_owned();
    let ward = device.placement.ward.as_str().to_owned();
    let by_kind = list(DeviceQuery { kind: Some(one.into()), ..DeviceQuery::default() });
    let by_ward = list(DeviceQuery { site: Some(site), ward: Some(ward), ..DeviceQuery::default() });
    Head {
        id: member.id().to_string(),
        name: device.called().as_str().into(),
        trail: vec![(many.into(), by_kind), (place_words(device).into(), by_ward)],
        states: states_of(member, now),
        facts: match &device.asset {
            Some(asset) if device.is_listed_only() => listed_facts(member, asset),
            Some(_) | None => vec![
                model_fact(member),
                Fact::new("Where", place_words(device)),
                release_fact(desk, member),
                content_fact(member),
                seen_fact(member, now),
                source_fact(member),
                identity_fact(member, now),
            ],
        },
        quarantined: device.state == Trust::Quarantined,
        trusted: device.state == Trust::Active,
        software: member.inventory.as_ref().map(|inventory| count(inventory.packages)),
        vulnerabilities: vulnerabilities(desk, member),
    }
}

/// Weaknesses that it has or may have, where anything can be said.
fn vulnerabilities(desk: &Desk, member: &Member) -> Option<u64> {
    let matched = desk.operator.published().matched;
    matched.made.as_ref().filter(|_| matched.can_ask(member))?;
    let exposed = matched.exposed(member)?;
    let is_open =
        |exposure: &&Exposure| matches!(exposure.treatment, Treatment::None | Treatment::Workaround);
    let affected = exposed.exposures.iter().filter(is_open).count();
    Some(count(affected) + u64::from(exposed.unknown))
}

fn model_fact(member: &Member) -> Fact {
    let hardware = &member.device.hardware;
    let query = DeviceQuery { model: Some(hardware.model.as_str().into()), ..DeviceQuery::default() };
    let words = format!("{} {}", hardware.manufacturer, hardware.model);
    Fact::new("Model", words).note(format!("rev {}", hardware.revision)).to(query.address())
}

/// What a list says of a device, in the place of what an agent would measure.
fn listed_facts(member: &Member, asset: &AssetRecord) -> Vec<Fact> {
    let hardware = &member.device.hardware;
    let query = DeviceQuery { model: Some(hardware.model.as_str().into()), ..DeviceQuery::default() };
    let model = Fact::new("Model", format!("{} {}", hardware.manufacturer, hardware.model));
    let said = |label, text: &Option<Text>| match text {
        Some(text) => Fact::new(label, text.as_str()).note("by the list"),
        None => Fact::new(label, "unknown"),
    };
    vec![
        model.to(query.address()),
        Fact::new("Where", place_words(&member.device)),
        said("Software", &asset.version),
        said("Asset tag", &asset.tag),
        said("Address", &asset.ip),
        source_fact(member).note(asset.list.as_str()),
        Fact::new("Identity", "none"),
    ]
}

/// The settings and thresholds in force, and what the device says of one that is not.
fn content_fact(member: &Member) -> Fact {
    let Some(report) = &member.report else { return Fact::new("Content", "unknown") };
    let words = match report.content_version {
        0 => "the device's own".to_owned(),
        version => format!("version {version}"),
    };
    let fact = Fact::new("Content", words);
    match &report.content_fault {
        Some(fault) => fact.note(format!("not {} {}: {}", fault.content, fault.version, fault.why.sentence)),
        None => fact,
    }
}

fn release_fact(desk: &Desk, member: &Member) -> Fact {
    let Some(report) = &member.report else { return Fact::new("Release", "unknown") };
    let software = &report.software;
    let name = software.release.as_ref().map_or("no signed release", release_words);
    let newest = desk.operator.rollouts.newest();
    let note = match newest.get(&member.device.hardware.model) {
        Some(newest) if newest.counter > software.counter => {
            format!("newest is {}", release_words(&newest.release))
        }
        Some(_) => "the newest".into(),
        None => format!("slot {}", software.slot),
    };
    Fact::new("Release", name).note(note)
}

fn seen_fact(member: &Member, now: Timestamp) -> Fact {
    match member.seen {
        Some(seen) => Fact::new("Seen", format!("{} ago", Clock::utc(now).age_words(seen))),
        None => Fact::new("Seen", "never"),
    }
}

fn source_fact(member: &Member) -> Fact {
    let source = match member.device.source {
        Source::Agent => "agent",
        Source::Observed => "observed",
        Source::Imported => "asset list",
    };
    let fact = Fact::new("Source", source);
    match member.report.as_ref().map(|report| report.sensor.tier) {
        Some(Some(tier)) => fact.note(format!("sensor tier {tier}")),
        Some(None) => fact.note("sensor blind"),
        None => fact,
    }
}

fn identity_fact(member: &Member, now: Timestamp) -> Fact {
    let Some(identity) = &member.device.identity else { return Fact::new("Identity", "none") };
    let left = identity.not_after.seconds_since(now);
    let fact = match left {
        ..0 => Fact::new("Identity", "expired"),
        0..86_400 => Fact::new("Identity", format!("valid for {} h", left / 3600)),
        _ => Fact::new("Identity", format!("valid for {} d", left / 86_400)),
    };
    match &member.report {
        Some(report) => fact.note(format!("key in {}", report.key_protection)),
        None => fact,
    }
}

/// Lines under the answer that change no score: how it is known, what people accept for it, and what else they should know.
async fn all_notes(
    desk: &Desk,
    member: &Member,
    published: &Published,
    steps: &[NextStep],
) -> Result<Vec<Said>, Fault> {
    let app = &desk.operator.app;
    let mut all = Vec::new();
    if let Some(asset) = &member.device.asset {
        let lists = app.asset_lists().await?;
        let came = lists.lists.get(&asset.list).map_or(asset.imported, |list| list.imported);
        let day = Clock::utc(desk.now()).day_words(came);
        let words = match (&asset.unlisted, member.device.is_listed_only()) {
            (None, true) => {
                format!("It is known from the asset list {} of {day}; nothing of it was measured", asset.list)
            }
            (None, false) => format!("It stands in the asset list {} of {day}", asset.list),
            (Some(since), _) => format!(
                "The asset list {} names it no more since {since}: retire it, or look for it",
                asset.list
            ),
        };
        all.push(Said::sentence(words));
    }
    let accepted = exceptions::all(app).await?;
    let beside = exceptions::beside(&accepted, member, published, desk.now());
    all.extend(
        beside
            .into_iter()
            .map(|one| Said::sentence(format!("{}. It changes no score", one.line(desk.now())))),
    );
    all.extend(notes(desk, member, published, steps));
    Ok(all)
}

/// What is in its way or in doubt.
fn notes(desk: &Desk, member: &Member, published: &Published, steps: &[NextStep]) -> Vec<Said> {
    let mut notes = Vec::new();
    if let Some(asking) = waiting(&member.device, desk.now()) {
        let words = format!(
            "A key asks for this identity from {} since {} and waits for a person. If nobody reset the device, look for a copy of it.",
            asking.from, asking.at
        );
        notes.push(Said::sentence(words));
    }
    if let Some(doubt) = &member.device.doubt {
        notes.push(Said::sentence(format!(
            "{}: {}. Look whether there is a second machine; see Identity.",
            doubt_words(doubt.kind),
            doubt.evidence
        )));
    }
    notes.extend(hold_on(desk, member).map(Said::sentence));
    notes.extend(returned(member, published).map(|at| {
        Said::sentence(format!(
            "It went back by an order of its owner at {at}, which adds no risk of its own."
        ))
    }));
    // Where a step installs, it tells this itself.
    if !steps.iter().any(|step| matches!(step.act, Act::Install(_))) {
        notes.extend(blocked(member).map(|why| Said::sentence(format!("Its update waits: {why}"))));
    }
    notes
}

/// The hold that covers a device, in a sentence.
fn hold_on(desk: &Desk, member: &Member) -> Option<String> {
    desk.operator.rollouts.look(|book| {
        let holds = |hold: &&Hold| hold.holds(desk.now()) && covers(&hold.covers, &member.device);
        let hold = book.holds.values().find(holds)?;
        Some(format!("Held by {} since {}: {}", actor_words(&hold.by), hold.at, hold.reason))
    })
}

/// A step with what blocks it now and where it is done.
fn step_view(desk: &Desk, member: &Member, step: NextStep) -> StepView {
    let act = match &step.act {
        Act::Decide(finding) => Some(("Review".to_owned(), paths::finding(finding))),
        Act::Install(_) | Act::ExplainUpdate => Some(rollout_act(desk, member)),
        Act::SettleDoubt => Some(("See identity".to_owned(), paths::identity(&member.id().to_string()))),
        Act::Find(_)
        | Act::Segment
        | Act::Reinstall
        | Act::ReplacePassword
        | Act::SetPassword
        | Act::CloseServices(_)
        | Act::Harden
        | Act::ProtectKey
        | Act::ImportAdvisories
        | Act::WaitForMaker => None,
    };
    let installs = matches!(step.act, Act::Install(_));
    let blocked = if installs { blocked(member) } else { None };
    StepView { step, blocked: blocked.map(Said::sentence), act }
}

/// What blocks an update now, in the words of the device's own `status`.
fn blocked(member: &Member) -> Option<String> {
    let report = member.report.as_ref()?;
    let sentences: Vec<&str> = report.update.blocked_by.iter().map(|why| why.sentence.as_str()).collect();
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// The newest rollout that holds this device, or the list of them.
fn rollout_act(desk: &Desk, member: &Member) -> (String, String) {
    let of_device = desk.operator.rollouts.look(|book| {
        let holds_it = book.rollouts.values().filter(|rollout| rollout.wave_of(member.id()).is_some());
        holds_it.max_by_key(|rollout| rollout.created).map(|rollout| rollout.id.to_string())
    });
    match of_device {
        Some(id) => ("See rollout".into(), paths::rollout(&id)),
        None => ("See rollouts".into(), paths::ROLLOUTS.into()),
    }
}

/// What changed: receipts, findings, moves of the score, people's acts and the identity, newest first.
async fn events(desk: &Desk, member: &Member, score: &Score, said: &RiskSaid) -> Result<Vec<Change>, Fault> {
    let model = desk.operator.app.risk.model();
    let mut events: Vec<Change> = member.receipts.iter().map(of_receipt).collect();
    events.extend(member.findings.values().filter_map(|record| of_finding(record, score, &model)));
    events.extend(moves(said));
    for entry in about(desk, member.id()).await? {
        // Findings and receipts tell of themselves, with their pages.
        let told = ["finding.", "receipt."].iter().any(|kind| entry.action.starts_with(kind));
        let Some(at) = Timestamp::parse(&entry.at).ok().filter(|_| !told) else { continue };
        let source = match entry.reason {
            Some(reason) => format!("{}: {reason}", actor_words(&entry.actor)),
            None => actor_words(&entry.actor),
        };
        let what = act_words(&entry.action);
        events.push(Change { at, what: what.into(), source: source.into(), href: None, risk: None });
    }
    events.sort_by_key(|event| std::cmp::Reverse(event.at));
    events.truncate(EVENTS);
    Ok(events)
}

pub(super) fn act_words(action: &str) -> String {
    match action {
        "device.approve" => "Key approved".into(),
        "device.deny" => "Key turned away".into(),
        "device.clear-doubt" => "Doubt cleared".into(),
        "device.doubt" => "Its identity is in doubt".into(),
        "device.renewed" => "Certificate renewed".into(),
        "device.farewell" => "Took leave and wiped itself".into(),
        "token.create" => "Token made".into(),
        "token.revoke" => "Token taken back".into(),
        "enrol.refuse" => "Enrolment refused".into(),
        "enrol.wait" => "A key asks and waits".into(),
        "enrol.forget" => "A key waited too long".into(),
        "device.enrol" => "Enrolled".into(),
        "device.quarantine" => "Quarantined".into(),
        "device.release" => "Quarantine lifted".into(),
        "device.retire" => "Retired".into(),
        "device.report-lost" => "Reported lost".into(),
        "device.find" => "Found again".into(),
        "device.place" => "Moved".into(),
        "assets.change" => "Its asset list says something new".into(),
        "device.state-hardware" => "Stated its hardware".into(),
        other => other.to_owned(),
    }
}

fn of_receipt(receipt: &Arc<ReceiptView>) -> Change {
    let body = &receipt.body;
    let release = body.release.as_ref().map_or("the image", release_words);
    let what = match body.outcome {
        Outcome::Confirmed => format!("Release {release} confirmed"),
        Outcome::RolledBack => format!("Rolled back to {release}"),
        Outcome::Refused => "Order refused".into(),
        Outcome::WentBack => format!("Went back to {release}"),
    };
    let digest: String = receipt.digest.to_string().chars().take(8).collect();
    let source = match &body.reason {
        Some(reason) => format!("Receipt {digest}: {}", reason.sentence),
        None => format!("Receipt {digest}, slot {}", body.slot),
    };
    Change { at: receipt.received, what: what.into(), source: source.into(), href: None, risk: None }
}

/// A finding when it was opened, with the points that it weighs now.
fn of_finding(
    record: &Arc<cordon_server_core::triage::Record>,
    score: &Score,
    model: &Model,
) -> Option<Change> {
    let opened = record.history.first()?;
    let id = record.id.to_string();
    let part = score.contributions.iter().find(|part| part.id == id);
    let without = part.map(|part| score.without(&[&part.id], model).points());
    let weight = without.map(|without| i64::from(score.points()) - i64::from(without));
    Some(Change {
        at: opened.at,
        what: record.finding.title.as_str().into(),
        source: format!("Finding {id}").into(),
        href: Some(paths::finding(&id)),
        risk: weight.filter(|weight| *weight > 0),
    })
}
