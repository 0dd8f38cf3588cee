//! `cordonctl receipts`: what devices without a network signed, handed in by whoever carried it here, and all receipts for
//! an order fetched to be counted without the server.
//!
//! The server believes a receipt by the device's own certificate, never by who brings it. All files are tried; the ones
//! that are refused are named at the end. Handing in twice changes nothing. Nothing that is fetched is believed here:
//! `order verify` does that. Read next: [`crate::order::receipts`].

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use cordon_proto::ids::Name;
use cordon_proto::limits;
use serde_json::{Value, json};

use crate::api::Api;
use crate::arguments::read_file;
use crate::failure::Failure;
use crate::report::Report;
use crate::session::Session;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Hand in receipts that `cordon-agent install-bundle` copied onto a stick.
    Import(Import),
    /// Fetch all receipts for an order into a file for `order verify --receipts`.
    Export(Export),
}

/// Fetch receipts.
#[derive(Clone, Debug, Args)]
pub struct Export {
    /// The order.
    #[arg(long, value_name = "NAME")]
    pub order: Name,
    /// Where to write them.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Hand in receipts.
#[derive(Clone, Debug, Args)]
pub struct Import {
    /// The files.
    #[arg(value_name = "FILE", required = true)]
    pub file: Vec<PathBuf>,
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// The server refuses one, or was not reached.
    pub fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let api = Api::new(session.options)?;
        match self {
            Self::Import(import) => import.hand_in(&api),
            Self::Export(export) => export.fetch(&api),
        }
    }
}

impl Import {
    fn hand_in(&self, api: &Api) -> Result<Report, Failure> {
        let (mut held, mut text, mut refused) = (Vec::new(), String::new(), Vec::new());
        for file in &self.file {
            let limit = u64::try_from(limits::BODY_BYTES).unwrap_or(u64::MAX);
            match read_file(file, limit).and_then(|bytes| api.post_message(&["receipts"], bytes)) {
                Ok(answer) => {
                    let word = |name: &str| answer.get(name).and_then(|value| value.as_str()).unwrap_or("?");
                    let before = answer.get("before").and_then(Value::as_bool) == Some(true);
                    let known = if before { ", known before" } else { "" };
                    text +=
                        &format!("{}: order {} {}{known}\n", word("device"), word("order"), word("outcome"));
                    held.push(answer);
                }
                Err(error @ Failure::Unreachable(_)) => return Err(error),
                Err(error) => refused.push(format!("{}: {}", file.display(), error.render().trim())),
            }
        }
        if refused.is_empty() {
            return Ok(Report::new(text.trim_end().to_owned(), json!({"receipts": held})));
        }
        let detail = format!("{} of {} taken; {}", held.len(), self.file.len(), refused.join("; "));
        Err(Failure::refused("receipt refused", detail))
    }
}

impl Export {
    fn fetch(&self, api: &Api) -> Result<Report, Failure> {
        let wrong = |error: std::io::Error| Failure::file("write", &self.out, &error);
        let partial = self.out.with_extension("partial");
        let mut file = BufWriter::new(File::create(&partial).map_err(wrong)?);
        let (mut after, mut count) = (String::new(), 0_usize);
        loop {
            let mut query = vec![("order", self.order.as_str())];
            if !after.is_empty() {
                query.push(("after", &after));
            }
            let page = api.lines(&["receipts"], &query)?;
            let Some(last) = last_line(&page) else { break };
            let next = place_of(last)?;
            if next <= after {
                let detail = "the server sends the same receipts again; is it of another version?";
                return Err(Failure::refused("unexpected answer", detail));
            }
            file.write_all(&page).map_err(wrong)?;
            count += page.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
            after = next;
        }
        let file = file.into_inner().map_err(|error| wrong(error.into_error()))?;
        file.sync_all().and_then(|()| std::fs::rename(&partial, &self.out)).map_err(wrong)?;
        Ok(Report::new(
            told(&self.order, &self.out, count),
            json!({"order": self.order.as_str(), "receipts": count}),
        ))
    }
}

fn told(order: &Name, out: &Path, count: usize) -> String {
    let check = "count them on any machine: cordonctl order verify --receipts";
    format!(
        "wrote {} with {count} receipts for {order}\n{check} {} --ca FILE …",
        out.display(),
        out.display()
    )
}

fn last_line(page: &[u8]) -> Option<&[u8]> {
    page.rsplit(|byte| *byte == b'\n').find(|line| !line.is_empty())
}

/// What asks for the receipts behind this one. Devices' names sort as their bytes do, so it only grows.
fn place_of(line: &[u8]) -> Result<String, Failure> {
    let line: Option<Value> = serde_json::from_slice(line).ok();
    let after = line.as_ref().and_then(|line| line.get("after")?.as_str());
    let odd =
        || Failure::refused("unexpected answer", "the server sent no receipts; is it of another version?");
    after.map(ToOwned::to_owned).ok_or_else(odd)
}
