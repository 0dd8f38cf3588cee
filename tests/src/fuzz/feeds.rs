//! Feeding advisories, VEX and lists of devices.
//!
//! Whatever comes out keeps its promises: places that exist, reasons where they are owed, safe only beyond a bound. Read next:
//! [`super::targets`].

use std::sync::LazyLock;

use cordon_proto::ids::Name;
use cordon_proto::time::Timestamp;
use cordon_server_core::assets::{Arrival, plan};
use cordon_server_core::device::Device;
use cordon_server_core::exposure::Builder;
use cordon_server_core::feeds::archive::{self, BLOCK};
use cordon_server_core::feeds::asset::{Asset, Assets};
use cordon_server_core::feeds::devices::{Answer, Catalogue};
use cordon_server_core::feeds::intake::Tally;
use cordon_server_core::feeds::naming::Aliases;
use cordon_server_core::feeds::span::{Among, Versions};
use cordon_server_core::feeds::vex::Status;
use cordon_server_core::feeds::vex::cyclonedx::References;
use cordon_server_core::feeds::{csaf, eol, epss, kev, vex};

const CSAF: &str = r#"{"document":{"category":"csaf_vex","csaf_version":"2.0","publisher":{"name":"p"},"tracking":{"id":"A-1","current_release_date":"2024-01-01T00:00:00Z"}},
"product_tree":{"branches":[{"category":"vendor","name":"Maker","branches":[{"category":"product_name","name":"Pump 500","branches":[
{"category":"product_version_range","name":">= 1.0 | < 4.2","product":{"product_id":"A","name":"a"}},{"category":"product_version","name":"5","product":{"product_id":"B","name":"b"}}]}]}],
"relationships":[{"category":"installed_on","product_reference":"B","relates_to_product_reference":"A","full_product_name":{"product_id":"C","name":"c"}}],"product_groups":[{"group_id":"G","product_ids":["A"]}]},
"vulnerabilities":[{"cve":"CVE-2024-0001","product_status":{"known_affected":["A","C"],"known_not_affected":["B"]},"flags":[{"label":"component_not_present","product_ids":["B"]}],
"remediations":[{"category":"vendor_fix","details":"4.2","group_ids":["G"]}],"scores":[{"cvss_v3":{"vectorString":"CVSS:3.1/AV:N","baseScore":9.8},"products":["A"]}]}]}"#;

const OPENVEX: &str = r#"{"@context":"https://openvex.dev/ns/v0.2.0","@id":"V","author":"m","timestamp":"2024-01-01T00:00:00Z","statements":[
{"vulnerability":{"name":"CVE-2024-0001"},"products":[{"@id":"pkg:deb/debian/attr@1:2.4-2%2Bb1?distro=debian-12","subcomponents":[{"@id":"pkg:generic/x"}]}],"status":"not_affected","justification":"component_not_present"}]}"#;

const CYCLONEDX: &str = r#"{"bomFormat":"CycloneDX","serialNumber":"urn:uuid:aa","version":1,"metadata":{"component":{"bom-ref":"p","name":"Pump","version":"5"}},"components":[{"bom-ref":"c","name":"attr","purl":"pkg:deb/debian/attr@1"}],
"vulnerabilities":[{"id":"CVE-2024-0001","analysis":{"state":"not_affected","justification":"code_not_present"},"affects":[{"ref":"urn:cdx:aa/1#c","versions":[{"range":"vers:deb/<2|>=3","status":"affected"}]},{"ref":"p"}]}]}"#;

const KEV: &str = r#"{"catalogVersion":"1","dateReleased":"2024-05-01T17:04:19.9796Z","vulnerabilities":[{"cveID":"CVE-2024-0001","dateAdded":"2024-05-01","dueDate":"2024-05-22","knownRansomwareCampaignUse":"Known"}]}"#;

const EOL: &str = r#"[{"cycle":"12","releaseDate":"2023-06-10","support":true,"eol":"2028-06-30"},{"cycle":11,"eol":true}]"#;

const EPSS: &str =
    "#model_version:v1,score_date:2025-04-15T12:55:00Z\ncve,epss,percentile\nCVE-2024-0001,9.7e-05,0.1\n";

const LIST: &str =
    "Asset Tag;Manufacturer;Model;SW Version\nT1;Maker;PUMP-500;4.1\nT2;Maker, Inc.;Pump 500 MX400-550;n/a\n";

/// The names that ship: reading them would be most of a short input's time.
static ALIASES: LazyLock<Aliases> = LazyLock::new(Aliases::default);

/// Documents of advisories.
#[must_use]
pub fn advisories() -> Vec<Vec<u8>> {
    vec![CSAF.as_bytes().to_vec()]
}

/// Documents of VEX in each format.
#[must_use]
pub fn statements() -> Vec<Vec<u8>> {
    [OPENVEX, CYCLONEDX, CSAF].map(|text| text.as_bytes().to_vec()).into()
}

/// A catalogue, a table of scores, ends of life.
#[must_use]
pub fn tables() -> Vec<Vec<u8>> {
    [KEV, EOL, EPSS].map(|text| text.as_bytes().to_vec()).into()
}

/// Lists of devices.
#[must_use]
pub fn lists() -> Vec<Vec<u8>> {
    vec![LIST.as_bytes().to_vec()]
}

/// Folders of documents as they travel.
#[must_use]
pub fn folders() -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    for (name, text) in [("a/icsma.json", CSAF), ("debian.json", EOL)] {
        let length = u64::try_from(text.len()).unwrap_or_default();
        bytes.extend(archive::header(name, length).into_iter().flatten());
        bytes.extend_from_slice(text.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.extend_from_slice(&archive::ENDING);
    vec![bytes]
}

/// Reads a folder into a world, each member by every reader that takes documents one by one.
pub fn folder(input: &[u8]) -> bool {
    let (mut rest, mut builder, mut tally) = (input, Builder::default(), Tally::default());
    let mut members = 0_u64;
    while let Some((head, after)) = rest.split_first_chunk::<BLOCK>() {
        let Ok(Some(member)) = archive::member(head) else { break };
        let whole = member.length.checked_add(archive::filling(member.length));
        let Some(whole) = whole.and_then(|whole| usize::try_from(whole).ok()) else { return false };
        assert_eq!(whole % BLOCK, 0, "a member that ends amid a block");
        let Some((content, after)) = after.split_at_checked(whole) else { return false };
        let length = usize::try_from(member.length).unwrap_or(usize::MAX);
        let content = content.get(..length).expect("the filling is behind it");
        assert!(!member.name.chars().any(char::is_control), "a name that a terminal obeys");
        builder.csaf(&member.name, content, &mut tally);
        builder.eol(&member.name, content, &mut tally);
        let _ = builder.osv(&member.name, content, None, &mut tally);
        members += 1;
        rest = after;
    }
    let refused: u64 = tally.refused.values().sum();
    assert!(tally.records + refused >= members, "a document that is neither taken nor counted");
    builder.finish().is_ok() && tally.records > 0
}

/// Reads an advisory and asks it about a device.
pub fn advisory(input: &[u8]) -> bool {
    let Ok(advisory) = csaf::read(input) else { return false };
    let places = advisory.products.len();
    for weakness in &advisory.weaknesses {
        assert!(weakness.statuses.keys().all(|place| *place < places), "a product that is nowhere");
        assert!(weakness.scores.iter().all(|score| score.base_tenths <= 100), "a score above ten");
    }
    let asset =
        Asset { maker: "Maker".into(), model: "Pump 500".into(), version: "4.1".into(), ..Asset::default() };
    let catalogue = Catalogue::new(vec![advisory], ALIASES.clone());
    for verdict in catalogue.judge(&asset) {
        let lost = verdict.product.versions == Versions::NotUnderstood;
        assert!(!(lost && matches!(verdict.answer, Answer::Fixed | Answer::NotAffected)), "safe by nothing");
    }
    true
}

/// Reads VEX of any format.
pub fn statement(input: &[u8]) -> bool {
    let mut links = References::default();
    let _ = links.add(input);
    let Ok(document) = vex::read(input, &links) else { return false };
    let owes = |said: &vex::Statement| said.status == Status::NotAffected && said.reason.is_none();
    assert!(!document.statements.iter().any(owes), "not affected without a reason");
    true
}

/// Reads a catalogue, ends of life, or a table of scores.
pub fn table(input: &[u8]) -> bool {
    let mut scores = epss::Scores::default();
    let text = String::from_utf8_lossy(input);
    let taken = text.lines().all(|line| scores.row(&line.split(',').collect::<Vec<_>>()).is_ok());
    let scores = scores.finish().ok().filter(|_| taken);
    if let Some(scores) = &scores {
        assert!(scores.scores.values().all(|chance| chance.millionths <= 1_000_000), "a chance above one");
    }
    kev::read(input).is_ok() || eol::read(input).is_ok() || scores.is_some()
}

/// Reads a list of devices; each cell is also a range, a version and a name.
pub fn list(input: &[u8]) -> bool {
    let (text, mut assets) = (String::from_utf8_lossy(input), Assets::default());
    for line in text.lines() {
        let cells: Vec<&str> = line.split(';').collect();
        for pair in cells.windows(2) {
            let [a, b] = pair else { continue };
            let (range, makers) = (Versions::range(a), ALIASES.makers(a));
            let outside = matches!(range.among(Some(b)), Among::Above(_) | Among::Below(_));
            assert!(!outside || matches!(range, Versions::Ranges { .. }), "outside of nothing");
            let (one, other) = (ALIASES.model(a, &makers), ALIASES.model(b, &makers));
            let _ = one.likeness(&other);
        }
        if assets.row(&cells).is_err() {
            return false;
        }
    }
    let Ok(assets) = assets.finish() else { return false };
    let name: Name = "fuzz".parse().expect("a name");
    let arrival = Arrival { list: &name, site: None, now: Timestamp(0) };
    let first = plan(&assets, [], &arrival);
    let rows = assets.assets.len() + assets.left_out.len();
    assert_eq!(first.new.len() + first.refused.len(), rows, "a row is neither taken nor refused");
    let known: Vec<Device> = first.new.into_iter().map(|one| one.device).collect();
    let again = plan(&assets, &known, &arrival);
    assert!(again.new.is_empty() && again.changed.is_empty(), "the same list says something new");
    true
}
