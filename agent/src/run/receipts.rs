//! The outbox of receipts: signed, kept on disk, handed in until the server has them.
//!
//! The same number is the same receipt: what is kept already never changes, so a crash between keeping and noting it
//! leaves no second one. Only its signature does: the server believes the key of the certificate that is shown, so a
//! receipt from before a renewal is signed again as it leaves. It is removed only after the server took it. Read next:
//! `cordon_proto::receipt`.

use std::path::Path;

use cordon_agent_core::update::Report;
use cordon_proto::ids::{HardwareId, Text};
use cordon_proto::limits;
use cordon_proto::receipt::{Receipt, ReceiptBody};
use cordon_proto::time::Timestamp;
use cordon_proto::wire;

use crate::files::{self, FileError, Folder};
use crate::identity::Identity;
use crate::identity::key::KeyError;

/// The outbox inside the state folder.
pub(crate) const FOLDER: &str = "receipts";
/// What the file of a receipt ends with.
const SUFFIX: &str = ".receipt";

/// Why a receipt could not be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiptError {
    /// The disk.
    #[error(transparent)]
    File(#[from] FileError),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The outbox.
pub(crate) struct Outbox {
    folder: Folder,
    /// Numbers that the server refused for themselves; they stay on disk and are tried again after a restart.
    refused: Vec<String>,
}

impl Outbox {
    pub(crate) fn new(folder: Folder) -> Self {
        Self { folder, refused: Vec::new() }
    }

    /// Signs and keeps a receipt; one of the same number stands.
    pub(crate) fn keep(
        &self,
        report: &Report,
        identity: &Identity,
        hardware: HardwareId,
        time: Timestamp,
    ) -> Result<(), ReceiptError> {
        let name = format!("{:020}{SUFFIX}", report.serial);
        if self.folder.read(&name, limits::BODY_BYTES)?.is_some() {
            return Ok(());
        }
        let body = ReceiptBody {
            device: identity.device,
            hardware,
            order: report.order.clone(),
            action: report.action,
            outcome: report.outcome,
            release: report.release.clone(),
            counter: report.counter,
            sha256: report.sha256,
            previous_sha256: report.previous_sha256,
            slot: Text::lossy(report.slot.letter()),
            boots: report.boots,
            floor: report.floor,
            interlock: report.interlock,
            time,
            reason: report.reason.clone(),
        };
        let receipt = Receipt::sign(&body, |message| identity.key().sign(message))?;
        Ok(self.folder.write(&name, &wire::write(&receipt))?)
    }

    /// The oldest receipt that is still to be handed in, with its name, signed by the key in force.
    pub(crate) fn next(&self, identity: &Identity) -> Result<Option<(String, Receipt)>, FileError> {
        for name in self.folder.names()?.into_iter().filter(|name| name.ends_with(SUFFIX)) {
            if self.refused.contains(&name) {
                continue;
            }
            let Some(bytes) = self.folder.read(&name, limits::BODY_BYTES)? else { continue };
            match wire::read(&bytes, limits::BODY_BYTES) {
                Ok(receipt) => return Ok(Some((name, in_force(receipt, identity)))),
                // Damaged on disk: it proves nothing any more, and must not hold back the others.
                Err(_) => self.folder.remove(&name)?,
            }
        }
        Ok(None)
    }

    /// Copies all receipts that wait into a folder, each under its device's name, for whoever carries them to the server.
    pub(crate) fn copy_into(&self, identity: &Identity, to: &Path) -> Result<usize, ReceiptError> {
        let mut copied = 0;
        for name in self.folder.names()?.into_iter().filter(|name| name.ends_with(SUFFIX)) {
            let Some(bytes) = self.folder.read(&name, limits::BODY_BYTES)? else { continue };
            let Ok(receipt) = wire::read(&bytes, limits::BODY_BYTES) else { continue };
            let bytes = wire::write(&in_force(receipt, identity));
            files::write_plain(to, &format!("{}-{name}", identity.device), &bytes)?;
            copied += 1;
        }
        Ok(copied)
    }

    /// The server has it.
    pub(crate) fn taken(&mut self, name: &str) -> Result<(), FileError> {
        self.folder.remove(name)
    }

    /// The server will not take it; it stays for people to look at.
    pub(crate) fn refused(&mut self, name: String) {
        self.refused.push(name);
    }
}

/// The receipt with a signature of the key in force; as it is where that key cannot sign now.
fn in_force(receipt: Receipt, identity: &Identity) -> Receipt {
    let signed_by_it = |message: &[u8], signature: &[u8]| identity.verifies(message, signature);
    if receipt.open(signed_by_it).is_ok() {
        return receipt;
    }
    match receipt.open(|_, _| true).map(|body| Receipt::sign(&body, |message| identity.key().sign(message))) {
        Ok(Ok(signed)) => signed,
        Ok(Err(_)) | Err(_) => receipt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests::hardware;
    use crate::link::tests::Site;
    use cordon_agent_core::update::Slot;
    use cordon_proto::checkin::{Action, InterlockState};
    use cordon_proto::ids::Sha256;
    use cordon_proto::receipt::Outcome;
    use cordon_proto::update::{PublicKey, Scheme, Verifier};

    fn report(serial: u64) -> Report {
        Report {
            serial,
            order: "7".parse().expect("a name"),
            action: Action::Install,
            outcome: Outcome::Confirmed,
            release: None,
            counter: 2,
            sha256: Sha256([1; 32]),
            previous_sha256: Sha256([0; 32]),
            slot: Slot::B,
            boots: 1,
            floor: 2,
            interlock: InterlockState::Standby,
            reason: None,
        }
    }

    #[tokio::test]
    async fn the_same_number_is_the_same_receipt_until_the_server_has_it() {
        // Goal: no second proof of one act, and one that verifies. Method: keep twice at other times, open, take.
        let site = Site::new().await;
        let root = tempfile::tempdir().expect("a scratch folder");
        let mut outbox = Outbox::new(Folder::open(root.path().join("receipts")).expect("opens"));
        let identity = &site.identity;
        let id = hardware().identity();
        outbox.keep(&report(10), identity, id, Timestamp(5)).expect("is kept");
        outbox.keep(&report(10), identity, id, Timestamp(6)).expect("is kept already");
        outbox.keep(&report(9), identity, id, Timestamp(7)).expect("is kept");
        let (first, _) = outbox.next(identity).expect("reads").expect("waits");
        outbox.taken(&first).expect("is removed");
        let (name, receipt) = outbox.next(identity).expect("reads").expect("waits");
        let key = PublicKey { scheme: Scheme::EcdsaP256, bytes: identity.key().spki().to_vec() };
        let body = receipt
            .open(|message, signature| crate::verifier::DeviceVerifier.verify(&key, message, signature));
        let body = body.expect("verifies");
        assert_eq!((body.time, body.counter, body.device), (Timestamp(5), 2, identity.device));
        outbox.refused(name);
        assert!(outbox.next(identity).expect("reads").is_none(), "a refused one holds nobody back");
        let again = Outbox::new(outbox.folder.clone());
        assert!(again.next(identity).expect("reads").is_some(), "and is tried again after a restart");
    }
}
