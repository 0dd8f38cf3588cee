//! What followers of the store read: which commit touched which keys.
//!
//! Followers keep views of their own (risk, search, live pages) and load the documents they care for; bodies are not
//! repeated here.

use alloc::vec::Vec;

use cordon_proto::time::Timestamp;

use super::{Key, Revision};

/// One commit as followers of the store read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The commit.
    pub revision: Revision,
    /// When it was made, by its own word.
    pub at: Timestamp,
    /// What it touched, in the commit's order.
    pub keys: Vec<Touched>,
}

/// One key of a [`Changed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The key.
    pub key: Key,
    /// Whether the document was removed.
    pub deleted: bool,
}

const VERSION: u8 = 1;

impl Changed {
    /// The bytes to store under the commit's revision.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::from([VERSION]);
        bytes.extend_from_slice(&self.at.0.to_be_bytes());
        for touched in &self.keys {
            let key = touched.key.to_bytes();
            let length = u16::try_from(key.len()).expect("no key has more than 2,100 bytes");
            bytes.push(u8::from(touched.deleted));
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&key);
        }
        bytes
    }

    /// Reads [`Changed::to_bytes`]; `None` if the bytes are none.
    #[must_use]
    pub fn from_bytes(revision: Revision, bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (at, mut rest) = rest.split_first_chunk::<8>()?;
        let mut keys = Vec::new();
        while !rest.is_empty() {
            let ([deleted, high, low], after) = rest.split_first_chunk::<3>()?;
            let (key, after) = after.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
            keys.push(Touched { key: Key::from_bytes(key).ok()?, deleted: *deleted == 1 });
            rest = after;
        }
        let at = Timestamp(i64::from_be_bytes(*at));
        (*version == VERSION).then_some(Self { revision, at, keys })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn a_followed_commit_of_the_first_version_is_read_for_ever() {
        // Goal: feeds on disk outlive versions. Method: golden bytes, written and read.
        let changed = Changed {
            revision: Revision(7),
            at: Timestamp(258),
            keys: vec![
                Touched { key: Key::Site("a".parse().expect("name")), deleted: false },
                Touched { key: Key::Audit(1), deleted: true },
            ],
        };
        let golden =
            [1, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 0x17, b'a', 0, 1, 0, 9, 0xe3, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(changed.to_bytes(), golden);
        assert_eq!(Changed::from_bytes(Revision(7), &golden), Some(changed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_followed_commit_or_refused_without_a_panic(bytes: Vec<u8>) {
            let _ = Changed::from_bytes(Revision(1), &bytes);
        }
    }
}
