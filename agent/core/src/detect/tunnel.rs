//! The detector `dns-tunnel`: other traffic carried inside questions to DNS.
//!
//! A tunnel puts its data before a name that its owner answers for, so each question is another and long. Of a registered
//! name, twenty different questions within ten minutes whose own part is at least twenty-four characters long on average,
//! and of which nine in ten are different ones, are reported. Measured on recordings of three tunnels, no ordinary device
//! comes near (evidence on DNS features; Born and Gustafson: Detecting DNS Tunnels Using Character Frequency Analysis,
//! 2010, for the idea). Reverse look-ups are left out. Names are counted by keyed hashes and not kept.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use cordon_proto::limits;
use cordon_proto::telemetry::{Finding, Severity};
use cordon_proto::time::Timestamp;

use super::ledger::{Detector, Ledger};
use super::words::{Judgement, moment, shortened};
use crate::profile::key::registrable;

/// Different questions from which it is reported.
const LEAST_DIFFERENT: usize = 20;
/// Characters of the part before the registered name, on average.
const LEAST_CHARACTERS: usize = 24;
/// Seconds after which counting begins anew.
const WINDOW_S: i64 = 600;

#[derive(Clone, Debug)]
struct Track {
    domain: Box<str>,
    began: Timestamp,
    asked: usize,
    characters: usize,
    /// Hashes of different names.
    different: Vec<u64>,
}

/// The names that are asked for.
#[derive(Clone, Debug, Default)]
pub struct Tunnels {
    tracks: Vec<Track>,
}

impl Tunnels {
    /// Takes a question: a name and its keyed hash.
    pub fn asked(
        &mut self,
        (name, hash): (&str, u64),
        ledger: &mut Ledger,
        now: Timestamp,
    ) -> Option<Finding> {
        let domain = registrable(name);
        let own = name.len().saturating_sub(domain.len() + 1);
        if own == 0 || domain.ends_with(".arpa") || domain.ends_with(".local") {
            return None;
        }
        let track = self.track(domain, now);
        track.asked += 1;
        if !track.different.contains(&hash) && track.different.len() < limits::TUNNEL_NAMES {
            track.different.push(hash);
            track.characters += own;
        }
        let different = track.different.len();
        let full = different >= limits::TUNNEL_NAMES;
        let fresh = full || different * 10 >= track.asked * 9;
        if different < LEAST_DIFFERENT || track.characters < LEAST_CHARACTERS * different || !fresh {
            return None;
        }
        let tally = ledger.count(Detector::DnsTunnel, &track.domain, now)?;
        Some(track.judge(now).finding(&tally))
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let held = |track: &Track| track.domain.len() + track.different.capacity() * size_of::<u64>();
        self.tracks.capacity() * size_of::<Track>() + self.tracks.iter().map(held).sum::<usize>()
    }

    /// The track of a registered name. Where there is no room, the one with the fewest different names goes.
    fn track(&mut self, domain: Box<str>, now: Timestamp) -> &mut Track {
        let fresh = |domain| Track { domain, began: now, asked: 0, characters: 0, different: Vec::new() };
        let place = self.tracks.iter().position(|track| track.domain == domain).unwrap_or_else(|| {
            if self.tracks.len() >= limits::TUNNEL_TRACKS {
                let worth = |(_, track): &(usize, &Track)| (track.different.len(), track.began);
                let least = self.tracks.iter().enumerate().min_by_key(worth).map_or(0, |(place, _)| place);
                self.tracks.swap_remove(least);
            }
            self.tracks.push(fresh(domain));
            self.tracks.len() - 1
        });
        let track = self.tracks.get_mut(place).expect("it was found or pushed just now");
        if now.seconds_since(track.began) > WINDOW_S {
            *track = fresh(core::mem::take(&mut track.domain));
        }
        track
    }
}

impl Track {
    fn judge(&self, now: Timestamp) -> Judgement {
        let different = self.different.len();
        let mean = self.characters.checked_div(different).unwrap_or(0);
        let domain = shortened(&self.domain);
        Judgement {
            detector: Detector::DnsTunnel,
            severity: Severity::High,
            attack: &["T1071.004", "T1572"],
            evidence: Vec::from([
                ("domain", self.domain.to_string()),
                ("questions", self.asked.to_string()),
                ("different", different.to_string()),
                ("mean-characters", mean.to_string()),
                ("seconds", now.seconds_since(self.began).to_string()),
            ]),
            title: "Sends data hidden in name look-ups".to_string(),
            what_changed: format!(
                "Since {} this device asked DNS for {different} different names below {domain}, with {mean} characters of their own on average.",
                moment(self.began)
            ),
            why_it_matters: "Name look-ups pass most firewalls, so they are used to carry data out and orders in.",
            how_sure: format!(
                "High: {different} of {} questions were different and long; ordinary names repeat.",
                self.asked
            ),
            what_to_do: format!(
                "Quarantine the device unless the maker or IT knows {domain}. Some virus scanners ask about files this way."
            ),
            peer: Some(self.domain.to_string()),
        }
    }
}
