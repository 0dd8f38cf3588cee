//! How often one client may ask: a bucket for each, refilled evenly.
//!
//! One number a client (the generic cell rate algorithm, ITU-T I.371), so that a table of many costs little; the
//! table itself is bounded. It decides nothing but "now or later".

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use cordon_proto::time::Millis;

/// Clients remembered at once.
const CLIENTS: usize = 65_536;

/// Buckets by client.
#[derive(Debug)]
pub struct Rates<K> {
    burst: i64,
    interval_ms: i64,
    full_at: Mutex<HashMap<K, i64>>,
}

impl<K: Eq + Hash> Rates<K> {
    /// At most `burst` in a row, and `per_minute` in the long run.
    #[must_use]
    pub fn new(burst: u32, per_minute: u32) -> Self {
        let interval_ms = 60_000 / i64::from(per_minute.max(1));
        Self { burst: i64::from(burst.max(1)), interval_ms: interval_ms.max(1), full_at: Mutex::default() }
    }

    /// Takes one out of the bucket, or says how many seconds to wait for the next.
    pub fn take(&self, client: K, now: Millis) -> Result<(), u64> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= CLIENTS {
            full_at.retain(|_, at| *at > now.0);
        }
        if full_at.len() >= CLIENTS {
            // More clients than anybody has: they all wait a moment, and the table stays small.
            full_at.clear();
        }
        let at = full_at.get(&client).copied().unwrap_or(now.0).max(now.0);
        let missing = self.missing(at, now);
        if missing > 0 {
            return Err(whole_seconds(missing));
        }
        full_at.insert(client, at.saturating_add(self.interval_ms));
        Ok(())
    }

    /// Whether the bucket has one left, without taking it.
    pub fn check(&self, client: &K, now: Millis) -> Result<(), u64> {
        let full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let at = full_at.get(client).copied().unwrap_or(now.0).max(now.0);
        let missing = self.missing(at, now);
        if missing > 0 { Err(whole_seconds(missing)) } else { Ok(()) }
    }

    /// Milliseconds until one more may be taken from a bucket that is full at `at`.
    fn missing(&self, at: i64, now: Millis) -> i64 {
        let after = at.saturating_add(self.interval_ms).saturating_sub(now.0);
        after.saturating_sub(self.burst.saturating_mul(self.interval_ms))
    }
}

/// The client behind an address: one who has a whole IPv6 network (RFC 6177: a /64 at least) is still one.
#[must_use]
pub fn client(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => match six.to_ipv4_mapped() {
            Some(four) => four.into(),
            None => std::net::Ipv6Addr::from_bits(six.to_bits() >> 64 << 64).into(),
        },
    }
}

fn whole_seconds(milliseconds: i64) -> u64 {
    u64::try_from(milliseconds.saturating_add(999) / 1000).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_is_followed_by_an_even_trickle() {
        // Goal: burst and refill. Method: three at once, a fourth refused with the time to wait, then one a minute/60.
        let rates = Rates::new(3, 60);
        for _ in 0..3 {
            assert_eq!(rates.take("a", Millis(0)), Ok(()));
        }
        assert_eq!(rates.take("a", Millis(0)), Err(1));
        assert_eq!(rates.check(&"a", Millis(999)), Err(1));
        assert_eq!(rates.take("b", Millis(0)), Ok(()), "clients do not share a bucket");
        assert_eq!(rates.take("a", Millis(1000)), Ok(()));
        assert_eq!(rates.take("a", Millis(1001)), Err(1));
        assert_eq!(rates.check(&"a", Millis(60_000)), Ok(()), "a check takes nothing");
        assert_eq!(rates.check(&"a", Millis(60_000)), Ok(()));
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        // Goal: nobody gets 2^64 buckets. Method: two addresses of a /64, one mapped address.
        let of = |text: &str| client(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    proptest! {
        #[test]
        fn in_any_stretch_no_more_than_burst_and_trickle_pass(
            burst in 1_u32..20, per_minute in 1_u32..600, gaps in proptest::collection::vec(0_i64..5000, 1..200)
        ) {
            let rates = Rates::new(burst, per_minute);
            let (mut now, mut passed) = (0, 0_i64);
            for gap in gaps {
                now += gap;
                passed += i64::from(rates.take((), Millis(now)).is_ok());
                let interval = 60_000 / i64::from(per_minute);
                prop_assert!(passed <= i64::from(burst) + now / interval);
            }
        }
    }
}
