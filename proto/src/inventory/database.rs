//! What readers of binary package databases share: bytes at a place, and why there is nothing to read.
//!
//! A database is larger than the memory that reading it may cost, so a reader asks for the pages it needs. Nothing here opens
//! a file. Read next: [`super::sqlite`], [`super::ndb`].

/// Bytes at a place.
pub trait Source {
    /// Fills `into` from `offset` on.
    ///
    /// # Errors
    /// There are not so many bytes, or they cannot be read.
    fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Fault>;
}

/// Why a database cannot be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is no database of this kind.
    #[error("not a database of the expected kind")]
    NoDatabase,
    /// The table is not there.
    #[error("the database has no table of packages")]
    NoTable,
    /// It ends too early, or the machine does not give its bytes.
    #[error("the database ends before its pages do, or cannot be read")]
    Short,
    /// Its parts contradict each other.
    #[error("the database is damaged: rebuild it on the device, then look again")]
    Broken,
    /// Its pages point in a circle, or are more than a device has.
    #[error("the database does not end")]
    Endless,
}

impl Source for &[u8] {
    fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Fault> {
        let from = usize::try_from(offset).map_err(|_| Fault::Short)?;
        let bytes = self.get(from..).and_then(|rest| rest.get(..into.len())).ok_or(Fault::Short)?;
        into.copy_from_slice(bytes);
        Ok(())
    }
}
