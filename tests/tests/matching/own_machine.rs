//! This machine's own packages: what debsecan and our matcher say of them, by the very same table of Debian's repairs.
//!
//! The table (facts of the security tracker up to April 2023) knows releases 3.0 to 11. A newer machine has what they
//! repaired; so its packages are asked once as they are, and once each set back to a version of the table.

use std::collections::{BTreeMap, BTreeSet};

use cordon_server_core::matching::debian;
use cordon_server_core::matching::dpkg;
use cordon_server_core::matching::ecosystem::Ecosystem;
use cordon_server_core::matching::index::{Builder, Index};
use cordon_sim::debsecan::{Judge, Line, Tally, feed, ours};
use cordon_sim::skip::{self, require_package};

use super::{data, say, text};

const STATUS: &str = "/var/lib/dpkg/status";

/// The rows of the table by release: debsecan's lines of those that name a version.
fn lines(table: &str) -> BTreeMap<String, Vec<Line>> {
    let mut lines: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    for row in table.lines().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        let &[release, source, cve, fixed, advisory] = cells.as_slice() else { panic!("{row}") };
        if fixed.starts_with('<') {
            continue;
        }
        lines.entry(release.to_owned()).or_default().push(Line {
            weakness: if cve.is_empty() { advisory } else { cve }.to_owned(),
            source: source.to_owned(),
            flags: ['H', '?', 'F'],
            unstable: fixed.to_owned(),
            other: Vec::new(),
        });
    }
    lines
}

fn index(table: &str) -> Index {
    let mut builder = Builder::default();
    let counts = debian::read(table.as_bytes(), &mut |advisory| builder.add(&advisory).expect("few"));
    assert!(counts.expect("a table").refused.is_empty(), "a row was refused");
    builder.finish().expect("few")
}

/// The database, each source that a release repaired in one of the versions around its repairs.
fn set_back(status: &str, lines: &[Line]) -> String {
    let mut rng = fastrand::Rng::with_seed(12);
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in lines {
        versions.entry(&line.source).or_default().push(&line.unstable);
    }
    let mut text = String::new();
    for entry in status.split("\n\n") {
        let field = |name: &str| entry.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let source = field("Source").or_else(|| field("Package")).unwrap_or_default();
        let source = source.split(' ').next().unwrap_or_default();
        match versions.get(source).and_then(|versions| rng.choice(versions)) {
            None => text.push_str(entry),
            Some(version) => {
                let (package, status) =
                    (field("Package").unwrap_or_default(), field("Status").unwrap_or_default());
                let before = if rng.bool() { "~" } else { "" };
                let version = format!("{version}{before}");
                text.push_str(&format!(
                    "Package: {package}\nStatus: {status}\nArchitecture: amd64\nSource: {source} ({version})\nVersion: {version}+b1"
                ));
            }
        }
        text.push_str("\n\n");
    }
    text.trim_end().to_owned() + "\n"
}

#[test]
fn this_machines_packages_are_judged_as_debsecan_judges_them() {
    // Goal: a real inventory, not a made-up one. Method: dpkg's database of this machine as it is and set back, by every
    // release of the table; what both list is told.
    let Some(debsecan) = require_package("debsecan") else { return };
    let Some(table) = data("debian-advisories/fixes.csv") else { return };
    let Ok(status) = std::fs::read(STATUS) else {
        skip::skip(&format!("no {STATUS}: this is no Debian"));
        return;
    };
    let status = String::from_utf8_lossy(&status).into_owned();
    let table = text(&table);
    let index = index(&table);
    let folder = tempfile::tempdir().expect("a folder");
    let judge = Judge { debsecan: &debsecan, feeds: folder.path() };
    let (mut as_it_is, mut back, mut unknown, mut rows) = (Tally::default(), Tally::default(), 0, 0);
    for (release, lines) in lines(&table) {
        std::fs::write(folder.path().join(&release), feed(&lines, &[])).expect("writes");
        rows += lines.len();
        for (status, tally) in [(status.clone(), &mut as_it_is), (set_back(&status, &lines), &mut back)] {
            let found = judged(judge, &release, &status, &index);
            unknown += found.1;
            tally.add(found.0);
        }
    }
    let packages = dpkg::read(&status, &Ecosystem::debian("12"));
    assert_eq!((packages.broken, packages.left_out), (0, 0), "an entry of this machine was not understood");
    say(&format!("this machine: {} packages by {rows} repairs: {as_it_is}", packages.components.len()));
    say(&format!(
        "this machine, set back to versions of the table: {back}; {unknown} unknown (a backport without a feed of its release, a bound that is no version)"
    ));
    assert!(as_it_is.is_alike(), "{as_it_is:?}");
    assert!(back.is_alike(), "{:?} {:?}", back.only_theirs, back.only_ours);
    assert!(back.both > 100, "{} pairs say little", back.both);
}

/// The two sides, and how many pairs are unknown to us: they count for neither.
fn judged(judge: Judge<'_>, release: &str, status: &str, index: &Index) -> (Tally, usize) {
    let file = judge.feeds.join("status");
    std::fs::write(&file, status).expect("writes");
    let theirs = judge.ask(release, &file).expect("debsecan judges");
    let ecosystem = Ecosystem::debian_by_name(release).expect("a release");
    let ours = ours(status, &ecosystem, index);
    let judged: BTreeSet<_> = theirs.difference(&ours.unknown).cloned().collect();
    (Tally::of(&judged, &ours.affected), ours.unknown.len())
}
