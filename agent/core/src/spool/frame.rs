//! One stored record as bytes: marker, checksum, length, position, time, kind, body.
//!
//! ```text
//! 2  marker      C0 5D, where a reader that lost its way may find it again; C0 occurs in no UTF-8 text, so no name
//!                that a peer chose can pass for a frame
//! 4  CRC-32C     over everything that follows (RFC 3720 appendix B.4), little-endian as all numbers
//! 4  length      of the body
//! 8  boot        8  sequence        8  time in ms        2  kind        body
//! ```
//! Nothing here allocates beyond the output or trusts a length before its checksum. Read next: [`super::walk`].

use alloc::vec::Vec;

use cordon_proto::telemetry::Position;
use cordon_proto::time::Millis;

/// Bytes of a frame before its body.
pub const HEAD: usize = 36;
const MARKER: [u8; 2] = [0xc0, 0x5d];

/// What a frame says besides its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its place in the stream.
    pub position: Position,
    /// The device's clock when the record was made.
    pub time: Millis,
    /// The kind of the body.
    pub kind: u16,
    /// Bytes of the body.
    pub length: usize,
}

/// What the bytes at one place are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A whole, undamaged frame.
    Whole(Head),
    /// A frame may begin here; this many bytes are needed to know.
    Short(usize),
    /// No frame begins here.
    Nothing,
}

/// Appends one frame to `out`. A body beyond `u32` does not exist: the spool refuses it first.
pub fn write(out: &mut Vec<u8>, head: &Head, body: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&MARKER);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&head.position.boot.to_le_bytes());
    out.extend_from_slice(&head.position.sequence.to_le_bytes());
    out.extend_from_slice(&head.time.0.to_le_bytes());
    out.extend_from_slice(&head.kind.to_le_bytes());
    out.extend_from_slice(body);
    let sum = crc32c(out.get(start + 6..).unwrap_or_default());
    if let Some(place) = out.get_mut(start + 2..start + 6) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
}

/// Looks at the start of `bytes`; a body longer than `limit` is nothing.
#[must_use]
pub fn look(bytes: &[u8], limit: usize) -> Look {
    match bytes {
        [] => return Look::Short(HEAD),
        [first] if *first == MARKER[0] => return Look::Short(HEAD),
        [first, second, ..] if [*first, *second] == MARKER => {}
        _ => return Look::Nothing,
    }
    let Some((head, sum)) = parse(bytes) else { return Look::Short(HEAD) };
    if head.length > limit {
        return Look::Nothing;
    }
    match bytes.get(6..HEAD + head.length) {
        None => Look::Short(HEAD + head.length),
        Some(covered) if crc32c(covered) == sum => Look::Whole(head),
        Some(_) => Look::Nothing,
    }
}

/// Bytes from the start of `bytes` to the next place where a frame might begin, at least 1.
#[must_use]
pub fn next_marker(bytes: &[u8]) -> usize {
    let rest = bytes.get(1..).unwrap_or_default();
    let found = rest.iter().position(|byte| *byte == MARKER[0]);
    1 + found.unwrap_or(rest.len())
}

fn parse(bytes: &[u8]) -> Option<(Head, u32)> {
    let sum = u32::from_le_bytes(bytes.get(2..6)?.try_into().ok()?);
    let length = u32::from_le_bytes(bytes.get(6..10)?.try_into().ok()?);
    let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let position = Position { boot: number(10)?, sequence: number(18)? };
    let time = Millis(i64::from_le_bytes(bytes.get(26..34)?.try_into().ok()?));
    let kind = u16::from_le_bytes(bytes.get(34..36)?.try_into().ok()?);
    Some((Head { position, time, kind, length: usize::try_from(length).ok()? }, sum))
}

/// CRC-32C (Castagnoli, reflected 0x82F63B78), byte by byte over a table made at compile time.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        let place = usize::from((sum.to_le_bytes()[0]) ^ byte);
        TABLE.get(place).copied().unwrap_or_default() ^ (sum >> 8)
    };
    !bytes.iter().fold(!0, step)
}

static TABLE: [u32; 256] = table();

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time, over constant bounds")]
#[expect(clippy::cast_possible_truncation, reason = "the index is below 256")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0x82f6_3b78 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(boot: u64, sequence: u64, length: usize) -> Head {
        Head { position: Position { boot, sequence }, time: Millis(1_795_251_906_123), kind: 2, length }
    }

    #[test]
    fn the_checksum_is_the_published_one() {
        // Goal: CRC-32C and no other. Method: the check value and the vectors of RFC 3720 appendix B.4.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn the_bytes_of_a_frame_stay_what_they_are() {
        // Goal: a spool written by an older agent is read by a newer one. Method: golden bytes.
        let mut bytes = Vec::new();
        write(&mut bytes, &head(3, 7, 2), b"ab");
        let golden = [
            0xc0, 0x5d, 0x2f, 0x18, 0x2d, 0x42, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0,
            75, 38, 90, 253, 161, 1, 0, 0, 2, 0, b'a', b'b',
        ];
        assert_eq!(bytes, golden);
        assert_eq!(look(&bytes, 10), Look::Whole(head(3, 7, 2)));
    }

    #[test]
    fn a_length_beyond_the_limit_is_no_frame() {
        // Goal: a length is never believed before it is bounded. Method: limit one below the body.
        let mut bytes = Vec::new();
        write(&mut bytes, &head(1, 1, 5), b"hello");
        assert_eq!(look(&bytes, 4), Look::Nothing);
        assert_eq!(look(&bytes[..20], 5), Look::Short(HEAD));
        assert_eq!(look(&bytes[..HEAD], 5), Look::Short(HEAD + 5));
    }

    proptest! {
        #[test]
        fn one_flipped_bit_is_never_taken_for_the_frame(
            body in proptest::collection::vec(any::<u8>(), 0..64), place in any::<prop::sample::Index>(), bit in 0..8,
        ) {
            let mut bytes = Vec::new();
            write(&mut bytes, &head(1, 2, body.len()), &body);
            prop_assert!(matches!(look(&bytes, 64), Look::Whole(_)));
            let place = place.index(bytes.len());
            bytes[place] ^= 1_u8 << bit;
            prop_assert!(!matches!(look(&bytes, 64), Look::Whole(_)));
        }

        #[test]
        fn any_bytes_are_looked_at_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            if let Look::Whole(head) = look(&bytes, 64) {
                prop_assert!(bytes.len() >= HEAD + head.length);
            }
            prop_assert!(next_marker(&bytes) >= 1);
        }
    }
}
