//! What handlers ask of knowledge: what a device is exposed to, and which devices an advisory is about.
//!
//! [`Made`] is a world with the answers that were asked of it, each distinct component and model once, for all devices.
//! [`Matched`] is one moment of it, cheap to copy. While nothing is ready yet, every component counts as one of which nothing
//! can be said. Read next: `exposure` in `server/core`, which decides.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use cordon_proto::ids::{DeviceId, Name, Sha256, Text};
use cordon_proto::update::release::Release;
use cordon_server_core::device::{State as Trust, is_unknown};
use cordon_server_core::exposure::closed::Hole;
use cordon_server_core::exposure::topic::{Topic, devices_with};
use cordon_server_core::exposure::{
    Bill, Billed, Case, Composition, Exposed, Hits, Holdings, ModelHit, ModelKey, Open, Row, Shipped, Since,
    Word, World,
};
use cordon_server_core::feeds::device_version::is_version;
use cordon_server_core::feeds::vex::subject::Thing;
use cordon_server_core::matching::component::Component;

use super::Knowledge;
use super::sets::{Alike, Sets, running as running_of};
use super::shelf::{Bills, OnShelf};
use crate::fleet::{Documents, Member};

/// Compositions that are looked at to say what is in one release.
const FOUND_OF_RELEASE: usize = 4;

/// Whether devices can be held against what is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Readiness {
    /// Nothing was ever imported.
    #[default]
    NoFeeds,
    /// The files are being read; until then nothing can be said of any component.
    Preparing,
    /// Answers are those of the former files, while newer ones are being read.
    Renewing,
    /// Answers are those of the files that are in force.
    Ready,
}

impl Readiness {
    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NoFeeds => "no-feeds",
            Self::Preparing => "preparing",
            Self::Renewing => "renewing",
            Self::Ready => "ready",
        }
    }

    /// Whether there are answers at all.
    #[must_use]
    pub fn has_answers(self) -> bool {
        match self {
            Self::NoFeeds | Self::Preparing => false,
            Self::Renewing | Self::Ready => true,
        }
    }

    /// The same for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NoFeeds => "no advisories were imported: nothing is known of weaknesses",
            Self::Preparing => "matching is being prepared: until then nothing can be said of any component",
            Self::Renewing => "newer feeds are being read: answers are still those of the former ones",
            Self::Ready => "answers are those of the feeds that are in force",
        }
    }
}

/// A world, and the answers that were asked of it.
pub struct Made {
    /// A later one has a higher number.
    pub(super) number: u64,
    /// Everything that is known.
    pub world: World,
    /// The files that it was made of, by their places.
    pub feeds: Vec<(Name, Sha256)>,
    /// Files that could not be read, and why.
    pub missing: BTreeMap<Name, String>,
    /// How long it took.
    pub took: Duration,
    hits: RwLock<HashMap<u32, Arc<Hits>>>,
    models: RwLock<BTreeMap<ModelKey, Arc<Vec<ModelHit>>>>,
    /// What bills of materials have or may have, by their files.
    pub(super) bills: RwLock<Bills>,
}

impl Made {
    pub(super) fn new(number: u64, world: World, feeds: Vec<(Name, Sha256)>) -> Self {
        let (missing, took) = (BTreeMap::new(), Duration::ZERO);
        Self {
            number,
            world,
            feeds,
            missing,
            took,
            hits: RwLock::default(),
            models: RwLock::default(),
            bills: RwLock::default(),
        }
    }

    /// What is known of a component.
    pub(super) fn hits(&self, number: u32, component: &Component) -> Arc<Hits> {
        if let Some(known) = self.hits.read().unwrap_or_else(PoisonError::into_inner).get(&number) {
            return known.clone();
        }
        let hits = Arc::new(self.world.ask(component));
        self.hits.write().unwrap_or_else(PoisonError::into_inner).insert(number, hits.clone());
        hits
    }

    /// What advisories about devices say of a model.
    pub(super) fn said_of(&self, model: &ModelKey) -> Arc<Vec<ModelHit>> {
        if let Some(known) = self.models.read().unwrap_or_else(PoisonError::into_inner).get(model) {
            return known.clone();
        }
        let said = Arc::new(self.world.ask_model(model));
        self.models.write().unwrap_or_else(PoisonError::into_inner).insert(model.clone(), said.clone());
        said
    }

    /// What was said of each model that was asked about.
    pub(super) fn models(&self) -> Vec<Arc<Vec<ModelHit>>> {
        self.models.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Forgets the answers about what nobody has any more.
    pub(super) fn tidy(&self, holdings: &Holdings) {
        let mut hits = self.hits.write().unwrap_or_else(PoisonError::into_inner);
        hits.retain(|number, _| holdings.component(*number).is_some());
    }
}

/// What is in the releases of each model; made anew when what is known, installed or taken in changes.
#[derive(Clone, Default)]
pub(super) struct Shipping {
    at: Option<(u64, u64, Vec<OnShelf>, Running)>,
    of_model: Arc<BTreeMap<Text, Vec<Shipped>>>,
}

/// Knowledge at one moment.
#[derive(Clone, Default)]
pub struct Matched {
    /// Whether devices can be held against what is known.
    pub readiness: Readiness,
    /// What is known, once it is.
    pub made: Option<Arc<Made>>,
    since: Arc<Since>,
    holdings: Arc<RwLock<Holdings>>,
    shipped: Arc<BTreeMap<Text, Vec<Shipped>>>,
    sets: Arc<Sets>,
}

impl PartialEq for Matched {
    fn eq(&self, other: &Self) -> bool {
        let number = |matched: &Self| matched.made.as_ref().map(|made| made.number);
        (self.readiness, number(self)) == (other.readiness, number(other))
            && Arc::ptr_eq(&self.since, &other.since)
            && Arc::ptr_eq(&self.shipped, &other.shipped)
    }
}

impl Eq for Matched {}

impl fmt::Debug for Matched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.made.as_ref().map(|made| made.number);
        f.debug_struct("Matched")
            .field("readiness", &self.readiness)
            .field("made", &number)
            .finish_non_exhaustive()
    }
}

impl Knowledge {
    /// Knowledge as it is now.
    #[must_use]
    pub fn matched(&self) -> Matched {
        let wanted = self.wanted();
        self.read(|state| {
            let readiness = match &state.made {
                _ if wanted.is_empty() => Readiness::NoFeeds,
                None => Readiness::Preparing,
                Some(made) if made.feeds == wanted => Readiness::Ready,
                Some(_) => Readiness::Renewing,
            };
            Matched {
                readiness,
                made: state.made.clone(),
                since: state.since.clone(),
                holdings: self.holdings.clone(),
                shipped: state.shipped.of_model.clone(),
                sets: state.sets.clone(),
            }
        })
    }

    pub(super) fn holding<T>(&self, look: impl FnOnce(&Holdings) -> T) -> T {
        look(&self.holdings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks anew at what is in the releases that devices run or that were taken in, if what is installed, taken in or known
    /// has changed. Says whether anything came of it.
    pub(super) fn look_at_releases(&self, members: &[Arc<Member>], shelf: Vec<OnShelf>) -> bool {
        let Some(made) = self.read(|state| state.made.clone()) else { return false };
        // What is installed first: what comes in after it makes the next look see another version.
        let version = self.holding(Holdings::version);
        let at = Some((made.number, version, shelf, running(&self.holdings, members)));
        if self.read(|state| state.shipped.at == at) {
            return false;
        }
        let Some((_, _, shelf, running)) = &at else { return false };
        let of_model = Arc::new(shipped(&made, &self.holdings, members, (shelf, running)));
        self.write(|state| {
            let is_other = state.shipped.of_model != of_model;
            if is_other {
                state.shipped.of_model = of_model;
                state.sets = Arc::default();
            }
            state.shipped.at = at;
            is_other
        })
    }

    /// Forgets what was asked about things that nobody has any more.
    pub(super) fn tidy(&self, made: &Made) {
        let sets = self.read(|state| state.sets.clone());
        self.holding(|holdings| {
            made.tidy(holdings);
            sets.tidy(holdings);
        });
    }
}

/// The releases that devices run, by model and counter: the name, and a device for each distinct set of packages.
type Running = BTreeMap<(Text, u64), (String, BTreeMap<Sha256, DeviceId>)>;

/// What is in each release that devices run or that was taken in, by model and counter. What was found on devices goes before
/// what a bill says.
fn shipped(
    made: &Made,
    held: &RwLock<Holdings>,
    members: &[Arc<Member>],
    (shelf, running): (&[OnShelf], &Running),
) -> BTreeMap<Text, Vec<Shipped>> {
    let mut of_model: BTreeMap<&Text, BTreeMap<u64, Shipped>> = BTreeMap::new();
    for one in shelf {
        let packages = one.open.as_deref().cloned();
        let (release, counter) = (one.release.clone(), one.counter);
        let shipped = Shipped { release, counter, packages, model: None };
        of_model.entry(&one.model).or_default().insert(counter, shipped);
    }
    for ((model, counter), (release, devices)) in running {
        let (of_model, counter) = (of_model.entry(model).or_default(), *counter);
        let new = || Shipped { release: release.clone(), counter, ..Shipped::default() };
        let one = of_model.entry(counter).or_insert_with(new);
        one.packages = found(made, held, devices.values()).or(one.packages.take());
    }
    let makers: BTreeMap<&Text, &str> = members
        .iter()
        .map(|member| (&member.device.hardware.model, member.device.hardware.manufacturer.as_str()))
        .collect();
    let named = |model: &Text, mut one: Shipped| {
        let key = ModelKey {
            maker: makers.get(model).copied().unwrap_or_default().to_owned(),
            model: model.to_string(),
            version: version_in(&one.release).unwrap_or_default().to_owned(),
        };
        one.model = made.world.open_of_model(&key);
        one
    };
    let all = of_model.into_iter().map(|(model, releases)| {
        (model.clone(), releases.into_values().map(|one| named(model, one)).collect())
    });
    all.collect()
}

/// The releases that devices with a list of software run.
fn running(held: &RwLock<Holdings>, members: &[Arc<Member>]) -> Running {
    let mut running = Running::new();
    for member in members {
        let Some(software) = member.report.as_deref().map(|report| &report.software) else { continue };
        let Some(release) = &software.release else { continue };
        let digest = {
            // A device at a time: what comes in meanwhile need not wait for all of them.
            let holdings = held.read().unwrap_or_else(PoisonError::into_inner);
            holdings.digest_of(member.id()).copied()
        };
        let Some(digest) = digest else { continue };
        let place = (member.device.hardware.model.clone(), software.counter);
        let (_, found) = running.entry(place).or_insert_with(|| (release.to_string(), BTreeMap::new()));
        if found.len() < FOUND_OF_RELEASE {
            found.entry(digest).or_insert_with(|| member.id());
        }
    }
    running
}

/// All that was found on any of a few devices.
fn found<'a>(
    made: &Made,
    held: &RwLock<Holdings>,
    devices: impl Iterator<Item = &'a DeviceId>,
) -> Option<Open> {
    let mut all: Option<Open> = None;
    for device in devices {
        let holdings = held.read().unwrap_or_else(PoisonError::into_inner);
        let Some((_, composition)) = holdings.of(*device) else { continue };
        let known = |number: u32, component: &Component| made.hits(number, component);
        let open = made.world.open(&holdings, composition, &known);
        all.get_or_insert_default().join(&open);
    }
    all
}

/// As what advisories about devices are asked of a device. What runs by its own word goes before what a list says.
#[must_use]
pub fn model_of(member: &Member) -> ModelKey {
    let [maker, model, version] = model_texts(member).map(ToOwned::to_owned);
    ModelKey { maker, model, version }
}

/// The same as texts: maker, model, version; empty where nobody knows.
pub(super) fn model_texts(documents: &Documents) -> [&str; 3] {
    fn said(text: &Text) -> &str {
        if is_unknown(text) { "" } else { text.as_str() }
    }
    let hardware = &documents.device.hardware;
    let release = documents.report.as_deref().and_then(|report| report.software.release.as_ref());
    let named = release.and_then(|release| version_in(release.as_str()));
    let listed = documents.device.asset.as_ref().and_then(|asset| asset.version.as_ref()).map(Text::as_str);
    [said(&hardware.manufacturer), said(&hardware.model), named.or(listed).unwrap_or_default()]
}

/// The version that the name of a release ends in, if it is one.
#[must_use]
pub fn version_in(release: &str) -> Option<&str> {
    release.rsplit('/').next().filter(|name| is_version(name))
}

impl Matched {
    /// Looks at what is installed in the fleet.
    pub(super) fn holding<T>(&self, look: impl FnOnce(&Holdings) -> T) -> T {
        look(&self.holdings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a device is exposed to; none where nothing was ever imported.
    #[must_use]
    pub fn exposed(&self, member: &Member) -> Option<Arc<Exposed>> {
        self.exposed_as(member).map(|(_, exposed)| exposed)
    }

    /// The same with what other devices must be alike in to be exposed to it.
    pub(super) fn exposed_as(&self, member: &Member) -> Option<(Alike, Arc<Exposed>)> {
        if self.knows_nothing() {
            return None;
        }
        // What is kept under a hash must be of that hash.
        let holdings = self.holdings.read().unwrap_or_else(PoisonError::into_inner);
        let told = member.inventory.as_deref().map(|inventory| inventory.composition);
        let held = told.and_then(|digest| Some((digest, holdings.composition(&digest)?)));
        // No device has it any more, or none has it yet: then what is held of this one.
        let held = held.or_else(|| holdings.of(member.id()).map(|(digest, held)| (*digest, held)));
        let digest = held.map(|(digest, _)| digest);
        let alike = if digest == told { member.gathered().alike } else { Alike::with(digest, member) };
        let expose = || self.expose(&holdings, held.map(|(_, composition)| composition), member);
        Some((alike, self.sets.of(alike, digest, expose)))
    }

    /// Whether nothing was ever imported.
    pub(super) fn knows_nothing(&self) -> bool {
        self.readiness == Readiness::NoFeeds
    }

    fn expose(&self, holdings: &Holdings, composition: Option<&Composition>, member: &Member) -> Exposed {
        match &self.made {
            None => {
                let parts = composition.map_or(0, |held| held.parts.len());
                let parts = u32::try_from(parts).unwrap_or(u32::MAX);
                let not_understood = composition.map_or(0, |held| held.not_understood);
                Exposed { unmatchable: parts.saturating_add(not_understood), ..Exposed::default() }
            }
            Some(made) => {
                let model = model_of(member);
                let said_of_model = made.said_of(&model);
                let shipped = self.shipped.get(&member.device.hardware.model);
                let case = Case {
                    holdings,
                    composition,
                    model: &model,
                    said_of_model: &said_of_model,
                    since: &self.since,
                    shipped: shipped.map(Vec::as_slice).unwrap_or_default(),
                    running: running_of(member),
                };
                made.world.expose(&case, &|number, component| made.hits(number, component))
            }
        }
    }

    /// What a release would be exposed to by its bill of materials on a device of this maker; none while nothing is known.
    #[must_use]
    pub fn expose_bill(&self, bill: &Bill, maker: &str, release: &Release) -> Option<Billed> {
        let made = self.made.as_deref().filter(|_| !self.knows_nothing())?;
        let version = version_in(release.image.release.as_str()).unwrap_or_default();
        let model = ModelKey {
            maker: maker.to_owned(),
            model: release.model.to_string(),
            version: version.to_owned(),
        };
        // Asked anew: what is remembered of models is what devices are.
        let said_of_model = made.world.ask_model(&model);
        let shipped = self.shipped.get(&release.model).map(Vec::as_slice).unwrap_or_default();
        let none = Holdings::default();
        let case = Case {
            holdings: &none,
            composition: None,
            model: &model,
            said_of_model: &said_of_model,
            since: &self.since,
            shipped,
            running: Some(release.counter),
        };
        Some(made.world.expose_bill(&case, bill))
    }

    /// The weaknesses that were ever found here, each with the first day.
    #[must_use]
    pub fn holes(&self) -> Vec<Hole<'_>> {
        let group = |name: &str| self.made.as_ref().and_then(|made| made.world.index.group_of(name));
        let hole = |(name, source, known)| Hole { name, group: group(name), source, known };
        self.since.all().map(hole).collect()
    }

    /// The releases of a model of which something is known, the lower counters first.
    #[must_use]
    pub fn shipped(&self, model: &Text) -> &[Shipped] {
        self.shipped.get(model).map(Vec::as_slice).unwrap_or_default()
    }

    /// All rows about one device, with what each stands on; `all` also what is fixed and what never was affected.
    #[must_use]
    pub fn rows(&self, member: &Member, all: bool) -> Vec<Row> {
        let Some(made) = &self.made else { return Vec::new() };
        let holdings = self.holdings.read().unwrap_or_else(PoisonError::into_inner);
        let model = model_of(member);
        let product = model.thing();
        let mut rows: Vec<Row> = Vec::new();
        for number in holdings.of(member.id()).iter().flat_map(|(_, composition)| &composition.parts) {
            let Some(component) = holdings.component(*number) else { continue };
            if !all && made.hits(*number, component).hits.is_empty() {
                continue;
            }
            for mut row in made.world.rows(component).into_iter().filter(|row| all || row.answer.is_open()) {
                row.stated = made.world.stated(&[&row.id], || Thing::of_component(component), Some(&product));
                rows.push(row);
            }
        }
        let said = made.said_of(&model);
        rows.extend(
            said.iter()
                .filter(|said| all || said.row.answer.is_open())
                .map(|said| made.stated(said, &product)),
        );
        rows
    }

    /// What a name stands for, once anything is known.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<Topic> {
        self.made.as_ref()?.world.topic(name)
    }

    /// What a topic is to each of these devices that it is about at all: the worst row of each.
    #[must_use]
    pub fn about(&self, topic: &Topic, members: &[Arc<Member>]) -> BTreeMap<DeviceId, Row> {
        let Some(made) = &self.made else { return BTreeMap::new() };
        let holdings = self.holdings.read().unwrap_or_else(PoisonError::into_inner);
        let components = made.world.components_about(&holdings, topic);
        let by_component = devices_with(&holdings, &components);
        let mut found = BTreeMap::new();
        for member in members.iter().filter(|member| is_in_use(member)) {
            let component = by_component.get(&member.id()).map(|(number, row)| {
                let (mut row, product) = ((*row).clone(), model_of(member).thing());
                let thing =
                    || holdings.component(*number).map(|one| Thing::of_component(one)).unwrap_or_default();
                row.stated = made.world.stated(&[&row.id], thing, Some(&product));
                row
            });
            let model = if topic.names.is_empty() { None } else { made.about_model(topic, member) };
            let worst = [component, model].into_iter().flatten();
            if let Some(row) = worst.reduce(|a, b| if b.stands() > a.stands() { b } else { a }) {
                found.insert(member.id(), row);
            }
        }
        found
    }

    /// The devices that have what a topic is about. What nobody can judge is not among them.
    #[must_use]
    pub fn affected(&self, topic: &Topic, members: &[Arc<Member>]) -> BTreeSet<DeviceId> {
        let rows = self.about(topic, members).into_iter();
        rows.filter(|(_, row)| row.stands() == Word::Affected).map(|(device, _)| device).collect()
    }

    /// The weaknesses that something in use has or may have: of packages by number, of models by name.
    #[must_use]
    pub fn open(&self, members: &[Arc<Member>]) -> BTreeSet<String> {
        let Some(made) = &self.made else { return BTreeSet::new() };
        let mut found = BTreeSet::new();
        {
            let holdings = self.holdings.read().unwrap_or_else(PoisonError::into_inner);
            let mut groups = BTreeSet::new();
            for (number, component) in holdings.components() {
                groups.extend(made.hits(number, component).hits.iter().map(|hit| hit.group));
            }
            found.extend(groups.into_iter().map(|group| made.world.index.group_name(group).to_owned()));
        }
        let models: BTreeSet<ModelKey> =
            members.iter().filter(|member| is_in_use(member)).map(|member| model_of(member)).collect();
        for model in &models {
            let said = made.said_of(model);
            found
                .extend(said.iter().filter(|said| said.row.answer.is_open()).map(|said| said.row.id.clone()));
        }
        found
    }
}

impl Made {
    fn about_model(&self, topic: &Topic, member: &Member) -> Option<Row> {
        let model = model_of(member);
        let said = self.said_of(&model);
        let own = said.iter().filter(|said| topic.names.contains(&said.row.id));
        let worst = own.reduce(|a, b| if b.row.answer > a.row.answer { b } else { a })?;
        Some(self.stated(worst, &model.thing()))
    }

    fn stated(&self, said: &ModelHit, product: &Thing) -> Row {
        let names: Vec<&str> = said.names.iter().map(String::as_str).collect();
        Row { stated: self.world.stated(&names, || product.clone(), None), ..said.row.clone() }
    }
}

/// Whether a device counts among those that have a weakness: not before it came, nor after its use has ended.
#[must_use]
pub fn is_in_use(member: &Member) -> bool {
    match member.device.state {
        Trust::Listed | Trust::Active | Trust::Quarantined | Trust::Lost => true,
        Trust::Expected | Trust::Pending | Trust::Retired => false,
    }
}
