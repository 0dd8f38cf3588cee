//! A judge that is not ours: a Python program, a line for a line.
//!
//! Whether it is installed is asked first, so that a missing judge is a skip and never a pass. Read next: `tests/tests/siem.rs`,
//! `tests/tests/matching`.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::program::program;

/// The text of a program that answers each line of its input with one of its own, and without input ends well.
#[derive(Clone, Copy, Debug)]
pub struct Judge(&'static str);

impl Judge {
    /// The judge with this text.
    #[must_use]
    pub const fn of(text: &'static str) -> Self {
        Self(text)
    }

    /// Whether it can judge here: Python and all that the program loads are installed.
    #[must_use]
    pub fn is_here(self) -> bool {
        let mut judge = self.command();
        judge.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        judge.status().is_ok_and(|status| status.success())
    }

    /// Its answer to each line; one process answers all.
    ///
    /// # Panics
    /// If it breaks off or answers fewer or more lines than it was asked.
    #[must_use]
    pub fn answers(self, lines: &[String]) -> Vec<String> {
        let mut command = self.command();
        let mut judge = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 runs");
        let mut input = judge.stdin.take().expect("its input");
        let text: String = lines.iter().map(|line| format!("{}\n", line.trim_end())).collect();
        let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
        let output = judge.wait_with_output().expect("it ends");
        writer.join().expect("a writer").expect("it reads");
        assert!(output.status.success(), "the judge broke off: {}", output.status);
        let answers: Vec<String> =
            String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
        assert_eq!(answers.len(), lines.len(), "an answer a line");
        answers
    }

    fn command(self) -> Command {
        let mut judge = program("python3");
        judge.args(["-c", self.0]);
        judge
    }
}
