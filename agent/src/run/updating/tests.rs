//! Tests of the updater where the power, the disk or the boot control fails, over the whole agent.

use std::fs;
use std::time::Duration;

use cordon_agent_core::interlock::Claim;
use cordon_agent_core::update::{Slot, State};
use cordon_proto::checkin::UpdateState;
use cordon_proto::receipt::Outcome;
use tokio::time::{sleep, timeout};

use crate::boot::{BootControl, FileBoot};
use crate::config::Health;
use crate::interlock::Client;
use crate::run::Exit;
use crate::run::tests::Rig;

/// Holds standby as soon as the agent's socket is there.
async fn standby(rig: &Rig) -> Option<Client> {
    let path = rig.path("interlock.sock");
    for _ in 0..50 {
        if let Ok(mut client) = Client::connect(&path).await
            && client.hold(Claim::Standby, None).await.is_ok()
        {
            return Some(client);
        }
        sleep(Duration::from_millis(2)).await;
    }
    None
}

#[tokio::test]
async fn an_agent_killed_again_and_again_ends_with_the_new_image_and_one_receipt() {
    // Goal: persist, then act. Method: cut the agent off after ever longer times, boot as the loader says, until the
    // receipt is there; then compare slot, boot control and record.
    let rig = Rig::new().await;
    {
        let mut world = rig.world();
        (world.offer, world.permit) = (true, true);
    }
    let mut kills = 0;
    for millis in (5..).step_by(15) {
        let mut agent = rig.start();
        let held = timeout(Duration::from_millis(millis), async {
            let _held = standby(&rig).await;
            (&mut agent.task).await
        });
        match held.await {
            Ok(exit) => {
                assert!(matches!(exit.expect("no panic"), Exit::Reboot));
                FileBoot::open(&rig.path("boot")).expect("opens").boot().expect("boots");
            }
            Err(_) => {
                agent.task.abort();
                assert!(agent.task.await.is_err_and(|error| error.is_cancelled()));
                kills += 1;
            }
        }
        if !rig.world().receipts.is_empty() {
            break;
        }
        assert!(kills < 60, "it never came to an end: {:?}", rig.record().state);
    }
    assert!(kills > 2, "the agent was too quick to be killed");
    rig.start().stop().await;
    let receipt = rig.receipt();
    assert_eq!((receipt.outcome, receipt.counter), (Outcome::Confirmed, 42));
    // A kill between the hand-in and its note brings the same statement once more; the server keeps it once.
    let stated: std::collections::BTreeSet<_> =
        rig.world().receipts.iter().map(|receipt| receipt.body.to_vec()).collect();
    assert_eq!(stated.len(), 1);
    let boot = FileBoot::open(&rig.path("boot")).expect("opens").read().expect("reads");
    assert_eq!((boot.active, boot.trial), (Slot::B, None));
    assert_eq!((rig.record().state, rig.record().installed.slot), (State::Idle, Slot::B));
}

#[tokio::test]
async fn a_disk_that_refuses_the_security_state_stops_the_update_until_it_gives_way() {
    // Goal: no effect before its step is stored. Method: folders where the new copies would be written.
    let rig = Rig::new().await;
    rig.world().offer = true;
    let ways = ["security.a", "security.b"].map(|name| rig.path(&format!(".{name}.new")));
    for way in &ways {
        fs::create_dir(way).expect("makes the folder");
    }
    let agent = rig.start();
    let codes = rig
        .until("the reason is told", |world| {
            let blocked = &world.checkins.last()?.update.blocked_by;
            blocked.first().map(|blocked| blocked.code.to_string())
        })
        .await;
    assert_eq!(codes, "state-not-stored");
    assert!(!rig.path("B").exists(), "nothing was written meanwhile");
    for way in &ways {
        fs::remove_dir(way).expect("removes the folder");
    }
    rig.reported(UpdateState::Waiting).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_lost_security_state_stops_updates_and_nothing_else() {
    // Goal: never start over in silence. Method: both copies are nonsense.
    let rig = Rig::new().await;
    rig.world().offer = true;
    for name in ["security.a", "security.b"] {
        fs::write(rig.path(name), b"nonsense").expect("writes");
    }
    let agent = rig.start();
    let sentence = rig
        .until("the reason is told", |world| {
            let blocked = world.checkins.last()?.update.blocked_by.first()?;
            (blocked.code.as_str() == "security-state").then(|| blocked.sentence.to_string())
        })
        .await;
    assert!(sentence.contains("Nothing is installed"), "{sentence}");
    agent.stop().await;
    assert_eq!(fs::read(rig.path("security.a")).expect("reads"), b"nonsense", "and nothing is written over");
}

#[tokio::test]
async fn a_trial_that_the_loader_gave_up_is_told_by_a_receipt_and_not_tried_again() {
    // Goal: roll back by the loader. Method: arm, then let the loader use up all boots without the agent.
    let rig = Rig::new().await;
    {
        let mut world = rig.world();
        (world.offer, world.permit) = (true, true);
    }
    let agent = rig.start();
    let held = standby(&rig).await;
    assert!(matches!(agent.ended().await, Exit::Reboot));
    drop(held);
    let mut loader = FileBoot::open(&rig.path("boot")).expect("opens");
    while loader.boot().expect("boots") == Slot::B {}
    let agent = rig.start();
    rig.until("the receipt arrives", |world| (!world.receipts.is_empty()).then_some(())).await;
    let receipt = rig.receipt();
    assert_eq!((receipt.outcome, receipt.counter, receipt.slot.as_str()), (Outcome::RolledBack, 41, "A"));
    assert!(receipt.reason.is_some_and(|reason| reason.code.as_str() == "trial-boots-unfinished"));
    let codes = rig.reported(UpdateState::Refused).await;
    assert_eq!(codes, ["given-up"], "the order is not taken again");
    agent.stop().await;
    assert_eq!(rig.record().floor(), 0, "a failed trial raises nothing");
}

#[tokio::test]
async fn an_image_that_is_not_well_is_left_again_and_the_old_one_tells_it() {
    // Goal: the health gate and the roll back by the agent. Method: a health program that always fails.
    let rig = Rig::new().await;
    {
        let mut world = rig.world();
        (world.offer, world.permit) = (true, true);
    }
    let mut loader = FileBoot::open(&rig.path("boot")).expect("opens");
    for expected in [Slot::B, Slot::A] {
        let agent = rig.start_with(Health::Program(vec!["false".to_owned()]));
        let _held = standby(&rig).await;
        assert!(matches!(agent.ended().await, Exit::Reboot));
        assert_eq!(loader.boot().expect("boots"), expected);
    }
    let agent = rig.start();
    rig.until("the receipt arrives", |world| (!world.receipts.is_empty()).then_some(())).await;
    let receipt = rig.receipt();
    assert_eq!((receipt.outcome, receipt.slot.as_str(), receipt.boots), (Outcome::RolledBack, "A", 1));
    assert!(receipt.reason.is_some_and(|reason| reason.code.as_str() == "trial-unhealthy"));
    agent.stop().await;
}
