//! Site mirrors: images by plain HTTP from nearby, in the order of the configuration, and the server as the last of them.
//!
//! A mirror learns the hash of an image and nothing of the device: it is shown no certificate and told no name. Nothing
//! that it sends is believed, because the written slot is hashed against both signatures; one that is dead, slow, short
//! or wrong costs time. It must never be asked for metadata: only the server knows what is newest. Read next:
//! `cordon_proto::update::Mirrors` for the turns, [`super::download`].

use std::sync::{Arc, Mutex, PoisonError};

use cordon_proto::ids::{Sha256, Text};
use cordon_proto::update::{self, Pace};
use reqwest::Client;
use tokio::sync::{mpsc, watch};

use super::download::Download;
use super::{Link, LinkError};
use crate::clock::TrustedClock;
use crate::slot::writing::Piece;
use crate::tls::{self, TlsError};

/// Why a mirror was left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MirrorFault {
    /// The network, or a mirror that is down.
    #[error("it cannot be reached ({0})")]
    Unreachable(String),
    /// Less came than must.
    #[error("it sent nothing, or next to nothing, for {0} s")]
    Slow(u64),
    /// It has no such image, or refuses.
    #[error("it answers {0}")]
    Answers(u16),
    /// What it has is something else.
    #[error("its file is not as long as the image")]
    Length,
    /// It sends the whole of a file, or some other part of it.
    #[error("it gives no parts of files, or its file is another one")]
    Parts,
    /// The image did not come whole.
    #[error("it stopped before the image was whole")]
    Short,
    /// The image is not the signed one.
    #[error("the image that it sent, or sent a part of, is not the signed one")]
    Wrong,
}

impl From<LinkError> for MirrorFault {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Stalled { seconds } => Self::Slow(seconds),
            LinkError::Rejected { status, .. } | LinkError::Busy { status, .. } => Self::Answers(status),
            LinkError::Unreachable { cause, .. } => Self::Unreachable(cause),
            other => Self::Unreachable(other.to_string()),
        }
    }
}

/// How a mirror did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// `http://HOST…`, as configured.
    pub(crate) url: String,
    /// Why it was left last; nothing while it serves.
    pub(crate) fault: Option<MirrorFault>,
    /// Whether bytes of the image in the slot are its.
    part: bool,
    /// Whether bytes of the part that was asked for last are its.
    lately: bool,
}

impl Standing {
    /// Why it was left, in a sentence.
    pub(crate) fn told(&self) -> Option<Text> {
        let fault = self.fault.as_ref()?;
        Some(Text::lossy(&format!("The mirror {} was left: {fault}.", self.url)))
    }
}

/// An image that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Its hash.
    pub(crate) sha256: Sha256,
    /// Its length.
    pub(crate) length: u64,
    /// The first byte wanted.
    pub(crate) from: u64,
    /// The byte before which it ends; nothing for its own end.
    pub(crate) until: Option<u64>,
    /// Whether mirrors may be asked for it.
    pub(crate) mirrors: bool,
}

impl Wanted {
    fn end(&self) -> u64 {
        self.until.unwrap_or(self.length)
    }
}

/// The mirrors of a device.
#[derive(Clone, Debug)]
pub(crate) struct Mirrors {
    /// Nothing where there are none.
    client: Option<Client>,
    /// Of the image that was wanted last.
    turns: Arc<Mutex<(Sha256, update::Mirrors)>>,
    standings: Arc<watch::Sender<Vec<Standing>>>,
}

impl Mirrors {
    /// The configured ones.
    pub(crate) fn new(urls: &[String], clock: TrustedClock) -> Result<Self, TlsError> {
        // A client costs memory; most devices have no mirror.
        let client = if urls.is_empty() { None } else { Some(tls::plain_client(clock)?) };
        let standing = |url: &String| Standing { url: url.clone(), fault: None, part: false, lately: false };
        let standings = watch::Sender::new(urls.iter().map(standing).collect());
        let turns = (Sha256([0; 32]), update::Mirrors::new(urls.len() + 1));
        Ok(Self { client, turns: Arc::new(Mutex::new(turns)), standings: Arc::new(standings) })
    }

    /// How they do.
    pub(crate) fn view(&self) -> watch::Receiver<Vec<Standing>> {
        self.standings.subscribe()
    }

    /// The image in the slot is not the signed one. Nobody can say which of those that sent a part of it did it.
    pub(crate) fn blame(&self) {
        self.blame_those(|standing| standing.part);
    }

    /// The part that was asked for last is not what the maker wrote. Whether any of it was a mirror's.
    pub(crate) fn blame_lately(&self) -> bool {
        self.blame_those(|standing| standing.lately)
    }

    fn blame_those(&self, guilty: fn(&Standing) -> bool) -> bool {
        self.standings.send_if_modified(|standings| {
            let mut blamed = false;
            for standing in standings.iter_mut().filter(|standing| guilty(standing)) {
                tracing::warn!(mirror = %standing.url, fault = %MirrorFault::Wrong, "the server is asked in its place");
                (standing.fault, standing.part, blamed) = (Some(MirrorFault::Wrong), false, true);
            }
            blamed
        })
    }

    /// Nothing of what was sent before counts any more: a new image begins in the slot, or another part.
    pub(crate) fn forget(&self, wanted: &Wanted) {
        self.standings.send_if_modified(|standings| {
            for standing in standings.iter_mut() {
                standing.lately = false;
                standing.part &= wanted.from > 0 || wanted.until.is_some();
            }
            false
        });
    }

    /// A mirror begins to send a part; what of it is believed is decided while it still comes.
    pub(crate) fn sends_part(&self, index: usize) {
        self.standings.send_if_modified(|standings| {
            if let Some(standing) = standings.get_mut(index) {
                standing.lately = true;
            }
            false
        });
    }

    /// Whose turn it is; nothing for the server's. Another image begins with the first mirror.
    fn turn(&self, wanted: &Wanted) -> Option<usize> {
        let count = self.standings.borrow().len();
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.0 != wanted.sha256 {
            *turns = (wanted.sha256, update::Mirrors::new(count + 1));
        }
        Some(turns.1.current()).filter(|turn| *turn < count)
    }

    /// Whoever's turn it was is done with it.
    fn done(&self, served: bool) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if served {
            turns.1.served();
        } else {
            // The server is among them, so there is always another one to ask.
            turns.1.failed();
        }
    }

    /// Bytes of a mirror go to the slot. It is noted before they do, because whoever writes them may find them wrong at
    /// once.
    fn sends(&self, index: usize) {
        self.standings.send_if_modified(|standings| {
            if let Some(standing) = standings.get_mut(index) {
                standing.part = true;
            }
            false
        });
    }

    /// A mirror is done with, well or not.
    fn left(&self, index: usize, fault: Option<MirrorFault>) {
        self.done(fault.is_none());
        self.standings.send_if_modified(|standings| {
            let Some(standing) = standings.get_mut(index) else { return false };
            if fault.is_none() && standing.fault == Some(MirrorFault::Wrong) && !standing.part {
                // It was blamed for what it sent before its end was seen here.
                return false;
            }
            if let Some(fault) = &fault {
                tracing::warn!(mirror = %standing.url, %fault, "the next one is asked in its place");
            }
            let news = standing.fault != fault;
            standing.fault = fault;
            news
        });
    }

    async fn begin(&self, index: usize, link: &Link, wanted: &Wanted) -> Result<Download, MirrorFault> {
        let url = self.standings.borrow().get(index).map(|standing| standing.url.clone()).unwrap_or_default();
        let none = || MirrorFault::Unreachable("there are no mirrors".to_owned());
        let request = self.client.as_ref().ok_or_else(none)?.get(format!("{url}/targets/{}", wanted.sha256));
        let cap = link.cap.clone();
        let pace = Pace::with_mirror(link.patience.stall, cap.as_ref().map(super::Cap::bytes_per_s));
        let download =
            Download::begin(request, (wanted.from, wanted.until), link.patience.answer, (pace, cap)).await?;
        let ends = download.end() == Some(wanted.end());
        match wanted.until {
            Some(_) if ends && download.start() == wanted.from => {
                self.sends_part(index);
                Ok(download)
            }
            Some(_) => Err(MirrorFault::Parts),
            None if ends => Ok(download),
            None => Err(MirrorFault::Length),
        }
    }
}

/// Where the pieces of an image go.
pub(crate) type Pieces = mpsc::Sender<Result<Piece, LinkError>>;

/// Streams an image to whoever asked, until the end, their loss of interest, or an error of the server. A mirror that
/// fails is followed by the next one at the very byte where it stopped.
pub(crate) async fn forward(link: &Link, mut wanted: Wanted, pieces: &Pieces) -> Result<(), LinkError> {
    if let Some(mirrors) = &link.mirrors {
        mirrors.forget(&wanted);
    }
    let mirrors = link.mirrors.as_ref().filter(|_| wanted.mirrors);
    while let Some((mirrors, index)) = mirrors.and_then(|mirrors| Some((mirrors, mirrors.turn(&wanted)?))) {
        let mut at = 0;
        let sender = wanted.until.is_none().then_some((mirrors, index, wanted.from));
        let fault = match mirrors.begin(index, link, &wanted).await {
            Ok(mut download) => match pass_on(&mut download, &mut at, pieces, sender).await {
                Ok(()) if pieces.is_closed() => return Ok(()),
                Ok(()) if at >= wanted.end() => None,
                Ok(()) => Some(MirrorFault::Short),
                Err(error) => Some(error.into()),
            },
            Err(fault) => Some(fault),
        };
        // One that began before what was wanted may have stopped before it, too.
        wanted.from = wanted.from.max(at);
        let served = fault.is_none();
        mirrors.left(index, fault);
        if served {
            return Ok(());
        }
    }
    let came = match link.part(&wanted.sha256, wanted.from, wanted.until).await {
        Ok(mut download) => pass_on(&mut download, &mut wanted.from, pieces, None).await,
        Err(error) => Err(error),
    };
    if let Some(mirrors) = mirrors {
        mirrors.done(came.is_ok());
    }
    came
}

/// Passes on what comes, until it ends or nobody wants it; `at` is the next byte. `sender` is the mirror, where it is one,
/// and the first byte that the slot does not hold yet.
async fn pass_on(
    download: &mut Download,
    at: &mut u64,
    pieces: &Pieces,
    sender: Option<(&Mirrors, usize, u64)>,
) -> Result<(), LinkError> {
    *at = download.start();
    while let Some(bytes) = download.next().await? {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let end = at.saturating_add(length);
        if let Some((mirrors, index, _)) = sender.filter(|(_, _, held)| end > *held) {
            mirrors.sends(index);
        }
        if pieces.send(Ok(Piece { at: *at, bytes })).await.is_err() {
            return Ok(());
        }
        *at = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
