//! `bundle verify`: the whole folder as a device would judge it: every byte measured, every act judged.
//!
//! The people who may sign are taken from the owner's folder given here, never from the bundle. What only a device
//! knows (its counter, its model) is left to it. Read next: [`super::judge`] for the acts, [`super::make`].

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use cordon_proto::ids::{Sha256, Text};
use cordon_proto::limits;
use cordon_proto::update::bundle::{Against, Bundle, BundleFault, INDEX, Kept, Listed};
use serde_json::json;
use sha2::{Digest, Sha256 as Hasher};

use super::judge::{Stick, Trust, judge};
use super::walk::lines;
use crate::arguments::read_file;
use crate::chain::Director;
use crate::failure::Failure;
use crate::folder::Folder;
use crate::report::Report;
use crate::session::Session;

/// Bytes read at once.
const PIECE_BYTES: usize = 1 << 20;

/// Verify a bundle.
#[derive(Clone, Debug, Args)]
pub struct Verify {
    /// The bundle's folder.
    #[arg(long, value_name = "DIR")]
    pub bundle: PathBuf,
    /// The owner's folder, from which the people who sign are taken.
    #[arg(long, value_name = "DIR")]
    pub director: PathBuf,
    /// The maker's folder, whose first root devices trust. Without it the one in the bundle is followed and shown.
    #[arg(long, value_name = "DIR")]
    pub image: Option<PathBuf>,
}

impl Verify {
    /// Does it.
    ///
    /// # Errors
    /// The first thing that a device would refuse.
    pub fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let (rules, example) = (session.rules(), session.options.example_keys);
        let director = Director::open(Folder::open(&self.director)?, &rules, example)?;
        let limit = u64::try_from(limits::BUNDLE_BYTES).unwrap_or(u64::MAX);
        let bytes = read_file(&self.bundle.join(INDEX), limit)?;
        let kept = Kept { counter: 0, digest: None };
        let against = Against { director: director.chain.newest, kept, now: rules.now };
        let (index, _) = Bundle::open(&bytes, (director.orders_authority()?, rules.verifier), &against)?;
        measure(&self.bundle, &index)?;
        let stick = Stick { folder: &self.bundle, index: &index, bytes: &bytes };
        let trust = Trust { director: &director, image: self.image.as_deref(), example_keys: example, rules };
        let judged = judge(&stick, &trust)?;
        let orders: Vec<_> = index.offers().map(|(_, order)| order.to_string()).collect();
        let warnings = judged.ends.before(index.expires);
        let mut text = format!(
            "a whole bundle with counter {} until {}: {} files for {}\n",
            index.counter,
            index.expires,
            index.files.len(),
            orders.join(", ")
        );
        for (repository, root, own) in &judged.makers {
            let from = if *own { "your own copy" } else { "as in the bundle: compare it, or give --image" };
            text += &format!("  maker      {repository}, first root SHA-256 {root} ({from})\n");
        }
        text += &lines(&warnings);
        let makers: Vec<_> = judged
            .makers
            .iter()
            .map(|(name, root, own)| json!({"repository": name.as_str(), "root": root.to_string(), "own": own}))
            .collect();
        let json = json!({
            "counter": index.counter,
            "expires": index.expires.to_string(),
            "files": index.files.len(),
            "orders": orders,
            "makers": makers,
            "warnings": warnings,
        });
        Ok(Report::new(text, json))
    }
}

/// Measures every listed file of a folder, and refuses others in the bundle's own folders.
///
/// # Errors
/// The first file that is not as listed.
pub fn measure(folder: &Path, index: &Bundle) -> Result<(), Failure> {
    for (path, listed) in &index.files {
        one(folder, path.as_str(), listed)?;
    }
    let mut tops: Vec<_> =
        index.files.keys().filter_map(|path| path.as_str().split_once('/')).map(|(top, _)| top).collect();
    tops.dedup();
    tops.into_iter().try_for_each(|top| only_listed(folder, top, index))
}

fn one(folder: &Path, path: &str, listed: &Listed) -> Result<(), Failure> {
    let named = || Text::lossy(path);
    let (place, found) = ordinary(folder, path)?;
    if found.len() != listed.length {
        return Err(BundleFault::Length { path: named(), listed: listed.length }.into());
    }
    let wrong = |error: std::io::Error| Failure::file("read", &place, &error);
    let mut file = File::open(&place).map_err(wrong)?;
    let (mut hash, mut piece) = (Hasher::new(), vec![0; PIECE_BYTES]);
    loop {
        let read = file.read(&mut piece).map_err(wrong)?;
        if read == 0 {
            break;
        }
        hash.update(piece.get(..read).unwrap_or_default());
    }
    let same = Sha256(hash.finalize().into()) == listed.sha256;
    if same { Ok(()) } else { Err(BundleFault::Differs { path: named() }.into()) }
}

/// A file of which no part of the way is a link, as devices demand.
fn ordinary(folder: &Path, path: &str) -> Result<(PathBuf, fs::Metadata), Failure> {
    let (mut place, mut last) = (folder.to_owned(), None);
    for segment in path.split('/') {
        place.push(segment);
        let found = fs::symlink_metadata(&place).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => BundleFault::Missing { path: Text::lossy(path) }.into(),
            _ => Failure::file("read", &place, &error),
        })?;
        if !found.is_dir() && !found.is_file() {
            return Err(BundleFault::NotAFile { path: Text::lossy(path) }.into());
        }
        last = Some(found);
    }
    let file = last.filter(fs::Metadata::is_file);
    let found = file.ok_or_else(|| Failure::from(BundleFault::NotAFile { path: Text::lossy(path) }))?;
    Ok((place, found))
}

fn only_listed(folder: &Path, inside: &str, index: &Bundle) -> Result<(), Failure> {
    let place = folder.join(inside);
    let wrong = |error: std::io::Error| Failure::file("read", &place, &error);
    for entry in fs::read_dir(&place).map_err(wrong)? {
        let path = format!("{inside}/{}", entry.map_err(wrong)?.file_name().to_string_lossy());
        if index.file(&path).is_some() {
            continue;
        }
        let below = format!("{path}/");
        if !index.files.keys().any(|listed| listed.as_str().starts_with(&below)) {
            return Err(BundleFault::Foreign { path: Text::lossy(&path) }.into());
        }
        only_listed(folder, &path, index)?;
    }
    Ok(())
}
