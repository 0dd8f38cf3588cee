//! Releases: what makers signed and this server took in, newest first for each model, and one release with its files.
//!
//! Every word of a maker is [`Said`]. What cannot be told yet (which vulnerabilities a release closes) is said to be
//! unknown. Read next: `server/ui/releases.html`, `server/ui/release.html`.

use askama::Template;
use cordon_proto::time::Timestamp;

use super::device::Fact;
use super::marks::{Markup, Shape, shape};
use super::said::Said;
use super::words::{bytes, number, plural};
use super::{Frame, chart, paths};

/// The list.
#[derive(Clone, Debug, Default)]
pub struct Releases {
    /// Releases by model, the newest first.
    pub rows: Vec<ReleaseRow>,
    /// Models that have one.
    pub models: u64,
    /// The newest release that would lower the risk of the fleet most, and by how many hundredths of a point.
    pub best: Option<(Said, u64)>,
}

/// One release in the list.
#[derive(Clone, Debug)]
pub struct ReleaseRow {
    /// Its repository and its name, in addresses.
    pub id: (String, String),
    /// Its name.
    pub name: Said,
    /// The model, and where its devices are listed.
    pub model: (Said, String),
    /// Where it stands.
    pub standing: Standing,
    /// Orders releases of a model.
    pub counter: u64,
    /// Keys that signed the list in which it stands.
    pub signers: u64,
    /// Its SBOM, VEX and MUD files in a word each: "SBOM".
    pub documents: Vec<&'static str>,
    /// When it was taken in first.
    pub imported: Timestamp,
    /// Devices that say they run it.
    pub runs_on: u64,
}

/// Where a release stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The newest of its model.
    Newest,
    /// A newer one is there.
    Older,
    /// Its maker lists it no more: devices refuse it.
    Delisted,
}

/// One release's own page.
#[derive(Clone, Debug)]
pub struct Release {
    /// Its row in the list.
    pub row: ReleaseRow,
    /// Who may install it, when, and until when what was signed holds.
    pub facts: Vec<Fact>,
    /// Its files.
    pub files: Vec<FileRow>,
    /// What installing it would change: a label and a sentence each.
    pub effect: Vec<(String, Said)>,
    /// What it would change about risk, device by device; none: it fits no device, or its maker lists it no more.
    pub what_if: Option<WhatIf>,
    /// Its bill of materials: a label and a sentence each; empty: it has none.
    pub sbom: Vec<(String, Said)>,
    /// Orders in the newest document that install it.
    pub orders: Vec<Said>,
}

/// What a release would change about risk, over all devices that it fits.
#[derive(Clone, Debug, Default)]
pub struct WhatIf {
    /// The first line: "lowers fleet risk by 2,483 points; 12 devices leave critical".
    pub words: Said,
    /// Devices that it fits.
    pub devices: u64,
    /// These by risk now: critical, high, medium, low.
    pub before: [u64; 4],
    /// The same with it.
    pub after: [u64; 4],
    /// What would be gone, be new or weigh otherwise, on how many devices, the most first.
    pub rows: Vec<WhatIfRow>,
    /// Rows that are not shown.
    pub more: u64,
    /// Vulnerabilities in the rows, shown or not: gone on some device, and new.
    pub vulnerabilities: [u64; 2],
    /// Whether its own bill of materials was held against what is known; else nobody knows what would be new.
    pub by_bill: bool,
    /// On what its vulnerabilities stand, and what stays unknown.
    pub unknown: Said,
}

/// One part of risk that a release would change.
#[derive(Clone, Debug)]
pub struct WhatIfRow {
    /// How.
    pub how: How,
    /// What: a vulnerability, an age, a failed update.
    pub what: Said,
    /// Its page.
    pub href: Option<String>,
    /// On how many devices.
    pub devices: u64,
}

/// How a part of risk would change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It would be gone.
    Removed,
    /// It would be new.
    Added,
    /// It would weigh otherwise.
    Changed,
}

/// A file that the maker names.
#[derive(Clone, Debug)]
pub struct FileRow {
    /// "Image", "SBOM", "VEX", "MUD file", "delta".
    pub part: &'static str,
    /// In which form it is: "CycloneDX 1.6"; empty where nothing is to be said.
    pub form: Said,
    /// What it counts: "213 components".
    pub counts: String,
    /// Its bytes.
    pub length: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// Whether it is here.
    pub here: bool,
}

#[derive(Template)]
#[template(path = "releases.html")]
struct ListPage<'a> {
    frame: &'a Frame,
    page: &'a Releases,
}

#[derive(Template)]
#[template(path = "release.html")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Release,
}

/// The list as HTML.
#[must_use]
pub fn render_list(frame: &Frame, page: &Releases) -> String {
    super::page(&ListPage { frame, page })
}

/// One release as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Release) -> String {
    super::page(&Page { frame, page })
}

/// Shape and word of where a release stands.
fn mark(standing: Standing) -> Markup {
    let (drawn, class, word) = match standing {
        Standing::Newest => (Shape::Dot, "is-quiet", "Newest"),
        Standing::Older => (Shape::ThinRing, "is-quiet", "Older"),
        Standing::Delisted => (Shape::Octagon, "is-critical", "No longer listed"),
    };
    Markup::new(format!("<span class=\"state {class}\">{}<span>{word}</span></span>", shape(drawn)))
}

impl ListPage<'_> {
    /// "3 releases for 2 models", and what the best of them would change.
    fn head(&self) -> String {
        let releases = u64::try_from(self.page.rows.len()).unwrap_or(u64::MAX);
        let counted = format!(
            "{} for {}",
            plural(releases, "release", "releases"),
            plural(self.page.models, "model", "models")
        );
        match &self.page.best {
            Some((name, hundredths)) => {
                format!("{name} lowers fleet risk by {} points. {counted}", number(hundredths / 100))
            }
            None => counted,
        }
    }

    fn mark(&self, row: &ReleaseRow) -> Markup {
        mark(row.standing)
    }

    fn href(&self, row: &ReleaseRow) -> String {
        paths::release(&row.id.0, &row.id.1)
    }

    fn documents(&self, row: &ReleaseRow) -> String {
        if row.documents.is_empty() { "none".to_owned() } else { row.documents.join(", ") }
    }

    fn signers(&self, row: &ReleaseRow) -> String {
        match row.signers {
            0 => "not recorded".to_owned(),
            count => plural(count, "key", "keys"),
        }
    }
}

impl WhatIfRow {
    /// Shape and word of how it would change.
    fn mark(&self) -> Markup {
        let (drawn, class, word) = match self.how {
            How::Removed => (Shape::Tick, "is-good", "Gone"),
            How::Added => (Shape::Cross, "is-critical", "New"),
            How::Changed => (Shape::HalfRing, "is-plain", "Other weight"),
        };
        Markup::new(format!("<span class=\"state {class}\">{}<span>{word}</span></span>", shape(drawn)))
    }

    fn count(&self) -> String {
        plural(self.devices, "device", "devices")
    }
}

impl Page<'_> {
    fn bars(&self, what_if: &WhatIf) -> [(&'static str, Markup, String); 2] {
        let bar = |label, counts: [u64; 4]| {
            let [critical, high, ..] = counts;
            let words = format!("{} critical, {} high", number(critical), number(high));
            (label, chart::stack(counts), words)
        };
        [bar("Now", what_if.before), bar("With it", what_if.after)]
    }

    fn more(&self, what_if: &WhatIf) -> Option<String> {
        (what_if.more > 0).then(|| format!("and {} more", number(what_if.more)))
    }

    fn mark(&self) -> Markup {
        mark(self.page.row.standing)
    }

    fn evidence(&self) -> String {
        paths::with_query(paths::EVIDENCE, &[("by", "release"), ("name", &self.page.row.id.1)])
    }

    fn order(&self, id: &Said) -> String {
        paths::order(id.raw())
    }

    fn length(&self, file: &FileRow) -> String {
        bytes(file.length)
    }

    fn href(&self, file: &FileRow) -> String {
        paths::target(&file.sha256)
    }

    fn short(&self, file: &FileRow) -> String {
        file.sha256.chars().take(12).collect()
    }
}
