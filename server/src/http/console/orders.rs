//! The list of orders with the drafts that wait, and one order: what was signed, by whose keys, and what it would do today.
//!
//! Orders are those of the book, which the server read from the owner's newest document. Of a list that was signed only
//! its root is known until a rollout brings the devices; nothing is guessed of it. Read next: `ui::orders`,
//! `super::super::operator::orders` for the preview.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Html;
use cordon_proto::ids::{DeviceId, Name};
use cordon_proto::update::draft::Intent;
use cordon_proto::update::order::Order as Signed;
use cordon_proto::update::release::InterlockClass;
use cordon_proto::update::scope::Scope;
use cordon_server_core::import::KnownRelease;
use cordon_server_core::order_plan::{BackPreview, Fate};
use cordon_server_core::rollout::{Book, fits};

use super::super::operator::drafts::drafts;
use super::super::operator::orders::{PreviewView, preview_of};
use super::super::problem::Problem;
use super::fault::Fault;
use super::standing::release_words;
use super::visitor::Known;
use super::{Desk, Page, count};
use crate::drafts::Told;
use crate::fleet::Member;
use crate::repositories::TakenBack;
use crate::ui::device::Fact;
use crate::ui::frame::Section;
use crate::ui::orders::{
    DraftRow, NAMED, Order, OrderRow, Orders, Preview, Standing, render, render_list, window_words,
};
use crate::ui::words::{number, plural};
use crate::ui::{Clock, Said, paths};

mod withdrawn;

/// The list.
pub(super) async fn list(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let (book, now) = (desk.operator.rollouts.book(), desk.now());
    let signers = Signers::of(&desk).await?;
    let releases = desk.operator.repositories.releases().await?;
    let mut orders: Vec<&Signed> = book.orders.values().collect();
    orders.sort_by_key(|order| (order.expires, order.id.clone()));
    let kept = drafts(&desk.operator).list(now).await.map_err(Problem::from)?;
    let page = Orders {
        rows: orders.iter().map(|order| row_of(&desk, &book, order, (&releases, &signers))).collect(),
        drafts: kept.iter().map(|told| draft_of(told, signers.threshold)).collect(),
        withdrawn: taken_back(&desk).await?.iter().map(|gone| withdrawn::row_of(&book, gone)).collect(),
    };
    Ok(Html(render_list(&desk.frame(&visitor, Section::Orders, &desk.roster()), &page)))
}

/// One order.
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path(id): Path<String>,
) -> Page {
    let id: Name = id.parse().map_err(|_| Fault::Missing("order"))?;
    let book = desk.operator.rollouts.book();
    let releases = desk.operator.repositories.releases().await?;
    let Some(order) = book.orders.get(&id) else {
        let gone = taken_back(&desk).await?.into_iter().find(|gone| gone.order.id == id);
        let page = withdrawn::page(&desk, &book, &gone.ok_or(Fault::Missing("order"))?, &releases);
        return Ok(Html(render(&desk.frame(&visitor, Section::Orders, &desk.roster()), &page)));
    };
    let signers = Signers::of(&desk).await?;
    let known = known_of(order, &releases);
    let page = Order {
        row: row_of(&desk, &book, order, (&releases, &signers)),
        facts: facts(order, known, &Clock::utc(desk.now())),
        windows: order.windows.iter().map(window_words).collect(),
        keys: signers.keys.iter().map(|key| key.as_str().into()).collect(),
        preview: preview(&desk, &book, order).await?,
    };
    Ok(Html(render(&desk.frame(&visitor, Section::Orders, &desk.roster()), &page)))
}

async fn taken_back(desk: &Desk) -> Result<Vec<TakenBack>, Fault> {
    Ok(desk.operator.repositories.taken_back(desk.now()).await.map_err(Problem::from)?)
}

/// Who signed the newest document of orders.
struct Signers {
    version: u64,
    keys: Vec<String>,
    threshold: u64,
}

impl Signers {
    async fn of(desk: &Desk) -> Result<Self, Fault> {
        let found = desk.operator.repositories.order_signers(desk.now()).await;
        let (version, keys, threshold) = found.map_err(Problem::from)?;
        Ok(Self { version, keys, threshold })
    }

    /// "2 keys of at least 2, in document 14".
    fn words(&self) -> String {
        let keys = plural(count(self.keys.len()), "key", "keys");
        format!("{keys} of at least {}, in document {}", self.threshold, self.version)
    }
}

fn known_of<'a>(order: &Signed, releases: &'a [KnownRelease]) -> Option<&'a KnownRelease> {
    let is = |one: &&KnownRelease| one.repository == order.repository && one.release == order.image.release;
    releases.iter().find(is)
}

fn row_of(
    desk: &Desk,
    book: &Book,
    order: &Signed,
    (releases, signers): (&[KnownRelease], &Signers),
) -> OrderRow {
    let carries = book.rollouts.values().filter(|one| one.waves.iter().any(|wave| wave.order == order.id));
    let address = |_: &KnownRelease| paths::release(order.repository.as_str(), order.image.release.as_str());
    OrderRow {
        id: order.id.to_string(),
        name: order.id.as_str().into(),
        release: (order.image.release.as_str().into(), known_of(order, releases).map(address)),
        scope: scope_words(&order.scope).into(),
        standing: Standing::of((order.not_before, order.expires), desk.now()),
        signed: signers.words(),
        rollouts: carries.map(|one| (one.id.to_string(), one.title.as_str().into())).collect(),
        reason: Said::sentence(order.reason.as_str()),
    }
}

/// "412 devices of a signed list", "every VP-3 of hardware C that runs counter 30 to 41".
fn scope_words(scope: &Scope) -> String {
    match scope {
        Scope::Set { count, .. } => format!("{} of a signed list", plural(*count, "device", "devices")),
        Scope::Match { model, hardware, from_least, from_most } => {
            format!("every {model} of hardware {hardware} that runs counter {from_least} to {from_most}")
        }
    }
}

fn draft_of(told: &Told, threshold: u64) -> DraftRow {
    let mut row = DraftRow {
        name: told.draft.name.as_str().into(),
        by: told.draft.by.as_str().into(),
        adds: Vec::new(),
        withdraws: Vec::new(),
        keys: (count(told.signers.len()), threshold),
        until: told.kept.until,
    };
    for intent in &told.draft.intents {
        match intent {
            Intent::Add(order) => row.adds.push(order.id.as_str().into()),
            Intent::Withdraw(name) => row.withdraws.push(name.as_str().into()),
        }
    }
    row
}

fn facts(order: &Signed, known: Option<&KnownRelease>, clock: &Clock) -> Vec<Fact> {
    let interlock = match known.and_then(KnownRelease::stated).map(|release| release.interlock) {
        Some(InterlockClass::Application) => {
            Fact::new("Reboots", "with the word of the device's application")
        }
        Some(other) => Fact::new("Reboots", format!("with the word of: {}", other.word())),
        None => Fact::new("Reboots", "as the release says").note("which has not been taken in here"),
    };
    let permit = match order.permit_s {
        Some(seconds) => {
            Fact::new("Go", format!("each device asks this server; a go is good for {} min", seconds / 60))
        }
        None => Fact::new("Go", "none is needed: devices may install it without a connection"),
    };
    let back = match &order.back {
        Some(back) => Fact::new("Way back", release_words(&back.image.release))
            .note(format!("signed, until {}", clock.day_words(back.until))),
        None => Fact::new("Way back", "none signed"),
    };
    vec![
        Fact::new("In force", format!("from {}", clock.moment_words(order.not_before)))
            .note(format!("until {}", clock.moment_words(order.expires))),
        interlock,
        permit,
        back,
        Fact::new("Image", order.image.sha256.to_string()).note("SHA-256, by the owner's signature"),
    ]
}

/// What it would do today, if its devices are known here.
async fn preview(desk: &Desk, book: &Book, order: &Signed) -> Result<Result<Preview, Said>, Fault> {
    let members = meant(desk, book, order);
    if members.is_empty() {
        let why = match order.scope {
            Scope::Set { .. } => {
                "Unknown: the order holds only the root of its list. The devices are known here once a rollout brings the list; at the workstation they are in the list itself."
            }
            Scope::Match { .. } => "No enrolled device fits these facts today.",
        };
        return Ok(Err(why.into()));
    }
    match preview_of(&desk.operator, order, members).await {
        Ok(view) => Ok(Ok(preview_words(&view))),
        Err(problem) if problem.status().is_server_error() => Err(Fault::Refused(problem)),
        Err(problem) => Ok(Err(Said::sentence(format!("Unknown: {}", problem.detail())))),
    }
}

/// The devices that the order means, as far as they are known here.
fn meant(desk: &Desk, book: &Book, order: &Signed) -> Vec<Arc<Member>> {
    let fleet = &desk.operator.app.fleet;
    if let Scope::Match { .. } = order.scope {
        return fleet.all().iter().filter(|member| fits(order, &member.current())).cloned().collect();
    }
    let waves = book.rollouts.values().flat_map(|rollout| &rollout.waves);
    let devices: BTreeSet<DeviceId> =
        waves.filter(|wave| wave.order == order.id).flat_map(|wave| wave.devices.iter().copied()).collect();
    devices.into_iter().filter_map(|device| fleet.get(device)).collect()
}

fn preview_words(view: &PreviewView) -> Preview {
    let fate = |fate: &Fate| view.fates.get(fate.word()).copied().unwrap_or_default();
    let of = |fates: &[(Fate, &str)]| {
        let some = fates.iter().map(|(one, words)| (fate(one), words)).filter(|(devices, _)| *devices > 0);
        some.map(|(devices, words)| format!("{} {words}", number(devices.into())))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let total = plural(view.total.into(), "device", "devices");
    let [_, week, month, longer] = view.unreached_days;
    let mut lines = vec![
        (
            "Devices",
            format!("{total}: {}", of(&[(Fate::Fits, "would install it"), (Fate::Already, "run it")])),
        ),
        ("Left out", of(&LEFT_OUT)),
        ("Unknown", format!("{} never said what they run", number(fate(&Fate::Unknown).into()))),
        (
            "In use",
            format!(
                "{} in use now, of {} nobody says so; a device in use does not reboot",
                number(view.in_use_now.into()),
                number(view.unknown_use.into())
            ),
        ),
        (
            "Not heard",
            format!(
                "{week} for more than a day, {month} for more than a week, {longer} for more than a month or never"
            ),
        ),
        (
            "Risk",
            format!(
                "{} points before, {} after, summed over those that would install it",
                number(view.risk_before_hundredths / 100),
                number(view.risk_after_hundredths / 100)
            ),
        ),
        ("Vulnerabilities", format!("{}. {}", view.vulnerabilities.words, view.vulnerabilities.by_words)),
    ];
    lines.extend(view.back.as_ref().map(|back| ("Way back", back_words(back))));
    lines.retain(|(_, words)| !words.is_empty());
    let silent: Vec<_> =
        view.devices.iter().filter(|device| device.fate == Fate::NoApplication.word()).collect();
    let named = silent
        .iter()
        .take(NAMED)
        .map(|device| (device.id.to_string(), device.serial.as_str().into(), device.place.as_str().into()));
    Preview {
        lines: lines.into_iter().map(|(label, words)| (label.to_owned(), words.into())).collect(),
        no_application: (named.collect(), count(silent.len())),
    }
}

/// Why devices would not install it.
const LEFT_OUT: [(Fate, &str); 6] = [
    (Fate::Newer, "run a newer release"),
    (Fate::OtherHardware, "have other hardware"),
    (Fate::BelowFloor, "accept nothing so old"),
    (Fate::NeedsStep(Vec::new()), "need another release first"),
    (Fate::NoWay, "are too old and have no way up"),
    (Fate::NoApplication, "have no application that says whether they are in use"),
];

fn back_words(back: &BackPreview) -> String {
    match back {
        BackPreview::Open => "open to every device that confirms".to_owned(),
        BackPreview::BelowFloor { floor, counter } => {
            format!(
                "closed by the release itself: it accepts nothing below {floor}, the way back is {counter}"
            )
        }
        BackPreview::NotOlder => "no way back: that release is not older".to_owned(),
        BackPreview::NotListed => "closed: its maker lists that release no more".to_owned(),
        BackPreview::OtherModel => "closed: that release is for another model".to_owned(),
    }
}
