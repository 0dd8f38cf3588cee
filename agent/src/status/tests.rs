//! Golden texts of `status`, and its way through the file.

use super::*;

fn full() -> Status {
    let text = |t: &str| t.parse().expect("a text");
    Status {
        written: "2026-11-21T09:05:06Z".to_owned(),
        running: true,
        installed: Some(Installed {
            release: Some("vp-3/4.2.1".parse().expect("a path")),
            counter: 41,
            hash: Sha256([0xab; 32]),
            slot: "A".to_owned(),
        }),
        floor: 40,
        blocked_by: vec![Blocked { code: text("interlock"), sentence: text("the device is in use") }],
        update: Update {
            state: UpdateState::Waiting,
            order: Some("2026-11-0007".parse().expect("a name")),
            fetched_bytes: 1000,
            whole: Some("the server does not give the files of the chunk delta".to_owned()),
        },
        mirrors: vec![
            Mirror { url: "http://a/site".to_owned(), error: None },
            Mirror { url: "http://b".to_owned(), error: Some("it answers 404".to_owned()) },
        ],
        interlock: InterlockState::InUse,
        sensor_tier: Some(0),
        sensor_note: Some("no right to open a packet socket".to_owned()),
        profile: Profile { keys: 12, learning: true },
        identity: Some(IdentityStatus {
            id: "6ba7b810-9dad-41d1-80b4-00c04fd430c8".parse().expect("a UUID"),
            key_protection: "file".to_owned(),
            not_after: "2026-12-21T09:05:06Z".to_owned(),
            server: "cordon.example:8443".to_owned(),
            renews: "2026-12-11T09:05:06Z".to_owned(),
            renewal_error: Some("the server asks to wait 60 s".to_owned()),
            authorities: 1,
        }),
        hardware: HardwareId([0x11; 32]),
        contact: Contact {
            last: Some("2026-11-21T08:00:00Z".to_owned()),
            failures: 3,
            error: Some("the server asks to wait 60 s".to_owned()),
        },
        spool: Spool {
            records: 7,
            lost: 2,
            fault: Some("the disk is full; new records are dropped and counted".to_owned()),
        },
        director_root_version: 1,
        content: Some(Content {
            id: Some("icu-quiet".parse().expect("a name")),
            version: 2,
            on_trial: true,
            windows: true,
            given_up: Some(Blocked {
                code: "content-crash".parse().expect("a text"),
                sentence: "version 1 is in force again".parse().expect("a text"),
            }),
        }),
        unseen: vec!["program: the image is not sealed".to_owned()],
        declared: ["2 of 3 are as the image declares them", "opt/pump: missing"].map(str::to_owned).to_vec(),
        waiting: None,
        farewell: None,
    }
}

#[test]
fn the_text_explains_itself() {
    // Goal: whoever stands at the device understands it. Method: golden texts of a busy and of an unborn agent.
    let expected = "\
agent      runs, 2026-11-21T09:05:06Z
identity   6ba7b810-9dad-41d1-80b4-00c04fd430c8 at cordon.example:8443, certificate until 2026-12-21T09:05:06Z, key in file
           renewed from 2026-12-11T09:05:06Z on; the last try failed: the server asks to wait 60 s
hardware   1111111111111111111111111111111111111111111111111111111111111111
installed  vp-3/4.2.1, counter 41, slot A, hash abababababababababababababababababababababababababababababababab
floor      counter 40 is the oldest accepted version
update     order 2026-11-0007: written and verified, waiting to reboot
  whole    the image is fetched whole: the server does not give the files of the chunk delta
  mirror   http://a/site
  mirror   http://b: it answers 404
  blocked  the device is in use (interlock)
interlock  in use
content    icu-quiet version 2, on trial for ten minutes, narrows the windows of orders
  given up version 1 is in force again (content-crash)
files      2 of 3 are as the image declares them
  differs  opt/pump: missing
sensor     tier 0: no right to open a packet socket; 12 entries in the profile, still learning
  unseen   program: the image is not sealed
contact    last answered 2026-11-21T08:00:00Z
           3 failures since: the server asks to wait 60 s
spool      7 records wait, 2 lost ever
           the disk is full; new records are dropped and counted
";
    assert_eq!(full().to_string(), expected);
    let unborn = Status::unborn(HardwareId([0x11; 32]), Timestamp(1_795_251_906)).to_string();
    let expected = "\
agent      does not run; as of its last word, 2026-11-21T09:05:06Z
identity   none: run `cordon-agent enrol --with FILE` with the owner's join file
hardware   1111111111111111111111111111111111111111111111111111111111111111
installed  not looked at yet
floor      counter 0 is the oldest accepted version
update     no order applies
  blocked  no director root is trusted yet; it comes with enrolment, or by `trust-director`
interlock  unknown: nobody says whether the device is in use
sensor     blind: the agent has not run yet; 0 entries in the profile
contact    never answered yet
spool      0 records wait, 0 lost ever
";
    assert_eq!(unborn, expected);
}

#[test]
fn the_json_has_the_fixed_names_and_comes_back_whole() {
    // Goal: the fixed names, and the file's round trip. Method: look each name up, write, read.
    let json: serde_json::Value = serde_json::from_str(&full().to_json()).expect("is JSON");
    for path in [
        "/installed/release",
        "/installed/counter",
        "/installed/hash",
        "/floor",
        "/blocked_by/0/code",
        "/blocked_by/0/sentence",
        "/update/whole",
        "/mirrors/1/url",
        "/mirrors/1/error",
        "/sensor_tier",
        "/identity/id",
        "/identity/key_protection",
        "/identity/not_after",
    ] {
        assert!(json.pointer(path).is_some(), "{path}");
    }
    let root = tempfile::tempdir().expect("a scratch folder");
    let folder = Folder::open(root.path().join("state")).expect("opens");
    assert_eq!(Status::read(&folder).expect("reads"), None);
    full().write(&folder).expect("writes");
    let older = full().to_json().replace("\"whole\"", "\"unknown\"");
    let older: Status = serde_json::from_str(&older).expect("an older agent's is read");
    assert_eq!(older.update.whole, None);
    let read = Status::read(&folder).expect("reads").expect("is there");
    assert_eq!(read, full());
    assert!(read.same_as(&Status { written: "later".to_owned(), ..full() }));
    assert!(!read.same_as(&Status { floor: 41, ..full() }));
}
