//! Services that start again and again: counted start by start, told as the few that a person should look at.
//!
//! systemd leaves a link in `/run/systemd/units` for each service while it is there, and makes it anew with each start; whoever
//! watches that folder misses none, however short a service lives. Counts are by the hour and reach back a day. The table is
//! bounded; what does not fit, or was not seen, makes the counts the least that is true, and that is told. Seconds are those of a
//! clock that nobody sets. A service that others start on demand (a timer, a call) is in no loop: only what its own file tells the
//! service manager to start anew counts. Read next: `cordon_proto::health`, `agent/src/host/services.rs`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use cordon_proto::health::{Restarts, Service, loop_steps};
use cordon_proto::ids::Text;
use cordon_proto::limits;
use cordon_proto::sorting::sort_by;

const HOUR_S: u64 = 3600;
/// Hours that counts reach back to, the present one included.
const HOURS: u64 = 24;
/// What the link of a unit begins with (systemd, `unit_export_invocation_id` in `src/core/unit.c`).
const LINK: &str = "invocation:";
const SERVICE: &str = ".service";

/// What was seen of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is there, when the watch begins.
    There,
    /// It started.
    Started,
    /// It is gone.
    Gone,
}

/// The count of one service.
#[derive(Debug)]
struct Unit {
    name: Box<str>,
    there: bool,
    /// It was in a loop, and has not run a day without a restart since.
    looped: bool,
    /// Restarts in an hour, by the hour's number, oldest first.
    hours: Vec<(u64, u32)>,
}

/// The counts of all services since the watch began.
#[derive(Debug)]
pub struct Watch {
    begun_s: u64,
    units: Vec<Unit>,
    missed_s: Option<u64>,
}

/// The service that a link in the folder is of, its instance included.
#[must_use]
pub fn service_of(link: &str) -> Option<&str> {
    link.strip_prefix(LINK)?.strip_suffix(SERVICE).filter(|name| !name.is_empty())
}

/// Whether a service is started anew by itself, by one of the files that describe it; `None` where the file says nothing of it.
#[must_use]
pub fn starts_anew(file: &str) -> Option<bool> {
    let mut values = file.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "Restart").then(|| value.trim())
    });
    values.next_back().map(|value| !matches!(value, "" | "no"))
}

impl Watch {
    /// A watch that begins.
    #[must_use]
    pub fn new(now_s: u64) -> Self {
        Self { begun_s: now_s, units: Vec::new(), missed_s: None }
    }

    /// Takes in what was seen of a service; whether its count calls for a look: it is in a loop now, or twice as deep in one.
    pub fn see(&mut self, name: &str, seen: Seen, now_s: u64) -> bool {
        let place = match self.units.iter().position(|unit| &*unit.name == name) {
            Some(place) => place,
            None => {
                self.make_room();
                if self.units.len() >= limits::SERVICES {
                    self.miss(now_s);
                    return false;
                }
                let there = seen != Seen::Gone;
                self.units.push(Unit { name: name.into(), there, looped: false, hours: Vec::new() });
                return false;
            }
        };
        let Some(unit) = self.units.get_mut(place) else { return false };
        unit.there = seen != Seen::Gone;
        seen == Seen::Started && unit.started(now_s / HOUR_S)
    }

    /// Starts were lost: the counts of the next day are the least that is true.
    pub fn miss(&mut self, now_s: u64) {
        self.missed_s = Some(now_s);
    }

    /// What is to be told now. `is_own` says whether the service manager starts a service anew by itself.
    #[must_use]
    pub fn tell(&mut self, now_s: u64, is_own: impl Fn(&str) -> bool) -> Restarts {
        let hour = now_s / HOUR_S;
        for unit in &mut self.units {
            unit.forget(hour);
        }
        let mut services: Vec<Service> = Vec::new();
        for unit in self.units.iter().filter(|unit| unit.is_worth_telling() && is_own(&unit.name)) {
            let (restarts, down) = (unit.restarts(), !unit.there);
            let name = Text::lossy(template(&unit.name));
            match services.iter_mut().find(|service| service.name == name) {
                Some(service) => {
                    service.restarts = service.restarts.saturating_add(restarts);
                    service.down |= down;
                }
                None => services.push(Service { name, restarts, down }),
            }
        }
        sort_by(&mut services, |one, other| (one.restarts, &other.name) > (other.restarts, &one.name));
        services.truncate(limits::HEALTH_SERVICES);
        let over_s = now_s.saturating_sub(self.begun_s).min(HOURS * HOUR_S);
        let missed = self.missed_s.is_some_and(|at| now_s.saturating_sub(at) < HOURS * HOUR_S);
        Restarts { over_s: u32::try_from(over_s).unwrap_or(u32::MAX), services, missed }
    }

    /// Forgets one service that is gone and was never started anew, if the table is full.
    fn make_room(&mut self) {
        if self.units.len() >= limits::SERVICES
            && let Some(idle) = self.units.iter().position(|unit| !unit.there && unit.hours.is_empty())
        {
            self.units.swap_remove(idle);
        }
    }
}

impl Unit {
    /// Counts a restart.
    fn started(&mut self, hour: u64) -> bool {
        self.forget(hour);
        match self.hours.last_mut().filter(|(last, _)| *last == hour) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.hours.push((hour, 1)),
        }
        let restarts = self.restarts();
        self.looped |= loop_steps(restarts) > 0;
        loop_steps(restarts) > loop_steps(restarts.saturating_sub(1))
    }

    fn forget(&mut self, hour: u64) {
        self.hours.retain(|(counted, _)| counted.saturating_add(HOURS) > hour);
        self.looped &= !(self.there && self.hours.is_empty());
    }

    fn restarts(&self) -> u32 {
        self.hours.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// What was started anew within the day, and what was given up in a loop and is gone since.
    fn is_worth_telling(&self) -> bool {
        !self.hours.is_empty() || (self.looped && !self.there)
    }
}

/// A name without its instance, which may hold a peer or a person.
fn template(name: &str) -> &str {
    name.find('@').and_then(|at| name.get(..=at)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::{String, ToString};

    use proptest::prelude::*;

    use super::*;

    fn told(watch: &mut Watch, now_s: u64) -> Vec<String> {
        let restarts = watch.tell(now_s, |_| true);
        let line = |service: &Service| format!("{} {} {}", service.name, service.restarts, service.down);
        restarts.services.iter().map(line).collect()
    }

    #[test]
    fn links_and_files_of_the_service_manager_are_read_as_it_writes_them() {
        // Goal: services and no other units; whether one starts anew by itself. Method: names and files as systemd has them.
        let names = [
            "invocation:pump-ui.service",
            "invocation:getty@tty1.service",
            ".#invocation:pump-ui.service3f1c",
            "invocation:-.mount",
            "invocation:.service",
            "log-level-max:pump-ui.service",
        ];
        let services = [Some("pump-ui"), Some("getty@tty1"), None, None, None, None];
        assert_eq!(names.map(service_of), services);
        let files = [
            "[Service]\nExecStart=/bin/pump\nRestart=on-failure\n",
            "[Service]\nRestart = always\n",
            "[Service]\nRestart=always\nRestart=no\n",
            "[Service]\nRestart=\n",
            "[Service]\nRestartSec=5\n#Restart=always\n",
            "",
        ];
        assert_eq!(files.map(starts_anew), [Some(true), Some(true), Some(false), Some(false), None, None]);
    }

    #[test]
    fn every_restart_within_a_day_counts_and_first_starts_do_not() {
        // Goal: exact counts of the last 24 hours. Method: one service that was there, one that came later, both over two days.
        let mut watch = Watch::new(0);
        watch.see("pump-ui", Seen::There, 0);
        assert!(!watch.see("late", Seen::Started, 10), "a first start");
        assert_eq!(told(&mut watch, 20), [] as [&str; 0]);
        for second in 100..114 {
            watch.see("pump-ui", Seen::Gone, second);
            watch.see("pump-ui", Seen::Started, second);
        }
        watch.see("late", Seen::Started, 5 * HOUR_S);
        assert_eq!(told(&mut watch, 6 * HOUR_S), ["pump-ui 14 false", "late 1 false"]);
        assert_eq!(watch.tell(6 * HOUR_S, |_| true).over_s, 21_600, "as long as it was watched");
        assert_eq!(watch.tell(6 * HOUR_S, |name| name == "late").services.len(), 1, "others start it");
        assert_eq!(told(&mut watch, 24 * HOUR_S - 1), ["pump-ui 14 false", "late 1 false"]);
        assert_eq!(told(&mut watch, 24 * HOUR_S), ["late 1 false"]);
        assert_eq!(told(&mut watch, 29 * HOUR_S), [] as [&str; 0]);
        assert_eq!(watch.tell(90 * HOUR_S, |_| true).over_s, 86_400, "at most a day");
    }

    #[test]
    fn a_loop_calls_for_a_look_when_it_begins_and_when_it_doubles() {
        // Goal: told within a second, and not at each start. Method: forty restarts in a row.
        let mut watch = Watch::new(0);
        watch.see("ui", Seen::There, 0);
        let looks: Vec<u32> = (1..=40).filter(|n| watch.see("ui", Seen::Started, u64::from(*n))).collect();
        assert_eq!(looks, [4, 8, 16, 32]);
    }

    #[test]
    fn what_was_given_up_in_a_loop_stays_told_until_it_runs_again() {
        // Goal: a service that its manager gave up is not forgotten with the day. Method: four restarts and gone; two days on.
        let mut watch = Watch::new(0);
        for name in ["given-up", "stopped"] {
            watch.see(name, Seen::There, 0);
        }
        for second in 1..=4 {
            watch.see("given-up", Seen::Gone, second);
            watch.see("given-up", Seen::Started, second);
        }
        watch.see("given-up", Seen::Gone, 5);
        watch.see("stopped", Seen::Gone, 5);
        assert_eq!(told(&mut watch, 60), ["given-up 4 true"]);
        assert_eq!(told(&mut watch, 48 * HOUR_S), ["given-up 0 true"]);
        watch.see("given-up", Seen::Started, 48 * HOUR_S);
        assert_eq!(told(&mut watch, 49 * HOUR_S), ["given-up 1 false"]);
        assert_eq!(told(&mut watch, 72 * HOUR_S), [] as [&str; 0]);
        watch.see("given-up", Seen::Gone, 73 * HOUR_S);
        assert_eq!(told(&mut watch, 74 * HOUR_S), [] as [&str; 0], "it ran a day without a restart");
    }

    #[test]
    fn instances_are_told_by_their_template_alone() {
        // Goal: no peer and no person in a name. Method: two instances with one of each.
        let mut watch = Watch::new(0);
        for name in ["kiosk@anna", "kiosk@10.0.0.7:22"] {
            watch.see(name, Seen::There, 0);
            watch.see(name, Seen::Started, 1);
        }
        assert_eq!(told(&mut watch, 2), ["kiosk@ 2 false"]);
    }

    #[test]
    fn a_full_table_and_a_lost_event_are_said() {
        // Goal: bounds that never make a count look whole. Method: more services than fit, gone ones make room; an overflow.
        let mut watch = Watch::new(0);
        let name = |n: usize| format!("s{n}");
        for n in 0..limits::SERVICES {
            watch.see(&name(n), Seen::There, 0);
        }
        watch.see("s7", Seen::Gone, 1);
        watch.see("new", Seen::Started, 2);
        watch.see("new", Seen::Started, 3);
        assert_eq!((told(&mut watch, 4).len(), watch.tell(4, |_| true).missed), (1, false));
        watch.see("more", Seen::Started, 5);
        assert!(watch.tell(6, |_| true).missed && watch.tell(24 * HOUR_S, |_| true).missed);
        assert!(!watch.tell(25 * HOUR_S, |_| true).missed, "a day later the counts are whole again");
        for n in 10..30 {
            for _ in 0..n {
                watch.see(&name(n), Seen::Started, 30 * HOUR_S);
            }
        }
        let most: Vec<String> = (22..30).rev().map(|n| format!("s{n} {n} false")).collect();
        assert_eq!(told(&mut watch, 30 * HOUR_S), most, "the worst are told");
    }

    proptest! {
        #[test]
        fn any_events_keep_the_table_and_the_report_within_their_bounds(
            events in prop::collection::vec((0_u16..400, 0_u8..3, 0_u64..20_000), 0..2000)
        ) {
            let (mut watch, mut now) = (Watch::new(0), 0);
            for (unit, seen, step) in events {
                now += step;
                let seen = [Seen::There, Seen::Started, Seen::Gone][usize::from(seen)];
                watch.see(&unit.to_string(), seen, now);
                prop_assert!(watch.units.len() <= limits::SERVICES);
            }
            let restarts = watch.tell(now, |_| true);
            prop_assert!(restarts.services.len() <= limits::HEALTH_SERVICES);
            prop_assert!(restarts.services.is_sorted_by(|one, other| one.restarts >= other.restarts));
            prop_assert!(watch.units.iter().all(|unit| unit.hours.len() <= 24));
        }
    }
}
