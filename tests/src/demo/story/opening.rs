//! How the hospital comes to life: makers, enrolment, the real agent, inventory and risk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use cordon_agent::clock::{Clock, Floor, SystemClock, TrustedClock};
use cordon_agent::config::Config;
use cordon_agent::files::Folder;
use cordon_agent::identity::{Applicant, enrol};
use cordon_proto::enrol::EnrolmentString;
use cordon_proto::time::Timestamp;
use cordon_proto::update::release::InterlockClass;
use tokio::task::JoinSet;

use super::{Story, number, text};
use crate::demo::boot_loader::Machine;
use crate::demo::catalogue::{BENCH, MODELS, Model, Unit, units};
use crate::demo::fleet::{self, Device, Factory};
use crate::demo::until;
use crate::hospital::{Place, Release, Who};
use crate::program::program;

/// The demo's server: devices report often, so that the story is short.
pub(super) const SETTINGS: [&str; 2] = ["device.checkin_s=2", "enrolment.refusals=1000"];
/// The real agent's serial.
pub(super) const MACHINE: &str = "DEMO-0001";
/// The real agent's model.
pub(super) const MACHINE_MODEL: &str = "Demo-PC";

/// The three new releases of the story: repository, name, model, revision, counter, interlock.
pub(super) const VP3: Novelty = ("halden", "vp-3/4.2.2", "VP-3", "C", 422, "application");
pub(super) const K1: Novelty = ("portico", "k1/7.0.5", "K1", "A", 705, "idle");
pub(super) const DEMO_PC: Novelty = ("cordon", "demo-pc/1.0.1", MACHINE_MODEL, "A", 101, "application");

/// Repository, name, model, revision, counter, interlock.
pub(super) type Novelty = (&'static str, &'static str, &'static str, &'static str, u64, &'static str);

/// A release of the story with its image.
pub(super) fn release(
    (repository, name, model, revision, counter, interlock): Novelty,
    image: &Path,
) -> Release<'_> {
    Release { repository, name, model, revision, counter, interlock, image }
}

/// The machine that runs the real agent.
pub(super) fn machine(program: &Path, folder: &Path) -> Machine {
    let home = folder.join("machine");
    Machine::new(program, &["agent"], &home.join("agent.toml"), &home.join("boot"))
}

/// The repository of a maker.
pub(super) fn repository(maker: &str) -> String {
    maker.to_lowercase()
}

/// The class of a model's releases.
fn class(model: &Model) -> InterlockClass {
    match model.interlock {
        "application" => InterlockClass::Application,
        "person" => InterlockClass::Person,
        "idle" => InterlockClass::Idle,
        _ => InterlockClass::None,
    }
}

/// The release in which a model leaves the factory.
fn factory_release(model: &str) -> String {
    format!("{}/1.0.0", model.to_lowercase())
}

impl Story {
    pub(super) async fn makers(&self) -> anyhow::Result<String> {
        let mut models: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for model in MODELS {
            models.entry(model.maker).or_default().push(model.name);
        }
        models.entry("Cordon").or_default().push(MACHINE_MODEL);
        for (maker, models) in &models {
            // One of them has cards that know no Ed25519.
            let kind: &[&str] = if *maker == "Portico" { &["--p256"] } else { &[] };
            self.hospital.open_maker_of(kind, &repository(maker), models).await?;
        }
        for novelty in [VP3, K1, DEMO_PC] {
            let image = self.image(novelty);
            std::fs::write(&image, format!("{}\n", novelty.1).repeat(60_000))?;
            self.hospital.release(&release(novelty, &image)).await?;
        }
        Ok("VP-3 4.2.2, K1 7.0.5 and Demo-PC 1.0.1 imported".to_owned())
    }

    /// The image of a release of the story.
    pub(super) fn image(&self, novelty: Novelty) -> PathBuf {
        self.folder.join(novelty.1.replace('/', "-") + ".img")
    }

    pub(super) async fn enrol_fleet(&mut self) -> anyhow::Result<String> {
        let units = units(self.count);
        let mut tokens: BTreeMap<(&str, &str, &str), (usize, &str)> = BTreeMap::new();
        for unit in &units {
            let place = (unit.model.name, unit.site, unit.ward);
            tokens.entry(place).or_insert((0, unit.model.kind)).0 += 1;
        }
        let mut strings = BTreeMap::new();
        for ((model, site, ward), (count, kind)) in tokens {
            let line = self.hospital.enrolment(model, &Place { site, ward, kind }, Who::Count(count)).await?;
            strings.insert((model, site, ward), line.parse::<EnrolmentString>()?);
        }
        let mut enrolling = JoinSet::new();
        let now = cordon_server::clock::Clock::system().now();
        for unit in units {
            let string =
                strings.get(&(unit.model.name, unit.site, unit.ward)).context("a token for each")?.clone();
            let folder = self.folder.join("devices").join(unit.serial());
            let root = self.hospital.maker_root(&repository(unit.model.maker));
            enrolling.spawn(async move {
                let config = prepare(&folder, &unit, &root, now).await?;
                admit(&config, &string).await.with_context(|| unit.serial())?;
                anyhow::Ok((unit, config))
            });
        }
        while let Some(enrolled) = enrolling.join_next().await {
            let (unit, config) = enrolled??;
            self.devices.push(Device::start(unit, config));
        }
        self.devices.sort_by_key(|device| device.unit.serial());
        self.everybody_connected(self.count).await
    }

    /// Counts distinct certificates and devices at the server.
    async fn everybody_connected(&self, wanted: usize) -> anyhow::Result<String> {
        let wanted = u64::try_from(wanted)?;
        until("every device to connect with its own certificate", super::PATIENCE, || async {
            let fleet = self.hospital.api("/api/v1/fleet").await?;
            let (active, leaves) = (number(&fleet, "/devices/active"), number(&fleet, "/distinct_leaves"));
            let connections = number(&fleet, "/connections");
            let said = format!(
                "{active} active devices, {leaves} distinct certificates over {connections} connections"
            );
            Ok(if active >= wanted && leaves >= wanted && connections >= leaves {
                Ok(said)
            } else {
                Err(said)
            })
        })
        .await
    }

    pub(super) async fn enrol_machine(&mut self) -> anyhow::Result<String> {
        let home = self.folder.join("machine");
        let model = Model { name: MACHINE_MODEL, serial: "DEMO", interlock: "application", ..BENCH };
        let unit = Unit { model, number: 0, site: "St. Brigid", ward: "Radiology" };
        let root = self.hospital.maker_root("cordon");
        let image = format!("{}\n", factory_release(MACHINE_MODEL)).repeat(1000);
        let factory = Factory {
            release: factory_release(MACHINE_MODEL).parse()?,
            counter: 100,
            image: image.as_bytes(),
            interlock: InterlockClass::Application,
            maker: ("cordon", &root),
        };
        let config = fleet::build(&home, &unit, &factory)?;
        // The catalogue numbers serials; this one device keeps its own.
        let text_of = std::fs::read_to_string(&config)?.replace(&unit.serial(), MACHINE);
        std::fs::write(&config, text_of)?;
        let place = Place { site: unit.site, ward: unit.ward, kind: model.kind };
        let line = self.hospital.enrolment(MACHINE_MODEL, &place, Who::Serial(MACHINE)).await?;
        let join = home.join("join");
        std::fs::write(&join, line + "\n")?;
        let mut command = program(self.hospital.program());
        command.args(["agent", "--config"]).arg(&config).args(["enrol", "--with"]).arg(&join);
        let enrolled = tokio::task::spawn_blocking(move || command.output()).await??;
        ensure!(
            enrolled.status.success(),
            "cordon-agent enrol: {}",
            String::from_utf8_lossy(&enrolled.stderr)
        );
        self.machine.on();
        let device = self
            .device_is(MACHINE, "the real agent to see this machine", |device| {
                device.pointer("/sensor_tier").is_some_and(serde_json::Value::is_u64)
                    && !text(device, "/release").is_empty()
            })
            .await?;
        let pid = self.machine.pid().unwrap_or(0);
        Ok(format!(
            "process {pid}, sensor tier {}, runs {}",
            number(&device, "/sensor_tier"),
            text(&device, "/release")
        ))
    }

    pub(super) async fn inventory_and_risk(&self) -> anyhow::Result<String> {
        let machine = self.device_is(MACHINE, "the real agent", |_| true).await?;
        let id = text(&machine, "/id").to_owned();
        let packages = until("the inventory of this machine", super::PATIENCE, || async {
            let device = self.hospital.api(&format!("/api/v1/devices/{id}")).await?;
            let packages = device.pointer("/packages").and_then(serde_json::Value::as_u64);
            Ok(packages.ok_or_else(|| "no inventory yet".to_owned()))
        })
        .await?;
        let pump = self.serials("VP-3").first().cloned().context("a pump")?;
        let pump =
            self.device_is(&pump, "a pump's report", |device| !text(device, "/release").is_empty()).await?;
        let detail = self.hospital.api(&format!("/api/v1/devices/{}", text(&pump, "/id"))).await?;
        let rows = detail
            .pointer("/score/contributions")
            .and_then(serde_json::Value::as_array)
            .context("no parts")?;
        let sum: u64 = rows.iter().map(|row| number(row, "/hundredths")).sum();
        let whole = number(&detail, "/score/value_hundredths");
        ensure!(sum == whole, "the parts of {} sum to {sum}, its score is {whole}", text(&pump, "/serial"));
        let serial = text(&pump, "/serial");
        Ok(format!(
            "{packages} packages here; {serial} scores {} of 100 in {} parts that add up",
            whole / 100,
            rows.len()
        ))
    }
}

/// Builds a device at the factory and lets it learn its week.
async fn prepare(folder: &Path, unit: &Unit, root: &Path, now: Timestamp) -> anyhow::Result<Config> {
    let (folder, unit, root) = (folder.to_owned(), unit.clone(), root.to_owned());
    let built = tokio::task::spawn_blocking(move || {
        let release = factory_release(unit.model.name);
        let image = format!("{release} as built\n").repeat(200);
        let maker = repository(unit.model.maker);
        let factory = Factory {
            release: release.parse()?,
            counter: 100,
            image: image.as_bytes(),
            interlock: class(&unit.model),
            maker: (&maker, &root),
        };
        let config = fleet::config(&fleet::build(&folder, &unit, &factory)?)?;
        fleet::learn(&config, &unit, now)?;
        anyhow::Ok(config)
    });
    built.await?
}

/// Enrols one device as its own agent would.
async fn admit(config: &Config, string: &EnrolmentString) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let applicant = Applicant {
        hardware: config.hardware.clone(),
        addresses: config.server.clone(),
        proxy: config.proxy.clone(),
        metered: config.metered.is_some(),
        clock: TrustedClock::new(clock, Floor::new(config.clock_floor)),
    };
    enrol(&Folder::open(&config.state)?.inside("identity")?, string, &applicant).await?;
    Ok(())
}
