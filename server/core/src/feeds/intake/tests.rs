//! Tests of the intake of feeds: whose word is taken, what is refused, what counts as much less than before.
//!
//! Read next: [`super`] for the rules.

use alloc::string::ToString;
use alloc::vec;

use cordon_proto::update::author::{Signer, sign};
use cordon_proto::update::{Ed25519Strict, PublicKey};
use ed25519_dalek::{Signer as _, SigningKey};

use super::signed::{NotSigned, Statement, verify};
use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000);

fn day(back: i64) -> Timestamp {
    NOW.plus_seconds(-back * DAY_S)
}

fn incoming(kind: Kind, records: u64, own: Option<Timestamp>) -> Incoming {
    Incoming {
        name: "world".parse().expect("a name"),
        kind,
        sha256: Sha256::of(b"file"),
        length: 4,
        tally: Tally { records, as_of: own, ..Tally::default() },
        said: None,
        signed: None,
        confirmed: false,
        by: "person:ines".to_string(),
    }
}

#[test]
fn a_feed_that_says_nothing_less_or_older_does_not_take_the_place_of_one() {
    // Goal: silence never looks like safety. Method: a feed in force, and each file that must not replace it, also where a
    // person says that it is meant so.
    let held = judge(None, incoming(Kind::Kev, 100, Some(day(1))), NOW).expect("the first one");
    assert_eq!((held.as_of, held.dated_by, held.age(NOW).word()), (day(1), DatedBy::Feed, "fresh"));
    let word =
        |file: Incoming| judge(Some(&held), file, NOW).map_err(|why| why.word()).map(|feed| feed.records);
    assert_eq!(word(incoming(Kind::Kev, 101, Some(NOW))), Ok(101));
    assert_eq!(word(incoming(Kind::Kev, 50, Some(NOW))), Ok(50));
    assert_eq!(word(incoming(Kind::Kev, 49, Some(NOW))), Err("much-less"));
    assert_eq!(word(incoming(Kind::Kev, 100, Some(day(2)))), Err("older"));
    assert_eq!(word(incoming(Kind::Kev, 100, Some(day(-2)))), Err("ahead"));
    assert_eq!(word(incoming(Kind::Epss, 100, Some(NOW))), Err("other-kind"));
    assert_eq!(word(incoming(Kind::Kev, 0, Some(NOW))), Err("nothing-read"));
    let meant = |records, at| Incoming { confirmed: true, ..incoming(Kind::Kev, records, Some(at)) };
    assert_eq!(word(meant(1, day(2))), Ok(1));
    assert_eq!(word(meant(0, NOW)), Err("nothing-read"));
    assert_eq!(word(meant(1, day(-2))), Err("ahead"));
}

#[test]
fn a_collection_is_of_the_day_on_which_somebody_saw_it_whole() {
    // Goal: a folder without news is not stale, and nobody makes a table younger than it says. Method: own, said and signed
    // days in both kinds.
    let of = |kind, own, said| {
        let file = Incoming { said, ..incoming(kind, 1, own) };
        judge(None, file, NOW).map(|feed| (feed.as_of, feed.dated_by)).expect("taken")
    };
    assert_eq!(of(Kind::Csaf, Some(day(20)), Some(day(1))), (day(1), DatedBy::Person));
    assert_eq!(of(Kind::Csaf, Some(day(1)), Some(day(20))), (day(1), DatedBy::Feed));
    assert_eq!(of(Kind::Kev, Some(day(20)), Some(day(1))), (day(20), DatedBy::Feed));
    assert_eq!(of(Kind::Debian, None, Some(day(3))), (day(3), DatedBy::Person));
    assert_eq!(of(Kind::Debian, None, None), (NOW, DatedBy::Arrival));
    let signed = signed::Signed { key: "k".to_string(), made: day(2) };
    let file = Incoming { signed: Some(signed), said: Some(NOW), ..incoming(Kind::Debian, 1, None) };
    let feed = judge(None, file, NOW).expect("taken");
    assert_eq!((feed.as_of, feed.dated_by), (day(2), DatedBy::Signer));
    assert_eq!(feed.stale_at(), Some(day(-5).plus_seconds(1)));
    assert_eq!(Feed::from_body(&feed.to_body()), Some(feed));
}

#[test]
fn only_the_owners_keys_count_and_only_for_the_very_file() {
    // Goal: a signature stands for one file of one feed. Method: a signed statement, then each thing changed.
    let (ours, theirs) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
    let public = |key: &SigningKey| PublicKey::ed25519(key.verifying_key().to_bytes());
    let statement = Statement {
        feed: "world".parse().expect("a name"),
        kind: Kind::Kev,
        sha256: Sha256::of(b"file"),
        length: 4,
        made: day(1),
    };
    let by = |key: &SigningKey, statement: &Statement| {
        let pen = |message: &[u8]| key.sign(message).to_bytes().to_vec();
        sign(&statement.value(), &[Signer { key: public(key).id(), sign: &pen }])
    };
    let about = (&statement.feed, Kind::Kev, statement.sha256);
    let (file, keys) = (by(&ours, &statement), vec![public(&theirs), public(&ours)]);
    let seen = verify(Some(&file), &keys, about, &Ed25519Strict).expect("it counts").expect("signed");
    assert_eq!((seen.made, seen.key), (day(1), public(&ours).id().to_string()));
    assert_eq!(verify(None, &[], about, &Ed25519Strict), Ok(None));
    assert_eq!(verify(None, &keys, about, &Ed25519Strict), Err(NotSigned::Missing));
    assert_eq!(verify(Some(&file), &[public(&theirs)], about, &Ed25519Strict), Err(NotSigned::Stranger));
    let other = "other".parse().expect("a name");
    for (about, what) in [
        ((&other, Kind::Kev, statement.sha256), "feed"),
        ((&statement.feed, Kind::Epss, statement.sha256), "kind of feed"),
        ((&statement.feed, Kind::Kev, Sha256::of(b"x")), "file"),
    ] {
        assert_eq!(verify(Some(&file), &keys, about, &Ed25519Strict), Err(NotSigned::Other(what)));
    }
    for at in 0..file.len() {
        let mut bent = file.clone();
        bent[at] ^= 1;
        assert!(verify(Some(&bent), &keys, about, &Ed25519Strict).is_err(), "byte {at} was bent");
    }
}
