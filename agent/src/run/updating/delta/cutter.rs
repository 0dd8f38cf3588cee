//! A medium cut by its contents, as the maker's tool cuts an image, in one pass and little memory.
//!
//! Read next: `cordon_proto::update::chunks` for the bounds.

use std::io::{self, Read};

use cordon_proto::update::chunks::Parameters;
use fastcdc::v2020::FastCDC;

/// Bytes read beyond the largest piece, so that not every piece moves what follows it.
const AHEAD: usize = 512 * 1024;

/// The pieces of what a reader brings.
pub(super) struct Cutter<R> {
    source: R,
    bounds: [usize; 3],
    buffer: Vec<u8>,
    /// What of the buffer is still to be cut.
    start: usize,
    end: usize,
    over: bool,
}

impl<R: Read> Cutter<R> {
    pub(super) fn new(source: R, parameters: &Parameters) -> Self {
        let Parameters { least, average, most, .. } = *parameters;
        let bounds = [least, average, most].map(|bound| usize::try_from(bound).unwrap_or(usize::MAX));
        let [_, _, most] = bounds;
        Self { source, bounds, buffer: vec![0; most.saturating_add(AHEAD)], start: 0, end: 0, over: false }
    }

    /// The next piece; nothing at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let [least, average, most] = self.bounds;
        if !self.over && self.end - self.start < most {
            self.fill()?;
        }
        let rest = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some(piece) = FastCDC::new(rest, least, average, most).next() else { return Ok(None) };
        self.start += piece.length;
        Ok(rest.get(..piece.length))
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        while let Some(room) = self.buffer.get_mut(self.end..).filter(|room| !room.is_empty()) {
            match self.source.read(room) {
                Ok(0) => {
                    self.over = true;
                    break;
                }
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
