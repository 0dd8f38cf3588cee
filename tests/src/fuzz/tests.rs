//! Tests of the driver itself: it finds what is planted, repeats itself, and its samples are what they should be.

use super::*;

#[test]
fn every_sample_is_read_by_its_target() {
    // Goal: the driver starts from inputs that reach the end. Method: each target's samples; those of `est` that only ask
    // for what is public issue nothing.
    for target in &TARGETS {
        let read = (target.samples)().iter().filter(|sample| (target.run)(sample)).count();
        assert!(read > 0, "no sample of {} is read", target.name);
    }
}

#[test]
fn a_planted_fault_is_found_and_the_same_seed_finds_it_again() {
    // Goal: what is reported can be repeated. Method: two runs of one seed over samples that do not change.
    fn samples() -> Vec<Vec<u8>> {
        vec![vec![0x30, 0x06, 0x02, 0x01, 0x07, 0x02, 0x01, 0x09]]
    }
    fn run(input: &[u8]) -> bool {
        assert!(input.len() < 40, "planted");
        der::read(input).is_some()
    }
    let target = Target { name: "planted", parsed: "parsed", der: true, samples, run };
    let found = feed(&target, 7, Until::Executions(100_000)).failure.expect("found");
    assert_eq!(Some(&found), feed(&target, 7, Until::Executions(100_000)).failure.as_ref());
    assert_ne!(Some(&found), feed(&target, 8, Until::Executions(100_000)).failure.as_ref());
    let folder = tempfile::tempdir().expect("a folder");
    let told = found.told(folder.path()).expect("written");
    let hex: String = found.input.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(told.contains("seed 7") && told.contains("planted") && told.contains(&hex));
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1);
}

#[test]
fn the_control_of_the_soak_is_caught() {
    // Goal: a driver that finds nothing is noticed. Method: the planted target of the soak.
    assert!(Fuzzing::all().control(1).expect("found").contains("planted"));
}

#[test]
fn a_tree_is_written_as_it_was_read() {
    // Goal: bending keeps what it does not bend. Method: requests and certificates there and back; one part exchanged.
    for sample in samples::requests().into_iter().chain(samples::certificates()) {
        let nodes = der::read(&sample).expect("DER");
        assert_eq!(der::write(&nodes), sample);
        let count: usize = nodes.iter().map(der::Node::count).sum();
        let mut other = nodes.clone();
        der::replace(&mut other, count - 1, |node| vec![node.clone(), node]);
        assert_eq!(other.iter().map(der::Node::count).sum::<usize>(), count + 1);
        assert_ne!(der::nth(&nodes, count - 1), None);
    }
}

#[test]
fn a_certificate_that_is_more_than_a_leaf_is_noticed() {
    // Goal: the judge judges. Method: certificates that are no leaves of ours, each must panic.
    for sample in samples::certificates() {
        assert!(catch_unwind(|| leaf::check(&sample, None, None)).is_err());
    }
}
