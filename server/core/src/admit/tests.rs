//! Tests of the enrolment policy: each refusal, each way in, and what no sequence of requests can reach.

use alloc::collections::BTreeMap;
use alloc::string::ToString;

use proptest::prelude::*;

use super::*;
use crate::device::{Act, DeviceKind};

const NOW: Timestamp = Timestamp(1_800_000_000);

fn text(text: &str) -> Text {
    text.parse().expect("a valid text")
}

fn hardware(serial: &str) -> Hardware {
    Hardware { manufacturer: text("Halden"), model: text("VP-3"), revision: text("C"), serial: text(serial) }
}

fn order(binding: Binding) -> TokenOrder {
    TokenOrder {
        manufacturer: Some(text("Halden")),
        model: text("VP-3"),
        binding,
        placement: Placement {
            site: text("St. Anna"),
            ward: text("ICU 2"),
            kind: DeviceKind::InfusionPump,
            impact: DeviceKind::InfusionPump.usual_impact(),
            reach: crate::risk::facts::Reach::default(),
            tags: Vec::new(),
        },
        hours: 24,
    }
}

fn for_serial(serial: &str, replaces: bool) -> Token {
    let binding = Binding::Serial { serial: text(serial), replaces };
    Token::new(order(binding), "person:ines".to_string(), NOW).expect("a token")
}

fn for_some(count: u32) -> Token {
    Token::new(order(Binding::Count { count }), "person:ines".to_string(), NOW).expect("a token")
}

fn request(serial: &str, key: u8) -> Request {
    Request {
        token: TokenId([9; 32]),
        key: Sha256([key; 32]),
        serial: text(serial),
        hardware: Some(hardware(serial)),
        from: text("192.0.2.7"),
    }
}

fn fresh() -> DeviceId {
    DeviceId::from_random([7; 16])
}

fn known<'a>(token: &'a Token, device: Option<&'a Device>) -> Known<'a> {
    Known { token: Some(token), device }
}

fn issued(admission: Result<Admission, Refused>, now: Timestamp) -> (Device, Token) {
    match admission {
        Ok(Admission::Issue(admitted)) => {
            let leaf = admitted.request.key;
            admitted.with(leaf, now, now.plus_seconds(1000))
        }
        other => panic!("should be admitted: {other:?}"),
    }
}

/// A device of serial `A` that came in with key 1.
fn enrolled() -> (Device, Token) {
    let token = for_serial("A", false);
    issued(decide(request("A", 1), known(&token, None), fresh(), NOW), NOW)
}

#[test]
fn a_token_lets_its_own_serial_in_once() {
    // Goal: the plain way in. Method: enrol, look at every field that weighs, ask again with another key.
    let (device, token) = enrolled();
    assert_eq!((device.state, device.id, token.used), (State::Active, fresh(), 1));
    assert_eq!(device.hardware, hardware("A"));
    assert!(device.stated);
    let identity = device.identity.as_ref().expect("an identity");
    assert_eq!((identity.key, identity.token), (Sha256([1; 32]), Some(TokenId([9; 32]))));
    let second = decide(request("A", 2), known(&token, Some(&device)), fresh(), NOW);
    assert_eq!(second, Err(Refused::TokenUsed));
}

#[test]
fn a_repetition_by_the_same_key_gets_the_same_certificate() {
    // Goal: a kill between write and reply loses nothing, even after the token's end. Method: repeat, later.
    let (device, token) = enrolled();
    let later = token.expires.plus_seconds(60);
    let short_lived = Device {
        identity: device.identity.clone().map(|identity| Identity { not_after: later, ..identity }),
        ..device
    };
    for (now, expected) in [
        (NOW, Ok(Admission::Same(Sha256([1; 32])))),
        (later, Ok(Admission::Same(Sha256([1; 32])))),
        (later.plus_seconds(1), Err(Refused::TokenExpired)),
    ] {
        assert_eq!(
            decide(request("A", 1), known(&token, Some(&short_lived)), fresh(), now),
            expected,
            "{now}"
        );
    }
    let retired = short_lived.after(Act::Retire, text("sold"), NOW).expect("possible");
    assert_eq!(decide(request("A", 1), known(&token, Some(&retired)), fresh(), NOW), Err(Refused::TokenUsed));
}

#[test]
fn each_misfit_is_refused_by_name() {
    // Goal: every refusal of the policy. Method: one misfit a request.
    let token = for_serial("A", false);
    let ask = |request: Request, token: &Token, now| decide(request, known(token, None), fresh(), now);
    let nobody = Known { token: None, device: None };
    assert_eq!(decide(request("A", 1), nobody, fresh(), NOW), Err(Refused::UnknownToken));
    let revoked = Token { revoked: Some(NOW), ..token.clone() };
    assert_eq!(ask(request("A", 1), &revoked, NOW), Err(Refused::TokenRevoked));
    assert_eq!(ask(request("A", 1), &token, token.expires), Err(Refused::TokenExpired));
    assert!(ask(request("A", 1), &token, token.expires.plus_seconds(-1)).is_ok());
    assert_eq!(ask(request("B", 1), &token, NOW), Err(Refused::SerialMismatch));
    let two_serials = Request { hardware: Some(hardware("B")), ..request("A", 1) };
    assert_eq!(ask(two_serials, &token, NOW), Err(Refused::SerialMismatch));
    let other_model = Hardware { model: text("VP-4"), ..hardware("A") };
    let other_model = Request { hardware: Some(other_model), ..request("A", 1) };
    assert_eq!(ask(other_model, &token, NOW), Err(Refused::ModelMismatch));
    let other_maker = Hardware { manufacturer: text("Vell"), ..hardware("A") };
    let other_maker = Request { hardware: Some(other_maker), ..request("A", 1) };
    assert_eq!(ask(other_maker, &token, NOW), Err(Refused::ManufacturerMismatch));
}

#[test]
fn a_client_that_states_no_hardware_gets_the_tokens() {
    // Goal: third-party EST clients. Method: no header; maker from the token, or unknown.
    let token = for_some(1);
    let plain = Request { hardware: None, ..request("A", 1) };
    let (device, _) = issued(decide(plain.clone(), known(&token, None), fresh(), NOW), NOW);
    let expected = Hardware { revision: text("unknown"), ..hardware("A") };
    assert_eq!((device.hardware, device.stated), (expected, false));
    let mut token = for_some(1);
    token.order.manufacturer = None;
    let (device, _) = issued(decide(plain, known(&token, None), fresh(), NOW), NOW);
    assert_eq!(device.hardware.manufacturer, text("unknown"));
}

#[test]
fn another_key_for_a_living_serial_waits_and_the_old_one_lives() {
    // Goal: E12, no denial of service by an impostor. Method: a second, valid token and another key.
    let (device, _) = enrolled();
    let second = for_serial("A", false);
    let impostor = request("A", 2);
    assert_eq!(
        decide(impostor.clone(), known(&second, Some(&device)), fresh(), NOW),
        Err(Refused::PendingApproval)
    );
    let noted = contested(&device, &impostor, NOW).expect("noted");
    assert_eq!(noted.asking.as_ref().map(|asking| asking.key), Some(Sha256([2; 32])));
    assert_eq!(noted.identity, device.identity, "the old certificate lives on");
    assert_eq!(contested(&noted, &impostor, NOW), None, "a loop of the same key writes once");
}

#[test]
fn a_person_can_say_beforehand_that_a_new_key_comes() {
    // Goal: factory reset with pre-authorisation. Method: a token that replaces; the old leaf is superseded.
    let (device, _) = enrolled();
    let token = for_serial("A", true);
    let moved = Device {
        placement: Placement { ward: text("ICU 3"), ..device.placement.clone() },
        ..contested(&device, &request("A", 3), NOW).expect("noted")
    };
    let (after, _) = issued(decide(request("A", 2), known(&token, Some(&moved)), fresh(), NOW), NOW);
    assert_eq!(after.id, device.id);
    assert_eq!(after.superseded, [Sha256([1; 32])]);
    assert_eq!(after.asking, None);
    assert_eq!(after.placement.ward, text("ICU 3"), "where a person moved it is where it stays");
    let status = |leaf| device::may(Some(&after), &Sha256([leaf; 32]), device::Access::Status, NOW);
    assert_eq!((status(1), status(2)), (Err(device::Refused::Superseded), Ok(())));
}

#[test]
fn an_untrusted_device_does_not_come_back_by_itself() {
    // Goal: quarantine and retirement hold. Method: each state, each kind of token, made before or after.
    let (active, _) = enrolled();
    let at = NOW.plus_seconds(10);
    let moved = |act| active.after(act, text("because"), at).expect("possible");
    let later = Token { created: at, ..for_serial("A", true) };
    let cases = [
        (moved(Act::Quarantine), later.clone(), false),
        (moved(Act::Retire), for_serial("A", true), false),
        (moved(Act::Retire), for_some(5), false),
        (moved(Act::Retire), later.clone(), true),
        (moved(Act::ReportLost), for_serial("A", true), false),
        (moved(Act::ReportLost), later, true),
    ];
    for (device, token, welcome) in cases {
        let decided = decide(request("A", 2), known(&token, Some(&device)), fresh(), at);
        assert_eq!(decided.is_ok(), welcome, "{:?}", device.state);
        assert!(welcome || decided == Err(Refused::PendingApproval));
    }
}

#[test]
fn an_announced_device_takes_its_place() {
    // Goal: expected becomes active under the same name. Method: the token's own announcement.
    let token = for_serial("A", false);
    let expected = token.expected(fresh()).expect("announced");
    assert_eq!((expected.state, expected.stated), (State::Expected, false));
    let other = DeviceId::from_random([8; 16]);
    let (device, _) = issued(decide(request("A", 1), known(&token, Some(&expected)), other, NOW), NOW);
    assert_eq!((device.id, device.state), (fresh(), State::Active));
    assert_eq!(device.hardware, hardware("A"));
    assert_eq!(for_some(2).expected(fresh()), None);
}

#[test]
fn tokens_are_made_within_bounds_and_read_back() {
    // Goal: no eternal token, none for everybody. Method: the edges; the golden text of one stored token.
    let make = |binding, hours| Token::new(TokenOrder { hours, ..order(binding) }, String::new(), NOW);
    assert_eq!(make(Binding::Count { count: 0 }, 1), Err(OrderRefused::Count));
    assert_eq!(make(Binding::Count { count: limits::TOKEN_COUNT + 1 }, 1), Err(OrderRefused::Count));
    assert_eq!(make(Binding::Count { count: 1 }, 0), Err(OrderRefused::Hours));
    assert_eq!(make(Binding::Count { count: 1 }, limits::TOKEN_HOURS_MAX + 1), Err(OrderRefused::Hours));
    let golden = concat!(
        r#"{"v":1,"order":{"manufacturer":"Halden","model":"VP-3","binding":{"serial":{"serial":"A","replaces":false}},"#,
        r#""placement":{"site":"St. Anna","ward":"ICU 2","kind":"infusion-pump","impact":{"severity":"critical","#,
        r#""patient_data":"limited"},"reach":{"zone":null,"place":null}},"hours":24},"created":1800000000,"#,
        r#""by":"person:ines","expires":1800086400,"used":0}"#
    );
    let token = for_serial("A", false);
    assert_eq!(String::from_utf8(token.to_body()).expect("UTF-8"), golden);
    assert_eq!(Token::from_body(golden.as_bytes()), Some(token));
    assert_eq!(Token::from_body(golden.replace("\"v\":1", "\"v\":2").as_bytes()), None);
}

proptest! {
    #[test]
    fn no_sequence_of_requests_spends_a_token_twice_or_rekeys_a_device(
        limit in 1_u32..4, asks in proptest::collection::vec((0_u8..4, 0_u8..3, 0_i64..200_000), 0..60)
    ) {
        // Goal: the two invariants of the policy. Method: random serials, keys and times against one token, with the
        // commit's effect played by a map.
        let mut token = for_some(limit);
        let mut devices: BTreeMap<Text, Device> = BTreeMap::new();
        let mut certificates = 0_u8;
        for (serial, key, wait) in asks {
            let now = NOW.plus_seconds(wait);
            let ask = request(&serial.to_string(), key);
            let before = devices.get(&ask.serial).cloned();
            let id = DeviceId::from_random([serial; 16]);
            match decide(ask.clone(), Known { token: Some(&token), device: before.as_ref() }, id, now) {
                Ok(Admission::Same(leaf)) => {
                    let identity = before.and_then(|device| device.identity).expect("answered before");
                    prop_assert_eq!((identity.leaf, identity.key), (leaf, ask.key));
                }
                Ok(Admission::Issue(admitted)) => {
                    prop_assert!(now < token.expires);
                    certificates += 1;
                    let (device, after) = admitted.with(Sha256([certificates; 32]), now, now.plus_seconds(1000));
                    let old = before.and_then(|device| device.identity);
                    prop_assert!(old.is_none_or(|old| old.key == ask.key), "never another key");
                    devices.insert(ask.serial, device);
                    token = after;
                }
                Err(_) => {}
            }
            prop_assert!(u32::from(certificates) <= limit);
            prop_assert_eq!(u32::from(certificates), token.used);
        }
    }

    #[test]
    fn any_bytes_are_a_token_or_refused_without_a_panic(bytes: Vec<u8>) {
        let _ = Token::from_body(&bytes);
    }
}
