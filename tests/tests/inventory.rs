//! The inventory before other judges: RPM itself writes a database and lists it, and both lists must be one.
//!
//! Packages are made by rpmbuild from a few lines and entered without their files. Where RPM is missing, the test says so.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use cordon_agent::host::{Root, take};
use cordon_proto::inventory::Section;
use cordon_sim::program::program;
use cordon_sim::skip::require_package;

/// A source: name, epoch, version, release, module.
type Source = (&'static str, Option<u32>, &'static str, &'static str, Option<&'static str>);

const SOURCES: [Source; 4] = [
    ("wardlib", Some(2), "1.2", "3.el9", Some("ward:4:90500:a75119d5")),
    ("pump", None, "4.1~rc1", "1", None),
    ("kernel-ward", None, "6.1", "10.el9", None),
    ("kernel-ward", None, "6.1", "9.el9", None),
];

fn rpm(tool: &Path, folder: &Path, arguments: &[&str]) -> String {
    let mut command = program(tool);
    command.args(["--define", &format!("_topdir {}", folder.join("top").display())]);
    command.args(["--define", "_db_backend sqlite"]);
    let output = command.args(arguments).output().expect("starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("is text")
}

/// Two packages of a source, the second with many files' worth of description.
fn spec((name, epoch, version, release, module): Source) -> String {
    let mut text = format!("Name: {name}\nVersion: {version}\nRelease: {release}\n");
    if let Some(epoch) = epoch {
        writeln!(text, "Epoch: {epoch}").expect("memory");
    }
    if let Some(module) = module {
        writeln!(text, "ModularityLabel: {module}").expect("memory");
    }
    let long = "a long description of what this does\n".repeat(400);
    text + &format!(
        "Summary: x\nLicense: MIT\nBuildArch: noarch\n%description\nx\n%package -n {name}-tools\nSummary: y\n\
        %description -n {name}-tools\n{long}%files\n%files -n {name}-tools\n"
    )
}

#[test]
fn what_rpm_wrote_is_read_as_rpm_lists_it() {
    // Goal: every package of a real database with its epoch, source and module, kernels in two versions included. Method: RPM
    // makes packages and enters them; its own list beside our rows.
    let (Some(tool), Some(build)) = (require_package("rpm"), require_package("rpmbuild")) else { return };
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path();
    let database = folder.join("machine/var/lib/rpm");
    fs::create_dir_all(&database).expect("makes");
    for (place, source) in SOURCES.into_iter().enumerate() {
        let file = folder.join(format!("{place}.spec"));
        fs::write(&file, spec(source)).expect("writes");
        rpm(&build, folder, &["--quiet", "-bb", file.to_str().expect("is text")]);
    }
    let at = format!("--dbpath={}", database.display());
    rpm(&tool, folder, &[&at, "--initdb"]);
    let made = fs::read_dir(folder.join("top/RPMS/noarch")).expect("lists");
    let made: Vec<String> = made.map(|entry| entry.expect("is one").path().display().to_string()).collect();
    let enter = [&*at, "-i", "--justdb", "--nodeps", "--nosignature", "--force", "--force-debian"];
    let enter: Vec<&str> = enter.into_iter().chain(made.iter().map(String::as_str)).collect();
    rpm(&tool, folder, &enter);

    let format = "%{NAME} %{EPOCHNUM}:%{VERSION}-%{RELEASE} %{ARCH} %{SOURCERPM} %{MODULARITYLABEL}\n";
    let mut listed: Vec<String> =
        rpm(&tool, folder, &[&at, "-qa", "--qf", format]).lines().map(str::to_owned).collect();
    let inventory = take(&Root::at(&folder.join("machine")).expect("opens"));
    let mut ours: Vec<String> = inventory
        .section(Section::Package)
        .map(|row| {
            let key = row.key.as_str().split('=').next().unwrap_or_default();
            let words: Vec<&str> = key.split('/').collect();
            let [_, name, architecture] = &*words else { panic!("{key}") };
            let [version, source, source_version, module @ ..] = &*row.fields else { panic!("{row:?}") };
            let version = if version.contains(':') { version.clone() } else { format!("0:{version}") };
            let (_, bare) = source_version.split_once(':').expect("an epoch");
            let module = module.first().map_or("(none)", String::as_str);
            format!("{name} {version} {architecture} {source}-{bare}.src.rpm {module}")
        })
        .collect();
    listed.sort_unstable();
    ours.sort_unstable();
    assert_eq!(ours, listed);
    assert_eq!(ours.len(), 2 * SOURCES.len());
    assert_eq!(inventory.section(Section::Unread).count(), 0, "{:?}", inventory.rows());
}
