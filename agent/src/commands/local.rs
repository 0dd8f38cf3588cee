//! What each command does, over the library. Every command but `run` and `status` refuses while an agent runs on the
//! same state, where the two could tread on each other.
//!
//! Nothing here decides. Read next: [`crate::run`], [`crate::identity`].

use std::io::{self, Read, Write};
use std::path::Path;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use cordon_agent_core::backoff::Backoff;
use cordon_agent_core::interlock::Claim;
use cordon_proto::checkin::{InterlockState, WaitRequest};
use cordon_proto::enrol::EnrolmentString;
use cordon_proto::farewell::Cause;
use cordon_proto::limits;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::boot::REBOOT_STATUS;
use crate::clock::{Clock, Floor, SystemClock, TrustedClock};
use crate::config::Config;
use crate::files::{self, FileError, Folder};
use crate::host;
use crate::identity::farewell::{self, Kept};
use crate::identity::{self, Applicant, Home, Identity, IdentityError};
use crate::interlock::{self, Client};
use crate::link::{Link, LinkError, Patience, Refusal, Retry};
use crate::log;
use crate::run::leaving::{self, Leaver};
use crate::run::setup::{self, Base};
use crate::run::{self, Exit, Ports, RunError, contact, tuf};
use crate::status::{IdentityStatus, Status};
use crate::store::SecurityStore;

/// Bytes of a join file.
const JOIN_BYTES: usize = 4096;
/// How long what blocks gets to end with the agent; then it is cut off, as a crash would.
const LAST_WORK: Duration = Duration::from_secs(10);
/// Tries of an enrolment whose failure may pass.
const ENROL_TRIES: u32 = 6;

/// Joins the owner's fleet.
pub(super) fn enrol(config: &Config, with: &Path, wait_s: u64) -> anyhow::Result<()> {
    let string: EnrolmentString = join_text(with)?.parse()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let present = Home::of(config, &Folder::open(&config.state)?)?.held()?.map(|held| held.identity);
    let base = match Base::open(config, Arc::clone(&clock)) {
        // The running agent uses the identity that it has.
        Err(RunError::Taken(_)) if present.as_ref().is_some_and(|identity| identity.is_at(&string)) => None,
        base => Some(base?),
    };
    let runtime = runtime()?;
    let anew = match (&present, &base) {
        (Some(identity), Some(base)) if identity.is_at(&string) => {
            wait_for(&runtime, is_unknown(identity, &base.applicant(config)))
        }
        _ => false,
    };
    if let Some(identity) = present.filter(|identity| !anew && identity.is_at(&string)) {
        println!("already enrolled as {} at {}", identity.device, identity.site.host);
        return Ok(());
    }
    let Some(base) = base else { bail!("the agent runs; stop it first") };
    leaving::finish(&base.state, &base.home)?;
    let director = director(&base.state)?;
    if !anew && !tuf::is_owners(&director, &string.director_root)? {
        bail!(
            "this device obeys another owner than the join file is of, which names director root {}; bring that owner's root and a change of owner, signed by the present owner or, where that one is gone, by the maker: `cordon-agent trust-director FILE --hand-over FILE`",
            string.director_root
        );
    }
    let until = clock.monotonic() + Duration::from_secs(wait_s);
    let ask = async || match anew {
        true => identity::enrol_anew(&base.home, &string, &base.applicant(config)).await,
        false => identity::enrol(&base.home, &string, &base.applicant(config)).await,
    };
    let identity = wait_for(&runtime, patiently(ask, || until.saturating_sub(clock.monotonic())))?;
    println!("enrolled as {} at {}, certificate until {}", identity.device, string.host, identity.not_after);
    Ok(())
}

/// Whether the server says that it does not know this identity: the only word for which a person may replace it.
async fn is_unknown(identity: &Identity, applicant: &Applicant) -> bool {
    let route = applicant.route(&identity.site.host);
    let Ok(link) = Link::new(identity, &route, applicant.clock.clone(), Patience::default()) else {
        return false;
    };
    let answer = link.wait(&WaitRequest { token: 0, max_s: 0 }).await;
    matches!(answer, Err(LinkError::Refused { refusal: Refusal::UnknownDevice, .. }))
}

/// Asks until there is an identity: some tries where the failure may pass, and for the time that is `left` where a person
/// has to approve.
async fn patiently(
    ask: impl AsyncFn() -> Result<Identity, IdentityError>,
    left: impl Fn() -> Duration,
) -> anyhow::Result<Identity> {
    let mut backoff = Backoff::default();
    loop {
        let error = match ask().await {
            Ok(identity) => return Ok(identity),
            Err(error) => error,
        };
        let asked = match error.retry() {
            Retry::Soon => None,
            Retry::After(seconds) => Some(seconds),
            Retry::Slowly | Retry::Never => return Err(error.into()),
        };
        let pause = Duration::from_millis(backoff.failed(asked, contact::chance()));
        let pause = match &error {
            IdentityError::Waiting { .. } if left().is_zero() => {
                return Err(anyhow::Error::from(error).context(
                    "not enrolled yet; `cordon-agent run` goes on asking, and so does enrolling again",
                ));
            }
            IdentityError::Waiting { .. } => {
                backoff.succeeded();
                pause.min(left())
            }
            _ if backoff.failures() >= ENROL_TRIES => return Err(error.into()),
            _ => pause,
        };
        eprintln!("cordon-agent: {error}; again in {} s", pause.as_millis().div_ceil(1000));
        sleep(pause).await;
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
    let exit = wait_for(&runtime, async {
        let ports = Ports::real(&config).context("cannot read the machine")?;
        anyhow::Ok(run::run(config, ports, stop_signal()?).await)
    })?;
    // A slot that is read back, or a program that is waited for, does not keep the agent.
    runtime.shutdown_timeout(LAST_WORK);
    ended(exit)
}

fn ended(exit: Exit) -> anyhow::Result<ExitCode> {
    match exit {
        Exit::Stopped => Ok(ExitCode::SUCCESS),
        Exit::Reboot => Ok(ExitCode::from(REBOOT_STATUS)),
        Exit::Left => {
            eprintln!("cordon-agent: this device has left its owner; enrol it anew if it is back in use");
            Ok(ExitCode::SUCCESS)
        }
        Exit::Fatal(error) => Err(error.into()),
    }
}

/// One report.
pub(super) fn once(config: Config) -> anyhow::Result<ExitCode> {
    log::begin();
    let exit = wait_for(&runtime()?, async {
        let ports = Ports::real(&config).context("cannot read the machine")?;
        anyhow::Ok(run::once(config, ports).await?)
    })?;
    ended(exit)
}

/// What the agent said last, and whether it runs. It changes nothing on disk.
pub(super) fn status(config: &Config, json: bool) -> anyhow::Result<()> {
    let state = Folder::look_at(&config.state)?;
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
    status.running = setup::runs(state);
    let home = Home::of(config, state)?;
    match Identity::load(&home) {
        Ok(identity) => {
            let failed = status.identity.take().and_then(|told| told.renewal_error);
            let told = identity.as_ref().map(IdentityStatus::from);
            status.identity = told.map(|told| IdentityStatus { renewal_error: failed, ..told });
        }
        // A key that others may read, or a damaged file: shown, so that the rest is still told.
        Err(error) => status.contact.error = Some(error.to_string()),
    }
    status.waiting = home.waiting_key();
    status.farewell = Kept::read(state).ok().flatten();
    let director = SecurityStore::new(state.clone()).owners(tuf::DIRECTOR);
    status.director_root_version = tuf::director_root_version(&state.inside("tuf")?, &director, clock.now());
    Ok(status)
}

/// The inventory, one JSON object a row.
pub(super) fn inventory(root: &Path) -> anyhow::Result<()> {
    let root = host::Root::at(root).with_context(|| format!("cannot open {}", root.display()))?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    for row in host::take(&root).rows() {
        let mut line = serde_json::to_vec(row).context("cannot write the inventory")?;
        line.push(b'\n');
        out.write_all(&line).context("cannot write the inventory")?;
    }
    out.flush().context("cannot write the inventory")
}

/// A person's hold: it stands when this command has ended, for a day at most, and then still as *unknown*. Or a person's
/// release: of what the same user held, and for these seconds of the device, where the maker asks for a person.
pub(super) fn interlock(config: &Config, free_s: Option<u32>) -> anyhow::Result<()> {
    let state: anyhow::Result<InterlockState> = wait_for(&runtime()?, async {
        let mut client = Client::connect(&setup::interlock_path(config)).await?;
        let Some(free_s) = free_s else {
            return Ok(client.hold(Claim::InUse, Some(limits::INTERLOCK_TTL_MAX_S)).await?);
        };
        client.release().await?;
        Ok(client.free(free_s).await?)
    });
    println!("the device is {}", interlock::word(state?));
    if let Some(free_s) = free_s {
        println!("released for {} min, where a person's word counts and nobody says otherwise", free_s / 60);
    }
    Ok(())
}

/// Trusts an owner's director root that a person brought.
pub(super) fn trust_director(config: &Config, root: &Path) -> anyhow::Result<()> {
    let bytes = files::read_file(root, limits::DEVICE_ROOT_BYTES)?;
    let director = director(&Folder::open(&config.state)?)?;
    let version = tuf::trust_director(&director, &bytes, clock(config).now())?;
    println!("director root version {version} is trusted");
    Ok(())
}

/// The folder of the present owner's director.
fn director(state: &Folder) -> Result<Folder, FileError> {
    state.inside("tuf")?.inside(&SecurityStore::new(state.clone()).owners(tuf::DIRECTOR))
}

/// Forgets identity, profile and spool. Roots, floor and versions stay, and so do receipts that nobody has yet.
pub(super) fn forget(config: &Config) -> anyhow::Result<()> {
    let base = alone(config)?;
    let device = Identity::load(&base.home).ok().flatten().map(|identity| identity.device);
    leaving::wipe(&base.state, &base.home)?;
    match device {
        Some(device) => {
            println!("{device} is forgotten here; tell the owner's IT, so that the server knows too")
        }
        None => println!("forgotten; there was no identity"),
    }
    Ok(())
}

/// Signs a farewell, hands it in if the server can be reached, and forgets.
pub(super) fn retire(config: &Config) -> anyhow::Result<()> {
    let base = alone(config)?;
    let Ok(Some(identity)) = Identity::load(&base.home) else {
        leaving::wipe(&base.state, &base.home)?;
        println!("retired; there was no identity");
        return Ok(());
    };
    take_leave(&base, config, &identity)
}

/// The device leaves the owner to whom this identity belongs.
pub(super) fn take_leave(base: &Base, config: &Config, identity: &Identity) -> anyhow::Result<()> {
    let applicant = base.applicant(config);
    let link =
        Link::new(identity, &applicant.route(&identity.site.host), applicant.clock, Patience::default());
    let leaver = Leaver::new(base, config.hardware.identity(), identity);
    let kept = wait_for(&runtime()?, leaver.leave(Cause::AtDevice, link.ok().as_ref()))?;
    let place = base.state.path().join(farewell::FILE);
    match kept {
        Some(kept) if kept.handed_in => {
            println!("{} is retired; the server has its farewell, a copy is {}", kept.device, place.display())
        }
        Some(kept) => println!(
            "{} is retired here, but the server does not have its farewell; bring {} to the owner's IT",
            kept.device,
            place.display()
        ),
        None => println!("{} is retired here without a farewell; tell the owner's IT", identity.device),
    }
    Ok(())
}

/// The state folder, for somebody who may empty it, while no agent runs.
pub(super) fn alone(config: &Config) -> anyhow::Result<Base> {
    let base = match Base::open(config, Arc::new(SystemClock::new())) {
        Err(RunError::Taken(_)) => bail!("the agent runs; stop it first"),
        base => base?,
    };
    if rustix::process::geteuid().as_raw() != owner(&base.state)? {
        bail!("only the owner of {} may do this", base.state.path().display());
    }
    Ok(base)
}

fn owner(state: &Folder) -> anyhow::Result<u32> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata(state.path()).context("cannot look at the state folder")?.uid())
}

pub(super) fn clock(config: &Config) -> TrustedClock {
    TrustedClock::new(Arc::new(SystemClock::new()), Floor::new(config.clock_floor))
}

/// One thread; the helper threads of name look-ups and hashing end at once when idle.
pub(super) fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(Duration::from_millis(100))
        .build()
        .context("cannot start the event loop")
}

/// Waits for work to end. One form for all of it, so that the event loop's entry is in the program once.
pub(super) fn wait_for<T>(runtime: &Runtime, work: impl Future<Output = T>) -> T {
    let mut outcome = None;
    {
        let work = async { outcome = Some(work.await) };
        let work: Pin<&mut dyn Future<Output = ()>> = pin!(work);
        runtime.block_on(work);
    }
    outcome.expect("work that has ended has left its outcome")
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
