//! The components of an inventory that an agent took: rows of packages, placed by what the host says of itself.
//!
//! A host that advisories cannot be placed on keeps its packages: they end as unjudged, under the host's own name. A row of
//! a kind that is not known here is counted, never dropped in silence. Read next: [`super::component`].

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::inventory::{Inventory, Section};

use super::component::Component;
use super::ecosystem::{Ecosystem, Host, NoRelease};
use super::version::Scheme;

/// The agent's word for a value that it could not read.
const UNKNOWN: &str = "unknown";

/// What an inventory holds for matching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The components.
    pub components: Vec<Component>,
    /// Where the host's own packages stand.
    pub place: Result<Ecosystem, NoRelease>,
    /// Rows of packages that are of no known kind, or incomplete.
    pub not_understood: usize,
    /// What the agent itself could not read.
    pub unread: Vec<String>,
}

/// The components of an inventory.
#[must_use]
pub fn components(inventory: &Inventory) -> Found {
    // What the agent could not read is as good as not said: it is no word of the host's.
    let said = |key: &str| inventory.field(Section::System, key).filter(|value| *value != UNKNOWN);
    let field = |key: &str| said(key).unwrap_or_default();
    let id = field("id");
    let place = Ecosystem::of_host(Host {
        id,
        id_like: field("id-like"),
        version_id: field("version-id"),
        codename: field("version-codename"),
        pretty_name: field("pretty-name"),
    });
    let own = || Ecosystem::new(if id.is_empty() { "a host without a name" } else { id }, None);
    let ecosystem = place.clone().unwrap_or_else(|_| own());
    let mut found = Found { components: Vec::new(), place, not_understood: 0, unread: Vec::new() };
    for row in inventory.section(Section::Package) {
        match component(&ecosystem, row.key.as_str(), &row.fields) {
            Some(component) => found.components.push(component),
            None => found.not_understood += 1,
        }
    }
    found.unread.extend(inventory.section(Section::Unread).map(|row| row.key.as_str().into()));
    found
}

/// A row of the host's own packages, `deb/name/architecture` with version, source package, its version and, of RPM, the label of
/// its module stream; or a package of a language, `npm/name/version`, which is of no release.
fn component(host: &Ecosystem, key: &str, fields: &[String]) -> Option<Component> {
    let (kind, rest) = key.split_once('/')?;
    let (name, _) = rest.rsplit_once('/')?;
    let language = match kind {
        "deb" | "apk" | "opkg" | "rpm" => return of_host(host, (kind, name), fields),
        "pypi" => "PyPI",
        "npm" => "npm",
        _ => return None,
    };
    let [version] = fields else { return None };
    Some(Component::new(Ecosystem::new(language, None), name, version))
}

fn of_host(host: &Ecosystem, (kind, name): (&str, &str), fields: &[String]) -> Option<Component> {
    let [_, source, version, rest @ ..] = fields else { return None };
    let scheme = match kind {
        "deb" => Scheme::Deb,
        "apk" => Scheme::Apk,
        "rpm" => Scheme::Rpm,
        _ => Scheme::None,
    };
    // A container of one distribution may bring the packager of another: its versions are in no order of the host's.
    let foreign = host.scheme() != Scheme::None && host.scheme() != scheme;
    let place = if foreign { Ecosystem::new(kind, None) } else { host.clone() };
    let mut component = Component::new(place, source, version).with_binary(name);
    match (kind, rest) {
        (_, []) => {}
        ("rpm", [module]) => component.module = Some(module.clone()),
        _ => return None,
    }
    Some(component)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use cordon_proto::ids::Text;
    use cordon_proto::inventory::Row;

    use super::*;

    #[test]
    fn packages_are_placed_by_the_host_or_stay_unjudged() {
        // Goal: a derivative's packages are neither Debian's nor gone. Method: the same rows under two hosts, one row of a
        // kind that is not known.
        let row = |section, key: &str, fields: &[&str]| Row {
            section,
            key: Text::lossy(key),
            fields: fields.iter().map(|field| (*field).to_string()).collect(),
        };
        let of = |id: &str| {
            Inventory::new(vec![
                row(Section::System, "id", &[id]),
                row(Section::System, "version-id", &["12"]),
                row(Section::Package, "deb/pumpd/arm64", &["1:2-3+b1", "pump", "1:2-3"]),
                row(Section::Package, "strange/x/y", &["1"]),
                row(Section::Unread, "var/lib/x", &["no"]),
            ])
        };
        let found = components(&of("debian"));
        assert_eq!(found.place.map(|place| place.to_string()).as_deref(), Ok("Debian:12"));
        assert_eq!(
            found.components,
            [Component::new(Ecosystem::debian("12"), "pump", "1:2-3").with_binary("pumpd")]
        );
        assert_eq!((found.not_understood, found.unread), (1, vec!["var/lib/x".to_string()]));
        let found = components(&of("raspbian"));
        assert_eq!(found.components[0].ecosystem.to_string(), "raspbian");
    }

    #[test]
    fn what_the_agent_could_not_read_is_not_taken_for_a_word_of_the_hosts() {
        // Goal: no release and no family by the name of `unknown`. Method: hosts with such values beside what they do say.
        let place = |id: &str, version_id: &str, codename: &str| {
            let row = |key: &str, value: &str| Row {
                section: Section::System,
                key: Text::lossy(key),
                fields: vec![value.to_string()],
            };
            let rows = [
                ("id", id),
                ("id-like", UNKNOWN),
                ("version-id", version_id),
                ("version-codename", codename),
            ];
            let rows = rows.map(|(key, value)| row(key, value)).to_vec();
            components(&Inventory::new(rows)).place.map(|place| place.to_string())
        };
        assert_eq!(place("debian", UNKNOWN, "trixie").as_deref(), Ok("Debian:13"));
        assert_eq!(place("debian", UNKNOWN, UNKNOWN), Err(NoRelease::Unsaid));
        assert_eq!(place(UNKNOWN, UNKNOWN, UNKNOWN), Err(NoRelease::Unsaid));
        assert_eq!(place("openwrt", "23.05", UNKNOWN), Err(NoRelease::Unpublished));
    }

    #[test]
    fn each_packagers_rows_are_judged_by_their_own_order_and_language_packages_by_theirs() {
        // Goal: every kind of row becomes the component that advisories speak of. Method: rows under a host of each kind, and
        // rows that are out of place.
        let of = |id: &str, version_id: &str, key: &str, fields: &[&str]| {
            let row = |section, key: &str, fields: &[&str]| Row {
                section,
                key: Text::lossy(key),
                fields: fields.iter().map(|field| (*field).to_string()).collect(),
            };
            let found = components(&Inventory::new(vec![
                row(Section::System, "id", &[id]),
                row(Section::System, "version-id", &[version_id]),
                row(Section::Package, key, fields),
            ]));
            found.components.first().map(|component| {
                let Component { ecosystem, name, version, module, binaries, doubts } = component;
                assert_eq!(doubts.words(), [""; 0]);
                alloc::format!("{ecosystem} {name} {version} {:?} {}", module.as_deref(), binaries.join(" "))
            })
        };
        let apk = ["3.1.4-r5", "openssl", "3.1.4-r5"];
        assert_eq!(
            of("alpine", "3.19.1", "apk/libcrypto3/x86_64", &apk).as_deref(),
            Some("Alpine:v3.19 openssl 3.1.4-r5 None libcrypto3")
        );
        let rpm = ["2-1.el9", "pump", "0:2-1.el9", "pump:4:90500:a75119d5"];
        assert_eq!(
            of("rocky", "9.3", "rpm/libpump/x86_64=1-1.el9", &rpm).as_deref(),
            Some("Rocky Linux:9 pump 0:2-1.el9 Some(\"pump:4:90500:a75119d5\") libpump")
        );
        let opkg = ["3.0.13-1", "openssl", "3.0.13-1"];
        assert_eq!(
            of("openwrt", "23.05", "opkg/libopenssl3/mips_24kc", &opkg).as_deref(),
            Some("openwrt openssl 3.0.13-1 None libopenssl3")
        );
        assert_eq!(
            of("debian", "12", "npm/@ward/pump/1.2.3", &["1.2.3"]).as_deref(),
            Some("npm @ward/pump 1.2.3 None ")
        );
        assert_eq!(
            of("debian", "12", "pypi/Flask_Login/0.6.3", &["0.6.3"]).as_deref(),
            Some("PyPI flask-login 0.6.3 None ")
        );
        assert_eq!(of("debian", "12", "apk/x/x86_64", &apk).as_deref(), Some("apk openssl 3.1.4-r5 None x"));
        for (key, fields) in [
            ("deb/x/all", &["1", "x"][..]),
            ("deb/x/all", &["1", "x", "1", "more"]),
            ("npm/x", &["1"]),
            ("pypi/x/1", &["1", "2"]),
        ] {
            assert_eq!(of("debian", "12", key, fields), None, "{key}");
        }
    }
}
