//! A content on the disk: killed before each step of each write, on a full disk, and forgotten with its owner.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use cordon_proto::ids::{HardwareId, Sha256};
use cordon_proto::time::Timestamp;
use cordon_proto::update::content::{
    Assignment, Content, ContentCase, Detectors, Settings, Taken, admit, decide_content,
};
use cordon_proto::update::decide::Device;
use cordon_proto::update::scope::Scope;

use super::*;
use crate::clock::{Clock, Floor, SystemClock};

/// A clock whose monotonic side is set by hand, in seconds.
#[derive(Debug, Default)]
pub(crate) struct Hand(pub(crate) AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Millis {
        SystemClock::new().now()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

fn taken(version: u64) -> Taken {
    let id: Name = "icu".parse().expect("a name");
    let (model, revision) = ("VP-3".parse().expect("a text"), "C".parse().expect("a text"));
    let settings = Settings { checkin_s: Some(600 + u32::try_from(version).expect("small")) };
    let detectors = Detectors::default();
    let content = Content { id: id.clone(), version, model, settings, detectors, windows: None };
    let bytes = content.value().canonical();
    let assignment = Ok(Assignment {
        id: id.clone(),
        length: u64::try_from(bytes.len()).expect("small"),
        sha256: Sha256::of(&bytes),
        scope: Scope::Match { model: content.model.clone(), hardware: revision, from_least: 0, from_most: 9 },
        version,
        issued: Timestamp(0),
        expires: Timestamp(9),
        reason: "a test".parse().expect("a text"),
    });
    let device = Device {
        identity: HardwareId([1; 32]),
        model: &content.model,
        revision: &"C".parse().expect("a text"),
        counter: 1,
        sha256: Sha256([0; 32]),
        floor: 0,
        confirmed: None,
        given_up: &[],
    };
    let case =
        ContentCase { id: &id, assignment: Some(&assignment), proof: None, device: &device, newest: 0 };
    admit(&decide_content(&case, Timestamp(1)).expect("is for it"), bytes).expect("is whole")
}

fn open(folder: &Folder, clock: &Arc<Hand>) -> Contents {
    let clock = TrustedClock::new(Arc::clone(clock) as Arc<dyn Clock>, Floor::new(None));
    Contents::open(Ok(folder.clone()), clock, Arc::new(|| Some(4000)))
}

fn version(contents: &Contents) -> u64 {
    contents.view().borrow().current.as_ref().map_or(0, |(_, version)| *version)
}

/// Version 1 taken and proved.
fn settled(folder: &Folder, clock: &Arc<Hand>) {
    let contents = open(folder, clock);
    contents.take(Event::Taken(taken(1), Some(4000)));
    clock.0.fetch_add(600, Ordering::Relaxed);
    assert!(contents.look(true), "the server is told");
    assert_eq!((version(&contents), contents.view().borrow().in_force), (1, 1));
}

#[test]
fn a_device_killed_at_any_step_of_a_content_has_the_old_one_or_the_proved_one() {
    // Goal: persist, then act; no content is applied that a restart would not take back. Method: the disk dies before the
    // n-th step of the writes of a whole life of version 2, for every n; then the agent starts again.
    let mut ends = [0_u32; 2];
    for last in 0..60 {
        let root = tempfile::tempdir().expect("a scratch folder");
        let plain = Folder::open(root.path().join("content")).expect("opens");
        let clock = Arc::new(Hand::default());
        settled(&plain, &clock);
        let steps = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&steps);
        let dying = plain.clone().hooked(move |_, _| match counter.fetch_add(1, Ordering::Relaxed) >= last {
            true => Err(io::Error::other("power")),
            false => Ok(()),
        });
        let contents = open(&dying, &clock);
        contents.take(Event::Taken(taken(2), Some(4000)));
        let tried = version(&contents);
        clock.0.fetch_add(300, Ordering::Relaxed);
        contents.look(true);
        assert_eq!(contents.view().borrow().in_force, 1);
        clock.0.fetch_add(300, Ordering::Relaxed);
        contents.look(true);
        let proved = contents.view().borrow().in_force;
        drop(contents);
        let again = open(&plain, &clock);
        let view = again.view().borrow().clone();
        assert!(proved == 1 || tried == 2, "nothing is proved that was not tried ({last})");
        assert!(!view.on_trial, "a content that was on trial is taken back ({last})");
        assert_eq!(view.current.as_ref().map(|(_, version)| *version), Some(view.in_force), "{last}");
        assert!(view.in_force >= proved, "what was told to be in force is ({last})");
        if tried == 2 {
            assert!(again.newest() == 2, "its version is spent ({last})");
            assert_eq!(view.fault.is_some(), view.in_force == 1, "a restore is told ({last})");
        }
        ends[usize::from(view.in_force == 2)] += 1;
        if steps.load(Ordering::Relaxed) < last {
            break;
        }
    }
    assert!(ends[0] >= 8 && ends[1] >= 1, "both ends were seen: {ends:?}");
}

#[test]
fn a_full_disk_keeps_a_content_out_and_never_a_restore() {
    // Goal: no content without its marker; no bad content because of a full disk. Method: a folder in the way of either
    // copy while one is taken, and while the memory grows over the bar.
    let root = tempfile::tempdir().expect("a scratch folder");
    let folder = Folder::open(root.path().join("content")).expect("opens");
    let clock = Arc::new(Hand::default());
    settled(&folder, &clock);
    let ways = COPIES.map(|copy| folder.path().join(format!(".{copy}.new")));
    let contents = open(&folder, &clock);
    ways.iter().for_each(|way| std::fs::create_dir(way).expect("makes the folder"));
    assert!(!contents.take(Event::Taken(taken(2), Some(4000))));
    assert_eq!((version(&contents), contents.newest()), (1, 1), "it is not applied and not spent");
    ways.iter().for_each(|way| std::fs::remove_dir(way).expect("removes the folder"));
    contents.take(Event::Taken(taken(2), Some(4000)));
    assert_eq!(version(&contents), 2);
    ways.iter().for_each(|way| std::fs::create_dir(way).expect("makes the folder"));
    assert!(contents.take(Event::Looked(Some(limits::CONTENT_RESIDENT_KIB + 1))), "the server is told");
    assert_eq!((version(&contents), contents.view().borrow().checkin_s), (1, Some(601)));
    ways.iter().for_each(|way| std::fs::remove_dir(way).expect("removes the folder"));
    drop(contents);
    let again = open(&folder, &clock);
    assert_eq!((version(&again), again.newest()), (1, 2), "the marker brings it about again");
}

#[test]
fn a_content_that_waits_for_its_marker_is_not_spent_and_no_trouble_with_the_disk_stops_the_agent() {
    // Goal: no version is lost without a word. Method: one on trial after an orderly end, a full disk at the next start,
    // and then room; a state folder in which not even the contents' folder can be made.
    let root = tempfile::tempdir().expect("a scratch folder");
    let folder = Folder::open(root.path().join("content")).expect("opens");
    let clock = Arc::new(Hand::default());
    settled(&folder, &clock);
    let contents = open(&folder, &clock);
    contents.take(Event::Taken(taken(2), Some(4000)));
    contents.take(Event::Ending);
    drop(contents);
    let ways = COPIES.map(|copy| folder.path().join(format!(".{copy}.new")));
    ways.iter().for_each(|way| std::fs::create_dir(way).expect("makes the folder"));
    let contents = open(&folder, &clock);
    assert_eq!((version(&contents), contents.newest()), (1, 1), "it is not applied, and not spent");
    ways.iter().for_each(|way| std::fs::remove_dir(way).expect("removes the folder"));
    contents.take(Event::Taken(taken(2), Some(4000)));
    assert_eq!((version(&contents), contents.view().borrow().on_trial), (2, true));
    std::fs::write(root.path().join("file"), b"in the way").expect("writes");
    let none = Folder::open(root.path().join("file/content"));
    assert!(none.is_err());
    let clock = TrustedClock::new(clock as Arc<dyn Clock>, Floor::new(None));
    let without = Contents::open(none, clock, Arc::new(|| Some(4000)));
    assert!(!without.take(Event::Taken(taken(1), Some(4000))));
    assert_eq!(
        (version(&without), without.newest()),
        (0, 0),
        "nothing is applied that a restart would not know"
    );
}

#[test]
fn contents_are_forgotten_with_their_owner_and_the_kernel_says_how_much_memory_there_is() {
    // Goal: `forget-site` and `retire`; the real measure. Method: two owners' folders and another file; this process.
    let root = tempfile::tempdir().expect("a scratch folder");
    let state = Folder::open(root.path().join("state")).expect("opens");
    let clock = Arc::new(Hand::default());
    for name in [FOLDER.to_owned(), format!("{FOLDER}-abc")] {
        settled(&state.inside(&name).expect("opens"), &clock);
    }
    state.write("other", b"stays").expect("writes");
    forget(&state).expect("forgets");
    for name in [FOLDER.to_owned(), format!("{FOLDER}-abc")] {
        assert_eq!(version(&open(&state.inside(&name).expect("opens"), &clock)), 0);
    }
    assert!(state.read("other", 9).expect("reads").is_some());
    assert!(resident_kib().expect("the kernel says") > 500);
}
