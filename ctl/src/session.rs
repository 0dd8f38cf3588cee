//! What a command is given: the time, the common options, and a place to show what is about to be signed.
//!
//! Time is read once per command, so that everything one command signs or judges has one `now`. Nothing is signed
//! before [`Session::about_to_sign`] has shown it. Read next: [`crate::cli`].

use std::io::{BufRead, IsTerminal, Write};

use cordon_proto::time::Timestamp;
use cordon_proto::update::{Freshness, Rules, Sizes};

use crate::cli::Options;
use crate::failure::Failure;
use crate::verifier::RingVerifier;

/// One run of one command.
pub struct Session<'a> {
    /// When the command was given.
    pub now: Timestamp,
    /// The common options.
    pub options: &'a Options,
    /// Where people read what is about to be signed: standard error.
    pub shown: &'a mut dyn Write,
}

impl Session<'_> {
    /// How repositories are judged: as a device would, at this command's time.
    #[must_use]
    pub fn rules(&self) -> Rules<'static> {
        Rules { verifier: &RingVerifier, now: self.now, sizes: Sizes::DEVICE, freshness: Freshness::Own }
    }

    /// Shows what is about to be signed; on a terminal a person must agree, unless `--yes` was given.
    ///
    /// # Errors
    /// The person did not agree, or nothing could be shown.
    pub fn about_to_sign(&mut self, text: &str) -> Result<(), Failure> {
        self.ask(&format!("About to sign:\n{text}"), "Sign this?", "not signed")
    }

    /// Shows what is about to happen; on a terminal a person must agree, unless `--yes` was given.
    ///
    /// # Errors
    /// The person did not agree, or nothing could be shown.
    pub fn agree(&mut self, text: &str, question: &str) -> Result<(), Failure> {
        self.ask(text, question, "not done")
    }

    fn ask(&mut self, text: &str, question: &str, refusal: &str) -> Result<(), Failure> {
        let unseen =
            |_| Failure::refused("not shown", "what is about to happen could not be written to the screen");
        write!(self.shown, "{text}").map_err(unseen)?;
        if self.options.yes || !std::io::stdin().is_terminal() {
            return Ok(());
        }
        write!(self.shown, "{question} [y/N] ").and_then(|()| self.shown.flush()).map_err(unseen)?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).map_err(unseen)?;
        match answer.trim() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::refused(refusal, "you did not agree; nothing was written")),
        }
    }
}
