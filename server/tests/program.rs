//! The program itself, as people run it: init, serve, its ready file, its socket, its refusals, its end.
//!
//! Everything is a process and a file here; what the planes answer is tested beside them.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// How often and how long a test looks again: two minutes in all.
const LOOKS: u32 = 24_000;
const PAUSE: Duration = Duration::from_millis(5);
const LOOPBACK: [&str; 6] = [
    "--set",
    "enrolment.listen=127.0.0.1:0",
    "--set",
    "device.listen=127.0.0.1:0",
    "--set",
    "operator.listen=127.0.0.1:0",
];

#[expect(clippy::disallowed_methods, reason = "the one place of these tests that starts programs")]
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cordon-server"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> Output {
    program(arguments).output().expect("runs")
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn terminate(&self) {
        let pid =
            i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signalled");
    }

    fn ended(&mut self) -> i32 {
        for _ in 0..LOOKS {
            if let Some(status) = self.0.try_wait().expect("asked") {
                return status.code().expect("an exit code");
            }
            std::thread::sleep(PAUSE);
        }
        panic!("the server did not end");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

fn laid(folder: &Path, more: &[&str]) -> String {
    let server = folder.join("server");
    let output = run(&[&["init", "--dir", text(&server)], more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let keys: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the online keys alone");
    assert_eq!(keys.pointer("/timestamp/keytype").and_then(|kind| kind.as_str()), Some("ed25519"));
    text(&server.join("cordon.toml")).to_owned()
}

fn ready(file: &Path) -> serde_json::Value {
    for _ in 0..LOOKS {
        if let Ok(bytes) = fs::read(file) {
            return serde_json::from_slice(&bytes).expect("never half a file");
        }
        std::thread::sleep(PAUSE);
    }
    panic!("the server was not ready in time");
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    answer
}

#[test]
fn a_server_is_laid_serves_and_drains() {
    // Goal: the fixed command line from end to end. Method: init, serve on free ports, ready file, probes, link, SIGTERM.
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    let config = laid(folder.path(), &["--admin-token-file", text(&token)]);
    assert_eq!(fs::metadata(&token).expect("there").permissions().mode() & 0o777, 0o600);
    let file = folder.path().join("ready.json");
    let arguments = [&["serve", "--config", &config, "--ready-file", text(&file)], &LOOPBACK[..]].concat();
    let mut server = Running(program(&arguments).spawn().expect("starts"));
    let ready = ready(&file);
    assert_eq!(ready["pid"], server.0.id());
    let operator = ready["operator"].as_str().expect("an address").to_owned();
    assert!(get(&operator, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(&operator, "/readyz").contains("ready"));
    let metrics = get(&operator, "/metrics");
    assert!(metrics.contains("cordon_devices{state=\"active\"} 0") && metrics.contains("# EOF"));
    let link = run(&["admin", "sign-in-link", "--config", &config]);
    let link = String::from_utf8(link.stdout).expect("text");
    assert!(link.starts_with(&format!("http://{operator}/sign-in/")), "{link}");
    for plane in ["enrolment", "device"] {
        TcpStream::connect(ready[plane].as_str().expect("an address")).expect("listens");
    }
    server.terminate();
    assert_eq!(server.ended(), 0);
    let silent = run(&["admin", "sign-in-link", "--config", &config]);
    assert_eq!(silent.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&silent.stderr).contains("no server answers"));
}

fn refused(config: &str, more: &[&str]) -> String {
    let output = run(&[&["serve", "--config", config], more].concat());
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn a_server_with_an_open_key_file_does_not_start() {
    // Goal: E16 at the server. Method: open each key in turn; the error says what to run.
    let folder = tempfile::tempdir().expect("a folder");
    let config = laid(folder.path(), &[]);
    for key in ["ca/issuing.key.pem", "keys/snapshot.key.pem", "keys/timestamp.key.pem"] {
        let path = folder.path().join("server").join(key);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("opened");
        let words = refused(&config, &LOOPBACK);
        assert!(words.contains("chmod 600") && words.contains(key), "{words}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("closed");
    }
}

#[test]
fn example_keys_do_not_leave_loopback() {
    // Goal: E14. Method: example keys with a public listener, without the switch, and as they were laid.
    let folder = tempfile::tempdir().expect("a folder");
    let config = laid(folder.path(), &["--example-keys"]);
    let words = refused(&config, &[&LOOPBACK[..], &["--set", "device.listen=0.0.0.0:0"]].concat());
    assert!(words.contains("throw-away"), "{words}");
    let words = refused(&config, &[&LOOPBACK[..], &["--set", "allow_example_keys=false"]].concat());
    assert!(words.contains("throw-away"), "{words}");
    let file = folder.path().join("ready.json");
    let arguments = [&["serve", "--config", &config, "--ready-file", text(&file)], &LOOPBACK[..]].concat();
    let mut server = Running(program(&arguments).spawn().expect("starts"));
    ready(&file);
    server.terminate();
    assert_eq!(server.ended(), 0);
    // Own online keys over a store in which the example director is published.
    let own = tempfile::tempdir().expect("a folder");
    laid(own.path(), &[]);
    for key in ["snapshot.key.pem", "timestamp.key.pem"] {
        let key = Path::new("server/keys").join(key);
        fs::copy(own.path().join(&key), folder.path().join(&key)).expect("copied");
    }
    let words = refused(&config, &[&LOOPBACK[..], &["--set", "allow_example_keys=false"]].concat());
    assert!(words.contains("director/1.root.json"), "{words}");
}

#[test]
fn mistakes_on_the_command_line_say_what_to_do() {
    // Goal: exit 2 for usage, 1 for what cannot be done. Method: one of each.
    assert_eq!(run(&["serve"]).status.code(), Some(2));
    assert_eq!(run(&["--version"]).status.code(), Some(0));
    let folder = tempfile::tempdir().expect("a folder");
    let missing = text(&folder.path().join("cordon.toml")).to_owned();
    assert!(refused(&missing, &[]).contains("cordon-server init"));
    let config = laid(folder.path(), &[]);
    assert!(refused(&config, &["--set", "devcie.listen=1"]).contains("devcie"));
    assert!(refused(&config, &["--set", "limits.headers_s=60"]).contains("1 to 5"));
    let again = run(&["init", "--dir", text(&folder.path().join("server"))]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("holds a server already"));
}
