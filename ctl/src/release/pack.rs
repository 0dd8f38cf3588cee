//! `release pack`: a maker's publication and the files of its releases as one file, to be carried to owners.
//!
//! The file is an archive of which each content has exactly one form, and nothing in it is believed for being in it: who
//! imports it verifies the chain. Only what is signed for goes in. Read next: [`super::import`].

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use cordon_proto::update::tree::{ENDING, Entry, Kind};
use serde_json::json;

use super::contents::{Publication, in_folder};
use super::measure;
use crate::chain::Maker;
use crate::failure::Failure;
use crate::folder::{Folder, TARGETS};
use crate::report::Report;
use crate::session::Session;

/// Bytes copied at once.
const PIECE_BYTES: usize = 256 * 1024;

/// Pack a publication.
#[derive(Clone, Debug, Args)]
pub struct Pack {
    /// The maker's folder, verified first.
    #[arg(long, value_name = "DIR")]
    pub repository: PathBuf,
    /// Take the files of this release only; owners have those of the others already. Repeat.
    #[arg(long, value_name = "PATH")]
    pub release: Vec<String>,
    /// The new file.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

impl Pack {
    /// Does it.
    ///
    /// # Errors
    /// The repository is not believed, a file is missing, or the new one is there already or cannot be written.
    pub fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let rules = session.rules();
        let maker = Maker::open(Folder::open(&self.repository)?, &rules, session.options.example_keys)?;
        let publication = Publication::of(&maker, &rules)?;
        let releases = publication.chosen(&self.release)?;
        let mut paths = publication.metadata.clone();
        for release in &releases {
            for file in publication.files_of(release) {
                in_folder(&maker.folder, &release.image.release, file)?;
                paths.push(format!("{TARGETS}/{}", file.sha256));
            }
        }
        if self.out.exists() {
            let detail = format!("{} is there already: give a new name", self.out.display());
            return Err(Failure::refused("file exists", detail));
        }
        let partial = self.out.with_extension("partial");
        archive(maker.folder.path(), paths, &partial)?;
        let wrong = |error: std::io::Error| Failure::file("write", &self.out, &error);
        std::fs::rename(&partial, &self.out).map_err(wrong)?;
        let (length, sha256) = measure(&self.out)?;
        let names: Vec<_> = releases.iter().map(|release| release.image.release.as_str()).collect();
        let text = format!(
            "{} holds {}, {length} bytes\nSHA-256 {sha256}\n",
            self.out.display(),
            if names.is_empty() { "no release".to_owned() } else { names.join(", ") },
        );
        Ok(Report::new(text, json!({"releases": names, "length": length, "sha256": sha256.to_string()})))
    }
}

/// Writes the archive of these files of a folder, in the order that an archive has.
fn archive(folder: &Path, mut paths: Vec<String>, out: &Path) -> Result<(), Failure> {
    paths.push(TARGETS.to_owned());
    paths.sort_by(|one, other| one.split('/').cmp(other.split('/')));
    paths.dedup();
    let wrong = |error: std::io::Error| Failure::file("write", out, &error);
    let mut file = File::create(out).map_err(wrong)?;
    let folder_entry = |path: &str| Entry::new(path, Kind::Folder).map_err(unusable);
    file.write_all(&folder_entry("")?.header()).map_err(wrong)?;
    for path in &paths {
        if path == TARGETS {
            file.write_all(&folder_entry(path)?.header()).map_err(wrong)?;
        } else {
            append(&folder.join(path), path, (&mut file, out))?;
        }
    }
    file.write_all(&ENDING).and_then(|()| file.sync_all()).map_err(wrong)
}

/// Appends one file.
fn append(from: &Path, path: &str, (to, out): (&mut File, &Path)) -> Result<(), Failure> {
    let unread = |error: std::io::Error| Failure::file("read", from, &error);
    let unwritten = |error: std::io::Error| Failure::file("write", out, &error);
    let mut source = File::open(from).map_err(unread)?;
    let length = source.metadata().map_err(unread)?.len();
    let entry = Entry::new(path, Kind::File { length, program: false }).map_err(unusable)?;
    to.write_all(&entry.header()).map_err(unwritten)?;
    let (mut left, mut buffer) = (length, vec![0; PIECE_BYTES]);
    while left > 0 {
        let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = source.read(buffer.get_mut(..most).unwrap_or_default()).map_err(unread)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            let short = format!("{} became shorter while it was read", from.display());
            return Err(Failure::refused("changed file", short));
        };
        to.write_all(bytes).map_err(unwritten)?;
        left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
    }
    to.write_all(&vec![0; entry.filling()]).map_err(unwritten)
}

fn unusable(fault: impl std::fmt::Display) -> Failure {
    Failure::refused("unusable file", fault)
}
