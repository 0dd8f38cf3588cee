//! The soak of other machines: the same fractions on other processors.
//!
//! The example `elsewhere` of the server's ground is built for each of them and run under an emulator; this process computes the
//! same cases itself, and every digest must be the same. It asks for rustup's targets and for qemu, and says which one is missing.
//! Read next: `cordon_server_core::elsewhere`.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use cordon_server_core::elsewhere::digests;

use crate::program::program;
use crate::skip::look_up;
use crate::soak::{Outcome, Rounds};
use crate::tidy::tree;

/// Cases of each kind in one round.
const CASES: u64 = 5_000;
/// Seconds that a build may take.
const BUILD_S: &str = "900";

/// A processor of another kind: 32 bits wide, or with other instructions for fractions.
struct Machine {
    name: &'static str,
    target: &'static str,
    emulator: &'static str,
}

const MACHINES: [Machine; 2] = [
    Machine { name: "equal on i686", target: "i686-unknown-linux-musl", emulator: "qemu-i386" },
    Machine { name: "equal on aarch64", target: "aarch64-unknown-linux-musl", emulator: "qemu-aarch64" },
];

/// The programs that print digests, with who runs them.
#[derive(Debug)]
pub struct OtherMachines {
    built: Vec<Built>,
}

#[derive(Debug)]
struct Built {
    name: &'static str,
    emulator: PathBuf,
    program: PathBuf,
}

impl OtherMachines {
    /// Builds the program for every machine.
    ///
    /// # Errors
    /// A target or an emulator is missing, or it does not build.
    pub fn new() -> Result<Self> {
        Ok(Self { built: MACHINES.iter().map(Machine::build).collect::<Result<_>>()? })
    }
}

impl Machine {
    fn build(&self) -> Result<Built> {
        let Self { name, target, emulator } = *self;
        let no_emulator = || format!("no {emulator}: install the package qemu-user");
        let emulator = look_up(emulator).with_context(no_emulator)?;
        let root = tree::root();
        let folder = root.join("target/machines");
        let mut cargo = program("timeout");
        cargo.args([BUILD_S, "cargo", "build", "--quiet", "--locked", "--release"]);
        cargo.args(["--package", "cordon-server-core", "--features", "world", "--example", "elsewhere"]);
        cargo.args(["--target", target]).current_dir(&root).env("CARGO_TARGET_DIR", &folder);
        // The compiler's own linker: it links for every processor, and the example needs no C.
        let linker = format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_"));
        let output = cargo.env(linker, "rust-lld").output().context("cargo cannot be started")?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(!told.contains("target may not be installed"), "no target: rustup target add {target}");
        ensure!(output.status.success(), "{target}: {told}");
        Ok(Built { name, emulator, program: folder.join(target).join("release/examples/elsewhere") })
    }
}

impl Built {
    /// What the program prints of these cases.
    fn digests(&self, first: u64, cases: u64) -> Result<String> {
        let mut run = program(&self.emulator);
        run.arg(&self.program).args([first.to_string(), cases.to_string()]);
        let output =
            run.output().with_context(|| format!("{} cannot be started", self.emulator.display()))?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {} {told}", self.name, output.status);
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// The same as the program prints it, by this machine.
fn here(first: u64, cases: u64) -> String {
    let mut text = String::new();
    for (name, digest) in digests(first..first.saturating_add(cases)) {
        writeln!(text, "{name} {digest}").expect("a string takes everything");
    }
    text
}

/// The kinds of which the digests are not the same.
fn differing<'a>(here: &'a str, there: &str) -> Vec<&'a str> {
    let mut others = there.lines();
    let of = |line: &'a str| (others.next() != Some(line)).then(|| line.split(' ').next().unwrap_or(line));
    here.lines().filter_map(of).collect()
}

impl Rounds for OtherMachines {
    fn title(&self) -> &'static str {
        "what the ground computes with fractions, on processors of other kinds: scores, CVSS, EPSS, health, waves"
    }

    fn play(&mut self, seed: u64) -> Result<Outcome> {
        let first = fastrand::Rng::with_seed(seed).u64(..u64::MAX - CASES);
        let here = here(first, CASES);
        let mut outcome = Outcome { counts: vec![("cases of each kind", CASES)], fault: None };
        for machine in &self.built {
            let differing = differing(&here, &machine.digests(first, CASES)?);
            outcome.counts.push((machine.name, if differing.is_empty() { CASES } else { 0 }));
            if !differing.is_empty() {
                let kinds = differing.join(", ");
                outcome.fault = Some(format!("not {}: {kinds}, from case {first} on", machine.name));
            }
        }
        Ok(outcome)
    }

    fn control(&mut self, _seed: u64) -> Result<String> {
        let here = here(0, 20);
        for machine in &self.built {
            let kinds = differing(&here, &machine.digests(1, 20)?);
            if kinds.len() != here.lines().count() {
                bail!("{}: other cases have the same digests", machine.name);
            }
        }
        Ok(format!("other cases, by {} digests on each machine", here.lines().count()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_that_differs_or_is_missing_is_named() {
        // Goal: no equality by silence. Method: the same, one other, nothing, one line.
        let here = "a 1\nb 2\n";
        assert!(differing(here, "a 1\nb 2\n").is_empty());
        assert_eq!(differing(here, "a 1\nb 3\n"), ["b"]);
        assert_eq!(differing(here, ""), ["a", "b"]);
        assert_eq!(differing(here, "a 1\n"), ["b"]);
    }
}
