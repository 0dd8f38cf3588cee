//! Tests of the enrolment policy: each refusal, each way in, and what no sequence of requests can reach.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::limits;
use proptest::prelude::*;

use super::*;
use crate::device::{self, Act, DeviceKind, Doubt, DoubtKind, Placement};
use crate::risk::facts::Reach;

mod birth;
mod listed;
mod queue;
mod renew;

const NOW: Timestamp = Timestamp(1_800_000_000);
const TERMS: Terms =
    Terms { approval_queue: false, require_binding: false, grace_days: 90, same_key_renewal: false };
const OPEN: Terms = Terms { approval_queue: true, ..TERMS };

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
            reach: Reach::default(),
            tags: Vec::new(),
        },
        hours: 24,
    }
}

fn token(binding: Binding) -> Token {
    Token::new(order(binding), "person:ines".to_string(), NOW).expect("a token")
}

fn for_serial(serial: &str, replaces: bool) -> Token {
    token(Binding::Serial { serial: text(serial), replaces })
}

fn for_some(count: u32) -> Token {
    token(Binding::Count { count })
}

fn request(serial: &str, key: u8) -> Request {
    Request {
        credential: Credential::Token(TokenId([9; 32])),
        key: Sha256([key; 32]),
        serial: text(serial),
        hardware: Some(hardware(serial)),
        from: text("192.0.2.7"),
        bound: false,
    }
}

fn fresh() -> DeviceId {
    DeviceId::from_random([7; 16])
}

fn known<'a>(token: &'a Token, device: Option<&'a Device>) -> Known<'a> {
    Known { token: Some(token), device, ..Known::default() }
}

fn ask(request: &Request, known: Known<'_>, now: Timestamp) -> Result<Admission, Refused> {
    decide(request, known, &TERMS, fresh(), now)
}

/// What stands in the store after an admission; the certificate's fingerprint is the key's digest.
fn issued(admission: Result<Admission, Refused>, now: Timestamp) -> Outcome {
    match admission {
        Ok(Admission::Issue(admitted)) => {
            let leaf = admitted.key;
            admitted.with(leaf, now, now.plus_seconds(1000))
        }
        other => panic!("should be admitted: {other:?}"),
    }
}

/// The device that is to be written down while a key waits.
fn waits(admission: Result<Admission, Refused>) -> Option<Device> {
    match admission {
        Ok(Admission::Wait(device)) => device.map(|device| *device),
        other => panic!("should wait: {other:?}"),
    }
}

/// A device of serial `A` that came in with key 1.
fn enrolled() -> (Device, Token) {
    let token = for_serial("A", false);
    let outcome = issued(ask(&request("A", 1), known(&token, None), NOW), NOW);
    (outcome.device, outcome.token.expect("spent"))
}

fn spoke(device: &Device, leaf: u8) -> Device {
    first_word(device, &Sha256([leaf; 32])).expect("the next one")
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
    let second = ask(&request("A", 2), known(&token, Some(&device)), NOW);
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
        assert_eq!(ask(&request("A", 1), known(&token, Some(&short_lived)), now), expected, "{now}");
    }
    let retired = short_lived.after(Act::Retire, text("sold"), NOW).expect("possible");
    assert_eq!(ask(&request("A", 1), known(&token, Some(&retired)), NOW), Err(Refused::TokenUsed));
}

#[test]
fn each_misfit_is_refused_by_name() {
    // Goal: every refusal of the policy. Method: one misfit a request.
    let token = for_serial("A", false);
    let asks = |request: Request, token: &Token, now| ask(&request, known(token, None), now);
    let two_serials = Request { hardware: Some(hardware("B")), ..request("A", 1) };
    for nobody in [request("A", 1), two_serials.clone()] {
        assert_eq!(ask(&nobody, Known::default(), NOW), Err(Refused::UnknownToken));
    }
    let revoked = Token { revoked: Some(NOW), ..token.clone() };
    assert_eq!(asks(request("A", 1), &revoked, NOW), Err(Refused::TokenRevoked));
    assert_eq!(asks(request("A", 1), &token, token.expires), Err(Refused::TokenExpired));
    assert!(asks(request("A", 1), &token, token.expires.plus_seconds(-1)).is_ok());
    assert_eq!(asks(request("B", 1), &token, NOW), Err(Refused::SerialMismatch));
    assert_eq!(asks(two_serials, &token, NOW), Err(Refused::SerialMismatch));
    let other_model = Hardware { model: text("VP-4"), ..hardware("A") };
    let other_model = Request { hardware: Some(other_model), ..request("A", 1) };
    assert_eq!(asks(other_model, &token, NOW), Err(Refused::ModelMismatch));
    let other_maker = Hardware { manufacturer: text("Vell"), ..hardware("A") };
    let other_maker = Request { hardware: Some(other_maker), ..request("A", 1) };
    assert_eq!(asks(other_maker, &token, NOW), Err(Refused::ManufacturerMismatch));
    let strict = Terms { require_binding: true, ..TERMS };
    let bound = Request { bound: true, ..request("A", 1) };
    let strictly = |request: &Request| decide(request, known(&token, None), &strict, fresh(), NOW);
    assert_eq!(strictly(&request("A", 1)), Err(Refused::BindingRequired));
    assert!(strictly(&bound).is_ok());
}

#[test]
fn a_client_that_states_no_hardware_gets_the_tokens() {
    // Goal: third-party EST clients. Method: no header; maker from the token, or unknown.
    let token = for_some(1);
    let plain = Request { hardware: None, ..request("A", 1) };
    let device = issued(ask(&plain, known(&token, None), NOW), NOW).device;
    let expected = Hardware { revision: text("unknown"), ..hardware("A") };
    assert_eq!((device.hardware, device.stated), (expected, false));
    let mut token = for_some(1);
    token.order.manufacturer = None;
    let device = issued(ask(&plain, known(&token, None), NOW), NOW).device;
    assert_eq!(device.hardware.manufacturer, text("unknown"));
}

#[test]
fn another_key_for_a_living_serial_waits_and_the_old_one_lives() {
    // Goal: E12, no denial of service by an impostor. Method: a second, valid token and another key.
    let (device, _) = enrolled();
    let second = for_serial("A", false);
    let noted = waits(ask(&request("A", 2), known(&second, Some(&device)), NOW)).expect("noted");
    let asking = noted.asking.as_ref().expect("noted");
    assert_eq!((asking.key, asking.from.as_str()), (Sha256([2; 32]), "192.0.2.7"));
    assert!(asking.with.as_str().starts_with("token 0909"), "{}", asking.with);
    assert_eq!((&noted.identity, noted.state), (&device.identity, State::Active), "the old one lives on");
    let again = ask(&request("A", 2), known(&second, Some(&noted)), NOW);
    assert_eq!(waits(again), None, "a loop of the same key writes once");
}

#[test]
fn a_person_can_say_beforehand_that_a_new_key_comes() {
    // Goal: factory reset with pre-authorisation. Method: a token that replaces; the old leaf lives until the new one
    // has spoken, and the repetition of a lost answer gets the same.
    let (device, _) = enrolled();
    let token = for_serial("A", true);
    let moved = Device { placement: Placement { ward: text("ICU 3"), ..device.placement.clone() }, ..device };
    let outcome = issued(ask(&request("A", 2), known(&token, Some(&moved)), NOW), NOW);
    let after = outcome.device;
    assert_eq!((after.id, after.superseded.len()), (moved.id, 0));
    assert_eq!(after.placement.ward, text("ICU 3"), "where a person moved it is where it stays");
    let status =
        |device: &Device, leaf| device::may(Some(device), &Sha256([leaf; 32]), device::Access::Status, NOW);
    assert_eq!((status(&after, 1), status(&after, 2)), (Ok(()), Ok(())));
    let spent = outcome.token.expect("spent");
    let again = ask(&request("A", 2), known(&spent, Some(&after)), NOW);
    assert_eq!(again, Ok(Admission::Same(Sha256([2; 32]))));
    let after = spoke(&after, 2);
    assert_eq!((status(&after, 1), status(&after, 2)), (Err(device::Refused::Superseded), Ok(())));
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
        let decided = ask(&request("A", 2), known(&token, Some(&device)), at);
        if !welcome {
            assert_eq!(waits(decided).expect("noted").state, device.state);
            continue;
        }
        let back = issued(decided, at).device;
        assert_eq!((back.state, &back.superseded[..]), (State::Active, &[Sha256([1; 32])][..]));
        assert_eq!(back.next, None, "the certificate of before the end does not live again");
    }
}

#[test]
fn an_announced_device_takes_its_place() {
    // Goal: expected becomes active under the same name. Method: the token's own announcement.
    let token = for_serial("A", false);
    let expected = token.expected(fresh()).expect("announced");
    assert_eq!((expected.state, expected.stated), (State::Expected, false));
    let other = DeviceId::from_random([8; 16]);
    let decided = decide(&request("A", 1), known(&token, Some(&expected)), &TERMS, other, NOW);
    let device = issued(decided, NOW).device;
    assert_eq!((device.id, device.state), (fresh(), State::Active));
    assert_eq!(device.hardware, hardware("A"));
    assert_eq!(for_some(2).expected(fresh()), None);
}

#[test]
fn a_new_board_goes_on_with_the_devices_record() {
    // Goal: a changed main board leaves one record, under its new serial. Method: a token that says so; the old board's
    // certificate ends at once; a serial that is somebody else's is refused.
    let (device, _) = enrolled();
    let board = token(Binding::Board { serial: text("B"), instead_of: device.id });
    assert_eq!(board.expected(fresh()), None, "its device is there");
    let outcome = issued(ask(&request("B", 2), known(&board, Some(&device)), NOW), NOW);
    let after = outcome.device;
    assert_eq!((after.id, &after.hardware), (device.id, &hardware("B")));
    assert_eq!(after.superseded, [Sha256([1; 32])]);
    assert_eq!(after.next, None);
    let spent = outcome.token.expect("spent");
    let again = ask(&request("B", 2), known(&spent, Some(&after)), NOW);
    assert_eq!(again, Ok(Admission::Same(Sha256([2; 32]))));
    assert_eq!(ask(&request("B", 3), known(&spent, Some(&after)), NOW), Err(Refused::TokenUsed));
    assert_eq!(ask(&request("B", 2), known(&board, None), NOW), Err(Refused::SerialMismatch));
    let taken = Known { holder: Some(&device), ..known(&board, Some(&device)) };
    assert_eq!(ask(&request("B", 2), taken, NOW), Err(Refused::SerialTaken));
    let plain = Request { hardware: None, ..request("B", 2) };
    let unstated = issued(ask(&plain, known(&board, Some(&device)), NOW), NOW).device;
    assert_eq!((unstated.hardware.serial, unstated.stated), (text("B"), false));
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

/// One request of a random sequence: serial, key, wait, what it brings, and whether a person then approves or denies.
type Step = (u8, u8, i64, u8, u8);

proptest! {
    #[test]
    fn no_sequence_of_requests_spends_a_token_twice_or_rekeys_a_device(
        limit in 1_u32..4,
        steps in proptest::collection::vec((0_u8..4, 0_u8..3, 0_i64..200_000, 0_u8..3, 0_u8..8), 0..60)
    ) {
        // Goal: the two invariants of the policy. Method: random serials, keys, times, credentials and decisions of
        // people against one token and one anchor that lets everybody in, with the commit's effect played by a map.
        let mut token = for_some(limit);
        let mut devices: BTreeMap<Text, Device> = BTreeMap::new();
        let mut certificates = 0_u8;
        for (serial, key, wait, brings, person) in steps as Vec<Step> {
            let now = NOW.plus_seconds(wait);
            let name = serial.to_string();
            let credential = match brings {
                0 => Credential::Token(TokenId([9; 32])),
                1 => birth::credential(Admit::All, &name),
                _ => Credential::Nothing,
            };
            let asked = Request { credential, ..request(&name, key) };
            let before = devices.get(&asked.serial).cloned();
            let id = DeviceId::from_random([serial; 16]);
            let known = Known { token: Some(&token), device: before.as_ref(), ..Known::default() };
            match decide(&asked, known, &OPEN, id, now) {
                Ok(Admission::Same(leaf)) => {
                    let before = before.expect("answered before");
                    prop_assert_eq!(before.holding(&leaf).expect("held").key, asked.key);
                }
                Ok(Admission::Issue(admitted)) => {
                    certificates += 1;
                    let spent = admitted.token.is_some();
                    prop_assert!(!spent || now < token.expires);
                    let outcome = admitted.with(Sha256([certificates; 32]), now, now.plus_seconds(1000));
                    let said_yes = before.as_ref().is_some_and(|device| queue_says_yes(device, &asked.key));
                    let old = before.and_then(|device| device.identity);
                    let same = old.as_ref().is_none_or(|old| old.key == asked.key);
                    prop_assert!(same || said_yes, "never another key unless a person said so");
                    let alive = old.is_none_or(|old| outcome.device.holding(&old.leaf).is_some());
                    prop_assert!(alive, "the one in force lives on");
                    devices.insert(asked.serial, outcome.device);
                    token = outcome.token.unwrap_or(token);
                }
                Ok(Admission::Wait(Some(device))) => {
                    let held = before.as_ref().and_then(|device| device.identity.clone());
                    prop_assert_eq!(&device.identity, &held);
                    devices.insert(asked.serial, *device);
                }
                Ok(Admission::Wait(None)) | Err(_) => {}
            }
            prop_assert!(token.used <= limit);
            let decided = devices.get(&text(&name)).cloned();
            if let Some((device, asking)) = decided.and_then(|device| Some((device.clone(), device.asking?))) {
                match person {
                    0 => { devices.insert(text(&name), approve(&device, &asking.key, String::new(), now).expect("asks")); }
                    1 => match deny(&device, &asking.key).expect("asks") {
                        Left::Nothing => { devices.remove(&text(&name)); }
                        Left::Device(device) => { devices.insert(text(&name), *device); }
                    },
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_a_token_or_refused_without_a_panic(bytes: Vec<u8>) {
        let _ = Token::from_body(&bytes);
        let _ = Denied::from_body(&bytes);
    }
}

fn queue_says_yes(device: &Device, key: &Sha256) -> bool {
    device.asking.as_ref().is_some_and(|asking| asking.key == *key && asking.approved.is_some())
}
