//! Orders on their way from signer to signer: nobody's work is lost, and nothing is believed that a server says.

use super::online::server::{self, Stored};
use super::*;

const DRAFTS: &str = "/api/v1/drafts/";

/// What somebody on the server does to a draft.
type Bend = Box<dyn Fn(&mut Value)>;

/// Makes the little server answer a draft as the real one does: the newest state, with a revision. Gives what was asked
/// to be written over.
pub(super) fn relay(stored: &Stored, name: &str) -> Option<String> {
    let mut stored = stored.lock().unwrap();
    let path = format!("{DRAFTS}{name}");
    let asked = stored.keys().find(|key| key.starts_with(&format!("{path}?"))).cloned();
    let body = match &asked {
        Some(asked) => stored.remove(asked).unwrap(),
        None => stored.get(&path).cloned().unwrap(),
    };
    let mut draft: Value = serde_json::from_slice(&body).unwrap();
    draft["revision"] = 7.into();
    stored.insert(path, draft.to_string().into_bytes());
    asked.map(|asked| asked.split_once('?').unwrap().1.to_owned())
}

/// Changes a draft on the server.
fn bend(stored: &Stored, name: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut stored = stored.lock().unwrap();
    let path = format!("{DRAFTS}{name}");
    let before = stored[&path].clone();
    let mut draft: Value = serde_json::from_slice(&before).unwrap();
    change(&mut draft);
    stored.insert(path, draft.to_string().into_bytes());
    before
}

fn replace(value: &mut Value, from: &str, to: &str) {
    let text = value.as_str().unwrap().to_owned();
    assert!(text.contains(from), "{from} not in {text}");
    *value = text.replacen(from, to, 1).into();
}

impl Desk {
    /// A folder of one person, as the owner's folder was when it was copied.
    fn person(&self, name: &str) {
        let to = self.folder.path().join(name);
        std::fs::create_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(self.folder.path().join("director")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }

    /// One person makes an order for one pump and hands it on.
    pub(super) fn hand_on(&self, server: &str, (who, key): (&str, &str), (name, serial): (&str, &str)) {
        let list = self.file(&format!("{name}.tsv"), format!("Halden\tVP-3\t{serial}\n").as_bytes());
        let [director, image, key] = [who, "image", key].map(|name| self.path(name));
        let list = list.to_str().unwrap();
        let mut order = vec!["order", "sign", "--director", &director, "--image", &image, "--key", &key];
        order.extend(["--id", name, "--release", "vp-3/4.2.2", "--repository", "halden", "--expires", "30d"]);
        order.extend(["--window", "always", "--reason", "closes a hole", "--scope-list", list]);
        done(cordonctl(&order));
        let push =
            ["order", "draft", "push", name, "--director", &director, "--scope-list", list, "--by", who];
        assert!(done(self.online(server, &push)).contains("over orders"));
    }

    pub(super) fn sign_draft(&self, server: &str, (who, key): (&str, &str), how: [&str; 2]) -> Outcome {
        let [director, image, key] = [who, "image", key].map(|name| self.path(name));
        let head = ["order", "sign", "--director", &director, "--image", &image, "--key", &key];
        self.online(server, &[&head[..], &how].concat())
    }

    /// What `repo publish` brings to the server: the file as it is in somebody's folder.
    fn brings(&self, stored: &Stored, who: &str, file: &str) {
        let bytes = std::fs::read(self.folder.path().join(who).join(file)).unwrap();
        stored.lock().unwrap().insert(format!("/api/v1/repositories/director/{file}"), bytes);
    }
}

#[test]
fn two_drafts_made_at_once_both_land_and_the_second_is_signed_anew() {
    // Goal: nobody's order is lost. Method: two people over the same orders; the first draft is completed and published;
    // the second one is refused, rebased with its signature void, completed; its document holds both orders.
    let desk = Desk::stocked();
    for who in ["ines", "max"] {
        desk.person(who);
    }
    let (server, stored) = server::start("");
    desk.hand_on(&server, ("ines", "orders1"), ("tuesday", "1"));
    desk.hand_on(&server, ("max", "orders2"), ("monday", "2"));
    for name in ["tuesday", "monday"] {
        relay(&stored, name);
    }

    let (status, out, shown) = desk.sign_draft(&server, ("max", "orders2"), ["--draft", "tuesday"]);
    assert_eq!(status, 0, "{shown}");
    for line in ["made by ines", "adds 1 order of vp-3/4.2.2 for 1 device", "order tuesday", "Halden VP-3 1"]
    {
        assert!(shown.contains(line), "{line} not in {shown}");
    }
    assert!(out.contains("2 of 2 signatures, complete") && out.contains("repo publish"), "{out}");
    assert_eq!(relay(&stored, "tuesday").as_deref(), Some("revision=7"), "over what was read, or not at all");
    assert!(desk.folder.path().join("max/1.orders.json.set-aside").exists(), "max's own document is kept");
    desk.brings(&stored, "max", "1.orders.json");

    let early = refused(desk.sign_draft(&server, ("ines", "orders1"), ["--draft", "monday"]));
    assert!(early.contains("made over orders 0, in force are orders 1"), "{early}");
    let (status, out, shown) = desk.sign_draft(&server, ("ines", "orders1"), ["--rebase", "monday"]);
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("1 SIGNATURES GIVEN SO FAR ARE VOID"), "{shown}");
    assert!(out.contains("2.orders.json: 1 of 2 signatures") && out.contains("signatures are void"), "{out}");
    relay(&stored, "monday");
    let nothing = refused(desk.sign_draft(&server, ("ines", "orders1"), ["--rebase", "monday"]));
    assert!(nothing.contains("which are in force"), "{nothing}");
    let twice = refused(desk.sign_draft(&server, ("ines", "orders1"), ["--draft", "monday"]));
    assert!(twice.contains("already signed"), "one person is not two: {twice}");
    assert!(done(desk.sign_draft(&server, ("max", "orders2"), ["--draft", "monday"])).contains("complete"));
    let document = json(&desk.folder.path().join("max/2.orders.json"));
    let orders: Vec<_> = document["signed"]["targets"].as_object().unwrap().keys().collect();
    assert_eq!(orders, ["order/monday", "order/tuesday"]);
    relay(&stored, "monday");
    let director = desk.path("director");
    desk.brings(&stored, "max", "2.orders.json");
    let pull = |name: &str| desk.online(&server, &["order", "draft", "pull", name, "--director", &director]);
    assert!(refused(pull("monday")).contains("in force are orders 2"), "it is published already");
    assert!(desk.folder.path().join("director/2.orders.json").exists(), "and was brought along");
}

#[test]
fn a_draft_that_was_bent_on_the_server_is_shown_as_bent_and_not_signed() {
    // Goal: a captured server steers no signature. Method: another device in the list, another image in the document,
    // another order in the draft, another base, a list less; the good one passes in between.
    let desk = Desk::stocked();
    for who in ["ines", "max"] {
        desk.person(who);
    }
    let (server, stored) = server::start("");
    desk.hand_on(&server, ("ines", "orders1"), ("tuesday", "1"));
    relay(&stored, "tuesday");
    let sign = || desk.sign_draft(&server, ("max", "orders2"), ["--draft", "tuesday"]);
    let list = |draft: &mut Value, to: &str| draft["lists"]["tuesday"] = to.into();
    let bends: [(&str, Bend); 6] = [
        ("does not make its root", Box::new(move |draft| list(draft, "Halden\tVP-3\t666\n"))),
        ("does not make its root", Box::new(move |draft| list(draft, "Halden\tVP-3\t1\nHalden\tVP-3\t2\n"))),
        ("brings no list", Box::new(|draft| draft["lists"] = serde_json::json!({}))),
        (
            "changed on the way",
            Box::new(|draft| replace(&mut draft["document"], "\"permit_s\":900", "\"permit_s\":null")),
        ),
        (
            "changed on the way",
            Box::new(|draft| replace(&mut draft["draft"], "\"permit_s\":900", "\"permit_s\":901")),
        ),
        ("in force are orders 0", Box::new(|draft| replace(&mut draft["draft"], "\"base\":0", "\"base\":1"))),
    ];
    for (wanted, change) in bends {
        let good = bend(&stored, "tuesday", change);
        let told = refused(sign());
        assert!(told.contains(wanted), "{wanted}: {told}");
        stored.lock().unwrap().insert(format!("{DRAFTS}tuesday"), good);
    }
    assert!(!desk.folder.path().join("max/1.orders.json").exists(), "nothing was signed");
    assert!(done(sign()).contains("complete"));
}

#[test]
fn a_draft_is_carried_to_a_machine_without_a_network_and_signed_there() {
    // Goal: an approver's key may stay offline. Method: pull the document with its lists, sign with `--add`.
    let desk = Desk::stocked();
    for who in ["ines", "max"] {
        desk.person(who);
    }
    let (server, stored) = server::start("");
    desk.hand_on(&server, ("ines", "orders1"), ("tuesday", "1"));
    relay(&stored, "tuesday");
    let [director, lists, image, key] = ["max", "lists", "image", "orders2"].map(|name| desk.path(name));
    let pull = ["order", "draft", "pull", "tuesday", "--director", &director, "--lists", &lists];
    assert!(done(desk.online(&server, &pull)).contains("1 of 2 signatures, 1 more needed"));
    let list = desk.path("lists/tuesday.tsv");
    let mut add = vec!["order", "sign", "--director", &director, "--image", &image, "--key", &key, "--add"];
    add.extend(["--scope-list", &list]);
    assert!(done(cordonctl(&add)).contains("complete"));
    let push = ["order", "draft", "push", "again", "--director", &director, "--by", "max"];
    assert!(refused(desk.online(&server, &push)).contains("no document of orders waits"));
}

#[test]
fn many_orders_of_one_file_are_signed_in_one_session_under_one_summary() {
    // Goal: a night's work is one look and one signature a person. Method: two releases, three lists, a spare order; the
    // summary; the second signer; a file with a mistyped word.
    let desk = Desk::stocked();
    desk.waves();
    desk.file("old.tsv", b"Halden\tVP-3\t7\n");
    let common =
        "repository = \"halden\"\nexpires = \"30d\"\nwindow = [\"daily 22:00-05:00\"]\nreason = \"a hole\"\n";
    let orders = "[[order]]\nid = \"new\"\nrelease = \"vp-3/4.2.2\"\nscope_list = [\"wave1.tsv\", \"wave2.tsv\"]\n\
                  [[order]]\nid = \"old\"\nrelease = \"vp-3/4.2.1\"\nscope_list = [\"old.tsv\"]\nspare = 1\n";
    let plan = desk.file("plan.toml", format!("{common}{orders}").as_bytes()).to_str().unwrap().to_owned();
    let (status, _, shown) = desk.order("orders1", &["--plan", &plan]);
    assert_eq!(status, 0, "{shown}");
    for line in [
        "adds 2 orders of vp-3/4.2.1 for 2 devices",
        "adds 2 orders of vp-3/4.2.2 for 3 devices",
        "order old-spare-1: vp-3/4.2.1",
        "order new-2: vp-3/4.2.2",
    ] {
        assert!(shown.contains(line), "{line} not in {shown}");
    }
    let lists: Vec<_> = ["wave1.tsv", "wave2.tsv", "old.tsv"]
        .iter()
        .flat_map(|name| ["--scope-list".to_owned(), desk.path(name)])
        .collect();
    let lists: Vec<_> = lists.iter().map(String::as_str).collect();
    assert!(done(desk.order("orders2", &[&["--add"], &lists[..]].concat())).contains("complete"));
    let wrong = desk.file("wrong.toml", format!("{common}holiday = 1\n{orders}").as_bytes());
    assert!(misused(desk.order("orders1", &["--plan", wrong.to_str().unwrap()])).contains("`holiday`"));
}
