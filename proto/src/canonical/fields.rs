//! Typed access to the fields of a parsed document; every error names the path of the field.
//!
//! A [`Fields`] is a map together with its place in the document. It must never guess: a field of the wrong kind is
//! an error, an optional one may be absent or `null`. Fields nobody asks for stay in the [`Value`] untouched;
//! documents that are closed say so with [`Fields::only`].
//!
//! Read next: [`super::Value`].

use super::{Integer, Map, Value};
use crate::time::Timestamp;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A field that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct FieldError {
    /// Where the field stands, such as `signed.roles.root.threshold` or `targets[2].length`.
    pub path: String,
    /// What is wrong with it.
    pub problem: FieldProblem,
}

/// What can be wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldProblem {
    /// The field is absent.
    #[error("the field is missing")]
    Missing,
    /// The field has another kind than this one.
    #[error("it must be {0}")]
    Kind(&'static str),
    /// The number or length is outside what is allowed.
    #[error("the value is out of range")]
    Range,
    /// The text is not of the form that is named.
    #[error("it must be {0}")]
    Form(&'static str),
    /// The document is closed and does not know this field.
    #[error("the field is not known here")]
    Unknown,
}

/// A map and its place in the document.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    map: &'a Map,
    path: String,
}

impl<'a> Fields<'a> {
    pub(super) fn top(value: &'a Value) -> Result<Self, FieldError> {
        Self::at(value, String::new())
    }

    fn at(value: &'a Value, path: String) -> Result<Self, FieldError> {
        match value {
            Value::Map(map) => Ok(Self { map, path }),
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Text(_) | Value::List(_) => {
                let path = if path.is_empty() { "document".to_owned() } else { path };
                Err(FieldError { path, problem: FieldProblem::Kind("a map") })
            }
        }
    }

    /// The entries themselves.
    #[must_use]
    pub fn entries(&self) -> &'a Map {
        self.map
    }

    /// The value of a field, whatever its kind.
    ///
    /// # Errors
    /// The field is missing.
    pub fn value(&self, name: &str) -> Result<&'a Value, FieldError> {
        self.map.get(name).ok_or_else(|| self.error(name, FieldProblem::Missing))
    }

    /// The value of a field that may be absent or `null`.
    #[must_use]
    pub fn optional(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| **value != Value::Null)
    }

    /// A text.
    ///
    /// # Errors
    /// The field is missing or no text.
    pub fn text(&self, name: &str) -> Result<&'a str, FieldError> {
        let Value::Text(text) = self.value(name)? else {
            return Err(self.error(name, FieldProblem::Kind("a text")));
        };
        Ok(text)
    }

    /// A text that may be absent or `null`.
    ///
    /// # Errors
    /// The field is there and no text.
    pub fn optional_text(&self, name: &str) -> Result<Option<&'a str>, FieldError> {
        self.optional(name).map(|_| self.text(name)).transpose()
    }

    /// A truth value.
    ///
    /// # Errors
    /// The field is missing or neither `true` nor `false`.
    pub fn bool(&self, name: &str) -> Result<bool, FieldError> {
        let Value::Bool(value) = self.value(name)? else {
            return Err(self.error(name, FieldProblem::Kind("true or false")));
        };
        Ok(*value)
    }

    /// A truth value that may be absent or `null`.
    ///
    /// # Errors
    /// The field is there and neither `true` nor `false`.
    pub fn optional_bool(&self, name: &str) -> Result<Option<bool>, FieldError> {
        self.optional(name).map(|_| self.bool(name)).transpose()
    }

    /// A whole number from 0 to 2⁶⁴ − 1.
    ///
    /// # Errors
    /// The field is missing, no whole number, or negative.
    pub fn unsigned(&self, name: &str) -> Result<u64, FieldError> {
        self.integer(name)?.unsigned().ok_or_else(|| self.error(name, FieldProblem::Range))
    }

    /// A whole number from 0 that may be absent or `null`.
    ///
    /// # Errors
    /// The field is there and no whole number from 0.
    pub fn optional_unsigned(&self, name: &str) -> Result<Option<u64>, FieldError> {
        self.optional(name).map(|_| self.unsigned(name)).transpose()
    }

    /// A whole number from −2⁶³ to 2⁶³ − 1.
    ///
    /// # Errors
    /// The field is missing, no whole number, or too large.
    pub fn signed(&self, name: &str) -> Result<i64, FieldError> {
        self.integer(name)?.signed().ok_or_else(|| self.error(name, FieldProblem::Range))
    }

    /// A time in RFC 3339, UTC.
    ///
    /// # Errors
    /// The field is missing or no such time.
    pub fn time(&self, name: &str) -> Result<Timestamp, FieldError> {
        let text = self.text(name)?;
        Timestamp::parse(text)
            .map_err(|_| self.error(name, FieldProblem::Form("a time such as 2026-11-21T09:05:06Z")))
    }

    /// `N` bytes in hexadecimal digits, either case.
    ///
    /// # Errors
    /// The field is missing or not of this form and length.
    pub fn hex<const N: usize>(&self, name: &str) -> Result<[u8; N], FieldError> {
        let bytes = decode_hex(self.text(name)?);
        bytes
            .and_then(|bytes| <[u8; N]>::try_from(bytes).ok())
            .ok_or_else(|| self.error(name, FieldProblem::Form("hexadecimal digits of the right length")))
    }

    /// A map inside this one.
    ///
    /// # Errors
    /// The field is missing or no map.
    pub fn map(&self, name: &str) -> Result<Fields<'a>, FieldError> {
        Fields::at(self.value(name)?, self.path_of(name))
    }

    /// A map inside this one that may be absent or `null`.
    ///
    /// # Errors
    /// The field is there and no map.
    pub fn optional_map(&self, name: &str) -> Result<Option<Fields<'a>>, FieldError> {
        self.optional(name).map(|value| Fields::at(value, self.path_of(name))).transpose()
    }

    /// A list.
    ///
    /// # Errors
    /// The field is missing or no list.
    pub fn list(&self, name: &str) -> Result<&'a [Value], FieldError> {
        let Value::List(items) = self.value(name)? else {
            return Err(self.error(name, FieldProblem::Kind("a list")));
        };
        Ok(items)
    }

    /// A list of maps, each with its place.
    ///
    /// # Errors
    /// The field is missing, no list, or an item is no map.
    pub fn maps(&self, name: &str) -> Result<Vec<Fields<'a>>, FieldError> {
        let path = self.path_of(name);
        self.list(name)?
            .iter()
            .enumerate()
            .map(|(at, item)| Fields::at(item, format!("{path}[{at}]")))
            .collect()
    }

    /// A list of texts.
    ///
    /// # Errors
    /// The field is missing, no list, or an item is no text.
    pub fn texts(&self, name: &str) -> Result<Vec<&'a str>, FieldError> {
        let items = self.list(name)?.iter().enumerate();
        items
            .map(|(at, item)| {
                let Value::Text(text) = item else {
                    return Err(self.error(&format!("{name}[{at}]"), FieldProblem::Kind("a text")));
                };
                Ok(text.as_str())
            })
            .collect()
    }

    /// Every entry as a map of its own, with its key.
    ///
    /// # Errors
    /// An entry is no map.
    pub fn each(&self) -> Result<Vec<(&'a str, Fields<'a>)>, FieldError> {
        let entries = self.map.iter();
        entries.map(|(key, value)| Ok((key.as_str(), Fields::at(value, self.path_of(key))?))).collect()
    }

    /// Refuses fields other than these: for documents whose version closes the list.
    ///
    /// # Errors
    /// The first field that is not named.
    pub fn only(&self, names: &[&str]) -> Result<(), FieldError> {
        match self.map.keys().find(|key| !names.contains(&key.as_str())) {
            Some(key) => Err(self.error(key, FieldProblem::Unknown)),
            None => Ok(()),
        }
    }

    /// An error about a field of this map, for checks beyond its kind.
    #[must_use]
    pub fn error(&self, name: &str, problem: FieldProblem) -> FieldError {
        FieldError { path: self.path_of(name), problem }
    }

    fn integer(&self, name: &str) -> Result<Integer, FieldError> {
        let Value::Integer(number) = self.value(name)? else {
            return Err(self.error(name, FieldProblem::Kind("a whole number")));
        };
        Ok(*number)
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

/// The bytes of hexadecimal digits of either case; nothing if a digit is wrong or one is missing.
#[must_use]
pub fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}

/// Bytes in lower-case hexadecimal digits.
#[must_use]
pub fn encode_hex(bytes: &[u8]) -> String {
    let nibble =
        |value: u8| char::from_digit(u32::from(value), 16).expect("a nibble is one hexadecimal digit");
    bytes.iter().flat_map(|byte| [nibble(byte >> 4), nibble(byte & 15)]).collect()
}
