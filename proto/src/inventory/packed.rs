//! An inventory as it travels whole: its rows apart in columns, and what repeats said by a mark.
//!
//! The rows of a thousand packages are names that begin alike and versions that stand there twice: said once, and like beside
//! like, they compress to two thirds. It is only a form: what comes out is the very inventory that went in, root and all, and a
//! server that does not read it is sent the rows. What unpacking may make of a few bytes is bounded before it is made. Read next:
//! [`super::delta`], for what changed.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::{Inventory, Row, Section};
use crate::ids::Text;
use crate::limits;
use crate::wire::{self, WireError};

/// A value that is the first one of its row, the last one written out in its column, the name in its row's key, or none.
const FIRST: u8 = 1;
const BEFORE: u8 = 2;
const NAME: u8 = 3;
const NONE: u8 = 4;
/// The end of a value that is written out. No value holds it, nor any mark.
const END: u8 = b'\n';
/// Columns: the front of the key, what follows its last stroke, the first three values, all others.
const COLUMNS: usize = 6;
/// Bytes that a row and a value cost on the wire beside their texts, at most.
const ROW_BYTES: usize = 8;

/// The columns.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Packed {
    /// The sections of the rows.
    #[n(0)]
    sections: ByteVec,
    /// How many bytes the front of each key shares with the one before.
    #[n(1)]
    shared: ByteVec,
    /// How many values each row has.
    #[n(2)]
    widths: ByteVec,
    /// The columns.
    #[n(3)]
    columns: Vec<ByteVec>,
}

impl Packed {
    /// Packs an inventory; `None` if a value of it holds what marks are made of.
    #[must_use]
    pub fn of(inventory: &Inventory) -> Option<Self> {
        let (mut sections, mut shared, mut widths) = (Vec::new(), Vec::new(), Vec::new());
        let mut columns: [Writer<'_>; COLUMNS] = Default::default();
        let mut before = "";
        for row in inventory.rows() {
            sections.push(number(row.section)?);
            widths.push(u8::try_from(row.fields.len()).ok()?);
            let (front, tail) = parts(row.key.as_str());
            let alike = alike(before, front);
            shared.push(u8::try_from(alike).ok()?);
            before = front;
            let [heads, tails, values @ ..] = &mut columns;
            heads.write(front.get(alike..)?)?;
            match tail {
                Some(tail) => tails.put(tail, None)?,
                None => tails.bytes.push(NONE),
            }
            let first = row.fields.first().map(String::as_str);
            for (place, value) in row.fields.iter().enumerate() {
                let mark = match place {
                    0 => None,
                    _ if Some(value.as_str()) == first => Some(FIRST),
                    _ if value == name(front) => Some(NAME),
                    _ => None,
                };
                values.get_mut(place.min(COLUMNS - 3))?.put(value, mark)?;
            }
        }
        let columns = columns.into_iter().map(|column| column.bytes.into()).collect();
        Some(Self { sections: sections.into(), shared: shared.into(), widths: widths.into(), columns })
    }

    /// The inventory, which keeps its bounds and order.
    pub fn unpack(&self) -> Result<Inventory, WireError> {
        if self.sections.len() > limits::INVENTORY_ROWS {
            return Err(WireError::TooMany { limit: limits::INVENTORY_ROWS });
        }
        let fits = self.columns.len() == COLUMNS
            && [&self.shared, &self.widths].iter().all(|column| column.len() == self.sections.len());
        let mut columns = self.columns.iter().map(|column| Reader { rest: column, last: "" });
        let mut next = || columns.next().filter(|_| fits).ok_or(WireError::Malformed);
        let (mut heads, mut tails) = (next()?, next()?);
        let mut values = [next()?, next()?, next()?, next()?];
        let (mut rows, mut before, mut left) = (Vec::new(), String::new(), limits::RECORD_BYTES);
        for ((section, shared), width) in self.sections.iter().zip(self.shared.iter()).zip(self.widths.iter())
        {
            let mut front = before.get(..usize::from(*shared)).ok_or(WireError::Malformed)?.to_owned();
            front.push_str(heads.text()?);
            let key = match tails.next(None, "")? {
                Some(tail) => [&front, "/", tail].concat(),
                None => front.clone(),
            };
            let mut fields: Vec<String> = Vec::new();
            spend(&mut left, key.len())?;
            for place in 0..usize::from(*width) {
                let first = fields.first().map(String::as_str);
                let column = values.get_mut(place.min(COLUMNS - 3)).ok_or(WireError::Malformed)?;
                let value = column.next(first, name(&front))?.ok_or(WireError::Malformed)?.to_string();
                spend(&mut left, value.len())?;
                fields.push(value);
            }
            let section = wire::read::<Section>(&[*section], 1)?;
            let key: Text = key.parse().map_err(|_| WireError::Malformed)?;
            rows.push(Row { section, key, fields });
            before = front;
        }
        let all_read = heads.is_done() && tails.is_done() && values.iter().all(Reader::is_done);
        if all_read { Inventory { rows }.bounded() } else { Err(WireError::Malformed) }
    }
}

/// A section as one byte of CBOR.
fn number(section: Section) -> Option<u8> {
    match wire::write(&section)[..] {
        [number] => Some(number),
        _ => None,
    }
}

/// A key up to its last stroke, and what follows that.
fn parts(key: &str) -> (&str, Option<&str>) {
    key.rsplit_once('/').map_or((key, None), |(front, tail)| (front, Some(tail)))
}

/// The name in the front of a key: `openssl` of `deb/openssl`.
fn name(front: &str) -> &str {
    front.rsplit('/').next().unwrap_or_default()
}

/// How many bytes two texts share at their beginning, at a border of letters and as a byte can say.
fn alike(one: &str, other: &str) -> usize {
    let same = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    (0..=same.min(usize::from(u8::MAX))).rev().find(|at| other.is_char_boundary(*at)).unwrap_or(0)
}

fn spend(left: &mut usize, bytes: usize) -> Result<(), WireError> {
    let limit = limits::RECORD_BYTES;
    *left = left.checked_sub(bytes + ROW_BYTES).ok_or(WireError::TooLarge { found: limit + 1, limit })?;
    Ok(())
}

/// A column being written.
#[derive(Default)]
struct Writer<'a> {
    bytes: Vec<u8>,
    last: Option<&'a str>,
}

impl<'a> Writer<'a> {
    /// A value, by the mark given, by that of the last one that was written out, or written out itself.
    fn put(&mut self, value: &'a str, mark: Option<u8>) -> Option<()> {
        match mark.or((self.last == Some(value)).then_some(BEFORE)) {
            Some(mark) => self.bytes.push(mark),
            None => {
                self.write(value)?;
                self.last = Some(value);
            }
        }
        Some(())
    }

    fn write(&mut self, value: &str) -> Option<()> {
        if value.bytes().any(|byte| byte <= END) {
            return None;
        }
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(END);
        Some(())
    }
}

/// A column being read.
struct Reader<'a> {
    rest: &'a [u8],
    last: &'a str,
}

impl<'a> Reader<'a> {
    /// A value that is written out.
    fn text(&mut self) -> Result<&'a str, WireError> {
        let end = self.rest.iter().position(|byte| *byte == END).ok_or(WireError::Malformed)?;
        let (value, rest) = self.rest.split_at_checked(end).ok_or(WireError::Malformed)?;
        self.rest = rest.get(1..).unwrap_or_default();
        str::from_utf8(value).map_err(|_| WireError::Malformed)
    }

    /// A value, where the row's first one and the name in its key are these; `None` for none.
    fn next<'v>(&mut self, first: Option<&'v str>, name: &'v str) -> Result<Option<&'v str>, WireError>
    where
        'a: 'v,
    {
        let mark = self.rest.first().copied().filter(|byte| *byte < END);
        if let Some(mark) = mark {
            self.rest = self.rest.get(1..).unwrap_or_default();
            return match mark {
                FIRST => first.map(Some).ok_or(WireError::Malformed),
                BEFORE => Ok(Some(self.last)),
                NAME => Ok(Some(name)),
                NONE => Ok(None),
                _ => Err(WireError::Malformed),
            };
        }
        self.last = self.text()?;
        Ok(Some(self.last))
    }

    fn is_done(&self) -> bool {
        self.rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn row(section: Section, key: &str, fields: &[&str]) -> Row {
        Row { section, key: Text::lossy(key), fields: fields.iter().map(ToString::to_string).collect() }
    }

    fn packages(count: usize) -> Inventory {
        let package = |n: usize| {
            let version = format!("{}.{}-{}+deb12u1", n % 7, n % 13, n % 5);
            row(Section::Package, &format!("deb/libward{}-{n}/amd64", n / 9), &[&version, "ward", &version])
        };
        Inventory::new((0..count).map(package).collect())
    }

    #[test]
    fn what_is_packed_comes_out_as_it_was() {
        // Goal: a form, and no other content. Method: rows of every shape: marks, no values, no stroke, many values, no text.
        let inventory = Inventory::new(vec![
            row(Section::System, "id", &["debian"]),
            row(Section::System, "empty", &[]),
            row(Section::Package, "deb/openssl/amd64", &["3.0-1", "openssl", "3.0-1"]),
            row(Section::Package, "deb/libssl3/amd64", &["3.0-1", "openssl", "3.0-1"]),
            row(Section::Package, "npm/@ward/pump/1.0", &["1.0"]),
            row(Section::Interface, "eth0", &["1", "2", "3", "", "3", "5"]),
            row(Section::Unread, "äöü/äöx", &["ü"]),
        ]);
        let packed = Packed::of(&inventory).expect("no value holds a mark");
        assert_eq!(packed.unpack(), Ok(inventory));
        let thousand = packages(1000);
        let packed = Packed::of(&thousand).expect("no value holds a mark");
        assert!(wire::write(&packed).len() < wire::write(&thousand).len() / 2);
        assert_eq!(packed.unpack().map(|unpacked| unpacked.root()), Ok(thousand.root()));
        assert_eq!(Packed::of(&Inventory::new(vec![row(Section::System, "id", &["a\u{1}b"])])), None);
    }

    #[test]
    fn what_does_not_fit_together_or_would_grow_too_large_is_refused() {
        // Goal: a few bytes make no flood. Method: columns that are short, long or missing, and one long value said by marks.
        let whole = Packed::of(&packages(20)).expect("no value holds a mark");
        for column in 0..COLUMNS - 1 {
            let mut long = whole.clone();
            long.columns[column].push(BEFORE);
            assert_eq!(long.unpack(), Err(WireError::Malformed), "{column}");
            let mut short = whole.clone();
            short.columns[column].pop();
            assert_eq!(short.unpack(), Err(WireError::Malformed), "{column}");
        }
        let mut less = whole.clone();
        less.columns.pop();
        assert_eq!(less.unpack(), Err(WireError::Malformed));
        let rows = 4000_u16;
        let keys: Vec<u8> = (0..rows).flat_map(|n| format!("{n:05}\n").into_bytes()).collect();
        let value = [vec![b'v'; 1000], vec![END], vec![BEFORE; usize::from(rows) - 1]].concat();
        let rows = usize::from(rows);
        let column = |bytes: Vec<u8>| ByteVec::from(bytes);
        let bomb = Packed {
            sections: vec![0; rows].into(),
            shared: vec![0; rows].into(),
            widths: vec![1; rows].into(),
            columns: [keys, vec![NONE; rows], value, vec![], vec![], vec![]].map(column).to_vec(),
        };
        assert!(wire::write(&bomb).len() < 50_000);
        let limit = limits::RECORD_BYTES;
        assert_eq!(bomb.unpack(), Err(WireError::TooLarge { found: limit + 1, limit }));
    }

    proptest! {
        #[test]
        fn any_inventory_comes_out_as_it_was(
            rows in prop::collection::vec(("[a-cä/]{1,6}", prop::collection::vec("[a-cé/]{0,3}", 0..7)), 0..20),
        ) {
            let row = |(key, fields): (String, Vec<String>)| Row { section: Section::Package, key: Text::lossy(&key), fields };
            let inventory = Inventory::new(rows.into_iter().map(row).collect());
            let packed = Packed::of(&inventory).expect("no value holds a mark");
            prop_assert_eq!(packed.unpack(), Ok(inventory));
        }

        #[test]
        fn any_damage_is_read_without_a_panic(at in 0_usize..2000, byte in any::<u8>()) {
            let mut bytes = wire::write(&Packed::of(&packages(20)).expect("no value holds a mark"));
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(packed) = wire::read::<Packed>(&bytes, limits::RECORD_BYTES) {
                let _ = packed.unpack();
            }
        }
    }
}
