//! What waits for a person, tokens whose secret is shown once, and the identity of one device, as a browser meets them.

use std::sync::Arc;

use cordon_proto::enrol::EnrolmentString;
use cordon_proto::ids::{Sha256, TokenId};
use cordon_server_core::audit::{Actor, Entry, Summary};
use cordon_server_core::change::Commit;
use cordon_server_core::device::{Asking, Device, Doubt, DoubtKind, Identity, State as Trust};

use super::fixture::{Console, id};
use super::*;
use crate::clock::Clock;
use crate::store::Key;
use crate::store::memory::Memory;
use crate::testing::faulty::{Fault, Faulty};
use crate::testing::{Bench, text};

impl Console {
    async fn change(&self, number: usize, change: impl FnOnce(Device) -> Device) {
        let app = self.app();
        let device = change(Device::clone(&app.fleet.get(id(number)).expect("there").device));
        let draft = Commit::draft(app.clock.now(), Actor::Server("tests".parse().expect("a name")));
        app.commit(draft.put(Key::Device(device.id), device.to_body())).await.expect("stored");
    }

    /// A key that asks for a device's identity.
    async fn asks(&self, number: usize, key: u8) -> Sha256 {
        let (key, at) = (Sha256([key; 32]), self.app().clock.now());
        let asking = Asking { key, at, from: text("10.0.0.9 <b>"), with: text("nothing"), approved: None };
        self.change(number, |device| Device { asking: Some(asking), ..device }).await;
        key
    }

    fn asking(&self, number: usize) -> Option<Asking> {
        self.app().fleet.get(id(number)).expect("there").device.asking.clone()
    }
}

#[tokio::test]
async fn what_waits_is_seen_with_its_whole_fingerprint_and_answered_with_a_reason() {
    // Goal: a person compares a key and answers that one. Method: two keys; a question; a short reason; yes to one
    // while another key asks for the other; no; the journal.
    let console = Console::with_fleet().await;
    console.get("/approvals").await.must("Nobody waits.");
    let (first, second) = (console.asks(0, 0xab).await, console.asks(4, 0xcd).await);
    console.get("/").await.must("A second key asks for the identity of VP3-0001").must("Waiting");
    let list = console.get("/approvals").await;
    let page = console.get(&format!("/devices/{}/identity", id(0))).await;
    page.must("Yes, and a second key asks for it.").must("until a person answers the key below");
    assert!(!page.has("one key"), "two keys have to do with it");
    list.must("2 keys wait for a person.").must("<b>abab</b> <span>abab</span>").must("10.0.0.9 &#60;b&#62;");
    assert_eq!(list.count("data-row>"), 2);
    let pairs = [format!("{}:{first}", id(0)), format!("{}:{second}", id(4))];
    let query = crate::ui::paths::with_query("", &[("key", &pairs[0]), ("key", &pairs[1])]);
    let question = console.get(&format!("/approvals/approve{query}")).await;
    question.must("Approve 2 keys?").must("2 of them replace the keys of a living identity").must(&pairs[0]);
    let both = [("device", pairs[0].as_str()), ("device", pairs[1].as_str())];
    let short = console.post("/approvals/approve", &[&both[..], &[("reason", "short")]].concat()).await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    short.must("Write at least 10 characters").must("Approve 2 keys?");
    assert!(console.asking(0).expect("it waits").approved.is_none());
    let third = console.asks(4, 0xef).await;
    let reason = ("reason", "read off both screens");
    let done = console.post("/approvals/approve", &[&both[..], &[reason]].concat()).await;
    assert_eq!(done.location(), "/approvals");
    assert_eq!(
        console.asking(0).and_then(|asking| asking.approved).map(|yes| yes.by),
        Some("person:admin".into())
    );
    assert_eq!(console.asking(4).map(|asking| (asking.key, asking.approved)), Some((third, None)));
    console.get("/approvals").await.must("1 key approved").must("1 approved key has not been fetched");
    let deny = [("device", &*format!("{}:{third}", id(4))), ("reason", "nobody reset this kiosk")];
    console.post("/approvals/deny", &deny).await;
    assert_eq!(console.asking(4), None);
    assert_eq!(console.app().fleet.get(id(4)).expect("lives on").device.state, Trust::Active);
    let page = console.get(&format!("/devices/{}/identity", id(0))).await;
    page.must("Key approved").must("read off both screens").must("has not asked again yet");
    page.must("Yes, until another key takes its place.");
    assert!(!page.has("one key"), "two keys have to do with it");
    let journal = console.bench.journal().await;
    assert_eq!(journal.iter().filter(|act| act.starts_with("device.")).count(), 2, "{journal:?}");
}

#[tokio::test]
async fn a_tokens_secret_is_shown_once_and_in_no_address() {
    // Goal: whoever looks over a shoulder later sees nothing. Method: a wrong form, a right one, the same form again,
    // the list, taking it back.
    let console = Console::with_fleet().await;
    let form = console.get("/tokens/new").await;
    let once = form.text.split("name=\"once\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let once = once.expect("a form of its own").to_owned();
    let fields = |serial: &'static str, hours: &'static str| {
        vec![
            ("once", once.clone()),
            ("model", "VP-3".to_owned()),
            ("serial", serial.to_owned()),
            ("ward", "4B".to_owned()),
            ("hours", hours.to_owned()),
        ]
    };
    let post = async |fields: Vec<(&'static str, String)>| {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        console.post("/tokens/new", &fields).await
    };
    let wrong = post(fields("", "1")).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    wrong.must("Not made yet").must("value=\"4B\"");
    let made = post(fields("VP3-0009", "8")).await;
    assert_eq!((made.status, made.headers["cache-control"].as_str()), (StatusCode::OK, "no-store"));
    made.must("This is the only time you see it")
        .must("cordonctl tokens join --with -")
        .must("VP3-0009.join");
    let text =
        made.text.split("<code>cordon1:").nth(1).and_then(|rest| rest.split('<').next()).expect("a token");
    let text = format!("cordon1:{text}").replace("&#35;", "#");
    assert!(text.parse::<EnrolmentString>().is_err(), "not whole without the person's own root");
    let secret = text.rsplit('#').next().expect("a secret").to_owned();
    let token = console.app().token(TokenId::of(&secret)).await.expect("read").expect("made");
    assert_eq!(token.by, "person:admin");
    assert_eq!(post(fields("VP3-0009", "8")).await.location(), "/tokens");
    let list = console.get("/tokens").await;
    list.must(&format!("title=\"{}\"", TokenId::of(&secret)));
    list.must("1 token lets somebody in now.")
        .must("VP3-0009")
        .must("was shown, and is not known here any more");
    assert!(!list.has(&secret));
    let revoke = format!("/tokens/{}/revoke", TokenId::of(&secret));
    console.get(&revoke).await.must("Take 1 token back?");
    assert_eq!(console.post(&revoke, &[("reason", "sent to the wrong ward")]).await.location(), "/tokens");
    console.get("/tokens").await.must("No token lets anybody in now.").must("Taken back");
    console.get("/devices?state=expected").await.must("VP3-0009");
}

#[tokio::test]
async fn the_end_of_an_identity_says_what_the_device_will_do() {
    // Goal: nobody retires a device without knowing that it wipes itself, and therapy stays out of it. Method: each
    // question, and the way lost, found, retired.
    let console = Console::with_fleet().await;
    let page = format!("/devices/{}", id(5));
    let shown = console.get(&format!("{page}/identity")).await;
    shown
        .must("Is its identity in order?")
        .must("Yes.")
        .must("Retire…")
        .must("None of these touches therapy");
    console
        .get(&format!("{page}/quarantine"))
        .await
        .must("only check status and take updates")
        .must("Therapy and network");
    for act in ["retire", "report-lost"] {
        let question = console.get(&format!("{page}/{act}")).await;
        question
            .must("wipes its identity, profile, content and spool")
            .must("Therapy, network")
            .must("last signed receipt");
    }
    let reason = [("reason", "seen nowhere since Friday")];
    assert_eq!(
        console.post(&format!("{page}/report-lost"), &reason).await.location(),
        format!("{page}/identity")
    );
    let lost = console.get(&format!("{page}/identity")).await;
    lost.must("Reported lost.").must("It was found…").must("it wipes itself when it is");
    assert!(!lost.has("Quarantine…"), "nothing is offered that cannot be done");
    console.post(&format!("{page}/find"), &[("reason", "it stood in the cellar")]).await;
    console.get(&format!("{page}/identity")).await.must("In quarantine.").must("it stood in the cellar");
    console.post(&format!("{page}/retire"), &[("reason", "sold to another clinic")]).await;
    console.get(&format!("{page}/identity")).await.must("It has ended.").must("sold to another clinic");
}

#[tokio::test]
async fn a_doubt_is_shown_with_what_was_seen_and_cleared_by_a_person() {
    // Goal: a copy is noticed and a person decides. Method: a doubt on a pump: overview, device, identity; clear it.
    let console = Console::with_fleet().await;
    let evidence = text("10.0.0.1 and 10.0.0.2 in turns");
    let at = console.app().clock.now();
    console
        .change(0, |device| Device {
            doubt: Some(Doubt { kind: DoubtKind::Overlap, at, evidence }),
            ..device
        })
        .await;
    console.get("/").await.must("VP3-0001: One certificate is in use from two addresses");
    let page = format!("/devices/{}", id(0));
    console
        .get(&page)
        .await
        .must("Look whether there is a second machine")
        .must("There may be a second machine");
    let identity = console.get(&format!("{page}/identity")).await;
    identity
        .must("Not sure.")
        .must("10.0.0.1 and 10.0.0.2 in turns")
        .must("Clear the doubt…")
        .must("none is renewed");
    let cleared = [("reason", "one pump with two network cards")];
    assert_eq!(
        console.post(&format!("{page}/clear-doubt"), &cleared).await.location(),
        format!("{page}/identity")
    );
    console.get(&format!("{page}/identity")).await.must("Yes.").must("Doubt cleared");
}

#[tokio::test]
async fn keys_that_wait_no_more_are_counted_and_nobody_is_moved() {
    // Goal: nobody takes a key for answered that was not. Method: three keys chosen, of which one does not wait, then
    // another one is exchanged before the answer; a place in the form, which placed devices do not ask for.
    let console = Console::with_fleet().await;
    let (first, second) = (console.asks(0, 0xab).await, console.asks(4, 0xcd).await);
    let pairs = [format!("{}:{first}", id(0)), format!("{}:{second}", id(4)), format!("{}:{second}", id(5))];
    let query: Vec<(&str, &str)> = pairs.iter().map(|pair| ("key", pair.as_str())).collect();
    let address = format!("/approvals/approve{}", crate::ui::paths::with_query("", &query));
    let question = console.get(&address).await;
    question.must("Approve 2 keys?").must("1 key that you chose waits no more, and will not be answered.");
    question.must("name=\"left\" value=\"1\"");
    assert!(!question.has("act-ward"), "both stand somewhere");
    let fields = [
        ("device", pairs[0].as_str()),
        ("device", pairs[1].as_str()),
        ("left", "1"),
        ("site", "St. Elsewhere"),
        ("ward", "9"),
        ("kind", "ventilator"),
        ("model", "K-9"),
    ];
    console.asks(4, 0xef).await;
    let short = console.post("/approvals/approve", &[&fields[..], &[("reason", "short")]].concat()).await;
    short.must("Approve 1 key?").must("2 keys that you chose wait no more").must("name=\"left\" value=\"2\"");
    let reason = ("reason", "read off both screens");
    assert_eq!(
        console.post("/approvals/approve", &[&fields[..], &[reason]].concat()).await.location(),
        "/approvals"
    );
    console.get("/approvals").await.must("1 key approved; 2 were not answered");
    let device = console.app().fleet.get(id(0)).expect("there").device.clone();
    assert!(device.asking.as_ref().is_some_and(|asking| asking.approved.is_some()));
    let stands =
        (device.placement.site.as_str(), device.placement.ward.as_str(), device.hardware.model.as_str());
    assert_eq!(stands, ("St. Brigid", "4B", "VP-3"));
    let gone = console.get(&format!("/approvals/approve?key={}", pairs[2])).await;
    assert_eq!(gone.location(), "/approvals");
    console.get("/approvals").await.must("None of these keys waits any more");
}

#[tokio::test]
async fn a_key_whose_time_is_over_is_neither_shown_nor_approved() {
    // Goal: what is approved is what the person sees. Method: a key that waited two weeks, by its old address.
    let console = Console::with_fleet().await;
    let key = console.asks(0, 0xab).await;
    let old = console.app().clock.now().plus_seconds(-cordon_proto::limits::APPROVAL_DAYS * 86_400);
    console
        .change(0, |device| Device {
            asking: device.asking.clone().map(|asking| Asking { at: old, ..asking }),
            ..device
        })
        .await;
    console.get("/approvals").await.must("Nobody waits.");
    let fields = [("device", &*format!("{}:{key}", id(0))), ("reason", "read off its own screen")];
    assert_eq!(console.post("/approvals/approve", &fields).await.location(), "/approvals");
    console.get("/approvals").await.must("None of these keys waits any more");
    assert!(console.asking(0).is_some_and(|asking| asking.approved.is_none()));
}

#[tokio::test]
async fn a_form_whose_commit_fails_can_be_sent_again() {
    // Goal: a fault of the store costs no secret and no form. Method: the store fails once, then the very same form.
    let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let clock = Clock::held(Clock::system().now_ms());
    let bench = Bench::over(store.clone(), Bench::laid().await, &[], clock).await;
    let console = Console::over(bench).await;
    let fields = [("once", "a form of its own"), ("model", "VP-3"), ("serial", "VP3-0009"), ("hours", "8")];
    store.next(Fault::Before);
    assert_eq!(console.post("/tokens/new", &fields).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let made = console.post("/tokens/new", &fields).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.read());
    made.must("This is the only time you see it");
    assert_eq!(console.post("/tokens/new", &fields).await.location(), "/tokens", "and once only");
    store.next(Fault::Conflict);
    let other = [("once", "another form"), ("model", "VP-3"), ("serial", "VP3-0010"), ("hours", "8")];
    assert_eq!(console.post("/tokens/new", &other).await.status, StatusCode::OK, "it is decided anew");
}

#[tokio::test]
async fn no_page_spells_out_a_token() {
    // Goal: no unbroken line of 64 digits widens a page, and the whole id is still there. Method: a token that paid, one
    // that was brought, one in the journal; every page that tells of them, as it is read.
    let console = Console::with_fleet().await;
    let (paid, brought) = (TokenId([0x5a; 32]), TokenId([0xb6; 32]));
    let at = console.app().clock.now();
    console
        .change(0, |device| {
            let identity = device.identity.clone().map(|identity| Identity { token: Some(paid), ..identity });
            let with = text(&format!("token {brought}"));
            let key = Sha256([0xab; 32]);
            let asking = Asking { key, at, from: text("10.0.0.9"), with, approved: None };
            Device { identity, asking: Some(asking), ..device }
        })
        .await;
    let entry = Entry {
        reason: Some(text(&format!("with token {paid}"))),
        before: Some(Summary::of(&format!("brought token {brought}"))),
        ..Entry::new("enrol.wait".parse().expect("a name"), text(&format!("device:{}", id(0))))
    };
    let draft = Commit::draft(at, Actor::Server("tests".parse().expect("a name"))).audit(entry);
    console.app().commit(draft).await.expect("stored");
    let page = format!("/devices/{}", id(0));
    for (address, tokens) in [
        (page.clone(), vec![paid]),
        (format!("{page}/identity"), vec![paid, brought]),
        ("/approvals".to_owned(), vec![brought]),
    ] {
        let shown = console.get(&address).await;
        for token in tokens {
            shown.must(&format!("title=\"{token}\""));
            assert!(!shown.read().contains(&token.to_string()), "{address}\n{}", shown.read());
        }
    }
}
