//! What `observe` promises of files: clear refusals that leave nothing behind, damage counted and the rest kept, spans,
//! and profiles that are saved, read back and used.

use super::*;
use std::fs;
use tempfile::TempDir;

/// SYN from 10.0.0.2 to a port of 203.0.113.9, as Ethernet.
fn syn(port: u16) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    let head =
        [&[2; 12][..], &[8, 0, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 2, 203, 0, 113, 9]]
            .concat();
    [&head[..], &[0xc3, 0x50, high, low, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 255, 255, 0, 0, 0, 0]].concat()
}

fn pcap(packets: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
    for (second, packet) in packets {
        let length = u32::try_from(packet.len()).expect("small");
        for field in [1_790_000_000 + second, 0, length, length] {
            file.extend(field.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

struct Scene {
    folder: TempDir,
    request: Request,
}

impl Scene {
    fn of(recording: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let read = folder.path().join("in");
        fs::write(&read, recording).expect("is written");
        let request = Request { read: Some(read), out: folder.path().join("out"), ..Request::default() };
        Self { folder, request }
    }

    fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.request.out).expect("is written").lines().map(str::to_owned).collect()
    }
}

#[test]
fn what_is_no_recording_is_refused_and_leaves_nothing() {
    // Goal: exit 2 and no empty result that looks like a quiet network. Method: text as capture and as list; no file.
    for (listed, said) in [(false, "neither pcap nor pcapng"), (true, "do not name the columns")] {
        let mut scene = Scene::of(b"Dear diary, nothing of this is a network.\nNor is this.\n");
        if listed {
            scene.request.read_conn = scene.request.read.take();
        }
        let error = observe(&scene.request).expect_err("is refused").to_string();
        assert!(error.contains(said), "{error}");
        assert!(!scene.request.out.exists());
    }
    let mut scene = Scene::of(b"");
    scene.request.read = Some(scene.folder.path().join("missing"));
    assert!(matches!(observe(&scene.request), Err(ObserveError::Read { .. })));
}

#[test]
fn damage_is_counted_and_what_was_read_is_kept() {
    // Goal: nothing is lost for a torn end. Method: one good packet, one too short, then a cut one; then a length that
    // cannot be, which is an error after all was written.
    let mut file = pcap(&[(0, syn(80)), (1, [&[2; 12][..], &[8, 0, 0x45]].concat()), (2, syn(81))]);
    file.truncate(file.len() - 1);
    let scene = Scene::of(&file);
    observe(&scene.request).expect("a torn end is an end");
    let lines = scene.lines();
    let flow = "{\"type\":\"flow\",\"start\":\"2026-09-21T14:13:20.000Z\",\"end\":\"2026-09-21T14:13:20.000Z\",\"proto\":\"tcp\",\
        \"src\":\"10.0.0.2\",\"src_port\":50000,\"dst\":\"203.0.113.9\",\"dst_port\":80,\"packets_out\":1,\"bytes_out\":40,\
        \"packets_in\":0,\"bytes_in\":0,\"state\":\"new\",\"name\":null,\"community_id\":\"1:";
    assert!(lines.first().is_some_and(|line| line.starts_with(flow)), "{lines:#?}");
    let summary = "{\"type\":\"summary\",\"packets\":2,\"flows\":1,\"findings\":0,\"device_days\":0.000000,\"table_peak\":1,\"skipped\":2}";
    assert_eq!(lines.last().map(String::as_str), Some(summary));

    let mut file = pcap(&[(0, syn(80))]);
    file.extend([0xff; 16]);
    let scene = Scene::of(&file);
    let error = observe(&scene.request).expect_err("the rest cannot be read").to_string();
    assert!(error.contains("a length in it cannot be"), "{error}");
    assert_eq!(scene.lines().len(), 2, "and what was read is there");
}

#[test]
fn a_span_of_time_is_looked_at_alone() {
    // Goal: --from and --until. Method: a packet a minute for five, of which two lie within.
    let packets: Vec<(u32, Vec<u8>)> = (0..5).map(|minute| (minute * 60, syn(80))).collect();
    let mut scene = Scene::of(&pcap(&packets));
    scene.request.from = Some(Timestamp(1_790_000_060));
    scene.request.until = Some(Timestamp(1_790_000_180));
    observe(&scene.request).expect("observes");
    assert!(scene.lines().last().is_some_and(|line| line.contains("\"packets\":2,")), "{:?}", scene.lines());
}

#[test]
fn a_profile_is_saved_read_back_and_compared_with() {
    // Goal: learn once, judge later. Method: learn port 80, then see 80 and 8081 with the profile; a foreign file is refused.
    let mut scene = Scene::of(&pcap(&[(0, syn(80)), (60, syn(80))]));
    let profile = scene.folder.path().join("profile");
    scene.request.learn = Some(Learn::All);
    scene.request.save_profile = Some(profile.clone());
    observe(&scene.request).expect("observes");
    let mut later = Scene::of(&pcap(&[(0, syn(80)), (60, syn(8081))]));
    later.request.profile = Some(profile);
    observe(&later.request).expect("observes");
    let findings: Vec<String> =
        later.lines().into_iter().filter(|line| line.contains("\"finding\"")).collect();
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert!(
        findings
            .iter()
            .all(|line| line.contains("\"detector\":\"allow-list\"")
                && line.contains("\"device\":\"10.0.0.2\""))
    );
    later.request.profile = later.request.read.clone();
    assert!(matches!(observe(&later.request), Err(ObserveError::Form { .. })));
}
