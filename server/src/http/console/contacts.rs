//! Searching among connections on a page: the API's own search, with the reason that it asks for.
//!
//! Read next: `operator::contacts`, `ui::contacts`.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse};
use cordon_proto::time::Timestamp;
use cordon_server_core::policy::Access;
use serde::Deserialize;

use super::super::operator::contacts::{SearchAnswer, SearchAsk, SearchRow, answer};
use super::fault::Fault;
use super::visitor::{Known, Visitor};
use super::{Desk, Done, Page, count};
use crate::http::problem::Problem;
use crate::ui::contacts::{Contacts, Found, Row, Typed, render};
use crate::ui::frame::Section;
use crate::ui::{Said, paths};

/// What a link to the form fills in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sought {
    peer: String,
    port: String,
}

/// The form.
pub(super) async fn ask(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Query(sought): Query<Sought>,
) -> Page {
    let typed = Typed { peer: sought.peer.into(), port: sought.port.into(), ..Typed::default() };
    Ok(drawn(&desk, &visitor, Contacts { typed, ..Contacts::default() }))
}

/// Searches; the form again with the reason if it is refused.
pub(super) async fn search(State(desk): State<Arc<Desk>>, Known(visitor): Known, request: Request) -> Done {
    let posted = visitor.form_for(Access::Read, request).await?;
    let field = |name: &str| posted.get(name).unwrap_or_default().to_owned();
    let given = |name: &str| Some(field(name)).filter(|text| !text.trim().is_empty());
    let asked = SearchAsk {
        peer: field("peer"),
        port: field("port"),
        since: given("since"),
        until: None,
        reason: field("reason"),
        after: given("after"),
        limit: None,
    };
    let typed = Typed {
        peer: field("peer").into(),
        port: field("port").into(),
        since: field("since").into(),
        reason: field("reason").into(),
    };
    let page = Contacts { typed, ..Contacts::default() };
    match answer(&desk.operator, &visitor.caller, &asked).await {
        Ok(found) => {
            let answer = Some(found_of(&found).ok_or(Fault::Missing("time"))?);
            Ok(drawn(&desk, &visitor, Contacts { answer, ..page }).into_response())
        }
        Err(problem) if problem.status() == StatusCode::UNPROCESSABLE_ENTITY => {
            let page = Contacts { fault: why(&problem), ..page };
            Ok((StatusCode::UNPROCESSABLE_ENTITY, drawn(&desk, &visitor, page)).into_response())
        }
        Err(problem) => Err(problem.into()),
    }
}

fn why(problem: &Problem) -> Said {
    Said::sentence(problem.detail().to_owned())
}

fn drawn(desk: &Desk, visitor: &Visitor, page: Contacts) -> Html<String> {
    let page = Contacts { kept_days: desk.operator.app.config.retention_days, ..page };
    Html(render(&desk.frame(visitor, Section::Findings, &desk.roster()), &page))
}

fn found_of(answer: &SearchAnswer) -> Option<Found> {
    let rows: Option<Vec<Row>> = answer.devices.iter().map(row_of).collect();
    Some(Found {
        sought: answer.sought.as_str().into(),
        since: Timestamp::parse(&answer.since).ok()?,
        until: Timestamp::parse(&answer.until).ok()?,
        rows: rows?,
        unnamed: count(answer.unnamed),
        next: answer.next.clone().unwrap_or_default(),
    })
}

fn row_of(row: &SearchRow) -> Option<Row> {
    let mut with = format!("{} {}", row.peers.join(", "), row.services.join(", "));
    if row.is_new {
        with.push_str("; new to it");
    }
    if row.is_cut {
        with.push_str("; the newest rows only");
    }
    Some(Row {
        href: paths::device(&row.id),
        name: row.serial.as_str().into(),
        place: format!("{}/{}", row.site, row.ward).into(),
        first: Timestamp::parse(&row.first).ok()?,
        last: Timestamp::parse(&row.last).ok()?,
        connections: row.connections,
        bytes_out: row.bytes_out,
        bytes_in: row.bytes_in,
        with: with.into(),
    })
}
