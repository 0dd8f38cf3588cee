//! Feeding what advisories and inventories say: records of feeds, versions, dpkg's database, an agent's rows, package URLs.
//!
//! What is read is written in our words and read again as the same, and what an index then answers keeps its promises: a
//! withdrawn record says nothing, and nobody is told a repair that does not repair. Every scheme reads every version, for a
//! hostile feed chooses the scheme too. Read next: [`super::targets`].

use std::cmp::Ordering;
use std::fmt::Write as _;

use cordon_proto::inventory::{Inventory, Row, Section};
use cordon_proto::limits;
use cordon_server_core::matching::advisory::Advisory;
use cordon_server_core::matching::component::{Component, ComponentSet};
use cordon_server_core::matching::ecosystem::Ecosystem;
use cordon_server_core::matching::index::Index;
use cordon_server_core::matching::purl::Purl;
use cordon_server_core::matching::verdict::Answer;
use cordon_server_core::matching::version::{Scheme, compare, is_valid};
use cordon_server_core::matching::{debian, dpkg, inventory, json, osv};
use fastrand::Rng;

use crate::debsecan::world::{Packages, World};

/// Statements of one input that are asked about: enough for every kind, and no input takes long.
const ASKED: usize = 8;

/// Versions of each scheme and its traps, three by three.
#[must_use]
pub fn versions() -> Vec<Vec<u8>> {
    let threes = [
        "1:2.0-1\n9.0\n1.0~rc1-1+deb12u2",
        "7.2-0\n7.2\n2147483647:1.2-3~bpo12+1",
        "3.1~rc1^git2-6.el9_4.1\n3.1\n1:3.1^",
        "3.2.1b_rc1_p2~abc123-r12\n3.2_alpha\n6.6.2p1-r",
        "v4.1.0-rc.1+build.7\n4.1\n4.1.0-rc.a",
        "1!3.1a1.post2.dev3+x.7\n3.1.dev4\n3.1-1",
        "1.18446744073709551616\n1.18446744073709551615\n1.09",
        "4.1.0.7-rc.1\n4.1.0\n04.1.0+x",
        "5.010\n5.09\n5.1_rc1_p1-r3",
    ];
    threes.map(|three| three.as_bytes().to_vec()).into()
}

/// Records as OSV publishes them: those of a made-up Debian, and one with everything in it.
#[must_use]
pub fn records() -> Vec<Vec<u8>> {
    let whole = r#"{"schema_version":"1.7.0","id":"GHSA-1","aliases":["CVE-2024-0001","PYSEC-1"],"upstream":["CVE-2024-0002"],
        "withdrawn":null,"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N"}],"affected":[
        {"package":{"ecosystem":"PyPI","name":"Pump.Kit"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"1.0"},
        {"last_affected":"2.0rc1"},{"introduced":"3"},{"fixed":"3.1"}]}],"versions":["0.9","1!1"]},
        {"package":{"ecosystem":"npm","name":"@ward/pump"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},
        {"limit":"2.0.0"},{"limit":"*"}]},{"type":"GIT","repo":"x","events":[{"introduced":"0"}]}]},
        {"package":{"ecosystem":"Red Hat:9","name":"pump"},"ranges":[{"type":"ECOSYSTEM","events":[{"fixed":"0:1.2-3.el9"}]}]}]}"#;
    let taken_back = r#"{"id":"X-1","withdrawn":"2024-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"Alpine:v3.19","name":"p"},
        "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1-r1"}]}]}]}"#;
    let mut records = World::random(3, 2).records();
    records.extend([whole, taken_back].map(str::to_owned));
    records.into_iter().map(String::into_bytes).collect()
}

/// Debian's data in both forms.
#[must_use]
pub fn debian_feeds() -> Vec<Vec<u8>> {
    let worlds = [World::random(5, 2), World::random(6, 1)];
    worlds.iter().flat_map(|world| [world.tracker(), world.table()]).map(String::into_bytes).collect()
}

/// dpkg's databases.
#[must_use]
pub fn databases() -> Vec<Vec<u8>> {
    let world = World::random(7, 3);
    let status = |suite| world.inventory(&mut Rng::with_seed(7), suite, Packages::Own).status.into_bytes();
    (0..3).map(status).collect()
}

/// Rows as `cordon-agent inventory` prints them.
#[must_use]
pub fn rows() -> Vec<Vec<u8>> {
    let row = |section, key: &str, fields: &[&str]| {
        let fields = fields.iter().map(|field| (*field).to_owned()).collect();
        let row = Row { section, key: cordon_proto::ids::Text::lossy(key), fields };
        serde_json::to_string(&row).unwrap_or_default() + "\n"
    };
    let host = |id: &str, version: &str| {
        row(Section::System, "id", &[id])
            + &row(Section::System, "version-id", &[version])
            + &row(Section::Package, "deb/libpump2/arm64", &["1:2-3+b1", "pump", "1:2-3"])
            + &row(Section::Package, "strange/x/y", &["1"])
            + &row(Section::Unread, "var/lib/x", &["no"])
    };
    [host("debian", "12"), host("raspbian", "12"), host("", "")].map(String::into_bytes).into()
}

/// Package URLs of each type in use, a line each.
#[must_use]
pub fn package_urls() -> Vec<Vec<u8>> {
    let urls = [
        "pkg:deb/debian/libpump2@1:2-3%2Bb1?arch=amd64&distro=debian-12.5&upstream=pump%401:2-3",
        "pkg:rpm/almalinux/pump@1.2-3.el9?epoch=1&upstream=pump-1.2-3.el9.src.rpm&distro=almalinux-9",
        "pkg:apk/alpine/pump@1.2-r3?distro=alpine-3.19.1",
        "pkg:npm/%40ward/pump@1.2.3#lib/./a/../b",
        "pkg:golang/example.org/ward/pump@v1.2.3",
        "pkg:maven/org.ward/pump@1.2?classifier=sources&type=pom",
        "pkg:PyPI/Pump_Kit@1.0rc1",
        "pkg:generic/a%20b@1%2F2?checksum=sha256:ab,sha1:cd&url=https:%2F%2Fx%2Fy",
    ];
    urls.map(|url| url.as_bytes().to_vec()).into()
}

/// Compares the versions of an input in every scheme, and says whether one finds them all valid.
pub fn version(input: &[u8]) -> bool {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.lines();
    let three = [(); 3].map(|()| lines.next().unwrap_or_default());
    Scheme::ALL.map(|scheme| judge(scheme, three)).contains(&true)
}

/// An order turned round is the order backwards, and three valid versions stand in one line.
fn judge(scheme: Scheme, [a, b, c]: [&str; 3]) -> bool {
    for (left, right) in [(a, b), (b, c), (a, c)] {
        let forth = compare(scheme, left, right);
        assert_eq!(forth, compare(scheme, right, left).map(Ordering::reverse), "{scheme:?}: turned round");
        let same = compare(scheme, left, left).is_none_or(Ordering::is_eq);
        assert!(same, "{scheme:?}: it is not itself");
        let valid = is_valid(scheme, left) && is_valid(scheme, right);
        assert!(!valid || forth.is_some(), "{scheme:?}: two versions without an order");
    }
    let valid = [a, b, c].iter().all(|version| is_valid(scheme, version));
    if valid {
        let mut line = [a, b, c];
        line.sort_by(|a, b| compare(scheme, a, b).unwrap_or(Ordering::Equal));
        let [first, middle, last] = line;
        for (low, high) in [(first, middle), (middle, last), (first, last)] {
            assert!(
                compare(scheme, low, high).is_some_and(Ordering::is_le),
                "{scheme:?}: {low} {high}: a circle"
            );
        }
    }
    valid
}

/// A record of OSV.
pub fn record(input: &[u8]) -> bool {
    let Ok(read) = osv::read(input) else { return false };
    says_the_same(&read.advisory);
    let of = |text: &String| text.bytes().all(|byte| byte.is_ascii_graphic());
    assert!(of(&read.advisory.id) && read.advisory.aliases.iter().all(of), "a name that nobody can show");
    ask(std::slice::from_ref(&read.advisory));
    true
}

/// Debian's data.
pub fn debian_feed(input: &[u8]) -> bool {
    let mut advisories: Vec<Advisory> = Vec::new();
    let Ok(counts) = debian::read(input, &mut |advisory| advisories.push(advisory)) else { return false };
    let statements: usize = advisories.iter().map(|advisory| advisory.affected.len()).sum();
    assert_eq!(counts.records, statements, "what was handed out is not what was counted");
    for advisory in &advisories {
        says_the_same(advisory);
        assert!(advisory.affected.iter().all(|said| said.ecosystem.family() == "Debian"));
        assert!(advisory.affected.iter().all(|said| !said.ecosystem.lacks_release()), "of no release");
    }
    ask(&advisories);
    statements > 0
}

/// dpkg's database: what is read of it is named and versioned, and reads the same once written again.
pub fn database(input: &[u8]) -> bool {
    let place = Ecosystem::debian("12");
    let packages = dpkg::read(&String::from_utf8_lossy(input), &place);
    let mut text = String::new();
    for component in &packages.components {
        let fits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        assert!(fits(&component.name) && fits(&component.version), "{component:?}");
        let binary = component.binaries.first().map(String::as_str).unwrap_or_default();
        let (name, version) = (&component.name, &component.version);
        let _ = write!(
            text,
            "Package: {binary}\nStatus: install ok installed\nArchitecture: all\nSource: {name} ({version})\nVersion: {version}\n\n"
        );
    }
    let again = dpkg::read(&text, &place);
    assert_eq!(again.components, packages.components, "it reads differently");
    assert_eq!(again.broken, 0);
    !packages.components.is_empty()
}

/// An agent's rows: each package is a component or counted, and none is placed where its host does not stand.
pub fn row_lines(input: &[u8]) -> bool {
    let lines = input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let Ok(rows) = lines.map(|line| json::read::<Row>(line, line.len())).collect::<Result<Vec<_>, _>>()
    else {
        return false;
    };
    for row in &rows {
        let text = serde_json::to_string(row).expect("a row is JSON");
        assert_eq!(serde_json::from_str::<Row>(&text).as_ref().ok(), Some(row), "it reads differently");
    }
    let inventory = Inventory::new(rows);
    let found = inventory::components(&inventory);
    let packages = inventory.section(Section::Package).count();
    assert_eq!(found.components.len() + found.not_understood, packages, "a package is gone");
    if let Ok(place) = &found.place {
        assert!(found.components.iter().all(|component| component.ecosystem == *place));
    }
    let placed = |component: &Component| {
        component.ecosystem.family() == "Debian" && !component.ecosystem.lacks_release()
    };
    let debian = inventory.field(Section::System, "id") == Some("debian");
    assert!(debian || !found.components.iter().any(placed), "a derivative is its parent");
    !found.components.is_empty()
}

/// A package URL: written in its one form it reads as the same, and the forgiving reader reads what the strict one reads.
pub fn package_url(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let (strict, forgiving) = (Purl::parse(text), Purl::canonical(text));
    if let Ok(purl) = &strict {
        assert_eq!(forgiving.as_ref(), Ok(purl), "two readers differ");
    }
    let Ok(purl) = forgiving else { return false };
    let written = purl.to_string();
    // Percent signs make it longer than what was read, and then it may be too long to be read again.
    if written.len() <= limits::PURL_CHARS {
        assert_eq!(Purl::parse(&written).as_ref(), Ok(&purl), "{written}: it reads differently");
    }
    if let Some(component) = purl.component() {
        assert!(!component.version.is_empty() && !component.name.is_empty(), "{component:?}");
    }
    true
}

/// Our own form, there and back.
fn says_the_same(advisory: &Advisory) {
    let text = serde_json::to_string(advisory).expect("an advisory is JSON");
    assert_eq!(&serde_json::from_str::<Advisory>(&text).expect("our own writing is readable"), advisory);
}

/// Asks about the packages that advisories name, at the versions that they name.
fn ask(advisories: &[Advisory]) {
    let Ok(index) = Index::build(advisories) else { return };
    let withdrawn = advisories.iter().filter(|advisory| advisory.withdrawn).count();
    assert_eq!(index.counts().withdrawn, withdrawn);
    for affected in advisories.iter().flat_map(|advisory| &advisory.affected).take(ASKED) {
        let bounds = affected.ranges.iter().flat_map(|range| &range.events).map(|event| event.parts().1);
        for version in bounds.chain(affected.versions.iter().map(String::as_str)).chain(["1"]).take(ASKED) {
            repairs_repair(&index, &affected.ecosystem, (&affected.name, version));
        }
    }
    if withdrawn == advisories.len() {
        assert_eq!(index.counts().statements, 0, "what was taken back still speaks");
    }
}

/// Who installs the repair that an answer names is not affected by the same weakness any more.
fn repairs_repair(index: &Index, place: &Ecosystem, (name, version): (&str, &str)) {
    if version.contains("~bpo") {
        // A backport is judged by another release, and so is its repair.
        return;
    }
    let set = |version: &str| ComponentSet::new(vec![Component::new(place.clone(), name, version)]);
    let before = set(version);
    for verdict in index.matches(&before).verdicts {
        let Answer::Affected { fixed: Some(fixed) } = verdict.answer else { continue };
        let after = set(fixed);
        let again = index.matches(&after);
        let still = again.verdicts.iter().find(|other| other.group == verdict.group);
        let affected = still.is_some_and(|other| matches!(other.answer, Answer::Affected { .. }));
        assert!(!affected, "{name} {version}: {fixed} does not repair {}", verdict.group);
    }
}
