//! One token and one join file for each device of a list.
//!
//! The secrets are drawn here, all from one key that lies in the folder (`list.key`) before anything is asked; the
//! server gets their hashes only. A row has the same secret each time, so the same command again, after any failure,
//! makes nothing twice: the server answers that the token is there. Where it ran out or was taken back, the row's next
//! secret is used. Read next: [`super::roster`] for the list.

use std::fs;
use std::path::Path;
use std::time::Duration;

use cordon_proto::enrol::{base64url, from_base64url};
use cordon_proto::ids::{Sha256, TokenId};
use indicatif::{ProgressBar, ProgressStyle};
use ring::hmac;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::roster::{Row, read};
use super::{Create, Way, odd, same_authority, text};
use crate::api::Api;
use crate::arguments::read_file;
use crate::failure::Failure;
use crate::folder::{write_new_secret, write_secret};
use crate::key::only_owner;
use crate::report::Report;
use crate::session::Session;

/// Rows that are asked for at once.
const BATCH: usize = 250;
/// Secrets that one row may go through, each after the one before ran out.
const SECRETS: u32 = 64;
/// The file with the key of the secrets.
const KEY_FILE: &str = "list.key";
/// The file that says what became of each row.
const SUMMARY_FILE: &str = "summary.csv";

/// One run over one list.
pub(super) struct Intake<'a> {
    /// What the command line says.
    pub(super) create: &'a Create,
    /// The list.
    pub(super) from: &'a Path,
    /// The folder.
    pub(super) out: &'a Path,
    /// The hash of the person's own director root.
    pub(super) director_root: Sha256,
}

/// What became of one row.
struct Told {
    outcome: &'static str,
    id: TokenId,
    expires: String,
    file: Option<String>,
}

impl Intake<'_> {
    /// Does it.
    ///
    /// # Errors
    /// The list is bad, the folder cannot be used, or the server refused or was not reached.
    pub(super) fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let rows = read(self.from, self.create.model.as_deref())?;
        let api = Api::new(session.options)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.list_key()?[..]);
        let progress = progress(rows.len());
        let mut told = Vec::with_capacity(rows.len());
        for batch in rows.chunks(BATCH) {
            told.extend(self.batch(session, (&api, &key), batch)?);
            progress.inc(u64::try_from(batch.len()).unwrap_or(0));
        }
        progress.finish_and_clear();
        let summary = summary(&rows, &told)?;
        write_secret(&self.out.join(SUMMARY_FILE), &summary)?;
        Ok(self.report(&rows, &told))
    }

    /// The key of this folder's secrets, drawn once.
    fn list_key(&self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let path = self.out.join(KEY_FILE);
        let wrong = |error: std::io::Error| Failure::file("make", self.out, &error);
        if path.exists() {
            only_owner(&path)?;
            let text = Zeroizing::new(read_file(&path, 1024)?);
            let key = std::str::from_utf8(&text).ok().and_then(|text| from_base64url(text.trim()));
            return key.filter(|key| key.len() == 32).map(Zeroizing::new).ok_or_else(|| {
                let detail = format!("{} is damaged: choose another folder", path.display());
                Failure::refused("damaged key", detail)
            });
        }
        fs::create_dir_all(self.out).map_err(wrong)?;
        if fs::read_dir(self.out).map_err(wrong)?.next().is_some() {
            let detail = format!(
                "{} is not empty and was not made by this command: choose a new folder",
                self.out.display()
            );
            return Err(Failure::refused("folder in use", detail));
        }
        let mut key = Zeroizing::new(vec![0; 32]);
        getrandom::fill(&mut key).map_err(|error| Failure::refused("no randomness", error))?;
        write_new_secret(&path, format!("{}\n", base64url(&key)).as_bytes())?;
        Ok(key)
    }

    fn batch(
        &self,
        session: &Session<'_>,
        (api, key): (&Api, &hmac::Key),
        rows: &[Row],
    ) -> Result<Vec<Told>, Failure> {
        let mut told: Vec<Option<Told>> = rows.iter().map(|_| None).collect();
        for generation in 0..SECRETS {
            let left: Vec<(usize, &Row)> =
                rows.iter().enumerate().filter(|(place, _)| matches!(told.get(*place), Some(None))).collect();
            if left.is_empty() {
                break;
            }
            let secrets: Vec<Zeroizing<String>> =
                left.iter().map(|(_, row)| self.secret(key, row, generation)).collect();
            let asks = left.iter().zip(&secrets).map(|((_, row), secret)| self.ask(row, secret));
            let answer = api.post(&["tokens", "list"], &json!({"tokens": asks.collect::<Vec<_>>()}))?;
            let way = Way::of(&answer)?;
            if let Some(ca) = &session.options.ca {
                same_authority(ca, &way.ca_pin)?;
            }
            let answers = answer.get("rows").and_then(Value::as_array).ok_or_else(odd)?;
            if answers.len() != left.len() {
                return Err(odd());
            }
            for (((place, row), secret), answer) in left.into_iter().zip(&secrets).zip(answers) {
                if let Some(slot) = told.get_mut(place) {
                    *slot = self.settle(&way, row, secret, answer)?;
                }
            }
        }
        let stuck = || Failure::refused("spent rows", "some rows have lapsed too often: use a new folder");
        told.into_iter().map(|told| told.ok_or_else(stuck)).collect()
    }

    /// A row's secret: 256 bits that only the holder of the folder's key can tell, and the same at every run.
    fn secret(&self, key: &hmac::Key, row: &Row, generation: u32) -> Zeroizing<String> {
        let mut context = hmac::Context::with_key(key);
        context.update(b"cordon token of a list v1\0");
        context.update(self.director_root.as_bytes());
        context.update(&generation.to_be_bytes());
        // No text has a control character, so a zero byte parts the two.
        context.update(row.model.as_str().as_bytes());
        context.update(&[0]);
        context.update(row.serial.as_str().as_bytes());
        Zeroizing::new(base64url(context.sign().as_ref()))
    }

    /// What is asked for a row: what the command line says of all, then what the row says.
    fn ask(&self, row: &Row, secret: &str) -> Value {
        let mut ask = self.create.body();
        if let Value::Object(fields) = &mut ask {
            fields.extend(row.body().into_iter().map(|(name, value)| (name.to_owned(), value)));
            fields.insert("id".to_owned(), json!(TokenId::of(secret).to_string()));
        }
        ask
    }

    /// What an answer means for a row; none if its next secret is to be tried.
    fn settle(&self, way: &Way, row: &Row, secret: &str, answer: &Value) -> Result<Option<Told>, Failure> {
        let id = TokenId::of(secret);
        if text(answer, "id")? != id.to_string() {
            return Err(odd());
        }
        let expires = answer.get("expires").and_then(Value::as_str).unwrap_or_default().to_owned();
        let (outcome, wants_file) = match text(answer, "outcome")? {
            "made" => ("made", true),
            "kept" => ("kept", true),
            // Its device has come; the file is worth nothing any more.
            "used" => ("used", false),
            "lapsed" => return Ok(None),
            _ => {
                let why = answer.get("detail").and_then(Value::as_str).unwrap_or("the server refuses it");
                let detail = format!("line {}: serial {}: {why}", row.line, row.serial);
                return Err(Failure::refused("refused row", crate::report::plain(&detail)));
            }
        };
        let file = wants_file.then(|| row.file());
        if let Some(file) = &file {
            let line = Zeroizing::new(format!("{}\n", way.enrolment(self.director_root, secret)?));
            write_secret(&self.out.join(file), line.as_bytes())?;
        }
        Ok(Some(Told { outcome, id, expires, file }))
    }

    fn report(&self, rows: &[Row], told: &[Told]) -> Report {
        let count = |outcome| told.iter().filter(|told| told.outcome == outcome).count();
        let (made, kept, used) = (count("made"), count("kept"), count("used"));
        let out = self.out.display();
        let text = format!(
            "{} rows: {made} tokens made, {kept} kept, {used} used already\n\
             {out} holds one join file for each device and {SUMMARY_FILE}: remove it when the devices have them\n",
            rows.len()
        );
        let json = json!({"rows": rows.len(), "made": made, "kept": kept, "used": used,
            "folder": out.to_string()});
        Report::new(text, json)
    }
}

/// What became of each row, without secrets, as CSV.
fn summary(rows: &[Row], told: &[Told]) -> Result<Vec<u8>, Failure> {
    let wrong = |error: csv::Error| Failure::refused("summary", error);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["serial", "model", "outcome", "token", "expires", "file"]).map_err(wrong)?;
    for (row, told) in rows.iter().zip(told) {
        let (id, file) = (told.id.to_string(), told.file.as_deref().unwrap_or_default());
        let cells = [row.serial.as_str(), row.model.as_str(), told.outcome, &id, &told.expires, file];
        // A spreadsheet must not take a serial for a formula.
        let cells = cells.map(|cell| match cell.chars().next() {
            Some('=' | '+' | '-' | '@') => format!("'{cell}"),
            _ => cell.to_owned(),
        });
        writer.write_record(&cells).map_err(wrong)?;
    }
    writer.into_inner().map_err(|error| Failure::refused("summary", error))
}

/// A bar on a terminal, nothing elsewhere.
fn progress(rows: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(rows).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} tokens") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
