//! Rules over plain text and bytes: heads, lengths, left-over notes, paths of a machine, blobs.
//!
//! No rule here parses code. Read next: `code.rs` for those that do.

use super::{Fault, Source};

/// The most lines a file may have.
pub const FILE_LINES_MAX: usize = 600;
/// The most bytes a file may have.
pub const FILE_BYTES_MAX: usize = 100_000;
/// The fewest words in the first line of a head.
const HEAD_WORDS_MIN: usize = 4;

/// Files that people write and read as programs.
const WRITTEN: &[&str] = &[".rs", ".js", ".css", ".html", ".sh", ".py", ".ci/run"];
/// Files that are text but not written here.
const GENERATED: &[&str] = &["Cargo.lock", ".pem", ".b64", "/openapi.json"];
/// Files that may exceed [`FILE_BYTES_MAX`], each with its reason.
const LARGE: &[(&str, &str)] = &[
    ("Cargo.lock", "written by cargo; its size is the dependencies', not ours"),
    ("docs/openapi.json", "written from the routes; people read the routes"),
];

/// Every Rust file begins with `//!` and a sentence.
#[must_use]
pub fn head(source: &Source) -> Vec<Fault> {
    if !source.ends_in(&[".rs"]) {
        return Vec::new();
    }
    let first = source.text().lines().next().unwrap_or_default();
    let words = first.strip_prefix("//!").map(|rest| rest.split_whitespace().count());
    if words.is_some_and(|count| count >= HEAD_WORDS_MIN) {
        return Vec::new();
    }
    vec![Fault::new(
        source,
        1,
        "no head: begin with `//!` and what the file is for, what it must never do, what to read next",
    )]
}

/// No written file is longer than [`FILE_LINES_MAX`].
#[must_use]
pub fn length(source: &Source) -> Vec<Fault> {
    let lines = source.text().lines().count();
    if !source.ends_in(WRITTEN) || lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    vec![Fault::new(source, lines, format!("{lines} lines: split by sense, {FILE_LINES_MAX} is the end"))]
}

/// No note of work left undone, unless it names its issue as `(#7)` or its decision as `(0007)`.
#[must_use]
pub fn left_over(source: &Source) -> Vec<Fault> {
    // Put together here, so that this file does not breach its own rule.
    let notes = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let mut faults = Vec::new();
    for (number, line) in lines(source) {
        for note in notes {
            let mut open = words(line, note).filter(|rest| !names_its_cause(rest));
            if open.next().is_some() {
                faults.push(Fault::new(
                    source,
                    number,
                    format!("{note} without `(#issue)` or `(decision)`: do it or file it"),
                ));
            }
        }
    }
    faults
}

/// No path of somebody's machine: home folders, and the `foreign` folders, where this tree happens to lie.
#[must_use]
pub fn machine_paths(source: &Source, foreign: &[String]) -> Vec<Fault> {
    let homes = ["home", "root", "Users"].map(|name| format!("/{name}/"));
    let mut faults = Vec::new();
    for (number, line) in lines(source) {
        let hit = homes.iter().chain(foreign).find(|prefix| holds_path(line, prefix));
        if let Some(prefix) = hit {
            faults.push(Fault::new(source, number, format!("names {prefix}…, a folder of one machine")));
        }
    }
    faults
}

/// Which folders of this machine must not be named: the tree itself and what it lies in.
#[must_use]
pub fn folders_of_this_machine(root: &str) -> Vec<String> {
    let shared = ["/", "/tmp/", "/var/", "/usr/", "/opt/", "/srv/", "/mnt/", "/var/tmp/", "/usr/src/"];
    let parent = root.rsplit_once('/').map(|(parent, _)| parent).unwrap_or_default();
    let both = [root, parent].map(|folder| format!("{folder}/"));
    both.into_iter().filter(|folder| !shared.contains(&folder.as_str())).collect()
}

/// No file above [`FILE_BYTES_MAX`], text or not.
#[must_use]
pub fn blob(source: &Source) -> Vec<Fault> {
    let size = source.content.len();
    if size <= FILE_BYTES_MAX || LARGE.iter().any(|(path, _)| *path == source.path) {
        return Vec::new();
    }
    vec![Fault::new(source, 0, format!("{size} bytes: {FILE_BYTES_MAX} is the end, make it or shrink it"))]
}

/// The lines of a file that people write, numbered from 1.
fn lines(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let text = if source.ends_in(GENERATED) { "" } else { source.text() };
    text.lines().zip(1..).map(|(line, number)| (number, line))
}

/// What follows each whole word `word` in `line`.
fn words<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(word).filter_map(move |(start, _)| {
        let before = line.get(..start)?.chars().next_back();
        let rest = line.get(start + word.len()..)?;
        let part_of_word = |side: Option<char>| side.is_some_and(|c| c.is_alphanumeric() || c == '_');
        (!part_of_word(before) && !part_of_word(rest.chars().next())).then_some(rest)
    })
}

/// Whether a note goes on with `(#7)` or `(0007)`.
fn names_its_cause(rest: &str) -> bool {
    let inside = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(inside, _)| inside);
    let number = inside.map(|inside| inside.strip_prefix('#').unwrap_or(inside));
    number.is_some_and(|number| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()))
}

/// Whether `line` holds `prefix` as the beginning of an absolute path.
fn holds_path(line: &str, prefix: &str) -> bool {
    line.match_indices(prefix).any(|(start, _)| {
        let before = line.get(..start).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || "._-/}>]~".contains(c))
    })
}
