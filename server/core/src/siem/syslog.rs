//! A line as a message of syslog (RFC 5424), in the frames of syslog over TLS (RFC 5425, octet counting).
//!
//! A frame says its own length, so nothing in a line can end it; no line holds an end of line all the same, for readers
//! that split on it. A line that is not all ASCII begins with the byte order mark that section 6.4 demands. Read next:
//! [`super::ocsf`], whose lines are always ASCII.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::telemetry::Severity;

use super::{Kind, Message, Reporter};

/// The name of our program in the head.
const APP: &str = "cordon-server";
/// Characters of the host name (section 6).
const HOST_CHARS: usize = 255;
/// The highest facility (section 6.2.1).
pub const FACILITY_MAX: u8 = 23;

/// A message in its frame: its length in bytes, a space, and the message.
#[must_use]
pub fn frame(message: &Message, facility: u8, reporter: &Reporter) -> Vec<u8> {
    let text = text(message, facility, reporter);
    format!("{} {text}", text.len()).into_bytes()
}

/// The message: head, structured data, line.
fn text(message: &Message, facility: u8, reporter: &Reporter) -> String {
    let priority = u32::from(facility.min(FACILITY_MAX)) * 8 + severity(message);
    let host = header(&reporter.host);
    let mark = if message.text.is_ascii() { "" } else { "\u{feff}" };
    format!(
        "<{priority}>1 {} {host} {APP} - {} [origin software=\"{APP}\" swVersion=\"{}\"] {mark}{}",
        message.at,
        message.kind.word(),
        parameter(&reporter.version),
        message.text
    )
}

/// The severities of section 6.2.1: a finding is a notice at least, all else is information.
fn severity(message: &Message) -> u32 {
    match message.severity.filter(|_| message.kind == Kind::Finding) {
        None => 6,
        Some(Severity::Low) => 5,
        Some(Severity::Medium) => 4,
        Some(Severity::High) => 3,
        Some(Severity::Critical) => 2,
    }
}

/// A field of the head: printable ASCII without a space, or the dash that stands for nothing.
fn header(text: &str) -> String {
    let kept: String = text.chars().filter(char::is_ascii_graphic).take(HOST_CHARS).collect();
    if kept.is_empty() { String::from("-") } else { kept }
}

/// A value of structured data (section 6.3.3).
fn parameter(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if matches!(c, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(if super::acts(c) { '\u{fffd}' } else { c });
    }
    escaped
}
