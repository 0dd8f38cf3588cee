//! The tables, as numbered steps that were taken once and never change; a new version adds steps at the end.
//!
//! All of it happens in one transaction under the store's lock, so servers that start together do not meet. What the
//! bytes in the tables mean has a version of its own (`own/format`). Read next: [`migrate`].

use super::session::{Failure, Parameter, Session};
use super::sql;

/// The steps, the first one first.
pub(super) const STEPS: &[&str] = &[FIRST];

/// Keys and values, nothing else: what they mean is the layer's above. The value of a telemetry chunk is stored as it
/// is, so that PostgreSQL neither packs it again nor reads more of it than is asked for. Telemetry lies in partitions by
/// day (`days.rs`), with one for what is older than days and one for what is later.
const FIRST: &str = "
CREATE TABLE own (key bytea PRIMARY KEY, value bytea NOT NULL) WITH (fillfactor = 50);
CREATE TABLE rows (key bytea PRIMARY KEY, value bytea NOT NULL) WITH (fillfactor = 85);
CREATE TABLE feed (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE hours (key bytea PRIMARY KEY, value bytea NOT NULL) PARTITION BY RANGE (key);
CREATE TABLE events (key bytea PRIMARY KEY, value bytea NOT NULL) PARTITION BY RANGE (key);
ALTER TABLE events ALTER value SET STORAGE EXTERNAL;
CREATE TABLE hours_before PARTITION OF hours FOR VALUES FROM (MINVALUE) TO ('\\x8000000000000000');
CREATE TABLE hours_after PARTITION OF hours FOR VALUES FROM ('\\x80000000001ec390') TO (MAXVALUE);
CREATE TABLE events_before PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('\\x8000000000000000');
CREATE TABLE events_after PARTITION OF events FOR VALUES FROM ('\\x80000699e991a800') TO (MAXVALUE);
CREATE TABLE epoch (dropped bigint NOT NULL);
INSERT INTO epoch VALUES (0);
";

const TAKEN: &str = "SELECT coalesce(max(step), 0) FROM migrations";
const TAKE: &str = "INSERT INTO migrations (step) VALUES ($1)";

/// Why tables cannot be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A newer version was here.
    #[error(
        "the tables were made by a newer version of the server (step {found}, this one knows {known}): start that version"
    )]
    Newer {
        /// Steps taken.
        found: i32,
        /// Steps known.
        known: i32,
    },
    /// PostgreSQL refused.
    #[error(
        "the tables cannot be made or changed: the user of the server needs the right to create a schema in its database"
    )]
    Refused(#[source] Failure),
}

impl From<Failure> for MigrateError {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

/// Takes the steps that were not taken yet. `lock` begins a transaction that nobody else is in.
pub(super) fn migrate(
    session: &mut Session,
    schema: &str,
    lock: &str,
    steps: &[&str],
) -> Result<(), MigrateError> {
    session.ahead(lock);
    if !is(session, sql::SCHEMA_IS_THERE, &[&schema])? {
        session.batch(&format!("CREATE SCHEMA {schema}"))?;
    }
    if !is(session, sql::IS_THERE, &[&schema, &"migrations"])? {
        let made = "CREATE TABLE migrations (step int PRIMARY KEY, taken timestamptz NOT NULL DEFAULT now())";
        session.batch(made)?;
    }
    let rows = session.query(TAKEN, &[])?;
    let found: i32 = rows.first().and_then(|row| row.try_get(0).ok()).unwrap_or_default();
    let known = i32::try_from(steps.len()).unwrap_or(i32::MAX);
    if found > known {
        return Err(MigrateError::Newer { found, known });
    }
    for (number, step) in (1..).zip(steps) {
        if number > found {
            session.batch(step)?;
            session.query(TAKE, &[&number])?;
        }
    }
    Ok(session.batch("COMMIT")?)
}

/// A question that is answered with a boolean.
pub(super) fn is(
    session: &mut Session,
    sql: &'static str,
    parameters: &[Parameter<'_>],
) -> Result<bool, Failure> {
    let rows = session.query(sql, parameters)?;
    Ok(rows.first().and_then(|row| row.try_get(0).ok()).unwrap_or(false))
}
