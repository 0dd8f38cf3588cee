//! Connections of one device as a rug: one row a peer and service, a tick for each minute in which one began.
//!
//! Read from telemetry when asked, a device at a time, bounded in rows and peers. Where there is nothing, the reason
//! is said: a blind sensor never looks like a quiet device. Read next: `ui::chart::rug`.

use std::collections::{BTreeMap, BTreeSet};

use cordon_proto::telemetry::{Direction, FlowRow, Protocol};
use cordon_proto::time::{Millis, Timestamp};

use super::Desk;
use super::fault::Fault;
use crate::fleet::Member;
use crate::ui::chart::NoChart;
use crate::ui::device::{Network, Peer};

/// Seconds that the rug shows.
const SPAN_S: i64 = 86_400;
/// Flow rows that are read for one page.
const ROWS: usize = 5000;
/// Peers with a row of their own.
const PEERS: usize = 24;

/// Connections of the last 24 hours, of one peer if one is named.
pub(super) async fn network(
    desk: &Desk,
    member: &Member,
    peer: Option<&str>,
) -> Result<Result<Network, NoChart>, Fault> {
    let until = desk.now();
    let from = until.plus_seconds(-SPAN_S);
    let rows = desk.operator.app.flows(member.id(), Millis::from(from), ROWS).await?;
    let wanted = rows.iter().filter(|row| peer.is_none_or(|peer| row.peer.as_str() == peer));
    let peers = peers_of(wanted, from, until);
    if peers.is_empty() {
        return Ok(Err(NoChart(why_nothing(member, peer.is_some() && !rows.is_empty()))));
    }
    Ok(Ok(Network { peers, from, until }))
}

/// Why there is no connection to show.
fn why_nothing(member: &Member, others: bool) -> String {
    let Some(report) = &member.report else {
        return "No connections: this device has not reported yet.".into();
    };
    match (report.sensor.tier, &report.sensor.note) {
        (None, Some(note)) => format!("No connections: the sensor sees nothing. {note}"),
        (None, None) => "No connections: the sensor sees nothing, and does not say why.".into(),
        (Some(_), _) if others => "No connection with this peer was reported in the last 24 hours.".into(),
        (Some(_), _) => "No connection was reported in the last 24 hours. Reports come once an hour.".into(),
    }
}

/// What is known of one peer and service.
#[derive(Default)]
struct Seen {
    ticks: BTreeSet<u16>,
    bytes: u64,
    new: bool,
}

fn peers_of<'a>(rows: impl Iterator<Item = &'a FlowRow>, from: Timestamp, until: Timestamp) -> Vec<Peer> {
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    for row in rows {
        let ticks: Vec<u16> =
            row.minutes.iter().filter_map(|minute| tick(row.start, *minute, from, until)).collect();
        if row.end < from {
            continue;
        }
        let peer = seen.entry(name_of(row)).or_default();
        peer.ticks.extend(ticks);
        peer.bytes = peer.bytes.saturating_add(row.bytes_out).saturating_add(row.bytes_in);
        peer.new |= row.known == Some(false);
    }
    let mut peers: Vec<(String, Seen)> = seen.into_iter().collect();
    peers.sort_by_key(|(_, seen)| (!seen.new, std::cmp::Reverse(seen.bytes)));
    let rest = peers.split_off(peers.len().min(PEERS));
    // Known ones first: what is new stands at the end, as the eye leaves the table.
    peers.sort_by_key(|(_, seen)| (seen.new, std::cmp::Reverse(seen.bytes)));
    if !rest.is_empty() {
        let mut joined = Seen::default();
        let name = format!("{} others, smaller", rest.len());
        for (_, seen) in rest {
            joined.ticks.extend(seen.ticks);
            joined.bytes = joined.bytes.saturating_add(seen.bytes);
            joined.new |= seen.new;
        }
        peers.push((name, joined));
    }
    let peer = |(name, seen): (String, Seen)| Peer {
        name: name.into(),
        ticks: seen.ticks.into_iter().collect(),
        bytes: seen.bytes,
        new: seen.new,
    };
    peers.into_iter().map(peer).collect()
}

fn name_of(row: &FlowRow) -> String {
    let protocol = row.protocol.word();
    if row.protocol == Protocol::Icmp {
        return format!("{}, {protocol}", row.peer);
    }
    match row.direction {
        Direction::Outbound => format!("{}, {}/{protocol}", row.peer, row.port),
        Direction::Inbound => format!("{} calls {}/{protocol}", row.peer, row.port),
    }
}

/// The place of a minute in thousandths of the time shown.
fn tick(start: Timestamp, minute: u16, from: Timestamp, until: Timestamp) -> Option<u16> {
    let at = start.plus_seconds(i64::from(minute) * 60).seconds_since(from);
    let span = until.seconds_since(from);
    let place = (0..=span).contains(&at).then(|| at.saturating_mul(1000).checked_div(span))??;
    u16::try_from(place).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(peer: &str, known: Option<bool>, minutes: &[u16]) -> FlowRow {
        FlowRow {
            start: Timestamp(0),
            end: Timestamp(3600),
            direction: Direction::Outbound,
            protocol: Protocol::Tcp,
            peer: peer.parse().expect("a text"),
            port: 443,
            connections: 1,
            bytes_out: 10,
            bytes_in: 5,
            minutes: minutes.to_vec(),
            known,
        }
    }

    #[test]
    fn rows_of_one_peer_are_one_line_and_new_peers_stand_last() {
        // Goal: one row a peer and service, no known peer marked new. Method: two rows of one, one of another.
        let rows = [row("a", Some(true), &[0, 30]), row("b", Some(false), &[59]), row("a", None, &[30])];
        let peers = peers_of(rows.iter(), Timestamp(0), Timestamp(3600));
        let told: Vec<(String, &[u16], u64, bool)> =
            peers.iter().map(|p| (p.name.to_string(), p.ticks.as_slice(), p.bytes, p.new)).collect();
        let a: &[u16] = &[0, 500];
        let b: &[u16] = &[983];
        assert_eq!(told, [("a, 443/tcp".into(), a, 30, false), ("b, 443/tcp".into(), b, 15, true)]);
    }

    #[test]
    fn many_peers_are_bounded_and_none_that_is_new_is_hidden() {
        // Goal: a scanning device does not make an endless page. Method: 100 known peers and one new one.
        let mut rows: Vec<FlowRow> = (0..100).map(|n| row(&format!("p{n}"), Some(true), &[1])).collect();
        rows.push(row("new", Some(false), &[2]));
        let peers = peers_of(rows.iter(), Timestamp(0), Timestamp(3600));
        assert_eq!(peers.len(), PEERS + 1);
        assert_eq!(peers.iter().filter(|peer| peer.new).count(), 1);
        assert_eq!(peers.iter().map(|peer| peer.bytes).sum::<u64>(), 101 * 15);
        assert!(peers.last().is_some_and(|peer| peer.name.raw() == "77 others, smaller"));
    }

    proptest! {
        #[test]
        fn a_tick_is_inside_the_picture_or_none(start in any::<i64>(), minute in any::<u16>(), span in 1_i64..1_000_000) {
            let place = tick(Timestamp(start), minute, Timestamp(0), Timestamp(span));
            prop_assert!(place.is_none_or(|place| place <= 1000));
        }
    }
}
