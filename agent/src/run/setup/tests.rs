//! The lock of the state folder alone; what stands on it is tried by the whole agent.
//!
//! Tests only; see [`super`].

use super::*;

#[test]
fn a_lock_that_is_held_for_a_moment_is_waited_for_and_a_held_one_is_not() {
    // Goal: a program that was just being started when its agent ended does not keep the next agent out. Method: a copy of
    // the lock's file that goes after 50 ms; then one that stays.
    let folder = tempfile::tempdir().expect("a scratch folder");
    let state = Folder::open(folder.path().join("state")).expect("opens");
    let held = lock(&state).expect("locks");
    let copy = held.try_clone().expect("is copied");
    drop(held);
    let started = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        drop(copy);
    });
    let held = lock(&state).expect("is waited for");
    started.join().expect("no panic");
    assert!(matches!(lock(&state), Err(RunError::Taken(_))));
    drop(held);
}
