//! Feeding what devices and people say into what a SIEM is told, and reading it back as a collector does.
//!
//! Whatever is said, a frame is as long as it says, a line holds no end of line, OCSF is JSON with our own fields, and CEF
//! has the fields of its dictionary, each once. The reader here is small and shares nothing with the writer. Read next:
//! [`super::targets`].

use std::collections::{BTreeMap, BTreeSet};

use cordon_proto::ids::{DeviceId, Hardware, Text};
use cordon_proto::telemetry::{Finding, Severity};
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::{Actor, Entry, Recorded, Summary};
use cordon_server_core::device::{Device, DeviceKind, Placement, State};
use cordon_server_core::risk::facts::Reach;
use cordon_server_core::siem::{Event, Format, Kind, Message, Reporter, Told, syslog};
use cordon_server_core::triage::{Verb, decide, take_in};
use serde_json::Value;

/// When everything happens.
const NOW: Timestamp = Timestamp(1_795_251_906);

/// Texts that were made to begin something, parted by zero bytes.
#[must_use]
pub fn sayings() -> Vec<Vec<u8>> {
    let all = [
        "203.0.113.9\0Calls one address\0Since 05:58.\u{0}443\0St. Anna\0VP-3\0port\0T1071.001\0why not",
        "x\n<0>1 - - - - - - {}\0a|b\\|c\0 cat=ours act=\\=\0\"}]\0\u{202e}\u{2028}\u{85}\0\u{feff}\0CEF:0|a|b|c|d|e|9|\0T1\0=",
        "2001:db8::7\0\u{1f9a0}\u{1f9a0}\0\\\0\\\\\0=\0==\0 \0T9999\0\\u0000",
        "host.example\0]\0[x y=\"z\"]\u{0}8 <13>1 x\0\r\r\0\t\0\u{7f}\u{9b}\0T1029\0device:x",
    ];
    all.map(|text| text.as_bytes().to_vec()).into()
}

/// Tells what an input says in both formats, reads it back, and says whether there was a peer to tell.
pub fn run(input: &[u8]) -> bool {
    let [ocsf, _] = [Format::Ocsf, Format::Cef].map(|format| tell(input, format));
    ocsf.iter().any(|message| message.kind == Kind::Network)
}

/// The lines of OCSF for what an input says.
#[must_use]
pub fn ocsf(input: &[u8]) -> Vec<String> {
    tell(input, Format::Ocsf).into_iter().map(|message| message.text).collect()
}

/// What is told of an input, read back: a finding opened and closed, an entry of the journal, a test.
fn tell(input: &[u8], format: Format) -> Vec<Message> {
    let said = String::from_utf8_lossy(input);
    let words: Vec<&str> = said.split('\0').collect();
    let word = |place: usize| words.get(place % words.len()).copied().unwrap_or_default();
    let (device, journal) = (device(&word), journal(&word));
    let opened = take_in(None, device.id, finding(&word), NOW).0;
    let reason = format!("because of: {}", word(8));
    let closed =
        decide(opened.clone(), Verb::Close, word(1), &reason, NOW.plus_seconds(60)).expect("a reason");
    let reporter = Reporter { host: "cordon.example".to_owned(), version: "0.1.0".to_owned() };
    // Every second finding is of a device that is gone, or the first that a SIEM hears of.
    let known = (!input.len().is_multiple_of(2)).then_some(&device);
    let told = |record, step| Event::Finding(Told { record, step, device: known, first: known.is_none() });
    let mut events = vec![Event::Audit(&journal), Event::Test { at: NOW.into(), by: &journal.actor }];
    events.extend(opened.history.last().map(|step| told(&opened, step)));
    let last = closed.history.last().map(|step| Told { record: &closed, step, device: known, first: false });
    events.extend(last.map(Event::Finding));
    let messages: Vec<Message> =
        events.into_iter().flat_map(|event| event.messages(&reporter, format)).collect();
    read_back(&messages, &reporter, format);
    messages
}

fn finding<'a>(word: &impl Fn(usize) -> &'a str) -> Finding {
    Finding {
        detector: "beacon".parse().expect("a name"),
        key: Text::lossy(word(0)),
        first: NOW,
        last: NOW,
        count: 1,
        peer: Some(Text::lossy(word(0))),
        severity: Severity::High,
        attack: vec![Text::lossy(word(7))],
        evidence: BTreeMap::from([(word(6).to_owned(), word(3).to_owned())]),
        title: Text::lossy(word(1)),
        what_changed: Text::lossy(word(2)),
        why_it_matters: Text::lossy(word(3)),
        how_sure: Text::lossy(word(4)),
        what_to_do: Text::lossy(word(5)),
    }
}

fn device<'a>(word: &impl Fn(usize) -> &'a str) -> Device {
    let text = |place| Text::lossy(word(place));
    let hardware = Hardware { manufacturer: text(4), model: text(5), revision: text(6), serial: text(7) };
    let placement = Placement {
        site: text(4),
        ward: text(1),
        kind: DeviceKind::InfusionPump,
        impact: DeviceKind::InfusionPump.usual_impact(),
        reach: Reach::default(),
        tags: Vec::new(),
    };
    Device::bare(DeviceId::from_random([7; 16]), hardware, placement, State::Active, NOW)
}

fn journal<'a>(word: &impl Fn(usize) -> &'a str) -> Recorded {
    let mut entry = Entry::new("device.quarantine".parse().expect("a name"), Text::lossy(word(8)));
    entry.reason = Some(Text::lossy(word(1)));
    entry.before = Some(Summary::of(word(2)));
    entry.after = Some(Summary::of(word(3)));
    Recorded { sequence: 7, at: NOW, actor: Actor::Person(Text::lossy(word(4))), entry }
}

/// Reads frames as a collector does, and compares them with what was written.
fn read_back(messages: &[Message], reporter: &Reporter, format: Format) {
    let frames: Vec<u8> = messages.iter().flat_map(|message| syslog::frame(message, 10, reporter)).collect();
    let mut rest = std::str::from_utf8(&frames).expect("UTF-8");
    assert!(!rest.contains(|c: char| c.is_control() || c == '\u{2028}' || c == '\u{202e}'), "{rest:?}");
    for message in messages {
        let (length, after) = rest.split_once(' ').expect("a length");
        let (frame, after) = after.split_at(length.parse().expect("a length"));
        rest = after;
        let (head, line) =
            frame.split_once(" [origin software=\"cordon-server\" swVersion=\"0.1.0\"] ").expect("a head");
        assert_eq!(head.split(' ').count(), 6, "{head}");
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        assert!(
            line.len() <= cordon_proto::limits::SIEM_BODY_BYTES && frame.len() <= 8192,
            "{}",
            frame.len()
        );
        match format {
            Format::Ocsf => {
                let event: Value = serde_json::from_str(line).expect("JSON");
                let number = |name: &str| event.get(name).and_then(Value::as_u64).expect("a number");
                assert_eq!(number("type_uid"), number("class_uid") * 100 + number("activity_id"));
                assert_eq!(event.pointer("/metadata/product/name").and_then(Value::as_str), Some("Cordon"));
            }
            Format::Cef => {
                let names = cef_names(line).expect("CEF");
                let once: BTreeSet<&str> = names.iter().copied().collect();
                assert_eq!(once.len(), names.len(), "a field twice: {line}");
                let strange = names.iter().find(|name| !CEF_NAMES.contains(name));
                assert_eq!(strange, None, "a field of nobody: {line}");
            }
        }
        assert_eq!(line, message.text);
    }
    assert_eq!(rest, "", "nothing but the messages");
}

/// The names of the dictionary that are used.
const CEF_NAMES: [&str; 33] = [
    "rt",
    "dvchost",
    "start",
    "end",
    "cnt",
    "act",
    "cat",
    "externalId",
    "deviceExternalId",
    "suser",
    "reason",
    "src",
    "c6a2",
    "c6a2Label",
    "dst",
    "c6a3",
    "c6a3Label",
    "dhost",
    "dpt",
    "outcome",
    "msg",
    "cs1",
    "cs1Label",
    "cs2",
    "cs2Label",
    "cs3",
    "cs3Label",
    "cs4",
    "cs4Label",
    "cs5",
    "cs5Label",
    "cs6",
    "cs6Label",
];

/// The names of the fields behind the seven of the head: what stands before an `=` that nothing escapes.
fn cef_names(line: &str) -> Option<Vec<&str>> {
    let mut rest = line.strip_prefix("CEF:0|")?;
    for _ in 0..6 {
        rest = rest.get(unescaped(rest, '|')? + 1..)?;
    }
    let mut names = Vec::new();
    while let Some(at) = unescaped(rest, '=') {
        let (before, after) = rest.split_at(at);
        names.push(before.rsplit(' ').next()?);
        rest = after.get(1..)?;
    }
    Some(names)
}

/// The first of a mark that no backslash escapes.
fn unescaped(text: &str, mark: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == mark && !escaped {
            return Some(at);
        }
        escaped = c == '\\' && !escaped;
    }
    None
}
