//! The reader of dpkg's own database, `var/lib/dpkg/status`, for whoever matches without an agent.
//!
//! What an entry says is `cordon_proto::inventory::dpkg`'s to tell, on the device as here; here packages become components,
//! known by their source package and that one's version, epoch kept. A broken entry is counted and costs only itself. Read
//! next: [`super::component`].

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::inventory::dpkg::{Broken, Entry, Package};
use cordon_proto::limits;

use super::component::Component;
use super::ecosystem::Ecosystem;

/// What was read of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packages {
    /// A component a package, not yet joined by source.
    pub components: Vec<Component>,
    /// Entries that are none.
    pub broken: usize,
    /// Packages beyond the number that is read.
    pub left_out: usize,
}

/// Reads a database whose packages belong to `ecosystem`.
#[must_use]
pub fn read(text: &str, ecosystem: &Ecosystem) -> Packages {
    let mut packages = Packages::default();
    let mut entry = Entry::default();
    for line in text.split_inclusive('\n') {
        match line.strip_suffix('\n') {
            Some("") => packages.add(entry.finish(true), ecosystem),
            Some(line) => entry.take(line.as_bytes()),
            None => {
                entry.take(line.as_bytes());
                entry.cut();
            }
        }
    }
    packages.add(entry.finish(true), ecosystem);
    packages
}

impl Packages {
    fn add(&mut self, read: Result<Option<Package>, Broken>, ecosystem: &Ecosystem) {
        match read {
            Err(Broken) => self.broken += 1,
            Ok(None) => {}
            Ok(Some(_)) if self.components.len() >= limits::SBOM_COMPONENTS => self.left_out += 1,
            Ok(Some(package)) => {
                let component = Component::new(ecosystem.clone(), &package.source, &package.source_version);
                self.components.push(component.with_binary(&package.name));
            }
        }
    }
}

/// The release that an os-release(5) file names, for the packages beside it.
///
/// # Errors
/// Advisories cannot be placed on that host.
pub fn release(os_release: &str) -> Result<Ecosystem, super::ecosystem::NoRelease> {
    let field = |name: &str| -> String {
        let mut values =
            os_release.lines().filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
        values.next_back().unwrap_or_default().trim_matches(['"', '\'']).into()
    };
    let [id, id_like, version_id, codename, pretty_name] =
        ["ID", "ID_LIKE", "VERSION_ID", "VERSION_CODENAME", "PRETTY_NAME"].map(field);
    Ecosystem::of_host(super::ecosystem::Host {
        id: &id,
        id_like: &id_like,
        version_id: &version_id,
        codename: &codename,
        pretty_name: &pretty_name,
    })
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;
    use crate::matching::ecosystem::NoRelease;

    #[test]
    fn packages_are_known_by_their_source_and_broken_ones_are_counted() {
        // Goal: what advisories are matched against. Method: a hand-written database with each state and each break, cut off at its end.
        let text = "Package: pumpd\nStatus: install ok installed\nVersion: 1:2.4-3+b1\nSource: pump (1:2.4-3)\n\
            Description: x\n Source: no (1)\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
            Package: libward2\nStatus: install ok half-configured\nVersion: 0.9~rc1\nSource: ward\n\n\n\
            Package: a b\nStatus: install ok installed\nVersion: 1\n\nPackage: x\nStatus: install ok odd\nVersion: 1\n\n\
            Package: x\nStatus: install ok installed\nVersion: 1\nSource: y (2\n\nPackage: x\nStatus: install ok installed\n\n\
            Package: plain\nStatus: hold ok installed\nVersion: 7\n\n\
            Package: last\nStatus: install ok installed\nVersion: 7.1";
        let text = text.replace("Status:", "Architecture: all\nStatus:");
        let packages = read(&text, &Ecosystem::debian("12"));
        let shown: Vec<_> = packages
            .components
            .iter()
            .map(|component| {
                format!("{} {} {}", component.name, component.version, component.binaries.join(" "))
            })
            .collect();
        assert_eq!(shown, ["pump 1:2.4-3 pumpd", "ward 0.9~rc1 libward2", "plain 7 plain"]);
        assert_eq!((packages.broken, packages.left_out), (5, 0));
    }

    #[test]
    fn the_release_is_read_from_os_release() {
        // Goal: nobody types what the device says itself. Method: quotes, a derivative, nothing.
        let placed = release("PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\nVERSION_ID=\"12\"\n")
            .map(|e| e.to_string());
        assert_eq!(placed.as_deref(), Ok("Debian:12"));
        assert_eq!(release("ID=raspbian\nID_LIKE=debian\nVERSION_ID=\"12\"\n"), Err(NoRelease::Derivative));
        assert_eq!(release(""), Err(NoRelease::Unsaid));
    }
}
