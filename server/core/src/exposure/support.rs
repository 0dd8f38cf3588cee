//! Until when the operating system of a device is repaired: by its own word, and by published ends of life.
//!
//! The earlier of the two counts: an image that says more than its maker keeps is no promise. A release whose end nobody
//! states is unknown, never supported. Read next: `feeds::eol`.

use cordon_proto::time::Timestamp;

use super::holdings::Composition;
use super::world::World;
use crate::feeds::eol::End;
use crate::feeds::intake::Kind;
use crate::risk::facts::OsSupport;

/// How ends of life call what os-release calls otherwise (endoflife.date and its aliases).
const NAMES: [(&str, &[&str]); 9] = [
    ("alpine", &["alpine", "alpine-linux"]),
    ("rocky", &["rocky-linux"]),
    ("opensuse-leap", &["opensuse"]),
    ("amzn", &["amazon-linux"]),
    ("ol", &["oracle-linux"]),
    ("sles", &["sles"]),
    ("photon", &["photon"]),
    ("almalinux", &["almalinux"]),
    ("raspbian", &["raspbian"]),
];

impl World {
    /// Until when the operating system of a composition is repaired.
    #[must_use]
    pub fn support(&self, composition: &Composition) -> OsSupport {
        let date = composition.support_end.as_deref();
        let own = date.and_then(|date| Timestamp::parse(&alloc::format!("{date}T00:00:00Z")).ok());
        let own = own.map_or(OsSupport::Unknown, |at| OsSupport::Until { at });
        let published = composition.os.as_ref().map(|(id, version)| self.published(id, version));
        match (own, published.unwrap_or_default()) {
            (OsSupport::Until { at: own }, OsSupport::Until { at }) => OsSupport::Until { at: own.min(at) },
            (OsSupport::Until { at: own }, OsSupport::Ended { at }) => OsSupport::Ended { at: own.min(at) },
            (own @ OsSupport::Until { .. }, OsSupport::Unknown | OsSupport::Supported) => own,
            (OsSupport::Unknown | OsSupport::Supported | OsSupport::Ended { .. }, published) => published,
        }
    }

    fn published(&self, id: &str, version: &str) -> OsSupport {
        let id = id.to_lowercase();
        let others = NAMES.iter().find(|(name, _)| *name == id).map(|(_, others)| *others);
        let mut names = core::iter::once(id.as_str()).chain(others.into_iter().flatten().copied());
        let Some(lifecycle) = names.find_map(|name| self.lifecycles.get(name)) else {
            return OsSupport::Unknown;
        };
        match lifecycle.release_of(version).map(|release| release.life) {
            Some(End::On(at)) => OsSupport::Until { at },
            // The day is not said: no later than the day of the list that says so.
            Some(End::Over) => match lifecycle.as_of.or(self.as_of(Kind::Eol)) {
                Some(at) => OsSupport::Ended { at },
                None => OsSupport::Unknown,
            },
            Some(End::Open) => OsSupport::Supported,
            Some(End::Unsaid) | None => OsSupport::Unknown,
        }
    }
}
