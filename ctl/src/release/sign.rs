//! `release sign`: the next version of a model's role with one release more, signed by the people of that model.
//!
//! With the snapshot and timestamp keys at hand the repository is brought up to date at once; otherwise the second
//! person signs first (`repo sign`), and `repo snapshot` follows. Read next: [`crate::repo::image`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use cordon_proto::canonical::Value;
use cordon_proto::ids::{Sha256, TargetPath};
use cordon_proto::update::delegation::{DelegatedRole, Delegations};
use cordon_proto::update::metadata::{TargetFile, Targets};
use cordon_proto::update::release::{FileRef, Release, with_notes};
use cordon_proto::update::{Role, author};
use serde_json::json;

use super::chunks::Made;
use super::papers::Paper;
use super::words::whole;
use super::{facts, measure};
use crate::arguments::{self, read_file};
use crate::chain::{Signed, complete, newest, no_example, release_of, roots};
use crate::clock;
use crate::failure::Failure;
use crate::folder::Folder;
use crate::key::SecretKey;
use crate::repo::add::counted;
use crate::repo::image::Online;
use crate::repo::sign_as;
use crate::repo::words::ends;
use crate::report::Report;
use crate::session::Session;

/// How long a model's role lives unless somebody says otherwise.
const LIFE: &str = "365d";

/// Sign a release.
#[derive(Clone, Debug, Args)]
pub struct Sign {
    /// The maker's folder.
    #[arg(long, value_name = "DIR")]
    pub repository: PathBuf,
    /// The release's name, such as vp-3/4.2.2: the model's role and a version.
    #[arg(long, value_name = "PATH")]
    pub release: String,
    /// The image.
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    /// The model, exactly as its devices state it.
    #[arg(long)]
    pub model: String,
    /// A hardware revision it fits. Repeat.
    #[arg(long, value_name = "REVISION", required = true)]
    pub hardware: Vec<String>,
    /// The release's number; higher is newer.
    #[arg(long, value_name = "N")]
    pub counter: u64,
    /// Once this release is confirmed, accept nothing below this counter.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub floor: u64,
    /// The lowest installed counter from which it may be installed.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub min_from: u64,
    /// Who must say that the device is not in use: application, person, idle or none.
    #[arg(long, value_name = "WORD")]
    pub interlock: String,
    /// What makes a trial good: checkin or local.
    #[arg(long, value_name = "WORD", default_value = "checkin")]
    pub confirm: String,
    /// Whether it answers a recall: none, security or safety.
    #[arg(long, value_name = "WORD", default_value = "none")]
    pub recall: String,
    /// Whether somebody must be there: none or service.
    #[arg(long, value_name = "WORD", default_value = "none")]
    pub needs: String,
    /// A date of support, such as security=2031-01-01T00:00:00Z. Repeat.
    #[arg(long, value_name = "NAME=TIME")]
    pub support: Vec<String>,
    /// The bill of materials.
    #[arg(long, value_name = "FILE")]
    pub sbom: Option<PathBuf>,
    /// The exploitability statements.
    #[arg(long, value_name = "FILE")]
    pub vex: Option<PathBuf>,
    /// The manufacturer usage description (RFC 8520).
    #[arg(long, value_name = "FILE")]
    pub mud: Option<PathBuf>,
    /// Notes for people, plain text.
    #[arg(long, value_name = "FILE")]
    pub notes: Option<PathBuf>,
    /// Make a chunk delta too: a device with any older image fetches only what is new. Takes about a second for 4 MB.
    #[arg(long)]
    pub delta: bool,
    /// A private key of the model's people. Repeat.
    #[arg(long, value_name = "FILE", required = true)]
    pub key: Vec<PathBuf>,
    /// The snapshot key, to bring the repository up to date at once.
    #[arg(long, value_name = "FILE", requires = "timestamp_key")]
    pub snapshot_key: Option<String>,
    /// The timestamp key, likewise.
    #[arg(long, value_name = "FILE", requires = "snapshot_key")]
    pub timestamp_key: Option<String>,
    /// When the model's role expires; a year from now if not given.
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
}

/// The files of a delta, removed when they were taken, and when the signing came to nothing.
struct Leaving(Made);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.clean();
    }
}

impl Sign {
    /// Does it.
    ///
    /// # Errors
    /// The release is not usable, its name is taken, a key may not sign, or the person does not agree.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let (rules, example) = (session.rules(), session.options.example_keys);
        let folder = Folder::open(&self.repository)?;
        let root = roots(&folder, &rules)?.root;
        no_example(&root, example)?;
        let targets =
            complete(newest(&folder, &Role::Targets, &root.targets, &rules)?, &Role::Targets, &rules)?;
        let path: TargetPath = self.release.parse().map_err(|error| {
            Failure::Usage(format!("`{}` is no release's name such as vp-3/4.2.2: {error}", self.release))
        })?;
        let delegation = delegation(&targets.targets, &path)?;
        let role = Role::Delegated(delegation.name.clone());
        let earlier = newest(&folder, &role, &delegation.authority, &rules)?;
        let made = self.delta(&folder)?.map(Leaving);
        self.papers()?;
        let (release, mut files) = self.read(&path, made.as_ref().map(|made| &made.0))?;
        only_model(delegation, &release)?;
        let notes = self.measured_notes(&mut files)?;
        let document = self.document(earlier.as_ref(), (&release, notes), session)?;
        let keys =
            self.key.iter().map(|file| SecretKey::read(file, example)).collect::<Result<Vec<_>, _>>()?;
        let online = match (&self.snapshot_key, &self.timestamp_key) {
            (Some(snapshot), Some(timestamp)) => Some(Online::read(snapshot, timestamp, example)?),
            (None, _) | (_, None) => None,
        };
        session.about_to_sign(&format!(
            "release {path}, {role} version {}\n{}{}",
            document.version,
            whole(&release, notes, &|paper, _| self.standard(paper)),
            ends(document.expires),
        ))?;
        let keys: Vec<_> = keys.iter().collect();
        let bytes = sign_as(&author::targets(&document), &role, &delegation.authority, &keys)?;
        for (file, sha256) in &files {
            folder.take_image(file, sha256)?;
        }
        drop(made);
        let file = folder.write_role(&role, document.version, &bytes)?;
        let signed = newest(&folder, &role, &delegation.authority, &rules)?;
        let signatures = signed.as_ref().map_or(0, |signed| signed.signatures);
        let mut report = counted(&file, signatures, delegation.authority.threshold());
        if let (Some(online), true) = (online, signed.is_some_and(|signed| signed.complete)) {
            let life = arguments::time("400d", session.now)?;
            let written = online.write(&folder, &rules, life)?;
            report.text += &format!("\nwrote {}", written.join(", "));
        }
        report.json = json!({"document": report.json, "release": facts(&release)});
        Ok(report)
    }

    fn delta(&self, folder: &Folder) -> Result<Option<Made>, Failure> {
        if !self.delta {
            return Ok(None);
        }
        let (length, sha256) = measure(&self.image)?;
        Made::of(&self.image, FileRef { length, sha256 }, folder.path()).map(Some)
    }

    fn paper(&self, paper: Paper) -> Option<&Path> {
        match paper {
            Paper::Sbom => self.sbom.as_deref(),
            Paper::Vex => self.vex.as_deref(),
            Paper::Mud => self.mud.as_deref(),
            Paper::Notes => self.notes.as_deref(),
        }
    }

    /// Refuses papers that are not what they are named for.
    fn papers(&self) -> Result<(), Failure> {
        [Paper::Sbom, Paper::Vex, Paper::Mud, Paper::Notes]
            .into_iter()
            .filter_map(|paper| Some((paper, self.paper(paper)?)))
            .try_for_each(|(paper, file)| paper.check(file))
    }

    /// The standard of a paper that was given.
    fn standard(&self, paper: Paper) -> Option<&'static str> {
        paper.standard(&read_file(self.paper(paper)?, paper.limit()).ok()?)
    }

    fn measured_notes(&self, files: &mut Vec<(PathBuf, Sha256)>) -> Result<Option<FileRef>, Failure> {
        let Some(file) = &self.notes else { return Ok(None) };
        let (length, sha256) = measure(file)?;
        files.push((file.clone(), sha256));
        Ok(Some(FileRef { length, sha256 }))
    }

    /// The release as the devices will read it, and the files it names.
    fn read(
        &self,
        path: &TargetPath,
        made: Option<&Made>,
    ) -> Result<(Release, Vec<(PathBuf, Sha256)>), Failure> {
        let (length, sha256) = measure(&self.image)?;
        let mut files = vec![(self.image.clone(), sha256)];
        let mut named = |file: &Option<PathBuf>| -> Result<Value, Failure> {
            let Some(file) = file else { return Ok(Value::Null) };
            let (length, sha256) = measure(file)?;
            files.push((file.clone(), sha256));
            Ok(value_of(FileRef { length, sha256 }))
        };
        let custom = Value::object([
            ("v", Value::from(1)),
            ("model", self.model.as_str().into()),
            ("hardware", Value::list(self.hardware.iter().map(String::as_str))),
            ("counter", self.counter.into()),
            ("floor", self.floor.into()),
            ("min_from", self.min_from.into()),
            ("interlock", self.interlock.as_str().into()),
            ("confirm", self.confirm.as_str().into()),
            ("recall", self.recall.as_str().into()),
            ("needs", self.needs.as_str().into()),
            ("support", support(&self.support)?),
            ("sbom", named(&self.sbom)?),
            ("vex", named(&self.vex)?),
            ("mud", named(&self.mud)?),
            (
                "deltas",
                Value::list(made.iter().flat_map(|made| made.files()).map(|(_, file)| value_of(*file))),
            ),
        ]);
        files.extend(
            made.iter().flat_map(|made| made.files()).map(|(path, file)| (path.clone(), file.sha256)),
        );
        let release = release_of(path, &TargetFile::new(length, sha256, Some(custom)))?;
        Ok((release, files))
    }

    /// The role's next version with this release in it.
    fn document(
        &self,
        earlier: Option<&Signed>,
        (release, notes): (&Release, Option<FileRef>),
        session: &Session<'_>,
    ) -> Result<Targets, Failure> {
        let mut targets = BTreeMap::new();
        let mut version = 1;
        if let Some(earlier) = earlier {
            if !earlier.complete {
                let detail = format!(
                    "version {} waits for another signature: add it, or remove the file",
                    earlier.version
                );
                return Err(Failure::refused("not signed enough", detail));
            }
            free(&earlier.targets, release)?;
            targets = earlier.targets.targets.clone();
            version = earlier.version + 1;
        }
        let image = &release.image;
        let file = TargetFile::new(image.length, image.sha256, Some(with_notes(release.custom(), notes)));
        targets.insert(image.release.as_str().to_owned(), file);
        let expires = arguments::time(self.expires.as_deref().unwrap_or(LIFE), session.now)?;
        if let (Some(earlier), None) = (earlier, &self.expires) {
            clock::not_shorter(expires, (earlier.version, earlier.targets.expires))?;
        }
        Ok(Targets { version, expires, targets, delegations: Delegations::default() })
    }
}

fn value_of(file: FileRef) -> Value {
    Value::object([("length", Value::from(file.length)), ("sha256", file.sha256.to_string().into())])
}

fn delegation<'a>(targets: &'a Targets, path: &TargetPath) -> Result<&'a DelegatedRole, Failure> {
    targets.delegations.roles.iter().find(|role| role.allows(path.as_str())).ok_or_else(|| {
        let models: Vec<_> = targets.delegations.roles.iter().map(|role| role.name.as_str()).collect();
        let detail = format!("no role may list {path}; the models here are {}", models.join(", "));
        Failure::refused("unknown model", detail)
    })
}

/// The role of one model lists releases of no other: its people speak for that model alone.
fn only_model(delegation: &DelegatedRole, release: &Release) -> Result<(), Failure> {
    let named = arguments::slug(release.model.as_str());
    if named == delegation.name {
        return Ok(());
    }
    let detail = format!(
        "the role {} does not speak for the model {}: its releases belong to the role {named}",
        delegation.name, release.model
    );
    Err(Failure::refused("foreign model", detail))
}

/// Name and counter must be new.
fn free(listed: &Targets, release: &Release) -> Result<(), Failure> {
    for (text, file) in &listed.targets {
        let Ok(path) = text.parse::<TargetPath>() else { continue };
        if path == release.image.release {
            let detail =
                format!("{path} is listed already; a name is used once, so give the new image a new one");
            return Err(Failure::refused("name taken", detail));
        }
        let other = release_of(&path, file)?;
        if other.model == release.model && other.counter == release.counter {
            let detail =
                format!("counter {} is taken by {path}; devices could not tell the two apart", other.counter);
            return Err(Failure::refused("counter taken", detail));
        }
    }
    Ok(())
}

fn support(dates: &[String]) -> Result<Value, Failure> {
    let wrong = |text: &str| {
        Failure::Usage(format!("`{text}` is no date of support: write security=2031-01-01T00:00:00Z"))
    };
    let entry = |text: &String| {
        let (name, time) = text.split_once('=').ok_or_else(|| wrong(text))?;
        Ok((name.to_owned(), Value::from(time)))
    };
    Ok(Value::object(dates.iter().map(entry).collect::<Result<Vec<_>, Failure>>()?))
}
