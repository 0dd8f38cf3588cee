//! Splitting a list of devices into waves, for those who ask for a rollout and for those who sign its orders.
//!
//! Every device stands in one wave, in the order of the list, and no wave is empty. Nothing here knows of orders.
//! Read next: [`super::Wave`].

use alloc::string::String;
use alloc::vec::Vec;
use core::str::FromStr;

/// How large a wave is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Size {
    /// So many devices.
    Count(u32),
    /// So many of a hundred of all devices, and at least one.
    Percent(u32),
    /// All devices of this group that are left.
    Group(String),
    /// All that are left.
    Rest,
}

/// Why a list cannot be split so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// Not a size.
    #[error("`{0}` is no size of a wave: write 12, 10%, a ward's name behind `group:`, or rest")]
    Size(String),
    /// A wave without devices.
    #[error("wave {0} would have no device: take it out, or make an earlier one smaller")]
    Empty(usize),
    /// Devices are left over.
    #[error("{0} devices would stand in no wave: end with `rest`")]
    Left(usize),
}

impl FromStr for Size {
    type Err = SplitError;

    fn from_str(text: &str) -> Result<Self, SplitError> {
        let number = |digits: &str| digits.parse().map_err(|_| SplitError::Size(text.into()));
        match (text, text.strip_suffix('%'), text.strip_prefix("group:")) {
            ("rest", _, _) => Ok(Self::Rest),
            (_, _, Some(group)) if !group.is_empty() => Ok(Self::Group(group.into())),
            (_, Some(percent), _) => number(percent).map(Self::Percent),
            (_, None, _) => number(text).map(Self::Count),
        }
    }
}

/// Splits devices, each with the name of its group, into waves of these sizes.
///
/// # Errors
/// A wave would be empty, or devices would stand in none.
pub fn split<T: Clone>(devices: &[(T, &str)], sizes: &[Size]) -> Result<Vec<Vec<T>>, SplitError> {
    let mut left: Vec<&(T, &str)> = devices.iter().collect();
    let mut waves = Vec::new();
    for (index, size) in sizes.iter().enumerate() {
        let taken: Vec<&(T, &str)> = match size {
            Size::Count(count) => first(&mut left, usize::try_from(*count).unwrap_or(usize::MAX)),
            Size::Percent(percent) => {
                let share = devices.len().saturating_mul(usize::try_from(*percent).unwrap_or(100)) / 100;
                first(&mut left, share.max(usize::from(*percent > 0)))
            }
            Size::Group(group) => {
                let (taken, rest) = left.into_iter().partition(|(_, of)| of == group);
                left = rest;
                taken
            }
            Size::Rest => core::mem::take(&mut left),
        };
        if taken.is_empty() {
            return Err(SplitError::Empty(index + 1));
        }
        waves.push(taken.into_iter().map(|(device, _)| device.clone()).collect());
    }
    if left.is_empty() { Ok(waves) } else { Err(SplitError::Left(left.len())) }
}

fn first<T>(left: &mut Vec<T>, count: usize) -> Vec<T> {
    left.drain(..count.min(left.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn sizes(text: &str) -> Vec<Size> {
        text.split(',').map(|size| size.parse().expect("a size")).collect()
    }

    #[test]
    fn counts_shares_groups_and_the_rest_follow_the_list() {
        // Goal: waves as people write them. Method: a dozen devices of two wards; each way to go wrong.
        let devices: Vec<(u32, &str)> = (0..12).map(|n| (n, if n % 3 == 0 { "ICU" } else { "4B" })).collect();
        let waves = split(&devices, &sizes("2,25%,group:ICU,rest")).expect("splits");
        assert_eq!(waves, [vec![0, 1], vec![2, 3, 4], vec![6, 9], vec![5, 7, 8, 10, 11]]);
        assert_eq!(split(&devices, &sizes("12,rest")), Err(SplitError::Empty(2)));
        assert_eq!(split(&devices, &sizes("2,3")), Err(SplitError::Left(7)));
        assert_eq!(split(&devices, &sizes("1%,rest")).expect("splits")[0], [0], "a share is at least one");
        for wrong in ["", "many", "-1", "group:", "1.5%"] {
            assert_eq!(wrong.parse::<Size>(), Err(SplitError::Size(wrong.into())));
        }
    }

    proptest! {
        #[test]
        fn every_device_stands_in_one_wave_in_the_order_of_the_list(
            count in 0_u32..60, sizes in proptest::collection::vec(0_u32..30, 0..5), percent in any::<bool>()
        ) {
            let devices: Vec<(u32, &str)> = (0..count).map(|n| (n, "")).collect();
            let size = |n: u32| if percent { Size::Percent(n) } else { Size::Count(n) };
            let sizes: Vec<Size> = sizes.into_iter().map(size).chain([Size::Rest]).collect();
            if let Ok(waves) = split(&devices, &sizes) {
                prop_assert!(waves.iter().all(|wave| !wave.is_empty()));
                prop_assert_eq!(waves.concat(), (0..count).collect::<Vec<_>>());
            }
        }
    }
}
