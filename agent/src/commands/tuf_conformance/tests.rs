//! Situations of the community's suite as our own tests: the command line against repositories on a loopback port.
//!
//! What the ground decides has its tests there; here is what only the whole program shows: requests, files, exit status.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use cordon_proto::ids::Sha256;
use cordon_proto::time::Timestamp;

use super::*;
use crate::fake::repository::{Contents, Delegation, Repository};

/// Far enough from now on either side, whenever the test runs.
const END: Timestamp = Timestamp(4_000_000_000);
const PAST: Timestamp = Timestamp(1_000_000_000);

/// A mirror by plain HTTP: what it serves, and what it was asked for.
struct Mirror {
    base: String,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Mirror {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("binds");
        let base = format!("http://{}/a%5Bb%5D/", listener.local_addr().expect("is bound"));
        let (files, asked) = (Arc::new(Mutex::new(BTreeMap::<String, Vec<u8>>::new())), Arc::default());
        let (shown, log): (_, Arc<Mutex<Vec<String>>>) = (Arc::clone(&files), Arc::clone(&asked));
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut lines = BufReader::new(stream.try_clone().expect("is a socket")).lines();
                let Some(Ok(line)) = lines.next() else { continue };
                while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                let path =
                    line.split(' ').nth(1).unwrap_or_default().trim_start_matches("/a%5Bb%5D/").to_owned();
                let found = shown.lock().expect("no panic").get(&path).cloned();
                log.lock().expect("no panic").push(path);
                let (status, body) = found.map_or((404, Vec::new()), |body| (200, body));
                let head = format!(
                    "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(&[head.as_bytes(), &body].concat());
            }
        });
        Self { base, files, asked }
    }

    /// A mirror that shows a repository.
    fn of(repository: &Repository) -> Self {
        let mirror = Self::start();
        mirror.show(repository);
        mirror
    }

    fn show(&self, repository: &Repository) {
        *self.files.lock().expect("no panic") = repository.files.clone();
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        self.files.lock().expect("no panic").insert(path.to_owned(), bytes.to_vec());
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().expect("no panic"))
    }
}

fn repository(
    version: u64,
    expires: Timestamp,
    (delegation, targets): (Option<Delegation>, &[(&str, &[u8])]),
) -> Repository {
    let file =
        |bytes: &[u8]| TargetFile::new(u64::try_from(bytes.len()).expect("small"), Sha256::of(bytes), None);
    let targets = targets.iter().map(|(path, bytes)| ((*path).to_owned(), file(bytes))).collect();
    Repository::new(&Contents { seed: 50, version, expires, delegation, targets })
}

fn plain(version: u64) -> Repository {
    repository(version, END, (None, &[("x", b"one")]))
}

/// A client's folders.
struct Rig {
    root: tempfile::TempDir,
}

impl Rig {
    /// A client that was shipped with this repository's root.
    fn new(repository: &Repository) -> Self {
        let rig = Self { root: tempfile::tempdir().expect("a scratch folder") };
        rig.init(repository.root());
        rig
    }

    fn init(&self, root: &[u8]) {
        let file = self.root.path().join("first-root");
        std::fs::write(&file, root).expect("writes");
        self.run(&["init", file.to_str().expect("is UTF-8")]).expect("keeps the root");
    }

    fn path(&self, name: &str) -> String {
        self.root.path().join(name).to_str().expect("is UTF-8").to_owned()
    }

    fn run(&self, words: &[&str]) -> anyhow::Result<()> {
        let metadata = self.path("metadata");
        let line = ["--metadata-dir", &metadata].into_iter().chain(words.iter().copied()).map(OsString::from);
        parse(line.collect())?.execute()
    }

    fn refresh(&self, mirrors: &[&Mirror]) -> anyhow::Result<()> {
        let urls = mirrors.iter().flat_map(|mirror| ["--metadata-url", &mirror.base]);
        self.run(&urls.chain(["refresh"]).collect::<Vec<_>>())
    }

    fn download(&self, mirror: &Mirror, names: &[&str]) -> anyhow::Result<()> {
        let targets = self.path("targets");
        let mut words = vec!["--metadata-url", &mirror.base, "--target-base-url", &mirror.base];
        words.extend(names.iter().flat_map(|name| ["--target-name", name]));
        words.extend(["--target-dir", &targets, "download"]);
        self.run(&words)
    }

    fn kept(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let folder_path = self.root.path().join(folder);
        // All of it: a name may begin with dots.
        let entries =
            std::fs::read_dir(folder_path).expect("lists").map(|entry| entry.expect("lists").file_name());
        let names = entries.map(|name| name.into_string().expect("is UTF-8"));
        let read = |name: &String| std::fs::read(Path::new(&self.path(folder)).join(name)).expect("reads");
        names.map(|name| (name.clone(), read(&name))).collect()
    }
}

fn stored(path: &str, bytes: &[u8]) -> String {
    TargetFile::new(0, Sha256::of(bytes), None).stored_path(path, true)
}

#[test]
fn a_refresh_asks_in_order_for_what_it_lacks_and_keeps_the_bytes_received() {
    // Goal: requests and files are those of the standard. Method: first, unchanged, and next version; a space at the end.
    let mirror = Mirror::of(&plain(1));
    let rig = Rig::new(&plain(1));
    assert!(mirror.asked().is_empty(), "init asks nobody");
    let timestamp = [plain(1).files["timestamp.json"].as_slice(), b" \n"].concat();
    mirror.put("timestamp.json", &timestamp);
    rig.refresh(&[&mirror]).expect("is believed");
    assert_eq!(mirror.asked(), ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]);
    let kept = rig.kept("metadata");
    assert_eq!(
        kept.keys().collect::<Vec<_>>(),
        ["root.json", "snapshot.json", "targets.json", "timestamp.json"]
    );
    assert_eq!(kept["timestamp.json"], timestamp);
    rig.refresh(&[&mirror]).expect("is believed");
    assert_eq!(mirror.asked(), ["2.root.json", "timestamp.json"]);
    mirror.show(&plain(2));
    rig.refresh(&[&mirror]).expect("is believed");
    assert_eq!(mirror.asked(), ["2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"]);
}

#[test]
fn an_unusable_first_root_makes_no_request() {
    // Goal: no traffic on behalf of nobody. Method: an unsigned root, one of another kind, and none.
    let mirror = Mirror::of(&plain(1));
    for root in [&b"{}"[..], &plain(1).files["timestamp.json"], b"{\"signatures\":[],\"signed\":{}}"] {
        let rig = Rig::new(&plain(1));
        rig.init(root);
        assert!(rig.refresh(&[&mirror]).is_err());
    }
    let rig = Rig { root: tempfile::tempdir().expect("a scratch folder") };
    assert!(rig.refresh(&[&mirror]).is_err());
    assert!(mirror.asked().is_empty());
}

#[test]
fn what_is_missing_expired_older_or_mixed_fails_the_refresh_and_what_was_proved_stays() {
    // Goal: exit 1 and a good trust store. Method: each fault after version 2; then version 3 is taken.
    let mirror = Mirror::of(&plain(2));
    let rig = Rig::new(&plain(2));
    rig.refresh(&[&mirror]).expect("is believed");
    let before = rig.kept("metadata");
    for missing in ["timestamp.json", "3.snapshot.json", "3.targets.json"] {
        mirror.show(&plain(3));
        mirror.files.lock().expect("no panic").remove(missing);
        let fresh = Rig::new(&plain(2));
        assert!(fresh.refresh(&[&mirror]).is_err(), "{missing}");
    }
    mirror.show(&plain(1));
    assert!(rig.refresh(&[&mirror]).is_err(), "a rollback");
    mirror.show(&repository(3, PAST, (None, &[])));
    assert!(rig.refresh(&[&mirror]).is_err(), "expired");
    mirror.show(&plain(2));
    mirror.put("timestamp.json", &plain(3).files["timestamp.json"]);
    mirror.put("3.snapshot.json", &plain(2).files["2.snapshot.json"]);
    let mixed = Rig::new(&plain(2));
    assert!(mixed.refresh(&[&mirror]).is_err(), "another snapshot than the timestamp names");
    assert_eq!(rig.kept("metadata"), before);
    mirror.show(&plain(3));
    rig.refresh(&[&mirror]).expect("is believed");
}

#[test]
fn files_come_by_their_hash_are_checked_and_are_not_fetched_twice() {
    // Goal: the whole way of a file. Method: two files, one in a folder; again; changed; forged; not listed.
    let first = repository(1, END, (None, &[("x", b"one"), ("dir/sub/y z", b"two")]));
    let mirror = Mirror::of(&first);
    let rig = Rig::new(&first);
    let folded = stored("dir/sub/y z", b"two").replace(' ', "%20");
    mirror.put(&stored("x", b"one"), b"one");
    mirror.put(&folded, b"two");
    rig.download(&mirror, &["x", "dir/sub/y z"]).expect("both come");
    assert_eq!(mirror.asked().split_off(4), [stored("x", b"one"), folded.clone()]);
    let kept = rig.kept("targets");
    assert_eq!(
        kept,
        BTreeMap::from([
            ("x".to_owned(), b"one".to_vec()),
            ("dir%2Fsub%2Fy%20z".to_owned(), b"two".to_vec())
        ])
    );
    rig.download(&mirror, &["x", "dir/sub/y z"]).expect("both are there");
    assert_eq!(mirror.asked(), ["2.root.json", "timestamp.json"]);
    mirror.show(&repository(2, END, (None, &[("x", b"new"), ("later", b"3")])));
    mirror.put(&stored("x", b"new"), b"NEW");
    assert!(rig.download(&mirror, &["x", "later"]).is_err(), "other bytes of the same length");
    assert_eq!(rig.kept("targets")["x"], b"one");
    mirror.put(&stored("x", b"new"), b"new and more");
    assert!(rig.download(&mirror, &["x"]).is_err(), "more bytes than listed");
    mirror.put(&stored("x", b"new"), b"new");
    mirror.put(&stored("later", b"3"), b"3");
    assert!(rig.download(&mirror, &["x", "lost", "later"]).is_err(), "nobody lists `lost`");
    let kept = rig.kept("targets");
    assert_eq!(
        (kept["x"].as_slice(), kept.contains_key("later")),
        (&b"new"[..], false),
        "it stops at the first failure"
    );
}

#[test]
fn odd_role_and_target_names_leave_neither_folder_nor_url() {
    // Goal: a name is never a path. Method: the suite's role names, and targets that point upwards.
    for (role, encoded) in [("?", "%3F"), ("#", "%23"), ("/role", "%2Frole"), ("../role", "..%2Frole")] {
        let odd = repository(1, END, (Some((role, "*")), &[("x", b"one")]));
        let mirror = Mirror::start();
        let rename = |name: &String| name.replace(&format!("1.{role}.json"), &format!("1.{encoded}.json"));
        *mirror.files.lock().expect("no panic") =
            odd.files.iter().map(|(name, bytes)| (rename(name), bytes.clone())).collect();
        mirror.put(&stored("x", b"one"), b"one");
        let rig = Rig::new(&odd);
        rig.download(&mirror, &["x"]).expect("comes");
        assert!(mirror.asked().contains(&format!("1.{encoded}.json")), "{role}");
        assert_eq!(rig.kept("metadata").len(), 5, "{role}");
    }
    for path in ["../x", "a/../../x", "a//x", "/x"] {
        let odd = repository(1, END, (None, &[(path, b"one")]));
        let mirror = Mirror::of(&odd);
        let rig = Rig::new(&odd);
        mirror.put(&stored(path, b"one"), b"one");
        assert!(rig.download(&mirror, &[path]).is_err(), "{path}");
        assert_eq!(mirror.asked().len(), 4, "{path}: metadata alone");
    }
}

#[test]
fn mirrors_that_are_down_old_or_lying_only_cost_time() {
    // Goal: one good mirror is enough, for metadata and for files. Method: three bad ones before it.
    let (old, new) = (plain(1), repository(2, END, (None, &[("x", b"new")])));
    let nobody =
        Mirror { base: "http://127.0.0.1:1/".to_owned(), files: Arc::default(), asked: Arc::default() };
    let (stale, lying, good) = (Mirror::of(&old), Mirror::of(&new), Mirror::of(&new));
    lying.put("2.snapshot.json", &old.files["1.snapshot.json"]);
    let rig = Rig::new(&old);
    rig.refresh(&[&good]).expect("is believed");
    let fresh = Rig::new(&old);
    for bad in [&[&nobody][..], &[&lying], &[&nobody, &lying]] {
        assert!(fresh.refresh(bad).is_err());
    }
    assert!(rig.refresh(&[&stale, &nobody]).is_err(), "what is older than what is known");
    rig.refresh(&[&nobody, &stale, &lying, &good]).expect("is believed");
    fresh.refresh(&[&nobody, &lying, &good]).expect("is believed");
    assert_eq!(fresh.kept("metadata")["targets.json"], new.files["2.targets.json"]);
    let targets = rig.path("targets");
    lying.put(&stored("x", b"new"), b"NEW");
    good.put(&stored("x", b"new"), b"new");
    let bases: Vec<&str> = [&nobody, &stale, &lying, &good]
        .into_iter()
        .flat_map(|mirror| ["--target-base-url", &mirror.base])
        .collect();
    let rest = ["--metadata-url", &good.base, "--target-name", "x", "--target-dir", &targets, "download"];
    rig.run(&[bases.as_slice(), &rest].concat()).expect("comes from the good one");
    assert_eq!(rig.kept("targets")["x"], b"new");
}

#[test]
fn every_mistake_ends_with_status_one_and_only_this_machine_is_spoken_to() {
    // Goal: 0 or 1, and plain HTTP nowhere else. Method: wrong lines; addresses beyond loopback.
    let status = |line: &str| {
        let args = line.split_whitespace().map(OsString::from);
        format!("{:?}", super::super::main_with([OsString::from(WORD)].into_iter().chain(args)))
    };
    let failure = format!("{:?}", ExitCode::FAILURE);
    for line in
        ["", "dance", "--dance", "init", "refresh", "--metadata-dir", "--metadata-dir /proc/none refresh"]
    {
        assert_eq!(status(line), failure, "{line}");
    }
    let places = |url: &str| places(vec![url.to_owned()], "--metadata-url").is_ok();
    for good in ["http://127.0.0.1:1/a/", "http://localhost:1", "http://[::1]:9/%20/"] {
        assert!(places(good), "{good}");
    }
    for bad in [
        "https://127.0.0.1/",
        "http://192.0.2.1/",
        "http://example.org/",
        "http://127.0.0.1.example.org/",
        "file:///etc",
        "x",
    ] {
        assert!(!places(bad), "{bad}");
    }
}
