//! The detector `listener`: a listening socket that the learned profile does not hold.
//!
//! What only the device itself can reach is worth knowing; what the network can reach is worth a look. The program is
//! named where the system lets us know it; another program on a usual port is a finding of its own.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::telemetry::{Finding, Severity};
use cordon_proto::time::Timestamp;

use super::ledger::{Detector, Ledger, Tally};
use super::words::{Judgement, experience, how_sure, moment, shortened};
use crate::flow::Listener;
use crate::profile::Profile;
use crate::profile::key::{Reach, Socket, protocol_word};

/// Looks at a listening socket that has appeared.
pub fn observe(
    listener: &Listener,
    profile: &Profile,
    ledger: &mut Ledger,
    now: Timestamp,
) -> Option<Finding> {
    let socket = Socket::of(listener)?;
    if profile.knows_socket(&socket) {
        return None;
    }
    let usual = profile.usual_program(&socket);
    let tally = ledger.count(Detector::Listener, &key(&socket, usual), now)?;
    let judgement = judge(listener, &socket, (&tally, profile));
    Some(judgement.finding(&tally))
}

/// The finding's key: the place, and the program only where the program is what changed.
fn key(socket: &Socket, usual: Option<&str>) -> String {
    let reach = match socket.reach {
        Reach::Device => "device",
        Reach::Network => "network",
    };
    let place = format!("{}/{}/{reach}", protocol_word(socket.protocol), socket.service);
    match (usual, &socket.program) {
        (Some(_), Some(program)) => format!("{place}/{program}"),
        (None, _) | (_, None) => place,
    }
}

fn judge(listener: &Listener, socket: &Socket, (tally, profile): (&Tally, &Profile)) -> Judgement {
    let usual = profile.usual_program(socket);
    let port = listener.local.port;
    let protocol = protocol_word(socket.protocol);
    let program = shortened(socket.program.as_deref().unwrap_or("a program we may not see"));
    let compared = match usual {
        Some(usual) => format!("In {} it was {}.", experience(profile), shortened(usual)),
        None => format!("In {} nothing did.", experience(profile)),
    };
    let (title, severity) = match (tally.is_common(), usual.is_some(), socket.reach) {
        (true, _, _) => ("Opens many new ports within a day", Severity::High),
        (false, true, Reach::Network) => ("Another program answers on a usual port", Severity::High),
        (false, false, Reach::Network) => ("Accepts connections on a new port", Severity::Medium),
        (false, _, Reach::Device) => ("Opens a new port for itself", Severity::Low),
    };
    Judgement {
        detector: Detector::Listener,
        peer: None,
        severity,
        attack: &["T1205", "T1543"],
        evidence: evidence(listener, (usual, tally), profile),
        title: title.to_string(),
        what_changed: format!(
            "Since {} {program} listens on {protocol} port {port}. {compared}",
            moment(tally.first)
        ),
        why_it_matters: match socket.reach {
            Reach::Network => {
                "Every open port is a way into the device, for whoever reaches it over the network."
            }
            Reach::Device => {
                "Nobody can reach it from the network, but software that was not there before is running."
            }
        },
        how_sure: how_sure(profile),
        what_to_do: format!(
            "Ask the maker which part of the device opens port {port}; if none does, quarantine it. If an update or a technician opened it, press Allow."
        ),
    }
}

fn evidence(
    listener: &Listener,
    (usual, tally): (Option<&str>, &Tally),
    profile: &Profile,
) -> Vec<(&'static str, String)> {
    let mut evidence = Vec::from([
        ("address", listener.local.address.to_string()),
        ("port", listener.local.port.to_string()),
        ("seen", tally.count.to_string()),
        ("learned-sockets", profile.sockets().len().to_string()),
    ]);
    let program = listener.program.as_deref().map(crate::profile::key::clean);
    evidence.extend(program.map(|program| ("program", program)));
    evidence.extend(usual.map(|usual| ("usual-program", usual.to_string())));
    evidence
}
