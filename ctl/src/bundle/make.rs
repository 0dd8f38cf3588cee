//! `bundle make`: gathers, shows, signs, writes; with `--add` the second person does the same over the same folder.
//!
//! The second signer gathers from the own copies of both folders and the own lists, and signs only an index that lists
//! exactly that. Only the server's snapshot and timestamp come from the first one's bundle, because the server signs
//! them anew all the time; the root's keys prove them. The index is written last, so that a folder that was cut off is no bundle. Read next: [`super::contents`].

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use cordon_proto::checkin::Action;
use cordon_proto::ids::{Name, Sha256, Text};
use cordon_proto::limits;
use cordon_proto::update::author;
use cordon_proto::update::bundle::{Bundle, BundleFault, INDEX, Listed};
use serde_json::json;
use sha2::{Digest, Sha256 as Hasher};

use super::contents::{Contents, From};
use super::walk::lines;
use crate::arguments::{read_file, time};
use crate::chain::orders_role;
use crate::clock;
use crate::failure::Failure;
use crate::folder::write_whole;
use crate::key::SecretKey;
use crate::order::list::ScopeList;
use crate::repo::add::{add, counted};
use crate::repo::sign_as;
use crate::report::Report;
use crate::session::Session;

/// The largest file of a FAT32 stick.
const FAT_BYTES: u64 = u32::MAX as u64;
/// Bytes copied at once.
const PIECE_BYTES: usize = 1 << 20;

/// Make a bundle.
#[derive(Clone, Debug, Args)]
pub struct Make {
    /// The owner's folder, with the server's snapshot and timestamp from `cordonctl repo fetch`; with --add those of the
    /// bundle are used.
    #[arg(long, value_name = "DIR")]
    pub director: PathBuf,
    /// The maker's folder, with the images.
    #[arg(long, value_name = "DIR")]
    pub image: PathBuf,
    /// An order to install; it must have been signed with --offline. Repeat.
    #[arg(long, value_name = "NAME", required_unless_present_any = ["add", "back"])]
    pub order: Vec<Name>,
    /// An order whose way back is to be taken. Repeat.
    #[arg(long, value_name = "NAME")]
    pub back: Vec<Name>,
    /// The list of an order's devices, as it was signed. Repeat.
    #[arg(long, value_name = "FILE")]
    pub scope_list: Vec<PathBuf>,
    /// The new folder.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// When the bundle ends, at most 14 days from now.
    #[arg(long, value_name = "TIME", default_value = "14d")]
    pub expires: String,
    /// Its counter: devices refuse one that is lower than the last they took. By default the present second.
    #[arg(long, value_name = "N")]
    pub counter: Option<u64>,
    /// A private key of the people who sign orders. Repeat only if one person may hold both.
    #[arg(long, value_name = "FILE", required = true)]
    pub key: Vec<PathBuf>,
    /// Put the second signature under the bundle in --out.
    #[arg(long, conflicts_with_all = ["order", "back", "counter", "expires"])]
    pub add: bool,
}

impl Make {
    /// Makes and signs it.
    ///
    /// # Errors
    /// Something of it is not believed, a key may not sign, the person does not agree, or it cannot be written.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let expires = time(&self.expires, session.now)?;
        if expires.seconds_since(session.now) > limits::BUNDLE_DAYS * 86_400 {
            return Err(Failure::Usage(format!("a bundle lives at most {} days", limits::BUNDLE_DAYS)));
        }
        empty(&self.out)?;
        let installs = self.order.iter().map(|id| (Action::Install, id.clone()));
        let acts: Vec<_> = installs.chain(self.back.iter().map(|id| (Action::Back, id.clone()))).collect();
        let lists = self.lists()?;
        let from = From { director: &self.director, image: &self.image, lists: &lists, bundle: None };
        let contents = Contents::gather(&from, &acts, expires, session)?;
        let counter = self.counter.unwrap_or_else(|| u64::try_from(session.now.0).unwrap_or(0));
        let index = contents.index(counter, session.now, expires);
        let keys = self.keys(session)?;
        // Read back as a device would: bounds and forms are those of the reader.
        Bundle::claim(&author::sign(&index.value(), &[]))?;
        session.about_to_sign(&shown(&index, &contents))?;
        let (role, authority) = (orders_role(), contents.director.orders_authority()?);
        let bytes = sign_as(&index.value(), &role, authority, &keys.iter().collect::<Vec<_>>())?;
        self.write(&contents, &bytes)?;
        let count = u64::try_from(keys.len()).unwrap_or(u64::MAX);
        Ok(told(&index, &contents, counted(INDEX, count, authority.threshold())))
    }

    /// Adds the second signature.
    ///
    /// # Errors
    /// The folder is not what this person would have made, or as for [`Make::run`].
    pub fn add(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let limit = limits::BUNDLE_BYTES;
        let place = self.out.join(INDEX);
        let mut bytes = read_file(&place, u64::try_from(limit).unwrap_or(u64::MAX))?;
        let index = Bundle::claim(&bytes)?;
        if session.now >= index.expires {
            return Err(BundleFault::Expired { expires: index.expires }.into());
        }
        clock::not_behind(session.now, &[(index.issued, "the bundle".to_owned())])?;
        let acts: Vec<_> = index.offers().collect();
        let lists = self.lists()?;
        let bundle = Some(self.out.as_path());
        let from = From { director: &self.director, image: &self.image, lists: &lists, bundle };
        let contents = Contents::gather(&from, &acts, index.expires, session)?;
        let own = contents.index(index.counter, index.issued, index.expires);
        if own != index {
            return Err(Failure::refused("other contents", difference(&index, &own)));
        }
        super::verify::measure(&self.out, &index)?;
        let keys = self.keys(session)?;
        session.about_to_sign(&shown(&index, &contents))?;
        let (role, authority) = (orders_role(), contents.director.orders_authority()?);
        let (mut count, rules) = (0, session.rules());
        for key in &keys {
            (bytes, count) = add(&bytes, limit, (&role, authority), key, &rules)?;
        }
        write_whole(&place, &bytes)?;
        Ok(told(&index, &contents, counted(INDEX, count, authority.threshold())))
    }

    fn lists(&self) -> Result<Vec<ScopeList>, Failure> {
        self.scope_list.iter().map(|path| ScopeList::read(path)).collect()
    }

    fn keys(&self, session: &Session<'_>) -> Result<Vec<SecretKey>, Failure> {
        self.key.iter().map(|file| SecretKey::read(file, session.options.example_keys)).collect()
    }

    fn write(&self, contents: &Contents, index: &[u8]) -> Result<(), Failure> {
        for (path, bytes) in &contents.small {
            let place = self.place(path.as_str())?;
            fs::write(&place, bytes).map_err(|error| Failure::file("write", &place, &error))?;
        }
        for (path, (from, listed)) in &contents.images {
            copy(from, &self.place(path.as_str())?, (path.as_str(), listed))?;
        }
        write_whole(&self.out.join(INDEX), index)
    }

    fn place(&self, path: &str) -> Result<PathBuf, Failure> {
        let place = self.out.join(path);
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).map_err(|error| Failure::file("make", folder, &error))?;
        }
        Ok(place)
    }
}

/// In what a bundle differs from what the own folders make of it, and what to do.
fn difference(bundle: &Bundle, own: &Bundle) -> String {
    let all = bundle.files.keys().chain(own.files.keys());
    let first = all.filter(|path| bundle.files.get(*path) != own.files.get(*path)).min();
    let what = match first {
        Some(path) => format!("{path} is not the one that your own folders hold"),
        None => "it names another root of the owner than your own folder's newest".to_owned(),
    };
    format!(
        "the bundle lists other files than your own folders hold: {what}; bring your copies of both repositories to the state of the person who made it (the server's snapshot and timestamp are taken from the bundle), or have the bundle made anew"
    )
}

/// Refuses a folder with anything in it.
fn empty(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| Failure::file("make", folder, &error))?;
    let mut entries = fs::read_dir(folder).map_err(|error| Failure::file("read", folder, &error))?;
    if entries.next().is_none() {
        return Ok(());
    }
    let detail = format!("{} is not empty: choose another folder", folder.display());
    Err(Failure::refused("folder in use", detail))
}

/// Copies an image and demands that it is the signed one.
fn copy(from: &Path, to: &Path, (path, listed): (&str, &Listed)) -> Result<(), Failure> {
    let wrong = |error: std::io::Error| Failure::file("write", to, &error);
    let mut source = File::open(from).map_err(|error| Failure::file("read", from, &error))?;
    let mut target = File::create(to).map_err(wrong)?;
    let (mut hash, mut piece, mut length) = (Hasher::new(), vec![0; PIECE_BYTES], 0_u64);
    loop {
        let read = source.read(&mut piece).map_err(|error| Failure::file("read", from, &error))?;
        let bytes = piece.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        hash.update(bytes);
        target.write_all(bytes).map_err(wrong)?;
        length = length.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
    target.sync_all().map_err(wrong)?;
    let path = Text::lossy(path);
    if length != listed.length {
        return Err(BundleFault::Length { path, listed: listed.length }.into());
    }
    if Sha256(hash.finalize().into()) == listed.sha256 {
        Ok(())
    } else {
        Err(BundleFault::Differs { path }.into())
    }
}

/// What a person should know of a stick that cannot take it.
#[must_use]
pub fn fat_note(index: &Bundle) -> Option<&'static str> {
    let large = index.files.values().any(|listed| listed.length > FAT_BYTES);
    large.then_some(
        "an image has 4 GiB or more: a FAT32 stick cannot hold it, format the stick as exFAT or ext4",
    )
}

fn shown(index: &Bundle, contents: &Contents) -> String {
    let mut note = fat_note(index).map(|note| format!("  note       {note}\n")).unwrap_or_default();
    note += &lines(&contents.ends.before(index.expires));
    format!(
        "bundle with counter {}\n  holds      {} to {}\n  director   root {}\n  files      {}\n{note}{}",
        index.counter,
        index.issued,
        index.expires,
        index.director,
        index.files.len(),
        contents.shown
    )
}

fn told(index: &Bundle, contents: &Contents, report: Report) -> Report {
    let offers: Vec<_> = index.offers().map(|(_, order)| order.to_string()).collect();
    report
        .with("counter", index.counter.into())
        .with("expires", index.expires.to_string().into())
        .with("orders", json!(offers))
        .with("note", json!(fat_note(index)))
        .with("warnings", json!(contents.ends.before(index.expires)))
}
