//! How versions of devices' software stand.
//!
//! Makers of devices follow no scheme: `B.06.18`, `L81`, `2.4A`, `v20D32`. Numbers are compared as numbers and single letters
//! as letters; everything else has no order, and a comparison without an answer ends as unknown, never as safe. That one
//! text is only more precise than the other is told apart, for `9.33` may speak of every `9.33.n`. Read next:
//! [`super::span`], which asks.

use core::cmp::Ordering;

use cordon_proto::limits;

/// How one version stands to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Before it.
    Below {
        /// The other only says more of the same: `9` before `9.3`.
        coarse: bool,
    },
    /// The same.
    At,
    /// One of the series that the other names: `3.1` of `3.x`.
    Within,
    /// Behind it.
    Above {
        /// It only says more of the same: `9.3` behind `9`.
        finer: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece<'a> {
    /// Digits without leading zeros.
    Number(&'a str),
    Word(&'a str),
    /// Any end: `x` or `*` as the last piece.
    Any,
}

/// How `a` stands to `b`; `None` where nobody can say.
#[must_use]
pub fn compare(a: &str, b: &str) -> Option<Standing> {
    if !(is_version(a) && is_version(b)) {
        return None;
    }
    let (mut left, mut right) = (Pieces(bare(a)), Pieces(bare(b)));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Some(Standing::At),
            (_, Some(Piece::Any)) => return Some(Standing::Within),
            (Some(Piece::Any), _) => return None,
            (Some(piece), None) => {
                return ends(piece, left).map(|finer| if finer { ABOVE } else { Standing::At });
            }
            (None, Some(piece)) => {
                return ends(piece, right).map(|more| if more { BELOW } else { Standing::At });
            }
            (Some(Piece::Number(a)), Some(Piece::Number(b))) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            (Some(Piece::Word(a)), Some(Piece::Word(b))) => words(a, b)?,
            (Some(Piece::Number(_)), Some(Piece::Word(_)))
            | (Some(Piece::Word(_)), Some(Piece::Number(_))) => {
                return None;
            }
        };
        match order {
            Ordering::Less => return Some(Standing::Below { coarse: false }),
            Ordering::Equal => {}
            Ordering::Greater => return Some(Standing::Above { finer: false }),
        }
    }
}

const ABOVE: Standing = Standing::Above { finer: true };
const BELOW: Standing = Standing::Below { coarse: true };

/// Whether a text can be the version of a device: short, letters, digits and the usual signs, one digit or one letter.
#[must_use]
pub fn is_version(text: &str) -> bool {
    let sign = |byte: u8| matches!(byte, b'.' | b'-' | b'_' | b'+' | b':' | b' ' | b'*');
    let fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || sign(byte));
    let one = text.bytes().any(|byte| byte.is_ascii_digit()) || bare(text).len() == 1;
    fits && one
        && text.len() <= limits::VERSION_CHARS
        && text.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

/// The text without the word for "version" before it.
fn bare(text: &str) -> &str {
    let mut rest = text.trim();
    for word in
        ["versions", "version", "release", "revision", "firmware", "software", "rev.", "rev ", "ver.", "ver "]
    {
        let front = rest.get(..word.len()).filter(|front| front.eq_ignore_ascii_case(word));
        if front.is_some() {
            rest = rest.get(word.len()..).unwrap_or_default().trim_start();
        }
    }
    let short = rest.strip_prefix(['v', 'V']).map(|rest| rest.trim_start_matches(['.', ' ']));
    short.filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit())).unwrap_or(rest)
}

/// Whether what is left says more than nothing: zeros do not. `None` where a word is left, which may stand before or behind.
fn ends(first: Piece<'_>, rest: Pieces<'_>) -> Option<bool> {
    let mut more = false;
    for piece in core::iter::once(first).chain(rest) {
        match piece {
            Piece::Number(digits) => more |= !digits.is_empty(),
            Piece::Word(_) | Piece::Any => return None,
        }
    }
    Some(more)
}

/// Single letters count as in the alphabet; of longer words only equal ones can be compared.
fn words(a: &str, b: &str) -> Option<Ordering> {
    let lower = |text: &str| text.bytes().next().map(|byte| byte.to_ascii_lowercase());
    if a.eq_ignore_ascii_case(b) {
        return Some(Ordering::Equal);
    }
    (a.len() == 1 && b.len() == 1).then(|| lower(a).cmp(&lower(b)))
}

/// Runs of digits and of letters, signs left out.
#[derive(Clone, Copy)]
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let rest = self.0.trim_start_matches(|sign: char| !sign.is_ascii_alphanumeric() && sign != '*');
        let first = rest.chars().next()?;
        let same = |other: char| {
            first.is_ascii_digit() == other.is_ascii_digit() && other.is_ascii_alphanumeric() && first != '*'
        };
        let end = rest.find(|other| !same(other)).unwrap_or(rest.len()).max(1);
        let (piece, left) = rest.split_at_checked(end)?;
        self.0 = left;
        let last = !left.contains(|sign: char| sign.is_ascii_alphanumeric());
        Some(match piece {
            "x" | "X" | "*" if last => Piece::Any,
            digits if first.is_ascii_digit() => Piece::Number(digits.trim_start_matches('0')),
            word => Piece::Word(word),
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use proptest::prelude::*;

    use super::*;

    fn said(a: &str, b: &str) -> Option<&'static str> {
        compare(a, b).map(|standing| match standing {
            Standing::Below { coarse: false } => "<",
            Standing::Below { coarse: true } => "<~",
            Standing::At => "=",
            Standing::Within => "in",
            Standing::Above { finer: false } => ">",
            Standing::Above { finer: true } => ">~",
        })
    }

    #[test]
    fn versions_of_devices_stand_as_far_as_anybody_can_say() {
        // Goal: what makers write is compared, and nothing is guessed. Method: the forms of real advisories, golden.
        for (a, b, wanted) in [
            ("1.10", "1.9", Some(">")),
            ("B.06.17", "B.06.18", Some("<")),
            ("A.02", "B.01", Some("<")),
            ("L80", "L81", Some("<")),
            ("012U000060", "012U000061", Some("<")),
            ("K", "N", Some("<")),
            ("v20D32", "20D32", Some("=")),
            ("Version 2.0", "2", Some("=")),
            ("Rev B", "c", Some("<")),
            ("2.3.9", "2.4A", Some("<")),
            ("2.4", "2.4A", None),
            ("9.33.1", "9.33", Some(">~")),
            ("9", "9.33", Some("<~")),
            ("1.0", "1.0.0", Some("=")),
            ("3.1", "3.x", Some("in")),
            ("2.9", "3.x", Some("<")),
            ("4", "3.*", Some(">")),
            ("3.x", "3.1", None),
            ("1.8.3", "1.8.4 Service Pack 01", Some("<")),
            ("1.8.4", "1.8.4 Service Pack 01", None),
            ("4.1", "july 1 2017", None),
            ("1.1", "GEH-1.1", None),
            ("1.0", "", None),
            ("1.0", "1.0 (US)", None),
            ("99999999999999999999999", "100000000000000000000000", Some("<")),
        ] {
            assert_eq!(said(a, b), wanted, "{a} and {b}");
        }
    }

    proptest! {
        #[test]
        fn an_order_turns_round(a in "[vA-C]?[0-3]{1,2}([.-][0-2A-C]){0,3}", b in "[vA-C]?[0-3]{1,2}([.-][0-2A-C]){0,3}") {
            // Goal: no pair is both below and above. Method: random pairs, both ways.
            let turned = |standing: Option<Standing>| standing.map(|standing| match standing {
                Standing::Below { coarse } => Standing::Above { finer: coarse },
                Standing::Above { finer } => Standing::Below { coarse: finer },
                Standing::At | Standing::Within => standing,
            });
            prop_assert_eq!(compare(&a, &b), turned(compare(&b, &a)));
            prop_assert_eq!(compare(&a, &a), Some(Standing::At));
        }

        #[test]
        fn no_text_breaks_it(a in any::<String>(), b in "\\PC{0,20}") {
            // Goal: no stranger's text ends the program. Method: any text.
            let _ = (compare(&a, &b), compare(&b, &a));
        }
    }
}
