//! Health: what a machine says of its own wear, in figures that change by the hour.
//!
//! These figures never enter the inventory, whose root must not move because a disk was written to. A record holds what was
//! read at one moment; the server keeps a few of them and draws the line through them. What could not be read is absent:
//! an absent figure is unknown and never a good one. No name of a person or a file belongs here, and of programs only the short
//! names of services that were started anew. Read next: [`crate::telemetry`] for how a record travels.

use alloc::vec::Vec;

use minicbor::{Decode, Encode};

use crate::ids::Text;
use crate::limits;
use crate::time::Timestamp;
use crate::wire::WireError;

/// Restarts of a service within a day that are a loop. systemd gives up one that fails at each of five starts in a row, which are
/// four restarts (systemd-system.conf(5), `DefaultStartLimitBurst=`).
pub const LOOP_RESTARTS: u32 = 4;

/// What a machine said of itself at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
pub struct Health {
    /// The device's clock then.
    #[n(0)]
    pub time: Timestamp,
    /// Seconds since the machine started.
    #[n(1)]
    pub uptime_s: Option<u64>,
    /// File systems on disks of its own, at most `limits::HEALTH_DISKS`.
    #[n(2)]
    pub disks: Vec<Disk>,
    /// Drives and arrays of drives, at most `limits::HEALTH_DRIVES`.
    #[n(3)]
    pub drives: Vec<Drive>,
    /// The hottest of its sensors, in thousandths of a degree Celsius.
    #[n(4)]
    pub hottest_mc: Option<i64>,
    /// Bytes of memory.
    #[n(5)]
    pub memory_bytes: Option<u64>,
    /// Bytes of memory that programs could still have (proc_meminfo(5): `MemAvailable`).
    #[n(6)]
    pub available_bytes: Option<u64>,
    /// Errors that the memory's own code put right since the start (EDAC).
    #[n(7)]
    pub corrected: Option<u64>,
    /// Errors that it could not put right since the start (EDAC).
    #[n(8)]
    pub uncorrected: Option<u64>,
    /// The clock.
    #[n(9)]
    pub clock: ClockState,
    /// Starts of the machine that the agent has seen, ever. It only rises.
    #[n(10)]
    pub boots: u64,
    /// Starts of the agent, ever. It only rises; more of them than of the machine means that the agent or its supervisor failed.
    #[n(11)]
    pub starts: u64,
    /// Reports of crashes that lie on the device now: core dumps of programs, and what the kernel saved when it died.
    #[n(12)]
    pub crashes: Option<u64>,
    /// Tasks that the kernel's memory killer ended since the start.
    #[n(13)]
    pub memory_kills: Option<u64>,
    /// Services that were started anew; `None` where nothing counts them.
    #[n(14)]
    pub restarts: Option<Restarts>,
}

/// A file system.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
pub struct Disk {
    /// Where it is mounted.
    #[n(0)]
    pub mount: Text,
    /// Bytes it can hold.
    #[n(1)]
    pub bytes: u64,
    /// Bytes that are not free for ordinary programs.
    #[n(2)]
    pub used: u64,
    /// Files it can hold; 0 where it does not count them.
    #[n(3)]
    pub files: u64,
    /// Files it holds.
    #[n(4)]
    pub files_used: u64,
    /// Whether it cannot be written to now.
    #[n(5)]
    pub read_only: bool,
    /// Errors that the file system itself has counted, ever.
    #[n(6)]
    pub errors: Option<u64>,
}

/// A drive, or an array of drives.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
pub struct Drive {
    /// Its name in the kernel, such as `mmcblk0` or `md0`.
    #[n(0)]
    pub name: Text,
    /// How much of its life is used at most, in percent; above 100 when it has outlived what its maker states.
    #[n(1)]
    pub worn_percent: Option<u8>,
    /// Whether it says of itself that it is about to fail, or runs with a part missing.
    #[n(2)]
    pub failing: Option<bool>,
    /// Bytes written since the start of the machine.
    #[n(3)]
    pub written_bytes: Option<u64>,
    /// Reads since the start of the machine that came back wrong and could not be put right.
    #[n(4)]
    pub lost: Option<u64>,
    /// Blocks that are given up for good, ever.
    #[n(5)]
    pub bad_blocks: Option<u64>,
}

/// How often the services of a machine were started anew lately. The first start of a service is none.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
pub struct Restarts {
    /// Seconds before this moment that the counts reach back to: as long as somebody watched, at most a day.
    #[n(0)]
    pub over_s: u32,
    /// Services that were started anew, most often first, at most `limits::HEALTH_SERVICES`.
    #[n(1)]
    pub services: Vec<Service>,
    /// Whether some starts were not seen, so that the counts are the least that is true.
    #[n(2)]
    pub missed: bool,
}

/// A service that was started anew.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
pub struct Service {
    /// Its short name; of several instances of one template the template's, which ends in `@`.
    #[n(0)]
    pub name: Text,
    /// How often.
    #[n(1)]
    pub restarts: u32,
    /// Whether it is not there now.
    #[n(2)]
    pub down: bool,
}

/// How good the machine's clock is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
pub struct ClockState {
    /// Whether a time service says that it has set it.
    #[n(0)]
    pub synchronised: Option<bool>,
    /// What the clock is ahead of the server's, in milliseconds, good to about a second.
    #[n(1)]
    pub ahead_ms: Option<i64>,
}

impl Health {
    /// The record if it keeps its bounds, as it must after travelling.
    pub(crate) fn bounded(self) -> Result<Self, WireError> {
        if self.disks.len() > limits::HEALTH_DISKS {
            return Err(WireError::TooMany { limit: limits::HEALTH_DISKS });
        }
        if self.drives.len() > limits::HEALTH_DRIVES {
            return Err(WireError::TooMany { limit: limits::HEALTH_DRIVES });
        }
        if self.restarts.as_ref().is_some_and(|told| told.services.len() > limits::HEALTH_SERVICES) {
            return Err(WireError::TooMany { limit: limits::HEALTH_SERVICES });
        }
        Ok(self)
    }

    /// Whether somebody should hear of this before the next regular record: a disk is a twentieth fuller or emptier, a machine
    /// is ten degrees hotter or colder, a service is in a loop of starts, or something happened that is counted one by one.
    #[must_use]
    pub fn is_news_after(&self, told: &Self) -> bool {
        let counted = |health: &Self| {
            (health.boots, health.crashes, health.uncorrected, health.memory_kills, health.clock.synchronised)
        };
        let degrees = |health: &Self| health.hottest_mc.unwrap_or(0);
        counted(self) != counted(told)
            || self.drives.len() != told.drives.len()
            || self.drives.iter().zip(&told.drives).any(|(now, before)| now.differs_from(before))
            || self.disks.len() != told.disks.len()
            || self.disks.iter().zip(&told.disks).any(|(now, before)| now.differs_from(before))
            || degrees(self).abs_diff(degrees(told)) >= 10_000
            || self.restarts.as_ref().is_some_and(|now| now.is_news_after(told.restarts.as_ref()))
    }
}

impl Restarts {
    /// Whether a service that is in a loop was in none before, was started twice as often since, or is gone now.
    fn is_news_after(&self, told: Option<&Self>) -> bool {
        let before = |service: &Service| {
            let known = told.and_then(|told| told.services.iter().find(|other| other.name == service.name));
            known.map_or((0, false), |known| (known.restarts, known.down))
        };
        self.services.iter().any(|service| {
            let (restarts, down) = before(service);
            let steps = loop_steps(service.restarts);
            steps > loop_steps(restarts) || (steps > 0 && service.down && !down)
        })
    }
}

/// How deep in a loop a service is that was started anew so often within a day: 0 for none, 1 from [`LOOP_RESTARTS`] on, and one more
/// with each doubling.
#[must_use]
pub fn loop_steps(restarts: u32) -> u32 {
    (restarts / LOOP_RESTARTS).checked_ilog2().map_or(0, |doubled| doubled.saturating_add(1))
}

impl Disk {
    fn differs_from(&self, before: &Self) -> bool {
        let moved = |now: u64, before: u64, whole: u64| now.abs_diff(before) > whole / 20;
        self.mount != before.mount
            || self.read_only != before.read_only
            || self.errors != before.errors
            || moved(self.used, before.used, self.bytes)
            || moved(self.files_used, before.files_used, self.files)
    }
}

impl Drive {
    fn differs_from(&self, before: &Self) -> bool {
        (&self.name, self.worn_percent, self.failing) != (&before.name, before.worn_percent, before.failing)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use alloc::vec;

    use super::*;
    use crate::telemetry::{Body, Position};
    use crate::time::Millis;

    /// A machine in good health.
    pub(crate) fn sample() -> Health {
        let mount = |mount: &str, bytes, used| Disk {
            mount: Text::lossy(mount),
            bytes,
            used,
            files: 100_000,
            files_used: 12_000,
            read_only: false,
            errors: Some(0),
        };
        Health {
            time: Timestamp(1_795_251_906),
            uptime_s: Some(86_400),
            disks: vec![mount("/", 2 << 30, 1 << 30), mount("/var", 4 << 30, 1 << 20)],
            drives: vec![Drive {
                name: Text::lossy("mmcblk0"),
                worn_percent: Some(30),
                failing: Some(false),
                written_bytes: Some(123_456_512),
                lost: None,
                bad_blocks: None,
            }],
            hottest_mc: Some(47_500),
            memory_bytes: Some(1 << 30),
            available_bytes: Some(600 << 20),
            corrected: Some(0),
            uncorrected: Some(0),
            clock: ClockState { synchronised: Some(true), ahead_ms: Some(-1000) },
            boots: 12,
            starts: 15,
            crashes: Some(0),
            memory_kills: None,
            restarts: None,
        }
    }

    /// The same, with a service in a loop and a flash that loses blocks.
    pub(crate) fn looping() -> Health {
        let mut health = sample();
        health.drives.push(Drive {
            name: Text::lossy("mtd2"),
            worn_percent: None,
            failing: None,
            written_bytes: None,
            lost: Some(0),
            bad_blocks: Some(7),
        });
        let service = Service { name: Text::lossy("pump-ui"), restarts: 14, down: false };
        health.restarts = Some(Restarts { over_s: 21_600, services: vec![service], missed: false });
        health
    }

    #[test]
    fn a_record_with_more_than_a_machine_has_is_refused() {
        // Goal: a record costs a server no more than its bound. Method: one disk and one drive too many.
        let of = |health: Health| {
            let record = Body::Health(health).record(Position::default(), Millis(0));
            Body::of(&record)
        };
        assert_eq!(of(sample()), Ok(Some(Body::Health(sample()))));
        let disks = vec![sample().disks[0].clone(); limits::HEALTH_DISKS + 1];
        let limit = limits::HEALTH_DISKS;
        assert_eq!(of(Health { disks, ..sample() }), Err(WireError::TooMany { limit }));
        let drives = vec![sample().drives[0].clone(); limits::HEALTH_DRIVES + 1];
        let limit = limits::HEALTH_DRIVES;
        assert_eq!(of(Health { drives, ..sample() }), Err(WireError::TooMany { limit }));
        assert_eq!(of(looping()), Ok(Some(Body::Health(looping()))));
        let mut many = looping();
        let told = many.restarts.as_mut().expect("counted");
        told.services = vec![told.services[0].clone(); limits::HEALTH_SERVICES + 1];
        assert_eq!(of(many), Err(WireError::TooMany { limit: limits::HEALTH_SERVICES }));
    }

    #[test]
    fn only_what_somebody_should_hear_of_is_news() {
        // Goal: a quiet machine says little. Method: small moves of every figure, then one great move each.
        let told = sample();
        let mut quiet = sample();
        (quiet.time, quiet.uptime_s, quiet.available_bytes) =
            (Timestamp(1_795_255_506), Some(90_000), Some(1));
        (quiet.hottest_mc, quiet.clock.ahead_ms, quiet.starts) = (Some(57_000), Some(0), 16);
        quiet.disks[0].used += (2 << 30) / 20;
        quiet.drives[0].written_bytes = None;
        assert!(!quiet.is_news_after(&told));
        let changes: [fn(&mut Health); 11] = [
            |health| health.disks[0].used += (2 << 30) / 19,
            |health| health.disks[1].read_only = true,
            |health| health.disks[1].files_used = 90_000,
            |health| health.disks[0].errors = Some(1),
            |health| health.disks.truncate(1),
            |health| health.drives[0].worn_percent = Some(40),
            |health| health.drives[0].failing = Some(true),
            |health| health.hottest_mc = Some(57_500),
            |health| health.boots = 13,
            |health| health.crashes = Some(1),
            |health| health.clock.synchronised = Some(false),
        ];
        for (place, change) in changes.iter().enumerate() {
            let mut now = sample();
            change(&mut now);
            assert!(now.is_news_after(&told), "change {place}");
        }
    }

    #[test]
    fn a_loop_is_news_when_it_begins_when_it_doubles_and_when_the_service_is_gone() {
        // Goal: told at once, and not at every start. Method: counts after counts, a service that goes, one that nobody knew.
        let of = |restarts: u32, down: bool| {
            let mut health = looping();
            let service = Service { name: Text::lossy("pump-ui"), restarts, down };
            health.restarts = Some(Restarts { over_s: 60, services: vec![service], missed: false });
            health
        };
        let is_news =
            |now: (u32, bool), before: (u32, bool)| of(now.0, now.1).is_news_after(&of(before.0, before.1));
        let grows = [(3, 0), (4, 3), (7, 4), (8, 7), (15, 8), (16, 15), (4, 16)];
        assert_eq!(
            grows.map(|(now, before)| is_news((now, false), (before, false))),
            [false, true, false, true, false, true, false]
        );
        assert!(
            is_news((5, true), (5, false))
                && !is_news((5, true), (5, true))
                && !is_news((3, true), (3, false))
        );
        let unknown = Health { restarts: None, ..of(0, false) };
        assert!(of(4, false).is_news_after(&unknown) && !of(3, false).is_news_after(&unknown));
        assert!(!unknown.is_news_after(&of(4, false)));
    }
}
