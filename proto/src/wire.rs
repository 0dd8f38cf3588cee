//! Reading and writing device messages: CBOR arrays with explicit indices (`minicbor`), bounded and whole.
//!
//! A reader of an older version skips fields it does not know; a reader of a newer one gets `None` for fields that
//! were not yet sent. Indices are never reused. Trailing bytes are refused, so that one message has one meaning.

use alloc::vec::Vec;

use minicbor::{Decode, Encode};

/// Why bytes are not the message asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// More bytes than this message may have.
    #[error("the message has {found} bytes, at most {limit} are accepted")]
    TooLarge {
        /// Bytes received.
        found: usize,
        /// Bytes accepted.
        limit: usize,
    },
    /// Not CBOR of this shape.
    #[error("the message is not the expected CBOR")]
    Malformed,
    /// Bytes after the end of the message.
    #[error("the message is followed by {0} surplus bytes")]
    Trailing(usize),
    /// A list longer than the wire allows.
    #[error("the message has more than {limit} entries in a list")]
    TooMany {
        /// Entries accepted.
        limit: usize,
    },
}

/// Reads one message of at most `limit` bytes, borrowing nothing.
pub fn read<T>(bytes: &[u8], limit: usize) -> Result<T, WireError>
where
    T: for<'b> Decode<'b, ()>,
{
    if bytes.len() > limit {
        return Err(WireError::TooLarge { found: bytes.len(), limit });
    }
    let mut decoder = minicbor::Decoder::new(bytes);
    let message = decoder.decode().map_err(|_| WireError::Malformed)?;
    match bytes.len().saturating_sub(decoder.position()) {
        0 => Ok(message),
        surplus => Err(WireError::Trailing(surplus)),
    }
}

/// Writes one message.
pub fn write<T: Encode<()>>(message: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    minicbor::encode(message, &mut bytes).expect("writing to memory cannot fail");
    bytes
}
