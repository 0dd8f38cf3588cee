//! The archive of a folder: a tar file of which each tree has exactly one.
//!
//! The bytes are those of `tar --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner
//! --mode=u=rwX,go=rX -b1 -C FOLDER -cf FILE .` (POSIX.1-1988 ustar), so a tree that was written can be turned into them
//! again and hashed against what was signed. Nothing but folders, files and links that stay inside is an entry; a header
//! that could have been written in another way is refused. What arrives is not proven yet: every field is hostile. It
//! must never hand out a path that leads out of the folder, or more bytes than the signed length. Read next: `limits`.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use core::cmp::Ordering;

use crate::limits;

/// Bytes of a header, and what each content is filled up to.
pub const BLOCK: usize = 512;
/// What stands behind the last entry.
pub const ENDING: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

const NAME: usize = 100;
const PREFIX: usize = 155;
/// Every second field of a header: place, length.
const MODE: (usize, usize) = (100, 8);
const SIZE: (usize, usize) = (124, 12);
const CHECKSUM: usize = 148;
const KIND: usize = 156;
const LINK: usize = 157;
const MAGIC: usize = 257;
const PREFIX_AT: usize = 345;
/// The greatest length that eleven octal digits hold.
const FILE_BYTES: u64 = 0o777_7777_7777;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file.
    File {
        /// Its bytes.
        length: u64,
        /// Whether it may be started.
        program: bool,
    },
    /// A symbolic link.
    Link {
        /// Where to, from the folder that holds it.
        to: String,
    },
}

/// One entry. Its existence is the proof that its path and its link stay inside the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    path: String,
    kind: Kind,
}

/// Why an archive is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeFault {
    /// A path that leads out of the folder, or is none that every device can hold.
    #[error(
        "the path {0:?} may lead out of its folder, or is too long, too deep, or not plain text; give it another name"
    )]
    Path(String),
    /// A link that may lead out of the folder.
    #[error("the link {0:?} may lead out of the folder; let it begin with `..` at most as deep as it stands")]
    Link(String),
    /// A device, a pipe, a hard link, or an extension.
    #[error(
        "entry {path:?} is of the kind {kind:?}; an archive holds files, folders and symbolic links only"
    )]
    Kind {
        /// Its path as written.
        path: String,
        /// The letter of its kind.
        kind: char,
    },
    /// Rights that are neither 644 nor 755, such as those of a set-uid program.
    #[error("{path:?} has the rights {mode:o}; they may be 644, or 755 for programs and folders")]
    Mode {
        /// Its path as written.
        path: String,
        /// Its rights.
        mode: u32,
    },
    /// The same tree could be written in another way.
    #[error(
        "the header of {0:?} is not the one that this tree has; make the archive as docs/installers.md says"
    )]
    Header(String),
    /// Out of order, twice, or in a folder that was not named before it.
    #[error("{0:?} stands twice, out of order, or in a folder that is not named before it")]
    Order(String),
    /// More entries than a tree may have.
    #[error("the archive has more than {} entries", limits::TREE_ENTRIES)]
    Entries,
    /// An entry is longer than what is left of the signed length, or the archive ends early or late.
    #[error("the archive does not end where its signed length ends")]
    Length,
    /// Something else than zeros fills up a block.
    #[error("something else than zeros fills the archive up")]
    Filling,
}

impl Entry {
    /// An entry below the folder; the folder itself has the empty path.
    ///
    /// # Errors
    /// The path or the link may lead out of the folder, or does not fit a header.
    pub fn new(path: &str, kind: Kind) -> Result<Self, TreeFault> {
        let root = path.is_empty() && kind == Kind::Folder;
        let depth = path.split('/').count();
        let plain = path.split('/').all(is_name) && depth <= limits::TREE_DEPTH;
        let entry = Self { path: path.to_owned(), kind };
        if !(root || plain) || split(&entry.name()).is_none() {
            return Err(TreeFault::Path(entry.path));
        }
        match &entry.kind {
            Kind::File { length, .. } if *length > FILE_BYTES => Err(TreeFault::Length),
            Kind::Link { to } if !stays_inside(to, depth) => Err(TreeFault::Link(to.clone())),
            Kind::Folder | Kind::File { .. } | Kind::Link { .. } => Ok(entry),
        }
    }

    /// The path below the folder, empty for the folder itself.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Bytes of its content.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self.kind {
            Kind::File { length, .. } => length,
            Kind::Folder | Kind::Link { .. } => 0,
        }
    }

    /// Bytes that fill its content up to whole blocks.
    #[must_use]
    pub fn filling(&self) -> usize {
        let over = usize::try_from(self.length() % 512).unwrap_or_default();
        (BLOCK - over) % BLOCK
    }

    /// Bytes of header, content and filling.
    #[must_use]
    pub fn span(&self) -> u64 {
        512 + self.length().next_multiple_of(512)
    }

    /// The one header of this entry.
    #[must_use]
    pub fn header(&self) -> [u8; BLOCK] {
        let (letter, mode, link) = match &self.kind {
            Kind::Folder => (b'5', 0o755, ""),
            Kind::File { program: true, .. } => (b'0', 0o755, ""),
            Kind::File { program: false, .. } => (b'0', 0o644, ""),
            Kind::Link { to } => (b'2', 0o755, to.as_str()),
        };
        let full = self.name();
        let (prefix, name) = split(&full).expect("an entry has a name that fits");
        let mut block = [0; BLOCK];
        put(&mut block, 0, name.as_bytes());
        octal(&mut block, MODE, mode);
        octal(&mut block, (108, 8), 0);
        octal(&mut block, (116, 8), 0);
        octal(&mut block, SIZE, self.length());
        octal(&mut block, (136, 12), 0);
        put(&mut block, CHECKSUM, b"        ");
        put(&mut block, KIND, &[letter]);
        put(&mut block, LINK, link.as_bytes());
        put(&mut block, MAGIC, b"ustar\x0000");
        octal(&mut block, (329, 8), 0);
        octal(&mut block, (337, 8), 0);
        put(&mut block, PREFIX_AT, prefix.as_bytes());
        let sum = block.iter().map(|byte| u64::from(*byte)).sum();
        octal(&mut block, (CHECKSUM, 7), sum);
        block
    }

    /// Reads a header.
    fn read(block: &[u8; BLOCK]) -> Result<Self, TreeFault> {
        let (prefix, name) = (text(block, PREFIX_AT, PREFIX), text(block, 0, NAME));
        let full = if prefix.is_empty() { name } else { [prefix, "/".into(), name].concat() };
        let kind = match block[KIND] {
            b'5' => Kind::Folder,
            b'0' => Kind::File { length: number(block, SIZE), program: number(block, MODE) == 0o755 },
            b'2' => Kind::Link { to: text(block, LINK, NAME) },
            kind => return Err(TreeFault::Kind { path: full, kind: kind.into() }),
        };
        let mode = u32::try_from(number(block, MODE)).unwrap_or(u32::MAX);
        if mode != 0o755 && !(mode == 0o644 && matches!(kind, Kind::File { .. })) {
            return Err(TreeFault::Mode { path: full, mode });
        }
        let path = full.strip_prefix("./").ok_or_else(|| TreeFault::Path(full.clone()))?;
        let path = if kind == Kind::Folder { path.strip_suffix('/').unwrap_or(path) } else { path };
        let entry = Self::new(path, kind)?;
        if entry.header() == *block { Ok(entry) } else { Err(TreeFault::Header(full)) }
    }

    /// The name in the archive.
    fn name(&self) -> String {
        let end = if self.kind == Kind::Folder && !self.path.is_empty() { "/" } else { "" };
        ["./", &self.path, end].concat()
    }

    /// Whether this entry may stand right behind another one: later in the order, in a folder that was named.
    fn follows(&self, last: &Self) -> bool {
        let ordered = self.path.split('/').cmp(last.path.split('/')) == Ordering::Greater;
        let parent = self.path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let inside = last.path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/'));
        let named = parent.is_empty() || inside || (last.path == parent && last.kind == Kind::Folder);
        ordered && named
    }
}

/// What comes next of an archive.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// An entry; its content follows.
    Entry(Entry),
    /// Some of the content of the entry before.
    Content(&'a [u8]),
    /// The archive is whole.
    End,
}

/// Reads an archive piece by piece, in whatever pieces it comes. Its memory is one header.
#[derive(Debug)]
pub struct Reader {
    length: u64,
    at: u64,
    entries: u32,
    last: Option<Entry>,
    state: State,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a reader has one of it, and the block is what it needs")]
enum State {
    Header { block: [u8; BLOCK], held: usize },
    Content { left: u64 },
    Filling { left: usize },
    Ending { left: usize },
    Over,
}

const HEADER: State = State::Header { block: [0; BLOCK], held: 0 };

impl Reader {
    /// At the beginning of an archive of this signed length.
    #[must_use]
    pub fn new(length: u64) -> Self {
        Self { length, at: 0, entries: 0, last: None, state: HEADER }
    }

    /// Behind entries that are held already, the last of which may lack `missing` bytes of its content.
    ///
    /// # Errors
    /// They are out of order, or more than the archive holds.
    pub fn hold(&mut self, entry: Entry, missing: u64) -> Result<(), TreeFault> {
        self.at += 512;
        let span = entry.span();
        self.enter(&entry)?;
        if missing == 0 {
            self.at += span - 512;
        } else {
            self.at += entry.length() - missing;
            self.state = State::Content { left: missing };
            self.last = Some(entry);
            return Ok(());
        }
        self.last = Some(entry);
        self.state = HEADER;
        Ok(())
    }

    /// The next byte wanted.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Whether all was read.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// The next part, taken off the front of `bytes`; `None` where more bytes are needed.
    ///
    /// # Errors
    /// The archive is none, is hostile, or is longer than signed.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Part<'a>>, TreeFault> {
        loop {
            if self.is_over() {
                return if bytes.is_empty() { Ok(None) } else { Err(TreeFault::Length) };
            }
            if bytes.is_empty() {
                return Ok(None);
            }
            if let Some(part) = self.turn(bytes)? {
                return Ok(Some(part));
            }
        }
    }

    fn turn<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Part<'a>>, TreeFault> {
        match &mut self.state {
            State::Header { block, held } => {
                let piece = take(bytes, &mut self.at, BLOCK - *held);
                put(block, *held, piece);
                *held += piece.len();
                let whole = (*held == BLOCK).then_some(*block);
                whole.map_or(Ok(None), |block| self.header(&block))
            }
            State::Content { left } => {
                let piece = take(bytes, &mut self.at, usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= u64::try_from(piece.len()).unwrap_or(*left);
                if *left == 0 {
                    self.fill();
                }
                Ok(Some(Part::Content(piece)))
            }
            State::Filling { left } => {
                *left -= zeros(take(bytes, &mut self.at, *left))?;
                if *left == 0 {
                    self.state = HEADER;
                }
                Ok(None)
            }
            State::Ending { left } => {
                *left -= zeros(take(bytes, &mut self.at, *left))?;
                if *left > 0 {
                    return Ok(None);
                }
                self.state = State::Over;
                Ok(Some(Part::End))
            }
            State::Over => Err(TreeFault::Length),
        }
    }

    fn header(&mut self, block: &[u8; BLOCK]) -> Result<Option<Part<'static>>, TreeFault> {
        if block.iter().all(|byte| *byte == 0) {
            if self.entries == 0 || self.length.checked_sub(self.at) != Some(512) {
                return Err(TreeFault::Length);
            }
            self.state = State::Ending { left: BLOCK };
            return Ok(None);
        }
        let entry = Entry::read(block)?;
        self.enter(&entry)?;
        self.last = Some(entry.clone());
        self.state = State::Content { left: entry.length() };
        if entry.length() == 0 {
            self.fill();
        }
        Ok(Some(Part::Entry(entry)))
    }

    /// Takes an entry, of which the header is read, if it may stand here.
    fn enter(&mut self, entry: &Entry) -> Result<(), TreeFault> {
        let ordered = match &self.last {
            Some(last) => entry.follows(last),
            None => entry.path.is_empty(),
        };
        if !ordered {
            return Err(TreeFault::Order(entry.path.clone()));
        }
        let end = self.at.saturating_add(entry.span() - 512).saturating_add(1024);
        if end > self.length {
            return Err(TreeFault::Length);
        }
        self.entries += 1;
        if self.entries > limits::TREE_ENTRIES { Err(TreeFault::Entries) } else { Ok(()) }
    }

    fn fill(&mut self) {
        let left = self.last.as_ref().map_or(0, Entry::filling);
        self.state = if left == 0 { HEADER } else { State::Filling { left } };
    }
}

/// A name that is one step down and nothing else.
fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.chars().any(char::is_control)
}

/// Whether a link in an entry so many names deep stays inside: it goes up first, at most to the folder, then only down.
/// A `..` behind a name could follow another link and come out higher than it looks.
fn stays_inside(to: &str, depth: usize) -> bool {
    let up = to.split('/').take_while(|name| *name == "..").count();
    to.len() <= NAME && up < depth && to.split('/').skip(up).all(is_name)
}

/// Prefix and name of a header, divided at the last slash that leaves the prefix short enough, as GNU tar does.
fn split(full: &str) -> Option<(&str, &str)> {
    if full.len() <= NAME {
        return Some(("", full));
    }
    let searched = full.as_bytes().get(..full.len().min(PREFIX + 1))?;
    let searched = searched.strip_suffix(b"/").filter(|_| full.len() <= PREFIX + 1).unwrap_or(searched);
    let slash = searched.iter().rposition(|byte| *byte == b'/')?;
    let (prefix, name) = (full.get(..slash)?, full.get(slash + 1..)?);
    (slash > 0 && !name.is_empty() && name.len() <= NAME).then_some((prefix, name))
}

fn put(block: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    if let Some(field) = block.get_mut(at..at + bytes.len()) {
        field.copy_from_slice(bytes);
    }
}

/// Octal digits and a zero byte, over the whole of a field.
fn octal(block: &mut [u8; BLOCK], (at, length): (usize, usize), mut value: u64) {
    let Some(digits) = block.get_mut(at..at + length - 1) else { return };
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 8).unwrap_or_default();
        value /= 8;
    }
    if let Some(last) = block.get_mut(at + length - 1) {
        *last = 0;
    }
}

/// The octal number of a field; a field that holds none is found out when the header is written again.
fn number(block: &[u8; BLOCK], (at, length): (usize, usize)) -> u64 {
    let digits =
        block.get(at..at + length).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |value, digit| value * 8 + u64::from(digit - b'0'))
}

/// The text of a field, up to its first zero byte.
fn text(block: &[u8; BLOCK], at: usize, length: usize) -> String {
    let field = block.get(at..at + length).unwrap_or_default();
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(length);
    String::from_utf8_lossy(field.get(..end).unwrap_or_default()).to_string()
}

fn take<'a>(bytes: &mut &'a [u8], at: &mut u64, limit: usize) -> &'a [u8] {
    let (piece, rest) = bytes.split_at(limit.min(bytes.len()));
    *bytes = rest;
    *at += u64::try_from(piece.len()).unwrap_or_default();
    piece
}

fn zeros(piece: &[u8]) -> Result<usize, TreeFault> {
    if piece.iter().all(|byte| *byte == 0) { Ok(piece.len()) } else { Err(TreeFault::Filling) }
}

#[cfg(test)]
mod tests;
