//! A bundle that a person handed over: taken up at a look, followed to its end, dropped with the act.
//!
//! Its counter is stored before its offer is known to the machine. The server's word goes first: as soon as it offers an
//! order, the bundle is left. Nothing is decided here. Read next: [`crate::run::carried`], [`crate::stick`].

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cordon_agent_core::update::State;
use cordon_proto::ids::Sha256;
use cordon_proto::time::Timestamp;
use tokio::sync::mpsc;

use super::Updating;
use crate::link::LinkError;
use crate::run::carried::{self, Looker, Untaken};
use crate::run::messages::Piece;
use crate::stick::{self, Stick};

/// Between two tries of a bundle that cannot be taken up now.
const AGAIN: Duration = Duration::from_secs(60);
/// Bytes of an image read at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Where a copy of what is kept is tried, inside the state folder.
const TRIED: &str = "bundle-tried";

/// What was handed over.
pub(super) struct Handed {
    stamp: SystemTime,
    tried: Duration,
    carried: Option<Carried>,
    /// The server has spoken since.
    left: bool,
}

struct Carried {
    stick: Arc<Stick>,
    expires: Timestamp,
}

impl Updating {
    /// Takes up what was handed over since the last look, and what may be taken up now.
    pub(super) async fn take_bundle(&mut self) {
        let Some(stamp) = stick::stamp(self.means.state.path()) else { return self.bundle = None };
        let (now, monotonic) = (self.device.clock.now(), self.device.clock.monotonic());
        let stale = self.evidence.as_ref().is_none_or(|evidence| evidence.is_stale(monotonic));
        let waits = self.bundle.as_ref().is_some_and(|handed| {
            let over = handed.carried.as_ref().is_some_and(|carried| now >= carried.expires);
            let again = stale && monotonic.saturating_sub(handed.tried) >= AGAIN;
            handed.stamp == stamp && (handed.left || !over && !again)
        });
        if waits || self.means.installer.is_err() || self.means.store.is_none() {
            return;
        }
        let (carried, untaken) = match self.open_bundle((now, monotonic)).await {
            Ok(carried) => (Some(carried), None),
            Err(untaken) => (None, Some(untaken)),
        };
        let refused = untaken.as_ref().is_some_and(|untaken| untaken.is_final);
        self.missing = untaken.map(|untaken| untaken.blocked);
        if let Some(blocked) = &self.missing {
            tracing::warn!(code = %blocked.code, reason = %blocked.sentence, "the bundle is not taken");
            self.evidence = None;
        }
        self.bundle = Some(Handed { stamp, tried: monotonic, carried, left: false });
        // Another one may have been handed over in the place of the one that was looked at.
        let same = stick::stamp(self.means.state.path()) == Some(stamp);
        if same && self.record.state == State::Idle && (refused || self.is_of_no_use(now)) {
            self.forget_bundle();
        }
    }

    /// Whether nothing that may still happen would let this device follow the bundle.
    fn is_of_no_use(&self, now: Timestamp) -> bool {
        let Some(evidence) = &self.evidence else { return false };
        let verdict = evidence.verdict(&self.record, &self.device.hardware, now);
        verdict.outcome.is_err_and(|refusal| refusal.is_final())
    }

    async fn open_bundle(&mut self, (now, monotonic): (Timestamp, Duration)) -> Result<Carried, Untaken> {
        let state = self.means.state.clone();
        let (stick, hardware) = (Arc::new(Stick::copied(state.path())?), self.device.hardware.clone());
        let looker = Looker { record: &self.record, hardware: &hardware, now, monotonic };
        let opened = carried::open(&self.means.repositories, &stick, (&state, TRIED), looker).await?;
        self.record.raise_bundle(opened.kept);
        self.record.raise_latest(opened.issued);
        self.note_versions(&opened.evidence.versions);
        self.store_record().await;
        let looker = Looker { record: &self.record, hardware: &hardware, now, monotonic };
        let kept = self.means.repositories.carried(&stick, None);
        self.evidence = Some(carried::gather(&kept, &opened.offer, looker).await?);
        self.director_root_version = self.means.repositories.director_root_version(now);
        Ok(Carried { stick, expires: opened.expires })
    }

    /// Whether what goes on now came in a bundle.
    pub(super) fn is_carried(&self) -> bool {
        self.bundle.as_ref().is_some_and(|handed| handed.carried.is_some())
    }

    /// The server has an order: from here on it is asked.
    pub(super) fn leave_bundle(&mut self) {
        if let Some(handed) = &mut self.bundle {
            (handed.left, handed.carried) = (true, None);
        }
    }

    /// The act is over.
    pub(super) fn drop_bundle(&mut self) {
        if self.is_carried() {
            self.forget_bundle();
        }
    }

    /// The copy is of no use any more.
    fn forget_bundle(&mut self) {
        (self.bundle, self.evidence) = (None, None);
        if let Err(error) = stick::forget(&self.means.state) {
            tracing::warn!(%error, "the copy of the bundle cannot be removed");
        }
    }

    /// Reads an image from the stick, beside everything else. False where no bundle carries it.
    pub(super) fn read_image(
        &self,
        (sha256, from): (Sha256, u64),
        pieces: &mpsc::Sender<Result<Piece, LinkError>>,
    ) -> bool {
        let Some(carried) = self.bundle.as_ref().and_then(|handed| handed.carried.as_ref()) else {
            return false;
        };
        match carried.stick.image(sha256, from) {
            Ok(Some(file)) => {
                let pieces = pieces.clone();
                tokio::task::spawn_blocking(move || forward(file, from, &pieces));
            }
            Ok(None) => tracing::warn!(%sha256, "the bundle does not carry this image"),
            Err(error) => tracing::warn!(%error, "the image cannot be read from the bundle"),
        }
        true
    }
}

fn forward(mut file: File, mut at: u64, pieces: &mpsc::Sender<Result<Piece, LinkError>>) {
    loop {
        let mut bytes = vec![0; PIECE_BYTES];
        let read = match file.read(&mut bytes) {
            Ok(0) => return,
            Ok(read) => read,
            Err(error) => return tracing::warn!(%error, "the stick cannot be read any more"),
        };
        bytes.truncate(read);
        if pieces.blocking_send(Ok(Piece { at, bytes: bytes.into() })).is_err() {
            return;
        }
        at = at.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
}
