//! Tests of what a SIEM is told: golden messages of a finding's life, and hostile texts that begin nothing.
//!
//! Messages are read back by a second, small reader that knows the rules from the other side.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::ids::Text;
use cordon_proto::limits;
use cordon_proto::telemetry::{Finding, Severity};
use cordon_proto::time::Millis;
use proptest::prelude::*;
use serde_json::Value;

use super::position::{self, Position};
use super::*;
use crate::audit::{Entry, Summary};
use crate::change::{Key, Revision};
use crate::order_plan::fixture::{NOW, pump};
use crate::triage::{State, Verb, decide, pass, take_in};

fn text(text: &str) -> Text {
    Text::lossy(text)
}

fn reporter() -> Reporter {
    Reporter { host: "cordon.st-anna.example".to_string(), version: "0.1.0".to_string() }
}

fn beacon(severity: Severity) -> Finding {
    Finding {
        detector: "beacon".parse().expect("a name"),
        key: text("203.0.113.0/24 443/tcp"),
        first: NOW,
        last: NOW.plus_seconds(3600),
        count: 60,
        peer: Some(text("203.0.113.9")),
        severity,
        attack: [text("T1071.001"), text("T1029"), text("as I like it")].into(),
        evidence: BTreeMap::from(
            [("port", "443"), ("interval-s", "60")].map(|(k, v)| (k.to_string(), v.to_string())),
        ),
        title: text("Calls one outside address every 60 seconds"),
        what_changed: text("Since 05:58 today it has called 203.0.113.9 60 times."),
        why_it_matters: text("A fixed rhythm is how planted software asks for orders."),
        how_sure: text("High: the rhythm is even, no person works like this."),
        what_to_do: text("Quarantine it; harmless if its maker says that it reports there."),
    }
}

/// The life of a finding: opened, worse, seen by a person, closed.
fn life() -> Vec<Record> {
    let device = pump("SN-1").id;
    let at = |minutes: i64| NOW.plus_seconds(minutes * 60);
    let opened = take_in(None, device, beacon(Severity::High), at(0)).0;
    let raised = take_in(Some(opened.clone()), device, beacon(Severity::Critical), at(5)).0;
    let seen = decide(raised.clone(), Verb::Acknowledge, "M. Okafor", "looking at it | now = ok", at(9))
        .expect("decides");
    let closed =
        decide(seen.clone(), Verb::Close, "M. Okafor", "the maker's own report", at(30)).expect("decides");
    Vec::from([opened, raised, seen, closed])
}

fn told<'a>(record: &'a Record, device: Option<&'a Device>) -> Event<'a> {
    let step = record.history.last().expect("a step");
    Event::Finding(Told { record, step, device, first: false })
}

fn entry(sequence: u64, object: &str) -> Recorded {
    let mut entry = Entry::new("device.quarantine".parse().expect("a name"), text(object));
    entry.reason = Some(text("calls an outside address; \u{202e}see f-1"));
    entry.before = Some(Summary::of("active"));
    entry.after = Some(Summary::of("quarantined"));
    Recorded { sequence, at: NOW, actor: Actor::Person(text("ines")), entry }
}

fn framed(event: Event<'_>, format: Format) -> Vec<String> {
    let reporter = reporter();
    let frame = |message: &Message| String::from_utf8(syslog::frame(message, 10, &reporter)).expect("UTF-8");
    event.messages(&reporter, format).iter().map(frame).collect()
}

fn scene(format: Format) -> String {
    let mut device = pump("SN-1");
    device.placement.ward = text("Ward Zürich \\ 2|3");
    let life = life();
    let mut lines: Vec<String> =
        life.iter().flat_map(|record| framed(told(record, Some(&device)), format)).collect();
    lines.extend(framed(Event::Audit(&entry(7, &format!("device:{}", device.id))), format));
    let by = Actor::Person(text("ines"));
    lines.extend(framed(Event::Test { at: Millis(NOW.0 * 1000 + 42), by: &by }, format));
    lines.join("\n") + "\n"
}

/// One message as a receiver reads it: priority, time, host, type, and the line.
#[derive(Debug, PartialEq)]
struct Read {
    priority: u32,
    at: String,
    host: String,
    kind: String,
    line: String,
}

/// Takes the first frame off.
fn unframed(bytes: &str) -> Option<(Read, &str)> {
    let (length, rest) = bytes.split_once(' ')?;
    let (message, rest) = rest.split_at_checked(length.parse().ok()?)?;
    let (priority, message) = message.strip_prefix('<')?.split_once(">1 ")?;
    let fields: Vec<&str> = message.splitn(6, ' ').collect();
    let [at, host, "cordon-server", "-", kind, rest_of_it] = fields[..] else { return None };
    let (data, line) = rest_of_it.split_once("\"] ")?;
    assert!(data.starts_with("[origin software=\"cordon-server\" swVersion=\""), "{data}");
    let line = line.strip_prefix('\u{feff}').unwrap_or(line);
    let read = Read {
        priority: priority.parse().ok()?,
        at: at.to_string(),
        host: host.to_string(),
        kind: kind.to_string(),
        line: line.to_string(),
    };
    Some((read, rest))
}

/// A CEF line taken apart, by the rules of its escapes.
fn cef_parts(line: &str) -> Option<(Vec<String>, BTreeMap<String, String>)> {
    let mut rest = line.strip_prefix("CEF:0|")?.chars().peekable();
    let (mut head, mut field) = (Vec::new(), String::new());
    while head.len() < 6 {
        match rest.next()? {
            '\\' => field.push(rest.next().filter(|c| matches!(c, '\\' | '|'))?),
            '|' => head.push(core::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    // A pair begins with a word that ends in an unescaped `=`.
    let (mut pairs, mut name, mut value) = (BTreeMap::new(), String::new(), String::new());
    let mut keep = |name: &str, value: &str| {
        name.is_empty() || pairs.insert(name.to_string(), value.to_string()).is_none()
    };
    while let Some(c) = rest.next() {
        match c {
            '\\' => value.push(rest.next().filter(|c| matches!(c, '\\' | '='))?),
            '=' => {
                let (before, next) = value.rsplit_once(' ').unwrap_or(("", &value));
                if !keep(&name, before) {
                    return None;
                }
                (name, value) = (next.to_string(), String::new());
            }
            c => value.push(c),
        }
    }
    keep(&name, &value).then_some((head, pairs))
}

/// Compares a scene with the golden messages of its format.
fn compare(format: Format, golden: &str) {
    let played = scene(format);
    assert!(played == golden, "golden/{}.txt reads now:\n{played}", format.word());
}

#[test]
fn the_life_of_a_finding_reads_in_ocsf_as_it_always_did() {
    // Goal: rules in a SIEM outlive versions. Method: golden messages: a life, an entry of the journal, a test.
    compare(Format::Ocsf, include_str!("golden/ocsf.txt"));
}

#[test]
fn the_life_of_a_finding_reads_in_cef_as_it_always_did() {
    // Goal and method as above.
    compare(Format::Cef, include_str!("golden/cef.txt"));
}

#[test]
fn a_finding_is_created_updated_and_closed_and_its_connection_is_told_once() {
    // Goal: a copy of the finding follows it. Method: the numbers of each step's event.
    let device = pump("SN-1");
    let numbers = |record: &Record| {
        let messages = told(record, Some(&device)).messages(&reporter(), Format::Ocsf);
        let read = |message: &Message| serde_json::from_str::<Value>(&message.text).expect("JSON");
        let of = |event: Value| {
            (event["type_uid"].clone(), event["status_id"].clone(), event["severity_id"].clone())
        };
        messages
            .iter()
            .map(read)
            .map(of)
            .map(|(kind, status, severity)| format!("{kind}/{status}/{severity}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let lives: Vec<String> = life().iter().map(numbers).collect();
    assert_eq!(lives, ["200401/1/4 400106/null/4", "200402/1/5", "200402/2/5", "200403/4/5"]);
}

#[test]
fn a_closed_finding_names_no_peer_any_more() {
    // Goal: addresses only inside a finding that is not closed. Method: the peer in every step's lines, and in those of an
    // opening that is told late, when the finding is closed already; a title that names the peer.
    let device = pump("SN-1");
    let names = |event: Event<'_>, format| framed(event, format).concat().contains("203.0.113.");
    for format in [Format::Ocsf, Format::Cef] {
        let life = life();
        let named: Vec<bool> = life.iter().map(|record| names(told(record, Some(&device)), format)).collect();
        assert_eq!(named, [true, true, true, false]);
        let mut closed = life[3].clone();
        closed.finding.title = text("Calls 203.0.113.9");
        for step in &closed.history {
            let late = Event::Finding(Told { record: &closed, step, device: Some(&device), first: false });
            assert!(!names(late, format), "{step:?}");
            assert_eq!(late.messages(&reporter(), format).len(), 1);
        }
    }
}

#[test]
fn what_fits_no_line_is_cut_and_says_so() {
    // Goal: no message is longer than a receiver takes. Method: everything as long and as wide as the wire allows.
    let wide = |count: usize| "\u{1f9a0}".repeat(count);
    let mut finding = beacon(Severity::Low);
    finding.evidence = (0..limits::EVIDENCE).map(|n| (format!("{n:02}{}", wide(60)), wide(64))).collect();
    finding.attack = (0..limits::EVIDENCE).map(|n| text(&format!("T10{n:02}.001"))).collect();
    for field in
        [&mut finding.title, &mut finding.what_changed, &mut finding.why_it_matters, &mut finding.how_sure]
    {
        *field = text(&wide(256));
    }
    let mut device = pump("SN-1");
    device.hardware.model = text(&wide(256));
    device.placement.ward = text(&wide(256));
    let record = take_in(None, device.id, finding, NOW).0;
    let mut long = entry(1, &format!("device:{}", wide(200)));
    long.entry.before = Some(Summary::of(&wide(1024)));
    long.entry.after = Some(Summary::of(&wide(1024)));
    for event in [told(&record, Some(&device)), Event::Audit(&long)] {
        for message in [Format::Ocsf, Format::Cef].map(|format| event.messages(&reporter(), format)).concat()
        {
            assert!(
                message.text.len() <= limits::SIEM_BODY_BYTES,
                "{}: {}",
                message.kind.word(),
                message.text
            );
        }
        let cut: Value =
            serde_json::from_str(&event.messages(&reporter(), Format::Ocsf)[0].text).expect("JSON");
        assert_eq!(cut["metadata"]["is_truncated"], true);
    }
}

#[test]
fn a_message_that_is_not_all_ascii_begins_with_the_mark_and_one_of_ocsf_always_is() {
    // Goal: section 6.4 of RFC 5424, and readers of JSON that stumble over the mark. Method: a ward with an umlaut.
    let mut device = pump("SN-1");
    device.placement.ward = text("Zürich");
    let life = life();
    let marked = |format| framed(told(&life[0], Some(&device)), format)[0].contains("\u{feff}");
    assert!(marked(Format::Cef) && !marked(Format::Ocsf));
    device.placement.ward = text("Zurich");
    assert!(!framed(told(&life[0], Some(&device)), Format::Cef)[0].contains("\u{feff}"));
}

#[test]
fn a_walk_tells_open_findings_once_and_later_what_was_missed() {
    // Goal: a new SIEM sees what is open, one that was away sees what changed. Method: both walks over a life.
    let life = life();
    let (open, closed) = (&life[2], &life[3]);
    let begun = Position::begin("siem:6514", (Revision(40), 7), NOW);
    let what = |(steps, first): (Vec<&Step>, bool)| (steps.len(), first);
    assert_eq!((what(begun.steps(open)), what(begun.steps(closed))), ((1, true), (0, true)));
    let key = Key::Finding { device: open.device, finding: cordon_proto::ids::Sha256([7; 32]) };
    let walking = Position::from_body(&begun.walk_to(Some(&key)).to_body(), "siem:6514").expect("reads");
    assert_eq!(walking.walked(), Some(key));
    let follows = walking.walk_to(None);
    assert_eq!(follows.findings, position::Findings::Follow { after: 40, at: NOW });
    let missed = follows.followed(Revision(50), NOW.plus_seconds(540)).forgotten(Revision(90), NOW);
    let (steps, first) = missed.steps(closed);
    let turns: Vec<_> = steps.iter().map(|step| step.turn().map(Turn::word)).collect();
    assert_eq!((turns, first), ([Some("acknowledged"), Some("closed")].into(), false));
    assert_eq!(Position::from_body(&missed.to_body(), "another:6514"), None, "another SIEM begins anew");
    let brought: Vec<_> = position::brought(closed, NOW.plus_seconds(300)).map(|step| step.turn()).collect();
    assert_eq!(brought, [Some(Turn::Raised)]);
}

#[test]
fn a_siem_that_takes_nothing_for_an_hour_is_told() {
    // Goal: nobody believes in a SIEM that hears nothing. Method: the minute before and the minute itself, with and without a
    // past; the first failure keeps its time, a success ends it.
    let at = |seconds: i64| NOW.plus_seconds(seconds);
    let never = Position::begin("siem:6514", (Revision(1), 0), NOW)
        .failed("nobody listens", at(0))
        .failed("its certificate", at(600));
    assert_eq!(never.trouble(at(3599)), None);
    let words = never.trouble(at(3600)).expect("an hour");
    assert!(words.contains("nothing ever") && words.contains("its certificate"), "{words}");
    let once = never.took(3, at(4000));
    assert_eq!(
        (once.events, once.trouble(at(90_000)), once.is_untried(at(4599)), once.is_untried(at(4600))),
        (3, None, false, true)
    );
    let lost = once.failed("nobody listens", at(4700));
    assert!(
        lost.is_untried(at(4701)) && lost.trouble(at(7599)).is_none() && lost.trouble(at(7600)).is_some()
    );
}

#[test]
fn what_a_check_closes_by_itself_is_a_close_of_the_server() {
    // Goal: nobody looks for what is over. Method: a finding that passes.
    let passed = pass(life()[0].clone(), "server", "no longer so", NOW.plus_seconds(60));
    assert_eq!(passed.state, State::Closed);
    let line = told(&passed, None).messages(&reporter(), Format::Cef)[0].text.clone();
    let (_, pairs) = cef_parts(&line).expect("CEF");
    assert_eq!(
        (pairs["act"].as_str(), pairs["suser"].as_str(), pairs["reason"].as_str()),
        ("closed", "server", "no longer so")
    );
}

/// Texts that try to end a line, a field, a string or a frame.
fn hostile() -> impl Strategy<Value = String> {
    const BOLD: &[&str] = &[
        "\n",
        "\r",
        "|",
        "\\",
        "=",
        " cat=ours ",
        "\"",
        "]",
        "\u{feff}",
        "\u{202e}",
        "\u{2028}",
        "\u{85}",
        "9 <0>1 - ",
        "CEF:0|a|b|c|",
        "é",
        "\u{1f9a0}",
        "\u{0}",
    ];
    let piece = prop_oneof![
        proptest::sample::select(BOLD).prop_map(str::to_string),
        "[ -~]{0,12}",
        any::<char>().prop_map(String::from)
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_of_a_device_begins_a_message_a_field_or_an_end_of_line(said in proptest::collection::vec(hostile(), 8), step in 0_usize..4) {
        let mut record = life()[step].clone();
        let finding = &mut record.finding;
        for (field, said) in [&mut finding.title, &mut finding.what_changed, &mut finding.why_it_matters, &mut finding.how_sure, &mut finding.what_to_do].into_iter().zip(&said) {
            *field = text(said);
        }
        (finding.peer, finding.evidence) = (Some(text(&said[5])), [(said[6].clone(), said[7].clone())].into());
        let mut device = pump("SN-1");
        (device.hardware.model, device.placement.site) = (text(&said[6]), text(&said[7]));
        let mut journal = entry(9, &said[0]);
        journal.entry.reason = Some(text(&said[1]));
        journal.entry.after = Some(Summary::of(&said[2]));
        for format in [Format::Ocsf, Format::Cef] {
            let events = [told(&record, Some(&device)), Event::Audit(&journal)];
            let sent: Vec<Message> = events.iter().flat_map(|event| event.messages(&reporter(), format)).collect();
            let stream: String = events.iter().flat_map(|event| framed(*event, format)).collect();
            prop_assert!(!stream.chars().any(|c| c.is_control() || matches!(c, '\u{202e}' | '\u{2028}')), "{:?}", stream);
            let mut rest = stream.as_str();
            for message in &sent {
                let (read, after) = unframed(rest).expect("a frame");
                rest = after;
                prop_assert_eq!((read.host.as_str(), read.kind.as_str(), &read.line), ("cordon.st-anna.example", message.kind.word(), &message.text));
                match format {
                    Format::Ocsf => {
                        let event: Value = serde_json::from_str(&read.line).expect("JSON");
                        prop_assert!(read.line.is_ascii());
                        prop_assert_eq!(&event["metadata"]["product"]["name"], "Cordon");
                    }
                    Format::Cef => {
                        let (head, pairs) = cef_parts(&read.line).expect("CEF");
                        prop_assert_eq!(&head[..2], ["Cordon", "Cordon"]);
                        let cat = if message.kind == Kind::Audit { "audit" } else { "beacon" };
                        prop_assert_eq!(pairs["cat"].as_str(), cat);
                    }
                }
            }
            prop_assert_eq!(rest, "");
        }
    }
}
