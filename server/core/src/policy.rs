//! Who among people and their tools may do what: roles, API tokens, sessions, one-time sign-in links.
//!
//! Secrets exist as hashes only. A link opens one session and is then gone; a session carries its own proof against
//! forged requests. Accounts, second factors and single sign-on come with the console's own work; until then there is
//! one administrator, who comes in by a link that only the machine's owner can make. Read next: `change::Key` for where
//! these documents stand.

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::ids::Text;
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Seconds a session lives.
pub const SESSION_S: i64 = 12 * 3600;
/// Seconds a one-time link lives.
pub const LINK_S: i64 = 15 * 60;

/// What a person or tool may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reads everything, changes nothing.
    Reader,
    /// Everything that needs no offline key.
    Administrator,
}

/// What a request of the operator plane is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Looking.
    Read,
    /// Changing something.
    Change,
}

impl Role {
    /// Whether this role may do that.
    #[must_use]
    pub fn may(self, access: Access) -> bool {
        match (self, access) {
            (Self::Administrator, _) | (Self::Reader, Access::Read) => true,
            (Self::Reader, Access::Change) => false,
        }
    }
}

/// A tool's token, under `Key::ApiToken` of its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Version of this document.
    pub v: u32,
    /// What it is for, as the journal shows it.
    pub name: Text,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created: Timestamp,
    /// From then on it is nothing.
    pub expires: Timestamp,
}

/// What stands under `Key::Session` of a secret's hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Door {
    /// A link that opens one session.
    Link {
        /// Version of this document.
        v: u32,
        /// For whom.
        person: Text,
        /// What the session may do.
        role: Role,
        /// From then on it is nothing.
        expires: Timestamp,
    },
    /// An open session.
    Session(Session),
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

impl ApiToken {
    /// A token that lives `days`.
    #[must_use]
    pub fn new(name: Text, role: Role, now: Timestamp, days: u32) -> Self {
        Self { v: 1, name, role, created: now, expires: now.plus_seconds(i64::from(days) * 86_400) }
    }

    /// Whether it still counts.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.expires
    }
}

impl Door {
    /// A link for one session.
    #[must_use]
    pub fn link(person: Text, role: Role, now: Timestamp) -> Self {
        Self::Link { v: 1, person, role, expires: now.plus_seconds(LINK_S) }
    }

    /// The session that a link opens; `None` if it is no link or has lapsed.
    #[must_use]
    pub fn opened(&self, csrf: String, now: Timestamp) -> Option<Session> {
        match self {
            Self::Link { person, role, expires, .. } if now < *expires => Some(Session {
                v: 1,
                person: person.clone(),
                role: *role,
                csrf,
                created: now,
                expires: now.plus_seconds(SESSION_S),
            }),
            Self::Link { .. } | Self::Session(_) => None,
        }
    }

    /// The session, if it is one and still counts.
    #[must_use]
    pub fn session(self, now: Timestamp) -> Option<Session> {
        match self {
            Self::Session(session) if now < session.expires => Some(session),
            Self::Session(_) | Self::Link { .. } => None,
        }
    }

    /// The bytes under `Key::Session`.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and integers are always JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    const NOW: Timestamp = Timestamp(1_795_251_906);

    #[test]
    fn a_link_opens_a_session_once_it_counts_and_not_when_it_lapsed() {
        // Goal: no door but these. Method: link, late link, session as link, session past its end.
        let link = Door::link(Text::lossy("admin"), Role::Administrator, NOW);
        let session = link.opened("proof".to_string(), NOW).expect("opens");
        assert_eq!(link.opened(String::new(), NOW.plus_seconds(LINK_S)), None);
        assert_eq!(link.session(NOW), None, "a link is no session");
        let door = Door::Session(session.clone());
        assert_eq!(door.opened(String::new(), NOW), None, "a session opens no other");
        assert_eq!(door.clone().session(NOW.plus_seconds(SESSION_S - 1)), Some(session));
        assert_eq!(door.session(NOW.plus_seconds(SESSION_S)), None);
    }

    #[test]
    fn a_reader_changes_nothing() {
        // Goal: the table of roles. Method: all four cells.
        let table = [Role::Reader, Role::Administrator]
            .map(|role| [Access::Read, Access::Change].map(|a| role.may(a)));
        assert_eq!(table, [[true, false], [true, true]]);
    }

    #[test]
    fn stored_documents_read_for_ever() {
        // Goal: old sessions and tokens survive an upgrade. Method: golden JSON.
        let token = ApiToken::new(Text::lossy("ctl"), Role::Administrator, NOW, 1);
        let text = r#"{"v":1,"name":"ctl","role":"administrator","created":1795251906,"expires":1795338306}"#;
        assert_eq!(serde_json::to_string(&token).expect("writes"), text);
        assert!(token.holds(NOW) && !token.holds(NOW.plus_seconds(86_400)));
        let link = r#"{"kind":"link","v":1,"person":"admin","role":"administrator","expires":1795252806}"#;
        let door: Door = serde_json::from_str(link).expect("reads");
        assert_eq!(door, Door::link(Text::lossy("admin"), Role::Administrator, NOW));
    }
}
