//! DNS: the one question of a message, and the addresses of its answer (RFC 1035, 3596).
//!
//! Nothing else of a message is read, and no compressed name is followed: a question stands first and has nothing to point
//! to, and whose record an answer is does not matter. A message that is cut gives what stood before the cut. Read next:
//! [`crate::flow::names`] for what an answer is good for.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cordon_proto::limits;

use super::word;

/// The longest name (RFC 1035, 2.3.4).
const NAME_BYTES: usize = 255;

/// A name, lower case, without its final dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; NAME_BYTES],
    length: u8,
}

/// A message about one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Whether it answers.
    pub response: bool,
    /// What is asked for.
    pub name: Name,
    /// The type that is asked for.
    pub kind: u16,
    answers: &'a [u8],
    count: u16,
}

impl Name {
    /// As text. What is not a printable character of ASCII stands as `?`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) -> Option<()> {
        let printable = if byte.is_ascii_graphic() { byte.to_ascii_lowercase() } else { b'?' };
        *self.bytes.get_mut(usize::from(self.length))? = printable;
        self.length = self.length.checked_add(1)?;
        Some(())
    }
}

/// A message, from a UDP payload; `None` for what is none, or has another number of questions than one.
#[must_use]
pub fn message(bytes: &[u8]) -> Option<Message<'_>> {
    let (head, rest) = bytes.split_first_chunk::<12>()?;
    let standard = head[2] & 0x78 == 0;
    if !standard || (head[4], head[5]) != (0, 1) {
        return None;
    }
    let mut name = Name { bytes: [0; NAME_BYTES], length: 0 };
    let rest = question(rest, &mut name)?;
    let (ends, answers) = rest.split_first_chunk::<4>()?;
    let count = word(head[6], head[7]).min(limits::DNS_ANSWERS);
    Some(Message { response: head[2] & 0x80 != 0, name, kind: word(ends[0], ends[1]), answers, count })
}

/// The name of a question, which is never compressed: nothing stands before it.
fn question<'a>(mut rest: &'a [u8], name: &mut Name) -> Option<&'a [u8]> {
    loop {
        let (length, behind) = rest.split_first()?;
        if *length == 0 {
            return Some(behind);
        }
        if *length > 63 {
            return None;
        }
        let (label, behind) = behind.split_at_checked(usize::from(*length))?;
        if name.length > 0 {
            name.push(b'.')?;
        }
        for byte in label {
            // A dot inside a label would make another name of it.
            name.push(if *byte == b'.' { b'?' } else { *byte })?;
        }
        rest = behind;
    }
}

impl Message<'_> {
    /// Hands every IPv4 and IPv6 address of the answer to `take`.
    pub fn addresses(&self, mut take: impl FnMut(IpAddr)) {
        let mut rest = self.answers;
        for _ in 0..self.count {
            let Some(behind) = past_name(rest) else { return };
            let Some((head, behind)) = behind.split_first_chunk::<10>() else { return };
            let length = usize::from(word(head[8], head[9]));
            let Some((value, behind)) = behind.split_at_checked(length) else { return };
            match ([head[0], head[1], head[2], head[3]], value) {
                ([0, 1, 0, 1], [a, b, c, d]) => take(IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d))),
                ([0, 28, 0, 1], value) => {
                    if let Ok(octets) = <[u8; 16]>::try_from(value) {
                        take(IpAddr::V6(Ipv6Addr::from(octets)));
                    }
                }
                _ => {}
            }
            rest = behind;
        }
    }
}

/// What stands behind the owner of a record. Whose record it is does not matter: what the name asked for leads to does.
fn past_name(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (length, behind) = rest.split_first()?;
        match length {
            0 => return Some(behind),
            0xc0.. => return behind.get(1..),
            1..=63 => rest = behind.get(usize::from(*length)..)?,
            64..=0xbf => return None,
        }
    }
}
