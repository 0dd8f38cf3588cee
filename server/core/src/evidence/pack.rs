//! Making a pack: the body line by line, the index over it, and the tail once the audit log has sealed the root.
//!
//! The caller brings lines and the log's proofs; nothing is judged here. Read next: [`super::Examination`], which does.

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::audit::SignedHead;
use cordon_proto::canonical::fields::{decode_hex, encode_hex};
use cordon_proto::merkle::{Hash, Tree, leaf_hash};

use super::{INDEX_LINES, Line};
use crate::audit::Summary;

/// A pack being written.
#[derive(Debug, Default)]
pub struct Builder {
    bytes: Vec<u8>,
    names: Names,
}

/// Hashes and labels of the lines of a body.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) hashes: Vec<Hash>,
    pub(super) labels: Vec<String>,
}

/// What the audit log has to seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The root over the lines of the index.
    pub root: Hash,
    /// Lines of the body.
    pub lines: u64,
}

/// What the audit log has sealed, for the tail.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The entry that holds the [`Seal`], as it is stored.
    pub entry: String,
    /// Its proof under the head.
    pub path: Vec<Hash>,
    /// The proofs of the body's entries, in their order.
    pub proofs: Vec<(u64, Vec<Hash>)>,
    /// Heads that were kept from before, the smallest first, each with the proof that the log goes on from it.
    pub earlier: Vec<(SignedHead, Vec<Hash>)>,
    /// The head.
    pub head: SignedHead,
}

impl Builder {
    /// Takes the next line of the body.
    pub fn push(&mut self, line: &Line) {
        let bytes = line.to_bytes();
        self.names.push(&bytes, line.label());
        self.bytes.extend_from_slice(&bytes);
        self.bytes.push(b'\n');
    }

    /// Closes the body: its bytes with the index behind it, and what has to be sealed.
    #[must_use]
    pub fn close(mut self) -> (Vec<u8>, Seal) {
        let mut tree = Tree::new();
        for line in self.names.index() {
            tree.push_data(&line);
            self.bytes.extend_from_slice(&line);
            self.bytes.push(b'\n');
        }
        let lines = self.names.count();
        (self.bytes, Seal { root: tree.root(), lines })
    }
}

impl Names {
    pub(super) fn push(&mut self, bytes: &[u8], label: String) {
        self.hashes.push(leaf_hash(bytes));
        self.labels.push(label);
    }

    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.hashes.len()).unwrap_or(u64::MAX)
    }

    /// The lines of the index.
    pub(super) fn index(&self) -> Vec<Vec<u8>> {
        let parts = self.hashes.chunks(INDEX_LINES).zip(self.labels.chunks(INDEX_LINES));
        let mut first = 1;
        let mut lines = Vec::new();
        for (hashes, labels) in parts {
            lines.push(Line::Index { first, hashes: hashes.to_vec(), labels: labels.to_vec() }.to_bytes());
            first += u64::try_from(hashes.len()).unwrap_or(0);
        }
        lines
    }
}

impl Seal {
    /// What the audit entry says of it.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary::of(&alloc::format!("{} lines, root {}", self.lines, encode_hex(&self.root)))
    }

    /// Reads what [`Seal::summary`] wrote.
    #[must_use]
    pub fn of(summary: &Summary) -> Option<Self> {
        let (lines, root) = summary.as_str().split_once(" lines, root ")?;
        Some(Self { root: decode_hex(root)?.try_into().ok()?, lines: lines.parse().ok()? })
    }
}

/// The lines behind the index.
#[must_use]
pub fn tail(sealed: &Sealed) -> Vec<u8> {
    let seal = Line::Seal { entry: sealed.entry.clone(), path: sealed.path.clone() };
    let proof = |(sequence, path): &(u64, Vec<Hash>)| {
        Line::Proof { sequence: *sequence, path: path.clone() }.to_bytes()
    };
    let mut lines = Vec::from([seal.to_bytes()]);
    lines.extend(sealed.proofs.iter().map(proof));
    lines.extend(sealed.earlier.iter().map(|(head, path)| earlier(head, path)));
    lines.push(sealed.head.to_bytes());
    lines.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect()
}

fn earlier(head: &SignedHead, path: &[Hash]) -> Vec<u8> {
    let head = String::from_utf8(head.to_bytes()).expect("canonical JSON is UTF-8");
    Line::Earlier { head, path: path.to_vec() }.to_bytes()
}
