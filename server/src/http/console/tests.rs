//! Tests of the console as a browser meets it: pages, counts and their lists, forms, the door, hostile text.

mod assets;
mod contacts;
mod contents;
mod endings;
mod evidence;
mod findings;
mod fixture;
mod identities;
mod knowledge;
mod orders;
mod releases;
mod risk;
mod rollouts;

use axum::http::StatusCode;
use cordon_proto::telemetry::Severity;
use cordon_server_core::device::State as Trust;

use super::live::Told;
use fixture::{Console, SERIALS, device, finding, finding_id, id, lossy, put_finding};

#[tokio::test]
async fn every_page_opens_with_its_answer() {
    // Goal: the first line is what the reader came for. Method: each address, its sentence, its headers.
    let console = Console::with_fleet().await;
    let finding = finding_id(console.app(), 0);
    let pump = id(0);
    for (address, words) in [
        ("/".to_owned(), "things need a person"),
        ("/".to_owned(), "Rollout VP-3 4.2.2 to 4 infusion pumps stopped itself in wave 1."),
        ("/".to_owned(), "VP3-0003 in 4B, St. Brigid"),
        ("/devices".into(), "VP3-0001"),
        ("/devices?state=silent".into(), "1 of 6"),
        ("/devices?ward=Nowhere".into(), "No device matches 1 filter"),
        ("/devices/enrol".into(), "Enrol a device"),
        (format!("/devices/{pump}"), "Is it safe?"),
        (format!("/devices/{pump}"), "Calls one outside address every 60 s"),
        (format!("/devices/{pump}"), "203.0.113.9, 443/tcp"),
        (format!("/devices/{pump}"), "Its update waits: The device is in use. It reboots in standby"),
        (format!("/devices/{pump}/software"), "Debian GNU/Linux 12"),
        (format!("/devices/{pump}/software?q=tomcat"), "9.0.31-1"),
        (format!("/devices/{pump}/quarantine"), "Quarantine 1 device?"),
        (format!("/devices/{}", id(3)), "Rolled back to 4.1.0"),
        ("/findings".into(), "2 open, 2 unassigned"),
        (format!("/findings/{finding}"), "A fixed rhythm is how planted software asks for orders."),
        (format!("/findings/{finding}/mute"), "Mute this finding?"),
        ("/rollouts".into(), "1 halted, 1 running"),
        ("/rollouts/vp3-422".into(), "Stopped itself in wave 1"),
        ("/rollouts/vp3-422".into(), "It says: Motor self-test failed 41 s after the reboot."),
        ("/rollouts/k1-704/stop".into(), "Stop this rollout?"),
        ("/holds/new".into(), "Ward 4B of St. Brigid"),
        ("/audit".into(), "sign-in"),
    ] {
        let page = console.get(&address).await;
        assert_eq!(page.status, StatusCode::OK, "{address}\n{}", page.read());
        page.must(words);
        assert!(page.headers["content-security-policy"].starts_with("default-src 'none'; script-src 'self'"));
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(page.headers[name], value, "{address}");
        }
    }
}

#[tokio::test]
async fn a_first_day_tells_what_to_do() {
    // Goal: an empty server is no blank page. Method: every list without anything in it.
    let console = Console::empty().await;
    console.get("/").await.must("Nothing needs you");
    console.get("/devices").await.must("No device has enrolled yet");
    console.get("/findings").await.must("Nothing is open");
    console.get("/rollouts").await.must("Nothing has been rolled out yet");
    console.get("/releases").await.must("No release has been taken in yet");
}

#[tokio::test]
async fn every_count_leads_to_exactly_its_rows() {
    // Goal: a count and its list cannot differ. Method: read counts and links off the pages, follow each, count rows.
    let console = Console::with_fleet().await;
    let (devices, overview) = (console.get("/devices").await, console.get("/").await);
    let mut followed = 0;
    for (address, count) in counts(&devices.text).into_iter().chain(counts(&overview.text)) {
        let list = console.get(&address).await;
        assert_eq!(list.status, StatusCode::OK, "{address}");
        assert_eq!(
            list.count("data-row>") + list.count("data-row class"),
            count,
            "{address}\n{}",
            list.read()
        );
        followed += 1;
    }
    assert!(followed >= 15, "{followed}");
    let findings = console.get("/findings").await;
    for (address, count) in tabs(&findings.text) {
        assert_eq!(console.get(&address).await.count("<li data-row"), count, "{address}");
    }
}

/// Links that hold a number in a `<b>`, or are one: the address and the number.
fn counts(page: &str) -> Vec<(String, usize)> {
    let links = page.split("<a ").skip(1).filter_map(|rest| rest.split_once("</a>")).map(|(link, _)| link);
    // A link with a class is a score, not a count.
    let links = links.filter(|link| !link.starts_with("class="));
    let mut found = Vec::new();
    for link in links {
        let Some(address) = link.split("href=\"").nth(1).and_then(|rest| rest.split('"').next()) else {
            continue;
        };
        let bold = link.split_once("<b").and_then(|(_, rest)| rest.split_once('>')).map(|(_, text)| text);
        let bare = link.split_once('>').map(|(_, text)| text);
        let number = [bold, bare].into_iter().flatten().find_map(|text| {
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            let rest = &text[digits.len()..];
            (rest.is_empty() || rest.starts_with("</b>")).then(|| digits.parse().ok())?
        });
        if let Some(number) =
            number.filter(|_| address.starts_with("/devices") || address.starts_with("/findings"))
        {
            found.push((address.replace("&#38;", "&").replace("&amp;", "&"), number));
        }
    }
    found
}

/// The lists of findings with their counts.
fn tabs(page: &str) -> Vec<(String, usize)> {
    let links =
        page.split("<a href=\"/findings?state=").skip(1).filter(|link| link.contains("class=\"count\""));
    let tab = |link: &str| {
        let state = link.split('"').next()?;
        let count = link.split("class=\"count\">").nth(1)?.split('<').next()?.parse().ok()?;
        Some((format!("/findings?state={state}"), count))
    };
    links.filter_map(tab).collect()
}

#[tokio::test]
async fn without_a_session_nothing_is_told() {
    // Goal: a stranger learns nothing, not even what exists. Method: pages, forms and nonsense without a cookie.
    let console = Console::with_fleet().await;
    for address in [
        "/",
        "/devices",
        &format!("/devices/{}", id(0)),
        "/rollouts/vp3-422",
        "/nowhere",
        "/audit",
        "/expiries",
    ] {
        let reply = console.ask("GET", address, &[], "").await;
        assert_eq!((reply.location(), reply.text.as_str()), ("/sign-in", ""), "{address}");
        let forged = console.ask("GET", address, &[("cookie", "cordon-session=guessed")], "").await;
        assert_eq!(forged.location(), "/sign-in");
    }
    let act = format!("/devices/{}/quarantine", id(0));
    assert_eq!(console.ask("POST", &act, &[], "reason=a+long+reason").await.location(), "/sign-in");
    assert_eq!(console.app().fleet.get(id(0)).expect("there").device.state, Trust::Active);
    let api = console.ask("GET", "/api/v1/nowhere", &[], "").await;
    assert_eq!(
        (api.status, api.headers["content-type"].as_str()),
        (StatusCode::NOT_FOUND, "application/problem+json")
    );
    console.ask("GET", "/sign-in", &[], "").await.must("Sign in with a one-time link");
}

#[tokio::test]
async fn a_link_opens_one_session_and_sign_out_ends_it() {
    // Goal: looking uses nothing up, pressing does, and the cookie is out of reach. Method: the whole way round.
    let console = Console::empty().await;
    let link = console.app().sign_in_link().expect("a link");
    let address = link.split_once("://").and_then(|(_, rest)| rest.split_once('/')).expect("an address").1;
    let address = format!("/{address}");
    for _ in 0..2 {
        console.ask("GET", &address, &[], "").await.must("Sign in as admin");
    }
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let foreign = [form[0], ("sec-fetch-site", "cross-site")];
    assert_eq!(console.ask("POST", &address, &foreign, "csrf=").await.status, StatusCode::FORBIDDEN);
    let opened = console.ask("POST", &address, &form, "csrf=").await;
    assert_eq!(opened.location(), "/");
    let cookie = &opened.headers["set-cookie"];
    for flag in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(flag), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "loopback speaks without TLS: {cookie}");
    let again = console.ask("POST", &address, &form, "csrf=").await;
    again.must("This link no longer works");
    assert_eq!(again.status, StatusCode::FORBIDDEN);
    let left = console.post("/sign-out", &[]).await;
    assert!(left.headers["set-cookie"].contains("Max-Age=0"));
    console.ask("GET", left.location(), &[], "").await.must("You have signed out");
    assert_eq!(console.get("/").await.location(), "/sign-in");
}

#[tokio::test]
async fn a_form_without_its_proof_or_reason_changes_nothing() {
    // Goal: no forged and no thoughtless act. Method: each form without csrf, with a wrong one, with a short reason.
    let console = Console::with_fleet().await;
    let acts = [
        format!("/devices/{}/quarantine", id(0)),
        format!("/devices/{}/release", id(1)),
        format!("/findings/{}/close", finding_id(console.app(), 0)),
        "/rollouts/vp3-422/resume".to_owned(),
        "/holds/new".to_owned(),
    ];
    let before = console.bench.journal().await;
    for act in &acts {
        let reason = ("reason", "unknown peer since 14:02");
        for fields in [vec![reason], vec![reason, ("csrf", "guessed")], vec![reason, ("csrf", "")]] {
            let refused = console.post_bare(act, &fields).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{act}");
            refused.must("The form was not accepted").must("Nothing was changed");
        }
        let short = console.post(act, &[("reason", "short <b>"), ("choice", "ward:St. Brigid/4B")]).await;
        assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY, "{act}");
        short.must("Write at least 10 characters").must("short &#60;b&#62;");
    }
    assert_eq!(console.bench.journal().await, before);
    assert_eq!(console.app().fleet.get(id(0)).expect("there").device.state, Trust::Active);
    assert_eq!(console.app().fleet.get(id(1)).expect("there").device.state, Trust::Quarantined);
}

#[tokio::test]
async fn quarantine_is_done_told_and_recorded() {
    // Goal: one press, one commit, one entry with person and reason, a word, and the way back. Method: there and back.
    let console = Console::with_fleet().await;
    let page = format!("/devices/{}", id(0));
    let done = console.post(&format!("{page}/quarantine"), &[("reason", "unknown peer since 14:02")]).await;
    assert_eq!(done.location(), page);
    assert_eq!(console.app().fleet.get(id(0)).expect("there").device.state, Trust::Quarantined);
    let shown = console.get(&page).await;
    shown
        .must("VP3-0001 quarantined in 0.")
        .must("Lift quarantine")
        .must("Undo")
        .must("unknown peer since 14:02");
    assert!(!console.get(&page).await.has("VP3-0001 quarantined in 0."), "the word is told once");
    console.get("/devices?state=quarantined").await.must("2 of 6").must("VP3-0001");
    console
        .get("/audit")
        .await
        .must("device.quarantine")
        .must("person:admin")
        .must("unknown peer since 14:02");
    console.app().audit.seal(console.app().clock.now_ms()).await.expect("sealed");
    let sealed = console.get("/audit").await;
    sealed.must("All sealed, signed").must("cordonctl audit verify --export audit.jsonl --head head.json");
    assert!(!sealed.has("not yet sealed") && !sealed.has("The log is not as it was sealed"));
    let again = console.post(&format!("{page}/quarantine"), &[("reason", "unknown peer since 14:02")]).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    again.must("It was not done").must("somebody may have been faster");
    let back = console.post(&format!("{page}/release"), &[("reason", "the peer is our print server")]).await;
    assert_eq!(back.location(), page);
    assert_eq!(console.app().fleet.get(id(0)).expect("there").device.state, Trust::Active);
    let journal = console.bench.journal().await;
    assert_eq!(journal.iter().filter(|act| act.starts_with("device.")).count(), 2);
}

#[tokio::test]
async fn several_devices_are_quarantined_together() {
    // Goal: a bulk act says what it did and what it left. Method: two trusted, one not, one unknown.
    let console = Console::with_fleet().await;
    let ids: Vec<String> = [0, 1, 4].into_iter().map(|number| id(number).to_string()).collect();
    let address =
        format!("/devices/quarantine?device={}&device={}&device={}&device=x", ids[0], ids[1], ids[2]);
    console.get(&address).await.must("Quarantine 3 devices?").must("VP3-0002").must("K1-0001");
    let fields = [
        ("device", ids[0].as_str()),
        ("device", ids[1].as_str()),
        ("device", ids[2].as_str()),
        ("reason", "the same unknown peer"),
    ];
    let done = console.post("/devices/quarantine", &fields).await;
    console.get(done.location()).await.must("2 devices quarantined in").must("1 was not trusted before");
    assert_eq!(console.get("/devices/quarantine").await.location(), "/devices");
}

#[tokio::test]
async fn findings_rollouts_and_holds_are_decided_by_the_apis_commits() {
    // Goal: the console and the API are one. Method: each act, its effect, its entry.
    let console = Console::with_fleet().await;
    let finding = finding_id(console.app(), 0);
    let reason = ("reason", "looked at it with the ward");
    let muted = console.post(&format!("/findings/{finding}/mute"), &[reason, ("choice", "30")]).await;
    console.get(muted.location()).await.must("Muted until").must("looked at it with the ward");
    console.get("/findings").await.must("1 open, 1 unassigned");
    let stopped = console.post("/rollouts/k1-704/stop", &[reason]).await;
    console.get(stopped.location()).await.must("Stopped by admin, ").must("The rollout is stopped");
    let resumed = console.post("/rollouts/k1-704/resume", &[reason]).await;
    console.get(resumed.location()).await.must("Wave 1 runs");
    let held = console.post("/holds/new", &[reason, ("choice", "ward:St. Brigid/4B")]).await;
    let list = console.get(held.location()).await;
    list.must("ward 4B of St. Brigid").must("Hold set on");
    let lift =
        list.text.split("href=\"/holds/h-").nth(1).and_then(|rest| rest.split('"').next()).expect("a hold");
    console.get(&format!("/devices/{}", id(0))).await.must("Held by admin since");
    let lifted = console.post(&format!("/holds/h-{lift}"), &[reason]).await;
    assert!(!console.get(lifted.location()).await.has("ward 4B of St. Brigid</th>"));
    let journal = console.bench.journal().await;
    for act in ["finding.decide", "rollout.stop", "rollout.resume", "hold.set", "hold.end"] {
        assert_eq!(journal.iter().filter(|entry| *entry == act).count(), 1, "{act}");
    }
    console.get("/audit?actor=person%3Aadmin").await.must("hold.end").must("looked at it with the ward");
    let back = console.get("/rollouts/vp3-422/back").await;
    assert_eq!(back.status, StatusCode::CONFLICT);
    back.must("its time is over or its order was withdrawn");
}

#[tokio::test]
async fn what_is_not_there_is_a_page_that_says_so() {
    // Goal: no dead end and no blank page. Method: unknown things of each kind.
    let console = Console::with_fleet().await;
    for (address, words) in [
        (format!("/devices/{}", id(77)), "There is no such device"),
        ("/devices/none".into(), "There is no such device"),
        (format!("/devices/{}/software", id(5)), "There is no such list of software"),
        (format!("/devices/{}/explode", id(0)), "There is no such act"),
        ("/findings/f-000000000000".into(), "There is no such finding"),
        ("/rollouts/none".into(), "There is no such rollout"),
        ("/holds/none/lift".into(), "There is no such hold"),
        ("/nowhere".into(), "There is no such page"),
    ] {
        let page = console.get(&address).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{address}");
        page.must(words).must("Nothing was changed");
        assert!(page.headers.contains_key("content-security-policy"));
    }
}

#[tokio::test]
async fn text_of_devices_is_never_markup() {
    // Goal: a hostile device writes nothing into a page. Method: canaries in every text, every page.
    const CANARY: &str = "\"><script>alert(1)</script>";
    let console = Console::with_fleet().await;
    let mut hostile = device(console.app().clock.now(), 5);
    for field in
        [&mut hostile.hardware.serial, &mut hostile.hardware.manufacturer, &mut hostile.hardware.model]
    {
        *field = lossy(CANARY);
    }
    hostile.placement.ward = lossy(CANARY);
    hostile.placement.tags = vec![lossy(CANARY)];
    let draft =
        cordon_server_core::change::Commit::draft(console.app().clock.now(), crate::testing::person());
    let draft = draft.put(crate::store::Key::Device(hostile.id), hostile.to_body());
    console.app().commit(draft).await.expect("stored");
    let mut report = finding(console.app().clock.now(), CANARY, Severity::Critical);
    report.evidence = [(CANARY.to_owned(), CANARY.to_owned())].into();
    report.what_to_do = lossy(CANARY);
    report.peer = Some(lossy(CANARY));
    put_finding(console.app(), 5, report).await;
    let finding = finding_id(console.app(), 5);
    let device = format!("/devices/{}", id(5));
    let pages = [
        "/",
        "/devices",
        "/findings",
        "/rollouts",
        "/rollouts/k1-704",
        "/holds/new",
        "/orders",
        "/evidence",
        "/expiries",
        "/audit",
        &format!("/rollouts/k1-704/devices/{}/accept", id(5)),
        "/evidence?by=order&name=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        &device,
        &format!("{device}/quarantine"),
        &format!("/findings/{finding}"),
        "/devices?q=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/audit?object=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/findings?detector=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    ];
    for address in pages {
        let page = console.get(address).await;
        assert_eq!(page.status, StatusCode::OK, "{address}");
        assert!(!page.has("<script>alert"), "{address}");
        assert_eq!(page.count("<script"), 1, "{address}");
    }
    console.get(&device).await.must("&#60;script&#62;");
}

#[tokio::test]
async fn files_are_kept_by_their_hash_and_the_theme_is_a_cookie() {
    // Goal: a page is light the second time, and its first paint is right. Method: the links of a page; both forms.
    let console = Console::empty().await;
    let page = console.get("/").await;
    for name in ["app.css", "app.js", "icon.svg"] {
        let address =
            page.text.split('"').find(|part| part.starts_with(&format!("/assets/{name}"))).expect("a link");
        let file = console.ask("GET", address, &[], "").await;
        assert_eq!(file.status, StatusCode::OK);
        assert!(file.headers["cache-control"].contains("immutable"), "{address}");
        assert_eq!(file.headers["x-content-type-options"], "nosniff");
        let held = [("if-none-match", file.headers["etag"].as_str())];
        assert_eq!(console.ask("GET", address, &held, "").await.status, StatusCode::NOT_MODIFIED);
        let old = console.ask("GET", &format!("/assets/{name}?v=000000000000"), &[], "").await;
        assert_eq!(old.headers["cache-control"], "no-store", "a wrong hash is not kept");
    }
    assert_eq!(console.ask("GET", "/assets/..%2Fapp.css", &[], "").await.status, StatusCode::NOT_FOUND);
    let dark = console.post("/theme", &[("to", "dark"), ("back", "/devices?band=high")]).await;
    assert_eq!(dark.location(), "/devices?band=high");
    assert!(dark.headers["set-cookie"].starts_with("theme=dark;"));
    let away = console.post("/theme", &[("to", "dark"), ("back", "//evil.example")]).await;
    assert_eq!(away.location(), "/");
    let cookie = format!("theme=dark; cordon-session={}", console.cookie);
    console.ask("GET", "/", &[("cookie", &cookie)], "").await.must("data-theme=\"dark\"");
}

#[tokio::test]
async fn the_live_stream_tells_figures_and_what_reads_otherwise() {
    // Goal: a page knows that it is live and what is new, and a heartbeat is no news. Method: look, act, look again.
    let console = Console::with_fleet().await;
    let mut told = Told::default();
    let first = console.live.events(&mut told).await.expect("read");
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].0, "live");
    for part in ["\"devices\":\"6\"", "\"findings\":\"2\"", "\"medium\":\"1\""] {
        assert!(first[0].1.contains(part), "{}", first[0].1);
    }
    assert!(!first[0].1.contains("rollouts"), "a halted rollout is told in words");
    console.app().fleet.heard(id(4), None, None, console.app().clock.now());
    console.app().write_down().await.expect("written");
    assert_eq!(console.live.events(&mut told).await.expect("read").len(), 1, "a heartbeat is no news");
    let act = format!("/devices/{}/quarantine", id(0));
    console.post(&act, &[("reason", "unknown peer since 14:02")]).await;
    let second = console.live.events(&mut told).await.expect("read");
    let address = format!("[\"/devices\",\"/devices/{}\",\"/audit\"]", id(0));
    assert_eq!(second[1], ("changed", address));
    let stream = console.ask_head("/api/v1/events").await;
    assert_eq!((stream.0, stream.1.as_str()), (StatusCode::OK, "text/event-stream"));
}

#[tokio::test]
async fn pages_of_a_list_are_whole_and_in_order() {
    // Goal: sort and search are the address. Method: each order and a search over the fleet.
    let console = Console::with_fleet().await;
    let order = |text: &str| {
        let mut places: Vec<(usize, &str)> = SERIALS
            .into_iter()
            .filter_map(|serial| Some((text.find(&format!("Select {serial}<"))?, serial)))
            .collect();
        places.sort_unstable();
        places.into_iter().map(|(_, serial)| serial).collect::<Vec<_>>()
    };
    let by_name = console.get("/devices?sort=name").await;
    assert_eq!(order(&by_name.text), ["K1-0001", "K1-0002", "VP3-0001", "VP3-0002", "VP3-0003", "VP3-0004"]);
    let by_state = console.get("/devices?sort=state").await;
    assert_eq!(order(&by_state.text)[..2], ["VP3-0002", "VP3-0003"], "quarantined, then silent");
    let found = console.get("/devices?q=hall%20k1").await;
    assert_eq!(order(&found.text).len(), 2);
    found.must("2 of 6");
    assert_eq!(order(&console.get("/devices").await.text).len(), SERIALS.len());
}

#[tokio::test]
async fn the_overview_says_what_is_wrong_with_the_server_itself() {
    // Goal: a person learns of a full disk and of rot where they look first. Method: each in turn, then neither.
    let console = Console::empty().await;
    let app = console.bench.app().clone();
    app.care.note(app.clock.now(), Some("the disk under the store is full: free space there".to_owned()));
    console.get("/").await.must("stores nothing now").must("free space there");
    app.care.note(app.clock.now(), None);
    assert!(!console.get("/").await.has("stores nothing now"));
    let incoming =
        app.blobs.put(1000).await.expect("begun").write(vec![1; 100].into()).await.expect("written");
    let name = incoming.finish(None).await.expect("kept").sha256;
    let path = app.config.path(&app.config.blobs).join(&name.to_string()[..2]).join(name.to_string());
    std::fs::write(path, [2; 100]).expect("damaged");
    assert!(app.blobs.set_aside(name).await.expect("read"));
    console.get("/").await.must("1 image is damaged").must(&name.to_string());
}
