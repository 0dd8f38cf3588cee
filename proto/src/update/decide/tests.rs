//! Every check of a decision alone, in pairs and at its edges, with the fixtures that other suites build on.
//!
//! Tests only; see [`super`].

use super::*;
use crate::checkin::ScopeProof;
use crate::ids::Hardware;
use crate::merkle::Tree;
use crate::update::order::Back;
use crate::update::refusal::Step;
use crate::update::release::Recall;
use crate::update::scope::Scope;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

pub(crate) const NOW: Timestamp = Timestamp(1_795_251_906);

fn text(value: &str) -> Text {
    value.parse().expect("a text")
}

fn hardware(serial: u32) -> Hardware {
    let serial = text(&format!("VP3-{serial:06}"));
    Hardware { manufacturer: text("Halden"), model: text("VP-3"), revision: text("C"), serial }
}

pub(crate) fn image(release: &str, fill: u8) -> Image {
    let release = release.parse().expect("a path");
    Image { release, length: 4096, sha256: Sha256([fill; 32]) }
}

pub(crate) fn release(image: Image, counter: u64) -> Release {
    Release {
        image,
        model: text("VP-3"),
        hardware: vec![text("B"), text("C")],
        counter,
        floor: 40,
        min_from: 40,
        interlock: InterlockClass::Application,
        confirm: Confirm::Checkin,
        recall: Recall::None,
        needs: Needs::None,
        support: BTreeMap::new(),
        sbom: None,
        vex: None,
        mud: None,
        deltas: Vec::new(),
    }
}

/// Three devices in one set, and the proof of each.
pub(crate) fn set() -> (Scope, [(HardwareId, ScopeProof); 3]) {
    let mut leaves = [1, 2, 3].map(|serial| hardware(serial).identity());
    leaves.sort_unstable();
    let tree: Tree = leaves.iter().map(|leaf| leaf.0).collect();
    let proof = |index: u64| {
        let path = tree.inclusion(index).expect("three leaves").path;
        ScopeProof { index, hashes: path.into_iter().map(Sha256).collect() }
    };
    let proofs = [(leaves[0], proof(0)), (leaves[1], proof(1)), (leaves[2], proof(2))];
    (Scope::Set { root: Sha256(tree.root()), count: 3 }, proofs)
}

pub(crate) fn order() -> Order {
    Order {
        id: "0187".parse().expect("a name"),
        repository: "halden".parse().expect("a name"),
        image: image("vp-3/4.2.2", 42),
        scope: set().0,
        issued: NOW.plus_seconds(-3600),
        not_before: NOW.plus_seconds(-1800),
        expires: NOW.plus_seconds(86_400),
        windows: vec![Window::ALWAYS],
        back: Some(Back { image: image("vp-3/4.1.0", 41), until: NOW.plus_seconds(2 * 86_400) }),
        permit_s: Some(900),
        reason: text("Closes a hole in the web interface"),
    }
}

/// Everything a decision looks at, to be broken piece by piece.
#[derive(Clone)]
struct World {
    order: Option<Result<Order, Unreadable>>,
    release: Option<Result<Release, Unreadable>>,
    proof: Option<ScopeProof>,
    identity: HardwareId,
    model: Text,
    revision: Text,
    counter: u64,
    sha256: Sha256,
    floor: u64,
    confirmed: Option<ConfirmedOrder>,
    given_up: Vec<GivenUp>,
    now: Timestamp,
}

impl World {
    /// A device at counter 41 that is offered counter 42.
    fn install() -> Self {
        let (identity, proof) = set().1[1].clone();
        Self {
            order: Some(Ok(order())),
            release: Some(Ok(release(image("vp-3/4.2.2", 42), 42))),
            proof: Some(proof),
            identity,
            model: text("VP-3"),
            revision: text("C"),
            counter: 41,
            sha256: Sha256([41; 32]),
            floor: 40,
            confirmed: None,
            given_up: Vec::new(),
            now: NOW,
        }
    }

    /// The same device after it confirmed counter 42.
    fn back() -> Self {
        let confirmed = ConfirmedOrder { order: order().id, sha256: Sha256([42; 32]) };
        Self {
            release: Some(Ok(release(image("vp-3/4.1.0", 41), 41))),
            counter: 42,
            sha256: Sha256([42; 32]),
            confirmed: Some(confirmed),
            ..Self::install()
        }
    }

    fn decide(&self, action: Action) -> Result<Cleared, Refusal> {
        let device = Device {
            identity: self.identity,
            model: &self.model,
            revision: &self.revision,
            counter: self.counter,
            sha256: self.sha256,
            floor: self.floor,
            confirmed: self.confirmed.as_ref(),
            given_up: &self.given_up,
        };
        let id = order().id;
        let case = Case {
            id: &id,
            order: self.order.as_ref(),
            release: self.release.as_ref(),
            proof: self.proof.as_ref(),
            device: &device,
        };
        match action {
            Action::Install => decide(&case, self.now),
            Action::Back => decide_back(&case, self.now),
        }
    }

    fn order(&mut self, change: impl FnOnce(&mut Order)) {
        if let Some(Ok(order)) = &mut self.order {
            change(order);
        }
    }

    fn release(&mut self, change: impl FnOnce(&mut Release)) {
        if let Some(Ok(release)) = &mut self.release {
            change(release);
        }
    }

    fn give_up(&mut self, why: GaveUp) {
        self.given_up.push(GivenUp { order: order().id, why });
    }
}

type Break = (&'static str, fn(&mut World));

/// One breakage a row, in the decided order, for both acts.
const COMMON: [Break; 15] = [
    ("order-not-listed", |w| w.order = None),
    ("order-not-listed", |w| w.order(|o| o.id = "0188".parse().expect("a name"))),
    ("order-unreadable", |w| w.order = Some(Err(Unreadable::Version(2)))),
    ("order-not-yet", |w| w.order(|o| o.not_before = NOW.plus_seconds(1))),
    ("clock-before-order", |w| w.order(|o| o.issued = NOW.plus_seconds(1))),
    ("not-in-scope", |w| w.proof = None),
    ("unknown-to-maker", |w| w.release = None),
    ("unknown-to-maker", |w| w.release(|r| r.image.release = "vp-3/9".parse().expect("a path"))),
    ("release-unreadable", |w| w.release = Some(Err(Unreadable::Version(2)))),
    ("length-differs", |w| w.release(|r| r.image.length += 1)),
    ("hash-differs", |w| w.release(|r| r.image.sha256 = Sha256([9; 32]))),
    ("other-model", |w| w.release(|r| r.model = text("VP-4"))),
    ("other-hardware", |w| w.release(|r| r.hardware = vec![text("B")])),
    ("given-up", |w| w.give_up(GaveUp::WentBack)),
    ("below-floor", |w| w.floor = 43),
];

const INSTALL_ONLY: [Break; 3] = [
    ("order-expired", |w| w.order(|o| o.expires = NOW)),
    ("not-newer", |w| w.release(|r| r.counter = 41)),
    ("min-from", |w| w.release(|r| r.min_from = 42)),
];

const BACK_ONLY: [Break; 3] = [
    ("way-back-closed", |w| w.order(|o| o.back.as_mut().expect("a way back").until = NOW)),
    ("not-confirmed-here", |w| w.confirmed = None),
    ("way-back-not-older", |w| w.release(|r| r.counter = 42)),
];

fn broken(world: &World, breaks: &[&Break], action: Action) -> Refusal {
    let mut world = world.clone();
    for (_, change) in breaks {
        change(&mut world);
    }
    world.decide(action).expect_err("something is broken")
}

#[test]
fn of_two_things_wrong_the_earlier_one_is_named_for_install_and_for_the_way_back() {
    // Goal: the order of decision 0002. Method: every refusal alone, then every pair of breakages.
    let acts =
        [(Action::Install, World::install(), &INSTALL_ONLY), (Action::Back, World::back(), &BACK_ONLY)];
    for (action, world, only) in acts {
        assert!(world.decide(action).is_ok(), "{action:?}: the unbroken world is cleared");
        let breaks: Vec<&Break> = COMMON.iter().chain(only.iter()).collect();
        for one in &breaks {
            assert_eq!(broken(&world, &[*one], action).code(), one.0, "{action:?}");
        }
        for (one, other) in breaks.iter().flat_map(|one| breaks.iter().map(move |other| (one, other))) {
            let alone = [broken(&world, &[*one], action), broken(&world, &[*other], action)];
            let first = alone.iter().map(Refusal::step).min().expect("two refusals");
            let both = broken(&world, &[*one, *other], action);
            let said = format!("{action:?}: {} and {} gave {}", one.0, other.0, both.code());
            // Replacing a document hides what was wrong inside it; the step is then the replacement's.
            assert_eq!(both.step(), first, "{said}");
        }
    }
}

#[test]
fn a_cleared_act_carries_what_both_signatures_say() {
    // Goal: nothing of the clearance comes from elsewhere. Method: compare with order and release.
    let install = World::install().decide(Action::Install).expect("cleared");
    assert_eq!((install.image, install.counter, install.floor), (image("vp-3/4.2.2", 42), 42, 40));
    assert_eq!((install.until, install.permit_s), (order().expires, Some(900)));
    let back = World::back().decide(Action::Back).expect("cleared");
    assert_eq!((back.image, back.counter), (image("vp-3/4.1.0", 41), 41));
    assert_eq!(back.until, order().back.expect("a way back").until, "until stands in place of expires");
}

#[test]
fn an_order_for_another_device_is_refused_with_that_devices_own_valid_proof() {
    // Goal: a proof binds to H. Method: the neighbour's proof, a bare set, a proof that is one hash too long.
    let refuse = |change: fn(&mut World)| broken(&World::install(), &[&("", change)], Action::Install);
    let miss = |refusal: Refusal| match refusal {
        Refusal::NotInScope { why, .. } => why,
        other => panic!("{other}"),
    };
    assert_eq!(miss(refuse(|w| w.proof = Some(set().1[0].1.clone()))), ScopeMiss::ProofFails);
    assert_eq!(miss(refuse(|w| w.identity = hardware(4).identity())), ScopeMiss::ProofFails);
    assert_eq!(miss(refuse(|w| w.proof = None)), ScopeMiss::NoProof);
    let long = |w: &mut World| w.proof.as_mut().expect("a proof").hashes.push(Sha256([0; 32]));
    assert_eq!(miss(refuse(long)), ScopeMiss::ProofFails);
}

#[test]
fn a_match_looks_at_model_hardware_and_the_installed_counter() {
    // Goal: facts the device knows of itself. Method: one fact off at a time; the way back ignores the counter.
    let facts = |from_least, from_most| Scope::Match {
        model: text("VP-3"),
        hardware: text("C"),
        from_least,
        from_most,
    };
    let with = |scope: Scope, world: &World| {
        let mut world = world.clone();
        world.proof = None;
        world.order(|o| o.scope = scope);
        world
    };
    let install = World::install();
    let miss = |world: World| match world.decide(Action::Install) {
        Err(Refusal::NotInScope { why, .. }) => Some(why),
        Ok(_) => None,
        Err(other) => panic!("{other}"),
    };
    assert_eq!(miss(with(facts(41, 41), &install)), None);
    assert_eq!(miss(with(facts(42, 50), &install)), Some(ScopeMiss::Counter));
    assert_eq!(miss(with(facts(0, 40), &install)), Some(ScopeMiss::Counter));
    let other_model = World { model: text("VP-4"), ..install.clone() };
    assert_eq!(miss(with(facts(41, 41), &other_model)), Some(ScopeMiss::Model));
    let other_board = World { revision: text("D"), ..install };
    assert_eq!(miss(with(facts(41, 41), &other_board)), Some(ScopeMiss::Hardware));
    assert!(
        with(facts(41, 41), &World::back()).decide(Action::Back).is_ok(),
        "it left the range by the order"
    );
}

#[test]
fn the_way_back_is_open_only_to_a_device_that_confirmed_and_still_runs_the_orders_image() {
    // Goal: one image, one device state. Method: other order confirmed, other image running, no way back signed.
    let refuse = |change: fn(&mut World)| broken(&World::back(), &[&("", change)], Action::Back).code();
    let confirm = |order: &str, fill| ConfirmedOrder {
        order: order.parse().expect("a name"),
        sha256: Sha256([fill; 32]),
    };
    let mut other_order = World::back();
    other_order.confirmed = Some(confirm("0186", 42));
    assert_eq!(other_order.decide(Action::Back).expect_err("refused").code(), "not-confirmed-here");
    let mut other_image = World::back();
    other_image.confirmed = Some(confirm("0187", 40));
    assert_eq!(other_image.decide(Action::Back).expect_err("refused").code(), "not-confirmed-here");
    assert_eq!(refuse(|w| w.sha256 = Sha256([1; 32])), "not-confirmed-here", "something else runs");
    assert_eq!(refuse(|w| w.order(|o| o.back = None)), "no-way-back");
    assert_eq!(
        refuse(|w| w.floor = 42),
        "below-floor",
        "confirming a release that raised the floor closed it"
    );
    let expired = |w: &mut World| w.order(|o| o.expires = NOW.plus_seconds(-1));
    let mut open = World::back();
    expired(&mut open);
    assert!(open.decide(Action::Back).is_ok(), "until, not expires, ends the way back");
    open.release(|r| r.min_from = 41);
    assert!(open.decide(Action::Back).is_ok(), "min_from does not apply");
}

#[test]
fn both_ends_of_an_order_are_exact_to_the_second() {
    // Goal: not_before inclusive, expires exclusive, as TUF counts. Method: the seconds around each.
    let at = |seconds| World { now: NOW.plus_seconds(seconds), ..World::install() }.decide(Action::Install);
    assert_eq!(at(-1801).expect_err("early").code(), "order-not-yet");
    assert!(at(-1800).is_ok());
    assert!(at(86_399).is_ok());
    assert_eq!(at(86_400).expect_err("late").code(), "order-expired");
}

#[test]
fn the_chains_come_before_everything_else_and_role_by_role() {
    // Goal: the first four steps. Method: the steps of chain errors beside all others.
    use crate::update::fault::{Fault, Role};
    use crate::update::refusal::Party;
    let chain = |party, role| Refusal::Chain { party, error: Fault::NotFound.of(role) };
    let roles = [Role::Root, Role::Timestamp, Role::Snapshot, Role::Targets];
    let steps: Vec<Step> = roles.into_iter().map(|role| chain(Party::Image, role).step()).collect();
    assert!(steps.is_sorted() && steps.iter().all(|step| *step < Step::Listed), "{steps:?}");
    assert_eq!(chain(Party::Director, Role::Delegated("orders".into())).step(), Step::Targets);
    assert!(Step::MinFrom < Step::Permit && Step::Permit < Step::Window);
    assert!(Step::Window < Step::Power && Step::Power < Step::Interlock);
}

#[test]
fn a_clearance_of_the_first_version_is_read_for_ever() {
    // Goal: journals in the field outlive agents. Method: golden bytes of v1.
    let cleared = World::install().decide(Action::Install).expect("cleared");
    let golden = include_str!("../../../golden/v1/cleared.hex");
    let bytes = crate::canonical::fields::decode_hex(golden.trim()).expect("hexadecimal");
    assert_eq!(crate::wire::read::<Cleared>(&bytes, 4096), Ok(cleared.clone()));
    assert_eq!(crate::wire::write(&cleared), bytes);
}

proptest! {
    #[test]
    fn nothing_is_cleared_that_is_not_newer_within_floor_and_time(
        counter in 0_u64..60, floor in 0_u64..60, min_from in 0_u64..60, offered in 1_u64..60,
        clock in -4000_i64..90_000,
    ) {
        let mut world = World { counter, floor, now: NOW.plus_seconds(clock), ..World::install() };
        world.release(|r| { r.counter = offered; r.min_from = min_from; });
        let wanted = offered > counter && offered >= floor && counter >= min_from && (-1800..86_400).contains(&clock);
        prop_assert_eq!(world.decide(Action::Install).is_ok(), wanted);
    }

    #[test]
    fn the_way_back_never_leads_below_the_floor_or_forward(
        counter in 0_u64..60, floor in 0_u64..60, offered in 1_u64..60, clock in -4000_i64..200_000,
    ) {
        let mut world = World { counter, floor, now: NOW.plus_seconds(clock), ..World::back() };
        world.release(|r| r.counter = offered);
        let wanted = offered < counter && offered >= floor && (-1800..172_800).contains(&clock);
        prop_assert_eq!(world.decide(Action::Back).is_ok(), wanted);
    }
}
