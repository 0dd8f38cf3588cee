//! The sign `program`: on a sealed image, a program that runs from outside of it.
//!
//! Source: ATT&CK T1204, T1620: what is brought to a device runs from where it can be written. Sealed is what cannot be written, or
//! what the image declares file by file; adapters find out, nothing is assumed. From memory, a deleted file, a folder for passing
//! things, a home or a stick nothing runs usually, and what does is told although the device is still learned; from other writable
//! places what runs while it is learned is usual. A script is its interpreter's, which is of the image: it is not seen here.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::telemetry::Severity;

use super::{Mark, Saying, Sign, Signs, Told};
use crate::detect::ledger::Detector;
use crate::detect::words::shortened;
use crate::profile::key::clean;

/// What runs from outside a sealed image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programs {
    /// Those that do.
    pub outside: Vec<Program>,
    /// Processes that could be looked at, and that could not.
    pub seen: u32,
    /// The latter.
    pub unseen: u32,
}

/// A program that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its short name.
    pub name: String,
    /// From where.
    pub place: Place,
    /// The mark of its path.
    pub path: Mark,
}

/// From where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file that exists in memory alone.
    Memory,
    /// A file that was deleted since.
    Deleted,
    /// A folder for passing things.
    Passing,
    /// A home.
    Home,
    /// A stick or a disk that is not built in.
    Stick,
    /// Any other place that can be written.
    Writable,
}

impl Place {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Memory => ("memory", "memory, without a file"),
            Self::Deleted => ("deleted", "a file that was deleted"),
            Self::Passing => ("temporary", "a temporary folder"),
            Self::Home => ("home", "a home folder"),
            Self::Stick => ("stick", "a medium that is not built in"),
            Self::Writable => ("writable", "a place that can be written"),
        }
    }
}

pub(super) fn look(signs: &mut Signs, programs: &Programs, learns: bool, told: &mut Told<'_>) {
    let outside = &programs.outside;
    let marks: Vec<Mark> = outside.iter().map(|program| program.path).collect();
    let usual =
        |place: usize| learns && outside.get(place).is_some_and(|program| program.place == Place::Writable);
    for place in signs.news(Sign::Program, &marks, usual) {
        let Some(program) = outside.get(place) else { continue };
        let (word, from) = program.place.words();
        let name = clean(&program.name);
        let (all, unseen) = (programs.seen.saturating_add(programs.unseen), programs.unseen);
        let evidence = Vec::from([
            ("program", name.clone()),
            ("processes", all.to_string()),
            ("unseen", unseen.to_string()),
        ]);
        told.tell(&format!("program:{word}/{name}"), &SAYING, evidence, |since, times| {
            format!("Since {since} {} runs from {from}, {times} so far. The image is sealed, and nothing did when it was begun with. Of {all} processes {unseen} were hidden.", shortened(&name))
        });
    }
}

const SAYING: Saying = Saying {
    detector: Detector::Program,
    severity: Severity::High,
    attack: &["T1204", "T1059", "T1620"],
    title: "Runs a program that is not of its image",
    why: "A sealed device runs what its maker released and nothing else; anything else was brought to it.",
    sure: "High: the kernel itself says from where a program runs.",
    act: "Quarantine the device and ask the maker whether the program is theirs. A technician's tool looks the same.",
};
