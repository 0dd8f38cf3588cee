//! The reader of dpkg's own database, `var/lib/dpkg/status`, for whoever matches without an agent.
//!
//! A package counts when files of it are on the disk, in whatever state dpkg left it. It is known by its source package and
//! that one's version, epoch kept; a broken entry is counted and costs only itself. The agent reads the same file on the
//! device by the same rules. Read next: [`super::component`].

use alloc::string::String;
use alloc::vec::Vec;

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

/// An entry that is not what the format says.
struct Broken;

/// The fields of an entry that matter here.
#[derive(Default)]
struct Entry<'a> {
    name: Option<&'a str>,
    status: Option<&'a str>,
    version: Option<&'a str>,
    architecture: Option<&'a str>,
    source: Option<&'a str>,
    any: bool,
}

/// Reads a database whose packages belong to `ecosystem`.
#[must_use]
pub fn read(text: &str, ecosystem: &Ecosystem) -> Packages {
    let mut packages = Packages::default();
    let mut entry = Entry::default();
    for line in text.split('\n').chain([""]) {
        if !line.is_empty() {
            entry.take(line);
            continue;
        }
        match core::mem::take(&mut entry).finish(ecosystem) {
            Ok(Some(_)) if packages.components.len() >= limits::SBOM_COMPONENTS => packages.left_out += 1,
            Ok(component) => packages.components.extend(component),
            Err(Broken) => packages.broken += 1,
        }
    }
    packages
}

impl<'a> Entry<'a> {
    fn take(&mut self, line: &'a str) {
        self.any = true;
        // A line that begins with a blank goes on with the field above, and none of those matters.
        let Some((name, value)) = line.split_once(':').filter(|_| !line.starts_with([' ', '\t'])) else {
            return;
        };
        let place = match name {
            "Package" => &mut self.name,
            "Status" => &mut self.status,
            "Version" => &mut self.version,
            "Architecture" => &mut self.architecture,
            "Source" => &mut self.source,
            _ => return,
        };
        *place = Some(value.trim());
    }

    /// The component of this entry; `None` if there is none, or it is not installed.
    fn finish(self, ecosystem: &Ecosystem) -> Result<Option<Component>, Broken> {
        if !self.any {
            return Ok(None);
        }
        let name = self.name.filter(|name| is_name(name)).ok_or(Broken)?;
        if !is_present(self.status.ok_or(Broken)?)? {
            return Ok(None);
        }
        let version = self.version.filter(|version| is_version(version)).ok_or(Broken)?;
        self.architecture.filter(|architecture| is_name(architecture)).ok_or(Broken)?;
        let (source, source_version) = match self.source {
            None => (name, version),
            Some(source) => match source.split_once('(') {
                None => (source, version),
                Some((source, rest)) => (source.trim_end(), rest.strip_suffix(')').ok_or(Broken)?),
            },
        };
        if !is_name(source) || !is_version(source_version) {
            return Err(Broken);
        }
        Ok(Some(Component::new(ecosystem.clone(), source, source_version).with_binary(name)))
    }
}

/// Whether files of a package are on the disk: every state but `not-installed` and `config-files` (dpkg(1)).
fn is_present(status: &str) -> Result<bool, Broken> {
    match status.split_ascii_whitespace().nth(2).ok_or(Broken)? {
        "not-installed" | "config-files" => Ok(false),
        "installed" | "unpacked" | "half-installed" | "half-configured" | "triggers-awaited"
        | "triggers-pending" => Ok(true),
        _ => Err(Broken),
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_');
    (1..=100).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_version(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'~' | b':');
    (1..=200).contains(&text.len()) && text.bytes().all(allowed)
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
        // Goal: what advisories are matched against. Method: a hand-written database with each state and each break.
        let text = "Package: pumpd\nStatus: install ok installed\nVersion: 1:2.4-3+b1\nArchitecture: arm64\nSource: pump (1:2.4-3)\n\
            Description: x\n Source: no (1)\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
            Package: libward2\nStatus: install ok half-configured\nVersion: 0.9~rc1\nSource: ward\n\n\n\
            Package: a b\nStatus: install ok installed\nVersion: 1\n\nPackage: x\nStatus: install ok odd\nVersion: 1\n\n\
            Package: x\nStatus: install ok installed\nVersion: 1\nSource: y (2\n\nPackage: x\nStatus: install ok installed\n\n\
            Package: plain\nStatus: hold ok installed\nVersion: 7";
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
        assert_eq!((packages.broken, packages.left_out), (4, 0));
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
