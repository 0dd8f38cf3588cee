//! CSAF, VEX, KEV and EPSS, read from files with their age.
//!
//! Nothing is fetched. What is refused is counted by its reason; a file of which nothing was understood ends the command, for
//! silence would look like safety; one that is old is used and said to be. Whoever names a VEX file believes its issuer. Read
//! next: [`super::assets`] for devices, [`World::beside`] for packages.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::feeds::age::Age;
use cordon_server_core::feeds::csaf::{self, Advisory};
use cordon_server_core::feeds::naming::Aliases;
use cordon_server_core::feeds::vex::cyclonedx::References;
use cordon_server_core::feeds::vex::ledger::{Finding, Ledger, Said};
use cordon_server_core::feeds::vex::subject::Thing;
use cordon_server_core::feeds::{epss, kev, vex};
use cordon_server_core::matching::component::Component;
use serde_json::{Value, json};

use crate::arguments::read_file;
use crate::failure::Failure;
use crate::report::{Report, plain};
use crate::session::Session;

/// Folders within folders that are read.
const FOLDERS: usize = 12;
/// Lines of one cell of a table: a quotation mark that is never closed would swallow all rows behind it.
const CELL_LINES: usize = 12;

/// What is known of the world, and a hospital's own list of devices.
#[derive(Clone, Debug, Default, Args)]
pub struct World {
    /// Instead of packages: a list of devices as CSV, such as a CMMS export; needs --csaf.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dpkg_status", "inventory", "sbom", "purl", "osv", "debian"], requires = "csaf")]
    pub devices: Option<PathBuf>,
    /// A folder of CSAF advisories such as CISA's, subfolders included, or one of them; may be given several times.
    #[arg(long, value_name = "PATH", requires = "devices")]
    pub csaf: Vec<PathBuf>,
    /// Names of makers and models that mean the same, as CSV with the columns maker, model, alias.
    #[arg(long, value_name = "FILE", requires = "devices")]
    pub aliases: Option<PathBuf>,
    /// VEX statements in OpenVEX, CycloneDX or CSAF, whose issuer you believe: a file or a folder, SBOMs that they link to
    /// beside them; may be given several times.
    #[arg(long, value_name = "PATH")]
    pub vex: Vec<PathBuf>,
    /// CISA's catalogue of known exploited vulnerabilities, as JSON.
    #[arg(long, value_name = "FILE")]
    pub kev: Option<PathBuf>,
    /// FIRST's daily table of EPSS scores, as CSV, unpacked.
    #[arg(long, value_name = "FILE")]
    pub epss: Option<PathBuf>,
}

/// What was read.
#[derive(Default)]
pub(super) struct Known {
    pub(super) advisories: Vec<Advisory>,
    pub(super) ledger: Ledger,
    kev: Option<kev::Catalogue>,
    epss: Option<epss::Scores>,
    pub(super) feeds: Vec<Feed>,
}

/// What was read of one feed.
pub(super) struct Feed {
    kind: &'static str,
    name: String,
    records: usize,
    refused: BTreeMap<&'static str, usize>,
    as_of: Option<Timestamp>,
    age: Age,
}

impl World {
    /// Reads all that was named.
    pub(super) fn read(&self, now: Timestamp, aliases: Aliases) -> Result<Known, Failure> {
        let mut known = Known { ledger: Ledger::new(aliases), ..Known::default() };
        for path in &self.csaf {
            let feed = read_csaf(path, now, &mut known.advisories)?;
            known.feeds.push(feed);
        }
        for path in &self.vex {
            let feed = read_vex(path, now, &mut known.ledger)?;
            known.feeds.push(feed);
        }
        if let Some(path) = &self.kev {
            let read = kev::read(&read_file(path, limits::FEED_BYTES)?).map_err(|why| refused(path, why))?;
            let (records, counts, as_of) = (read.entries.len(), read.refused.clone(), read.as_of);
            known.feeds.push(Feed::new("kev", path, now, (records, counts, as_of)));
            known.kev = Some(read);
        }
        if let Some(path) = &self.epss {
            let mut read = epss::Scores::default();
            rows(path, |cells| read.row(cells).map_err(|why| refused(path, why)))?;
            let read = read.finish().map_err(|why| refused(path, why))?;
            let (records, counts, as_of) = (read.scores.len(), read.refused.clone(), read.as_of);
            known.feeds.push(Feed::new("epss", path, now, (records, counts, as_of)));
            known.epss = Some(read);
        }
        Ok(known)
    }

    /// Sets what the world says beside the answers about packages: `exploited`, `epss` and `suppressed_by`.
    pub(super) fn beside(&self, mut report: Report, session: &Session<'_>) -> Result<Report, Failure> {
        if self.vex.is_empty() && self.kev.is_none() && self.epss.is_none() {
            return Ok(report);
        }
        let mut known = self.read(session.now, Aliases::default())?;
        let (mut suppressed, mut exploited) = (0, 0);
        let verdicts = report.json.get_mut("verdicts").and_then(Value::as_array_mut);
        for verdict in verdicts.into_iter().flatten() {
            let id = verdict["id"].as_str().unwrap_or_default().to_owned();
            let component: Option<Component> = serde_json::from_value(verdict["component"].clone()).ok();
            let thing = component.as_ref().map(Thing::of_component).unwrap_or_default();
            let open = matches!(verdict["answer"].as_str(), Some("affected" | "unknown"));
            let said = known.suppression(&[id.as_str()], &thing);
            suppressed += usize::from(open && !said.is_null());
            exploited += usize::from(open && known.is_exploited(&id));
            let facts = known.facts(&id);
            let Some(fields) = verdict.as_object_mut() else { continue };
            fields.extend(facts);
            fields.insert("suppressed_by".to_owned(), said);
        }
        if let Some(feeds) = report.json.get_mut("feeds").and_then(Value::as_array_mut) {
            feeds.extend(known.feeds.iter().map(Feed::document));
        }
        report.text.push_str(&format!(
            "of these {exploited} are exploited in the wild, {suppressed} are judged by VEX\n"
        ));
        report.text.push_str(&known.lines());
        let silent = known.silent();
        Ok(report.with("silent_vex", Value::from(silent)))
    }
}

impl Known {
    /// Whether a weakness stands in CISA's catalogue.
    pub(super) fn is_exploited(&self, id: &str) -> bool {
        self.kev.as_ref().is_some_and(|kev| kev.entries.contains_key(id))
    }

    /// What the world says of a weakness.
    pub(super) fn facts(&self, id: &str) -> serde_json::Map<String, Value> {
        let exploited = self.kev.as_ref().and_then(|kev| kev.entries.get(id)).map(|entry| {
            json!({"added": entry.added.to_string(), "due": entry.due.map(|due| due.to_string()), "ransomware": entry.ransomware})
        });
        let epss = self.epss.as_ref().and_then(|epss| epss.scores.get(id)).map(|chance| {
            json!({"millionths": chance.millionths, "percentile_millionths": chance.percentile_millionths})
        });
        let mut facts = serde_json::Map::new();
        facts.insert("exploited".to_owned(), Value::from(exploited));
        facts.insert("epss".to_owned(), Value::from(epss));
        facts
    }

    /// The VEX statement that says a thing does not have a weakness; `null` where none counts.
    pub(super) fn suppression(&mut self, names: &[&str], thing: &Thing) -> Value {
        let finding = Finding { names, component: thing, product: None };
        let safe = |said: &Said<'_>| matches!(said.status, vex::Status::NotAffected | vex::Status::Fixed);
        let said = self.ledger.judge(finding).filter(safe).map(|said| {
            json!({
                "status": said.status.word(), "document": said.document, "issuer": said.issuer,
                "product": said.statement.subject.written, "reason": said.statement.reason,
            })
        });
        Value::from(said)
    }

    /// The statements that met no finding, and why.
    pub(super) fn silent(&self) -> Vec<Value> {
        let one = |(statement, document, met): (&vex::Statement, &str, vex::ledger::Met)| {
            json!({
                "weakness": statement.names.first(), "product": statement.subject.written,
                "status": statement.status.word(), "document": document, "why": met.word(),
            })
        };
        self.ledger.silent().map(one).collect()
    }

    /// For people: how old the feeds are, what of them was refused, which statements met nothing.
    pub(super) fn lines(&self) -> String {
        let mut lines: String = self.feeds.iter().flat_map(Feed::lines).collect();
        let (all, met) = self.ledger.counts();
        if all > 0 {
            lines.push_str(&format!("VEX matched {met} of {all} statements to findings\n"));
        }
        lines
    }
}

impl Feed {
    fn new(
        kind: &'static str,
        path: &Path,
        now: Timestamp,
        (records, refused, as_of): (usize, BTreeMap<&'static str, usize>, Option<Timestamp>),
    ) -> Self {
        let age = Age::of(as_of, now, None);
        Self { kind, name: path.display().to_string(), records, refused, as_of, age }
    }

    /// For programs.
    pub(super) fn document(&self) -> Value {
        json!({
            "kind": self.kind, "name": self.name, "records": self.records, "refused": self.refused, "mended": {},
            "as_of": self.as_of.map(|at| at.to_string()), "age": self.age.word(), "age_days": self.age.days(),
        })
    }

    fn lines(&self) -> Vec<String> {
        let name = plain(&self.name);
        let old = match (self.age, self.as_of) {
            (Age::Fresh { .. }, _) => None,
            (Age::Stale { days }, _) => Some(format!("{name}: {days} days old: get a newer one\n")),
            (Age::Ahead, Some(at)) => Some(format!(
                "{name}: it is of {at}, which has not come: set the clock, or ask who made it\n"
            )),
            (Age::Ahead | Age::Undated, _) => Some(format!("{name}: it does not say how old it is\n")),
        };
        let left_out = self.refused.iter().map(|(why, count)| format!("{name}: {count} left out: {why}\n"));
        old.into_iter().chain(left_out).collect()
    }
}

fn read_csaf(path: &Path, now: Timestamp, advisories: &mut Vec<Advisory>) -> Result<Feed, Failure> {
    let (mut records, mut newest) = (0, None);
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for (_, bytes) in documents(path)? {
        match csaf::read(&bytes) {
            Err(why) => *counts.entry(why.word()).or_default() += 1,
            Ok(advisory) => {
                records += 1;
                newest = newest.max(advisory.updated);
                for (what, count) in [
                    ("products-nowhere", advisory.nowhere),
                    ("products-unresolved", advisory.unresolved),
                    ("scores-miscounted", advisory.miscounted),
                ] {
                    if count > 0 {
                        *counts.entry(what).or_default() += count;
                    }
                }
                advisories.push(advisory);
            }
        }
    }
    some(path, records, &counts)?;
    Ok(Feed::new("csaf", path, now, (records, counts, newest)))
}

/// Statements of all documents under a path, links between them followed.
fn read_vex(path: &Path, now: Timestamp, ledger: &mut Ledger) -> Result<Feed, Failure> {
    let (mut known, mut documents) = (References::default(), documents(path)?);
    // SBOMs first, so that links find what they name; another format is no SBOM.
    documents.retain(|(_, bytes)| known.add(bytes).is_err() || has_statements(bytes));
    let (mut records, mut newest) = (0, None);
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for (_, bytes) in &documents {
        match vex::read(bytes, &known) {
            Err(why) => *counts.entry(why.word()).or_default() += 1,
            Ok(document) => {
                records += document.statements.len();
                newest = document.statements.iter().map(|statement| statement.at).max().flatten().max(newest);
                for (why, count) in &document.refused {
                    *counts.entry(*why).or_default() += count;
                }
                ledger.add(document, true);
            }
        }
    }
    some(path, records, &counts)?;
    Ok(Feed::new("vex", path, now, (records, counts, newest)))
}

/// Whether a CycloneDX document speaks of weaknesses.
fn has_statements(bytes: &[u8]) -> bool {
    vex::read(bytes, &References::default())
        .is_ok_and(|document| !(document.statements.is_empty() && document.refused.is_empty()))
}

fn some(path: &Path, records: usize, counts: &BTreeMap<&'static str, usize>) -> Result<(), Failure> {
    if records > 0 {
        return Ok(());
    }
    let why: Vec<_> = counts.iter().map(|(why, count)| format!("{count} {why}")).collect();
    Err(refused(path, format!("nothing in it could be read ({})", why.join(", "))))
}

/// The JSON documents under a path, sorted by their names, within bounds.
fn documents(path: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, Failure> {
    let mut files = Vec::new();
    collect(path, FOLDERS, &mut files)?;
    files.sort_unstable();
    let mut left = limits::FEED_BYTES;
    let mut documents = Vec::new();
    for file in files {
        let bytes = read_file(&file, limits::FEED_BYTES)?;
        left = left.checked_sub(bytes.len() as u64).ok_or_else(|| too_long(path))?;
        documents.push((file, bytes));
    }
    Ok(documents)
}

fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let wrong = |error: std::io::Error| Failure::file("read", path, &error);
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(wrong)? {
        let file = entry.map_err(wrong)?.path();
        if file.is_dir() && !file.is_symlink() {
            let Some(left) = depth.checked_sub(1) else {
                return Err(refused(&file, format!("more than {FOLDERS} folders deep: name it by itself")));
            };
            collect(&file, left, files)?;
        } else if file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json")) && file.is_file()
        {
            files.push(file);
        }
        if files.len() > limits::FEED_ROWS {
            return Err(too_long(path));
        }
    }
    Ok(())
}

/// The rows of a table, each split into cells; commas, semicolons and tabs part them.
pub(super) fn rows(path: &Path, mut take: impl FnMut(&[&str]) -> Result<(), Failure>) -> Result<(), Failure> {
    let bytes = read_file(path, limits::FEED_BYTES)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| refused(path, "it is not in UTF-8: save it as \"CSV UTF-8\""))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let head = text.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
    let parting = [b';', b'\t'].into_iter().find(|sign| head.as_bytes().contains(sign)).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(parting)
        .trim(csv::Trim::All)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    for record in reader.records() {
        let record = record.map_err(|error| refused(path, error))?;
        let lines = record.iter().map(|cell| cell.lines().count()).max().unwrap_or_default();
        if lines > CELL_LINES {
            let line = record.position().map_or(0, csv::Position::line);
            let why = format!(
                "a cell of {lines} lines in the row that begins at line {line}: close its quotation mark"
            );
            return Err(refused(path, why));
        }
        take(&record.iter().collect::<Vec<_>>())?;
    }
    Ok(())
}

pub(super) fn refused(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::refused("feed", format!("{}: {why}", path.display()))
}

fn too_long(path: &Path) -> Failure {
    refused(path, format!("more than {} bytes or {} files", limits::FEED_BYTES, limits::FEED_ROWS))
}
