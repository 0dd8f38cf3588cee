//! A relay that counts: a proxy on loopback that opens every tunnel, and can cut each after so many bytes.
//!
//! What passes in both directions is counted as it is on the wire, TLS and all. It ends with the value. Read next:
//! [`crate::patched_pump`].

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
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Counts {
    passed: AtomicU64,
    /// Bytes towards the device after which a tunnel is cut; 0 for never.
    cut: AtomicU64,
    cuts: AtomicU64,
}

impl Relay {
    /// Starts one on a free port.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, counts) = (listener.local_addr()?, Arc::new(Counts::default()));
        let shared = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counts = Arc::clone(&shared);
                // A tunnel that breaks is the device's to notice.
                tokio::spawn(async move { tunnel(stream, &counts).await });
            }
        });
        Ok(Self { address, counts, task })
    }

    /// `http://HOST:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bytes that passed, both ways.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.counts.passed.load(Ordering::Relaxed)
    }

    /// From now on every tunnel is cut after so many bytes towards the device; 0 for never.
    pub fn cut_after(&self, bytes: u64) {
        self.counts.cut.store(bytes, Ordering::Relaxed);
    }

    /// Tunnels that were cut.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.counts.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn tunnel(mut device: TcpStream, counts: &Counts) -> anyhow::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < HEAD_BYTES, "an endless head");
        head.push(device.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let host = text.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    let server = TcpStream::connect(host.context("no request for a tunnel")?).await?;
    device.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    let (mut from_device, mut to_device) = device.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::select! {
        done = copy(&mut from_device, &mut to_server, counts, false) => done,
        done = copy(&mut from_server, &mut to_device, counts, true) => done,
    }
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    counts: &Counts,
    may_cut: bool,
) -> anyhow::Result<()> {
    let (mut bytes, mut sum) = (vec![0; 16 * 1024], 0_u64);
    loop {
        let read = from.read(&mut bytes).await?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(bytes.get(..read).unwrap_or_default()).await?;
        let read = u64::try_from(read)?;
        counts.passed.fetch_add(read, Ordering::Relaxed);
        sum += read;
        let cut = counts.cut.load(Ordering::Relaxed);
        if may_cut && cut > 0 && sum > cut {
            counts.cuts.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
    }
}
