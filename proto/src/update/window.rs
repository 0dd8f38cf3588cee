//! Windows: the times of the week in which a device may reboot, as an order states them.
//!
//! Only the value, its text form and its bounds. Whether a window is open is decided on the device, in its own time
//! zone (`window` in the agent's core). An order without windows never lets a device reboot. A window is a closed
//! document: an older reader must not skip a field that would narrow it. Read next: [`super::order`].

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use minicbor::{Decode, Encode};

use super::unreadable::Unreadable;
use crate::canonical::{FieldProblem, Fields, Value};
use crate::limits;

mod meet;

pub use meet::intersect;

/// Minutes of a day; `24:00` is the end of it.
pub const DAY_MINUTES: u16 = 24 * 60;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// One stretch of time that recurs on some days of the week. Its end may lie on the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Window {
    /// Bit 0 is Monday, bit 6 Sunday: the days on which it starts.
    #[n(0)]
    days: u8,
    /// Minute of the day at which it opens.
    #[n(1)]
    from: u16,
    /// Minute of the day before which it closes; at or before `from` means on the next day.
    #[n(2)]
    to: u16,
}

impl Window {
    /// A window that is always open.
    pub const ALWAYS: Self = Self { days: 0x7f, from: 0, to: DAY_MINUTES };

    /// A window on the days whose bits are set (bit 0 is Monday), from a minute of the day to another one; nothing
    /// where it would have no day, no length, or a minute that does not exist.
    #[must_use]
    pub fn new(days: u8, from: u16, to: u16) -> Option<Self> {
        let known = days != 0 && days & 0x80 == 0;
        (known && from < DAY_MINUTES && to <= DAY_MINUTES && from != to && to != 0).then_some(Self {
            days,
            from,
            to,
        })
    }

    /// Whether it opens on this day, 0 = Monday.
    #[must_use]
    pub fn opens_on(&self, day: u8) -> bool {
        day < 7 && self.days >> day & 1 == 1
    }

    /// The minute of the day at which it opens.
    #[must_use]
    pub fn from_minute(&self) -> u16 {
        self.from
    }

    /// Minutes it stays open.
    #[must_use]
    pub fn length_minutes(&self) -> u16 {
        let to = if self.to > self.from { self.to } else { self.to.saturating_add(DAY_MINUTES) };
        to.saturating_sub(self.from)
    }

    /// Reads the `windows` of a document.
    pub(super) fn read_all(fields: &Fields<'_>) -> Result<Vec<Self>, Unreadable> {
        let windows = fields.maps("windows")?;
        if windows.len() > limits::WINDOWS {
            return Err(fields.error("windows", FieldProblem::Range).into());
        }
        windows.iter().map(Self::read).collect()
    }

    fn read(fields: &Fields<'_>) -> Result<Self, Unreadable> {
        fields.only(&["days", "from", "to"])?;
        let mut days = 0;
        for word in fields.texts("days")? {
            let bit = DAYS.iter().position(|day| *day == word).map(|position| 1_u8 << position);
            let bit = bit.ok_or_else(|| Unreadable::word("days", word))?;
            if days & bit != 0 {
                return Err(fields.error("days", FieldProblem::Form("each day once")).into());
            }
            days |= bit;
        }
        let from = minute(fields, "from")?;
        let to = minute(fields, "to")?;
        Self::new(days, from, to).ok_or_else(|| {
            let form = "a window with a day and a length; its end may lie on the next day, as 24:00 or later";
            fields.error("to", FieldProblem::Form(form)).into()
        })
    }

    /// The window as it stands in a document.
    #[must_use]
    pub fn value(&self) -> Value {
        let days = DAYS.iter().enumerate().filter(|(position, _)| self.days >> position & 1 == 1);
        Value::object([
            ("days", Value::list(days.map(|(_, day)| *day))),
            ("from", clock(self.from).into()),
            ("to", clock(self.to).into()),
        ])
    }
}

fn minute(fields: &Fields<'_>, name: &str) -> Result<u16, Unreadable> {
    let parsed = match fields.text(name)?.as_bytes() {
        [a, b, b':', c, d] => digits(*a, *b).zip(digits(*c, *d)),
        _ => None,
    };
    let minute = parsed.filter(|(hour, minute)| *hour <= 24 && *minute < 60).map(|(h, m)| h * 60 + m);
    minute
        .filter(|minute| *minute <= DAY_MINUTES)
        .ok_or_else(|| fields.error(name, FieldProblem::Form("a time of day such as 22:30")).into())
}

fn digits(high: u8, low: u8) -> Option<u16> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    Some(digit(high)? * 10 + digit(low)?)
}

fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

#[cfg(test)]
mod tests;
