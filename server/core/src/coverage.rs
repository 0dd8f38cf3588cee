//! Coverage: of which devices how much is known, and what nobody here can see.
//!
//! One pass over the fleet: by source, by what the sensor sees, with and without an inventory, with and without a model that
//! an advisory could name. What is not known is counted as not known, never left out. Read next: [`crate::device::Source`].

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::ids::Name;
use cordon_proto::time::Timestamp;
use serde::Serialize;

use crate::device::{Device, Report, Source, State, is_unknown};
use crate::feeds::age::Age;
use crate::feeds::intake::{Feed, Kind};

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
    /// Feeds behind which nothing is seen: too old, not readable, or never imported.
    pub feeds: Vec<FeedGap>,
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

/// A feed behind which nothing is seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeedGap {
    /// Its name; of a kind that never came none.
    pub feed: Option<String>,
    /// What it holds.
    pub kind: &'static str,
    /// `stale`, `ahead`, `unreadable` or `never`.
    pub why: &'static str,
    /// How old it is, in whole days, where that is known.
    pub age_days: Option<i64>,
    /// What that hides, in a sentence.
    pub words: String,
}

/// What the feeds of a server hide: those that are too old or of a day to come, those whose file cannot be read, and kinds that
/// never came.
#[must_use]
pub fn feed_gaps(feeds: &[Feed], unreadable: &BTreeMap<Name, String>, now: Timestamp) -> Vec<FeedGap> {
    let gap = |feed: &Feed| gap_of(feed, unreadable.get(&feed.name).map(String::as_str), now);
    let mut gaps: Vec<FeedGap> = feeds.iter().filter_map(gap).collect();
    gaps.sort_by(|a, b| b.age_days.cmp(&a.age_days).then_with(|| a.feed.cmp(&b.feed)));
    let has = |kind: Kind| feeds.iter().any(|feed| feed.kind == kind);
    let has_packages = has(Kind::Osv) || has(Kind::Debian);
    let never = NEVER.into_iter().filter(|(kind, _)| !(has(*kind) || *kind == Kind::Osv && has_packages));
    gaps.extend(never.map(|(kind, words)| FeedGap {
        feed: None,
        kind: kind.word(),
        why: "never",
        age_days: None,
        words: words.to_string(),
    }));
    gaps
}

/// What is not known where a kind of feed never came. Of advisories about packages one kind is enough.
const NEVER: [(Kind, &str); 5] = [
    (
        Kind::Osv,
        "advisories about packages (osv or debian) were never imported: what installed software has cannot be said",
    ),
    (
        Kind::Csaf,
        "advisories about devices (csaf) were never imported: devices without a list of software cannot be held against anything",
    ),
    (Kind::Kev, "CISA's catalogue (kev) was never imported: which weaknesses are exploited is not known"),
    (Kind::Epss, "FIRST's chances (epss) were never imported: how likely an attack is is assumed"),
    (
        Kind::Eol,
        "ends of life (eol) were never imported: which systems are repaired no more is known only where they say so themselves",
    ),
];

fn gap_of(feed: &Feed, unreadable: Option<&str>, now: Timestamp) -> Option<FeedGap> {
    let (name, kind, age) = (&feed.name, feed.kind.word(), feed.age(now));
    let (why, words) = match (unreadable, age) {
        (Some(error), _) => (
            "unreadable",
            alloc::format!("feed {name} cannot be read ({error}): what it spoke of is unknown"),
        ),
        (None, Age::Stale { days }) if feed.kind.ages() => (
            age.word(),
            alloc::format!(
                "feed {name} ({kind}) is {days} days old: what was published since is not known here"
            ),
        ),
        (None, Age::Ahead | Age::Undated) if feed.kind.ages() => (
            age.word(),
            alloc::format!(
                "feed {name} ({kind}) does not say credibly of when it is: how old it is is not known"
            ),
        ),
        (None, Age::Fresh { .. } | Age::Stale { .. } | Age::Ahead | Age::Undated) => return None,
    };
    Some(FeedGap { feed: Some(name.to_string()), kind, why, age_days: age.days(), words })
}

/// Counts a fleet, beside what its feeds hide; `told` are further sentences: of lists of assets that are old, of a SIEM that
/// takes nothing.
pub fn coverage<'a>(
    fleet: impl IntoIterator<Item = Seen<'a>>,
    feeds: Vec<FeedGap>,
    told: &[String],
    now: Timestamp,
) -> Coverage {
    let mut all = Coverage::default();
    for source in [Source::Agent, Source::Observed, Source::Imported] {
        all.sources.insert(source.word(), 0);
    }
    for seen in fleet.into_iter().filter(|seen| is_counted(seen.device)) {
        all.add(&seen, now);
    }
    all.feeds = feeds;
    all.blind_spots = all.words(told);
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

    fn words(&self, told: &[String]) -> Vec<String> {
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
        let feeds = self.feeds.iter().map(|gap| gap.words.clone());
        said.map(line).chain(feeds).chain(told.iter().cloned()).collect()
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
        let feeds = feed_gaps(&[], &BTreeMap::new(), NOW).into_iter().take(1).collect();
        let found = coverage(fleet, feeds, &["the asset list cmms is 99 days old".to_string()], NOW);
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
                "advisories about packages (osv or debian) were never imported: what installed software has cannot be said",
                "the asset list cmms is 99 days old",
            ]
        );
    }

    fn feed(name: &str, kind: Kind, days: i64) -> Feed {
        let body = alloc::format!(
            r#"{{"v":1,"name":"{name}","kind":"{}","sha256":"{}","length":1,"as_of":{},"dated_by":"feed","received":0,"by":"x","records":1}}"#,
            kind.word(),
            cordon_proto::ids::Sha256([1; 32]),
            NOW.0 - days * 86_400
        );
        Feed::from_body(body.as_bytes()).expect("a feed")
    }

    #[test]
    fn an_old_feed_is_a_blind_spot_with_its_age_and_so_is_one_that_cannot_be_read_or_never_came() {
        // Goal: nobody takes silence of last month for safety. Method: a fresh feed, a stale one, one of tomorrow's tomorrow, one
        // whose file is gone, a maker's statements of years ago; three kinds that never came.
        let feeds = [
            feed("kev", Kind::Kev, 1),
            feed("debian", Kind::Debian, 12),
            feed("epss", Kind::Epss, -3),
            feed("icsma", Kind::Csaf, 1),
            feed("vex", Kind::Vex, 900),
        ];
        let gone = BTreeMap::from([("icsma".parse().expect("a name"), "it is not here".to_string())]);
        let gaps = feed_gaps(&feeds, &gone, NOW);
        let told: Vec<_> = gaps.iter().map(|gap| (gap.kind, gap.why, gap.age_days)).collect();
        assert_eq!(
            told,
            [
                ("debian", "stale", Some(12)),
                ("csaf", "unreadable", Some(1)),
                ("epss", "ahead", None),
                ("eol", "never", None)
            ]
        );
        assert_eq!(
            gaps[0].words,
            "feed debian (debian) is 12 days old: what was published since is not known here"
        );
        let words = coverage([], gaps, &[], NOW).blind_spots;
        assert!(words[0].contains("12 days old") && words[1].contains("it is not here"), "{words:?}");
    }

    proptest! {
        #[test]
        fn the_counts_add_up(picks in prop::collection::vec((0_usize..5, any::<bool>()), 0..40)) {
            // Goal: nobody is lost between the counts. Method: random fleets.
            let kinds = [runs(pump("1"), 41), pump("2"), listed("Halden", Some("1")), listed("", None), Device { state: State::Expected, ..pump("4") }];
            let fleet = picks.iter().map(|(kind, has)| of(&kinds[*kind], *has));
            let found = coverage(fleet, Vec::new(), &[], NOW);
            let expected = u32::try_from(picks.iter().filter(|(kind, _)| *kind != 4).count()).unwrap_or(0);
            prop_assert_eq!(found.devices, expected);
            prop_assert_eq!(found.sources.values().sum::<u32>(), expected);
            prop_assert_eq!(found.with_inventory + found.with_version + found.with_model + found.unmatchable, expected);
            prop_assert_eq!(found.sensors.values().sum::<u32>(), found.sources["agent"]);
        }
    }
}
