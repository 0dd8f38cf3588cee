//! `observe`: the very sensor of the running agent, over a recording.
//!
//! It wires: a file in, JSON lines out. The same file gives the same bytes, on every machine. What is damaged is counted
//! and said; a file that cannot be read at all is refused before anything is written. No payload ever gets here: the
//! dissectors of the core keep names alone. Read next: `cordon_agent_core::sensor`, [`feed`], [`lines`].

mod feed;
mod lines;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::hash::RandomState;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cordon_agent_core::flow::table::{FlowTable, Timeouts};
use cordon_agent_core::profile::kept::{Named, Profiles};
use cordon_agent_core::sensor::{Output, Sensor};
use cordon_agent_core::watched::{Choice, Device, Learn, Network};
use cordon_proto::limits;
use cordon_proto::mud::Usage;
use cordon_proto::time::{Millis, Timestamp};

use feed::{Feed, Looked};

/// Bytes of a file that are read or written at once.
const CHUNK: usize = 128 * 1024;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// The capture file.
    pub(crate) read: Option<PathBuf>,
    /// The list of connections.
    pub(crate) read_conn: Option<PathBuf>,
    pub(crate) devices: Vec<Device>,
    pub(crate) local: Vec<Network>,
    pub(crate) learn: Option<Learn>,
    pub(crate) save_profile: Option<PathBuf>,
    pub(crate) profile: Option<PathBuf>,
    /// What the maker describes, compiled.
    pub(crate) mud: Option<PathBuf>,
    pub(crate) from: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) out: PathBuf,
}

/// Why nothing, or not all, was observed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObserveError {
    /// A file cannot be read.
    #[error("{}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    /// A file is not what it should be.
    #[error("{}: {what}", path.display())]
    Form { path: PathBuf, what: String },
    /// The result cannot be written.
    #[error("{}: cannot be written: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
}

/// What was counted on the way.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    packets: u64,
    skipped: u64,
    flows: u64,
    findings: u64,
}

/// Observes. What was read before a recording turned out to be damaged is written all the same.
pub(crate) fn observe(request: &Request) -> Result<(), ObserveError> {
    let (path, mut feed) = match (&request.read, &request.read_conn) {
        (Some(path), _) => (path, Feed::capture(open(path)?).map_err(|what| form(path, &what))?),
        (None, Some(path)) => (path, Feed::list(open(path)?)),
        (None, None) => return Err(form(&request.out, &"observe needs --read or --read-conn")),
    };
    let timeouts = Timeouts { active_ms: i64::MAX, ..Timeouts::default() };
    let table = FlowTable::bounded(RandomState::new(), timeouts, limits::FLOWS);
    let mut watch = Watch {
        sensor: Sensor::of_others(table, choice(request)?),
        output: Output::default(),
        counts: Counts::default(),
        line: Vec::new(),
        second: None,
        last: Millis(0),
        span: (request.from.map_or(i64::MIN, |at| at.0), request.until.map_or(i64::MAX, |at| at.0)),
    };
    // Something must have been read before the result is opened: what is no recording leaves no trace.
    let mut damage = Ok(true);
    while let Ok(true) = damage
        && watch.counts.packets == 0
    {
        damage = feed.look(&mut |looked| watch.take(looked)).map_err(|what| form(path, &what));
    }
    if watch.counts.packets == 0 && damage.is_err() {
        return damage.map(drop);
    }
    let failed = |error| ObserveError::Write { path: request.out.clone(), error };
    let mut out = BufWriter::with_capacity(CHUNK, create(&request.out).map_err(failed)?);
    while let Ok(true) = damage {
        watch.write(&mut out).map_err(failed)?;
        damage = feed.look(&mut |looked| watch.take(looked)).map_err(|what| form(path, &what));
    }
    while watch.sensor.finish_some(watch.last, &mut watch.output) {
        watch.write(&mut out).map_err(failed)?;
    }
    watch.counts.skipped += feed.damaged() + watch.sensor.roll().beyond();
    watch.write(&mut out).map_err(failed)?;
    let mut last = Vec::new();
    lines::summary(&mut last, &watch);
    out.write_all(&last).and_then(|()| out.flush()).map_err(failed)?;
    if let Some(path) = &request.save_profile {
        save(path, &mut watch)?;
    }
    damage.map(drop)
}

fn open(path: &Path) -> Result<File, ObserveError> {
    File::open(path).map_err(|error| ObserveError::Read { path: path.to_owned(), error })
}

fn create(path: &Path) -> io::Result<Box<dyn Write>> {
    Ok(if path.as_os_str() == "-" { Box::new(io::stdout()) } else { Box::new(File::create(path)?) })
}

fn form(path: &Path, what: &dyn std::fmt::Display) -> ObserveError {
    ObserveError::Form { path: path.to_owned(), what: what.to_string() }
}

fn choice(request: &Request) -> Result<Choice, ObserveError> {
    let mut profiles = Vec::new();
    if let Some(path) = &request.profile {
        let read =
            Profiles::decode(&whole(path, limits::PROFILES_BYTES)?).map_err(|what| form(path, &what))?;
        profiles.extend(read.devices.into_iter().map(|named| (named.device, named.profile)));
    }
    let described = |path: &PathBuf| {
        let read = Usage::decode(&whole(path, limits::USAGE_BYTES)?);
        let usage =
            read.map_err(|what| form(path, &format!("{what}: `cordonctl mud compile` makes this file")))?;
        Ok(Arc::new(usage))
    };
    let usage = request.mud.as_ref().map(described).transpose()?;
    Ok(Choice {
        devices: request.devices.clone(),
        local: request.local.clone(),
        learn: request.learn.unwrap_or(Learn::Off),
        profiles,
        usage,
    })
}

/// The bytes of a file, one more than its bound at most.
fn whole(path: &Path, bound: usize) -> Result<Vec<u8>, ObserveError> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(bound as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| ObserveError::Read { path: path.to_owned(), error })?;
    Ok(bytes)
}

/// Writes what was learned of each device, frozen as it stood at the end.
fn save(path: &Path, watch: &mut Watch) -> Result<(), ObserveError> {
    let now = watch.last;
    let devices =
        watch.sensor.roll_mut().all_mut().iter_mut().filter(|watched| watched.device != Device::Network);
    let named = devices.filter(|watched| watched.detectors.compares()).map(|watched| {
        watched.detectors.freeze(now);
        Named { device: watched.device.to_string(), profile: watched.detectors.profile().clone() }
    });
    let bytes = Profiles::of(named.collect()).encode();
    std::fs::write(path, bytes).map_err(|error| ObserveError::Write { path: path.to_owned(), error })
}

/// The sensor and what it has said so far.
struct Watch {
    sensor: Sensor<RandomState>,
    output: Output,
    counts: Counts,
    /// Reused from line to line.
    line: Vec<u8>,
    /// The second that time has passed to.
    second: Option<i64>,
    last: Millis,
    /// Seconds from which and until which it looks.
    span: (i64, i64),
}

impl Watch {
    fn take(&mut self, looked: Looked<'_>) {
        let at = match &looked {
            Looked::Packet(Ok(_), at) => *at,
            Looked::Packet(Err(_), _) => {
                (self.counts.packets, self.counts.skipped) =
                    (self.counts.packets + 1, self.counts.skipped + 1);
                return;
            }
            Looked::Listed(recorded) => recorded.start,
        };
        let (second, (from, until)) = (at.seconds().0, self.span);
        if second < from || second >= until {
            return;
        }
        if self.second != Some(second) {
            self.second = Some(second);
            self.sensor.pass(at, &mut self.output);
        }
        self.last = self.last.max(at);
        match looked {
            Looked::Packet(packet, at) => {
                self.counts.packets += 1;
                if let Ok(packet) = packet {
                    self.sensor.packet(&packet, at, &mut self.output);
                }
            }
            Looked::Listed(recorded) => {
                let [(sent, _), (received, _)] = recorded.sent;
                self.counts.packets += u64::from(sent) + u64::from(received);
                self.sensor.recorded(&recorded, &mut self.output);
            }
        }
    }

    fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        for (device, finding) in self.output.findings.drain(..) {
            self.counts.findings += 1;
            self.line.clear();
            lines::finding(&mut self.line, &device, &finding);
            out.write_all(&self.line)?;
        }
        for flow in self.output.flows.drain(..) {
            self.counts.flows += 1;
            self.line.clear();
            lines::flow(&mut self.line, &flow);
            out.write_all(&self.line)?;
        }
        Ok(())
    }
}
