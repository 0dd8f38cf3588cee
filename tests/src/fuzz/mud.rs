//! Feeding MUD files and what devices hold of them.
//!
//! Whatever is read compiles, travels to a device as itself, and judges any packet without a panic. Read next:
//! [`super::targets`].

use std::net::IpAddr;

use cordon_agent_core::mud::{Misses, Verdict, Way, judge, misses, nearest};
use cordon_proto::mud::Usage;
use cordon_proto::telemetry::{Direction, Protocol};
use cordon_server_core::mud::check::check;
use cordon_server_core::mud::compile::{Site, compile};
use cordon_server_core::mud::read::read;

const FILE: &str = r#"{"ietf-mud:mud":{"mud-version":1,"mud-url":"https://maker.example/pump","last-update":"2026-01-02T03:04:05Z","cache-validity":48,
"is-supported":true,"systeminfo":"pump","extensions":["masa","x"],"masa-server":"https://masa.example","from-device-policy":{"access-lists":{"access-list":[{"name":"o"}]}},
"to-device-policy":{"access-lists":{"access-list":[{"name":"i"}]}}},"ietf-access-control-list:acls":{"acl":[{"name":"o","type":"ipv4-acl-type","aces":{"ace":[
{"name":"a","matches":{"ietf-mud:mud":{"controller":"urn:ietf:params:mud:dns"},"ipv4":{"protocol":17,"dscp":5},"udp":{"destination-port":{"operator":"eq","port":53}}},"actions":{"forwarding":"accept"}},
{"name":"b","matches":{"ipv4":{"ietf-acldns:dst-dnsname":"a.example","cordon-below":[null]},"tcp":{"ietf-mud:direction-initiated":"from-device","destination-port":{"lower-port":1,"upper-port":9},"source-port":{"operator":"neq","port":7}}},"actions":{"forwarding":"accept"}},
{"name":"c","matches":{"eth":{"ethertype":"0x888e"}},"actions":{"forwarding":"drop"}}]}},
{"name":"i","type":"ipv6-acl-type","aces":{"ace":[{"name":"a","matches":{"ietf-mud:mud":{"local-networks":[null]},"ipv6":{"protocol":58,"source-ipv6-network":"fe80::/10"},"icmp":{"type":135,"code":0}},"actions":{"forwarding":"reject"}},
{"name":"b","matches":{"ietf-mud:mud":{"model":"https://m.example","same-manufacturer":[null],"my-controller":[null],"manufacturer":"m.example"}},"actions":{"forwarding":"accept"}}]}}]}}"#;

/// MUD files.
#[must_use]
pub fn files() -> Vec<Vec<u8>> {
    vec![FILE.as_bytes().to_vec()]
}

/// What devices hold.
#[must_use]
pub fn usages() -> Vec<Vec<u8>> {
    let file = read(FILE.as_bytes()).expect("the sample is a MUD file");
    vec![compile(&file, &Site::default()).usage.encode()]
}

/// Reads a MUD file.
pub fn file(input: &[u8]) -> bool {
    let Ok(file) = read(input) else { return false };
    let compiled = compile(&file, &Site::default());
    assert_eq!(compiled.names.len(), compiled.usage.rules.len(), "a rule without an entry");
    assert!(check(&file, &Site::default()).iter().all(|warning| !warning.sentence.is_empty()));
    if let Ok(held) = Usage::decode(&compiled.usage.encode()) {
        assert_eq!(held, compiled.usage, "a device holds something else");
    }
    judged(&compiled.usage);
    true
}

/// Reads what a device holds.
pub fn usage(input: &[u8]) -> bool {
    let Ok(usage) = Usage::decode(input) else { return false };
    judged(&usage);
    true
}

/// Judges packets of every kind; what is allowed misses nothing of its rule.
fn judged(usage: &Usage) {
    let peers: [IpAddr; 4] = [
        [10, 0, 0, 1].into(),
        [203, 0, 113, 9].into(),
        [255; 4].into(),
        [0xfe80, 0, 0, 0, 0, 0, 0, 1].into(),
    ];
    let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Icmp];
    for peer in peers {
        for (protocol, name) in protocols.into_iter().zip([Some("a.example"), None, Some("")]) {
            for says in [Direction::Outbound, Direction::Inbound] {
                let way = Way {
                    says,
                    protocol,
                    peer,
                    peer_port: 53,
                    own_port: 5,
                    opened: Some(says),
                    name,
                    icmp: Some([135, 0]),
                };
                match judge(usage, &way, true) {
                    Verdict::Allowed(place) | Verdict::Stopped(place) => {
                        let rule = usage.rules.get(place).expect("a rule that is there");
                        assert_eq!(
                            misses(usage, rule, &way),
                            Misses::default(),
                            "a rule that does not fit decides"
                        );
                    }
                    Verdict::Unjudged(_) | Verdict::Unlisted => {}
                }
                let near = nearest(usage, &way);
                assert!(near.is_none_or(|(place, _)| place < usage.rules.len()));
            }
        }
    }
}
