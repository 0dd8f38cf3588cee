//! Feeding bills of materials and CVSS vectors.
//!
//! Whatever comes out is counted whole, is written as CycloneDX that reads as the same, and does not differ from itself. Read
//! next: [`super::targets`].

use cordon_server_core::cvss::Vector;
use cordon_server_core::sbom::drift::between;
use cordon_server_core::sbom::write::About;
use cordon_server_core::sbom::{self, Sbom};

const CYCLONEDX: &str = r#"{"bomFormat":"CycloneDX","specVersion":"1.5","serialNumber":"urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79","version":1,"metadata":{"timestamp":"2026-01-02T03:04:05Z","component":{"type":"firmware","bom-ref":"p","name":"Pump","version":"4.2"}},
"components":[{"type":"operating-system","name":"debian","version":"12"},{"type":"library","bom-ref":"a","group":"g","name":"libssl3","version":"3.0.11-1","purl":"pkg:deb/debian/libssl3@3.0.11-1?upstream=openssl","cpe":"cpe:2.3:a:openssl:openssl:3.0.11:*:*:*:*:*:*:*",
"licenses":[{"license":{"id":"Apache-2.0"}},{"expression":"MIT OR ISC"}],"components":[{"type":"file","bom-ref":"b","name":"x"}]},{"type":"application","bom-ref":"c","name":"@ward/pump","version":"1.0","purl":"pkg:npm/%40ward/pump"}],
"dependencies":[{"ref":"p","dependsOn":["a","c"]},{"ref":"a","dependsOn":["b"]},{"ref":"b","dependsOn":["a"]}]}"#;

const SPDX: &str = r#"{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","documentNamespace":"https://maker.example/d","creationInfo":{"created":"2026-01-02T03:04:05Z"},"documentDescribes":["SPDXRef-P"],
"packages":[{"SPDXID":"SPDXRef-P","name":"Pump","versionInfo":"4.2","primaryPackagePurpose":"FIRMWARE"},{"SPDXID":"SPDXRef-a","name":"bash","versionInfo":"5.1","licenseConcluded":"GPL-3.0-or-later","externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:rpm/redhat/bash@5.1-2?epoch=1"}]}],
"relationships":[{"spdxElementId":"SPDXRef-P","relationshipType":"CONTAINS","relatedSpdxElement":"SPDXRef-a"},{"spdxElementId":"SPDXRef-a","relationshipType":"DEPENDENCY_OF","relatedSpdxElement":"SPDXRef-P"}]}"#;

const TAGS: &str = "SPDXVersion: SPDX-2.2\nDocumentNamespace: https://maker.example/d\nCreated: 2026-01-02T03:04:05Z\nPackageName: musl\nSPDXID: SPDXRef-1\nPackageVersion: 1.2.4-r2\nPackageComment: <text>a\nb</text>\nPackageLicenseDeclared: MIT\nExternalRef: PACKAGE-MANAGER purl pkg:apk/alpine/musl@1.2.4-r2?distro=alpine-3.18.4\nPackageName: x\nSPDXID: SPDXRef-2\nRelationship: SPDXRef-1 DEPENDS_ON SPDXRef-2\nRelationship: SPDXRef-DOCUMENT DESCRIBES SPDXRef-2\n";

/// Vectors of each version with everything in them.
const VECTORS: [&str; 3] = [
    "CVSS:3.0/AV:L/AC:L/PR:H/UI:R/S:U/C:H/I:N/A:H/E:H/RL:W/RC:U/CR:H/IR:H/AR:M/MAV:L/MAC:L/MPR:H/MUI:N/MS:C/MC:N/MI:H/MA:L",
    "CVSS:3.1/AV:N/AC:H/PR:L/UI:N/S:C/C:L/I:L/A:N/E:P/MS:U/MA:H/CR:L",
    "CVSS:4.0/AV:P/AC:H/AT:P/PR:H/UI:A/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H/E:P/CR:L/IR:L/AR:M/MAV:A/MSI:S/S:P/AU:Y/R:I/V:C/RE:H/U:Amber",
];

/// Documents of each format.
#[must_use]
pub fn documents() -> Vec<Vec<u8>> {
    [CYCLONEDX, SPDX, TAGS].map(|text| text.as_bytes().to_vec()).into()
}

/// CVSS vectors.
#[must_use]
pub fn vectors() -> Vec<Vec<u8>> {
    VECTORS.map(|text| text.as_bytes().to_vec()).into()
}

/// Reads a bill of materials.
pub fn document(input: &[u8]) -> bool {
    let Ok(read) = sbom::read(input) else { return false };
    let counted = read.matchable();
    let with_purl = read.subject.iter().filter(|subject| subject.purl.is_some()).count();
    let all = counted.components.len() + counted.left_out.values().sum::<usize>();
    assert_eq!(all, read.components.len() + with_purl, "a component that is neither asked about nor counted");
    let text = read.cyclonedx(About::default());
    assert_eq!(text, read.cyclonedx(About::default()), "two documents of one");
    let again = sbom::read(text.as_bytes()).expect("what is written is read");
    let parts = |sbom: &Sbom| (sbom.components.len(), sbom.needs.len(), sbom.subject.is_some());
    assert_eq!(parts(&read), parts(&again), "something was lost on the way");
    assert!(between(&read, &again).is_none(), "a document differs from itself");
    true
}

/// Reads a CVSS vector.
pub fn vector(input: &[u8]) -> bool {
    let Some(vector) = std::str::from_utf8(input).ok().and_then(|text| Vector::parse(text).ok()) else {
        return false;
    };
    let scores = vector.scores();
    assert!(scores.base <= 100 && scores.threat <= scores.base && scores.whole <= 100, "{scores:?}");
    assert_eq!(Vector::parse(&vector.to_string()), Ok(vector), "its canonical form is another vector");
    true
}
