//! A pack held to heads that were kept: asked for with them, checked when it comes, and again on files alone.

use cordon_proto::audit::{Head, SignedHead};
use cordon_server_core::audit::{Actor, Entry, Recorded};
use cordon_server_core::evidence::{ACTION, Builder, Line, Sealed, tail};
use ed25519_dalek::{Signer, SigningKey};
use rcgen::{CertificateParams, KeyPair};

use super::online::server;
use super::*;

/// The log of a server: two entries, the first of which it may have rewritten, and the export of a pack.
struct Log {
    key: SigningKey,
    tree: Tree,
}

fn entry(sequence: u64, action: &str) -> Recorded {
    let entry = Entry::new(action.parse().unwrap(), "device:x".parse().unwrap());
    let actor = Actor::Server("tests".parse().unwrap());
    Recorded { sequence, at: Timestamp(5), actor, entry }
}

impl Log {
    fn of(seed: u8, first: &str) -> Self {
        let mut tree = Tree::new();
        for recorded in [entry(1, first), entry(2, "device.enrol")] {
            tree.push_data(&recorded.to_bytes());
        }
        Self { key: SigningKey::from_bytes(&[seed; 32]), tree }
    }

    fn head(&self) -> SignedHead {
        let (log, root) = (self.key.verifying_key().to_bytes(), self.tree.root());
        let head = Head { log, size: self.tree.size(), root, at: Timestamp(1_800_000_000) };
        SignedHead::new(head, self.key.sign(&head.signed_bytes()).to_bytes()).unwrap()
    }

    /// A pack of nothing, with this earlier head whether the log goes on from it or not.
    fn pack(mut self, earlier: Option<SignedHead>) -> String {
        let mut builder = Builder::default();
        builder.push(&Line::Header {
            owner: "cordon.example".to_owned(),
            asked: "order:o-1".to_owned(),
            made: Timestamp(6),
            orders: Vec::new(),
        });
        let (mut bytes, seal) = builder.close();
        let mut export = entry(3, ACTION);
        export.entry.after = Some(seal.summary());
        self.tree.push_data(&export.to_bytes());
        let earlier = earlier.map(|head| (head, self.tree.consistency(2).unwrap().path));
        bytes.extend(tail(&Sealed {
            entry: String::from_utf8(export.to_bytes()).unwrap(),
            path: self.tree.inclusion(2).unwrap().path,
            proofs: Vec::new(),
            earlier: earlier.into_iter().collect(),
            head: self.head(),
        }));
        String::from_utf8(bytes).unwrap()
    }
}

#[test]
fn a_pack_is_asked_for_with_the_heads_that_were_kept_and_held_to_them() {
    // Goal: a log that was rewritten since is found out, at once and years later. Method: the server's log goes on from the
    // kept head; it was rewritten and says so by each way it has; it leaves the proof out; another server's log. The file is
    // kept each time and judged again without the server: a pack that is held to its head is judged further.
    let desk = Desk::new();
    let kept = desk.file("head.json", &Log::of(1, "device.revoke").head().to_bytes());
    let authority = CertificateParams::new(Vec::new()).unwrap();
    let authority = authority.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let ca = desk.file("ca.pem", authority.pem().as_bytes());
    let root = desk.file("root.json", b"{}");
    let [kept, ca, root, out] =
        [kept, ca, root, desk.folder.path().join("pack.jsonl")].map(|path| path.display().to_string());
    let asked = |pack: &str| {
        let (address, stored) = server::start(pack);
        let ask = ["evidence", "pack", "--order", "o-1", "--head", &kept, "--out", &out];
        let outcome = desk.online(&address, &ask);
        let body: Value = serde_json::from_slice(&stored.lock().unwrap()["/api/v1/evidence"]).unwrap();
        let line = body["heads"][0].as_str().unwrap().to_owned();
        assert_eq!(SignedHead::parse(line.as_bytes()), Ok(Log::of(1, "device.revoke").head()));
        assert_eq!(std::fs::read_to_string(&out).unwrap(), pack, "it is evidence, whatever it says");
        outcome
    };
    let verify = || {
        let verify = ["--ca", &ca, "evidence", "verify", "--pack", &out, "--director-root", &root];
        refused(cordonctl(&[&verify[..], &["--head", &kept]].concat()))
    };
    let own = || Log::of(1, "device.revoke");
    let told = done(asked(&own().pack(Some(own().head()))));
    assert!(told.contains("held to the kept head: 2 entries") && told.contains("--head FILE"), "{told}");
    assert_eq!(
        verify(),
        "the pack holds no first root of the repository director",
        "its log is not at fault"
    );
    let rewritten = || Log::of(1, "device.enrol");
    for (pack, why) in [
        (rewritten().pack(Some(rewritten().head())), "the audit log was rewritten"),
        (rewritten().pack(Some(own().head())), "does not prove that the audit log goes on"),
        (
            rewritten().pack(None),
            "stands no proof that the audit log goes on from the kept head over 2 entries",
        ),
        (own().pack(None), "ask for the pack anew with that head"),
        (Log::of(2, "device.revoke").pack(None), "sealed by another audit log"),
    ] {
        let said = refused(asked(&pack));
        assert!(said.contains(why), "{said}");
        assert_eq!(verify(), said, "on files alone");
    }
}
