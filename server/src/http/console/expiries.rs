//! What ends within 90, 30 and 7 days, and who must act.
//!
//! Read next: `crate::expiries`, which gathers it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use cordon_server_core::expiry::{Whose, due};

use super::super::problem::Problem;
use super::visitor::Known;
use super::{Desk, Page, count};
use crate::expiries;
use crate::ui::Said;
use crate::ui::expiries::{Expiries, Group, Row, render};
use crate::ui::frame::Section;

/// The page.
pub(super) async fn show(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let ends = expiries::all(&desk.operator).await.map_err(Problem::from)?;
    let mut groups: BTreeMap<u32, Vec<Row>> = BTreeMap::new();
    for (within, lapse) in due(&ends, desk.now()) {
        let name = Said::sentence(lapse.name.to_string());
        let whose = match lapse.whose {
            Whose::Owner => "the owner's people with keys",
            Whose::Maker => "the maker",
            Whose::Server => "whoever runs this server",
            Whose::Staff => "whoever set it",
        };
        groups.entry(within).or_default().push(Row { at: lapse.at, name, whose, todo: lapse.todo() });
    }
    let groups = groups.into_iter().map(|(within, rows)| Group { within, rows }).collect();
    let page = Expiries { groups, known: count(ends.len()) };
    Ok(Html(render(&desk.frame(&visitor, Section::Expiries, &desk.roster()), &page)))
}
