//! A list of assets that comes in: what it would make new, change, leave and refuse, row by row.
//!
//! A plan over what is known and what the list says; the adapter shows it, or commits it piece by piece. The same list
//! planned again after half of it was committed plans the other half. Nothing is deleted, no identity changes, and a row that
//! fits two devices or contradicts one is refused with what to do. Read next: [`crate::device::asset`] for what is kept,
//! [`crate::feeds::asset`] for how a list is read.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::ids::{DeviceId, Hardware, Name, Sha256, Text};
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::device::asset::{AssetRecord, ip, is_like, is_same_thing, mac};
use crate::device::{Device, DeviceKind, Placement, Source, State, is_unknown};
use crate::feeds::asset::{Asset, Assets};
use crate::risk::facts::Reach;

#[cfg(test)]
mod tests;

/// The version of [`Lists`].
pub const VERSION: u32 = 1;

/// A list on its way in.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The owner's name for it.
    pub list: &'a Name,
    /// The site of rows that name none.
    pub site: Option<&'a Text>,
    /// When.
    pub now: Timestamp,
}

/// What an import would do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Devices that nobody knew, in the list's order.
    pub new: Vec<Arriving>,
    /// Known devices of which the list says something new.
    pub changed: Vec<Arriving>,
    /// Devices that a former import of this list named and this one does not: told, and kept.
    pub unlisted: Vec<Arriving>,
    /// The same, told by an earlier import already.
    pub still_unlisted: Vec<DeviceId>,
    /// Rows about known devices that say nothing new.
    pub unchanged: usize,
    /// Rows that are not taken, in the list's order.
    pub refused: Vec<RefusedRow>,
}

/// A device as it will be.
#[derive(Clone, Debug, PartialEq)]
pub struct Arriving {
    /// The row of the list; none where the list names it no more.
    pub row: Option<usize>,
    /// The device.
    pub device: Device,
    /// Model and serial under which it was found, if they change.
    pub former: Option<(Text, Text)>,
    /// What changes, for people.
    pub words: String,
}

/// A row that is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRow {
    /// The row, the header being the first.
    pub row: usize,
    /// Why.
    pub why: Refused,
}

/// Why a row is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The reader did not take it.
    #[error("{}", unread_words(.0))]
    Unread(&'static str),
    /// Nothing by which the next import could know it again.
    #[error("neither an asset tag nor a serial: give the device a tag")]
    NoName,
    /// Two rows about one device.
    #[error("this device stands in row {other} too: leave one of the two")]
    Twice {
        /// The other row.
        other: usize,
    },
    /// A person ended the device's use.
    #[error(
        "device {device} was retired: take it off the list, or enrol it with a new token if it is in use again"
    )]
    Retired {
        /// The device.
        device: DeviceId,
    },
    /// Another list names it.
    #[error("device {device} stands in the list `{list}`: take it off one of the two lists")]
    OtherList {
        /// The device.
        device: DeviceId,
        /// That list.
        list: Name,
    },
    /// Its tag is that of a device that says it is something else.
    #[error(
        "the tag is that of device {device}, which is another model or has another serial: correct the list"
    )]
    OtherThing {
        /// The device.
        device: DeviceId,
    },
    /// It is one device by its tag, and another one by its serial.
    #[error(
        "the tag is that of device {tagged}, the serial that of {other}: retire the one that is too many and import again"
    )]
    TwoDevices {
        /// The one with the tag, known from a list alone.
        tagged: DeviceId,
        /// The other one.
        other: DeviceId,
    },
}

impl Refused {
    /// The word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unread(word) => word,
            Self::NoName => "no-tag-or-serial",
            Self::Twice { .. } => "twice",
            Self::Retired { .. } => "retired",
            Self::OtherList { .. } => "in-another-list",
            Self::OtherThing { .. } => "another-device",
            Self::TwoDevices { .. } => "two-devices",
        }
    }
}

fn unread_words(word: &str) -> &'static str {
    match word {
        "no-model" => "no model: a device without one can be matched to nothing",
        "cell-too-long" => "a cell is too long",
        "control-character" => "a cell has a character that cannot be shown",
        _ => "the row could not be read",
    }
}

/// What this server remembers of the lists that came in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lists {
    /// Version of this document.
    pub v: u32,
    /// Each list, by name.
    pub lists: BTreeMap<Name, ListRecord>,
}

/// The last import of one list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRecord {
    /// When.
    pub imported: Timestamp,
    /// By whom: the actor as the journal writes it.
    pub by: String,
    /// SHA-256 of the file.
    pub sha256: Sha256,
    /// Devices that it names here.
    pub devices: usize,
    /// Rows that were not taken.
    pub refused: usize,
}

impl Lists {
    /// Reads stored bytes; `None` for a version that this program does not know.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|lists: &Self| lists.v == VERSION)
    }

    /// The bytes to store.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(&Self { v: VERSION, lists: self.lists.clone() })
            .expect("texts and numbers are always JSON")
    }
}

/// Plans an import over the devices that are known.
pub fn plan<'a>(assets: &Assets, known: impl IntoIterator<Item = &'a Device>, arrival: &Arrival<'_>) -> Plan {
    let book = Book::of(known);
    let mut plan = Plan::default();
    let twice = twice(assets);
    let (mut named, mut made, mut settled) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
    for left in assets.left_out.iter().filter(|left| left.first.is_none()) {
        plan.refused.push(RefusedRow { row: left.row, why: Refused::Unread(left.why) });
    }
    for (row, other) in &twice {
        plan.refused.push(RefusedRow { row: *row, why: Refused::Twice { other: *other } });
    }
    for asset in &assets.assets {
        let said = Said::of(asset, arrival);
        let found = book.find(&said, arrival.list);
        named.extend(found.iter().copied().map(|device| device.id));
        if twice.contains_key(&asset.row) {
            continue;
        }
        // One row has its tag and another one its serial.
        if let Some(device) = found.first()
            && let Some(other) = settled.insert(device.id, asset.row)
        {
            plan.refused.push(RefusedRow { row: asset.row, why: Refused::Twice { other } });
            continue;
        }
        match said.settle(&book, found, arrival, &mut made) {
            Ok(Settled::New(device)) => {
                plan.new.push(Arriving { row: Some(asset.row), words: String::new(), former: None, device })
            }
            Ok(Settled::Same) => plan.unchanged += 1,
            Ok(Settled::Changed(before, device)) => {
                plan.changed.push(Arriving::of(Some(asset.row), before, device));
            }
            Err(why) => plan.refused.push(RefusedRow { row: asset.row, why }),
        }
    }
    plan.refused.sort_unstable_by_key(|refused| refused.row);
    plan.miss(&book, &named, arrival);
    plan
}

/// Rows about one device, each with another one of them.
fn twice(assets: &Assets) -> BTreeMap<usize, usize> {
    let mut twice = BTreeMap::new();
    let mut pair = |one: usize, other: usize| {
        twice.entry(one).or_insert(other);
        twice.entry(other).or_insert(one);
    };
    for left in &assets.left_out {
        if let Some(first) = left.first {
            pair(left.row, first);
        }
    }
    let mut tags = BTreeMap::new();
    let mut things: BTreeMap<(String, String), Vec<&Asset>> = BTreeMap::new();
    for asset in &assets.assets {
        if !asset.tag.is_empty()
            && let Some(first) = tags.insert(asset.tag.as_str(), asset.row)
        {
            pair(asset.row, first);
        }
        if asset.serial.is_empty() {
            continue;
        }
        let same = things.entry((plain(&asset.model), plain(&asset.serial))).or_default();
        let is_same = |other: &&&Asset| {
            let (one, other) = (&asset.maker, &other.maker);
            one.is_empty() || other.is_empty() || one.eq_ignore_ascii_case(other)
        };
        if let Some(first) = same.iter().find(is_same) {
            pair(asset.row, first.row);
        }
        same.push(asset);
    }
    twice
}

/// Known devices by what a row may name them by.
struct Book<'a> {
    by_id: BTreeMap<DeviceId, &'a Device>,
    by_tag: BTreeMap<&'a str, Vec<&'a Device>>,
    by_serial: BTreeMap<String, Vec<&'a Device>>,
}

impl<'a> Book<'a> {
    fn of(known: impl IntoIterator<Item = &'a Device>) -> Self {
        let mut book = Self { by_id: BTreeMap::new(), by_tag: BTreeMap::new(), by_serial: BTreeMap::new() };
        for device in known {
            book.by_id.insert(device.id, device);
            if let Some(tag) = device.asset.as_ref().and_then(|asset| asset.tag.as_ref()) {
                book.by_tag.entry(tag.as_str()).or_default().push(device);
            }
            let serial = &device.hardware.serial;
            if !is_unknown(serial) {
                book.by_serial.entry(plain(serial.as_str())).or_default().push(device);
            }
        }
        book
    }

    /// The devices that a row may be about, the likeliest first: by tag before by serial, those in use before those whose
    /// use has ended, enrolled ones before listed ones.
    fn find(&self, said: &Said<'_>, list: &Name) -> Vec<&'a Device> {
        let tag = said.record.tag.as_ref();
        let tagged = tag.and_then(|tag| self.by_tag.get(tag.as_str())).into_iter().flatten();
        let serial = plain(said.hardware.serial.as_str());
        let same = self.by_serial.get(&serial).into_iter().flatten();
        let same = same.filter(|device| is_same_thing(&device.hardware, &said.hardware));
        let mut found: Vec<(bool, bool, bool, &'a Device)> = Vec::new();
        for (by_serial, device) in
            tagged.map(|device| (false, device)).chain(same.map(|device| (true, device)))
        {
            let elsewhere = device.asset.as_ref().is_some_and(|asset| asset.list != *list);
            let over = device.state == State::Retired;
            if !found.iter().any(|(_, _, _, other)| other.id == device.id) {
                found.push((over, by_serial, elsewhere, device));
            }
        }
        found.sort_by_key(|(over, by_serial, elsewhere, device)| {
            (*over, *by_serial, *elsewhere, device.is_listed_only(), device.id)
        });
        found.into_iter().map(|(.., device)| device).collect()
    }
}

fn plain(text: &str) -> String {
    text.trim().to_ascii_lowercase()
}

/// What becomes of a row.
enum Settled<'a> {
    New(Device),
    Same,
    Changed(&'a Device, Device),
}

/// What one row says, as types.
struct Said<'a> {
    asset: &'a Asset,
    hardware: Hardware,
    record: AssetRecord,
}

impl<'a> Said<'a> {
    fn of(asset: &'a Asset, arrival: &Arrival<'_>) -> Self {
        let record = AssetRecord {
            list: arrival.list.clone(),
            tag: text(&asset.tag),
            version: text(&asset.version),
            department: text(&asset.ward),
            ip: ip(&asset.ip),
            mac: mac(&asset.mac),
            imported: arrival.now,
            unlisted: None,
        };
        let unsaid = || Text::lossy("");
        let hardware = Hardware {
            manufacturer: text(&asset.maker).unwrap_or_else(unsaid),
            model: text(&asset.model).unwrap_or_else(unsaid),
            revision: unsaid(),
            serial: text(&asset.serial).unwrap_or_else(unsaid),
        };
        Self { asset, hardware, record }
    }

    fn settle<'k>(
        &self,
        book: &Book<'_>,
        found: Vec<&'k Device>,
        arrival: &Arrival<'_>,
        made: &mut BTreeSet<DeviceId>,
    ) -> Result<Settled<'k>, Refused> {
        if self.record.tag.is_none() && is_unknown(&self.hardware.serial) {
            return Err(Refused::NoName);
        }
        let Some(device) = found.first() else {
            let id = self.fresh(|id| book.by_id.contains_key(&id) || made.contains(&id));
            made.insert(id);
            return Ok(Settled::New(self.device(id, arrival)));
        };
        if device.state == State::Retired {
            return Err(Refused::Retired { device: device.id });
        }
        if let Some(asset) = &device.asset
            && asset.list != *arrival.list
            && asset.unlisted.is_none()
        {
            return Err(Refused::OtherList { device: device.id, list: asset.list.clone() });
        }
        if device.is_listed_only() {
            let other = found.iter().skip(1).find(|other| other.state != State::Retired);
            if let Some(other) = other {
                return Err(Refused::TwoDevices { tagged: device.id, other: other.id });
            }
        } else if self.contradicts(&device.hardware) {
            return Err(Refused::OtherThing { device: device.id });
        }
        let after = self.onto(device);
        Ok(if after == **device {
            Settled::Same
        } else {
            Settled::Changed(device, self.dated(after, arrival))
        })
    }

    /// Whether the row says of a device that speaks for itself that it is another one. How its maker is written is a
    /// matter of taste where model and serial agree.
    fn contradicts(&self, stated: &Hardware) -> bool {
        let differ =
            |one: &Text, other: &Text| !is_unknown(one) && !is_unknown(other) && !is_like(one, other);
        differ(&self.hardware.serial, &stated.serial) || differ(&self.hardware.model, &stated.model)
    }

    /// The name of a new device: the same on every server and after every interruption.
    fn fresh(&self, is_taken: impl Fn(DeviceId) -> bool) -> DeviceId {
        let Hardware { manufacturer, model, revision: _, serial } = &self.hardware;
        let tag = self.record.tag.as_ref().map_or("", Text::as_str);
        let mut turn = 0_u32;
        loop {
            let text = alloc::format!("asset\n{tag}\n{manufacturer}\n{model}\n{serial}\n{turn}");
            let digest = Sha256::of(text.as_bytes());
            let mut bytes = [0; 16];
            bytes.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
            let id = DeviceId::from_random(bytes);
            if !is_taken(id) {
                return id;
            }
            turn = turn.saturating_add(1);
        }
    }

    fn device(&self, id: DeviceId, arrival: &Arrival<'_>) -> Device {
        let kind = kind_of(&self.asset.kind);
        let site = text(&self.asset.site).or_else(|| arrival.site.cloned());
        let unsaid = Placement::nowhere();
        let placement = Placement {
            site: site.unwrap_or(unsaid.site),
            ward: self.record.department.clone().unwrap_or(unsaid.ward),
            kind,
            impact: kind.usual_impact(),
            reach: Reach::default(),
            tags: Vec::new(),
        };
        Device {
            source: Source::Imported,
            reason: Text::lossy(&alloc::format!("stands in the asset list {}", arrival.list)),
            asset: Some(self.record.clone()),
            ..Device::bare(id, self.hardware.clone(), placement, State::Listed, arrival.now)
        }
    }

    /// The known device with what the row says of it. Where a person put it is where it stays; of a device that speaks
    /// for itself only the record changes, and a place that nobody named.
    fn onto(&self, known: &Device) -> Device {
        let mut after = known.clone();
        let before = known.asset.as_ref();
        let imported = before.map_or(self.record.imported, |asset| asset.imported);
        after.asset = Some(AssetRecord { imported, ..self.record.clone() });
        let ward_by_list = before.and_then(|asset| asset.department.as_ref()) == Some(&known.placement.ward);
        let place = &mut after.placement;
        if let Some(department) = &self.record.department
            && (is_unknown(&place.ward) || (known.is_listed_only() && ward_by_list))
        {
            place.ward = department.clone();
        }
        if let Some(site) = text(&self.asset.site)
            && is_unknown(&place.site)
        {
            place.site = site;
        }
        let kind = kind_of(&self.asset.kind);
        if known.is_listed_only() && place.kind == DeviceKind::Other && kind != DeviceKind::Other {
            (place.kind, place.impact) = (kind, kind.usual_impact());
        }
        if known.is_listed_only() {
            let said =
                |said: &Text, known: &Text| if is_unknown(said) { known.clone() } else { said.clone() };
            after.hardware = Hardware {
                manufacturer: said(&self.hardware.manufacturer, &known.hardware.manufacturer),
                model: said(&self.hardware.model, &known.hardware.model),
                revision: known.hardware.revision.clone(),
                serial: said(&self.hardware.serial, &known.hardware.serial),
            };
        }
        after
    }

    fn dated(&self, device: Device, arrival: &Arrival<'_>) -> Device {
        let asset = device.asset.map(|asset| AssetRecord { imported: arrival.now, ..asset });
        Device { asset, ..device }
    }
}

impl Arriving {
    fn of(row: Option<usize>, before: &Device, device: Device) -> Self {
        let (old, new) = (&before.hardware, &device.hardware);
        let moved = (&old.model, &old.serial) != (&new.model, &new.serial);
        let former = moved.then(|| (old.model.clone(), old.serial.clone()));
        let words = differences(before, &device);
        Self { row, former, words, device }
    }
}

impl Plan {
    /// Notes the devices of the list that it names no more.
    fn miss(&mut self, book: &Book<'_>, named: &BTreeSet<DeviceId>, arrival: &Arrival<'_>) {
        for device in book.by_id.values().filter(|device| device.state != State::Retired) {
            let Some(asset) = device.asset.as_ref().filter(|asset| asset.list == *arrival.list) else {
                continue;
            };
            if named.contains(&device.id) {
                continue;
            }
            if asset.unlisted.is_some() {
                self.still_unlisted.push(device.id);
                continue;
            }
            let asset = Some(AssetRecord { unlisted: Some(arrival.now), ..asset.clone() });
            let after = Device { asset, ..(*device).clone() };
            self.unlisted.push(Arriving::of(None, device, after));
        }
    }

    /// Rows by reason that were not taken.
    #[must_use]
    pub fn reasons(&self) -> BTreeMap<&'static str, usize> {
        let mut reasons = BTreeMap::new();
        for refused in &self.refused {
            *reasons.entry(refused.why.code()).or_default() += 1;
        }
        reasons
    }

    /// Devices that the list names.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.new.len().saturating_add(self.changed.len()).saturating_add(self.unchanged)
    }
}

/// What differs between two states of one device, for people.
fn differences(before: &Device, after: &Device) -> String {
    fn field<'a>(device: &'a Device, pick: fn(&'a AssetRecord) -> Option<&'a Text>) -> &'a str {
        device.asset.as_ref().and_then(pick).map_or("unknown", Text::as_str)
    }
    let pairs = [
        ("maker", before.hardware.manufacturer.as_str(), after.hardware.manufacturer.as_str()),
        ("model", before.hardware.model.as_str(), after.hardware.model.as_str()),
        ("serial", before.hardware.serial.as_str(), after.hardware.serial.as_str()),
        ("tag", field(before, |a| a.tag.as_ref()), field(after, |a| a.tag.as_ref())),
        ("version", field(before, |a| a.version.as_ref()), field(after, |a| a.version.as_ref())),
        ("site", before.placement.site.as_str(), after.placement.site.as_str()),
        ("ward", before.placement.ward.as_str(), after.placement.ward.as_str()),
        ("ip", field(before, |a| a.ip.as_ref()), field(after, |a| a.ip.as_ref())),
        ("mac", field(before, |a| a.mac.as_ref()), field(after, |a| a.mac.as_ref())),
    ];
    let differ = pairs.into_iter().filter(|(_, old, new)| old != new);
    let mut words: Vec<String> =
        differ.map(|(name, old, new)| alloc::format!("{name}: {old} → {new}")).collect();
    let unlisted = |device: &Device| device.asset.as_ref().is_some_and(|asset| asset.unlisted.is_some());
    match (unlisted(before), unlisted(after)) {
        (false, true) => words.push("not in the list any more".to_string()),
        (true, false) => words.push("in the list again".to_string()),
        (false, false) | (true, true) => {}
    }
    if words.is_empty() {
        words.push("noted in the list".to_string());
    }
    words.join(", ")
}

/// What a list's own words say that a device is for; what is none of our kinds is another device.
fn kind_of(words: &str) -> DeviceKind {
    let word: String =
        plain(words).chars().map(|sign| if matches!(sign, ' ' | '_' | '/') { '-' } else { sign }).collect();
    let word = word.strip_suffix('s').unwrap_or(&word);
    serde_json::from_value(serde_json::Value::from(word)).unwrap_or(DeviceKind::Other)
}

fn text(cell: &str) -> Option<Text> {
    cell.trim().parse().ok()
}
