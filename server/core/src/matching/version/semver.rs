//! Semantic versions as the OSV schema uses them: Semantic Versioning 2.0.0 section 11, with numbers that may be missing
//! and may be of any length, and a leading `v` dropped.
//!
//! Read next: `pep440.rs`.

use core::cmp::Ordering;

use super::{Number, skip, take_digits};

/// What counts of a version.
struct Version<'a> {
    numbers: [&'a [u8]; 3],
    /// What stands after the first hyphen behind the numbers: the version comes before the one without.
    before: Option<&'a [u8]>,
    /// Whether a fourth number came, which only OSV knows how to drop.
    more: bool,
}

/// An identifier of a pre-release; the order of the variants is the order of identifiers.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Identifier<'a> {
    Number(Number<'a>),
    Text(&'a [u8]),
}

pub(super) fn compare(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (parse(a)?, parse(b)?);
    let numbers = a.numbers.iter().map(|digits| Number::of(digits));
    let order = numbers.cmp(b.numbers.iter().map(|digits| Number::of(digits)));
    Some(order.then_with(|| match (a.before, b.before) {
        (Some(a), Some(b)) => identifiers(a).cmp(identifiers(b)),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }))
}

pub(super) fn is_valid(text: &str) -> bool {
    let named = |part: &[u8]| {
        !part.is_empty() && part.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    // A number has no leading zero; a text may.
    let plain = |part: &[u8]| part == b"0" || !part.starts_with(b"0") || !part.iter().all(u8::is_ascii_digit);
    let built = text.split_once('+').is_none_or(|(_, build)| parts(build.as_bytes()).all(named));
    built
        && parse(text).is_some_and(|version| {
            !version.more
                && version.numbers.iter().all(|digits| plain(digits))
                && version.before.is_none_or(|before| parts(before).all(|part| named(part) && plain(part)))
        })
}

/// What was built from it is no part of its order.
fn parse(text: &str) -> Option<Version<'_>> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (text, _build) = text.split_once('+').unwrap_or((text, ""));
    let (mut rest, mut numbers) = (text.as_bytes(), [&[][..]; 3]);
    let mut more = true;
    for number in &mut numbers {
        *number = Some(take_digits(&mut rest)).filter(|digits| !digits.is_empty())?;
        more = skip(&mut rest, b'.');
        if !more {
            break;
        }
    }
    if more {
        // From the fourth number on it is build.
        let fourth = rest.first().is_some_and(u8::is_ascii_digit);
        return fourth.then_some(Version { numbers, before: None, more });
    }
    let before = skip(&mut rest, b'-').then_some(rest);
    (before.is_some() || rest.is_empty()).then_some(Version { numbers, before, more })
}

fn parts(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'.')
}

fn identifiers(before: &[u8]) -> impl Iterator<Item = Identifier<'_>> {
    parts(before).map(|part| {
        let number = !part.is_empty() && part.iter().all(u8::is_ascii_digit);
        if number { Identifier::Number(Number::of(part)) } else { Identifier::Text(part) }
    })
}
