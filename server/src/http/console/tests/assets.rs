//! Devices that a list of assets names, and accepted risks, as a browser meets them.

use std::sync::Arc;

use cordon_proto::ids::Sha256;
use cordon_server_core::feeds::asset::Assets;

use super::fixture::Console;
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
