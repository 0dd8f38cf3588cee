//! `release verify`: the whole chain of a maker's folder as a device would judge it, and an image against it.
//!
//! Read next: [`crate::chain::Maker`].

use std::path::PathBuf;

use clap::Args;
use cordon_proto::ids::TargetPath;
use cordon_proto::update::{Role, Rules};

use super::{describe, facts, measure};
use crate::chain::Maker;
use crate::failure::Failure;
use crate::folder::Folder;
use crate::report::Report;
use crate::session::Session;

/// Verify a release.
#[derive(Clone, Debug, Args)]
pub struct Verify {
    /// The maker's folder.
    #[arg(long, value_name = "DIR")]
    pub repository: PathBuf,
    /// The release's name, such as vp-3/4.2.2.
    #[arg(long, value_name = "PATH", required_unless_present = "all")]
    pub release: Option<String>,
    /// An image to compare with it.
    #[arg(long, value_name = "FILE", requires = "release")]
    pub image: Option<PathBuf>,
    /// Every release that is listed, with the files in the folder.
    #[arg(long, conflicts_with = "release")]
    pub all: bool,
}

impl Verify {
    /// Does it.
    ///
    /// # Errors
    /// The chain, the release or the image is not believed.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let rules = session.rules();
        let maker = Maker::open(Folder::open(&self.repository)?, &rules, session.options.example_keys)?;
        let Some(name) = &self.release else { return all(&maker, &rules) };
        let path: TargetPath = name
            .parse()
            .map_err(|error| Failure::Usage(format!("`{name}` is no release's name: {error}")))?;
        let release = maker.listed(&path, &rules)?;
        let mut text = format!("{path} is signed by its maker\n{}", describe(&release));
        if let Some(image) = &self.image {
            let (length, sha256) = measure(image)?;
            if (length, sha256) != (release.image.length, release.image.sha256) {
                let detail = format!(
                    "{} has {length} bytes and SHA-256 {sha256}: it is not this release",
                    image.display()
                );
                return Err(Failure::refused("wrong image", detail));
            }
            text += &format!("{} is this image\n", image.display());
        }
        Ok(Report::new(text, facts(&release)))
    }
}

/// Every release that a model's role lists: each found by the devices' own search, each file of the folder measured.
fn all(maker: &Maker, rules: &Rules<'_>) -> Result<Report, Failure> {
    let (mut text, mut rows) = (String::new(), Vec::new());
    for delegation in &maker.trusted.targets().delegations.roles {
        let role = Role::Delegated(delegation.name.clone());
        let version = maker.trusted.listed(&delegation.name)?.version;
        let bytes = maker.folder.role(&role, version)?;
        for name in maker.trusted.delegated(&delegation.name, &bytes, rules)?.targets.keys() {
            let path = name.parse().map_err(|error| Failure::refused("unusable name", error))?;
            let release = maker.listed(&path, rules)?;
            let image = maker.folder.image(&release.image.sha256);
            let here = image.exists();
            if here && measure(&image)? != (release.image.length, release.image.sha256) {
                let detail = format!("{} is not the image of {path}", image.display());
                return Err(Failure::refused("wrong image", detail));
            }
            let words = if here { "its image is here" } else { "NO IMAGE HERE" };
            text += &format!("{path} is signed by its maker, counter {}, {words}\n", release.counter);
            rows.push(facts(&release));
        }
    }
    Ok(Report::new(text, rows.into()))
}
