//! `soak sensor`: the shipped agent with its sensor on, in a namespace of its own, beside a device's ordinary talk.
//!
//! A round is a minute of a hundred connections to ten known peers over a cable of their own; over the other cable, which is
//! counted, goes what agent and server say, through a proxy. Judged are the memory of each minute, and over all minutes
//! since it has settled the share of a core and, once they are [`LEAST`], what went over the line in an hour. A round fails
//! too if the sensor is not at work. Read next: [`crate::talking`], [`crate::namespace`].

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, ensure};
use cordon_agent::files::Folder as StateFolder;
use cordon_agent::status::Status;
use cordon_proto::update::release::InterlockClass;
use tokio::runtime::Runtime;
use tokio::time::sleep;

use crate::bench::agent_footprint::{build, start_peer};
use crate::bench::footprint::{Footprint, TICKS_PER_S};
use crate::command::Folder;
use crate::demo::boot_loader::Machine;
use crate::demo::catalogue::{BENCH, Unit};
use crate::demo::fleet::{self, Factory};
use crate::demo::until;
use crate::hospital::{Hospital, Place, Who};
use crate::http_proxy::HttpProxy;
use crate::namespace::Namespace;
use crate::program::program;
use crate::skip;
use crate::soak::{Outcome, Rounds};
use crate::talking::BYTES;

/// Connections in a minute.
const A_MINUTE: u32 = 100;
/// Peers, each with an address and a port of its own.
const PEERS: u16 = 10;
/// Minutes from which on an hour's traffic is reckoned from them.
const LEAST: u64 = 30;
/// Resident KiB with packets, and without.
const BAR_RSS_KIB: [u64; 2] = [7 * 1024, 6 * 1024];
/// Of mender-client's memory in the same run.
const BAR_SHARE: f64 = 0.20;
/// Of a core, percent.
const BAR_CPU: f64 = 0.5;
/// Bytes of IP packets from the device in an hour.
const BAR_UPLINK: u64 = 20 * 1024;
/// Bytes of an Ethernet frame that are none of IP's.
const FRAME: u64 = 14;
/// What the proxy is told of the device.
const CREDENTIALS: (&str, &str) = ("bench", "s3cret");
const PATIENCE: Duration = Duration::from_secs(120);
/// For the agent to find the restarted server, to open its sensor and to say its first words: the one handshake of 4 KB would
/// else count as if there were two in an hour.
const SETTLE: Duration = Duration::from_secs(180);

/// An agent at work, and all around it. What ends the others stands first.
pub struct SensorSoak {
    machine: Machine,
    mender: Option<Child>,
    sim: PathBuf,
    peers: Vec<SocketAddr>,
    state: PathBuf,
    begun: Seen,
    minutes: u64,
    namespace: Namespace,
    _hospital: Hospital,
    _proxy: HttpProxy,
    _runtime: Runtime,
    _folder: Folder,
}

/// What has been used up so far.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    ticks: u64,
    /// Bytes of IP from the device, and to it.
    line: [u64; 2],
}

/// What is judged.
#[derive(Clone, Copy, Debug)]
struct Figures {
    rss_kib: u64,
    peer_kib: Option<u64>,
    tier: Option<u8>,
    /// Of a core, since it settled.
    cpu_percent: f64,
    /// Bytes of IP from the device in an hour, once there are minutes enough.
    uplink: Option<u64>,
}

impl SensorSoak {
    /// Builds the program and everything around it, and waits until it has settled.
    ///
    /// # Errors
    /// If anything is missing: the superuser, a namespace, tinyproxy.
    pub fn new(sim: &Path) -> anyhow::Result<Self> {
        let agent = build()?;
        let runtime = Runtime::new()?;
        let folder = Folder::open(None)?;
        let what = "soak sensor";
        let namespace = Namespace::open(what)?.context("no network namespace: run it as root")?;
        let proxy = HttpProxy::start(folder.path(), namespace.gate(), CREDENTIALS)?.context("no proxy")?;
        let peers = listen(namespace.second_cable(PEERS)?)?;
        let place = (folder.path(), agent.as_path());
        let (machine, hospital) = runtime.block_on(settle(sim, place, &namespace, &proxy))?;
        let mender = skip::look_up("mender").map(|peer| start_peer(folder.path(), &peer)).transpose()?;
        std::thread::sleep(SETTLE);
        let state = folder.path().join("machine/state");
        let mut soak = Self {
            machine,
            mender,
            sim: sim.to_owned(),
            peers,
            state,
            begun: Seen::default(),
            minutes: 0,
            namespace,
            _hospital: hospital,
            _proxy: proxy,
            _runtime: runtime,
            _folder: folder,
        };
        soak.begun = soak.seen()?.0;
        Ok(soak)
    }

    fn seen(&self) -> anyhow::Result<(Seen, Footprint)> {
        let pid = self.machine.pid().context("the agent does not run")?;
        ensure!(self.machine.starts() == 1, "the agent ended and was started again");
        let look = Footprint::of(pid)?;
        let line = self.namespace.ways()?.map(|(bytes, packets)| bytes - FRAME * packets);
        Ok((Seen { ticks: look.ticks, line }, look))
    }

    /// A minute of talk; connections that were answered.
    fn talk(&self, seed: u64) -> anyhow::Result<u64> {
        let (ip, inside) = self.namespace.door();
        let mut command = program(ip);
        command.args(inside).arg(&self.sim).arg("talk");
        command.args(["--seed", &seed.to_string(), "--a-minute", &A_MINUTE.to_string()]);
        command.args(["--connections", &A_MINUTE.to_string()]);
        for peer in &self.peers {
            command.args(["--to", &peer.to_string()]);
        }
        let said = command.output()?;
        ensure!(said.status.success(), "talk: {}", String::from_utf8_lossy(&said.stderr));
        Ok(String::from_utf8_lossy(&said.stdout).trim().parse()?)
    }

    fn status(&self) -> anyhow::Result<Status> {
        Status::read(&StateFolder::open(self.state.clone())?)?.context("the agent has written no status")
    }
}

impl Rounds for SensorSoak {
    fn title(&self) -> &'static str {
        "The shipped agent with its sensor on, a hundred connections a minute"
    }

    fn play(&mut self, seed: u64) -> anyhow::Result<Outcome> {
        let (before, _) = self.seen()?;
        let answered = self.talk(seed)?;
        self.minutes += 1;
        let (after, look) = self.seen()?;
        let status = self.status()?;
        let minutes = self.minutes as f64;
        let out = after.line[0] - self.begun.line[0];
        let figures = Figures {
            rss_kib: look.rss_kib,
            peer_kib: self.mender.as_ref().and_then(|mender| Some(Footprint::of(mender.id()).ok()?.rss_kib)),
            tier: status.sensor_tier,
            cpu_percent: (after.ticks - self.begun.ticks) as f64 / TICKS_PER_S / (minutes * 60.0) * 100.0,
            uplink: (self.minutes >= LEAST).then(|| out * 60 / self.minutes),
        };
        println!(
            "minute {}: {answered} connections, {} KiB{}, {:.2} % of a core, {out} bytes out and {} in; sensor tier {:?}, {} entries in its profile",
            self.minutes,
            figures.rss_kib,
            figures.peer_kib.map_or_else(String::new, |peer| format!(" (mender-client {peer})")),
            figures.cpu_percent,
            after.line[1] - self.begun.line[1],
            figures.tier,
            status.profile.keys,
        );
        let mut missed = judged(&figures);
        if u64::from(A_MINUTE) != answered {
            missed.push(format!("{answered} of {A_MINUTE} connections were answered"));
        }
        if status.profile.keys < 2 {
            missed.push("the sensor has learned nothing of the talk".to_owned());
        }
        Ok(Outcome {
            counts: vec![
                ("connections to known peers", answered),
                ("minutes at tier 1", u64::from(figures.tier == Some(1))),
                ("CPU of the agent, ms", (after.ticks - before.ticks) * 10),
                ("bytes of IP from the device", after.line[0] - before.line[0]),
                ("bytes of IP to the device", after.line[1] - before.line[1]),
                ("sum of resident KiB at each minute's end", figures.rss_kib),
            ],
            fault: (!missed.is_empty()).then(|| missed.join("; ")),
        })
    }

    /// The same judge over a program that is far too large: this one.
    fn control(&mut self, _seed: u64) -> anyhow::Result<String> {
        let own = Footprint::of(std::process::id())?;
        let figures = Figures {
            rss_kib: own.rss_kib,
            peer_kib: None,
            tier: Some(1),
            cpu_percent: 0.0,
            uplink: Some(BAR_UPLINK + 1),
        };
        let missed = judged(&figures);
        ensure!(missed.len() == 2, "a program of {} KiB was let pass: {missed:?}", own.rss_kib);
        Ok(format!("cordon-sim in the agent's place, and a byte too many: {}", missed.join("; ")))
    }
}

impl Drop for SensorSoak {
    fn drop(&mut self) {
        self.machine.off();
        if let Some(mender) = &mut self.mender {
            let _ = mender.kill().and_then(|()| mender.wait());
        }
    }
}

fn judged(figures: &Figures) -> Vec<String> {
    let Figures { rss_kib, peer_kib, tier, cpu_percent, uplink } = *figures;
    let [with_packets, without] = BAR_RSS_KIB;
    let most = if tier == Some(1) { with_packets } else { without };
    let mut missed = Vec::new();
    if tier.is_none() {
        missed.push("the sensor is blind".to_owned());
    }
    if rss_kib > most {
        missed.push(format!("{rss_kib} KiB, the bar is {most}"));
    }
    if let Some(peer_kib) = peer_kib.filter(|peer| rss_kib as f64 > *peer as f64 * BAR_SHARE) {
        missed.push(format!("{rss_kib} KiB beside {peer_kib}, the bar is {BAR_SHARE}"));
    }
    if cpu_percent > BAR_CPU {
        missed.push(format!("{cpu_percent:.2} % of a core, the bar is {BAR_CPU}"));
    }
    if let Some(uplink) = uplink.filter(|uplink| *uplink > BAR_UPLINK) {
        missed.push(format!("{uplink} bytes in an hour, the bar is {BAR_UPLINK}"));
    }
    missed
}

/// Peers that answer what they hear, until this process ends.
fn listen(addresses: Vec<Ipv4Addr>) -> anyhow::Result<Vec<SocketAddr>> {
    let mut peers = Vec::new();
    for (address, number) in addresses.into_iter().zip(0_u16..) {
        let listener = TcpListener::bind((address, 440 + number))?;
        peers.push(listener.local_addr()?);
        std::thread::Builder::new().spawn(move || {
            for stream in listener.incoming().flatten() {
                // One that breaks off is counted by whoever called.
                let _ = answer(stream);
            }
        })?;
    }
    Ok(peers)
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut heard = [0; BYTES];
    stream.read_exact(&mut heard)?;
    stream.write_all(&heard)?;
    stream.read_to_end(&mut Vec::new()).map(|_| ())
}

/// Enrols the shipped agent behind the proxy and starts it at the ordinary pace.
async fn settle(
    sim: &Path,
    (folder, agent): (&Path, &Path),
    namespace: &Namespace,
    proxy: &HttpProxy,
) -> anyhow::Result<(Machine, Hospital)> {
    let mut hospital = Hospital::open(sim, folder, &["device.checkin_s=1"]).await?;
    hospital.open_maker("cordon", &["Bench-PC"]).await?;
    let unit = Unit { model: BENCH, number: 0, site: "Bench", ward: "Bench" };
    let (home, root) = (folder.join("machine"), hospital.maker_root("cordon"));
    let factory = Factory {
        release: "bench-pc/1.0.0".parse()?,
        counter: 100,
        image: b"as built\n",
        interlock: InterlockClass::None,
        maker: ("cordon", &root),
    };
    let config = fleet::build(&home, &unit, &factory)?;
    let built = std::fs::read_to_string(&config)?;
    // Before the tables: TOML's own order.
    std::fs::write(
        &config,
        format!("proxy = \"{}\"\nproxy_auth_file = \"proxy-auth\"\n{built}", proxy.url()),
    )?;
    let (name, password) = CREDENTIALS;
    private(&home.join("proxy-auth"), &format!("{name}:{password}"))?;
    let place = Place { site: unit.site, ward: unit.ward, kind: BENCH.kind };
    let line = hospital.enrolment(BENCH.name, &place, Who::Serial(&unit.serial())).await?;
    private(&home.join("join"), &(line + "\n"))?;
    let (ip, inside) = namespace.door();
    let mut enrol = program(&ip);
    enrol.args(&inside).arg(agent).arg("--config").arg(&config);
    enrol.args(["enrol", "--with"]).arg(home.join("join"));
    let enrolled = enrol.output()?;
    ensure!(enrolled.status.success(), "enrol: {}", String::from_utf8_lossy(&enrolled.stderr));
    let agent = agent.display().to_string();
    let words: Vec<&str> = inside.iter().map(String::as_str).chain([agent.as_str()]).collect();
    let machine = Machine::new(&ip, &words, &config, &home.join("boot"));
    machine.on();
    until("the first word of the sensor", PATIENCE, || async {
        let listed = hospital.api("/api/v1/devices").await?;
        let tier = listed.pointer("/devices/0/sensor_tier").is_some_and(|tier| !tier.is_null());
        Ok(if tier { Ok(()) } else { Err(listed.to_string()) })
    })
    .await?;
    hospital.stop().await?;
    sleep(Duration::from_secs(1)).await;
    hospital.start(&["device.checkin_s=300"]).await?;
    Ok((machine, hospital))
}

fn private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bar_is_held_and_missed_by_a_byte_or_a_hundredth() {
        // Goal: a judge that judges. Method: figures at each bar, then beyond each alone.
        let held = Figures {
            rss_kib: 7168,
            peer_kib: Some(35_840),
            tier: Some(1),
            cpu_percent: 0.5,
            uplink: Some(20_480),
        };
        assert_eq!(judged(&held), Vec::<String>::new());
        for missed in [
            Figures { rss_kib: 7169, peer_kib: None, ..held },
            Figures { peer_kib: Some(35_839), ..held },
            Figures { tier: Some(0), ..held },
            Figures { cpu_percent: 0.51, ..held },
            Figures { uplink: Some(20_481), ..held },
        ] {
            assert_eq!(judged(&missed).len(), 1, "{missed:?}");
        }
        assert_eq!(judged(&Figures { tier: None, rss_kib: 6144, ..held }), ["the sensor is blind"]);
    }
}
