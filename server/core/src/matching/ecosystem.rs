//! Whose packages a name and a version belong to, with the release: `Debian:12`, `Alpine:v3.19`, `PyPI`.
//!
//! The texts are those of the OSV schema. A distribution without its release is a place of its own that no advisory speaks
//! of: the same name in another release has other repairs, and taking the newest calls most of a device weak. A derivative
//! is not what it derives from: it rebuilds with versions of its own. Read next: [`Ecosystem::of_host`].

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use super::version::Scheme;

/// Characters of an ecosystem's text.
const CHARS: usize = 128;

/// What is known of the families: their name in the OSV schema, their order of versions, whether releases part them.
const FAMILIES: &[(&str, Scheme, bool)] = &[
    ("AlmaLinux", Scheme::Rpm, true),
    ("Alpaquita", Scheme::Apk, true),
    ("Alpine", Scheme::Apk, true),
    ("Azure Linux", Scheme::Rpm, true),
    ("Chainguard", Scheme::Apk, false),
    ("Debian", Scheme::Deb, true),
    ("Go", Scheme::Semver, false),
    ("Hex", Scheme::Semver, false),
    ("Mageia", Scheme::Rpm, true),
    ("MinimOS", Scheme::Apk, false),
    ("Photon OS", Scheme::Rpm, true),
    ("PyPI", Scheme::Pep440, false),
    ("Red Hat", Scheme::Rpm, true),
    ("Rocky Linux", Scheme::Rpm, true),
    ("SUSE", Scheme::Rpm, true),
    ("SwiftURL", Scheme::Semver, false),
    ("Ubuntu", Scheme::Deb, true),
    ("Wolfi", Scheme::Apk, false),
    ("crates.io", Scheme::Semver, false),
    ("npm", Scheme::Semver, false),
    ("openEuler", Scheme::Rpm, true),
    ("openSUSE", Scheme::Rpm, true),
];

/// Debian's releases by their code names (distro-info-data).
const DEBIAN: &[(&str, &str)] = &[
    ("woody", "3.0"),
    ("sarge", "3.1"),
    ("etch", "4.0"),
    ("lenny", "5.0"),
    ("squeeze", "6.0"),
    ("wheezy", "7"),
    ("jessie", "8"),
    ("stretch", "9"),
    ("buster", "10"),
    ("bullseye", "11"),
    ("bookworm", "12"),
    ("trixie", "13"),
    ("forky", "14"),
    ("sid", "sid"),
];

/// A family of packages, and its release where releases part it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ecosystem {
    family: String,
    release: Option<String>,
}

/// A text that names no ecosystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no ecosystem: write a family and its release, such as Debian:12, Alpine:v3.19 or PyPI")]
pub struct NotAnEcosystem;

/// Why advisories cannot be placed on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum NoRelease {
    /// It derives from a distribution, and rebuilds with versions of its own.
    #[error("it is a derivative: advisories of the distribution behind it do not fit its versions")]
    Derivative,
    /// It does not say which release it is.
    #[error("it does not say which release it is")]
    Unsaid,
    /// Its release cannot be told from os-release alone.
    #[error("which product stream it follows is not in its os-release")]
    Stream,
    /// Nobody publishes advisories for it in a form that is known here.
    #[error("no advisories are published for it in a form that is read here")]
    Unpublished,
}

/// Why a text names no release whose packages dpkg installs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOfDpkg {
    /// Another packager's world, or a derivative about which nobody publishes under its own name.
    #[error("dpkg's packages are matched by releases of Debian and Ubuntu: write Debian:12 or Ubuntu:22.04")]
    Family,
    /// The family alone: advisories of no release fit.
    #[error(
        "the release is missing, and repairs differ from release to release: write Debian:12 or Ubuntu:22.04"
    )]
    Unsaid,
    /// A release that there is none of.
    #[error("there is no such release: write Debian:12, Debian:bookworm or Ubuntu:22.04")]
    Release,
}

/// What a host says of itself in os-release(5); empty where it says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Host<'a> {
    /// `ID`.
    pub id: &'a str,
    /// `ID_LIKE`.
    pub id_like: &'a str,
    /// `VERSION_ID`.
    pub version_id: &'a str,
    /// `VERSION_CODENAME`.
    pub codename: &'a str,
    /// `PRETTY_NAME`.
    pub pretty_name: &'a str,
}

impl Ecosystem {
    /// A family, and its release.
    #[must_use]
    pub fn new(family: &str, release: Option<&str>) -> Self {
        Self { family: family.to_owned(), release: release.map(ToOwned::to_owned) }
    }

    /// A release of Debian by its number.
    #[must_use]
    pub fn debian(release: &str) -> Self {
        Self::new("Debian", Some(release))
    }

    /// A release of Debian by its code name, or nothing for a name that is none.
    #[must_use]
    pub fn debian_by_name(name: &str) -> Option<Self> {
        DEBIAN.iter().find(|(known, _)| *known == name).map(|(_, number)| Self::debian(number))
    }

    /// Where the packages of a host stand.
    ///
    /// # Errors
    /// Advisories cannot be placed on it; its packages are then unknown, not safe.
    pub fn of_host(host: Host<'_>) -> Result<Self, NoRelease> {
        let said = |text: &str| if text.is_empty() { Err(NoRelease::Unsaid) } else { Ok(text.to_owned()) };
        let major = |text: &str| said(text.split('.').next().unwrap_or_default());
        let (family, release) = match host.id {
            "debian" if host.version_id.is_empty() => {
                return Self::debian_by_name(host.codename).ok_or(NoRelease::Unsaid);
            }
            "debian" => ("Debian", debian_number(host.version_id)),
            "ubuntu" => ("Ubuntu", ubuntu(&said(host.version_id)?)),
            "alpine" => ("Alpine", alpine(host.version_id).ok_or(NoRelease::Unsaid)?),
            "almalinux" => ("AlmaLinux", major(host.version_id)?),
            "rocky" => ("Rocky Linux", major(host.version_id)?),
            "opensuse-leap" | "opensuse-tumbleweed" => ("openSUSE", suse(host.pretty_name, "openSUSE ")?),
            "sles" | "sled" => ("SUSE", suse(host.pretty_name, "SUSE ")?),
            "wolfi" => return Ok(Self::new("Wolfi", None)),
            "rhel" => return Err(NoRelease::Stream),
            "" => return Err(NoRelease::Unsaid),
            _ if host.id_like.is_empty() => return Err(NoRelease::Unpublished),
            _ => return Err(NoRelease::Derivative),
        };
        Ok(Self { family: family.to_owned(), release: Some(release) })
    }

    /// The release that a person names for a database of dpkg's, in the one form of advisories: `debian:bookworm` and
    /// `Debian:12.5` are Debian:12, `Ubuntu:22.04` is Ubuntu:22.04:LTS.
    ///
    /// # Errors
    /// No advisory could ever speak of it, or dpkg's order is not that of its versions.
    pub fn of_dpkg(text: &str) -> Result<Self, NotOfDpkg> {
        let (family, release) = text.split_once(':').unwrap_or((text, ""));
        let of_debian = family.eq_ignore_ascii_case("Debian");
        match release {
            _ if !of_debian && !family.eq_ignore_ascii_case("Ubuntu") => Err(NotOfDpkg::Family),
            "" => Err(NotOfDpkg::Unsaid),
            name if of_debian => {
                let named = Self::debian_by_name(&name.to_ascii_lowercase());
                let numbered = || numbers(name).then(|| Self::debian(&debian_number(name)));
                named.or_else(numbered).ok_or(NotOfDpkg::Release)
            }
            name => {
                let (pro, number) = name.strip_prefix("Pro:").map_or(("", name), |rest| ("Pro:", rest));
                let number = number.strip_suffix(":LTS").unwrap_or(number);
                let fits =
                    number.split_once('.').is_some_and(|(_, month)| month.len() == 2) && numbers(number);
                let release = alloc::format!("{pro}{}", ubuntu(number));
                fits.then(|| Self::new("Ubuntu", Some(&release))).ok_or(NotOfDpkg::Release)
            }
        }
    }

    /// The family, as the OSV schema names it.
    #[must_use]
    pub fn family(&self) -> &str {
        &self.family
    }

    /// The release, where there is one.
    #[must_use]
    pub fn release(&self) -> Option<&str> {
        self.release.as_deref()
    }

    /// The order of its versions.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.known().map_or(Scheme::None, |(scheme, _)| scheme)
    }

    /// Whether a release is missing: what is said of such a place is said of no device.
    #[must_use]
    pub fn lacks_release(&self) -> bool {
        self.release.is_none() && self.known().is_some_and(|(_, parted)| parted)
    }

    /// A package's name as advisories write it: Python's by PEP 503, all others as they are.
    #[must_use]
    pub fn name_of(&self, name: &str) -> String {
        if self.family != "PyPI" {
            return name.to_owned();
        }
        let mut folded = String::with_capacity(name.len());
        for letter in name.chars() {
            match letter {
                '-' | '_' | '.' if folded.ends_with('-') => {}
                '-' | '_' | '.' => folded.push('-'),
                letter => folded.push(letter.to_ascii_lowercase()),
            }
        }
        folded
    }

    fn known(&self) -> Option<(Scheme, bool)> {
        let family = FAMILIES.iter().find(|(name, _, _)| *name == self.family);
        family.map(|(_, scheme, parted)| (*scheme, *parted))
    }
}

impl fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.release {
            Some(release) => write!(f, "{}:{release}", self.family),
            None => f.write_str(&self.family),
        }
    }
}

impl FromStr for Ecosystem {
    type Err = NotAnEcosystem;

    fn from_str(text: &str) -> Result<Self, NotAnEcosystem> {
        let fits = !text.is_empty() && text.len() <= CHARS && !text.chars().any(char::is_control);
        let (family, release) = match text.split_once(':') {
            Some((family, release)) => (family, Some(release)),
            None => (text, None),
        };
        if !fits || family.is_empty() || release.is_some_and(str::is_empty) {
            return Err(NotAnEcosystem);
        }
        Ok(Self::new(family, release))
    }
}

impl TryFrom<String> for Ecosystem {
    type Error = NotAnEcosystem;

    fn try_from(text: String) -> Result<Self, NotAnEcosystem> {
        text.parse()
    }
}

impl From<Ecosystem> for String {
    fn from(ecosystem: Ecosystem) -> Self {
        alloc::format!("{ecosystem}")
    }
}

/// The number of a release of Debian: point releases are the same release, and before 7 the number has two parts, so that
/// 6.0.10 is 6.0.
fn debian_number(text: &str) -> String {
    let mut parts = text.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let is_it = |number: &str| number.split_once('.') == Some((major, minor));
    let old = DEBIAN.iter().find(|(_, number)| is_it(number));
    old.map_or(major, |(_, number)| number).to_owned()
}

/// Whether a text is numbers with dots between them.
fn numbers(text: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split('.').all(number)
}

/// A release of Ubuntu: those of April in even years have long support, and carry that in their name.
fn ubuntu(version: &str) -> String {
    let year = version.strip_suffix(".04").and_then(|year| year.parse::<u8>().ok());
    match year {
        Some(year) if year % 2 == 0 => alloc::format!("{version}:LTS"),
        Some(_) | None => version.to_owned(),
    }
}

/// A branch of Alpine: `v` and two parts.
fn alpine(version: &str) -> Option<String> {
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next()?, parts.next()?);
    // What is built from the moving branch says a date: 3.20_alpha20240329.
    let minor = minor.split('_').next()?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (number(major) && number(minor)).then(|| alloc::format!("v{major}.{minor}"))
}

fn suse(pretty_name: &str, front: &str) -> Result<String, NoRelease> {
    let release = pretty_name.strip_prefix(front).filter(|release| !release.is_empty());
    release.map(ToOwned::to_owned).ok_or(NoRelease::Unsaid)
}

/// The ecosystem behind the `distro` of a package URL: `debian-12`, `debian-12.13`, `bookworm`, `alpine-3.17.2`,
/// `almalinux-9.4`.
#[must_use]
pub fn of_distro(family: &str, distro: &str) -> Option<Ecosystem> {
    let version = |name: &str| distro.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    match family {
        "Debian" => {
            let named = Ecosystem::debian_by_name(version("debian").unwrap_or(distro));
            let numbered = || {
                let number = version("debian").unwrap_or(distro);
                let begins = number.starts_with(|first: char| first.is_ascii_digit());
                begins.then(|| Ecosystem::debian(&debian_number(number)))
            };
            named.or_else(numbered)
        }
        "Ubuntu" => {
            let number = version("ubuntu").unwrap_or(distro);
            let begins = number.starts_with(|first: char| first.is_ascii_digit());
            begins.then(|| Ecosystem::new("Ubuntu", Some(&ubuntu(number))))
        }
        "Alpine" => {
            let release = alpine(version("alpine").unwrap_or(distro))?;
            Some(Ecosystem::new("Alpine", Some(&release)))
        }
        "AlmaLinux" | "Rocky Linux" => {
            let number = version("almalinux").or_else(|| version("rocky"))?;
            let major = number.split('.').next().filter(|_| numbers(number))?;
            Some(Ecosystem::new(family, Some(major)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_host_is_placed_by_what_it_says_or_not_at_all() {
        // Goal: the release is never guessed and a derivative is never its parent. Method: a row for each rule.
        let host =
            |id, id_like, version_id, codename| Host { id, id_like, version_id, codename, pretty_name: "" };
        for (host, wanted) in [
            (host("debian", "", "12", "bookworm"), "Debian:12"),
            (host("debian", "", "12.5", ""), "Debian:12"),
            (host("debian", "", "", "trixie"), "Debian:13"),
            (host("debian", "", "6.0", ""), "Debian:6.0"),
            (host("debian", "", "6.0.10", ""), "Debian:6.0"),
            (host("debian", "", "3.1.8", ""), "Debian:3.1"),
            (host("debian", "", "10.13", ""), "Debian:10"),
            (host("ubuntu", "debian", "22.04", ""), "Ubuntu:22.04:LTS"),
            (host("ubuntu", "debian", "23.04", ""), "Ubuntu:23.04"),
            (host("ubuntu", "debian", "22.10", ""), "Ubuntu:22.10"),
            (host("alpine", "", "3.17.2", ""), "Alpine:v3.17"),
            (host("alpine", "", "3.20_alpha20240329", ""), "Alpine:v3.20"),
            (host("almalinux", "rhel", "9.4", ""), "AlmaLinux:9"),
            (host("rocky", "rhel", "8", ""), "Rocky Linux:8"),
            (host("wolfi", "", "20230201", ""), "Wolfi"),
            (
                Host { id: "opensuse-leap", pretty_name: "openSUSE Leap 15.5", ..Host::default() },
                "openSUSE:Leap 15.5",
            ),
        ] {
            let placed = Ecosystem::of_host(host).map(|ecosystem| ecosystem.to_string());
            assert_eq!(placed.as_deref(), Ok(wanted), "{host:?}");
        }
        for (host, wanted) in [
            (host("raspbian", "debian", "12", "bookworm"), NoRelease::Derivative),
            (host("kali", "debian", "2024.1", ""), NoRelease::Derivative),
            (host("debian", "", "", ""), NoRelease::Unsaid),
            (host("alpine", "", "edge", ""), NoRelease::Unsaid),
            (host("rhel", "fedora", "9.4", ""), NoRelease::Stream),
            (host("openwrt", "", "23.05", ""), NoRelease::Unpublished),
            (Host::default(), NoRelease::Unsaid),
        ] {
            assert_eq!(Ecosystem::of_host(host), Err(wanted), "{host:?}");
        }
    }

    #[test]
    fn a_release_that_a_person_names_is_one_of_dpkgs_or_refused() {
        // Goal: a typing error does not end as "no advisory speaks of it". Method: each way to write a release, each way to be
        // none with the words that say what to do.
        for (text, wanted) in [
            ("Debian:12", "Debian:12"),
            ("debian:12.5", "Debian:12"),
            ("Debian:Bookworm", "Debian:12"),
            ("DEBIAN:sid", "Debian:sid"),
            ("Debian:6.0.10", "Debian:6.0"),
            ("Debian:15", "Debian:15"),
            ("ubuntu:22.04", "Ubuntu:22.04:LTS"),
            ("Ubuntu:22.04:LTS", "Ubuntu:22.04:LTS"),
            ("Ubuntu:23.10", "Ubuntu:23.10"),
            ("Ubuntu:Pro:18.04:LTS", "Ubuntu:Pro:18.04:LTS"),
        ] {
            let placed = Ecosystem::of_dpkg(text).map(|ecosystem| ecosystem.to_string());
            assert_eq!(placed.as_deref(), Ok(wanted), "{text}");
            let again: Ecosystem = wanted.parse().expect("an ecosystem");
            assert!(!again.lacks_release() && again.scheme() == Scheme::Deb, "{wanted}");
        }
        for (text, wanted) in [
            ("", NotOfDpkg::Family),
            ("12", NotOfDpkg::Family),
            ("bookworm", NotOfDpkg::Family),
            ("Raspbian:12", NotOfDpkg::Family),
            ("Alpine:v3.19", NotOfDpkg::Family),
            ("npm", NotOfDpkg::Family),
            ("Debian", NotOfDpkg::Unsaid),
            ("Ubuntu:", NotOfDpkg::Unsaid),
            ("Debian:bokworm", NotOfDpkg::Release),
            ("Debian:12 ", NotOfDpkg::Release),
            ("Debian:12..1", NotOfDpkg::Release),
            ("Ubuntu:jammy", NotOfDpkg::Release),
            ("Ubuntu:22", NotOfDpkg::Release),
            ("Ubuntu:22.04.3", NotOfDpkg::Release),
        ] {
            assert_eq!(Ecosystem::of_dpkg(text), Err(wanted), "{text}");
            assert!(wanted.to_string().contains("write Debian:12"), "{wanted}");
        }
    }

    #[test]
    fn texts_go_both_ways_and_names_are_folded_where_that_is_the_rule() {
        // Goal: one text for one place. Method: texts of feeds, and those that are none.
        for text in ["Debian:12", "Ubuntu:22.04:LTS", "PyPI", "Red Hat:enterprise_linux:9::appstream", "npm"]
        {
            let ecosystem: Ecosystem = text.parse().expect("an ecosystem");
            assert_eq!(ecosystem.to_string(), text);
        }
        let long = "x".repeat(CHARS + 1);
        for text in ["", ":12", "Debian:", "Deb\nian", &long] {
            assert_eq!(text.parse::<Ecosystem>(), Err(NotAnEcosystem), "{text:?}");
        }
        let lacks = |text: &str| text.parse::<Ecosystem>().expect("an ecosystem").lacks_release();
        assert!(
            lacks("Debian") && lacks("Alpine") && !lacks("Debian:12") && !lacks("npm") && !lacks("Something")
        );
        assert_eq!(Ecosystem::new("PyPI", None).name_of("Zope._.Interface"), "zope-interface");
        assert_eq!(Ecosystem::new("npm", None).name_of("Zope._.Interface"), "Zope._.Interface");
        assert_eq!(Ecosystem::new("Maven", None).scheme(), Scheme::None);
    }
}
