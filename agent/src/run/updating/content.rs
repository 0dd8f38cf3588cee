//! The updater's part in a content: what the server offers is looked for in the owner's metadata, judged, fetched, taken.
//!
//! The server's word only says which content to look for. One that is refused for good is told in the next check-in;
//! trouble that may pass is tried again. Read next: [`crate::run::content`], [`crate::run::evidence`].

use std::time::Duration;

use cordon_agent_core::content::Event;
use cordon_proto::checkin::{Blocked, CheckinAnswer, ContentFault, ContentOffer, UpdateState};
use cordon_proto::ids::Text;
use cordon_proto::update::content::ContentRefusal;

use super::Updating;
use crate::run::evidence::{self, Judged, Missing};

/// The code of a version that was offered and that this device will never take any more.
const SPENT: &str = "content-spent";
/// After this what did not come about is tried again although nothing says that it changed.
const AGAIN: Duration = Duration::from_secs(60);
/// The same where only another signature can mend it.
const AGAIN_REFUSED: Duration = Duration::from_secs(3600);

/// The last try to take a content.
pub(super) struct Tried {
    offer: ContentOffer,
    director_version: u64,
    until: Duration,
}

impl Updating {
    /// Takes the content that an answer names, unless it was taken or refused before.
    pub(super) async fn take_content(&mut self, answer: &CheckinAnswer) {
        let Some(offer) = &answer.content else { return };
        // What only the security state knows was never applied (the power went, the disk was full, the owner left and came
        // back): that very version may be taken, and none below it.
        let held = self.record.version(&self.taken_version());
        let newest = self.contents.newest().max(held.saturating_sub(1));
        if self.means.store.is_none() {
            return;
        }
        if answer.content_version <= newest {
            let refusal =
                ContentRefusal::NotNewer { offered: answer.content_version, newest: newest.max(held) };
            let why = Blocked { code: Text::lossy(SPENT), ..refusal.blocked() };
            let (content, version) = (offer.content.clone(), answer.content_version);
            return self.content_step(Event::Spent(ContentFault { content, version, why }));
        }
        let now = self.device.clock.monotonic();
        let same = |tried: &Tried| tried.offer == *offer && tried.director_version == answer.director_version;
        if self.tried.as_ref().is_some_and(|tried| same(tried) && now < tried.until) {
            return;
        }
        let refused = self.judge_content(offer, newest).await;
        let until = now.saturating_add(if refused { AGAIN_REFUSED } else { AGAIN });
        self.tried = Some(Tried { offer: offer.clone(), director_version: answer.director_version, until });
    }

    /// Judges a content and takes it if it may be; whether it was refused for good.
    async fn judge_content(&mut self, offer: &ContentOffer, newest: u64) -> bool {
        let asked = (offer, newest, &self.device.hardware);
        let wall = self.device.clock.now();
        let judged = evidence::content(&self.means.repositories, asked, &self.record, wall).await;
        let Judged { versions, signed, outcome } = match judged {
            Ok(judged) => judged,
            Err(Missing(blocked)) => {
                tracing::warn!(code = %blocked.code, reason = %blocked.sentence, "the content cannot be judged");
                return false;
            }
        };
        self.note_versions(&versions);
        match outcome {
            Ok(taken) => {
                self.note_versions(&[(self.taken_version(), taken.content.version)]);
                // The version must never fall, even if the contents are lost: it is stored before it is applied.
                self.store_record().await;
                let before = self.contents.memory_kib();
                self.content_step(Event::Taken(taken, before));
                false
            }
            Err(refusal) => {
                tracing::warn!(content = %offer.content, %refusal, "the content is not taken");
                if let Some(version) = signed.filter(|_| refusal.is_final()) {
                    let (content, why) = (offer.content.clone(), refusal.blocked());
                    self.content_step(Event::Refused(ContentFault { content, version, why }));
                }
                refusal.is_final()
            }
        }
    }

    /// Looks after a content on trial.
    pub(super) fn look_at_content(&mut self) {
        let tried = self.peers.view.borrow().update.state == UpdateState::Trial;
        // An update that waits, or was refused, needs no memory of its own.
        let resting = !tried && self.fetch.is_none() && self.checking.is_none() && self.proving.is_none();
        if self.contents.look(resting) {
            self.peers.view.send_modify(|view| view.urgent += 1);
        }
    }

    fn content_step(&self, event: Event) {
        if self.contents.take(event) {
            self.peers.view.send_modify(|view| view.urgent += 1);
        }
    }

    /// The name under which the security state holds the highest version taken.
    fn taken_version(&self) -> Text {
        Text::lossy(&format!("{}/content-taken", self.means.repositories.director()))
    }
}
