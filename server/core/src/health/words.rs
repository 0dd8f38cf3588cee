//! What people are told of an ailing machine: what happens, since when, about when it breaks, whose it is, what to do.
//!
//! The same words on every page and in every export. Figures are in the evidence too, for programs. Read next:
//! [`super`] for when each is said.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::health::{Disk, Service};
use cordon_proto::ids::Text;
use cordon_proto::telemetry::{Finding, Severity};
use cordon_proto::time::Timestamp;

use super::{DAY_S, DETECTOR, by_days, percent};

/// What ails a machine, with its figures. Times left are in seconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ail {
    Full { disk: Disk, files: bool },
    Fills { disk: Disk, files: bool, left: f64, soonest: f64, over_s: f64 },
    ReadOnly { mount: Text },
    FileSystem { mount: Text, errors: u64 },
    Failing { drive: Text },
    Worn { drive: Text, worn: u8, left: Option<f64> },
    Heat { now: f64, usual: Option<f64> },
    Clock { ahead: f64, left: Option<f64> },
    Restarts { machine: bool, count: u64 },
    Memory { lost: u64, mended: u64 },
    MemoryShort { kills: u64 },
    Service { service: Service, over_s: u32, missed: bool, usual: Option<u32> },
    Flash { drive: Text, lost: u64, blocks: u64 },
}

/// What ails it, and the key under which that is one finding.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    key: String,
    ail: Ail,
}

/// The sentences of a finding.
struct Words {
    title: String,
    changed: String,
    matters: &'static str,
    sure: &'static str,
    todo: String,
    owner: &'static str,
    severity: Severity,
    evidence: Vec<(&'static str, String)>,
}

impl Told {
    pub(super) fn new(key: String, ail: Ail) -> Self {
        Self { key, ail }
    }

    /// The finding, as seen at the device's last word.
    pub(super) fn finding(&self, at: Timestamp) -> Finding {
        let words = self.ail.words(at);
        let owner = ("owner", words.owner.to_string());
        let evidence = words.evidence.into_iter().chain([owner]);
        let evidence: BTreeMap<String, String> =
            evidence.map(|(name, value)| (name.to_string(), value)).collect();
        let title: String = words.title.chars().take(48).collect();
        Finding {
            detector: DETECTOR.parse().expect("a valid name"),
            key: Text::lossy(&self.key),
            first: at,
            last: at,
            count: 1,
            peer: None,
            severity: words.severity,
            attack: Vec::new(),
            evidence,
            title: Text::lossy(&title),
            what_changed: Text::lossy(&words.changed),
            why_it_matters: Text::lossy(words.matters),
            how_sure: Text::lossy(words.sure),
            what_to_do: Text::lossy(&words.todo),
        }
    }
}

impl Ail {
    fn words(&self, at: Timestamp) -> Words {
        match self {
            Self::Full { disk, files } => full(disk, *files),
            Self::Fills { disk, files, left, soonest, over_s } => {
                fills(disk, *files, (*left, *soonest, *over_s), at)
            }
            Self::ReadOnly { mount } => read_only(mount),
            Self::FileSystem { mount, errors } => file_system(mount, *errors),
            Self::Failing { drive } => failing(drive),
            Self::Worn { drive, worn, left } => wear(drive, *worn, *left, at),
            Self::Heat { now, usual } => heat(*now, *usual),
            Self::Clock { ahead, left } => clock(*ahead, *left, at),
            Self::Restarts { machine, count } => restarts(*machine, *count),
            Self::Memory { lost, mended } => memory(*lost, *mended),
            Self::MemoryShort { kills } => memory_short(*kills),
            Self::Service { service, over_s, missed, usual } => loops(service, (*over_s, *missed), *usual),
            Self::Flash { drive, lost, blocks } => flash(drive, *lost, *blocks),
        }
    }
}

const ENGINEERING: &str = "clinical engineering";
const IT: &str = "IT";
const MAKER: &str = "maker";
const SURE: &str = "High: the machine's own figures.";
const FULL_MATTERS: &str = "A device without room cannot store what it measures, and takes no update.";

fn full(disk: &Disk, files: bool) -> Words {
    let (what, used, whole) = share(disk, files);
    let percent = percent(used, whole);
    Words {
        title: format!("{} is full to {percent} %", disk.mount),
        changed: format!("{} of {what} are used: {used} of {whole}.", disk.mount),
        matters: FULL_MATTERS,
        sure: SURE,
        todo: "Clinical engineering: make room by the maker's instructions. Where nothing may be deleted, ask the maker."
            .to_string(),
        owner: ENGINEERING,
        severity: if percent >= 99 { Severity::High } else { Severity::Medium },
        evidence: room(disk, files),
    }
}

fn fills(disk: &Disk, files: bool, (left, soonest, over_s): (f64, f64, f64), at: Timestamp) -> Words {
    let (what, used, whole) = share(disk, files);
    let (day, days) = (date(at, left), count(left / DAY_S));
    let mut evidence = room(disk, files);
    evidence.extend([("full-on", day.clone()), ("soonest", date(at, soonest))]);
    Words {
        title: format!("{} fills about {day}", disk.mount),
        changed: format!(
            "It rose in a line over the last {} days to {} % of its {what}: full in about {days} days, at the soonest {}.",
            count(over_s / DAY_S),
            percent(used, whole),
            date(at, soonest),
        ),
        matters: FULL_MATTERS,
        sure: "Medium: a line through the last points (Theil-Sen), if it goes on like this.",
        todo: format!(
            "Clinical engineering: make room before {day}. Logs or stored studies that nobody moves away are the usual cause."
        ),
        owner: ENGINEERING,
        severity: by_days(left / DAY_S),
        evidence,
    }
}

fn read_only(mount: &Text) -> Words {
    Words {
        title: format!("{mount} cannot be written to any more"),
        changed: "It could be written to before: the system has closed it, as it does after errors."
            .to_string(),
        matters: "What the device measures is not stored, and updates fail.",
        sure: SURE,
        todo: "Clinical engineering: take the device out of use when it is free, and have the drive checked."
            .to_string(),
        owner: ENGINEERING,
        severity: Severity::High,
        evidence: Vec::from([("mount", mount.to_string())]),
    }
}

fn file_system(mount: &Text, errors: u64) -> Words {
    Words {
        title: format!("Errors in the file system {mount}"),
        changed: format!("The file system counted {errors} more within a week."),
        matters: "A drive that loses sectors fails soon, and takes the device with it.",
        sure: SURE,
        todo: "Clinical engineering: have the drive checked and replaced before it fails.".to_string(),
        owner: ENGINEERING,
        severity: Severity::Medium,
        evidence: Vec::from([("mount", mount.to_string()), ("errors", errors.to_string())]),
    }
}

fn failing(drive: &Text) -> Words {
    Words {
        title: format!("Drive {drive} says that it fails"),
        changed: "The drive reports its own failure, or an array runs with a part missing.".to_string(),
        matters: "The next fault may be the end of the device's data.",
        sure: SURE,
        todo: "Clinical engineering: replace the drive at the next free hour; IT: check the backup first."
            .to_string(),
        owner: ENGINEERING,
        severity: Severity::High,
        evidence: Vec::from([("drive", drive.to_string())]),
    }
}

fn wear(drive: &Text, worn: u8, left: Option<f64>, at: Timestamp) -> Words {
    let end = left.map(|left| date(at, left));
    let about = end.as_ref().map_or_else(
        || "its speed is not known yet".to_string(),
        |day| format!("at this speed its end is about {day}"),
    );
    let mut evidence = Vec::from([("drive", drive.to_string()), ("worn-percent", worn.to_string())]);
    evidence.extend(end.map(|day| ("end-on", day)));
    Words {
        title: format!("Drive {drive} has used {worn} % of its life"),
        changed: format!("By its own count {worn} % of the writes that its maker states are used; {about}."),
        matters: "Worn flash turns read-only or loses data without a warning of its own.",
        sure: "High for the wear, medium for the date: drives count in steps.",
        todo: "Clinical engineering: plan its replacement with the maker.".to_string(),
        owner: MAKER,
        severity: if worn >= 100 { Severity::Medium } else { Severity::Low },
        evidence,
    }
}

fn heat(now: f64, usual: Option<f64>) -> Words {
    let compared = match usual {
        Some(usual) => format!("Over the last hours {now:.0} °C; this device's usual is {usual:.0} °C."),
        None => format!("Over the last hours {now:.0} °C."),
    };
    let mut evidence = Vec::from([("celsius", format!("{now:.1}"))]);
    evidence.extend(usual.map(|usual| ("usual-celsius", format!("{usual:.1}"))));
    Words {
        title: format!("Runs hot: {now:.0} °C"),
        changed: compared,
        matters: "Heat shortens a device's life and can stop it in use.",
        sure: "High for the temperature; what is usual is the median of the device's own days.",
        todo: "Clinical engineering: look for a stopped fan, dust, a covered vent or a device near a heater."
            .to_string(),
        owner: ENGINEERING,
        severity: if now >= super::HOT { Severity::Medium } else { Severity::Low },
        evidence,
    }
}

fn clock(ahead: f64, left: Option<f64>, at: Timestamp) -> Words {
    let way = if ahead < 0.0 { "behind" } else { "ahead" };
    let off = libm::fabs(ahead);
    let changed = match left {
        Some(left) => format!("It is {off:.0} s {way} and drifts: a minute off about {}.", date(at, left)),
        None => format!("It is {off:.0} s {way} of this server's clock."),
    };
    Words {
        title: format!("Clock is {off:.0} s {way}"),
        changed,
        matters: "Wrong times in records mislead treatment, and certificates fail when the clock is far off.",
        sure: "High: compared with this server's clock, to about a second.",
        todo: "IT: give the device a time server that it reaches; clinical engineering: set its clock."
            .to_string(),
        owner: IT,
        severity: if off >= 3600.0 { Severity::Medium } else { Severity::Low },
        evidence: Vec::from([("ahead-s", format!("{ahead:.1}"))]),
    }
}

fn restarts(machine: bool, count: u64) -> Words {
    let what = if machine { "The device" } else { "The agent" };
    Words {
        title: format!("{what} started {count} times in a day"),
        changed: format!("{what} started {count} times within the last 24 hours."),
        matters: "Whatever restarts again and again is not there when it is needed.",
        sure: SURE,
        todo:
            "Clinical engineering: look whether somebody switches it; else its power supply, then its maker."
                .to_string(),
        owner: ENGINEERING,
        severity: if machine { Severity::Medium } else { Severity::Low },
        evidence: Vec::from([("starts", count.to_string())]),
    }
}

fn memory(lost: u64, mended: u64) -> Words {
    Words {
        title: if lost > 0 {
            "Memory lost data".to_string()
        } else {
            "Memory errs and mends itself".to_string()
        },
        changed: format!(
            "{mended} errors were put right within a day, {lost} could not be since the last start."
        ),
        matters: "Memory that errs often soon errs beyond repair, and then values are wrong or the device stops.",
        sure: SURE,
        todo: "Clinical engineering: have the memory module replaced by the maker.".to_string(),
        owner: MAKER,
        severity: if lost > 0 { Severity::High } else { Severity::Medium },
        evidence: Vec::from([("corrected-in-a-day", mended.to_string()), ("uncorrected", lost.to_string())]),
    }
}

fn memory_short(kills: u64) -> Words {
    Words {
        title: "Runs out of memory".to_string(),
        changed: format!("The system ended {kills} programs within a day because no memory was left."),
        matters: "The next program that it ends may be the one that a patient needs.",
        sure: SURE,
        todo: "Clinical engineering: ask the maker; until then a restart at a free hour helps for a while."
            .to_string(),
        owner: MAKER,
        severity: Severity::Medium,
        evidence: Vec::from([("ended-in-a-day", kills.to_string())]),
    }
}

fn loops(service: &Service, (over_s, missed): (u32, bool), usual: Option<u32>) -> Words {
    let Service { name, restarts, down } = service;
    let (least, over) = (if missed { "at least " } else { "" }, span(over_s));
    let mut changed = match restarts {
        0 => format!("It was started anew again and again, then given up: no start in the last {over}."),
        _ => format!("Restarts by the device's own service manager within {over}: {least}{restarts}."),
    };
    if let Some(usual) = usual {
        changed.push_str(&format!(" On a usual day before that: {usual}."));
    }
    if *down && *restarts > 0 {
        changed.push_str(" It does not run now.");
    }
    let mut evidence = Vec::from([
        ("service", name.to_string()),
        ("restarts", restarts.to_string()),
        ("over-s", over_s.to_string()),
        ("runs", if *down { "no" } else { "yes" }.to_string()),
    ]);
    evidence.extend(usual.map(|usual| ("usual-in-a-day", usual.to_string())));
    Words {
        title: match restarts {
            0 => format!("Gone after restarts: {name}"),
            1 => format!("Restarted once: {name}"),
            _ => format!("Restarted {restarts} times: {name}"),
        },
        changed,
        matters: "What a service does is missing while it starts, and its manager gives it up in the end.",
        sure: if missed {
            "High that it is so; some starts were not seen, so the count is the least."
        } else {
            "High: every start is counted as the device's service manager announces it."
        },
        todo: format!(
            "Clinical engineering: check what the device no longer does, and take it out of use if that is needed. Ask the maker, with the device's log of {name} from before a restart."
        ),
        owner: MAKER,
        severity: if *down { Severity::High } else { Severity::Medium },
        evidence,
    }
}

fn flash(drive: &Text, lost: u64, blocks: u64) -> Words {
    Words {
        title: match lost {
            0 => format!("Flash {drive} gave up {blocks} blocks"),
            _ => format!("Flash {drive} lost data"),
        },
        changed: format!(
            "Within a week {lost} reads could not be put right; within a month {blocks} blocks were given up."
        ),
        matters: "Flash that gives up blocks nears its end; then the device does not start or forgets what it measured.",
        sure: SURE,
        todo: "Clinical engineering: save what is stored on it, and plan its replacement with the maker."
            .to_string(),
        owner: MAKER,
        severity: if lost > 0 { Severity::High } else { Severity::Low },
        evidence: Vec::from([
            ("drive", drive.to_string()),
            ("lost-in-a-week", lost.to_string()),
            ("blocks-in-a-month", blocks.to_string()),
        ]),
    }
}

/// A length of time as one says it.
fn span(seconds: u32) -> String {
    match seconds {
        0..7200 => format!("{} minutes", (seconds / 60).max(1)),
        _ => format!("{} hours", seconds / 3600),
    }
}

fn share(disk: &Disk, files: bool) -> (&'static str, u64, u64) {
    if files { ("files", disk.files_used, disk.files) } else { ("bytes", disk.used, disk.bytes) }
}

fn room(disk: &Disk, files: bool) -> Vec<(&'static str, String)> {
    let (what, used, whole) = share(disk, files);
    Vec::from([
        ("mount", disk.mount.to_string()),
        ("what", what.to_string()),
        ("used", used.to_string()),
        ("whole", whole.to_string()),
    ])
}

/// The day so many seconds after a moment.
fn date(at: Timestamp, left: f64) -> String {
    let day = at.plus_seconds(count(left)).to_string();
    day.split_once('T').map_or(day.clone(), |(day, _)| day.to_string())
}

/// A figure in whole units, as far as a century goes.
#[expect(clippy::cast_possible_truncation, reason = "cut to a century before")]
fn count(figure: f64) -> i64 {
    figure.clamp(0.0, 100.0 * 366.0 * DAY_S) as i64
}
