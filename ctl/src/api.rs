//! The operator plane of a server, one request at a time, with the token of a file.
//!
//! A server that does not answer and a server that refuses are different outcomes. Answers are bounded. The token is
//! sent to the given server only, and over plain HTTP to loopback only. Must not be used inside an asynchronous
//! runtime: it brings its own. Read next: [`crate::failure`].

use std::cell::Cell;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE};
use reqwest::{Method, RequestBuilder, Url};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::arguments::read_file;
use crate::cli::Options;
use crate::clock;
use crate::failure::Failure;
use crate::key::only_owner;
use crate::tls;

/// Bytes of any answer.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of a token file.
const TOKEN_BYTES: u64 = 1024;
/// Seconds for a whole ordinary exchange.
const EXCHANGE_S: u64 = 60;
/// The same of a list of a whole hospital, which is committed before the answer comes.
const TABLE_S: u64 = 600;
/// Seconds in which a whole file must be sent and judged.
const UPLOAD_S: u64 = 15 * 60;
/// Bytes read of an upload at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// A server to speak to.
pub struct Api {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    base: Url,
    token: Zeroizing<String>,
    date: Cell<Option<Timestamp>>,
}

/// Where a list is, how its rows are named, and what asks for the next page.
pub struct Pages<'a> {
    /// The address.
    pub path: &'a [&'a str],
    /// The field with the rows.
    pub rows: &'a str,
    /// The parameter that takes `next`.
    pub cursor: &'a str,
}

/// What to send.
enum Payload<'a> {
    Nothing,
    Json(&'a Value),
    Message(Vec<u8>),
    Bytes(Vec<u8>),
    Table(Vec<u8>),
    Whole { header: Option<(&'static str, String)>, bytes: Vec<u8> },
    File(&'a Path),
}

impl Api {
    /// Takes server, authority and token from the common options.
    ///
    /// # Errors
    /// One is missing or unusable.
    pub fn new(options: &Options) -> Result<Self, Failure> {
        let base = base(options)?;
        let missing = || Failure::Usage("this command asks a server: give --token-file".to_owned());
        let path = options.token_file.as_deref().ok_or_else(missing)?;
        let bytes = Zeroizing::new(read_file(path, TOKEN_BYTES)?);
        only_owner(path)?;
        let token = std::str::from_utf8(&bytes).unwrap_or_default().trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::refused("unusable token", format!("{} holds no API token", path.display())));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::refused("no runtime", error))?;
        let client = tls::client(options.ca.as_deref())?;
        Ok(Self { runtime, client, base, token: Zeroizing::new(token.to_owned()), date: Cell::default() })
    }

    /// Reads.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub fn get(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, Failure> {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.exchange(Method::GET, url, Payload::Nothing)
    }

    /// Refuses to go on if this machine's clock is far from that of the server's last answer.
    ///
    /// # Errors
    /// It is. A server that tells no time proves nothing.
    pub fn same_time(&self, now: Timestamp) -> Result<(), Failure> {
        self.date.get().map_or(Ok(()), |server| clock::near(now, server))
    }

    /// Reads bytes as they are; nothing if the server has none.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub fn bytes(&self, path: &[&str], query: &[(&str, u64)]) -> Result<Option<Vec<u8>>, Failure> {
        let mut url = self.url(path);
        for (name, value) in query {
            url.query_pairs_mut().append_pair(name, &value.to_string());
        }
        self.received(url)
    }

    /// Reads lines as they are.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub fn lines(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Vec<u8>, Failure> {
        let mut url = self.url(path);
        // Touched at all, it would leave a `?` behind.
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        match self.send(Method::GET, url, Payload::Nothing)? {
            (200..300, body) => Ok(body),
            (status, body) => Err(Failure::from_server(status, &body)),
        }
    }

    /// Reads a file as it is; nothing if the server has none of that name.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub fn file(&self, path: &[&str]) -> Result<Option<Vec<u8>>, Failure> {
        self.received(self.url(path))
    }

    fn received(&self, url: Url) -> Result<Option<Vec<u8>>, Failure> {
        match self.send(Method::GET, url, Payload::Nothing)? {
            (404, _) => Ok(None),
            (200..300, body) => Ok(Some(body)),
            (status, body) => Err(Failure::from_server(status, &body)),
        }
    }

    /// Reads a list, page by page, up to `most` rows.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub fn list(
        &self,
        pages: &Pages<'_>,
        query: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<Value>, Failure> {
        let (mut rows, mut query) = (Vec::new(), query.to_vec());
        let given = query.len();
        loop {
            let page = self.get(pages.path, &query)?;
            let found = page.get(pages.rows).and_then(Value::as_array);
            let odd = || {
                Failure::refused("unexpected answer", "the server sent no list; is it of another version?")
            };
            rows.extend(found.ok_or_else(odd)?.iter().cloned());
            let next = match page.get("next") {
                Some(Value::String(next)) if rows.len() < most => next.clone(),
                Some(Value::Number(next)) if rows.len() < most => next.to_string(),
                Some(_) | None => {
                    rows.truncate(most);
                    return Ok(rows);
                }
            };
            query.truncate(given);
            query.push((pages.cursor, next));
        }
    }

    /// Asks for an act.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub fn post(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        self.exchange(Method::POST, self.url(path), Payload::Json(body))
    }

    /// Asks for an act whose answer is a file.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub fn post_for_lines(&self, path: &[&str], body: &Value) -> Result<Vec<u8>, Failure> {
        match self.send(Method::POST, self.url(path), Payload::Json(body))? {
            (200..300, body) => Ok(body),
            (status, body) => Err(Failure::from_server(status, &body)),
        }
    }

    /// Ends something, with its reason.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub fn delete(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        self.exchange(Method::DELETE, self.url(path), Payload::Json(body))
    }

    /// Hands in one signed message as it is.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub fn post_message(&self, path: &[&str], bytes: Vec<u8>) -> Result<Value, Failure> {
        self.exchange(Method::POST, self.url(path), Payload::Message(bytes))
    }

    /// Hands in a table as a spreadsheet wrote it.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub fn post_table(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        bytes: Vec<u8>,
    ) -> Result<Value, Failure> {
        let mut url = self.url(path);
        url.query_pairs_mut().extend_pairs(query);
        self.exchange(Method::POST, url, Payload::Table(bytes))
    }

    /// Uploads bytes as they are.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub fn put(&self, path: &[&str], bytes: Vec<u8>) -> Result<Value, Failure> {
        self.exchange(Method::PUT, self.url(path), Payload::Bytes(bytes))
    }

    /// Writes the next state of something, over the one that `query` names.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub fn put_json(&self, path: &[&str], query: &[(&str, String)], body: &Value) -> Result<Value, Failure> {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.exchange(Method::PUT, url, Payload::Json(body))
    }

    /// Uploads a file of any size.
    ///
    /// # Errors
    /// Refused, the file cannot be read, or the server was not reached.
    pub fn put_file(&self, path: &[&str], file: &Path) -> Result<Value, Failure> {
        self.exchange(Method::PUT, self.url(path), Payload::File(file))
    }

    /// Uploads a whole file that is in memory, with what is said of it; the server reads it before it answers.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub fn put_whole(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        header: Option<(&'static str, String)>,
        bytes: Vec<u8>,
    ) -> Result<Value, Failure> {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.exchange(Method::PUT, url, Payload::Whole { header, bytes })
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        url
    }

    fn exchange(&self, method: Method, url: Url, payload: Payload<'_>) -> Result<Value, Failure> {
        match self.send(method, url, payload)? {
            (200..300, body) => Ok(serde_json::from_slice(&body).unwrap_or(Value::Null)),
            (status, body) => Err(Failure::from_server(status, &body)),
        }
    }

    fn send(&self, method: Method, url: Url, payload: Payload<'_>) -> Result<(u16, Vec<u8>), Failure> {
        let builder = self.client.request(method, url.clone()).bearer_auth(self.token.as_str());
        let request = with(builder, payload)?;
        let unreached = |error: reqwest::Error| {
            let advice = "is the server running, and is --ca its authority?";
            Failure::Unreachable(format!("{url}: {}; {advice}", causes(&error)))
        };
        self.runtime.block_on(async {
            let mut response = request.send().await.map_err(unreached)?;
            let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
            self.date.set(date.and_then(clock::http_date));
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(unreached)? {
                if body.len() + chunk.len() > ANSWER_BYTES {
                    let detail = format!("{url} sends more than {ANSWER_BYTES} bytes");
                    return Err(Failure::refused("endless answer", detail));
                }
                body.extend_from_slice(&chunk);
            }
            Ok((response.status().as_u16(), body))
        })
    }
}

fn with(builder: RequestBuilder, payload: Payload<'_>) -> Result<RequestBuilder, Failure> {
    let exchange = Duration::from_secs(EXCHANGE_S);
    Ok(match payload {
        Payload::Nothing => builder.timeout(exchange),
        Payload::Json(body) => {
            builder.timeout(exchange).header(CONTENT_TYPE, "application/json").body(body.to_string())
        }
        Payload::Bytes(bytes) => {
            builder.timeout(exchange).header(CONTENT_TYPE, "application/json").body(bytes)
        }
        Payload::Whole { header, bytes } => {
            let builder = builder.timeout(Duration::from_secs(UPLOAD_S));
            let builder = builder.header(CONTENT_TYPE, "application/octet-stream").body(bytes);
            header.into_iter().fold(builder, |builder, (name, value)| builder.header(name, value))
        }
        Payload::Message(bytes) => {
            builder.timeout(exchange).header(CONTENT_TYPE, "application/cbor").body(bytes)
        }
        Payload::Table(bytes) => {
            builder.timeout(Duration::from_secs(TABLE_S)).header(CONTENT_TYPE, "text/csv").body(bytes)
        }
        Payload::File(path) => {
            let wrong = |error: std::io::Error| Failure::file("read", path, &error);
            let file = std::fs::File::open(path).map_err(wrong)?;
            let length = file.metadata().map_err(wrong)?.len();
            if length > limits::IMAGE_BYTES {
                let detail = format!(
                    "{} has {length} bytes, an image at most {}",
                    path.display(),
                    limits::IMAGE_BYTES
                );
                return Err(Failure::refused("too large", detail));
            }
            let body = reqwest::Body::wrap_stream(chunks(file));
            let head = builder.header(CONTENT_TYPE, "application/octet-stream");
            head.header(CONTENT_LENGTH, length).body(body)
        }
    })
}

/// A file in pieces; reading blocks, which hurts nobody in a program that does one thing.
fn chunks(
    file: std::fs::File,
) -> impl futures_util::Stream<Item = std::io::Result<Vec<u8>>> + Send + 'static {
    use std::io::Read;
    futures_util::stream::unfold(Some(file), |file| async move {
        let mut file = file?;
        let mut buffer = vec![0; CHUNK_BYTES];
        match file.read(&mut buffer) {
            Ok(0) => None,
            Ok(read) => {
                buffer.truncate(read);
                Some((Ok(buffer), Some(file)))
            }
            Err(error) => Some((Err(error), None)),
        }
    })
}

fn base(options: &Options) -> Result<Url, Failure> {
    let missing = || Failure::Usage("this command asks a server: give --server".to_owned());
    let text = options.server.as_deref().ok_or_else(missing)?;
    address(text, ("--server", "--ca"), options.ca.is_some())
}

/// An address to speak to: https with an authority of its own, or plain http on this very machine. The flags are those
/// by which people give the two.
pub(crate) fn address(text: &str, (flag, ca): (&str, &str), has_ca: bool) -> Result<Url, Failure> {
    let url = Url::parse(text).map_err(|error| Failure::Usage(format!("{flag} `{text}`: {error}")))?;
    match url.scheme() {
        "https" if has_ca => Ok(url),
        "https" => Err(Failure::Usage(format!("an https server needs {ca}: no other authority is believed"))),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(Failure::Usage(format!("{flag} `{text}`: use https; plain http is for loopback only"))),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An error with all its causes: the outermost sentence alone says nothing.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
