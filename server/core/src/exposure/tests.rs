//! Tests of exposures: what is asked, what is answered, and what nobody can judge.
//!
//! Read next: [`super`] for the question, `fixture` for the world that is asked.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use cordon_proto::time::Timestamp;

use super::fixture::{device, inventory};
use super::topic::devices_with;
use super::*;
use crate::feeds::intake::{Kind, Tally};
use crate::feeds::vex::cyclonedx::References;
use crate::matching::component::Component;
use crate::risk::facts::{OsSupport, Vector};

const DEBIAN: &str = "release,source,cve,fixed_version,advisory\n\
    bookworm,pump,CVE-2024-0001,2-1,DSA-1-1\n\
    bookworm,pump,CVE-2024-0002,<unfixed>,\n\
    bookworm,valve,CVE-2024-0003,<undetermined>,\n\
    trixie,pump,CVE-2024-0001,2-1,DSA-1-1\n";
const KEV: &str = r#"{"catalogVersion":"1","dateReleased":"2024-05-01T00:00:00Z","vulnerabilities":[{"cveID":"CVE-2024-0001","dateAdded":"2024-05-01","knownRansomwareCampaignUse":"Known"}]}"#;
const VEX: &str = r#"{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://halden.example/vex-1","author":"Halden","timestamp":"2024-05-01T00:00:00Z","version":1,
    "statements":[{"vulnerability":{"name":"CVE-2024-0002"},"products":[{"@id":"pkg:deb/debian/pump@1-1?distro=debian-12"}],"status":"not_affected","justification":"vulnerable_code_not_present"},
    {"vulnerability":{"name":"CVE-2024-0009"},"products":[{"@id":"pkg:deb/debian/pump"}],"status":"fixed"}]}"#;
const CSAF: &str = r#"{"document":{"category":"csaf_security_advisory","csaf_version":"2.0","title":"Halden VP-3","publisher":{"category":"vendor","name":"Halden","namespace":"https://halden.example"},
    "tracking":{"id":"ICSMA-24-001-01","status":"final","version":"1","initial_release_date":"2024-05-01T00:00:00Z","current_release_date":"2024-05-02T00:00:00Z","revision_history":[]}},
    "product_tree":{"branches":[{"category":"vendor","name":"Halden","branches":[{"category":"product_name","name":"VP-3","branches":[{"category":"product_version_range","name":"<= 4.1","product":{"name":"VP-3 4.1 and before","product_id":"P1"}}]}]}]},
    "vulnerabilities":[{"cve":"CVE-2024-0007","product_status":{"known_affected":["P1"]},"scores":[{"products":["P1"],"cvss_v3":{"version":"3.1","vectorString":"CVSS:3.1/AV:A/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H","baseScore":8.8,"baseSeverity":"HIGH"}}],
        "remediations":[{"category":"vendor_fix","details":"Install 4.2","product_ids":["P1"]}]},
        {"cve":"CVE-2024-0001","product_status":{"known_affected":["P1"]}}]}"#;
const EOL: &str = r#"[{"cycle":"12","eol":"2028-06-30"},{"cycle":"11","eol":"2024-08-31"}]"#;

/// A small world of each kind of feed, and what was counted of it.
fn world() -> (World, Tally) {
    let (mut builder, mut tally) = (Builder::default(), Tally::default());
    builder.debian(DEBIAN.as_bytes(), &mut tally).expect("Debian's data");
    builder.kev(KEV.as_bytes(), &mut tally).expect("a catalogue");
    builder.csaf("x.json", CSAF.as_bytes(), &mut tally);
    builder.vex("vex.json", VEX.as_bytes(), &References::default(), &mut tally);
    builder.eol("products/debian.json", EOL.as_bytes(), &mut tally);
    builder.dated(Kind::Debian, Timestamp(1_714_000_000));
    builder.dated(Kind::Debian, Timestamp(1_713_000_000));
    (builder.finish().expect("a world"), tally)
}

fn key(version: &str) -> ModelKey {
    ModelKey { maker: "Halden".to_string(), model: "VP-3".to_string(), version: version.to_string() }
}

/// What a device of this composition and model is exposed to.
fn expose(world: &World, holdings: &Holdings, number: u8, model: &ModelKey, shipped: &[Shipped]) -> Exposed {
    let said_of_model = world.ask_model(model);
    let case = Case {
        holdings,
        composition: holdings.of(device(number)).map(|(_, composition)| composition),
        model,
        said_of_model: &said_of_model,
        since: &Since::default(),
        shipped,
        running: Some(41),
    };
    world.expose(&case, &|_, component: &Component| Arc::new(world.ask(component)))
}

fn short(exposed: &Exposed) -> Vec<String> {
    let line = |one: &crate::risk::facts::Exposure| {
        alloc::format!(
            "{} {} {:?} {}",
            one.id,
            one.package,
            one.treatment,
            one.fixed_version.as_deref().unwrap_or("-")
        )
    };
    exposed.exposures.iter().map(line).collect()
}

#[test]
fn a_device_is_exposed_by_its_packages_and_its_model_once_for_each_weakness() {
    // Goal: what a score needs, from every feed, nothing twice. Method: a device with packages of whose model an advisory
    // speaks too, one without packages, one whose version is behind the repair.
    let (world, tally) = world();
    assert_eq!((tally.records, tally.refused.len()), (9, 0), "{tally:?}");
    let mut holdings = Holdings::default();
    holdings.put(device(1), &inventory("12", &[("pump", "1-1"), ("valve", "1"), ("hose", "1")]));
    let exposed = expose(&world, &holdings, 1, &key("4.1"), &[]);
    assert_eq!(
        short(&exposed),
        [
            "CVE-2024-0001 pump 1-1 None 2-1",
            "CVE-2024-0002 pump 1-1 NotAffected -",
            "CVE-2024-0007 VP-3 4.1 None -"
        ]
    );
    assert_eq!((exposed.unknown, exposed.unmatchable), (1, 0));
    assert_eq!(exposed.as_of, Some(Timestamp(1_714_000_000)));
    let day = Timestamp::parse("2028-06-30T00:00:00Z").expect("a day");
    assert_eq!(exposed.os_support, OsSupport::Until { at: day });
    let [first, _, last] = exposed.exposures.as_slice() else { panic!("three") };
    assert!(first.known_exploited && first.ransomware && !last.known_exploited);
    assert_eq!((last.cvss.map(|cvss| cvss.tenths), last.vector), (Some(88), Vector::Adjacent));

    let listed = expose(&world, &holdings, 9, &key("4.1"), &[]);
    let ids: Vec<&str> = listed.exposures.iter().map(|one| one.id.as_str()).collect();
    assert_eq!((ids, listed.unmatchable), (vec!["CVE-2024-0001", "CVE-2024-0007"], 0));
    assert_eq!(listed.as_of, None, "no advisory about devices has a day here");
    assert!(expose(&world, &holdings, 9, &key("4.2"), &[]).exposures.is_empty());
    let unsaid = expose(&world, &holdings, 9, &key(""), &[]);
    assert_eq!((unsaid.exposures.len(), unsaid.unknown), (0, 2), "a version that nobody knows is not safe");
}

#[test]
fn what_no_feed_speaks_of_is_counted_and_never_safe() {
    // Goal: silence is no answer. Method: a release that no feed knows, and a world without any feed.
    let (world, _) = world();
    let mut holdings = Holdings::default();
    holdings.put(device(1), &inventory("11", &[("pump", "1-1"), ("valve", "1")]));
    let exposed = expose(&world, &holdings, 1, &key("9"), &[]);
    assert_eq!((exposed.exposures.len(), exposed.unmatchable), (0, 2));
    let ended = Timestamp::parse("2024-08-31T00:00:00Z").expect("a day");
    assert_eq!(exposed.os_support, OsSupport::Until { at: ended });
    let empty = expose(&World::default(), &holdings, 1, &key("9"), &[]);
    assert_eq!((empty.unmatchable, empty.as_of, empty.os_support), (2, None, OsSupport::Unknown));
}

#[test]
fn a_release_repairs_what_it_and_all_later_ones_do_not_have() {
    // Goal: the first release that removes a weakness for good. Method: releases where it goes, comes back, goes again.
    let (world, _) = world();
    let mut holdings = Holdings::default();
    holdings.put(device(1), &inventory("12", &[("pump", "1-1")]));
    let group = world.index.group_of("CVE-2024-0001").expect("known");
    let shipped = |counter: u64, has: bool| {
        let mut open = Open::default();
        open.add(group, if has { "pump" } else { "valve" });
        Shipped { release: alloc::format!("vp-3/{counter}"), counter, packages: Some(open), model: None }
    };
    let fixed = |releases: &[Shipped]| {
        let exposed = expose(&world, &holdings, 1, &key("9"), releases);
        let one = exposed.exposures.into_iter().find(|one| one.id == "CVE-2024-0001").expect("affected");
        one.fixed_in.zip(one.fixed_counter)
    };
    let named = |counter: u64| Some((alloc::format!("vp-3/{counter}"), counter));
    assert_eq!(fixed(&[]), None);
    assert_eq!(fixed(&[shipped(41, false)]), None, "it runs that one");
    assert_eq!(fixed(&[shipped(42, false), shipped(43, false)]), named(42));
    assert_eq!(fixed(&[shipped(42, false), shipped(43, true), shipped(44, false)]), named(44));
    assert_eq!(fixed(&[shipped(42, false), shipped(43, true)]), None);
}

#[test]
fn an_advisory_finds_its_devices_by_any_of_its_names() {
    // Goal: from an advisory to devices, each with what the answer stands on. Method: four devices, four answers.
    let (world, _) = world();
    let mut holdings = Holdings::default();
    holdings.put(device(1), &inventory("12", &[("pump", "1-1")]));
    holdings.put(device(2), &inventory("12", &[("pump", "2-1")]));
    holdings.put(device(3), &inventory("12", &[("pump", "x y")]));
    holdings.put(device(4), &inventory("12", &[("valve", "1")]));
    for name in ["CVE-2024-0001", "DSA-1-1"] {
        let topic = world.topic(name).expect("known");
        let rows = world.components_about(&holdings, &topic);
        let devices = devices_with(&holdings, &rows);
        let words: Vec<_> =
            devices.iter().map(|(id, (_, row))| (*id, row.answer, row.bound.as_deref())).collect();
        let wanted = [
            (device(1), Word::Affected, Some("2-1")),
            (device(2), Word::Fixed, Some("2-1")),
            (device(3), Word::Unknown, None),
        ];
        assert_eq!(words, wanted, "{name}");
    }
    let topic = world.topic("ICSMA-24-001-01").expect("known");
    assert_eq!((topic.names.len(), topic.groups.len()), (2, 1));
    assert_eq!(world.topic("CVE-1999-0001"), None);
}

#[test]
fn statements_that_meet_nothing_can_be_told() {
    // Goal: no statement does nothing in silence. Method: one that speaks of a finding, one of a weakness that nobody has.
    let (mut world, _) = world();
    let component = Component::new(crate::matching::ecosystem::Ecosystem::debian("12"), "pump", "1-1")
        .with_binary("pump");
    let thing = crate::feeds::vex::subject::Thing::of_component(&component);
    for name in ["CVE-2024-0001", "CVE-2024-0002"] {
        world.meet(&[name], &thing, None);
    }
    assert_eq!(world.ledger.counts(), (2, 1));
    let silent: Vec<_> =
        world.ledger.silent().map(|(statement, _, met)| (statement.names[0].clone(), met.word())).collect();
    assert_eq!(silent, [("CVE-2024-0009".to_string(), "no-such-finding")]);
    let row = world.rows(&component).into_iter().find(|row| row.id == "CVE-2024-0002").expect("affected");
    assert_eq!((row.answer, row.advisory.as_str()), (Word::Affected, "CVE-2024-0002"));
    let stated = world.stated(&["CVE-2024-0002"], || thing.clone(), None).expect("a statement");
    assert_eq!((stated.status, stated.issuer.as_str()), ("not_affected", "Halden"));
}
