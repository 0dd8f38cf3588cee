//! The files that say what is known of weaknesses: read within bounds, what is refused counted by its reason.
//!
//! A folder is read sorted by name, so that the same folder gives the same answer. A file that cannot be opened ends the
//! command; a record that is not understood is counted and shown. Read next: `cordon_server_core::matching::osv`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use cordon_proto::limits;
use cordon_server_core::matching::index::{Builder, Full, Index};
use cordon_server_core::matching::{debian, osv};
use serde_json::{Value, json};

use crate::arguments::read_file;
use crate::failure::Failure;

/// What was read of one feed.
struct Feed {
    kind: &'static str,
    name: String,
    records: usize,
    refused: BTreeMap<&'static str, usize>,
    mended: BTreeMap<&'static str, usize>,
}

/// Reads all feeds into one index, and tells what was read of each.
pub(super) fn read(osv: &[PathBuf], debian: &[PathBuf]) -> Result<(Index, Vec<Value>), Failure> {
    let mut builder = Builder::default();
    let mut feeds = Vec::new();
    for path in osv {
        feeds.push(read_osv(path, &mut builder)?);
    }
    for path in debian {
        feeds.push(read_debian(path, &mut builder)?);
    }
    if let Some(silent) = feeds.iter().find(|feed| feed.records == 0) {
        let why: Vec<_> = silent.refused.iter().map(|(why, count)| format!("{count} {why}")).collect();
        let detail = format!("{}: no record could be read ({})", silent.name, why.join(", "));
        return Err(Failure::refused("feed", detail));
    }
    let index = builder.finish().map_err(full)?;
    Ok((index, feeds.iter().map(Feed::document).collect()))
}

impl Feed {
    fn new(kind: &'static str, path: &Path) -> Self {
        let (refused, mended) = (BTreeMap::new(), BTreeMap::new());
        Self { kind, name: path.display().to_string(), records: 0, refused, mended }
    }

    fn document(&self) -> Value {
        json!({
            "kind": self.kind, "name": self.name, "records": self.records,
            "refused": self.refused, "mended": self.mended,
        })
    }
}

fn read_osv(path: &Path, builder: &mut Builder) -> Result<Feed, Failure> {
    let mut feed = Feed::new("osv", path);
    let mut left = limits::FEED_BYTES;
    for file in files(path)? {
        let bytes = beginning(&file)?;
        left = left.checked_sub(bytes.len() as u64).ok_or_else(|| too_long(path))?;
        match osv::read(&bytes) {
            Err(refused) => *feed.refused.entry(refused.word()).or_default() += 1,
            Ok(read) => {
                feed.records += 1;
                for (what, count) in [
                    ("packages-without-a-name", read.without_package),
                    ("ranges-without-a-beginning", read.without_introduced),
                    ("ranges-with-two-ends", read.two_ends),
                ] {
                    if count > 0 {
                        *feed.mended.entry(what).or_default() += count;
                    }
                }
                builder.add(&read.advisory).map_err(full)?;
            }
        }
    }
    Ok(feed)
}

fn read_debian(path: &Path, builder: &mut Builder) -> Result<Feed, Failure> {
    let mut feed = Feed::new("debian", path);
    let bytes = read_file(path, limits::FEED_BYTES)?;
    let mut taken = Ok(());
    let counts = debian::read(&bytes, &mut |advisory| {
        if taken.is_ok() {
            taken = builder.add(&advisory);
        }
    });
    taken.map_err(full)?;
    let counts = counts.map_err(|why| Failure::refused("feed", format!("{}: {why}", path.display())))?;
    feed.records = counts.records;
    feed.refused = counts.refused;
    Ok(feed)
}

/// A record, or as much of it as tells that it is too long.
fn beginning(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let most = limits::ADVISORY_BYTES as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(|error| Failure::file("read", path, &error))?;
    Ok(bytes)
}

/// The JSON files of a folder by their names, or the file itself.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let wrong = |error: std::io::Error| Failure::file("read", path, &error);
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(wrong)? {
        let file = entry.map_err(wrong)?.path();
        if file.extension().is_some_and(|ending| ending == "json") {
            files.push(file);
        }
        if files.len() > limits::FEED_ROWS {
            return Err(too_long(path));
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn too_long(path: &Path) -> Failure {
    let detail = format!(
        "{} is more than {} bytes or {} files",
        path.display(),
        limits::FEED_BYTES,
        limits::FEED_ROWS
    );
    Failure::refused("feed", detail)
}

fn full(full: Full) -> Failure {
    Failure::refused("feed", full)
}
