//! The bytes of a recording, chunk by chunk, to packets and connections.
//!
//! It maps and decides nothing: the forms are the core's. It holds one chunk, or one packet where that is larger.

use std::fs::File;
use std::io::{self, Read};

use cordon_agent_core::dissect::link::{Link, packet};
use cordon_agent_core::dissect::{Damage, Packet};
use cordon_agent_core::recording::conn_log::{BadLine, ConnLog, Recorded};
use cordon_agent_core::recording::{BadRecording, Capture, MAGIC_BYTES, Step};
use cordon_proto::limits;
use cordon_proto::time::Millis;

use super::CHUNK;

/// What one look brought.
pub(super) enum Looked<'a> {
    /// A packet, or that it could not be read, and when.
    Packet(Result<Packet<'a>, Damage>, Millis),
    /// A connection of a list.
    Listed(Recorded),
}

/// Why a recording cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum FeedError {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error(transparent)]
    Form(#[from] BadRecording),
    #[error(transparent)]
    Line(#[from] BadLine),
}

enum Form {
    Capture(Capture),
    List(ConnLog),
}

/// A recording that is being read.
pub(super) struct Feed {
    file: File,
    form: Form,
    bytes: Vec<u8>,
    /// Where in `bytes` the unread ones begin and end.
    from: usize,
    to: usize,
    ended: bool,
    damaged: u64,
}

impl Feed {
    /// A capture file.
    pub(super) fn capture(file: File) -> Result<Self, FeedError> {
        let mut feed = Self::of(file, Form::List(ConnLog::default()));
        feed.fill(MAGIC_BYTES)?;
        let (capture, took) = Capture::open(feed.unread())?;
        feed.form = Form::Capture(capture);
        feed.from += took;
        Ok(feed)
    }

    /// A list of connections.
    pub(super) fn list(file: File) -> Self {
        Self::of(file, Form::List(ConnLog::default()))
    }

    fn of(file: File, form: Form) -> Self {
        Self { file, form, bytes: vec![0; CHUNK], from: 0, to: 0, ended: false, damaged: 0 }
    }

    /// Packets and lines that could not be read.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Reads what is at hand, or a chunk more; `false` at the end.
    pub(super) fn look(&mut self, take: &mut dyn FnMut(Looked<'_>)) -> Result<bool, FeedError> {
        match &mut self.form {
            Form::Capture(_) => self.look_at_packets(take),
            Form::List(_) => self.look_at_lines(take),
        }
    }

    fn look_at_packets(&mut self, take: &mut dyn FnMut(Looked<'_>)) -> Result<bool, FeedError> {
        let Form::Capture(capture) = &mut self.form else { return Ok(false) };
        loop {
            let unread = self.bytes.get(self.from..self.to).unwrap_or_default();
            match capture.step(unread) {
                Ok(Step::Took(length, captured)) => {
                    if let Some(captured) = captured {
                        take(Looked::Packet(dissected(captured.link, captured.bytes), captured.at));
                    }
                    if length > unread.len() {
                        return self.skip(length);
                    }
                    self.from += length;
                }
                Ok(Step::Needs(length)) => {
                    let left = !unread.is_empty();
                    let more = self.fill(length)?;
                    // The file ends within a packet, as one does that was cut off while it was written.
                    self.damaged += u64::from(!more && left);
                    return Ok(more);
                }
                Err(bad) => {
                    self.damaged += 1;
                    return Err(bad.into());
                }
            }
        }
    }

    fn look_at_lines(&mut self, take: &mut dyn FnMut(Looked<'_>)) -> Result<bool, FeedError> {
        let Form::List(list) = &mut self.form else { return Ok(false) };
        loop {
            let unread = self.bytes.get(self.from..self.to).unwrap_or_default();
            let end = unread.iter().position(|byte| *byte == b'\n');
            let last = self.ended && !unread.is_empty();
            let (line, length) = match end {
                Some(end) => (unread.get(..end).unwrap_or_default(), end + 1),
                None if last || unread.len() > limits::RECORDED_LINE_BYTES => (unread, unread.len()),
                None => break,
            };
            match std::str::from_utf8(line).map_err(|_| BadLine::Malformed).and_then(|line| list.line(line)) {
                Ok(recorded) => recorded.into_iter().for_each(|recorded| take(Looked::Listed(recorded))),
                Err(BadLine::Malformed) => self.damaged += 1,
                Err(BadLine::Headless) => return Err(BadLine::Headless.into()),
            }
            self.from += length;
        }
        if self.ended {
            while let Some(recorded) = list.pop() {
                take(Looked::Listed(recorded));
            }
            return Ok(false);
        }
        let wanted = self.to - self.from + 1;
        self.fill(wanted)?;
        Ok(true)
    }

    fn unread(&self) -> &[u8] {
        self.bytes.get(self.from..self.to).unwrap_or_default()
    }

    /// Reads on until so many bytes are at hand; `false` if the file ends before.
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        self.bytes.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        if wanted > self.bytes.len() {
            self.bytes.resize(wanted, 0);
        }
        while self.to < wanted {
            match self.file.read(self.bytes.get_mut(self.to..).unwrap_or_default()) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(false);
                }
                Ok(more) => self.to += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Passes over what is longer than what is at hand; `false` if the file ends before.
    fn skip(&mut self, length: usize) -> Result<bool, FeedError> {
        let mut left = length - (self.to - self.from);
        (self.from, self.to) = (0, 0);
        while left > 0 {
            let most = left.min(self.bytes.len());
            let more = self.file.read(self.bytes.get_mut(..most).unwrap_or_default())?;
            if more == 0 {
                self.damaged += 1;
                return Ok(false);
            }
            left -= more;
        }
        Ok(true)
    }
}

fn dissected(link: Option<Link>, bytes: &[u8]) -> Result<Packet<'_>, Damage> {
    link.ok_or(Damage::Malformed).and_then(|link| packet(link, bytes))
}
