//! Recordings: capture files and lists of connections, read piece by piece without files.
//!
//! Whoever holds the bytes hands over what it has; a reader says how much more it needs, how much it took, and what was
//! in it. Nothing is believed: every length has its bound in `limits`, and what contradicts itself is refused with the
//! place where it stands. Read next: [`pcap`], [`pcapng`], [`conn_log`]; what is made of packets: [`crate::dissect`].

pub mod conn_log;
pub mod pcap;
pub mod pcapng;

#[cfg(test)]
mod tests;

use cordon_proto::time::Millis;

use crate::dissect::link::Link;
use pcap::Pcap;
use pcapng::PcapNg;

/// A packet as it was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captured<'a> {
    /// When.
    pub at: Millis,
    /// On what kind of link; `None` for one that is not read here.
    pub link: Option<Link>,
    /// As much of it as was captured.
    pub bytes: &'a [u8],
}

/// What came of a look at the bytes at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// So many bytes are needed from here on.
    Needs(usize),
    /// So many bytes are done with, which may be more than are at hand; there was a packet in them or not.
    Took(usize, Option<Captured<'a>>),
}

/// Why a recording cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecording {
    /// It is none.
    #[error("is no capture file: neither pcap nor pcapng begins like this")]
    Foreign,
    /// A length in it cannot be.
    #[error("is damaged: a length in it cannot be")]
    Length,
    /// A block of it contradicts itself.
    #[error("is damaged: a block contradicts itself")]
    Block,
    /// A packet belongs to an interface that was not described.
    #[error("is damaged: a packet belongs to no interface")]
    Interface,
}

/// A capture file of either form.
#[derive(Clone, Debug)]
pub enum Capture {
    /// The classic form.
    Pcap(Pcap),
    /// The form with blocks.
    PcapNg(PcapNg),
}

/// Bytes by which the form of a file is told.
pub const MAGIC_BYTES: usize = 24;

impl Capture {
    /// The reader for a file that begins like this, and how many bytes of it are done with.
    pub fn open(beginning: &[u8]) -> Result<(Self, usize), BadRecording> {
        if beginning.starts_with(&pcapng::SECTION) {
            return Ok((Self::PcapNg(PcapNg::default()), 0));
        }
        let (header, _) = beginning.split_first_chunk().ok_or(BadRecording::Foreign)?;
        Ok((Self::Pcap(Pcap::open(header)?), MAGIC_BYTES))
    }

    /// Looks at the bytes from the place that was reached.
    pub fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<Step<'a>, BadRecording> {
        match self {
            Self::Pcap(pcap) => pcap.step(bytes),
            Self::PcapNg(pcapng) => pcapng.step(bytes),
        }
    }
}

/// Numbers of a file in the byte order of the machine that wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Little,
    Big,
}

impl Order {
    fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    /// The number at a place; 0 behind the end.
    fn u32_at(self, bytes: &[u8], place: usize) -> u32 {
        bytes.get(place..).and_then(|rest| rest.first_chunk()).map_or(0, |four| self.u32(*four))
    }

    fn u16_at(self, bytes: &[u8], place: usize) -> u16 {
        bytes.get(place..).and_then(|rest| rest.first_chunk()).map_or(0, |two| self.u16(*two))
    }
}

fn as_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
