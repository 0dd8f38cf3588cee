//! Reads the tree that tidy judges: what git tracks, and what it does not track and does not ignore.
//!
//! The only part of tidy that touches the disk; it changes nothing. Read next: `tidy.rs`.

use super::Source;
use crate::program::program;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// The top of the tree this package was built in.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Every regular file of the tree at `root`, sorted by path.
///
/// # Errors
/// If git does not answer or a file cannot be read.
pub fn read(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in paths(root)? {
        let file = root.join(&path);
        if file.is_file() && !file.is_symlink() {
            let content = std::fs::read(&file).with_context(|| format!("cannot read {path}"))?;
            sources.push(Source { path, content });
        }
    }
    Ok(sources)
}

/// The paths that git knows or would take in, sorted.
///
/// # Errors
/// If `root` is not a git work tree.
pub fn paths(root: &Path) -> Result<Vec<String>> {
    let mut list = program("git");
    list.current_dir(root).args([
        "-c",
        "safe.directory=*",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let output = list.output().context("git cannot be started")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).context("a path is not UTF-8")?;
    let mut paths: Vec<String> =
        text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    paths.sort_unstable();
    paths.dedup();
    Ok(paths)
}
