//! A signing key in a card, a token or an HSM, by PKCS#11 (feature `pkcs11`): it signs there and never leaves.
//!
//! The key is named by a URI (RFC 7512) with `module-path`; its PIN comes from the file that `pin-source` names, or is
//! typed, and never stands in the URI or on a command line. A refused PIN is not tried again: one that comes from a file
//! is not even tried while the token remembers a wrong one, and the last try is never taken. Read next: [`super`].

use std::path::PathBuf;

use crate::failure::Failure;

#[cfg(feature = "pkcs11")]
mod open;

#[cfg(feature = "pkcs11")]
pub use open::TokenKey;

/// What a URI says of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUri {
    /// The token's label.
    pub token: Option<String>,
    /// The token's serial.
    pub serial: Option<String>,
    /// The key's label.
    pub object: Option<String>,
    /// The key's id.
    pub id: Option<Vec<u8>>,
    /// The module.
    pub module: PathBuf,
    /// The file of the PIN; it is typed otherwise.
    pub pin_source: Option<PathBuf>,
}

/// Why a key in a token cannot be used.
pub(super) fn refused(why: impl std::fmt::Display) -> Failure {
    Failure::refused("token", format!("{why}; nothing was signed"))
}

impl KeyUri {
    /// Reads a URI.
    ///
    /// # Errors
    /// It is none, lacks the module or the key's name, or holds a PIN.
    pub fn read(text: &str) -> Result<Self, Failure> {
        let wrong = |what: &str| Failure::Usage(format!("the URI {what}"));
        let text = text.strip_prefix(super::TOKEN_SCHEME).ok_or_else(|| wrong("begins with `pkcs11:`"))?;
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let mut uri = Self::default();
        for part in path.split(';').chain(query.split('&')).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| wrong("has parts `name=value`"))?;
            let bytes = decoded(value).ok_or_else(|| wrong("has a `%` without two digits"))?;
            let words = || String::from_utf8(bytes.clone()).map_err(|_| wrong("has names in UTF-8"));
            match name {
                "token" => uri.token = Some(words()?),
                "serial" => uri.serial = Some(words()?),
                "object" => uri.object = Some(words()?),
                "id" => uri.id = Some(bytes),
                "module-path" => uri.module = words()?.into(),
                "pin-source" => {
                    let words = words()?;
                    uri.pin_source = Some(words.strip_prefix("file:").unwrap_or(&words).into());
                }
                "pin-value" => {
                    return Err(wrong(
                        "must not hold the PIN: use `pin-source=file:…`, or leave it out and type it",
                    ));
                }
                // What else narrows the search is not needed to find the key.
                _ => {}
            }
        }
        if uri.module.as_os_str().is_empty() {
            return Err(wrong("needs `module-path`"));
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err(wrong("needs `object` or `id`"));
        }
        Ok(uri)
    }
}

/// A build without the feature knows no token.
#[cfg(not(feature = "pkcs11"))]
pub struct TokenKey(std::convert::Infallible);

#[cfg(not(feature = "pkcs11"))]
impl TokenKey {
    /// Refuses.
    ///
    /// # Errors
    /// Always: this build has no PKCS#11.
    pub fn open(uri: &str) -> Result<Self, Failure> {
        KeyUri::read(uri)?;
        Err(refused("this cordonctl was built without PKCS#11: build it with `--features pkcs11`"))
    }

    /// Refuses.
    ///
    /// # Errors
    /// Always: this build has no PKCS#11.
    pub fn generate(uri: &str) -> Result<(), Failure> {
        Self::open(uri).map(drop)
    }

    /// The public key as an uncompressed point.
    pub(super) fn point(&self) -> &[u8] {
        match self.0 {}
    }

    /// Signs a message.
    pub(super) fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Failure> {
        match self.0 {}
    }
}

/// Percent-encoding (RFC 3986 section 2.1), undone.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits = [bytes.next()?, bytes.next()?];
        out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_uri_names_a_key_and_never_holds_the_pin() {
        // Goal: RFC 7512 as tools print it. Method: one of `pkcs11-tool`, then what is missing or must not be there.
        let text = "pkcs11:token=Orders%20card;object=ines;id=%01;type=private?module-path=/m.so&pin-source=file:/pin";
        let uri = KeyUri::read(text).unwrap();
        assert_eq!((uri.token.as_deref(), uri.id.as_deref()), (Some("Orders card"), Some(&[1_u8][..])));
        assert_eq!(
            (uri.module.as_path(), uri.pin_source.as_deref()),
            (Path::new("/m.so"), Some(Path::new("/pin")))
        );
        assert_eq!(
            KeyUri::read("pkcs11:object=a?module-path=/m").unwrap().pin_source,
            None,
            "then it is typed"
        );
        for wrong in [
            "object=a",
            "pkcs11:object=a",
            "pkcs11:token=t?module-path=/m",
            "pkcs11:object=a?module-path=/m&pin-value=1234",
            "pkcs11:object=%1?module-path=/m",
            "pkcs11:object?module-path=/m",
        ] {
            assert!(KeyUri::read(wrong).is_err(), "{wrong}");
        }
    }
}
