//! Zeek's list of connections (`conn.log`), as tab-separated columns or as JSON, one connection a line.
//!
//! Zeek writes a connection when it ends, so lines are held back and brought into the order in which connections began,
//! within a bound. Only addresses, ports, times, states and counts are read. Format: Zeek's documentation of
//! `base/protocols/conn`. Read next: [`crate::sensor::Sensor::recorded`].

use alloc::collections::VecDeque;
use core::net::IpAddr;

use cordon_proto::limits;
use cordon_proto::telemetry::Protocol;
use cordon_proto::time::Millis;

use crate::flow::{Endpoint, State};

/// One connection of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// When it began.
    pub start: Millis,
    /// When it was last seen.
    pub end: Millis,
    /// Transport.
    pub protocol: Protocol,
    /// Who opened it.
    pub opener: Endpoint,
    /// Who was called.
    pub called: Endpoint,
    /// How it ended; `None` where it was still open when Zeek forgot it.
    pub ended: Option<State>,
    /// Whether who was called answered.
    pub answered: bool,
    /// Packets and bytes of the opener, then of the called.
    pub sent: [(u32, u64); 2],
}

/// Why a line is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// No line has said what the columns are.
    #[error("is no conn.log: its first lines do not name the columns, and it is not JSON")]
    Headless,
    /// The line is no connection.
    #[error("a line is no connection")]
    Malformed,
}

/// The columns that are read, in the order of [`Fields`].
const COLUMNS: [&str; 14] = [
    "ts",
    "id.orig_h",
    "id.orig_p",
    "id.resp_h",
    "id.resp_p",
    "proto",
    "duration",
    "conn_state",
    "orig_pkts",
    "orig_ip_bytes",
    "resp_pkts",
    "resp_ip_bytes",
    "orig_bytes",
    "resp_bytes",
];

/// The values of a line, empty where unset.
type Fields<'a> = [&'a str; COLUMNS.len()];

/// A reader.
#[derive(Clone, Debug, Default)]
pub struct ConnLog {
    /// For each column of the file, its place in [`COLUMNS`].
    columns: alloc::vec::Vec<Option<usize>>,
    /// By beginning, and of one beginning by line.
    waiting: VecDeque<Recorded>,
}

impl ConnLog {
    /// Takes a line; the connection that is next in order, if one is due. Other protocols than TCP, UDP and ICMP are
    /// passed over.
    pub fn line(&mut self, line: &str) -> Result<Option<Recorded>, BadLine> {
        let line = line.trim_end_matches(['\r', '\n']);
        let mut fields: Fields<'_> = [""; COLUMNS.len()];
        if let Some(names) = line.strip_prefix("#fields\t") {
            self.columns =
                names.split('\t').take(64).map(|name| COLUMNS.iter().position(|own| *own == name)).collect();
            return Ok(None);
        }
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        if line.starts_with('{') {
            json(line, &mut fields).ok_or(BadLine::Malformed)?;
        } else if self.columns.is_empty() {
            return Err(BadLine::Headless);
        } else {
            for (column, value) in self.columns.iter().zip(line.split('\t')) {
                if let Some(field) = column.and_then(|place| fields.get_mut(place)) {
                    *field = if value == "-" { "" } else { value };
                }
            }
        }
        if let Some(recorded) = connection(&fields)? {
            let place = self.waiting.partition_point(|other| other.start <= recorded.start);
            self.waiting.insert(place, recorded);
        }
        let due = self.waiting.len() > limits::RECORDED_REORDER;
        Ok(due.then(|| self.pop()).flatten())
    }

    /// The next connection in order, when there are no more lines.
    pub fn pop(&mut self) -> Option<Recorded> {
        self.waiting.pop_front()
    }
}

/// The connection of a line; `None` for a protocol that has no flows here.
fn connection(fields: &Fields<'_>) -> Result<Option<Recorded>, BadLine> {
    let [
        ts,
        orig_h,
        orig_p,
        resp_h,
        resp_p,
        proto,
        duration,
        state,
        orig_pkts,
        orig_ip,
        resp_pkts,
        resp_ip,
        orig,
        resp,
    ] = *fields;
    let protocol = match proto {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "icmp" => Protocol::Icmp,
        "" => return Err(BadLine::Malformed),
        _ => return Ok(None),
    };
    let end = |address: &str, port: &str| {
        let address: IpAddr = address.parse().map_err(|_| BadLine::Malformed)?;
        Ok(Endpoint { address, port: port.parse().map_err(|_| BadLine::Malformed)? })
    };
    let start = milliseconds(ts).ok_or(BadLine::Malformed)?;
    let lasted = milliseconds(duration).unwrap_or(0);
    let count = |text: &str| text.parse::<u64>().unwrap_or(0);
    let packets = |text: &str| u32::try_from(count(text)).unwrap_or(u32::MAX);
    let bytes = |whole: &str, payload: &str| count(if whole.is_empty() { payload } else { whole });
    let (ended, answered) = match (protocol, state) {
        (Protocol::Tcp, "S0") => (Some(State::Expired), false),
        (Protocol::Tcp, "SH") => (Some(State::Expired), false),
        (Protocol::Tcp, "REJ") => (Some(State::Refused), false),
        (Protocol::Tcp, "RSTOS0") => (Some(State::Reset), false),
        (Protocol::Tcp, "RSTO" | "RSTR" | "RSTRH") => (Some(State::Reset), true),
        (Protocol::Tcp, "SF" | "SHR") => (Some(State::Closed), true),
        (Protocol::Tcp, _) => (None, true),
        (Protocol::Udp | Protocol::Icmp, _) => (None, count(resp_pkts) > 0),
    };
    Ok(Some(Recorded {
        start: Millis(start),
        end: Millis(start.saturating_add(lasted)),
        protocol,
        opener: end(orig_h, orig_p)?,
        called: end(resp_h, resp_p)?,
        ended,
        answered,
        sent: [(packets(orig_pkts), bytes(orig_ip, orig)), (packets(resp_pkts), bytes(resp_ip, resp))],
    }))
}

/// Seconds with a fraction, as milliseconds.
fn milliseconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = whole.parse().ok().filter(|whole| *whole >= 0)?;
    let mut digits = fraction.bytes().chain(core::iter::repeat(b'0')).take(3);
    let thousandths = digits
        .try_fold(0_i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))?;
    Some(whole.saturating_mul(1000).saturating_add(thousandths))
}

/// The fields of a flat JSON object; `None` if it is none. A text with an escape in it is no address and no state.
fn json<'a>(line: &'a str, fields: &mut Fields<'a>) -> Option<()> {
    let mut rest = line.strip_prefix('{')?.trim_start();
    while !rest.starts_with('}') {
        let (name, behind) = text(rest)?;
        let behind = behind.trim_start().strip_prefix(':')?.trim_start();
        let (value, behind) = value(behind)?;
        let place = COLUMNS.iter().position(|own| *own == name);
        if let Some(field) = place.and_then(|place| fields.get_mut(place)) {
            *field = value;
        }
        let behind = behind.trim_start();
        rest = behind.strip_prefix(',').unwrap_or(behind).trim_start();
    }
    Some(())
}

/// A JSON string and what is behind it.
fn text(rest: &str) -> Option<(&str, &str)> {
    let inside = rest.strip_prefix('"')?;
    let mut escaped = false;
    let end = inside.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    Some((inside.get(..end)?, inside.get(end + 1..)?))
}

/// A JSON value and what is behind it; a list or an object is passed over.
fn value(rest: &str) -> Option<(&str, &str)> {
    match rest.bytes().next()? {
        b'"' => text(rest),
        b'[' | b'{' => {
            let (mut depth, mut rest) = (0_usize, rest);
            loop {
                rest = match rest.bytes().next()? {
                    b'"' => text(rest)?.1,
                    b'[' | b'{' => {
                        depth += 1;
                        rest.get(1..)?
                    }
                    b']' | b'}' if depth == 1 => return Some(("", rest.get(1..)?)),
                    b']' | b'}' => {
                        depth -= 1;
                        rest.get(1..)?
                    }
                    _ => {
                        let mut characters = rest.chars();
                        characters.next();
                        characters.as_str()
                    }
                };
            }
        }
        _ => rest.split_at_checked(rest.find([',', '}'])?),
    }
    .map(|(value, rest)| (value.trim_end(), rest))
}
