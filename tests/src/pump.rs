//! The reference application of the interlock as a process: built from its C source, told by lines, stopped and killed.
//!
//! What it means is the agent's to say; this only plays the maker's software. Read next:
//! `agent/interlock/cordon_interlock.h`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use crate::program::program;
use crate::skip::require_package;

/// The reference application, built by the machine's own compiler with every warning an error; nothing where there is no
/// compiler.
pub fn built(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    let Some(compiler) = require_package("cc") else { return Ok(None) };
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/interlock/pump.c");
    let pump = folder.join("pump");
    let mut command = program(compiler);
    command.args(["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-o"]);
    let output = command.arg(&pump).arg(source).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(Some(pump))
}

/// The application at work.
#[derive(Debug)]
pub struct Pump {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Pump {
    /// Starts it at an agent's socket, with leases of so many seconds.
    pub fn start(pump: &Path, socket: &Path, lease_s: u64) -> anyhow::Result<Self> {
        let mut command = program(pump);
        command.arg(socket).arg(lease_s.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let input = child.stdin.take().context("its input is a pipe")?;
        let output = BufReader::new(child.stdout.take().context("its output is a pipe")?);
        Ok(Self { child, input, output })
    }

    /// The next line that it prints.
    pub fn says(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Tells it one line and gives back the next one that it prints.
    pub fn told(&mut self, command: &str) -> anyhow::Result<String> {
        writeln!(self.input, "{command}")?;
        self.says()
    }

    /// Lives on and says nothing any more: its connection stays, its lease is not renewed.
    pub fn hangs(&self) -> anyhow::Result<()> {
        self.signalled(Signal::STOP)
    }

    /// Goes on after it hung.
    pub fn wakes(&self) -> anyhow::Result<()> {
        self.signalled(Signal::CONT)
    }

    fn signalled(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Dies without a word.
    pub fn killed(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Told to end; whether it did so well.
    pub fn quits(mut self) -> anyhow::Result<(String, bool)> {
        let last = self.told("quit")?;
        Ok((last, self.child.wait()?.success()))
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        // One that has ended already needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
