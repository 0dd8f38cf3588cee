//! DER as a tree, to bend it: parts are exchanged and every length above them is written anew.
//!
//! It reads only what is well formed down to a depth, everything else is a leaf; it is no judge of anything.

/// Levels of a tree that are taken apart.
const DEPTH: usize = 12;

/// One part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A tag with its content.
    Leaf {
        /// The tag.
        tag: u8,
        /// The content.
        content: Vec<u8>,
    },
    /// A tag with parts.
    Branch {
        /// The tag.
        tag: u8,
        /// The parts.
        parts: Vec<Node>,
    },
    /// Bytes as they are, length and all.
    Raw(Vec<u8>),
}

impl Node {
    /// A leaf.
    #[must_use]
    pub fn leaf(tag: u8, content: Vec<u8>) -> Self {
        Self::Leaf { tag, content }
    }

    /// Bytes as they are.
    #[must_use]
    pub fn raw(bytes: Vec<u8>) -> Self {
        Self::Raw(bytes)
    }

    /// How many parts there are, this one counted.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Leaf { .. } | Self::Raw(_) => 1,
            Self::Branch { parts, .. } => 1 + parts.iter().map(Self::count).sum::<usize>(),
        }
    }

    /// What is inside, written out.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        match self {
            Self::Leaf { content, .. } => content.clone(),
            Self::Branch { parts, .. } => write(parts),
            Self::Raw(bytes) => bytes.clone(),
        }
    }

    /// Written with a length that is wrong or in a form that DER does not know: indefinite, too long a form, one more, one
    /// fewer.
    #[must_use]
    pub fn with_odd_length(&self, form: u8) -> Vec<u8> {
        let (tag, content) = match self {
            Self::Leaf { tag, .. } | Self::Branch { tag, .. } => (*tag, self.content()),
            Self::Raw(bytes) => return bytes.clone(),
        };
        let length = content.len();
        let wide = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        let length = match form {
            0 => vec![0x80],
            1 => [&[0x84][..], &wide].concat(),
            2 => length_bytes(length + 1),
            _ => length_bytes(length.saturating_sub(1)),
        };
        [&[tag][..], &length, &content].concat()
    }
}

/// Takes bytes apart; `None` if they are no row of parts.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Vec<Node>> {
    read_to(bytes, DEPTH)
}

fn read_to(mut bytes: &[u8], depth: usize) -> Option<Vec<Node>> {
    let mut nodes = Vec::new();
    while let [tag, rest @ ..] = bytes {
        let (length, rest) = read_length(rest)?;
        let (content, rest) = rest.split_at_checked(length)?;
        let parts = (tag & 0x20 != 0 && depth > 0).then(|| read_to(content, depth - 1)).flatten();
        nodes.push(match parts {
            Some(parts) => Node::Branch { tag: *tag, parts },
            None => Node::leaf(*tag, content.to_vec()),
        });
        bytes = rest;
    }
    Some(nodes)
}

fn read_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    match first {
        0..=0x7f => Some((usize::from(*first), rest)),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            Some((digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit)), rest))
        }
        _ => None,
    }
}

fn length_bytes(length: usize) -> Vec<u8> {
    let digits: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|digit| *digit == 0).collect();
    match digits.as_slice() {
        [] => vec![0],
        [digit] if *digit < 0x80 => digits,
        _ => [&[0x80 | u8::try_from(digits.len()).unwrap_or(0x7f)], digits.as_slice()].concat(),
    }
}

/// Puts parts together.
#[must_use]
pub fn write(nodes: &[Node]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for node in nodes {
        match node {
            Node::Leaf { tag, .. } | Node::Branch { tag, .. } => {
                let content = node.content();
                bytes.push(*tag);
                bytes.extend(length_bytes(content.len()));
                bytes.extend(content);
            }
            Node::Raw(raw) => bytes.extend(raw),
        }
    }
    bytes
}

/// The part of this number, counted from the root down.
#[must_use]
pub fn nth(nodes: &[Node], mut number: usize) -> Option<Node> {
    for node in nodes {
        if number == 0 {
            return Some(node.clone());
        }
        if let (Node::Branch { parts, .. }, true) = (node, number < node.count()) {
            return nth(parts, number - 1);
        }
        number -= node.count().min(number);
    }
    None
}

/// Puts others in the place of the part of this number.
pub fn replace(nodes: &mut Vec<Node>, mut number: usize, change: impl FnOnce(Node) -> Vec<Node>) {
    for at in 0..nodes.len() {
        let Some(node) = nodes.get_mut(at) else { return };
        if number == 0 {
            let changed = change(node.clone());
            nodes.splice(at..=at, changed);
            return;
        }
        let count = node.count();
        if number < count {
            if let Node::Branch { parts, .. } = node {
                replace(parts, number - 1, change);
            }
            return;
        }
        number -= count;
    }
}
