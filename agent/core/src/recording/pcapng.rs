//! The capture file of blocks, as Wireshark writes it: sections, interfaces, enhanced, simple and old packet blocks.
//!
//! Format: draft-ietf-opsawg-pcapng. Blocks that are not packets are passed over unread, whatever their length; comments,
//! names and keys in them are nobody's business here.

use alloc::vec::Vec;

use cordon_proto::limits;
use cordon_proto::time::Millis;

use super::{BadRecording, Captured, Order, Step, as_usize};
use crate::dissect::link::Link;

/// How a section begins, in either byte order.
pub const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// Bytes of a packet block beside the packet, generously: options may follow it.
const AROUND_PACKET: usize = 64 * 1024;
/// Bytes around the body of a block.
const FRAME: usize = 12;

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: Option<Link>,
    /// Units of time in a second.
    units: u64,
    /// Seconds to add.
    offset_s: i64,
}

/// A reader.
#[derive(Clone, Debug, Default)]
pub struct PcapNg {
    order: Order,
    interfaces: Vec<Interface>,
    last: Millis,
}

impl PcapNg {
    /// Looks at the next block.
    pub fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<Step<'a>, BadRecording> {
        let Some(head) = bytes.first_chunk::<FRAME>() else { return Ok(Step::Needs(FRAME)) };
        if head.starts_with(&SECTION) {
            self.order = match head {
                [.., 0x4d, 0x3c, 0x2b, 0x1a] => Order::Little,
                [.., 0x1a, 0x2b, 0x3c, 0x4d] => Order::Big,
                _ => return Err(BadRecording::Block),
            };
            self.interfaces.clear();
        }
        let (kind, length) = (self.order.u32_at(head, 0), as_usize(self.order.u32_at(head, 4)));
        if length < FRAME || length % 4 != 0 {
            return Err(BadRecording::Length);
        }
        if !matches!(kind, 1 | 2 | 3 | 6) {
            return Ok(Step::Took(length, None));
        }
        if length > limits::RECORDED_PACKET_BYTES + AROUND_PACKET {
            return Err(BadRecording::Length);
        }
        let Some(block) = bytes.get(..length) else { return Ok(Step::Needs(length)) };
        let body = block.get(8..length - 4).unwrap_or_default();
        if as_usize(self.order.u32_at(block, length - 4)) != length {
            return Err(BadRecording::Block);
        }
        let packet = match kind {
            1 => {
                self.describe(body)?;
                None
            }
            2 => Some(self.timed(body, u32::from(self.order.u16_at(body, 0)))?),
            3 => {
                let (link, stated) = (self.interface(0)?.link, as_usize(self.order.u32_at(body, 0)));
                let bytes = body.get(4..).unwrap_or_default();
                Some(Captured { at: self.last, link, bytes: bytes.get(..stated).unwrap_or(bytes) })
            }
            _ => Some(self.timed(body, self.order.u32_at(body, 0))?),
        };
        self.last = packet.map_or(self.last, |packet| packet.at);
        Ok(Step::Took(length, packet))
    }

    /// A packet with its time: enhanced, or of the old form, which differ in how they name their interface.
    fn timed<'a>(&self, body: &'a [u8], interface: u32) -> Result<Captured<'a>, BadRecording> {
        let interface = self.interface(interface)?;
        let (high, low) = (self.order.u32_at(body, 4), self.order.u32_at(body, 8));
        let length = as_usize(self.order.u32_at(body, 12));
        let bytes = body.get(20..).and_then(|rest| rest.get(..length)).ok_or(BadRecording::Length)?;
        let at = interface.time(u64::from(high) << 32 | u64::from(low));
        Ok(Captured { at, link: interface.link, bytes })
    }

    fn interface(&self, number: u32) -> Result<Interface, BadRecording> {
        self.interfaces.get(as_usize(number)).copied().ok_or(BadRecording::Interface)
    }

    fn describe(&mut self, body: &[u8]) -> Result<(), BadRecording> {
        if self.interfaces.len() >= limits::RECORDED_INTERFACES {
            return Err(BadRecording::Interface);
        }
        let link = Link::of(u32::from(self.order.u16_at(body, 0)));
        let mut interface = Interface { link, units: 1_000_000, offset_s: 0 };
        let mut options = body.get(8..).unwrap_or_default();
        while let Some((head, rest)) = options.split_first_chunk::<4>() {
            let length = usize::from(self.order.u16_at(head, 2));
            match (self.order.u16_at(head, 0), rest.get(..length)) {
                (0, _) | (_, None) => break,
                (9, Some([resolution])) => interface.units = units(*resolution),
                (14, Some(value)) if length == 8 => {
                    let (low, high) = match self.order {
                        Order::Little => (self.order.u32_at(value, 0), self.order.u32_at(value, 4)),
                        Order::Big => (self.order.u32_at(value, 4), self.order.u32_at(value, 0)),
                    };
                    interface.offset_s = i64::from(low) | i64::from(high & 0x7fff_ffff) << 32;
                }
                (_, Some(_)) => {}
            }
            options = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        self.interfaces.push(interface);
        Ok(())
    }
}

impl Interface {
    fn time(self, units: u64) -> Millis {
        let milliseconds = u128::from(units) * 1000 / u128::from(self.units.max(1));
        let since = i64::try_from(milliseconds).unwrap_or(i64::MAX);
        Millis(since.saturating_add(self.offset_s.saturating_mul(1000)))
    }
}

/// Units in a second: a power of ten, or of two where the highest bit is set.
fn units(resolution: u8) -> u64 {
    let (base, power) = if resolution & 0x80 == 0 { (10_u64, resolution) } else { (2, resolution & 0x7f) };
    base.checked_pow(u32::from(power)).unwrap_or(u64::MAX)
}
