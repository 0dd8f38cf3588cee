//! Coverage: of which devices how much is known, and what nobody here can see.
//!
//! One pass over the fleet: by source, by what the sensor sees, with and without an inventory, with and without a model that
//! an advisory could name. What is not known is counted as not known, never left out. Read next: [`crate::device::Source`].

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::time::Timestamp;
use serde::Serialize;

use crate::device::{Device, Report, Source, State, is_unknown};

/// Seconds without a word after which an agent sees nothing for us.
pub const SILENT_S: i64 = 86_400;

/// What is known of one device.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its document.
    pub device: &'a Device,
    /// What it last said.
    pub report: Option<&'a Report>,
    /// The last authenticated request.
    pub seen: Option<Timestamp>,
    /// Whether its inventory is here.
    pub has_inventory: bool,
}

/// How much of a fleet is known. Devices that are still to come or whose use has ended are in no count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Devices.
    pub devices: u32,
    /// By how they are known: `agent`, `observed`, `imported`.
    pub sources: BTreeMap<&'static str, u32>,
    /// Of those with an agent: by the tier of the sensor (`tier-0`, `tier-1`), `blind`, or `unknown`.
    pub sensors: BTreeMap<String, u32>,
    /// Of those with an agent: without a word for a day.
    pub silent: u32,
    /// Devices whose list of software is here.
    pub with_inventory: u32,
    /// Devices without one of which maker, model and version are known, so that advisories about devices can be judged.
    pub with_version: u32,
    /// Devices without one of which maker and model are known, and no version: advisories name them, and nobody can say
    /// whether they are hit.
    pub with_model: u32,
    /// Devices of which not even maker and model are known: no advisory can ever name them.
    pub unmatchable: u32,
    /// Of those that a list names: left out of its last import.
    pub unlisted: u32,
    /// What cannot be seen, in sentences, the gravest first.
    pub blind_spots: Vec<String>,
}

/// Whether a device belongs to the fleet whose coverage is asked for.
#[must_use]
pub fn is_counted(device: &Device) -> bool {
    match device.state {
        State::Listed | State::Pending | State::Active | State::Quarantined | State::Lost => true,
        State::Expected | State::Retired => false,
    }
}

/// Counts a fleet. `feeds` are sentences about feeds of advisories that are stale or never came.
pub fn coverage<'a>(fleet: impl IntoIterator<Item = Seen<'a>>, feeds: &[String], now: Timestamp) -> Coverage {
    let mut all = Coverage::default();
    for source in [Source::Agent, Source::Observed, Source::Imported] {
        all.sources.insert(source.word(), 0);
    }
    for seen in fleet.into_iter().filter(|seen| is_counted(seen.device)) {
        all.add(&seen, now);
    }
    all.blind_spots = all.words(feeds);
    all
}

impl Coverage {
    fn add(&mut self, seen: &Seen<'_>, now: Timestamp) {
        let device = seen.device;
        self.devices += 1;
        *self.sources.entry(device.source.word()).or_default() += 1;
        if device.source == Source::Agent {
            let tier = match seen.report.map(|report| report.sensor.tier) {
                Some(Some(tier)) => alloc::format!("tier-{tier}"),
                Some(None) => "blind".to_string(),
                None => "unknown".to_string(),
            };
            *self.sensors.entry(tier).or_default() += 1;
            self.silent += u32::from(seen.seen.is_none_or(|seen| now.seconds_since(seen) >= SILENT_S));
        }
        let is_named = !is_unknown(&device.hardware.model) && !is_unknown(&device.hardware.manufacturer);
        let stated = seen.report.is_some_and(|report| report.software.release.is_some());
        let version = stated || device.asset.as_ref().is_some_and(|asset| asset.version.is_some());
        let place = match (seen.has_inventory, is_named, version) {
            (true, _, _) => &mut self.with_inventory,
            (false, true, true) => &mut self.with_version,
            (false, true, false) => &mut self.with_model,
            (false, false, _) => &mut self.unmatchable,
        };
        *place += 1;
        self.unlisted += u32::from(device.asset.as_ref().is_some_and(|asset| asset.unlisted.is_some()));
    }

    fn words(&self, feeds: &[String]) -> Vec<String> {
        let sensors = |name: &str| self.sensors.get(name).copied().unwrap_or(0);
        let unmeasured = self.devices.saturating_sub(self.sources.get("agent").copied().unwrap_or(0));
        let counted = [
            (self.unmatchable, "no maker or no model is known: no advisory can name them"),
            (
                self.with_model,
                "the model is known and no version: whether an advisory hits them cannot be said",
            ),
            (unmeasured, "no agent runs: nothing of them was measured, neither software nor behaviour"),
            (self.silent, "the agent has said nothing for a day: how they are now is not known"),
            (sensors("blind"), "the sensor is blind: what they do on the network is not seen"),
            (sensors("unknown"), "the sensor has not said what it sees"),
            (self.unlisted, "the list of assets that named them names them no more"),
        ];
        let said = counted.into_iter().filter(|(count, _)| *count > 0);
        let line = |(count, words): (u32, &str)| {
            let devices = if count == 1 { "device" } else { "devices" };
            alloc::format!("{count} {devices}: {words}")
        };
        said.map(line).chain(feeds.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use cordon_proto::ids::{Hardware, Text};
    use proptest::prelude::*;

    use super::*;
    use crate::device::AssetRecord;
    use crate::order_plan::fixture::{NOW, pump, runs};

    fn listed(maker: &str, version: Option<&str>) -> Device {
        let asset = AssetRecord {
            list: "cmms".parse().expect("a name"),
            tag: None,
            version: version.map(Text::lossy),
            department: None,
            ip: None,
            mac: None,
            imported: NOW,
            unlisted: None,
        };
        let known = pump("1");
        let hardware = Hardware { manufacturer: Text::lossy(maker), ..known.hardware.clone() };
        Device { hardware, source: Source::Imported, state: State::Listed, asset: Some(asset), ..known }
    }

    fn of(device: &Device, has_inventory: bool) -> Seen<'_> {
        Seen { device, report: device.report.as_ref(), seen: device.last_seen, has_inventory }
    }

    #[test]
    fn every_device_stands_in_one_count_and_what_cannot_be_seen_is_said() {
        // Goal: "what can we not see" in a minute. Method: one device of each kind.
        let agent = runs(pump("1"), 41);
        let silent = Device { last_seen: Some(NOW.plus_seconds(-SILENT_S)), ..pump("2") };
        let (versioned, modelled, nameless) =
            (listed("Halden", Some("4.1")), listed("Halden", None), listed("", None));
        let retired = Device { state: State::Retired, ..pump("3") };
        let fleet = [
            of(&agent, true),
            of(&silent, false),
            of(&versioned, false),
            of(&modelled, false),
            of(&nameless, false),
            of(&retired, true),
        ];
        let found = coverage(fleet, &["no advisories were ever imported".to_string()], NOW);
        assert_eq!(found.devices, 5);
        assert_eq!(found.sources, [("agent", 2), ("imported", 3), ("observed", 0)].into());
        assert_eq!(found.sensors, [("tier-0".to_string(), 1), ("unknown".to_string(), 1)].into());
        assert_eq!(
            (found.with_inventory, found.with_version, found.with_model, found.unmatchable),
            (1, 1, 2, 1)
        );
        assert_eq!(
            found.blind_spots,
            [
                "1 device: no maker or no model is known: no advisory can name them",
                "2 devices: the model is known and no version: whether an advisory hits them cannot be said",
                "3 devices: no agent runs: nothing of them was measured, neither software nor behaviour",
                "1 device: the agent has said nothing for a day: how they are now is not known",
                "1 device: the sensor has not said what it sees",
                "no advisories were ever imported",
            ]
        );
    }

    proptest! {
        #[test]
        fn the_counts_add_up(picks in prop::collection::vec((0_usize..5, any::<bool>()), 0..40)) {
            // Goal: nobody is lost between the counts. Method: random fleets.
            let kinds = [runs(pump("1"), 41), pump("2"), listed("Halden", Some("1")), listed("", None), Device { state: State::Expected, ..pump("4") }];
            let fleet = picks.iter().map(|(kind, has)| of(&kinds[*kind], *has));
            let found = coverage(fleet, &[], NOW);
            let expected = u32::try_from(picks.iter().filter(|(kind, _)| *kind != 4).count()).unwrap_or(0);
            prop_assert_eq!(found.devices, expected);
            prop_assert_eq!(found.sources.values().sum::<u32>(), expected);
            prop_assert_eq!(found.with_inventory + found.with_version + found.with_model + found.unmatchable, expected);
            prop_assert_eq!(found.sensors.values().sum::<u32>(), found.sources["agent"]);
        }
    }
}
