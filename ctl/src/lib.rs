//! `cordonctl`: keys, signing, approving, asking, on people's own workstations.
//!
//! Two halves that share nothing but the command line. The first works on files alone and needs no network: `keys`,
//! `repo`, `release`, `order`, `content`, `bundle`, `owner`, `feeds sign`, `match`, `mud`, `sbom`, `score`, `version-compare`. The second speaks to the operator plane of a server: `tokens`, `devices`,
//! `feeds`, `siem`, `contacts`, `advisories`, `makers`, `rollouts`, `holds`, `audit`, `receipts`, `expiries`, `evidence pack`, `order draft`, `order plan`, `repo publish`, `repo fetch`. It
//! must never believe a fact that it signs because a server says so: a draft that a server carried is recomputed from the
//! own folders. It shares no code with the server: a stolen server cannot make a person sign something else than what is
//! shown.
//!
//! Exit status: 0 done, 1 refused (an RFC 9457 problem on standard error), 2 wrong usage, 3 server not reached.
//! Read next: [`cli`] for the commands, [`session`] for what each of them is given.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

pub mod advisories;
pub mod api;
pub mod approvals;
pub mod arguments;
pub mod assets;
pub mod audit;
pub mod bundle;
pub mod chain;
pub mod cli;
pub mod clock;
pub mod contacts;
pub mod content;
pub mod devices;
pub mod diff;
pub mod evidence;
pub mod example;
pub mod exceptions;
pub mod expiries;
pub mod export;
pub mod failure;
pub mod feeds;
pub mod fetch;
pub mod findings;
pub mod folder;
pub mod holds;
pub mod key;
pub mod keys;
pub mod makers;
pub mod matching;
pub mod mud;
pub mod order;
pub mod owner;
pub mod placing;
pub mod receipts;
pub mod release;
pub mod repo;
pub mod report;
pub mod risk;
pub mod rollouts;
pub mod sbom;
pub mod score;
pub mod session;
pub mod siem;
#[cfg(test)]
mod tests;
mod tls;
pub mod tokens;
pub mod verifier;
pub mod version_compare;
pub mod visits;

use cli::Cli;
use failure::Failure;
use session::Session;

/// Runs one command line, the program's name first, with the process's own output. Must not be called inside an
/// asynchronous runtime: commands that ask a server bring their own.
pub fn run<I, S>(arguments: I) -> ExitCode
where
    I: IntoIterator<Item = S>,
    S: Into<OsString> + Clone,
{
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    ExitCode::from(run_with(arguments, &mut out, &mut err))
}

/// The same with the output of the caller's choice; gives the exit status.
pub fn run_with<I, S>(arguments: I, out: &mut dyn Write, err: &mut dyn Write) -> u8
where
    I: IntoIterator<Item = S>,
    S: Into<OsString> + Clone,
{
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            write_all(err, &error.to_string());
            return Failure::USAGE;
        }
        Err(help) => {
            write_all(out, &help.to_string());
            return 0;
        }
    };
    let mut session = Session { now: clock::now(), options: &cli.options, shown: err };
    match cli.command.run(&mut session) {
        Ok(report) => {
            write_all(out, &report.render(cli.options.output));
            0
        }
        Err(failure) => {
            write_all(err, &failure.render());
            failure.status()
        }
    }
}

/// The command line itself, for manual pages and completions.
#[must_use]
pub fn command_line() -> clap::Command {
    Cli::command()
}

/// Output that nobody reads any more is no reason to fail.
fn write_all(to: &mut dyn Write, text: &str) {
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}
