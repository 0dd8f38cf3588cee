//! Devices that a list of assets names, and accepted risks, as a browser meets them.

use std::sync::Arc;

use cordon_proto::ids::Sha256;
use cordon_server_core::feeds::asset::Assets;

use super::fixture::{Console, Reply};
use super::*;
use crate::app::Brought;
use crate::exceptions;
use crate::testing::{person, text};

/// A list of one monitor.
fn brought() -> Brought {
    let mut assets = Assets::default();
    assets.row(&["tag", "manufacturer", "model", "version", "serial", "ward"]).expect("a header");
    assets.row(&["T-77", "Philips", "MX40", "B.06 <b>", "n/a", "ICU 9"]).expect("a row");
    let assets = Arc::new(assets.finish().expect("a list"));
    let list = "cmms".parse().expect("a name");
    Brought { list, site: Some(text("St. Anna")), assets, sha256: Sha256([7; 32]) }
}

#[tokio::test]
async fn a_device_of_a_list_says_that_nothing_of_it_was_measured() {
    // Goal: nobody takes a list for a measurement. Method: import one without a serial; its page, its list, the counts of silence.
    let console = Console::with_fleet().await;
    let silent = console.get("/devices?state=silent").await.read();
    console.app().import_assets(&brought(), &person()).await.expect("comes in");
    let listed = console.app().fleet.all().into_iter().find(|member| member.device.is_listed_only());
    let listed = listed.expect("is known").id();
    let page = console.get(&format!("/devices/{listed}")).await;
    page.must("It is known from the asset list cmms of").must("nothing of it was measured");
    page.must("B.06 &#60;b&#62;").must("by the list").must("T-77").must("asset list");
    console.get("/devices?state=listed").await.must("T-77").must("Listed only");
    let after = console.get("/devices?state=silent").await.read();
    assert_eq!(
        after.matches("Silent").count(),
        silent.matches("Silent").count(),
        "a list cannot fall silent"
    );
    console.get(&format!("/devices/{listed}/identity")).await.must("The list lets nobody in.");
    let retire = [("reason", "it was sold to another house")];
    console.post(&format!("/devices/{listed}/retire"), &retire).await;
    assert_eq!(console.app().fleet.get(listed).map(|member| member.device.state), Some(Trust::Retired));
}

/// Sends the form of a list, as a browser does.
async fn send(console: &Console, fields: &[(&str, &str)]) -> Reply {
    let part = |(name, value): &(&str, &str)| {
        let file = if *name == "file" { "; filename=\"cmms.csv\"" } else { "" };
        format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n")
    };
    let body: String = fields.iter().map(part).chain(["--xyz--\r\n".to_owned()]).collect();
    let cookie = format!("cordon-session={}", console.cookie);
    let headers = [("cookie", cookie.as_str()), ("content-type", "multipart/form-data; boundary=xyz")];
    console.ask("POST", "/devices/import", &headers, &body).await
}

fn token_of(page: &Reply) -> String {
    let (_, rest) = page.text.split_once("name=\"token\" value=\"").expect("a token");
    rest.split('"').next().expect("its end").to_owned()
}

#[tokio::test]
async fn a_list_is_shown_with_what_it_would_do_before_it_does_it() {
    // Goal: nobody imports blindly. Method: a list with a new device, one twice and a column nobody asked for: the preview
    // changes nothing, the second press does; the same list again; a list that is none; a fleet that changed in between;
    // somebody who may only look, and a form without proof.
    let console = Console::with_fleet().await;
    console.get("/devices").await.must("/devices/import").must("6 with our agent.");
    console.get("/devices/import").await.must("Show what it would do");
    let file = "tag,manufacturer,model,serial,ward,price\nT-1,Philips,MX40,S1,ICU 9,7\n\
                T-2,Philips,MX40,S2,ICU <b>,8\nT-2,Philips,MX40,S3,ICU 9,8\n";
    let csrf = console.csrf.as_str();
    let shown = [("csrf", csrf), ("list", "cmms"), ("site", "St. Anna"), ("file", file)];
    let page = send(&console, &shown).await;
    page.must("1 device would be added, none changed; 2 rows are doubtful and stay out");
    page.must("this device stands in row 4 too").must("price").must("Philips MX40, St. Anna / ICU 9");
    let known = || console.app().fleet.all().len();
    assert_eq!(known(), 6, "a preview changes nothing");
    let done = send(&console, &[("csrf", csrf), ("token", &token_of(&page))]).await;
    assert_eq!((done.location(), known()), ("/devices", 7));
    console.get("/devices").await.must("1 device added, 0 changed").must("1 known from lists alone.");
    let used = send(&console, &[("csrf", csrf), ("token", &token_of(&page))]).await;
    assert_eq!(used.status, StatusCode::UNPROCESSABLE_ENTITY);
    used.must("Choose the file again");
    console.get("/devices/import").await.must("2 rows stayed out");

    let again = send(&console, &shown).await;
    again.must("No device would be added or changed").must("Note that it came");
    let moved = file.replace("S1,ICU 9", "S1,ICU 8");
    let moved = [("csrf", csrf), ("list", "cmms"), ("site", "St. Anna"), ("file", moved.as_str())];
    let page = send(&console, &moved).await;
    page.must("No device would be added, 1 changed");
    console.app().import_assets(&brought(), &person()).await.expect("somebody else was faster");
    let other = send(&console, &[("csrf", csrf), ("token", &token_of(&page))]).await;
    other.must("The fleet has changed since it was shown").must("Look once more");

    let none = send(&console, &[("csrf", csrf), ("list", "cmms"), ("file", "a,b\n1,2\n")]).await;
    assert_eq!(none.status, StatusCode::UNPROCESSABLE_ENTITY);
    none.must("Not read; nothing was changed");
    let unnamed = send(&console, &[("csrf", csrf), ("list", "C M M S"), ("file", file)]).await;
    unnamed.must("small letters, digits");
    let foreign = send(&console, &[("csrf", "wrong"), ("list", "cmms"), ("file", file)]).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    let reader = console.with_role(cordon_server_core::policy::Role::Reader).await;
    let reading = send(&reader, &[("csrf", reader.csrf.as_str()), ("list", "cmms"), ("file", file)]).await;
    assert_eq!(reading.status, StatusCode::FORBIDDEN);
    assert!(!reader.get("/devices").await.has("/devices/import"));
}

#[tokio::test]
async fn the_board_is_cut_by_whose_move_it_is_and_each_count_is_its_list() {
    // Goal: a team sees its own work. Method: the board by owner; every line's list has as many devices as the line says, and
    // together they are the fleet.
    let console = Console::with_fleet().await;
    let page = console.get("/risk?by=owner").await;
    page.must("Whose move").must("/devices?owner=");
    let links = page.text.split("href=\"").filter(|link| link.starts_with("/devices?owner="));
    let links: std::collections::BTreeSet<&str> = links.filter_map(|link| link.split('"').next()).collect();
    let mut all = 0;
    for link in &links {
        let list = console.get(link).await;
        let rows = list.count("<tr role=\"row\" data-row>");
        assert!(rows > 0, "{link} lists nothing");
        list.must("Whose");
        all += rows;
    }
    assert_eq!(all, 6, "{links:?}");
}

#[tokio::test]
async fn a_risk_is_accepted_by_two_people_and_stands_beside_the_score() {
    // Goal: the whole life in the console. Method: a wrong form, a right one; the same person's yes; another's; the device's page;
    // its end; somebody has seen it.
    let console = Console::with_fleet().await;
    console.get("/exceptions").await.must("No risk is accepted");
    let form = console.get("/exceptions/new?about=posture%3Akey-in-file").await;
    form.must("Accept a risk?").must("value=\"posture:key-in-file\"");
    let fields = |days: &'static str, filter: &'static str| {
        [
            ("about", "posture:key-in-file"),
            ("filter", filter),
            ("owner", "Clinical <b>engineering"),
            ("control", "the pumps stand in a locked room"),
            ("days", days),
            ("reason", "the board has no secure element"),
        ]
    };
    let wrong = console.post("/exceptions/new", &fields("400", "kind=infusion-pump")).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    wrong.must("at most 366 days from now").must("the pumps stand in a locked room");
    let wrong = console.post("/exceptions/new", &fields("30", "colour=red")).await;
    wrong.must("`colour` is no filter");
    let made = console.post("/exceptions/new", &fields("30", "kind=infusion-pump")).await;
    let address = made.location().to_owned();
    let page = console.get(&address).await;
    page.must("Waits for a second person").must("Clinical &#60;b&#62;engineering").must("VP3-0001");
    let own = console.post(&format!("{address}/approve"), &[("reason", "I say yes to myself")]).await;
    own.must("a second person has to");
    let id = address.rsplit('/').next().expect("an id").parse().expect("a name");
    let yes = text("seen in the room");
    let app = console.app();
    exceptions::act(app, &id, exceptions::Act::Approve, &yes, &person()).await.expect("is approved");
    console.get("/exceptions").await.must("Accepted");
    let device = format!("/devices/{}", super::id(0));
    console.get(&device).await.must("posture:key-in-file is accepted by").must("It changes no score");
    console.bench.clock.hold_at(app.clock.now_ms().plus(31 * 86_400_000));
    assert_eq!(exceptions::lapse(app).await.expect("is noted"), 1);
    // A month later nobody is signed in any more.
    let console = Console::over(console.bench).await;
    console.get("/").await.must("The accepted risk posture:key-in-file is over.");
    console.get("/exceptions").await.must("Over");
    let seen = console.post(&format!("{address}/withdraw"), &[("reason", "the boards were replaced")]).await;
    assert_eq!(seen.location(), address);
    console.get("/exceptions").await.must("No risk is accepted");
    let journal = console.bench.journal().await;
    let own: Vec<_> = journal.iter().filter(|act| act.starts_with("exception.")).collect();
    assert_eq!(own, ["exception.request", "exception.approve", "exception.lapse", "exception.withdraw"]);
}
