//! The identity on disk: the certificate in force, the next one, and the request between them.
//!
//! A key is kept before its request is, the request before it leaves, a certificate before it is used; the one in force
//! is replaced only after the next one has had an answered check-in. So whatever dies, one of the two works. A slot that
//! is damaged costs nothing while the other is whole; a key that others could read is refused always. Nothing is removed
//! here but what a newer file has replaced. Read next: [`super::enrolment`] and [`super::renewal`] for who writes when.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_proto::ids::{Hardware, Sha256};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::key::DeviceKey;
use super::keystore::{KeyFiles, KeyStore};
use super::{Identity, IdentityError, Site, authorities, est, keystore};
use crate::config::Config;
use crate::files::{Folder, aside};

/// Bytes of any file here.
pub(super) const FILE_BYTES: usize = 64 * 1024;
/// The identity in force.
const CURRENT: &str = "current.json";
/// The next one, until it has had an answered check-in.
const NEXT: &str = "next.json";
/// A request under way: the name of its key, and the request.
const PENDING: &str = "pending.json";
/// An enrolment that waits for a person: the join line with its token.
const JOINING: &str = "joining.json";

/// Where identities are kept: a folder, and what keeps the keys.
#[derive(Clone)]
pub struct Home {
    pub(super) folder: Folder,
    keys: Arc<dyn KeyStore>,
}

impl From<&Folder> for Home {
    /// Keys in files beside everything else.
    fn from(folder: &Folder) -> Self {
        Self { folder: folder.clone(), keys: Arc::new(KeyFiles::new(folder.clone())) }
    }
}

impl From<&Self> for Home {
    fn from(home: &Self) -> Self {
        home.clone()
    }
}

/// A certificate as stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    v: u8,
    key: String,
    site: Site,
    leaf: String,
    roots: Vec<String>,
}

/// A request under way as stored.
#[derive(Serialize, Deserialize)]
struct Pending {
    v: u8,
    key: String,
    request: String,
    /// The certificate that is to be followed; none for an enrolment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    renews: Option<Sha256>,
}

/// An enrolment that waits for a person, as stored.
#[derive(Serialize, Deserialize)]
pub(super) struct Joining {
    v: u8,
    /// The join line.
    pub(super) line: String,
    /// It takes the place of an identity that the server does not know any more.
    pub(super) anew: bool,
}

/// What a device holds.
#[derive(Clone, Debug)]
pub struct Held {
    /// The identity to be used.
    pub identity: Identity,
    /// Another one that may work where that does not.
    pub other: Option<Identity>,
    /// Whether the one to be used is the next one, which has not proved itself.
    pub on_trial: bool,
}

impl Held {
    /// Every identity that is held.
    pub fn both(&self) -> impl Iterator<Item = &Identity> {
        [Some(&self.identity), self.other.as_ref()].into_iter().flatten()
    }
}

/// Key and request of an attempt, both on disk.
pub(super) struct Attempt {
    pub(super) key: Arc<dyn DeviceKey>,
    name: String,
    pub(super) request: Vec<u8>,
}

impl Home {
    /// The home that a configuration names, in the state folder.
    pub fn of(config: &Config, state: &Folder) -> Result<Self, IdentityError> {
        let folder = state.inside("identity")?;
        let keys = keystore::open(&config.key, &folder)?;
        Ok(Self { folder, keys })
    }

    /// A home whose keys a test keeps.
    #[cfg(test)]
    pub(crate) fn with(folder: Folder, keys: Arc<dyn KeyStore>) -> Self {
        Self { folder, keys }
    }

    /// What is held here; `None` before enrolment.
    pub fn held(&self) -> Result<Option<Held>, IdentityError> {
        let held = |identity, other, on_trial| Some(Held { identity, other, on_trial });
        match (self.slot(CURRENT), self.slot(NEXT)) {
            (Ok(Some(current)), Ok(Some(next))) if current.leaf == next.leaf => Ok(held(next, None, true)),
            (Ok(Some(current)), Ok(Some(next))) => Ok(held(next, Some(current), true)),
            (Ok(Some(current)), Ok(None)) => Ok(held(current, None, false)),
            (Ok(None), Ok(Some(next))) => Ok(held(next, None, true)),
            (Ok(None), Ok(None)) => Ok(None),
            (Ok(Some(whole)), Err(error)) if let Some(what) = error.damage() => {
                tracing::warn!(what, "the next certificate on disk is damaged; the one in force is used");
                Ok(held(whole, None, false))
            }
            (Err(error), Ok(Some(whole))) if let Some(what) = error.damage() => {
                tracing::warn!(what, "the certificate in force is damaged on disk; the next one is used");
                Ok(held(whole, None, true))
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// The fingerprint of the key whose enrolment waits for a person.
    #[must_use]
    pub fn waiting_key(&self) -> Option<Sha256> {
        self.joining().ok().flatten()?;
        let pending = self.pending().ok().flatten().filter(|pending| pending.renews.is_none())?;
        Some(Sha256::of(self.pending_key(&pending).ok()?.spki()))
    }

    /// Sets aside what is damaged beside an identity that is whole: it goes on without it. Whoever only looks must not
    /// call this.
    pub fn mend(&self) -> Result<(), IdentityError> {
        if !matches!(self.held(), Ok(Some(_))) {
            return Ok(());
        }
        let (next, joining) = (self.slot(NEXT).err(), self.joining().err());
        let pending = self.pending().and_then(|pending| match pending {
            Some(pending) => self.pending_key(&pending).map(drop),
            None => Ok(()),
        });
        for (file, error) in [(NEXT, next), (PENDING, pending.err()), (JOINING, joining)] {
            if let Some(what) = error.as_ref().and_then(IdentityError::damage) {
                tracing::error!(file, what, "a damaged file is set aside; the identity goes on without it");
                self.folder.set_aside(file)?;
            }
        }
        Ok(())
    }

    fn slot(&self, file: &str) -> Result<Option<Identity>, IdentityError> {
        let Some(stored) = self.stored(file)? else { return Ok(None) };
        let damaged = IdentityError::Damaged;
        let key = self.keys.open(&stored.key)?.ok_or(damaged("the private key is missing"))?;
        let leaf = decoded(&stored.leaf).ok_or(damaged("certificate"))?;
        let roots = stored.roots.iter().map(|text| decoded(text)).collect::<Option<Vec<_>>>();
        let roots = roots.ok_or(damaged("CA certificates"))?;
        let (believed, roots) = authorities::believed(&self.folder, stored.site.ca_pin, roots)?;
        Identity::assemble(key, stored.site, leaf, (believed, roots))
            .map(Some)
            .ok_or(damaged("key and certificate do not belong together"))
    }

    fn stored(&self, file: &str) -> Result<Option<Stored>, IdentityError> {
        let Some(bytes) = self.folder.read(file, FILE_BYTES)? else { return Ok(None) };
        let stored: Stored = read(&bytes, "the file of a certificate")?;
        if stored.v != 1 {
            return Err(IdentityError::Damaged("the file of a certificate is of a newer version"));
        }
        Ok(Some(stored))
    }

    fn pending(&self) -> Result<Option<Pending>, IdentityError> {
        self.folder.read(PENDING, FILE_BYTES)?.map(|bytes| read(&bytes, "pending.json")).transpose()
    }

    /// The attempt under way, made and kept where there is none for this purpose. `renews` is the certificate to be
    /// followed.
    pub(super) fn begin(
        &self,
        hardware: &Hardware,
        renews: Option<Sha256>,
    ) -> Result<Attempt, IdentityError> {
        match self.under_way(hardware, renews) {
            Ok(Some(attempt)) => return Ok(attempt),
            Ok(None) => {}
            // A renewal can begin anew at no cost; an enrolment's token may be bound to the key that is lost.
            Err(error) => match error.damage().filter(|_| renews.is_some()) {
                Some(what) => {
                    tracing::warn!(what, "the renewal under way is damaged on disk; it begins anew");
                }
                None => return Err(error),
            },
        }
        self.request(self.keys.generate()?, hardware, renews)
    }

    fn request(
        &self,
        (name, key): (String, Arc<dyn DeviceKey>),
        hardware: &Hardware,
        renews: Option<Sha256>,
    ) -> Result<Attempt, IdentityError> {
        let request = est::certificate_request(key.as_ref(), hardware).ok_or(IdentityError::Request)?;
        let pending = Pending { v: 1, key: name.clone(), request: STANDARD.encode(&request), renews };
        self.folder.write(PENDING, &json(&pending))?;
        Ok(Attempt { key, name, request })
    }

    /// The same key and the same request again; another request where the stored one does not say any more what the
    /// device is, because the key may be what a token is bound to.
    fn under_way(
        &self,
        hardware: &Hardware,
        renews: Option<Sha256>,
    ) -> Result<Option<Attempt>, IdentityError> {
        let Some(pending) = self.pending()?.filter(|pending| pending.renews == renews) else {
            return Ok(None);
        };
        let key = self.pending_key(&pending)?;
        match STANDARD.decode(&pending.request) {
            Ok(request) if est::is_current(&request, key.as_ref(), hardware) => {
                Ok(Some(Attempt { key, name: pending.key, request }))
            }
            Ok(_) | Err(_) => self.request((pending.key, key), hardware, renews).map(Some),
        }
    }

    fn pending_key(&self, pending: &Pending) -> Result<Arc<dyn DeviceKey>, IdentityError> {
        self.keys
            .open(&pending.key)?
            .ok_or(IdentityError::Damaged("the private key of pending.json is missing"))
    }

    /// Gives an attempt up, so that the next one begins with a new key.
    pub(super) fn give_up(&self) -> Result<(), IdentityError> {
        self.folder.remove(PENDING)?;
        self.tidy()
    }

    /// Keeps the key of an enrolment, and forgets its request.
    pub(super) fn ask_anew(&self, attempt: &Attempt) -> Result<(), IdentityError> {
        let pending = Pending { v: 1, key: attempt.name.clone(), request: String::new(), renews: None };
        Ok(self.folder.write(PENDING, &json(&pending))?)
    }

    /// Keeps the certificate of an enrolment as the one in force.
    pub(super) fn enrolled(
        &self,
        attempt: &Attempt,
        site: &Site,
        (leaf, roots): (CertificateDer<'static>, Vec<CertificateDer<'static>>),
    ) -> Result<Identity, IdentityError> {
        let stored = stored(attempt, site, (&leaf, &roots));
        let (believed, roots) = authorities::believed(&self.folder, site.ca_pin, roots)?;
        let identity = Identity::assemble(Arc::clone(&attempt.key), site.clone(), leaf, (believed, roots))
            .ok_or(IdentityError::ForeignCertificate)?;
        // A next one of the identity before would be preferred.
        self.folder.remove(NEXT)?;
        self.folder.write(CURRENT, &json(&stored))?;
        // The identity stands; what is left of the attempt is only litter.
        self.folder.remove(JOINING)?;
        self.folder.remove(PENDING)?;
        self.tidy()?;
        Ok(identity)
    }

    /// Keeps the certificate of a renewal beside the one that it follows. That one was answered by the server, so it is in
    /// force before its own place is taken.
    pub(super) fn renewed(
        &self,
        attempt: &Attempt,
        present: &Identity,
        leaf: CertificateDer<'static>,
    ) -> Result<Identity, IdentityError> {
        let stored = stored(attempt, &present.site, (&leaf, &present.roots));
        let trust = (present.believed.clone(), present.roots.clone());
        let next = Identity::assemble(Arc::clone(&attempt.key), present.site.clone(), leaf, trust)
            .filter(|next| next.device == present.device)
            .ok_or(IdentityError::ForeignCertificate)?;
        let before = self.folder.read(NEXT, FILE_BYTES)?;
        let leaf = self.stored(NEXT).ok().flatten().and_then(|stored| decoded(&stored.leaf));
        if let Some(bytes) = before.filter(|_| leaf.is_some_and(|leaf| leaf == present.leaf)) {
            self.folder.write(CURRENT, &bytes)?;
        }
        self.folder.write(NEXT, &json(&stored))?;
        self.folder.remove(PENDING)?;
        Ok(next)
    }

    /// The next certificate has had an answered check-in: it is the one in force.
    pub fn settle(&self) -> Result<(), IdentityError> {
        if let Some(bytes) = self.folder.read(NEXT, FILE_BYTES)? {
            self.folder.write(CURRENT, &bytes)?;
            // What led here is over, even if it died before it was put away.
            self.folder.remove(PENDING)?;
            self.folder.remove(NEXT)?;
        }
        self.tidy()
    }

    /// The server refused the next certificate and answered the one in force: the next one is no more.
    pub fn drop_next(&self) -> Result<(), IdentityError> {
        self.folder.remove(NEXT)?;
        self.tidy()
    }

    /// Removes keys that no file names. Where a file cannot be understood, nothing is removed.
    pub fn tidy(&self) -> Result<(), IdentityError> {
        let slots = [self.stored(CURRENT), self.stored(NEXT)];
        let pending = self.pending();
        if slots.iter().any(Result::is_err) || pending.is_err() {
            return Ok(());
        }
        let named = slots.into_iter().flatten().flatten().map(|stored| stored.key);
        let named: Vec<String> = named.chain(pending.ok().flatten().map(|pending| pending.key)).collect();
        for name in self.keys.names()?.iter().filter(|name| !named.contains(name)) {
            self.keys.remove(name)?;
        }
        Ok(())
    }

    /// Notes that an enrolment waits for a person, with its token.
    pub(super) fn note_joining(&self, line: String, anew: bool) -> Result<(), IdentityError> {
        Ok(self.folder.write(JOINING, &json(&Joining { v: 1, line, anew }))?)
    }

    /// Whether an enrolment waits for a person.
    pub fn waits(&self) -> Result<bool, IdentityError> {
        Ok(self.joining()?.is_some())
    }

    /// The enrolment that waits for a person.
    pub(super) fn joining(&self) -> Result<Option<Joining>, IdentityError> {
        self.folder.read_secret(JOINING, FILE_BYTES)?.map(|bytes| read(&bytes, JOINING)).transpose()
    }

    /// Forgets the enrolment that waited, and its token.
    pub(super) fn end_joining(&self) -> Result<(), IdentityError> {
        Ok(self.folder.remove(JOINING)?)
    }

    /// Removes every trace of the identity: certificates first, then keys. The authorities' versions stay, as floor and
    /// roots elsewhere do: they are no secret and must never fall.
    pub fn forget(&self) -> Result<(), IdentityError> {
        for file in [CURRENT, NEXT, PENDING, JOINING] {
            self.folder.remove(file)?;
        }
        for file in [NEXT, PENDING, JOINING] {
            self.folder.remove(&aside(file))?;
        }
        for name in self.keys.names()? {
            self.keys.remove(&name)?;
        }
        Ok(())
    }
}

fn stored(
    attempt: &Attempt,
    site: &Site,
    (leaf, roots): (&CertificateDer<'_>, &[CertificateDer<'_>]),
) -> Stored {
    Stored {
        v: 1,
        key: attempt.name.clone(),
        site: site.clone(),
        leaf: STANDARD.encode(leaf),
        roots: roots.iter().map(|root| STANDARD.encode(root)).collect(),
    }
}

pub(super) fn decoded(text: &str) -> Option<CertificateDer<'static>> {
    STANDARD.decode(text).ok().map(CertificateDer::from)
}

pub(super) fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("plain fields always serialise")
}

pub(super) fn read<T: for<'de> Deserialize<'de>>(
    bytes: &[u8],
    what: &'static str,
) -> Result<T, IdentityError> {
    serde_json::from_slice(bytes).map_err(|_| IdentityError::Damaged(what))
}
