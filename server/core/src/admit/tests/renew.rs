//! Tests of renewal: one certificate works whatever is lost on the way, and no other key gets in by it.

use cordon_proto::checkin::{
    CheckinRequest, InterlockState, SensorReport, Software, UpdateReport, UpdateState,
};

use alloc::vec;

use super::*;
use crate::device::{Access, Report, may};

fn renewal(leaf: u8, key: u8) -> Renewal {
    Renewal { leaf: Sha256([leaf; 32]), key: Sha256([key; 32]), serial: text("A"), from: text("192.0.2.7") }
}

fn renewed(device: &Device, renewal: &Renewal, now: Timestamp) -> Device {
    match renew(Some(device), renewal, false, &TERMS, now) {
        Ok(Renewed::Issue(renewing)) => renewing.with(renewal.key, now, now.plus_seconds(1000)),
        other => panic!("should be renewed: {other:?}"),
    }
}

fn refused(device: &Device, renewal: &Renewal, now: Timestamp) -> &'static str {
    renew(Some(device), renewal, false, &TERMS, now).expect_err("refused").code()
}

fn opens(device: &Device, leaf: u8) -> bool {
    may(Some(device), &Sha256([leaf; 32]), Access::Telling, NOW).is_ok()
}

fn report(key_protection: &str) -> Report {
    let update = UpdateReport { state: UpdateState::Idle, order: None, blocked_by: vec![], fetched_bytes: 0 };
    let software = Software { release: None, counter: 0, sha256: Sha256([0; 32]), floor: 0, slot: text("A") };
    Report::of(&CheckinRequest {
        boot: 1,
        device_time: NOW,
        agent_version: text("0.1.0"),
        uptime_s: 60,
        hardware: hardware("A"),
        software,
        update,
        interlock: InterlockState::Standby,
        sensor: SensorReport { tier: Some(0), note: None, profile_keys: 0, learning: true },
        inventory_root: Sha256([0; 32]),
        key_protection: text(key_protection),
        spool_records: 0,
        spool_lost: 0,
        content_version: 0,
        director_root_version: 0,
        want_permit: None,
        sequence: 0,
        run: 0,
        machine: None,
        ca_version: 0,
        content_fault: None,
    })
}

#[test]
fn both_certificates_work_until_the_new_one_speaks() {
    // Goal: followed, never replaced. Method: renew, look at every door, let the new one speak, look again.
    let (device, _) = enrolled();
    let after = renewed(&device, &renewal(1, 2), NOW);
    assert!(opens(&after, 1) && opens(&after, 2));
    assert_eq!(after.superseded, []);
    assert_eq!(first_word(&after, &Sha256([1; 32])), None);
    let spoken = spoke(&after, 2);
    assert!(!opens(&spoken, 1) && opens(&spoken, 2));
    assert_eq!((&spoken.next, &spoken.superseded[..]), (&None, &[Sha256([1; 32])][..]));
    assert_eq!(first_word(&spoken, &Sha256([2; 32])), None, "said once");
}

#[test]
fn a_repetition_gets_the_same_and_another_key_replaces_the_silent_one() {
    // Goal: a lost answer and a lost key both end well. Method: repeat; then another key under the same certificate.
    let (device, _) = enrolled();
    let after = renewed(&device, &renewal(1, 2), NOW);
    assert_eq!(renew(Some(&after), &renewal(1, 2), false, &TERMS, NOW), Ok(Renewed::Same(Sha256([2; 32]))));
    let anew = renewed(&after, &renewal(1, 3), NOW);
    assert!(opens(&anew, 1) && !opens(&anew, 2) && opens(&anew, 3));
    assert_eq!(refused(&anew, &renewal(2, 4), NOW), "superseded");
    let on = renewed(&anew, &renewal(3, 4), NOW);
    assert_eq!(
        on.identity.as_ref().map(|identity| identity.key),
        Some(Sha256([3; 32])),
        "asking is speaking"
    );
    assert!(!opens(&on, 1) && opens(&on, 3) && opens(&on, 4));
}

#[test]
fn an_ended_certificate_renews_within_its_grace_and_opens_nothing_else() {
    // Goal: E8. Method: the last second of grace and the one after; no grace at all.
    let (device, _) = enrolled();
    let end = device.identity.as_ref().expect("an identity").not_after;
    let last = end.plus_seconds(90 * 86_400);
    let telling = may(Some(&device), &Sha256([1; 32]), Access::Telling, end.plus_seconds(1));
    assert_eq!(telling, Err(device::Refused::Expired));
    let after = renewed(&device, &renewal(1, 2), last);
    assert!(may(Some(&after), &Sha256([2; 32]), Access::Telling, last).is_ok());
    assert_eq!(refused(&device, &renewal(1, 2), last.plus_seconds(1)), "expired");
    let none = Terms { grace_days: 0, ..TERMS };
    assert!(renew(Some(&device), &renewal(1, 2), false, &none, end).is_ok());
    assert!(renew(Some(&device), &renewal(1, 2), false, &none, end.plus_seconds(1)).is_err());
}

#[test]
fn each_refusal_has_its_own_word() {
    // Goal: an agent that reads one word knows what to do. Method: every state, a strange and a former certificate.
    let (device, _) = enrolled();
    let moved = |act| device.after(act, text("because"), NOW).expect("possible");
    assert_eq!(refused(&moved(Act::Quarantine), &renewal(1, 2), NOW), "quarantined");
    assert_eq!(refused(&moved(Act::Retire), &renewal(1, 2), NOW), "retired");
    assert_eq!(refused(&moved(Act::ReportLost), &renewal(1, 2), NOW), "lost");
    assert_eq!(refused(&device, &renewal(8, 2), NOW), "superseded");
    assert_eq!(
        renew(None, &renewal(1, 2), false, &TERMS, NOW).expect_err("unknown").code(),
        "unknown_device"
    );
    let other = Renewal { serial: text("B"), ..renewal(1, 2) };
    assert_eq!(refused(&device, &other, NOW), "serial_mismatch");
    let by_name = Renewal { serial: text(&device.id.to_string()), ..renewal(1, 2) };
    assert!(
        renew(Some(&device), &by_name, false, &TERMS, NOW).is_ok(),
        "the subject of our own certificates"
    );
    let released = moved(Act::Quarantine).after(Act::Release, text("clean"), NOW).expect("possible");
    assert!(renew(Some(&released), &renewal(1, 2), false, &TERMS, NOW).is_ok());
}

#[test]
fn the_same_key_goes_on_only_where_it_cannot_leave_its_chip() {
    // Goal: a new key each time, except in hardware. Method: a file, a token, and an owner who allows it to all.
    let (device, _) = enrolled();
    assert_eq!(refused(&device, &renewal(1, 1), NOW), "same_key");
    let allowed = Terms { same_key_renewal: true, ..TERMS };
    assert!(renew(Some(&device), &renewal(1, 1), false, &allowed, NOW).is_ok());
    for (protection, welcome) in [("file", false), ("pkcs11", true), ("tpm", true)] {
        let says = Device { report: Some(report(protection)), ..device.clone() };
        assert_eq!(renew(Some(&says), &renewal(1, 1), false, &TERMS, NOW).is_ok(), welcome, "{protection}");
    }
}

#[test]
fn a_doubt_keeps_renewal_waiting_until_a_person_has_chosen() {
    // Goal: no clone is re-keyed silently, and nobody is cut off. Method: a doubted device, two keys, one yes.
    let (device, _) = enrolled();
    let doubt = Doubt { kind: DoubtKind::Overlap, at: NOW, evidence: text("two wards") };
    let doubted = Device { doubt: Some(doubt), ..device };
    let Ok(Renewed::Wait(Some(noted))) = renew(Some(&doubted), &renewal(1, 2), false, &TERMS, NOW) else {
        panic!("should wait")
    };
    assert_eq!(noted.asking.as_ref().map(|asking| asking.with.as_str()), Some("renewal"));
    assert!(opens(&noted, 1));
    let yes = approve(&noted, &Sha256([2; 32]), "person:ines".to_string(), NOW).expect("asks");
    let other = renew(Some(&yes), &renewal(1, 3), false, &TERMS, NOW);
    assert_eq!(other, Ok(Renewed::Wait(None)));
    let after = renewed(&yes, &renewal(1, 2), NOW);
    assert_eq!((&after.doubt, &after.asking), (&None, &None));
    assert!(opens(&after, 1) && opens(&after, 2));
    let looked = cleared(&noted).expect("doubted");
    let after = renewed(&looked, &renewal(1, 3), NOW);
    assert!(after.asking.is_some(), "another key that asks is not forgotten by an ordinary renewal");
}

#[test]
fn what_a_person_chose_is_not_pushed_out_by_the_former_certificate() {
    // Goal: a copy of the old key cannot undo a person's choice. Method: a token that replaces gives key 2; the holder of
    // certificate 1 asks for key 3 before 2 has spoken; then a person says yes to 3 after all.
    let (device, _) = enrolled();
    let chosen = issued(ask(&request("A", 2), known(&for_serial("A", true), Some(&device)), NOW), NOW).device;
    let Ok(Renewed::Wait(Some(noted))) = renew(Some(&chosen), &renewal(1, 3), false, &TERMS, NOW) else {
        panic!("should wait")
    };
    assert!(opens(&noted, 2), "the chosen one lives");
    assert_eq!(renew(Some(&noted), &renewal(1, 3), false, &TERMS, NOW), Ok(Renewed::Wait(None)));
    let yes = approve(&noted, &Sha256([3; 32]), "person:ines".to_string(), NOW).expect("asks");
    let after = renewed(&yes, &renewal(1, 3), NOW);
    assert!(opens(&after, 1) && !opens(&after, 2) && opens(&after, 3));
    assert_eq!(after.replaced.len(), 1, "third parties hear of the one that was given up");
    let spoken = spoke(&after, 3);
    assert!(spoken.replaced.len() == 2 && !opens(&spoken, 1), "a person chose: the former is void");
    let long_after = NOW.plus_seconds(1001);
    let late = Terms { grace_days: 90, ..TERMS };
    let decided = renew(Some(&chosen), &renewal(1, 3), false, &late, long_after);
    assert!(
        matches!(decided, Ok(Renewed::Issue(_))),
        "a choice that never spoke is over with its certificate"
    );
}

#[test]
fn answers_that_a_device_loses_do_not_crowd_out_what_a_person_decided() {
    // Goal: the list for third parties keeps a stolen certificate. Method: a person replaces it; the new one speaks; then
    // more renewals without an answer than the list is long.
    let (device, _) = enrolled();
    let chosen = issued(ask(&request("A", 2), known(&for_serial("A", true), Some(&device)), NOW), NOW).device;
    let mut device = spoke(&chosen, 2);
    let listed = |device: &Device| device.replaced.iter().map(|gone| gone.leaf).collect::<Vec<_>>();
    assert_eq!(listed(&device), [Sha256([1; 32])]);
    for key in 3..20 {
        device = renewed(&device, &renewal(2, key), NOW);
    }
    assert_eq!(listed(&device), [Sha256([1; 32])]);
}

#[test]
fn a_denied_key_is_refused_on_renewal_too() {
    // Goal: a no is a no on every road. Method: a new key that was denied; one that was answered before.
    let (device, _) = enrolled();
    let denied = renew(Some(&device), &renewal(1, 2), true, &TERMS, NOW).expect_err("refused");
    assert_eq!(denied.code(), "approval_denied");
    let after = renewed(&device, &renewal(1, 2), NOW);
    assert_eq!(renew(Some(&after), &renewal(1, 2), true, &TERMS, NOW), Ok(Renewed::Same(Sha256([2; 32]))));
}

proptest! {
    #[test]
    fn in_any_sequence_the_last_certificate_that_spoke_works(
        steps in proptest::collection::vec((0_usize..4, any::<bool>(), any::<bool>()), 0..40)
    ) {
        // Goal: E10 on the server: one identity always works. Method: a device that asks with old or new keys under
        // what it holds, loses answers and forgets keys; whatever it spoke with last must still open its doors.
        let (mut server, _) = enrolled();
        let (mut spoken, mut fresh_key) = (1_u8, 1_u8);
        let mut held: Option<u8> = None;
        for (kind, answer_lost, forgets) in steps {
            match kind {
                0 | 1 => {
                    if kind == 0 || held.is_none() {
                        fresh_key = fresh_key.saturating_add(1);
                    }
                    let asked = renewal(spoken, fresh_key);
                    match renew(Some(&server), &asked, false, &TERMS, NOW) {
                        Ok(Renewed::Issue(renewing)) => server = renewing.with(asked.key, NOW, NOW.plus_seconds(9)),
                        Ok(Renewed::Same(leaf)) => prop_assert_eq!(leaf, asked.key),
                        other => prop_assert!(false, "{:?}", other),
                    }
                    if !answer_lost {
                        held = Some(fresh_key);
                    }
                }
                2 => {
                    let word = held.take().map(|leaf| (leaf, first_word(&server, &Sha256([leaf; 32]))));
                    if let Some((leaf, Some(after))) = word {
                        (server, spoken) = (after, leaf);
                    }
                }
                _ => if forgets { held = None },
            }
            prop_assert!(opens(&server, spoken), "{spoken} of {server:?}");
        }
    }
}
