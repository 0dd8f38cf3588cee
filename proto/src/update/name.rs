//! How metadata files are named, in a repository and on the disk.
//!
//! A delegated role may be named anything, `../x` too; its name is percent-encoded whole (RFC 3986 section 2.3), so
//! that it is one segment of a path and can never leave a folder. Read next: [`super::refresh`].

use super::fault::Role;
use alloc::format;
use alloc::string::String;

/// The name under which a role's newest trusted file is stored, such as `targets.json`.
#[must_use]
pub fn file(role: &Role) -> String {
    format!("{}.json", encoded(role))
}

/// The path of a role's file in a repository, relative to its metadata folder. Roots always carry their version,
/// timestamps never, the others with consistent snapshots (TUF 1.0.34 section 6.2).
#[must_use]
pub fn path(role: &Role, version: u64, consistent_snapshot: bool) -> String {
    let versioned = match role {
        Role::Root => true,
        Role::Timestamp => false,
        Role::Snapshot | Role::Targets | Role::Delegated(_) => consistent_snapshot,
    };
    if versioned { format!("{version}.{}", file(role)) } else { file(role) }
}

/// A name as one segment of a path, whatever stands in it. The names `.` and `..` alone are a folder all the same.
#[must_use]
pub fn segment(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn encoded(role: &Role) -> String {
    segment(&format!("{role}"))
}
