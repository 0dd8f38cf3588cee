//! The link and the words beside it, with the power cut at every step.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::boot::change;

fn factory() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a scratch folder");
    for slot in ["A", "B"] {
        fs::create_dir(folder.path().join(slot)).expect("makes");
    }
    symlink("A", folder.path().join(CURRENT)).expect("links");
    fs::write(folder.path().join(WORDS), "active=A trial=none left=0 booted=A\n").expect("writes");
    folder
}

fn control(folder: &Path) -> FolderBoot {
    let restart = vec!["touch".to_owned(), folder.join("started").display().to_string()];
    FolderBoot { boot_id: folder.join("boot_id"), ..FolderBoot::at(folder, restart).expect("opens") }
}

fn linked(folder: &Path) -> String {
    fs::read_link(folder.join(CURRENT)).expect("is a link").display().to_string()
}

const ARM: Change = Change::Arm { slot: Slot::B, attempts: 3 };

#[test]
fn a_trial_is_started_by_the_agent_and_confirmed_or_taken_back() {
    // Goal: the loader's act without a loader. Method: arm, start, confirm; arm, start, back.
    let folder = factory();
    let mut control = control(folder.path());
    change(&mut control, ARM).expect("arms");
    assert_eq!(linked(folder.path()), "A", "nothing starts before its time");
    assert_eq!(control.restart(&mut || true).expect("starts"), Some(true));
    assert!(folder.path().join("started").exists());
    let state = control.read().expect("reads");
    assert_eq!((linked(folder.path()).as_str(), state.booted, state.active), ("B", Slot::B, Slot::A));
    assert_eq!(state.tried(Slot::B), Some(1));
    change(&mut control, Change::Confirm { slot: Slot::B }).expect("confirms");
    assert_eq!(control.read().map(|state| (state.active, state.trial)).expect("reads"), (Slot::B, None));

    change(&mut control, Change::Arm { slot: Slot::A, attempts: 3 }).expect("arms");
    assert_eq!(control.restart(&mut || true).expect("starts"), Some(true));
    assert_eq!(linked(folder.path()), "A");
    change(&mut control, Change::RollBack { to: Slot::B }).expect("goes back");
    assert_eq!(control.restart(&mut || true).expect("starts"), Some(true));
    assert_eq!((linked(folder.path()).as_str(), control.read().expect("reads").booted), ("B", Slot::B));
}

#[test]
fn a_start_that_is_held_off_leaves_words_and_link_as_they_were() {
    // Goal: whoever comes while the words are stored is not too late. Method: a no that looks at what is stored by then;
    // once on the way into a trial, once on the way back.
    let folder = factory();
    let mut control = control(folder.path());
    let words = || fs::read_to_string(folder.path().join(WORDS)).expect("reads");
    for (asked, from, to) in [(ARM, "A", "B"), (Change::RollBack { to: Slot::A }, "B", "A")] {
        change(&mut control, asked).expect("is taken");
        let (before, mut seen) = (words(), String::new());
        let held = control.restart(&mut || {
            seen = format!("{} {}", linked(folder.path()), words());
            false
        });
        assert!(matches!(held, Err(BootError::NotNow)));
        assert!(
            seen.starts_with(to) && seen.contains(&format!("starting={to}")),
            "nothing else is left: {seen}"
        );
        assert_eq!((linked(folder.path()).as_str(), words()), (from, before));
        assert!(!folder.path().join("started").exists());
        assert_eq!(control.restart(&mut || true).expect("starts"), Some(true));
        fs::remove_file(folder.path().join("started")).expect("was started");
    }
}

#[test]
fn an_application_that_does_not_start_is_told() {
    // Goal: a start that failed is a trial that failed. Method: a command that ends badly, and none at all.
    let folder = factory();
    let mut failing = FolderBoot { restart: vec!["false".into()], ..control(folder.path()) };
    change(&mut failing, ARM).expect("arms");
    assert_eq!(failing.restart(&mut || true).expect("is tried"), Some(false));
    let mut none = FolderBoot { restart: Vec::new(), ..control(folder.path()) };
    assert_eq!(none.restart(&mut || true).expect("is nobody's"), None);
}

#[test]
fn a_way_back_that_fails_is_not_done_until_the_command_works() {
    // Goal: never without an application. Method: a trial that is left; the command fails twice, then it works.
    let folder = factory();
    let mut control = control(folder.path());
    change(&mut control, ARM).expect("arms");
    assert_eq!(control.restart(&mut || true).expect("starts"), Some(true));
    change(&mut control, Change::RollBack { to: Slot::A }).expect("goes back");
    let words = std::mem::replace(&mut control.restart, vec!["false".to_owned()]);
    for _ in 0..2 {
        assert!(matches!(control.restart(&mut || true), Err(BootError::NotBack)));
        let state = control.read().expect("reads");
        assert_eq!((linked(folder.path()).as_str(), state.booted), ("A", Slot::B), "it is still to be done");
    }
    control.restart = words;
    assert_eq!(control.restart(&mut || true).expect("starts"), Some(true));
    assert_eq!(control.read().expect("reads").booted, Slot::A);
}

#[test]
fn a_tree_whose_start_was_cut_off_may_run_until_another_start_or_a_boot_has_settled_it() {
    // Goal: nobody empties the tree under an application. Method: the words cannot be stored behind the command; the trial
    // is taken back; then another start that comes to its end, or a boot of the machine.
    let folder = factory();
    fs::write(folder.path().join("boot_id"), "one\n").expect("writes");
    let started = folder.path().join("started");
    let full = started.clone();
    let hooked = Folder::look_at(folder.path())
        .expect("opens")
        .hooked(move |_, _| if full.exists() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) });
    let mut cut = FolderBoot { folder: hooked, ..control(folder.path()) };
    change(&mut cut, ARM).expect("arms");
    assert!(matches!(cut.restart(&mut || true), Err(BootError::File(_))));
    fs::remove_file(started).expect("was started");
    let mut control = control(folder.path());
    change(&mut control, Change::Disarm).expect("disarms");
    assert_eq!((control.read().expect("reads").booted, linked(folder.path()).as_str()), (Slot::A, "A"));
    assert_eq!(control.begun().expect("reads"), Some(Slot::B), "it may run all the same");
    let shared = super::super::opened(FolderBoot { ..self::control(folder.path()) }).expect("opens");
    let runs = |slot| super::super::running(&shared, slot).expect("reads");
    assert_eq!([runs(Slot::A), runs(Slot::B)], [Slot::A, Slot::B], "neither is to be written");
    fs::write(folder.path().join("boot_id"), "two\n").expect("writes");
    assert_eq!(runs(Slot::B), Slot::A, "what a boot of the machine started is known");
    fs::write(folder.path().join("boot_id"), "one\n").expect("writes");
    change(&mut control, ARM).expect("arms");
    assert_eq!(control.restart(&mut || true).expect("starts"), Some(true));
    assert_eq!(control.begun().expect("reads"), None);
}

#[test]
fn after_a_boot_of_the_machine_the_link_says_what_runs() {
    // Goal: believe what was started. Method: the link turned without a start, seen in the same boot and in the next.
    let folder = factory();
    fs::write(folder.path().join("boot_id"), "one\n").expect("writes");
    let mut control = control(folder.path());
    change(&mut control, ARM).expect("arms");
    control.point(Slot::B).expect("turns");
    assert_eq!(control.read().expect("reads").booted, Slot::A, "the application was not started again");
    fs::write(folder.path().join("boot_id"), "two\n").expect("writes");
    assert_eq!(control.read().expect("reads").booted, Slot::B);
    fs::write(folder.path().join("boot_id"), "one\n").expect("writes");
    change(&mut control, Change::Disarm).expect("disarms");
    assert_eq!(linked(folder.path()), "A", "a power cut starts the active tree again");
}

#[test]
fn a_power_cut_at_every_step_leaves_a_link_to_a_tree_that_may_run_and_words_that_can_be_read() {
    // Goal: never without an application. Method: every k-th step of a whole trial fails; after each, link and words are
    // whole, the link leads to the active tree or to the one on trial, and the next attempt comes to its end.
    let mut cuts = 0;
    for k in 0.. {
        let folder = factory();
        let count = AtomicUsize::new(0);
        let hooked = Folder::look_at(folder.path()).expect("opens").hooked(move |_, _| {
            let cut = count.fetch_add(1, Ordering::SeqCst) == k;
            if cut { Err(io::Error::other("the power is gone")) } else { Ok(()) }
        });
        let mut dying = FolderBoot { folder: hooked, ..control(folder.path()) };
        let ended = change(&mut dying, ARM)
            .and_then(|()| dying.restart(&mut || true))
            .and_then(|_| change(&mut dying, Change::Confirm { slot: Slot::B }));
        let mut control = control(folder.path());
        let state = control.read().expect("the words can be read");
        let link = control.linked().expect("the link leads somewhere");
        assert!(
            link == state.active || (state.trial == Some(link) && state.tried(link) >= Some(1)),
            "{k}: {state:?}"
        );
        if ended.is_ok() {
            break;
        }
        cuts += 1;
        if state.active == Slot::A {
            change(&mut control, ARM).expect("arms");
            assert_eq!(control.restart(&mut || true).expect("starts"), Some(true));
            change(&mut control, Change::Confirm { slot: Slot::B }).expect("confirms");
        }
        assert_eq!((linked(folder.path()).as_str(), control.read().expect("reads").active), ("B", Slot::B));
    }
    assert!(cuts >= 20, "{cuts} steps");
}

#[test]
fn a_folder_that_was_not_laid_out_is_said() {
    // Goal: a clear word. Method: no folder, no words, no link, a link elsewhere, nonsense, and anyone's folder.
    let folder = factory();
    let fails = |what: &str| {
        let error = FolderBoot::at(folder.path(), Vec::new()).and_then(|mut control| control.read());
        let error = error.expect_err(what).to_string();
        assert!(error.contains(what), "{what}: {error}");
    };
    fs::write(folder.path().join(WORDS), "active=C trial=none left=0 booted=A\n").expect("writes");
    fails("must say active=A|B");
    fs::write(folder.path().join(WORDS), "active=A trial=none left=0 booted=A\n").expect("writes");
    fs::remove_file(folder.path().join(CURRENT)).expect("removes");
    fails("must be a link to A or B");
    symlink("/etc", folder.path().join(CURRENT)).expect("links");
    fails("must be a link to A or B");
    fs::remove_file(folder.path().join(WORDS)).expect("removes");
    fails("does not exist");
    let nowhere = FolderBoot::at(&folder.path().join("nowhere"), Vec::new());
    assert!(matches!(nowhere, Err(BootError::Missing(_))));
}
