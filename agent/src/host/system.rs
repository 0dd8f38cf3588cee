//! The operating system: os-release, kernel, architecture, this boot.

use cordon_proto::ids::Sha256;
use cordon_proto::inventory::Section;

use super::{Root, Rows};

/// The facts of os-release(5) that are kept.
const FACTS: [(&str, &str); 5] = [
    ("ID", "id"),
    ("ID_LIKE", "id-like"),
    ("VERSION_ID", "version-id"),
    ("VERSION_CODENAME", "version-codename"),
    ("PRETTY_NAME", "pretty-name"),
];

/// Adds the rows of the operating system.
pub fn read(root: &Root, rows: &mut Rows) {
    let text = root.text("etc/os-release").or_else(|_| root.text("usr/lib/os-release"));
    if let Err(error) = &text {
        rows.unread("os-release", error);
    }
    let text = text.unwrap_or_default();
    for (fact, key) in FACTS {
        rows.add_known(Section::System, key, value(&text, fact).as_deref());
    }
    let live = |path: &str| if root.is_live() { root.line(path) } else { None };
    rows.add_known(Section::System, "kernel", live("proc/sys/kernel/osrelease").as_deref());
    rows.add_known(Section::System, "architecture", root.is_live().then_some(std::env::consts::ARCH));
    // What the kernel was told at its start may name hosts and volumes: its hash tells a change as well.
    let told = live("proc/cmdline").map(|line| Sha256::of(line.as_bytes()).to_string());
    rows.add_known(Section::System, "command-line", told.as_deref().and_then(|hash| hash.get(..16)));
    // The boot's own number could follow a device through networks; its hash tells boots apart as well.
    let boot = live("proc/sys/kernel/random/boot_id").map(|id| Sha256::of(id.as_bytes()).to_string());
    rows.add_known(Section::System, "boot-id", boot.as_deref().and_then(|hash| hash.get(..16)));
}

/// The value of one fact, without its quotes (os-release(5): the last assignment wins).
#[must_use]
pub fn value(text: &str, fact: &str) -> Option<String> {
    let assigned = |line: &str| {
        let (name, value) = line.trim().split_once('=')?;
        (name == fact).then(|| unquote(value.trim()))
    };
    text.lines().filter_map(assigned).next_back()
}

fn unquote(value: &str) -> String {
    let inner = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    let mut out = String::new();
    let mut escaped = false;
    for character in inner.unwrap_or(value).chars() {
        if character == '\\' && !escaped {
            escaped = true;
        } else {
            out.push(character);
            escaped = false;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn os_release_is_read_as_its_manual_says() {
        // Goal: quotes, escapes, comments, later assignments. Method: a file of our own.
        let text = "# a comment\nID=wardos\nVERSION_ID=\"12\"\nPRETTY_NAME='Ward \"OS\" 12'\nX=\"a\\\"b\\\\c\"\nID=other\n";
        let of = |fact: &str| value(text, fact);
        assert_eq!(of("ID").as_deref(), Some("other"));
        assert_eq!(of("VERSION_ID").as_deref(), Some("12"));
        assert_eq!(of("PRETTY_NAME").as_deref(), Some("Ward \"OS\" 12"));
        assert_eq!(of("X").as_deref(), Some("a\"b\\c"));
        assert_eq!(of("MISSING"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC*(\nID=\\PC*)?") {
            let _ = value(&text, "ID");
        }
    }
}
