//! A transcript of commands as a document shows it: each command, what it printed, and nothing that differs every time.
//!
//! Folders become relative, hashes, names drawn by chance and times become marks. Commands run by `cordonctl`'s own code, so
//! the document cannot show what the program does not do. Read next: `docs/ROLLOUTS.md`, `hospital.rs` for the scene.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// Hexadecimal digits from which on a word is a hash or a key.
const DIGITS: usize = 16;

/// Commands and what they printed.
#[derive(Debug)]
pub struct Transcript {
    folder: PathBuf,
    text: String,
    common: Vec<String>,
}

impl Transcript {
    /// A transcript whose paths are relative to `folder`; `common` options go with every command and are not shown.
    #[must_use]
    pub fn new(folder: &Path, common: &[String]) -> Self {
        Self { folder: folder.to_owned(), text: String::new(), common: common.to_vec() }
    }

    /// Runs one command, and keeps what it printed on standard output. Relative names of `files` are those of the folder.
    pub async fn run(&mut self, arguments: &[&str], files: &[&str], status: u8) -> anyhow::Result<()> {
        let absolute = |argument: &str| {
            let (head, file) = argument.rsplit_once('=').unwrap_or(("", argument));
            let known = files.contains(&file);
            let path = self.folder.join(file).display().to_string();
            match (known, head) {
                (false, _) => argument.to_owned(),
                (true, "") => path,
                (true, head) => format!("{head}={path}"),
            }
        };
        let mut line = vec!["cordonctl".to_owned(), "--yes".to_owned()];
        line.extend(self.common.iter().cloned());
        line.extend(arguments.iter().map(|argument| absolute(argument)));
        let (sender, receiver) = tokio::sync::oneshot::channel();
        // A thread of its own: commands that ask a server bring their own runtime.
        std::thread::spawn(move || {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let status = cordonctl::run_with(line, &mut out, &mut err);
            let _ = sender.send((status, out, err));
        });
        let (found, out, err) = receiver.await.context("cordonctl panicked")?;
        let (out, err) = (String::from_utf8(out)?, String::from_utf8(err)?);
        ensure!(found == status, "`{}` ended with {found}: {err}", arguments.join(" "));
        let shown: Vec<String> = arguments.iter().map(|argument| quoted(argument)).collect();
        self.text += &format!("$ cordonctl {}\n", shown.join(" "));
        let printed =
            if status == 0 { out } else { err.lines().last().unwrap_or_default().to_owned() + "\n" };
        let folder = format!("{}/", self.folder.display());
        self.text += &marked(&printed.replace(&folder, ""));
        Ok(())
    }

    /// What was said so far.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn quoted(argument: &str) -> String {
    if argument.contains(' ') { format!("\"{argument}\"") } else { argument.to_owned() }
}

/// Everything that differs every time as a mark.
fn marked(text: &str) -> String {
    text.split_inclusive('\n').map(|line| counted(&words(line))).collect()
}

/// Days that passed and entries of the audit log as marks: neither is about the flow that is shown.
fn counted(line: &str) -> String {
    let is_number = |part: &str| {
        let digits = part.trim_start_matches('-');
        !digits.is_empty() && digits.chars().all(|letter| letter.is_ascii_digit() || letter == '.')
    };
    let is_unit = |part: &str| {
        let unit = part.trim_end().trim_end_matches([',', '.', ':', ';']);
        matches!(unit, "d" | "days" | "entries")
    };
    let parts: Vec<&str> = line.split(' ').collect();
    let next = parts.iter().skip(1).copied().chain([""]);
    let marked = parts.iter().zip(next).map(|(part, next)| match (is_number(part), is_unit(next)) {
        (true, true) => "N",
        (false, _) | (_, false) => part,
    });
    marked.collect::<Vec<_>>().join(" ")
}

/// Hashes, keys, names drawn by chance and times as marks.
fn words(text: &str) -> String {
    let mut marked = String::new();
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while let Some(at) = rest.find(|letter: char| letter.is_ascii_alphanumeric()) {
            let (before, word) = rest.split_at(at);
            let end = word.find(|letter: char| !is_of_word(letter)).unwrap_or(word.len());
            let (word, behind) = word.split_at(end);
            marked += before;
            marked += &mark(word);
            rest = behind;
        }
        marked += rest;
    }
    marked
}

fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, ':' | '-')
}

fn mark(word: &str) -> String {
    let trimmed = word.trim_end_matches(':');
    let hexadecimal = |letter: char| letter.is_ascii_hexdigit() || letter == '-';
    let is_time = trimmed.len() == 20 && trimmed.ends_with('Z') && trimmed.as_bytes().get(10) == Some(&b'T');
    let end = word.strip_prefix(trimmed).unwrap_or_default();
    if is_time {
        format!("TIME{end}")
    } else if trimmed.len() >= DIGITS && trimmed.chars().all(hexadecimal) {
        format!("HASH{end}")
    } else {
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_every_time_becomes_a_mark() {
        // Goal: a document that stays true. Method: a hash, a key's first digits, a device's name, a time, ordinary words.
        let line = "root 6e340b9cffb37a98…, sealed 2026-01-01T00:00:00Z: 4 of 12 x=0a0b0c0d-0000-4000-8000-000000000000, vp3-422-1\n";
        assert_eq!(marked(line), "root HASH…, sealed TIME: 4 of 12 x=HASH, vp3-422-1\n");
        assert_eq!(marked("31 entries, within 3.5 d, 2 devices\n"), "N entries, within N d, 2 devices\n");
    }
}
