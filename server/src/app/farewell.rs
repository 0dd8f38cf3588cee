//! The end of an identity, as the device itself tells it.
//!
//! A farewell counts only if the key of the very certificate on the connection signed it and it speaks of that device.
//! It is kept at the device as received. What a person decided at the device retires it; what repeats the owner's own
//! word is only noted. The same one again is answered and written no second time; another one is refused, because the
//! first was the last word.

use cordon_proto::farewell::{Cause, Farewell, FarewellBody};
use cordon_proto::ids::Text;
use cordon_server_core::audit::{Actor, Entry, Summary};
use cordon_server_core::change::Commit;
use cordon_server_core::device::Act;

use super::{App, StatementError, name, statement};
use crate::ca::PeerLeaf;
use crate::fleet::Member;
use crate::store::{Key, StoreError};

/// How often a commit is decided anew when others were faster.
const TRIES: u32 = 8;

impl App {
    /// Takes a farewell in. `bytes` are kept as they came.
    pub async fn farewell(
        &self,
        member: &Member,
        leaf: &PeerLeaf,
        bytes: &[u8],
        farewell: &Farewell,
    ) -> Result<(), StatementError> {
        let body = farewell.open(|message, signature| leaf.verifies(message, signature))?;
        statement::is_of(member, body.device, body.hardware)?;
        let id = body.device;
        for _ in 0..TRIES {
            let now = self.clock.now();
            let Some((known, expected)) = self.stored_device(id).await? else { return Ok(()) };
            let taken = known.taking_leave(body.cause, (&farewell.body, bytes), now)?;
            let Some(after) = taken else { return Ok(()) };
            let subject = || Text::lossy(&format!("device:{id}"));
            let mut draft = Commit::draft(now, Actor::Device(id))
                .expect(Key::Device(id), expected)
                .put(Key::Device(id), after.to_body())
                .audit(Entry {
                    after: Some(Summary::of(&told(&body))),
                    ..Entry::new(name("device.farewell"), subject())
                });
            if after.state != known.state {
                draft = draft.audit(Entry {
                    reason: Some(after.reason.clone()),
                    before: Some(Summary::of(known.state.word())),
                    after: Some(Summary::of(after.state.word())),
                    ..Entry::new(name(Act::Retire.action()), subject())
                });
            }
            match self.commit(draft).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict(Key::Device(id)).into())
    }
}

fn told(body: &FarewellBody) -> String {
    let cause = match body.cause {
        Cause::Retired => "told that it is retired",
        Cause::Lost => "told that it was reported lost",
        Cause::AtDevice => "retired at the device",
    };
    let FarewellBody { counter, sha256, records_unsent, .. } = body;
    format!("{cause}: counter {counter}, image {sha256}, {records_unsent} records wiped unsent")
}
