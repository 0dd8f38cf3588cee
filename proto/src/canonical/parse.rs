//! The strict JSON grammar (RFC 8259), one pass over the bytes, at most `limits::JSON_DEPTH` deep.
//!
//! It must never panic, recurse beyond the depth limit or read past the byte limit, and never accept two spellings
//! that mean different things to different readers: no duplicate key, no fraction or exponent, no leading zero, no
//! negative zero, no lone surrogate, no byte order mark, nothing but white space after the value.
//!
//! Read next: [`super::Value`].

use super::{Integer, Map, Value};
use crate::limits;
use alloc::string::String;
use alloc::vec::Vec;

/// What is wrong in a JSON document, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {problem}")]
pub struct ParseError {
    /// The byte at which it was noticed, from 0.
    pub at: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong in a JSON document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The document is longer than the caller allows.
    #[error("the document is longer than allowed")]
    TooLong,
    /// Lists and maps are nested deeper than [`limits::JSON_DEPTH`].
    #[error("lists and maps are nested too deep")]
    TooDeep,
    /// The document ends in the middle of a value.
    #[error("the document ends too early")]
    Unfinished,
    /// A byte that cannot stand here.
    #[error("this byte cannot stand here")]
    Unexpected,
    /// A key stands twice in one map.
    #[error("a key stands twice in one map")]
    DuplicateKey,
    /// A number with a fraction, an exponent, a leading zero or a negative zero.
    #[error("only plain whole numbers are allowed")]
    NotInteger,
    /// A number below −2⁶³ or above 2⁶⁴ − 1.
    #[error("the number is out of range")]
    OutOfRange,
    /// A text that is not UTF-8.
    #[error("the text is not UTF-8")]
    NotUtf8,
    /// A control character that stands unescaped in a text.
    #[error("a control character must be escaped")]
    Control,
    /// An escape that does not exist, or half of a surrogate pair.
    #[error("the escape is not allowed")]
    Escape,
    /// Something follows the value.
    #[error("something follows the document")]
    Trailing,
}

pub(super) fn parse(bytes: &[u8], limit: usize) -> Result<Value, ParseError> {
    if bytes.len() > limit {
        return Err(ParseError { at: limit, problem: Problem::TooLong });
    }
    let mut reader = Reader { bytes, at: 0 };
    reader.skip_space();
    let value = reader.value(0)?;
    reader.skip_space();
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.error(Problem::Trailing)),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, ParseError> {
        match self.need()? {
            b'{' => self.map(self.deeper(depth)?),
            b'[' => self.list(self.deeper(depth)?),
            b'"' => Ok(Value::Text(self.text()?)),
            b'-' | b'0'..=b'9' => self.integer(),
            b't' => self.word(b"true", Value::Bool(true)),
            b'f' => self.word(b"false", Value::Bool(false)),
            b'n' => self.word(b"null", Value::Null),
            _ => Err(self.error(Problem::Unexpected)),
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, ParseError> {
        let mut entries = Map::new();
        self.at += 1;
        self.skip_space();
        if self.take(b'}') {
            return Ok(Value::Map(entries));
        }
        loop {
            let key_at = self.at;
            if self.need()? != b'"' {
                return Err(self.error(Problem::Unexpected));
            }
            let key = self.text()?;
            if entries.contains_key(&key) {
                return Err(ParseError { at: key_at, problem: Problem::DuplicateKey });
            }
            self.skip_space();
            self.expect(b':')?;
            self.skip_space();
            let value = self.value(depth)?;
            entries.insert(key, value);
            if self.ends(b'}')? {
                return Ok(Value::Map(entries));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, ParseError> {
        let mut items = Vec::new();
        self.at += 1;
        self.skip_space();
        if self.take(b']') {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.ends(b']')? {
                return Ok(Value::List(items));
            }
        }
    }

    /// After an item: the closing byte ends the list or map, a comma asks for one more item.
    fn ends(&mut self, close: u8) -> Result<bool, ParseError> {
        self.skip_space();
        if self.take(close) {
            return Ok(true);
        }
        self.expect(b',')?;
        self.skip_space();
        Ok(false)
    }

    fn text(&mut self) -> Result<String, ParseError> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let start = self.at;
            while self.peek().is_some_and(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
                self.at += 1;
            }
            out.push_str(self.utf8(start)?);
            match self.need()? {
                b'"' => {
                    self.at += 1;
                    return Ok(out);
                }
                b'\\' => out.push(self.escape()?),
                _ => return Err(self.error(Problem::Control)),
            }
        }
    }

    /// The bytes from `start` to here as a text.
    fn utf8(&self, start: usize) -> Result<&str, ParseError> {
        let run = self.bytes.get(start..self.at).unwrap_or_default();
        core::str::from_utf8(run)
            .map_err(|error| ParseError { at: start + error.valid_up_to(), problem: Problem::NotUtf8 })
    }

    fn escape(&mut self) -> Result<char, ParseError> {
        self.at += 1;
        let byte = self.need()?;
        self.at += 1;
        match byte {
            b'"' | b'\\' | b'/' => Ok(char::from(byte)),
            b'b' => Ok('\u{8}'),
            b'f' => Ok('\u{c}'),
            b'n' => Ok('\n'),
            b'r' => Ok('\r'),
            b't' => Ok('\t'),
            b'u' => self.unicode(),
            _ => Err(self.error(Problem::Escape)),
        }
    }

    /// The character of `\uXXXX`, or of a surrogate pair `\uD8XX\uDCXX` (RFC 8259 section 7).
    fn unicode(&mut self) -> Result<char, ParseError> {
        let high = self.four_hex_digits()?;
        let code = match high {
            0xD800..0xDC00 => {
                if !(self.take(b'\\') && self.take(b'u')) {
                    return Err(self.error(Problem::Escape));
                }
                let low = self.four_hex_digits()?;
                if !(0xDC00..0xE000).contains(&low) {
                    return Err(self.error(Problem::Escape));
                }
                0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
            }
            other => other,
        };
        // A lone low surrogate is no character.
        char::from_u32(code).ok_or_else(|| self.error(Problem::Escape))
    }

    fn four_hex_digits(&mut self) -> Result<u32, ParseError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = char::from(self.need()?).to_digit(16).ok_or_else(|| self.error(Problem::Escape))?;
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    fn integer(&mut self) -> Result<Value, ParseError> {
        let start = self.at;
        let negative = self.take(b'-');
        let first = self.need()?;
        let mut magnitude: u64 = 0;
        let mut digits = 0_usize;
        while let Some(byte @ b'0'..=b'9') = self.peek() {
            magnitude = magnitude
                .checked_mul(10)
                .and_then(|tens| tens.checked_add(u64::from(byte - b'0')))
                .ok_or(ParseError { at: start, problem: Problem::OutOfRange })?;
            digits += 1;
            self.at += 1;
        }
        let fraction = matches!(self.peek(), Some(b'.' | b'e' | b'E'));
        let leading_zero = first == b'0' && (digits > 1 || negative);
        if digits == 0 || fraction || leading_zero {
            return Err(ParseError { at: start, problem: Problem::NotInteger });
        }
        if negative && magnitude > i64::MIN.unsigned_abs() {
            return Err(ParseError { at: start, problem: Problem::OutOfRange });
        }
        Ok(Value::Integer(Integer { negative, magnitude }))
    }

    fn word(&mut self, word: &[u8], value: Value) -> Result<Value, ParseError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.starts_with(word) {
            self.at += word.len();
            return Ok(value);
        }
        let problem = if word.starts_with(rest) { Problem::Unfinished } else { Problem::Unexpected };
        Err(self.error(problem))
    }

    fn deeper(&self, depth: usize) -> Result<usize, ParseError> {
        if depth < limits::JSON_DEPTH { Ok(depth + 1) } else { Err(self.error(Problem::TooDeep)) }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, wanted: u8) -> Result<(), ParseError> {
        self.need()?;
        if self.take(wanted) { Ok(()) } else { Err(self.error(Problem::Unexpected)) }
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn need(&self) -> Result<u8, ParseError> {
        self.peek().ok_or_else(|| self.error(Problem::Unfinished))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn error(&self, problem: Problem) -> ParseError {
        ParseError { at: self.at, problem }
    }
}
