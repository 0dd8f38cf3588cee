//! The conformance suite over every engine, test by test and engine by engine, and their histories beside the model's.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use cordon_server::store::Store;
use cordon_server::store::conformance::{Subject, compare_histories};
use cordon_server::store::postgres::{Options, Postgres};
use cordon_sim::postgres::Shared;

const SIM: &str = env!("CARGO_BIN_EXE_cordon-sim");
/// One cluster for all tests of this program.
static CLUSTER: LazyLock<Option<Shared>> =
    LazyLock::new(|| Shared::start(Path::new(SIM)).expect("a cluster of the tests' own"));

fn memory() -> Option<Subject> {
    Some(Subject::memory())
}

fn redb() -> Option<Subject> {
    Some(Subject::redb())
}

fn sled() -> Option<Subject> {
    Some(Subject::sled())
}

/// A schema of its own for each.
fn postgres() -> Option<Subject> {
    static SCHEMAS: AtomicU32 = AtomicU32::new(0);
    // Every test says for itself that it is skipped.
    cordon_sim::skip::require_package("initdb")?;
    let cluster = CLUSTER.as_ref()?;
    let text = cluster.url_of(&format!("t{}", SCHEMAS.fetch_add(1, Ordering::Relaxed)));
    Some(Subject::new(|_| Box::new(move || open(&text))))
}

/// The engine must not be opened on an async thread.
fn open(text: &str) -> Arc<dyn Store> {
    let opened = std::thread::scope(|scope| {
        scope.spawn(|| Postgres::open(text, Path::new("/"), Options::default())).join()
    });
    Arc::new(opened.expect("no panic").expect("opened"))
}

cordon_server::conformance!(memory, redb, sled, postgres);

#[test]
fn redb_answers_as_the_model_does() {
    // Goal: the default engine is the model, across reopening. Method: made-up histories on a real file.
    compare_histories(16, Subject::redb);
}

#[test]
fn sled_answers_as_the_model_does() {
    // Goal: sled is the model, across reopening. Method: made-up histories on a real folder.
    compare_histories(32, Subject::sled);
}

#[test]
fn postgres_answers_as_the_model_does() {
    // Goal: PostgreSQL is the model, across reopening. Method: made-up histories, a schema for each.
    if postgres().is_some() {
        compare_histories(16, || postgres().expect("there a moment ago"));
    }
}
