//! Two versions of one device's image: Debian 12 as it was released, and the same with its security updates.
//!
//! The packages come from the package source that this machine has, are kept in `target/debian-pair`, unpacked without
//! documentation, and laid into two file systems by the same rules: fixed times, identifiers and hash seed. Where packages
//! do not come, a pair made of chance stands in, and its name says so. Read next: [`super::chunk_delta`].

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail, ensure};

use crate::program::program;
use crate::skip::look_up;
use crate::tidy::tree;

/// What is on the device: the base of Debian, a web server, TLS, an interpreter. About 150 MB unpacked.
const PACKAGES: &[&str] = &[
    "base-files",
    "base-passwd",
    "bash",
    "bsdutils",
    "coreutils",
    "curl",
    "dash",
    "debconf",
    "debianutils",
    "diffutils",
    "dpkg",
    "findutils",
    "gcc-12-base",
    "git",
    "grep",
    "gzip",
    "hostname",
    "init-system-helpers",
    "libacl1",
    "libattr1",
    "libaudit1",
    "libblkid1",
    "libbz2-1.0",
    "libc-bin",
    "libc6",
    "libcap2",
    "libcrypt1",
    "libcurl4",
    "libexpat1",
    "libgcc-s1",
    "libgmp10",
    "libgnutls30",
    "liblz4-1",
    "liblzma5",
    "libmount1",
    "libncursesw6",
    "libpam-modules",
    "libpam0g",
    "libpcre2-8-0",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libselinux1",
    "libsmartcols1",
    "libsqlite3-0",
    "libssl3",
    "libstdc++6",
    "libsystemd0",
    "libtinfo6",
    "libudev1",
    "libuuid1",
    "libxml2",
    "libzstd1",
    "login",
    "mawk",
    "mount",
    "ncurses-base",
    "ncurses-bin",
    "nginx",
    "nginx-common",
    "openssh-client",
    "openssh-server",
    "openssl",
    "passwd",
    "perl-base",
    "python3.11",
    "python3.11-minimal",
    "sed",
    "sqlite3",
    "systemd",
    "sysvinit-utils",
    "tar",
    "udev",
    "util-linux",
    "vim-common",
    "vim-tiny",
    "zlib1g",
];
/// What no device carries.
const LEFT_OUT: &[&str] = &["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian"];
/// Bytes of the file system.
const IMAGE: &str = "192M";
/// The second of all times in it.
const TIME: &str = "1700000000";
/// Packages that must have changed for the pair to say something.
const CHANGED: usize = 5;

/// Two images and what they are.
pub struct Pair {
    /// What they are, in words.
    pub title: String,
    /// The image that a device runs.
    pub old: PathBuf,
    /// The one that is to replace it.
    pub new: PathBuf,
}

/// Makes the pair in `folder`.
pub fn make(folder: &Path) -> anyhow::Result<Pair> {
    let (old, new) = (folder.join("old.img"), folder.join("new.img"));
    match from_debian(folder, [&old, &new]) {
        Ok(title) => Ok(Pair { title, old, new }),
        Err(error) => {
            println!("no Debian pair: {error:#}");
            synthesised(&old, &new)?;
            let title = "a pair made of chance: 160 MiB, 21 MB of it changed in 300 places".to_owned();
            Ok(Pair { title, old, new })
        }
    }
}

fn from_debian(folder: &Path, images: [&PathBuf; 2]) -> anyhow::Result<String> {
    let kept = tree::root().join("target/debian-pair");
    let mut changed = 0;
    for (package, [released, newest]) in PACKAGES.iter().zip(versions()?) {
        changed += usize::from(released != newest);
        for (side, version) in [("old", released), ("new", newest)] {
            fetch(&kept.join(side), package, &version)?;
        }
    }
    ensure!(changed >= CHANGED, "only {changed} packages have a newer version here");
    for (side, image) in ["old", "new"].into_iter().zip(images) {
        let root = folder.join(side);
        unpack(&kept.join(side), &root)?;
        lay(&root, image)?;
    }
    let count = PACKAGES.len();
    Ok(format!(
        "Debian 12 as released and with its updates: ext4 of {IMAGE}, {changed} of {count} packages changed"
    ))
}

/// The version of the release, and the newest, of every package, out of one question: each takes seconds.
fn versions() -> anyhow::Result<Vec<[String; 2]>> {
    let output = program("apt-cache").arg("madison").args(PACKAGES).output()?;
    let text = String::from_utf8(output.stdout)?;
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
    let of = |package: &&str| {
        let mut own = rows.iter().filter(|row| row.first() == Some(package)).filter(|row| row.len() > 2);
        let [_, newest, _] = own.clone().next().context("no such package")?[..] else {
            bail!("{package}: no row")
        };
        let released = own.find(|row| row.get(2).is_some_and(|from| from.contains("bookworm/main")));
        let released = released.and_then(|row| row.get(1).copied()).unwrap_or(newest);
        Ok([released.to_owned(), newest.to_owned()])
    };
    PACKAGES.iter().map(|package| of(package).with_context(|| (*package).to_owned())).collect()
}

fn fetch(folder: &Path, package: &str, version: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let file = format!("{package}_{}", version.replace(':', "%3a"));
    let mut there = std::fs::read_dir(folder)?.flatten();
    if there.any(|entry| entry.file_name().to_string_lossy().starts_with(&file)) {
        return Ok(());
    }
    let mut command = program("timeout");
    command.args(["60", "apt-get", "download", &format!("{package}={version}")]).current_dir(folder);
    let done = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    ensure!(done.success(), "{package} {version} does not come");
    Ok(())
}

fn unpack(packages: &Path, root: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(root)?;
    let mut files: Vec<_> = std::fs::read_dir(packages)?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files {
        let done = program("dpkg-deb").arg("-x").arg(&file).arg(root).status()?;
        ensure!(done.success(), "{} cannot be unpacked", file.display());
    }
    for path in LEFT_OUT {
        // Not every tree has all of them.
        let _ = std::fs::remove_dir_all(root.join(path));
    }
    let done = program("find")
        .arg(root)
        .args(["-exec", "touch", "-h", "-d"])
        .arg(format!("@{TIME}"))
        .args(["{}", "+"])
        .status()?;
    ensure!(done.success(), "the times cannot be set");
    Ok(())
}

fn lay(root: &Path, image: &Path) -> anyhow::Result<()> {
    let mke2fs = look_up("mke2fs").context("install the package e2fsprogs")?;
    let mut command = program(mke2fs);
    command.env("E2FSPROGS_FAKE_TIME", TIME);
    command.args([
        "-q",
        "-t",
        "ext4",
        "-O",
        "^has_journal",
        "-b",
        "4096",
        "-U",
        "5f2c1f4e-0000-4000-8000-000000000002",
    ]);
    command.args(["-E", "root_owner=0:0,hash_seed=5f2c1f4e-0000-4000-8000-000000000001", "-d"]);
    let done = command.arg(root).arg(image).arg(IMAGE).stdout(Stdio::null()).status()?;
    ensure!(done.success(), "the file system cannot be made");
    Ok(())
}

/// Bytes that pack about as programs do, and a second version with changes of every length.
fn synthesised(old: &Path, new: &Path) -> anyhow::Result<()> {
    let mut random = fastrand::Rng::with_seed(122);
    let words: Vec<Vec<u8>> =
        (0..4096).map(|_| (0..random.usize(3..20)).map(|_| random.u8(..)).collect()).collect();
    let prose = |random: &mut fastrand::Rng, length: usize| {
        let mut text = Vec::with_capacity(length + 20);
        while text.len() < length {
            text.extend_from_slice(words.get(random.usize(..4096)).map_or(&[][..], Vec::as_slice));
        }
        text
    };
    let first = prose(&mut random, 160 * 1024 * 1024);
    let mut second = Vec::with_capacity(first.len());
    for part in first.chunks(first.len() / 300) {
        second.extend_from_slice(part.get(70_000..).unwrap_or_default());
        let length = random.usize(..140_000);
        second.extend(prose(&mut random, length));
    }
    std::fs::write(old, first)?;
    Ok(std::fs::write(new, second)?)
}
