//! What handlers ask of the authorities: whose leaf comes from where, the lists of void certificates, the steps of a
//! change of roots.
//!
//! The fleet in memory says who believes what and who is not to be trusted; decisions are `server/core`'s `authority`.
//! Read next: [`crate::ca::steps`], [`crate::ca::crl`].

use std::sync::Arc;

use cordon_proto::enrol::from_base64url;
use cordon_proto::ids::{DeviceId, Sha256};
use cordon_server_core::authority::revoked;
use cordon_server_core::device::Leaf;

use super::App;
use crate::ca::crl::LeafFacts;
use crate::ca::steps::{Ask, Desk, SeenDevice, StepError, Told};
use crate::ca::{Ca, CaError};
use crate::init;
use crate::store::{Key, StoreError};

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    /// No authority of ours has this key, or its key is gone.
    #[error("no such issuing authority")]
    Unknown,
    /// What is known here of the fleet is too old to swear to.
    #[error("this server has lost touch with its store")]
    Stale,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The authority.
    #[error(transparent)]
    Ca(#[from] CaError),
}

impl App {
    /// The authority for a device's next leaf. A device that has not said it believes a new root gets what it can use.
    #[must_use]
    pub fn issuing_for(&self, device: DeviceId) -> Arc<Ca> {
        let member = self.fleet.get(device);
        let report = member.and_then(|member| member.report.clone());
        self.ca.for_devices(report.map_or(0, |report| report.ca_version))
    }

    /// Answers a person's question about the authorities, or takes a step.
    pub async fn authority_step(&self, ask: &Ask) -> Result<Told, StepError> {
        let members = self.fleet.all();
        let devices = members.iter().map(|one| SeenDevice::of(&one.device, one.report.as_deref())).collect();
        let roots_file = self.config.folder.join(init::CA);
        let desk = Desk {
            authority: &self.ca,
            store: &*self.store,
            devices,
            roots_file: &roots_file,
            now: self.clock.now(),
        };
        let told = desk.answer(ask).await;
        if let Ok(Told::Done(words)) = &told {
            tracing::warn!("the authorities were changed: {words}");
        }
        told
    }

    /// The list of void certificates of an issuing authority, by the identifier of its key; of the one that issues for
    /// a device like any other if none is named.
    pub async fn crl(&self, issuer: Option<&str>) -> Result<Vec<u8>, CrlError> {
        if self.following.is_stale() {
            return Err(CrlError::Stale);
        }
        let standing = self.ca.standing();
        let ca = match issuer {
            None => self.ca.for_devices(u64::MAX),
            Some(issuer) => {
                let mut all = standing.signing();
                all.find(|ca| ca.key_identifier() == issuer).ok_or(CrlError::Unknown)?.clone()
            }
        };
        let mut held = self.lists.hold().await;
        let now = self.clock.now_ms();
        if let Some(list) = held.recent(&ca, now) {
            return Ok(list);
        }
        let members = self.fleet.all();
        let revoked: Vec<_> = members.iter().flat_map(|member| revoked(&member.device)).collect();
        for leaf in held.unread(&revoked) {
            let facts = self.leaf_facts(leaf).await?;
            held.read(leaf, facts);
        }
        Ok(held.list(&ca, &revoked, now)?)
    }

    async fn leaf_facts(&self, leaf: Sha256) -> Result<Option<LeafFacts>, StoreError> {
        let row = self.store.get(Key::Leaf(leaf)).await?;
        let der = row.and_then(|row| from_base64url(&Leaf::from_body(&row.body)?.der));
        Ok(der.and_then(|der| LeafFacts::of(&der)))
    }
}
