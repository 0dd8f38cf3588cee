//! Orders: what the owner's people signed and what waits for a second signature; and one order with its devices.
//!
//! Read only. Orders are signed, withdrawn and finished at workstations, and the page says by which command. Every word of
//! a person or a device is [`Said`]. Read next: `server/ui/orders.html`, `server/ui/order.html`.

use askama::Template;
use cordon_proto::time::Timestamp;
use cordon_proto::update::window::{DAY_MINUTES, Window};

use super::device::Fact;
use super::marks::{Markup, Shape, shape};
use super::said::Said;
use super::words::{list, number, plural};
use super::{Frame, paths};

/// Devices of a kind that are named before they are only counted.
pub const NAMED: usize = 20;
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// The list.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    /// Orders that are in the newest document, the soonest end first.
    pub rows: Vec<OrderRow>,
    /// Drafts that wait for signatures.
    pub drafts: Vec<DraftRow>,
    /// Orders that were taken back before their time was over, the last one first.
    pub withdrawn: Vec<WithdrawnRow>,
}

/// An order that was taken back.
#[derive(Clone, Debug)]
pub struct WithdrawnRow {
    /// Its name.
    pub name: Said,
    /// Its page, which is that of the order that took its name where one did.
    pub href: String,
    /// The release.
    pub release: Said,
    /// Why it was given.
    pub reason: Said,
    /// Whether another order was signed under its name.
    pub anew: bool,
    /// The version of the document that lists it no more.
    pub by: u64,
    /// "2 keys of at least 2".
    pub signed: String,
    /// Who brought that document, and when.
    pub brought: Option<(Said, Timestamp)>,
    /// Rollouts that carried it out: identity, title, and what became of each.
    pub rollouts: Vec<(String, Said, &'static str)>,
}

/// One order in the list.
#[derive(Clone, Debug)]
pub struct OrderRow {
    /// Its name in addresses.
    pub id: String,
    /// Its name.
    pub name: Said,
    /// The release, and its page if it was taken in.
    pub release: (Said, Option<String>),
    /// Which devices: "412 devices of a signed list".
    pub scope: Said,
    /// Where it stands.
    pub standing: Standing,
    /// "2 keys of at least 2".
    pub signed: String,
    /// Rollouts that carry it out: identity and title.
    pub rollouts: Vec<(String, Said)>,
    /// Why it was given.
    pub reason: Said,
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Signed, and holds from then on.
    Ahead(Timestamp),
    /// Holds until then.
    InForce(Timestamp),
    /// Has ended; devices refuse it.
    Over(Timestamp),
    /// Was taken back by this version of the document; devices refuse it.
    Withdrawn(u64),
}

impl Standing {
    /// Of an order with these ends.
    #[must_use]
    pub fn of((not_before, expires): (Timestamp, Timestamp), now: Timestamp) -> Self {
        match () {
            () if now >= expires => Self::Over(expires),
            () if now < not_before => Self::Ahead(not_before),
            () => Self::InForce(expires),
        }
    }
}

/// A draft.
#[derive(Clone, Debug)]
pub struct DraftRow {
    /// Its name.
    pub name: Said,
    /// Who made it, in their own words.
    pub by: Said,
    /// The orders that come.
    pub adds: Vec<Said>,
    /// The orders that go.
    pub withdraws: Vec<Said>,
    /// Keys that have signed, as the draft claims; and how many orders need, 0 where that is not known.
    pub keys: (u64, u64),
    /// When it is forgotten.
    pub until: Timestamp,
}

/// One order's own page.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its row in the list.
    pub row: OrderRow,
    /// What was signed.
    pub facts: Vec<Fact>,
    /// When devices may reboot for it, a sentence each; none means never.
    pub windows: Vec<String>,
    /// The keys that signed the document with this order.
    pub keys: Vec<Said>,
    /// What it would do today, or why that cannot be told.
    pub preview: Result<Preview, Said>,
}

/// What an order would do today.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    /// A label and a sentence each.
    pub lines: Vec<(String, Said)>,
    /// Devices that nobody vouches for: identity, name and place of the first of them, and how many there are.
    pub no_application: (Vec<(String, Said, Said)>, u64),
}

#[derive(Template)]
#[template(path = "orders.html")]
struct ListPage<'a> {
    frame: &'a Frame,
    page: &'a Orders,
}

#[derive(Template)]
#[template(path = "order.html")]
struct Page<'a> {
    frame: &'a Frame,
    page: &'a Order,
}

/// The list as HTML.
#[must_use]
pub fn render_list(frame: &Frame, page: &Orders) -> String {
    super::page(&ListPage { frame, page })
}

/// One order as HTML.
#[must_use]
pub fn render(frame: &Frame, page: &Order) -> String {
    super::page(&Page { frame, page })
}

/// A window in words: "Mon to Fri, 22:00 to 05:00 the next day".
#[must_use]
pub fn window_words(window: &Window) -> String {
    let (from, to) = (window.from_minute(), window.from_minute() + window.length_minutes());
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    let hours = match (from, to) {
        (0, DAY_MINUTES) => "all day".to_owned(),
        (from, to) if to > DAY_MINUTES => {
            format!("{} to {} the next day", clock(from), clock(to - DAY_MINUTES))
        }
        (from, to) => format!("{} to {}", clock(from), clock(to)),
    };
    format!("{}, {hours}", days_words(window))
}

/// "Every day", "Mon to Fri", "Tue and Thu".
fn days_words(window: &Window) -> String {
    let open: Vec<usize> = (0_u8..7).filter(|day| window.opens_on(*day)).map(usize::from).collect();
    let name = |day: &usize| WEEKDAYS.get(*day).copied().unwrap_or_default();
    let is_run = open.windows(2).all(|pair| matches!(pair, [one, next] if one + 1 == *next));
    match open.as_slice() {
        all if all.len() == WEEKDAYS.len() => "Every day".to_owned(),
        [first, _, .., last] if is_run && open.len() > 2 => format!("{} to {}", name(first), name(last)),
        some => list(&some.iter().map(|day| name(day).to_owned()).collect::<Vec<_>>()),
    }
}

fn mark(standing: Standing, frame: &Frame) -> Markup {
    let clock = &frame.clock;
    let (drawn, class, word) = match standing {
        Standing::Ahead(at) => (Shape::ThinRing, "is-quiet", format!("From {}", clock.day_words(at))),
        Standing::InForce(at) => (Shape::Dot, "is-good", format!("Until {}", clock.day_words(at))),
        Standing::Over(at) => (Shape::Cross, "is-quiet", format!("Over since {}", clock.day_words(at))),
        Standing::Withdrawn(by) => (Shape::Cross, "is-critical", format!("Withdrawn by document {by}")),
    };
    Markup::new(format!("<span class=\"state {class}\">{}<span>{word}</span></span>", shape(drawn)))
}

impl ListPage<'_> {
    fn head(&self) -> String {
        let count = |things: usize| u64::try_from(things).unwrap_or(u64::MAX);
        let in_force =
            self.page.rows.iter().filter(|row| matches!(row.standing, Standing::InForce(_))).count();
        let mut words = format!("{} in force", number(count(in_force)));
        if !self.page.drafts.is_empty() {
            let drafts = plural(count(self.page.drafts.len()), "draft waits", "drafts wait");
            words.push_str(&format!(", {drafts} for a signature"));
        }
        words
    }

    fn mark(&self, row: &OrderRow) -> Markup {
        mark(row.standing, self.frame)
    }

    fn href(&self, row: &OrderRow) -> String {
        paths::order(&row.id)
    }

    fn rollout(&self, id: &str) -> String {
        paths::rollout(id)
    }

    /// "brings 0187 and 0188, withdraws 0186".
    fn changes(&self, draft: &DraftRow) -> Said {
        let words = |verb: &str, names: &[Said]| {
            let names: Vec<String> = names.iter().map(|name| name.raw().to_owned()).collect();
            (!names.is_empty()).then(|| format!("{verb} {}", list(&names)))
        };
        let parts = [words("brings", &draft.adds), words("withdraws", &draft.withdraws)];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ").into()
    }

    fn how(&self, row: &WithdrawnRow) -> &'static str {
        if row.anew { "Signed anew under its name" } else { "Withdrawn" }
    }

    fn keys(&self, draft: &DraftRow) -> String {
        match draft.keys {
            (some, 0) => plural(some, "key", "keys"),
            (some, needed) => format!("{} of {needed}", plural(some, "key", "keys")),
        }
    }

    fn sign(&self, draft: &DraftRow) -> Said {
        let name = draft.name.raw();
        format!("cordonctl order sign --director owner --image maker --key jonas.pem --draft {name}").into()
    }
}

impl Page<'_> {
    fn mark(&self) -> Markup {
        mark(self.page.row.standing, self.frame)
    }

    fn rollout(&self, id: &str) -> String {
        paths::rollout(id)
    }

    fn device(&self, id: &str) -> String {
        paths::device(id)
    }

    fn evidence(&self) -> String {
        paths::with_query(paths::EVIDENCE, &[("by", "order"), ("name", &self.page.row.id)])
    }

    fn more(&self, preview: &Preview) -> Option<String> {
        let named = u64::try_from(preview.no_application.0.len()).unwrap_or(u64::MAX);
        let more = preview.no_application.1.saturating_sub(named);
        (more > 0).then(|| format!("and {} more", number(more)))
    }

    fn is_withdrawn(&self) -> bool {
        matches!(self.page.row.standing, Standing::Withdrawn(_))
    }

    fn verify(&self) -> Said {
        let name = self.page.row.name.raw();
        format!("cordonctl order verify --director owner --image maker --order {name}").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_reads_as_people_say_it() {
        // Goal: nobody decodes bits. Method: a night, a week of nights, single days, a whole day.
        for (days, from, to, words) in [
            (0x7f, 1320, 300, "Every day, 22:00 to 05:00 the next day"),
            (0x1f, 60, 240, "Mon to Fri, 01:00 to 04:00"),
            (0x0a, 60, 240, "Tue and Thu, 01:00 to 04:00"),
            (0x60, 0, DAY_MINUTES, "Sat and Sun, all day"),
            (0x40, 1320, DAY_MINUTES, "Sun, 22:00 to 24:00"),
        ] {
            let window = Window::new(days, from, to).expect("a window");
            assert_eq!(window_words(&window), words);
        }
    }

    #[test]
    fn an_order_is_ahead_in_force_or_over() {
        // Goal: the page never calls an ended order live. Method: both ends, to the second.
        let ends = (Timestamp(100), Timestamp(200));
        for (now, standing) in [
            (99, Standing::Ahead(ends.0)),
            (100, Standing::InForce(ends.1)),
            (199, Standing::InForce(ends.1)),
            (200, Standing::Over(ends.1)),
        ] {
            assert_eq!(Standing::of(ends, Timestamp(now)), standing);
        }
    }
}
