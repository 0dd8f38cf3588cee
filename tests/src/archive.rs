//! The archive of a folder, made by the ground's own entries: what a maker's `tar` makes, without one.
//!
//! Read next: `cordon_proto::update::tree`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use cordon_proto::update::tree::{ENDING, Entry, Kind};

/// The archive of a folder.
pub fn of_folder(folder: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    add((folder, ""), &mut bytes)?;
    bytes.extend(ENDING);
    Ok(bytes)
}

fn add((path, name): (&Path, &str), bytes: &mut Vec<u8>) -> anyhow::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        let to = fs::read_link(path)?.to_str().context("a link that is no text")?.to_owned();
        bytes.extend(Entry::new(name, Kind::Link { to })?.header());
        return Ok(());
    }
    if metadata.is_file() {
        let program = metadata.permissions().mode() & 0o111 != 0;
        let entry = Entry::new(name, Kind::File { length: metadata.len(), program })?;
        bytes.extend(entry.header());
        bytes.extend(fs::read(path)?);
        bytes.extend(vec![0; entry.filling()]);
        return Ok(());
    }
    bytes.extend(Entry::new(name, Kind::Folder)?.header());
    let mut held = Vec::new();
    for entry in fs::read_dir(path)? {
        held.push(entry?.file_name().into_string().ok().context("a name that is no text")?);
    }
    held.sort_unstable();
    for inner in held {
        let below = if name.is_empty() { inner.clone() } else { format!("{name}/{inner}") };
        add((&path.join(inner), &below), bytes)?;
    }
    Ok(())
}
