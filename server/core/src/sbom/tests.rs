//! Each format, each refusal, what is asked about, what is written, what differs.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use cordon_proto::ids::Text;
use cordon_proto::inventory::{Inventory, Row, Section};
use proptest::prelude::*;

use super::write::About;
use super::*;
use crate::matching::component::ComponentSet;
use crate::matching::inventory;

const CYCLONEDX: &str = r#"{"bomFormat":"CycloneDX","specVersion":"1.5","serialNumber":"urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79","version":7,
"metadata":{"timestamp":"2026-01-02T03:04:05Z","tools":[{"name":"x"}],"component":{"type":"firmware","bom-ref":"pump","name":"Pump 500","version":"4.2","components":[{"type":"file","bom-ref":"f","name":"a.bin"}]}},
"components":[
 {"type":"operating-system","bom-ref":"os","name":"debian","version":"12"},
 {"type":"library","bom-ref":"ssl","name":"libssl3","version":"3.0.11-1","purl":"pkg:deb/debian/libssl3@3.0.11-1?arch=arm64&upstream=openssl","cpe":"cpe:2.3:a:openssl:openssl:3.0.11:*:*:*:*:*:*:*",
  "licenses":[{"license":{"id":"Apache-2.0"}}],"properties":[{"name":"x","value":"y"}],"hashes":[{"alg":"MD5","content":"0"}],
  "components":[{"type":"library","bom-ref":"ssl2","name":"bundled","purl":"pkg:generic/zlib@1.2.13","components":[{"type":"library","name":"in-house"}]}]},
 {"type":"strange","name":"@ward/pump","group":"ward","version":"1.0.0","purl":"pkg:npm/%40ward/pump","licenses":[{"expression":"MIT OR Apache-2.0"},{"license":{"name":"Ours"}}]},
 {"type":"library","bom-ref":"bad","name":"bad","purl":"no purl"}],
"dependencies":[{"ref":"pump","dependsOn":["ssl","bad"]},{"ref":"ssl","dependsOn":["ssl2","ssl2","nobody"]},{"ref":"ssl2","dependsOn":["bad"]},{"ref":"bad","dependsOn":["ssl","bad","pump"]}],
"vulnerabilities":[{"id":"CVE-2024-0001"}]}"#;

const SPDX: &str = r#"{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","name":"d","documentNamespace":"https://maker.example/pump-4.2","creationInfo":{"created":"2026-01-02T03:04:05Z","creators":["Tool: x"]},
"packages":[{"SPDXID":"SPDXRef-Pump","name":"Pump 500","versionInfo":"4.2","primaryPackagePurpose":"FIRMWARE","downloadLocation":"NOASSERTION"},
{"SPDXID":"SPDXRef-a","name":"libssl3","versionInfo":"3.0.11-1","licenseConcluded":"NOASSERTION","licenseDeclared":"Apache-2.0","externalRefs":[{"referenceCategory":"SECURITY","referenceType":"cpe23Type","referenceLocator":"cpe:2.3:a:openssl:openssl:3.0.11:*:*:*:*:*:*:*"},{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:deb/debian/libssl3@3.0.11-1?distro=debian-12&upstream=openssl"}]},
{"SPDXID":"SPDXRef-b","name":"in-house","versionInfo":"NOASSERTION"}],
"files":[{"SPDXID":"SPDXRef-File","fileName":"x"}],
"relationships":[{"spdxElementId":"SPDXRef-DOCUMENT","relationshipType":"DESCRIBES","relatedSpdxElement":"SPDXRef-Pump"},{"spdxElementId":"SPDXRef-Pump","relationshipType":"CONTAINS","relatedSpdxElement":"SPDXRef-a"},
{"spdxElementId":"SPDXRef-b","relationshipType":"DEPENDENCY_OF","relatedSpdxElement":"SPDXRef-a"},{"spdxElementId":"SPDXRef-a","relationshipType":"CONTAINS","relatedSpdxElement":"SPDXRef-File"},{"spdxElementId":"SPDXRef-a","relationshipType":"OTHER","relatedSpdxElement":"SPDXRef-b"}]}"#;

const TAGS: &str = "SPDXVersion: SPDX-2.3
DataLicense: CC0-1.0
SPDXID: SPDXRef-DOCUMENT
DocumentNamespace: https://maker.example/pump-4.2
Created: 2026-01-02T03:04:05Z
# a comment
PackageName: Pump 500
SPDXID: SPDXRef-Pump
PackageVersion: 4.2
PrimaryPackagePurpose: FIRMWARE
PackageName: libssl3
SPDXID: SPDXRef-a
PackageVersion: 3.0.11-1
PackageComment: <text>many
PackageVersion: 9
lines</text>
PackageLicenseConcluded: NOASSERTION
PackageLicenseDeclared: Apache-2.0
ExternalRef: SECURITY cpe23Type cpe:2.3:a:openssl:openssl:3.0.11:*:*:*:*:*:*:*
ExternalRef: PACKAGE-MANAGER purl pkg:deb/debian/libssl3@3.0.11-1?distro=debian-12&upstream=openssl
FileName: ./x
SPDXID: SPDXRef-File
PackageName: in-house
SPDXID: SPDXRef-b
PackageVersion: NOASSERTION
Relationship: SPDXRef-DOCUMENT DESCRIBES SPDXRef-Pump
Relationship: SPDXRef-Pump CONTAINS SPDXRef-a
Relationship: SPDXRef-b DEPENDENCY_OF SPDXRef-a
";

fn whole(text: &str) -> Sbom {
    read(text.as_bytes()).unwrap_or_else(|why| panic!("{why}: {text}"))
}

fn needs(sbom: &Sbom) -> Vec<(Option<u32>, u32)> {
    sbom.needs.iter().map(|need| (need.who, need.what)).collect()
}

#[test]
fn cyclonedx_is_read_with_all_that_lies_inside() {
    // Goal: nested parts are parts, references are resolved once, what is odd is told. Method: a document with each of it.
    let sbom = whole(CYCLONEDX);
    assert_eq!((sbom.format.word(), sbom.version.as_str()), ("CycloneDX", "1.5"));
    assert_eq!(sbom.made, Timestamp::parse("2026-01-02T03:04:05Z").ok());
    assert_eq!(sbom.subject.as_ref().map(|subject| subject.name.as_str()), Some("Pump 500"));
    let names: Vec<&str> = sbom.components.iter().map(|component| component.name.as_str()).collect();
    assert_eq!(names, ["a.bin", "debian", "in-house", "bundled", "libssl3", "@ward/pump", "bad"]);
    assert_eq!(sbom.components[4].licences, ["Apache-2.0"]);
    assert_eq!(needs(&sbom), [(None, 4), (None, 6), (Some(3), 6), (Some(4), 3), (Some(6), 4)]);
    let told =
        [("in-a-circle", 3), ("other-type", 1), ("reference-to-itself", 2), ("reference-to-nothing", 1)];
    assert_eq!(sbom.told, told.into());
}

#[test]
fn both_notations_of_spdx_say_the_same() {
    // Goal: one meaning. Method: the same document twice, and what it says.
    let (sbom, tags) = (whole(SPDX), whole(TAGS));
    assert_eq!(Sbom { format: Format::SpdxTags, ..sbom.clone() }, tags);
    assert_eq!(
        sbom.subject.as_ref().map(|subject| (subject.kind, subject.name.as_str())),
        Some((Kind::Firmware, "Pump 500"))
    );
    assert_eq!(needs(&sbom), [(None, 0), (Some(0), 1)]);
    assert_eq!(
        (sbom.components[0].licences.as_slice(), sbom.components[1].version.as_ref()),
        (&["Apache-2.0".to_string()][..], None)
    );
    assert!(sbom.told.is_empty() && sbom.serial.is_some(), "{sbom:?}");
}

#[test]
fn what_is_not_read_is_refused_with_a_word() {
    // Goal: no half of a document, and a word to count by. Method: each kind of what comes in.
    let deep = format!("{{\"bomFormat\":\"CycloneDX\",\"x\":{}}}", "[".repeat(100));
    for (text, word) in [
        ("", "other-form"),
        ("hello", "other-form"),
        ("<bom xmlns=\"http://cyclonedx.org/schema/bom/1.4\"/>", "xml"),
        ("\u{feff}  <bom/>", "xml"),
        (&deep, "too-deep"),
        ("{\"bomFormat\":", "no-json"),
        ("{}", "other-form"),
        ("{\"bomFormat\":\"Other\"}", "other-form"),
        ("{\"@context\":\"https://spdx.org/rdf/3.0.1/spdx-context.jsonld\",\"@graph\":[]}", "spdx-3"),
        (&CYCLONEDX.replace("\"1.5\"", "\"1.7\""), "other-version"),
        (&CYCLONEDX.replace("\"1.5\"", "\"1.1\""), "other-version"),
        (&SPDX.replace("SPDX-2.3", "SPDX-2.1"), "other-version"),
        (&TAGS.replace("SPDX-2.3", "SPDX-3.0"), "other-version"),
        (&CYCLONEDX.replace("\"name\":\"debian\"", "\"name\":7"), "other-form"),
        (&SPDX.replace("\"name\":\"in-house\",", ""), "other-form"),
        (&format!("{CYCLONEDX} x"), "no-json"),
    ] {
        assert_eq!(read(text.as_bytes()).map_err(|why| why.word()), Err(word), "{text}");
    }
    let long = vec![b' '; usize::try_from(limits::SBOM_BYTES).expect("it fits") + 1];
    assert_eq!(read(&long), Err(Refused::TooLong));
}

#[test]
fn more_parts_than_are_read_are_refused_while_they_are_read() {
    // Goal: memory ends where we say, nested or not. Method: one more than the limit in each place where parts stand.
    let many = |one: &str, count: usize| vec![one; count].join(",");
    let most = limits::SBOM_COMPONENTS;
    let bom = |components: &str, rest: &str| {
        format!("{{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.6\",\"components\":[{components}]{rest}}}")
    };
    let word =
        |text: String| read(text.as_bytes()).map(|sbom| sbom.components.len()).map_err(|why| why.word());
    assert_eq!(word(bom(&many("{}", most), "")), Ok(most));
    assert_eq!(word(bom(&many("{}", most + 1), "")), Err("too-many"));
    let half = format!("{{\"components\":[{}]}}", many("{}", most / 2));
    assert_eq!(word(bom(&many(&half, 2), "")), Err("too-many"), "halves that nest");
    let edges = format!("{{\"ref\":\"a\",\"dependsOn\":[{}]}}", many("\"b\"", most));
    assert_eq!(word(bom("{}", &format!(",\"dependencies\":[{}]", many(&edges, 11)))), Err("too-many"));
    let package = "{\"SPDXID\":\"a\",\"name\":\"b\"}";
    let spdx = |count| format!("{{\"spdxVersion\":\"SPDX-2.3\",\"packages\":[{}]}}", many(package, count));
    assert_eq!(word(spdx(most)), Ok(most));
    assert_eq!(word(spdx(most + 1)), Err("too-many"));
    assert_eq!(
        word("SPDXVersion: SPDX-2.2\n".to_string() + &"PackageName: a\n".repeat(most + 1)),
        Err("too-many")
    );
}

#[test]
fn a_long_chain_and_a_great_circle_cost_their_length() {
    // Goal: no stack and no square of time by references. Method: fifty thousand parts in a line, then the line closed.
    let count = 50_000;
    let parts: Vec<String> =
        (0..count).map(|at| format!("{{\"bom-ref\":\"{at}\",\"name\":\"n\"}}")).collect();
    let mut edges: Vec<String> =
        (1..count).map(|at| format!("{{\"ref\":\"{}\",\"dependsOn\":[\"{at}\"]}}", at - 1)).collect();
    let bom = |edges: &[String]| {
        let (parts, edges) = (parts.join(","), edges.join(","));
        whole(&format!(
            "{{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.6\",\"components\":[{parts}],\"dependencies\":[{edges}]}}"
        ))
    };
    assert!(bom(&edges).told.is_empty());
    edges.push(format!("{{\"ref\":\"{}\",\"dependsOn\":[\"0\"]}}", count - 1));
    assert_eq!(bom(&edges).told, [("in-a-circle", count)].into());
}

#[test]
fn what_nobody_can_be_asked_about_is_counted_and_never_safe() {
    // Goal: each component is asked about or counted. Method: the document above; one without an operating system.
    let matchable = whole(CYCLONEDX).matchable();
    let shown: Vec<_> = matchable
        .components
        .iter()
        .map(|component| format!("{} {} {}", component.ecosystem, component.name, component.version))
        .collect();
    assert_eq!(shown, ["generic zlib 1.2.13", "Debian:12 openssl 3.0.11-1", "npm @ward/pump 1.0.0"]);
    assert_eq!(matchable.left_out, [("bad-purl", 1), ("no-purl", 1), ("not-a-package", 2)].into());
    assert_eq!(matchable.without_release, 0);
    for (find, replace) in
        [("\"operating-system\"", "\"data\""), ("\"name\":\"debian\"", "\"name\":\"ubuntu\"")]
    {
        let text = CYCLONEDX.replacen(find, replace, 1);
        assert_eq!(
            whole(&text).matchable().without_release,
            1,
            "the release of another is not taken: {replace}"
        );
    }
    let neighbour = CYCLONEDX
        .replacen("\"name\":\"debian\"", "\"name\":\"rocky\"", 1)
        .replace("deb/debian", "rpm/almalinux");
    assert_eq!(whole(&neighbour).matchable().without_release, 1, "nor that of a rebuild of the same");
    let versionless = CYCLONEDX.replace("zlib@1.2.13", "zlib");
    assert_eq!(whole(&versionless).matchable().left_out.get("no-version"), Some(&1));
}

const WRITTEN: &str = r#"{"$schema":"http://cyclonedx.org/schema/bom-1.6.schema.json","bomFormat":"CycloneDX","specVersion":"1.6","serialNumber":"urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79","version":1,"metadata":{"timestamp":"1970-01-01T00:00:09Z","tools":{"components":[{"type":"application","name":"cordon","version":"0"}]},"component":{"type":"firmware","bom-ref":"SPDXRef-Pump","name":"Pump 500","version":"4.2"}},"components":[{"type":"library","bom-ref":"SPDXRef-a","name":"libssl3","version":"3.0.11-1","licenses":[{"expression":"Apache-2.0"}],"cpe":"cpe:2.3:a:openssl:openssl:3.0.11:*:*:*:*:*:*:*","purl":"pkg:deb/debian/libssl3@3.0.11-1?distro=debian-12&upstream=openssl"},{"type":"library","bom-ref":"SPDXRef-b","name":"in-house"}],"dependencies":[{"ref":"SPDXRef-Pump","dependsOn":["SPDXRef-a"]},{"ref":"SPDXRef-a","dependsOn":["SPDXRef-b"]}]}
"#;

#[test]
fn what_is_written_is_golden_and_reads_as_the_same() {
    // Goal: the same bytes for ever, nothing lost. Method: SPDX written as CycloneDX, golden, read and written again; the
    // larger document twice.
    let about = About {
        made: Some(Timestamp(9)),
        serial: Some("3E671687-395B-41F5-A30F-A58921A69B79"),
        program: "0",
    };
    let text = whole(SPDX).cyclonedx(about);
    assert_eq!(text, WRITTEN);
    assert_eq!(whole(&text).cyclonedx(about), text);
    assert!(!whole(SPDX).cyclonedx(About { serial: Some("7"), ..about }).contains("serialNumber"), "no UUID");
    let once = whole(CYCLONEDX).cyclonedx(About::default());
    for piece in [
        r#"{"name":"cordon:told:in-a-circle","value":"3"}"#,
        r#""licenses":[{"license":{"name":"MIT OR Apache-2.0"}},{"license":{"name":"Ours"}}]"#,
        r#""bom-ref":"pkg:npm/%40ward/pump""#,
    ] {
        assert!(once.contains(piece), "{piece} in {once}");
    }
    let again = whole(&once);
    assert_eq!(again.matchable().components.len(), whole(CYCLONEDX).matchable().components.len());
    assert_eq!(
        whole(&again.cyclonedx(About::default())).cyclonedx(About::default()),
        again.cyclonedx(About::default())
    );
}

fn row(section: Section, key: &str, fields: &[&str]) -> Row {
    Row { section, key: Text::lossy(key), fields: fields.iter().map(|field| (*field).to_string()).collect() }
}

fn rows() -> Vec<Row> {
    vec![
        row(Section::System, "id", &["debian"]),
        row(Section::System, "version-id", &["12"]),
        row(Section::Package, "deb/libssl3/arm64", &["3.0.11-1+b1", "openssl", "3.0.11-1"]),
        row(Section::Package, "deb/pumpd/arm64", &["1:2-3", "pump", "1:2-3"]),
        row(Section::Package, "deb/tzdata/all", &["2024a", "tzdata", "2024a"]),
        row(Section::Package, "strange/x/y", &["1"]),
        row(Section::Unread, "var/lib/x", &["no"]),
    ]
}

fn device() -> Component {
    Component {
        kind: Kind::Device,
        name: "Pump 500".into(),
        reference: "device".into(),
        ..Component::default()
    }
}

#[test]
fn a_device_as_found_is_matched_as_its_inventory_is() {
    // Goal: one answer, whichever way the packages come. Method: rows as components, and as a document written and read.
    let inventory = Inventory::new(rows());
    let found = found::of_inventory(&inventory, device());
    let told = [("rows-not-understood", 1), ("unread-by-the-agent", 1)];
    assert_eq!(found.told, told.into());
    let text = found.cyclonedx(About::default());
    assert_eq!(whole(&text).needs.len(), 4, "the device contains its system and its packages");
    let read = whole(&text).matchable();
    let direct = inventory::components(&inventory).components;
    let debian: Vec<_> =
        direct.into_iter().filter(|component| component.ecosystem.family() == "Debian").collect();
    assert_eq!(ComponentSet::new(read.components), ComponentSet::new(debian));
    assert!(
        text.contains("pkg:deb/debian/pumpd@1:2-3?arch=arm64&distro=debian-12&upstream=pump%401:2-3"),
        "{text}"
    );
}

#[test]
fn packages_of_every_kind_get_the_urls_of_scanners() {
    // Goal: shipped and found meet. Method: a row of each kind, on three hosts.
    let purls = |id: &str, key: &str, fields: &[&str]| {
        let rows = vec![
            row(Section::System, "id", &[id]),
            row(Section::System, "version-id", &["9.4"]),
            row(Section::Package, key, fields),
        ];
        let found = found::of_inventory(&Inventory::new(rows), device());
        found.components.iter().find_map(|component| component.purl.clone()).unwrap_or_default()
    };
    for (id, key, fields, wanted) in [
        (
            "rhel",
            "rpm/bash/x86_64",
            &["1:5.1-2.el9"][..],
            "pkg:rpm/redhat/bash@5.1-2.el9?arch=x86_64&distro=rhel-9.4&epoch=1",
        ),
        (
            "rocky",
            "rpm/ward/x86_64=1-1.el9",
            &["1-1.el9", "wards", "1-1.el9", "wards:3:9050:a75119d5"],
            "pkg:rpm/rocky/ward@1-1.el9?arch=x86_64&distro=rocky-9.4&rpmmod=wards:3:9050:a75119d5&upstream=wards%401-1.el9",
        ),
        (
            "alpine",
            "apk/musl-utils/x86_64",
            &["1.2.5-r0", "musl", ""],
            "pkg:apk/alpine/musl-utils@1.2.5-r0?arch=x86_64&distro=alpine-9.4&upstream=musl",
        ),
        (
            "openwrt",
            "opkg/dropbear/mips",
            &["2022.83-1"],
            "pkg:opkg/dropbear@2022.83-1?arch=mips&distro=openwrt-9.4",
        ),
        ("debian", "pypi/Pump_Kit/1.0", &["1.0"], "pkg:pypi/pump-kit@1.0"),
        ("debian", "npm/@ward/pump/1.0.0", &["1.0.0"], "pkg:npm/%40ward/pump@1.0.0"),
        ("debian", "deb/x/all", &[], ""),
    ] {
        assert_eq!(purls(id, key, fields), wanted, "{key}");
    }
}

#[test]
fn drift_tells_what_is_missing_extra_and_changed_and_what_was_not_compared() {
    // Goal: no difference and no blind spot is silent. Method: a device against a document that ships other things.
    let shipped = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[
        {"type":"library","name":"libssl3","purl":"pkg:deb/debian/libssl3@3.0.11-1?arch=arm64&distro=debian-12"},
        {"type":"library","name":"pumpd","version":"1:2-3","purl":"pkg:deb/debian/pumpd"},
        {"type":"library","name":"curl","purl":"pkg:deb/debian/curl@7"},
        {"type":"library","name":"ring","purl":"pkg:cargo/ring@0.17.0"},
        {"type":"library","name":"in-house"}]}"#;
    let drift = drift::between(&whole(shipped), &found::of_inventory(&Inventory::new(rows()), device()));
    let wanted = r#"{"missing":[{"purl":"pkg:deb/debian/curl","versions":["7"]}],"extra":[{"purl":"pkg:deb/debian/tzdata","versions":["2024a"]}],"changed":[{"purl":"pkg:deb/debian/libssl3","shipped":["3.0.11-1"],"found":["3.0.11-1+b1"]}],"same":1,"not_compared":{"shipped":{"kind-not-looked-for":1,"no-purl":1},"found":{"not-a-package":1,"rows-not-understood":1,"unread-by-the-agent":1}}}"#;
    assert_eq!(serde_json::to_string(&drift).expect("JSON"), wanted);
    let found = found::of_inventory(&Inventory::new(rows()), device());
    assert!(drift::between(&found, &found).is_none(), "a thing does not differ from itself");
    let other = Inventory::new(vec![row(Section::System, "id", &["alpine"])]);
    let gone = drift::between(&whole(shipped), &found::of_inventory(&other, device()));
    assert_eq!(gone.missing.len(), 3, "a host without any package lacks what was shipped");
    let epoch = |version: &str| {
        whole(&format!(
            "{{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.6\",\"components\":[{{\"name\":\"b\",\"purl\":\"pkg:rpm/redhat/b@{version}\"}}]}}"
        ))
    };
    assert!(
        drift::between(&epoch("5.1?epoch=1"), &epoch("1:5.1")).is_none(),
        "an epoch is one wherever it stands"
    );
    assert!(!drift::between(&epoch("5.1?epoch=1"), &epoch("5.1")).is_none(), "and is never lost");
}

proptest! {
    #[test]
    fn no_bytes_break_it(at in 0..CYCLONEDX.len(), byte: u8, cut in 0..CYCLONEDX.len()) {
        for text in [CYCLONEDX, SPDX, TAGS] {
            let mut bytes = text.as_bytes().to_vec();
            if let Some(old) = bytes.get_mut(at) {
                *old = byte;
            }
            let cut = cut.min(bytes.len());
            for bytes in [bytes.as_slice(), &text.as_bytes()[..cut]] {
                let Ok(sbom) = read(bytes) else { continue };
                let text = sbom.cyclonedx(About::default());
                let again = read(text.as_bytes()).expect("what we write we read");
                prop_assert_eq!(again.components.len(), sbom.components.len());
                prop_assert_eq!(again.needs.len(), sbom.needs.len());
                let counted = sbom.matchable();
                let with_purl = sbom.subject.iter().filter(|subject| subject.purl.is_some()).count();
                let all = counted.components.len() + counted.left_out.values().sum::<usize>();
                prop_assert_eq!(all, sbom.components.len() + with_purl);
            }
        }
    }
}
