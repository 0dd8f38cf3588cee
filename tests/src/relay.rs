//! A bad line between a device and its server: a CONNECT proxy on loopback that counts what passes, and cuts tunnels.
//!
//! What passes is TLS, of which it knows nothing; it is counted as it is on the wire. A tunnel is cut once so many bytes
//! have gone to the device over it, as long as cuts are left. It ends with the value. Read next:
//! [`crate::patched_pump`], [`crate::transport`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, ensure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Bytes of the head of a request for a tunnel.
const HEAD_BYTES: usize = 4096;

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    line: Arc<Line>,
    task: JoinHandle<()>,
}

/// What all its tunnels share.
#[derive(Debug, Default)]
struct Line {
    to_device: AtomicU64,
    to_server: AtomicU64,
    /// Bytes to the device after which a tunnel is cut.
    after: AtomicU64,
    cuts_left: AtomicU64,
    cuts: AtomicU64,
}

impl Relay {
    /// Starts one on a free port. It cuts nothing until it is told to.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, line) = (listener.local_addr()?, Arc::new(Line::default()));
        let shared = Arc::clone(&line);
        let task = tokio::spawn(async move {
            while let Ok((device, _)) = listener.accept().await {
                let line = Arc::clone(&shared);
                // However a tunnel ends, the device sees it.
                tokio::spawn(async move { tunnel(device, &line).await });
            }
        });
        Ok(Self { address, line, task })
    }

    /// What a device's configuration says to go through it.
    #[must_use]
    pub fn setting(&self) -> String {
        format!("proxy = \"http://{}\"\n", self.address)
    }

    /// From now on so many tunnels are cut, each after so many bytes to the device.
    pub fn cut(&self, tunnels: u64, after: u64) {
        self.line.after.store(after, Ordering::Relaxed);
        self.line.cuts_left.store(tunnels, Ordering::Relaxed);
    }

    /// Bytes that passed, both ways.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.to_device() + self.line.to_server.load(Ordering::Relaxed)
    }

    /// Bytes that went to the device.
    #[must_use]
    pub fn to_device(&self) -> u64 {
        self.line.to_device.load(Ordering::Relaxed)
    }

    /// Tunnels that were cut.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.line.cuts.load(Ordering::Relaxed)
    }
}

impl Line {
    /// Whether a tunnel is to be cut over which so many bytes went to the device; it counts as cut then.
    fn cuts_at(&self, bytes: u64) -> bool {
        let one_less = |left: u64| left.checked_sub(1);
        let is_cut = bytes >= self.after.load(Ordering::Relaxed)
            && self.cuts_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok();
        self.cuts.fetch_add(u64::from(is_cut), Ordering::Relaxed);
        is_cut
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn tunnel(mut device: TcpStream, line: &Line) -> anyhow::Result<()> {
    let mut server = opened(&mut device).await?;
    let ((mut from_device, mut to_device), (mut from_server, mut to_server)) =
        (device.split(), server.split());
    tokio::select! {
        done = copy(&mut from_device, &mut to_server, &line.to_server, |_| false) => done,
        done = copy(&mut from_server, &mut to_device, &line.to_device, |sum| line.cuts_at(sum)) => done,
    }
}

/// Reads `CONNECT HOST:PORT` and opens the way.
async fn opened(device: &mut TcpStream) -> anyhow::Result<TcpStream> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < HEAD_BYTES, "no end of the head");
        head.push(device.read_u8().await?);
    }
    let head = String::from_utf8(head)?;
    let place =
        head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).context("no CONNECT")?;
    let server = TcpStream::connect(place).await?;
    device.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    Ok(server)
}

/// Copies until one side ends, or `cut` says so of the bytes so far.
async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    count: &AtomicU64,
    cut: impl Fn(u64) -> bool,
) -> anyhow::Result<()> {
    let (mut piece, mut sum) = (vec![0; 16 * 1024], 0_u64);
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(piece.get(..read).unwrap_or_default()).await?;
        let read = u64::try_from(read)?;
        count.fetch_add(read, Ordering::Relaxed);
        sum += read;
        if cut(sum) {
            return Ok(());
        }
    }
}
