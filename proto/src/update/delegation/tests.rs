//! Patterns of paths: the examples of the specification, the edges, and a naive model.

use super::*;
use proptest::prelude::*;

#[test]
fn patterns_of_the_specification() {
    // Goal: the examples of TUF 1.0.34 section 4.5 and the edges of the wildcards. Method: a table.
    for (pattern, path, wanted) in [
        ("targets/*.tgz", "targets/foo.tgz", true),
        ("targets/*.tgz", "targets/foo.txt", false),
        ("foo-version-?.tgz", "foo-version-2.tgz", true),
        ("foo-version-?.tgz", "foo-version-alpha.tgz", false),
        ("*.tgz", "foo.tgz", true),
        ("*.tgz", "targets/foo.tgz", false),
        ("foo.tgz", "foo.tgz", true),
        ("foo.tgz", "Foo.tgz", false),
        ("*", "", true),
        ("*", "a/b", false),
        ("*/*", "a/b", true),
        ("a/*", "a", false),
        ("a/*", "a/", true),
        ("a", "a/", false),
        ("?", "/", false),
        ("?", "é", true),
        ("**b*", "aab", true),
        ("*ab*ab", "abxab", true),
        ("*ab*ab", "abxa", false),
        ("", "", true),
        ("", "a", false),
    ] {
        assert_eq!(matches(pattern, path), wanted, "{pattern} on {path}");
    }
}

/// The meaning of wildcards, written for clarity: every way to cut the text is tried.
fn naive(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', rest @ ..] => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
        ['?', rest @ ..] => !text.is_empty() && naive(rest, &text[1..]),
        [same, rest @ ..] => text.first() == Some(same) && naive(rest, &text[1..]),
    }
}

proptest! {
    #[test]
    fn wildcards_mean_what_the_naive_definition_says(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(segment(&pattern, &text), naive(&chars(&pattern), &chars(&text)));
    }
}

#[test]
fn a_pattern_of_many_stars_takes_no_exponential_time() {
    // Goal: a signer cannot hang a client. Method: the classic bad case.
    assert!(!segment(&"a*".repeat(2_000), &"a".repeat(1_999)));
}
