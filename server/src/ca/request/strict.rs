//! Whether bytes are DER all the way down: the one form of X.690 section 10, not the many of BER.
//!
//! Lengths are definite and as short as can be; nothing is left over. Values are the parser's business.

/// Elements inside one another that are followed.
const DEPTH: usize = 16;
/// The bit of a tag that says that elements are inside.
const CONSTRUCTED: u8 = 0x20;

/// Whether `bytes` are whole elements of DER.
pub(super) fn is_der(bytes: &[u8]) -> bool {
    are_elements(bytes, DEPTH)
}

fn are_elements(mut bytes: &[u8], depth: usize) -> bool {
    while let Some((tag, rest)) = bytes.split_first() {
        // Tags of several bytes do not occur in a request.
        let high_tag = *tag & 0x1f == 0x1f;
        let Some((length, rest)) = length(rest).filter(|_| !high_tag) else { return false };
        let Some((content, rest)) = rest.split_at_checked(length) else { return false };
        if *tag & CONSTRUCTED != 0 && (depth == 0 || !are_elements(content, depth - 1)) {
            return false;
        }
        bytes = rest;
    }
    true
}

/// A definite length in its shortest form, and what comes after it.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if *first < 0x80 {
        return Some((usize::from(*first), rest));
    }
    let (digits, rest) = rest.split_at_checked(usize::from(*first & 0x7f))?;
    let shortest = digits.first().is_some_and(|digit| *digit != 0) && digits.len() <= 3;
    let length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
    (shortest && length >= 0x80).then_some((length, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shortest_definite_lengths_are_der() {
        // Goal: one form alone. Method: the same element in each form, on the outside and inside.
        let forms: [(&[u8], bool); 9] = [
            (&[0x30, 0x03, 0x02, 0x01, 0x05], true),
            (&[0x30, 0x81, 0x03, 0x02, 0x01, 0x05], false),
            (&[0x30, 0x04, 0x02, 0x81, 0x01, 0x05], false),
            (&[0x30, 0x80, 0x02, 0x01, 0x05, 0x00, 0x00], false),
            (&[0x30, 0x82, 0x00, 0x03, 0x02, 0x01, 0x05], false),
            (&[0x30, 0x04, 0x02, 0x01, 0x05], false),
            (&[0x30], false),
            (&[0x1f, 0x20, 0x00], false),
            (&[], true),
        ];
        for (bytes, der) in forms {
            assert_eq!(is_der(bytes), der, "{bytes:02x?}");
        }
        let long = [&[0x04, 0x81, 0x80][..], &[7; 128]].concat();
        assert!(is_der(&long));
        let deep = (0..40).fold(Vec::new(), |inner: Vec<u8>, _| {
            [&[0x30, u8::try_from(inner.len()).expect("short")][..], &inner].concat()
        });
        assert!(!is_der(&deep));
    }
}
