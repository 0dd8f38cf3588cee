//! Tests of the byte form of keys.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec;
use core::fmt::Write;

use proptest::prelude::*;

use super::*;

/// One key of each kind, in order, as kind and bytes. Stores on disk hold these bytes: lines may be added, never changed.
const GOLDEN: &str = "\
Meta 01736368656d6100
Device 0201010101010141018101010101010101
DeviceByHardware 032222222222222222222222222222222222222222222222222222222222222222
DeviceBySerial 0456502d33005033c3a900
Inventory 0501010101010141018101010101010101
Leaf 063333333333333333333333333333333333333333333333333333333333333333
Token 074444444444444444444444444444444444444444444444444444444444444444
Pending 083333333333333333333333333333333333333333333333333333333333333333
User 09696e657300
Session 0a4444444444444444444444444444444444444444444444444444444444444444
ApiToken 0b4444444444444444444444444444444444444444444444444444444444444444
RepositoryFile 0c68616c64656e00312e726f6f742e6a736f6e00
Release 0d68616c64656e0076702d332f342e322e3200
Rollout 0e723100
Progress 0f72310001010101010141018101010101010101
Receipt 106f310001010101010141018101010101010101\
3333333333333333333333333333333333333333333333333333333333333333
Hold 11683100
Finding 1201010101010141018101010101010101\
3333333333333333333333333333333333333333333333333333333333333333
Mute 136d3100
Exception 14653100
Visit 15763100
Profile 1601010101010141018101010101010101
Site 17736f75746800
Feed 186b657600
Order 196f3100
Model 1a56502d3300
Generation 1b01
AuditHead 1c0000000000000102
AuditTile 1d010000000000000203
Draft 1e643100
Maker 1f68616c64656e00
ContentState 20633100
Pack 21703100
Health 2201010101010141018101010101010101
RiskHistory 2301010101010141018101010101010101
Contacts 2401010101010141018101010101010101
Watermark e001010101010141018101010101010101
Lease e17365616c657200
Idempotency e23333333333333333333333333333333333333333333333333333333333333333
Audit e30000000000000102
Bulk e4020000000000000003ff00
";

fn samples() -> Vec<Key> {
    let name = |text: &str| text.parse::<Name>().expect("name");
    let text = |text: &str| text.parse::<Text>().expect("text");
    let path = |text: &str| text.parse::<TargetPath>().expect("path");
    let device = DeviceId::from_random([1; 16]);
    let (digest, token) = (Sha256([0x33; 32]), TokenId([0x44; 32]));
    vec![
        Key::Meta(name("schema")),
        Key::Device(device),
        Key::DeviceByHardware(HardwareId([0x22; 32])),
        Key::DeviceBySerial { model: text("VP-3"), serial: text("P3é") },
        Key::Inventory(device),
        Key::Leaf(digest),
        Key::Token(token),
        Key::Pending(digest),
        Key::User(text("ines")),
        Key::Session(token),
        Key::ApiToken(token),
        Key::RepositoryFile { repository: name("halden"), file: path("1.root.json") },
        Key::Release { repository: name("halden"), release: path("vp-3/4.2.2") },
        Key::Rollout(name("r1")),
        Key::Progress { rollout: name("r1"), device },
        Key::Receipt { order: name("o1"), device, digest },
        Key::Hold(name("h1")),
        Key::Finding { device, finding: digest },
        Key::Mute(name("m1")),
        Key::Exception(name("e1")),
        Key::Visit(name("v1")),
        Key::Profile(device),
        Key::Site(name("south")),
        Key::Feed(name("kev")),
        Key::Order(name("o1")),
        Key::Model(text("VP-3")),
        Key::Generation(Set::Advisories),
        Key::AuditHead(0x0102),
        Key::AuditTile(TileAt { level: 1, index: 0x0203 }),
        Key::Draft(name("d1")),
        Key::Maker(name("halden")),
        Key::ContentState(name("c1")),
        Key::Pack(name("p1")),
        Key::Health(device),
        Key::RiskHistory(device),
        Key::Contacts(device),
        Key::Watermark(device),
        Key::Lease(name("sealer")),
        Key::Idempotency(digest),
        Key::Audit(0x0102),
        Key::Bulk { set: Set::KnownExploited, generation: 3, row: vec![0xff, 0] },
    ]
}

#[test]
fn keys_on_disk_never_change() {
    // Goal: every store ever written is read. Method: golden bytes of one key of every kind, written and read.
    let mut written = String::new();
    for key in samples() {
        write!(written, "{:?} ", key.kind()).expect("memory");
        for byte in key.to_bytes() {
            write!(written, "{byte:02x}").expect("memory");
        }
        written.push('\n');
        assert_eq!(Key::from_bytes(&key.to_bytes()), Ok(key));
    }
    assert_eq!(written, GOLDEN);
}

#[test]
fn every_kind_has_a_sample_and_a_tag_of_its_own() {
    // Goal: the golden text is complete. Method: kinds of the samples against the list, tags distinct and rising.
    let kinds: Vec<Kind> = samples().iter().map(Key::kind).collect();
    assert_eq!(kinds, Kind::ALL);
    assert!(Kind::ALL.windows(2).all(|pair| pair[0].tag() < pair[1].tag()));
    let shown: BTreeSet<String> = samples().iter().map(|key| alloc::format!("{key}")).collect();
    assert_eq!(shown.len(), Kind::ALL.len(), "people can tell them apart");
}

#[test]
fn an_index_lists_its_own_keys_and_no_others() {
    // Goal: a prefix never reaches into a neighbour. Method: names of which one begins with the other.
    let name = |text: &str| text.parse::<Name>().expect("name");
    let device = DeviceId::from_random([1; 16]);
    let index = Index::ProgressOf(name("r1"));
    assert!(index.holds(&Key::Progress { rollout: name("r1"), device }));
    assert!(!index.holds(&Key::Progress { rollout: name("r10"), device }));
    assert!(!index.holds(&Key::Rollout(name("r1"))));
    let bulk = |generation| Key::Bulk { set: Set::Suppressions, generation, row: vec![] };
    assert!(Index::RowsOf(Set::Suppressions, 2).holds(&bulk(2)));
    assert!(!Index::RowsOf(Set::Suppressions, 2).holds(&bulk(258)));
    assert!(!Index::RowsOf(Set::Advisories, 2).holds(&bulk(2)));
}

fn any_key() -> impl Strategy<Value = Key> {
    let name = || "[a-c_][a-c.]{0,2}".prop_map(|text| text.parse::<Name>().expect("name"));
    let text = || "\\PC{1,3}".prop_map(|text| Text::lossy(&text));
    let device = || proptest::array::uniform16(0_u8..3).prop_map(DeviceId::from_random);
    let digest = || (0_u8..3).prop_map(|byte| Sha256([byte; 32]));
    prop_oneof![
        name().prop_map(Key::Meta),
        device().prop_map(Key::Device),
        (text(), text()).prop_map(|(model, serial)| Key::DeviceBySerial { model, serial }),
        digest().prop_map(Key::Leaf),
        text().prop_map(Key::User),
        text().prop_map(Key::Model),
        (name(), name()).prop_map(|(repository, file)| {
            Key::RepositoryFile { repository, file: file.as_str().parse().expect("path") }
        }),
        (name(), device()).prop_map(|(rollout, device)| Key::Progress { rollout, device }),
        (name(), device(), digest()).prop_map(|(order, device, digest)| Key::Receipt {
            order,
            device,
            digest
        }),
        any::<u64>().prop_map(Key::Audit),
        any::<u64>().prop_map(Key::AuditHead),
        (0_u8..3, any::<u64>()).prop_map(|(level, index)| Key::AuditTile(TileAt { level, index })),
        (0_usize..4, 0_u64..3, proptest::collection::vec(any::<u8>(), 0..4))
            .prop_map(|(set, generation, row)| Key::Bulk { set: Set::ALL[set], generation, row }),
    ]
}

proptest! {
    #[test]
    fn bytes_sort_as_keys_sort_and_read_back(one in any_key(), other in any_key()) {
        // Goal: a scan is in key order on every engine. Method: pairs from a small, colliding world.
        prop_assert_eq!(one.cmp(&other), one.to_bytes().cmp(&other.to_bytes()));
        prop_assert_eq!(Key::from_bytes(&one.to_bytes()), Ok(one));
    }

    #[test]
    fn any_bytes_are_a_key_in_its_one_form_or_refused(mut bytes: Vec<u8>, tag in 0_usize..39) {
        // Goal: no panic, no second spelling of a key. Method: arbitrary bytes behind every tag.
        if let Some(first) = bytes.first_mut() {
            *first = Kind::ALL[tag].tag();
        }
        if let Ok(key) = Key::from_bytes(&bytes) {
            prop_assert_eq!(key.to_bytes(), bytes);
        }
    }
}
