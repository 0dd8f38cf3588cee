//! What ends, when, who must act, and whether it is time to say so.
//!
//! Every signature, certificate and hold has an end, and an end that nobody saw coming stops updates or lets devices
//! reboot. Everything is announced 90, 30 and 7 days ahead; what a program renews by itself only when it has not done so in
//! time. What lives a few weeks by design is on the list from its first day, and news for a log in its last week alone. Nothing
//! here reads a clock or a store. Read next: [`due`].

use alloc::vec::Vec;

use cordon_proto::ids::Text;
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

const DAY_S: i64 = 86_400;

/// What ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A root.
    Root,
    /// A targets document.
    Targets,
    /// A document of orders, content or a model's releases.
    Role,
    /// An order.
    Order,
    /// The way back of an order.
    WayBack,
    /// A snapshot or timestamp that somebody makes by hand.
    Freshness,
    /// A snapshot or timestamp that a server renews by itself.
    Renewed,
    /// A certificate authority.
    Authority,
    /// A tool's token.
    ApiToken,
    /// A hold: then devices may reboot again.
    Hold,
    /// A feed: then what it says is old news.
    Feed,
    /// An accepted risk: then it is accepted no more.
    Exception,
    /// The maker's support of a release that runs, or a part of it.
    Support,
}

/// Who must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// The owner's people with offline keys.
    Owner,
    /// A maker.
    Maker,
    /// Whoever runs the server.
    Server,
    /// Whoever set it.
    Staff,
}

/// One end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lapse {
    /// What ends.
    pub what: What,
    /// Which one.
    pub name: Text,
    /// The first second in which it counts no more.
    pub at: Timestamp,
    /// Who must act.
    pub whose: Whose,
}

impl What {
    /// Days ahead of the end at which it is announced, first to last.
    #[must_use]
    pub fn announced(self) -> &'static [u32] {
        match self {
            Self::Root
            | Self::Targets
            | Self::Role
            | Self::Freshness
            | Self::Authority
            | Self::ApiToken
            | Self::Order
            | Self::WayBack
            | Self::Hold => &limits::EXPIRY_WARNING_DAYS,
            // A feed lives a week at most.
            Self::Renewed | Self::Feed => &[1],
            // It lives for months by design: a quarter of a year ahead would be its whole life.
            Self::Exception => &[30, 7],
            // A replacement is planned and paid for; a quarter is not enough.
            Self::Support => &[365, 90, 30],
        }
    }

    /// Whether a log is told of an end within so many days. Authorities say it in their own words, a hold says it when it
    /// lapses.
    #[must_use]
    pub fn is_news(self, within: u32) -> bool {
        let [_, _, last] = limits::EXPIRY_WARNING_DAYS;
        match self {
            Self::Authority | Self::Hold => false,
            Self::Order | Self::WayBack => within <= last,
            Self::Support => within > 0,
            Self::Root
            | Self::Targets
            | Self::Role
            | Self::Freshness
            | Self::Renewed
            | Self::ApiToken
            | Self::Exception
            | Self::Feed => true,
        }
    }
}

impl Lapse {
    /// What to do about it.
    #[must_use]
    pub fn todo(&self) -> &'static str {
        match (self.what, self.whose) {
            (What::Root, Whose::Maker) | (What::Targets, Whose::Maker) | (What::Role, Whose::Maker) => {
                "ask the maker for a newer repository and publish it"
            }
            (What::Freshness, _) => "ask the maker for a newer timestamp and publish it",
            (What::Root, _) => "cordonctl repo rotate, then publish",
            (What::Targets, _) => "cordonctl repo delegate --renew, then publish",
            (What::Role, _) => "cordonctl order sign --renew, or sign the content anew, then publish",
            (What::Order, _) => "devices that have not taken it by then need another order",
            (What::WayBack, _) => "devices that should be able to return need another order",
            (What::Renewed, _) => "the server renews it by itself and has not: look at its log",
            (What::Authority, _) => "cordon-server ca renew-issuing, or ca stage, switch and finish",
            (What::ApiToken, _) => "make the tool another token",
            (What::Exception, _) => {
                "repair it, or ask for another exception; then take this one back: cordonctl exceptions withdraw"
            }
            (What::Hold, _) => "set it anew if devices must still not reboot",
            (What::Feed, _) => "cordonctl feeds import with the newest file of its publisher",
            (What::Support, _) => {
                "plan a newer release or another device: its maker repairs less from then on, or nothing"
            }
        }
    }

    /// Within how many days it ends, of the days at which it is announced; 0 once it is over, nothing while there is
    /// time.
    #[must_use]
    pub fn within(&self, now: Timestamp) -> Option<u32> {
        let left = self.at.seconds_since(now);
        if left <= 0 {
            return Some(0);
        }
        self.what.announced().iter().copied().filter(|days| left <= i64::from(*days) * DAY_S).min()
    }
}

/// What is to be announced now, with the days within which it ends, the soonest first.
#[must_use]
pub fn due(all: &[Lapse], now: Timestamp) -> Vec<(u32, &Lapse)> {
    let mut due: Vec<_> = all.iter().filter_map(|lapse| Some((lapse.within(now)?, lapse))).collect();
    due.sort_by(|(_, one), (_, other)| {
        (one.at, one.what, &one.name).cmp(&(other.at, other.what, &other.name))
    });
    due
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_795_251_906);

    fn lapse(what: What, days: i64) -> Lapse {
        let name = Text::lossy("x");
        Lapse { what, name, at: NOW.plus_seconds(days * DAY_S), whose: Whose::Owner }
    }

    #[test]
    fn ends_are_announced_90_30_and_7_days_ahead_and_when_they_are_past() {
        // Goal: the steps of the warning. Method: both sides of each, for what people renew and for what lives for weeks; of which a log is told.
        let steps = |what: What| {
            [91, 90, 31, 30, 8, 7, 1, 0, -400].map(|days| {
                lapse(what, days).within(NOW).map_or("-".to_string(), |within| within.to_string())
            })
        };
        let words = |what: What| -> String { steps(what).join(" ") };
        for what in [What::Root, What::Targets, What::Role, What::Freshness, What::Authority, What::ApiToken]
        {
            assert_eq!(words(what), "- 90 90 30 30 7 7 0 0", "{what:?}");
        }
        for what in [What::Order, What::WayBack, What::Hold] {
            assert_eq!(words(what), "- 90 90 30 30 7 7 0 0", "{what:?}");
        }
        let told = |what: What| [90, 30, 7, 0].map(|days| what.is_news(days));
        assert_eq!(told(What::Root), [true; 4]);
        assert_eq!(told(What::Order), [false, false, true, true], "it lives a few weeks by design");
        assert_eq!(told(What::Hold), [false; 4]);
        assert_eq!(words(What::Exception), "- - - 30 30 7 7 0 0");
        assert_eq!(words(What::Renewed), "- - - - - - 1 0 0", "three days are its whole life");
        let support = [366, 365, 91, 90, 31, 30, 0].map(|days| lapse(What::Support, days).within(NOW));
        assert_eq!(support, [None, Some(365), Some(365), Some(90), Some(90), Some(30), Some(0)]);
        assert_eq!(
            [365, 0].map(|days| What::Support.is_news(days)),
            [true, false],
            "what has ended is on the list"
        );
        let second = Lapse { at: NOW.plus_seconds(1), ..lapse(What::Root, 0) };
        assert_eq!(second.within(NOW), Some(7), "an end is the first second in which it counts no more");
    }

    #[test]
    fn the_soonest_stands_first_and_everything_says_what_to_do() {
        // Goal: a list to work down. Method: four ends in no order; the words of each kind for each who acts.
        let all =
            [lapse(What::Root, 80), lapse(What::Order, 3), lapse(What::Hold, 20), lapse(What::Role, -1)];
        let listed: Vec<_> = due(&all, NOW).into_iter().map(|(days, lapse)| (days, lapse.what)).collect();
        assert_eq!(listed, [(0, What::Role), (7, What::Order), (30, What::Hold), (90, What::Root)]);
        let maker = Lapse { whose: Whose::Maker, ..lapse(What::Root, 1) };
        assert!(maker.todo().contains("maker") && lapse(What::Root, 1).todo().contains("repo rotate"));
    }

    #[test]
    fn a_lapse_reads_for_ever() {
        // Goal: what the API says stays the same. Method: golden JSON.
        let text = serde_json::to_string(&lapse(What::WayBack, 0)).expect("JSON");
        assert_eq!(text, r#"{"what":"way-back","name":"x","at":1795251906,"whose":"owner"}"#);
    }

    proptest! {
        #[test]
        fn nearer_ends_are_never_announced_later(days in 0..400_i64, sooner in 0..400_i64) {
            // Goal: no end disappears as it comes nearer. Method: two ends of one kind.
            let (far, near) = (lapse(What::Root, days + sooner), lapse(What::Root, days));
            let rank = |lapse: &Lapse| lapse.within(NOW).unwrap_or(u32::MAX);
            prop_assert!(rank(&near) <= rank(&far));
        }
    }
}
