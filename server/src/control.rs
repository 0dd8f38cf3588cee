//! The local control socket: what only the machine's own administrator may ask of a running server.
//!
//! A Unix socket of mode 0600 in the server's folder; besides, the kernel says who connects, and nobody but the
//! server's own user and root is answered. One line of JSON asks, one answers; long work says how far it is in a line
//! each second before that. A few are answered at once, so a backup keeps nobody from signing in. It opens no store.
//! Read next: [`Question`].

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::app::App;
use crate::ca::steps::{Ask, Told};
use crate::care::backup::{Made, Order, Progress};
use crate::care::scheduled;

/// Bytes of a line: a path and some words.
const LINE_BYTES: u64 = 32 * 1024;
/// How long the server waits for a line to be sent or taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long whoever asks waits for the next line: a step with a key in a token is one act, however slow the token. A server
/// that ends is noticed at once.
const ANSWER: Duration = Duration::from_secs(60);
/// How often long work says how far it is.
const WORD: Duration = Duration::from_secs(1);
/// How many are answered at once.
const TALKS: usize = 8;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ask")]
pub enum Question {
    /// A one-time link into the console.
    SignInLink,
    /// A backup, written by the server itself.
    Backup(Order),
    /// The authorities: how they stand, or a step.
    Authority(Ask),
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The link.
    Link(String),
    /// Bytes of the backup so far; another line follows.
    Written(u64),
    /// The backup stands.
    BackedUp(Made),
    /// What came of a question about the authorities.
    Authority(Told),
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
    let mut talks = JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = app.drained() => break,
            Some(_) = talks.join_next() => continue,
            accepted = listener.accept(), if talks.len() < TALKS => accepted,
        };
        let Ok((stream, _)) = stream else { continue };
        let app = app.clone();
        talks.spawn(async move { converse(stream, &app).await });
    }
    // A backup under way ends by itself when the server drains, and says so.
    while talks.join_next().await.is_some() {}
}

async fn converse(stream: UnixStream, app: &Arc<App>) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    if uid != 0 && uid != rustix::process::geteuid().as_raw() {
        tracing::warn!(uid, "somebody else asked at the control socket and was not answered");
        return Ok(());
    }
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    within(PATIENCE, (&mut stream).take(LINE_BYTES).read_line(&mut line)).await?;
    let reply = match serde_json::from_str::<Question>(&line) {
        Ok(Question::SignInLink) => match app.sign_in_link() {
            Some(link) => Reply::Link(link),
            None => {
                Reply::Refused("the operator plane does not listen yet: ask again in a moment".to_owned())
            }
        },
        Ok(Question::Authority(ask)) => match app.authority_step(&ask).await {
            Ok(told) => Reply::Authority(told),
            Err(error) => Reply::Refused(crate::log::chain(&error)),
        },
        Ok(Question::Backup(order)) => return back_up(&mut stream, app, &order).await,
        Err(_) => Reply::Refused("this server does not know the question: use the same version".to_owned()),
    };
    say(&mut stream, &reply).await
}

/// Writes the backup and tells how far it is. Whoever asked and went away wants it no more.
async fn back_up(stream: &mut BufReader<UnixStream>, app: &Arc<App>, order: &Order) -> io::Result<()> {
    let progress = Arc::new(Progress::default());
    let work = scheduled::now_of(app, order, progress.clone());
    tokio::pin!(work);
    let mut words = tokio::time::interval(WORD);
    let made = loop {
        tokio::select! {
            made = &mut work => break made,
            _ = words.tick() => {
                if say(stream, &Reply::Written(progress.bytes())).await.is_err() {
                    progress.give_up();
                }
            }
        }
    };
    let reply = match made {
        Ok(made) => Reply::BackedUp(made),
        Err(error) => Reply::Refused(crate::log::chain(&error)),
    };
    say(stream, &reply).await
}

async fn say(stream: &mut BufReader<UnixStream>, reply: &Reply) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(reply)?;
    bytes.push(b'\n');
    within(PATIENCE, stream.write_all(&bytes)).await
}

async fn within<T>(patience: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(patience, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Asks a running server. `told` hears how far long work is.
pub async fn ask(path: &Path, question: &Question, mut told: impl FnMut(u64)) -> Result<Reply, ControlError> {
    let stream = UnixStream::connect(path).await;
    let stream = stream.map_err(|source| ControlError::Absent { path: path.to_owned(), source })?;
    let mut stream = BufReader::new(stream);
    let mut bytes = serde_json::to_vec(question).map_err(|_| ControlError::Answer)?;
    bytes.push(b'\n');
    within(PATIENCE, stream.write_all(&bytes)).await.map_err(|_| ControlError::Answer)?;
    loop {
        let mut line = String::new();
        let read = within(ANSWER, (&mut stream).take(LINE_BYTES).read_line(&mut line)).await;
        read.map_err(|_| ControlError::Answer)?;
        match serde_json::from_str(&line).map_err(|_| ControlError::Answer)? {
            Reply::Written(bytes) => told(bytes),
            reply @ (Reply::Link(_) | Reply::BackedUp(_) | Reply::Authority(_) | Reply::Refused(_)) => {
                return Ok(reply);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slow_step_is_waited_for_and_an_end_is_noticed_at_once() {
        // Goal: an act with a slow token is not called a failure. Method: a server that answers after half a minute,
        // then one that hangs up instead.
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control");
        let listener = UnixListener::bind(&path).expect("binds");
        let server = async {
            for answers in [true, false] {
                let (stream, _) = listener.accept().await.expect("is asked");
                let mut stream = BufReader::new(stream);
                stream.read_line(&mut String::new()).await.expect("a question");
                tokio::time::sleep(ANSWER / 2).await;
                if answers {
                    say(&mut stream, &Reply::Link("a link".to_owned())).await.expect("is taken");
                }
            }
        };
        let asker = async {
            let first = ask(&path, &Question::SignInLink, |_| ()).await;
            (first.ok(), ask(&path, &Question::SignInLink, |_| ()).await)
        };
        let ((), (first, second)) = tokio::join!(server, asker);
        assert_eq!(first, Some(Reply::Link("a link".to_owned())));
        assert!(matches!(second, Err(ControlError::Answer)), "{second:?}");
    }
}
