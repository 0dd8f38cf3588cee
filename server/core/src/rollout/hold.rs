//! A person's stop for a ward, a site or a model, and what time does to it.
//!
//! A hold decides by the clock alone. One that is over stays a document for a week: a server whose clock was ahead has then
//! lost nothing, and whoever relied on it sees that it has lapsed. Read next: [`super::Book::held`].

use alloc::string::String;

use cordon_proto::ids::Name;
use cordon_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Seconds for which a hold that is over stays a document.
pub const HOLD_KEPT_S: i64 = 7 * 86_400;

/// A person's stop for a ward, a site or a model. Needs no key and takes effect at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Version of this document.
    pub v: u32,
    /// Its name.
    pub id: Name,
    /// What it covers.
    pub covers: Covers,
    /// Who set it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
    /// The first second in which it holds no more; none for as long as nobody ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// When it was written down that it is over. Decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lapsed: Option<Timestamp>,
}

/// What a hold covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "kebab-case")]
pub enum Covers {
    /// One ward of one site, written `site/ward`.
    Ward(String),
    /// One site.
    Site(String),
    /// One model.
    Model(String),
}

/// What is to be written down about a hold with an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// It is over.
    Lapses,
    /// It was called over by a clock that was ahead, and holds again.
    HoldsAgain,
    /// It has been over for a week: the document goes.
    Goes,
}

impl Hold {
    /// Whether it holds now.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// What time has done to it and nobody has written down yet. The week counts from when that was done, so that a clock
    /// that jumps ahead takes nothing away at once; a mark of a time that has not come counts for nothing.
    #[must_use]
    pub fn passing(&self, now: Timestamp) -> Option<Passing> {
        match (self.holds(now), self.lapsed) {
            (true, Some(_)) => Some(Passing::HoldsAgain),
            (false, None) => Some(Passing::Lapses),
            (false, Some(at)) if at > now => Some(Passing::Lapses),
            (false, Some(at)) if now.seconds_since(at) >= HOLD_KEPT_S => Some(Passing::Goes),
            (true, None) | (false, Some(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_795_251_906);

    fn hold(until: Option<i64>, lapsed: Option<i64>) -> Hold {
        let at = |seconds: i64| NOW.plus_seconds(seconds);
        Hold {
            v: 1,
            id: "h-1".parse().expect("a name"),
            covers: Covers::Site("St. Brigid".to_string()),
            by: "J. Weiss".to_string(),
            reason: "two transfers tonight".to_string(),
            at: NOW,
            until: until.map(at),
            lapsed: lapsed.map(at),
        }
    }

    #[test]
    fn a_hold_that_is_over_stays_a_week_and_holds_again_where_the_clock_was_ahead() {
        // Goal: no clock takes a hold away for good at once. Method: an end in an hour; looked at before and at it, a week
        // after it was called over and a second sooner, by a clock that went back, and far ahead at a stroke.
        let after = |hold: &Hold, seconds: i64| hold.passing(NOW.plus_seconds(seconds));
        let set = hold(Some(3600), None);
        assert_eq!((after(&set, 3599), after(&set, 3600)), (None, Some(Passing::Lapses)));
        assert_eq!(after(&set, 400 * 86_400), Some(Passing::Lapses), "not gone at a stroke");
        let over = hold(Some(3600), Some(3600));
        assert_eq!(after(&over, 3600 + HOLD_KEPT_S - 1), None);
        assert_eq!(after(&over, 3600 + HOLD_KEPT_S), Some(Passing::Goes));
        assert_eq!(after(&over, 60), Some(Passing::HoldsAgain));
        let ahead = hold(Some(3600), Some(400 * 86_400));
        assert_eq!(after(&ahead, 60), Some(Passing::HoldsAgain));
        assert_eq!(after(&ahead, 7200), Some(Passing::Lapses), "called over at a time that has not come");
        assert_eq!(after(&hold(None, None), 400 * 86_400), None);
    }

    #[test]
    fn a_hold_of_before_reads_and_one_that_is_not_over_is_written_as_before() {
        // Goal: what is stored reads for ever. Method: golden JSON, without and with the mark.
        let text = |hold: &Hold| serde_json::to_string(hold).expect("JSON");
        let golden = concat!(
            r#"{"v":1,"id":"h-1","covers":{"kind":"site","name":"St. Brigid"},"by":"J. Weiss","#,
            r#""reason":"two transfers tonight","at":1795251906,"until":1795255506}"#
        );
        assert_eq!(text(&hold(Some(3600), None)), golden);
        assert_eq!(serde_json::from_str::<Hold>(golden).expect("reads"), hold(Some(3600), None));
        assert!(text(&hold(Some(3600), Some(3600))).ends_with(r#","lapsed":1795255506}"#));
    }

    proptest! {
        #[test]
        fn what_is_written_down_is_written_down_once(until in 0..3_000_000_i64, at in proptest::collection::vec(0..3_000_000_i64, 1..9)) {
            // Goal: no journal without end, and no hold lost before its week. Method: any clock; each step written down.
            let mut hold = hold(Some(until), None);
            for seconds in at {
                let now = NOW.plus_seconds(seconds);
                match hold.passing(now) {
                    Some(Passing::Lapses) => hold.lapsed = Some(now),
                    Some(Passing::HoldsAgain) => hold.lapsed = None,
                    Some(Passing::Goes) => {
                        let over = now.seconds_since(hold.lapsed.expect("it was called over"));
                        prop_assert!(over >= HOLD_KEPT_S && !hold.holds(now));
                        break;
                    }
                    None => {}
                }
                prop_assert_eq!(hold.passing(now), None);
                prop_assert_eq!(hold.lapsed.is_some(), !hold.holds(now));
            }
        }
    }
}
