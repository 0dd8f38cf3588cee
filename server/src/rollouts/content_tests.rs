//! A content at a check-in and in the store: its place is given and written down before it is told, its end when it is
//! first said.

use std::sync::Arc;

use cordon_proto::checkin::{Blocked, CheckinRequest, ContentFault};
use cordon_proto::ids::Text;
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use cordon_server_core::device::{Device, Report};
use cordon_server_core::rollout::{GoTold, Policy, Progress, State};

use super::tests::{NOW, by, name, person, publish, publish_contents};
use super::ward::{content, desk_of, nights, two_pumps};
use super::{Deed, RolloutError, Rollouts, Turn};
use crate::http::operator::Operator;
use crate::jobs;
use crate::store::Key;
use crate::testing::{Bench, Enrolled, checkin};

const REASON: &str = "a person of the test says so";

/// A server with two enrolled pumps in a begun rollout of content, of which one may try it at a time.
struct Ward {
    bench: Bench,
    operator: Operator,
    pumps: Vec<Enrolled>,
}

impl Ward {
    async fn begun() -> Self {
        let two = two_pumps().await;
        let desk = desk_of(two.bench.app());
        publish(&desk, &[]).await;
        publish_contents(&desk, 1, &[content(7, &two.both())]).await;
        let policy = Policy { in_flight: 1, ..Policy::default() };
        let operator = two.begin(nights(&two.both(), policy)).await;
        let ward = Self { bench: two.bench, operator, pumps: two.pumps };
        ward.ticks().await;
        ward
    }

    async fn ticks(&self) {
        let Operator { app, rollouts, .. } = &self.operator;
        let look = |id| Some(Arc::new(app.fleet.get(id)?.current()));
        let lease = app.leases.hold(jobs::ROLLOUTS_JOB).await.expect("asked");
        let turn = Turn { now: app.clock.now(), lease: lease.as_ref() };
        rollouts.count_receipts(&app.fleet, turn).await.expect("counts");
        rollouts.tick(turn, look).await.expect("ticks");
    }

    /// A pump says this version and this fault. Says what it is offered.
    async fn says(&self, number: usize, version: u64, fault: Option<&str>) -> Option<u64> {
        let (pump, app) = (&self.pumps[number], &self.operator.app);
        let why = |code: &str| Blocked { code: Text::lossy(code), sentence: Text::lossy("It says so.") };
        let content_fault =
            fault.map(|code| ContentFault { content: name("icu"), version: 7, why: why(code) });
        let request = CheckinRequest { content_version: version, content_fault, ..checkin(pump) };
        let report = Report::of(&request);
        app.fleet.heard(pump.id, Some(report.clone()), None, app.clock.now_ms());
        let device = Device { report: Some(report), ..app.fleet.get(pump.id).expect("there").current() };
        let told = self.operator.rollouts.answer_content(app, &device, app.clock.now()).await;
        told.map(|(_, version)| version)
    }

    fn known(&self, rollouts: &Rollouts, number: usize) -> Progress {
        let of = self.pumps[number].id;
        let known = rollouts.look(|book| book.progress.get(&name("nights"))?.get(&of).cloned());
        known.unwrap_or_default()
    }

    fn at(&self, seconds: i64) -> Timestamp {
        let now = NOW.plus_seconds(seconds);
        self.bench.clock.hold_at(now.into());
        now
    }
}

#[tokio::test]
async fn a_content_is_offered_in_the_check_in_that_has_a_place_and_its_end_outlives_the_server() {
    // Goal: no more try it than may, nobody is told what is not written down, and a failure is not forgotten. Method: one
    // place, two pumps; the first gives it back, then says that it never heard of it; another server over the same store.
    let ward = Ward::begun().await;
    assert_eq!(ward.says(0, 0, None).await, Some(7), "no tick, no bell");
    let known = ward.known(&ward.operator.rollouts, 0);
    assert_eq!((known.told, known.offered), (GoTold::At(NOW), Some(NOW)));
    let key = Key::Progress { rollout: name("nights"), device: ward.pumps[0].id };
    assert!(ward.bench.has(key).await, "written down before it was told");
    assert_eq!(ward.says(1, 0, None).await, None, "one place");
    ward.at(60);
    assert_eq!(ward.says(0, 0, Some("content-memory")).await, Some(7), "until the next tick");
    ward.ticks().await;
    assert_eq!(ward.says(0, 8, None).await, None);
    ward.ticks().await;
    let Operator { app, rollouts, repositories } = &ward.operator;
    let state = || rollouts.look(|book| book.rollouts[&name("nights")].state.clone());
    assert!(matches!(state(), State::Halted { .. }), "{:?}", state());
    let again = Rollouts::load(app.store.clone(), repositories.clone(), NOW).await.expect("loads");
    for book in [rollouts, &again] {
        let known = ward.known(book, 0);
        assert_eq!(known.outcome, Some(Outcome::RolledBack));
        assert_eq!(known.reason.expect("said").code.as_str(), "content-memory");
    }
    let resumed = rollouts.act(&name("nights"), Deed::Resume, REASON, by(&person())).await;
    assert!(matches!(&resumed, Err(RolloutError::StillBroken(_))), "{resumed:?}");
    assert_eq!(ward.says(1, 0, None).await, None, "it reaches nobody else");
}

#[tokio::test]
async fn a_place_is_free_when_its_device_is_done_and_a_late_one_needs_none() {
    // Goal: the rollout goes on by itself, and a device that comes after its end gets what the others have proved. Method:
    // the first confirms, the second follows; a finished rollout, of which the second one has lost the content.
    let ward = Ward::begun().await;
    ward.operator.rollouts.giving.full().insert(name("nights"));
    ward.operator.app.listens(ward.pumps[0].id, 300);
    assert_eq!(ward.says(0, 0, None).await, None, "the tick has the word");
    ward.ticks().await;
    assert_eq!(ward.known(&ward.operator.rollouts, 0).told, GoTold::NotYet);
    assert_eq!(ward.says(0, 0, None).await, Some(7));
    assert_eq!(
        ward.known(&ward.operator.rollouts, 0).told,
        GoTold::At(NOW),
        "written down before it is told"
    );
    ward.ticks().await;
    ward.at(700);
    ward.says(0, 7, None).await;
    ward.ticks().await;
    let rollouts = &ward.operator.rollouts;
    assert_eq!(ward.known(rollouts, 0).outcome, Some(Outcome::Confirmed));
    assert_eq!(ward.says(1, 0, None).await, Some(7), "its place is free");
    rollouts.act(&name("nights"), Deed::Pause, REASON, by(&person())).await.expect("pauses");
    ward.ticks().await;
    assert!(ward.known(rollouts, 1).go().is_none(), "nothing is offered: no place is kept");
    assert_eq!(ward.says(1, 0, None).await, None);
    rollouts.act(&name("nights"), Deed::Resume, REASON, by(&person())).await.expect("goes on");
    ward.at(5 * 86_400);
    ward.ticks().await;
    rollouts.act(&name("nights"), Deed::Finish, REASON, by(&person())).await.expect("finishes");
    assert_eq!(ward.says(1, 0, None).await, Some(7), "its wave was settled without it");
    assert_eq!(ward.says(0, 0, None).await, Some(7), "it is back without it");
}

#[tokio::test]
async fn a_content_that_a_person_stopped_and_called_done_reaches_nobody_else() {
    // Goal: finishing brings nobody what was stopped. Method: the first confirms, a person stops it and finishes it; the
    // second comes late, and the first comes back without it.
    let ward = Ward::begun().await;
    assert_eq!(ward.says(0, 0, None).await, Some(7));
    ward.at(700);
    ward.says(0, 7, None).await;
    ward.ticks().await;
    for deed in [Deed::Stop, Deed::Finish] {
        ward.operator.rollouts.act(&name("nights"), deed, REASON, by(&person())).await.expect("acts");
    }
    ward.ticks().await;
    assert_eq!(ward.says(1, 0, None).await, None, "its wave has proved nothing to it");
    assert_eq!(ward.says(0, 0, None).await, Some(7));
}
