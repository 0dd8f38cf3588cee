//! Tests of the sensor role: from sightings to the spool, over restarts, blind, and on a full disk.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use cordon_agent_core::flow::{Connection, Counted, Endpoint, Phase, Seen, Tuple};
use cordon_proto::inventory::{Row, Section};
use cordon_proto::telemetry::{Direction, Protocol};
use cordon_proto::time::Timestamp;
use tokio::sync::{Notify, oneshot};

use super::*;
use crate::capture::fed::Fed;
use crate::clock::tests::Standing;
use crate::clock::{Clock, Floor};

/// A Monday.
const START: i64 = 1_800_000_000;

struct Facts(&'static str);

impl Host for Facts {
    fn inventory(&mut self) -> Inventory {
        let key = self.0.parse().expect("a text");
        Inventory::new(vec![Row { section: Section::System, key, fields: vec!["1".to_owned()] }])
    }
}

fn sighting(remote: [u8; 4], seconds: i64) -> Sighting {
    let endpoint = |address: [u8; 4], port| Endpoint { address: address.into(), port };
    let port = 40_000 + u16::try_from(seconds.rem_euclid(20_000)).expect("small");
    let connection = Connection {
        tuple: Tuple {
            protocol: Protocol::Tcp,
            local: endpoint([10, 0, 0, 2], port),
            remote: endpoint(remote, 443),
        },
        direction: Direction::Outbound,
        phase: Phase::Open,
        counted: Counted::Unknown,
        name: None,
    };
    Sighting { at: Timestamp(START + seconds).into(), seen: Seen::Connection(connection) }
}

/// A week of one peer, a connection every ten minutes.
fn usual_week() -> Vec<Sighting> {
    (-1008..0).map(|slot| sighting([192, 0, 2, 9], slot * 600)).collect()
}

mod machine;

struct Rig {
    root: tempfile::TempDir,
    clock: Arc<Standing>,
    feed: Option<Sender<Vec<Sighting>>>,
}

impl Rig {
    fn new() -> Self {
        let clock = Arc::new(Standing::default());
        clock.0.store(START, std::sync::atomic::Ordering::Relaxed);
        Self { root: tempfile::tempdir().expect("a scratch folder"), clock, feed: None }
    }

    fn state(&self) -> Folder {
        Folder::open(self.root.path().join("state")).expect("opens")
    }

    fn open(&mut self, starts: u64) -> Sensing {
        self.open_on(Box::new(Facts("id")), starts)
    }

    fn open_on(&mut self, host: Box<dyn Host>, starts: u64) -> Sensing {
        let (feed, capture) = Fed::new();
        self.feed = Some(feed);
        let clock =
            TrustedClock::new(Arc::clone(&self.clock) as Arc<dyn Clock>, Floor::new(Some(Timestamp(0))));
        let rhythm = Rhythm { look: Duration::from_millis(10), ..Rhythm::default() };
        let eyes = Eyes { capture: Box::new(capture), host, clock, rhythm };
        Sensing::open(eyes, self.state(), starts).expect("opens")
    }

    fn see(&self, sightings: Vec<Sighting>) {
        self.feed.as_ref().expect("is open").send(sightings).expect("is heard");
    }

    fn at(&self, seconds: i64) {
        self.clock.0.store(START + seconds, std::sync::atomic::Ordering::Relaxed);
    }
}

fn bodies(sensing: &mut Sensing) -> Vec<Body> {
    sensing.read(1 << 20).iter().map(|record| Body::of(record).expect("reads").expect("is known")).collect()
}

#[test]
fn a_new_destination_of_a_taught_device_is_kept_as_a_finding_and_is_urgent() {
    // Goal: sighting to spool. Method: teach a usual week, then the usual peer and a new one.
    let mut rig = Rig::new();
    teach(&rig.state(), &usual_week(), Millis(START * 1000)).expect("teaches");
    let mut sensing = rig.open(1);
    assert!(!sensing.view().borrow().report.learning, "the taught profile is frozen");
    rig.see(vec![sighting([192, 0, 2, 9], 0)]);
    sensing.look();
    let quiet = bodies(&mut sensing);
    assert!(!quiet.iter().any(|body| matches!(body, Body::Finding(_))), "{quiet:?}");
    let before = sensing.view().borrow().urgent;
    rig.at(60);
    rig.see(vec![sighting([203, 0, 113, 66], 30)]);
    sensing.look();
    let found = bodies(&mut sensing);
    let finding = found.iter().find_map(|body| if let Body::Finding(f) = body { Some(f) } else { None });
    let finding = finding.expect("a finding");
    assert_eq!((finding.detector.as_str(), finding.first), ("allow-list", Timestamp(START + 30)));
    assert_eq!(sensing.view().borrow().urgent, before + 1);
    assert_eq!(sensing.view().borrow().spool_records, u64::try_from(found.len()).expect("small"));
}

#[test]
fn a_sensor_that_goes_blind_says_so_and_a_restart_goes_on_where_it_was() {
    // Goal: blind is not quiet; profile, spool and numbers survive. Method: drop the feed; open again.
    let mut rig = Rig::new();
    let mut sensing = rig.open(1);
    rig.see(vec![sighting([192, 0, 2, 9], 0)]);
    sensing.look();
    rig.feed = None;
    sensing.look();
    assert_eq!(sensing.view().borrow().report.tier, None);
    let changes: Vec<_> = bodies(&mut sensing)
        .into_iter()
        .filter_map(|body| if let Body::Sensor(change) = body { Some(change.tier) } else { None })
        .collect();
    assert_eq!(changes, [Some(0), None]);
    let boot = sensing.boot();
    sensing.finish();
    let again = rig.open(1);
    assert!(again.boot() > boot, "positions always rise, even where the count of starts was lost");
    assert!(again.view().borrow().spool_records >= 2, "what was not acknowledged waits");
    assert_eq!(again.sensor.detectors().profile().observations(), 1, "the profile is kept");
}

#[test]
fn a_damaged_profile_is_learned_anew() {
    // Goal: damage costs the profile and not the agent. Method: nonsense in its place.
    let mut rig = Rig::new();
    rig.state().write(PROFILE, b"nonsense").expect("writes");
    assert!(rig.open(1).view().borrow().report.learning);
}

#[test]
fn a_full_disk_is_said_and_counted_and_the_sensor_goes_on() {
    // Goal: disk full keeps running. Method: the spool's first segment is the kernel's own full device.
    let mut rig = Rig::new();
    let spool = rig.state().inside(SPOOL).expect("opens");
    std::os::unix::fs::symlink("/dev/full", spool.path().join("0000000001.seg")).expect("links");
    let mut sensing = rig.open(1);
    let view = sensing.view().borrow().clone();
    assert!(
        view.spool_fault.as_ref().is_some_and(|fault| fault.contains("the disk is full: free some space"))
    );
    assert!(view.spool_lost > 0, "the first word of the sensor is counted as lost");
    rig.feed = None;
    sensing.look();
    assert_eq!(sensing.view().borrow().report.tier, None, "and it still looks");
    let gap = |body: &Body| matches!(body, Body::Gap(gap) if gap.count == view.spool_lost);
    assert!(bodies(&mut sensing).iter().any(gap), "the next segment has room, and tells the hole");
    assert_eq!(sensing.view().borrow().spool_fault, None);
}

#[tokio::test]
async fn calls_are_served_and_the_inventory_waits_once() {
    // Goal: the messages of the other roles. Method: ask twice for the inventory, take, acknowledge, ask again.
    let mut rig = Rig::new();
    let sensing = rig.open(1);
    let root = sensing.view().borrow().inventory_root;
    assert_eq!(root, Facts("id").inventory().root());
    let (calls, incoming) = mpsc::channel(8);
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(sensing.run(incoming, stopped));
    let take = async || {
        let (back, records) = oneshot::channel();
        calls.send(ToSensor::Take(1 << 20, back)).await.expect("is there");
        records.await.expect("is answered")
    };
    let inventories = |records: &[Record]| records.iter().filter(|record| record.kind == 3).count();
    for _ in 0..2 {
        calls.send(ToSensor::WantInventory(Lacking::default())).await.expect("is there");
    }
    let records = take().await;
    assert_eq!(inventories(&records), 1);
    let last = records.last().expect("is not empty").position;
    calls.send(ToSensor::Stored(last)).await.expect("is there");
    assert!(take().await.is_empty());
    calls.send(ToSensor::WantInventory(Lacking::default())).await.expect("is there");
    assert_eq!(inventories(&take().await), 1, "the server may ask again");
    stop.send_replace(true);
    running.await.expect("ends");
    assert!(rig.state().read(PROFILE, 1 << 20).expect("reads").is_some(), "saved at the end");
}

/// Packets of a search at this device, caught all at once.
struct Stormy {
    hurry: Arc<Notify>,
    calls: u32,
    sight: Sight,
}

impl Capture for Stormy {
    fn poll(&mut self, _now: Millis, _seen: &mut Vec<Sighting>) {}

    fn sight(&self) -> &Sight {
        &self.sight
    }

    fn caught(&mut self, take: &mut dyn FnMut(Caught<'_>)) {
        // There are looks at the opening and at the first tick; only who hurries comes a third time.
        self.calls += 1;
        if self.calls < 3 {
            return take(Caught::Home(&[[10, 0, 0, 2].into()]));
        }
        for port in 1..=20 {
            let (peer, own) = ([10, 0, 0, 9], [10, 0, 0, 2]);
            for (from, to, ports, flags) in
                [(peer, own, [200, 9, 0, port], 2), (own, peer, [0, port, 200, 9], 20)]
            {
                let ip = [&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0][..], &from, &to].concat();
                let tcp = [&ports[..], &[0; 8], &[0x50, flags, 0, 0, 0, 0, 0, 0]].concat();
                take(Caught::Packet(&[ip, tcp].concat(), Timestamp(START).into()));
            }
        }
        // One that was cut is nobody's.
        take(Caught::Packet(&[0x45, 0], Timestamp(START).into()));
    }

    fn hurry(&self) -> Option<Arc<Notify>> {
        Some(Arc::clone(&self.hurry))
    }
}

#[tokio::test]
async fn packets_that_hurry_are_taken_between_two_looks() {
    // Goal: a storm of packets does not wait for the next look until the kernel drops them. Method: looks by the hour; a search of
    // twenty closed ports is caught, and the capture calls.
    let rig = Rig::new();
    let hurry = Arc::<Notify>::default();
    let sight = Sight { tier: Some(1), note: "by packets".to_owned() };
    let capture = Box::new(Stormy { hurry: Arc::clone(&hurry), calls: 0, sight });
    let clock = TrustedClock::new(Arc::clone(&rig.clock) as Arc<dyn Clock>, Floor::new(Some(Timestamp(0))));
    let rhythm = Rhythm { look: Duration::from_secs(3600), ..Rhythm::default() };
    let eyes = Eyes { capture, host: Box::new(Facts("id")), clock, rhythm };
    let sensing = Sensing::open(eyes, rig.state(), 1).expect("opens");
    let mut view = sensing.view();
    let (_calls, incoming) = mpsc::channel(8);
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(sensing.run(incoming, stopped));
    hurry.notify_one();
    let found = view.wait_for(|view| view.urgent > 0);
    tokio::time::timeout(Duration::from_secs(20), found).await.expect("in time").expect("is there");
    assert_eq!(view.borrow().report.tier, Some(1));
    stop.send(true).expect("is heard");
    running.await.expect("ends");
}
