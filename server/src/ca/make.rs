//! Making authorities: a root for ten years, issuing authorities for two, and the signed bundles that lead devices from
//! one root to the next.
//!
//! Keys are written with mode 0600 and never over others. The root's key is needed only here, in the hands of a person:
//! it belongs on a stick in a safe, and no running server ever reads it. Read next: [`lay`], [`Root`].

use std::path::Path;

use cordon_proto::authorities::{Authorities, Certificates, RootSignature, SignedAuthorities};
use cordon_proto::ids::Sha256;
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::wire;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SigningKey, SubjectPublicKeyInfo,
};
use rustls::pki_types::CertificateDer;

use super::key::{KeyPlace, KeySetting};
use super::{CaError, DAY_S, Facts, ISSUING_CERTIFICATE, ROOT_CERTIFICATE, ROOT_KEY, validity};
use crate::chance;
use crate::files;

/// Days the root lives: ten years.
pub const ROOT_DAYS: i64 = 3652;
/// Days the issuing authority lives: two years.
pub const ISSUING_DAYS: i64 = 730;

/// A root with its key, in memory.
pub struct Root {
    certificate: CertificateDer<'static>,
    not_after: Timestamp,
    key: KeyPair,
}

/// What [`lay`] wrote, for the person who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Laid {
    /// The root certificate, PEM.
    pub root: String,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub pin: Sha256,
}

/// Lays the first root, its key and the first issuing authority into `folder`; none may be there already.
pub fn lay(folder: &Path, setting: &KeySetting, now: Timestamp) -> Result<Laid, CaError> {
    files::create_folder(folder)?;
    let root = Root::make(now)?;
    let spki = match setting {
        KeySetting::Token(uri) => {
            KeyPlace::Token(uri.clone()).open(folder, setting)?.subject_public_key_info()
        }
        KeySetting::Plain | KeySetting::Sealed(_) => {
            setting.identity(true)?;
            let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
            setting.write(&folder.join(setting.name("issuing")), &key.serialize_pem())?;
            key.subject_public_key_info()
        }
    };
    let issuing = root.issuing(&spki, now)?;
    root.write_key(&folder.join(ROOT_KEY))?;
    files::create_public(&folder.join(ROOT_CERTIFICATE), pem(&root.certificate).as_bytes())?;
    files::create_public(&folder.join(ISSUING_CERTIFICATE), pem(&issuing).as_bytes())?;
    Ok(Laid { root: pem(&root.certificate), pin: root.pin() })
}

impl Root {
    /// A new one.
    pub fn make(now: Timestamp) -> Result<Self, CaError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let not_after = now.plus_seconds(ROOT_DAYS * DAY_S);
        // Two roots of one owner must be told apart by name, because certificates name their issuer.
        let name = format!("Cordon root {}", mark());
        let params = authority(&name, not_after, BasicConstraints::Constrained(1), now)?;
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Self { certificate, not_after, key })
    }

    /// The root of `certificate` whose key a person holds; `None` if the key is another's.
    pub fn held(certificate: &CertificateDer<'static>, key_pem: &str) -> Result<Option<Self>, CaError> {
        let unread = || CaError::Pem { file: ROOT_KEY.to_owned(), what: "key" };
        let key = KeyPair::from_pem(key_pem).map_err(|_| unread())?;
        if !key.is_compatible(&rcgen::PKCS_ECDSA_P256_SHA256) {
            return Err(unread());
        }
        let facts = Facts::of(certificate, ROOT_CERTIFICATE)?;
        let fits = facts.spki == Sha256::of(&key.subject_public_key_info());
        let certificate = certificate.clone();
        Ok(fits.then_some(Self { certificate, not_after: facts.not_after, key }))
    }

    /// Its certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of its SubjectPublicKeyInfo.
    #[must_use]
    pub fn pin(&self) -> Sha256 {
        Sha256::of(&self.key.subject_public_key_info())
    }

    /// Writes its key, mode 0600, never over another.
    pub fn write_key(&self, path: &Path) -> Result<(), CaError> {
        Ok(files::create_secret(path, self.key.serialize_pem().as_bytes())?)
    }

    /// An issuing certificate for the key in `spki`, which never outlives the root.
    pub fn issuing(&self, spki: &[u8], now: Timestamp) -> Result<CertificateDer<'static>, CaError> {
        let key = SubjectPublicKeyInfo::from_der(spki)?;
        let not_after = now.plus_seconds(ISSUING_DAYS * DAY_S).min(self.not_after);
        let name = format!("Cordon issuing {}", mark());
        let params = authority(&name, not_after, BasicConstraints::Constrained(0), now)?;
        let issuer = Issuer::from_ca_cert_der(&self.certificate, &self.key)?;
        Ok(params.signed_by(&key, &issuer)?.der().clone())
    }
}

/// A bundle of `roots`, signed by the keys of `by`.
pub fn bundle(
    version: u64,
    roots: &[&CertificateDer<'_>],
    by: &[&Root],
    now: Timestamp,
) -> Result<Vec<u8>, CaError> {
    let roots = roots.iter().map(|root| root.to_vec().into()).collect();
    let body = wire::write(&Authorities { version, issued: now, roots });
    let message = SignedAuthorities::message(&body);
    let mut signatures = Vec::new();
    for root in by {
        let signature = root.key.sign(&message)?.into();
        signatures.push(RootSignature { key: root.pin(), signature });
    }
    Ok(wire::write(&SignedAuthorities { body: body.into(), signatures }))
}

/// Certificates as this program reads them, for `proto`'s rules.
#[derive(Clone, Copy, Debug)]
pub struct Reading;

impl Certificates for Reading {
    fn key(&self, certificate: &[u8]) -> Option<Sha256> {
        let (rest, read) = x509_parser::parse_x509_certificate(certificate).ok()?;
        rest.is_empty().then(|| Sha256::of(read.public_key().raw))
    }

    fn verifies(&self, certificate: &[u8], message: &[u8], signature: &[u8]) -> bool {
        super::PeerLeaf::of(&certificate.into()).is_some_and(|key| key.verifies(message, signature))
    }
}

/// A certificate as PEM.
#[must_use]
pub fn pem(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine;
    let digits = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for (at, digit) in digits.chars().enumerate() {
        text.push(digit);
        if at % 64 == 63 {
            text.push('\n');
        }
    }
    if !digits.len().is_multiple_of(64) {
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

fn mark() -> String {
    format!("{:08x}", u32::from_be_bytes(chance::random()))
}

fn authority(
    name: &str,
    not_after: Timestamp,
    reach: BasicConstraints,
    now: Timestamp,
) -> Result<CertificateParams, CaError> {
    let mut params = validity(now.plus_seconds(-limits::BACKDATE_S), not_after)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(reach);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}
