//! Tests of the go of a device whose check-ins reach a server that does not give gos.

use std::sync::Arc;
use std::time::Duration;

use cordon_proto::checkin::{
    Action, CheckinAnswer, CheckinRequest, PermitRequest, UpdateReport, UpdateState,
};
use cordon_server_core::rollout::{GoTold, Policy, Progress};
use tokio::time::{Instant, sleep};

use super::super::tests::{Desk, NOW, by, name, order, person, publish, publish_contents, wave};
use super::super::ward::{content, desk_of, nights};
use super::super::{Rollouts, Wanted};
use super::*;
use crate::fleet::Member;
use crate::store::Key;
use crate::testing::{Bench, Enrolled, PATIENCE, checkin};

/// Waits for what another task brings about.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} never came");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn known(bench: &Bench, device: &Enrolled) -> Arc<Member> {
    until("an enrolment", async || bench.app().fleet.get(device.id)).await
}

/// What a device says that has the image and asks for the go.
fn asks(device: &Enrolled) -> CheckinRequest {
    let order = name("w1");
    let update = UpdateReport {
        state: UpdateState::Waiting,
        order: Some(order.clone()),
        blocked_by: Vec::new(),
        fetched_bytes: 9,
    };
    let want_permit = Some(PermitRequest { order, action: Action::Install });
    CheckinRequest { update, want_permit, ..checkin(device) }
}

/// Two servers on one store, and five pumps that never listen.
struct Pair {
    servers: [Bench; 2],
    pumps: Vec<Enrolled>,
    devices: Vec<Device>,
    desk: Desk,
}

impl Pair {
    async fn enrolled() -> Self {
        let servers = Bench::pair().await.map(|(server, _)| server);
        let first = &servers[0];
        first.clock.hold_at(NOW.into());
        let (mut pumps, mut devices) = (Vec::new(), Vec::new());
        for serial in ["VP3-1", "VP3-2", "VP3-3", "VP3-4", "VP3-5"] {
            let pump = first.enrol(serial).await;
            devices.push(Device::clone(&known(first, &pump).await.device));
            pumps.push(pump);
        }
        let desk = desk_of(first.app());
        Self { servers, pumps, devices, desk }
    }

    fn all(&self) -> Vec<&Device> {
        self.devices.iter().collect()
    }

    /// A rollout by an order, to all of them.
    fn by_order(&self) -> Wanted {
        Wanted::new(name("r-1"), "VP-3".to_owned(), vec![wave("all", "w1", &self.all())], Policy::default())
    }

    /// Creates these rollouts, one after the other, and says which server gives no gos.
    async fn begin(&self, wanted: Vec<Wanted>) -> &Bench {
        let (store, repositories) = (self.servers[0].app().store.clone(), self.desk.repositories.clone());
        let rollouts = Rollouts::load(store, repositories, NOW).await.expect("loads");
        for wanted in wanted {
            rollouts.create(wanted, by(&person())).await.expect("creates");
        }
        let [one, two] = &self.servers;
        until("a holder of the lease", async || {
            let pairs = [(one, two), (two, one)];
            pairs.into_iter().find(|(holder, _)| is_its_turn(holder.app())).map(|(_, other)| other)
        })
        .await
    }

    /// What is stored of a pump.
    async fn row(&self, rollout: &str, pump: &Enrolled) -> Progress {
        let key = Key::Progress { rollout: name(rollout), device: pump.id };
        let row = self.servers[0].app().store.get(key).await.expect("read").expect("stored");
        serde_json::from_slice(&row.body).expect("JSON")
    }
}

async fn answer(server: &Bench, pump: &Enrolled, request: &CheckinRequest) -> CheckinAnswer {
    let member = known(server, pump).await;
    server.app().checkin(&member, &pump.speaker(), request).await.expect("answers")
}

#[tokio::test]
async fn a_device_on_a_metered_line_has_its_go_in_the_answer_of_whatever_server_it_reaches() {
    // Goal: behind a balancer nobody waits for ever. Method: two servers on one store; a rollout; devices that never listen
    // check in at the one that does not hold the lease, once each. One of them at least meets it in touch with the store, and
    // has its go in the very answer; on a machine that is too busy the others may not.
    let pair = Pair::enrolled().await;
    publish(&pair.desk, &[order("w1", &pair.all())]).await;
    let other = pair.begin(vec![pair.by_order()]).await;
    let mut answers = Vec::new();
    for pump in &pair.pumps {
        until("the order", async || answer(other, pump, &checkin(pump)).await.order).await;
        assert!(known(other, pump).await.listens.is_none());
        let answer = answer(other, pump, &asks(pump)).await;
        if answer.permit.is_some() {
            let told = pair.row("r-1", pump).await.told;
            assert!(matches!(told, GoTold::At(_)), "written down before it was told: {told:?}");
            return;
        }
        answers.push(answer);
    }
    panic!("none of them had its go: {answers:?}");
}

#[tokio::test]
async fn it_has_its_content_there_too() {
    // Goal: the same for a place. Method: the same two servers and a rollout of content; one by an order after it, so that
    // who is told of that order speaks to a server that knows of both.
    let pair = Pair::enrolled().await;
    publish(&pair.desk, &[order("w1", &pair.all())]).await;
    publish_contents(&pair.desk, 1, &[content(7, &pair.all())]).await;
    let other = pair.begin(vec![nights(&pair.all(), Policy::default()), pair.by_order()]).await;
    let mut answers = Vec::new();
    for pump in &pair.pumps {
        let answer = until("the order", async || {
            let answer = answer(other, pump, &checkin(pump)).await;
            (answer.order.is_some() || answer.content.is_some()).then_some(answer)
        })
        .await;
        if answer.content.is_some() {
            assert_eq!(answer.content_version, 7);
            let row = pair.row("nights", pump).await;
            assert!(matches!(row.told, GoTold::At(_)) && row.offered.is_some(), "{row:?}");
            return;
        }
        answers.push(answer);
    }
    panic!("none of them had its content: {answers:?}");
}
