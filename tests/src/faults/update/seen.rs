//! What a device's folder holds, read from outside and without the agent: both copies of the security state, the boot
//! document, the metadata that is trusted, the receipts that wait.
//!
//! Nothing is written and nothing is judged here. Read next: [`super::judge`].

use std::path::Path;

use anyhow::Context;
use cordon_agent_core::update::Record;
use cordon_proto::ids::Sha256;
use cordon_proto::receipt::{Receipt, ReceiptBody};
use cordon_proto::{limits, wire};
use serde_json::Value;

/// A whole copy of the security state.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Its generation.
    pub generation: u64,
    /// What it holds.
    pub record: Record,
}

/// The whole copies of the security state, the newest last.
#[must_use]
pub fn records(state: &Path) -> Vec<Copy> {
    let read = |name: &str| {
        let (generation, payload) = copy(&state.join(name))?;
        let record = wire::read(&payload, limits::SECURITY_STATE_BYTES).ok()?;
        Some(Copy { generation, record })
    };
    let mut copies: Vec<Copy> = ["security.a", "security.b"].into_iter().filter_map(read).collect();
    copies.sort_by_key(|copy| copy.generation);
    copies
}

/// The newest generation of a document of two copies, 0 while there is none.
#[must_use]
pub fn generation(paths: [&Path; 2]) -> u64 {
    paths.into_iter().filter_map(copy).map(|(generation, _)| generation).max().unwrap_or(0)
}

/// Generation and payload of a copy whose checksum fits.
fn copy(path: &Path) -> Option<(u64, Vec<u8>)> {
    let bytes = std::fs::read(path).ok()?;
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (head, payload) = (std::str::from_utf8(bytes.get(..end)?).ok()?, bytes.get(end + 1..)?);
    let mut words = head.split(' ').skip(1);
    let generation: u64 = words.next()?.parse().ok()?;
    let sum = Sha256::of(&[&generation.to_be_bytes(), payload].concat());
    (words.next()? == sum.to_string()).then(|| (generation, payload.to_vec()))
}

/// One document of the metadata that is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its repository and role, as the security state names it.
    pub name: String,
    /// Its version.
    pub version: u64,
}

/// All documents below a folder of metadata.
///
/// # Errors
/// If one of them is no document.
pub fn documents(tuf: &Path) -> anyhow::Result<Vec<Document>> {
    let mut found = Vec::new();
    collect(tuf, "", &mut found)?;
    Ok(found)
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<Document>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), found)?;
        } else if let Some(role) = name.strip_suffix(".json").filter(|_| !name.starts_with('.')) {
            // A running agent may forget one between the list and the look.
            let Ok(text) = std::fs::read(&path) else { continue };
            let value: Value = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
            let version = value.pointer("/signed/version").and_then(Value::as_u64);
            let version = version.with_context(|| format!("{} has no version", path.display()))?;
            found.push(Document { name: format!("{prefix}{role}"), version });
        }
    }
    Ok(())
}

/// The receipts that wait, oldest first.
///
/// # Errors
/// If one of them is none.
pub fn receipts(state: &Path) -> anyhow::Result<Vec<ReceiptBody>> {
    let Ok(entries) = std::fs::read_dir(state.join("receipts")) else { return Ok(Vec::new()) };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "receipt") {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let receipt: Receipt = wire::read(&std::fs::read(path)?, limits::BODY_BYTES)
            .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        receipt.open(|_, _| true).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
    };
    paths.iter().map(read).collect()
}
