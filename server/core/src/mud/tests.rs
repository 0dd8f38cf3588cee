//! What is promised of MUD files.
//!
//! Every condition read, every mistake named, nothing left out in silence, and what is
//! generated reads back as what was seen.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::limits;
use cordon_proto::mud::{HostName, Net, Place, Ports, Usage};
use cordon_proto::telemetry::{Direction, Protocol};

use super::check::check;
use super::compile::{Remark, Site, compile};
use super::generate::{About, Peer, Seen, generate};
use super::read::read;
use super::{Class, EntryProblem, MudError};

/// A file with one entry in each direction, of these matches.
fn file(from: &str, to: &str) -> String {
    let ace = |name: &str, matches: &str| {
        format!("{{\"name\":\"{name}\",\"matches\":{matches},\"actions\":{{\"forwarding\":\"accept\"}}}}")
    };
    let acl = |name: &str, ace: String| {
        format!("{{\"name\":\"{name}\",\"type\":\"ipv4-acl-type\",\"aces\":{{\"ace\":[{ace}]}}}}")
    };
    let policy = |name: &str| format!("{{\"access-lists\":{{\"access-list\":[{{\"name\":\"{name}\"}}]}}}}");
    format!(
        "{{\"ietf-mud:mud\":{{\"mud-version\":1,\"mud-url\":\"https://maker.example/pump\",\"last-update\":\"2026-01-02T03:04:05Z\",\
         \"mud-signature\":\"https://maker.example/pump.p7s\",\"is-supported\":true,\"systeminfo\":\"a pump\",\
         \"from-device-policy\":{},\"to-device-policy\":{}}},\
         \"ietf-access-control-list:acls\":{{\"acl\":[{},{}]}}}}",
        policy("out"),
        policy("in"),
        acl("out", ace("a", from)),
        acl("in", ace("b", to)),
    )
}

fn usage(from: &str) -> Usage {
    compile(&read(file(from, from).as_bytes()).expect("reads"), &Site::default()).usage
}

#[test]
fn every_condition_becomes_the_rule_it_says() {
    // Goal: nothing of an entry is lost. Method: each kind of condition, read from both sides.
    let rules = usage(
        r#"{"ipv4":{"protocol":6,"ietf-acldns:dst-dnsname":"Cloud.Maker.example."},
            "tcp":{"destination-port":{"operator":"eq","port":443},"source-port":{"operator":"gte","port":1024},
                   "ietf-mud:direction-initiated":"from-device"}}"#,
    )
    .rules;
    let [out] = rules.as_slice() else { panic!("the other one never fits: {rules:?}") };
    assert_eq!(out.name, Some(HostName { name: "cloud.maker.example".into(), below: false }));
    assert_eq!(
        (out.peer_port, out.own_port),
        (Some(Ports::Within(443, 443)), Some(Ports::Within(1024, u16::MAX)))
    );
    assert_eq!(
        (out.protocol, out.opened, out.family),
        (Some(Protocol::Tcp), Some(Direction::Outbound), Some(4))
    );

    let rules = usage(
        r#"{"ietf-mud:mud":{"local-networks":[null]},"ipv4":{"destination-ipv4-network":"10.1.0.0/16"},
            "udp":{"destination-port":{"operator":"neq","port":23},"source-port":{"lower-port":5,"upper-port":9}}}"#,
    )
    .rules;
    let [out, back] = rules.as_slice() else { panic!("{rules:?}") };
    assert_eq!((&out.place, out.net), (&Place::Local, Net::parse("10.1.0.0/16")));
    assert_eq!((out.peer_port, out.own_port), (Some(Ports::Not(23)), Some(Ports::Within(5, 9))));
    assert_eq!((back.peer_port, back.own_port), (Some(Ports::Within(5, 9)), Some(Ports::Not(23))));
    assert_eq!((out.protocol, back.net), (Some(Protocol::Udp), None));

    let rules = usage(r#"{"ipv4":{"protocol":1},"icmp":{"type":8,"code":0}}"#).rules;
    assert_eq!(rules.first().map(|rule| (rule.icmp_type, rule.icmp_code)), Some((Some(8), Some(0))));
    let lte = usage(r#"{"tcp":{"source-port":{"operator":"lte","port":1023}}}"#).rules;
    assert_eq!(lte.first().and_then(|rule| rule.own_port), Some(Ports::Within(0, 1023)));
}

#[test]
fn classes_are_what_the_site_binds_and_else_whoever_is_local() {
    // Goal: all abstractions of RFC 8520. Method: each unbound with its note, then bound.
    let kinds = [
        ("\"manufacturer\":\"maker.example\"", Class::Manufacturer("maker.example".into())),
        ("\"same-manufacturer\":[null]", Class::SameManufacturer),
        ("\"model\":\"https://maker.example/pump\"", Class::Model("https://maker.example/pump".into())),
        ("\"controller\":\"urn:ietf:params:mud:dns\"", Class::Controller("urn:ietf:params:mud:dns".into())),
        ("\"my-controller\":[null]", Class::MyController),
    ];
    for (text, class) in kinds {
        let read = read(file(&format!("{{\"ietf-mud:mud\":{{{text}}}}}"), "{}").as_bytes()).expect("reads");
        let free = compile(&read, &Site::default());
        assert_eq!(free.usage.rules.first().map(|rule| rule.place.clone()), Some(Place::Local), "{text}");
        assert!(free.notes.iter().any(|note| note.what == Remark::Unbound(class.word())), "{text}");
        assert_eq!(Class::of_word(&class.word()), Some(class.clone()));
        let net = Net::parse("10.0.0.53").expect("a network");
        let site = Site { local: Vec::new(), bound: Vec::from([(class, net)]) };
        let bound = compile(&read, &site).usage;
        assert_eq!(bound.rules.first().map(|rule| rule.place.clone()), Some(Place::Bound(Vec::from([net]))));
    }
    assert_eq!(Class::of_word("controler:x"), None);
}

#[test]
fn what_flows_do_not_show_is_said_and_never_left_out_in_silence() {
    // Goal: nobody believes in a rule that is not kept. Method: one entry for each remark; the words a person reads.
    let told = |from: &str| -> String {
        let read = read(file(from, r#"{"tcp":{}}"#).as_bytes()).expect("reads");
        let warnings = check(&read, &Site::default());
        warnings.iter().map(|warning| format!("{}: {}\n", warning.place, warning.sentence)).collect()
    };
    let wanted = [
        (r#"{"ipv4":{"protocol":2}}"#, "out/a: is about protocol 2 of IP"),
        (r#"{"eth":{"ethertype":"0x888e"}}"#, "out/a: is about frames"),
        (r#"{"ipv4":{"dscp":10,"protocol":6}}"#, "out/a: asks for `ipv4.dscp`"),
        (r#"{"ipv4":{"ttl":1}}"#, "out/a: asks for `ipv4.ttl`"),
        (r#"{"tcp":{"flags":"syn"}}"#, "out/a: asks for `tcp.flags`"),
        (r#"{"ietf-mud:mud":{"new-class":[null]}}"#, "out/a: asks for `mud.new-class`"),
        (
            r#"{"ipv4":{"ietf-acldns:src-dnsname":"a.example"}}"#,
            "out/a: never fits: the name stands on the device's own side",
        ),
        (
            r#"{"ipv4":{"source-ipv4-network":"10.0.0.0/8","protocol":6}}"#,
            "out/a: asks for `the device's own network`",
        ),
        (
            r#"{"ipv6":{"destination-ipv6-network":"192.168.1.1"}}"#,
            "out/a: never fits: the network is of the other version",
        ),
        (r#"{"ietf-mud:mud":{"my-controller":[null]}}"#, "bind it with --bind my-controller=ADDRESS"),
        ("{}", "out/a: has no conditions: everything passes"),
    ];
    for (from, line) in wanted {
        assert!(told(from).contains(line), "{from}: {}", told(from));
    }
    assert_eq!(
        told(r#"{"ipv4":{"ietf-acldns:dst-dnsname":"a.example"},"tcp":{}}"#),
        "",
        "a good file has no warnings"
    );
}

#[test]
fn a_mistake_is_named_with_its_entry_and_what_to_do() {
    // Goal: whoever writes a file sees where. Method: one mistake each, and the words.
    let problem = |from: &str| match read(file(from, "{}").as_bytes()) {
        Err(MudError::Entry { list, entry, problem }) => {
            assert_eq!((list.as_str(), entry.as_str()), ("out", "a"));
            problem
        }
        other => panic!("{from}: {other:?}"),
    };
    let port = |text: &str| problem(&format!("{{\"tcp\":{{\"destination-port\":{text}}}}}"));
    assert_eq!(port(r#"{"lower-port":9,"upper-port":5}"#), EntryProblem::Backwards("destination-port"));
    assert_eq!(port(r#"{"operator":"le","port":5}"#), EntryProblem::Operator("le".into()));
    assert_eq!(port(r#"{"operator":"eq","port":70000}"#), EntryProblem::Range("destination-port", 0, 65_535));
    assert_eq!(port(r#"{"operator":"eq"}"#), EntryProblem::Ports("destination-port"));
    assert_eq!(
        problem(r#"{"ipv4":{"destination-ipv4-network":"10.0.0/8"}}"#),
        EntryProblem::Network("10.0.0/8".into())
    );
    assert_eq!(
        problem(r#"{"ipv4":{"ietf-acldns:dst-dnsname":"*.example"}}"#),
        EntryProblem::Name("*.example".into())
    );
    assert_eq!(problem(r#"{"ipv4":{"protocol":17},"tcp":{}}"#), EntryProblem::Contradiction("tcp", 17));
    assert_eq!(
        problem(r#"{"tcp":{"ietf-mud:direction-initiated":"out"}}"#),
        EntryProblem::Opened("out".into())
    );
    assert!(matches!(problem(r#"{"ipv4":{"protocol":"6"}}"#), EntryProblem::Field(_)));

    let good = file("{}", "{}");
    let refused = |from: &str, to: &str| read(good.replace(from, to).as_bytes()).expect_err(to);
    assert_eq!(refused("\"mud-version\":1", "\"mud-version\":2"), MudError::Version(2));
    assert_eq!(refused("[{\"name\":\"in\"}]", "[{\"name\":\"im\"}]"), MudError::MissingList("im".into()));
    assert_eq!(
        refused("\"name\":\"in\",\"type\"", "\"name\":\"out\",\"type\""),
        MudError::Twice("out".into())
    );
    assert_eq!(refused("access-control-list:acls", "access-control-list:other"), MudError::NoLists);
    assert!(
        refused("\"mud-url\":\"https://maker.example/pump\",", "")
            .to_string()
            .contains("mud-url: the field is missing")
    );
    assert!(refused("accept", "allow").to_string().ends_with("write accept, drop or reject"));
    assert_eq!(read(&[b' '; limits::MUD_BYTES + 1]), Err(MudError::TooLong));
}

#[test]
fn what_is_generated_reads_back_as_what_was_seen() {
    // Goal: generate and reload. Method: one of each kind of peer; the rules, and no warnings but the missing signature.
    let seen = |peer, protocol, ports, opened| Seen { protocol, six: false, opened, ports, peer };
    let all = [
        seen(
            Peer::Name("cloud.maker.example".into(), false),
            Protocol::Tcp,
            Some((443, 443)),
            Direction::Outbound,
        ),
        seen(
            Peer::Name("pool.example".into(), true),
            Protocol::Udp,
            Some((1024, 65_535)),
            Direction::Outbound,
        ),
        seen(Peer::Local, Protocol::Tcp, Some((2575, 2575)), Direction::Inbound),
        seen(
            Peer::Net(Net::parse("203.0.113.0/24").expect("a network")),
            Protocol::Icmp,
            None,
            Direction::Outbound,
        ),
        seen(Peer::Anyone, Protocol::Udp, Some((123, 123)), Direction::Outbound),
    ];
    let about = About {
        url: "https://maker.example/pump".into(),
        made: "2026-01-02T03:04:05Z".into(),
        system: "a pump".into(),
        maker: Some("Maker".into()),
        model: None,
    };
    let text = generate(&about, &[&all[..], &all[..]].concat()).expect("few");
    assert_eq!(text, generate(&about, &all).expect("few"), "twice seen is seen");
    let read = read(text.as_bytes()).expect("what is written is read");
    let warnings = check(&read, &Site::default());
    assert_eq!(
        warnings.iter().map(|one| one.place.as_str()).collect::<Vec<_>>(),
        ["mud-signature"],
        "{warnings:?}"
    );
    let rules = compile(&read, &Site::default()).usage.rules;
    assert_eq!(rules.len(), 2 * all.len());
    let hl7 = rules.iter().filter(|rule| rule.own_port == Some(Ports::Within(2575, 2575)));
    assert_eq!(
        hl7.filter(|rule| rule.place == Place::Local && rule.opened == Some(Direction::Inbound)).count(),
        2
    );
    let named = rules.iter().filter_map(|rule| rule.name.as_ref()).filter(|name| name.below);
    assert_eq!(named.count(), 2);
    let many: Vec<Seen> = (0..=limits::MUD_GENERATED)
        .map(|port| {
            seen(Peer::Local, Protocol::Tcp, Some((u16::try_from(port).unwrap(), 9999)), Direction::Inbound)
        })
        .collect();
    assert!(generate(&about, &many).is_err(), "a file holds so many");
}
