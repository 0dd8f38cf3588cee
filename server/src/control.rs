//! The local control socket: what only the machine's own administrator may ask of a running server.
//!
//! A Unix socket of mode 0600 in the server's folder; besides, the kernel says who connects, and nobody but the
//! server's own user and root is answered. One line asks, one line of JSON answers. It opens no store.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::app::App;

/// Bytes of a question.
const LINE_BYTES: u64 = 256;
/// How long both sides wait for each other.
const PATIENCE: Duration = Duration::from_secs(5);

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ask")]
pub enum Question {
    /// A one-time link into the console.
    SignInLink,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The link.
    Link(String),
    /// Why there is none.
    Refused(String),
}

/// Why the socket does not help.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens.
    #[error("no server answers at {}: start it with `cordon-server serve`, as the same user", .path.display())]
    Absent {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another server listens already.
    #[error("another server listens at {}: stop it first", .path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error("the control socket {} cannot be made: its path may have 100 characters, and its folder must be ours", .path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The answer cannot be read.
    #[error("the server did not answer in time or not in a form known here")]
    Answer,
}

/// Makes the socket; one that a dead server left behind is replaced.
pub async fn bind(path: &Path) -> Result<UnixListener, ControlError> {
    if UnixStream::connect(path).await.is_ok() {
        return Err(ControlError::Taken { path: path.to_owned() });
    }
    let failed = |source| ControlError::Bind { path: path.to_owned(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Answers until the server drains.
pub async fn serve(listener: UnixListener, app: Arc<App>) {
    loop {
        let stream = tokio::select! {
            () = app.drained() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = stream else { continue };
        // One at a time: an administrator has patience, and nobody else gets this far.
        let _ = timeout(PATIENCE, converse(stream, &app)).await;
    }
}

async fn converse(stream: UnixStream, app: &App) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    if uid != 0 && uid != rustix::process::geteuid().as_raw() {
        tracing::warn!(uid, "somebody else asked at the control socket and was not answered");
        return Ok(());
    }
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    (&mut stream).take(LINE_BYTES).read_line(&mut line).await?;
    let reply = match serde_json::from_str::<Question>(&line) {
        Ok(Question::SignInLink) => match app.sign_in_link() {
            Some(link) => Reply::Link(link),
            None => {
                Reply::Refused("the operator plane does not listen yet: ask again in a moment".to_owned())
            }
        },
        Err(_) => Reply::Refused("this server does not know the question: use the same version".to_owned()),
    };
    let mut bytes = serde_json::to_vec(&reply)?;
    bytes.push(b'\n');
    stream.write_all(&bytes).await
}

/// Asks a running server.
pub async fn ask(path: &Path, question: Question) -> Result<Reply, ControlError> {
    let stream = UnixStream::connect(path).await;
    let stream = stream.map_err(|source| ControlError::Absent { path: path.to_owned(), source })?;
    let answer = timeout(PATIENCE, exchange(stream, question)).await;
    answer.map_err(|_| ControlError::Answer)?.map_err(|_| ControlError::Answer)
}

async fn exchange(mut stream: UnixStream, question: Question) -> io::Result<Reply> {
    let mut bytes = serde_json::to_vec(&question)?;
    bytes.push(b'\n');
    stream.write_all(&bytes).await?;
    let mut line = String::new();
    BufReader::new(stream).take(LINE_BYTES * 4).read_line(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}
