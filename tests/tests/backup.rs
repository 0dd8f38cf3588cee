//! Backups end to end: other people's `age` reads what we seal, and a hospital goes on after it lost its server.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Output;

use cordon_agent::link::Repository;
use cordon_server::age::{Identity, Opener, Sealer};
use cordon_sim::hospital::{Hospital, Release};
use cordon_sim::one_device::OneDevice;
use cordon_sim::program::program;
use cordon_sim::skip::require_package;

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

fn opened(file: &[u8], identity: &Identity) -> Result<Vec<u8>, String> {
    let opener = Opener::new(file, std::slice::from_ref(identity));
    let mut bytes = Vec::new();
    let read = opener.map_err(|error| error.to_string())?.read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[test]
fn age_reads_what_we_seal_and_we_read_what_age_seals() {
    // Goal: a backup outlives this program. Method: a key of age-keygen; lengths about the pieces both ways; two
    // recipients; a file in letters, which is another format and refused.
    let (Some(age), Some(keygen)) = (require_package("age"), require_package("age-keygen")) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (key, file) = (folder.path().join("key"), folder.path().join("file"));
    let made = program(&keygen).arg("-o").arg(&key).output().expect("runs");
    assert!(made.status.success(), "{}", said(&made));
    let held = std::fs::read_to_string(&key).expect("text");
    let identity = Identity::read_all(&held).expect("a key of age-keygen").remove(0);
    assert!(held.contains(&format!("# public key: {}", identity.recipient())), "the same public half");
    let other = Identity::make();
    for length in [0, 1, 65_535, 65_536, 65_537, 131_072, 1_000_000] {
        let bytes: Vec<u8> = (0..length).map(|n: u32| u8::try_from(n % 251).expect("small")).collect();
        let mut sealer = Sealer::new(Vec::new(), &identity.recipient()).expect("a head");
        sealer.write_all(&bytes).expect("written");
        std::fs::write(&file, sealer.finish().expect("finished")).expect("written");
        let read = program(&age).args(["-d", "-i"]).arg(&key).arg(&file).output().expect("runs");
        assert!(read.status.success() && read.stdout == bytes, "{length}: {}", said(&read));
        std::fs::write(&file, &bytes).expect("written");
        let two = [other.recipient().to_string(), identity.recipient().to_string()];
        let sealed = program(&age).args(["-r", &two[0], "-r", &two[1]]).arg(&file).output().expect("runs");
        assert!(sealed.status.success(), "{}", said(&sealed));
        for holder in [&identity, &other] {
            assert!(opened(&sealed.stdout, holder).as_deref() == Ok(bytes.as_slice()), "{length}");
        }
        assert!(opened(&sealed.stdout, &Identity::make()).is_err());
    }
    let armoured = program(&age).args(["-a", "-r", &identity.recipient().to_string()]).arg(&file).output();
    assert!(opened(&armoured.expect("runs").stdout, &identity).expect_err("refused").contains("no age file"));
}

/// A hospital with one release, whose settings name a recipient.
async fn hospital(folder: &Path, recipient: &Identity) -> Hospital {
    let mut hospital = Hospital::open(Path::new(SIM), folder, &[]).await.expect("opens");
    hospital.stop().await.expect("drains");
    let settings = folder.join("server/cordon.toml");
    let mut file = std::fs::OpenOptions::new().append(true).open(settings).expect("the settings");
    write!(file, "\n[backup]\nrecipient = \"{}\"\n", recipient.recipient()).expect("written");
    hospital.start(&[]).await.expect("starts");
    hospital.open_maker("halden", &["VP-3"]).await.expect("a maker");
    let image = folder.join("vp-3-4.2.2.img");
    std::fs::write(&image, vec![7; 300_000]).expect("writes");
    let release = Release::pump(&image);
    hospital.release(&release).await.expect("a release");
    hospital
}

async fn timestamp_version(device: &mut OneDevice) -> u64 {
    let bytes =
        device.link().metadata(&Repository::Director, "timestamp.json", 16_384).await.expect("answered");
    let document: serde_json::Value = serde_json::from_slice(&bytes.expect("published")).expect("JSON");
    document.pointer("/signed/version").and_then(serde_json::Value::as_u64).expect("a version")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hospital_that_lost_its_server_goes_on_from_its_backup() {
    // Goal: the way of a person from a live backup to a fleet that goes on. Method: real processes and an agent's link:
    // back up live and while none runs, lose the folder, restore without images, start, check in, tell, copy images.
    let folder = tempfile::tempdir().expect("a folder");
    let identity = Identity::make();
    let key = folder.path().join("key");
    cordon_server::files::create_secret(&key, identity.text().as_bytes()).expect("written");
    let mut hospital = hospital(folder.path(), &identity).await;
    let mut device = OneDevice::enrol(&hospital, folder.path(), "A").await.expect("enrols");
    device.checkin().await.expect("answered");
    device.tell(50, 100).await.expect("stored");
    let config = folder.path().join("server/cordon.toml");
    let (live, rest) = (folder.path().join("live.age"), folder.path().join("rest.age"));
    let back_up = |to: &Path| {
        ["backup", "--config", text(&config), "--with-ca-key", "--to", text(to)].map(str::to_owned)
    };
    let run = |hospital: &Hospital, arguments: &[String]| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        hospital.server_command(&arguments).expect("runs")
    };
    let made = run(&hospital, &back_up(&live));
    assert!(made.status.success() && said(&made).contains("1 images listed"), "{}", said(&made));
    let again = run(&hospital, &back_up(&live));
    assert!(again.status.code() == Some(1) && said(&again).contains("never replaced"), "{}", said(&again));
    let seen = timestamp_version(&mut device).await;
    device.tell(10, 100).await.expect("stored, and lost with the server");
    hospital.stop().await.expect("drains");
    let made = run(&hospital, &back_up(&rest));
    assert!(made.status.success(), "while none runs: {}", said(&made));
    let (server, old) = (folder.path().join("server"), folder.path().join("old"));
    std::fs::rename(&server, &old).expect("lost");
    let order = ["restore", "--from", text(&live), "--identity", text(&key), "--dir", text(&server)];
    let restored = run(&hospital, &order.map(str::to_owned));
    let words = said(&restored);
    assert!(restored.status.success() && words.contains("1 images are not in this backup"), "{words}");
    assert!(words.contains("quarantine") && !words.contains("issuing key is not"), "{words}");
    let again = run(&hospital, &order.map(str::to_owned));
    assert!(again.status.code() == Some(1) && said(&again).contains("not empty"), "{}", said(&again));
    hospital.start(&[]).await.expect("starts");
    device.checkin().await.expect("the same certificate is known");
    let told = device.tell(5, 100).await.expect("stored");
    assert_eq!((told.stored_through.sequence, told.duplicates), (65, 0));
    assert!(timestamp_version(&mut device).await > seen, "no device takes it for one that goes back");
    let audit = hospital.api("/api/v1/audit").await.expect("answers").to_string();
    assert!(audit.contains("store.restore"), "{audit}");
    hospital.stop().await.expect("drains");
}
