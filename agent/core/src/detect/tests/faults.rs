//! Clocks that jump, learning that is poisoned, interfaces that go: what the detectors still find, and what they do not invent.

use super::*;
use crate::dissect::{Mac, dhcp};
use crate::neighbour::Change;

const YEAR_S: i64 = 365 * 24 * 3600;

/// What the detectors know by its form, done to a device from a second on: each attack with who must tell it.
fn attacks(detectors: &mut Detectors, second: i64) -> Vec<(&'static str, bool)> {
    let now = Millis(second * 1000);
    let mut findings = Vec::new();
    for port in 0..20 {
        let probe = Flow { state: State::Refused, ..flow("10.40.2.77", 1000 + port, second) };
        findings.extend(detectors.observe(&probe, now));
        findings.extend(detectors.ended(&probe, now));
    }
    for target in 0..600_u16 {
        let [high, low] = target.to_be_bytes();
        findings.extend(detectors.observe(&flow(&format!("10.77.{high}.{low}"), 80, second), now));
    }
    for n in 0..80_u64 {
        let name = format!("{n:060x}.tunnel.example");
        findings.extend(detectors.asked(
            (&name, n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            now.plus(i64::try_from(n).expect("small")),
        ));
    }
    let change = Change {
        address: "10.40.2.1".parse().expect("an address"),
        before: Mac([2, 0, 0, 0, 0, 1]),
        now: Mac([2, 0, 0, 0, 0, 66]),
        since: now.plus(-60_000),
        heard: now.plus(-1000),
        told: None,
    };
    findings.extend(detectors.changed_hands(&change, now));
    for address in 0..8 {
        let asked = Some(core::net::Ipv4Addr::new(10, 40, 2, 100 + address));
        let message = dhcp::Message { client: Mac([2, 0, 0, 0, 0, 9]), kind: 3, asked, server: None };
        findings.extend(detectors.lease_asked(&message, now));
    }
    let told = |name: &str| findings.iter().any(|finding| finding.detector.as_str() == name);
    let leases = findings.iter().any(|finding| finding.key.as_str().starts_with("dhcp/"));
    [
        ("scan", told("scan")),
        ("volume", told("volume")),
        ("dns-tunnel", told("dns-tunnel")),
        ("peer-identity", told("peer-identity")),
        ("dhcp", leases),
    ]
    .into()
}

#[test]
fn a_clock_that_jumps_a_year_either_way_hides_no_attack_and_invents_none() {
    // Goal: whoever sets the clock gains nothing. Method: ordinary calls, the clock jumps, ordinary calls again, each attack.
    for jump in [YEAR_S, -YEAR_S] {
        let mut detectors = learned_kiosk();
        let before = start() + WEEK_S + 3600;
        let mut quiet = Vec::new();
        for second in [before, before + jump, before + jump + 3600] {
            quiet.extend(detectors.observe(&flow("198.51.100.20", 443, second), Millis(second * 1000)));
            quiet.extend(detectors.pass(Millis(second * 1000)).1);
        }
        assert!(quiet.is_empty(), "{jump}: {quiet:?}");
        let new = detectors
            .observe(&flow("203.0.113.9", 443, before + jump + 5000), Millis((before + jump + 5000) * 1000));
        assert!(new.iter().any(|finding| finding.detector.as_str() == "allow-list"), "{jump}");
        let missed: Vec<_> =
            attacks(&mut detectors, before + jump + 7200).into_iter().filter(|(_, told)| !told).collect();
        assert!(missed.is_empty(), "{jump}: {missed:?}");
    }
}

#[test]
fn a_clock_that_jumps_while_learning_is_no_experience() {
    // Goal: a device does not freeze its profile because somebody set its clock. Method: a year in one step, either way.
    for jump in [YEAR_S, -YEAR_S] {
        let mut detectors = Detectors::new(Profile::new(), Learning::default());
        for second in [start(), start() + jump, start() + jump + 3600] {
            detectors.observe(&flow("198.51.100.20", 443, second), Millis(second * 1000));
            detectors.pass(Millis(second * 1000));
        }
        assert!(
            detectors.profile().learns() && detectors.profile().learned_s() <= limits::LEARN_STEP_S + 3600
        );
    }
}

#[test]
fn an_attack_that_is_there_while_learning_is_told_where_its_form_tells_it_and_listed_where_not() {
    // Goal: a poisoned window hides as little as can be. Method: every attack from the first second of learning on.
    let mut detectors = Detectors::new(Profile::new(), Learning::default());
    let missed: Vec<_> = attacks(&mut detectors, start()).into_iter().filter(|(_, told)| !told).collect();
    assert!(missed.is_empty(), "{missed:?}");
    detectors.observe(&flow("203.0.113.66", 4444, start()), Millis(start() * 1000));
    detectors.freeze(Millis((start() + WEEK_S) * 1000));
    let listed: Vec<String> = detectors.profile().peers().iter().map(|(key, _)| format!("{key}")).collect();
    assert!(
        listed.contains(&String::from("out/TCP/1024+/203.0.0.0/16")),
        "for a person to sign off: {listed:?}"
    );
}

#[test]
fn an_interface_that_goes_in_the_middle_of_everything_is_no_finding() {
    // Goal: a pulled cable is no attack. Method: half-open and open connections, then no address, then nothing for an hour, then back.
    let mut sensor = sensor(learned_kiosk());
    let after = start() + WEEK_S + 3600;
    let mut output = Output::default();
    sensor.move_home(&["10.40.2.9".parse().expect("an address")], Millis(after * 1000));
    for n in 0..30 {
        sensor.observe(&call(after + n, "198.51.100.20", 443), &mut output);
    }
    sensor.move_home(&[], Millis((after + 31) * 1000));
    for minute in 1..60 {
        sensor.pass(Millis((after + minute * 60) * 1000), &mut output);
    }
    sensor.move_home(&["10.40.2.9".parse().expect("an address")], Millis((after + 3600) * 1000));
    sensor.observe(&call(after + 3601, "198.51.100.20", 443), &mut output);
    sensor.pass(Millis((after + 3700) * 1000), &mut output);
    assert!(output.findings.is_empty(), "{:?}", output.findings);
}
