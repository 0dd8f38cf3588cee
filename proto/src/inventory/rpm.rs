//! What a header of RPM's database says (rpm.org, "RPM V4 Package format", section Header): an index of tags, then their
//! values.
//!
//! A header of a kernel lists ten thousand files, and only its first kilobytes name the package: [`extent`] says how many
//! bytes matter, so that no more of a database is read. The source package is known by the file it was built from; its epoch
//! is taken to be the package's own. Nothing here opens a file. Read next: [`super::sqlite`] and [`super::ndb`], which find
//! headers.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use super::dpkg::Broken;
use crate::limits;

/// A package that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version and release, with the epoch where it has one.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// The source package it was built from.
    pub source: String,
    /// The version and release of that, always with an epoch.
    pub source_version: String,
    /// The label of its module stream.
    pub module: Option<String>,
}

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const ARCHITECTURE: u32 = 1022;
const SOURCE: u32 = 1044;
const MODULE: u32 = 5096;
const TAGS: [u32; 7] = [NAME, VERSION, RELEASE, EPOCH, ARCHITECTURE, SOURCE, MODULE];

/// Types of values.
const INT32: u32 = 4;
const STRING: u32 = 6;
/// Bytes of the two counts before the index, and of one entry of it.
const COUNTS: usize = 8;
const ENTRY: usize = 16;
/// Bytes of one value that are looked at.
const VALUE: usize = 512;
/// A key of a signer is kept like a package, and is none.
const KEY_OF_A_SIGNER: &str = "gpg-pubkey";

/// How many bytes of a header must be seen to tell its package, as far as `front`, its first bytes, says. A longer front may
/// ask for more; one that is long enough asks for no more than it has. At most `limits::RPM_HEADER_BYTES`.
#[must_use]
pub fn extent(front: &[u8]) -> usize {
    let Some((entries, values)) = counts(front) else { return COUNTS };
    let start = COUNTS + entries * ENTRY;
    let whole = start.saturating_add(values);
    let wanted = match front.get(COUNTS..start) {
        None => start,
        Some(index) => {
            let ends =
                index.chunks_exact(ENTRY).filter_map(Place::of).filter(|place| TAGS.contains(&place.tag));
            ends.map(|place| start.saturating_add(place.offset).saturating_add(VALUE)).max().unwrap_or(start)
        }
    };
    wanted.min(whole).min(limits::RPM_HEADER_BYTES)
}

/// The package that a header is of; `None` for the key of a signer.
///
/// # Errors
/// It is no header, or is cut off before what matters.
pub fn package(header: &[u8]) -> Result<Option<Package>, Broken> {
    let (entries, length) = counts(header).ok_or(Broken)?;
    let start = COUNTS + entries * ENTRY;
    let (front, values) = header.split_at_checked(start).ok_or(Broken)?;
    // Nothing beyond its own end is of this header.
    let values = values.get(..length).unwrap_or(values);
    let index = front.get(COUNTS..).unwrap_or_default();
    let header = Header { index, values };
    let name = header.text(NAME)?.ok_or(Broken)?;
    if name == KEY_OF_A_SIGNER {
        return Ok(None);
    }
    let (version, release) = (header.text(VERSION)?.ok_or(Broken)?, header.text(RELEASE)?.ok_or(Broken)?);
    let architecture = header.text(ARCHITECTURE)?.ok_or(Broken)?.to_owned();
    let epoch = header.number(EPOCH)?;
    let evr = format!("{}:{version}-{release}", epoch.unwrap_or(0));
    let (source, source_version) = match header.text(SOURCE)?.and_then(parts_of_source) {
        Some((source, version, release)) => {
            (source.to_owned(), format!("{}:{version}-{release}", epoch.unwrap_or(0)))
        }
        None => (name.to_owned(), evr.clone()),
    };
    let version = if epoch.is_some() { evr } else { format!("{version}-{release}") };
    let module = header.text(MODULE)?.map(ToOwned::to_owned);
    Ok(Some(Package { name: name.to_owned(), version, architecture, source, source_version, module }))
}

/// `openssl-3.0.7-24.el9.src.rpm`: name, version, release. None of the latter two holds a hyphen.
fn parts_of_source(file: &str) -> Option<(&str, &str, &str)> {
    let stem = file.strip_suffix(".src.rpm").or_else(|| file.strip_suffix(".nosrc.rpm"))?;
    let (rest, release) = stem.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    (!name.is_empty()).then_some((name, version, release))
}

/// The entries of the index, and the bytes of the values.
fn counts(front: &[u8]) -> Option<(usize, usize)> {
    let (entries, rest) = front.split_first_chunk::<4>()?;
    let (values, _) = rest.split_first_chunk::<4>()?;
    let entries = usize::try_from(u32::from_be_bytes(*entries)).ok()?;
    let values = usize::try_from(u32::from_be_bytes(*values)).ok()?;
    (entries <= limits::RPM_TAGS).then_some((entries, values))
}

/// Where a value stands.
struct Place {
    tag: u32,
    kind: u32,
    offset: usize,
}

impl Place {
    fn of(entry: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_be_bytes(*entry.get(at..)?.first_chunk::<4>()?));
        Some(Self { tag: word(0)?, kind: word(4)?, offset: usize::try_from(word(8)?).ok()? })
    }
}

struct Header<'a> {
    index: &'a [u8],
    values: &'a [u8],
}

impl<'a> Header<'a> {
    /// The bytes from where a tag's value begins.
    fn value(&self, tag: u32, kind: u32) -> Result<Option<&'a [u8]>, Broken> {
        let mut places = self.index.chunks_exact(ENTRY).filter_map(Place::of);
        let Some(place) = places.find(|place| place.tag == tag) else { return Ok(None) };
        let value = self.values.get(place.offset..).filter(|_| place.kind == kind);
        value.map(Some).ok_or(Broken)
    }

    fn text(&self, tag: u32) -> Result<Option<&'a str>, Broken> {
        let Some(value) = self.value(tag, STRING)? else { return Ok(None) };
        let value = value.get(..VALUE).unwrap_or(value);
        let end = value.iter().position(|byte| *byte == 0).ok_or(Broken)?;
        let text = value.get(..end).and_then(|text| str::from_utf8(text).ok()).ok_or(Broken)?;
        let fits = !text.is_empty() && !text.chars().any(|letter| letter.is_control() || letter == '/');
        fits.then_some(Some(text)).ok_or(Broken)
    }

    fn number(&self, tag: u32) -> Result<Option<u32>, Broken> {
        let Some(value) = self.value(tag, INT32)? else { return Ok(None) };
        value.first_chunk::<4>().map(|bytes| Some(u32::from_be_bytes(*bytes))).ok_or(Broken)
    }
}

#[cfg(test)]
pub(super) mod tests;
