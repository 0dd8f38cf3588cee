//! The device's own health check after a trial boot: a program, a file, or nothing but the check-in.
//!
//! The program gets no input, its output is not read, and it has a deadline; its no is of this moment. What the file
//! says is the last word of the device's own software. What either means is the update machine's to say. Read next:
//! [`crate::program`], `cordon_agent_core::update`.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use cordon_agent_core::update::Event;
use tokio::time::{sleep, timeout};

use crate::config::Health;
use crate::files;
use crate::program::Program;

/// Seconds the program may take.
const PROGRAM: Duration = Duration::from_secs(120);
/// Between two looks at the file.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks at the program.
const TURN: Duration = Duration::from_millis(50);
/// Bytes read of the file.
const FILE_BYTES: usize = 4096;

/// What the check says, as an event. A file that says nothing yet is waited for; the trial's own time ends that. What
/// stood in it before counts as nothing.
pub(crate) async fn check(health: Health, stale: Option<Said>) -> Event {
    let (well, no) = match health {
        Health::CheckinOnly => (true, Event::Unwell),
        Health::Program(words) => (program(&words).await, Event::Unwell),
        Health::File(path) => (file(&path, stale).await, Event::Sick),
    };
    if well { Event::Healthy } else { no }
}

async fn program(words: &[String]) -> bool {
    let Some(name) = words.first() else { return false };
    match timeout(PROGRAM, status(words)).await {
        Ok(Ok(status)) if status.success() => true,
        Ok(Ok(status)) => {
            tracing::error!(program = %name, %status, "the health check failed");
            false
        }
        Ok(Err(error)) => {
            tracing::error!(program = %name, %error, "the health check could not be started");
            false
        }
        Err(_) => {
            tracing::error!(program = %name, seconds = PROGRAM.as_secs(), "the health check did not end");
            false
        }
    }
}

async fn status(words: &[String]) -> io::Result<ExitStatus> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut program = Program::start(&words, (Stdio::null(), Stdio::null()))?;
    loop {
        if let Some(status) = program.ended()? {
            return Ok(status);
        }
        sleep(TURN).await;
    }
}

/// One writing of the file: its place on the disk, and when it was changed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said(u64, i64, i64);

impl Said {
    fn at(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self(found.ino(), found.ctime(), found.ctime_nsec()))
    }
}

/// Forgets what the software that ran until now has said of itself; what cannot be taken away is given back.
pub(crate) fn forget(health: &Health) -> Option<Said> {
    let Health::File(path) = health else { return None };
    let file = path.display();
    match std::fs::remove_file(path) {
        Ok(()) => tracing::info!(%file, "what the device's software said before its start does not count"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, %file, "what the device's software has said cannot be removed"),
    }
    Said::at(path)
}

/// The file begins with `ok` or `failed`; anything else is no word yet. It belongs into a folder that a boot empties.
async fn file(path: &Path, stale: Option<Said>) -> bool {
    loop {
        let new = stale.is_none() || Said::at(path) != stale;
        let text = if new { files::read_file(path, FILE_BYTES).unwrap_or_default() } else { Vec::new() };
        if text.starts_with(b"ok") {
            return true;
        }
        if text.starts_with(b"failed") {
            tracing::error!(file = %path.display(), "the device's own software says that it is not well");
            return false;
        }
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(health: Health) -> Event {
        super::check(health, None).await
    }

    #[tokio::test]
    async fn the_exit_status_of_the_program_decides() {
        // Goal: 0 is well; any other, and no program at all, is not now. Method: the standard's two programs.
        let check = |words: &[&str]| check(Health::Program(words.iter().map(|w| (*w).to_owned()).collect()));
        assert_eq!(check(&["true"]).await, Event::Healthy);
        assert_eq!(check(&["false"]).await, Event::Unwell);
        assert_eq!(check(&["/nowhere/at/all"]).await, Event::Unwell);
        assert_eq!(super::check(Health::CheckinOnly, None).await, Event::Healthy);
    }

    #[tokio::test]
    async fn the_file_is_waited_for() {
        // Goal: no word is not sickness, and `failed` is the last word. Method: look before and after it is written.
        let root = tempfile::tempdir().expect("a scratch folder");
        let path = root.path().join("health");
        let early = timeout(Duration::from_millis(20), check(Health::File(path.clone()))).await;
        assert!(early.is_err());
        std::fs::write(&path, "ok since 09:00\n").expect("writes");
        assert_eq!(check(Health::File(path.clone())).await, Event::Healthy);
        std::fs::write(&path, "failed: pump controller\n").expect("writes");
        assert_eq!(check(Health::File(path)).await, Event::Sick);
    }

    #[tokio::test]
    async fn what_cannot_be_taken_away_does_not_count_until_it_is_written_anew() {
        // Goal: the old software's word is not the new one's where the file stays, too. Method: a folder in its place, which
        // nobody takes away; then a word that stood there before, and the same word said once more.
        let root = tempfile::tempdir().expect("a scratch folder");
        let path = root.path().join("health");
        let health = Health::File(path.clone());
        std::fs::create_dir(&path).expect("makes");
        assert!(forget(&health).is_some_and(|said| Some(said) == Said::at(&path)));
        std::fs::remove_dir(&path).expect("removes");
        std::fs::write(&path, "ok\n").expect("writes");
        let stale = Said::at(&path);
        let early = timeout(Duration::from_millis(20), super::check(health.clone(), stale)).await;
        assert!(early.is_err());
        // The clock of a file system moves in steps.
        while Said::at(&path) == stale {
            std::fs::write(&path, "ok\n").expect("writes");
        }
        assert_eq!(super::check(health.clone(), stale).await, Event::Healthy);
        assert_eq!((forget(&health), path.exists()), (None, false));
        assert_eq!(forget(&health), None);
    }
}
