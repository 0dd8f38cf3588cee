//! Receipts of a small authority: what counts, what does not, and that a device counts once.

use super::*;
use cordon_proto::checkin::{Action, InterlockState};
use cordon_proto::ids::{DeviceId, Hardware, Sha256};
use cordon_proto::time::Timestamp;
use cordon_proto::update::order::Back;
use cordon_proto::update::release::Image;
use cordon_proto::update::scope::Scope;
use cordon_proto::update::window::Window;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};

/// A root, an issuing authority under it, and one device's certificate and key.
struct Authority {
    root: String,
    issuing: String,
    leaf: String,
    key: KeyPair,
}

fn authority(name: &str) -> Authority {
    authority_of(name, Vec::new())
}

/// The same, whose device's certificate has these names.
fn authority_of(name: &str, names: Vec<SanType>) -> Authority {
    let ca = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let keys: [KeyPair; 3] = std::array::from_fn(|_| KeyPair::generate().unwrap());
    let [root_key, issuing_key, key] = keys;
    let root = ca(name).self_signed(&root_key).unwrap();
    let root_issuer = Issuer::new(ca(name), root_key);
    let issuing_name = format!("{name} issuing");
    let issuing = ca(&issuing_name).signed_by(&issuing_key, &root_issuer).unwrap();
    let issuer = Issuer::new(ca(&issuing_name), issuing_key);
    let mut leaf = CertificateParams::new(Vec::new()).unwrap();
    leaf.subject_alt_names = names;
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    Authority { root: root.pem(), issuing: issuing.pem(), leaf: leaf.pem(), key }
}

fn image(name: &str, bytes: &[u8]) -> Image {
    Image { release: name.parse().unwrap(), length: 9, sha256: Sha256::of(bytes) }
}

fn order(list: &ScopeList) -> Order {
    Order {
        id: "o-1".parse().unwrap(),
        repository: "halden".parse().unwrap(),
        image: image("vp-3/2", b"image two"),
        scope: Scope::Set { root: list.root(), count: list.count() },
        issued: Timestamp(0),
        not_before: Timestamp(0),
        expires: Timestamp(100),
        windows: vec![Window::ALWAYS],
        back: Some(Back { image: image("vp-3/1", b"image one"), until: Timestamp(100) }),
        permit_s: Some(900),
        reason: "test".parse().unwrap(),
    }
}

fn hardware(serial: &str) -> HardwareId {
    let text = |text: &str| text.parse().unwrap();
    Hardware { manufacturer: text("Halden"), model: text("VP-3"), revision: text("C"), serial: text(serial) }
        .identity()
}

fn body(serial: &str, outcome: Outcome, sha256: Sha256, time: i64) -> ReceiptBody {
    ReceiptBody {
        device: DeviceId::from_random([7; 16]),
        hardware: hardware(serial),
        order: "o-1".parse().unwrap(),
        action: Action::Install,
        outcome,
        release: None,
        counter: 2,
        sha256,
        previous_sha256: Sha256([0; 32]),
        slot: "B".parse().unwrap(),
        boots: 1,
        floor: 0,
        interlock: InterlockState::Standby,
        time: Timestamp(time),
        reason: None,
    }
}

/// A line of a receipts file.
fn line(body: &ReceiptBody, authority: &Authority, chain: &str) -> String {
    let random = SystemRandom::new();
    let der = authority.key.serialize_der();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der, &random).unwrap();
    let sign = |message: &[u8]| pair.sign(&random, message).map(|signature| signature.as_ref().to_vec());
    let receipt = Receipt::sign(body, sign).unwrap();
    let receipt = STANDARD.encode(minicbor::to_vec(receipt).unwrap());
    json!({"receipt": receipt, "certificate": chain}).to_string()
}

fn counted(lines: &[String], ca: &str, lists: &[ScopeList]) -> Tally {
    let folder = tempfile::tempdir().unwrap();
    let [file, authority] = ["receipts", "ca.pem"].map(|name| folder.path().join(name));
    std::fs::write(&file, lines.join("\n")).unwrap();
    std::fs::write(&authority, ca).unwrap();
    let list = &lists[0];
    tally(&file, Some(&authority), &order(list), lists).map_err(|failure| failure.to_string()).unwrap()
}

#[test]
fn a_device_counts_once_by_its_last_receipt() {
    // Goal: the figure a person compares with the order. Method: confirmed, rolled back later, went back, refused.
    let owner = authority("owner");
    let list =
        ScopeList::parse("Halden\tVP-3\t1\nHalden\tVP-3\t2\nHalden\tVP-3\t3\nHalden\tVP-3\t4\n").unwrap();
    let two = Sha256::of(b"image two");
    let one = Sha256::of(b"image one");
    let chain = format!("{}{}", owner.leaf, owner.issuing);
    let lines = [
        line(&body("1", Outcome::Confirmed, two, 10), &owner, &chain),
        line(&body("1", Outcome::Confirmed, two, 10), &owner, &chain),
        line(&body("2", Outcome::RolledBack, one, 20), &owner, &chain),
        line(&body("2", Outcome::Confirmed, two, 10), &owner, &chain),
        line(&body("3", Outcome::WentBack, one, 30), &owner, &chain),
        line(&body("4", Outcome::Refused, one, 30), &owner, &chain),
    ];
    let tally = counted(&lines, &owner.root, &[list]);
    let (missing, ignored) = (Some(Vec::new()), 0);
    let wanted =
        Tally { confirmed: 1, rolled_back: 1, refused: 1, went_back: 1, ignored, scope: Some(4), missing };
    assert_eq!(tally, wanted);
    assert_eq!(tally.describe(), "1 of 4 confirmed, 1 rolled back, 1 refused, 1 went back; 0 not counted");
}

#[test]
fn what_no_device_of_the_owner_signed_does_not_count() {
    // Goal: a server's word is no receipt. Method: another authority, another key, another order, another image,
    // a device outside the list, a cut chain, rubbish.
    let (owner, other) = (authority("owner"), authority("owner"));
    let list = ScopeList::parse("Halden\tVP-3\t1\n").unwrap();
    let two = Sha256::of(b"image two");
    let good = body("1", Outcome::Confirmed, two, 10);
    let chain = |of: &Authority| format!("{}{}", of.leaf, of.issuing);
    let foreign = ReceiptBody { order: "o-2".parse().unwrap(), ..good.clone() };
    let lines = [
        line(&good, &other, &chain(&other)),
        line(&good, &other, &chain(&owner)),
        line(&foreign, &owner, &chain(&owner)),
        line(&body("1", Outcome::Confirmed, Sha256::of(b"image one"), 10), &owner, &chain(&owner)),
        line(&body("2", Outcome::Confirmed, two, 10), &owner, &chain(&owner)),
        line(&good, &owner, &owner.leaf),
        line(&good, &owner, &format!("{}{}", owner.leaf, other.issuing)),
        "{}".to_owned(),
        "rubbish".to_owned(),
    ];
    let tally = counted(&lines, &owner.root, std::slice::from_ref(&list));
    let missing = Some(vec![(hardware("1"), "Halden VP-3 1".to_owned())]);
    assert_eq!(tally, Tally { ignored: 9, scope: Some(1), missing, ..Tally::default() });
    let full = format!("{}{}{}", owner.leaf, owner.issuing, owner.root);
    assert_eq!(counted(&[line(&good, &owner, &full)], &owner.root, &[list]).confirmed, 1);
}

#[test]
fn a_certificate_speaks_for_its_own_device_alone() {
    // Goal: one stolen device does not confirm for a ward. Method: the certificate names the stating device, another one.
    let list = ScopeList::parse("Halden\tVP-3\t1\n").unwrap();
    let good = body("1", Outcome::Confirmed, Sha256::of(b"image two"), 10);
    let other = DeviceId::from_random([8; 16]);
    for (named, counts) in [(good.device, 1), (other, 0)] {
        let name = SanType::URI(format!("urn:uuid:{named}").try_into().unwrap());
        let owner = authority_of("owner", vec![name]);
        let chain = format!("{}{}", owner.leaf, owner.issuing);
        let tally = counted(&[line(&good, &owner, &chain)], &owner.root, std::slice::from_ref(&list));
        assert_eq!((tally.confirmed, tally.ignored), (counts, 1 - counts), "{named}");
    }
}

#[test]
fn who_proved_nothing_is_named_and_an_older_order_of_the_same_name_proves_nothing() {
    // Goal: what a server keeps back is seen. Method: three devices, one receipt, one from before the order was issued.
    let owner = authority("owner");
    let list = ScopeList::parse("Halden\tVP-3\t1\nHalden\tVP-3\t2\nHalden\tVP-3\t3\n").unwrap();
    let two = Sha256::of(b"image two");
    let chain = format!("{}{}", owner.leaf, owner.issuing);
    let lines = [
        line(&body("1", Outcome::Confirmed, two, 10), &owner, &chain),
        line(&body("3", Outcome::Confirmed, two, -1), &owner, &chain),
    ];
    let tally = counted(&lines, &owner.root, &[list]);
    let names: Vec<_> = tally.missing.iter().flatten().map(|(_, name)| name.as_str()).collect();
    let mut wanted = [(hardware("2"), "Halden VP-3 2"), (hardware("3"), "Halden VP-3 3")];
    wanted.sort();
    assert_eq!(names, wanted.map(|(_, name)| name));
    assert_eq!((tally.confirmed, tally.ignored), (1, 1));
    assert!(tally.absent().starts_with("  missing    2 devices proved nothing:\n    "), "{}", tally.absent());
    assert_eq!(tally.facts()["missing"][0]["name"], wanted[0].1);
}
