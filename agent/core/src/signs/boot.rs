//! The sign `boot`: started from another medium, or with other settings of the kernel, and no update explains it.
//!
//! Source: ATT&CK T1542: below the system nothing of it is in force. What an update of ours confirmed is not told: its release is
//! another, and both are begun anew with it.

use alloc::format;
use alloc::vec::Vec;

use cordon_proto::telemetry::Severity;

use super::{Look, Saying, Sign, Signs, Told};
use crate::detect::ledger::Detector;

pub(super) fn look(signs: &mut Signs, look: &Look, told: &mut Told<'_>) {
    let pairs = [
        (Sign::Medium, look.medium, "boot:medium", "Started from another medium", "from another medium"),
        (
            Sign::Settings,
            look.settings,
            "boot:settings",
            "Started with other settings",
            "with other settings of its kernel",
        ),
    ];
    for (sign, mark, key, title, how) in pairs {
        let Some(mark) = mark else { continue };
        if !signs.news(sign, &[mark], |_| false).is_empty() {
            told.tell(key, &Saying { title, ..SAYING }, Vec::new(), |since, _| {
                format!("Since {since} the device runs {how} than before. The release that is installed is the same, so no update explains it.")
            });
        }
    }
}

const SAYING: Saying = Saying {
    detector: Detector::Machine,
    severity: Severity::High,
    attack: &["T1542", "T1200"],
    title: "",
    why: "A device that starts something else does not run what its maker released, and none of its protections.",
    sure: "High: both are read from the running kernel.",
    act: "Look at the device: is a stick in it, was it opened? Quarantine it until it starts as before. A repair with a new disk looks the same.",
};
