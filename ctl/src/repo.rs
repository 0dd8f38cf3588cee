//! `cordonctl repo`: make, sign and publish repositories.
//!
//! `init` is the ceremony: it shows every key and threshold before the root is signed. `sign` is for the second
//! person. Only `publish` and `fetch` speak to a server, and files stay as they are. Read next: [`director`], [`image`].

use std::path::PathBuf;

use clap::{Args, Subcommand};
use cordon_proto::canonical::Value as Signed;
use cordon_proto::update::author::{Signer, sign};
use cordon_proto::update::{Authority, PublicKey, Role};

use crate::failure::Failure;
use crate::key::{KeyFile, Pens, SecretKey, describe};
use crate::report::Report;
use crate::session::Session;

pub mod add;
pub mod delegate;
pub mod diff;
pub mod director;
pub mod fetch;
pub mod image;
pub mod publish;
pub mod rotate;
pub mod signatories;
pub mod standing;
pub mod timestamp;
pub mod verify;
pub mod words;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new repository: the owner's with --director, a maker's with --image.
    Init(Box<Init>),
    /// Add a signature to a document that waits for one.
    Sign(add::Add),
    /// Make the next root: other keys, other thresholds, a later end.
    Rotate(Box<rotate::Rotate>),
    /// Say anew who signs for a role, or make the targets document live longer.
    Delegate(delegate::Delegate),
    /// Write a maker's next snapshot and timestamp over the newest documents.
    Snapshot(image::Snapshot),
    /// Make a maker's timestamp live longer; nothing else changes.
    Timestamp(timestamp::Timestamp),
    /// Verify a whole folder: every signature, every end.
    Verify(verify::Verify),
    /// Show what changed from one folder to another: keys, thresholds, ends, targets.
    Diff(diff::Diff),
    /// Send a repository to the server.
    Publish(publish::Publish),
    /// Bring the server's snapshot and timestamp of the owner's repository, for a bundle.
    Fetch(fetch::Fetch),
}

/// Make a new repository.
#[derive(Clone, Debug, Args)]
pub struct Init {
    /// The owner's repository, which says what is installed.
    #[arg(long, conflicts_with = "image", required_unless_present = "image")]
    pub director: bool,
    /// A maker's repository, which says what is genuine.
    #[arg(long)]
    pub image: bool,
    /// The new folder.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// A key of the root role; private where it signs now. Repeat.
    #[arg(long, value_name = "FILE", required = true)]
    pub root_key: Vec<PathBuf>,
    /// How many root keys must sign.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub root_threshold: u64,
    /// A key of the targets role; private where it signs now. Repeat.
    #[arg(long, value_name = "FILE", required = true)]
    pub targets_key: Vec<PathBuf>,
    /// How many targets keys must sign.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub targets_threshold: u64,
    /// Director: a key of the people who sign orders, either half. Repeat.
    #[arg(long, value_name = "FILE", required_if_eq("director", "true"))]
    pub orders_key: Vec<PathBuf>,
    /// Director: how many of them must sign; 1 only where one person runs the clinic.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub orders_threshold: u64,
    /// Director: a key of the people who sign content, either half. Repeat.
    #[arg(long, value_name = "FILE", required_if_eq("director", "true"))]
    pub content_key: Vec<PathBuf>,
    /// Director: how many of them must sign; as for orders unless given.
    #[arg(long, value_name = "N")]
    pub content_threshold: Option<u64>,
    /// The snapshot key: for a director the server's public half, for a maker a private key file.
    #[arg(long, value_name = "KEY", required_unless_present = "online_keys")]
    pub snapshot_key: Option<String>,
    /// The timestamp key, likewise.
    #[arg(long, value_name = "KEY", required_unless_present = "online_keys")]
    pub timestamp_key: Option<String>,
    /// Director: both public halves in the file that `cordon-server init` wrote.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["snapshot_key", "timestamp_key", "image"])]
    pub online_keys: Option<PathBuf>,
    /// Maker: the repository's name, as orders will state it.
    #[arg(long, value_name = "NAME", required_if_eq("image", "true"))]
    pub name: Option<String>,
    /// Maker: a model, such as VP-3, whose releases get a role of their own. Repeat.
    #[arg(long, value_name = "MODEL", required_if_eq("image", "true"))]
    pub model: Vec<String>,
    /// Maker: a key of the people who sign releases, either half. Repeat.
    #[arg(long, value_name = "FILE", required_if_eq("image", "true"))]
    pub model_key: Vec<PathBuf>,
    /// Maker: how many of them must sign.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub model_threshold: u64,
    /// When root and targets expire.
    #[arg(long, value_name = "TIME", default_value = "365d")]
    pub expires: String,
    /// Begin a ceremony of people who do not meet: the others sign one after the other with `repo sign`.
    #[arg(long)]
    pub begin: bool,
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused, wrongly used, or the server was not reached.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        match self {
            Self::Init(init) if init.director => director::init(init, session),
            Self::Init(init) => image::init(init, session),
            Self::Sign(add) => add.run(session),
            Self::Rotate(rotate) => rotate.run(session),
            Self::Delegate(delegate) => delegate.run(session),
            Self::Snapshot(snapshot) => snapshot.run(session),
            Self::Timestamp(timestamp) => timestamp.run(session),
            Self::Verify(verify) => verify.run(session),
            Self::Diff(diff) => diff.run(session),
            Self::Publish(publish) => publish.run(session),
            Self::Fetch(fetch) => fetch.run(session),
        }
    }
}

/// The keys given for a role: all of them make its authority, the private ones can sign.
pub struct RoleKeys {
    /// The role in words.
    pub role: String,
    /// All keys with the files they came from.
    pub keys: Vec<(String, KeyFile)>,
    /// Who must sign.
    pub authority: Authority,
}

impl RoleKeys {
    /// Reads the key files of a role.
    ///
    /// # Errors
    /// A key is refused, or the threshold cannot be reached.
    pub fn read(role: &str, files: &[PathBuf], threshold: u64, example_keys: bool) -> Result<Self, Failure> {
        let read = |file: &PathBuf| Ok((file.display().to_string(), KeyFile::read(file, example_keys)?));
        let keys = files.iter().map(read).collect::<Result<Vec<_>, Failure>>()?;
        Self::new(role, keys, threshold)
    }

    /// A role of keys that were read.
    ///
    /// # Errors
    /// The threshold cannot be reached.
    pub fn new(role: &str, keys: Vec<(String, KeyFile)>, threshold: u64) -> Result<Self, Failure> {
        let authority = authority(role, keys.iter().map(|(_, key)| key.public().clone()), threshold)?;
        Ok(Self { role: role.to_owned(), keys, authority })
    }

    /// The private keys among them.
    #[must_use]
    pub fn secrets(&self) -> Vec<&SecretKey> {
        self.keys.iter().filter_map(|(_, key)| key.secret()).collect()
    }

    /// The role, its threshold and its keys, for the eyes of whoever signs.
    #[must_use]
    pub fn show(&self) -> String {
        let head =
            format!("  {}: {} of {}\n", self.role, self.authority.threshold(), self.authority.keys().len());
        let line = |(file, key): &(String, KeyFile)| format!("    {}  {file}\n", describe(key.public()));
        head + &self.keys.iter().map(line).collect::<String>()
    }

    /// Demands that enough private keys were given to sign now.
    ///
    /// # Errors
    /// There are too few.
    pub fn can_sign(&self) -> Result<(), Failure> {
        let (have, need) = (self.secrets().len(), self.authority.threshold());
        if u64::try_from(have).is_ok_and(|have| have >= need) {
            return Ok(());
        }
        let (role, public) = (&self.role, self.keys.len() - have);
        let detail = format!(
            "{role} needs {need} private keys to sign, {have} were given (and {public} public ones): a ceremony brings \
             the threshold together"
        );
        Err(Failure::refused("too few keys", detail))
    }
}

/// An authority of these keys.
///
/// # Errors
/// The threshold cannot be reached.
pub fn authority(
    role: &str,
    keys: impl Iterator<Item = PublicKey>,
    threshold: u64,
) -> Result<Authority, Failure> {
    let keys: Vec<_> = keys.collect();
    let distinct = keys.len();
    Authority::new(keys, threshold).ok_or_else(|| {
        let text = format!("{role}: {distinct} keys cannot reach a threshold of {threshold}; give more keys or a lower threshold, at least 1");
        Failure::Usage(text)
    })
}

/// Signs with the keys of an authority, under the ids that it declares.
///
/// # Errors
/// A key is none of the authority's, or its token does not sign.
pub fn sign_as(
    signed: &Signed,
    role: &Role,
    authority: &Authority,
    keys: &[&SecretKey],
) -> Result<Vec<u8>, Failure> {
    let pens = Pens::default();
    let make: Vec<_> = keys.iter().map(|key| |message: &[u8]| pens.sign(key, message)).collect();
    let mut signers = Vec::new();
    for (key, sign) in keys.iter().zip(&make) {
        let id = authority.id_of(key.public()).ok_or_else(|| foreign(role, key.public()))?;
        signers.push(Signer { key: id.clone(), sign });
    }
    let document = sign(signed, &signers);
    pens.all_made()?;
    Ok(document)
}

/// A key that may not sign for a role.
#[must_use]
pub fn foreign(role: &Role, key: &PublicKey) -> Failure {
    let detail =
        format!("the key {} is none of the role {role}: use a key that its delegator lists", describe(key));
    Failure::refused("foreign key", detail)
}
