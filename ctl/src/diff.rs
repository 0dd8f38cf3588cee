//! What changes from one signed statement to the next, in lines: keys, thresholds, ends, targets.
//!
//! For the eyes of whoever signs the next one, and for `repo diff`. A line begins with `+` for what comes, `-` for what
//! goes and `~` for what becomes something else. Nothing here believes anything: it compares what it is given. Read
//! next: [`crate::repo::standing`].

use std::collections::BTreeSet;

use cordon_proto::time::Timestamp;
use cordon_proto::update::metadata::{Root, TargetFile, Targets};
use cordon_proto::update::{Authority, PublicKey};

use crate::key::describe;
use crate::report::plain;

/// What changes from one root to the next.
#[must_use]
pub fn roots(before: &Root, after: &Root) -> Vec<String> {
    let roles = [
        ("root", &before.root, &after.root),
        ("targets", &before.targets, &after.targets),
        ("snapshot", &before.snapshot, &after.snapshot),
        ("timestamp", &before.timestamp, &after.timestamp),
    ];
    let mut lines = ends("root", (before.version, before.expires), (after.version, after.expires));
    for (role, old, new) in roles {
        lines.extend(authorities(role, Some(old), Some(new)));
    }
    lines
}

/// What changes in who signs for a role.
#[must_use]
pub fn authorities(role: &str, before: Option<&Authority>, after: Option<&Authority>) -> Vec<String> {
    let keys = |authority: Option<&Authority>| -> BTreeSet<PublicKey> {
        authority.iter().flat_map(|authority| authority.keys().values().cloned()).collect()
    };
    let (old, new) = (keys(before), keys(after));
    let mut lines: Vec<_> =
        old.difference(&new).map(|key| format!("- {role}: the key {}", describe(key))).collect();
    lines.extend(new.difference(&old).map(|key| format!("+ {role}: the key {}", describe(key))));
    let words = |authority: &Authority| format!("{} of {}", authority.threshold(), authority.keys().len());
    match (before, after) {
        (Some(before), Some(after)) if words(before) != words(after) => {
            lines.push(format!("~ {role}: signed by {}, before by {}", words(after), words(before)));
        }
        (None, Some(after)) => lines.push(format!("+ {role}: signed by {}", words(after))),
        (Some(before), None) => lines.push(format!("- {role}: signed by {}", words(before))),
        (Some(_), Some(_)) | (None, None) => {}
    }
    lines
}

/// What changes in what a role lists and to whom it delegates.
#[must_use]
pub fn targets(role: &str, before: &Targets, after: &Targets) -> Vec<String> {
    let mut lines = ends(role, (before.version, before.expires), (after.version, after.expires));
    let names: BTreeSet<&String> = before.targets.keys().chain(after.targets.keys()).collect();
    for name in names {
        let shown = plain(name);
        match (before.targets.get(name), after.targets.get(name)) {
            (None, Some(file)) => lines.push(format!("+ {role}: {shown}, {}", file_words(file))),
            (Some(file), None) => lines.push(format!("- {role}: {shown}, {}", file_words(file))),
            (Some(old), Some(new)) if old != new => {
                lines.push(format!("~ {role}: {shown}, {}", change_words(old, new)));
            }
            (Some(_) | None, Some(_) | None) => {}
        }
    }
    let roles = before.delegations.roles.iter().chain(&after.delegations.roles);
    let roles: BTreeSet<&String> = roles.map(|role| &role.name).collect();
    for name in roles {
        let [old, new] = [before, after]
            .map(|targets| targets.delegations.role(name).map(|delegation| &delegation.authority));
        lines.extend(authorities(&plain(name), old, new));
    }
    lines
}

fn ends(role: &str, before: (u64, Timestamp), after: (u64, Timestamp)) -> Vec<String> {
    let mut lines = Vec::new();
    if before.0 != after.0 {
        lines.push(format!("~ {role}: version {}, before {}", after.0, before.0));
    }
    if before.1 != after.1 {
        lines.push(format!("~ {role}: ends at {}, before at {}", after.1, before.1));
    }
    lines
}

fn file_words(file: &TargetFile) -> String {
    let sha256 = file.sha256().map_or_else(|_| "no SHA-256".to_owned(), |sha256| sha256.to_string());
    format!("{} bytes, SHA-256 {sha256}", file.length)
}

/// The statements that differ, by the names of their fields.
fn change_words(before: &TargetFile, after: &TargetFile) -> String {
    if (before.length, &before.hashes) != (after.length, &after.hashes) {
        return format!("{} instead of {}", file_words(after), file_words(before));
    }
    let fields = |file: &TargetFile| {
        let custom =
            file.custom.as_ref().and_then(|custom| custom.map().ok().map(|map| map.entries().clone()));
        custom.unwrap_or_default()
    };
    let (old, new) = (fields(before), fields(after));
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let named: Vec<_> = names.into_iter().filter(|name| old.get(*name) != new.get(*name)).collect();
    format!(
        "the same file with another {}",
        named.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_proto::canonical::Value;
    use cordon_proto::ids::Sha256;
    use cordon_proto::update::delegation::{DelegatedRole, Delegations, Paths};

    fn key(seed: u8) -> PublicKey {
        crate::key::SecretKey::from_seed(&[seed; 32]).public().clone()
    }

    fn authority(seeds: &[u8], threshold: u64) -> Authority {
        Authority::new(seeds.iter().map(|seed| key(*seed)), threshold).unwrap()
    }

    fn root(version: u64, seeds: &[u8], threshold: u64) -> Root {
        Root {
            version,
            expires: Timestamp(1_800_000_000),
            consistent_snapshot: true,
            root: authority(seeds, threshold),
            timestamp: authority(&[8], 1),
            snapshot: authority(&[9], 1),
            targets: authority(&[7], 1),
        }
    }

    #[test]
    fn a_rotation_names_who_comes_and_who_goes() {
        // Goal: nobody signs a rotation without seeing it. Method: golden lines of one key in, one out, a threshold.
        let lines = roots(&root(1, &[1, 2], 1), &root(2, &[2, 3, 4], 2));
        let wanted =
            ["~ root: version 2, before 1".to_owned(), format!("- root: the key {}", describe(&key(1)))];
        assert_eq!(lines[..2], wanted);
        assert_eq!(lines.iter().filter(|line| line.starts_with("+ root: the key ed25519 ")).count(), 2);
        assert_eq!(lines.last().unwrap(), "~ root: signed by 2 of 3, before by 1 of 2");
        assert!(roots(&root(1, &[1], 1), &root(1, &[1], 1)).is_empty());
    }

    #[test]
    fn a_role_names_what_comes_goes_and_becomes_something_else() {
        // Goal: one line a change. Method: golden lines: a new file, a file gone, other bytes, another statement, a role.
        let file = |byte: u8, reason: &str| {
            let custom = Value::object([("reason", Value::from(reason)), ("v", 1_u64.into())]);
            TargetFile::new(9, Sha256([byte; 32]), Some(custom))
        };
        let role = DelegatedRole {
            name: "orders".to_owned(),
            authority: authority(&[1], 1),
            paths: Paths::Patterns(vec!["order/*".to_owned()]),
            terminating: true,
        };
        let of = |targets: Vec<(&str, TargetFile)>, roles: Vec<DelegatedRole>| Targets {
            version: 1,
            expires: Timestamp(1_800_000_000),
            targets: targets.into_iter().map(|(name, file)| (name.to_owned(), file)).collect(),
            delegations: Delegations { roles },
        };
        let before = of(vec![("a", file(1, "x")), ("b", file(1, "x")), ("c", file(1, "x"))], vec![]);
        let after = of(vec![("b", file(2, "x")), ("c", file(1, "y")), ("d\u{1b}", file(1, "x"))], vec![role]);
        let digest = |byte: u8| Sha256([byte; 32]).to_string();
        let wanted = [
            format!("- targets: a, 9 bytes, SHA-256 {}", digest(1)),
            format!("~ targets: b, 9 bytes, SHA-256 {} instead of 9 bytes, SHA-256 {}", digest(2), digest(1)),
            "~ targets: c, the same file with another reason".to_owned(),
            format!("+ targets: d\u{fffd}, 9 bytes, SHA-256 {}", digest(1)),
            format!("+ orders: the key {}", describe(&key(1))),
            "+ orders: signed by 1 of 1".to_owned(),
        ];
        assert_eq!(targets("targets", &before, &after), wanted);
        assert!(targets("targets", &after, &after).is_empty());
    }
}
