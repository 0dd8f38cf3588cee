//! Real samples for the driver, made in code: what honest clients send, and what bold ones do.
//!
//! Nothing here is secret and nothing is kept; keys are drawn anew in each process, so a failing input is printed whole.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_proto::authorities::{Authorities, RootSignature, SignedAuthorities};
use cordon_proto::checkin::{Action, CheckinRequest, InterlockState, PermitRequest};
use cordon_proto::enrol::{EnrolmentString, HARDWARE_HEADER, hardware_header};
use cordon_proto::farewell::{Cause, Farewell, FarewellBody};
use cordon_proto::ids::{DeviceId, HardwareId, Sha256, Text};
use cordon_proto::inventory::delta::Delta;
use cordon_proto::inventory::packed::Packed;
use cordon_proto::inventory::{Inventory, Row, Section};
use cordon_proto::receipt::{Outcome, Receipt, ReceiptBody};
use cordon_proto::telemetry::{Batch, Body, Finding, Gap, GapReason, Position, Severity};
use cordon_proto::time::{Millis, Timestamp};
use cordon_proto::update::bundle::{Bundle, Listed};
use cordon_proto::update::chunks::{self, Half, Parameters};
use cordon_proto::update::handover::{Carried, HandOver};
use cordon_proto::update::release::FileRef;
use cordon_proto::update::scope::Scope;
use cordon_proto::update::tree::{ENDING, Entry, Kind};
use cordon_proto::update::{KeyId, author};
use cordon_proto::{merkle, wire};
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, SanType, SigningKey,
};

use super::{der, est};
use crate::light;

/// The key that samples are signed with.
pub static KEY: LazyLock<KeyPair> = LazyLock::new(|| {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a P-256 key can be drawn")
});

fn text(text: &str) -> Text {
    Text::lossy(text)
}

fn sign(message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
    SigningKey::sign(&*KEY, message)
}

/// Certification requests, DER: plain ones, and some that wish for more than they may have.
#[must_use]
pub fn requests() -> Vec<Vec<u8>> {
    let named = |parts: &[(DnType, &str)]| {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        parts.iter().for_each(|(kind, value)| params.distinguished_name.push(kind.clone(), *value));
        params
    };
    let serial = || DnType::CustomDnType(vec![2, 5, 4, 5]);
    let mut wishes = named(&[(DnType::CommonName, "SN-0003")]);
    wishes.subject_alt_names =
        vec![SanType::URI("urn:uuid:11111111-2222-4333-8444-555555555555".try_into().expect("ASCII"))];
    wishes.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    wishes.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::Any];
    let mut authority = named(&[(DnType::CommonName, "SN-0004")]);
    let mut is_ca = CustomExtension::from_oid_content(&[2, 5, 29, 19], vec![0x30, 0x03, 0x01, 0x01, 0xff]);
    is_ca.set_criticality(true);
    authority.custom_extensions = vec![is_ca];
    let all = [
        named(&[(DnType::CommonName, "SN-0001")]),
        named(&[(serial(), "SN-0002"), (DnType::CommonName, "pump"), (DnType::OrganizationName, "Halden")]),
        named(&[(DnType::CommonName, "Gerät Ω 7")]),
        wishes,
        authority,
    ];
    all.iter()
        .map(|params| params.serialize_request(&*KEY).expect("a request can be written").der().to_vec())
        .collect()
}

/// What is signed in requests: their first part.
#[must_use]
pub fn request_infos() -> Vec<Vec<u8>> {
    let infos = requests().into_iter().filter_map(|request| match der::read(&request)?.as_slice() {
        [der::Node::Branch { parts, .. }] => Some(der::write(parts.get(..1)?)),
        _ => None,
    });
    infos.collect()
}

/// A request of these contents, signed.
#[must_use]
pub fn signed_request(info: &[u8]) -> Vec<u8> {
    // ecdsa-with-SHA256, RFC 5758 section 3.2.
    let algorithm = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let signature = sign(info).expect("the key signs");
    let signature = der::Node::leaf(0x03, [&[0][..], &signature].concat());
    let parts = vec![der::Node::raw(info.to_vec()), der::Node::raw(algorithm.to_vec()), signature];
    der::write(&[der::Node::Branch { tag: 0x30, parts }])
}

/// Requests to the enrolment plane, as `est` reads them.
#[must_use]
pub fn est() -> Vec<Vec<u8>> {
    let authorization = est::authorization();
    let hardware = hardware_header(&light::hardware("Halden", est::MODEL, "SN-0001"));
    let mut all: Vec<Vec<u8>> = ["cacerts", "csrattrs"]
        .map(|name| format!("GET /.well-known/est/{name}\nUser-Agent: libest 3\n\n").into_bytes())
        .into();
    for request in requests() {
        let line = STANDARD.encode(&request);
        let folded: Vec<&str> =
            line.as_bytes().chunks(64).filter_map(|row| std::str::from_utf8(row).ok()).collect();
        for (path, body) in [("simpleenroll", line.clone()), ("simplereenroll", folded.join("\r\n"))] {
            all.push(
                format!(
                    "POST /.well-known/est/{path}\nContent-Type: application/pkcs10\nAuthorization: {authorization}\n\n{body}"
                )
                .into_bytes(),
            );
        }
        all.push(
            format!(
                "POST /.well-known/est/simpleenroll\nContent-Type: application/pkcs10\n{HARDWARE_HEADER}: {hardware}\nAuthorization: {authorization}\nX-Enrol-Binding: AAAA\nContent-Transfer-Encoding: base64\n\n{line}"
            )
            .into_bytes(),
        );
    }
    all
}

/// Check-ins.
#[must_use]
pub fn checkins() -> Vec<Vec<u8>> {
    let plain = light::says(&light::hardware("Halden", "VP-3", "SN-0001"));
    let wants = PermitRequest { order: "o-1".parse().expect("a name"), action: Action::Install };
    let full = CheckinRequest {
        interlock: InterlockState::InUse,
        want_permit: Some(wants),
        sequence: 7,
        run: u64::MAX,
        machine: Some(Sha256([7; 32])),
        ca_version: 3,
        content_fault: None,
        ..plain.clone()
    };
    vec![wire::write(&plain), wire::write(&full)]
}

/// Batches of telemetry, every kind of record that has consequences among them.
#[must_use]
pub fn batches() -> Vec<Vec<u8>> {
    let at = |sequence| Position { boot: 1, sequence };
    let rows = [Section::Package, Section::Posture, Section::System];
    let rows =
        rows.map(|section| Row { section, key: text("deb/bash/amd64"), fields: vec!["5.2".to_owned(); 3] });
    let finding = Finding {
        detector: "beacon".parse().expect("a name"),
        key: text("203.0.113.0/16 443/tcp"),
        first: Timestamp(1),
        last: Timestamp(2),
        count: 4,
        peer: Some(text("203.0.113.9")),
        severity: Severity::High,
        attack: vec![text("T1071.001")],
        evidence: [("period".to_owned(), "60 s".to_owned())].into(),
        title: text("Calls one address every 60 seconds"),
        what_changed: text("Since 05:58."),
        why_it_matters: text("A fixed rhythm."),
        how_sure: text("High."),
        what_to_do: text("Quarantine it."),
    };
    let gap = Gap { after: at(1), before: at(9), count: 7, reason: GapReason::DiskFull };
    let inventory = Inventory::new(rows.into());
    let packed = Packed::of(&inventory).expect("no value holds a mark");
    let delta = Delta::between(&Inventory::default(), &inventory);
    let bodies = [
        Body::Inventory(inventory),
        Body::Finding(finding),
        Body::Gap(gap),
        Body::InventoryPacked(packed),
        Body::InventoryDelta(delta),
    ];
    let records =
        bodies.iter().zip(1..).map(|(body, sequence)| body.record(at(sequence), Millis(1))).collect();
    vec![wire::write(&light::flows(1, 5, Timestamp(1_790_000_000))), wire::write(&Batch { records })]
}

/// Receipts of updates.
#[must_use]
pub fn receipts() -> Vec<Vec<u8>> {
    let hardware = light::hardware("Halden", "VP-3", "SN-0001");
    let body = ReceiptBody {
        device: DeviceId::from_random([7; 16]),
        hardware: hardware.identity(),
        order: "o-1".parse().expect("a name"),
        action: Action::Install,
        outcome: Outcome::Confirmed,
        release: Some("vp-3/4.2.2".parse().expect("a path")),
        counter: 42,
        sha256: Sha256([1; 32]),
        previous_sha256: Sha256([2; 32]),
        slot: text("B"),
        boots: 1,
        floor: 40,
        interlock: InterlockState::Standby,
        time: Timestamp(9),
        reason: None,
    };
    vec![wire::write(&Receipt::sign(&body, sign).expect("the key signs"))]
}

/// Farewells.
#[must_use]
pub fn farewells() -> Vec<Vec<u8>> {
    let hardware = light::hardware("Halden", "VP-3", "SN-0001").identity();
    let device = DeviceId::from_random([7; 16]);
    let all = [Cause::Retired, Cause::Lost, Cause::AtDevice].map(|cause| FarewellBody {
        device,
        hardware,
        cause,
        time: Timestamp(9),
        counter: 41,
        sha256: Sha256([4; 32]),
        records_unsent: 12,
    });
    all.iter().map(|body| wire::write(&Farewell::sign(body, sign).expect("the key signs"))).collect()
}

/// Certificates, DER: one signed by itself.
#[must_use]
pub fn certificates() -> Vec<Vec<u8>> {
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    vec![params.self_signed(&*KEY).expect("a certificate can be written").der().to_vec()]
}

/// Bundles of authorities.
#[must_use]
pub fn authorities() -> Vec<Vec<u8>> {
    let roots: Vec<_> = certificates().into_iter().map(Into::into).collect();
    let body = wire::write(&Authorities { version: 1, issued: Timestamp(9), roots });
    let signature = sign(&SignedAuthorities::message(&body)).expect("the key signs").into();
    let signatures = vec![RootSignature { key: Sha256([3; 32]), signature }];
    vec![wire::write(&SignedAuthorities { body: body.into(), signatures })]
}

/// Signed indexes of bundles.
#[must_use]
pub fn bundles() -> Vec<Vec<u8>> {
    let listed = |length| Listed { length, sha256: Sha256([9; 32]) };
    let paths =
        ["director/1.root.json", "image/halden/timestamp.json", "install/0187", "back/0186", "targets/00"];
    let lengths = [900, 400, 64, 0, 5_000_000_000];
    let files =
        paths.iter().zip(lengths).map(|(path, length)| (path.parse().expect("a path"), listed(length)));
    let issued = Timestamp(1_795_000_000);
    let bundle = Bundle {
        director: Sha256([7; 32]),
        counter: 1_795_000_000,
        issued,
        expires: issued.plus_seconds(86_400),
        files: files.collect(),
    };
    let signed = |name: &str| {
        let key = KeyId(name.to_owned());
        author::sign(&bundle.value(), &[author::Signer { key, sign: &|_| vec![1; 64] }])
    };
    vec![signed("ab"), signed("cd")]
}

/// Signed metadata of each role.
#[must_use]
pub fn metadata() -> Vec<Vec<u8>> {
    let (id, key) = ("ab".repeat(32), "cd".repeat(32));
    let role = format!(r#"{{"keyids":["{id}"],"threshold":1}}"#);
    let keys =
        format!(r#"{{"{id}":{{"keytype":"ed25519","keyval":{{"public":"{key}"}},"scheme":"ed25519"}}}}"#);
    let hashes = format!(r#"{{"sha256":"{}"}}"#, "ef".repeat(32));
    let parts = [
        (
            "root",
            format!(
                r#""consistent_snapshot":true,"keys":{keys},"roles":{{"root":{role},"snapshot":{role},"targets":{role},"timestamp":{role}}}"#
            ),
        ),
        ("timestamp", format!(r#""meta":{{"snapshot.json":{{"hashes":{hashes},"length":9,"version":3}}}}"#)),
        ("snapshot", r#""meta":{"targets.json":{"version":4}}"#.to_owned()),
        (
            "targets",
            format!(
                r#""targets":{{"vp-3/4.2.2":{{"custom":{{"counter":42}},"hashes":{hashes},"length":9}}}},"delegations":{{"keys":{keys},"roles":[{{"keyids":["{id}"],"name":"halden","paths":["vp-3/*"],"terminating":true,"threshold":1}}]}}"#
            ),
        ),
    ];
    let document = |(kind, part): &(&str, String)| {
        format!(
            r#"{{"signatures":[{{"keyid":"{id}","sig":"{}"}}],"signed":{{"_type":"{kind}","expires":"2030-01-01T00:00:00Z","spec_version":"1.0.31","version":1,{part}}}}}"#,
            "01".repeat(64)
        )
        .into_bytes()
    };
    parts.iter().map(document).collect()
}

/// Changes of owner: for a list, and by facts.
#[must_use]
pub fn hand_overs() -> Vec<Vec<u8>> {
    let mut devices =
        [1, 2, 3].map(|serial| light::hardware("Halden", "VP-3", &format!("SN-{serial}")).identity());
    devices.sort_unstable();
    let facts = Scope::Match { model: text("VP-3"), hardware: text("C"), from_least: 1, from_most: 9 };
    let root = Sha256(merkle::root(devices.iter().map(|device| device.0)));
    let file = |(scope, devices): (Scope, &[HardwareId])| {
        let issued = Timestamp(1_795_251_906);
        let expires = issued.plus_seconds(86_400);
        let stated = HandOver { scope, from: Sha256([1; 32]), to: Sha256([2; 32]), issued, expires };
        Carried::write(&author::sign(&stated.value(), &[]), devices).unwrap_or_default()
    };
    vec![file((Scope::Set { root, count: 3 }, &devices)), file((facts, &[]))]
}

/// Archives of folders: a small one, and one with a link and a long name.
#[must_use]
pub fn archives() -> Vec<Vec<u8>> {
    let file = |length: usize| Kind::File { length: u64::try_from(length).unwrap_or(0), program: length > 9 };
    let long = format!("{}/{}", "x".repeat(90), "y".repeat(60));
    let trees: [&[(&str, Kind, &[u8])]; 2] = [
        &[("", Kind::Folder, b""), ("edition", file(3), b"two")],
        &[
            ("", Kind::Folder, b""),
            ("drugs", Kind::Folder, b""),
            ("drugs/adult.csv", file(600), &[7; 600]),
            ("drugs/latest", Kind::Link { to: "../drugs/adult.csv".into() }, b""),
            (&"x".repeat(90), Kind::Folder, b""),
            (&long, file(0), b""),
        ],
    ];
    let archive = |tree: &&[(&str, Kind, &[u8])]| {
        let entries = tree.iter().filter_map(|(path, kind, content)| {
            let entry = Entry::new(path, kind.clone()).ok()?;
            Some([&entry.header()[..], content, &vec![0; entry.filling()]].concat())
        });
        entries.chain([ENDING.to_vec()]).flatten().collect()
    };
    trees.iter().map(archive).collect()
}

/// Makes the checksum of everything that looks like a header right, so that a bent one is not thrown away for it.
pub fn right_checksums(archive: &mut [u8]) {
    for block in archive.chunks_exact_mut(512) {
        if !block.get(257..).is_some_and(|rest| rest.starts_with(b"ustar")) {
            continue;
        }
        for text in [b"        ".to_vec(), Vec::new()] {
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            let text = if text.is_empty() { format!("{sum:06o}\0").into_bytes() } else { text };
            if let Some(field) = block.get_mut(148..148 + text.len()) {
                field.copy_from_slice(&text);
            }
        }
    }
}

/// Enrolment strings.
#[must_use]
pub fn strings() -> Vec<Vec<u8>> {
    let string = EnrolmentString {
        host: "cordon.hospital.example".to_owned(),
        enrolment_port: 8444,
        device_port: 8443,
        ca_pin: Sha256([1; 32]),
        director_root: Sha256([2; 32]),
        token: "abcdefghijklmnopqrstuv".to_owned(),
    };
    let six = EnrolmentString { host: "fd00::1".to_owned(), ..string.clone() };
    vec![string.to_string().into_bytes(), six.to_string().into_bytes()]
}

/// What our agent states of its hardware at enrolment.
#[must_use]
pub fn hardware_headers() -> Vec<Vec<u8>> {
    vec![hardware_header(&light::hardware("Halden", "VP-3", "SN-0001")).into_bytes()]
}

/// Indexes of chunk deltas: pieces that are packed, that are as they are, and that come again.
#[must_use]
pub fn chunk_indexes() -> Vec<Vec<u8>> {
    let id = |number: u8| Half([number; 16]);
    let none = id(0);
    let entry = |number, length, stored| {
        let seal = if stored == 0 { none } else { id(number ^ 0x80) };
        chunks::Entry { id: id(number), seal, length, stored }
    };
    let file = |length| FileRef { length, sha256: Sha256([9; 32]) };
    let parameters = Parameters::for_image(1);
    let one = chunks::write(&parameters, file(1), file(1), &[entry(1, 1, 1)]);
    let some = [entry(3, 4096, 900), entry(1, 20_000, 20_000), entry(3, 4096, 0), entry(2, 77, 70)];
    vec![one, chunks::write(&parameters, file(28_269), file(20_970), &some)]
}
