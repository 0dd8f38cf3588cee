//! Tests of the strict parser and the two encoders.

use super::fields::{decode_hex, encode_hex};
use super::*;
use alloc::vec;
use alloc::{format, string::ToString};
use proptest::prelude::*;

const LIMIT: usize = 1 << 20;

fn parse(text: &str) -> Result<Value, ParseError> {
    Value::parse(text.as_bytes(), LIMIT)
}

fn problem(text: &str) -> Problem {
    parse(text).expect_err(text).problem
}

#[test]
fn canonical_form_is_golden() {
    // Goal: the exact signed bytes. Method: one document with every kind and both escapes beside its canonical text.
    let value = parse(
        " { \"b\" : [ 1 , -2, 0 ], \"a\" :{\"\u{1F600}\":null,\"\u{FF5E}\":true,\"z\":false},
        \"text\":\"q\\\" s\\\\ n\\n u\\u00e4 p\\ud83d\\ude00 /\\/\" }\r\n\t",
    )
    .unwrap();
    let canonical = "{\"a\":{\"z\":false,\"\u{FF5E}\":true,\"\u{1F600}\":null},\"b\":[1,-2,0],\
        \"text\":\"q\\\" s\\\\ n\n uä p\u{1F600} //\"}";
    assert_eq!(String::from_utf8(value.canonical()).unwrap(), canonical);
    assert_eq!(String::from_utf8(value.json()).unwrap(), canonical.replace('\n', "\\u000a"));
}

#[test]
fn keys_are_sorted_by_code_point_and_not_by_utf16() {
    // Goal: TUF's order. Method: U+FF5E sorts before U+1F600 by code point, after it by UTF-16 unit.
    let value = parse("{\"\u{1F600}\":1,\"\u{FF5E}\":2,\"B\":3,\"a\":4,\"\":5}").unwrap();
    let canonical = "{\"\":5,\"B\":3,\"a\":4,\"\u{FF5E}\":2,\"\u{1F600}\":1}";
    assert_eq!(String::from_utf8(value.canonical()).unwrap(), canonical);
}

#[test]
fn a_duplicate_key_is_refused_at_every_depth_and_in_every_spelling() {
    // Goal: no reader may see another value than we do. Method: plain, nested and escaped duplicates.
    for text in [r#"{"a":1,"a":1}"#, r#"[{"x":{"a":1,"b":2,"a":3}}]"#, r#"{"a":1,"\u0061":2}"#] {
        assert_eq!(problem(text), Problem::DuplicateKey, "{text}");
    }
    assert_eq!(parse(r#"{"a":1,"a":1}"#).unwrap_err().at, 7);
}

#[test]
fn only_plain_integers_in_range_are_numbers() {
    // Goal: one spelling per number. Method: the ends of the range and every other notation.
    for text in ["0", "-1", "18446744073709551615", "-9223372036854775808"] {
        assert_eq!(parse(text).unwrap().canonical(), text.as_bytes());
    }
    for text in ["1.0", "1e3", "1E3", "01", "-0", "-01", "00", "-", "-a", "1.", "0.5"] {
        let found = problem(text);
        assert!(matches!(found, Problem::NotInteger | Problem::Unfinished), "{text}: {found:?}");
    }
    for text in ["18446744073709551616", "-9223372036854775809", "99999999999999999999999999"] {
        assert_eq!(problem(text), Problem::OutOfRange, "{text}");
    }
    assert_eq!(Integer::from(i64::MIN).signed(), Some(i64::MIN));
    assert_eq!(Integer::from(u64::MAX).signed(), None);
    assert_eq!(Integer::from(-1_i64).unsigned(), None);
}

#[test]
fn surrogates_count_only_in_pairs() {
    // Goal: every text is Unicode. Method: a pair, then each way to break one.
    assert_eq!(parse(r#""\uD83D\uDE00""#).unwrap(), "\u{1F600}".into());
    for text in [
        r#""\ud83d""#,
        r#""\ude00""#,
        r#""\ud83dx""#,
        r#""\ud83d\n""#,
        r#""\ud83d\u0041""#,
        r#""\ud83d\ud83d""#,
    ] {
        assert_eq!(problem(text), Problem::Escape, "{text}");
    }
}

#[test]
fn texts_are_strict_utf8_without_raw_control_characters() {
    // Goal: no byte that another reader may replace. Method: overlong, cut, encoded surrogate, control, bad escapes.
    for bytes in
        [&b"\"\xC0\x80\""[..], b"\"\xED\xA0\x80\"", b"\"\xFF\"", b"\"\xE2\x82\"", b"\"\xF4\x90\x80\x80\""]
    {
        assert_eq!(Value::parse(bytes, LIMIT).unwrap_err().problem, Problem::NotUtf8, "{bytes:?}");
    }
    assert_eq!(problem("\"a\nb\""), Problem::Control);
    assert_eq!(problem("\"a\0b\""), Problem::Control);
    for text in [r#""\x41""#, r#""\u00g0""#, r#""\U0041""#, r#""\'""#] {
        assert_eq!(problem(text), Problem::Escape, "{text}");
    }
    assert_eq!(parse("\"\u{7f}\"").unwrap(), "\u{7f}".into());
}

#[test]
fn unfinished_misplaced_and_trailing_bytes_are_refused() {
    // Goal: exactly one value. Method: a list of documents with one fault each.
    for text in
        ["", " ", "{", "[", "\"", "\"\\", "\"\\u00", "tru", "{\"a\"", "{\"a\":", "{\"a\":1", "[1", "[1,"]
    {
        assert_eq!(problem(text), Problem::Unfinished, "{text}");
    }
    for text in [
        "\u{feff}1",
        "{a:1}",
        "{'a':1}",
        "[1,]",
        "{\"a\":1,}",
        "[1 2]",
        "{\"a\" 1}",
        "+1",
        "truth",
        "NaN",
        "/**/1",
    ] {
        assert_eq!(problem(text), Problem::Unexpected, "{text}");
    }
    for text in ["1 1", "{}{}", "null,", "[]]", "1\0"] {
        assert_eq!(problem(text), Problem::Trailing, "{text}");
    }
}

#[test]
fn depth_and_length_have_a_limit() {
    // Goal: the stack and the memory are bounded. Method: exactly the limit passes, one more is refused, 10⁶ too.
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&nested(crate::limits::JSON_DEPTH)).is_ok());
    assert_eq!(problem(&nested(crate::limits::JSON_DEPTH + 1)), Problem::TooDeep);
    assert_eq!(
        Value::parse("{\"a\":".repeat(1_000_000).as_bytes(), usize::MAX).unwrap_err().problem,
        Problem::TooDeep
    );
    assert!(Value::parse(b"[1]", 3).is_ok());
    assert_eq!(Value::parse(b"[1] ", 3), Err(ParseError { at: 3, problem: Problem::TooLong }));
}

#[test]
fn errors_of_fields_name_their_path() {
    // Goal: a person finds the field. Method: one wrong field of each kind, at several depths.
    let value =
        parse(r#"{"a":{"list":[{"n":1},{"n":-1},3],"when":"soon","hash":"abc","none":null}}"#).unwrap();
    let map = value.map().unwrap().map("a").unwrap();
    let said = |result: Result<(), FieldError>| result.unwrap_err().to_string();
    assert_eq!(said(map.text("gone").map(drop)), "a.gone: the field is missing");
    assert_eq!(said(map.text("list").map(drop)), "a.list: it must be a text");
    assert_eq!(said(map.maps("list").map(drop)), "a.list[2]: it must be a map");
    assert_eq!(said(map.texts("list").map(drop)), "a.list[0]: it must be a text");
    assert_eq!(said(map.time("when").map(drop)), "a.when: it must be a time such as 2026-11-21T09:05:06Z");
    assert_eq!(
        said(map.hex::<2>("hash").map(drop)),
        "a.hash: it must be hexadecimal digits of the right length"
    );
    assert_eq!(said(map.only(&["list", "hash", "when"])), "a.none: the field is not known here");
    assert_eq!(map.optional_text("none"), Ok(None));
    assert_eq!(map.optional_unsigned("gone"), Ok(None));
    let inner = parse(r#"{"n":-1}"#).unwrap();
    assert_eq!(said(inner.map().unwrap().unsigned("n").map(drop)), "n: the value is out of range");
    assert_eq!(inner.map().unwrap().signed("n"), Ok(-1));
    assert_eq!(said(parse("[]").unwrap().map().map(drop)), "document: it must be a map");
}

#[test]
fn hexadecimal_digits_are_read_in_both_cases_and_written_in_lower_case() {
    // Goal: round trip and refusal. Method: samples.
    assert_eq!(decode_hex("00fFA5"), Some(vec![0, 255, 165]));
    assert_eq!(encode_hex(&[0, 255, 165]), "00ffa5");
    for text in ["0", "0g", "ä", " 0"] {
        assert_eq!(decode_hex(text), None, "{text}");
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn every_value_survives_its_own_text(value in values()) {
        prop_assert_eq!(Value::parse(&value.json(), LIMIT), Ok(value));
    }

    #[test]
    fn canonical_bytes_do_not_depend_on_the_spelling(value in values()) {
        // White space between tokens and escapes in texts change nothing.
        let spaced: Vec<u8> = spell_differently(&value).into_bytes();
        prop_assert_eq!(Value::parse(&spaced, LIMIT).map(|read| read.canonical()), Ok(value.canonical()));
    }

    #[test]
    fn arbitrary_bytes_are_read_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(value) = Value::parse(&bytes, LIMIT) {
            prop_assert_eq!(Value::parse(&value.json(), LIMIT), Ok(value));
        }
    }

    #[test]
    fn text_of_json_characters_is_read_or_refused_without_a_panic(text in "[\\[\\]{}:,\"\\\\u0-9a-f tn-]{0,60}") {
        if let Ok(value) = parse(&text) {
            prop_assert_eq!(Value::parse(&value.json(), LIMIT), Ok(value));
        }
    }
}

/// The same value with spaces everywhere, keys in reverse order and every UTF-16 unit of a text escaped.
fn spell_differently(value: &Value) -> String {
    let escape = |text: &str| -> String {
        let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
        format!("\"{units}\"")
    };
    match value {
        Value::Null => " null ".into(),
        Value::Bool(value) => format!(" {value} "),
        Value::Integer(_) => format!("\n{}\t", String::from_utf8(value.json()).unwrap()),
        Value::Text(text) => escape(text),
        Value::List(items) => {
            format!("[ {} ]", items.iter().map(spell_differently).collect::<Vec<_>>().join(" ,\r\n"))
        }
        Value::Map(map) => {
            let entry =
                |(key, value): (&String, &Value)| format!("{} : {}", escape(key), spell_differently(value));
            format!("{{ {} }}", map.iter().rev().map(entry).collect::<Vec<_>>().join(" , "))
        }
    }
}
