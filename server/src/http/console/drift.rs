//! How the software of a device differs from what its release shipped, as the API compares it.
//!
//! Read next: `operator::sboms`, `ui::drift`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Html;
use cordon_server_core::sbom::drift::{Changed, Drift as Compared, NotCompared, Package};
use cordon_server_core::sbom::files::{File, Files};

use super::super::operator::sboms;
use super::device::{head_of, member_of};
use super::visitor::Known;
use super::{Desk, Page, count};
use crate::ui::Said;
use crate::ui::drift::{Difference, Drift, render};
use crate::ui::frame::Section;

/// The page.
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path(id): Path<String>,
) -> Page {
    let member = member_of(&desk, &id)?;
    let roster = desk.roster();
    let release = member.report.as_ref().and_then(|report| report.software.release.as_ref());
    let release = release.map(|release| Said::from(release.as_str())).unwrap_or_default();
    let found = match sboms::drift(State(desk.operator.clone()), Path(id)).await {
        Ok(axum::Json(answer)) => Ok(difference(answer.drift, answer.files)),
        Err(problem) if problem.status().is_server_error() => return Err(problem.into()),
        Err(problem) => Err(Said::sentence(problem.detail().to_owned())),
    };
    let page = Drift { head: head_of(&desk, &member, desk.now()), release, found };
    Ok(Html(render(&desk.frame(&visitor, Section::Devices, &roster), &page)))
}

fn difference(compared: Compared, files: Option<Files>) -> Difference {
    let Compared { missing, extra, changed, same, not_compared } = compared;
    let NotCompared { shipped, found } = not_compared;
    let one = |package: Package| (Said::from(package.purl), Said::from(package.versions.join(", ")));
    let other = |changed: Changed| {
        let Changed { purl, shipped, found } = changed;
        (Said::from(purl), Said::from(shipped.join(", ")), Said::from(found.join(", ")))
    };
    let file = |file: File| (Said::from(file.path), Said::from(file.found));
    let (declared, files) =
        files.map_or_else(Default::default, |files| (Said::from(files.count), files.differing));
    Difference {
        declared,
        files: files.into_iter().map(file).collect(),
        same: count(same),
        missing: missing.into_iter().map(one).collect(),
        extra: extra.into_iter().map(one).collect(),
        other: changed.into_iter().map(other).collect(),
        unnamed: count(shipped.values().chain(found.values()).sum()),
    }
}
