//! What stands between a written image and the reboot at the bedside: power that goes, words that lapse, a person's
//! release, silence, and a site that is stricter than the maker. Over the whole agent.
//!
//! Tests only; see [`super`].

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cordon_proto::time::Millis;

use super::*;

/// Mains until the trial is armed, and the battery from then on until somebody plugs it in again.
struct Unplugged {
    boot: PathBuf,
    plugged_again: Arc<AtomicBool>,
    gone: bool,
}

impl PowerSource for Unplugged {
    fn power(&mut self) -> Power {
        let state = FileBoot::open(&self.boot).and_then(|mut boot| boot.read());
        self.gone |= state.is_ok_and(|state| state.trial.is_some());
        if self.gone && !self.plugged_again.load(Ordering::Relaxed) {
            return Power::Battery { percent: limits::BATTERY_PERCENT - 1 };
        }
        Power::Mains
    }
}

/// A device whose image needs this class's word, with an order that may be installed at once.
async fn device(class: InterlockClass) -> Rig {
    let rig = Rig::new().await;
    let mut record = rig.record();
    record.installed.interlock = class;
    let mut store = rig.store();
    store.load().expect("reads");
    store.store(&wire::write(&record)).expect("stores");
    let maker = maker(1, &[Release { interlock: class, ..release() }]).files;
    *rig.world() = World { offer: true, permit: true, maker, ..World::new() };
    rig
}

fn begin(config: Config, ports: Ports) -> JoinHandle<Exit> {
    tokio::spawn(run(config, ports, std::future::pending()))
}

/// Waits until the interlock alone is in the way, and gives back the sentence.
async fn waits(rig: &Rig, state: InterlockState) -> String {
    rig.until("only the interlock is in the way", |world| {
        let last = world.checkins.last()?;
        let [blocked] = last.update.blocked_by.as_slice() else { return None };
        let told = blocked.code.as_str() == "interlock" && last.interlock == state;
        told.then(|| blocked.sentence.to_string())
    })
    .await
}

async fn ended(task: JoinHandle<Exit>) -> Exit {
    timeout(Duration::from_secs(60), task).await.expect("ends").expect("no panic")
}

#[tokio::test]
async fn power_that_goes_between_flag_and_reboot_takes_the_flag_back() {
    // Goal: mains and battery are looked at again as the last step. Method: unplugged by the armed flag itself; plugged
    // in again later.
    let rig = device(InterlockClass::None).await;
    let plugged_again = Arc::new(AtomicBool::new(false));
    let power = Unplugged { boot: rig.path("boot"), plugged_again: Arc::clone(&plugged_again), gone: false };
    let task = begin(rig.config(), Ports { power: Box::new(power), ..rig.ports() });
    rig.until("the battery is told", |world| {
        let blocked = &world.checkins.last()?.update.blocked_by;
        matches!(blocked.as_slice(), [one] if one.code.as_str() == "power").then_some(())
    })
    .await;
    sleep(Duration::from_millis(300)).await;
    assert!(!task.is_finished(), "no reboot on an empty battery");
    let boot = FileBoot::open(&rig.path("boot")).expect("opens").read().expect("reads");
    assert_eq!(boot.trial, None, "and no flag that a crash would follow");
    plugged_again.store(true, Ordering::Relaxed);
    assert!(matches!(ended(task).await, Exit::Reboot));
}

#[tokio::test]
async fn a_word_of_use_that_lapses_is_told_at_once_while_an_update_waits() {
    // Goal: the server knows within a minute whether a device is in use or nobody says so. Method: a lease of one second
    // that is never renewed, over a connection that stays; the next report is due in five minutes.
    let rig = device(InterlockClass::Application).await;
    let task = begin(rig.config(), rig.ports());
    let mut therapy = rig.client().await;
    therapy.hold(Claim::InUse, Some(60)).await.expect("holds");
    let in_use = waits(&rig, InterlockState::InUse).await;
    assert!(in_use.contains("is in use"), "{in_use}");
    therapy.hold(Claim::InUse, Some(1)).await.expect("holds");
    let unknown = waits(&rig, InterlockState::Unknown).await;
    assert!(unknown.contains("does not say that it is free"), "{unknown}");
    sleep(Duration::from_millis(300)).await;
    assert!(!task.is_finished(), "unknown is in use");
    task.abort();
}

#[tokio::test]
async fn a_person_releases_a_device_of_the_class_person_and_the_receipt_says_so() {
    // Goal: the class `person`. Method: silence waits; an application's own release is none; a person's is one.
    let rig = device(InterlockClass::Person).await;
    let task = begin(rig.config(), rig.ports());
    let mut person = rig.client().await;
    let told = waits(&rig, InterlockState::Unknown).await;
    assert!(told.contains("Release it at the device"), "{told}");
    person.release().await.expect("answers");
    sleep(Duration::from_millis(300)).await;
    assert!(!task.is_finished());
    person.free(60).await.expect("answers");
    assert!(matches!(ended(task).await, Exit::Reboot));
    FileBoot::open(&rig.path("boot")).expect("opens").boot().expect("boots");
    let agent = rig.start();
    rig.until("the receipt", |world| (!world.receipts.is_empty()).then_some(())).await;
    assert_eq!(rig.receipt().interlock, InterlockState::Standby);
    agent.stop().await;
}

#[tokio::test]
async fn a_site_is_stricter_than_the_maker_and_never_looser() {
    // Goal: the configuration's own class. Method: a maker that asks nobody, at a site that asks the application; a maker
    // that asks the application, at a site that asks nobody.
    for (maker, site) in [
        (InterlockClass::None, InterlockClass::Application),
        (InterlockClass::Application, InterlockClass::None),
    ] {
        let rig = device(maker).await;
        let config = Config { interlock: Some(site), ..rig.config() };
        let task = begin(config, rig.ports());
        let mut pump = rig.client().await;
        waits(&rig, InterlockState::Unknown).await;
        pump.free(60).await.expect("answers");
        sleep(Duration::from_millis(300)).await;
        assert!(!task.is_finished(), "{maker} at a site with {site}");
        pump.hold(Claim::Standby, None).await.expect("holds");
        assert!(matches!(ended(task).await, Exit::Reboot), "{maker} at a site with {site}");
    }
}

/// A clock whose monotonic side is set by hand, in seconds.
#[derive(Debug, Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Millis {
        SystemClock::new().now()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn an_idle_device_reboots_after_its_silence_and_not_before() {
    // Goal: the class `idle`. Method: the socket's clock is set by hand; a visitor at first, then nobody, up to the last
    // second of the silence and to its end.
    let rig = device(InterlockClass::Idle).await;
    let clock = Arc::new(Hand::default());
    let ports = Ports { interlock: Shared::new(Arc::clone(&clock) as Arc<dyn Clock>), ..rig.ports() };
    let task = begin(rig.config(), ports);
    let mut kiosk = rig.client().await;
    kiosk.hold(Claim::InUse, Some(100)).await.expect("holds");
    waits(&rig, InterlockState::InUse).await;
    clock.0.store(100, Ordering::Relaxed);
    let told = waits(&rig, InterlockState::Unknown).await;
    assert!(told.contains("minutes of silence"), "{told}");
    let silent = 100 + u64::try_from(limits::INTERLOCK_IDLE_S).expect("positive");
    clock.0.store(silent - 1, Ordering::Relaxed);
    sleep(Duration::from_millis(300)).await;
    assert!(!task.is_finished(), "a second of silence is missing");
    clock.0.store(silent, Ordering::Relaxed);
    assert!(matches!(ended(task).await, Exit::Reboot));
}
