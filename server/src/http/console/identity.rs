//! The identity of one device: how it stands, what waits, its certificates, its history.
//!
//! Everything shown is what the API answers at `/api/v1/devices/{id}/history`. Read next: `operator::history`,
//! `ui::identity`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Html;
use cordon_proto::time::Timestamp;
use cordon_server_core::device::{Device, Doubt as Doubted, DoubtKind, State as Trust};

use super::super::operator::audit::AuditEntry;
use super::super::operator::history::{self, CertificateView};
use super::device::{act_words, head_of, member_of};
use super::visitor::Known;
use super::{Desk, Page};
use crate::fleet::Member;
use crate::ui::frame::Section;
use crate::ui::identity::{Asking, Certificate, Doubt, Event, Identity, render};
use crate::ui::words::actor_words;
use crate::ui::{Clock, Said, paths};

/// Entries of one page.
const EVENTS: usize = 50;

/// The page.
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path(id): Path<String>,
) -> Page {
    let member = member_of(&desk, &id)?;
    let (roster, now, device) = (desk.roster(), desk.now(), &member.device);
    let before = visitor.asked("before").and_then(|before| before.parse::<u64>().ok());
    let tokens = history::tokens_of(&desk.operator.app, device).await?;
    let (entries, next) = history::entries(&desk.operator, device.id, &tokens, (before, EVENTS)).await?;
    let (answer, means) = standing(&member, now);
    let page = Identity {
        head: head_of(&desk, &member, now),
        answer,
        means,
        asking: asking(device),
        doubt: device.doubt.as_ref().map(doubt),
        farewell: device.farewell.as_ref().map(|farewell| farewell.at),
        certificates: history::certificates(&desk.operator.app, device)
            .await?
            .into_iter()
            .map(certificate)
            .collect(),
        protection: member.report.as_ref().map(|report| report.key_protection.as_str().into()),
        acts: acts(device),
        events: entries.into_iter().filter_map(event).collect(),
        older: next.map(|next| paths::with_query(&paths::identity(&id), &[("before", &next.to_string())])),
    };
    Ok(Html(render(&desk.frame(&visitor, Section::Devices, &roster), &page)))
}

/// How the identity stands, and what follows from it.
fn standing(member: &Member, now: Timestamp) -> (String, String) {
    let device = &member.device;
    let since = Clock::utc(now).moment_words(device.since);
    let reason = Said::sentence(device.reason.as_str()).to_string();
    let told = |answer: &str, means: &str| (answer.to_owned(), means.to_owned());
    match device.state {
        Trust::Listed => told(
            "It has none: it stands in a list of assets.",
            "The list lets nobody in. To enrol it, make a token for its model and serial; its record here stays.",
        ),
        Trust::Expected => {
            told("It has not come yet.", "A token was made for it; it gets its identity with that.")
        }
        Trust::Pending => told("It has none yet.", "A person has to answer the key that asks."),
        Trust::Quarantined => (
            "In quarantine.".to_owned(),
            format!(
                "Since {since}: {reason}. It may only check status and take updates; therapy and network are untouched."
            ),
        ),
        Trust::Retired => {
            ("It has ended.".to_owned(), format!("Retired {since}: {reason}. {}", farewell_words(device)))
        }
        Trust::Lost => {
            ("Reported lost.".to_owned(), format!("Since {since}: {reason}. {}", farewell_words(device)))
        }
        Trust::Active if device.doubt.is_some() => {
            told("Not sure.", "There may be more than one machine behind it. It works, and is not renewed.")
        }
        Trust::Active => match &device.identity {
            Some(identity) if identity.not_after < now => {
                told("Its certificate has ended.", "It can renew it at its next contact.")
            }
            Some(_) => in_force(device),
            None => told("Not yet.", "It is trusted, and has no certificate in force."),
        },
    }
}

/// A certificate is in force; whether it is the only key that has to do with this identity.
fn in_force(device: &Device) -> (String, String) {
    let told = |answer: &str, means: &str| (answer.to_owned(), means.to_owned());
    match &device.asking {
        Some(asking) if asking.approved.is_some() => told(
            "Yes, until another key takes its place.",
            "Its certificate is in force. A person approved another key, which takes its place once it has fetched its own.",
        ),
        Some(_) => told(
            "Yes, and a second key asks for it.",
            "Its certificate is in force and stays so until a person answers the key below.",
        ),
        None if device.next.is_some() => told(
            "Yes.",
            "One machine; a certificate in force, and its successor handed out, which takes over once it is used.",
        ),
        None => told("Yes.", "One machine, one key, a certificate in force."),
    }
}

fn farewell_words(device: &Device) -> &'static str {
    match device.farewell {
        Some(_) => "It has wiped itself and taken leave.",
        None => "It has not been in contact since; it wipes itself when it is.",
    }
}

fn asking(device: &Device) -> Option<Asking> {
    let asking = device.asking.as_ref()?;
    Some(Asking {
        key: asking.key.to_string(),
        from: asking.from.as_str().into(),
        with: asking.with.as_str().into(),
        since: asking.at,
        approved: asking.approved.is_some(),
    })
}

fn doubt(doubt: &Doubted) -> Doubt {
    let what = doubt_words(doubt.kind);
    Doubt { what, evidence: Said::sentence(doubt.evidence.as_str()), since: doubt.at }
}

/// What was seen, in a line.
pub(super) fn doubt_words(kind: DoubtKind) -> &'static str {
    match kind {
        DoubtKind::Overlap => "One certificate is in use from two addresses at the same time",
        DoubtKind::Reuse => "A certificate that was replaced or retired is used again",
        DoubtKind::Backwards => "Its count of boots or check-ins ran backwards",
        DoubtKind::SameMachine => "Two identities say that they are the same machine",
    }
}

fn certificate(view: CertificateView) -> Certificate {
    let at = |text: Option<String>| text.and_then(|text| Timestamp::parse(&text).ok());
    Certificate {
        standing: match view.standing {
            "in-force" => "In force",
            "waiting" => "Handed out, not used yet",
            _ => "Replaced",
        },
        print: view.fingerprint,
        from: at(view.from),
        until: at(view.until),
        why: view.why.unwrap_or_default().into(),
    }
}

/// What can be done with an identity in this state: label, address, whether it is an end.
fn acts(device: &Device) -> Vec<(&'static str, String, bool)> {
    let id = device.id.to_string();
    let act = |label, act: &str, end| (label, paths::device_act(&id, act), end);
    let (quarantine, lost, retire) = (
        act("Quarantine", "quarantine", true),
        act("Report lost", "report-lost", true),
        act("Retire", "retire", true),
    );
    match device.state {
        Trust::Listed | Trust::Expected | Trust::Pending => vec![retire],
        Trust::Active => vec![quarantine, lost, retire],
        Trust::Quarantined => vec![act("Lift quarantine", "release", false), lost, retire],
        Trust::Lost => vec![act("It was found", "find", false), retire],
        Trust::Retired => Vec::new(),
    }
}

fn event(entry: AuditEntry) -> Option<Event> {
    let change = match (entry.before, entry.after) {
        (Some(before), Some(after)) => format!("{before} → {after}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => String::new(),
    };
    Some(Event {
        at: Timestamp::parse(&entry.at).ok()?,
        what: act_words(&entry.action).into(),
        who: actor_words(&entry.actor).into(),
        reason: Said::sentence(entry.reason.unwrap_or_default()),
        change: Said::sentence(change),
    })
}
