//! `cordonctl keys`: make and show signing keys.
//!
//! A private key is only ever written to a new file of mode 0600, or made in a token, and never printed. Read next: [`crate::key`].

use std::path::{Path, PathBuf};

use clap::Subcommand;
use cordon_proto::update::PublicKey;
use cordon_proto::update::deny::EXAMPLE_KEYS;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::example;
use crate::failure::Failure;
use crate::key::token::TokenKey;
use crate::key::{KeyFile, SecretKey, describe, public_pem, public_text};
use crate::report::Report;
use crate::session::Session;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new key: Ed25519 in a file, unless said otherwise.
    Generate {
        /// The new file, PKCS#8 in PEM, readable by you alone; the public half is written beside it as FILE.pub. Of a key
        /// in a token FILE.pub alone is written.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// On P-256, for tools that know no Ed25519.
        #[arg(long)]
        p256: bool,
        /// In a card, a token or an HSM, on P-256; it never leaves it:
        /// `pkcs11:token=LABEL;object=NAME?module-path=FILE[&pin-source=file:FILE]`.
        #[arg(long, value_name = "URI", conflicts_with = "p256")]
        token: Option<String>,
    },
    /// Show the public half and the id of keys.
    Show {
        /// Key files, private or public.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Write the published example keys, for a demo on loopback.
    Example {
        /// The folder; keys that are there already are left alone.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// A file cannot be read or written, or a key is refused.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        match self {
            Self::Generate { out, p256, token } => generate(out, *p256, token.as_deref()),
            Self::Show { files } => show(files, session.options.example_keys),
            Self::Example { out } => examples(out),
        }
    }
}

fn generate(out: &Path, p256: bool, token: Option<&str>) -> Result<Report, Failure> {
    let mut beside = out.as_os_str().to_owned();
    beside.push(".pub");
    let beside = Path::new(&beside);
    let key = match token {
        Some(uri) => {
            // Not written over: the public half may be all that is left of another key.
            if beside.exists() {
                let detail = format!("{} exists: choose another name", beside.display());
                return Err(Failure::refused("file", detail));
            }
            TokenKey::generate(uri)?;
            SecretKey::read(Path::new(uri), false)?
        }
        None => {
            let key = if p256 { SecretKey::new_p256()? } else { ed25519()? };
            key.write_new(out, 0o600)?;
            key
        }
    };
    std::fs::write(beside, public_pem(key.public()))
        .map_err(|error| Failure::file("write", beside, &error))?;
    let place = if token.is_some() { beside } else { out };
    let text =
        format!("{}: {}\npublic {}", place.display(), describe(key.public()), public_text(key.public()));
    Ok(Report::new(text, facts(place, key.public())))
}

fn ed25519() -> Result<SecretKey, Failure> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|error| Failure::refused("no randomness", error))?;
    Ok(SecretKey::from_seed(&seed))
}

fn show(files: &[PathBuf], example_keys: bool) -> Result<Report, Failure> {
    let (mut text, mut rows) = (String::new(), Vec::new());
    for file in files {
        let key = KeyFile::read(file, example_keys)?;
        let public = key.public();
        text += &format!("{}: {}\npublic {}\n", file.display(), describe(public), public_text(public));
        rows.push(facts(file, public));
    }
    Ok(Report::new(text, Value::Array(rows)))
}

fn facts(file: &Path, key: &PublicKey) -> Value {
    json!({"file": file.display().to_string(), "id": key.id().0, "public": public_text(key)})
}

fn examples(out: &Path) -> Result<Report, Failure> {
    std::fs::create_dir_all(out).map_err(|error| Failure::file("make", out, &error))?;
    let mut written = Vec::new();
    for (name, _) in EXAMPLE_KEYS {
        let path = out.join(format!("{name}.pem"));
        if !path.exists() {
            example::key(name).write_new(&path, 0o600)?;
            written.push(path.display().to_string());
        }
    }
    let warning = "Everybody has these keys: use them with --example-keys on loopback only.";
    Ok(Report::new(format!("{} keys written to {}. {warning}", written.len(), out.display()), json!(written)))
}
