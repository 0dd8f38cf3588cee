//! Windows of an order: one text form, closed and bounded.
//!
//! Tests only; see [`super`].

use super::*;
use alloc::vec;
use proptest::prelude::*;

fn read(json: &str) -> Result<Vec<Window>, Unreadable> {
    let value = Value::parse(json.as_bytes(), 4096).expect("JSON");
    Window::read_all(&value.map()?)
}

#[test]
fn windows_are_read_and_written_in_one_form() {
    // Goal: the layout of an order's windows. Method: golden text both ways.
    let text = r#"{"windows":[{"days":["mon","sun"],"from":"22:00","to":"04:30"},{"days":["wed"],"from":"00:00","to":"24:00"}]}"#;
    let windows = read(text).expect("reads");
    assert_eq!(
        windows,
        vec![
            Window::new(0b100_0001, 22 * 60, 270).expect("a window"),
            Window::new(0b000_0100, 0, DAY_MINUTES).expect("a window"),
        ]
    );
    assert_eq!(windows[0].length_minutes(), 390, "it crosses midnight");
    let written = Value::object([("windows", Value::list(windows.iter().map(Window::value)))]);
    assert_eq!(written.canonical(), text.as_bytes());
    assert_eq!(read(r#"{"windows":[]}"#), Ok(vec![]), "empty is readable, and means never");
}

#[test]
fn windows_that_say_nothing_or_more_than_is_known_are_refused() {
    // Goal: no guess at a window. Method: one defect each.
    for window in [
        r#"{"days":[],"from":"22:00","to":"04:00"}"#,
        r#"{"days":["mon","mon"],"from":"22:00","to":"04:00"}"#,
        r#"{"days":["monday"],"from":"22:00","to":"04:00"}"#,
        r#"{"days":["mon"],"from":"22:00","to":"22:00"}"#,
        r#"{"days":["mon"],"from":"24:00","to":"04:00"}"#,
        r#"{"days":["mon"],"from":"22:60","to":"04:00"}"#,
        r#"{"days":["mon"],"from":"2:00","to":"04:00"}"#,
        r#"{"days":["mon"],"from":"22:00","to":"24:01"}"#,
        r#"{"days":["mon"],"from":"22:00","to":"00:00"}"#,
        r#"{"days":["mon"],"from":"22:00","to":"04:00","ward":"icu"}"#,
        r#"{"days":["mon"],"from":"22:00"}"#,
    ] {
        assert!(read(&format!(r#"{{"windows":[{window}]}}"#)).is_err(), "{window}");
    }
    assert!(read("{}").is_err(), "missing is not empty");
    let one = r#"{"days":["mon"],"from":"22:00","to":"04:00"}"#;
    let many = |count| format!(r#"{{"windows":[{}]}}"#, vec![one; count].join(","));
    assert!(read(&many(limits::WINDOWS)).is_ok());
    assert!(read(&many(limits::WINDOWS + 1)).is_err());
}

proptest! {
    #[test]
    fn every_window_reads_back(days in 1_u8..128, from in 0_u16..1440, to in 1_u16..=1440) {
        if let Some(window) = Window::new(days, from, to) {
            let text = Value::object([("windows", Value::list([window.value()]))]).canonical();
            prop_assert_eq!(read(core::str::from_utf8(&text).expect("UTF-8")), Ok(vec![window]));
            prop_assert!((1..=DAY_MINUTES).contains(&window.length_minutes()));
        }
    }
}
