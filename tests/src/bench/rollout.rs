//! `bench rollout`: what a bad release reaches before the rollout stops itself, and what the server's turn costs.
//!
//! The fleet is the wards': the server's own application and jobs over redb, devices with identities, the shipped decisions
//! and signed receipts, time stepped. There is no peer: no tool that we know counts what its own stop let through, so the
//! figures stand alone, and what is promised is asserted. *Bad*: nobody beyond the first wave and the places in flight has
//! started the new image, then or later. *Mixed*: failing and silent devices stop the first wave, unreached ones do not.
//! *Good*: all waves pass; the figure is the CPU of a turn of the rollouts' job. Read next: `cordon_sim::wards`.

use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use cordon_server::store::{Key, Kind};
use cordon_server_core::rollout::{Policy, Rollout, Size, State};

use crate::wards::owner::ordered;
use crate::wards::seat::{Place, Seat};
use crate::wards::unit::Nature;
use crate::wards::{ORDER, ROLLOUT, Wards, all, name};

/// The part of the golden ratio that spreads natures evenly over any stretch of the fleet.
const GOLDEN: f64 = 0.618_033_988_749_894_9;
/// Seconds of a turn.
const TURN_S: i64 = 30;
/// Turns after which a rollout that has not ended is stuck.
const TURNS: u32 = 6000;
/// Turns in which a stopped rollout is watched.
const WATCHED: u32 = 120;
/// Places in flight of the good release.
const GOOD_PLACES: u32 = 200;

/// What is played. Without any share: all of a bad release, a mixed fleet and a good release.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Devices of `rollout`.
    #[arg(long, default_value_t = 10_000)]
    pub devices: u32,
    /// Part of the devices on which the image is not healthy.
    #[arg(long, value_name = "SHARE")]
    pub bad: Option<f64>,
    /// Part that goes back for reasons of its own.
    #[arg(long, value_name = "SHARE")]
    pub failing: Option<f64>,
    /// Part that never answers after the reboot.
    #[arg(long, value_name = "SHARE")]
    pub silent: Option<f64>,
    /// Part that nobody reaches.
    #[arg(long, value_name = "SHARE")]
    pub unreached: Option<f64>,
    /// Failures above which it stops, in thousandths.
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
}

/// One fleet and its rollout.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// Devices.
    pub devices: u32,
    /// Devices of a hundred in the first wave.
    pub first: u32,
    /// Shares on which the image is bad, that fail, that fall silent, that nobody reaches.
    pub shares: [f64; 4],
    /// Failures above which it stops, in thousandths.
    pub limit: u32,
    /// Places in flight.
    pub places: u32,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Came {
    /// Why it halted, and in which wave, from 0.
    pub halted: Option<(usize, String)>,
    /// Devices that have started the new image.
    pub touched: usize,
    /// Those of them that are not of the first wave.
    pub beyond: usize,
    /// Devices of the first wave, and how many of them could be reached.
    pub first: (usize, usize),
    /// Devices that run the new image for good.
    pub running: usize,
    /// CPU of each turn of the rollouts' job.
    pub ticks: Vec<Duration>,
    /// Bytes of the rollout, of its list, and of all devices' progress.
    pub bytes: [usize; 3],
    /// Seconds of the rollout, by the devices' clock.
    pub took_s: i64,
}

/// Plays what was asked for.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let share = |share: Option<f64>| share.unwrap_or_default();
    let shares = [options.bad, options.failing, options.silent, options.unreached];
    let bare = Scene {
        devices: options.devices,
        first: 1,
        shares: shares.map(share),
        limit: options.limit,
        places: Policy::default().in_flight,
    };
    let scenes = match shares.iter().any(Option::is_some) {
        true => vec![("as asked", bare)],
        false => vec![
            ("bad", Scene { shares: [1.0, 0.0, 0.0, 0.0], ..bare }),
            ("mixed", Scene { shares: [0.0, 0.05, 0.03, 0.40], ..bare }),
            ("good", Scene { places: GOOD_PLACES, ..bare }),
        ],
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (title, scene) in scenes {
        println!("{title}: {scene:?}{}", if cfg!(debug_assertions) { " (a debug build)" } else { "" });
        let came = runtime.block_on(play(scene, "redb:rollout.redb"))?;
        came.print();
        came.check(scene)?;
        println!("  held");
    }
    Ok(())
}

/// Plays one scene over the store of this setting.
pub async fn play(scene: Scene, store: &str) -> anyhow::Result<Came> {
    let place = Place::lay(store).await?;
    let mut seat = place.open().await?;
    seat.measured = true;
    let mut wards = Wards::open(place, &seat, scene.natures()).await?;
    let begun = wards.now;
    let sizes = [Size::Percent(scene.first), Size::Percent(4), Size::Percent(20), Size::Rest];
    let policy = Policy {
        failure_limit_permille: scene.limit,
        in_flight: scene.places,
        soak_s: 600,
        ..Policy::default()
    };
    wards.order(&seat, &sizes, policy).await?;
    wards.run(&mut [&mut seat], (TURNS, TURN_S), |_, rollout| rollout.state != State::Running).await?;
    let took_s = wards.now.seconds_since(begun);
    let ticks = std::mem::take(&mut seat.ticks);
    wards
        .run(&mut [&mut seat], (WATCHED, TURN_S), |wards, _| {
            wards.now.seconds_since(begun) >= took_s + i64::from(WATCHED - 1) * TURN_S
        })
        .await?;
    came(&wards, &seat, (ticks, took_s)).await
}

async fn came(wards: &Wards, seat: &Seat, (ticks, took_s): (Vec<Duration>, i64)) -> anyhow::Result<Came> {
    let rollout = seat.rollout().context("no rollout")?;
    let first = rollout.waves.first().context("no wave")?;
    let in_first = wards.of_wave(first).filter(|unit| !unit.started.is_empty()).count();
    let reached = wards.of_wave(first).filter(|unit| unit.is_reached(wards.now)).count();
    let touched = wards.touched();
    Ok(Came {
        halted: halted(&rollout),
        touched,
        beyond: touched - in_first,
        first: (first.devices.len(), reached),
        running: wards.units.iter().filter(|unit| unit.runs(&ordered())).count(),
        ticks,
        bytes: bytes(seat).await?,
        took_s,
    })
}

fn halted(rollout: &Rollout) -> Option<(usize, String)> {
    match &rollout.state {
        State::Halted { wave, reason, .. } => Some((*wave, reason.clone())),
        _ => None,
    }
}

async fn bytes(seat: &Seat) -> anyhow::Result<[usize; 3]> {
    let store = &seat.operator.app.store;
    let rollout = store.get(Key::Rollout(name(ROLLOUT))).await?.context("no rollout")?.body.len();
    let list = store.get(Key::Order(name(ORDER))).await?.map_or(0, |row| row.body.len());
    let progress = all(&**store, Kind::Progress).await?.iter().map(|(_, body)| body.len()).sum();
    Ok([rollout, list, progress])
}

impl Scene {
    /// The natures of its devices, spread evenly, so that each wave has its share of each.
    pub fn natures(self) -> impl Iterator<Item = Nature> {
        let away = Nature::Away(cordon_proto::time::Timestamp(i64::MAX));
        let kinds = [Nature::Bad, Nature::Failing, Nature::Silent, away];
        (0..self.devices).map(move |number| {
            let mut place = (f64::from(number) * GOLDEN).fract();
            for (kind, share) in kinds.into_iter().zip(self.shares) {
                if place < share {
                    return kind;
                }
                place -= share;
            }
            Nature::Sound
        })
    }
}

impl Came {
    /// Holds it against what is promised.
    pub fn check(&self, scene: Scene) -> anyhow::Result<()> {
        let [bad, failing, silent, _] = scene.shares;
        let finished = self.failed_of_finished();
        if (bad + failing + silent) * 1000.0 <= f64::from(scene.limit) {
            ensure!(self.halted.is_none(), "it halted without a failure: {:?}", self.halted);
            return Ok(());
        }
        let (wave, reason) = self.halted.as_ref().context("it did not halt")?;
        ensure!(*wave == 0, "it halted in wave {}", wave + 1);
        ensure!(self.beyond == 0, "{} devices beyond the first wave were touched", self.beyond);
        let (failed, finished) = finished.with_context(|| format!("no figures in `{reason}`"))?;
        let places = usize::try_from(scene.places)?;
        ensure!(self.touched <= finished + places, "{} devices were touched", self.touched);
        ensure!(
            failed <= self.touched && finished <= self.touched && finished <= self.first.1,
            "unreached devices count in `{reason}`: {self:?}"
        );
        Ok(())
    }

    /// The figures in the sentence of the halt.
    fn failed_of_finished(&self) -> Option<(usize, usize)> {
        let (_, reason) = self.halted.as_ref()?;
        let mut numbers = reason.split(' ').filter_map(|word| word.parse().ok());
        Some((numbers.next()?, numbers.next()?))
    }

    fn print(&self) {
        match &self.halted {
            Some((wave, reason)) => println!("  halted in wave {}: {reason}", wave + 1),
            None => println!("  not halted; {} devices run the new image", self.running),
        }
        println!(
            "  touched {} devices, {} of them beyond the first wave of {} ({} reached), after {} s",
            self.touched, self.beyond, self.first.0, self.first.1, self.took_s
        );
        let ms = |part: usize| quantile(&self.ticks, part).as_secs_f64() * 1e3;
        println!(
            "  CPU of a turn: p50 {:.2} ms, p99 {:.2} ms, of {} turns",
            ms(50),
            ms(99),
            self.ticks.len()
        );
        let [rollout, list, progress] = self.bytes;
        println!("  documents: rollout {rollout} B, list {list} B, progress {progress} B in all");
    }
}

/// The value that so many of a hundred do not exceed.
fn quantile(values: &[Duration], part: usize) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let place = sorted.len().saturating_mul(part) / 100;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}
