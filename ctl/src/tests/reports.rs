//! A report to a maker: who may sign it, and how the maker reads it back with the owner's first root alone.

use cordon_proto::canonical::Value as Signed;
use cordon_server_core::evidence::Line;

use super::*;
use crate::evidence::people::People;
use crate::key::SecretKey;

impl Desk {
    /// The people by a pack with these files of the owner.
    fn people(&self, files: &[&str]) -> People {
        let line = |file: &&str| {
            let bytes = std::fs::read(self.folder.path().join("director").join(file)).unwrap();
            let repository = "director".parse().unwrap();
            let mut line = Line::File { repository, file: (*file).to_owned(), bytes }.to_bytes();
            line.push(b'\n');
            line
        };
        let pack = self.file("pack.jsonl", &files.iter().flat_map(line).collect::<Vec<_>>());
        let from = crate::evidence::Anchored {
            pack,
            director_root: self.folder.path().join("director/1.root.json"),
            image_root: Vec::new(),
            head: Vec::new(),
            log_key: None,
            scope_list: Vec::new(),
        };
        People::of_pack(&from, &rules(crate::clock::now())).unwrap()
    }

    fn secret(&self, name: &str) -> SecretKey {
        SecretKey::read(&self.folder.path().join(name), false).unwrap()
    }

    fn read_back(&self, report: &[u8], root: &str) -> Outcome {
        let report = self.file("report.json", report);
        let flags = ["--report", report.to_str().unwrap(), "--director-root", root];
        cordonctl(&[&["evidence", "verify-report"], &flags[..]].concat())
    }
}

/// A report as `maker-report` makes it.
fn report() -> Signed {
    let counts = ["confirmed", "refused", "rolled-back", "went-back"].map(|name| (name, Signed::from(2_u64)));
    Signed::object([
        ("_type", "maker-report".into()),
        ("v", 1_u64.into()),
        ("releases", Signed::list(["vp-3/4.2.2"])),
        ("counts", Signed::object(counts)),
        ("fields", Signed::list(["boots"])),
        ("devices", Signed::list([Signed::object([("boots", Signed::from(1_u64))])])),
    ])
}

#[test]
fn a_report_is_signed_by_the_owners_people_and_read_back_by_the_makers() {
    // Goal: a report is somebody's word who may give it. Method: keys of orders, targets and of others; the report read
    // with the owner's first root, with another owner's; a changed byte at every few places; a stranger's signature.
    let desk = Desk::stocked();
    let people = desk.people(&["1.root.json", "1.targets.json"]);
    for name in ["orders1", "orders2", "targets3"] {
        people.speaks(desk.secret(name).public()).unwrap();
    }
    for name in ["root1", "content1", "snapshot", "model1"] {
        let told = people.speaks(desk.secret(name).public()).unwrap_err().to_string();
        assert!(told.contains("no key of the people who sign orders or targets"), "{name}: {told}");
    }
    let root = desk.path("director/1.root.json");
    let made = people.sign(&people.bound(report()), &desk.secret("orders2")).unwrap();
    let told = done(desk.read_back(&made, &root));
    for part in ["who signs orders for this owner", "vp-3/4.2.2", "2 confirmed", "boots, of 1 devices"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let other = Desk::new();
    done(other.init_director(&[]));
    refused(desk.read_back(&made, &other.path("director/1.root.json")));
    for at in (0..made.len()).step_by(7).chain(made.len() - 40..made.len()) {
        let mut bent = made.clone();
        bent[at] ^= 1;
        refused(desk.read_back(&bent, &root));
    }
    assert!(refused(desk.read_back(&[&made[..], b"\n"].concat(), &root)).contains("not in the one form"));
    let text = String::from_utf8(made.clone()).unwrap();
    let more = text.replacen("\"confirmed\":2", "\"confirmed\":9", 1);
    assert!(refused(desk.read_back(more.as_bytes(), &root)).contains("changed after it was signed"));
    let added = text.replacen('{', "{\"note\":1,", 1);
    assert!(refused(desk.read_back(added.as_bytes(), &root)).contains("report does not hold"));
    let strangers = people.sign(&people.bound(report()), &desk.secret("content1")).unwrap();
    assert!(refused(desk.read_back(&strangers, &root)).contains("is none of the people"));
}

#[test]
fn a_report_outlives_a_change_of_roots() {
    // Goal: the maker keeps one root for years. Method: a second root; who signs targets by it signs, and the report is
    // read with the first root; without the second one in the pack the new key is nobody's.
    let desk = Desk::stocked();
    desk.key("next");
    let [director, one, two] = ["director", "root1", "root2"].map(|name| desk.path(name));
    let keys = ["targets1.pub", "targets2.pub", "next.pub"].map(|name| desk.path(name));
    let mut rotate = vec!["repo", "rotate", "--repository", &director, "--key", &one, "--key", &two];
    rotate.extend(keys.iter().flat_map(|key| ["--targets-key", key]));
    done(cordonctl(&rotate));
    let next = desk.secret("next");
    assert!(desk.people(&["1.root.json", "1.targets.json"]).speaks(next.public()).is_err());
    let people = desk.people(&["1.root.json", "2.root.json", "1.targets.json"]);
    people.speaks(next.public()).unwrap();
    assert!(people.speaks(desk.secret("targets3").public()).is_err(), "not one of them any more");
    let made = people.sign(&people.bound(report()), &next).unwrap();
    let told = done(desk.read_back(&made, &desk.path("director/1.root.json")));
    assert!(told.contains("who signs targets for this owner"), "{told}");
}
