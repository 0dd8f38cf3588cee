//! Feeds as pages: all with their age, one with what was refused of it, and the form that brings one.
//!
//! Everything is the API's own view. Read next: `operator::feeds`, `ui::feeds`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::feeds::intake::{DatedBy, Kind};
use cordon_server_core::policy::Access;
use futures_util::StreamExt;

use super::super::operator::feeds::{FeedAnswer, FeedView, page as page_of, show as show_of};
use super::fault::Fault;
use super::upload::{Event, Parts};
use super::visitor::{Known, Visitor, is_foreign};
use super::{Desk, Done, Page, count};
use crate::http::problem::Problem;
use crate::knowledge::import::{Brought, FeedError};
use crate::store::blobs::{BlobError, Incoming, Stored};
use crate::ui::device::Fact;
use crate::ui::feeds::{Feed, FeedRow, Feeds, Form, Standing, render, render_form, render_list};
use crate::ui::frame::{Section, Toast};
use crate::ui::words::{actor_words, number};
use crate::ui::{Clock, Said, paths};

/// The list.
pub(super) async fn list(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    let roster = desk.roster();
    let all = page_of(&desk.operator);
    let turned_away = all
        .refused_files
        .iter()
        .map(|one| (Said::from(format!("{}: {}", one.feed, one.why.replace('-', " "))), one.files));
    let of_feeds = all.feeds.iter().flat_map(|feed| {
        feed.refused_files.iter().map(move |(why, files)| {
            (Said::from(format!("{}: {}", feed.name, why.replace('-', " "))), *files)
        })
    });
    let [components, _, devices] = all.holdings;
    let size = match all.took_ms {
        Some(took) => format!(
            "{} statements about packages and {} advisories about devices were held against {} components on {} devices; reading them took {} ms.",
            number(count(all.statements)),
            number(count(all.device_advisories)),
            number(count(components)),
            number(count(devices)),
            number(took)
        ),
        None => String::new(),
    };
    let page = Feeds {
        rows: all.feeds.iter().filter_map(row_of).collect(),
        missing: all.never.iter().filter_map(|word| Kind::of(word)).map(missing_words).collect(),
        turned_away: turned_away.chain(of_feeds).collect(),
        preparing: all.matching == "preparing",
        size,
        may_bring: visitor.caller.role.may(Access::Change),
    };
    Ok(Html(render_list(&desk.frame(&visitor, Section::Vulnerabilities, &roster), &page)))
}

/// One feed.
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    Known(visitor): Known,
    Path(name): Path<String>,
) -> Page {
    let roster = desk.roster();
    let axum::Json(FeedAnswer { feed, silent }) = show_of(State(desk.operator.clone()), Path(name)).await?;
    let missing = || Fault::Missing("feed");
    let row = row_of(&feed).ok_or_else(missing)?;
    let counts = |words: &BTreeMap<String, u64>| {
        words.iter().map(|(why, count)| (Said::from(why.replace('-', " ")), *count)).collect()
    };
    let page = Feed {
        facts: facts(&feed, &row, &Clock::utc(desk.now())),
        refused: counts(&feed.refused),
        mended: counts(&feed.mended),
        first_refused: feed
            .first_refused
            .as_ref()
            .map(|first| (first.file.as_str().into(), Said::sentence(first.why.clone()))),
        length: feed.length,
        silent: silent
            .iter()
            .map(|one| {
                let weakness = one.weakness.as_deref().unwrap_or("a weakness without a name");
                Said::sentence(format!(
                    "{weakness} of {}: {} ({})",
                    one.product,
                    one.status.replace('_', " "),
                    one.why
                ))
            })
            .collect(),
        row,
    };
    Ok(Html(render(&desk.frame(&visitor, Section::Vulnerabilities, &roster), &page)))
}

/// The form for a new one.
pub(super) async fn ask(State(desk): State<Arc<Desk>>, Known(visitor): Known) -> Page {
    Ok(form(&desk, &visitor, Typed::default(), None))
}

/// What was typed into the form.
#[derive(Default)]
struct Typed {
    fields: BTreeMap<String, Vec<u8>>,
    file: Option<Stored>,
}

impl Typed {
    fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::trim)
    }

    fn brought(&self) -> Result<Brought, String> {
        let wrong = "its name is of letters, digits and dashes";
        let name = self.text("name").unwrap_or_default().parse().map_err(|_| wrong.to_owned())?;
        let kind = self.text("kind").and_then(Kind::of).ok_or("say what it holds")?;
        let signature = self.fields.get("signature").filter(|bytes| !bytes.is_empty()).cloned();
        Ok(Brought { name, kind, as_of: None, signature, confirmed: self.text("confirmed") == Some("yes") })
    }
}

/// Takes a file in; the form again with the reason if it is refused.
pub(super) async fn bring(State(desk): State<Arc<Desk>>, Known(visitor): Known, request: Request) -> Done {
    let typed = read(&desk, &visitor, request).await?;
    let taken = match (typed.brought(), typed.file) {
        (Ok(brought), Some(file)) => {
            let by = visitor.caller.at(desk.now());
            desk.operator.app.knowledge.import(&desk.operator.app, brought, file, by).await
        }
        (Ok(_), None) => return Ok(refused(&desk, &visitor, typed, ("choose a file".to_owned(), false))),
        (Err(why), _) => return Ok(refused(&desk, &visitor, typed, (why, false))),
    };
    match taken {
        Ok(feed) => {
            let text = format!("{}: {} records taken in", feed.name, number(feed.records));
            desk.done(&visitor, Toast { text, undo: None }, paths::FEEDS)
        }
        Err(FeedError::NotTaken(why)) => {
            Ok(refused(&desk, &visitor, typed, (why.to_string(), why.can_be_confirmed())))
        }
        Err(error) => Err(Problem::from(error).into()),
    }
}

fn refused(desk: &Desk, visitor: &Visitor, typed: Typed, fault: (String, bool)) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, form(desk, visitor, typed, Some(fault))).into_response()
}

/// A form on its way in.
#[derive(Default)]
struct Coming {
    typed: Typed,
    /// The part that is read now.
    name: String,
    incoming: Option<Incoming>,
}

/// Reads the form.
async fn read(desk: &Desk, visitor: &Visitor, request: Request) -> Result<Typed, Fault> {
    if is_foreign(request.headers()) {
        return Err(Fault::FormExpired);
    }
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mut parts = content_type.and_then(Parts::of).ok_or(Fault::FormExpired)?;
    let mut coming = Coming::default();
    let mut pieces = request.into_body().into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| Problem::malformed("feed", error))?;
        for event in parts.take(&piece).map_err(|_| Fault::FormExpired)? {
            coming.take(desk, visitor, event).await?;
        }
    }
    visitor.may_send(Access::Change, coming.typed.text("csrf"))?;
    if parts.is_whole() { Ok(coming.typed) } else { Err(Fault::FormExpired) }
}

impl Coming {
    async fn take(&mut self, desk: &Desk, visitor: &Visitor, event: Event) -> Result<(), Fault> {
        let is_file = self.name == "file";
        match event {
            Event::Begin(begun) => {
                if begun == "file" {
                    // Nothing of a file is kept before the session's proof was seen.
                    visitor.may_send(Access::Change, self.typed.text("csrf"))?;
                    let empty = desk.operator.app.knowledge.receive(limits::FEED_BYTES).await;
                    self.incoming = Some(empty.map_err(of_disk)?);
                }
                self.name = begun;
            }
            Event::Data(bytes) if is_file => {
                let file = self.incoming.take().ok_or(Fault::FormExpired)?;
                self.incoming = Some(file.write(bytes.into()).await.map_err(of_disk)?);
            }
            Event::Data(bytes) => {
                let field = self.typed.fields.entry(self.name.clone()).or_default();
                if field.len() + bytes.len() > limits::BODY_BYTES {
                    return Err(Fault::FormExpired);
                }
                field.extend(bytes);
            }
            Event::End if is_file => {
                let file = self.incoming.take().ok_or(Fault::FormExpired)?;
                let kept = file.finish(None).await.map_err(of_disk)?;
                self.typed.file = Some(kept).filter(|kept| kept.length > 0);
            }
            Event::End => {}
        }
        Ok(())
    }
}

fn of_disk(error: BlobError) -> Fault {
    Problem::from(FeedError::from(error)).into()
}

fn form(desk: &Desk, visitor: &Visitor, typed: Typed, fault: Option<(String, bool)>) -> Html<String> {
    let shown = ["kind", "name"].into_iter();
    let shown = shown.filter_map(|name| Some((name.to_owned(), typed.text(name)?.to_owned())));
    let (fault, can_confirm) = fault.unwrap_or_default();
    let page = Form {
        typed: shown.collect(),
        kinds: Kind::ALL.map(|kind| (kind.word(), kind_words(kind))).to_vec(),
        fault: Said::sentence(fault),
        can_confirm,
        most: limits::FEED_BYTES,
    };
    Html(render_form(&desk.frame(visitor, Section::Vulnerabilities, &desk.roster()), &page))
}

fn row_of(feed: &FeedView) -> Option<FeedRow> {
    let kind = Kind::of(&feed.kind)?;
    Some(FeedRow {
        name: feed.name.as_str().into(),
        kind: kind_words(kind),
        as_of: Timestamp::parse(&feed.as_of).ok()?,
        dated_by: match feed.dated_by {
            DatedBy::Feed => "by its own word",
            DatedBy::Signer => "by its signer's word",
            DatedBy::Person => "by the word of who brought it",
            DatedBy::Arrival => "nobody says: when it came",
        },
        standing: match feed.age {
            "stale" => Standing::Stale,
            "ahead" => Standing::Ahead,
            "lasting" => Standing::Lasting,
            _ => Standing::Fresh,
        },
        records: feed.records,
        refused: feed.refused.values().sum(),
        signer: feed.signed_by.as_deref().unwrap_or_default().into(),
        received: Timestamp::parse(&feed.received).ok()?,
        by: actor_words(&feed.by).into(),
    })
}

fn facts(feed: &FeedView, row: &FeedRow, clock: &Clock) -> Vec<Fact> {
    let short: String = feed.sha256.chars().take(12).collect();
    let trust = match &feed.signed_by {
        Some(key) => Fact::new("Signed by", key.as_str()),
        None => Fact::new("Signed by", "nobody").note("a plain file"),
    };
    let stale = match row.standing {
        Standing::Lasting => "holds until somebody says otherwise".to_owned(),
        Standing::Fresh | Standing::Stale | Standing::Ahead => format!("too old after {} d", feed.stale_days),
    };
    let mut facts = vec![
        Fact::new("Holds", row.kind),
        Fact::new("Of when", clock.moment_words(row.as_of)).note(format!("{}; {stale}", row.dated_by)),
        trust,
        Fact::new("Brought", clock.moment_words(row.received)).note(format!("by {}", row.by)),
        Fact::new("SHA-256", short),
    ];
    if let Some(why) = &feed.missing {
        facts.push(Fact::new("Its file", "cannot be read here").note(why.as_str()));
    }
    facts
}

fn kind_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Osv => "OSV records about packages",
        Kind::Debian => "Debian's security data",
        Kind::Csaf => "CSAF advisories about devices",
        Kind::Kev => "CISA KEV: what is exploited",
        Kind::Epss => "EPSS: how likely an attack is",
        Kind::Eol => "ends of life",
        Kind::Vex => "VEX: statements of makers",
        Kind::Aliases => "our own names of makers and models",
    }
}

/// A kind that never came, and what is not known without it.
fn missing_words(kind: Kind) -> (&'static str, &'static str) {
    let without = match kind {
        Kind::Osv => {
            "Packages of Alpine, of languages, and of distributions that publish OSV are matched to nothing."
        }
        Kind::Debian => "Debian's packages are matched by OSV records alone, if those are here.",
        Kind::Csaf => {
            "Devices are matched by their packages alone; those without an agent are matched to nothing."
        }
        Kind::Kev => "What is exploited in the wild is not told from the rest.",
        Kind::Epss => "How likely an attack is stays assumed.",
        Kind::Eol => "How long operating systems are repaired is known only where they say so themselves.",
        Kind::Vex => "No maker's word lessens or dismisses anything.",
        Kind::Aliases => "Makers and models are known by the names that advisories use.",
    };
    (kind_words(kind), without)
}
