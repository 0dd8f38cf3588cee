//! A person's yes in the console, from the page to the device: real server process, real forms, real agent process.
//!
//! A pump that was reset comes back with a new key and waits; a person compares the fingerprint, fills in the console's
//! own form, and the very process that waited goes on with its certificate and reports. Read next:
//! `cordon_sim::browser`, `cordon_server_core::approval`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use cordon_server::ui::paths::encode;
use cordon_sim::browser::Browser;
use cordon_sim::demo::until;
use cordon_sim::hospital::{Hospital, Place, Who};
use cordon_sim::program::program;
use serde_json::Value;

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");
const SERIAL: &str = "VP3-1";
const REASON: &str = "reset by service, key read off its screen";
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(240);

/// A device: a folder, and the agent's process in it. A reset leaves nothing of it but the serial.
struct Machine {
    folder: PathBuf,
}

impl Machine {
    async fn new(hospital: &Hospital, folder: &Path) -> Self {
        std::fs::create_dir(folder).expect("makes the folder");
        let config = format!(
            "state = \"state\"\nhardware = {{ manufacturer = \"Halden\", model = \"VP-3\", revision = \"C\", \
             serial = \"{SERIAL}\" }}\n"
        );
        std::fs::write(folder.join("agent.toml"), config).expect("writes");
        let place = Place { site: "St. Anna", ward: "ICU 2", kind: "infusion-pump" };
        let line = hospital.enrolment("VP-3", &place, Who::Serial(SERIAL)).await.expect("a token");
        std::fs::write(folder.join("join"), format!("{line}\n")).expect("writes");
        Self { folder: folder.to_owned() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(SIM);
        command.args(["agent", "--config"]).arg(self.folder.join("agent.toml")).args(arguments);
        command.current_dir(&self.folder).stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
        command
    }

    async fn ended(child: Child) -> Output {
        let run = tokio::task::spawn_blocking(move || child.wait_with_output());
        tokio::time::timeout(PATIENCE, run).await.expect("ends in time").expect("no panic").expect("runs")
    }

    async fn agent(&self, arguments: &[&str]) -> Output {
        let done = Self::ended(self.command(arguments).spawn().expect("starts")).await;
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        done
    }

    async fn status(&self) -> Value {
        serde_json::from_slice(&self.agent(&["status", "--json"]).await.stdout).expect("a status")
    }
}

fn at<'a>(value: &'a Value, place: &str) -> &'a str {
    value.pointer(place).and_then(Value::as_str).unwrap_or_else(|| panic!("no {place} in {value}"))
}

/// The key that waits at the server: device and fingerprint.
async fn waiting(hospital: &Hospital) -> (String, String) {
    let asked = until("a key to wait", PATIENCE, async || {
        let list = hospital.api("/api/v1/approvals").await?;
        Ok(match list.pointer("/approvals/0") {
            Some(view) => Ok((at(view, "/device").to_owned(), at(view, "/fingerprint").to_owned())),
            None => Err("nobody waits".to_owned()),
        })
    });
    asked.await.expect("waits")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_waits_gets_its_certificate_by_a_yes_in_the_console_and_reports() {
    // Goal: the whole way of an approval. Method: a pump enrols, is reset and asks with another key; its process waits
    // while a person answers the console's form, first without its proof; then both sides are compared.
    let folder = tempfile::tempdir().expect("a folder");
    let settings = ["device.checkin_s=1", "enrolment.approval_retry_s=1"];
    let mut hospital = Hospital::open(Path::new(SIM), folder.path(), &settings).await.expect("opens");
    let former = Machine::new(&hospital, &folder.path().join("before")).await;
    former.agent(&["enrol", "--with", "join"]).await;
    former.agent(&["run", "--once"]).await;

    let machine = Machine::new(&hospital, &folder.path().join("after")).await;
    let waits = machine.command(&["enrol", "--with", "join", "--wait", "200"]).spawn().expect("starts");
    let (device, key) = waiting(&hospital).await;

    let link = hospital.sign_in_link().expect("a link");
    let browser = Browser::sign_in(hospital.ready().operator, &link).await.expect("signs in");
    let list = browser.get("/approvals").await.expect("a page");
    assert!(list.text.contains("Would replace the key of a living identity"), "{}", list.text);
    let question = format!("/approvals/approve?key={}", encode(&format!("{device}:{key}")));
    let question = browser.get(&question).await.expect("a page");
    let form = question.form("/approvals/approve").expect("a form");
    assert_eq!(form.value("device"), Some(format!("{device}:{key}").as_str()));
    let form = form.with("reason", REASON).with("ward", "Elsewhere");
    let forged = browser.send(&form.clone().without("csrf")).await.expect("an answer");
    assert_eq!((forged.status, forged.location), (403, None));
    assert_eq!(
        waiting(&hospital).await,
        (device.clone(), key.clone()),
        "a form without its proof says nothing"
    );
    let done = browser.send(&form).await.expect("an answer");
    assert_eq!((done.status, done.location.as_deref()), (303, Some("/approvals")), "{}", done.text);
    let list = browser.get("/approvals").await.expect("a page");
    assert!(list.text.contains("1 key approved"), "{}", list.text);

    let enrolled = Machine::ended(waits).await;
    let (told, said) = (String::from_utf8_lossy(&enrolled.stdout), String::from_utf8_lossy(&enrolled.stderr));
    assert!(enrolled.status.success() && told.contains(&format!("enrolled as {device}")), "{told}{said}");
    assert!(said.contains(&key), "the device showed the fingerprint that was compared: {said}");
    machine.agent(&["run", "--once"]).await;
    let status = machine.status().await;
    assert_eq!(at(&status, "/identity/id"), device);

    let history = hospital.api(&format!("/api/v1/devices/{device}/history")).await.expect("a history");
    let certificates = history.pointer("/certificates").and_then(Value::as_array).expect("certificates");
    let standing: Vec<_> =
        certificates.iter().map(|one| (at(one, "/standing"), at(one, "/key") == key)).collect();
    assert_eq!(standing, [("in-force", true), ("replaced", false)], "it reported with it: {history}");
    let entries = history.pointer("/entries").and_then(Value::as_array).expect("entries");
    let yes = entries.iter().find(|entry| at(entry, "/action") == "device.approve").expect("an entry");
    assert_eq!((at(yes, "/actor"), at(yes, "/reason")), ("person:admin", REASON));
    let shown = hospital.api(&format!("/api/v1/devices/{device}")).await.expect("a device");
    assert_eq!(at(&shown, "/ward"), "ICU 2", "a yes moves nobody");
    hospital.stop().await.expect("drains");
}
