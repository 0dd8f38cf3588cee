//! What each fact adds: its probability `p` and its hazard `-ln(1 - p)` in integer micro-nepers.
//!
//! One [`Part`] for each fact that counts. Of one kind of finding, and of one alias group in one source package, only the
//! weightiest counts: for equal severity that is the newest, and a later, lighter finding never lowers a score.
//! Unknown answers add nothing; [`super::reason::unknown`] lists them. Floating point is used only inside one part and only
//! through `libm`. Read next: [`super::reason`] for the words of a part, [`super::score`] for the sum.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use cordon_proto::time::Timestamp;

use super::facts::{
    Answer, CvssSource, Exposure, Facts, Finding, FindingSeverity, Freshness, KeyProtection, OsSupport,
    Place, Posture, Reach, ReleaseAge, Treatment, Vector, Zone,
};
use super::model::Model;
use super::scale::Scale;

/// Seconds of a day.
pub(super) const DAY_S: i64 = 86_400;

/// One fact that adds risk.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The fact.
    pub cause: Cause<'a>,
    /// What it adds, in micro-nepers; never 0.
    pub hazard: u32,
}

/// The facts that can add risk.
#[derive(Clone, Copy, Debug)]
pub enum Cause<'a> {
    /// A password of the maker's works.
    DefaultCredentials,
    /// An account that may sign in needs no password.
    EmptyPassword,
    /// A remote service without encryption.
    CleartextService,
    /// Operating system without support since then.
    OsEnded(Timestamp),
    /// Secure boot off.
    SecureBootOff,
    /// Disk not encrypted; whether patient data lies on it.
    DiskUnencrypted(bool),
    /// Debug port open.
    DebugPort,
    /// This service is open to everybody and expected by nobody.
    OpenService(&'a str),
    /// Measured boot differs.
    MeasuredBootMismatch,
    /// The key of its identity lies in a file.
    KeyInFile,
    /// There may be a second machine behind its identity, since then.
    IdentityDoubted(Timestamp),
    /// Last report at that time.
    Silent(Timestamp),
    /// Something newer than what runs exists since then.
    Behind(&'a str, Timestamp),
    /// The last update failed.
    UpdateFailed(Timestamp),
    /// It went back to an older release.
    RolledBack(Timestamp),
    /// Newest advisories are of that time.
    FeedStale(Timestamp),
    /// A finding.
    Finding(&'a Finding),
    /// An exposure.
    Exposure(&'a Exposure),
}

impl<'a> Cause<'a> {
    /// The finding, if it is one.
    #[must_use]
    pub fn finding(&self) -> Option<&'a Finding> {
        if let Self::Finding(finding) = self { Some(finding) } else { None }
    }

    /// The exposure, if it is one.
    #[must_use]
    pub fn exposure(&self) -> Option<&'a Exposure> {
        if let Self::Exposure(exposure) = self { Some(exposure) } else { None }
    }

    /// The service, if it is one.
    #[must_use]
    pub fn service(&self) -> Option<&'a str> {
        if let Self::OpenService(name) = self { Some(name) } else { None }
    }
}

/// Every part of a device's risk, in no particular order.
#[must_use]
pub fn parts<'a>(facts: &'a Facts, model: &Model, now: Timestamp) -> Vec<Part<'a>> {
    let mut parts = Vec::with_capacity(facts.exposures.len().saturating_add(facts.findings.len()));
    each_part(facts, model, now, &mut |part| parts.push(part));
    parts
}

/// The sum of all parts' hazards in micro-nepers, without keeping one.
#[must_use]
pub fn total(facts: &Facts, model: &Model, now: Timestamp) -> u64 {
    let mut total = 0;
    each_part(facts, model, now, &mut |part| total += u64::from(part.hazard));
    total
}

/// Gives every part of a device's risk to `take`.
pub(super) fn each_part<'a>(
    facts: &'a Facts,
    model: &Model,
    now: Timestamp,
    take: &mut impl FnMut(Part<'a>),
) {
    let own = OwnFacts { posture: &facts.posture, freshness: &facts.freshness, findings: &facts.findings };
    each_own_part(own, model, now, take);
    exposures(&facts.exposures, &facts.reach, model, &mut |part| {
        if part.hazard > 0 {
            take(part);
        }
    });
}

/// The facts of one device that no other shares.
#[derive(Clone, Copy)]
pub(super) struct OwnFacts<'a> {
    pub(super) posture: &'a Posture,
    pub(super) freshness: &'a Freshness,
    pub(super) findings: &'a [Finding],
}

/// Gives every part of a device's risk that is no exposure to `take`.
pub(super) fn each_own_part<'a>(
    own: OwnFacts<'a>,
    scale: &impl Scale,
    now: Timestamp,
    take: &mut impl FnMut(Part<'a>),
) {
    let mut add = |part: Part<'a>| {
        if part.hazard > 0 {
            take(part);
        }
    };
    posture(own.posture, scale, now, &mut add);
    freshness(own.freshness, scale, now, &mut add);
    findings(own.posture.identity_doubted, own.findings, (scale, now), &mut add);
}

/// The sum of the hazards of some exposures on a device with this reach, in micro-nepers: devices with the same packages and
/// the same reach share it.
#[must_use]
pub fn of_exposures(all: &[Exposure], reach: &Reach, model: &Model) -> u64 {
    let mut total = 0;
    exposures(all, reach, model, &mut |part| total += u64::from(part.hazard));
    total
}

/// Hazard of a probability in ten-thousandths.
#[must_use]
pub fn of_ten_thousandths(p: u32, model: &Model) -> u32 {
    of_probability(f64::from(p) / 10_000.0, model)
}

/// Hazard of one exposure on a device with this reach (CONSOLE "vulnerability": p = T × CVSS/10 × R × M).
#[must_use]
pub fn of_exposure(exposure: &Exposure, reach: &Reach, model: &Model) -> u32 {
    weigh(exposure, reach_share(exposure.vector, reach, model), model)
}

/// The same where the share R of attackers who can reach it is known.
fn weigh(exposure: &Exposure, reach: u32, model: &Model) -> u32 {
    let left = match exposure.treatment {
        Treatment::NotAffected | Treatment::Fixed => return 0,
        Treatment::Workaround => f64::from(model.workaround) / 10_000.0,
        Treatment::None => 1.0,
    };
    let threat = threat(exposure, model);
    let (tenths, source) = match exposure.cvss {
        Some(cvss) => (u32::from(cvss.tenths.min(100)), cvss.source),
        None => (model.cvss_assumed_tenths, CvssSource::Base),
    };
    let severity = f64::from(tenths) / 100.0;
    match source {
        CvssSource::MakerEnvironmental => of_probability(threat * severity, model),
        CvssSource::Base => of_probability(threat * severity * (f64::from(reach) / 10_000.0) * left, model),
    }
}

/// Share R of attackers who can reach the weakness, in ten-thousandths. Network ≥ adjacent ≥ local ≥ physical always.
#[must_use]
pub fn reach_share(vector: Vector, reach: &Reach, model: &Model) -> u32 {
    let place = reach.place.unwrap_or(ASSUMED_PLACE);
    let (physical, local) = match place {
        Place::LockedRoom => (model.physical_locked_room, model.local_locked_room),
        Place::ClinicalArea => (model.physical_clinical_area, model.local_clinical_area),
        Place::Public => (model.physical_public, model.local_public),
    };
    let zone = match reach.zone.unwrap_or(ASSUMED_ZONE) {
        Zone::Isolated => model.zone_isolated,
        Zone::Segmented => model.zone_segmented,
        Zone::Flat => model.zone_flat,
        Zone::Internet => model.zone_internet,
    };
    let local = local.max(physical);
    match vector {
        Vector::Physical => physical,
        Vector::Local => local,
        Vector::Adjacent => (model.adjacent_share * zone.min(model.adjacent_zone_most) / 10_000).max(local),
        Vector::Network => zone.max(local),
    }
}

/// Zone of a device whose zone nobody stated.
pub(super) const ASSUMED_ZONE: Zone = Zone::Flat;
/// Place of a device whose place nobody stated.
pub(super) const ASSUMED_PLACE: Place = Place::ClinicalArea;

/// Threat T of an exposure, 0 to 1.
fn threat(exposure: &Exposure, model: &Model) -> f64 {
    let epss = match exposure.epss_millionths {
        Some(millionths) => f64::from(millionths.min(1_000_000)) / 1_000_000.0,
        None => f64::from(model.epss_assumed) / 10_000.0,
    };
    let mut least = 0;
    if exposure.known_exploited {
        least = model.known_exploited_least;
    }
    if exposure.known_exploited && exposure.ransomware {
        least = least.max(model.ransomware_least);
    }
    epss.max(f64::from(least) / 10_000.0)
}

fn of_probability(p: f64, model: &Model) -> u32 {
    let most = f64::from(model.probability_most.min(9999)) / 10_000.0;
    let p = p.clamp(0.0, most);
    micro(-libm::log1p(-p))
}

/// Rounds nepers to whole micro-nepers. At most -ln(0.0001) = 9.2 nepers come here.
#[expect(clippy::cast_possible_truncation, reason = "between 0 and 9.3 million by the clamp before it")]
#[expect(clippy::cast_sign_loss, reason = "never negative: p is clamped to 0..1")]
fn micro(nepers: f64) -> u32 {
    libm::round(nepers * 1_000_000.0) as u32
}

fn posture<'a>(posture: &'a Posture, scale: &impl Scale, now: Timestamp, add: &mut impl FnMut(Part<'a>)) {
    let model = scale.model();
    let on_disk = posture.patient_data_at_rest == Answer::Yes;
    let disk = if on_disk { model.disk_unencrypted_patient_data } else { model.disk_unencrypted };
    // A known password and none at all are one open door: it counts once.
    let empty_password = match posture.default_credentials {
        Answer::Yes => Answer::No,
        Answer::No | Answer::Unknown => posture.empty_password,
    };
    let questions = [
        (posture.default_credentials, Cause::DefaultCredentials, model.default_credentials),
        (empty_password, Cause::EmptyPassword, model.default_credentials),
        (posture.cleartext_service, Cause::CleartextService, model.cleartext_service),
        (posture.secure_boot_off, Cause::SecureBootOff, model.secure_boot_off),
        (posture.disk_unencrypted, Cause::DiskUnencrypted(on_disk), disk),
        (posture.debug_port, Cause::DebugPort, model.debug_port),
        (posture.measured_boot_mismatch, Cause::MeasuredBootMismatch, model.measured_boot_mismatch),
    ];
    for (answer, cause, p) in questions {
        match answer {
            Answer::Yes => add(Part { cause, hazard: scale.hazard(p) }),
            Answer::No | Answer::Unknown => {}
        }
    }
    if let OsSupport::Until { at } | OsSupport::Ended { at } = posture.os_support
        && now >= at
    {
        let years = full_periods(at, now, 365);
        let p = model.os_ended.saturating_add(model.os_ended_per_year.saturating_mul(years));
        let p = p.min(model.os_ended_most.max(model.os_ended));
        add(Part { cause: Cause::OsEnded(at), hazard: scale.hazard(p) });
    }
    match posture.key_protection {
        KeyProtection::File => {
            add(Part { cause: Cause::KeyInFile, hazard: scale.hazard(model.key_in_file) });
        }
        KeyProtection::Unknown | KeyProtection::Pkcs11 | KeyProtection::Tpm => {}
    }
    let mut services: Vec<&str> = posture.open_services.iter().flatten().map(|name| name.as_str()).collect();
    services.sort_unstable();
    services.dedup();
    if !services.is_empty() {
        let hazard = scale.hazard(model.open_service);
        services.into_iter().for_each(|name| add(Part { cause: Cause::OpenService(name), hazard }));
    }
}

fn freshness<'a>(fresh: &'a Freshness, scale: &impl Scale, now: Timestamp, add: &mut impl FnMut(Part<'a>)) {
    let model = scale.model();
    let mut add = |cause, p| add(Part { cause, hazard: scale.hazard(p) });
    if let Some(at) = fresh.last_seen {
        if older_than(at, now, model.silent_long_days) {
            add(Cause::Silent(at), model.silent_long.max(model.silent));
        } else if older_than(at, now, model.silent_days) {
            add(Cause::Silent(at), model.silent);
        }
    }
    if let ReleaseAge::Behind { newest, since, counter: _ } = &fresh.release {
        let periods = full_periods(*since, now, model.behind_period_days);
        add(
            Cause::Behind(newest, *since),
            model.behind_per_period.saturating_mul(periods).min(model.behind_most),
        );
    }
    if let Some(at) = fresh.update_failed {
        add(Cause::UpdateFailed(at), model.update_failed);
    }
    if let Some(at) = fresh.rolled_back {
        add(Cause::RolledBack(at), model.rolled_back);
    }
    if let Some(at) = fresh.feed_updated
        && older_than(at, now, model.feed_stale_days)
    {
        add(Cause::FeedStale(at), model.feed_stale);
    }
}

/// The kind of finding that a doubt about an identity is.
const DOUBT_KIND: &str = "clone";

/// Findings, and the doubt about an identity: it weighs until a person clears it, and of it and the findings about the
/// same only the weightiest counts.
fn findings<'a>(
    doubted: Option<Timestamp>,
    findings: &'a [Finding],
    (scale, now): (&impl Scale, Timestamp),
    add: &mut impl FnMut(Part<'a>),
) {
    let model = scale.model();
    let mut kinds: BTreeMap<&str, Part<'a>> = BTreeMap::new();
    if let Some(since) = doubted {
        let hazard = scale.hazard(model.identity_doubted);
        kinds.insert(DOUBT_KIND, Part { cause: Cause::IdentityDoubted(since), hazard });
    }
    for finding in findings {
        let part = Part { cause: Cause::Finding(finding), hazard: of_finding(finding, model, now) };
        kinds
            .entry(&finding.kind)
            .and_modify(|kept| {
                if heavier(&part, kept) {
                    *kept = part;
                }
            })
            .or_insert(part);
    }
    kinds.into_values().for_each(add);
}

/// Whether `part` replaces `kept` of the same kind: more hazard, else the smaller identity.
fn heavier(part: &Part<'_>, kept: &Part<'_>) -> bool {
    part.hazard > kept.hazard || (part.hazard == kept.hazard && part.cause.id() < kept.cause.id())
}

/// Hazard of a finding: its severity's probability, halved every half-life.
fn of_finding(finding: &Finding, model: &Model, now: Timestamp) -> u32 {
    let fresh = match finding.severity {
        FindingSeverity::Low => model.finding_low,
        FindingSeverity::Medium => model.finding_medium,
        FindingSeverity::High => model.finding_high,
        FindingSeverity::Critical => model.finding_critical,
    };
    let age_s = now.seconds_since(finding.at).clamp(0, i64::from(u32::MAX));
    let half_life_s = f64::from(model.finding_half_life_days.max(1)) * 86_400.0;
    let age_s = f64::from(u32::try_from(age_s).unwrap_or(u32::MAX));
    of_probability(f64::from(fresh) / 10_000.0 * libm::exp2(-age_s / half_life_s), model)
}

fn exposures<'a>(given: &'a [Exposure], reach: &Reach, model: &Model, add: &mut impl FnMut(Part<'a>)) {
    let share = |vector| reach_share(vector, reach, model);
    let [physical, local] = [share(Vector::Physical), share(Vector::Local)];
    let [adjacent, network] = [share(Vector::Adjacent), share(Vector::Network)];
    let weighed = |exposure: &'a Exposure| {
        let reach = match exposure.vector {
            Vector::Physical => physical,
            Vector::Local => local,
            Vector::Adjacent => adjacent,
            Vector::Network => network,
        };
        (exposure, weigh(exposure, reach, model))
    };
    let part = |(exposure, hazard): (&'a Exposure, u32)| Part { cause: Cause::Exposure(exposure), hazard };
    // As a matcher lists them, by name and none twice, there is nothing to choose between.
    let rises = |a: &Exposure, b: &Exposure| {
        a.id.cmp(&b.id).then_with(|| a.source_name().cmp(b.source_name())).is_lt()
    };
    if given.windows(2).all(|pair| matches!(pair, [a, b] if rises(a, b))) {
        given.iter().for_each(|exposure| add(part(weighed(exposure))));
        return;
    }
    let mut all: Vec<(&Exposure, u32)> = given.iter().map(weighed).collect();
    let key = |exposure: &'a Exposure| (exposure.id.as_str(), exposure.source_name());
    // Of equal keys the heaviest stands first and is the one that stays; of equal ones that without a remedy.
    all.sort_by(|(a, a_weighs), (b, b_weighs)| {
        let heavier = b_weighs.cmp(a_weighs).then(a.fixed_in.is_some().cmp(&b.fixed_in.is_some()));
        key(a).cmp(&key(b)).then(heavier).then_with(|| a.cmp(b))
    });
    all.dedup_by(|(later, _), (kept, _)| key(later) == key(kept));
    all.into_iter().for_each(|one| add(part(one)));
}

fn older_than(at: Timestamp, now: Timestamp, days: u32) -> bool {
    now.seconds_since(at) > i64::from(days) * DAY_S
}

/// Full periods of `days` between two times; 0 if the first is later.
fn full_periods(since: Timestamp, now: Timestamp, days: u32) -> u32 {
    let periods = now.seconds_since(since).max(0) / (i64::from(days.max(1)) * DAY_S);
    u32::try_from(periods).unwrap_or(u32::MAX)
}
