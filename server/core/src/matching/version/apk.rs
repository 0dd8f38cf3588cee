//! Alpine's order, as apk-tools 3 compares: token by token.
//!
//! apk compares even what it does not read; so does this, and [`is_valid`] is false for it. Read next: `semver.rs`.

use core::cmp::Ordering;

use super::{Number, skip, take, take_digits};

/// The kinds of tokens. Where two versions differ in kind, the *earlier* kind is the newer version: `1.1` is newer than
/// `1a`, that than `1_p1`, that than `1-r1`, that than `1`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// The first number.
    First,
    /// A further number, after a dot.
    Number,
    /// One letter.
    Letter,
    /// The number right after it, as in `6.6.2p1`.
    LetterNumber,
    /// `_rc` and its kin.
    Suffix,
    SuffixNumber,
    /// The commit of a snapshot.
    Hash,
    /// The package's own revision.
    Revision,
    End,
    /// From here on it is no version: all that is left.
    Invalid,
}

#[derive(Clone, Copy)]
struct Token<'a> {
    kind: Kind,
    text: &'a [u8],
}

/// The tokens of one version; after `End` or `Invalid` nobody asks for more.
struct Tokens<'a> {
    rest: &'a [u8],
    last: Option<Kind>,
}

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (Tokens::of(a), Tokens::of(b));
    loop {
        let (left, right) = (a.next(), b.next());
        if left.kind != right.kind {
            return unlike(left, right);
        }
        let order = alike(left, right);
        if order.is_ne() || left.kind >= Kind::End {
            return order;
        }
    }
}

pub(super) fn is_valid(text: &str) -> bool {
    let mut tokens = Tokens::of(text);
    loop {
        let kind = tokens.next().kind;
        if kind >= Kind::End {
            return kind == Kind::End;
        }
    }
}

/// Two tokens of different kinds: what comes before the version proper is older than whatever the other has.
fn unlike(left: Token<'_>, right: Token<'_>) -> Ordering {
    match (left.is_before(), right.is_before()) {
        (true, _) => Ordering::Less,
        (_, true) => Ordering::Greater,
        (false, false) => right.kind.cmp(&left.kind),
    }
}

/// Two tokens of one kind.
fn alike(left: Token<'_>, right: Token<'_>) -> Ordering {
    let as_text = || left.text.cmp(right.text);
    let as_number = || Number::of(left.text).cmp(&Number::of(right.text));
    match left.kind {
        Kind::Number if left.text.starts_with(b"0") || right.text.starts_with(b"0") => as_text(),
        Kind::First | Kind::Number | Kind::LetterNumber | Kind::SuffixNumber | Kind::Revision => as_number(),
        Kind::Suffix => suffix(left.text).cmp(&suffix(right.text)),
        Kind::Letter | Kind::Hash | Kind::End | Kind::Invalid => as_text(),
    }
}

/// The place of a suffix: below zero before the version proper, above after it.
fn suffix(word: &[u8]) -> Option<i8> {
    Some(match word {
        b"alpha" => -4,
        b"beta" => -3,
        b"pre" => -2,
        b"rc" => -1,
        b"cvs" => 1,
        b"svn" => 2,
        b"git" => 3,
        b"hg" => 4,
        b"p" => 5,
        _ => return None,
    })
}

impl Token<'_> {
    fn is_before(&self) -> bool {
        self.kind == Kind::Suffix && suffix(self.text).is_some_and(|place| place < 0)
    }
}

impl<'a> Tokens<'a> {
    fn of(text: &'a str) -> Self {
        Self { rest: text.as_bytes(), last: None }
    }

    fn next(&mut self) -> Token<'a> {
        let all = self.rest;
        let token = self.read().unwrap_or(Token { kind: Kind::Invalid, text: all });
        self.last = Some(token.kind);
        token
    }

    /// The next token; `None` where what is left is none that may stand here.
    fn read(&mut self) -> Option<Token<'a>> {
        let Some((first, after)) = self.rest.split_first() else {
            return self.last.map(|_| Token { kind: Kind::End, text: self.rest });
        };
        let Some(last) = self.last else { return self.number(Kind::First) };
        match *first {
            b'.' if last <= Kind::Number => {
                self.rest = after;
                self.number(Kind::Number)
            }
            b'a'..=b'z' if last <= Kind::Number => {
                let (letter, rest) = self.rest.split_at_checked(1)?;
                self.rest = rest;
                Some(Token { kind: Kind::Letter, text: letter })
            }
            b'0'..=b'9' if last == Kind::Letter => self.number(Kind::LetterNumber),
            b'0'..=b'9' if last == Kind::Suffix => self.number(Kind::SuffixNumber),
            b'_' if last <= Kind::SuffixNumber => {
                self.rest = after;
                let text = take(&mut self.rest, |byte| byte.is_ascii_lowercase());
                suffix(text).map(|_| Token { kind: Kind::Suffix, text })
            }
            b'~' if last < Kind::Hash => {
                self.rest = after;
                let text = take(&mut self.rest, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                (!text.is_empty()).then_some(Token { kind: Kind::Hash, text })
            }
            b'-' if last < Kind::Revision => self.revision(after),
            _ => None,
        }
    }

    fn number(&mut self, kind: Kind) -> Option<Token<'a>> {
        let text = take_digits(&mut self.rest);
        (!text.is_empty()).then_some(Token { kind, text })
    }

    /// `r` and digits; none are zero, but only at the very end.
    fn revision(&mut self, mut after: &'a [u8]) -> Option<Token<'a>> {
        let named = skip(&mut after, b'r');
        let text = take_digits(&mut after);
        self.rest = after;
        (named && (!text.is_empty() || after.is_empty())).then_some(Token { kind: Kind::Revision, text })
    }
}
