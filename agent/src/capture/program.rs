//! Which program holds a socket: its short name (`comm`), never its arguments.
//!
//! Only processes that we may look into are named; for others the answer is unknown, which is not the same as none. A
//! search walks /proc, so it is done for new listeners only, and at most three times in half a minute.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cordon_proto::limits;
use cordon_proto::time::Millis;

/// Milliseconds in which at most [`SEARCHES`] are made.
const WINDOW_MS: i64 = 30_000;
const SEARCHES: u32 = 3;
/// Open files of one process that are looked at.
const FILES: usize = 1024;

/// The search for programs.
#[derive(Debug)]
pub struct Programs {
    proc: PathBuf,
    /// When the window began, and the searches in it.
    window: (Millis, u32),
    searched: Option<Millis>,
    found: HashMap<u64, Arc<str>>,
}

impl Programs {
    /// Over `/proc`.
    #[must_use]
    pub fn new(proc: impl Into<PathBuf>) -> Self {
        Self { proc: proc.into(), window: (Millis(i64::MIN), 0), searched: None, found: HashMap::new() }
    }

    /// The program that holds the socket with this inode.
    pub fn name(&mut self, inode: u64, now: Millis) -> Option<Arc<str>> {
        if inode == 0 {
            return None;
        }
        if now.since(self.window.0) >= WINDOW_MS || now < self.window.0 {
            self.window = (now, 0);
        }
        // One search answers for all sockets of one look.
        let fresh = self.searched != Some(now);
        if !self.found.contains_key(&inode) && fresh && self.window.1 < SEARCHES {
            self.window.1 += 1;
            self.searched = Some(now);
            self.found = search(&self.proc);
        }
        self.found.get(&inode).cloned()
    }
}

fn search(proc: &Path) -> HashMap<u64, Arc<str>> {
    let mut found = HashMap::new();
    let Ok(entries) = fs::read_dir(proc) else { return found };
    let processes = entries.flatten().filter(|entry| {
        entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    });
    for process in processes.take(limits::PROCESSES) {
        let inodes = sockets_of(&process.path());
        if inodes.is_empty() || found.len() >= limits::PROCESSES {
            continue;
        }
        let Ok(name) = fs::read_to_string(process.path().join("comm")) else { continue };
        let name: Arc<str> = name.trim_end().into();
        found.extend(inodes.into_iter().map(|inode| (inode, Arc::clone(&name))));
    }
    found
}

fn sockets_of(process: &Path) -> Vec<u64> {
    let Ok(files) = fs::read_dir(process.join("fd")) else { return Vec::new() };
    let inode = |target: PathBuf| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    let links = files.flatten().take(FILES).filter_map(|file| fs::read_link(file.path()).ok());
    links.filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_holder_of_a_socket_is_named_and_searches_are_rare() {
        // Goal: names where allowed, little work. Method: a hand-made /proc that changes behind the search.
        let proc = tempfile::tempdir().expect("a folder");
        let process = |pid: &str, name: &str, inode: u64| {
            fs::create_dir_all(proc.path().join(pid).join("fd")).expect("makes");
            fs::write(proc.path().join(pid).join("comm"), format!("{name}\n")).expect("writes");
            symlink(format!("socket:[{inode}]"), proc.path().join(pid).join("fd/3")).expect("links");
        };
        process("12", "sshd", 4711);
        fs::create_dir_all(proc.path().join("self")).expect("makes");
        let mut programs = Programs::new(proc.path());
        assert_eq!(programs.name(4711, Millis(0)).as_deref(), Some("sshd"));
        assert_eq!(programs.name(0, Millis(0)), None);
        assert_eq!((programs.name(1, Millis(1)), programs.name(2, Millis(1))), (None, None));
        process("13", "nc", 4712);
        assert_eq!(programs.name(4712, Millis(1)), None, "one search a look");
        assert_eq!(programs.name(3, Millis(2)), None);
        process("14", "late", 4713);
        assert_eq!(programs.name(4713, Millis(29_999)), None, "three searches were made");
        assert_eq!(programs.name(4713, Millis(30_000)).as_deref(), Some("late"));
    }
}
