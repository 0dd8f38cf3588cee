//! What the sensor keeps of the machine between two readings: the inventory that was handed in last, the figures that were told
//! last, and how often the machine has started.
//!
//! The inventory lies on the disk and not in memory, which it would fill. It is only ever compared: a change is made against it
//! when the server says that it holds the very same one, and a copy that is lost, old or damaged makes the next one whole. Read
//! next: `cordon_proto::inventory::delta`.

use cordon_proto::health::Health;
use cordon_proto::ids::Sha256;
use cordon_proto::inventory::Inventory;
use cordon_proto::inventory::delta::Delta;
use cordon_proto::inventory::packed::Packed;
use cordon_proto::telemetry::Body;
use cordon_proto::{limits, wire};

use super::messages::Lacking;
use crate::files::{FileError, Folder};

/// The inventory that was handed in last.
const INVENTORY: &str = "inventory.cbor";
/// The last boot that was seen, and how many there were.
const BOOTS: &str = "boots.cbor";
/// Bytes of the latter.
const BOOTS_BYTES: usize = 64;
/// Seconds after which figures are told although nothing happened.
const TELL_S: i64 = 6 * 3600;

/// The inventory as it is to be handed in: what changed since the one that the server holds, if that is the one handed in last
/// and little changed; otherwise the whole, packed where the server reads that.
pub(super) fn hand_in(state: &Folder, lacking: Lacking, inventory: Inventory) -> Body {
    let last = lacking.held.and_then(|held| last(state).filter(|last| last.root() == held));
    let delta = last.map(|last| Delta::between(&last, &inventory));
    if let Err(error) = state.write(INVENTORY, &wire::write(&inventory)) {
        tracing::warn!(%error, "the inventory could not be kept; the next one goes out whole");
    }
    match delta {
        Some(delta) if delta.rows() <= inventory.rows().len() / 4 => Body::InventoryDelta(delta),
        Some(_) | None => match Packed::of(&inventory).filter(|_| lacking.packed) {
            Some(packed) => Body::InventoryPacked(packed),
            None => Body::Inventory(inventory),
        },
    }
}

fn last(state: &Folder) -> Option<Inventory> {
    let bytes = state.read(INVENTORY, limits::RECORD_BYTES).ok()??;
    wire::read(&bytes, limits::RECORD_BYTES).ok()
}

/// Counts this boot if it is not the one seen last, and says how many there were. What cannot be kept is counted from one again.
pub(super) fn boots(state: &Folder, boot: Option<Sha256>) -> u64 {
    let bytes = state.read(BOOTS, BOOTS_BYTES).ok().flatten().unwrap_or_default();
    let (last, count): (Option<Sha256>, u64) = wire::read(&bytes, BOOTS_BYTES).unwrap_or_default();
    if boot.is_none() || boot == last {
        return count;
    }
    let count = count.saturating_add(1);
    if let Err(error) = state.write(BOOTS, &wire::write(&(boot, count))) {
        tracing::warn!(%error, "the count of starts could not be kept");
    }
    count
}

/// Removes what is kept of the owner's: the count of starts is the device's own.
pub(super) fn forget(state: &Folder) -> Result<(), FileError> {
    state.remove(INVENTORY)
}

/// What was told of the machine last.
#[derive(Debug, Default)]
pub(super) struct Told(Option<Health>);

impl Told {
    /// The figures, if they are to be told now.
    pub(super) fn tell(&mut self, health: Health) -> Option<Health> {
        let is_due = |told: &Health| {
            let since = health.time.seconds_since(told.time);
            !(0..TELL_S).contains(&since) || health.is_news_after(told)
        };
        if !self.0.as_ref().is_none_or(is_due) {
            return None;
        }
        self.0 = Some(health.clone());
        Some(health)
    }
}

#[cfg(test)]
mod tests {
    use cordon_proto::health::ClockState;
    use cordon_proto::ids::Text;
    use cordon_proto::inventory::{Row, Section};
    use cordon_proto::time::Timestamp;

    use super::*;

    fn inventory(version: &str) -> Inventory {
        let row = |n: usize| Row {
            section: Section::Package,
            key: Text::lossy(&format!("deb/p{n}/all")),
            fields: vec![if n == 3 { version.to_owned() } else { "1".to_owned() }],
        };
        Inventory::new((0..20).map(row).collect())
    }

    #[test]
    fn a_change_is_handed_in_only_against_the_very_inventory_that_the_server_holds() {
        // Goal: small where it can be, whole where anything is in doubt. Method: no base, the right one, another, a damaged copy.
        let root = tempfile::tempdir().expect("a scratch folder");
        let state = Folder::open(root.path().join("state")).expect("opens");
        let (one, two, three) = (inventory("1"), inventory("2"), inventory("3"));
        let held = |inventory: &Inventory| Lacking { held: Some(inventory.root()), packed: false };
        assert_eq!(hand_in(&state, Lacking::default(), one.clone()), Body::Inventory(one.clone()));
        let packed = Lacking { held: None, packed: true };
        let Body::InventoryPacked(packed) = hand_in(&state, packed, one.clone()) else { panic!("packed") };
        assert_eq!(packed.unpack(), Ok(one.clone()));
        let Body::InventoryDelta(delta) = hand_in(&state, held(&one), two.clone()) else {
            panic!("a change")
        };
        assert_eq!(delta.apply(&one), Ok(two.clone()));
        assert_eq!(
            hand_in(&state, held(&one), two.clone()),
            Body::Inventory(two.clone()),
            "the change was lost"
        );
        std::fs::write(state.path().join(INVENTORY), b"damaged").expect("writes");
        assert_eq!(hand_in(&state, held(&two), three.clone()), Body::Inventory(three.clone()));
        let other = Inventory::new(one.rows().iter().take(9).cloned().collect());
        assert_eq!(hand_in(&state, held(&three), other.clone()), Body::Inventory(other), "most rows went");
        forget(&state).expect("removes");
        assert!(!state.path().join(INVENTORY).exists());
    }

    #[test]
    fn each_boot_counts_once() {
        // Goal: starts of the machine, not of the agent. Method: the same boot twice, another, none, a damaged count.
        let root = tempfile::tempdir().expect("a scratch folder");
        let state = Folder::open(root.path().join("state")).expect("opens");
        let boot = |byte| Some(Sha256([byte; 32]));
        let counted = [boot(1), boot(1), boot(2), None, boot(2)].map(|boot| boots(&state, boot));
        assert_eq!(counted, [1, 1, 2, 2, 2]);
        std::fs::write(state.path().join(BOOTS), b"damaged").expect("writes");
        assert_eq!(boots(&state, boot(2)), 1);
    }

    #[test]
    fn figures_are_told_when_something_happened_and_else_four_times_a_day() {
        // Goal: few records, and none late. Method: hours go by; a crash; a clock set back.
        let at = |seconds: i64, crashes| Health {
            time: Timestamp(seconds),
            uptime_s: None,
            disks: Vec::new(),
            drives: Vec::new(),
            hottest_mc: None,
            memory_bytes: None,
            available_bytes: None,
            corrected: None,
            uncorrected: None,
            clock: ClockState::default(),
            boots: 1,
            starts: 1,
            crashes: Some(crashes),
            memory_kills: None,
            restarts: None,
        };
        let mut told = Told::default();
        let mut tell = |seconds, crashes| told.tell(at(seconds, crashes)).is_some();
        assert!(tell(0, 0), "the first at once");
        assert!(!tell(3600, 0) && !tell(TELL_S - 1, 0) && tell(TELL_S, 0));
        assert!(tell(TELL_S + 60, 1), "a crash");
        assert!(tell(60, 1), "the clock was set back");
    }
}
