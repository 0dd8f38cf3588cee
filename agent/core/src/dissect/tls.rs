//! The ClientHello of TLS: the name of the server that the client asks for (RFC 8446 4.1.2, RFC 6066 3).
//!
//! Only what lies in the first segment is read. The name is what the client says, proof of nothing: it names a connection
//! for people, and never makes a peer a known one.

use cordon_proto::limits;

use super::word;

/// The server's name in a first segment; `None` where it is no ClientHello, names nobody, or was cut before the name.
#[must_use]
pub fn server_name(segment: &[u8]) -> Option<&str> {
    // Record: handshake, version 3.x, length; handshake: ClientHello, length; version, random.
    let (head, rest) = segment.split_first_chunk::<43>()?;
    let [22, 3, _, _, _, 1, ..] = *head else { return None };
    let (_, rest) = field8(rest)?;
    let (_, rest) = field16(rest)?;
    let (_, rest) = field8(rest)?;
    let mut extensions = rest.get(2..)?;
    for _ in 0..limits::TLS_EXTENSIONS {
        let (kind, rest) = extensions.split_first_chunk::<2>()?;
        let (content, rest) = field16(rest)?;
        if *kind == [0, 0] {
            return host_name(content);
        }
        extensions = rest;
    }
    None
}

/// The first name of a server_name extension, if it is a host name.
fn host_name(content: &[u8]) -> Option<&str> {
    let (kind, rest) = content.get(2..)?.split_first()?;
    let (name, _) = field16(rest)?;
    let plain = name.iter().all(|byte| byte.is_ascii_graphic());
    let fits = !name.is_empty() && name.len() <= limits::HOST_NAME_BYTES;
    if *kind == 0 && plain && fits { core::str::from_utf8(name).ok() } else { None }
}

/// A field with a length of one byte, and what is behind it.
fn field8(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// A field with a length of two bytes, and what is behind it.
fn field16(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(word(length[0], length[1])))
}
