//! A PostgreSQL of the tests' own: made in a folder, reached by a socket in it, ended by its process id.
//!
//! It listens on no network. PostgreSQL refuses to run for the superuser, so for root it runs as an unprivileged user,
//! to whom the folder is given; the folders above must let that user pass (a folder straight under `/tmp` does). A
//! socket's path is short by law: folders of 90 bytes at most. It is as durable as the folder's disk, unless it is
//! started with other arguments. Read next: [`Cluster`].

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::program::program;
use crate::skip::require_package;

/// Longest path of a folder: the socket's name must fit behind it.
const FOLDER_BYTES: usize = 90;
/// Looks at a starting or stopping server, one every [`LOOK`].
const LOOKS: u32 = 7200;
const LOOK: Duration = Duration::from_millis(25);
/// Who it runs as where the tests run as root, in this order.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];
/// The superuser of the database.
const USER: &str = "cordon";

/// One PostgreSQL server with its data.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
    user: Option<(u32, u32)>,
    arguments: Vec<String>,
    postmaster: Option<Child>,
}

impl Cluster {
    /// Makes a cluster in a folder, which is made if it is missing; `None` after saying that PostgreSQL is not installed.
    ///
    /// # Errors
    /// If the folder's path is too long for a socket, or `initdb` fails.
    pub fn init(folder: &Path) -> anyhow::Result<Option<Self>> {
        let Some(initdb) = require_package("initdb") else { return Ok(None) };
        ensure!(folder.as_os_str().len() <= FOLDER_BYTES, "{}: too long for a socket", folder.display());
        std::fs::create_dir_all(folder)?;
        let user = unprivileged()?;
        if let Some((user, group)) = user {
            std::os::unix::fs::chown(folder, Some(user), Some(group))?;
        }
        let programs = initdb.parent().context("a program has a folder")?.to_owned();
        let cluster =
            Self { programs, folder: folder.to_owned(), user, arguments: Vec::new(), postmaster: None };
        let made = cluster
            .command("initdb")
            .args(["--auth=trust", "--no-locale", "--encoding=UTF8", "--data-checksums"])
            .args([OsStr::new("--username"), OsStr::new(USER), OsStr::new("--pgdata")])
            .arg(cluster.data())
            .output()?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        Ok(Some(cluster))
    }

    /// [`Self::init`] and [`Self::start`] without further arguments.
    ///
    /// # Errors
    /// As of the two.
    pub fn started(folder: &Path) -> anyhow::Result<Option<Self>> {
        let Some(mut cluster) = Self::init(folder)? else { return Ok(None) };
        cluster.start(&[])?;
        Ok(Some(cluster))
    }

    /// Takes a cluster that was made before, for instance on a disk that was cut off since. Not started yet.
    ///
    /// # Errors
    /// If the folder holds none.
    pub fn of(folder: &Path) -> anyhow::Result<Option<Self>> {
        let Some(initdb) = require_package("initdb") else { return Ok(None) };
        let programs = initdb.parent().context("a program has a folder")?.to_owned();
        let (user, arguments) = (unprivileged()?, Vec::new());
        let cluster = Self { programs, folder: folder.to_owned(), user, arguments, postmaster: None };
        ensure!(cluster.data().join("PG_VERSION").exists(), "{}: no cluster", folder.display());
        Ok(Some(cluster))
    }

    /// Starts the server with more arguments, such as `-c`, `fsync=off`, and waits until it answers.
    ///
    /// # Errors
    /// If it ends by itself, with the end of its log, or does not answer within 180 s.
    pub fn start(&mut self, arguments: &[&str]) -> anyhow::Result<()> {
        ensure!(self.postmaster.is_none(), "the server runs already");
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let log = std::fs::File::create(self.folder.join("log"))?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(&self.folder).args(["-c", "listen_addresses="]);
        command.args(["-c", "max_connections=60", "-c", "shared_buffers=32MB"]).args(arguments);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        self.postmaster = Some(child);
        for _ in 0..LOOKS {
            if self.is_ready() {
                return Ok(());
            }
            if let Some(status) = self.postmaster.as_mut().context("just started")?.try_wait()? {
                self.postmaster = None;
                bail!("postgres ended with {status}: {}", self.log());
            }
            sleep(LOOK);
        }
        self.kill()?;
        bail!("postgres was not ready within 180 s: {}", self.log())
    }

    /// Ends the server in order: sessions are cut off, everything is written down.
    ///
    /// # Errors
    /// If it has not ended after 180 s; then it is killed.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.end(Signal::INT)
    }

    /// Kills the server and every process of it at once, as the kernel would for want of memory.
    ///
    /// # Errors
    /// If a process outlives it by 180 s.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let Some(mut postmaster) = self.postmaster.take() else { return Ok(()) };
        // Held first: it can no longer start a process that this does not see.
        let parent = pid_of(&postmaster)?;
        let _ = kill_process(parent, Signal::STOP);
        let children = children_of(postmaster.id());
        for process in children.iter().copied().chain([parent]) {
            // One that has just ended by itself is gone as well.
            let _ = kill_process(process, Signal::KILL);
        }
        postmaster.wait()?;
        for _ in 0..LOOKS {
            if !children.iter().any(|process| is_alive(*process)) {
                return Ok(());
            }
            sleep(LOOK);
        }
        bail!("a process of the killed server lives on")
    }

    /// Ends the server in order and starts it with the same arguments.
    ///
    /// # Errors
    /// As of [`Self::stop`] and [`Self::start`].
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.stop()?;
        let arguments = std::mem::take(&mut self.arguments);
        self.start(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// How to reach it, in libpq's keywords; behind `postgres:` it is a `store` of a server's configuration.
    #[must_use]
    pub fn url(&self) -> String {
        format!("host={} user={USER} dbname=postgres", self.folder.display())
    }

    /// The same, for a store in a schema of its own: any number of stores share a cluster.
    #[must_use]
    pub fn url_of(&self, schema: &str) -> String {
        format!("{} schema={schema}", self.url())
    }

    /// Runs one statement and returns what it says, a line a row, columns behind `|`.
    ///
    /// # Errors
    /// With PostgreSQL's own words.
    pub fn say(&self, statement: &str) -> anyhow::Result<String> {
        let psql = require_package("psql").context("psql comes with PostgreSQL")?;
        let mut command = self.command(psql);
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-v", "ON_ERROR_STOP=1"]);
        let said = command.args(["--dbname", &self.url(), "--command", statement]).output()?;
        ensure!(said.status.success(), "{statement}: {}", String::from_utf8_lossy(&said.stderr));
        Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
    }

    /// The process of the postmaster, while it runs.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.postmaster.as_ref().map(Child::id)
    }

    /// The folder it lives in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// One of PostgreSQL's programs, by name or path, run by the unprivileged user.
    fn command(&self, name: impl AsRef<Path>) -> Command {
        let mut command = program(self.programs.join(name));
        command.current_dir(&self.folder).env("LC_ALL", "C").env_remove("PGOPTIONS");
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    /// Whether the server says of itself that it takes connections.
    fn is_ready(&self) -> bool {
        let said = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let mut lines = said.lines();
        let process = lines.next().and_then(|line| line.trim().parse::<u32>().ok());
        process == self.process() && lines.nth(6).is_some_and(|status| status.trim() == "ready")
    }

    fn end(&mut self, signal: Signal) -> anyhow::Result<()> {
        let Some(postmaster) = &mut self.postmaster else { return Ok(()) };
        kill_process(pid_of(postmaster)?, signal)?;
        for _ in 0..LOOKS {
            if postmaster.try_wait()?.is_some() {
                self.postmaster = None;
                return Ok(());
            }
            sleep(LOOK);
        }
        self.kill()?;
        bail!("postgres did not end within 180 s: {}", self.log())
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let from = log.len().saturating_sub(2000);
        log.get(from..).unwrap_or(&log).trim().to_owned()
    }
}

/// A cluster that many tests of one program share. It runs below a process of its own, which ends it and removes its
/// folder when this program ends, however it ends.
#[derive(Debug)]
pub struct Shared {
    url: String,
    /// Its open input is what keeps the cluster.
    _keeper: Child,
}

impl Shared {
    /// Starts a keeper, which is `cordon-sim` at this path; `None` after saying that PostgreSQL is not installed.
    ///
    /// # Errors
    /// With what the keeper said.
    pub fn start(sim: &Path) -> anyhow::Result<Option<Self>> {
        if require_package("initdb").is_none() {
            return Ok(None);
        }
        let mut keeper = program(sim).arg("postgres").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut url = String::new();
        BufReader::new(keeper.stdout.take().context("piped")?).read_line(&mut url)?;
        let url = url.trim().to_owned();
        ensure!(!url.is_empty(), "the keeper of the cluster ended: {}", keeper.wait()?);
        Ok(Some(Self { url, _keeper: keeper }))
    }

    /// How to reach a store in a schema of its own; see [`Cluster::url_of`].
    #[must_use]
    pub fn url_of(&self, schema: &str) -> String {
        format!("{} schema={schema}", self.url)
    }
}

/// `cordon-sim postgres`: starts a cluster, prints how to reach it, and ends it when its input ends.
///
/// # Errors
/// If PostgreSQL is missing or does not start.
pub fn keep() -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("cordon-pg-").tempdir()?;
    let cluster = Cluster::started(folder.path())?.context("PostgreSQL is not installed")?;
    println!("{}", cluster.url());
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
    Ok(())
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // At once, without a checkpoint: nobody reads what is left.
        if self.end(Signal::QUIT).is_err() {
            let _ = self.kill();
        }
    }
}

/// The user and group to run as; `None` where the tests are not the superuser's.
fn unprivileged() -> anyhow::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let found = UNPRIVILEGED.iter().find_map(|name| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    Ok(Some(found.context("no unprivileged user to run PostgreSQL as")?))
}

fn pid_of(child: &Child) -> anyhow::Result<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("no process id")
}

/// The processes that a process started and that still run.
fn children_of(parent: u32) -> Vec<Pid> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let children = numbers.filter(|number| parent_of(*number) == Some(parent));
    children.filter_map(Pid::from_raw).collect()
}

fn parent_of(process: i32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in brackets may hold anything; state and parent follow the last bracket.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Whether a process still runs: one that only waits to be buried by its parent does not.
fn is_alive(process: Pid) -> bool {
    let stat =
        std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}
