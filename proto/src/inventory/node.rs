//! What a Node package's `package.json` says: its own name and version, and nothing of the names inside it.
//!
//! The file is JSON written by anybody, often with numbers and texts that our strict reader refuses; two texts at the top are
//! all that is wanted. So the text is walked by depth: a key counts only where the first object is open and no other. Escapes
//! in a name or a version are not read: there are none in a name that the registry takes. Nothing here opens a file.

/// Name and version of a package.
#[must_use]
pub fn package(text: &str) -> Option<(&str, &str)> {
    let (mut depth, mut key, mut name, mut version) = (0_u32, None, None, None);
    let mut rest = text.trim_start_matches('\u{feff}');
    loop {
        rest = rest.trim_start();
        let mut letters = rest.chars();
        match letters.next() {
            None => break,
            Some('{' | '[') => (depth, key) = (depth.checked_add(1)?, None),
            Some('}' | ']') => (depth, key) = (depth.checked_sub(1)?, None),
            Some('"') => {
                let (word, after) = quoted(letters.as_str())?;
                rest = after;
                let value = after.trim_start();
                match (key.take(), value.strip_prefix(':')) {
                    (None, Some(value)) if depth == 1 => (key, rest) = (Some(word), value),
                    // Said twice, neither is believed.
                    (Some("name"), _) if depth == 1 && name.replace(word).is_some() => return None,
                    (Some("version"), _) if depth == 1 && version.replace(word).is_some() => return None,
                    _ => {}
                }
                continue;
            }
            Some(',') => key = None,
            Some(_) => {}
        }
        rest = letters.as_str();
    }
    let name = name.filter(|name| is_word(name, b"-_.@/~!*'()"))?;
    let version = version.filter(|version| is_word(version, b"-_.+"))?;
    (depth == 0).then_some((name, version))
}

/// The text up to its closing sign, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        match bytes.get(at)? {
            b'"' => return Some((text.get(..at)?, text.get(at + 1..)?)),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn is_word(text: &str, signs: &[u8]) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || signs.contains(&byte);
    (1..=214).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_packages_own_name_and_version_are_taken() {
        // Goal: no dependency in the place of the package. Method: names inside, before and after; texts that hold braces.
        let text = r#"{"author": {"name": "no", "version": "9"}, "name": "@ward/pump", "files": ["version", "1"],
            "description": "} \" { \"version\": \"8\"", "x": 1.5e3, "version" : "1.2.3-beta.1", "dependencies": {"version": "7"}}"#;
        assert_eq!(package(text), Some(("@ward/pump", "1.2.3-beta.1")));
        assert_eq!(package(r#"{"name": "x", "y": {"version": "1"}}"#), None);
        assert_eq!(package(r#"{"name": "x", "version": 1}"#), None);
        assert_eq!(package(r#"{"name": "x", "version": "1", "version": "2"}"#), None, "said twice");
        assert_eq!(package(r#"{"name": "x", "version": "1""#), None, "cut off");
        assert_eq!(package(r#"{"name": "x\u0041", "version": "1"}"#), None, "no registry takes such a name");
        assert_eq!(package(r#"{"name": "version", "version": "1"}"#), Some(("version", "1")));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[\\{\\}\\[\\]\"\\\\:,a-z ]*|\\PC*") {
            let _ = package(&text);
        }
    }
}
