//! From a file brought on a page to the devices that it hits, through every page about vulnerabilities.

use axum::http::StatusCode;
use cordon_proto::inventory::{Inventory, Row, Section};
use cordon_proto::wire;
use cordon_server_core::exception::{Asked, Exception, Word};

use super::fixture::{Console, Reply, commit, id};
use crate::store::Key;
use crate::testing::text;

const DEBIAN: &str = "release,source,cve,fixed_version,advisory\n\
    bookworm,tomcat9,CVE-2020-1938,9.0.43-1,DSA-4673-1\n\
    bookworm,apt,CVE-2026-0002,<undetermined>,\n\
    bookworm,hose,CVE-2024-0003,1-1,\n";
const KEV: &str = r#"{"catalogVersion":"1","dateReleased":"2026-11-01T00:00:00Z","vulnerabilities":[{"cveID":"CVE-2020-1938","dateAdded":"2022-03-03","knownRansomwareCampaignUse":"Known"}]}"#;

/// A form with a file, as a browser sends it.
async fn bring(console: &Console, csrf: &str, kind: &str, file: &str) -> Reply {
    let field = |name: &str, value: &str| {
        format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let body = [
        field("csrf", csrf),
        field("kind", kind),
        field("name", kind),
        field("file", file).replace("name=\"file\"", "name=\"file\"; filename=\"a.csv\""),
        "--xyz--\r\n".to_owned(),
    ];
    let cookie = format!("cordon-session={}", console.cookie);
    let headers = [("cookie", cookie.as_str()), ("content-type", "multipart/form-data; boundary=xyz")];
    console.ask("POST", "/feeds/new", &headers, &body.concat()).await
}

/// A fleet of which one pump tells its packages, with two feeds brought by a person.
async fn with_feeds() -> Console {
    let console = Console::with_fleet().await;
    let row = |section, key: &str, fields: &[&str]| Row {
        section,
        key: text(key),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
    };
    let inventory = Inventory::new(vec![
        row(Section::System, "id", &["debian"]),
        row(Section::System, "version-id", &["12"]),
        row(Section::Package, "deb/tomcat9/all", &["9.0.31-1", "tomcat9", "9.0.31-1"]),
        row(Section::Package, "deb/apt/amd64", &["2.6.1", "apt", "2.6.1"]),
    ]);
    commit(console.app(), |draft| draft.put(Key::Inventory(id(0)), wire::write(&inventory))).await;
    for (kind, file) in [("debian", DEBIAN), ("kev", KEV)] {
        let done = bring(&console, &console.csrf, kind, file).await;
        assert_eq!((done.status, done.location()), (StatusCode::SEE_OTHER, "/feeds"), "{}", done.text);
    }
    console.app().knowledge.bring_up_to_date(console.app()).await.expect("knowledge is made");
    console
}

/// A weakness is accepted for every site of this name, by two people.
async fn accept(console: &Console, weakness: &str) {
    let now = console.app().clock.now();
    let reason = text("no repair before the new year");
    let site = console.app().fleet.get(id(0)).expect("a device").device.placement.site.to_string();
    let asked = Asked {
        about: weakness.to_owned(),
        filter: vec![format!("site={site}")],
        owner: text("Head of IT"),
        reason: reason.clone(),
        control: text("its ward is segmented"),
        until: now.plus_seconds(30 * 86_400),
    };
    let id = "x-1".parse().expect("a name");
    let asked = Exception::request(id, asked, "person:ines".to_owned(), now).expect("allowed");
    let accepted = asked.approve(Word { by: "person:joy".to_owned(), at: now, reason }).expect("allowed");
    commit(console.app(), |draft| draft.put(Key::Exception(accepted.id.clone()), accepted.to_body())).await;
}

#[tokio::test]
async fn before_any_feed_every_page_says_that_nothing_is_known() {
    // Goal: no silence that looks like safety. Method: each page of an empty knowledge.
    let console = Console::with_fleet().await;
    console.get("/vulnerabilities").await.must("Nothing is known: no advisories were imported");
    console.get("/vulnerabilities/CVE-2020-1938").await.must("nothing can be said about any device");
    console.get(&format!("/devices/{}/vulnerabilities", id(0))).await.must("Nothing can be said yet");
    console.get("/feeds").await.must("no feed is here").must("What never came");
    console.get("/risk").await.must("kinds of feeds that never came");
}

#[tokio::test]
async fn a_file_brought_on_a_page_leads_to_its_devices() {
    // Goal: the news names a weakness: do we have it, where, in use, what to do. Method: two feeds by the form, every page.
    let console = with_feeds().await;
    let list = console.get("/vulnerabilities").await;
    list.must("CVE-2020-1938").must("Ransomware").must("tomcat9").must("CVE-2026-0002");
    list.must("/vulnerabilities/CVE-2020-1938?answer=affected#devices");
    assert!(!list.has("CVE-2024-0003"), "no device has hose");
    console.get("/vulnerabilities?q=CVE-2024-0003").await.must("/vulnerabilities/CVE-2024-0003");
    let none = console.get("/vulnerabilities?q=CVE-2099-1").await;
    none.must("No feed here names").must("That is no word of safety");
    let one = console.get("/vulnerabilities/CVE-2020-1938").await;
    one.must("1 device has it, 1 in use now").must("also by ransomware").must("repaired in 9.0.43-1");
    one.must("cordonctl version-compare --scheme deb 9.0.31-1 9.0.43-1").must("4B, St. Brigid");
    let elsewhere = console.get("/vulnerabilities/CVE-2020-1938?ward=elsewhere").await;
    elsewhere.must("No device here is known to have it in this filter");
    console.get("/vulnerabilities/CVE-2024-0003").await.must("No device here is known to have it");
    assert_eq!(console.get("/vulnerabilities/CVE-2099-1").await.status, StatusCode::NOT_FOUND);
    let device = console.get(&format!("/devices/{}/vulnerabilities", id(0))).await;
    device
        .must("1 known vulnerability, 1 of them exploited in the wild")
        .must("its publisher has not judged it");
    let software = console.get(&format!("/devices/{}/software", id(0))).await;
    software.must("1 known").must("1 unknown");
    console.get(&format!("/devices/{}", id(0))).await.must("/vulnerabilities/CVE-2020-1938");
    let csv = console.get("/api/v1/vulnerabilities?format=csv&exploited=exploited").await;
    assert_eq!(csv.text.lines().count(), 2, "{}", csv.text);
    csv.must("CVE-2020-1938,").must(",ransomware,");
    list.must("/api/v1/vulnerabilities?format=csv").must("/api/v1/vulnerabilities?format=json");
    console
        .get("/api/v1/vulnerabilities?format=json")
        .await
        .must("\"in_use\":1")
        .must("\"matching\":\"ready\"")
        .must("\"accepted\":0");
    accept(&console, "CVE-2020-1938").await;
    console.get("/vulnerabilities").await.must("accepted for 1");
    console.get("/api/v1/vulnerabilities?format=json").await.must("\"accepted\":1");
    console.get("/feeds").await.must("plain file").must("debian");
    console.get("/feeds/debian").await.must("Nothing of it was refused");
}

#[tokio::test]
async fn a_file_that_is_refused_leaves_what_was_in_force_and_says_why() {
    // Goal: bad input loses nothing. Method: a form without proof, of a reader, a file of nothing, one with much less.
    let console = with_feeds().await;
    assert_eq!(bring(&console, "wrong", "debian", DEBIAN).await.status, StatusCode::FORBIDDEN);
    let nothing = bring(&console, &console.csrf, "kev", "{}").await;
    assert_eq!(nothing.status, StatusCode::UNPROCESSABLE_ENTITY);
    nothing.must("Not taken; what was in force stays");
    let less = "release,source,cve,fixed_version,advisory\nbookworm,hose,CVE-2024-0003,1-1,\n";
    bring(&console, &console.csrf, "debian", less)
        .await
        .must("see whether it is whole")
        .must("It is meant so");
    console.get("/vulnerabilities").await.must("CVE-2020-1938");
    let reader = console.with_role(cordon_server_core::policy::Role::Reader).await;
    assert_eq!(bring(&reader, &reader.csrf, "debian", DEBIAN).await.status, StatusCode::FORBIDDEN);
    assert!(!reader.get("/feeds").await.has("/feeds/new"));
}
