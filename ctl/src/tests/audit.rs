//! The audit log on a workstation: heads that are kept, exports, and the check on files alone.

use cordon_proto::audit::SignedHead;
use cordon_proto::canonical::fields::encode_hex;
use cordon_proto::update::key::PublicKey;
use cordon_server_core::audit::export::hashes_line;
use cordon_server_core::audit::seal;
use cordon_server_core::audit::tile::Edge;
use cordon_server_core::audit::{Actor, Entry, Recorded};
use ed25519_dalek::{Signer, SigningKey};

use super::online::server;
use super::*;

/// A log of `count` entries as its server would serve it, sealed at each tenth entry.
struct Log {
    tree: Tree,
    entries: Vec<String>,
    heads: Vec<SignedHead>,
}

impl Log {
    fn of(count: u64, seed: u8, odd: u64) -> Self {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let (mut edge, mut tree, mut entries, mut heads) = (Edge::default(), Tree::new(), vec![], vec![]);
        for sequence in 1..=count {
            let object = if sequence == odd { "device:odd" } else { "device:x" };
            let entry = Entry::new("device.quarantine".parse().unwrap(), object.parse().unwrap());
            let actor = Actor::Server("tests".parse().unwrap());
            let bytes = Recorded { sequence, at: Timestamp(5), actor, entry }.to_bytes();
            seal::extend(&mut edge, [(sequence, bytes.as_slice())]).unwrap();
            tree.push_data(&bytes);
            entries.push(String::from_utf8(bytes).unwrap());
            if sequence % 10 == 0 {
                let head = seal::head(&edge, key.verifying_key().to_bytes(), Timestamp(1_800_000_000));
                let signature = key.sign(&head.signed_bytes()).to_bytes();
                heads.push(SignedHead::new(head, signature).unwrap());
            }
        }
        Self { tree, entries, heads }
    }

    /// Its answers from now on, with a proof from each of its sizes.
    fn serve(&self, stored: &server::Stored) {
        let newest = self.heads.last().unwrap();
        let size = newest.size();
        let leaves: Vec<_> = (0..size).map(|index| self.tree.leaf(index).unwrap()).collect();
        let hashes = String::from_utf8(hashes_line(1, &leaves)).unwrap();
        let heads: String = self.heads.iter().map(|head| text(head) + "\n").collect();
        let mut stored = stored.lock().unwrap();
        let mut answer = |path: String, body: String| {
            stored.insert(format!("/api/v1/audit/{path}"), body.into_bytes());
        };
        answer("head".to_owned(), text(newest));
        answer("heads?after=0".to_owned(), heads);
        answer(format!("export?after=0&size={size}"), self.entries.join("\n") + "\n" + &hashes);
        for from in 1..size {
            let path = self.tree.consistency(from).unwrap().path;
            let path: Vec<String> = path.iter().map(|hash| encode_hex(hash)).collect();
            answer(
                format!("proof/consistency?from={from}&to={size}"),
                serde_json::json!({ "path": path }).to_string(),
            );
        }
    }
}

fn text(head: &SignedHead) -> String {
    String::from_utf8(head.to_bytes()).unwrap()
}

impl Desk {
    fn bare() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn verify(&self, more: &[&str]) -> Outcome {
        let [export, head] = [self.path("audit.jsonl"), self.path("head.json")];
        cordonctl(&[&["audit", "verify", "--export", &export, "--head", &head], more].concat())
    }
}

#[test]
fn an_export_is_checked_on_files_alone_and_what_was_done_to_it_is_named() {
    // Goal: the auditor's whole way. Method: keep a head, export, verify; then edit, drop, reorder, truncate the file;
    // another log's export; a wrong key; a missing flag.
    let desk = Desk::bare();
    let (address, stored) = server::start("");
    Log::of(40, 1, 0).serve(&stored);
    let [head, export] = [desk.path("head.json"), desk.path("audit.jsonl")];
    done(desk.online(&address, &["audit", "head", "--out", &head]));
    let log = Log::of(60, 1, 0);
    log.serve(&stored);
    assert!(
        done(desk.online(&address, &["audit", "export", "--out", &export]))
            .contains("60 entries under 6 heads")
    );
    let said = done(desk.verify(&[]));
    assert!(
        said.contains("all 60 entries are as they were sealed") && said.contains("40 entries, root"),
        "{said}"
    );
    let json: Value = serde_json::from_str(&done(desk.verify(&["--output", "json"]))).unwrap();
    assert_eq!((json["verified"].as_bool(), json["kept"][0]["size"].as_u64()), (Some(true), Some(40)));
    let key = PublicKey::ed25519(log.heads[0].head().log);
    desk.file("audit-key.json", &key.to_value().canonical());
    done(desk.verify(&["--key", &desk.path("audit-key.json")]));
    desk.file("other.hex", encode_hex(&[9; 32]).as_bytes());
    assert!(refused(desk.verify(&["--key", &desk.path("other.hex")])).contains("another log"));
    let whole = std::fs::read_to_string(&export).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let tampered = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        change(&mut lines);
        desk.file("audit.jsonl", (lines.join("\n") + "\n").as_bytes());
        refused(desk.verify(&[]))
    };
    let edit = |lines: &mut Vec<String>| lines[16] = lines[16].replace("device:x", "device:y");
    assert_eq!(tampered(&edit), "entry 17 was changed after it was sealed");
    assert!(tampered(&|lines| drop(lines.remove(16))).starts_with("entry 17 is missing"));
    assert!(tampered(&|lines| lines.swap(16, 20)).starts_with("entry 17 is out of order"));
    assert!(
        tampered(&|lines| drop(lines.drain(30..60))).starts_with("entry 31 and all after it are missing")
    );
    assert!(tampered(&|lines| lines.truncate(30)).starts_with("entry 31 and all after it are missing"));
    assert!(tampered(&|lines| lines[16] = "x".repeat(200_000)).starts_with("entry 17 cannot be read"));
    Log::of(60, 2, 17).serve(&stored);
    done(desk.online(&address, &["audit", "export", "--out", &export]));
    assert!(refused(desk.verify(&[])).contains("signed with another key"), "signed anew with another key");
    Log::of(60, 1, 17).serve(&stored);
    done(desk.online(&address, &["audit", "export", "--out", &export]));
    assert!(refused(desk.verify(&[])).contains("rewrote the log"), "signed anew with the server's own key");
    misused(cordonctl(&["audit", "verify", "--export", &export]));
    desk.file("head.json", b"{}");
    assert!(refused(desk.verify(&[])).contains("head.json"));
}

#[test]
fn a_kept_head_is_replaced_only_by_one_that_continues_its_log() {
    // Goal: a server cannot make a workstation forget. Method: a longer log; then a rewritten one, a shorter one, one
    // of another key; then an export that is not as it was sealed, which is kept as evidence.
    let desk = Desk::bare();
    let (address, stored) = server::start("");
    let head = desk.path("head.json");
    let take = || desk.online(&address, &["audit", "head", "--out", &head]);
    assert!(refused(take()).contains("sealed nothing yet"));
    Log::of(20, 1, 0).serve(&stored);
    done(take());
    done(take());
    Log::of(50, 1, 0).serve(&stored);
    assert!(done(take()).contains("it continues the log of the head that was kept (20 entries"));
    let kept = std::fs::read(&head).unwrap();
    for (log, why) in [
        (Log::of(60, 1, 7), "does not prove"),
        (Log::of(50, 1, 7), "does not prove"),
        (Log::of(40, 1, 0), "shows 40 entries"),
        (Log::of(60, 2, 0), "another key"),
    ] {
        log.serve(&stored);
        let said = refused(take());
        assert!(said.contains(why) && said.contains("audit verify"), "{said}");
        assert_eq!(std::fs::read(&head).unwrap(), kept, "{why}");
    }
    let mut log = Log::of(60, 1, 0);
    log.entries[16] = log.entries[16].replace("device:x", "device:y");
    log.serve(&stored);
    let export = desk.path("audit.jsonl");
    let said = refused(desk.online(&address, &["audit", "export", "--out", &export]));
    assert_eq!(said, "entry 17 was changed after it was sealed");
    assert_eq!(refused(desk.verify(&[])), said, "the file is there");
}
