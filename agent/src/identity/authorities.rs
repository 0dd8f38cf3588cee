//! The roots that the device believes: the pin it enrolled with, or the newest signed bundle it has followed.
//!
//! Bundles are followed one version after the other, each judged by what was believed before, and each is on disk before
//! it is believed. The version never falls: the file outlives the identity, under the name of the pin it began with. A
//! device that enrolled after a change of roots begins with the first bundle that its pin's key has signed. Nothing of
//! the server's word counts here but the bundles' signatures. Read next: `cordon_proto::authorities`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_proto::authorities::{AuthoritiesError, Believed, Certificates, Followed, Search};
use cordon_proto::ids::Sha256;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use serde::{Deserialize, Serialize};

use super::slots::{FILE_BYTES, Home, decoded, json, read};
use super::{Identity, IdentityError};
use crate::files::Folder;
use crate::{der, tls};

/// The newest bundle that was followed, as stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    v: u8,
    version: u64,
    roots: Vec<String>,
}

fn file(pin: Sha256) -> String {
    let pin = pin.to_string();
    format!("authorities-{}.json", pin.get(..16).unwrap_or(&pin))
}

/// What is believed by a device that began with `pin` and got `roots` then.
pub(super) fn believed(
    folder: &Folder,
    pin: Sha256,
    roots: Vec<CertificateDer<'static>>,
) -> Result<(Believed, Vec<CertificateDer<'static>>), IdentityError> {
    let Some(bytes) = folder.read(&file(pin), FILE_BYTES)? else {
        return Ok((Believed { version: 0, pins: vec![pin] }, roots));
    };
    let damaged = IdentityError::Damaged("the bundle of authorities");
    let stored: Stored = read(&bytes, "the bundle of authorities")?;
    let Some(roots) = stored.roots.iter().map(|root| decoded(root)).collect::<Option<Vec<_>>>() else {
        return Err(damaged);
    };
    match roots.iter().map(tls::key_hash).collect::<Option<Vec<_>>>() {
        Some(pins) if stored.v == 1 => Ok((Believed { version: stored.version, pins }, roots)),
        Some(_) | None => Err(damaged),
    }
}

/// Follows the bundle that was fetched as this version, and keeps it before it is believed.
///
/// # Errors
/// Nobody who is believed signed it, or the disk.
pub fn follow(
    home: &Home,
    search: &mut Search,
    identity: &mut Identity,
    (number, bundle): (u64, &[u8]),
) -> Result<(), FollowError> {
    let known: Vec<&[u8]> = identity.roots.iter().map(AsRef::as_ref).collect();
    let Followed::Believed(next, roots) =
        search.follow(&identity.believed, (number, bundle), &known, &ByRing)?
    else {
        return Ok(());
    };
    let stored = Stored {
        v: 1,
        version: next.version,
        roots: roots.iter().map(|root| STANDARD.encode(root)).collect(),
    };
    home.folder.write(&file(identity.site.ca_pin), &json(&stored)).map_err(IdentityError::from)?;
    identity.believed = next;
    identity.roots = roots.into_iter().map(CertificateDer::from).collect();
    Ok(())
}

/// Why a bundle was not followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// It is not to be believed.
    #[error(transparent)]
    Bundle(#[from] AuthoritiesError),
    /// It cannot be kept.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Certificates and signatures by the one library.
struct ByRing;

impl Certificates for ByRing {
    fn key(&self, certificate: &[u8]) -> Option<Sha256> {
        tls::key_hash(&CertificateDer::from(certificate))
    }

    fn verifies(&self, certificate: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let certificate = CertificateDer::from(certificate);
        let Ok(parsed) = ParsedCertificate::try_from(&certificate) else { return false };
        let info = parsed.subject_public_key_info();
        der::public_key(&info).is_some_and(|key| {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(message, signature).is_ok()
        })
    }
}
