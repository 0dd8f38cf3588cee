//! The body of an age file: pieces of 64 KiB, each with a tag and a number, the last one marked (STREAM; C2SP
//! `age.md`, "Payload").
//!
//! The mark is what makes a file that was cut off between two pieces an error instead of a shorter file.

use std::io::{self, BufRead, BufReader, Read, Write};

use ring::aead::{Aad, LessSafeKey, Nonce};
use zeroize::Zeroizing;

use super::keys::{Identity, Recipient};
use super::{AgeError, cipher, derived, header};
use crate::chance;

/// Bytes of a piece, its tag not counted.
pub(super) const PIECE_BYTES: usize = 64 * 1024;
const TAG_BYTES: usize = 16;
const NONCE_BYTES: usize = 16;

/// Writes a file for one recipient. Without [`Sealer::finish`] it is no whole file, and no reader takes it for one.
pub struct Sealer<W: Write> {
    file: W,
    cipher: LessSafeKey,
    number: u64,
    piece: Zeroizing<Vec<u8>>,
}

impl<W: Write> Sealer<W> {
    /// Writes the head.
    pub fn new(mut file: W, recipient: &Recipient) -> io::Result<Self> {
        let (file_key, head) = header::make(recipient);
        let nonce: [u8; NONCE_BYTES] = chance::random();
        file.write_all(&head)?;
        file.write_all(&nonce)?;
        let cipher = cipher(&derived(&*file_key, &nonce, "payload"));
        let piece = Zeroizing::new(Vec::with_capacity(PIECE_BYTES + TAG_BYTES));
        Ok(Self { file, cipher, number: 0, piece })
    }

    /// Writes the last piece and gives the file back, not yet synced.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        Ok(self.file)
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        let nonce = nonce(&mut self.number, last)?;
        let sealed = self.cipher.seal_in_place_append_tag(nonce, Aad::empty(), &mut *self.piece);
        sealed.map_err(|_| io::Error::other("the cipher refused a piece"))?;
        self.file.write_all(&self.piece)?;
        self.piece.clear();
        Ok(())
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full piece waits until more comes: only then is it known not to be the last.
        if self.piece.len() == PIECE_BYTES && !bytes.is_empty() {
            self.seal(false)?;
        }
        let room = PIECE_BYTES.saturating_sub(self.piece.len());
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.piece.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Reads a file. Only the end of its bytes says that it was whole: errors come as [`io::ErrorKind::InvalidData`].
pub struct Opener<R: Read> {
    file: BufReader<R>,
    cipher: LessSafeKey,
    number: u64,
    piece: Zeroizing<Vec<u8>>,
    at: usize,
    ended: bool,
}

impl<R: Read> Opener<R> {
    /// Reads the head, with the first of `identities` that fits.
    pub fn new(file: R, identities: &[Identity]) -> Result<Self, AgeError> {
        let mut file = BufReader::with_capacity(PIECE_BYTES, file);
        let file_key = header::open(&mut file, identities)?;
        let mut nonce = [0; NONCE_BYTES];
        file.read_exact(&mut nonce).map_err(|_| AgeError::Damaged)?;
        let cipher = cipher(&derived(&*file_key, &nonce, "payload"));
        Ok(Self { file, cipher, number: 0, piece: Zeroizing::default(), at: 0, ended: false })
    }

    fn open(&mut self) -> io::Result<()> {
        let is_first = self.number == 0;
        self.at = 0;
        self.piece.clear();
        let most = u64::try_from(PIECE_BYTES + TAG_BYTES).unwrap_or(u64::MAX);
        (&mut self.file).take(most).read_to_end(&mut self.piece)?;
        let last = self.file.fill_buf()?.is_empty();
        let nonce = nonce(&mut self.number, last)?;
        let opened = self.cipher.open_in_place(nonce, Aad::empty(), &mut self.piece);
        let length = opened.map(|bytes| bytes.len());
        // Whatever could not be opened must not be read either.
        self.piece.truncate(*length.as_ref().unwrap_or(&0));
        let length = length.map_err(|_| damaged())?;
        // Only an empty file ends with an empty piece.
        if length == 0 && !is_first {
            return Err(damaged());
        }
        self.ended = last;
        Ok(())
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            if self.ended {
                return Ok(0);
            }
            self.open()?;
        }
        let mut rest = self.piece.get(self.at..).unwrap_or_default();
        let read = rest.read(into)?;
        self.at = self.at.saturating_add(read);
        Ok(read)
    }
}

/// Eleven bytes of the piece's number, one that marks the last.
fn nonce(number: &mut u64, last: bool) -> io::Result<Nonce> {
    let mut bytes = [0; 12];
    let (_, counted) = bytes.split_at_mut(3);
    let (counted, mark) = counted.split_at_mut(8);
    counted.copy_from_slice(&number.to_be_bytes());
    mark.fill(u8::from(last));
    *number = number.checked_add(1).ok_or_else(|| io::Error::other("more pieces than a file may have"))?;
    Ok(Nonce::assume_unique_for_key(bytes))
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, AgeError::Damaged)
}
