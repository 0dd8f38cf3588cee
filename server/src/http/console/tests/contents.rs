//! Rollouts of content in the console: nothing there is called a receipt, and no evidence pack is offered.

use axum::http::StatusCode;
use cordon_proto::receipt::Outcome;
use cordon_server_core::rollout::{Progress, Rollout, RolloutKind, State as Standing};

use super::fixture::{Console, commit, fill, id, name};
use crate::rollouts::tests::NOW;
use crate::store::Key;
use crate::testing::Bench;

/// The fleet with one of its rollouts bringing a content, in this state: two kiosks that have it in force.
async fn console(state: Standing) -> Console {
    let bench = Bench::start(&[]).await;
    bench.clock.hold_at(NOW.into());
    let app = bench.app();
    fill(app).await;
    let key = Key::Rollout(name("k1-704"));
    let row = app.store.get(key.clone()).await.expect("read").expect("there");
    let mut rollout: Rollout = serde_json::from_slice(&row.body).expect("a rollout");
    rollout.kind = RolloutKind::Content;
    rollout.content_version = Some(7);
    rollout.release = "content/icu".parse().expect("a path");
    rollout.waves.iter_mut().for_each(|wave| wave.order = name("content.icu"));
    rollout.state = state;
    let known = Progress { v: 1, outcome: Some(Outcome::Confirmed), ended: Some(NOW), ..Progress::default() };
    let progress = Key::Progress { rollout: name("k1-704"), device: id(4) };
    let bodies = [serde_json::to_vec(&rollout), serde_json::to_vec(&known)].map(|body| body.expect("JSON"));
    let [rollout, known] = bodies;
    commit(app, |draft| draft.put(key, rollout).put(progress, known)).await;
    Console::over(bench).await
}

#[tokio::test]
async fn a_content_is_done_by_its_devices_word_and_no_page_speaks_of_a_receipt() {
    // Goal: nobody takes a device's word for a signed receipt. Method: the page while it runs, paused and finished; the
    // names under which a pack is offered; a pack asked for all the same.
    let (at, by, reason) = (NOW, "person:j.weiss".to_owned(), "a quiet night".to_owned());
    for (state, words) in [
        (Standing::Running, "On trial"),
        (Standing::Paused { at, by, reason }, "No device is offered it"),
        (Standing::Finished { at }, "2 kiosks in force by their own word."),
    ] {
        let console = console(state).await;
        let page = console.get("/rollouts/k1-704").await;
        page.must("In force by their own word").must(words);
        assert!(!page.read().contains("receipt"), "{}", page.read());
        let evidence = console.get("/evidence").await;
        assert!(!evidence.has("content.icu") && !evidence.has("k1-704"), "{}", evidence.read());
        evidence.must("vp3-422");
        let refused = console.post("/evidence", &[("by", "rollout"), ("name", "k1-704")]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.read());
        refused.must("no receipts");
    }
}
