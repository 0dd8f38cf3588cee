//! 100,000 devices in a server of this very process: what it costs that server to score them all anew, and to say after a
//! change of a feed how they stand to every weakness.
//!
//! The devices are documents in the server's store, as if they had enrolled: 500 images of forty packages, half of which have
//! a weakness, on devices of ten models. All are a release behind; each proved an update, one in twenty one that failed and one
//! in fifty a way back; one in ten has two findings. What is measured is the server's own: `appraisal::rescore`, which the record
//! of risk calls; the making of knowledge; and the console's list of vulnerabilities. Read next: `cordon_server::appraisal`.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use cordon_proto::ids::{DeviceId, Text};
use cordon_proto::inventory::{Inventory, Row, Section};
use cordon_proto::wire;
use cordon_server::appraisal::{Published, rescore};
use cordon_server::clock::Clock;
use cordon_server::config::Config;
use cordon_server::init;
use cordon_server::knowledge::Readiness;
use cordon_server::knowledge::import::Brought;
use cordon_server::people::Doer;
use cordon_server::serve::Server;
use cordon_server_core::admit::{Binding, Token, TokenOrder};
use cordon_server_core::audit::Actor;
use cordon_server_core::change::{Commit, Draft, Key};
use cordon_server_core::device::{Device, DeviceKind, Placement, Report, State};
use cordon_server_core::feeds::intake::Kind;
use cordon_server_core::risk::facts::{Place, Reach, Zone};
use tokio::time::{Instant, sleep};

use super::super::footprint::{Footprint, TICKS_PER_S};
use crate::browser::Browser;
use crate::light::{hardware, says};

mod life;

/// Distinct images, packages of each, and packages that have a weakness.
const IMAGES: usize = 500;
const PACKAGES: usize = 40;
const WEAK: usize = 20;
/// Packages of the whole world.
const WORLD: usize = 1000;
/// Devices of one commit.
const BATCH: usize = 80;

/// The server and its devices.
pub(super) struct Hospital {
    server: Server,
}

/// What a change of a feed cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Renewal {
    /// CPU of the whole process.
    pub(super) cpu_ms: f64,
    /// Megabytes beyond what was held before, at the peak.
    pub(super) more_mb: f64,
    /// The longest time for which the planes' threads did not come to a task that was due.
    pub(super) stall_ms: f64,
}

impl Hospital {
    /// A server with so many devices and one feed.
    pub(super) async fn open(folder: &Path, devices: usize) -> anyhow::Result<Self> {
        let options = init::Options {
            folder: folder.join("server"),
            admin_token_file: None,
            host: "127.0.0.1".to_owned(),
            example_keys: false,
            store: init::STORE.to_owned(),
            ca_key: None,
        };
        let clock = Clock::system();
        let laid = init::run(&options, clock.now()).await?;
        let planes = ["enrolment", "device", "operator"].map(|plane| format!("{plane}.listen=127.0.0.1:0"));
        let sets: Vec<String> = planes.into_iter().chain(["store=\"memory\"".to_owned()]).collect();
        let config = Config::load(&laid.config, &sets)?;
        let hospital = Self { server: Server::start(config, clock).await? };
        hospital.fill(devices).await?;
        hospital.renew(50_000).await?;
        Ok(hospital)
    }

    async fn fill(&self, devices: usize) -> anyhow::Result<()> {
        let app = &self.server.app;
        let images: Vec<Vec<u8>> = (0..IMAGES).map(image).collect();
        let numbers: Vec<usize> = (0..devices).collect();
        for some in numbers.chunks(BATCH) {
            let mut draft = Commit::draft(app.clock.now(), actor());
            for number in some {
                let device = device(*number, app.clock.now())?;
                let image = images.get(number % IMAGES).context("an image")?;
                // Devices first: an inventory is kept at its device.
                draft = draft.put(Key::Device(device.id), device.to_body());
                draft = draft.put(Key::Inventory(device.id), image.clone());
                draft = life::receipts(&device, *number, app.clock.now()).into_iter().fold(draft, put);
                draft = life::findings(device.id, *number, app.clock.now()).into_iter().fold(draft, put);
            }
            app.commit(draft).await?;
        }
        Ok(())
    }

    /// Brings Debian's data of so many rows, and waits until everything is held against it.
    pub(super) async fn renew(&self, rows: usize) -> anyhow::Result<Renewal> {
        let app = &self.server.app;
        let before = Footprint::of(std::process::id())?;
        let watch = Watch::begin();
        let incoming = app.knowledge.receive(1 << 26).await?;
        let incoming = incoming.write(table(rows).into()).await?;
        let stored = incoming.finish(None).await?;
        let brought = Brought {
            name: "debian".parse()?,
            kind: Kind::Debian,
            as_of: None,
            signature: None,
            confirmed: true,
        };
        let (actor, now) = (actor(), app.clock.now());
        app.knowledge.import(app, brought, stored, Doer { actor: &actor, now }).await?;
        while app.knowledge.matched().readiness != Readiness::Ready {
            sleep(Duration::from_millis(5)).await;
        }
        app.knowledge.bring_up_to_date(app).await.map_err(anyhow::Error::msg)?;
        let stall_ms = watch.end().await?;
        let after = Footprint::of(std::process::id())?;
        Ok(Renewal {
            cpu_ms: after.ticks.saturating_sub(before.ticks) as f64 * 1000.0 / TICKS_PER_S,
            more_mb: after.peak_kib.saturating_sub(before.rss_kib) as f64 / 1024.0,
            stall_ms,
        })
    }

    /// One pass of the server's own over all of its devices; gives the sum of the scores.
    pub(super) fn pass(&self) -> u64 {
        let app = &self.server.app;
        let published = Published {
            newest: life::newest(),
            orders: life::orders(),
            matched: app.knowledge.matched(),
            model: app.risk.model(),
        };
        let members = app.fleet.all();
        let mut sum = 0;
        rescore(&members, &published, app.clock.now(), |_, value, kinds| {
            black_box(kinds);
            sum += u64::from(value.hundredths);
        });
        sum
    }

    /// CPU in milliseconds of a pass after every device said something new, and nothing that was gathered of one holds any more.
    pub(super) fn stirred(&self) -> anyhow::Result<f64> {
        let app = &self.server.app;
        for member in app.fleet.all() {
            let news = member.report.as_deref();
            let news = news.map(|report| Report { boot: report.boot + 1, ..report.clone() });
            ensure!(
                app.fleet.heard(member.id(), news, None, app.clock.now()),
                "no news from {}",
                member.id()
            );
        }
        let before = Footprint::of(std::process::id())?.ticks;
        black_box(self.pass());
        Ok((Footprint::of(std::process::id())?.ticks - before) as f64 * 1000.0 / TICKS_PER_S)
    }

    /// Exposures of all devices together, so that nobody measures an empty fleet.
    #[must_use]
    pub(super) fn exposures(&self) -> usize {
        let matched = self.server.app.knowledge.matched();
        let members = self.server.app.fleet.all();
        members.iter().filter_map(|member| matched.exposed(member)).map(|set| set.exposures.len()).sum()
    }

    /// The console's list of vulnerabilities, asked for twice: CPU of each in milliseconds, and how long the planes' threads
    /// stood still.
    pub(super) async fn survey(&self) -> anyhow::Result<[f64; 3]> {
        let link = self.server.app.sign_in_link().context("no sign-in link")?;
        let browser = Browser::sign_in(self.server.ready.operator, &link).await?;
        let watch = Watch::begin();
        let mut cpu_ms = [0.0; 2];
        for cpu_ms in &mut cpu_ms {
            let before = Footprint::of(std::process::id())?.ticks;
            let page = browser.get("/vulnerabilities").await?;
            ensure!(page.status == 200 && page.text.contains("CVE-"), "the list answered {}", page.status);
            *cpu_ms = (Footprint::of(std::process::id())?.ticks - before) as f64 * 1000.0 / TICKS_PER_S;
        }
        let [first, second] = cpu_ms;
        Ok([first, second, watch.end().await?])
    }
}

/// A task that wants to run every five milliseconds, and how late it was at worst.
struct Watch {
    over: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
    worst_us: Arc<AtomicU64>,
}

impl Watch {
    fn begin() -> Self {
        let (over, worst_us) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ends, worst) = (over.clone(), worst_us.clone());
        let task = tokio::spawn(async move {
            while !ends.load(Ordering::Relaxed) {
                let due = Instant::now() + Duration::from_millis(5);
                sleep(Duration::from_millis(5)).await;
                let late = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
                worst.fetch_max(late, Ordering::Relaxed);
            }
        });
        Self { over, task, worst_us }
    }

    async fn end(self) -> anyhow::Result<f64> {
        self.over.store(true, Ordering::Relaxed);
        self.task.await?;
        Ok(self.worst_us.load(Ordering::Relaxed) as f64 / 1000.0)
    }
}

fn actor() -> Actor {
    Actor::Person(Text::lossy("bench"))
}

fn put(draft: Draft, (key, body): (Key, Vec<u8>)) -> Draft {
    draft.put(key, body)
}

/// A device of one of ten models and five wards, in one of four zones.
fn device(number: usize, now: cordon_proto::time::Timestamp) -> anyhow::Result<Device> {
    let zones = [Zone::Isolated, Zone::Segmented, Zone::Flat, Zone::Internet];
    let zone = zones.get(number / 7 % zones.len()).copied();
    let place = Placement {
        site: Text::lossy("Bench"),
        ward: Text::lossy(&format!("Ward {}", number % 5)),
        kind: DeviceKind::InfusionPump,
        impact: DeviceKind::InfusionPump.usual_impact(),
        reach: Reach { zone, place: Some(Place::ClinicalArea) },
        tags: Vec::new(),
    };
    let model = format!("Model-{}", number % IMAGES % 10);
    let serial = format!("S-{number:06}");
    let binding = Binding::Serial { serial: Text::lossy(&serial), replaces: false };
    let order =
        TokenOrder { manufacturer: None, model: Text::lossy(&model), binding, placement: place, hours: 1 };
    let mut bytes = [7_u8; 16];
    for (byte, from) in bytes.iter_mut().zip(u32::try_from(number)?.to_be_bytes()) {
        *byte = from;
    }
    let expected = Token::new(order, "bench".to_owned(), now)?.expected(DeviceId::from_random(bytes));
    let device = expected.context("it is for one serial")?;
    let hardware = hardware("Bench", &model, &serial);
    let mut said = says(&hardware);
    said.software.counter = 41;
    said.software.release = Some("bench/4.1".parse()?);
    Ok(Device {
        hardware,
        state: State::Active,
        stated: true,
        report: Some(Report::of(&said)),
        reported: Some(now.into()),
        last_seen: Some(now),
        ..device
    })
}

/// The inventory of an image, as it is stored.
fn image(number: usize) -> Vec<u8> {
    let row = |section, key: &str, fields: &[&str]| Row {
        section,
        key: Text::lossy(key),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
    };
    let listener = |port: u16| row(Section::Listener, &format!("tcp/0.0.0.0/{port}"), &["agent"]);
    let mut rows: Vec<Row> = (8000..8012).map(listener).collect();
    rows.extend([
        row(Section::System, "id", &["debian"]),
        row(Section::System, "version-id", &["12"]),
        row(Section::Posture, "secure-boot", &["no", "efivars"]),
        row(Section::Posture, "disk-encryption", &["yes", "dm"]),
        row(Section::Posture, "empty-password", &["no", "shadow"]),
    ]);
    for place in 0..PACKAGES {
        let name = format!("p{:04}", (number * 7 + place) % WORLD);
        let version = if place < WEAK { "1-1" } else { "2-1" };
        rows.push(row(Section::Package, &format!("deb/{name}/amd64"), &[version, &name, version]));
    }
    wire::write(&Inventory::new(rows))
}

/// Debian's data: one weakness of each package of the world, and rows about others.
fn table(rows: usize) -> String {
    let mut text = String::from("release,source,cve,fixed_version,advisory\n");
    for row in 0..rows {
        let name = if row < WORLD { format!("p{row:04}") } else { format!("other{row}") };
        let _ = writeln!(text, "bookworm,{name},CVE-2025-{:05},2-1,", 10_000 + row);
    }
    text
}
