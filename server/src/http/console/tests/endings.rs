//! Pausing, finishing and ending a rollout from its page: what is asked, who may, what a wrong state answers.

use axum::http::StatusCode;
use cordon_server_core::policy::Role;
use cordon_server_core::rollout::{Progress, State as Standing};

use super::fixture::{Console, commit, fill, id, name};
use super::rollouts::{publish_order, stands};
use crate::http::console::live::Told;
use crate::rollouts::tests::NOW;
use crate::store::Key;
use crate::testing::Bench;

const PAGE: &str = "/rollouts/k1-704";
const REASON: (&str, &str) = ("reason", "the ward asked for quiet");

/// A rollout that runs: one kiosk has confirmed, the other has the go.
async fn running() -> Console {
    let bench = Bench::start(&[]).await;
    bench.clock.hold_at(NOW.into());
    fill(bench.app()).await;
    publish_order(bench.app()).await;
    let known = Progress { v: 1, permitted: Some(NOW), ..Progress::default() };
    let key = Key::Progress { rollout: name("k1-704"), device: id(5) };
    let body = serde_json::to_vec(&known).expect("JSON");
    commit(bench.app(), |draft| draft.put(key, body)).await;
    Console::over(bench).await
}

fn act(act: &str) -> String {
    format!("{PAGE}/{act}")
}

#[tokio::test]
async fn a_person_pauses_resumes_and_finishes_from_the_page_and_other_pages_hear_of_it() {
    // Goal: the console does what the API does, and says how many devices are under way before it does. Method: each act
    // in turn by the form of its page; the words, the journal, the stream.
    let console = running().await;
    let mut told = Told::default();
    console.live.events(&mut told).await.expect("read");
    console.get(PAGE).await.must("Wave 1 runs").must("href=\"/rollouts/k1-704/pause\"");
    let question = console.get(&act("pause")).await;
    question.must("Pause this rollout?").must("1 device is under way: each keeps its go");
    let short = console.post(&act("pause"), &[("reason", "no")]).await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    let done = console.post(&act("pause"), &[REASON]).await;
    let page = console.get(done.location()).await;
    page.must("Paused by").must("the ward asked for quiet").must("The rollout is paused");
    let heard = console.live.events(&mut told).await.expect("read");
    assert!(heard.iter().any(|(_, data)| data.contains("\"/rollouts/k1-704\"")), "{heard:?}");
    let done = console.post(&act("resume"), &[REASON]).await;
    console.get(done.location()).await.must("Wave 1 runs").must("The rollout goes on");
    let question = console.get(&act("finish")).await;
    question.must("1 device has not ended and stays as it is").must("1 device is under way");
    let done = console.post(&act("finish"), &[REASON]).await;
    console.get(done.location()).await.must("Finished").must("The rollout is finished");
    let journal = console.bench.journal().await;
    let acts: Vec<&str> = ["rollout.pause", "rollout.resume", "rollout.finish"].into();
    assert!(acts.iter().all(|act| journal.iter().any(|entry| entry == act)), "{journal:?}");
}

#[tokio::test]
async fn ending_for_good_leaves_the_way_back_open_and_says_so() {
    // Goal: who ends a bad release in fright has not closed its way back. Method: one confirmed device and an open way
    // back; ended for good, it goes back all the same, but not while another rollout would bring it the release again.
    let console = running().await;
    let question = console.get(&act("abort")).await;
    question
        .must("End this rollout for good?")
        .must("1 device has confirmed: the signed way back stays open for them");
    question.must("what has not rebooted yet stays on its present release");
    let done = console.post(&act("abort"), &[REASON]).await;
    let page = console.get(done.location()).await;
    page.must("Ended for good by").must("The rollout is ended for good");
    for gone in ["pause", "stop", "resume", "finish", "abort"] {
        assert!(!page.has(&format!("href=\"{}\"", act(gone))), "{gone}: {}", page.read());
    }
    assert!(console.bench.journal().await.contains(&"rollout.abort".to_owned()));
    assert!(page.has(&format!("href=\"{}\"", act("back"))), "{}", page.read());
    let refused = console.post(&act("back"), &[REASON]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.read());
    refused.must("k1-703").must("of the same release: finish or abort that one first");
    stands(console.bench.app(), "k1-703", |other| other.state = Standing::Finished { at: NOW }).await;
    let done = console.post(&act("back"), &[REASON]).await;
    console.get(done.location()).await.must("Going back since");
}

#[tokio::test]
async fn an_act_that_does_not_fit_the_state_is_refused_in_words() {
    // Goal: two people at once, or a page that was left open, change nothing by mistake. Method: each act over a state
    // that it does not fit.
    let at = NOW;
    for (state, acts) in [
        (Standing::Finished { at }, ["pause", "finish", "abort", "resume"]),
        (Standing::Returned { at }, ["pause", "finish", "abort", "stop"]),
    ] {
        let bench = Bench::start(&[]).await;
        bench.clock.hold_at(NOW.into());
        fill(bench.app()).await;
        stands(bench.app(), "k1-704", |rollout| rollout.state = state.clone()).await;
        let console = Console::over(bench).await;
        for one in acts {
            let refused = console.post(&act(one), &[REASON]).await;
            assert_eq!(refused.status, StatusCode::CONFLICT, "{one} over {state:?}: {}", refused.read());
            refused.must("The rollout is ").must("Nothing was changed").must("href=\"/rollouts/k1-704\"");
        }
    }
    let console = running().await;
    console.post(&act("pause"), &[REASON]).await;
    assert_eq!(console.post(&act("pause"), &[REASON]).await.status, StatusCode::CONFLICT, "paused twice");
    assert_eq!(console.get(&act("destroy")).await.status, StatusCode::NOT_FOUND);
    let unproved = console.post_bare(&act("abort"), &[REASON]).await;
    assert_eq!(unproved.status, StatusCode::FORBIDDEN, "without the session's proof");
    console.get(PAGE).await.must("Paused by");
}

#[tokio::test]
async fn a_page_offers_to_each_role_what_it_may_and_stop_to_all() {
    // Goal: buttons and API agree on who may what. Method: each role; what its page offers, what its form does.
    let all = ["stop", "pause", "finish", "abort"];
    for (role, offered, may) in [
        (Role::Administrator, [true, true, true, true], [true, true, true, true]),
        (Role::Clinical, [true, true, false, false], [true, true, false, false]),
        (Role::Reader, [true, false, false, false], [false, false, false, false]),
    ] {
        let page = running().await.with_role(role).await.get(PAGE).await;
        let found = all.map(|one| page.has(&format!("href=\"{}\"", act(one))));
        assert_eq!(found, offered, "{role:?}: {}", page.read());
        for (one, may) in all.into_iter().zip(may) {
            let console = running().await.with_role(role).await;
            let done = console.post(&act(one), &[REASON]).await;
            let wanted = if may { StatusCode::SEE_OTHER } else { StatusCode::FORBIDDEN };
            assert_eq!(done.status, wanted, "{role:?} {one}: {}", done.read());
            if !may {
                done.must("Nothing was changed");
                console.get(PAGE).await.must("Wave 1 runs");
            }
        }
    }
}
