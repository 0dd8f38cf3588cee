//! Findings of many devices, what a decision would hide, and service visits, as a person sees them.

use cordon_proto::telemetry::Severity;

use super::fixture::{Console, finding, finding_id, put_finding};
use super::*;

const TITLE: &str = "Opens connections to a new name";

#[tokio::test]
async fn many_devices_are_one_row_with_one_decision_that_says_what_it_hides() {
    // Goal: one row and one decision, told before. Method: three pumps show the same; list, group, question, decision.
    let console = Console::with_fleet().await;
    let now = console.app().clock.now();
    for number in [1, 2, 3] {
        put_finding(console.app(), number, finding(now, TITLE, Severity::Medium)).await;
    }
    let list = console.get("/findings").await;
    list.must("Of many devices").must("3 of 4 VP-3");
    assert_eq!(list.count(TITLE), 1, "one row: {}", list.read());
    let (_, rest) = list.text.split_once("/findings/groups/").expect("a group");
    let (id, _) = rest.split_once('"').expect("an address");
    let page = console.get(&format!("/findings/groups/{id}")).await;
    page.must("New on a model").must("VP3-0002").must("It counts once in that device");
    let question = console.get(&format!("/findings/groups/{id}/mute")).await;
    question.must("Mute it on 3 devices?").must("It hides 3 open findings on 3 devices now");
    let fields = [("reason", "the new server of the pharmacy"), ("choice", "30")];
    let done = console.post(&format!("/findings/groups/{id}/mute"), &fields).await;
    assert_eq!(done.location(), format!("/findings/groups/{id}"));
    console.get(&format!("/findings/groups/{id}")).await.must("3 findings muted");
    assert!(!console.get("/findings").await.has("Of many devices"));
    let one = console.get(&format!("/findings/{}", finding_id(console.app(), 1))).await;
    one.must("3 of 4 VP-3 reported it.")
        .must("All of them")
        .must("Past verdicts on the like")
        .must("This finding");
    let question = console.get(&format!("/findings/{}/allow", finding_id(console.app(), 1))).await;
    question.must("Allow this on this device?").must("in the last 30 days");
    assert_eq!(console.get("/findings/groups/g-000000000000").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_visit_is_announced_in_a_form_and_lowers_what_begins_while_it_lasts() {
    // Goal: maintenance is announced where findings are read. Method: a form without an end, a good one, the list, the end.
    let console = Console::with_fleet().await;
    let now = console.app().clock.now();
    console.get("/visits").await.must("No visit is announced");
    let until = now.plus_seconds(7200).to_string();
    let from = now.plus_seconds(-3 * 3600).to_string();
    let fields = |until: &'static str| {
        [("filter", "ward=4B"), ("who", "K. Lang"), ("until", until), ("reason", "battery exchange on 4B")]
    };
    let again = console.post("/visits/new", &fields("tomorrow")).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    again.must("Write a time such as").must("K. Lang");
    let mut good = fields("").to_vec();
    good[2].1 = &until;
    good.push(("from", &from));
    assert_eq!(console.post("/visits/new", &good).await.location(), "/visits");
    console.get("/visits").await.must("The visit of K. Lang is announced").must("4 devices").must("End…");
    console.get("/findings").await.must("Expected during a visit");
    let one = console.get(&format!("/findings/{}", finding_id(console.app(), 0))).await;
    one.must("It began during the announced visit of K. Lang").must("expected, and kept");
    let visits = crate::visits::all(console.app()).await.expect("read");
    let end = format!("/visits/{}/end", visits[0].id);
    console.get(&end).await.must("End the visit of K. Lang now?");
    let done = console.post(&end, &[("reason", "done before the time")]).await;
    assert_eq!(done.location(), "/visits");
    console.get("/visits").await.must("Over");
}
