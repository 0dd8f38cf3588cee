//! An image's way to a device, with the real agent program: over a line that is cut, from a mirror that nginx plays, and
//! onto a device with next to no room beside its slots.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cordon_sim::cutting_proxy::CuttingProxy;
use cordon_sim::ports;
use cordon_sim::site_mirror::SiteMirror;
use cordon_sim::skip::{require_package, require_right};
use cordon_sim::transport::{REPOSITORY, Trip};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");
const PATIENCE: Duration = Duration::from_secs(120);
const MIB: usize = 1024 * 1024;
/// KiB of its own that an agent may hold during an update.
const UPDATE_KIB: u64 = 32 * 1024;

async fn trip(folder: &Path, settings: &str, bytes: usize) -> Trip {
    let home = folder.join("device");
    let agent = (Path::new(SIM), ["agent"].as_slice());
    Trip::prepare((&folder.join("owner"), &home), agent, settings, bytes).await.expect("a device")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_cut_again_and_again_costs_two_hundredths_at_most() {
    // Goal: resume, bytes on the wire, memory. Method: 16 MiB at a cap, cut three times on the way; all bytes that went to
    // the device are counted, handshakes and check-ins included. The long form is in `bench firmware`.
    let folder = tempfile::tempdir().expect("a folder");
    let line = CuttingProxy::start(3, u64::try_from(4 * MIB).expect("small")).await.expect("a proxy");
    let settings = format!("{}image_kbit_s = 100000\n", line.setting());
    let trip = trip(folder.path(), &settings, 16 * MIB).await;
    trip.machine.on();
    let before = line.to_device();
    trip.order().await.expect("is ordered");
    let memory = trip.installed(PATIENCE).await.expect("is installed");
    assert_eq!(line.cuts_left(), 0);
    let came = line.to_device() - before;
    let needed = u64::try_from(16 * MIB).expect("small");
    assert!(came <= needed + needed / 50, "{came} bytes for {needed}");
    assert!(memory.peak_anon_kib <= UPDATE_KIB, "{memory:?}");
}

/// A folder on a small disk of its own that goes with the test.
struct SmallDisk(PathBuf);

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_with_eight_megabytes_beside_its_slots_is_updated() {
    // Goal: no second copy of an image anywhere. Method: the agent's state on a disk of 8 MiB, an image of 24.
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("device/state");
    std::fs::create_dir_all(&state).expect("made");
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let mounted = mount("tmpfs", &state, "tmpfs", flags, Some(c"size=8m,mode=0700"));
    let test = "a_device_with_eight_megabytes_beside_its_slots_is_updated";
    if !require_right("to mount a tmpfs", test, mounted.is_ok()) {
        return;
    }
    let _disk = SmallDisk(state);
    let trip = trip(folder.path(), "", 24 * MIB).await;
    trip.machine.on();
    trip.order().await.expect("is ordered");
    let memory = trip.installed(PATIENCE).await.expect("is installed");
    assert!(memory.peak_anon_kib <= UPDATE_KIB, "{memory:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_over_a_makers_folder_is_a_mirror() {
    // Goal: what docs/mirror.md promises. Method: its configuration over the folder that was published, and a device that
    // knows a dead mirror before it; who served what.
    let Some(nginx) = require_package("nginx") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let published = folder.path().join("owner").join(REPOSITORY);
    let mirror = SiteMirror::start(&nginx, folder.path(), &published).expect("a mirror");
    let dead = ports::free(Ipv4Addr::LOCALHOST).expect("a port");
    let settings =
        format!("mirrors = [\"http://127.0.0.1:{dead}\", \"{}\"]\nimage_kbit_s = 1000000\n", mirror.url());
    let trip = trip(folder.path(), &settings, 4 * MIB).await;
    assert_eq!(trip.hospital.folder().join(REPOSITORY), published);
    trip.machine.on();
    trip.order().await.expect("is ordered");
    trip.installed(PATIENCE).await.expect("is installed");
    let log = mirror.log().expect("a log");
    let served =
        log.lines().filter(|line| line.contains("GET /targets/") && line.contains("\" 200 4194304")).count();
    assert_eq!((served, log.lines().count()), (1, 1), "{log}\n{}", trip.said());
    assert!(trip.said().contains("the next one is asked in its place"), "{}", trip.said());
}
