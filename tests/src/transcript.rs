//! A transcript of commands as a document shows it: each command, what it printed, and nothing that differs every time.
//!
//! The document is the script: its commands are run one after the other by `cordonctl`'s own code, and what they print has
//! to be what stands below them, so it cannot show what the program does not do. Folders become relative; hashes, names
//! drawn by chance and times become marks; a line `…` stands for any lines. A mark in a command is the first such name that
//! the command before it showed. Read next: `docs/ROLLOUTS.md`, `hospital.rs` for the scene.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Hexadecimal digits from which on a word is a hash or a key.
const DIGITS: usize = 16;
/// What a document writes for lines that it leaves out.
const ELIDED: &str = "…";
/// How names of files end in a document; names of folders begin with `./`.
const ENDINGS: [&str; 9] = [".bundle", ".csv", ".img", ".json", ".jsonl", ".pem", ".pub", ".tsv", ".txt"];
/// Names that are drawn by chance, as marks that a command may bear.
const DRAWN: [&str; 2] = ["HASH", "HOLD"];

/// A command as a document shows it, and what stands below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The command, on one line.
    pub command: String,
    /// What it prints, line by line.
    pub prints: Vec<String>,
}

impl Step {
    /// The commands of a document, in their order. A line that ends in `\` goes on in the next one.
    #[must_use]
    pub fn all(document: &str) -> Vec<Self> {
        let blocks = document.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
        let (mut steps, mut goes_on) = (Vec::<Self>::new(), false);
        for line in blocks.flat_map(str::lines) {
            let part = line.strip_suffix('\\').unwrap_or(line).trim();
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (_, Some(step)) if goes_on => step.command += &format!(" {part}"),
                (Some(_), _) => {
                    let command = part.trim_start_matches("$ ").to_owned();
                    steps.push(Self { command, prints: Vec::new() });
                }
                (None, Some(step)) => step.prints.push(line.to_owned()),
                (None, None) => {}
            }
            goes_on = line.ends_with('\\');
        }
        steps
    }

    /// Whether the document shows a refusal, which is the last that a command prints.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.prints.last().is_some_and(|line| line.starts_with("{\"detail\""))
    }

    /// What it does and to what: the first words of the command behind the program's name.
    #[must_use]
    pub fn act(&self) -> String {
        self.command.split_whitespace().skip(1).take(3).collect::<Vec<_>>().join(" ")
    }

    /// Whether this is what was printed.
    #[must_use]
    pub fn agrees(&self, printed: &str) -> bool {
        let lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
        agree(&self.prints, &lines)
    }
}

fn agree(shown: &[String], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line == ELIDED => {
            (0..=printed.len()).any(|from| printed.get(from..).is_some_and(|left| agree(rest, left)))
        }
        Some((line, rest)) => {
            printed.split_first().is_some_and(|(first, left)| first == line && agree(rest, left))
        }
    }
}

/// Where commands of a document are run.
#[derive(Debug)]
pub struct Transcript {
    folder: PathBuf,
    common: Vec<String>,
    /// The names that the last command showed, by their marks.
    shown: BTreeMap<&'static str, String>,
}

impl Transcript {
    /// A transcript whose paths are relative to `folder`; `common` options go with every command and are not shown.
    #[must_use]
    pub fn new(folder: &Path, common: &[String]) -> Self {
        Self { folder: folder.to_owned(), common: common.to_vec(), shown: BTreeMap::new() }
    }

    /// Runs one command; its exit status, and what a person sees of it: what it asks about, then what it answers.
    pub async fn run(&mut self, command: &str) -> anyhow::Result<(u8, String)> {
        let arguments = command.strip_prefix("cordonctl ").context("a document shows `cordonctl` alone")?;
        let mut line = vec!["cordonctl".to_owned(), "--yes".to_owned()];
        line.extend(self.common.iter().cloned());
        let words = words_of(arguments);
        let before = [""].into_iter().chain(words.iter().map(String::as_str));
        for (word, before) in words.iter().zip(before) {
            // The name of a document within a repository, such as 3.vp-3.json.
            let is_document = before == "--file" && word.starts_with(|first: char| first.is_ascii_digit());
            line.push(match (is_document, DRAWN.contains(&word.as_str())) {
                (true, _) => word.clone(),
                (false, false) => self.absolute(word),
                (false, true) => {
                    let shown = self.shown.get(word.as_str());
                    shown.with_context(|| format!("no {word} before `{command}`"))?.clone()
                }
            });
        }
        let (sender, receiver) = tokio::sync::oneshot::channel();
        // A thread of its own: commands that ask a server bring their own runtime.
        std::thread::spawn(move || {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let status = cordonctl::run_with(line, &mut out, &mut err);
            let _ = sender.send((status, out, err));
        });
        let (status, out, err) = receiver.await.context("cordonctl panicked")?;
        let (out, err) = (String::from_utf8(out)?, String::from_utf8(err)?);
        let printed = (err + &out).replace(&format!("{}/", self.folder.display()), "");
        self.shown = drawn(&printed);
        Ok((status, marked(&printed)))
    }

    /// A word with the file or folder that it names in our folder.
    fn absolute(&self, word: &str) -> String {
        let (head, file) = word.rsplit_once('=').map_or((None, word), |(head, file)| (Some(head), file));
        if !file.starts_with("./") && !ENDINGS.iter().any(|ending| file.ends_with(ending)) {
            return word.to_owned();
        }
        let path = self.folder.join(file).display().to_string();
        head.map_or(path.clone(), |head| format!("{head}={path}"))
    }
}

/// A command line in its words, as a shell divides it.
fn words_of(line: &str) -> Vec<String> {
    let parts = line.split('"').enumerate();
    let divided = parts.flat_map(|(at, part)| -> Vec<String> {
        if at % 2 == 1 { vec![part.to_owned()] } else { part.split_whitespace().map(str::to_owned).collect() }
    });
    divided.collect()
}

/// The first name of each kind that was drawn by chance.
fn drawn(text: &str) -> BTreeMap<&'static str, String> {
    let mut shown = BTreeMap::new();
    for word in text.split(|letter: char| !is_of_word(letter)) {
        let word = word.trim_end_matches(':');
        if let Some(kind) = DRAWN.into_iter().find(|kind| *kind != word && mark(word) == *kind) {
            shown.entry(kind).or_insert_with(|| word.to_owned());
        }
    }
    shown
}

/// Everything that differs every time as a mark.
fn marked(text: &str) -> String {
    text.split_inclusive('\n').map(|line| counted(&words(line))).collect()
}

/// Days that passed, entries of the audit log and lines of a pack as marks: none is about the flow that is shown.
fn counted(line: &str) -> String {
    let is_number = |part: &str| {
        let digits = part.trim_start_matches('-');
        !digits.is_empty() && digits.chars().all(|letter| letter.is_ascii_digit() || letter == '.')
    };
    let is_unit = |part: &str| {
        let unit = part.trim_end().trim_end_matches([',', '.', ':', ';']);
        matches!(unit, "d" | "days" | "entries" | "lines")
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
    let end = word.strip_prefix(trimmed).unwrap_or_default();
    let is_time = trimmed.len() == 20 && trimmed.ends_with('Z') && trimmed.as_bytes().get(10) == Some(&b'T');
    if is_time {
        format!("TIME{end}")
    } else if trimmed.strip_prefix("h-").is_some_and(|digits| digits.len() == 8 && is_hexadecimal(digits)) {
        format!("HOLD{end}")
    } else if is_hash(trimmed) {
        format!("HASH{end}")
    } else if let Some((kind, _)) = trimmed.rsplit_once(':').filter(|(_, name)| is_hash(name)) {
        format!("{kind}:HASH{end}")
    } else {
        word.to_owned()
    }
}

fn is_hash(word: &str) -> bool {
    word.len() >= DIGITS && is_hexadecimal(word)
}

fn is_hexadecimal(word: &str) -> bool {
    word.chars().all(|letter| letter.is_ascii_hexdigit() || letter == '-')
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
        assert_eq!(marked("h-0a1b2c3d holds\n"), "HOLD holds\n");
        assert_eq!(marked("by token:6e340b9cffb37a98: no\n"), "by token:HASH: no\n");
        let shown = drawn(line);
        assert_eq!(shown.get("HASH").map(String::as_str), Some("6e340b9cffb37a98"), "the first");
        assert_eq!(drawn("h-0a1b2c3d: ward HASH\n"), BTreeMap::from([("HOLD", "h-0a1b2c3d".to_owned())]));
    }

    #[test]
    fn a_documents_commands_are_read_as_they_are_typed_and_every_line_below_them_counts() {
        // Goal: the document is the script. Method: a block with a command over two lines, one with what is left out, text
        // between them; what was printed as shown, with a line more, and with another one.
        let document = "Text.\n```console\n$ cordonctl keys show \\\n    \"a b.pem\"\none\n```\nText.\n```console\n$ cordonctl x\n…\ntwo\n```\n";
        let steps = Step::all(document);
        let [first, second] = steps.as_slice() else { panic!("{steps:?}") };
        assert_eq!((first.command.as_str(), first.prints.len()), ("cordonctl keys show \"a b.pem\"", 1));
        assert_eq!(words_of(&first.command), ["cordonctl", "keys", "show", "a b.pem"]);
        assert!(first.agrees("one\n") && !first.agrees("one\ntwo\n") && !first.agrees("One\n"));
        assert!(second.agrees("two\n") && second.agrees("0\n1\ntwo\n") && !second.agrees("0\ntwo\n1\n"));
        let prints = ["all: 0 of 1 confirmed", "{\"detail\":\"no\"}"].map(ToOwned::to_owned).into();
        let refused = Step { command: "cordonctl rollouts watch vp3 --lines".to_owned(), prints };
        assert_eq!(refused.act(), "rollouts watch vp3");
        assert!(refused.is_refused() && !first.is_refused());
        let told = Transcript::new(Path::new("/x"), &[]);
        assert_eq!(told.absolute("halden=halden/1.root.json"), "halden=/x/halden/1.root.json");
        assert_eq!(
            (told.absolute("./halden"), told.absolute("vp-3/4.2.2")),
            ("/x/./halden".into(), "vp-3/4.2.2".into())
        );
    }
}
