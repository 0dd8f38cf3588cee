//! The classic capture file of libpcap, with times in micro- or nanoseconds, of either byte order.
//!
//! Format: draft-ietf-opsawg-pcap. Read next: [`super::pcapng`].

use cordon_proto::limits;
use cordon_proto::time::Millis;

use super::{BadRecording, Captured, MAGIC_BYTES, Order, Step, as_usize};
use crate::dissect::link::Link;

/// Bytes before a packet.
const RECORD: usize = 16;

/// A reader.
#[derive(Clone, Debug)]
pub struct Pcap {
    order: Order,
    /// Parts of a second in a millisecond.
    per_ms: u32,
    link: Option<Link>,
}

impl Pcap {
    /// A reader for a file with this header.
    pub fn open(header: &[u8; MAGIC_BYTES]) -> Result<Self, BadRecording> {
        let (order, per_ms) = match header {
            [0xd4, 0xc3, 0xb2, 0xa1, ..] => (Order::Little, 1000),
            [0xa1, 0xb2, 0xc3, 0xd4, ..] => (Order::Big, 1000),
            [0x4d, 0x3c, 0xb2, 0xa1, ..] => (Order::Little, 1_000_000),
            [0xa1, 0xb2, 0x3c, 0x4d, ..] => (Order::Big, 1_000_000),
            _ => return Err(BadRecording::Foreign),
        };
        // Above the link's number stands how many bytes of check sum follow a frame.
        let link = Link::of(order.u32_at(header, 20) & 0xffff);
        Ok(Self { order, per_ms, link })
    }

    /// Looks at the next packet.
    pub fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<Step<'a>, BadRecording> {
        let Some((head, rest)) = bytes.split_first_chunk::<RECORD>() else { return Ok(Step::Needs(RECORD)) };
        let (seconds, parts) = (self.order.u32_at(head, 0), self.order.u32_at(head, 4));
        let length = as_usize(self.order.u32_at(head, 8));
        if length > limits::RECORDED_PACKET_BYTES {
            return Err(BadRecording::Length);
        }
        let Some(bytes) = rest.get(..length) else { return Ok(Step::Needs(RECORD + length)) };
        let at = Millis(i64::from(seconds) * 1000 + i64::from(parts / self.per_ms));
        Ok(Step::Took(RECORD + length, Some(Captured { at, link: self.link, bytes })))
    }
}
