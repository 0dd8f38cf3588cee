//! Named files one after the other in one stream, for a backup.
//!
//! A magic line; then for each file its name (two bytes of length before it) and its bytes in pieces (four bytes of
//! length before each, none for the end); an empty name is the end of all. Lengths need not be known ahead, so
//! a store can be written while it is read. Whether the bytes are true is the seal's affair (`age`), not this one's.

use std::io::{self, Read, Write};

const MAGIC: &[u8] = b"cordon-bundle 1\n";
const NAME_BYTES: usize = 128;
const PIECE_BYTES: usize = 64 * 1024;

/// A bundle being written.
pub(super) struct Bundle<W: Write> {
    into: W,
}

impl<W: Write> Bundle<W> {
    pub(super) fn begin(mut into: W) -> io::Result<Self> {
        into.write_all(MAGIC)?;
        Ok(Self { into })
    }

    /// Adds a file, read to its end, and says how many bytes it had.
    pub(super) fn add(&mut self, name: &str, from: &mut dyn Read) -> io::Result<u64> {
        let length = u16::try_from(name.len()).ok().filter(|length| usize::from(*length) <= NAME_BYTES);
        let length = length.filter(|length| *length > 0).ok_or_else(|| malformed("a name"))?;
        self.into.write_all(&length.to_be_bytes())?;
        self.into.write_all(name.as_bytes())?;
        let (mut piece, mut written) = (vec![0; PIECE_BYTES], 0_u64);
        loop {
            let read = from.read(&mut piece)?;
            let bytes = piece.get(..read).unwrap_or_default();
            self.into.write_all(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes())?;
            self.into.write_all(bytes)?;
            if bytes.is_empty() {
                return Ok(written);
            }
            written = written.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        }
    }

    /// Writes the end and gives the stream back.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.into.write_all(&0_u16.to_be_bytes())?;
        Ok(self.into)
    }
}

/// A bundle being read: [`Contents::next`] stands before a file, and reading gives that file's bytes.
pub(super) struct Contents<R: Read> {
    from: R,
    left: usize,
    in_file: bool,
}

impl<R: Read> Contents<R> {
    pub(super) fn open(mut from: R) -> io::Result<Self> {
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic)?;
        if magic == MAGIC {
            Ok(Self { from, left: 0, in_file: false })
        } else {
            Err(malformed("its first line"))
        }
    }

    /// The name of the next file; what is left of the one before is passed over. `None` is the end, and nothing
    /// stands behind it.
    pub(super) fn next(&mut self) -> io::Result<Option<String>> {
        io::copy(self, &mut io::sink())?;
        let mut length = [0; 2];
        self.from.read_exact(&mut length)?;
        let length = usize::from(u16::from_be_bytes(length));
        if length == 0 {
            return match self.from.read(&mut [0])? {
                0 => Ok(None),
                _ => Err(malformed("its end")),
            };
        }
        if length > NAME_BYTES {
            return Err(malformed("a name"));
        }
        let mut name = vec![0; length];
        self.from.read_exact(&mut name)?;
        self.in_file = true;
        String::from_utf8(name).map(Some).map_err(|_| malformed("a name"))
    }
}

impl<R: Read> Read for Contents<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.in_file {
            return Ok(0);
        }
        if self.left == 0 {
            let mut length = [0; 4];
            self.from.read_exact(&mut length)?;
            self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            self.in_file = self.left > 0;
            if self.left > PIECE_BYTES {
                return Err(malformed("a piece"));
            }
        }
        let most = self.left.min(into.len());
        let read = self.from.read(into.get_mut(..most).unwrap_or_default())?;
        if read == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left = self.left.saturating_sub(read);
        Ok(read)
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the backup is not of the form known here: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bundled(files: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut bundle = Bundle::begin(Vec::new()).expect("begun");
        for (name, bytes) in files {
            let written = bundle.add(name, &mut bytes.as_slice()).expect("added");
            assert_eq!(written, bytes.len() as u64);
        }
        bundle.finish().expect("finished")
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut contents = Contents::open(bytes)?;
        let mut files = Vec::new();
        while let Some(name) = contents.next()? {
            let mut bytes = Vec::new();
            contents.read_to_end(&mut bytes)?;
            files.push((name, bytes));
        }
        Ok(files)
    }

    #[test]
    fn files_can_be_passed_over_and_a_cut_is_never_an_end() {
        // Goal: a reader takes what it knows; no prefix is a bundle. Method: skip a file; cut at every byte; a byte more.
        let files = [("a".to_owned(), vec![1; 10]), ("b".to_owned(), vec![]), ("c".to_owned(), vec![3; 5])];
        let bytes = bundled(&files);
        let mut contents = Contents::open(bytes.as_slice()).expect("opened");
        let mut names = Vec::new();
        while let Some(name) = contents.next().expect("read") {
            names.push(name);
        }
        assert_eq!(names, ["a", "b", "c"]);
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(read(&[&bytes[..], b"x"].concat()).is_err());
        assert!(Bundle::begin(Vec::new()).expect("begun").add("", &mut io::empty()).is_err());
    }

    proptest! {
        #[test]
        fn any_files_read_back(files in prop::collection::vec(("[a-z]{1,9}", prop::collection::vec(any::<u8>(), 0..400)), 0..5)) {
            prop_assert_eq!(read(&bundled(&files)).expect("read"), files);
        }

        #[test]
        fn any_bytes_are_a_bundle_or_refused_without_a_panic(bytes: Vec<u8>) {
            let _ = read(&[MAGIC, bytes.as_slice()].concat());
        }
    }
}
