//! The interlock socket: where the device's own software, or a person at the device, says whether it is in use.
//!
//! A Unix socket of mode 0600 whose peers are checked (the agent's own user or root); one line asks, one line answers:
//! `hold in_use|standby|service [TTL_S]`, `release`, `status`, and for a person at the device `free [FOR_S]`. A hold lasts
//! as long as its connection and its time to live; what that means is `cordon_agent_core::interlock`'s to say. It can stop a reboot
//! at once. It can loosen no class of the maker's: `free` stands in for a word only where the class lets it. Read next there.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cordon_agent_core::interlock::{Claim, Connection, Interlock, Owner, Silence};
use cordon_proto::checkin::InterlockState;
use cordon_proto::limits;
use cordon_proto::time::Millis;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::Clock;

/// How long a connection that holds nothing may say nothing.
const IDLE: Duration = Duration::from_secs(limits::IDLE_CONNECTION_S);

/// How often a socket that answers is asked before another agent is said to be there: a program that an agent was just
/// starting when it ended has a copy of the agent's socket until it runs.
const TRIES: u32 = 20;
/// Between two tries.
const TRY_PAUSE: Duration = Duration::from_millis(50);

/// Why the socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InterlockError {
    /// The operating system.
    #[error("cannot {act} the interlock socket {}: {source}", path.display())]
    Io {
        /// What was tried.
        act: &'static str,
        /// The socket.
        path: PathBuf,
        /// The operating system's word.
        #[source]
        source: io::Error,
    },
    /// Another agent answers there.
    #[error("another agent answers on {}; stop it first", .0.display())]
    Taken(PathBuf),
    /// The agent did not take the line.
    #[error("the agent answered: {0}")]
    Refused(String),
}

/// The interlock of this device, shared by the socket and the updater.
#[derive(Clone, Debug)]
pub struct Shared {
    interlock: Arc<Mutex<Interlock>>,
    clock: Arc<dyn Clock>,
    changes: watch::Sender<u64>,
}

impl Shared {
    /// Nobody has said anything yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let interlock = Arc::new(Mutex::new(Interlock::new(millis(&*clock))));
        Self { interlock, clock, changes: watch::Sender::new(0) }
    }

    /// What is said now.
    #[must_use]
    pub fn state(&self) -> InterlockState {
        self.locked().state(self.now())
    }

    /// What stands in for a word now, where there is none.
    #[must_use]
    pub fn silence(&self) -> Silence {
        self.locked().silence(self.now())
    }

    /// Rises with every word that is said or ends; leases also run out by themselves.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn now(&self) -> Millis {
        millis(&*self.clock)
    }

    fn locked(&self) -> MutexGuard<'_, Interlock> {
        // A panic elsewhere cannot leave a lease half written; its word still counts.
        self.interlock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Interlock, Millis) -> T) -> T {
        let result = change(&mut self.locked(), self.now());
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
        result
    }
}

fn millis(clock: &dyn Clock) -> Millis {
    Millis(i64::try_from(clock.monotonic().as_millis()).unwrap_or(i64::MAX))
}

/// The listening socket.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens; a socket that a dead agent left behind is replaced, a live one's is not.
    ///
    /// # Errors
    /// Another agent answers there, or the operating system.
    pub fn bind(path: &Path) -> Result<Self, InterlockError> {
        let mut tries = 0;
        while BlockingStream::connect(path).is_ok() {
            tries += 1;
            if tries >= TRIES {
                return Err(InterlockError::Taken(path.to_owned()));
            }
            std::thread::sleep(TRY_PAUSE);
        }
        // Made private under another name first, so that nobody can connect before it is.
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let io = |act| move |source| InterlockError::Io { act, path: path.to_owned(), source };
        match fs::remove_file(&beside) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(io("replace")(source)),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&beside).map_err(io("make"))?;
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).map_err(io("protect"))?;
        fs::rename(&beside, path).map_err(io("name"))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Serves connections until `stop` changes or ends; every connection's task is joined.
    pub async fn serve(self, shared: Shared, mut stop: watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        let mut number = 0;
        loop {
            tokio::select! {
                _ = stop.changed() => break,
                Some(_) = tasks.join_next() => {}
                accepted = self.listener.accept(), if tasks.len() < limits::INTERLOCK_LEASES => match accepted {
                    Ok((stream, _)) => {
                        number += 1;
                        tasks.spawn(connection(stream, shared.clone(), Connection(number)));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the interlock socket takes no connection");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                },
            }
        }
        tasks.shutdown().await;
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the interlock socket was removed by somebody else");
        }
    }
}

async fn connection(stream: UnixStream, shared: Shared, connection: Connection) {
    // Whatever ends the task, the connection is gone for the leases.
    let gone = Gone { shared, connection };
    match permitted(&stream) {
        Some(owner) => {
            if let Err(error) = lines(stream, &gone, owner).await {
                tracing::debug!(%error, "an interlock connection broke off");
            }
        }
        None => tracing::warn!("a user who may not was turned away from the interlock socket"),
    }
}

struct Gone {
    shared: Shared,
    connection: Connection,
}

impl Drop for Gone {
    fn drop(&mut self) {
        let connection = self.connection;
        self.shared.change(|interlock, now| interlock.gone(connection, now));
    }
}

/// The peer, if it is the agent's own user or root.
fn permitted(stream: &UnixStream) -> Option<Owner> {
    let user = stream.peer_cred().ok()?.uid();
    (user == 0 || user == rustix::process::geteuid().as_raw()).then_some(Owner(user))
}

async fn lines(stream: UnixStream, gone: &Gone, owner: Owner) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut holds = false;
    loop {
        let line = match next_line(&mut read, holds).await? {
            Line::Whole(line) => line,
            Line::TooLong => return write.write_all(b"error the line is too long\n").await,
            Line::End => return Ok(()),
        };
        let answer = answer(&line, gone, owner, &mut holds);
        let line = match answer {
            Ok(state) => format!("ok {}\n", word(state)),
            Err(message) => format!("error {message}\n"),
        };
        tokio::time::timeout(IDLE, write.write_all(line.as_bytes())).await??;
    }
}

enum Line {
    Whole(String),
    TooLong,
    End,
}

async fn next_line(read: &mut (impl AsyncBufReadExt + Unpin), holds: bool) -> io::Result<Line> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(limits::INTERLOCK_LINE_BYTES).unwrap_or(u64::MAX);
    let mut bounded = read.take(limit);
    let reading = bounded.read_until(b'\n', &mut bytes);
    // Whoever holds may be silent as long as it likes; whoever does not is sent away.
    let count = if holds { reading.await? } else { tokio::time::timeout(IDLE, reading).await?? };
    match (count, bytes.last()) {
        (0, _) => Ok(Line::End),
        (_, Some(b'\n')) => Ok(Line::Whole(String::from_utf8_lossy(&bytes).trim().to_owned())),
        _ if bytes.len() >= limits::INTERLOCK_LINE_BYTES => Ok(Line::TooLong),
        _ => Ok(Line::End),
    }
}

fn answer(line: &str, gone: &Gone, owner: Owner, holds: &mut bool) -> Result<InterlockState, String> {
    let (shared, connection) = (&gone.shared, gone.connection);
    match parse(line)? {
        Request::Hold(claim, ttl_s) => {
            let held = shared.change(|interlock, now| interlock.hold(connection, owner, (claim, ttl_s), now));
            held.map_err(|error| error.to_string())?;
            *holds = true;
        }
        Request::Release => {
            shared.change(|interlock, now| interlock.release(connection, owner, now));
            *holds = false;
        }
        Request::Free(for_s) => shared.change(|interlock, now| interlock.release_by_hand(for_s, now)),
        Request::Status => {}
    }
    Ok(shared.state())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Hold(Claim, u32),
    Free(u32),
    Release,
    Status,
}

fn parse(line: &str) -> Result<Request, String> {
    const FORM: &str = "say `hold in_use|standby|service [SECONDS]`, `release`, `free [SECONDS]` or `status`";
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let seconds = |text: &str| {
        text.parse().ok().filter(|seconds| (1..=limits::INTERLOCK_TTL_MAX_S).contains(seconds)).ok_or(FORM)
    };
    match words.as_slice() {
        ["release"] => Ok(Request::Release),
        ["status"] => Ok(Request::Status),
        ["hold", claim] => Ok(Request::Hold(claim_of(claim).ok_or(FORM)?, limits::INTERLOCK_TTL_S)),
        ["hold", claim, ttl_s] => Ok(Request::Hold(claim_of(claim).ok_or(FORM)?, seconds(ttl_s)?)),
        ["free"] => Ok(Request::Free(limits::INTERLOCK_RELEASE_S)),
        ["free", for_s] => Ok(Request::Free(seconds(for_s)?)),
        _ => Err(FORM.into()),
    }
}

/// The claim of a word, as the socket and the command line write it.
#[must_use]
pub fn claim_of(text: &str) -> Option<Claim> {
    match text {
        "in_use" => Some(Claim::InUse),
        "standby" => Some(Claim::Standby),
        "service" => Some(Claim::Service),
        _ => None,
    }
}

/// The word of a state, as the socket and the command line write it.
#[must_use]
pub fn word(state: InterlockState) -> &'static str {
    match state {
        InterlockState::InUse => "in_use",
        InterlockState::Standby => "standby",
        InterlockState::Service => "service",
        InterlockState::Unknown => "unknown",
    }
}

fn claim_word(claim: Claim) -> &'static str {
    match claim {
        Claim::InUse => "in_use",
        Claim::Standby => "standby",
        Claim::Service => "service",
    }
}

/// A connection to a running agent's interlock, for the command line and for the device's own software.
///
/// Dropping it ends what it holds: standby and service at once, in use when its time to live is over.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// No agent answers there.
    pub async fn connect(path: &Path) -> Result<Self, InterlockError> {
        let stream =
            UnixStream::connect(path).await.map_err(|source| io_error("connect to", path, source))?;
        Ok(Self { stream: BufReader::new(stream), path: path.to_owned() })
    }

    /// Holds, or renews what is held; gives back the device's state.
    ///
    /// # Errors
    /// The agent refuses, or the connection breaks.
    pub async fn hold(&mut self, claim: Claim, ttl_s: Option<u32>) -> Result<InterlockState, InterlockError> {
        let ttl_s = ttl_s.unwrap_or(limits::INTERLOCK_TTL_S);
        self.ask(&format!("hold {} {ttl_s}\n", claim_word(claim))).await
    }

    /// Releases what this connection holds and what the same user left behind.
    ///
    /// # Errors
    /// The connection breaks.
    pub async fn release(&mut self) -> Result<InterlockState, InterlockError> {
        self.ask("release\n").await
    }

    /// Says for a person at the device that it may restart, for so many seconds, as far as nobody else says anything.
    ///
    /// # Errors
    /// The agent refuses, or the connection breaks.
    pub async fn free(&mut self, for_s: u32) -> Result<InterlockState, InterlockError> {
        self.ask(&format!("free {for_s}\n")).await
    }

    /// The device's state.
    ///
    /// # Errors
    /// The connection breaks.
    pub async fn status(&mut self) -> Result<InterlockState, InterlockError> {
        self.ask("status\n").await
    }

    async fn ask(&mut self, line: &str) -> Result<InterlockState, InterlockError> {
        let answered = tokio::time::timeout(IDLE, self.exchange(line)).await;
        let answer = answered.map_err(io::Error::from).flatten();
        let answer = answer.map_err(|source| io_error("talk over", &self.path, source))?;
        let state = match answer.strip_prefix("ok ") {
            Some("in_use") => InterlockState::InUse,
            Some("standby") => InterlockState::Standby,
            Some("service") => InterlockState::Service,
            Some("unknown") => InterlockState::Unknown,
            Some(_) | None => return Err(InterlockError::Refused(answer)),
        };
        Ok(state)
    }

    async fn exchange(&mut self, line: &str) -> io::Result<String> {
        self.stream.get_mut().write_all(line.as_bytes()).await?;
        let mut answer = String::new();
        let mut bounded = (&mut self.stream).take(1024);
        match bounded.read_line(&mut answer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(answer.trim_end().to_owned()),
        }
    }
}

fn io_error(act: &'static str, path: &Path, source: io::Error) -> InterlockError {
    InterlockError::Io { act, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
