//! Receipts on their way out: the devices' own bytes, page by page, with certificates that lead to our authority.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_proto::checkin::{Action, InterlockState};
use cordon_proto::ids::Sha256;
use cordon_proto::receipt::{Outcome, Receipt, ReceiptBody};
use cordon_proto::time::Timestamp;
use cordon_proto::wire;
use rcgen::SigningKey;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::*;
use crate::ca::PeerLeaf;
use crate::testing::Enrolled;

/// What a device signs after an install.
pub(super) fn signed(device: &Enrolled, order: &str, outcome: Outcome) -> Vec<u8> {
    let body = ReceiptBody {
        device: device.id,
        hardware: device.hardware.identity(),
        order: order.parse().expect("a name"),
        action: Action::Install,
        outcome,
        release: Some("vp-3/4.2.2".parse().expect("a path")),
        counter: 42,
        sha256: Sha256([1; 32]),
        previous_sha256: Sha256([2; 32]),
        slot: text("B"),
        boots: 1,
        floor: 40,
        interlock: InterlockState::Standby,
        time: Timestamp(1_790_000_000),
        reason: None,
    };
    wire::write(&Receipt::sign(&body, |message| SigningKey::sign(&device.key, message)).expect("signs"))
}

#[tokio::test]
async fn receipts_leave_with_the_certificates_that_prove_them_and_no_page_drops_one() {
    // Goal: the file that a workstation verifies. Method: three devices, one of them for another order; the lines, each
    // opened with its own certificate; the chain to our root; the rest after each line.
    let api = Api::start().await;
    let mut sent = Vec::new();
    for (serial, order) in [("A", "o-1"), ("B", "o-1"), ("C", "o-2")] {
        let device = api.bench.enrol(serial).await;
        let receipt = signed(&device, order, Outcome::Confirmed);
        assert_eq!(api.bench.device(&device).await.post("/v1/receipts", &receipt).await.status, 204);
        sent.push((device.id.to_string(), receipt));
    }
    sent.truncate(2);
    sent.sort();
    let lines = api.lines("/api/v1/receipts?order=o-1").await;
    assert_eq!(lines.len(), 2);
    let root = api.bench.app().ca.standing().present.root().clone();
    for (line, (device, receipt)) in lines.iter().zip(&sent) {
        let text = |name: &str| line[name].as_str().expect("a text").to_owned();
        assert!(text("after").starts_with(device.as_str()));
        assert_eq!(&STANDARD.decode(text("receipt")).expect("base64"), receipt);
        let certificate = text("certificate");
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
        let mut chain: Vec<_> = chain.map(|der| der.expect("PEM")).collect();
        let leaf = PeerLeaf::of(&chain[0]).expect("P-256");
        let opened: Receipt = wire::read(receipt, 4096).expect("a receipt");
        opened.open(|message, signature| leaf.verifies(message, signature)).expect("signed by this key");
        chain.push(root.clone());
        assert_eq!(chain.len(), 3);
        for pair in chain.windows(2) {
            let (_, child) = x509_parser::parse_x509_certificate(&pair[0]).expect("a certificate");
            let parent = PeerLeaf::of(&pair[1]).expect("P-256");
            assert!(parent.verifies(child.tbs_certificate.as_ref(), &child.signature_value.data));
        }
    }
    let after = |line: &Value| {
        format!("/api/v1/receipts?order=o-1&after={}", line["after"].as_str().expect("a text"))
    };
    assert_eq!(api.lines(&after(&lines[0])).await, lines[1..]);
    assert!(api.lines(&after(&lines[1])).await.is_empty());
    assert!(api.lines("/api/v1/receipts?order=o-3").await.is_empty());
    let (status, _) = api.ask("GET", "/api/v1/receipts?order=o-1&after=x", "read", vec![]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
