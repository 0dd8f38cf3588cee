//! Tests of a device's life, of what it may ask, and of what is kept of its check-ins.

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec;

use cordon_proto::checkin::{
    Action, CheckinRequest, InterlockState, PermitRequest, SensorReport, Software, UpdateReport, UpdateState,
};
use cordon_proto::farewell::FarewellBody;
use proptest::prelude::*;

use super::*;
use crate::risk::facts::{Impact, Reach};

const NOW: Timestamp = Timestamp(1_800_000_000);
const LEAF: Sha256 = Sha256([1; 32]);
const STATES: [State; 7] = [
    State::Listed,
    State::Expected,
    State::Pending,
    State::Active,
    State::Quarantined,
    State::Retired,
    State::Lost,
];
const ACTS: [Act; 5] = [Act::Quarantine, Act::Release, Act::Retire, Act::ReportLost, Act::Find];

fn text(text: &str) -> Text {
    text.parse().expect("a valid text")
}

fn device(state: State) -> Device {
    Device {
        v: VERSION,
        id: DeviceId::from_random([7; 16]),
        hardware: Hardware {
            manufacturer: text("Halden"),
            model: text("VP-3"),
            revision: text("C"),
            serial: text("A"),
        },
        stated: true,
        source: Source::Agent,
        placement: Placement {
            site: text("St. Anna"),
            ward: text("ICU 2"),
            kind: DeviceKind::InfusionPump,
            impact: Impact::default(),
            reach: Reach::default(),
            tags: vec![text("loan")],
        },
        state,
        since: NOW,
        reason: text("enrolled with a token"),
        identity: Some(Identity {
            leaf: LEAF,
            key: Sha256([2; 32]),
            token: Some(TokenId([3; 32])),
            renews: false,
            issued: NOW,
            not_after: NOW.plus_seconds(1000),
        }),
        superseded: vec![Sha256([4; 32])],
        replaced: Vec::new(),
        asking: None,
        next: None,
        doubt: None,
        farewell: None,
        report: None,
        reported: None,
        last_seen: None,
        spoke: None,
        listens: None,
        noticed: Noticed::default(),
        asset: None,
    }
}

fn checkin() -> CheckinRequest {
    CheckinRequest {
        boot: 3,
        device_time: NOW,
        agent_version: text("0.1.0"),
        uptime_s: 60,
        hardware: device(State::Active).hardware,
        software: Software { release: None, counter: 0, sha256: LEAF, floor: 0, slot: text("A") },
        update: UpdateReport { state: UpdateState::Idle, order: None, blocked_by: vec![], fetched_bytes: 0 },
        interlock: InterlockState::Standby,
        sensor: SensorReport { tier: Some(0), note: None, profile_keys: 4, learning: false },
        inventory_root: LEAF,
        key_protection: text("file"),
        spool_records: 12,
        spool_lost: 0,
        content_version: 0,
        director_root_version: 1,
        want_permit: Some(PermitRequest { order: "o-1".parse().expect("name"), action: Action::Install }),
        sequence: 0,
        run: 0,
        machine: None,
        ca_version: 0,
        content_fault: None,
    }
}

#[test]
fn the_life_of_an_identity_is_exactly_this_table() {
    // Goal: no surprising move. Method: every act in every state against the list of what is possible.
    let possible = "quarantine active>quarantined, release quarantined>active, retire listed>retired, retire expected>retired, \
                    retire pending>retired, retire active>retired, retire quarantined>retired, retire lost>retired, \
                    report-lost active>lost, report-lost quarantined>lost, find lost>quarantined";
    let mut found = BTreeSet::new();
    for (act, from) in ACTS.into_iter().flat_map(|act| STATES.map(|from| (act, from))) {
        match step(from, act) {
            Ok(to) => {
                let verb = act.action().trim_start_matches("device.");
                found.insert(alloc::format!("{verb} {}>{}", from.word(), to.word()));
            }
            Err(refused) => assert!(refused.to_string().contains(from.word())),
        }
    }
    assert_eq!(found, possible.split(", ").map(ToString::to_string).collect());
}

#[test]
fn quarantine_closes_all_doors_but_status_and_update() {
    // Goal: the authoritative check on every request, and that only a stranger is told to drop its identity. Method: the whole table.
    let answer = |state, access| may(Some(&device(state)), &LEAF, access, NOW);
    for access in [Access::Status, Access::Update, Access::Telling] {
        assert_eq!(answer(State::Active, access), Ok(()));
        assert_eq!(answer(State::Retired, access), Err(Refused::Retired));
        assert_eq!(answer(State::Lost, access), Err(Refused::Lost));
        let told = access == Access::Telling;
        assert_eq!(answer(State::Quarantined, access), if told { Err(Refused::Quarantined) } else { Ok(()) });
        assert_eq!(may(None, &LEAF, access, NOW), Err(Refused::UnknownDevice));
        let old = device(State::Active);
        assert_eq!(may(Some(&old), &Sha256([4; 32]), access, NOW), Err(Refused::Superseded));
        // Whoever is known to have had it at all: an agent that hears "unknown" drops its identity.
        assert_eq!(may(Some(&old), &Sha256([5; 32]), access, NOW), Err(Refused::Superseded));
        let end = NOW.plus_seconds(1000);
        assert_eq!(may(Some(&old), &LEAF, access, end), Ok(()), "the last second counts");
        assert_eq!(may(Some(&old), &LEAF, access, end.plus_seconds(1)), Err(Refused::Expired));
    }
    assert!(!device(State::Active).is_cut_off());
    assert!([State::Quarantined, State::Retired, State::Lost].into_iter().all(|s| device(s).is_cut_off()));
}

#[test]
fn a_persons_act_keeps_the_reason() {
    // Goal: the page can say why. Method: quarantine and look.
    let after =
        device(State::Active).after(Act::Quarantine, text("beacons"), NOW.plus_seconds(5)).expect("possible");
    assert_eq!(
        (after.state, after.since, after.reason.as_str()),
        (State::Quarantined, Timestamp(NOW.0 + 5), "beacons")
    );
    assert!(after.after(Act::Quarantine, text("again"), NOW).is_err());
}

#[test]
fn a_heartbeat_that_only_ticks_is_the_same_report() {
    // Goal: no row write for nothing. Method: move what ticks, then one thing that matters.
    let report = Report::of(&checkin());
    let ticked =
        CheckinRequest { device_time: NOW.plus_seconds(300), uptime_s: 360, spool_records: 0, ..checkin() };
    assert_eq!(Report::of(&ticked), report);
    assert_ne!(Report::of(&CheckinRequest { interlock: InterlockState::InUse, ..checkin() }), report);
    assert_eq!(report.wants.map(|wanted| wanted.order.to_string()).as_deref(), Some("o-1"));
}

#[test]
fn a_device_cannot_become_another_one() {
    // Goal: a copied disk is noticed. Method: change each part of the hardware before and after the first statement.
    let known = device(State::Active);
    let unstated = Device { stated: false, ..known.clone() };
    let with = |change: fn(&mut Hardware)| {
        let mut hardware = known.hardware.clone();
        change(&mut hardware);
        hardware
    };
    let other_board = with(|h| h.revision = text("D"));
    assert_eq!(known.stating(&other_board).expect("a board may be exchanged").hardware, other_board);
    assert_eq!(known.stating(&with(|h| h.serial = text("B"))), Err(OtherHardware));
    assert_eq!(known.stating(&with(|h| h.model = text("VP-4"))), Err(OtherHardware));
    let other_maker = with(|h| h.manufacturer = text("Vell"));
    assert_eq!(known.stating(&other_maker), Err(OtherHardware));
    let first = unstated.stating(&other_maker).expect("the first word is taken");
    assert!(first.stated && first.hardware == other_maker);
}

#[test]
fn stored_documents_are_read_for_ever() {
    // Goal: version 1 outlives later programs. Method: golden text of a device without its optional parts, and of a leaf.
    let golden = concat!(
        r#"{"v":1,"id":"07070707-0707-4707-8707-070707070707","hardware":{"manufacturer":"Halden","model":"VP-3","#,
        r#""revision":"C","serial":"A"},"stated":true,"source":"agent","placement":{"site":"St. Anna","ward":"ICU 2","#,
        r#""kind":"infusion-pump"},"state":"expected","since":1800000000,"reason":"a token was made for it"}"#
    );
    let read = Device::from_body(golden.as_bytes()).expect("reads");
    let bare = Device {
        identity: None,
        superseded: vec![],
        replaced: Vec::new(),
        placement: Placement { tags: vec![], ..read.placement.clone() },
        reason: text("a token was made for it"),
        ..device(State::Expected)
    };
    assert_eq!(read, bare);
    let full = Device { report: Some(Report::of(&checkin())), last_seen: Some(NOW), ..device(State::Active) };
    assert_eq!(Device::from_body(&full.to_body()), Some(full));
    assert_eq!(Device::from_body(golden.replace("\"v\":1", "\"v\":2").as_bytes()), None);
    let leaf = Leaf { v: 1, device: read.id, der: "AAEC".to_string() };
    let golden = r#"{"v":1,"device":"07070707-0707-4707-8707-070707070707","der":"AAEC"}"#;
    assert_eq!(String::from_utf8(leaf.to_body()).expect("UTF-8"), golden);
    assert_eq!(Leaf::from_body(golden.as_bytes()), Some(leaf));
}

proptest! {
    #[test]
    fn from_any_state_only_a_person_leads_back_to_trust(acts in proptest::collection::vec(0_usize..5, 0..40)) {
        // Goal: no path around a release. Method: random acts; trust appears only by release out of quarantine.
        let mut state = State::Active;
        for act in acts.into_iter().map(|index| ACTS[index]) {
            let Ok(next) = step(state, act) else { continue };
            if next == State::Active {
                prop_assert_eq!((state, act), (State::Quarantined, Act::Release));
            }
            prop_assert!(state != State::Retired, "retirement is final for every act");
            state = next;
        }
    }

    #[test]
    fn any_bytes_are_a_device_or_refused_without_a_panic(bytes: Vec<u8>) {
        let _ = (Device::from_body(&bytes), Leaf::from_body(&bytes));
    }
}

#[test]
fn a_farewell_is_taken_once_and_stays_once_the_use_has_ended() {
    // Goal: evidence of the end is not replaced. Method: the same statement signed twice; another one, before and after
    // the end of the device's use.
    let farewell = |time: i64, signature: u8| {
        let body = FarewellBody {
            device: DeviceId::from_random([7; 16]),
            hardware: device(State::Active).hardware.identity(),
            cause: Cause::Lost,
            time: Timestamp(time),
            counter: 41,
            sha256: Sha256([4; 32]),
            records_unsent: 0,
        };
        let signed = Farewell::sign(&body, |_| Ok::<_, ()>(vec![signature])).expect("signs");
        (signed.body.to_vec(), wire::write(&signed))
    };
    let takes = |device: &Device, cause, (body, bytes): &(Vec<u8>, Vec<u8>)| {
        device.taking_leave(cause, (body, bytes), NOW)
    };
    let told = takes(&device(State::Active), Cause::Lost, &farewell(1, 1)).expect("taken").expect("news");
    assert_eq!(takes(&told, Cause::Lost, &farewell(1, 2)), Ok(None), "signed anew it states the same");
    let retired = takes(&told, Cause::AtDevice, &farewell(2, 1)).expect("taken").expect("news");
    assert_eq!(retired.state, State::Retired, "a trusted device goes on, whatever it said before");
    assert_eq!(takes(&retired, Cause::AtDevice, &farewell(3, 1)), Err(TookLeave));
    assert_eq!(takes(&retired, Cause::AtDevice, &farewell(2, 9)), Ok(None));
}

#[test]
fn a_yes_does_not_outlive_the_use_of_a_device() {
    // Goal: who is sold or lost does not come back by an older yes. Method: each act on a device with an approved key.
    let approved = Some(Approval { at: NOW, by: "person:ines".into() });
    let asking =
        Asking { key: Sha256([9; 32]), at: NOW, from: text("192.0.2.7"), with: text("nothing"), approved };
    for (from, act, stays) in [
        (State::Active, Act::Quarantine, true),
        (State::Quarantined, Act::Release, true),
        (State::Active, Act::Retire, false),
        (State::Quarantined, Act::ReportLost, false),
        (State::Pending, Act::Retire, false),
    ] {
        let known = Device { asking: Some(asking.clone()), ..device(from) };
        let after = known.after(act, text("because"), NOW).expect("possible");
        assert_eq!(after.asking.is_some(), stays, "{act:?}");
    }
}
