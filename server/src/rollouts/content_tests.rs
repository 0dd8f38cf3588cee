//! A content at a check-in and in the store: its place is given and written down before it is told, its end when it is
//! first said.

use std::sync::Arc;

use cordon_proto::checkin::{Blocked, CheckinRequest, ContentFault};
use cordon_proto::ids::{Sha256, Text};
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use cordon_proto::update::content::Assignment;
use cordon_server_core::device::{Device, Report};
use cordon_server_core::rollout::{GoTold, Policy, Progress, RolloutKind, State, content_key};

use super::tests::{Desk, NOW, by, name, order, person, publish, publish_contents, wave};
use super::{Deed, RolloutError, Rollouts, Turn, Wanted};
use crate::http::operator::Operator;
use crate::jobs;
use crate::repositories::Repositories;
use crate::store::Key;
use crate::testing::{Bench, Enrolled, checkin};

const REASON: &str = "a person of the test says so";

/// A server with two enrolled pumps in a begun rollout of content, of which one may try it at a time.
struct Ward {
    bench: Bench,
    operator: Operator,
    pumps: Vec<Enrolled>,
}

fn listed(version: u64, pumps: &[&Device]) -> Assignment {
    Assignment {
        id: name("icu"),
        length: 9,
        sha256: Sha256([9; 32]),
        scope: order("any", pumps).scope,
        version,
        issued: NOW,
        expires: NOW.plus_seconds(30 * 86_400),
        reason: Text::lossy("quieter nights"),
    }
}

impl Ward {
    async fn begun() -> Self {
        let bench = Bench::start(&[]).await;
        bench.clock.hold_at(NOW.into());
        let app = bench.app().clone();
        let mut pumps = Vec::new();
        for serial in ["VP3-1", "VP3-2"] {
            pumps.push(bench.enrol(serial).await);
        }
        let device = |pump: &Enrolled| Device::clone(&app.fleet.get(pump.id).expect("enrolled").device);
        let devices: Vec<Device> = pumps.iter().map(device).collect();
        let both: Vec<&Device> = devices.iter().collect();
        let repositories = Repositories::new(app.store.clone(), app.online.clone());
        let desk = Desk { online: app.online.clone(), repositories: repositories.clone() };
        publish(&desk, &[]).await;
        publish_contents(&desk, 1, &[listed(7, &both)]).await;
        let rollouts = Rollouts::load(app.store.clone(), repositories.clone(), NOW).await.expect("loads");
        rollouts.belong_to(&app);
        let policy = Policy { in_flight: 1, ..Policy::default() };
        let key = content_key(&name("icu")).expect("short");
        let waves = vec![wave("all", key.as_str(), &both)];
        let wanted = Wanted::new(name("nights"), "Nights".to_owned(), waves, policy);
        let wanted = Wanted { kind: RolloutKind::Content, ..wanted };
        rollouts.create(wanted, by(&person())).await.expect("creates");
        let ward = Self { bench, operator: Operator { app, rollouts, repositories }, pumps };
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
    rollouts.act(&name("nights"), Deed::Finish, REASON, by(&person())).await.expect("finishes");
    assert_eq!(ward.says(1, 0, None).await, Some(7));
    assert_eq!(ward.says(0, 0, None).await, Some(7), "it is back without it");
}
