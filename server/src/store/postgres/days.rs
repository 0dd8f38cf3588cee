//! Telemetry by days: a partition is made before the first write into it, and dropped whole when it is old.
//!
//! The keys themselves are partitioned, as their first eight bytes are the time. Days run from 1970 to 2199; what is
//! earlier or later lies in two partitions at the ends, and is forgotten row by row. A partition is made as a table and
//! then attached, which holds no reader up; to drop one waits for readers, but never for long: the rows go one by
//! one then. Read next: [`Days::ready`], [`drop_below`].

use std::collections::BTreeSet;
use std::time::Duration;

use super::schema::is;
use super::session::{Failure, Session};
use super::sql;
use crate::store::kv::{Space, WriteBatch, number_of, ordered};

/// The first day that is not one any more: 2200-01-01.
const END: i64 = 84_006;
/// For the records of a day to be counted.
const COUNT: Duration = Duration::from_secs(660);

/// The days whose partitions are known to be there.
#[derive(Debug, Default)]
pub(super) struct Days {
    known: BTreeSet<(Space, i64)>,
    /// How often partitions were dropped when this was true.
    dropped: i64,
}

impl Days {
    /// Forgets what it knows, if anybody dropped a partition since.
    pub(super) fn look(&mut self, dropped: i64) {
        if self.dropped != dropped {
            self.known.clear();
            self.dropped = dropped;
        }
    }

    /// Makes the partitions that a batch needs, in its transaction and under the store's lock. Says which days
    /// to [`Days::learn`] once it is committed.
    pub(super) fn ready(
        &self,
        session: &mut Session,
        schema: &str,
        batch: &WriteBatch,
    ) -> Result<BTreeSet<(Space, i64)>, Failure> {
        let puts = batch.entries.iter().filter(|(_, value)| value.is_some());
        let days = puts.filter_map(|((space, key), _)| Some((*space, day_of(*space, key)?)));
        let mut fresh: BTreeSet<(Space, i64)> = days.collect();
        fresh.retain(|day| !self.known.contains(day));
        for (space, day) in &fresh {
            make(session, schema, *space, *day)?;
        }
        Ok(fresh)
    }

    /// Takes days for known.
    pub(super) fn learn(&mut self, days: BTreeSet<(Space, i64)>) {
        self.known.extend(days);
    }
}

/// Drops the partitions that end at or below a key, and says how many records were in them. What cannot be had at
/// once stays, for the removal by rows.
pub(super) fn drop_below(
    session: &mut Session,
    space: Space,
    below: &[u8],
    lock: &str,
) -> Result<u64, Failure> {
    if units(space).is_none() {
        return Ok(0);
    }
    let names = session.query(sql::PARTITIONS, &[&space.name()])?;
    let names = names.iter().filter_map(|row| row.try_get::<_, String>(0).ok());
    let mut old: Vec<i64> = names.filter_map(|name| day_named(space, &name)).collect();
    old.retain(|day| bound(space, day.saturating_add(1)).is_some_and(|end| end.as_slice() <= below));
    old.sort_unstable();
    let mut records = 0_u64;
    session.wait_for(COUNT);
    for day in old {
        match drop_one(session, space, day, lock) {
            Ok(dropped) => records = records.saturating_add(dropped),
            Err(failure) if is_in_the_way(&failure) => {
                session.batch("ROLLBACK")?;
                break;
            }
            Err(failure) => return Err(failure),
        }
    }
    session.wait_for(super::session::ANSWER);
    Ok(records)
}

/// Counts under a lock that lets readers pass and keeps writers out; the store's own lock is taken for the end alone.
fn drop_one(session: &mut Session, space: Space, day: i64, lock: &str) -> Result<u64, Failure> {
    let name = name_of(space, day);
    session.batch(&format!(
        "BEGIN; SET LOCAL statement_timeout = '10min'; SET LOCAL lock_timeout = '500ms'; \
         LOCK TABLE {name} IN SHARE MODE"
    ))?;
    let records = match space {
        Space::Events => session.number(&format!(
            "SELECT coalesce(sum(get_byte(value, 4) * 256 + get_byte(value, 5)), 0)::text FROM {name} \
             WHERE octet_length(value) >= 6"
        ))?,
        Space::Own | Space::Rows | Space::Feed | Space::Hours => 0,
    };
    session.batch(&format!("{lock}; UPDATE epoch SET dropped = dropped + 1; DROP TABLE {name}; COMMIT"))?;
    Ok(records)
}

/// Somebody reads or writes there, or has dropped it already.
fn is_in_the_way(failure: &Failure) -> bool {
    // Lock timeout, deadlock, no such table.
    failure.code().is_some_and(|code| matches!(code.code(), "55P03" | "40P01" | "42P01"))
}

/// Whole chunks fit a page, so none is put aside: `toast_tuple_target` is the most that a page holds.
fn make(session: &mut Session, schema: &str, space: Space, day: i64) -> Result<(), Failure> {
    let name = name_of(space, day);
    let bounds = bound(space, day).zip(bound(space, day.saturating_add(1)));
    let Some((from, to)) = bounds.filter(|_| (0..END).contains(&day)) else { return Ok(()) };
    if is(session, sql::IS_THERE, &[&schema, &name])? {
        return Ok(());
    }
    let table = space.name();
    session.batch(&format!(
        "CREATE TABLE {name} (LIKE {table} INCLUDING STORAGE) WITH (toast_tuple_target = 8160); \
         ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{}') TO ('{}')",
        hex(&from),
        hex(&to)
    ))
}

/// Keys of a day: how much the number at their head grows in it.
fn units(space: Space) -> Option<i64> {
    match space {
        Space::Own | Space::Rows | Space::Feed => None,
        Space::Hours => Some(24),
        Space::Events => Some(86_400_000),
    }
}

/// The day of a key, counted from 1970; `None` outside the days, and in the spaces that have none.
fn day_of(space: Space, key: &[u8]) -> Option<i64> {
    let day = number_of(key)?.div_euclid(units(space)?);
    (0..END).contains(&day).then_some(day)
}

/// The first bytes of the keys of a day.
fn bound(space: Space, day: i64) -> Option<[u8; 8]> {
    day.checked_mul(units(space)?).map(ordered)
}

fn name_of(space: Space, day: i64) -> String {
    format!("{}_d{day}", space.name())
}

fn day_named(space: Space, name: &str) -> Option<i64> {
    name.strip_prefix(space.name())?.strip_prefix("_d")?.parse().ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("\\x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_cover_their_keys_and_the_ends_have_none() {
        // Goal: a key lies in exactly the partition that is made for it. Method: keys around both ends of days.
        let hour = 3_600_000;
        for (space, unit) in [(Space::Events, 24 * hour), (Space::Hours, 24)] {
            for (number, day) in [
                (0, Some(0)),
                (unit - 1, Some(0)),
                (unit, Some(1)),
                (-1, None),
                (END * unit - 1, Some(END - 1)),
                (END * unit, None),
                (i64::MIN, None),
                (i64::MAX, None),
            ] {
                let key = [&ordered(number)[..], &[7; 16]].concat();
                assert_eq!(day_of(space, &key), day, "{space:?} {number}");
                if let Some(day) = day {
                    let (from, to) = (bound(space, day), bound(space, day + 1));
                    assert!(from.expect("a bound").as_slice() <= key.as_slice());
                    assert!(key.as_slice() < to.expect("a bound").as_slice());
                    assert_eq!(day_named(space, &name_of(space, day)), Some(day));
                }
            }
        }
        assert_eq!(day_of(Space::Rows, &[0x80; 20]), None);
        assert_eq!(day_named(Space::Events, "events_before"), None);
        assert_eq!(day_named(Space::Events, "hours_d7"), None);
    }

    #[test]
    fn the_first_step_of_the_schema_has_the_same_ends() {
        // Goal: no gap and no overlap beside the days. Method: the bounds in its text.
        let text = super::super::schema::STEPS.first().expect("a step");
        for space in [Space::Hours, Space::Events] {
            for day in [0, END] {
                let wanted = hex(&bound(space, day).expect("a bound"));
                assert!(text.contains(&format!("'{wanted}'")), "{space:?} {wanted}");
            }
        }
    }
}
