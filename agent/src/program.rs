//! Other programs: the one place of this package that starts them.
//!
//! A program gets no input and never a shell. It leads a process group of its own, and the whole group is killed when
//! its time is over or nobody wants its end any more. What it says is read when it has ended, and bounded. Which program
//! is started is the configuration's, what its end means the caller's. Read next: [`crate::boot`].

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::files::{FileError, refuse_world_writable};

/// Bytes of an answer.
const ANSWER_BYTES: usize = 4096;
/// Between the first two looks at a program that should end.
const TURN: Duration = Duration::from_millis(2);
/// Between two looks at one that takes its time.
const LONG_TURN: Duration = Duration::from_millis(100);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// Looks at a killed program.
const LAST_TURNS: u32 = 50;
/// What a program is told that is waited for as long as it may take.
static WANTED: AtomicBool = AtomicBool::new(true);

/// Why a program gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not there, or may not be started.
    #[error("cannot be started: {0}")]
    Start(io::Error),
    /// It says that it failed.
    #[error("failed: {0}")]
    Failed(ExitStatus),
    /// It did not end.
    #[error("did not end in {} seconds and was killed", .0.as_secs())]
    Late(Duration),
    /// Nobody waits for it any more.
    #[error("was not waited for and was killed")]
    Unwanted,
    /// It ended, and what it said is no answer.
    #[error("gave no readable answer")]
    Unreadable,
}

/// A program that runs; dropped, it is killed.
pub(crate) struct Program {
    child: Child,
    ended: bool,
}

impl Program {
    /// Starts a program by its name or path and its arguments.
    #[expect(clippy::disallowed_methods, reason = "the one place of this package that starts programs")]
    pub(crate) fn start(words: &[&str], said: (Stdio, Stdio)) -> io::Result<Self> {
        let (name, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(name);
        command.args(arguments).stdin(Stdio::null()).stdout(said.0).stderr(said.1).process_group(0);
        Ok(Self { child: command.spawn()?, ended: false })
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        self.ended = status.is_some();
        Ok(status)
    }

    /// Waits until it ends well, as long as somebody wants that.
    fn wait(&mut self, limit: Duration, wanted: &AtomicBool) -> Result<(), ProgramError> {
        let (mut waited, mut turn) = (Duration::ZERO, TURN);
        while waited < limit {
            if !wanted.load(Ordering::Relaxed) {
                return Err(ProgramError::Unwanted);
            }
            match self.ended() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(ProgramError::Failed(status)),
                Ok(None) => sleep(turn),
                Err(error) => return Err(ProgramError::Start(error)),
            }
            waited += turn;
            turn = (waited / 8).clamp(TURN, LONG_TURN);
        }
        Err(ProgramError::Late(limit))
    }

    fn kill(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
        for _ in 0..LAST_TURNS {
            // One that even this does not end is left to the kernel.
            if !matches!(self.ended(), Ok(None)) {
                return;
            }
            sleep(TURN);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
        }
    }
}

/// The words of a configured command with more behind them; refused where anyone may change the program. A bare name is
/// found where the system keeps its programs.
pub(crate) fn checked<'a>(words: &'a [String], more: &[&'a str]) -> Result<Vec<&'a str>, FileError> {
    let words: Vec<&str> = words.iter().map(String::as_str).chain(more.iter().copied()).collect();
    match words.first().filter(|name| name.contains('/')) {
        Some(path) => refuse_world_writable(path.as_ref()).map(|()| words),
        None => Ok(words),
    }
}

/// What a program says on its standard output, if it ends in time and well. Blocks meanwhile.
pub(crate) fn answer(words: &[&str]) -> Result<String, ProgramError> {
    answer_while(&WANTED, words, ANSWER)
}

/// As [`answer`], with a time of its own, and only as long as `wanted` says so.
pub(crate) fn answer_while(
    wanted: &AtomicBool,
    words: &[&str],
    limit: Duration,
) -> Result<String, ProgramError> {
    let mut program = ended_well(wanted, (words, Stdio::piped()), limit)?;
    program.child.stdout.take().and_then(text).ok_or(ProgramError::Unreadable)
}

/// Lets a program work that has nothing to say, until it ends well. Blocks meanwhile.
pub(crate) fn work(words: &[&str], limit: Duration) -> Result<(), ProgramError> {
    work_while(&WANTED, words, limit)
}

/// As [`work`], and only as long as `wanted` says so.
pub(crate) fn work_while(wanted: &AtomicBool, words: &[&str], limit: Duration) -> Result<(), ProgramError> {
    ended_well(wanted, (words, Stdio::null()), limit).map(drop)
}

fn ended_well(
    wanted: &AtomicBool,
    (words, said): (&[&str], Stdio),
    limit: Duration,
) -> Result<Program, ProgramError> {
    if !wanted.load(Ordering::Relaxed) {
        return Err(ProgramError::Unwanted);
    }
    let mut program = Program::start(words, (said, Stdio::inherit())).map_err(ProgramError::Start)?;
    program.wait(limit, wanted)?;
    Ok(program)
}

/// What waits in the pipe of an ended program. Somebody else may still hold its other end, so it is not waited for.
fn text(mut said: ChildStdout) -> Option<String> {
    fcntl_setfl(&said, OFlags::NONBLOCK).ok()?;
    let mut bytes = vec![0; ANSWER_BYTES + 1];
    let mut length = 0;
    loop {
        match said.read(bytes.get_mut(length..)?) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    bytes.truncate(length);
    String::from_utf8(bytes).ok().filter(|text| text.len() <= ANSWER_BYTES)
}

/// Writes a program of a test, with the rights to start it. Another process writes: a file cannot be started while
/// somebody has it open for writing, and a program that another test is just starting has a copy of all that this
/// process has open.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the one place of this package that starts programs")]
pub(crate) fn write_program(path: &std::path::Path, text: &str) {
    use std::io::Write;
    let mut writer = Command::new("sh");
    writer.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut writer = writer.spawn().expect("starts");
    writer.stdin.take().expect("is piped").write_all(text.as_bytes()).expect("is read");
    assert!(writer.wait().expect("ends").success(), "{} is written", path.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<String, ProgramError> {
        answer(&["sh", "-c", script])
    }

    #[test]
    fn what_a_program_says_is_an_answer_only_if_it_ends_well_and_is_short_text() {
        // Goal: no half answers. Method: a good one, then each kind of bad one.
        assert_eq!(shell("echo active=A").expect("answers"), "active=A\n");
        assert_eq!(shell("sleep 100 & echo quick").expect("answers"), "quick\n", "a child of it may live on");
        assert!(matches!(shell("echo active=A; exit 3"), Err(ProgramError::Failed(_))));
        assert!(matches!(shell("kill -9 $$"), Err(ProgramError::Failed(_))));
        assert!(matches!(shell("head -c 4097 /dev/zero"), Err(ProgramError::Unreadable)));
        assert!(matches!(shell("printf '\\377'"), Err(ProgramError::Unreadable)));
        assert!(matches!(answer(&["/nowhere/at/all"]), Err(ProgramError::Start(_))));
        assert!(matches!(answer(&[]), Err(ProgramError::Start(_))));
    }

    #[test]
    fn a_program_that_is_not_wanted_any_more_is_killed_with_its_children() {
        // Goal: nothing is left behind. Method: a child that would say something a minute after its parent was dropped; the
        // pipe ends with the last one who holds it.
        let script = "(echo ready; sleep 60; echo late) & wait";
        let mut program =
            Program::start(&["sh", "-c", script], (Stdio::piped(), Stdio::null())).expect("starts");
        let mut said = program.child.stdout.take().expect("is piped");
        let mut ready = [0; 6];
        said.read_exact(&mut ready).expect("the child runs");
        drop(program);
        let mut rest = String::new();
        said.read_to_string(&mut rest).expect("reads to the end");
        assert_eq!((ready.as_slice(), rest.as_str()), (b"ready\n".as_slice(), ""));
    }
}
