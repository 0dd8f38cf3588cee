//! Every document of others, read and asked. What is missing here is skipped by its name.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use cordon_server_core::feeds::asset::{Asset, Assets};
use cordon_server_core::feeds::csaf::{self, Advisory, RemedyKind, Status};
use cordon_server_core::feeds::devices::{Answer, Catalogue};
use cordon_server_core::feeds::kev;
use cordon_server_core::feeds::naming::Aliases;
use cordon_server_core::feeds::vex::cyclonedx::References;
use cordon_server_core::feeds::vex::ledger::{Finding, Ledger};
use cordon_server_core::feeds::vex::subject::Thing;
use cordon_server_core::feeds::vex::{self, By};

use super::*;
use crate::skip;

fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).expect("stderr is open");
}

fn set(name: &str) -> Option<Vec<(PathBuf, Vec<u8>)>> {
    let Some(folder) = folder(name) else {
        skip::skip(&format!("no {name}: name a folder with risk/{name} in CORDON_DATA"));
        return None;
    };
    Some(documents(&folder).expect("the documents are readable"))
}

fn medical() -> Option<Vec<Advisory>> {
    let read = |(path, bytes): &(PathBuf, Vec<u8>)| {
        csaf::read(bytes).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
    };
    set("csaf-icsma").map(|documents| documents.iter().map(read).collect())
}

#[test]
fn every_medical_advisory_is_read_and_what_is_not_understood_is_never_safe() {
    // Goal: no advisory is lost, no range that nobody understands makes a device safe. Method: all of them, each product as
    // a device in eleven versions.
    let Some(advisories) = medical() else { return };
    let (mut products, mut not_understood, mut remedies) = (0, 0, BTreeMap::new());
    for advisory in &advisories {
        let odd = (advisory.nowhere, advisory.unresolved, advisory.miscounted);
        assert_eq!(odd, (0, 0, 0), "{}", advisory.id);
        assert!(advisory.updated.is_some() && !advisory.weaknesses.is_empty(), "{}", advisory.id);
        products += advisory.products.len();
        for remedy in advisory.weaknesses.iter().flat_map(|weakness| &weakness.remedies) {
            *remedies.entry(remedy.kind.word()).or_insert(0) += 1;
        }
        assert!(
            advisory
                .weaknesses
                .iter()
                .all(|weakness| !weakness.scores.is_empty() || weakness.id.contains("CVE"))
        );
    }
    let all = advisories.clone();
    let catalogue = Catalogue::new(advisories, Aliases::default());
    for product in all.iter().flat_map(|advisory| &advisory.products) {
        let lost = product.versions == Versions::NotUnderstood;
        not_understood += usize::from(lost);
        for version in ["", "0", "1", "1.0", "2.4A", "9.33", "B.06.18", "L81", "99999", "july", "v20D32"] {
            let asset = Asset {
                maker: product.maker.clone(),
                model: product.model.clone(),
                version: version.to_owned(),
                ..Asset::default()
            };
            let verdicts = catalogue.judge(&asset);
            assert!(!verdicts.is_empty(), "{} {} is named by no advisory", product.maker, product.model);
            for verdict in verdicts {
                let safe = matches!(verdict.answer, Answer::Fixed | Answer::NotAffected);
                let stands =
                    verdict.bound.is_some() && matches!(verdict.product.versions, Versions::Ranges { .. });
                assert!(!safe || stands, "{version} of {} by {}", product.model, verdict.advisory.id);
            }
        }
    }
    let fixes = remedies.get(RemedyKind::VendorFix.word()).copied().unwrap_or_default();
    say(&format!(
        "{} medical advisories, {products} products, {not_understood} without a range that is understood, {fixes} repairs",
        all.len()
    ));
    assert!(all.len() >= 74 && products >= 223 && fixes >= 572 && not_understood * 3 < products);
}

/// Spellings of a hospital: capitals, another name of the maker.
fn spelled(at: usize, maker: &str, model: &str) -> (String, String) {
    let maker = match (at % 3, maker) {
        (1, "Philips" | "Phillips") => "PHILIPS MEDICAL SYSTEMS".to_owned(),
        (1, "Becton, Dickinson and Company (BD)") => "CareFusion".to_owned(),
        (1, "Hillrom") => "Welch Allyn, Inc.".to_owned(),
        (1, "Baxter") => "Baxter Healthcare Corp.".to_owned(),
        (1, "Medtronic") => "Medtronic MiniMed".to_owned(),
        _ => maker.to_owned(),
    };
    (maker, if at.is_multiple_of(2) { model.to_owned() } else { model.to_uppercase() })
}

#[test]
fn three_hundred_devices_of_a_list_are_matched_alias_included() {
    // Goal: the affected ones are found, all and no others. Method: a list made from the advisories' own products in versions
    // inside and behind their ranges, with other names of the makers, and devices that no advisory names between them.
    let Some(advisories) = medical() else { return };
    let mut known: BTreeSet<(&str, &str)> = BTreeSet::new();
    let (mut list, mut wanted) = (Assets::default(), Vec::new());
    list.row(&["Manufacturer", "Model", "Software Version", "Asset Tag"]).expect("a header");
    for advisory in advisories.iter().cycle().take(advisories.len() * 9) {
        for (place, product) in advisory.products.iter().enumerate() {
            let at = wanted.len();
            if at == 300 {
                break;
            }
            let affected =
                |weakness: &csaf::Weakness| weakness.statuses.get(&place) == Some(&Status::KnownAffected);
            if !advisory.weaknesses.iter().any(affected) {
                continue;
            }
            let named = advisory.products.iter().filter(|other| other.model == product.model).count();
            let Some((inside, _)) = versions(product).filter(|_| named == 1) else { continue };
            let (maker, model) = spelled(at, &product.maker, &product.model);
            known.insert((&product.maker, &product.model));
            let decoy = at % 5 == 4;
            let row = if decoy {
                ["House Brand", "Own 77", "1.0", ""]
            } else {
                [maker.as_str(), &model, &inside, ""]
            };
            let tag = format!("T{at}");
            list.row(&[row[0], row[1], row[2], &tag]).expect("a row");
            wanted.push((!decoy).then_some(advisory.id.as_str()));
        }
    }
    let list = list.finish().expect("a list");
    assert_eq!((list.assets.len(), wanted.len()), (300, 300));
    let catalogue = Catalogue::new(advisories.clone(), Aliases::default());
    let mut affected = 0;
    for (asset, wanted) in list.assets.iter().zip(&wanted) {
        let verdicts = catalogue.judge(asset);
        let hit = verdicts.iter().any(|verdict| matches!(verdict.answer, Answer::Affected { .. }));
        match wanted {
            None => assert!(verdicts.is_empty(), "{asset:?}"),
            Some(id) => assert!(hit, "{id}: {asset:?}"),
        }
        affected += usize::from(hit);
    }
    say(&format!(
        "300 devices of {} models: {affected} affected, {} of no advisory",
        known.len(),
        300 - affected
    ));
    assert!(affected >= 200);
}

/// Something that a statement speaks of.
fn thing(statement: &vex::Statement) -> Thing {
    let version = match &statement.subject.versions {
        Versions::Unsaid | Versions::All | Versions::NotUnderstood => None,
        Versions::Listed(listed) => listed.first().cloned(),
        Versions::Ranges { spans, .. } => {
            let bound = spans.first().and_then(|span| span.low.as_ref().or(span.high.as_ref()));
            // Below an end that is not in the range, the first of all versions is.
            bound.map(|bound| if bound.inclusive { bound.version.clone() } else { "0".to_owned() })
        }
    };
    match &statement.subject.by {
        By::Purl(purl) => Thing { purls: vec![purl.clone()], version, ..Thing::default() },
        By::Name { maker, name } => {
            Thing { maker: maker.clone(), name: name.clone(), version, ..Thing::default() }
        }
        By::Text => Thing { texts: vec![statement.subject.written.clone()], ..Thing::default() },
    }
}

#[test]
fn every_vex_case_is_read_and_no_statement_is_silent() {
    // Goal: each case of CSAF and CycloneDX; a statement meets what it speaks of, and one that meets nothing is told. Method:
    // all documents, each statement asked about its own product, then about another.
    let (Some(cyclonedx), Some(csaf)) =
        (set("cyclonedx-examples/VEX"), set("csaf-examples/csaf_2.0/examples/csaf"))
    else {
        return;
    };
    let is_bom = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("bom"));
    let open = |subject: &vex::Subject| {
        let nameless = matches!(&subject.by, By::Name { name, .. } if name.is_empty());
        nameless || subject.versions == Versions::NotUnderstood
    };
    let lost = |statement: &vex::Statement| open(&statement.subject) || statement.inside.iter().any(open);
    let (mut cases, mut statements, mut told) = (0, 0, 0);
    for (path, bytes) in cyclonedx.iter().chain(&csaf).filter(|(path, _)| !is_bom(path)) {
        let mut links = References::default();
        let beside = cyclonedx.iter().filter(|(bom, _)| bom.parent() == path.parent() && is_bom(bom));
        beside.for_each(|(_, bytes)| links.add(bytes).expect("an SBOM"));
        let document = vex::read(bytes, &links).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        assert!(document.refused.is_empty(), "{}: {:?}", path.display(), document.refused);
        let mut ledger = Ledger::new(Aliases::default());
        ledger.add(document.clone(), true);
        assert_eq!(
            ledger.silent().count(),
            document.statements.len(),
            "before anybody asked, all are silent"
        );
        for statement in &document.statements {
            let names: Vec<&str> = statement.names.iter().map(String::as_str).collect();
            let component = statement.inside.first().map(|inside| {
                thing(&vex::Statement { subject: inside.clone(), inside: Vec::new(), ..statement.clone() })
            });
            let product = thing(statement);
            let finding = match &component {
                Some(component) => Finding { names: &names, component, product: Some(&product) },
                None => Finding { names: &names, component: &product, product: None },
            };
            let other =
                Thing { name: "another".to_owned(), version: Some("0".to_owned()), ..Thing::default() };
            assert_eq!(ledger.judge(Finding { component: &other, product: None, ..finding }), None);
            assert!(lost(statement) || ledger.judge(finding).is_some(), "{}: {statement:?}", path.display());
        }
        // Versions that nobody understands, or a component without a name, meet nothing: such a statement is told.
        let silent: Vec<_> = ledger.silent().map(|(statement, ..)| statement).collect();
        assert!(silent.iter().all(|statement| lost(statement)), "{}: {silent:?}", path.display());
        told += silent.len();
        (cases, statements) = (cases + 1, statements + document.statements.len());
    }
    say(&format!(
        "{cases} VEX cases, {statements} statements, {told} told to be not understood, none silent"
    ));
    assert!(cases >= 20 && statements >= 460);
}

#[test]
fn the_catalogue_of_what_is_exploited_is_read_whole() {
    // Goal: no entry is lost. Method: the real catalogue, its figures.
    let Some(documents) = set("kev") else { return };
    let catalogue = documents.iter().find_map(|(_, bytes)| kev::read(bytes).ok()).expect("a catalogue");
    let ransomware = catalogue.entries.values().filter(|entry| entry.ransomware).count();
    assert!(catalogue.refused.is_empty(), "{:?}", catalogue.refused);
    assert!(
        catalogue.entries.len() >= 1_404 && ransomware >= 293,
        "{} {ransomware}",
        catalogue.entries.len()
    );
    assert!(catalogue.as_of.is_some());
}
