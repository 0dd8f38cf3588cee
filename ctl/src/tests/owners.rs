//! An owner's side: keys, the ceremony, orders by two people, and every reason not to sign.

use super::*;

#[test]
fn a_generated_key_is_closed_and_never_overwritten() {
    // Goal: keys are safe from the first second. Method: mode, second generate, an opened key.
    let desk = Desk { folder: tempfile::tempdir().unwrap() };
    desk.key("key");
    let path = desk.folder.path().join("key");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(refused(cordonctl(&["keys", "generate", "--out", &desk.path("key")])).contains("exists"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(refused(cordonctl(&["keys", "show", &desk.path("key")])).contains("chmod 600"));
}

#[test]
fn the_ceremony_shows_all_keys_and_makes_a_director_that_devices_verify() {
    // Goal: the table of decision 0002. Method: what is shown, what is written, thresholds, and one role after the other.
    let desk = Desk::new();
    let (status, out, shown) = desk.init_director(&["--output", "json"]);
    assert_eq!(status, 0, "{shown}");
    for line in ["root: 2 of 3", "targets: 2 of 3", "orders: 2 of 2", "content: 2 of 2", "(the server)"] {
        assert!(shown.contains(line), "{line} not in {shown}");
    }
    assert!(!shown.contains("ONE PERSON"));
    let root = std::fs::read(desk.folder.path().join("director/1.root.json")).unwrap();
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["root_sha256"], Sha256::of(&root).to_string());
    assert!(Refresh::start(&root, &rules(Timestamp(0))).is_ok());
    let targets = json(&desk.folder.path().join("director/1.targets.json"));
    assert_eq!(targets["signed"]["targets"], serde_json::json!({}));
    let roles: BTreeMap<_, _> = targets["signed"]["delegations"]["roles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|role| (role["name"].as_str().unwrap(), role["threshold"].as_u64().unwrap()))
        .collect();
    assert_eq!(roles, [("orders", 2), ("content", 2)].into());
    assert!(refused(desk.init_director(&[])).contains("another folder"), "never overwritten");
    desk.online_keys_come_from_the_servers_file();
}

#[test]
fn a_ceremony_without_enough_keys_is_refused() {
    // Goal: no repository that nobody can sign for. Method: one key, one private key, one person's clinic.
    let desk = Desk::new();
    let out = desk.path("small");
    let [root, orders] = [desk.path("root1"), desk.path("orders1")];
    let [snapshot, timestamp] = [desk.public("snapshot"), desk.public("timestamp")];
    let mut arguments =
        vec!["repo", "init", "--director", "--out", &out, "--root-key", &root, "--targets-key", &root];
    arguments.extend(["--orders-key", &orders, "--content-key", &orders]);
    arguments.extend(["--snapshot-key", &snapshot, "--timestamp-key", &timestamp]);
    assert!(misused(cordonctl(&arguments)).contains("cannot reach a threshold of 2"));
    let public = desk.path("root2.pub");
    let mut with_public = arguments.clone();
    with_public.extend(["--root-key", &public, "--targets-threshold", "1", "--orders-threshold", "1"]);
    assert!(refused(cordonctl(&with_public)).contains("root needs 2 private keys to sign, 1 were given"));
    arguments.extend(["--root-threshold", "1", "--targets-threshold", "1", "--orders-threshold", "1"]);
    let (status, _, shown) = cordonctl(&arguments);
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("ONE PERSON ALONE"));
}

#[test]
fn two_people_order_in_waves_and_every_device_can_prove_its_place() {
    // Goal: the whole of an order. Method: the signed document's roots against trees made here; two different keys.
    let desk = Desk::stocked();
    let waves = desk.waves();
    let waves: Vec<_> = waves.iter().map(String::as_str).collect();
    let (status, out, shown) = desk.new_order("vp3-422", &waves);
    assert_eq!(status, 0, "{shown}");
    assert!(out.contains("1 of 2 signatures"));
    for line in
        ["order vp3-422-1", "order vp3-422-2", "Halden VP-3 3", "way back   NONE", "permit     at most 900 s"]
    {
        assert!(shown.contains(line), "{line} not in {shown}");
    }
    let again = desk.order("orders1", &[&["--add"], &waves[..]].concat());
    assert!(refused(again).contains("already signed"), "one person is not two");
    assert!(
        refused(desk.order("content1", &[&["--add"], &waves[..]].concat()))
            .contains("none of the role orders")
    );
    assert!(
        refused(desk.order("orders2", &["--add"])).contains("no list given"),
        "unread lists are not signed"
    );
    assert!(
        refused(desk.order("orders2", &["--add", waves[0], waves[1]])).contains("vp3-422-2: no list given")
    );
    assert!(
        done(desk.order("orders2", &[&["--add"], &waves[..]].concat()))
            .contains("2 of 2 signatures, complete")
    );
    assert!(refused(desk.order("orders2", &["--add"])).contains("no document of orders waits"));
    let document = json(&desk.folder.path().join("director/1.orders.json"));
    let wave = &document["signed"]["targets"]["order/vp3-422-2"]["custom"]["scope"]["set"];
    let mut identities = ["2", "3"].map(|serial| hardware(serial).0);
    identities.sort_unstable();
    let tree: Tree = identities.into_iter().collect();
    assert_eq!(wave["root"], Sha256(tree.root()).to_string());
    for (at, identity) in (0..).zip(&identities) {
        assert!(tree.inclusion(at).unwrap().proves(identity, &tree.root()));
    }
    let [director, image] = [desk.path("director"), desk.path("image")];
    let verified = done(cordonctl(&["order", "verify", "--director", &director, "--image", &image]));
    assert!(verified.contains("not published") && verified.contains("order vp3-422-1"));
}

#[test]
fn orders_that_could_not_be_followed_or_undone_are_not_signed() {
    // Goal: a signature is never a trap. Method: the way back below the floor, equal, unknown; other models; one wave.
    let desk = Desk::stocked();
    desk.waves();
    let list = desk.path("wave1.tsv");
    desk.file("oldest.img", b"firmware 4.2.0");
    done(desk.sign_release("vp-3/4.2.0", "oldest.img", &["--counter", "40"]));
    let with = |more: &[&str]| desk.new_order("o", &[&["--scope-list", &list], more].concat());
    let back = |release: &str| with(&["--back", release, "--back-until", "40d"]);
    assert!(refused(back("vp-3/4.2.0")).contains("below the floor 41"));
    assert!(refused(back("vp-3/4.2.2")).contains("not older"));
    assert!(refused(back("vp-3/4.1.9")).contains("lists no release"));
    assert!(refused(with(&["--document-expires", "20d"])).contains("expires"));
    assert!(misused(with(&["--document-expires", "100d"])).contains("90 days"));
    assert!(misused(with(&["--window", "never"])).contains("no window"));
    let kiosk = desk.file("kiosk.tsv", b"Halden\tK-1\t9\n").to_str().unwrap().to_owned();
    assert!(refused(desk.new_order("o", &["--scope-list", &kiosk])).contains("is no VP-3"));
    let facts = ["--match-model", "VP-3", "--match-hardware", "C", "--from", "30:41"];
    assert!(refused(desk.new_order("o", &facts)).contains("--whole"));
    let other = ["--match-model", "VP-3", "--match-hardware", "D", "--from", "30:41", "--whole"];
    assert!(refused(desk.new_order("o", &other)).contains("no device could follow it"));
    let down = ["--match-model", "VP-3", "--match-hardware", "C", "--from", "42:50", "--whole"];
    assert!(refused(desk.new_order("o", &down)).contains("devices refuse a downgrade"));
    assert!(misused(desk.new_order("o", &[])).contains("for whom?"));
    assert!(!desk.folder.path().join("director/1.orders.json").exists(), "nothing was written");
    let (status, _, shown) = desk.new_order("o", &[&facts[..], &["--whole", "--offline"]].concat());
    assert_eq!(status, 0, "{shown}");
    assert!(
        shown.contains("EVERY VP-3 of hardware C")
            && shown.contains("a halt then reaches only devices that check in")
    );
}

#[test]
fn the_next_document_keeps_live_orders_and_drops_withdrawn_ones() {
    // Goal: one document holds all live orders. Method: a second order, a withdrawal, a version that waits.
    let desk = Desk::stocked();
    desk.two_signers();
    let list = desk.file("third.tsv", b"Halden\tVP-3\t4\n").to_str().unwrap().to_owned();
    assert!(refused(desk.order("orders1", &["--withdraw", "nothing"])).contains("no live order"));
    let third = ["--scope-list", &list, "--withdraw", "vp3-422-2"];
    done(desk.new_order("vp3-422-3", &third));
    assert!(
        refused(desk.new_order("more", &["--scope-list", &list])).contains("waits for another signature")
    );
    let (status, _, shown) = desk.order("orders2", &["--add", "--scope-list", &list]);
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("vp3-422-2 is no longer listed") && !shown.contains("order vp3-422-1:"));
    let document = json(&desk.folder.path().join("director/2.orders.json"));
    let orders: Vec<_> = document["signed"]["targets"].as_object().unwrap().keys().collect();
    assert_eq!(orders, ["order/vp3-422-1", "order/vp3-422-3"]);
    assert!(refused(desk.new_order("vp3-422-1", &["--scope-list", &list])).contains("live already"));
}

#[test]
fn a_tampered_folder_is_not_believed() {
    // Goal: offline verification means something. Method: one digit of the orders, one of the releases.
    let desk = Desk::stocked();
    desk.two_signers();
    let [director, image] = [desk.path("director"), desk.path("image")];
    let verify = || cordonctl(&["order", "verify", "--director", &director, "--image", &image]);
    done(verify());
    let orders = desk.folder.path().join("director/1.orders.json");
    let text = std::fs::read_to_string(&orders).unwrap();
    std::fs::write(&orders, text.replacen("\"permit_s\":900", "\"permit_s\":901", 1)).unwrap();
    assert!(refused(verify()).contains("too few signatures (0)"));
    std::fs::write(&orders, text).unwrap();
    let model = desk.folder.path().join("image/3.vp-3.json");
    let text = std::fs::read_to_string(&model).unwrap();
    std::fs::write(&model, text.replacen("\"counter\":42", "\"counter\":43", 1)).unwrap();
    assert!(refused(verify()).contains("vp-3"));
}

#[test]
fn a_repository_of_example_keys_is_refused_without_the_flag() {
    // Goal: nobody goes live with published keys. Method: the example ceremony with and without the flag.
    let desk = Desk { folder: tempfile::tempdir().unwrap() };
    let keys = desk.path("keys");
    done(cordonctl(&["keys", "example", "--out", &keys]));
    let key = |name: &str| format!("{keys}/{name}.pem");
    let out = desk.path("director");
    let mut flags = vec!["repo".to_owned(), "init".into(), "--director".into(), "--out".into(), out.clone()];
    for (role, count) in [("root", 3), ("targets", 3), ("orders", 2), ("content", 2)] {
        flags.extend(
            (1..=count).flat_map(|n| [format!("--{role}-key"), key(&format!("director-{role}-{n}"))]),
        );
    }
    for role in ["snapshot", "timestamp"] {
        let shown = done(cordonctl(&[
            "--example-keys",
            "--output",
            "json",
            "keys",
            "show",
            &key(&format!("director-{role}")),
        ]));
        let shown: Value = serde_json::from_str(&shown).unwrap();
        flags.extend([format!("--{role}-key"), shown[0]["public"].as_str().unwrap().to_owned()]);
    }
    let arguments: Vec<_> = flags.iter().map(String::as_str).collect();
    assert!(refused(cordonctl(&arguments)).contains("cordonctl keys generate"));
    done(cordonctl(&[&["--example-keys"], &arguments[..]].concat()));
    let [root, file] = [format!("{out}/1.root.json"), desk.path("token")];
    std::fs::write(&file, "t").unwrap();
    let mut create =
        vec!["--server", "http://127.0.0.1:1", "--token-file", &file, "tokens", "create", "--model", "x"];
    create.extend(["--count", "1", "--director-root", &root]);
    assert!(
        refused(cordonctl(&create)).contains("example key"),
        "no device is ever pointed at an example root"
    );
}

#[test]
fn wrong_usage_and_help_have_their_own_status() {
    // Goal: scripts can tell. Method: help, version, an unknown command, a missing argument.
    assert!(done(cordonctl(&["--help"])).contains("rollouts"));
    assert!(done(cordonctl(&["--version"])).starts_with("cordonctl "));
    misused(cordonctl(&["fly"]));
    misused(cordonctl(&["devices", "show", "not-an-id"]));
    assert!(misused(cordonctl(&["devices", "list"])).contains("--server"));
}

impl Desk {
    /// The same ceremony with the file that `cordon-server init` writes names the same online keys.
    fn online_keys_come_from_the_servers_file(&self) {
        let [out, root, orders, file] =
            ["other", "root1", "orders1", "online.json"].map(|name| self.path(name));
        let key = |name: &str| {
            format!(
                r#"{{"keytype":"ed25519","scheme":"ed25519","keyval":{{"public":"{}"}}}}"#,
                self.public(name)
            )
        };
        self.file(
            "online.json",
            format!(r#"{{"snapshot":{},"timestamp":{}}}"#, key("snapshot"), key("timestamp")).as_bytes(),
        );
        let mut arguments = vec!["repo", "init", "--director", "--out", &out, "--online-keys", &file];
        for role in ["root", "targets", "orders", "content"] {
            arguments.extend(match role {
                "root" => ["--root-key", &root, "--root-threshold", "1"],
                "targets" => ["--targets-key", &root, "--targets-threshold", "1"],
                "orders" => ["--orders-key", &orders, "--orders-threshold", "1"],
                _ => ["--content-key", &orders, "--content-threshold", "1"],
            });
        }
        done(cordonctl(&arguments));
        let role = |folder: &str, role: &str| {
            json(&self.folder.path().join(folder).join("1.root.json"))["signed"]["roles"][role].clone()
        };
        for name in ["snapshot", "timestamp"] {
            assert_eq!(role("other", name), role("director", name));
        }
    }
}
