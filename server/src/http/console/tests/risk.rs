//! The page of a device that went back, and the check of its score by hand.

use cordon_proto::checkin::{Action, InterlockState};
use cordon_proto::ids::Sha256;
use cordon_proto::receipt::{Outcome, Receipt, ReceiptBody};
use cordon_proto::wire;
use cordon_server_core::device::Proof;

use super::fixture::{Console, commit, device, id, name};
use crate::appraisal::noticed;
use crate::store::Key;
use crate::testing::text;

/// A receipt of device 4 for this order, taken in a minute ago.
async fn went_back(console: &Console, order: &str) {
    let now = console.app().clock.now();
    let body = ReceiptBody {
        device: id(4),
        hardware: device(now, 4).hardware.identity(),
        order: name(order),
        action: Action::Back,
        outcome: Outcome::WentBack,
        release: Some("vp-3/4.1.0".parse().expect("a path")),
        counter: 41,
        sha256: Sha256([4; 32]),
        previous_sha256: Sha256([5; 32]),
        slot: text("A"),
        boots: 1,
        floor: 40,
        interlock: InterlockState::Standby,
        time: now,
        reason: None,
    };
    let bytes =
        wire::write(&Receipt::sign::<std::convert::Infallible>(&body, |_| Ok(vec![1])).expect("signed"));
    let key = Key::Receipt { order: name(order), device: id(4), digest: Sha256::of(&bytes) };
    let proof = Proof::new(&bytes, Sha256([5; 32]), now.plus_seconds(-60));
    commit(console.app(), |draft| draft.put(key, proof.to_body())).await;
}

#[tokio::test]
async fn a_return_by_the_owners_order_is_a_note_and_by_nobodys_a_risk() {
    // Goal: sending devices back makes no fleet of high risks, and a return that nobody ordered is seen. Method: one kiosk
    // with a receipt for the order of a rollout here, then with one for an order that was never published here.
    const PART: &str = "Went back to an older release";
    let console = Console::with_fleet().await;
    let page = format!("/devices/{}", id(4));
    went_back(&console, "0187").await;
    let ordered = console.get(&page).await;
    ordered.must("It went back by an order of its owner at ");
    assert!(!ordered.has(PART), "{}", ordered.read());
    went_back(&console, "nobodys-order").await;
    console.get(&page).await.must(PART);
}

#[tokio::test]
async fn the_page_prints_the_command_that_makes_its_number() {
    // Goal: "Check this score" names the time for which it was made. Method: the command of a page beside the clock.
    let console = Console::with_fleet().await;
    let reply = console.get(&format!("/devices/{}", id(0))).await;
    let now = console.app().clock.now();
    reply.must(&format!("<code>cordonctl score --facts facts.json --at {now}</code>"));
}

#[tokio::test]
async fn what_is_noticed_first_is_written_down_with_the_device() {
    // Goal: the day since which a device is weak survives a restart. Method: a device with its key in a file, written down;
    // the stored document, and what is noticed of it afterwards.
    let console = Console::with_fleet().await;
    let app = console.app();
    let first = noticed(&app.fleet.get(id(4)).expect("known"));
    assert!(first.weak.is_some());
    // The server's own round may have been faster.
    app.write_down().await.expect("written");
    let row = app.store.get(Key::Device(id(4))).await.expect("read").expect("stored");
    let stored = cordon_server_core::device::Device::from_body(&row.body).expect("reads");
    assert_eq!(stored.noticed, first);
    assert_eq!(noticed(&app.fleet.get(id(4)).expect("known")), first);
}
