//! The invented hospital: makers, models, sites, wards and how many devices of each kind stand where.
//!
//! All names are made up. The mix follows the issue: infusion pumps, monitors, ventilators, an imaging workstation
//! and kiosks on two sites. Read next: `traffic.rs` for what these devices do on the network.

use cordon_proto::ids::{Hardware, Text};

/// One model of one maker, and what the hospital says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// Who makes it.
    pub maker: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its board.
    pub revision: &'static str,
    /// Serials start with this.
    pub serial: &'static str,
    /// The owner's word for its kind, see the token's placement.
    pub kind: &'static str,
    /// How many of a hundred devices are of this model.
    pub share: usize,
    /// How its release asks for the interlock.
    pub interlock: &'static str,
    /// What it does on the network.
    pub habit: Habit,
}

/// What a kind of device does on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Gateway every five minutes, drug library a few times a day.
    Pump,
    /// Central station every minute.
    Monitor,
    /// Gateway every two minutes.
    Ventilator,
    /// Picture archive in working hours.
    Imaging,
    /// Visitors by day, printer.
    Kiosk,
}

/// The models, in the order in which the demo speaks of them.
pub const MODELS: [Model; 5] = [
    Model {
        maker: "Halden",
        name: "VP-3",
        revision: "C",
        serial: "VP3",
        kind: "infusion-pump",
        share: 40,
        interlock: "application",
        habit: Habit::Pump,
    },
    Model {
        maker: "Halden",
        name: "PM-80",
        revision: "A",
        serial: "PM80",
        kind: "patient-monitor",
        share: 20,
        interlock: "application",
        habit: Habit::Monitor,
    },
    Model {
        maker: "Aerion",
        name: "AER-V5",
        revision: "B",
        serial: "AERV5",
        kind: "ventilator",
        share: 16,
        interlock: "application",
        habit: Habit::Ventilator,
    },
    Model {
        maker: "Lumen",
        name: "IW-2",
        revision: "A",
        serial: "IW2",
        kind: "imaging-workstation",
        share: 4,
        interlock: "person",
        habit: Habit::Imaging,
    },
    Model {
        maker: "Portico",
        name: "K1",
        revision: "A",
        serial: "K1",
        kind: "kiosk",
        share: 20,
        interlock: "idle",
        habit: Habit::Kiosk,
    },
];

/// The first model as a test wants it: its release asks nothing of the interlock, and it is quiet on the network.
pub const QUIET_PUMP: Model = Model { share: 0, interlock: "none", habit: Habit::Imaging, ..MODELS[0] };

/// A workstation for figures: no patient, no habit of its own.
pub const BENCH: Model = Model {
    maker: "Cordon",
    name: "Bench-PC",
    revision: "A",
    serial: "BENCH",
    kind: "workstation",
    ..QUIET_PUMP
};

/// Where devices of a kind stand: site and ward, taken in turn.
const PLACES: [(&str, &str, Habit); 12] = [
    ("St. Brigid", "4B Cardiology", Habit::Pump),
    ("St. Brigid", "Intensive care 2", Habit::Pump),
    ("Northfield", "N2", Habit::Pump),
    ("St. Brigid", "Emergency", Habit::Pump),
    ("St. Brigid", "Emergency", Habit::Monitor),
    ("Northfield", "N2", Habit::Monitor),
    ("St. Brigid", "Intensive care 2", Habit::Ventilator),
    ("Northfield", "Neonatal", Habit::Ventilator),
    ("St. Brigid", "Radiology", Habit::Imaging),
    ("St. Brigid", "Main entrance", Habit::Kiosk),
    ("Northfield", "Outpatients", Habit::Kiosk),
    ("Northfield", "Main entrance", Habit::Kiosk),
];

/// One simulated device before it has an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its model.
    pub model: Model,
    /// Its number among the devices of its model, from 0.
    pub number: usize,
    /// Its site.
    pub site: &'static str,
    /// Its ward.
    pub ward: &'static str,
}

impl Unit {
    /// Its serial.
    #[must_use]
    pub fn serial(&self) -> String {
        format!("{}-{:04}", self.model.serial, 1001 + self.number * 7)
    }

    /// What it reads from itself.
    #[must_use]
    pub fn hardware(&self) -> Hardware {
        Hardware {
            manufacturer: Text::lossy(self.model.maker),
            model: Text::lossy(self.model.name),
            revision: Text::lossy(self.model.revision),
            serial: Text::lossy(&self.serial()),
        }
    }
}

/// `count` devices in the catalogue's mix, at least one of each model.
#[must_use]
pub fn units(count: usize) -> Vec<Unit> {
    let mut numbers: Vec<usize> = MODELS.iter().map(|model| (model.share * count / 100).max(1)).collect();
    let given: usize = numbers.iter().sum();
    if let Some(first) = numbers.first_mut() {
        // Rounding goes to the pumps, so that the sum is what was asked for.
        *first = (*first + count).saturating_sub(given).max(1);
    }
    let of_model = |(model, number): (&'static Model, usize)| {
        let places = PLACES.iter().filter(|(_, _, habit)| *habit == model.habit).cycle();
        (0..number).zip(places).map(|(number, (site, ward, _))| Unit { model: *model, number, site, ward })
    };
    MODELS.iter().zip(numbers).flat_map(of_model).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_mix_has_every_model_on_two_sites_and_no_serial_twice() {
        // Goal: what the issue asks of the demo's fleet. Method: the default and a large fleet.
        for count in [50, 200] {
            let units = units(count);
            assert_eq!(units.len(), count);
            let serials: BTreeSet<String> = units.iter().map(Unit::serial).collect();
            assert_eq!(serials.len(), count);
            let sites: BTreeSet<&str> = units.iter().map(|unit| unit.site).collect();
            assert_eq!(sites.len(), 2);
            let kinds: BTreeSet<&str> = units.iter().map(|unit| unit.model.kind).collect();
            assert_eq!(kinds.len(), MODELS.len());
        }
    }

    #[test]
    fn a_tiny_fleet_still_has_one_of_each() {
        // Goal: `--devices 1` is no special case. Method: ask for one.
        assert_eq!(units(1).len(), MODELS.len());
    }
}
