//! The authorities end to end: what OpenSSL says of leaves and lists, keys that do not lie in plain, and a root that is
//! replaced under a fleet.
//!
//! Servers are processes of the very `main` that ships; devices are written into their stores beforehand and speak over
//! real mutual TLS. Which step may be taken when is tested in `server/core`. Read next: `cordon_server::ca::steps`.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use cordon_proto::authorities::Believed;
use cordon_proto::checkin::CheckinAnswer;
use cordon_proto::ids::Sha256;
use cordon_proto::wire;
use cordon_server::ca::make::{self, Reading};
use cordon_sim::caller::{Population, Resident, Talk};
use cordon_sim::hospital::server::{FIRST, Server};
use cordon_sim::light::{hardware, says};
use cordon_sim::program::program;
use cordon_sim::skip::{require_file, require_package};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");
const MODEL: &str = "VP-3";
/// Devices of the fleet whose root is replaced.
const FLEET: usize = 1000;
/// Of them, switched off meanwhile.
const OFFLINE: usize = 10;
/// Devices that speak at once.
const AT_ONCE: usize = 32;

/// A laid server that may run, with devices in its store.
struct Owner {
    folder: tempfile::TempDir,
    server: Server,
    fleet: Population,
}

impl Owner {
    /// Lays a server with so many devices and these lines in its settings.
    async fn lay(devices: usize, changes: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let laid = lay(folder.path(), &[], &[]);
        assert!(laid.status.success(), "{}", said(&laid));
        let settings = folder.path().join("server/cordon.toml");
        let mut text = std::fs::read_to_string(&settings).expect("settings");
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        std::fs::write(&settings, text).expect("written");
        let fleet = Population::settle(&folder.path().join("server"), MODEL, devices).await.expect("settled");
        let server = Server::new(Path::new(SIM), folder.path(), FIRST);
        Self { folder, server, fleet }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a path of text").to_owned()
    }

    /// Runs `cordon-server ca …` with this server's settings.
    fn ca(&self, arguments: &[&str]) -> Output {
        let (step, rest) = arguments.split_first().expect("a step");
        let config = self.text("server/cordon.toml");
        let mut command = program(SIM);
        command.args(["server", "ca", step, "--config", &config]).args(rest);
        command.output().expect("runs")
    }

    /// The same, which must be done.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.ca(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        said(&output)
    }

    fn status(&self) -> Value {
        let output = self.ca(&["status", "--json"]);
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Identifier of the issuing key.
    fn issuer(&self) -> String {
        let status = self.status();
        let issuer = status.pointer("/authorities/0/issuing").and_then(Value::as_str);
        issuer.expect("an identifier").to_owned()
    }

    /// Runs `cordonctl` as the administrator.
    fn ctl(&self, arguments: &[&str]) {
        let mut command = program(SIM);
        command.args(["ctl", "--output", "json", "--yes", "--server"]);
        command.arg(format!("http://{}", self.server.ready().operator));
        command.args(["--token-file", &self.text("admin.token")]).args(arguments);
        let output = command.output().expect("runs");
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    }

    /// GET on the enrolment plane, as anybody.
    async fn get(&self, path: &str) -> Vec<u8> {
        let tls = self.fleet.connector(None).expect("TLS");
        let mut talk = Talk::open(self.server.ready().enrolment, &tls).await.expect("connects");
        let (status, body) = talk.ask("GET", path, b"").await.expect("answered");
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        body
    }
}

fn lay(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = program(SIM);
    command.args(["server", "init", "--host", "127.0.0.1", "--dir"]).arg(folder.join("server"));
    command.arg("--admin-token-file").arg(folder.join("admin.token")).args(arguments);
    command.envs(environment.iter().copied()).output().expect("runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs OpenSSL and says whether it was content, and what it said.
fn openssl(openssl: &Path, arguments: &[&str]) -> (bool, String) {
    let output = program(openssl).args(arguments).output().expect("runs");
    (output.status.success(), said(&output))
}

fn serial_of(leaf: &CertificateDer<'_>) -> String {
    let (_, read) = x509_parser::parse_x509_certificate(leaf).expect("a certificate");
    read.raw_serial().iter().map(|byte| format!("{byte:02X}")).collect()
}

fn device_of(leaf: &CertificateDer<'_>) -> String {
    let (_, read) = x509_parser::parse_x509_certificate(leaf).expect("a certificate");
    let name = read.subject().iter_common_name().next().expect("a name");
    name.as_str().expect("text").to_owned()
}

/// OpenSSL, with the chain of a server and its newest list.
struct Judge<'a> {
    openssl: PathBuf,
    owner: &'a Owner,
}

impl Judge<'_> {
    /// Whether a leaf in a file holds, with these further options.
    fn verify(&self, more: &[&str], leaf: &str) -> (bool, String) {
        let (root, issuing) =
            (self.owner.text("server/ca/root.pem"), self.owner.text("server/ca/issuing.pem"));
        let chain = ["verify", "-x509_strict", "-CAfile", &root, "-untrusted", &issuing];
        openssl(&self.openssl, &[&chain[..], more, &[leaf]].concat())
    }

    /// The same with the newest list.
    fn checked(&self, more: &[&str], leaf: &str) -> (bool, String) {
        let list = self.owner.text("crl.pem");
        self.verify(&[&["-crl_check", "-CRLfile", &list], more].concat(), leaf)
    }

    /// Fetches the newest list, checks its signature, and returns it in words.
    async fn list(&self) -> String {
        let list = self.owner.get("/.well-known/cordon/crl").await;
        std::fs::write(self.owner.path("crl.der"), list).expect("written");
        let (file, converted) = (self.owner.text("crl.der"), self.owner.text("crl.pem"));
        let issuing = self.owner.text("server/ca/issuing.pem");
        let turn =
            ["crl", "-inform", "DER", "-in", &file, "-out", &converted, "-CAfile", &issuing, "-verify"];
        let turned = openssl(&self.openssl, &turn);
        assert!(turned.0 && turned.1.contains("verify OK"), "{turned:?}");
        openssl(&self.openssl, &["crl", "-in", &converted, "-noout", "-text"]).1
    }

    fn pem(&self, name: &str, resident: &Resident) -> String {
        std::fs::write(self.owner.path(name), make::pem(resident.leaf())).expect("written");
        self.owner.text(name)
    }
}

/// The number of a list in words.
fn number(list: &str) -> String {
    let after = list.split("X509v3 CRL Number:").nth(1).expect("a number").trim_start();
    after.split_whitespace().next().expect("digits").trim_start_matches("0x").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_accepts_our_leaves() {
    // Goal: E3, by another judge than the library that made them. Method: a leaf for and against its purpose, its form
    // in words.
    let Some(program) = require_package("openssl") else { return };
    let place = "[enrolment]\ncrl_url = \"http://crl.hospital.example/{issuer}\"";
    let owner = Owner::lay(1, &[("[enrolment]", place)]).await;
    let judge = Judge { openssl: program, owner: &owner };
    let leaf = judge.pem("one.pem", owner.fleet.residents.first().expect("a device"));
    let client = judge.verify(&["-purpose", "sslclient"], &leaf);
    assert!(client.0, "{client:?}");
    assert!(!judge.verify(&["-purpose", "sslserver"], &leaf).0);
    let (_, form) = openssl(&judge.openssl, &["x509", "-in", &leaf, "-noout", "-text"]);
    for words in [
        &format!("URI:http://crl.hospital.example/{}", owner.issuer()),
        "TLS Web Client Authentication",
        "Digital Signature",
        "CA:FALSE",
        "X509v3 Authority Key Identifier",
        "X509v3 Subject Key Identifier",
        "URI:urn:uuid:",
        "serialNumber = S-000000",
    ] {
        assert!(form.contains(words), "{words} in\n{form}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_accepts_our_lists_of_void_certificates() {
    // Goal: E20, by another judge. Method: a list before, within a second after, and behind the end of a quarantine;
    // the list past its own end.
    let Some(program) = require_package("openssl") else { return };
    let mut owner = Owner::lay(2, &[]).await;
    owner.server.start(&[]).await.expect("starts");
    let judge = Judge { openssl: program, owner: &owner };
    let [one, other] = owner.fleet.residents.as_slice() else { panic!("two devices") };
    let (leaf, sound) = (judge.pem("one.pem", one), judge.pem("other.pem", other));
    let before = judge.list().await;
    assert!(before.contains("No Revoked Certificates") && judge.checked(&[], &leaf).0, "{before}");
    owner.ctl(&["devices", "quarantine", &device_of(one.leaf()), "--reason", "seen where it should not be"]);
    let begun = Instant::now();
    let held = loop {
        let text = judge.list().await;
        if text.contains(&serial_of(one.leaf())) {
            break text;
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "not on the list within a second");
        sleep(Duration::from_millis(50)).await;
    };
    assert!(held.contains("Certificate Hold") && !held.contains(&serial_of(other.leaf())), "{held}");
    assert!(number(&held) > number(&before), "{} then {}", number(&before), number(&held));
    let refused = judge.checked(&[], &leaf);
    assert!(!refused.0 && refused.1.contains("revoked"), "{refused:?}");
    assert!(judge.checked(&[], &sound).0, "{:?}", judge.checked(&[], &sound));
    let later = (cordon_server::clock::Clock::system().now().0 + 2 * 86_400).to_string();
    let late = judge.checked(&["-attime", &later], &sound);
    assert!(!late.0 && late.1.contains("CRL has expired"), "{late:?}");
    let named = owner.get(&format!("/.well-known/cordon/crl/{}", owner.issuer())).await;
    assert_eq!(named, std::fs::read(owner.path("crl.der")).expect("read"));
    owner.ctl(&["devices", "release", &device_of(one.leaf()), "--reason", "it was ours"]);
    sleep(Duration::from_millis(500)).await;
    assert!(judge.list().await.contains("No Revoked Certificates") && judge.checked(&[], &leaf).0);
    owner.server.stop().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_issuing_key_opens_with_its_identity_alone() {
    // Goal: the key encrypted at rest. Method: warn of a plain one; seal it under a running server; start again with
    // the identity, with one that others may read, and without.
    let mut owner =
        Owner::lay(1, &[("[enrolment]", "ca_key = \"age:../ca-identity.txt\"\n[enrolment]")]).await;
    owner.server.start(&[]).await.expect("a plain key beside the setting still starts");
    let warned = owner.server.logged().expect("a log");
    assert!(warned.contains("ca seal") && warned.contains("root.key.pem"), "{warned}");
    owner.done(&["seal"]);
    assert_eq!(owner.status()["authorities"][0]["key"], "sealed");
    assert!(!owner.path("server/ca/issuing.key.pem").exists());
    let sealed = std::fs::read(owner.path("server/ca/issuing.key.age")).expect("sealed");
    assert!(sealed.starts_with(b"age-encryption.org/v1"), "{:?}", sealed.get(..30));
    let again = owner.ca(&["seal"]);
    assert!(!again.status.success() && said(&again).contains("nothing to seal"), "{}", said(&again));
    let root_key = owner.text("server/ca/root.key.pem");
    owner.done(&["renew-issuing", "--root-key", &root_key]);
    assert_eq!(owner.status()["authorities"][0]["key"], "sealed", "a new key is sealed as well");
    owner.server.stop().await.expect("drains");
    std::fs::rename(&root_key, owner.path("carried-away")).expect("moved");
    owner.server.start(&[]).await.expect("starts with its identity");
    assert!(!owner.server.logged().expect("a log").contains("root.key.pem"));
    owner.server.stop().await.expect("drains");
    let identity = owner.path("ca-identity.txt");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&identity, std::fs::Permissions::from_mode(0o644)).expect("chmod");
    let open = owner.server.start(&[]).await.expect_err("refused").to_string();
    assert!(open.contains("chmod 600"), "{open}");
    std::fs::remove_file(&identity).expect("removed");
    let none = owner.server.start(&[]).await.expect_err("refused").to_string();
    assert!(none.contains("ca-identity.txt"), "{none}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuing_key_in_a_token_signs_there_and_lies_in_no_file() {
    // Goal: PKCS#11. Method: SoftHSM with a key that cannot be taken out; a server laid on it, its TLS and its list
    // judged by OpenSSL; a second key of the token by `renew-issuing`.
    let (Some(soft), Some(tool), Some(judge)) =
        (require_package("softhsm2-util"), require_package("pkcs11-tool"), require_package("openssl"))
    else {
        return;
    };
    let Some(module) = require_file("/usr/lib/softhsm/libsofthsm2.so", "softhsm2") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    std::fs::create_dir(path("tokens")).expect("made");
    std::fs::write(path("softhsm.conf"), format!("directories.tokendir = {}\n", path("tokens")))
        .expect("written");
    std::fs::write(path("pin"), "4711\n").expect("written");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path("pin"), std::fs::Permissions::from_mode(0o600)).expect("chmod");
    let conf = path("softhsm.conf");
    let environment = [("SOFTHSM2_CONF", conf.as_str())];
    let run = |what: &Path, arguments: &[&str]| {
        let output = program(what).args(arguments).envs(environment).output().expect("runs");
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    };
    run(&soft, &["--init-token", "--free", "--label", "ca", "--pin", "4711", "--so-pin", "0815"]);
    let module = module.to_str().expect("text").to_owned();
    for (label, id) in [("issuing", "01"), ("issuing-2", "02")] {
        let key =
            ["--keypairgen", "--key-type", "EC:prime256v1", "--sensitive", "--label", label, "--id", id];
        run(
            &tool,
            &[&["--module", &module, "-l", "--pin", "4711", "--token-label", "ca"], &key[..]].concat(),
        );
    }
    let uri = |label: &str| {
        format!("pkcs11:token=ca;object={label}?module-path={module}&pin-source=file:{}", path("pin"))
    };
    let laid = lay(folder.path(), &["--ca-key", &uri("issuing")], &environment);
    assert!(laid.status.success(), "{}", said(&laid));
    let ca = |arguments: &[&str]| {
        let (step, rest) = arguments.split_first().expect("a step");
        let config = path("server/cordon.toml");
        let mut command = program(SIM);
        command.args(["server", "ca", step, "--config", &config]).args(rest).envs(environment);
        let output = command.output().expect("runs");
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        said(&output)
    };
    let mut server = Server::new(Path::new(SIM), folder.path(), FIRST).with_variable("SOFTHSM2_CONF", &conf);
    server.start(&[]).await.expect("starts");
    let log = server.logged().expect("a log");
    assert!(!log.contains("ca seal"), "no plain key to warn of: {log}");
    let shows = |address: std::net::SocketAddr| {
        let address = address.to_string();
        let root = path("server/ca.pem");
        let line = ["s_client", "-connect", &address, "-CAfile", &root, "-verify_return_error", "-brief"];
        let output = program(&judge).args(line).stdin(std::process::Stdio::null()).output().expect("runs");
        (output.status.success(), said(&output))
    };
    let first = shows(server.ready().enrolment);
    assert!(first.0 && first.1.contains("Verification: OK"), "{first:?}");
    ca(&["renew-issuing", "--root-key", &path("server/ca/root.key.pem"), "--issuing-key", &uri("issuing-2")]);
    assert!(ca(&["status"]).contains("key token"), "{}", ca(&["status"]));
    assert!(ca(&["status"]).contains("former issuing"), "{}", ca(&["status"]));
    server.stop().await.expect("drains");
    server.start(&[]).await.expect("starts on the second key");
    let second = shows(server.ready().enrolment);
    assert!(second.0 && second.1.contains("Verification: OK"), "{second:?}");
    server.stop().await.expect("drains");
    let files: Vec<String> = std::fs::read_dir(path("server/ca"))
        .expect("listed")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(files.iter().all(|file| !file.contains("key") || file == "root.key.pem"), "{files:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_killed_at_any_time_leaves_a_server_that_starts() {
    // Goal: every write of a step can be the last. Method: kill `ca renew-issuing` beside a stopped server after 0 to
    // 100 ms, again and again; the authorities are whole each time, and at the end a server starts on them.
    let mut owner = Owner::lay(1, &[]).await;
    let root_key = owner.text("server/ca/root.key.pem");
    let config = owner.text("server/cordon.toml");
    let mut renewed = 0;
    for round in 0..10_u64 {
        let mut command = program(SIM);
        command.args(["server", "ca", "renew-issuing", "--config", &config, "--root-key", &root_key]);
        let mut child = command.stderr(std::process::Stdio::null()).spawn().expect("starts");
        sleep(Duration::from_millis(round * 11)).await;
        let _ = child.kill();
        renewed += usize::from(child.wait().expect("ended").success());
        let status = owner.status();
        assert_eq!(status["phase"], "settled", "round {round}: {status}");
        assert!(owner.path("server/ca/authority.json").exists() || renewed == 0, "round {round}");
    }
    owner.done(&["renew-issuing", "--root-key", &root_key]);
    owner.server.start(&[]).await.expect("starts");
    let device = Rotating::new(&owner, 0);
    assert_eq!(
        device.check_in(&owner).await.expect("answered").ca_version,
        0,
        "its leaf is of a former authority"
    );
    owner.server.stop().await.expect("drains");
}

/// A device of the fleet with the roots that it believes.
#[derive(Clone)]
struct Rotating {
    resident: Resident,
    believed: Believed,
    roots: Vec<Vec<u8>>,
}

impl Rotating {
    fn new(owner: &Owner, number: usize) -> Self {
        let root = std::fs::read(owner.path("server/ca/root.pem")).expect("the root");
        let root = CertificateDer::from_pem_slice(&root).expect("PEM");
        let (_, read) = x509_parser::parse_x509_certificate(&root).expect("a certificate");
        let pins = vec![Sha256::of(read.public_key().raw)];
        let resident = owner.fleet.residents.get(number).expect("so many devices").clone();
        Self { resident, believed: Believed { version: 0, pins }, roots: vec![root.to_vec()] }
    }

    async fn talk(&self, owner: &Owner) -> anyhow::Result<Talk> {
        let mut anchors = RootCertStore::empty();
        for root in &self.roots {
            anchors.add(root.clone().into())?;
        }
        let tls = Population::believing(Some(&self.resident), Arc::new(anchors))?;
        Talk::open(owner.server.ready().device, &tls).await
    }

    async fn say(&self, talk: &mut Talk) -> anyhow::Result<CheckinAnswer> {
        let mut request = says(&hardware("Cordon", MODEL, &self.resident.serial));
        request.ca_version = self.believed.version;
        let (status, body) = talk.ask("POST", "/v1/checkin", &wire::write(&request)).await?;
        anyhow::ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&body));
        Ok(wire::read(&body, 1 << 20)?)
    }

    async fn check_in(&self, owner: &Owner) -> anyhow::Result<CheckinAnswer> {
        self.say(&mut self.talk(owner).await?).await
    }

    /// Checks in, follows every bundle there is, and says so.
    async fn catch_up(&mut self, owner: &Owner) -> anyhow::Result<()> {
        let mut talk = self.talk(owner).await?;
        let newest = self.say(&mut talk).await?.ca_version;
        while let Some(version) = self.believed.wants(newest) {
            let (status, bytes) = talk.ask("GET", &format!("/v1/authorities/{version}"), b"").await?;
            anyhow::ensure!(status == 200, "no bundle {version}");
            let known: Vec<&[u8]> = self.roots.iter().map(Vec::as_slice).collect();
            let (believed, roots) = self.believed.step(&bytes, &known, &Reading)?;
            (self.believed, self.roots) = (believed, roots);
        }
        self.say(&mut talk).await?;
        Ok(())
    }
}

/// Lets some devices catch up, many at once, and counts those that could not.
async fn all_catch_up(owner: &Arc<Owner>, fleet: &mut [Rotating]) -> Vec<String> {
    let mut lost = Vec::new();
    for group in fleet.chunks_mut(AT_ONCE) {
        let mut tasks = JoinSet::new();
        for (place, device) in group.iter().cloned().enumerate() {
            let owner = owner.clone();
            tasks.spawn(async move {
                let mut device = device;
                let outcome = device.catch_up(&owner).await;
                (place, device, outcome)
            });
        }
        while let Some(done) = tasks.join_next().await {
            let (place, device, outcome) = done.expect("no panic");
            if let Err(error) = outcome {
                lost.push(format!("{}: {error:#}", device.resident.serial));
            }
            *group.get_mut(place).expect("it was taken from there") = device;
        }
    }
    lost
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_is_replaced_under_a_thousand_devices_and_none_is_lost_unless_forced() {
    // Goal: E13. Method: 1000 devices over real mutual TLS, ten of them switched off; stage, switch, finish with every
    // refusal on the way, a kill of the server between any two steps; then the ten come back in time, or too late.
    let mut owner = Owner::lay(FLEET, &[]).await;
    let settings = ["device.requests_per_minute=10000", "device.requests=10000"];
    owner.server.start(&settings).await.expect("starts");
    let mut fleet: Vec<Rotating> = (0..FLEET).map(|number| Rotating::new(&owner, number)).collect();
    let old_key = owner.text("carried-away.pem");
    std::fs::rename(owner.path("server/ca/root.key.pem"), &old_key).expect("carried away");
    let new_key = owner.text("new-root.pem");
    let early = owner.ca(&["switch"]);
    assert!(!early.status.success() && said(&early).contains("ca stage"), "{}", said(&early));
    let stranger = owner.text("server/keys/snapshot.key.pem");
    assert!(!owner.ca(&["stage", "--root-key", &stranger, "--new-root-key", &new_key]).status.success());
    assert!(!Path::new(&new_key).exists(), "nothing is left of a step that was not taken");
    owner.done(&["stage", "--root-key", &old_key, "--new-root-key", &new_key]);
    assert!(
        !owner.ca(&["stage", "--root-key", &old_key, "--new-root-key", &owner.text("x")]).status.success()
    );
    let soon = owner.ca(&["switch"]);
    assert!(!soon.status.success() && said(&soon).contains("0 of 1000"), "{}", said(&soon));
    owner.server.kill();
    owner.server.start(&settings).await.expect("a killed server starts with what was staged");
    let mut shared = Arc::new(owner);
    let lost = all_catch_up(&shared, &mut fleet[..FLEET - OFFLINE]).await;
    assert!(lost.is_empty(), "{lost:?}");
    let status = shared.status();
    assert_eq!((&status["phase"], &status["bundle"]), (&Value::from("staged"), &Value::from(1)));
    assert_eq!(
        (&status["tally"]["ready"], &status["tally"]["missing"]),
        (&Value::from(990), &Value::from(10))
    );
    shared.done(&["switch"]);
    let finish = ["finish", "--root-key", &new_key, "--root-key", &old_key];
    let stranding = shared.ca(&finish);
    assert!(!stranding.status.success() && said(&stranding).contains("S-000990"), "{}", said(&stranding));
    assert!(!shared.ca(&[&finish[..], &["--force"]].concat()).status.success(), "a force without a reason");
    // A killed server knows less than before, never more: what was not written down is asked again at the next check-ins.
    // Nine of the ten come back in time; one never does.
    let owner = Arc::get_mut(&mut shared).expect("nobody else");
    owner.server.kill();
    owner.server.start(&settings).await.expect("a killed server starts in the middle");
    let lost = all_catch_up(&shared, &mut fleet[..FLEET - 1]).await;
    assert!(lost.is_empty(), "a device that slept through the switch is lost: {lost:?}");
    let stranding = shared.ca(&finish);
    assert!(
        said(&stranding).contains("1 devices") && said(&stranding).contains("S-000999"),
        "{}",
        said(&stranding)
    );
    let old_alone = shared.ca(&["finish", "--root-key", &old_key, "--force", "--reason", "x"]);
    assert!(
        !old_alone.status.success() && said(&old_alone).contains("new root's key"),
        "{}",
        said(&old_alone)
    );
    shared.done(&[&finish[..], &["--force", "--reason", "S-000999 was scrapped last year"]].concat());
    let status = shared.status();
    assert_eq!((&status["phase"], &status["bundle"]), (&Value::from("settled"), &Value::from(2)));
    moved(shared, &mut fleet, &settings, &new_key).await;
}

/// After the end: the server's own certificate moves; everybody but the last follows, and the next start is no different.
async fn moved(mut shared: Arc<Owner>, fleet: &mut [Rotating], settings: &[&str], new_key: &str) {
    let (last, fleet) = fleet.split_last_mut().expect("devices");
    let begun = Instant::now();
    while last.check_in(&shared).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the server's certificate never moved");
        sleep(Duration::from_millis(200)).await;
    }
    let owner = Arc::get_mut(&mut shared).expect("nobody else");
    owner.server.stop().await.expect("drains");
    owner.server.start(settings).await.expect("starts under the new root");
    let lost = all_catch_up(&shared, fleet).await;
    assert!(lost.is_empty(), "{lost:?}");
    assert!(fleet.iter().all(|device| device.believed.version == 2 && device.roots.len() == 1));
    assert!(last.check_in(&shared).await.is_err(), "what was forced is so");
    let roots = std::fs::read_to_string(shared.path("server/ca.pem")).expect("roots");
    assert_eq!(roots.matches("BEGIN CERTIFICATE").count(), 1, "people's tools are given the new root alone");
    for file in ["server/ca", "server/keys"] {
        for entry in std::fs::read_dir(shared.path(file)).expect("listed") {
            let bytes = std::fs::read(entry.expect("an entry").path()).expect("read");
            let key = std::fs::read(new_key).expect("the new root's key");
            assert_ne!(bytes, key, "the new root's key is not on the server");
        }
    }
}
