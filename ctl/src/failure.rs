//! Why a command did not do what it was asked: refused, wrongly used, or no server.
//!
//! A refusal is an RFC 9457 problem, whether a server sent it or this program refused by itself; it says what to do.
//! Texts of a server are cut and cleaned: they may be an attacker's. Read next: [`crate::report`].

use std::fmt::Display;
use std::path::Path;

use cordon_proto::update::TrustError;
use serde_json::{Value, json};

use crate::report::plain;

/// Characters of a server's sentence that are repeated.
const SENTENCE_CHARS: usize = 2000;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Refused, by the server or by this program.
    #[error("{}", .0["detail"].as_str().unwrap_or_default())]
    Refused(Value),
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The server was not reached.
    #[error("{0}")]
    Unreachable(String),
}

impl Failure {
    /// The exit status of wrong usage.
    pub const USAGE: u8 = 2;

    /// A refusal of this program's own.
    #[must_use]
    pub fn refused(title: &str, detail: impl Display) -> Self {
        Self::Refused(json!({"type": "about:blank", "title": title, "detail": detail.to_string()}))
    }

    /// A refusal of the server: the fields of its problem that we know, or a sentence made from the status.
    #[must_use]
    pub fn from_server(status: u16, body: &[u8]) -> Self {
        let sent: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let text = |name: &str| {
            let text = sent.get(name).and_then(Value::as_str)?;
            Some(plain(&text.chars().take(SENTENCE_CHARS).collect::<String>()))
        };
        Self::Refused(json!({
            "type": text("type").unwrap_or_else(|| "about:blank".to_owned()),
            "title": text("title").unwrap_or_else(|| "the server refused".to_owned()),
            "status": status,
            "detail": text("detail").unwrap_or_else(|| format!("the server answered with status {status}")),
        }))
    }

    /// A file that cannot be read or written.
    #[must_use]
    pub fn file(doing: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::refused("file", format!("cannot {doing} {}: {error}", path.display()))
    }

    /// Whether a server was there but could not answer now: it drains, is behind, or its proxy found none.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Refused(problem) => {
                problem.get("status").and_then(Value::as_u64).is_some_and(|it| it >= 500)
            }
            Self::Usage(_) => false,
            Self::Unreachable(_) => true,
        }
    }

    /// The exit status.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Usage(_) => Self::USAGE,
            Self::Unreachable(_) => 3,
        }
    }

    /// What stands on standard error.
    #[must_use]
    pub fn render(&self) -> String {
        match self {
            Self::Refused(problem) => format!("{problem}\n"),
            Self::Usage(text) => format!("error: {text}\n\nFor more information, try '--help'.\n"),
            Self::Unreachable(text) => format!("error: {text}\n"),
        }
    }
}

impl From<TrustError> for Failure {
    fn from(error: TrustError) -> Self {
        Self::refused("not believed", error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_the_server_is_passed_on_cut_and_cleaned() {
        // Goal: people see the reason, a terminal sees no escapes. Method: a problem, a page of HTML, an escape.
        let body = br#"{"title":"no","detail":"because \u001b[2J","secret":"x"}"#;
        let failure = Failure::from_server(409, body);
        let wanted =
            "{\"detail\":\"because \u{fffd}[2J\",\"status\":409,\"title\":\"no\",\"type\":\"about:blank\"}\n";
        assert_eq!((failure.render().as_str(), failure.status()), (wanted, 1));
        assert_eq!(Failure::from_server(502, b"<html>").to_string(), "the server answered with status 502");
        assert_eq!(Failure::Unreachable(String::new()).status(), 3);
    }
}
