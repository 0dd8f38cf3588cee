//! A device that reaches its server only through a proxy that wants a name and password: it enrols, reports, takes an
//! update, and on a metered connection stays within a megabyte a month.
//!
//! The device is the real agent program in a network namespace of its own; the server listens on this machine's
//! loopback, where the namespace does not reach. Read next: `cordon_sim::namespace`, `cordon_sim::http_proxy`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use cordon_proto::update::release::InterlockClass;
use cordon_sim::demo::boot_loader::Machine;
use cordon_sim::demo::catalogue::{MODELS, Unit};
use cordon_sim::demo::fleet::{self, Factory};
use cordon_sim::demo::until;
use cordon_sim::hospital::{Hospital, Place, Release, Who};
use cordon_sim::http_proxy::HttpProxy;
use cordon_sim::namespace::Namespace;
use cordon_sim::program::program;
use cordon_sim::skip;
use serde_json::Value;
use tokio::time::sleep;

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");
const PATIENCE: Duration = Duration::from_secs(180);
/// Seconds between two reports of the metered device: longer than it keeps a connection.
const METERED_S: u64 = 3;
/// Cycles that are measured at least, each with all that a cycle costs; more where everything is demanded.
const CYCLES: [usize; 2] = [8, 20];
/// Cycles of a month at one in six hours.
const MONTH: u64 = 120;
/// Bytes of an Ethernet frame that are none of IP's.
const FRAME: u64 = 14;

/// A device behind the proxy, and all it needs.
struct Behind {
    hospital: Hospital,
    proxy: HttpProxy,
    namespace: Namespace,
    unit: Unit,
    home: PathBuf,
    // Last, so that everything in it has ended before it goes.
    folder: tempfile::TempDir,
}

impl Behind {
    /// A hospital, a proxy, a namespace, and a device with these further settings; `None` where the test is skipped.
    async fn built(test: &str, settings: &str) -> Option<Self> {
        let namespace = Namespace::open(test).expect("a namespace")?;
        let folder = tempfile::tempdir().expect("a folder");
        let credentials = ("pump", "s3cret");
        let proxy = HttpProxy::start(folder.path(), namespace.gate(), credentials).expect("a proxy")?;
        let hospital =
            Hospital::open(Path::new(SIM), folder.path(), &["device.checkin_s=1"]).await.expect("opens");
        hospital.open_maker("halden", &["VP-3"]).await.expect("a maker");
        let [model, ..] = MODELS;
        let unit = Unit { model, number: 7, site: "St. Brigid", ward: "4B" };
        let (home, image) = (folder.path().join("device"), b"vp-3 as built\n".repeat(200));
        let factory = Factory {
            release: "vp-3/1.0.0".parse().expect("a path"),
            counter: 100,
            image: &image,
            interlock: InterlockClass::None,
            maker: ("halden", &hospital.maker_root("halden")),
        };
        let config = fleet::build(&home, &unit, &factory).expect("is built");
        let built = std::fs::read_to_string(&config).expect("reads");
        // Before the tables: TOML's own order.
        let text =
            format!("proxy = \"{}\"\nproxy_auth_file = \"proxy-auth\"\n{settings}{built}", proxy.url());
        std::fs::write(&config, text).expect("writes");
        let behind = Self { hospital, proxy, namespace, unit, home, folder };
        behind.know("pump:s3cret", 0o600);
        Some(behind)
    }

    /// What the device is told of the proxy's name and password.
    fn know(&self, credentials: &str, mode: u32) {
        let path = self.home.join("proxy-auth");
        std::fs::write(&path, credentials).expect("writes");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("changes the mode");
    }

    fn config(&self) -> PathBuf {
        self.home.join("agent.toml")
    }

    /// Runs one command of the agent inside the namespace.
    async fn agent(&self, arguments: &[&str]) -> Output {
        let (ip, inside) = self.namespace.door();
        let mut command = program(ip);
        command.args(inside).args([SIM, "agent", "--config"]).arg(self.config()).args(arguments);
        tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("runs")
    }

    async fn enrol(&self) -> Output {
        let join = self.home.join("join");
        if !join.exists() {
            let place = Place { site: "St. Brigid", ward: "4B", kind: "infusion-pump" };
            let serial = self.unit.serial();
            let line = self.hospital.enrolment("VP-3", &place, Who::Serial(&serial)).await.expect("a token");
            std::fs::write(&join, line + "\n").expect("writes");
        }
        self.agent(&["enrol", "--with", &join.display().to_string()]).await
    }

    fn machine(&self) -> Machine {
        let (ip, inside) = self.namespace.door();
        let words: Vec<&str> = inside.iter().map(String::as_str).chain([SIM, "agent"]).collect();
        Machine::new(&ip, &words, &self.config(), &self.home.join("boot"))
    }

    /// Waits until the server lists the device as wanted.
    async fn listed(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = until(what, PATIENCE, || async {
            let listed = self.hospital.api("/api/v1/devices").await?;
            let device = listed.pointer("/devices/0").cloned().unwrap_or_default();
            Ok(if wanted(&device) { Ok(device) } else { Err(device.to_string()) })
        });
        found.await.unwrap_or_else(|error| {
            let log = std::fs::read_to_string(self.home.join("agent.log")).unwrap_or_default();
            panic!("{error:#}\nagent: {log}\nproxy: {}", self.proxy.said().unwrap_or_default())
        })
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text<'a>(device: &'a Value, pointer: &str) -> &'a str {
    device.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_behind_a_proxy_enrols_reports_and_takes_an_update() {
    // Goal: decision 0010, link. Method: real programs; wrong and open credentials first, each named; then the right
    // ones, a report, and an order up to its confirmation. The proxy's log shows that there was no other way.
    let Some(behind) = Behind::built("a device behind a proxy", "").await else { return };
    behind.know("pump:wrong", 0o600);
    let refused = behind.enrol().await;
    assert!(!refused.status.success() && said(&refused).contains("the proxy"), "{}", said(&refused));
    behind.know("pump:s3cret", 0o644);
    let open = said(&behind.enrol().await);
    assert!(open.contains("proxy-auth has mode 644") && open.contains("chmod 600"), "{open}");
    behind.know("pump:s3cret", 0o600);
    let enrolled = behind.enrol().await;
    assert!(enrolled.status.success(), "{}", said(&enrolled));
    let machine = behind.machine();
    machine.on();
    behind.listed("the first report", |device| text(device, "/release") == "vp-3/1.0.0").await;

    let image = behind.folder.path().join("vp-3-4.2.2.img");
    std::fs::write(&image, b"vp-3/4.2.2\n".repeat(40_000)).expect("writes");
    let release = Release { interlock: "none", ..Release::pump(&image) };
    behind.hospital.release(&release).await.expect("a release");
    let list = behind.folder.path().join("wave.tsv");
    std::fs::write(&list, format!("Halden\tVP-3\t{}\n", behind.unit.serial())).expect("writes");
    behind.hospital.order("vp3-422", &release, std::slice::from_ref(&list)).await.expect("an order");
    let wave = format!("one=vp3-422={}", list.display());
    let rollout =
        ["rollouts", "create", "--id", "vp3-422", "--title", "one pump", "--soak-s", "0", "--wave", &wave];
    behind.hospital.ctl(&rollout).await.expect("a rollout");
    let device = behind.listed("the new release", |device| text(device, "/release") == "vp-3/4.2.2").await;
    assert_eq!(text(&device, "/software/slot"), "B", "{device}");
    let confirmed = until("the confirmation", PATIENCE, || async {
        let rollout = behind.hospital.api("/api/v1/rollouts/vp3-422").await?;
        let done = rollout.pointer("/waves/0/confirmed").and_then(Value::as_u64) == Some(1);
        Ok(if done { Ok(()) } else { Err(rollout.to_string()) })
    });
    confirmed.await.expect("is confirmed");
    assert!(machine.reboots() >= 1, "it confirmed without a reboot");
    machine.off();
    assert!(behind.proxy.tunnels().expect("a log") >= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_of_a_metered_device_is_less_than_a_megabyte() {
    // Goal: decision 0010, metered. Method: cycles at a shortened interval, every one with a handshake of its own
    // through the proxy, counted by the kernel at the device's only cable, both ways; 120 are a month.
    let settings = format!("metered = {METERED_S}\n");
    let Some(behind) = Behind::built("a metered device", &settings).await else { return };
    let enrolled = behind.enrol().await;
    assert!(enrolled.status.success(), "{}", said(&enrolled));
    let machine = behind.machine();
    machine.on();
    // Inventory and the like are handed in once, not every time.
    behind.listed("the first report", |device| text(device, "/release") == "vp-3/1.0.0").await;
    let tunnels = || behind.proxy.tunnels().expect("a log");
    let more = async |count: usize| {
        let wanted = tunnels() + count;
        let patience =
            PATIENCE + Duration::from_secs(METERED_S * 4).saturating_mul(u32::try_from(count).expect("few"));
        let reached = until("the cycles", patience, || async {
            let now = tunnels();
            Ok(if now >= wanted { Ok(now) } else { Err(format!("{now} tunnels of {wanted}")) })
        });
        reached.await.expect("it goes on reporting");
        // Between two cycles, after the last bytes of one: where the next one was faster, behind that.
        for _ in 0..5 {
            let reached = tunnels();
            sleep(Duration::from_millis(700)).await;
            let passed = behind.namespace.passed().expect("counted");
            if tunnels() == reached {
                return (reached, passed);
            }
        }
        panic!("no pause between two cycles, five times over");
    };
    let (begun, (before, packets_before)) = more(2).await;
    let (ended, (after, packets_after)) = more(CYCLES[usize::from(skip::everything_demanded())]).await;
    machine.off();
    let cycles = u64::try_from(ended - begun).expect("few");
    let (frames, packets) = (after - before, packets_after - packets_before);
    let bytes = frames - packets * FRAME;
    let month = bytes * MONTH / cycles;
    println!(
        "{cycles} metered cycles: {bytes} bytes of IP in {packets} packets, {} a cycle; a month: {month} bytes",
        bytes / cycles
    );
    assert!(month <= 1_000_000, "{month} bytes a month");
    assert!(bytes > cycles * 2000, "each cycle shook hands: {bytes}");
}
