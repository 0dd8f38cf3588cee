//! Other keys, other people, later ends: root rotation, delegation, timestamps, and what a folder says of itself.

use super::*;

impl Desk {
    /// Copies a folder, as a stick carries it to the next person.
    fn copy(&self, from: &str, to: &str) -> String {
        let to_path = self.folder.path().join(to);
        std::fs::create_dir_all(&to_path).unwrap();
        for entry in std::fs::read_dir(self.folder.path().join(from)).unwrap() {
            let entry = entry.unwrap();
            if entry.path().is_file() {
                std::fs::copy(entry.path(), to_path.join(entry.file_name())).unwrap();
            }
        }
        self.path(to)
    }

    fn sign_root(&self, folder: &str, file: &str, key: &str) -> Outcome {
        let [folder, key] = [folder, key].map(|name| self.path(name));
        cordonctl(&["repo", "sign", "--repository", &folder, "--file", file, "--key", &key])
    }

    fn rotate(&self, folder: &str, more: &[&str]) -> Outcome {
        let folder = self.path(folder);
        cordonctl(&[&["repo", "rotate", "--repository", &folder], more].concat())
    }

    fn verified(&self, folder: &str) -> Outcome {
        cordonctl(&["repo", "verify", &self.path(folder)])
    }

    fn has(&self, file: &str) -> bool {
        self.folder.path().join(file).exists()
    }
}

#[test]
fn a_rotation_is_signed_by_the_people_of_both_roots_and_by_nobody_else() {
    // Goal: TUF 5.3.4, one person after the other. Method: two new holders for three old ones; the new ones alone, a
    // stranger, a second time; orders go on meanwhile; the devices' own code follows the complete root.
    let desk = Desk::stocked();
    for name in ["next1", "next2"] {
        desk.key(name);
    }
    let [one, two, old] = ["next1.pub", "next2.pub", "root1"].map(|name| desk.path(name));
    let keys = ["--root-key", &one, "--root-key", &two, "--key", &old];
    let (status, out, shown) = desk.rotate("director", &keys);
    assert_eq!(status, 0, "{shown}");
    let [came, went] = ["+ root: the key ed25519 ", "- root: the key ed25519 "];
    assert_eq!((shown.matches(came).count(), shown.matches(went).count()), (2, 3), "{shown}");
    let wanted =
        "1 of 2 signatures from the people of root 1, 0 of 2 signatures from the people of root 2, 2 more";
    assert!(out.contains(wanted), "{out}");
    assert!(!desk.has("director/2.root.json") && desk.has("director/2.root.json.waiting"));
    assert!(refused(desk.rotate("director", &keys)).contains("root 2 waits for signatures"));
    desk.two_signers();
    assert!(done(desk.verified("director")).contains("root 2 waits"));

    let sign = |key: &str| desk.sign_root("director", "2.root.json", key);
    assert!(refused(sign("orders1")).contains("none of the role root"));
    assert!(refused(sign("root1")).contains("already signed"));
    assert!(done(sign("next1")).contains("1 of 2 signatures from the people of root 2"));
    assert!(done(sign("next2")).contains("1 more needed"), "the new people alone are too few");
    assert!(!desk.has("director/2.root.json"));
    let complete = done(sign("root3"));
    assert!(complete.contains("complete") && complete.contains("root SHA-256"), "{complete}");
    assert!(desk.has("director/2.root.json") && !desk.has("director/2.root.json.waiting"));

    let read = |file: &str| std::fs::read(desk.folder.path().join("director").join(file)).unwrap();
    let now = crate::clock::now();
    let mut trusted = cordon_proto::update::Trusted::start(&read("1.root.json"), &rules(now)).unwrap();
    trusted.rotate(&read("2.root.json"), &rules(now)).unwrap();
    assert_eq!(trusted.root().root.keys().len(), 2);
    assert!(done(desk.verified("director")).contains("root: 2 of 2"));
}

#[test]
fn a_rotation_that_another_tool_left_unfinished_takes_the_old_holders_too() {
    // Goal: `repo sign` knows who must sign a 2.root.json. Method: the waiting file under the final name, as other tools
    // write it; old holders and new ones; a gap between versions.
    let desk = Desk::stocked();
    let old = desk.path("root1");
    done(desk.rotate("director", &["--key", &old, "--expires", "300d"]));
    let folder = desk.folder.path().join("director");
    std::fs::rename(folder.join("2.root.json.waiting"), folder.join("2.root.json")).unwrap();
    let complete = done(desk.sign_root("director", "2.root.json", "root2"));
    assert!(complete.contains("2 of 2 signatures from the people of root 1"), "{complete}");
    assert!(complete.contains("complete"), "who stands in both roots counts for both: {complete}");
    let [one, two] = ["root1", "root2"].map(|name| desk.path(name));
    done(desk.rotate("director", &["--key", &one, "--key", &two]));
    done(desk.rotate("director", &["--key", &one]));
    std::fs::remove_file(folder.join("3.root.json")).unwrap();
    assert!(refused(desk.sign_root("director", "4.root.json", "root2")).contains("follows root 3"));
}

#[test]
fn people_who_never_meet_make_a_repository_on_three_sticks() {
    // Goal: a ceremony one after the other. Method: public halves but one; the folder goes through three hands; nothing
    // can be ordered before it is whole.
    let desk = Desk::new();
    let [snapshot, timestamp] = [desk.public("snapshot"), desk.public("timestamp")];
    let out = desk.path("first");
    let mut arguments: Vec<String> =
        ["repo", "init", "--director", "--begin", "--out", &out].map(ToOwned::to_owned).into();
    let halves =
        ["root1", "root2.pub", "root3.pub", "targets1", "targets2.pub", "orders1.pub", "orders2.pub"];
    for half in halves.into_iter().chain(["content1.pub", "content2.pub"]) {
        let role = half.trim_end_matches(".pub").trim_end_matches(['1', '2', '3']);
        arguments.extend([format!("--{role}-key"), desk.path(half)]);
    }
    arguments.extend(["--snapshot-key".into(), snapshot, "--timestamp-key".into(), timestamp]);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    assert!(done(cordonctl(&arguments)).contains("the root waits for signatures"));
    assert!(refused(cordonctl(&arguments)).contains("another folder"), "a ceremony is not begun twice over");
    assert!(refused(desk.verified("first")).contains("holds no root"));

    desk.copy("first", "second");
    assert!(done(desk.sign_root("second", "1.root.json", "root3")).contains("2 of 2 signatures, complete"));
    desk.copy("second", "third");
    assert!(refused(desk.verified("third")).contains("targets 1 is signed by 1 of 2"));
    assert!(
        done(desk.sign_root("third", "1.targets.json", "targets2")).contains("2 of 2 signatures, complete")
    );
    let told = done(desk.verified("third"));
    assert!(told.contains("orders: 2 of 2") && told.contains("root 1 ends at"), "{told}");
}

#[test]
fn a_timestamp_made_anew_goes_on_and_so_do_those_after_it() {
    // Goal: devices refuse a timestamp that falls. Method: two timestamps over one snapshot, then a release; versions as
    // devices read them, with the earlier one as their history.
    let desk = Desk::stocked();
    let folder = desk.folder.path().join("image");
    let version = || json(&folder.join("timestamp.json"))["signed"]["version"].as_u64().unwrap();
    let before = version();
    let [image, key, other] = ["image", "itimestamp", "isnapshot"].map(|name| desk.path(name));
    let again = |key: &str| {
        cordonctl(&["repo", "timestamp", "--repository", &image, "--timestamp-key", key, "--expires", "90d"])
    };
    assert!(refused(again(&other)).contains("none of the role timestamp"));
    for step in 1..=2 {
        done(again(&key));
        assert_eq!(version(), before + step);
    }
    let known = std::fs::read(folder.join("timestamp.json")).unwrap();
    desk.file("third.img", b"firmware 4.2.3");
    done(desk.sign_release("vp-3/4.2.3", "third.img", &["--counter", "43"]));
    assert_eq!(version(), before + 3, "not the snapshot's number, which is lower now");
    let now = crate::clock::now();
    let root = std::fs::read(folder.join("1.root.json")).unwrap();
    let mut trusted = cordon_proto::update::Trusted::start(&root, &rules(now)).unwrap();
    trusted.recall(&known, &rules(now)).unwrap();
    trusted.timestamp(&std::fs::read(folder.join("timestamp.json")).unwrap(), &rules(now)).unwrap();
    assert!(done(desk.verified("image")).contains("3 releases can be read"));
}

#[test]
fn new_people_for_the_orders_read_all_of_them_before_they_are_in_force_again() {
    // Goal: a delegation hands on no signature. Method: orders by two people; two others are named; nothing is published
    // until both have signed with the lists in hand.
    let desk = Desk::stocked();
    desk.two_signers();
    for name in ["next1", "next2"] {
        desk.key(name);
    }
    let before = desk.copy("director", "before");
    let director = desk.path("director");
    let [one, two, first, second] =
        ["next1.pub", "next2.pub", "targets1", "targets2"].map(|name| desk.path(name));
    let mut delegate = vec!["repo", "delegate", "--repository", &director, "--role", "orders"];
    delegate.extend(["--role-key", &one, "--role-key", &two, "--key", &first, "--key", &second]);
    let told = done(cordonctl(&delegate));
    assert!(told.contains("2 of 2 signatures, complete") && told.contains("order sign --renew"), "{told}");
    assert!(refused(desk.verified("director")).contains("orders 1 is signed by 0 of 2"));
    let waves = desk.waves();
    let waves: Vec<_> = waves.iter().map(String::as_str).collect();
    assert!(refused(desk.order("next1", &["--renew"])).contains("no list given"));
    assert!(
        refused(desk.order("orders1", &[&["--renew"], &waves[..]].concat()))
            .contains("none of the role orders")
    );
    let (status, out, shown) = desk.order("next1", &[&["--renew"], &waves[..]].concat());
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("order vp3-422-2") && out.contains("2.orders.json: 1 of 2"), "{out}{shown}");
    assert!(done(desk.order("next2", &[&["--add"], &waves[..]].concat())).contains("complete"));
    assert!(done(desk.verified("director")).contains("2 orders can be read"));
    let changes = done(cordonctl(&["repo", "diff", &before, &director]));
    for line in ["~ targets: version 2, before 1", "~ orders: version 2, before 1"] {
        assert!(changes.lines().any(|found| found == line), "{line} not in {changes}");
    }
    let moved = |sign: &str| changes.lines().filter(|line| line.starts_with(sign)).count();
    assert_eq!((moved("+ orders: the key"), moved("- orders: the key")), (2, 2), "{changes}");
    assert_eq!(done(cordonctl(&["repo", "diff", &director, &director])), "nothing changed\n");
}

#[test]
fn a_document_of_orders_is_signed_anew_for_a_later_end() {
    // Goal: orders end after 90 days at the latest, and may go on. Method: a short document, renewed by two people
    // without lists, because nothing in it is new.
    let desk = Desk::stocked();
    let list = desk.file("one.tsv", b"Halden\tVP-3\t1\n").to_str().unwrap().to_owned();
    done(desk.new_order("o", &["--scope-list", &list, "--document-expires", "40d"]));
    done(desk.order("orders2", &["--add", "--scope-list", &list]));
    let end = |version: u64| {
        let document = json(&desk.folder.path().join(format!("director/{version}.orders.json")));
        document["signed"]["expires"].as_str().unwrap().to_owned()
    };
    done(desk.order("orders1", &["--renew", "--document-expires", "80d"]));
    done(desk.order("orders2", &["--add"]));
    assert!(end(2) > end(1));
    assert!(done(desk.verified("director")).contains("1 orders can be read"));
}

#[test]
fn other_people_for_the_targets_sign_them_anew_and_a_maker_gets_a_new_model() {
    // Goal: a rotation of targets keys can be finished, a maker can begin a model. Method: rotate, renew, delegate, a
    // first release of the new model; a role that nobody knows.
    let desk = Desk::stocked();
    for name in ["next1", "next2"] {
        desk.key(name);
    }
    let [one, two, root1, root2] = ["next1", "next2", "iroot1", "iroot2"].map(|name| desk.path(name));
    let told =
        done(desk.rotate(
            "image",
            &["--targets-key", &one, "--targets-key", &two, "--key", &root1, "--key", &root2],
        ));
    assert!(told.contains("complete") && told.contains("repo delegate --renew"), "{told}");
    assert!(refused(desk.verified("image")).contains("signed by 0 of 2"));
    let [image, model] = ["image", "model1"].map(|name| desk.path(name));
    let delegate = |more: &[&str]| {
        let keys = ["repo", "delegate", "--repository", &image, "--key", &one, "--key", &two];
        cordonctl(&[&keys[..], more].concat())
    };
    done(delegate(&["--renew"]));
    let told = done(delegate(&["--role", "VP-4", "--role-key", &model, "--threshold", "1"]));
    assert!(told.contains("1.vp-4.json: 1 of 1 signatures"), "{told}");
    assert!(misused(delegate(&["--role", "VP-4"])).contains("--role-key"));
    desk.file("four.img", b"firmware of another pump");
    let [snapshot, timestamp, four] = ["isnapshot", "itimestamp", "four.img"].map(|name| desk.path(name));
    let mut sign = vec!["release", "sign", "--repository", &image, "--release", "vp-4/1.0", "--image", &four];
    sign.extend([
        "--model",
        "VP-4",
        "--hardware",
        "A",
        "--interlock",
        "idle",
        "--counter",
        "1",
        "--key",
        &model,
    ]);
    sign.extend(["--snapshot-key", &snapshot, "--timestamp-key", &timestamp]);
    done(cordonctl(&sign));
    assert!(done(desk.verified("image")).contains("3 releases can be read"));
    let director = desk.path("director");
    let [first, second] = ["targets1", "targets2"].map(|name| desk.path(name));
    let mut unknown = vec!["repo", "delegate", "--repository", &director, "--role", "order"];
    unknown.extend(["--role-key", &one, "--threshold", "1", "--key", &first, "--key", &second]);
    assert!(refused(cordonctl(&unknown)).contains("the owner's roles are orders and content"));
}

#[test]
fn new_online_keys_undo_a_timestamp_that_ran_away() {
    // Goal: a stolen timestamp key is healed by a root. Method: the old key counts far ahead; another key by rotation; the
    // next timestamp has a lower number, the old key is refused, and devices are told to forget what they knew.
    let desk = Desk::stocked();
    desk.key("next");
    let folder = desk.folder.path().join("image");
    let [image, snapshot, old, next] =
        ["image", "isnapshot", "itimestamp", "next"].map(|name| desk.path(name));
    for _ in 0..5 {
        done(cordonctl(&["repo", "timestamp", "--repository", &image, "--timestamp-key", &old]));
    }
    let version = || json(&folder.join("timestamp.json"))["signed"]["version"].as_u64().unwrap();
    let ahead = version();
    let [root1, root2] = ["iroot1", "iroot2"].map(|name| desk.path(name));
    let told = done(desk.rotate("image", &["--timestamp-key", &next, "--key", &root1, "--key", &root2]));
    assert!(told.contains("repo snapshot"), "{told}");
    let snapshot_by = |key: &str| {
        let keys = ["--snapshot-key", &snapshot, "--timestamp-key", key];
        cordonctl(&[&["repo", "snapshot", "--repository", &image][..], &keys].concat())
    };
    assert!(refused(snapshot_by(&old)).contains("none of the role timestamp"));
    done(snapshot_by(&next));
    assert!(version() < ahead, "{} after {ahead}", version());
    let read = |file: &str| std::fs::read(folder.join(file)).unwrap();
    let now = crate::clock::now();
    let mut trusted = cordon_proto::update::Trusted::start(&read("1.root.json"), &rules(now)).unwrap();
    let rotation = trusted.rotate(&read("2.root.json"), &rules(now)).unwrap();
    assert_eq!(rotation, cordon_proto::update::trust::Rotation::Forget);
    trusted.timestamp(&read("timestamp.json"), &rules(now)).unwrap();
}
