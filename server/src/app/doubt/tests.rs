//! Tests of doubts over the wire: two agents from one state are noticed, nobody is cut off, ordinary life is silent.

use cordon_server_core::device::{Act, Device, DoubtKind};
use cordon_server_core::triage::{Verb, decide};

use super::*;
use crate::store::Kind;
use crate::testing::{Bench, Enrolled, Reply, Wire, checkin, csr, device_key, order, person, text};

/// A running agent of a device.
#[derive(Clone, Copy)]
struct Agent {
    boot: u64,
    run: u64,
    sequence: u64,
    begun: i64,
}

impl Agent {
    fn start(bench: &Bench, boot: u64, run: u64) -> Self {
        Self { boot, run, sequence: 0, begun: bench.clock.now().0 }
    }

    fn says(&mut self, bench: &Bench, device: &Enrolled) -> CheckinRequest {
        self.sequence += 1;
        let uptime_s = u64::try_from(bench.clock.now().0 - self.begun).expect("started before");
        let Self { boot, run, sequence, .. } = *self;
        CheckinRequest { boot, run, sequence, uptime_s, ..checkin(device) }
    }

    /// Checks in over a connection of its own, and is answered.
    async fn speaks(&mut self, bench: &Bench, device: &Enrolled) {
        let body = cordon_proto::wire::write(&self.says(bench, device));
        let reply = bench.device(device).await.post("/v1/checkin", &body).await;
        assert_eq!(reply.status, 200, "a doubt cuts nobody off: {}", reply.text());
    }
}

/// Asks for the next certificate under the present one.
async fn renew(bench: &Bench, device: &Enrolled, key: &rcgen::KeyPair) -> Reply {
    let client = bench.client(Some(device));
    let mut wire = Wire::open(bench.server.ready.enrolment, client).await.expect("a connection");
    let body = csr(device.hardware.serial.as_str(), key);
    let headers = [("Content-Type", "application/pkcs10")];
    wire.ask("POST", "/.well-known/est/simplereenroll", &headers, body.as_bytes()).await
}

fn pass(bench: &Bench, seconds: i64) {
    bench.clock.hold_at(bench.clock.now_ms().plus(seconds * 1000));
}

fn doubt(bench: &Bench, id: DeviceId) -> Option<DoubtKind> {
    bench.app().fleet.get(id).expect("there").device.doubt.as_ref().map(|doubt| doubt.kind)
}

/// A person has looked, and clears a doubt.
async fn clear(bench: &Bench, id: DeviceId) {
    let (device, expected) = bench.app().stored_device(id).await.expect("read").expect("there");
    let key = Key::Device(id);
    let cleared = device.without_doubt().to_body();
    let draft = Commit::draft(bench.clock.now(), person()).expect(key.clone(), expected).put(key, cleared);
    bench.app().commit(draft).await.expect("cleared");
}

#[tokio::test]
async fn two_agents_from_one_state_are_doubted_within_two_checkins_of_each() {
    // Goal: E11 at the server. Method: an agent runs; a copy of its state starts; both check in by turns; then what people
    // see, once, and that both go on being answered.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let mut one = Agent::start(&bench, 5, 51);
    for _ in 0..3 {
        pass(&bench, 60);
        one.speaks(&bench, &device).await;
    }
    let mut copy = Agent::start(&bench, 6, 61);
    for _ in 0..2 {
        assert_eq!(doubt(&bench, device.id), None);
        pass(&bench, 30);
        copy.speaks(&bench, &device).await;
        pass(&bench, 30);
        one.speaks(&bench, &device).await;
        if doubt(&bench, device.id).is_some() {
            break;
        }
    }
    assert_eq!(doubt(&bench, device.id), Some(DoubtKind::Backwards), "both from one address");
    for _ in 0..3 {
        pass(&bench, 60);
        copy.speaks(&bench, &device).await;
        one.speaks(&bench, &device).await;
    }
    // Both ask for the next certificate, and both are made to wait; neither is re-keyed.
    for _ in 0..2 {
        assert_eq!(renew(&bench, &device, &device_key()).await.status, 202);
    }
    let member = bench.app().fleet.get(device.id).expect("there");
    assert_eq!(member.device.next, None);
    assert_eq!(member.device.identity.as_ref().map(|identity| identity.leaf), Some(Sha256::of(&device.leaf)));
    let journal = bench.journal().await;
    assert_eq!(journal[..4], ["token.create", "device.enrol", "device.doubt", "finding.open"]);
    assert!(
        !journal.iter().any(|action| action == "device.renew" || action == "device.renewed"),
        "{journal:?}"
    );
    assert_eq!(bench.count(Kind::Finding).await, 1);
    let member = bench.app().fleet.get(device.id).expect("there");
    let finding = &member.findings.values().next().expect("a finding").finding;
    assert_eq!((finding.detector.as_str(), finding.key.as_str()), ("clone", "backwards"));
    assert!(finding.evidence["seen"].contains("boot 5") && finding.evidence["seen"].contains("boot 6"));
    assert!(finding.what_to_do.as_str().starts_with("Nothing was cut off."));
}

#[tokio::test]
async fn a_restart_of_the_server_does_not_blind_it() {
    // Goal: what was heard before counts. Method: two agents with one boot number, the server started anew between them.
    let bench = Bench::start(&["store=redb:store.redb"]).await;
    let device = bench.enrol("A").await;
    Agent::start(&bench, 6, 61).speaks(&bench, &device).await;
    let folder = bench.folder.clone();
    bench.server.stop().await;
    let bench = Bench::open(folder, &["store=redb:store.redb"]).await;
    pass(&bench, 60);
    let mut same = Agent { sequence: 1, ..Agent::start(&bench, 6, 61) };
    same.speaks(&bench, &device).await;
    assert_eq!(doubt(&bench, device.id), None, "the same agent, that knows nothing of our restart");
    Agent::start(&bench, 6, 62).speaks(&bench, &device).await;
    assert_eq!(doubt(&bench, device.id), Some(DoubtKind::Backwards));
}

#[tokio::test]
async fn ordinary_life_behind_one_address_raises_nothing_and_writes_nothing() {
    // Goal: NAT, restarts and power cuts are silent, and listening is memory. Method: thirty devices from one address, each
    // restarted twice; then no doubt, and no commit but of what is gathered for the next round.
    let bench = Bench::start(&[]).await;
    let mut devices = Vec::new();
    for number in 0..30_u64 {
        let device = bench.enrol(&format!("S{number}")).await;
        devices.push((Agent::start(&bench, number + 1, number + 1), device));
    }
    let revision = bench.app().store.health().await.expect("healthy").revision;
    for round in 1..=6_u64 {
        pass(&bench, 60);
        for (agent, device) in &mut devices {
            if round % 3 == 0 {
                *agent = Agent::start(&bench, agent.boot + 1, agent.run + 1000);
            }
            let request = agent.says(&bench, device);
            let member = bench.app().fleet.get(device.id).expect("there");
            bench.app().checkin(&member, &device.speaker(), &request).await.expect("answered");
        }
    }
    assert!(devices.iter().all(|(_, device)| doubt(&bench, device.id).is_none()));
    let after = bench.app().store.health().await.expect("healthy").revision;
    assert_eq!(revision, after, "a check-in is no write");
}

#[tokio::test]
async fn one_machine_under_two_identities_is_a_doubt_of_both_and_can_be_accepted() {
    // Goal: kind four, and what people can do about it. Method: two devices with one machine identifier; clear one while
    // its finding is muted; then a third that is retired, which counts for nothing.
    let bench = Bench::start(&[]).await;
    let devices = [bench.enrol("A").await, bench.enrol("B").await, bench.enrol("C").await];
    let machine = Some(Sha256([7; 32]));
    let speaks = async |number: usize, machine| {
        let request = CheckinRequest { machine, ..checkin(&devices[number]) };
        let member = bench.app().fleet.get(devices[number].id).expect("there");
        bench.app().checkin(&member, &devices[number].speaker(), &request).await.expect("answered");
    };
    let doubts = || devices.each_ref().map(|device| doubt(&bench, device.id));
    speaks(2, machine).await;
    bench.app().act(devices[2].id, Act::Retire, text("scrapped"), &person()).await.expect("retired");
    speaks(0, machine).await;
    speaks(1, Some(Sha256([8; 32]))).await;
    assert_eq!(doubts(), [None; 3]);
    speaks(1, machine).await;
    let both = Some(DoubtKind::SameMachine);
    assert_eq!(doubts(), [both, both, None]);
    let member = bench.app().fleet.get(devices[0].id).expect("there");
    let evidence = member.device.doubt.as_ref().expect("a doubt").evidence.clone();
    assert!(evidence.as_str().contains("VP-3 B"), "{evidence}");
    let (finding, record) = member.findings.iter().next().expect("a finding");
    let until = bench.clock.now().plus_seconds(86_400);
    let muted = decide(
        Record::clone(record),
        Verb::Mute { until },
        "ines",
        "one image, known to us",
        bench.clock.now(),
    );
    let body = serde_json::to_vec(&muted.expect("muted")).expect("JSON");
    let key = Key::Finding { device: devices[0].id, finding: *finding };
    bench.app().commit(Commit::draft(bench.clock.now(), person()).put(key, body)).await.expect("muted");
    clear(&bench, devices[0].id).await;
    speaks(0, machine).await;
    assert_eq!(doubts(), [None, both, None], "accepted for a day");
    pass(&bench, 86_401);
    speaks(1, machine).await;
    speaks(0, machine).await;
    assert_eq!(doubts(), [both, both, None]);
}

#[tokio::test]
async fn after_a_person_has_looked_whoever_is_left_is_not_doubted_for_what_the_other_did() {
    // Goal: a cleared doubt stays cleared. Method: the copy, of a later boot, is taken away; the original goes on.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let (mut one, mut copy) = (Agent::start(&bench, 5, 51), Agent::start(&bench, 6, 61));
    for _ in 0..3 {
        pass(&bench, 30);
        one.speaks(&bench, &device).await;
        pass(&bench, 30);
        copy.speaks(&bench, &device).await;
    }
    pass(&bench, 30);
    assert!(doubt(&bench, device.id).is_some());
    clear(&bench, device.id).await;
    for _ in 0..3 {
        pass(&bench, 60);
        one.speaks(&bench, &device).await;
    }
    bench.app().write_down().await.expect("written");
    one.speaks(&bench, &device).await;
    assert_eq!(doubt(&bench, device.id), None);
    for _ in 0..2 {
        copy.speaks(&bench, &device).await;
        pass(&bench, 30);
        one.speaks(&bench, &device).await;
    }
    assert!(doubt(&bench, device.id).is_some(), "it is back");
}

#[tokio::test]
async fn a_replaced_certificate_that_stays_in_use_is_a_doubt() {
    // Goal: kind two. Method: a device that was reset and enrolled anew, while a copy goes on with the old certificate.
    use cordon_server_core::admit::Binding;
    let bench = Bench::start(&[]).await;
    let old = bench.enrol("A").await;
    let binding = Binding::Serial { serial: text("A"), replaces: true };
    let token = bench.app().make_token(order(binding), &person()).await.expect("a token");
    let key = device_key();
    let reply = bench.ask_to_enrol("A", &key, &token.secret).await;
    let new = Enrolled { leaf: reply.leaf(), key, id: old.id, hardware: old.hardware.clone() };
    let mut agent = Agent::start(&bench, 1, 1);
    let body = cordon_proto::wire::write(&checkin(&old));
    let mut tries = Vec::new();
    for _ in 0..3 {
        agent.speaks(&bench, &new).await;
        tries.push(bench.device(&old).await.post("/v1/checkin", &body).await.code());
        pass(&bench, 61);
    }
    assert_eq!(tries, ["superseded"; 3]);
    assert_eq!(doubt(&bench, old.id), Some(DoubtKind::Reuse));
    let stored: Device = bench.app().stored_device(old.id).await.expect("read").expect("there").0;
    assert_eq!(stored.identity.map(|identity| identity.leaf), Some(Sha256::of(&new.leaf)));
}

#[tokio::test]
async fn the_first_word_under_a_new_certificate_ends_the_former_one_once() {
    // Goal: followed, then over. Method: renew; the former goes on while the next is silent; the next speaks, twice; the
    // former is superseded and its connection ends, and one late try of it is no doubt.
    let bench = Bench::start(&[]).await;
    let old = bench.enrol("A").await;
    let mut agent = Agent::start(&bench, 1, 1);
    agent.speaks(&bench, &old).await;
    let key = device_key();
    let reply = renew(&bench, &old, &key).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let new = Enrolled { leaf: reply.leaf(), key, id: old.id, hardware: old.hardware.clone() };
    agent.speaks(&bench, &old).await;
    let mut open = bench.device(&old).await;
    assert_ne!(open.post("/v1/checkin", b"\xff").await.status, 403);
    agent.speaks(&bench, &new).await;
    assert!(open.ended().await);
    agent.speaks(&bench, &new).await;
    assert_eq!(bench.device(&old).await.post("/v1/checkin", b"").await.code(), "superseded");
    let journal = bench.journal().await;
    assert_eq!(journal.iter().filter(|action| *action == "device.renewed").count(), 1, "{journal:?}");
    let member = bench.app().fleet.get(old.id).expect("there");
    assert_eq!((&member.device.next, &member.device.doubt), (&None, &None));
    assert_eq!(member.device.superseded, [Sha256::of(&old.leaf)]);
}
