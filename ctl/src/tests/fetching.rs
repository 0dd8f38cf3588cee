//! What `repo fetch` brings from a server, and what it does not let in over what the folder holds.

use super::bundles::Published;
use super::online::server::{self, Stored};
use super::*;

/// Puts a server's files where the command asks for them.
fn serve(stored: &Stored, files: &Published) {
    let mut stored = stored.lock().unwrap();
    let path = |file: &str| format!("/api/v1/repositories/director/{file}");
    stored.insert(path(&format!("{}.snapshot.json", files.version)), files.snapshot.clone());
    stored.insert(path("timestamp.json"), files.timestamp.clone());
}

#[test]
fn a_server_brings_nothing_that_is_not_signed_has_ended_or_is_older_than_what_is_there() {
    // Goal: a captured server cannot turn the folder back, from which bundles are made. Method: two good fetches; then an
    // older pair, one that has ended, a snapshot and a timestamp by a key that is not the role's; the folder stays.
    let desk = Desk::offline();
    let (address, stored) = server::start("");
    let director = desk.path("director");
    let fetch = || desk.online(&address, &["repo", "fetch", "--director", &director]);
    let held = || {
        let mut files: Vec<_> = std::fs::read_dir(&director)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let own = ["snapshot", "timestamp"];
    assert!(refused(fetch()).contains("timestamp"), "the server has none");
    for version in [4, 5] {
        serve(&stored, &desk.published(version, 86_400, own));
        assert!(done(fetch()).contains(&format!("{version}.snapshot.json")));
    }
    let before = held();
    assert!(done(fetch()).contains("5.snapshot.json"), "the same again is no fault");
    let mut mixed = desk.published(6, 86_400, own);
    let ended = desk.published(6, -60, own);
    for (files, wanted) in [
        (desk.published(4, 86_400, own), "a rollback"),
        (ended, "it expired at"),
        (desk.published(6, 86_400, ["content1", "timestamp"]), "snapshot"),
        (desk.published(6, 86_400, ["snapshot", "content1"]), "timestamp"),
    ] {
        serve(&stored, &files);
        let told = refused(fetch());
        assert!(told.contains(wanted), "{told}");
        assert_eq!(held(), before, "{wanted}");
    }
    mixed.snapshot = desk.published(6, 86_401, own).snapshot;
    serve(&stored, &mixed);
    assert!(refused(fetch()).contains("hash"), "not the one that the timestamp names");
    assert_eq!(held(), before);
    serve(&stored, &desk.published(6, 86_400, own));
    done(fetch());
}
