//! A bad line between a device and its server: a CONNECT proxy that counts what it passes to the device and cuts it off.
//!
//! What it passes is TLS, of which it knows nothing; a connection is cut once so many bytes have gone to the device over
//! it, as long as cuts are left. It ends with the value. Read next: [`crate::transport`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Bytes of the head of a request, at most.
const HEAD_BYTES: usize = 4096;

/// A running proxy.
#[derive(Debug)]
pub struct CuttingProxy {
    address: SocketAddr,
    line: Arc<Line>,
    task: JoinHandle<()>,
}

/// What all its connections share.
#[derive(Debug)]
struct Line {
    /// Bytes to the device after which a connection is cut.
    after: u64,
    cuts_left: AtomicU32,
    to_device: AtomicU64,
}

impl CuttingProxy {
    /// One on a free port of this machine that cuts `cuts` connections, each after so many bytes to the device.
    pub async fn start(cuts: u32, after: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let line = Line { after, cuts_left: AtomicU32::new(cuts), to_device: AtomicU64::new(0) };
        let line = Arc::new(line);
        let shared = Arc::clone(&line);
        let task = tokio::spawn(async move {
            while let Ok((device, _)) = listener.accept().await {
                // However a connection ends, the device sees it.
                tokio::spawn(pass(device, Arc::clone(&shared)));
            }
        });
        Ok(Self { address, line, task })
    }

    /// What a device's configuration says to go through it.
    #[must_use]
    pub fn setting(&self) -> String {
        format!("proxy = \"http://{}\"\n", self.address)
    }

    /// Bytes that went to the device.
    #[must_use]
    pub fn to_device(&self) -> u64 {
        self.line.to_device.load(Ordering::Relaxed)
    }

    /// Cuts that are left.
    #[must_use]
    pub fn cuts_left(&self) -> u32 {
        self.line.cuts_left.load(Ordering::Relaxed)
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut device: TcpStream, line: Arc<Line>) -> anyhow::Result<()> {
    let mut server = opened(&mut device).await?;
    let ((mut from_device, mut to_device), (mut from_server, mut to_server)) =
        (device.split(), server.split());
    let up = tokio::io::copy(&mut from_device, &mut to_server);
    let down = async {
        let (mut piece, mut passed) = (vec![0; 16 * 1024], 0);
        loop {
            let read = from_server.read(&mut piece).await?;
            let bytes = piece.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(());
            }
            to_device.write_all(bytes).await?;
            let length = u64::try_from(read)?;
            line.to_device.fetch_add(length, Ordering::Relaxed);
            passed += length;
            let one_less = |left: u32| left.checked_sub(1);
            if passed >= line.after
                && line.cuts_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
            {
                return anyhow::Ok(());
            }
        }
    };
    tokio::select! {
        _ = up => Ok(()),
        ended = down => ended,
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
    device.write_all(b"HTTP/1.1 200 x\r\n\r\n").await?;
    Ok(server)
}
