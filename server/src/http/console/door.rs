//! Before and beside the pages: sign-in by a one-time link, sign-out, theme, and the console's files.
//!
//! The link's GET changes nothing, so that a preview that follows it does not use it up; its POST opens the session.
//! A failure never says which part was wrong. Files carry their hash in their address and are kept for ever. Read
//! next: `crate::people` for sessions, `ui::entry` for the page.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use cordon_server_core::policy::SESSION_S;

use super::super::operator::SESSION_COOKIE;
use super::super::problem::Problem;
use super::visitor::{Known, Posted, theme_of};
use super::{Desk, Done};
use crate::ui::assets::{CACHE_FOR_EVER, CACHE_NEVER, asset as file};
use crate::ui::entry::{Door, Entry, render};
use crate::ui::{Theme, paths};

/// The query of the sign-in page after a person has signed out.
const LEFT: &str = "left";
/// The account that a one-time link opens.
const ACCOUNT: &str = "admin";

/// Sends whoever has no session to the sign-in page.
pub(super) fn send_to_sign_in() -> Response {
    see_other(paths::SIGN_IN)
}

/// Goes on with a GET elsewhere.
pub(super) fn see_other(address: &str) -> Response {
    let location = HeaderValue::from_str(address).unwrap_or(HeaderValue::from_static(paths::OVERVIEW));
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}

/// Nobody is signed in, or somebody has just left.
pub(super) async fn closed(State(desk): State<Arc<Desk>>, headers: HeaderMap, uri: Uri) -> Html<String> {
    let door = if uri.query() == Some(LEFT) { Door::Left } else { Door::Closed };
    page(&desk, &headers, door)
}

/// A one-time link. Looking at it uses nothing up, so whether it still works is not known here.
pub(super) async fn link(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Path(secret): Path<String>,
) -> Html<String> {
    // There is no session yet; the proof of this form is the secret in its address.
    page(&desk, &headers, Door::Link { secret, person: ACCOUNT.into(), csrf: String::new() })
}

/// Uses the link up.
pub(super) async fn sign_in(
    State(desk): State<Arc<Desk>>,
    Path(secret): Path<String>,
    request: Request,
) -> Response {
    let headers = request.headers().clone();
    if Posted::read(request).await.is_err() {
        return (StatusCode::FORBIDDEN, page(&desk, &headers, Door::Expired)).into_response();
    }
    match desk.operator.app.open_session(&secret).await {
        Ok(Some(cookie)) => {
            let mut response = see_other(paths::OVERVIEW);
            response.headers_mut().set_cookie(&session(&desk, &cookie, SESSION_S));
            response
        }
        Ok(None) => (StatusCode::FORBIDDEN, page(&desk, &headers, Door::Expired)).into_response(),
        Err(error) => Problem::from(error).into_response(),
    }
}

/// Ends the session.
pub(super) async fn sign_out(State(desk): State<Arc<Desk>>, Known(visitor): Known, request: Request) -> Done {
    visitor.form(request).await?;
    desk.operator.app.sign_out(&visitor.cookie, &visitor.caller).await?;
    let mut response = see_other(&format!("{}?{LEFT}", paths::SIGN_IN));
    response.headers_mut().set_cookie(&session(&desk, "", 0));
    Ok(response)
}

/// Sets the theme and goes back. The script reads the cookie, so it is not hidden from it.
pub(super) async fn theme(Known(visitor): Known, request: Request) -> Done {
    let posted = visitor.form(request).await?;
    let theme = Theme::from_value(posted.get("to").unwrap_or_default());
    let back = posted.get("back").filter(|back| paths::is_local(back)).unwrap_or(paths::OVERVIEW);
    let mut response = see_other(back);
    let cookie = format!("{}={}; Path=/; Max-Age=31536000; SameSite=Lax", Theme::COOKIE, theme.value());
    response.headers_mut().set_cookie(&cookie);
    Ok(response)
}

/// A file of the console.
pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap, uri: Uri) -> Response {
    let Some(file) = file(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let tag = format!("\"{}\"", file.hash);
    // Only the address with the right hash may be kept for ever: the bare one is of whatever is newest.
    let is_exact = uri.query().is_some_and(|query| query == format!("v={}", file.hash));
    let cache = if is_exact { CACHE_FOR_EVER } else { CACHE_NEVER };
    let head = [
        (CONTENT_TYPE, HeaderValue::from_static(file.content_type)),
        (CACHE_CONTROL, HeaderValue::from_static(cache)),
        (ETAG, HeaderValue::from_str(&tag).expect("hexadecimal digits in quotes")),
    ];
    if headers.get(IF_NONE_MATCH).is_some_and(|held| held.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    (head, file.body.as_str()).into_response()
}

fn page(desk: &Desk, headers: &HeaderMap, door: Door) -> Html<String> {
    let owner = desk.operator.app.config.host.as_str().into();
    Html(render(&Entry { owner, theme: theme_of(headers), door }))
}

/// The session's cookie. A plane with TLS sends it over TLS only.
fn session(desk: &Desk, secret: &str, seconds: i64) -> String {
    let secure = if desk.operator.app.config.operator.listen.ip().is_loopback() { "" } else { "; Secure" };
    format!("{SESSION_COOKIE}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// Cookies of our own making.
trait SetCookie {
    fn set_cookie(&mut self, cookie: &str);
}

impl SetCookie for HeaderMap {
    fn set_cookie(&mut self, cookie: &str) {
        let value = HeaderValue::from_str(cookie).expect("base64url and our own words");
        self.append(SET_COOKIE, value);
    }
}
