//! The sign `cabinet`: a switch that the maker built into the cabinet says that it was opened.
//!
//! Each opening counts; a switch that chatters is one finding with a count. One that is open at the first look is told: a maker
//! delivers it shut.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::telemetry::Severity;

use super::{Known, Mark, Saying, Sign, Signs, Told};
use crate::detect::ledger::Detector;
use cordon_proto::limits;

/// A switch, as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Its name in the configuration.
    pub name: String,
    /// Whether it is open now.
    pub open: bool,
    /// How often it was seen to open since the last look.
    pub openings: u32,
}

pub(super) fn look(signs: &mut Signs, switches: &[Switch], told: &mut Told<'_>) {
    for switch in switches {
        let mark = Mark::of(&[&switch.name]);
        let was_open = signs.knows(Sign::Cabinet, mark);
        signs.known.retain(|known| known.sign != Sign::Cabinet || known.mark != mark);
        if switch.open && signs.known.len() < limits::SIGN_MARKS {
            signs.known.push(Known { sign: Sign::Cabinet, mark, usual: false });
        }
        let openings = switch.openings.max(u32::from(switch.open && !was_open));
        for _ in 0..openings.min(limits::SIGN_OPENINGS) {
            told.tell(&format!("cabinet:{}", switch.name), &SAYING, Vec::new(), |since, times| {
                format!("Since {since} the switch {} of the cabinet opened, {times} so far. It belongs shut while the device is in use.", switch.name)
            });
        }
    }
}

const SAYING: Saying = Saying {
    detector: Detector::Machine,
    severity: Severity::High,
    attack: &["T1200"],
    title: "Its cabinet was opened",
    why: "Inside the cabinet are the ports, disks and buttons that its locks keep people from.",
    sure: "High that the switch moved; a worn switch or a slammed door moves it too.",
    act: "Have somebody look at the cabinet today, and at what is plugged in. Announce repairs as a service visit, then this is expected.",
};
