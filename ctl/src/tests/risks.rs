//! `risk` and `export`: what is asked of a server, and what people read of the answers.

use serde_json::json;

use super::online::server;
use super::*;

/// A server with these answers by path.
fn answering(answers: &[(&str, Value)]) -> (Desk, String, server::Stored) {
    let (address, stored) = server::start("{}");
    for (path, answer) in answers {
        stored.lock().unwrap().insert(format!("/api/v1/{path}"), answer.to_string().into_bytes());
    }
    (Desk::new(), address, stored)
}

#[test]
fn the_list_says_what_to_do_by_whom_and_by_when_or_since_when_it_waits() {
    // Goal: a morning's work in a table. Method: one device with a date, one that waits for its maker; filters go to the server.
    let row = |serial: &str, due: Value, waiting: Value| {
        json!({"serial": serial, "model": "VP-3", "site": "St. Anna", "ward": "ICU 2", "score_hundredths": 7725, "band": "critical",
               "next_step": "Install release 4.2.2", "owner": "it", "due": due, "waiting_since": waiting})
    };
    let rows = json!({"rows": [row("A\u{1b}[2J", json!(1_795_184_760), Value::Null), row("B", Value::Null, json!(0))], "next": null});
    let (desk, address, _) = answering(&[("risk/register?model=VP-3&overdue=true", rows)]);
    let text = done(desk.online(&address, &["risk", "list", "--model", "VP-3", "--overdue"]));
    assert!(text.starts_with("SCORE"), "{text}");
    assert!(text.contains("77.25") && text.contains("2026-11-20T14:26:00Z"), "{text}");
    assert!(text.contains("waiting since 1970-01-01T00:00:00Z") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn the_history_prints_what_moved_a_score_under_it() {
    // Goal: "why is it higher" is answered in one look. Method: golden text of two points.
    let points = json!([
        {"at": "2026-11-20T14:26:00Z", "hundredths": 19, "band": "low", "moved": []},
        {"at": "2026-11-21T14:26:00Z", "hundredths": 4655, "band": "high",
         "moved": [{"how": "new", "reason": "CVE-2020-1938 in tomcat9 9.0.31-1", "hundredths": 4640}, {"how": "changed", "reason": "Impact", "hundredths": -4}]},
    ]);
    let id = "01010101-0101-4101-8101-010101010101";
    let (desk, address, _) =
        answering(&[(&format!("devices/{id}/risk-history?days=7"), json!({"device": id, "points": points}))]);
    let text = done(desk.online(&address, &["risk", "history", id, "--days", "7"]));
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..3], ["2026-11-20T14:26:00Z", "0.19", "low"]);
    assert_eq!(rows[2][..6], ["-", "-", "-", "+46.40", "new", "CVE-2020-1938"], "{text}");
    assert_eq!(rows[3][3..5], ["-0.04", "changed"], "{text}");
}

#[test]
fn what_a_release_would_change_is_a_sentence_then_counts_then_devices() {
    // Goal: a decision on one screen. Method: an answer without a matched bill of materials, and one device.
    let answer = json!({
        "words": "Release vp-3/4.43 lowers fleet risk by 12.00 points on 1 device", "matched": 0,
        "by": "remedies", "by_words": "By remedies only: the maker shipped no SBOM", "left_out": {"unknown": 2},
        "fleet": {"removed": {"freshness:behind": 1}, "added": {}, "other": {}},
        "devices": [{"serial": "VP3-1", "ward": "ICU 2", "before_hundredths": 2000, "after_hundredths": 800, "after_band": "low",
                     "removed": [{}], "added": [], "unknown": 0}],
    });
    let (desk, address, _) = answering(&[("risk/what-if/halden/vp-3%2F4.43?limit=20", answer)]);
    let ask = ["risk", "what-if", "--repository", "halden", "--release", "vp-3/4.43"];
    let text = done(desk.online(&address, &ask));
    assert!(
        text.starts_with(
            "Release vp-3/4.43 lowers fleet risk by 12.00 points on 1 device\ngone on 1: freshness:behind\n"
        ),
        "{text}"
    );
    assert!(text.contains("left out, unknown: 2\nBy remedies only: the maker shipped no SBOM\n"), "{text}");
    assert!(
        text.lines().any(|line| line
            .split_whitespace()
            .eq(["VP3-1", "ICU", "2", "20.00", "8.00", "low", "1", "0", "0"])),
        "{text}"
    );
}

#[test]
fn figures_are_set_with_a_reason_and_given_back() {
    // Goal: the site's table by command. Method: what is sent to the server; what is no figure never is; a reason is needed.
    let model = json!({"model": "risk-v1", "model_sha256": "ab", "unread": false,
        "set": {"at": "2026-11-20T14:26:00Z", "by": "person:ines", "reason": "our wards"},
        "figures": [{"figure": "silent", "value": 500, "ours": 400, "set_by_site": true, "least": 0, "most": 10000},
                    {"figure": "feed_stale", "value": 300, "ours": 300, "set_by_site": false, "least": 0, "most": 10000}]});
    let (desk, address, stored) = answering(&[("risk/model", model)]);
    let shown = done(desk.online(&address, &["risk", "model", "show", "--set"]));
    let head = "model risk-v1, table ab\n1 figure is set by site\nset last at 2026-11-20T14:26:00Z by person:ines: our wards\n";
    assert!(shown.starts_with(head) && shown.contains("silent") && !shown.contains("feed_stale"), "{shown}");
    assert!(done(desk.online(&address, &["risk", "model", "show"])).contains("feed_stale"));
    let sent = || -> Value { serde_json::from_slice(&stored.lock().unwrap()["/api/v1/risk/model"]).unwrap() };
    let set = [
        "risk",
        "model",
        "set",
        "silent=500",
        "--give-back",
        "feed_stale",
        "--reason",
        "our wards report daily",
    ];
    done(desk.online(&address, &set));
    let wanted = json!({"set": {"silent": 500}, "reset": ["feed_stale"], "preview": false, "reason": "our wards report daily"});
    assert_eq!(sent(), wanted);
    done(desk.online(&address, &["risk", "model", "reset", "--reason", "as it was before"]));
    assert_eq!(sent(), json!({"reset_all": true, "reason": "as it was before"}));
    for wrong in [
        &["risk", "model", "set", "silent=many", "--reason", "our wards"][..],
        &["risk", "model", "set", "silent=1", "silent=2", "--reason", "our wards"],
        &["risk", "model", "set", "silent=1"],
        &["risk", "model", "set", "--reason", "nothing is set"],
    ] {
        misused(desk.online(&address, wrong));
    }
}

#[test]
fn exports_are_tables_whose_cells_never_begin_like_a_formula() {
    // Goal: a file for an auditor. Method: a sheet and versions as CSV, on paper and in a file; a model that is a formula.
    let sheet = json!({"at": "x", "sheet": {"model": "VP-3", "devices": 2, "answers": [
        {"id": "sbom", "topic": "Papers", "question": "Did it come with one?", "yes": 1, "no": 0, "unknown": 1, "from": "signed release"}]}});
    let versions = json!({"rows": [{"model": "=HYPERLINK(1)", "release": null, "counter": 41, "devices": 3, "newer": 2, "listed": true,
        "stage": "supported", "full_until": null, "until": 1, "days_left": 3, "ending": true}]});
    let (desk, address, stored) = answering(&[("risk/sheet?model=VP-3", sheet), ("risk/versions", versions)]);
    let text = done(desk.online(&address, &["export", "mds2", "--model", "VP-3"]));
    assert_eq!(
        text,
        "topic,question,yes,no,unknown,from,id\r\nPapers,Did it come with one?,1,0,1,signed release,sbom\r\n"
    );
    let text = done(desk.online(&address, &["export", "versions"]));
    assert!(text.ends_with("\r\n\"'=HYPERLINK(1)\",,41,3,2,true,supported,,1,3,true\r\n"), "{text}");
    stored
        .lock()
        .unwrap()
        .insert("/api/v1/risk/register?band=high&format=csv".into(), b"device\r\nd-1\r\n".to_vec());
    let out = desk.path("register.csv");
    let told = done(desk.online(&address, &["export", "register", "--band", "high", "--out", &out]));
    assert!(told.ends_with("register.csv written\n"), "{told}");
    assert_eq!(std::fs::read(&out).unwrap(), b"device\r\nd-1\r\n");
}

#[test]
fn the_three_measures_are_printed_with_what_they_mean_and_each_vulnerability_is_a_line() {
    // Goal: a report for a regulator in one command. Method: an answer of the server, with a figure that is not known.
    let answer = json!({
        "at": "2026-11-20T14:26:00Z", "vulnerabilities": 2, "devices": 15, "patched_permille": 333, "closed_permille": 500,
        "identified_to_available": {"lower_s": 1, "median_s": 864_000, "upper_s": 1, "most_s": 2_592_000},
        "available_to_deployed": null, "explained": ["Patched: devices that proved it."],
        "cases": [{"vulnerability": "CVE-2026-1", "known": "2026-01-01T00:00:00Z", "available": null, "devices": 10, "patched": 0,
                   "first_patched": null, "last_patched": null, "open_days": 323}],
    });
    let (desk, address, _) = answering(&[("risk/measures?model=VP-3&from=2026-01-01", answer)]);
    let ask = ["export", "measures", "--model", "VP-3", "--from", "2026-01-01"];
    let text = done(desk.online(&address, &ask));
    assert!(
        text.starts_with("patched: 33.3 %\nidentified to available: half within 10 days, all within 30\n"),
        "{text}"
    );
    assert!(
        text.contains("available to deployed: not known\n")
            && text.contains("  Patched: devices that proved it.\n"),
        "{text}"
    );
    assert!(text.contains("closed on every device: 50.0 % of 2 vulnerabilities\n"), "{text}");
    assert!(
        text.lines()
            .any(|line| line.starts_with("CVE-2026-1,2026-01-01T00:00:00Z,") && line.ends_with(",323")),
        "{text}"
    );
}
