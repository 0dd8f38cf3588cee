//! `cordonctl` end to end: both halves through the command line, in this process.
//!
//! What commands wrote is judged by the devices' own code; the server is a small one of our own that keeps what it is
//! sent. Here stand the desk and its files; the tests are in the files below. Read next: [`owners`].

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cordon_proto::ids::{HardwareId, Sha256};
use cordon_proto::merkle::Tree;
use cordon_proto::time::Timestamp;
use cordon_proto::update::{
    Ask, Ed25519Strict, Effect, Freshness, Refresh, Role, Rules, Search, Sizes, Source, TrustError,
};
use serde_json::Value;

mod assets;
mod audit;
mod bills;
mod bundles;
mod clocks;
mod content;
mod drafts;
mod fetching;
mod findings;
mod handover;
mod importing;
mod intake;
mod makers;
mod matches;
mod meeting;
mod mud;
mod online;
mod owners;
mod planning;
mod printed;
mod reports;
mod risks;
mod rotation;
mod scoring;
mod sealing;
mod shown;
mod versions;
mod watching;

/// A desk: a folder with keys, both repositories and files.
struct Desk {
    folder: tempfile::TempDir,
}

/// What a command gave: status, standard output, standard error.
type Outcome = (u8, String, String);

fn cordonctl(arguments: &[&str]) -> Outcome {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let all = ["cordonctl", "--yes"].iter().chain(arguments);
    let status = crate::run_with(all, &mut out, &mut err);
    (status, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn done(outcome: Outcome) -> String {
    assert_eq!(outcome.0, 0, "{}{}", outcome.1, outcome.2);
    outcome.1
}

fn refused(outcome: Outcome) -> String {
    assert_eq!(outcome.0, 1, "{}{}", outcome.1, outcome.2);
    let problem = outcome.2.lines().last().unwrap_or_default();
    let problem: Value = serde_json::from_str(problem).expect("an RFC 9457 problem on standard error");
    problem["detail"].as_str().expect("a detail").to_owned()
}

fn misused(outcome: Outcome) -> String {
    assert_eq!(outcome.0, 2, "{}{}", outcome.1, outcome.2);
    outcome.2
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        for name in ["root1", "root2", "root3", "targets1", "targets2", "targets3"] {
            desk.key(name);
        }
        for name in ["orders1", "orders2", "content1", "content2", "snapshot", "timestamp"] {
            desk.key(name);
        }
        for name in
            ["iroot1", "iroot2", "itargets1", "itargets2", "model1", "model2", "isnapshot", "itimestamp"]
        {
            desk.key(name);
        }
        desk
    }

    /// With both repositories and two releases of the VP-3: counter 41 and 42, the latter with floor 41.
    fn stocked() -> Self {
        let desk = Self::new();
        done(desk.init_director(&[]));
        done(desk.init_image());
        desk.file("old.img", b"firmware 4.2.1");
        desk.file("new.img", b"firmware 4.2.2");
        done(desk.sign_release("vp-3/4.2.1", "old.img", &["--counter", "41"]));
        done(desk.sign_release(
            "vp-3/4.2.2",
            "new.img",
            &["--counter", "42", "--floor", "41", "--min-from", "30"],
        ));
        desk
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn key(&self, name: &str) {
        done(cordonctl(&["keys", "generate", "--out", &self.path(name)]));
    }

    fn public(&self, name: &str) -> String {
        let shown = done(cordonctl(&["--output", "json", "keys", "show", &self.path(name)]));
        let shown: Value = serde_json::from_str(&shown).unwrap();
        shown[0]["public"].as_str().unwrap().to_owned()
    }

    fn init_director(&self, more: &[&str]) -> Outcome {
        let [out, snapshot, timestamp] =
            [self.path("director"), self.public("snapshot"), self.public("timestamp")];
        let keys =
            ["root", "targets"].map(|role| [1, 2, 3].map(|n| (role, self.path(&format!("{role}{n}")))));
        let staff =
            ["orders", "content"].map(|role| [1, 2].map(|n| (role, self.path(&format!("{role}{n}")))));
        let flags: Vec<_> = keys
            .concat()
            .into_iter()
            .chain(staff.concat())
            .flat_map(|(role, path)| [format!("--{role}-key"), path])
            .collect();
        let mut arguments = vec!["repo", "init", "--director", "--out", &out];
        arguments.extend(flags.iter().map(String::as_str));
        arguments.extend(["--snapshot-key", &snapshot, "--timestamp-key", &timestamp]);
        arguments.extend(more);
        cordonctl(&arguments)
    }

    fn init_image(&self) -> Outcome {
        let out = self.path("image");
        let given = [
            ("--root-key", "iroot1"),
            ("--root-key", "iroot2"),
            ("--targets-key", "itargets1"),
            ("--targets-key", "itargets2"),
            ("--model-key", "model1"),
            ("--model-key", "model2"),
            ("--snapshot-key", "isnapshot"),
            ("--timestamp-key", "itimestamp"),
        ];
        let flags: Vec<_> =
            given.iter().flat_map(|(flag, key)| [(*flag).to_owned(), self.path(key)]).collect();
        let mut arguments =
            vec!["repo", "init", "--image", "--name", "halden", "--model", "VP-3", "--out", &out];
        arguments.extend(flags.iter().map(String::as_str));
        cordonctl(&arguments)
    }

    fn sign_release(&self, name: &str, image: &str, more: &[&str]) -> Outcome {
        let paths =
            ["image", image, "model1", "model2", "isnapshot", "itimestamp"].map(|name| self.path(name));
        let [repository, image, first, second, snapshot, timestamp] = &paths;
        let mut arguments =
            vec!["release", "sign", "--repository", repository, "--release", name, "--image", image];
        arguments.extend(["--model", "VP-3", "--hardware", "C", "--interlock", "application"]);
        arguments.extend([
            "--key",
            first,
            "--key",
            second,
            "--snapshot-key",
            snapshot,
            "--timestamp-key",
            timestamp,
        ]);
        arguments.extend(more);
        cordonctl(&arguments)
    }

    fn order(&self, key: &str, more: &[&str]) -> Outcome {
        let [director, image, key] = [self.path("director"), self.path("image"), self.path(key)];
        let mut arguments = vec!["order", "sign", "--director", &director, "--image", &image, "--key", &key];
        arguments.extend(more);
        cordonctl(&arguments)
    }

    /// The usual new order: the newest release, a night window, a reason.
    fn new_order(&self, id: &str, more: &[&str]) -> Outcome {
        let mut arguments =
            vec!["--id", id, "--release", "vp-3/4.2.2", "--repository", "halden", "--expires", "30d"];
        arguments.extend(["--window", "daily 22:00-05:00", "--reason", "closes a security hole"]);
        arguments.extend(more);
        self.order("orders1", &arguments)
    }

    /// Two waves, with a way back.
    fn waves(&self) -> [String; 4] {
        self.file("wave1.tsv", b"Halden\tVP-3\t1\n");
        self.file("wave2.tsv", b"Halden\tVP-3\t2\nHalden\tVP-3\t3\n");
        ["--scope-list".into(), self.path("wave1.tsv"), "--scope-list".into(), self.path("wave2.tsv")]
    }

    fn two_signers(&self) {
        let waves = self.waves();
        let waves: Vec<_> = waves.iter().map(String::as_str).collect();
        let back = ["--back", "vp-3/4.2.1", "--back-until", "40d"];
        done(self.new_order("vp3-422", &[&waves[..], &back].concat()));
        done(self.order("orders2", &[&["--add"], &waves[..]].concat()));
    }
}

/// The files of a folder, as a device sees them through a server.
struct Files(PathBuf);

impl Source for Files {
    type Error = TrustError;

    fn answer(&mut self, ask: &Ask) -> Result<Option<Vec<u8>>, TrustError> {
        match ask {
            Ask::Stored(_) => Ok(None),
            Ask::Fetch(request) => Ok(std::fs::read(self.0.join(&request.path)).ok()),
        }
    }

    fn apply(&mut self, _: &[Effect], _: &[u8]) -> Result<(), TrustError> {
        Ok(())
    }
}

fn rules(now: Timestamp) -> Rules<'static> {
    Rules { verifier: &Ed25519Strict, now, sizes: Sizes::DEVICE, freshness: Freshness::Own }
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn hardware(serial: &str) -> HardwareId {
    cordon_proto::ids::Hardware {
        manufacturer: "Halden".parse().unwrap(),
        model: "VP-3".parse().unwrap(),
        revision: "C".parse().unwrap(),
        serial: serial.parse().unwrap(),
    }
    .identity()
}
