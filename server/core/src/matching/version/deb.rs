//! Debian's order: epoch, upstream version, revision (deb-version(7), Debian policy 5.6.12).
//!
//! What dpkg refuses has no order here. What dpkg only warns of is compared as dpkg does, and is no valid version. Read
//! next: `rpm.rs`, which looks alike and is not.

use core::cmp::Ordering;

use super::{Number, take, take_digits};

/// A version in its three parts.
struct Version<'a> {
    epoch: u32,
    upstream: &'a [u8],
    revision: &'a [u8],
}

pub(super) fn compare(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (parse(a)?, parse(b)?);
    let parts = a.epoch.cmp(&b.epoch).then_with(|| part(a.upstream, b.upstream));
    Some(parts.then_with(|| part(a.revision, b.revision)))
}

pub(super) fn is_valid(text: &str) -> bool {
    let fits = |part: &[u8], more: &[u8]| part.iter().all(|b| b.is_ascii_alphanumeric() || more.contains(b));
    parse(text).is_some_and(|version| {
        version.upstream.first().is_some_and(u8::is_ascii_digit)
            && fits(version.upstream, b".+-~:")
            && fits(version.revision, b".+~")
    })
}

/// The epoch stands before the first colon, the revision after the last hyphen; a part that is there is not empty.
fn parse(text: &str) -> Option<Version<'_>> {
    if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        return None;
    }
    let (epoch, rest) = match text.split_once(':') {
        Some((digits, rest)) => (epoch(digits)?, rest),
        None => (0, text),
    };
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
    let whole = !upstream.is_empty() && !revision.is_empty();
    whole.then_some(Version { epoch, upstream: upstream.as_bytes(), revision: revision.as_bytes() })
}

/// A number that dpkg can hold: at most 2^31 - 1.
fn epoch(digits: &str) -> Option<u32> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse::<i32>().ok())?.and_then(|epoch| u32::try_from(epoch).ok())
}

/// Alternately what is no digit, by weight, and what is, by value.
fn part(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = unlike(a, b);
    while !(a.is_empty() && b.is_empty()) {
        let words = (take(&mut a, no_digit), take(&mut b, no_digit));
        let numbers = (take_digits(&mut a), take_digits(&mut b));
        let order = word(words.0, words.1).then_with(|| Number::of(numbers.0).cmp(&Number::of(numbers.1)));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Both from where they first differ, or from the number that they differ in: most versions begin alike.
fn unlike<'a>(a: &'a [u8], b: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let alike = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let digits = a.iter().take(alike).rev().take_while(|byte| byte.is_ascii_digit()).count();
    let from = alike - digits;
    (a.get(from..).unwrap_or_default(), b.get(from..).unwrap_or_default())
}

fn no_digit(byte: u8) -> bool {
    !byte.is_ascii_digit()
}

fn word(a: &[u8], b: &[u8]) -> Ordering {
    let weights = |at: usize| (weight(a.get(at)), weight(b.get(at)));
    let differs = (0..a.len().max(b.len())).map(weights).find(|(a, b)| a != b);
    differs.map_or(Ordering::Equal, |(a, b)| a.cmp(&b))
}

/// `~` is before everything, even the end; then the end, letters, all else.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(*letter),
        Some(other) => i32::from(*other) + 256,
    }
}
