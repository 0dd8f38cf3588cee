//! The attacks on the two signatures over the whole agent: halves, differences, replays and older images, each refused by
//! its name; and the three ways in which an older image is right.
//!
//! Tests only; see [`super`].

use std::collections::BTreeSet;

use cordon_proto::update::author;
use cordon_proto::update::metadata::{self, MetaFile};
use cordon_proto::update::order::Back;

use super::*;
use crate::fake::repository::{DIRECTOR, Repository, signed};

/// What the two repositories say: the director's files, the maker's.
type Said = (Repository, Repository);

async fn lied_to(said: Said) -> Rig {
    let rig = Rig::new().await;
    let (director, maker) = (said.0.files, said.1.files);
    *rig.world() = World { offer: true, permit: true, director, maker, ..World::new() };
    rig
}

/// Waits until this is the first reason that the server hears.
async fn told(rig: &Rig, code: &str) {
    rig.until(code, |world| {
        let blocked = world.checkins.last()?.update.blocked_by.first()?;
        (blocked.code.as_str() == code).then_some(())
    })
    .await;
}

/// The same director, whose timestamp ended a month ago.
fn of_last_month() -> Repository {
    let mut old = director(1, &[order()]);
    let snapshot = MetaFile::of(1, &old.files["1.snapshot.json"]);
    let timestamp = metadata::Timestamp { version: 1, expires: now().plus_seconds(-30 * 86_400), snapshot };
    old.files.insert("timestamp.json".to_owned(), signed(&author::timestamp(&timestamp), DIRECTOR + 1));
    old
}

#[tokio::test]
async fn one_signature_or_two_that_differ_or_are_meant_for_another_install_nothing_and_the_attack_is_named() {
    // Goal: neither party alone, and no mixture of the two. Method: a server that gives every go shows one lie each; the
    // slot that does not run stays without a byte.
    let (ours, maker_of) = (|| director(1, &[order()]), |release| maker(1, &[release]));
    let elsewhere = Scope::Match {
        model: "X".parse().expect("a text"),
        hardware: hardware().revision,
        from_least: 0,
        from_most: 99,
    };
    let for_another = director(1, &[Order { scope: elsewhere, ..order() }]);
    let ended = director(1, &[Order { expires: now().plus_seconds(-1), ..order() }]);
    let mut forged = release();
    forged.image.sha256.0[0] ^= 1;
    let mut longer = release();
    longer.image.length += 1;
    let older = Release { counter: 41, floor: 0, ..release() };
    let cases = [
        ("unknown-to-maker", (ours(), maker(1, &[]))),
        ("order-not-listed", (director(1, &[]), maker_of(release()))),
        ("hash-differs", (ours(), maker_of(forged))),
        ("length-differs", (ours(), maker_of(longer))),
        ("not-in-scope", (for_another, maker_of(release()))),
        ("order-expired", (ended, maker_of(release()))),
        ("other-model", (ours(), maker_of(Release { model: "X".parse().expect("a text"), ..release() }))),
        (
            "other-hardware",
            (ours(), maker_of(Release { hardware: vec!["Z".parse().expect("a text")], ..release() })),
        ),
        ("release-unreadable", (ours(), maker_of(Release { hardware: vec![], ..release() }))),
        ("not-newer", (ours(), maker_of(older))),
        ("min-from", (ours(), maker_of(Release { counter: 43, min_from: 42, ..release() }))),
        ("director-timestamp", (of_last_month(), maker_of(release()))),
    ];
    for (code, said) in cases {
        let rig = lied_to(said).await;
        let agent = rig.start();
        told(&rig, code).await;
        assert!(matches!(agent.stop().await, Exit::Stopped), "{code}");
        assert!(!rig.path("B").exists(), "{code}: a byte was written");
    }
}

#[tokio::test]
async fn a_director_that_is_older_than_the_one_seen_moves_no_image_any_more() {
    // Goal: a replay after the newer one was seen. Method: version 2 until the image waits, then version 1 with every go.
    let rig = lied_to((director(2, &[order()]), maker(1, &[release()]))).await;
    rig.world().permit = false;
    let agent = rig.start();
    rig.reported(UpdateState::Waiting).await;
    agent.stop().await;
    {
        let mut world = rig.world();
        world.director = director(1, &[order()]).files;
        world.permit = true;
    }
    let agent = rig.start();
    let mut pump = standby(&rig).await;
    told(&rig, "director-timestamp").await;
    pump.hold(Claim::Standby, None).await.expect("holds");
    sleep(Duration::from_millis(300)).await;
    assert!(matches!(agent.stop().await, Exit::Stopped), "everything else said go");
}

async fn standby(rig: &Rig) -> Client {
    let mut client = rig.client().await;
    client.hold(Claim::Standby, None).await.expect("holds");
    client
}

/// From here to the end of an act, over the reboot. A receipt whose answer was lost comes twice and counts once.
async fn carried_out(rig: &Rig, receipts: usize) -> ReceiptBody {
    let agent = rig.start();
    let held = standby(rig).await;
    assert!(matches!(agent.ended().await, Exit::Reboot));
    drop(held);
    FileBoot::open(&rig.path("boot")).expect("opens").boot().expect("boots");
    let agent = rig.start();
    let stated = |world: &World| {
        world.receipts.iter().map(|receipt| receipt.body.to_vec()).collect::<BTreeSet<_>>().len()
    };
    rig.until("the receipt", |world| (stated(world) >= receipts).then_some(())).await;
    agent.stop().await;
    rig.receipt()
}

/// The factory's release as its maker lists it.
fn factory() -> Release {
    let length = u64::try_from(OLD.len()).expect("small");
    let image = Image { release: "vp-3/4.2.1".parse().expect("a path"), length, sha256: Sha256::of(OLD) };
    Release { image, counter: 41, floor: 0, ..release() }
}

#[tokio::test]
async fn an_older_image_comes_back_once_by_the_signed_way_and_not_again() {
    // Goal: a downgrade only as signed with its order, and once. Method: install, go back, and be offered both again.
    let until = now().plus_seconds(3600);
    let order = Order { back: Some(Back { image: factory().image, until }), ..order() };
    let rig = lied_to((director(1, &[order]), maker(1, &[release(), factory()]))).await;
    rig.world().back = true;
    let agent = rig.start();
    told(&rig, "not-confirmed-here").await;
    agent.stop().await;
    rig.world().back = false;
    assert_eq!(carried_out(&rig, 1).await.outcome, Outcome::Confirmed);
    rig.world().back = true;
    let receipt = carried_out(&rig, 2).await;
    assert_eq!((receipt.outcome, receipt.counter, receipt.floor), (Outcome::WentBack, 41, 41));
    assert_eq!((receipt.sha256, receipt.previous_sha256), (Sha256::of(OLD), Sha256::of(&new_image())));
    for back in [true, false] {
        rig.world().back = back;
        let agent = rig.start();
        told(&rig, "given-up").await;
        assert!(matches!(agent.stop().await, Exit::Stopped));
    }
}

#[tokio::test]
async fn a_way_back_below_the_floor_or_after_its_time_is_closed() {
    // Goal: neither floor nor `until` can be outlived. Method: confirm, then each of the two in the way.
    let back = |until| Some(Back { image: factory().image, until });
    let open = now().plus_seconds(3600);
    let cases = [
        ("below-floor", Order { back: back(open), ..order() }, 42),
        ("way-back-closed", Order { back: back(now().plus_seconds(-1)), ..order() }, 41),
        ("no-way-back", order(), 41),
    ];
    for (code, order, floor) in cases {
        let listed = [Release { floor, ..release() }, factory()];
        let rig = lied_to((director(1, &[order]), maker(1, &listed))).await;
        assert_eq!(carried_out(&rig, 1).await.floor, floor);
        rig.world().back = true;
        let agent = rig.start();
        let _held = standby(&rig).await;
        told(&rig, code).await;
        assert!(matches!(agent.stop().await, Exit::Stopped), "{code}");
    }
}

#[tokio::test]
async fn an_older_image_that_its_maker_lists_anew_is_a_release_like_any_other() {
    // Goal: the way below the floor is the maker's new number, and no exception. Method: the factory's very bytes as 42.
    let release = Release { counter: 42, floor: 41, ..factory() };
    let order = Order { image: release.image.clone(), ..order() };
    let rig = lied_to((director(1, &[order]), maker(1, &[release]))).await;
    rig.world().image = OLD.to_vec();
    let receipt = carried_out(&rig, 1).await;
    assert_eq!((receipt.outcome, receipt.counter, receipt.floor), (Outcome::Confirmed, 42, 41));
    assert_eq!((receipt.sha256, receipt.slot.as_str()), (Sha256::of(OLD), "B"));
}

#[tokio::test]
async fn an_image_with_one_flipped_byte_is_never_armed() {
    // Goal: what is not the signed image does not start. Method: flip one bit on the server.
    let rig = Rig::new().await;
    let mut world = World { offer: true, permit: true, ..World::new() };
    world.image[70_000] ^= 1;
    *rig.world() = world;
    let agent = rig.start();
    rig.told("the damage", |blocked| blocked.code.as_str() == "image-damaged").await;
    agent.stop().await;
    let boot = FileBoot::open(&rig.path("boot")).expect("opens").read().expect("reads");
    assert_eq!((boot.trial, boot.active), (None, Slot::A));
}

#[tokio::test]
async fn a_maker_that_does_not_list_the_release_stops_the_order_and_the_reason_is_told() {
    // Goal: the owner's signature alone installs nothing. Method: an order for a release of an empty maker.
    let rig = Rig::new().await;
    *rig.world() = World { offer: true, permit: true, maker: maker(1, &[]).files, ..World::new() };
    let agent = rig.start();
    assert_eq!(rig.reported(UpdateState::Refused).await, ["unknown-to-maker"]);
    agent.stop().await;
    assert!(!rig.path("B").exists(), "not a byte was written");
}
