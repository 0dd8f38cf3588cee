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
    let unit = unit.max(1);
    let mut parts: Vec<u64> =
        shares.iter().map(|share| u64::try_from(share.weight / unit).unwrap_or(u64::MAX)).collect();
    let given = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(*part));
    let left = usize::try_from(total.saturating_sub(given)).unwrap_or(usize::MAX);
    let mut order: Vec<(usize, &Share<'_>)> = shares.iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| (b.weight % unit).cmp(&(a.weight % unit)).then_with(|| a.id.cmp(b.id)));
    for (index, _) in order.into_iter().take(left) {
        if let Some(part) = parts.get_mut(index) {
            *part += 1;
        }
    }
    parts
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
