//! A store under test: the engine and its folder, the processes that write to it and check it, and what they say.
//!
//! The answers of a writer are kept in this process, where neither a kill nor a power cut reaches them. **They are
//! taken before fate strikes**: an answer that is read later may be of a moment after it. PostgreSQL is a process of its
//! own beside the writer; the other engines are in the writer.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::checker::Answered;
use super::{Run, Verdict, writer};
use crate::postgres::Cluster;
use crate::program::program;

/// Writers of a run at once.
pub const WRITERS: u32 = 8;
/// Seconds that a writer may take to open its store, and a checker to check it.
const PATIENCE: Duration = Duration::from_secs(60);
const CHECK_S: &str = "120";

/// The engines that keep something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// One file.
    Redb,
    /// One folder and its mark.
    Sled,
    /// A server of its own.
    Postgres,
}

impl std::fmt::Display for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Redb => "redb",
            Self::Sled => "sled",
            Self::Postgres => "postgres",
        })
    }
}

/// How a writer works: right, or as one of the controls that must be caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// As it ships.
    Right,
    /// Without the syncs of the disk.
    Unsynced,
    /// Answers are said before they are given.
    Early,
}

/// A store in a folder.
#[derive(Debug)]
pub struct Subject {
    sim: PathBuf,
    engine: Engine,
    folder: PathBuf,
    habit: Habit,
    cluster: Option<Cluster>,
}

impl Subject {
    /// Makes what an engine needs in a folder before it is used first.
    ///
    /// # Errors
    /// If PostgreSQL is not installed, or cannot make its cluster.
    pub fn prepare(engine: Engine, folder: &Path) -> anyhow::Result<()> {
        match engine {
            Engine::Redb | Engine::Sled => Ok(std::fs::create_dir_all(folder)?),
            Engine::Postgres => {
                Cluster::init(folder)?.context("PostgreSQL: apt-get install postgresql-15").map(drop)
            }
        }
    }

    /// A store in a folder that was prepared. `sim` is this program.
    #[must_use]
    pub fn of(sim: &Path, engine: Engine, folder: &Path, habit: Habit) -> Self {
        Self { sim: sim.to_owned(), engine, folder: folder.to_owned(), habit, cluster: None }
    }

    /// Starts what the engine runs beside the writer, again after it was killed.
    ///
    /// # Errors
    /// If PostgreSQL does not start on what is there.
    pub fn start(&mut self) -> anyhow::Result<()> {
        if self.engine == Engine::Postgres {
            let mut cluster =
                Cluster::of(&self.folder)?.context("PostgreSQL: apt-get install postgresql-15")?;
            // Before it recovers it syncs what it finds: in one call, not file by file.
            let mut arguments = vec!["-c", "recovery_init_sync_method=syncfs"];
            if self.habit == Habit::Unsynced {
                arguments.extend(["-c", "fsync=off"]);
            }
            cluster.start(&arguments)?;
            self.cluster = Some(cluster);
        }
        Ok(())
    }

    /// Kills what runs beside the writer.
    ///
    /// # Errors
    /// If a process of it outlives that.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.cluster.take().map_or(Ok(()), |mut cluster| cluster.kill())
    }

    /// Begins a run.
    ///
    /// # Errors
    /// If the writer cannot open the store.
    pub fn write(&self, seed: u64, run: u32, steps: Option<u64>) -> anyhow::Result<Writing> {
        let mut command = program(&self.sim);
        command.args(["store-writer", "--store", &self.text()?, "--seed", &seed.to_string()]);
        command.args(["--run", &run.to_string(), "--writers", &WRITERS.to_string()]);
        command.args(match self.habit {
            Habit::Right => None,
            Habit::Unsynced => Some("--unsynced"),
            Habit::Early => Some("--early"),
        });
        command.args(steps.map(|steps| format!("--steps={steps}")));
        let stderr = tempfile::tempfile()?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr.try_clone()?);
        Writing::begin(command.spawn()?, run, stderr)
    }

    /// Opens what is left and holds it against what was answered.
    ///
    /// # Errors
    /// If the checker cannot be started. What is wrong with the store is the verdict's.
    pub fn check(&self, answered: &Answered) -> anyhow::Result<Verdict> {
        let mut command = program("timeout");
        command.args(["--signal=KILL", CHECK_S]).arg(&self.sim).arg("store-checker");
        command.args(["--store", &self.text()?]);
        command.args((self.habit == Habit::Unsynced).then_some("--unsynced"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("the checker cannot be started")?;
        let mut stdin = child.stdin.take().context("piped")?;
        // A checker that breaks off no longer reads; its verdict tells.
        let _ = stdin.write_all(serde_json::to_string(answered)?.as_bytes());
        drop(stdin);
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(serde_json::from_slice(&output.stdout)?);
        }
        let mut verdict = super::checker::promised(answered);
        verdict.lost = verdict.commits.saturating_add(verdict.records);
        let said = String::from_utf8_lossy(&output.stderr);
        verdict.note(format!("the checker ended with {}: {}", output.status, said.trim()));
        Ok(verdict)
    }

    /// The store as a server's configuration names it.
    fn text(&self) -> anyhow::Result<String> {
        let folder = self.folder.display();
        Ok(match self.engine {
            Engine::Redb => format!("redb:{folder}/store.redb"),
            Engine::Sled => format!("sled:{folder}/store.sled"),
            Engine::Postgres => {
                format!("postgres:{}", self.cluster.as_ref().context("it was not started")?.url())
            }
        })
    }
}

/// A writer at work, and what it was answered so far.
#[derive(Debug)]
pub struct Writing {
    child: Child,
    run: u32,
    answers: Arc<Mutex<Vec<u64>>>,
    heard: Receiver<()>,
    listener: Option<JoinHandle<anyhow::Result<()>>>,
    stderr: std::fs::File,
}

impl Writing {
    fn begin(mut child: Child, run: u32, stderr: std::fs::File) -> anyhow::Result<Self> {
        let stdout = child.stdout.take().context("piped")?;
        let answers = Arc::new(Mutex::new(vec![0; usize::try_from(WRITERS)?]));
        let (tell, heard) = channel();
        let for_listener = answers.clone();
        let listener = std::thread::spawn(move || listen(stdout, &for_listener, &tell));
        let mut writing = Self { child, run, answers, heard, listener: Some(listener), stderr };
        match writing.heard.recv_timeout(PATIENCE) {
            Ok(()) => Ok(writing),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                writing.kill()?;
                bail!("the writer did not open its store: {}", writing.complaint())
            }
        }
    }

    /// What was answered until now.
    #[must_use]
    pub fn answered(&self) -> Run {
        let answered = self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Run { number: self.run, answered }
    }

    /// Kills it and waits for its end. It may have ended by itself, because its disk was gone.
    ///
    /// # Errors
    /// If what it said was not understood.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let _ = self.child.kill();
        self.child.wait()?;
        self.end_listening()
    }

    /// Waits until all its steps are answered.
    ///
    /// # Errors
    /// If it fails.
    pub fn wait(&mut self) -> anyhow::Result<()> {
        let status = self.child.wait()?;
        self.end_listening()?;
        ensure!(status.success(), "the writer ended with {status}: {}", self.complaint());
        Ok(())
    }

    /// What it wrote to stderr.
    #[must_use]
    pub fn complaint(&mut self) -> String {
        use std::io::{Read, Seek};
        let mut text = String::new();
        let read = self.stderr.rewind().and_then(|()| self.stderr.read_to_string(&mut text));
        read.map_or_else(|error| error.to_string(), |_| text.trim().to_owned())
    }

    fn end_listening(&mut self) -> anyhow::Result<()> {
        match self.listener.take().map(JoinHandle::join) {
            Some(Ok(heard)) => heard,
            Some(Err(_)) => bail!("the listener panicked"),
            None => Ok(()),
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Counts answers until the writer falls silent.
fn listen(stdout: ChildStdout, answers: &Mutex<Vec<u64>>, tell: &Sender<()>) -> anyhow::Result<()> {
    let mut lines = BufReader::new(stdout).split(b'\n');
    let first = lines.next().transpose()?;
    if first.as_deref() != Some(writer::OPEN.as_bytes()) {
        return Ok(());
    }
    let _ = tell.send(());
    for line in lines {
        let line = String::from_utf8(line?)?;
        // The last line of a killed writer may be cut.
        let Some((writer, step)) = line.split_once(' ') else { continue };
        let (writer, step): (usize, u64) = (writer.parse()?, step.parse()?);
        let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
        let next = answers.get_mut(writer).context("a writer that was not asked for")?;
        ensure!(step == *next, "writer {writer} said {step} after {next}");
        *next += 1;
    }
    Ok(())
}
