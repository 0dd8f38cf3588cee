//! `bench handshake`: the server's CPU for one full mutual-TLS handshake and one authorised request, beside nginx.
//!
//! Both sides show a P-256 chain of the same authority, demand the same client certificate, speak TLS 1.3, resume
//! nothing and answer one request with 404. Ours also looks the device up in its table and judges its state; nginx
//! verifies the chain (`ssl_verify_client on`). The same callers ask both in turn. Bar: our CPU for one is at most half
//! of nginx's. CPU is read from the kernel in ticks of 10 ms over the whole process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use cordon_server::ca::Authority;
use cordon_server::clock::Clock;
use cordon_server::config::Config;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::PrivateKeyDer;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;

use super::footprint::{Footprint, TICKS_PER_S};
use crate::caller::{Answer, Population, ask};
use crate::command::Folder;
use crate::hospital::Hospital;
use crate::program::program;
use crate::skip::require_package;

/// Callers at once.
const CALLERS: usize = 16;
/// Connections of one round on one side.
const CONNECTIONS: usize = 4000;
/// Rounds on each side, in turn.
const ROUNDS: usize = 5;
/// Our CPU beside nginx's.
const BAR: f64 = 0.5;
/// What every connection asks for: nothing that is there.
const REQUEST: &[u8] =
    b"GET /v1/tuf/director/999.root.json HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
/// What both answer.
const NOT_THERE: u16 = 404;

/// Runs both sides.
pub fn run() -> anyhow::Result<()> {
    let nginx = require_package("nginx").context("nginx is the peer: install the package nginx")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = Folder::open(None)?;
    runtime.block_on(both(folder.path(), &nginx))
}

/// One side of the pair.
struct Side {
    name: &'static str,
    address: SocketAddr,
    /// Its process, and what it is called with.
    seen: Footprint,
    /// CPU of one connection in each round, in microseconds.
    cpu_us: Vec<f64>,
    rate: Vec<f64>,
}

async fn both(folder: &Path, nginx: &Path) -> anyhow::Result<()> {
    let settings = ["device.requests=100000", "device.requests_per_minute=100000"];
    let mut hospital = Hospital::open(&std::env::current_exe()?, folder, &settings).await?;
    hospital.stop().await?;
    let laid = folder.join("server");
    let population = Population::settle(&laid, "Bench-PC", CALLERS).await?;
    hospital.start(&settings).await?;
    let peer = Nginx::start(folder, &laid, (nginx, Manner::Peer)).await?;
    let mut sides = [
        Side::new("cordon-server, device table asked", hospital.ready().device, hospital.ready().pid)?,
        Side::new("nginx, ssl_verify_client on", peer.address, peer.child.id())?,
    ];
    let callers = population.residents.iter().map(|resident| population.connector(Some(resident)));
    let callers: Arc<Vec<TlsConnector>> = Arc::new(callers.collect::<anyhow::Result<_>>()?);
    let nobody = population.connector(None)?;
    for side in &sides {
        let refused = ask(side.address, &nobody, REQUEST).await;
        let let_in = matches!(refused, Ok(Answer { status: NOT_THERE, .. }));
        ensure!(!let_in, "{} serves callers without a certificate", side.name);
    }
    // The first round warms both up.
    for round in 0..=ROUNDS {
        for side in &mut sides {
            side.round(&callers, round > 0).await?;
        }
    }
    hospital.stop().await?;
    drop(peer);
    report(&mut sides)
}

impl Side {
    fn new(name: &'static str, address: SocketAddr, pid: u32) -> anyhow::Result<Self> {
        Ok(Self { name, address, seen: Footprint::of(pid)?, cpu_us: Vec::new(), rate: Vec::new() })
    }

    /// One round of connections; it counts if `counts`.
    async fn round(&mut self, callers: &Arc<Vec<TlsConnector>>, counts: bool) -> anyhow::Result<()> {
        let before = Footprint::of(self.seen.pid)?.ticks;
        let (begun, next) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for number in 0..CALLERS {
            tasks.spawn(call(self.address, callers.clone(), number, next.clone()));
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        let wall_s = begun.elapsed().as_secs_f64();
        let cpu_s = (Footprint::of(self.seen.pid)?.ticks - before) as f64 / TICKS_PER_S;
        if counts {
            self.cpu_us.push(cpu_s * 1e6 / CONNECTIONS as f64);
            self.rate.push(CONNECTIONS as f64 / wall_s);
        }
        Ok(())
    }

    fn median(&self) -> f64 {
        let mut sorted = self.cpu_us.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
    }

    fn worst(&self) -> f64 {
        self.cpu_us.iter().copied().fold(0.0, f64::max)
    }
}

async fn call(
    address: SocketAddr,
    callers: Arc<Vec<TlsConnector>>,
    number: usize,
    next: Arc<AtomicUsize>,
) -> anyhow::Result<()> {
    let tls = callers.get(number).context("fewer identities than callers")?;
    while next.fetch_add(1, Ordering::Relaxed) < CONNECTIONS {
        let answer = ask(address, tls, REQUEST).await?;
        ensure!(answer.status == NOT_THERE, "answered with {}", answer.status);
    }
    Ok(())
}

fn report(sides: &mut [Side; 2]) -> anyhow::Result<()> {
    println!(
        "{ROUNDS} rounds of {CONNECTIONS} connections on each side in turn, {CALLERS} callers; TLS 1.3, P-256, full \
         handshakes"
    );
    println!("{:<36} {:>8} {:>12} {:>12} {:>12}", "", "pid", "µs CPU each", "worst", "per wall s");
    for side in &*sides {
        let rate = side.rate.iter().sum::<f64>() / side.rate.len().max(1) as f64;
        println!(
            "{:<36} {:>8} {:>12.0} {:>12.0} {:>12.0}",
            side.name,
            side.seen.pid,
            side.median(),
            side.worst(),
            rate
        );
        println!("    {}", side.seen.argv);
    }
    let [ours, theirs] = sides;
    let ratio = ours.median() / theirs.median();
    let word = if ratio <= BAR { "held  " } else { "MISSED" };
    println!("\n{word} CPU of one handshake with its request beside nginx: {ratio:.2}, at most {BAR}");
    ensure!(ratio <= BAR, "a bar was missed");
    Ok(())
}

/// How an nginx is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As a device plane would be: TLS 1.3, client certificates demanded, no tickets.
    Peer,
    /// As nothing of ours may be: TLS 1.2, old ciphers, tickets.
    Careless,
}

/// The peer: one process, one worker, on a loopback port.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Nginx {
    /// Starts one below `folder` with a certificate of the authority laid at `laid`.
    pub async fn start(folder: &Path, laid: &Path, (nginx, manner): (&Path, Manner)) -> anyhow::Result<Self> {
        let place = folder.join("nginx");
        std::fs::create_dir_all(&place)?;
        let config = Config::load(&laid.join("cordon.toml"), &[])?;
        let ca = Authority::open(&config)?.for_server();
        let (leaf, key) = ca.server_leaf(&["127.0.0.1".to_owned()], Clock::system().now())?;
        let PrivateKeyDer::Pkcs8(key) = key else { anyhow::bail!("the key is no PKCS#8") };
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256)?.serialize_pem();
        let chain = [leaf.as_ref(), ca.issuing().as_ref()].map(pem).concat();
        let anchors = [ca.issuing().as_ref(), ca.root().as_ref()].map(pem).concat();
        for (name, text) in [("chain.pem", &chain), ("key.pem", &key), ("anchors.pem", &anchors)] {
            std::fs::write(place.join(name), text)?;
        }
        let port = crate::ports::free(std::net::Ipv4Addr::LOCALHOST)?;
        std::fs::write(place.join("nginx.conf"), settings(port, manner))?;
        let child = program(nginx)
            .arg("-p")
            .arg(&place)
            .args(["-e", "error.log", "-c", "nginx.conf"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let started = Self { child, address: SocketAddr::from(([127, 0, 0, 1], port)) };
        for _ in 0..100 {
            if tokio::net::TcpStream::connect(started.address).await.is_ok() {
                return Ok(started);
            }
            sleep(Duration::from_millis(50)).await;
        }
        let said = std::fs::read_to_string(place.join("error.log")).unwrap_or_default();
        anyhow::bail!("nginx did not start: {said}")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A worker that shares its process with the master, so that all of its CPU is in one place.
fn settings(port: u16, manner: Manner) -> String {
    let tls = match manner {
        Manner::Peer => {
            "ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache off; ssl_verify_client on;"
        }
        Manner::Careless => "ssl_protocols TLSv1.2; ssl_ciphers ALL:@SECLEVEL=0; ssl_session_tickets on;",
    };
    let place = PathBuf::from("tmp");
    let place = place.display();
    format!(
        "daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log error.log crit;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
         access_log off; client_body_temp_path {place}; proxy_temp_path {place}; fastcgi_temp_path {place};\n\
         uwsgi_temp_path {place}; scgi_temp_path {place};\n\
         server {{\n\
         listen 127.0.0.1:{port} ssl; {tls}\n\
         ssl_certificate chain.pem; ssl_certificate_key key.pem;\n\
         ssl_client_certificate anchors.pem; ssl_verify_depth 3;\n\
         location / {{ return {NOT_THERE}; }}\n\
         }}\n\
         }}\n"
    )
}

fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
