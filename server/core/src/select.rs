//! Which devices a person means: a filter of named values, all of which must fit.
//!
//! It chooses from what is known now and signs nothing: an order names the devices themselves, or their facts. A filter
//! that cannot be judged is refused, never taken as fitting. Read next: [`crate::order_plan`].

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::ids::{DeviceId, TargetPath, Text};

use crate::device::{Device, Report, Source};
use crate::risk::Band;

/// What a device must be; what is not given fits every one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The band of its score.
    pub band: Option<Band>,
    /// Its model.
    pub model: Option<Text>,
    /// The counters that it runs, both ends included.
    pub from: Option<(u64, u64)>,
    /// The release that it runs.
    pub release: Option<TargetPath>,
    /// Its site.
    pub site: Option<Text>,
    /// Its ward.
    pub ward: Option<Text>,
    /// What it is for, by its word: `infusion-pump`.
    pub kind: Option<String>,
    /// A tag of it.
    pub tag: Option<Text>,
    /// A weakness that it has, or an advisory that is about one: `CVE-2021-44228`, `DSA-5020-1`.
    pub advisory: Option<Text>,
    /// How it is known: `agent`, `observed`, `imported`.
    pub source: Option<Source>,
    /// The very device.
    pub device: Option<DeviceId>,
}

/// Why a filter is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterRefused {
    /// No filter of that name.
    #[error(
        "`{0}` is no filter: use band, model, from, release, site, ward, kind, tag, advisory, source or device, as NAME=VALUE"
    )]
    Unknown(String),
    /// The same name twice.
    #[error("the filter `{0}` is given twice")]
    Twice(String),
    /// A value that the filter cannot have.
    #[error("`{value}` is no value of the filter `{name}`")]
    Value {
        /// The filter.
        name: String,
        /// What was given.
        value: String,
    },
    /// There is nothing to compare with.
    #[error(
        "devices cannot be chosen by advisory: no advisories were imported, or they are still being read"
    )]
    NoAdvisories,
    /// Nothing that is known here has this name.
    #[error("`{0}` is no weakness or advisory that is known here: import a feed that has it")]
    NoSuchAdvisory(String),
}

/// What is known of a device.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its document.
    pub device: &'a Device,
    /// What it last said.
    pub report: Option<&'a Report>,
    /// The band of its score.
    pub band: Band,
    /// Whether it has what the filter's advisory is about; what nobody can judge is not taken as fitting.
    pub is_affected: bool,
}

impl Filter {
    /// Reads pairs of `NAME=VALUE`.
    ///
    /// # Errors
    /// The first pair that is no filter.
    pub fn read<'a>(pairs: impl IntoIterator<Item = &'a str>) -> Result<Self, FilterRefused> {
        let mut filter = Self::default();
        let mut given = Vec::new();
        for pair in pairs {
            let short = || pair.chars().take(80).collect::<String>();
            let (name, value) = pair.split_once('=').ok_or_else(|| FilterRefused::Unknown(short()))?;
            if given.contains(&name) {
                return Err(FilterRefused::Twice(name.to_string()));
            }
            given.push(name);
            filter.take(name, value)?;
        }
        Ok(filter)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), FilterRefused> {
        let wrong =
            || FilterRefused::Value { name: name.to_string(), value: value.chars().take(80).collect() };
        let text = || value.parse::<Text>().map_err(|_| wrong());
        match name {
            "band" => self.band = Some(band(value).ok_or_else(wrong)?),
            "model" => self.model = Some(text()?),
            "from" => self.from = Some(counters(value).ok_or_else(wrong)?),
            "release" => self.release = Some(value.parse().map_err(|_| wrong())?),
            "site" => self.site = Some(text()?),
            "ward" => self.ward = Some(text()?),
            "kind" => self.kind = Some(text()?.to_string()),
            "tag" => self.tag = Some(text()?),
            "advisory" => self.advisory = Some(text()?),
            "source" => self.source = Some(source(value).ok_or_else(wrong)?),
            "device" => self.device = Some(value.parse().map_err(|_| wrong())?),
            _ => return Err(FilterRefused::Unknown(name.chars().take(80).collect())),
        }
        Ok(())
    }

    /// Whether a device is meant.
    #[must_use]
    pub fn fits(&self, seen: &Seen<'_>) -> bool {
        let (hardware, placement) = (&seen.device.hardware, &seen.device.placement);
        let is = |wanted: &Option<Text>, found: &Text| wanted.as_ref().is_none_or(|wanted| wanted == found);
        let software = seen.report.map(|report| &report.software);
        let from = |(least, most): (u64, u64)| {
            software.is_some_and(|software| (least..=most).contains(&software.counter))
        };
        let runs = |release: &TargetPath| {
            software.and_then(|software| software.release.as_ref()).is_some_and(|runs| runs == release)
        };
        let kind = |kind: &String| serde_json::to_value(placement.kind).is_ok_and(|word| word == **kind);
        is(&self.model, &hardware.model)
            && is(&self.site, &placement.site)
            && is(&self.ward, &placement.ward)
            && self.band.is_none_or(|band| band == seen.band)
            && self.from.is_none_or(from)
            && self.release.as_ref().is_none_or(runs)
            && self.kind.as_ref().is_none_or(kind)
            && self.tag.as_ref().is_none_or(|tag| placement.tags.contains(tag))
            && (self.advisory.is_none() || seen.is_affected)
            && self.source.is_none_or(|source| source == seen.device.source)
            && self.device.is_none_or(|device| device == seen.device.id)
    }
}

fn band(word: &str) -> Option<Band> {
    let bands = [Band::Low, Band::Medium, Band::High, Band::Critical];
    bands.into_iter().find(|band| serde_json::to_value(band).is_ok_and(|known| known == word))
}

fn source(word: &str) -> Option<Source> {
    [Source::Agent, Source::Observed, Source::Imported].into_iter().find(|source| source.word() == word)
}

fn counters(text: &str) -> Option<(u64, u64)> {
    let (least, most) = text.split_once(':')?;
    let ends = (least.parse().ok()?, most.parse().ok()?);
    (ends.0 <= ends.1).then_some(ends)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order_plan::fixture::{pump, runs};

    #[test]
    fn every_named_value_must_fit_and_what_cannot_be_judged_is_refused() {
        // Goal: a filter means what it says. Method: one pump; each filter that fits it and one that does not; wrong ones.
        let device = runs(pump("1"), 41);
        let seen =
            Seen { device: &device, report: device.report.as_ref(), band: Band::High, is_affected: true };
        for (fits, other) in [
            ("band=high", "band=low"),
            ("model=VP-3", "model=vp-3"),
            ("from=41:41", "from=42:50"),
            ("release=vp-3/41", "release=vp-3/42"),
            ("site=St. Anna", "site=St. Brigid"),
            ("ward=ICU 2", "ward=4B"),
            ("kind=infusion-pump", "kind=kiosk"),
            ("tag=week-47", "tag=week-48"),
            ("source=agent", "source=imported"),
            ("device=31313131-3131-4131-b131-313131313131", "device=32323232-3232-4232-b232-323232323232"),
        ] {
            assert!(Filter::read([fits]).expect(fits).fits(&seen), "{fits}");
            assert!(!Filter::read([other]).expect(other).fits(&seen), "{other}");
            assert!(!Filter::read([fits, "model=K-1"]).is_ok_and(|both| both.fits(&seen)), "{fits}");
        }
        assert!(Filter::default().fits(&seen));
        let silent = Seen { report: None, ..seen };
        assert!(!Filter::read(["from=0:99"]).expect("a filter").fits(&silent), "nobody knows what it runs");
        for wrong in [
            "band=red",
            "source=list",
            "device=1",
            "from=9:1",
            "from=9",
            "ward",
            "name=x",
            "ward=",
            "release=A B",
        ] {
            assert!(Filter::read([wrong]).is_err(), "{wrong}");
        }
        assert!(matches!(Filter::read(["site=a", "site=b"]), Err(FilterRefused::Twice(_))));
        let advisory = Filter::read(["advisory=CVE-2026-1107", "model=VP-3"]).expect("a filter");
        assert!(advisory.fits(&seen) && !advisory.fits(&Seen { is_affected: false, ..seen }));
    }
}
