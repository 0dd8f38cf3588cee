//! The overview: what needs a person first, then figures and charts over all devices.
//!
//! Everything is counted over the roster and carries the address of the list it counts; the trend is drawn from what was
//! said. Read next: `roster`, `risk_history`, `ui::overview`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use cordon_proto::time::Timestamp;
use cordon_server_core::admit::waiting as waits;
use cordon_server_core::approval::replaces_living;
use cordon_server_core::device::Asking;
use cordon_server_core::exception::{Exception, Standing as Lapsing};
use cordon_server_core::risk::{Band, Owner};
use cordon_server_core::rollout::State as Standing;

use super::super::operator::rollouts::fleet_of;
use super::audit::last_change;
use super::identity::doubt_words;
use super::risk_history::{trend, week_ago};
use super::rollouts::row_of;
use super::roster::{Entry, Found, Roster};
use super::standing::{SILENT_S, place_words, severity_of};
use super::visitor::Known;
use super::{Desk, Page, count};
use crate::exceptions;
use crate::ui::badge::severity_band;
use crate::ui::devices::DeviceQuery;
use crate::ui::frame::Section;
use crate::ui::overview::{BandCount, Detector, Figure, Going, Need, Overview, Range, Ward, When, render};
use crate::ui::rollouts::State as Stands;
use crate::ui::words::{number, plural};
use crate::ui::{DeviceState, Said, live, paths};

/// Findings that are named one by one before the rest is told as a number.
const NAMED: usize = 5;
/// Wards that are shown.
const WARDS: usize = 8;
/// Seconds of a day, and the fewest days of a strip.
const DAY_S: i64 = 86_400;
const STRIP_MIN: i64 = 7;
const SILENT: DeviceState = DeviceState::Silent { last_seen: None };

/// The page.
pub(super) async fn show(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let (roster, now) = (desk.roster(), desk.now());
    let accepted = exceptions::all(&desk.operator.app).await?;
    let range = Range::from_value(visitor.asked("range").unwrap_or_default());
    let days = (range.seconds() / DAY_S).max(STRIP_MIN);
    let said = desk.operator.app.fleet_risk_history().await?;
    let summary = &roster.summary;
    let highest = roster.entries.iter().find(|entry| entry.counted).map(|entry| entry.row.risk);
    let heard = |entry: &&Arc<Entry>| {
        entry.counted && entry.member.seen.is_some_and(|seen| now.seconds_since(seen) <= 3600)
    };
    let page = Overview {
        needs: needs(&desk, &roster, &accepted, now),
        going: going(&desk, now),
        visit: None,
        last_change: last_change(&desk).await?,
        reported: count(roster.entries.iter().filter(heard).count()),
        figures: figures(&roster, now),
        range,
        trend: trend(&said, range, now),
        bands: bands(summary.bands, week_ago(&said, now)),
        index: summary.index().zip(highest),
        detectors: detectors(&roster, now, days),
        strip_days: u32::try_from(days).unwrap_or(0),
        wards: wards(&roster),
        wards_total: count(summary.wards.len()),
    };
    Ok(Html(render(&desk.frame(&visitor, Section::Overview, &roster), &page)))
}

/// Devices by band and how that changed within a week.
fn bands(now: [u64; 4], before: Option<[u64; 4]>) -> [BandCount; 4] {
    let moved =
        |count: u64, before: u64| i64::try_from(count).unwrap_or(0) - i64::try_from(before).unwrap_or(0);
    let mut before = before.map(IntoIterator::into_iter);
    now.map(|count| {
        let was = before.as_mut().and_then(Iterator::next);
        BandCount { count, change: was.map(|was| moved(count, was)) }
    })
}

fn needs(desk: &Desk, roster: &Roster, accepted: &[Exception], now: Timestamp) -> Vec<Need> {
    let mut needs = of_the_server(desk, now);
    needs.extend(halted(desk));
    needs.extend(lapsed(accepted, now));
    needs.extend(waiting(roster, now));
    needs.extend(doubted(roster));
    needs.extend(grave(roster, now));
    let failed = [
        (DeviceState::RolledBack, "rolled its last update back", "rolled their last update back"),
        (DeviceState::Refused, "refused its last order", "refused their last order"),
    ];
    for (state, one, many) in failed {
        needs.extend(of_state(roster, state, (Band::High, Owner::It), (one, many)));
    }
    let silent = ("has not reported for a day or more", "have not reported for a day or more");
    needs.extend(of_state(roster, SILENT, (Band::Medium, Owner::ClinicalEngineering), silent));
    needs.sort_by_key(|need| std::cmp::Reverse(need.band));
    needs
}

/// What is wrong with this server itself.
fn of_the_server(desk: &Desk, now: Timestamp) -> Vec<Need> {
    let app = &desk.operator.app;
    let need = |what: String, more: String, since| Need {
        band: Band::Critical,
        what: what.into(),
        more: more.into(),
        owner: Owner::It,
        when: When::Since(since),
        act: ("See readiness".into(), "/readyz".into()),
    };
    let trouble = app.care.trouble().map(|trouble| {
        need(
            "This server stores nothing now; devices are asked to wait.".into(),
            trouble.words,
            trouble.since,
        )
    });
    let damaged = app.blobs.damaged();
    let rotten = damaged.first().map(|first| {
        let what = plural(count(damaged.len()), "image is", "images are");
        let more = format!("the first is {first}; send the release again with `cordonctl repo publish`");
        need(format!("{what} damaged on this server's disk and not served."), more, now)
    });
    trouble.into_iter().chain(rotten).collect()
}

/// Rollouts that move, the newest first.
fn going(desk: &Desk, now: Timestamp) -> Vec<Going> {
    let book = desk.operator.rollouts.book();
    let mut moving: Vec<_> = book.rollouts.values().filter(|rollout| rollout.moves()).collect();
    moving.sort_by_key(|rollout| std::cmp::Reverse(rollout.created));
    let one = |rollout: &cordon_server_core::rollout::Rollout| {
        let row = row_of(&book, rollout, &fleet_of(&desk.operator, &book, rollout), now);
        let stands = match row.state {
            Stands::Running { wave, .. } => format!("wave {wave} runs"),
            Stands::Paused { .. } => "paused".to_owned(),
            Stands::Returning { left, .. } => format!("going back, {left} left"),
            Stands::Planned
            | Stands::Halted { .. }
            | Stands::Stopped { .. }
            | Stands::Aborted { .. }
            | Stands::Returned { .. }
            | Stands::Finished { .. } => "not started".to_owned(),
        };
        let words = format!("{stands}, {} of {} confirmed", row.tally.confirmed, row.tally.total());
        Going { id: row.id, title: row.title, words: words.into(), since: rollout.created }
    };
    moving.into_iter().map(one).collect()
}

/// Rollouts that stopped themselves.
fn halted(desk: &Desk) -> Vec<Need> {
    desk.operator.rollouts.look(|book| {
        let need = |rollout: &cordon_server_core::rollout::Rollout| {
            let Standing::Halted { at, wave, reason } = &rollout.state else { return None };
            Some(Need {
                band: Band::Critical,
                what: format!("Rollout {} stopped itself in wave {}.", rollout.title, wave + 1).into(),
                more: reason.as_str().into(),
                owner: Owner::It,
                when: When::Since(*at),
                act: ("Review rollout".into(), paths::rollout(rollout.id.as_str())),
            })
        };
        book.rollouts.values().filter_map(need).collect()
    })
}

/// Accepted risks that are over, until somebody has said that they saw it.
fn lapsed(accepted: &[Exception], now: Timestamp) -> Vec<Need> {
    let over =
        |exception: &&Exception| exception.is_announced() && exception.standing(now) == Lapsing::Lapsed;
    let need = |exception: &Exception| Need {
        band: Band::High,
        what: format!("The accepted risk {} is over.", exception.about.name()).into(),
        more: format!("{} carried it: repair it, or decide anew", exception.owner).into(),
        owner: Owner::Security,
        when: When::Since(exception.until),
        act: ("See it".into(), paths::exception(exception.id.as_str())),
    };
    accepted.iter().filter(over).take(NAMED).map(need).collect()
}

/// Keys that wait for a person: graver where a living identity would get another key.
fn waiting(roster: &Roster, now: Timestamp) -> Vec<Need> {
    let asks = roster.entries.iter().filter_map(|entry| Some((entry, waits(&entry.member.device, now)?)));
    let (foreign, new): (Vec<_>, Vec<_>) =
        asks.partition(|(entry, _)| replaces_living(&entry.member.device, now));
    let one = |(entry, asking): &(&Arc<Entry>, &Asking)| Need {
        band: Band::Critical,
        what: format!("A second key asks for the identity of {}", entry.member.device.hardware.serial).into(),
        more: format!(
            "in {}, from {}. It waits for a person",
            place_words(&entry.member.device),
            asking.from
        )
        .into(),
        owner: Owner::Security,
        when: When::Since(asking.at),
        act: ("See its identity".into(), paths::identity(&entry.row.id)),
    };
    let mut needs: Vec<Need> = foreign.iter().take(NAMED).map(one).collect();
    if let Some(oldest) = new.iter().map(|(_, asking)| asking.at).min() {
        needs.push(Need {
            band: Band::Medium,
            what: format!(
                "{} for a person to be let in",
                plural(count(new.len()), "device waits", "devices wait")
            )
            .into(),
            more: Said::default(),
            owner: Owner::It,
            when: When::Since(oldest),
            act: ("See who waits".into(), paths::APPROVALS.into()),
        });
    }
    needs
}

/// Identities behind which there may be more than one machine.
fn doubted(roster: &Roster) -> Vec<Need> {
    let need = |entry: &Arc<Entry>| {
        let device = &entry.member.device;
        let doubt = device.doubt.as_ref().filter(|_| entry.counted)?;
        Some(Need {
            band: Band::Critical,
            what: format!("{}: {}", device.hardware.serial, doubt_words(doubt.kind)).into(),
            more: format!("in {}. Its certificate is not renewed meanwhile", place_words(device)).into(),
            owner: Owner::Security,
            when: When::Since(doubt.at),
            act: ("See its identity".into(), paths::identity(&entry.row.id)),
        })
    };
    roster.entries.iter().filter_map(need).take(NAMED).collect()
}

/// Open findings of high or critical severity.
fn grave(roster: &Roster, now: Timestamp) -> Vec<Need> {
    let band = |found: &Found| severity_band(severity_of(found.record.finding.severity));
    let open: Vec<&Found> = roster
        .findings
        .iter()
        .filter(|found| found.record.is_open(now) && band(found) >= Band::High)
        .collect();
    let need = |found: &&Found| {
        let (finding, device) = (&found.record.finding, &found.entry.member.device);
        Need {
            band: band(found),
            what: format!("{}: {}", device.hardware.serial, finding.title).into(),
            more: format!("in {}, found by {}", place_words(device), finding.detector).into(),
            owner: Owner::Security,
            when: When::Since(finding.first),
            act: ("Open finding".into(), paths::finding(found.record.id.as_str())),
        }
    };
    let mut needs: Vec<Need> = open.iter().take(NAMED).map(need).collect();
    for wanted in [Band::Critical, Band::High] {
        let rest: Vec<&&Found> = open.iter().skip(NAMED).filter(|found| band(found) == wanted).collect();
        let Some(oldest) = rest.iter().map(|found| found.record.finding.first).min() else { continue };
        let severity = if wanted == Band::Critical { "critical" } else { "high" };
        let what = plural(count(rest.len()), "more open finding", "more open findings");
        needs.push(Need {
            band: wanted,
            what: format!("{what} of {severity} severity").into(),
            more: Said::default(),
            owner: Owner::Security,
            when: When::Since(oldest),
            act: ("See findings".into(), paths::findings(&[("state", "open"), ("severity", severity)])),
        });
    }
    needs
}

/// Devices whose most important state is this one, as one line.
fn of_state(
    roster: &Roster,
    state: DeviceState,
    (band, owner): (Band, Owner),
    (one, many): (&str, &str),
) -> Option<Need> {
    let query = DeviceQuery::of_state(state);
    let entries: Vec<&Arc<Entry>> = roster.matching(&query).collect();
    let since = |entry: &&Arc<Entry>| match state {
        DeviceState::Silent { .. } => entry.member.seen.unwrap_or(entry.member.device.since),
        _ => entry.member.receipts.last().map_or(entry.member.device.since, |receipt| receipt.received),
    };
    let oldest = entries.iter().map(since).min()?;
    let named: Vec<String> = entries
        .iter()
        .take(3)
        .map(|entry| format!("{} in {}", entry.row.name.raw(), entry.row.place.raw()))
        .collect();
    let (what, act) = match entries.as_slice() {
        [only] => {
            let what = format!("{} in {} {one}", only.row.name.raw(), only.row.place.raw());
            (what, ("See device".to_owned(), paths::device(&only.row.id)))
        }
        several => {
            let what = format!("{} devices {many}", number(count(several.len())));
            (what, ("See devices".to_owned(), query.address()))
        }
    };
    let more = if entries.len() > 1 { named.join("; ").into() } else { Said::default() };
    Some(Need { band, what: what.into(), more, owner, when: When::Since(oldest), act })
}

fn figures(roster: &Roster, now: Timestamp) -> Vec<Figure> {
    let summary = &roster.summary;
    let [critical, high, ..] = summary.bands;
    let week = now.plus_seconds(-7 * DAY_S);
    let new = |entry: &&Arc<Entry>| {
        let issued = entry.member.device.identity.as_ref().map(|identity| identity.issued);
        entry.counted && issued.is_some_and(|issued| issued >= week)
    };
    let enrolled = count(roster.entries.iter().filter(new).count());
    let open: Vec<&Found> = roster.findings.iter().filter(|found| found.record.is_open(now)).collect();
    let unassigned = count(open.iter().filter(|found| found.record.assigned.is_none()).count());
    let of_state = |state: DeviceState| (summary.of_state(state), DeviceQuery::of_state(state).address());
    let (silent, silent_href) = of_state(SILENT);
    let (updating, updating_href) = of_state(DeviceState::Updating);
    let (quarantined, quarantined_href) = of_state(DeviceState::Quarantined);
    let critical_href = DeviceQuery::of_band(Band::Critical).address();
    let live_figure = |key, figure: Figure| Figure { live: key, ..figure };
    let words = |count: u64, rest: &str| format!("{} {rest}", number(count));
    vec![
        live_figure(
            live::key::DEVICES,
            Figure::new("Devices", summary.total, &words(enrolled, "enrolled this week"), paths::DEVICES),
        ),
        live_figure(
            live::key::CRITICAL,
            Figure::new("At critical risk", critical, &words(high, "at high risk"), &critical_href),
        ),
        live_figure(
            live::key::FINDINGS,
            Figure::new(
                "Open findings",
                count(open.len()),
                &words(unassigned, "unassigned"),
                &paths::findings(&[("state", "open")]),
            ),
        ),
        Figure::new("Not seen for 24 h", silent, &heard_words(roster, now), &silent_href),
        Figure::new("Updating", updating, &failed_words(roster), &updating_href),
        Figure::new("Quarantined", quarantined, &oldest_words(roster, now), &quarantined_href),
    ]
}

fn heard_words(roster: &Roster, now: Timestamp) -> String {
    let day = |entry: &&Arc<Entry>| {
        entry.counted && entry.member.seen.is_some_and(|seen| now.seconds_since(seen) < SILENT_S)
    };
    format!("{} reported since", number(count(roster.entries.iter().filter(day).count())))
}

fn failed_words(roster: &Roster) -> String {
    let failed = [DeviceState::RolledBack, DeviceState::Refused].map(|state| roster.summary.of_state(state));
    match failed.iter().sum::<u64>() {
        0 => "none failed".into(),
        failed => format!("{} failed", number(failed)),
    }
}

fn oldest_words(roster: &Roster, now: Timestamp) -> String {
    let query = DeviceQuery::of_state(DeviceState::Quarantined);
    let oldest = roster.matching(&query).map(|entry| entry.member.device.since).min();
    match oldest.map(|oldest| now.seconds_since(oldest) / DAY_S) {
        None => "none".into(),
        Some(0) => "oldest today".into(),
        Some(days) => format!("oldest {}", plural(u64::try_from(days).unwrap_or(0), "day", "days")),
    }
}

/// Findings opened on each of the last days, and open now, by detector.
fn detectors(roster: &Roster, now: Timestamp, days: i64) -> Vec<Detector> {
    let width = usize::try_from(days).unwrap_or(0);
    let mut by_name: BTreeMap<&str, (Vec<u32>, u64)> = BTreeMap::new();
    for found in &roster.findings {
        let (strip, open) =
            by_name.entry(found.record.finding.detector.as_str()).or_insert_with(|| (vec![0; width], 0));
        *open += u64::from(found.record.is_open(now));
        let opened = found.record.history.first().map_or(found.record.finding.first, |step| step.at);
        let ago = now.0.div_euclid(DAY_S) - opened.0.div_euclid(DAY_S);
        let place = usize::try_from(days - 1 - ago).ok();
        if let Some(cell) = place.and_then(|place| strip.get_mut(place)) {
            *cell += 1;
        }
    }
    let detector = |(slug, (days, open)): (&str, (Vec<u32>, u64))| Detector {
        slug: slug.to_owned(),
        name: detector_words(slug),
        days,
        open,
    };
    let mut detectors: Vec<Detector> = by_name.into_iter().map(detector).collect();
    detectors.sort_by_key(|detector| std::cmp::Reverse(detector.open));
    detectors
}

/// What people call a detector.
fn detector_words(slug: &str) -> Said {
    let words = match slug {
        "allow-list" => "Allow-list",
        "beacon" => "Beacon",
        "brute-force" => "Password guessing",
        "dns-tunnel" => "Name tunnel",
        "host" => "Machine, updates and feeds",
        "listener" => "New listener",
        "mud" => "Manufacturer profile",
        "peer-identity" => "Peer identity",
        "scan" => "Scan",
        "table-pressure" => "Too many connections",
        "volume" => "Volume",
        other => other,
    };
    words.into()
}

fn wards(roster: &Roster) -> Vec<Ward> {
    let ward = |((site, name), counts): (&(String, String), &[u64; 4])| Ward {
        site: site.as_str().into(),
        name: name.as_str().into(),
        counts: *counts,
    };
    let mut wards: Vec<Ward> = roster.summary.wards.iter().map(ward).collect();
    wards.sort_by_key(|ward| std::cmp::Reverse(ward.counts));
    wards.truncate(WARDS);
    wards
}
