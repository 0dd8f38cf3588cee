//! Somebody swaps files between check and use: the stick's, the copies of them, the trusted metadata, the slot itself.
//!
//! Two games. In the first the real agent installs from a stick while a thread swaps the bundle's and the trusted files
//! as fast as it can; whatever is armed in the end must be signed. In the second the update machine drives real slots,
//! and the slot is swapped, linked or written once at any moment of the way: what was swapped before the last read-back
//! began is never armed. A swap behind the last read-back is nobody's to see before the boot; the trial's own hash is
//! there for it. Read next: `agent/core`'s update machine.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use cordon_agent::boot::REBOOT_STATUS;
use cordon_agent::slot::Slots;
use cordon_agent_core::interlock::Silence;
use cordon_agent_core::update::gate::Verdict;
use cordon_agent_core::update::{Effect, Event, FetchFault, Installed, Look, Record, Slot, State, step};
use cordon_proto::checkin::{Action, InterlockState};
use cordon_proto::ids::{Hardware, Sha256, Text};
use cordon_proto::time::{Millis, Timestamp};
use cordon_proto::update::decide::{Case, decide};
use cordon_proto::update::order::Order;
use cordon_proto::update::permit::Clock;
use cordon_proto::update::refusal::Power;
use cordon_proto::update::release::{Confirm, Image, InterlockClass, Needs, Recall, Release};
use cordon_proto::update::scope::Scope;
use cordon_proto::update::window::Window;
use fastrand::Rng;

use super::device::Control;
use super::judge;
use super::sparse::through_the_threads;
use super::stage::Stage;
use crate::soak::{Outcome, Rounds};

/// Tries of the second game in a round.
const TRIES: u64 = 500;
/// Lives of the agent in a round of the first game, and how long each may take.
const LIVES: u32 = 4;
const LIFE: Duration = Duration::from_millis(1500);
const LOOK: Duration = Duration::from_millis(5);
/// Bytes of the image on the stick of the first game.
const STICK_IMAGE_BYTES: usize = 1_000_003;
/// Bytes of the image of the second game.
const IMAGE_BYTES: usize = 64 * 1024;
const NOW: Timestamp = Timestamp(1_795_251_906);

/// All rounds of both games.
#[derive(Debug)]
pub struct Swaps {
    stage: Stage,
}

impl Swaps {
    /// Lays the stage. `sim` is this program.
    ///
    /// # Errors
    /// If it cannot be laid.
    pub fn new(sim: &Path) -> anyhow::Result<Self> {
        Ok(Self { stage: Stage::lay_with(sim, STICK_IMAGE_BYTES)? })
    }

    /// The first game: swaps made, and what was wrong.
    fn on_the_agent(&self, seed: u64) -> anyhow::Result<(u64, Option<String>)> {
        let mut chance = Rng::with_seed(seed);
        let folder = tempfile::Builder::new().prefix("cordon-swaps-").tempdir()?;
        let device =
            self.stage.device(&folder.path().join("device"), Control::File, folder.path().join("cmdline"));
        self.stage.copy(&device.home)?;
        let mut swaps = 0;
        for _ in 0..LIVES {
            device.power_on()?;
            let mut running = device.start(&[])?;
            let stop = AtomicBool::new(false);
            let seed = chance.u64(..);
            let (done, asked) = std::thread::scope(|threads| {
                let swapper = threads.spawn(|| self.swap(&device.home, seed, &stop));
                let mut left = LIFE;
                while !left.is_zero() && !matches!(running.ended(), Ok(Some(_)) | Err(_)) {
                    std::thread::sleep(LOOK);
                    left = left.saturating_sub(LOOK);
                }
                stop.store(true, Ordering::Relaxed);
                let done = swapper.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the swapper panicked")));
                let asked = running.ended().map(|status| status.and_then(|status| status.code()));
                (done, asked.is_ok_and(|code| code == Some(i32::from(REBOOT_STATUS))))
            });
            swaps += done?;
            running.kill()?;
            let said = running.said();
            if said.contains("panicked") {
                return Ok((swaps, Some(said)));
            }
            if let Some(armed) = device.boot_state()?.trial {
                let held = Sha256::of(&std::fs::read(device.slot(armed))?);
                if self.stage.image(held).is_err() {
                    return Ok((
                        swaps,
                        Some(format!("slot {armed} is armed with {held}, which nobody signed")),
                    ));
                }
            }
            if asked || judge::is_over(&device, self.stage.receipts) {
                break;
            }
        }
        Ok((swaps, None))
    }

    /// Swaps files of the stick and of the device, each for a moment, until told to stop.
    fn swap(&self, home: &Path, seed: u64, stop: &AtomicBool) -> anyhow::Result<u64> {
        let mut chance = Rng::with_seed(seed);
        let mut files = Vec::new();
        for folder in [self.stage.stick(), home.join("state/bundle"), home.join("state/tuf")] {
            walk(&folder, &mut files)?;
        }
        let mut swaps = 0;
        while !stop.load(Ordering::Relaxed) {
            let path = chance.choice(&files).context("a bundle has files")?;
            let Ok(good) = std::fs::read(path) else { continue };
            let beside = path.with_extension("swapped");
            let evil = match chance.u8(0..3) {
                0 => spoilt(&good, &mut chance),
                1 => std::fs::read(chance.choice(&files).context("a bundle has files")?).unwrap_or_default(),
                _ => good.iter().take(chance.usize(0..=good.len())).copied().collect(),
            };
            let aside = path.with_extension("aside");
            // The agent may have removed the file, or its folder, at any of these steps.
            if there(std::fs::write(&beside, &evil))? && there(std::fs::rename(path, &aside))? {
                let put = match chance.bool() {
                    true => std::fs::rename(&beside, path),
                    false => symlink(&beside, path),
                };
                std::thread::sleep(Duration::from_micros(chance.u64(0..3000)));
                let back = there(std::fs::rename(&aside, path))?;
                swaps += u64::from(there(put)? && back);
            }
            let _ = std::fs::remove_file(&beside);
        }
        Ok(swaps)
    }
}

fn spoilt(good: &[u8], chance: &mut Rng) -> Vec<u8> {
    let mut evil = good.to_vec();
    let at = chance.usize(0..evil.len().max(1));
    evil.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1);
    evil
}

/// Whether what was changed was still there to be changed, and its place free.
fn there(done: std::io::Result<()>) -> std::io::Result<bool> {
    match done {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) => Ok(false),
        done => done.map(|()| true),
    }
}

/// The files below a folder that another program works in.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() { walk(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// What became of one try of the second game.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Try {
    /// What was armed is signed.
    Signed,
    /// Nothing was armed.
    Nothing,
    /// The slot was swapped while it was read back for the last time, or behind that.
    TooLate,
    /// An unsigned image was armed although it was there before the last read-back began.
    Won,
}

/// One try of the second game. With `blind`, as the control, the read-backs are believed without reading.
///
/// # Errors
/// If it could not be played.
pub fn try_slot(seed: u64, blind: bool) -> anyhow::Result<Try> {
    let mut chance = Rng::with_seed(seed);
    let folder = tempfile::tempdir()?;
    let slot = folder.path().join("b");
    std::fs::write(folder.path().join("a"), b"the running image")?;
    let mut image = vec![0; IMAGE_BYTES];
    chance.fill(&mut image);
    let evil = spoilt(&image, &mut chance);
    // How many read-backs have begun; and how many had, when the swap was done.
    let (begun, swapped) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let mut own = chance.fork();
    let armed = std::thread::scope(|threads| {
        threads.spawn(|| {
            // Some swaps are late even where everything else is slow.
            let most = 2500_u64 << chance.u32(0..4);
            std::thread::sleep(Duration::from_micros(chance.u64(0..most)));
            if swap_slot(&slot, &evil, &mut chance).is_ok() {
                swapped.store(begun.load(Ordering::SeqCst), Ordering::SeqCst);
            }
        });
        Updater::new(folder.path(), &image)?.run((&begun, blind), &mut own)
    })?;
    let held = std::fs::read(&slot).unwrap_or_default();
    let seen_before = swapped.load(Ordering::SeqCst) < begun.load(Ordering::SeqCst);
    Ok(match armed {
        false => Try::Nothing,
        true if held == image => Try::Signed,
        true if seen_before => Try::Won,
        true => Try::TooLate,
    })
}

/// Puts something else where the slot is: another file, a link to one, other bytes, or all bytes but the first.
fn swap_slot(slot: &Path, evil: &[u8], chance: &mut Rng) -> anyhow::Result<()> {
    use std::os::unix::fs::FileExt;
    let beside = slot.with_extension("evil");
    match chance.u8(0..4) {
        0 => {
            std::fs::write(&beside, evil)?;
            std::fs::rename(&beside, slot)?;
        }
        1 => {
            std::fs::write(&beside, evil)?;
            std::fs::remove_file(slot)?;
            symlink(&beside, slot)?;
        }
        2 => std::fs::OpenOptions::new().write(true).open(slot)?.write_all_at(evil, 0)?,
        _ => std::fs::OpenOptions::new().write(true).open(slot)?.set_len(1)?,
    }
    Ok(())
}

/// The update machine over real slots, and nothing else of a device.
struct Updater<'i> {
    slots: Slots,
    image: &'i [u8],
    record: Record,
    order: Order,
    release: Release,
    hardware: Hardware,
    events: VecDeque<Event>,
    /// Looks that still find a patient.
    busy: u32,
}

impl<'i> Updater<'i> {
    fn new(folder: &Path, image: &'i [u8]) -> anyhow::Result<Self> {
        let text = Text::lossy;
        let hardware = Hardware {
            manufacturer: text("Halden"),
            model: text("VP-3"),
            revision: text("C"),
            serial: text("VP3-1"),
        };
        let (release, length) = ("vp-3/42".parse().context("a release")?, u64::try_from(image.len())?);
        let image_of = Image { release, length, sha256: Sha256::of(image) };
        let release = Release {
            image: image_of.clone(),
            model: text("VP-3"),
            hardware: vec![text("C")],
            counter: 42,
            floor: 42,
            min_from: 0,
            interlock: InterlockClass::Application,
            confirm: Confirm::Local,
            recall: Recall::None,
            needs: Needs::None,
            support: Default::default(),
            sbom: None,
            vex: None,
            mud: None,
            deltas: Vec::new(),
        };
        let order = Order {
            id: "0187".parse().context("a name")?,
            repository: "halden".parse().context("a name")?,
            image: image_of,
            scope: Scope::Match { model: text("VP-3"), hardware: text("C"), from_least: 0, from_most: 41 },
            issued: NOW.plus_seconds(-3600),
            not_before: NOW.plus_seconds(-1800),
            expires: NOW.plus_seconds(86_400),
            windows: vec![Window::ALWAYS],
            back: None,
            permit_s: None,
            reason: text("a test"),
        };
        let installed = Installed {
            release: None,
            counter: 41,
            sha256: Sha256([41; 32]),
            length: 17,
            slot: Slot::A,
            interlock: InterlockClass::Application,
        };
        let slots = Slots::new([folder.join("a"), folder.join("b")]);
        let record = Record::factory(installed);
        let events = VecDeque::new();
        Ok(Self { slots, image, record, order, release, hardware, events, busy: 0 })
    }

    /// Works until something is armed, or until nothing will be; says which.
    fn run(mut self, (begun, blind): (&AtomicU64, bool), chance: &mut Rng) -> anyhow::Result<bool> {
        self.busy = chance.u32(0..4);
        for turn in 0..60 {
            if self.events.is_empty() {
                if matches!(self.record.state, State::Waiting(_)) && self.busy > 0 {
                    std::thread::sleep(Duration::from_micros(chance.u64(0..600)));
                }
                let look = self.look();
                self.events.push_back(Event::Look(Box::new(look)));
            }
            let Some(event) = self.events.pop_front() else { continue };
            let monotonic = Millis(i64::from(turn) * 1000);
            let next = step(self.record.clone(), event, Clock { wall: NOW, monotonic });
            self.record = next.record;
            for effect in next.effects {
                if matches!(effect, Effect::Arm { .. }) {
                    return Ok(true);
                }
                self.act(effect, (begun, blind))?;
            }
        }
        Ok(false)
    }

    fn act(&mut self, effect: Effect, (begun, blind): (&AtomicU64, bool)) -> anyhow::Result<()> {
        match effect {
            Effect::Fetch { .. } => {
                let length = u64::try_from(self.image.len())?;
                let written = match self.slots.write(Slot::B, Slot::A, (length, 0)) {
                    Ok(writer) => through_the_threads(Box::new(writer), self.image)?,
                    Err(error) => Err(Some(error)),
                };
                self.events.push_back(match written {
                    Ok(()) => Event::Complete,
                    Err(error) => Event::Stopped(error.map_or(FetchFault::SlotFails, |error| error.fault())),
                });
            }
            Effect::HashSlot { slot, length } => {
                begun.fetch_add(1, Ordering::SeqCst);
                let hash = if blind { Ok(Sha256::of(self.image)) } else { self.slots.hash(slot, length) };
                self.events.push_back(hash.map_or(Event::HashFailed, Event::Hashed));
                let look = self.look();
                self.events.push_back(Event::Look(Box::new(look)));
            }
            Effect::WriteSlot { .. }
            | Effect::Arm { .. }
            | Effect::Disarm
            | Effect::Reboot
            | Effect::CheckHealth
            | Effect::Confirm { .. }
            | Effect::RollBack { .. }
            | Effect::EmitReceipt(_)
            | Effect::Forget => {}
        }
        Ok(())
    }

    fn look(&mut self) -> Look {
        let waits = matches!(self.record.state, State::Written(_) | State::Waiting(_));
        let interlock = match self.busy.checked_sub(u32::from(waits)) {
            Some(left) if waits => {
                self.busy = left;
                InterlockState::InUse
            }
            Some(_) | None => InterlockState::Standby,
        };
        let device = self.record.device(&self.hardware);
        let (order, release) = (Ok(self.order.clone()), Ok(self.release.clone()));
        let case = Case {
            id: &self.order.id,
            order: Some(&order),
            release: Some(&release),
            proof: None,
            device: &device,
        };
        let outcome = decide(&case, NOW);
        let verdict = Verdict { order: self.order.id.clone(), action: Action::Install, outcome };
        Look {
            verdict: Some(verdict),
            word: None,
            content_windows: None,
            zone_minutes: 0,
            power: Power::Mains,
            interlock,
            silence: Silence::default(),
            local_class: None,
            trial_s: 300,
            network_down: false,
        }
    }
}

/// So many tries of the second game: how many ended in each way.
///
/// # Errors
/// If one could not be played, or was won: by its seed.
pub fn tries(seed: u64, count: u64) -> anyhow::Result<[u64; 3]> {
    let (mut signed, mut nothing, mut late) = (0, 0, 0);
    for number in 0..count {
        let seed = seed.wrapping_add(number);
        match try_slot(seed, false)? {
            Try::Signed => signed += 1,
            Try::Nothing => nothing += 1,
            Try::TooLate => late += 1,
            Try::Won => anyhow::bail!("an unsigned image was armed: seed {seed}"),
        }
    }
    Ok([signed, nothing, late])
}

impl Rounds for Swaps {
    fn title(&self) -> &'static str {
        "files swapped between check and use"
    }

    fn play(&mut self, seed: u64) -> anyhow::Result<Outcome> {
        let (swaps, mut fault) = self.on_the_agent(seed)?;
        let [signed, nothing, late] = match tries(seed, TRIES) {
            Ok(tries) => tries,
            Err(error) => {
                fault = Some(format!("{error:#}"));
                [0; 3]
            }
        };
        let counts = vec![
            ("swaps of a bundle's and of trusted files under the agent", swaps),
            ("swaps of a slot", signed + nothing + late),
            ("of these, found out: nothing was armed", nothing),
            ("of these, mended: the signed image was armed", signed),
            ("of these, during or behind the last read-back", late),
            ("unsigned images that were armed", u64::from(fault.is_some())),
        ];
        Ok(Outcome { counts, fault })
    }

    fn control(&mut self, seed: u64) -> anyhow::Result<String> {
        for number in 0..200 {
            if try_slot(seed.wrapping_add(number), true)? == Try::Won {
                return Ok(format!("read-backs that are believed unread: won at try {}", number + 1));
            }
        }
        anyhow::bail!(
            "read-backs that are believed unread were never beaten in 200 tries: this shows nothing"
        )
    }
}
