//! Package URLs before the specification's own vectors (package-url/purl-spec, MIT).

use std::collections::BTreeMap;
use std::path::Path;

use cordon_server_core::matching::purl::Purl;
use serde_json::Value;

use super::{data, say, text};

/// The types of which components are made, and the specification's own vectors.
const USED: [&str; 13] = [
    "apk", "cargo", "composer", "deb", "gem", "generic", "golang", "hex", "maven", "npm", "nuget", "pypi",
    "rpm",
];

#[test]
fn the_vectors_of_package_urls_are_all_answered_alike() {
    // Goal: every vector of every type in use: 100 %. Method: what is to be parsed, built or written in its canonical form,
    // and what is to be refused; other types are counted too.
    let Some(folder) = data("purl/tests") else { return };
    let mut files: Vec<_> = std::fs::read_dir(folder.join("types")).expect("a folder").flatten().collect();
    files.sort_by_key(std::fs::DirEntry::file_name);
    let mut counts: BTreeMap<String, (usize, Vec<String>)> = BTreeMap::new();
    let paths = files.iter().map(std::fs::DirEntry::path);
    for path in paths.chain([folder.join("spec/specification-test.json")]) {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let kind = name.trim_end_matches("-test.json").to_owned();
        let (all, wrong) = counts.entry(kind).or_default();
        for vector in vectors(&path) {
            *all += 1;
            wrong.extend(
                (!is_alike(&vector))
                    .then(|| vector["description"].to_string() + &vector["input"].to_string()),
            );
        }
    }
    let told: Vec<String> =
        counts.iter().map(|(kind, (all, wrong))| format!("{kind} {}/{all}", all - wrong.len())).collect();
    say(&format!("purl vectors: {}", told.join(", ")));
    let (used, all) = counts.iter().fold((0, 0), |(used, sum), (kind, (all, _))| {
        (used + if USED.contains(&kind.as_str()) || kind == "specification" { *all } else { 0 }, sum + all)
    });
    say(&format!("purl vectors: {used} of types in use, of {all}"));
    assert!(used >= 200, "only {used} vectors");
    for kind in USED.iter().copied().chain(["specification"]) {
        let (_, wrong) = counts.get(kind).unwrap_or_else(|| panic!("no vectors of {kind}"));
        assert!(wrong.is_empty(), "{kind}: {wrong:#?}");
    }
}

fn vectors(path: &Path) -> Vec<Value> {
    let whole: Value = serde_json::from_str(&text(path)).expect("JSON");
    whole.get("tests").and_then(Value::as_array).expect("a list").clone()
}

fn is_alike(vector: &Value) -> bool {
    let (input, wanted) = (&vector["input"], &vector["expected_output"]);
    let written = || input.as_str().expect("a text");
    // What the specification only recommends to forgive is forgiven by the second reader.
    let recommended = vector["test_group"] == "recommended";
    let answer = match vector["test_type"].as_str().expect("a type of test") {
        "parse" if recommended => Purl::canonical(written()).map(|purl| parts(&purl)),
        "parse" => Purl::parse(written()).map(|purl| parts(&purl)),
        "validate" => Purl::canonical(written()).map(|purl| purl.to_string().into()),
        // What is written of the parts reads as their canonical form, or as nothing.
        "build" => Purl::parse(&built(input).to_string()).map(|purl| purl.to_string().into()),
        other => panic!("no such type of test: {other}"),
    };
    match answer {
        Ok(answer) => vector["expected_failure"] == false && answer == *wanted,
        Err(_) => vector["expected_failure"] == true,
    }
}

fn parts(purl: &Purl) -> Value {
    let whole = |segments: &[String]| (!segments.is_empty()).then(|| segments.join("/"));
    serde_json::json!({
        "type": purl.kind, "namespace": whole(&purl.namespace), "name": purl.name, "version": purl.version,
        "qualifiers": (!purl.qualifiers.is_empty()).then_some(&purl.qualifiers), "subpath": whole(&purl.subpath),
    })
}

fn built(input: &Value) -> Purl {
    let word = |key: &str| input[key].as_str().unwrap_or_default().to_owned();
    let segments =
        |key: &str| word(key).split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let pair = |(key, value): (&String, &Value)| (key.clone(), value.as_str().unwrap_or_default().to_owned());
    Purl {
        kind: word("type"),
        namespace: segments("namespace"),
        name: word("name"),
        version: input["version"].as_str().map(str::to_owned),
        qualifiers: input["qualifiers"].as_object().into_iter().flatten().map(pair).collect(),
        subpath: segments("subpath"),
    }
}
