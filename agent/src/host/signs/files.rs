//! The stamps of the files in the folders of data that the configuration names.
//!
//! No file is opened and no link followed: of each its size, its time and its place on the disk, under marks of its folder, name and
//! ending. At most `limits::WATCHED_FILES` a look, always the same ones as long as they stay.

use std::io;

use cordon_agent_core::signs::Mark;
use cordon_agent_core::signs::rewrite::{File, Files};
use cordon_proto::limits;

use crate::host::Root;
use crate::host::root::Stamp;

/// Folders in folders.
const DEPTH: usize = 8;

/// The files; then why some are unseen.
pub(super) fn look(root: &Root, folders: &[String]) -> (Option<Files>, Option<String>) {
    if folders.is_empty() {
        return (None, Some("the configuration names no folders of `data`".to_owned()));
    }
    let (mut files, mut left, mut why) = (Files::default(), limits::WATCHED_FILES, None);
    for folder in folders {
        if let Err(error) = walk(root, folder, (&mut files, &mut left), DEPTH) {
            why = Some(format!("{folder}: {error}"));
        }
    }
    if left == 0 {
        why = why.or_else(|| Some("more files than are looked at".to_owned()));
    }
    (Some(files), why)
}

fn walk(root: &Root, folder: &str, (files, left): (&mut Files, &mut usize), depth: usize) -> io::Result<()> {
    let mark = short(folder);
    let names = root.names(folder).inspect_err(|_| files.cut.push(mark))?;
    let mut below = Vec::new();
    for name in &names {
        if *left == 0 {
            files.cut.push(mark);
            return Ok(());
        }
        let path = format!("{folder}/{name}");
        match root.stamp(&path) {
            Ok(Stamp::Folder) => below.push(path),
            Ok(Stamp::File(parts)) => {
                *left -= 1;
                let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
                let file =
                    File { folder: mark, name: short(name), stamp: mixed(parts), ending: short(ending) };
                files.files.push(file);
            }
            Ok(Stamp::Other) | Err(_) => {}
        }
    }
    for path in below.iter().filter(|_| depth > 0) {
        // A folder that goes or is shut while it is looked at is cut, and the rest goes on.
        drop(walk(root, path, (files, left), depth - 1));
    }
    Ok(())
}

fn short(text: &str) -> u32 {
    let Mark(mark) = Mark::of(&[text]);
    u32::try_from(mark >> 32).unwrap_or(0)
}

/// One number of several: each step is one to one in what came before (Fowler, Noll, Vo).
fn mixed(parts: [u64; 4]) -> Mark {
    Mark(
        parts.into_iter().fold(0xcbf2_9ce4_8422_2325, |sum, part| (sum ^ part).wrapping_mul(0x100_0000_01b3)),
    )
}
