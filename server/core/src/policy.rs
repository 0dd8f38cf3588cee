//! Who among people may do what: roles and sessions.
//!
//! A session's secret exists as a hash only, and it carries its own proof against forged requests. Accounts, second factors and single sign-on come with the console's own work; until then there is
//! one administrator, who comes in by a link that only the machine's owner can make. Read next: `change::Key` for where
//! these documents stand.

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::ids::Text;
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Seconds a session lives.
pub const SESSION_S: i64 = 12 * 3600;

/// What a person or tool may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reads everything, changes nothing.
    Reader,
    /// Reads everything, and stops and holds what disturbs a ward.
    Clinical,
    /// Everything that needs no offline key.
    Administrator,
}

/// What a request of the operator plane is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Looking.
    Read,
    /// Stopping a rollout, or holding a place: what a person at the bedside must be able to do.
    Stop,
    /// Changing something.
    Change,
}

impl Role {
    /// Whether this role may do that.
    #[must_use]
    pub fn may(self, access: Access) -> bool {
        match (self, access) {
            (Self::Administrator, _)
            | (Self::Reader | Self::Clinical, Access::Read)
            | (Self::Clinical, Access::Stop) => true,
            (Self::Reader, Access::Stop | Access::Change) | (Self::Clinical, Access::Change) => false,
        }
    }
}

/// An open session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Version of this document.
    pub v: u32,
    /// Whose.
    pub person: Text,
    /// What it may do.
    pub role: Role,
    /// Must come back with every request that changes something.
    pub csrf: String,
    /// When it was opened.
    pub created: Timestamp,
    /// From then on it is nothing.
    pub expires: Timestamp,
}

impl Session {
    /// A session that begins now.
    #[must_use]
    pub fn new(person: Text, role: Role, csrf: String, now: Timestamp) -> Self {
        Self { v: 1, person, role, csrf, created: now, expires: now.plus_seconds(SESSION_S) }
    }

    /// Whether it still counts.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.expires
    }

    /// The bytes under `Key::Session`.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and integers are always JSON")
    }

    /// Reads stored bytes; `None` for a version that this program does not know.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|session: &Self| session.v == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    const NOW: Timestamp = Timestamp(1_795_251_906);

    #[test]
    fn a_reader_changes_nothing_and_a_clinical_engineer_stops() {
        // Goal: the table of roles. Method: all nine cells.
        let table = [Role::Reader, Role::Clinical, Role::Administrator]
            .map(|role| [Access::Read, Access::Stop, Access::Change].map(|a| role.may(a)));
        assert_eq!(table, [[true, false, false], [true, true, false], [true, true, true]]);
    }

    #[test]
    fn a_session_counts_until_its_end_and_reads_for_ever() {
        // Goal: old sessions survive an upgrade, and end. Method: golden JSON; the last second.
        let session = Session::new(Text::lossy("admin"), Role::Administrator, "proof".to_string(), NOW);
        let text = r#"{"v":1,"person":"admin","role":"administrator","csrf":"proof","created":1795251906,"expires":1795295106}"#;
        assert_eq!(session.to_body(), text.as_bytes());
        assert_eq!(Session::from_body(text.as_bytes()), Some(session.clone()));
        assert!(
            session.holds(NOW.plus_seconds(SESSION_S - 1)) && !session.holds(NOW.plus_seconds(SESSION_S))
        );
        assert_eq!(Session::from_body(b"{}"), None);
    }
}
