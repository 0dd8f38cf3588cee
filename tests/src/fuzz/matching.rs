//! Feeding what advisories and inventories say: versions, three in an input, a line each.
//!
//! Every scheme reads every input, for a hostile feed chooses the scheme too. Read next: [`super::targets`].

use std::cmp::Ordering;

use cordon_server_core::matching::version::{Scheme, compare, is_valid};

/// Versions of each scheme and its traps, three by three.
#[must_use]
pub fn versions() -> Vec<Vec<u8>> {
    let threes = [
        "1:2.0-1\n9.0\n1.0~rc1-1+deb12u2",
        "7.2-0\n7.2\n2147483647:1.2-3~bpo12+1",
        "3.1~rc1^git2-6.el9_4.1\n3.1\n1:3.1^",
        "3.2.1b_rc1_p2~abc123-r12\n3.2_alpha\n6.6.2p1-r",
        "v4.1.0-rc.1+build.7\n4.1\n4.1.0-rc.a",
        "1!3.1a1.post2.dev3+x.7\n3.1.dev4\n3.1-1",
        "1.18446744073709551616\n1.18446744073709551615\n1.09",
    ];
    threes.map(|three| three.as_bytes().to_vec()).into()
}

/// Compares the versions of an input in every scheme, and says whether one finds them all valid.
pub fn version(input: &[u8]) -> bool {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.lines();
    let three = [(); 3].map(|()| lines.next().unwrap_or_default());
    Scheme::ALL.map(|scheme| judge(scheme, three)).contains(&true)
}

fn judge(scheme: Scheme, [a, b, c]: [&str; 3]) -> bool {
    for (left, right) in [(a, b), (b, c), (a, c)] {
        let forth = compare(scheme, left, right);
        assert_eq!(forth, compare(scheme, right, left).map(Ordering::reverse), "{scheme:?}: turned round");
        let same = compare(scheme, left, left).is_none_or(Ordering::is_eq);
        assert!(same, "{scheme:?}: it is not itself");
        let valid = is_valid(scheme, left) && is_valid(scheme, right);
        assert!(!valid || forth.is_some(), "{scheme:?}: two versions without an order");
    }
    let valid = [a, b, c].iter().all(|version| is_valid(scheme, version));
    if valid && compare(scheme, a, b) == compare(scheme, b, c) {
        assert_eq!(compare(scheme, a, c), compare(scheme, a, b), "{scheme:?}: a circle");
    }
    valid
}
