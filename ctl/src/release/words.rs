//! A release in words: every field that its makers sign, for whoever signs it, takes it in or orders it.
//!
//! Papers are named by length and hash, and by their standard where their bytes are at hand and are the signed ones.
//! Read next: [`super::papers`], [`super::sign`].

use cordon_proto::ids::Sha256;
use cordon_proto::update::release::{FileRef, Release};

use super::papers::Paper;
use crate::arguments::read_file;
use crate::folder::Folder;

/// The standard of a paper, if it can be told.
pub type Standard<'a> = dyn Fn(Paper, FileRef) -> Option<&'static str> + 'a;

/// A release in lines, as far as its statement goes.
#[must_use]
pub fn describe(release: &Release) -> String {
    whole(release, None, &|_, _| None)
}

/// The same with the maker's notes, and with the papers' standards.
#[must_use]
pub fn whole(release: &Release, notes: Option<FileRef>, standard: &Standard<'_>) -> String {
    let hardware: Vec<_> = release.hardware.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "  image      {} bytes, SHA-256 {}\n  for        {} hardware {}\n  counter    {} (floor {}, from {} on)\n  \
         interlock  {}, confirm {}, recall {}, needs {}\n{}",
        release.image.length,
        release.image.sha256,
        release.model,
        hardware.join(", "),
        release.counter,
        release.floor,
        release.min_from,
        release.interlock,
        release.confirm,
        release.recall,
        release.needs,
        delta(release),
    );
    for (name, until) in &release.support {
        text += &format!("  support    {name} until {until}\n");
    }
    let papers = [
        (Paper::Sbom, release.sbom),
        (Paper::Vex, release.vex),
        (Paper::Mud, release.mud),
        (Paper::Notes, notes),
    ];
    for (paper, file) in papers.into_iter().filter_map(|(paper, file)| Some((paper, file?))) {
        let form = standard(paper, file).map_or(String::new(), |form| format!(", {form}"));
        text += &format!("  {:<10} {} bytes, SHA-256 {}{form}\n", paper.word(), file.length, file.sha256);
    }
    text
}

fn delta(release: &Release) -> String {
    let [index, store, ..] = release.deltas.as_slice() else { return String::new() };
    format!("  delta      {} bytes of index, {} bytes of store\n", index.length, store.length)
}

/// The standard of a paper whose signed bytes lie in a folder.
pub fn in_folder(folder: &Folder) -> impl Fn(Paper, FileRef) -> Option<&'static str> {
    move |paper, file| {
        let bytes = read_file(&folder.image(&file.sha256), paper.limit()).ok()?;
        paper.standard(&bytes).filter(|_| Sha256::of(&bytes) == file.sha256)
    }
}
