//! How samples are bent: bytes, pieces, lengths, and, where the input is DER, its tree.
//!
//! A few bends at a time, so that most of a sample stays what it was and a reader goes deep before it stumbles. All
//! chance comes from one seeded source; the same seed bends the same way.

use fastrand::Rng;

use super::der::{self, Node};

/// Bends at a time, at most.
const BENDS: usize = 4;
/// Bytes of an input, at most: a little more than the largest limit that a reader has for small messages.
const BYTES: usize = 70_000;
/// Bytes that readers stumble over: ends of ranges, DER and CBOR lengths, tags, line ends, separators.
const ODD: [u8; 24] = [
    0x00, 0x01, 0x03, 0x05, 0x18, 0x1b, 0x1f, 0x30, 0x31, 0x3f, 0x5f, 0x7f, 0x80, 0x81, 0x82, 0x84, 0x9f,
    0xa0, 0xbf, 0xc0, 0xfe, 0xff, b'\n', b'"',
];
/// Values that parts of DER are replaced with.
const PARTS: [&[u8]; 12] = [
    // BasicConstraints: CA, as an extension, critical and not.
    &[0x30, 0x0f, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff, 0x04, 0x05, 0x30, 0x03, 0x01, 0x01, 0xff],
    &[0x30, 0x0c, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x04, 0x05, 0x30, 0x03, 0x01, 0x01, 0xff],
    // Key usage: signing certificates.
    &[0x30, 0x0e, 0x06, 0x03, 0x55, 0x1d, 0x0f, 0x01, 0x01, 0xff, 0x04, 0x04, 0x03, 0x02, 0x02, 0x04],
    // A name of another: DNS:evil.
    &[0x30, 0x0f, 0x06, 0x03, 0x55, 0x1d, 0x11, 0x04, 0x08, 0x30, 0x06, 0x82, 0x04, b'e', b'v', b'i', b'l'],
    // The attribute `extensionRequest`, empty.
    &[0x30, 0x0f, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e, 0x31, 0x02, 0x30, 0x00],
    // serialNumber and common name.
    &[0x30, 0x0a, 0x06, 0x03, 0x55, 0x04, 0x05, 0x0c, 0x03, b'S', b'N', b'9'],
    &[0x30, 0x0a, 0x06, 0x03, 0x55, 0x04, 0x03, 0x13, 0x03, b'S', b'N', b'9'],
    // A string of another kind (BMPString), NULL, an empty set, a long integer, a long-form tag.
    &[0x1e, 0x04, 0x00, b'A', 0x00, b'B'],
    &[0x05, 0x00],
    &[0x31, 0x00],
    &[0x02, 0x09, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x7f, 0x81, 0x01, 0x00],
];

/// One bending of one sample.
#[derive(Debug)]
pub struct Mutator<'a> {
    /// The chance.
    pub chance: &'a mut Rng,
    /// What there is to bend.
    pub pool: &'a [Vec<u8>],
    /// Whether the inputs are DER.
    pub der: bool,
}

impl Mutator<'_> {
    /// A bent sample.
    #[must_use]
    pub fn bend(&mut self) -> Vec<u8> {
        let mut input = self.sample();
        for _ in 0..self.chance.usize(1..=BENDS) {
            input =
                if self.der && self.chance.bool() { self.bend_tree(input) } else { self.bend_bytes(input) };
            input.truncate(BYTES);
        }
        input
    }

    fn sample(&mut self) -> Vec<u8> {
        self.chance.choice(self.pool).cloned().unwrap_or_default()
    }

    /// A range of what there is, of at most `longest` bytes.
    fn range(&mut self, length: usize, longest: usize) -> std::ops::Range<usize> {
        let from = self.chance.usize(..=length);
        from..length.min(from + self.chance.usize(..=longest))
    }

    fn bend_bytes(&mut self, mut input: Vec<u8>) -> Vec<u8> {
        let length = input.len();
        match self.chance.u8(..10) {
            0 | 1 => self.at_some_byte(&mut input, |byte, chance| *byte ^= 1 << chance.u8(..8)),
            2 | 3 => self.at_some_byte(&mut input, |byte, chance| *byte = chance.choice(ODD).unwrap_or(0)),
            4 => self.at_some_byte(&mut input, |byte, chance| *byte = byte.wrapping_add(chance.u8(..))),
            5 => {
                let gone = self.range(length, 32);
                input.drain(gone);
            }
            6 => {
                let copied = self.range(length, 64);
                let piece: Vec<u8> = input.get(copied).unwrap_or_default().to_vec();
                let times = self.chance.usize(1..=4);
                let at = self.chance.usize(..=length);
                input.splice(at..at, piece.repeat(times));
            }
            7 => {
                // The beginning of one sample, the end of another.
                let other = self.sample();
                let (at, from) = (self.chance.usize(..=length), self.chance.usize(..=other.len()));
                input.truncate(at);
                input.extend(other.get(from..).unwrap_or_default());
            }
            8 => {
                let cut = self.chance.usize(..=length);
                input.truncate(cut);
            }
            _ => self.overwrite_number(&mut input),
        }
        input
    }

    fn at_some_byte(&mut self, input: &mut [u8], change: impl FnOnce(&mut u8, &mut Rng)) {
        let at = self.chance.usize(..=input.len());
        if let Some(byte) = input.get_mut(at) {
            change(byte, self.chance);
        }
    }

    /// A length or count of two, four or eight bytes becomes another.
    fn overwrite_number(&mut self, input: &mut [u8]) {
        let numbers =
            [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX, u64::MAX / 2 + 1];
        let number = self.chance.choice(numbers).unwrap_or(0).to_be_bytes();
        let width = self.chance.choice([2, 4, 8]).unwrap_or(2);
        let at = self.chance.usize(..=input.len());
        for (byte, new) in input.iter_mut().skip(at).zip(number.iter().skip(8 - width)) {
            *byte = *new;
        }
    }

    /// A part of the tree becomes another; all lengths above it are right again, or it is a length that is bent.
    fn bend_tree(&mut self, input: Vec<u8>) -> Vec<u8> {
        let Some(mut nodes) = der::read(&input) else { return self.bend_bytes(input) };
        let all = nodes.iter().map(Node::count).sum::<usize>();
        let chosen = self.chance.usize(..all.max(1));
        let form = self.chance.u8(..7);
        let length_form = self.chance.u8(..4);
        let other = self.sample();
        let part = self.chance.choice(PARTS).unwrap_or_default().to_vec();
        let tag = self.chance.choice(ODD).unwrap_or(0x30);
        let changed = |node: Node| match form {
            0 => vec![node.clone(), node],
            1 => Vec::new(),
            2 => vec![Node::raw(part)],
            3 => vec![node, Node::raw(part)],
            4 => vec![Node::leaf(tag, node.content())],
            5 => vec![Node::raw(node.with_odd_length(length_form))],
            _ => vec![der::read(&other).and_then(|nodes| der::nth(&nodes, chosen)).unwrap_or(node)],
        };
        der::replace(&mut nodes, chosen, changed);
        der::write(&nodes)
    }
}
