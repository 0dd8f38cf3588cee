//! A few rounds of each fault on each engine, and what shows that the rounds would notice: the long ones are soaks.
//!
//! Kills need nothing but this program; power cuts need the superuser and a kernel that lets a disk be stopped, and
//! say so where they have not. Read next: `cordon_sim::faults`.

use std::path::Path;

use cordon_sim::faults::checker::Answered;
use cordon_sim::faults::image::{self, Image};
use cordon_sim::faults::kills::Kills;
use cordon_sim::faults::powercut::PowerCuts;
use cordon_sim::faults::subject::{Engine, Habit, Subject};
use cordon_sim::program::program;
use cordon_sim::skip;
use cordon_sim::soak::Rounds;

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");

/// The seeds of a test's rounds; a failure prints the one that repeats it.
fn seeds(rounds: u64) -> impl Iterator<Item = u64> {
    (1..=rounds).map(|round| round * 1_000_003)
}

fn survives_kills(engine: Engine) {
    let mut kills = Kills::new(Path::new(SIM), engine);
    let mut answered = 0;
    for seed in seeds(6) {
        let verdict = kills.play(seed, Habit::Right).expect("played");
        assert!(verdict.is_clean(), "seed {seed}: {verdict}");
        answered += verdict.commits + verdict.records;
    }
    assert!(answered > 100, "only {answered} answers: the kills came too early to show anything");
}

fn survives_power_cuts(engine: Engine) {
    let test = "power cuts";
    if let Err(error) = image::probe() {
        assert!(!skip::require_right(&format!("to cut a disk's power ({error:#})"), test, false));
        return;
    }
    let mut cuts = PowerCuts::new(Path::new(SIM), engine).expect("a disk");
    println!("{}", cuts.control(7).expect("caught"));
    for seed in seeds(4) {
        let verdict = cuts.play(seed, Habit::Right).expect("played");
        assert!(verdict.is_clean(), "seed {seed}: {verdict}");
    }
}

#[test]
fn redb_loses_nothing_when_its_writer_is_killed() {
    // Goal: whole transactions and an open door after a crash. Method: six kills of one store, checked after each.
    survives_kills(Engine::Redb);
}

#[test]
fn sled_loses_nothing_when_its_writer_is_killed() {
    // Goal: as for redb. Method: the same.
    survives_kills(Engine::Sled);
}

#[test]
fn postgres_loses_nothing_when_its_writer_is_killed() {
    // Goal: as for redb, the database killed too. Method: the same; some of the kills take all its processes.
    if skip::require_package("initdb").is_some() {
        survives_kills(Engine::Postgres);
    }
}

#[test]
fn redb_loses_nothing_when_the_power_goes() {
    // Goal: stored means stored. Method: four power cuts on fresh disks; the control without syncs has to lose first.
    survives_power_cuts(Engine::Redb);
}

#[test]
fn sled_loses_nothing_when_the_power_goes() {
    // Goal: as for redb, although sled's own flush would lose. Method: the same.
    survives_power_cuts(Engine::Sled);
}

#[test]
fn postgres_loses_nothing_when_the_power_goes() {
    // Goal: as for redb. Method: the same, the database's folder on the disk.
    if skip::require_package("initdb").is_some() {
        survives_power_cuts(Engine::Postgres);
    }
}

/// Writes until the disk is full, makes room, checks.
fn survives_a_full_disk(engine: Engine) {
    if let Err(error) = image::probe() {
        assert!(!skip::require_right(&format!("to mount a disk ({error:#})"), "a full disk", false));
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Image::make(&folder.path().join("disk"), 96).expect("a disk");
    let mounted = disk.mount(&folder.path().join("mounted")).expect("mounted");
    let ballast = mounted.path().join("ballast");
    // Under sled a reserve stays free, so more room is left for the writing.
    let bytes = if engine == Engine::Sled { 40_000_000 } else { 60_000_000 };
    std::fs::write(&ballast, vec![7; bytes]).expect("written");
    let place = mounted.path().join("store");
    Subject::prepare(engine, &place).expect("prepared");
    let subject = Subject::of(Path::new(SIM), engine, &place, Habit::Right);
    let mut writing = subject.write(11, 0, None).expect("begun");
    let ended = writing.wait().expect_err("the disk is small").to_string();
    assert!(ended.contains("full"), "{engine}: {ended}");
    std::fs::remove_file(ballast).expect("removed");
    let verdict = subject.check(&Answered { seed: 11, runs: vec![writing.answered()] }).expect("checked");
    assert!(verdict.is_clean() && verdict.commits > 50, "{engine}: {verdict}");
    mounted.unmount().expect("nobody uses it");
}

#[test]
fn redb_loses_nothing_on_a_full_disk() {
    // Goal: what was answered before the disk was full is there, and writing goes on. Method: a small disk, filled.
    survives_a_full_disk(Engine::Redb);
}

#[test]
fn sled_loses_nothing_on_a_full_disk() {
    // Goal: as for redb, where the store's reserve keeps sled from the last byte. Method: the same.
    survives_a_full_disk(Engine::Sled);
}

#[test]
fn answers_that_are_said_too_early_are_caught() {
    // Goal: the rounds of kills can fail. Method: a writer that says each answer before it asks the store.
    println!("{}", Kills::new(Path::new(SIM), Engine::Redb).control(3).expect("caught"));
}

#[test]
fn no_answer_comes_before_a_sync_of_the_disk() {
    // Goal: each answer has its sync, seen from outside the program, without any right. Method: writers with one step
    // after the other under strace; at least as many syncs as steps of one writer; without syncs, next to none.
    if skip::require_package("strace").is_none() {
        return;
    }
    for engine in [Engine::Redb, Engine::Sled] {
        let right = syncs(engine, &[]);
        let control = syncs(engine, &["--unsynced"]);
        assert!(right >= 40, "{engine}: {right} syncs for 40 answers");
        assert!(control < 20, "{engine}: {control} syncs without syncs: this test shows nothing");
    }
}

/// Calls of fsync and fdatasync for forty steps of one writer.
fn syncs(engine: Engine, more: &[&str]) -> usize {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, log) = (folder.path().join("store"), folder.path().join("log"));
    let mut command = program("timeout");
    command.args(["60", "strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o"]).arg(&log).arg(SIM);
    command.args(["store-writer", "--seed=1", "--run=0", "--writers=1", "--steps=40"]);
    command.arg(format!("--store={engine}:{}", store.display())).args(more);
    let output = command.output().expect("started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let log = std::fs::read_to_string(log).expect("a log");
    log.lines().filter(|line| line.contains("sync(") && !line.contains("resumed")).count()
}

#[test]
fn a_run_that_ends_by_itself_is_found_whole() {
    // Goal: the checker accepts what is right and misses nothing of it. Method: a run of fixed length, then a claim of
    // one answer more, which has to be lost.
    for engine in [Engine::Redb, Engine::Sled] {
        let folder = tempfile::tempdir().expect("a folder");
        let subject = Subject::of(Path::new(SIM), engine, folder.path(), Habit::Right);
        let mut writing = subject.write(5, 0, Some(30)).expect("begun");
        writing.wait().expect("done");
        let mut answered = Answered { seed: 5, runs: vec![writing.answered()] };
        let verdict = subject.check(&answered).expect("checked");
        assert!(verdict.is_clean() && verdict.commits == 8 * 20, "{engine}: {verdict}");
        answered.runs[0].answered[3] += 1;
        let verdict = subject.check(&answered).expect("checked");
        assert_eq!((verdict.lost, verdict.doubled, verdict.torn), (1, 0, 0), "{engine}: {verdict}");
    }
}
