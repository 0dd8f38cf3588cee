//! The matcher before its judges: debsecan on made-up Debians and on this machine's packages, and the vectors of others.
//!
//! Vectors and feeds of others are no part of the project: where the folder named by `CORDON_DATA` holds `risk`, or is it,
//! they are all read and counted. Read next: `cordon_sim::debsecan`, `cordon_server_core::matching`.

use std::io::Write;
use std::path::{Path, PathBuf};

use cordon_sim::skip;

#[path = "matching/cvss.rs"]
mod cvss;
#[path = "matching/debian.rs"]
mod debian;
#[path = "matching/osv.rs"]
mod osv;
#[path = "matching/own_machine.rs"]
mod own_machine;
#[path = "matching/purl.rs"]
mod purl;
#[path = "matching/sbom.rs"]
mod sbom;

/// A folder of the data of others, or nothing after saying so.
fn data(name: &str) -> Option<PathBuf> {
    let data = std::env::var_os("CORDON_DATA").map(PathBuf::from);
    let places = data.iter().flat_map(|data| [data.join("risk").join(name), data.join(name)]);
    let found = places.into_iter().find(|place| place.exists());
    if found.is_none() {
        skip::skip(&format!("no risk/{name}: name the folder that holds it in CORDON_DATA"));
    }
    found
}

/// Says a figure on the stderr handle, which the harness does not swallow.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).expect("stderr is open");
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
