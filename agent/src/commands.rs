//! The command line of `cordon-agent`: one function a command, each a few lines of wiring.
//!
//! Exit codes: 0 done, 1 refused or failed, 2 usage, 86 the device is to be rebooted. Errors go to stderr in one
//! sentence that says what to do. The token is read from a file or standard input, never from an argument, where other
//! users could see it. Read next: [`crate::run`].

mod bundle;
mod local;
#[cfg(feature = "observe")]
mod observing;
mod owner;
#[cfg(feature = "tuf-conformance")]
mod tuf_conformance;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use cordon_proto::limits;

use crate::config::{Config, Sources};
#[cfg(feature = "observe")]
use crate::observe::Request;

const USAGE: &str = "\
cordon-agent [--state DIR] [--config FILE] COMMAND

  enrol --with FILE|- [--wait SECONDS]
                            join the owner's fleet with a join file, or its line on standard input; where a person
                            has to approve, ask again for so long (300 s), after that `run` goes on asking
  run [--once]              watch, report, install what both signatures allow; --once: one report
  status [--json]           what is installed, what blocks an update and why, who the device is
  inventory [--root DIR]    what the device is made of, as JSON lines
  interlock hold|release [--for SECONDS]
                            keep the device from rebooting, or end that: where a person has to say that it is free,
                            it may then reboot for so long (3600 s)
  install-bundle DIR [--receipts DIR] [--expect-server] [--wait SECONDS]
                            hand the agent an update from a folder, such as one on a stick, and wait until it holds the
                            image (3600 s); first copies the receipts that wait to DIR/receipts; --expect-server: the
                            server will be reached once the new image runs
  trust-director FILE [--hand-over FILE]
                            trust an owner's director root, where none is trusted yet; with a signed change of owner,
                            in the place of the present one, which is then left with a farewell
  forget-site               forget identity, profile and spool; never roots, floor or versions
  retire                    sign a farewell, hand it in if the server can be reached, then forget as above
";

#[cfg(feature = "observe")]
const USAGE_OF_OBSERVE: &str = "  observe --read FILE.pcap|--read-conn conn.log --out FILE.jsonl [--device IP|MAC]… [--local CIDR]… [--from T] [--until T]
          [--learn 7d|12h|all] [--profile FILE] [--save-profile FILE] [--mud FILE]
                            what the sensor makes of a recording: flows, findings and a summary as JSON lines; - for
                            standard output. Watched is who speaks from a private address, unless devices are named
";
#[cfg(not(feature = "observe"))]
const USAGE_OF_OBSERVE: &str = "";

/// What `--help` says, and the manual page with it.
#[must_use]
pub fn usage() -> String {
    format!("{USAGE}{USAGE_OF_OBSERVE}")
}

/// Seconds that `enrol` waits for a person's approval unless told otherwise.
const WAIT_S: u64 = 300;

/// One command, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Command {
    Enrol {
        with: PathBuf,
        wait_s: u64,
    },
    Run {
        once: bool,
    },
    Status {
        json: bool,
    },
    Inventory {
        root: PathBuf,
    },
    /// A hold, or a release for so many seconds.
    Interlock {
        free_s: Option<u32>,
    },
    #[cfg(feature = "observe")]
    Observe(Box<Request>),
    InstallBundle(bundle::Handing),
    TrustDirector {
        root: PathBuf,
        hand_over: Option<PathBuf>,
    },
    ForgetSite,
    Retire,
    Help,
    Version,
}

/// Runs one command. `args` are what stands after the program's name.
pub fn main_with(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    #[cfg(feature = "tuf-conformance")]
    let args = match tuf_conformance::asked_for(args) {
        Ok(args) => return tuf_conformance::main_with(args),
        Err(args) => args,
    };
    let (sources, command) = match parse(args) {
        Ok(parsed) => parsed,
        Err(error) => {
            eprint!("cordon-agent: {error}\n\n{}", usage());
            return ExitCode::from(2);
        }
    };
    match execute(&sources, command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cordon-agent: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes as one sentence; a cause that its effect names already is not said twice.
fn told(error: &anyhow::Error) -> String {
    error.chain().skip(1).fold(error.to_string(), |said, cause| {
        let cause = cause.to_string();
        if said.contains(&cause) { said } else { format!("{said}: {cause}") }
    })
}

fn execute(sources: &Sources, command: Command) -> anyhow::Result<ExitCode> {
    let config = || Config::load(sources);
    match command {
        Command::Help => print!("{}", usage()),
        Command::Version => println!("cordon-agent {}", env!("CARGO_PKG_VERSION")),
        Command::Inventory { root } => local::inventory(&root)?,
        #[cfg(feature = "observe")]
        Command::Observe(request) => return observing::observed(&request),
        Command::Enrol { with, wait_s } => local::enrol(&config()?, &with, wait_s)?,
        Command::Run { once: false } => return local::run(config()?),
        Command::Run { once: true } => return local::once(config()?),
        Command::Status { json } => local::status(&config()?, json)?,
        Command::Interlock { free_s } => local::interlock(&config()?, free_s)?,
        Command::InstallBundle(handing) => bundle::install(&config()?, &handing)?,
        Command::TrustDirector { root, hand_over: None } => local::trust_director(&config()?, &root)?,
        Command::TrustDirector { root, hand_over: Some(file) } => owner::hand_over(&config()?, &root, &file)?,
        Command::ForgetSite => local::forget(&config()?)?,
        Command::Retire => local::retire(&config()?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<(Sources, Command), lexopt::Error> {
    use lexopt::prelude::*;
    let mut parser = lexopt::Parser::from_args(args);
    let mut sources = Sources::default();
    let mut command: Option<Command> = None;
    while let Some(arg) = parser.next()? {
        match (arg, &mut command) {
            (Long("state"), _) => sources.state = Some(parser.value()?.into()),
            (Long("config"), _) => sources.config = Some(parser.value()?.into()),
            (Long("help") | Short('h'), _) => command = Some(Command::Help),
            (Long("version"), _) => command = Some(Command::Version),
            (Long("with"), Some(Command::Enrol { with, .. })) => *with = parser.value()?.into(),
            (Long("wait"), Some(Command::Enrol { wait_s, .. })) => *wait_s = parser.value()?.parse()?,
            (Long("wait"), Some(Command::InstallBundle(handing))) => {
                handing.wait_s = parser.value()?.parse()?
            }
            (Long("receipts"), Some(Command::InstallBundle(handing))) => {
                handing.receipts = Some(parser.value()?.into());
            }
            (Long("expect-server"), Some(Command::InstallBundle(handing))) => handing.expect_server = true,
            (Long("for"), Some(Command::Interlock { free_s: Some(free_s) })) => {
                *free_s = parser.value()?.parse()?;
            }
            (Long("once"), Some(Command::Run { once })) => *once = true,
            (Long("json"), Some(Command::Status { json })) => *json = true,
            (Long("hand-over"), Some(Command::TrustDirector { hand_over, .. })) => {
                *hand_over = Some(parser.value()?.into());
            }
            (Long("root"), Some(Command::Inventory { root })) => *root = parser.value()?.into(),
            #[cfg(feature = "observe")]
            (Long(flag), Some(Command::Observe(request))) => {
                let flag = flag.to_owned();
                observing::asked(request, &flag, parser.value()?)?;
            }
            (Value(word), None) => command = Some(named(&word, &mut parser)?),
            (arg, _) => return Err(arg.unexpected()),
        }
    }
    match command {
        Some(Command::Enrol { with, .. }) if with.as_os_str().is_empty() => {
            Err("enrol needs --with FILE, or --with - for standard input".into())
        }
        #[cfg(feature = "observe")]
        Some(Command::Observe(request)) if !observing::is_whole(&request) => {
            Err("observe needs --out FILE, and either --read FILE or --read-conn FILE".into())
        }
        Some(command) => Ok((sources, command)),
        None => Err("a command is missing".into()),
    }
}

fn named(word: &OsStr, parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    Ok(match word.to_str().unwrap_or_default() {
        "enrol" => Command::Enrol { with: PathBuf::new(), wait_s: WAIT_S },
        "run" => Command::Run { once: false },
        "status" => Command::Status { json: false },
        "inventory" => Command::Inventory { root: PathBuf::from("/") },
        #[cfg(feature = "observe")]
        "observe" => Command::Observe(Box::default()),
        "interlock" => match parser.value()?.to_str() {
            Some("hold") => Command::Interlock { free_s: None },
            Some("release") => Command::Interlock { free_s: Some(limits::INTERLOCK_RELEASE_S) },
            Some(_) | None => return Err("interlock takes hold or release".into()),
        },
        "install-bundle" => Command::InstallBundle(bundle::Handing::of(parser.value()?.into())),
        "trust-director" => Command::TrustDirector { root: parser.value()?.into(), hand_over: None },
        "forget-site" => Command::ForgetSite,
        "retire" => Command::Retire,
        other => return Err(format!("there is no command {other:?}").into()),
    })
}

#[cfg(test)]
mod tests;
