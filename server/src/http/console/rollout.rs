//! One rollout: banner, facts, waves with their tallies, failed devices, and the rule by which it stops itself.
//!
//! Nothing is counted here that the engine does not count. Read next: `rollouts` for its row, `ui::rollouts`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Html;
use cordon_proto::time::Timestamp;
use cordon_server_core::device::DeviceKind;
use cordon_server_core::policy::Access;
use cordon_server_core::rollout::{
    Book, CONTENT_SILENT_S, DeviceFacts, Failure, Fleet, Progress, Reason, Rollout as Plan, RolloutKind,
    Stage, State as Standing, Wave as PlanWave, tally,
};

use super::super::operator::rollouts::fleet_of;
use super::acceptance::acceptance_of;
use super::fault::Fault;
use super::rollouts::{order_words, row_of, signer_words, to_go_back};
use super::standing::{is_placed, kind_words, place_words, release_words};
use super::visitor::Known;
use super::{Desk, Page, count};
use crate::fleet::Member;
use crate::ui::device::Fact;
use crate::ui::devices::DeviceQuery;
use crate::ui::frame::Section;
use crate::ui::rollouts::{FailedDevice, Named, ReasonRow, Rights, Rollout, State as Stands, Wave, render};
use crate::ui::words::{actor_words, list, percent, plural};
use crate::ui::{Clock, Said, paths};

/// Wards that are named before they are only counted.
const WARDS: usize = 2;
/// Devices of one reason that are named before they are only counted.
const NAMED: usize = 50;

/// The page.
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path(id): Path<String>,
) -> Page {
    let (roster, now) = (desk.roster(), desk.now());
    let book = desk.operator.rollouts.book();
    let plan = plan_of(&book, &id)?;
    let asked = visitor.asked("reason").map(ToOwned::to_owned);
    let fleet = fleet_of(&desk.operator, &book, plan);
    let releases = desk.operator.repositories.releases().await?;
    let taken_in =
        releases.iter().any(|one| one.repository == plan.repository && one.release == plan.release);
    let may = |access| visitor.caller.role.may(access);
    let rights = Rights { stop: may(Access::Stop), change: may(Access::Change) };
    let view = View { desk: &desk, book: &book, plan, fleet, now, asked, taken_in, rights };
    Ok(Html(render(&desk.frame(&visitor, Section::Rollouts, &roster), &view.page())))
}

/// The rollout of an address.
pub(super) fn plan_of<'a>(book: &'a Book, id: &str) -> Result<&'a Plan, Fault> {
    let id = id.parse().map_err(|_| Fault::Missing("rollout"))?;
    book.rollouts.get(&id).ok_or(Fault::Missing("rollout"))
}

/// The signed way back, by its release's name.
pub(super) fn back_of(plan: &Plan) -> Option<Said> {
    plan.back.as_ref().map(|release| release_words(release).into())
}

/// Whether an order of this rollout has a way back that is open.
pub(super) fn is_back_open(book: &Book, plan: &Plan, now: Timestamp) -> bool {
    let orders = plan.waves.iter().filter_map(|wave| book.orders.get(&wave.order));
    orders.filter_map(|order| order.back.as_ref()).any(|back| now < back.until)
}

/// A reason in words: the devices' own where they have some.
fn code_words(reason: &Reason, content: bool) -> Said {
    match (reason.code.as_str(), &reason.sentence) {
        ("no-permit", _) if content => "Heard, and waits until fewer others try it".into(),
        ("silent", _) if content => "Silent since it was offered".into(),
        ("out-of-service", _) if content => "Lost, retired or not let in, so it is offered nothing".into(),
        ("unreached", _) => "Not reached yet, which is no failure".into(),
        ("out-of-service", _) => "Lost, retired or not let in, so it gets no go".into(),
        ("held", _) => "Held by a person".into(),
        ("no-permit", _) => "Ready, and waits for the go".into(),
        ("silent", _) => "Silent since the go".into(),
        (_, Some(sentence)) => Said::sentence(sentence.as_str()),
        (code, None) => code.replace('-', " ").into(),
    }
}

/// The reason that most failed devices give, and how many do.
fn most_said(failed: &[FailedDevice]) -> (String, u64) {
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for device in failed {
        *reasons.entry(device.reason.raw()).or_default() += 1;
    }
    let most = reasons.into_iter().max_by_key(|(_, count)| *count);
    most.map_or((String::new(), 0), |(reason, count)| (reason.to_owned(), count))
}

struct View<'a> {
    desk: &'a Desk,
    book: &'a Book,
    plan: &'a Plan,
    fleet: Fleet,
    now: Timestamp,
    /// The reason whose devices are asked for.
    asked: Option<String>,
    /// Whether its release was taken in here.
    taken_in: bool,
    /// What the visitor may do with it.
    rights: Rights,
}

impl View<'_> {
    fn page(&self) -> Rollout {
        let failed = self.failed();
        let (said, shared_reason) = most_said(&failed);
        let reasons = self.reasons();
        let mut row = row_of(self.book, self.plan, &self.fleet, self.now);
        if let Stands::Halted { reason, .. } = &mut row.state {
            // The banner tells the engine's figures itself; what the devices say belongs beside them.
            *reason = match (shared_reason, failed.len()) {
                (0, _) => Said::default(),
                (1, 1) => Said::sentence(format!("It says: {said}")),
                (1, _) => "Each gives another reason.".into(),
                (several, _) => Said::sentence(format!("{several} say: {said}")),
            };
        }
        Rollout {
            row,
            model: self.model(),
            noun: self.noun(),
            facts: self.facts(),
            waves: (0..).zip(&self.plan.waves).map(|(place, wave)| self.wave(place, wave)).collect(),
            limit_permille: self.plan.policy.failure_limit_permille,
            waits_for: self.waits_for(),
            back: back_of(self.plan).filter(|_| self.is_back_of_use()),
            content: self.is_content(),
            going_back: self.plan.way_back.is_some(),
            named: self.named(&reasons),
            reasons,
            rights: self.rights,
            acceptance: acceptance_of(self.desk, self.book, self.plan, &self.fleet, self.rights.change),
            failed,
            shared_reason,
            why: self.why(),
        }
    }

    /// Whether a way back is open, and somebody left to take it when the others are back.
    fn is_back_of_use(&self) -> bool {
        let ended = matches!(self.plan.state, Standing::Returned { .. });
        is_back_open(self.book, self.plan, self.now) && !(ended && to_go_back(&self.fleet) == 0)
    }

    fn members<'a>(&'a self, waves: &'a [PlanWave]) -> impl Iterator<Item = Arc<Member>> + 'a {
        let devices = waves.iter().flat_map(|wave| &wave.devices);
        devices.filter_map(|device| self.desk.operator.app.fleet.get(*device))
    }

    fn model(&self) -> (Said, String) {
        let Some(member) = self.members(&self.plan.waves).next() else {
            return (self.plan.repository.as_str().into(), paths::DEVICES.into());
        };
        let hardware = &member.device.hardware;
        let model = hardware.model.as_str().to_owned();
        let words = format!("{} {}", hardware.manufacturer, model);
        (words.into(), DeviceQuery { model: Some(model), ..DeviceQuery::default() }.address())
    }

    /// What its devices are called: by their kind, if they have one kind.
    fn noun(&self) -> (String, String) {
        let kinds: BTreeSet<DeviceKind> =
            self.members(&self.plan.waves).map(|member| member.device.placement.kind).collect();
        match kinds.first() {
            Some(kind) if kinds.len() == 1 && *kind != DeviceKind::Other => {
                let (one, many) = kind_words(*kind);
                (one.to_lowercase(), many.to_lowercase())
            }
            Some(_) | None => ("device".into(), "devices".into()),
        }
    }

    fn facts(&self) -> Vec<Fact> {
        if let Some(version) = self.plan.content_version {
            return self.content_facts(version);
        }
        let order = self.plan.waves.first().and_then(|wave| self.book.orders.get(&wave.order));
        let windows = match order.map(|order| order.windows.len()) {
            None => "unknown".to_owned(),
            Some(0) => "in no window".into(),
            Some(some) => format!("in {}", plural(count(some), "window", "windows")),
        };
        let back = match (&self.plan.back, order.and_then(|order| order.back.as_ref())) {
            (Some(release), Some(back)) => Fact::new("Way back", release_words(release))
                .note(format!("signed, until {}", self.clock().day_words(back.until))),
            (Some(release), None) => Fact::new("Way back", release_words(release)).note("no longer in force"),
            (None, _) => Fact::new("Way back", "None signed"),
        };
        vec![
            self.release(),
            Fact::new("Install order", order_words(self.book, self.plan, self.now)).to(self.orders()),
            Fact::new("Our signature", signer_words(self.book, self.plan)),
            Fact::new("Reboots only", windows),
            back,
            Fact::new("Begun", self.clock().moment_words(self.plan.created)).note(actor_words(&self.plan.by)),
        ]
    }

    fn content_facts(&self, version: u64) -> Vec<Fact> {
        vec![
            Fact::new("Content", self.plan.release.as_str()).note(format!("version {version}")),
            Fact::new("Signed list", order_words(self.book, self.plan, self.now)),
            Fact::new("Our signature", signer_words(self.book, self.plan)),
            Fact::new("Reboots", "None: settings and thresholds"),
            Fact::new("Way back", "By itself").note("a crash or too much memory within ten minutes"),
            Fact::new("Begun", self.clock().moment_words(self.plan.created)).note(actor_words(&self.plan.by)),
        ]
    }

    /// Whether it brings settings and thresholds, which no receipt proves.
    fn is_content(&self) -> bool {
        self.plan.kind == RolloutKind::Content
    }

    /// The release, with its page if it was taken in.
    fn release(&self) -> Fact {
        let fact = Fact::new("Release", release_words(&self.plan.release));
        let page = paths::release(self.plan.repository.as_str(), self.plan.release.as_str());
        if self.taken_in { fact.to(page) } else { fact }
    }

    /// The page of its order, if it has one that is live; the list of all otherwise.
    fn orders(&self) -> String {
        let orders: BTreeSet<_> = self.plan.waves.iter().map(|wave| &wave.order).collect();
        match orders.first() {
            Some(order) if orders.len() == 1 && self.book.orders.contains_key(*order) => {
                paths::order(order.as_str())
            }
            Some(_) | None => paths::ORDERS.to_owned(),
        }
    }

    fn wave(&self, place: usize, wave: &PlanWave) -> Wave {
        Wave {
            name: wave.name.as_str().into(),
            reach: self.reach(wave),
            tally: tally(wave, &self.fleet, &self.plan.policy, self.now),
            begun: wave.started.is_some(),
            waits: self.waits(std::slice::from_ref(wave)).into(),
            note: self.note(place, wave),
            href: None,
        }
    }

    /// "180 infusion pumps, 4B and ICU 2".
    fn reach(&self, wave: &PlanWave) -> Said {
        let (one, many) = self.noun();
        let wards: BTreeSet<String> = self
            .members(std::slice::from_ref(wave))
            .filter(|member| is_placed(&member.device))
            .map(|member| member.device.placement.ward.to_string())
            .collect();
        let devices = plural(count(wave.devices.len()), &one, &many);
        match wards.len() {
            0 => devices.into(),
            1..=WARDS => format!("{devices}, {}", list(&wards.into_iter().collect::<Vec<_>>())).into(),
            many => format!("{devices}, {many} wards").into(),
        }
    }

    /// When a wave ran and was watched, or what it waits for.
    fn note(&self, place: usize, wave: &PlanWave) -> Said {
        let clock = self.clock();
        let watch = i64::from(self.plan.policy.soak_s);
        match (wave.started, wave.settled) {
            (Some(begun), Some(settled)) => {
                let watched = settled.plus_seconds(watch);
                let rest = if watched <= self.now { "watched until" } else { "watched until at least" };
                let begun = clock.moment_words(begun);
                format!(
                    "{begun}, done {}, {rest} {}",
                    clock.moment_words(settled),
                    clock.moment_words(watched)
                )
                .into()
            }
            (Some(begun), None) => format!("since {}", clock.moment_words(begun)).into(),
            (None, _) => {
                let earlier = place.checked_sub(1).and_then(|place| self.plan.waves.get(place));
                let due = earlier.and_then(|wave| wave.settled).map(|settled| settled.plus_seconds(watch));
                match due {
                    Some(due) if self.plan.runs() => format!("Begins {}", clock.moment_words(due)).into(),
                    Some(_) | None => Said::default(),
                }
            }
        }
    }

    /// What the rollout waits for while it runs.
    fn waits_for(&self) -> Option<Said> {
        let (waiting, held) = self.waiting(&self.plan.waves);
        if held > 0 {
            return Some(format!("{} held by a person", plural(held, "device is", "devices are")).into());
        }
        let reason = self.waits(&self.plan.waves);
        (waiting > 0 && !reason.is_empty())
            .then(|| format!("{}: {reason}", plural(waiting, "device waits", "devices wait")).into())
    }

    /// Devices that wait, and those of them that a person holds.
    fn waiting(&self, waves: &[PlanWave]) -> (u64, u64) {
        let facts = || self.waiting_facts(waves);
        (count(facts().count()), count(facts().filter(|facts| facts.held).count()))
    }

    fn waiting_facts<'a>(&'a self, waves: &'a [PlanWave]) -> impl Iterator<Item = &'a DeviceFacts> {
        let begun = waves.iter().filter(|wave| wave.started.is_some()).flat_map(|wave| &wave.devices);
        let facts = begun.filter_map(|device| self.fleet.get(device));
        facts.filter(|facts| facts.stage(&self.plan.policy, self.now) == Stage::Waiting)
    }

    /// The first sentence of the reason that most waiting devices give, as the end of a sentence.
    fn waits(&self, waves: &[PlanWave]) -> String {
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for reason in self.waiting_facts(waves).filter_map(|facts| facts.blocked.as_deref()) {
            *reasons.entry(reason).or_default() += 1;
        }
        let most = reasons.into_iter().max_by_key(|(_, count)| *count).map_or("", |(reason, _)| reason);
        let first = most.split(". ").next().unwrap_or(most).trim_end_matches('.');
        let mut letters = first.chars();
        letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
    }

    fn reasons(&self) -> Vec<ReasonRow> {
        let found = self.book.reasons(self.plan, &self.fleet, self.now);
        let row = |reason: Reason| ReasonRow {
            count: reason.count.into(),
            words: code_words(&reason, self.is_content()),
            href: paths::rollout_reason(self.plan.id.as_str(), &reason.code),
            current: self.asked.as_ref() == Some(&reason.code),
            code: reason.code.as_str().into(),
            waves: reason.waves.iter().map(|wave| wave + 1).collect(),
        };
        found.into_iter().map(row).collect()
    }

    /// The devices of the reason that is asked for.
    fn named(&self, reasons: &[ReasonRow]) -> Option<Named> {
        let code = self.asked.as_ref()?;
        let words = reasons.iter().find(|reason| reason.current)?.words.clone();
        let devices = self.book.devices_of(self.plan, &self.fleet, code, self.now);
        let known = devices.iter().take(NAMED).filter_map(|id| self.desk.operator.app.fleet.get(*id));
        let row = |member: Arc<Member>| {
            let (name, place) = (member.device.hardware.serial.as_str(), place_words(&member.device));
            (member.id().to_string(), name.into(), place.into())
        };
        Some(Named {
            words,
            devices: known.map(row).collect(),
            more: count(devices.len().saturating_sub(NAMED)),
        })
    }

    fn failed(&self) -> Vec<FailedDevice> {
        let begun = self.plan.waves.iter().filter(|wave| wave.started.is_some());
        let mut failed: Vec<FailedDevice> = begun
            .flat_map(|wave| &wave.devices)
            .filter_map(|device| {
                let Stage::Failed(how) = self.fleet.get(device)?.stage(&self.plan.policy, self.now) else {
                    return None;
                };
                Some(self.failed_device(&*self.desk.operator.app.fleet.get(*device)?, how))
            })
            .collect();
        failed.sort_by_key(|device| std::cmp::Reverse(device.at));
        failed
    }

    fn failed_device(&self, member: &Member, how: Failure) -> FailedDevice {
        let progress = self.book.progress.get(&self.plan.id).and_then(|devices| devices.get(&member.id()));
        let silent_after = i64::from(self.plan.policy.silent_after_s);
        let permitted = progress.and_then(|progress| progress.permitted);
        let said = progress.and_then(|progress: &Progress| progress.reason.as_ref());
        let reason = match (how, said) {
            (_, Some(reason)) => Said::sentence(reason.sentence.as_str()),
            (Failure::Silent, None) if self.is_content() => {
                let hours = silent_after.max(CONTENT_SILENT_S.into()) / 3600;
                format!("Not heard since it was offered, for more than {hours} hours").into()
            }
            (Failure::Silent, None) => {
                format!("No receipt since the go, the limit of {} min passed", silent_after / 60).into()
            }
            (Failure::NotAccepted, None) => {
                let accepted = progress.and_then(|progress| progress.accepted.as_ref());
                accepted.map_or_else(Said::default, |accepted| Said::sentence(accepted.note.as_str()))
            }
            (Failure::RolledBack | Failure::Refused | Failure::NotReturned, None) => {
                "It gave no reason".into()
            }
        };
        let at = progress.and_then(|progress| progress.ended);
        let at = at.or(permitted.map(|at| at.plus_seconds(silent_after))).unwrap_or(self.plan.created);
        FailedDevice {
            id: member.id().to_string(),
            name: member.device.hardware.serial.as_str().into(),
            place: place_words(&member.device).into(),
            how,
            reason,
            at,
        }
    }

    fn why(&self) -> Vec<(String, Said)> {
        let policy = &self.plan.policy;
        let mut rule = format!(
            "Halt when failures of finished devices are above {} with 95\u{202f}% certainty",
            percent(policy.failure_limit_permille)
        );
        if let Some(count) = policy.failure_count {
            rule.push_str(&format!(", at {} in one wave", plural(count.into(), "failure", "failures")));
        }
        if let Some(rate) = policy.failure_rate_permille {
            let from = plural(policy.rate_from.into(), "device", "devices");
            rule.push_str(&format!(", or above {} once {from} of a wave finished", percent(rate)));
        }
        let counted = if self.is_content() {
            "A device that says this version is in force is a success. Given back, refused and silent are failures; an unreached device is not"
        } else {
            "A receipt with the right image hash is a success. Rolled back, refused, silent and not accepted are failures; an unreached device is not"
        };
        let next = match self.plan.state {
            Standing::Halted { .. } => {
                "Read what the failed devices say, and send it to the maker. Resume only when it is understood"
            }
            Standing::Stopped { .. } | Standing::Paused { .. } if !self.is_in_force() => {
                match self.plan.way_back {
                    None => {
                        "Nothing of it can go on: its orders are not in force any more. Finish it, or end it for good; what \
                         is confirmed stays confirmed"
                    }
                    Some(_) => {
                        "Nobody can go back any more: the way back has closed. End it for good; who has not gone back keeps \
                         what is confirmed"
                    }
                }
            }
            Standing::Stopped { .. } | Standing::Paused { .. } => {
                "Resume it when the reason is gone. What is confirmed stays confirmed"
            }
            Standing::Running => "Nothing: waves follow one another by themselves",
            Standing::Returning => "Nothing: confirmed devices go back by themselves",
            Standing::Aborted { .. } => {
                "It installs nothing more. Who confirmed can be sent back while the way back is open; its orders may be \
                 carried out by another rollout while they are in force"
            }
            Standing::Finished { .. } | Standing::Returned { .. } => "Nothing: it is done",
        };
        vec![
            ("Rule".into(), Said::sentence(rule)),
            ("Counted".into(), Said::sentence(counted)),
            ("Next".into(), Said::sentence(next)),
        ]
    }

    /// Whether an order of one of its waves is listed and its time is not over; of a return, that of its way back.
    fn is_in_force(&self) -> bool {
        let mut orders = self.plan.waves.iter().filter_map(|wave| self.book.order_of(self.plan, wave));
        match self.plan.way_back {
            None => orders.any(|order| self.now < order.expires),
            Some(_) => orders.filter_map(|order| order.back.as_ref()).any(|back| self.now < back.until),
        }
    }

    fn clock(&self) -> Clock {
        Clock::utc(self.now)
    }
}
