//! Tests of the health of a machine: each trouble is told before it breaks, noise never is, and what is over closes.

use alloc::string::{String, ToString};
use alloc::vec;

use cordon_proto::health::{ClockState, Drive, Restarts, Service};
use cordon_proto::ids::{DeviceId, Text};
use proptest::prelude::*;

use super::*;
use crate::risk::next_step::Owner;
use crate::vitals::Points;

const NOW: i64 = 1_795_251_906;
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

/// A machine in good health, so many seconds after the beginning.
fn well(after: i64) -> Health {
    let disk = Disk {
        mount: Text::lossy("/var"),
        bytes: 4 << 30,
        used: 1 << 30,
        files: 100_000,
        files_used: 12_000,
        read_only: false,
        errors: Some(0),
    };
    Health {
        time: Timestamp(NOW + after),
        uptime_s: Some(86_400),
        disks: vec![disk],
        drives: vec![Drive {
            name: Text::lossy("mmcblk0"),
            worn_percent: Some(30),
            failing: Some(false),
            written_bytes: None,
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
        memory_kills: Some(0),
        restarts: None,
    }
}

/// What is kept of a device that tells this every hour for so many hours.
fn told(hours: i64, change: impl Fn(i64, &mut Health)) -> Vec<Health> {
    let mut points = Points::default();
    for hour in 0..hours {
        let mut health = well(hour * HOUR);
        change(hour, &mut health);
        let now = health.time;
        points.add(health, now);
    }
    points.all().to_vec()
}

/// A service that was started anew so often within a day.
fn restarted(restarts: u32, down: bool) -> Option<Restarts> {
    let service = Service { name: Text::lossy("pump-ui"), restarts, down };
    Some(Restarts { over_s: 86_400, services: vec![service], missed: false })
}

fn keys(points: &[Health]) -> Vec<String> {
    judge(points, []).iter().map(|finding| finding.key.to_string()).collect()
}

fn open(finding: &Finding) -> triage::Record {
    triage::take_in(None, DeviceId::from_random([1; 16]), finding.clone(), finding.last).0
}

/// A small generator of noise, the same on every machine.
struct Noise(u64);

impl Noise {
    /// From -1 to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.0 >> 33).unwrap_or(0)) / f64::from(1_u32 << 30) - 1.0
    }
}

#[test]
fn a_disk_that_fills_is_told_with_its_day_weeks_before() {
    // Goal: the breakdown is known before it comes. Method: 80 MB more each day on a disk of 4 GiB; the day it says, against
    // the day on which it is really full.
    let grows = |hour: i64, health: &mut Health| {
        health.disks[0].used = (1 << 30) + u64::try_from(hour).unwrap_or(0) * 80_000_000 / 24;
    };
    let full_after = i64::try_from((3_u64 << 30) * 24 / 80_000_000).unwrap_or(0);
    let first = (1..full_after).find(|hour| !keys(&told(*hour, grows)).is_empty()).expect("it is told");
    let points = told(first, grows);
    let [finding] = &judge(&points, [])[..] else { panic!("one finding") };
    assert_eq!((finding.key.as_str(), finding.severity), ("health disk /var", Severity::Low));
    let early = full_after - first;
    assert!((20 * 24..=30 * 24).contains(&early), "{early} hours before");
    let day = Timestamp(NOW + full_after * HOUR).to_string();
    let said = finding.evidence["full-on"].clone();
    let apart = (Timestamp::parse(&alloc::format!("{said}T00:00:00Z")).expect("a day").0
        - Timestamp::parse(&day).expect("a time").0)
        .abs();
    assert!(apart <= 2 * DAY, "it says {said}, and is full on {day}");
    assert!(finding.what_to_do.as_str().contains(&said) && finding.title.as_str().contains(&said));
    assert_eq!(finding.evidence["owner"], "clinical engineering");
    let owner = |finding: &Finding| crate::risk::gather::finding(&open(finding)).owner;
    assert_eq!(owner(finding), Some(Owner::ClinicalEngineering));
    let devices_own = Finding { detector: "beacon".parse().expect("a name"), ..finding.clone() };
    assert_eq!(owner(&devices_own), None, "no device chooses who reads of it");
}

#[test]
fn a_log_that_runs_away_is_told_within_two_days() {
    // Goal: what fills in days is not lost in a line through weeks. Method: a quiet month, then a gigabyte a day.
    let bursts = |hour: i64, health: &mut Health| {
        let since = u64::try_from((hour - 30 * 24).max(0)).unwrap_or(0);
        health.disks[0].used = (1 << 30) + since * (1 << 30) / 24;
    };
    let first = (30 * 24..33 * 24).find(|hour| !keys(&told(*hour, bursts)).is_empty()).expect("it is told");
    assert!(first <= 30 * 24 + 36, "told {} hours after it began", first - 30 * 24);
}

#[test]
fn each_trouble_is_told_and_closes_when_it_is_over() {
    // Goal: every kind, before and after. Method: a quiet week, a day of each trouble, and a quiet week after it.
    type Trouble = fn(i64, &mut Health);
    let troubles: [(&str, Trouble); 12] = [
        ("health disk /var", |_, health| health.disks[0].used = health.disks[0].bytes / 100 * 97),
        ("health files /var", |_, health| health.disks[0].files_used = 98_000),
        ("health read-only /var", |_, health| health.disks[0].read_only = true),
        ("health drive mmcblk0", |_, health| health.drives[0].failing = Some(true)),
        ("health heat", |_, health| health.hottest_mc = Some(68_000)),
        ("health clock", |_, health| health.clock.ahead_ms = Some(-130_000)),
        ("health boots", |hour, health| health.boots += u64::try_from(hour).unwrap_or(0)),
        ("health starts", |hour, health| health.starts += u64::try_from(hour).unwrap_or(0)),
        ("health memory", |hour, health| health.corrected = u64::try_from(hour * 20).ok()),
        ("health service pump-ui", |_, health| health.restarts = restarted(5, false)),
        ("health flash mmcblk0", |hour, health| health.drives[0].lost = u64::try_from(hour / 12).ok()),
        ("health memory-short", |hour, health| health.memory_kills = u64::try_from(hour / 12).ok()),
    ];
    for (key, trouble) in troubles {
        let (from, until) = (7 * 24, 8 * 24);
        let at = |hour: i64, health: &mut Health| {
            if hour >= from {
                trouble((hour - from).min(until - from), health);
            }
            if hour >= until {
                let (boots, starts, corrected, kills) =
                    (health.boots, health.starts, health.corrected, health.memory_kills);
                *health = Health { boots, starts, corrected, memory_kills: kills, ..well(hour * HOUR) };
            }
        };
        assert_eq!(keys(&told(from, at)), [] as [&str; 0], "before {key}");
        let found = judge(&told(until, at), []);
        let [finding] = &found[..] else { panic!("{key}: {found:?}") };
        assert_eq!(finding.key.as_str(), key);
        let record = open(finding);
        assert_eq!(passed([&record], &found).count(), 0, "it is still so");
        let points = told(until + 7 * 24, at);
        let after = judge(&points, [&record]);
        assert_eq!(after, [], "over: {key}");
        assert_eq!(passed([&record], &after).count(), 1);
    }
}

#[test]
fn what_is_open_does_not_flicker() {
    // Goal: a finding on the edge does not open and close every hour. Method: a disk that swings about the limit, heat about its.
    let swings = |hour: i64, health: &mut Health| {
        let percent = if hour % 2 == 0 { 96 } else { 94 };
        health.disks[0].used = health.disks[0].bytes / 100 * percent;
    };
    let (even, odd) = (told(48 * 24 + 1, swings), told(48 * 24, swings));
    let found = judge(&even, []);
    assert_eq!(found.len(), 1);
    assert!(judge(&odd, []).is_empty(), "nobody was told before");
    let record = open(&found[0]);
    assert_eq!(judge(&odd, [&record]).len(), 1, "what was told stays");
}

#[test]
fn wear_is_told_ahead_of_its_end() {
    // Goal: steps of ten percent make a date. Method: ten percent each two months from 50.
    let wears = |hour: i64, health: &mut Health| {
        health.drives[0].worn_percent = u8::try_from(50 + 10 * (hour / (60 * 24))).ok();
    };
    assert_eq!(keys(&told(100 * 24, wears)), [] as [&str; 0]);
    let found = judge(&told(130 * 24, wears), []);
    assert_eq!(found.iter().map(|finding| finding.key.as_str()).collect::<Vec<_>>(), ["health wear mmcblk0"]);
    let end = found[0].evidence["end-on"].clone();
    let really = Timestamp(NOW + 300 * DAY).to_string();
    let apart = Timestamp::parse(&alloc::format!("{end}T00:00:00Z")).expect("a day").0
        - Timestamp::parse(&really).expect("a time").0;
    assert!(apart.abs() <= 15 * DAY, "{end}, really {really}");
}

#[test]
fn a_service_in_a_loop_is_told_with_its_count_and_its_usual_until_it_is_calm_and_there() {
    // Goal: the loop before the breakdown, one restart a day never, and a service that was given up stays told. Method: ten days
    // of one restart, then fourteen, then three, then none but gone, then there.
    let of = |restarts, down| {
        move |hour: i64, health: &mut Health| {
            let usual = hour < 10 * 24;
            health.restarts = if usual { restarted(1, false) } else { restarted(restarts, down) };
        }
    };
    assert_eq!(keys(&told(10 * 24, of(1, false))), [] as [&str; 0]);
    assert_eq!(
        keys(&told(10 * 24 + 2, of(3, true))),
        [] as [&str; 0],
        "fewer are no loop, whoever stopped it"
    );
    let found = judge(&told(10 * 24 + 2, of(14, false)), []);
    let [finding] = &found[..] else { panic!("one finding: {found:?}") };
    assert_eq!(finding.title.as_str(), "Restarted 14 times: pump-ui");
    assert_eq!(
        finding.what_changed.as_str(),
        "Restarts by the device's own service manager within 24 hours: 14. On a usual day before that: 1."
    );
    assert_eq!((finding.severity, &*finding.evidence["runs"]), (Severity::Medium, "yes"));
    let record = open(finding);
    let goes_on = |restarts, down| judge(&told(10 * 24 + 30, of(restarts, down)), [&record]);
    assert_eq!(goes_on(2, false).len(), 1, "not yet calm");
    assert_eq!(goes_on(1, false), [], "calm");
    let gone = goes_on(0, true);
    assert_eq!((gone.len(), gone[0].severity), (1, Severity::High));
    assert_eq!(gone[0].title.as_str(), "Gone after restarts: pump-ui");
    let unseen = |hour: i64, health: &mut Health| {
        of(14, false)(hour, health);
        let told = health.restarts.as_mut().expect("counted");
        (told.missed, told.over_s) = (true, 21_600);
    };
    let found = judge(&told(10 * 24 + 2, unseen), []);
    assert!(found[0].what_changed.as_str().contains("within 6 hours: at least 14."));
}

#[test]
fn flash_that_gives_up_blocks_is_told_and_one_that_came_with_bad_blocks_is_not() {
    // Goal: what happens, not what was always so. Method: seven bad blocks from the factory; four more in three weeks; a reboot that
    // begins the counter of lost reads anew.
    let blocks = |more: u64| {
        move |hour: i64, health: &mut Health| {
            health.drives[0].bad_blocks = Some(7 + more * u64::try_from(hour).unwrap_or(0) / (21 * 24));
            health.drives[0].lost = Some(if hour < 300 { 5 } else { 0 });
        }
    };
    assert_eq!(keys(&told(22 * 24, blocks(0))), [] as [&str; 0]);
    assert_eq!(keys(&told(22 * 24, blocks(3))), [] as [&str; 0]);
    let found = judge(&told(22 * 24, blocks(4)), []);
    let [finding] = &found[..] else { panic!("one finding: {found:?}") };
    assert_eq!((finding.key.as_str(), finding.severity), ("health flash mmcblk0", Severity::Low));
    assert_eq!(finding.title.as_str(), "Flash mmcblk0 gave up 4 blocks");
}

#[test]
fn noise_is_never_an_alarm() {
    // Goal: false alarms decide whether anyone looks. Method: 500 machines, each of 60 days of figures that only swing; judged
    // every sixth hour of the last two weeks.
    for seed in 0..500 {
        let mut noise = Noise(seed);
        let swing: Vec<[f64; 4]> =
            (0..60 * 24).map(|_| [noise.next(), noise.next(), noise.next(), noise.next()]).collect();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "small figures of a test"
        )]
        let at = |hour: i64, health: &mut Health| {
            let [disk, files, heat, clock] = swing[usize::try_from(hour).unwrap_or(0)];
            health.disks[0].used = ((2_u64 << 30) as i64 + (disk * 4e8) as i64) as u64;
            health.disks[0].files_used = (50_000 + (files * 9_000.0) as i64) as u64;
            health.hottest_mc = Some(45_000 + (heat * 6_000.0) as i64);
            health.clock.ahead_ms = Some((clock * 1_500.0) as i64);
            health.boots = u64::try_from(hour / 24).unwrap_or(0);
            health.starts = health.boots;
        };
        let mut points = Points::default();
        for hour in 0..60 * 24 {
            let mut health = well(hour * HOUR);
            at(hour, &mut health);
            let now = health.time;
            points.add(health, now);
            if hour >= 46 * 24 && hour % 24 == 0 {
                assert_eq!(keys(points.all()), [] as [&str; 0], "seed {seed}, hour {hour}");
            }
        }
    }
}

#[test]
fn nothing_known_says_nothing() {
    // Goal: an absent figure is no alarm and no promise. Method: no point; points without a figure.
    assert_eq!(keys(&[]), [] as [&str; 0]);
    let bare = |_: i64, health: &mut Health| {
        let time = health.time;
        *health = Health {
            disks: vec![],
            drives: vec![],
            hottest_mc: None,
            corrected: None,
            uncorrected: None,
            clock: ClockState::default(),
            memory_kills: None,
            restarts: None,
            ..well(0)
        };
        health.time = time;
    };
    assert_eq!(keys(&told(100, bare)), [] as [&str; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_points_are_judged_without_a_panic(
        steps in prop::collection::vec((0_i64..100_000, any::<u64>(), any::<u64>(), any::<i64>(), any::<u64>()), 0..60)
    ) {
        // Goal: hostile figures cost nothing. Method: random ones of every size.
        let mut points = Points::default();
        let mut at = 0;
        for (step, used, bytes, milli, count) in steps {
            at += step;
            let mut health = well(at);
            health.disks[0] = Disk { used, bytes, files: count, files_used: used, errors: Some(count), ..health.disks[0].clone() };
            (health.hottest_mc, health.clock.ahead_ms) = (Some(milli), Some(milli));
            (health.boots, health.starts, health.corrected, health.memory_kills) = (count, used, Some(bytes), Some(count));
            let now = health.time;
            points.add(health, now);
        }
        let found = judge(points.all(), []);
        for finding in &found {
            prop_assert!(finding.title.as_str().chars().count() <= 48);
            prop_assert!(finding.evidence.contains_key("owner"));
        }
        let records: Vec<triage::Record> = found.iter().map(open).collect();
        prop_assert_eq!(passed(&records, &found).count(), 0);
    }
}
