//! Tests of the updater where the power, the disk or the boot control fails, over the whole agent.

mod folder;
mod handed;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use cordon_agent_core::interlock::Claim;
use cordon_agent_core::update::{Slot, State, TrialFault};
use cordon_proto::checkin::UpdateState;
use cordon_proto::receipt::Outcome;
use tokio::time::sleep;

use crate::boot::fixture::{Device, KINDS, Kind};
use crate::boot::{BootControl, BootError, BootState, Change, FileBoot, Setting, opened};
use crate::config::Health;
use crate::fake::Reply;
use crate::interlock::Client;
use crate::run::tests::{Rig, Running};
use crate::run::{Exit, Ports, run};
use crate::status::Status;

/// Holds standby as soon as the agent's socket is there.
async fn standby(rig: &Rig) -> Client {
    let path = rig.path("interlock.sock");
    for _ in 0..30_000 {
        if let Ok(mut client) = Client::connect(&path).await
            && client.hold(Claim::Standby, None).await.is_ok()
        {
            return client;
        }
        sleep(Duration::from_millis(2)).await;
    }
    panic!("no agent answers at {}", path.display());
}

/// Lets an agent live to its end, which standby may or may not be needed for.
async fn ended_beside_standby(rig: &Rig, agent: Running) -> Exit {
    let held = async {
        let _held = standby(rig).await;
        std::future::pending::<()>().await;
    };
    tokio::select! { exit = agent.ended() => exit, () = held => unreachable!("it is held on") }
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
    let (mut kills, mut millis) = (0, 1);
    loop {
        match rig.start().cut_off(Duration::from_millis(millis), standby(&rig)).await {
            Some(exit) => {
                assert!(matches!(exit, Exit::Reboot));
                FileBoot::open(&rig.path("boot")).expect("opens").boot().expect("boots");
            }
            None => kills += 1,
        }
        millis += (millis / 10).max(3);
        if !rig.world().receipts.is_empty() {
            break;
        }
        assert!(kills < 90, "it never came to an end: {:?}", rig.record().state);
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

/// A boot control after whose first trial is armed the security state cannot be stored any more.
struct Filling {
    inner: FileBoot,
    ways: Option<[PathBuf; 2]>,
}

impl BootControl for Filling {
    fn read(&mut self) -> Result<BootState, BootError> {
        self.inner.read()
    }

    fn write(&mut self, asked: Change, after: &BootState) -> Result<(), BootError> {
        for way in self.ways.take_if(|_| matches!(asked, Change::Arm { .. })).into_iter().flatten() {
            fs::create_dir(way).expect("makes the folder");
        }
        self.inner.write(asked, after)
    }
}

#[tokio::test]
async fn a_patient_who_comes_while_the_disk_refuses_the_last_step_stops_the_reboot() {
    // Goal: the look at the patient is the last thing before the reboot, however long it took to store the step that asks
    // for it. Method: the disk is full from the arming on; a patient is attached; room is made; then the patient is gone.
    let mut rig = Rig::new().await;
    let ways = ["security.a", "security.b"].map(|name| rig.path(&format!(".{name}.new")));
    let inner = FileBoot::open(&rig.path("boot")).expect("opens");
    rig.boot = Some(opened(Filling { inner, ways: Some(ways.clone()) }).expect("opens"));
    {
        let mut world = rig.world();
        (world.offer, world.permit, world.chatty) = (true, true, true);
    }
    let agent = rig.start();
    let mut client = standby(&rig).await;
    rig.until("the step cannot be stored", |world| {
        let blocked = &world.checkins.last()?.update.blocked_by;
        blocked.iter().any(|blocked| blocked.code.as_str() == "state-not-stored").then_some(())
    })
    .await;
    client.hold(Claim::InUse, None).await.expect("is heard");
    for way in &ways {
        fs::remove_dir(way).expect("removes the folder");
    }
    rig.until("it waits for the patient", |world| {
        let update = &world.checkins.last()?.update;
        let blocked = update.blocked_by.iter().any(|blocked| blocked.code.as_str() == "interlock");
        (blocked && update.state == UpdateState::Waiting).then_some(())
    })
    .await;
    assert!(!agent.task.is_finished(), "no reboot in use");
    assert_eq!(FileBoot::open(&rig.path("boot")).expect("opens").read().expect("reads").trial, None);
    client.hold(Claim::Standby, None).await.expect("is heard");
    assert!(matches!(agent.ended().await, Exit::Reboot));
}

#[tokio::test]
async fn a_health_file_that_cannot_be_taken_away_stops_no_reboot() {
    // Goal: neither the way there nor the way back waits for it. Method: a folder in its place; the image is spoilt once it
    // runs, so that it is left again.
    let rig = Rig::new().await;
    {
        let mut world = rig.world();
        (world.offer, world.permit) = (true, true);
    }
    fs::create_dir(rig.path("health")).expect("makes");
    let mut loader = FileBoot::open(&rig.path("boot")).expect("opens");
    for expected in [Slot::B, Slot::A] {
        let agent = rig.start_with(Health::File(rig.path("health")));
        let _held = standby(&rig).await;
        assert!(matches!(agent.ended().await, Exit::Reboot));
        assert_eq!(loader.boot().expect("boots"), expected);
        let mut bytes = fs::read(rig.path("B")).expect("reads");
        bytes[0] ^= 1;
        fs::write(rig.path("B"), bytes).expect("writes");
    }
}

#[tokio::test]
async fn an_image_that_changes_while_it_waits_is_not_armed() {
    // Goal: time of check, time of use. Method: nobody says that the device is free, so the image waits; one byte of its
    // slot turns; then somebody says so. What is fetched again comes so slowly that it does not become whole meanwhile.
    let rig = Rig::new().await;
    {
        let mut world = rig.world();
        (world.offer, world.permit) = (true, true);
    }
    let agent = rig.start();
    rig.reported(UpdateState::Waiting).await;
    let mut bytes = fs::read(rig.path("B")).expect("reads");
    bytes[0] ^= 1;
    fs::write(rig.path("B"), bytes).expect("writes");
    rig.world().bent = Some(|rest| Reply::Drip(rest.len(), 20));
    let _held = standby(&rig).await;
    rig.until("it is fetched again", |_| matches!(rig.record().state, State::Fetching(_)).then_some(()))
        .await;
    assert_eq!(FileBoot::open(&rig.path("boot")).expect("opens").read().expect("reads").trial, None);
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

/// The whole agent on a device with this boot control: an order that may be installed at once.
async fn on(kind: Kind) -> (Rig, Device) {
    let (mut rig, device) = (Rig::new().await, Device::new(kind));
    rig.boot = Some(device.shared());
    {
        let mut world = rig.world();
        (world.offer, world.permit) = (true, true);
    }
    (rig, device)
}

/// The same, with the new image written and the reboot into its trial due.
async fn armed(kind: Kind) -> (Rig, Device) {
    let (rig, device) = on(kind).await;
    let agent = rig.start();
    let held = standby(&rig).await;
    assert!(matches!(agent.ended().await, Exit::Reboot), "{kind:?}");
    drop(held);
    (rig, device)
}

#[tokio::test]
async fn every_boot_control_carries_an_update_to_its_confirmed_end() {
    // Goal: install, trial, confirm behind each adapter. Method: the whole agent and the adapter's own loader.
    for kind in KINDS {
        let (rig, device) = armed(kind).await;
        assert_eq!(device.boot(), Slot::B, "{kind:?}");
        let agent = rig.start();
        rig.until("the receipt arrives", |world| (!world.receipts.is_empty()).then_some(())).await;
        let receipt = rig.receipt();
        assert_eq!(
            (receipt.outcome, receipt.counter, receipt.boots),
            (Outcome::Confirmed, 42, 1),
            "{kind:?}"
        );
        agent.stop().await;
        assert_eq!([device.boot(), device.boot()], [Slot::B, Slot::B], "{kind:?}: it stays");
        let state = device.control().read().expect("reads");
        assert_eq!((state.active, state.trial), (Slot::B, None), "{kind:?}");
    }
}

#[tokio::test]
async fn every_boot_control_leads_back_from_an_image_that_never_comes_up() {
    // Goal: back without the agent. Method: the loader uses up all boots; the old image tells it with their number.
    for kind in KINDS {
        let (rig, device) = armed(kind).await;
        let boots = [device.boot(), device.boot(), device.boot(), device.boot()];
        assert_eq!(boots, [Slot::B, Slot::B, Slot::B, Slot::A], "{kind:?}");
        let agent = rig.start();
        rig.until("the receipt arrives", |world| (!world.receipts.is_empty()).then_some(())).await;
        let receipt = rig.receipt();
        assert_eq!(
            (receipt.outcome, receipt.counter, receipt.boots),
            (Outcome::RolledBack, 41, 3),
            "{kind:?}"
        );
        agent.stop().await;
        assert_eq!(
            (device.boot(), device.control().read().expect("reads").trial),
            (Slot::A, None),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn every_boot_control_leads_back_from_an_image_that_is_not_well() {
    // Goal: back by the agent. Method: a health program that always fails.
    for kind in KINDS {
        let (mut rig, device) = on(kind).await;
        rig.trial_s = 1;
        for expected in [Slot::B, Slot::A] {
            let agent = rig.start_with(Health::Program(vec!["false".to_owned()]));
            assert!(matches!(ended_beside_standby(&rig, agent).await, Exit::Reboot), "{kind:?}");
            assert_eq!(device.boot(), expected, "{kind:?}");
        }
        let agent = rig.start();
        rig.until("the receipt arrives", |world| (!world.receipts.is_empty()).then_some(())).await;
        assert_eq!((rig.receipt().outcome, rig.receipt().boots), (Outcome::RolledBack, 1), "{kind:?}");
        agent.stop().await;
    }
}

#[tokio::test]
async fn a_loader_that_refuses_the_trial_is_told_once_and_not_asked_again_and_again() {
    // Goal: no device that reboots in every window because its loader cannot store. Method: GRUB's script says so.
    let (rig, device) = on(Kind::Grub).await;
    let agent = rig.start();
    let held = standby(&rig).await;
    assert!(matches!(agent.ended().await, Exit::Reboot));
    drop(held);
    device.tell("cordon.slot=A cordon.refused");
    let agent = rig.start();
    rig.until("the receipt arrives", |world| (!world.receipts.is_empty()).then_some(())).await;
    let receipt = rig.receipt();
    assert_eq!((receipt.outcome, receipt.counter, receipt.boots), (Outcome::RolledBack, 41, 0));
    assert_eq!(rig.reported(UpdateState::Refused).await, ["given-up"]);
    agent.stop().await;
    assert_eq!(device.control().read().expect("reads").trial, None);
}

#[tokio::test]
async fn an_environment_that_refuses_writes_delays_the_update_and_nothing_else() {
    // Goal: an unsuccessful write is never an armed trial. Method: `fw_setenv` works k times and then never, for all k
    // up to the trial; then it works again.
    for works in 0..5 {
        let (rig, device) = on(Kind::Uboot).await;
        fs::write(device.path("boot.fuse"), works.to_string()).expect("writes");
        let agent = rig.start();
        let held = standby(&rig).await;
        rig.until("it was tried", |_| {
            let left = fs::read_to_string(device.path("boot.fuse")).ok()?;
            (left.trim() == "0").then_some(())
        })
        .await;
        sleep(Duration::from_millis(100)).await;
        assert!(!agent.task.is_finished(), "no reboot after {works} writes");
        assert_eq!(device.control().read().expect("reads").trial, None, "after {works} writes");
        fs::remove_file(device.path("boot.fuse")).expect("removes");
        assert!(matches!(agent.ended().await, Exit::Reboot));
        drop(held);
        assert_eq!(device.boot(), Slot::B);
    }
}

#[tokio::test]
async fn a_boot_control_that_cannot_be_used_is_told_before_any_order() {
    // Goal: a clear word at the start, in `status` and to the server. Method: a block without our variable; no order.
    let rig = Rig::new().await;
    let config = rig.config();
    fs::write(rig.path("grubenv"), b"# GRUB Environment Block\n").expect("writes");
    let boot = Setting::Grub(rig.path("grubenv")).open().map(|_| panic!("it cannot be opened"));
    let ports = Ports { installer: Some(boot), ..rig.ports() };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(run(config, ports, async {
        let _ = stopped.await;
    }));
    let sentence = rig
        .until("the server is told", |world| {
            let blocked = world.checkins.last()?.update.blocked_by.first()?;
            (blocked.code.as_str() == "boot-control").then(|| blocked.sentence.to_string())
        })
        .await;
    assert!(sentence.contains("one variable cordon"), "{sentence}");
    let said =
        || Status::read(&rig.state()).ok()??.blocked_by.first().map(|blocked| blocked.code.to_string());
    let code = rig.until("status says it too", |_| said()).await;
    assert_eq!(code, "boot-control");
    drop(stop);
    assert!(matches!(task.await.expect("no panic"), Exit::Stopped));
}

#[tokio::test]
async fn an_image_that_is_not_well_is_left_again_and_the_old_one_tells_it() {
    // Goal: the health gate and the roll back by the agent. Method: a health program that always fails, for as long as the
    // trial lasts.
    let mut rig = Rig::new().await;
    rig.trial_s = 5;
    {
        let mut world = rig.world();
        (world.offer, world.permit) = (true, true);
    }
    let mut loader = FileBoot::open(&rig.path("boot")).expect("opens");
    for expected in [Slot::B, Slot::A] {
        let agent = rig.start_with(Health::Program(vec!["false".to_owned()]));
        assert!(matches!(ended_beside_standby(&rig, agent).await, Exit::Reboot));
        assert_eq!(loader.boot().expect("boots"), expected);
    }
    let agent = rig.start();
    rig.until("the receipt arrives", |world| (!world.receipts.is_empty()).then_some(())).await;
    let receipt = rig.receipt();
    assert_eq!((receipt.outcome, receipt.slot.as_str(), receipt.boots), (Outcome::RolledBack, "A", 1));
    assert!(receipt.reason.is_some_and(|reason| reason.code.as_str() == "trial-unhealthy"));
    agent.stop().await;
}

#[tokio::test]
async fn a_health_check_that_says_no_at_first_is_asked_again_and_the_image_stays() {
    // Goal: software that comes up slowly is not a bad release. Method: a program that says no twice, and counts.
    let (mut rig, device) = armed(Kind::File).await;
    rig.trial_s = 24;
    assert_eq!(device.boot(), Slot::B);
    let count = rig.path("count");
    let script = format!("echo >> {0}; [ $(wc -l < {0}) -gt 2 ]", count.display());
    let agent = rig.start_with(Health::Program(["sh", "-c", &script].map(ToOwned::to_owned).to_vec()));
    rig.until("status says that it asks again", |_| {
        let blocked = Status::read(&rig.state()).ok()??.blocked_by;
        blocked.iter().any(|one| one.sentence.as_str().contains("says no and is made again")).then_some(())
    })
    .await;
    rig.until("the receipt arrives", |world| (!world.receipts.is_empty()).then_some(())).await;
    assert_eq!(rig.receipt().outcome, Outcome::Confirmed);
    agent.stop().await;
    assert_eq!(fs::read_to_string(count).expect("reads").lines().count(), 3, "and not once more");
}

/// What an image on trial that cannot check in leads to: whether it had its time twice, and what the record says then.
async fn not_checked_in(rig: &Rig) -> (bool, State) {
    let mut agent = rig.start();
    let _held = standby(rig).await;
    let mut extended = false;
    loop {
        if let State::Trial(trial) = rig.record().state {
            extended |= trial.patience.is_extended();
        }
        if tokio::time::timeout(Duration::from_millis(20), &mut agent.task).await.is_ok() {
            return (extended, rig.record().state);
        }
    }
}

#[tokio::test]
async fn a_network_that_is_down_gives_a_trial_its_time_once_more_and_a_bad_answer_does_not() {
    // Goal: an outage of the site is not the release's fault; a server that does not like the image is. Method: a server
    // that hangs up on every request, and one that is gone; the journal as it is on the disk, and the end of both.
    for gone in [false, true] {
        let (mut rig, device) = armed(Kind::File).await;
        rig.trial_s = 10;
        assert_eq!(device.boot(), Slot::B);
        rig.world().dark = true;
        if gone {
            rig.stop_server();
        }
        let begun = tokio::time::Instant::now();
        let (extended, state) = not_checked_in(&rig).await;
        assert_eq!(extended, gone);
        assert!(matches!(&state, State::Reverting(back) if back.why == TrialFault::NoCheckin), "{state:?}");
        assert!(!gone || begun.elapsed() >= Duration::from_secs(20), "{:?}", begun.elapsed());
        assert_eq!(device.boot(), Slot::A);
    }
}
