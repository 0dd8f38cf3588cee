//! Tests of the approval queue: what waits, what a person's word does, and what nobody else can do to it.

use super::*;

fn nothing(serial: &str, key: u8) -> Request {
    Request { credential: Credential::Nothing, ..request(serial, key) }
}

fn asked(request: &Request, device: Option<&Device>) -> Result<Admission, Refused> {
    decide(request, Known { device, ..Known::default() }, &OPEN, fresh(), NOW)
}

fn yes(device: &Device, key: u8) -> Device {
    approve(device, &Sha256([key; 32]), "person:ines".to_string(), NOW).expect("asks")
}

#[test]
fn nothing_at_all_waits_only_where_the_owner_wants_it() {
    // Goal: the queue is off by default and bounded. Method: off, on, full; an announced serial is not taken by it.
    assert_eq!(ask(&nothing("A", 1), Known::default(), NOW), Err(Refused::NoCredential));
    let device = waits(asked(&nothing("A", 1), None)).expect("noted");
    assert_eq!((device.state, &device.identity), (State::Pending, &None));
    assert_eq!(device.asking.as_ref().map(|asking| asking.with.as_str()), Some("nothing"));
    assert_eq!(waiting(&device, NOW).map(|asking| asking.key), Some(Sha256([1; 32])));
    assert_eq!(waits(asked(&nothing("A", 1), Some(&device))), None, "a loop writes once");
    let full = Known { queue_full: true, ..Known::default() };
    let more = |known| decide(&nothing("B", 2), known, &OPEN, fresh(), NOW);
    assert_eq!(more(full), Err(Refused::QueueFull));
    let announced = for_serial("B", false).expected(fresh()).expect("announced");
    assert_eq!(asked(&nothing("B", 2), Some(&announced)), Err(Refused::NoCredential));
}

#[test]
fn a_persons_yes_is_to_one_key_and_holds_on_the_next_ask() {
    // Goal: a key is approved, not a serial. Method: approve; another key asks; the approved one asks, twice.
    let device = waits(asked(&nothing("A", 1), None)).expect("noted");
    assert_eq!(approve(&device, &Sha256([2; 32]), String::new(), NOW), Err(NotAsking));
    let device = yes(&device, 1);
    assert_eq!(yes(&device, 1), device, "said twice is said once");
    assert_eq!(waits(asked(&nothing("A", 2), Some(&device))), None, "nobody else gets anything by it");
    let after = issued(asked(&nothing("A", 1), Some(&device)), NOW).device;
    assert_eq!(
        (after.state, &after.asking, after.reason.as_str()),
        (State::Active, &None, "approved by person:ines")
    );
    let again = asked(&nothing("A", 1), Some(&after));
    assert_eq!(again, Ok(Admission::Same(Sha256([1; 32]))));
    let closed =
        decide(&nothing("A", 1), Known { device: Some(&device), ..Known::default() }, &TERMS, fresh(), NOW);
    assert!(matches!(closed, Ok(Admission::Issue(_))), "a yes holds although the queue was closed meanwhile");
}

#[test]
fn an_approved_second_key_follows_the_one_in_force() {
    // Goal: E12 by a person's hand. Method: another key with a token, approved, its token used up meanwhile.
    let (device, _) = enrolled();
    let second = for_serial("A", false);
    let noted = waits(ask(&request("A", 2), known(&second, Some(&device)), NOW)).expect("noted");
    let spent = Token { used: 1, ..second };
    let outcome = issued(ask(&request("A", 2), known(&spent, Some(&yes(&noted, 2))), NOW), NOW);
    assert_eq!(outcome.token, None, "the person's word pays");
    assert_eq!(outcome.device.identity, device.identity);
    assert_eq!(outcome.device.next.as_ref().map(|next| next.key), Some(Sha256([2; 32])));
    assert_eq!(spoke(&outcome.device, 2).superseded, [Sha256([1; 32])]);
    let quarantined = noted.after(Act::Quarantine, text("beacons"), NOW).expect("possible");
    let after = issued(ask(&request("A", 2), known(&spent, Some(&yes(&quarantined, 2))), NOW), NOW).device;
    assert_eq!(
        (after.state, after.reason.as_str()),
        (State::Quarantined, "beacons"),
        "that is another question"
    );
}

#[test]
fn a_no_is_remembered_and_leaves_the_identity_alone() {
    // Goal: a denied key does not get in line again. Method: deny a stranger and a second key; ask again.
    let stranger = waits(asked(&nothing("A", 1), None)).expect("noted");
    assert_eq!(deny(&stranger, &Sha256([1; 32])), Ok(Left::Nothing));
    assert_eq!(deny(&stranger, &Sha256([2; 32])), Err(NotAsking));
    let denied = Known { denied: true, ..Known::default() };
    let again = decide(&nothing("A", 1), denied, &OPEN, fresh(), NOW);
    assert_eq!(again, Err(Refused::ApprovalDenied));
    let (device, _) = enrolled();
    let second = for_serial("A", false);
    let noted = waits(ask(&request("A", 2), known(&second, Some(&device)), NOW)).expect("noted");
    assert_eq!(deny(&noted, &Sha256([2; 32])), Ok(Left::Device(device.clone().into())));
    let later = for_serial("A", true);
    let welcome = ask(&request("A", 2), Known { denied: true, ..known(&later, Some(&device)) }, NOW);
    assert!(matches!(welcome, Ok(Admission::Issue(_))), "a person's later word for this serial counts");
    let record = Denied { v: 1, device: fresh(), serial: text("A"), at: NOW, by: "person:ines".to_string() };
    let golden = r#"{"v":1,"device":"07070707-0707-4707-8707-070707070707","serial":"A","at":1800000000,"by":"person:ines"}"#;
    assert_eq!(String::from_utf8(record.to_body()).expect("UTF-8"), golden);
    assert_eq!(Denied::from_body(golden.as_bytes()), Some(record));
}

#[test]
fn nobody_pushes_a_waiting_key_out_of_the_line() {
    // Goal: an impostor cannot undo what a person is about to decide. Method: other addresses, the same address, time.
    let device = waits(asked(&nothing("A", 1), None)).expect("noted");
    let elsewhere = Request { from: text("198.51.100.9"), ..nothing("A", 2) };
    assert_eq!(waits(asked(&elsewhere, Some(&device))), None);
    let reset = waits(asked(&nothing("A", 3), Some(&device))).expect("the same machine, made anew");
    assert_eq!(reset.asking.as_ref().map(|asking| asking.key), Some(Sha256([3; 32])));
    assert_eq!(
        waits(asked(&nothing("A", 3), Some(&yes(&device, 1)))),
        None,
        "not once a person has said yes"
    );
    let late = NOW.plus_seconds(limits::APPROVAL_DAYS * 86_400);
    assert_eq!(stale(&device, late.plus_seconds(-1)), None);
    assert_eq!(stale(&device, late), Some(Left::Nothing));
    assert_eq!(waiting(&device, late), None);
    let known = Known { device: Some(&device), ..Known::default() };
    assert!(waits(decide(&elsewhere, known, &OPEN, fresh(), late)).is_some(), "an old one makes room");
    let (living, _) = enrolled();
    let noted = Device { asking: device.asking.clone(), ..living.clone() };
    assert_eq!(stale(&noted, late), Some(Left::Device(living.into())));
}

#[test]
fn a_yes_answers_a_doubt_and_so_does_a_look() {
    // Goal: "a person clears it, or lets one of them enrol anew". Method: both.
    let (device, _) = enrolled();
    let doubt = Doubt { kind: DoubtKind::Overlap, at: NOW, evidence: text("two wards") };
    let doubted = Device { doubt: Some(doubt), ..device.clone() };
    assert_eq!(cleared(&doubted), Some(device.clone()));
    assert_eq!(cleared(&device), None);
    let token = for_serial("A", true);
    let anew = issued(ask(&request("A", 2), known(&token, Some(&doubted)), NOW), NOW).device;
    assert_eq!((anew.doubt, anew.identity), (None, device.identity));
}

#[test]
fn a_new_board_that_had_to_wait_takes_the_record_over_once_approved() {
    // Goal: a yes to a board is a yes to what its token says, and to nothing more. Method: a quarantined device, a board's
    // token, a yes; the same with the serial in somebody's hands; the same after the token's end.
    let (device, _) = enrolled();
    let board = token(Binding::Board { serial: text("B"), instead_of: device.id });
    let quarantined = device.after(Act::Quarantine, text("beacons"), NOW).expect("possible");
    let noted = waits(ask(&request("B", 2), known(&board, Some(&quarantined)), NOW)).expect("noted");
    assert_eq!(noted.hardware, device.hardware, "until a person has said yes");
    let said = yes(&noted, 2);
    let taken = Known { holder: Some(&device), ..known(&board, Some(&said)) };
    assert_eq!(ask(&request("B", 2), taken, NOW), Err(Refused::SerialTaken));
    let outcome = issued(ask(&request("B", 2), known(&board, Some(&said)), NOW), NOW);
    assert_eq!((outcome.device.state, &outcome.device.hardware), (State::Quarantined, &hardware("B")));
    assert_eq!(outcome.device.identity.as_ref().map(|identity| identity.key), Some(Sha256([2; 32])));
    assert_eq!(outcome.device.superseded, [Sha256([1; 32])], "the old board is out at once");
    assert_eq!(outcome.token.map(|token| token.used), Some(1));
    let late = issued(ask(&request("B", 2), known(&board, Some(&said)), board.expires), board.expires);
    assert_eq!((late.device.hardware, late.token), (hardware("B"), None), "the yes still holds");
}

#[test]
fn what_people_have_to_decide_is_not_decided_by_a_token_for_anybody() {
    // Goal: another key that asks, and a doubt, stay until a person has looked. Method: a token for some devices and the
    // device's own key; with another key in the line; with a doubt.
    let (device, _) = enrolled();
    let unpaid =
        device.identity.clone().map(|identity| Identity { token: Some(TokenId([8; 32])), ..identity });
    let device = Device { identity: unpaid, ..device };
    let some = for_some(5);
    let asking = waits(ask(&request("A", 5), known(&some, Some(&device)), NOW)).expect("noted");
    let after = issued(ask(&request("A", 1), known(&some, Some(&asking)), NOW), NOW).device;
    assert_eq!(after.asking, asking.asking);
    let doubt = Doubt { kind: DoubtKind::SameMachine, at: NOW, evidence: text("two wards") };
    let doubted = Device { doubt: Some(doubt), ..device };
    let noted = waits(ask(&request("A", 1), known(&some, Some(&doubted)), NOW)).expect("noted");
    assert_eq!((noted.doubt, noted.identity), (doubted.doubt, doubted.identity));
}
