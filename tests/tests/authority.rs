//! The authorities end to end: a root that is replaced under a fleet; in `certificates` what OpenSSL says of leaves and
//! lists, and keys that do not lie in plain.
//!
//! Servers are processes of the very `main` that ships; devices are written into their stores beforehand and speak over
//! real mutual TLS. Which step may be taken when is tested in `server/core`. Read next: `cordon_server::ca::steps`.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use cordon_proto::authorities::{Believed, Followed, Search};
use cordon_proto::checkin::CheckinAnswer;
use cordon_proto::ids::Sha256;
use cordon_proto::wire;
use cordon_server::ca::make::Reading;
use cordon_sim::caller::{Population, Resident, Talk};
use cordon_sim::hospital::server::{FIRST, Server};
use cordon_sim::hospital::{Hospital, Place, Who};
use cordon_sim::light::{hardware, says};
use cordon_sim::program::program;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

#[path = "authority/certificates.rs"]
mod certificates;

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

/// The agent program, enrolled at a hospital.
struct Pump {
    home: PathBuf,
}

impl Pump {
    async fn enrol(hospital: &Hospital, serial: &str) -> Self {
        let pump = Self { home: hospital.folder().join(serial) };
        std::fs::create_dir(&pump.home).expect("made");
        let place = Place { site: "St. Anna", ward: "ICU 2", kind: "infusion-pump" };
        let line = hospital.enrolment(MODEL, &place, Who::Serial(serial)).await.expect("a token");
        std::fs::write(pump.home.join("join"), line + "\n").expect("written");
        let text = format!(
            "state = \"state\"\nhardware = {{ manufacturer = \"Halden\", model = \"{MODEL}\", revision = \"C\", \
             serial = \"{serial}\" }}\n"
        );
        std::fs::write(pump.home.join("agent.toml"), text).expect("written");
        pump.agent(&["enrol", "--with", "join"]);
        pump
    }

    fn agent(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = program(SIM);
        command.args(["agent", "--config", "agent.toml"]).args(arguments).current_dir(&self.home);
        let output = command.output().expect("runs");
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        output.stdout
    }

    /// Checks in twice, to follow and to say so, and tells which bundle it believes.
    fn reports(&self) -> u64 {
        self.agent(&["run", "--once"]);
        self.agent(&["run", "--once"]);
        let status: Value = serde_json::from_slice(&self.agent(&["status", "--json"])).expect("JSON");
        status.pointer("/identity/authorities").and_then(Value::as_u64).expect("a version")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipped_agent_follows_two_changes_of_roots_and_so_does_one_that_came_between() {
    // Goal: server and agent mean the same by a bundle. Method: a real agent through two whole changes, another that
    // enrolled after the first; no check-in may fail, and no step needs force.
    let folder = tempfile::tempdir().expect("a folder");
    let mut hospital = Hospital::open(Path::new(SIM), folder.path(), &[]).await.expect("opens");
    let config = folder.path().join("server/cordon.toml").display().to_string();
    let keys = ["server/ca/root.key.pem", "second.pem", "third.pem"];
    let keys = keys.map(|key| folder.path().join(key).display().to_string());
    let mut pumps = vec![Pump::enrol(&hospital, "VP3-1").await];
    assert_eq!(pumps.first().map(Pump::reports), Some(0));
    for (before, pair) in [0, 2].into_iter().zip(keys.windows(2)) {
        let [old, new] = pair else { panic!("two keys") };
        let done = |arguments: &[&str]| {
            let (step, rest) = arguments.split_first().expect("a step");
            let line = [&["ca", step, "--config", config.as_str()], rest].concat();
            let output = hospital.server_command(&line).expect("runs");
            assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        };
        done(&["stage", "--root-key", old, "--new-root-key", new]);
        assert!(pumps.iter().all(|pump| pump.reports() == before + 1));
        done(&["switch"]);
        done(&["finish", "--root-key", new]);
        assert!(pumps.iter().all(|pump| pump.reports() == before + 2));
        pumps.push(Pump::enrol(&hospital, &format!("VP3-{}", before + 2)).await);
        assert!(pumps.iter().all(|pump| pump.reports() == before + 2), "also who came after");
    }
    hospital.stop().await.expect("drains");
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
        let mut search = Search::default();
        while let Some(version) = search.next(&self.believed, newest) {
            let (status, bytes) = talk.ask("GET", &format!("/v1/authorities/{version}"), b"").await?;
            anyhow::ensure!(status == 200, "no bundle {version}");
            let known: Vec<&[u8]> = self.roots.iter().map(Vec::as_slice).collect();
            if let Followed::Believed(believed, roots) =
                search.follow(&self.believed, (version, &bytes), &known, &Reading)?
            {
                (self.believed, self.roots) = (believed, roots);
            }
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
        assert!(begun.elapsed() < Duration::from_secs(60), "the server's certificate never moved");
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
