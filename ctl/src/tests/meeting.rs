//! Orders and contents that never meet: seen at the desk, before anybody has signed a device into waiting for good.

use super::*;

const SHIFT: &str = r#""windows": [{"days": ["sat", "sun"], "from": "01:00", "to": "05:00"}]"#;

impl Desk {
    /// An order for the devices of a list, with a window.
    fn order_at(&self, (id, window, list): (&str, &str, &str), more: &[&str]) -> Outcome {
        let list = self.path(list);
        let mut flags =
            vec!["--id", id, "--release", "vp-3/4.2.2", "--repository", "halden", "--expires", "30d"];
        flags.extend(["--window", window, "--reason", "closes a hole", "--scope-list", &list, "--whole"]);
        self.order("orders1", &[&flags, more].concat())
    }

    /// Two people sign the next content for a list, with other windows.
    fn content_at(&self, (id, version): (&str, u32), windows: &str, list: &str) {
        let draft = self.draft("next.json", SHIFT, windows);
        let text = std::fs::read_to_string(&draft).unwrap();
        let version = format!("\"version\": {version}");
        let text = text.replacen("\"version\": 1", &version, 1).replacen("icu-quiet", id, 1);
        std::fs::write(&draft, text).unwrap();
        let list = self.path(list);
        let flags = ["--file", &draft, "--scope-list", &list, "--reason", "r"];
        done(self.sign_content("content1", &flags));
        done(self.sign_content("content2", &[&["--add"], &flags[..4]].concat()));
    }

    /// What a refusal says, and that nothing was written.
    fn never(&self, outcome: Outcome, parts: &[&str]) {
        let told = refused(outcome);
        for part in parts.iter().chain(&["not a minute of the week in common"]) {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(!self.folder.path().join("director/1.orders.json").exists(), "nothing was signed");
    }
}

#[test]
fn an_order_and_a_content_that_never_meet_are_not_signed_and_both_are_named() {
    // Goal: no pump that waits for a window that never comes. Method: nights against a content of weekend nights; days
    // against it, for the same list, for others without and with the content's list, for one device of both.
    let desk = Desk::stocked();
    desk.with_content();
    let (day, night) = ("daily 08:00-12:00", "daily 22:00-05:00");
    let both = ["order day (", "content icu-quiet version 1", "08:00", "01:00"];
    desk.never(
        desk.order_at(("day", day, "wave1.tsv"), &[]),
        &[&both[..], &["its devices have it"]].concat(),
    );
    desk.never(desk.order_at(("day", day, "wave2.tsv"), &[]), &["its devices may have it", "--content-list"]);
    desk.file("mixed.tsv", b"Halden\tVP-3\t1\nHalden\tVP-3\t9\n");
    let theirs = desk.path("wave1.tsv");
    let with = ["--content-list", &theirs];
    desk.never(desk.order_at(("day", day, "mixed.tsv"), &with), &["1 of its devices have it"]);
    let facts = ["--id", "day", "--release", "vp-3/4.2.2", "--repository", "halden", "--expires", "30d"];
    let facts = [&facts[..], &["--window", day, "--reason", "r", "--match-model", "VP-3", "--from", "30:41"]];
    let facts = [&facts.concat()[..], &["--match-hardware", "C", "--whole"]].concat();
    desk.never(desk.order("orders1", &facts), &["its devices may have it"]);
    let (status, _, shown) = desk.order_at(("night", night, "wave1.tsv"), &[]);
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("with content icu-quiet version 1, which its devices have"), "{shown}");
    assert!(shown.contains("(8 h 0 min of a week)"), "two nights of four hours: {shown}");
    std::fs::remove_file(desk.path("director/1.orders.json")).unwrap();
    let (status, _, shown) = desk.order_at(("day", day, "wave2.tsv"), &with);
    assert_eq!(status, 0, "{shown}");
    assert!(!shown.contains("  reboots"), "of others: {shown}");
}

#[test]
fn what_the_wards_were_promised_cuts_an_order_too() {
    // Goal: `--within` is no decoration. Method: mornings against a night; an hour of the night; a content of the night
    // that the hour misses; another, newer content for the same list in whose place it stands.
    let desk = Desk::stocked();
    desk.waves();
    let night = ("night", "daily 22:00-05:00", "wave1.tsv");
    desk.never(desk.order_at(night, &["--within", "daily 08:00-12:00"]), &["order night (", "--within"]);
    desk.content_at(("icu-quiet", 1), SHIFT, "wave1.tsv");
    let hour = ["--within", "daily 21:00-23:00"];
    desk.never(desk.order_at(night, &hour), &["order night (", "content icu-quiet version 1"]);
    desk.content_at(("icu-quiet", 2), "\"windows\": []", "wave1.tsv");
    desk.never(desk.order_at(night, &[]), &["content icu-quiet version 2 ([])"]);
    desk.content_at(("ward-loud", 3), "\"windows\": null", "wave1.tsv");
    let (status, _, shown) = desk.order_at(night, &hour);
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("with --within") && shown.contains("(7 h 0 min of a week)"), "{shown}");
}

#[test]
fn the_second_signer_and_a_draft_are_held_to_the_contents_too() {
    // Goal: a content that came between two signatures counts. Method: an order signed by one and handed on; a content
    // that never lets a device reboot, signed by two; the second signature, by both ways.
    let desk = Desk::stocked();
    desk.waves();
    let (server, stored) = online::server::start("");
    desk.hand_on(&server, ("director", "orders1"), ("tuesday", "1"));
    drafts::relay(&stored, "tuesday");
    desk.content_at(("icu-quiet", 1), "\"windows\": []", "wave1.tsv");
    let list = desk.path("wave1.tsv");
    let pending = std::fs::read(desk.path("director/1.orders.json")).unwrap();
    for outcome in [
        desk.order("orders2", &["--add", "--scope-list", &list]),
        desk.sign_draft(&server, ("director", "orders2"), ["--draft", "tuesday"]),
    ] {
        let told = refused(outcome);
        assert!(told.contains("order tuesday (") && told.contains("content icu-quiet version 1"), "{told}");
    }
    assert_eq!(std::fs::read(desk.path("director/1.orders.json")).unwrap(), pending);
    let gone = desk.path("director/targets");
    std::fs::rename(&gone, desk.path("elsewhere")).unwrap();
    let told = refused(desk.order("orders2", &["--add", "--scope-list", &list]));
    assert!(told.contains("its document is not in this folder"), "{told}");
}
