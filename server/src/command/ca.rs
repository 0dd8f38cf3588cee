//! `cordon-server ca …`: the person's side of a change of authorities. The root's key is read here and nowhere else.
//!
//! A running server is asked over its control socket and never sees the root's key: it makes the issuing key, this
//! command signs. Where no server runs, the same is done on the folder. Read next: [`crate::ca::steps`].

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use cordon_proto::enrol::{base64url, from_base64url};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::device::Device;
use rustls::pki_types::CertificateDer;

use super::care::nobody;
use super::say;
use crate::ca::Authority;
use crate::ca::key::KeyPlace;
use crate::ca::make::{self, Root};
use crate::ca::steps::{Ask, Desk, SeenDevice, Status, Told};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{self, ControlError, Question, Reply};
use crate::store::{Cursor, Index, Kind, Store};
use crate::{files, init, serve};

/// What can be done.
#[derive(Debug, Subcommand)]
pub(super) enum Step {
    /// How the authorities stand, who has the newest bundle, what ends soon.
    Status {
        /// The settings of the server.
        #[arg(long)]
        config: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Seal plain issuing keys for the identity that `ca_key = "age:FILE"` names; FILE is made if it is missing.
    Seal {
        /// The settings of the server.
        #[arg(long)]
        config: PathBuf,
    },
    /// A new issuing authority under the same root.
    RenewIssuing {
        /// The settings of the server.
        #[arg(long)]
        config: PathBuf,
        /// The root's key.
        #[arg(long)]
        root_key: PathBuf,
        /// The new key, where it was made in a token: `pkcs11:…`.
        #[arg(long)]
        issuing_key: Option<String>,
    },
    /// Make a new root, and publish the bundle with both.
    Stage {
        /// The settings of the server.
        #[arg(long)]
        config: PathBuf,
        /// The present root's key.
        #[arg(long)]
        root_key: PathBuf,
        /// Where the new root's key is written, once, mode 0600. Carry it away to a safe place.
        #[arg(long)]
        new_root_key: PathBuf,
        /// The key under the new root, where it was made in a token: `pkcs11:…`.
        #[arg(long)]
        issuing_key: Option<String>,
    },
    /// Issue under the new root.
    Switch {
        /// The settings of the server.
        #[arg(long)]
        config: PathBuf,
        #[command(flatten)]
        force: Force,
    },
    /// Take the old root away.
    Finish {
        /// The settings of the server.
        #[arg(long)]
        config: PathBuf,
        /// The new root's key; may be repeated for the old one's.
        #[arg(long, required = true)]
        root_key: Vec<PathBuf>,
        #[command(flatten)]
        force: Force,
    },
}

/// What overrules a refusal.
#[derive(Debug, Args)]
pub(super) struct Force {
    /// Do it although devices are not ready, or will be lost.
    #[arg(long, requires = "reason")]
    force: bool,
    /// Why; it goes into the journal.
    #[arg(long, requires = "force")]
    reason: Option<String>,
}

/// Does one of them.
pub(super) async fn run(step: Step) -> anyhow::Result<()> {
    match step {
        Step::Status { config, json } => {
            let status = Desktop::open(&config)?.status().await?;
            if json {
                say(&serde_json::to_string_pretty(&status)?)
            } else {
                show(&status)
            }
            Ok(())
        }
        Step::Seal { config } => {
            Desktop::open(&config)?.done(Ask::Seal).await?;
            tell(
                "Copies of the plain key may remain on the disk and in older backups: `ca renew-issuing` makes a new one.",
            );
            Ok(())
        }
        Step::RenewIssuing { config, root_key, issuing_key } => {
            let desk = Desktop::open(&config)?;
            let root = held(&desk.status().await?, &root_key)?;
            let (key, issuing) = desk.issuing(&root, issuing_key).await?;
            desk.done(Ask::Renew { key, issuing }).await
        }
        Step::Stage { config, root_key, new_root_key, issuing_key } => {
            let desk = Desktop::open(&config)?;
            desk.stage(&root_key, &new_root_key, issuing_key).await
        }
        Step::Switch { config, force } => {
            Desktop::open(&config)?.done(Ask::Switch { force: force.reason }).await
        }
        Step::Finish { config, root_key, force } => {
            Desktop::open(&config)?.finish(&root_key, force.reason).await
        }
    }
}

/// A server's settings, and whom to ask.
struct Desktop {
    config: Config,
    now: Timestamp,
}

impl Desktop {
    fn open(path: &Path) -> anyhow::Result<Self> {
        Ok(Self { config: Config::load(path, &[])?, now: Clock::system().now() })
    }

    async fn ask(&self, ask: Ask) -> anyhow::Result<Told> {
        let socket = self.config.path(&self.config.control);
        match control::ask(&socket, &Question::Authority(ask.clone()), |_| ()).await {
            Ok(Reply::Authority(told)) => Ok(told),
            Ok(Reply::Refused(reason)) => bail!(reason),
            Ok(Reply::Link(_) | Reply::Written(_) | Reply::BackedUp(_)) => bail!(ControlError::Answer),
            Err(ControlError::Absent { source, .. }) if nobody(&source) => self.alone(&ask).await,
            Err(error) => Err(error.into()),
        }
    }

    /// On the folder of a server that does not run.
    async fn alone(&self, ask: &Ask) -> anyhow::Result<Told> {
        let store = serve::open_store(&self.config).await?;
        let authority = Authority::open(&self.config)?;
        let roots_file = self.config.folder.join(init::CA);
        let devices = devices(&*store).await?;
        let desk =
            Desk { authority: &authority, store: &*store, devices, roots_file: &roots_file, now: self.now };
        Ok(desk.answer(ask).await?)
    }

    async fn status(&self) -> anyhow::Result<Status> {
        match self.ask(Ask::Status).await? {
            Told::Status(status) => Ok(*status),
            Told::Prepared { .. } | Told::Done(_) => bail!(ControlError::Answer),
        }
    }

    async fn done(&self, ask: Ask) -> anyhow::Result<()> {
        match self.ask(ask).await? {
            Told::Done(words) => say(&words),
            Told::Prepared { .. } | Told::Status(_) => bail!(ControlError::Answer),
        }
        Ok(())
    }

    /// A new issuing key at the server, and its certificate under `root`.
    async fn issuing(&self, root: &Root, token: Option<String>) -> anyhow::Result<(KeyPlace, String)> {
        let Told::Prepared { key, spki } = self.ask(Ask::Prepare { token }).await? else {
            bail!(ControlError::Answer)
        };
        let spki = from_base64url(&spki).context("the server's answer is not base64url")?;
        Ok((key, base64url(&root.issuing(&spki, self.now)?)))
    }

    async fn stage(&self, old_key: &Path, new_key: &Path, token: Option<String>) -> anyhow::Result<()> {
        let status = self.status().await?;
        let old = held(&status, old_key)?;
        let new = Root::make(self.now)?;
        // Written before anything is published: a root without its key could never be left again.
        new.write_key(new_key)?;
        let (key, issuing) = self.issuing(&new, token).await?;
        let version = status.bundle.saturating_add(1);
        let roots = [old.certificate(), new.certificate()];
        let bundle = base64url(&make::bundle(version, &roots, &[&old], self.now)?);
        let root = base64url(new.certificate());
        self.done(Ask::Stage { key, issuing, root, bundle }).await?;
        tell(&format!(
            "Carry {} away to a safe place: `ca finish` needs it, and nothing else. Devices learn of the new root at \
             their check-ins; `ca status` counts them. Go on with `ca switch`.",
            new_key.display()
        ));
        Ok(())
    }

    async fn finish(&self, keys: &[PathBuf], force: Option<String>) -> anyhow::Result<()> {
        let status = self.status().await?;
        let Some(new) = status.authorities.get(1) else {
            bail!("no new root is staged: begin with `ca stage`")
        };
        let mut by = Vec::new();
        for key in keys {
            by.push(held(&status, key)?);
        }
        let new = by.iter().find(|root| base64url(&root.pin().0) == new.root_pin);
        let new =
            new.context("the new root's key is needed: the file that `ca stage --new-root-key` wrote")?;
        let version = status.bundle.saturating_add(1);
        let signers: Vec<&Root> = by.iter().collect();
        let bundle = base64url(&make::bundle(version, &[new.certificate()], &signers, self.now)?);
        self.done(Ask::Finish { bundle, force }).await?;
        tell(
            "The server's own certificate moves to the new root within seconds. Enrolment strings made before pin the old \
             root: make unused ones anew, and give `ca.pem` to everybody who reaches this server by it.",
        );
        Ok(())
    }
}

/// The root in force whose key lies in this file.
fn held(status: &Status, file: &Path) -> anyhow::Result<Root> {
    let key = files::read_secret(file)?;
    let key = std::str::from_utf8(&key).context("the root's key is no PEM file")?;
    for one in &status.authorities {
        let der = from_base64url(&one.root).context("the server's answer is not base64url")?;
        if let Some(root) = Root::held(&CertificateDer::from(der), key)? {
            return Ok(root);
        }
    }
    bail!("{} is not the key of a root that is in force here: see `ca status`", file.display())
}

/// Every device of a store, with its last report that was written down.
async fn devices(store: &dyn Store) -> anyhow::Result<Vec<SeenDevice>> {
    let mut devices = Vec::new();
    let mut cursor = Some(Cursor::First);
    while let Some(from) = cursor {
        let page = store.scan(Index::All(Kind::Device), from, limits::PAGE_ROWS).await?;
        for (key, row) in page.rows {
            let device = Device::from_body(&row.body).with_context(|| format!("{key} cannot be read"))?;
            devices.push(SeenDevice::of(&device, device.report.as_ref()));
        }
        cursor = page.next;
    }
    Ok(devices)
}

fn show(status: &Status) {
    let phase = serde_json::to_value(status.phase).unwrap_or_default();
    say(&format!("phase {}, bundle {}", phase.as_str().unwrap_or_default(), status.bundle));
    for one in &status.authorities {
        say(&format!("root {} until {}", one.root_pin, one.root_ends));
        say(&format!("  issuing {} until {}, key {}", one.issuing, one.issuing_ends, one.key));
    }
    for (issuing, until) in &status.former {
        say(&format!("former issuing {issuing}, its leaves until {until}"));
    }
    let tally = &status.tally;
    say(&format!("{} of {} active devices have bundle {}", tally.ready, tally.active, status.bundle));
    if tally.missing > 0 {
        say(&format!("{} devices without it: {}", tally.missing, tally.named()));
    }
    status.warnings.iter().for_each(|words| say(&format!("warning: {words}")));
}

fn tell(words: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{words}");
}
