//! Which of two versions is newer, by the rules of the world that they come from.
//!
//! Each packaging world has an order of its own, and a comparison by the wrong one calls weak software safe: an epoch lost,
//! a `~` after the end, a number cut at 64 bits. So every order is written out here from its definition, one file each,
//! over borrowed bytes and without allocating. What has no answer is `None` and must end as *unknown*, never as safe.
//! Texts are compared as they are; nothing here guesses a scheme. Read next: [`compare`], then the file of a scheme.

use core::cmp::Ordering;

use cordon_proto::limits;

mod apk;
mod deb;
mod pep440;
#[cfg(test)]
mod properties;
mod rpm;
mod semver;
#[cfg(test)]
mod tests;

/// Whose order applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Debian and what is derived from it.
    Deb,
    /// RPM: Red Hat, SUSE and their kin.
    Rpm,
    /// Alpine.
    Apk,
    /// Semantic versions as the OSV schema uses them: npm, crates.io, Go and others.
    Semver,
    /// Python packages.
    Pep440,
    /// No order is known: nothing can be compared.
    None,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Deb, Self::Rpm, Self::Apk, Self::Semver, Self::Pep440, Self::None];

    /// Its name on a command line and in evidence.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
            Self::Apk => "apk",
            Self::Semver => "semver",
            Self::Pep440 => "pep440",
            Self::None => "none",
        }
    }
}

/// How `a` stands to `b`; `None` where the scheme has no answer, as for a text that its own tools refuse.
///
/// Some schemes answer for texts that are no versions of theirs, because their tools do. Whoever judges by the answer
/// asks [`is_valid`] of both sides as well.
#[must_use]
pub fn compare(scheme: Scheme, a: &str, b: &str) -> Option<Ordering> {
    if a.is_empty() || b.is_empty() || a.len().max(b.len()) > limits::VERSION_CHARS {
        return None;
    }
    match scheme {
        Scheme::Deb => deb::compare(a, b),
        Scheme::Rpm => Some(rpm::compare(a, b)),
        Scheme::Apk => Some(apk::compare(a, b)),
        Scheme::Semver => semver::compare(a, b),
        Scheme::Pep440 => pep440::compare(a, b),
        Scheme::None => None,
    }
}

/// Whether `version` is one by the scheme's own grammar. A match with one that is not must end as unknown.
#[must_use]
pub fn is_valid(scheme: Scheme, version: &str) -> bool {
    let judge = match scheme {
        Scheme::Deb => deb::is_valid,
        Scheme::Rpm => rpm::is_valid,
        Scheme::Apk => apk::is_valid,
        Scheme::Semver => semver::is_valid,
        Scheme::Pep440 => pep440::is_valid,
        Scheme::None => return false,
    };
    !version.is_empty() && version.len() <= limits::VERSION_CHARS && judge(version)
}

/// A run of digits by its value, however many they are: leading zeros say nothing, then more digits are more, then the
/// first that differs decides. No digits at all are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Number<'a> {
    // The order of the fields is the order of numbers.
    length: usize,
    digits: &'a [u8],
}

impl<'a> Number<'a> {
    fn of(digits: &'a [u8]) -> Self {
        let mut digits = digits;
        let _ = take(&mut digits, |byte| byte == b'0');
        Self { length: digits.len(), digits }
    }
}

/// Takes the longest run of bytes that fit off the front of `rest`.
fn take<'a>(rest: &mut &'a [u8], fits: impl Fn(u8) -> bool) -> &'a [u8] {
    let length = rest.iter().position(|byte| !fits(*byte)).unwrap_or(rest.len());
    let (run, left) = rest.split_at(length);
    *rest = left;
    run
}

/// Takes a run of digits off the front of `rest`; it may be empty.
fn take_digits<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    take(rest, |byte| byte.is_ascii_digit())
}

/// Takes `byte` off the front of `rest`, if it stands there.
fn skip(rest: &mut &[u8], byte: u8) -> bool {
    let after = rest.strip_prefix(&[byte]);
    *rest = after.unwrap_or(rest);
    after.is_some()
}
