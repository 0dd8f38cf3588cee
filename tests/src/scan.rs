//! Both TLS planes under the eyes of two outside scanners: testssl.sh and sslyze (against Mozilla's `modern` profile).
//!
//! Whatever they find must stand in [`EXPECTED`], with a reason; all of it comes from a private chain of short
//! certificates and from a plane that is no web site. What is expected and no longer found is said, so that the list can
//! shrink. The control is a careless nginx, which must be found out. testssl.sh comes from Debian, sslyze 6.3 by pip.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::bench::handshake::{Manner, Nginx};
use crate::command::Folder;
use crate::hospital::Hospital;
use crate::program::program;
use crate::skip::look_up;
use crate::soak::{Outcome, Rounds};

/// What may be found: plane, scanner, finding, and why.
const EXPECTED: &str = include_str!("scan/expected.txt");

/// The rounds of `soak scan`.
#[derive(Debug)]
pub struct Scans;

/// One thing that a scanner did not like: `SCANNER FINDING`.
type Findings = BTreeSet<String>;

impl Rounds for Scans {
    fn title(&self) -> &'static str {
        "both TLS planes scanned by testssl.sh and sslyze"
    }

    fn play(&mut self, _: u64) -> anyhow::Result<Outcome> {
        let folder = Folder::open(None)?;
        let runtime = tokio::runtime::Runtime::new()?;
        let mut hospital = runtime.block_on(Hospital::open(&std::env::current_exe()?, folder.path(), &[]))?;
        let planes = [("enrolment", hospital.ready().enrolment), ("device", hospital.ready().device)];
        let (mut found, mut unexpected) = (0, Vec::new());
        for (plane, address) in planes {
            let (seen, expected) = (scan(folder.path(), address)?, expected(plane));
            found += seen.len();
            unexpected.extend(seen.difference(&expected).map(|finding| format!("{plane}: {finding}")));
            for gone in expected.difference(&seen) {
                println!("{plane}: {gone} was expected and not found; take it off the list");
            }
        }
        runtime.block_on(hospital.stop())?;
        let counts = vec![
            ("planes scanned", 2),
            ("findings, all of them expected", u64::try_from(found - unexpected.len())?),
            ("findings that were not expected", u64::try_from(unexpected.len())?),
        ];
        let fault = (!unexpected.is_empty()).then(|| unexpected.join(", "));
        Ok(Outcome { counts, fault })
    }

    fn control(&mut self, _: u64) -> anyhow::Result<String> {
        let folder = Folder::open(None)?;
        let runtime = tokio::runtime::Runtime::new()?;
        let nginx = look_up("nginx").context("install the package nginx")?;
        let mut hospital = runtime.block_on(Hospital::open(&std::env::current_exe()?, folder.path(), &[]))?;
        let laid = folder.path().join("server");
        let careless = runtime.block_on(Nginx::start(folder.path(), &laid, (&nginx, Manner::Careless)))?;
        runtime.block_on(hospital.stop())?;
        let seen = scan(folder.path(), careless.address)?;
        let expected = expected("device");
        let beyond: Vec<&String> = seen.difference(&expected).collect();
        let caught = |scanner: &str| beyond.iter().any(|finding| finding.starts_with(scanner));
        ensure!(caught("sslyze") && caught("testssl"), "a careless server was not found out: {beyond:?}");
        Ok(format!("an nginx with TLS 1.2 and old ciphers: {} findings that no plane may have", beyond.len()))
    }
}

/// What may be found on a plane.
fn expected(plane: &str) -> Findings {
    let lines = EXPECTED.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some(plane)).then(|| [words.next(), words.next()])
        })
        .map(|words| words.into_iter().flatten().collect::<Vec<_>>().join(" "))
        .collect()
}

fn scan(folder: &Path, address: SocketAddr) -> anyhow::Result<Findings> {
    let mut seen = testssl(folder, address)?;
    seen.extend(sslyze(address)?);
    Ok(seen)
}

/// A row of testssl.sh's JSON.
#[derive(Deserialize)]
struct Row {
    id: String,
    severity: String,
}

fn testssl(folder: &Path, address: SocketAddr) -> anyhow::Result<Findings> {
    let testssl = look_up("testssl").context("install the package testssl.sh")?;
    let json = folder.join(format!("testssl-{}.json", address.port()));
    let output = program(testssl)
        .args(["--quiet", "--color", "0", "--warnings", "off", "-p", "-s", "-f", "-U", "-S", "-P", "-h"])
        .args(["--ip", &address.ip().to_string(), "--jsonfile"])
        .arg(&json)
        .arg(address.to_string())
        .output()?;
    let text = std::fs::read(&json)
        .with_context(|| format!("testssl.sh said: {}", String::from_utf8_lossy(&output.stdout)))?;
    let rows: Vec<Row> = serde_json::from_slice(&text)?;
    ensure!(rows.iter().any(|row| row.id == "TLS1_3"), "testssl.sh did not look at the protocols");
    let harmless = |row: &Row| matches!(row.severity.as_str(), "OK" | "INFO" | "DEBUG");
    Ok(rows.iter().filter(|row| !harmless(row)).map(|row| format!("testssl {}", row.id)).collect())
}

fn sslyze(address: SocketAddr) -> anyhow::Result<Findings> {
    let sslyze = look_up("sslyze").context("install sslyze 6.3.1 by pip, on the path")?;
    let output = program(sslyze).args(["--mozilla_config", "modern", &address.to_string()]).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, verdict) = text
        .split_once("COMPLIANCE AGAINST")
        .with_context(|| format!("sslyze gave no verdict: {}", String::from_utf8_lossy(&output.stderr)))?;
    let named = |line: &str| Some(line.trim().strip_prefix("* ")?.split_once(':')?.0.to_owned());
    Ok(verdict.lines().filter_map(named).map(|name| format!("sslyze {name}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expected_finding_has_a_plane_a_scanner_and_a_reason() {
        // Goal: the list is read as it is meant. Method: its own lines.
        assert!(expected("device").contains("testssl cert_chain_of_trust"));
        assert!(!expected("enrolment").is_empty() && expected("operator").is_empty());
        for line in EXPECTED.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let words: Vec<&str> = line.splitn(4, char::is_whitespace).collect();
            assert_eq!(words.len(), 4, "{line}: plane, scanner, finding, reason");
        }
    }
}
