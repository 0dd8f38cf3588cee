//! Simulated devices: agent loops of the shipped library, each with its own folder, identity, connection and slots.
//!
//! Only what a device stands on is replaced: traffic is generated and fed in, the machine's inventory is made up, and
//! a reboot is the loop started again by the boot loader arithmetic that devices use. Network, keys, metadata, slots
//! and journal are real. Read next: `cordon_agent::run`, [`super::traffic`].

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use cordon_agent::boot::{FileBoot, Setting};
use cordon_agent::capture::fed::Fed;
use cordon_agent::capture::{Capture, Sight};
use cordon_agent::clock::{Clock, SystemClock};
use cordon_agent::config::{Config, Sources};
use cordon_agent::files::Folder;
use cordon_agent::host::machine::Moment;
use cordon_agent::interlock::{Client, Shared};
use cordon_agent::run::ports::{Host, PowerSource, installer};
use cordon_agent::run::sensing::teach;
use cordon_agent::run::{Exit, Pace, Ports, Rhythm, Tempo, run};
use cordon_agent::store::SecurityStore;
use cordon_agent_core::flow::{Connection, Counted, Endpoint, Phase, Seen, Sighting, State, Traffic, Tuple};
use cordon_agent_core::interlock::Claim;
use cordon_agent_core::update::{Installed, Record, Slot};
use cordon_proto::health::{ClockState, Disk, Drive, Health};
use cordon_proto::ids::{Sha256, TargetPath, Text};
use cordon_proto::inventory::{Inventory, Row, Section};
use cordon_proto::time::{Millis, Timestamp};
use cordon_proto::update::refusal::Power;
use cordon_proto::update::release::InterlockClass;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::catalogue::{Habit, Unit};
use super::traffic::{Conversation, conversations};

/// Days of traffic that a device learns before it connects.
const LEARNED_S: i64 = 7 * 86_400;

/// What a device was built with.
#[derive(Clone, Debug)]
pub struct Factory<'a> {
    /// The release in slot A.
    pub release: TargetPath,
    /// Its counter.
    pub counter: u64,
    /// Its image.
    pub image: &'a [u8],
    /// The class it asks for.
    pub interlock: InterlockClass,
    /// The maker's repository and its first root.
    pub maker: (&'a str, &'a Path),
}

/// One simulated device at work.
pub struct Device {
    /// What it is.
    pub unit: Unit,
    feed: Sender<Vec<Sighting>>,
    claim: watch::Sender<Option<Claim>>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// Writes what the factory puts into a device: configuration, image, boot control, security state.
pub fn build(folder: &Path, unit: &Unit, factory: &Factory<'_>) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let (repository, root) = factory.maker;
    let hardware = unit.hardware();
    let config = format!(
        "state = \"state\"\nslots = [\"slot-a\", \"slot-b\"]\nboot = \"file:boot\"\ntimezone = \"UTC\"\n\
         interlock_socket = \"interlock.sock\"\nhardware = {{ manufacturer = \"{}\", model = \"{}\", revision = \"{}\", \
         serial = \"{}\" }}\nimage_root = {{ {repository} = \"{}\" }}\n",
        hardware.manufacturer,
        hardware.model,
        hardware.revision,
        hardware.serial,
        root.display()
    );
    let path = folder.join("agent.toml");
    std::fs::write(&path, config)?;
    write_private(&folder.join("slot-a"), factory.image)?;
    write_private(&folder.join("slot-b"), b"")?;
    FileBoot::create(&folder.join("boot"), Slot::A)?;
    let state = Folder::open(folder.join("state"))?;
    let installed = Installed {
        release: Some(factory.release.clone()),
        counter: factory.counter,
        sha256: Sha256::of(factory.image),
        length: u64::try_from(factory.image.len())?,
        slot: Slot::A,
        interlock: factory.interlock,
    };
    SecurityStore::new(state).create(&Record::factory(installed))?;
    Ok(path)
}

fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(bytes)?)
}

/// Teaches a device the week before `now`, at that week's own clock.
pub fn learn(config: &Config, unit: &Unit, now: Timestamp) -> anyhow::Result<()> {
    let week: Vec<Sighting> =
        conversations(unit, now.plus_seconds(-LEARNED_S), now).iter().flat_map(sightings).collect();
    Ok(teach(&Folder::open(&config.state)?, &week, Millis::from(now))?)
}

impl Device {
    /// Starts the loops of an enrolled device.
    pub fn start(unit: Unit, config: Config) -> Self {
        let (feed, capture) = Fed::new();
        let (claim, claims) = watch::channel(Some(Claim::Standby));
        let (stop, stopped) = watch::channel(false);
        let socket = config.interlock_socket.clone().unwrap_or_default();
        let keeper = tokio::spawn(keep_claim(socket, claims, stopped.clone()));
        let agent = tokio::spawn(live(config, unit.clone(), capture, stopped));
        Self { unit, feed, claim, stop, tasks: vec![keeper, agent] }
    }

    /// Shows the device some traffic.
    pub fn feed(&self, conversations: &[Conversation]) {
        // A device that has been stopped sees nothing any more.
        let _ = self.feed.send(conversations.iter().flat_map(sightings).collect());
    }

    /// What the device's own software says of its use; nothing at all with `None`.
    pub fn claim(&self, claim: Option<Claim>) {
        self.claim.send_replace(claim);
    }

    /// Ends the loops.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

/// The agent, from boot to boot.
async fn live(config: Config, unit: Unit, capture: Fed, stop: watch::Receiver<bool>) {
    // The sensor survives a reboot here; on a device the kernel's own does.
    let capture = Arc::new(Mutex::new(capture));
    while !*stop.borrow() {
        if let Err(error) = boot(&config) {
            return eprintln!("{}: cannot boot: {error:#}", unit.serial());
        }
        let ports = ports(&config, &unit, Arc::clone(&capture), Arc::new(SystemClock::new()));
        let mut stopped = stop.clone();
        let shutdown = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        match run(config.clone(), ports, shutdown).await {
            Exit::Reboot => {}
            Exit::Stopped | Exit::Left => return,
            Exit::Fatal(error) => return eprintln!("{}: {error}", unit.serial()),
        }
    }
}

fn boot(config: &Config) -> anyhow::Result<Slot> {
    let Some(Setting::File(path)) = &config.boot else { bail!("no boot control in a file") };
    Ok(FileBoot::open(path)?.boot()?)
}

/// What a simulated device runs on.
#[must_use]
pub fn ports(config: &Config, unit: &Unit, capture: Arc<Mutex<Fed>>, clock: Arc<dyn Clock>) -> Ports {
    let rhythm = Rhythm { look: Duration::from_millis(500), ..Rhythm::default() };
    let pace =
        Pace { gap: Duration::from_millis(200), urgent_gap: Duration::from_millis(200), ..Pace::default() };
    let sight = capture.lock().unwrap_or_else(PoisonError::into_inner).sight().clone();
    let lasting = Lasting { fed: capture, sight };
    Ports {
        capture: Box::new(lasting),
        host: Box::new(Described {
            inventory: described(unit),
            number: u64::try_from(unit.number).unwrap_or(0),
        }),
        power: Box::new(Plugged),
        interlock: Shared::new(Arc::clone(&clock)),
        installer: installer(config),
        clock,
        // Many devices share one process: its memory is nobody's own.
        memory: Arc::new(|| None),
        tempo: Tempo { pace, rhythm, look: Duration::from_millis(500), ..Tempo::default() },
    }
}

/// A capture that is handed from boot to boot.
struct Lasting {
    fed: Arc<Mutex<Fed>>,
    sight: Sight,
}

impl Capture for Lasting {
    fn poll(&mut self, now: Millis, seen: &mut Vec<Sighting>) {
        let mut fed = self.fed.lock().unwrap_or_else(PoisonError::into_inner);
        fed.poll(now, seen);
        self.sight = fed.sight().clone();
    }

    fn sight(&self) -> &Sight {
        &self.sight
    }
}

/// A machine that is described.
struct Described {
    inventory: Inventory,
    number: u64,
}

impl Host for Described {
    fn inventory(&mut self) -> Inventory {
        self.inventory.clone()
    }

    fn health(&mut self, at: Moment) -> Option<Health> {
        Some(figures(self.number, at))
    }
}

/// The figures of a simulated machine: a flash disk half full and a little worn, no two machines alike.
fn figures(number: u64, at: Moment) -> Health {
    let (percent, bytes) = (40 + number % 45, 4 << 30);
    let disk = Disk {
        mount: Text::lossy("/"),
        bytes,
        used: bytes / 100 * percent,
        files: 260_000,
        files_used: 2_600 * percent,
        read_only: false,
        errors: Some(0),
    };
    let drive = Drive {
        name: Text::lossy("mmcblk0"),
        worn_percent: u8::try_from(10 * (1 + number % 4)).ok(),
        failing: Some(false),
        written_bytes: Some(bytes / 50),
        lost: None,
        bad_blocks: None,
    };
    Health {
        time: at.now,
        uptime_s: Some(86_400 * (1 + number % 30)),
        disks: vec![disk],
        drives: vec![drive],
        hottest_mc: i64::try_from(38_000 + number % 17 * 1000).ok(),
        memory_bytes: Some(1 << 30),
        available_bytes: Some(600 << 20),
        corrected: None,
        uncorrected: None,
        clock: ClockState { synchronised: Some(true), ahead_ms: at.ahead_ms },
        boots: 1 + number % 9,
        starts: at.starts,
        crashes: Some(0),
        memory_kills: Some(0),
        restarts: None,
    }
}

/// A machine at the mains.
struct Plugged;

impl PowerSource for Plugged {
    fn power(&mut self) -> Power {
        Power::Mains
    }
}

/// Holds the claim of the device's own software, over the interlock's socket, across reboots.
async fn keep_claim(
    socket: PathBuf,
    claims: watch::Receiver<Option<Claim>>,
    mut stop: watch::Receiver<bool>,
) {
    let mut client: Option<Client> = None;
    let mut held = None;
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            () = sleep(Duration::from_millis(300)) => {}
        }
        let claim = *claims.borrow();
        if client.is_none() {
            client = Client::connect(&socket).await.ok();
            held = None;
        }
        let Some(open) = client.as_mut() else { continue };
        let said = match claim {
            Some(claim) => open.hold(claim, Some(5)).await,
            None if held != Some(None) => open.release().await,
            None => open.status().await,
        };
        held = Some(claim);
        if said.is_err() {
            client = None;
        }
    }
}

/// What a simulated machine says of itself.
fn described(unit: &Unit) -> Inventory {
    let row = |section, key: &str, fields: &[&str]| Row {
        section,
        key: Text::lossy(key),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
    };
    let kiosk = unit.model.habit == Habit::Kiosk;
    let mut rows = vec![
        row(Section::System, "id", &["debian"]),
        row(Section::System, "version-id", &["12"]),
        row(Section::System, "pretty-name", &["Debian GNU/Linux 12 (bookworm)"]),
        row(Section::Hardware, "manufacturer", &[unit.model.maker]),
        row(Section::Hardware, "product", &[unit.model.name]),
        row(Section::Posture, "secure-boot", &[if kiosk { "no" } else { "yes" }, "simulated"]),
        row(
            Section::Posture,
            "disk-encryption",
            &[if unit.number.is_multiple_of(3) { "no" } else { "yes" }, "simulated"],
        ),
    ];
    for (name, version, source) in [
        ("libssl3", "3.0.15-1~deb12u1", "openssl"),
        ("busybox", "1:1.35.0-4+b3", "busybox"),
        ("zlib1g", "1:1.2.13.dfsg-1", "zlib"),
    ] {
        rows.push(row(Section::Package, &format!("deb/{name}/arm64"), &[version, source, version]));
    }
    Inventory::new(rows)
}

/// A conversation as a sensor sights it: open, then over with its figures.
fn sightings(conversation: &Conversation) -> [Sighting; 2] {
    let port = u16::try_from(conversation.at.0.rem_euclid(20_000)).unwrap_or(0) + 40_000;
    let tuple = Tuple {
        protocol: conversation.protocol,
        local: Endpoint { address: IpAddr::V4(Ipv4Addr::new(10, 40, 7, 7)), port },
        remote: Endpoint { address: conversation.peer, port: conversation.port },
    };
    let traffic = Traffic {
        packets_out: 4,
        bytes_out: conversation.bytes_out,
        packets_in: 4,
        bytes_in: conversation.bytes_in,
    };
    let look = |at: Millis, phase, counted| {
        let connection = Connection { tuple, direction: conversation.direction, phase, counted, name: None };
        Sighting { at, seen: Seen::Connection(connection) }
    };
    [
        look(conversation.at, Phase::Open, Counted::Unknown),
        look(conversation.at.plus(conversation.for_ms), Phase::Over(State::Closed), Counted::Total(traffic)),
    ]
}

/// Reads a device's configuration.
pub fn config(path: &Path) -> anyhow::Result<Config> {
    let sources = Sources { config: Some(path.to_owned()), ..Sources::default() };
    Config::load(&sources).with_context(|| path.display().to_string())
}
