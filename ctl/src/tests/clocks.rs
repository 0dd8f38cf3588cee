//! A workstation whose clock is wrong: nothing is signed, and both times are named.

use super::*;

use clap::Parser;

use crate::cli::Cli;
use crate::session::Session;

/// Runs a command as if it were another time.
fn at(now: Timestamp, arguments: &[&str]) -> Result<String, String> {
    let all = ["cordonctl", "--yes"].iter().chain(arguments);
    let cli = Cli::try_parse_from(all).unwrap();
    let mut shown = Vec::new();
    let mut session = Session { now, options: &cli.options, shown: &mut shown };
    cli.command.run(&mut session).map(|report| report.text).map_err(|failure| failure.to_string())
}

#[test]
fn a_workstation_a_year_behind_or_ahead_signs_no_order() {
    // Goal: no order that begins or ends in another year. Method: the same order at five times; the folder knows when its
    // newest order was made, and when its keys' documents end.
    let desk = Desk::stocked();
    desk.two_signers();
    let [director, image, key] = ["director", "image", "orders1"].map(|name| desk.path(name));
    let list = desk.file("later.tsv", b"Halden\tVP-3\t9\n").to_str().unwrap().to_owned();
    let mut order = vec!["order", "sign", "--director", &director, "--image", &image, "--key", &key];
    order.extend(["--id", "later", "--release", "vp-3/4.2.2", "--repository", "halden", "--expires", "30d"]);
    order.extend(["--window", "always", "--reason", "closes a hole", "--scope-list", &list]);
    let now = crate::clock::now();
    let day = 86_400;
    for days in [-365, -30, -1] {
        let told = at(now.plus_seconds(days * day), &order).unwrap_err();
        assert!(told.contains("order vp3-422-") && told.contains("set the clock right"), "{days}: {told}");
    }
    let told = at(now.plus_seconds(366 * day), &order).unwrap_err();
    assert!(told.contains("expired"), "{told}");
    assert!(!desk.folder.path().join("director/2.orders.json").exists());
    at(now.plus_seconds(-60), &order).unwrap();
    let other = desk.path("orders2");
    let mut add = vec!["order", "sign", "--director", &director, "--image", &image, "--key", &other, "--add"];
    add.extend(["--scope-list", &list]);
    let told = at(now.plus_seconds(-day), &add).unwrap_err();
    assert!(told.contains("set the clock right"), "the second signer's clock counts too: {told}");
}

#[test]
fn a_maker_whose_clock_is_a_year_behind_or_ahead_signs_no_release() {
    // Goal: no release that has ended before it is there. Method: the next release at three wrong times, and at the right
    // one; nothing was written before that.
    let desk = Desk::stocked();
    desk.file("third.img", b"firmware 4.2.3");
    let [image, file, key] = ["image", "third.img", "model1"].map(|name| desk.path(name));
    let mut release =
        vec!["release", "sign", "--repository", &image, "--release", "vp-3/4.2.3", "--image", &file];
    release.extend(["--model", "VP-3", "--hardware", "C", "--interlock", "application", "--counter", "43"]);
    release.extend(["--key", &key]);
    let now = crate::clock::now();
    let day = 86_400;
    for days in [-365, -1] {
        let told = at(now.plus_seconds(days * day), &release).unwrap_err();
        assert!(
            told.contains("before version 3") && told.contains("set this machine's clock right"),
            "{told}"
        );
    }
    let told = at(now.plus_seconds(366 * day), &release).unwrap_err();
    assert!(told.contains("expired"), "{told}");
    assert!(!desk.folder.path().join("image/4.vp-3.json").exists());
    at(now, &release).unwrap();
}

#[test]
fn a_clock_a_day_from_the_servers_takes_no_draft() {
    // Goal: ahead by less than a document's life is seen where a server is asked. Method: a server of 1994, one of now.
    let desk = Desk::stocked();
    let (address, stored) = online::server::start("");
    let director = desk.path("director");
    let pull = || desk.online(&address, &["order", "draft", "pull", "tuesday", "--director", &director]);
    stored.lock().unwrap().insert("date".into(), b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n".to_vec());
    assert!(refused(pull()).contains("the server's 1994-11-06T08:49:37Z"));
    stored.lock().unwrap().remove("date");
    assert!(!refused(pull()).contains("clock"), "a server that tells no time proves nothing");
}

#[test]
fn nothing_else_that_is_dated_is_signed_by_a_clock_that_stands_behind() {
    // Goal: every document that ends. Method: contents by both signers, the root, the delegations, a change of owner and a
    // bundle, over a folder with an order of now, a day behind; the folders stay as they were.
    let desk = Desk::stocked();
    desk.with_content();
    desk.two_signers();
    let other = Desk::new();
    done(other.init_director(&[]));
    let [director, image, list] = ["director", "image", "wave1.tsv"].map(|name| desk.path(name));
    let [root, targets, order, content, second] =
        ["root1", "targets1", "orders1", "content1", "content2"].map(|name| desk.path(name));
    let (to, out, stick) = (other.path("director/1.root.json"), desk.path("hand-over"), desk.path("stick"));
    let next = desk.draft("next.json", "\"version\": 1", "\"version\": 2");
    let now = crate::clock::now();
    let signs = ["content", "sign", "--director", &director];
    let first = [&signs[..], &["--key", &content, "--file", &next, "--scope-list", &list, "--reason", "r"]];
    let rotate = ["repo", "rotate", "--repository", &director, "--key", &root, "--expires", "500d"];
    let delegate = ["repo", "delegate", "--repository", &director, "--renew", "--key", &targets];
    let delegate = [&delegate[..], &["--expires", "500d"]].concat();
    let hand_over = ["owner", "hand-over", "--director", &director, "--to", &to, "--scope-list", &list];
    let hand_over = [&hand_over[..], &["--key", &root, "--out", &out]].concat();
    let bundle = ["bundle", "make", "--director", &director, "--image", &image, "--order", "vp3-422-1"];
    let bundle = [&bundle[..], &["--scope-list", &list, "--key", &order, "--out", &stick]].concat();
    let behind = |arguments: &[&str]| {
        let told = at(now.plus_seconds(-86_400), arguments).unwrap_err();
        assert!(told.contains("set the clock right"), "{arguments:?}: {told}");
    };
    for arguments in [&first.concat()[..], &rotate, &delegate, &hand_over, &bundle] {
        behind(arguments);
    }
    at(now, &first.concat()).unwrap();
    let add = ["--key", &second, "--add", "--file", &next, "--scope-list", &list];
    behind(&[&signs[..], &add].concat());
    for file in ["2.root.json.waiting", "2.targets.json"] {
        assert!(!desk.folder.path().join("director").join(file).exists(), "{file}");
    }
}

#[test]
fn contents_prove_the_time_to_who_signs_orders() {
    // Goal: one folder, one time. Method: a folder with contents alone, an order a day behind.
    let desk = Desk::stocked();
    desk.with_content();
    let [director, image, key, list] =
        ["director", "image", "orders1", "wave1.tsv"].map(|name| desk.path(name));
    let mut order = vec!["order", "sign", "--director", &director, "--image", &image, "--key", &key];
    order.extend(["--id", "o", "--release", "vp-3/4.2.2", "--repository", "halden", "--expires", "30d"]);
    order.extend(["--window", "always", "--reason", "closes a hole", "--scope-list", &list]);
    let now = crate::clock::now();
    let told = at(now.plus_seconds(-86_400), &order).unwrap_err();
    assert!(told.contains("content icu-quiet was made at"), "{told}");
    at(now, &order).unwrap();
}

#[test]
fn a_makers_documents_end_no_earlier_than_those_before_unless_somebody_says_so() {
    // Goal: a maker's folder says when things end, not when they were made. Method: root, delegations, snapshot and
    // timestamp by a clock a year behind; the same with an end that was asked for.
    let desk = Desk::stocked();
    let image = desk.path("image");
    let keys = ["iroot1", "itargets1", "isnapshot", "itimestamp"].map(|name| desk.path(name));
    let [root, targets, snapshot, timestamp] = &keys;
    let rotate = ["repo", "rotate", "--repository", &image, "--key", root];
    let delegate = ["repo", "delegate", "--repository", &image, "--renew", "--key", targets];
    let both = ["repo", "snapshot", "--repository", &image, "--snapshot-key", snapshot];
    let both = [&both[..], &["--timestamp-key", timestamp]].concat();
    let longer = ["repo", "timestamp", "--repository", &image, "--timestamp-key", timestamp];
    let now = crate::clock::now();
    for arguments in [&rotate[..], &delegate, &both, &longer] {
        let told = at(now.plus_seconds(-365 * 86_400), arguments).unwrap_err();
        assert!(told.contains("set this machine's clock right"), "{arguments:?}: {told}");
    }
    for arguments in [&longer[..], &both, &rotate, &delegate] {
        at(now, arguments).unwrap();
    }
    at(now, &[&longer[..], &["--expires", "30d"]].concat()).unwrap();
}
