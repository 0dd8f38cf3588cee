//! `bench risk`: what it costs to score a whole fleet anew, beside the formulas that others publish.
//!
//! 100,000 made-up devices with 20 exposures each, one thread, CPU by the kernel's word. First the score alone, over facts in
//! memory: with exposures that no other device has, and with 500 sets of packages that devices share, each weighed once for
//! each reach (`risk::rescore`). Then the very path of the server over documents in its own store ([`hospital`]): finding each
//! device's set, gathering its facts, weighing, sharing out by kind. Devices of one image, model and release share one set
//! there, because they are exposed to the same; 500 images stand behind the 100,000. Last, what a change of a feed costs that
//! server, and its list of all vulnerabilities. No other program scores devices with
//! impact and reasons and can be run here, so no peer is measured: beside it stand two published formulas of others, written
//! down here and fed the same exposures: Dependency-Track's weighted count and grype's risk of a finding. They weigh less
//! (no posture, no freshness, no behaviour, no impact) and explain nothing. Read next: `cordon_server_core::risk::score`.

use std::hint::black_box;

use anyhow::ensure;
use cordon_server_core::risk::cases::{Chance, NOW, device, exposure};
use cordon_server_core::risk::facts::{Exposure, Facts};
use cordon_server_core::risk::model::RISK_V1;
use cordon_server_core::risk::rescore::{Rescoring, Shared as Set};
use cordon_server_core::risk::score::value;
use cordon_server_core::risk::{plan, score};

use self::hospital::Hospital;
use super::footprint::{Footprint, TICKS_PER_S};
use crate::command::Folder;

mod hospital;

/// Devices of the fleet, and exposures of each.
const DEVICES: usize = 100_000;
const EXPOSURES: u32 = 20;
/// Sets of packages of the fleet.
const SETS: usize = 500;
/// Passes over the fleet in one measurement: ticks are coarse.
const PASSES: u32 = 10;
/// Measurements; the best counts, the worst stands beside it.
const ROUNDS: usize = 3;
/// Devices of which the reasons and the steps are written too.
const EXPLAINED: usize = 10_000;
/// Milliseconds of CPU that a pass may take.
const BAR_MS: f64 = 100.0;
/// Milliseconds of CPU that a change of a feed may take.
const FEED_BAR_MS: f64 = 1000.0;
/// Rows of the feed that is brought.
const ROWS: usize = 60_000;

/// Runs all sides.
pub fn run() -> anyhow::Result<()> {
    let fleet = fleet();
    println!(
        "{DEVICES} devices, {EXPOSURES} exposures each, one thread{}",
        if cfg!(debug_assertions) { " (a debug build: no bar)" } else { "" }
    );
    println!("{:<64} {:>9} {:>9}", "", "best ms", "worst ms");
    line("cordon: every device with exposures of its own", PASSES, &fleet, |facts| {
        u64::from(value(facts, &RISK_V1, NOW).hundredths)
    })?;
    let shared = Shared::of(&fleet);
    shared.line("cordon: 500 sets of packages, each weighed once for each reach")?;
    let some = fleet.get(..EXPLAINED).unwrap_or(&fleet);
    line("cordon: 10,000 devices with reasons and next steps", 1, some, |facts| {
        let (score, steps) = (score(facts, &RISK_V1, NOW), plan(facts, &RISK_V1, NOW));
        (score.contributions.len() + steps.len()) as u64
    })?;
    line("formula of Dependency-Track (weighted count), no device, no reasons", PASSES, &fleet, |facts| {
        facts.exposures.iter().map(weighted_count).sum()
    })?;
    line("formula of grype (risk of each finding), no device, no reasons", PASSES, &fleet, |facts| {
        facts.exposures.iter().map(grype_risk).sum::<f64>().to_bits()
    })?;
    println!("no peer program was measured: none that scores devices with reasons runs offline");
    drop((fleet, shared));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(on_a_server())
}

/// The same on a server: its own path over its own devices.
async fn on_a_server() -> anyhow::Result<()> {
    let folder = Folder::open(None)?;
    let hospital = Hospital::open(folder.path(), DEVICES).await?;
    let exposures = hospital.exposures();
    ensure!(exposures == DEVICES * EXPOSURES as usize, "{exposures} exposures in all");
    let ours =
        measured("cordon-server: its whole fleet, from its own documents", PASSES, || hospital.pass())?;
    let stirred = hospital.stirred()?;
    println!("the same after every one of them said something new: {stirred:.0} ms CPU");
    let renewal = hospital.renew(ROWS).await?;
    println!(
        "a feed of {ROWS} rows held against {DEVICES} devices: {:.0} ms CPU, {:.0} MB more at the peak; the planes' threads \
         stood still for {:.1} ms at most",
        renewal.cpu_ms, renewal.more_mb, renewal.stall_ms
    );
    let [first, second, stall_ms] = hospital.survey().await?;
    println!(
        "the console's list of vulnerabilities after it, all scores with their reasons made anew: {first:.0} ms CPU, asked \
         again {second:.0} ms; the planes' threads stood still for {stall_ms:.1} ms at most"
    );
    println!("{ours:.1} ms CPU for the whole fleet on the server's path, at most {BAR_MS}");
    println!("{:.0} ms CPU for a change of a feed, at most {FEED_BAR_MS}", renewal.cpu_ms);
    if !cfg!(debug_assertions) {
        ensure!(ours <= BAR_MS && renewal.cpu_ms <= FEED_BAR_MS, "a bar was missed");
    }
    Ok(())
}

/// The fleet as its exposures are: those of a set of packages, which many devices have.
struct Shared {
    sets: Vec<Vec<Exposure>>,
    devices: Vec<(usize, Facts)>,
}

impl Shared {
    fn of(fleet: &[Facts]) -> Self {
        let sets = fleet.iter().take(SETS).map(|facts| facts.exposures.clone()).collect();
        let own = |facts: &Facts| Facts { exposures: Vec::new(), ..facts.clone() };
        Self { sets, devices: (0..SETS).cycle().zip(fleet.iter().map(own)).collect() }
    }

    /// One pass: every set weighed for each reach that occurs, then every device.
    fn pass(&self) -> u64 {
        let mut rescoring = Rescoring::new(&RISK_V1, NOW);
        let score = |(number, facts): &(usize, Facts)| {
            let shared = self.sets.get(*number).map(|set| Set { number: *number, exposures: set });
            u64::from(rescoring.value(facts, shared).hundredths)
        };
        self.devices.iter().map(score).sum()
    }

    fn line(&self, name: &str) -> anyhow::Result<f64> {
        measured(name, PASSES, || self.pass())
    }
}

/// Measures one side over a fleet and prints its line.
fn line(name: &str, passes: u32, fleet: &[Facts], of: impl Fn(&Facts) -> u64) -> anyhow::Result<f64> {
    measured(name, passes, || fleet.iter().map(|facts| of(black_box(facts))).fold(0_u64, u64::wrapping_add))
}

/// Measures one side and prints its line.
fn measured(name: &str, passes: u32, pass: impl Fn() -> u64) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let before = Footprint::of(std::process::id())?.ticks;
        for _ in 0..passes {
            black_box(pass());
        }
        let ticks = Footprint::of(std::process::id())?.ticks.saturating_sub(before);
        times.push(ticks as f64 * 1000.0 / TICKS_PER_S / f64::from(passes));
    }
    times.sort_by(f64::total_cmp);
    let (best, worst) =
        (times.first().copied().unwrap_or_default(), times.last().copied().unwrap_or_default());
    println!("{name:<64} {best:>9.1} {worst:>9.1}");
    Ok(best)
}

/// Devices by chance, with exposures as a matcher lists them: by name.
fn fleet() -> Vec<Facts> {
    let mut chance = Chance::new(100);
    let one = |number: usize| {
        let mut facts = device(&mut chance);
        let named = |place: u32| Exposure {
            id: format!("CVE-2026-{:05}", place as usize * 1000 + number % 1000),
            ..exposure(&mut chance)
        };
        facts.exposures = (0..EXPOSURES).map(named).collect();
        facts
    };
    (0..DEVICES).map(one).collect()
}

/// 10 x critical + 5 x high + 3 x medium + low + 5 x unassigned, as Dependency-Track counts.
fn weighted_count(exposure: &Exposure) -> u64 {
    match exposure.cvss.map(|cvss| cvss.tenths) {
        None => 5,
        Some(90..) => 10,
        Some(70..90) => 5,
        Some(40..70) => 3,
        Some(_) => 1,
    }
}

/// min(threat x severity x known exploited, 1) x 100, as grype 0.92 and later.
fn grype_risk(exposure: &Exposure) -> f64 {
    let epss = f64::from(exposure.epss_millionths.unwrap_or(0)) / 1e6;
    let (threat, listed) = match (exposure.known_exploited, exposure.ransomware) {
        (true, true) => (1.0, 1.1),
        (true, false) => (1.0, 1.05),
        (false, _) => (epss, 1.0),
    };
    let cvss = f64::from(exposure.cvss.map_or(50, |cvss| cvss.tenths)) / 100.0;
    let band = match weighted_count(exposure) {
        10 => 0.9,
        5 => 0.75,
        3 => 0.5,
        _ => 0.3,
    };
    let severity = f64::midpoint(band, cvss);
    (threat * severity * listed).min(1.0) * 100.0
}
