//! Planning an order: what the server says becomes lists that people sign, and what is left out has its reason.

use std::fs;

use serde_json::json;

use super::online::server;
use super::*;

fn answer(back: &str) -> String {
    let device = |serial: &str, place: &str, fate: &str, steps: &[&str]| {
        json!({"manufacturer": "Halden", "model": "VP-3", "serial": serial, "place": place, "installed": 41,
            "fate": fate, "steps": steps})
    };
    json!({
        "total": 6, "fates": {"fits": 4, "needs-step": 1, "no-application": 1},
        "steps": [{"releases": ["vp-3/4.1", "vp-3/4.2.2"], "devices": 1}],
        "in_use_now": 2, "unknown_use": 1, "unreached_days": [4, 0, 0, 0],
        "risk_before_hundredths": 31605, "risk_after_hundredths": 7800, "back": back,
        "vulnerabilities": {"words": "2 vulnerabilities that devices have now would be gone, 0 would be new",
            "by_words": "By its own bill of materials: 3 vulnerabilities"},
        "devices": [
            device("1", "St. Anna/ICU 2", "fits", &[]), device("2", "St. Anna/4B", "fits", &[]),
            device("3", "St. Anna/4B", "fits", &[]), device("4\tX\n", "St. Anna/4B", "fits", &[]),
            device("5", "St. Anna/4B", "needs-step", &["vp-3/4.1", "vp-3/4.2.2"]),
            device("6", "St. Anna/4B", "no-application", &[]),
        ],
    })
    .to_string()
}

#[test]
fn a_plan_becomes_one_list_a_wave_and_every_other_device_has_its_reason() {
    // Goal: from a filter to lists that `order sign` reads. Method: a scripted server; what was asked; each file; a serial
    // that would make two lines; the same folder again.
    let desk = Desk::new();
    let (address, stored) = server::start(&answer("open"));
    let out = desk.path("plan");
    let plan = ["order", "plan", "--release", "vp-3/4.2.2", "--repository", "halden", "--out", &out];
    let more = ["--filter", "site=St. Anna", "--back", "vp-3/4.2.1", "--waves", "group:St. Anna/ICU 2,rest"];
    let windows = ["--window", "daily 22:00-05:00", "--within", "always"];
    let said = done(desk.online(&address, &[&plan[..], &more, &windows].concat()));
    for words in [
        "6 devices of its model",
        "needs-step",
        "316.05, then 78.00",
        "2 vulnerabilities that devices have now would be gone, 0 would be new",
        "By its own bill of materials: 3 vulnerabilities",
        "wave1.tsv: 1 devices",
        "in use now 2",
        "a day 4, a week 0",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
    let asked: Value = serde_json::from_slice(&stored.lock().unwrap()["/api/v1/orders/preview"]).unwrap();
    assert_eq!((&asked["filter"], &asked["back"]), (&json!(["site=St. Anna"]), &json!("vp-3/4.2.1")));
    let read = |file: &str| fs::read_to_string(desk.path(&format!("plan/{file}"))).unwrap();
    assert_eq!(read("wave1.tsv"), "Halden\tVP-3\t1\n");
    let second = crate::order::list::ScopeList::parse(&read("wave2.tsv")).unwrap();
    assert_eq!(second.count(), 3);
    assert!(second.contains(&hardware("2")) && !second.contains(&hardware("X")));
    assert!(read("left-out.tsv").contains("Halden\tVP-3\t5\tneeds-step\tvp-3/4.1 then vp-3/4.2.2\n"));
    assert!(read("left-out.tsv").contains("6\tno-application"));
    assert!(refused(desk.online(&address, &plan)).contains("cannot make"));
}

#[test]
fn a_plan_that_could_not_be_followed_or_undone_writes_nothing() {
    // Goal: seen before a ceremony, not after. Method: windows that never meet, a closed way back, no device that fits.
    let desk = Desk::new();
    let (address, _) = server::start(&answer("not-older"));
    let out = desk.path("plan");
    let plan = ["order", "plan", "--release", "vp-3/4.2.2", "--repository", "halden", "--out", &out];
    let never = ["--window", "mon 01:00-02:00", "--within", "tue 01:00-02:00"];
    assert!(refused(desk.online(&address, &[&plan[..], &never].concat())).contains("never meet"));
    assert!(
        refused(desk.online(&address, &[&plan[..], &["--back", "vp-3/4.2.1"]].concat()))
            .contains("not-older")
    );
    assert!(misused(desk.online(&address, &[&plan[..], &["--waves", "1"]].concat())).contains("no wave"));
    let (nobody, _) = server::start(r#"{"total":1,"fates":{"newer":1},"devices":[{"fate":"newer"}]}"#);
    let down = refused(desk.online(&nobody, &plan));
    assert!(down.contains("no device would install vp-3/4.2.2"), "{down}");
    assert!(down.contains("newer            1"), "a downgrade is named as one: {down}");
    assert!(!fs::exists(&out).unwrap());
}
