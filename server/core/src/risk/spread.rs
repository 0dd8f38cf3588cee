//! Which versions run, by model: how many devices run each release, how far behind it is, and how long it is supported.
//!
//! What a device says of its own software is the truth here; a device that never said anything is a row of its own, and so is a
//! release that no maker's list knows. Read next: [`super::support`] for the stages.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::ids::Text;
use cordon_proto::time::Timestamp;
use serde::Serialize;

use super::support::Support;
use crate::import::KnownRelease;

/// What a device runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Runs {
    /// Its counter; none where the device never said.
    pub counter: Option<u64>,
    /// The release's name, as the device says.
    pub release: Option<String>,
}

/// Devices of one model that run the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The model.
    pub model: String,
    /// The release; none where nobody knows it.
    pub release: Option<String>,
    /// Its counter; none where nobody knows what runs.
    pub counter: Option<u64>,
    /// Devices that run it.
    pub devices: u32,
    /// Releases of the model that are listed and newer.
    pub newer: u32,
    /// Whether its maker lists it.
    pub listed: bool,
    /// Its maker's support.
    #[serde(flatten)]
    pub support: Support,
    /// Whole days until something of the support ends.
    pub days_left: Option<i64>,
    /// Whether that is within a year.
    pub ending: bool,
}

/// Devices counted by model and by what they run.
#[derive(Clone, Debug, Default)]
pub struct Spread {
    counted: BTreeMap<(Text, Runs), u32>,
}

impl Spread {
    /// Counts a device in.
    pub fn add(&mut self, model: &Text, runs: Runs) {
        *self.counted.entry((model.clone(), runs)).or_default() += 1;
    }

    /// The rows, by model, the newest release first, what nobody knows last.
    #[must_use]
    pub fn rows(&self, releases: &[KnownRelease], now: Timestamp) -> Vec<Row> {
        let mut rows: Vec<Row> = self
            .counted
            .iter()
            .map(|((model, runs), devices)| row(model, runs, *devices, releases, now))
            .collect();
        rows.sort_by(|a, b| {
            a.model.cmp(&b.model).then(b.counter.cmp(&a.counter)).then(a.release.cmp(&b.release))
        });
        rows
    }
}

fn row(model: &Text, runs: &Runs, devices: u32, releases: &[KnownRelease], now: Timestamp) -> Row {
    let of_model = || releases.iter().filter(|known| known.model == *model);
    let known = running(of_model(), runs);
    let newer = of_model()
        .filter(|known| known.listed && runs.counter.is_some_and(|own| known.counter > own))
        .count();
    let stated = known.and_then(KnownRelease::stated);
    let support = stated.map(|release| Support::of(&release.support, now)).unwrap_or_default();
    Row {
        model: model.to_string(),
        release: known.map(|known| known.release.to_string()).or_else(|| runs.release.clone()),
        counter: runs.counter,
        devices,
        newer: u32::try_from(newer).unwrap_or(u32::MAX),
        listed: known.is_some_and(|known| known.listed),
        support,
        days_left: support.days_left(now),
        ending: support.is_ending(now),
    }
}

/// The release that a device of its model runs: by its own name for it, else by the counter alone.
pub fn running<'a>(
    mut of_model: impl Iterator<Item = &'a KnownRelease> + Clone,
    runs: &Runs,
) -> Option<&'a KnownRelease> {
    let counter = runs.counter?;
    let named = |known: &&KnownRelease| runs.release.as_deref() == Some(known.release.as_str());
    let found = of_model.clone().find(|known| known.counter == counter && named(known));
    found.or_else(|| of_model.find(|known| known.counter == counter && runs.release.is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::examples::{NOW, days_ago};
    use crate::risk::support::Stage;
    use cordon_proto::ids::Sha256;

    fn release(counter: u64, listed: bool, support: &str) -> KnownRelease {
        KnownRelease {
            v: 1,
            repository: "halden".parse().expect("a name"),
            release: alloc::format!("vp-3/4.{counter}").parse().expect("a path"),
            model: Text::lossy("VP-3"),
            counter,
            floor: 0,
            sha256: Sha256([1; 32]),
            length: 1,
            imported: days_ago(9),
            listed,
            statement: alloc::format!(
                r#"{{"confirm":"local","counter":{counter},"deltas":[],"floor":0,"hardware":["C"],"interlock":"none","min_from":0,"model":"VP-3","mud":null,"needs":"none","recall":"none","sbom":null,"support":{support},"v":1,"vex":null}}"#
            ),
            signers: Vec::new(),
            expires: None,
            forms: BTreeMap::new(),
        }
    }

    #[test]
    fn versions_are_counted_by_model_with_their_support() {
        // Goal: who runs what, and until when it is repaired. Method: two releases, one delisted, one unknown, one silent device.
        let releases = [
            release(41, false, r#"{"security":"2026-01-01T00:00:00Z"}"#),
            release(42, true, r#"{"security":"2027-06-01T00:00:00Z"}"#),
            release(43, true, "{}"),
        ];
        let model = Text::lossy("VP-3");
        let runs = |counter: Option<u64>, name: Option<&str>| Runs { counter, release: name.map(Into::into) };
        let mut spread = Spread::default();
        for (counter, name, times) in [
            (Some(41), Some("vp-3/4.41"), 2),
            (Some(42), None, 1),
            (Some(40), Some("vp-3/own"), 1),
            (None, None, 1),
        ] {
            (0..times).for_each(|_| spread.add(&model, runs(counter, name)));
        }
        spread.add(&model, runs(Some(43), Some("vp-3/4.43")));
        let rows = spread.rows(&releases, NOW);
        let seen: Vec<_> = rows
            .iter()
            .map(|row| (row.counter, row.devices, row.newer, row.listed, row.support.stage, row.ending))
            .collect();
        assert_eq!(
            seen,
            [
                (Some(43), 1, 0, true, Stage::Unknown, false),
                (Some(42), 1, 1, true, Stage::Supported, true),
                (Some(41), 2, 2, false, Stage::EndOfSupport, false),
                (Some(40), 1, 2, false, Stage::Unknown, false),
                (None, 1, 0, false, Stage::Unknown, false),
            ]
        );
        assert_eq!(rows[1].release.as_deref(), Some("vp-3/4.42"), "a counter alone names a known release");
        assert_eq!((rows[3].release.as_deref(), rows[4].release.as_deref()), (Some("vp-3/own"), None));
        assert_eq!(rows[1].days_left, Some(192));
    }
}
