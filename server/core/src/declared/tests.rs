//! Tests of declared files: each kind is told apart, closes only by knowledge, and an update raises nothing.

use alloc::borrow::ToOwned;
use alloc::vec;

use cordon_proto::ids::DeviceId;
use cordon_proto::inventory::Row;

use super::*;

/// A reading: a boot, a list, and the files that are not as it says.
fn reading(boot: &str, list: Option<&str>, files: &[(&str, &str, &str)]) -> Inventory {
    let row = |section, key: &str, fields: &[&str]| Row {
        section,
        key: Text::lossy(key),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
    };
    let mut rows = vec![row(Section::System, "boot-id", &[boot])];
    let value = match (files.iter().any(|(_, value, _)| *value == "no"), files.is_empty()) {
        (true, _) => "no",
        (false, true) => "yes",
        (false, false) => "unknown",
    };
    rows.extend(list.map(|list| row(Section::Posture, "declared-files", &[value, "2 of 4", list])));
    let differing = files.iter();
    rows.extend(differing.map(|(path, value, found)| {
        row(Section::Posture, &format!("declared-file/{path}"), &[value, found])
    }));
    Inventory::new(rows)
}

fn of<'a>(before: Option<&'a Inventory>, now: &'a Inventory) -> Reading<'a> {
    Reading { before, now, release: Some("vp-3/4.2.2"), at: Timestamp(1_800_000_000) }
}

fn open(finding: &Finding) -> triage::Record {
    triage::take_in(None, DeviceId::from_random([1; 16]), finding.clone(), finding.last).0
}

fn keys(found: &[Finding]) -> Vec<&str> {
    found.iter().map(|finding| finding.key.as_str()).collect()
}

const CHANGED: (&str, &str, &str) = ("opt/halden/bin/pump", "no", "ab12");
const SETTING: (&str, &str, &str) = ("etc/pump.conf", "no", "cd34");
const GONE: (&str, &str, &str) = ("opt/halden/alarm.wav", "no", "missing");
const CLOSED: (&str, &str, &str) = ("etc/pump.key", "unknown", "Permission denied (os error 13)");

#[test]
fn a_changed_a_missing_and_an_unreadable_file_are_told_apart() {
    // Goal: what happened, how grave, whose it is. Method: one of each, and a sound reading.
    let now = reading("b1", Some("list-1"), &[CHANGED, CLOSED, GONE, SETTING]);
    let found = of(None, &now).judge();
    let said: Vec<_> = found
        .iter()
        .map(|finding| {
            let attack: Vec<&str> = finding.attack.iter().map(|technique| technique.as_str()).collect();
            (finding.title.as_str(), finding.severity, attack, &*finding.evidence["owner"])
        })
        .collect();
    let expected = [
        ("Not as released: pump.conf", Severity::High, vec!["T1565.001"], "security"),
        ("Missing: alarm.wav", Severity::Medium, vec![], "security"),
        ("Not as released: pump", Severity::High, vec!["T1554"], "security"),
        ("Declared files cannot be checked", Severity::Low, vec![], "IT"),
    ];
    assert_eq!(said, expected);
    assert_eq!(found[2].evidence["release"], "vp-3/4.2.2");
    assert_eq!(found[2].evidence["found"], "ab12");
    assert_eq!(found[3].what_changed.as_str(), "/etc/pump.key: Permission denied (os error 13).");
    assert_eq!(of(None, &reading("b1", Some("list-1"), &[])).judge(), []);
    assert_eq!(of(None, &reading("b1", None, &[])).judge(), [], "no list, nothing promised");
}

#[test]
fn a_finding_closes_when_the_file_is_sound_and_never_because_it_cannot_be_read() {
    // Goal: unknown is not sound. Method: a changed file that becomes unreadable, whose list becomes unreadable, that is sound again.
    let changed = reading("b1", Some("list-1"), &[CHANGED]);
    let record = open(&of(None, &changed).judge()[0]);
    let over = |now: &Inventory| {
        let reading = of(Some(&changed), now);
        let found = reading.judge();
        reading.passed([&record], &found).count()
    };
    assert_eq!(over(&changed), 0, "it is still so");
    assert_eq!(over(&reading("b1", Some("list-1"), &[(CHANGED.0, "unknown", "too large")])), 0);
    let unread = Row {
        section: Section::Unread,
        key: Text::lossy(SOURCE),
        fields: vec!["Permission denied (os error 13)".to_owned()],
    };
    let unread = Inventory::new(vec![unread]);
    assert_eq!(over(&unread), 0);
    assert_eq!(keys(&of(Some(&changed), &unread).judge()), [UNREAD], "and no list that moved");
    assert_eq!(over(&reading("b1", Some("list-1"), &[GONE])), 1, "another file");
    assert_eq!(over(&reading("b1", Some("list-1"), &[])), 1);
    let other = triage::Record {
        finding: Finding { key: Text::lossy("health heat"), ..record.finding.clone() },
        ..record
    };
    let sound = reading("b1", Some("list-1"), &[]);
    assert_eq!(of(None, &sound).passed([&other], &[]).count(), 0, "another check's");
}

#[test]
fn after_an_update_the_new_list_judges_and_a_list_that_moves_alone_is_told() {
    // Goal: no alarm for an update, one for a list that somebody changed. Method: the same change of list over a restart and in one
    // run; a list that goes, over a restart and in one run; a device that cannot tell its runs apart.
    let before = reading("b1", Some("list-1"), &[CHANGED]);
    let found = |now: &Inventory| {
        of(Some(&before), now).judge().iter().map(|f| f.key.to_string()).collect::<Vec<_>>()
    };
    let updated = reading("b2", Some("list-2"), &[]);
    assert_eq!(found(&updated), [] as [&str; 0]);
    let record = open(&of(None, &before).judge()[0]);
    assert_eq!(
        of(Some(&before), &updated).passed([&record], &[]).count(),
        1,
        "the new list says that it is sound"
    );
    assert_eq!(found(&reading("b1", Some("list-2"), &[])), [LIST]);
    assert_eq!(found(&reading("b1", None, &[])), [LIST]);
    assert_eq!(found(&reading("b2", None, &[])), [] as [&str; 0], "a release without a list");
    assert_eq!(found(&reading("unknown", Some("list-2"), &[])), [] as [&str; 0]);
    let moved = reading("b1", Some("list-2"), &[]);
    let alarm = of(Some(&before), &moved).judge();
    assert_eq!(alarm[0].attack[0].as_str(), "T1562.001");
    let record = open(&alarm[0]);
    assert_eq!(of(Some(&moved), &moved).passed([&record], &[]).count(), 0, "a person looks at it");
}

#[test]
fn many_wrong_files_make_few_findings_and_one_that_counts_them() {
    // Goal: a wrong list floods nobody and hides nothing. Method: forty files; one is mended.
    let paths: Vec<String> = (10..50).map(|n| format!("opt/f{n}")).collect();
    let files: Vec<_> = paths.iter().map(|path| (path.as_str(), "no", "missing")).collect();
    let now = reading("b1", Some("list-1"), &files);
    let found = of(None, &now).judge();
    assert_eq!(found.len(), ONE_BY_ONE + 1);
    assert_eq!(found[ONE_BY_ONE].title.as_str(), "40 files are not as released");
    let records: Vec<_> = found.iter().map(open).collect();
    assert_eq!(of(None, &now).passed(&records, &found).count(), 0);
    let later = reading("b1", Some("list-1"), &files[1..]);
    let left = of(Some(&now), &later).judge();
    let over: Vec<&str> =
        of(Some(&now), &later).passed(&records, &left).map(|record| record.finding.key.as_str()).collect();
    assert_eq!(over, ["declared opt/f10"]);
}

#[test]
fn a_line_of_the_list_that_names_no_file_is_told() {
    // Goal: what hides a file is no silence. Method: a reading that is unknown without a row of its own.
    let row = Row {
        section: Section::Posture,
        key: Text::lossy("declared-files"),
        fields: ["unknown", "3 of 4", "list-1"].map(str::to_owned).to_vec(),
    };
    let now = Inventory::new(vec![row]);
    assert_eq!(
        of(None, &now).judge()[0].what_changed.as_str(),
        format!("/{SOURCE}: a line of it names no file.")
    );
}
