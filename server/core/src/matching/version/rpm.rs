//! RPM's order: epoch, version, release, each part by `rpmvercmp` as of rpm 4.18.
//!
//! A version without an epoch compares as epoch 0, one without a release as older than the same with one: whoever judges
//! by an advisory that names neither must know that and say so. Read next: `apk.rs`.

use core::cmp::Ordering;

use super::{Number, take, take_digits};

/// A version in its three parts.
struct Version<'a> {
    epoch: &'a [u8],
    version: &'a [u8],
    release: Option<&'a [u8]>,
}

/// What stands at the front of a rest, from least to most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Head {
    /// `~`: older than nothing at all.
    Tilde,
    End,
    /// `^`: newer than nothing at all, older than anything else.
    Caret,
    Letters,
    Digits,
}

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (parse(a), parse(b));
    let epochs = Number::of(a.epoch).cmp(&Number::of(b.epoch));
    epochs.then_with(|| segments(a.version, b.version)).then_with(|| match (a.release, b.release) {
        (Some(a), Some(b)) => segments(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    })
}

pub(super) fn is_valid(text: &str) -> bool {
    let fits = |part: &[u8]| {
        part.iter().any(u8::is_ascii_alphanumeric)
            && part.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._+~^".contains(byte))
    };
    let version = parse(text);
    let epoch = !text.starts_with(':') && Number::of(version.epoch) <= Number::of(b"4294967295");
    epoch && fits(version.version) && version.release.is_none_or(fits)
}

/// The epoch is digits before a colon, a colon after anything else belongs to the version; the release stands after the
/// last hyphen.
fn parse(text: &str) -> Version<'_> {
    let digits = |epoch: &str| epoch.bytes().all(|byte| byte.is_ascii_digit());
    let (epoch, rest) = text.split_once(':').filter(|(epoch, _)| digits(epoch)).unwrap_or(("", text));
    let (version, release) = match rest.rsplit_once('-') {
        Some((version, release)) => (version, Some(release.as_bytes())),
        None => (rest, None),
    };
    Version { epoch: epoch.as_bytes(), version: version.as_bytes(), release }
}

/// Segment by segment; what is neither a letter nor a digit nor a sign of its own only parts them.
fn segments(mut a: &[u8], mut b: &[u8]) -> Ordering {
    loop {
        let heads = (head(&mut a), head(&mut b));
        let order = heads.0.cmp(&heads.1).then_with(|| match heads.0 {
            Head::Tilde | Head::Caret => {
                (a, b) = (a.get(1..).unwrap_or_default(), b.get(1..).unwrap_or_default());
                Ordering::Equal
            }
            Head::End => Ordering::Equal,
            Head::Letters => take(&mut a, is_letter).cmp(take(&mut b, is_letter)),
            Head::Digits => Number::of(take_digits(&mut a)).cmp(&Number::of(take_digits(&mut b))),
        });
        if order.is_ne() || heads.0 == Head::End {
            return order;
        }
    }
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic()
}

/// Drops what only parts segments, and says what comes.
fn head(rest: &mut &[u8]) -> Head {
    let _ = take(rest, |byte| !byte.is_ascii_alphanumeric() && byte != b'~' && byte != b'^');
    match rest.first() {
        Some(b'~') => Head::Tilde,
        None => Head::End,
        Some(b'^') => Head::Caret,
        Some(byte) if byte.is_ascii_digit() => Head::Digits,
        Some(_) => Head::Letters,
    }
}
