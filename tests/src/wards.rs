//! Wards: a light fleet that takes part in rollouts, with its server, in one process and without a socket.
//!
//! The server is the real one but for its listeners: the application, the rollouts and their jobs over a real store. Of a
//! device there is what a rollout sees: an identity of its own, check-ins as values, really signed receipts; and what
//! protects it is never imitated: the owner's chain, the decision on an order and the freshness of a go are the shipped
//! ones. Images, slots, the network and the maker's chain are left out. Time is stepped and never waited for: the devices
//! have the right one, the server's may be wrong. Read next: [`unit`] for a device, [`seat`] for a server, [`dying`] for
//! a store whose server is killed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use cordon_proto::ids::{DeviceId, HardwareId, Name, Text};
use cordon_proto::limits;
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use cordon_proto::update::order::Order;
use cordon_server::people::Doer;
use cordon_server::rollouts::{Deed, Wanted};
use cordon_server::store::{Cursor, Index, Key, Kind, Store};
use cordon_server_core::audit::{Actor, Recorded};
use cordon_server_core::rollout::{Policy, Progress, Rollout, Size, Wave, split};

pub mod chain;
pub mod dying;
pub mod owner;
pub mod seat;
pub mod unit;

use self::chain::Chain;
use self::owner::Owner;
use self::seat::{Place, Seat};
use self::unit::{Nature, Unit};

/// The rollout of the tests.
pub const ROLLOUT: &str = "r-1";
/// Its order.
pub const ORDER: &str = "o-1";

/// The fleet, its owner, and the time.
pub struct Wards {
    /// Where the server lives.
    pub place: Place,
    /// Who signs.
    pub owner: Owner,
    /// What the devices have verified of the owner's word.
    pub chain: Chain,
    /// The devices.
    pub units: Vec<Unit>,
    /// The right time, which is the devices'.
    pub now: Timestamp,
    /// Seconds by which the server's clock is wrong.
    pub skew_s: i64,
    /// Seconds between two check-ins of a device that nobody wakes.
    pub period_s: i64,
}

/// How a rollout stands, without what differs from run to run: names are serials, and no time is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The state, by its kind.
    pub state: String,
    /// Waves that have begun, and those that are settled.
    pub waves: (usize, usize),
    /// How each device ended, by its receipt, and its way back.
    pub ends: BTreeMap<String, (Option<Outcome>, Option<Outcome>)>,
    /// Acts in the journal, with what they say, and how often each.
    pub acts: BTreeMap<String, usize>,
    /// Receipts in the store.
    pub receipts: usize,
}

/// A person.
#[must_use]
pub fn person() -> Actor {
    Actor::Person(Text::lossy("m.okafor"))
}

/// A name that is known to be one.
///
/// # Panics
/// If it is not.
#[must_use]
pub fn name(text: &str) -> Name {
    text.parse().expect("a valid name")
}

impl Wards {
    /// A hospital with so many devices, enrolled at a server over this store.
    pub async fn open(
        place: Place,
        seat: &Seat,
        natures: impl IntoIterator<Item = Nature>,
    ) -> anyhow::Result<Self> {
        let now = place.clock.now();
        let owner = Owner::published(&place, seat, now).await?;
        let chain = Chain::pinned(place.director_root()?);
        let units = Unit::enrolled(seat, natures, now).await?;
        Ok(Self { place, owner, chain, units, now, skew_s: 0, period_s: 300 })
    }

    /// The hardware of all devices.
    #[must_use]
    pub fn members(&self) -> Vec<HardwareId> {
        self.units.iter().map(|unit| unit.hardware.identity()).collect()
    }

    /// Signs an order for all devices and begins its rollout in waves of these sizes.
    pub async fn order(&mut self, seat: &Seat, sizes: &[Size], policy: Policy) -> anyhow::Result<Order> {
        let order = self.owner.order(ORDER, &self.members(), self.now);
        self.owner.publish(seat, std::slice::from_ref(&order), self.now).await?;
        self.begin(seat, &order, sizes, policy).await?;
        Ok(order)
    }

    /// Begins the rollout of a published order.
    pub async fn begin(
        &self,
        seat: &Seat,
        order: &Order,
        sizes: &[Size],
        policy: Policy,
    ) -> anyhow::Result<()> {
        let devices = self.units.iter().map(|unit| ((unit.id, unit.hardware.identity()), ""));
        let waves = split(&devices.collect::<Vec<_>>(), sizes)?;
        let waves = waves.into_iter().enumerate();
        let waves = waves.map(|(number, wave)| (format!("wave {}", number + 1), order.id.clone(), wave));
        let wanted = Wanted::new(name(ROLLOUT), "VP-3 4.2.2".to_owned(), waves.collect(), policy);
        seat.operator.rollouts.create(wanted, Doer { actor: &person(), now: self.server_time() }).await?;
        Ok(())
    }

    /// A person does something with the rollout.
    pub async fn act(&self, seat: &Seat, deed: Deed) -> anyhow::Result<()> {
        let by = Doer { actor: &person(), now: self.server_time() };
        seat.operator.rollouts.act(&name(ROLLOUT), deed, "a person of the test says so", by).await?;
        Ok(())
    }

    /// What time the server believes it is.
    #[must_use]
    pub fn server_time(&self) -> Timestamp {
        self.now.plus_seconds(self.skew_s)
    }

    /// Moves both clocks on.
    pub fn pass(&mut self, seconds: i64) {
        self.now = self.now.plus_seconds(seconds);
        self.place.clock.hold_at(self.server_time().into());
    }

    /// Every device that is due speaks, each to its server, then each server does its jobs. Ends early once a server is
    /// dead; what was not said is said when this is called again, with a server that lives.
    pub async fn turn(&mut self, seats: &mut [&mut Seat]) -> anyhow::Result<()> {
        let servers = seats.len().max(1);
        let (now, period_s) = (self.now, self.period_s);
        for unit in &mut self.units {
            let seat = seats.get(unit.number % servers).context("no server")?;
            if let Err(error) = unit.live(seat, &mut self.chain, now, period_s).await {
                if seat.is_dead() {
                    return Ok(());
                }
                return Err(error.context(format!("device {}", unit.hardware.serial)));
            }
        }
        for seat in seats {
            seat.work().await?;
        }
        Ok(())
    }

    /// Turns until something holds, at most so many, each after so many seconds.
    pub async fn run(
        &mut self,
        seats: &mut [&mut Seat],
        (turns, seconds): (u32, i64),
        mut until: impl FnMut(&Self, &Rollout) -> bool,
    ) -> anyhow::Result<u32> {
        for turn in 0..turns {
            self.pass(seconds);
            self.turn(seats).await?;
            let seat = seats.first().context("no server")?;
            let rollout = seat.rollout().context("no rollout")?;
            if until(self, &rollout) {
                return Ok(turn + 1);
            }
        }
        anyhow::bail!("not there after {turns} turns of {seconds} s")
    }

    /// Devices of a wave.
    pub fn of_wave<'a>(&'a self, wave: &Wave) -> impl Iterator<Item = &'a Unit> {
        let devices: BTreeSet<DeviceId> = wave.devices.iter().copied().collect();
        self.units.iter().filter(move |unit| devices.contains(&unit.id))
    }

    /// How many devices have started something else than they had.
    #[must_use]
    pub fn touched(&self) -> usize {
        self.units.iter().filter(|unit| !unit.started.is_empty()).count()
    }

    /// How the rollout stands by what is stored.
    pub async fn standing(&self, store: &dyn Store) -> anyhow::Result<Standing> {
        let row = store.get(Key::Rollout(name(ROLLOUT))).await?.context("no rollout")?;
        let rollout: Rollout = serde_json::from_slice(&row.body)?;
        let kind = serde_json::to_value(&rollout.state)?;
        let begun = rollout.waves.iter().filter(|wave| wave.started.is_some()).count();
        let settled = rollout.waves.iter().filter(|wave| wave.settled.is_some()).count();
        let mut standing = Standing {
            state: kind.get("kind").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned(),
            waves: (begun, settled),
            receipts: all(store, Kind::Receipt).await?.len(),
            ..Standing::default()
        };
        for unit in &self.units {
            let key = Key::Progress { rollout: name(ROLLOUT), device: unit.id };
            let progress: Progress = match store.get(key).await? {
                Some(row) => serde_json::from_slice(&row.body)?,
                None => Progress::default(),
            };
            let back = progress.back.as_ref().and_then(|back| back.outcome);
            standing.ends.insert(unit.hardware.serial.to_string(), (progress.outcome, back));
        }
        for (_, body) in all(store, Kind::Audit).await? {
            let entry = Recorded::from_bytes(&body).context("not an entry of the journal")?.entry;
            if entry.action.as_str().starts_with("rollout.") {
                let said = entry.after.map(|after| format!("{after:?}")).unwrap_or_default();
                *standing.acts.entry(format!("{} {said}", entry.action)).or_default() += 1;
            }
        }
        Ok(standing)
    }
}

/// All documents of a kind.
pub async fn all(store: &dyn Store, kind: Kind) -> anyhow::Result<Vec<(Key, Vec<u8>)>> {
    let (mut found, mut from) = (Vec::new(), Some(Cursor::First));
    while let Some(cursor) = from {
        let page = store.scan(Index::All(kind), cursor, limits::PAGE_ROWS).await?;
        found.extend(page.rows.into_iter().map(|(key, row)| (key, row.body)));
        from = page.next;
    }
    Ok(found)
}
