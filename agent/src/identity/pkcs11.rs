//! Keys in a token, a secure element or a TPM, through the PKCS#11 module that the configuration names (feature
//! `pkcs11`).
//!
//! A pair is made inside the token, sensitive and never extractable, and found again by its label, which is its name
//! for the identity. The PIN is read from its file at each login and kept nowhere. A token that was restarted or taken
//! out is opened anew at the next use; a wrong PIN is never tried twice, not by a later start either, and a last try never
//! taken, so that the agent cannot lock a token. Calls block: a signature is one short call in a handshake. Read next: [`super::keystore`] for
//! the port, [`crate::config::key_place`] for the setting.

mod refused;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use cordon_proto::ids::Sha256;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use super::key::{DeviceKey, KeyError, spki_of};
use super::keystore::{KeyStore, KeyStoreError};
use crate::config::key_place::TokenUri;
use crate::der::{self, INTEGER, OCTET_STRING, SEQUENCE};
use crate::files::{self, FileError, Folder};
use refused::Refused;

/// `1.2.840.10045.3.1.7`, the curve P-256 (RFC 5480 section 2.1.1.1), as DER.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// Bytes of each of the two numbers of a signature.
const NUMBER: usize = 32;
/// Bytes of a file with a PIN.
const PIN_BYTES: usize = 256;
/// What the names of all our keys begin with.
const PREFIX: &str = "cordon-";

/// Why a token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file of the PIN.
    #[error(transparent)]
    Pin(#[from] FileError),
    /// The file of the PIN holds none.
    #[error("{0} must hold the token's PIN, one line")]
    PinForm(String),
    /// The module has no such token now.
    #[error("no token of the module {0} fits `key`; is it plugged in, and are label, serial and slot right?")]
    Absent(String),
    /// More than one token fits.
    #[error("several tokens of the module {0} fit `key`; name one by its serial")]
    Several(String),
    /// The PIN was refused, now or before.
    #[error(
        "the token refuses the PIN in {file}; it is not tried again, not by another start either, until that file holds another PIN; if the token's own PIN was mended instead, remove {}", memory.display()
    )]
    WrongPin {
        /// The file of the PIN.
        file: String,
        /// What remembers the refusal.
        memory: PathBuf,
    },
    /// One more wrong PIN would lock the token, or has.
    #[error(
        "the token is locked, or one wrong PIN away from it; a person has to unlock it with its own tools"
    )]
    Locked,
    /// The module or the token fails.
    #[error("the token or its module fails: {0}")]
    Failed(#[from] Error),
}

/// Keys in one token.
pub struct TokenKeys {
    token: Arc<Token>,
    prefix: String,
}

/// A token, opened when it is needed.
struct Token {
    uri: TokenUri,
    tier: &'static str,
    refused: Refused,
    open: Mutex<Open>,
}

/// What is open, and what must not be tried again.
#[derive(Default)]
struct Open {
    session: Option<Session>,
    /// The PIN that was refused, where the disk would not remember it.
    wrong_pin: Option<Sha256>,
}

impl TokenKeys {
    /// Opens the token. `folder` is where the agent keeps its identity: two agents that share a token each know their
    /// own keys by it.
    pub fn open(uri: &TokenUri, folder: &Folder) -> Result<Self, KeyStoreError> {
        let module = module(uri).map_err(TokenError::from)?;
        let info = module.get_library_info().map_err(TokenError::from)?;
        let words = format!("{} {}", info.manufacturer_id(), info.library_description());
        let tier = if words.to_ascii_lowercase().contains("tpm2") { "tpm" } else { "pkcs11" };
        let refused = Refused::new(folder.clone());
        let token = Arc::new(Token { uri: uri.clone(), tier, refused, open: Mutex::default() });
        token.with(|_| Ok(()))?;
        // The same folder by whatever way it was named.
        let folder = std::fs::canonicalize(folder.path()).unwrap_or_else(|_| folder.path().to_owned());
        let digest = Sha256::of(folder.as_os_str().as_encoded_bytes()).to_string();
        let prefix = format!("{PREFIX}{}-", digest.get(..8).unwrap_or(&digest));
        Ok(Self { token, prefix })
    }
}

impl KeyStore for TokenKeys {
    fn generate(&self) -> Result<(String, Arc<dyn DeviceKey>), KeyStoreError> {
        let mut id = [0; 8];
        getrandom::fill(&mut id).map_err(|_| KeyError::Library)?;
        let name = format!("{}{:016x}", self.prefix, u64::from_be_bytes(id));
        let both =
            [Attribute::Token(true), Attribute::Label(name.clone().into_bytes()), Attribute::Id(id.into())];
        let public = [
            both.as_slice(),
            &[Attribute::Private(false), Attribute::Verify(true), Attribute::EcParams(P256.to_vec())],
        ];
        let private = [
            both.as_slice(),
            &[
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Sign(true),
            ],
        ];
        let (public, private) = (public.concat(), private.concat());
        self.token.with(|session| {
            // A try that died half-way leaves nothing under this name.
            destroy(session, &name)?;
            session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)?;
            Ok(())
        })?;
        let key = self.open(&name)?.ok_or(KeyError::Token)?;
        Ok((name, key))
    }

    fn open(&self, name: &str) -> Result<Option<Arc<dyn DeviceKey>>, KeyStoreError> {
        let name = plain(name)?;
        let point = self.token.with(|session| {
            let private = find(session, ObjectClass::PRIVATE_KEY, name)?;
            let public = find(session, ObjectClass::PUBLIC_KEY, name)?;
            let Some(public) = public.filter(|_| private.is_some()) else { return Ok(None) };
            let read = session.get_attributes(public, &[AttributeType::EcPoint])?;
            Ok(read.into_iter().find_map(|attribute| match attribute {
                Attribute::EcPoint(point) => Some(point),
                _ => None,
            }))
        })?;
        let Some(point) = point else { return Ok(None) };
        let spki = spki_of(uncompressed(&point)).ok_or(KeyError::Damaged)?;
        Ok(Some(Arc::new(TokenKey { token: Arc::clone(&self.token), name: name.to_owned(), spki })))
    }

    fn remove(&self, name: &str) -> Result<(), KeyStoreError> {
        let name = plain(name)?;
        Ok(self.token.with(|session| destroy(session, name))?)
    }

    fn names(&self) -> Result<Vec<String>, KeyStoreError> {
        let labels = self.token.with(|session| {
            let mut labels = Vec::new();
            for key in session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)])? {
                labels.extend(session.get_attributes(key, &[AttributeType::Label])?);
            }
            Ok(labels)
        })?;
        let text = |attribute| match attribute {
            Attribute::Label(label) => String::from_utf8(label).ok(),
            _ => None,
        };
        let mut names: Vec<String> = labels.into_iter().filter_map(text).collect();
        names.retain(|name| name.starts_with(&self.prefix));
        names.sort_unstable();
        Ok(names)
    }
}

/// A key in a token.
struct TokenKey {
    token: Arc<Token>,
    name: String,
    spki: Vec<u8>,
}

impl DeviceKey for TokenKey {
    fn spki(&self) -> &[u8] {
        &self.spki
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let digest = Sha256::of(message).0;
        let signed = self.token.with(|session| {
            let Some(key) = find(session, ObjectClass::PRIVATE_KEY, &self.name)? else { return Ok(None) };
            Ok(Some(session.sign(&Mechanism::Ecdsa, key, &digest)?))
        });
        let numbers = signed.map_err(|error| {
            tracing::error!(%error, "the token does not sign");
            KeyError::Token
        })?;
        // The key was removed behind our back.
        signature(&numbers.ok_or(KeyError::Token)?).ok_or(KeyError::Library)
    }

    fn protection(&self) -> &'static str {
        self.token.tier
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({} in {})", self.name, self.token.uri.module.display())
    }
}

impl Token {
    /// Does something in an open session. Where that fails, a session is opened anew, and at last the module begun anew:
    /// some forget a token that was restarted only then.
    fn with<T>(&self, act: impl Fn(&Session) -> Result<T, TokenError>) -> Result<T, TokenError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = &open.session {
            match act(session) {
                Ok(done) => return Ok(done),
                Err(error) => tracing::debug!(%error, "the token's session is opened anew"),
            }
        }
        match self.anew(&mut open, &act) {
            Err(TokenError::Failed(_) | TokenError::Absent(_)) => {
                let _ = module(&self.uri)?.finalize();
                self.anew(&mut open, &act)
            }
            done => done,
        }
    }

    /// The same in a new session, which is kept if it serves.
    fn anew<T>(
        &self,
        open: &mut Open,
        act: impl Fn(&Session) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        open.session = None;
        let session = self.session(open)?;
        let done = act(&session)?;
        open.session = Some(session);
        Ok(done)
    }

    /// A session of ours, logged in.
    fn session(&self, open: &mut Open) -> Result<Session, TokenError> {
        let shown = || self.uri.pin_file.display().to_string();
        let pin = Zeroizing::new(files::read_secret_file(&self.uri.pin_file, PIN_BYTES)?);
        let line = str::from_utf8(&pin).ok().map(|line| line.trim_end_matches(['\r', '\n']));
        let line = line.filter(|line| !line.is_empty() && !line.contains('\n'));
        let line = line.ok_or_else(|| TokenError::PinForm(shown()))?;
        let wrong = || TokenError::WrongPin { file: shown(), memory: self.refused.path() };
        let fingerprint = Sha256::of(line.as_bytes());
        if open.wrong_pin == Some(fingerprint) || self.refused.is(line.as_bytes())? {
            return Err(wrong());
        }
        let module = module(&self.uri)?;
        let slot = self.slot(&module)?;
        let info = module.get_token_info(slot)?;
        if info.user_pin_locked() || info.user_pin_final_try() {
            return Err(TokenError::Locked);
        }
        let session = module.open_rw_session(slot)?;
        match session.login(UserType::User, Some(&AuthPin::from(line.to_owned()))) {
            Ok(()) => {
                self.refused.forget()?;
                Ok(session)
            }
            Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => {
                if !self.refused.note(line.as_bytes()) {
                    open.wrong_pin = Some(fingerprint);
                }
                Err(wrong())
            }
            Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(TokenError::Locked),
            Err(error) => Err(error.into()),
        }
    }

    /// The one slot whose token fits.
    fn slot(&self, module: &Pkcs11) -> Result<Slot, TokenError> {
        let (uri, mut fitting) = (&self.uri, Vec::new());
        for slot in module.get_slots_with_token()? {
            // A token that is being taken out is no reason to overlook the others.
            let Ok(info) = module.get_token_info(slot) else { continue };
            let fits = uri.slot.is_none_or(|wanted| slot.id() == wanted)
                && uri.token.as_ref().is_none_or(|wanted| info.label() == wanted)
                && uri.serial.as_ref().is_none_or(|wanted| info.serial_number() == wanted);
            fitting.extend((fits && info.token_initialized()).then_some(slot));
        }
        let module = || uri.module.display().to_string();
        match fitting.as_slice() {
            [slot] => Ok(*slot),
            [] => Err(TokenError::Absent(module())),
            [_, _, ..] => Err(TokenError::Several(module())),
        }
    }
}

/// The module, loaded and begun. Loading it again is the same module.
fn module(uri: &TokenUri) -> Result<Pkcs11, Error> {
    let module = Pkcs11::new(&uri.module)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
        Err(error) => Err(error),
    }
}

fn find(session: &Session, class: ObjectClass, name: &str) -> Result<Option<ObjectHandle>, TokenError> {
    let wanted = [
        Attribute::Class(class),
        Attribute::KeyType(KeyType::EC),
        Attribute::Label(name.as_bytes().to_vec()),
    ];
    Ok(session.find_objects(&wanted)?.first().copied())
}

/// Destroys both halves of a pair, the private one first.
fn destroy(session: &Session, name: &str) -> Result<(), TokenError> {
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        while let Some(key) = find(session, class, name)? {
            session.destroy_object(key)?;
        }
    }
    Ok(())
}

/// A name that we give.
fn plain(name: &str) -> Result<&str, KeyStoreError> {
    let ours = name.starts_with(PREFIX) && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_graphic());
    if ours { Ok(name) } else { Err(KeyStoreError::Name) }
}

/// The point itself: the standard wraps it into an OCTET STRING (PKCS#11 2.40 section 2.3.3), some tokens do not.
fn uncompressed(point: &[u8]) -> &[u8] {
    match der::element(point, OCTET_STRING) {
        Some((inner, [])) => inner,
        Some(_) | None => point,
    }
}

/// The two numbers of a signature as ASN.1 (RFC 3279 section 2.2.3).
fn signature(numbers: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = numbers.split_at_checked(NUMBER).filter(|(_, s)| s.len() == NUMBER)?;
    let both = [integer(r), integer(s)].concat();
    let length = u8::try_from(both.len()).ok()?;
    Some([&[SEQUENCE, length], both.as_slice()].concat())
}

/// A number without sign as DER: no leading zeros but the one that keeps it positive.
fn integer(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count().min(number.len().saturating_sub(1));
    let digits = number.get(zeros..).unwrap_or_default();
    let sign: &[u8] = if digits.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
    let length = u8::try_from(sign.len() + digits.len()).unwrap_or(u8::MAX);
    [&[INTEGER, length], sign, digits].concat()
}

#[cfg(test)]
mod tests;
