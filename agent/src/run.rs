//! The agent at work: three roles side by side in one task, and the wiring between them.
//!
//! `link` talks to the server ([`contact`]), `sensor` looks and keeps ([`sensing`]), `updater` installs ([`updating`]).
//! They share nothing but the messages of [`messages`]. This file opens the state, starts them, and says how it ended;
//! it decides nothing. A simulator runs many of these in one process, each with its own [`Ports`] and state folder.
//! Read next: [`ports`], docs/ARCHITECTURE.md "One update, end to end".

pub(crate) mod carried;
pub(crate) mod contact;
pub mod content;
mod entering;
pub(crate) mod evidence;
mod health;
pub(crate) mod keeping;
mod kept;
pub(crate) mod leaving;
mod messages;
pub mod ports;
pub(crate) mod receipts;
pub mod sensing;
pub(crate) mod setup;
mod telling;
pub(crate) mod tuf;
mod updating;

#[cfg(test)]
pub(crate) mod tests;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use cordon_agent_core::content::Event;
use cordon_proto::farewell::Cause;
use cordon_proto::ids::HardwareId;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::config::Config;
use crate::files::FileError;
use crate::identity::{Identity, IdentityError};
use crate::interlock::InterlockError;
use crate::link::{Link, LinkError};
use crate::tls::TlsError;
use contact::Contact;
use content::Contents;
use entering::{Entered, Time};
use leaving::Leaver;
use messages::{ToLink, ToSensor};
use sensing::Sensing;
use setup::Base;
use updating::Updating;

pub use contact::Pace;
pub use ports::{Installer, Ports, Tempo};
pub use sensing::Rhythm;
pub use tuf::TufError;

/// Seconds the roles get to end what is open.
const ENDING: Duration = Duration::from_secs(5);

/// How a run ended.
#[derive(Debug)]
pub enum Exit {
    /// It was told to stop.
    Stopped,
    /// The device is to be rebooted now: the boot control is armed or rolled back.
    Reboot,
    /// The device has left its owner: it has signed its farewell and wiped what it knew.
    Left,
    /// It cannot run.
    Fatal(RunError),
}

/// Why the agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The device belongs nowhere yet.
    #[error("this device is not enrolled; run `cordon-agent enrol --with FILE` first")]
    NotEnrolled,
    /// Another agent works on the same state.
    #[error("another cordon-agent runs on {0}; stop it first")]
    Taken(String),
    /// The time zone of the configuration.
    #[error(
        "the time zone {0:?} is not known; use UTC, a name of the system's zone table such as Europe/Berlin, or a POSIX rule"
    )]
    Zone(String),
    /// The state folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// The identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The HTTP client.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The interlock socket.
    #[error(transparent)]
    Interlock(#[from] InterlockError),
    /// The spool.
    #[error("the spool cannot be opened: {0}")]
    Spool(cordon_agent_core::spool::Fault),
    /// Any other trouble of the operating system.
    #[error("cannot {act}: {source}")]
    Io {
        /// What was tried.
        act: &'static str,
        /// The operating system's word.
        #[source]
        source: io::Error,
    },
}

/// All roles, wired and not yet running.
struct Agent {
    contact: Contact,
    sensing: Sensing,
    updating: Updating,
    telling: telling::Telling,
    calls: Calls,
    interlock: Option<crate::interlock::Socket>,
    shared: crate::interlock::Shared,
    server: Link,
    contents: Contents,
}

struct Calls {
    sensor: mpsc::Receiver<ToSensor>,
    link: mpsc::Receiver<ToLink>,
}

/// Runs until told to stop, until a reboot is due, until the device leaves its owner, or until it cannot go on.
pub async fn run(config: Config, ports: Ports, shutdown: impl Future<Output = ()>) -> Exit {
    let mut shutdown = std::pin::pin!(shutdown);
    let base = match Base::open(&config, Arc::clone(&ports.clock)) {
        Ok(base) => base,
        Err(error) => return Exit::Fatal(error),
    };
    let entered = tokio::select! {
        () = &mut shutdown => return Exit::Stopped,
        entered = entering::enter(&base, &config, ports.tempo, Time::Enough) => entered,
    };
    let held = match entered {
        Ok(Entered::Held(held)) => *held,
        Ok(Entered::Left) => return Exit::Left,
        Err(error) => return Exit::Fatal(error),
    };
    match setup::agent(&base, held, &config, ports) {
        Ok(agent) => serve(agent, &base, config.hardware.identity(), shutdown).await,
        Err(error) => Exit::Fatal(error),
    }
}

/// Why the roles end.
enum Ended {
    Exit(Exit),
    Leave(Cause),
}

async fn serve(agent: Agent, base: &Base, hardware: HardwareId, shutdown: impl Future<Output = ()>) -> Exit {
    let Agent { contact, sensing, updating, telling, calls, interlock, shared, server, contents } = agent;
    let (in_force, link) = (contact.in_force(), server.waiter());
    let (stop, stopped) = watch::channel(false);
    let mut sensor = std::pin::pin!(sensing.run(calls.sensor, stopped.clone()));
    let socket = serve_interlock(interlock, shared, stopped.clone());
    let mut interlock = std::pin::pin!(socket);
    let mut telling = std::pin::pin!(telling.run(stopped));
    let ended = tokio::select! {
        () = shutdown => Ended::Exit(Exit::Stopped),
        () = updating.run() => Ended::Exit(Exit::Reboot),
        cause = contact.run() => Ended::Leave(cause),
        () = contact::serve(server, calls.link) => Ended::Exit(Exit::Stopped),
        () = &mut sensor => Ended::Exit(Exit::Stopped),
        () = &mut interlock => Ended::Exit(Exit::Stopped),
        () = &mut telling => Ended::Exit(Exit::Stopped),
    };
    stop.send_replace(true);
    // An orderly end is no fault of a content on trial.
    contents.take(Event::Ending);
    // What is open is ended and saved; a role that does not come to its end in time is cut off, as a crash would.
    let ending = async { tokio::join!(&mut sensor, &mut interlock, &mut telling) };
    if timeout(ENDING, ending).await.is_err() {
        tracing::warn!("the agent was cut off while it ended");
    }
    match ended {
        Ended::Exit(exit) => exit,
        Ended::Leave(cause) => match leave((base, hardware), &in_force.now(), &link, cause).await {
            Ok(()) => Exit::Left,
            Err(error) => Exit::Fatal(error),
        },
    }
}

async fn leave(
    (base, hardware): (&Base, HardwareId),
    identity: &Identity,
    link: &Link,
    cause: Cause,
) -> Result<(), RunError> {
    tracing::warn!(
        ?cause,
        "the owner's server says that this device is to leave; it takes leave and is wiped"
    );
    Leaver::new(base, hardware, identity).leave(cause, Some(link)).await.map(drop)
}

/// One report: look, check in, hand in what waits, and end. What the server says of the identity is acted on as in a
/// long run; only a person's approval is not waited for.
pub async fn once(config: Config, ports: Ports) -> Result<Exit, OnceError> {
    let base = Base::open(&config, Arc::clone(&ports.clock))?;
    let held = match entering::enter(&base, &config, ports.tempo, Time::None).await? {
        Entered::Held(held) => *held,
        Entered::Left => return Ok(Exit::Left),
    };
    let agent = setup::agent(&base, held, &config, ports)?;
    let Agent { mut contact, sensing, updating, telling, calls, server, contents, .. } = agent;
    let (in_force, link) = (contact.in_force(), server.waiter());
    let (stop, stopped) = watch::channel(false);
    let mut sensor = std::pin::pin!(sensing.run(calls.sensor, stopped.clone()));
    let mut telling = std::pin::pin!(telling.run(stopped));
    let reported = tokio::select! {
        reported = contact.once() => reported,
        () = updating.run() => Ok(None),
        () = contact::serve(server, calls.link) => Ok(None),
        () = &mut sensor => Ok(None),
        () = &mut telling => Ok(None),
    };
    stop.send_replace(true);
    contents.take(Event::Ending);
    let _ = timeout(ENDING, async { tokio::join!(&mut sensor, &mut telling) }).await;
    let Some(cause) = reported? else { return Ok(Exit::Stopped) };
    leave((&base, config.hardware.identity()), &in_force.now(), &link, cause).await?;
    Ok(Exit::Left)
}

/// Why one report did not come about.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    /// The agent cannot run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The server did not take it.
    #[error(transparent)]
    Link(#[from] LinkError),
}

async fn serve_interlock(
    socket: Option<crate::interlock::Socket>,
    shared: crate::interlock::Shared,
    mut stop: watch::Receiver<bool>,
) {
    match socket {
        Some(socket) => socket.serve(shared, stop).await,
        None => {
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }
}
