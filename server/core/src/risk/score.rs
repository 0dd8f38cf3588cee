//! The score: `100 · I · L` with `L = 1 - e^-H`, its band, and contributions that sum to it exactly.
//!
//! `H` is the integer sum of all hazards. `L` is taken once from `libm` and cut to 10^-12; from there on everything is
//! integer arithmetic: a row's exact part is `100 · I0 · L · h/H` (the Aumann-Shapley share), clinical impact is
//! `100 · (I - I0) · L`, and the hundredths and the whole points shown are shared out by largest remainder. The value
//! is rounded to hundredths, but never up into the next whole point, so that number, whole points and band agree.
//! Read next: [`super::apportion`], [`super::next_step`].

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::apportion::{Share, apportion, apportion_few};
use super::facts::{Facts, Impact};
use super::hazard::{Part, each_part, parts, total};
use super::model::{Model, SetFigure};
use super::reason;

/// The score of one device at one time, with everything needed to check it by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// The device, as the facts name it.
    pub device: String,
    /// Name of the model.
    pub model: String,
    /// SHA-256 of the model's table.
    pub model_sha256: String,
    /// When it was computed.
    pub at: Timestamp,
    /// The score in hundredths of a point, 0 to 10,000.
    pub value_hundredths: u16,
    /// Its band.
    pub band: Band,
    /// Impact I in hundred-millionths.
    pub impact_e8: u32,
    /// Likelihood L in 10^-12.
    pub likelihood_e12: u64,
    /// Sum H of all hazards in micro-nepers.
    pub hazard_micronepers: u64,
    /// The parts: falling, clinical impact last. Their hundredths sum to the score, their points to its whole points.
    pub contributions: Vec<Contribution>,
    /// Questions nobody answered: no points, and not safe.
    pub unknown: Vec<String>,
    /// What had to be assumed.
    pub assumed: Vec<String>,
    /// Figures of the model that the site set otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_by_site: Vec<SetFigure>,
}

/// One part of a score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contribution {
    /// Identity: a finding's own, `CVE:package`, or the name of the fact.
    pub id: String,
    /// Its kind.
    pub kind: Kind,
    /// The reason in one line.
    pub reason: String,
    /// The evidence under it.
    pub evidence: String,
    /// Its hazard in micro-nepers; 0 for clinical impact.
    pub hazard_micronepers: u32,
    /// Its part of the score in hundredths.
    pub hundredths: u16,
    /// Its part of the whole points.
    pub points: u16,
    /// The score if this alone were fixed, in hundredths; none for clinical impact, which falls with the others.
    pub alone_hundredths: Option<u16>,
}

/// Kinds of parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A component that an advisory hits.
    Vulnerability,
    /// A finding about what the device does.
    Behaviour,
    /// How current it is.
    Freshness,
    /// How it is set up.
    Posture,
    /// What a failure or a leak would mean, above the least impact.
    Impact,
}

/// The four bands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Band {
    /// Below 20 points.
    #[default]
    Low,
    /// Below 40 points.
    Medium,
    /// Below 70 points.
    High,
    /// 70 points and more.
    Critical,
}

/// Hundredths of a score, or of many, by kind of part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ByKind {
    /// Components that an advisory hits.
    pub vulnerability: u64,
    /// What devices do.
    pub behaviour: u64,
    /// How current they are.
    pub freshness: u64,
    /// How they are set up.
    pub posture: u64,
    /// What a failure or a leak would mean, above the least impact.
    pub impact: u64,
}

impl ByKind {
    /// The place of a kind.
    fn of(&mut self, kind: Kind) -> &mut u64 {
        match kind {
            Kind::Vulnerability => &mut self.vulnerability,
            Kind::Behaviour => &mut self.behaviour,
            Kind::Freshness => &mut self.freshness,
            Kind::Posture => &mut self.posture,
            Kind::Impact => &mut self.impact,
        }
    }

    /// Counts the hazard of a part.
    pub(super) fn count(&mut self, part: &Part<'_>) {
        *self.of(part.cause.kind()) += u64::from(part.hazard);
    }

    /// Takes in another one.
    pub fn add(&mut self, other: &Self) {
        let mut other = *other;
        for kind in Kind::ALL {
            *self.of(kind) += *other.of(kind);
        }
    }

    /// All of it.
    #[must_use]
    pub fn total(mut self) -> u64 {
        Kind::ALL.into_iter().map(|kind| *self.of(kind)).sum()
    }
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::Vulnerability, Self::Behaviour, Self::Freshness, Self::Posture, Self::Impact];

    /// The word, as it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Vulnerability => "vulnerability",
            Self::Behaviour => "behaviour",
            Self::Freshness => "freshness",
            Self::Posture => "posture",
            Self::Impact => "impact",
        }
    }
}

/// A score without its reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// Hundredths of a point, 0 to 10,000.
    pub hundredths: u16,
    /// The band of the exact score.
    pub band: Band,
}

/// One hundredth of a point in the unit of the exact score: I in 10^-8 times L in 10^-12 gives 10^-16 hundredths.
const HUNDREDTH: u128 = 10_000_000_000_000_000;

impl Value {
    /// The score of a sum of hazards under an impact.
    #[must_use]
    pub fn of(hazard_micronepers: u64, impact_e8: u32, model: &Model) -> Self {
        Self::at(impact_e8, likelihood_e12(hazard_micronepers), model)
    }

    /// The score of a likelihood under an impact.
    fn at(impact_e8: u32, likelihood_e12: u64, model: &Model) -> Self {
        let exact = exact(impact_e8, likelihood_e12);
        let whole = hundredths_in(exact) / 100;
        let rounded = hundredths_in(exact + HUNDREDTH / 2);
        let hundredths = rounded.min(whole * 100 + 99).min(10_000);
        Self { hundredths: u16::try_from(hundredths).unwrap_or(10_000), band: band(whole, model) }
    }

    /// Whole points, rounded down: the number that people see.
    #[must_use]
    pub fn points(self) -> u16 {
        self.hundredths / 100
    }
}

impl Score {
    /// The score without its reasons.
    #[must_use]
    pub fn value(&self) -> Value {
        Value { hundredths: self.value_hundredths, band: self.band }
    }

    /// Whole points, rounded down.
    #[must_use]
    pub fn points(&self) -> u16 {
        self.value().points()
    }

    /// What the score would be without these parts, named by identity.
    #[must_use]
    pub fn without(&self, ids: &[&str], model: &Model) -> Value {
        let gone = self.contributions.iter().filter(|part| ids.contains(&part.id.as_str()));
        let gone: u64 = gone.map(|part| u64::from(part.hazard_micronepers)).sum();
        Value::of(self.hazard_micronepers.saturating_sub(gone), self.impact_e8, model)
    }
}

/// The score of a device and its reasons.
#[must_use]
pub fn score(facts: &Facts, model: &Model, now: Timestamp) -> Score {
    let parts = parts(facts, model, now);
    let hazard_micronepers = sum(&parts);
    let impact_e8 = impact_e8(&facts.impact, model);
    let value = Value::of(hazard_micronepers, impact_e8, model);
    let mut rows: Vec<Contribution> = parts.iter().map(|part| row(part, facts, now)).collect();
    rows.sort_by(|a, b| b.hazard_micronepers.cmp(&a.hazard_micronepers).then_with(|| a.id.cmp(&b.id)));
    for row in &mut rows {
        let rest = hazard_micronepers.saturating_sub(u64::from(row.hazard_micronepers));
        row.alone_hundredths = Some(Value::of(rest, impact_e8, model).hundredths);
    }
    if hazard_micronepers > 0 && impact_e8 > least_e8(model) {
        rows.push(impact_row(facts, model));
    }
    let likelihood_e12 = likelihood_e12(hazard_micronepers);
    share_out(
        &mut rows,
        value,
        &Sum { hazard_micronepers, likelihood_e12, impact_e8, least_e8: least_e8(model) },
    );
    Score {
        device: facts.device.clone(),
        model: model.id.to_string(),
        model_sha256: model.sha256_hex(),
        at: now,
        value_hundredths: value.hundredths,
        band: value.band,
        impact_e8,
        likelihood_e12,
        hazard_micronepers,
        contributions: rows,
        unknown: reason::unknown(facts),
        assumed: reason::assumed(facts, model),
        set_by_site: model.site_figures(),
    }
}

/// The score of a device without its reasons: what lists and counts need, without writing a word.
#[must_use]
pub fn value(facts: &Facts, model: &Model, now: Timestamp) -> Value {
    Value::of(total(facts, model, now), impact_e8(&facts.impact, model), model)
}

/// The score of a device whose exposures were weighed before, once for all devices that share them: `facts` names none, and
/// `exposures_micronepers` is what [`super::hazard::of_exposures`] says of them.
#[must_use]
pub fn value_sharing(facts: &Facts, exposures_micronepers: u64, model: &Model, now: Timestamp) -> Value {
    let total = total(facts, model, now).saturating_add(exposures_micronepers);
    Value::of(total, impact_e8(&facts.impact, model), model)
}

/// The same with its hundredths shared out by kind of part, without writing a word. The shares sum to the score; each may
/// differ by a hundredth from the sum of the rows of its kind, which are rounded one by one.
#[must_use]
pub fn value_by_kind(facts: &Facts, model: &Model, now: Timestamp) -> (Value, ByKind) {
    let mut hazards = ByKind::default();
    each_part(facts, model, now, &mut |part| hazards.count(&part));
    shared_by_kind(hazards, impact_e8(&facts.impact, model), model)
}

/// A score of hazards by kind, in micro-nepers, with its hundredths shared out.
pub(super) fn shared_by_kind(mut hazards: ByKind, impact_e8: u32, model: &Model) -> (Value, ByKind) {
    let hazard_micronepers = hazards.total();
    let likelihood_e12 = likelihood_e12(hazard_micronepers);
    let value = Value::at(impact_e8, likelihood_e12, model);
    let sums = Sum { hazard_micronepers, likelihood_e12, impact_e8, least_e8: least_e8(model) };
    let shares =
        Kind::ALL.map(|kind| Share { weight: sums.weight(kind, *hazards.of(kind)), id: kind.word() });
    let hundredths =
        apportion_few(u64::from(value.hundredths), shares, HUNDREDTH * u128::from(hazard_micronepers));
    let mut kinds = ByKind::default();
    for (kind, hundredths) in Kind::ALL.into_iter().zip(hundredths) {
        *kinds.of(kind) = hundredths;
    }
    (value, kinds)
}

/// Impact `I = 1 - (1 - S)(1 - D)` in hundred-millionths.
#[must_use]
pub fn impact_e8(impact: &Impact, model: &Model) -> u32 {
    let (severity, data) = reason::impact_figures(impact, model);
    100_000_000 - 10_000_u32.saturating_sub(severity) * 10_000_u32.saturating_sub(data)
}

/// The exact score in 10^-16 hundredths.
fn exact(impact_e8: u32, likelihood_e12: u64) -> u128 {
    u128::from(impact_e8) * u128::from(likelihood_e12)
}

/// Whole hundredths in an exact score, which lies below 2^67. 10^16 is 2^16 times 5^16, and after the first the rest fits a
/// machine's own division.
fn hundredths_in(exact: u128) -> u64 {
    const REST: u64 = 5_u64.pow(16);
    u64::try_from(exact >> 16).unwrap_or(u64::MAX) / REST
}

/// Likelihood `1 - e^-H` in 10^-12, cut.
#[expect(clippy::cast_precision_loss, reason = "sums above 2^53 micro-nepers have a likelihood of 1 anyway")]
#[expect(clippy::cast_possible_truncation, reason = "between 0 and 10^12 by the clamp")]
#[expect(clippy::cast_sign_loss, reason = "between 0 and 10^12 by the clamp")]
fn likelihood_e12(hazard_micronepers: u64) -> u64 {
    let likelihood = -libm::expm1(-(hazard_micronepers as f64) / 1_000_000.0);
    libm::floor(likelihood.clamp(0.0, 1.0) * 1e12) as u64
}

fn band(whole_points: u64, model: &Model) -> Band {
    if whole_points >= u64::from(model.critical_points) {
        Band::Critical
    } else if whole_points >= u64::from(model.high_points) {
        Band::High
    } else if whole_points >= u64::from(model.medium_points) {
        Band::Medium
    } else {
        Band::Low
    }
}

fn least_e8(model: &Model) -> u32 {
    model.impact_least * 10_000
}

/// Sum of the hazards in micro-nepers.
pub(super) fn sum(parts: &[Part<'_>]) -> u64 {
    parts.iter().map(|part| u64::from(part.hazard)).sum()
}

fn row(part: &Part<'_>, facts: &Facts, now: Timestamp) -> Contribution {
    Contribution {
        id: part.cause.id().into_owned(),
        kind: part.cause.kind(),
        reason: part.cause.reason(now),
        evidence: part.cause.evidence(facts, now),
        hazard_micronepers: part.hazard,
        hundredths: 0,
        points: 0,
        alone_hundredths: None,
    }
}

/// Clinical impact: last, and without a value "if fixed alone", since it falls with the others.
fn impact_row(facts: &Facts, model: &Model) -> Contribution {
    let (reason, evidence) = reason::impact_words(facts, model);
    Contribution {
        id: "impact".into(),
        kind: Kind::Impact,
        reason,
        evidence,
        hazard_micronepers: 0,
        hundredths: 0,
        points: 0,
        alone_hundredths: None,
    }
}

/// The four numbers from which every part follows.
struct Sum {
    hazard_micronepers: u64,
    likelihood_e12: u64,
    impact_e8: u32,
    least_e8: u32,
}

impl Sum {
    /// The exact part of what has this kind and hazard, times the sum of all hazards.
    fn weight(&self, kind: Kind, hazard_micronepers: u64) -> u128 {
        match kind {
            Kind::Impact => {
                let above = self.impact_e8.saturating_sub(self.least_e8);
                exact(above, self.likelihood_e12) * u128::from(self.hazard_micronepers)
            }
            Kind::Vulnerability | Kind::Behaviour | Kind::Freshness | Kind::Posture => {
                let base = self.impact_e8.min(self.least_e8);
                exact(base, self.likelihood_e12) * u128::from(hazard_micronepers)
            }
        }
    }
}

/// Gives each row its hundredths and its whole points.
fn share_out(rows: &mut [Contribution], value: Value, sum: &Sum) {
    let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
    let weights = rows.iter().map(|row| sum.weight(row.kind, u64::from(row.hazard_micronepers)));
    let shares: Vec<Share<'_>> = weights.zip(&ids).map(|(weight, id)| Share { weight, id }).collect();
    let unit = HUNDREDTH * u128::from(sum.hazard_micronepers);
    let hundredths = apportion(u64::from(value.hundredths), &shares, unit);
    let points = apportion(u64::from(value.points()), &shares, unit * 100);
    for (row, (hundredths, points)) in rows.iter_mut().zip(hundredths.into_iter().zip(points)) {
        row.hundredths = u16::try_from(hundredths).unwrap_or(u16::MAX);
        row.points = u16::try_from(points).unwrap_or(u16::MAX);
    }
}
