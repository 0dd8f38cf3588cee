//! Whether a VEX product is here.
//!
//! Package URLs are compared in their canonical form, qualifiers only where the statement names them, and `debian-12` is
//! `debian-12.13`. Products without one are compared by maker and name as a whole: nothing is guessed. Read next:
//! [`super::ledger`].

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use super::{By, Subject};
use crate::feeds::naming::{Aliases, Likeness, names_of};
use crate::feeds::span::{Among, Order, Versions};
use crate::matching::component::Component;
use crate::matching::ecosystem::of_distro;
use crate::matching::purl::Purl;

/// Something that is here: a component, a release, a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thing {
    /// Its package URLs.
    pub purls: Vec<Purl>,
    /// Its maker, where it is known.
    pub maker: String,
    /// Its name.
    pub name: String,
    /// Its version, where it is known.
    pub version: Option<String>,
    /// Other texts that name it whole, such as the `@id` of a release.
    pub texts: Vec<String>,
}

/// How a statement's product fits a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is it; and whether by its version.
    Is {
        /// The statement names its version.
        versioned: bool,
    },
    /// It is not, or nobody can say.
    Not,
}

impl Thing {
    /// A source package with its binaries.
    #[must_use]
    pub fn of_component(component: &Component) -> Self {
        let family = component.ecosystem.family();
        let (kind, namespace) = match family {
            "Debian" => ("deb", "debian"),
            "Ubuntu" => ("deb", "ubuntu"),
            "Alpine" => ("apk", "alpine"),
            "Wolfi" => ("apk", "wolfi"),
            "Chainguard" => ("apk", "chainguard"),
            "AlmaLinux" => ("rpm", "almalinux"),
            "Rocky Linux" => ("rpm", "rocky"),
            "Red Hat" => ("rpm", "redhat"),
            "openSUSE" => ("rpm", "opensuse"),
            "SUSE" => ("rpm", "suse"),
            "PyPI" => ("pypi", ""),
            "npm" => ("npm", ""),
            "crates.io" => ("cargo", ""),
            "Go" => ("golang", ""),
            "Maven" => ("maven", ""),
            "NuGet" => ("nuget", ""),
            "RubyGems" => ("gem", ""),
            "Packagist" => ("composer", ""),
            "Hex" => ("hex", ""),
            other => (other, ""),
        };
        let release = component.ecosystem.release().map(|release| release.trim_end_matches(":LTS"));
        let purl = |name: &str, source: bool| {
            let sign = if kind == "maven" { ':' } else { '/' };
            let (front, name) = name.rsplit_once(sign).unwrap_or(("", name));
            let front = if namespace.is_empty() { front } else { namespace };
            let mut purl = Purl {
                kind: kind.to_owned(),
                namespace: front.split('/').filter(|part| !part.is_empty()).map(ToOwned::to_owned).collect(),
                name: name.to_owned(),
                version: Some(component.version.clone()),
                qualifiers: [].into(),
                subpath: Vec::new(),
            };
            if source {
                purl.qualifiers.insert("arch".into(), "source".into());
            }
            if let Some(release) = release.filter(|_| !namespace.is_empty()) {
                let release = release.trim_start_matches('v');
                purl.qualifiers.insert("distro".into(), alloc::format!("{namespace}-{release}"));
            }
            purl
        };
        let mut purls: Vec<Purl> = component.binaries.iter().map(|binary| purl(binary, false)).collect();
        purls.push(purl(&component.name, !namespace.is_empty()));
        let version = Some(component.version.clone());
        Self { purls, name: component.name.clone(), version, ..Self::default() }
    }
}

impl Subject {
    /// Whether it is `thing`.
    #[must_use]
    pub fn fits(&self, thing: &Thing, aliases: &Aliases) -> Fit {
        if thing.texts.contains(&self.written) {
            return Fit::Is { versioned: true };
        }
        match &self.by {
            By::Text => Fit::Not,
            By::Purl(purl) => {
                let best = thing.purls.iter().map(|here| fits_purl(purl, here));
                match best.fold(Fit::Not, Fit::surer) {
                    Fit::Is { versioned: false } if is_packaged(purl) => self.by_packaged_versions(thing),
                    Fit::Is { versioned: false } => self.by_versions(thing),
                    fit => fit,
                }
            }
            By::Name { maker, name } => {
                let (theirs, ours) = (aliases.makers(maker), aliases.makers(&thing.maker));
                let said = !theirs.is_empty() && !ours.is_empty();
                if said && theirs.is_disjoint(&ours) {
                    return Fit::Not;
                }
                let here = aliases.model(&thing.name, &ours);
                // Where a maker is missing, only the very same name is the same.
                let enough = if said { Likeness::Core } else { Likeness::Same };
                let same = |name: &String| {
                    here.likeness(&aliases.model(name, &theirs)).is_some_and(|like| like >= enough)
                };
                if names_of(name).iter().any(same) { self.by_versions(thing) } else { Fit::Not }
            }
        }
    }

    /// The same for what a package manager installs: by its own order, or by the very same text. An epoch or a revision has no
    /// place in the order of devices, by which `1:2.0` stands before `2.0`.
    fn by_packaged_versions(&self, thing: &Thing) -> Fit {
        match (&self.versions, &thing.version) {
            (Versions::Listed(versions), Some(version)) if versions.contains(version) => {
                Fit::Is { versioned: true }
            }
            (Versions::Listed(_) | Versions::Ranges { order: Order::Device, .. }, _) => Fit::Not,
            (
                Versions::Unsaid
                | Versions::All
                | Versions::NotUnderstood
                | Versions::Ranges { order: Order::Scheme(_), .. },
                _,
            ) => self.by_versions(thing),
        }
    }

    /// It is it by name; by version, too?
    fn by_versions(&self, thing: &Thing) -> Fit {
        match (&self.versions, self.versions.among(thing.version.as_deref())) {
            (Versions::Unsaid | Versions::All, _) => Fit::Is { versioned: false },
            (_, Among::In(_)) => Fit::Is { versioned: true },
            (_, Among::Above(_) | Among::Below(_) | Among::Unknown(_)) => Fit::Not,
        }
    }
}

impl Fit {
    fn surer(self, other: Self) -> Self {
        match (self, other) {
            (Self::Is { versioned: a }, Self::Is { versioned: b }) => Self::Is { versioned: a || b },
            (Self::Not, fit) | (fit, Self::Not) => fit,
        }
    }
}

/// Whether a package manager with an order of its own installs it.
fn is_packaged(purl: &Purl) -> bool {
    matches!(purl.kind.as_str(), "deb" | "rpm" | "apk" | "pypi" | "npm" | "cargo" | "golang")
}

/// Whether what is `here` is what a statement names.
fn fits_purl(stated: &Purl, here: &Purl) -> Fit {
    let same = stated.kind == here.kind && stated.namespace == here.namespace && stated.name == here.name;
    let inside = stated.subpath.is_empty() || stated.subpath == here.subpath;
    let qualified =
        stated.qualifiers.iter().all(|(key, value)| match (key.as_str(), here.qualifiers.get(key)) {
            ("epoch", _) => true,
            ("distro", Some(own)) => same_distro(stated, value, own),
            (_, own) => own == Some(value),
        });
    if !(same && inside && qualified) {
        return Fit::Not;
    }
    match (version(stated), version(here)) {
        (None, _) => Fit::Is { versioned: false },
        (Some(stated), Some(here)) if stated == here => Fit::Is { versioned: true },
        (Some(_), _) => Fit::Not,
    }
}

/// The version with its epoch, wherever it stands.
fn version(purl: &Purl) -> Option<String> {
    let version = purl.version.as_deref()?;
    Some(match purl.qualifiers.get("epoch") {
        Some(epoch) if !version.contains(':') => alloc::format!("{epoch}:{version}"),
        Some(_) | None => version.to_owned(),
    })
}

fn same_distro(purl: &Purl, a: &str, b: &str) -> bool {
    let family = match purl.namespace.first().map(String::as_str) {
        Some("debian") => "Debian",
        Some("ubuntu") => "Ubuntu",
        Some("alpine") => "Alpine",
        Some(_) | None => return a == b,
    };
    let place = |distro| of_distro(family, distro);
    a == b || place(a).is_some_and(|here| Some(here) == place(b))
}
