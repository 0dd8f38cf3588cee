//! The lines of `observe`: one JSON object each, in the form that the design fixes.
//!
//! Everything is written by hand, in one order, so that the same flows give the same bytes. Texts are escaped, though
//! nothing that needs it gets here.

use std::fmt::Display;
use std::io::Write;
use std::net::IpAddr;

use cordon_agent_core::flow::{Flow, community};
use cordon_agent_core::watched::Device;
use cordon_proto::telemetry::{Direction, Finding, Protocol, Severity};
use cordon_proto::time::Millis;

use super::Watch;

/// What stands before a value. Whole, so that it is one copy: a flood writes a million lines.
macro_rules! before {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// A line in the making, at the end of a text.
struct Line<'a> {
    text: &'a mut Vec<u8>,
}

impl<'a> Line<'a> {
    fn of(text: &'a mut Vec<u8>, kind: &str) -> Self {
        let mut line = Self { text };
        line.put("{\"type\":");
        line.quote(kind);
        line
    }

    fn put(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    fn number(&mut self, before: &str, value: u64) {
        self.put(before);
        self.digits(value);
    }

    fn word(&mut self, before: &str, value: &str) {
        self.put(before);
        self.quote(value);
    }

    fn maybe(&mut self, before: &str, value: Option<&str>) {
        match value {
            Some(value) => self.word(before, value),
            None => {
                self.put(before);
                self.put("null");
            }
        }
    }

    fn shown(&mut self, value: &dyn Display) {
        // A vector takes everything.
        let _ = write!(self.text, "{value}");
    }

    /// A text that shows without quotes in it.
    fn plain(&mut self, before: &str, value: &dyn Display) {
        self.put(before);
        self.put("\"");
        self.shown(value);
        self.put("\"");
    }

    /// An address, as it shows.
    fn address(&mut self, before: &str, address: IpAddr) {
        self.put(before);
        self.put("\"");
        match address {
            IpAddr::V4(v4) => {
                for (place, octet) in v4.octets().into_iter().enumerate() {
                    if place > 0 {
                        self.text.push(b'.');
                    }
                    self.digits(octet.into());
                }
            }
            IpAddr::V6(v6) => self.shown(&v6),
        }
        self.put("\"");
    }

    /// A time, as it shows.
    fn time(&mut self, before: &str, at: Millis) {
        let [year, rest @ ..] = at.seconds().civil();
        let Ok(year @ ..=9999) = u32::try_from(year) else { return self.plain(before, &at) };
        let small = |number: i64| u32::try_from(number).unwrap_or(0);
        let [month, day, hour, minute, second] = rest.map(small);
        let mut bytes = *b"\"0000-00-00T00:00:00.000Z\"";
        let fields = [
            (4, year),
            (7, month),
            (10, day),
            (13, hour),
            (16, minute),
            (19, second),
            (23, small(at.0.rem_euclid(1000))),
        ];
        for (last, mut number) in fields {
            for digit in bytes.iter_mut().take(last + 1).rev() {
                if number == 0 {
                    break;
                }
                *digit = ascii(number % 10);
                number /= 10;
            }
        }
        self.put(before);
        self.text.extend_from_slice(&bytes);
    }

    fn digits(&mut self, value: u64) {
        // Nearly all fit, and are divided several times as fast.
        let Ok(mut number) = u32::try_from(value) else { return self.shown(&value) };
        let mut bytes = [0; 10];
        let mut first = bytes.len();
        for (place, digit) in bytes.iter_mut().enumerate().rev() {
            *digit = ascii(number % 10);
            (first, number) = (place, number / 10);
            if number == 0 {
                break;
            }
        }
        self.text.extend_from_slice(bytes.get(first..).unwrap_or_default());
    }

    fn quote(&mut self, value: &str) {
        self.put("\"");
        if value.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            self.put(value);
        } else {
            for character in value.chars() {
                match character {
                    '"' => self.put("\\\""),
                    '\\' => self.put("\\\\"),
                    '\0'..' ' => self.put("?"),
                    _ => self.put(character.encode_utf8(&mut [0; 4])),
                }
            }
        }
        self.put("\"");
    }

    fn end(self) {
        self.text.extend_from_slice(b"}\n");
    }
}

fn ascii(digit: u32) -> u8 {
    b'0' + u8::try_from(digit).unwrap_or(0)
}

/// A flow, in the direction in which it was opened.
pub(super) fn flow(text: &mut Vec<u8>, flow: &Flow) {
    let (tuple, total) = match flow.direction {
        Direction::Outbound => (flow.tuple, flow.total),
        Direction::Inbound => (flow.tuple.flipped(), flow.total.turned()),
    };
    let mut line = Line::of(text, "flow");
    line.time(before!("start"), flow.start);
    line.time(before!("end"), flow.end);
    line.word(before!("proto"), protocol(tuple.protocol, tuple.local.address));
    line.address(before!("src"), tuple.local.address);
    line.number(before!("src_port"), tuple.local.port.into());
    line.address(before!("dst"), tuple.remote.address);
    line.number(before!("dst_port"), tuple.remote.port.into());
    line.number(before!("packets_out"), total.packets_out.into());
    line.number(before!("bytes_out"), total.bytes_out);
    line.number(before!("packets_in"), total.packets_in.into());
    line.number(before!("bytes_in"), total.bytes_in);
    line.word(before!("state"), flow.state.as_str());
    line.maybe(before!("name"), flow.name.as_deref().or(flow.asked_for.as_deref()));
    line.word(before!("community_id"), community::id(&tuple).as_str());
    line.end();
}

/// A finding.
pub(super) fn finding(text: &mut Vec<u8>, device: &Device, finding: &Finding) {
    let mut line = Line::of(text, "finding");
    line.word(before!("detector"), finding.detector.as_str());
    line.plain(before!("time"), &finding.last);
    line.plain(before!("device"), device);
    line.maybe(before!("peer"), finding.peer.as_ref().map(|peer| peer.as_str()));
    line.word(before!("severity"), severity(finding.severity));
    line.put(concat!(before!("attack"), "["));
    for (place, technique) in finding.attack.iter().enumerate() {
        if place > 0 {
            line.put(",");
        }
        line.quote(technique.as_str());
    }
    line.put("]");
    line.put(concat!(before!("evidence"), "{"));
    for (place, (name, value)) in finding.evidence.iter().enumerate() {
        if place > 0 {
            line.put(",");
        }
        line.quote(name);
        line.put(":");
        line.quote(value);
    }
    line.put("}");
    let Finding { what_changed, why_it_matters, how_sure, what_to_do, .. } = finding;
    let sentences = [what_changed, why_it_matters, how_sure, what_to_do].map(|text| text.as_str());
    line.word(before!("explanation"), &sentences.join(" "));
    line.word(before!("title"), finding.title.as_str());
    line.word(before!("key"), finding.key.as_str());
    line.plain(before!("first"), &finding.first);
    line.number(before!("count"), finding.count.into());
    line.end();
}

/// The last line.
pub(super) fn summary(text: &mut Vec<u8>, watch: &Watch) {
    let devices = watch.sensor.roll().all().iter().filter(|watched| watched.device != Device::Network);
    let watched_ms: i64 = devices.map(|watched| watched.last.since(watched.first).max(0)).sum();
    let millionths = watched_ms.saturating_mul(10) / 864;
    let mut line = Line::of(text, "summary");
    line.number(before!("packets"), watch.counts.packets);
    line.number(before!("flows"), watch.counts.flows);
    line.number(before!("findings"), watch.counts.findings);
    let (whole, part) = (millionths / 1_000_000, millionths % 1_000_000);
    line.put(before!("device_days"));
    line.shown(&format_args!("{whole}.{part:06}"));
    line.number(before!("table_peak"), watch.sensor.table().peak() as u64);
    line.number(before!("skipped"), watch.counts.skipped);
    line.end();
}

fn protocol(protocol: Protocol, address: IpAddr) -> &'static str {
    match (protocol, address) {
        (Protocol::Tcp, _) => "tcp",
        (Protocol::Udp, _) => "udp",
        (Protocol::Icmp, IpAddr::V4(_)) => "icmp",
        (Protocol::Icmp, IpAddr::V6(_)) => "icmp6",
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Line<'_>)) -> String {
        let mut text = Vec::new();
        write(&mut Line { text: &mut text });
        String::from_utf8(text).expect("is UTF-8")
    }

    fn time(at: i64) -> String {
        written(|line| line.time(before!("t"), Millis(at)))
    }

    #[test]
    fn what_is_written_digit_by_digit_is_as_it_shows_at_the_edges() {
        // Goal: the same bytes as ever. Method: each edge of numbers and times, texts that must be escaped.
        for number in [0, 9, 10, 99, 100, 65_535, u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX] {
            assert_eq!(written(|line| line.number(before!("n"), number)), format!(",\"n\":{number}"));
        }
        let first_of_ten_thousand = 253_402_300_800_000;
        for at in [0, -1, 1, 999, first_of_ten_thousand - 1, first_of_ten_thousand, -62_167_219_200_001] {
            assert_eq!(time(at), format!(",\"t\":\"{}\"", Millis(at)));
        }
        let quoted = written(|line| line.quote("a\"b\\c\u{1}\u{7f} é"));
        assert_eq!(quoted, "\"a\\\"b\\\\c?\u{7f} é\"");
    }

    proptest! {
        #[test]
        fn times_and_addresses_are_written_as_they_show(at in -99_999_999_999_999_i64.., four: [u8; 4], six: [u8; 16]) {
            let at = at % 400_000_000_000_000;
            prop_assert_eq!(time(at), format!(",\"t\":\"{}\"", Millis(at)));
            for address in [IpAddr::from(four), IpAddr::from(six)] {
                let text = written(|line| line.address(before!("a"), address));
                prop_assert_eq!(text, format!(",\"a\":\"{address}\""));
            }
        }
    }
}
