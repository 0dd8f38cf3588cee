//! What this server holds in memory of what is stored, and what follows from a change for those outside.
//!
//! A view is brought up by [`Views::follow`] in the same piece of work that stored the change, and by the follower for
//! what other servers store. An older document than the one held changes nothing, so the order does not matter. The
//! book of rollouts is a view of its own. Read next: `App::commit`, `follow`.

use std::sync::Arc;

use crate::connections::Connections;
use crate::fleet::{Fleet, Followed};
use crate::knowledge::Knowledge;
use crate::risk_book::RiskBook;
use crate::store::{Change, Revision};
use crate::waits::Waits;

/// The views, and who is told.
#[derive(Clone)]
pub(crate) struct Views {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) knowledge: Arc<Knowledge>,
    pub(crate) risk: Arc<RiskBook>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) waits: Arc<Waits>,
}

impl Views {
    /// Takes in the documents of one commit.
    pub(crate) fn follow(&self, changes: &[Change], revision: Revision) {
        self.knowledge.follow(changes, revision);
        self.risk.follow(changes, revision);
        self.after(self.fleet.follow(changes, revision));
    }

    /// Does what follows from a change of the fleet: ends connections, wakes devices.
    pub(crate) fn after(&self, followed: Followed) {
        for leaf in &followed.cut_off {
            let cut = self.connections.cut(leaf);
            if cut > 0 {
                tracing::info!(%leaf, cut, "connections of an untrusted certificate were ended");
            }
        }
        self.waits.ring_all(followed.devices);
    }
}
