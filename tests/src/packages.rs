//! The Debian packages of agent, server and `cordonctl`: built, and tried out in a fresh system of their own.
//!
//! What is in them stands in each package's manifest (`package.metadata.deb`) and its `debian` folder; cargo-deb packs it.
//! Trying out means what an administrator does: dpkg in an empty Debian, a server's folder laid, a device enrolled, its
//! status and the console read, and all of it taken off again. Read next: [`papers`] for manual pages and completions.

pub mod papers;
mod trial;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use clap::Args;

use crate::program;

/// The packages, with the program in each.
pub const PACKAGES: [(&str, &str); 3] =
    [("cordon-agent", "cordon-agent"), ("cordon-server", "cordon-server"), ("cordon-ctl", "cordonctl")];

/// What to do.
#[derive(Debug, Args)]
pub struct Options {
    /// The profile of the programs that are packed, built before: `release` is the agent as `cargo agent` builds it and the others
    /// as `cargo build --release` does; `dev` is what the tests built.
    #[arg(long, default_value = "release")]
    profile: String,
    /// Where the packages go.
    #[arg(long, default_value = "target/debian")]
    out: PathBuf,
    /// Install, run and purge them in a fresh Debian below this folder, which debootstrap fills once; root alone may.
    #[arg(long, value_name = "FOLDER")]
    try_in: Option<PathBuf>,
}

/// Writes the papers, packs, and tries out where that is asked for.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let written = papers::write(Path::new("target/papers"))?;
    println!("{written} manual pages and completions");
    std::fs::create_dir_all(&options.out)?;
    let out = options.out.canonicalize()?;
    let mut packed = Vec::new();
    for (package, _) in PACKAGES {
        let file = pack(package, &options.profile, &out)?;
        println!("{}, {} kB", file.display(), std::fs::metadata(&file)?.len() / 1000);
        packed.push(file);
    }
    match &options.try_in {
        Some(folder) => trial::run(folder, &packed),
        None => Ok(()),
    }
}

/// One package, by cargo-deb.
fn pack(package: &str, profile: &str, out: &Path) -> anyhow::Result<PathBuf> {
    let profile = if profile == "release" && package == "cordon-agent" { "agent" } else { profile };
    let mut cargo = program::program("cargo");
    cargo.args(["deb", "--no-build", "--locked", "--quiet", "--no-separate-debug-symbols"]);
    cargo.args(["--package", package, "--profile", profile, "--output"]).arg(out);
    let said = told(cargo).context("cargo-deb packs; `cargo install cargo-deb` brings it")?;
    let file = said.lines().last().map(str::trim).unwrap_or_default();
    ensure!(file.ends_with(".deb"), "cargo-deb said {said:?}, and no package");
    Ok(PathBuf::from(file))
}

/// What a program printed, or why it failed in its own words.
fn told(mut command: Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.output().with_context(|| format!("{name} cannot be started"))?;
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    ensure!(done.status.success(), "{command:?} ended with {}:\n{out}{err}", done.status);
    Ok(out.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skip;

    /// A unit beside the drop-ins that go with it, and what it may be exposed at most, in tenths (systemd's own scale).
    const UNITS: [(&str, &[&str], u8); 4] = [
        ("server/debian/cordon-server.service", &[], 15),
        ("agent/debian/cordon-agent.service", &[], 18),
        ("agent/debian/cordon-agent.service", &["agent/debian/watch-only.conf"], 15),
        ("agent/debian/cordon-agent.service", &["agent/debian/slots.conf"], 20),
    ];

    fn source(path: &str) -> String {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    #[test]
    fn services_are_confined_as_far_as_systemd_can_tell() {
        let Some(judge) = skip::require_package("systemd-analyze") else { return };
        let folder = tempfile::tempdir().expect("a folder");
        for (unit, beside, most) in UNITS {
            let mut text = source(unit);
            beside.iter().for_each(|drop_in| text.push_str(&source(drop_in)));
            // A drop-in takes lists back with an empty line of theirs, which one file does not say of a command.
            let kept = text.lines().filter(|line| !line.starts_with("ExecStopPost="));
            let file = folder.path().join(Path::new(unit).file_name().expect("a file"));
            std::fs::write(&file, kept.collect::<Vec<_>>().join("\n")).expect("written");
            let mut command = program::program(&judge);
            command
                .args(["security", "--offline=yes", "--no-pager", &format!("--threshold={most}")])
                .arg(&file);
            let said = told(command).unwrap_or_else(|error| panic!("{unit} with {beside:?}: {error:#}"));
            assert!(said.contains("Overall exposure level"), "{said}");
        }
    }

    #[test]
    fn no_package_starts_a_service_before_a_person_has_set_it_up() {
        for package in ["agent", "server"] {
            let manifest = source(&format!("{package}/Cargo.toml"));
            assert!(manifest.contains("enable = true, start = false"), "{package}");
        }
        assert!(source("server/debian/cordon-server.service").contains("ConditionPathExists="));
        assert!(source("agent/debian/cordon-agent.service").contains("ConditionDirectoryNotEmpty="));
    }
}
