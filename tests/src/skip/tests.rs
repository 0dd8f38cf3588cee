//! Shows that a skip is seen although the harness captures output, and that it fails where all is demanded.
//!
//! The test binary is started again as a child, so that its real stderr can be read. Read next: `skip.rs`.

use super::{PROGRAMS, require_file, require_package, require_right};
use crate::program::program;
use std::process::Output;

/// Runs one of the ignored tests below in a child, with no programs on its path.
fn child(name: &str, demand: &str) -> Output {
    let me = std::env::current_exe().expect("a running test has a path");
    let test = format!("skip::tests::{name}");
    let mut command = program(me);
    command.args(["--exact", &test, "--ignored"]).env("PATH", "").env("CORDON_TEST_ALL", demand);
    command.output().expect("the test binary can be started again")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[ignore = "started as a child by the tests below"]
fn asks_for_a_missing_package() {
    assert_eq!(require_package("git"), None);
}

#[test]
#[ignore = "started as a child by the tests below"]
fn asks_for_a_missing_right() {
    assert!(!require_right("to leap", "frog", false));
}

#[test]
fn a_skip_reaches_stderr_through_the_capture_of_the_harness() {
    // Goal: the reason is on the real stderr of a passing test. Method: a child without --nocapture.
    let output = child("asks_for_a_missing_package", "0");
    assert!(output.status.success(), "{}", stdout(&output));
    assert_eq!(stderr(&output), "SKIPPED: git not found (apt-get install git)\n");
    assert!(stdout(&output).contains("1 passed"), "{}", stdout(&output));
}

#[test]
fn a_missing_package_fails_where_everything_is_demanded() {
    // Goal: CI cannot pass with an outside test skipped. Method: the same child with CORDON_TEST_ALL=1.
    let output = child("asks_for_a_missing_package", "1");
    assert!(!output.status.success());
    assert!(stdout(&output).contains("apt-get install git"), "{}", stdout(&output));
    assert_eq!(stderr(&output).lines().find(|line| line.starts_with("SKIPPED")), None);
}

#[test]
fn a_missing_right_stays_a_skip_even_where_everything_is_demanded() {
    // Goal: a kernel that gives no right fails nobody. Method: a child with CORDON_TEST_ALL=1.
    let output = child("asks_for_a_missing_right", "1");
    assert!(output.status.success(), "{}", stdout(&output));
    assert_eq!(stderr(&output), "SKIPPED: frog: needs the right to leap, which this machine does not give\n");
}

#[test]
#[should_panic(expected = "add it with its Debian package")]
fn a_program_without_a_package_is_refused() {
    // Goal: nobody asks for a program that .ci/run would not install. Method: an unknown name.
    require_package("no-such-program");
}

#[test]
fn what_is_there_is_found() {
    // Goal: a present file is returned as it is. Method: the folder of the running system's programs.
    assert_eq!(require_file("/proc/self/exe", "none"), Some("/proc/self/exe".into()));
    assert!(require_right("to stand", "frog", true));
}

#[test]
fn the_gate_installs_every_package_that_a_test_may_ask_for() {
    // Goal: the table and .ci/run agree. Method: the install list of the script, read as text.
    let gate = include_str!("../../../.ci/run");
    let list =
        gate.split("packages=(").nth(1).and_then(|rest| rest.split(')').next()).expect("a package list");
    let installed: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for (program, package) in PROGRAMS {
        assert!(installed.contains(package), "{program}: .ci/run does not install {package}");
    }
}
