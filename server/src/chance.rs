//! Chance: secrets, names and serial numbers from the kernel, and the jitter that keeps a fleet from marching in step.
//!
//! The only place of this package that draws random bytes for anything but files. Nothing here is seeded.

use cordon_proto::enrol::base64url;
use cordon_proto::limits;

/// Random bytes.
///
/// # Panics
/// If the kernel has no randomness to give: a server that cannot make secrets must not go on.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel gives randomness once it has started");
    bytes
}

/// A secret of `limits::TOKEN_BITS` random bits, base64url.
#[must_use]
pub fn secret() -> String {
    base64url(&random::<{ limits::TOKEN_BITS / 8 }>())
}

/// Between `base` and twice `base`, for `Retry-After`.
#[must_use]
pub fn jittered(base: u64) -> u64 {
    base.saturating_add(u64::from_be_bytes(random()) % base.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_differ_and_jitter_stays_in_its_range() {
        // Goal: at least 128 bits, and waits that spread. Method: two secrets; a thousand draws.
        let (one, two) = (secret(), secret());
        assert_ne!(one, two);
        assert_eq!(one.len(), 43);
        let draws: std::collections::BTreeSet<u64> = (0..1000).map(|_| jittered(5)).collect();
        assert_eq!(draws, (5..=10).collect());
    }
}
