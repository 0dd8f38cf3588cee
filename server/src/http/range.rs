//! One byte range of a file (RFC 9110 section 14).
//!
//! A device asks for the rest of an image, never for pieces in disorder: of several ranges, of other units and of
//! malformed headers the whole file is the answer, which the RFC allows. Nothing here reads a file.

/// What part of a file is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// `length` bytes from `start`; at least one.
    Bytes {
        /// The first byte.
        start: u64,
        /// How many.
        length: u64,
    },
    /// Nothing of it: the range begins behind the end.
    Beyond,
}

impl Part {
    /// Reads a `Range` header against a file of `length` bytes.
    #[must_use]
    pub fn of(header: Option<&str>, length: u64) -> Self {
        let Some((from, to)) = header.and_then(single) else { return Self::Whole };
        let (start, end) = match (from, to) {
            // The last `to` bytes.
            (None, Some(suffix)) => (length.saturating_sub(suffix), if suffix == 0 { 0 } else { length }),
            (Some(from), None) => (from, length),
            (Some(from), Some(to)) if from > to => return Self::Whole,
            (Some(from), Some(to)) => (from, to.saturating_add(1).min(length)),
            (None, None) => return Self::Whole,
        };
        match end.checked_sub(start) {
            Some(length) if length > 0 => Self::Bytes { start, length },
            _ => Self::Beyond,
        }
    }
}

/// First and last byte of `bytes=…`, if it is exactly one range.
fn single(header: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (from, to) = header.trim().strip_prefix("bytes=")?.split_once('-')?;
    Some((number(from)?, number(to)?))
}

/// Digits, or nothing at all.
fn number(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(None);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        // Goal: RFC 9110 14.1.2 and 14.2. Method: its forms over a file of 10 bytes.
        let bytes = |start, length| Part::Bytes { start, length };
        for (header, part) in [
            ("bytes=0-3", bytes(0, 4)),
            ("bytes=4-", bytes(4, 6)),
            ("bytes=-3", bytes(7, 3)),
            ("bytes=-30", bytes(0, 10)),
            ("bytes=8-99", bytes(8, 2)),
            ("bytes=9-9", bytes(9, 1)),
            ("bytes=10-", Part::Beyond),
            ("bytes=4294967300-", Part::Beyond),
            ("bytes=10-12", Part::Beyond),
            ("bytes=-0", Part::Beyond),
            ("bytes=3-2", Part::Whole),
            ("bytes=0-1,4-5", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("lines=0-3", Part::Whole),
            ("bytes=99999999999999999999-", Part::Whole),
        ] {
            assert_eq!(Part::of(Some(header), 10), part, "{header}");
        }
        assert_eq!(Part::of(None, 10), Part::Whole);
        assert_eq!(Part::of(Some("bytes=0-"), 0), Part::Beyond, "an empty file has no byte");
    }

    proptest! {
        #[test]
        fn a_part_always_lies_within_the_file(header in "(bytes=)?[0-9]{0,20}-?[0-9]{0,20}", length: u64) {
            if let Part::Bytes { start, length: part } = Part::of(Some(&header), length) {
                prop_assert!(part > 0 && start.checked_add(part).is_some_and(|end| end <= length));
            }
        }

        #[test]
        fn any_header_is_read_or_ignored_without_a_panic(header in "\\PC*", length: u64) {
            let _ = Part::of(Some(&header), length);
        }
    }
}
