//! A disk that can lose its power: ext4 in a file, mounted by loop, ended by the kernel's own emergency stop.
//!
//! `EXT4_IOC_SHUTDOWN` without a flush of the journal leaves in the file what had reached the block layer and drops the
//! rest, which is what a power cut does to a disk without a cache of its own; the next mount replays the journal. It
//! does not reorder or tear what had reached the block layer, and it says nothing of disks that lie. The call goes
//! through perl, which every Debian has, because nothing here may be unsafe. Whatever happens, nothing stays mounted.

use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::program::program;

/// Tries of an unmount, and the pause between two.
const UNMOUNT_TRIES: u32 = 600;
const UNMOUNT_PAUSE: Duration = Duration::from_millis(50);
/// Seconds that any of the outside programs may take.
const DEADLINE_S: &str = "60";
/// `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)`, with 2: the log is not flushed.
const CUT: &str = r#"my $how = pack("L", 2);
open my $disk, "<", $ARGV[0] or die "$!";
ioctl($disk, 0x8004587d, $how) or die "$!""#;

/// The same, once a line has come in.
const WAITING_CUT: &str = r#"my $how = pack("L", 2);
open my $disk, "<", $ARGV[0] or die "$!";
$| = 1; print "."; defined(<STDIN>) or exit 1;
ioctl($disk, 0x8004587d, $how) or die "$!""#;

/// A file with a file system.
#[derive(Clone, Debug)]
pub struct Image(PathBuf);

/// A file system that is mounted, until it is dropped.
#[derive(Debug)]
pub struct Mounted {
    at: PathBuf,
    is_mounted: bool,
}

impl Image {
    /// Makes an empty file system of so many MiB. The file is sparse.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn make(path: &Path, megabytes: u64) -> anyhow::Result<Self> {
        let file = std::fs::File::create(path).with_context(|| path.display().to_string())?;
        file.set_len(megabytes * 1024 * 1024)?;
        let mut command = bounded("mkfs.ext4");
        // Nothing is left to be initialised behind our back.
        command.args(["-q", "-F", "-J", "size=8", "-E", "lazy_itable_init=0,lazy_journal_init=0"]);
        said(command.arg(path), "mkfs.ext4")?;
        Ok(Self(path.to_owned()))
    }

    /// A copy, as sparse as this one.
    ///
    /// # Errors
    /// If there is no room.
    pub fn copy(&self, to: &Path) -> anyhow::Result<Self> {
        said(bounded("cp").args(["--sparse=always", "--reflink=auto"]).arg(&self.0).arg(to), "cp")?;
        Ok(Self(to.to_owned()))
    }

    /// Mounts it, replaying its journal if its power was cut. What nobody syncs stays in memory for minutes, so that slow
    /// rounds lose it too.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn mount(&self, at: &Path) -> anyhow::Result<Mounted> {
        std::fs::create_dir_all(at)?;
        said(bounded("mount").args(["-o", "loop,commit=300"]).arg(&self.0).arg(at), "mount")?;
        Ok(Mounted { at: at.to_owned(), is_mounted: true })
    }
}

impl Mounted {
    /// Where.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// Cuts the power: what has not reached the disk is gone, and nothing can be written any more.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn cut(&self) -> anyhow::Result<()> {
        said(bounded("perl").args(["-e", CUT]).arg(&self.at), "the shutdown call")
    }

    /// A cut that waits for its word, so that it comes at once.
    ///
    /// # Errors
    /// If it cannot be laid.
    pub fn fuse(&self) -> anyhow::Result<Fuse> {
        let mut command = program("perl");
        command.args(["-e", WAITING_CUT]).arg(&self.at);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (word, said) = (child.stdin.take(), child.stdout.take().context("piped")?);
        let fuse = Fuse { child, word };
        let mut ready = [0];
        BufReader::new(said).read_exact(&mut ready).context("the fuse is not laid")?;
        Ok(fuse)
    }

    /// Unmounts it. Nobody may use it any more.
    ///
    /// # Errors
    /// If somebody does.
    pub fn unmount(mut self) -> anyhow::Result<()> {
        // What a killed process had started may take a moment to end.
        for left in (0..UNMOUNT_TRIES).rev() {
            match said(bounded("umount").arg(&self.at), "umount") {
                Err(error) if left == 0 => return Err(error),
                Err(_) => std::thread::sleep(UNMOUNT_PAUSE),
                Ok(()) => break,
            }
        }
        self.is_mounted = false;
        Ok(())
    }
}

/// A cut that waits for its word. One that is dropped cuts nothing.
#[derive(Debug)]
pub struct Fuse {
    child: Child,
    word: Option<ChildStdin>,
}

impl Fuse {
    /// Cuts the power.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn burn(mut self) -> anyhow::Result<()> {
        self.word.take().context("it burns once")?.write_all(b"\n")?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the shutdown call: {status}");
        Ok(())
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        // It holds the disk open; without its word it would wait for ever.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.is_mounted {
            // Its users may take a moment to end; then it is gone.
            let _ = bounded("umount").arg("--lazy").arg(&self.at).status();
        }
    }
}

/// Whether this machine lets us mount a file; the error says what it refuses.
///
/// # Errors
/// If it is not the superuser's, or has no loop device or no mount.
pub fn mounts() -> anyhow::Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "not the superuser");
    let folder = tempfile::tempdir()?;
    let image = Image::make(&folder.path().join("probe"), 64)?;
    image.mount(&folder.path().join("mounted"))?.unmount()
}

/// Whether this machine lets us cut the power of a disk; the error says what it refuses.
///
/// # Errors
/// If it is not the superuser's, or has no loop device, no mount or no such call.
pub fn probe() -> anyhow::Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "not the superuser");
    let folder = tempfile::tempdir()?;
    let image = Image::make(&folder.path().join("probe"), 64)?;
    let mounted = image.mount(&folder.path().join("mounted"))?;
    mounted.cut()?;
    mounted.unmount()
}

fn bounded(name: &str) -> Command {
    let mut command = program("timeout");
    command.args([DEADLINE_S, name]);
    command
}

fn said(command: &mut Command, what: &str) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{what} cannot be started"))?;
    ensure!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
