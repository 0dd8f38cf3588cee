//! What the updater shows: to the check-in and `status` as a view, to the timeline as events in the spool.
//!
//! Words and reasons are the core's. What the server should hear at once raises `urgent`. Read next:
//! `cordon_agent_core::update::report`.

use cordon_agent_core::update::{FetchFault, report};
use cordon_proto::checkin::{Blocked, UpdateReport, UpdateState};
use cordon_proto::ids::Text;
use cordon_proto::telemetry::{Body, UpdateEvent};

use super::Updating;
use crate::link::mirrors::Standing;
use crate::run::messages::{ToSensor, UpdateView};
use crate::run::setup::NO_SLOTS;

impl Updating {
    /// Shows the newest state. A new state, order or reason is urgent, and so is another word of clinical use where that is
    /// what blocks; bytes fetched and a lease that lapses while nothing waits are not.
    pub(crate) fn show(&mut self) {
        self.note_whole();
        let update = self.report();
        let shown = UpdateView {
            software: report::software(&self.record),
            update,
            interlock: self.device.interlock.state(),
            want_permit: report::want_permit(&self.record),
            director_root_version: self.director_root_version,
            whole: self.whole.clone(),
            urgent: 0,
        };
        self.peers.view.send_if_modified(|view| {
            let urgent = is_news(view, &shown);
            let next = UpdateView { urgent: view.urgent + u64::from(urgent), ..shown };
            let changed = *view != next;
            *view = next;
            changed
        });
    }

    fn report(&mut self) -> UpdateReport {
        let look = self.surroundings();
        let mut update = report::update_report(&self.record, &look, self.now());
        let offered = self.word.as_ref().is_some_and(|word| word.order.is_some());
        // A device without slots is as it should be until an order comes; trouble is told at once.
        let told = |why: &&Blocked| offered || why.code.as_str() != NO_SLOTS;
        let unable = self.means.installer.as_ref().err().filter(told);
        let first = unable.or(self.missing.as_ref()).cloned();
        if let Some(first) = first {
            update.order = update.order.or_else(|| self.word.as_ref()?.order.clone());
            update.blocked_by.insert(0, first);
        }
        self.name_mirrors(&mut update);
        update
    }

    /// Where an image came damaged or not at all, the mirrors that were left stand beside it: nobody looks for the fault
    /// at the server alone.
    fn name_mirrors(&self, update: &mut UpdateReport) {
        let theirs = [FetchFault::Damaged.code(), FetchFault::Unreachable.code()];
        if !update.blocked_by.iter().any(|why| theirs.contains(&why.code.as_str())) {
            return;
        }
        let standings = self.peers.mirrors.view();
        for told in standings.borrow().iter().filter_map(Standing::told) {
            update.blocked_by.push(Blocked { code: Text::lossy("mirror-left"), sentence: told });
        }
    }

    /// Tells the timeline of a new state.
    pub(super) async fn tell(&mut self) {
        self.tell_whole().await;
        let look = self.surroundings();
        let UpdateReport { state, order, blocked_by, .. } =
            report::update_report(&self.record, &look, self.now());
        let said = Some((state, order.clone()));
        let silent = self.told.is_none() && state == UpdateState::Idle;
        if self.told == said || silent {
            return;
        }
        self.told = said;
        let note = blocked_by.into_iter().next().map(|Blocked { sentence, .. }| sentence);
        self.keep(UpdateEvent { order, state, note }).await;
    }

    /// Tells the timeline of an image that comes whole although its release has a delta.
    async fn tell_whole(&mut self) {
        self.note_whole();
        if self.whole == self.whole_told {
            return;
        }
        self.whole_told.clone_from(&self.whole);
        if let Some(why) = &self.whole {
            let note = Some(Text::lossy(&format!("The image is fetched whole: {why}.")));
            let (state, order) = self.told.clone().unwrap_or((UpdateState::Idle, None));
            self.keep(UpdateEvent { order, state, note }).await;
        }
    }

    /// Tells the timeline of mirrors that were left since the last time.
    pub(super) async fn tell_mirrors(&mut self, standings: Vec<Standing>) {
        let (state, order) = self.told.clone().unwrap_or((UpdateState::Idle, None));
        for (index, standing) in standings.iter().enumerate() {
            let before = self.mirrors_told.get(index).and_then(Standing::told);
            let note = standing.told().filter(|note| Some(note) != before.as_ref());
            if note.is_some() {
                self.keep(UpdateEvent { order: order.clone(), state, note }).await;
            }
        }
        self.mirrors_told = standings;
    }

    async fn keep(&mut self, event: UpdateEvent) {
        // A sensor that is gone is the end of the run; the run itself says so.
        let _ = self.peers.to_sensor.send(ToSensor::Keep(Box::new(Body::Update(event)))).await;
    }
}

fn is_news(before: &UpdateView, now: &UpdateView) -> bool {
    let codes = |view: &UpdateView| -> Vec<_> {
        view.update.blocked_by.iter().map(|blocked| blocked.code.clone()).collect()
    };
    let said = |view: &UpdateView| {
        let blocks = view.update.blocked_by.iter().any(|blocked| blocked.code.as_str() == "interlock");
        blocks.then_some(view.interlock)
    };
    before.update.state != now.update.state
        || before.update.order != now.update.order
        || before.want_permit != now.want_permit
        || before.software != now.software
        || before.director_root_version != now.director_root_version
        || codes(before) != codes(now)
        || said(before) != said(now)
}
