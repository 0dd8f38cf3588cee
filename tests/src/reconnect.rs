//! A fleet comes back at once: every device of a hospital reconnects after an outage, against one server.
//!
//! Simulated devices in bounded loops: each makes a full mutual-TLS connection, checks in, and comes again as long as it
//! is told to wait or is not answered, no sooner than it is told. First the whole fleet in as many loops as one server
//! can serve within the bar; then a part of it in more loops than the server takes connections, so that its admission
//! control has to choose. It must hold: everybody is served, nobody needs many tries, and those of the first storm are
//! answered quickly. The control is a device that no table knows: it must be found to starve. Read next:
//! [`crate::caller`].

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cordon_proto::wire;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::bench::footprint::Footprint;
use crate::bench::ingest::p99_ms;
use crate::caller::{Answer, Population, Resident, ask};
use crate::command::Folder;
use crate::hospital::Hospital;
use crate::light::{hardware, says};
use crate::soak::{Outcome, Rounds};

/// Loops of the whole fleet: what one server on this machine serves within the bar while its callers share the machine.
const LOOPS: usize = 1000;
/// Loops of the overload.
const CROWD: usize = 6000;
/// Connections that the server takes at once.
const CONNECTIONS: usize = 4096;
/// The part of the fleet that comes back in the overload.
const PART: usize = 5;
/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Tries after which a device starves.
const TRIES: u32 = 30;
/// Milliseconds that those who are let in wait at most, 99 of a hundred.
const BAR_P99_MS: f64 = 2000.0;
/// Devices of the control.
const FEW: usize = 200;
const MODEL: &str = "Bench-PC";

/// The rounds of `soak reconnect`.
#[derive(Debug)]
pub struct Reconnect {
    /// Devices that come back in one round.
    pub devices: usize,
}

/// What came of one storm.
#[derive(Debug, Default)]
struct Storm {
    served: usize,
    starved: Vec<String>,
    told_to_wait: u64,
    unanswered: u64,
    most_tries: u32,
    answered_in: Vec<Duration>,
    whole: Duration,
    server_rss_kib: u64,
    server_ticks: u64,
}

impl Rounds for Reconnect {
    fn title(&self) -> &'static str {
        "a fleet reconnects at once"
    }

    fn play(&mut self, seed: u64) -> anyhow::Result<Outcome> {
        let mut fleet = run(Scale { devices: self.devices, loops: LOOPS, stranger: false }, seed)?;
        let p99_ms = p99_ms(&mut fleet.answered_in);
        println!("{}", fleet.told(self.devices, LOOPS));
        let devices = (self.devices / PART).max(1);
        let mut crowd = run(Scale { devices, loops: CROWD, stranger: false }, seed)?;
        crowd.answered_in.sort_unstable();
        println!("{}", crowd.told(devices, CROWD));
        let starved = fleet.starved.len() + crowd.starved.len();
        let fault = (starved > 0).then(|| format!("{starved} devices were never served")).or_else(|| {
            (p99_ms > BAR_P99_MS).then(|| format!("p99 {p99_ms:.0} ms, at most {BAR_P99_MS} ms"))
        });
        let count = |part: fn(&Storm) -> u64| part(&fleet) + part(&crowd);
        let counts = vec![
            ("devices served", u64::try_from(fleet.served + crowd.served)?),
            ("devices that starved", u64::try_from(starved)?),
            ("tries told to wait (503, 429)", count(|storm| storm.told_to_wait)),
            ("tries unanswered", count(|storm| storm.unanswered)),
        ];
        Ok(Outcome { counts, fault })
    }

    fn control(&mut self, seed: u64) -> anyhow::Result<String> {
        let storm = run(Scale { devices: FEW, loops: LOOPS, stranger: true }, seed)?;
        let caught = storm.starved == ["STRANGER"] && storm.served == FEW;
        anyhow::ensure!(caught, "a device without an identity was not found to starve: {storm:?}");
        Ok(format!("{FEW} devices and one that no table knows: it alone was never served"))
    }
}

impl Storm {
    /// In words; the answers' times must be sorted.
    fn told(&self, devices: usize, loops: usize) -> String {
        let place = self.answered_in.len().saturating_mul(99) / 100;
        format!(
            "{devices} devices in {loops} loops at {CONNECTIONS} connections: {} served in {:.0} s ({:.0} a second), \
             p99 {:.0} ms, longest {:.0} ms; {} tries told to wait, {} unanswered, at most {} tries a device; \
             server {} MiB, {:.0} µs of CPU a device",
            self.served,
            self.whole.as_secs_f64(),
            self.served as f64 / self.whole.as_secs_f64().max(0.001),
            self.answered_in.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e3),
            self.answered_in.last().map_or(0.0, |longest| longest.as_secs_f64() * 1e3),
            self.told_to_wait,
            self.unanswered,
            self.most_tries,
            self.server_rss_kib / 1024,
            self.server_ticks as f64 * 10_000.0 / self.served.max(1) as f64,
        )
    }
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
struct Scale {
    devices: usize,
    loops: usize,
    /// Whether one more comes that no table knows.
    stranger: bool,
}

fn run(scale: Scale, seed: u64) -> anyhow::Result<Storm> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(blow(scale, seed))
}

async fn blow(scale: Scale, seed: u64) -> anyhow::Result<Storm> {
    let folder = Folder::open(None)?;
    let bound = format!("limits.connections={CONNECTIONS}");
    let settings = [bound.as_str()];
    let mut hospital = Hospital::open(&std::env::current_exe()?, folder.path(), &settings).await?;
    hospital.stop().await?;
    let laid = folder.path().join("server");
    let mut population = Population::settle(&laid, MODEL, scale.devices).await?;
    if scale.stranger {
        population.residents.push(population.stranger(&laid)?);
    }
    hospital.start(&settings).await?;
    let (address, pid) = (hospital.ready().device, hospital.ready().pid);
    let before = Footprint::of(pid)?.ticks;
    let weather = Arc::new(Weather {
        address,
        population,
        next: AtomicUsize::new(0),
        storm: Mutex::new(Storm::default()),
    });
    let (begun, mut tasks) = (Instant::now(), JoinSet::new());
    for number in 0..scale.loops.min(scale.devices + 1) {
        let chance = fastrand::Rng::with_seed(seed.wrapping_add(u64::try_from(number)?));
        tasks.spawn(come_back(weather.clone(), chance));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let after = Footprint::of(pid)?;
    hospital.stop().await?;
    let mut storm = std::mem::take(&mut *weather.storm());
    storm.whole = begun.elapsed();
    (storm.server_rss_kib, storm.server_ticks) = (after.rss_kib, after.ticks - before);
    Ok(storm)
}

struct Weather {
    address: SocketAddr,
    population: Population,
    next: AtomicUsize,
    storm: Mutex<Storm>,
}

impl Weather {
    fn storm(&self) -> std::sync::MutexGuard<'_, Storm> {
        self.storm.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One loop: the next device that nobody has brought back yet, until there is none.
async fn come_back(weather: Arc<Weather>, mut chance: fastrand::Rng) -> anyhow::Result<()> {
    while let Some(resident) = weather.population.residents.get(weather.next.fetch_add(1, Ordering::Relaxed))
    {
        let served = serve(&weather, resident, &mut chance).await?;
        let mut storm = weather.storm();
        match served {
            true => storm.served += 1,
            false => storm.starved.push(resident.serial.clone()),
        }
    }
    Ok(())
}

/// Brings one device back; whether it was served.
async fn serve(weather: &Weather, resident: &Resident, chance: &mut fastrand::Rng) -> anyhow::Result<bool> {
    let tls = weather.population.connector(Some(resident))?;
    let body = wire::write(&says(&hardware("Cordon", MODEL, &resident.serial)));
    let head = format!(
        "POST /v1/checkin HTTP/1.1\r\nHost: bench\r\nContent-Type: application/cbor\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), &body].concat();
    for tries in 1..=TRIES {
        let asked = Instant::now();
        let answer = timeout(PATIENCE, ask(weather.address, &tls, &request)).await;
        let pause_s = match answer {
            Ok(Ok(Answer { status: 200, .. })) => {
                let mut storm = weather.storm();
                storm.answered_in.push(asked.elapsed());
                storm.most_tries = storm.most_tries.max(tries);
                return Ok(true);
            }
            Ok(Ok(Answer { status: 429 | 503, retry_after_s })) => {
                weather.storm().told_to_wait += 1;
                retry_after_s.unwrap_or(1)
            }
            // Refused for good: no table knows it.
            Ok(Ok(Answer { .. })) => return Ok(false),
            Ok(Err(_)) | Err(_) => {
                weather.storm().unanswered += 1;
                // As the agent: longer with every failure, and never two devices in step.
                u64::from(tries.min(6))
            }
        };
        sleep(Duration::from_millis(pause_s * 1000 + chance.u64(0..1000))).await;
    }
    Ok(false)
}
