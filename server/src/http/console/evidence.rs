//! Asking for an evidence pack as a file, and how fast each release reached the devices of its rollouts.
//!
//! A pack is made by the API's own function, and only for whom the API makes one. The measures count receipts of the book
//! and are for the eye; what proves something is the pack. Read next: `ui::evidence`, `crate::evidence`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{Html, IntoResponse};
use cordon_proto::ids::{DeviceId, Name, TargetPath};
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use cordon_server_core::evidence::{Case, measures};
use cordon_server_core::policy::Access;
use cordon_server_core::rollout::{Book, RolloutKind};

use super::super::operator::audit::LINES;
use super::super::operator::evidence::{EvidenceAsk, pack_of};
use super::visitor::{Known, Visitor};
use super::{Desk, Done, Page, count};
use crate::ui::Said;
use crate::ui::evidence::{BY, Evidence, MeasureRow, render};
use crate::ui::frame::Section;

/// The page.
pub(super) async fn show(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let asked = [visitor.asked("by"), visitor.asked("name")].map(Option::unwrap_or_default);
    page(&desk, &visitor, asked, Said::default()).await
}

/// A pack as a file; the page again with the reason if there is none.
pub(super) async fn pack(State(desk): State<Arc<Desk>>, Known(visitor): Known, request: Request) -> Done {
    let posted = visitor.form(request).await?;
    let by = posted.get("by").unwrap_or_default();
    let name = posted.get("name").unwrap_or_default().trim();
    let head = posted.get("head").unwrap_or_default().trim();
    match pack_of(&desk.operator, &visitor.caller, &ask(by, name, head)).await {
        Ok(pack) => {
            let file = format!("attachment; filename=\"{}\"", file_name(by, name));
            Ok(([(CONTENT_TYPE, LINES.to_owned()), (CONTENT_DISPOSITION, file)], pack).into_response())
        }
        Err(problem) if problem.status().is_server_error() => Err(problem.into()),
        Err(problem) => {
            let fault = Said::sentence(problem.detail().to_owned());
            let page = page(&desk, &visitor, [by, name], fault).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

fn ask(by: &str, name: &str, head: &str) -> EvidenceAsk {
    let named = |wanted: &str| (by == wanted).then(|| name.to_owned());
    EvidenceAsk {
        order: named("order"),
        release: named("release"),
        rollout: named("rollout"),
        advisory: named("advisory"),
        heads: Some(head.to_owned()).into_iter().filter(|head| !head.is_empty()).collect(),
    }
}

/// "evidence-order-vp3-422.jsonl": nothing of what was typed but letters, digits, dots and dashes.
fn file_name(by: &str, name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' };
    let name: String = name.chars().map(safe).collect();
    format!("evidence-{by}-{name}.jsonl")
}

async fn page(desk: &Desk, visitor: &Visitor, [by, name]: [&str; 2], fault: Said) -> Page {
    let releases = desk.operator.repositories.releases().await?;
    let available: BTreeMap<(Name, TargetPath), Timestamp> =
        releases.iter().map(|one| ((one.repository.clone(), one.release.clone()), one.imported)).collect();
    let book = desk.operator.rollouts.book();
    let by = BY.iter().find(|(value, _)| *value == by).unwrap_or(&BY[0]).0;
    let page = Evidence {
        may_ask: visitor.caller.role.may(Access::Change),
        by: by.to_owned(),
        name: name.into(),
        known: known(&book),
        fault,
        rows: rows(&book, &available, desk.now()),
    };
    Ok(Html(render(&desk.frame(visitor, Section::Rollouts, &desk.roster()), &page)))
}

/// Orders, releases and rollouts that a pack can be asked for: a rollout of content has no receipts.
fn known(book: &Book) -> Vec<Said> {
    let firmware = || book.rollouts.values().filter(|one| one.kind == RolloutKind::Firmware);
    let waves = firmware().flat_map(|rollout| &rollout.waves);
    let orders = book.orders.keys().chain(waves.map(|wave| &wave.order)).map(ToString::to_string);
    let rollouts = firmware().flat_map(|one| [one.id.to_string(), one.release.to_string()]);
    let names: BTreeSet<String> = orders.chain(rollouts).collect();
    names.into_iter().map(Said::from).collect()
}

/// The measures of each release that was rolled out and taken in.
fn rows(book: &Book, available: &BTreeMap<(Name, TargetPath), Timestamp>, now: Timestamp) -> Vec<MeasureRow> {
    let mut reached: BTreeMap<(Name, TargetPath), BTreeMap<DeviceId, Option<Timestamp>>> = BTreeMap::new();
    for rollout in book.rollouts.values() {
        let devices = reached.entry((rollout.repository.clone(), rollout.release.clone())).or_default();
        let progress = book.progress.get(&rollout.id);
        for device in rollout.waves.iter().flat_map(|wave| &wave.devices) {
            let ended = progress.and_then(|known| known.get(device)).filter(|known| {
                let went_back = known.back.as_ref().and_then(|back| back.outcome) == Some(Outcome::WentBack);
                known.outcome == Some(Outcome::Confirmed) && !went_back
            });
            let proved = devices.entry(*device).or_default();
            *proved = proved.or(ended.and_then(|known| known.ended));
        }
    }
    let measured = |(release, devices): (&(Name, TargetPath), &BTreeMap<DeviceId, Option<Timestamp>>)| {
        let here = *available.get(release)?;
        let case = Case {
            name: release.1.to_string(),
            known: here,
            available: Some(here),
            devices: count(devices.len()),
            installed: devices.values().flatten().copied().collect(),
        };
        let proved = count(case.installed.len());
        let found = measures(std::slice::from_ref(&case), now);
        Some(MeasureRow {
            release: release.1.as_str().into(),
            devices: (case.devices, proved),
            patched_permille: u32::try_from(found.patched_permille.unwrap_or_default()).unwrap_or(1000),
            deployed_s: found.available_to_deployed.map(|spread| (spread.median_s, spread.most_s)),
        })
    };
    reached.iter().filter_map(measured).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_cannot_leave_the_files_name() {
        // Goal: no header and no path is written by a name. Method: a release, and what somebody would try.
        assert_eq!(file_name("release", "vp-3/4.2.2"), "evidence-release-vp-3-4.2.2.jsonl");
        assert_eq!(file_name("order", "a\"\r\nb/../c"), "evidence-order-a---b-..-c.jsonl");
    }
}
