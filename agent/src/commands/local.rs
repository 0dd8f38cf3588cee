//! What each command does, over the library. Every command but `run` and `status` refuses while an agent runs on the
//! same state, where the two could tread on each other.
//!
//! Nothing here decides. Read next: [`crate::run`], [`crate::identity`].

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use cordon_agent_core::backoff::Backoff;
use cordon_agent_core::interlock::Claim;
use cordon_proto::checkin::InterlockState;
use cordon_proto::enrol::EnrolmentString;
use cordon_proto::limits;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::boot::REBOOT_STATUS;
use crate::clock::{Floor, SystemClock, TrustedClock};
use crate::config::Config;
use crate::files::{self, Folder};
use crate::host;
use crate::identity::{self, Applicant, Identity, IdentityError};
use crate::interlock::{self, Client};
use crate::link::Retry;
use crate::log;
use crate::run::{self, Exit, Ports, contact, setup, tuf};
use crate::status::{IdentityStatus, Status};

/// Bytes of a join file.
const JOIN_BYTES: usize = 4096;
/// Tries of an enrolment whose failure may pass.
const ENROL_TRIES: u32 = 6;

/// Joins the owner's fleet.
pub(super) fn enrol(config: &Config, with: &Path) -> anyhow::Result<()> {
    let string: EnrolmentString = join_text(with)?.parse()?;
    let state = Folder::open(&config.state)?;
    let folder = state.inside("identity")?;
    if let Some(identity) = Identity::load(&folder)?
        && identity.site == identity::Site::from(&string)
    {
        println!("already enrolled as {} at {}", identity.device, identity.site.host);
        return Ok(());
    }
    let _lock = setup::lock(&state)?;
    let applicant = Applicant {
        hardware: config.hardware.clone(),
        addresses: config.server.clone(),
        proxy: config.proxy.clone(),
        clock: clock(config),
    };
    let identity = runtime()?.block_on(enrol_patiently(&folder, &string, &applicant))?;
    println!("enrolled as {} at {}, certificate until {}", identity.device, string.host, identity.not_after);
    Ok(())
}

async fn enrol_patiently(
    folder: &Folder,
    string: &EnrolmentString,
    applicant: &Applicant,
) -> Result<Identity, IdentityError> {
    let mut backoff = Backoff::default();
    loop {
        let error = match identity::enrol(folder, string, applicant).await {
            Ok(identity) => return Ok(identity),
            Err(error) => error,
        };
        let asked = match error.retry() {
            Retry::Soon => None,
            Retry::After(seconds) => Some(seconds),
            Retry::Slowly | Retry::Never => return Err(error),
        };
        let pause = backoff.failed(asked, contact::chance());
        if backoff.failures() >= ENROL_TRIES {
            return Err(error);
        }
        eprintln!("cordon-agent: {error}; again in {} s", pause.div_ceil(1000));
        sleep(Duration::from_millis(pause)).await;
    }
}

fn join_text(with: &Path) -> anyhow::Result<String> {
    let bytes = if with == Path::new("-") {
        let mut bytes = Vec::new();
        let cap = u64::try_from(JOIN_BYTES).unwrap_or(u64::MAX);
        io::stdin()
            .take(cap)
            .read_to_end(&mut bytes)
            .context("cannot read the join file from standard input")?;
        bytes
    } else {
        files::read_file(with, JOIN_BYTES)?
    };
    String::from_utf8(bytes).context("the join file is not text")
}

/// Runs until a signal or a reboot.
pub(super) fn run(config: Config) -> anyhow::Result<ExitCode> {
    log::begin();
    let runtime = runtime()?;
    let exit = runtime.block_on(async {
        let ports = Ports::real(&config).context("cannot read the machine")?;
        anyhow::Ok(run::run(config, ports, stop_signal()?).await)
    })?;
    match exit {
        Exit::Stopped => Ok(ExitCode::SUCCESS),
        Exit::Reboot => Ok(ExitCode::from(REBOOT_STATUS)),
        Exit::Fatal(error) => Err(error.into()),
    }
}

/// One report.
pub(super) fn once(config: Config) -> anyhow::Result<()> {
    log::begin();
    runtime()?.block_on(async {
        let ports = Ports::real(&config).context("cannot read the machine")?;
        Ok(run::once(config, ports).await?)
    })
}

/// What the agent said last, and whether it runs.
pub(super) fn status(config: &Config, json: bool) -> anyhow::Result<()> {
    let state = Folder::open(&config.state)?;
    let status = current_status(config, &state)?;
    let text = if json { format!("{}\n", status.to_json()) } else { status.to_string() };
    io::stdout().write_all(text.as_bytes()).context("cannot write the status")
}

pub(super) fn current_status(config: &Config, state: &Folder) -> anyhow::Result<Status> {
    let clock = clock(config);
    let mut status = match Status::read(state)? {
        Some(status) => status,
        None => Status::unborn(config.hardware.identity(), clock.raw().seconds()),
    };
    status.running = setup::lock(state).is_err();
    match Identity::load(&state.inside("identity")?) {
        Ok(identity) => status.identity = identity.as_ref().map(IdentityStatus::from),
        // A key that others may read, or a damaged file: shown, so that the rest is still told.
        Err(error) => status.contact.error = Some(error.to_string()),
    }
    status.director_root_version = tuf::director_root_version(&state.inside("tuf")?, clock.now());
    Ok(status)
}

/// The inventory, one JSON object a row.
pub(super) fn inventory(root: &Path) -> anyhow::Result<()> {
    let root = host::Root::at(root).with_context(|| format!("cannot open {}", root.display()))?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    for row in host::take(&root).rows() {
        serde_json::to_writer(&mut out, row).context("cannot write the inventory")?;
        out.write_all(b"\n").context("cannot write the inventory")?;
    }
    out.flush().context("cannot write the inventory")
}

/// A person's hold: it stands when this command has ended, for a day at most, and then still as *unknown*.
pub(super) fn interlock(config: &Config, hold: bool) -> anyhow::Result<()> {
    let state: InterlockState = runtime()?.block_on(async {
        let mut client = Client::connect(&setup::interlock_path(config)).await?;
        if hold {
            client.hold(Claim::InUse, Some(limits::INTERLOCK_TTL_MAX_S)).await
        } else {
            client.release().await
        }
    })?;
    println!("the device is {}", interlock::word(state));
    Ok(())
}

/// Trusts an owner's director root that a person brought.
pub(super) fn trust_director(config: &Config, root: &Path) -> anyhow::Result<()> {
    let bytes = files::read_file(root, limits::DEVICE_ROOT_BYTES)?;
    let state = Folder::open(&config.state)?;
    let version = tuf::trust_director(&state.inside("tuf")?, &bytes, clock(config).now())?;
    println!("director root version {version} is trusted");
    Ok(())
}

/// Forgets identity, profile and spool. Roots, floor and versions stay, and so do receipts that nobody has yet.
pub(super) fn forget(config: &Config, word: &str) -> anyhow::Result<()> {
    let state = Folder::open(&config.state)?;
    if setup::lock(&state).is_err() {
        bail!("the agent runs; stop it first");
    }
    if rustix::process::geteuid().as_raw() != owner(&state)? {
        bail!("only the owner of {} may do this", state.path().display());
    }
    let device = Identity::load(&state.inside("identity")?).ok().flatten().map(|identity| identity.device);
    identity::forget(&state.inside("identity")?)?;
    run::sensing::forget(&state)?;
    state.remove("status.json")?;
    match device {
        Some(device) => {
            println!("{device} is {word} here; tell the owner's IT, so that the server knows too")
        }
        None => println!("{word}; there was no identity"),
    }
    Ok(())
}

fn owner(state: &Folder) -> anyhow::Result<u32> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata(state.path()).context("cannot look at the state folder")?.uid())
}

fn clock(config: &Config) -> TrustedClock {
    TrustedClock::new(Arc::new(SystemClock::new()), Floor::new(config.clock_floor))
}

/// One thread; the helper threads of name look-ups and hashing end at once when idle.
fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(Duration::from_millis(100))
        .build()
        .context("cannot start the event loop")
}

fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
