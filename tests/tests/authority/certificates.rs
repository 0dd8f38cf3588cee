//! What OpenSSL says of our leaves and lists, and issuing keys that are sealed or in a token.
//!
//! Read next: `cordon_server::ca::crl`, `cordon_server::ca::key`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cordon_server::ca::make;
use cordon_sim::caller::Resident;
use cordon_sim::hospital::server::{FIRST, Server};
use cordon_sim::program::program;
use cordon_sim::skip::{require_file, require_package};
use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, sleep};

use super::{Owner, SIM, lay, said};

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
    // Goal: E20, by another judge. Method: a list before, soon after, and behind the end of a quarantine; the list past
    // its own end. How soon is printed; most of it is the start of the judge's programs.
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
        assert!(begun.elapsed() < Duration::from_secs(60), "not on the list");
        sleep(Duration::from_millis(50)).await;
    };
    println!("on the list {:?} after the quarantine", begun.elapsed());
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
    let begun = Instant::now();
    while !judge.list().await.contains("No Revoked Certificates") {
        assert!(begun.elapsed() < Duration::from_secs(60), "still on the list");
        sleep(Duration::from_millis(50)).await;
    }
    assert!(judge.checked(&[], &leaf).0);
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
    std::fs::set_permissions(&identity, std::fs::Permissions::from_mode(0o644)).expect("chmod");
    let open = owner.server.start(&[]).await.expect_err("refused").to_string();
    assert!(open.contains("chmod 600"), "{open}");
    std::fs::remove_file(&identity).expect("removed");
    let none = owner.server.start(&[]).await.expect_err("refused").to_string();
    assert!(none.contains("ca-identity.txt"), "{none}");
}

/// A token `ca` with two keys that cannot be taken out.
fn make_token((soft, tool): (&Path, &Path), module: &str, environment: [(&str, &str); 1]) {
    let run = |what: &Path, arguments: &[&str]| {
        let output = program(what).args(arguments).envs(environment).output().expect("runs");
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    };
    run(soft, &["--init-token", "--free", "--label", "ca", "--pin", "4711", "--so-pin", "0815"]);
    for (label, id) in [("issuing", "01"), ("issuing-2", "02")] {
        let key =
            ["--keypairgen", "--key-type", "EC:prime256v1", "--sensitive", "--label", label, "--id", id];
        run(tool, &[&["--module", module, "-l", "--pin", "4711", "--token-label", "ca"], &key[..]].concat());
    }
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
    std::fs::set_permissions(path("pin"), std::fs::Permissions::from_mode(0o600)).expect("chmod");
    let conf = path("softhsm.conf");
    let environment = [("SOFTHSM2_CONF", conf.as_str())];
    let module = module.to_str().expect("text").to_owned();
    make_token((&soft, &tool), &module, environment);
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
