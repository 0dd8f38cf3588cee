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
