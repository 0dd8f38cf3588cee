//! Who asks for a page, and what they said: the session, the address, the form.
//!
//! A form is read only with the session's proof in its field `csrf`; without it nothing is looked at. The word after
//! an act waits here for the next page of the same session. Read next: `super::gate`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{Form, FromRequest, FromRequestParts, Query, Request};
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use cordon_server_core::policy::{Access, Role};

use super::super::operator::session_cookie;
use super::Desk;
use super::fault::Fault;
use crate::people::Caller;
use crate::store::StoreError;
use crate::ui::Theme;
use crate::ui::frame::Toast;

/// Sessions for which a word can wait.
const TOASTS: usize = 256;

/// Somebody with a session.
pub(super) struct Visitor {
    /// The person.
    pub(super) caller: Caller,
    /// The session's secret.
    pub(super) cookie: String,
    /// Their theme.
    pub(super) theme: Theme,
    /// The path and query that they asked for.
    pub(super) here: String,
    /// The pairs of the query.
    pub(super) query: Vec<(String, String)>,
}

impl Visitor {
    /// Who sends this, if they have a session.
    pub(super) async fn of(desk: &Desk, headers: &HeaderMap, uri: &Uri) -> Result<Option<Self>, StoreError> {
        let Some(cookie) = session_cookie(headers).map(str::to_owned) else { return Ok(None) };
        let theme = theme_of(headers);
        let here = uri.path_and_query().map_or("/", |address| address.as_str()).to_owned();
        let query = Query::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default();
        let caller = desk.operator.app.caller_by_session(&cookie).await?;
        Ok(caller.map(|caller| Self { caller, cookie, theme, here, query }))
    }

    /// The session's proof, which every form brings back.
    pub(super) fn csrf(&self) -> &str {
        self.caller.csrf.as_deref().unwrap_or_default()
    }

    /// What they may do, in a word.
    pub(super) fn role_word(&self) -> &'static str {
        match self.caller.role {
            Role::Reader => "read only",
            Role::Clinical => "may stop and hold",
            Role::Administrator => "full access",
        }
    }

    /// A value of the query; the empty one is none.
    pub(super) fn asked(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(asked, _)| asked == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Reads a form that changes something, if this person may.
    pub(super) async fn form(&self, request: Request) -> Result<Posted, Fault> {
        self.form_for(Access::Change, request).await
    }

    /// Reads a form that this person may send.
    pub(super) async fn form_for(&self, access: Access, request: Request) -> Result<Posted, Fault> {
        let posted = Posted::read(request).await?;
        self.may_send(access, posted.get("csrf"))?;
        Ok(posted)
    }

    /// Whether this person may send a form with this proof.
    pub(super) fn may_send(&self, access: Access, proof: Option<&str>) -> Result<(), Fault> {
        if self.csrf().is_empty() || proof != Some(self.csrf()) {
            return Err(Fault::FormExpired);
        }
        if self.caller.role.may(access) { Ok(()) } else { Err(Fault::NotAllowed) }
    }
}

/// The visitor of a request that passed the gate.
pub(super) struct Known(pub(super) Arc<Visitor>);

impl<S: Send + Sync> FromRequestParts<S> for Known {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        parts.extensions.get::<Arc<Visitor>>().cloned().map(Self).ok_or(Fault::FormExpired)
    }
}

/// The theme that the reader chose.
pub(super) fn theme_of(headers: &HeaderMap) -> Theme {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs
        .find(|(name, _)| *name == Theme::COOKIE)
        .map_or(Theme::System, |(_, value)| Theme::from_value(value))
}

/// A form.
pub(super) struct Posted(Vec<(String, String)>);

impl Posted {
    /// Reads a form of an ordinary size.
    pub(super) async fn read(request: Request) -> Result<Self, Fault> {
        if is_foreign(request.headers()) {
            return Err(Fault::FormExpired);
        }
        let (parts, body) = request.into_parts();
        let bytes = super::super::body::read(&parts.headers, body, cordon_proto::limits::BODY_BYTES).await?;
        let whole = Request::from_parts(parts, Body::from(bytes));
        let Form(pairs) = Form::from_request(whole, &()).await.map_err(|_| Fault::FormExpired)?;
        Ok(Self(pairs))
    }

    /// A field.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// A field that may be repeated.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// All fields as they came.
    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// The reason, without the blanks round it.
    pub(super) fn reason(&self) -> &str {
        self.get("reason").unwrap_or_default().trim()
    }
}

/// Whether a browser says that another site sent this. Whoever is no browser says nothing and needs the proof.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none")
}

/// Words after acts, by the proof of the session that acted.
#[derive(Default)]
pub(super) struct Toasts(Mutex<BTreeMap<String, Toast>>);

impl Toasts {
    /// Leaves a word for the next page.
    pub(super) fn leave(&self, session: &str, toast: Toast) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= TOASTS {
            waiting.pop_first();
        }
        waiting.insert(session.to_owned(), toast);
    }

    /// Takes the word that waits.
    pub(super) fn take(&self, session: &str) -> Option<Toast> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(session)
    }
}
