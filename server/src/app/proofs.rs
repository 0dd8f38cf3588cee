//! Receipts as they leave the house: the device's own bytes, and the certificates under which anybody can verify them.
//!
//! Nothing is judged or written anew here: a receipt was verified when it came, and whoever gets it verifies it again
//! under an authority of their own. Read next: `http/operator/receipts`, [`crate::evidence`].

use cordon_proto::enrol::from_base64url;
use cordon_proto::ids::{DeviceId, Name, Sha256};
use cordon_proto::time::Timestamp;
use cordon_server_core::device::{Leaf, Proof};
use rustls::pki_types::CertificateDer;

use super::App;
use crate::ca::PeerLeaf;
use crate::store::{Cursor, Index, Key, StoreError};

/// A receipt with the certificates under which it was verified.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The device.
    pub device: DeviceId,
    /// SHA-256 of what it stated.
    pub digest: Sha256,
    /// When it came.
    pub received: Timestamp,
    /// As the device signed it.
    pub receipt: Vec<u8>,
    /// The device's certificate, if it is still kept.
    pub leaf: Option<CertificateDer<'static>>,
    /// The certificate that issued it, while that authority is known here.
    pub issuer: Option<CertificateDer<'static>>,
}

/// Receipts for one order, in the order of devices.
#[derive(Clone, Debug, Default)]
pub struct ProvenPage {
    /// The receipts.
    pub rows: Vec<Proven>,
    /// Where the next page begins, if there is one.
    pub next: Option<(DeviceId, Sha256)>,
}

impl App {
    /// Receipts for an order, behind `after`, at most `limit`.
    pub async fn proofs(
        &self,
        order: &Name,
        after: Option<(DeviceId, Sha256)>,
        limit: usize,
    ) -> Result<ProvenPage, StoreError> {
        let place = |(device, digest)| Key::Receipt { order: order.clone(), device, digest };
        let from = after.map_or(Cursor::First, |after| Cursor::After(place(after)));
        let page = self.store.scan(Index::ReceiptsFor(order.clone()), from, limit).await?;
        let (mut found, mut last) = (ProvenPage::default(), None);
        for (key, row) in page.rows {
            let Key::Receipt { device, digest, .. } = key else { continue };
            last = Some((device, digest));
            let proof = Proof::from_body(&row.body);
            let read = proof.as_ref().and_then(|proof| Some((proof, proof.bytes()?)));
            let (proof, receipt) =
                read.ok_or_else(|| StoreError::Corrupt(place((device, digest)).to_string()))?;
            let leaf = self.leaf_of(proof.leaf).await?;
            let issuer = leaf.as_ref().and_then(|leaf| self.issuer_of(leaf));
            found.rows.push(Proven { device, digest, received: proof.received, receipt, leaf, issuer });
        }
        found.next = page.next.and(last);
        Ok(found)
    }

    async fn leaf_of(&self, leaf: Sha256) -> Result<Option<CertificateDer<'static>>, StoreError> {
        let row = self.store.get(Key::Leaf(leaf)).await?;
        Ok(row.and_then(|row| from_base64url(&Leaf::from_body(&row.body)?.der)).map(Into::into))
    }

    /// The authority whose key signed this certificate. Authorities may share a name, so the signature decides.
    fn issuer_of(&self, leaf: &CertificateDer<'_>) -> Option<CertificateDer<'static>> {
        let (_, read) = x509_parser::parse_x509_certificate(leaf).ok()?;
        let (stated, signature) = (read.tbs_certificate.as_ref(), &read.signature_value.data);
        let mut known = self.ca.anchors().into_iter();
        known.find(|issuer| PeerLeaf::of(issuer).is_some_and(|key| key.verifies(stated, signature)))
    }
}
