//! Walking the frames of one segment through a small window, past whatever is damaged.
//!
//! A damaged place costs the frame it is in, not the segment: the walk goes on at the next marker whose checksum
//! holds. The work spent on wrong markers is bounded by [`CHECKED`], so that a body full of markers cannot stall it.

use alloc::vec;
use alloc::vec::Vec;

use super::frame::{self, Head, Look};
use super::{Fault, Storage};

/// Bytes of the window; larger frames widen it for themselves.
const WINDOW: usize = 64 * 1024;
/// Checksummed bytes, in multiples of the segment's own, after which a damaged segment is given up.
const CHECKED: u64 = 16;

/// A frame found on the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it says.
    pub head: Head,
    /// Where it ends in the segment.
    pub end: u64,
    /// Bytes skipped before it because they were no frame.
    pub skipped: u64,
}

/// A walk over one segment.
#[derive(Debug)]
pub struct Walk {
    segment: u64,
    length: u64,
    body_limit: usize,
    window: Vec<u8>,
    window_at: u64,
    at: u64,
    skipped: u64,
    budget: u64,
}

impl Walk {
    /// Starts at byte `from` of a segment that is `length` bytes long.
    #[must_use]
    pub fn new(segment: u64, length: u64, from: u64, body_limit: usize) -> Self {
        let budget = length.saturating_mul(CHECKED);
        Self {
            segment,
            length,
            body_limit,
            window: Vec::new(),
            window_at: from,
            at: from,
            skipped: 0,
            budget,
        }
    }

    /// The next undamaged frame; `None` at the end.
    pub fn next<S: Storage>(&mut self, storage: &mut S) -> Result<Option<Found>, Fault> {
        while self.at < self.length {
            match frame::look(self.rest(), self.body_limit) {
                Look::Whole(head) => return Ok(Some(self.step(head))),
                Look::Short(needed) if self.fill(storage, needed)? => {}
                Look::Short(_) | Look::Nothing => self.skip(),
            }
        }
        Ok(None)
    }

    /// The body of the frame that `next` has just returned.
    #[must_use]
    pub fn body(&self, found: &Found) -> &[u8] {
        let end = usize::try_from(found.end.saturating_sub(self.window_at)).unwrap_or(usize::MAX);
        let start = end.saturating_sub(found.head.length);
        self.window.get(start..end).unwrap_or_default()
    }

    /// Bytes at the end that were no frame, once `next` has returned `None`.
    #[must_use]
    pub fn trailing(&self) -> u64 {
        self.skipped
    }

    fn rest(&self) -> &[u8] {
        let offset = usize::try_from(self.at.saturating_sub(self.window_at)).unwrap_or(usize::MAX);
        self.window.get(offset..).unwrap_or_default()
    }

    fn step(&mut self, head: Head) -> Found {
        let size = u64::try_from(frame::HEAD + head.length).unwrap_or(u64::MAX);
        self.at = self.at.saturating_add(size);
        let skipped = core::mem::take(&mut self.skipped);
        Found { head, end: self.at, skipped }
    }

    /// Passes over a place where no frame begins.
    fn skip(&mut self) {
        let rest = self.rest();
        let checked = if rest.get(1) == Some(&0x5d) { rest.len().min(self.body_limit) } else { 0 };
        let by = u64::try_from(frame::next_marker(rest)).unwrap_or(1);
        self.budget = self.budget.saturating_sub(u64::try_from(checked).unwrap_or(u64::MAX));
        let by = if self.budget == 0 { self.length } else { by };
        let to = self.at.saturating_add(by).min(self.length);
        self.skipped += to - self.at;
        self.at = to;
    }

    /// Reads on so that `needed` bytes lie before the walk; `false` if the segment ends before that.
    fn fill<S: Storage>(&mut self, storage: &mut S, needed: usize) -> Result<bool, Fault> {
        let left = self.length.saturating_sub(self.at);
        if u64::try_from(needed).unwrap_or(u64::MAX) > left || self.rest().len() >= needed {
            return Ok(false);
        }
        let size = needed.max(WINDOW).min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut window = vec![0; size];
        let read = storage.read(self.segment, self.at, &mut window)?;
        window.truncate(read);
        self.window = window;
        self.window_at = self.at;
        if read < needed {
            // The file is shorter than it was: what is left of it is all there is.
            self.length = self.at.saturating_add(u64::try_from(read).unwrap_or(0));
            return Ok(false);
        }
        Ok(true)
    }
}
