//! What people see before they sign: every field that is signed, and when the document ends.

use super::*;

const SBOM: &[u8] = br#"{"bomFormat":"CycloneDX","specVersion":"1.6"}"#;
const VEX: &[u8] = br#"{"@context":"https://openvex.dev/ns/v0.2.0","statements":[]}"#;
const MUD: &[u8] = br#"{"ietf-mud:mud":{"mud-version":1,"mud-url":"https://halden.example/vp-3","last-update":"2026-01-01T00:00:00Z","is-supported":true}}"#;
const NOTES: &[u8] = b"Mends the alarm tone.\n";
const END: &str = "the document ends at ";

/// What stood on the screen.
fn shown(outcome: Outcome) -> String {
    assert_eq!(outcome.0, 0, "{}{}", outcome.1, outcome.2);
    outcome.2
}

fn all_in(shown: &str, parts: &[&str]) {
    for part in parts {
        assert!(shown.contains(part), "{part} not in:\n{shown}");
    }
}

#[test]
fn both_signers_of_a_release_see_support_papers_notes_and_the_end_in_words() {
    // Goal: nothing is signed unseen. Method: a release with all there is, by one person; the second sees the same words
    // and no JSON; a field that words do not have brings the JSON back.
    let desk = Desk::stocked();
    desk.file("third.img", b"firmware 4.2.3");
    let papers = [("sbom", SBOM), ("vex", VEX), ("mud", MUD), ("notes", NOTES)];
    let files = papers.map(|(name, bytes)| desk.file(name, bytes).to_str().unwrap().to_owned());
    let [image, third, one, two] = ["image", "third.img", "model1", "model2"].map(|name| desk.path(name));
    let mut add =
        vec!["release", "add", "--repository", &image, "--release", "vp-3/4.2.3", "--image", &third];
    add.extend([
        "--model",
        "VP-3",
        "--hardware",
        "C",
        "--interlock",
        "idle",
        "--counter",
        "43",
        "--key",
        &one,
    ]);
    let flags = ["--sbom", "--vex", "--mud", "--notes"];
    add.extend(flags.iter().zip(&files).flat_map(|(flag, file)| [*flag, file]));
    add.extend(["--support", "security=2031-01-01T00:00:00Z"]);
    let first = shown(cordonctl(&add));
    let wanted: Vec<String> = papers
        .iter()
        .zip(["CycloneDX (JSON)", "OpenVEX", "RFC 8520", "plain text"])
        .map(|((name, bytes), form)| {
            format!("  {name:<10} {} bytes, SHA-256 {}, {form}\n", bytes.len(), Sha256::of(bytes))
        })
        .chain(["  support    security until 2031-01-01T00:00:00Z\n".to_owned(), END.to_owned()])
        .collect();
    let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();
    all_in(&first, &wanted);
    let document = desk.folder.path().join("image/4.vp-3.json");
    let bytes = std::fs::read(&document).unwrap();
    let sign =
        || cordonctl(&["repo", "sign", "--repository", &image, "--file", "4.vp-3.json", "--key", &two]);
    let second = shown(sign());
    all_in(&second, &wanted);
    all_in(&second, &["release vp-3/4.2.3\n", "release vp-3/4.2.2, as before"]);
    assert!(!second.contains("\"custom\""), "words, not JSON: {second}");
    let bent = String::from_utf8(bytes).unwrap().replacen("\"vex\":", "\"unheard\":1,\"vex\":", 1);
    std::fs::write(&document, bent).unwrap();
    all_in(&shown(sign()), &["\"unheard\":1", END]);
}

#[test]
fn everybody_who_signs_orders_sees_when_the_document_ends_and_what_a_renewal_renews() {
    // Goal: an end is signed, so it is shown. Method: first and second signer; a renewal of a complete document by both,
    // which shows each order in it; an order that comes beside others.
    let desk = Desk::stocked();
    let waves = desk.waves();
    let waves: Vec<_> = waves.iter().map(String::as_str).collect();
    let back = ["--back", "vp-3/4.2.1", "--back-until", "40d", "--document-expires", "60d"];
    all_in(&shown(desk.new_order("vp3-422", &[&waves[..], &back].concat())), &[END]);
    all_in(&shown(desk.order("orders2", &[&["--add"], &waves[..]].concat())), &[END]);
    let stated = |file: &str| json(&desk.folder.path().join("director").join(file))["signed"].clone();
    let end = |file: &str| format!("{END}{}", stated(file)["expires"].as_str().unwrap());
    let renewal = [
        "keeps 2 orders as they are",
        "  vp3-422-1: vp-3/4.2.2 of halden for 1 devices, until ",
        "  vp3-422-2: vp-3/4.2.2 of halden for 2 devices, until ",
        "way back vp-3/4.2.1 until ",
    ];
    let first = shown(desk.order("orders1", &["--renew", "--document-expires", "80d"]));
    all_in(&first, &renewal);
    all_in(&first, &[&end("2.orders.json")]);
    let second = shown(desk.order("orders2", &["--add"]));
    all_in(&second, &renewal);
    all_in(&second, &[&end("2.orders.json")]);
    let list = desk.file("later.tsv", b"Halden\tVP-3\t9\n").to_str().unwrap().to_owned();
    let later = shown(desk.new_order("later", &["--scope-list", &list]));
    all_in(&later, &["order later: ", "keeps 2 orders as they are", &end("3.orders.json")]);
    assert!(!later.contains("  vp3-422-1: "), "{later}");
}

#[test]
fn both_signers_of_a_content_see_when_the_document_ends_and_what_stays_in_it() {
    // Goal: the same for contents. Method: a second content beside the first; both screens of it.
    let desk = Desk::stocked();
    desk.with_content();
    let draft = desk.draft("other.json", "icu-quiet", "ward-loud");
    let text = std::fs::read_to_string(&draft).unwrap().replacen("\"version\": 1", "\"version\": 2", 1);
    std::fs::write(&draft, text).unwrap();
    let list = desk.path("wave2.tsv");
    let flags = ["--file", &draft, "--scope-list", &list, "--reason", "r"];
    let wanted = ["content ward-loud version 2", "icu-quiet version 1 is unchanged, taken until ", END];
    all_in(&shown(desk.sign_content("content1", &flags)), &wanted);
    all_in(&shown(desk.sign_content("content2", &[&["--add"], &flags[..4]].concat())), &wanted);
}

#[test]
fn a_draft_shows_its_documents_end_to_the_next_signer() {
    // Goal: the end that a server carried is seen too. Method: a draft handed on and signed by the second person.
    let desk = Desk::stocked();
    let (server, stored) = online::server::start("");
    desk.hand_on(&server, ("director", "orders1"), ("tuesday", "1"));
    drafts::relay(&stored, "tuesday");
    all_in(&shown(desk.sign_draft(&server, ("director", "orders2"), ["--draft", "tuesday"])), &[END]);
}
