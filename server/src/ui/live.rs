//! The live stream's contract with the script: which values change in place and how a page learns that it is stale.
//!
//! Two kinds of server-sent events on [`super::paths::EVENTS`]. `live`: a JSON object from the keys below to texts, at
//! least every 10 seconds and possibly empty; it is the sign of life that the foot of the navigation shows. `changed`:
//! a JSON array of addresses whose pages would now read differently; order and rows never move by themselves, the page
//! offers to show what is new. Without the stream or the script every page is still whole.

use std::collections::BTreeMap;

use super::words::number;

/// Keys of values that change in place: `data-live` in the templates.
pub mod key {
    /// All devices.
    pub const DEVICES: &str = "devices";
    /// Keys that wait for a person.
    pub const WAITING: &str = "waiting";
    /// Open findings.
    pub const FINDINGS: &str = "findings";
    /// Rollouts, or how many of them are halted.
    pub const ROLLOUTS: &str = "rollouts";
    /// Devices at critical risk.
    pub const CRITICAL: &str = "critical";
    /// Devices at high risk.
    pub const HIGH: &str = "high";
    /// Devices at medium risk.
    pub const MEDIUM: &str = "medium";
    /// Devices at low risk.
    pub const LOW: &str = "low";
}

/// The body of a `live` event.
#[must_use]
pub fn live_event(values: &BTreeMap<&'static str, u64>) -> String {
    let told: BTreeMap<&str, String> = values.iter().map(|(key, value)| (*key, number(*value))).collect();
    serde_json::to_string(&told).expect("a map of texts is JSON")
}

/// The body of a `changed` event.
#[must_use]
pub fn changed_event(addresses: &[String]) -> String {
    serde_json::to_string(addresses).expect("a list of texts is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_small_json() {
        // Goal: the script's parser and this writer agree. Method: golden bodies.
        let values = BTreeMap::from([(key::DEVICES, 4812), (key::CRITICAL, 63)]);
        assert_eq!(live_event(&values), "{\"critical\":\"63\",\"devices\":\"4,812\"}");
        assert_eq!(changed_event(&["/devices".into()]), "[\"/devices\"]");
    }
}
