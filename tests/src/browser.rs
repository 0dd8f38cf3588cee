//! A person's browser at the console: one session, pages, and forms sent as the page wrote them.
//!
//! A form is taken off the page itself, hidden fields and all, so that a test sends what a browser would and nothing
//! that the page did not offer. It knows no script and no other site. Read next: [`crate::hospital`].

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use cordon_server::ui::paths::encode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::hospital::unchunk;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody who is signed in.
#[derive(Debug)]
pub struct Browser {
    address: SocketAddr,
    cookie: String,
}

/// An answer.
#[derive(Debug)]
pub struct Page {
    /// Its status.
    pub status: u16,
    /// Where it sends the browser.
    pub location: Option<String>,
    /// Its text.
    pub text: String,
    cookie: Option<String>,
}

/// A form of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    action: String,
    fields: Vec<(String, String)>,
}

impl Browser {
    /// Follows a one-time link of the operator plane at `address`, and signs in.
    pub async fn sign_in(address: SocketAddr, link: &str) -> anyhow::Result<Self> {
        let mut browser = Self { address, cookie: String::new() };
        let path = link.find("/sign-in").and_then(|at| link.get(at..)).context("no sign-in link")?;
        let form = browser.get(path).await?.form(path)?;
        let entered = browser.send(&form).await?;
        let cookie = entered.cookie.context("the link opened no session")?;
        browser.cookie = cookie;
        Ok(browser)
    }

    /// Looks at a page.
    pub async fn get(&self, path: &str) -> anyhow::Result<Page> {
        self.ask("GET", path, "").await
    }

    /// Sends a form.
    pub async fn send(&self, form: &Form) -> anyhow::Result<Page> {
        let pairs = form.fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        self.ask("POST", &form.action, &pairs.collect::<Vec<_>>().join("&")).await
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Page> {
        let mut stream =
            TcpStream::connect(self.address).await.context("the operator plane does not answer")?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\nSec-Fetch-Site: same-origin\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            self.cookie,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await?;
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.context("no answer in time")??;
        Page::of(&String::from_utf8_lossy(&answer))
    }
}

impl Page {
    fn of(answer: &str) -> anyhow::Result<Self> {
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(':'));
            let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.trim().to_owned())
        };
        let chunked = header("transfer-encoding").is_some_and(|how| how.eq_ignore_ascii_case("chunked"));
        let cookie = header("set-cookie").and_then(|set| set.split(';').next().map(str::to_owned));
        let text = if chunked { unchunk(body) } else { body.to_owned() };
        Ok(Self { status, location: header("location"), text, cookie })
    }

    /// The form on this page that is posted to `action`, with its hidden fields as they stand.
    pub fn form(&self, action: &str) -> anyhow::Result<Form> {
        let mut forms = self.text.split("<form ").skip(1);
        let wanted = format!("action=\"{action}\"");
        let form = forms.find(|form| form.split('>').next().is_some_and(|head| head.contains(&wanted)));
        let form = form.with_context(|| format!("no form for {action} on the page:\n{}", self.text))?;
        let form = form.split("</form>").next().unwrap_or_default();
        ensure!(form.contains("method=\"post\""), "the form for {action} is not posted");
        let value = |input: &str, name: &str| {
            let text = input.split(&format!("{name}=\"")).nth(1)?.split('"').next()?;
            Some(text.to_owned())
        };
        let hidden = form.split("<input ").skip(1).filter(|input| input.starts_with("type=\"hidden\""));
        let fields = hidden.filter_map(|input| Some((value(input, "name")?, value(input, "value")?)));
        Ok(Form { action: action.to_owned(), fields: fields.collect() })
    }
}

impl Form {
    /// The same with a field filled in.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same without a field, as whoever forges a form has it.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self
    }

    /// A field's value.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_what_its_page_offers_and_nothing_else() {
        // Goal: a test cannot send what no browser would. Method: a page with two forms; one that is not there.
        let page = Page::of(
            "HTTP/1.1 200 OK\r\nset-cookie: a=b; Path=/\r\n\r\n<form method=\"post\" action=\"/out\"></form>\
             <form class=\"act\" method=\"post\" action=\"/do\"><input type=\"hidden\" name=\"csrf\" value=\"x:1\">\
             <input name=\"reason\" value=\"no\"></form>",
        );
        let page = page.expect("reads");
        assert_eq!((page.status, page.cookie.as_deref()), (200, Some("a=b")));
        let form = page.form("/do").expect("offered").with("reason", "why & how");
        assert_eq!((form.value("csrf"), form.value("reason")), (Some("x:1"), Some("why & how")));
        assert_eq!(form.without("csrf").fields.len(), 1);
        assert!(page.form("/elsewhere").is_err());
        assert_eq!(encode("why & how:ü"), "why%20%26%20how%3A%C3%BC");
    }
}
