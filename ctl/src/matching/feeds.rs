//! The files that say what is known of weaknesses: read within bounds, what is refused counted by its reason.
//!
//! A folder is read with its subfolders, sorted by path, so that the same folder gives the same answer; a link to a folder is
//! not followed. A file that cannot be opened ends the command; a record that is not understood is counted and shown, the
//! first of a feed with its reason. Read next: `cordon_server_core::matching::osv`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use cordon_proto::limits;
use cordon_server_core::matching::index::{Builder, Full, Index};
use cordon_server_core::matching::json::Refused;
use cordon_server_core::matching::{debian, osv};
use serde_json::{Value, json};

use crate::arguments::read_file;
use crate::failure::Failure;

/// Folders in folders of a feed: archives of OSV have one or two.
const FOLDERS: usize = 8;

/// What was read of one feed.
struct Feed {
    kind: &'static str,
    name: String,
    /// Files that were looked at.
    files: usize,
    records: usize,
    refused: BTreeMap<&'static str, usize>,
    /// The file refused first, and why.
    first_refused: Option<(String, String)>,
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
        return Err(Failure::refused("feed", silent.silence()));
    }
    let index = builder.finish().map_err(full)?;
    Ok((index, feeds.iter().map(Feed::document).collect()))
}

impl Feed {
    fn new(kind: &'static str, path: &Path) -> Self {
        let (refused, mended) = (BTreeMap::new(), BTreeMap::new());
        let name = path.display().to_string();
        Self { kind, name, files: 0, records: 0, refused, first_refused: None, mended }
    }

    fn document(&self) -> Value {
        let first = self.first_refused.as_ref().map(|(file, why)| json!({"file": file, "why": why}));
        json!({
            "kind": self.kind, "name": self.name, "records": self.records,
            "refused": self.refused, "first_refused": first, "mended": self.mended,
        })
    }

    /// Why nothing of it could be used, and what to do.
    fn silence(&self) -> String {
        let counts: Vec<_> = self.refused.iter().map(|(why, count)| format!("{count} {why}")).collect();
        let why = match &self.first_refused {
            _ if self.kind == "debian" && counts.is_empty() => {
                "it has no row; give the tracker's JSON or the whole table".to_owned()
            }
            _ if self.kind == "debian" => {
                format!(
                    "no row could be used ({}); give one that names releases of Debian",
                    counts.join(", ")
                )
            }
            _ if self.files == 0 => {
                "no file in it ends in .json; give a folder of OSV records, unpacked, one a file".to_owned()
            }
            first => {
                let first = first.as_ref().map(|(file, why)| format!("; the first is {file}: {why}"));
                let counts = counts.join(", ");
                format!(
                    "none of its {} files is an OSV record ({counts}){}; give records as osv.dev publishes them",
                    self.files,
                    first.unwrap_or_default()
                )
            }
        };
        format!("{}: {why}", self.name)
    }

    fn refuse(&mut self, file: &Path, refused: &Refused) {
        *self.refused.entry(refused.word()).or_default() += 1;
        self.first_refused.get_or_insert_with(|| (file.display().to_string(), refused.to_string()));
    }
}

fn read_osv(path: &Path, builder: &mut Builder) -> Result<Feed, Failure> {
    let mut feed = Feed::new("osv", path);
    let mut left = limits::FEED_BYTES;
    for file in files(path)? {
        let bytes = beginning(&file)?;
        feed.files += 1;
        left = left.checked_sub(bytes.len() as u64).ok_or_else(|| too_long(path))?;
        match osv::read(&bytes) {
            Err(refused) => feed.refuse(&file, &refused),
            Ok(read) => {
                feed.records += 1;
                for (what, count) in [
                    ("packages-without-a-name", read.without_package),
                    ("ranges-without-a-beginning", read.without_introduced),
                    ("ranges-with-two-ends", read.two_ends),
                    ("severities-not-understood", read.bad_severities),
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

/// The JSON files of a folder and of its subfolders by their paths, or the file itself.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let (mut files, mut seen) = (Vec::new(), 0_usize);
    let mut folders = vec![(path.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let wrong = |error: std::io::Error| Failure::file("read", &folder, &error);
        for entry in std::fs::read_dir(&folder).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            let below = entry.path();
            if entry.file_type().map_err(wrong)?.is_dir() {
                if depth == FOLDERS {
                    return Err(too_deep(&below));
                }
                folders.push((below, depth + 1));
            } else if below.extension().is_some_and(|ending| ending == "json") {
                files.push(below);
            }
            seen += 1;
            if seen > limits::FEED_ROWS {
                return Err(too_long(path));
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn too_deep(path: &Path) -> Failure {
    let detail = format!(
        "{} lies more than {FOLDERS} folders deep: give the folder that holds the records",
        path.display()
    );
    Failure::refused("feed", detail)
}

fn too_long(path: &Path) -> Failure {
    let detail = format!(
        "{} is more than {} bytes or {} files: leave ecosystems out that no device has",
        path.display(),
        limits::FEED_BYTES,
        limits::FEED_ROWS
    );
    Failure::refused("feed", detail)
}

fn full(full: Full) -> Failure {
    Failure::refused("feed", full)
}
