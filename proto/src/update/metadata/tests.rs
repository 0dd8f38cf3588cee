//! Reading the four kinds, and what one wrong field does.

use super::*;
use alloc::string::ToString;
use alloc::vec;

fn value(text: &str) -> Value {
    Value::parse(text.as_bytes(), 1 << 16).unwrap()
}

fn targets(entries: &str) -> Result<Targets, Fault> {
    let head = r#""_type":"targets","spec_version":"1.0.34","version":1,"expires":"2030-01-01T00:00:00Z""#;
    Targets::read(&value(&format!("{{{head},{entries}}}")))
}

#[test]
fn heads_that_are_not_ours_are_refused() {
    // Goal: kind, specification, version and expiry are checked. Method: one wrong value at a time.
    let good = r#"{"_type":"timestamp","spec_version":"1.0","version":1,"expires":"2030-01-01T00:00:00Z","meta":{"snapshot.json":{"version":1,"x":[{"y":1}]}},"unknown":{"a":[1]}}"#;
    assert!(Timestamp::read(&value(good)).is_ok());
    let with = |from: &str, to: &str| Timestamp::read(&value(&good.replacen(from, to, 1)));
    assert_eq!(with("timestamp", "snapshot"), Err(Fault::Type));
    for other in ["2.0.0", "10.0.0", "0.9", "", "1.0.0.0", "1", "1.", "1.x", "1.0.*1", "1.0.-1", "1. 0"] {
        assert_eq!(with("\"1.0\"", &format!("\"{other}\"")), Err(Fault::SpecVersion), "{other}");
    }
    for (from, to) in [
        ("\"version\":1", "\"version\":0"),
        ("\"version\":1", "\"version\":-1"),
        ("\"version\":1", "\"version\":\"1\""),
        ("2030-01-01T00:00:00Z", "2030-01-01"),
        ("2030-01-01T00:00:00Z", "2030-01-01T00:00:00.5Z"),
        ("snapshot.json", "other.json"),
        ("\"meta\":{", "\"meta\":1,\"m\":{"),
    ] {
        assert!(matches!(with(from, to), Err(Fault::Field(_))), "{from} -> {to}");
    }
    assert!(matches!(Root::read(&value("[]")), Err(Fault::Field(_))));
}

#[test]
fn one_unreadable_hash_spoils_one_file_only() {
    // Goal: a mistake about one file is not an outage. Method: good, wrong, unknown and mixed hashes side by side.
    let good = Sha256::of(b"x");
    let sha512 = encode_hex(&Sha512::digest(b"x"));
    let read = targets(&format!(
        r#""targets":{{
            "good":{{"length":1,"hashes":{{"sha256":"{good}"}},"custom":{{"v":1}}}},
            "both":{{"length":1,"hashes":{{"sha256":"{good}","sha512":"{sha512}"}}}},
            "long":{{"length":1,"hashes":{{"sha512":"{sha512}","md5":"00"}}}},
            "half":{{"length":1,"hashes":{{"sha256":"{good}","sha512":"00"}}}},
            "other":{{"length":1,"hashes":{{"md5":"00"}}}},
            "bad":{{"length":1,"hashes":{{"sha256":"xyz"}}}}}}"#
    ))
    .unwrap();
    let checked: Vec<_> = read.targets.iter().map(|(path, file)| (path.as_str(), file.check(b"x"))).collect();
    let (ok, wrong) = (Ok(()), Err(Fault::Hash));
    assert_eq!(
        checked,
        vec![
            ("bad", wrong.clone()),
            ("both", ok.clone()),
            ("good", ok.clone()),
            ("half", wrong),
            ("long", ok),
            ("other", Err(Fault::NoKnownHash)),
        ]
    );
    assert_eq!(read.targets["good"].custom, Some(value(r#"{"v":1}"#)));
    assert_eq!(read.targets["good"].sha256(), Ok(good));
    for path in ["half", "long", "other", "bad"] {
        assert_eq!(read.targets[path].sha256(), Err(Fault::NoKnownHash), "{path}");
    }
}

#[test]
fn a_document_is_checked_by_every_hash_that_is_stated_of_it() {
    // Goal: a document that other clients refuse is not believed here (a finding of the soak with two of them). Method:
    // the hashes of a snapshot in its timestamp: both kinds, one that nobody here computes beside them, that one alone.
    let (good, long) = (Sha256::of(b"x"), encode_hex(&Sha512::digest(b"x")));
    let checked = |hashes: &str| {
        let text = format!(
            r#"{{"_type":"timestamp","spec_version":"1.0.34","version":1,"expires":"2030-01-01T00:00:00Z",
            "meta":{{"snapshot.json":{{"version":1,"hashes":{{{hashes}}}}}}}}}"#
        );
        Timestamp::read(&value(&text)).expect("is read").snapshot.check(b"x")
    };
    let both = format!(r#""sha256":"{good}","sha512":"{long}""#);
    assert_eq!(checked(&both), Ok(()));
    for unknown in [format!(r#"{both},"sha256-new":"00""#), r#""blake2b-256":"00""#.to_owned()] {
        assert_eq!(checked(&unknown), Err(Fault::NoKnownHash), "{unknown}");
    }
}

#[test]
fn delegations_with_an_ambiguous_meaning_are_refused() {
    // Goal: closed meaning of who may what. Method: top-level and double names, both or neither kind of paths.
    let delegations =
        |roles: &str| targets(&format!(r#""targets":{{}},"delegations":{{"keys":{{}},"roles":[{roles}]}}"#));
    let role = |name: &str, rest: &str| {
        format!(r#"{{"name":"{name}","keyids":[],"threshold":1,"terminating":false{rest}}}"#)
    };
    assert!(delegations(&role("a", r#","paths":["x"]"#)).is_ok());
    let twice = [role("a", r#","paths":["x"]"#), role("a", r#","paths":["y"]"#)].join(",");
    for bad in [
        role("a", ""),
        role("a", r#","paths":["x"],"path_hash_prefixes":["0"]"#),
        role("targets", r#","paths":["x"]"#),
        role("root", r#","paths":["x"]"#),
        role("", r#","paths":["x"]"#),
        role("a", r#","paths":[1]"#),
        role("a", r#","paths":["x"]"#).replace("false", "0"),
        role("a", r#","paths":["x"]"#).replace(r#","terminating":false"#, ""),
        role("a", r#","paths":["x"]"#).replace("[]", r#"["k","k"]"#),
        twice,
    ] {
        assert!(matches!(delegations(&bad), Err(Fault::Field(_))), "{bad}");
    }
}

#[test]
fn what_other_clients_cannot_read_is_not_read_here_either() {
    // Goal: no document that means something to us alone. Method: findings of the soak with two other clients as judges.
    for bad in [
        r#""targets":{},"delegations":null"#,
        r#""targets":{},"delegations":[]"#,
        r#""targets":{"x":{"length":1,"hashes":{"sha256":"00","new":1}}}"#,
        r#""targets":{"x":{"length":1,"hashes":{"sha256":null}}}"#,
    ] {
        assert!(matches!(targets(bad), Err(Fault::Field(_))), "{bad}");
    }
    let hash = Sha256::of(b"x").to_string();
    let named =
        |hash: &str| targets(&format!(r#""targets":{{"x":{{"length":1,"hashes":{{"sha256":"{hash}"}}}}}}"#));
    assert_eq!(named(&hash).unwrap().targets["x"].check(b"x"), Ok(()));
    let read = named(&hash.to_uppercase()).unwrap();
    assert_eq!(read.targets["x"].check(b"x"), Err(Fault::Hash), "capitals in a hash");
    let role = r#"{"keyids":[],"threshold":1}"#;
    let root = |more: &str, consistent: &str| {
        let roles =
            format!(r#"{{"root":{role},"timestamp":{role},"snapshot":{role},"targets":{role}{more}}}"#);
        let head = r#""_type":"root","spec_version":"1.0.34","version":1,"expires":"2030-01-01T00:00:00Z""#;
        Root::read(&value(&format!(r#"{{{head},"keys":{{}},"roles":{roles}{consistent}}}"#)))
    };
    assert!(root("", "").is_ok_and(|root| !root.consistent_snapshot));
    assert!(root(r#","mirrors":{"keyids":[],"threshold":1}"#, r#","consistent_snapshot":true"#).is_ok());
    for (more, consistent) in [
        (r#","mirrors":1"#, ""),
        (r#","mirrors":{"threshold":1}"#, ""),
        ("", r#","consistent_snapshot":null"#),
    ] {
        assert!(matches!(root(more, consistent), Err(Fault::Field(_))), "{more}{consistent}");
    }
    let timestamp = r#"{"_type":"timestamp","spec_version":"1.0.34","version":1,"expires":"2030-01-01T00:00:00Z","meta":{"snapshot.json":{"version":1},"more.json":{"version":1}}}"#;
    assert!(matches!(Timestamp::read(&value(timestamp)), Err(Fault::Field(_))), "a second file");
}

#[test]
fn faults_tell_what_to_do() {
    // Goal: golden sentences. Method: three of them, as an operator reads them.
    use crate::update::Role;
    let said = |fault: Fault, role: Role| fault.of(role).to_string();
    let at = time::Timestamp(1_800_000_000);
    assert_eq!(
        said(Fault::Expired { at }, Role::Timestamp),
        "timestamp: it expired at 2027-01-15T08:00:00Z; ask for a newer one, or correct the clock"
    );
    assert_eq!(
        said(Fault::Threshold { valid: 1, needed: 2 }, Role::Delegated("orders".into())),
        "orders: only 1 of the 2 signatures needed are valid"
    );
    assert_eq!(
        said(Fault::Rollback { trusted: 3, offered: 2 }, Role::Snapshot),
        "snapshot: version 2 was offered although version 3 is known: a rollback"
    );
}
