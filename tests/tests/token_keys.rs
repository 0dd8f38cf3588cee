//! Keys that live in a token or a TPM: the port that the agent uses, and the agent program with such a key.
//!
//! A module finds its token by the environment, so each test starts a child that has it: this test program again for
//! the port, `cordon-sim agent` for the rest. Read next: `cordon_sim::token`.

use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use cordon_agent::clock::{Clock as _, SystemClock};
use cordon_agent::config::key_place::KeyPlace;
use cordon_agent::files::Folder;
use cordon_agent::identity::key::DeviceKey;
use cordon_agent::identity::keystore::{self, KeyStoreError};
use cordon_proto::enrol::EnrolmentString;
use cordon_proto::ids::Sha256;
use cordon_proto::ids::{DeviceId, Text};
use cordon_server::clock::Clock;
use cordon_server::config::Config;
use cordon_server::init;
use cordon_server::serve::Server;
use cordon_server_core::admit::{Binding, TokenOrder};
use cordon_server_core::audit::Actor;
use cordon_server_core::device::{DeviceKind, Placement};
use cordon_server_core::risk::facts::{Impact, Reach};
use cordon_sim::hospital::{Hospital, Release};
use cordon_sim::program::program;
use cordon_sim::skip::require_package;
use cordon_sim::token::{PIN, Token};
use ring::pbkdf2;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde_json::Value;

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");
/// Five sixths of a certificate's life.
const PAST_MS: i64 = 25 * 86_400_000;
/// How long the two halves of the test of the port wait for each other.
const PATIENCE: Duration = Duration::from_secs(300);

fn signs(key: &dyn DeviceKey) -> bool {
    let Ok(signature) = key.sign(b"message") else { return false };
    let point = key.spki().get(26..).expect("a head of 26 bytes");
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(b"message", &signature).is_ok()
}

/// A clock, and what it says now.
fn now() -> (SystemClock, Duration) {
    let clock = SystemClock::new();
    let began = clock.monotonic();
    (clock, began)
}

fn wait_for(path: &Path) {
    let (clock, began) = now();
    while !path.exists() {
        assert!((clock.monotonic() - began) < PATIENCE, "{} never came", path.display());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changes the mode");
}

#[test]
#[ignore = "started as a child by the tests below, with a token in its environment"]
fn the_port_over_a_token() {
    let setting = std::fs::read_to_string("setting").expect("the token's name");
    let place = KeyPlace::parse(&setting).expect("is a setting");
    let folder = Folder::open("identity").expect("opens");
    let keys = keystore::open(&place, &folder).expect("opens the token");
    let (one, first) = keys.generate().expect("makes a key");
    let (two, second) = keys.generate().expect("makes a key");
    assert_ne!(first.spki(), second.spki(), "a new key each time");
    let mut names = [one.clone(), two.clone()];
    names.sort_unstable();
    assert_eq!(keys.names().expect("lists"), names);
    let found = keys.open(&one).expect("reads").expect("is there");
    assert_eq!(found.spki(), first.spki());
    assert!(signs(&*first) && signs(&*found) && signs(&*second));
    let (clock, began) = now();
    let rounds = 10;
    assert!((0..rounds).all(|_| signs(&*found)));
    let each = (clock.monotonic() - began) / rounds;
    // A measurement for whoever reads: how fast a chip is, played on a busy machine, says nothing of us.
    println!("one signature takes {each:?}");

    // Another agent with the same token knows its own keys and no others.
    let other = keystore::open(&place, &Folder::open("another").expect("opens")).expect("opens the token");
    assert!(other.names().expect("lists").is_empty());

    std::fs::write("restart", "").expect("asks");
    wait_for(Path::new("restarted"));
    assert!(signs(&*found), "a token that was restarted is opened anew");
    keys.remove(&one).expect("removes");
    keys.remove(&one).expect("is removed already");
    assert!(keys.open(&one).expect("reads").is_none() && keys.open(&two).expect("reads").is_some());
    assert!(found.sign(b"message").is_err(), "its key is gone");
    assert!(signs(&*second));
    assert!(matches!(keys.open("current.json"), Err(KeyStoreError::Name)));
    refusals(&setting, &place);
    assert!(folder.names().expect("lists").is_empty(), "nothing of a key is on disk");
    std::fs::write("protection", second.protection()).expect("tells");
}

/// Whoever may read the PIN, a wrong one, and another token's name.
fn refusals(setting: &str, place: &KeyPlace) {
    let folder = Folder::open("third").expect("opens");
    let refused = |place: &KeyPlace| match keystore::open(place, &folder) {
        Ok(_) => panic!("was opened"),
        Err(error) => error.to_string(),
    };
    let KeyPlace::Token(uri) = place else { panic!("is a token") };
    chmod(&uri.pin_file, 0o640);
    let open = refused(place);
    assert!(open.contains("pin has mode 640") && open.contains("chmod 600"), "{open}");
    chmod(&uri.pin_file, 0o600);
    std::fs::write(&uri.pin_file, "\n").expect("writes");
    assert!(refused(place).contains("must hold the token's PIN"));
    std::fs::write(&uri.pin_file, PIN).expect("writes");
    // What an earlier start noted of a PIN: it is not even tried.
    let (salt, mut hash) = ([7; 16], [0; 32]);
    let rounds = NonZeroU32::new(100_000).expect("is not zero");
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, PIN.as_bytes(), &mut hash);
    folder.write("pin-refused", &[&salt[..], &hash].concat()).expect("writes");
    assert!(refused(place).contains("refuses the PIN"), "{}", refused(place));
    folder.remove("pin-refused").expect("removes");
    let absent = KeyPlace::parse(&setting.replace("token=dev", "token=other")).expect("is a setting");
    assert!(refused(&absent).contains("no token of the module"), "{}", refused(&absent));
}

/// Runs the test above as a child with the token; what it says of where its keys live.
fn port_over(mut token: Token, folder: &Path) -> String {
    std::fs::write(folder.join("setting"), token.setting()).expect("writes");
    let me = std::env::current_exe().expect("a running test has a path");
    let mut child = program(me);
    child.args(["--exact", "the_port_over_a_token", "--ignored", "--nocapture"]).current_dir(folder);
    let mut child = child.envs(token.environment().iter().cloned()).spawn().expect("starts");
    let (clock, began) = now();
    let ended = loop {
        if folder.join("restart").exists() && !folder.join("restarted").exists() {
            token.restart().expect("restarts");
            std::fs::write(folder.join("restarted"), "").expect("tells");
        }
        if let Some(ended) = child.try_wait().expect("is asked") {
            break ended;
        }
        if (clock.monotonic() - began) > PATIENCE {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(ended.success(), "the child ended with {ended}");
    std::fs::read_to_string(folder.join("protection")).expect("it told")
}

#[test]
fn keys_in_a_token_are_made_found_used_and_removed() {
    // Goal: the port's promises over PKCS#11. Method: SoftHSM, in a child that has it in its environment.
    let folder = tempfile::tempdir().expect("a folder");
    let Some(token) = Token::soft_hsm(folder.path()).expect("a token") else { return };
    assert_eq!(port_over(token, folder.path()), "pkcs11");
}

#[test]
fn keys_in_a_tpm_are_made_found_used_and_removed() {
    // Goal: the same over a TPM, and its resource manager restarted in between. Method: swtpm and tpm2-pkcs11.
    let folder = tempfile::tempdir().expect("a folder");
    let Some(token) = Token::tpm(folder.path()).expect("a TPM") else { return };
    assert_eq!(port_over(token, folder.path()), "tpm");
}

/// A server in this process, and the agent program with its key in a token.
struct Meeting {
    server: Server,
    clock: Clock,
    token: Token,
    folder: tempfile::TempDir,
}

fn text(text: &str) -> Text {
    text.parse().expect("a valid text")
}

impl Meeting {
    async fn with(token: fn(&Path) -> anyhow::Result<Option<Token>>) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let token = token(folder.path()).expect("a token")?;
        let options = init::Options {
            folder: folder.path().join("server"),
            admin_token_file: None,
            host: "127.0.0.1".to_owned(),
            example_keys: false,
            store: init::STORE.to_owned(),
            ca_key: None,
        };
        // The server's first day was long ago, so that certificates can grow old by a word to its clock.
        let clock = Clock::held(Clock::system().now_ms().plus(-PAST_MS));
        let laid = init::run(&options, clock.now()).await.expect("laid");
        let sets = ["enrolment", "device", "operator"].map(|plane| format!("{plane}.listen=127.0.0.1:0"));
        let config = Config::load(&laid.config, &sets).expect("settings");
        let server = Server::start(config, clock.clone()).await.expect("starts");
        let meeting = Self { server, clock, token, folder };
        meeting.write_config();
        Some(meeting)
    }

    fn write_config(&self) {
        let text = format!(
            "state = \"state\"\nkey = \"{}\"\nhardware = {{ manufacturer = \"Halden\", model = \"VP-3\", \
             revision = \"C\", serial = \"VP3-1\" }}\n",
            self.token.setting()
        );
        std::fs::write(self.path("agent.toml"), text).expect("writes");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn join(&self) {
        let order = TokenOrder {
            manufacturer: Some(text("Halden")),
            model: text("VP-3"),
            binding: Binding::Serial { serial: text("VP3-1"), replaces: false },
            placement: Placement {
                site: text("St. Anna"),
                ward: text("ICU 2"),
                kind: DeviceKind::InfusionPump,
                impact: Impact::default(),
                reach: Reach::default(),
                tags: Vec::new(),
            },
            hours: 1,
        };
        let made = self.server.app.make_token(order, &Actor::Person(text("ines"))).await.expect("a token");
        let string = EnrolmentString {
            host: "127.0.0.1".to_owned(),
            enrolment_port: self.server.ready.enrolment.port(),
            device_port: self.server.ready.device.port(),
            ca_pin: self.server.app.ca.pin(),
            director_root: Sha256([7; 32]),
            token: made.secret,
        };
        std::fs::write(self.path("join"), format!("{string}\n")).expect("writes");
    }

    async fn agent(&self, arguments: &[&str]) -> Output {
        let mut command = program(SIM);
        command.args(["agent", "--config"]).arg(self.path("agent.toml")).args(arguments);
        command.envs(self.token.environment().iter().cloned()).current_dir(self.folder.path());
        tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("runs")
    }

    /// One report; a machine that stands still may need three tries for it.
    async fn reports(&self) {
        let mut last = String::new();
        for _ in 0..3 {
            let reported = self.agent(&["run", "--once"]).await;
            if reported.status.success() {
                return;
            }
            last = said(&reported);
        }
        panic!("no report in three tries: {last}");
    }

    /// Everything below the state folder, with its bytes.
    fn kept(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut kept = Vec::new();
        let mut folders = vec![self.path("state")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("lists") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.is_file() {
                    let bytes = std::fs::read(&path).expect("reads");
                    kept.push((path, bytes));
                }
            }
        }
        kept
    }
}

/// Labels of the private keys in the token, with what it says of their access.
fn private_keys(meeting: &Meeting, tool: &Path) -> Vec<(String, String)> {
    let module = "/usr/lib/softhsm/libsofthsm2.so";
    let words =
        ["--module", module, "--token-label", "dev", "--login", "--pin", PIN, "-O", "--type", "privkey"];
    let mut command = program(tool);
    let listed = command.args(words).envs(meeting.token.environment().iter().cloned()).output();
    let listed = String::from_utf8_lossy(&listed.expect("runs").stdout).into_owned();
    let after = |word: &'static str| {
        let lines = listed.lines().filter_map(move |line| line.trim().strip_prefix(word));
        lines.map(|rest| rest.trim().to_owned()).collect::<Vec<_>>()
    };
    after("label:").into_iter().zip(after("Access:")).collect()
}

/// The second half of E15: a new pair for the next certificate, the old one destroyed once the next has been answered.
async fn follows_its_certificate(meeting: &Meeting, id: DeviceId) {
    let Some(tool) = require_package("pkcs11-tool") else { return };
    let leaf = || {
        let member = meeting.server.app.fleet.get(id).expect("is in the fleet");
        member.device.identity.as_ref().expect("is enrolled").leaf
    };
    let (before, first) = (leaf(), private_keys(meeting, &tool));
    let [(first, access)] = first.as_slice() else { panic!("one key: {first:?}") };
    assert!(first.starts_with("cordon-"), "{first}");
    assert_eq!(access, "sensitive, always sensitive, never extractable, local");
    // Five sixths of the certificate's life later; the second report proves the new one.
    meeting.clock.hold_at(Clock::system().now_ms());
    for _ in 0..2 {
        meeting.reports().await;
    }
    assert_ne!(leaf(), before, "another certificate is in force");
    let keys = private_keys(meeting, &tool);
    assert!(
        keys.len() == 1 && keys.iter().all(|(label, _)| label != first),
        "the old pair is gone: {keys:?}"
    );
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// E15: an agent whose key never leaves its token enrols, reports over mutual TLS, and says where its key lives.
async fn lives_with_its_key_in(token: fn(&Path) -> anyhow::Result<Option<Token>>, protection: &str) {
    let Some(mut meeting) = Meeting::with(token).await else { return };
    meeting.join().await;
    let enrolled = meeting.agent(&["enrol", "--with", "join"]).await;
    assert!(enrolled.status.success(), "{}", said(&enrolled));
    for _ in 0..2 {
        meeting.reports().await;
        meeting.token.restart().expect("restarts");
    }
    let status = meeting.agent(&["status", "--json"]).await;
    let status: Value = serde_json::from_slice(&status.stdout).expect("a status");
    assert_eq!(status.pointer("/identity/key_protection"), Some(&protection.into()), "{status}");
    let id = status.pointer("/identity/id").and_then(Value::as_str).expect("an identity");
    let id: DeviceId = id.parse().expect("an identifier");
    let member = meeting.server.app.fleet.get(id).expect("is in the fleet");
    let report = member.report.as_ref().expect("has reported");
    assert_eq!(report.key_protection.as_str(), protection);
    // RFC 5915 and RFC 5208: what a P-256 key in a file begins with; and its text form.
    let pkcs8: &[u8] = &[0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    for (path, bytes) in meeting.kept() {
        assert!(path.extension().is_none_or(|ending| ending != "p8"), "{}", path.display());
        for mark in [pkcs8, b"PRIVATE KEY"] {
            assert!(!bytes.windows(mark.len()).any(|part| part == mark), "{} holds a key", path.display());
        }
    }
    if protection == "pkcs11" {
        follows_its_certificate(&meeting, id).await;
    }
    std::fs::write(meeting.path("pin"), "4321\n").expect("writes");
    let refused = said(&meeting.agent(&["run", "--once"]).await);
    assert!(refused.contains("the token refuses the PIN in"), "{refused}");
    std::fs::write(meeting.path("pin"), PIN).expect("writes");
    chmod(&meeting.path("pin"), 0o604);
    let refused = said(&meeting.agent(&["run", "--once"]).await);
    assert!(refused.contains("pin has mode 604") && refused.contains("chmod 600"), "{refused}");
    meeting.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_key_file_others_may_read_does_not_start() {
    // Goal: E16. Method: the agent program with its key in a file, reported once, then mode 0644 on that file.
    let Some(meeting) = Meeting::with(|_| Ok(Some(Token::none()))).await else { return };
    meeting.join().await;
    let enrolled = meeting.agent(&["enrol", "--with", "join"]).await;
    assert!(enrolled.status.success(), "{}", said(&enrolled));
    meeting.reports().await;
    let kept = meeting.kept();
    let key = kept.iter().map(|(path, _)| path).find(|path| path.extension().is_some_and(|end| end == "p8"));
    let key = key.expect("a key file");
    chmod(key, 0o644);
    let refused = meeting.agent(&["run"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let name = key.file_name().and_then(|name| name.to_str()).expect("a name");
    for word in [name, "mode 644", "chmod 600"] {
        assert!(said(&refused).contains(word), "{word}: {}", said(&refused));
    }
    meeting.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_with_its_key_in_a_token_enrols_and_reports() {
    // Goal: E15 and E16 with a token. Method: the agent program and SoftHSM; every file it keeps is searched for a key.
    lives_with_its_key_in(Token::soft_hsm, "pkcs11").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_with_its_key_in_a_tpm_enrols_and_reports() {
    // Goal: E15 with a TPM. Method: the agent program, swtpm, its resource manager restarted between two reports.
    lives_with_its_key_in(Token::tpm, "tpm").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_pin_is_tried_once_however_often_the_agent_starts() {
    // Goal: a service manager that starts the agent again and again does not lock the token. Method: SoftHSM and a wrong
    // PIN; two starts, whose memory of the refusal is one and the same; then the right PIN.
    let Some(meeting) = Meeting::with(Token::soft_hsm).await else { return };
    let (pin, memory) = (meeting.path("pin"), meeting.path("state/identity/pin-refused"));
    std::fs::write(&pin, "9999").expect("writes");
    let mut memories = Vec::new();
    for _ in 0..2 {
        let refused = meeting.agent(&["run", "--once"]).await;
        let said = said(&refused);
        assert!(!refused.status.success() && said.contains("refuses the PIN"), "{said}");
        assert!(said.contains("pin-refused"), "and names what to do: {said}");
        memories.push(std::fs::read(&memory).expect("is remembered"));
    }
    assert_eq!(memories.first(), memories.last(), "a second try would have another salt");
    std::fs::write(&pin, PIN).expect("writes");
    let stranger = said(&meeting.agent(&["run", "--once"]).await);
    assert!(stranger.contains("not enrolled"), "the token is open: {stranger}");
    assert!(!memory.exists(), "and the refusal is forgotten");
}

/// Runs `cordonctl` in a process that finds the token.
fn cordonctl(token: &Token, arguments: &[&str]) -> Output {
    let mut command = program(SIM);
    command.args(["ctl", "--yes"]).args(arguments).envs(token.environment().iter().cloned());
    command.output().expect("runs")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_signed_by_a_key_that_never_leaves_its_token_and_the_server_publishes_it() {
    // Goal: approvers keep their keys on cards. Method: a pair made in SoftHSM, named for the orders, signs one; a person's
    // file adds the second signature; the server publishes. A taken name, a wrong PIN, and that it is not tried twice.
    let folder = tempfile::tempdir().expect("a folder");
    let Some(token) = Token::soft_hsm(folder.path()).expect("a token") else { return };
    let hospital = Hospital::open(Path::new(SIM), &folder.path().join("owner"), &[]).await.expect("opens");
    hospital.open_maker("halden", &["VP-3"]).await.expect("a maker");
    let image = folder.path().join("new.img");
    std::fs::write(&image, vec![7; 10_000]).expect("writes");
    hospital.release(&Release::pump(&image)).await.expect("a release");

    let uri = token.setting().replacen("token=dev", "token=dev;object=orders-ines", 1);
    let card = folder.path().join("ines").display().to_string();
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let made = cordonctl(&token, &["keys", "generate", "--token", &uri, "--out", &card]);
    assert!(made.status.success(), "{}", said(&made));
    assert!(!Path::new(&card).exists(), "no private half on disk");
    let other = format!("{card}-2");
    let taken = cordonctl(&token, &["keys", "generate", "--token", &uri, "--out", &other]);
    assert!(said(&taken).contains("holds a key orders-ines already"), "{}", said(&taken));

    let [director, maker] =
        ["director", "halden"].map(|name| hospital.folder().join(name).display().to_string());
    let [second, targets1, targets2] = ["orders-2", "targets-1", "targets-2"].map(|name| hospital.key(name));
    let public = format!("{card}.pub");
    let mut delegate = vec!["repo", "delegate", "--repository", &director, "--role", "orders"];
    delegate.extend(["--role-key", &public, "--role-key", &second, "--key", &targets1, "--key", &targets2]);
    hospital.ctl(&delegate).await.expect("is named");
    let list = folder.path().join("list.tsv").display().to_string();
    std::fs::write(&list, "Halden\tVP-3\tVP3-1\n").expect("writes");
    let head = ["order", "sign", "--director", &director, "--image", &maker, "--scope-list", &list];
    let mut order =
        [&head[..], &["--id", "by-card", "--release", "vp-3/4.2.2", "--repository", "halden"]].concat();
    order.extend(["--expires", "7d", "--window", "always", "--reason", "closes a hole", "--key", &uri]);
    let signed = cordonctl(&token, &order);
    assert!(signed.status.success(), "{}", said(&signed));
    let added = cordonctl(&token, &[&head[..], &["--add", "--key", &second]].concat());
    assert!(added.status.success(), "{}", said(&added));
    hospital.ctl(&["repo", "publish", "--director", &director]).await.expect("the server takes it in");
    let served = hospital.api("/api/v1/repositories/director/1.orders.json").await.expect("is served");
    assert!(served.pointer("/signed/targets/order~1by-card").is_some(), "{served}");

    std::fs::write(folder.path().join("pin"), "0000\n").expect("writes");
    let show = || said(&cordonctl(&token, &["keys", "show", &uri]));
    let wrong = show();
    assert!(wrong.contains("refuses this PIN; it is not tried again"), "{wrong}");
    std::fs::write(folder.path().join("pin"), format!("{PIN}\n")).expect("writes");
    let after = show();
    assert!(after.contains("a wrong PIN was tried"), "not even the right one, unseen: {after}");
}
