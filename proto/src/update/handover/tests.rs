//! A change of owner: its fixed layout, one refusal for each thing that is wrong, loans that come back, and replays.
//!
//! Tests only; see [`super`]. Owner A has the root seeds 1 to 3, owner B 51 to 53, the maker 61 and 62, each two of all.

use super::*;
use crate::ids::{Hardware, Text};
use crate::update::author;
use crate::update::deny::EXAMPLE_KEYS;
use crate::update::testing::{NOW, authority, rules, signed_by};
use crate::update::{Authority, PublicKey};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use proptest::prelude::*;

const GOLDEN: &str = include_str!("../../../golden/v1/hand-over.json");
const A: [u8; 3] = [1, 2, 3];
const B: [u8; 3] = [51, 52, 53];
const MAKER: [u8; 2] = [61, 62];

fn text(value: &str) -> Text {
    value.parse().expect("a text")
}

fn hardware(serial: u32) -> HardwareId {
    let serial = text(&format!("VP3-{serial:06}"));
    Hardware { manufacturer: text("Halden"), model: text("VP-3"), revision: text("C"), serial }.identity()
}

fn root_of(seeds: &[u8], version: u64) -> Root {
    let online = authority(&[91], 1);
    Root {
        version,
        expires: NOW.plus_seconds(365 * DAY_S),
        consistent_snapshot: true,
        root: authority(seeds, 2),
        timestamp: online.clone(),
        snapshot: online.clone(),
        targets: online,
    }
}

fn bytes(root: &Root, seeds: &[u8]) -> Vec<u8> {
    signed_by(&author::root(root), seeds)
}

fn root(seeds: &[u8]) -> Vec<u8> {
    bytes(&root_of(seeds, 1), seeds)
}

/// Forty devices, sorted as the tree wants them.
fn forty() -> Vec<HardwareId> {
    let mut devices: Vec<_> = (1..=40).map(hardware).collect();
    devices.sort_unstable();
    devices
}

fn set(devices: &[HardwareId]) -> Scope {
    let root = Sha256(merkle::root(devices.iter().map(|device| device.0)));
    Scope::Set { root, count: u64::try_from(devices.len()).expect("few") }
}

/// A hand-over with everything that a device looks at, to be broken piece by piece.
#[derive(Clone)]
struct World {
    hand_over: HandOver,
    devices: Vec<HardwareId>,
    signers: Vec<u8>,
    present: Vec<u8>,
    brought: Vec<u8>,
    device: HardwareId,
    last: Option<Timestamp>,
    presence: Presence,
    loopback: bool,
    now: Timestamp,
}

impl World {
    /// A hands forty devices over to B; this is the seventh of them.
    fn loan() -> Self {
        let (present, brought, devices) = (root(&A), root(&B), forty());
        let hand_over = HandOver {
            scope: set(&devices),
            from: Sha256::of(&present),
            to: Sha256::of(&brought),
            issued: NOW.plus_seconds(-3600),
            expires: NOW.plus_seconds(30 * DAY_S),
        };
        Self {
            hand_over,
            devices,
            signers: vec![1, 3],
            present,
            brought,
            device: hardware(7),
            last: None,
            presence: Presence::default(),
            loopback: false,
            now: NOW,
        }
    }

    /// The same, signed by the maker, with a person at the device who did what is asked.
    fn by_maker() -> Self {
        let presence = Presence { forgotten: true, root: true, free: true };
        Self { signers: MAKER.into(), presence, ..Self::loan() }
    }

    fn file(&self) -> Vec<u8> {
        let document = signed_by(&self.hand_over.value(), &self.signers);
        Carried::write(&document, &self.devices).expect("JSON")
    }

    fn judged(&self, file: &[u8]) -> Result<HandOver, Refused> {
        let (model, revision) = (text("VP-3"), text("C"));
        let device = Device {
            identity: self.device,
            model: &model,
            revision: &revision,
            counter: 41,
            sha256: Sha256([41; 32]),
            floor: 40,
            confirmed: None,
            given_up: &[],
        };
        let case = Case {
            device: &device,
            present: &self.present,
            makers: &[Trusted::start(&root(&MAKER), &rules()).expect("a root")],
            brought: &self.brought,
            last: self.last,
            loopback: self.loopback,
        };
        judge(file, &case, &Rules { now: self.now, ..rules() })?.complete(self.presence)
    }

    fn outcome(&self) -> Result<HandOver, Refused> {
        self.judged(&self.file())
    }

    fn changed(&self, change: impl FnOnce(&mut Self)) -> Result<HandOver, Refused> {
        let mut world = self.clone();
        change(&mut world);
        world.outcome()
    }
}

fn statement() -> HandOver {
    HandOver {
        scope: set(&forty()),
        from: Sha256([0xaa; 32]),
        to: Sha256([0xbb; 32]),
        issued: NOW,
        expires: NOW.plus_seconds(30 * DAY_S),
    }
}

fn read(json: &str) -> Result<HandOver, Unreadable> {
    HandOver::read(&Value::parse(json.as_bytes(), 65_536).expect("JSON"))
}

#[test]
fn a_hand_over_of_the_first_version_is_read_and_written_in_one_form() {
    // Goal: the fixed layout. Method: golden text both ways.
    let written = String::from_utf8(statement().value().canonical()).expect("UTF-8");
    assert_eq!(written, GOLDEN.trim());
    assert_eq!(read(GOLDEN), Ok(statement()));
}

#[test]
fn nothing_unknown_missing_or_endless_is_read() {
    // Goal: a closed document. Method: each field dropped, novelties, lives at their bounds.
    let Value::Map(fields) = statement().value() else { panic!("a map") };
    for name in fields.keys() {
        let mut fewer = fields.clone();
        fewer.remove(name);
        assert!(HandOver::read(&Value::Map(fewer)).is_err(), "without {name}");
    }
    for (from, to) in [
        (r#""v":1"#, r#""v":2"#),
        (r#""v":1"#, r#""v":1,"ward":"icu""#),
        (r#""_type":"hand-over""#, r#""_type":"root""#),
        (r#""scope":{"#, r#""scope":{"ward":"icu","#),
        ("aaaa", "bbbb"),
    ] {
        assert!(GOLDEN.contains(from) && read(&GOLDEN.replace(from, to)).is_err(), "{to}");
    }
    let lives = |life_s| {
        let expires = NOW.plus_seconds(life_s);
        HandOver::read(&HandOver { expires, ..statement() }.value()).is_ok()
    };
    assert_eq!([0, 1, 90 * DAY_S, 90 * DAY_S + 1].map(lives), [false, true, true, false]);
}

#[test]
fn the_present_owner_hands_listed_devices_over_without_anybody_at_the_device() {
    // Goal: the usual loan, and one by facts. Method: nothing wrong; by whom it is.
    let world = World::loan();
    assert_eq!(world.outcome(), Ok(world.hand_over.clone()));
    let facts = Scope::Match { model: text("VP-3"), hardware: text("C"), from_least: 41, from_most: 41 };
    let by_facts = world.changed(|world| (world.hand_over.scope, world.devices) = (facts.clone(), vec![]));
    assert!(by_facts.is_ok());
    let other = Scope::Match { model: text("VP-4"), hardware: text("C"), from_least: 0, from_most: 99 };
    let refused = world.changed(|world| (world.hand_over.scope, world.devices) = (other, vec![]));
    assert_eq!(refused, Err(Refused::NotInScope(ScopeMiss::Model)));
}

#[test]
fn a_hand_over_for_other_devices_is_refused_whatever_list_comes_with_it() {
    // Goal: only what was signed. Method: a device that is not listed; lists with it put in, turned round, cut, none.
    let world = World::loan();
    let stranger = |world: &mut World| world.device = hardware(41);
    assert_eq!(world.changed(stranger), Err(Refused::NotListed));
    let forge = |forge: fn(&mut Vec<HardwareId>)| {
        world.changed(|world| {
            stranger(world);
            forge(&mut world.devices);
        })
    };
    let added = |devices: &mut Vec<HardwareId>| {
        devices.push(hardware(41));
        devices.sort_unstable();
    };
    assert_eq!(forge(added), Err(Refused::ListDiffers));
    assert_eq!(forge(|devices| devices[0] = hardware(41)), Err(Refused::ListDiffers));
    assert_eq!(forge(Vec::clear), Err(Refused::ListDiffers));
    assert_eq!(world.changed(|world| world.devices.reverse()), Err(Refused::ListDiffers));
    assert_eq!(world.changed(|world| world.devices.push(hardware(41))), Err(Refused::ListDiffers));
}

#[test]
fn too_few_signatures_a_sub_role_and_a_stranger_are_refused() {
    // Goal: the threshold of the root, nobody else. Method: one root key; twice the same; the online keys; B; one maker.
    let world = World::loan();
    let signed = |signers: &[u8]| world.changed(|world| world.signers = signers.into());
    let refused = |valid| Err(Refused::NotSigned { valid, needed: 2 });
    assert_eq!(signed(&[1]), refused(1));
    assert_eq!(signed(&[91]), refused(0), "a role below the root");
    assert_eq!(signed(&[51, 52]), refused(0), "the new owner");
    assert_eq!(signed(&[1, 61]), refused(1), "half of each is none");
    let mut file = String::from_utf8(world.file()).expect("UTF-8");
    file = file.replacen(r#""count":40"#, r#""count":39"#, 1);
    assert_eq!(world.judged(file.as_bytes()), refused(0), "a flipped digit");
}

#[test]
fn the_maker_alone_and_presence_alone_are_never_enough() {
    // Goal: neither the maker from afar nor a thief with the device. Method: each of the three acts missing; no maker's
    // signature but all three acts.
    let world = World::by_maker();
    assert_eq!(world.outcome(), Ok(world.hand_over.clone()));
    let without = |forget: fn(&mut Presence)| world.changed(|world| forget(&mut world.presence));
    assert_eq!(without(|presence| presence.forgotten = false), Err(Refused::NotForgotten));
    assert_eq!(without(|presence| presence.root = false), Err(Refused::NotRoot));
    assert_eq!(without(|presence| presence.free = false), Err(Refused::InUse));
    let thief = |signers: &[u8]| world.changed(|world| world.signers = signers.into());
    for signers in [vec![], vec![61], vec![51, 52], vec![91]] {
        assert!(matches!(thief(&signers), Err(Refused::NotSigned { .. })), "{signers:?}");
    }
}

#[test]
fn both_roots_are_the_named_ones_and_usable() {
    // Goal: from and to by hash. Method: another present root, another brought one, unusable and expired ones.
    let world = World::loan();
    let renewed = bytes(&root_of(&A, 2), &A);
    let refused = world.changed(|world| world.present = renewed.clone());
    let from = world.hand_over.from;
    assert_eq!(refused, Err(Refused::OtherOwner { from, trusted: Sha256::of(&renewed) }));
    let refused = world.changed(|world| world.brought = root(&[71, 72, 73]));
    assert!(matches!(refused, Err(Refused::OtherRoot { .. })), "{refused:?}");
    let bring = |world: &mut World, root: Vec<u8>| {
        world.hand_over.to = Sha256::of(&root);
        world.brought = root;
    };
    let unsigned = world.changed(|world| bring(world, bytes(&root_of(&B, 1), &[51])));
    assert!(matches!(unsigned, Err(Refused::Brought(_))), "{unsigned:?}");
    let over = Root { expires: NOW, ..root_of(&B, 1) };
    let expired = world.changed(|world| bring(world, bytes(&over, &B)));
    assert!(matches!(expired, Err(Refused::Brought(_))), "{expired:?}");
    let old = bytes(&Root { expires: NOW, ..root_of(&A, 1) }, &A);
    let present = |world: &mut World| {
        world.hand_over.from = Sha256::of(&old);
        world.present = old.clone();
    };
    assert!(matches!(world.changed(present), Err(Refused::Present(_))), "a present owner can renew its root");
    assert!(World::by_maker().changed(present).is_ok(), "one who is gone cannot");
}

#[test]
fn the_times_are_exact_and_an_old_hand_over_is_never_taken_again() {
    // Goal: not before, not after, not twice. Method: the second on both sides; a loan, its return, the loan replayed.
    let world = World::loan();
    let (issued, expires) = (world.hand_over.issued, world.hand_over.expires);
    let at = |now| world.changed(|world| world.now = now);
    assert_eq!(at(issued.plus_seconds(-1)), Err(Refused::NotYet { issued }));
    assert!(at(issued).is_ok() && at(expires.plus_seconds(-1)).is_ok());
    assert_eq!(at(expires), Err(Refused::Expired { expires }));
    let returned = World {
        hand_over: HandOver {
            from: world.hand_over.to,
            to: world.hand_over.from,
            issued: issued.plus_seconds(60),
            ..world.hand_over.clone()
        },
        present: world.brought.clone(),
        brought: world.present.clone(),
        signers: vec![52, 53],
        last: Some(issued),
        ..world.clone()
    };
    assert!(returned.outcome().is_ok(), "B gives back");
    let last = issued.plus_seconds(60);
    let replayed = world.changed(|world| world.last = Some(last));
    assert_eq!(replayed, Err(Refused::Replayed { issued, last }));
    assert_eq!(
        world.changed(|world| world.last = Some(issued)),
        Err(Refused::Replayed { issued, last: issued })
    );
    assert!(world.changed(|world| world.last = Some(issued.plus_seconds(-1))).is_ok());
}

#[test]
fn example_keys_own_nothing_off_loopback_whoever_they_are() {
    // Goal: keys that everyone has prove nothing. Method: as new owner, as present one, as maker.
    let (name, _) = EXAMPLE_KEYS[0];
    let seed = Sha256::of(format!("cordon example key: {name}").as_bytes());
    let known = PublicKey::ed25519(ed25519_dalek::SigningKey::from_bytes(&seed.0).verifying_key().to_bytes());
    let example = |seeds: &[u8]| Root {
        timestamp: Authority::new([known.clone()], 1).expect("reachable"),
        ..root_of(seeds, 1)
    };
    let world = World::loan();
    let to = |world: &mut World| {
        world.brought = bytes(&example(&B), &B);
        world.hand_over.to = Sha256::of(&world.brought);
    };
    let from = |world: &mut World| {
        world.present = bytes(&example(&A), &A);
        world.hand_over.from = Sha256::of(&world.present);
    };
    assert_eq!(world.changed(to), Err(Refused::ExampleKeys));
    assert_eq!(world.changed(from), Err(Refused::NotSigned { valid: 2, needed: 2 }));
    let demo = World { loopback: true, ..world };
    assert!(demo.changed(to).is_ok() && demo.changed(from).is_ok());
}

#[test]
fn a_file_is_bounded_and_its_list_is_of_identities() {
    // Goal: no endless stick. Method: the limits, and lists of other things.
    let world = World::loan();
    let file = world.file();
    assert!(file.len() < 4096, "forty devices are a small file: {}", file.len());
    let many: Vec<_> = (0..=limits::HAND_OVER_DEVICES).map(|_| hardware(1)).collect();
    let document = signed_by(&world.hand_over.value(), &[1, 3]);
    let file = |devices: &[HardwareId]| Carried::write(&document, devices).expect("JSON");
    assert!(Carried::parse(&file(&many)).is_err());
    let most = file(&many[1..]);
    assert!(most.len() < limits::HAND_OVER_BYTES && Carried::parse(&most).is_ok());
    let long = vec![b' '; limits::HAND_OVER_BYTES + 1];
    assert_eq!(Carried::parse(&long).err(), Some(Fault::TooLong { limit: limits::HAND_OVER_BYTES }));
    for devices in [r#""x""#, r#"["x"]"#, "[1]", r#"{"a":1}"#] {
        let text = String::from_utf8(document.clone()).expect("UTF-8");
        let text = text.replacen('{', &format!(r#"{{"devices":{devices},"#), 1);
        assert!(Carried::parse(text.as_bytes()).is_err(), "{devices}");
    }
}

#[test]
fn what_a_device_held_of_an_owner_who_comes_back_does_not_fall() {
    // Goal: the newer root of one owner, nothing of two. Method: the same, a rotation, an old one, a stranger's.
    let (first, second) = (root(&A), bytes(&root_of(&A, 2), &A));
    let handed_on = bytes(&root_of(&[4, 5, 6], 3), &[1, 2, 4, 5]);
    assert_eq!(newer_of(&first, &first, &rules()), Some(first.as_slice()));
    assert_eq!(newer_of(&first, &second, &rules()), Some(second.as_slice()));
    assert_eq!(newer_of(&second, &first, &rules()), Some(second.as_slice()));
    assert_eq!(
        newer_of(&second, &handed_on, &rules()),
        Some(handed_on.as_slice()),
        "new keys, old threshold"
    );
    assert_eq!(newer_of(&first, &root(&B), &rules()), None);
    assert_eq!(newer_of(&second, &root(&B), &rules()), None);
    assert_eq!(newer_of(&first, b"{}", &rules()), None);
}

proptest! {
    #[test]
    fn a_hand_over_holds_if_and_only_if_all_holds(
        signers in prop::collection::btree_set(prop::sample::select(vec![1_u8, 2, 3, 51, 52, 61, 62, 91]), 0..5),
        serial in 1_u32..60, last in -2_i64..2, offset in -2_i64..3,
        acts in any::<[bool; 3]>(), right in any::<[bool; 2]>(),
    ) {
        // Goal: no combination slips through. Method: facts by chance beside a plain conjunction.
        let mut world = World::loan();
        let HandOver { issued, expires, .. } = world.hand_over;
        world.signers = signers.iter().copied().collect();
        world.device = hardware(serial);
        world.last = (last < 2).then(|| issued.plus_seconds(last));
        world.now = if offset < 0 { issued.plus_seconds(offset + 1) } else { expires.plus_seconds(offset - 1) };
        let [forgotten, root_user, free] = acts;
        world.presence = Presence { forgotten, root: root_user, free };
        if !right[0] { world.present = bytes(&root_of(&A, 2), &A); }
        if !right[1] { world.brought = bytes(&root_of(&B, 2), &B); }
        let of = |seeds: &[u8]| seeds.iter().filter(|seed| signers.contains(seed)).count() >= 2;
        let signed = of(&A) || (of(&MAKER) && forgotten && root_user && free);
        let timely = issued <= world.now && world.now < expires && world.last.is_none_or(|last| last < issued);
        let expected = signed && timely && serial <= 40 && right == [true, true];
        prop_assert_eq!(world.outcome().is_ok(), expected);
    }

    #[test]
    fn no_byte_of_a_file_can_change_what_is_taken(at in 0_usize..4000, bit in 0_u8..8) {
        // Goal: every byte is signed or means nothing. Method: flip one; the outcome is a refusal or the same.
        let world = World::loan();
        let mut file = world.file();
        let at = at % file.len();
        file[at] ^= 1 << bit;
        if let Ok(taken) = world.judged(&file) {
            prop_assert_eq!(taken, world.hand_over);
        }
    }
}

#[test]
fn every_refusal_says_what_to_do_in_one_sentence() {
    // Goal: an operator reads it. Method: each variant's text.
    let at = NOW;
    let hash = Sha256([1; 32]);
    let all = [
        Refused::Unreadable(Fault::Type),
        Refused::Statement(Unreadable::Version(2)),
        Refused::NotSigned { valid: 1, needed: 2 },
        Refused::OtherOwner { from: hash, trusted: hash },
        Refused::OtherRoot { to: hash, brought: hash },
        Refused::ExampleKeys,
        Refused::NotYet { issued: at },
        Refused::Expired { expires: at },
        Refused::Replayed { issued: at, last: at },
        Refused::ListDiffers,
        Refused::NotListed,
        Refused::NotInScope(ScopeMiss::Model),
        Refused::NotForgotten,
        Refused::NotRoot,
        Refused::InUse,
    ];
    for refused in all {
        let text = format!("{refused}");
        assert!(text.len() > 30 && text.len() < 340 && !text.ends_with('.'), "{text}");
    }
}
