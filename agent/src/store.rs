//! The security state on disk: two checksummed copies, so that no single damaged file is a downgrade.
//!
//! Each write goes to the older copy (beside, synced, renamed, folder synced, see [`crate::files`]) under the next
//! generation number; the newest copy that is whole counts. One damaged copy is reported and written over; with no
//! whole copy left nothing may be installed any more, and nothing here ever starts over in silence. Read next:
//! `cordon_agent_core::update::record` for what is stored.

use cordon_agent_core::update::Record;
use cordon_proto::ids::Sha256;
use cordon_proto::{limits, wire};

use crate::files::{FileError, Folder};

/// What a copy begins with, before generation and checksum.
const MAGIC: &str = "cordon1";
/// Bytes of the line before the payload, at most.
const HEAD_BYTES: usize = 128;

/// Why two copies could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The operating system, or a full disk.
    #[error(transparent)]
    File(#[from] FileError),
    /// Neither copy is whole.
    #[error(
        "both copies of {name} are damaged ({first}; {second}). Nothing is installed from now on, because the oldest accepted version is not known. Restore them from a backup, or have the device serviced."
    )]
    Lost {
        /// The first copy's name.
        name: String,
        /// What is wrong with the first copy.
        first: String,
        /// What is wrong with the second copy.
        second: String,
    },
    /// There is something already where a first copy was to be made.
    #[error("{0} exists already and is not replaced")]
    Exists(String),
}

/// A copy that is not whole, to be reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub why: String,
}

/// What stands on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// Nothing was ever stored.
    Nothing,
    /// The newest whole copy.
    Newest {
        /// What it holds.
        value: T,
        /// The other copy, if it is damaged.
        damage: Option<Damage>,
    },
}

/// Two copies of one small document.
#[derive(Clone)]
pub struct Pair {
    folder: Folder,
    first: String,
    second: String,
    limit: usize,
    newest: Option<Place>,
}

/// Where the newest whole copy stands.
#[derive(Clone, Copy)]
struct Place {
    second: bool,
    generation: u64,
}

/// One copy as read.
enum Copy {
    Absent,
    Whole { generation: u64, payload: Vec<u8> },
    Damaged(String),
}

impl Pair {
    /// Two copies of a document of at most `limit` bytes under these names.
    #[must_use]
    pub fn new(folder: Folder, [first, second]: [String; 2], limit: usize) -> Self {
        Self { folder, first, second, limit, newest: None }
    }

    /// Reads both copies and takes the newest one for which `read` finds a meaning.
    ///
    /// # Errors
    /// The files cannot be read, or neither copy is whole.
    pub fn load<T>(&mut self, read: impl Fn(&[u8]) -> Result<T, String>) -> Result<Found<T>, PairError> {
        let first = understood(self.copy(&self.first)?, &read);
        let second = understood(self.copy(&self.second)?, &read);
        let (value, place, damage) = match (first, second) {
            (Understood::Absent, Understood::Absent) => return Ok(Found::Nothing),
            (Understood::Whole(a, x), Understood::Whole(b, y)) => {
                if a > b {
                    (x, (false, a), None)
                } else {
                    (y, (true, b), None)
                }
            }
            (Understood::Whole(a, x), other) => (x, (false, a), other.damage()),
            (other, Understood::Whole(b, y)) => (y, (true, b), other.damage()),
            (first, second) => return Err(self.lost(first.damage(), second.damage())),
        };
        let (second, generation) = place;
        self.newest = Some(Place { second, generation });
        let file = self.name(!second).to_owned();
        Ok(Found::Newest { value, damage: damage.map(|why| Damage { file, why }) })
    }

    /// Stores a document over the older copy. When this returns, it survives a power cut.
    ///
    /// # Errors
    /// The file cannot be written; the newest copy stands untouched.
    pub fn store(&mut self, payload: &[u8]) -> Result<(), PairError> {
        let (second, generation) = match self.newest {
            Some(newest) => (!newest.second, newest.generation.saturating_add(1)),
            None => (false, 1),
        };
        let head = format!("{MAGIC} {generation} {}\n", checksum(generation, payload));
        let bytes = [head.as_bytes(), payload].concat();
        self.folder.write(self.name(second), &bytes)?;
        self.newest = Some(Place { second, generation });
        Ok(())
    }

    /// Stores the first document of all; refuses where there is a copy of any kind.
    ///
    /// # Errors
    /// A copy exists, or the file cannot be written.
    pub fn create(&mut self, payload: &[u8]) -> Result<(), PairError> {
        for name in [&self.first, &self.second] {
            if !matches!(self.copy(name)?, Copy::Absent) {
                return Err(PairError::Exists(name.clone()));
            }
        }
        self.newest = None;
        self.store(payload)
    }

    fn name(&self, second: bool) -> &str {
        if second { &self.second } else { &self.first }
    }

    fn copy(&self, name: &str) -> Result<Copy, PairError> {
        let bytes = match self.folder.read(name, self.limit + HEAD_BYTES) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(Copy::Absent),
            Err(error @ FileError::TooLarge { .. }) => return Ok(Copy::Damaged(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        Ok(match split(&bytes) {
            Some((generation, payload)) => Copy::Whole { generation, payload: payload.to_vec() },
            None => Copy::Damaged("its checksum does not fit".into()),
        })
    }

    fn lost(&self, first: Option<String>, second: Option<String>) -> PairError {
        let said = |why: Option<String>| why.unwrap_or_else(|| "missing".into());
        PairError::Lost { name: self.first.clone(), first: said(first), second: said(second) }
    }
}

/// One copy, with its meaning.
enum Understood<T> {
    Absent,
    Whole(u64, T),
    Damaged(String),
}

impl<T> Understood<T> {
    fn damage(self) -> Option<String> {
        match self {
            Self::Absent | Self::Whole(..) => None,
            Self::Damaged(why) => Some(why),
        }
    }
}

fn understood<T>(copy: Copy, read: impl Fn(&[u8]) -> Result<T, String>) -> Understood<T> {
    match copy {
        Copy::Absent => Understood::Absent,
        Copy::Damaged(why) => Understood::Damaged(why),
        Copy::Whole { generation, payload } => match read(&payload) {
            Ok(value) => Understood::Whole(generation, value),
            Err(why) => Understood::Damaged(why),
        },
    }
}

fn checksum(generation: u64, payload: &[u8]) -> Sha256 {
    Sha256::of(&[&generation.to_be_bytes(), payload].concat())
}

/// Generation and payload of a whole copy.
fn split(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes.iter().take(HEAD_BYTES).position(|byte| *byte == b'\n')?;
    let (head, rest) = bytes.split_at(end);
    let payload = rest.get(1..)?;
    let mut words = core::str::from_utf8(head).ok()?.split(' ');
    let (magic, generation, sum) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
    let whole = magic == MAGIC && words.next().is_none() && sum.parse() == Ok(checksum(generation, payload));
    whole.then_some((generation, payload))
}

/// The security state of one device.
#[derive(Clone)]
pub struct SecurityStore {
    pair: Pair,
}

impl SecurityStore {
    /// The two copies in the state folder.
    #[must_use]
    pub fn new(folder: Folder) -> Self {
        let names = ["security.a".into(), "security.b".into()];
        Self { pair: Pair::new(folder, names, limits::SECURITY_STATE_BYTES) }
    }

    /// Reads the newest whole record.
    ///
    /// # Errors
    /// The files cannot be read, or no copy is whole: then nothing may be installed.
    pub fn load(&mut self) -> Result<Found<Record>, PairError> {
        let read = |bytes: &[u8]| wire::read(bytes, limits::SECURITY_STATE_BYTES).map_err(|e| e.to_string());
        self.pair.load(read)
    }

    /// What things of a kind are named where they are the present owner's.
    pub fn owners(&mut self, kind: &str) -> String {
        match self.load() {
            Ok(Found::Newest { value, .. }) => value.owners(kind),
            Ok(Found::Nothing) | Err(_) => kind.to_owned(),
        }
    }

    /// Stores what a step of the update machine asks to be stored, before its effects are done.
    ///
    /// # Errors
    /// The disk; the step's effects must then not be done.
    pub fn store(&mut self, record: &[u8]) -> Result<(), PairError> {
        self.pair.store(record)
    }

    /// Stores the record of a device that has none yet.
    ///
    /// # Errors
    /// There is one, whole or not; or the disk.
    pub fn create(&mut self, record: &Record) -> Result<(), PairError> {
        self.pair.create(&wire::write(record))
    }
}

#[cfg(test)]
mod tests;
