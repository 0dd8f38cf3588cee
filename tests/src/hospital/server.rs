//! One server process of this very program: started, asked to drain, killed, started again on the same ports.
//!
//! Several of them may share one configuration, store and folder; each has its own control socket, ready file and log.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use tokio::net::TcpSocket;
use tokio::time::sleep;

use crate::program::program;

/// The server that keeps the configuration's own control socket.
pub const FIRST: &str = "server-1";
/// How often a starting or draining server is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Looks until a start has failed.
const LOOKS_UNTIL_READY: u32 = 2400;
/// Looks until a drain has failed.
const LOOKS_UNTIL_DRAINED: u32 = 2400;

/// Where the server's planes listen.
#[derive(Clone, Debug, Deserialize)]
pub struct Ready {
    /// The enrolment plane.
    pub enrolment: std::net::SocketAddr,
    /// The device plane.
    pub device: std::net::SocketAddr,
    /// The operator plane.
    pub operator: std::net::SocketAddr,
    /// The process.
    pub pid: u32,
}

/// A server that runs or can run.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    folder: PathBuf,
    name: String,
    environment: Vec<(String, String)>,
    ready: Ready,
    /// Its ports, bound and never listened at: while it is down, nobody else is given one.
    places: Vec<TcpSocket>,
    child: Option<Child>,
}

impl Server {
    /// The server `name` of the folder that `init` laid at `folder/server`. It does not run yet.
    #[must_use]
    pub fn new(program: &Path, folder: &Path, name: &str) -> Self {
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let ready = Ready { enrolment: any, device: any, operator: any, pid: 0 };
        Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            name: name.to_owned(),
            environment: Vec::new(),
            ready,
            places: Vec::new(),
            child: None,
        }
    }

    /// The same with a variable in its environment.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What it logged.
    pub fn logged(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.file("log"))?)
    }

    /// Starts it: on free ports the first time, on the same ones after that.
    pub async fn start(&mut self, settings: &[&str]) -> anyhow::Result<()> {
        let ready_file = self.file("json");
        if ready_file.exists() {
            std::fs::remove_file(&ready_file)?;
        }
        if self.places.is_empty() {
            self.take_places()?;
        }
        let mut command = program(&self.program);
        command.args(["server", "serve", "--print-sign-in", "--config"]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.arg(self.folder.join("server/cordon.toml")).arg("--ready-file").arg(&ready_file);
        for (plane, address) in [
            ("enrolment", self.ready.enrolment),
            ("device", self.ready.device),
            ("operator", self.ready.operator),
        ] {
            command.arg("--set").arg(format!("{plane}.listen=\"{address}\""));
        }
        if self.name != FIRST {
            command.arg("--set").arg(format!("control=\"{}.sock\"", self.name));
        }
        for setting in settings {
            command.arg("--set").arg(setting);
        }
        let (said, log) = (File::create(self.file("out"))?, File::create(self.file("log"))?);
        command.stdout(Stdio::from(said)).stderr(Stdio::from(log)).stdin(Stdio::null());
        self.child = Some(command.spawn()?);
        self.until_ready(&ready_file).await
    }

    fn take_places(&mut self) -> anyhow::Result<()> {
        for address in [&mut self.ready.enrolment, &mut self.ready.device, &mut self.ready.operator] {
            let place = TcpSocket::new_v4()?;
            place.set_reuseaddr(true)?;
            place.bind(*address)?;
            *address = place.local_addr()?;
            self.places.push(place);
        }
        Ok(())
    }

    async fn until_ready(&mut self, ready_file: &Path) -> anyhow::Result<()> {
        for _ in 0..LOOKS_UNTIL_READY {
            let ready = std::fs::read(ready_file).ok();
            if let Some(ready) = ready.and_then(|text| serde_json::from_slice(&text).ok()) {
                self.ready = ready;
                return Ok(());
            }
            if let Some(status) = self.child.as_mut().context("no process")?.try_wait()? {
                let log = std::fs::read_to_string(self.file("log"))?;
                bail!("the server ended with {status}: {}", log.trim());
            }
            sleep(LOOK).await;
        }
        self.kill();
        bail!("the server was not ready within 120 s")
    }

    /// Ends it by SIGTERM and waits for it to drain.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.context("no process")?, rustix::process::Signal::TERM)?;
        for _ in 0..LOOKS_UNTIL_DRAINED {
            if let Some(status) = child.try_wait()? {
                ensure!(status.success(), "the server ended with {status} on SIGTERM");
                return Ok(());
            }
            sleep(LOOK).await;
        }
        child.kill()?;
        bail!("the server did not drain within 120 s")
    }

    /// Ends it as a power cut or the kernel would: without a word.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Where the planes listen.
    #[must_use]
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// What it printed.
    pub fn said(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.file("out"))?)
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.name))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
