//! The sign `rewrite`: many files of the data folders are rewritten or replaced at once.
//!
//! Source: Scaife and others, CryptoLock (2016), as far as it goes without reading a file: ransom changes many files, and their kinds.
//! A file is lost when it stays with other contents by its stamp, or when it goes and another comes into its folder: what is only
//! deleted, and what only comes, is not. Two rules: by its form, half of the watched files lost in one look to files of endings
//! never seen there, which needs no learning; and Page's sum (1954) of what is lost above half as much again as the most that was
//! lost in one look while the device was learned. Backups read and lose nothing; logs that rotate are few, or were learned.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use cordon_proto::limits;
use cordon_proto::telemetry::Severity;

use super::{Mark, Saying, Told};
use crate::detect::ledger::Detector;

/// Files lost in one look that are nothing yet.
const FEW: u32 = 16;
/// The sum of surplus losses that is told.
const MANY: u32 = 64;
/// Files that come under new endings in place of lost ones, from which their form is told.
const FORM: u32 = 24;

/// The watched files, as they are now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Each, at most `limits::WATCHED_FILES`.
    pub files: Vec<File>,
    /// Folders of which not all was looked at.
    pub cut: Vec<u32>,
}

/// A file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// The mark of its folder.
    pub folder: u32,
    /// The mark of its name.
    pub name: u32,
    /// What changes with its contents: size, time, place on the disk.
    pub stamp: Mark,
    /// The mark of the ending of its name.
    pub ending: u32,
}

impl File {
    fn is(&self, other: &Self) -> bool {
        self.folder == other.folder && self.name == other.name
    }
}

/// The files as they were at the last look. After a restart they are looked at anew.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    before: Option<Files>,
    /// Page's sum.
    sum: u32,
}

/// What happened between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Loss {
    lost: u32,
    /// Of the files that came in place of lost ones, those with an ending never seen in the sample.
    strange: u32,
    of: u32,
}

impl Watched {
    /// Bytes of memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.before
            .as_ref()
            .map_or(0, |files| files.files.capacity() * size_of::<File>() + files.cut.capacity() * 4)
    }

    pub(super) fn look(&mut self, files: &Files, (most, learns): (&mut u32, bool), told: &mut Told<'_>) {
        let files = Files {
            files: files.files.iter().take(limits::WATCHED_FILES).copied().collect(),
            cut: files.cut.clone(),
        };
        let loss = self.before.as_ref().map_or(Loss::default(), |before| loss(before, &files));
        self.before = Some(files);
        let form = loss.strange >= FORM
            && loss.lost.saturating_mul(2) >= loss.of
            && loss.strange.saturating_mul(2) >= loss.lost;
        // What has the form of ransom is not learned.
        if learns && !form {
            *most = loss.lost.max(*most);
        }
        let allowed = most.saturating_add(*most / 2).max(FEW);
        self.sum = if learns { 0 } else { self.sum.saturating_add(loss.lost).saturating_sub(allowed) };
        if form || self.sum >= MANY {
            self.sum = 0;
            tell(loss, form, *most, told);
        }
    }
}

fn loss(before: &Files, now: &Files) -> Loss {
    let mut loss = Loss { of: u32::try_from(before.files.len()).unwrap_or(u32::MAX), ..Loss::default() };
    // By folder: who went, and who came, of those with an ending never seen.
    let mut folders: Vec<(u32, [u32; 3])> = Vec::new();
    let mut count = |folder: u32, place: usize| match folders.iter_mut().find(|(known, _)| *known == folder) {
        Some((_, counts)) => counts.get_mut(place).into_iter().for_each(|count| *count += 1),
        None => {
            let mut counts = [0; 3];
            counts.get_mut(place).into_iter().for_each(|count| *count += 1);
            folders.push((folder, counts));
        }
    };
    for file in &before.files {
        match now.files.iter().find(|other| other.is(file)) {
            Some(same) if same.stamp != file.stamp => loss.lost += 1,
            Some(_) => {}
            None if now.cut.contains(&file.folder) => {}
            None => count(file.folder, 0),
        }
    }
    for file in now.files.iter().filter(|file| !before.files.iter().any(|other| other.is(file))) {
        count(file.folder, 1);
        if !before.files.iter().any(|other| other.ending == file.ending) {
            count(file.folder, 2);
        }
    }
    for (_, [went, came, strange]) in folders {
        loss.lost += went.min(came);
        loss.strange += strange.min(went);
    }
    loss
}

fn tell(loss: Loss, form: bool, most: u32, told: &mut Told<'_>) {
    let Loss { lost, strange, of } = loss;
    let evidence = Vec::from([
        ("lost", lost.to_string()),
        ("watched", of.to_string()),
        ("new-endings", strange.to_string()),
        ("usual-most", most.to_string()),
    ]);
    let severity = if form { Severity::Critical } else { Severity::High };
    told.tell("rewrite", &Saying { severity, ..SAYING }, evidence, |since, _| {
        format!("Since {since} files of its data are rewritten: of {of} that are watched {lost} at the last look, {strange} of them under endings never seen there. While it was learned it was at most {most}.")
    });
}

const SAYING: Saying = Saying {
    detector: Detector::Program,
    severity: Severity::High,
    attack: &["T1486", "T0809"],
    title: "Rewrites many of its files at once",
    why: "Ransom makes files unreadable one after the other; minutes decide how many are left.",
    sure: "Medium: the figures are exact, and contents are not read, so an honest conversion may look like this.",
    act: "Quarantine the device, take it off the network and call security now. Ask the maker whether it converts its data.",
};
