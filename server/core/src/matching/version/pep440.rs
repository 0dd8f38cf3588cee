//! Python's order: PEP 440, with its normal forms read and everything else refused.
//!
//! What is no version by that definition has no order: the "legacy" ones of old tools had one that nobody defines any
//! more. Read next: `tests.rs` for the vectors of all schemes.

use core::cmp::Ordering;

use super::{Number, skip, take_digits};

/// What counts of a version.
struct Version<'a> {
    epoch: Number<'a>,
    release: &'a [u8],
    key: Key<'a>,
    local: Option<&'a [u8]>,
}

/// What follows the release; the order of the fields is the order of versions.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    stage: Stage<'a>,
    post: Option<Number<'a>>,
    dev: Dev<'a>,
}

/// Where a version stands before its release; one that is only in development stands before all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage<'a> {
    Development,
    Before(Phase, Number<'a>),
    Release,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Alpha,
    Beta,
    Candidate,
}

/// What is in development comes before what it becomes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Dev<'a> {
    Number(Number<'a>),
    Not,
}

/// The words for a phase; longer ones before those that they begin with.
const PHASES: [(&[u8], Phase); 8] = [
    (b"alpha", Phase::Alpha),
    (b"a", Phase::Alpha),
    (b"beta", Phase::Beta),
    (b"b", Phase::Beta),
    (b"preview", Phase::Candidate),
    (b"pre", Phase::Candidate),
    (b"rc", Phase::Candidate),
    (b"c", Phase::Candidate),
];
/// The words for what comes after a release.
const POST: [(&[u8], ()); 3] = [(b"post", ()), (b"rev", ()), (b"r", ())];
/// The word for what is in development.
const DEV: [(&[u8], ()); 1] = [(b"dev", ())];

pub(super) fn compare(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (parse(a)?, parse(b)?);
    let order = a.epoch.cmp(&b.epoch).then_with(|| release(a.release, b.release));
    Some(order.then_with(|| a.key.cmp(&b.key)).then_with(|| match (a.local, b.local) {
        (Some(a), Some(b)) => local(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }))
}

pub(super) fn is_valid(text: &str) -> bool {
    parse(text).is_some()
}

fn parse(text: &str) -> Option<Version<'_>> {
    let text = text.trim();
    let (public, local) = match text.split_once('+') {
        Some((public, local)) => (public, Some(local.as_bytes())),
        None => (text, None),
    };
    let mut rest = public.strip_prefix(['v', 'V']).unwrap_or(public).as_bytes();
    let before = rest;
    let epoch = take_digits(&mut rest);
    let epoch = if skip(&mut rest, b'!') && !epoch.is_empty() {
        Number::of(epoch)
    } else {
        rest = before;
        Number::of(b"0")
    };
    let release = take_release(&mut rest)?;
    let phase = take_labelled(&mut rest, &PHASES);
    let post = take_post(&mut rest);
    let dev = take_labelled(&mut rest, &DEV);
    let stage = match phase {
        Some((phase, number)) => Stage::Before(phase, number),
        None if post.is_none() && dev.is_some() => Stage::Development,
        None => Stage::Release,
    };
    let key = Key { stage, post, dev: dev.map_or(Dev::Not, |((), number)| Dev::Number(number)) };
    let named = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_alphanumeric);
    let whole = rest.is_empty() && local.is_none_or(|local| parts(local).all(named));
    whole.then_some(Version { epoch, release, key, local })
}

/// Numbers with dots between them; a dot without a number behind it is left.
fn take_release<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let all = *rest;
    let first = take_digits(rest);
    loop {
        let mut after = *rest;
        if !skip(&mut after, b'.') || take_digits(&mut after).is_empty() {
            break;
        }
        *rest = after;
    }
    (!first.is_empty()).then(|| all.get(..all.len() - rest.len()))?
}

/// `.post2`, `r2` and their kin, or a hyphen and a number.
fn take_post<'a>(rest: &mut &'a [u8]) -> Option<Number<'a>> {
    let mut after = *rest;
    let digits = if skip(&mut after, b'-') { take_digits(&mut after) } else { &[] };
    if digits.is_empty() {
        return take_labelled(rest, &POST).map(|((), number)| number);
    }
    *rest = after;
    Some(Number::of(digits))
}

/// One of the words in any case, perhaps with a separator before and behind it, and its number, zero if none is given.
fn take_labelled<'a, T: Copy>(rest: &mut &'a [u8], labels: &[(&[u8], T)]) -> Option<(T, Number<'a>)> {
    let mut after = *rest;
    skip_separator(&mut after);
    let (label, mut after) = labels.iter().find_map(|(word, label)| {
        let (head, after) = after.split_at_checked(word.len())?;
        head.eq_ignore_ascii_case(word).then_some((*label, after))
    })?;
    skip_separator(&mut after);
    let number = Number::of(take_digits(&mut after));
    *rest = after;
    Some((label, number))
}

fn skip_separator(rest: &mut &[u8]) {
    let _ = skip(rest, b'.') || skip(rest, b'-') || skip(rest, b'_');
}

/// Number by number; those that are missing are zero.
fn release(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (parts(a), parts(b));
    loop {
        let (left, right) = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (left, right) => (left.unwrap_or_default(), right.unwrap_or_default()),
        };
        let order = Number::of(left).cmp(&Number::of(right));
        if order.is_ne() {
            return order;
        }
    }
}

/// Part by part; a number is more than a text, and more parts are more.
fn local(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (parts(a), parts(b));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (Some(a), Some(b)) => local_part(a, b),
            (a, b) => return a.is_some().cmp(&b.is_some()),
        };
        if order.is_ne() {
            return order;
        }
    }
}

fn local_part(a: &[u8], b: &[u8]) -> Ordering {
    let number = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    match (number(a), number(b)) {
        (true, true) => Number::of(a).cmp(&Number::of(b)),
        (false, false) => {
            let lower = |part: &u8| part.to_ascii_lowercase();
            a.iter().map(lower).cmp(b.iter().map(lower))
        }
        (a, b) => a.cmp(&b),
    }
}

fn parts(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b'.' | b'-' | b'_'))
}
