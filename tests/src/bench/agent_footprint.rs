//! `bench agent-footprint`: the agent-profile binary after ten reports and one install, beside Debian's mender-client.
//!
//! The agent is enrolled over mutual TLS with a real server and watches this machine; the peer polls a stub that turns
//! it away, which is the least it ever does. Reports come every second until ten of them and the install are done;
//! then the server is restarted at the ordinary pace, and both idle at the same time; three looks at each. Bars: the
//! constants below.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use cordon_proto::update::release::InterlockClass;
use serde_json::Value;
use tokio::time::sleep;

use super::footprint::{Footprint, TICKS_PER_S};
use crate::command::Folder;
use crate::demo::boot_loader::Machine;
use crate::demo::catalogue::{BENCH, Unit};
use crate::demo::fleet::{self, Factory};
use crate::demo::until;
use crate::hospital::{Hospital, Place, Release, Who};
use crate::program::program;

/// Seconds between two looks.
const LOOK_S: u64 = 20;
/// Seconds for the agent to find the restarted server and hear the ordinary pace.
const SETTLE_S: u64 = 45;
/// Looks at each side.
const LOOKS: usize = 3;
/// Resident KiB that the agent may take at tier 0.
const BAR_RSS_KIB: u64 = 6 * 1024;
/// Bytes that its program may have.
const BAR_BYTES: u64 = 3 * 1024 * 1024;

/// Builds the program, lets both sides idle, prints both.
pub fn run() -> anyhow::Result<()> {
    let peer = which("mender").context("the peer is missing: apt-get install mender-client")?;
    let agent = build()?;
    let folder = Folder::open(None)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(compare(folder.path(), &agent, &peer))
}

pub(super) fn which(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/usr/local/bin", "/usr/sbin"]
        .map(|folder| Path::new(folder).join(name))
        .into_iter()
        .find(|path| path.exists())
}

/// The agent as it ships.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    built_by("agent")
}

/// The device program that one of cargo's aliases builds.
pub(super) fn built_by(alias: &str) -> anyhow::Result<PathBuf> {
    let root = crate::tidy::tree::root();
    let built = program("cargo").arg(alias).current_dir(&root).status()?;
    ensure!(built.success(), "`cargo {alias}` failed, which builds the device program");
    Ok(root.join("target/agent/cordon-agent"))
}

async fn compare(folder: &Path, agent: &Path, peer: &Path) -> anyhow::Result<()> {
    let sim = std::env::current_exe()?;
    let mut hospital = Hospital::open(&sim, folder, &["device.checkin_s=1"]).await?;
    let machine = install_once(&hospital, folder, agent).await?;
    println!("agent: enrolled, ten reports and one install behind it");
    hospital.stop().await?;
    hospital.start(&["device.checkin_s=300"]).await?;
    let mut mender = start_peer(folder, peer)?;
    sleep(Duration::from_secs(SETTLE_S)).await;
    let pid = machine.pid().context("the agent does not run")?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for look in 0..=LOOKS {
        if look > 0 {
            sleep(Duration::from_secs(LOOK_S)).await;
        }
        ours.push(Footprint::of(pid)?);
        theirs.push(Footprint::of(mender.id())?);
    }
    mender.kill()?;
    mender.wait()?;
    machine.off();
    hospital.stop().await?;
    let sizes = (std::fs::metadata(agent)?.len(), std::fs::metadata(peer)?.len());
    print(&ours, &theirs, sizes)
}

/// Enrols the shipped agent on this machine and takes it through ten reports and one update.
async fn install_once(hospital: &Hospital, folder: &Path, agent: &Path) -> anyhow::Result<Machine> {
    hospital.open_maker("cordon", &["Bench-PC"]).await?;
    let image = folder.join("bench.img");
    std::fs::write(&image, vec![0x5a; 4 * 1024 * 1024])?;
    let release = Release {
        repository: "cordon",
        name: "bench-pc/2.0.0",
        model: "Bench-PC",
        revision: "A",
        counter: 200,
        interlock: "none",
        image: &image,
    };
    hospital.release(&release).await?;
    let unit = Unit { model: BENCH, number: 0, site: "Bench", ward: "Bench" };
    let home = folder.join("machine");
    let root = hospital.maker_root("cordon");
    let factory = Factory {
        release: "bench-pc/1.0.0".parse()?,
        counter: 100,
        image: b"as built\n",
        interlock: InterlockClass::None,
        maker: ("cordon", &root),
    };
    let config = fleet::build(&home, &unit, &factory)?;
    let place = Place { site: unit.site, ward: unit.ward, kind: BENCH.kind };
    let serial = unit.serial();
    let line = hospital.enrolment(BENCH.name, &place, Who::Serial(&serial)).await?;
    std::fs::write(home.join("join"), line + "\n")?;
    let enrolled = program(agent)
        .arg("--config")
        .arg(&config)
        .args(["enrol", "--with"])
        .arg(home.join("join"))
        .output()?;
    ensure!(enrolled.status.success(), "enrol: {}", String::from_utf8_lossy(&enrolled.stderr));
    let machine = Machine::new(agent, &[], &config, &home.join("boot"));
    machine.on();
    sleep(Duration::from_secs(12)).await;
    let list = folder.join("bench.tsv");
    std::fs::write(&list, format!("Cordon\tBench-PC\t{serial}\n"))?;
    hospital.order("bench", &release, std::slice::from_ref(&list)).await?;
    let wave = format!("one=bench={}", list.display());
    hospital.ctl(&["rollouts", "create", "--id", "bench", "--title", "bench", "--wave", &wave]).await?;
    until("the install", Duration::from_secs(60), || async {
        let rollout = hospital.api("/api/v1/rollouts/bench").await?;
        let done = rollout.pointer("/waves/0/confirmed").and_then(Value::as_u64) == Some(1);
        Ok(if done { Ok(()) } else { Err(rollout.to_string()) })
    })
    .await?;
    sleep(Duration::from_secs(12)).await;
    Ok(machine)
}

/// mender-client against a stub that refuses it, polling every ten seconds.
pub(crate) fn start_peer(folder: &Path, peer: &Path) -> anyhow::Result<Child> {
    let stub = TcpListener::bind("127.0.0.1:0")?;
    let port = stub.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in stub.incoming().flatten() {
            let (mut stream, mut head) = (stream, [0_u8; 4096]);
            let _ = stream.read(&mut head);
            let _ = stream
                .write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let home = folder.join("mender");
    std::fs::create_dir_all(home.join("data"))?;
    std::fs::write(home.join("device_type"), "device_type=bench\n")?;
    let config = serde_json::json!({
        "ServerURL": format!("http://127.0.0.1:{port}"),
        "UpdatePollIntervalSeconds": 10,
        "InventoryPollIntervalSeconds": 10,
        "RetryPollIntervalSeconds": 10,
        "DBus": {"Enabled": false},
        "DeviceTypeFile": home.join("device_type"),
        "RootfsPartA": "/dev/null",
        "RootfsPartB": "/dev/null",
    });
    std::fs::write(home.join("mender.conf"), config.to_string())?;
    let mut command = program(peer);
    command.arg("--config").arg(home.join("mender.conf")).arg("--data").arg(home.join("data"));
    command.args(["--no-syslog", "daemon"]);
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

fn print(
    ours: &[Footprint],
    theirs: &[Footprint],
    (our_bytes, their_bytes): (u64, u64),
) -> anyhow::Result<()> {
    let (us, them) = (Figures::of(ours, our_bytes)?, Figures::of(theirs, their_bytes)?);
    println!(
        "{:<14} {:>9} {:>9} {:>9} {:>9} {:>8} {:>10} {:>11}",
        "", "pid", "rss KiB", "worst", "anon KiB", "private", "bytes", "idle CPU %"
    );
    for (name, figures) in [("cordon-agent", &us), ("mender-client", &them)] {
        figures.line(name);
    }
    println!("argv: {}\nargv: {}", without_folders(&us.last.argv), without_folders(&them.last.argv));
    let ratio = us.rss_worst_kib as f64 / them.rss_median_kib as f64;
    let bars = [
        (
            "rss at tier 0",
            us.rss_worst_kib <= BAR_RSS_KIB,
            format!("{} of {BAR_RSS_KIB} KiB", us.rss_worst_kib),
        ),
        ("rss beside the peer", ratio <= 0.20, format!("{ratio:.3} of 0.20")),
        ("program", us.bytes <= BAR_BYTES, format!("{} of {BAR_BYTES} bytes", us.bytes)),
        ("idle CPU", us.cpu_percent <= 0.5, format!("{:.2} of 0.5 %", us.cpu_percent)),
    ];
    for (what, held, figure) in &bars {
        println!("{} {what}: {figure}", if *held { "held  " } else { "MISSED" });
    }
    ensure!(bars.iter().all(|(_, held, _)| *held), "a bar was missed");
    Ok(())
}

/// One side in figures.
struct Figures {
    last: Footprint,
    rss_median_kib: u64,
    rss_worst_kib: u64,
    bytes: u64,
    ticks: u64,
    cpu_percent: f64,
}

impl Figures {
    fn of(looks: &[Footprint], bytes: u64) -> anyhow::Result<Self> {
        let (first, last) = looks.first().zip(looks.last()).context("no look")?;
        let mut rss: Vec<u64> = looks.iter().map(|look| look.rss_kib).collect();
        rss.sort_unstable();
        let ticks = last.ticks.saturating_sub(first.ticks);
        let seconds = (LOOK_S * u64::try_from(LOOKS)?) as f64;
        Ok(Self {
            last: last.clone(),
            rss_median_kib: rss.get(rss.len() / 2).copied().unwrap_or(0),
            rss_worst_kib: rss.last().copied().unwrap_or(0),
            bytes,
            ticks,
            cpu_percent: ticks as f64 / TICKS_PER_S / seconds * 100.0,
        })
    }

    fn line(&self, name: &str) {
        let last = &self.last;
        println!(
            "{name:<14} {:>9} {:>9} {:>9} {:>9} {:>8} {:>10} {:>6.2} ({} ticks)",
            last.pid,
            self.rss_median_kib,
            self.rss_worst_kib,
            last.anon_kib,
            last.private_kib,
            self.bytes,
            self.cpu_percent,
            self.ticks
        );
    }
}

/// A command line without the places of this machine.
fn without_folders(argv: &str) -> String {
    let last = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
    argv.split(' ').map(last).collect::<Vec<_>>().join(" ")
}
