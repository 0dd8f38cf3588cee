//! Bringing a list of assets on a page: shown with what it would do, and imported at the second press.
//!
//! What was shown waits here, in memory, for the session that brought it; at the second press it is planned anew, and shown
//! once more if it would do anything else by now. What a row does is decided in `server/core`. Read next: `operator::assets`,
//! `ui::asset_import`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse};
use cordon_proto::ids::{Name, Sha256, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::assets::{ListRecord, Plan};
use cordon_server_core::policy::Access;
use futures_util::StreamExt;

use super::super::operator::assets::{ChangeView, ImportAnswer, NewView, answer, read_list};
use super::fault::Fault;
use super::upload::{Event, Parts};
use super::visitor::{Known, Visitor, is_foreign};
use super::{Desk, Done, Page, count};
use crate::app::Brought;
use crate::http::problem::Problem;
use crate::ui::asset_import::{AddedRow, AssetImport, ChangeRow, ListRow, Preview, SHOWN, render};
use crate::ui::frame::{Section, Toast};
use crate::ui::words::{actor_words, plural};
use crate::ui::{Said, paths};

/// Lists that wait for a second press at most; the oldest gives way.
const WAITING: usize = 4;
/// Seconds that one waits.
const WAIT_S: i64 = 900;

/// Lists that were shown, by the proof of the session that brought each.
#[derive(Default)]
pub(super) struct Shown(Mutex<BTreeMap<String, Waiting>>);

#[derive(Clone)]
struct Waiting {
    brought: Brought,
    /// What the plan would do, in a hash.
    outline: Sha256,
    at: Timestamp,
}

impl Shown {
    fn keep(&self, session: &str, waiting: Waiting) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, other| waiting.at.seconds_since(other.at) < WAIT_S);
        while held.len() >= WAITING && !held.contains_key(session) {
            let oldest = held.iter().min_by_key(|(_, other)| other.at).map(|(session, _)| session.clone());
            let Some(oldest) = oldest else { break };
            held.remove(&oldest);
        }
        held.insert(session.to_owned(), waiting);
    }

    /// What was shown to this session under this token.
    fn of(&self, session: &str, token: &str, now: Timestamp) -> Option<Waiting> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |waiting: &&Waiting| waiting.token() == token && now.seconds_since(waiting.at) < WAIT_S;
        held.get(session).filter(fits).cloned()
    }

    fn forget(&self, session: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(session);
    }
}

impl Waiting {
    /// File and plan in one: another file or another outcome is another token.
    fn token(&self) -> String {
        Sha256::of(format!("{} {} {}", self.brought.list, self.brought.sha256, self.outline).as_bytes())
            .to_string()
    }
}

/// The form.
pub(super) async fn ask(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let page = AssetImport { list: "cmms".into(), ..empty(&desk).await? };
    Ok(drawn(&desk, &visitor, &page))
}

/// Takes a list and shows it, or imports the one that was shown.
pub(super) async fn bring(State(desk): State<Arc<Desk>>, Known(visitor): Known, request: Request) -> Done {
    let typed = read(&visitor, request).await?;
    if let Some(token) = typed.text("token") {
        return import(&desk, &visitor, token).await;
    }
    let list = typed.text("list").unwrap_or_default();
    let brought = match typed.brought().await {
        Ok(brought) => brought,
        Err(why) => {
            let site = typed.text("site").unwrap_or_default().into();
            let page =
                AssetImport { fault: Said::sentence(why), list: list.into(), site, ..empty(&desk).await? };
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, drawn(&desk, &visitor, &page)).into_response());
        }
    };
    show(&desk, &visitor, brought, Said::default()).await
}

/// Imports what was shown, if it would still do that.
async fn import(desk: &Desk, visitor: &Visitor, token: &str) -> Done {
    let app = &desk.operator.app;
    let Some(waiting) = desk.lists.of(visitor.csrf(), token, desk.now()) else {
        let fault = "The list is not here any more: it waits for a quarter of an hour, and on one server. Choose the file again.";
        let page = AssetImport { fault: fault.into(), ..empty(desk).await? };
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, drawn(desk, visitor, &page)).into_response());
    };
    let brought = waiting.brought.clone();
    let plan = app.plan_assets(&brought).await.map_err(Problem::from)?;
    if outline(&plan) != waiting.outline {
        let fault = "The fleet has changed since it was shown, and the list would do something else now.";
        return show(desk, visitor, brought, fault.into()).await;
    }
    let plan = app.import_assets(&brought, &visitor.caller.actor).await.map_err(Problem::from)?;
    desk.lists.forget(visitor.csrf());
    let text = format!(
        "{}: {} added, {} changed",
        brought.list,
        plural(count(plan.new.len()), "device", "devices"),
        plan.changed.len()
    );
    desk.done(visitor, Toast { text, undo: None }, paths::DEVICES)
}

/// Shows what a list would do, and keeps it for the second press.
async fn show(desk: &Desk, visitor: &Visitor, brought: Brought, fault: Said) -> Done {
    let plan = desk.operator.app.plan_assets(&brought).await.map_err(Problem::from)?;
    let waiting = Waiting { outline: outline(&plan), brought, at: desk.now() };
    let answer = answer(&waiting.brought, &plan, true);
    let page = AssetImport {
        list: Said::from(waiting.brought.list.as_str()),
        fault,
        preview: Some(preview(&answer, waiting.token())),
        ..AssetImport::default()
    };
    desk.lists.keep(visitor.csrf(), waiting);
    Ok(drawn(desk, visitor, &page).into_response())
}

/// What a plan would do, whenever it is made.
fn outline(plan: &Plan) -> Sha256 {
    let rows = plan.new.iter().map(|one| format!("new {:?}\n", one.row));
    let changed = plan.changed.iter().map(|one| format!("{} {:?} {}\n", one.device.id, one.row, one.words));
    let gone = plan.unlisted.iter().map(|one| format!("gone {}\n", one.device.id));
    let refused = plan.refused.iter().map(|one| format!("{} {}\n", one.row, one.why));
    let text: String = rows.chain(changed).chain(gone).chain(refused).collect();
    Sha256::of(text.as_bytes())
}

fn preview(answer: &ImportAnswer, token: String) -> Preview {
    let change = |one: &ChangeView| ChangeRow {
        row: one.row.map(count),
        name: one.name.as_str().into(),
        href: paths::device(&one.device),
        what: Said::sentence(one.what.clone()),
    };
    let added = |one: &NewView| AddedRow {
        row: count(one.row.unwrap_or_default()),
        name: one.name.as_str().into(),
        what: format!("{} {}", one.manufacturer, one.model).into(),
        place: format!("{} / {}", one.site, one.ward).into(),
    };
    Preview {
        token,
        rows: count(answer.rows),
        added: count(answer.new),
        added_rows: answer.new_devices.iter().take(SHOWN).map(added).collect(),
        changed: count(answer.changed),
        unchanged: count(answer.unchanged),
        gone: count(answer.unlisted),
        changes: answer.changes.iter().take(SHOWN).map(change).collect(),
        doubtful: count(answer.refused.values().sum()),
        doubtful_rows: answer
            .refused_rows
            .iter()
            .take(SHOWN)
            .map(|one| (count(one.row), Said::sentence(one.why.clone())))
            .collect(),
        passed_over: answer.columns_passed_over.iter().map(|column| column.as_str().into()).collect(),
    }
}

async fn empty(desk: &Desk) -> Result<AssetImport, Fault> {
    let lists = desk.operator.app.asset_lists().await?;
    let row = |(list, record): (Name, ListRecord)| ListRow {
        name: list.as_str().into(),
        at: record.imported,
        by: actor_words(&record.by).into(),
        devices: count(record.devices),
        doubtful: count(record.refused),
    };
    Ok(AssetImport {
        lists: lists.lists.into_iter().map(row).collect(),
        most: limits::ASSET_LIST_BYTES as u64,
        ..AssetImport::default()
    })
}

fn drawn(desk: &Desk, visitor: &Visitor, page: &AssetImport) -> Html<String> {
    Html(render(&desk.frame(visitor, Section::Devices, &desk.roster()), page))
}

/// What was typed, and the file.
#[derive(Default)]
struct Typed(BTreeMap<String, Vec<u8>>);

impl Typed {
    fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.get(name).and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::trim);
        found.filter(|text| !text.is_empty())
    }

    async fn brought(&self) -> Result<Brought, String> {
        let named = "its name is small letters, digits, dots and dashes, such as cmms";
        let list: Name = self.text("list").unwrap_or_default().parse().map_err(|_| named.to_owned())?;
        let site = self.text("site").map(|site| site.parse::<Text>()).transpose();
        let site = site.map_err(|_| "a site is 1 to 256 characters".to_owned())?;
        let bytes = self.0.get("file").filter(|bytes| !bytes.is_empty()).cloned();
        let bytes = bytes.ok_or("choose a file")?;
        let sha256 = Sha256::of(&bytes);
        let assets = tokio::task::spawn_blocking(move || read_list(&bytes)).await;
        let assets = assets.map_err(|_| "the list could not be read".to_owned())?;
        let assets = assets.map_err(|problem| problem.detail().to_owned())?;
        Ok(Brought { list, site, assets: Arc::new(assets), sha256 })
    }
}

/// Reads the form, no more of it than a list may hold, and no file before the session's proof was seen.
async fn read(visitor: &Visitor, request: Request) -> Result<Typed, Fault> {
    if is_foreign(request.headers()) {
        return Err(Fault::FormExpired);
    }
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mut parts = content_type.and_then(Parts::of).ok_or(Fault::FormExpired)?;
    let (mut typed, mut name) = (Typed::default(), String::new());
    let mut pieces = request.into_body().into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| Problem::malformed("list", error))?;
        for event in parts.take(&piece).map_err(|_| Fault::FormExpired)? {
            match event {
                Event::Begin(begun) => {
                    if begun == "file" {
                        visitor.may_send(Access::Change, typed.text("csrf"))?;
                    }
                    name = begun;
                }
                Event::Data(bytes) => {
                    let most = if name == "file" { limits::ASSET_LIST_BYTES } else { limits::BODY_BYTES };
                    let field = typed.0.entry(name.clone()).or_default();
                    if field.len().saturating_add(bytes.len()) > most {
                        return Err(too_long().into());
                    }
                    field.extend(bytes);
                }
                Event::End => {}
            }
        }
    }
    visitor.may_send(Access::Change, typed.text("csrf"))?;
    if parts.is_whole() { Ok(typed) } else { Err(Fault::FormExpired) }
}

fn too_long() -> Problem {
    let detail = format!("the list is longer than the {} bytes that are read", limits::ASSET_LIST_BYTES);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_long", "Too long", detail)
}
