//! From the text of the setting `store` to an open store: the one door to every engine.
//!
//! The server and the simulator come through it, so what the rounds of kills and power cuts test is what is served.
//! Nothing is read or written here that the engine does not ask for.

use std::path::Path;
use std::sync::Arc;

use super::disk::Options;
use super::memory::Memory;
use super::postgres::{self, Postgres};
#[cfg(feature = "sled")]
use super::sled;
use super::{Store, redb};

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    /// No such kind.
    #[error(
        "`store = \"{0}:…\"` is no store that this program has: use `redb:PATH`, `sled:DIR` or `postgres:…`"
    )]
    Unknown(String),
    /// A kind that was left out when the program was built.
    #[error("this program was built without `{0}`: build it with `--features {0}`, or use `redb:PATH`")]
    NotBuilt(&'static str),
    /// redb.
    #[error(transparent)]
    Redb(#[from] redb::OpenError),
    /// PostgreSQL.
    #[error(transparent)]
    Postgres(#[from] postgres::OpenError),
    /// sled.
    #[cfg(feature = "sled")]
    #[error(transparent)]
    Sled(#[from] sled::OpenError),
    /// The task was lost.
    #[error("the store could not be opened")]
    Task(#[source] tokio::task::JoinError),
}

/// What may be said of an opening beyond the text. The server opens on the default terms, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Bytes that must stay free on the disk, instead of the engine's own reserve.
    pub reserve_bytes: Option<u64>,
    /// Answers before the disk has what was written. Only for the power cuts that must catch it; no configuration
    /// reaches it.
    #[doc(hidden)]
    pub unsynced: bool,
}

impl Terms {
    /// What they are for an engine that keeps files.
    fn files(self) -> Options {
        let options = Options { unsynced: self.unsynced, ..Options::default() };
        Options { reserve_bytes: self.reserve_bytes.unwrap_or(options.reserve_bytes), ..options }
    }
}

/// Opens the store that `text` names: `redb:PATH`, `sled:DIR`, `postgres:…` or `memory`. Paths start at `folder`.
pub async fn open(text: &str, folder: &Path, terms: Terms) -> Result<Arc<dyn Store>, StoreOpenError> {
    if text == "memory" {
        return Ok(Arc::new(Memory::new()));
    }
    // What stands behind the kind may be a password.
    let unknown = || StoreOpenError::Unknown(text.split(':').next().unwrap_or_default().to_owned());
    let (engine, place) = text.split_once(':').ok_or_else(unknown)?;
    let path = folder.join(place);
    match engine {
        "redb" => {
            let options = terms.files();
            Ok(Arc::new(blocking(move || redb::Redb::open(&path, options)).await??))
        }
        "postgres" => {
            let options = postgres::Options { unsynced: terms.unsynced, ..postgres::Options::default() };
            let (place, folder) = (place.to_owned(), folder.to_owned());
            Ok(Arc::new(blocking(move || Postgres::open(&place, &folder, options)).await??))
        }
        #[cfg(feature = "sled")]
        "sled" => {
            let options = terms.files();
            Ok(Arc::new(blocking(move || sled::Sled::open(&path, options)).await??))
        }
        #[cfg(not(feature = "sled"))]
        "sled" => Err(StoreOpenError::NotBuilt("sled")),
        _ => Err(unknown()),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreOpenError> {
    tokio::task::spawn_blocking(work).await.map_err(StoreOpenError::Task)
}
