//! The stored form: golden records of every state, and values that only rise.
//!
//! Tests only; see [`super`].

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use cordon_proto::canonical::fields::{decode_hex, encode_hex};
use cordon_proto::checkin::Action;
use cordon_proto::wire;
use proptest::prelude::*;

use super::super::fixture::{OLD, Signed, clock, old_record};
use super::*;

const GOLDEN_TRIALS: &str = include_str!("../../../golden/v2/trials.txt");
const GOLDEN: &str = include_str!("../../../golden/v1/records.txt");

fn job() -> Job {
    let look = Signed::to(42, 42).clear_look(&old_record(), Action::Install, clock(0));
    let cleared = look.verdict.expect("asked").outcome.expect("cleared");
    Job { cleared, slot: Slot::B, boots: 1, interlock: InterlockState::Standby }
}

/// A record with something in every field, in every state.
fn records() -> Vec<(&'static str, Record)> {
    let mut record = old_record();
    record.previous = Some(Installed { slot: Slot::B, counter: 40, ..record.installed.clone() });
    (record.boots, record.starts, record.receipts) = (7, 9, 3);
    assert!(record.raise_version(&"director/timestamp".parse().expect("a text"), 12));
    record.give_up(&"0186".parse().expect("a name"), GaveUp::WentBack);
    record.confirmed = Some(ConfirmedOrder { order: "0185".parse().expect("a name"), sha256: OLD });
    record.damaged = Some(Damaged { order: "0187".parse().expect("a name"), times: 2 });
    record.raise_bundle(Kept { counter: 5, digest: None });
    record.raise_latest(clock(0).wall);
    let (job, serial) = (job(), 4);
    let states = [
        ("idle", State::Idle),
        ("fetching", fetching(job.clone())),
        ("written", State::Written(Box::new(Written::new(job.clone(), true)))),
        ("waiting", State::Waiting(Box::new(job.clone()))),
        ("armed", State::Armed(Box::new(job.clone()))),
        ("trial", trial(job.clone(), Patience::default())),
        ("reverting", reverting(job.clone())),
        (
            "confirmed",
            State::Confirmed(Box::new(Confirmed { job: job.clone(), serial, previous_sha256: OLD })),
        ),
        (
            "rolled-back",
            State::RolledBack(Box::new(RolledBack { job: job.clone(), serial, why: TrialFault::Silent })),
        ),
        ("failed", State::Failed(Box::new(Failed { job, serial, why: FetchFault::Damaged }))),
    ];
    states.into_iter().map(|(name, state)| (name, Record { state, ..record.clone() })).collect()
}

fn trial(job: Job, patience: Patience) -> State {
    State::Trial(Box::new(Trial { job, starts: 2, patience, shown: Shown::default() }))
}

fn fetching(job: Job) -> State {
    State::Fetching(Box::new(Fetching { job, offset: 2000, running: false, stopped: None }))
}

fn reverting(job: Job) -> State {
    State::Reverting(Box::new(Reverting { job, why: TrialFault::NoCheckin, flagged: false }))
}

#[test]
fn records_of_the_first_version_are_read_for_ever() {
    // Goal: an agent after an update reads what the one before it stored. Method: golden bytes of every state.
    let written: String = records()
        .iter()
        .map(|(name, record)| format!("{name} {}\n", encode_hex(&wire::write(record))))
        .collect();
    assert_eq!(written, GOLDEN, "a changed layout needs a new golden file beside this one");
    for (line, (name, record)) in GOLDEN.lines().zip(records()) {
        let (_, hex) = line.split_once(' ').expect("name and bytes");
        let bytes = decode_hex(hex).expect("hexadecimal");
        assert_eq!(wire::read::<Record>(&bytes, limits::SECURITY_STATE_BYTES), Ok(record), "{name}");
    }
}

#[test]
fn a_trial_is_stored_with_what_its_time_has_been_and_an_older_one_has_all_of_it() {
    // Goal: a power cut, or another version of the agent, forgets neither time nor extension. Method: golden bytes of a
    // trial that goes on and one that was extended; that of the first version is read as one that just begins.
    let mut patience = Patience::default();
    patience.begin(Millis(0));
    assert!(patience.has_time(limits::TRIAL_S, Millis(600_000)));
    let mut extended = patience;
    assert!(extended.extend());
    let record = |patience| Record { state: trial(job(), patience), ..old_record() };
    let stored = [("trial-going-on", record(patience)), ("trial-extended", record(extended))];
    let written: String = stored
        .iter()
        .map(|(name, record)| format!("{name} {}\n", encode_hex(&wire::write(record))))
        .collect();
    assert_eq!(written, GOLDEN_TRIALS, "a changed layout needs a new golden file beside this one");
    for (line, (name, _)) in GOLDEN_TRIALS.lines().zip(&stored) {
        let bytes = decode_hex(line.split_once(' ').expect("name and bytes").1).expect("hexadecimal");
        let read = wire::read::<Record>(&bytes, limits::SECURITY_STATE_BYTES).expect("is read");
        let State::Trial(mut trial) = read.state else { panic!("a trial") };
        assert_eq!(trial.patience.is_extended(), *name == "trial-extended");
        trial.patience.begin(Millis(7));
        let limit_s = if trial.patience.is_extended() { 2 * limits::TRIAL_S } else { limits::TRIAL_S };
        let left_ms = i64::from(limit_s - 600 - 2 * limits::TRIAL_STEP_S) * 1000;
        assert!(trial.patience.has_time(limits::TRIAL_S, Millis(7 + left_ms - 1)), "{name}");
        assert!(!trial.patience.has_time(limits::TRIAL_S, Millis(7 + left_ms)), "{name}");
    }
    let first = GOLDEN.lines().find_map(|line| line.strip_prefix("trial ")).expect("is there");
    let first = decode_hex(first).expect("hexadecimal");
    let first = wire::read::<Record>(&first, limits::SECURITY_STATE_BYTES).expect("is read");
    assert!(matches!(first.state, State::Trial(trial) if trial.patience.is_fresh()));
}

#[test]
fn what_only_rises_does_not_fall() {
    // Goal: floor, versions, bundle counter and latest time. Method: raise, then try to lower.
    let mut record = old_record();
    let file = "image/halden/root".parse().expect("a text");
    record.raise_floor(41);
    record.raise_floor(7);
    record.raise_version(&file, 3);
    record.raise_version(&file, 2);
    let bundle = |counter, digest| Kept { counter, digest: Some(Sha256([digest; 32])) };
    record.raise_bundle(bundle(9, 1));
    record.raise_bundle(bundle(9, 2));
    record.raise_bundle(bundle(8, 3));
    record.raise_latest(Timestamp(100));
    record.raise_latest(Timestamp(99));
    assert_eq!(
        (record.floor(), record.version(&file), record.bundle(), record.latest()),
        (41, 3, bundle(9, 1), Timestamp(100))
    );
    assert_eq!(record.version(&"other".parse().expect("a text")), 0);
    let stored = wire::write(&record);
    assert_eq!(wire::read::<Record>(&stored, limits::SECURITY_STATE_BYTES), Ok(record));
}

#[test]
fn another_owner_gets_nothing_of_the_one_before_and_lowers_nothing() {
    // Goal: decision 0010, change of owner. Method: in every state; to a new owner, on to a third, back to the first.
    let (b, c) = (Sha256([0xb; 32]), Sha256([0xc; 32]));
    let owner = |place, issued| Owner { place, issued: Timestamp(issued) };
    for (name, before) in records() {
        let mut record = before.clone();
        let may = matches!(name, "idle" | "fetching" | "written" | "waiting");
        assert_eq!(record.change_owner(owner(Some(b), 100)), may, "{name}");
        if !may {
            assert_eq!(record, before, "{name}");
            continue;
        }
        assert_eq!((&record.state, &record.confirmed, &record.damaged), (&State::Idle, &None, &None));
        assert_eq!(record.owners("director"), format!("director-{b}"));
        assert!(record.change_owner(owner(Some(c), 50)), "whether it may is not decided here");
        assert_eq!(record.owner(), Some(&owner(Some(c), 100)), "but the time never falls");
        assert!(record.change_owner(owner(None, 200)));
        assert_eq!(record.owners("director"), "director");
        let kept = |record: &Record| {
            (record.floor, record.bundle, record.latest, record.versions.clone(), record.given_up.clone())
        };
        assert_eq!(kept(&record), kept(&before));
        let bytes = wire::write(&record);
        assert_eq!(wire::read::<Record>(&bytes, limits::SECURITY_STATE_BYTES), Ok(record));
    }
}

#[test]
fn each_owner_has_its_own_last_bundle_which_never_falls() {
    // Goal: an owner's first bundle is not refused for another's counter, and no old stick of an owner who is back is
    // taken. Method: A, B, A, B, a third, A; raise, try to lower, store and read at each step.
    let bundle = |counter, digest| Kept { counter, digest: Some(Sha256([digest; 32])) };
    let mut issued = 0;
    let mut go = |record: &mut Record, place: Option<u8>| {
        issued += 1;
        let place = place.map(|byte| Sha256([byte; 32]));
        assert!(record.change_owner(Owner { place, issued: Timestamp(issued) }));
        *record = wire::read(&wire::write(record), limits::SECURITY_STATE_BYTES).expect("is read");
    };
    let mut record = old_record();
    record.raise_bundle(bundle(9, 1));
    go(&mut record, Some(0xb));
    assert_eq!(record.bundle(), Kept { counter: 0, digest: None }, "B begins anew");
    record.raise_bundle(bundle(2, 2));
    go(&mut record, None);
    record.raise_bundle(bundle(3, 3));
    assert_eq!(record.bundle(), bundle(9, 1), "what was accepted of A holds");
    record.raise_bundle(bundle(10, 4));
    go(&mut record, Some(0xb));
    assert_eq!(record.bundle(), bundle(2, 2));
    go(&mut record, Some(0xb));
    assert_eq!(record.bundle(), bundle(2, 2), "the same owner once more");
    go(&mut record, Some(0xc));
    assert_eq!(record.bundle().counter, 0);
    go(&mut record, None);
    assert_eq!(record.bundle(), bundle(10, 4));
    assert_eq!(record.aside.len(), 2, "each owner once: {:?}", record.aside);
}

#[test]
fn lists_that_outsiders_can_lengthen_are_bounded() {
    // Goal: a record always fits its file. Method: more orders and metadata files than the limits page allows.
    let mut record = old_record();
    for number in 0..limits::GIVEN_UP + 10 {
        record.give_up(&format!("order-{number}").parse().expect("a name"), GaveUp::WentBack);
        record.give_up(&format!("order-{number}").parse().expect("a name"), GaveUp::TrialFailed);
    }
    assert_eq!(record.given_up.len(), limits::GIVEN_UP);
    assert!(record.has_given_up(&format!("order-{}", limits::GIVEN_UP + 9).parse().expect("a name")));
    let longest =
        |number: &usize| format!("{number:->width$}", width = limits::TEXT_CHARS).parse().expect("a text");
    let noted = (0..limits::HELD_VERSIONS + 10)
        .filter(|number| record.raise_version(&longest(number), u64::MAX))
        .count();
    assert_eq!(noted, limits::HELD_VERSIONS);
    for number in 0..=u8::MAX {
        record.raise_bundle(Kept { counter: u64::MAX, digest: Some(Sha256([number; 32])) });
        assert!(record.change_owner(Owner { place: Some(Sha256([number; 32])), issued: Timestamp(0) }));
    }
    assert_eq!(record.aside.len(), limits::HELD_OWNERS);
    assert!(wire::write(&record).len() < limits::SECURITY_STATE_BYTES);
}

#[test]
fn no_number_of_owners_leaves_the_next_one_without_room_for_its_versions() {
    // Goal: a device that was lent often is protected against roll-back like any other. Method: more owners than are
    // kept, with and without a bundle, each with the files that are noted of it; the first and the latest keep theirs.
    let mut record = old_record();
    let files = ["root", "targets", "orders", "content"];
    let note = |record: &mut Record, version| {
        let named = |file: &&str| [&record.owners("director"), "/", file].concat().parse().expect("a text");
        let named: Vec<Text> = files.iter().map(named).collect();
        named.iter().all(|file| record.raise_version(file, version))
    };
    assert!(note(&mut record, 7));
    let owners = 2 * u8::try_from(limits::HELD_OWNERS).expect("small");
    for number in 0..owners {
        let place = Some(Sha256([number; 32]));
        assert!(record.change_owner(Owner { place, issued: Timestamp(0) }));
        assert!(note(&mut record, u64::from(number) + 1), "owner {number}");
        if number % 2 == 0 {
            record.raise_bundle(Kept { counter: 1, digest: None });
        }
    }
    let version = |number: u8| {
        let file = format!("director-{}/orders", Sha256([number; 32]));
        record.version(&file.parse().expect("a text"))
    };
    assert_eq!(version(owners - 2), u64::from(owners) - 1, "of the one before");
    assert_eq!(version(0), 0, "left long ago");
    assert_eq!(record.version(&"director/orders".parse().expect("a text")), 7, "the first owner's stay");
    assert!(record.versions.len() < limits::HELD_VERSIONS);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = wire::read::<Record>(&bytes, limits::SECURITY_STATE_BYTES);
    }

    #[test]
    fn a_flipped_bit_never_panics_the_reader_or_a_start(which in 0..10_usize, at in any::<usize>(), bit in 0..8_u8) {
        let mut bytes = wire::write(&records()[which].1);
        let place = at % bytes.len();
        bytes[place] ^= 1 << bit;
        if let Ok(record) = wire::read::<Record>(&bytes, limits::SECURITY_STATE_BYTES) {
            let view = crate::update::loader::BootState::factory(Slot::A);
            let _ = crate::update::step(record, crate::update::Event::Started(view), clock(0));
        }
    }
}
