//! What to do about a device's risk: the act, whose it is, by when, and what it will change.
//!
//! Each step is a set of parts that it would remove; its effect is the score without them, computed and not guessed.
//! At most three, in order of effect; what only the maker can do comes last and has no date, for nobody here can act.
//! A low score asks for nothing but a decision on findings and the search for a silent device. What blocks a step right now
//! (in use, window) is the device's own knowledge and not here. Deadlines of vulnerabilities follow the table of CISA
//! BOD 26-04 ([`remediation`]); the others are judgement, all in one place below. They count from when something became
//! known and never from now: a date that slides with every look is none. Read next: [`super::remedy`] for each exposure by itself.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::facts::{Answer, Exposure, Facts, Finding, FindingSeverity, ReleaseAge, Vector, Zone};
use super::hazard::{ASSUMED_ZONE, Cause, DAY_S, Part, parts};
use super::model::Model;
use super::score::{Band, Value, impact_e8, sum};
use crate::matching::version::{Scheme, compare};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextStep {
    /// What to do, for machines.
    pub act: Act,
    /// What to do, in a sentence without a full stop: "Install release 4.2.2".
    pub words: String,
    /// The same for a column of a list: "Install 4.2.2".
    pub short: String,
    /// Whose it is.
    pub owner: Owner,
    /// By when; none where no date can be given or nobody here can act.
    pub due: Option<Timestamp>,
    /// Since when it waits for the maker.
    pub waiting_since: Option<Timestamp>,
    /// Whether somebody is to look for signs of a break-in as well.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub investigate: bool,
    /// One line why.
    pub why: String,
    /// Score now, in hundredths.
    pub before_hundredths: u16,
    /// Score afterwards, in hundredths.
    pub after_hundredths: u16,
    /// Band afterwards.
    pub after_band: Band,
    /// Contributions that it removes, by identity; empty where it lowers them all (a change of network).
    pub removes: Vec<String>,
}

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// The owner's IT.
    It,
    /// The security team.
    Security,
    /// Clinical engineering.
    ClinicalEngineering,
    /// Who runs the network.
    Network,
    /// The device's maker.
    Maker,
}

impl Owner {
    /// By the words that findings use.
    #[must_use]
    pub fn of(words: &str) -> Option<Self> {
        Some(match words {
            "IT" => Self::It,
            "security" => Self::Security,
            "clinical engineering" => Self::ClinicalEngineering,
            "network" => Self::Network,
            "maker" => Self::Maker,
            _ => return None,
        })
    }
}

/// The acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Install this release.
    Install(String),
    /// Find a silent device, then install this release if there is one.
    Find(Option<String>),
    /// Decide on this finding.
    Decide(String),
    /// Move it to a network of its own kind.
    Segment,
    /// Find out why the last update failed or went back.
    ExplainUpdate,
    /// Take it out of use and install it anew: its boot is not what was signed.
    Reinstall,
    /// Replace the maker's password.
    ReplacePassword,
    /// Give every account that may sign in a password.
    SetPassword,
    /// Close these services, or expect them.
    CloseServices(Vec<String>),
    /// Repair its set-up at the next service: encryption, secure boot, debug port.
    Harden,
    /// Keep the key of its identity in hardware from the next enrolment on.
    ProtectKey,
    /// Look whether there is a second machine behind its identity.
    SettleDoubt,
    /// Import new advisories.
    ImportAdvisories,
    /// Wait for the maker's fix or a supported system.
    WaitForMaker,
}

/// Days for what no rule dates: a judgement, to be read beside [`remediation`].
const FIND_DAYS: i64 = 3;
const PASSWORD_DAYS: i64 = 3;
const EXPLAIN_DAYS: i64 = 1;
const CLOSE_SERVICE_DAYS: i64 = 7;
const HARDEN_DAYS: i64 = 60;
const SETTLE_DOUBT_DAYS: i64 = 1;
pub(super) const SEGMENT_DAYS: i64 = 14;
const BEHIND_DAYS: i64 = 60;
/// Most steps shown.
const STEPS: usize = 3;

/// At most three steps for a device, in order of effect.
#[must_use]
pub fn plan(facts: &Facts, model: &Model, now: Timestamp) -> Vec<NextStep> {
    let parts = parts(facts, model, now);
    let case = Case::of(facts, model, now, &parts);
    let before = case.value(case.total);
    let mut steps: Vec<NextStep> = candidates(&case)
        .into_iter()
        .filter(|draft| before.band > Band::Low || draft.counts_when_low())
        .filter_map(|draft| case.finish(draft, before))
        .collect();
    steps.sort_by(|a, b| {
        let maker = |step: &NextStep| step.owner == Owner::Maker;
        maker(a).cmp(&maker(b)).then(a.after_hundredths.cmp(&b.after_hundredths)).then(a.due.cmp(&b.due))
    });
    steps.truncate(STEPS);
    steps
}

/// What CISA BOD 26-04 wants done about a vulnerability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// Days in which it is to be remedied.
    pub days: i64,
    /// Whether a forensic investigation is wanted as well.
    pub investigate: bool,
}

/// What CISA BOD 26-04 wants done about a vulnerability; none: repair it with the next upgrade.
///
/// The rows of its table (known exploited, publicly exposed, automatable, total technical impact).
#[must_use]
pub fn remediation(exploited: bool, exposed: bool, automatable: bool, total: bool) -> Option<Remedy> {
    let days = match (exploited, exposed, automatable, total) {
        (true, true, true, _)
        | (true, true, false, true)
        | (_, true, true, true)
        | (true, false, true, true) => 3,
        (true, _, _, _) | (false, true, true, false) | (false, true, false, true) => 14,
        (false, true, false, false) | (false, false, true, _) => 60,
        (false, false, false, _) => return None,
    };
    Some(Remedy { days, investigate: exploited && total && (exposed || automatable) })
}

/// One device under consideration.
pub(super) struct Case<'a> {
    pub(super) facts: &'a Facts,
    model: &'a Model,
    now: Timestamp,
    total: u64,
    impact_e8: u32,
    pub(super) parts: &'a [Part<'a>],
}

/// A step before its effect is known.
struct Draft {
    act: Act,
    words: String,
    short: String,
    owner: Owner,
    due: Option<Timestamp>,
    waiting_since: Option<Timestamp>,
    investigate: bool,
    why: String,
    effect: Effect,
}

/// What a step changes.
enum Effect {
    /// Removes parts, by their place in the case.
    Removes(Vec<usize>),
    /// Leaves this sum of hazards.
    Leaves(u64),
}

impl Draft {
    fn new(act: Act, owner: Owner, why: &str) -> Self {
        let (words, short) = words(&act);
        let effect = Effect::Removes(Vec::new());
        let (due, waiting_since, investigate) = (None, None, false);
        Self { act, words, short, owner, due, waiting_since, investigate, why: why.into(), effect }
    }

    fn due(mut self, due: Option<Timestamp>) -> Self {
        self.due = due;
        self
    }

    /// The same, with a look for signs of a break-in where that is wanted.
    fn investigating(mut self, wanted: bool) -> Self {
        if wanted {
            self.why.push_str(" Look for signs of a break-in too: what it has is being exploited.");
        }
        self.investigate = wanted;
        self
    }

    fn removing(mut self, places: Vec<usize>) -> Self {
        self.effect = Effect::Removes(places);
        self
    }

    /// A low score asks only for these.
    fn counts_when_low(&self) -> bool {
        match self.act {
            Act::Find(_) | Act::Decide(_) | Act::SettleDoubt => true,
            Act::Install(_)
            | Act::Segment
            | Act::ExplainUpdate
            | Act::Reinstall
            | Act::ReplacePassword
            | Act::SetPassword
            | Act::CloseServices(_)
            | Act::Harden
            | Act::ProtectKey
            | Act::ImportAdvisories
            | Act::WaitForMaker => false,
        }
    }
}

impl<'a> Case<'a> {
    /// A device of which these are the parts.
    pub(super) fn of(facts: &'a Facts, model: &'a Model, now: Timestamp, parts: &'a [Part<'a>]) -> Self {
        Self { facts, model, now, total: sum(parts), impact_e8: impact_e8(&facts.impact, model), parts }
    }
}

impl Case<'_> {
    fn value(&self, hazard: u64) -> Value {
        Value::of(hazard, self.impact_e8, self.model)
    }

    /// Places of the parts that fit.
    fn places(&self, fits: impl Fn(&Cause<'_>) -> bool) -> Vec<usize> {
        self.parts.iter().enumerate().filter(|(_, part)| fits(&part.cause)).map(|(place, _)| place).collect()
    }

    /// The step with its effect; none if it would change nothing.
    fn finish(&self, draft: Draft, before: Value) -> Option<NextStep> {
        let (left, removes) = match &draft.effect {
            Effect::Leaves(left) => (*left, Vec::new()),
            Effect::Removes(places) => {
                let gone: Vec<&Part<'_>> = places.iter().filter_map(|place| self.parts.get(*place)).collect();
                let hazard: u64 = gone.iter().map(|part| u64::from(part.hazard)).sum();
                (
                    self.total.saturating_sub(hazard),
                    gone.iter().map(|part| part.cause.id().into_owned()).collect(),
                )
            }
        };
        if left >= self.total {
            return None;
        }
        let after = self.value(left);
        Some(NextStep {
            act: draft.act,
            words: draft.words,
            short: draft.short,
            owner: draft.owner,
            due: draft.due,
            waiting_since: draft.waiting_since,
            investigate: draft.investigate,
            why: draft.why,
            before_hundredths: before.hundredths,
            after_hundredths: after.hundredths,
            after_band: after.band,
            removes,
        })
    }
}

fn candidates(case: &Case<'_>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    drafts.extend(install_or_find(case));
    let parts = case.parts.iter().enumerate();
    drafts
        .extend(parts.filter_map(|(place, part)| part.cause.finding().map(|finding| decide(finding, place))));
    drafts.extend(segment(case));
    drafts.extend(explain_update(case));
    drafts.extend(set_up(case));
    drafts.extend(wait_for_maker(case));
    drafts
}

/// The release that a device should run.
pub(super) struct Target<'a> {
    pub(super) name: &'a str,
    pub(super) counter: Option<u64>,
    /// Since when there is something newer than what runs, if it is known what runs.
    pub(super) since: Option<Timestamp>,
}

impl<'a> Case<'a> {
    /// The newest release if the device is behind; where nobody knows what it runs, the newest of those that would remove
    /// something from it.
    pub(super) fn target(&self) -> Option<Target<'a>> {
        match &self.facts.freshness.release {
            ReleaseAge::Current => None,
            ReleaseAge::Behind { newest, since, counter } => {
                Some(Target { name: newest, counter: *counter, since: Some(*since) })
            }
            ReleaseAge::Unknown => {
                let fixed =
                    self.exposures().filter_map(|one| Some((one.fixed_counter, one.fixed_in.as_deref()?)));
                let (counter, name) = fixed.max_by(|a, b| a.0.cmp(&b.0).then_with(|| by_name(a.1, b.1)))?;
                Some(Target { name, counter, since: None })
            }
        }
    }

    /// The exposures that weigh.
    pub(super) fn exposures(&self) -> impl Iterator<Item = &'a Exposure> {
        self.parts.iter().filter_map(|part| part.cause.exposure())
    }

    /// What the directive wants done about an exposure.
    pub(super) fn remedy(&self, exposure: &Exposure) -> Option<Remedy> {
        let exposed = self.facts.reach.zone.unwrap_or(ASSUMED_ZONE) == Zone::Internet;
        let automatable = exposure.automatable != Answer::No;
        let total = exposure.total_control != Answer::No;
        remediation(exposure.known_exploited, exposed, automatable, total)
    }

    /// Whether the directive wants a look for signs of a break-in for one of the exposures that fit.
    fn investigates(&self, fits: impl Fn(&Exposure) -> bool) -> bool {
        self.exposures().any(|one| fits(one) && self.remedy(one).is_some_and(|remedy| remedy.investigate))
    }
}

/// Which of two releases without counters is the newer one, as far as their names tell. Makers name them as they like, so
/// no scheme is theirs; RPM's takes every run of digits for a number whatever parts them, so that 4.10 stands behind 4.9.
fn by_name(a: &str, b: &str) -> Ordering {
    compare(Scheme::Rpm, a, b).unwrap_or(Ordering::Equal).then_with(|| a.cmp(b))
}

/// Installing the newest release, after finding the device if it is silent.
fn install_or_find(case: &Case<'_>) -> Option<Draft> {
    let target = case.target();
    let fixes = |exposure: &Exposure| {
        target.as_ref().is_some_and(|newest| exposure.is_removed_by_newest(newest.counter))
    };
    let removed_by_release =
        |cause: &Cause<'_>| matches!(cause, Cause::Behind(..)) || cause.exposure().is_some_and(fixes);
    let silent =
        case.facts.freshness.last_seen.filter(|_| !case.places(|c| matches!(c, Cause::Silent(_))).is_empty());
    if let Some(last_seen) = silent {
        let then = target.as_ref().map(|newest| newest.name.into());
        let places = case.places(|cause| matches!(cause, Cause::Silent(_)) || removed_by_release(cause));
        let silent_days = i64::from(case.model.silent_days);
        let due = last_seen.plus_seconds((silent_days + FIND_DAYS) * DAY_S);
        let why = "It has stopped reporting: moved, switched off, or cut off.";
        let find = Draft::new(Act::Find(then), Owner::ClinicalEngineering, why).due(Some(due));
        return Some(find.investigating(case.investigates(fixes)).removing(places));
    }
    let newest = target.as_ref()?;
    let dated = case.exposures().filter(|exposure| fixes(exposure));
    let due = dated.filter_map(|exposure| exposure_due(exposure, newest, case)).min();
    let due = due.or(newest.since.map(|since| since.plus_seconds(BEHIND_DAYS * DAY_S)));
    let why = match newest.since {
        Some(_) => "Signed by its maker and newer than what runs.",
        None => "It removes what was found on the device.",
    };
    let install = Draft::new(Act::Install(newest.name.into()), Owner::It, why).due(due);
    Some(install.investigating(case.investigates(fixes)).removing(case.places(removed_by_release)))
}

/// When an exposure is to be gone, counted from when it became known of this device, else from when something newer than
/// what runs became known.
pub(super) fn exposure_due(exposure: &Exposure, newest: &Target<'_>, case: &Case<'_>) -> Option<Timestamp> {
    let remedy = case.remedy(exposure)?;
    let known = exposure.known_since.or(newest.since)?;
    Some(known.plus_seconds(remedy.days * DAY_S))
}

fn decide(finding: &Finding, place: usize) -> Draft {
    let (days, unexpected) = match finding.severity {
        FindingSeverity::Critical => {
            (0, "If it is not expected, quarantine the device at once; if it is, allow it.")
        }
        FindingSeverity::High => (1, "If it is expected, allow it; if not, quarantine the device."),
        FindingSeverity::Medium => (3, "If it is expected, allow it in the profile."),
        FindingSeverity::Low => (14, "If it is expected, allow it in the profile."),
    };
    let due = finding.at.plus_seconds(days * DAY_S);
    let why = if finding.owner.is_some() { "What to do stands in the finding." } else { unexpected };
    Draft::new(Act::Decide(finding.id.clone()), finding.owner.unwrap_or(Owner::Security), why)
        .due(Some(due))
        .removing(alloc::vec![place])
}

/// Moving to a network of its own kind, where that would help.
fn segment(case: &Case<'_>) -> Option<Draft> {
    if case.facts.reach.zone.unwrap_or(ASSUMED_ZONE) <= Zone::Segmented {
        return None;
    }
    let exposures = case.parts.iter().filter_map(|part| part.cause.exposure());
    let over_network = exposures.filter(|exposure| exposure.vector >= Vector::Adjacent);
    let known = over_network.filter_map(|exposure| exposure.known_since).min();
    let mut moved = case.facts.clone();
    moved.reach.zone = Some(Zone::Segmented);
    let left = sum(&parts(&moved, case.model, case.now));
    let why = "Among devices of its own kind its weaknesses are harder to reach.";
    let due = known.map(|at| at.plus_seconds(SEGMENT_DAYS * DAY_S));
    let mut draft = Draft::new(Act::Segment, Owner::Network, why).due(due);
    draft.effect = Effect::Leaves(left);
    Some(draft)
}

fn explain_update(case: &Case<'_>) -> Option<Draft> {
    let fresh = &case.facts.freshness;
    let at = fresh.update_failed.into_iter().chain(fresh.rolled_back).min()?;
    let why = if fresh.rolled_back.is_some() {
        "A return that nobody explains may be somebody else's."
    } else {
        "Until it is understood the next update will fail too."
    };
    let places = case.places(|cause| matches!(cause, Cause::UpdateFailed(_) | Cause::RolledBack(_)));
    let due = Some(at.plus_seconds(EXPLAIN_DAYS * DAY_S));
    Some(Draft::new(Act::ExplainUpdate, Owner::It, why).due(due).removing(places))
}

/// Repairs of the set-up, dated from when the weakness became known.
fn set_up(case: &Case<'_>) -> Vec<Draft> {
    let known = case.facts.posture.weak_since;
    let within = |days: i64| known.map(|at| at.plus_seconds(days * DAY_S));
    let services: Vec<String> =
        case.parts.iter().filter_map(|part| part.cause.service()).map(String::from).collect();
    let harden = |cause: &Cause<'_>| {
        matches!(
            cause,
            Cause::CleartextService | Cause::SecureBootOff | Cause::DiskUnencrypted(_) | Cause::DebugPort
        )
    };
    alloc::vec![
        Draft::new(Act::Reinstall, Owner::Security, "What started is not what was signed.")
            .due(within(0))
            .removing(case.places(|cause| matches!(cause, Cause::MeasuredBootMismatch))),
        Draft::new(Act::ReplacePassword, Owner::It, "Everybody can read the maker's password in its manual.")
            .due(within(PASSWORD_DAYS))
            .removing(case.places(|cause| matches!(cause, Cause::DefaultCredentials))),
        Draft::new(Act::SetPassword, Owner::It, "Whoever reaches it is let in without being asked.")
            .due(within(PASSWORD_DAYS))
            .removing(case.places(|cause| matches!(cause, Cause::EmptyPassword))),
        Draft::new(Act::CloseServices(services), Owner::It, "Nobody expects it to listen there.")
            .due(within(CLOSE_SERVICE_DAYS))
            .removing(case.places(|cause| matches!(cause, Cause::OpenService(_)))),
        Draft::new(Act::Harden, Owner::ClinicalEngineering, "A setting at the next service is enough.")
            .due(within(HARDEN_DAYS))
            .removing(case.places(harden)),
        Draft::new(
            Act::ProtectKey,
            Owner::ClinicalEngineering,
            "Where the device has a TPM or a secure element, a new enrolment with it is enough.",
        )
        .due(within(HARDEN_DAYS))
        .removing(case.places(|cause| matches!(cause, Cause::KeyInFile))),
        Draft::new(
            Act::SettleDoubt,
            Owner::Security,
            "One machine: clear the doubt. Two: quarantine it, or let one of them enrol anew.",
        )
        .due(case.facts.posture.identity_doubted.map(|at| at.plus_seconds(SETTLE_DOUBT_DAYS * DAY_S)))
        .removing(case.places(|cause| matches!(cause, Cause::IdentityDoubted(_)))),
        Draft::new(Act::ImportAdvisories, Owner::It, "What was published since is not known here.")
            .due(case.facts.freshness.feed_updated.map(|at| at.plus_seconds(14 * DAY_S)))
            .removing(case.places(|cause| matches!(cause, Cause::FeedStale(_)))),
    ]
}

/// What only the maker can repair: a system without support, and what no release that the device could take removes.
fn wait_for_maker(case: &Case<'_>) -> Option<Draft> {
    let target = case.target();
    let unfixed = |exposure: &Exposure| {
        target.as_ref().is_none_or(|newest| !exposure.is_removed_by_newest(newest.counter))
    };
    let system_ended = case
        .parts
        .iter()
        .filter_map(|part| if let Cause::OsEnded(at) = part.cause { Some(at) } else { None });
    let exposures = case.exposures().filter(|exposure| unfixed(exposure));
    let since = exposures.filter_map(|exposure| exposure.known_since).chain(system_ended).min();
    let waits =
        |cause: &Cause<'_>| matches!(cause, Cause::OsEnded(_)) || cause.exposure().is_some_and(unfixed);
    let places = case.places(waits);
    let mut draft = Draft::new(Act::WaitForMaker, Owner::Maker, "There is no release that repairs it yet.");
    draft.waiting_since = since;
    (!places.is_empty()).then(|| draft.investigating(case.investigates(unfixed)).removing(places))
}

/// An act as a sentence and as a column.
pub(super) fn words(act: &Act) -> (String, String) {
    let same = |text: &str| (String::from(text), String::from(text));
    match act {
        Act::Install(release) => (format!("Install release {release}"), format!("Install {release}")),
        Act::Find(Some(release)) => {
            (format!("Find it, then install release {release}"), format!("Find it, then install {release}"))
        }
        Act::Find(None) => same("Find it"),
        Act::Decide(finding) => (format!("Decide on finding {finding}"), format!("Decide on {finding}")),
        Act::Segment => (String::from("Move it to its own network"), String::from("Move to its network")),
        Act::ExplainUpdate => {
            (String::from("Find out why the update failed"), String::from("Explain failed update"))
        }
        Act::Reinstall => {
            (String::from("Take it out of use and install it anew"), String::from("Install it anew"))
        }
        Act::ReplacePassword => {
            (String::from("Replace the maker's password"), String::from("Replace password"))
        }
        Act::SetPassword => (
            String::from("Give every account that may sign in a password, or lock it"),
            String::from("Set a password"),
        ),
        Act::CloseServices(services) => match services.as_slice() {
            [one] => (format!("Close {one}, or expect it in the profile"), format!("Close {one}")),
            many => (
                format!("Close {} unexpected services", many.len()),
                format!("Close {} services", many.len()),
            ),
        },
        Act::Harden => {
            (String::from("Repair its set-up at the next service"), String::from("Repair its set-up"))
        }
        Act::ProtectKey => {
            (String::from("Keep its key in hardware, not in a file"), String::from("Protect its key"))
        }
        Act::SettleDoubt => {
            (String::from("Look whether a second machine has its identity"), String::from("Settle the doubt"))
        }
        Act::ImportAdvisories => same("Import new advisories"),
        Act::WaitForMaker => same("Wait for the maker"),
    }
}
