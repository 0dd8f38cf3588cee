//! `cordonctl version-compare`: which of two versions is newer, by the order that advisories are matched with.
//!
//! For whoever wants to check a match by hand, and for scripts. It asks nobody and believes nothing: `?` where there is no
//! answer, and no guess at the scheme. Read next: `cordon_server_core::matching::version`, where the orders stand.

use std::cmp::Ordering;
use std::io::{BufRead, Read, Write};

use clap::Args;
use cordon_proto::limits;
use cordon_server_core::matching::version::{Scheme, compare, is_valid};
use serde_json::json;

use crate::failure::Failure;
use crate::report::{Report, plain};
use crate::session::Session;

/// Pairs of one list.
const PAIRS: usize = 1_000_000;
/// Bytes of one line of a list: two versions of the longest, in any script, and what parts them.
const LINE_BYTES: usize = 8 * limits::VERSION_CHARS + 2;

/// Tell which of two versions is newer: `<`, `=`, `>`, or `?` where the scheme has no answer.
#[derive(Clone, Debug, Args)]
pub struct VersionCompare {
    /// Whose order applies: deb, rpm, apk, semver or pep440.
    #[arg(long, value_parser = scheme)]
    pub scheme: Scheme,
    /// Read pairs from standard input, a line each, a tab between the two; a sign is printed for each.
    #[arg(long, conflicts_with_all = ["a", "b"])]
    pub stdin: bool,
    /// A version.
    #[arg(value_name = "A", required_unless_present = "stdin", requires = "b")]
    pub a: Option<String>,
    /// The version that it is compared with.
    #[arg(value_name = "B")]
    pub b: Option<String>,
}

impl VersionCompare {
    /// Does it.
    ///
    /// # Errors
    /// The list cannot be read, or is none.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        match (&self.a, &self.b) {
            (Some(a), Some(b)) => Ok(self.pair(a, b, session.shown)),
            (None | Some(_), None | Some(_)) => self.list(&mut std::io::stdin().lock()),
        }
    }

    /// One pair; what is no version of the scheme is told beside the answer.
    fn pair(&self, a: &str, b: &str, shown: &mut dyn Write) -> Report {
        let (scheme, name) = (self.scheme, self.scheme.name());
        for version in [a, b].into_iter().filter(|version| !is_valid(scheme, version)) {
            let version = plain(version);
            let note = format!("note: `{version}` is no valid {name} version: a match with it is unknown\n");
            // The note is for people; the answer does not hang on it.
            let _ = shown.write_all(note.as_bytes());
        }
        let order = sign(compare(scheme, a, b));
        let valid = json!({"a": is_valid(scheme, a), "b": is_valid(scheme, b)});
        Report::new(order, json!({"scheme": name, "a": a, "b": b, "order": order, "valid": valid}))
    }

    fn list(&self, from: &mut dyn BufRead) -> Result<Report, Failure> {
        let refused = |line: usize, why: &str| Failure::refused("list", format!("line {line}: {why}"));
        let (mut text, mut orders) = (String::new(), Vec::new());
        loop {
            let at = orders.len() + 1;
            let mut line = Vec::new();
            let read = from.take(LINE_BYTES as u64 + 1).read_until(b'\n', &mut line);
            read.map_err(|error| refused(at, &format!("standard input cannot be read: {error}")))?;
            if line.is_empty() {
                break;
            }
            if at > PAIRS {
                return Err(refused(at, &format!("a list holds at most {PAIRS} pairs: split it")));
            }
            if line.len() > LINE_BYTES {
                return Err(refused(at, &format!("it is longer than {LINE_BYTES} bytes")));
            }
            let line = str::from_utf8(&line).map_err(|_| refused(at, "it is no UTF-8 text"))?;
            let pair = line.trim_end_matches(['\n', '\r']).split_once('\t');
            let pair = pair.filter(|(_, b)| !b.contains('\t'));
            let (a, b) = pair.ok_or_else(|| refused(at, "write two versions with one tab between them"))?;
            let order = sign(compare(self.scheme, a, b));
            text.push_str(order);
            text.push('\n');
            orders.push(order);
        }
        Ok(Report::new(text, json!({"scheme": self.scheme.name(), "orders": orders})))
    }
}

fn scheme(name: &str) -> Result<Scheme, String> {
    let known = Scheme::ALL.into_iter().filter(|scheme| *scheme != Scheme::None);
    let names: Vec<_> = known.clone().map(Scheme::name).collect();
    let wrong = || format!("write one of {}", names.join(", "));
    known.into_iter().find(|scheme| scheme.name() == name).ok_or_else(wrong)
}

fn sign(order: Option<Ordering>) -> &'static str {
    match order {
        Some(Ordering::Less) => "<",
        Some(Ordering::Equal) => "=",
        Some(Ordering::Greater) => ">",
        None => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &[u8]) -> Result<Report, Failure> {
        let command = VersionCompare { scheme: Scheme::Deb, stdin: true, a: None, b: None };
        command.list(&mut &*text)
    }

    #[test]
    fn a_list_gives_a_sign_a_line_in_its_order() {
        // Goal: scripts can put the signs beside their lines. Method: each sign, other line ends, no end, nothing at all.
        let report = list(b"1:2.0\t9.0\n1.0~rc1\t1.0\r\n1\t1-0\n1-\t1").expect("a list");
        assert_eq!(report.text, ">\n<\n=\n?\n");
        assert_eq!(report.json, json!({"scheme": "deb", "orders": [">", "<", "=", "?"]}));
        assert_eq!(list(b"").expect("no pairs").text, "");
    }

    #[test]
    fn what_is_no_list_is_refused_by_its_line() {
        // Goal: no pair is silently left out or read as another. Method: each wrong line behind a right one.
        let long = [b'1'; LINE_BYTES + 1];
        let refusal = |line: &[u8]| list(&[b"1\t2\n", line].concat()).expect_err("no pair").to_string();
        for wrong in [&b"\n"[..], b"1 2\n", b"1\t2\t3\n"] {
            assert_eq!(refusal(wrong), "line 2: write two versions with one tab between them");
        }
        assert_eq!(refusal(b"\xff\t1\n"), "line 2: it is no UTF-8 text");
        assert_eq!(refusal(&long), format!("line 2: it is longer than {LINE_BYTES} bytes"));
    }
}
