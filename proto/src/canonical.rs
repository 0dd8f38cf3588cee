//! JSON from outside read strictly, kept whole, and written in the one form that signatures cover.
//!
//! For every signed document: TUF metadata, orders, bundles. The parser refuses what two readers could understand
//! differently (a key twice, a number that is not an integer, a lone surrogate, bytes after the end) and takes its
//! byte limit from the caller. It must never drop a field, known or not: the signature covers all of them, which is
//! why `serde_json::Value` is not used here. The canonical form is OLPC's canonical JSON, as TUF 1.0.34 section 4.2
//! demands: keys sorted by code point, no white space, only `"` and `\` escaped.
//!
//! Read next: [`fields`] for typed access with the path in the error, `parse` for the grammar, [`crate::update`] for
//! the documents.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

pub mod fields;
mod parse;
#[cfg(test)]
mod tests;

pub use fields::{FieldError, FieldProblem, Fields};
pub use parse::{ParseError, Problem};

/// One JSON value without floating point numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number from −2⁶³ to 2⁶⁴ − 1.
    Integer(Integer),
    /// A text.
    Text(String),
    /// A list in its order.
    List(Vec<Value>),
    /// A map; Rust orders texts by UTF-8 bytes, which is the order of code points that the canonical form wants.
    Map(Map),
}

/// The entries of a JSON object, sorted, each key once.
pub type Map = BTreeMap<String, Value>;

/// A whole number from −2⁶³ to 2⁶⁴ − 1: everything that is an `i64` or a `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integer {
    negative: bool,
    magnitude: u64,
}

impl Integer {
    /// The number if it is not negative.
    #[must_use]
    pub fn unsigned(self) -> Option<u64> {
        (!self.negative).then_some(self.magnitude)
    }

    /// The number if it fits 64 bits with a sign.
    #[must_use]
    pub fn signed(self) -> Option<i64> {
        if self.negative {
            0_i64.checked_sub_unsigned(self.magnitude)
        } else {
            i64::try_from(self.magnitude).ok()
        }
    }
}

impl From<u64> for Integer {
    fn from(magnitude: u64) -> Self {
        Self { negative: false, magnitude }
    }
}

impl From<i64> for Integer {
    fn from(number: i64) -> Self {
        Self { negative: number < 0, magnitude: number.unsigned_abs() }
    }
}

impl Value {
    /// Reads one JSON document of at most `limit` bytes.
    ///
    /// # Errors
    /// The first thing that is wrong and the byte at which it stands.
    pub fn parse(bytes: &[u8], limit: usize) -> Result<Self, ParseError> {
        parse::parse(bytes, limit)
    }

    /// The bytes that signatures cover. They are valid JSON unless a text holds a control character: canonical JSON
    /// leaves those as they are (a PEM key has line ends). Use [`Value::json`] for files.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out, Escapes::Canonical);
        out
    }

    /// The same value as a JSON document for a file or the wire: compact, keys sorted, control characters escaped.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out, Escapes::Json);
        out
    }

    /// A map of the given entries; of two entries with one key the later wins.
    pub fn object<K: Into<String>>(entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// A list of anything that becomes a value.
    pub fn list<V: Into<Value>>(items: impl IntoIterator<Item = V>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }

    /// The map with its place at the top of a document.
    ///
    /// # Errors
    /// The value is no map.
    pub fn map(&self) -> Result<Fields<'_>, FieldError> {
        Fields::top(self)
    }

    fn write(&self, out: &mut Vec<u8>, escapes: Escapes) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Integer(number) => write_integer(out, *number),
            Self::Text(text) => write_text(out, text, escapes),
            Self::List(items) => {
                out.push(b'[');
                for (position, item) in items.iter().enumerate() {
                    separate(out, position);
                    item.write(out, escapes);
                }
                out.push(b']');
            }
            Self::Map(entries) => {
                out.push(b'{');
                for (position, (key, value)) in entries.iter().enumerate() {
                    separate(out, position);
                    write_text(out, key, escapes);
                    out.push(b':');
                    value.write(out, escapes);
                }
                out.push(b'}');
            }
        }
    }
}

/// Which characters of a text are escaped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    /// Only `"` and `\`.
    Canonical,
    /// Control characters too, so that any reader takes it.
    Json,
}

fn separate(out: &mut Vec<u8>, position: usize) {
    if position > 0 {
        out.push(b',');
    }
}

fn write_integer(out: &mut Vec<u8>, number: Integer) {
    if number.negative {
        out.push(b'-');
    }
    out.extend_from_slice(alloc::format!("{}", number.magnitude).as_bytes());
}

fn write_text(out: &mut Vec<u8>, text: &str, escapes: Escapes) {
    out.push(b'"');
    for &byte in text.as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 if escapes == Escapes::Json => {
                out.extend_from_slice(alloc::format!("\\u{byte:04x}").as_bytes());
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value.into())
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Integer(value.into())
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::from(i64::from(value))
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::from(u64::from(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<crate::time::Timestamp> for Value {
    /// A time as TUF writes it: RFC 3339 in UTC.
    fn from(value: crate::time::Timestamp) -> Self {
        Self::Text(value.into())
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::List(items)
    }
}

impl From<Map> for Value {
    fn from(entries: Map) -> Self {
        Self::Map(entries)
    }
}

impl<V: Into<Value>> From<Option<V>> for Value {
    /// Nothing is `null`.
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
