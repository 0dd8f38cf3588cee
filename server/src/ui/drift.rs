//! How the software of a device differs from what its release shipped: what is missing, what was added, what changed.
//!
//! Without a bill of materials of the running release nothing is compared, and the page says so. Read next:
//! [`super::software`], `server/ui/drift.html`.

use askama::Template;

use super::Frame;
use super::device::Head;
use super::said::Said;
use super::words::{number, plural};

/// Rows of one list that are shown.
const ROWS: usize = 500;

/// The page.
#[derive(Clone, Debug)]
pub struct Drift {
    /// The device's head.
    pub head: Head,
    /// The release that runs, as the device says; empty: none that is known here.
    pub release: Said,
    /// The comparison, or why there is none.
    pub found: Result<Difference, Said>,
}

/// What differs; the component by its name without a version, then its versions.
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// Shipped and found alike.
    pub same: u64,
    /// Shipped and not found: the component and the version that was shipped.
    pub missing: Vec<(Said, Said)>,
    /// Found and not shipped.
    pub extra: Vec<(Said, Said)>,
    /// Shipped in one version, found in another.
    pub other: Vec<(Said, Said, Said)>,
    /// Components without a name by which they could be compared, of either side.
    pub unnamed: u64,
    /// How many of the files that the image declares are as declared: "198 of 200"; empty: it declares none.
    pub declared: Said,
    /// Those that are not, each with what was found.
    pub files: Vec<(Said, Said)>,
}

/// What is on one side alone: its title, the title of its versions, the rows.
type Side<'d> = (&'static str, &'static str, &'d [(Said, Said)]);

#[derive(Template)]
#[template(path = "drift.html")]
struct Page<'a> {
    frame: &'a Frame,
    head: &'a Head,
    tab: &'static str,
    page: &'a Drift,
}

/// The page as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Drift) -> String {
    super::page(&Page { frame, head: &page.head, tab: "software", page })
}

impl Page<'_> {
    fn answer(&self, found: &Difference) -> String {
        let differs = found.missing.len() + found.extra.len() + found.other.len();
        let files = match u64::try_from(found.files.len()).unwrap_or(u64::MAX) {
            0 => String::new(),
            count => format!("; {}", plural(count, "file is not as declared", "files are not as declared")),
        };
        let release =
            if self.page.release.is_empty() { "its release".into() } else { self.page.release.to_string() };
        match u64::try_from(differs).unwrap_or(u64::MAX) {
            0 if files.is_empty() => format!("It runs what {release} shipped"),
            0 => format!("Its packages are what {release} shipped{files}"),
            count => format!(
                "{} from what {release} shipped{files}",
                plural(count, "component differs", "components differ")
            ),
        }
    }

    fn under(&self, found: &Difference) -> String {
        let same = plural(found.same, "component is as shipped", "components are as shipped");
        let declared = match found.declared.is_empty() {
            true => "Its image declares no files.".to_owned(),
            false => format!("{} files that its image declares are as declared.", found.declared),
        };
        match found.unnamed {
            0 => format!("{same}. {declared}"),
            unnamed => {
                let lost = plural(unnamed, "component has", "components have");
                format!("{same}. {lost} no name by which to compare, and could differ. {declared}")
            }
        }
    }

    fn pairs<'d>(&self, found: &'d Difference) -> [Side<'d>; 2] {
        [
            ("Shipped, not found", "Shipped version", cut(&found.missing)),
            ("Found, not shipped", "Found version", cut(&found.extra)),
        ]
    }

    fn files<'d>(&self, found: &'d Difference) -> &'d [(Said, Said)] {
        cut(&found.files)
    }

    fn other<'d>(&self, found: &'d Difference) -> &'d [(Said, Said, Said)] {
        cut(&found.other)
    }

    /// "and 212 more" of a list that is cut.
    fn more(&self, found: &Difference) -> Option<String> {
        let all = [found.missing.len(), found.extra.len(), found.other.len(), found.files.len()];
        let left: usize = all.into_iter().map(|rows| rows.saturating_sub(ROWS)).sum();
        let left = u64::try_from(left).unwrap_or(u64::MAX);
        (left > 0).then(|| format!("and {} more, in the file", number(left)))
    }

    fn file(&self) -> String {
        format!("/api/v1/devices/{}/drift", super::paths::encode(&self.head.id))
    }
}

fn cut<T>(rows: &[T]) -> &[T] {
    rows.get(..ROWS).unwrap_or(rows)
}
