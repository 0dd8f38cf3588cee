//! Vectors of our own: a line for each trap, `?` where there is no answer.
//!
//! They were written by hand from the definitions, so that the quick tests stand alone. The large sets of others and the
//! live judges are asked elsewhere. Read next: `properties.rs`.

use core::cmp::Ordering;

use super::{Number, Scheme, compare, is_valid};

/// Every line of `vectors`, there and back; lines that begin with `#` say which trap follows.
fn judge(scheme: Scheme, vectors: &str) {
    let lines = vectors.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut judged = 0;
    for line in lines {
        let mut words = line.split(' ');
        let (a, sign, b) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let wanted = match sign {
            "<" => Some(Ordering::Less),
            "=" => Some(Ordering::Equal),
            ">" => Some(Ordering::Greater),
            _ => None,
        };
        assert_eq!(compare(scheme, a, b), wanted, "{scheme:?}: {line}");
        assert_eq!(compare(scheme, b, a), wanted.map(Ordering::reverse), "{scheme:?}: {line}, turned round");
        judged += 1;
    }
    assert!(judged >= 30, "{scheme:?}: only {judged} lines");
}

#[track_caller]
fn sorted_out(scheme: Scheme, valid: &[&str], invalid: &[&str]) {
    for version in valid {
        assert!(is_valid(scheme, version), "{scheme:?}: {version} is one");
        assert_eq!(compare(scheme, version, version), Some(Ordering::Equal), "{scheme:?}: {version}");
    }
    for version in invalid {
        assert!(!is_valid(scheme, version), "{scheme:?}: {version} is none");
    }
}

#[test]
fn debian_versions_stand_in_their_order() {
    // Goal: an epoch counts (Dependency-Track 4 lost it: 2:9.0 before 8.3.2), `~` is before the end, a letter is not.
    // Method: vectors by hand from deb-version(7); what dpkg refuses has no answer.
    judge(
        Scheme::Deb,
        "
        # the epoch decides first, absent is 0, leading zeros say nothing
        2:9.0 > 8.3.2
        0:3.1 = 3.1
        01:3.1 = 1:3.1
        1:1.0-1 < 2:0.1-1
        2147483647:1 > 2147483646:9
        2147483648:1 ? 1
        :1 ? 1
        a:1 ? 1
        -1:1 ? 1
        1: ? 1
        # the revision stands after the last hyphen, absent is 0
        7.2 = 7.2-0
        7.2 < 7.2-1
        7.2-1 < 7.2-1.1
        1.2-3-4 > 1.2-3-3
        1.2-3-1 > 1.2-2-9
        1.2- ? 1.2
        -4 ? 4
        # runs of digits by value, not by text, however long
        1.9 < 1.10
        1.09 = 1.9
        1.009-07 = 1.9-7
        3.20241122 > 3.9
        1.19 < 1.109
        1.2 < 1.20
        1.2-1 < 1.20-1
        1.18446744073709551616 > 1.18446744073709551615
        1.18446744073709551617 > 1.2
        1.9999999999999999999999999999999999999998 < 1.9999999999999999999999999999999999999999
        # `~` is before the end of the text and before itself ends
        1.0~rc1 < 1.0
        1.0~rc1-1 < 1.0-0
        1.0~~ < 1.0~
        1.0~~a < 1.0~
        1.0~ < 1.0
        1.0-1~deb12u1 < 1.0-1
        5.4-2~bpo12+1 < 5.4-2
        # the end and a digit weigh nothing, then letters, then all else
        1.0 < 1.0a
        1.0a < 1.0b
        1.0a < 1.0+
        1.0Z < 1.0a
        1.0z < 1.0.1
        1.0a1 < 1.0a.
        1.0+b1 > 1.0
        1.0+deb12u3 < 1.0+deb12u10
        2.3+dfsg-1 > 2.3-1
        2.3+dfsg-1 < 2.3.1-1
        1.0-1+b1 > 1.0-1
        # what dpkg only warns of is compared
        release > 1.0
        rel < release
        kernel-image-2.4.17-ia64 > 2.4.17
        1_2 > 1.2
        ",
    );
    let valid = ["2:9.0-1", "0", "1.0~rc1+dfsg-2+b1", "1:1.2:3-4", "1.2-3-4"];
    sorted_out(
        Scheme::Deb,
        &valid,
        &["", "r1", "kernel-image-2.4.17-ia64", "1_2", "1:", "1-", "1-1:2", "1 2"],
    );
}

#[test]
fn rpm_versions_stand_in_their_order() {
    // Goal: rpmvercmp and not something like it. Method: vectors by hand from rpm 4.18's rules.
    judge(
        Scheme::Rpm,
        "
        # the epoch is digits before a colon; absent is 0; a colon elsewhere is none
        1:1.0 > 2.0
        0:7.1-2 = 7.1-2
        02:7.1 = 2:7.1
        :7.1 = 7.1
        99999999999999999999:1 > 4294967295:1
        x:1 < x:2
        1.x2:1 < 1.x3:1
        # the release stands after the last hyphen; without one it is less
        4.5 < 4.5-0
        4.5 < 4.5-
        4.5- < 4.5-1
        4.5-2.el9 < 4.5-10.el9
        4.5-6.el9 > 4.5-6.el8
        4.5-6.el9_4.1 > 4.5-6.el9
        4-5-1 < 4-6-0
        # digits beat letters, letters go by text, digits by value
        2.a < 2.1
        2a < 2.0
        2.9 < 2.10
        2.08 = 2.8
        2.18446744073709551616 > 2.18446744073709551615
        2.ab > 2.aa
        2.ab > 2.a
        2.B < 2.a
        7b3 > 7b2
        7b3 < 7c1
        # what is left at the end is more
        3.1 < 3.1.0
        3.1 < 3.1a
        3.1.rc1 > 3.1
        # what only parts the segments says nothing
        3_1 = 3.1
        3..1 = 3.1
        3.1. = 3.1
        3.é = 3.ü
        3+1 = 3_1
        # `~` is before all, `^` after the end and before all else
        3.1~rc2 < 3.1
        3.1~ < 3.1
        3.1~~ < 3.1~
        3.1~rc2 < 3.1~rc3
        3.1~rc2-9 < 3.1-1
        3.1^ > 3.1
        3.1^git2 > 3.1
        3.1^git2 < 3.1.0
        3.1^git2 < 3.1a
        3.1^git2 > 3.1~rc1
        3.1~rc1^git2 > 3.1~rc1
        3.1^git2~a < 3.1^git2
        3.1^^ > 3.1^
        3.1^~ < 3.1^
        ",
    );
    let invalid = ["", ":1", "1-", "-1", "1.é-1", "1.m:2", "99999999999999999999:1", ".", "1-2-3", "1 2"];
    sorted_out(Scheme::Rpm, &["1:4.5-6.el9_4.1", "4.5", "3.1~rc1^git2-1", "4294967295:1"], &invalid);
}

#[test]
fn alpine_versions_stand_in_their_order() {
    // Goal: apk-tools 3, which no library of others follows on its edges. Method: vectors by hand from its token rules.
    judge(
        Scheme::Apk,
        "
        # the first number by value, further ones by text once either begins with 0
        9.1 < 10.1
        07.1 = 7.1
        5.9 < 5.10
        5.09 < 5.1
        5.010 < 5.09
        5.10 > 5.9
        5.0 < 5.00
        5.18446744073709551616 > 5.18446744073709551615
        18446744073709551617 > 2
        # a further number beats a letter, that a suffix, that a revision, that the end
        3.2.1 > 3.2z
        3.2a > 3.2_p1
        3.2_p1 > 3.2-r9
        3.2-r1 > 3.2
        3.2a < 3.2b
        3.2a1 > 3.2a
        3.2a2 < 3.2a10
        6.6.2p1 > 6.6.2_p1
        # some suffixes come before the version proper, some after, in this order
        3.2_alpha < 3.2_beta
        3.2_beta < 3.2_pre
        3.2_pre < 3.2_rc
        3.2_rc9 < 3.2
        3.2 < 3.2_cvs
        3.2_cvs < 3.2_svn
        3.2_svn < 3.2_git
        3.2_git < 3.2_hg
        3.2_hg < 3.2_p
        3.2_p9 < 3.2_p10
        3.2_p08 = 3.2_p8
        3.2_rc1 > 3.2_rc
        3.2_rc1_p1 > 3.2_rc1
        3.2_rc1_alpha < 3.2_rc1
        3.2_rc1-r5 < 3.2-r0
        3.2_alpha < 3.2_what
        3.2.0_rc1 > 3.2
        # the commit and the revision; an empty revision at the end is 0
        3.2~a1b2 > 3.2-r4
        3.2~a1b2 < 3.2_p1
        3.2~a1 < 3.2~b0
        3.2-r9 < 3.2-r10
        3.2-r = 3.2-r0
        3.2-r < 3.2-r1
        3.2-r-1 < 3.2-r0
        # what is no version is compared as far as it goes; then it is less, and two by text
        3.2 > 3.2_what
        3.2 > 3.2B
        3.2A < 3.2C
        3.2 > 3.2-q1
        .7 < 7
        .7 > .6
        3.2..1 < 3.2.0
        word = word
        word < 0
        ",
    );
    let valid = ["3.2", "3.2.1b_rc1_p2~abc123-r12", "6.6.2p1", "3.2-r", "0"];
    let invalid =
        ["", "v1", "3.2.", "3.2_what", "3.2B", "3.2-r-1", "3.2-q1", "3.2~", "3.2~XY", "3.2ab", "3.2-r1_p1"];
    sorted_out(Scheme::Apk, &valid, &invalid);
}

#[test]
fn semantic_versions_stand_in_their_order() {
    // Goal: section 11 of Semantic Versioning and what OSV makes of it. Method: vectors by hand.
    judge(
        Scheme::Semver,
        "
        # numbers by value, however long; a leading v says nothing; missing ones are 0
        4.9.0 < 4.10.0
        v4.1.0 = 4.1.0
        4.1 = 4.1.0
        4 = 4.0.0
        4.0.1 > 4
        4.1.18446744073709551616 > 4.1.18446744073709551615
        4.18446744073709551617.0 > 4.2.0
        # what was built says nothing, also from the fourth number on
        4.1.0+a = 4.1.0+b
        4.1.0+9 = 4.1.0
        4.1.0-rc.1+x = 4.1.0-rc.1
        4.1.0.7 = 4.1.0
        4.1.0.7-rc.1 = 4.1.0.8
        # with a pre-release it is before the one without
        4.1.0-rc.1 < 4.1.0
        4.1.0-0 < 4.1.0
        4.1.0-rc.1 > 4.0.9
        4.1-rc.1 < 4.1
        4-rc < 4
        # identifiers: numbers before texts, by value; texts by ASCII; more is more
        4.1.0-2 < 4.1.0-11
        4.1.0-11 < 4.1.0-a
        4.1.0-rc.2 < 4.1.0-rc.11
        4.1.0-rc.11 < 4.1.0-rc.a
        4.1.0-rc2 > 4.1.0-rc11
        4.1.0-Z < 4.1.0-a
        4.1.0-alpha < 4.1.0-alpha.0
        4.1.0-alpha.9 < 4.1.0-beta
        4.1.0-18446744073709551616 > 4.1.0-18446744073709551615
        4.1.0-a-b > 4.1.0-a
        4.1.0-1-1 > 4.1.0-99
        # no number in front: no answer
        latest ? 4.1.0
        vv4 ? 4.1.0
        4. ? 4.1.0
        4.1.x ? 4.1.0
        4.1.0rc1 ? 4.1.0
        -4 ? 4
        ",
    );
    let valid =
        ["4.1.0", "v4.1.0-rc.1+build.007", "4", "4.1", "0.0.0-20190308221718-c2843e01d9a2", "1.0.0-0a"];
    let invalid =
        ["", "4.1.0.7", "04.1.0", "4.1.0-", "4.1.0-a..b", "4.1.0-01", "4.1.0-ä", "4.1.0+", "4.1.0+a_b", "x"];
    sorted_out(Scheme::Semver, &valid, &invalid);
}

#[test]
fn python_versions_stand_in_their_order() {
    // Goal: PEP 440, all of its spellings, and no order for what is none. Method: vectors by hand.
    judge(
        Scheme::Pep440,
        "
        # the epoch, then the release without its trailing zeros
        1!1.0 > 2.0
        0!3.1 = 3.1
        3.1 = 3.1.0.0
        3.1 < 3.1.0.1
        3.9 < 3.10
        3.010 = 3.10
        v3.1 = 3.1
        20241122 > 3.1
        3.18446744073709551616 > 3.18446744073709551615
        # development, alpha, beta, candidate, the release, what comes after it
        3.1.dev4 < 3.1a1
        3.1a1.dev4 < 3.1a1
        3.1a1 < 3.1b1
        3.1b2 < 3.1rc1
        3.1rc1 < 3.1
        3.1 < 3.1.post1
        3.1.post1.dev2 < 3.1.post1
        3.1.post1.dev2 > 3.1
        3.1a1.post1 > 3.1a1
        3.1a1.post1 < 3.1a2
        3.1.dev4 < 3.1.dev10
        3.1rc2 < 3.1rc10
        # the spellings of one thing
        3.1alpha1 = 3.1a1
        3.1.BETA-1 = 3.1b1
        3.1c1 = 3.1rc1
        3.1-preview_1 = 3.1rc1
        3.1pre1 = 3.1rc1
        3.1a = 3.1a0
        3.1-1 = 3.1.post1
        3.1r1 = 3.1.post1
        3.1.rev1 = 3.1.post1
        3.1.post = 3.1.post0
        3.1dev = 3.1.dev0
        3.1a--1 = 3.1a0.post1
        # a local part is more; numbers are more than texts; more parts are more
        3.1+1 > 3.1
        3.1+1 < 3.1.post1
        3.1+a < 3.1+0
        3.1+9 < 3.1+10
        3.1+a.1 = 3.1+A-1
        3.1+a < 3.1+a.0
        3.1+ubuntu.1 = 3.1+ubuntu_01
        # what is no version has no order
        3.1-final ? 3.1
        3.1p1 ? 3.1
        3.1.fix ? 3.1
        3.1+ ? 3.1
        3.1+a..b ? 3.1
        3.1. ? 3.1
        !3.1 ? 3.1
        trunk ? 3.1
        ",
    );
    let valid = ["1!3.1a1.post2.dev3+x.7", "3.1-1", " 3.1 ", "V3"];
    sorted_out(
        Scheme::Pep440,
        &valid,
        &["", "a3", "3.1m1", "3.1+é", "3.1.dev1rc1", "3.1 1", "1!", "3.1rc1-git"],
    );
}

#[test]
fn where_no_order_is_known_there_is_no_answer() {
    // Goal: nothing uncompared passes for safe. Method: the scheme without an order, no text at all, one that is too long.
    assert_eq!(compare(Scheme::None, "1", "1"), None);
    assert!(!is_valid(Scheme::None, "1"));
    let long = "1".repeat(cordon_proto::limits::VERSION_CHARS + 1);
    for scheme in Scheme::ALL {
        assert_eq!(compare(scheme, "", "1"), None, "{scheme:?}");
        assert_eq!(compare(scheme, "1", ""), None, "{scheme:?}");
        assert_eq!(compare(scheme, &long, "1"), None, "{scheme:?}");
        assert!(!is_valid(scheme, &long), "{scheme:?}");
        let longest = long.get(1..).unwrap();
        assert_eq!(is_valid(scheme, longest), scheme != Scheme::None, "{scheme:?}");
    }
}

#[test]
fn numbers_have_no_end() {
    // Goal: no integer type cuts a version. Method: zeros in front, no digits, forty digits.
    let number = |digits: &'static str| Number::of(digits.as_bytes());
    assert_eq!(number(""), number("000"));
    assert_eq!(number("0042"), number("42"));
    assert!(number("9") < number("10") && number("19") < number("21"));
    let forty = "9999999999999999999999999999999999999999";
    assert!(number("9999999999999999999999999999999999999998") < number(forty));
}
