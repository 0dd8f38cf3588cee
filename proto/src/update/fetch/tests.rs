//! The least rate, in all the ways a mirror may be slow; the cap; and the turns of mirrors.

use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

const STALL: Duration = Duration::from_secs(limits::DOWNLOAD_STALL_S);

/// Bytes received from a peer that sends a piece of `bytes` every `every`, until it is given up or a day is over.
fn endured(bytes: usize, every: Duration) -> (Duration, usize) {
    let (mut pace, mut time, mut got) = (Pace::new(STALL), Duration::ZERO, 0);
    while time < Duration::from_secs(86_400) {
        if pace.left() < every {
            return (time + pace.left(), got);
        }
        time += every;
        got += bytes;
        pace.received(bytes, every);
    }
    (time, got)
}

#[test]
fn a_byte_now_and_then_does_not_hold_a_device() {
    // Goal: slow retrieval ends within the stall limit. Method: one byte a second, and one just before each stall.
    assert_eq!(endured(1, Duration::from_secs(1)), (STALL, 30));
    assert_eq!(endured(1, Duration::from_secs(29)), (STALL, 1));
    assert_eq!(endured(0, Duration::from_secs(31)).0, STALL);
    // A burst buys no patience beyond its own stretch.
    let mut pace = Pace::new(STALL);
    pace.received(100_000_000, Duration::from_secs(1));
    assert_eq!(pace.left(), STALL);
    pace.received(1, STALL);
    assert_eq!(pace.left(), Duration::ZERO);
}

#[test]
fn a_slow_but_fair_line_is_endured_and_time_outside_the_wait_does_not_count() {
    // Goal: no false alarm on a poor line. Method: exactly the least rate for a day, in small and in large pieces.
    let rate = usize::try_from(limits::BODY_BYTES_PER_S).unwrap();
    for seconds in [1, 5, 30] {
        let day = endured(rate * seconds, Duration::from_secs(u64::try_from(seconds).unwrap()));
        assert_eq!(day.1, 86_400 * rate, "{seconds}");
    }
    assert_eq!(endured(rate - 1, Duration::from_secs(1)).0, STALL, "one byte a second too few");
}

proptest! {
    #[test]
    fn whoever_is_endured_sent_the_least_rate(pieces in prop::collection::vec((0_usize..60_000, 0_u64..31_000), 1..80)) {
        // Goal: the promise itself. Method: any pieces; of all the time that was waited, but for one stall, the rate holds.
        let (mut pace, mut waited, mut got) = (Pace::new(STALL), Duration::ZERO, 0_u64);
        for (bytes, ms) in pieces {
            let wait = Duration::from_millis(ms);
            if pace.left() < wait {
                break;
            }
            pace.received(bytes, wait);
            waited += wait;
            got += u64::try_from(bytes).unwrap();
        }
        let must = waited.saturating_sub(STALL).as_secs() * limits::BODY_BYTES_PER_S;
        prop_assert!(got >= must, "{} bytes in {:?}", got, waited);
    }
}

#[test]
fn each_mirror_has_one_turn_and_the_one_that_served_is_first() {
    // Goal: one good mirror among bad ones is enough, and nobody is asked for ever. Method: three, then one, then many.
    let mut mirrors = Mirrors::new(3);
    assert_eq!(mirrors.current(), 0);
    assert!(mirrors.failed());
    assert_eq!(mirrors.current(), 1);
    mirrors.served();
    assert!(mirrors.failed() && mirrors.failed(), "two others are left");
    assert!(!mirrors.failed(), "each had its turn");
    assert_eq!(mirrors.current(), 1, "and the next attempt begins where it last went well");
    assert!(mirrors.failed(), "it begins anew");
    let mut one = Mirrors::new(1);
    assert!(!one.failed());
    assert_eq!(one.current(), 0);
    assert!(!Mirrors::new(0).failed(), "none is like one");
    let mut many = Mirrors::new(1_000);
    assert_eq!((0..2_000).take_while(|_| many.failed()).count() + 1, limits::MIRRORS);
}

#[test]
fn a_mirror_is_asked_for_more_but_never_for_more_than_half_the_cap() {
    // Goal: a slow mirror gives way, a slow device is not its fault. Method: the rate demanded under several caps, by
    // the bytes for which the patience begins anew.
    let enough = |cap: Option<u64>, rate: u64| {
        let mut pace = Pace::with_mirror(STALL, cap);
        pace.received(usize::try_from(rate * limits::DOWNLOAD_STALL_S).unwrap(), Duration::from_secs(1));
        pace.left() == STALL
    };
    for (cap, rate) in [
        (None, limits::MIRROR_BYTES_PER_S),
        (Some(100_000_000), limits::MIRROR_BYTES_PER_S),
        (Some(40_000), 20_000),
    ] {
        assert!(enough(cap, rate) && !enough(cap, rate - 1), "{cap:?}");
    }
}

#[test]
fn a_capped_line_never_stalls_a_check_of_the_least_rate() {
    // Goal: the least rate respects the cap. Method: the lowest cap that may be configured, pieces that are there when
    // they are read; the pauses of the cap are no waiting for bytes.
    let cap = limits::IMAGE_KBIT_S_LEAST * 1000 / 8;
    let (mut pace, mut allowance, mut now) =
        (Pace::with_mirror(STALL, Some(cap)), Allowance::new(cap), Duration::from_secs(1));
    for _ in 0..10_000 {
        pace.received(16_384, Duration::from_millis(1));
        now += allowance.spend(16_384, now);
        assert!(pace.left() > Duration::from_secs(29));
    }
}

proptest! {
    #[test]
    fn whatever_comes_the_cap_holds_over_every_stretch_and_costs_no_more_than_it_must(
        rate in 1_u64..10_000_000, pieces in prop::collection::vec((0_usize..1_000_000, 0_u64..2_000), 1..60),
    ) {
        // Goal: the cap, and no pause beyond it. Method: any pieces after any lulls, each pause kept; then every stretch.
        let (mut allowance, mut now, mut came) = (Allowance::new(rate), Duration::from_secs(1), Vec::new());
        let (mut free, mut whole) = (Duration::from_secs(1), 0_u64);
        for (bytes, lull_ms) in pieces {
            now += Duration::from_millis(lull_ms);
            came.push((now, u64::try_from(bytes).unwrap()));
            whole += u64::try_from(bytes).unwrap();
            free += Duration::from_millis(lull_ms);
            now += allowance.spend(bytes, now);
        }
        let must = Duration::from_micros(whole * 1_000_000 / rate) + Duration::from_millis(1);
        prop_assert!(now <= free + must, "{:?} of {:?}", now, free + must);
        for (index, (from, _)) in came.iter().enumerate() {
            let mut sum = 0_u64;
            for (at, bytes) in &came[index..] {
                // A piece is paid for after it came, so the last one of a stretch is not bounded yet.
                let time = *at - *from + Duration::from_millis(limits::IMAGE_BURST_MS);
                let most = u128::from(rate) * time.as_nanos() / 1_000_000_000 + 1;
                prop_assert!(u128::from(sum) <= most, "{} in {:?}", sum, *at - *from);
                sum += bytes;
            }
        }
    }
}
