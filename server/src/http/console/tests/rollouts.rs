//! What a rollout's page says of each state, and its way back as a button that works.

use axum::http::StatusCode;
use cordon_proto::ids::{Sha256, TokenId};
use cordon_proto::receipt::Outcome;
use cordon_proto::update::order::{Back, Order};
use cordon_proto::update::release::Image;
use cordon_proto::update::scope::Scope;
use cordon_server_core::policy::{Role, Session};
use cordon_server_core::rollout::{Acceptance, Covers, Hold, Progress, Rollout, State as Standing, WayBack};

use super::fixture::{Console, commit, fill, id, name};
use crate::app::App;
use crate::repositories::Repositories;
use crate::rollouts::tests::{Desk, NOW, order, publish};
use crate::store::Key;
use crate::testing::{Bench, text};

/// The fleet's order with a way back, live.
pub(super) async fn publish_order(app: &App) {
    publish_order_until(app, [7, 30]).await;
}

/// The same: it ends and its way back closes so many days from now.
async fn publish_order_until(app: &App, [ends, closes]: [i64; 2]) {
    let day = |days: i64| NOW.plus_seconds(86_400 * days);
    let release = "vp-3/4.1.0".parse().expect("a path");
    let image = Image { release, length: 9, sha256: Sha256([3; 32]) };
    let back = Some(Back { image, until: day(closes) });
    let scope = Scope::Match { model: text("VP-3"), hardware: text("C"), from_least: 1, from_most: 9 };
    let repositories = Repositories::new(app.store.clone(), app.online.clone());
    let (issued, expires) = (day(-60), day(ends));
    let order = Order { back, scope, issued, not_before: issued, expires, ..order("0187", &[]) };
    publish(&Desk { online: app.online.clone(), repositories }, &[order]).await;
}

/// Puts a rollout of the fleet into another state.
pub(super) async fn stands(app: &App, id: &str, change: impl FnOnce(&mut Rollout)) {
    let key = Key::Rollout(name(id));
    let row = app.store.get(key.clone()).await.expect("read").expect("there");
    let mut rollout: Rollout = serde_json::from_slice(&row.body).expect("a rollout");
    change(&mut rollout);
    let body = serde_json::to_vec(&rollout).expect("JSON");
    commit(app, |draft| draft.put(key, body)).await;
}

/// One device of a rollout has confirmed.
async fn confirmed(app: &App, rollout: &str, number: usize) {
    let known = Progress { v: 1, outcome: Some(Outcome::Confirmed), ended: Some(NOW), ..Progress::default() };
    let key = Key::Progress { rollout: name(rollout), device: id(number) };
    let body = serde_json::to_vec(&known).expect("JSON");
    commit(app, |draft| draft.put(key, body)).await;
}

#[tokio::test]
async fn a_page_says_which_state_it_is_and_offers_what_fits_it() {
    // Goal: paused is not stopped, ended for good is not stopped. Method: each state, its words, its buttons.
    let (at, by) = (NOW, || "person:j.weiss".to_owned());
    let reason = || "The ward asked for quiet tonight".to_owned();
    let way_back = || Some(WayBack { at, by: by(), reason: reason(), in_flight: 100 });
    let all = [
        (Standing::Paused { at, by: by(), reason: reason() }, "Paused by", [true, true]),
        (Standing::Stopped { at, by: by(), reason: reason() }, "Stopped by", [false, true]),
        (Standing::Aborted { at, by: by(), reason: reason() }, "Ended for good by", [false, false]),
        (Standing::Returning, "Going back since", [true, false]),
        (Standing::Returned { at }, "Went back", [false, false]),
        (Standing::Finished { at }, "Finished", [false, false]),
    ];
    for (state, words, [stop, resume]) in all {
        let bench = Bench::start(&[]).await;
        bench.clock.hold_at(NOW.into());
        fill(bench.app()).await;
        // Somebody who can still go back: the server itself ends a return that nobody is left for.
        publish_order(bench.app()).await;
        confirmed(bench.app(), "k1-703", 4).await;
        stands(bench.app(), "k1-703", |rollout| {
            rollout.way_back = way_back().filter(|_| words.contains("back"));
            rollout.state = state;
        })
        .await;
        let console = Console::over(bench).await;
        let page = console.get("/rollouts/k1-703").await;
        page.must(words);
        let offered = ["stop", "resume"].map(|act| page.has(&format!("href=\"/rollouts/k1-703/{act}\"")));
        assert_eq!(offered, [stop, resume], "{words}");
        console.get("/rollouts").await.must("k1-703");
    }
}

#[tokio::test]
async fn a_page_names_who_stopped_it_in_words_and_advises_only_what_can_be_done() {
    // Goal: no digits of a token over half a banner, and nobody is told to resume what cannot go on. Method: a stop by a
    // token, without and with the order in force.
    let token = format!("token:6ffd2048{}", "a".repeat(56));
    for (in_force, advice) in [
        (
            false,
            "Nothing of it can go on: its orders are not in force any more. Finish it, or end it for good",
        ),
        (true, "Resume it when the reason is gone"),
    ] {
        let bench = Bench::start(&[]).await;
        bench.clock.hold_at(NOW.into());
        fill(bench.app()).await;
        if in_force {
            publish_order(bench.app()).await;
        }
        stands(bench.app(), "k1-703", |rollout| {
            let (at, by, reason) = (NOW, token.clone(), "after the theft".to_owned());
            rollout.state = Standing::Stopped { at, by, reason };
        })
        .await;
        let page = Console::over(bench).await.get("/rollouts/k1-703").await;
        page.must("Stopped by token 6ffd2048, ").must(advice);
        assert!(!page.has("aaaaaaaa"), "{}", page.read());
    }
}

#[tokio::test]
async fn a_stopped_return_goes_on_while_its_way_back_is_open_and_is_never_called_done() {
    // Goal: nobody is advised or offered what the server refuses. Method: a return that was stopped, when the order has ended
    // and its way back has not, and when both have; a rollout that was stopped before anybody was sent back.
    for (returns, days, advice) in [
        (true, [-1, 1], "Resume it when the reason is gone"),
        (true, [-2, -1], "the way back has closed. End it for good"),
        (false, [1, 2], "Resume it when the reason is gone"),
    ] {
        let bench = Bench::start(&[]).await;
        bench.clock.hold_at(NOW.into());
        fill(bench.app()).await;
        publish_order_until(bench.app(), days).await;
        confirmed(bench.app(), "k1-703", 4).await;
        stands(bench.app(), "k1-703", |rollout| {
            let (at, by, reason) = (NOW, "person:j.weiss".to_owned(), "it drifts in therapy".to_owned());
            let way = WayBack { at, by: by.clone(), reason: reason.clone(), in_flight: 100 };
            rollout.way_back = returns.then_some(way);
            rollout.state = Standing::Stopped { at, by, reason };
        })
        .await;
        let page = Console::over(bench).await.get("/rollouts/k1-703").await;
        page.must(advice);
        let offered = ["finish", "abort"].map(|act| page.has(&format!("href=\"/rollouts/k1-703/{act}\"")));
        assert_eq!(offered, [!returns, true], "{advice}");
    }
}

#[tokio::test]
async fn the_way_back_is_one_press_and_a_reason() {
    // Goal: confirmed devices go back without a new signature. Method: a halted rollout with one confirmed device; the
    // question, a short reason, a good one; the page, the offer, the journal.
    let bench = Bench::start(&[]).await;
    bench.clock.hold_at(NOW.into());
    fill(bench.app()).await;
    publish_order(bench.app()).await;
    confirmed(bench.app(), "vp3-422", 0).await;
    let console = Console::over(bench).await;
    console.get("/rollouts/vp3-422").await.must("Go back to 4.1.0");
    console.get("/rollouts/vp3-422/back").await.must("Go back to 4.1.0 on 1 device?");
    let short = console.post("/rollouts/vp3-422/back", &[("reason", "no")]).await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    let done = console.post("/rollouts/vp3-422/back", &[("reason", "it drifts in therapy")]).await;
    let page = console.get(done.location()).await;
    page.must("Going back since").must("1 infusion pump still to go back").must("it drifts in therapy");
    assert!(console.bench.journal().await.contains(&"rollout.back".to_owned()));
}

#[tokio::test]
async fn who_confirmed_behind_a_way_back_that_ended_is_offered_it() {
    // Goal: nobody stays behind on the bad release, and an empty way back is not offered. Method: ended without and
    // with a device that confirmed.
    for late in [false, true] {
        let bench = Bench::start(&[]).await;
        bench.clock.hold_at(NOW.into());
        fill(bench.app()).await;
        publish_order(bench.app()).await;
        if late {
            confirmed(bench.app(), "vp3-422", 0).await;
        }
        stands(bench.app(), "vp3-422", |rollout| rollout.state = Standing::Returned { at: NOW }).await;
        let page = Console::over(bench).await.get("/rollouts/vp3-422").await;
        assert_eq!(page.must("Went back").has("href=\"/rollouts/vp3-422/back\""), late);
    }
}

#[tokio::test]
async fn a_clinical_engineer_stops_and_holds_and_sets_nothing_going() {
    // Goal: who stands at the bed stops without asking anybody. Method: a session of that role; stop, hold, resume, back, lift.
    let console = Console::with_fleet().await;
    let app = console.app();
    let session = Session::new(text("ward"), Role::Clinical, console.csrf.clone(), app.clock.now());
    let key = Key::Session(TokenId::of(&console.cookie));
    commit(app, |draft| draft.put(key, session.to_body())).await;
    let reason = ("reason", "it beeps beside a patient");
    let stopped = console.post("/rollouts/k1-704/stop", &[reason]).await;
    console.get(stopped.location()).await.must("Stopped by ward, ");
    let held = console.post("/holds/new", &[reason, ("choice", "ward:St. Brigid/4B")]).await;
    let list = console.get(held.location()).await;
    let hold = list.text.split("href=\"/holds/h-").nth(1).and_then(|rest| rest.split('"').next());
    let lift = format!("/holds/h-{}", hold.expect("a hold"));
    for path in ["/rollouts/k1-704/resume", "/rollouts/vp3-422/back", &lift] {
        assert_eq!(console.post(path, &[reason]).await.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn returning_a_device_to_use_is_offered_to_who_may() {
    // Goal: no page offers what its reader is refused. Method: two kiosks that confirmed and wait for a person, as each role
    // sees them.
    for (role, may) in [(Role::Administrator, true), (Role::Clinical, false), (Role::Reader, false)] {
        let bench = Bench::start(&[]).await;
        fill(bench.app()).await;
        stands(bench.app(), "k1-704", |rollout| rollout.acceptance = Acceptance::Every).await;
        let console = Console::over(bench).await.with_role(role).await;
        let page = console.get("/rollouts/k1-704").await;
        page.must("2 devices wait to be returned to use");
        let form = format!("href=\"/rollouts/k1-704/devices/{}/accept\"", id(4));
        assert_eq!(page.has(&form), may, "{role:?}");
        assert_eq!(page.has("Return to use…"), may, "{role:?}");
    }
}

#[tokio::test]
async fn a_yes_is_to_what_stood_on_the_page() {
    // Goal: a page that was left open undoes nobody's stop. Method: the question over one stop; another stop meanwhile; the
    // answer to the first; the answer to the second.
    let console = Console::with_fleet().await;
    let reason = ("reason", "looked at it with the ward");
    let asked = async || {
        let page = console.get("/rollouts/k1-704/resume").await;
        let rest = page.text.split("/rollouts/k1-704/resume?seen=").nth(1).expect("what was seen").to_owned();
        format!("/rollouts/k1-704/resume?seen={}", rest.split('"').next().expect("its end"))
    };
    console.post("/rollouts/k1-704/stop", &[reason]).await;
    let (first, app) = (asked().await, console.app());
    stands(app, "k1-704", |rollout| {
        let (at, by) = (NOW, "person:j.weiss".to_owned());
        rollout.state = Standing::Stopped { at, by, reason: "a second stop".to_owned() };
    })
    .await;
    let console = Console::over(console.bench).await;
    let stale = console.post(&first, &[reason]).await;
    assert_eq!(stale.status, StatusCode::CONFLICT, "{}", stale.read());
    console.get("/rollouts/k1-704").await.must("Stopped by");
    let asked = console.get("/rollouts/k1-704/resume").await;
    let now = format!("/rollouts/k1-704/resume?seen=stopped@{}", NOW.0);
    asked.must(&now);
    let done = console.post(&now, &[reason]).await;
    console.get(done.location()).await.must("Wave 1 runs");
}

#[tokio::test]
async fn a_person_returns_a_device_to_use() {
    // Goal: who waits is listed, a word is written down with its person, and nothing is accepted by mistake. Method: two
    // kiosks that confirmed; no choice, a short note, a good word, a bad one; who never confirmed, and who is elsewhere.
    let bench = Bench::start(&[]).await;
    fill(bench.app()).await;
    stands(bench.app(), "k1-704", |rollout| {
        rollout.acceptance = Acceptance::Every;
        rollout.work_order = Some("WO-<i>1187".to_owned());
    })
    .await;
    let console = Console::over(bench).await;
    let page = console.get("/rollouts/k1-704").await;
    page.must("2 devices wait to be returned to use").must("every device that confirmed").must("1187");
    assert!(!page.has("WO-<i>"), "{}", page.read());
    let [one, other] = [4, 5].map(|number| format!("/rollouts/k1-704/devices/{}/accept", id(number)));
    page.must(&format!("href=\"{one}\""));
    console.get(&one).await.must("Return 1 device to use?").must("What was seen").must("Work-order number");
    let note = ("reason", "touch screen and printer tried");
    let unsaid = console.post(&one, &[note, ("work_order", "WO-7")]).await;
    assert_eq!(unsaid.status, StatusCode::UNPROCESSABLE_ENTITY);
    unsaid.must("Say whether it may be used again.").must("value=\"WO-7\"").must("touch screen and printer");
    let short = console.post(&one, &[("reason", "ok"), ("choice", "good")]).await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    let good = console.post(&one, &[note, ("choice", "good"), ("work_order", "WO-7")]).await;
    let page = console.get(good.location()).await;
    page.must("is returned to use").must("1 device waits to be returned to use").must("work order WO-7");
    page.must("Returned to use").must("touch screen and printer tried");
    let bad = console.post(&other, &[("reason", "the screen stays dark"), ("choice", "bad")]).await;
    let page = console.get(bad.location()).await;
    page.must("No device waits to be returned to use").must("Not good").must("1 failed device");
    let journal = console.bench.journal().await;
    assert_eq!(journal.iter().filter(|act| *act == "rollout.accept").count(), 2);
    let early = console.get(&format!("/rollouts/vp3-422/devices/{}/accept", id(0))).await;
    early.must("nly a device that confirmed the release can be accepted");
    let elsewhere = console.get(&format!("/rollouts/k1-704/devices/{}/accept", id(0))).await;
    assert_eq!(elsewhere.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn whoever_may_stop_stops_in_the_console_too() {
    // Goal: a clinical engineer stops and holds here as by the API, and does nothing else; a reader does nothing. Method:
    // each role, each act.
    let reason = ("reason", "the ward asked for quiet");
    for (role, stops) in [(Role::Clinical, true), (Role::Reader, false)] {
        let console = Console::with_fleet().await.with_role(role).await;
        let status = |may| if may { StatusCode::SEE_OTHER } else { StatusCode::FORBIDDEN };
        let stopped = console.post("/rollouts/k1-704/stop", &[reason]).await;
        assert_eq!(stopped.status, status(stops), "{role:?}: {}", stopped.read());
        let held = console.post("/holds/new", &[reason, ("choice", "ward:St. Brigid/4B")]).await;
        assert_eq!(held.status, status(stops), "{role:?}: {}", held.read());
        for address in [
            "/rollouts/k1-704/resume".to_owned(),
            format!("/rollouts/k1-704/devices/{}/accept", id(4)),
            format!("/devices/{}/quarantine", id(0)),
        ] {
            let refused = console.post(&address, &[reason, ("choice", "good")]).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{role:?} {address}: {}", refused.read());
        }
    }
}

#[tokio::test]
async fn the_calendar_plans_nothing_of_a_rollout_that_stands_still_and_says_why() {
    // Goal: a ward reads what tonight brings, and what does not come tonight. Method: a halted rollout of pumps with an order
    // for weekday nights; the same running, paused, stopped.
    let mut console = super::orders::console().await;
    let (app, at) = (console.app().clone(), NOW);
    let (by, reason) = ("person:j.weiss".to_owned(), "the night shift is short".to_owned());
    stands(&app, "k1-703", |rollout| rollout.state = Standing::Finished { at }).await;
    console = Console::over(console.bench).await;
    let halted = console.get("/calendar").await;
    halted.must("VP-3 4.2.2 to 4 infusion pumps: stopped itself").must("not before it goes on");
    halted.must("tonight disturbs no ward; 1 rollout stands still");
    for (state, word, planned) in [
        (Standing::Running, None, true),
        (Standing::Paused { at, by: by.clone(), reason: reason.clone() }, Some("paused"), false),
        (Standing::Stopped { at, by, reason }, Some("stopped"), false),
    ] {
        stands(&app, "vp3-422", |rollout| rollout.state = state.clone()).await;
        console = Console::over(console.bench).await;
        let page = console.get("/calendar").await;
        let told = word.map(|word| format!("VP-3 4.2.2 to 4 infusion pumps: {word}<"));
        page.must(told.as_deref().unwrap_or("VP-3 4.2.2 to 4 infusion pumps<"));
        assert_eq!(page.has("class=\"opens\""), planned, "{word:?}: {}", page.read());
        assert_eq!(page.has("not before it goes on"), !planned, "{word:?}: {}", page.read());
    }
}

#[tokio::test]
async fn a_hold_that_has_lapsed_is_told_where_people_look() {
    // Goal: nobody believes for a week that a ward is still held. Method: a hold for an hour; the list, the device and the
    // ends within it, and after it; what is offered is another hold of the same ward.
    let bench = Bench::start(&[]).await;
    bench.clock.hold_at(NOW.into());
    fill(bench.app()).await;
    let until = NOW.plus_seconds(3600);
    let hold = Hold {
        v: 1,
        id: "h-1".parse().expect("a name"),
        covers: Covers::Ward("St. Brigid/4B".to_owned()),
        by: "person:j.weiss".to_owned(),
        reason: "two transfers tonight".to_owned(),
        at: NOW,
        until: Some(until),
        lapsed: None,
    };
    let body = serde_json::to_vec(&hold).expect("JSON");
    commit(bench.app(), |draft| draft.put(Key::Hold(hold.id.clone()), body)).await;
    let console = Console::over(bench).await;
    let device = format!("/devices/{}", id(0));
    let list = console.get("/rollouts").await;
    assert!(!list.must("Lift…").has("Hold again…"), "{}", list.read());
    console.get(&device).await.must("Held by j.weiss");
    console.get("/expiries").await.must("Within 7 days").must("two transfers tonight");
    console.bench.clock.hold_at(until.into());
    let list = console.get("/rollouts").await;
    list.must("Holds that have lapsed").must("two transfers tonight").must("/holds/new?choice=ward%3A");
    assert!(!list.has("Lift…"), "{}", list.read());
    assert!(!console.get(&device).await.has("Held by"));
    console.get("/expiries").await.must("Over").must("two transfers tonight").must("set it anew");
}

#[tokio::test]
async fn a_hold_is_set_for_hours_in_the_console_too() {
    // Goal: nobody has to remember in the morning. Method: eight hours; none; what is no number, none, and too many.
    let console = Console::with_fleet().await;
    let now = console.app().clock.now();
    let choice = ("choice", "ward:St. Brigid/4B");
    let reason = ("reason", "two transfers tonight");
    for wrong in ["0", "-1", "2161", "8h", "8.5"] {
        let refused = console.post("/holds/new", &[reason, choice, ("hours", wrong)]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        refused
            .must("whole hours, 1 to 2160")
            .must(&format!("value=\"{wrong}\""))
            .must("two transfers tonight");
    }
    assert!(!console.get("/rollouts").await.has("Lift…"), "nothing was set");
    console.post("/holds/new", &[reason, choice, ("hours", " 8 ")]).await.location();
    let holds = console.get("/api/v1/holds").await;
    let holds: serde_json::Value = serde_json::from_str(&holds.text).expect("JSON");
    let until = holds["holds"][0]["until"].as_i64().expect("an end");
    assert!((until - now.0 - 8 * 3600).abs() < 60, "{holds}");
    console.post("/holds/new", &[reason, choice]).await.location();
    console.get("/rollouts").await.must("when somebody lifts it");
}
