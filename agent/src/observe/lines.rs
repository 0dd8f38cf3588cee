//! The lines of `observe`: one JSON object each, in the form that the design fixes.
//!
//! Everything is written by hand, in one order, so that the same flows give the same bytes. Texts are escaped, though
//! nothing that needs it gets here.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};
use std::net::IpAddr;

use cordon_agent_core::flow::{Flow, community};
use cordon_agent_core::watched::Device;
use cordon_proto::telemetry::{Direction, Finding, Protocol, Severity};

use super::Watch;

/// A line in the making.
struct Line {
    text: String,
}

impl Line {
    fn of(kind: &str) -> Self {
        let mut line = Self { text: String::with_capacity(512) };
        line.text.push_str("{\"type\":");
        line.quote(kind);
        line
    }

    fn name(&mut self, name: &str) -> &mut Self {
        self.text.push_str(",\"");
        self.text.push_str(name);
        self.text.push_str("\":");
        self
    }

    fn number(&mut self, name: &str, value: u64) {
        self.name(name).shown(&value);
    }

    fn word(&mut self, name: &str, value: &str) {
        self.name(name).quote(value);
    }

    fn maybe(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.word(name, value),
            None => self.name(name).text.push_str("null"),
        }
    }

    fn shown(&mut self, value: &dyn Display) {
        // A String takes everything.
        let _ = write!(self.text, "{value}");
    }

    /// A text that shows without quotes in it, such as a time or an address.
    fn plain(&mut self, name: &str, value: &dyn Display) {
        self.name(name).text.push('"');
        self.shown(value);
        self.text.push('"');
    }

    fn quote(&mut self, value: &str) {
        self.text.push('"');
        for character in value.chars() {
            match character {
                '"' | '\\' => self.text.extend(['\\', character]),
                '\0'..=' ' if character != ' ' => self.text.push('?'),
                _ => self.text.push(character),
            }
        }
        self.text.push('"');
    }

    fn end(mut self, out: &mut dyn Write) -> io::Result<()> {
        self.text.push_str("}\n");
        out.write_all(self.text.as_bytes())
    }
}

/// A flow, in the direction in which it was opened.
pub(super) fn flow(out: &mut dyn Write, flow: &Flow) -> io::Result<()> {
    let (tuple, total) = match flow.direction {
        Direction::Outbound => (flow.tuple, flow.total),
        Direction::Inbound => (flow.tuple.flipped(), flow.total.turned()),
    };
    let mut line = Line::of("flow");
    line.plain("start", &flow.start);
    line.plain("end", &flow.end);
    line.word("proto", protocol(tuple.protocol, tuple.local.address));
    line.plain("src", &tuple.local.address);
    line.number("src_port", tuple.local.port.into());
    line.plain("dst", &tuple.remote.address);
    line.number("dst_port", tuple.remote.port.into());
    line.number("packets_out", total.packets_out.into());
    line.number("bytes_out", total.bytes_out);
    line.number("packets_in", total.packets_in.into());
    line.number("bytes_in", total.bytes_in);
    line.word("state", flow.state.as_str());
    line.maybe("name", flow.name.as_deref().or(flow.asked_for.as_deref()));
    line.word("community_id", &community::id(&tuple));
    line.end(out)
}

/// A finding.
pub(super) fn finding(out: &mut dyn Write, device: &Device, finding: &Finding) -> io::Result<()> {
    let mut line = Line::of("finding");
    line.word("detector", finding.detector.as_str());
    line.plain("time", &finding.last);
    line.plain("device", device);
    line.maybe("peer", finding.peer.as_ref().map(|peer| peer.as_str()));
    line.word("severity", severity(finding.severity));
    line.name("attack").text.push('[');
    for (place, technique) in finding.attack.iter().enumerate() {
        if place > 0 {
            line.text.push(',');
        }
        line.quote(technique.as_str());
    }
    line.text.push(']');
    line.name("evidence").text.push('{');
    for (place, (name, value)) in finding.evidence.iter().enumerate() {
        if place > 0 {
            line.text.push(',');
        }
        line.quote(name);
        line.text.push(':');
        line.quote(value);
    }
    line.text.push('}');
    let Finding { what_changed, why_it_matters, how_sure, what_to_do, .. } = finding;
    let sentences = [what_changed, why_it_matters, how_sure, what_to_do].map(|text| text.as_str());
    line.word("explanation", &sentences.join(" "));
    line.word("title", finding.title.as_str());
    line.word("key", finding.key.as_str());
    line.plain("first", &finding.first);
    line.number("count", finding.count.into());
    line.end(out)
}

/// The last line.
pub(super) fn summary(out: &mut dyn Write, watch: &Watch) -> io::Result<()> {
    let devices = watch.sensor.roll().all().iter().filter(|watched| watched.device != Device::Network);
    let watched_ms: i64 = devices.map(|watched| watched.last.since(watched.first).max(0)).sum();
    let millionths = watched_ms.saturating_mul(10) / 864;
    let mut line = Line::of("summary");
    line.number("packets", watch.counts.packets);
    line.number("flows", watch.counts.flows);
    line.number("findings", watch.counts.findings);
    let (whole, part) = (millionths / 1_000_000, millionths % 1_000_000);
    line.name("device_days").shown(&format_args!("{whole}.{part:06}"));
    line.number("table_peak", watch.sensor.table().peak() as u64);
    line.number("skipped", watch.counts.skipped);
    line.end(out)
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
