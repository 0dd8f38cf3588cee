//! Windows on the device: whether it may reboot now, and if not, when next.
//!
//! The order's windows, cut with those of the device's content, read in the device's own time zone (its offset from
//! UTC is an argument). No window means never; content may only tighten. A window belongs to the day on which it
//! opens, also where it ends on the next one. It never reads a clock. Read next: `cordon_proto::update::window`.

use cordon_proto::time::Timestamp;
use cordon_proto::update::window::{DAY_MINUTES, Window};

const DAY_S: i64 = 86_400;
/// Days looked ahead for the next opening: a week, and the two days a time zone may shift it.
const AHEAD_DAYS: i64 = 9;

/// The times at which one device may reboot for one order.
#[derive(Clone, Copy, Debug)]
pub struct Schedule<'a> {
    /// The order's windows; none means never.
    pub order: &'a [Window],
    /// The content's windows, if it has a say; none in it means never.
    pub content: Option<&'a [Window]>,
    /// Minutes by which the device's local time is ahead of UTC.
    pub zone_minutes: i16,
}

impl Schedule<'_> {
    /// Whether a reboot is allowed at this time.
    #[must_use]
    pub fn is_open(&self, at: Timestamp) -> bool {
        let local = self.local(at);
        any_open(self.order, local) && self.content.is_none_or(|content| any_open(content, local))
    }

    /// The next time after `now` at which it becomes allowed; nothing if it never does.
    #[must_use]
    pub fn next_opening(&self, now: Timestamp) -> Option<Timestamp> {
        let local = self.local(now);
        let midnight = local.plus_seconds(-local.week().1);
        // What is cut opens when the later of both opens, so the openings of either are all there is to try.
        let windows = || self.order.iter().chain(self.content.into_iter().flatten());
        let openings = (0..AHEAD_DAYS).flat_map(|day| {
            let start = midnight.plus_seconds(day * DAY_S);
            let opening = move |window: &Window| start.plus_seconds(i64::from(window.from_minute()) * 60);
            windows().filter(move |window| window.opens_on(weekday(start))).map(opening)
        });
        let shift = i64::from(self.zone_minutes) * 60;
        let utc = openings.map(|opening| opening.plus_seconds(-shift));
        utc.filter(|opening| *opening > now && self.is_open(*opening)).min()
    }

    fn local(&self, at: Timestamp) -> Timestamp {
        at.plus_seconds(i64::from(self.zone_minutes) * 60)
    }
}

fn any_open(windows: &[Window], local: Timestamp) -> bool {
    windows.iter().any(|window| {
        let minute = local.week().1 / 60;
        // Opened today, or yesterday and still open past midnight.
        let since = |opened_on: u8, minute: i64| {
            let open_for = minute - i64::from(window.from_minute());
            window.opens_on(opened_on) && (0..i64::from(window.length_minutes())).contains(&open_for)
        };
        let today = weekday(local);
        since(today, minute) || since((today + 6) % 7, minute + i64::from(DAY_MINUTES))
    })
}

fn weekday(local: Timestamp) -> u8 {
    u8::try_from(local.week().0).expect("a weekday is 0 to 6")
}

#[cfg(test)]
mod tests;
