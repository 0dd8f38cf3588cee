//! Where private keys are made, found again and removed: one port for files, security tokens and TPMs.
//!
//! A key has a name that outlives a restart and is stored beside its certificate; nothing else about it is known
//! outside. When [`KeyStore::generate`] returns, the key survives a power cut. A store must never hand out a key that
//! others on the machine could have read. Read next: [`super::key`] for what a key does, [`super`] for who asks.

use std::sync::Arc;

use cordon_proto::ids::Sha256;
use zeroize::Zeroizing;

use super::key::{DeviceKey, FileKey, KeyError};
use crate::config::key_place::KeyPlace;
use crate::files::{FileError, Folder};

/// The name of a key file: the first 16 hexadecimal digits of its SPKI's hash, then this.
pub const KEY_SUFFIX: &str = ".p8";
/// Bytes of a key file.
const KEY_BYTES: usize = 4096;

/// A place where keys are kept.
pub trait KeyStore: Send + Sync {
    /// Makes a key and keeps it; its name is what [`Self::open`] takes.
    fn generate(&self) -> Result<(String, Arc<dyn DeviceKey>), KeyStoreError>;
    /// The key of that name; `None` where there is none.
    fn open(&self, name: &str) -> Result<Option<Arc<dyn DeviceKey>>, KeyStoreError>;
    /// Removes a key; one that is not there is removed already.
    fn remove(&self, name: &str) -> Result<(), KeyStoreError>;
    /// The names of all keys that this agent made here, those of attempts that died among them.
    fn names(&self) -> Result<Vec<String>, KeyStoreError>;
}

/// Why a key cannot be made, found or removed.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// A file cannot be read or written, or its mode is too open.
    #[error(transparent)]
    File(#[from] FileError),
    /// The key itself.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The token.
    #[cfg(feature = "pkcs11")]
    #[error("the private key's token cannot be used: {0}")]
    Token(#[from] super::pkcs11::TokenError),
    /// A token is configured, and this program cannot speak to any.
    #[error(
        "this agent was built without PKCS#11; install one that was built with it, or set key = \"file\" in the configuration"
    )]
    NotBuilt,
    /// The stored name is none that this store gives.
    #[error(
        "the stored name of the private key is not one of this agent's; the file that holds it is damaged"
    )]
    Name,
}

/// The store that the configuration names. `folder` holds the identity.
pub fn open(place: &KeyPlace, folder: &Folder) -> Result<Arc<dyn KeyStore>, KeyStoreError> {
    match place {
        KeyPlace::File => Ok(Arc::new(KeyFiles::new(folder.clone()))),
        #[cfg(feature = "pkcs11")]
        KeyPlace::Token(uri) => Ok(Arc::new(super::pkcs11::TokenKeys::open(uri, folder)?)),
        #[cfg(not(feature = "pkcs11"))]
        KeyPlace::Token(_) => Err(KeyStoreError::NotBuilt),
    }
}

/// Keys in files of mode 0600, in the identity's folder.
pub struct KeyFiles {
    folder: Folder,
}

impl KeyFiles {
    /// Keys in this folder.
    #[must_use]
    pub fn new(folder: Folder) -> Self {
        Self { folder }
    }
}

impl KeyStore for KeyFiles {
    fn generate(&self) -> Result<(String, Arc<dyn DeviceKey>), KeyStoreError> {
        let (key, secret) = FileKey::generate()?;
        let digest = Sha256::of(key.spki()).to_string();
        let name = format!("{}{KEY_SUFFIX}", digest.get(..16).unwrap_or(&digest));
        self.folder.write(&name, &secret)?;
        Ok((name, Arc::new(key)))
    }

    fn open(&self, name: &str) -> Result<Option<Arc<dyn DeviceKey>>, KeyStoreError> {
        let secret = self.folder.read_secret(plain(name)?, KEY_BYTES)?;
        let Some(secret) = secret.map(Zeroizing::new) else { return Ok(None) };
        Ok(Some(Arc::new(FileKey::from_pkcs8(&secret)?)))
    }

    fn remove(&self, name: &str) -> Result<(), KeyStoreError> {
        Ok(self.folder.remove(plain(name)?)?)
    }

    fn names(&self) -> Result<Vec<String>, KeyStoreError> {
        let mut names = self.folder.names()?;
        names.retain(|name| name.ends_with(KEY_SUFFIX));
        Ok(names)
    }
}

/// A name that stays inside the folder.
fn plain(name: &str) -> Result<&str, KeyStoreError> {
    match name.ends_with(KEY_SUFFIX) && !name.contains('/') {
        true => Ok(name),
        false => Err(KeyStoreError::Name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(feature = "pkcs11"))]
    #[test]
    fn a_build_without_pkcs11_says_so() {
        // Goal: no silent fall to a file. Method: a token in the configuration of this build.
        let root = tempfile::tempdir().expect("a scratch folder");
        let folder = Folder::open(root.path().join("identity")).expect("opens");
        let place =
            KeyPlace::parse("pkcs11:token=dev?module-path=/m.so&pin-source=file:/pin").expect("is read");
        let error = open(&place, &folder).map(|_| ()).expect_err("cannot").to_string();
        assert!(error.contains("built without PKCS#11") && error.contains("key = \"file\""), "{error}");
    }

    #[test]
    fn a_key_is_found_again_by_its_name_until_it_is_removed() {
        // Goal: the port's promises, over files. Method: make two, open, list, remove one, open again; a strange name.
        let root = tempfile::tempdir().expect("a scratch folder");
        let keys = KeyFiles::new(Folder::open(root.path().join("identity")).expect("opens"));
        let (one, first) = keys.generate().expect("makes a key");
        let (two, second) = keys.generate().expect("makes a key");
        assert_ne!(first.spki(), second.spki(), "a new key each time");
        let found = keys.open(&one).expect("reads").expect("is there");
        assert_eq!(found.spki(), first.spki());
        let mut names = [one.clone(), two.clone()];
        names.sort_unstable();
        assert_eq!(keys.names().expect("lists"), names);
        keys.remove(&one).expect("removes");
        keys.remove(&one).expect("is removed already");
        assert!(keys.open(&one).expect("reads").is_none());
        assert!(keys.open(&two).expect("reads").is_some());
        for strange in ["../x.p8", "current.json", ""] {
            assert!(matches!(keys.open(strange), Err(KeyStoreError::Name)), "{strange}");
        }
    }
}
