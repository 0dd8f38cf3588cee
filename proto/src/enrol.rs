//! Enrolment: the one line or small file that tells a device where its server is, whom to trust, and with what token.
//!
//! `cordon1:HOST:ENROLMENT_PORT:DEVICE_PORT#CA_PIN#DIRECTOR_ROOT_SHA256#TOKEN` (decision 0002). Hashes are base64url
//! without padding; IPv6 stands in brackets. The join file is the same line followed by a line end. The token is a
//! secret: this type's `Debug` hides it. [`HARDWARE_HEADER`] is how our agent states its hardware beside a plain EST
//! request (RFC 7030). Nothing here talks to a server; see the agent's `identity`.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use crate::ids::{Hardware, Sha256, TokenId};
use crate::{limits, wire};

/// All that a device needs to enrol.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolmentString {
    /// Host name, IPv4 address, or IPv6 address without brackets.
    pub host: String,
    /// Port of the enrolment plane.
    pub enrolment_port: u16,
    /// Port of the device plane.
    pub device_port: u16,
    /// SHA-256 of the root CA's SubjectPublicKeyInfo.
    pub ca_pin: Sha256,
    /// SHA-256 of the received bytes of a director root that the owner's people hold.
    pub director_root: Sha256,
    /// The one-time secret, base64url.
    pub token: String,
}

/// What is wrong with an enrolment string, without repeating the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnrolmentStringError {
    /// Does not start with `cordon1:`.
    #[error("an enrolment string starts with `cordon1:`; this one is of another version or not one at all")]
    Version,
    /// Not four parts parted by `#`.
    #[error("an enrolment string has four parts parted by `#`; copy it whole, in quotes")]
    Parts,
    /// Host or ports do not parse.
    #[error("the first part must be `cordon1:HOST:ENROLMENT_PORT:DEVICE_PORT`")]
    Address,
    /// The pin of the certificate authority is not a base64url SHA-256.
    #[error("the second part must be the CA pin, 43 characters of base64url")]
    Pin,
    /// The director root's hash is not a base64url SHA-256.
    #[error("the third part must be the director root's SHA-256, 43 characters of base64url")]
    DirectorRoot,
    /// The token is empty, too long, or has other characters than base64url.
    #[error("the fourth part must be the token, 16 to 128 characters of base64url")]
    Token,
}

impl EnrolmentString {
    /// What the server keeps of the token.
    #[must_use]
    pub fn token_id(&self) -> TokenId {
        TokenId::of(&self.token)
    }

    /// `HOST:PORT` as it stands in a URL.
    #[must_use]
    pub fn authority(&self, port: u16) -> String {
        if self.host.contains(':') {
            alloc::format!("[{}]:{port}", self.host)
        } else {
            alloc::format!("{}:{port}", self.host)
        }
    }
}

impl fmt::Display for EnrolmentString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bracketed = self.host.contains(':');
        let (open, close) = if bracketed { ("[", "]") } else { ("", "") };
        write!(f, "cordon1:{open}{}{close}:{}:{}#", self.host, self.enrolment_port, self.device_port)?;
        write!(f, "{}#{}#{}", base64url(&self.ca_pin.0), base64url(&self.director_root.0), self.token)
    }
}

impl fmt::Debug for EnrolmentString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolmentString({}, token hidden)", self.authority(self.enrolment_port))
    }
}

impl FromStr for EnrolmentString {
    type Err = EnrolmentStringError;
    fn from_str(text: &str) -> Result<Self, EnrolmentStringError> {
        let text = text.trim().strip_prefix("cordon1:").ok_or(EnrolmentStringError::Version)?;
        let mut parts = text.split('#');
        let mut part = || parts.next().ok_or(EnrolmentStringError::Parts);
        let (address, pin, director, token) = (part()?, part()?, part()?, part()?);
        if parts.next().is_some() {
            return Err(EnrolmentStringError::Parts);
        }
        let (host, enrolment_port, device_port) = address_of(address).ok_or(EnrolmentStringError::Address)?;
        let ca_pin = digest_of(pin).ok_or(EnrolmentStringError::Pin)?;
        let director_root = digest_of(director).ok_or(EnrolmentStringError::DirectorRoot)?;
        if !(16..=128).contains(&token.len()) || !token.bytes().all(|b| sextet(b).is_some()) {
            return Err(EnrolmentStringError::Token);
        }
        Ok(Self { host, enrolment_port, device_port, ca_pin, director_root, token: token.to_owned() })
    }
}

fn address_of(text: &str) -> Option<(String, u16, u16)> {
    let (rest, device) = text.rsplit_once(':')?;
    let (host, enrolment) = rest.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').filter(|h| h.parse::<core::net::Ipv6Addr>().is_ok())?,
        None => host,
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':');
    let named = !host.is_empty() && host.len() <= 253 && host.bytes().all(allowed);
    let plain = !host.contains(':') || host.parse::<core::net::Ipv6Addr>().is_ok();
    (named && plain).then_some(())?;
    Some((host.to_owned(), enrolment.parse().ok()?, device.parse().ok()?))
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64url without padding (RFC 4648 section 5).
#[must_use]
pub fn base64url(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let word =
            group.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for position in 0..=group.len() {
            let index = word >> (18 - 6 * position) & 0x3f;
            let letter = ALPHABET.get(usize::try_from(index).unwrap_or(0));
            text.extend(letter.map(|l| char::from(*l)));
        }
    }
    text
}

fn sextet(letter: u8) -> Option<u32> {
    ALPHABET.iter().position(|l| *l == letter).and_then(|p| u32::try_from(p).ok())
}

/// Bytes from base64url without padding; surplus bits must be zero, so that the same bytes have one text.
#[must_use]
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut word, mut bits) = (0_u32, 0);
    for letter in text.bytes() {
        word = word << 6 | sextet(letter)?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(word >> bits & 0xff).ok()?);
            word &= (1 << bits) - 1;
        }
    }
    (word == 0 && bits < 6).then_some(bytes)
}

/// A SHA-256 from 43 characters of base64url.
fn digest_of(text: &str) -> Option<Sha256> {
    let bytes = from_base64url(text)?;
    bytes.try_into().ok().map(Sha256)
}

/// Name of the request header in which Cordon's own agent states its hardware at `simpleenroll`. Clients that know
/// only RFC 7030 do not send it; their serial is read from the request's subject.
pub const HARDWARE_HEADER: &str = "x-cordon-hardware";

/// Name of the request header with which Cordon's own agent binds a certification request to the connection that
/// carries it. A client that sends it is held to it; one that does not is a plain EST client.
pub const BINDING_HEADER: &str = "x-enrol-binding";

/// Label of the TLS exporter that both ends read, with an empty context and 32 bytes (RFC 9266 section 4.2).
pub const BINDING_EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";

const BINDING_LABEL: &[u8] = b"cordon enrol binding v1\0";

/// What the key of a certification request signs: the connection, by its exporter, and the request, by its hash. The
/// header holds the signature (ECDSA P-256 over SHA-256, ASN.1 DER) in base64url without padding.
#[must_use]
pub fn binding_message(exporter: &[u8; 32], request: &[u8]) -> Vec<u8> {
    [BINDING_LABEL, exporter, &Sha256::of(request).0].concat()
}

/// The name by which the enrolment plane is asked for where it shares a port with the device plane: devices and
/// foreign clients reach it under this name in TLS (SNI), everything else is the device plane.
#[must_use]
pub fn shared_name(host: &str) -> String {
    alloc::format!("enrol.{host}")
}

/// The name under which the enrolment plane of a server is asked for, given its host and both ports: its own name where
/// each plane has a port, [`shared_name`] where they share one. `None` where they share one and the host is an address,
/// because TLS names no address (RFC 6066 section 3).
#[must_use]
pub fn enrolment_name(host: &str, (enrolment_port, device_port): (u16, u16)) -> Option<String> {
    if enrolment_port != device_port {
        return Some(host.to_owned());
    }
    host.parse::<core::net::IpAddr>().is_err().then(|| shared_name(host))
}

/// Value of [`HARDWARE_HEADER`]: base64url without padding of the CBOR of the hardware.
#[must_use]
pub fn hardware_header(hardware: &Hardware) -> String {
    base64url(&wire::write(hardware))
}

/// The hardware of a [`HARDWARE_HEADER`]; `None` if it is not exactly what [`hardware_header`] writes.
#[must_use]
pub fn read_hardware_header(value: &str) -> Option<Hardware> {
    let bytes = from_base64url(value.trim())?;
    wire::read(&bytes, limits::HARDWARE_BYTES).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn example() -> EnrolmentString {
        EnrolmentString {
            host: "cordon.example".to_owned(),
            enrolment_port: 8444,
            device_port: 8443,
            ca_pin: Sha256([0; 32]),
            director_root: Sha256([0xff; 32]),
            token: "c2VjcmV0LXNlY3JldC1zZWNyZXQ".to_owned(),
        }
    }

    #[test]
    fn the_golden_line_reads_and_writes() {
        // Goal: the layout is fixed for ever. Method: one golden line.
        let line = format!(
            "cordon1:cordon.example:8444:8443#{}#{}8#c2VjcmV0LXNlY3JldC1zZWNyZXQ",
            "A".repeat(43),
            "_".repeat(42)
        );
        assert_eq!(example().to_string(), line);
        assert_eq!(line.parse(), Ok(example()));
        assert_eq!(format!("{line}\n").parse(), Ok(example()), "a join file ends with a line end");
    }

    #[test]
    fn ipv6_stands_in_brackets() {
        // Goal: decision 0002. Method: round trip and two malformed hosts.
        let six = EnrolmentString { host: "::1".to_owned(), ..example() };
        assert!(six.to_string().starts_with("cordon1:[::1]:8444:8443#"));
        assert_eq!(six.to_string().parse(), Ok(six));
        let bad = example().to_string().replace("cordon.example", "[nonsense]");
        assert_eq!(bad.parse::<EnrolmentString>(), Err(EnrolmentStringError::Address));
    }

    #[test]
    fn each_damage_is_named_and_the_secret_never_shown() {
        // Goal: a person learns which part is wrong. Method: one damage a part.
        let line = example().to_string();
        let cases = [
            (line.replace("cordon1", "cordon2"), EnrolmentStringError::Version),
            (line.replacen('#', "", 1), EnrolmentStringError::Parts),
            (line.replace(":8444", ":x"), EnrolmentStringError::Address),
            (line.replace("AAA#", "AA#"), EnrolmentStringError::Pin),
            (line.replace("_8#", "_9#"), EnrolmentStringError::DirectorRoot),
            (line.replace("#c2Vj", "#c2 j"), EnrolmentStringError::Token),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<EnrolmentString>(), Err(expected), "{text}");
        }
        assert!(!format!("{:?}", example()).contains("c2Vj"));
    }

    #[test]
    fn a_hardware_header_reads_back_and_damage_is_refused() {
        // Goal: both sides agree on the header. Method: round trip, one golden value, near misses.
        let text = |t: &str| t.parse().expect("a valid text");
        let hardware = Hardware {
            manufacturer: text("Halden"),
            model: text("VP-3"),
            revision: text("C"),
            serial: text("VP3-004417"),
        };
        let value = hardware_header(&hardware);
        assert_eq!(value, "hGZIYWxkZW5kVlAtM2FDalZQMy0wMDQ0MTc");
        assert_eq!(read_hardware_header(&value), Some(hardware));
        for bad in
            ["", "hGZI", "hGZIYWxkZW5kVlAtM2FDalZQMy0wMDQ0MTc=", "hGZIYWxkZW5kVlAtM2FDalZQMy0wMDQ0MTcA"]
        {
            assert_eq!(read_hardware_header(bad), None, "{bad}");
        }
    }

    #[test]
    fn one_port_for_both_planes_asks_by_another_name() {
        // Goal: decision 0010, one port. Method: two ports, one, and one where there is no name.
        assert_eq!(enrolment_name("cordon.example", (8444, 8443)).as_deref(), Some("cordon.example"));
        assert_eq!(enrolment_name("192.0.2.7", (8444, 8443)).as_deref(), Some("192.0.2.7"));
        assert_eq!(enrolment_name("cordon.example", (443, 443)).as_deref(), Some("enrol.cordon.example"));
        assert_eq!(enrolment_name("192.0.2.7", (443, 443)), None);
        assert_eq!(enrolment_name("2001:db8::7", (443, 443)), None);
    }

    proptest! {
        #[test]
        fn base64url_round_trips(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(from_base64url(&base64url(&bytes)), Some(bytes));
        }

        #[test]
        fn any_header_is_read_or_refused_without_a_panic(value in "[A-Za-z0-9_-]{0,200}") {
            let _ = read_hardware_header(&value);
        }

        #[test]
        fn every_pair_of_hashes_round_trips(pin in any::<[u8; 32]>(), root in any::<[u8; 32]>()) {
            let string = EnrolmentString { ca_pin: Sha256(pin), director_root: Sha256(root), ..example() };
            prop_assert_eq!(string.to_string().parse(), Ok(string));
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "(cordon1:)?\\PC*") {
            let _ = text.parse::<EnrolmentString>();
        }
    }
}
