//! The example keys: made from their names by a rule, so that anybody can make them again and nobody can trust them.
//!
//! The seed of a key is SHA-256 of `cordon example key: NAME`. What they are good for stands in
//! `keys-example/README.md`; that they are refused everywhere else, in `cordon_proto::update::deny`.

use cordon_proto::ids::Sha256;

use crate::key::SecretKey;

/// The example key of a name.
#[must_use]
pub fn key(name: &str) -> SecretKey {
    SecretKey::from_seed(&Sha256::of(format!("cordon example key: {name}").as_bytes()).0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_proto::update::deny::{EXAMPLE_KEYS, is_example_key};
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn the_folder_of_example_keys_is_exactly_the_deny_list() {
        // Goal: no example key that is not refused. Method: every PEM of keys-example is read and looked up, and the
        // names are compared both ways.
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../keys-example"));
        let mut found = BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "pem") {
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                let read = SecretKey::read(&path, true).map_err(|failure| failure.to_string()).unwrap();
                assert!(is_example_key(read.public()), "{name} is not on the deny list");
                assert_eq!(read.public(), key(&name).public(), "{name} is not made by the rule");
                found.insert(name);
            }
        }
        let listed: BTreeSet<_> = EXAMPLE_KEYS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(found, listed);
    }
}
