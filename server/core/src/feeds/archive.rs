//! The members of a tar file that carries a feed of many documents (POSIX.1-1988 ustar, and what GNU tar writes).
//!
//! A feed such as a folder of OSV records travels as one file, so that one hash names all of it. Members are looked at and
//! never written anywhere: a name is a label for people, cleaned of what a terminal obeys. Links, devices and the like carry
//! no document and are counted by the caller. Read next: [`super::intake`], which takes feeds in.

use alloc::string::String;

use cordon_proto::limits;

/// Bytes of a header, and what each content is filled up to.
pub const BLOCK: usize = 512;
/// What stands behind the last member.
pub const ENDING: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

const NAME: usize = 100;
const PREFIX: usize = 155;
const CHECKSUM: core::ops::Range<usize> = 148..156;
const KIND: usize = 156;
const MAGIC: core::ops::Range<usize> = 257..262;

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it is called, for people.
    pub name: String,
    /// Its bytes.
    pub length: u64,
    /// What it is.
    pub kind: Kind,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A document.
    File,
    /// A folder, or something that the archive says of itself.
    Frame,
    /// A link, a device, a pipe: no document.
    Other,
}

/// Bytes that are no header of a tar file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the archive is broken: make it anew with `tar -cf FILE -C FOLDER .`")]
pub struct Broken;

/// Whether a file that begins so is a tar file.
#[must_use]
pub fn is_archive(beginning: &[u8]) -> bool {
    beginning.get(MAGIC) == Some(b"ustar")
}

/// Reads a header; `None` is the end.
///
/// # Errors
/// It is no header, or its sum does not hold.
pub fn member(header: &[u8; BLOCK]) -> Result<Option<Member>, Broken> {
    if header.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if !is_archive(header) || octal(header.get(CHECKSUM).unwrap_or_default()) != Some(sum(header)) {
        return Err(Broken);
    }
    let length = octal(header.get(124..136).unwrap_or_default()).ok_or(Broken)?;
    let kind = match header.get(KIND) {
        Some(b'0' | 0) => Kind::File,
        // Folders; extended headers and long names, which speak of the next member.
        Some(b'5' | b'x' | b'g' | b'L' | b'K') => Kind::Frame,
        Some(_) | None => Kind::Other,
    };
    let (prefix, name) = (field(header, 345, PREFIX), field(header, 0, NAME));
    let whole = if prefix.is_empty() { name } else { alloc::format!("{prefix}/{name}") };
    let shown = whole.chars().map(|sign| if sign.is_control() { '\u{fffd}' } else { sign });
    Ok(Some(Member { name: shown.take(limits::TEXT_CHARS).collect(), length, kind }))
}

/// The header of a document; `None` if the name or the length does not fit one.
#[must_use]
pub fn header(name: &str, length: u64) -> Option<[u8; BLOCK]> {
    let (prefix, name) = split(name)?;
    let mut header = [0_u8; BLOCK];
    let mut put = |at: usize, text: &[u8]| {
        if let Some(place) = header.get_mut(at..at + text.len()) {
            place.copy_from_slice(text);
        }
    };
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    let size = alloc::format!("{length:011o}\0");
    put(124, size.as_bytes().get(..12).filter(|_| size.len() == 12)?);
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(KIND, b"0");
    put(257, b"ustar\x0000");
    put(345, prefix.as_bytes());
    let digits = alloc::format!("{:06o}\0 ", sum(&header));
    if let Some(place) = header.get_mut(CHECKSUM) {
        place.copy_from_slice(digits.as_bytes());
    }
    Some(header)
}

/// Bytes that fill a content of this length up to whole blocks.
#[must_use]
pub fn filling(length: u64) -> u64 {
    let block = BLOCK as u64;
    (block - length % block) % block
}

/// A path as the two fields hold it.
fn split(path: &str) -> Option<(&str, &str)> {
    if (1..=NAME).contains(&path.len()) {
        return Some(("", path));
    }
    let cuts = path.match_indices('/').map(|(at, _)| (path.get(..at), path.get(at + 1..)));
    let whole = cuts.filter_map(|(prefix, name)| Some((prefix?, name?)));
    whole.into_iter().find(|(prefix, name)| prefix.len() <= PREFIX && (1..=NAME).contains(&name.len()))
}

fn field(header: &[u8; BLOCK], at: usize, length: usize) -> String {
    let bytes = header.get(at..at + length).unwrap_or_default();
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// Digits of base 8 between blanks; at most eight gibibytes, which is more than any feed has.
fn octal(field: &[u8]) -> Option<u64> {
    let text = core::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    u64::from_str_radix(text, 8).ok()
}

/// The sum of a header's bytes, its own field counted as blanks.
fn sum(header: &[u8; BLOCK]) -> u64 {
    let bytes = header.iter().enumerate();
    bytes.map(|(at, byte)| if CHECKSUM.contains(&at) { 32 } else { u64::from(*byte) }).sum()
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_bent_is_refused() {
        // Goal: names of any usual length come back, and no broken header passes for one. Method: short, long, too long;
        // each byte of a header bent in turn.
        let long = alloc::format!("{}/{}.json", "a".repeat(120), "b".repeat(80));
        for name in ["x.json", long.as_str()] {
            let header = header(name, 1234).expect("fits");
            let found = member(&header).expect("a header").expect("a member");
            assert_eq!(found, Member { name: name.to_string(), length: 1234, kind: Kind::File });
            assert!(is_archive(&header));
            for at in 0..BLOCK {
                let mut bent = header;
                bent[at] ^= 1;
                assert_ne!(member(&bent), Ok(Some(found.clone())), "byte {at} was bent");
            }
        }
        assert_eq!(header(&"a".repeat(300), 1), None);
        assert_eq!(header("", 1), None);
        assert_eq!(member(&[0; BLOCK]), Ok(None));
        assert_eq!(member(&[b'x'; BLOCK]), Err(Broken));
        assert_eq!((filling(0), filling(1), filling(512), filling(513)), (0, 511, 0, 511));
    }
}
