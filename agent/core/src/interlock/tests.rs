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
fn in_use_outlives_its_lease_while_its_owner_lives_and_its_owner_while_the_lease_runs() {
    // Goal: in use ends by word only; then unknown, never free. Method: lease and owner end in either order.
    let mut alive = held(Claim::InUse);
    assert_eq!(alive.state(s(59)), InterlockState::InUse);
    assert_eq!(alive.state(s(86_400)), InterlockState::InUse, "never renewed, but the process lives");
    alive.gone(Connection(1));
    assert_eq!(alive.state(s(59)), InterlockState::InUse, "killed while holding, lease running");
    assert_eq!(alive.state(s(60)), InterlockState::Unknown, "killed, and the lease ran out");
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
        interlock.gone(Connection(1));
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
    interlock.gone(Connection(1));
    assert_eq!(interlock.state(s(1)), InterlockState::Unknown, "one who said standby is gone");
}

#[test]
fn a_restarted_application_speaks_for_itself_again_and_others_cannot_release_it() {
    // Goal: no orphaned lock, and no stolen one. Method: die, come back; another user; root; a live holder.
    let mut interlock = held(Claim::InUse);
    interlock.gone(Connection(1));
    interlock.hold(Connection(2), Owner(7), (Claim::Standby, 600), s(70)).expect("held");
    assert_eq!(interlock.state(s(71)), InterlockState::Unknown, "another user's standby does not free it");
    interlock.hold(Connection(3), APP, (Claim::Standby, 600), s(72)).expect("held");
    assert_eq!(interlock.state(s(73)), InterlockState::Standby, "the application itself does");
    let mut orphan = held(Claim::InUse);
    orphan.gone(Connection(1));
    orphan.release(Connection(9), Owner(7));
    assert_eq!(orphan.leases().count(), 1, "another user");
    orphan.release(Connection(9), Owner(0));
    assert_eq!(orphan.leases().count(), 0, "root");
    let mut live = held(Claim::InUse);
    live.release(Connection(9), Owner(0));
    assert_eq!(live.state(s(1)), InterlockState::InUse, "nobody ends what is being held");
    live.release(Connection(1), APP);
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

#[test]
fn in_use_never_reboots_and_unknown_only_where_the_maker_asks_nobody() {
    // Goal: the whole table. Method: every class, need and state.
    for (class, state) in CLASSES.into_iter().flat_map(|class| STATES.map(|state| (class, state))) {
        let strict = class >= InterlockClass::Person;
        let wanted = match state {
            InterlockState::InUse => false,
            InterlockState::Standby | InterlockState::Service => true,
            InterlockState::Unknown => !strict,
        };
        assert_eq!(allows(class, Needs::None, state), wanted, "{class} {state:?}");
        assert_eq!(
            allows(class, Needs::Service, state),
            state == InterlockState::Service,
            "{class} {state:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_local_class_is_looser_than_the_makers(a in 0..4_usize, b in 0..4_usize, c in proptest::option::of(0..4_usize)) {
        let class = in_force(CLASSES[a], CLASSES[b], c.map(|c| CLASSES[c]));
        prop_assert!(class >= CLASSES[a] && class >= CLASSES[b]);
        for state in STATES {
            prop_assert!(!allows(class, Needs::None, state) || allows(CLASSES[a], Needs::None, state));
        }
    }

    #[test]
    fn whoever_said_in_use_and_did_not_take_it_back_keeps_the_device_from_being_free(
        steps in proptest::collection::vec((0..4_u64, 0..5_u8, 0..400_i64), 0..40),
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
                2 => interlock.release(connection, owner),
                3 => interlock.gone(connection),
                _ => interlock.gone(Connection(1)),
            }
            let state = interlock.state(s(now));
            prop_assert!(!allows(InterlockClass::Application, Needs::None, state), "{state:?}");
        }
    }
}
