//! Tests of the approval queue over the wire.

use super::*;

async fn bare(bench: &Bench, serial: &str, key: &rcgen::KeyPair) -> Reply {
    ask(bench, bench.client(None), "simpleenroll", &csr(serial, key)).await
}

#[tokio::test]
async fn nothing_at_all_is_unauthorized_unless_the_owner_opens_the_queue() {
    // Goal: off by default; with it, 202 as strongSwan polls. Method: both servers; poll, approve, poll.
    let closed = Bench::start(&[]).await;
    assert_eq!(bare(&closed, "A", &device_key()).await.status, 401);
    let bench = Bench::start(&["enrolment.approval_queue=true", "enrolment.approval_retry_s=1"]).await;
    let key = device_key();
    for _ in 0..3 {
        let reply = bare(&bench, "A", &key).await;
        assert_eq!((reply.status, reply.headers["content-length"].as_str()), (202, "0"));
        assert!(reply.headers["retry-after"].parse::<u64>().is_ok_and(|seconds| (1..=2).contains(&seconds)));
    }
    assert_eq!(bench.journal().await, ["enrol.wait"], "polling writes nothing");
    let [member] = &bench.app().fleet.all()[..] else { panic!("one device") };
    assert_eq!((member.device.state, member.device.hardware.model.as_str()), (State::Pending, "unknown"));
    let asking = member.device.asking.as_ref().expect("asks");
    assert_eq!((asking.with.as_str(), asking.from.as_str()), ("nothing", "127.0.0.1"));
    yes(&bench, member.id()).await;
    let leaf = bare(&bench, "A", &key).await.leaf();
    assert_eq!(bare(&bench, "A", &key).await.leaf(), leaf, "a lost answer costs nothing");
    let member = bench.app().fleet.by_leaf(&Sha256::of(&leaf)).expect("in the table");
    assert!(member.is_active());
    assert_eq!(bare(&bench, "A", &device_key()).await.status, 202, "a key was approved, not a serial");
    assert_eq!(bench.count(Kind::Device).await, 1);
}

#[tokio::test]
async fn a_serial_that_is_announced_is_not_taken_by_whoever_asks_first() {
    // Goal: clients that show a token only when challenged, and nobody in their place. Method: an announced serial,
    // asked for without its model, without and with the token.
    let bench = Bench::start(&["enrolment.approval_queue=true"]).await;
    let token = bench.token("A").await;
    let key = device_key();
    assert_eq!(bare(&bench, "A", &key).await.status, 401, "a token is waited for");
    let reply = bench.simpleenroll(&csr("A", &key), Some(&token.secret), &[]).await;
    assert_eq!(reply.status, 200);
    assert_eq!(bench.count(Kind::Device).await, 1);
}

#[tokio::test]
async fn one_address_does_not_fill_the_queue() {
    // Goal: a rate for what strangers make us write. Method: more serials from one address than it may have.
    let sets = ["enrolment.approval_queue=true", "enrolment.refusals=3"];
    let bench = Bench::start(&sets).await;
    let mut statuses = Vec::new();
    for number in 0..5 {
        statuses.push(bare(&bench, &format!("S{number}"), &device_key()).await.status);
    }
    assert_eq!(statuses, [202, 202, 202, 429, 429]);
    assert_eq!(bench.count(Kind::Device).await, 3);
}
