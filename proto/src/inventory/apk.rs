//! What an entry of apk's database of installed packages says (apk-tools, `lib/apk/db/installed`): lines of a letter, a colon
//! and a value.
//!
//! Lines go in one by one, as for dpkg. Advisories speak of the origin (`o:`), which is built in the same version. A file's
//! lines follow those of its package; none of their letters is one of ours. Names that begin with a dot are sets that apk
//! made for itself, without a file. Nothing here opens a file. Read next: [`super::dpkg`].

use alloc::borrow::ToOwned;
use alloc::string::String;

use super::dpkg::{Broken, Package};
use crate::limits;

/// An entry in the making: [`Entry::take`] each of its lines, then [`Entry::finish`] at the empty line behind it.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    any: bool,
    broken: bool,
    name: Option<String>,
    version: Option<String>,
    architecture: Option<String>,
    origin: Option<String>,
}

impl Entry {
    /// Takes a line of the entry, without its end.
    pub fn take(&mut self, line: &[u8]) {
        self.any = true;
        let [letter, b':', value @ ..] = line else { return };
        let place = match letter {
            b'P' => &mut self.name,
            b'V' => &mut self.version,
            b'A' => &mut self.architecture,
            b'o' => &mut self.origin,
            _ => return,
        };
        let value = value.get(..limits::PACKAGE_LINE_BYTES).unwrap_or(value);
        let value = str::from_utf8(value).unwrap_or_default();
        self.broken |= place.replace(value.to_owned()).is_some();
    }

    /// The line taken last ended with the file and not with a line feed: the entry may be the front of another one.
    pub fn cut(&mut self) {
        self.broken = true;
    }

    /// The package of this entry; `None` if there is none. The next entry begins.
    ///
    /// # Errors
    /// The entry is none, and nothing of it can be relied on.
    pub fn finish(&mut self) -> Result<Option<Package>, Broken> {
        let entry = core::mem::take(self);
        if !entry.any {
            return Ok(None);
        }
        if entry.broken {
            return Err(Broken);
        }
        let name = entry.name.ok_or(Broken)?;
        if name.starts_with('.') {
            return Ok(None);
        }
        let version = entry.version.filter(|version| is_word(version)).ok_or(Broken)?;
        let architecture = entry.architecture.filter(|architecture| is_word(architecture)).ok_or(Broken)?;
        let source = entry.origin.unwrap_or_else(|| name.clone());
        if !is_word(&name) || !is_word(&source) {
            return Err(Broken);
        }
        Ok(Some(Package { name, source_version: version.clone(), version, architecture, source }))
    }
}

fn is_word(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._~:".contains(&byte);
    (1..=200).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8]) -> Vec<String> {
        let (mut entry, mut found) = (Entry::default(), Vec::new());
        let mut add = |read: Result<Option<Package>, Broken>| match read {
            Ok(package) => found
                .extend(package.map(|p| format!("{} {} {} {}", p.name, p.version, p.architecture, p.source))),
            Err(Broken) => found.push("broken".to_string()),
        };
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line {
                b"\n" => add(entry.finish()),
                [line @ .., b'\n'] => entry.take(line),
                line => {
                    entry.take(line);
                    entry.cut();
                }
            }
        }
        add(entry.finish());
        found
    }

    const TEXT: &str = "\
C:Q1abc=
P:libcrypto3
V:3.1.4-r5
A:aarch64
S:1
o:openssl
F:lib
R:libcrypto.so.3
a:0:0:755
Z:Q1xyz=

P:busybox
V:1.36.1_git20230801-r2
A:aarch64

P:.ward-deps
V:20260101.101010
A:noarch

";

    #[test]
    fn packages_are_known_by_their_origin() {
        // Goal: what advisories are matched against. Method: a hand-written database, a set of apk's own among it.
        let wanted = ["libcrypto3 3.1.4-r5 aarch64 openssl", "busybox 1.36.1_git20230801-r2 aarch64 busybox"];
        assert_eq!(all(TEXT.as_bytes()), wanted);
    }

    #[test]
    fn a_broken_entry_is_told_and_costs_only_itself() {
        // Goal: one bad entry does not hide a thousand. Method: each way to be broken between two good ones.
        let good = "P:good\nV:1-r0\nA:x86_64\n";
        let long = format!("P:{}\nV:1-r0\nA:x86_64\n", "n".repeat(1 << 16));
        for bad in [
            "P:x\nA:x86_64\n",
            "V:1-r0\nA:x86_64\n",
            "P:x\nV:1 2\nA:x86_64\n",
            "P:x\nV:1-r0\n",
            "P:x\nV:1-r0\nV:2-r0\nA:x86_64\n",
            "P:x\nV:1-r0\nA:x86_64\no:\n",
            "nonsense\n",
            &long,
        ] {
            let found = all(format!("{good}\n{bad}\n{good}\n").as_bytes());
            assert_eq!(found, ["good 1-r0 x86_64 good", "broken", "good 1-r0 x86_64 good"], "{bad:?}");
        }
        let cut = all(&TEXT.as_bytes()[..TEXT.find("\nV:1.36").expect("is there") + 7]);
        assert_eq!(
            cut,
            ["libcrypto3 3.1.4-r5 aarch64 openssl", "broken"],
            "a version that was cut off is none"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            all(&bytes);
        }

        #[test]
        fn any_damage_to_a_database_costs_at_most_two_entries(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = TEXT.as_bytes().to_vec();
            let at = place.index(bytes.len());
            bytes[at] = byte;
            prop_assert!(!all(&bytes).is_empty());
        }
    }
}
