//! What an entry of opkg's database says (OpenWrt, Yocto): dpkg's form with words of its own.
//!
//! The database does not name the source package, and its `Source` field, where there is one, is a path of somebody's build
//! machine. The source stands in the package's control file: `SourceName` (OpenWrt), or `OE`, the recipe (Yocto). Nothing here
//! opens a file. Read next: [`super::dpkg`].

use super::dpkg::{self, Broken, Package};

/// An entry in the making: [`Entry::take`] each of its lines, then [`Entry::finish`] at the empty line behind it.
#[derive(Clone, Debug, Default)]
pub struct Entry(dpkg::Entry);

impl Entry {
    /// Takes a line of the entry, without its end.
    pub fn take(&mut self, line: &[u8]) {
        if !line.starts_with(b"Source:") {
            self.0.take(line);
        }
    }

    /// The line taken last ended with the file and not with a line feed: the entry may be the front of another one.
    pub fn cut(&mut self) {
        self.0.cut();
    }

    /// The package of this entry, its source not yet known; `None` if nothing of it is on the disk. The next entry begins.
    ///
    /// # Errors
    /// The entry is none, and nothing of it can be relied on.
    pub fn finish(&mut self) -> Result<Option<Package>, Broken> {
        self.0.finish(true)
    }
}

/// The source package that a control file names.
#[must_use]
pub fn source(control: &str) -> Option<&str> {
    let field = |name: &str| {
        let mut values =
            control.lines().filter_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()));
        values.next().filter(|value| dpkg::is_name(value))
    };
    field("SourceName").or_else(|| field("OE"))
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn one(text: &str) -> Result<Option<Package>, Broken> {
        let mut entry = Entry::default();
        text.lines().for_each(|line| entry.take(line.as_bytes()));
        entry.finish()
    }

    #[test]
    fn what_openwrt_writes_is_read() {
        // Goal: packages of an access point. Method: an entry as opkg writes it, one that is not installed, one without a version.
        let text = "Package: libopenssl3\nVersion: 3.0.13-1\nDepends: libc\nStatus: install user installed\n\
            Architecture: mips_24kc\nSource: feeds/base/package/libs/openssl\nInstalled-Time: 1700000000\n";
        let package = one(text).expect("is one").expect("is there");
        assert_eq!((package.name.as_str(), package.version.as_str()), ("libopenssl3", "3.0.13-1"));
        assert_eq!((package.architecture.as_str(), package.source.as_str()), ("mips_24kc", "libopenssl3"));
        assert_eq!(one(&text.replace("user installed", "ok not-installed")), Ok(None));
        assert_eq!(one(&text.replace("Version: 3.0.13-1\n", "")), Err(Broken));
        let mut cut = Entry::default();
        text.lines().for_each(|line| cut.take(line.as_bytes()));
        cut.cut();
        assert_eq!(cut.finish(), Err(Broken), "what was cut off is no entry");
    }

    #[test]
    fn the_source_is_the_control_files_to_name() {
        // Goal: the name that advisories use. Method: both fields, neither, and a path.
        let openwrt =
            "Package: libopenssl3\nSource: package/libs/openssl\nSourceName: openssl\nLicense: Apache-2.0\n";
        assert_eq!(source(openwrt), Some("openssl"));
        assert_eq!(source("Package: libcrypto3\nSource: openssl_3.0.12.bb\nOE: openssl\n"), Some("openssl"));
        assert_eq!(source("Package: x\nSource: feeds/x\n"), None);
        assert_eq!(source(&format!("SourceName: {}\n", "a/b")), None);
    }
}
