//! `version-compare` as it is typed.

use serde_json::json;

use super::*;

fn compared(scheme: &str, a: &str, b: &str) -> Outcome {
    cordonctl(&["version-compare", "--scheme", scheme, a, b])
}

#[test]
fn two_versions_give_one_sign_and_what_is_none_is_told() {
    // Goal: a match can be checked by hand, and `?` is an answer. Method: a pair of each scheme; two that are no versions;
    // the same for programs.
    for (scheme, a, sign, b) in [
        ("deb", "1:2.0", ">", "9.0"),
        ("rpm", "4.5", "<", "4.5-1"),
        ("apk", "3.2_rc1", "<", "3.2"),
        ("semver", "v4.1", "=", "4.1.0"),
        ("pep440", "3.1.dev1", "<", "3.1a1"),
    ] {
        assert_eq!(compared(scheme, a, b), (0, format!("{sign}\n"), String::new()), "{scheme}");
    }
    let note = "note: `1_2` is no valid deb version: a match with it is unknown\n";
    assert_eq!(compared("deb", "1_2", "1.2"), (0, ">\n".to_owned(), note.to_owned()));
    assert!(compared("deb", "1:", "1").1.starts_with('?'));
    let json = done(cordonctl(&["--output", "json", "version-compare", "--scheme", "deb", "1_2", "1.2"]));
    let wanted = json!(
        {"scheme": "deb", "a": "1_2", "b": "1.2", "order": ">", "valid": {"a": false, "b": true}}
    );
    assert_eq!(serde_json::from_str::<Value>(&json).expect("one document"), wanted);
}

#[test]
fn what_cannot_be_meant_is_wrong_usage() {
    // Goal: nothing is guessed. Method: no scheme, one that is none, one version, both ways at once.
    assert!(misused(compared("maven", "1", "2")).contains("write one of deb, rpm, apk, semver, pep440"));
    misused(compared("none", "1", "2"));
    misused(cordonctl(&["version-compare", "1", "2"]));
    misused(cordonctl(&["version-compare", "--scheme", "deb", "1"]));
    misused(cordonctl(&["version-compare", "--scheme", "deb"]));
    misused(cordonctl(&["version-compare", "--scheme", "deb", "--stdin", "1", "2"]));
}
