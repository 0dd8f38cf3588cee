//! The whole agent against a scripted server over real TLS: an update end to end, the refusals, the crashes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cordon_agent_core::backoff::Backoff;
use cordon_agent_core::interlock::Claim;
use cordon_agent_core::update::{Installed, Record, Slot};
use cordon_proto::checkin::{
    Action, Blocked, CheckinAnswer, CheckinRequest, ContentOffer, InterlockState, OrderOffer, Permit,
    UpdateState,
};
use cordon_proto::ids::{Name, Sha256};
use cordon_proto::inventory::{Inventory, Row, Section};
use cordon_proto::receipt::{Outcome, Receipt, ReceiptBody};
use cordon_proto::telemetry::{Batch, BatchAnswer, Body};
use cordon_proto::update::order::Order;
use cordon_proto::update::refusal::Power;
use cordon_proto::update::release::{Confirm, Image, InterlockClass, Needs, Recall, Release};
use cordon_proto::update::scope::Scope;
use cordon_proto::update::window::Window;
use cordon_proto::update::{PublicKey, Scheme, Verifier};
use cordon_proto::{limits, wire};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::ports::{Host, PowerSource};
use super::*;
use crate::boot::{BootControl, FileBoot, Setting, SharedControl};
use crate::capture::fed::Fed;
use crate::clock::{Clock, SystemClock};
use crate::config::{Health, key_place::KeyPlace};
use crate::fake::repository::{director, maker};
use crate::fake::{Asked, Authority, Reply, Server};
use crate::files::Folder;
use crate::identity::tests::hardware;
use crate::interlock::{Client, Shared};
use crate::link::Patience;
use crate::link::tests::{MUTUAL, Site};
use crate::slot::Slots;
use crate::status::Status;
use crate::store::{Found, SecurityStore};
use crate::verifier::DeviceVerifier;

mod attacks;
mod bedside;
mod contents;
mod running;

use running::found;
pub(crate) use running::{Running, now};

pub(crate) const OLD: &[u8] = b"the factory image";
/// The patience with a server, where it is not the subject: more than a busy machine ever needs.
const STALL: Duration = Duration::from_secs(30);

pub(crate) fn new_image() -> Vec<u8> {
    (0..100_000_u32).flat_map(u32::to_be_bytes).collect()
}

mod transport;

/// What the scripted server says and has heard.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) offer: bool,
    pub(crate) permit: bool,
    pub(crate) back: bool,
    /// Nobody answers.
    pub(crate) dark: bool,
    /// What stands in the place of the owner's root.
    pub(crate) root: Option<fn() -> Reply>,
    /// What is made of the bytes of the image that were asked for.
    pub(crate) bent: Option<fn(Vec<u8>) -> Reply>,
    /// Waits are cut off, so that one report follows the other.
    pub(crate) chatty: bool,
    pub(crate) director: BTreeMap<String, Vec<u8>>,
    pub(crate) maker: BTreeMap<String, Vec<u8>>,
    pub(crate) image: Vec<u8>,
    pub(crate) checkins: Vec<CheckinRequest>,
    pub(crate) bodies: Vec<Body>,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) ranges: Vec<Option<String>>,
    /// The content that is offered, and its version by the server's word.
    pub(crate) content: Option<(ContentOffer, u64)>,
    /// Content documents by their hash.
    pub(crate) documents: BTreeMap<String, Vec<u8>>,
    /// The connection dies after so many bytes of the image, once.
    pub(crate) cut: Option<usize>,
}

pub(crate) struct Rig {
    pub(crate) site: Site,
    server: Option<Server>,
    world: Arc<Mutex<World>>,
    clock: Arc<dyn Clock>,
    /// The boot control in place of the configured one.
    pub(crate) boot: Option<SharedControl>,
    /// The site's mirrors.
    mirrors: Vec<String>,
    /// The cap.
    image_kbit_s: Option<u32>,
    /// How long no byte of an image may come: long, so that a busy machine is no stall; short where a stall is the subject.
    stall: Duration,
    /// Seconds of a trial.
    pub(crate) trial_s: u32,
}

struct Facts;

impl Host for Facts {
    fn inventory(&mut self) -> Inventory {
        let row = |key: &str| Row {
            section: Section::System,
            key: key.parse().expect("a text"),
            fields: vec!["1".to_owned()],
        };
        Inventory::new(vec![row("id"), row("kernel")])
    }
}

impl PowerSource for Facts {
    fn power(&mut self) -> Power {
        Power::Mains
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

pub(crate) fn release() -> Release {
    let bytes = new_image();
    Release {
        image: Image {
            release: "vp-3/4.2.2".parse().expect("a path"),
            length: u64::try_from(bytes.len()).expect("small"),
            sha256: Sha256::of(&bytes),
        },
        model: hardware().model,
        hardware: vec![hardware().revision],
        counter: 42,
        floor: 41,
        min_from: 0,
        interlock: InterlockClass::Application,
        confirm: Confirm::Checkin,
        recall: Recall::None,
        needs: Needs::None,
        support: BTreeMap::default(),
        sbom: None,
        vex: None,
        mud: None,
        deltas: Vec::new(),
    }
}

pub(crate) fn order() -> Order {
    let device = hardware();
    let scope = Scope::Match { model: device.model, hardware: device.revision, from_least: 0, from_most: 41 };
    Order {
        id: name("7"),
        repository: name("halden"),
        image: release().image,
        scope,
        issued: now().plus_seconds(-60),
        not_before: now().plus_seconds(-60),
        expires: now().plus_seconds(86_400),
        windows: vec![Window::new(0x7f, 0, 1440).expect("is a window")],
        back: None,
        permit_s: Some(900),
        reason: "a test".parse().expect("a text"),
    }
}

impl World {
    fn new() -> Self {
        let (director, maker) = (director(1, &[order()]).files, maker(1, &[release()]).files);
        Self { director, maker, image: new_image(), ..Self::default() }
    }

    fn reply(&mut self, asked: &Asked) -> Reply {
        if self.dark {
            return Reply::Hangup;
        }
        let path = asked.line.split(' ').nth(1).unwrap_or_default().trim_start_matches("/v1/");
        match path.split('/').collect::<Vec<_>>().as_slice() {
            ["checkin"] => self.checkin(asked),
            ["telemetry"] => self.telemetry(asked),
            ["receipts"] => {
                self.receipts.push(wire::read(&asked.body, limits::BODY_BYTES).expect("is a receipt"));
                Reply::Full(204, "", Vec::new())
            }
            ["tuf", "director", file] => match self.root {
                Some(root) => root(),
                None => found(&self.director, file),
            },
            ["tuf", "image", "halden", file] => found(&self.maker, file),
            ["targets", sha256] if self.documents.contains_key(*sha256) => found(&self.documents, sha256),
            ["targets", _] => self.target(asked),
            _ if self.chatty => Reply::Hangup,
            // A wait that nothing ends.
            _ => Reply::Stall(9, Vec::new()),
        }
    }

    fn checkin(&mut self, asked: &Asked) -> Reply {
        let request: CheckinRequest = wire::read(&asked.body, limits::BODY_BYTES).expect("is a check-in");
        let want_inventory = self.checkins.is_empty();
        let wanted = request.want_permit.clone();
        self.checkins.push(request);
        let action = if self.back { Action::Back } else { Action::Install };
        let offer = OrderOffer { order: name("7"), proof: None, action };
        let permit = wanted.filter(|_| self.permit).map(|wanted| Permit {
            order: wanted.order,
            action: wanted.action,
            until: now().plus_seconds(900),
        });
        Reply::ok(wire::write(&CheckinAnswer {
            time: now(),
            order: self.offer.then_some(offer),
            permit,
            content_version: self.content.as_ref().map_or(0, |(_, version)| *version),
            ca_bundle: None,
            audit_head: None,
            next_s: 300,
            want_inventory,
            director_version: 1,
            wait_token: 1,
            ca_version: 0,
            content: self.content.as_ref().map(|(offer, _)| offer.clone()),
            inventory_base: None,
            reads_packed: None,
        }))
    }

    fn telemetry(&mut self, asked: &Asked) -> Reply {
        let plain = match asked.headers.contains_key("content-encoding") {
            true => zstd::bulk::decompress(&asked.body, 1 << 20).expect("is zstd"),
            false => asked.body.clone(),
        };
        let batch = Batch::read(&plain).expect("is a batch");
        let stored_through = batch.records.last().expect("is not empty").position;
        let bodies = batch.records.iter().map(|record| Body::of(record).expect("reads").expect("is known"));
        self.bodies.extend(bodies);
        Reply::ok(wire::write(&BatchAnswer { stored_through, duplicates: 0 }))
    }

    fn target(&mut self, asked: &Asked) -> Reply {
        let range = asked.headers.get("range").cloned();
        self.ranges.push(range.clone());
        let from: usize = range
            .and_then(|range| range.trim_start_matches("bytes=").trim_end_matches('-').parse().ok())
            .unwrap_or(0);
        let rest = self.image[from..].to_vec();
        if let Some(bent) = self.bent {
            return bent(rest);
        }
        if let Some(cut) = self.cut.take() {
            return Reply::Cut(rest.len(), rest[..cut].to_vec());
        }
        match from {
            0 => Reply::ok(rest),
            _ => Reply::Ranged(from, self.image.len(), rest),
        }
    }
}

/// What a device of this configuration runs with, at a quick pace.
pub(crate) fn ports(config: &Config, clock: &Arc<dyn Clock>) -> Ports {
    let boot = config.boot.clone().map(|boot| boot.open());
    let slots = config.slots.clone().map(Slots::new);
    let (feed, capture) = Fed::new();
    std::mem::forget(feed);
    let pace = Pace {
        backoff: Backoff::new(20, 100),
        slowly: Duration::from_secs(60),
        gap: Duration::from_millis(1),
        urgent_gap: Duration::from_millis(20),
        metered: None,
    };
    let rhythm = Rhythm { look: Duration::from_millis(50), ..Rhythm::default() };
    let patience = Patience { answer: STALL, stall: STALL };
    Ports {
        capture: Box::new(capture),
        host: Box::new(Facts),
        power: Box::new(Facts),
        interlock: Shared::new(Arc::clone(clock)),
        installer: slots
            .zip(boot)
            .map(|(slots, boot)| boot.map(|boot| Installer { slots: slots.into(), boot })),
        clock: Arc::clone(clock),
        memory: Arc::new(|| Some(4000)),
        tempo: Tempo { pace, rhythm, patience, look: Duration::from_millis(50) },
    }
}

impl Rig {
    pub(crate) async fn new() -> Self {
        let authority = Arc::new(Authority::new());
        let world = Arc::new(Mutex::new(World::new()));
        let served = Arc::clone(&world);
        let server =
            Server::start(&authority, MUTUAL, move |asked| served.lock().expect("no panic").reply(asked));
        let site = Site::enrolled(authority, server.port).await;
        let clock = Arc::new(SystemClock::new());
        let server = Some(server);
        let rig = Self {
            site,
            server,
            world,
            clock,
            boot: None,
            mirrors: Vec::new(),
            image_kbit_s: None,
            stall: STALL,
            trial_s: limits::TRIAL_S,
        };
        fs::write(rig.path("A"), OLD).expect("writes");
        fs::write(rig.path("root.json"), maker(1, &[]).root()).expect("writes");
        FileBoot::create(&rig.path("boot"), Slot::A).expect("creates").boot().expect("boots");
        let installed = Installed {
            release: Some("vp-3/4.2.1".parse().expect("a path")),
            counter: 41,
            sha256: Sha256::of(OLD),
            length: u64::try_from(OLD.len()).expect("small"),
            slot: Slot::A,
            interlock: InterlockClass::Application,
        };
        rig.store().create(&Record::factory(installed)).expect("creates");
        rig
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.site.state().join(name)
    }

    pub(crate) fn state(&self) -> Folder {
        Folder::open(self.site.state()).expect("opens")
    }

    fn store(&self) -> SecurityStore {
        SecurityStore::new(self.state())
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            state: self.site.state().to_owned(),
            slots: Some([self.path("A"), self.path("B")]),
            boot: Some(Setting::File(self.path("boot"))),
            install: None,
            restart: Vec::new(),
            hardware: hardware(),
            image_root: BTreeMap::from([(name("halden"), self.path("root.json"))]),
            timezone: "UTC".to_owned(),
            interlock_socket: None,
            interlock: None,
            server: vec!["127.0.0.1".parse().expect("an address")],
            proxy: None,
            metered: None,
            mirrors: self.mirrors.clone(),
            image_kbit_s: self.image_kbit_s,
            key: KeyPlace::File,
            clock_floor: None,
            mud: None,
            packets: true,
            data: Vec::new(),
            cabinet: Vec::new(),
            health: Health::CheckinOnly,
            trial_s: self.trial_s,
        }
    }

    pub(crate) fn ports(&self) -> Ports {
        let config = self.config();
        let mut ports = ports(&config, &self.clock);
        ports.tempo.patience.stall = self.stall;
        let Some(control) = &self.boot else { return ports };
        let slots = Slots::new(config.slots.expect("is set")).into();
        Ports { installer: Some(Ok(Installer { slots, boot: Arc::clone(control) })), ..ports }
    }

    pub(crate) fn start(&self) -> Running {
        self.start_with(Health::CheckinOnly)
    }

    pub(crate) fn start_with(&self, health: Health) -> Running {
        let (stop, stopped) = oneshot::channel();
        let config = Config { health, ..self.config() };
        let ports = self.ports();
        let interlock = ports.interlock.clone();
        let task = tokio::spawn(run(config, ports, async {
            let _ = stopped.await;
        }));
        Running { stop: Some(stop), task, interlock }
    }

    /// The lines that the server was asked.
    fn lines(&self) -> Vec<String> {
        self.server.as_ref().map(Server::lines).unwrap_or_default()
    }

    /// From here on connections are refused.
    pub(crate) fn stop_server(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }

    pub(crate) fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().expect("no panic")
    }

    pub(crate) async fn until<T>(&self, what: &str, mut holds: impl FnMut(&World) -> Option<T>) -> T {
        for _ in 0..6000 {
            if let Some(found) = holds(&self.world()) {
                return found;
            }
            sleep(Duration::from_millis(10)).await;
        }
        let last = self.world().checkins.last().cloned();
        panic!("never: {what}; last check-in {last:?}; asked {:?}", self.lines());
    }

    /// A connection to the agent's socket, as soon as it is there.
    pub(crate) async fn client(&self) -> Client {
        let path = self.path("interlock.sock");
        for _ in 0..6000 {
            if let Ok(client) = Client::connect(&path).await {
                return client;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("no agent answers at {}", path.display());
    }

    /// Waits until a check-in reports this state, and gives back its reasons.
    pub(crate) async fn reported(&self, state: UpdateState) -> Vec<String> {
        self.until(&format!("{state:?}"), |world| {
            let update = &world.checkins.last()?.update;
            let codes = || update.blocked_by.iter().map(|blocked| blocked.code.to_string()).collect();
            (update.state == state).then(codes)
        })
        .await
    }

    pub(crate) fn receipt(&self) -> ReceiptBody {
        let key = PublicKey { scheme: Scheme::EcdsaP256, bytes: self.site.identity.key().spki().to_vec() };
        let world = self.world();
        let receipt = world.receipts.last().expect("there is one");
        receipt.open(|message, signature| DeviceVerifier.verify(&key, message, signature)).expect("verifies")
    }

    pub(crate) fn record(&self) -> Record {
        match self.store().load().expect("reads") {
            Found::Newest { value, .. } => value,
            Found::Nothing => panic!("there is a record"),
        }
    }
}

#[tokio::test]
async fn an_update_goes_from_offer_to_receipt_across_a_reboot_and_waits_for_patient_and_permit() {
    // Goal: the main job, end to end. Method: a scripted server, an in-use device, both starts of the agent, and the
    // receipt opened with the certificate's key.
    let rig = Rig::new().await;
    {
        let mut world = rig.world();
        (world.offer, world.permit) = (true, true);
    }
    let agent = rig.start();
    let codes = rig
        .until("it waits for the go", |world| {
            let waiting = world.checkins.iter().find(|checkin| checkin.want_permit.is_some())?;
            Some(waiting.update.blocked_by.iter().map(|blocked| blocked.code.to_string()).collect::<Vec<_>>())
        })
        .await;
    assert_eq!(codes, ["no-permit", "interlock"], "all reasons, in their order");
    let socket = rig.path("interlock.sock");
    let mut therapy = Client::connect(&socket).await.expect("connects");
    therapy.hold(Claim::InUse, None).await.expect("holds");
    rig.until("only the patient is in the way", |world| {
        let update = &world.checkins.last()?.update;
        let [blocked] = update.blocked_by.as_slice() else { return None };
        (blocked.code.as_str() == "interlock").then_some(())
    })
    .await;
    let said = || Status::read(&rig.state()).expect("reads").expect("is there").blocked_by;
    let same = |said: &[Blocked]| matches!(said, [one] if one.code.as_str() == "interlock");
    rig.until("status says the same", |_| same(&said()).then_some(())).await;
    assert_eq!(agent.interlock.state(), InterlockState::InUse);
    therapy.hold(Claim::Standby, None).await.expect("holds");
    assert!(matches!(agent.ended().await, Exit::Reboot));

    assert_eq!(FileBoot::open(&rig.path("boot")).expect("opens").boot().expect("boots"), Slot::B);
    assert_eq!(fs::read(rig.path("B")).expect("reads"), new_image());
    let agent = rig.start();
    rig.until("the receipt arrives", |world| (!world.receipts.is_empty()).then_some(())).await;
    let receipt = rig.receipt();
    assert_eq!((receipt.outcome, receipt.counter, receipt.floor), (Outcome::Confirmed, 42, 41));
    assert_eq!((receipt.sha256, receipt.previous_sha256), (Sha256::of(&new_image()), Sha256::of(OLD)));
    rig.until("the new image is reported as done", |world| {
        let last = world.checkins.last()?;
        (last.software.counter == 42 && last.update.blocked_by.is_empty()).then_some(())
    })
    .await;
    assert!(matches!(agent.stop().await, Exit::Stopped));
    let record = rig.record();
    assert_eq!((record.installed.counter, record.floor(), record.starts), (42, 41, 2));
    assert!(
        record.version(&"director/orders".parse().expect("a text")) == 1,
        "versions are held beside the floor"
    );
    let boots: Vec<u64> = rig.world().checkins.iter().map(|checkin| checkin.boot).collect();
    assert!(boots.is_sorted() && boots.first() < boots.last(), "each start has its own boot number");
    assert_eq!(rig.world().receipts.len(), 1);
    let confirmed =
        |body: &Body| matches!(body, Body::Update(event) if event.state == UpdateState::Confirmed);
    let agent = rig.start();
    rig.until("the timeline has it", |world| world.bodies.iter().any(confirmed).then_some(())).await;
    agent.stop().await;
}

#[tokio::test]
async fn the_owners_root_is_trusted_before_any_order() {
    // Goal: a wrong hash shows at enrolment time. Method: no order at all; the version in the check-in.
    let rig = Rig::new().await;
    let agent = rig.start();
    rig.until("it is told", |world| (world.checkins.last()?.director_root_version == 1).then_some(())).await;
    agent.stop().await;
}

#[tokio::test]
async fn the_inventory_is_sent_once_when_asked_for() {
    // Goal: inventory on the server's word, once. Method: the first answer asks; count the records.
    let rig = Rig::new().await;
    let agent = rig.start();
    rig.until("it arrives", |world| {
        world.bodies.iter().any(|body| matches!(body, Body::Inventory(_))).then_some(())
    })
    .await;
    let root = rig.world().checkins[0].inventory_root;
    agent.stop().await;
    let world = rig.world();
    let sent: Vec<_> = world
        .bodies
        .iter()
        .filter_map(|body| if let Body::Inventory(inventory) = body { Some(inventory.root()) } else { None })
        .collect();
    assert_eq!(sent, [root]);
}

#[tokio::test]
async fn a_device_without_slots_reports_and_says_why_it_takes_no_update() {
    // Goal: a kiosk without A/B slots is watched all the same. Method: no slots in the ports.
    let rig = Rig::new().await;
    rig.world().offer = true;
    let ports = Ports { installer: None, ..rig.ports() };
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(run(rig.config(), ports, async {
        let _ = stopped.await;
    }));
    rig.until("it says so", |world| {
        let update = &world.checkins.last()?.update;
        (update.blocked_by.first()?.code.as_str() == "no-slots").then_some(())
    })
    .await;
    drop(stop);
    assert!(matches!(task.await.expect("no panic"), Exit::Stopped));
    assert_eq!(rig.record().starts, 1, "the start is counted without the machine");
}

#[tokio::test]
async fn two_agents_never_share_a_state_folder_and_a_stranger_does_not_run() {
    // Goal: no torn state, no anonymous agent. Method: a second run beside the first; then without identity.
    let rig = Rig::new().await;
    let agent = rig.start();
    rig.until("it runs", |world| (!world.checkins.is_empty()).then_some(())).await;
    assert!(matches!(rig.start().ended().await, Exit::Fatal(RunError::Taken(_))));
    agent.stop().await;
    let identity = rig.state().inside("identity").expect("opens");
    crate::identity::Home::from(&identity).forget().expect("forgets");
    assert!(matches!(rig.start().ended().await, Exit::Fatal(RunError::NotEnrolled)));
}

#[tokio::test]
async fn one_report_and_the_end() {
    // Goal: `run --once`. Method: count check-ins, and the status it leaves.
    let rig = Rig::new().await;
    once(rig.config(), rig.ports()).await.expect("reports");
    assert_eq!(rig.lines().iter().filter(|line| line.ends_with("checkin")).count(), 1);
    assert!(rig.lines().iter().any(|line| line.ends_with("telemetry")), "what waits is handed in");
    let status = Status::read(&rig.state()).expect("reads").expect("is there");
    assert!(status.contact.last.is_some());
}
