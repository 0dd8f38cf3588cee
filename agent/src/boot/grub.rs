//! Boot control in GRUB's environment block: one variable, `cordon`, of one letter.
//!
//! GRUB reads the block by its place on the disk, so it is written where it stands, at its length. A torn write of two
//! sectors could mix two states; therefore the whole state is one byte, and a change writes this byte and no other. The
//! variables of others are not touched. GRUB cannot calculate: the letters are a table that its script walks down. Which
//! slot runs is told by the kernel's command line. Read next: docs/boot.md for the script, [`super`].

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use cordon_agent_core::update::Slot;
use cordon_agent_core::update::loader::{BootState, Change};
use cordon_proto::limits;

use super::{BootControl, BootError, told};
use crate::files::{self, io_error};

/// Where the block is unless configured otherwise.
pub const BLOCK: &str = "/boot/grub/grubenv";

const HEAD: &[u8] = b"# GRUB Environment Block\n";
const VARIABLE: &[u8] = b"cordon=";
const MUST: &str = "must be a GRUB environment block with one variable cordon of one letter, A or B on a new device (grub-editenv)";

/// Boot control in GRUB's environment block.
pub struct GrubBoot {
    block: PathBuf,
    command_line: PathBuf,
}

impl GrubBoot {
    /// The block at this path, on a machine whose kernel was told this.
    #[must_use]
    pub fn new(block: PathBuf, command_line: PathBuf) -> Self {
        Self { block, command_line }
    }

    /// The letter, and where it stands.
    fn letter(&self) -> Result<(u8, u64), BootError> {
        let bytes = files::read_file(&self.block, limits::BOOT_STATE_BYTES)?;
        let found = place(&bytes).and_then(|at| Some((*bytes.get(at)?, u64::try_from(at).ok()?)));
        found.ok_or_else(|| self.wrong())
    }

    fn wrong(&self) -> BootError {
        BootError::Holds { place: self.block.display().to_string(), must: MUST }
    }
}

impl BootControl for GrubBoot {
    fn read(&mut self) -> Result<BootState, BootError> {
        let (letter, _) = self.letter()?;
        let (booted, refused) = told(&self.command_line)?;
        let (active, attempts_left) = meaning(letter).ok_or_else(|| self.wrong())?;
        let trial = attempts_left.map(|_| active.other());
        Ok(BootState { active, trial, attempts_left: attempts_left.unwrap_or(0), booted, boots: 0, refused })
    }

    fn write(&mut self, _: Change, after: &BootState) -> Result<(), BootError> {
        let (_, at) = self.letter()?;
        let file = OpenOptions::new().write(true).open(&self.block);
        let written = file.and_then(|file| {
            file.write_all_at(&[letter(after)], at)?;
            file.sync_all()
        });
        written.map_err(|source| io_error("write", &self.block, source).into())
    }
}

/// `A` and `B`: this slot, no trial. `0` to `9`: A, and B on trial with so many boots left; `a` to `j`: the reverse.
fn letter(state: &BootState) -> u8 {
    let (plain, none_left) = match state.active {
        Slot::A => (b'A', b'0'),
        Slot::B => (b'B', b'a'),
    };
    if state.trial.is_some() { none_left + state.attempts_left.min(9) } else { plain }
}

fn meaning(letter: u8) -> Option<(Slot, Option<u8>)> {
    match letter {
        b'A' => Some((Slot::A, None)),
        b'B' => Some((Slot::B, None)),
        b'0'..=b'9' => Some((Slot::A, Some(letter - b'0'))),
        b'a'..=b'j' => Some((Slot::B, Some(letter - b'a'))),
        _ => None,
    }
}

/// Where the letter stands in a block: once, and alone on its line. A backslash takes the newline after it into a value.
fn place(block: &[u8]) -> Option<usize> {
    let mut rest = block.strip_prefix(HEAD)?;
    let mut found = None;
    while let Some(end) = line_end(rest) {
        let (line, after) = rest.split_at(end);
        if line.starts_with(VARIABLE) {
            let alone = found.is_none() && line.len() == VARIABLE.len() + b"A\n".len();
            found = Some(block.len() - rest.len() + VARIABLE.len()).filter(|_| alone);
            found?;
        }
        rest = after;
    }
    found
}

fn line_end(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    let newline = text.iter().position(|byte| {
        let ends = *byte == b'\n' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })?;
    Some(newline + 1)
}
