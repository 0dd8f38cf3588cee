//! The way to the SIEM: one connection for one batch, whose orderly end on both sides is the receipt.
//!
//! Syslog has no answer. So a batch is written, our side is closed, and the other side has read it all when it closes too:
//! whoever goes away in the middle leaves bytes unread, and the system answers with a reset. Every wait has an end.
//! Nothing here knows what is sent. Read next: [`Way::send`].

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::{Config, SiemSettings};
use crate::tls::{self, TlsError};

/// How long finding and reaching it may take, and how long the handshake.
const CONNECT: Duration = Duration::from_secs(10);
/// How long it may take to read a batch.
const READ: Duration = Duration::from_secs(60);
/// How long it may take to close its side.
const CLOSE: Duration = Duration::from_secs(15);

/// How the SIEM is reached.
pub(super) struct Way {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// Why a server with these settings does not start.
#[derive(Debug, thiserror::Error)]
pub enum SiemError {
    /// The address.
    #[error("`siem.address` or `siem.name` is no name that a certificate could bear: {0}")]
    Name(String),
    /// Authority, certificate or key.
    #[error("TLS to the SIEM cannot be set up by `siem.ca`, `siem.certificate` and `siem.key`")]
    Tls(#[from] TlsError),
}

/// Why a batch did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Nobody there.
    #[error("{0} is not reached: does it listen there, and does a firewall let this server out?")]
    Reach(String, #[source] io::Error),
    /// No handshake.
    #[error(
        "TLS with {0} failed: is `siem.ca` the authority of its certificate, is that for this name, and does it take ours?"
    )]
    Handshake(String, #[source] io::Error),
    /// It went away before it had everything.
    #[error("{0} ended the connection before it had read everything; it is sent again")]
    Broken(String, #[source] io::Error),
    /// It takes too long.
    #[error("{0} does not {1} within {2} s; it is sent again")]
    Slow(String, &'static str, u64),
}

/// What is known of a batch that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Version and cipher suite of TLS; none on this very machine.
    pub tls: Option<String>,
}

impl Way {
    /// The way of the settings; files are read now.
    pub(super) fn of(settings: &SiemSettings, config: &Config) -> Result<Self, SiemError> {
        let unnamed = || SiemError::Name(settings.address.clone());
        let (host, port) = settings.parts().ok_or_else(unnamed)?;
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| config.path(path));
        let tls = match path(&settings.ca).filter(|_| settings.tls) {
            None => None,
            Some(ca) => {
                let own = path(&settings.certificate).zip(path(&settings.key));
                let connector = TlsConnector::from(Arc::new(tls::collector(&ca, own)?));
                let name = ServerName::try_from(settings.host().to_owned()).map_err(|_| unnamed())?;
                Some((connector, name))
            }
        };
        Ok(Self { host: host.to_owned(), port, tls })
    }

    /// Sends frames over a connection of their own, and returns when the other side has read them all. No frames at all
    /// try the way.
    pub(super) async fn send(&self, frames: &[u8]) -> Result<Sent, SendError> {
        let to = format!("{}:{}", self.host, self.port);
        let reached = TcpStream::connect((self.host.as_str(), self.port));
        let stream = in_time(CONNECT, &to, "answer", reached).await?;
        let stream = stream.map_err(|error| SendError::Reach(to.clone(), error))?;
        let Some((connector, name)) = &self.tls else {
            deliver(stream, frames, &to).await?;
            return Ok(Sent { tls: None });
        };
        let shaken = in_time(CONNECT, &to, "finish the handshake", connector.connect(name.clone(), stream));
        let stream = shaken.await?.map_err(|error| SendError::Handshake(to.clone(), error))?;
        let state = stream.get_ref().1;
        let spoken = state.protocol_version().zip(state.negotiated_cipher_suite());
        let tls = spoken.map(|(version, suite)| format!("{version:?} {:?}", suite.suite()));
        deliver(stream, frames, &to).await?;
        Ok(Sent { tls })
    }
}

/// Writes, closes our side and waits for the end of the other.
async fn deliver<S: AsyncRead + AsyncWrite>(stream: S, frames: &[u8], to: &str) -> Result<(), SendError> {
    let (mut from_it, mut to_it) = split(stream);
    let mut ended = pin!(end(&mut from_it));
    let write = async {
        to_it.write_all(frames).await?;
        to_it.shutdown().await
    };
    let written = tokio::select! {
        // An end before ours is no receipt, whatever was written into the system's buffers by then.
        biased;
        early = &mut ended => Err(early.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())),
        written = timeout(READ, write) => match written {
            Ok(written) => written,
            Err(_) => return Err(slow(to, "read the events", READ)),
        },
    };
    written.map_err(|error| SendError::Broken(to.to_owned(), error))?;
    let closed = in_time(CLOSE, to, "close the connection after us", ended).await?;
    closed.map_err(|error| SendError::Broken(to.to_owned(), error))
}

/// Reads to the end; what a SIEM says means nothing here. Some close without TLS's own farewell.
async fn end(from_it: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut ignored = [0; 512];
    loop {
        match from_it.read(&mut ignored).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

async fn in_time<T>(
    limit: Duration,
    to: &str,
    doing: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, SendError> {
    timeout(limit, work).await.map_err(|_| slow(to, doing, limit))
}

fn slow(to: &str, doing: &'static str, limit: Duration) -> SendError {
    SendError::Slow(to.to_owned(), doing, limit.as_secs())
}
