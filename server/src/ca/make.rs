//! Making the two tiers of the authority: a root for ten years, an issuing authority for two.
//!
//! Keys are written with mode 0600 and never over others. The root's key is needed again only to make the next
//! issuing certificate, so it belongs on a stick in a safe, not on the server. Nothing here is used while serving.

use std::path::Path;

use cordon_proto::ids::Sha256;
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use super::{CaError, DAY_S, ISSUING_CERTIFICATE, ISSUING_KEY, ROOT_CERTIFICATE, ROOT_KEY, validity};
use crate::chance;
use crate::files;

/// Days the root lives: ten years.
pub const ROOT_DAYS: i64 = 3652;
/// Days the issuing authority lives: two years.
pub const ISSUING_DAYS: i64 = 730;

/// A new authority, in memory.
pub struct Tiers {
    /// The root certificate, PEM.
    pub root: String,
    /// The root's key, PKCS#8 PEM.
    pub root_key: String,
    /// The issuing certificate, PEM.
    pub issuing: String,
    /// The issuing key, PKCS#8 PEM.
    pub issuing_key: String,
    /// SHA-256 of the root's SubjectPublicKeyInfo.
    pub pin: Sha256,
}

/// Makes both tiers as of `now`.
pub fn tiers(now: Timestamp) -> Result<Tiers, CaError> {
    // Two roots of one owner must be told apart by name, because certificates name their issuer.
    let mark = format!("{:08x}", u32::from_be_bytes(chance::random()));
    let root_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let root_params =
        authority(&format!("Cordon root {mark}"), ROOT_DAYS, BasicConstraints::Constrained(1), now)?;
    let root = root_params.self_signed(&root_key)?;
    let issuing_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let name = format!("Cordon issuing {mark}");
    let issuing_params = authority(&name, ISSUING_DAYS, BasicConstraints::Constrained(0), now)?;
    let pin = Sha256::of(&rcgen::PublicKeyData::subject_public_key_info(&root_key));
    let root_key_pem = root_key.serialize_pem();
    let issuing = issuing_params.signed_by(&issuing_key, &Issuer::new(root_params, root_key))?;
    Ok(Tiers {
        root: root.pem(),
        root_key: root_key_pem,
        issuing: issuing.pem(),
        issuing_key: issuing_key.serialize_pem(),
        pin,
    })
}

impl Tiers {
    /// Writes the four files into `folder`; none may be there already.
    pub fn write(&self, folder: &Path) -> Result<(), CaError> {
        files::create_folder(folder)?;
        files::create_secret(&folder.join(ROOT_KEY), self.root_key.as_bytes())?;
        files::create_secret(&folder.join(ISSUING_KEY), self.issuing_key.as_bytes())?;
        files::create_public(&folder.join(ROOT_CERTIFICATE), self.root.as_bytes())?;
        files::create_public(&folder.join(ISSUING_CERTIFICATE), self.issuing.as_bytes())?;
        Ok(())
    }
}

fn authority(
    name: &str,
    days: i64,
    reach: BasicConstraints,
    now: Timestamp,
) -> Result<CertificateParams, CaError> {
    let begin = now.plus_seconds(-limits::BACKDATE_S);
    let mut params = validity(begin, now.plus_seconds(days * DAY_S))?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(reach);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}
