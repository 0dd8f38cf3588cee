//! Tests of whom a device believes at which time: slow clocks, fast ones, and strangers that a wrong clock hides.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use super::*;
use crate::clock::tests::Standing;
use crate::clock::{Clock, Floor};
use crate::fake::Authority;

const DAY_S: i64 = 86_400;

/// What a device says that believes `trusted` and reads this clock, above a floor of its own, when `shown` answers.
fn judged(
    (trusted, shown): (&Authority, &Authority),
    (clock, floor): (i64, i64),
    own_end: Option<i64>,
) -> Result<(), String> {
    let clock: Arc<dyn Clock> = Arc::new(Standing(AtomicI64::new(clock)));
    let clock = TrustedClock::new(clock, Floor::new(Some(Timestamp(floor))));
    let trust = Trust {
        pins: vec![trusted.pin()],
        roots: vec![trusted.root.clone()],
        clock,
        own_end: own_end.map(Timestamp),
    };
    let verifier = PinVerifier { trust, provider: Arc::new(provider()) };
    let (chain, _) = shown.server(false);
    let (end_entity, intermediates) = chain.split_first().expect("a chain");
    let name = "localhost".try_into().expect("a name");
    let verdict = verifier.verify_server_cert(end_entity, intermediates, &name, &[], UnixTime::now());
    verdict.map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_slow_clock_is_not_cut_off_and_a_certificate_that_ended_is_forgiven_to_a_doubtful_clock_alone() {
    // Goal: decision 0010, clocks. Method: a server certificate of one month; clocks around it, floors and own ends.
    let floor = Floor::new(None).at().0;
    let begins = floor + 100 * DAY_S;
    let server = Authority { server_life: (begins, begins + 30 * DAY_S), ..Authority::new() };
    let judged = |days: i64, floor_days: i64, own_end: Option<i64>| {
        let day = |days: i64| begins + days * DAY_S;
        judged((&server, &server), (day(days), day(floor_days)), own_end.map(day))
    };
    assert_eq!(judged(1, -90, None), Ok(()));
    assert_eq!(judged(-50, -90, None), Ok(()), "slow, and above its floor");
    assert_eq!(judged(-400, -90, None), Ok(()), "slow, and below its floor");
    assert_eq!(judged(-50, -90, Some(-60)), Ok(()), "slow, and beyond its own end all the same");
    let ended = judged(31, -90, None).expect_err("has ended");
    assert!(ended.contains("expired"), "an honest clock sees it: {ended}");
    assert_eq!(judged(31, -90, Some(30)), Ok(()), "a clock beyond its own end is doubtful");
    assert!(judged(31, 31, Some(30)).is_err(), "and the floor is not: the server itself said that time");
    assert!(judged(-400, 31, None).is_err(), "nor is it below it");
}

#[test]
fn inspection_in_the_way_is_named_whatever_the_clock_says() {
    // Goal: people look at the network, not at the clock. Method: a chain of another authority, shown to a slow clock, a
    // fast one and a right one.
    let floor = Floor::new(None).at().0;
    let begins = floor + 100 * DAY_S;
    let (ours, stranger) = (Authority::new(), Authority::new());
    let stranger = Authority { server_life: (begins, begins + 30 * DAY_S), ..stranger };
    for (days, own_end) in [(-50, None), (1, None), (31, Some(begins))] {
        let verdict = judged((&ours, &stranger), (begins + days * DAY_S, floor), own_end);
        let said = verdict.expect_err("is not ours");
        assert!(said.contains("ForeignChain"), "day {days}: {said}");
    }
}
