//! What is written as CycloneDX before the official schema.
//!
//! The Python library of its makers carries it.

use std::path::Path;

use cordon_proto::ids::Text;
use cordon_proto::inventory::{Inventory, Row, Section};
use cordon_proto::time::Timestamp;
use cordon_server_core::sbom::found::of_inventory;
use cordon_server_core::sbom::write::About;
use cordon_server_core::sbom::{self, Component, Kind, Sbom};
use cordon_sim::fuzz::mutate::Mutator;
use cordon_sim::fuzz::sboms::documents;
use cordon_sim::judge::Judge;
use cordon_sim::skip;
use fastrand::Rng;

use super::{data, say};

/// Says of each line whether it fits CycloneDX 1.6 to the letter.
const JUDGE: Judge = Judge::of(
    "import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
judge = JsonStrictValidator(SchemaVersion.V1_6)
for line in sys.stdin:
    fault = judge.validate_str(line)
    print('ok' if fault is None else repr(fault)[:800].replace('\\n', ' '))
",
);

/// Documents that the judge sees.
const BENT: usize = 300;

fn written(sbom: &Sbom) -> String {
    let about = About {
        made: Some(Timestamp(1_780_000_000)),
        serial: Some("3e671687-395b-41f5-a30f-a58921a69b79"),
        program: "0.1.0",
    };
    sbom.cyclonedx(about)
}

/// A device with a package of every kind.
fn device() -> Sbom {
    let row = |section, key: &str, fields: &[&str]| Row {
        section,
        key: Text::lossy(key),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
    };
    let inventory = Inventory::new(vec![
        row(Section::System, "id", &["debian"]),
        row(Section::System, "version-id", &["12"]),
        row(
            Section::Package,
            "deb/libssl3/arm64",
            &["1:3.0.11-1~deb12u2+b1", "openssl", "1:3.0.11-1~deb12u2"],
        ),
        row(Section::Package, "npm/@ward/pump/1.0.0", &["1.0.0"]),
        row(Section::Package, "pypi/Pump_Kit/1!2.0", &["1!2.0"]),
        row(Section::Package, "strange/x/y", &["1"]),
        row(Section::Unread, "var/lib/x", &["no"]),
    ]);
    let device = Component {
        kind: Kind::Device,
        name: "VP-3".into(),
        reference: "d-1".into(),
        ..Component::default()
    };
    of_inventory(&inventory, device)
}

#[test]
fn every_document_that_is_written_fits_the_official_schema() {
    // Goal: written files validate, whatever was read. Method: a device, samples and what chance makes of them, written and
    // shown to the judge; a control with a type that there is not.
    if !JUDGE.is_here() {
        return skip::skip("no judge of CycloneDX: python3 without cyclonedx-python-lib[json-validation]");
    }
    let seed = fastrand::u64(..);
    let mut chance = Rng::with_seed(seed);
    let pool = documents();
    let mut lines: Vec<String> = vec![written(&device())];
    lines.extend(pool.iter().filter_map(|bytes| sbom::read(bytes).ok()).map(|sbom| written(&sbom)));
    assert_eq!(lines.len(), 1 + pool.len(), "every sample is read");
    while lines.len() < BENT {
        let bent = Mutator { chance: &mut chance, pool: &pool, der: false }.bend();
        lines.extend(sbom::read(&bent).ok().map(|sbom| written(&sbom)));
    }
    lines.push(written(&device()).replace("\"type\":\"device\"", "\"type\":\"strange\""));
    let answers = JUDGE.answers(&lines);
    let (control, answers) = answers.split_last().expect("answers");
    assert_ne!(control, "ok", "the judge judges");
    for (line, answer) in lines.iter().zip(answers) {
        assert_eq!(answer, "ok", "seed {seed}: {line}");
    }
    say(&format!("CycloneDX 1.6 by the official schema: {} documents fit, seed {seed}", answers.len()));
}

#[test]
fn the_examples_of_cyclonedx_are_read_whole_and_written_to_the_schema() {
    // Goal: documents of others, in versions 1.2 to 1.4. Method: each read, written, judged where the judge is; what is no
    // JSON is refused with its word.
    let Some(folder) = data("cyclonedx-examples") else { return };
    let (mut read, mut refused, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    let mut walk = vec![folder];
    while let Some(path) = walk.pop() {
        if path.is_dir() {
            walk.extend(std::fs::read_dir(&path).expect("a folder").flatten().map(|entry| entry.path()));
        } else if ends(&path, "json") || ends(&path, "xml") {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            match sbom::read(&std::fs::read(&path).expect("readable")) {
                Ok(sbom) => {
                    let matchable = sbom.matchable().components.len();
                    read.push(format!("{name} {}/{}", matchable, sbom.components.len()));
                    lines.push(written(&sbom));
                }
                Err(why) => refused.push((name, why.word())),
            }
        }
    }
    say(&format!(
        "CycloneDX examples read (matchable/components): {}; refused: {refused:?}",
        read.join(", ")
    ));
    assert!(read.len() >= 20, "too few: {read:?}");
    assert!(refused.iter().all(|(name, word)| name.ends_with(".xml") && *word == "xml"), "{refused:?}");
    if JUDGE.is_here() {
        let answers = JUDGE.answers(&lines);
        assert_eq!(answers, vec!["ok"; lines.len()], "{read:?}");
    }
}

fn ends(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found == ending)
}
