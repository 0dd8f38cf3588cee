//! A folder as the thing that is updated, over the whole agent: the application is started again, nobody reboots.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use cordon_agent_core::update::{Slot, State};
use cordon_proto::checkin::InterlockState;
use cordon_proto::ids::Sha256;
use cordon_proto::receipt::Outcome;
use cordon_proto::update::order::Order;
use cordon_proto::update::release::{Image, Release};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::standby;
use crate::boot::folder::FolderBoot;
use crate::boot::{BootControl, BootError, BootState, Change, SharedControl};
use crate::config::{Config, Health};
use crate::fake::Reply;
use crate::fake::mirror::{Manner, Mirror};
use crate::fake::repository::{director, maker};
use crate::install::Setting;
use crate::install::tree::tests::application;
use crate::run::ports::installer;
use crate::run::tests::{Rig, World, order, release};
use crate::run::{Exit, Ports, run};
use crate::status::Status;

/// A pump whose application stands in a folder.
struct Pump {
    rig: Rig,
    config: Config,
    /// How long a silent server is waited for, where that matters.
    stall: Option<Duration>,
    /// The boot control in place of the configured one.
    boot: Option<SharedControl>,
}

impl Pump {
    /// An order for `image` may be carried out at once; `restart` starts the application again.
    async fn ordered(image: Vec<u8>, restart: &str) -> Self {
        let rig = Rig::new().await;
        let signed = Image {
            length: u64::try_from(image.len()).expect("small"),
            sha256: Sha256::of(&image),
            ..release().image
        };
        let order = Order { image: signed.clone(), ..order() };
        let release = Release { image: signed, ..release() };
        *rig.world() = World {
            offer: true,
            permit: true,
            director: director(1, &[order]).files,
            maker: maker(1, &[release]).files,
            image,
            ..World::default()
        };
        let root = rig.path("pump");
        fs::create_dir_all(root.join("A")).expect("makes");
        fs::write(root.join("A/version"), "4.2.1").expect("writes");
        symlink("A", root.join("current")).expect("links");
        fs::write(root.join("boot"), "active=A trial=none left=0 booted=A\n").expect("writes");
        let script = format!("cat current/version >> started; echo >> started; {restart}");
        let script = format!("cd {} && {script}", root.display());
        let restart = ["sh", "-c", &script].map(ToOwned::to_owned).to_vec();
        let install = Some(Setting::Folder(root));
        let config = Config { slots: None, boot: None, install, restart, ..rig.config() };
        Self { rig, config, stall: None, boot: None }
    }

    fn start(&self, health: Health) -> (oneshot::Sender<()>, JoinHandle<Exit>) {
        let (stop, stopped) = oneshot::channel();
        let config = Config { health, ..self.config.clone() };
        let mut ports = Ports { installer: installer(&config), ..self.rig.ports() };
        if let (Some(control), Some(Ok(installer))) = (&self.boot, &mut ports.installer) {
            installer.boot = Arc::clone(control);
        }
        ports.tempo.patience.stall = self.stall.unwrap_or(ports.tempo.patience.stall);
        let task = tokio::spawn(run(config, ports, async {
            let _ = stopped.await;
        }));
        (stop, task)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.rig.path("pump").join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Lets the agent work until a receipt arrives and nothing is under way any more; it never ends meanwhile.
    async fn carried_out(&self, health: Health) -> Outcome {
        let (stop, task) = self.start(health);
        let held = standby(&self.rig).await;
        self.rig.until("the receipt arrives", |world| (!world.receipts.is_empty()).then_some(())).await;
        self.rig.until("it rests", |_| (self.rig.record().state == State::Idle).then_some(())).await;
        assert!(!task.is_finished(), "nobody reboots");
        drop((stop, held));
        assert!(matches!(task.await.expect("no panic"), Exit::Stopped));
        self.rig.receipt().outcome
    }
}

#[tokio::test]
async fn a_folder_is_updated_and_its_application_started_again_without_a_reboot() {
    // Goal: install, start again, confirm in one run of the agent. Method: a whole archive; what was started, the link.
    let image = application("4.2.2");
    let pump = Pump::ordered(image.clone(), "true").await;
    assert_eq!(pump.carried_out(Health::CheckinOnly).await, Outcome::Confirmed);
    assert_eq!(pump.text("started"), "4.2.2\n");
    assert_eq!(fs::read_link(pump.path("current")).expect("a link"), PathBuf::from("B"));
    assert!(pump.text("boot").starts_with("active=B trial=none left=0 booted=B"), "{}", pump.text("boot"));
    let receipt = pump.rig.receipt();
    assert_eq!((receipt.sha256, receipt.boots, receipt.slot.as_str()), (Sha256::of(&image), 1, "B"));
    let record = pump.rig.record();
    assert_eq!(
        (record.installed.counter, record.installed.length),
        (42, u64::try_from(image.len()).expect("small"))
    );
    assert_eq!(pump.text("A/version"), "4.2.1", "the way back is untouched");
}

#[tokio::test]
async fn a_folder_that_is_not_well_is_left_again_and_the_old_one_started() {
    // Goal: the health gate. Method: a health program that looks into the running folder and does not like what it sees;
    // then a command that cannot start it.
    let mut pump = Pump::ordered(application("4.2.2"), "true").await;
    pump.config.trial_s = 5;
    let check = format!("grep -q 4.2.1 {}", pump.path("current/version").display());
    let health = Health::Program(["sh", "-c", &check].map(ToOwned::to_owned).to_vec());
    assert_eq!(pump.carried_out(health).await, Outcome::RolledBack);
    assert_eq!(pump.text("started"), "4.2.2\n4.2.1\n");
    assert_eq!(pump.text("current/version"), "4.2.1");
    let reason = pump.rig.receipt().reason.map(|reason| reason.code.to_string());
    assert_eq!(reason.as_deref(), Some("trial-unhealthy"));

    let pump = Pump::ordered(application("4.2.2"), "grep -q 4.2.1 current/version").await;
    assert_eq!(pump.carried_out(Health::CheckinOnly).await, Outcome::RolledBack);
    assert_eq!(pump.text("started"), "4.2.2\n4.2.1\n");
}

#[tokio::test]
async fn the_last_word_of_the_old_application_is_not_taken_for_the_new_ones() {
    // Goal: a file that said ok before the start says nothing after it. Method: it stands there; the new one says failed,
    // a while after it was started.
    let later = "(sleep 0.5; echo failed > word; mv word health) > /dev/null 2>&1 &";
    let restart = format!("if grep -q 4.2.2 current/version; then {later} else echo ok > health; fi");
    for last_word in ["true", "echo ok > health"] {
        // The old one may say it once more until the command has ended it.
        let pump = Pump::ordered(application("4.2.2"), &format!("{last_word}; {restart}")).await;
        fs::write(pump.path("health"), "ok\n").expect("writes");
        assert_eq!(pump.carried_out(Health::File(pump.path("health"))).await, Outcome::RolledBack);
    }
}

#[tokio::test]
async fn an_application_that_cannot_be_started_on_the_way_back_is_tried_again() {
    // Goal: a device is not left without its application. Method: a command that fails for the new one, and for the old
    // one twice.
    let restart = "echo >> tries; [ $(wc -l < tries) -gt 3 ]";
    let pump = Pump::ordered(application("4.2.2"), restart).await;
    assert_eq!(pump.carried_out(Health::CheckinOnly).await, Outcome::RolledBack);
    assert_eq!(pump.text("started"), "4.2.2\n4.2.1\n4.2.1\n4.2.1\n");
    assert!(pump.text("boot").starts_with("active=A trial=none left=0 booted=A starting=none"));
}

#[tokio::test]
async fn what_was_said_before_the_start_does_not_start_the_old_application_twice() {
    // Goal: what waits to be heard when the application is started speaks of what ran before. Method: a tree that changes
    // as it is started; its wrong hash and a look are heard together, and each of them asks for the way back.
    let bends = "if grep -q 4.2.2 current/version; then printf 4.9.9 > current/version; fi";
    let pump = Pump::ordered(application("4.2.2"), bends).await;
    assert_eq!(pump.carried_out(Health::CheckinOnly).await, Outcome::RolledBack);
    let reason = pump.rig.receipt().reason.map(|reason| reason.code.to_string());
    assert_eq!(reason.as_deref(), Some("trial-hash-differs"));
    assert_eq!(pump.text("started"), "4.2.2\n4.2.1\n");
}

/// A folder at whose bed a patient is attached the first time that its application is about to be started again.
struct Attended {
    folder: FolderBoot,
    socket: PathBuf,
    therapy: Option<mpsc::Sender<UnixStream>>,
}

impl BootControl for Attended {
    fn read(&mut self) -> Result<BootState, BootError> {
        self.folder.read()
    }

    fn write(&mut self, change: Change, after: &BootState) -> Result<(), BootError> {
        self.folder.write(change, after)
    }

    fn restart(&mut self, may: &mut dyn FnMut() -> bool) -> Result<Option<bool>, BootError> {
        if let Some(therapy) = self.therapy.take() {
            let mut begun = UnixStream::connect(&self.socket).expect("the agent listens");
            begun.write_all(b"hold in_use\n").expect("is said");
            let mut answer = [0; 3];
            begun.read_exact(&mut answer).expect("is heard");
            assert_eq!(&answer, b"ok ");
            therapy.send(begun).expect("is waited for");
        }
        self.folder.restart(may)
    }

    fn begun(&self) -> Result<Option<Slot>, BootError> {
        self.folder.begun()
    }
}

#[tokio::test]
async fn a_patient_who_is_attached_while_the_link_is_turned_is_seen_before_the_start() {
    // Goal: the last look is the last thing, for a folder too, whose words and link are stored between. Method: a therapy
    // that begins behind the look that led to the start; it ends later.
    let mut pump = Pump::ordered(application("4.2.2"), "true").await;
    let (begins, begun) = mpsc::channel();
    let folder = FolderBoot::at(&pump.rig.path("pump"), pump.config.restart.clone()).expect("opens");
    let socket = pump.rig.path("interlock.sock");
    pump.boot = Some(Arc::new(Mutex::new(Attended { folder, socket, therapy: Some(begins) })));
    let (stop, task) = pump.start(Health::CheckinOnly);
    let held = standby(&pump.rig).await;
    let mut therapy = pump.rig.until("the therapy begins", |_| begun.try_recv().ok()).await;
    pump.rig
        .until("it is told", |world| {
            let last = world.checkins.last()?;
            let blocked = last.update.blocked_by.iter().any(|blocked| blocked.code.as_str() == "interlock");
            (blocked && last.interlock == InterlockState::InUse).then_some(())
        })
        .await;
    assert_eq!((pump.text("started").as_str(), pump.text("current/version").as_str()), ("", "4.2.1"));
    therapy.write_all(b"hold standby\n").expect("is said");
    pump.rig.until("the receipt arrives", |world| (!world.receipts.is_empty()).then_some(())).await;
    assert_eq!((pump.rig.receipt().outcome, pump.text("started").as_str()), (Outcome::Confirmed, "4.2.2\n"));
    drop((stop, held, therapy));
    assert!(matches!(task.await.expect("no panic"), Exit::Stopped));
}

#[tokio::test]
async fn a_tree_from_which_an_application_may_run_is_not_written() {
    // Goal: nobody empties the folder under an application. Method: words that say that a start of B was begun and not seen
    // to its end in this boot of the machine; an order that would be written there.
    let pump = Pump::ordered(application("4.2.2"), "true").await;
    fs::create_dir(pump.path("B")).expect("makes");
    fs::write(pump.path("B/version"), "4.2.0").expect("writes");
    let machine = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("reads");
    let words = format!("active=A trial=none left=0 booted=A starting=B machine={machine}");
    fs::write(pump.path("boot"), words).expect("writes");
    let (stop, task) = pump.start(Health::CheckinOnly);
    pump.rig
        .until("the reason is told", |world| {
            let update = &world.checkins.last()?.update;
            update.blocked_by.iter().any(|blocked| blocked.code.as_str() == "slot-may-run").then_some(())
        })
        .await;
    assert_eq!(pump.text("B/version"), "4.2.0");
    drop(stop);
    assert!(matches!(task.await.expect("no panic"), Exit::Stopped));
}

#[tokio::test]
async fn a_mirror_that_lies_in_the_archive_itself_is_named() {
    // Goal: whoever sent it is told of, wherever the lie shows. Method: a byte of a header, at which the archive is refused
    // while it arrives.
    let image = application("4.2.2");
    let liar = Mirror::start(image.clone(), Manner::Lie(512 + 100));
    let mut pump = Pump::ordered(image, "true").await;
    pump.config.mirrors = vec![liar.url.clone()];
    let (stop, task) = pump.start(Health::CheckinOnly);
    pump.rig
        .until("it is named", |_| {
            let status = Status::read(&pump.rig.state()).ok()??;
            let said = status.mirrors.first()?.error.clone()?;
            assert!(said.contains("not the signed one"), "{said}");
            Some(())
        })
        .await;
    drop(stop);
    assert!(matches!(task.await.expect("no panic"), Exit::Stopped));
}

#[tokio::test]
async fn a_tree_that_is_begun_anew_is_recorded_as_begun_anew() {
    // Goal: what was held once and is no more is not believed after a power cut, whenever it comes. Method: a server that
    // sends a half and no more; then the tree is gone, and a server that is waited for sends nothing at all.
    let half = application("4.2.2").len() / 2;
    let mut pump = Pump::ordered(application("4.2.2"), "true").await;
    // What is held is told when nothing more comes; a few kilobytes come sooner on any machine.
    pump.stall = Some(Duration::from_secs(10));
    pump.rig.world().bent = Some(|rest| {
        let whole = application("4.2.2").len();
        let sent = if rest.len() == whole { whole / 2 } else { 0 };
        Reply::Stall(rest.len(), rest[..sent].to_vec())
    });
    let offset = |rig: &Rig| match rig.record().state {
        State::Fetching(fetching) => Some(fetching.offset),
        _ => None,
    };
    let (stop, task) = pump.start(Health::CheckinOnly);
    let is_half = |_: &World| (offset(&pump.rig) == u64::try_from(half).ok()).then_some(());
    pump.rig.until("half of it is held", is_half).await;
    pump.rig.world().bent = Some(|rest| Reply::Stall(rest.len(), Vec::new()));
    drop(stop);
    assert!(matches!(task.await.expect("no panic"), Exit::Stopped));
    fs::remove_dir_all(pump.path("B")).expect("removes");
    pump.stall = Some(Duration::from_secs(600));
    let (stop, task) = pump.start(Health::CheckinOnly);
    pump.rig.until("nothing of it is held", |_| (offset(&pump.rig) == Some(0)).then_some(())).await;
    drop(stop);
    assert!(matches!(task.await.expect("no panic"), Exit::Stopped));
}

#[tokio::test]
async fn an_archive_that_leads_out_of_its_folder_is_given_up_and_nothing_is_started() {
    // Goal: even what both signed is not followed out of the folder. Method: a signed archive with such a path.
    let mut image = application("4.2.2");
    image[512..512 + 9].copy_from_slice(b"./../evil");
    let pump = Pump::ordered(image, "true").await;
    let (stop, task) = pump.start(Health::CheckinOnly);
    let _held = standby(&pump.rig).await;
    pump.rig
        .until("the damage is told", |world| {
            let update = &world.checkins.last()?.update;
            update.blocked_by.iter().any(|blocked| blocked.code.as_str() == "image-damaged").then_some(())
        })
        .await;
    drop(stop);
    assert!(matches!(task.await.expect("no panic"), Exit::Stopped));
    assert!(!pump.path("started").exists() && !pump.path("evil").exists());
}
