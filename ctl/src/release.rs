//! `cordonctl release`: a maker signs what may be said of an image, and anybody checks it.
//!
//! The image is hashed here, from the file that is named; what is signed is read back with the devices' own reader
//! before it is shown. A name is used once: another image under the same name would make two signed truths. `pack` and
//! `import` carry what was signed to owners and their servers. Read next: [`sign`], [`verify`], [`import`].

use std::io::Read;
use std::path::Path;

use clap::Subcommand;
use cordon_proto::ids::Sha256;
use cordon_proto::update::release::Release;
use serde_json::{Value, json};
use sha2::Digest;

use crate::failure::Failure;
use crate::report::Report;
use crate::session::Session;

pub mod chunks;
pub mod contents;
pub mod import;
pub mod pack;
pub mod papers;
pub mod sign;
pub mod unpack;
pub mod verify;
pub mod words;

pub use words::describe;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sign a release: an image and what it is.
    #[command(visible_alias = "add")]
    Sign(Box<sign::Sign>),
    /// Verify a release, and an image file against it.
    Verify(verify::Verify),
    /// Pack a maker's publication and its files into one file for owners.
    Pack(pack::Pack),
    /// Take a maker's publication into your own copy and the server, verified here first.
    Import(Box<import::Import>),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused or wrongly used.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        match self {
            Self::Sign(sign) => sign.run(session),
            Self::Verify(verify) => verify.run(session),
            Self::Pack(pack) => pack.run(session),
            Self::Import(import) => import.run(session),
        }
    }
}

/// Length and SHA-256 of a file of any size.
///
/// # Errors
/// It cannot be read.
pub fn measure(path: &Path) -> Result<(u64, Sha256), Failure> {
    let wrong = |error: std::io::Error| Failure::file("read", path, &error);
    let mut file = std::fs::File::open(path).map_err(wrong)?;
    let (mut hasher, mut length, mut buffer) = (sha2::Sha256::new(), 0_u64, vec![0; 256 * 1024]);
    loop {
        let read = file.read(&mut buffer).map_err(wrong)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok((length, Sha256(hasher.finalize().into())));
        };
        hasher.update(bytes);
        length = length.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
}

/// A release for programs: its name, length and hash beside its signed `custom`.
#[must_use]
pub fn facts(release: &Release) -> Value {
    let custom = serde_json::from_slice(&release.custom().json()).unwrap_or(Value::Null);
    json!({
        "release": release.image.release.as_str(),
        "length": release.image.length,
        "sha256": release.image.sha256.to_string(),
        "custom": custom,
    })
}
