//! An open session with a token, and the one key in it that signs.
//!
//! All of PKCS#11 is in this file. A module is loaded once in a process and never given back, because another key may
//! use it. Read next: [`super::KeyUri`].

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use cordon_proto::ids::Sha256;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::{KeyUri, refused};
use crate::arguments::read_file;
use crate::failure::Failure;
use crate::key::only_owner;

/// `1.2.840.10045.3.1.7`, the curve P-256 (RFC 5480 section 2.1.1.1), as DER.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// Bytes of an uncompressed P-256 point.
const POINT: usize = 65;
/// Bytes of each half of a signature.
const HALF: usize = 32;
/// Bytes of a file with a PIN.
const PIN_BYTES: u64 = 256;

/// A key in a token.
pub struct TokenKey {
    session: Session,
    key: ObjectHandle,
    point: Vec<u8>,
}

impl TokenKey {
    /// Opens the key that a URI names.
    ///
    /// # Errors
    /// The URI is wrong, the token is not there, it refuses the PIN, or it holds no such key.
    pub fn open(uri: &str) -> Result<Self, Failure> {
        let uri = KeyUri::read(uri)?;
        let session = session(&uri, false)?;
        let key = found(&session, &uri, ObjectClass::PRIVATE_KEY)?;
        let public = found(&session, &uri, ObjectClass::PUBLIC_KEY)?;
        let attributes = session.get_attributes(public, &[AttributeType::EcPoint]).map_err(refused)?;
        let point = attributes.into_iter().find_map(|attribute| match attribute {
            Attribute::EcPoint(point) => Some(point),
            _ => None,
        });
        // An OCTET STRING around the point, as PKCS#11 has it; some tokens leave it away.
        let point = point.map(|point| match point.strip_prefix(&[0x04, 0x41]) {
            Some(inner) if inner.len() == POINT => inner.to_vec(),
            _ => point,
        });
        let point = point.filter(|point| point.len() == POINT && point.first() == Some(&0x04));
        let point = point.ok_or_else(|| refused("the key is not on P-256"))?;
        Ok(Self { session, key, point })
    }

    /// Makes a new key under the name of a URI.
    ///
    /// # Errors
    /// As for [`TokenKey::open`], or there is a key of that name already.
    pub fn generate(uri: &str) -> Result<(), Failure> {
        let uri = KeyUri::read(uri)?;
        let Some(object) = &uri.object else {
            return Err(Failure::Usage("name the new key by `object` in the URI".to_owned()));
        };
        let session = session(&uri, true)?;
        if !objects(&session, &uri, ObjectClass::PRIVATE_KEY)?.is_empty() {
            return Err(refused(format!("the token holds a key {object} already: choose another name")));
        }
        let id = match &uri.id {
            Some(id) => id.clone(),
            None => {
                let mut id = vec![0; 8];
                getrandom::fill(&mut id).map_err(|error| Failure::refused("no randomness", error))?;
                id
            }
        };
        let both = [Attribute::Token(true), Attribute::Label(object.clone().into_bytes()), Attribute::Id(id)];
        let public = [Attribute::Private(false), Attribute::Verify(true), Attribute::EcParams(P256.to_vec())];
        let private = [
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ];
        let (public, private) = ([both.as_slice(), &public].concat(), [both.as_slice(), &private].concat());
        session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).map(drop).map_err(refused)
    }

    /// The public key as an uncompressed point.
    pub(in crate::key) fn point(&self) -> &[u8] {
        &self.point
    }

    /// ECDSA P-256 over SHA-256, ASN.1 DER.
    pub(in crate::key) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let digest = Sha256::of(message).0;
        let raw = self.session.sign(&Mechanism::Ecdsa, self.key, &digest).map_err(refused)?;
        der(&raw).ok_or_else(|| refused("the token's signature is not one of P-256"))
    }
}

/// A session that is logged in.
fn session(uri: &KeyUri, writes: bool) -> Result<Session, Failure> {
    let module = module(&uri.module)?;
    let slot = slot(uri, &module)?;
    let info = module.get_token_info(slot).map_err(refused)?;
    if info.user_pin_locked() || info.user_pin_final_try() {
        let why = "the token is locked, or one wrong PIN away from it: unlock it with its own tools";
        return Err(refused(why));
    }
    if uri.pin_source.is_some() && info.user_pin_count_low() {
        let why = "a wrong PIN was tried at this token since it was last opened, so the one in the file is not tried: \
                   leave `pin-source` out and type it once";
        return Err(refused(why));
    }
    let pin = match &uri.pin_source {
        Some(file) => pin_of(file)?,
        None => typed(info.label().trim_end())?,
    };
    let session = if writes { module.open_rw_session(slot) } else { module.open_ro_session(slot) };
    let session = session.map_err(refused)?;
    match session.login(UserType::User, Some(&AuthPin::new(pin.as_str().into()))) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
        Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => {
            Err(refused("the token refuses this PIN; it is not tried again"))
        }
        Err(error) => Err(refused(error)),
    }
}

/// The one slot whose token fits.
fn slot(uri: &KeyUri, module: &Pkcs11) -> Result<Slot, Failure> {
    let slots = module.get_slots_with_initialized_token().map_err(refused)?;
    let fits = |slot: &Slot| {
        module.get_token_info(*slot).is_ok_and(|found| {
            let is = |wanted: &Option<String>, text: &str| {
                wanted.as_ref().is_none_or(|wanted| text.trim_end() == wanted)
            };
            is(&uri.token, found.label()) && is(&uri.serial, found.serial_number())
        })
    };
    match slots.into_iter().filter(fits).collect::<Vec<_>>().as_slice() {
        [slot] => Ok(*slot),
        [] => Err(refused("no such token is plugged in")),
        [_, _, ..] => Err(refused("several tokens fit the URI: name one by its serial")),
    }
}

fn objects(session: &Session, uri: &KeyUri, class: ObjectClass) -> Result<Vec<ObjectHandle>, Failure> {
    let mut template = vec![Attribute::Class(class), Attribute::KeyType(KeyType::EC)];
    template.extend(uri.object.iter().map(|label| Attribute::Label(label.clone().into_bytes())));
    template.extend(uri.id.iter().map(|id| Attribute::Id(id.clone())));
    session.find_objects(&template).map_err(refused)
}

fn found(session: &Session, uri: &KeyUri, class: ObjectClass) -> Result<ObjectHandle, Failure> {
    match objects(session, uri, class)?.as_slice() {
        [key] => Ok(*key),
        [] => Err(refused("the token holds no such key on an elliptic curve")),
        [_, _, ..] => Err(refused("several keys fit the URI: name one by `id`")),
    }
}

/// The PIN in a file that only its owner may read.
fn pin_of(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let bytes = Zeroizing::new(read_file(file, PIN_BYTES)?);
    only_owner(file)?;
    let line = std::str::from_utf8(&bytes).unwrap_or_default().trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.contains('\n') {
        return Err(refused(format!("{} must hold the token's PIN, one line", file.display())));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// The PIN as a person types it, unseen.
fn typed(label: &str) -> Result<Zeroizing<String>, Failure> {
    let none = || refused("there is no terminal to type the PIN at: give `pin-source=file:…` in the URI");
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(|_| none())?;
    let before = tcgetattr(&terminal).map_err(|_| none())?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    write!(terminal, "PIN of the token {}: ", crate::report::plain(label)).map_err(|_| none())?;
    tcsetattr(&terminal, OptionalActions::Now, &silent).map_err(|_| none())?;
    let mut line = Zeroizing::new(String::new());
    let read = BufReader::new(&terminal).read_line(&mut line);
    let back = tcsetattr(&terminal, OptionalActions::Now, &before);
    let _ = writeln!(terminal);
    if read.is_err() || back.is_err() {
        return Err(none());
    }
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A module, loaded once in this process.
fn module(path: &Path) -> Result<Pkcs11, Failure> {
    static LOADED: OnceLock<Mutex<HashMap<PathBuf, Pkcs11>>> = OnceLock::new();
    let mut loaded = LOADED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = loaded.get(path) {
        return Ok(module.clone());
    }
    let module = Pkcs11::new(path).map_err(refused)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(refused(error)),
    }
    loaded.insert(path.to_owned(), module.clone());
    Ok(module)
}

/// `Ecdsa-Sig-Value` (RFC 3279 section 2.2.3) from two halves.
fn der(raw: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = raw.split_at_checked(HALF).filter(|(_, s)| s.len() == HALF)?;
    let mut body = Vec::with_capacity(2 * HALF + 6);
    for half in [r, s] {
        let start = half.iter().position(|byte| *byte != 0).unwrap_or(HALF - 1);
        let digits = half.get(start..).unwrap_or_default();
        let sign = digits.first().is_some_and(|byte| byte & 0x80 != 0);
        body.push(0x02);
        body.extend(u8::try_from(digits.len() + usize::from(sign)));
        body.extend(sign.then_some(0));
        body.extend_from_slice(digits);
    }
    let mut out = vec![0x30];
    out.extend(u8::try_from(body.len()));
    out.extend(body);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_halves_are_written_as_asn1() {
        // Goal: the form that devices verify. Method: a high bit, leading zeros, zero; wrong lengths.
        let mut raw = [0_u8; 64];
        raw[0] = 0x80;
        raw[63] = 1;
        let written = der(&raw).unwrap();
        assert_eq!(written[..4], [0x30, 38, 0x02, 33]);
        assert_eq!(written[written.len() - 3..], [0x02, 1, 1]);
        assert!(der(&raw[..63]).is_none() && der(&[]).is_none());
    }
}
