//! `release import`: a maker's publication from a folder, a file or an address, verified here before a server sees it.
//!
//! A bundle is unpacked beside the person's own copy of the maker's repository and becomes that copy only when its whole
//! chain was believed, with the own copy as the history that nothing may fall behind, and when the person has agreed. The
//! first copy has no history: it must begin with the root that the person was given by another way. Nothing is ever written outside
//! that folder. Then it is published as `repo publish` does. The server fetches nothing from anywhere. Read next:
//! [`super::unpack`], [`super::contents`].

use std::fs;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use cordon_proto::ids::{Name, Sha256};
use cordon_proto::update::release::{FileRef, Release};
use cordon_proto::update::{Role, Rules, name};
use serde_json::json;

use super::contents::{Publication, in_folder};
use super::unpack;
use super::words::{in_folder as in_its_folder, whole};
use crate::chain::Maker;
use crate::failure::Failure;
use crate::fetch;
use crate::folder::{Folder, TARGETS};
use crate::makers::digest;
use crate::repo::publish::publish_image;
use crate::report::Report;
use crate::session::Session;

/// Import a publication.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("source").required(true).args(["folder", "bundle", "url"]))]
pub struct Import {
    /// A maker's folder, whole.
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// A file that the maker made with `cordonctl release pack`.
    #[arg(long, value_name = "FILE", requires = "into")]
    pub bundle: Option<PathBuf>,
    /// The address of such a file.
    #[arg(long, value_name = "URL", requires = "into")]
    pub url: Option<String>,
    /// The authority that the certificate at that address must come from (PEM).
    #[arg(long, value_name = "FILE", requires = "url")]
    pub url_ca: Option<PathBuf>,
    /// Your own copy of the maker's repository, new or from an earlier import; orders are signed over it.
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
    /// The maker's first root, or its SHA-256, as the maker gave it to you by another way; demanded for a new copy.
    #[arg(long, value_name = "FILE|SHA256")]
    pub root: Option<String>,
    /// The maker's repository's name, as orders will state it.
    #[arg(long, value_name = "NAME")]
    pub name: Name,
}

impl Import {
    /// Does it.
    ///
    /// # Errors
    /// The publication is not believed, is older than the own copy, or lacks a file; the server refuses it, or was not
    /// reached.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let (folder, releases) = match (&self.folder, &self.into) {
            (Some(folder), _) => (folder.clone(), self.agreed(folder, session)?),
            (None, Some(into)) => (into.clone(), self.take_in(into, session)?),
            (None, None) => {
                return Err(Failure::Usage("give --into DIR, the folder of your copy".to_owned()));
            }
        };
        let sent = publish_image(&folder, &self.name, session)?;
        let text = if sent.is_empty() {
            "the server has it all".to_owned()
        } else {
            format!("{} files sent; {} lists {} releases", sent.len(), self.name, releases.len())
        };
        Ok(Report::new(text, json!({"sent": sent, "releases": releases})))
    }

    /// Judges a whole folder, and asks; the names of its releases.
    fn agreed(&self, folder: &Path, session: &mut Session<'_>) -> Result<Vec<String>, Failure> {
        let rules = session.rules();
        let maker = Maker::open(Folder::open(folder)?, &rules, session.options.example_keys)?;
        self.rooted(&maker)?;
        let (shown, releases) = judged(&maker, folder, &rules)?;
        session.agree(&shown, "Import this?")?;
        Ok(releases)
    }

    /// Unpacks the bundle beside the own copy, believes it, asks, and only then makes it the own copy; the names of its
    /// releases.
    fn take_in(&self, into: &Path, session: &mut Session<'_>) -> Result<Vec<String>, Failure> {
        if self.root.is_none() && Folder::open(into).is_err() {
            let detail = format!(
                "{} holds no copy to compare with: give --root, the maker's first root or its SHA-256, as the maker gave it \
                 to you by another way than the bundle",
                into.display()
            );
            return Err(Failure::Usage(detail));
        }
        let (incoming, file) = (beside(into, "incoming"), beside(into, "bundle"));
        clear(&incoming)?;
        let unpacked = self.fetched(&file).and_then(|bundle| unpack::unpack(&bundle, &incoming));
        let outcome = unpacked.and_then(|()| self.adopted(&incoming, into, session));
        clear(&incoming)?;
        if self.url.is_some() && file.exists() {
            fs::remove_file(&file).map_err(|error| Failure::file("remove", &file, &error))?;
        }
        outcome
    }

    /// Judges what was unpacked, asks, and moves it into the own copy.
    fn adopted(
        &self,
        incoming: &Path,
        into: &Path,
        session: &mut Session<'_>,
    ) -> Result<Vec<String>, Failure> {
        let rules = session.rules();
        let maker = Maker::open(Folder::open(incoming)?, &rules, session.options.example_keys)?;
        self.rooted(&maker)?;
        not_older(&maker, into, &rules)?;
        let (shown, releases) = judged(&maker, into, &rules)?;
        session.agree(&shown, "Import this?")?;
        adopt(&maker, into, &rules)?;
        Ok(releases)
    }

    /// Refuses a publication that begins with another root than the one that the person was given.
    fn rooted(&self, maker: &Maker) -> Result<(), Failure> {
        let Some(given) = &self.root else { return Ok(()) };
        let wanted = digest(given)?;
        let found = Sha256::of(&maker.folder.role(&Role::Root, 1)?);
        if found == wanted {
            return Ok(());
        }
        let detail = format!(
            "it begins with the root {found}, and you were given {wanted}: ask the maker, by another way than this bundle"
        );
        Err(Failure::refused("other root", detail))
    }

    /// The bundle as a file on this machine.
    fn fetched(&self, file: &Path) -> Result<PathBuf, Failure> {
        match (&self.bundle, &self.url) {
            (Some(bundle), _) => Ok(bundle.clone()),
            (None, Some(url)) => {
                fetch::to_file(url, self.url_ca.as_deref(), file)?;
                Ok(file.to_owned())
            }
            (None, None) => Err(Failure::Usage("give --bundle FILE or --url URL".to_owned())),
        }
    }
}

/// The same place with another ending.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

fn clear(folder: &Path) -> Result<(), Failure> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder).map_err(|error| Failure::file("remove", folder, &error))
}

/// Demands the files of every release of which the bundle has any, and of at least one release.
fn complete(maker: &Maker, rules: &Rules<'_>) -> Result<Vec<Release>, Failure> {
    let publication = Publication::of(maker, rules)?;
    let is_here = |file: &FileRef| maker.folder.image(&file.sha256).exists();
    let has_any = |release: &&Release| publication.files_of(release).iter().any(is_here);
    let here: Vec<Release> = publication.releases.iter().filter(has_any).cloned().collect();
    if here.is_empty() && !publication.releases.is_empty() {
        let detail = "it has no file of any release that it lists: ask the maker for the whole bundle";
        return Err(Failure::refused("missing file", detail));
    }
    for release in &here {
        for file in publication.files_of(release) {
            in_folder(&maker.folder, &release.image.release, file)?;
        }
    }
    Ok(here)
}

/// Demands that the own copy, if there is one, begins with the same root and is no newer.
fn not_older(offered: &Maker, own: &Path, rules: &Rules<'_>) -> Result<(), Failure> {
    let Ok(own) = Folder::open(own) else { return Ok(()) };
    if own.role(&Role::Root, 1)? != offered.folder.role(&Role::Root, 1)? {
        let detail =
            "it begins with another root than your copy: ask the maker, by another way than this bundle";
        return Err(Failure::refused("other root", detail));
    }
    let Ok(own) = Maker::open(own, &Rules { now: cordon_proto::time::Timestamp(0), ..*rules }, true) else {
        return Err(Failure::refused(
            "damaged copy",
            "your copy of the maker's repository is not whole: give a new --into",
        ));
    };
    let (held, offered) = (own.trusted.timestamp_version(), offered.trusted.timestamp_version());
    if offered < held {
        let detail =
            format!("version {offered} was offered although your copy has version {held}: a rollback");
        return Err(Failure::refused("older publication", detail));
    }
    Ok(())
}

/// Moves what was believed into the own copy, the timestamp last.
fn adopt(maker: &Maker, own: &Path, rules: &Rules<'_>) -> Result<(), Failure> {
    let wrong = |error: std::io::Error| Failure::file("write", own, &error);
    fs::create_dir_all(own.join(TARGETS)).map_err(wrong)?;
    let publication = Publication::of(maker, rules)?;
    let files = publication.files();
    for path in files.map(|file| format!("{TARGETS}/{}", file.sha256)).chain(publication.metadata.clone()) {
        let from = maker.folder.path().join(&path);
        if from.exists() {
            fs::rename(&from, own.join(&path)).map_err(wrong)?;
        }
    }
    Ok(())
}

/// What is about to be imported, in words, and the names of the releases.
fn judged(maker: &Maker, named: &Path, rules: &Rules<'_>) -> Result<(String, Vec<String>), Failure> {
    let here = complete(maker, rules)?;
    let newest = name::file(&Role::Timestamp);
    let version = maker.trusted.timestamp_version();
    let mut shown = format!("About to import {} with {newest} {version}:\n", named.display());
    let publication = Publication::of(maker, rules)?;
    for release in &here {
        let words = whole(release, publication.notes_of(release), &in_its_folder(&maker.folder));
        shown += &format!("{}\n{words}", release.image.release);
    }
    let names = publication.releases;
    Ok((shown, names.iter().map(|release| release.image.release.to_string()).collect()))
}
