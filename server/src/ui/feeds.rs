//! Feeds: what the server knows of the world, how old that is, and bringing a newer one.
//!
//! Nothing is fetched; a person brings each file. What was refused of it is counted by its reason, a plain file is told from a
//! signed one, and what never came is listed beside what did. Read next: `cordon_server_core::feeds::intake`,
//! `server/ui/feeds.html`.

use askama::Template;
use cordon_proto::time::Timestamp;

use super::device::Fact;
use super::marks::{Markup, Shape, shape};
use super::said::Said;
use super::words::{bytes, number, plural};
use super::{Frame, paths};

/// The page.
#[derive(Clone, Debug, Default)]
pub struct Feeds {
    /// Feeds in force.
    pub rows: Vec<FeedRow>,
    /// Kinds of which none is here: the kind's words, and what is not known without it.
    pub missing: Vec<(&'static str, &'static str)>,
    /// Files that were refused since the server started, by reason.
    pub turned_away: Vec<(Said, u64)>,
    /// Whether feeds are being read just now.
    pub preparing: bool,
    /// How many records, packages and bytes of memory what is in force takes: a sentence; empty: not told.
    pub size: String,
    /// Whether this person may bring one.
    pub may_bring: bool,
}

/// One feed.
#[derive(Clone, Debug)]
pub struct FeedRow {
    /// Its name.
    pub name: Said,
    /// What it holds, in words.
    pub kind: &'static str,
    /// Of when it is.
    pub as_of: Timestamp,
    /// By whose word: "by its own word", "by the person who brought it".
    pub dated_by: &'static str,
    /// How it stands.
    pub standing: Standing,
    /// Records that were understood.
    pub records: u64,
    /// Records that were refused.
    pub refused: u64,
    /// The key that signed it; empty: a plain file.
    pub signer: Said,
    /// When it came.
    pub received: Timestamp,
    /// Who brought it.
    pub by: Said,
}

/// How a feed stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Young enough.
    Fresh,
    /// Too old: that itself is a finding.
    Stale,
    /// It says a day that has not come.
    Ahead,
    /// It holds until somebody says otherwise.
    Lasting,
}

/// One feed's own page.
#[derive(Clone, Debug)]
pub struct Feed {
    /// Its row.
    pub row: FeedRow,
    /// Its file, its signature, who brought it.
    pub facts: Vec<Fact>,
    /// Records that were refused, by reason.
    pub refused: Vec<(Said, u64)>,
    /// What of records that were taken had to be mended or left out, by reason.
    pub mended: Vec<(Said, u64)>,
    /// The first that was refused: its file and why.
    pub first_refused: Option<(Said, Said)>,
    /// Its bytes.
    pub length: u64,
    /// Statements that match nothing here, for a feed of VEX.
    pub silent: Vec<Said>,
}

/// The form for a new one.
#[derive(Clone, Debug, Default)]
pub struct Form {
    /// What was typed.
    pub typed: Vec<(String, String)>,
    /// Kinds: value and words.
    pub kinds: Vec<(&'static str, &'static str)>,
    /// Why it was not taken.
    pub fault: Said,
    /// Whether a person may say that it is meant so.
    pub can_confirm: bool,
    /// The most that a file may hold, in bytes.
    pub most: u64,
}

#[derive(Template)]
#[template(path = "feeds.html")]
struct ListPage<'a> {
    frame: &'a Frame,
    page: &'a Feeds,
}

#[derive(Template)]
#[template(path = "feed.html")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Feed,
}

#[derive(Template)]
#[template(path = "feed_new.html")]
struct FormPage<'a> {
    frame: &'a Frame,
    page: &'a Form,
}

/// The list as HTML.
#[must_use]
pub fn render_list(frame: &Frame, page: &Feeds) -> String {
    super::page(&ListPage { frame, page })
}

/// One feed as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Feed) -> String {
    super::page(&Page { frame, page })
}

/// The form as HTML.
#[must_use]
pub fn render_form(frame: &Frame, page: &Form) -> String {
    super::page(&FormPage { frame, page })
}

impl FeedRow {
    /// Shape and word of how it stands.
    fn mark(&self) -> Markup {
        let (drawn, class, word) = match self.standing {
            Standing::Fresh => (Shape::Dot, "is-plain", "In force"),
            Standing::Stale => (Shape::DashedRing, "is-medium", "Too old"),
            Standing::Ahead => (Shape::DashedRing, "is-medium", "Of a day to come"),
            Standing::Lasting => (Shape::Dot, "is-plain", "In force"),
        };
        Markup::new(format!("<span class=\"state {class}\">{}<span>{word}</span></span>", shape(drawn)))
    }

    fn href(&self) -> String {
        paths::feed(self.name.raw())
    }

    fn records_words(&self) -> String {
        number(self.records)
    }

    fn refused_words(&self) -> String {
        number(self.refused)
    }
}

impl ListPage<'_> {
    /// The first line: what is not in order.
    fn answer(&self) -> String {
        let late = |row: &&FeedRow| matches!(row.standing, Standing::Stale | Standing::Ahead);
        let stale = u64::try_from(self.page.rows.iter().filter(late).count()).unwrap_or(u64::MAX);
        let missing = u64::try_from(self.page.missing.len()).unwrap_or(u64::MAX);
        if self.page.rows.is_empty() {
            return "Nothing is known of the world: no feed is here".into();
        }
        match (stale, missing) {
            (0, 0) => "Every kind of feed is here, and none is too old".into(),
            (0, missing) => {
                format!("None is too old; {}", plural(missing, "kind never came", "kinds never came"))
            }
            (stale, 0) => plural(stale, "feed is too old", "feeds are too old"),
            (stale, missing) => format!(
                "{}; {}",
                plural(stale, "feed is too old", "feeds are too old"),
                plural(missing, "kind never came", "kinds never came")
            ),
        }
    }

    fn of(&self) -> String {
        number(u64::try_from(self.page.rows.len()).unwrap_or(u64::MAX))
    }

    fn number(&self, count: &u64) -> String {
        number(*count)
    }
}

impl Page<'_> {
    fn number(&self, count: &u64) -> String {
        number(*count)
    }

    fn length(&self) -> String {
        bytes(self.page.length)
    }
}

impl FormPage<'_> {
    fn typed(&self, name: &str) -> Said {
        let found = self.page.typed.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default().into()
    }

    fn is_typed(&self, name: &str, value: &str) -> bool {
        self.typed(name).raw() == value
    }

    fn most(&self) -> String {
        bytes(self.page.most)
    }
}
