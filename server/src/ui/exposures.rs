//! The vulnerabilities of one device, grouped by the package or product that they are in.
//!
//! What cannot be judged stands in a group of its own and is counted at the top; what a maker's statement calls harmless is
//! shown with the statement, never left out. Read next: [`super::vulnerability`], `server/ui/exposures.html`.

use askama::Template;
use cordon_proto::time::Timestamp;

use super::device::Head;
use super::devices::Step;
use super::marks::Markup;
use super::said::Said;
use super::vulnerabilities::{Exploited, Ground, VulnerabilityRow};
use super::vulnerability::Answered;
use super::words::{number, plural};
use super::{Frame, badge, paths};

/// Rows of one group that are shown at once; the rest opens.
const ROWS_SHOWN: usize = 12;

/// The page.
#[derive(Clone, Debug)]
pub struct Exposures {
    /// The device's head.
    pub head: Head,
    /// Weaknesses by answer: affected, unknown, fixed, not affected.
    pub answers: [u64; 4],
    /// Which answer is listed.
    pub answer: Answered,
    /// Packages or products, the gravest first.
    pub groups: Vec<Group>,
    /// Components that cannot be matched, by reason.
    pub unmatchable: Vec<(Said, u64)>,
    /// Why nothing can be said about this device; empty: something can.
    pub blind: Said,
    /// Risks that people have accepted on this device.
    pub exceptions: Vec<super::vulnerability::Accepted>,
    /// What the answers stand on.
    pub ground: Ground,
}

/// What is in one package or product.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name.
    pub name: Said,
    /// What is installed.
    pub installed: Said,
    /// Of which ecosystem, or by which name it was found.
    pub kind: Said,
    /// Its weaknesses, the gravest first.
    pub rows: Vec<Exposure>,
}

/// One weakness of the device.
#[derive(Clone, Debug)]
pub struct Exposure {
    /// Its name.
    pub id: String,
    /// The same for reading.
    pub name: Said,
    /// CVSS times ten; none: not scored.
    pub cvss_tenths: Option<u8>,
    /// Whether it is exploited.
    pub exploited: Exploited,
    /// Chance of exploitation within 30 days; none: no score.
    pub epss_millionths: Option<u32>,
    /// The answer.
    pub answer: Answered,
    /// What the answer stands on: "below 9.0.43-1, which repairs it".
    pub says: Said,
    /// The comparison as a command, from [`super::vulnerability::comparison`].
    pub command: Option<Said>,
    /// What to do about it.
    pub step: Option<Step>,
    /// Since when it is known of this device.
    pub since: Option<Timestamp>,
    /// Whether a person has accepted it.
    pub accepted: bool,
}

#[derive(Template)]
#[template(path = "exposures.html")]
struct Page<'a> {
    frame: &'a Frame,
    head: &'a Head,
    tab: &'static str,
    page: &'a Exposures,
}

/// The page as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Exposures) -> String {
    super::page(&Page { frame, head: &page.head, tab: "vulnerabilities", page })
}

impl Page<'_> {
    /// The first line.
    fn answer(&self) -> String {
        let [affected, unknown, _, _] = self.page.answers;
        if !self.page.blind.is_empty() {
            return "Nothing can be said about this device".into();
        }
        if !self.page.ground.knows() {
            return "Nothing can be said yet".into();
        }
        let exploited = self.page.groups.iter().flat_map(|group| &group.rows);
        let exploited = exploited.filter(|row| row.answer == Answered::Affected && row.exploited.is_listed());
        let exploited = u64::try_from(exploited.count()).unwrap_or(u64::MAX);
        match (affected, unknown) {
            (0, 0) => "No known vulnerability was matched".into(),
            (0, unknown) => {
                format!("Of {} nobody can say", plural(unknown, "vulnerability", "vulnerabilities"))
            }
            (affected, _) => {
                let known = plural(affected, "known vulnerability", "known vulnerabilities");
                match exploited {
                    0 => known,
                    1 => format!("{known}, 1 of them exploited in the wild"),
                    many => format!("{known}, {} of them exploited in the wild", number(many)),
                }
            }
        }
    }

    fn under(&self) -> String {
        let ground = self.page.ground.words(&self.frame.clock);
        format!("{ground} {}", self.unmatchable())
    }

    fn unmatchable(&self) -> String {
        let told = self.page.unmatchable.iter().map(|(why, count)| format!("{} {why}", number(*count)));
        let told: Vec<String> = told.collect();
        if told.is_empty() { String::new() } else { format!("Not matched: {}.", told.join("; ")) }
    }

    fn tabs(&self) -> Vec<(&'static str, String, String, bool)> {
        let [affected, unknown, fixed, not_affected] = self.page.answers;
        let tabs = [
            (Answered::Open, affected + unknown),
            (Answered::Affected, affected),
            (Answered::Unknown, unknown),
            (Answered::Fixed, fixed),
            (Answered::NotAffected, not_affected),
        ];
        let here = paths::exposures(&self.head.id);
        let tab = |(answer, count): (Answered, u64)| {
            let href = paths::with_query(&here, &[("answer", answer.value())]);
            (answer.words(), number(count), href, answer == self.page.answer)
        };
        tabs.into_iter().map(tab).collect()
    }

    fn shown<'g>(&self, group: &'g Group) -> &'g [Exposure] {
        group.rows.get(..ROWS_SHOWN).unwrap_or(&group.rows)
    }

    fn rest<'g>(&self, group: &'g Group) -> &'g [Exposure] {
        group.rows.get(ROWS_SHOWN..).unwrap_or_default()
    }

    fn rest_words(&self, group: &Group) -> String {
        let rest = u64::try_from(self.rest(group).len()).unwrap_or(u64::MAX);
        format!("{} more in {}", number(rest), group.name)
    }

    fn count(&self, group: &Group) -> String {
        plural(u64::try_from(group.rows.len()).unwrap_or(u64::MAX), "vulnerability", "vulnerabilities")
    }

    fn sbom(&self) -> String {
        paths::device_sbom(&self.head.id)
    }

    fn drift(&self) -> String {
        paths::drift(&self.head.id)
    }
}

impl Exposure {
    fn as_row(&self) -> VulnerabilityRow {
        VulnerabilityRow {
            cvss_tenths: self.cvss_tenths,
            exploited: self.exploited,
            epss_millionths: self.epss_millionths,
            ..VulnerabilityRow::default()
        }
    }

    fn severity(&self) -> Markup {
        self.as_row().severity()
    }

    fn threat(&self) -> Markup {
        self.as_row().threat()
    }

    fn epss(&self) -> String {
        self.as_row().epss()
    }

    fn href(&self) -> String {
        paths::vulnerability(&self.id)
    }

    fn due(&self, frame: &Frame) -> Markup {
        self.step.as_ref().map(|step| badge::due(step, &frame.clock)).unwrap_or_default()
    }
}
