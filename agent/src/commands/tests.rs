//! Tests of the command line: what parses, what is refused, what the local commands leave behind.

use std::path::Path;

use super::*;

fn parsed(line: &str) -> Result<(Sources, Command), String> {
    parse(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
}

#[test]
fn every_command_of_the_contract_parses() {
    // Goal: the fixed names and flags. Method: one line each.
    let lines = [
        ("enrol --with join.txt", Command::Enrol { with: PathBuf::from("join.txt"), wait_s: 300 }),
        ("enrol --with - --wait 0", Command::Enrol { with: PathBuf::from("-"), wait_s: 0 }),
        ("run", Command::Run { once: false }),
        ("run --once", Command::Run { once: true }),
        ("status", Command::Status { json: false }),
        ("status --json", Command::Status { json: true }),
        ("inventory", Command::Inventory { root: PathBuf::from("/") }),
        ("inventory --root /mnt", Command::Inventory { root: PathBuf::from("/mnt") }),
        ("interlock hold", Command::Interlock { free_s: None }),
        ("interlock release", Command::Interlock { free_s: Some(3600) }),
        ("interlock release --for 60", Command::Interlock { free_s: Some(60) }),
        (
            "install-bundle /media/stick --receipts /out --expect-server --wait 5",
            Command::InstallBundle(bundle::Handing {
                receipts: Some(PathBuf::from("/out")),
                expect_server: true,
                wait_s: 5,
                ..bundle::Handing::of(PathBuf::from("/media/stick"))
            }),
        ),
        ("trust-director r.json", Command::TrustDirector { root: PathBuf::from("r.json"), hand_over: None }),
        (
            "trust-director r.json --hand-over h.json",
            Command::TrustDirector {
                root: PathBuf::from("r.json"),
                hand_over: Some(PathBuf::from("h.json")),
            },
        ),
        ("forget-site", Command::ForgetSite),
        ("retire", Command::Retire),
        ("--help", Command::Help),
        ("run --version", Command::Version),
    ];
    for (line, expected) in lines {
        assert_eq!(parsed(line).map(|(_, command)| command), Ok(expected), "{line}");
    }
    let (sources, _) = parsed("--state /s --config /c run").expect("parses");
    assert_eq!((sources.state, sources.config), (Some(PathBuf::from("/s")), Some(PathBuf::from("/c"))));
    let (sources, _) = parsed("run --state /s").expect("parses after the command too");
    assert_eq!(sources.state.as_deref(), Some(Path::new("/s")));
}

#[test]
fn what_is_no_command_is_usage_and_nothing_is_promised_that_does_not_exist() {
    // Goal: exit 2, and no command of a later issue in the help. Method: mistakes, and the text.
    for line in [
        "",
        "enrol",
        "fly",
        "run now",
        "interlock",
        "interlock maybe",
        "run --wait 3",
        "install-bundle",
        "install-bundle /media/stick --once",
        "status --root /",
        "--what",
    ] {
        assert!(parsed(line).is_err(), "{line:?}");
    }
    for later in ["observe", "tuf-conformance"] {
        assert!(!USAGE.contains(later) && parsed(later).is_err(), "{later}");
    }
}

#[test]
fn a_device_that_leaves_forgets_itself_and_keeps_what_never_falls() {
    // Goal: decision 0002, forget-site. Method: a state folder with a file of each kind, then look.
    let root = tempfile::tempdir().expect("a scratch folder");
    let state = root.path().join("state");
    let config = root.path().join("agent.toml");
    let hardware = "hardware = { manufacturer = \"H\", model = \"M\", revision = \"1\", serial = \"S\" }\n";
    std::fs::write(&config, hardware).expect("writes");
    let kept = ["security.a", "security.b", "tuf/director/root.json", "receipts/1.receipt"];
    let gone =
        ["identity/current.json", "identity/0123.p8", "profile.cbor", "spool/0000000001.seg", "status.json"];
    let folder = crate::files::Folder::open(&state).expect("opens");
    for inner in ["tuf", "receipts", "identity", "spool"] {
        folder.inside(inner).expect("opens");
    }
    folder.inside("tuf").and_then(|tuf| tuf.inside("director")).expect("opens");
    for name in kept.iter().chain(&gone) {
        std::fs::write(state.join(name), b"x").expect("writes");
    }
    let args = ["--state", state.to_str().expect("UTF-8"), "--config", config.to_str().expect("UTF-8")];
    let run = |command: &str| main_with(args.iter().copied().chain([command]).map(OsString::from));
    let _held = crate::run::setup::lock(&folder).expect("locks");
    assert_eq!(run("forget-site"), ExitCode::FAILURE, "never under a running agent");
    drop(_held);
    assert_eq!(run("forget-site"), ExitCode::SUCCESS);
    assert!(kept.iter().all(|name| state.join(name).exists()));
    assert!(!gone.iter().any(|name| state.join(name).exists()));
    assert_eq!(run("status"), ExitCode::SUCCESS, "and says of itself that it is nobody");
}

/// Every file and folder below, with its bytes' length and when it was changed last.
fn listing(path: &Path) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
    let mut found = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry.expect("an entry");
            let read = entry.metadata().expect("is there");
            folders.extend(read.is_dir().then(|| entry.path()));
            found.push((entry.path(), read.len(), read.modified().expect("has a time")));
        }
        let read = std::fs::metadata(&folder).expect("is there");
        found.push((folder, 0, read.modified().expect("has a time")));
    }
    found.sort();
    found
}

#[tokio::test]
async fn status_changes_nothing_whatever_stands_on_disk() {
    // Goal: whoever looks leaves no trace. Method: no state at all, an empty one, a device that waits for approval, the
    // same with its request damaged, an enrolled one; every name, length and time before and after.
    use crate::identity::tests::{applicant, join};
    let root = tempfile::tempdir().expect("a scratch folder");
    let state = root.path().join("state");
    let config = join::config(&state);
    let unchanged = |what: &str| {
        let before = listing(root.path());
        let looked = crate::files::Folder::look_at(&state).expect("looks");
        let status = local::current_status(&config, &looked).expect("is told");
        local::status(&config, true).expect("is told");
        assert_eq!(listing(root.path()), before, "{what}");
        status
    };
    assert!(!unchanged("nothing").running);
    let folder = crate::files::Folder::open(&state).expect("opens");
    unchanged("an empty folder");
    let owner = crate::fake::owner::Owner::new();
    owner.books().wait = true;
    let identity = folder.inside("identity").expect("opens");
    crate::identity::enrol(&identity, &owner.string(), &applicant()).await.expect_err("waits");
    assert!(unchanged("it waits").waiting.is_some(), "and the key is named");
    let pending = std::fs::read(identity.path().join("pending.json")).expect("is there");
    std::fs::write(identity.path().join("pending.json"), b"not json").expect("writes");
    assert_eq!(unchanged("damaged").waiting, None);
    std::fs::remove_file(identity.path().join("pending.json")).expect("is there");
    assert_eq!(unchanged("no request").waiting, None);
    std::fs::write(identity.path().join("pending.json"), pending).expect("writes");
    owner.books().wait = false;
    crate::identity::enrol(&identity, &owner.string(), &applicant()).await.expect("enrols");
    assert!(unchanged("enrolled").identity.is_some());
    let _held = crate::run::setup::lock(&folder).expect("locks");
    assert!(unchanged("an agent runs").running);
}

#[test]
fn a_cause_is_told_once() {
    // Goal: one sentence, no echo. Method: an error that names its source, and a context that does not.
    let config = Config::load(&Sources { config: Some(PathBuf::from("/nowhere")), ..Sources::default() });
    let error = anyhow::Error::from(config.expect_err("is not there"));
    assert_eq!(told(&error), "cannot look at /nowhere: No such file or directory (os error 2)");
    assert_eq!(told(&anyhow::anyhow!("why").context("what")), "what: why");
}

#[test]
#[cfg(feature = "observe")]
fn observe_takes_what_the_contract_says_and_refuses_the_rest() {
    // Goal: the fixed flags; a mistake is usage, not a quiet result. Method: everything at once; then each mistake.
    let line = "observe --read a.pcap --device 10.0.0.7 --device 00:1b:44:11:3a:b7 --local 192.0.2.0/24 --learn 7d \
        --profile p --save-profile q --from 2026-01-01T00:00:00Z --until 2026-01-02T00:00:00Z --out -";
    let (_, command) = parsed(line).expect("parses");
    let Command::Observe(request) = command else { panic!("{command:?}") };
    let named = (request.devices.len(), request.local.len(), request.learn);
    assert_eq!(named, (2, 1, Some(cordon_agent_core::watched::Learn::Seconds(604_800))));
    assert_eq!(request.until.zip(request.from).map(|(until, from)| until.seconds_since(from)), Some(86_400));
    for (line, said) in [
        ("observe --read a.pcap", "needs --out"),
        ("observe --out b", "needs --out"),
        ("observe --read a --read-conn b --out c", "either"),
        ("observe --read a --out b --device pump", "hardware address"),
        ("observe --read a --out b --local 10.0.0.0/33", "prefix"),
        ("observe --read a --out b --learn long", "7d"),
        ("observe --read a --out b --from yesterday", "YYYY"),
        ("observe --read a --out b --mood good", "no option --mood"),
    ] {
        let error = parsed(line).expect_err(line);
        assert!(error.contains(said), "{line}: {error}");
    }
}
