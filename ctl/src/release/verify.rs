//! `release verify`: the whole chain of a maker's folder as a device would judge it, and an image against it.
//!
//! Read next: [`crate::chain::Maker`].

use std::path::PathBuf;

use clap::Args;
use cordon_proto::ids::TargetPath;

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
    #[arg(long, value_name = "PATH")]
    pub release: String,
    /// An image to compare with it.
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
}

impl Verify {
    /// Does it.
    ///
    /// # Errors
    /// The chain, the release or the image is not believed.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let rules = session.rules();
        let maker = Maker::open(Folder::open(&self.repository)?, &rules, session.options.example_keys)?;
        let path: TargetPath = self
            .release
            .parse()
            .map_err(|error| Failure::Usage(format!("`{}` is no release's name: {error}", self.release)))?;
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
