//! `cordonctl bundle`: the folder that carries an update to devices without a network, made and checked offline.
//!
//! What goes in is what a device would fetch, found by following both chains as a device does; the index over it is
//! signed by the people who sign orders. The folder is copied onto a stick as it is. Read next: [`contents`] for what
//! goes in, [`make`], [`verify`] and [`judge`] for what a device would say, decision 0011.

use clap::Subcommand;

use crate::failure::Failure;
use crate::report::Report;
use crate::session::Session;
use cordon_proto::update::bundle::BundleFault;

pub mod contents;
pub mod judge;
pub mod make;
pub mod verify;
pub mod walk;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a bundle out of both parties' folders, or with --add put the second signature under it.
    Make(Box<make::Make>),
    /// Verify a bundle as a device would, every byte of it.
    Verify(verify::Verify),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused or wrongly used.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        match self {
            Self::Make(make) if make.add => make.add(session),
            Self::Make(make) => make.run(session),
            Self::Verify(verify) => verify.run(session),
        }
    }
}

impl From<BundleFault> for Failure {
    fn from(fault: BundleFault) -> Self {
        Self::refused(fault.code(), fault)
    }
}
