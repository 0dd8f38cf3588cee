//! The detector `brute-force`: logins tried one after the other, by the device or at it.
//!
//! A cumulative sum (Page: Continuous Inspection Schemes, Biometrika 1954) over short connections to one service that
//! people and programs log in to: every connection that was answered and ended within a minute adds one, every thirty
//! seconds take one away, ten are a finding. No password is seen, and none is needed. Bounded in services.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::IpAddr;

use cordon_proto::limits;
use cordon_proto::telemetry::{Direction, Finding, Protocol, Severity};
use cordon_proto::time::Millis;

use super::ledger::{Detector, Ledger};
use super::words::{Judgement, counted, moment};
use crate::flow::{Flow, State};

/// Services with a login: FTP, SSH, Telnet, POP, IMAP, LDAP, SMB, databases, RDP, VNC, WinRM.
const LOGIN: [u16; 17] =
    [21, 22, 23, 110, 143, 389, 445, 1433, 1521, 2222, 2323, 3306, 3389, 5432, 5900, 5985, 6379];
/// Milliseconds a connection may have lived.
const SHORT_MS: i64 = 60_000;
/// Milliseconds that take one connection away from the sum.
const FORGIVEN_MS: i64 = 30_000;
/// The sum, in connections, from which it is reported.
const REPORTED: i64 = 10;

#[derive(Clone, Copy, Debug)]
struct Track {
    peer: IpAddr,
    port: u16,
    direction: Direction,
    began: Millis,
    last: Millis,
    /// In milliseconds of forgiving.
    sum_ms: i64,
    count: u32,
}

/// The services that are logged in to.
#[derive(Clone, Debug, Default)]
pub struct Logins {
    tracks: Vec<Track>,
}

impl Logins {
    /// Takes the end of a flow.
    pub fn ended(&mut self, flow: &Flow, ledger: &mut Ledger) -> Option<Finding> {
        let port = flow.service_port();
        let over = matches!(flow.state, State::Closed | State::Reset) && flow.answered;
        let short = flow.end.since(flow.start) <= SHORT_MS;
        if flow.tuple.protocol != Protocol::Tcp || !over || !short || !LOGIN.contains(&port) {
            return None;
        }
        let track = self.track(flow, port);
        let passed = flow.end.since(track.last).max(0);
        let left = track.sum_ms.saturating_sub(passed).max(0);
        if left == 0 {
            (track.began, track.count) = (flow.start, 0);
        }
        track.last = track.last.max(flow.end);
        track.sum_ms = (left + FORGIVEN_MS).min(4 * REPORTED * FORGIVEN_MS);
        track.count = track.count.saturating_add(1);
        if track.sum_ms < REPORTED * FORGIVEN_MS - FORGIVEN_MS / 2 {
            return None;
        }
        let key = format!(
            "{}/{port}/{}",
            if track.direction == Direction::Outbound { "out" } else { "in" },
            track.peer
        );
        let tally = ledger.count(Detector::BruteForce, &key, flow.end.seconds())?;
        Some(judge(track, flow.end).finding(&tally))
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.tracks.capacity() * size_of::<Track>()
    }

    /// The track of a flow's service. Where there is no room, the one with the smallest sum goes.
    fn track(&mut self, flow: &Flow, port: u16) -> &mut Track {
        let (peer, direction) = (flow.tuple.remote.address, flow.direction);
        let same = |track: &Track| (track.peer, track.port, track.direction) == (peer, port, direction);
        let place = self.tracks.iter().position(same).unwrap_or_else(|| {
            if self.tracks.len() >= limits::LOGIN_TRACKS {
                let worth = |(_, track): &(usize, &Track)| (track.sum_ms, track.last);
                let least = self.tracks.iter().enumerate().min_by_key(worth).map_or(0, |(place, _)| place);
                self.tracks.swap_remove(least);
            }
            let (began, last) = (flow.start, flow.end);
            self.tracks.push(Track { peer, port, direction, began, last, sum_ms: 0, count: 0 });
            self.tracks.len() - 1
        });
        self.tracks.get_mut(place).expect("it was found or pushed just now")
    }
}

fn judge(track: &Track, now: Millis) -> Judgement {
    let Track { peer, port, .. } = *track;
    let so_far = counted(u64::from(track.count), "short connection", "short connections");
    let since = moment(track.began.seconds());
    let (title, what_changed) = match track.direction {
        Direction::Outbound => (
            "Tries to log in elsewhere again and again",
            format!("Since {since} this device opened {so_far} to the login of {peer} port {port}."),
        ),
        Direction::Inbound => (
            "Somebody tries to log in again and again",
            format!("Since {since} {peer} opened {so_far} to the login on port {port} of this device."),
        ),
    };
    Judgement {
        detector: Detector::BruteForce,
        severity: Severity::High,
        attack: &["T1110"],
        evidence: Vec::from([
            ("port", port.to_string()),
            ("connections", track.count.to_string()),
            ("seconds", (now.since(track.began).max(0) / 1000).to_string()),
        ]),
        title: title.to_string(),
        what_changed,
        why_it_matters: "Passwords are guessed this way; the next guess may be right.",
        how_sure: "Medium: the connections are counted exactly, whether logins failed cannot be seen."
            .to_string(),
        what_to_do: format!(
            "Find out what runs on {peer}; block it if nobody knows. A monitoring or backup program with an old password looks the same."
        ),
        peer: Some(peer.to_string()),
    }
}
