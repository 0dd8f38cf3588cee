//! Reading the file of a feed: one document, or a tar file of many, or a table, within bounds.
//!
//! The file is read once from its first byte to its last, one document in memory at a time, and hashed on the way. What of it
//! is understood is decided in `server/core`. Read next: `exposure::world` there.

use std::io::{self, Read};

use cordon_proto::ids::Sha256;
use cordon_proto::limits;
use cordon_server_core::exposure::world::{Stop, document_bytes};
use cordon_server_core::exposure::{Builder, Spot};
use cordon_server_core::feeds::archive::{self, BLOCK, Broken};
use cordon_server_core::feeds::epss::{NoTable, Scores};
use cordon_server_core::feeds::intake::{Kind, Tally};
use cordon_server_core::feeds::vex::cyclonedx::References;
use sha2::{Digest, Sha256 as Hasher};

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// The disk.
    #[error("the file of the feed cannot be read from the disk")]
    Disk(#[from] io::Error),
    /// It is not here.
    #[error("the file of the feed is not on this server: import it again")]
    Missing,
    /// Another file than the one that is in force.
    #[error("the file of the feed is damaged: import it again")]
    Damaged,
    /// The archive.
    #[error(transparent)]
    Archive(#[from] Broken),
    /// What is in it.
    #[error(transparent)]
    Stop(#[from] Stop),
    /// A table.
    #[error("it is no such table: {0}")]
    Table(String),
    /// More than is read.
    #[error("it has more than {} documents", limits::FEED_ROWS)]
    TooMany,
}

impl From<NoTable> for Unread {
    fn from(error: NoTable) -> Self {
        Self::Table(error.to_string())
    }
}

/// A file to be read, as often as its kind needs.
pub(super) struct Source<'a> {
    /// What it holds.
    pub(super) kind: Kind,
    /// Its place among the feeds that a world is built from.
    pub(super) feed: u16,
    /// Opens it at its first byte.
    pub(super) open: &'a dyn Fn() -> Box<dyn Read>,
}

/// Reads a file into a world in the making, and says what its hash is.
pub(super) fn read(source: &Source<'_>, builder: &mut Builder, tally: &mut Tally) -> Result<Sha256, Unread> {
    let mut known = References::default();
    if source.kind == Kind::Vex {
        // SBOMs first, so that links find what they name; another format is no SBOM.
        documents(source, |_, _, bytes| {
            let _ = known.add(bytes);
            Ok(())
        })?;
    }
    documents(source, |name, spot, bytes| {
        tally.files += 1;
        match source.kind {
            Kind::Osv => builder.osv(name, bytes, Some(spot), tally)?,
            Kind::Debian => builder.debian(bytes, tally)?,
            Kind::Csaf => builder.csaf(name, bytes, tally),
            Kind::Kev => builder.kev(bytes, tally)?,
            Kind::Epss => {
                let mut scores = Scores::default();
                rows(bytes, |cells| Ok(scores.row(cells)?))?;
                builder.epss(scores.finish()?, tally);
            }
            Kind::Eol => builder.eol(name, bytes, tally),
            Kind::Vex => builder.vex(name, bytes, &known, tally),
            Kind::Aliases => aliases(bytes, builder, tally)?,
        }
        Ok(())
    })
}

/// Each document of a file: its name, its place, its bytes. One that is too long comes as far as tells that it is.
fn documents(
    source: &Source<'_>,
    mut take: impl FnMut(&str, Spot, &[u8]) -> Result<(), Unread>,
) -> Result<Sha256, Unread> {
    let mut from = Hashed { inner: (source.open)(), hasher: Hasher::new(), at: 0 };
    let most = document_bytes(source.kind);
    let mut first = Vec::new();
    from.by_ref().take(BLOCK as u64).read_to_end(&mut first)?;
    if !archive::is_archive(&first) {
        from.by_ref().take(most.saturating_add(1)).read_to_end(&mut first)?;
        let length = u32::try_from(first.len()).unwrap_or(u32::MAX);
        take("the file", Spot { feed: source.feed, at: 0, length }, &first)?;
        return from.finish();
    }
    let mut header: [u8; BLOCK] = first.try_into().map_err(|_| Broken)?;
    let mut count = 0_usize;
    while let Some(member) = archive::member(&header)? {
        count += 1;
        if count > limits::FEED_ROWS {
            return Err(Unread::TooMany);
        }
        let at = from.at;
        let mut left = member.length.saturating_add(archive::filling(member.length));
        if member.kind == archive::Kind::File && wants(source.kind, &member.name) {
            let mut bytes = Vec::new();
            let looked_at = member.length.min(most.saturating_add(1));
            from.by_ref().take(looked_at).read_to_end(&mut bytes)?;
            if bytes.len() as u64 != looked_at {
                return Err(Broken.into());
            }
            left = left.saturating_sub(looked_at);
            let length = u32::try_from(member.length).unwrap_or(u32::MAX);
            take(&member.name, Spot { feed: source.feed, at, length }, &bytes)?;
        }
        if io::copy(&mut from.by_ref().take(left), &mut io::sink())? != left {
            return Err(Broken.into());
        }
        from.read_exact(&mut header).map_err(|_| Broken)?;
    }
    from.finish()
}

/// Whether a member of an archive is a document of the feed: people's folders hold other things too.
fn wants(kind: Kind, name: &str) -> bool {
    let ending = name.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, ending)| ending);
    match kind {
        Kind::Epss | Kind::Aliases => ending == Some("csv"),
        Kind::Debian => matches!(ending, Some("csv" | "json")),
        Kind::Osv | Kind::Csaf | Kind::Kev | Kind::Eol | Kind::Vex => ending == Some("json"),
    }
}

fn aliases(bytes: &[u8], builder: &mut Builder, tally: &mut Tally) -> Result<(), Unread> {
    let mut first = true;
    rows(bytes, |cells| {
        if std::mem::take(&mut first) {
            let is_head = cells == ["maker", "model", "alias"];
            let wrong = || Unread::Table("its first row is `maker,model,alias`".to_owned());
            return if is_head { Ok(()) } else { Err(wrong()) };
        }
        if builder.alias(cells) {
            tally.records += 1;
        } else {
            Tally::count(&mut tally.refused, "row", 1);
        }
        Ok(())
    })
}

/// The rows of a table, each split into cells; commas, semicolons and tabs part them.
fn rows(bytes: &[u8], mut take: impl FnMut(&[&str]) -> Result<(), Unread>) -> Result<(), Unread> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| Unread::Table("it is not in UTF-8".to_owned()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let head = text.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
    let parting = [b';', b'\t'].into_iter().find(|sign| head.as_bytes().contains(sign)).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(parting)
        .trim(csv::Trim::All)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| Unread::Table(error.to_string()))? {
        take(&record.iter().collect::<Vec<_>>())?;
    }
    Ok(())
}

/// A reader that knows where it is, and the hash of what it read.
struct Hashed {
    inner: Box<dyn Read>,
    hasher: Hasher,
    at: u64,
}

impl Read for Hashed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.hasher.update(into.get(..read).unwrap_or_default());
        self.at = self.at.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}

impl Hashed {
    /// The hash of the whole file, what stands behind the last document included.
    fn finish(mut self) -> Result<Sha256, Unread> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(Sha256(self.hasher.finalize().into()))
    }
}
