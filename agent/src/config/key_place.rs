//! Where the device's private key is kept, as written: `file`, or a PKCS#11 URI (RFC 7512).
//!
//! Only what finds a token and opens it is taken: `token`, `serial`, `slot-id`, `module-path`, `pin-source`. Everything
//! else is refused by name, a PIN in the text first of all. It reads no file and loads no module, so it is the same in
//! a build without PKCS#11. Read next: [`crate::identity::keystore`].

use std::path::{Path, PathBuf};

use cordon_proto::limits;

/// Where the key is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeyPlace {
    /// In a file of mode 0600 in the state folder.
    #[default]
    File,
    /// In a token, a secure element or a TPM.
    Token(TokenUri),
}

/// A token, and how it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenUri {
    /// The library that speaks to it.
    pub module: PathBuf,
    /// The file that holds its PIN.
    pub pin_file: PathBuf,
    /// Its label.
    pub token: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its slot.
    pub slot: Option<u64>,
}

/// What is wrong with the setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyPlaceError {
    /// Neither of the two forms.
    #[error("must be \"file\", or \"pkcs11:token=LABEL?module-path=LIBRARY&pin-source=file:PATH\"")]
    Form,
    /// An attribute that is not taken.
    #[error(
        "`{0}` is not taken; use token, serial or slot-id, and after the question mark module-path and pin-source"
    )]
    Attribute(String),
    /// A PIN in the open.
    #[error(
        "must not hold a PIN, which everybody who reads this file would learn; write it into a file of mode 0600 and name that file in pin-source"
    )]
    PinValue,
    /// The same attribute twice.
    #[error("`{0}` stands there twice")]
    Twice(String),
    /// A value that cannot be meant.
    #[error("`{0}` must be {1}")]
    Value(&'static str, &'static str),
    /// Something that is needed.
    #[error("`{0}` is missing")]
    Missing(&'static str),
}

impl KeyPlace {
    /// Reads the setting.
    pub fn parse(text: &str) -> Result<Self, KeyPlaceError> {
        if text == "file" {
            return Ok(Self::File);
        }
        let uri = text.strip_prefix("pkcs11:").ok_or(KeyPlaceError::Form)?;
        Ok(Self::Token(TokenUri::parse(uri)?))
    }
}

/// The attributes as found.
#[derive(Default)]
struct Found {
    token: Option<String>,
    serial: Option<String>,
    slot: Option<String>,
    module: Option<String>,
    pin_source: Option<String>,
}

impl TokenUri {
    /// What follows `pkcs11:` (RFC 7512 section 2.3).
    fn parse(text: &str) -> Result<Self, KeyPlaceError> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let mut found = Found::default();
        for pair in path.split(';').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(KeyPlaceError::Form)?;
            let place = match name {
                "token" => &mut found.token,
                "serial" => &mut found.serial,
                "slot-id" => &mut found.slot,
                _ => return Err(refused(name)),
            };
            put(place, name, value)?;
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(KeyPlaceError::Form)?;
            let place = match name {
                "module-path" => &mut found.module,
                "pin-source" => &mut found.pin_source,
                _ => return Err(refused(name)),
            };
            put(place, name, value)?;
        }
        found.checked()
    }
}

impl Found {
    fn checked(self) -> Result<TokenUri, KeyPlaceError> {
        let slot =
            self.slot.map(|slot| slot.parse().ok().filter(|_| slot.bytes().all(|b| b.is_ascii_digit())));
        if slot == Some(None) {
            return Err(KeyPlaceError::Value("slot-id", "a whole number"));
        }
        if self.token.is_none() && self.serial.is_none() && slot.is_none() {
            return Err(KeyPlaceError::Missing("token"));
        }
        let module = PathBuf::from(self.module.ok_or(KeyPlaceError::Missing("module-path"))?);
        if !module.is_absolute() {
            return Err(KeyPlaceError::Value("module-path", "a path from the root"));
        }
        let source = self.pin_source.ok_or(KeyPlaceError::Missing("pin-source"))?;
        let pin_file = source.strip_prefix("file:").map(|path| path.strip_prefix("//").unwrap_or(path));
        let pin_file = pin_file.filter(|path| Path::new(path).is_absolute());
        let pin_file =
            pin_file.ok_or(KeyPlaceError::Value("pin-source", "file: and a path from the root"))?;
        Ok(TokenUri {
            module,
            pin_file: pin_file.into(),
            token: self.token,
            serial: self.serial,
            slot: slot.flatten(),
        })
    }
}

fn refused(name: &str) -> KeyPlaceError {
    match name {
        "pin-value" => KeyPlaceError::PinValue,
        _ => KeyPlaceError::Attribute(name.chars().take(limits::NAME_CHARS).collect()),
    }
}

fn put(place: &mut Option<String>, name: &str, value: &str) -> Result<(), KeyPlaceError> {
    let value = decoded(value).filter(|value| !value.is_empty()).ok_or(KeyPlaceError::Form)?;
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(KeyPlaceError::Twice(name.to_owned())),
    }
}

/// Percent-decoding (RFC 3986 section 2.1). Text without control characters, or nothing.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WHOLE: &str =
        "pkcs11:token=dev;serial=0a1b;slot-id=3?module-path=/usr/lib/p11.so&pin-source=file:/etc/pin";

    fn error_of(text: &str) -> String {
        KeyPlace::parse(text).expect_err("is refused").to_string()
    }

    #[test]
    fn a_token_is_named_by_a_uri_and_a_file_by_a_word() {
        // Goal: the two forms. Method: all attributes, either form of a file, percent signs, nothing but the needed.
        assert_eq!(KeyPlace::parse("file"), Ok(KeyPlace::File));
        let token = |label: &str| TokenUri {
            module: "/m.so".into(),
            pin_file: "/pin".into(),
            token: Some(label.to_owned()),
            serial: None,
            slot: None,
        };
        let whole = TokenUri {
            module: "/usr/lib/p11.so".into(),
            pin_file: "/etc/pin".into(),
            serial: Some("0a1b".to_owned()),
            slot: Some(3),
            ..token("dev")
        };
        assert_eq!(KeyPlace::parse(WHOLE), Ok(KeyPlace::Token(whole)));
        let least = KeyPlace::parse("pkcs11:token=ICU%202;?pin-source=file:///pin&module-path=%2fm.so");
        assert_eq!(least, Ok(KeyPlace::Token(token("ICU 2"))));
    }

    #[test]
    fn what_is_not_taken_is_named_and_a_pin_never_repeated() {
        // Goal: a person finds the mistake, a log no secret. Method: one mistake each.
        let with = |old: &str, new: &str| error_of(&WHOLE.replace(old, new));
        assert!(error_of("token=dev").contains("must be \"file\""));
        assert!(with("serial=0a1b", "object=key").contains("`object` is not taken"));
        assert!(with("pin-source=file:/etc/pin", "module-name=x").contains("`module-name` is not taken"));
        let pin = with("pin-source=file:/etc/pin", "pin-value=1234");
        assert!(pin.contains("must not hold a PIN") && !pin.contains("1234"), "{pin}");
        assert!(with("serial=0a1b", "token=other").contains("`token` stands there twice"));
        assert!(with("slot-id=3", "slot-id=+3").contains("`slot-id` must be a whole number"));
        assert!(with("/usr/lib/p11.so", "p11.so").contains("`module-path` must be a path from the root"));
        assert!(with("file:/etc/pin", "file:pin").contains("`pin-source` must be file:"));
        assert!(with("file:/etc/pin", "%7Ccat /etc/pin").contains("`pin-source` must be file:"));
        assert!(with("token=dev;serial=0a1b;slot-id=3", "").contains("`token` is missing"));
        assert!(with("module-path=/usr/lib/p11.so&", "").contains("`module-path` is missing"));
        assert!(with("&pin-source=file:/etc/pin", "").contains("`pin-source` is missing"));
        for text in ["token=a%0Ab", "token=a%", "token=a%g0", "token=%ff", "token=", "token"] {
            assert_eq!(
                KeyPlace::parse(&WHOLE.replace("token=dev", text)),
                Err(KeyPlaceError::Form),
                "{text}"
            );
        }
    }

    fn encoded(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02x}")).collect()
    }

    proptest! {
        #[test]
        fn every_label_and_path_can_be_written(label in "[^\\p{C}]{1,40}", path in "/[^/\\p{C}][^\\p{C}]{0,40}", slot: u64) {
            let uri = format!(
                "pkcs11:slot-id={slot};token={}?pin-source=file:{}&module-path={}",
                encoded(&label), encoded(&path), encoded(&path)
            );
            let token = match KeyPlace::parse(&uri) {
                Ok(KeyPlace::Token(token)) => token,
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            };
            prop_assert_eq!((token.token, token.slot), (Some(label), Some(slot)));
            prop_assert_eq!(token.module, Path::new(&path));
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "\\PC{0,60}", at in 0_usize..90, to in "\\PC") {
            let _ = KeyPlace::parse(&text);
            let _ = KeyPlace::parse(&format!("pkcs11:{text}"));
            let mut near = WHOLE.to_owned();
            near.replace_range(at.min(WHOLE.len() - 1)..=at.min(WHOLE.len() - 1), &to);
            let _ = KeyPlace::parse(&near);
        }
    }
}
