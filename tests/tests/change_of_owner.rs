//! A pump that is lent, used by its borrower, given back, and, once nobody speaks for its owner, handed on by its maker.
//!
//! Real programs: two owners with a server and a desk each, one maker, and the agent's process with the boot loader
//! around it. Every file step of a change is walked in the agent's own tests. Read next: decision 0010, change of owner.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use cordon_proto::update::release::InterlockClass;
use cordon_sim::demo::boot_loader::Machine;
use cordon_sim::demo::catalogue::{MODELS, Unit};
use cordon_sim::demo::fleet::{self, Factory};
use cordon_sim::demo::until;
use cordon_sim::hospital::{Hospital, Place, Release, Who};
use cordon_sim::program::program;
use serde_json::Value;

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");
const PATIENCE: Duration = Duration::from_secs(180);

/// One pump, its present owner A, and the clinic B that borrows it.
struct Loan {
    a: Hospital,
    b: Hospital,
    unit: Unit,
    home: PathBuf,
    // Last, so that everything in it has ended before it goes.
    folder: tempfile::TempDir,
}

impl Loan {
    async fn built() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = ["device.checkin_s=1"];
        let open = async |name: &str| {
            Hospital::open(Path::new(SIM), &folder.path().join(name), &settings).await.expect("opens")
        };
        let (a, b) = (open("a").await, open("b").await);
        a.open_maker("halden", &["VP-3"]).await.expect("a maker");
        // One maker, whose repository both owners fetch.
        std::os::unix::fs::symlink(a.folder().join("halden"), b.folder().join("halden")).expect("is linked");
        let [model, ..] = MODELS;
        let unit = Unit { model, number: 7, site: "St. Brigid", ward: "4B" };
        let (home, image) = (folder.path().join("device"), b"vp-3 as built\n".repeat(200));
        let factory = Factory {
            release: "vp-3/1.0.0".parse().expect("a path"),
            counter: 100,
            image: &image,
            interlock: InterlockClass::None,
            maker: ("halden", &a.maker_root("halden")),
        };
        fleet::build(&home, &unit, &factory).expect("is built");
        Self { a, b, unit, home, folder }
    }

    /// Runs one command of the agent.
    async fn agent(&self, arguments: &[&str]) -> Output {
        let mut command = program(SIM);
        command.args(["agent", "--config"]).arg(self.home.join("agent.toml")).args(arguments);
        tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("runs")
    }

    async fn done(&self, arguments: &[&str]) -> String {
        let output = self.agent(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    async fn refused(&self, arguments: &[&str]) -> String {
        let output = self.agent(arguments).await;
        assert!(!output.status.success(), "{arguments:?} was not refused");
        said(&output)
    }

    /// A join file of this owner for the pump.
    async fn join(&self, owner: &Hospital) -> String {
        let place = Place { site: "St. Brigid", ward: "4B", kind: "infusion-pump" };
        let line = owner.enrolment("VP-3", &place, Who::Serial(&self.unit.serial())).await.expect("a token");
        let file = owner.folder().join("join");
        std::fs::write(&file, line + "\n").expect("writes");
        file.display().to_string()
    }

    /// The file of the list that names the pump.
    fn list(&self) -> String {
        let file = self.folder.path().join("pumps.tsv");
        std::fs::write(&file, format!("Halden\tVP-3\t{}\n", self.unit.serial())).expect("writes");
        file.display().to_string()
    }

    /// Two people sign a change of owner, with the keys of these names at their own desk.
    async fn signed(&self, (from, to): (&Hospital, &Hospital), by: &[&str], keys: [&str; 2]) -> String {
        // Papers are told apart by the second in which they were signed.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let name = format!("{}-{}.json", keys[0], fastrand::u64(..));
        let (out, list, root) = (from.folder().join(name).display().to_string(), self.list(), root(to));
        for (number, key) in keys.into_iter().enumerate() {
            let key = self.desk_of(from, key);
            let add: &[&str] = if number == 0 { &[] } else { &["--add"] };
            let head =
                ["owner", "hand-over", "--to", &root, "--scope-list", &list, "--out", &out, "--key", &key];
            from.ctl(&[head.as_slice(), by, add].concat()).await.expect("signs");
        }
        out
    }

    /// Keys of the maker lie at A's desk in this test.
    fn desk_of(&self, owner: &Hospital, key: &str) -> String {
        if key.starts_with("halden") { self.a.key(key) } else { owner.key(key) }
    }

    /// Two people of the owner hand the pump over.
    async fn hand_over(&self, from: &Hospital, to: &Hospital) -> String {
        let director = from.folder().join("director").display().to_string();
        self.signed((from, to), &["--director", &director], ["root-1", "root-3"]).await
    }

    /// The loader with the agent at work until the server lists the device as wanted.
    async fn runs(&self, owner: &Hospital, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let machine =
            Machine::new(Path::new(SIM), &["agent"], &self.home.join("agent.toml"), &self.home.join("boot"));
        let work = machine.on();
        let found = until(what, PATIENCE, || async {
            let listed = owner.api("/api/v1/devices").await?;
            let device = listed.pointer("/devices/0").cloned().unwrap_or_default();
            Ok(if wanted(&device) { Ok(device) } else { Err(device.to_string()) })
        });
        let device = found.await.unwrap_or_else(|error| {
            let log = std::fs::read_to_string(self.home.join("agent.log")).unwrap_or_default();
            panic!("{error:#}\nagent: {log}")
        });
        machine.off();
        work.await.expect("no panic").expect("the loader ends");
        device
    }

    async fn status(&self, pointer: &str) -> Value {
        let status: Value = serde_json::from_str(&self.done(&["status", "--json"]).await).expect("a status");
        status.pointer(pointer).cloned().unwrap_or_default()
    }
}

fn root(owner: &Hospital) -> String {
    owner.folder().join("director/1.root.json").display().to_string()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn reports(release: &str) -> impl Fn(&Value) -> bool {
    move |device| {
        let is =
            |pointer: &str, wanted: &str| device.pointer(pointer).and_then(Value::as_str) == Some(wanted);
        let at_rest = is("/update/state", "idle") || is("/update/state", "refused");
        is("/state", "active") && is("/release", release) && at_rest
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pump_is_lent_takes_its_borrowers_update_and_comes_back_and_no_old_paper_moves_it_again() {
    // Goal: decision 0010, change of owner, with the programs that ship. Method: A enrols it; B's papers alone do nothing;
    // two of A's people sign; B enrols it and orders an update that it takes; B gives it back; the loan's paper again.
    let loan = Loan::built().await;
    let (a, b) = (&loan.a, &loan.b);
    let (at_a, at_b) = (loan.join(a).await, loan.join(b).await);
    loan.done(&["enrol", "--with", &at_a]).await;
    loan.runs(a, "A's first report, with A's root", |device| {
        reports("vp-3/1.0.0")(device) && loan.home.join("state/tuf/director/root.json").exists()
    })
    .await;
    assert_eq!(loan.status("/director_root_version").await, 1);

    let refused = loan.refused(&["enrol", "--with", &at_b]).await;
    assert!(refused.contains("obeys another owner") && refused.contains("--hand-over"), "{refused}");
    let refused = loan.refused(&["trust-director", &root(b)]).await;
    assert!(refused.contains("only a signed change of owner replaces it"), "{refused}");
    let forged = loan.hand_over(b, a).await;
    let refused = loan.refused(&["trust-director", &root(b), "--hand-over", &forged]).await;
    assert!(refused.contains("0 of the 2 signatures"), "{refused}");

    let lent = loan.hand_over(a, b).await;
    let director = a.folder().join("director").display().to_string();
    a.ctl(&["owner", "verify", &lent, "--repository", &director, "--to", &root(b)]).await.expect("verifies");
    let done = loan.done(&["trust-director", &root(b), "--hand-over", &lent]).await;
    assert!(done.contains("the server has its farewell") && done.contains("obeys its new owner"), "{done}");
    let known = a.api("/api/v1/devices").await.expect("lists");
    assert_eq!(known.pointer("/devices/0/state"), Some(&"retired".into()), "{known}");
    let again = loan.join(a).await;
    let refused = loan.refused(&["enrol", "--with", &again]).await;
    assert!(refused.contains("obeys another owner"), "{refused}");

    loan.done(&["enrol", "--with", &at_b]).await;
    let image = loan.folder.path().join("vp-3-4.2.2.img");
    std::fs::write(&image, b"vp-3/4.2.2\n".repeat(20_000)).expect("writes");
    let release = Release { interlock: "none", ..Release::pump(&image) };
    a.release(&release).await.expect("a release");
    let halden = b.folder().join("halden").display().to_string();
    b.ctl(&["repo", "publish", "--image", &halden, "--name", "halden"]).await.expect("B imports it");
    b.order("vp3-422", &release, &[loan.list().into()]).await.expect("B orders it");
    let wave = format!("one=vp3-422={}", loan.list());
    let rollout =
        ["rollouts", "create", "--id", "vp3-422", "--title", "lent", "--soak-s", "0", "--wave", &wave];
    b.ctl(&rollout).await.expect("a rollout");
    loan.runs(b, "B's update", reports("vp-3/4.2.2")).await;

    let back = loan.hand_over(b, a).await;
    loan.done(&["trust-director", &root(a), "--hand-over", &back]).await;
    let refused = loan.refused(&["trust-director", &root(b), "--hand-over", &lent]).await;
    assert!(refused.contains("an old one is not taken again"), "{refused}");
    loan.done(&["enrol", "--with", &again]).await;
    loan.runs(a, "the pump is back", reports("vp-3/4.2.2")).await;
    let named = std::fs::read_dir(loan.home.join("state/tuf")).expect("lists").count();
    assert_eq!(named, 3, "A's and B's metadata stand apart, beside the maker's");

    by_the_maker(&loan, &at_b).await;
}

/// A is gone: the maker signs, a person forgets the site at the device.
async fn by_the_maker(loan: &Loan, at_b: &str) {
    let (a, b) = (&loan.a, &loan.b);
    let image = a.folder().join("halden").display().to_string();
    let by = ["--image", &image, "--from-root", &root(a)];
    let paper = loan.signed((a, b), &by, ["halden-root-1", "halden-root-2"]).await;
    let act = ["trust-director", &root(b), "--hand-over", &paper];
    let refused = loan.refused(&act).await;
    assert!(refused.contains("the site must be forgotten first"), "{refused}");
    loan.done(&["forget-site"]).await;
    if !rustix::process::geteuid().is_root() {
        let refused = loan.refused(&act).await;
        assert!(refused.contains("only root on this machine"), "{refused}");
        return;
    }
    let done = loan.done(&act).await;
    assert!(done.contains("obeys its new owner"), "{done}");
    let refused = loan.refused(&["enrol", "--with", at_b]).await;
    assert!(!refused.contains("obeys another owner"), "only its token is used up: {refused}");
}
