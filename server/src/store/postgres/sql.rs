//! The statements over the five tables. All text is fixed; what varies are parameters and the schema of the session.

use crate::store::kv::Space;

/// The statements over one table of keys and values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    /// Value by key.
    pub(super) one: &'static str,
    /// Pairs by keys.
    pub(super) some: &'static str,
    /// Pairs from a key on, upwards.
    pub(super) up: &'static str,
    /// Pairs from a key on and below another, upwards.
    pub(super) up_to: &'static str,
    /// Pairs from a key on, downwards.
    pub(super) down: &'static str,
    /// Pairs from a key on and below another, downwards.
    pub(super) down_to: &'static str,
    /// Writes pairs.
    pub(super) put: &'static str,
    /// Removes keys.
    pub(super) delete: &'static str,
}

/// The store's numbers, and how often partitions were dropped, under no key of the store's.
pub(super) const OWN: &str =
    "SELECT key, value FROM own UNION ALL SELECT ''::bytea, int8send(dropped) FROM epoch";
/// Wakes the followers of other servers, when the transaction commits.
pub(super) const NOTIFY: &str = "SELECT pg_notify($1, $2)";
/// Bytes of the whole database.
pub(super) const SIZE: &str = "SELECT pg_database_size(current_database())";
/// Whether a schema has a table. A query sees what others have just made; a look-up of the name may not.
pub(super) const IS_THERE: &str = "SELECT EXISTS (SELECT FROM pg_class JOIN pg_namespace AS schema \
    ON schema.oid = relnamespace WHERE nspname = $1 AND relname = $2)";
/// Whether there is a schema.
pub(super) const SCHEMA_IS_THERE: &str = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)";
/// The partitions of a table.
pub(super) const PARTITIONS: &str =
    "SELECT relname::text FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = to_regclass($1)";

macro_rules! table {
    ($name:literal) => {
        Table {
            one: concat!("SELECT value FROM ", $name, " WHERE key = $1"),
            some: concat!("SELECT key, value FROM ", $name, " WHERE key = ANY($1)"),
            up: concat!("SELECT key, value FROM ", $name, " WHERE key >= $1 ORDER BY key LIMIT $2"),
            up_to: concat!(
                "SELECT key, value FROM ",
                $name,
                " WHERE key >= $1 AND key < $3 ORDER BY key LIMIT $2"
            ),
            down: concat!("SELECT key, value FROM ", $name, " WHERE key >= $1 ORDER BY key DESC LIMIT $2"),
            down_to: concat!(
                "SELECT key, value FROM ",
                $name,
                " WHERE key >= $1 AND key < $3 ORDER BY key DESC LIMIT $2"
            ),
            put: concat!(
                "INSERT INTO ",
                $name,
                " (key, value) SELECT * FROM unnest($1::bytea[], $2::bytea[])",
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            ),
            delete: concat!("DELETE FROM ", $name, " WHERE key = ANY($1)"),
        }
    };
}

/// The statements over the table of a space.
pub(super) fn table(space: Space) -> &'static Table {
    const OWN: Table = table!("own");
    const ROWS: Table = table!("rows");
    const FEED: Table = table!("feed");
    const HOURS: Table = table!("hours");
    const EVENTS: Table = table!("events");
    match space {
        Space::Own => &OWN,
        Space::Rows => &ROWS,
        Space::Feed => &FEED,
        Space::Hours => &HOURS,
        Space::Events => &EVENTS,
    }
}
