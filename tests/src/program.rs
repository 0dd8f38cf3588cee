//! The one place of this package that starts other programs: the demo's processes, the judges of the outside
//! tests (OpenSSL, PostgreSQL, Chromium, …), cargo for the mutants.
//!
//! It only opens the door; what is run, and with which deadline, is the caller's. Nothing here goes through a
//! shell. Whether a program is there at all is asked in [`crate::skip`].

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// A command for `program`, a name looked up on the path or a path of its own.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place of this package that starts programs")]
pub fn program(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// Writes a program, with the rights to start it. Another process writes: a file cannot be started while somebody has it
/// open for writing, and a program that this process is just starting has a copy of all that it has open.
pub fn write_program(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut writer = program("sh");
    writer.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut writer = writer.spawn()?;
    writer.stdin.take().context("piped")?.write_all(text.as_bytes())?;
    ensure!(writer.wait()?.success(), "{} cannot be written", path.display());
    Ok(())
}
