//! One connection to PostgreSQL, used by one thread at a time, with a deadline on every call.
//!
//! The connection lives on a small runtime of its own, which runs only while a call waits; so it must not be used from
//! an async thread. Statements are prepared once. What belongs together is sent together: words put [`ahead`] travel
//! with the next query, and the statements of a transaction's end with its commit. After a failure a session is
//! thrown away, never repaired. Read next: [`connect`] for what is refused.
//!
//! [`ahead`]: Session::ahead
//! [`connect`]: Session::connect

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::ToSql;
use tokio_postgres::{
    AsyncMessage, Client, NoTls, Row, SimpleQueryMessage, SimpleQueryRow, Socket, Statement,
};

use super::settings::Settings;
use crate::store::StoreError;

/// The oldest release: its partitions are attached without holding readers up.
const OLDEST: u32 = 15;
/// For a connection to be made and looked at.
const CONNECT: Duration = Duration::from_secs(5);
/// For a call to be answered, a little longer than the server gives itself.
pub(super) const ANSWER: Duration = Duration::from_secs(35);

/// A parameter of a statement.
pub(super) type Parameter<'p> = &'p (dyn ToSql + Sync);

/// Why a server is not trusted with documents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too old.
    #[error("PostgreSQL {0} is too old: version {OLDEST} or later is needed")]
    TooOld(u32),
    /// It loses commits in a power cut.
    #[error("this PostgreSQL runs with `{0} = off` and may lose or break what it stored: switch it on")]
    Unsafe(&'static str),
    /// It answers before a commit is on disk.
    #[error("this PostgreSQL does not let us set `synchronous_commit = on`, without which commits are lost")]
    Asynchronous,
    /// It only reads.
    #[error("this PostgreSQL is a standby: name the primary, or all hosts")]
    Standby,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// PostgreSQL, or the way to it.
    #[error("PostgreSQL: {}", said(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// No answer in time.
    #[error("PostgreSQL did not answer within {} s", .0.as_secs())]
    Deadline(Duration),
    /// A server that is not used.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The machine gives no runtime.
    #[error("no runtime for a connection")]
    Runtime(#[source] std::io::Error),
}

impl Failure {
    /// As an error of the store.
    pub(super) fn into_store(self, doing: &str) -> StoreError {
        match self.code() {
            Some(code) if *code == SqlState::DISK_FULL => StoreError::Full,
            _ => StoreError::unavailable(doing, self),
        }
    }

    /// PostgreSQL's code, if it said one.
    pub(super) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Postgres(error) => error.code(),
            Self::Deadline(_) | Self::Refused(_) | Self::Runtime(_) => None,
        }
    }

    /// Whether the connection may have been lost before this call, so that a new one may do.
    pub(super) fn is_of_the_connection(&self) -> bool {
        match self {
            Self::Postgres(error) => error.as_db_error().is_none_or(|error| {
                // Sessions are ended with these, and the answer to the next call is what was said at the end.
                let code = error.code().code();
                code.starts_with("57P") || code.starts_with("08") || code == "25P03"
            }),
            Self::Deadline(_) | Self::Refused(_) | Self::Runtime(_) => false,
        }
    }
}

/// The words of the server, or of the connection.
fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} ({})", error.message(), error.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

/// How a session is set up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Accept a server that may lose commits: only for the power cuts that must show it.
    pub(super) unsynced: bool,
    /// How long a transaction may say nothing.
    pub(super) silence: &'static str,
}

/// Called for each notice of the channel that is listened to.
pub(super) type Tell = Box<dyn Fn(&str) + Send>;

/// One connection.
pub(super) struct Session {
    /// Taken by drop alone.
    runtime: Option<Runtime>,
    client: Client,
    statements: HashMap<&'static str, Statement>,
    /// What goes before the next query.
    ahead: Option<String>,
    deadline: Duration,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime that is merely dropped may not be on an async thread.
            runtime.shutdown_background();
        }
    }
}

impl Session {
    /// Connects, sets the session up, and refuses a server that is not safe.
    pub(super) fn connect(settings: &Settings, terms: Terms) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
        let client = runtime.block_on(open(settings, terms, None))?;
        let (runtime, statements) = (Some(runtime), HashMap::new());
        Ok(Self { runtime, client, statements, ahead: None, deadline: ANSWER })
    }

    /// Gives the calls of this session another deadline.
    pub(super) fn wait_for(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// Puts words before the next query, in the same journey to the server.
    pub(super) fn ahead(&mut self, words: impl Into<String>) {
        self.ahead = Some(words.into());
    }

    /// Runs a query.
    pub(super) fn query(
        &mut self,
        sql: &'static str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let statement = self.statement(sql)?;
        let ahead = self.ahead.take();
        let client = &self.client;
        self.run(async {
            let Some(ahead) = ahead else { return client.query(&statement, parameters).await };
            // Polled in this order, and so sent in this order.
            let (before, rows) = futures_util::future::join(
                client.batch_execute(&ahead),
                client.query(&statement, parameters),
            )
            .await;
            before.and(rows)
        })
    }

    /// Runs statements without parameters, and what was put ahead before them.
    pub(super) fn batch(&mut self, sql: &str) -> Result<(), Failure> {
        let sql = match self.ahead.take() {
            Some(ahead) => format!("{ahead}; {sql}"),
            None => sql.to_owned(),
        };
        self.run(self.client.batch_execute(&sql))
    }

    /// Runs a statement whose answer is one number.
    pub(super) fn number(&mut self, sql: &str) -> Result<u64, Failure> {
        let answers = self.run(self.client.simple_query(sql))?;
        let text = last_row(&answers).and_then(|row| row.get(0));
        Ok(text.and_then(|text| text.parse().ok()).unwrap_or_default())
    }

    /// Sends statements and `COMMIT` in one journey. Whatever fails of it, nothing is committed; without an answer,
    /// nobody knows.
    pub(super) fn commit(
        &mut self,
        statements: &[(&'static str, Vec<Parameter<'_>>)],
    ) -> Result<(), Failure> {
        let mut prepared = Vec::with_capacity(statements.len());
        for (sql, _) in statements {
            prepared.push(self.statement(sql)?);
        }
        let client = &self.client;
        self.run(async {
            // Few futures are polled in their order, and so sent in their order.
            let sent = prepared.iter().zip(statements).map(|(statement, (_, parameters))| {
                let (statement, parameters) = (statement.clone(), parameters.as_slice());
                async move { client.execute(&statement, parameters).await.map(drop) }
            });
            let (written, committed) =
                futures_util::future::join(join_all(sent), client.batch_execute("COMMIT")).await;
            // A COMMIT behind a failed statement is answered as if all were well, and rolls back.
            written.into_iter().collect::<Result<(), _>>()?;
            committed
        })
    }

    fn statement(&mut self, sql: &'static str) -> Result<Statement, Failure> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.run(self.client.prepare(sql))?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    fn run<T>(&self, work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Failure> {
        let runtime = self.runtime.as_ref().expect("taken by drop alone");
        runtime.block_on(async { within(self.deadline, work).await })
    }
}

async fn within<T>(
    deadline: Duration,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Failure> {
    match timeout(deadline, work).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::Deadline(deadline)),
    }
}

/// Connects on the runtime of the caller, which also drives the connection.
pub(super) async fn open(settings: &Settings, terms: Terms, tell: Option<Tell>) -> Result<Client, Failure> {
    let client = match &settings.tls {
        None => within(CONNECT, dial(settings, NoTls, tell)).await?,
        Some(tls) => within(CONNECT, dial(settings, tls.clone(), tell)).await?,
    };
    let answers = within(CONNECT, client.simple_query(&set_up(&settings.schema, terms))).await?;
    judge(&answers, terms)?;
    Ok(client)
}

async fn dial<T>(settings: &Settings, tls: T, tell: Option<Tell>) -> Result<Client, tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, mut connection) = settings.config.connect(tls).await?;
    tokio::spawn(async move {
        // It ends with the client, or with an error that the next call is told.
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let (AsyncMessage::Notification(notice), Some(tell)) = (message, &tell) {
                tell(notice.payload());
            }
        }
    });
    Ok(client)
}

/// What every session is told, and what is asked of its server; the schema is a plain name.
fn set_up(schema: &str, terms: Terms) -> String {
    let silence = terms.silence;
    format!(
        "SET search_path = {schema}, pg_temp; SET client_min_messages = warning; SET jit = off; \
         SET statement_timeout = '30s'; SET lock_timeout = '10s'; \
         SET idle_in_transaction_session_timeout = '{silence}'; \
         SELECT set_config('synchronous_commit', 'on', false) \
          WHERE current_setting('synchronous_commit') <> 'remote_apply'; \
         SELECT current_setting('server_version_num'), current_setting('fsync'), \
          current_setting('full_page_writes'), pg_is_in_recovery()::text, current_setting('synchronous_commit')"
    )
}

fn last_row(answers: &[SimpleQueryMessage]) -> Option<&SimpleQueryRow> {
    answers.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })
}

/// Whether the last row of the answers is that of a server to be trusted.
fn judge(answers: &[SimpleQueryMessage], terms: Terms) -> Result<(), Refusal> {
    let row = last_row(answers);
    let column = |index| row.and_then(|row| row.get(index)).unwrap_or_default();
    let version = column(0).parse::<u32>().unwrap_or_default() / 10_000;
    if version < OLDEST {
        return Err(Refusal::TooOld(version));
    }
    if column(3) != "false" {
        return Err(Refusal::Standby);
    }
    if !matches!(column(4), "on" | "remote_apply") {
        return Err(Refusal::Asynchronous);
    }
    if terms.unsynced {
        return Ok(());
    }
    let unsafe_one = ["fsync", "full_page_writes"].into_iter().zip([column(1), column(2)]);
    match unsafe_one.into_iter().find(|(_, value)| *value != "on") {
        Some((name, _)) => Err(Refusal::Unsafe(name)),
        None => Ok(()),
    }
}
