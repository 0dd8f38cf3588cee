//! The components that advisories can be asked about; why not the others.
//!
//! By package URL only: no name and no CPE is guessed from. A package of a distribution that does not say its release takes
//! the one of the operating system that the same document names, if there is one of that family; otherwise it stays without, and
//! the matcher calls it unknown. Read next: [`crate::matching::purl`].

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Component, Kind, Sbom};
use crate::matching::component::Component as Matched;
use crate::matching::purl::Purl;

/// What can be asked about, and what cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matchable {
    /// The components, as the matcher takes them.
    pub components: Vec<Matched>,
    /// How many of the others there are, by the reason: `not-a-package`, `no-purl`, `bad-purl`, `no-version`.
    pub left_out: BTreeMap<&'static str, usize>,
    /// Among [`Matchable::components`]: those of a distribution without its release, which no advisory speaks of.
    pub without_release: usize,
}

impl Sbom {
    /// What advisories can be asked about; the subject too, where it is a package itself.
    #[must_use]
    pub fn matchable(&self) -> Matchable {
        let distro = self.distro();
        let mut matchable = Matchable::default();
        let subject = self.subject.iter().filter(|subject| subject.purl.is_some());
        for component in self.components.iter().chain(subject) {
            match component.matched(distro.as_ref()) {
                Ok(matched) => {
                    matchable.without_release += usize::from(matched.ecosystem.lacks_release());
                    matchable.components.push(matched);
                }
                Err(word) => *matchable.left_out.entry(word).or_default() += 1,
            }
        }
        matchable
    }

    /// The operating system that the document names, if it is one: its name, and both as package URLs write it.
    fn distro(&self) -> Option<(String, String)> {
        let mut systems = self.components.iter().filter(|component| component.kind == Kind::OperatingSystem);
        let (system, None) = (systems.next()?, systems.next()) else { return None };
        let name = system.name.to_ascii_lowercase();
        let version = system.version.as_deref()?;
        Some((name.clone(), alloc::format!("{name}-{version}")))
    }
}

impl Component {
    /// Its package URL with what the component says beside it, or the reason why nothing can be asked.
    pub(super) fn identity(&self) -> Result<Purl, &'static str> {
        let text = match &self.purl {
            Some(text) => text,
            None if self.bad_purl => return Err("bad-purl"),
            None if self.kind.is_software() => return Err("no-purl"),
            None => return Err("not-a-package"),
        };
        let mut purl = Purl::canonical(text).map_err(|_| "bad-purl")?;
        if purl.version.is_none() {
            purl.version.clone_from(&self.version);
        }
        if purl.version.is_some() { Ok(purl) } else { Err("no-version") }
    }

    fn matched(&self, distro: Option<&(String, String)>) -> Result<Matched, &'static str> {
        let mut purl = self.identity()?;
        let placed = matches!(purl.kind.as_str(), "deb" | "rpm" | "apk");
        let of_it =
            |name: &String| purl.namespace.first() == Some(name) && !purl.qualifiers.contains_key("distro");
        if let Some((_, distro)) = distro.filter(|(name, _)| placed && of_it(name)) {
            purl.qualifiers.insert("distro".into(), distro.clone());
        }
        purl.component().ok_or("no-version")
    }
}
