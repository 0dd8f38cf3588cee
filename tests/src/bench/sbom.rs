//! `bench sbom`: memory of the greatest bill of materials and hostile ones.
//!
//! What each costs `cordonctl sbom check`: each file is looked at by a process that has done nothing before, whose peak
//! of resident memory and CPU are its own. Beside it stands a floor: Python's JSON parser over the same file, which knows
//! nothing of components. A hostile file must be refused with its reason, and no file may take more than the bar. Read
//! next: `cordon_server_core::sbom`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;

use super::footprint::{Footprint, TICKS_PER_S};
use crate::command::Folder;
use crate::program::program;

/// Components that are read at most.
const MOST: usize = cordon_proto::limits::SBOM_COMPONENTS;
/// The bar: MiB that any file may take.
const BAR_MIB: f64 = 256.0;

/// One file, in a process of its own.
#[derive(Clone, Debug, Args)]
pub struct Task {
    /// The file.
    pub file: PathBuf,
}

/// Looks at a file as a person would; prints status, peak KiB, CPU ticks and the last line that was said.
pub fn side(task: &Task) -> anyhow::Result<()> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let file = task.file.display().to_string();
    let status = cordonctl::run_with(["cordonctl", "sbom", "check", &file], &mut out, &mut err);
    let own = Footprint::of(std::process::id())?;
    let said = String::from_utf8_lossy(if status == 0 { &out } else { &err }).into_owned();
    let line = said.lines().next().unwrap_or_default();
    println!("{status}\t{}\t{}\t{line}", own.peak_kib, own.ticks);
    Ok(())
}

/// A file, whether it is read, and a word of what is said of it.
struct Case {
    name: &'static str,
    file: PathBuf,
    is_read: bool,
    word: &'static str,
}

/// Runs every file, and the floor over those that Python reads too.
pub fn run() -> anyhow::Result<()> {
    let folder = Folder::open(None)?;
    let cases = cases(folder.path())?;
    println!(
        "cordonctl sbom check, each file in a process of its own{}",
        if cfg!(debug_assertions) { " (a debug build)" } else { "" }
    );
    println!("{:<44} {:>8} {:>9} {:>8} {:>14}", "", "MB", "peak MiB", "CPU s", "python MiB");
    for case in &cases {
        let megabytes = std::fs::metadata(&case.file)?.len() as f64 / 1e6;
        let (status, peak, seconds, said) = looked(&case.file)?;
        let floor = if megabytes < 100.0 { python(&case.file) } else { None };
        let floor = floor.map_or("-".to_owned(), |mib| format!("{mib:.0}"));
        println!("{:<44} {megabytes:>8.1} {peak:>9.1} {seconds:>8.2} {floor:>14}", case.name);
        ensure!(
            (status == "0") == case.is_read && said.contains(case.word),
            "{}: {status} {said}",
            case.name
        );
        ensure!(peak <= BAR_MIB, "a bar was missed: {} took {peak:.1} MiB", case.name);
    }
    println!("held: no file takes more than {BAR_MIB} MiB, every hostile one is refused with its reason");
    Ok(())
}

fn looked(file: &Path) -> anyhow::Result<(String, f64, f64, String)> {
    let output = program(std::env::current_exe()?).arg("sbom-side").arg(file).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let line = String::from_utf8(output.stdout)?;
    let mut fields = line.trim_end().splitn(4, '\t').map(str::to_owned);
    let mut next = || fields.next().context("four fields");
    let (status, peak, ticks) = (next()?, next()?.parse::<f64>()?, next()?.parse::<f64>()?);
    Ok((status, peak / 1024.0, ticks / TICKS_PER_S, next()?))
}

/// MiB that Python's own parser takes, if it is here and reads the file.
fn python(file: &Path) -> Option<f64> {
    let text = "import json, resource, sys; json.load(open(sys.argv[1], 'rb')); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)";
    let output = program("python3").args(["-c", text]).arg(file).output().ok()?;
    let kib: f64 = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

fn cases(folder: &Path) -> anyhow::Result<Vec<Case>> {
    let case = |name, is_read, word, pieces: &mut dyn Iterator<Item = String>| -> anyhow::Result<Case> {
        let file = folder.join(format!("{}.json", fastrand::u64(..)));
        let mut writer = std::io::BufWriter::new(std::fs::File::create(&file)?);
        for piece in pieces {
            writer.write_all(piece.as_bytes())?;
        }
        writer.flush()?;
        Ok(Case { name, file, is_read, word })
    };
    let bom = |parts: Box<dyn Iterator<Item = String>>, edges: Box<dyn Iterator<Item = String>>| {
        let head = "{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.6\",\"components\":[{}".to_owned();
        let middle = "],\"dependencies\":[{}".to_owned();
        [head].into_iter().chain(parts).chain([middle]).chain(edges).chain(["]}".to_owned()])
    };
    let named = |count: usize| -> Box<dyn Iterator<Item = String>> {
        Box::new((1..count).map(|at| {
            format!(",{{\"type\":\"library\",\"bom-ref\":\"{at}\",\"name\":\"package-{at}\",\"version\":\"1.{at}-2\",\"purl\":\"pkg:deb/debian/package-{at}@1.{at}-2?arch=amd64&distro=debian-12\",\"licenses\":[{{\"license\":{{\"id\":\"MIT\"}}}}]}}")
        }))
    };
    let line = |count: usize, closed: bool| -> Box<dyn Iterator<Item = String>> {
        let last = closed.then(|| format!(",{{\"ref\":\"{}\",\"dependsOn\":[\"1\"]}}", count - 1));
        let edges = (2..count).map(|at| format!(",{{\"ref\":\"{}\",\"dependsOn\":[\"{at}\"]}}", at - 1));
        Box::new(edges.chain(last))
    };
    let none = || -> Box<dyn Iterator<Item = String>> { Box::new(std::iter::empty()) };
    let bare =
        |count: usize| -> Box<dyn Iterator<Item = String>> { Box::new((1..count).map(|_| ",{}".to_owned())) };
    let nested = Box::new((0..2).map(|_| format!(",{{\"components\":[{{}}{}]}}", ",{}".repeat(MOST / 2))));
    let fan = Box::new(
        (0..11).map(|_| format!(",{{\"ref\":\"1\",\"dependsOn\":[\"1\"{}]}}", ",\"2\"".repeat(MOST - 1))),
    );
    let mut cases = vec![
        case(
            "100,000 components with a chain of dependencies",
            true,
            "100000 components",
            &mut bom(named(MOST), line(MOST, false)),
        )?,
        case(
            "the same, closed to a circle",
            true,
            "100000 components",
            &mut bom(named(MOST), line(MOST, true)),
        )?,
        case(
            "a million components",
            false,
            "more than 100000 components",
            &mut bom(bare(1_000_000), none()),
        )?,
        case("11 million empty components", false, "more than", &mut bom(bare(11_000_000), none()))?,
        case(
            "two that hold half of too many each",
            false,
            "more than 100000 components",
            &mut bom(nested, none()),
        )?,
        case("more than a million dependencies", false, "1000000 dependencies", &mut bom(named(3), fan))?,
        case(
            "thirty million brackets",
            false,
            "nested more deeply",
            &mut ["{\"bomFormat\":".to_owned(), "[".repeat(30_000_000)].into_iter(),
        )?,
    ];
    cases.push(huge(folder)?);
    Ok(cases)
}

fn huge(folder: &Path) -> anyhow::Result<Case> {
    let file = folder.join("huge.json");
    std::fs::File::create(&file)?.set_len(500_000_000)?;
    Ok(Case { name: "500 MB", file, is_read: false, word: "has more than 33554432 bytes" })
}
