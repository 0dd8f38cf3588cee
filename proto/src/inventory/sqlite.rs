//! SQLite's file format (sqlite.org/fileformat2.html), as far as one table of blobs needs it: RPM keeps its headers so.
//!
//! Only reading, only tables with a row number, only a database at rest: what waits in a log beside it is not seen here, and
//! whoever opens the file must say so. Depth and bytes are bounded, so that a file whose pages point in a circle ends. Of a
//! row only the bytes that the caller asks for are fetched. Read next: [`super::rpm`], which asks.

use alloc::vec;
use alloc::vec::Vec;

use super::database::{Fault, Source};
use crate::limits;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Bytes before the first page's own head.
const FILE_HEAD: usize = 100;
const LEAF: u8 = 0x0d;
const INTERIOR: u8 = 0x05;
/// Tables within tables: SQLite itself goes no deeper.
const DEPTH: usize = 20;
/// Bytes of the description of a table that are looked at.
const DESCRIPTION: usize = 4096;

/// What a reader of rows does: told the front of a row's blob, it says how many bytes of the blob it needs; when they are
/// there, it is given them.
pub trait Rows {
    /// How many bytes of the blob matter, as far as its front says.
    fn extent(&self, front: &[u8]) -> usize;
    /// The blob, as far as it matters.
    fn take(&mut self, blob: &[u8]);
    /// A row that holds no blob, or whose blob cannot be fetched.
    fn broken(&mut self);
}

/// Reads the blobs in the second column of a table.
///
/// # Errors
/// The file is no such database, or its pages do not hang together.
pub fn blobs(source: &mut dyn Source, table: &str, rows: &mut dyn Rows) -> Result<(), Fault> {
    let mut database = Database::open(source)?;
    let mut root = None;
    database.walk(1, &mut |database, cell| {
        if let Some(found) = database.description(cell).and_then(|front| root_of(&front, table)) {
            root = root.or(Some(found));
        }
        Ok(())
    })?;
    database.walk(root.ok_or(Fault::NoTable)?, &mut |database, cell| {
        match database.blob(cell, rows) {
            Some(blob) => rows.take(&blob),
            None => rows.broken(),
        }
        Ok(())
    })
}

struct Database<'a> {
    source: &'a mut dyn Source,
    page_bytes: usize,
    /// Bytes of a page without those reserved for extensions.
    usable: usize,
    /// Pages that may still be read.
    left: usize,
    /// Rows are put together here.
    row: Vec<u8>,
}

/// A row on a leaf: how long it is, what of it lies on the page, and the page of the rest.
struct Cell<'a> {
    bytes: usize,
    local: &'a [u8],
    overflow: u32,
}

type Each<'f> = &'f mut dyn FnMut(&mut Database<'_>, &Cell<'_>) -> Result<(), Fault>;

impl<'a> Database<'a> {
    fn open(source: &'a mut dyn Source) -> Result<Self, Fault> {
        let mut head = [0; FILE_HEAD];
        source.read(0, &mut head)?;
        let page_bytes = match (head.first_chunk::<16>() == Some(MAGIC), number(&head, 16)) {
            (true, Some(1)) => 65_536,
            (true, Some(bytes)) if bytes >= 512 && bytes.is_power_of_two() => bytes,
            _ => return Err(Fault::NoDatabase),
        };
        let reserved = head.get(20).copied().map_or(0, usize::from);
        let usable = page_bytes.saturating_sub(reserved);
        if usable < 480 {
            return Err(Fault::NoDatabase);
        }
        Ok(Self { source, page_bytes, usable, left: limits::DATABASE_BYTES / page_bytes, row: Vec::new() })
    }

    fn page(&mut self, number: u32, page: &mut [u8]) -> Result<(), Fault> {
        self.left = self.left.checked_sub(1).ok_or(Fault::Endless)?;
        let before = number.checked_sub(1).ok_or(Fault::Broken)?;
        let offset = u64::from(before) * u64::try_from(self.page_bytes).map_err(|_| Fault::Broken)?;
        self.source.read(offset, page)
    }

    /// Goes through the leaves of a table in order.
    fn walk(&mut self, root: u32, each: Each<'_>) -> Result<(), Fault> {
        self.below(root, DEPTH, each)
    }

    fn below(&mut self, number: u32, depth: usize, each: Each<'_>) -> Result<(), Fault> {
        let depth = depth.checked_sub(1).ok_or(Fault::Endless)?;
        let mut page = vec![0; self.page_bytes];
        self.page(number, &mut page)?;
        let head = if number == 1 { FILE_HEAD } else { 0 };
        let cells = number_at(&page, head + 3)?;
        let kind = page.get(head).copied().ok_or(Fault::Broken)?;
        let first = match kind {
            LEAF => head + 8,
            INTERIOR => head + 12,
            _ => return Err(Fault::Broken),
        };
        for cell in 0..cells {
            let at = number_at(&page, first + 2 * cell)?;
            if kind == LEAF {
                let cell = self.cell(&page, at).ok_or(Fault::Broken)?;
                each(self, &cell)?;
            } else {
                self.below(long_at(&page, at)?, depth, each)?;
            }
        }
        if kind == INTERIOR {
            self.below(long_at(&page, head + 8)?, depth, each)?;
        }
        Ok(())
    }

    /// A cell of a leaf (section 1.6, "B-tree Cell Format").
    fn cell<'p>(&self, page: &'p [u8], at: usize) -> Option<Cell<'p>> {
        let rest = page.get(at..self.usable)?;
        let (bytes, rest) = varint(rest)?;
        let (_, rest) = varint(rest)?;
        let bytes = usize::try_from(bytes).ok()?;
        let most = self.usable - 35;
        if bytes <= most {
            return Some(Cell { bytes, local: rest.get(..bytes)?, overflow: 0 });
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let fitting = least + (bytes - least) % (self.usable - 4);
        let (local, rest) = rest.split_at_checked(if fitting <= most { fitting } else { least })?;
        Some(Cell { bytes, local, overflow: u32::from_be_bytes(*rest.first_chunk::<4>()?) })
    }

    /// Puts together the front of a row, as long as `wanted` says by what is there. At most as much as a row may cost.
    fn fetch(&mut self, cell: &Cell<'_>, wanted: &dyn Fn(&[u8]) -> usize) -> Option<Vec<u8>> {
        let mut row = core::mem::take(&mut self.row);
        row.clear();
        row.extend_from_slice(cell.local);
        let mut next = cell.overflow;
        let mut page = Vec::new();
        while row.len() < wanted(&row).min(cell.bytes) {
            page.resize(self.page_bytes, 0);
            if next == 0 || row.len() > limits::RPM_HEADER_BYTES {
                return None;
            }
            self.page(next, &mut page).ok()?;
            let (link, rest) = page.get(..self.usable)?.split_first_chunk::<4>()?;
            next = u32::from_be_bytes(*link);
            row.extend_from_slice(rest.get(..(cell.bytes - row.len()).min(rest.len()))?);
        }
        Some(row)
    }

    fn description(&mut self, cell: &Cell<'_>) -> Option<Vec<u8>> {
        self.fetch(cell, &|_| DESCRIPTION)
    }

    /// The blob in the second column.
    fn blob(&mut self, cell: &Cell<'_>, rows: &dyn Rows) -> Option<Vec<u8>> {
        let wanted = |front: &[u8]| match column(front, 1) {
            None => front.len() + 1,
            Some((at, bytes, _)) => {
                let front = front.get(at..).unwrap_or_default();
                at.saturating_add(rows.extent(front).min(bytes))
            }
        };
        let mut row = self.fetch(cell, &wanted)?;
        let (at, bytes, kind) = column(&row, 1)?;
        let is_blob = kind >= 12 && kind % 2 == 0;
        let blob = row.get(at..)?;
        let blob = blob.get(..bytes.min(blob.len())).filter(|_| is_blob)?.to_vec();
        row.clear();
        self.row = row;
        Some(blob)
    }
}

/// The first page of a table, if this row of the schema describes it: kind, name, table, page, text.
fn root_of(row: &[u8], table: &str) -> Option<u32> {
    let text = |place| {
        let (at, bytes, kind) = column(row, place)?;
        row.get(at..at.checked_add(bytes)?).filter(|_| kind >= 13 && kind % 2 == 1)
    };
    if text(0)? != b"table" || text(1)? != table.as_bytes() {
        return None;
    }
    let (at, bytes, kind) = column(row, 3)?;
    let number = row.get(at..at.checked_add(bytes)?).filter(|_| (1..=6).contains(&kind))?;
    let number = number.iter().try_fold(0_u64, |sum, byte| Some(sum.checked_mul(256)? + u64::from(*byte)))?;
    u32::try_from(number).ok()
}

/// Where a column of a row begins, how many bytes it has, and its type (section 2.1, "Record Format"). `None` while the
/// row's head is not whole.
fn column(row: &[u8], place: usize) -> Option<(usize, usize, u64)> {
    let (head, rest) = varint(row)?;
    let head_bytes = usize::try_from(head).ok()?;
    let mut types = rest.get(..head_bytes.checked_sub(row.len() - rest.len())?)?;
    let mut at = head_bytes;
    for column in 0..=place {
        let (kind, rest) = varint(types)?;
        types = rest;
        let bytes = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => usize::try_from((kind - 12) / 2).ok()?,
        };
        if column == place {
            return Some((at, bytes, kind));
        }
        at = at.checked_add(bytes)?;
    }
    None
}

/// A number of one to nine bytes, seven bits each, all eight of the last.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for place in 0..9 {
        let byte = *bytes.get(place)?;
        if place == 8 {
            return Some((value << 8 | u64::from(byte), bytes.get(9..)?));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Some((value, bytes.get(place + 1..)?));
        }
    }
    None
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk::<2>()?)))
}

fn number_at(page: &[u8], at: usize) -> Result<usize, Fault> {
    number(page, at).ok_or(Fault::Broken)
}

fn long_at(page: &[u8], at: usize) -> Result<u32, Fault> {
    let bytes = page.get(at..).and_then(|rest| rest.first_chunk::<4>()).ok_or(Fault::Broken)?;
    Ok(u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests;
