//! The command line of `cordon-server`.
//!
//! Exit codes: 0 done, 1 refused (the reason on stderr, with what to do), 2 usage. Nothing here works; it calls
//! `init`, `serve`, `control` and `care`, and says in people's words what came of it.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{CommandFactory, Parser, Subcommand};

use crate::care::{backup, restore};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{self, ControlError, Question, Reply};
use crate::{init, log, serve};

mod ca;
mod care;

/// The server of a fleet of medical devices and kiosks.
#[derive(Debug, Parser)]
#[command(name = "cordon-server", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// The command line itself, for manual pages and completions.
#[must_use]
pub fn command_line() -> clap::Command {
    Arguments::command()
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lay a new server's folder: settings, certificate authority, keys.
    Init {
        /// The folder.
        #[arg(long)]
        dir: PathBuf,
        /// Make an API token for cordonctl and write its secret here, mode 0600.
        #[arg(long)]
        admin_token_file: Option<PathBuf>,
        /// Name or address under which devices reach the server.
        #[arg(long, default_value = "localhost")]
        host: String,
        /// Take the throw-away keys of keys-example: for a trial on loopback only.
        #[arg(long)]
        example_keys: bool,
        /// Where documents and telemetry are kept: `redb:PATH`, or `postgres:…` for several servers.
        #[arg(long, default_value = init::STORE)]
        store: String,
        /// How the issuing key is kept: `age:FILE`, sealed for the identity in FILE, which is made if it is missing; or
        /// `pkcs11:…`, in a token. Without, in plain with mode 0600.
        #[arg(long)]
        ca_key: Option<String>,
    },
    /// Run the server until SIGTERM.
    Serve {
        /// The settings that `init` wrote.
        #[arg(long)]
        config: PathBuf,
        /// Overrule a setting, such as `device.listen=127.0.0.1:0`; may be repeated.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Write where the planes listen here, once they do.
        #[arg(long)]
        ready_file: Option<PathBuf>,
        /// Print a one-time link into the console.
        #[arg(long)]
        print_sign_in: bool,
    },
    /// Write everything into one file, sealed for the public key in the settings; the server goes on meanwhile.
    ///
    /// A running server writes the file itself, as its own user. The settings say for whom:
    /// `[backup] recipient = "age1…"`, made by `age-keygen`.
    Backup {
        /// The settings of the server.
        #[arg(long)]
        config: PathBuf,
        /// The new file.
        #[arg(long)]
        to: PathBuf,
        /// Put the authority's issuing key in: whoever opens the file can then make devices.
        #[arg(long)]
        with_ca_key: bool,
        /// Put the images in; without, only their list.
        #[arg(long)]
        with_blobs: bool,
    },
    /// Lay a new folder and fill an empty store from a backup.
    Restore {
        /// The backup.
        #[arg(long)]
        from: PathBuf,
        /// The file that `age-keygen` wrote, mode 0600.
        #[arg(long)]
        identity: PathBuf,
        /// The new folder.
        #[arg(long)]
        dir: PathBuf,
        /// Another store than the settings in the backup name, such as `redb:store.redb`.
        #[arg(long)]
        store: Option<String>,
    },
    /// The certificate authorities: how they stand, and how they are replaced.
    Ca {
        #[command(subcommand)]
        command: ca::Step,
    },
    /// Ask a running server, as the user it runs as.
    Admin {
        #[command(subcommand)]
        command: Admin,
    },
}

#[derive(Debug, Subcommand)]
enum Admin {
    /// Print a one-time link into the console; it lives a quarter of an hour.
    SignInLink {
        /// The settings of the running server.
        #[arg(long)]
        config: PathBuf,
    },
}

/// Runs a command line, program name first, and says how the process should end.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    match execute(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "cordon-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("the system gives no threads")?;
    match command {
        Command::Init { dir, admin_token_file, host, example_keys, store, ca_key } => {
            let options = init::Options { folder: dir, admin_token_file, host, example_keys, store, ca_key };
            let laid = runtime.block_on(init::run(&options, Clock::system().now()))?;
            tell(&options, &laid);
            Ok(())
        }
        Command::Serve { config, set, ready_file, print_sign_in } => {
            let config = Config::load(&config, &set)?;
            log::start(config.log, config.log_format);
            let options = serve::Options { ready_file, print_sign_in };
            Ok(runtime.block_on(serve::run(config, &options))?)
        }
        Command::Admin { command: Admin::SignInLink { config } } => {
            let config = Config::load(&config, &[])?;
            let path = config.path(&config.control);
            match runtime.block_on(control::ask(&path, &Question::SignInLink, |_| ()))? {
                Reply::Link(link) => say(&link),
                Reply::Refused(reason) => bail!(reason),
                Reply::Written(_) | Reply::BackedUp(_) | Reply::Authority(_) => bail!(ControlError::Answer),
            }
            Ok(())
        }
        Command::Ca { command } => runtime.block_on(ca::run(command)),
        Command::Backup { config, to, with_ca_key, with_blobs } => {
            let config = Config::load(&config, &[])?;
            let to = std::path::absolute(to).context("the working folder is gone")?;
            runtime.block_on(care::by_hand(&config, backup::Order { to, with_ca_key, with_blobs }))
        }
        Command::Restore { from, identity, dir, store } => {
            let order = restore::Order { from, identity, folder: dir, store };
            care::restored(&runtime.block_on(restore::run(&order, Clock::system().now()))?);
            Ok(())
        }
    }
}

/// What a person needs after `init`: the public halves of the online keys alone go to stdout, for a pipe.
fn tell(options: &init::Options, laid: &init::Laid) {
    say(&laid.online_keys);
    let root_key = options.folder.join("ca").join(crate::ca::ROOT_KEY);
    let mut words = format!(
        "Laid {}. Root pin {}.\nCarry {} away to a safe place: the server runs without it, and the next issuing \
         certificate needs it.\nGive {} to `cordonctl repo init --director`, sign there, then publish.\n{} goes to whoever \
         will audit: it names this server's log.\nStart with \
         `cordon-server serve --config {}`.\n",
        options.folder.display(),
        laid.ca_pin,
        root_key.display(),
        options.folder.join(init::ONLINE_KEYS).display(),
        options.folder.join(init::AUDIT_LOG).display(),
        laid.config.display(),
    );
    if let Some(root) = laid.director_root {
        words.push_str(&format!("The example director's root has SHA-256 {root}.\n"));
        words.push_str(
            "The online keys are the throw-away ones of keys-example: for a trial on loopback only.\n",
        );
    }
    let _ = std::io::stderr().lock().write_all(words.as_bytes());
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
