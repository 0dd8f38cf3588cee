//! The signed head of the audit log: how many entries there are, and the one hash that stands for all of them.
//!
//! A server seals its journal into an RFC 9162 tree and signs the root. Whoever keeps a head (a workstation, a device,
//! an auditor) holds the server to all that came before it. The log **is** its key: the public half stands under the
//! signature, so that heads of two servers are never taken for one another. A [`SignedHead`] exists only with a
//! signature of the key that it names; whether that is the right key is for whoever kept an earlier head to say.
//!
//! One head is one line of canonical JSON, at most `limits::AUDIT_HEAD_BYTES`. Read next: [`crate::merkle`].

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::canonical::fields::encode_hex;
use crate::canonical::{FieldError, ParseError, Value};
use crate::limits;
use crate::merkle::Hash;
use crate::time::Timestamp;
use crate::update::key::{Ed25519Strict, PublicKey, Verifier};

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The log, by its Ed25519 key.
    pub log: [u8; 32],
    /// The entries that are sealed, from the first.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// When it was sealed, by the server's clock.
    pub at: Timestamp,
}

/// A head with the signature of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHead {
    head: Head,
    signature: [u8; 64],
}

/// Why bytes are not a signed head.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Not JSON, or too long.
    #[error("not a head of an audit log: {0}")]
    Json(#[from] ParseError),
    /// A field that is missing or of another form.
    #[error("not a head of an audit log: {0}")]
    Field(#[from] FieldError),
    /// Another kind of document, or a version that is not known here.
    #[error("the document is no head of an audit log of a version known here")]
    Kind,
    /// The signature is not of the key that the head names.
    #[error("the head is not signed by the key that it names")]
    Signature,
}

const KIND: &str = "audit-head";
const VERSION: u64 = 1;

impl Head {
    /// The bytes that the signature covers: canonical JSON, with its own kind, so that it is no other document.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        self.to_value().canonical()
    }

    fn to_value(self) -> Value {
        Value::object([
            ("_type", Value::from(KIND)),
            ("at", Value::from(self.at)),
            ("log", Value::from(encode_hex(&self.log))),
            ("root", Value::from(encode_hex(&self.root))),
            ("size", Value::from(self.size)),
            ("v", Value::from(VERSION)),
        ])
    }
}

impl SignedHead {
    /// Joins a head with its signature.
    ///
    /// # Errors
    /// The signature is not of the key that the head names.
    pub fn new(head: Head, signature: [u8; 64]) -> Result<Self, HeadError> {
        let key = PublicKey::ed25519(head.log);
        if !Ed25519Strict.verify(&key, &head.signed_bytes(), &signature) {
            return Err(HeadError::Signature);
        }
        Ok(Self { head, signature })
    }

    /// Reads a line or a file.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeadError> {
        let document = Value::parse(bytes.trim_ascii(), limits::AUDIT_HEAD_BYTES)?;
        let fields = document.map()?;
        fields.only(&["sig", "signed"])?;
        let signed = fields.map("signed")?;
        if signed.text("_type")? != KIND || signed.unsigned("v")? != VERSION {
            return Err(HeadError::Kind);
        }
        signed.only(&["_type", "at", "log", "root", "size", "v"])?;
        let head = Head {
            log: signed.hex("log")?,
            size: signed.unsigned("size")?,
            root: signed.hex("root")?,
            at: signed.time("at")?,
        };
        Self::new(head, fields.hex("sig")?)
    }

    /// The line: canonical JSON, without a line's end.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let signature = Value::from(encode_hex(&self.signature));
        Value::object([("sig", signature), ("signed", self.head.to_value())]).canonical()
    }

    /// What it says.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The entries that it seals.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.head.size
    }

    /// The key of the log.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        PublicKey::ed25519(self.head.log)
    }
}

/// For people: `900 entries, root 3f5a9c0d…, sealed 2026-11-21T13:00:00Z`.
impl fmt::Display for SignedHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Head { size, root, at, log: _ } = &self.head;
        write!(f, "{size} entries, root {}…, sealed {at}", short(root))
    }
}

/// The first digits of a root or key, for people to compare at a glance.
#[must_use]
pub fn short(hash: &Hash) -> String {
    let [a, b, c, d, e, g, h, i, ..] = *hash;
    encode_hex(&[a, b, c, d, e, g, h, i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::Tree;
    use ed25519_dalek::{Signer, SigningKey};
    use proptest::prelude::*;

    /// A head of the first version. Workstations keep such files for years: this text may never change.
    const GOLDEN: &str = concat!(
        r#"{"sig":"ef4861823970da672d10c5f170cf8b3a752b4c51e8915a92f750036cea85083c"#,
        r#"d9d58a278a90995a4d4b641912e176132e56ded63872d94b3feafcc22d4d0a01","#,
        r#""signed":{"_type":"audit-head","at":"2026-01-01T00:00:00Z","#,
        r#""log":"ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c","#,
        r#""root":"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d","size":1,"v":1}}"#
    );

    fn signed(at: Timestamp, size: u64, root: Hash) -> SignedHead {
        let key = SigningKey::from_bytes(&[7; 32]);
        let head = Head { log: key.verifying_key().to_bytes(), size, root, at };
        SignedHead::new(head, key.sign(&head.signed_bytes()).to_bytes()).expect("our own signature")
    }

    fn golden() -> SignedHead {
        let mut tree = Tree::new();
        tree.push_data(b"");
        signed(Timestamp(1_767_225_600), 1, tree.root())
    }

    #[test]
    fn heads_of_the_first_version_are_read_for_ever() {
        // Goal: a head that was kept holds a server for years. Method: golden text, written and read, a line end behind.
        assert_eq!(String::from_utf8(golden().to_bytes()).expect("UTF-8"), GOLDEN);
        let line = alloc::format!("{GOLDEN}\n");
        assert_eq!(SignedHead::parse(line.as_bytes()), Ok(golden()));
        assert_eq!(
            alloc::format!("{}", golden()),
            "1 entries, root 6e340b9cffb37a98…, sealed 2026-01-01T00:00:00Z"
        );
    }

    #[test]
    fn a_head_with_another_word_key_kind_or_version_is_refused() {
        // Goal: every field is under the signature, and the key is one of them. Method: one change of each.
        let changed = |from: &str, to: &str| {
            assert!(GOLDEN.contains(from), "{from}");
            SignedHead::parse(GOLDEN.replace(from, to).as_bytes())
        };
        for (from, to) in [
            ("2026-01-01", "2026-01-02"),
            ("6e340b9c", "6e340b9d"),
            (r#""size":1"#, r#""size":2"#),
            (
                "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c",
                "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
            ),
        ] {
            assert_eq!(changed(from, to), Err(HeadError::Signature), "{from}");
        }
        assert_eq!(changed("audit-head", "timestamp"), Err(HeadError::Kind));
        assert_eq!(changed(r#""v":1"#, r#""v":2"#), Err(HeadError::Kind));
        assert!(matches!(changed(r#""v":1"#, r#""v":1,"w":1"#), Err(HeadError::Field(_))));
        assert!(matches!(changed(r#""size":1"#, r#""size":1,"size":1"#), Err(HeadError::Json(_))));
        let long = alloc::format!("{GOLDEN}{}x", " ".repeat(limits::AUDIT_HEAD_BYTES));
        assert!(matches!(SignedHead::parse(long.as_bytes()), Err(HeadError::Json(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_head_or_refused_without_a_panic(bytes: Vec<u8>, flip in any::<prop::sample::Index>()) {
            let _ = SignedHead::parse(&bytes);
            let mut line = golden().to_bytes();
            let at = flip.index(line.len());
            line[at] ^= 1;
            prop_assert!(SignedHead::parse(&line).is_err(), "one flipped bit");
        }

        #[test]
        fn heads_read_back(at in 0_i64..4_000_000_000, size: u64, root: Hash) {
            let head = signed(Timestamp(at), size, root);
            prop_assert_eq!(SignedHead::parse(&head.to_bytes()), Ok(head));
        }
    }
}
