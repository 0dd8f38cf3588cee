//! The forms of EST on the wire (RFC 7030, RFC 8951): credentials and bodies in, certificates out.
//!
//! Every form here was measured with real clients: a reply is one line of base64 and a line end, folded only for the one
//! client that needs it; white space in requests is nothing; the head of a reply stays short. Nothing is decided here.

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use cordon_proto::ids::TokenId;

/// Characters of a line for clients of libest, which read no longer ones.
const FOLD: usize = 64;
const TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");

/// `CsrAttrs` (RFC 8951 section 3.2): a key on P-256, ECDSA with SHA-256.
pub(super) const CSR_ATTRIBUTES: [u8; 35] = [
    0x30, 0x21, 0x30, 0x15, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x31, 0x0a, 0x06, 0x08,
    0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03,
    0x02,
];

/// Standard base64; whether it is padded is the client's affair.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The hash of the token in `Authorization: Basic base64(user:token)`. The user's name has no meaning here.
pub(super) fn token(headers: &HeaderMap) -> Option<TokenId> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = LENIENT.decode(encoded.trim()).ok()?;
    let (_, token) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    // What cannot be a token is not looked up.
    (16..=128).contains(&token.len()).then(|| TokenId::of(token))
}

/// The DER in a body of base64, white space and padding as the client likes (RFC 8951 section 3.1).
pub(super) fn decode(body: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    LENIENT.decode(digits).ok()
}

/// A reply as every measured client reads it.
pub(super) fn reply(headers: &HeaderMap, kind: &'static str, der: &[u8]) -> Response {
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let text = encode(der, agent.starts_with("libest"));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (TRANSFER_ENCODING, HeaderValue::from_static("base64")),
    ];
    (headers, text).into_response()
}

pub(super) fn encode(der: &[u8], fold: bool) -> String {
    let line = STANDARD.encode(der);
    if !fold {
        return line + "\n";
    }
    let mut text = String::with_capacity(line.len() + line.len() / FOLD + 1);
    let mut rest = line.as_str();
    while let Some((head, tail)) = rest.split_at_checked(FOLD) {
        text.push_str(head);
        text.push('\n');
        rest = tail;
    }
    if !rest.is_empty() {
        text.push_str(rest);
        text.push('\n');
    }
    text
}
