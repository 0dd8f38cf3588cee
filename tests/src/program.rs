//! The one place of this package that starts other programs: the demo's processes, the judges of the outside
//! tests (OpenSSL, PostgreSQL, Chromium, …), cargo for the mutants.
//!
//! It only opens the door; what is run, and with which deadline, is the caller's. Nothing here goes through a
//! shell. Whether a program is there at all is asked in [`crate::skip`].

use std::ffi::OsStr;
use std::process::Command;

/// A command for `program`, a name looked up on the path or a path of its own.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place of this package that starts programs")]
pub fn program(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}
