//! The filter that the kernel runs over packets before anybody reads them: which pass, and how much of each.
//!
//! A program of the classic BSD packet filter (McCanne and Jacobson 1993; Linux `Documentation/networking/filter.rst`) for a
//! packet socket that begins at the network header. Whole pass only DNS, DHCP, and the ClientHello
//! of TLS; of all else the headers that tell something, cut behind them, so that no payload reaches the agent. Segments of
//! TCP that neither begin, end nor probe stay in the kernel: what connections carry is told by their sockets. Read next:
//! [`super::link::Link::Bare`] for reading what passes.

use cordon_proto::limits;

/// One instruction, as `struct sock_filter` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// Instructions to skip if a comparison holds.
    pub yes: u8,
    /// Instructions to skip if it does not.
    pub no: u8,
    /// Its operand.
    pub operand: u32,
}

/// A place in the program.
#[derive(Clone, Copy)]
enum At {
    /// The next instruction; as a name, none.
    Next,
    Arrived,
    Untagged,
    Four,
    Six,
    Extended,
    Icmp,
    Icmp6,
    Udp,
    Tcp,
    Speaks,
    Undelivered,
    Undelivered6,
    Advertisement,
    Eight,
    Ends,
    Whole,
    Drop,
}

/// A line of the source: its name, code, operand, and where it leads.
type Line = (At, u16, u32, At, At);

const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF_BEHIND: u16 = 0x48;
const LOAD_BYTE_BEHIND: u16 = 0x50;
const HEADER4: u16 = 0xb1;
const INDEX: u16 = 0x01;
const TO_INDEX: u16 = 0x07;
const FROM_INDEX: u16 = 0x87;
const ADD: u16 = 0x04;
const ADD_INDEX: u16 = 0x0c;
const AND: u16 = 0x54;
const SHIFT_RIGHT: u16 = 0x74;
const EQUAL: u16 = 0x15;
const ABOVE: u16 = 0x25;
const ANY_BIT: u16 = 0x45;
const PASS: u16 = 0x06;
const PASS_COUNTED: u16 = 0x16;

/// What the kernel knows beside the bytes (`SKF_AD_OFF` and the places behind it).
const PROTOCOL: u32 = 0xffff_f000;
const KIND: u32 = 0xffff_f004;
const HARDWARE: u32 = 0xffff_f01c;
const TAG: u32 = 0xffff_f02c;
const HAS_TAG: u32 = 0xffff_f030;

/// For another station.
const OTHER_HOST: u32 = 3;
/// Sent by this machine.
const OUTGOING: u32 = 4;
/// The hardware type of loopback, on which everything is sent and arrives.
const LOOPBACK: u32 = 772;

#[expect(clippy::cast_possible_truncation, reason = "two thousand bytes, counted by the compiler")]
const WHOLE: u32 = limits::PACKET_BYTES as u32;

const SOURCE: [Line; 76] = [
    // Once each: not what is for others, not what was sent on loopback, where it also arrives, no echo of multicast.
    (At::Next, LOAD_WORD, KIND, At::Next, At::Next),
    (At::Next, EQUAL, OTHER_HOST, At::Drop, At::Next),
    (At::Next, ABOVE, OUTGOING, At::Drop, At::Next),
    (At::Next, EQUAL, OUTGOING, At::Next, At::Arrived),
    (At::Next, LOAD_WORD, HARDWARE, At::Next, At::Next),
    (At::Next, EQUAL, LOOPBACK, At::Drop, At::Arrived),
    // A packet of a VLAN is seen again without its tag, on the interface of that VLAN; a tag of priority alone is none.
    (At::Arrived, LOAD_WORD, HAS_TAG, At::Next, At::Next),
    (At::Next, EQUAL, 0, At::Untagged, At::Next),
    (At::Next, LOAD_WORD, TAG, At::Next, At::Next),
    (At::Next, ANY_BIT, 0x0fff, At::Drop, At::Untagged),
    (At::Untagged, LOAD_WORD, PROTOCOL, At::Next, At::Next),
    (At::Next, EQUAL, 0x0800, At::Four, At::Next),
    (At::Next, EQUAL, 0x86dd, At::Six, At::Next),
    (At::Next, EQUAL, 0x0806, At::Next, At::Drop),
    (At::Next, PASS, 28, At::Next, At::Next),
    // IPv4: later fragments have no ports.
    (At::Four, LOAD_HALF, 6, At::Next, At::Next),
    (At::Next, ANY_BIT, 0x1fff, At::Drop, At::Next),
    (At::Next, HEADER4, 0, At::Next, At::Next),
    (At::Next, LOAD_BYTE, 9, At::Next, At::Next),
    (At::Next, EQUAL, 6, At::Tcp, At::Next),
    (At::Next, EQUAL, 17, At::Udp, At::Next),
    (At::Next, EQUAL, 1, At::Icmp, At::Drop),
    // IPv6.
    (At::Six, INDEX, 40, At::Next, At::Next),
    (At::Next, LOAD_BYTE, 6, At::Next, At::Next),
    (At::Next, EQUAL, 6, At::Tcp, At::Next),
    (At::Next, EQUAL, 17, At::Udp, At::Next),
    (At::Next, EQUAL, 58, At::Icmp6, At::Next),
    (At::Next, EQUAL, 0, At::Extended, At::Next),
    (At::Next, EQUAL, 43, At::Extended, At::Next),
    (At::Next, EQUAL, 44, At::Extended, At::Next),
    (At::Next, EQUAL, 60, At::Extended, At::Drop),
    // One short extension header and a TCP header.
    (At::Extended, PASS, 68, At::Next, At::Next),
    (At::Icmp, LOAD_BYTE_BEHIND, 0, At::Next, At::Next),
    (At::Next, EQUAL, 3, At::Undelivered, At::Next),
    (At::Next, EQUAL, 11, At::Undelivered, At::Eight),
    (At::Icmp6, LOAD_BYTE_BEHIND, 0, At::Next, At::Next),
    (At::Next, EQUAL, 136, At::Advertisement, At::Next),
    (At::Next, EQUAL, 1, At::Undelivered6, At::Next),
    (At::Next, EQUAL, 3, At::Undelivered6, At::Eight),
    // UDP: DNS either way, and the ports of DHCP.
    (At::Udp, LOAD_HALF_BEHIND, 0, At::Next, At::Next),
    (At::Next, EQUAL, 53, At::Whole, At::Next),
    (At::Next, LOAD_HALF_BEHIND, 2, At::Next, At::Next),
    (At::Next, EQUAL, 53, At::Whole, At::Next),
    (At::Next, EQUAL, 67, At::Whole, At::Next),
    (At::Next, EQUAL, 68, At::Whole, At::Eight),
    // TCP: SYN, FIN, RST, and what has no ACK.
    (At::Tcp, LOAD_BYTE_BEHIND, 13, At::Next, At::Next),
    (At::Next, ANY_BIT, 0x07, At::Ends, At::Next),
    (At::Next, ANY_BIT, 0x10, At::Speaks, At::Ends),
    // Data: a ClientHello begins with a record of the handshake, version 3. A load behind the end drops the packet.
    (At::Speaks, LOAD_BYTE_BEHIND, 12, At::Next, At::Next),
    (At::Next, AND, 0xf0, At::Next, At::Next),
    (At::Next, SHIFT_RIGHT, 2, At::Next, At::Next),
    (At::Next, ADD_INDEX, 0, At::Next, At::Next),
    (At::Next, TO_INDEX, 0, At::Next, At::Next),
    (At::Next, LOAD_HALF_BEHIND, 0, At::Next, At::Next),
    (At::Next, EQUAL, 0x1603, At::Next, At::Drop),
    (At::Next, LOAD_BYTE_BEHIND, 5, At::Next, At::Next),
    (At::Next, EQUAL, 1, At::Whole, At::Drop),
    // How much of the headers: behind a TCP header, and behind what each kind of ICMP says of another packet.
    (At::Ends, LOAD_BYTE_BEHIND, 12, At::Next, At::Next),
    (At::Next, AND, 0xf0, At::Next, At::Next),
    (At::Next, SHIFT_RIGHT, 2, At::Next, At::Next),
    (At::Next, ADD_INDEX, 0, At::Next, At::Next),
    (At::Next, PASS_COUNTED, 0, At::Next, At::Next),
    (At::Eight, FROM_INDEX, 0, At::Next, At::Next),
    (At::Next, ADD, 8, At::Next, At::Next),
    (At::Next, PASS_COUNTED, 0, At::Next, At::Next),
    (At::Undelivered, FROM_INDEX, 0, At::Next, At::Next),
    (At::Next, ADD, 8 + 20 + 8, At::Next, At::Next),
    (At::Next, PASS_COUNTED, 0, At::Next, At::Next),
    (At::Undelivered6, FROM_INDEX, 0, At::Next, At::Next),
    (At::Next, ADD, 8 + 40 + 8, At::Next, At::Next),
    (At::Next, PASS_COUNTED, 0, At::Next, At::Next),
    (At::Advertisement, FROM_INDEX, 0, At::Next, At::Next),
    (At::Next, ADD, 8 + 16 + 8, At::Next, At::Next),
    (At::Next, PASS_COUNTED, 0, At::Next, At::Next),
    (At::Whole, PASS, WHOLE, At::Next, At::Next),
    (At::Drop, PASS, 0, At::Next, At::Next),
];

/// The program.
pub const PROGRAM: [Instruction; SOURCE.len()] = assembled();

#[expect(clippy::indexing_slicing, reason = "the compiler runs it, and refuses what leads outside")]
const fn assembled() -> [Instruction; SOURCE.len()] {
    let mut program = [Instruction { code: 0, yes: 0, no: 0, operand: 0 }; SOURCE.len()];
    let mut place = 0;
    while place < SOURCE.len() {
        let (_, code, operand, yes, no) = SOURCE[place];
        program[place] = Instruction { code, yes: skips(place, yes), no: skips(place, no), operand };
        place += 1;
    }
    program
}

/// Instructions between a place and a later one. What leads nowhere does not compile.
#[expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "fewer than 256 instructions; the compiler runs it, and refuses what leads outside"
)]
const fn skips(from: usize, to: At) -> u8 {
    if matches!(to, At::Next) {
        return 0;
    }
    let mut place = from + 1;
    while SOURCE[place].0 as u8 != to as u8 {
        place += 1;
    }
    (place - from - 1) as u8
}

#[cfg(test)]
mod tests;
