//! `cordonctl receipts`: what devices without a network signed, handed in by whoever carried it here.
//!
//! The server believes a receipt by the device's own certificate, never by who brings it. All files are tried; the ones
//! that are refused are named at the end. Handing in twice changes nothing. Read next: [`crate::api`].

use std::path::PathBuf;

use clap::{Args, Subcommand};
use cordon_proto::limits;
use serde_json::json;

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
        let Self::Import(import) = self;
        let api = Api::new(session.options)?;
        let (mut held, mut text, mut refused) = (Vec::new(), String::new(), Vec::new());
        for file in &import.file {
            let limit = u64::try_from(limits::BODY_BYTES).unwrap_or(u64::MAX);
            match read_file(file, limit).and_then(|bytes| api.post_message(&["receipts"], bytes)) {
                Ok(answer) => {
                    let word = |name: &str| answer.get(name).and_then(|value| value.as_str()).unwrap_or("?");
                    let before = answer.get("before").and_then(serde_json::Value::as_bool) == Some(true);
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
        let detail = format!("{} of {} taken; {}", held.len(), import.file.len(), refused.join("; "));
        Err(Failure::refused("receipt refused", detail))
    }
}
