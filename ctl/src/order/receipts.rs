//! Receipts counted on a workstation: how many devices proved, by their own signature, what an order did.
//!
//! A receipt counts if a certificate of the owner's authority signed it, it names this order and this image, it is no
//! older than the order, and its device stands in the order's list. A device counts once; who proved nothing is named,
//! because what a server keeps back shows only there. Read next: `cordon_proto::receipt`.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_proto::ids::{DeviceId, HardwareId, Name};
use cordon_proto::receipt::{Outcome, Receipt, ReceiptBody};
use cordon_proto::update::order::Order;
use cordon_proto::update::scope::Scope;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::list::ScopeList;
use crate::arguments::read_file;
use crate::failure::Failure;

/// Bytes of a file of receipts.
const RECEIPTS_BYTES: u64 = 1 << 30;
/// Bytes of a file of authorities.
const CA_BYTES: u64 = 1 << 20;
/// How our own certificates name their device.
const DEVICE_URI: &str = "urn:uuid:";

/// What the receipts for one order say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Devices whose last receipt confirms the image.
    pub confirmed: u64,
    /// Devices that fell back to what they had.
    pub rolled_back: u64,
    /// Devices that refused for good.
    pub refused: u64,
    /// Devices that took the way back.
    pub went_back: u64,
    /// Receipts that are not believed, or speak of devices outside the lists.
    pub ignored: u64,
    /// Devices of the order's list.
    pub scope: Option<u64>,
    /// Devices of the order's list that proved nothing, by the list's own words; unknown without that list.
    pub missing: Option<Vec<(HardwareId, String)>>,
}

impl Tally {
    /// In words.
    #[must_use]
    pub fn describe(&self) -> String {
        let of = self.scope.map(|scope| format!(" of {scope}")).unwrap_or_default();
        format!(
            "{}{of} confirmed, {} rolled back, {} refused, {} went back; {} not counted",
            self.confirmed, self.rolled_back, self.refused, self.went_back, self.ignored
        )
    }

    /// The devices that proved nothing, one a line.
    #[must_use]
    pub fn absent(&self) -> String {
        self.missing.as_deref().map(absent_lines).unwrap_or_default()
    }

    /// For programs.
    #[must_use]
    pub fn facts(&self) -> Value {
        json!({
            "missing": self.missing.as_deref().map(absent_facts),
            "confirmed": self.confirmed,
            "rolled_back": self.rolled_back,
            "refused": self.refused,
            "went_back": self.went_back,
            "ignored": self.ignored,
            "scope": self.scope,
        })
    }
}

/// Devices that proved nothing, one a line, by the list's own words.
pub(crate) fn absent_lines(missing: &[(HardwareId, String)]) -> String {
    if missing.is_empty() {
        return String::new();
    }
    let lines = missing.iter().map(|(device, name)| format!("    {device}  {name}\n"));
    format!("  missing    {} devices proved nothing:\n{}", missing.len(), lines.collect::<String>())
}

/// The same for programs.
pub(crate) fn absent_facts(missing: &[(HardwareId, String)]) -> Value {
    let device =
        |(device, name): &(HardwareId, String)| json!({"hardware": device.to_string(), "name": name});
    missing.iter().map(device).collect()
}

/// Counts the receipts of a file for one order.
///
/// # Errors
/// The file or the authority cannot be read. Single bad receipts are counted, not errors.
pub fn tally(file: &Path, ca: Option<&Path>, order: &Order, lists: &[ScopeList]) -> Result<Tally, Failure> {
    let missing = || Failure::Usage("receipts are believed only under an authority: give --ca".to_owned());
    let ca = read_file(ca.ok_or_else(missing)?, CA_BYTES)?;
    let anchors = certificates(&ca)
        .ok_or_else(|| Failure::refused("unusable authority", "--ca holds no PEM certificate"))?;
    let text = read_file(file, RECEIPTS_BYTES)?;
    let list = list_of(order, lists);
    let mut tally = Tally { scope: scope_of(order), ..Tally::default() };
    let mut last: BTreeMap<HardwareId, ReceiptBody> = BTreeMap::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        match believed(line, &anchors).filter(|body| counts(body, order, list, lists)) {
            Some(body) => {
                let known = last.entry(body.hardware).or_insert_with(|| body.clone());
                if known.time <= body.time {
                    *known = body;
                }
            }
            None => tally.ignored += 1,
        }
    }
    for body in last.values() {
        match body.outcome {
            Outcome::Confirmed => tally.confirmed += 1,
            Outcome::RolledBack => tally.rolled_back += 1,
            Outcome::Refused => tally.refused += 1,
            Outcome::WentBack => tally.went_back += 1,
        }
    }
    tally.missing = list.map(|list| list.without(|device| last.contains_key(device)));
    Ok(tally)
}

/// The given list that makes the order's root.
pub(crate) fn list_of<'a>(order: &Order, lists: &'a [ScopeList]) -> Option<&'a ScopeList> {
    match order.scope {
        Scope::Set { root, count } => lists.iter().find(|list| list.root() == root && list.count() == count),
        Scope::Match { .. } => None,
    }
}

fn scope_of(order: &Order) -> Option<u64> {
    match order.scope {
        Scope::Set { count, .. } => Some(count),
        Scope::Match { .. } => None,
    }
}

/// Whether a believed receipt speaks of this order, of its image where one was installed, and of a listed device.
fn counts(body: &ReceiptBody, order: &Order, list: Option<&ScopeList>, lists: &[ScopeList]) -> bool {
    let id: &Name = &body.order;
    let image = match body.outcome {
        Outcome::Confirmed => body.sha256 == order.image.sha256,
        Outcome::WentBack => order.back.as_ref().is_some_and(|back| body.sha256 == back.image.sha256),
        Outcome::RolledBack | Outcome::Refused => true,
    };
    let listed = match list {
        Some(list) => list.contains(&body.hardware),
        None => lists.is_empty() || lists.iter().any(|list| list.contains(&body.hardware)),
    };
    *id == order.id && body.time >= order.issued && image && listed
}

/// The body of a receipt, if its certificate comes from an anchor and its key signed it.
fn believed(line: &[u8], anchors: &[Vec<u8>]) -> Option<ReceiptBody> {
    let line: Value = serde_json::from_slice(line).ok()?;
    let receipt = STANDARD.decode(line.get("receipt")?.as_str()?).ok()?;
    let receipt: Receipt = minicbor::decode(&receipt).ok()?;
    let chain = certificates(line.get("certificate")?.as_str()?.as_bytes())?;
    opened(&receipt, &chain, anchors)
}

/// What a device stated, if the first certificate of the chain is the device's, leads to an anchor, and its key signed the
/// statement.
pub(crate) fn opened(receipt: &Receipt, chain: &[Vec<u8>], anchors: &[Vec<u8>]) -> Option<ReceiptBody> {
    let leaf = chain.first().filter(|_| anchored(chain, anchors))?;
    let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
    let key = leaf.public_key().subject_public_key.data.as_ref();
    let verify = |message: &[u8], signature: &[u8]| {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(message, signature).is_ok()
    };
    receipt.open(verify).ok().filter(|body| speaks_for(&leaf, body.device))
}

/// Whether a certificate may speak for a device: one of our own names its device, and speaks for no other. A certificate of
/// another authority names none.
fn speaks_for(leaf: &X509Certificate<'_>, device: DeviceId) -> bool {
    let Ok(names) = leaf.subject_alternative_name() else { return false };
    let all = names.into_iter().flat_map(|names| &names.value.general_names);
    let mut ours = all.filter_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix(DEVICE_URI),
        _ => None,
    });
    ours.all(|named| named == device.to_string())
}

/// Whether each certificate is signed by the next and the last one by an anchor. Only P-256 with SHA-256, as our
/// authority signs. Validity is not judged: a receipt stays true after its certificate has ended.
fn anchored(chain: &[Vec<u8>], anchors: &[Vec<u8>]) -> bool {
    let links = chain.windows(2).all(|pair| matches!(pair, [child, parent] if signed_by(child, parent)));
    links
        && chain
            .last()
            .is_some_and(|last| anchors.iter().any(|anchor| anchor == last || signed_by(last, anchor)))
}

pub(crate) fn signed_by(child: &[u8], parent: &[u8]) -> bool {
    let (Ok((_, child)), Ok((_, parent))) =
        (X509Certificate::from_der(child), X509Certificate::from_der(parent))
    else {
        return false;
    };
    let authority = parent.is_ca() && child.issuer().as_raw() == parent.subject().as_raw();
    let key = parent.public_key().subject_public_key.data.as_ref();
    let signature = child.signature_value.data.as_ref();
    authority
        && UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key)
            .verify(child.tbs_certificate.as_ref(), signature)
            .is_ok()
}

/// The certificates of a PEM text; nothing if there are none or one is unreadable.
pub(crate) fn certificates(pem: &[u8]) -> Option<Vec<Vec<u8>>> {
    let read: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(pem).map(|der| der.map(|der| der.to_vec())).collect();
    read.ok().filter(|certificates| !certificates.is_empty())
}

#[cfg(test)]
mod tests;
