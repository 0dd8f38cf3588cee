//! `observe` over recorded attacks and recorded honest traffic: what has to be found is, nothing else is, and no payload
//! comes out.
//!
//! The recordings are no part of the project. Where the folder named by `CORDON_DATA` holds `anomaly` or its parts, each
//! is observed by the device program's own command and the table is printed; else the tests are skipped.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cordon_agent_core::profile::Profile;
use cordon_proto::time::Millis;
use cordon_sim::bench::anomaly::attacks;
use cordon_sim::bench::anomaly::watch::Watch;
use cordon_sim::skip;
use serde_json::Value;

/// Recordings with the options they need and the detectors that must speak, each at least once; no other may.
const RECORDINGS: [(&str, &[&str], &[&str]); 14] = [
    ("ndpi/synscan.pcap", &[], &["scan", "volume"]),
    ("ndpi/synscan.pcap", &["--device", "64.13.134.52"], &["scan", "volume"]),
    ("slips/test12-icmp-portscan.pcap", &[], &["scan"]),
    ("slips/test8-malicious.pcap", &[], &["scan"]),
    ("slips/port-scans_horizontal_conn.log", &[], &["scan"]),
    ("ndpi/dns-tunnel-iodine.pcap", &[], &["dns-tunnel"]),
    ("zeek/dhcp_flood.pcap", &[], &["volume"]),
    ("ndpi/hl7.pcap", &[], &[]),
    ("ndpi/mqtt.pcap", &[], &[]),
    ("ndpi/tuya_lp.pcap", &[], &[]),
    ("ndpi/alexa-app.pcapng", &[], &[]),
    ("zeek/arp-leak.pcap", &[], &[]),
    ("ndpi/bot.pcap", &["--local", "89.31.72.0/24"], &[]),
    ("ndpi/ftp_failed.pcap", &["--local", "::/0"], &[]),
];

fn folder() -> Option<PathBuf> {
    let data = PathBuf::from(std::env::var_os("CORDON_DATA")?);
    [data.join("anomaly"), data].into_iter().find(|folder| folder.join("ndpi").is_dir())
}

fn recordings() -> Option<PathBuf> {
    let folder = folder();
    if folder.is_none() {
        skip::skip("no recorded captures: name a folder with anomaly in CORDON_DATA");
    }
    folder
}

/// The lines that observing gives, and the bytes that they stand in.
fn observe(recording: &Path, options: &[&str]) -> (Vec<Value>, String) {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let out = scratch.path().join("out.jsonl");
    let list = recording.extension().is_some_and(|extension| extension == "log");
    let mut args: Vec<OsString> = vec!["observe".into(), if list { "--read-conn" } else { "--read" }.into()];
    args.extend([recording.into(), "--out".into(), out.clone().into()]);
    args.extend(options.iter().map(OsString::from));
    assert_eq!(cordon_agent::main_with(args), ExitCode::SUCCESS, "{}", recording.display());
    let text = fs::read_to_string(out).expect("is written");
    (text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect(), text)
}

fn of_kind<'a>(lines: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| line.get("type").and_then(Value::as_str) == Some(kind))
}

fn text<'a>(line: &'a Value, name: &str) -> &'a str {
    line.get(name).and_then(Value::as_str).unwrap_or("-")
}

#[test]
fn recorded_attacks_are_found_and_honest_recordings_are_quiet() {
    // Goal: findings without a baseline where the class needs none. Method: the command over each recording; a table.
    let Some(folder) = recordings() else { return };
    let mut table = String::from("recording, packets, flows, findings\n");
    for (name, options, wanted) in RECORDINGS {
        let (lines, _) = observe(&folder.join(name), options);
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        for finding in of_kind(&lines, "finding") {
            *found.entry(text(finding, "detector")).or_default() += 1;
            assert!(text(finding, "explanation").len() > 100, "{name}: {finding}");
        }
        let summary = lines.last().expect("a summary");
        let figure = |name: &str| summary.get(name).and_then(Value::as_u64).expect("a figure");
        table.push_str(&format!(
            "{name} {options:?}, {}, {}, {found:?}\n",
            figure("packets"),
            figure("flows")
        ));
        assert_eq!(figure("skipped"), 0, "{name} is whole");
        assert!(
            found.keys().copied().eq(wanted.iter().copied()),
            "{name} {options:?}: {found:?}, wanted {wanted:?}"
        );
        assert_eq!(of_kind(&lines, "flow").count(), usize::try_from(figure("flows")).expect("small"));
    }
    std::io::stderr().write_all(table.as_bytes()).expect("stderr is open");
}

#[test]
fn a_recorded_scan_by_dhcp_is_found() {
    // Goal: the class "DHCP scan". Method: Slips' list of requests as the packets that they were, through the sensor.
    let Some(folder) = recordings() else { return };
    let list = folder.join("slips/test13-malicious-dhcpscan-zeek-dir_dhcp.log");
    let events = attacks::leases(&list).expect("is a list of leases");
    assert_eq!(events.len(), 20);
    let mut watch = Watch::new(Profile::new(), None);
    for (offset, event) in &events {
        watch.event(Millis(1_655_297_623_000 + offset), event);
    }
    let told: Vec<String> =
        watch.findings().into_iter().map(|(_, detector, key)| format!("{detector} {key}")).collect();
    assert_eq!(told, ["scan dhcp/24:4b:fe:1c:48:a4"]);
}

#[test]
fn a_search_is_found_within_seconds() {
    // Goal: time to detect. Method: from the first packet to the finding, for the recorded searches.
    let Some(folder) = recordings() else { return };
    for (name, most_s) in
        [("ndpi/synscan.pcap", 1), ("slips/test12-icmp-portscan.pcap", 3), ("slips/test8-malicious.pcap", 5)]
    {
        let (lines, _) = observe(&folder.join(name), &[]);
        let finding = of_kind(&lines, "finding").next().expect("found");
        let evidence =
            finding.pointer("/evidence/seconds").and_then(Value::as_str).expect("how long it took");
        assert!(evidence.parse::<u64>().expect("seconds") <= most_s, "{name}: {finding}");
    }
}

#[test]
fn the_same_recording_gives_the_same_bytes() {
    // Goal: results can be compared. Method: the largest recordings, twice, with tables keyed by chance.
    let Some(folder) = recordings() else { return };
    for name in ["ndpi/alexa-app.pcapng", "ndpi/synscan.pcap", "ndpi/dns-tunnel-iodine.pcap"] {
        let path = folder.join(name);
        assert_eq!(observe(&path, &[]).1, observe(&path, &[]).1, "{name}");
    }
}

#[test]
fn no_byte_of_a_patient_segment_comes_out() {
    // Goal: patient data never leaves. Method: every run of six printable bytes of the payload of an HL7 recording is looked
    // for in everything that observing it writes, profile included.
    let Some(folder) = recordings() else { return };
    let path = folder.join("ndpi/hl7.pcap");
    let profile = tempfile::tempdir().expect("a scratch folder");
    let saved = profile.path().join("profile.cbor");
    let (_, mut out) = observe(&path, &["--learn", "all", "--save-profile", saved.to_str().expect("a path")]);
    out.push_str(&String::from_utf8_lossy(&fs::read(saved).expect("is saved")));
    let bytes = fs::read(path).expect("reads");
    let start = bytes.windows(4).position(|bytes| bytes == b"MSH|").expect("an HL7 message");
    let message = bytes.get(start..).expect("from there");
    let segments = message.windows(6).filter(|run| run.iter().all(u8::is_ascii_graphic));
    let mut looked = 0;
    for run in segments {
        looked += 1;
        let run = std::str::from_utf8(run).expect("printable");
        assert!(!out.contains(run), "{run:?} came out");
    }
    assert!(looked > 100, "the recording has patient segments");
}

#[test]
fn connections_of_a_capture_have_the_published_names() {
    // Goal: community IDs and directions that others compute too. Method: HL7's one connection, with the ID that another program computed.
    let Some(folder) = recordings() else { return };
    let (lines, _) = observe(&folder.join("ndpi/hl7.pcap"), &[]);
    let flow = of_kind(&lines, "flow").next().expect("one connection");
    let told = ["proto", "src", "dst", "state", "community_id"].map(|name| text(flow, name));
    assert_eq!(told, ["tcp", "10.0.0.155", "10.0.0.126", "closed", "1:3oPXAaWO+dWdYWkCuezsKJUJgi0="]);
}
