//! Community ID, version 1: one name for a flow that Zeek, Suricata and we compute alike.
//!
//! `1:` and the base64 of SHA-1 over seed, the smaller end, the larger end, protocol and ports
//! (github.com/corelight/community-id-spec). SHA-1 is here a name, not a protection: nothing is believed because of it.

use alloc::string::String;
use core::net::IpAddr;

use cordon_proto::telemetry::Protocol;

use super::{Endpoint, Tuple};

/// The community ID of a flow, with seed 0. `tuple.local` is the end that opened it.
#[must_use]
pub fn id(tuple: &Tuple) -> String {
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

    #[expect(clippy::indexing_slicing, reason = "eighty words, and places from 16 to 79")]
    fn sha1(mut self) -> [u8; 20] {
        let bits = u64::try_from(self.length * 8).unwrap_or(0).to_be_bytes();
        self.push(&[0x80]);
        self.length = 56;
        self.push(&bits);
        let mut words = [0_u32; 80];
        for (word, bytes) in words.iter_mut().zip(self.bytes.chunks_exact(4)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
        }
        for place in 16..80 {
            let mixed = words[place - 3] ^ words[place - 8] ^ words[place - 14] ^ words[place - 16];
            words[place] = mixed.rotate_left(1);
        }
        let start = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
        let [mut a, mut b, mut c, mut d, mut e] = start;
        for (round, word) in words.iter().enumerate() {
            let (mix, constant) = match round {
                0..20 => (b & c | !b & d, 0x5a82_7999),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => (b & c | b & d | c & d, 0x8f1b_bcdc_u32),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let next =
                a.rotate_left(5).wrapping_add(mix).wrapping_add(e).wrapping_add(constant).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        let mut digest = [0; 20];
        let sums = start.into_iter().zip([a, b, c, d, e]).map(|(start, end)| start.wrapping_add(end));
        for (place, sum) in digest.chunks_exact_mut(4).zip(sums) {
            place.copy_from_slice(&sum.to_be_bytes());
        }
        digest
    }
}

/// `1:` and the digest in base64 (RFC 4648, 4).
fn base64(digest: &[u8; 20]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(30);
    text.push_str("1:");
    for three in digest.chunks(3) {
        let bits = (0..3)
            .fold(0_usize, |bits, place| bits << 8 | usize::from(three.get(place).copied().unwrap_or(0)));
        for place in 0..=three.len() {
            let letter = LETTERS.get(bits >> (18 - 6 * place) & 63).copied().unwrap_or(b'A');
            text.push(char::from(letter));
        }
    }
    text.push('=');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(protocol: Protocol, from: (&str, u16), to: (&str, u16)) -> [String; 2] {
        let end =
            |(address, port): (&str, u16)| Endpoint { address: address.parse().expect("address"), port };
        let tuple = Tuple { protocol, local: end(from), remote: end(to) };
        [id(&tuple), id(&tuple.flipped())]
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
