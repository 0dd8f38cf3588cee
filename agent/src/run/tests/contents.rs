//! A content from the offer to force, and back: over the whole agent, real TLS and a scripted server.

use std::sync::atomic::{AtomicU64, Ordering};

use cordon_agent_core::content::State as Held;
use cordon_proto::checkin::ContentFault;
use cordon_proto::update::content::{Assignment, Content, Detectors, Settings};
use cordon_proto::update::metadata::TargetFile;

use super::*;
use crate::fake::repository::{Contents, DIRECTOR, END, Repository};
use crate::run::content::tests::Hand;

/// A device whose monotonic clock and memory are set by hand.
struct Bedside {
    rig: Rig,
    clock: Arc<Hand>,
    memory: Arc<AtomicU64>,
}

fn content(version: u64) -> Content {
    Content {
        id: name(&format!("icu-{version}")),
        version,
        model: hardware().model,
        settings: Settings { checkin_s: Some(600) },
        detectors: Detectors { beacon_starts: Some(12), ..Detectors::default() },
        windows: Some(vec![]),
    }
}

impl Bedside {
    async fn new() -> Self {
        let (clock, memory) = (Arc::new(Hand::default()), Arc::new(AtomicU64::new(4000)));
        let bedside = Self { rig: Rig::new().await, clock, memory };
        bedside.rig.world().chatty = true;
        bedside
    }

    /// Publishes a content of this version, whose document has these bytes, and offers it.
    fn publish(&self, version: u64, bytes: Vec<u8>) {
        self.publish_by(DIRECTOR + 4, version, bytes);
    }

    /// The same, listed by who has the key of this seed.
    fn publish_by(&self, lister: u8, version: u64, bytes: Vec<u8>) {
        let device = hardware();
        let scope =
            Scope::Match { model: device.model, hardware: device.revision, from_least: 0, from_most: 41 };
        let sha256 = Sha256::of(&bytes);
        let assignment = Assignment {
            id: name(&format!("icu-{version}")),
            length: u64::try_from(bytes.len()).expect("small"),
            sha256,
            scope,
            version,
            issued: now().plus_seconds(-60),
            expires: now().plus_seconds(86_400),
            reason: "a test".parse().expect("a text"),
        };
        let file = TargetFile::new(assignment.length, sha256, Some(assignment.custom()));
        let targets = BTreeMap::from([(Assignment::path_of(&assignment.id).as_str().to_owned(), file)]);
        let delegation = Some(("content", "content/*"));
        let listed = Contents { seed: DIRECTOR, version, expires: END, delegation, targets };
        let mut world = self.rig.world();
        world.director = Repository::listed_by(&listed, lister).files;
        world.documents.insert(sha256.to_string(), bytes);
        world.content = Some((ContentOffer { content: assignment.id, proof: None }, version));
    }

    fn start(&self) -> Running {
        let memory = Arc::clone(&self.memory);
        let ports = Ports {
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            memory: Arc::new(move || Some(memory.load(Ordering::Relaxed))),
            ..self.rig.ports()
        };
        let (stop, stopped) = oneshot::channel();
        let interlock = ports.interlock.clone();
        let task = tokio::spawn(run(self.rig.config(), ports, async {
            let _ = stopped.await;
        }));
        Running { stop: Some(stop), task, interlock }
    }

    /// What is on the disk.
    fn held(&self) -> Held {
        let copies = ["content.a", "content.b"].map(str::to_owned);
        let folder = self.rig.state().inside("content").expect("opens");
        let mut pair = crate::store::Pair::new(folder, copies, 1 << 20);
        let read = |bytes: &[u8]| wire::read::<Held>(bytes, 1 << 20).map_err(|error| error.to_string());
        match pair.load(read).expect("reads") {
            Found::Newest { value, .. } => value,
            Found::Nothing => Held::default(),
        }
    }

    /// Waits, and lets the agent's own minute pass now and then: a try that failed on a slow machine is repeated after it.
    /// All of it together is less than a trial.
    async fn until<T>(&self, what: &str, mut holds: impl FnMut(&World) -> Option<T>) -> T {
        let mut looks = 0_u32;
        let holds = |world: &World| {
            looks += 1;
            if looks.is_multiple_of(600) && looks < 6000 {
                self.clock.0.fetch_add(61, Ordering::Relaxed);
            }
            holds(world)
        };
        self.rig.until(what, holds).await
    }

    /// Waits until this version is applied.
    async fn applied(&self, version: u64) {
        self.until(&format!("version {version} is applied"), |_| {
            let status = Status::read(&self.rig.state()).ok()??;
            (status.content?.version == version).then_some(())
        })
        .await;
    }

    async fn in_force(&self, version: u64) {
        let told = format!("version {version} is in force");
        self.until(&told, |world| (world.checkins.last()?.content_version == version).then_some(())).await;
    }

    async fn fault(&self) -> ContentFault {
        self.until("a fault is told", |world| world.checkins.last()?.content_fault.clone()).await
    }

    /// Waits until the device has looked into this file of the director and, a minute of its clock later, begun anew.
    async fn looked_into(&self, file: &str) {
        let asked = |_: &World| {
            self.clock.0.fetch_add(5, Ordering::Relaxed);
            let lines = self.rig.lines();
            let mut after = lines.iter().skip_while(|line| !line.contains(file));
            after.any(|line| line.contains("timestamp.json")).then_some(())
        };
        self.rig.until(&format!("{file} is looked into, and not believed"), asked).await;
    }

    /// How often a document was asked for.
    fn fetched(&self) -> usize {
        self.rig.lines().iter().filter(|line| line.contains("/targets/")).count()
    }
}

#[tokio::test]
async fn a_content_is_taken_tried_for_ten_minutes_and_then_in_force() {
    // Goal: the whole way on a device. Method: a signed content, the clock set by hand, what check-ins and status say.
    let bedside = Bedside::new().await;
    bedside.publish(1, content(1).value().canonical());
    let agent = bedside.start();
    bedside.applied(1).await;
    let status = Status::read(&bedside.rig.state()).expect("reads").expect("is there").to_string();
    assert!(status.contains("icu-1 version 1, on trial for ten minutes, narrows"), "{status}");
    assert_eq!(bedside.rig.world().checkins.last().expect("one").content_version, 0, "not in force yet");
    bedside.clock.0.fetch_add(600, Ordering::Relaxed);
    bedside.in_force(1).await;
    agent.stop().await;
    assert_eq!((bedside.held().in_force(), bedside.held().trial), (1, None));
    assert_eq!(bedside.fetched(), 1, "asked for once");
}

#[tokio::test]
async fn a_content_with_which_the_agent_dies_is_taken_back_and_one_it_is_stopped_with_is_not() {
    // Goal: the crash within ten minutes, over the whole agent; a check-in tells it. Method: a stop, then a cut.
    let bedside = Bedside::new().await;
    bedside.publish(1, content(1).value().canonical());
    let agent = bedside.start();
    bedside.applied(1).await;
    agent.stop().await;
    assert!(bedside.held().trial.is_some_and(|trial| !trial.running), "an orderly end takes the marker back");
    let agent = bedside.start();
    // The status of before the stop may still lie there.
    let again = |world: &World| (world.checkins.last()?.boot > 1).then_some(());
    bedside.rig.until("the second run checks in", again).await;
    bedside.clock.0.fetch_add(600, Ordering::Relaxed);
    bedside.in_force(1).await;
    bedside.publish(2, content(2).value().canonical());
    bedside.applied(2).await;
    agent.cut_off(Duration::ZERO, std::future::pending::<()>()).await;
    assert!(bedside.held().trial.is_some_and(|trial| trial.running));
    let agent = bedside.start();
    let fault = bedside.fault().await;
    assert_eq!((fault.version, fault.why.code.as_str()), (2, "content-crash"));
    assert_eq!(bedside.rig.world().checkins.last().expect("one").content_version, 1);
    bedside.applied(1).await;
    agent.stop().await;
    assert_eq!((bedside.held().newest, bedside.held().in_force()), (2, 1), "never again");
}

#[tokio::test]
async fn a_content_under_which_the_agent_grows_is_taken_back_and_a_bad_one_is_not_taken() {
    // Goal: the memory breach; a signed document that breaks the format. Method: the memory set by hand; then a document
    // with a field fewer, under a good signature; then a good one ends the matter.
    let bedside = Bedside::new().await;
    bedside.publish(1, content(1).value().canonical());
    let agent = bedside.start();
    bedside.applied(1).await;
    bedside.memory.store(limits::CONTENT_RESIDENT_KIB + 1, Ordering::Relaxed);
    assert_eq!(bedside.fault().await.why.code.as_str(), "content-memory");
    bedside.applied(0).await;
    bedside.memory.store(4000, Ordering::Relaxed);
    let mut fewer = content(2).value();
    if let cordon_proto::canonical::Value::Map(map) = &mut fewer {
        map.remove("windows");
    }
    bedside.publish(2, fewer.canonical());
    let told =
        |world: &World| world.checkins.last()?.content_fault.clone().filter(|fault| fault.version == 2);
    let fault = bedside.until("the bad one is told", told).await;
    assert_eq!(fault.why.code.as_str(), "content-unfit");
    assert!(fault.why.sentence.as_str().contains("windows"), "{}", fault.why.sentence);
    bedside.publish(3, content(3).value().canonical());
    bedside.applied(3).await;
    bedside.clock.0.fetch_add(600, Ordering::Relaxed);
    bedside.in_force(3).await;
    assert_eq!(bedside.rig.world().checkins.last().expect("one").content_fault, None);
    agent.stop().await;
}

#[tokio::test]
async fn a_version_that_could_not_be_kept_or_was_forgotten_with_its_owner_is_taken_again() {
    // Goal: no version is spent without a word. Method: the security state takes the number and the disk not the content;
    // then room. Later the contents are forgotten as on leaving, and the same owner offers the same one.
    let bedside = Bedside::new().await;
    bedside.publish(1, content(1).value().canonical());
    let folder = bedside.rig.state().inside("content").expect("opens");
    let ways = ["content.a", "content.b"].map(|copy| folder.path().join(format!(".{copy}.new")));
    ways.iter().for_each(|way| fs::create_dir(way).expect("makes the folder"));
    let agent = bedside.start();
    let again = |_: &World| {
        bedside.clock.0.fetch_add(5, Ordering::Relaxed);
        (bedside.fetched() > 1).then_some(())
    };
    bedside.rig.until("it is tried again", again).await;
    assert_eq!(bedside.held(), Held::default(), "nothing is kept, nothing is applied");
    ways.iter().for_each(|way| fs::remove_dir(way).expect("removes the folder"));
    bedside.clock.0.fetch_add(61, Ordering::Relaxed);
    bedside.applied(1).await;
    bedside.clock.0.fetch_add(600, Ordering::Relaxed);
    bedside.in_force(1).await;
    agent.stop().await;
    content::forget(&bedside.rig.state()).expect("forgets");
    assert_eq!(bedside.held(), Held::default());
    let agent = bedside.start();
    let without = |world: &World| (world.checkins.last()?.content_version == 0).then_some(());
    bedside.until("it is back without it", without).await;
    bedside.applied(1).await;
    bedside.clock.0.fetch_add(600, Ordering::Relaxed);
    bedside.in_force(1).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_version_that_is_never_taken_any_more_is_told() {
    // Goal: nobody waits for a device that will never take what it is offered. Method: version 3 is given back; then the
    // server offers 2, of which nothing was ever said.
    let bedside = Bedside::new().await;
    bedside.publish(3, content(3).value().canonical());
    let agent = bedside.start();
    bedside.applied(3).await;
    bedside.memory.store(limits::CONTENT_RESIDENT_KIB + 1, Ordering::Relaxed);
    assert_eq!(bedside.fault().await.why.code.as_str(), "content-memory");
    bedside.rig.world().content = Some((ContentOffer { content: name("icu-2"), proof: None }, 2));
    let told =
        |world: &World| world.checkins.last()?.content_fault.clone().filter(|fault| fault.version == 2);
    let fault = bedside.until("that it is spent", told).await;
    assert_eq!((fault.content, fault.why.code.as_str()), (name("icu-2"), "content-spent"));
    agent.stop().await;
}

#[tokio::test]
async fn a_captured_server_makes_no_device_take_a_content_that_nobody_signed_for_it() {
    // Goal: all that the server's own keys are good for. Method: a device with a content in force; a thief lists another one
    // with the timestamp's key and with the snapshot's, all other signatures genuine, and offers it; then one that is in no
    // list, and other bytes under a hash that two people signed. The document of none is applied. The owner's next one is.
    let bedside = Bedside::new().await;
    bedside.publish(1, content(1).value().canonical());
    let agent = bedside.start();
    bedside.applied(1).await;
    bedside.clock.0.fetch_add(600, Ordering::Relaxed);
    bedside.in_force(1).await;
    let proved = bedside.held();
    for (lister, version) in [(DIRECTOR + 1, 2), (DIRECTOR + 2, 3)] {
        bedside.publish_by(lister, version, content(version).value().canonical());
        bedside.looked_into(&format!("{version}.content.json")).await;
        assert_eq!((bedside.held(), bedside.fetched()), (proved.clone(), 1), "listed by {lister}");
    }
    bedside.publish(4, content(4).value().canonical());
    bedside.rig.world().content = Some((ContentOffer { content: name("icu-5"), proof: None }, 5));
    bedside.looked_into("4.content.json").await;
    assert_eq!((bedside.held(), bedside.fetched()), (proved.clone(), 1), "it is in no list");
    let signed = content(6).value().canonical();
    bedside.publish(6, signed.clone());
    let thief = Content { settings: Settings { checkin_s: Some(86_400) }, ..content(6) }.value().canonical();
    bedside.rig.world().documents.insert(Sha256::of(&signed).to_string(), thief);
    let again = |_: &World| {
        bedside.clock.0.fetch_add(5, Ordering::Relaxed);
        (bedside.fetched() > 2).then_some(())
    };
    bedside.rig.until("the bent document is fetched, and once more", again).await;
    assert_eq!(bedside.held(), proved, "other bytes than were signed");
    assert!(bedside.rig.world().checkins.last().expect("one").content_version == 1, "nothing has moved");
    bedside.publish(7, content(7).value().canonical());
    bedside.applied(7).await;
    agent.stop().await;
}
