//! Signs at a made-up machine, from its files to the spool and the status: what an intruder does, told; what an update does, not.

use std::fs;
use std::path::Path;

use cordon_agent_core::update::Slot;
use cordon_proto::checkin::{InterlockState, Software, UpdateReport};
use cordon_proto::ids::Sha256;
use cordon_proto::telemetry::Finding;
use cordon_proto::update::release::InterlockClass;

use super::*;
use crate::host::signs::cabinet::Contact;
use crate::host::signs::tests::{pump, put, runs};
use crate::run::ports::Machine;

/// The machine of a folder, with its data and its door.
fn machine(root: &Path) -> Box<Machine> {
    let door = Contact::parse("door:/sys/gpio17/value=1").expect("is one");
    Box::new(Machine::at(root).expect("opens").watched(&["/srv/data".to_owned()], &[door]))
}

fn keys(sensing: &mut Sensing) -> Vec<String> {
    let told = |body: Body| if let Body::Finding(finding) = body { Some(finding) } else { None };
    let findings: Vec<Finding> = bodies(sensing).into_iter().filter_map(told).collect();
    findings.iter().map(|finding| format!("{} {}", finding.detector, finding.key)).collect()
}

/// What an intruder does to a pump.
fn break_in(root: &Path) {
    let accounts = fs::read_to_string(root.join("etc/passwd")).expect("reads");
    put(root, "etc/passwd", &format!("{accounts}support2:x:0:0::/:/bin/sh\n"));
    runs(root, 99, "/memfd:dropper (deleted)");
    put(root, "sys/bus/usb/devices/1-2/idVendor", "0781\n");
    put(root, "sys/bus/usb/devices/1-2/idProduct", "5583\n");
    put(root, "sys/bus/usb/devices/1-2:1.0/bInterfaceClass", "08\n");
    put(root, "proc/cmdline", "root=/dev/sda2 init=/bin/sh\n");
    put(root, "sys/gpio17/value", "1\n");
    for number in 0..60 {
        let file = root.join(format!("srv/data/ward/{number:02}.dcm"));
        fs::rename(&file, file.with_extension("locked")).expect("renames");
    }
}

const TOLD: [&str; 7] = [
    "host root:support2",
    "host account:support2",
    "host storage:0781:5583",
    "host cabinet:door",
    "host boot:settings",
    "host program:memory/dropper",
    "host rewrite",
];

#[test]
fn what_an_intruder_does_to_a_machine_is_in_the_spool_at_the_next_look_and_once() {
    // Goal: files to findings, kept over a kill. Method: two looks at a sound machine, a break-in, a look; the agent is killed; a look.
    let folder = tempfile::tempdir().expect("a folder");
    pump(folder.path());
    let mut rig = Rig::new();
    let mut sensing = rig.open_on(machine(folder.path()), 1);
    sensing.look_at_machine();
    sensing.look_at_machine();
    assert_eq!(keys(&mut sensing), [] as [&str; 0]);
    assert_eq!(sensing.view().borrow().unseen, [] as [&str; 0]);
    break_in(folder.path());
    let urgent = sensing.view().borrow().urgent;
    sensing.look_at_machine();
    assert_eq!(keys(&mut sensing), TOLD);
    assert_eq!(sensing.view().borrow().urgent, urgent + 1, "it does not wait for the next report");
    drop(sensing);
    let mut again = rig.open_on(machine(folder.path()), 2);
    again.look_at_machine();
    assert_eq!(keys(&mut again), TOLD, "what waits is kept, and nothing is told anew");
}

#[test]
fn a_blind_look_is_shown_and_is_in_the_inventory() {
    // Goal: whoever stands at the device and whoever sits at the console sees what is not seen. Method: no accounts, a writable root.
    let folder = tempfile::tempdir().expect("a folder");
    pump(folder.path());
    fs::remove_file(folder.path().join("etc/passwd")).expect("removes");
    put(folder.path(), "proc/self/mountinfo", "1 0 8:2 / / rw - ext4 /dev/sda2 rw\n");
    let mut rig = Rig::new();
    let mut sensing = rig.open_on(machine(folder.path()), 1);
    sensing.look_at_machine();
    let unseen = sensing.view().borrow().unseen.clone();
    let signs: Vec<&str> = unseen.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(signs, ["account", "program"]);
    let inventory = sensing.read_inventory();
    let rows = inventory.section(Section::Posture).filter(|row| row.key.as_str().starts_with("sign/"));
    assert_eq!(rows.map(|row| row.fields[0].as_str()).collect::<Vec<_>>(), ["unknown", "unknown"]);
}

#[test]
fn what_an_update_brings_is_no_finding_and_an_account_made_meanwhile_is() {
    // Goal: no alarm of an update, no hole through it. Method: the machine changes while the update is on trial, then confirmed.
    let folder = tempfile::tempdir().expect("a folder");
    pump(folder.path());
    let mut rig = Rig::new();
    let view = |state, byte| UpdateView {
        software: Software { sha256: Sha256([byte; 32]), ..report(Slot::A) },
        update: UpdateReport { state, order: None, blocked_by: Vec::new(), fetched_bytes: 0 },
        interlock: InterlockState::Unknown,
        want_permit: None,
        director_root_version: 0,
        whole: None,
        urgent: 0,
    };
    let (updater, update) = watch::channel(view(UpdateState::Idle, 1));
    let mut sensing = rig.open_on(machine(folder.path()), 1).beside(update);
    sensing.look_at_machine();
    updater.send_replace(view(UpdateState::Trial, 1));
    put(folder.path(), "proc/cmdline", "root=/dev/sda3 ro quiet\n");
    runs(folder.path(), 98, "/var/lib/app/new");
    sensing.look_at_machine();
    updater.send_replace(view(UpdateState::Confirmed, 2));
    sensing.look_at_machine();
    assert_eq!(keys(&mut sensing), [] as [&str; 0]);
    put(folder.path(), "proc/cmdline", "root=/dev/sda2 ro quiet\n");
    sensing.look_at_machine();
    assert_eq!(keys(&mut sensing), ["host boot:settings"], "no update leads back");
}

fn report(slot: Slot) -> Software {
    let installed = cordon_agent_core::update::Installed {
        release: None,
        counter: 0,
        sha256: Sha256([0; 32]),
        length: 0,
        slot,
        interlock: InterlockClass::Application,
    };
    cordon_agent_core::update::report::software(&cordon_agent_core::update::Record::factory(installed))
}
