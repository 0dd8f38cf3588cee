//! Receipts that a person carries here from a device without a network: believed as on the device plane, and no more.

use super::*;
use crate::app::{ImportError, ReceiptTaken, StatementError};

async fn import(bench: &Bench, bytes: &[u8]) -> Result<ReceiptTaken, ImportError> {
    let receipt = wire::read(bytes, limits::BODY_BYTES).expect("is a receipt");
    bench.app().import_receipt(bytes, &receipt, &person()).await.map(|(_, taken)| taken)
}

fn unbelieved(refused: &ImportError) -> bool {
    matches!(refused, ImportError::Statement(StatementError::Signature(_)))
}

#[tokio::test]
async fn a_receipt_that_a_person_brings_counts_once_and_says_who_brought_it() {
    // Goal: one proof, however it comes. Method: brought, brought again, then handed in by the device itself; the journal.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let (body, good) = receipt(&device, &device.key);
    assert_eq!(import(&bench, &good).await.expect("is taken"), ReceiptTaken::Stored);
    assert_eq!(import(&bench, &good).await.expect("is known"), ReceiptTaken::Before);
    assert_eq!(bench.device(&device).await.post("/v1/receipts", &good).await.status, 204);
    let member = bench.app().fleet.get(device.id).expect("there");
    assert_eq!(member.receipts.iter().map(|receipt| &receipt.body).collect::<Vec<_>>(), [&body]);
    let journal = bench.journal().await;
    let count = |act: &str| journal.iter().filter(|action| *action == act).count();
    assert_eq!((count("receipt.import"), count("receipt.accept")), (1, 0));
}

#[tokio::test]
async fn a_person_brings_no_proof_that_the_device_could_not_give() {
    // Goal: the carrier is not believed. Method: another key, a flipped bit, another device's body, a stranger, one that
    // is retired; and what is no fault: a certificate that ended where nobody could renew it.
    let bench = Bench::start(&[]).await;
    let (device, other) = (bench.enrol("A").await, bench.enrol("B").await);
    let (_, forged) = receipt(&device, &other.key);
    assert!(unbelieved(&import(&bench, &forged).await.expect_err("another key")));
    let (_, good) = receipt(&device, &device.key);
    let signed: Receipt = wire::read(&good, limits::BODY_BYTES).expect("is a receipt");
    for place in [0, signed.body.len() / 2, signed.body.len() - 1] {
        let mut bent = signed.clone();
        bent.body[place] ^= 1;
        let refused = import(&bench, &wire::write(&bent)).await.expect_err("another body");
        assert!(unbelieved(&refused), "byte {place} of the body: {refused:?}");
    }
    for place in [0, signed.signature.len() / 2, signed.signature.len() - 1] {
        let mut bent = signed.clone();
        bent.signature[place] ^= 1;
        let refused = import(&bench, &wire::write(&bent)).await.expect_err("another signature");
        assert!(unbelieved(&refused), "byte {place} of the signature: {refused:?}");
    }
    let elsewhere = Enrolled { hardware: other.hardware.clone(), ..device };
    let (_, foreign) = receipt(&elsewhere, &elsewhere.key);
    let refused = import(&bench, &foreign).await.expect_err("another machine's body");
    assert!(matches!(refused, ImportError::Statement(StatementError::Another)));
    let unknown = Enrolled { id: cordon_proto::ids::DeviceId::from_random([9; 16]), ..elsewhere };
    let (_, stranger) = receipt(&unknown, &unknown.key);
    let refused = import(&bench, &stranger).await.expect_err("nobody here");
    assert!(matches!(refused, ImportError::Refused(Refused::UnknownDevice)));
    let years = Millis(bench.clock.now_ms().0 + 3 * 365 * 86_400_000);
    bench.clock.hold_at(years);
    assert_eq!(import(&bench, &good).await.expect("ended, and no fault"), ReceiptTaken::Stored);
    bench.app().act(other.id, Act::Retire, text("scrapped"), &person()).await.expect("is retired");
    let (_, late) = receipt(&other, &other.key);
    let refused = import(&bench, &late).await.expect_err("retired");
    assert!(matches!(refused, ImportError::Refused(Refused::Retired)));
}
