//! The text databases of packages behind one door: dpkg's, apk's and opkg's.
//!
//! All are read line by line, an empty line ends an entry, and a last line without its end makes the entry broken. What a line
//! says is the business of the format's own file. Read next: [`super::dpkg`], [`super::apk`], [`super::opkg`].

use super::dpkg::{Broken, Package};
use super::{apk, dpkg, opkg};

/// An entry in the making.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Of dpkg's `status`.
    Dpkg(dpkg::Entry),
    /// Of a file in dpkg's `status.d`: what is listed is there.
    DpkgImage(dpkg::Entry),
    /// Of apk's `installed`.
    Apk(apk::Entry),
    /// Of opkg's `status`.
    Opkg(opkg::Entry),
}

impl Entry {
    /// Takes a line of the entry, without its end; of a long one the front.
    pub fn take(&mut self, line: &[u8]) {
        match self {
            Self::Dpkg(entry) | Self::DpkgImage(entry) => entry.take(line),
            Self::Apk(entry) => entry.take(line),
            Self::Opkg(entry) => entry.take(line),
        }
    }

    /// The line taken last ended with the file and not with a line feed: the entry may be the front of another one.
    pub fn cut(&mut self) {
        match self {
            Self::Dpkg(entry) | Self::DpkgImage(entry) => entry.cut(),
            Self::Apk(entry) => entry.cut(),
            Self::Opkg(entry) => entry.cut(),
        }
    }

    /// The package of this entry; `None` if there is none, or nothing of it is on the disk. The next entry begins.
    ///
    /// # Errors
    /// The entry is none, and nothing of it can be relied on.
    pub fn finish(&mut self) -> Result<Option<Package>, Broken> {
        match self {
            Self::Dpkg(entry) => entry.finish(true),
            Self::DpkgImage(entry) => entry.finish(false),
            Self::Apk(entry) => entry.finish(),
            Self::Opkg(entry) => entry.finish(),
        }
    }
}
