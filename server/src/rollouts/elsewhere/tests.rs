//! Tests of the go of a device whose check-ins reach a server that does not give gos.

use std::sync::Arc;
use std::time::Duration;

use cordon_proto::checkin::{Action, CheckinRequest, PermitRequest, UpdateReport, UpdateState};
use cordon_server_core::rollout::Policy;
use tokio::time::{Instant, sleep};

use super::super::tests::{Desk, NOW, by, name, order, person, publish, wave};
use super::super::{Rollouts, Wanted};
use super::*;
use crate::fleet::Member;
use crate::repositories::Repositories;
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

#[tokio::test]
async fn a_device_on_a_metered_line_has_its_go_in_the_answer_of_whatever_server_it_reaches() {
    // Goal: behind a balancer nobody waits for ever. Method: two servers on one store; a rollout; devices that never listen
    // check in at the one that does not hold the lease, once each. One of them at least meets it in touch with the store, and
    // has its go in the very answer; on a machine that is too busy the others may not.
    let [(one, _), (two, _)] = Bench::pair().await;
    one.clock.hold_at(NOW.into());
    let mut pumps = Vec::new();
    for serial in ["VP3-1", "VP3-2", "VP3-3", "VP3-4", "VP3-5"] {
        pumps.push(one.enrol(serial).await);
    }
    let mut devices = Vec::new();
    for pump in &pumps {
        devices.push(Device::clone(&known(&one, pump).await.device));
    }
    let devices: Vec<&Device> = devices.iter().collect();
    let app = one.app();
    let repositories = Repositories::new(app.store.clone(), app.online.clone());
    let desk = Desk { online: app.online.clone(), repositories: repositories.clone() };
    publish(&desk, &[order("w1", &devices)]).await;
    let desk = Rollouts::load(app.store.clone(), repositories, NOW).await.expect("loads");
    let wanted =
        Wanted::new(name("r-1"), "VP-3".to_owned(), vec![wave("all", "w1", &devices)], Policy::default());
    desk.create(wanted, by(&person())).await.expect("creates");
    let other = until("a holder of the lease", async || {
        [(&one, &two), (&two, &one)]
            .into_iter()
            .find(|(holder, _)| is_its_turn(holder.app()))
            .map(|(_, other)| other)
    })
    .await;
    let mut answers = Vec::new();
    for pump in &pumps {
        let member = known(other, pump).await;
        let check_in = async |request: &CheckinRequest| {
            other.app().checkin(&member, &pump.speaker(), request).await.expect("answers")
        };
        until("the order", async || check_in(&checkin(pump)).await.order).await;
        assert!(member.listens.is_none());
        let answer = check_in(&asks(pump)).await;
        if answer.permit.is_some() {
            let (key, store) =
                (crate::store::Key::Progress { rollout: name("r-1"), device: pump.id }, &app.store);
            let row = store.get(key).await.expect("read").expect("stored");
            assert!(
                String::from_utf8_lossy(&row.body).contains("\"told\""),
                "written down before it was told"
            );
            return;
        }
        answers.push(answer);
    }
    panic!("none of them had its go: {answers:?}");
}
