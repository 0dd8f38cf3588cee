//! The sign `account`: a new account that may sign in, one with all rights, or another key that opens one.
//!
//! Source: ATT&CK T1136.001 and T1098.004: who wants to come back leaves a way. The first look is where it begins; an account that
//! went and came again is new again. Of keys only their hash comes in here.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::telemetry::Severity;

use super::{Mark, Saying, Sign, Signs, Told};
use crate::detect::ledger::Detector;
use crate::detect::words::shortened;
use crate::profile::key::clean;

/// A way to sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The account.
    pub account: String,
    /// Of what kind.
    pub kind: Kind,
}

/// What a way to sign in is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An account with a shell.
    Shell,
    /// One with the number of root, whatever its shell.
    Root,
    /// The keys that open it, by their hash.
    Keys(Mark),
}

pub(super) fn look(signs: &mut Signs, ways: &[Way], told: &mut Told<'_>) {
    let mark = |way: &Way| match way.kind {
        Kind::Shell => Mark::of(&["shell", &way.account]),
        Kind::Root => Mark::of(&["root", &way.account]),
        Kind::Keys(Mark(keys)) => Mark::of(&["keys", &way.account, &format!("{keys:x}")]),
    };
    let marks: Vec<Mark> = ways.iter().map(mark).collect();
    for place in signs.news(Sign::Account, &marks, |_| false) {
        let Some(way) = ways.get(place) else { continue };
        let name = clean(&way.account);
        let (word, title, says) = match way.kind {
            Kind::Shell => ("account", "Has a new account that may sign in", "may sign in"),
            Kind::Root => ("root", "Has a new account with all rights", "has all the rights of root"),
            Kind::Keys(_) => ("keys", "Lets other keys sign in than before", "opens to other keys"),
        };
        let saying = Saying { title, ..SAYING };
        told.tell(&format!("{word}:{name}"), &saying, Vec::from([("account", name.clone())]), |since, _| {
            format!(
                "Since {since} the account {} {says}. It did not when the device was last looked at.",
                shortened(&name)
            )
        });
    }
}

const SAYING: Saying = Saying {
    detector: Detector::Account,
    severity: Severity::High,
    attack: &["T1136.001", "T1098.004"],
    title: "",
    why: "Who has an account of their own comes back whenever they like, and looks like staff.",
    sure: "High: it is read from the device's own list of accounts.",
    act: "Ask who made it; if nobody did, quarantine the device and have the account removed. Service staff and updates make accounts too.",
};
