//! `cordonctl sbom`: check, convert to CycloneDX 1.6, compare.
//!
//! Files only, no server. A file is read no further than its limit before anything of it is believed; what is not read is
//! refused with a word, what cannot be asked about or compared is counted and shown. The same file gives the same bytes. Read
//! next: `cordon_server_core::sbom`, which decides, [`crate::matching`] for its weaknesses.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use cordon_proto::limits;
use cordon_server_core::sbom::drift;
use cordon_server_core::sbom::found::of_inventory;
use cordon_server_core::sbom::write::About;
use cordon_server_core::sbom::{self, Component, Kind, Sbom};
use serde_json::{Value, json};

use crate::arguments::{read_file, time};
use crate::failure::Failure;
use crate::matching::subject::read_inventory;
use crate::report::{Report, plain};
use crate::session::Session;

/// Lines of one kind of difference that people are shown; programs get all.
const LINES: usize = 40;

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Tell what a bill of materials holds, and of how much of it advisories can speak.
    Check(Check),
    /// Write a bill of materials, or the inventory of a device, as CycloneDX 1.6.
    Convert(Convert),
    /// Compare what a release was shipped with and what is found on a device.
    Drift(Between),
}

/// Look at a bill of materials.
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// CycloneDX 1.2 to 1.6 in JSON, or SPDX 2.2 or 2.3 in JSON or tag-value.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Write CycloneDX 1.6.
#[derive(Clone, Debug, Args)]
pub struct Convert {
    /// A bill of materials of any format that is read.
    #[arg(value_name = "FILE", required_unless_present = "inventory")]
    pub file: Option<PathBuf>,
    /// Instead: what `cordon-agent inventory` printed.
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    pub inventory: Option<PathBuf>,
    /// Write it there instead of printing it.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// When it is made, RFC 3339 in UTC; otherwise what the file itself says, or nothing.
    #[arg(long, value_name = "TIME")]
    pub made: Option<String>,
    /// Its serial number, a UUID; none is drawn by chance.
    #[arg(long, value_name = "UUID")]
    pub serial: Option<String>,
}

/// Compare two.
#[derive(Clone, Debug, Args)]
pub struct Between {
    /// The bill of materials of the release that runs.
    #[arg(long, value_name = "FILE")]
    pub release_sbom: PathBuf,
    /// What `cordon-agent inventory` printed on the device.
    #[arg(long, value_name = "FILE", required_unless_present = "found")]
    pub inventory: Option<PathBuf>,
    /// Instead: the bill of materials of the device as found.
    #[arg(long, value_name = "FILE", conflicts_with = "inventory")]
    pub found: Option<PathBuf>,
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// A file cannot be read or is none that is read here.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        match self {
            Self::Check(check) => check.run(),
            Self::Convert(convert) => convert.run(session),
            Self::Drift(between) => between.run(),
        }
    }
}

/// Reads a bill of materials within its limits.
pub(crate) fn read(path: &Path) -> Result<Sbom, Failure> {
    let bytes = read_file(path, limits::SBOM_BYTES)?;
    sbom::read(&bytes).map_err(|why| Failure::refused("sbom", format!("{}: {why}", path.display())))
}

fn of_rows(path: &Path) -> Result<Sbom, Failure> {
    let (inventory, lost) = read_inventory(path)?;
    let device = Component {
        kind: Kind::Device,
        name: "device".into(),
        reference: "device".into(),
        ..Component::default()
    };
    let mut found = of_inventory(&inventory, device);
    if lost > 0 {
        found.told.insert("rows-twice-or-too-many", lost);
    }
    Ok(found)
}

impl Check {
    fn run(&self) -> Result<Report, Failure> {
        let sbom = read(&self.file)?;
        let matchable = sbom.matchable();
        let subject = sbom
            .subject
            .as_ref()
            .map(|subject| json!({"name": subject.name, "version": subject.version, "purl": subject.purl}));
        let json = json!({
            "v": 1, "format": sbom.format.word(), "version": sbom.version, "serial": sbom.serial,
            "made": sbom.made.map(|at| at.to_string()), "subject": subject,
            "components": sbom.components.len(), "dependencies": sbom.needs.len(),
            "matchable": matchable.components.len(), "without_release": matchable.without_release,
            "unmatchable": matchable.left_out, "told": sbom.told,
        });
        let mut text = format!("{} {}", sbom.format.word(), sbom.version);
        if let Some(subject) = &sbom.subject {
            let version = subject.version.as_deref().unwrap_or("without a version");
            let _ = write!(text, " of {} {}", plain(&subject.name), plain(version));
        }
        let _ = write!(
            text,
            ": {} components, {} dependencies\n{} can be asked about by package URL\n",
            sbom.components.len(),
            sbom.needs.len(),
            matchable.components.len(),
        );
        text.push_str(&counted(&matchable.left_out));
        if matchable.without_release > 0 {
            let _ = writeln!(
                text,
                "{} of them do not say of which release of their distribution they are, and stay unknown: write distro= in their package URLs",
                matchable.without_release
            );
        }
        text.push_str(&counted(&sbom.told));
        Ok(Report::new(text, json))
    }
}

impl Convert {
    fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let sbom = match (&self.inventory, &self.file) {
            (Some(rows), _) => of_rows(rows)?,
            (None, Some(file)) => read(file)?,
            (None, None) => return Err(Failure::Usage("name a file".to_owned())),
        };
        let made = self.made.as_deref().map(|text| time(text, session.now)).transpose()?;
        let about = About {
            made: made.or(sbom.made),
            serial: self.serial.as_deref(),
            program: env!("CARGO_PKG_VERSION"),
        };
        let text = sbom.cyclonedx(about);
        if self.serial.is_some() && !text.contains("\"serialNumber\"") {
            return Err(Failure::Usage(
                "--serial takes a UUID, such as 3e671687-395b-41f5-a30f-a58921a69b79".to_owned(),
            ));
        }
        let Some(out) = &self.out else {
            let json = serde_json::from_str(&text).map_err(|error| Failure::refused("sbom", error))?;
            return Ok(Report::new(text, json));
        };
        std::fs::write(out, &text).map_err(|error| Failure::file("write", out, &error))?;
        let line = format!("{}: CycloneDX 1.6, {} components\n", out.display(), sbom.components.len());
        let json = json!({"file": out.display().to_string(), "format": "CycloneDX", "version": "1.6", "components": sbom.components.len()});
        Ok(Report::new(line, json))
    }
}

impl Between {
    fn run(&self) -> Result<Report, Failure> {
        let shipped = read(&self.release_sbom)?;
        let found = match (&self.inventory, &self.found) {
            (Some(rows), _) => of_rows(rows)?,
            (None, Some(file)) => read(file)?,
            (None, None) => {
                return Err(Failure::Usage(
                    "name what was found: --inventory FILE or --found FILE".to_owned(),
                ));
            }
        };
        let drift = drift::between(&shipped, &found);
        let mut json = serde_json::to_value(&drift).map_err(|error| Failure::refused("drift", error))?;
        if let Value::Object(fields) = &mut json {
            fields.insert("v".to_owned(), 1.into());
        }
        Ok(Report::new(told(&json), json))
    }
}

/// For people: what differs, each kind no longer than a page, and what was not compared. Takes what a server answered as
/// well as what was compared here.
pub(crate) fn told(drift: &Value) -> String {
    let mut text = String::new();
    let list = |name: &str| drift[name].as_array().map_or(&[][..], Vec::as_slice);
    let versions = |value: &Value| {
        let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        plain(&texts.collect::<Vec<_>>().join(", "))
    };
    for (name, word) in [("missing", "MISSING"), ("extra", "EXTRA"), ("changed", "CHANGED")] {
        for one in list(name).iter().take(LINES) {
            let purl = plain(one["purl"].as_str().unwrap_or_default());
            let _ = match name {
                "changed" => {
                    let (shipped, found) = (versions(&one["shipped"]), versions(&one["found"]));
                    writeln!(text, "{word:<8} {purl} shipped {shipped}, found {found}")
                }
                _ => writeln!(text, "{word:<8} {purl} {}", versions(&one["versions"])),
            };
        }
        if list(name).len() > LINES {
            let _ =
                writeln!(text, "{word:<8} and {} more: --output json lists them", list(name).len() - LINES);
        }
    }
    let [missing, extra, changed] = ["missing", "extra", "changed"].map(|name| list(name).len());
    let same = &drift["same"];
    let _ =
        writeln!(text, "{missing} missing, {extra} extra, {changed} in another version, {same} as shipped");
    // What a server answers about a device has these too.
    if let Some(count) = drift.pointer("/files/count").and_then(Value::as_str) {
        let _ = writeln!(text, "{} files that the image declares are as declared", plain(count));
        let differing = drift.pointer("/files/differing").and_then(Value::as_array);
        for file in differing.into_iter().flatten().take(LINES) {
            let [path, found] = ["path", "found"].map(|name| plain(file[name].as_str().unwrap_or_default()));
            let _ = writeln!(text, "FILE     {path}: {found}");
        }
    }
    for side in ["shipped", "found"] {
        let counts = drift.pointer(&format!("/not_compared/{side}")).and_then(Value::as_object);
        for (word, count) in counts.into_iter().flatten() {
            let _ = writeln!(text, "{count} not compared, {side}: {}", sentence(word));
        }
    }
    text
}

fn counted(counts: &BTreeMap<&'static str, usize>) -> String {
    counts.iter().map(|(word, count)| format!("{count} {}\n", sentence(word))).collect()
}

/// What a count means; a word of a newer server stands for itself.
fn sentence(word: &str) -> String {
    let said = match word {
        "not-a-package" => "are files, systems or data: no advisory speaks of such by itself",
        "no-purl" => "have no package URL, and stay unknown",
        "bad-purl" => "have a package URL that is none, and stay unknown",
        "no-version" => "say no version, and stay unknown",
        "kind-not-looked-for" => "are of a kind that the other side does not list at all",
        "kind-not-shipped" => "are of a kind of which nothing was shipped",
        "other-type" => "are of a type that there is not, and count as libraries",
        "reference-twice" => "names stand for more than one component",
        "reference-to-nothing" => "dependencies name nothing in the document",
        "reference-to-itself" => "dependencies lead back to the same thing",
        "in-a-circle" => "components need each other in a circle, or stand between such",
        "rows-not-understood" => "rows of the inventory are of no known kind",
        "rows-twice-or-too-many" => "rows of the inventory stand twice or are too many",
        "inventory-outdated" => "inventory is not the one that the device reported last",
        "unread-by-the-agent" => "sources could not be read on the device: what they hold is not known",
        other => return plain(other),
    };
    said.to_owned()
}
