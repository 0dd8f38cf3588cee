//! Reading JSON that strangers wrote: how deep it nests is known before it is parsed, how long a list is while it is.
//!
//! `serde_json` itself stops at 128 levels and at no length. Readers of feeds and papers use these two, closed structs, and
//! nothing that keeps what it does not know. Read next: [`super::osv`], which is built of them.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use cordon_proto::limits;
use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, SeqAccess, Visitor};

/// Why a document is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Longer than its limit.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// Nested more deeply than any document is read.
    #[error("it is nested more deeply than {} levels", limits::JSON_DEPTH)]
    TooDeep,
    /// No JSON at all.
    #[error("it is no JSON: {0}")]
    NoJson(String),
    /// JSON of another form, or more of something than is read.
    #[error("it has another form: {0}")]
    OtherForm(String),
}

impl Refused {
    /// A word to count it by.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "too-long",
            Self::TooDeep => "too-deep",
            Self::NoJson(_) => "no-json",
            Self::OtherForm(_) => "other-form",
        }
    }
}

/// Reads a document of at most `length` bytes.
///
/// # Errors
/// It is too long, too deep, or has another form.
pub fn read<T: DeserializeOwned>(bytes: &[u8], length: usize) -> Result<T, Refused> {
    if bytes.len() > length {
        return Err(Refused::TooLong(length));
    }
    if !depth_within(bytes, limits::JSON_DEPTH) {
        return Err(Refused::TooDeep);
    }
    serde_json::from_slice(bytes).map_err(|error| refused(&error))
}

/// The refusal behind an error of the parser.
#[must_use]
pub fn refused(error: &serde_json::Error) -> Refused {
    if error.is_data() { Refused::OtherForm(error.to_string()) } else { Refused::NoJson(error.to_string()) }
}

/// Whether a document nests at most `depth` levels deep; one pass, whatever the bytes are.
#[must_use]
pub fn depth_within(bytes: &[u8], depth: usize) -> bool {
    let (mut level, mut text, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if text => escaped = true,
            b'"' => text = !text,
            _ if text => {}
            b'[' | b'{' => level += 1,
            b']' | b'}' => level = level.saturating_sub(1),
            _ => {}
        }
        if level > depth {
            return false;
        }
    }
    true
}

/// A list of at most `MOST` items; `null` is an empty one. A longer one is refused while it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtMost<T, const MOST: usize>(pub Vec<T>);

impl<T, const MOST: usize> Default for AtMost<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for AtMost<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(List::<T, MOST>(PhantomData))
    }
}

struct List<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for List<T, MOST> {
    type Value = AtMost<T, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MOST}")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(AtMost::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            if list.len() == MOST {
                return Err(de::Error::invalid_length(MOST + 1, &self));
            }
            list.push(item);
        }
        Ok(AtMost(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_texts() {
        // Goal: no stack is spent on a stranger. Method: at the limit, above it, brackets inside texts, broken texts.
        assert!(depth_within(b"[[1],[{}]]", 3) && !depth_within(b"[[1],[{}]]", 2));
        assert!(depth_within(br#"["[[[[\"[[[", "]"]"#, 1));
        assert!(depth_within(b"]]]]", 1) && depth_within(b"\"[[[[", 0) && depth_within(b"", 0));
        let deep = "[".repeat(100_000);
        assert_eq!(read::<AtMost<u8, 4>>(deep.as_bytes(), 200_000), Err(Refused::TooDeep));
        assert_eq!(read::<AtMost<u8, 4>>(deep.as_bytes(), 20), Err(Refused::TooLong(20)));
    }

    #[test]
    fn lists_end_at_their_limit() {
        // Goal: a list of a stranger takes the memory that we say. Method: at the limit, above it, none, another form.
        let list = |text: &str| read::<AtMost<u8, 2>>(text.as_bytes(), 100);
        assert_eq!(list("[1,2]"), Ok(AtMost(alloc::vec![1, 2])));
        assert_eq!(list("null"), Ok(AtMost::default()));
        for text in ["[1,2,3]", "{}", "[\"a\"]"] {
            assert_eq!(list(text).map_err(|refused| refused.word()), Err("other-form"), "{text}");
        }
        for text in ["[1,", "", "x"] {
            assert_eq!(list(text).map_err(|refused| refused.word()), Err("no-json"), "{text}");
        }
    }
}
