//! Community ID, version 1: one name for a flow that Zeek, Suricata and we compute alike.
//!
//! `1:` and the base64 of SHA-1 over seed, the smaller end, the larger end, protocol and ports
//! (github.com/corelight/community-id-spec). SHA-1 is here a name, not a protection: nothing is believed because of it.

use core::fmt;
use core::net::IpAddr;

use cordon_proto::telemetry::Protocol;

use super::{Endpoint, Tuple};

/// A community ID. No allocation: a flood has a million of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id([u8; 30]);

impl Id {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).expect("digits and letters of base64")
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The community ID of a flow, with seed 0. `tuple.local` is the end that opened it.
#[must_use]
#[inline(never)]
pub fn id(tuple: &Tuple) -> Id {
    let (ends, protocol) = (order(tuple), number(tuple));
    let mut text = Block::default();
    text.push(&[0, 0]);
    let [low, high] = ends;
    for end in [low, high] {
        match end.address {
            IpAddr::V4(v4) => text.push(&v4.octets()),
            IpAddr::V6(v6) => text.push(&v6.octets()),
        }
    }
    text.push(&[protocol, 0]);
    text.push(&low.port.to_be_bytes());
    text.push(&high.port.to_be_bytes());
    base64(&text.sha1())
}

fn number(tuple: &Tuple) -> u8 {
    match (tuple.protocol, tuple.local.address) {
        (Protocol::Tcp, _) => 6,
        (Protocol::Udp, _) => 17,
        (Protocol::Icmp, IpAddr::V4(_)) => 1,
        (Protocol::Icmp, IpAddr::V6(_)) => 58,
    }
}

/// The smaller end first, by address and then by port. A message of ICMP that nothing answers keeps its order: its
/// "ports" are type and code.
fn order(tuple: &Tuple) -> [Endpoint; 2] {
    let (local, remote) = (tuple.local, tuple.remote);
    let exchanged = match (tuple.protocol, tuple.local.address) {
        (Protocol::Tcp | Protocol::Udp, _) => true,
        (Protocol::Icmp, IpAddr::V4(_)) => matches!(local.port, 0 | 8 | 9 | 10 | 13..=18),
        (Protocol::Icmp, IpAddr::V6(_)) => {
            matches!(local.port, 128..=131 | 133..=136 | 139 | 140 | 144 | 145)
        }
    };
    let rises = (local.address, local.port) <= (remote.address, remote.port);
    if rises || !exchanged { [local, remote] } else { [remote, local] }
}

/// One block of SHA-1 (FIPS 180-4): at most 55 bytes, and an ID needs 40.
struct Block {
    bytes: [u8; 64],
    length: usize,
}

impl Default for Block {
    fn default() -> Self {
        Self { bytes: [0; 64], length: 0 }
    }
}

impl Block {
    fn push(&mut self, bytes: &[u8]) {
        for (place, byte) in self.bytes.iter_mut().skip(self.length).zip(bytes) {
            *place = *byte;
        }
        self.length += bytes.len();
    }

    fn sha1(mut self) -> [u8; 20] {
        let bits = u64::try_from(self.length * 8).unwrap_or(0).to_be_bytes();
        self.push(&[0x80]);
        self.length = 56;
        self.push(&bits);
        let mut words = Words::of(&self.bytes);
        let mut sums = START;
        words.twenty(&mut sums, 0x5a82_7999, |b, c, d| d ^ b & (c ^ d));
        words.twenty(&mut sums, 0x6ed9_eba1, |b, c, d| b ^ c ^ d);
        words.twenty(&mut sums, 0x8f1b_bcdc, |b, c, d| b & c | d & (b | c));
        words.twenty(&mut sums, 0xca62_c1d6, |b, c, d| b ^ c ^ d);
        let mut digest = [0; 20];
        let sums = START.into_iter().zip(sums).map(|(start, end)| start.wrapping_add(end));
        for (place, sum) in digest.chunks_exact_mut(4).zip(sums) {
            place.copy_from_slice(&sum.to_be_bytes());
        }
        digest
    }
}

const START: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// The last sixteen words of the schedule, and the round that is next.
struct Words {
    last: [u32; 16],
    round: usize,
}

impl Words {
    fn of(block: &[u8; 64]) -> Self {
        let mut last = [0; 16];
        for (word, bytes) in last.iter_mut().zip(block.as_chunks::<4>().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        Self { last, round: 0 }
    }

    /// Twenty rounds, with their constant and their mix.
    #[inline]
    fn twenty(&mut self, sums: &mut [u32; 5], constant: u32, mix: impl Fn(u32, u32, u32) -> u32) {
        let [mut a, mut b, mut c, mut d, mut e] = *sums;
        for _ in 0..20 {
            let mixed = mix(b, c, d).wrapping_add(e).wrapping_add(constant);
            let next = a.rotate_left(5).wrapping_add(mixed).wrapping_add(self.next());
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        *sums = [a, b, c, d, e];
    }

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "sixteen words, and places below sixteen")]
    fn next(&mut self) -> u32 {
        let round = self.round;
        self.round += 1;
        if round >= 16 {
            let at = |back: usize| self.last[(round - back) & 15];
            self.last[round & 15] = (at(3) ^ at(8) ^ at(14) ^ at(16)).rotate_left(1);
        }
        self.last[round & 15]
    }
}

/// `1:` and the digest in base64 (RFC 4648, 4).
fn base64(digest: &[u8; 20]) -> Id {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // The last group is two bytes long, and padded.
    let mut text = *b"1:AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let groups = text.iter_mut().skip(2).take(27);
    let mut bits = 0_u32;
    let mut held = 0_u32;
    let mut bytes = digest.iter();
    for place in groups {
        if held < 6 {
            bits = bits << 8 | u32::from(bytes.next().copied().unwrap_or(0));
            held += 8;
        }
        held -= 6;
        let letter = usize::try_from(bits >> held & 63).unwrap_or(0);
        *place = LETTERS.get(letter).copied().unwrap_or(b'A');
    }
    Id(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};

    fn of(protocol: Protocol, from: (&str, u16), to: (&str, u16)) -> [String; 2] {
        let end =
            |(address, port): (&str, u16)| Endpoint { address: address.parse().expect("address"), port };
        let tuple = Tuple { protocol, local: end(from), remote: end(to) };
        [id(&tuple), id(&tuple.flipped())].map(|id| id.to_string())
    }

    #[test]
    fn it_is_the_published_one_from_either_end() {
        // Goal: others find our flows in their records. Method: vectors of the specification's baseline, seed 0.
        let tcp = of(Protocol::Tcp, ("128.232.110.120", 34855), ("66.35.250.204", 80));
        assert_eq!(tcp, ["1:LQU9qZlK+B5F3KDmev6m5PMibrg=", "1:LQU9qZlK+B5F3KDmev6m5PMibrg="]);
        let udp = of(Protocol::Udp, ("192.168.1.52", 54585), ("8.8.8.8", 53));
        assert_eq!(udp, ["1:d/FP5EW3wiY1vCndhwleRRKHowQ=", "1:d/FP5EW3wiY1vCndhwleRRKHowQ="]);
        let icmp = of(Protocol::Icmp, ("192.168.0.89", 8), ("192.168.0.1", 0));
        assert_eq!(icmp[0], "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
        let icmp6 = of(Protocol::Icmp, ("fe80::200:86ff:fe05:80da", 135), ("fe80::260:97ff:fe07:69ea", 136));
        assert_eq!(icmp6[0], "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=");
    }
}
