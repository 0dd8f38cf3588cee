//! An issuing key in a token or an HSM, by PKCS#11: it signs there and never leaves.
//!
//! The key is named by a URI (RFC 7512) with `module-path` and `pin-source`; a PIN in the URI itself is refused, because
//! settings are read by more people than keys. A session that was lost is opened anew once for a signature. A module is
//! loaded once in a process and never given back, because another key may use it. Read next: [`TokenKey::open`].

use std::collections::HashMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use sha2::{Digest, Sha256};

use super::key::KeyError;
use crate::files;

/// Bytes of an uncompressed P-256 point.
const POINT: usize = 65;
/// Bytes of each half of a signature.
const HALF: usize = 32;

/// A key in a token.
pub struct TokenKey {
    uri: KeyUri,
    point: Vec<u8>,
    open: Mutex<Option<(Session, ObjectHandle)>>,
}

/// What a URI says of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct KeyUri {
    token: Option<String>,
    token_serial: Option<String>,
    object: Option<String>,
    id: Option<Vec<u8>>,
    module: PathBuf,
    pin_source: PathBuf,
}

impl TokenKey {
    /// Opens the key that `uri` names.
    pub fn open(uri: &str) -> Result<Self, KeyError> {
        let uri = KeyUri::read(uri)?;
        let (session, key) = uri.session()?;
        let point = uri.point(&session)?;
        Ok(Self { uri, point, open: Mutex::new(Some((session, key))) })
    }

    /// The public key as an uncompressed point.
    pub fn point(&self) -> &[u8] {
        &self.point
    }

    /// ECDSA P-256 over SHA-256, ASN.1 DER.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let digest = Sha256::digest(message);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((session, key)) = &*open
            && let Ok(raw) = session.sign(&Mechanism::Ecdsa, *key, &digest)
        {
            return der(&raw);
        }
        // Gone first: a token may allow one session only.
        *open = None;
        let (session, key) = self.uri.session()?;
        let raw = session.sign(&Mechanism::Ecdsa, key, &digest).map_err(token)?;
        *open = Some((session, key));
        der(&raw)
    }
}

impl KeyUri {
    fn read(text: &str) -> Result<Self, KeyError> {
        let wrong = |what: &str| KeyError::Token(format!("the URI {what}"));
        let text = text.strip_prefix("pkcs11:").ok_or_else(|| wrong("begins with `pkcs11:`"))?;
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let mut uri = Self::default();
        for part in path.split(';').chain(query.split('&')).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| wrong("has parts `name=value`"))?;
            let bytes = decoded(value).ok_or_else(|| wrong("has a `%` without two digits"))?;
            let words = || String::from_utf8(bytes.clone()).map_err(|_| wrong("has names in UTF-8"));
            match name {
                "token" => uri.token = Some(words()?),
                "serial" => uri.token_serial = Some(words()?),
                "object" => uri.object = Some(words()?),
                "id" => uri.id = Some(bytes),
                "module-path" => uri.module = words()?.into(),
                "pin-source" => {
                    let words = words()?;
                    uri.pin_source = words.strip_prefix("file:").unwrap_or(&words).into();
                }
                "pin-value" => return Err(wrong("must not hold the PIN: use `pin-source=file:…`")),
                // What else narrows the search is not needed to find the key.
                _ => {}
            }
        }
        if uri.module.as_os_str().is_empty() || uri.pin_source.as_os_str().is_empty() {
            return Err(wrong("needs `module-path` and `pin-source=file:…`"));
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err(wrong("needs `object` or `id`"));
        }
        Ok(uri)
    }

    /// A session that is logged in, and the private key in it.
    fn session(&self) -> Result<(Session, ObjectHandle), KeyError> {
        let module = module(&self.module)?;
        let mut slots = module.get_slots_with_initialized_token().map_err(token)?.into_iter();
        let slot = slots.find(|slot| {
            module.get_token_info(*slot).is_ok_and(|found| {
                let label = self.token.as_ref().is_none_or(|wanted| found.label().trim_end() == wanted);
                label
                    && self
                        .token_serial
                        .as_ref()
                        .is_none_or(|wanted| found.serial_number().trim_end() == wanted)
            })
        });
        let slot = slot.ok_or_else(|| KeyError::Token("no such token is plugged in".to_owned()))?;
        let session = module.open_ro_session(slot).map_err(token)?;
        let pin = files::read_credential(&self.pin_source)?;
        let pin = AuthPin::new(String::from_utf8_lossy(&pin).trim_end_matches(['\r', '\n']).into());
        match session.login(UserType::User, Some(&pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => return Err(token(error)),
        }
        let key = self.find(&session, ObjectClass::PRIVATE_KEY)?;
        Ok((session, key))
    }

    fn find(&self, session: &Session, class: ObjectClass) -> Result<ObjectHandle, KeyError> {
        let mut template = vec![Attribute::Class(class), Attribute::KeyType(KeyType::EC)];
        template.extend(self.object.iter().map(|label| Attribute::Label(label.clone().into_bytes())));
        template.extend(self.id.iter().map(|id| Attribute::Id(id.clone())));
        let found = session.find_objects(&template).map_err(token)?;
        match found.as_slice() {
            [key] => Ok(*key),
            [] => Err(KeyError::Token("the token holds no such key on an elliptic curve".to_owned())),
            _ => Err(KeyError::Token("several keys fit the URI: name it by `id`".to_owned())),
        }
    }

    fn point(&self, session: &Session) -> Result<Vec<u8>, KeyError> {
        let public = self.find(session, ObjectClass::PUBLIC_KEY)?;
        let attributes = session.get_attributes(public, &[AttributeType::EcPoint]).map_err(token)?;
        let point = attributes.into_iter().find_map(|attribute| match attribute {
            Attribute::EcPoint(point) => Some(point),
            _ => None,
        });
        // An OCTET STRING around the point, as PKCS#11 has it; some tokens leave it away.
        let point = point.map(|point| match point.strip_prefix(&[0x04, 0x41]) {
            Some(inner) if inner.len() == POINT => inner.to_vec(),
            _ => point,
        });
        point
            .filter(|point| point.len() == POINT && point.first() == Some(&0x04))
            .ok_or_else(|| KeyError::Token("the key is not on P-256".to_owned()))
    }
}

/// A module, loaded once in this process.
fn module(path: &Path) -> Result<Pkcs11, KeyError> {
    static LOADED: OnceLock<Mutex<HashMap<PathBuf, Pkcs11>>> = OnceLock::new();
    let mut loaded = LOADED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = loaded.get(path) {
        return Ok(module.clone());
    }
    let module = Pkcs11::new(path).map_err(token)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(token(error)),
    }
    loaded.insert(path.to_owned(), module.clone());
    Ok(module)
}

fn token(error: impl Display) -> KeyError {
    KeyError::Token(error.to_string())
}

/// `Ecdsa-Sig-Value` (RFC 3279 section 2.2.3) from two halves.
fn der(raw: &[u8]) -> Result<Vec<u8>, KeyError> {
    let (r, s) = raw
        .split_at_checked(HALF)
        .filter(|(_, s)| s.len() == HALF)
        .ok_or_else(|| KeyError::Token("its signature is not one of P-256".to_owned()))?;
    let mut body = Vec::with_capacity(2 * HALF + 6);
    for half in [r, s] {
        let start = half.iter().position(|byte| *byte != 0).unwrap_or(HALF - 1);
        let digits = half.get(start..).unwrap_or_default();
        let sign = digits.first().is_some_and(|byte| byte & 0x80 != 0);
        let length = digits.len() + usize::from(sign);
        body.push(0x02);
        body.extend(u8::try_from(length));
        body.extend(sign.then_some(0));
        body.extend_from_slice(digits);
    }
    let mut out = vec![0x30];
    out.extend(u8::try_from(body.len()));
    out.extend(body);
    Ok(out)
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

    #[test]
    fn a_uri_names_a_key_and_never_holds_the_pin() {
        // Goal: RFC 7512 as tools print it. Method: one of `pkcs11-tool`, then what is missing or must not be there.
        let text = "pkcs11:token=Cordon%20CA;object=issuing;id=%01;type=private?module-path=/m.so&pin-source=file:/pin";
        let uri = KeyUri::read(text).expect("reads");
        assert_eq!((uri.token.as_deref(), uri.id.as_deref()), (Some("Cordon CA"), Some(&[1_u8][..])));
        assert_eq!((uri.module.as_path(), uri.pin_source.as_path()), (Path::new("/m.so"), Path::new("/pin")));
        for wrong in [
            "object=a",
            "pkcs11:object=a",
            "pkcs11:object=a?module-path=/m",
            "pkcs11:token=t?module-path=/m&pin-source=/p",
            "pkcs11:object=a?module-path=/m&pin-value=1234",
            "pkcs11:object=%1?module-path=/m&pin-source=/p",
        ] {
            assert!(KeyUri::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_halves_are_written_as_asn1() {
        // Goal: X.509's form of a signature. Method: a high bit, leading zeros, zero; wrong lengths.
        let mut raw = [0_u8; 64];
        raw[0] = 0x80;
        raw[63] = 1;
        let written = der(&raw).expect("written");
        assert_eq!(written[..4], [0x30, 38, 0x02, 33]);
        assert_eq!(written[written.len() - 3..], [0x02, 1, 1]);
        assert!(der(&raw[..63]).is_err() && der(&[]).is_err());
    }
}
