//! The settings of the enrolment plane: who may come in, and on what terms.
//!
//! A maker's anchor names a file of certificates; it is read when the server starts (see `tls::clients`), so that a
//! missing one is an error then and not a device turned away later. Nothing here decides over a request: that is
//! `server/core`'s `admit`.

use std::net::SocketAddr;
use std::path::PathBuf;

use cordon_proto::ids::Text;
use cordon_proto::limits;
use cordon_server_core::admit::{Admit, Anchor, Terms};
use serde::Deserialize;

use super::{ConfigError, everywhere, within};

/// Seconds after which a waiting device is asked to come again, at most.
const APPROVAL_RETRY_S: u32 = 3600;

/// The enrolment plane.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Enrolment {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Days a device's certificate lives, 1 to 90.
    pub leaf_days: u32,
    /// Where third parties find the list of void certificates; it goes into each leaf. `{issuer}` stands for the
    /// identifier of the issuing key.
    pub crl_url: Option<String>,
    /// Days after its end in which a certificate may still ask for the next one, 0 to 90.
    pub grace_days: u32,
    /// Refused requests that one address may cause in a row before it has to wait.
    pub refusals: u32,
    /// Refused requests that one address gets back each minute.
    pub refusals_per_minute: u32,
    /// Whether a device that brings nothing may wait for a person's approval.
    pub approval_queue: bool,
    /// Seconds after which a waiting device is asked to come again, 1 to 3600.
    pub approval_retry_s: u32,
    /// Whether a token alone is not enough: the request must be bound to its connection, as only our own agent can.
    pub require_binding: bool,
    /// Whether every device may keep its key when it renews; otherwise only one that reports a key in hardware.
    pub same_key_renewal: bool,
    /// Whether TLS 1.2 is spoken too, for third-party clients that know nothing newer.
    pub tls12: bool,
    /// Makers whose birth certificates count.
    pub anchor: Vec<AnchorSettings>,
}

/// One maker whose birth certificates (IDevID) count.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnchorSettings {
    /// What people call it.
    pub name: Text,
    /// The maker's certificates, PEM.
    pub certificates: PathBuf,
    /// Whose devices it vouches for, as they state it themselves.
    pub manufacturer: Text,
    /// The models it vouches for; all if there are none.
    #[serde(default)]
    pub models: Vec<Text>,
    /// Whom it lets in: `expected` devices, `all`, or each after a person's `approval`.
    #[serde(default)]
    pub admit: Admit,
    /// Whether a request must be bound to its connection.
    #[serde(default)]
    pub require_binding: bool,
}

impl Enrolment {
    /// What the policy has to know.
    #[must_use]
    pub fn terms(&self) -> Terms {
        Terms {
            approval_queue: self.approval_queue,
            require_binding: self.require_binding,
            grace_days: self.grace_days,
            same_key_renewal: self.same_key_renewal,
        }
    }

    pub(super) fn bounded(&self) -> Result<(), ConfigError> {
        within("enrolment.leaf_days", self.leaf_days, 1, 90)?;
        if self.crl_url.as_ref().is_some_and(|url| !url.starts_with("http") || !url.is_ascii()) {
            let (bounds, found) = ("an address that begins with http".to_owned(), "another text".to_owned());
            return Err(ConfigError::Bounds { key: "enrolment.crl_url", bounds, found });
        }
        within("enrolment.grace_days", self.grace_days, 0, limits::GRACE_DAYS)?;
        within("enrolment.refusals", self.refusals, 1, 1000)?;
        within("enrolment.refusals_per_minute", self.refusals_per_minute, 1, 1000)?;
        within("enrolment.approval_retry_s", self.approval_retry_s, 1, APPROVAL_RETRY_S)
    }
}

impl AnchorSettings {
    /// The anchor as the policy knows it.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        Anchor {
            name: self.name.clone(),
            manufacturer: self.manufacturer.clone(),
            models: self.models.clone(),
            admit: self.admit,
            require_binding: self.require_binding,
        }
    }
}

impl Default for Enrolment {
    fn default() -> Self {
        Self {
            listen: everywhere(8444),
            leaf_days: limits::LEAF_DAYS,
            crl_url: None,
            grace_days: limits::GRACE_DAYS,
            refusals: 128,
            refusals_per_minute: 10,
            approval_queue: false,
            approval_retry_s: 60,
            require_binding: false,
            same_key_renewal: false,
            tls12: false,
            anchor: Vec::new(),
        }
    }
}
