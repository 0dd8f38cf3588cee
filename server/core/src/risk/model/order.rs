//! The orders that hold for every table of figures, a site's own too.
//!
//! Magnitudes are judgement and may be set; that a wider network, a worse harm or a known exploit weighs at least as much is
//! not. A table that turns one of these orders round is refused with both figures named. Read next: [`super::site`].

use super::{Model, ModelError};

/// A chain of figures, none of which may be above the next, and why.
pub const ORDERS: &[(&str, &[&str])] = &[
    ("a wider network reaches more", &["zone_isolated", "zone_segmented", "zone_flat", "zone_internet"]),
    ("more people come by", &["physical_locked_room", "physical_clinical_area", "physical_public"]),
    ("more people come by", &["local_locked_room", "local_clinical_area", "local_public"]),
    ("a local attack needs no hands on the device", &["physical_locked_room", "local_locked_room"]),
    ("a local attack needs no hands on the device", &["physical_clinical_area", "local_clinical_area"]),
    ("a local attack needs no hands on the device", &["physical_public", "local_public"]),
    ("a graver finding weighs more", &["finding_low", "finding_medium", "finding_high", "finding_critical"]),
    (
        "a worse harm weighs more",
        &[
            "severity_none",
            "severity_minor",
            "severity_serious",
            "severity_critical",
            "severity_life_supporting",
        ],
    ),
    ("more records weigh more", &["patient_data_none", "patient_data_limited", "patient_data_bulk"]),
    ("what ransomware uses is exploited", &["known_exploited_least", "ransomware_least"]),
    ("a longer silence weighs more", &["silent", "silent_long", "rolled_back"]),
    ("a longer silence weighs more", &["silent_days", "silent_long_days"]),
    ("patient data on the disk weighs more", &["disk_unencrypted", "disk_unencrypted_patient_data"]),
    ("the most is no less than the first year", &["os_ended", "os_ended_most"]),
    ("the most is no less than one period", &["behind_per_period", "behind_most"]),
    ("a return that nobody explains is graver than being behind", &["behind_most", "rolled_back"]),
];

/// Whether a table keeps every order.
pub(super) fn check(model: &Model) -> Result<(), ModelError> {
    for (why, chain) in ORDERS {
        for pair in chain.windows(2) {
            let [lower, upper] = pair else { continue };
            let value = |name: &str| model.figure(name).unwrap_or_default();
            let (lower_value, upper_value) = (value(lower), value(upper));
            if lower_value > upper_value {
                return Err(ModelError::Order { lower, lower_value, upper, upper_value, why });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::RISK_V1;
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn every_order_is_about_figures_that_exist_and_turning_one_round_is_refused() {
        // Goal: no site calls the internet safer than a ward. Method: each neighbouring pair of each chain, the upper one set to
        // below the lower one and, where the lower one is 0, the lower one above the upper one.
        for (why, chain) in ORDERS {
            for pair in chain.windows(2) {
                let (lower, upper) = (pair[0], pair[1]);
                let (low, high) = (RISK_V1.figure(lower).expect(lower), RISK_V1.figure(upper).expect(upper));
                assert!(low <= high, "{lower} {upper}");
                let turned = RISK_V1.with_all([(lower, high), (upper, low)]);
                let alone = RISK_V1.with(lower, high + 1);
                let refused = if low == high { alone } else { turned };
                let error = refused.expect_err(why).to_string();
                assert!(
                    error.contains(lower) || error.contains(upper) || error.contains("between"),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn a_refusal_names_both_figures_and_the_reason() {
        // Goal: whoever sets a figure knows what to do. Method: a flat network above the internet.
        let error = RISK_V1.with("zone_internet", 7000).expect_err("refused").to_string();
        assert_eq!(
            error,
            "zone_flat is 8000 and zone_internet is 7000: the first may not be above the second, because a wider network \
             reaches more; set both"
        );
    }
}
