//! The names of things: identifiers that exist only if they are well formed.
//!
//! Every constructor parses; there is no way to hold a malformed identifier. Identifiers never come from arithmetic
//! or chance here: random bytes are arguments. Read next: [`Hardware`], the identity a device reads from itself.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use sha2::{Digest, Sha256 as Hasher};

use crate::limits;

/// Why an outside text is not an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not the right number of characters or bytes.
    #[error("wrong length")]
    Length,
    /// A character that this identifier does not allow.
    #[error("a character that is not allowed here")]
    Character,
    /// A path with an empty, `.` or `..` segment.
    #[error("an empty or dotted path segment")]
    Segment,
}

/// Declares a fixed-size byte identifier written as lower-case hexadecimal.
macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $size:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $size]);

        impl $name {
            /// The bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; $size] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                read_hex(text).map(Self)
            }
        }

        text_serde!($name);
        bytes_cbor!($name, $size);
    };
}

/// Serde as text, through `Display` and `FromStr`.
macro_rules! text_serde {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// CBOR as a byte string of exactly the right length.
macro_rules! bytes_cbor {
    ($name:ident, $size:literal) => {
        impl<C> Encode<C> for $name {
            fn encode<W: encode::Write>(
                &self,
                encoder: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), encode::Error<W::Error>> {
                encoder.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                let bytes = decoder.bytes()?;
                bytes.try_into().map(Self).map_err(|_| decode::Error::message("identifier of wrong length"))
            }
        }
    };
}

/// CBOR as a text that must parse.
macro_rules! text_cbor {
    ($name:ident) => {
        impl<C> Encode<C> for $name {
            fn encode<W: encode::Write>(
                &self,
                encoder: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), encode::Error<W::Error>> {
                encoder.str(self.as_str())?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                decoder.str()?.parse().map_err(decode::Error::custom)
            }
        }
    };
}

hex_id! {
    /// A SHA-256 digest: of an image, a certificate, a metadata file, an inventory section.
    Sha256, 32
}
hex_id! {
    /// `H`: the hardware identity that orders are bound to, see [`Hardware::identity`].
    HardwareId, 32
}
hex_id! {
    /// SHA-256 of an enrolment or API token: all that the server keeps of it.
    TokenId, 32
}

impl Sha256 {
    /// The digest of `bytes` (FIPS 180-4).
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Hasher::digest(bytes).into())
    }
}

impl TokenId {
    /// The stored form of a token's secret text.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(Sha256::of(secret.as_bytes()).0)
    }
}

/// The server's stable name for one device, a version 4 UUID (RFC 9562) made from sixteen random bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId([u8; 16]);

impl DeviceId {
    /// Stamps version and variant into sixteen random bytes.
    #[must_use]
    pub fn from_random(random: [u8; 16]) -> Self {
        let mut bytes = random;
        let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
        *version = (*version & 0x0f) | 0x40;
        *variant = (*variant & 0x3f) | 0x80;
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The bytes read back from where they were stored.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DeviceId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != 36 {
            return Err(IdError::Length);
        }
        for (position, character) in text.bytes().enumerate() {
            if matches!(position, 8 | 13 | 18 | 23) != (character == b'-') {
                return Err(IdError::Character);
            }
        }
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        read_hex(&digits).map(Self)
    }
}

text_serde!(DeviceId);
bytes_cbor!(DeviceId, 16);

/// A name that is also safe as a file name: 1 to 128 of `a-z 0-9 . _ -`, not starting with a dot.
///
/// Repositories, roles, orders and segments of target paths are named so.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.is_empty() || text.len() > limits::NAME_CHARS {
            return Err(IdError::Length);
        }
        if text.starts_with('.') {
            return Err(IdError::Segment);
        }
        if text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::Character)
        }
    }
}

/// The path of a TUF target: [`Name`]s joined by `/`, at most 256 characters. A release is named by its target path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetPath(String);

impl TargetPath {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TargetPath {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.is_empty() || text.len() > limits::TARGET_PATH_CHARS {
            return Err(IdError::Length);
        }
        for segment in text.split('/') {
            segment.parse::<Name>().map_err(|error| match error {
                IdError::Length | IdError::Segment => IdError::Segment,
                IdError::Character => IdError::Character,
            })?;
        }
        Ok(Self(text.to_owned()))
    }
}

/// What a device or a file says about itself: 1 to 256 characters, no control characters. Shown as data, never as markup.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(String);

impl Text {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 256 characters of `text` without its control characters, or `unknown` if nothing is left.
    #[must_use]
    pub fn lossy(text: &str) -> Self {
        let kept: String = text.chars().filter(|c| !c.is_control()).take(limits::TEXT_CHARS).collect();
        if kept.is_empty() { Self("unknown".to_owned()) } else { Self(kept) }
    }
}

impl FromStr for Text {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.is_empty() || text.chars().count() > limits::TEXT_CHARS {
            return Err(IdError::Length);
        }
        if text.chars().any(char::is_control) { Err(IdError::Character) } else { Ok(Self(text.to_owned())) }
    }
}

/// `Display`, `Debug`, serde and CBOR of a text newtype.
macro_rules! text_impls {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        text_serde!($name);
        text_cbor!($name);
    )*};
}
text_impls!(Name, TargetPath, Text);

/// What a device is made of, read from the device itself: birth certificate, DMI, device tree, or the configuration
/// inside the system image; never from its server-issued certificate or from content.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, serde::Serialize, serde::Deserialize,
)]
pub struct Hardware {
    /// Who makes the model.
    #[n(0)]
    pub manufacturer: Text,
    /// The kind of device.
    #[n(1)]
    pub model: Text,
    /// Its board.
    #[n(2)]
    pub revision: Text,
    /// Its maker's number.
    #[n(3)]
    pub serial: Text,
}

impl Hardware {
    /// `H = SHA-256(0x00 ‖ CBOR [manufacturer, model, serial])`, deterministic CBOR (RFC 8949 section 4.2.1), so that
    /// `H` is at the same time the leaf hash of an RFC 9162 tree over those three texts.
    #[must_use]
    pub fn identity(&self) -> HardwareId {
        let mut hasher = Hasher::new();
        hasher.update([0x00, 0x83]);
        for text in [&self.manufacturer, &self.model, &self.serial] {
            // A text of at most 256 characters has at most 1024 bytes.
            let length = u16::try_from(text.0.len()).unwrap_or(u16::MAX);
            let [high, low] = length.to_be_bytes();
            match length {
                0..=23 => hasher.update([0x60 | low]),
                24..=255 => hasher.update([0x78, low]),
                256.. => hasher.update([0x79, high, low]),
            }
            hasher.update(text.0.as_bytes());
        }
        HardwareId(hasher.finalize().into())
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn read_hex<const N: usize>(text: &str) -> Result<[u8; N], IdError> {
    if text.len() != N * 2 {
        return Err(IdError::Length);
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = pair
            .iter()
            .try_fold(0, |value, digit| Some(value << 4 | nibble(*digit)?))
            .ok_or(IdError::Character)?;
    }
    Ok(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use minicbor::{decode, encode};
    use proptest::prelude::*;

    fn hardware(serial: &str) -> Hardware {
        let text = |t: &str| t.parse().expect("a valid text");
        Hardware {
            manufacturer: text("Halden"),
            model: text("VP-3"),
            revision: text("C"),
            serial: text(serial),
        }
    }

    #[test]
    fn hardware_identity_is_the_hash_of_deterministic_cbor() {
        // Goal: H as the design states it. Method: the same bytes made by the CBOR library, and one golden value.
        let device = hardware("VP3-004417");
        let mut bytes = Vec::from([0_u8]);
        bytes.extend(minicbor::to_vec(("Halden", "VP-3", "VP3-004417")).expect("encodes"));
        assert_eq!(device.identity().0, Sha256::of(&bytes).0);
        let other_board = Hardware { revision: "D".parse().expect("text"), ..device.clone() };
        assert_eq!(device.identity(), other_board.identity(), "the board is not part of the identity");
        assert_ne!(device.identity(), hardware("VP3-004418").identity());
    }

    #[test]
    fn long_texts_take_the_shortest_length_head() {
        // Goal: RFC 8949 4.2.1 shortest form at each boundary. Method: compare with the CBOR library.
        for length in [1, 23, 24, 255, 256] {
            let device = hardware(&"x".repeat(length));
            let mut bytes = Vec::from([0_u8]);
            bytes.extend(minicbor::to_vec(("Halden", "VP-3", device.serial.as_str())).expect("encodes"));
            assert_eq!(device.identity().0, Sha256::of(&bytes).0, "length {length}");
        }
    }

    #[test]
    fn names_that_could_leave_a_folder_are_refused() {
        // Goal: names are never paths. Method: the classic traversals.
        for text in ["", ".", "..", ".hidden", "a/b", "A", "a b", "a\0", "%2e", "é", &"a".repeat(129)] {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
        }
        for text in ["a//b", "/a", "a/", "../a", "a/../b", "a/.b", "CON/A"] {
            assert!(text.parse::<TargetPath>().is_err(), "{text:?}");
        }
        assert_eq!("vp-3/4.2.2".parse::<TargetPath>().map(|p| p.to_string()), Ok("vp-3/4.2.2".to_owned()));
    }

    #[test]
    fn a_uuid_has_version_and_variant() {
        // Goal: RFC 9562 version 4. Method: all-ones and all-zeros in, known text out.
        assert_eq!(DeviceId::from_random([0xff; 16]).to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(DeviceId::from_random([0; 16]).to_string(), "00000000-0000-4000-8000-000000000000");
    }

    proptest! {
        #[test]
        fn texts_of_identifiers_read_back(bytes in any::<[u8; 32]>(), random in any::<[u8; 16]>()) {
            let digest = Sha256(bytes);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
            let device = DeviceId::from_random(random);
            prop_assert_eq!(device.to_string().parse(), Ok(device));
            let mut cbor = Vec::new();
            encode(device, &mut cbor).expect("encodes");
            prop_assert_eq!(decode::<DeviceId>(&cbor).expect("decodes"), device);
        }

        #[test]
        fn any_text_is_parsed_or_refused_without_a_panic(text in "\\PC*") {
            let _ = (text.parse::<Name>(), text.parse::<TargetPath>(), text.parse::<DeviceId>(), text.parse::<Sha256>());
            prop_assert!(Text::lossy(&text).as_str().chars().count() <= limits::TEXT_CHARS);
        }
    }
}
