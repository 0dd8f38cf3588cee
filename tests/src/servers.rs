//! Several servers on one PostgreSQL under load, while one after another is killed: what was acknowledged stays, once.
//!
//! Three server processes share store, folder and keys. Light devices check in and hand in numbered records over mutual
//! TLS, each to whichever server answers; some of them take part in a rollout. Every ten seconds a server is killed and
//! started again, at the end the database itself. Then the store is read whole and compared with what the devices were
//! told. Read next: [`device`] for what a device does, [`verdict`] for what must hold.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use cordon_proto::enrol::EnrolmentString;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::command::Folder;
use crate::hospital::{Hospital, Place, Release, Server, Who};
use crate::light::{Light, hardware};
use crate::postgres::Cluster;
use crate::soak::{Outcome, Rounds};

pub mod device;
pub mod verdict;

use self::device::{Account, Doors};
use self::verdict::Verdict;

/// Servers on the one database.
const SERVERS: usize = 3;
/// How often one is killed.
const KILL_EVERY: Duration = Duration::from_secs(10);
/// How long a killed one stays away.
const DOWN: Duration = Duration::from_secs(2);
/// How long devices go on after the database came back.
const AFTERMATH: Duration = Duration::from_secs(20);
/// Enrolments under way at once.
const ENROLLING: usize = 16;
/// How often a device asks to be enrolled.
const ENROL_TRIES: u32 = 10;
/// Waves of the rollout.
const WAVES: usize = 6;
/// Devices of a wave.
const WAVE: usize = 40;
/// The rollout.
pub const ROLLOUT: &str = "bench-200";
const MAKER: &str = "Cordon";
const MODEL: &str = "Bench-PC";

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Devices.
    pub devices: usize,
    /// How long servers are killed.
    pub under_fire: Duration,
    /// Records that each device claims beyond what was acknowledged: what the verdict must catch.
    pub claimed: u64,
}

/// Devices of a round.
const DEVICES: usize = 2000;
/// How long servers are killed in a round.
const ROUND: Duration = Duration::from_secs(120);

/// The rounds of `soak servers`.
#[derive(Debug, Default)]
pub struct UnderFire;

impl Rounds for UnderFire {
    fn title(&self) -> &'static str {
        "Three servers on one PostgreSQL, one of them killed every ten seconds"
    }

    fn play(&mut self, _: u64) -> anyhow::Result<Outcome> {
        let verdict = play(Scale { devices: DEVICES, under_fire: ROUND, claimed: 0 })?;
        println!("{verdict}");
        let fault = verdict.judge().err().map(|error| format!("{error:#}"));
        Ok(Outcome { counts: verdict.counts(), fault })
    }

    fn control(&mut self, _: u64) -> anyhow::Result<String> {
        let verdict = play(Scale { devices: 2 * WAVES, under_fire: KILL_EVERY, claimed: 1 })?;
        let caught = verdict.judge().err().context("records that no server was given were not missed")?;
        Ok(format!("{caught:#}, where each device claimed one record more than was acknowledged"))
    }
}

fn play(scale: Scale) -> anyhow::Result<Verdict> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = Folder::open(None)?;
    runtime.block_on(run(folder.path(), scale))
}

/// Runs it in an empty folder and says what was found.
pub async fn run(folder: &Path, scale: Scale) -> anyhow::Result<Verdict> {
    // A folder of its own: the database's user has to pass.
    let home = tempfile::Builder::new().prefix("cordon-pg-").tempdir()?;
    let mut cluster = Cluster::started(home.path())?.context("PostgreSQL: apt-get install postgresql-15")?;
    let store = format!("postgres:{}", cluster.url());
    let sim = std::env::current_exe()?;
    let settings = [
        format!("store=\"{store}\""),
        "device.requests=10000".to_owned(),
        "device.requests_per_minute=10000".to_owned(),
        "enrolment.refusals=1000".to_owned(),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mut hospital = Hospital::open(&sim, folder, &settings).await?;
    let mut others: Vec<Server> =
        (2..=SERVERS).map(|number| Server::new(&sim, folder, &format!("server-{number}"))).collect();
    for other in &mut others {
        other.start(&settings).await?;
    }
    let ports = std::iter::once(hospital.ready()).chain(others.iter().map(Server::ready));
    let doors: Doors = ports.map(|ready| ready.device.port()).collect();
    let devices = enrol(&hospital, folder, scale.devices).await?;
    begin_rollout(&hospital, folder, &devices).await?;
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for (number, device) in devices.into_iter().enumerate() {
        tasks.spawn(device::live(device, u64::try_from(number)?, doors.clone(), stopped.clone()));
    }
    let kills = under_fire(&mut hospital, &mut others, &settings, scale.under_fire).await?;
    cluster.restart()?;
    sleep(AFTERMATH).await;
    stop.send_replace(true);
    let mut account = Account::default();
    while let Some(done) = tasks.join_next().await {
        account.add(done?);
    }
    for other in &mut others {
        other.stop().await?;
    }
    hospital.stop().await?;
    account.acknowledged.values_mut().for_each(|last| *last += scale.claimed);
    verdict::of(&store, account, kills).await
}

/// Kills one server after the other, and starts each again.
async fn under_fire(
    hospital: &mut Hospital,
    others: &mut [Server],
    settings: &[&str],
    time: Duration,
) -> anyhow::Result<usize> {
    let (begun, mut kills) = (Instant::now(), 0);
    let mut next = begun + KILL_EVERY;
    while next <= begun + time {
        sleep_until(next).await;
        let victim = kills % SERVERS;
        match victim.checked_sub(1).and_then(|place| others.get_mut(place)) {
            None => hospital.kill(),
            Some(other) => other.kill(),
        }
        sleep(DOWN).await;
        match victim.checked_sub(1).and_then(|place| others.get_mut(place)) {
            None => hospital.start(settings).await?,
            Some(other) => other.start(settings).await?,
        }
        kills += 1;
        next += KILL_EVERY;
    }
    Ok(kills)
}

/// Enrols all devices with one token, at the first server.
async fn enrol(hospital: &Hospital, folder: &Path, count: usize) -> anyhow::Result<Vec<Light>> {
    let place = Place { site: "Soak", ward: "Soak", kind: "workstation" };
    let line = hospital.enrolment(MODEL, &place, Who::Count(count)).await?;
    line.parse::<EnrolmentString>().context("not an enrolment string")?;
    let (line, home) = (Arc::new(line), Arc::new(folder.join("devices")));
    let turns = Arc::new(Semaphore::new(ENROLLING));
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let (line, home, turns) = (line.clone(), home.clone(), turns.clone());
        tasks.spawn(async move {
            let _turn = turns.acquire_owned().await?;
            enrol_one(&home, &line, &format!("SOAK-{number:05}")).await
        });
    }
    let mut devices = Vec::new();
    while let Some(enrolled) = tasks.join_next().await {
        devices.push(enrolled??);
    }
    devices.sort_by(|one, other| one.hardware.serial.cmp(&other.hardware.serial));
    ensure!(devices.len() == count, "not all devices enrolled");
    Ok(devices)
}

/// As a device does: asks again with the same key when the answer did not come.
async fn enrol_one(home: &Path, line: &str, serial: &str) -> anyhow::Result<Light> {
    for _ in 1..ENROL_TRIES {
        if let Ok(enrolled) = Light::enrol(home, line, hardware(MAKER, MODEL, serial)).await {
            return Ok(enrolled);
        }
        sleep(DOWN).await;
    }
    Ok(Light::enrol(home, line, hardware(MAKER, MODEL, serial)).await?)
}

/// A signed order for each wave, and the rollout over them.
async fn begin_rollout(hospital: &Hospital, folder: &Path, devices: &[Light]) -> anyhow::Result<()> {
    hospital.open_maker("cordon", &[MODEL]).await?;
    let image = folder.join("bench.img");
    std::fs::write(&image, vec![0x5a; 4096])?;
    let release = Release {
        repository: "cordon",
        name: device::RELEASE,
        model: MODEL,
        revision: "A",
        counter: device::COUNTER,
        interlock: "none",
        image: &image,
    };
    hospital.release(&release).await?;
    let mut lists = Vec::new();
    let wave = WAVE.min(devices.len() / WAVES);
    for (number, wave) in devices.chunks(wave).take(WAVES).enumerate() {
        let lines: Vec<String> =
            wave.iter().map(|device| format!("{MAKER}\t{MODEL}\t{}\n", device.hardware.serial)).collect();
        let list = folder.join(format!("wave-{}.tsv", number + 1));
        std::fs::write(&list, lines.concat())?;
        lists.push(list);
    }
    hospital.order(ROLLOUT, &release, &lists).await?;
    let waves: Vec<String> = (1..)
        .zip(&lists)
        .flat_map(|(number, list)| {
            ["--wave".to_owned(), format!("wave-{number}={ROLLOUT}-{number}={}", list.display())]
        })
        .collect();
    let head = ["rollouts", "create", "--id", ROLLOUT, "--title", "Bench-PC 2.0.0", "--soak-s", "0"];
    let waves: Vec<&str> = waves.iter().map(String::as_str).collect();
    hospital.ctl(&[head.as_slice(), &["--in-flight", "15"], &waves].concat()).await?;
    Ok(())
}
