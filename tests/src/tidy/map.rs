//! The tree in `docs/ARCHITECTURE.md`: made from the heads of the files, compared with the real one.
//!
//! `cordon-sim tree` prints it, `cordon-sim tree --write` puts it into the document. A file whose format has no
//! room for a head (JSON, PEM, pictures) keeps the sentence that the document already gives it. A folder of many
//! small assets ([`ASSET_FOLDERS`]) is one line, `name/…`; a `tests.rs` or `…_tests.rs` has none, nor has a folder of
//! parts of it: they stand beside what they test. The block is never edited by hand otherwise. Read next: `tree.rs`, which reads the real tree.

use super::{Fault, Source, tree};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};

/// The document that holds the tree.
pub const DOCUMENT: &str = "docs/ARCHITECTURE.md";
/// The folders that are one line in the tree, by the end of their path, whatever they hold.
pub const ASSET_FOLDERS: &[&str] = &[
    "server/ui",
    "templates",
    "golden",
    "samples",
    "corpus",
    "docs/soak",
    "schemas",
    "proptest-regressions",
    "keys-example",
];

const BEGIN: &str = "<!-- tree: written by `cordon-sim tree --write` -->";
const END: &str = "<!-- end of tree -->";
const UNKNOWN: &str = "?";
const SENTENCE_CHARS_MAX: usize = 45;
const NAME_WIDTH: usize = 18;
/// The order of the rooms: the direction of imports, then what is around the code.
const ROOMS: &[&str] = &["", "proto", "agent", "server", "ctl", "tests", "keys-example", "docs"];

/// Prints the tree, or writes it into the document.
///
/// # Errors
/// If the tree or the document cannot be read or written.
pub fn run(write: bool) -> Result<()> {
    let root = tree::root();
    let sources = tree::read(&root)?;
    let document = root.join(DOCUMENT);
    let text = std::fs::read_to_string(&document).with_context(|| format!("cannot read {DOCUMENT}"))?;
    let block = render(&sources, &text);
    if !write {
        println!("{block}");
        return Ok(());
    }
    let (before, rest) = text.split_once(BEGIN).context("the document has no beginning of the tree")?;
    let (_, after) = rest.split_once(END).context("the document has no end of the tree")?;
    std::fs::write(&document, format!("{before}{BEGIN}\n```text\n{block}\n```\n{END}{after}"))?;
    Ok(())
}

/// The tree in the document names every file, nothing else, and says of each what its head says.
#[must_use]
pub fn compare(sources: &[Source]) -> Vec<Fault> {
    let nothing = Source::new(DOCUMENT, "");
    let document = sources.iter().find(|source| source.path == DOCUMENT).unwrap_or(&nothing);
    let (wanted, found) = (entries(sources, document.text()), written(document.text()));
    let mut faults = Vec::new();
    let mut fault = |say: String| {
        faults.push(Fault::new(document, 0, format!("{say} (run `cargo run -p cordon-sim -- tree --write`)")))
    };
    for (path, sentence) in &wanted {
        match found.get(path) {
            _ if sentence == UNKNOWN => {
                fault(format!("{path} has neither head nor sentence: write one in the tree"))
            }
            None => fault(format!("{path} is missing")),
            Some(other) if other != sentence => {
                fault(format!("{path} says `{other}`, its head `{sentence}`"))
            }
            Some(_) => {}
        }
    }
    for path in found.keys().filter(|path| !wanted.contains_key(*path)) {
        fault(format!("{path} does not exist"));
    }
    if !faults.is_empty() {
        faults.push(Fault::new(
            document,
            0,
            "run `cargo run -p cordon-sim -- tree --write`, then give what is left its sentence",
        ));
    }
    faults
}

/// The block of the document: folders flush left, their files below them.
#[must_use]
pub fn render(sources: &[Source], document: &str) -> String {
    let mut folders: BTreeMap<(usize, String), Vec<(String, String)>> = BTreeMap::new();
    for (path, sentence) in entries(sources, document) {
        let (folder, name) = split(&path);
        folders.entry((rank(folder), folder.to_owned())).or_default().push((name.to_owned(), sentence));
    }
    let mut lines = Vec::new();
    for ((_, folder), files) in folders {
        lines.push(if folder.is_empty() { "./".to_owned() } else { format!("{folder}/") });
        lines.extend(files.into_iter().map(|(name, sentence)| format!("  {name:NAME_WIDTH$} {sentence}")));
    }
    lines.join("\n")
}

/// Every line that the tree should have: path and sentence.
fn entries(sources: &[Source], document: &str) -> BTreeMap<String, String> {
    let known = written(document);
    let mut entries = BTreeMap::new();
    for source in sources.iter().filter(|source| !stands_beside(source)) {
        let assets = asset_folder(&source.path);
        let own = if assets.is_some() { None } else { head_sentence(source) };
        let path = assets.unwrap_or_else(|| source.path.clone());
        let kept = || known.get(&path).cloned().unwrap_or_else(|| UNKNOWN.to_owned());
        let sentence = own.unwrap_or_else(kept);
        entries.insert(path, sentence);
    }
    entries
}

/// Whether a file holds tests of the one that it stands beside: `tests.rs` and `…_tests.rs`, and what is in a folder of such
/// a name below `src`.
fn stands_beside(source: &Source) -> bool {
    let below = |(_, inner): (&str, &str)| {
        inner.starts_with("tests/") || inner.contains("/tests/") || inner.contains("_tests/")
    };
    let below = source.path.split_once("/src/").is_some_and(below);
    below || source.ends_in(&["/tests.rs", "_tests.rs"])
}

/// What the document says now: path and sentence.
fn written(document: &str) -> BTreeMap<String, String> {
    let block =
        document.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map_or("", |(block, _)| block);
    let mut folder = String::new();
    let mut found = BTreeMap::new();
    for line in block.lines().filter(|line| !line.starts_with("```") && !line.trim().is_empty()) {
        match line.strip_prefix("  ") {
            None => folder = line.trim_start_matches("./").to_owned(),
            Some(file) => {
                let (name, sentence) = file.trim().split_once(' ').unwrap_or((file.trim(), ""));
                found.insert(format!("{folder}{name}"), sentence.trim().to_owned());
            }
        }
    }
    found
}

/// `server/ui/…` for a file anywhere below an asset folder.
fn asset_folder(path: &str) -> Option<String> {
    let (folder, _) = path.rsplit_once('/')?;
    let ends = folder.match_indices('/').map(|(at, _)| at).chain([folder.len()]);
    let mut parents = ends.filter_map(|end| folder.get(..end));
    let assets = parents.find(|parent| ASSET_FOLDERS.iter().any(|name| is_tail(parent, name)))?;
    Some(format!("{assets}/…"))
}

/// Whether `path` is `name` or ends in `/name`.
fn is_tail(path: &str, name: &str) -> bool {
    path.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

fn rank(folder: &str) -> usize {
    let room = folder.split('/').next().unwrap_or_default();
    ROOMS.iter().position(|name| *name == room).unwrap_or(ROOMS.len())
}

/// Folder and name; an asset folder is a name in its parent.
fn split(path: &str) -> (&str, &str) {
    let cut = path.strip_suffix("/…").unwrap_or(path).rfind('/');
    cut.map_or(("", path), |at| (path.get(..at).unwrap_or(""), path.get(at + 1..).unwrap_or(path)))
}

/// The first sentence of a file's own head, where its format has one.
#[must_use]
pub fn head_sentence(source: &Source) -> Option<String> {
    let text = source.text();
    let paragraph = if source.ends_in(&[".rs"]) {
        paragraph(text, "//!")
    } else if source.ends_in(&[".md"]) {
        text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default().to_owned()
    } else if source.ends_in(&["/Cargo.toml"]) {
        let described = text.lines().find_map(|line| line.strip_prefix("description = "));
        described.unwrap_or_default().trim_matches('"').to_owned()
    } else if source.ends_in(&[".js"]) {
        paragraph(text, "// ")
    } else if source.ends_in(&[".json", ".lock", ".pem"]) {
        String::new()
    } else {
        paragraph(text, "# ")
    };
    let sentence = first_sentence(&paragraph);
    (!sentence.is_empty()).then_some(sentence)
}

/// The first run of lines that begin with `mark`, joined; only if it stands at the top of the file.
fn paragraph(text: &str, mark: &str) -> String {
    let lines = text.lines().skip_while(|line| line.starts_with("#!/"));
    let lines =
        lines.map_while(|line| line.strip_prefix(mark)).map(str::trim).take_while(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

/// Up to the first full stop that ends a sentence, cut at a word if it is too long for a line.
fn first_sentence(paragraph: &str) -> String {
    let sentence = paragraph.split(". ").next().unwrap_or_default().trim_end_matches(['.', ':']);
    if sentence.chars().count() <= SENTENCE_CHARS_MAX {
        return sentence.to_owned();
    }
    let cut: String = sentence.chars().take(SENTENCE_CHARS_MAX).collect();
    let whole = cut.rsplit_once(' ').map_or(cut.as_str(), |(whole, _)| whole);
    format!("{} …", whole.trim_end_matches([',', ';', ':']))
}

/// The folders of the tree that hold Rust: none of them may be an asset folder, or its files would go unlisted.
#[must_use]
pub fn hidden_code(sources: &[Source]) -> Vec<Fault> {
    let hidden =
        sources.iter().filter(|source| source.ends_in(&[".rs"]) && asset_folder(&source.path).is_some());
    let once: BTreeSet<&str> = hidden.map(|source| source.path.as_str()).collect();
    let say = "code in a folder that the tree of the architecture lists as assets";
    once.into_iter().map(|path| Fault::new(&Source::new(path, ""), 0, say)).collect()
}
