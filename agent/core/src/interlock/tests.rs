//! Leases that run out, owners that die, and the whole table of classes and states.
//!
//! Tests only; see [`super`].

use super::*;
use proptest::prelude::*;

const APP: Owner = Owner(1000);
const CLASSES: [InterlockClass; 4] =
    [InterlockClass::None, InterlockClass::Idle, InterlockClass::Person, InterlockClass::Application];
const STATES: [InterlockState; 4] =
    [InterlockState::InUse, InterlockState::Standby, InterlockState::Service, InterlockState::Unknown];

fn s(seconds: i64) -> Millis {
    Millis(seconds * 1000)
}

fn held(claim: Claim) -> Interlock {
    let mut interlock = Interlock::default();
    interlock.hold(Connection(1), APP, (claim, 60), s(0)).expect("held");
    interlock
}

#[test]
fn in_use_ends_by_word_or_becomes_unknown_with_its_lease_and_never_free() {
    // Goal: a dead or silent application leaves the device unknown. Method: lease and owner end in either order, and
    // one comes back in time.
    let mut silent = held(Claim::InUse);
    assert_eq!(silent.state(s(59)), InterlockState::InUse);
    assert_eq!(silent.state(s(60)), InterlockState::Unknown, "never renewed, though the process lives");
    silent.hold(Connection(1), APP, (Claim::InUse, 60), s(61)).expect("renewed");
    silent.gone(Connection(1), s(62));
    assert_eq!(silent.state(s(120)), InterlockState::InUse, "killed while holding, lease running");
    assert_eq!(silent.state(s(121)), InterlockState::Unknown, "killed, and the lease ran out");
}

#[test]
fn standby_and_service_end_with_their_lease_or_their_owner() {
    // Goal: freedom must be kept up. Method: each end alone.
    for (claim, state) in
        [(Claim::Standby, InterlockState::Standby), (Claim::Service, InterlockState::Service)]
    {
        let mut interlock = held(claim);
        assert_eq!(interlock.state(s(59)), state);
        assert_eq!(interlock.state(s(60)), InterlockState::Unknown, "not renewed");
        interlock.hold(Connection(1), APP, (claim, 60), s(61)).expect("renewed");
        assert_eq!(interlock.state(s(100)), state);
        interlock.gone(Connection(1), s(1));
        assert_eq!(interlock.state(s(100)), InterlockState::Unknown, "owner gone");
    }
}

#[test]
fn the_least_free_word_counts_and_no_word_is_unknown() {
    // Goal: several owners. Method: one after the other joins.
    let mut interlock = Interlock::default();
    assert_eq!(interlock.state(s(0)), InterlockState::Unknown);
    let mut say = |connection, claim| {
        interlock.hold(Connection(connection), Owner(1), (claim, 60), s(0)).expect("held");
        interlock.state(s(1))
    };
    assert_eq!(say(1, Claim::Standby), InterlockState::Standby);
    assert_eq!(say(2, Claim::Service), InterlockState::Service);
    assert_eq!(say(3, Claim::InUse), InterlockState::InUse);
    assert_eq!(say(3, Claim::Standby), InterlockState::Service);
    interlock.gone(Connection(1), s(1));
    assert_eq!(interlock.state(s(1)), InterlockState::Unknown, "one who said standby is gone");
}

#[test]
fn a_restarted_application_speaks_for_itself_again_and_others_cannot_release_it() {
    // Goal: no orphaned lock, and no stolen one. Method: die, come back; another user; root; a live holder.
    let mut interlock = held(Claim::InUse);
    interlock.gone(Connection(1), s(1));
    interlock.hold(Connection(2), Owner(7), (Claim::Standby, 600), s(70)).expect("held");
    assert_eq!(interlock.state(s(71)), InterlockState::Unknown, "another user's standby does not free it");
    interlock.hold(Connection(3), APP, (Claim::Standby, 600), s(72)).expect("held");
    assert_eq!(interlock.state(s(73)), InterlockState::Standby, "the application itself does");
    let mut orphan = held(Claim::InUse);
    orphan.gone(Connection(1), s(1));
    orphan.release(Connection(9), Owner(7), s(2));
    assert_eq!(orphan.leases().count(), 1, "another user");
    orphan.release(Connection(9), Owner(0), s(2));
    assert_eq!(orphan.leases().count(), 0, "root");
    let mut live = held(Claim::InUse);
    live.release(Connection(9), Owner(0), s(1));
    assert_eq!(live.state(s(1)), InterlockState::InUse, "nobody ends what is being held");
    live.release(Connection(1), APP, s(1));
    assert_eq!(live.state(s(1)), InterlockState::Unknown);
}

#[test]
fn leases_are_bounded_in_number_and_length() {
    // Goal: the limits page. Method: one lease too many, one ttl too long, a ttl of nothing.
    let mut interlock = Interlock::default();
    for connection in 0..u64::try_from(limits::INTERLOCK_LEASES).expect("small") {
        interlock.hold(Connection(connection), APP, (Claim::Standby, u32::MAX), s(0)).expect("held");
    }
    let more = interlock.hold(Connection(9999), APP, (Claim::InUse, 60), s(0));
    assert_eq!(more, Err(HoldError::TooMany));
    assert!(interlock.hold(Connection(0), APP, (Claim::InUse, 60), s(0)).is_ok(), "renewing is no new lease");
    let longest = s(i64::from(limits::INTERLOCK_TTL_MAX_S));
    assert!(interlock.leases().all(|lease| lease.until <= longest));
    let mut short = Interlock::default();
    short.hold(Connection(1), APP, (Claim::Standby, 0), s(0)).expect("held");
    assert_eq!(short.state(Millis(999)), InterlockState::Standby);
    assert_eq!(short.state(s(1)), InterlockState::Unknown);
}

/// Every way in which nobody may have said anything.
const SILENCES: [Silence; 4] = [
    Silence { released: false, idle: false },
    Silence { released: false, idle: true },
    Silence { released: true, idle: false },
    Silence { released: true, idle: true },
];

fn all() -> impl Iterator<Item = (InterlockClass, InterlockState, Silence)> {
    let states = || STATES.into_iter().flat_map(|state| SILENCES.map(|silence| (state, silence)));
    CLASSES.into_iter().flat_map(move |class| states().map(move |(state, silence)| (class, state, silence)))
}

#[test]
fn in_use_never_reboots_and_unknown_only_as_the_makers_class_says() {
    // Goal: the whole table. Method: every class, need, state and silence.
    for (class, state, silence) in all() {
        let unknown = match class {
            InterlockClass::None => true,
            InterlockClass::Idle => silence != SILENCES[0],
            InterlockClass::Person => silence.released,
            InterlockClass::Application => false,
        };
        let wanted = match state {
            InterlockState::InUse => false,
            InterlockState::Standby | InterlockState::Service => true,
            InterlockState::Unknown => unknown,
        };
        let said = (state, silence);
        assert_eq!(allows(class, Needs::None, said), wanted, "{class} {said:?}");
        assert_eq!(allows(class, Needs::Service, said), state == InterlockState::Service, "{class} {said:?}");
    }
}

#[test]
fn silence_is_long_enough_after_the_last_word_and_never_while_a_lease_runs() {
    // Goal: an idle kiosk, and not one that was left a moment ago. Method: nobody from the start; a lease that lapses, one
    // whose owner dies, one that is released; each to the second.
    let idle = limits::INTERLOCK_IDLE_S;
    let from = |interlock: &Interlock, since: i64| {
        assert!(!interlock.silence(s(since + idle - 1)).idle, "one second too early");
        assert!(interlock.silence(s(since + idle)).idle);
    };
    from(&Interlock::new(s(1000)), 1000);
    let mut used = Interlock::new(s(0));
    used.hold(Connection(1), APP, (Claim::InUse, 60), s(5000)).expect("held");
    from(&used, 5060);
    used.gone(Connection(1), s(5070));
    from(&used, 5070);
    used.release(Connection(1), APP, s(5100));
    from(&used, 5100);
}

#[test]
fn a_persons_release_stands_for_its_time_and_ends_with_the_next_use() {
    // Goal: yesterday's release is none. Method: to the second; in use, and the silence after it; a lease of no time and
    // one for ever.
    let mut interlock = Interlock::new(s(0));
    let mut at = |act: &mut dyn FnMut(&mut Interlock), seconds| {
        act(&mut interlock);
        interlock.silence(s(seconds)).released
    };
    assert!(!at(&mut |_| {}, 0));
    assert!(at(&mut |interlock| interlock.release_by_hand(3600, s(10)), 3609));
    assert!(!at(&mut |_| {}, 3610));
    assert!(at(&mut |interlock| interlock.release_by_hand(3600, s(4000)), 4001));
    let used = &mut |interlock: &mut Interlock| {
        interlock.hold(Connection(1), APP, (Claim::InUse, 60), s(4010)).expect("held");
        interlock.gone(Connection(1), s(4011));
    };
    assert!(!at(used, 4100), "in use since: the person's word is old");
    assert!(!at(&mut |interlock| interlock.release_by_hand(0, s(5000)), 5001));
    let longest = i64::from(limits::INTERLOCK_TTL_MAX_S);
    assert!(!at(&mut |interlock| interlock.release_by_hand(u32::MAX, s(6000)), 6000 + longest));
}

proptest! {
    #[test]
    fn no_local_class_is_looser_than_the_makers(a in 0..4_usize, b in 0..4_usize, c in proptest::option::of(0..4_usize)) {
        let class = in_force(CLASSES[a], CLASSES[b], c.map(|c| CLASSES[c]));
        prop_assert!(class >= CLASSES[a] && class >= CLASSES[b]);
        for (_, state, silence) in all() {
            let said = (state, silence);
            prop_assert!(!allows(class, Needs::None, said) || allows(CLASSES[a], Needs::None, said));
        }
    }

    #[test]
    fn whoever_said_in_use_and_did_not_take_it_back_keeps_the_device_from_being_free(
        steps in proptest::collection::vec((0..4_u64, 0..6_u8, 0..400_i64), 0..40),
    ) {
        let mut interlock = held(Claim::InUse);
        let mut now = 0;
        // Connection 1 never speaks again; others of other users come and go.
        for (connection, act, wait) in steps {
            now += wait;
            let (connection, owner) = (Connection(connection + 2), Owner(2000));
            match act {
                0 => drop(interlock.hold(connection, owner, (Claim::Standby, 600), s(now))),
                1 => drop(interlock.hold(connection, owner, (Claim::Service, 5), s(now))),
                2 => interlock.release(connection, owner, s(now)),
                5 => interlock.release_by_hand(3600, s(now)),
                3 => interlock.gone(connection, s(now)),
                _ => interlock.gone(Connection(1), s(now)),
            }
            let state = interlock.state(s(now));
            let said = (state, interlock.silence(s(now)));
            prop_assert!(!allows(InterlockClass::Application, Needs::None, said), "{said:?}");
        }
    }
}
