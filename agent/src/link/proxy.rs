//! The HTTP proxy that stands between: where it is, what it is told about us, and what its refusals mean.
//!
//! The connection inside the tunnel is ours alone (TLS, pinned); the proxy sees a host and a port. Name and password
//! come from a file of mode 0600, are read when a client is built, and again after the proxy
//! refused them, and are never kept in a setting, logged or shown.
//! Read next: [`crate::tls`] for the client.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::http::innermost;
use crate::files::{self, FileError};
use crate::tls::TlsError;

/// Bytes of a file with name and password.
const AUTH_BYTES: usize = 1024;
/// How the client's library begins what it says of a tunnel (hyper-util, `Tunnel`); a test holds it to that.
const TUNNEL: &str = "tunnel error: ";

/// An HTTP proxy that is asked to CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    url: String,
    auth_file: Option<PathBuf>,
}

/// Why the proxy cannot be told who we are.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The file cannot be read, or others may read it.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not one line `name:password`.
    #[error("{} must hold one line, the proxy's `name:password`", .0.display())]
    Form(PathBuf),
}

/// What the proxy did instead of a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyFault {
    /// It cannot be reached itself.
    Unreachable(String),
    /// It wants a name and password, or other ones (407).
    Unauthorised,
    /// It answered, and not with a tunnel.
    Refused(String),
}

impl Proxy {
    /// The two settings as one; an error names the setting and what it must be.
    pub(crate) fn parse(
        url: Option<String>,
        auth_file: Option<PathBuf>,
    ) -> Result<Option<Self>, (&'static str, &'static str)> {
        let Some(url) = url else {
            let alone = auth_file.is_some();
            let wrong = ("proxy_auth_file", "needs `proxy = \"http://HOST:PORT\"` beside it");
            return if alone { Err(wrong) } else { Ok(None) };
        };
        if url.contains('@') {
            let wrong = "must not hold a name or password, which everybody who reads this file would learn; write \
                         `name:password` into a file of mode 0600 and name that file in `proxy_auth_file`";
            return Err(("proxy", wrong));
        }
        if !url.starts_with("http://") {
            return Err(("proxy", "must be http://HOST:PORT (the connection inside it stays encrypted)"));
        }
        if !url.is_ascii() {
            return Err(("proxy", "must have an international host name in its xn-- form"));
        }
        Ok(Some(Self { url, auth_file }))
    }

    /// The proxy as the client's library wants it.
    pub(crate) fn for_client(&self) -> Result<reqwest::Proxy, TlsError> {
        let proxy = reqwest::Proxy::https(&self.url)?;
        let Some(path) = &self.auth_file else { return Ok(proxy) };
        let text = files::read_secret_file(path, AUTH_BYTES).map_err(ProxyError::File)?;
        let text = Zeroizing::new(text);
        let line = str::from_utf8(text.trim_ascii_end()).ok().and_then(|line| line.split_once(':'));
        match line {
            Some((name, password)) if !name.is_empty() && !text.trim_ascii_end().contains(&b'\n') => {
                Ok(proxy.basic_auth(name, password))
            }
            Some(_) | None => Err(ProxyError::Form(path.clone()).into()),
        }
    }
}

impl ProxyFault {
    /// What a failed exchange says of the proxy; `None` where the fault is not the proxy's.
    pub(super) fn of(error: &reqwest::Error) -> Option<Self> {
        let mut cause: &dyn Error = error;
        loop {
            if let Some(word) = cause.to_string().strip_prefix(TUNNEL) {
                return Some(match (word, cause.source()) {
                    (_, Some(source)) => Self::Unreachable(innermost(source)),
                    ("proxy authorization required", None) => Self::Unauthorised,
                    (word, None) => Self::Refused(word.to_owned()),
                });
            }
            cause = cause.source()?;
        }
    }
}

impl fmt::Display for ProxyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(cause) => write!(f, "cannot be reached ({cause}); check `proxy` and the network"),
            Self::Unauthorised => f.write_str(
                "asks for a name and password, or refuses the ones it was given (407); put `name:password` into a file of mode 0600 and name it in `proxy_auth_file`",
            ),
            Self::Refused(word) => write!(
                f,
                "opens no tunnel to the server ({word}); ask the network team to let this device through to it"
            ),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
