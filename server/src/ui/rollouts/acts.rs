//! What a rollout's page offers to do: what fits its state, to who may do it. Stopping is offered to everybody.
//!
//! Who may not stop is told so by the form; nobody looks for the button. Read next: `ui::act` for the questions,
//! `crate::rollouts::Deed` for which act fits which state.

use super::{Page, State};
use crate::ui::paths;

/// What the visitor may do with rollouts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Stop and pause.
    pub stop: bool,
    /// Everything else that needs no key.
    pub change: bool,
}

impl Rights {
    /// Everything.
    pub const ALL: Self = Self { stop: true, change: true };
}

/// Whether there is still something to stop.
pub(super) fn may_stop(state: &State) -> bool {
    match state {
        State::Planned
        | State::Running { .. }
        | State::Halted { .. }
        | State::Paused { .. }
        | State::Returning { .. } => true,
        State::Stopped { .. } | State::Aborted { .. } | State::Returned { .. } | State::Finished { .. } => {
            false
        }
    }
}

impl Page<'_> {
    pub(super) fn act(&self, act: &str) -> String {
        paths::rollout_act(&self.page.row.id, act)
    }

    /// The button's label: what it would still catch before its reboot.
    pub(super) fn stop_words(&self) -> String {
        match self.page.row.tally.installing {
            _ if matches!(self.page.row.state, State::Returning { .. }) => "Stop the way back…".into(),
            0 => "Stop…".into(),
            installing => format!("Stop {installing} before reboot…"),
        }
    }

    pub(super) fn may_stop(&self) -> bool {
        may_stop(&self.page.row.state)
    }

    pub(super) fn may_pause(&self) -> bool {
        self.page.rights.stop && matches!(self.page.row.state, State::Planned | State::Running { .. })
    }

    pub(super) fn may_resume(&self) -> bool {
        let stands = matches!(
            self.page.row.state,
            State::Halted { .. } | State::Stopped { .. } | State::Paused { .. }
        );
        self.page.rights.change && stands
    }

    /// Whether the signed way back may be begun from here; while it runs, it is stopped first. When it has ended, only
    /// who confirmed behind it is left to go back, and what was ended for good has a way back for who had confirmed.
    pub(super) fn may_go_back(&self) -> bool {
        let stands = match self.page.row.state {
            State::Halted { .. } | State::Stopped { .. } | State::Paused { .. } | State::Finished { .. } => {
                true
            }
            State::Returned { .. } | State::Aborted { .. } => self.page.back.is_some(),
            State::Planned | State::Running { .. } | State::Returning { .. } => false,
        };
        self.page.rights.change && stands
    }

    /// What ends it: finishing it, ending it for good.
    pub(super) fn endings(&self) -> Vec<(&'static str, &'static str)> {
        let finish = ("finish", "Finish…");
        let abort = ("abort", "End for good…");
        match self.page.row.state {
            _ if !self.page.rights.change => Vec::new(),
            // Who has not gone back yet is not done.
            State::Stopped { .. } if self.page.going_back => vec![abort],
            State::Planned | State::Running { .. } | State::Paused { .. } | State::Stopped { .. } => {
                vec![finish, abort]
            }
            State::Halted { .. } | State::Returning { .. } => vec![abort],
            State::Aborted { .. } | State::Returned { .. } | State::Finished { .. } => Vec::new(),
        }
    }
}
