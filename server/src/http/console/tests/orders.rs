//! Orders in the console: what was signed and by how many keys, what it would do today, the drafts that wait.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use cordon_proto::ids::Sha256;
use cordon_proto::update::author;
use cordon_proto::update::draft::{Draft, Intent, document};
use cordon_proto::update::order::Order;
use cordon_proto::update::scope::Scope;
use cordon_proto::update::window::Window;
use cordon_server_core::rollout::State as Standing;

use super::fixture::{Console, fill};
use super::releases::pump_release;
use super::rollouts::stands;
use crate::drafts::{Drafts, Handed};
use crate::people::Doer;
use crate::repositories::Repositories;
use crate::rollouts::tests::{Desk, NOW, by, name, order, orders, person, publish};
use crate::testing::maker::Bytes;
use crate::testing::{Bench, text};

/// A console whose owner has published an order for every pump, and one for a list that nobody brought.
pub(super) async fn console() -> Console {
    let bench = Bench::start(&[]).await;
    bench.clock.hold_at(NOW.into());
    fill(bench.app()).await;
    let app = bench.app().clone();
    let repositories = Repositories::new(app.store.clone(), app.online.clone());
    let scope = Scope::Match { model: text("VP-3"), hardware: text("C"), from_least: 1, from_most: 90 };
    let night = Window::new(0x1f, 1320, 300).expect("a window");
    let pumps =
        Order { scope, windows: vec![night], reason: text("<b>closes</b> a hole"), ..order("0187", &[]) };
    let list = Order { scope: Scope::Set { root: pumps.image.sha256, count: 3 }, ..order("0188", &[]) };
    publish(&Desk { online: app.online.clone(), repositories }, &[pumps, list]).await;
    Console::over(bench).await
}

#[tokio::test]
async fn an_order_is_read_as_it_was_signed() {
    // Goal: release, scope, windows, ends, go, way back and keys in words, and no word of a person is markup. Method: an
    // order by facts that three rollouts carry out, one for a list; the list, both pages, the links to them.
    let console = console().await;
    let list = console.get("/orders").await;
    list.must("2 in force").must("/orders/0187").must("3 devices of a signed list").must("no rollout");
    list.must("every VP-3 of hardware C that runs counter 1 to 90")
        .must("1 key of at least 1, in document 1");
    assert!(!list.has("<b>closes"), "{}", list.read());
    let page = console.get("/orders/0187").await;
    for words in [
        "Mon to Fri, 22:00 to 05:00 the next day",
        "a go is good for 15 min",
        "none signed",
        "vp-3/4.2.2",
        "href=\"/rollouts/vp3-422\"",
        "cordonctl order verify --director owner --image maker --order 0187",
        "Unknown: ",
    ] {
        page.must(words);
    }
    assert!(!page.has("<b>closes") && page.has("closes"), "{}", page.read());
    assert!(!page.has("method=\"post\" action=\"/orders"), "orders are read only");
    let other = console.get("/orders/0188").await;
    other
        .must("None: no device may reboot for it.")
        .must("holds only the root of its list")
        .must("No rollout:");
    for missing in ["/orders/none", "/orders/no%20name"] {
        assert_eq!(console.get(missing).await.status, StatusCode::NOT_FOUND);
    }
    console.get("/rollouts").await.must("href=\"/orders\"");
    console.get("/rollouts/vp3-422").await.must("href=\"/orders/0187\"");
}

#[tokio::test]
async fn an_order_tells_what_it_would_do_today() {
    // Goal: people see whom it reaches and whom nobody vouches for. Method: the release is taken in; two pumps speak.
    let console = console().await;
    let mut kept = Bytes::new();
    console.publish(1, &[pump_release(&mut kept)], &kept).await;
    let page = console.get("/orders/0187").await;
    page.must("would install it").must("in use now").must("points before").must("is unknown");
    page.must("href=\"/releases/halden/vp-3%2F4.2.2\"").must("with the word of the device");
    console.get("/releases/halden/vp-3%2F4.2.2").await.must("href=\"/orders/0187\"");
}

#[tokio::test]
async fn an_order_that_was_taken_back_says_by_whom_when_and_what_it_ended() {
    // Goal: nobody wonders where an order is. Method: three more documents: one without the pumps' order, one with another
    // order under the list's name, one after the end of that; the list, the pages, a rollout that the server stopped.
    let console = console().await;
    let app = console.app().clone();
    let repositories = Repositories::new(app.store.clone(), app.online.clone());
    let scope = Scope::Set { root: order("0187", &[]).image.sha256, count: 3 };
    let list = Order { scope: scope.clone(), ..order("0188", &[]) };
    let anew = Order { scope, reason: text("closes it better"), ..order("0188", &[]) };
    let bring = async |version: u64, listed: &[Order], days: i64| {
        let (person, file) = (person(), format!("{version}.orders.json"));
        let brought = Doer { actor: &person, now: NOW.plus_seconds(days * 86_400) };
        repositories.publish_director(&file, &orders(version, listed), brought).await.expect("published");
    };
    bring(2, &[list], 0).await;
    stands(&app, "k1-704", |rollout| {
        let (at, by) = (NOW.plus_seconds(5), "server:rollouts".to_owned());
        rollout.state = Standing::Stopped { at, by, reason: "withdrawn or ended are 0187".to_owned() };
    })
    .await;
    let console = Console::over(console.bench).await;
    let page = console.get("/orders").await;
    page.must("1 in force").must("Withdrawn by document 2").must("1 key of at least 1, in document 2");
    page.must("brought").must("by m.okafor").must("K-1 7.0.4 to 2 kiosks").must("ended by it");
    assert_eq!(page.count("ended by it"), 1, "the others were stopped or halted before: {}", page.read());
    assert!(!page.has("<b>closes"), "{}", page.read());
    let gone = console.get("/orders/0187").await;
    gone.must("Withdrawn by document 2")
        .must("the last that lists it is 1")
        .must("Nothing: devices refuse it");
    assert!(!gone.has("cordonctl order verify"), "it is in no document that could be read there");

    bring(3, &[anew], 0).await;
    let console = Console::over(console.bench).await;
    let page = console.get("/orders").await;
    page.must("Signed anew under its name by document 3").must("Withdrawn by document 2");
    console.get("/orders/0188").await.must("closes it better").must("What it would do today");
    bring(4, &[], 30).await;
    let page = Console::over(console.bench).await.get("/orders").await;
    page.must("0 in force").must("Signed anew under its name by document 3");
    assert!(!page.has("by document 4"), "what was over was not taken back: {}", page.read());
}

#[tokio::test]
async fn a_draft_that_waits_is_listed_with_what_it_changes() {
    // Goal: the second signer finds it here and the command beside it. Method: a draft without a signature, by a hostile
    // name, that brings one order and withdraws another.
    let console = console().await;
    let scope = Scope::Set { root: Sha256([2; 32]), count: 1 };
    let later = Order { scope, ..order("0190", &[]) };
    let expires = NOW.plus_seconds(30 * 86_400);
    let draft = Draft {
        name: name("tuesday"),
        base: 1,
        intents: vec![Intent::Add(later.clone()), Intent::Withdraw(name("0188"))],
        expires,
        by: text("<b>ines"),
        made: NOW,
    };
    let unsigned = author::sign(&author::targets(&document(2, expires, &[later])), &[]);
    let handed = Handed {
        draft: String::from_utf8(draft.value().json()).expect("UTF-8"),
        document: String::from_utf8(unsigned).expect("UTF-8"),
        lists: BTreeMap::new(),
    };
    let drafts = Drafts::new(console.app().store.clone());
    drafts.put(&name("tuesday"), handed, None, by(&person())).await.expect("kept");
    let page = console.get("/orders").await;
    page.must("1 draft waits for a signature").must("brings 0190, withdraws 0188").must("0 keys of 1");
    page.must("--draft tuesday").must("nothing here is in force");
    assert!(!page.has("<b>ines"), "{}", page.read());
    assert!(!page.has("/orders/0190"), "a draft is no order");
}
