//! The bill of materials of a device as found: its inventory's rows.
//!
//! Each package gets the package URL that scanners of images give it, with the release, the architecture and the source
//! package, so that shipped and found can be laid side by side and matched alike. A row that is not understood and a source
//! that the agent could not read are told in the document. Read next: [`super::drift`].

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::inventory::{Inventory, Section};

use super::{Component, Format, Kind, Need, Sbom, kept};
use crate::matching::purl::Purl;

/// The host, as package URLs name it.
struct Host<'a> {
    /// Whose packages.
    family: &'a str,
    /// The release.
    distro: Option<String>,
}

/// The bill of materials of a device; `subject` is the device itself.
#[must_use]
pub fn of_inventory(inventory: &Inventory, subject: Component) -> Sbom {
    let field = |key: &str| inventory.field(Section::System, key).unwrap_or_default();
    let (id, version) = (field("id"), field("version-id"));
    let release = if version.is_empty() { field("version-codename") } else { version };
    let distro = (!id.is_empty() && !release.is_empty()).then(|| alloc::format!("{id}-{release}"));
    let host = Host { family: family(id), distro };
    let mut sbom = Sbom { format: Format::Inventory, subject: Some(subject), ..Sbom::default() };
    if !id.is_empty() {
        let (name, version) = (kept(id).unwrap_or_default(), kept(release));
        sbom.components.push(Component {
            kind: Kind::OperatingSystem,
            name,
            version,
            ..Component::default()
        });
    }
    let mut not_understood = 0;
    for row in inventory.section(Section::Package) {
        match purl(row.key.as_str(), &row.fields, &host) {
            Some(purl) => sbom.components.push(component(&purl)),
            None => not_understood += 1,
        }
    }
    // The device contains them all; what they need of each other no inventory says.
    sbom.needs = (0_u32..).zip(&sbom.components).map(|(what, _)| Need { who: None, what }).collect();
    sbom.tell("rows-not-understood", not_understood);
    sbom.tell("unread-by-the-agent", inventory.section(Section::Unread).count());
    sbom
}

fn component(purl: &Purl) -> Component {
    Component {
        group: kept(&purl.namespace.join("/")),
        name: kept(&purl.name).unwrap_or_default(),
        version: purl.version.as_deref().and_then(kept),
        purl: Some(alloc::format!("{purl}")),
        ..Component::default()
    }
}

/// A row `KIND/NAME/ARCHITECTURE` with its version, its source package, that one's version and its module stream, where
/// there are such; or `KIND/NAME/VERSION` of a package of a language.
fn purl(key: &str, fields: &[String], host: &Host<'_>) -> Option<Purl> {
    let (kind, rest) = key.split_once('/')?;
    let (name, last) = rest.rsplit_once('/').unwrap_or((rest, ""));
    let field = |at: usize| fields.get(at).map(String::as_str).filter(|text| !text.is_empty());
    let version = field(0)?.to_owned();
    let purl = match kind {
        "deb" | "apk" | "rpm" | "opkg" => {
            host.package([kind, name, last], version, [field(1), field(2), field(3)])
        }
        "npm" => {
            let (scope, name) =
                name.split_once('/').map_or((None, name), |(scope, name)| (Some(scope), name));
            plain(kind, scope, name, version)
        }
        "pypi" => plain(kind, None, name, version),
        _ => return None,
    };
    // Written and read once: then it is in the one form in which it is compared.
    Purl::canonical(&alloc::format!("{purl}")).ok()
}

fn plain(kind: &str, namespace: Option<&str>, name: &str, version: String) -> Purl {
    Purl {
        kind: kind.to_owned(),
        namespace: namespace.into_iter().map(ToOwned::to_owned).collect(),
        name: name.to_owned(),
        version: Some(version),
        qualifiers: BTreeMap::new(),
        subpath: Vec::new(),
    }
}

impl Host<'_> {
    /// A package of the host's own; `rest` are its source, that one's version and the module stream.
    fn package(&self, key: [&str; 3], version: String, rest: [Option<&str>; 3]) -> Purl {
        let ([kind, name, last], [source, source_version, module]) = (key, rest);
        // Of a package that is installed in several versions, the key says which one behind the architecture.
        let architecture = last.split('=').next().filter(|text| !text.is_empty());
        let upstream = match (source, source_version) {
            (Some(source), Some(version)) => Some(alloc::format!("{source}@{version}")),
            (source, _) => source.map(ToOwned::to_owned),
        };
        let (epoch, version) = match version.split_once(':').filter(|_| kind == "rpm") {
            Some((epoch, rest)) => (Some(epoch.to_owned()), rest.to_owned()),
            None => (None, version),
        };
        let namespace = Some(self.family).filter(|_| kind != "opkg");
        let mut purl = plain(kind, namespace, name, version);
        let said = [
            ("arch", architecture.map(ToOwned::to_owned)),
            ("distro", self.distro.clone()),
            ("epoch", epoch),
            ("rpmmod", module.map(ToOwned::to_owned)),
            ("upstream", upstream),
        ];
        purl.qualifiers.extend(said.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        purl
    }
}

/// How package URLs name the family of a host.
fn family(id: &str) -> &str {
    match id {
        "rhel" => "redhat",
        "opensuse-leap" | "opensuse-tumbleweed" => "opensuse",
        "sles" | "sled" => "suse",
        "" => "unknown",
        other => other,
    }
}
