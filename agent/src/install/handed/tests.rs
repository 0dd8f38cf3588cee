//! A command that takes images: what it is told, when, and what is believed of its answers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::Ordering;
use std::thread;

use cordon_agent_core::update::FetchFault;

use super::*;
use crate::program::write_program;

/// Copies the file into its slot, notes what it was told, and reads the slot back.
const COMMAND: &str = r#"#!/bin/sh
set -e
cd "$(dirname "$0")"
echo "$@" >> told
case "$1" in
install) [ ! -e refuses ]; if [ -e slow ]; then echo $$ > pid; sleep 60; echo > outlived; fi; cp "$3" "slot.$2" ;;
digest) if [ -e blind ]; then echo sha256=none; else echo "sha256=$(sha256sum < "slot.$2" | cut -d' ' -f1)"; fi ;;
esac
"#;

struct Scene {
    folder: tempfile::TempDir,
    handed: Handed,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let command = folder.path().join("command");
        write_program(&command, COMMAND);
        let state = Folder::open(folder.path().join("state")).expect("opens");
        let handed = Handed::new(&command.display().to_string(), state);
        Self { folder, handed }
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.folder.path().join(name), bytes).expect("writes");
    }

    fn told(&self) -> Vec<String> {
        let told = fs::read_to_string(self.folder.path().join("told")).unwrap_or_default();
        let words = told.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "));
        words.collect()
    }

    fn written(&self) {
        let mut writer = self.handed.write(Slot::B, Slot::A, (6, 0)).expect("opens");
        writer.write(0, b"bundle").expect("writes");
    }

    fn prove(&self, running: Slot, wanted: &[u8]) -> Result<Sha256, SlotError> {
        self.handed.prove((Slot::B, running), (Sha256::of(wanted), 6), &AtomicBool::new(true))
    }
}

#[test]
fn only_the_ordered_image_is_handed_over_and_only_once() {
    // Goal: nothing unproven reaches the command, no slot is written twice. Method: a wrong order, the right one, again.
    let scene = Scene::new();
    scene.written();
    assert_eq!(scene.prove(Slot::A, b"other!").expect("is read"), Sha256::of(b"bundle"));
    assert!(scene.told().is_empty(), "not a word about another image");
    for _ in 0..2 {
        assert_eq!(scene.prove(Slot::A, b"bundle").expect("is taken"), Sha256::of(b"bundle"));
    }
    assert_eq!(scene.told(), ["install B", "digest B", "digest B"]);
    assert_eq!(scene.prove(Slot::B, b"bundle").expect("runs on trial"), Sha256::of(b"bundle"));
}

#[test]
fn a_slot_that_changed_is_installed_again_before_its_trial_and_never_while_it_runs() {
    // Goal: the read-back is ours. Method: other bytes in the slot, before the trial and on it.
    let scene = Scene::new();
    scene.written();
    scene.prove(Slot::A, b"bundle").expect("is taken");
    scene.put("slot.B", b"swapped");
    let found = scene.prove(Slot::B, b"bundle").expect("is read");
    assert_eq!(found, Sha256::of(b"swapped"), "what runs is not what was installed");
    fs::rename(scene.folder.path().join("state/handed"), scene.folder.path().join("note")).expect("moves");
    scene.prove(Slot::B, b"bundle").expect_err("what runs cannot be told without the note");
    fs::rename(scene.folder.path().join("note"), scene.folder.path().join("state/handed")).expect("moves");
    assert_eq!(
        fs::read(scene.folder.path().join("slot.B")).expect("reads"),
        b"swapped",
        "and it is not written"
    );
    scene.prove(Slot::A, b"bundle").expect("is installed once more");
    assert_eq!(fs::read(scene.folder.path().join("slot.B")).expect("reads"), b"bundle");
}

#[test]
fn a_command_that_refuses_leaves_no_note_and_one_that_cannot_read_back_is_believed_for_the_rest() {
    // Goal: an installation that failed is none. Method: it refuses, then works; then one without a digest.
    let scene = Scene::new();
    scene.written();
    scene.put("refuses", b"");
    let error = scene.prove(Slot::A, b"bundle").expect_err("is refused");
    assert!(error.to_string().contains("failed"), "{error}");
    assert_eq!(error.fault(), FetchFault::NotTaken);
    fs::remove_file(scene.folder.path().join("refuses")).expect("removes");
    scene.put("blind", b"");
    scene.prove(Slot::A, b"bundle").expect("is taken");
    scene.prove(Slot::B, b"bundle").expect("runs on trial");
    assert_eq!(scene.told(), ["install B", "install B", "digest B", "digest B"]);
}

#[test]
fn a_bundle_that_changed_or_a_command_that_anyone_may_change_is_not_used() {
    // Goal: no way around the hash. Method: bent bytes in the file; a command with the rights of everybody.
    let scene = Scene::new();
    scene.written();
    scene.put("state/handed.B", b"bunDle");
    assert_eq!(scene.prove(Slot::A, b"bundle").expect("is read"), Sha256::of(b"bunDle"));
    assert!(scene.told().is_empty());
    scene.put("state/handed.B", b"bundle");
    let command = scene.folder.path().join("command");
    fs::set_permissions(&command, fs::Permissions::from_mode(0o777)).expect("sets");
    scene.prove(Slot::A, b"bundle").expect_err("is not started");
    assert!(scene.told().is_empty());
}

#[test]
fn an_image_leaves_the_state_folder_its_room_and_gives_back_what_it_took() {
    // Goal: no image fills the disk that the agent's own state is on. Method: the rule at its edge; an image that no disk
    // holds; one that came in part and is given back.
    assert!(leaves_enough(RESERVE + 6, 6) && !leaves_enough(RESERVE + 5, 6));
    assert!(!leaves_enough(u64::MAX, u64::MAX), "no sum that overflows is enough");
    let scene = Scene::new();
    let file = scene.folder.path().join("state/handed.B");
    let refused = scene.handed.write(Slot::B, Slot::A, (1 << 60, 0)).map(drop).expect_err("no disk has that");
    assert_eq!(refused.fault(), FetchFault::DiskFull);
    assert!(!file.exists(), "not even begun");
    scene.written();
    assert!(scene.handed.give_back(Slot::B) && !file.exists());
    assert!(!scene.handed.give_back(Slot::B), "there is nothing more");
}

#[test]
fn an_image_that_an_installer_may_still_read_is_never_written_over() {
    // Goal: nothing changes under an installer that works on after its command was given up. Method: the old file stays
    // open while another image begins; what runs keeps its file.
    let scene = Scene::new();
    scene.written();
    let read = File::open(scene.folder.path().join("state/handed.B")).expect("opens");
    let mut writer = scene.handed.write(Slot::B, Slot::A, (6, 0)).expect("opens");
    writer.write(0, b"BUNDLE").expect("writes");
    assert_eq!(std::io::read_to_string(read).expect("reads"), "bundle");
    scene.handed.write(Slot::B, Slot::B, (6, 0)).map(drop).expect_err("B runs");
    assert!(scene.folder.path().join("state/handed.B").exists());
}

#[test]
fn a_command_that_nobody_waits_for_is_killed_and_the_next_one_waits_for_its_end() {
    // Goal: no two installations at once, none that outlives the agent. Method: one that sleeps, taken back while it works.
    let scene = Scene::new();
    scene.written();
    scene.put("slow", b"");
    let (wanted, pid) = (AtomicBool::new(true), scene.folder.path().join("pid"));
    let asked = (Sha256::of(b"bundle"), 6);
    let runs = |text: &str| Path::new("/proc").join(text.trim()).exists();
    thread::scope(|scope| {
        let first = scope.spawn(|| scene.handed.prove((Slot::B, Slot::A), asked, &wanted));
        let working = || fs::read_to_string(&pid).ok().filter(|text| text.ends_with('\n'));
        while working().is_none() {
            thread::sleep(Duration::from_millis(5));
        }
        let program = working().expect("it works");
        assert!(runs(&program) && !first.is_finished());
        assert!(scene.handed.turn.try_lock().is_err(), "whoever comes now has to wait");
        fs::remove_file(scene.folder.path().join("slow")).expect("removes");
        wanted.store(false, Ordering::Relaxed);
        assert_eq!(scene.prove(Slot::A, b"bundle").expect("is taken"), Sha256::of(b"bundle"));
        assert!(!runs(&program), "the first one has ended before");
        let error = first.join().expect("no panic").expect_err("was not waited for");
        assert!(error.to_string().contains("not waited for"), "{error}");
    });
    assert!(!scene.folder.path().join("outlived").exists(), "it did not come to its own end");
    scene.handed.prove((Slot::B, Slot::A), asked, &wanted).expect_err("and none begins");
}
