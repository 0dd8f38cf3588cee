//! `mud` as it is typed: a file checked, shown and compiled, flows held against it, and a file made of flows.

use cordon_proto::mud::Usage;
use serde_json::json;

use super::*;

const FILE: &str = r#"{"ietf-mud:mud":{"mud-version":1,"mud-url":"https://maker.example/pump","last-update":"2026-01-02T03:04:05Z",
"cache-validity":48,"is-supported":true,"systeminfo":"Infusion pump","mud-signature":"https://maker.example/pump.p7s",
"from-device-policy":{"access-lists":{"access-list":[{"name":"out"}]}},"to-device-policy":{"access-lists":{"access-list":[{"name":"in"}]}}},
"ietf-access-control-list:acls":{"acl":[
{"name":"out","type":"ipv4-acl-type","aces":{"ace":[
 {"name":"cloud","matches":{"ipv4":{"protocol":6,"ietf-acldns:dst-dnsname":"cloud.maker.example"},"tcp":{"destination-port":{"operator":"eq","port":443},"ietf-mud:direction-initiated":"from-device"}},"actions":{"forwarding":"accept"}},
 {"name":"dns","matches":{"ietf-mud:mud":{"controller":"urn:ietf:params:mud:dns"},"ipv4":{"protocol":17},"udp":{"destination-port":{"operator":"eq","port":53}}},"actions":{"forwarding":"accept"}}]}},
{"name":"in","type":"ipv4-acl-type","aces":{"ace":[
 {"name":"cloud","matches":{"ipv4":{"protocol":6,"ietf-acldns:src-dnsname":"cloud.maker.example"},"tcp":{"source-port":{"operator":"eq","port":443}}},"actions":{"forwarding":"accept"}},
 {"name":"dns","matches":{"ietf-mud:mud":{"controller":"urn:ietf:params:mud:dns"},"ipv4":{"protocol":17},"udp":{"source-port":{"operator":"eq","port":53}}},"actions":{"forwarding":"accept"}}]}}]}}"#;

fn flow(
    proto: &str,
    (src, src_port): (&str, u16),
    (dst, dst_port): (&str, u16),
    name: Option<&str>,
) -> String {
    let line = json!({"type": "flow", "start": "2026-01-02T03:04:05.000Z", "end": "2026-01-02T03:04:06.000Z", "proto": proto,
        "src": src, "src_port": src_port, "dst": dst, "dst_port": dst_port, "packets_out": 3, "bytes_out": 99,
        "packets_in": 2, "bytes_in": 99, "state": "closed", "name": name, "community_id": "1:x"});
    format!("{line}\n")
}

/// The folder of a test with a file, and flows of a pump: to its cloud, to the resolver, and to a stranger.
fn desk() -> Desk {
    let desk = Desk { folder: tempfile::tempdir().unwrap() };
    desk.file("pump.json", FILE.as_bytes());
    let pump = ("10.0.0.2", 50_000);
    let flows = [
        flow("tcp", pump, ("203.0.113.9", 443), Some("cloud.maker.example")),
        flow("udp", ("10.0.0.2", 40_000), ("10.0.0.53", 53), None),
        flow("tcp", pump, ("203.0.113.9", 8443), Some("cloud.maker.example")),
        flow("tcp", pump, ("198.51.100.7", 443), Some("other.example")),
        "{\"type\":\"summary\",\"packets\":9}\n".to_owned(),
    ];
    desk.file("flows.jsonl", flows.concat().as_bytes());
    desk
}

#[test]
fn a_file_is_checked_and_shown_in_words() {
    // Goal: a person sees what the device may do, and what is only believed. Method: golden texts; a mistake by its entry.
    let desk = desk();
    let file = desk.path("pump.json");
    let wanted = "Infusion pump, https://maker.example/pump, last changed 2026-01-02T03:04:05Z\n  systeminfo     Infusion pump\n4 entries in 2 lists, 4 rules for connections\nsignature not checked: bring it with --signature FILE --ca FILE\nWARNING  out/dns is for `controller:urn:ietf:params:mud:dns`: until it is bound, any local machine counts (bind it with --bind controller:urn:ietf:params:mud:dns=ADDRESS)\nWARNING  in/dns is for `controller:urn:ietf:params:mud:dns`: until it is bound, any local machine counts (bind it with --bind controller:urn:ietf:params:mud:dns=ADDRESS)\n";
    assert_eq!(done(cordonctl(&["mud", "check", &file])), wanted);
    let bind = "controller:urn:ietf:params:mud:dns=10.0.0.53";
    let bound = done(cordonctl(&["mud", "check", &file, "--bind", bind]));
    assert!(!bound.contains("WARNING"), "{bound}");
    let shown = done(cordonctl(&["mud", "show", &file, "--bind", bind]));
    let wanted = "may send TCP over IPv4 to cloud.maker.example port 443, opened by the device  [out/cloud]\nmay send UDP over IPv4 to 10.0.0.53/32 port 53  [out/dns]\nmay get TCP over IPv4 from cloud.maker.example port 443  [in/cloud]\nmay get UDP over IPv4 from 10.0.0.53/32 port 53  [in/dns]\n";
    assert!(shown.ends_with(wanted), "{shown}");
    assert!(misused(cordonctl(&["mud", "show", &file, "--bind", "dns=10.0.0.53"])).contains("binds nothing"));
    desk.file("bad.json", FILE.replacen("\"port\":443", "\"port\":44300000", 1).as_bytes());
    let told = refused(cordonctl(&["mud", "check", &desk.path("bad.json")]));
    assert!(told.contains("entry `cloud` of list `out`: `destination-port` is out of range"), "{told}");
}

#[test]
fn what_is_compiled_is_what_a_device_reads() {
    // Goal: the file of `mud` in the device's configuration. Method: compiled, read with the device's own reader.
    let desk = desk();
    let (file, out) = (desk.path("pump.json"), desk.path("pump.usage"));
    let said = done(cordonctl(&["mud", "compile", &file, "--out", &out, "--local", "198.51.100.0/24"]));
    assert!(said.contains("4 rules") && said.contains("2 remarks"), "{said}");
    let usage = Usage::decode(&std::fs::read(out).unwrap()).expect("a device reads it");
    assert_eq!((usage.device.as_str(), usage.rules.len(), usage.local.len()), ("Infusion pump", 4, 1));
}

#[test]
fn every_flow_is_explained_by_the_entry_that_decides_or_almost_does() {
    // Goal: conformance flow by flow. Method: four flows of four kinds; the words; then without any names.
    let desk = desk();
    let (file, flows) = (desk.path("pump.json"), desk.path("flows.jsonl"));
    let told = done(cordonctl(&["mud", "conformance", "--mud", &file, "--flows", &flows]));
    let wanted = "     1 x calls 10.0.0.53 UDP/53  out: allowed by out/dns; in: allowed by in/dns\n     1 x calls cloud.maker.example TCP/443  out: allowed by out/cloud; in: allowed by in/cloud\n     1 x calls cloud.maker.example TCP/8443  out: NOT LISTED; out/cloud would, but for the peer's port; in: NOT LISTED; in/cloud would, but for the peer's port\n     1 x calls other.example TCP/443  out: NOT LISTED; out/cloud would, but for its name; in: NOT LISTED; in/cloud would, but for its name\n10.0.0.2: 4 flows, 2 conform, 2 do not, 0 not judged; 4 of 4 rules used\n";
    assert_eq!(told, wanted);
    let nameless = std::fs::read_to_string(&flows).unwrap().replace("\"cloud.maker.example\"", "null");
    desk.file("nameless.jsonl", nameless.replace("\"other.example\"", "null").as_bytes());
    let told =
        done(cordonctl(&["mud", "conformance", "--mud", &file, "--flows", &desk.path("nameless.jsonl")]));
    assert!(told.contains("1 conform, 1 do not, 2 not judged"), "{told}");
    let told = refused(cordonctl(&[
        "mud",
        "conformance",
        "--mud",
        &file,
        "--flows",
        &flows,
        "--device",
        "10.9.9.9",
    ]));
    assert!(told.contains("no flow in it is 10.9.9.9's"), "{told}");
    let told = refused(cordonctl(&["mud", "conformance", "--mud", &file, "--flows", &file]));
    assert!(told.contains("line 1 is not one of `cordon-agent observe`"), "{told}");
}

#[test]
fn what_is_generated_from_flows_allows_all_of_them() {
    // Goal: generate, reload, 100 % on its own window. Method: the flows of the pump, the stranger among them; then an
    // entry is taken out, and its flows do not conform any more.
    let desk = desk();
    let (flows, made) = (desk.path("flows.jsonl"), desk.path("made.json"));
    let about = ["--url", "https://maker.example/pump", "--system", "Infusion pump", "--maker", "Maker"];
    let from = ["mud", "generate", "--flows", &flows, "--out", &made];
    assert!(done(cordonctl(&[&from[..], &about[..]].concat())).contains("4 different things were seen"));
    let told = done(cordonctl(&["mud", "conformance", "--mud", &made, "--flows", &flows]));
    assert!(told.ends_with("4 flows, 4 conform, 0 do not, 0 not judged; 8 of 8 rules used\n"), "{told}");
    let checked = done(cordonctl(&["mud", "check", &made]));
    assert!(checked.contains("8 entries in 2 lists, 8 rules"), "{checked}");
    assert!(
        misused(cordonctl(&["mud", "generate", "--flows", &flows, "--url", "http://x", "--system", "y"]))
            .contains("https")
    );
}
