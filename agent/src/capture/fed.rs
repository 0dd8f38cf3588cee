//! A capture that is fed: sightings made elsewhere, by the simulator, a file or a test, each with its own time.
//!
//! It hands them out when their time has come, in order of feeding, and never makes one up.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use cordon_agent_core::flow::Sighting;
use cordon_proto::time::Millis;

use super::{Capture, Sight};

/// The capture end.
#[derive(Debug)]
pub struct Fed {
    incoming: Receiver<Vec<Sighting>>,
    waiting: VecDeque<Sighting>,
    sight: Sight,
}

impl Fed {
    /// A capture and the end that feeds it. When the feeding end is dropped, the capture is blind, and says so.
    #[must_use]
    pub fn new() -> (Sender<Vec<Sighting>>, Self) {
        let (feed, incoming) = channel();
        let sight =
            Sight { tier: Some(0), note: "sightings are fed in, nothing is captured here".to_owned() };
        (feed, Self { incoming, waiting: VecDeque::new(), sight })
    }

    /// Sightings that wait for their time.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn receive(&mut self) {
        loop {
            match self.incoming.try_recv() {
                Ok(more) => self.waiting.extend(more),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    if self.waiting.is_empty() {
                        self.sight =
                            Sight { tier: None, note: "nobody feeds this sensor any more".to_owned() };
                    }
                    return;
                }
            }
        }
    }
}

impl Capture for Fed {
    fn poll(&mut self, now: Millis, seen: &mut Vec<Sighting>) {
        self.receive();
        while let Some(next) = self.waiting.pop_front_if(|next| next.at <= now) {
            seen.push(next);
        }
    }

    fn sight(&self) -> &Sight {
        &self.sight
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_agent_core::flow::{Endpoint, Listener, Seen};
    use cordon_proto::telemetry::Protocol;

    fn sighting(at: i64) -> Sighting {
        let local = Endpoint { address: "0.0.0.0".parse().expect("address"), port: 22 };
        let listener = Listener { protocol: Protocol::Tcp, local, program: None };
        Sighting { at: Millis(at), seen: Seen::Listener(listener) }
    }

    #[test]
    fn sightings_come_when_their_time_has_come() {
        // Goal: a generated week plays at its own clock. Method: three times, polled at two.
        let (feed, mut fed) = Fed::new();
        feed.send(vec![sighting(1), sighting(5), sighting(9)]).expect("is heard");
        let mut seen = Vec::new();
        fed.poll(Millis(5), &mut seen);
        assert_eq!((seen.len(), fed.waiting()), (2, 1));
        fed.poll(Millis(100), &mut seen);
        assert_eq!((seen.len(), fed.waiting()), (3, 0));
    }

    #[test]
    fn a_capture_that_nobody_feeds_is_blind() {
        // Goal: silence is not quiet. Method: drop the feeding end.
        let (feed, mut fed) = Fed::new();
        let before = fed.sight().clone();
        assert_eq!(before.tier, Some(0));
        drop(feed);
        fed.poll(Millis(1), &mut Vec::new());
        let change = fed.sight().change_from(Some(&before)).expect("a change");
        assert_eq!(change.tier, None);
        assert_eq!(fed.sight().change_from(Some(fed.sight())), None);
    }
}
