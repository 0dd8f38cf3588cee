//! Public keys between PEM (RFC 7468) and DER: just enough for the keys of TUF documents.
//!
//! It must never guess: other labels, a wrong padding or characters outside the alphabet are no key. Read next:
//! [`super::key`].

use alloc::string::String;
use alloc::vec::Vec;

const HEAD: &str = "-----BEGIN PUBLIC KEY-----";
const FOOT: &str = "-----END PUBLIC KEY-----";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The DER of a `PUBLIC KEY` block; nothing if the text is not exactly one.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let body = text.trim().strip_prefix(HEAD)?.strip_suffix(FOOT)?;
    let digits: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let (groups, rest) = digits.as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() / 4 * 3);
    for (position, group) in groups.iter().enumerate() {
        decode_group(*group, position + 1 == groups.len(), &mut out)?;
    }
    Some(out)
}

fn decode_group(group: [u8; 4], last: bool, out: &mut Vec<u8>) -> Option<()> {
    let kept = match group {
        [_, _, b'=', b'='] if last => 1,
        [_, _, _, b'='] if last => 2,
        _ => 3,
    };
    let mut bits: u32 = 0;
    for (position, byte) in group.into_iter().enumerate() {
        let digit = if position <= kept { ALPHABET.iter().position(|letter| *letter == byte)? } else { 0 };
        bits = bits << 6 | u32::try_from(digit).ok()?;
    }
    let [_, bytes @ ..] = bits.to_be_bytes();
    let (wanted, padding) = bytes.split_at_checked(kept)?;
    out.extend_from_slice(wanted);
    // Bits behind the end must be zero, so that one key has one spelling.
    padding.iter().all(|byte| *byte == 0).then_some(())
}

/// The `PUBLIC KEY` block of a DER, in lines of 64 characters.
pub(super) fn encode(der: &[u8]) -> String {
    let mut text = String::from(HEAD);
    for line in der.chunks(48) {
        text.push('\n');
        for group in line.chunks(3) {
            encode_group(group, &mut text);
        }
    }
    text.push('\n');
    text.push_str(FOOT);
    text.push('\n');
    text
}

fn encode_group(group: &[u8], text: &mut String) {
    let mut bytes = [0; 4];
    for (to, from) in bytes.iter_mut().skip(1).zip(group) {
        *to = *from;
    }
    let bits = u32::from_be_bytes(bytes);
    for position in 0..4 {
        let digit = usize::try_from(bits >> (18 - 6 * position) & 63).unwrap_or_default();
        let letter = ALPHABET.get(digit).copied().unwrap_or(b'=');
        text.push(if position <= group.len() { char::from(letter) } else { '=' });
    }
}
