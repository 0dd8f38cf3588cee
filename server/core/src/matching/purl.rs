//! Package URLs (package-url/purl-spec): read, written in their one canonical form, and what they say of a component.
//!
//! [`Purl::parse`] is strict, [`Purl::canonical`] forgives what the specification's recommended cases forgive: qualifier
//! keys that begin with a capital. Two texts of one package are one purl after reading, so a statement is never missed
//! because it wrote `%2B` for `+`. What a purl does not say (the release, the source package) stays unsaid or becomes a
//! doubt. Read next: [`super::component`].

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use cordon_proto::limits;

use super::component::Component;
use super::ecosystem::{Ecosystem, of_distro};

/// A package URL in its parts, decoded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Purl {
    /// Its type, such as `deb`.
    pub kind: String,
    /// Segments before the name.
    pub namespace: Vec<String>,
    /// The name.
    pub name: String,
    /// The version, if one is named.
    pub version: Option<String>,
    /// What else is said, by key.
    pub qualifiers: BTreeMap<String, String>,
    /// A path inside the package.
    pub subpath: Vec<String>,
}

/// A text that is no package URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no package URL: write one like pkg:deb/debian/curl@7.88.1-10?arch=source&distro=debian-12")]
pub struct NotAPurl;

impl Purl {
    /// Reads a package URL.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, NotAPurl> {
        Self::read(text, false)
    }

    /// Reads a package URL whose qualifier keys may begin with a capital.
    ///
    /// # Errors
    /// It is none.
    pub fn canonical(text: &str) -> Result<Self, NotAPurl> {
        Self::read(text, true)
    }

    fn read(text: &str, capitals: bool) -> Result<Self, NotAPurl> {
        if text.len() > limits::PURL_CHARS {
            return Err(NotAPurl);
        }
        let rest = text.strip_prefix("pkg:").ok_or(NotAPurl)?.trim_start_matches('/');
        let (rest, subpath) = rest.rsplit_once('#').unwrap_or((rest, ""));
        let (rest, qualifiers) = rest.rsplit_once('?').unwrap_or((rest, ""));
        let (kind, path) = rest.split_once('/').ok_or(NotAPurl)?;
        let kind = kind_of(kind)?;
        let path = path.trim_matches('/');
        let (namespace, last) = path.rsplit_once('/').unwrap_or(("", path));
        // An `@` at the very front belongs to no name: there is none then.
        let (name, version) = match last.rsplit_once('@') {
            Some(("", _)) => return Err(NotAPurl),
            Some((name, version)) => (name, Some(version).filter(|version| !version.is_empty())),
            None => (last, None),
        };
        let mut purl = Self {
            kind,
            namespace: segments(namespace, false)?,
            name: decoded(name)?,
            version: version.map(decoded).transpose()?,
            qualifiers: read_qualifiers(qualifiers, capitals)?,
            subpath: segments(subpath, true)?,
        };
        purl.fold();
        if purl.name.is_empty() { Err(NotAPurl) } else { Ok(purl) }
    }

    /// Folds case and signs where the type says that they make no difference.
    fn fold(&mut self) {
        let (namespace, name) = match self.kind.as_str() {
            "deb" | "apk" | "golang" | "npm" | "github" | "bitbucket" | "hex" | "composer" => (true, true),
            "rpm" => (true, false),
            "pypi" => (false, true),
            _ => (false, false),
        };
        if namespace {
            self.namespace.iter_mut().for_each(|segment| segment.make_ascii_lowercase());
        }
        if name {
            self.name.make_ascii_lowercase();
        }
        if self.kind == "pypi" {
            self.name = self.name.replace('_', "-");
        }
    }

    /// The component that it names; `None` without a version, of which nothing can be judged.
    #[must_use]
    pub fn component(&self) -> Option<Component> {
        let version = self.version.as_deref()?;
        let namespace = self.namespace.join("/");
        let (ecosystem, name) = match self.kind.as_str() {
            "deb" | "apk" | "rpm" => return Some(self.distributed(version)),
            "pypi" => ("PyPI", self.name.clone()),
            "cargo" => ("crates.io", self.name.clone()),
            "npm" => ("npm", self.under(&namespace, '/')),
            "golang" => ("Go", self.under(&namespace, '/')),
            "hex" => ("Hex", self.name.clone()),
            "swift" => ("SwiftURL", alloc::format!("https://{namespace}/{}", self.name)),
            "maven" => ("Maven", self.under(&namespace, ':')),
            "nuget" => ("NuGet", self.name.clone()),
            "gem" => ("RubyGems", self.name.clone()),
            "composer" => ("Packagist", self.under(&namespace, '/')),
            other => (other, self.under(&namespace, '/')),
        };
        Some(Component::new(Ecosystem::new(ecosystem, None), &name, version))
    }

    fn under(&self, namespace: &str, sign: char) -> String {
        if namespace.is_empty() {
            self.name.clone()
        } else {
            alloc::format!("{namespace}{sign}{}", self.name)
        }
    }

    /// A package of a distribution: placed by `distro`, its source by `upstream`.
    fn distributed(&self, version: &str) -> Component {
        let family = self.family();
        let distro = self.qualifier("distro");
        let placed = distro.and_then(|distro| of_distro(family, distro));
        let ecosystem = placed.unwrap_or_else(|| Ecosystem::new(family, None));
        let whole = |version: &str| match self.qualifier("epoch") {
            Some(epoch) if !version.contains(':') => alloc::format!("{epoch}:{version}"),
            Some(_) | None => version.to_owned(),
        };
        let is_source = matches!(self.qualifier("arch"), Some("source" | "src"));
        let source = self.qualifier("upstream").and_then(|upstream| upstream_of(&self.kind, upstream));
        let (name, source_version, assumed) = match source {
            Some((name, version)) => (name, version, false),
            None => (self.name.as_str(), None, !is_source),
        };
        let mut component = Component::new(ecosystem, name, &whole(source_version.unwrap_or(version)));
        component.doubts.source = assumed;
        // As syft and trivy write RPM's %{modularitylabel}.
        let module = self.qualifier("rpmmod").or_else(|| self.qualifier("modularitylabel"));
        component.module = module.filter(|_| self.kind == "rpm").map(ToOwned::to_owned);
        if is_source { component } else { component.with_binary(&self.name) }
    }

    fn family(&self) -> &str {
        match self.namespace.first().map(String::as_str) {
            Some("debian") => "Debian",
            Some("ubuntu") => "Ubuntu",
            Some("alpine") => "Alpine",
            Some("almalinux") => "AlmaLinux",
            Some("rocky" | "rockylinux" | "rocky-linux") => "Rocky Linux",
            Some("redhat") => "Red Hat",
            Some("opensuse") => "openSUSE",
            Some("suse") => "SUSE",
            Some("wolfi") => "Wolfi",
            Some("chainguard") => "Chainguard",
            Some(other) => other,
            None => &self.kind,
        }
    }

    fn qualifier(&self, key: &str) -> Option<&str> {
        self.qualifiers.get(key).map(String::as_str)
    }
}

impl fmt::Display for Purl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pkg:{}/", self.kind)?;
        for segment in &self.namespace {
            encode(f, segment)?;
            f.write_char('/')?;
        }
        encode(f, &self.name)?;
        if let Some(version) = &self.version {
            f.write_char('@')?;
            encode(f, version)?;
        }
        for (at, (key, value)) in self.qualifiers.iter().enumerate() {
            write!(f, "{}{key}=", if at == 0 { '?' } else { '&' })?;
            encode(f, value)?;
        }
        for (at, segment) in self.subpath.iter().enumerate() {
            f.write_char(if at == 0 { '#' } else { '/' })?;
            encode(f, segment)?;
        }
        Ok(())
    }
}

/// The source package of an `upstream`: `name`, `name@version`, or RPM's `name-version-release.src.rpm`.
fn upstream_of<'a>(kind: &str, upstream: &'a str) -> Option<(&'a str, Option<&'a str>)> {
    let file = upstream.strip_suffix(".src.rpm").filter(|_| kind == "rpm");
    let (name, version) = match file {
        Some(file) => {
            let (front, release) = file.rsplit_once('-')?;
            let (name, _) = front.rsplit_once('-')?;
            (name, file.get(name.len() + 1..).filter(|_| !release.is_empty()))
        }
        None => match upstream.split_once('@') {
            Some((name, version)) => (name, Some(version).filter(|version| !version.is_empty())),
            None => (upstream, None),
        },
    };
    (!name.is_empty()).then_some((name, version))
}

fn kind_of(text: &str) -> Result<String, NotAPurl> {
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic());
    let fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-');
    if begins && fits { Ok(text.to_ascii_lowercase()) } else { Err(NotAPurl) }
}

/// The segments of a path, empty ones left out; in a subpath also `.` and `..`.
fn segments(path: &str, dots: bool) -> Result<Vec<String>, NotAPurl> {
    let parts = path.split('/').filter(|segment| !segment.is_empty());
    let mut segments = Vec::new();
    for part in parts {
        let segment = decoded(part)?;
        if segment.contains('/') {
            return Err(NotAPurl);
        }
        if !(dots && (segment == "." || segment == "..")) {
            segments.push(segment);
        }
    }
    Ok(segments)
}

fn read_qualifiers(text: &str, capitals: bool) -> Result<BTreeMap<String, String>, NotAPurl> {
    let mut qualifiers = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or(NotAPurl)?;
        let letter = |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'.' | b'_' | b'-');
        // The specification's required vectors refuse a key that begins with a capital, and lower one further on.
        let first = key.bytes().next().map(|first| if capitals { first.to_ascii_lowercase() } else { first });
        let begins = first.is_some_and(letter);
        let key = key.to_ascii_lowercase();
        if !begins || !key.bytes().all(|byte| letter(byte) || byte.is_ascii_digit()) {
            return Err(NotAPurl);
        }
        let value = decoded(value)?;
        if !value.is_empty() && qualifiers.insert(key, value).is_some() {
            return Err(NotAPurl);
        }
    }
    Ok(qualifiers)
}

fn decoded(text: &str) -> Result<String, NotAPurl> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (code, after) = rest.split_at_checked(2).ok_or(NotAPurl)?;
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let &[high, low] = code else { return Err(NotAPurl) };
        let code = digit(&high).zip(digit(&low)).map(|(high, low)| high * 16 + low);
        bytes.push(code.and_then(|code| u8::try_from(code).ok()).ok_or(NotAPurl)?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| NotAPurl)
}

fn encode(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' | b':' => f.write_char(char::from(byte))?,
            byte if byte.is_ascii_alphanumeric() => f.write_char(char::from(byte))?,
            byte => write!(f, "%{byte:02X}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn package_urls_are_read_and_written_in_one_form() {
        // Goal: two ways to write a package are one. Method: hand-written rows, what each becomes.
        for (text, wanted) in [
            (
                "pkg:deb/debian/attr@1:2.4.47-2%2Bb1?arch=amd64",
                "pkg:deb/debian/attr@1:2.4.47-2%2Bb1?arch=amd64",
            ),
            (
                "pkg:deb/debian/attr@1%3A2.4.47-2+b1?arch=amd64",
                "pkg:deb/debian/attr@1:2.4.47-2%2Bb1?arch=amd64",
            ),
            ("pkg://DEB/Debian/Curl@7?b=&a=x", "pkg:deb/debian/curl@7?a=x"),
            ("pkg:maven/a/b@1?repositorY_url=x", "pkg:maven/a/b@1?repository_url=x"),
            ("pkg:npm/@babel/core#/a/./b/../", "pkg:npm/%40babel/core#a/b"),
            ("pkg:npm/%40babel/core@7", "pkg:npm/%40babel/core@7"),
            ("pkg:pypi/Django_package@1", "pkg:pypi/django-package@1"),
            ("pkg:rpm/Fedora/Curl@7?epoch=1&arch=i386", "pkg:rpm/fedora/Curl@7?arch=i386&epoch=1"),
            ("pkg:generic/x?url=git%2Bhttps://a/b%40c", "pkg:generic/x?url=git%2Bhttps:%2F%2Fa%2Fb%40c"),
            ("pkg:generic/a//b/@x/c@", "pkg:generic/a/b/%40x/c"),
        ] {
            let purl = Purl::parse(text).expect(text);
            assert_eq!(purl.to_string(), wanted, "{text}");
            assert_eq!(Purl::parse(wanted).as_ref(), Ok(&purl), "{text}");
        }
        let capitals = "pkg:rpm/fedora/curl@7?Arch=i386";
        assert_eq!(Purl::parse(capitals), Err(NotAPurl));
        let lower = Purl::canonical(capitals).expect("forgiven").to_string();
        assert_eq!(lower, "pkg:rpm/fedora/curl@7?arch=i386");
    }

    #[test]
    fn what_is_no_package_url_is_refused() {
        // Goal: nothing is guessed. Method: each break.
        let long = alloc::format!("pkg:a/{}", "x".repeat(limits::PURL_CHARS));
        for text in [
            "",
            "pkg:",
            "pkg:deb",
            "deb/debian/curl",
            "pkg%3Adeb/curl",
            "pkg:3deb/curl",
            "pkg:n&g/curl",
            "pkg:maven/@1.3",
            "pkg:npm/a@1?in%20x=y",
            "pkg:npm/a@1?x",
            "pkg:npm/a@1?x=1&x=2",
            "pkg:npm/a@%2",
            "pkg:npm/a@%zz",
            "pkg:npm/a@%ff",
            "pkg:npm/a%2Fb/c",
            "pkg:npm/",
            &long,
        ] {
            assert_eq!(Purl::parse(text), Err(NotAPurl), "{text}");
        }
    }

    #[test]
    fn a_component_is_placed_by_what_its_package_url_says() {
        // Goal: release, source and epoch are taken where they are said, and missing where not. Method: a row each.
        let component = |text: &str| {
            let component = Purl::canonical(text).expect(text).component()?;
            let doubts = component.doubts.words().join(" ");
            let (ecosystem, binaries) = (&component.ecosystem, component.binaries.join(" "));
            Some(alloc::format!("{ecosystem} {} {} [{binaries}] {doubts}", component.name, component.version))
        };
        for (text, wanted) in [
            (
                "pkg:deb/debian/libpump2@1-1?distro=debian-12.13&upstream=pump%401:2-3",
                "Debian:12 pump 1:2-3 [libpump2] ",
            ),
            (
                "pkg:deb/debian/libpump2@1-1?distro=bookworm&upstream=pump&epoch=2",
                "Debian:12 pump 2:1-1 [libpump2] ",
            ),
            ("pkg:deb/debian/pump@1-1?distro=debian-12&arch=source", "Debian:12 pump 1-1 [] "),
            ("pkg:deb/debian/pump@1-1?distro=debian-12", "Debian:12 pump 1-1 [pump] source-assumed"),
            ("pkg:deb/debian/pump@1-1?arch=source", "Debian pump 1-1 [] "),
            ("pkg:deb/ubuntu/pump@1?arch=source&distro=ubuntu-22.04", "Ubuntu:22.04:LTS pump 1 [] "),
            (
                "pkg:apk/alpine/pump@1-r0?distro=alpine-3.17.2&upstream=pumps",
                "Alpine:v3.17 pumps 1-r0 [pump] ",
            ),
            (
                "pkg:rpm/almalinux/libpump@2-1?upstream=pump-x-1.2-3.el9.src.rpm",
                "AlmaLinux pump-x 1.2-3.el9 [libpump] epoch-assumed",
            ),
            ("pkg:rpm/rocky/pump@2-1?arch=src&distro=rocky-9.3&epoch=1", "Rocky Linux:9 pump 1:2-1 [] "),
            ("pkg:npm/%40ward/pump@1.2.3", "npm @ward/pump 1.2.3 [] "),
            ("pkg:golang/example.org/a/b@v1.2.3", "Go example.org/a/b v1.2.3 [] "),
            ("pkg:maven/org.example/pump@1", "Maven org.example:pump 1 [] "),
            ("pkg:opkg/pump@1", "opkg pump 1 [] "),
        ] {
            assert_eq!(component(text).as_deref(), Some(wanted), "{text}");
        }
        assert_eq!(component("pkg:npm/pump"), None);
        let module = |text: &str| Purl::canonical(text).ok()?.component()?.module;
        let modular = "pkg:rpm/almalinux/pump@2-1?distro=almalinux-9.4&rpmmod=pump:4:9050020230208:a75119d5";
        assert_eq!(module(modular).as_deref(), Some("pump:4:9050020230208:a75119d5"));
        assert_eq!(module(&modular.replace("rpmmod", "modularitylabel")), module(modular));
        assert_eq!(module(&modular.replace("pkg:rpm", "pkg:deb")), None);
    }
}
