//! Tests of devices that a list of assets names: the list opens no door and closes none, and its line stays.

use super::birth::credential;
use super::*;
use crate::device::AssetRecord;

fn listed(maker: &str, model: &str, serial: &str) -> Device {
    let (device, _) = enrolled();
    let asset = AssetRecord {
        list: "cmms".parse().expect("a name"),
        tag: Some(text("T1")),
        version: Some(text("4.1")),
        department: Some(text("ICU 9")),
        ip: None,
        mac: None,
        imported: NOW,
        unlisted: None,
    };
    Device {
        hardware: Hardware {
            manufacturer: Text::lossy(maker),
            model: text(model),
            revision: Text::lossy(""),
            serial: text(serial),
        },
        stated: false,
        source: Source::Imported,
        placement: Placement { ward: text("ICU 9"), ..Placement::nowhere() },
        state: State::Listed,
        identity: None,
        asset: Some(asset),
        ..device
    }
}

#[test]
fn what_a_list_names_comes_in_as_the_same_device_and_keeps_its_line() {
    // Goal: one device, not two. Method: a token for many lets in a serial that is listed.
    let (known_as, token) = (listed("Halden", "VP-3", "A"), for_some(5));
    let device = issued(ask(&request("A", 1), known(&token, Some(&known_as)), NOW), NOW).device;
    assert_eq!((device.id, device.source, device.state), (known_as.id, Source::Agent, State::Active));
    assert_eq!((&device.hardware, device.stated), (&hardware("A"), true));
    assert_eq!(device.asset, known_as.asset);
    assert_eq!(device.placement.ward.as_str(), "ICU 2", "a token's place is the later word");
}

#[test]
fn a_list_opens_no_door() {
    // Goal: standing in a list is no announcement. Method: every way in that asks whether somebody expects the device, against
    // a stranger and a listed one: the same answer.
    let known_as = listed("Halden", "VP-3", "A");
    let nothing = Request { credential: Credential::Nothing, ..request("A", 1) };
    for admit in [Admit::Expected, Admit::All, Admit::Approval] {
        let birth = Request { credential: credential(admit, "A"), ..request("A", 1) };
        for (asked, terms) in [(&birth, &TERMS), (&birth, &OPEN), (&nothing, &TERMS), (&nothing, &OPEN)] {
            let word = |device| match decide(asked, Known { device, ..Known::default() }, terms, fresh(), NOW)
            {
                Ok(Admission::Issue(_)) => "in",
                Ok(Admission::Same(_)) => "same",
                Ok(Admission::Wait(_)) => "waits",
                Err(refused) => refused.code(),
            };
            assert_eq!(word(None), word(Some(&known_as)), "{admit:?}");
        }
    }
    let leaf = Sha256([1; 32]);
    assert_eq!(
        device::may(Some(&known_as), &leaf, device::Access::Status, NOW),
        Err(device::Refused::Superseded)
    );
}

#[test]
fn a_key_that_asks_for_a_listed_device_leaves_its_line_when_it_is_turned_away() {
    // Goal: a person's no deletes no line of the list. Method: ask with nothing, deny.
    let known_as = listed("Halden", "VP-3", "A");
    let nothing = Request { credential: Credential::Nothing, ..request("A", 1) };
    let known = Known { device: Some(&known_as), ..Known::default() };
    let noted = waits(decide(&nothing, known, &OPEN, fresh(), NOW)).expect("noted");
    assert_eq!(noted.state, State::Listed);
    assert_eq!(deny(&noted, &Sha256([1; 32])), Ok(Left::Device(known_as.into())));
}

#[test]
fn only_the_very_same_thing_is_the_listed_one() {
    // Goal: the serial of another maker's device is another device. Method: letters, makers, models, serials, and what nobody said.
    let token = for_some(5);
    let one = |device: &Device, request: &Request| is_the_one(device, request, Some(&token), &text("VP-3"));
    let plain = Request { hardware: None, ..request("A", 1) };
    for (maker, model, serial, same) in [
        ("HALDEN", "vp-3", "a", true),
        ("", "VP-3", "A", true),
        ("Vell", "VP-3", "A", false),
        ("Halden", "VP-4", "A", false),
        ("Halden", "VP-3", "B", false),
        ("Halden", "VP-3", "unknown", false),
    ] {
        let device = listed(maker, model, serial);
        assert_eq!(one(&device, &request("A", 1)), same, "{maker} {model} {serial}");
        assert_eq!(one(&device, &plain), same, "by the token's word: {maker} {model} {serial}");
    }
    assert!(one(&enrolled().0, &request("Z", 1)), "an enrolled device is what its index says");
}
