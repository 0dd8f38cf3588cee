//! What is promised of the judge of descriptions.
//!
//! Each condition decides by itself, the first rule that fits wins, and a name that
//! nobody sees accuses nobody.

use super::*;
use crate::flow::{Endpoint, State, Traffic, Tuple};
use alloc::sync::Arc;
use alloc::vec::Vec;
use cordon_proto::ids::Text;
use cordon_proto::mud::{HostName, Ports};
use cordon_proto::time::Millis;

fn flow(peer: &str, (own_port, peer_port): (u16, u16), direction: Direction) -> Flow {
    let end = |address: &str, port| Endpoint { address: address.parse().unwrap(), port };
    Flow {
        tuple: Tuple {
            protocol: Protocol::Tcp,
            local: end("10.0.0.2", own_port),
            remote: end(peer, peer_port),
        },
        direction,
        start: Millis(0),
        end: Millis(0),
        state: State::New,
        traffic: Traffic::default(),
        total: Traffic::default(),
        answered: false,
        name: None,
        asked_for: None,
    }
}

fn usage(rules: Vec<Rule>) -> Usage {
    Usage::of(Text::lossy("pump"), Vec::new(), rules)
}

fn cloud() -> Rule {
    Rule {
        family: Some(4),
        protocol: Some(Protocol::Tcp),
        name: Some(HostName { name: "cloud.example".into(), below: false }),
        peer_port: Some(Ports::Within(443, 443)),
        opened: Some(Direction::Outbound),
        ..Rule::anything(Direction::Outbound, true)
    }
}

#[test]
fn every_condition_that_is_missed_is_named() {
    // Goal: conformance is explained. Method: one flow that fits, then one change at a time.
    let usage = usage(Vec::from([cloud()]));
    let named = |name: &str, flow: Flow| Flow { name: Some(Arc::from(name)), ..flow };
    let good = || named("Cloud.example", flow("203.0.113.9", (50_000, 443), Direction::Outbound));
    let out = Direction::Outbound;
    assert_eq!(judge(&usage, &Way::of(&good(), out), true), Verdict::Allowed(0));
    let missed = |flow: &Flow| {
        let way = Way::of(flow, out);
        assert_eq!(judge(&usage, &way, true), Verdict::Unlisted);
        nearest(&usage, &way).map(|(_, misses)| misses)
    };
    assert_eq!(missed(&named("evil.example", good())), Some(Misses::NAME));
    assert_eq!(missed(&Flow { name: None, ..good() }), Some(Misses::NAMELESS));
    assert_eq!(
        missed(&named("cloud.example", flow("203.0.113.9", (50_000, 80), out))),
        Some(Misses::PEER_PORT)
    );
    assert_eq!(
        missed(&named("cloud.example", flow("2001:db8::1", (50_000, 443), out))),
        Some(Misses::PROTOCOL)
    );
    let inward = named("cloud.example", flow("203.0.113.9", (50_000, 443), Direction::Inbound));
    assert_eq!(missed(&inward).map(|misses| misses.has(Misses::OPENER)), Some(true));
    let far = named("evil.example", flow("2001:db8::1", (50_000, 80), out));
    assert_eq!(missed(&far), None, "what misses three things is not near");
    let back = good();
    let back = Way::of(&back, Direction::Inbound);
    assert_eq!(judge(&usage, &back, true), Verdict::Unlisted, "each way needs its own rule");
}

#[test]
fn the_first_rule_that_fits_decides() {
    // Goal: the order of RFC 8519. Method: a stop before and behind an accept.
    let stop = Rule { peer_port: Some(Ports::Within(23, 23)), ..Rule::anything(Direction::Outbound, false) };
    let all = Rule::anything(Direction::Outbound, true);
    let telnet = flow("10.0.0.9", (50_000, 23), Direction::Outbound);
    let judged = |rules| judge(&usage(rules), &Way::of(&telnet, Direction::Outbound), true);
    assert_eq!(judged(Vec::from([stop.clone(), all.clone()])), Verdict::Stopped(0));
    assert_eq!(judged(Vec::from([all, stop.clone()])), Verdict::Allowed(0));
    assert_eq!(judged(Vec::from([stop])), Verdict::Stopped(0));
}

#[test]
fn a_name_that_nobody_sees_accuses_nobody() {
    // Goal: tier 0 has no names, so no false alarm by them, and no false acquittal either. Method: the same nameless flow.
    let way = flow("203.0.113.9", (50_000, 443), Direction::Outbound);
    let way = Way::of(&way, Direction::Outbound);
    let usage = usage(Vec::from([cloud()]));
    assert_eq!(judge(&usage, &way, true), Verdict::Unlisted);
    assert_eq!(judge(&usage, &way, false), Verdict::Unjudged(0));
    let other = flow("203.0.113.9", (50_000, 23), Direction::Outbound);
    assert_eq!(judge(&usage, &Way::of(&other, Direction::Outbound), false), Verdict::Unlisted);
}

#[test]
fn local_is_the_site_and_its_groups() {
    // Goal: what RFC 8520 calls local networks. Method: addresses on both sides.
    let local = Rule { place: Place::Local, ..Rule::anything(Direction::Outbound, true) };
    let mut usage = usage(Vec::from([local]));
    usage.local.extend(Net::parse("198.51.100.0/24"));
    for (address, fits) in [
        ("10.9.9.9", true),
        ("fe80::1", true),
        ("224.0.0.251", true),
        ("255.255.255.255", true),
        ("198.51.100.7", true),
        ("203.0.113.9", false),
        ("2001:db8::1", false),
    ] {
        let flow = flow(address, (1, 2), Direction::Outbound);
        let verdict = judge(&usage, &Way::of(&flow, Direction::Outbound), true);
        assert_eq!(verdict, if fits { Verdict::Allowed(0) } else { Verdict::Unlisted }, "{address}");
    }
}

#[test]
fn icmp_is_judged_by_the_message_that_goes_that_way() {
    // Goal: a ping and its answer are two messages. Method: echo out, its answer in; an echo from outside.
    let icmp = |kind, says| Rule {
        protocol: Some(Protocol::Icmp),
        icmp_type: Some(kind),
        icmp_code: Some(0),
        ..Rule::anything(says, true)
    };
    let usage = usage(Vec::from([icmp(8, Direction::Outbound), icmp(0, Direction::Inbound)]));
    let ping = |direction| {
        let ports = if direction == Direction::Outbound { (8, 0) } else { (0, 8) };
        let mut flow = flow("10.0.0.9", ports, direction);
        flow.tuple.protocol = Protocol::Icmp;
        flow
    };
    let judged = |opener, says| judge(&usage, &Way::of(&ping(opener), says), true);
    assert_eq!(judged(Direction::Outbound, Direction::Outbound), Verdict::Allowed(0));
    assert_eq!(judged(Direction::Outbound, Direction::Inbound), Verdict::Allowed(1));
    assert_eq!(judged(Direction::Inbound, Direction::Inbound), Verdict::Unlisted);
}
