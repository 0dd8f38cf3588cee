//! The farewell on disk: the receipt that the device signed before it wiped what it knew of its owner.
//!
//! It is on disk before anything is wiped, so a wipe that died is known at the next start by it: it says that it was not
//! followed by a whole wipe, and names the certificates that were held. One that was, or that names others, is the past
//! of a device that was enrolled anew. It holds no secret and is never removed, only replaced by a later one. Read next: `cordon_proto::farewell`,
//! [`crate::run`] for the order of leaving.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_proto::farewell::{Cause, Farewell, FarewellBody};
use cordon_proto::ids::DeviceId;
use cordon_proto::time::Timestamp;
use cordon_proto::{limits, wire};
use serde::{Deserialize, Serialize};

use super::slots::{FILE_BYTES, json, read};
use super::{Identity, IdentityError};
use crate::files::Folder;

/// The file's name in the state folder.
pub const FILE: &str = "farewell.json";

/// The farewell as kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    v: u8,
    /// The device.
    pub device: DeviceId,
    /// Why it took leave.
    pub cause: Cause,
    /// When, by its own clock.
    pub time: Timestamp,
    /// The signed receipt: base64 of its CBOR.
    receipt: String,
    /// Whether the server has it.
    pub handed_in: bool,
    /// Whether everything was wiped after it.
    #[serde(default)]
    pub wiped: bool,
    /// Fingerprints of the certificates that were held when it was signed.
    #[serde(default)]
    leaves: Vec<String>,
}

impl Kept {
    /// The farewell in the state folder.
    pub fn read(state: &Folder) -> Result<Option<Self>, IdentityError> {
        state.read(FILE, FILE_BYTES)?.map(|bytes| read(&bytes, FILE)).transpose()
    }

    /// Signs a farewell and keeps it. `other` is a second identity that goes with the one that signs.
    pub fn sign(
        state: &Folder,
        (identity, other): (&Identity, Option<&Identity>),
        body: &FarewellBody,
    ) -> Result<Self, IdentityError> {
        let signed = Farewell::sign(body, |message| identity.key().sign(message))?;
        let kept = Self {
            v: 1,
            device: body.device,
            cause: body.cause,
            time: body.time,
            receipt: STANDARD.encode(wire::write(&signed)),
            handed_in: false,
            wiped: false,
            leaves: [Some(identity), other].into_iter().flatten().map(fingerprint).collect(),
        };
        state.write(FILE, &json(&kept))?;
        Ok(kept)
    }

    /// The server has it.
    pub fn handed_in(&mut self, state: &Folder) -> Result<(), IdentityError> {
        self.handed_in = true;
        Ok(state.write(FILE, &json(self))?)
    }

    /// Everything was wiped.
    pub fn wiped(&mut self, state: &Folder) -> Result<(), IdentityError> {
        self.wiped = true;
        Ok(state.write(FILE, &json(self))?)
    }

    /// The receipt, as it is handed in.
    #[must_use]
    pub fn receipt(&self) -> Option<Farewell> {
        wire::read(&STANDARD.decode(&self.receipt).ok()?, limits::BODY_BYTES).ok()
    }

    /// Whether this identity was held when it was signed. One of before that was noted is of nobody: where its leave
    /// died, the server says the same word again.
    #[must_use]
    pub fn is_of(&self, identity: &Identity) -> bool {
        self.leaves.contains(&fingerprint(identity))
    }
}

fn fingerprint(identity: &Identity) -> String {
    identity.fingerprint().to_string()
}
