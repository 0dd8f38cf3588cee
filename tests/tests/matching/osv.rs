//! OSV's own records: all are read, nothing of one is lost without being counted, and what is none says why.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cordon_server_core::matching::ecosystem::Ecosystem;
use cordon_server_core::matching::index::Builder;
use cordon_server_core::matching::osv;
use cordon_server_core::matching::version::Scheme;
use serde_json::Value;

use super::{data, say, text};

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort_unstable();
    files
}

#[test]
fn the_records_of_osv_are_read_whole_or_refused_with_a_reason() {
    // Goal: no silent half of a record. Method: each file of OSV's tests; of a record the raw JSON is counted beside what was
    // read; what is no JSON record (they keep YAML and texts beside them) is refused in words.
    let Some(folder) = data("osv-records") else { return };
    let (mut read, mut packages, mut withdrawn) = (0, 0, 0);
    let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
    let mut builder = Builder::default();
    for path in files(&folder) {
        let bytes = std::fs::read(&path).expect("reads");
        let is_json = path.extension().is_some_and(|ending| ending == "json");
        match osv::read(&bytes) {
            Err(why) => {
                assert!(!is_json, "{}: {why}", path.display());
                assert!(!why.to_string().is_empty() && !why.word().is_empty());
                *refused.entry(why.word()).or_default() += 1;
            }
            Ok(record) => {
                let raw: Value = serde_json::from_slice(&bytes).expect("JSON");
                let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
                let affected = list(&raw["affected"]);
                let advisory = &record.advisory;
                assert_eq!(
                    advisory.affected.len() + record.without_package,
                    affected.len(),
                    "{}",
                    path.display()
                );
                let named = affected.iter().filter(|entry| entry["package"].is_object());
                for (ours, raw) in advisory.affected.iter().zip(named) {
                    let ranges = list(&raw["ranges"]);
                    let events: usize = ranges.iter().map(|range| list(&range["events"]).len()).sum();
                    let kept: usize = ours.ranges.iter().map(|range| range.events.len()).sum();
                    assert_eq!(ours.ranges.len(), ranges.len(), "{}", path.display());
                    assert!(kept >= events, "{}: {kept} of {events} events", path.display());
                    assert_eq!(ours.versions.len(), list(&raw["versions"]).len(), "{}", path.display());
                }
                assert_eq!(advisory.aliases.len(), list(&raw["aliases"]).len(), "{}", path.display());
                assert_eq!(advisory.withdrawn, raw["withdrawn"].is_string(), "{}", path.display());
                read += 1;
                packages += advisory.affected.len();
                withdrawn += usize::from(advisory.withdrawn);
                builder.add(advisory).expect("few");
            }
        }
    }
    let counts = builder.finish().expect("few").counts();
    say(&format!(
        "OSV records: {read} read with {packages} packages, {withdrawn} withdrawn; refused: {refused:?}"
    ));
    assert!(read >= 15 && counts.withdrawn == withdrawn && !refused.is_empty(), "{counts:?}");
}

#[test]
fn every_ecosystem_of_the_schema_has_a_place() {
    // Goal: no record is refused for where it speaks of. Method: the schema's own list; how many have an order is told.
    let Some(path) = data("osv-schema/ecosystems.json") else { return };
    let list: Value = serde_json::from_str(&text(&path)).expect("JSON");
    let names: Vec<String> = list.as_object().expect("an object").keys().cloned().collect();
    let mut without = Vec::new();
    for name in &names {
        for written in [name.clone(), format!("{name}:1")] {
            let place: Ecosystem = written.parse().unwrap_or_else(|error| panic!("{written}: {error}"));
            assert_eq!(place.to_string(), written);
        }
        if Ecosystem::new(name, None).scheme() == Scheme::None {
            without.push(name.as_str());
        }
    }
    let known = names.len() - without.len();
    say(&format!(
        "OSV ecosystems: {} placed, {known} with an order; without one, so unknown: {}",
        names.len(),
        without.join(", ")
    ));
    assert!(known >= 20, "{known}");
}
