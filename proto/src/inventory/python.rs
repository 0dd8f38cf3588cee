//! What a Python package's own metadata says (PyPA "Core metadata"): name and version, in a mail's header.
//!
//! Only the lines before the first empty one are looked at: the description below may say anything. Nothing here opens a file.
//! Read next: [`super::node`] for the other language.

/// Name and version of a package, from the front of its `METADATA` or `PKG-INFO`.
#[must_use]
pub fn package(front: &str) -> Option<(&str, &str)> {
    let field = |name: &str| {
        let lines = front.lines().take_while(|line| !line.trim().is_empty());
        let mut values = lines.filter_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()));
        values.next()
    };
    let name = field("Name").filter(|name| is_word(name, b"-_."))?;
    let version = field("Version").filter(|version| is_word(version, b"-_.+!"))?;
    Some((name, version))
}

/// Whether a program that installs from outside the distribution put a package there, by the word that it leaves in `INSTALLER`
/// (PEP 376).
#[must_use]
pub fn is_from_outside(installer: &str) -> bool {
    ["pip", "uv", "poetry", "pdm", "conda", "pipx", "flit"].contains(&installer.trim())
}

fn is_word(text: &str, signs: &[u8]) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || signs.contains(&byte);
    (1..=100).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn name_and_version_stand_in_the_head() {
        // Goal: no version out of a description. Method: a head, the same without a version, words that are none.
        let text = "Metadata-Version: 2.1\nName: Flask-Login\nVersion: 0.6.3\nSummary: x\n\nVersion: 9\n";
        assert_eq!(package(text), Some(("Flask-Login", "0.6.3")));
        assert_eq!(package("Name: x\n\nVersion: 9\n"), None);
        assert_eq!(package("Name: x y\nVersion: 9\n"), None);
        assert_eq!(package("Name: x\nVersion: 1/2\n"), None);
        assert_eq!(package("Name: x\nVersion: 1!2.0+local.1\n"), Some(("x", "1!2.0+local.1")));
        assert!(is_from_outside("pip\n") && !is_from_outside("rpm\n") && !is_from_outside(""));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC*(\nName: \\PC*\nVersion: \\PC*)?") {
            let _ = package(&text);
        }
    }
}
