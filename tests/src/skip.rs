//! Skipping out loud: a test that cannot run here says so on the stderr handle as `SKIPPED: reason`.
//!
//! The print macros are swallowed by the test harness, the handle is not, so a person sees what was not shown.
//! With `CORDON_TEST_ALL=1` a missing *package* is a failure that names what to install; a missing *kernel or
//! root right* stays a skip, which `.ci/run` lists at its end. A test never skips itself in another way.
//! Read next: [`PROGRAMS`], and `.ci/run`, which installs the same packages.

use std::io::Write;
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// The outside programs that tests may ask for, each with the Debian package that brings it.
///
/// `.ci/run` installs exactly these packages (and the jars of [`require_file`]); a unit test compares the two.
pub const PROGRAMS: &[(&str, &str)] = &[
    ("age", "age"),
    ("age-keygen", "age"),
    ("casync", "casync"),
    ("cc", "gcc"),
    ("chromium", "chromium"),
    ("cpio", "cpio"),
    ("curl", "curl"),
    ("dbus-daemon", "dbus-daemon"),
    ("debsecan", "debsecan"),
    ("debootstrap", "debootstrap"),
    ("debugfs", "e2fsprogs"),
    ("faketime", "faketime"),
    ("fw_printenv", "libubootenv-tool"),
    ("fw_setenv", "libubootenv-tool"),
    ("git", "git"),
    ("grub-editenv", "grub-common"),
    ("grub-emu", "grub-emu"),
    ("grub-script-check", "grub-common"),
    ("initdb", "postgresql-15"),
    ("ip", "iproute2"),
    ("java", "openjdk-17-jdk-headless"),
    ("javac", "openjdk-17-jdk-headless"),
    ("mender", "mender-client"),
    ("mke2fs", "e2fsprogs"),
    ("mksquashfs", "squashfs-tools"),
    ("nginx", "nginx"),
    ("openssl", "openssl"),
    ("pg_ctl", "postgresql-15"),
    ("pki", "strongswan-pki"),
    ("pkcs11-tool", "opensc"),
    ("postgres", "postgresql-15"),
    ("psql", "postgresql-15"),
    ("qemu-aarch64", "qemu-user"),
    ("qemu-i386", "qemu-user"),
    ("rauc", "rauc"),
    ("rpm", "rpm"),
    ("rpmbuild", "rpm"),
    ("setpriv", "util-linux"),
    ("softflowd", "softflowd"),
    ("softhsm2-util", "softhsm2"),
    ("strace", "strace"),
    ("swtpm", "swtpm"),
    ("swupdate", "swupdate"),
    ("systemd-analyze", "systemd"),
    ("tar", "tar"),
    ("tinyproxy", "tinyproxy-bin"),
    ("tpm2-abrmd", "tpm2-abrmd"),
    ("tpm2_ptool", "libtpm2-pkcs11-tools"),
    ("zstd", "zstd"),
];

/// Where Debian keeps programs that are not on everybody's path.
const MORE_FOLDERS: &[&str] = &["/usr/sbin", "/sbin", "/usr/lib/postgresql/15/bin"];

/// Writes `SKIPPED: reason` to the stderr handle.
///
/// # Panics
/// If stderr is closed: a skip that nobody can read must not pass for a test that ran.
pub fn skip(reason: &str) {
    let line = format!("SKIPPED: {reason}\n");
    std::io::stderr().lock().write_all(line.as_bytes()).expect("a skip needs an open stderr to be seen");
}

/// The path of an outside program, or `None` after saying that the test is skipped.
///
/// # Panics
/// If `program` is not in [`PROGRAMS`]; with `CORDON_TEST_ALL=1` also if it is not installed.
pub fn require_package(program: &str) -> Option<PathBuf> {
    let package = PROGRAMS.iter().find(|(name, _)| *name == program).map(|(_, package)| *package);
    let package = package
        .unwrap_or_else(|| panic!("{program} is not in skip::PROGRAMS: add it with its Debian package"));
    let found = look_up(program);
    if found.is_none() {
        absent(program, package);
    }
    found
}

/// The path of an outside program that a soak cannot do without; `None` where it is not installed.
#[must_use]
pub fn look_up(program: &str) -> Option<PathBuf> {
    search_path().into_iter().map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The path of an outside file (a jar, a library), or `None` after saying that the test is skipped.
///
/// # Panics
/// With `CORDON_TEST_ALL=1`, if the file is missing.
pub fn require_file(path: &str, package: &str) -> Option<PathBuf> {
    let found = Some(PathBuf::from(path)).filter(|path| path.exists());
    if found.is_none() {
        absent(path, package);
    }
    found
}

/// Whether a kernel or root right is `held`; if not, says that `test` is skipped. Never a failure: a right cannot
/// be installed.
#[must_use]
pub fn require_right(right: &str, test: &str, held: bool) -> bool {
    if !held {
        skip(&format!("{test}: needs the right {right}, which this machine does not give"));
    }
    held
}

/// [`require_right`] for the superuser.
#[must_use]
pub fn require_root(test: &str) -> bool {
    require_right("of root", test, rustix::process::geteuid().is_root())
}

/// Whether `CORDON_TEST_ALL=1` demands that every outside test runs.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the tests' one switch is read here and nowhere else")]
pub fn everything_demanded() -> bool {
    std::env::var("CORDON_TEST_ALL").is_ok_and(|value| value == "1")
}

/// Skips for want of a package, or fails where everything is demanded.
fn absent(what: &str, package: &str) {
    let cure = format!("{what} not found (apt-get install {package})");
    assert!(!everything_demanded(), "{cure}: CORDON_TEST_ALL=1 demands it");
    skip(&cure);
}

/// The folders that are searched for programs: the path, then Debian's own.
#[expect(clippy::disallowed_methods, reason = "the tests look programs up here and nowhere else")]
fn search_path() -> Vec<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let own = path.split(':').filter(|folder| !folder.is_empty());
    own.chain(MORE_FOLDERS.iter().copied()).map(|folder| Path::new(folder).to_path_buf()).collect()
}
