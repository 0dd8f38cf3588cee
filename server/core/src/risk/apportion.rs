//! Sharing a whole number out in proportion, so that the shares sum to it exactly (largest remainder, Hamilton 1792).
//!
//! Integers only; equal remainders go by identity, so the order of the input changes nothing. Used for the hundredths
//! and for the whole points of a score. Read next: [`super::score`].

use alloc::vec::Vec;

/// One claimant: its exact part is `weight / unit`.
#[derive(Clone, Copy, Debug)]
pub struct Share<'a> {
    /// Numerator of the exact part.
    pub weight: u128,
    /// Decides between equal remainders: the smaller text first.
    pub id: &'a str,
}

/// Shares `total` out over `shares`, whose exact parts are `weight / unit`; the result is in the order of `shares`.
///
/// Each claimant gets its part rounded down or one more. `total` must lie between the sum of the parts rounded down
/// and that sum plus the number of claimants, which holds for the sum of the parts itself, rounded either way.
#[must_use]
pub fn apportion(total: u64, shares: &[Share<'_>], unit: u128) -> Vec<u64> {
    let mut claims: Vec<Claim<'_>> = Claim::all(shares.iter().copied(), unit).collect();
    give_rest(total, &mut claims);
    claims.sort_by_key(|claim| claim.place);
    claims.into_iter().map(|claim| claim.part).collect()
}

/// The same for a number of claimants that is known beforehand, without asking for memory.
#[must_use]
pub fn apportion_few<const N: usize>(total: u64, shares: [Share<'_>; N], unit: u128) -> [u64; N] {
    let mut place = 0;
    let mut claims = shares.map(|share| {
        place += 1;
        Claim::of(place, share, unit)
    });
    give_rest(total, &mut claims);
    claims.sort_unstable_by_key(|claim| claim.place);
    claims.map(|claim| claim.part)
}

/// A claimant with its part rounded down and what is left over.
struct Claim<'a> {
    place: usize,
    part: u64,
    rest: u128,
    id: &'a str,
}

impl<'a> Claim<'a> {
    fn of(place: usize, share: Share<'a>, unit: u128) -> Self {
        let unit = unit.max(1);
        // Long numbers are divided once, and a part of nothing not at all.
        let part = if share.weight == 0 { 0 } else { share.weight / unit };
        let rest = share.weight - part * unit;
        Self { place, part: u64::try_from(part).unwrap_or(u64::MAX), rest, id: share.id }
    }

    fn all(shares: impl Iterator<Item = Share<'a>>, unit: u128) -> impl Iterator<Item = Self> {
        shares.enumerate().map(move |(place, share)| Self::of(place, share, unit))
    }
}

/// Gives what is left of the total to the greatest remainders, one each.
fn give_rest(total: u64, claims: &mut [Claim<'_>]) {
    let given = claims.iter().fold(0_u64, |sum, claim| sum.saturating_add(claim.part));
    let left = usize::try_from(total.saturating_sub(given)).unwrap_or(usize::MAX);
    if left == 0 {
        return;
    }
    claims.sort_unstable_by(|a, b| {
        b.rest.cmp(&a.rest).then_with(|| a.id.cmp(b.id)).then(a.place.cmp(&b.place))
    });
    claims.iter_mut().take(left).for_each(|claim| claim.part += 1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use proptest::prelude::*;

    #[test]
    fn equal_remainders_go_to_the_smaller_identity() {
        // Goal: no dependence on input order. Method: three equal claims on two units, given backwards.
        let shares = ["c", "b", "a"].map(|id| Share { weight: 2, id });
        assert_eq!(apportion(2, &shares, 3), [0, 1, 1]);
        assert!(apportion(0, &[], 3).is_empty());
    }

    proptest! {
        #[test]
        fn shares_sum_to_the_total_and_lie_within_one_of_their_part(
            weights in proptest::collection::vec(0_u64..1_000_000_000, 1..40), unit in 1_u64..1_000_000, up in any::<bool>()
        ) {
            let ids: Vec<String> = (0..weights.len()).map(|n| format!("{n:03}")).collect();
            let shares: Vec<Share<'_>> =
                weights.iter().zip(&ids).map(|(w, id)| Share { weight: u128::from(*w), id }).collect();
            let sum: u64 = weights.iter().sum();
            let total = if up { sum.div_ceil(unit) } else { sum / unit };
            let parts = apportion(total, &shares, u128::from(unit));
            prop_assert_eq!(parts.iter().sum::<u64>(), total);
            for (part, weight) in parts.iter().zip(&weights) {
                prop_assert!(*part == weight / unit || *part == weight / unit + 1);
            }
        }
    }
}
